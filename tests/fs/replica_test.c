/*
 * The interface of fs/replica in itself: several operations in a change, batches that fail,
 * effects, cut sessions, history, clean-up, a new replica id.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/replica_world.h"

#define DO(call) assert_int_equal(call, 0)
#define GONE(w, i, path)                                                                           \
    assert_int_equal(world_find(w, i, path, &(struct replica_entry){0}), -ENOENT)

static const struct rid root;
static const struct dot first;
static const struct value_meta plain = {.mode = 0644};

static int setup(void **state)
{
    *state = world_new(2);
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static uint64_t no_time(void *ctx)
{
    (void)ctx;
    return 0;
}

/* ---- changes and batches --------------------------------------------------------------------- */

static void change_of_several_operations_sees_its_own(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    struct rid dir, file, other;
    struct value_content c;
    struct dot dot;
    world_content(w, 0, "text", &c);
    struct change *ch = replica_begin(d->r, d->batch);
    DO(change_create(ch, KIND_DIR, &root, bytes_str("d"), &plain, NULL, &dir));
    DO(change_create(ch, KIND_FILE, &dir, bytes_str("f"), &plain, &c, &file));
    DO(change_create(ch, KIND_FILE, &dir, bytes_str("tmp"), &plain, &c, &other));
    assert_int_equal(change_create(ch, KIND_FILE, &dir, bytes_str("f"), &plain, &c, &other),
                     -EEXIST);
    DO(change_move(ch, &other, &first, &dir, bytes_str("f"))); /* over f */
    DO(change_meta(ch, &other, &(struct value_meta){.mode = 0600}));
    DO(replica_commit(ch, &dot));
    world_write(w, 0);
    assert_true(dot.replica == 1 && dot.counter == 1);
    assert_true(world_has(w, 0, "/d/f", "text"));
    assert_int_equal(world_count(w, 0, NULL), 2);
    world_pull(w, 1, 0, -1);
    assert_true(world_has(w, 1, "/d/f", "text"));
}

static void change_without_operation_takes_no_counter(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    struct dot dot = {9, 9};
    struct change *c = replica_begin(d->r, d->batch);
    DO(replica_commit(c, &dot));
    assert_true(dot_is_none(&dot));
    assert_int_equal(db_batch_n(d->batch), 0);
    assert_int_equal(replica_knowledge(d->r)->n, 0);
}

static void cancelled_change_leaves_the_others_of_the_batch(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    struct rid rid;
    struct dot dot;
    struct change *c = replica_begin(d->r, d->batch);
    DO(change_create(c, KIND_DIR, &root, bytes_str("one"), &plain, NULL, &rid));
    DO(replica_commit(c, NULL));
    c = replica_begin(d->r, d->batch);
    DO(change_create(c, KIND_DIR, &root, bytes_str("two"), &plain, NULL, &rid));
    replica_cancel(c);
    c = replica_begin(d->r, d->batch);
    DO(change_create(c, KIND_DIR, &root, bytes_str("three"), &plain, NULL, &rid));
    DO(replica_commit(c, &dot));
    assert_int_equal(dot.counter, 2);
    world_write(w, 0);
    GONE(w, 0, "/two");
    assert_int_equal(world_count(w, 0, NULL), 2);
}

static void aborted_batch_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    struct rid rid;
    DO(world_mkdir(w, 0, "/before"));
    struct change *c = replica_begin(d->r, d->batch);
    DO(change_create(c, KIND_DIR, &root, bytes_str("one"), &plain, NULL, &rid));
    DO(replica_commit(c, NULL));
    c = replica_begin(d->r, d->batch);
    DO(change_create(c, KIND_DIR, &root, bytes_str("two"), &plain, NULL, &rid));
    replica_abort(d->r); /* with an open change */
    db_batch_clear(d->batch);
    GONE(w, 0, "/one");
    assert_int_equal(vv_get(replica_knowledge(d->r), 1), 1);
    DO(world_mkdir(w, 0, "/after"));
    assert_int_equal(vv_get(replica_knowledge(d->r), 1), 2);
}

static void state_survives_reopening(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    DO(world_mkdir(w, 0, "/a"));
    DO(world_create(w, 0, "/a/f", "x"));
    struct replica *again;
    struct replica_config cfg = {.secret = "a secret of thirty-two bytes !!", .id = 77};
    assert_int_equal(replica_open(d->db, &cfg, &again, NULL), -EINVAL); /* no clock */
    replica_close(d->r);
    cfg.now_ms = no_time;
    DO(replica_open(d->db, &cfg, &d->r, NULL));
    assert_int_equal(replica_id(d->r), 1); /* what the database says */
    assert_int_equal(vv_get(replica_knowledge(d->r), 1), 2);
    assert_true(world_has(w, 0, "/a/f", "x"));
}

static void wrong_arguments_are_refused(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    struct rid dir, file, rid;
    struct dot slot;
    struct value_content c;
    world_content(w, 0, "x", &c);
    struct change *ch = replica_begin(d->r, d->batch);
    DO(change_create(ch, KIND_DIR, &root, bytes_str("d"), &plain, NULL, &dir));
    DO(change_create(ch, KIND_FILE, &root, bytes_str("f"), &plain, &c, &file));
    const struct bytes name = bytes_str("n");
    assert_int_equal(change_create(ch, KIND_FILE, &root, bytes_str(".."), &plain, &c, &rid),
                     -EINVAL);
    assert_int_equal(change_create(ch, KIND_FILE, &root, bytes_str(".persist"), &plain, &c, &rid),
                     -EINVAL);
    assert_int_equal(change_create(ch, KIND_FILE, &root, name, &plain, NULL, &rid), -EINVAL);
    assert_int_equal(change_create(ch, KIND_FILE, &file, name, &plain, &c, &rid), -ENOTDIR);
    assert_int_equal(change_move(ch, &dir, &first, &dir, name), -EINVAL);
    assert_int_equal(change_move(ch, &dir, &first, &root, bytes_str("f")), -ENOTDIR);
    assert_int_equal(change_move(ch, &file, &first, &root, bytes_str("d")), -EISDIR);
    assert_int_equal(change_link(ch, &dir, &root, name, &slot), -EPERM);
    assert_int_equal(change_link(ch, &file, &root, bytes_str("d"), &slot), -EEXIST);
    DO(change_link(ch, &file, &root, name, &slot));
    assert_int_equal(change_link(ch, &file, &root, bytes_str("m"), &slot), -EAGAIN);
    assert_int_equal(change_move(ch, &file, &slot, &root, bytes_str("f")), -EEXIST);
    DO(change_move(ch, &file, &first, &dir, bytes_str("f")));
    assert_int_equal(change_unlink(ch, &dir, &first), -ENOTEMPTY);
    assert_int_equal(change_unlink(ch, &dir, &(struct dot){1, 1}), -ENOENT);
    assert_int_equal(change_exchange(ch, &dir, &first, &file, &first), -EINVAL);
    DO(replica_commit(ch, NULL));
    world_write(w, 0);
    assert_int_equal(world_count(w, 0, NULL), 3);
}

/* ---- stale saves, effects -------------------------------------------------------------------- */

static void save_of_an_older_version_keeps_the_newer_as_a_sibling(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    struct replica_entry e;
    struct replica_info opened;
    struct value_content c;
    int conflicts;
    DO(world_create(w, 0, "/f", "opened"));
    DO(world_find(w, 0, "/f", &e));
    DO(replica_stat(d->r, &e.rid, &opened));
    DO(world_edit(w, 0, "/f", "newer"));
    world_content(w, 0, "saved", &c);
    struct change *ch = replica_begin(d->r, d->batch);
    DO(change_edit(ch, &e.rid, &c, &opened.content.dot));
    DO(replica_commit(ch, NULL));
    world_write(w, 0);
    assert_true(world_has(w, 0, "/f", "saved"));
    assert_int_equal(world_count(w, 0, &conflicts), 2);
    assert_int_equal(conflicts, 1);
}

struct told {
    int calls, content, meta, places;
};

static int count_effect(void *ctx, const struct replica_effect *e)
{
    struct told *t = ctx;
    t->calls++;
    t->content += e->content;
    t->meta += e->meta;
    t->places += (int)e->places_n;
    return 0;
}

static struct told effects_of(struct world *w, int i, const char *path, const char *text,
                              const struct value_meta *meta)
{
    struct replica_entry e;
    struct told told = {0};
    struct value_content c;
    DO(world_find(w, i, path, &e));
    struct change *ch = replica_begin(w->d[i].r, w->d[i].batch);
    if (text != NULL) {
        world_content(w, i, text, &c);
        DO(change_edit(ch, &e.rid, &c, NULL));
    }
    if (meta != NULL)
        DO(change_meta(ch, &e.rid, meta));
    DO(replica_commit(ch, NULL));
    DO(replica_effects(w->d[i].r, count_effect, &told));
    world_write(w, i);
    return told;
}

static void effects_name_what_differs(void **state)
{
    struct world *w = *state;
    DO(world_create(w, 0, "/f", "x"));
    struct told t = effects_of(w, 0, "/f", "y", NULL);
    assert_true(t.calls == 1 && t.content == 1 && t.meta == 0 && t.places == 0);
    t = effects_of(w, 0, "/f", "y", NULL); /* the same again */
    assert_int_equal(t.calls, 0);
    t = effects_of(w, 0, "/f", NULL, &(struct value_meta){.mode = 0600});
    assert_true(t.calls == 1 && t.content == 0 && t.meta == 1);
    t = (struct told){0};
    DO(replica_effects(w->d[0].r, count_effect, &t)); /* nothing is pending */
    assert_int_equal(t.calls, 0);
}

/* The one path at a device that is a conflict name. */
static void conflict_path(struct world *w, int i, char ret[LIMIT_NAME + 2])
{
    size_t n, found = 0;
    char **paths = world_paths(w, i, &n);
    for (size_t k = 0; k < n; k++)
        if (strstr(paths[k], "(conflict from ") != NULL) {
            snprintf(ret, LIMIT_NAME + 2, "%s", paths[k]);
            found++;
        }
    world_paths_free(paths, n);
    assert_int_equal(found, 1);
}

static void relabel(struct world *w, int i, const char *label)
{
    char path[LIMIT_NAME + 2];
    DO(replica_relabel(w->d[i].r, w->d[i].batch));
    world_write(w, i);
    conflict_path(w, i, path);
    assert_non_null(strstr(path, label));
}

static void label_that_changed_renames_what_is_in_conflict(void **state)
{
    struct world *w = *state;
    int conflicts;
    DO(world_create(w, 0, "/f", "x"));
    DO(world_mkdir(w, 1, "/f"));
    world_meet(w);
    assert_int_equal(world_count(w, 0, &conflicts), 2);
    assert_int_equal(conflicts, 1);
    relabel(w, 0, "from dev1 "); /* to the same: nothing differs */
    world_meet(w);
    world_rename_devices("box");
    for (int i = 0; i < w->n; i++)
        relabel(w, i, "from box1 ");
    world_meet(w);
    world_rename_devices("dev");
}

/* A conflict name is decided anew, and gone from, before all of them are. */
static void label_that_changed_hinders_no_change(void **state)
{
    struct world *w = *state;
    char old[LIMIT_NAME + 2], new[LIMIT_NAME + 2];
    int conflicts;
    DO(world_create(w, 0, "/f", "x"));
    DO(world_mkdir(w, 1, "/f"));
    world_pull(w, 0, 1, -1);
    conflict_path(w, 0, old);
    DO(world_create(w, 1, old, "has its name"));
    world_rename_devices("box");
    world_pull(w, 0, 1, -1);
    snprintf(new, sizeof new, "%s", old);
    memcpy(strstr(new, "dev"), "box", 3);
    assert_true(world_has(w, 0, old, "has its name"));
    assert_true(world_has(w, 0, new, "x"));
    DO(world_rm(w, 0, new));
    world_pull(w, 1, 0, -1);
    world_meet(w);
    assert_int_equal(world_count(w, 1, &conflicts), 2);
    world_rename_devices("dev");
}

/* ---- exchange -------------------------------------------------------------------------------- */

static void session_cut_anywhere_goes_on(void **state)
{
    struct world *w = *state;
    DO(world_mkdir(w, 0, "/a"));
    DO(world_mkdir(w, 0, "/a/b"));
    DO(world_create(w, 0, "/a/b/f", "x"));
    DO(world_mv(w, 0, "/a", "/c")); /* what is below comes before it now */
    DO(world_edit(w, 0, "/c/b/f", "y"));
    for (int cut = 0; cut < 4; cut++) {
        world_pull(w, 1, 0, cut);
        assert_int_equal(replica_knowledge(w->d[1].r)->n, 0);
    }
    world_pull(w, 1, 0, -1);
    assert_true(world_has(w, 1, "/c/b/f", "y"));
    assert_int_equal(vv_get(replica_knowledge(w->d[1].r), 1), 5);
}

static void malformed_change_is_refused_whole(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[1];
    struct buf b = {0};
    DO(world_create(w, 0, "/f", "x"));
    DO(replica_change_get(w->d[0].r, &(struct dot){1, 1}, &b));
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(replica_apply(d->r, d->batch, bytes_of(b.p, n), NULL), -EBADMSG);
    assert_int_equal(db_batch_n(d->batch), 0);
    assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&b), NULL), 1);
    assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&b), NULL), 0);
    world_write(w, 1);
    assert_true(world_has(w, 1, "/f", "x"));
    buf_fini(&b);
}

/* A change of replica @id: content for the file /f of a world. */
static void foreign_save(struct world *w, const struct rid *rid, uint64_t id, struct buf *ret)
{
    struct value v = {.rid = *rid,
                      .facet = FACET_CONTENT,
                      .dot = {id, 1},
                      .stamp = {UINT64_C(9999) << 50, id}, /* far in the future */
                      .from_own = true};
    struct buf one = {0};
    char text[32];
    snprintf(text, sizeof text, "save of %d", (int)id);
    world_content(w, 0, text, &v.content);
    buf_reset(ret);
    value_change_begin(ret, &v.dot, 1);
    value_encode(&v, VALUE_WIRE, &one);
    buf_put_string(ret, buf_bytes(&one));
    buf_fini(&one);
}

static void too_many_concurrent_values_wait(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    struct replica_entry e;
    struct buf b = {0};
    w->unchecked = true;
    DO(world_create(w, 0, "/f", "x"));
    DO(world_find(w, 0, "/f", &e));
    for (uint64_t id = 100; id < 100 + LIMIT_FACET_VALUES - 1; id++) {
        foreign_save(w, &e.rid, id, &b);
        assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&b), NULL), 1);
    }
    foreign_save(w, &e.rid, 999, &b);
    assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&b), NULL), -EAGAIN);
    world_write(w, 0);
    DO(world_edit(w, 0, "/f", "mine")); /* all siblings of it in one change */
    int conflicts;
    assert_int_equal(world_count(w, 0, &conflicts), LIMIT_FACET_VALUES);
    assert_true(world_has(w, 0, "/f", "mine")); /* later than the far ones that it replaced */
    DO(world_create(w, 0, "/g", "x"));
    DO(world_find(w, 0, "/g", &e));
    struct replica_info info;
    DO(replica_stat(d->r, &e.rid, &info));
    assert_true(hlc_ms(info.content.stamp.hlc) < w->now_ms + 1000); /* the clock did not follow */
    buf_fini(&b);
}

static void restored_replica_takes_a_new_id(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    DO(world_create(w, 0, "/f", "one"));
    world_meet(w); /* confirmed up to here */
    DO(world_edit(w, 0, "/f", "two"));
    DO(world_create(w, 0, "/g", "three"));
    DO(replica_renew(d->r, d->batch, 11, 1));
    world_write(w, 0);
    assert_int_equal(replica_id(d->r), 11);
    assert_int_equal(vv_get(replica_knowledge(d->r), 1), 1);
    assert_int_equal(vv_get(replica_knowledge(d->r), 11), 2);
    DO(world_edit(w, 0, "/g", "four"));
    world_meet(w);
    assert_true(world_has(w, 1, "/f", "two"));
    assert_true(world_has(w, 1, "/g", "four"));
    assert_int_equal(world_count(w, 1, NULL), 2);
}

static int count_value(void *ctx, const struct value *v)
{
    (void)v;
    ++*(int *)ctx;
    return 0;
}

static int values_of(struct world *w, int i)
{
    int n = 0;
    DO(replica_values(w->d[i].r, count_value, &n));
    return n;
}

static void clean_up_waits_for_what_was_done_before_the_acknowledgement(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    DO(world_mkdir(w, 0, "/d"));
    DO(world_create(w, 0, "/d/f", "x"));
    world_meet(w);
    DO(world_rmtree(w, 0, "/d"));
    world_pull(w, 1, 0, -1);
    DO(world_mkdir(w, 1, "/e"));
    struct replica_ack ack = {2, replica_knowledge(w->d[1].r)};
    DO(replica_raise_floor(d->r, d->batch, &ack, 1)); /* "/e" is not here yet */
    assert_int_equal(replica_floor(d->r)->n, 0);
    world_pull(w, 0, 1, -1);
    DO(replica_raise_floor(d->r, d->batch, &ack, 1));
    assert_int_equal(vv_get(replica_floor(d->r), 1), 4);
    assert_int_equal(replica_clean(d->r, d->batch, 1), 1);   /* the file, */
    assert_int_equal(replica_clean(d->r, d->batch, 100), 1); /* then its directory */
    assert_int_equal(replica_clean(d->r, d->batch, 100), 0);
    world_write(w, 0);
    assert_int_equal(values_of(w, 0), 2); /* place and meta of /e */
    assert_true(world_may_exchange(w, 1, 0));
    DO(world_mkdir(w, 0, "/d")); /* made again: where the old one still lies, it is superseded */
    DO(world_create(w, 0, "/d/f", "y"));
    world_meet(w);
    assert_true(world_has(w, 1, "/d/f", "y"));
    assert_int_equal(values_of(w, 0), values_of(w, 1));
}

/* An edit of what is in a deleted directory, from afar, must find the directory. */
static void directory_that_something_refers_to_is_not_cleaned_up(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    DO(world_mkdir(w, 0, "/d"));
    world_meet(w);
    DO(world_create(w, 1, "/d/n", "n"));
    DO(world_rm(w, 1, "/d/n"));
    DO(world_rm(w, 0, "/d"));
    world_pull(w, 0, 1, -1);
    struct vv known = {0};
    DO(vv_copy(&known, replica_knowledge(d->r)));
    DO(vv_set(&known, 2, 1)); /* acknowledged: all but the deletion of /d/n */
    struct replica_ack ack = {2, &known};
    DO(replica_raise_floor(d->r, d->batch, &ack, 1));
    assert_int_equal(replica_clean(d->r, d->batch, 100), 0);
    DO(vv_set(&known, 2, 2));
    DO(replica_raise_floor(d->r, d->batch, &ack, 1));
    assert_int_equal(replica_clean(d->r, d->batch, 100), 2);
    world_write(w, 0);
    assert_int_equal(values_of(w, 0), 0);
    vv_fini(&known);
}

/* ---- history --------------------------------------------------------------------------------- */

struct past {
    struct history_version v[16];
    int n;
    char names[256];
};

static int note_version(void *ctx, const struct history_version *v)
{
    struct past *p = ctx;
    assert_true(p->n < 16);
    p->v[p->n++] = *v;
    return 0;
}

static int note_entry(void *ctx, const struct history_entry *e)
{
    struct past *p = ctx;
    strcat(p->names, e->entry.name);
    strcat(p->names, dot_is_none(&e->content.dot) ? "/ " : " ");
    return 0;
}

static int note_rid(void *ctx, const struct rid *rid)
{
    *(struct rid *)ctx = *rid;
    return 0;
}

static void versions_tell_what_was_and_until_when(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    struct replica_entry e;
    struct past p = {.n = 0};
    DO(world_create(w, 0, "/f", "one"));
    DO(world_find(w, 0, "/f", &e));
    DO(world_edit(w, 0, "/f", "two"));
    DO(world_rm(w, 0, "/f"));
    uint64_t deleted_ms = w->now_ms;
    DO(replica_versions(d->r, &e.rid, note_version, &p));
    assert_int_equal(p.n, 2);
    assert_true(p.v[0].until_ms == hlc_ms(p.v[1].content.stamp.hlc) && !p.v[0].deleted);
    assert_true(p.v[1].deleted && p.v[1].until_ms == deleted_ms);
    struct buf body = {0};
    DO(replica_version_get(d->r, &e.rid, &p.v[0].content.dot, &body));
    assert_true(bytes_equal(buf_bytes(&body), bytes_str("one")));
    buf_fini(&body);
    struct rid found = {{0}};
    DO(replica_find(d->r, &root, bytes_str("f"), note_rid, &found));
    assert_true(rid_equal(&found, &e.rid));
}

static void deleted_directory_is_listed_as_it_was(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    struct replica_entry e;
    DO(world_mkdir(w, 0, "/d"));
    DO(world_create(w, 0, "/d/a", "1"));
    DO(world_mkdir(w, 0, "/d/sub"));
    DO(world_find(w, 0, "/d", &e));
    uint64_t then = w->now_ms;
    DO(world_mv(w, 0, "/d/a", "/d/b"));
    uint64_t later = w->now_ms;
    DO(world_rmtree(w, 0, "/d"));
    struct past a = {.n = 0}, b = {.n = 0}, c = {.n = 0};
    DO(replica_list_at(d->r, &e.rid, then, note_entry, &a));
    DO(replica_list_at(d->r, &e.rid, later, note_entry, &b));
    DO(replica_list_at(d->r, &e.rid, w->now_ms, note_entry, &c));
    assert_true(strstr(a.names, "a ") != NULL && strstr(a.names, "sub/") != NULL);
    assert_true(strstr(b.names, "b ") != NULL && strstr(b.names, "a ") == NULL);
    assert_string_equal(c.names, "");
}

static size_t thin_all(struct world *w, uint64_t now_ms)
{
    struct rid cursor = {{0}};
    struct device *d = &w->d[0];
    int more;
    do {
        more = replica_thin(d->r, d->batch, now_ms, &history_policy_default, &cursor, 1);
        assert_true(more >= 0);
        world_write(w, 0);
    } while (more == 1);
    struct past p = {.n = 0};
    struct replica_entry e;
    DO(world_find(w, 0, "/f", &e));
    DO(replica_versions(d->r, &e.rid, note_version, &p));
    return (size_t)p.n;
}

static void thinning_keeps_the_last_of_each_span(void **state)
{
    struct world *w = *state;
    const uint64_t hour = 3600 * 1000, day = 24 * hour;
    w->now_ms = w->now_ms / (7 * day) * (7 * day); /* the begin of a span */
    DO(world_create(w, 0, "/f", "0"));
    DO(world_create(w, 0, "/other", "0"));
    for (int k = 1; k < 8; k++) {
        char text[16];
        snprintf(text, sizeof text, "%d", k);
        w->now_ms += hour / 4;
        DO(world_edit(w, 0, "/f", text));
    }
    uint64_t now = w->now_ms;
    assert_int_equal(thin_all(w, now), 8);           /* all of the last day */
    assert_int_equal(thin_all(w, now + 2 * day), 3); /* hourly: two spans, and the current one */
    assert_int_equal(thin_all(w, now + 10 * day), 2);
    assert_int_equal(thin_all(w, now + 60 * day), 2);
    assert_int_equal(thin_all(w, now + 91 * day), 1); /* the one in force stays for ever */
    assert_true(world_has(w, 0, "/f", "7"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(change_of_several_operations_sees_its_own),
        TEST(change_without_operation_takes_no_counter),
        TEST(cancelled_change_leaves_the_others_of_the_batch),
        TEST(aborted_batch_leaves_nothing),
        TEST(state_survives_reopening),
        TEST(wrong_arguments_are_refused),
        TEST(save_of_an_older_version_keeps_the_newer_as_a_sibling),
        TEST(effects_name_what_differs),
        TEST(label_that_changed_renames_what_is_in_conflict),
        TEST(label_that_changed_hinders_no_change),
        TEST(session_cut_anywhere_goes_on),
        TEST(malformed_change_is_refused_whole),
        TEST(too_many_concurrent_values_wait),
        TEST(restored_replica_takes_a_new_id),
        TEST(clean_up_waits_for_what_was_done_before_the_acknowledgement),
        TEST(directory_that_something_refers_to_is_not_cleaned_up),
        TEST(versions_tell_what_was_and_until_when),
        TEST(deleted_directory_is_listed_as_it_was),
        TEST(thinning_keeps_the_last_of_each_span),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
