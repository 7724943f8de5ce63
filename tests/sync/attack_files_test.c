/*
 * What a hostile member's records do to the files, programs and terminals of others: attacks 27 and
 * 28 of the list in proto/sealed/README.md.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "fs/space/verb.h"
#include "proto/base/log.h"
#include "sync/state/statefile.h"
#include "tests/support/harmless.h"
#include "tests/support/hostile_member.h"
#include "tests/support/scratch.h"
#include "tests/support/sync_meet.h"

enum { ANNA, MALLORY, DEVICES, HOSTILE_REMOTE = 99 };

static struct sync_meet w;
static char top[64]; /* for what is exported, and what must not be touched */

static int setup(void **state)
{
    static const char *const labels[DEVICES] = {"anna", "mallory"};
    (void)state;
    log_set_level(LOG_LEVEL_NONE);
    sync_meet_open(&w, labels, DEVICES);
    assert_true(scratch_dir(top, sizeof top, "attack"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sync_meet_close(&w);
    (void)!statefile_remove_tree(AT_FDCWD, top, NULL);
    return 0;
}

static const char *below(const char *name)
{
    static char path[4][160];
    static unsigned at;
    char *p = path[at++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", top, name);
    return p;
}

/* Anna takes a change of mallory with these files. */
static void give(struct hostile_file *files, size_t n)
{
    struct buf change CLEANUP(buf_fini) = {0}, sealed CLEANUP(buf_fini) = {0};
    struct hostile_entry x = {.dot = hostile_next_dot(&w.d[MALLORY])};
    x.after = x.dot.counter - 1;
    hostile_change(&w.d[MALLORY], &x.dot, files, n, &change);
    x.plain = buf_bytes(&change);
    hostile_entry_seal(&w.d[MALLORY], &x, &sealed);
    for (size_t i = 0; i < DEVICES; i++)
        assert_int_equal(space_sync_take_entry(w.d[i].s, HOSTILE_REMOTE, buf_bytes(&sealed)),
                         SYNC_TAKEN);
}

static struct hostile_file named(enum kind kind, const char *name, const char *content)
{
    return (struct hostile_file){.kind = kind,
                                 .name = name,
                                 .name_n = strlen(name),
                                 .content = bytes_str(content),
                                 .stamp = tidy_now_ms() << 16};
}

/* ---- verbs -------------------------------------------------------------------------------------
 */

struct kept {
    struct out out; /* first */
    struct buf text;
};

static int keep(struct out *o, struct bytes v)
{
    struct kept *k = CONTAINER_OF(o, struct kept, out);
    buf_put_bytes(&k->text, v);
    return buf_status(&k->text);
}

static void keep_error(struct out *o, const char *line)
{
    struct kept *k = CONTAINER_OF(o, struct kept, out);
    buf_put_bytes(&k->text, bytes_str(line));
}

static bool never(struct out *o, unsigned wait_ms)
{
    (void)o;
    (void)wait_ms;
    return false;
}

static int run(struct kept *k, const char *verb, const char *a, const char *b)
{
    struct verb_call call = {.verb = verb, .folder = "/folder", .name = "name", .mounted = true};
    const char *args[] = {a, b};
    k->out = (struct out){.write = keep, .error = keep_error, .cancelled = never};
    for (; call.args_n < 2 && args[call.args_n] != NULL; call.args_n++)
        call.args[call.args_n] = args[call.args_n];
    return verb_find(verb)->run(w.d[ANNA].s, &call, &k->out);
}

static int export_all(const char *to)
{
    struct kept k = {.text = {0}};
    int status = run(&k, "export", "", to);
    buf_fini(&k.text);
    return status;
}

/* ---- attack 27 ---------------------------------------------------------------------------------
 */

static void put_victim(void)
{
    int fd = open(below("victim"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "mine", 4), 4);
    close(fd);
    assert_int_equal(mkdir(below("outside"), 0700), 0);
}

static void expect_victim(void)
{
    char text[16] = "";
    struct stat st;
    int fd = open(below("victim"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof text), 4);
    close(fd);
    assert_string_equal(text, "mine");
    DIR *d = opendir(below("outside"));
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        assert_int_equal(e->d_name[0], '.');
    closedir(d);
    assert_int_equal(stat(below("outside"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_child_behind_a_symlink_is_exported_into_the_folder_alone(void **state)
{
    (void)state;
    char outside[80], victim[80];
    put_victim();
    snprintf(outside, sizeof outside, "%s/outside", top);
    snprintf(victim, sizeof victim, "%s/victim", top);
    /* A symlink and a folder of one name, a file of the name of a symlink to a file. */
    struct hostile_file f[] = {named(KIND_SYMLINK, "d", outside), named(KIND_DIR, "d", ""),
                               named(KIND_FILE, "child", "planted"),
                               named(KIND_SYMLINK, "v", victim), named(KIND_FILE, "v", "planted")};
    memset(f[1].rid.b, 0x11, RID_SIZE);
    f[1].rid.b[RID_SIZE - 1] = KIND_DIR;
    f[2].parent = f[1].rid;
    give(f, ARRAY_N(f));
    assert_int_equal(mkdir(below("to"), 0700), 0);
    assert_int_equal(export_all(below("to")), VERB_OK);
    expect_victim();
}

static void a_parent_that_is_a_symlink_is_refused(void **state)
{
    (void)state;
    struct buf change CLEANUP(buf_fini) = {0}, sealed CLEANUP(buf_fini) = {0};
    struct hostile_file f[] = {named(KIND_SYMLINK, "d", "/tmp"), named(KIND_FILE, "child", "x")};
    memset(f[0].rid.b, 0x22, RID_SIZE);
    f[0].rid.b[RID_SIZE - 1] = (0x22 & ~3) | KIND_SYMLINK;
    f[1].parent = f[0].rid;
    struct hostile_entry x = {.dot = hostile_next_dot(&w.d[MALLORY])};
    hostile_change(&w.d[MALLORY], &x.dot, f, 2, &change);
    x.plain = buf_bytes(&change);
    hostile_entry_seal(&w.d[MALLORY], &x, &sealed);
    assert_int_equal(space_sync_take_entry(w.d[ANNA].s, HOSTILE_REMOTE, buf_bytes(&sealed)),
                     SYNC_REFUSED);
    assert_int_equal(device_ino(&w.d[ANNA], "d"), 0);
}

static void names_with_escape_sequences_do_nothing_to_a_terminal(void **state)
{
    (void)state;
    static const char *const shown[] = {"log", "status", "conflicts", "check", "gc"};
    struct hostile_file f[] = {
        named(KIND_FILE, "\x1b]0;owned\x07\x1b[2J\x1b[31mred", "x"),
        named(KIND_FILE, "back\b\b\b\rcarriage", "x"),
        named(KIND_FILE,
              "c1 \xc2\x9b"
              "2J and \x9b"
              "2J",
              "x"),
        named(KIND_FILE, "line\nline \x7f", "x"),
        named(KIND_SYMLINK, "link", "\x1b[2J"),
    };
    give(f, ARRAY_N(f));
    for (size_t i = 0; i < ARRAY_N(shown); i++) {
        struct kept k = {.text = {0}};
        (void)run(&k, shown[i], "", "");
        expect_harmless(buf_bytes(&k.text));
        buf_fini(&k.text);
    }
    /* An error that names it, too. */
    struct kept k = {.text = {0}};
    (void)run(&k, "show", "\x1b[2J not there", "\x1b[2J");
    expect_harmless(buf_bytes(&k.text));
    buf_fini(&k.text);
}

static void a_label_with_escape_sequences_is_not_shown(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x1b[2J", "a/b", "..\342\200\256gnp.exe", "\xff\xfe", ""};
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        struct buf raw CLEANUP(buf_fini) = {0}, peers CLEANUP(buf_fini) = {0};
        uint8_t label[ACT_LABEL_SIZE];
        struct act a;
        const struct sync *y = w.d[MALLORY].s->sync;
        memset(&a, 0, sizeof a);
        a.kind = ACT_LABEL;
        a.label = label;
        assert_int_equal(
            act_label_seal(sync_epoch(w.d[MALLORY].s), &y->space, &y->id, bytes_str(bad[i]), label),
            0);
        hostile_act(&w.d[MALLORY], &a, &raw);
        for (size_t k = 0; k < DEVICES; k++)
            assert_int_equal(space_sync_take_act(w.d[k].s, HOSTILE_REMOTE, buf_bytes(&raw)),
                             SYNC_TAKEN);
        assert_true(space_sync_state(w.d[MALLORY].s) >= 0);
        sync_meet_give(&w, MALLORY, ANNA);
        assert_int_equal(space_sync_peers(w.d[ANNA].s, &peers), 0);
        struct sync_peer p;
        assert_int_equal(peers.n, sizeof p);
        memcpy(&p, peers.p, sizeof p);
        assert_true(utf8_is_label(bytes_str(p.label)));
        assert_string_not_equal(p.label, bad[i]);
    }
}

/* ---- attack 28 ---------------------------------------------------------------------------------
 */

static void put_xattrs(struct buf *b)
{
    value_xattr_put(b, bytes_str("security.capability"),
                    bytes_of("\x01\0\0\x02\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20));
    value_xattr_put(b, bytes_str("system.posix_acl_access"), bytes_str("x"));
    value_xattr_put(b, bytes_str("trusted.overlay.opaque"), bytes_str("y"));
    value_xattr_put(b, bytes_str("user.mine"), bytes_str("kept"));
}

static void expect_harmless_file(const char *path)
{
    struct stat st;
    char value[64];
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_true(getxattr(path, "security.capability", value, sizeof value) < 0);
    assert_true(getxattr(path, "trusted.overlay.opaque", value, sizeof value) < 0);
}

static void setuid_and_security_attributes_have_no_effect(void **state)
{
    (void)state;
    struct buf xattrs CLEANUP(buf_fini) = {0}, got CLEANUP(buf_fini) = {0};
    struct attr a;
    put_xattrs(&xattrs);
    struct hostile_file f[] = {named(KIND_FILE, "tool", "#!/bin/sh\n"),
                               named(KIND_DIR, "folder", "")};
    f[0].mode = 06755;
    f[0].xattrs = buf_bytes(&xattrs);
    f[1].mode = 07777;
    give(f, ARRAY_N(f));
    assert_int_equal(tree_getattr(w.d[ANNA].s->tree, device_ino(&w.d[ANNA], "tool"), &a), 0);
    assert_int_equal(a.mode, S_IFREG | 0755);
    assert_int_equal(tree_getattr(w.d[ANNA].s->tree, device_ino(&w.d[ANNA], "folder"), &a), 0);
    assert_int_equal(a.mode, S_IFDIR | 0777);
    uint64_t ino = device_ino(&w.d[ANNA], "tool");
    assert_true(tree_xattr_get(w.d[ANNA].s->tree, ino, bytes_str("security.capability"), &got) < 0);
    assert_true(tree_xattr_get(w.d[ANNA].s->tree, ino, bytes_str("trusted.overlay.opaque"), &got) <
                0);
    assert_int_equal(mkdir(below("to"), 0700), 0);
    assert_int_equal(export_all(below("to")), VERB_OK);
    expect_harmless_file(below("to/tool"));
}

static void a_record_of_no_known_kind_is_refused(void **state)
{
    (void)state;
    /* Directories, files and symlinks are all there is: the fourth kind, a device, is none. */
    struct buf change CLEANUP(buf_fini) = {0}, sealed CLEANUP(buf_fini) = {0};
    struct hostile_file f = named(KIND_FILE, "sda", "x");
    memset(f.rid.b, 0x31, RID_SIZE);
    f.rid.b[RID_SIZE - 1] = 0x30 | KIND_FILE;
    struct hostile_entry x = {.dot = hostile_next_dot(&w.d[MALLORY])};
    hostile_change(&w.d[MALLORY], &x.dot, &f, 1, &change);
    for (uint8_t *p = change.p;
         (p = memmem(p, change.n - (size_t)(p - change.p), f.rid.b, RID_SIZE)) != NULL;)
        p[RID_SIZE - 1] = 0x33;
    x.plain = buf_bytes(&change);
    hostile_entry_seal(&w.d[MALLORY], &x, &sealed);
    assert_int_equal(space_sync_take_entry(w.d[ANNA].s, HOSTILE_REMOTE, buf_bytes(&sealed)),
                     SYNC_REFUSED);
    /* Nor does a mode make one. */
    struct hostile_file g = named(KIND_FILE, "sdb", "x");
    g.mode = S_IFBLK | 0666;
    hostile_change(&w.d[MALLORY], &x.dot, &g, 1, &change);
    x.plain = buf_bytes(&change);
    hostile_entry_seal(&w.d[MALLORY], &x, &sealed);
    assert_int_equal(space_sync_take_entry(w.d[ANNA].s, HOSTILE_REMOTE, buf_bytes(&sealed)),
                     SYNC_REFUSED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_child_behind_a_symlink_is_exported_into_the_folder_alone),
        TEST(a_parent_that_is_a_symlink_is_refused),
        TEST(names_with_escape_sequences_do_nothing_to_a_terminal),
        TEST(a_label_with_escape_sequences_is_not_shown),
        TEST(setuid_and_security_attributes_have_no_effect),
        TEST(a_record_of_no_known_kind_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
