/* Blobs of a door: as they come, and with what is sealed in them made by one who has the key. */
#include <stdlib.h>

#include "proto/sealed/door.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct door door;

/* What was opened encodes to the same. */
static void open_plain(const uint8_t *data, size_t size)
{
    static const struct door_key k = {{1}, {2}};
    const struct space_id space = {{3}};
    const uint8_t salt[DOOR_SALT_SIZE] = {4};
    uint8_t ad[SPACE_ID_SIZE + 1] = {3};
    struct buf b = {0}, again = {0};
    ad[SPACE_ID_SIZE] = 1;
    buf_put_u8(&b, 1);
    buf_put(&b, salt, sizeof salt);
    buf_put(&b, k.commitment, HASH_SIZE);
    seal_put(&b, k.wrap, bytes_of(ad, sizeof ad), bytes_of(data, size));
    if (door_open(buf_bytes(&b), &k, &space, &door) == 0 &&
        (door_seal(&door, &k, salt, &space, &again) < 0 || again.n != b.n))
        abort();
    buf_fini(&b);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct door_key k = {{1}, {2}};
    const struct space_id space = {{3}};
    char normal[PASSPHRASE_MAX];
    if (door_open(bytes_of(data, size), &k, &space, &door) == 0)
        abort(); /* nobody can make one without the key */
    open_plain(data, size);
    (void)!passphrase_normal(bytes_of(data, size), normal);
    return 0;
}
