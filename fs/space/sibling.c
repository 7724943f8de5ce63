#include "fs/space/sibling.h"

#include "fs/replica/conflict_name.h"

static const char mark[] = " (conflict from ";

/* A sibling's name in its parts: stem, " (conflict from ", whence, ")", the rest. */
struct parts {
    struct bytes stem, whence, rest;
    bool cut; /* so long that the stem may have been shortened */
};

static bool take_apart(struct bytes name, struct parts *ret)
{
    const size_t n = sizeof mark - 1;
    enum { CHARACTER_MAX = 4 };
    while (name.n > 0 && name.p[name.n - 1] == '+')
        name.n--;
    const uint8_t *at = memmem(name.p, name.n, mark, n);
    if (at == NULL)
        return false;
    const uint8_t *whence = at + n;
    const uint8_t *end = memrchr(whence, ')', name.n - (size_t)(whence - name.p));
    if (end == NULL)
        return false;
    size_t after = (size_t)(end + 1 - name.p);
    *ret = (struct parts){.stem = bytes_of(name.p, (size_t)(at - name.p)),
                          .whence = bytes_of(whence, (size_t)(end - whence)),
                          .rest = bytes_of(end + 1, name.n - after),
                          .cut = name.n + CHARACTER_MAX > CONFLICT_NAME_MAX};
    return true;
}

bool sibling_is(struct bytes name)
{
    struct parts p;
    return take_apart(name, &p);
}

bool sibling_is_of(struct bytes name, struct bytes of)
{
    struct parts p;
    if (!take_apart(name, &p) || of.n < p.stem.n + p.rest.n ||
        (!p.cut && of.n != p.stem.n + p.rest.n))
        return false;
    return bytes_equal(bytes_of(of.p, p.stem.n), p.stem) &&
           bytes_equal(bytes_of(of.p + of.n - p.rest.n, p.rest.n), p.rest);
}

int sibling_file(struct bytes name, struct buf *ret)
{
    struct parts p = {.cut = false};
    if (take_apart(name, &p)) {
        buf_put_bytes(ret, p.stem);
        buf_put_bytes(ret, p.rest);
    }
    return buf_status(ret);
}

int sibling_plain(struct bytes name, struct buf *ret)
{
    struct parts p = {.cut = false};
    if (take_apart(name, &p)) {
        buf_put_bytes(ret, p.stem);
        buf_put_bytes(ret, bytes_str(" (from "));
        buf_put_bytes(ret, p.whence);
        buf_put_u8(ret, ')');
        buf_put_bytes(ret, p.rest);
    }
    return buf_status(ret);
}
