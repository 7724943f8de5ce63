/* What the publisher makes of the ways in which programs save, move and delete. */
#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/published.h"

enum { MANY = 100, BIG = 2 << 20 };

/* ---- what is published ---- */

static int count_entry(void *arg, const struct replica_entry *e)
{
    (void)e;
    ++*(int *)arg;
    return 0;
}

static int count_entries(struct device *d, const char *path)
{
    struct rid rid;
    int n = 0;
    assert_true(record_at(d, path, &rid));
    assert_int_equal(replica_list(d->s->replica, &rid, count_entry, &n), 0);
    return n;
}

/* ---- cases ---- */

static void publish_save_in_place_is_one_version(void **state)
{
    struct device *d = *state;
    struct rid rid = published(d, "note", "one");
    device_save_text(d, "note", "two");
    publish_all(d);
    assert_same_record(d, "note", &rid);
    assert_int_equal(count_versions(d, "note"), 2);
}

static void publish_temporary_renamed_over_is_an_edit_of_the_same_record(void **state)
{
    struct device *d = *state;
    struct rid rid = published(d, "note", "one");
    device_save_text(d, "note.tmp", "two");
    device_rename(d, "note.tmp", "note");
    publish_all(d);
    assert_same_record(d, "note", &rid);
    assert_int_equal(count_versions(d, "note"), 2);
    assert_int_equal(count_entries(d, ""), 1);
}

static void publish_renamed_away_and_written_anew_is_an_edit_of_the_same_record(void **state)
{
    struct device *d = *state;
    struct rid rid = published(d, "note", "one");
    device_rename(d, "note", "note~");
    device_save_text(d, "note", "two");
    device_unlink(d, "note~");
    publish_all(d);
    assert_same_record(d, "note", &rid);
    assert_int_equal(count_versions(d, "note"), 2);
}

static void publish_renamed_away_and_kept_makes_the_old_file_a_new_record(void **state)
{
    struct device *d = *state;
    struct rid rid = published(d, "note", "one"), old;
    device_rename(d, "note", "note.old");
    device_save_text(d, "note", "two");
    publish_all(d);
    assert_same_record(d, "note", &rid);
    assert_true(record_at(d, "note.old", &old));
    assert_memory_not_equal(old.b, rid.b, sizeof old.b);
    publish_all(d);
    assert_int_equal(count_entries(d, ""), 2);
}

/* A log that is rotated: what goes on being written to the old one is none of the new one's. */
static void publish_renamed_away_and_written_on_is_not_the_content_of_the_new_file(void **state)
{
    struct device *d = *state;
    struct rid rid = published(d, "log", "one");
    publisher_hold(d->s);
    device_rename(d, "log", "log.1");
    uint64_t old = device_ino(d, "log.1");
    device_save_text(d, "log", "the second");
    device_save_text(d, "log.1", "one, and what came after");
    struct publish_item item = {.ino = old, .settled = true, .quiet = true};
    assert_int_equal(publish_inode(d->s, &item), PUBLISH_LATER);
    publisher_release(d->s);
    publish_all(d);
    assert_same_record(d, "log", &rid);
    assert_text(d, "log", "the second");
    assert_text(d, "log.1", "one, and what came after");
    assert_int_equal(count_entries(d, ""), 2);
}

static void publish_deleted_and_created_continues_the_record(void **state)
{
    struct device *d = *state;
    struct rid rid = published(d, "note", "one");
    device_unlink(d, "note");
    device_save_text(d, "note", "two");
    publish_all(d);
    assert_same_record(d, "note", &rid);
}

static void publish_probe_that_is_gone_again_leaves_nothing(void **state)
{
    struct device *d = *state;
    uint64_t before = changes(d);
    device_save_text(d, "probe", "x");
    device_unlink(d, "probe");
    device_save_text(d, ".note.swp", "swap");
    device_save_text(d, "note~", "backup");
    device_make(d, ".#note", S_IFLNK | 0777);
    publish_all(d);
    assert_int_equal(changes(d), before);
    assert_int_equal(count_entries(d, ""), 0);
}

static void publish_rename_of_a_folder_is_one_change_whatever_it_holds(void **state)
{
    struct device *d = *state;
    device_make(d, "a", S_IFDIR | 0755);
    for (int i = 0; i < 50; i++) {
        char path[32];
        snprintf(path, sizeof path, "a/%d", i);
        device_save_text(d, path, path);
    }
    publish_all(d);
    uint64_t before = changes(d);
    device_rename(d, "a", "b");
    publish_all(d);
    assert_int_equal(changes(d), before + 1);
    assert_int_equal(count_entries(d, "b"), 50);
}

static void publish_rename_to_a_new_name_moves_the_record(void **state)
{
    struct device *d = *state;
    struct rid rid = published(d, "note", "one");
    device_make(d, "sub", S_IFDIR | 0755);
    device_rename(d, "note", "sub/other");
    publish_all(d);
    assert_same_record(d, "sub/other", &rid);
    assert_int_equal(count_entries(d, ""), 1);
    assert_int_equal(count_versions(d, "sub/other"), 1);
}

static void publish_folder_removed_with_all_in_it_leaves_no_record(void **state)
{
    struct device *d = *state;
    device_make(d, "a", S_IFDIR | 0755);
    device_make(d, "a/b", S_IFDIR | 0755);
    device_save_text(d, "a/b/f", "f");
    device_save_text(d, "a/g", "g");
    publish_all(d);
    uint64_t a = device_ino(d, "a"), b = device_ino(d, "a/b");
    device_unlink(d, "a/b/f");
    device_unlink(d, "a/g");
    device_rmdir(d, "a/b");
    device_rmdir(d, "a");
    tree_forget(d->s->tree, b);
    tree_forget(d->s->tree, a);
    publish_all(d);
    assert_int_equal(count_entries(d, ""), 0);
    assert_int_equal(publisher_pending(d->s), 0);
}

static void publish_file_moved_out_of_a_removed_folder_keeps_its_record(void **state)
{
    struct device *d = *state;
    device_make(d, "a", S_IFDIR | 0755);
    struct rid rid = published(d, "a/f", "f");
    uint64_t a = device_ino(d, "a");
    device_rename(d, "a/f", "f");
    device_rmdir(d, "a");
    tree_forget(d->s->tree, a);
    publish_all(d);
    assert_same_record(d, "f", &rid);
    assert_int_equal(count_entries(d, ""), 1);
}

/* What came after it was looked at is not in what is captured. */
static void publish_file_that_grows_behind_a_hole(void **state)
{
    struct device *d = *state;
    struct tree_set set = {.what = TREE_SET_SIZE, .size = 200000};
    struct tree_write how = {.offset = 1 << 20};
    struct captured c = {.changes = 0};
    struct attr before, a;
    publisher_hold(d->s);
    device_make(d, "sparse", S_IFREG | 0644);
    uint64_t ino = device_ino(d, "sparse");
    assert_int_equal(tree_open_file(d->s->tree, ino, true, false, &a), 0);
    assert_int_equal(tree_setattr(d->s->tree, ino, &set, &before), 0);
    assert_int_equal(tree_write(d->s->tree, ino, bytes_str("data"), &how), 0);
    pthread_rwlock_rdlock(&d->s->builds);
    int rc = capture_content(d->s, &before, &c);
    pthread_rwlock_unlock(&d->s->builds);
    assert_true(rc == -EAGAIN || (rc == 0 && c.content.size == 200000));
    captured_fini(&c);
    tree_close_file(d->s->tree, ino, true);
    publisher_release(d->s);
}

/* A file that moves may be an editor's backup; a folder is not. */
static void publish_moved_folder_at_once(void **state)
{
    struct device *d = *state;
    struct publish_item folder = {.ino = TREE_ROOT, .name = bytes_str("renamed")};
    struct publish_item file = {.ino = TREE_ROOT, .name = bytes_str("moved")};
    device_make(d, "folder", S_IFDIR | 0755);
    device_save_text(d, "folder/in it", "text");
    published(d, "note", "one");
    publisher_hold(d->s);
    device_rename(d, "folder", "renamed");
    device_rename(d, "note", "moved");
    assert_int_equal(publish_name(d->s, &folder), PUBLISH_DONE);
    assert_true(is_recorded(d, "renamed/in it"));
    assert_int_equal(publish_name(d->s, &file), PUBLISH_SETTLE);
    publisher_release(d->s);
}

static void publish_emptied_file_waits_for_its_writer(void **state)
{
    struct device *d = *state;
    struct attr a;
    (void)published(d, "note", "one");
    uint64_t ino = device_ino(d, "note");
    assert_int_equal(tree_open_file(d->s->tree, ino, true, true, &a), 0);
    publish_all(d);
    assert_int_equal(count_versions(d, "note"), 1);
    struct tree_write how = {0};
    assert_int_equal(tree_write(d->s->tree, ino, bytes_str("two"), &how), 0);
    publish_all(d);
    assert_int_equal(count_versions(d, "note"), 1);
    tree_close_file(d->s->tree, ino, true);
    publish_all(d);
    assert_int_equal(count_versions(d, "note"), 2);
}

static void publish_emptied_file_of_a_writer_that_died_keeps_the_old_version(void **state)
{
    struct device *d = *state;
    struct attr a;
    (void)published(d, "note", "one");
    uint64_t ino = device_ino(d, "note");
    assert_int_equal(tree_open_file(d->s->tree, ino, true, true, &a), 0);
    /* Not closed: the next opening finds the file as a crash leaves it. */
    device_reopen(d);
    publish_all(d);
    assert_int_equal(count_versions(d, "note"), 1);
    assert_text(d, "note", "one");
    device_save_text(d, "note", "two");
    publish_all(d);
    assert_int_equal(count_versions(d, "note"), 2);
    assert_text(d, "note", "two");
}

/* A writer that dies: it has the file open, has written, and never closes it. */
static void leave_written(struct device *d, const char *path, const char *text)
{
    struct attr a;
    struct tree_write how = {0};
    uint64_t ino = device_ino(d, path);
    assert_int_equal(tree_open_file(d->s->tree, ino, true, true, &a), 0);
    assert_int_equal(tree_write(d->s->tree, ino, bytes_str(text), &how), 0);
}

static void publish_what_was_written_stays_here_when_its_writer_died(void **state)
{
    struct device *d = *state;
    (void)published(d, "note", "one");
    leave_written(d, "note", "half");
    device_reopen(d);
    publish_all(d);
    assert_int_equal(count_versions(d, "note"), 1);
    assert_text(d, "note", "half");
}

/* A journal: its last line is what its writer was at, the others were written and closed. */
static void publish_what_was_appended_before_its_writer_died(void **state)
{
    struct device *d = *state;
    (void)published(d, "note", "one");
    leave_written(d, "note", "one and two");
    device_reopen(d);
    publish_all(d);
    assert_int_equal(count_versions(d, "note"), 2);
    assert_text(d, "note", "one and two");
}

/* Where the published version is empty, there is nothing to be kept. */
static void publish_first_bytes_of_a_file_whose_writer_died(void **state)
{
    struct device *d = *state;
    (void)published(d, "note", "");
    leave_written(d, "note", "one");
    device_reopen(d);
    publish_all(d);
    assert_int_equal(count_versions(d, "note"), 2);
}

static void publish_temporary_renamed_over_before_its_writer_died(void **state)
{
    struct device *d = *state;
    (void)published(d, "note", "one");
    (void)published(d, "note.tmp", "of an earlier save");
    leave_written(d, "note.tmp", "two");
    device_rename(d, "note.tmp", "note");
    device_reopen(d);
    publish_all(d);
    struct rid rid;
    struct replica_info info;
    assert_true(record_at(d, "note", &rid));
    assert_int_equal(replica_stat(d->s->replica, &rid, &info), 0);
    assert_int_equal(info.content.size, 3);
    assert_text(d, "note", "two");
}

static void publish_hard_link_is_a_second_name_of_the_record(void **state)
{
    struct device *d = *state;
    struct attr a;
    struct rid rid = published(d, "note", "one");
    uint64_t ino = device_ino(d, "note");
    assert_int_equal(tree_link(d->s->tree, ino, TREE_ROOT, bytes_str("again"), &a), 0);
    publish_all(d);
    assert_same_record(d, "again", &rid);
    assert_same_record(d, "note", &rid);
    device_unlink(d, "note");
    publish_all(d);
    assert_same_record(d, "again", &rid);
    assert_int_equal(count_entries(d, ""), 1);
}

static void publish_exchange_of_two_names_keeps_both_records(void **state)
{
    struct device *d = *state;
    struct rid a = published(d, "a", "a"), b = published(d, "b", "b");
    (void)a;
    (void)b;
    assert_int_equal(tree_rename(d->s->tree, TREE_ROOT, bytes_str("a"), TREE_ROOT, bytes_str("b"),
                                 RENAME_EXCHANGE),
                     0);
    publish_all(d);
    publish_all(d);
    assert_int_equal(count_entries(d, ""), 2);
    assert_int_equal(publisher_pending(d->s), 0);
}

/* ---- a temporary file that has become a record of its own ---- */

static void assert_none(struct device *d, const char *path)
{
    struct rid rid;
    assert_false(record_at(d, path, &rid));
    assert_int_equal(device_ino(d, path), 0);
}

/* What was saved is the @n-th version of the same record, and the temporary file is gone. */
static void assert_saved(struct device *d, const struct rid *rid, const char *text, int n)
{
    publish_all(d);
    assert_same_record(d, "note", rid);
    assert_int_equal(count_versions(d, "note"), n);
    assert_text(d, "note", text);
    assert_none(d, "note.tmp");
    assert_int_equal(publisher_pending(d->s), 0);
}

static void make_old(struct device *d, const char *path)
{
    struct op x;
    struct attr *a;
    assert_int_equal(op_begin(d->s->tree, false, &x), 0);
    assert_int_equal(op_add(&x, device_ino(d, path), &a), 0);
    a->btime.tv_sec -= 3600;
    op_put(&x, a);
    assert_int_equal(op_commit(&x), 0);
}

static void exchange(struct device *d, const char *a, const char *b)
{
    assert_int_equal(
        tree_rename(d->s->tree, TREE_ROOT, bytes_str(a), TREE_ROOT, bytes_str(b), RENAME_EXCHANGE),
        0);
}

static void publish_slow_temporary_is_one_edit_of_the_record_it_replaces(void **state)
{
    struct device *d = *state;
    struct rid rid = published(d, "note", "one");
    (void)published(d, "note.tmp", "two");
    uint64_t before = changes(d);
    device_rename(d, "note.tmp", "note");
    assert_saved(d, &rid, "two", 2);
    assert_int_equal(changes(d), before + 1);
    /* Again and again, by one that was published empty, or in part. */
    (void)published(d, "note.tmp", "");
    device_save_text(d, "note.tmp", "three");
    device_rename(d, "note.tmp", "note");
    assert_saved(d, &rid, "three", 3);
    (void)published(d, "note.tmp", "fo");
    device_save_text(d, "note.tmp", "four");
    publish_all(d);
    device_rename(d, "note.tmp", "note");
    assert_saved(d, &rid, "four", 4);
}

static void publish_slow_temporary_of_many_chunks(void **state)
{
    enum { BYTES = 1 << 20 };
    struct device *d = *state;
    uint8_t *p = malloc(BYTES), *is = malloc(BYTES);
    struct rid rid = published(d, "note", "one");
    assert_true(p != NULL && is != NULL);
    randombytes_buf(p, BYTES);
    device_save(d, "note.tmp", p, BYTES);
    publish_all(d);
    device_rename(d, "note.tmp", "note");
    publish_all(d);
    assert_same_record(d, "note", &rid);
    assert_none(d, "note.tmp");
    assert_int_equal(tree_read(d->s->tree, device_ino(d, "note"), 0, is, BYTES), BYTES);
    assert_memory_equal(p, is, BYTES);
    free(p);
    free(is);
}

static void publish_slow_temporaries_one_after_the_other_before_any_is_published(void **state)
{
    struct device *d = *state;
    struct rid rid = published(d, "note", "one");
    (void)published(d, "note.tmp", "two");
    (void)published(d, "more.tmp", "three");
    publisher_hold(d->s);
    device_rename(d, "note.tmp", "note");
    device_rename(d, "more.tmp", "note");
    publisher_release(d->s);
    assert_saved(d, &rid, "three", 2);
    assert_none(d, "more.tmp");
}

static void publish_slow_temporary_put_at_the_name_that_the_old_file_left(void **state)
{
    struct device *d = *state;
    struct rid rid = published(d, "note", "one");
    (void)published(d, "note.tmp", "two");
    publisher_hold(d->s);
    device_rename(d, "note", "note~");
    device_rename(d, "note.tmp", "note");
    publisher_release(d->s);
    assert_saved(d, &rid, "two", 2);
    assert_text(d, "note~", "one");
    (void)published(d, "note.tmp", "three");
    publisher_hold(d->s);
    device_unlink(d, "note");
    device_rename(d, "note.tmp", "note");
    publisher_release(d->s);
    assert_saved(d, &rid, "three", 3);
}

/* The publisher finds it at the next start. */
static void publish_slow_temporary_after_a_restart(void **state)
{
    struct device *d = *state;
    struct rid rid = published(d, "note", "one");
    (void)published(d, "note.tmp", "two");
    publisher_hold(d->s);
    device_rename(d, "note.tmp", "note");
    struct attr a;
    CLEANUP(buf_fini) struct buf value = {0};
    assert_int_equal(tree_getattr(d->s->tree, device_ino(d, "note"), &a), 0);
    attr_encode(&a, &value);
    struct attr again;
    assert_int_equal(attr_decode(buf_bytes(&value), a.ino, &again), 0);
    assert_true(a.has_over && again.has_over);
    assert_memory_equal(&a.over, &again.over, sizeof a.over);
    publisher_release(d->s);
    device_reopen(d);
    assert_saved(d, &rid, "two", 2);
}

static void publish_slow_temporary_that_goes_on_to_another_name(void **state)
{
    struct device *d = *state;
    (void)published(d, "note", "one");
    struct rid tmp = published(d, "note.tmp", "two");
    publisher_hold(d->s);
    device_rename(d, "note.tmp", "note");
    device_rename(d, "note", "other");
    publisher_release(d->s);
    publish_all(d);
    assert_same_record(d, "other", &tmp);
    assert_text(d, "other", "two");
    assert_int_equal(count_entries(d, ""), 1);
    /* And later back, when that is no save. */
    struct rid note = published(d, "note", "three");
    make_old(d, "other");
    device_rename(d, "other", "note");
    publish_all(d);
    assert_same_record(d, "note", &tmp);
    assert_int_not_equal(rid_cmp(&note, &tmp), 0);
    assert_text(d, "note", "two");
}

static void publish_old_file_renamed_over_another_moves_its_record(void **state)
{
    struct device *d = *state;
    struct rid a = published(d, "a", "a");
    (void)published(d, "note", "one");
    make_old(d, "a");
    device_rename(d, "a", "note");
    publish_all(d);
    assert_same_record(d, "note", &a);
    assert_text(d, "note", "a");
    assert_int_equal(count_entries(d, ""), 1);
    /* One that is saved by new files is as old as its record. */
    (void)published(d, "other", "other");
    device_save_text(d, "note.tmp", "two");
    device_rename(d, "note.tmp", "note");
    publish_all(d);
    assert_same_record(d, "note", &a);
    device_rename(d, "note", "other");
    publish_all(d);
    assert_same_record(d, "other", &a);
    assert_text(d, "other", "two");
}

/* Its content is big, and is not published between two other things: nor is its new name then. */
static void publish_old_file_takes_a_name_when_its_content_is_out(void **state)
{
    struct device *d = *state;
    struct rid a = published(d, "a", "a"), note = published(d, "note", "one");
    struct replica_info info;
    uint8_t *big = malloc(BIG);
    assert_non_null(big);
    randombytes_buf(big, BIG);
    make_old(d, "a");
    publisher_hold(d->s);
    device_save(d, "a", big, BIG);
    device_rename(d, "a", "note");
    assert_int_equal(publisher_catch_up(d->s), 0);
    assert_same_record(d, "note", &note);
    publisher_release(d->s);
    publish_all(d);
    assert_same_record(d, "note", &a);
    assert_int_equal(replica_stat(d->s->replica, &a, &info), 0);
    assert_int_equal(info.content.size, BIG);
    assert_int_equal(count_entries(d, ""), 1);
    free(big);
}

static void publish_slow_temporary_with_or_over_a_hard_link(void **state)
{
    struct device *d = *state;
    struct attr a;
    (void)published(d, "note", "one");
    struct rid tmp = published(d, "note.tmp", "two");
    assert_int_equal(
        tree_link(d->s->tree, device_ino(d, "note.tmp"), TREE_ROOT, bytes_str("again"), &a), 0);
    publish_all(d);
    device_rename(d, "note.tmp", "note");
    publish_all(d);
    assert_same_record(d, "note", &tmp);
    assert_same_record(d, "again", &tmp);
    assert_text(d, "again", "two");
    struct rid third = published(d, "note.tmp", "three");
    uint64_t before = changes(d);
    device_rename(d, "note.tmp", "note");
    publish_all(d);
    assert_text(d, "note", "three");
    assert_same_record(d, "note", &third);
    assert_int_equal(changes(d), before + 1); /* the name is never gone */
    assert_same_record(d, "again", &tmp);
    assert_text(d, "again", "two");
    assert_int_equal(count_entries(d, ""), 2);
}

static void publish_exchange_is_an_edit_of_each_record(void **state)
{
    struct device *d = *state;
    struct rid rid = published(d, "note", "one"), tmp = published(d, "note.tmp", "two");
    exchange(d, "note.tmp", "note");
    publish_all(d);
    publish_all(d);
    assert_same_record(d, "note", &rid);
    assert_same_record(d, "note.tmp", &tmp);
    assert_text(d, "note", "two");
    assert_text(d, "note.tmp", "one");
    /* Back, before that is published. */
    publisher_hold(d->s);
    exchange(d, "note.tmp", "note");
    exchange(d, "note.tmp", "note");
    publisher_release(d->s);
    publish_all(d);
    assert_same_record(d, "note", &rid);
    assert_text(d, "note", "two");
    /* As a save: what was there is deleted. */
    exchange(d, "note.tmp", "note");
    device_unlink(d, "note.tmp");
    assert_saved(d, &rid, "one", 3);
}

/* ---- */

static void publish_file_that_takes_the_place_of_a_folder_is_a_new_record(void **state)
{
    struct device *d = *state;
    device_make(d, "x", S_IFDIR | 0755);
    device_save_text(d, "x/f", "f");
    publish_all(d);
    device_unlink(d, "x/f");
    device_rmdir(d, "x");
    device_save_text(d, "x", "now a file");
    publish_all(d);
    struct rid rid;
    assert_true(record_at(d, "x", &rid));
    assert_int_equal(rid_kind(&rid), KIND_FILE);
    assert_int_equal(count_entries(d, ""), 1);
}

static void publish_what_was_pending_at_a_restart_is_published(void **state)
{
    struct device *d = *state;
    for (int i = 0; i < 20; i++) {
        char path[32];
        snprintf(path, sizeof path, "f%d", i);
        device_save_text(d, path, path);
    }
    device_reopen(d);
    publish_all(d);
    assert_int_equal(count_entries(d, ""), 20);
}

/* Programs use the folder for so long, or until a file has so many versions. */
static bool use_until(struct device *d, const char *path, int versions, int ms)
{
    bool reached = false;
    for (int i = 0; i < ms && !reached; i++) {
        space_use(d->s);
        space_used(d->s);
        usleep(1000);
        pthread_mutex_lock(&d->s->lock);
        reached = count_versions(d, path) == versions;
        pthread_mutex_unlock(&d->s->lock);
    }
    return reached;
}

static void publish_small_save_goes_before_the_rest_of_a_big_file(void **state)
{
    enum { BIG_BYTES = 32 << 20 };
    struct device *d = *state;
    published(d, "note", "one");
    publisher_release(d->s); /* tests hold it */
    uint8_t *p = malloc(BIG_BYTES);
    assert_non_null(p);
    randombytes_buf(p, BIG_BYTES);
    device_save(d, "big", p, BIG_BYTES);
    free(p);
    assert_false(use_until(d, "note", 2, 300)); /* by then it is at work on the big one */
    device_save_text(d, "note", "two");
    assert_true(use_until(d, "note", 2, 3000));
    assert_false(is_recorded(d, "big"));
    publisher_hold(d->s);
    publish_all(d);
    assert_int_equal(count_versions(d, "big"), 1);
}

static void publish_big_file_stands_back_while_a_request_is_answered(void **state)
{
    enum { BIG_BYTES = 8 << 20 };
    struct device *d = *state;
    uint8_t *p = malloc(BIG_BYTES);
    assert_non_null(p);
    randombytes_buf(p, BIG_BYTES);
    publisher_release(d->s); /* tests hold it */
    space_use(d->s);         /* a long one, and no other comes */
    device_save(d, "big", p, BIG_BYTES);
    free(p);
    for (int i = 0; i < 2000; i++) { /* patience is longer */
        assert_false(is_recorded(d, "big"));
        usleep(1000);
    }
    space_used(d->s);
    for (int i = 0; i < 20000 && !is_recorded(d, "big"); i++)
        usleep(1000);
    assert_true(is_recorded(d, "big"));
    publisher_hold(d->s);
}

/* ---- many at once ---- */

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, published_setup, published_teardown)
    const struct CMUnitTest tests[] = {
        CASE(publish_save_in_place_is_one_version),
        CASE(publish_temporary_renamed_over_is_an_edit_of_the_same_record),
        CASE(publish_renamed_away_and_written_anew_is_an_edit_of_the_same_record),
        CASE(publish_renamed_away_and_kept_makes_the_old_file_a_new_record),
        CASE(publish_renamed_away_and_written_on_is_not_the_content_of_the_new_file),
        CASE(publish_deleted_and_created_continues_the_record),
        CASE(publish_probe_that_is_gone_again_leaves_nothing),
        CASE(publish_rename_of_a_folder_is_one_change_whatever_it_holds),
        CASE(publish_rename_to_a_new_name_moves_the_record),
        CASE(publish_folder_removed_with_all_in_it_leaves_no_record),
        CASE(publish_file_moved_out_of_a_removed_folder_keeps_its_record),
        CASE(publish_file_that_grows_behind_a_hole),
        CASE(publish_moved_folder_at_once),
        CASE(publish_emptied_file_waits_for_its_writer),
        CASE(publish_emptied_file_of_a_writer_that_died_keeps_the_old_version),
        CASE(publish_what_was_written_stays_here_when_its_writer_died),
        CASE(publish_what_was_appended_before_its_writer_died),
        CASE(publish_first_bytes_of_a_file_whose_writer_died),
        CASE(publish_temporary_renamed_over_before_its_writer_died),
        CASE(publish_hard_link_is_a_second_name_of_the_record),
        CASE(publish_exchange_of_two_names_keeps_both_records),
        CASE(publish_slow_temporary_is_one_edit_of_the_record_it_replaces),
        CASE(publish_slow_temporary_of_many_chunks),
        CASE(publish_slow_temporaries_one_after_the_other_before_any_is_published),
        CASE(publish_slow_temporary_put_at_the_name_that_the_old_file_left),
        CASE(publish_slow_temporary_after_a_restart),
        CASE(publish_slow_temporary_that_goes_on_to_another_name),
        CASE(publish_old_file_renamed_over_another_moves_its_record),
        CASE(publish_old_file_takes_a_name_when_its_content_is_out),
        CASE(publish_slow_temporary_with_or_over_a_hard_link),
        CASE(publish_exchange_is_an_edit_of_each_record),
        CASE(publish_file_that_takes_the_place_of_a_folder_is_a_new_record),
        CASE(publish_what_was_pending_at_a_restart_is_published),
        CASE(publish_small_save_goes_before_the_rest_of_a_big_file),
        CASE(publish_big_file_stands_back_while_a_request_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
