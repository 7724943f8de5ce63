/* Access control lists: acl(5). */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/manifest.h"
#include "tests/support/posix.h"

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

enum { OWNER = 1, USER = 2, GROUP = 4, NAMED = 8, MASK = 16, OTHERS = 32, LIST_MAX = 8192 };

static uint8_t list[LIST_MAX], found[LIST_MAX];
static size_t list_n;

static void put_le(uint32_t v, unsigned n)
{
    for (; n > 0 && list_n < sizeof list; n--, v >>= 8)
        list[list_n++] = (uint8_t)v;
}

static void begin_list(uint32_t version)
{
    list_n = 0;
    put_le(version, 4);
}

static void entry(unsigned tag, unsigned perm, uint32_t id)
{
    put_le(tag, 2);
    put_le(perm, 2);
    put_le(id, 4);
}

/* Owner rw, user E2E_USER @user, group @group, mask @mask, others @others. */
static void make_list(unsigned user, unsigned group, unsigned mask, unsigned others)
{
    begin_list(2);
    entry(OWNER, 6, UINT32_MAX);
    entry(USER, user, E2E_USER);
    entry(GROUP, group, UINT32_MAX);
    entry(MASK, mask, UINT32_MAX);
    entry(OTHERS, others, UINT32_MAX);
}

static void make_plain(unsigned owner, unsigned group, unsigned others)
{
    begin_list(2);
    entry(OWNER, owner, UINT32_MAX);
    entry(GROUP, group, UINT32_MAX);
    entry(OTHERS, others, UINT32_MAX);
}

static int set_list(const char *path, const char *name)
{
    return setxattr(path, name, list, list_n, 0);
}

/* The file has the list that was made last. */
static void check_list(const char *path, const char *name)
{
    memset(found, 0, sizeof found);
    same(getxattr(path, name, found, sizeof found), list_n);
    same_bytes(found, list, list_n);
}

static void check_none(const char *path, const char *name)
{
    fails(getxattr(path, name, found, sizeof found), ENODATA);
}

/* ---- the list and the mode ---- */

static void lists_and_modes_say_the_same(struct e2e *f)
{
    (void)f;
    put_file_mode("x", "", 0604);
    check_none("x", ACCESS);
    make_list(7, 4, 5, 1);
    ok(set_list("x", ACCESS));
    check_list("x", ACCESS);
    same(mode_of("x"), 0651); /* the group's place shows the mask */
    same(listxattr("x", (char *)found, sizeof found), sizeof ACCESS);
    ok(chmod("x", 01423));
    same(mode_of("x"), 01423);
    begin_list(2);
    entry(OWNER, 4, UINT32_MAX);
    entry(USER, 7, E2E_USER);
    entry(GROUP, 4, UINT32_MAX); /* not changed: there is a mask */
    entry(MASK, 2, UINT32_MAX);
    entry(OTHERS, 3, UINT32_MAX);
    check_list("x", ACCESS);
    ok(removexattr("x", ACCESS));
    same(mode_of("x"), 01423);
    check_none("x", ACCESS);
    ok(removexattr("x", ACCESS));
    /* A list that says no more than a mode is one, and takes the place of what was there. */
    make_list(7, 7, 7, 7);
    ok(set_list("x", ACCESS));
    make_plain(6, 5, 4);
    ok(set_list("x", ACCESS));
    check_none("x", ACCESS);
    same(mode_of("x"), 01654);
    same(listxattr("x", (char *)found, sizeof found), 0);
    /* A mask that masks nobody is kept; an empty list is none. */
    begin_list(2);
    entry(OWNER, 6, UINT32_MAX);
    entry(GROUP, 6, UINT32_MAX);
    entry(MASK, 4, UINT32_MAX);
    entry(OTHERS, 0, UINT32_MAX);
    ok(set_list("x", ACCESS));
    check_list("x", ACCESS);
    same(mode_of("x"), 01640);
    begin_list(2);
    ok(set_list("x", ACCESS));
    check_none("x", ACCESS);
    same(mode_of("x"), 01640);
}

static void times_and_other_attributes(struct e2e *f)
{
    (void)f;
    put_file("x", "text");
    ok(setxattr("x", "user.a", "1", 1, 0));
    struct stat before = stat_of("x");
    next_tick();
    make_list(6, 4, 6, 0);
    ok(set_list("x", ACCESS));
    struct stat after = stat_of("x");
    holds(time_cmp(after.st_ctim, before.st_ctim) > 0);
    same(time_cmp(after.st_mtim, before.st_mtim), 0);
    same(listxattr("x", (char *)found, sizeof found), sizeof ACCESS + sizeof "user.a");
    ok(removexattr("x", "user.a"));
    check_list("x", ACCESS);
    ok(link("x", "y"));
    ok(rename("x", "z"));
    check_list("y", ACCESS);
    ok(chown("z", E2E_OTHER, E2E_OTHER));
    check_list("z", ACCESS);
    same(mode_of("z"), 0660);
    ok(truncate("z", 1));
    check_list("z", ACCESS);
    /* Another file of this name has none. */
    ok(unlink("y"));
    put_file("y", "");
    check_none("y", ACCESS);
}

static void default_lists_are_for_directories(struct e2e *f)
{
    (void)f;
    static const enum kind others[] = {KIND_FILE, KIND_FIFO, KIND_SOCKET};
    make_list(6, 4, 6, 0);
    for (size_t k = 0; k < ARRAY_N(others); k++) {
        check_about("%s", kind_name(others[k]));
        kind_make(others[k], "x");
        fails(set_list("x", DEFAULT), EACCES);
        ok(removexattr("x", DEFAULT));
        check_none("x", DEFAULT);
        ok(set_list("x", ACCESS));
        check_list("x", ACCESS);
        kind_remove("x");
    }
    check_about_nothing();
    kind_make(KIND_LINK_FILE, "x");
    fails(lsetxattr("x", ACCESS, list, list_n, 0), EOPNOTSUPP);
    fails(lsetxattr("x", DEFAULT, list, list_n, 0), EOPNOTSUPP);
    make_dir("d", 0751);
    ok(set_list("d", DEFAULT));
    check_list("d", DEFAULT);
    check_none("d", ACCESS);
    same(mode_of("d"), 0751);
    ok(chmod("d", 0700));
    check_list("d", DEFAULT);
    /* Of this kind, one that is as a mode is kept. */
    make_plain(7, 5, 5);
    ok(set_list("d", DEFAULT));
    check_list("d", DEFAULT);
    ok(removexattr("d", DEFAULT));
    check_none("d", DEFAULT);
    ok(removexattr("d", DEFAULT));
}

/* ---- what is no list ---- */

struct bad {
    const char *what;
    uint32_t version;
    size_t more; /* bytes more than the entries take */
    struct {
        unsigned tag, perm;
        uint32_t id;
    } entries[6];
};

static const struct bad bad[] = {
    {"a version of old", 1, 0, {{OWNER, 6, 0}, {GROUP, 4, 0}, {OTHERS, 4, 0}}},
    {"a version to come", 3, 0, {{OWNER, 6, 0}, {GROUP, 4, 0}, {OTHERS, 4, 0}}},
    {"a byte too many", 2, 1, {{OWNER, 6, 0}, {GROUP, 4, 0}, {OTHERS, 4, 0}}},
    {"half an entry", 2, 4, {{OWNER, 6, 0}, {GROUP, 4, 0}, {OTHERS, 4, 0}}},
    {"no owner", 2, 0, {{GROUP, 4, 0}, {OTHERS, 4, 0}}},
    {"no group", 2, 0, {{OWNER, 4, 0}, {OTHERS, 4, 0}}},
    {"no others", 2, 0, {{OWNER, 4, 0}, {GROUP, 4, 0}}},
    {"no mask", 2, 0, {{OWNER, 6, 0}, {USER, 6, 1}, {GROUP, 4, 0}, {OTHERS, 4, 0}}},
    {"no mask for a group", 2, 0, {{OWNER, 6, 0}, {GROUP, 4, 0}, {NAMED, 6, 1}, {OTHERS, 4, 0}}},
    {"two owners", 2, 0, {{OWNER, 6, 0}, {OWNER, 6, 0}, {GROUP, 4, 0}, {OTHERS, 4, 0}}},
    {"two groups", 2, 0, {{OWNER, 6, 0}, {GROUP, 6, 0}, {GROUP, 4, 0}, {OTHERS, 4, 0}}},
    {"two others", 2, 0, {{OWNER, 6, 0}, {GROUP, 4, 0}, {OTHERS, 4, 0}, {OTHERS, 4, 0}}},
    {"the group first", 2, 0, {{GROUP, 6, 0}, {OWNER, 4, 0}, {OTHERS, 4, 0}}},
    {"the mask too early", 2, 0, {{OWNER, 6, 0}, {MASK, 7, 0}, {GROUP, 4, 0}, {OTHERS, 4, 0}}},
    {"the mask too late", 2, 0, {{OWNER, 6, 0}, {GROUP, 4, 0}, {OTHERS, 4, 0}, {MASK, 7, 0}}},
    {"a strange tag", 2, 0, {{OWNER, 6, 0}, {GROUP, 4, 0}, {64, 7, 0}, {OTHERS, 4, 0}}},
    {"two tags at once", 2, 0, {{OWNER, 6, 0}, {GROUP | NAMED, 4, 0}, {OTHERS, 4, 0}}},
    {"more than rwx", 2, 0, {{OWNER, 8, 0}, {GROUP, 4, 0}, {OTHERS, 4, 0}}},
    {"a user that is none",
     2,
     0,
     {{OWNER, 6, 0}, {USER, 6, UINT32_MAX}, {GROUP, 4, 0}, {MASK, 7, 0}, {OTHERS, 4, 0}}},
};

static void what_is_no_list_is_refused(struct e2e *f)
{
    (void)f;
    static const char *const names[] = {ACCESS, DEFAULT};
    make_dir("d", 0755);
    for (size_t i = 0; i < ARRAY_N(bad); i++)
        for (size_t k = 0; k < ARRAY_N(names); k++) {
            check_about("%s, %s", bad[i].what, names[k]);
            begin_list(bad[i].version);
            for (size_t e = 0; e < ARRAY_N(bad[i].entries) && bad[i].entries[e].tag != 0; e++)
                entry(bad[i].entries[e].tag, bad[i].entries[e].perm, bad[i].entries[e].id);
            list_n += bad[i].more;
            fails(set_list("d", names[k]), bad[i].version == 2 ? EINVAL : EOPNOTSUPP);
            check_none("d", names[k]);
            same(mode_of("d"), 0755);
        }
    check_about("a list that is too long");
    begin_list(2);
    entry(OWNER, 6, UINT32_MAX);
    for (uint32_t i = 0; i < 600; i++)
        entry(USER, 4, i);
    entry(GROUP, 4, UINT32_MAX);
    entry(MASK, 4, UINT32_MAX);
    entry(OTHERS, 4, UINT32_MAX);
    holds(set_list("d", ACCESS) < 0 && (errno == E2BIG || errno == ENOSPC));
    check_none("d", ACCESS);
}

/* ---- enforcement ---- */

/* What user E2E_USER of group E2E_USER, also in group E2E_OTHER, may do with x. */
static void check_access(bool reads, bool writes)
{
    AS_WITH(E2E_USER, E2E_USER, E2E_OTHER)
    {
        gives(try_open("x", O_RDONLY), reads ? 0 : EACCES);
        gives(try_open("x", O_WRONLY), writes ? 0 : EACCES);
        gives(access("x", R_OK), reads ? 0 : EACCES);
        gives(access("x", W_OK), writes ? 0 : EACCES);
    }
}

static void named_users_and_groups_have_their_rights(struct e2e *f)
{
    (void)f;
    put_file_mode("x", "text", 0600);
    check_access(false, false);
    make_list(6, 0, 6, 0);
    ok(set_list("x", ACCESS));
    check_access(true, true);
    ok(chmod("x", 0640)); /* the mask */
    check_access(true, false);
    ok(chmod("x", 0616)); /* a user of the list is none of the others */
    check_access(false, false);
    ok(chmod("x", 0660));
    check_access(true, true);
    make_list(0, 6, 6, 6); /* and gets no more from a group */
    ok(set_list("x", ACCESS));
    ok(chown("x", 0, E2E_OTHER));
    check_access(false, false);
    begin_list(2);
    entry(OWNER, 6, UINT32_MAX);
    entry(GROUP, 0, UINT32_MAX);
    entry(NAMED, 4, E2E_OTHER);
    entry(NAMED, 2, E2E_USER);
    entry(MASK, 7, UINT32_MAX);
    entry(OTHERS, 0, UINT32_MAX);
    ok(chown("x", 0, 0));
    ok(set_list("x", ACCESS));
    check_access(true, true);
    AS_WITH(E2E_USER, E2E_USER, E2E_OTHER)
    {
        /* One group has to allow all that is asked for. */
        fails(try_open("x", O_RDWR), EACCES);
    }
    AS(E2E_OTHER, E2E_OTHER)
    {
        ok(try_open("x", O_RDONLY));
        fails(try_open("x", O_WRONLY), EACCES);
    }
    ok(removexattr("x", ACCESS)); /* the mask's bits are the group's now: root's */
    check_access(false, false);
}

static void directories_are_guarded(struct e2e *f)
{
    (void)f;
    make_dir("d", 0700);
    put_file("d/x", "text");
    AS(E2E_USER, E2E_USER)
    {
        fails(try_open("d/x", O_RDONLY), EACCES);
        fails(try_open("d/new", O_WRONLY | O_CREAT), EACCES);
    }
    make_list(1, 0, 7, 0);
    ok(set_list("d", ACCESS));
    AS(E2E_USER, E2E_USER)
    {
        ok(try_open("d/x", O_RDONLY));
        fails(try_open("d", O_RDONLY), EACCES);
        fails(try_open("d/new", O_WRONLY | O_CREAT), EACCES);
        fails(unlink("d/x"), EACCES);
    }
    make_list(7, 0, 7, 0);
    ok(set_list("d", ACCESS));
    AS(E2E_USER, E2E_USER)
    {
        ok(try_open("d", O_RDONLY));
        ok(try_open("d/new", O_WRONLY | O_CREAT));
        ok(unlink("d/x"));
    }
    AS(E2E_OTHER, E2E_OTHER)
    {
        fails(try_open("d/new", O_RDONLY), EACCES);
    }
}

static void only_the_owner_sets_lists(struct e2e *f)
{
    (void)f;
    put_file_mode("x", "", 0666);
    ok(chown("x", E2E_OTHER, E2E_OTHER));
    make_list(6, 6, 6, 6);
    AS(E2E_USER, E2E_USER)
    {
        fails(set_list("x", ACCESS), EPERM);
        fails(removexattr("x", ACCESS), EPERM);
    }
    AS(E2E_OTHER, E2E_OTHER)
    {
        ok(set_list("x", ACCESS));
    }
    AS(E2E_USER, E2E_USER)
    {
        check_list("x", ACCESS);
        fails(removexattr("x", ACCESS), EPERM);
    }
}

static void setgid_is_for_members(struct e2e *f)
{
    (void)f;
    static const struct {
        gid_t group;
        bool is_default;
        mode_t after;
    } rows[] = {{E2E_USER, false, 0670}, {E2E_OTHER, false, 02670}, {E2E_USER, true, 02755}};
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        check_about("row %zu", i);
        make_dir("d", 0755);
        ok(chown("d", E2E_USER, E2E_OTHER));
        ok(chmod("d", 02755));
        make_list(7, 5, 7, 0);
        AS_WITH(E2E_USER, E2E_USER, rows[i].group)
        {
            ok(set_list("d", rows[i].is_default ? DEFAULT : ACCESS));
        }
        same(mode_of("d"), rows[i].after);
        ok(rmdir("d"));
    }
    check_about_nothing();
    put_file_mode("x", "", 02755);
    ok(set_list("x", ACCESS));
    same(mode_of("x"), 02670);
}

/* ---- inheritance ---- */

static void new_files_inherit(struct e2e *f)
{
    (void)f;
    make_dir("d", 0755);
    make_list(7, 5, 7, 4);
    ok(set_list("d", DEFAULT));
    umask(077); /* has no say here */
    int fd = (int)ok(open("d/file", O_CREAT | O_WRONLY, 0666));
    ok(close(fd));
    same(mode_of("d/file"), 0664);
    ok(mkdir("d/dir", 01777));
    same(mode_of("d/dir"), 01674);
    ok(mkfifo("d/fifo", 0640));
    same(mode_of("d/fifo"), 0640);
    ok(symlink("file", "d/link"));
    ok(mknod("d/socket", S_IFSOCK | 0600, 0));
    same(mode_of("d/socket"), 0600);
    umask(0);
    check_list("d/dir", ACCESS);
    check_list("d/dir", DEFAULT);
    make_list(7, 5, 6, 4);
    check_list("d/file", ACCESS);
    check_none("d/file", DEFAULT);
    make_list(7, 5, 4, 0);
    check_list("d/fifo", ACCESS);
    make_list(7, 5, 0, 0);
    check_list("d/socket", ACCESS);
    same(lgetxattr("d/link", ACCESS, found, sizeof found), -1);
    /* What is moved or linked there stays what it is. */
    put_file_mode("x", "", 0604);
    ok(link("x", "d/x"));
    check_none("d/x", ACCESS);
    same(mode_of("d/x"), 0604);
    /* Down to the next directory, and no longer once that has none. */
    umask(027);
    ok(mkdir("d/dir/dir", 0755));
    make_list(7, 5, 7, 4);
    check_list("d/dir/dir", DEFAULT);
    ok(removexattr("d/dir", DEFAULT));
    ok(mkdir("d/dir/plain", 0777));
    same(mode_of("d/dir/plain"), 0750);
    umask(0);
    check_none("d/dir/plain", ACCESS);
    check_none("d/dir/plain", DEFAULT);
}

static void a_default_as_a_mode_takes_the_place_of_umask(struct e2e *f)
{
    (void)f;
    make_dir("d", 02755);
    ok(chown("d", 0, E2E_OTHER));
    ok(chmod("d", 02755));
    make_plain(7, 7, 0);
    ok(set_list("d", DEFAULT));
    umask(0777);
    ok(close((int)ok(open("d/file", O_CREAT | O_WRONLY, 0644))));
    ok(mkdir("d/dir", 0777));
    umask(0);
    same(mode_of("d/file"), 0640);
    same(mode_of("d/dir"), 02770);
    same(stat_of("d/dir").st_gid, E2E_OTHER);
    check_none("d/file", ACCESS);
    check_none("d/dir", ACCESS);
    check_list("d/dir", DEFAULT);
    /* A user's file, and what others may do with it at once. */
    make_list(6, 0, 6, 0);
    ok(chmod("d", 0777));
    ok(set_list("d", DEFAULT));
    AS(E2E_OTHER, E2E_OTHER)
    {
        umask(022);
        ok(close((int)ok(open("d/theirs", O_CREAT | O_WRONLY, 0666))));
        ok(close((int)ok(open("d/closed", O_CREAT | O_WRONLY, 0600))));
    }
    AS(E2E_USER, E2E_USER)
    {
        ok(try_open("d/theirs", O_RDWR));
        fails(try_open("d/closed", O_RDONLY), EACCES);
    }
}

/* ---- programs ---- */

/* Runs lines of sh in the test's directory; set -e holds. */
static const struct e2e_result *in_mount(struct e2e *f, const char *lines)
{
    char here[PATH_MAX];
    holds(getcwd(here, sizeof here) != NULL);
    const struct e2e_result *r = e2e_sh(f, "set -e; cd %s; exec 2>&1; %s", here, lines);
    if (r->status != 0)
        check_fail("status %d: %.3000s", r->status, r->out);
    return r;
}

static void setfacl_and_getfacl_agree(struct e2e *f)
{
    const struct e2e_result *r =
        in_mount(f, "umask 022; echo text > x; mkdir d; setfacl -m u:65533:rw,g:65534:r-x x; "
                    "setfacl -d -m u:65533:rwx d; echo > d/new; mkdir d/sub; "
                    "chmod g-w x; getfacl -ncE x d d/new; stat -c %A x d; "
                    "setfacl -b x; setfacl -k d; getfacl -nc x d; stat -c %A x d");
    same_text(r->out, "user::rw-\nuser:65533:rw-\ngroup::r--\ngroup:65534:r-x\nmask::r-x\n"
                      "other::r--\n\n"
                      "user::rwx\ngroup::r-x\nother::r-x\ndefault:user::rwx\n"
                      "default:user:65533:rwx\ndefault:group::r-x\ndefault:mask::rwx\n"
                      "default:other::r-x\n\n"
                      "user::rw-\nuser:65533:rwx\ngroup::r-x\nmask::rw-\nother::r--\n\n"
                      "-rw-r-xr--\ndrwxr-xr-x\n"
                      "user::rw-\ngroup::r--\nother::r--\n\n"
                      "user::rwx\ngroup::r-x\nother::r-x\n\n"
                      "-rw-r--r--\ndrwxr-xr-x\n");
}

static void copies_keep_lists(struct e2e *f)
{
    const struct e2e_result *r = in_mount(
        f, "mkdir -p src/sub $HOME/out; for i in 1 2 3; do echo $i > src/sub/f$i; done; "
           "setfacl -m u:65533:rw,m::rwx src/sub/f1; setfacl -m g:65534:r,m::r src/sub/f2; "
           "setfacl -m u:65533:x src; setfacl -d -m u:65533:rwx,o::- src/sub; "
           "umask 077; cp -a src cp; rsync -aHAX src/ rsync/; rsync -aHAXi src/ rsync/; "
           "tar --acls -cf one.tar src; mkdir tar; tar -C tar --acls -xpf one.tar; "
           "cp -a src $HOME/out/; cp -a $HOME/out/src back; cp -p src/sub/f1 alone; "
           "for d in src cp rsync tar/src $HOME/out/src back; do "
           "  (cd $d; find . | sort | xargs getfacl -n) > list.$(echo $d | tr / _); done; "
           "for l in list.*; do cmp list.src $l; done; "
           "getfacl -nc src/sub/f1 > a; getfacl -nc alone > b; cmp a b; rm -r $HOME/out; "
           "getfacl -Rn src > saved; setfacl -Rb src; setfacl --restore=saved; "
           "getfacl -Rn src | cmp - saved; grep -c '^user:65533:' saved");
    same_text(r->out, "2\n");
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(lists_and_modes_say_the_same),
        E2E_TEST(times_and_other_attributes),
        E2E_TEST(default_lists_are_for_directories),
        E2E_TEST(what_is_no_list_is_refused),
        E2E_TEST(named_users_and_groups_have_their_rights),
        E2E_TEST(directories_are_guarded),
        E2E_TEST(only_the_owner_sets_lists),
        E2E_TEST(setgid_is_for_members),
        E2E_TEST(new_files_inherit),
        E2E_TEST(a_default_as_a_mode_takes_the_place_of_umask),
        E2E_TEST(setfacl_and_getfacl_agree),
        E2E_TEST(copies_keep_lists),
    };
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
