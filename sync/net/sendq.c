#include "sync/net/sendq.h"

#include <errno.h>
#include <stdlib.h>

static size_t cost(size_t n)
{
    return sizeof(struct sendq_item) + n;
}

void sendq_fini(struct sendq *q)
{
    while (q->first != NULL)
        sendq_pop(q);
    *q = (struct sendq){0};
}

int sendq_push(struct sendq *q, struct bytes message)
{
    if (q->first != NULL && q->bytes + cost(message.n) > SENDQ_MAX) {
        q->wanted = true;
        return -EAGAIN;
    }
    struct sendq_item *i = malloc(cost(message.n));
    if (i == NULL)
        return -ENOMEM;
    i->next = NULL;
    i->n = message.n;
    i->sent = 0;
    if (message.n > 0)
        memcpy(i->data, message.p, message.n);
    if (q->first == NULL)
        q->first = i;
    else
        q->last->next = i;
    q->last = i;
    q->bytes += cost(message.n);
    return 0;
}

void sendq_pop(struct sendq *q)
{
    struct sendq_item *i = q->first;
    q->first = i->next;
    q->bytes -= cost(i->n);
    free(i);
}

bool sendq_has_room(struct sendq *q)
{
    if (!q->wanted || q->bytes > SENDQ_ROOMY)
        return false;
    q->wanted = false;
    return true;
}
