/*
 * What the local tree reads back from its database: attributes, segments of the map, directory
 * entries, access control lists. The first byte says which. What decodes has to encode to a value
 * that decodes to the same.
 */
#include <assert.h>
#include <string.h>

#include "fs/tree/acl.h"
#include "fs/tree/attr.h"
#include "fs/tree/data.h"
#include "fs/tree/op.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void attributes(struct bytes v)
{
    struct attr a, again;
    if (attr_decode(v, 7, &a) < 0)
        return;
    assert(a.ino == 7 && a.data <= ATTR_DATA_VERSION);
    CLEANUP(buf_fini) struct buf one = {0}, two = {0};
    attr_encode(&a, &one);
    int rc = attr_decode(buf_bytes(&one), 7, &again);
    assert(rc == 0);
    attr_encode(&again, &two);
    assert(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    struct stat st;
    attr_stat(&a, &st);
    assert(st.st_mode == a.mode);
}

static void segments(struct bytes v)
{
    struct segment s;
    if (segment_decode(v, 3, &s) < 0)
        return;
    assert(s.index == 3 && s.loaded && !s.changed && (s.redo & ~s.valid) == 0 &&
           (s.on_disk & ~s.valid) == 0);
    uint8_t room[SEGMENT_VALUE_MAX];
    assert(bytes_equal(segment_encode(&s, room), v));
}

static void entries(struct bytes v)
{
    struct dirent_value e;
    if (dirent_decode(v, &e) < 0)
        return;
    assert((e.type & ~(unsigned)S_IFMT) == 0);
}

static void lists(struct bytes v)
{
    if (acl_check(v) < 0 || v.n == 4)
        return;
    CLEANUP(buf_fini) struct buf list = {0};
    buf_put_bytes(&list, v);
    uint32_t mode = acl_mode(v);
    assert((mode & ~0777U) == 0 && (!acl_is_mode(v) || v.n == 28));
    acl_restrict(&list, 0751);
    assert(acl_check(buf_bytes(&list)) == 0 && acl_mode(buf_bytes(&list)) == (mode & 0751));
    acl_chmod(&list, 0642);
    assert(acl_check(buf_bytes(&list)) == 0 && acl_mode(buf_bytes(&list)) == 0642);
    acl_chmod(&list, mode);
    assert(bytes_equal(buf_bytes(&list), v));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes v = bytes_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        attributes(v);
        break;
    case 1:
        segments(v);
        break;
    case 3:
        lists(v);
        break;
    default:
        entries(v);
        break;
    }
    return 0;
}
