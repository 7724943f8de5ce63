/*
 * Two devices do one thing each, apart, then meet: every row of the tables of pairs in
 * fs/replica/README.md.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/replica_world.h"

/* a/ with g in it, b/, f: on both devices. */
static int setup(void **state)
{
    struct world *w = world_new(2);
    if (world_mkdir(w, 0, "/a") != 0 || world_create(w, 0, "/a/g", "g0") != 0 ||
        world_mkdir(w, 0, "/b") != 0 || world_create(w, 0, "/f", "f0") != 0)
        return -1;
    world_meet(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

#define DO(call) assert_int_equal(call, 0)
#define HAS(path, content) assert_true(world_has(w, 0, path, content))
#define GONE(path) assert_int_equal(world_find(w, 0, path, &(struct replica_entry){0}), -ENOENT)
#define THERE(path) assert_int_equal(world_find(w, 0, path, &(struct replica_entry){0}), 0)

/* Everything meets and is resolved; @entries are shown, @conflicts of them under conflict names. */
static void meet(struct world *w, int entries, int conflicts)
{
    int named;
    world_quiesce(w, RESOLVE_KEEP_BOTH);
    assert_int_equal(world_count(w, 0, &named), entries);
    assert_int_equal(named, conflicts);
}

static void edit_edit_keeps_both(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "one"));
    DO(world_edit(w, 1, "/f", "two"));
    meet(w, 5, 1);
    HAS("/f", "two"); /* the later one */
    assert_true(world_has(w, 1, "/f (conflict from dev1 2026-11-22 14.04.10)", "one"));
}

static void edit_edit_with_equal_bytes_is_no_conflict(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "same"));
    DO(world_edit(w, 1, "/f", "same"));
    meet(w, 4, 0);
    HAS("/f", "same");
}

static void edit_move_both_hold(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "one"));
    DO(world_mv(w, 1, "/f", "/b/h"));
    meet(w, 4, 0);
    HAS("/b/h", "one");
}

static void edit_delete_lives_with_the_edit(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "one"));
    DO(world_rm(w, 1, "/f"));
    meet(w, 4, 0);
    HAS("/f", "one");
}

static void delete_after_edit_was_seen_is_final(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "one"));
    world_meet(w);
    DO(world_rm(w, 1, "/f"));
    meet(w, 3, 0);
    GONE("/f");
}

static void move_move_later_holds(void **state)
{
    struct world *w = *state;
    DO(world_mv(w, 0, "/f", "/b/one"));
    DO(world_mv(w, 1, "/f", "/two"));
    meet(w, 4, 0);
    HAS("/two", "f0");
    GONE("/b/one");
}

static void move_delete_lives_where_it_was_moved(void **state)
{
    struct world *w = *state;
    DO(world_mv(w, 0, "/f", "/b/one"));
    DO(world_rm(w, 1, "/f"));
    meet(w, 4, 0);
    HAS("/b/one", "f0");
}

static void delete_delete_is_dead(void **state)
{
    struct world *w = *state;
    DO(world_rm(w, 0, "/f"));
    DO(world_rm(w, 1, "/f"));
    meet(w, 3, 0);
}

static void delete_create_continues_the_record(void **state)
{
    struct world *w = *state;
    DO(world_rm(w, 0, "/f"));
    DO(world_rm(w, 1, "/f"));
    DO(world_create(w, 1, "/f", "new"));
    meet(w, 4, 0);
    HAS("/f", "new");
}

static void create_create_is_one_record_with_a_conflict(void **state)
{
    struct world *w = *state;
    struct replica_entry x, y;
    DO(world_create(w, 0, "/n", "one"));
    DO(world_create(w, 1, "/n", "two"));
    DO(world_find(w, 0, "/n", &x));
    DO(world_find(w, 1, "/n", &y));
    assert_true(rid_equal(&x.rid, &y.rid));
    meet(w, 6, 1);
    HAS("/n", "two");
}

static void create_mkdir_at_one_path_directory_keeps_the_name(void **state)
{
    struct world *w = *state;
    DO(world_mkdir(w, 0, "/n"));
    DO(world_create(w, 1, "/n", "file"));
    world_meet(w);
    struct replica_entry e;
    DO(world_find(w, 0, "/n", &e));
    assert_true(rid_is_dir(&e.rid));
    meet(w, 6, 1);
}

static void create_edit_of_one_record_is_a_conflict(void **state)
{
    struct world *w = *state;
    DO(world_rm(w, 0, "/f"));
    DO(world_create(w, 0, "/f", "anew"));
    DO(world_edit(w, 1, "/f", "edit"));
    meet(w, 5, 1);
    HAS("/f", "edit");
}

static void create_at_a_path_moved_away_is_two_records(void **state)
{
    struct world *w = *state;
    DO(world_mv(w, 0, "/f", "/h"));
    DO(world_create(w, 0, "/f", "anew"));
    DO(world_edit(w, 1, "/f", "edit"));
    meet(w, 5, 0);
    HAS("/f", "anew");
    HAS("/h", "edit");
}

static void mkdir_mkdir_is_one_directory_with_both_contents(void **state)
{
    struct world *w = *state;
    DO(world_mkdir(w, 0, "/d"));
    DO(world_create(w, 0, "/d/one", "1"));
    DO(world_mkdir(w, 1, "/d"));
    DO(world_create(w, 1, "/d/two", "2"));
    meet(w, 7, 0);
    HAS("/d/one", "1");
    HAS("/d/two", "2");
}

static void moves_into_each_other_later_stays_where_it_was(void **state)
{
    struct world *w = *state;
    struct replica_entry e;
    struct replica_info info;
    DO(world_mv(w, 0, "/a", "/b/a"));
    DO(world_mv(w, 1, "/b", "/a/b"));
    meet(w, 4, 0);
    HAS("/b/a/g", "g0");
    DO(world_find(w, 0, "/b", &e));
    DO(replica_stat(w->d[0].r, &e.rid, &info));
    assert_true(info.suspended);
    DO(world_mv(w, 0, "/b", "/c")); /* a local move takes place, suspended or not */
    meet(w, 4, 0);
    HAS("/c/a/g", "g0");
}

static void move_under_a_suspended_directory_moves_what_is_shown(void **state)
{
    struct world *w = *state;
    DO(world_mv(w, 0, "/a", "/b/a"));
    DO(world_mv(w, 1, "/b", "/a/b")); /* the later: /b stays */
    world_meet(w);
    w->d[0].ahead_ms = -3600 * 1000;
    DO(world_mv(w, 0, "/b/a", "/a")); /* the cycle is gone, and /b is where it was shown */
    meet(w, 4, 0);
    HAS("/a/g", "g0");
    THERE("/b");
    GONE("/a/b");
}

static void rmdir_create_below_directory_lives(void **state)
{
    struct world *w = *state;
    struct replica_entry e;
    struct replica_info info;
    DO(world_rmtree(w, 0, "/a"));
    DO(world_create(w, 1, "/a/n", "new"));
    meet(w, 4, 0);
    HAS("/a/n", "new");
    GONE("/a/g");
    DO(world_find(w, 0, "/a", &e));
    DO(replica_stat(w->d[0].r, &e.rid, &info));
    assert_true(info.shown && !info.alive);
    DO(world_rm(w, 1, "/a/n")); /* by a device that uses it: so it is alive again */
    meet(w, 3, 0);
    THERE("/a");
}

static void rmdir_move_in_directory_lives(void **state)
{
    struct world *w = *state;
    DO(world_rmtree(w, 0, "/b"));
    DO(world_mv(w, 1, "/f", "/b/f"));
    meet(w, 4, 0);
    HAS("/b/f", "f0");
}

static void rmdir_edit_below_directory_lives(void **state)
{
    struct world *w = *state;
    DO(world_rmtree(w, 0, "/a"));
    DO(world_edit(w, 1, "/a/g", "g1"));
    meet(w, 4, 0);
    HAS("/a/g", "g1");
}

static void rmdir_rename_directory_lives_without_what_was_deleted(void **state)
{
    struct world *w = *state;
    DO(world_rmtree(w, 0, "/a"));
    DO(world_mv(w, 1, "/a", "/c"));
    meet(w, 3, 0);
    THERE("/c");
    GONE("/c/g");
}

static void two_records_moved_to_one_path_later_has_a_conflict_name(void **state)
{
    struct world *w = *state;
    DO(world_mv(w, 0, "/f", "/x"));
    DO(world_mv(w, 1, "/a/g", "/x"));
    meet(w, 4, 1);
    HAS("/x", "f0");
}

static void what_shares_a_name_keeps_its_conflict_name_when_the_other_leaves(void **state)
{
    struct world *w = *state;
    int conflicts;
    DO(world_mv(w, 0, "/f", "/x"));
    DO(world_mv(w, 1, "/a/g", "/x"));
    meet(w, 4, 1);
    DO(world_rm(w, 0, "/x"));
    GONE("/x");
    assert_int_equal(world_count(w, 0, &conflicts), 3);
    assert_int_equal(conflicts, 1);
    DO(world_create(w, 0, "/x", "new"));
    meet(w, 4, 1);
    HAS("/x", "new");
}

/* The path of the entry whose name contains "(conflict". */
static void conflict_path(struct world *w, int i, char ret[1024])
{
    size_t n;
    char **paths = world_paths(w, i, &n);
    ret[0] = '\0';
    for (size_t k = 0; k < n; k++)
        if (strstr(paths[k], "(conflict") != NULL && strchr(paths[k] + 1, '/') == NULL)
            snprintf(ret, 1024, "%s", paths[k]);
    world_paths_free(paths, n);
    assert_true(ret[0] != '\0');
}

/*
 * /x twice, the later one under a conflict name; it was deleted, and is shown for the directory c
 * that device 0 has made in it. @ret: its path there.
 */
static void deleted_directory_that_wants_x(struct world *w, char ret[1024], char ret_c[1100])
{
    DO(world_mkdir(w, 1, "/x"));
    DO(world_mv(w, 0, "/b", "/x"));
    world_meet(w);
    conflict_path(w, 0, ret);
    snprintf(ret_c, 1100, "%s/c", ret);
    DO(world_mkdir(w, 0, ret_c));
    DO(world_rm(w, 1, ret));
    world_pull(w, 0, 1, -1);
    conflict_path(w, 0, ret); /* its date is that of the deletion now */
    snprintf(ret_c, 1100, "%s/c", ret);
    THERE(ret_c);
}

static void move_from_a_deleted_directory_over_a_name_it_wants_revives_it(void **state)
{
    struct world *w = *state;
    char dir[1024], c[1100];
    deleted_directory_that_wants_x(w, dir, c);
    DO(world_mv(w, 0, c, "/x"));
    THERE("/x");
    conflict_path(w, 0, dir);
    world_meet(w);
    conflict_path(w, 1, dir);
}

static void exchange_from_a_deleted_directory_with_a_name_it_wants_revives_it(void **state)
{
    struct world *w = *state;
    char dir[1024], c[1100];
    deleted_directory_that_wants_x(w, dir, c);
    DO(world_swap(w, 0, c, "/x"));
    conflict_path(w, 0, dir);
    snprintf(c, sizeof c, "%s/c", dir);
    DO(world_rm(w, 0, c));
    conflict_path(w, 0, dir);
    world_meet(w);
    conflict_path(w, 1, dir);
}

static void rename_over_edited_file_keeps_the_edit(void **state)
{
    struct world *w = *state;
    DO(world_mv(w, 0, "/f", "/a/g"));
    DO(world_edit(w, 1, "/a/g", "g1"));
    meet(w, 4, 1);
    HAS("/a/g", "f0");
}

static void unlink_of_each_of_two_names_keeps_the_content(void **state)
{
    struct world *w = *state;
    DO(world_ln(w, 0, "/f", "/h"));
    world_meet(w);
    DO(world_rm(w, 0, "/f"));
    DO(world_rm(w, 1, "/h"));
    meet(w, 4, 0);
    HAS("/h", "f0"); /* unlinked later */
}

static void unlink_of_one_name_with_edit_keeps_the_edit(void **state)
{
    struct world *w = *state;
    DO(world_ln(w, 0, "/f", "/h"));
    world_meet(w);
    DO(world_rm(w, 0, "/h"));
    DO(world_edit(w, 1, "/h", "f1"));
    meet(w, 4, 0);
    HAS("/f", "f1");
}

static void resolve_resolve_is_one_outcome(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "one"));
    DO(world_edit(w, 1, "/f", "two"));
    world_meet(w);
    assert_int_equal(world_resolve(w, 0, RESOLVE_KEEP_BOTH), 1);
    assert_int_equal(world_resolve(w, 1, RESOLVE_KEEP_BOTH), 1);
    meet(w, 5, 1);
}

static void resolve_delete_stays_dead(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "one"));
    DO(world_edit(w, 1, "/f", "two"));
    world_meet(w);
    assert_int_equal(world_resolve(w, 0, RESOLVE_KEEP_BOTH), 1);
    DO(world_rm(w, 1, "/f")); /* with its sibling made first, which stays */
    meet(w, 4, 1);
    GONE("/f");
}

static void delete_in_an_open_conflict_makes_the_siblings(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "one"));
    DO(world_edit(w, 1, "/f", "two"));
    world_meet(w);
    DO(world_rm(w, 0, "/f")); /* whoever deletes saw "two" alone */
    meet(w, 4, 1);
    HAS("/f (conflict from dev1 2026-11-22 14.04.10)", "one");
}

static void sibling_deleted_by_a_user_stays_deleted(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "one"));
    DO(world_edit(w, 1, "/f", "two"));
    world_meet(w);
    assert_int_equal(world_resolve(w, 0, RESOLVE_KEEP_BOTH), 1);
    DO(world_rm(w, 0, "/f (conflict from dev1 2026-11-22 14.04.10)"));
    assert_int_equal(world_resolve(w, 1, RESOLVE_KEEP_BOTH), 1);
    meet(w, 4, 0);
    HAS("/f", "two");
}

static void resolve_edit_of_one_input_is_a_conflict(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "one"));
    world_pull(w, 1, 0, -1);
    DO(world_edit(w, 1, "/a/g", "x"));
    DO(world_edit(w, 0, "/f", "one more"));
    DO(world_edit(w, 1, "/f", "two"));
    world_pull(w, 0, 1, -1);
    assert_int_equal(world_resolve(w, 0, RESOLVE_MERGED), 1);
    DO(world_edit(w, 1, "/f", "two more"));
    meet(w, 5, 1);
    HAS("/f", "two more");
}

static void merge_ends_the_conflict(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "one"));
    DO(world_edit(w, 1, "/f", "two"));
    world_quiesce(w, RESOLVE_MERGED);
    assert_int_equal(world_count(w, 0, NULL), 4);
    HAS("/f", "merged");
}

static void save_in_an_open_conflict_makes_the_siblings(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "one"));
    DO(world_edit(w, 1, "/f", "two"));
    world_meet(w);
    DO(world_edit(w, 0, "/f", "three"));
    meet(w, 5, 1);
    HAS("/f", "three");
    HAS("/f (conflict from dev1 2026-11-22 14.04.10)", "one");
}

static void chmod_delete_is_dead(void **state)
{
    struct world *w = *state;
    DO(world_chmod(w, 0, "/f", 0600));
    DO(world_rm(w, 1, "/f"));
    meet(w, 3, 0);
}

static void exchange_of_names_holds_with_an_edit(void **state)
{
    struct world *w = *state;
    DO(world_swap(w, 0, "/f", "/a/g"));
    DO(world_edit(w, 1, "/f", "f1"));
    meet(w, 4, 0);
    HAS("/a/g", "f1");
    HAS("/f", "g0");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(edit_edit_keeps_both),
        TEST(edit_edit_with_equal_bytes_is_no_conflict),
        TEST(edit_move_both_hold),
        TEST(edit_delete_lives_with_the_edit),
        TEST(delete_after_edit_was_seen_is_final),
        TEST(move_move_later_holds),
        TEST(move_delete_lives_where_it_was_moved),
        TEST(delete_delete_is_dead),
        TEST(delete_create_continues_the_record),
        TEST(create_create_is_one_record_with_a_conflict),
        TEST(create_mkdir_at_one_path_directory_keeps_the_name),
        TEST(create_edit_of_one_record_is_a_conflict),
        TEST(create_at_a_path_moved_away_is_two_records),
        TEST(mkdir_mkdir_is_one_directory_with_both_contents),
        TEST(moves_into_each_other_later_stays_where_it_was),
        TEST(move_under_a_suspended_directory_moves_what_is_shown),
        TEST(rmdir_create_below_directory_lives),
        TEST(rmdir_move_in_directory_lives),
        TEST(rmdir_edit_below_directory_lives),
        TEST(rmdir_rename_directory_lives_without_what_was_deleted),
        TEST(two_records_moved_to_one_path_later_has_a_conflict_name),
        TEST(what_shares_a_name_keeps_its_conflict_name_when_the_other_leaves),
        TEST(move_from_a_deleted_directory_over_a_name_it_wants_revives_it),
        TEST(exchange_from_a_deleted_directory_with_a_name_it_wants_revives_it),
        TEST(rename_over_edited_file_keeps_the_edit),
        TEST(unlink_of_each_of_two_names_keeps_the_content),
        TEST(unlink_of_one_name_with_edit_keeps_the_edit),
        TEST(resolve_resolve_is_one_outcome),
        TEST(resolve_delete_stays_dead),
        TEST(delete_in_an_open_conflict_makes_the_siblings),
        TEST(sibling_deleted_by_a_user_stays_deleted),
        TEST(resolve_edit_of_one_input_is_a_conflict),
        TEST(merge_ends_the_conflict),
        TEST(save_in_an_open_conflict_makes_the_siblings),
        TEST(chmod_delete_is_dead),
        TEST(exchange_of_names_holds_with_an_edit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
