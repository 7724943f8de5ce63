/* Strings of TXT records, and packets, of anybody on the local network: what is believed can be
 * said again. */
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/mdns_packet.h"
#include "sync/net/libp2p/multiaddr.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_string(struct bytes string)
{
    uint8_t id[PEER_ID_BYTES], near_id[PEER_ID_BYTES];
    struct buf list = {0}, near = {0}, again = {0};
    struct maddr_dial d;
    bool said = mdns_string_read(string, true, id, &list);
    must(!mdns_string_read(string, false, near_id, &near) || said);
    must(said == (list.n > 0));
    if (said) {
        struct reader r = reader_of(buf_bytes(&list));
        struct bytes addr = reader_string(&r, P2P_ADDR_BYTES);
        must(reader_end(&r) == 0 && maddr_dial(addr, &d) == 0);
        must(string.n <= P2P_MDNS_STRING);
        if (mdns_string_write(addr, id, &again)) {
            buf_reset(&list);
            must(mdns_string_read(buf_bytes(&again), true, near_id, &list));
            must(memcmp(id, near_id, sizeof id) == 0);
        }
    }
    buf_fini(&list);
    buf_fini(&near);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    char plate[MDNS_PLATE_SIZE];
    if (mdns_plate_read(in, plate)) {
        struct buf again = {0};
        mdns_plate_write(plate, &again);
        must(bytes_equal(buf_bytes(&again), in));
        buf_fini(&again);
    }
    check_string(in);
    must(!mdns_packet_good(in) || size <= P2P_MDNS_PACKET);
    return 0;
}
