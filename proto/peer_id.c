#include "proto/peer_id.h"

#include <assert.h>

void peer_id_of_key(const uint8_t key[PEER_ID_KEY_BYTES], uint8_t ret_id[PEER_ID_BYTES])
{
    static const uint8_t head[] = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20};
    _Static_assert(sizeof head + PEER_ID_KEY_BYTES == PEER_ID_BYTES, "length of a PeerId");
    memcpy(ret_id, head, sizeof head);
    memcpy(ret_id + sizeof head, key, PEER_ID_KEY_BYTES);
}

/* base58btc: the bytes as one big number, most significant digit first; a leading zero byte is a
 * '1'. */
const char *peer_id_text(const uint8_t id[PEER_ID_BYTES], char ret_text[PEER_ID_TEXT_SIZE])
{
    static const char alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    uint8_t digits[PEER_ID_TEXT_SIZE] = {0}; /* least significant first */
    size_t n = 0;
    size_t zeros = 0;
    while (zeros < PEER_ID_BYTES && id[zeros] == 0)
        zeros++;
    for (size_t i = zeros; i < PEER_ID_BYTES; i++) {
        unsigned carry = id[i];
        for (size_t d = 0; d < n; d++) {
            carry += (unsigned)digits[d] << 8;
            digits[d] = (uint8_t)(carry % 58);
            carry /= 58;
        }
        while (carry > 0) {
            assert(n < sizeof digits);
            digits[n++] = (uint8_t)(carry % 58);
            carry /= 58;
        }
    }
    assert(zeros + n < PEER_ID_TEXT_SIZE);
    memset(ret_text, '1', zeros);
    for (size_t i = 0; i < n; i++)
        ret_text[zeros + i] = alphabet[digits[n - 1 - i]];
    ret_text[zeros + n] = '\0';
    return ret_text;
}
