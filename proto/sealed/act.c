#include "proto/sealed/act.h"

#include <assert.h>
#include <errno.h>

enum { VERSION = 1 };

/* ---- encoding ----------------------------------------------------------------------------------
 */

static void put_member(struct buf *b, const struct act_add *a)
{
    buf_put(b, a->member.identity, SIGN_KEY_SIZE);
    buf_put(b, a->member.sign, SIGN_KEY_SIZE);
    buf_put(b, a->member.box, BOX_KEY_SIZE);
    buf_put_u8(b, (uint8_t)a->role);
}

static void put_epoch(struct buf *b, const struct act_epoch *e)
{
    assert(e->boxes_n <= LIMIT_EPOCH_BOXES);
    buf_put(b, e->id.b, EPOCH_ID_SIZE);
    buf_put_u32(b, e->generation);
    buf_put_varint(b, e->boxes_n);
    buf_put(b, e->boxes, e->boxes_n * ACT_BOX_SIZE);
}

static void put_revoke(struct buf *b, const struct act *a)
{
    const struct act_revoke *r = &a->revoke;
    assert(r->members_n >= 1 && r->members_n <= LIMIT_MEMBERS && r->cuts.n <= LIMIT_REPLICAS);
    buf_put_varint(b, r->members_n);
    buf_put(b, r->members, r->members_n * MEMBER_ID_SIZE);
    dots_put(b, r->cuts);
    buf_put_u8(b, r->reason);
    buf_put_u8(b, r->with_epoch);
    if (r->with_epoch)
        put_epoch(b, &a->epoch);
}

static void put_payload(struct buf *b, const struct act *a)
{
    switch (a->kind) {
    case ACT_GENESIS:
        buf_put(b, a->random, ACT_RANDOM_SIZE);
        put_member(b, &a->add);
        break;
    case ACT_ADD:
        buf_put_u8(b, a->add.by_door);
        put_member(b, &a->add);
        buf_put(b, a->add.label, ACT_LABEL_SIZE);
        break;
    case ACT_OWN:
        buf_put_u64(b, a->replica);
        buf_put(b, a->random, REPLICA_RANDOM_SIZE);
        break;
    case ACT_REVOKE:
        put_revoke(b, a);
        break;
    case ACT_EPOCH:
        put_epoch(b, &a->epoch);
        break;
    case ACT_FORK:
        for (size_t i = 0; i < 2; i++) {
            buf_put(b, a->fork.head[i], ENTRY_HEAD_SIZE);
            entry_sign_put(b, &a->fork.sign[i]);
        }
        break;
    case ACT_DOOR:
        buf_put(b, a->door, SIGN_KEY_SIZE);
        break;
    case ACT_LABEL:
        buf_put(b, a->label, ACT_LABEL_SIZE);
        break;
    }
}

static void hash_signed(struct bytes v, uint8_t ret[static HASH_SIZE])
{
    hash_parts(NULL, SEAL_LABEL_ACT_HASH, &v, 1, ret);
}

int act_sign(const struct act *a, const struct member_keys *k, struct buf *ret)
{
    uint8_t hash[HASH_SIZE], signature[SIGNATURE_SIZE];
    size_t at = ret->n;
    assert(a->parents.n <= LIMIT_ACT_HEADS);
    buf_put_u8(ret, VERSION);
    buf_put_u8(ret, (uint8_t)a->kind);
    buf_put(ret, a->space.b, SPACE_ID_SIZE);
    buf_put(ret, a->author.b, MEMBER_ID_SIZE);
    buf_put_u32(ret, a->number);
    act_ids_put(ret, a->parents);
    put_payload(ret, a);
    if (buf_status(ret) < 0)
        return -ENOMEM;
    hash_signed(bytes_of(ret->p + at, ret->n - at), hash);
    label_sign(k, SEAL_LABEL_ACT, bytes_of(hash, sizeof hash), signature);
    buf_put(ret, signature, sizeof signature);
    if (ret->n - at > LIMIT_ACT)
        return -E2BIG;
    return buf_status(ret);
}

/* ---- decoding ----------------------------------------------------------------------------------
 */

static bool read_bool(struct reader *r)
{
    uint8_t b = reader_u8(r);
    if (b > 1)
        r->failed = true;
    return b == 1;
}

/* A fixed number of elements of @size, each beginning with a member's id, ascending by it. */
static struct bytes read_by_member(struct reader *r, size_t max, size_t size)
{
    uint64_t n = reader_varint(r);
    if (n > max)
        r->failed = true;
    struct bytes v = reader_bytes(r, r->failed ? 0 : (size_t)n * size);
    for (size_t at = size; at < v.n; at += size)
        if (memcmp(v.p + at - size, v.p + at, MEMBER_ID_SIZE) >= 0)
            r->failed = true;
    return v;
}

static void read_member(struct reader *r, struct act_add *a)
{
    reader_copy(r, a->member.identity, SIGN_KEY_SIZE);
    reader_copy(r, a->member.sign, SIGN_KEY_SIZE);
    reader_copy(r, a->member.box, BOX_KEY_SIZE);
    uint8_t role = reader_u8(r);
    a->role = role == ACT_ROLE_SERVER ? ACT_ROLE_SERVER : ACT_ROLE_DEVICE;
    if (r->failed || role != (uint8_t)a->role || !sign_key_valid(a->member.identity) ||
        !sign_key_valid(a->member.sign) || !box_key_valid(a->member.box))
        r->failed = true;
}

static void read_epoch(struct reader *r, struct act_epoch *e)
{
    reader_copy(r, e->id.b, EPOCH_ID_SIZE);
    e->generation = reader_u32(r);
    struct bytes boxes = read_by_member(r, LIMIT_EPOCH_BOXES, ACT_BOX_SIZE);
    e->boxes = boxes.p;
    e->boxes_n = boxes.n / ACT_BOX_SIZE;
    if (e->generation == 0)
        r->failed = true;
}

static void read_revoke(struct reader *r, struct act *a)
{
    struct act_revoke *v = &a->revoke;
    struct bytes members = read_by_member(r, LIMIT_MEMBERS, MEMBER_ID_SIZE);
    v->members = members.p;
    v->members_n = members.n / MEMBER_ID_SIZE;
    v->cuts = dots_read_vector(r, LIMIT_REPLICAS);
    v->reason = reader_u8(r);
    v->with_epoch = read_bool(r);
    if (v->with_epoch)
        read_epoch(r, &a->epoch);
    if (v->members_n == 0)
        r->failed = true;
}

/* Two heads of VALUEs of this space with one dot that are not the same. */
static void read_fork(struct reader *r, struct act *a)
{
    struct entry_head head[2];
    for (size_t i = 0; i < 2; i++) {
        struct bytes raw = reader_bytes(r, ENTRY_HEAD_SIZE);
        if (r->failed || entry_head_read(raw.p, &head[i]) < 0) {
            r->failed = true;
            return;
        }
        a->fork.head[i] = raw.p;
        a->fork.sign[i] = entry_sign_read(r, head[i].kind);
        if (head[i].kind != ENTRY_VALUE || !space_id_equal(&head[i].space, &a->space))
            r->failed = true;
    }
    a->replica = head[0].dot.replica;
    a->fork.counter = head[0].dot.counter;
    if (!dot_equal(&head[0].dot, &head[1].dot) ||
        memcmp(a->fork.head[0], a->fork.head[1], ENTRY_HEAD_SIZE) == 0)
        r->failed = true;
}

static void read_genesis(struct reader *r, struct act *a)
{
    static const struct space_id none;
    reader_copy(r, a->random, ACT_RANDOM_SIZE);
    read_member(r, &a->add);
    struct member_id self = member_id_of(&a->add.member);
    if (a->parents.n != 0 || a->number != 1 || !space_id_equal(&a->space, &none) ||
        member_id_cmp(&a->author, &self) != 0)
        r->failed = true;
}

static void read_add(struct reader *r, struct act *a)
{
    a->add.by_door = read_bool(r);
    read_member(r, &a->add);
    a->add.label = reader_bytes(r, ACT_LABEL_SIZE).p;
}

static void read_payload(struct reader *r, struct act *a)
{
    switch (a->kind) {
    case ACT_GENESIS:
        read_genesis(r, a);
        break;
    case ACT_ADD:
        read_add(r, a);
        break;
    case ACT_OWN:
        a->replica = reader_u64(r);
        reader_copy(r, a->random, REPLICA_RANDOM_SIZE);
        break;
    case ACT_REVOKE:
        read_revoke(r, a);
        break;
    case ACT_EPOCH:
        read_epoch(r, &a->epoch);
        break;
    case ACT_FORK:
        read_fork(r, a);
        break;
    case ACT_DOOR:
        reader_copy(r, a->door, SIGN_KEY_SIZE);
        if (r->failed || !sign_key_valid(a->door))
            r->failed = true;
        break;
    case ACT_LABEL:
        a->label = reader_bytes(r, ACT_LABEL_SIZE).p;
        break;
    }
}

int act_decode(struct bytes in, struct act *ret)
{
    struct act *a = ret;
    *a = (struct act){.raw = in};
    if (in.n > LIMIT_ACT)
        return -EBADMSG;
    struct reader r = reader_of(in);
    if (reader_u8(&r) != VERSION)
        return -ENOTSUP;
    uint8_t kind = reader_u8(&r);
    if (kind < ACT_GENESIS || kind > ACT_LABEL)
        return -EBADMSG;
    a->kind = (enum act_kind)kind;
    reader_copy(&r, a->space.b, SPACE_ID_SIZE);
    reader_copy(&r, a->author.b, MEMBER_ID_SIZE);
    a->number = reader_u32(&r);
    a->parents = act_ids_read(&r);
    if (a->number == 0 || (a->parents.n == 0 && a->kind != ACT_GENESIS))
        return -EBADMSG;
    read_payload(&r, a);
    a->signature = reader_bytes(&r, SIGNATURE_SIZE).p;
    return reader_end(&r);
}

int act_verify(const struct act *a, const uint8_t key[static SIGN_KEY_SIZE])
{
    uint8_t hash[HASH_SIZE];
    hash_signed(bytes_of(a->raw.p, a->raw.n - SIGNATURE_SIZE), hash);
    return label_verify(key, SEAL_LABEL_ACT, bytes_of(hash, sizeof hash), a->signature);
}

struct act_id act_id_of(struct bytes raw)
{
    uint8_t h[HASH_SIZE];
    struct act_id id;
    hash_parts(NULL, SEAL_LABEL_ACT_ID, &raw, 1, h);
    memcpy(id.b, h, ACT_ID_SIZE);
    return id;
}

struct space_id act_space_of(struct bytes genesis)
{
    struct act_id act = act_id_of(genesis);
    struct space_id id;
    memcpy(id.b, act.b, SPACE_ID_SIZE);
    return id;
}

/* ---- what is sealed in acts --------------------------------------------------------------------
 */

enum { LABEL_AD = SPACE_ID_SIZE + EPOCH_ID_SIZE + MEMBER_ID_SIZE };

static void label_ad(const struct epoch_keys *k, const struct space_id *space,
                     const struct member_id *member, uint8_t ret[static LABEL_AD])
{
    memcpy(ret, space->b, SPACE_ID_SIZE);
    memcpy(ret + SPACE_ID_SIZE, k->id.b, EPOCH_ID_SIZE);
    memcpy(ret + SPACE_ID_SIZE + EPOCH_ID_SIZE, member->b, MEMBER_ID_SIZE);
}

int act_label_seal(const struct epoch_keys *k, const struct space_id *space,
                   const struct member_id *member, struct bytes label,
                   uint8_t ret[static ACT_LABEL_SIZE])
{
    uint8_t ad[LABEL_AD], plain[ACT_LABEL_PLAIN] = {0};
    struct buf b CLEANUP(buf_fini) = {0};
    assert(label.n <= LIMIT_LABEL);
    plain[0] = (uint8_t)label.n;
    if (label.n > 0)
        memcpy(plain + 1, label.p, label.n);
    label_ad(k, space, member, ad);
    buf_put(&b, k->id.b, EPOCH_ID_SIZE);
    seal_put(&b, k->label, bytes_of(ad, sizeof ad), bytes_of(plain, sizeof plain));
    if (buf_status(&b) < 0)
        return -ENOMEM;
    assert(b.n == ACT_LABEL_SIZE);
    memcpy(ret, b.p, ACT_LABEL_SIZE);
    return 0;
}

struct epoch_id act_label_epoch(const uint8_t label[static ACT_LABEL_SIZE])
{
    struct epoch_id id;
    memcpy(id.b, label, EPOCH_ID_SIZE);
    return id;
}

int act_label_open(const struct epoch_keys *k, const struct space_id *space,
                   const struct member_id *member, const uint8_t label[static ACT_LABEL_SIZE],
                   char ret[static LIMIT_LABEL + 1])
{
    uint8_t ad[LABEL_AD];
    struct buf plain CLEANUP(buf_fini) = {0};
    struct epoch_id epoch = act_label_epoch(label);
    if (epoch_id_cmp(&epoch, &k->id) != 0)
        return -ENOKEY;
    label_ad(k, space, member, ad);
    int rc = seal_open(bytes_of(label + EPOCH_ID_SIZE, ACT_LABEL_SIZE - EPOCH_ID_SIZE), k->label,
                       bytes_of(ad, sizeof ad), &plain);
    if (rc < 0)
        return rc;
    if (plain.p[0] > LIMIT_LABEL || !utf8_is_label(bytes_of(plain.p + 1, plain.p[0])))
        return -EBADMSG;
    memcpy(ret, plain.p + 1, plain.p[0]);
    ret[plain.p[0]] = '\0';
    return 0;
}

int act_box_seal(const struct epoch_keys *k, const struct space_id *space,
                 const struct member_public *to, uint8_t ret[static ACT_BOX_SIZE])
{
    uint8_t plain[ACT_BOX_PLAIN];
    struct member_id id = member_id_of(to);
    memcpy(plain, space->b, SPACE_ID_SIZE);
    memcpy(plain + SPACE_ID_SIZE, k->id.b, EPOCH_ID_SIZE);
    memcpy(plain + SPACE_ID_SIZE + EPOCH_ID_SIZE, k->key, EPOCH_KEY_SIZE);
    memcpy(ret, id.b, MEMBER_ID_SIZE);
    int rc = crypto_box_seal(ret + MEMBER_ID_SIZE, plain, sizeof plain, to->box);
    sodium_memzero(plain, sizeof plain);
    return rc == 0 ? 0 : -EBADMSG;
}

static const uint8_t *find_box(const struct act_epoch *e, const struct member_id *member)
{
    for (size_t i = 0; i < e->boxes_n; i++)
        if (memcmp(e->boxes + i * ACT_BOX_SIZE, member->b, MEMBER_ID_SIZE) == 0)
            return e->boxes + i * ACT_BOX_SIZE + MEMBER_ID_SIZE;
    return NULL;
}

int act_box_open(const struct act_epoch *e, const struct space_id *space,
                 const struct member_id *member, const struct member_keys *k,
                 struct epoch_keys *ret)
{
    uint8_t plain[ACT_BOX_PLAIN];
    const uint8_t *box = find_box(e, member), *key = plain + SPACE_ID_SIZE + EPOCH_ID_SIZE;
    if (box == NULL)
        return -ENOKEY;
    int rc = crypto_box_seal_open(plain, box, ACT_BOX_SIZE - MEMBER_ID_SIZE, k->box_public,
                                  k->box_secret) == 0
                 ? 0
                 : -EBADMSG;
    if (rc == 0) {
        struct epoch_id is = epoch_id_of(key);
        if (memcmp(plain, space->b, SPACE_ID_SIZE) != 0 || epoch_id_cmp(&is, &e->id) != 0 ||
            memcmp(plain + SPACE_ID_SIZE, e->id.b, EPOCH_ID_SIZE) != 0)
            rc = -EBADMSG;
    }
    if (rc == 0)
        rc = epoch_keys_init(ret, key);
    sodium_memzero(plain, sizeof plain);
    return rc;
}
