#include "sync/links/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

struct entry {
    struct ws_client *client;
    char *ca_file;
    struct stat file; /* of the roots when they were read */
    bool insecure;
};

struct clients {
    struct net_loop *loop;
    struct entry v[CLIENTS_MAX];
    size_t n;
};

int clients_new(struct net_loop *l, struct clients **ret)
{
    struct clients *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    c->loop = l;
    *ret = c;
    return 0;
}

void clients_free(struct clients *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n; i++) {
        ws_client_free(c->v[i].client);
        free(c->v[i].ca_file);
    }
    free(c);
}

/* A file that was written or replaced is read again. */
static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int add(struct clients *c, const char *ca_file, bool insecure, const struct stat *file,
               struct ws_client **ret, struct err *err)
{
    if (c->n == CLIENTS_MAX)
        return err_set(err, -EMFILE, "too many files of certificates; restart the sync process");
    struct ws_client_config cfg = {.ca_file = ca_file[0] != '\0' ? ca_file : NULL,
                                   .insecure = insecure};
    struct entry e = {.insecure = insecure, .file = *file, .ca_file = strdup(ca_file)};
    if (e.ca_file == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    int rc = ws_client_new(c->loop, &cfg, &e.client, err);
    if (rc < 0) {
        free(e.ca_file);
        return rc;
    }
    c->v[c->n++] = e;
    *ret = e.client;
    return 0;
}

int clients_get(struct clients *c, const char *ca_file, bool insecure, struct ws_client **ret,
                struct err *err)
{
    struct stat file = {0};
    if (ca_file[0] != '\0' && stat(ca_file, &file) < 0)
        return err_set(err, -errno, "%.200s: %s", ca_file, strerror(errno));
    for (size_t i = 0; i < c->n; i++) {
        const struct entry *e = &c->v[i];
        if (e->insecure == insecure && strcmp(e->ca_file, ca_file) == 0 &&
            is_same_file(&e->file, &file)) {
            *ret = e->client;
            return 0;
        }
    }
    return add(c, ca_file, insecure, &file, ret, err);
}
