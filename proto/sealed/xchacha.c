#include "proto/sealed/xchacha.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>

enum { NONCE_SIZE = 12, ZEROS = 4 /* before what is left of the nonce */ };

_Static_assert(NONCE_SIZE - ZEROS == XCHACHA_NONCE_SIZE - crypto_core_hchacha20_INPUTBYTES,
               "the rest of the nonce");

static EVP_CIPHER *cipher;

/* In a context of its own: no settings of the machine take the cipher away. It stays. */
static void fetch(void)
{
    cipher = EVP_CIPHER_fetch(OSSL_LIB_CTX_new(), "ChaCha20-Poly1305", NULL);
}

/* Begins with the key that HChaCha20 makes of @key and the first bytes of @nonce, and takes @ad.
 * NULL: no memory. */
static EVP_CIPHER_CTX *begin(const uint8_t *key, const uint8_t *nonce, struct bytes ad, bool seals)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint8_t sub[crypto_core_hchacha20_OUTPUTBYTES], rest[NONCE_SIZE] = {0};
    int n;
    pthread_once(&once, fetch);
    EVP_CIPHER_CTX *c = cipher != NULL ? EVP_CIPHER_CTX_new() : NULL;
    assert(ad.n <= INT_MAX);
    crypto_core_hchacha20(sub, nonce, key, NULL);
    memcpy(rest + ZEROS, nonce + crypto_core_hchacha20_INPUTBYTES, NONCE_SIZE - ZEROS);
    bool ok = c != NULL && EVP_CipherInit_ex(c, cipher, NULL, sub, rest, seals) == 1 &&
              (ad.n == 0 || EVP_CipherUpdate(c, NULL, &n, ad.p, (int)ad.n) == 1);
    sodium_memzero(sub, sizeof sub);
    if (!ok) {
        EVP_CIPHER_CTX_free(c);
        return NULL;
    }
    return c;
}

static bool update(EVP_CIPHER_CTX *c, struct bytes in, uint8_t *ret)
{
    int n = 0;
    assert(in.n <= INT_MAX);
    return in.n == 0 || (EVP_CipherUpdate(c, ret, &n, in.p, (int)in.n) == 1 && (size_t)n == in.n);
}

int xchacha_seal(const uint8_t key[static XCHACHA_KEY_SIZE],
                 const uint8_t nonce[static XCHACHA_NONCE_SIZE], struct bytes ad,
                 struct bytes plain, uint8_t *ret)
{
    int n;
    EVP_CIPHER_CTX *c = begin(key, nonce, ad, true);
    uint8_t *tag = ret + plain.n;
    bool ok = c != NULL && update(c, plain, ret) && EVP_CipherFinal_ex(c, tag, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, XCHACHA_TAG_SIZE, tag) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok ? 0 : -ENOMEM;
}

int xchacha_open(const uint8_t key[static XCHACHA_KEY_SIZE],
                 const uint8_t nonce[static XCHACHA_NONCE_SIZE], struct bytes ad,
                 struct bytes sealed, uint8_t *ret)
{
    if (sealed.n < XCHACHA_TAG_SIZE)
        return -EBADMSG;
    uint8_t tag[XCHACHA_TAG_SIZE], none;
    size_t plain_n = sealed.n - XCHACHA_TAG_SIZE;
    int n;
    memcpy(tag, sealed.p + plain_n, sizeof tag);
    EVP_CIPHER_CTX *c = begin(key, nonce, ad, false);
    if (c == NULL || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1) {
        EVP_CIPHER_CTX_free(c);
        return -ENOMEM;
    }
    bool ok = update(c, bytes_of(sealed.p, plain_n), ret) && EVP_CipherFinal_ex(c, &none, &n) == 1;
    EVP_CIPHER_CTX_free(c);
    if (!ok && plain_n > 0)
        sodium_memzero(ret, plain_n);
    return ok ? 0 : -EBADMSG;
}
