#include "fs/space/usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/space/policies.h"
#include "fs/space/sibling.h"

static int count_inodes(struct space *s, struct usage *u)
{
    struct db_iter *it = db_iter_new_scan(s->db, DB_INODE, bytes_of(NULL, 0), NULL);
    if (it == NULL)
        return -ENOMEM;
    while (db_iter_next(it)) {
        struct attr a;
        struct bytes key = db_iter_key(it);
        if (key.n != 8 || attr_decode(db_iter_value(it), get_u64(key.p), &a) < 0 || a.nlink == 0 ||
            a.ino == TREE_ROOT || !a.bound)
            continue;
        u->folders += attr_is_dir(&a);
        u->files += !attr_is_dir(&a);
        u->bytes += attr_is_dir(&a) ? 0 : a.size;
    }
    int rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

static void look_name(struct usage *u, uint64_t dir, struct bytes name, struct buf *policies)
{
    u->siblings += sibling_is(name);
    if (policies != NULL && bytes_equal(name, bytes_str(POLICY_NAME)) &&
        policies->n < USAGE_POLICIES_MAX * sizeof dir)
        buf_put(policies, &dir, sizeof dir);
}

static int count_names(struct space *s, struct usage *u, struct buf *policies)
{
    enum { NAME_AT = 16 };
    struct db_iter *it = db_iter_new_scan(s->db, DB_DIRENT, bytes_of(NULL, 0), NULL);
    if (it == NULL)
        return -ENOMEM;
    while (db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        if (key.n > NAME_AT)
            look_name(u, get_u64(key.p), bytes_of(key.p + NAME_AT, key.n - NAME_AT), policies);
    }
    int rc = db_iter_status(it);
    db_iter_free(it);
    return rc < 0 || policies == NULL ? rc : buf_status(policies);
}

static int count_conflict(void *ctx, const struct rid *rid)
{
    (void)rid;
    ++*(uint64_t *)ctx;
    return 0;
}

/* Bytes on disk of the files in a directory, which holds no others. */
static uint64_t disk_bytes(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    uint64_t sum = 0;
    if (d == NULL) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        struct stat st;
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_blocks * 512;
    }
    closedir(d);
    return sum;
}

static uint64_t resident_bytes(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    int n = fscanf(f, "%lu %lu", &pages, &resident);
    fclose(f);
    return n == 2 ? (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

int usage_get(struct space *s, struct usage *ret, struct buf *policies)
{
    struct usage u = {0};
    int rc = count_inodes(s, &u);
    if (rc == 0)
        rc = count_names(s, &u, policies);
    if (rc == 0) {
        pthread_mutex_lock(&s->lock);
        rc = replica_conflicts(s->replica, count_conflict, &u.open_conflicts);
        pthread_mutex_unlock(&s->lock);
    }
    if (rc < 0)
        return rc;
    u.disk_bytes = disk_bytes(s->dir_fd, "db") + disk_bytes(s->dir_fd, "staging");
    u.memory_bytes = resident_bytes();
    *ret = u;
    return 0;
}
