#include "sync/state/seed.h"

#include <errno.h>
#include <sodium.h>
#include <xxhash.h>

#include "sync/state/statefile.h"

enum { FILE_BYTES = SEED_BYTES + 8 };

/* Draws a seed and stores it, unless another process was first. */
static int make_seed(int dir_fd, const char *name, struct err *err)
{
    uint8_t file[FILE_BYTES];
    randombytes_buf(file, SEED_BYTES);
    put_u64(file + SEED_BYTES, XXH3_64bits(file, SEED_BYTES));
    int rc = statefile_write(dir_fd, name, bytes_of(file, sizeof file), true, err);
    sodium_memzero(file, sizeof file);
    return rc == -EEXIST ? 0 : rc;
}

static int read_seed(int dir_fd, const char *name, uint8_t *ret_seed, struct err *err)
{
    struct buf file = {0};
    /* One allocation of this size, wiped below: no copy of the seed stays behind in the heap. */
    if (buf_reserve(&file, 8192) < 0)
        return err_set(err, -ENOMEM, "%s: out of memory", name);
    int rc = statefile_read(dir_fd, name, 4096, &file, err);
    if (rc == 0 &&
        (file.n != FILE_BYTES || get_u64(file.p + SEED_BYTES) != XXH3_64bits(file.p, SEED_BYTES)))
        rc = err_set(err, -EBADMSG,
                     "%s: is damaged; bring it back from a copy, or remove it to become a new "
                     "device",
                     name);
    if (rc == 0)
        memcpy(ret_seed, file.p, SEED_BYTES);
    sodium_memzero(file.p, file.cap);
    buf_fini(&file);
    return rc;
}

int seed_load(int dir_fd, const char *name, uint8_t ret_seed[static SEED_BYTES], struct err *err)
{
    int rc = read_seed(dir_fd, name, ret_seed, err);
    if (rc == -ENOENT) {
        rc = make_seed(dir_fd, name, err);
        if (rc == 0)
            rc = read_seed(dir_fd, name, ret_seed, err);
    }
    return rc;
}
