/* Extended attributes: xattr(7). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/posix.h"

enum { VALUE_MAX = 65536, NAME_MAX_BYTES = 255 };

static uint8_t value[VALUE_MAX + 1], found[VALUE_MAX + 1];

static void flags_decide(struct e2e *f)
{
    (void)f;
    static const enum kind kinds[] = {KIND_FILE, KIND_DIR};
    for (size_t k = 0; k < ARRAY_N(kinds); k++) {
        check_about("%s", kind_name(kinds[k]));
        kind_make(kinds[k], "x");
        fails(getxattr("x", "user.a", found, sizeof found), ENODATA);
        fails(setxattr("x", "user.a", "1", 1, XATTR_REPLACE), ENODATA);
        fails(removexattr("x", "user.a"), ENODATA);
        ok(setxattr("x", "user.a", "12", 2, XATTR_CREATE));
        fails(setxattr("x", "user.a", "3", 1, XATTR_CREATE), EEXIST);
        same(getxattr("x", "user.a", found, sizeof found), 2);
        same_bytes(found, "12", 2);
        ok(setxattr("x", "user.a", "345", 3, XATTR_REPLACE));
        same(getxattr("x", "user.a", found, sizeof found), 3);
        same_bytes(found, "345", 3);
        ok(setxattr("x", "user.a", "6", 1, 0));
        same(getxattr("x", "user.a", NULL, 0), 1);
        ok(setxattr("x", "user.b", "", 0, 0));
        same(getxattr("x", "user.b", found, sizeof found), 0);
        fails(setxattr("x", "user.a", "", 0, 0x40), EINVAL);
        ok(removexattr("x", "user.a"));
        fails(getxattr("x", "user.a", found, sizeof found), ENODATA);
        same(getxattr("x", "user.b", found, sizeof found), 0);
        kind_remove("x");
    }
}

static void sizes_are_told_and_checked(struct e2e *f)
{
    static const size_t sizes[] = {0, 1, 2, 255, 256, 2000, 4000, 16384, 65535, 65536};
    put_file("x", "");
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        /* A local disk keeps them in one block. */
        if (f->foreign && sizes[i] > 2000)
            break;
        check_about("a value of %zu bytes", sizes[i]);
        pattern_fill(value, sizes[i], i, 0);
        ok(setxattr("x", "user.v", value, sizes[i], 0));
        same(getxattr("x", "user.v", NULL, 0), sizes[i]);
        memset(found, 0, sizeof found);
        same(getxattr("x", "user.v", found, sizeof found), sizes[i]);
        same_bytes(found, value, sizes[i]);
        same(getxattr("x", "user.v", found, sizes[i]), sizes[i]);
        if (sizes[i] > 1)
            fails(getxattr("x", "user.v", found, sizes[i] - 1), ERANGE);
        ok(removexattr("x", "user.v"));
    }
    check_about_nothing();
    fails(setxattr("x", "user.v", value, VALUE_MAX + 1, 0), E2BIG);
    char name[NAME_MAX_BYTES + 2];
    memset(name, 'n', sizeof name);
    memcpy(name, "user.", 5);
    name[NAME_MAX_BYTES] = '\0';
    ok(setxattr("x", name, "v", 1, 0));
    same(getxattr("x", name, found, sizeof found), 1);
    same(listxattr("x", NULL, 0), NAME_MAX_BYTES + 1);
    name[NAME_MAX_BYTES] = 'n';
    name[NAME_MAX_BYTES + 1] = '\0';
    fails(setxattr("x", name, "v", 1, 0), ERANGE);
    fails(setxattr("x", "", "v", 1, 0), ERANGE);
}

/* Those of a user go to other devices in one piece. A local disk has its own limit. */
static void all_of_a_user_end_somewhere(struct e2e *f)
{
    if (f->foreign)
        return;
    put_file("x", "");
    pattern_fill(value, 40000, 1, 0);
    ok(setxattr("x", "user.a", value, 40000, 0));
    fails(setxattr("x", "user.b", value, 40000, 0), ENOSPC);
    fails(getxattr("x", "user.b", NULL, 0), ENODATA);
    ok(setxattr("x", "user.b", value, 26000, 0));
    fails(setxattr("x", "user.b", value, 26100, 0), ENOSPC);
    same(getxattr("x", "user.b", NULL, 0), 26000);
    ok(setxattr("x", "trusted.a", value, 40000, 0)); /* stays on this device */
    ok(removexattr("x", "user.a"));
    ok(setxattr("x", "user.b", value, 40000, 0));
}

static void lists_are_complete(struct e2e *f)
{
    (void)f;
    enum { N = 60 };
    char name[32], list[4096];
    bool seen[N] = {false};
    put_file("x", "");
    same(listxattr("x", list, sizeof list), 0);
    size_t bytes = 0;
    for (int i = 0; i < N; i++) {
        bytes += 1 + (size_t)snprintf(name, sizeof name, "user.name%d", i);
        ok(setxattr("x", name, name, strlen(name), 0));
    }
    same(listxattr("x", NULL, 0), bytes);
    fails(listxattr("x", list, bytes - 1), ERANGE);
    ssize_t n = listxattr("x", list, sizeof list);
    same(n, bytes);
    for (const char *p = list; n > 0 && p < list + n; p += strlen(p) + 1) {
        unsigned long i = strncmp(p, "user.name", 9) == 0 ? strtoul(p + 9, NULL, 10) : N;
        if (holds(i < N)) {
            holds(!seen[i]);
            seen[i] = true;
        }
    }
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "user.name%d", i);
        size_t k = (size_t)ok(getxattr("x", name, found, sizeof found));
        same(k, strlen(name));
        same_bytes(found, name, k);
        if (i % 2 == 0)
            ok(removexattr("x", name));
    }
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "user.name%d", i);
        gives(getxattr("x", name, found, sizeof found), i % 2 == 0 ? ENODATA : 0);
    }
}

static void name_spaces_have_rules(struct e2e *f)
{
    (void)f;
    static const enum kind others[] = {KIND_LINK, KIND_LINK_FILE, KIND_FIFO, KIND_SOCKET};
    for (size_t k = 0; k < ARRAY_N(others); k++) {
        check_about("%s", kind_name(others[k]));
        kind_make(others[k], "x");
        fails(lsetxattr("x", "user.a", "1", 1, 0), EPERM);
        fails(lgetxattr("x", "user.a", found, sizeof found), ENODATA);
        fails(lremovexattr("x", "user.a"), EPERM);
        ok(lsetxattr("x", "trusted.a", "1", 1, 0));
        same(lgetxattr("x", "trusted.a", found, sizeof found), 1);
        same(llistxattr("x", (char *)found, sizeof found), sizeof "trusted.a");
        ok(lremovexattr("x", "trusted.a"));
        kind_remove("x");
    }
    check_about_nothing();
    put_file("x", "");
    ok(symlink("x", "link"));
    ok(setxattr("link", "user.a", "1", 1, 0));
    same(getxattr("x", "user.a", found, sizeof found), 1);
    fails(setxattr("x", "strange.a", "1", 1, 0), EOPNOTSUPP);
    fails(setxattr("x", "nodot", "1", 1, 0), EOPNOTSUPP);
    holds(getxattr("x", "strange.a", found, sizeof found) < 0);
    holds(setxattr("x", "user.", "1", 1, 0) < 0);
    ok(setxattr("x", "trusted.a", "secret", 6, 0));
    ok(chmod("x", 0666));
    AS(E2E_USER, E2E_USER)
    {
        fails(setxattr("x", "trusted.a", "1", 1, 0), EPERM);
        fails(getxattr("x", "trusted.a", found, sizeof found), ENODATA);
        fails(removexattr("x", "trusted.a"), EPERM);
        same(listxattr("x", (char *)found, sizeof found), sizeof "user.a");
    }
    /* Access control lists: see posix_acl_test. */
    fails(getxattr("x", "system.posix_acl_access", found, sizeof found), ENODATA);
    fails(setxattr("x", "system.other", "1", 1, 0), EOPNOTSUPP);
    /* A label that is not there; and one that is. */
    ssize_t n = getxattr("x", "security.selinux", found, sizeof found);
    holds(n < 0 && (errno == ENODATA || errno == EOPNOTSUPP));
    ok(setxattr("x", "security.selinux", "a:b:c", 5, 0));
    same(getxattr("x", "security.selinux", found, sizeof found), 5);
    ok(removexattr("x", "security.selinux"));
}

static void permissions_hold(struct e2e *f)
{
    (void)f;
    put_file("x", "");
    ok(chown("x", E2E_USER, E2E_USER));
    ok(setxattr("x", "user.a", "1", 1, 0));
    ok(chmod("x", 0604));
    AS(E2E_OTHER, E2E_OTHER)
    {
        same(getxattr("x", "user.a", found, sizeof found), 1);
        fails(setxattr("x", "user.a", "2", 1, 0), EACCES);
        fails(removexattr("x", "user.a"), EACCES);
    }
    ok(chmod("x", 0602));
    AS(E2E_OTHER, E2E_OTHER)
    {
        fails(getxattr("x", "user.a", found, sizeof found), EACCES);
        ok(setxattr("x", "user.a", "2", 1, 0));
    }
    ok(chmod("x", 0));
    AS(E2E_USER, E2E_USER)
    {
        fails(getxattr("x", "user.a", found, sizeof found), EACCES);
        fails(setxattr("x", "user.a", "2", 1, 0), EACCES);
    }
    make_dir("sticky", 01777);
    AS(E2E_USER, E2E_USER)
    {
        fails(setxattr("sticky", "user.a", "1", 1, 0), EPERM);
    }
    fails(setxattr("none", "user.a", "1", 1, 0), ENOENT);
    int fd = (int)ok(open("x", O_RDONLY));
    ok(fsetxattr(fd, "user.b", "fd", 2, 0));
    same(fgetxattr(fd, "user.b", found, sizeof found), 2);
    ok(fremovexattr(fd, "user.b"));
    close(fd);
    fd = (int)ok(open("x", O_PATH));
    fails(fgetxattr(fd, "user.a", found, sizeof found), EBADF);
    close(fd);
}

static void attributes_belong_to_the_file(struct e2e *f)
{
    (void)f;
    put_file("x", "1");
    ok(setxattr("x", "user.a", "value", 5, 0));
    ok(link("x", "y"));
    ok(rename("x", "z"));
    same(getxattr("y", "user.a", found, sizeof found), 5);
    ok(setxattr("y", "user.a", "more", 4, 0));
    same(getxattr("z", "user.a", found, sizeof found), 4);
    /* A file that is written over by name is another one. */
    put_file("new", "2");
    ok(rename("new", "z"));
    fails(getxattr("z", "user.a", found, sizeof found), ENODATA);
    int fd = (int)ok(open("y", O_RDONLY));
    ok(unlink("y"));
    same(fgetxattr(fd, "user.a", found, sizeof found), 4);
    ok(fsetxattr(fd, "user.b", "still", 5, 0));
    same(fgetxattr(fd, "user.b", found, sizeof found), 5);
    close(fd);
    put_file("y", "3");
    same(listxattr("y", (char *)found, sizeof found), 0);
    uint8_t bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    ok(setxattr("y", "user.\xc3\xa9\xff\n", bytes, sizeof bytes, 0));
    same(getxattr("y", "user.\xc3\xa9\xff\n", found, sizeof found), 256);
    same_bytes(found, bytes, 256);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(flags_decide),
        E2E_TEST(sizes_are_told_and_checked),
        E2E_TEST(all_of_a_user_end_somewhere),
        E2E_TEST(lists_are_complete),
        E2E_TEST(name_spaces_have_rules),
        E2E_TEST(permissions_hold),
        E2E_TEST(attributes_belong_to_the_file),
    };
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
