/* Bodies: making small ones, opening, references, and the lists of an open content. */
#include "fs/store/content.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "fs/store/chunk.h"
#include "fs/store/content_priv.h"

int content_inline(struct bytes data, struct buf *ret_body)
{
    buf_reset(ret_body);
    list_put_inline(ret_body, data);
    return buf_status(ret_body);
}

void content_hash(const struct content_keys *keys, struct bytes body,
                  uint8_t ret_hash[static CONTENT_HASH_BYTES])
{
    static const uint8_t label[16] = "persist.body.1";
    crypto_generichash_state st;
    crypto_generichash_init(&st, keys->equal, CONTENT_KEY_BYTES, CONTENT_HASH_BYTES);
    crypto_generichash_update(&st, label, sizeof label);
    crypto_generichash_update(&st, body.p, body.n);
    crypto_generichash_final(&st, ret_hash, CONTENT_HASH_BYTES);
}

int content_parse(struct bytes body, struct content_info *ret_info)
{
    struct list_head head;
    return list_parse_body(body, ret_info, &head);
}

int content_body_ids(struct bytes body, content_id_fn fn, void *arg)
{
    struct content_info info;
    struct list_head head;
    int rc = list_parse_body(body, &info, &head);
    return rc < 0 || info.is_inline ? rc : list_each_id(&head, fn, arg);
}

int content_node_ids(struct bytes node, content_id_fn fn, void *arg)
{
    struct list_head head;
    int rc = list_parse_node(node, &head);
    return rc < 0 ? rc : list_each_id(&head, fn, arg);
}

struct reference {
    struct db_batch *batch;
    struct bytes referrer;
};

static int ref_one(void *arg, const uint8_t id[CONTENT_ID_BYTES])
{
    const struct reference *r = arg;
    chunk_ref(r->batch, id, CHUNK_REF_VERSION, r->referrer);
    return 0;
}

static int unref_one(void *arg, const uint8_t id[CONTENT_ID_BYTES])
{
    const struct reference *r = arg;
    chunk_unref(r->batch, id, CHUNK_REF_VERSION, r->referrer);
    return 0;
}

int content_ref(struct db_batch *batch, struct bytes body, struct bytes referrer)
{
    struct reference r = {batch, referrer};
    return content_body_ids(body, ref_one, &r);
}

int content_unref(struct db_batch *batch, struct bytes body, struct bytes referrer)
{
    struct reference r = {batch, referrer};
    return content_body_ids(body, unref_one, &r);
}

int content_open(struct db *db, struct bytes body, struct content **ret_content)
{
    struct content *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    int rc = -pthread_mutex_init(&c->lock, NULL);
    if (rc < 0) {
        free(c);
        return rc;
    }
    c->db = db;
    buf_put_bytes(&c->body, body);
    struct list_head head = {0};
    rc = buf_status(&c->body);
    if (rc == 0)
        rc = list_parse_body(buf_bytes(&c->body), &c->info, &head);
    if (rc == 0 && !c->info.is_inline) {
        c->root = list_new(&head);
        rc = c->root == NULL ? -ENOMEM : 0;
    }
    if (rc < 0) {
        content_free(c);
        return rc;
    }
    *ret_content = c;
    return 0;
}

void content_free(struct content *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < ARRAY_N(c->nodes); i++) {
        assert(c->nodes[i].list == NULL || c->nodes[i].list->pins == 1);
        free(c->nodes[i].list);
    }
    free(c->root);
    buf_fini(&c->body);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

uint64_t content_size(const struct content *c)
{
    return c->info.size;
}

struct bytes content_body(const struct content *c)
{
    return buf_bytes(&c->body);
}

/* Under the lock: the node, pinned once more, or NULL. */
static struct list *find_node(struct content *c, const uint8_t *id)
{
    for (size_t i = 0; i < ARRAY_N(c->nodes); i++) {
        struct content_node *n = &c->nodes[i];
        if (n->list != NULL && memcmp(n->id, id, CONTENT_ID_BYTES) == 0) {
            n->used = ++c->clock;
            n->list->pins++;
            return n->list;
        }
    }
    return NULL;
}

static void unpin(struct list *l)
{
    assert(l->pins > 0);
    if (--l->pins == 0)
        free(l);
}

/* Under the lock: puts a node in the place of the one not used for the longest time. */
static void keep_node(struct content *c, const uint8_t *id, struct list *l)
{
    struct content_node *n = &c->nodes[0];
    for (size_t i = 1; i < ARRAY_N(c->nodes); i++)
        if (c->nodes[i].used < n->used)
            n = &c->nodes[i];
    if (n->list != NULL)
        unpin(n->list);
    memcpy(n->id, id, CONTENT_ID_BYTES);
    n->list = l;
    n->used = ++c->clock;
    l->pins++;
}

/* The node that entry @e of a list of @level names, pinned. */
static int get_node(struct content *c, unsigned level, const struct list_entry *e,
                    struct list **ret)
{
    pthread_mutex_lock(&c->lock);
    struct list *l = find_node(c, e->id);
    pthread_mutex_unlock(&c->lock);
    if (l == NULL) {
        CLEANUP(db_value_fini) struct db_value v = {0};
        struct list_head head;
        int rc = chunk_get(c->db, e->id, &v);
        if (rc == 0)
            rc = list_parse_node(v.v, &head);
        if (rc < 0)
            return rc;
        l = list_new(&head);
        if (l == NULL)
            return -ENOMEM;
        l->pins = 1;
        pthread_mutex_lock(&c->lock);
        keep_node(c, e->id, l);
        pthread_mutex_unlock(&c->lock);
    }
    struct content_list pinned = {l, 0};
    if (l->level + 1 != level || l->items[l->n - 1].end != e->len || l->holes != e->hole) {
        content_list_done(c, &pinned);
        return -EBADMSG;
    }
    *ret = l;
    return 0;
}

int content_list_at(struct content *c, unsigned level, uint64_t off, struct content_list *ret)
{
    assert(c->root != NULL && level <= c->root->level && off < c->info.size);
    struct content_list at = {c->root, 0};
    while (at.list->level > level) {
        size_t i = list_find(at.list, off - at.off);
        const struct list_item *item = &at.list->items[i];
        uint64_t start = list_start(at.list, i);
        struct list_entry e = {.len = item->end - start, .hole = item->hole};
        memcpy(e.id, item->id, CONTENT_ID_BYTES);
        struct content_list next = {.off = at.off + start};
        int rc = get_node(c, at.list->level, &e, &next.list);
        content_list_done(c, &at);
        if (rc < 0)
            return rc;
        at = next;
    }
    *ret = at;
    return 0;
}

void content_list_done(struct content *c, struct content_list *l)
{
    if (l->list != NULL && l->list != c->root) {
        pthread_mutex_lock(&c->lock);
        unpin(l->list);
        pthread_mutex_unlock(&c->lock);
    }
    *l = (struct content_list){0};
}
