/* Texts of peer ids, and keys of others: what is accepted has a text or an encoding that is read
 * as the same. */
#include "proto/peer_id.h"
#include "proto/peer_key.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct bytes in)
{
    uint8_t id[PEER_ID_ANY_MAX], again[PEER_ID_ANY_MAX], ours[PEER_ID_BYTES];
    char text[PEER_ID_ANY_TEXT_SIZE];
    int n = peer_id_any_parse(in, id);
    if (n < 0)
        return;
    struct bytes v = bytes_of(id, (size_t)n);
    must(peer_id_any_valid(v));
    must(peer_id_any_parse(bytes_str(peer_id_any_text(v, text)), again) == n ||
         (id[0] == 0 && text[0] != '1'));
    must(memcmp(id, again, v.n) == 0);
    if (peer_id_parse(in, ours) == 0)
        must(n == PEER_ID_BYTES && memcmp(id, ours, sizeof ours) == 0);
}

static void check_key(struct bytes in)
{
    uint8_t key[PEER_KEY_PUBLIC_BYTES], again[PEER_KEY_BYTES], secret[PEER_KEY_SECRET_BYTES];
    if (peer_key_decode(in, key) == 0) {
        peer_key_encode(key, again);
        must(bytes_equal(in, bytes_of(again, sizeof again)));
    }
    if (peer_key_decode_secret(in, secret) == 0)
        must(in.n > sizeof secret && memcmp(in.p + 4, secret, sizeof secret) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_text(bytes_of(data, size));
    check_key(bytes_of(data, size));
    return 0;
}
