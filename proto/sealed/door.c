#include "proto/sealed/door.h"

#include <assert.h>
#include <errno.h>

enum { VERSION = 1 };

_Static_assert(DOOR_SALT_SIZE == crypto_pwhash_SALTBYTES, "salt");

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
_Static_assert(sizeof alphabet == 32 + 1, "5 bits a symbol");

void passphrase_new(char ret[static PASSPHRASE_SIZE])
{
    uint8_t random[PASSPHRASE_SYMBOLS];
    char *p = ret;
    randombytes_buf(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++) {
        if (i > 0 && i % 4 == 0)
            *p++ = '-';
        *p++ = alphabet[random[i] & 31];
    }
    *p = '\0';
    sodium_memzero(random, sizeof random);
}

/* The symbol that a person meant; 0: none. */
static char symbol(uint8_t c)
{
    if (c >= 'a' && c <= 'z')
        c = (uint8_t)(c - 'a' + 'A');
    if (c == 'O')
        c = '0';
    if (c == 'I' || c == 'L')
        c = '1';
    return c != 0 && strchr(alphabet, c) != NULL ? (char)c : '\0';
}

/* Whether it is one of ours: then its symbols are in @ret. */
static bool is_ours(struct bytes v, char ret[static PASSPHRASE_SYMBOLS])
{
    size_t n = 0;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == '-' || v.p[i] == ' ')
            continue;
        char c = symbol(v.p[i]);
        if (c == '\0' || n == PASSPHRASE_SYMBOLS)
            return false;
        ret[n++] = c;
    }
    return n == PASSPHRASE_SYMBOLS;
}

int passphrase_normal(struct bytes typed, char ret[static PASSPHRASE_MAX])
{
    while (typed.n > 0 && (typed.p[typed.n - 1] == '\n' || typed.p[typed.n - 1] == '\r'))
        typed.n--;
    if (typed.n < PASSPHRASE_MIN || typed.n > PASSPHRASE_MAX)
        return -EINVAL;
    if (is_ours(typed, ret))
        return PASSPHRASE_SYMBOLS;
    memcpy(ret, typed.p, typed.n);
    return (int)typed.n;
}

int door_key_init(struct door_key *k, struct bytes passphrase,
                  const uint8_t salt[static DOOR_SALT_SIZE])
{
    uint8_t key[crypto_kdf_KEYBYTES];
    *k = (struct door_key){0};
    if (sodium_init() < 0)
        return -EIO;
    if (crypto_pwhash(key, sizeof key, (const char *)passphrase.p, passphrase.n, salt,
                      DOOR_OPSLIMIT, DOOR_MEMLIMIT, crypto_pwhash_ALG_ARGON2ID13) != 0)
        return -ENOMEM;
    int rc = 0;
    if (crypto_kdf_derive_from_key(k->wrap, HASH_SIZE, 1, SEAL_CONTEXT_DOOR, key) != 0 ||
        crypto_kdf_derive_from_key(k->commitment, HASH_SIZE, 2, SEAL_CONTEXT_DOOR, key) != 0)
        rc = -EIO;
    sodium_memzero(key, sizeof key);
    return rc;
}

void door_key_fini(struct door_key *k)
{
    if (k != NULL)
        sodium_memzero(k, sizeof *k);
}

void door_fini(struct door *d)
{
    if (d != NULL)
        sodium_memzero(d, sizeof *d);
}

static void make_ad(const struct space_id *space, uint8_t ret[static SPACE_ID_SIZE + 1])
{
    memcpy(ret, space->b, SPACE_ID_SIZE);
    ret[SPACE_ID_SIZE] = VERSION;
}

int door_salt(struct bytes blob, uint8_t ret[static DOOR_SALT_SIZE])
{
    if (blob.n > 0 && blob.p[0] != VERSION)
        return -ENOTSUP;
    if (blob.n < DOOR_HEAD_SIZE + SEAL_NONCE_SIZE + DOOR_PLAIN_MIN + SEAL_TAG_SIZE ||
        blob.n > DOOR_BLOB_MAX)
        return -EBADMSG;
    memcpy(ret, blob.p + 1, DOOR_SALT_SIZE);
    return 0;
}

int door_seal(const struct door *d, const struct door_key *k,
              const uint8_t salt[static DOOR_SALT_SIZE], const struct space_id *space,
              struct buf *ret)
{
    struct buf plain CLEANUP(buf_wipe) = {0};
    uint8_t ad[SPACE_ID_SIZE + 1];
    assert(d->epochs_n <= LIMIT_EPOCHS);
    if (buf_reserve(&plain, DOOR_PLAIN_MIN + d->epochs_n * EPOCH_KEY_SIZE) < 0)
        return -ENOMEM;
    buf_put(&plain, d->seed, SEED_SIZE);
    buf_put(&plain, d->secret, SPACE_SECRET_SIZE);
    buf_put_u16(&plain, (uint16_t)d->epochs_n);
    buf_put(&plain, d->epochs, d->epochs_n * EPOCH_KEY_SIZE);
    buf_put_u8(ret, VERSION);
    buf_put(ret, salt, DOOR_SALT_SIZE);
    buf_put(ret, k->commitment, HASH_SIZE);
    make_ad(space, ad);
    seal_put(ret, k->wrap, bytes_of(ad, sizeof ad), buf_bytes(&plain));
    return buf_status(ret);
}

static int read_plain(struct bytes plain, struct door *ret)
{
    struct reader r = reader_of(plain);
    reader_copy(&r, ret->seed, SEED_SIZE);
    reader_copy(&r, ret->secret, SPACE_SECRET_SIZE);
    ret->epochs_n = reader_u16(&r);
    if (ret->epochs_n > LIMIT_EPOCHS)
        return -EBADMSG;
    reader_copy(&r, ret->epochs, ret->epochs_n * EPOCH_KEY_SIZE);
    return reader_end(&r);
}

int door_open(struct bytes blob, const struct door_key *k, const struct space_id *space,
              struct door *ret)
{
    uint8_t salt[DOOR_SALT_SIZE], ad[SPACE_ID_SIZE + 1];
    struct buf plain CLEANUP(buf_wipe) = {0};
    door_fini(ret);
    int rc = door_salt(blob, salt);
    if (rc < 0)
        return rc;
    if (sodium_memcmp(blob.p + 1 + DOOR_SALT_SIZE, k->commitment, HASH_SIZE) != 0)
        return -EKEYREJECTED;
    make_ad(space, ad);
    rc = seal_open(bytes_of(blob.p + DOOR_HEAD_SIZE, blob.n - DOOR_HEAD_SIZE), k->wrap,
                   bytes_of(ad, sizeof ad), &plain);
    if (rc == 0)
        rc = read_plain(buf_bytes(&plain), ret);
    if (rc < 0)
        door_fini(ret);
    return rc;
}
