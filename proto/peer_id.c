#include "proto/peer_id.h"

#include <assert.h>
#include <errno.h>

#include "proto/multibase.h"
#include "proto/peer_key.h"

enum {
    HASH_IDENTITY = 0x00, /* the key protobuf itself */
    HASH_SHA256 = 0x12,
    SHA256_BYTES = 32,
    HEAD = 2, /* of a multihash: the hash, its length */
    CID_VERSION = 0x01,
    CID_LIBP2P_KEY = 0x72
};

_Static_assert(HEAD + PEER_KEY_BYTES == PEER_ID_BYTES, "length of a PeerId");
_Static_assert((int)PEER_ID_ANY_MAX <= (int)BASE58_BYTES_MAX, "every id has a text");

void peer_id_of_key(const uint8_t key[PEER_ID_KEY_BYTES], uint8_t ret_id[PEER_ID_BYTES])
{
    ret_id[0] = HASH_IDENTITY;
    ret_id[1] = PEER_KEY_BYTES;
    peer_key_encode(key, ret_id + HEAD);
}

int peer_id_key(struct bytes id, uint8_t ret_key[PEER_ID_KEY_BYTES])
{
    if (id.n != PEER_ID_BYTES || id.p[0] != HASH_IDENTITY || id.p[1] != PEER_KEY_BYTES ||
        peer_key_decode(bytes_of(id.p + HEAD, PEER_KEY_BYTES), ret_key) < 0)
        return -ENOTSUP;
    return 0;
}

const char *peer_id_text(const uint8_t id[PEER_ID_BYTES], char ret_text[PEER_ID_TEXT_SIZE])
{
    return base58_text(bytes_of(id, PEER_ID_BYTES), ret_text, PEER_ID_TEXT_SIZE);
}

int peer_id_parse(struct bytes text, uint8_t ret_id[PEER_ID_BYTES])
{
    uint8_t id[PEER_ID_ANY_MAX], key[PEER_ID_KEY_BYTES];
    int n = peer_id_any_parse(text, id);
    int rc = n < 0 ? n : peer_id_key(bytes_of(id, (size_t)n), key);
    if (rc == 0)
        memcpy(ret_id, id, PEER_ID_BYTES);
    return rc;
}

/* ---- of any kind of key ------------------------------------------------------------------------
 */

bool peer_id_any_valid(struct bytes id)
{
    if (id.n <= HEAD || id.n > PEER_ID_ANY_MAX || id.p[1] != id.n - HEAD)
        return false;
    return id.p[0] == HASH_IDENTITY || (id.p[0] == HASH_SHA256 && id.p[1] == SHA256_BYTES);
}

const char *peer_id_any_text(struct bytes id, char ret_text[PEER_ID_ANY_TEXT_SIZE])
{
    return base58_text(id, ret_text, PEER_ID_ANY_TEXT_SIZE);
}

int peer_id_any_parse(struct bytes text, uint8_t ret_id[PEER_ID_ANY_MAX])
{
    uint8_t raw[PEER_ID_ANY_MAX + 2];
    if (text.n == 0)
        return -EBADMSG;
    bool bare = text.p[0] == '1' || (text.n > 1 && memcmp(text.p, "Qm", 2) == 0);
    int n =
        bare ? multibase_decode('z', text, raw, sizeof raw)
             : multibase_decode((char)text.p[0], bytes_of(text.p + 1, text.n - 1), raw, sizeof raw);
    struct bytes id = bytes_of(raw, n < 0 ? 0 : (size_t)n);
    if (!bare) {
        if (id.n < 2 || raw[0] != CID_VERSION || raw[1] != CID_LIBP2P_KEY)
            return -EBADMSG;
        id = bytes_of(raw + 2, id.n - 2);
    }
    if (!peer_id_any_valid(id))
        return -EBADMSG;
    memcpy(ret_id, id.p, id.n);
    return (int)id.n;
}
