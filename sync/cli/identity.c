#include "sync/cli/identity.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/base/utf8.h"
#include "sync/state/seed.h"

_Static_assert(crypto_sign_PUBLICKEYBYTES == PEER_ID_KEY_BYTES, "Ed25519 keys name devices");

static void choose_label(const struct config *config, struct identity *id)
{
    char host[LABEL_SIZE];
    if (config->label[0] != '\0') {
        snprintf(id->label, sizeof id->label, "%s", config->label);
        return;
    }
    host[0] = '\0';
    if (gethostname(host, sizeof host) < 0)
        host[0] = '\0';
    host[sizeof host - 1] = '\0';
    if (utf8_is_label(bytes_str(host)))
        snprintf(id->label, sizeof id->label, "%s", host);
    else
        snprintf(id->label, sizeof id->label, "%s", id->peer_id + strlen(id->peer_id) - 8);
}

/* Reads the seed, after making it on first use, and derives the key pair. */
static int load_keys(int dir_fd, struct member_keys *ret, struct err *err)
{
    uint8_t seed[SEED_BYTES];
    int rc = seed_load(dir_fd, "identity", seed, err);
    if (rc == 0 && crypto_sign_seed_keypair(ret->sign_public, ret->sign_secret, seed) != 0)
        rc = err_set(err, -EIO, "identity: the key cannot be derived");
    sodium_memzero(seed, sizeof seed);
    return rc;
}

int identity_keys(const struct home *h, struct member_keys *ret, struct err *err)
{
    *ret = (struct member_keys){0};
    if (sodium_init() < 0)
        return err_set(err, -EIO, "identity: the random source does not work");
    int dir_fd;
    int rc = home_dir(h, "sync", true, &dir_fd, err);
    if (rc < 0)
        return rc;
    struct err why = {0};
    rc = load_keys(dir_fd, ret, &why);
    close(dir_fd);
    return rc < 0 ? err_set(err, rc, "%s/sync/%s", h->path, why.msg) : 0;
}

int identity_load(const struct home *h, struct identity *ret, struct err *err)
{
    struct config config;
    int rc = config_read(h, &config, err);
    if (rc < 0)
        return rc;
    struct member_keys keys;
    rc = identity_keys(h, &keys, err);
    if (rc == 0) {
        struct identity id = {0};
        uint8_t bytes[PEER_ID_BYTES];
        memcpy(id.key, keys.sign_public, sizeof id.key);
        peer_id_of_key(keys.sign_public, bytes);
        peer_id_text(bytes, id.peer_id);
        choose_label(&config, &id);
        *ret = id;
    }
    member_keys_fini(&keys);
    return rc;
}

int identity_member(const struct home *h, const struct identity *id, struct space_member *ret,
                    struct err *err)
{
    uint8_t seed[SEED_BYTES];
    struct err why = {0};
    int dir_fd;
    int rc = home_dir(h, "spaces", true, &dir_fd, err);
    if (rc < 0)
        return rc;
    rc = seed_load(dir_fd, "member", seed, &why);
    close(dir_fd);
    if (rc < 0)
        return err_set(err, rc, "%s/spaces/%s", h->path, why.msg);
    rc = space_member_init(ret, seed, id->key);
    sodium_memzero(seed, sizeof seed);
    return rc < 0 ? err_set(err, rc, "%s/spaces/member: the keys cannot be derived", h->path) : 0;
}
