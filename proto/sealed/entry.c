#include "proto/sealed/entry.h"

#include <assert.h>
#include <errno.h>

enum {
    VERSION = 1,
    BODY_HEAD = ENTRY_BODY_RANDOM + 4,
    PAD = 256,
    PAD_FROM = 4096, /* bodies above it are padded to PAD_BIG */
    PAD_BIG = 1024,
    /* What is in a sealed entry beside refs and body, at most. */
    REST_MAX = EPOCH_ID_SIZE + ENTRY_HEAD_SIZE + ENTRY_SIGN_MAX + SEAL_NONCE_SIZE + SEAL_TAG_SIZE,
};

/* The size of a body that has @n bytes before its padding. */
static size_t padded(size_t n)
{
    size_t unit = n <= PAD_FROM ? PAD : PAD_BIG;
    return (n + unit - 1) / unit * unit;
}

static void hash_one(const char *label, struct bytes v, uint8_t ret[static HASH_SIZE])
{
    hash_parts(NULL, label, &v, 1, ret);
}

/* ---- the author's side -------------------------------------------------------------------------
 */

static void put_refs(struct buf *b, enum entry_kind kind, const struct entry_refs *refs)
{
    assert(refs->acts.n <= LIMIT_ACT_HEADS && refs->replaced.n <= LIMIT_REPLACED &&
           refs->chunks.n <= LIMIT_CHUNK_IDS);
    assert(kind == ENTRY_VALUE || (refs->replaced.n == 0 && refs->chunks.n == 0));
    (void)kind;
    act_ids_put(b, refs->acts);
    dots_put(b, refs->replaced);
    chunk_ids_put(b, refs->chunks);
}

static void put_body(struct buf *b, struct bytes plain)
{
    uint8_t random[ENTRY_BODY_RANDOM];
    randombytes_buf(random, sizeof random);
    if (buf_reserve(b, padded(BODY_HEAD + plain.n)) < 0)
        return;
    buf_put(b, random, sizeof random);
    buf_put_u32(b, (uint32_t)plain.n);
    buf_put_bytes(b, plain);
    (void)buf_resize(b, padded(b->n)); /* the room is there */
}

static void write_head(const struct entry_head *h, uint8_t ret[static ENTRY_HEAD_SIZE])
{
    uint8_t *p = ret;
    *p++ = VERSION;
    *p++ = (uint8_t)h->kind;
    *p++ = 0;
    *p++ = 0;
    memcpy(p, h->space.b, SPACE_ID_SIZE);
    dot_encode(&h->dot, p + SPACE_ID_SIZE);
    p += SPACE_ID_SIZE + DOT_SIZE;
    put_u64(p, h->stamp);
    memcpy(p + 8, h->refs_hash, HASH_SIZE);
    memcpy(p + 8 + HASH_SIZE, h->body_hash, HASH_SIZE);
    assert(p + 8 + 2 * HASH_SIZE == ret + ENTRY_HEAD_SIZE);
}

int entry_draft_init(struct entry_draft *d, const struct entry_head *h,
                     const struct entry_refs *refs, struct bytes plain)
{
    struct entry_head head = *h;
    *d = (struct entry_draft){0};
    assert(dot_valid(&h->dot));
    put_refs(&d->refs, h->kind, refs);
    if (plain.n > LIMIT_ENTRY || REST_MAX + d->refs.n + padded(BODY_HEAD + plain.n) > LIMIT_ENTRY) {
        entry_draft_fini(d);
        return -E2BIG;
    }
    put_body(&d->body, plain);
    if (buf_status(&d->refs) < 0 || buf_status(&d->body) < 0) {
        entry_draft_fini(d);
        return -ENOMEM;
    }
    hash_one(SEAL_LABEL_REFS, buf_bytes(&d->refs), head.refs_hash);
    hash_one(SEAL_LABEL_BODY, buf_bytes(&d->body), head.body_hash);
    write_head(&head, d->head);
    return 0;
}

void entry_draft_fini(struct entry_draft *d)
{
    if (d == NULL)
        return;
    buf_fini(&d->refs);
    buf_wipe(&d->body);
}

static void hash_node(const uint8_t *left, const uint8_t *right, uint8_t ret[static HASH_SIZE])
{
    const struct bytes parts[] = {bytes_of(left, HASH_SIZE), bytes_of(right, HASH_SIZE)};
    hash_parts(NULL, SEAL_LABEL_NODE, parts, ARRAY_N(parts), ret);
}

/* The hashes of one level of a tree become those of the level above; the count of them. */
static size_t level_up(uint8_t (*hashes)[HASH_SIZE], size_t n)
{
    static const uint8_t missing[HASH_SIZE];
    for (size_t i = 0; i < n; i += 2)
        hash_node(hashes[i], i + 1 < n ? hashes[i + 1] : missing, hashes[i / 2]);
    return (n + 1) / 2;
}

/* Computes the tree: the path of each of the @n leaves into @paths, the root into hashes[0]. */
static uint8_t grow(uint8_t (*hashes)[HASH_SIZE], size_t n,
                    uint8_t (*paths)[LIMIT_TREE_DEPTH][HASH_SIZE])
{
    uint8_t depth = 0;
    for (size_t wide = n; wide > 1; depth++) {
        for (size_t i = 0; i < n; i++) {
            size_t beside = (i >> depth) ^ 1;
            if (beside < wide)
                memcpy(paths[i][depth], hashes[beside], HASH_SIZE);
            else
                memset(paths[i][depth], 0, HASH_SIZE);
        }
        wide = level_up(hashes, wide);
    }
    return depth;
}

static void put_stored(struct buf *b, const struct entry_draft *d, const struct entry_sign *s)
{
    buf_put(b, d->head, ENTRY_HEAD_SIZE);
    buf_put_bytes(b, buf_bytes(&d->refs));
    entry_sign_put(b, s);
    buf_put_bytes(b, buf_bytes(&d->body));
}

static int sign_state(const struct member_keys *k, const struct entry_draft *d, struct buf *ret)
{
    uint8_t signature[SIGNATURE_SIZE];
    label_sign(k, SEAL_LABEL_STATE, bytes_of(d->head, ENTRY_HEAD_SIZE), signature);
    put_stored(ret, d, &(struct entry_sign){.signature = signature});
    return buf_status(ret);
}

int entry_sign(const struct member_keys *k, const struct entry_draft *drafts, size_t n,
               struct buf *ret)
{
    assert(n >= 1 && n <= ENTRY_TREE_MAX);
    if (drafts[0].head[1] == ENTRY_STATE) {
        assert(n == 1);
        return sign_state(k, drafts, ret);
    }
    uint8_t hashes[ENTRY_TREE_MAX][HASH_SIZE], signature[SIGNATURE_SIZE];
    uint8_t paths[ENTRY_TREE_MAX][LIMIT_TREE_DEPTH][HASH_SIZE];
    for (size_t i = 0; i < n; i++) {
        assert(drafts[i].head[1] == ENTRY_VALUE);
        entry_head_hash(drafts[i].head, hashes[i]);
    }
    uint8_t depth = grow(hashes, n, paths);
    label_sign(k, SEAL_LABEL_ROOT, bytes_of(hashes[0], HASH_SIZE), signature);
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        struct entry_sign s = {(uint16_t)i, depth, paths[i][0], signature};
        put_stored(&ret[i], &drafts[i], &s);
        if (buf_status(&ret[i]) < 0)
            rc = -ENOMEM;
    }
    return rc;
}

struct bytes entry_draft_plain(const struct entry_draft *d, struct bytes stored)
{
    assert(stored.n > d->body.n && d->body.n >= BODY_HEAD);
    const uint8_t *body = stored.p + stored.n - d->body.n;
    return bytes_of(body + BODY_HEAD, get_u32(body + ENTRY_BODY_RANDOM));
}

int entry_seal(const struct entry *stored, const struct epoch_keys *k, struct buf *ret)
{
    size_t at = ret->n;
    buf_put(ret, k->id.b, EPOCH_ID_SIZE);
    buf_put_bytes(ret, stored->open);
    if (buf_status(ret) < 0)
        return -ENOMEM;
    seal_put_same(ret, k->body, bytes_of(ret->p + at, ret->n - at), stored->body);
    return buf_status(ret);
}

/* ---- the receiver's side -----------------------------------------------------------------------
 */

int entry_head_read(const uint8_t raw[static ENTRY_HEAD_SIZE], struct entry_head *ret)
{
    struct reader r = reader_of(bytes_of(raw, ENTRY_HEAD_SIZE));
    if (reader_u8(&r) != VERSION)
        return -ENOTSUP;
    uint8_t kind = reader_u8(&r);
    uint16_t flags = reader_u16(&r);
    reader_copy(&r, ret->space.b, SPACE_ID_SIZE);
    ret->dot = dot_read(&r);
    ret->stamp = reader_u64(&r);
    reader_copy(&r, ret->refs_hash, HASH_SIZE);
    reader_copy(&r, ret->body_hash, HASH_SIZE);
    if ((kind != ENTRY_VALUE && kind != ENTRY_STATE) || flags != 0 || !dot_valid(&ret->dot))
        return -EBADMSG;
    ret->kind = kind == ENTRY_VALUE ? ENTRY_VALUE : ENTRY_STATE;
    return reader_end(&r);
}

struct entry_sign entry_sign_read(struct reader *r, enum entry_kind kind)
{
    struct entry_sign s;
    s.index = reader_u16(r);
    s.depth = reader_u8(r);
    if (s.depth > LIMIT_TREE_DEPTH || s.index >> s.depth != 0 ||
        (kind == ENTRY_STATE && s.depth != 0))
        r->failed = true;
    s.path = reader_bytes(r, (size_t)s.depth * HASH_SIZE).p;
    s.signature = reader_bytes(r, SIGNATURE_SIZE).p;
    return s;
}

void entry_sign_put(struct buf *b, const struct entry_sign *s)
{
    buf_put_u16(b, s->index);
    buf_put_u8(b, s->depth);
    buf_put(b, s->path, (size_t)s->depth * HASH_SIZE);
    buf_put(b, s->signature, SIGNATURE_SIZE);
}

static bool hash_is(const char *label, struct bytes v, const uint8_t hash[static HASH_SIZE])
{
    uint8_t h[HASH_SIZE];
    hash_one(label, v, h);
    return memcmp(h, hash, HASH_SIZE) == 0;
}

/* Head, refs and sign, with the hash of the refs. */
static int read_open(struct reader *r, struct entry *ret)
{
    struct bytes head = reader_bytes(r, ENTRY_HEAD_SIZE);
    if (head.n == 0)
        return -EBADMSG;
    int rc = entry_head_read(head.p, &ret->head);
    if (rc < 0)
        return rc;
    const uint8_t *refs = r->p;
    ret->head_raw = head.p;
    ret->refs.acts = act_ids_read(r);
    ret->refs.replaced = dots_read_set(r, LIMIT_REPLACED);
    ret->refs.chunks = chunk_ids_read(r);
    struct bytes refs_raw = bytes_of(refs, (size_t)(r->p - refs));
    if (ret->head.kind == ENTRY_STATE && (ret->refs.replaced.n > 0 || ret->refs.chunks.n > 0))
        return -EBADMSG;
    ret->sign = entry_sign_read(r, ret->head.kind);
    if (r->failed || !hash_is(SEAL_LABEL_REFS, refs_raw, ret->head.refs_hash))
        return -EBADMSG;
    ret->open = bytes_of(head.p, (size_t)(r->p - head.p));
    return 0;
}

int entry_parse_sealed(struct bytes in, struct entry *ret)
{
    memset(ret, 0, sizeof *ret);
    if (in.n > LIMIT_ENTRY)
        return -EBADMSG;
    struct reader r = reader_of(in);
    reader_copy(&r, ret->epoch.b, EPOCH_ID_SIZE);
    int rc = read_open(&r, ret);
    if (rc < 0)
        return rc;
    if (r.n < SEAL_NONCE_SIZE + PAD + SEAL_TAG_SIZE)
        return -EBADMSG;
    ret->ad = bytes_of(in.p, in.n - r.n);
    ret->sealed = bytes_of(r.p, r.n);
    return 0;
}

/* A body that is what its author hashed, in its only form. */
static int read_body(struct bytes body, struct entry *ret)
{
    struct reader r = reader_of(body);
    (void)reader_bytes(&r, ENTRY_BODY_RANDOM);
    uint32_t n = reader_u32(&r);
    ret->plain = reader_bytes(&r, n);
    if (r.failed || body.n != padded(BODY_HEAD + (size_t)n) || !sodium_is_zero(r.p, r.n) ||
        !hash_is(SEAL_LABEL_BODY, body, ret->head.body_hash))
        return -EBADMSG;
    ret->body = body;
    return 0;
}

int entry_parse_stored(struct bytes in, struct entry *ret)
{
    memset(ret, 0, sizeof *ret);
    if (in.n > LIMIT_ENTRY)
        return -EBADMSG;
    struct reader r = reader_of(in);
    int rc = read_open(&r, ret);
    return rc < 0 ? rc : read_body(bytes_of(r.p, r.n), ret);
}

int entry_open(const struct entry *sealed, const struct epoch_keys *k, struct buf *ret_stored,
               struct entry *ret)
{
    if (epoch_id_cmp(&sealed->epoch, &k->id) != 0)
        return -ENOKEY;
    struct buf body CLEANUP(buf_wipe) = {0};
    int rc = seal_open(sealed->sealed, k->body, sealed->ad, &body);
    if (rc < 0)
        return rc;
    buf_reset(ret_stored);
    buf_put_bytes(ret_stored, sealed->open);
    buf_put_bytes(ret_stored, buf_bytes(&body));
    rc = buf_status(ret_stored);
    return rc < 0 ? rc : entry_parse_stored(buf_bytes(ret_stored), ret);
}

/* ---- signatures --------------------------------------------------------------------------------
 */

void entry_head_hash(const uint8_t head[static ENTRY_HEAD_SIZE], uint8_t ret[static HASH_SIZE])
{
    hash_one(SEAL_LABEL_LEAF, bytes_of(head, ENTRY_HEAD_SIZE), ret);
}

static void root_of(const uint8_t head[static ENTRY_HEAD_SIZE], const struct entry_sign *s,
                    uint8_t ret[static HASH_SIZE])
{
    entry_head_hash(head, ret);
    for (unsigned level = 0; level < s->depth; level++) {
        const uint8_t *beside = s->path + level * HASH_SIZE;
        if ((s->index >> level & 1) == 0)
            hash_node(ret, beside, ret);
        else
            hash_node(beside, ret, ret);
    }
}

void entry_root(const struct entry *e, uint8_t ret[static HASH_SIZE])
{
    root_of(e->head_raw, &e->sign, ret);
}

int entry_head_verify(const uint8_t head[static ENTRY_HEAD_SIZE], enum entry_kind kind,
                      const struct entry_sign *s, const uint8_t key[static SIGN_KEY_SIZE])
{
    if (kind == ENTRY_STATE)
        return label_verify(key, SEAL_LABEL_STATE, bytes_of(head, ENTRY_HEAD_SIZE), s->signature);
    uint8_t root[HASH_SIZE];
    root_of(head, s, root);
    return label_verify(key, SEAL_LABEL_ROOT, bytes_of(root, sizeof root), s->signature);
}

int entry_verify(const struct entry *e, const uint8_t key[static SIGN_KEY_SIZE])
{
    return entry_head_verify(e->head_raw, e->head.kind, &e->sign, key);
}
