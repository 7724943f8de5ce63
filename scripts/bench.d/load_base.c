#include "load_base.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "proto/sealed/entry.h"

enum {
    CONNECTING_MAX = 64,
    WAIT_S = 60,
    DOT_AT = EPOCH_ID_SIZE + 1 + 1 + 2 + SPACE_ID_SIZE /* of a sealed entry */
};

uint64_t load_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void load_must_be(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

/* ---- spaces and entries ---- */

void load_genesis(unsigned account, uint8_t ret[LOAD_GENESIS_SIZE], struct act_id *ret_id)
{
    memset(ret, 'g', LOAD_GENESIS_SIZE);
    put_u32(ret, account);
    *ret_id = act_id_of(bytes_of(ret, LOAD_GENESIS_SIZE));
}

void load_entry(unsigned account, size_t plain_n, struct buf *ret)
{
    uint8_t act[LOAD_GENESIS_SIZE];
    const uint8_t seed[SEED_SIZE] = {7};
    const uint8_t key[EPOCH_KEY_SIZE] = {9};
    struct act_id id;
    struct member_keys member;
    struct epoch_keys epoch;
    struct entry_head h = {.kind = ENTRY_VALUE, .dot = {1, 1}, .stamp = 1};
    struct entry_refs refs = {.acts = {.n = 0}};
    struct entry_draft draft;
    struct entry e;
    struct buf stored = {0};
    struct buf plain = {0};
    load_genesis(account, act, &id);
    memcpy(h.space.b, id.b, SPACE_ID_SIZE);
    load_must(buf_resize(&plain, plain_n), "an entry");
    load_must(member_keys_init(&member, seed), "a key");
    load_must(epoch_keys_init(&epoch, key), "a key");
    load_must(entry_draft_init(&draft, &h, &refs, buf_bytes(&plain)), "an entry");
    load_must(entry_sign(&member, &draft, 1, &stored), "an entry");
    load_must(entry_parse_stored(buf_bytes(&stored), &e), "an entry");
    load_must(entry_seal(&e, &epoch, ret), "an entry");
    entry_draft_fini(&draft);
    epoch_keys_fini(&epoch);
    member_keys_fini(&member);
    buf_fini(&stored);
    buf_fini(&plain);
}

void load_entry_dot(struct buf *entry, const struct dot *dot)
{
    dot_encode(dot, entry->p + DOT_AT);
}

struct dot load_entry_dot_of(struct bytes entry)
{
    return entry.n < DOT_AT + DOT_SIZE ? (struct dot){0, 0} : dot_decode(entry.p + DOT_AT);
}

/* ---- devices ---- */

struct load_device *load_read_devices(unsigned of_account, unsigned *ret_n)
{
    struct load_device *devices = NULL;
    unsigned n = 0;
    unsigned cap = 0;
    char line[TOKEN_TEXT_SIZE + 1];
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (n == cap) {
            cap = cap == 0 ? 1024 : 2 * cap;
            devices = reallocarray(devices, cap, sizeof *devices);
            load_must_be(devices != NULL, "out of memory");
        }
        uint8_t act[LOAD_GENESIS_SIZE];
        struct act_id id;
        load_genesis(n / of_account, act, &id);
        struct load_device *d = &devices[n];
        *d = (struct load_device){.number = n++};
        memcpy(d->token, line, strcspn(line, "\n"));
        memcpy(d->space, id.b, SPACE_ID_SIZE);
    }
    load_must_be(n > 0, "no tokens");
    *ret_n = n;
    return devices;
}

void load_connect_all(struct load *l, struct load_device *devices, unsigned n)
{
    unsigned begun = 0;
    unsigned open = 0;
    uint64_t came_us = load_now_us();
    while (open < n) {
        for (; begun < n && begun < open + CONNECTING_MAX; begun++)
            load_connect(l, &devices[begun]);
        load_turn(l, 100);
        for (; open < begun && devices[open].state == LOAD_OPEN; open++)
            came_us = load_now_us();
        load_must_be(load_now_us() < came_us + WAIT_S * UINT64_C(1000000),
                     "the devices do not all come in");
    }
}

/* ---- what a process has taken ---- */

static void read_proc(long pid, const char *name, char *ret, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/%s", pid, name);
    FILE *f = fopen(path, "re");
    load_must_be(f != NULL, "the server has ended");
    ret[fread(ret, 1, size - 1, f)] = '\0';
    fclose(f);
}

static double mib_of(const char *status, const char *name)
{
    const char *at = strstr(status, name);
    return at == NULL ? 0 : (double)strtoull(at + strlen(name), NULL, 10) / 1024;
}

/* Fields 14 and 15 of /proc/PID/stat; the second may hold spaces, and ends with a bracket. */
static double cpu_s_of(const char *stat)
{
    const char *at = strrchr(stat, ')');
    for (int field = 2; field < 14 && at != NULL; field++)
        at = strchr(at + 1, ' ');
    load_must_be(at != NULL, "/proc is not understood");
    char *end;
    unsigned long long ticks = strtoull(at, &end, 10);
    ticks += strtoull(end, NULL, 10);
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

struct load_used load_used_by(long pid)
{
    char text[4096];
    read_proc(pid, "stat", text, sizeof text);
    double cpu_s = cpu_s_of(text);
    read_proc(pid, "status", text, sizeof text);
    return (struct load_used){cpu_s, mib_of(text, "VmRSS:"), mib_of(text, "VmHWM:")};
}

void load_print_used(long pid, const char *when, struct load_used before, double seconds)
{
    struct load_used u = load_used_by(pid);
    printf("server, %-16s %.0f MiB resident, at most %.0f MiB; %.0f %% of a core\n", when,
           u.rss_mib, u.high_mib, 100 * (u.cpu_s - before.cpu_s) / seconds);
}
