#include "tests/sim/ghost.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int ghost_next_save(const char **text)
{
    while (**text != '\0') {
        const char *word = *text;
        *text += strcspn(word, " \n");
        *text += **text != '\0';
        int save = word[0] == 's' ? atoi(word + 1) : 0;
        if (save > 0 && save < SIM_SAVES_MAX)
            return save;
    }
    return 0;
}

static int joining(const struct sim *s, int i)
{
    return s->w->d[i].joined != NULL ? i + 1 : 0;
}

static void knew(struct sim *s, int i, int save)
{
    struct sim_save *v = &s->save[save];
    if (!v->known || joining(s, i) == 0)
        v->known_in = joining(s, i);
    v->known = true;
}

void ghost_knew(struct sim *s, int i, const char *text)
{
    for (int save; (save = ghost_next_save(&text)) != 0;)
        knew(s, i, save);
}

void ghost_replaced(struct sim *s, int i, const char *old, const char *text)
{
    for (int save; (save = ghost_next_save(&old)) != 0;) {
        const char *in = text;
        int k;
        while ((k = ghost_next_save(&in)) != 0 && k != save)
            ;
        if (k != save)
            knew(s, i, save);
    }
}

void ghost_made(struct sim *s, int i, int save)
{
    s->save[save] = (struct sim_save){.made = true, .device = i, .made_in = joining(s, i)};
}

void ghost_joined(struct sim *s, int i, bool written)
{
    for (int k = 0; k < SIM_SAVES_MAX; k++) {
        struct sim_save *v = &s->save[k];
        if (v->made_in == i + 1) {
            v->made = written;
            v->made_in = 0;
        }
        if (v->known_in == i + 1) {
            v->known = written;
            v->known_in = 0;
        }
    }
}

/* ---- deletions ------------------------------------------------------------------------------- */

static int copy_seen(void *ctx, const struct value *v)
{
    struct sim_deletion *d = ctx;
    if (!rid_equal(&v->rid, &d->rid))
        return 0;
    struct buf one = {0};
    value_encode(v, VALUE_STORED, &one);
    buf_put_string(&d->bytes, buf_bytes(&one));
    buf_fini(&one);
    d->seen_n++;
    return 0;
}

/* What the deleting device held of the record: its contexts say what it had received. */
static void note_deletion(struct sim *s, int i, const struct value *v)
{
    struct sim_deletion d = {
        .rid = v->rid, .dot = v->dot, .whole = rid_is_dir(&v->rid) || v->place.cseen.n > 0};
    int rc = replica_values(s->w->d[i].r, copy_seen, &d);
    assert(rc == 0);
    d.seen = calloc(d.seen_n + 1, sizeof *d.seen);
    assert(d.seen != NULL);
    struct reader in = reader_of(buf_bytes(&d.bytes));
    for (size_t k = 0; k < d.seen_n; k++) {
        rc = value_decode(reader_string(&in, LIMIT_PART), VALUE_STORED, &d.seen[k]);
        assert(rc == 0);
    }
    s->deletion = reallocarray(s->deletion, s->deletions + 1, sizeof *s->deletion);
    assert(s->deletion != NULL);
    s->deletion[s->deletions++] = d;
}

/* ---- changes --------------------------------------------------------------------------------- */

static void note_parts(struct sim *s, int i, const struct sim_change *c)
{
    struct reader in;
    struct dot dot;
    size_t n;
    int rc = value_change_open(buf_bytes(&c->blob), &in, &dot, &n);
    assert(rc == 0);
    s->part = reallocarray(s->part, s->parts + n, sizeof *s->part);
    assert(s->part != NULL);
    for (size_t k = 0; k < n; k++) {
        struct value *v = &s->part[s->parts++];
        rc = value_change_next(&in, &dot, v);
        assert(rc == 0);
        if (v->facet == FACET_PLACE && !v->place.alive && v->from_own)
            note_deletion(s, i, v);
    }
}

void ghost_capture(struct sim *s, int i)
{
    struct device *d = &s->w->d[i];
    uint64_t id = d->id, last = vv_get(replica_knowledge(d->r), id);
    if (d->joined != NULL)
        return;
    while (vv_get(&s->taken, id) < last) {
        struct dot dot = {id, vv_get(&s->taken, id) + 1};
        struct sim_change c = {.dot = dot};
        int rc = replica_change_get(d->r, &dot, &c.blob);
        assert(rc == 0 || rc == -ENOENT);
        rc = rc == 0 ? 0 : 1;
        int added = vv_add(&s->taken, &dot);
        assert(added == 0);
        if (rc == 1)
            continue; /* superseded by a later change of the same step */
        s->change = reallocarray(s->change, s->changes + 1, sizeof *s->change);
        assert(s->change != NULL);
        s->change[s->changes++] = c;
        note_parts(s, i, &s->change[s->changes - 1]);
    }
}

void ghost_fini(struct sim *s)
{
    for (size_t i = 0; i < s->changes; i++)
        buf_fini(&s->change[i].blob);
    for (size_t i = 0; i < s->deletions; i++) {
        buf_fini(&s->deletion[i].bytes);
        free(s->deletion[i].seen);
    }
    free(s->change);
    free(s->part);
    free(s->deletion);
    vv_fini(&s->taken);
}
