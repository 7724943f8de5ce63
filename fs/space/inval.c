/* What the kernel is to be told of, in the order in which it changed. */
#include "fs/space/space_priv.h"

void inval_name(struct inval_list *l, uint64_t dir, struct bytes name)
{
    if (l->b.n == 0)
        tree_untold(l->s->tree, true);
    buf_put_u64(&l->b, dir);
    buf_put_u8(&l->b, (uint8_t)name.n);
    buf_put_bytes(&l->b, name);
    buf_put_u8(&l->b, 0);
}

void inval_inode(struct inval_list *l, uint64_t ino)
{
    if (l->last != ino) /* many names of a folder come after each other */
        inval_name(l, ino, bytes_of(NULL, 0));
    l->last = ino;
}

void inval_drop(struct inval_list *l)
{
    if (l->b.n > 0)
        tree_untold(l->s->tree, false);
    buf_fini(&l->b);
    l->last = 0;
}

void inval_send(struct inval_list *l)
{
    struct space *s = l->s;
    struct reader r = reader_of(buf_bytes(&l->b));
    pthread_mutex_lock(&s->inval_lock);
    while (s->inval != NULL && r.n > 0 && !r.failed) {
        struct space_inval what = {.ino = reader_u64(&r)};
        size_t n = reader_u8(&r);
        what.name = reader_bytes(&r, n);
        (void)reader_u8(&r);
        s->inval(s->inval_arg, &what);
    }
    pthread_mutex_unlock(&s->inval_lock);
    inval_drop(l);
}
