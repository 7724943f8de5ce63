/*
 * What happens to a file between the publisher's look at it and the write that publishes it:
 * nothing of that is taken for published. (fs/space/publish_name.c, publish_inode.c: still_so())
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/tree/tree_priv.h"
#include "tests/support/published.h"

/* One call of the publisher, in a thread of its own. */
struct publishing {
    struct device *d;
    int (*publish)(struct space *s, struct publish_item *item);
    struct publish_item item;
    pthread_t thread;
    _Atomic long tid; /* 0: it has not begun */
    int result;
    struct op names; /* keeps names locked: the publisher has looked, and waits for them to write */
};

static void *publish(void *arg)
{
    struct publishing *p = arg;
    atomic_store(&p->tid, syscall(SYS_gettid));
    p->result = p->publish(p->d->s, &p->item);
    tree_thread_done();
    return NULL;
}

/* Whether the thread waits for this mutex. */
static bool waits_for(long tid, const pthread_mutex_t *lock)
{
    char path[64], text[64] = "";
    long number = -1;
    unsigned long address = 0;
    snprintf(path, sizeof path, "/proc/self/task/%ld/syscall", tid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    bool has = fgets(text, sizeof text, f) != NULL;
    fclose(f);
    return has && sscanf(text, "%ld %lx", &number, &address) == 2 && number == SYS_futex &&
           address == (unsigned long)(uintptr_t)lock;
}

/* It has looked when this returns, and writes when end() is called. */
static void begin(struct publishing *p)
{
    struct tree *t = p->d->s->tree;
    assert_int_equal(op_begin(t, true, &p->names), 0);
    assert_int_equal(pthread_create(&p->thread, NULL, publish, p), 0);
    while (atomic_load(&p->tid) == 0 || !waits_for(p->tid, &t->lock))
        usleep(1000);
}

static void end(struct publishing *p)
{
    assert_int_equal(op_commit(&p->names), 0);
    assert_int_equal(pthread_join(p->thread, NULL), 0);
}

static void write_text(struct device *d, uint64_t ino, const char *text)
{
    struct tree_write how = {0};
    struct attr a;
    assert_int_equal(tree_open_file(d->s->tree, ino, true, false, &a), 0);
    assert_int_equal(tree_write(d->s->tree, ino, bytes_str(text), &how), 0);
    tree_close_file(d->s->tree, ino, true);
}

static void a_new_file_that_is_written_meanwhile(void **state)
{
    struct device *d = *state;
    publisher_hold(d->s);
    device_save_text(d, "note", "one");
    struct publishing p = {
        .d = d,
        .publish = publish_name,
        .item = {.ino = TREE_ROOT, .name = bytes_str("note"), .settled = true, .quiet = true}};
    begin(&p);
    write_text(d, device_ino(d, "note"), "two");
    end(&p);
    publisher_release(d->s);
    publish_all(d);
    assert_text(d, "note", "two");
    assert_int_equal(count_versions(d, "note"), 1);
}

static void a_known_file_that_is_written_meanwhile(void **state)
{
    struct device *d = *state;
    (void)published(d, "note", "one");
    publisher_hold(d->s);
    device_save_text(d, "note", "two");
    uint64_t ino = device_ino(d, "note");
    struct publishing p = {
        .d = d, .publish = publish_inode, .item = {.ino = ino, .settled = true, .quiet = true}};
    begin(&p);
    write_text(d, ino, "six");
    end(&p);
    assert_int_equal(p.result, PUBLISH_LATER);
    publisher_release(d->s);
    publish_all(d);
    assert_text(d, "note", "six");
    assert_int_equal(count_versions(d, "note"), 2);
}

/* A name that is gone, without a record, is nothing to be published: its note would go. */
static void a_name_that_is_there_again_meanwhile(void **state)
{
    struct device *d = *state;
    struct attr *dir, *a;
    struct timespec now = attr_now();
    (void)published(d, "other", "two");
    publisher_hold(d->s);
    device_save_text(d, "note", "one");
    device_unlink(d, "note");
    struct publishing p = {.d = d,
                           .publish = publish_name,
                           .item = {.ino = TREE_ROOT,
                                    .name = bytes_str("note"),
                                    .settled = true,
                                    .quiet = true,
                                    .forced = true}};
    uint64_t other = device_ino(d, "other");
    begin(&p);
    assert_int_equal(op_add(&p.names, TREE_ROOT, &dir), 0);
    assert_int_equal(op_add(&p.names, other, &a), 0);
    a->nlink++;
    a->ctime = now;
    op_put(&p.names, a);
    dirent_put(&p.names, TREE_ROOT, bytes_str("note"), (struct dirent_value){other, S_IFREG});
    names_touch(&p.names, dir, &now);
    op_pending_name(&p.names, TREE_ROOT, bytes_str("note"), NULL);
    end(&p);
    assert_int_equal(p.result, PUBLISH_DONE);
    assert_true(is_recorded(d, "note"));
    publisher_release(d->s);
}

#define CASE(function)                                                                             \
    cmocka_unit_test_setup_teardown(function, published_setup, published_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_new_file_that_is_written_meanwhile),
        CASE(a_known_file_that_is_written_meanwhile),
        CASE(a_name_that_is_there_again_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
