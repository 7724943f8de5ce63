/* The directories of managed spaces. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "sync/server/managed_priv.h"
#include "sync/state/statefile.h"

enum { ACCOUNT_SIZE = 24, HEX_SIZE = 2 * SPACE_ID_SIZE + 1 };

static const char name_file[] = "name";

static void place_of(const struct managed *s, char account[ACCOUNT_SIZE], char hex[HEX_SIZE])
{
    snprintf(account, ACCOUNT_SIZE, "%" PRIu64, s->account);
    sodium_bin2hex(hex, HEX_SIZE, s->id, SPACE_ID_SIZE);
}

void managed_free(struct managed *s)
{
    if (s == NULL)
        return;
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    free(s->dir);
    free(s);
}

/* Opens its directory. -ENOENT. */
static int open_it(struct managed *s, bool create, struct err *err)
{
    char account[ACCOUNT_SIZE], hex[HEX_SIZE];
    int fd;
    place_of(s, account, hex);
    if (asprintf(&s->dir, "%s/managed/%s/%s", s->of->dir, account, hex) < 0) {
        s->dir = NULL;
        return err_set(err, -ENOMEM, "out of memory");
    }
    int rc = statefile_open_dir(s->of->dir_fd, account, create, &fd, err);
    if (rc < 0)
        return rc;
    rc = statefile_open_dir(fd, hex, create, &s->dir_fd, err);
    close(fd);
    return rc;
}

static struct managed *new_one(struct srv_managed *m, uint64_t account,
                               const uint8_t id[SPACE_ID_SIZE], const char *user)
{
    struct managed *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->of = m;
    s->account = account;
    s->dir_fd = -1;
    memcpy(s->id, id, SPACE_ID_SIZE);
    snprintf(s->user, sizeof s->user, "%s", user);
    ring_init(&s->in_all);
    return s;
}

void managed_remove(struct managed *s)
{
    char account[ACCOUNT_SIZE], hex[HEX_SIZE];
    struct err err = {0};
    int fd;
    place_of(s, account, hex);
    if (statefile_open_dir(s->of->dir_fd, account, false, &fd, &err) < 0)
        return;
    if (statefile_remove_tree(fd, hex, &err) < 0)
        log_error("managed: %s", err.msg);
    close(fd);
    (void)unlinkat(s->of->dir_fd, account, AT_REMOVEDIR); /* when it was the last */
}

/* ---- the name of a mirror ---- */

static bool is_taken(const struct managed *s, const char *name)
{
    struct srv_managed *m = s->of;
    bool taken = false;
    pthread_mutex_lock(&m->lock);
    for (struct ring *r = m->all.next; r != &m->all; r = r->next) {
        const struct managed *other = CONTAINER_OF(r, struct managed, in_all);
        taken = taken || (other->account == s->account && strcmp(other->name, name) == 0);
    }
    pthread_mutex_unlock(&m->lock);
    return taken;
}

/* A name is data from a member: one that is no plain text is not used. */
static void choose_name(struct managed *s, const char *granted)
{
    char account[ACCOUNT_SIZE], hex[HEX_SIZE];
    bool plain = utf8_is_label(bytes_str(granted)) && granted[0] != '.';
    place_of(s, account, hex);
    const char *base = plain ? granted : hex;
    snprintf(s->name, sizeof s->name, "%s", base);
    for (unsigned i = 2; i <= SPACES_MAX_OF_ACCOUNT + 1 && is_taken(s, s->name); i++)
        snprintf(s->name, sizeof s->name, "%s-%u", base, i);
}

static int read_name(struct managed *s, struct err *err)
{
    struct buf b CLEANUP(buf_fini) = {0};
    int rc = statefile_read(s->dir_fd, name_file, MANAGED_NAME_SIZE - 1, &b, err);
    if (rc < 0)
        return rc;
    buf_put_u8(&b, 0);
    if (buf_status(&b) < 0)
        return -ENOMEM;
    snprintf(s->name, sizeof s->name, "%s", (const char *)b.p);
    return s->name[0] == '\0' || s->name[0] == '.' || strchr(s->name, '/') != NULL ? -EBADMSG : 0;
}

/* ---- making ---- */

static int write_keys(const struct managed *s, const struct grant *g, struct err *err)
{
    struct keyring k;
    int rc = keyring_grant(&k, g);
    if (rc < 0)
        return err_set(err, rc, "keeping the keys: %s", strerror(-rc));
    rc = keyring_write(&k, s->dir_fd, err);
    keyring_fini(&k);
    return rc;
}

int managed_make(struct srv_managed *m, const struct srv_at *at, const struct grant *g,
                 struct managed **ret, struct err *err)
{
    struct srv_user user;
    int rc = srv_user_of(m->cfg.store, at->account, &user);
    if (rc < 0)
        return err_set(err, rc, "the account is gone");
    struct managed *s = new_one(m, at->account, at->space, user.name);
    if (s == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    choose_name(s, g->name);
    rc = open_it(s, true, err);
    if (rc == 0)
        rc = write_keys(s, g, err);
    if (rc == 0) /* last: one without a name is none */
        rc = statefile_write(s->dir_fd, name_file, bytes_str(s->name), false, err);
    if (rc < 0) {
        managed_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

/* ---- loading ---- */

static int load_space(struct srv_managed *m, uint64_t account, const char *hex, struct err *err)
{
    uint8_t id[SPACE_ID_SIZE];
    struct srv_user user;
    size_t n = 0;
    if (sodium_hex2bin(id, sizeof id, hex, strlen(hex), NULL, &n, NULL) != 0 || n != sizeof id)
        return 0;
    int gone = srv_user_of(m->cfg.store, account, &user);
    if (gone < 0 && gone != -ENOENT)
        return err_set(err, gone, "accounts cannot be read");
    struct managed *s = new_one(m, account, id, gone < 0 ? "" : user.name);
    if (s == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    int rc = gone < 0 ? -ENOENT : open_it(s, false, err);
    if (rc == 0)
        rc = read_name(s, err);
    if (rc == 0) {
        ring_add(&m->all, &s->in_all);
        m->n++;
        return 0;
    }
    if (rc == -ENOENT) /* of a removed user, or cut off while it was made */
        managed_remove(s);
    managed_free(s);
    return rc == -ENOENT ? 0 : rc == -EBADMSG ? err_set(err, rc, "%s/name: is damaged", hex) : rc;
}

/* Calls @fn for the names in directory @fd, which it closes. */
static int each(struct srv_managed *m, int fd, const char *of,
                int (*fn)(struct srv_managed *m, const char *of, const char *name, struct err *err),
                struct err *err)
{
    DIR *d = fdopendir(fd);
    if (d == NULL) {
        close(fd);
        return err_set(err, -ENOMEM, "out of memory");
    }
    const struct dirent *e;
    int rc = 0;
    while (rc == 0 && (e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            rc = fn(m, of, e->d_name, err);
    closedir(d);
    return rc;
}

static int see_space(struct srv_managed *m, const char *of, const char *name, struct err *err)
{
    return load_space(m, strtoull(of, NULL, 10), name, err);
}

static int see_account(struct srv_managed *m, const char *of, const char *name, struct err *err)
{
    int fd;
    (void)of;
    int rc = statefile_open_dir(m->dir_fd, name, false, &fd, err);
    return rc < 0 ? rc : each(m, fd, name, see_space, err);
}

int managed_load(struct srv_managed *m, struct err *err)
{
    int fd = openat(m->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno, "managed: %s", strerror(errno));
    int rc = each(m, fd, NULL, see_account, err);
    return rc < 0 ? err_wrap(err, rc, "managed") : 0;
}
