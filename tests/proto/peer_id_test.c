/* PeerIds against known vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/peer_id.h"

static void peer_id_of_known_keys(void **state)
{
    (void)state;
    /* The last is the one of the libp2p specification. */
    static const char *const cases[][2] = {
        {"8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
         "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"},
        {"8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
         "12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq"},
        {"1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
         "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        uint8_t key[PEER_ID_KEY_BYTES];
        uint8_t id[PEER_ID_BYTES];
        char text[PEER_ID_TEXT_SIZE];
        assert_int_equal(sodium_hex2bin(key, sizeof key, cases[i][0], 64, NULL, NULL, NULL), 0);
        peer_id_of_key(key, id);
        assert_string_equal(peer_id_text(id, text), cases[i][1]);
    }
}

static void peer_id_text_of_extremes_fits(void **state)
{
    (void)state;
    uint8_t id[PEER_ID_BYTES] = {0};
    char text[PEER_ID_TEXT_SIZE];
    assert_string_equal(peer_id_text(id, text), "11111111111111111111111111111111111111");
    memset(id, 0xff, sizeof id);
    assert_int_equal(strlen(peer_id_text(id, text)), 52);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peer_id_of_known_keys),
        cmocka_unit_test(peer_id_text_of_extremes_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
