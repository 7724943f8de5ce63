/* utimensat(2), and which of a file's times each operation changes. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/posix.h"

/* Times of long ago: whatever is later was changed. Access is the oldest, as relatime needs it. */
static const struct timespec old_times[2] = {{1000000000, 111111111}, {1100000000, 222222222}};

enum { A = 1, M = 2, C = 4 };

enum op {
    CHMOD,
    FCHMOD,
    CHOWN,
    UTIMENS_NOW,
    LINK,
    LINK_EXISTS,
    UNLINK_OTHER,
    RENAME,
    RENAME_TO_DIR,
    RENAME_OVER,
    WRITE,
    WRITE_NOTHING,
    APPEND,
    TRUNCATE_LESS,
    TRUNCATE_MORE,
    OPEN_READ,
    OPEN_CREAT,
    OPEN_TRUNC,
    OPEN_EXCL,
    READ,
    READ_NOTHING,
    SETXATTR,
    SETXATTR_FAILS,
    GETXATTR,
    REMOVEXATTR,
    FALLOCATE,
    PUNCH,
    ZERO_RANGE,
    COPY_TO,
    COPY_FROM,
    MAP_WRITE,
    MAP_READ,
    STAT,
    ACCESS,
    SYNC,
    LIST,
    READLINK,
    MKDIR,
    RMDIR,
    SYMLINK,
    MKNOD,
    CREATE,
    UNLINK,
    MKDIR_EXISTS,
    LOCK,
    MOVE_IN,
};

/* What changes in the object "d/x" and in the directory "d". */
static const struct row {
    enum op op;
    const char *name;
    enum kind kind;
    int object, dir;
} rows[] = {
    {CHMOD, "chmod", KIND_FILE, C, 0},
    {CHMOD, "chmod of a directory", KIND_DIR, C, 0},
    {FCHMOD, "fchmod", KIND_FILE, C, 0},
    {CHOWN, "chown", KIND_FILE, C, 0},
    {CHOWN, "lchown of a link", KIND_LINK, C, 0},
    {UTIMENS_NOW, "utimensat(NULL)", KIND_FILE, A | M | C, 0},
    {LINK, "link", KIND_FILE, C, M | C},
    {LINK, "link of a fifo", KIND_FIFO, C, M | C},
    {LINK_EXISTS, "link that fails", KIND_FILE, 0, 0},
    {UNLINK_OTHER, "unlink of another name", KIND_FILE, C, M | C},
    {RENAME, "rename", KIND_FILE, C, M | C},
    {RENAME, "rename of a directory", KIND_DIR, C, M | C},
    {RENAME_TO_DIR, "rename away", KIND_FILE, C, M | C},
    {RENAME_OVER, "rename over", KIND_FILE, C, M | C},
    {MOVE_IN, "rename into", KIND_FILE, 0, M | C},
    {WRITE, "write", KIND_FILE, M | C, 0},
    {WRITE_NOTHING, "write of nothing", KIND_FILE, 0, 0},
    {APPEND, "append", KIND_FILE, M | C, 0},
    {TRUNCATE_LESS, "truncate, shorter", KIND_FILE, M | C, 0},
    {TRUNCATE_MORE, "truncate, longer", KIND_FILE, M | C, 0},
    {OPEN_READ, "open", KIND_FILE, 0, 0},
    {OPEN_CREAT, "open with O_CREAT of what exists", KIND_FILE, 0, 0},
    {OPEN_TRUNC, "open with O_TRUNC", KIND_FILE, M | C, 0},
    {OPEN_EXCL, "open that fails", KIND_FILE, 0, 0},
    {READ, "read", KIND_FILE, A, 0},
    {READ_NOTHING, "read of nothing", KIND_FILE, 0, 0},
    {SETXATTR, "setxattr", KIND_FILE, C, 0},
    {SETXATTR, "setxattr of a directory", KIND_DIR, C, 0},
    {SETXATTR_FAILS, "setxattr that fails", KIND_FILE, 0, 0},
    {GETXATTR, "getxattr", KIND_FILE, 0, 0},
    {REMOVEXATTR, "removexattr", KIND_FILE, C, 0},
    {FALLOCATE, "fallocate", KIND_FILE, M | C, 0},
    {PUNCH, "fallocate, a hole", KIND_FILE, M | C, 0},
    {ZERO_RANGE, "fallocate, zeros", KIND_FILE, M | C, 0},
    {COPY_TO, "copy_file_range to it", KIND_FILE, M | C, 0},
    {COPY_FROM, "copy_file_range from it", KIND_FILE, 0, 0},
    {MAP_WRITE, "write through a mapping", KIND_FILE, M | C, 0},
    {MAP_READ, "read through a mapping", KIND_FILE, A, 0},
    {STAT, "stat", KIND_FILE, 0, 0},
    {ACCESS, "access", KIND_FILE, 0, 0},
    {SYNC, "fsync", KIND_FILE, 0, 0},
    {LOCK, "lock", KIND_FILE, 0, 0},
    {LIST, "readdir", KIND_FULL_DIR, A, 0},
    {READLINK, "readlink", KIND_LINK, A, 0},
    {MKDIR, "mkdir", KIND_NONE, A | M | C, M | C},
    {RMDIR, "rmdir", KIND_DIR, 0, M | C},
    {SYMLINK, "symlink", KIND_NONE, A | M | C, M | C},
    {MKNOD, "mknod", KIND_NONE, A | M | C, M | C},
    {CREATE, "creation", KIND_NONE, A | M | C, M | C},
    {UNLINK, "unlink", KIND_FILE, 0, M | C},
    {MKDIR_EXISTS, "mkdir that fails", KIND_DIR, 0, 0},
};

static void with_file(enum op op)
{
    char c[4];
    int fd = (int)ok(open("d/x", op == APPEND ? O_WRONLY | O_APPEND : O_RDWR));
    int other = -1;
    void *p;
    switch ((int)op) {
    case FCHMOD:
        ok(fchmod(fd, 0600));
        break;
    case WRITE:
    case APPEND:
        same(write(fd, "y", 1), 1);
        break;
    case WRITE_NOTHING:
        same(write(fd, "y", 0), 0);
        break;
    case READ:
        same(read(fd, c, 1), 1);
        break;
    case READ_NOTHING:
        same(read(fd, c, 0), 0);
        break;
    case FALLOCATE:
        ok(fallocate(fd, 0, 0, 10000));
        break;
    case PUNCH:
        ok(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4));
        break;
    case ZERO_RANGE:
        ok(fallocate(fd, FALLOC_FL_ZERO_RANGE, 1, 3));
        break;
    case COPY_TO:
    case COPY_FROM:
        other = (int)ok(open("other", O_RDWR));
        same(copy_file_range(op == COPY_TO ? other : fd, NULL, op == COPY_TO ? fd : other, NULL, 2,
                             0),
             2);
        break;
    case MAP_WRITE:
        p = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        holds(p != MAP_FAILED);
        memcpy(p, "map", 3);
        ok(msync(p, 4, MS_SYNC));
        munmap(p, 4);
        break;
    case MAP_READ:
        p = mmap(NULL, 4, PROT_READ, MAP_SHARED, fd, 0);
        holds(p != MAP_FAILED && memcmp(p, "a", 1) == 0);
        munmap(p, 4);
        break;
    case SYNC:
        ok(fsync(fd));
        break;
    case LOCK:
        ok(lockf(fd, F_TLOCK, 0));
        break;
    default:
        break;
    }
    if (other >= 0)
        close(other);
    close(fd);
}

static void with_names(enum op op)
{
    DIR *d;
    int fd;
    switch ((int)op) {
    case LINK:
        ok(link("d/x", "d/more"));
        break;
    case LINK_EXISTS:
        fails(link("d/x", "d/y"), EEXIST);
        break;
    case UNLINK_OTHER:
        ok(unlink("d/second"));
        break;
    case RENAME:
        ok(rename("d/x", "d/z"));
        break;
    case RENAME_TO_DIR:
        ok(rename("d/x", "away"));
        break;
    case RENAME_OVER:
        ok(rename("d/x", "d/y"));
        break;
    case MOVE_IN:
        ok(rename("other", "d/other"));
        break;
    case MKDIR:
        ok(mkdir("d/x", 0755));
        break;
    case MKDIR_EXISTS:
        fails(mkdir("d/x", 0755), EEXIST);
        break;
    case RMDIR:
        ok(rmdir("d/x"));
        break;
    case SYMLINK:
        ok(symlink("to", "d/x"));
        break;
    case MKNOD:
        ok(mknod("d/x", S_IFIFO | 0600, 0));
        break;
    case CREATE:
        fd = (int)ok(open("d/x", O_CREAT | O_WRONLY, 0600));
        close(fd);
        break;
    case UNLINK:
        ok(unlink("d/x"));
        break;
    case LIST:
        d = opendir("d/x");
        while (readdir(d) != NULL)
            ;
        closedir(d);
        break;
    default:
        with_file(op);
        break;
    }
}

static void act(enum op op)
{
    char text[64];
    int fd;
    switch ((int)op) {
    case CHMOD:
        ok(chmod("d/x", 0700));
        break;
    case CHOWN:
        ok(lchown("d/x", E2E_USER, E2E_USER));
        break;
    case UTIMENS_NOW:
        ok(utimensat(AT_FDCWD, "d/x", NULL, 0));
        break;
    case TRUNCATE_LESS:
        ok(truncate("d/x", 2));
        break;
    case TRUNCATE_MORE:
        ok(truncate("d/x", 20000));
        break;
    case OPEN_READ:
    case OPEN_CREAT:
    case OPEN_TRUNC:
        fd = (int)ok(open("d/x",
                          op == OPEN_READ    ? O_RDONLY
                          : op == OPEN_CREAT ? O_RDWR | O_CREAT
                                             : O_WRONLY | O_TRUNC,
                          0600));
        close(fd);
        break;
    case OPEN_EXCL:
        fails(open("d/x", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
        break;
    case SETXATTR:
        ok(setxattr("d/x", "user.new", "1", 1, 0));
        break;
    case SETXATTR_FAILS:
        fails(setxattr("d/x", "user.is", "2", 1, XATTR_CREATE), EEXIST);
        break;
    case GETXATTR:
        ok(getxattr("d/x", "user.is", text, sizeof text));
        ok(listxattr("d/x", text, sizeof text));
        break;
    case REMOVEXATTR:
        ok(removexattr("d/x", "user.is"));
        break;
    case STAT:
        stat_of("d/x");
        break;
    case ACCESS:
        ok(access("d/x", R_OK));
        break;
    case READLINK:
        ok(readlink("d/x", text, sizeof text));
        break;
    default:
        with_names(op);
        break;
    }
}

static void prepare(const struct row *row)
{
    make_dir("d", 0755);
    put_file("other", "other text");
    put_file("d/y", "");
    kind_make(row->kind, "d/x");
    if (row->kind == KIND_FILE) {
        ok(setxattr("d/x", "user.is", "1", 1, 0));
        ok(link("d/x", "d/second"));
    }
    if (row->kind != KIND_NONE)
        ok(utimensat(AT_FDCWD, "d/x", old_times, AT_SYMLINK_NOFOLLOW));
    ok(utimensat(AT_FDCWD, "d", old_times, 0));
}

/* Where the object is after the operation, or NULL. */
static const char *place(enum op op)
{
    switch ((int)op) {
    case RENAME:
        return "d/z";
    case RENAME_TO_DIR:
        return "away";
    case RENAME_OVER:
        return "d/y";
    case RMDIR:
    case UNLINK:
        return NULL;
    default:
        return "d/x";
    }
}

static int changes(const struct stat *before, const struct stat *after)
{
    return (time_cmp(after->st_atim, before->st_atim) != 0 ? A : 0) |
           (time_cmp(after->st_mtim, before->st_mtim) != 0 ? M : 0) |
           (time_cmp(after->st_ctim, before->st_ctim) != 0 ? C : 0);
}

static const char *show(int what)
{
    static const char *const names[] = {"nothing", "a", "m", "am", "c", "ac", "mc", "amc"};
    return names[what & 7];
}

/* What changed got a time between the start and the end of the operation. */
static void check_new(const struct stat *st, int what, struct timespec from, struct timespec to)
{
    const struct timespec times[] = {st->st_atim, st->st_mtim, st->st_ctim};
    for (int i = 0; i < 3; i++)
        if ((what & 1 << i) != 0 && (time_cmp(times[i], from) < 0 || time_cmp(times[i], to) > 0))
            check_fail("%s is %jd.%09ld, not between %jd.%09ld and %jd.%09ld", show(1 << i),
                       (intmax_t)times[i].tv_sec, times[i].tv_nsec, (intmax_t)from.tv_sec,
                       from.tv_nsec, (intmax_t)to.tv_sec, to.tv_nsec);
}

static void run_row(const struct row *row)
{
    prepare(row);
    struct stat dir = lstat_of("d"), object = {0};
    if (row->kind != KIND_NONE)
        object = lstat_of("d/x");
    next_tick();
    struct timespec from = coarse_now(), to;
    act(row->op);
    clock_gettime(CLOCK_REALTIME, &to);
    if (place(row->op) != NULL) {
        struct stat now = lstat_of(place(row->op));
        int found = changes(&object, &now);
        /* Mapping a file may count as reading it, and copying within the file system need not. */
        if (row->op == MAP_WRITE || row->op == COPY_FROM)
            found &= ~A;
        if (found != row->object)
            check_fail("of the file changes %s, expected %s", show(found), show(row->object));
        check_new(&now, found & row->object, from, to);
    }
    struct stat dir_now = lstat_of("d");
    /* Opening names in it may count as reading it. */
    int found = changes(&dir, &dir_now) & ~A;
    if (found != row->dir)
        check_fail("of the directory changes %s, expected %s", show(found), show(row->dir));
    check_new(&dir_now, found & row->dir, from, to);
    kind_remove("d");
    kind_remove("away");
    kind_remove("other");
}

static void each_operation_changes_its_times(struct e2e *f)
{
    (void)f;
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        check_about("%s", rows[i].name);
        run_row(&rows[i]);
    }
}

static void both_directories_of_a_rename_change(struct e2e *f)
{
    (void)f;
    make_dir("a", 0755);
    make_dir("b", 0755);
    put_file("a/x", "");
    put_file("b/y", "");
    for (int i = 0; i < 2; i++) {
        ok(utimensat(AT_FDCWD, "a", old_times, 0));
        ok(utimensat(AT_FDCWD, "b", old_times, 0));
        struct stat a = stat_of("a"), b = stat_of("b");
        next_tick();
        ok(renameat2(AT_FDCWD, "a/x", AT_FDCWD, "b/y", i == 0 ? RENAME_EXCHANGE : 0));
        struct stat a2 = stat_of("a"), b2 = stat_of("b");
        same(changes(&a, &a2) & ~A, M | C);
        same(changes(&b, &b2) & ~A, M | C);
    }
    /* The file that was replaced, through another name of it. */
    put_file("old", "");
    ok(link("old", "watch"));
    struct stat before = stat_of("watch");
    put_file("new", "");
    next_tick();
    ok(rename("new", "old"));
    struct stat after = stat_of("watch");
    same(changes(&before, &after), C);
}

static void access_times_are_relative(struct e2e *f)
{
    (void)f;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const struct {
        const char *name;
        time_t atime, mtime; /* seconds before now */
        bool moves;
    } cases[] = {
        {"read before it was written", 2000, 1000, true},
        {"read since it was written", 50, 1000, false},
        {"read long ago", 200000, 300000, true},
        {"read when it was written", 1000, 1000, true},
    };
    char c;
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        check_about("%s", cases[i].name);
        put_file("x", "text");
        struct timespec times[2] = {{now.tv_sec - cases[i].atime, 5},
                                    {now.tv_sec - cases[i].mtime, 5}};
        ok(utimensat(AT_FDCWD, "x", times, 0));
        /* Setting times sets ctime; where atime is to be the newest, it has to be later still. */
        if (!cases[i].moves) {
            times[0] = (struct timespec){now.tv_sec + 50, 5};
            ok(utimensat(AT_FDCWD, "x", times, 0));
        }
        struct stat before = stat_of("x");
        int fd = (int)ok(open("x", O_RDONLY));
        same(read(fd, &c, 1), 1);
        close(fd);
        struct stat after = stat_of("x");
        same(time_cmp(after.st_atim, before.st_atim) != 0, cases[i].moves);
        if (cases[i].moves)
            holds(after.st_atim.tv_sec >= now.tv_sec - 1);
        same(time_cmp(after.st_mtim, before.st_mtim), 0);
    }
    check_about("O_NOATIME");
    put_file("x", "text");
    ok(utimensat(AT_FDCWD, "x", old_times, 0));
    int fd = (int)ok(open("x", O_RDONLY | O_NOATIME));
    same(read(fd, &c, 1), 1);
    close(fd);
    same(stat_of("x").st_atim.tv_sec, old_times[0].tv_sec);
}

static void times_are_kept_exactly(struct e2e *f)
{
    (void)f;
    static const struct timespec values[] = {
        {0, 0},          {0, 1},          {1, 999999999},  {1234567890, 123456789},
        {2147483647, 5}, {2147483648, 6}, {4294967295, 7}, {4294967296, 8},
        {8589934592, 9}, {-1, 0},         {-1, 999999999}, {-2147483647, 10},
    };
    static const enum kind kinds[] = {KIND_FILE, KIND_DIR, KIND_LINK, KIND_FIFO};
    for (size_t k = 0; k < ARRAY_N(kinds); k++) {
        kind_make(kinds[k], "x");
        for (size_t i = 0; i < ARRAY_N(values); i++) {
            const struct timespec times[2] = {values[i], values[ARRAY_N(values) - 1 - i]};
            check_about("%s, %jd.%09ld", kind_name(kinds[k]), (intmax_t)values[i].tv_sec,
                        values[i].tv_nsec);
            ok(utimensat(AT_FDCWD, "x", times, AT_SYMLINK_NOFOLLOW));
            struct stat st = lstat_of("x");
            same(time_cmp(st.st_atim, times[0]), 0);
            same(time_cmp(st.st_mtim, times[1]), 0);
            same(st.st_mtim.tv_sec, times[1].tv_sec);
            same(st.st_mtim.tv_nsec, times[1].tv_nsec);
        }
        kind_remove("x");
    }
}

static void omitted_times_stay(struct e2e *f)
{
    (void)f;
    put_file("x", "");
    static const struct {
        long a, m;
        int changes;
    } cases[] = {
        {UTIME_NOW, UTIME_NOW, A | M | C}, {UTIME_NOW, UTIME_OMIT, A | C},
        {UTIME_OMIT, UTIME_NOW, M | C},    {UTIME_OMIT, UTIME_OMIT, 0},
        {UTIME_OMIT, 77, M | C},           {77, UTIME_OMIT, A | C},
        {UTIME_NOW, 77, A | M | C},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        check_about("%#lx, %#lx", cases[i].a, cases[i].m);
        ok(utimensat(AT_FDCWD, "x", old_times, 0));
        struct stat before = stat_of("x");
        next_tick();
        /* The seconds beside NOW and OMIT mean nothing. */
        const struct timespec times[2] = {{12345, cases[i].a}, {-1, cases[i].m}};
        struct timespec from = coarse_now(), to;
        ok(utimensat(AT_FDCWD, "x", times, 0));
        clock_gettime(CLOCK_REALTIME, &to);
        struct stat after = stat_of("x");
        same(changes(&before, &after), cases[i].changes);
        check_new(&after, (cases[i].a == UTIME_NOW ? A : 0) | (cases[i].m == UTIME_NOW ? M : 0),
                  from, to);
        if (cases[i].m == 77)
            same(after.st_mtim.tv_sec, -1);
    }
    check_about_nothing();
    fails(utimensat(AT_FDCWD, "x", (struct timespec[2]){{0, 1000000000}, {0, 0}}, 0), EINVAL);
    fails(utimensat(AT_FDCWD, "x", (struct timespec[2]){{0, 0}, {0, -1}}, 0), EINVAL);
    fails(utimensat(AT_FDCWD, "none", NULL, 0), ENOENT);
    int fd = (int)ok(open("x", O_RDONLY));
    ok(futimens(fd, old_times));
    same(stat_of("x").st_mtim.tv_nsec, old_times[1].tv_nsec);
    close(fd);
}

static void who_may_set_times(struct e2e *f)
{
    (void)f;
    static const struct timespec now_omit[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
    static const struct timespec omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    static const struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    put_file("x", "");
    ok(chown("x", E2E_USER, E2E_USER));
    ok(chmod("x", 0));
    AS(E2E_USER, E2E_USER)
    {
        ok(utimensat(AT_FDCWD, "x", NULL, 0));
        ok(utimensat(AT_FDCWD, "x", old_times, 0));
        ok(utimensat(AT_FDCWD, "x", now_omit, 0));
    }
    AS(E2E_OTHER, E2E_OTHER)
    {
        fails(utimensat(AT_FDCWD, "x", NULL, 0), EACCES);
        fails(utimensat(AT_FDCWD, "x", now, 0), EACCES);
        fails(utimensat(AT_FDCWD, "x", old_times, 0), EPERM);
        fails(utimensat(AT_FDCWD, "x", now_omit, 0), EPERM);
        ok(utimensat(AT_FDCWD, "x", omit, 0));
    }
    ok(chmod("x", 0666));
    AS(E2E_OTHER, E2E_OTHER)
    {
        ok(utimensat(AT_FDCWD, "x", NULL, 0));
        ok(utimensat(AT_FDCWD, "x", now, 0));
        fails(utimensat(AT_FDCWD, "x", old_times, 0), EPERM);
        fails(utimensat(AT_FDCWD, "x", now_omit, 0), EPERM);
    }
}

/* One change after another has later times, to better than a tenth of a second. */
static void times_run_forward(struct e2e *f)
{
    (void)f;
    struct timespec last = {0, 0};
    int fd = (int)ok(open("x", O_CREAT | O_WRONLY, 0600));
    for (int i = 0; i < 20; i++) {
        next_tick();
        same(pwrite(fd, "x", 1, 0), 1);
        struct stat st = fstat_of(fd);
        holds(time_cmp(st.st_mtim, last) > 0);
        holds(time_cmp(st.st_mtim, st.st_ctim) == 0);
        last = st.st_mtim;
    }
    close(fd);
}

static void birth_times_stay(struct e2e *f)
{
    (void)f;
    struct statx first, second;
    put_file("x", "");
    ok(statx(AT_FDCWD, "x", 0, STATX_BASIC_STATS | STATX_BTIME, &first));
    same(first.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    next_tick();
    put_file("x", "more");
    ok(rename("x", "y"));
    ok(statx(AT_FDCWD, "y", AT_STATX_FORCE_SYNC, STATX_BASIC_STATS | STATX_BTIME, &second));
    if ((second.stx_mask & STATX_BTIME) != 0) {
        same(second.stx_btime.tv_sec, first.stx_btime.tv_sec);
        same(second.stx_btime.tv_nsec, first.stx_btime.tv_nsec);
    }
    same(second.stx_size, 4);
    same(second.stx_ino, first.stx_ino);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(each_operation_changes_its_times),
        E2E_TEST(both_directories_of_a_rename_change),
        E2E_TEST(access_times_are_relative),
        E2E_TEST(times_are_kept_exactly),
        E2E_TEST(omitted_times_stay),
        E2E_TEST(who_may_set_times),
        E2E_TEST(times_run_forward),
        E2E_TEST(birth_times_stay),
    };
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
