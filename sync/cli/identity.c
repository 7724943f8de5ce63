#include "sync/cli/identity.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

#include "proto/base/utf8.h"
#include "sync/state/statefile.h"

_Static_assert(crypto_sign_PUBLICKEYBYTES == PEER_ID_KEY_BYTES, "Ed25519 keys name devices");

/* The file: the seed, and a checksum, as a changed seed would be another device. */
enum { SEED = crypto_sign_SEEDBYTES, FILE_BYTES = SEED + 8 };

/* Draws a seed and stores it, unless another process was first. */
static int make_seed(int dir_fd, struct err *err)
{
    uint8_t file[FILE_BYTES];
    randombytes_buf(file, SEED);
    put_u64(file + SEED, XXH3_64bits(file, SEED));
    int rc = statefile_write(dir_fd, "identity", bytes_of(file, sizeof file), true, err);
    sodium_memzero(file, sizeof file);
    return rc == -EEXIST ? 0 : rc;
}

static int read_seed(int dir_fd, uint8_t ret_seed[crypto_sign_SEEDBYTES], struct err *err)
{
    struct buf file = {0};
    /* One allocation of this size, wiped below: no copy of the seed stays behind in the heap. */
    if (buf_reserve(&file, 8192) < 0)
        return err_set(err, -ENOMEM, "identity: out of memory");
    int rc = statefile_read(dir_fd, "identity", 4096, &file, err);
    if (rc == 0 && (file.n != FILE_BYTES || get_u64(file.p + SEED) != XXH3_64bits(file.p, SEED)))
        rc = err_set(err, -EBADMSG,
                     "identity: is damaged; bring it back from a copy, or remove it to become a "
                     "new device");
    if (rc == 0)
        memcpy(ret_seed, file.p, SEED);
    sodium_memzero(file.p, file.cap);
    buf_fini(&file);
    return rc;
}

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
    uint8_t seed[crypto_sign_SEEDBYTES];
    int rc = read_seed(dir_fd, seed, err);
    if (rc == -ENOENT) {
        rc = make_seed(dir_fd, err);
        if (rc == 0)
            rc = read_seed(dir_fd, seed, err);
    }
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
        peer_id_of_key(keys.sign_public, bytes);
        peer_id_text(bytes, id.peer_id);
        choose_label(&config, &id);
        *ret = id;
    }
    member_keys_fini(&keys);
    return rc;
}
