#include "fs/space/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    FORMAT = 2,
    FORMAT_INVITED = 3,
    FILE_MAX = 128 * 1024,
    SUM_BYTES = 8,
};

static const char file_name[] = "keys";

int space_member_init(struct space_member *m, const uint8_t seed[static SEED_SIZE],
                      const uint8_t identity[static SIGN_KEY_SIZE])
{
    int rc = member_keys_init(&m->keys, seed);
    if (rc < 0)
        return rc;
    memcpy(m->pub.identity, identity, SIGN_KEY_SIZE);
    memcpy(m->pub.sign, m->keys.sign_public, SIGN_KEY_SIZE);
    memcpy(m->pub.box, m->keys.box_public, BOX_KEY_SIZE);
    return 0;
}

void space_member_fini(struct space_member *m)
{
    if (m != NULL)
        member_keys_fini(&m->keys);
}

void keyring_fini(struct keyring *k)
{
    if (k == NULL)
        return;
    for (size_t i = 0; i < k->epochs_n; i++)
        epoch_keys_fini(&k->epochs[i]);
    free(k->epochs);
    buf_fini(&k->genesis);
    sodium_memzero(k, sizeof *k);
}

const struct epoch_keys *keyring_find(const struct keyring *k, const struct epoch_id *id)
{
    for (size_t i = k->epochs_n; i > 0; i--)
        if (epoch_id_cmp(&k->epochs[i - 1].id, id) == 0)
            return &k->epochs[i - 1];
    return NULL;
}

int keyring_add(struct keyring *k, const uint8_t key[static EPOCH_KEY_SIZE])
{
    struct epoch_id id = epoch_id_of(key);
    if (keyring_find(k, &id) != NULL)
        return 0;
    if (k->epochs_n == LIMIT_EPOCHS)
        return -E2BIG;
    /* Not realloc(): it would leave keys behind in the heap. */
    struct epoch_keys *v = calloc(k->epochs_n + 1, sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    if (k->epochs_n > 0)
        memcpy(v, k->epochs, k->epochs_n * sizeof *v);
    int rc = epoch_keys_init(&v[k->epochs_n], key);
    if (rc < 0) {
        sodium_memzero(v, (k->epochs_n + 1) * sizeof *v);
        free(v);
        return rc;
    }
    if (k->epochs_n > 0)
        sodium_memzero(k->epochs, k->epochs_n * sizeof *v);
    free(k->epochs);
    k->epochs = v;
    k->epochs_n++;
    return 0;
}

static int make_genesis(struct keyring *k, const struct space_member *m)
{
    struct act a;
    memset(&a, 0, sizeof a);
    a.kind = ACT_GENESIS;
    a.author = member_id_of(&m->pub);
    a.number = 1;
    a.add.member = m->pub;
    a.add.role = ACT_ROLE_DEVICE;
    randombytes_buf(a.random, sizeof a.random);
    int rc = act_sign(&a, &m->keys, &k->genesis);
    if (rc == 0)
        k->space = act_space_of(buf_bytes(&k->genesis));
    return rc;
}

int keyring_found(struct keyring *k, const struct space_member *m)
{
    uint8_t key[EPOCH_KEY_SIZE];
    *k = (struct keyring){.has_door = false};
    randombytes_buf(k->secret, sizeof k->secret);
    randombytes_buf(key, sizeof key);
    int rc = keyring_add(k, key);
    sodium_memzero(key, sizeof key);
    if (rc == 0 && m != NULL)
        rc = make_genesis(k, m);
    if (rc < 0)
        keyring_fini(k);
    return rc;
}

/* Of a space that exists: its secret, and the epochs so far. */
static int take_over(struct keyring *k, const uint8_t secret[static SPACE_SECRET_SIZE],
                     const uint8_t epochs[][EPOCH_KEY_SIZE], size_t n)
{
    int rc = 0;
    memcpy(k->secret, secret, sizeof k->secret);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = keyring_add(k, epochs[i]);
    if (rc < 0)
        keyring_fini(k);
    return rc;
}

int keyring_join(struct keyring *k, const struct space_id *space, const struct door *door)
{
    *k = (struct keyring){.space = *space, .has_door = true};
    memcpy(k->door, door->seed, sizeof k->door);
    return take_over(k, door->secret, door->epochs, door->epochs_n);
}

int keyring_grant(struct keyring *k, const struct grant *grant)
{
    *k = (struct keyring){.space = grant->space};
    return take_over(k, grant->secret, grant->epochs, grant->epochs_n);
}

/* ---- the file ----------------------------------------------------------------------------------
 */

static int encode(const struct keyring *k, struct buf *b)
{
    /* In one piece, so that no copy stays behind in the heap. */
    if (buf_reserve(b, FILE_MAX) < 0)
        return -ENOMEM;
    buf_put_u8(b, k->invited ? FORMAT_INVITED : FORMAT);
    buf_put(b, k->space.b, sizeof k->space.b);
    buf_put(b, k->secret, sizeof k->secret);
    buf_put_u8(b, k->has_door);
    buf_put(b, k->door, sizeof k->door);
    buf_put_u16(b, (uint16_t)k->genesis.n);
    buf_put_bytes(b, buf_bytes(&k->genesis));
    buf_put_u16(b, (uint16_t)k->epochs_n);
    for (size_t i = 0; i < k->epochs_n; i++)
        buf_put(b, k->epochs[i].key, EPOCH_KEY_SIZE);
    if (k->invited)
        buf_put(b, k->inviter, sizeof k->inviter);
    buf_put_u64(b, XXH3_64bits(b->p, b->n));
    return buf_status(b);
}

static int write_file(int dir_fd, struct bytes v)
{
    int fd =
        openat(dir_fd, "keys.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int rc = 0;
    if (write(fd, v.p, v.n) != (ssize_t)v.n || fsync(fd) < 0)
        rc = errno != 0 ? -errno : -ENOSPC;
    close(fd);
    if (rc == 0 && (renameat(dir_fd, "keys.new", dir_fd, file_name) < 0 || fsync(dir_fd) < 0))
        rc = -errno;
    return rc;
}

int keyring_write(const struct keyring *k, int dir_fd, struct err *err)
{
    struct buf b CLEANUP(buf_wipe) = {0};
    int rc = encode(k, &b);
    if (rc == 0)
        rc = write_file(dir_fd, buf_bytes(&b));
    return rc < 0 ? err_set(err, rc, "writing the keys of the space: %s", strerror(-rc)) : 0;
}

/* -EBADMSG, -ENOMEM, -EIO. */
static int decode(struct bytes in, struct keyring *k)
{
    struct reader r = reader_of(bytes_of(in.p, in.n - SUM_BYTES));
    k->invited = reader_u8(&r) == FORMAT_INVITED;
    reader_copy(&r, k->space.b, sizeof k->space.b);
    reader_copy(&r, k->secret, sizeof k->secret);
    k->has_door = reader_u8(&r) == 1;
    reader_copy(&r, k->door, sizeof k->door);
    buf_put_bytes(&k->genesis, reader_bytes(&r, reader_u16(&r)));
    size_t n = reader_u16(&r);
    int rc = buf_status(&k->genesis);
    for (size_t i = 0; rc == 0 && i < n && !r.failed; i++) {
        struct bytes key = reader_bytes(&r, EPOCH_KEY_SIZE);
        rc = key.n == EPOCH_KEY_SIZE ? keyring_add(k, key.p) : -EBADMSG;
    }
    if (k->invited)
        reader_copy(&r, k->inviter, sizeof k->inviter);
    return rc < 0 ? rc : reader_end(&r);
}

static int read_file(int dir_fd, struct buf *b)
{
    int fd = openat(dir_fd, file_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = buf_resize(b, FILE_MAX + 1);
    ssize_t n = rc == 0 ? read(fd, b->p, b->n) : 0;
    if (rc == 0 && n < 0)
        rc = -errno;
    close(fd);
    b->n = n > 0 ? (size_t)n : 0;
    return rc;
}

int keyring_read(struct keyring *k, int dir_fd, struct err *err)
{
    struct buf b CLEANUP(buf_wipe) = {0};
    *k = (struct keyring){.has_door = false};
    int rc = read_file(dir_fd, &b);
    if (rc == -ENOENT || rc == -EACCES)
        return rc;
    if (rc < 0)
        return err_set(err, rc, "reading the keys of the space: %s", strerror(-rc));
    if (b.n > 0 && b.p[0] != FORMAT && b.p[0] != FORMAT_INVITED)
        return err_set(
            err, -ENOTSUP, "the space's keys have format %u, this program knows %d; use %s", b.p[0],
            FORMAT_INVITED, b.p[0] > FORMAT ? "a newer persist" : "the persist that made it");
    bool whole = b.n > SUM_BYTES && b.n <= FILE_MAX &&
                 get_u64(b.p + b.n - SUM_BYTES) == XXH3_64bits(b.p, b.n - SUM_BYTES);
    rc = whole ? decode(buf_bytes(&b), k) : -EBADMSG;
    if (rc == 0)
        return 0;
    keyring_fini(k);
    if (rc != -EBADMSG)
        return err_set(err, rc, "reading the keys of the space: %s", strerror(-rc));
    return err_set(err, -EUCLEAN,
                   "the file of the space's keys is damaged; restore it from a copy, or clone the "
                   "folder again");
}
