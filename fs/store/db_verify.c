/*
 * Every byte of the database's files. Which files it consists of, RocksDB tells by linking all of
 * them into a directory: what it writes and deletes meanwhile does not disturb.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/db_err.h"
#include "fs/store/db_priv.h"
#include "fs/store/rocks.h"

/* RocksDB fills the second, then renames it to the first. */
static const char links_name[] = "check", links_new_name[] = "check.tmp";

struct verify {
    struct db *db;
    bool repair;
    db_verify_step *step;
    db_verify_fault *fault;
    void *arg;
    bool families[DB_CF_N]; /* have a table to be written anew */
    struct buf anew;        /* the names of those tables, each with its NUL */
};

/* ---- the directory ---- */

static void remove_links(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;
    if (d == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((e = readdir(d)) != NULL)
        unlinkat(fd, e->d_name, 0); /* not "." and "..": those are directories */
    closedir(d);
    unlinkat(dir_fd, name, AT_REMOVEDIR);
}

void db_verify_clear(struct db *db)
{
    remove_links(db->dir_fd, links_name);
    remove_links(db->dir_fd, links_new_name);
}

static int make_links(struct db *db)
{
    char path[64], *error = NULL;
    /* RocksDB takes a path; through the descriptor it may be of any length. */
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", db->dir_fd, links_name);
    rocksdb_checkpoint_t *c = rocksdb_checkpoint_object_create(db->rocks, &error);
    if (c != NULL && error == NULL)
        rocksdb_checkpoint_create(c, path, UINT64_MAX /* flush nothing */, &error);
    if (c != NULL)
        rocksdb_checkpoint_object_destroy(c);
    return db_err_take(&error, NULL);
}

/* ---- one file ---- */

static void tell(struct verify *v, bool repaired, const char *name, const struct rocks_fault *f)
{
    char what[200];
    snprintf(what, sizeof what, "%s of its file %s, at %llu, is damaged", f->what, name,
             (unsigned long long)f->at);
    v->fault(v->arg, repaired, what);
}

static int read_whole(int fd, uint64_t size, struct buf *ret)
{
    int rc = buf_resize(ret, (size_t)size);
    for (size_t n = 0; rc == 0 && n < ret->n;) {
        ssize_t k = pread(fd, ret->p + n, ret->n - n, (off_t)n);
        if (k <= 0 && errno != EINTR)
            rc = -EIO;
        n += k > 0 ? (size_t)k : 0;
    }
    return rc;
}

/* The list of files is complete: all entries of the copy were written. */
static int verify_list(struct verify *v, const char *name, struct bytes file,
                       struct rocks_fault *ret)
{
    bool torn;
    char current[64] = "", want[300];
    int rc = rocks_list(file, &torn, ret);
    if (rc == 0 && torn) {
        *ret = (struct rocks_fault){.what = "the last entry"};
        return -EUCLEAN;
    }
    snprintf(want, sizeof want, "%s\n", name);
    int fd = openat(v->db->dir_fd, "CURRENT", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, current, sizeof current - 1);
    if (fd >= 0)
        close(fd);
    if (n < 0 || strcmp(current, want) != 0)
        tell(v, false, "CURRENT", &(struct rocks_fault){.what = "the name"});
    return rc;
}

/* The family of a table, or DB_CF_N. */
static enum db_cf family_of(struct db *db, const char *name)
{
    enum db_cf found = DB_CF_N;
    const rocksdb_livefiles_t *l = rocksdb_livefiles(db->rocks);
    for (int i = 0; i < rocksdb_livefiles_count(l); i++)
        if (strcmp(rocksdb_livefiles_name(l, i) + 1, name) == 0)
            found = db_family(rocksdb_livefiles_column_family_name(l, i));
    rocksdb_livefiles_destroy(l);
    return found;
}

/*
 * A table whose rows can all be read is written anew, later, if a compaction has not done so
 * meanwhile. False: it is to be told of now.
 */
static bool put_off(struct verify *v, const char *name, const struct rocks_fault *f)
{
    if (!v->repair || !f->rows_hold)
        return false;
    enum db_cf cf = family_of(v->db, name);
    if (cf != DB_CF_N)
        v->families[cf] = true;
    buf_put(&v->anew, name, strlen(name) + 1);
    return true;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n > k && strcmp(name + n - k, end) == 0;
}

static int verify_open(struct verify *v, const char *name, int fd, uint64_t size)
{
    CLEANUP(buf_fini) struct buf file = {0};
    struct rocks_fault f = {.what = "a part"};
    int rc = 0;
    if (ends_with(name, ".sst")) {
        rc = read_whole(fd, size, &file);
        if (rc == 0)
            rc = rocks_table(buf_bytes(&file), &f);
    } else if (strncmp(name, "MANIFEST-", 9) == 0) {
        rc = read_whole(fd, size, &file);
        if (rc == 0)
            rc = verify_list(v, name, buf_bytes(&file), &f);
    }
    if (rc < 0 && rc != -ENOMEM && !put_off(v, name, &f))
        tell(v, false, name, &f);
    return rc == -ENOMEM ? rc : v->step(v->arg, size) ? 0 : -ECANCELED;
}

static int verify_file(struct verify *v, int dir_fd, const char *name)
{
    struct stat st;
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        int rc = fd < 0 ? -errno : 0; /* a directory, or the file */
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = verify_open(v, name, fd, (uint64_t)st.st_size);
    close(fd);
    return rc;
}

static int verify_files(struct verify *v)
{
    int fd = openat(v->db->dir_fd, links_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;
    if (d == NULL) {
        int rc = -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = 0;
    while (rc == 0 && (e = readdir(d)) != NULL)
        rc = verify_file(v, fd, e->d_name);
    closedir(d);
    return rc;
}

/* ---- repair ---- */

static void write_anew(struct verify *v)
{
    for (int i = 0; i < DB_CF_N; i++)
        if (v->families[i])
            db_rewrite(v->db, (enum db_cf)i);
    for (size_t at = 0; at < v->anew.n; at += strlen((const char *)v->anew.p + at) + 1) {
        const char *name = (const char *)v->anew.p + at;
        tell(v, family_of(v->db, name) == DB_CF_N, name,
             &(struct rocks_fault){.what = "the filter"});
    }
}

int db_verify(struct db *db, bool repair, db_verify_step *step, db_verify_fault *fault, void *arg)
{
    struct verify v = {.db = db, .repair = repair, .step = step, .fault = fault, .arg = arg};
    if (db->wal == NULL)
        return 0;
    if (wal_healed(db->wal) > 0)
        fault(arg, true, "a flipped byte in its log was put right when it was opened");
    pthread_mutex_lock(&db->verify);
    db_verify_clear(db);
    int rc = db_room_tables(db, 0);
    if (rc == 0)
        rc = make_links(db);
    if (rc == 0)
        rc = verify_files(&v);
    db_verify_clear(db);
    if (rc == 0)
        write_anew(&v);
    pthread_mutex_unlock(&db->verify);
    buf_fini(&v.anew);
    return rc;
}
