/* What a device stores of direct links (sync/links/p2p_file.h), and what earlier versions stored.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "sync/links/p2p_file.h"
#include "sync/state/statefile.h"

/* /ip4/127.0.0.1/tcp/4001, with its length. */
#define ADDRESS "\x08\x04\x7f\x00\x00\x01\x06\x0f\xa1"

struct fixture {
    char path[64];
    int fd;
    struct p2p_file file;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -1;
    snprintf(f->path, sizeof f->path, "/tmp/persist-p2p-XXXXXX");
    if (mkdtemp(f->path) == NULL)
        return -1;
    f->fd = open(f->path, O_DIRECTORY | O_CLOEXEC);
    *state = f;
    return f->fd < 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    p2p_file_fini(&f->file);
    close(f->fd);
    int rc = statefile_remove_tree(AT_FDCWD, f->path, NULL);
    free(f);
    return rc;
}

static void reopen(struct fixture *f)
{
    struct err err = {0};
    p2p_file_fini(&f->file);
    if (p2p_file_open(f->fd, &f->file, &err) < 0)
        fail_msg("%s", err.msg);
}

static void assert_address(const struct buf *list)
{
    assert_int_equal(list->n, sizeof ADDRESS - 1);
    assert_memory_equal(list->p, ADDRESS, sizeof ADDRESS - 1);
}

/* It knew of one DHT only. */
static void a_file_of_an_earlier_version_is_read(void **state)
{
    static const char was[] = "\x01\x09\x01" ADDRESS "\x01" ADDRESS "\x00";
    struct fixture *f = *state;
    struct buf b CLEANUP(buf_fini) = {0};
    struct err err = {0};
    buf_put(&b, was, sizeof was - 1);
    buf_put_u64(&b, XXH3_64bits(b.p, b.n));
    assert_int_equal(statefile_write(f->fd, "p2p", buf_bytes(&b), true, &err), 0);
    reopen(f);
    assert_true(f->file.mdns && p2p_file_is_dht(&f->file) && f->file.dht == P2P_DHT_ON);
    assert_false(f->file.any_port || f->file.ipfs);
    assert_address(&f->file.listen);
    assert_address(&f->file.bootstrap);
}

static void which_dht_it_is_stays(void **state)
{
    struct fixture *f = *state;
    struct bytes addrs = bytes_of(ADDRESS, sizeof ADDRESS - 1);
    struct err err = {0};
    reopen(f); /* a new one */
    assert_false(f->file.ipfs);
    for (int ipfs = 1; ipfs >= 0; ipfs--) {
        assert_int_equal(p2p_file_set_dht(&f->file, P2P_DHT_IF_LED, ipfs != 0, addrs, &err), 0);
        assert_int_equal(p2p_file_set(&f->file, addrs, false, true, &err), 0);
        reopen(f);
        assert_int_equal(f->file.ipfs, ipfs);
        assert_true(f->file.dht == P2P_DHT_IF_LED && p2p_file_is_dht(&f->file));
        assert_address(&f->file.bootstrap);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_file_of_an_earlier_version_is_read),
        TEST(which_dht_it_is_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
