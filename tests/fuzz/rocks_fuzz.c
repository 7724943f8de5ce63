/* Files of RocksDB, as a damaged disk gives them: whatever they hold, reading stays within them. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs/store/rocks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void verify_blobs(struct bytes file)
{
    struct rocks_fault fault;
    int fd = memfd_create("blobs", MFD_CLOEXEC);
    if (fd < 0 || write(fd, file.p, file.n) != (ssize_t)file.n)
        abort();
    int rc = rocks_blobs(fd, file.n, 0, &fault);
    if (rc != 0 && rc != -EUCLEAN)
        abort();
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rocks_fault fault;
    bool torn;
    if (size == 0)
        return 0;
    struct bytes file = bytes_of(data + 1, size - 1);
    int rc = 0;
    if (data[0] == 't')
        rc = rocks_table(file, &fault);
    else if (data[0] == 'l')
        rc = rocks_list(file, &torn, &fault);
    else
        verify_blobs(file);
    if (rc != 0 && rc != -EUCLEAN && rc != -ENOMEM)
        abort();
    return 0;
}
