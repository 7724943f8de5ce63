/* Grants: as they come, and with what is sealed in them, which anybody can do. */
#include <stdlib.h>

#include "proto/sealed/grant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct grant grant;

/* What was opened encodes to the same. */
static void open_plain(const uint8_t *data, size_t size, const struct member_keys *k)
{
    struct buf b = {0}, again = {0};
    if (buf_resize(&b, 1 + size + crypto_box_SEALBYTES) < 0)
        abort();
    b.p[0] = 2;
    if (crypto_box_seal(b.p + 1, data, size, k->box_public) != 0)
        abort();
    if (grant_open(buf_bytes(&b), k, &grant) == 0 &&
        (grant_seal(&grant, k->box_public, &again) < 0 || again.n != b.n))
        abort();
    buf_fini(&b);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[SEED_SIZE] = {1};
    struct member_keys k;
    if (member_keys_init(&k, seed) < 0)
        abort();
    if (grant_open(bytes_of(data, size), &k, &grant) == 0)
        abort(); /* nobody meets a box by chance */
    open_plain(data, size, &k);
    member_keys_fini(&k);
    return 0;
}
