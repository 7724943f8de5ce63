#include "tests/support/pair_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/support/e2e_log.h"
#include "tests/support/e2e_process.h"
#include "tests/support/pair_stranger.h"
#include "tests/support/sync_world.h"

enum { CODE_LETTERS = 9 };

struct e2e *desk, *phone;
char code[PAIR_WORLD_CODE], address[PAIR_WORLD_ADDRESS];
static pid_t waiting, joining;

struct e2e *pair_world_device(const char *name)
{
    struct e2e *d = calloc(1, sizeof *d);
    if (d == NULL)
        abort();
    snprintf(d->top, sizeof d->top, "%.90s/%s", desk->top, name);
    snprintf(d->home, sizeof d->home, "%.100s/home", d->top);
    snprintf(d->folder, sizeof d->folder, "%.100s/notes", d->top);
    ok(mkdir(d->top, 0755));
    ok(mkdir(d->folder, 0755));
    return d;
}

void pair_world_leave(struct e2e *d)
{
    if (d == NULL)
        return;
    e2e_leave(d);
    e2e_result_free(&d->last);
    free(d);
}

bool pair_world_begin(struct e2e *f)
{
    desk = f;
    phone = pair_world_device("phone");
    return e2e_mount(desk, "") &&
           e2e_ok(desk, "echo first >notes/first.md; mkdir notes/sub; echo two >notes/sub/two.md; "
                        "persist p2p --listen /ip4/127.0.0.1/tcp/0 --mdns off >/dev/null") &&
           e2e_ok(phone, "persist p2p --listen /ip4/127.0.0.1/tcp/0 --mdns off >/dev/null");
}

void pair_world_end(void)
{
    if (phone != NULL)
        e2e_sh(phone, "persist unmount notes");
    pair_world_leave(phone);
    phone = NULL;
    e2e_end_sync(desk);
}

bool pair_world_apart(struct e2e *f, struct lan *lan, size_t n, bool routed)
{
    desk = f;
    phone = NULL;
    if (!(routed ? lan_routed : lan_bridged)(lan, n))
        return false;
    phone = pair_world_device("phone");
    desk->net = lan->host[0];
    phone->net = lan->host[1];
    if (!e2e_mount(desk, "") || !e2e_ok(desk, "echo first >notes/first.md") || !invite("notes"))
        return false;
    bool joined = e2e_ok(phone, "persist pair %s notes %s %s >joined", code, routed ? "--peer" : "",
                         routed ? address : "");
    if (!joined)
        e2e_sh(desk, "kill -INT $(cat pair.pid)");
    invite_ends(joined ? 0 : -1, joined ? "paired with" : "");
    return joined && world_wait_text(phone, "first.md", "first\n");
}

void pair_world_apart_end(struct lan *lan)
{
    pair_world_end();
    e2e_leave(desk);
    desk->net = 0;
    lan_end(lan);
}

struct wanted_link {
    struct e2e *at;
    const char *word;
};

static bool is_linked_so(void *arg)
{
    const struct wanted_link *w = arg;
    e2e_sh(w->at, "persist status notes | grep -q '^  direct .*  %s'", w->word);
    return w->at->last.status == 0;
}

bool pair_world_link(struct e2e *d, const char *word)
{
    struct wanted_link w = {d, word};
    return e2e_wait(is_linked_so, &w, PAIR_WORLD_FOUND_MS, word);
}

void pair_world_both_ways(const char *name)
{
    world_save(desk, name, "of the desk\n");
    world_wait_text_within(phone, PAIR_WORLD_FOUND_MS, name, "of the desk\n");
    world_save(phone, name, "of the desk, and the phone\n");
    world_wait_text_within(desk, PAIR_WORLD_FOUND_MS, name, "of the desk, and the phone\n");
}

bool invite(const char *options)
{
    e2e_sh(desk, "rm -f pair.out pair.err pair.status");
    waiting = e2e_start(desk,
                        "persist pair %s >pair.out 2>>pair.err & pid=$!; echo $pid >pair.pid; "
                        "wait $pid; echo $? >pair.now; mv pair.now pair.status",
                        options);
    e2e_until(desk, "test -e pair.out && test $(wc -l <pair.out) -ge 2 || test -e pair.status");
    e2e_ok(desk, "sed -n 's/^code *//p' pair.out");
    snprintf(code, sizeof code, "%.*s", CODE_LETTERS, desk->last.out);
    e2e_ok(desk, "sed -n 's/^address *//p' pair.out | head -n 1");
    snprintf(address, sizeof address, "%.*s", (int)strcspn(desk->last.out, "\n"), desk->last.out);
    return holds(strlen(code) == CODE_LETTERS && address[0] == '/');
}

void invite_ends(int status, const char *part)
{
    e2e_until(desk, "test -s pair.status && cat pair.status");
    int found = atoi(desk->last.out);
    if (status >= 0)
        same(found, status);
    else
        holds(found > 0);
    e2e_ok(desk, "cat pair.out pair.err");
    if (strstr(desk->last.out, part) == NULL)
        check_fail("\"%s\" is not in \"%s\"", part, desk->last.out);
    e2e_stop(waiting);
}

void join_begin(const char *arguments, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, arguments);
    vsnprintf(line, sizeof line, arguments, ap);
    va_end(ap);
    e2e_sh(phone, "rm -f join.out join.err join.status");
    joining = e2e_start(phone,
                        "persist pair %s >join.out 2>join.err & pid=$!; echo $pid >join.pid; "
                        "wait $pid; echo $? >join.now; mv join.now join.status",
                        line);
}

static bool has_joined(void *arg)
{
    (void)arg;
    e2e_sh(phone, "cat join.status");
    return phone->last.status == 0 && phone->last.out_n > 0;
}

void join_ends(int status, const char *part)
{
    if (stranger_until(has_joined, NULL, E2E_LONG_MS, "the command that joins has ended"))
        same(atoi(phone->last.out), status);
    e2e_sh(phone, "cat %s", status == 0 ? "join.out" : "join.err");
    contains(phone->last.out, part);
    if (status != 0)
        e2e_ok(phone, "test $(wc -l <join.err) = 1 && grep -q '^persist: ' join.err");
    e2e_stop(joining);
}

void join_ends_any(const char *part)
{
    if (stranger_until(has_joined, NULL, E2E_LONG_MS, "the command that joins has ended"))
        holds(atoi(phone->last.out) > 0);
    e2e_sh(phone, "cat join.err");
    contains(phone->last.out, part);
    e2e_stop(joining);
}

const char *wrong_code(void)
{
    static char text[sizeof code];
    memcpy(text, code, sizeof text);
    text[0] = text[0] == 'A' ? 'B' : 'A';
    return text;
}

void expect_alone(void)
{
    e2e_ok(desk, "persist peers notes >peers");
    e2e_ok(desk, "test $(grep -c . peers) -le 2 && ! grep -q phone peers");
    holds(!e2e_is_mounted(phone->folder));
    e2e_ok(phone, "test -z \"$(ls $PERSIST_HOME/spaces 2>/dev/null | grep -v member)\"");
}
