/* Files of RocksDB, as a damaged disk gives them: whatever they hold, reading stays within them. */
#include <errno.h>
#include <stdlib.h>

#include "fs/store/rocks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rocks_fault fault;
    bool torn;
    if (size == 0)
        return 0;
    struct bytes file = bytes_of(data + 1, size - 1);
    int rc = data[0] == 't' ? rocks_table(file, &fault) : rocks_list(file, &torn, &fault);
    if (rc != 0 && rc != -EUCLEAN && rc != -ENOMEM)
        abort();
    return 0;
}
