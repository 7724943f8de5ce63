/* What a mount held before it was unmounted, or its process killed, it holds after. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/manifest.h"
#include "tests/support/posix.h"

enum {
    ALL = MANIFEST_OWNER | MANIFEST_NUMBER | MANIFEST_LINKS | MANIFEST_SPARSE | MANIFEST_DIR_TIMES |
          MANIFEST_XATTR,
};

static void put_pattern(const char *path, size_t n, uint64_t seed)
{
    static uint8_t bytes[1 << 20];
    int fd = (int)ok(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    pattern_fill(bytes, n, seed, 0);
    holds(write_all(fd, bytes, n, 0));
    close(fd);
}

/* One of everything, in the current directory. */
static void make_everything(void)
{
    static const size_t sizes[] = {0, 1, 4096, 32768, 32769, 100000, 1 << 20};
    static const enum kind kinds[] = {KIND_DIR,  KIND_FULL_DIR, KIND_LINK_FILE,
                                      KIND_LINK, KIND_FIFO,     KIND_SOCKET};
    char name[64];
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        snprintf(name, sizeof name, "size%zu", sizes[i]);
        put_pattern(name, sizes[i], i);
    }
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        snprintf(name, sizeof name, "kind%zu", i);
        kind_make(kinds[i], name);
    }
    ok(mknod("device", S_IFCHR | 0600, makedev(1, 3)));
    make_dir("deep", 0755);
    make_dir("deep/er", 02775);
    put_file("deep/er/\xff odd\nname", "odd");
    ok(link("size100000", "deep/second-name"));
    ok(link("size1", "third"));
    ok(truncate("size4096", 100));
    int fd = (int)ok(open("sparse", O_CREAT | O_RDWR, 0600));
    same(pwrite(fd, "end", 3, 5000000), 3);
    close(fd);
    put_file("over", "old");
    put_pattern("new", 50000, 77);
    ok(rename("new", "over"));
    put_file_mode("modes", "", 07654);
    ok(lchown("size1", E2E_USER, E2E_OTHER));
    ok(lchown("kind2", E2E_OTHER, E2E_USER));
    ok(setxattr("size1", "user.note", "value\0more", 10, 0));
    ok(setxattr("deep", "trusted.t", "", 0, 0));
    /* rw for the owner, --x for user 65533, r-- for the group; mask rwx, nothing for others */
    static const char acl[] = "\2\0\0\0\1\0\6\0\377\377\377\377\2\0\1\0\375\377\0\0"
                              "\4\0\4\0\377\377\377\377\20\0\7\0\377\377\377\377"
                              "\40\0\0\0\377\377\377\377";
    ok(setxattr("size1", "system.posix_acl_access", acl, sizeof acl - 1, 0));
    ok(setxattr("deep/er", "system.posix_acl_default", acl, sizeof acl - 1, 0));
    put_file("deep/er/heir", "");
    struct timespec times[2] = {{-5, 999999999}, {5000000000, 1}};
    ok(utimensat(AT_FDCWD, "size0", times, 0));
    ok(utimensat(AT_FDCWD, "kind3", times, AT_SYMLINK_NOFOLLOW));
    ok(utimensat(AT_FDCWD, "deep", times, 0));
}

static void everything_is_there_after_a_remount(struct e2e *f)
{
    if (!e2e_mount(f, NULL))
        return;
    ok(chdir(f->folder));
    make_everything();
    ok(chdir("/"));
    char *before = manifest_of(f->folder, ALL);
    for (int i = 0; i < 2; i++) {
        e2e_unmount(f);
        holds(!e2e_is_mounted(f->folder));
        if (!e2e_mount(f, NULL))
            break;
        char *after = manifest_of(f->folder, ALL);
        same_tree(after, before);
        free(after);
    }
    /* And it goes on from there. */
    ok(chdir(f->folder));
    same(links_of("size1"), 2);
    put_file("size1", "new");
    check_file("third", "new");
    ok(chdir("/"));
    free(before);
}

static void what_was_answered_survives_the_process(struct e2e *f)
{
    if (!e2e_mount(f, NULL))
        return;
    ok(chdir(f->folder));
    make_everything();
    ok(chdir("/"));
    char *before = manifest_of(f->folder, ALL);
    pid_t pid = e2e_mount_pid(f);
    if (holds(pid > 0)) {
        ok(kill(pid, SIGKILL));
        e2e_wait_gone(pid, E2E_LONG_MS);
        e2e_ok(f, "persist unmount %s || true", f->folder);
        if (e2e_mount(f, NULL)) {
            char *after = manifest_of(f->folder, ALL);
            same_tree(after, before);
            free(after);
        }
    }
    free(before);
}

static void sixty_four_mebibytes_survive(struct e2e *f)
{
    enum { PIECE = 1 << 20, PIECES = 64 };
    static uint8_t want[PIECE], found[PIECE];
    char path[E2E_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/big", f->folder);
    if (!e2e_mount(f, NULL))
        return;
    int fd = (int)ok(open(path, O_CREAT | O_RDWR, 0600));
    for (int i = 0; i < PIECES; i++) {
        pattern_fill(want, PIECE, 5, (uint64_t)i * PIECE);
        holds(write_all(fd, want, PIECE, (off_t)i * PIECE));
    }
    close(fd);
    e2e_unmount(f);
    if (!e2e_mount(f, NULL))
        return;
    fd = (int)ok(open(path, O_RDWR));
    same(fstat_of(fd).st_size, (off_t)PIECES * PIECE);
    /* Changed in the middle, after it has been stored. */
    same(pwrite(fd, "changed", 7, 20 * PIECE + 5), 7);
    for (int i = 0; i < PIECES; i++) {
        pattern_fill(want, PIECE, 5, (uint64_t)i * PIECE);
        if (i == 20)
            memcpy(want + 5, "changed", 7);
        same(read_all(fd, found, PIECE, (off_t)i * PIECE), PIECE);
        if (!same_bytes(found, want, PIECE))
            break;
    }
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(everything_is_there_after_a_remount),
        E2E_TEST(what_was_answered_survives_the_process),
        E2E_TEST(sixty_four_mebibytes_survive),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
