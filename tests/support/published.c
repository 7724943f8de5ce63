#include "tests/support/published.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

int published_setup(void **state)
{
    static struct device d;
    device_open(&d, "anna", NULL);
    *state = &d;
    return 0;
}

int published_teardown(void **state)
{
    device_close(*state);
    return 0;
}

bool record_at(struct device *d, const char *path, struct rid *ret)
{
    struct rid at = RID_ROOT;
    char copy[256], *save = NULL;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *name = strtok_r(copy, "/", &save); name != NULL; name = strtok_r(NULL, "/", &save)) {
        struct replica_entry e;
        if (replica_lookup(d->s->replica, &at, bytes_str(name), &e) < 0)
            return false;
        at = e.rid;
    }
    *ret = at;
    return true;
}

static int count(void *arg, const struct history_version *v)
{
    (void)v;
    ++*(int *)arg;
    return 0;
}

int count_versions(struct device *d, const char *path)
{
    struct rid rid;
    int n = 0;
    assert_true(record_at(d, path, &rid));
    assert_int_equal(replica_versions(d->s->replica, &rid, count, &n), 0);
    return n;
}

uint64_t changes(struct device *d)
{
    const struct vv *k = replica_knowledge(d->s->replica);
    struct dot dot = {.replica = replica_id(d->s->replica)};
    for (uint64_t step = UINT64_C(1) << 20; step > 0; step /= 2) {
        struct dot higher = {dot.replica, dot.counter + step};
        if (vv_has(k, &higher))
            dot = higher;
    }
    return dot.counter;
}

void publish_all(struct device *d)
{
    assert_int_equal(publisher_flush(d->s), 0);
}

void assert_same_record(struct device *d, const char *path, const struct rid *rid)
{
    struct rid now;
    assert_true(record_at(d, path, &now));
    assert_memory_equal(now.b, rid->b, sizeof now.b);
}

struct rid published(struct device *d, const char *path, const char *text)
{
    struct rid rid;
    device_save_text(d, path, text);
    publish_all(d);
    assert_true(record_at(d, path, &rid));
    return rid;
}

void assert_text(struct device *d, const char *path, const char *text)
{
    char is[64] = "";
    int64_t n = tree_read(d->s->tree, device_ino(d, path), 0, is, sizeof is - 1);
    assert_int_equal(n, strlen(text));
    assert_string_equal(is, text);
}

bool is_recorded(struct device *d, const char *path)
{
    struct rid rid;
    pthread_mutex_lock(&d->s->lock);
    bool there = record_at(d, path, &rid);
    pthread_mutex_unlock(&d->s->lock);
    return there;
}
