#include "tests/support/sealed_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/sealed_fixture.h"

enum { DOORS = 2000, EPOCHS = 100 };

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "world: %s\n", what);
    abort();
}

struct member_id sealed_world_id(unsigned device)
{
    struct member_public p = sealed_public(device);
    return member_id_of(&p);
}

static void replica_random(unsigned i, uint8_t ret[static REPLICA_RANDOM_SIZE])
{
    memset(ret, 0, REPLICA_RANDOM_SIZE);
    put_u32(ret, i);
}

uint64_t sealed_world_replica(unsigned device, unsigned i)
{
    uint8_t random[REPLICA_RANDOM_SIZE];
    struct member_public p = sealed_public(device);
    replica_random(i, random);
    return replica_id_of(p.sign, random);
}

/* Two devices that know the same let one in by the same door with the very same act. */
static size_t keep(struct world *w, const struct act *a, const struct member_keys *k)
{
    struct buf *b = &w->acts[w->n];
    must(w->n < WORLD_ACTS && act_sign(a, k, b) == 0, "sign");
    for (size_t i = 0; i < w->n; i++)
        if (w->acts[i].n == b->n && memcmp(w->acts[i].p, b->p, b->n) == 0) {
            buf_fini(b);
            return i;
        }
    return w->n++;
}

void sealed_world_init(struct world *w)
{
    *w = (struct world){0};
    struct member_keys k = sealed_member(0);
    struct act a = {.kind = ACT_GENESIS,
                    .author = sealed_world_id(0),
                    .number = 1,
                    .add = {.member = sealed_public(0), .role = ACT_ROLE_DEVICE}};
    keep(w, &a, &k);
    must(members_new(buf_bytes(&w->acts[0]), NULL, &w->view[0]) == 0, "genesis");
}

void sealed_world_fini(struct world *w)
{
    for (size_t i = 0; i < WORLD_DEVICES; i++)
        members_free(w->view[i]);
    for (size_t i = 0; i < w->n; i++)
        buf_fini(&w->acts[i]);
}

void sealed_world_tell(struct world *w, unsigned from, unsigned to)
{
    const struct members *m = w->view[from];
    if (w->view[to] == NULL)
        must(members_new(buf_bytes(&w->acts[0]), members_space(m), &w->view[to]) == 0, "new");
    for (size_t i = 1; i < members_acts_n(m); i++)
        must(members_insert(w->view[to], members_act(m, i)->raw) >= 0, "tell");
}

static size_t sign_as(struct world *w, unsigned device, const struct member_id *author,
                      const struct member_keys *k, struct act *a)
{
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    const struct members *m = w->view[device];
    a->space = *members_space(m);
    a->author = *author;
    if (a->number == 0)
        a->number = members_next_number(m, author);
    a->parents = (struct act_ids){heads, members_heads(m, heads)};
    return keep(w, a, k);
}

size_t sealed_world_sign(struct world *w, unsigned device, struct act *a)
{
    struct member_keys k = sealed_member(device);
    struct member_id id = sealed_world_id(device);
    return sign_as(w, device, &id, &k, a);
}

size_t sealed_world_act(struct world *w, unsigned device, struct act *a)
{
    size_t i = sealed_world_sign(w, device, a);
    must(members_insert(w->view[device], buf_bytes(&w->acts[i])) == 1, "act");
    return i;
}

size_t sealed_world_add(struct world *w, unsigned device, unsigned whom)
{
    static const uint8_t label[ACT_LABEL_SIZE];
    struct act a = {
        .kind = ACT_ADD,
        .add = {.member = sealed_public(whom), .role = ACT_ROLE_DEVICE, .label = label}};
    return sealed_world_act(w, device, &a);
}

size_t sealed_world_own(struct world *w, unsigned device, unsigned i)
{
    struct act a = {.kind = ACT_OWN, .replica = sealed_world_replica(device, i)};
    replica_random(i, a.random);
    return sealed_world_act(w, device, &a);
}

static bool among(const uint8_t *ids, size_t n, const struct member_id *id)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(ids + i * MEMBER_ID_SIZE, id->b, MEMBER_ID_SIZE) == 0)
            return true;
    return false;
}

/* An epoch of all members but @without. @ret_boxes: LIMIT_EPOCH_BOXES boxes. */
static struct act_epoch new_epoch(struct world *w, unsigned device, const uint8_t *without,
                                  size_t n, uint8_t *ret_boxes)
{
    const struct members *m = w->view[device];
    struct epoch_keys k = sealed_epoch(EPOCHS + w->epochs++);
    struct act_epoch e = {k.id, members_next_generation(m), ret_boxes, 0};
    for (size_t i = 0; i < members_n(m); i++) {
        const struct member_now *now = members_at(m, i);
        if (among(without, n, &now->id))
            continue;
        must(act_box_seal(&k, members_space(m), &now->keys,
                          ret_boxes + e.boxes_n++ * ACT_BOX_SIZE) == 0,
             "box");
    }
    return e;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, MEMBER_ID_SIZE);
}

size_t sealed_world_revoke(struct world *w, unsigned device, const unsigned *whom, size_t n,
                           struct dots cuts, bool epoch)
{
    static uint8_t boxes[LIMIT_EPOCH_BOXES * ACT_BOX_SIZE];
    uint8_t ids[LIMIT_MEMBERS * MEMBER_ID_SIZE];
    for (size_t i = 0; i < n; i++) {
        struct member_id id = sealed_world_id(whom[i]);
        memcpy(ids + i * MEMBER_ID_SIZE, id.b, MEMBER_ID_SIZE);
    }
    qsort(ids, n, MEMBER_ID_SIZE, by_id);
    struct act a = {.kind = ACT_REVOKE, .revoke = {ids, n, cuts, ACT_REASON_LOST, epoch}};
    if (epoch)
        a.epoch = new_epoch(w, device, ids, n, boxes);
    return sealed_world_act(w, device, &a);
}

size_t sealed_world_epoch(struct world *w, unsigned device)
{
    static uint8_t boxes[LIMIT_EPOCH_BOXES * ACT_BOX_SIZE];
    struct act a = {.kind = ACT_EPOCH, .epoch = new_epoch(w, device, NULL, 0, boxes)};
    return sealed_world_act(w, device, &a);
}

size_t sealed_world_label(struct world *w, unsigned device, const char *label)
{
    uint8_t sealed[ACT_LABEL_SIZE];
    struct epoch_keys k = sealed_epoch(EPOCHS);
    struct member_id id = sealed_world_id(device);
    must(act_label_seal(&k, members_space(w->view[device]), &id, bytes_str(label), sealed) == 0,
         "label");
    struct act a = {.kind = ACT_LABEL, .label = sealed};
    return sealed_world_act(w, device, &a);
}

size_t sealed_world_door(struct world *w, unsigned device, unsigned door)
{
    struct act a = {.kind = ACT_DOOR};
    struct member_keys k = sealed_member(DOORS + door);
    memcpy(a.door, k.sign_public, SIGN_KEY_SIZE);
    return sealed_world_act(w, device, &a);
}

size_t sealed_world_join(struct world *w, unsigned device, unsigned door, unsigned whom)
{
    static const uint8_t label[ACT_LABEL_SIZE];
    struct member_keys k = sealed_member(DOORS + door);
    struct member_id author;
    memcpy(author.b, k.sign_public, SIGN_KEY_SIZE);
    struct act a = {.kind = ACT_ADD,
                    .add = {.by_door = true,
                            .member = sealed_public(whom),
                            .role = ACT_ROLE_DEVICE,
                            .label = label}};
    size_t i = sign_as(w, device, &author, &k, &a);
    must(members_insert(w->view[device], buf_bytes(&w->acts[i])) == 1, "join");
    return i;
}

void sealed_world_answers(const struct members *m, uint8_t ret[static HASH_SIZE])
{
    struct buf b = {0};
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    for (size_t i = 0; i < members_n(m); i++) {
        const struct member_now *now = members_at(m, i);
        buf_put(&b, now->id.b, MEMBER_ID_SIZE);
        buf_put_u8(&b, (uint8_t)now->role);
        if (now->label != NULL)
            buf_put(&b, now->label, ACT_LABEL_SIZE);
    }
    const struct act *epoch = members_epoch(m);
    if (epoch != NULL)
        buf_put(&b, epoch->epoch.id.b, EPOCH_ID_SIZE);
    for (size_t i = 0; i < members_acts_n(m); i++)
        buf_put_u8(&b, 0);
    for (unsigned d = 0; d < 10; d++)
        for (unsigned i = 0; i < 3; i++)
            buf_put_u64(&b, members_cut(m, sealed_world_replica(d, i)));
    for (unsigned d = 0; d < 3; d++)
        buf_put_u8(&b, members_door_open(m, sealed_member(DOORS + d).sign_public));
    buf_put(&b, heads, members_heads(m, heads) * ACT_ID_SIZE);
    buf_put_u32(&b, members_next_generation(m));
    hash_parts(NULL, "test.answers", &(struct bytes){b.p, b.n}, 1, ret);
    buf_fini(&b);
}

struct members *sealed_world_insert(const struct world *w, const size_t *order)
{
    struct members *m;
    must(members_new(buf_bytes(&w->acts[0]), NULL, &m) == 0, "genesis");
    for (size_t i = 0; i + 1 < w->n; i++) {
        int rc = members_insert(m, buf_bytes(&w->acts[order[i]]));
        must(rc == 1 || rc == -EAGAIN, "an act that its author took is refused elsewhere");
    }
    must(members_acts_n(m) == w->n && members_missing(m, NULL, 0) == 0, "not all were taken");
    return m;
}
