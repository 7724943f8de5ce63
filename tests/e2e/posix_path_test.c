/* What every call that takes a path has in common: lengths, missing and wrong components, loops. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/posix.h"

enum { MAKES = 1, FOLLOWS = 2 };

/* Each makes one call on a path; 0 or -1 with errno. */
static int do_open(const char *p)
{
    int fd = open(p, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : close(fd);
}

static int do_create(const char *p)
{
    int fd = open(p, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : close(fd);
}

static int do_stat(const char *p)
{
    struct stat st;
    return stat(p, &st);
}

static int do_lstat(const char *p)
{
    struct stat st;
    return lstat(p, &st);
}

static int do_access(const char *p)
{
    return access(p, F_OK);
}

static int do_chmod(const char *p)
{
    return chmod(p, 0600);
}

static int do_chown(const char *p)
{
    return chown(p, (uid_t)-1, (gid_t)-1);
}

static int do_lchown(const char *p)
{
    return lchown(p, (uid_t)-1, (gid_t)-1);
}

static int do_truncate(const char *p)
{
    return truncate(p, 0);
}

static int do_utimens(const char *p)
{
    return utimensat(AT_FDCWD, p, NULL, 0);
}

static int do_statvfs(const char *p)
{
    struct statvfs v;
    return statvfs(p, &v);
}

static int do_readlink(const char *p)
{
    char c;
    return readlink(p, &c, 1) < 0 ? -1 : 0;
}

static int do_setxattr(const char *p)
{
    return setxattr(p, "user.a", "1", 1, 0);
}

static int do_getxattr(const char *p)
{
    return getxattr(p, "user.a", NULL, 0) < 0 ? -1 : 0;
}

static int do_listxattr(const char *p)
{
    return listxattr(p, NULL, 0) < 0 ? -1 : 0;
}

static int do_removexattr(const char *p)
{
    return removexattr(p, "user.a");
}

static int do_mkdir(const char *p)
{
    return mkdir(p, 0700);
}

static int do_mkfifo(const char *p)
{
    return mkfifo(p, 0600);
}

static int do_symlink(const char *p)
{
    return symlink("to", p);
}

static int do_link_to(const char *p)
{
    return link("file", p);
}

static int do_link_from(const char *p)
{
    return link(p, "new");
}

static int do_rename_to(const char *p)
{
    return rename("file", p);
}

static int do_rename_from(const char *p)
{
    return rename(p, "new");
}

static int do_unlink(const char *p)
{
    return unlink(p);
}

static int do_rmdir(const char *p)
{
    return rmdir(p);
}

static int do_chdir(const char *p)
{
    return chdir(p);
}

static int do_opendir(const char *p)
{
    DIR *d = opendir(p);
    return d == NULL ? -1 : closedir(d);
}

static int do_exec(const char *p)
{
    return execl(p, p, (char *)NULL);
}

static const struct call {
    const char *name;
    int (*run)(const char *path);
    int kind;
} calls[] = {
    {"open", do_open, FOLLOWS},
    {"open with O_CREAT", do_create, MAKES | FOLLOWS},
    {"stat", do_stat, FOLLOWS},
    {"lstat", do_lstat, 0},
    {"access", do_access, FOLLOWS},
    {"chmod", do_chmod, FOLLOWS},
    {"chown", do_chown, FOLLOWS},
    {"lchown", do_lchown, 0},
    {"truncate", do_truncate, FOLLOWS},
    {"utimensat", do_utimens, FOLLOWS},
    {"statvfs", do_statvfs, FOLLOWS},
    {"readlink", do_readlink, 0},
    {"setxattr", do_setxattr, FOLLOWS},
    {"getxattr", do_getxattr, FOLLOWS},
    {"listxattr", do_listxattr, FOLLOWS},
    {"removexattr", do_removexattr, FOLLOWS},
    {"mkdir", do_mkdir, MAKES},
    {"mkfifo", do_mkfifo, MAKES},
    {"symlink", do_symlink, MAKES},
    {"link to", do_link_to, MAKES},
    {"link from", do_link_from, 0},
    {"rename to", do_rename_to, MAKES},
    {"rename from", do_rename_from, 0},
    {"unlink", do_unlink, 0},
    {"rmdir", do_rmdir, 0},
    {"chdir", do_chdir, FOLLOWS},
    {"opendir", do_opendir, FOLLOWS},
    {"execve", do_exec, FOLLOWS},
};

static void what_every_path_call_refuses(struct e2e *f)
{
    (void)f;
    static char too_long[PATH_MAX + 2], long_name[NAME_MAX + 2];
    for (size_t i = 0; i <= PATH_MAX; i++)
        too_long[i] = i % 2 == 0 ? '.' : '/';
    memset(long_name, 'n', NAME_MAX + 1);
    char long_inside[2 * NAME_MAX];
    snprintf(long_inside, sizeof long_inside, "%s/x", long_name);
    put_file("file", "text");
    make_dir("shut", 0700);
    put_file("shut/file", "text");
    ok(chmod("shut", 0600));
    ok(symlink("loop", "loop"));
    for (size_t i = 0; i < ARRAY_N(calls); i++) {
        const struct call *c = &calls[i];
        check_about("%s", c->name);
        fails(c->run(""), ENOENT);
        fails(c->run("missing/x"), ENOENT);
        fails(c->run("missing/../x/y"), ENOENT);
        fails(c->run("file/x"), ENOTDIR);
        fails(c->run("file/x/y"), ENOTDIR);
        fails(c->run("loop/x"), ELOOP);
        fails(c->run(long_name), ENAMETOOLONG);
        fails(c->run(long_inside), ENAMETOOLONG);
        fails(c->run(too_long), ENAMETOOLONG);
        if ((c->kind & MAKES) == 0)
            fails(c->run("missing"), ENOENT);
        if ((c->kind & FOLLOWS) != 0)
            fails(c->run("loop"), ELOOP);
        AS(E2E_USER, E2E_USER)
        {
            fails(c->run("shut/file"), EACCES);
            fails(c->run("shut/x"), EACCES);
        }
    }
    check_file("file", "text");
    holds(!exists("new"));
}

static void the_longest_names_and_paths_work(struct e2e *f)
{
    (void)f;
    static char path[PATH_MAX + 1], name[NAME_MAX + 1];
    memset(name, 'm', NAME_MAX);
    for (size_t i = 0; i < ARRAY_N(calls); i++) {
        if ((calls[i].kind & MAKES) == 0)
            continue;
        check_about("%s of the longest name", calls[i].name);
        put_file("file", "text");
        ok(calls[i].run(name));
        holds(exists(name));
        kind_remove(name);
        if (exists("file"))
            ok(unlink("file"));
    }
    check_about("the longest path");
    put_file("file", "text");
    size_t n = PATH_MAX - 1 - 4;
    for (size_t i = 0; i < n; i++)
        path[i] = i % 2 == 0 ? '.' : '/';
    path[n] = '\0';
    if (path[n - 1] != '/')
        path[n - 1] = '/';
    strcat(path, "file");
    same(strlen(path), PATH_MAX - 1);
    check_file(path, "text");
    for (size_t i = 0; i < ARRAY_N(calls); i++) {
        const struct call *c = &calls[i];
        if (c->run == do_stat || c->run == do_chmod || c->run == do_utimens || c->run == do_open)
            ok(c->run(path));
    }
    strcat(path, "/");
    fails(do_stat(path), ENAMETOOLONG);
}

static void slashes_and_dots(struct e2e *f)
{
    (void)f;
    make_dir("d", 0755);
    put_file("d/file", "text");
    check_file("d//file", "text");
    check_file("./d/./file", "text");
    check_file("d/../d/file", "text");
    check_file("d/.//..///d/file", "text");
    fails(do_stat("d/file/"), ENOTDIR);
    fails(do_stat("d/file/."), ENOTDIR);
    fails(do_stat("d/file/.."), ENOTDIR);
    ok(do_stat("d/"));
    fails(do_create("d/new/"), EISDIR);
    ok(symlink("d", "link"));
    same(S_ISLNK(lstat_of("link").st_mode), true);
    same(S_ISDIR(lstat_of("link/").st_mode), true);
    check_file("link/file", "text");
    fails(do_readlink("link/"), EINVAL);
    fails(do_unlink("link/"), ENOTDIR);
    fails(do_rmdir("link/"), ENOTDIR);
    ok(do_unlink("link"));
}

static void the_root_is_a_directory(struct e2e *f)
{
    if (f->foreign)
        return;
    char path[E2E_PATH_MAX + 64];
    struct stat st = stat_of(f->folder);
    holds(S_ISDIR(st.st_mode));
    snprintf(path, sizeof path, "%s/.", f->folder);
    same(ino_of(path), st.st_ino);
    holds(stat_of(f->top).st_dev != st.st_dev);
    same(stat_of(".").st_dev, st.st_dev);
    snprintf(path, sizeof path, "%s/..", f->folder);
    same(ino_of(path), ino_of(f->top));
    ok(chmod(f->folder, 0750));
    same(mode_of(f->folder), 0750);
    ok(chmod(f->folder, 0755));
    put_file("x", "x");
    snprintf(path, sizeof path, "%s/x", f->top);
    fails(rename("x", path), EXDEV);
    fails(link("x", path), EXDEV);
    fails(unlink(f->folder), EISDIR);
}

static void file_systems_tell_their_limits(struct e2e *f)
{
    (void)f;
    struct statvfs v, by_fd;
    ok(statvfs(".", &v));
    same(v.f_namemax, NAME_MAX);
    holds(v.f_bsize >= 512 && v.f_frsize >= 512);
    holds(v.f_blocks > 0 && v.f_bfree <= v.f_blocks && v.f_bavail <= v.f_bfree);
    holds(v.f_files > 0 && v.f_ffree <= v.f_files);
    int fd = (int)ok(open("x", O_CREAT | O_RDWR, 0600));
    ok(fstatvfs(fd, &by_fd));
    same(by_fd.f_blocks, v.f_blocks);
    same(by_fd.f_bsize, v.f_bsize);
    same(by_fd.f_fsid, v.f_fsid);
    same(pathconf("x", _PC_NAME_MAX), NAME_MAX);
    same(fpathconf(fd, _PC_PATH_MAX), PATH_MAX);
    holds(pathconf("x", _PC_LINK_MAX) >= 8);
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(what_every_path_call_refuses),
        E2E_TEST(the_longest_names_and_paths_work),
        E2E_TEST(slashes_and_dots),
        E2E_TEST(the_root_is_a_directory),
        E2E_TEST(file_systems_tell_their_limits),
    };
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
