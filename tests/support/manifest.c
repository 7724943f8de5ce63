#include "tests/support/manifest.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proto/base/buf.h"

enum { PATH_BYTES = 8192, INODES_MAX = 4096 };

struct walk {
    struct buf text;
    unsigned what;
    struct {
        ino_t ino;
        char path[200];
    } first[INODES_MAX]; /* the first name of each file that has several */
    size_t first_n;
};

static void put_escaped(struct buf *b, const char *s, size_t n)
{
    char c[8];
    for (size_t i = 0; i < n; i++) {
        unsigned char ch = (unsigned char)s[i];
        if (ch > 0x20 && ch < 0x7f && ch != '\\')
            buf_put_u8(b, ch);
        else
            buf_put(b, c, (size_t)snprintf(c, sizeof c, "\\x%02x", ch));
    }
}

static void put_format(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void put_format(struct buf *b, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_put(b, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

static uint64_t hash_more(uint64_t h, const void *p, size_t n)
{
    const unsigned char *c = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ c[i]) * UINT64_C(0x100000001b3);
    return h;
}

static void put_content(struct walk *w, int dir, const char *name)
{
    static unsigned char piece[1 << 16];
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
    ssize_t n = -1;
    while (fd >= 0 && (n = read(fd, piece, sizeof piece)) > 0)
        h = hash_more(h, piece, (size_t)n);
    if (n < 0)
        put_format(&w->text, " unreadable:%s", strerrorname_np(errno));
    else
        put_format(&w->text, " %016jx", (uintmax_t)h);
    if (fd >= 0)
        close(fd);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_xattrs(struct walk *w, const char *path)
{
    enum { NAMES_MAX = 256 };
    static char list[65536], value[65536];
    char *names[NAMES_MAX];
    size_t names_n = 0;
    ssize_t n = llistxattr(path, list, sizeof list);
    for (char *p = list; n > 0 && p < list + n && names_n < NAMES_MAX; p += strlen(p) + 1)
        names[names_n++] = p;
    qsort(names, names_n, sizeof names[0], by_text);
    for (size_t i = 0; i < names_n; i++) {
        ssize_t k = lgetxattr(path, names[i], value, sizeof value);
        buf_put_u8(&w->text, ' ');
        put_escaped(&w->text, names[i], strlen(names[i]));
        put_format(
            &w->text, "=%zd:%016jx", k,
            (uintmax_t)hash_more(UINT64_C(0xcbf29ce484222325), value, k > 0 ? (size_t)k : 0));
    }
}

static void put_first_name(struct walk *w, ino_t ino, const char *path)
{
    for (size_t i = 0; i < w->first_n; i++)
        if (w->first[i].ino == ino) {
            put_format(&w->text, " =%s", w->first[i].path);
            return;
        }
    if (w->first_n == INODES_MAX)
        return;
    w->first[w->first_n].ino = ino;
    snprintf(w->first[w->first_n++].path, sizeof w->first[0].path, "%s", path);
}

static void put_file_line(struct walk *w, int dir, const char *name, const char *path,
                          const char *shown, const struct stat *st)
{
    put_escaped(&w->text, shown, strlen(shown));
    put_format(&w->text, " %06o", (unsigned)st->st_mode);
    if ((w->what & MANIFEST_OWNER) != 0)
        put_format(&w->text, " %u:%u", (unsigned)st->st_uid, (unsigned)st->st_gid);
    if (!S_ISDIR(st->st_mode) || (w->what & MANIFEST_DIR_TIMES) != 0)
        put_format(&w->text, " %jd.%09ld", (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    if ((w->what & MANIFEST_NUMBER) != 0)
        put_format(&w->text, " i%ju c%jd.%09ld", (uintmax_t)st->st_ino,
                   (intmax_t)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
    if (S_ISREG(st->st_mode)) {
        put_format(&w->text, " %jd", (intmax_t)st->st_size);
        put_content(w, dir, name);
    } else if (S_ISLNK(st->st_mode)) {
        char target[4096];
        ssize_t n = readlinkat(dir, name, target, sizeof target);
        buf_put(&w->text, " ->", 3);
        put_escaped(&w->text, target, n > 0 ? (size_t)n : 0);
    } else if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
        put_format(&w->text, " dev %#jx", (uintmax_t)st->st_rdev);
    }
    if ((w->what & MANIFEST_LINKS) != 0 && !S_ISDIR(st->st_mode) && st->st_nlink > 1)
        put_first_name(w, st->st_ino, shown);
    if ((w->what & MANIFEST_SPARSE) != 0 && S_ISREG(st->st_mode) && st->st_size > (1 << 20))
        put_format(&w->text, st->st_blocks * 512 < st->st_size / 2 ? " sparse" : " full");
    if ((w->what & MANIFEST_XATTR) != 0)
        put_xattrs(w, path);
    buf_put_u8(&w->text, '\n');
}

static void walk(struct walk *w, const char *path, size_t root_n);

static void walk_one(struct walk *w, int dir, const char *parent, const char *name, size_t root_n)
{
    char path[PATH_BYTES];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", parent, name);
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        put_format(&w->text, "%s: %s\n", path + root_n + 1, strerrorname_np(errno));
        return;
    }
    put_file_line(w, dir, name, path, path + root_n + 1, &st);
    if (S_ISDIR(st.st_mode))
        walk(w, path, root_n);
}

static void walk(struct walk *w, const char *path, size_t root_n)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, NULL, alphasort);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < n; i++) {
        if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0)
            walk_one(w, dir, path, entries[i]->d_name, root_n);
        free(entries[i]);
    }
    if (n < 0)
        put_format(&w->text, "%s: %s\n", path, strerrorname_np(errno));
    free(entries);
    if (dir >= 0)
        close(dir);
}

char *manifest_of(const char *dir, unsigned what)
{
    struct walk *w = calloc(1, sizeof *w);
    if (w == NULL)
        abort();
    w->what = what;
    walk(w, dir, strlen(dir));
    buf_put_u8(&w->text, 0);
    if (w->text.failed)
        abort();
    char *text = (char *)w->text.p;
    free(w);
    return text;
}

bool check_same_tree(const char *is, const char *ought, const struct check_at *at)
{
    enum { SHOWN = 8 };
    if (strcmp(is, ought) == 0)
        return check_holds(true, at);
    check_holds(false, at);
    unsigned shown = 0;
    while ((*is != '\0' || *ought != '\0') && shown < SHOWN) {
        size_t n = strcspn(is, "\n"), k = strcspn(ought, "\n");
        if (n == k && memcmp(is, ought, n) == 0) {
            is += n + (is[n] == '\n');
            ought += k + (ought[k] == '\n');
            continue;
        }
        /* Lines are sorted: the smaller path is the one that the other tree does not have. */
        size_t n_path = strcspn(is, " \n"), k_path = strcspn(ought, " \n");
        bool same_path = n_path == k_path && memcmp(is, ought, n_path) == 0;
        bool take_is = same_path || *ought == '\0' || (*is != '\0' && strcmp(is, ought) < 0);
        bool take_ought = same_path || !take_is;
        if (take_is)
            fprintf(stderr, "    is:       %.*s\n", (int)n, is);
        if (take_ought)
            fprintf(stderr, "    expected: %.*s\n", (int)k, ought);
        if (take_is)
            is += n + (is[n] == '\n');
        if (take_ought)
            ought += k + (ought[k] == '\n');
        shown++;
    }
    return false;
}
