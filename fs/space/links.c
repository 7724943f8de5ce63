#include "fs/space/links.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

struct link {
    uint64_t dev, ino;
    struct buf value;
};

static int cmp(const void *ap, const void *bp)
{
    const struct link *a = ap, *b = bp;
    if (a->dev != b->dev)
        return a->dev < b->dev ? -1 : 1;
    return (a->ino > b->ino) - (a->ino < b->ino);
}

static void link_free(void *p)
{
    struct link *l = p;
    buf_fini(&l->value);
    free(l);
}

const struct buf *links_find(const struct links *l, uint64_t dev, uint64_t ino)
{
    struct link key = {.dev = dev, .ino = ino};
    struct link *const *at = tfind(&key, &l->root, cmp);
    return at == NULL ? NULL : &(*at)->value;
}

int links_add(struct links *l, uint64_t dev, uint64_t ino, struct bytes value)
{
    struct link *e = calloc(1, sizeof *e);
    if (e == NULL)
        return -ENOMEM;
    e->dev = dev;
    e->ino = ino;
    buf_put_bytes(&e->value, value);
    struct link **at = buf_status(&e->value) < 0 ? NULL : tsearch(e, &l->root, cmp);
    if (at == NULL || *at != e) {
        link_free(e);
        return at == NULL ? -ENOMEM : 0;
    }
    return 0;
}

void links_fini(struct links *l)
{
    tdestroy(l->root, link_free);
    l->root = NULL;
}
