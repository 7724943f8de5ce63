/*
 * What becomes of two edits: the table of sync/README.md, a test for each row. Anna and Bert have
 * the same, and each does something that the other does not see; then they, and Carl, hear of it.
 * Each row is played twice: with the news in one order and in the other. All three must have the
 * same. Each play has a folder of its own, which no name that is written here says.
 *
 * What people do is written as "VERB PATH …; …", see act(); a '|' in a content is the end of a
 * line.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/merger.h"
#include "tests/support/sync_meet.h"

enum { ANNA, BERT, CARL, DEVICES, WORDS_MAX = 3, ENTRIES_MAX = 32, PATH_SIZE = 64 };

static struct sync_meet members;
static char home[32]; /* of this play */

static void path_of(const char *name, char ret[PATH_SIZE])
{
    int n = snprintf(ret, PATH_SIZE, "%s/%s", home, name);
    assert_in_range(n, 1, PATH_SIZE - 1);
}

/* ---- what people do ----------------------------------------------------------------------------
 */

static void lines_of(char *text)
{
    for (char *p = text; *p != '\0'; p++)
        *p = *p == '|' ? '\n' : *p;
}

static void link_name(struct device *d, const char *from, const char *to)
{
    struct attr a;
    assert_null(strchr(to, '/'));
    assert_int_equal(
        tree_link(d->s->tree, device_ino(d, from), device_ino(d, home), bytes_str(to), &a), 0);
}

static void change_mode(struct device *d, const char *path, const char *mode)
{
    struct tree_set set = {.what = TREE_SET_MODE, .mode = (uint32_t)strtoul(mode, NULL, 8)};
    struct attr a;
    assert_int_equal(tree_setattr(d->s->tree, device_ino(d, path), &set, &a), 0);
}

static void save(struct device *d, const char *path, char *text)
{
    lines_of(text);
    device_save_text(d, path, text);
}

/* As most editors save: a new file takes the place of the old one. */
static void replace(struct device *d, const char *path, char *text)
{
    char other[PATH_SIZE];
    path_of("new", other);
    save(d, other, text);
    device_rename(d, other, path);
}

/* The same by a program that is slow: others have its new file before it takes the place. */
static void replace_slowly(struct device *d, const char *path, char *text)
{
    char other[PATH_SIZE];
    path_of("new", other);
    device_save_text(d, other, "");
    assert_int_equal(publisher_flush(d->s), 0);
    save(d, other, text);
    device_rename(d, other, path);
}

/* A file that was just made is one that was made an hour ago. */
static void age(struct device *d, const char *path)
{
    struct op x;
    struct attr *a;
    assert_int_equal(op_begin(d->s->tree, false, &x), 0);
    assert_int_equal(op_add(&x, device_ino(d, path), &a), 0);
    a->btime.tv_sec -= 3600;
    op_put(&x, a);
    assert_int_equal(op_commit(&x), 0);
}

static void act_one(struct device *d, char *word[WORDS_MAX])
{
    const char *verb = word[0];
    char path[PATH_SIZE], to[PATH_SIZE];
    assert_non_null(word[1]);
    path_of(word[1], path);
    if (strcmp(verb, "mkdir") == 0) {
        device_make(d, path, S_IFDIR | 0755);
    } else if (strcmp(verb, "symlink") == 0) {
        device_make(d, path, S_IFLNK | 0777);
    } else if (strcmp(verb, "rm") == 0) {
        device_unlink(d, path);
    } else if (strcmp(verb, "rmdir") == 0) {
        device_rmdir(d, path);
    } else if (strcmp(verb, "age") == 0) {
        age(d, path);
    } else if (word[2] == NULL) {
        fail_msg("%s %s, and what?", verb, word[1]);
    } else if (strcmp(verb, "save") == 0) {
        save(d, path, word[2]);
    } else if (strcmp(verb, "replace") == 0) {
        replace(d, path, word[2]);
    } else if (strcmp(verb, "slow") == 0) {
        replace_slowly(d, path, word[2]);
    } else if (strcmp(verb, "mv") == 0) {
        path_of(word[2], to);
        device_rename(d, path, to);
    } else if (strcmp(verb, "ln") == 0) {
        link_name(d, path, word[2]);
    } else if (strcmp(verb, "chmod") == 0) {
        change_mode(d, path, word[2]);
    } else {
        fail_msg("%s?", verb);
    }
}

/* Everything is published at its end, and its stamps are later than all before. */
static void act(struct device *d, const char *acts)
{
    char copy[512], *next = copy;
    assert_true((size_t)snprintf(copy, sizeof copy, "%s", acts) < sizeof copy);
    usleep(2000); /* stamps count milliseconds */
    for (char *one; (one = strsep(&next, ";")) != NULL;) {
        char *word[WORDS_MAX] = {NULL}, *save = NULL, *p = strtok_r(one, " ", &save);
        for (int i = 0; i < WORDS_MAX && p != NULL; i++, p = strtok_r(NULL, " ", &save))
            word[i] = p;
        if (word[0] != NULL)
            act_one(d, word);
    }
    assert_int_equal(publisher_flush(d->s), 0);
}

/* ---- what is shown -----------------------------------------------------------------------------
 */

struct shown {
    char name[256];
    struct attr attr;
};

struct listing {
    struct shown v[ENTRIES_MAX];
    size_t n;
};

static bool add_entry(void *arg, const struct tree_entry *e)
{
    struct listing *l = arg;
    if (bytes_equal(e->name, bytes_str(".")) || bytes_equal(e->name, bytes_str("..")))
        return true;
    assert_true(l->n < ENTRIES_MAX);
    struct shown *to = &l->v[l->n++];
    memcpy(to->name, e->name.p, e->name.n);
    to->name[e->name.n] = '\0';
    to->attr = *e->attr;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct shown *)a)->name, ((const struct shown *)b)->name);
}

static void put(struct buf *to, const char *text)
{
    buf_put(to, text, strlen(text));
}

/* "stem (conflict from anna 2026-…).ext" is "stem (anna).ext". */
static void put_name(struct buf *to, const char *name)
{
    const char *mark = " (conflict from ", *at = strstr(name, mark);
    if (at == NULL) {
        put(to, name);
        return;
    }
    const char *label = at + strlen(mark), *end = strchr(at, ')');
    assert_non_null(end);
    buf_put(to, name, (size_t)(at - name));
    put(to, " (");
    buf_put(to, label, strcspn(label, " "));
    put(to, end);
}

static void put_text(struct buf *to, struct device *d, uint64_t ino)
{
    char text[256];
    int64_t n = tree_read_unseen(d->s->tree, ino, 0, text, sizeof text);
    assert_in_range(n, 0, sizeof text - 1);
    for (int64_t i = 0; i < n; i++)
        text[i] = text[i] == '\n' ? '|' : text[i];
    buf_put(to, text, (size_t)n);
}

static void put_file(struct buf *to, struct device *d, const struct attr *a)
{
    char more[32];
    put(to, S_ISLNK(a->mode) ? " -> " : " = ");
    if (S_ISLNK(a->mode))
        assert_int_equal(tree_readlink(d->s->tree, a->ino, to), 0);
    else
        put_text(to, d, a->ino);
    snprintf(more, sizeof more, " %o", a->mode & 07777);
    if (S_ISREG(a->mode) && (a->mode & 07777) != 0644)
        put(to, more);
    if (a->nlink > 1)
        put(to, " linked");
    put(to, "\n");
}

static void put_dir(struct buf *to, struct device *d, uint64_t dir, const char *path)
{
    struct listing *l = calloc(1, sizeof *l);
    assert_non_null(l);
    assert_int_equal(tree_list(d->s->tree, dir, 0, true, add_entry, l), 0);
    qsort(l->v, l->n, sizeof l->v[0], by_name);
    for (size_t i = 0; i < l->n; i++) {
        struct buf at CLEANUP(buf_fini) = {0};
        put(&at, path);
        put_name(&at, l->v[i].name);
        buf_put_bytes(to, buf_bytes(&at));
        if (S_ISDIR(l->v[i].attr.mode)) {
            put(to, "/\n");
            put(&at, "/");
            buf_put_u8(&at, 0);
            put_dir(to, d, l->v[i].attr.ino, (const char *)at.p);
        } else {
            put_file(to, d, &l->v[i].attr);
        }
    }
    free(l);
}

static void expect_tree(struct device *d, const char *tree)
{
    struct buf is CLEANUP(buf_fini) = {0};
    put_dir(&is, d, device_ino(d, home), "");
    buf_put_u8(&is, 0);
    assert_int_equal(buf_status(&is), 0);
    if (strcmp((const char *)is.p, tree) != 0)
        fail_msg("%s has\n%sand not\n%s", d->s->label, (const char *)is.p, tree);
}

/* ---- how it is told ----------------------------------------------------------------------------
 */

static int setup(void **state)
{
    (void)state;
    static const char *const labels[] = {[ANNA] = "anna", [BERT] = "bert", [CARL] = "carl"};
    sync_meet_open(&members, labels, DEVICES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sync_meet_close(&members);
    return 0;
}

static void begin(const char *acts)
{
    static int plays;
    snprintf(home, sizeof home, "play %d", ++plays);
    device_make(&members.d[ANNA], home, S_IFDIR | 0755);
    act(&members.d[ANNA], acts);
    sync_meet_all(&members, DEVICES);
}

/* All hear of it, and end conflicts at the same moment, until there is none. */
static void tell(bool bert_first)
{
    size_t first = bert_first ? BERT : ANNA, second = bert_first ? ANNA : BERT;
    sync_meet_give(&members, first, CARL);
    sync_meet_give(&members, second, CARL);
    sync_meet_give(&members, first, second);
    sync_meet_all(&members, DEVICES);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < DEVICES; i++)
            assert_int_equal(merger_flush(members.d[i].s, false), 0);
        sync_meet_all(&members, DEVICES);
    }
}

static void end(const char *tree)
{
    for (size_t i = 0; i < DEVICES; i++)
        expect_tree(&members.d[i], tree);
    sync_meet_expect_equal(&members, DEVICES);
}

/* What Anna and Bert do gives @tree, whoever does it first and is heard first. */
static void outcome(const char *before, const char *anna, const char *bert, const char *tree)
{
    for (int bert_first = 0; bert_first < 2; bert_first++) {
        begin(before);
        act(&members.d[bert_first ? BERT : ANNA], bert_first ? bert : anna);
        act(&members.d[bert_first ? ANNA : BERT], bert_first ? anna : bert);
        tell(bert_first);
        end(tree);
    }
}

/* Bert's is the later, whoever is heard first. */
static void outcome_by_time(const char *before, const char *anna, const char *bert,
                            const char *tree)
{
    for (int bert_first = 0; bert_first < 2; bert_first++) {
        begin(before);
        act(&members.d[ANNA], anna);
        act(&members.d[BERT], bert);
        tell(bert_first);
        end(tree);
    }
}

/* ---- contents ----------------------------------------------------------------------------------
 */

static void edits_of_different_lines_are_merged(void **state)
{
    (void)state;
    outcome("save f.md 1||2||3|", "save f.md one||2||3|", "save f.md 1||2||three|",
            "f.md = one||2||three|\n");
}

static void edits_of_the_same_line_leave_the_earlier_in_a_sibling(void **state)
{
    (void)state;
    outcome_by_time("save f.md 1|", "save f.md one|", "save f.md uno|",
                    "f (anna).md = one|\nf.md = uno|\n");
}

static void equal_edits_are_one(void **state)
{
    (void)state;
    outcome("save f 1", "save f 2", "save f 2", "f = 2\n");
}

static void edit_against_a_file_that_takes_its_place_is_edit_against_edit(void **state)
{
    (void)state;
    outcome("save f 1||2||3|", "replace f one||2||3|", "save f 1||2||three|",
            "f = one||2||three|\n");
}

static void edit_against_a_slow_save_is_edit_against_edit(void **state)
{
    (void)state;
    outcome("save f 1||2||3|", "slow f one||2||3|", "save f 1||2||three|", "f = one||2||three|\n");
}

static void edited_new_file_survives_its_taking_a_place(void **state)
{
    (void)state;
    outcome("save f 1;save g 2", "mv g f", "save g 3", "f = 2\ng = 3\n");
}

/* ---- deletions ---------------------------------------------------------------------------------
 */

static void file_renamed_over_an_edited_one_has_the_name(void **state)
{
    (void)state;
    outcome("save f 1;save g 2;age g", "mv g f", "save f 3", "f = 2\nf (anna) = 3\n");
}

static void edit_survives_a_deletion(void **state)
{
    (void)state;
    outcome("save f 1", "rm f", "save f 2", "f = 2\n");
}

static void deletion_against_deletion_deletes(void **state)
{
    (void)state;
    outcome("save f 1;save g 1", "rm f", "rm f", "g = 1\n");
}

static void mode_does_not_survive_a_deletion(void **state)
{
    (void)state;
    outcome("save f 1;save g 1", "rm f", "chmod f 600", "g = 1\n");
}

static void renamed_file_survives_a_deletion(void **state)
{
    (void)state;
    outcome("save f 1", "rm f", "mv f g", "g = 1\n");
}

static void deleted_folder_lives_for_what_was_made_in_it(void **state)
{
    (void)state;
    outcome("mkdir d;save d/f 1", "rm d/f;rmdir d", "save d/new 2", "d/\nd/new = 2\n");
}

static void deleted_folder_lives_for_what_was_edited_in_it(void **state)
{
    (void)state;
    outcome("mkdir d;save d/f 1;save d/g 1", "rm d/f;rm d/g;rmdir d", "save d/f 2",
            "d/\nd/f = 2\n");
}

static void deleted_folder_lives_for_what_was_moved_into_it(void **state)
{
    (void)state;
    outcome("mkdir d;save f 1", "rmdir d", "mv f d/f", "d/\nd/f = 1\n");
}

static void deleted_folder_that_was_renamed_lives_without_what_was_deleted(void **state)
{
    (void)state;
    outcome("mkdir d;save d/f 1", "rm d/f;rmdir d", "mv d e", "e/\n");
}

/* ---- renames -----------------------------------------------------------------------------------
 */

static void edit_follows_a_rename(void **state)
{
    (void)state;
    outcome("save f 1", "mv f g", "save f 2", "g = 2\n");
}

static void edit_follows_a_rename_over_another_file(void **state)
{
    (void)state;
    outcome("save f 1;save g 2;age g", "mv g f", "save g 3", "f = 3\n");
}

static void later_of_two_renames_holds(void **state)
{
    (void)state;
    outcome_by_time("save f 1", "mv f g", "mv f h", "h = 1\n");
}

static void what_is_made_in_a_folder_follows_its_rename(void **state)
{
    (void)state;
    outcome("mkdir d;save d/f 1", "mv d e", "save d/new 2;save d/f 3", "e/\ne/f = 3\ne/new = 2\n");
}

static void later_of_two_folders_moved_into_each_other_stays(void **state)
{
    (void)state;
    outcome_by_time("mkdir a;mkdir b;save a/f 1;save b/g 2", "mv a b/a", "mv b a/b",
                    "b/\nb/a/\nb/a/f = 1\nb/g = 2\n");
}

/* ---- one path ----------------------------------------------------------------------------------
 */

static void folders_made_at_one_path_are_one(void **state)
{
    (void)state;
    outcome("", "mkdir d;save d/f 1", "mkdir d;save d/g 2", "d/\nd/f = 1\nd/g = 2\n");
}

static void files_made_at_one_path_are_one_file_edited_twice(void **state)
{
    (void)state;
    outcome_by_time("", "save f.txt 1", "save f.txt 2", "f (anna).txt = 1\nf.txt = 2\n");
}

static void of_files_renamed_to_one_path_the_later_gets_another_name(void **state)
{
    (void)state;
    outcome_by_time("save f 1;save g 2", "mv f x", "mv g x", "x = 1\nx (bert) = 2\n");
}

static void folder_has_the_name_before_a_file(void **state)
{
    (void)state;
    outcome("", "save x 1", "mkdir x;save x/f 2", "x/\nx/f = 2\nx (anna) = 1\n");
}

static void file_edited_where_a_folder_took_its_place_gets_another_name(void **state)
{
    (void)state;
    outcome("save x 1", "rm x;mkdir x;save x/f 2", "save x 3", "x/\nx/f = 2\nx (anna) = 3\n");
}

static void file_that_took_the_place_of_a_folder_in_use_gets_another_name(void **state)
{
    (void)state;
    outcome("mkdir x;save x/f 1", "rm x/f;rmdir x;save x 2", "save x/new 3",
            "x/\nx/new = 3\nx (anna) = 2\n");
}

static void symlink_and_file_at_one_path_are_both_kept(void **state)
{
    (void)state;
    outcome_by_time("", "save x 1", "symlink x", "x = 1\nx (bert) -> goal\n");
}

/* ---- attributes and names ----------------------------------------------------------------------
 */

static void mode_and_content_both_hold(void **state)
{
    (void)state;
    outcome("save f 1", "chmod f 600", "save f 2", "f = 2 600\n");
}

static void later_of_two_modes_holds(void **state)
{
    (void)state;
    outcome_by_time("save f 1", "chmod f 600", "chmod f 640", "f = 1 640\n");
}

static void hard_link_survives_the_deletion_of_the_first_name(void **state)
{
    (void)state;
    outcome("save f 1", "rm f", "ln f h", "h = 1\n");
}

static void edit_is_seen_by_the_name_that_is_left(void **state)
{
    (void)state;
    outcome("save f 1;ln f h", "rm f", "save f 2", "h = 2\n");
}

static void content_lives_though_each_name_was_deleted_somewhere(void **state)
{
    (void)state;
    outcome_by_time("save f 1;ln f h", "rm f", "rm h", "h = 1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_of_different_lines_are_merged),
        cmocka_unit_test(edits_of_the_same_line_leave_the_earlier_in_a_sibling),
        cmocka_unit_test(equal_edits_are_one),
        cmocka_unit_test(edit_against_a_file_that_takes_its_place_is_edit_against_edit),
        cmocka_unit_test(edit_against_a_slow_save_is_edit_against_edit),
        cmocka_unit_test(edited_new_file_survives_its_taking_a_place),
        cmocka_unit_test(file_renamed_over_an_edited_one_has_the_name),
        cmocka_unit_test(edit_survives_a_deletion),
        cmocka_unit_test(deletion_against_deletion_deletes),
        cmocka_unit_test(mode_does_not_survive_a_deletion),
        cmocka_unit_test(renamed_file_survives_a_deletion),
        cmocka_unit_test(deleted_folder_lives_for_what_was_made_in_it),
        cmocka_unit_test(deleted_folder_lives_for_what_was_edited_in_it),
        cmocka_unit_test(deleted_folder_lives_for_what_was_moved_into_it),
        cmocka_unit_test(deleted_folder_that_was_renamed_lives_without_what_was_deleted),
        cmocka_unit_test(edit_follows_a_rename),
        cmocka_unit_test(edit_follows_a_rename_over_another_file),
        cmocka_unit_test(later_of_two_renames_holds),
        cmocka_unit_test(what_is_made_in_a_folder_follows_its_rename),
        cmocka_unit_test(later_of_two_folders_moved_into_each_other_stays),
        cmocka_unit_test(folders_made_at_one_path_are_one),
        cmocka_unit_test(files_made_at_one_path_are_one_file_edited_twice),
        cmocka_unit_test(of_files_renamed_to_one_path_the_later_gets_another_name),
        cmocka_unit_test(folder_has_the_name_before_a_file),
        cmocka_unit_test(file_edited_where_a_folder_took_its_place_gets_another_name),
        cmocka_unit_test(file_that_took_the_place_of_a_folder_in_use_gets_another_name),
        cmocka_unit_test(symlink_and_file_at_one_path_are_both_kept),
        cmocka_unit_test(mode_and_content_both_hold),
        cmocka_unit_test(later_of_two_modes_holds),
        cmocka_unit_test(hard_link_survives_the_deletion_of_the_first_name),
        cmocka_unit_test(edit_is_seen_by_the_name_that_is_left),
        cmocka_unit_test(content_lives_though_each_name_was_deleted_somewhere),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
