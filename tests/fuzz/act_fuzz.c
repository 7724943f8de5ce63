/* Acts from others: decoding refuses, or what it accepts has one encoding. */
#include <stdlib.h>

#include "proto/sealed/act.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct member_keys k;
    struct act a;
    struct buf b = {0};
    if (k.sign_public[0] == 0 && member_keys_init(&k, (const uint8_t[SEED_SIZE]){1}) < 0)
        return 0;
    if (act_decode(bytes_of(data, size), &a) < 0)
        return 0;
    (void)!act_verify(&a, k.sign_public);
    if (act_sign(&a, &k, &b) < 0 || b.n != size || memcmp(b.p, data, size - SIGNATURE_SIZE) != 0)
        abort();
    buf_fini(&b);
    return 0;
}
