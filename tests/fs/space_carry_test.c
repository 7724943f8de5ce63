/*
 * What is edited apart when the tree of one space is carried into a new one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/carry.h"
#include "fs/space/sibling.h"
#include "tests/support/meet.h"

static void say_nothing(struct out *o, uint64_t done, uint64_t total, const char *label)
{
    (void)o;
    (void)done;
    (void)total;
    (void)label;
}

static bool go_on(struct out *o, unsigned wait_ms)
{
    (void)o;
    (void)wait_ms;
    return false;
}

static bool count_sibling(void *arg, const struct tree_entry *e)
{
    *(unsigned *)arg += sibling_is(e->name);
    return true;
}

static int count_conflict(void *arg, const struct rid *rid)
{
    (void)rid;
    ++*(unsigned *)arg;
    return 0;
}

static unsigned open_conflicts(struct device *d)
{
    unsigned n = 0;
    pthread_mutex_lock(&d->s->lock);
    assert_int_equal(replica_conflicts(d->s->replica, count_conflict, &n), 0);
    pthread_mutex_unlock(&d->s->lock);
    return n;
}

/* Both edits come along, not only the one that is shown. */
static void a_conflict_that_is_open_is_ended_first(void **state)
{
    struct device anna, bert, new;
    struct device *both[] = {&anna, &bert};
    struct out out = {.progress = say_nothing, .cancelled = go_on};
    struct err err = {0};
    unsigned siblings = 0;
    (void)state;
    device_open(&anna, "anna", NULL);
    device_open(&bert, "bert", &anna);
    device_open(&new, "dora", NULL);
    device_save(&anna, "bin", "a\0b", 3);
    devices_meet(both, 2);
    device_save(&anna, "bin", "A\0b", 3);
    assert_int_equal(publisher_flush(anna.s), 0);
    usleep(2000); /* stamps count milliseconds */
    device_save(&bert, "bin", "a\0B", 3);
    devices_meet(both, 2);
    assert_int_equal(open_conflicts(&anna), 1);
    if (space_carry(anna.s, new.s, &out, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(open_conflicts(&anna), 0);
    assert_true(device_ino(&new, "bin") != 0);
    assert_int_equal(tree_list(new.s->tree, TREE_ROOT, 0, false, count_sibling, &siblings), 0);
    assert_int_equal(siblings, 1);
    device_close(&new);
    device_close(&bert);
    device_close(&anna);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conflict_that_is_open_is_ended_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
