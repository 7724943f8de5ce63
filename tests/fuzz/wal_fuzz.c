/* A record of the write-ahead log: what is accepted lies within the input. */
#include <stdlib.h>

#include "fs/store/wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wal_record r;
    if (wal_record_read(bytes_of(data, size), 7, &r) == 0 &&
        (r.batch.n > size - WAL_HEADER_BYTES || r.batch.p != data + WAL_HEADER_BYTES))
        abort();
    return 0;
}
