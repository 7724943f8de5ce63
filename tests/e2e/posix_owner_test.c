/* chmod(2), chown(2), and when the bits that lend privileges are taken away. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/posix.h"

static void chmod_sets_each_bit(struct e2e *f)
{
    (void)f;
    static const enum kind kinds[] = {KIND_FILE, KIND_DIR, KIND_FIFO, KIND_SOCKET};
    for (size_t k = 0; k < ARRAY_N(kinds); k++) {
        kind_make(kinds[k], "x");
        for (mode_t bit = 1; bit <= 04000; bit <<= 1) {
            check_about("%s, mode %04o", kind_name(kinds[k]), (unsigned)bit);
            ok(chmod("x", bit));
            same(mode_of("x"), bit);
            ok(fchmodat(AT_FDCWD, "x", 07777 & ~bit, 0));
            same(mode_of("x"), 07777 & ~bit);
        }
        kind_remove("x");
    }
}

static void only_the_owner_changes_modes(struct e2e *f)
{
    (void)f;
    put_file_mode("x", "", 0666);
    ok(chown("x", E2E_USER, E2E_USER));
    AS(E2E_USER, E2E_OTHER)
    {
        ok(chmod("x", 0604));
        int fd = (int)ok(open("x", O_RDONLY));
        ok(fchmod(fd, 0646));
        close(fd);
        same(mode_of("x"), 0646);
    }
    AS(E2E_OTHER, E2E_USER)
    {
        fails(chmod("x", 0777), EPERM);
        int fd = (int)ok(open("x", O_RDONLY));
        fails(fchmod(fd, 0777), EPERM);
        close(fd);
        same(mode_of("x"), 0646);
    }
    ok(chmod("x", 0));
    AS(E2E_USER, E2E_USER)
    {
        fails(try_open("x", O_RDONLY), EACCES);
        ok(chmod("x", 0400));
        ok(try_open("x", O_RDONLY));
        fails(try_open("x", O_WRONLY), EACCES);
    }
    /* A group that the owner is not in cannot be lent. */
    ok(chown("x", E2E_USER, E2E_OTHER));
    AS(E2E_USER, E2E_USER)
    {
        ok(chmod("x", 02755));
        same(mode_of("x"), 0755);
        ok(chmod("x", 04755));
        same(mode_of("x"), 04755);
    }
    AS_WITH(E2E_USER, E2E_USER, E2E_OTHER)
    {
        ok(chmod("x", 02755));
        same(mode_of("x"), 02755);
    }
}

static void who_may_change_owners(struct e2e *f)
{
    (void)f;
    put_file("x", "");
    ok(chown("x", E2E_USER, E2E_USER));
    AS_WITH(E2E_USER, E2E_USER, E2E_OTHER)
    {
        fails(chown("x", E2E_OTHER, (gid_t)-1), EPERM);
        fails(chown("x", 0, 0), EPERM);
        fails(chown("x", (uid_t)-1, 0), EPERM);
        ok(chown("x", (uid_t)-1, E2E_OTHER));
        same(lstat_of("x").st_gid, E2E_OTHER);
        ok(chown("x", E2E_USER, E2E_USER));
        ok(chown("x", (uid_t)-1, (gid_t)-1));
        same(lstat_of("x").st_gid, E2E_USER);
    }
    AS(E2E_OTHER, E2E_USER)
    {
        fails(chown("x", E2E_OTHER, (gid_t)-1), EPERM);
        fails(chown("x", (uid_t)-1, E2E_USER), EPERM);
        ok(chown("x", (uid_t)-1, (gid_t)-1));
    }
    ok(symlink("x", "link"));
    AS(E2E_USER, E2E_USER)
    {
        fails(lchown("link", (uid_t)-1, E2E_USER), EPERM);
    }
    for (uint64_t id = 1; id < UINT32_MAX; id = id * 7 + 1) {
        ok(chown("x", (uid_t)id, (gid_t)(id / 2)));
        same(lstat_of("x").st_uid, (uid_t)id);
        same(lstat_of("x").st_gid, (gid_t)(id / 2));
    }
}

/* What a call leaves of a mode. */
enum by { BY_ROOT, BY_OWNER, BY_OTHER };
enum act {
    CHOWN_SAME,
    CHGRP,
    WRITE,
    WRITE_NOTHING,
    TRUNCATE,
    FTRUNCATE,
    FALLOCATE,
    OPEN_TRUNC,
    LINK
};

static const char *const act_names[] = {"chown",    "chgrp",     "write",     "write of nothing",
                                        "truncate", "ftruncate", "fallocate", "open with O_TRUNC",
                                        "link"};

static void do_act(enum act act)
{
    int fd = -1;
    switch (act) {
    case CHOWN_SAME:
        ok(chown("x", E2E_USER, E2E_USER));
        break;
    case CHGRP:
        ok(chown("x", (uid_t)-1, E2E_OTHER));
        break;
    case WRITE:
    case WRITE_NOTHING:
        fd = (int)ok(open("x", O_WRONLY));
        same(write(fd, "y", act == WRITE), act == WRITE);
        break;
    case TRUNCATE:
        ok(truncate("x", 1));
        break;
    case FTRUNCATE:
        fd = (int)ok(open("x", O_WRONLY));
        ok(ftruncate(fd, 2));
        break;
    case FALLOCATE:
        fd = (int)ok(open("x", O_WRONLY));
        ok(fallocate(fd, 0, 0, 20));
        break;
    case OPEN_TRUNC:
        fd = (int)ok(open("x", O_WRONLY | O_TRUNC));
        break;
    case LINK:
        ok(link("x", "open/y"));
        ok(unlink("open/y"));
        break;
    }
    if (fd >= 0)
        close(fd);
}

static void lent_privileges_do_not_survive_changes(struct e2e *f)
{
    (void)f;
    static const struct {
        enum by by;
        enum act act;
        mode_t before, after;
    } rows[] = {
        {BY_OWNER, CHOWN_SAME, 06755, 0755},     {BY_OWNER, CHGRP, 06755, 0755},
        {BY_OWNER, CHGRP, 04755, 0755},          {BY_OWNER, CHGRP, 02755, 0755},
        {BY_OWNER, CHGRP, 01755, 01755},         {BY_ROOT, CHOWN_SAME, 06755, 0755},
        {BY_ROOT, CHGRP, 06711, 0711},           {BY_OTHER, WRITE, 06777, 0777},
        {BY_OTHER, WRITE, 04666, 0666},          {BY_OTHER, WRITE, 03777, 01777},
        {BY_OTHER, WRITE_NOTHING, 06777, 06777}, {BY_OTHER, TRUNCATE, 06777, 0777},
        {BY_OTHER, FTRUNCATE, 06777, 0777},      {BY_OTHER, FTRUNCATE, 04666, 0666},
        {BY_OTHER, OPEN_TRUNC, 06777, 0777},     {BY_OTHER, FALLOCATE, 06777, 0777},
        {BY_OWNER, WRITE, 06777, 0777},          {BY_OWNER, TRUNCATE, 06777, 0777},
        {BY_ROOT, WRITE, 06777, 06777},          {BY_ROOT, TRUNCATE, 06777, 06777},
        {BY_ROOT, FALLOCATE, 06777, 06777},      {BY_OWNER, LINK, 06755, 06755},
    };
    make_dir("open", 0777);
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        check_about("%s by %s, mode %04o", act_names[rows[i].act],
                    rows[i].by == BY_ROOT    ? "root"
                    : rows[i].by == BY_OWNER ? "the owner"
                                             : "another user",
                    (unsigned)rows[i].before);
        put_file("x", "0123456789");
        ok(chown("x", E2E_USER, E2E_USER));
        ok(chmod("x", rows[i].before));
        if (rows[i].by == BY_ROOT)
            do_act(rows[i].act);
        else
            AS_WITH(rows[i].by == BY_OWNER ? E2E_USER : E2E_OTHER,
                    rows[i].by == BY_OWNER ? E2E_USER : E2E_OTHER, E2E_OTHER)
            {
                do_act(rows[i].act);
            }
        same(mode_of("x"), rows[i].after);
        ok(unlink("x"));
    }
    check_about("directories keep theirs");
    make_dir("d", 0755);
    ok(chmod("d", 02755));
    ok(chown("d", E2E_USER, E2E_USER));
    same(mode_of("d"), 02755);
}

static void groups_count(struct e2e *f)
{
    (void)f;
    put_file("x", "x");
    ok(chown("x", 0, E2E_OTHER));
    ok(chmod("x", 0060));
    AS(E2E_USER, E2E_USER)
    {
        fails(try_open("x", O_RDONLY), EACCES);
    }
    AS_WITH(E2E_USER, E2E_USER, E2E_OTHER)
    {
        ok(try_open("x", O_RDWR));
    }
    AS(E2E_USER, E2E_OTHER)
    {
        ok(try_open("x", O_RDWR));
    }
    ok(chmod("x", 0606));
    AS(E2E_USER, E2E_OTHER)
    {
        /* The group's bits hold for its members, not the others'. */
        fails(try_open("x", O_RDONLY), EACCES);
    }
    ok(chmod("x", 0));
    ok(try_open("x", O_RDWR));
    fails(access("x", X_OK), EACCES);
    ok(chmod("x", 0001));
    ok(access("x", X_OK));
}

static void a_changed_mode_counts_from_the_next_open(struct e2e *f)
{
    (void)f;
    put_file("x", "text");
    ok(chown("x", E2E_USER, E2E_USER));
    AS(E2E_USER, E2E_USER)
    {
        char c;
        int fd = (int)ok(open("x", O_RDWR));
        ok(chmod("x", 0));
        same(pread(fd, &c, 1, 0), 1);
        same(pwrite(fd, "T", 1, 0), 1);
        ok(ftruncate(fd, 2));
        fails(try_open("x", O_RDONLY), EACCES);
        fails(truncate("x", 0), EACCES);
        ok(fchmod(fd, 0600));
        ok(try_open("x", O_RDWR));
        close(fd);
    }
    check_file("x", "Te");
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(chmod_sets_each_bit),   E2E_TEST(only_the_owner_changes_modes),
        E2E_TEST(who_may_change_owners), E2E_TEST(lent_privileges_do_not_survive_changes),
        E2E_TEST(groups_count),          E2E_TEST(a_changed_mode_counts_from_the_next_open),
    };
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
