#include "sync/engine/sources.h"

#include <errno.h>
#include <stdlib.h>

enum { SLOTS = 2048 }; /* a power of two; usual are some hundred that are open */

/* A chunk that was asked for and is not here. */
struct open {
    struct open *next;
    uint8_t name[CONTENT_ID_BYTES];
    uint32_t of;    /* a bit for each source that was asked, */
    int last;       /* this one last, */
    uint64_t at_ms; /* then; 0: it has answered, or is gone, and those before it are late */
};

struct sources {
    uint32_t used;
    bool freed;
    uint64_t heard_ms[SOURCES_MAX]; /* when each answered last */
    struct open *slot[SLOTS];
};

_Static_assert(SOURCES_MAX == 32, "a bit for each source");

int sources_new(struct sources **ret)
{
    *ret = calloc(1, sizeof **ret);
    return *ret == NULL ? -ENOMEM : 0;
}

void sources_free(struct sources *s)
{
    for (size_t i = 0; s != NULL && i < SLOTS; i++)
        for (struct open *o = s->slot[i], *next; o != NULL; o = next) {
            next = o->next;
            free(o);
        }
    free(s);
}

int sources_join(struct sources *s)
{
    for (int i = 0; i < SOURCES_MAX; i++)
        if ((s->used >> i & 1) == 0) {
            s->used |= 1U << i;
            return i;
        }
    return -EMFILE;
}

/* Where the pointer to it is; to NULL: it is not open. */
static struct open **find(struct sources *s, const uint8_t *name)
{
    struct open **at = &s->slot[(name[1] << 8 | name[2]) & (SLOTS - 1)];
    while (*at != NULL && memcmp((*at)->name, name, CONTENT_ID_BYTES) != 0)
        at = &(*at)->next;
    return at;
}

static void drop(struct open **at)
{
    struct open *o = *at;
    *at = o->next;
    free(o);
}

/* Returns where to go on. */
static struct open **let_go(struct sources *s, int source, struct open **at)
{
    struct open *o = *at;
    if ((o->of >> source & 1) == 0)
        return &o->next;
    o->of &= ~(1U << source);
    if (o->last == source) {
        o->at_ms = 0;
        s->freed = true;
    }
    if (o->of != 0)
        return &o->next;
    drop(at);
    return at;
}

void sources_let_go(struct sources *s, int source)
{
    for (size_t i = 0; i < SLOTS; i++)
        for (struct open **at = &s->slot[i]; *at != NULL;)
            at = let_go(s, source, at);
}

void sources_leave(struct sources *s, int source)
{
    if (source < 0)
        return;
    sources_let_go(s, source);
    s->used &= ~(1U << source);
}

/* When it may be asked of another source. */
static uint64_t late_ms(const struct sources *s, const struct open *o)
{
    uint64_t stalled = max_u64(o->at_ms, s->heard_ms[o->last]) + SOURCES_STALLED_MS;
    return o->at_ms == 0 ? 0 : min_u64(stalled, o->at_ms + SOURCES_LATE_MS);
}

uint64_t sources_claim(struct sources *s, int source, const uint8_t name[static CONTENT_ID_BYTES],
                       uint64_t now_ms)
{
    struct open **at = find(s, name), *o = *at;
    if (o != NULL && (o->of >> source & 1) != 0)
        return SOURCES_NEVER;
    if (o != NULL && now_ms < late_ms(s, o))
        return late_ms(s, o);
    if (o == NULL)
        o = *at = calloc(1, sizeof *o);
    if (o == NULL) /* then it comes twice, perhaps */
        return 0;
    memcpy(o->name, name, CONTENT_ID_BYTES);
    o->of |= 1U << source;
    o->last = source;
    o->at_ms = now_ms;
    return 0;
}

void sources_answered(struct sources *s, int source, const uint8_t name[static CONTENT_ID_BYTES],
                      bool here)
{
    struct open **at = find(s, name);
    if (*at == NULL)
        return;
    if (here)
        drop(at);
    else
        (void)let_go(s, source, at);
}

void sources_heard(struct sources *s, int source, uint64_t now_ms)
{
    s->heard_ms[source] = now_ms;
}

bool sources_freed(struct sources *s)
{
    bool freed = s->freed;
    s->freed = false;
    return freed;
}
