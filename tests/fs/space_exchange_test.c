/* Two spaces brought to the same tree by nothing but what fs/space/exchange.h offers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/exchange.h"
#include "fs/space/merger.h"
#include "tests/support/meet.h"

struct pair {
    struct device a, b;
};

static int setup(void **state)
{
    static struct pair p;
    device_open(&p.a, "anna", NULL);
    device_open(&p.b, "bert", &p.a);
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    device_close(&p->a);
    device_close(&p->b);
    return 0;
}

static void meet(struct pair *p)
{
    devices_meet((struct device *const[]){&p->a, &p->b}, 2);
}

/* ---- what the trees show ---- */

struct listing {
    struct device *d;
    struct buf *out;
    char path[512];
};

static void list(struct device *d, uint64_t dir, const char *path, struct buf *out);

struct names {
    char name[64][256];
    uint64_t ino[64];
    int n;
};

static bool collect(void *arg, const struct tree_entry *e)
{
    struct names *names = arg;
    if (e->offset <= 2)
        return true;
    snprintf(names->name[names->n], 256, "%.*s", (int)e->name.n, (const char *)e->name.p);
    names->ino[names->n++] = e->ino;
    return names->n < 64;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void list_one(struct device *d, uint64_t ino, const char *path, struct buf *out)
{
    struct attr a;
    assert_int_equal(tree_getattr(d->s->tree, ino, &a), 0);
    char line[1024];
    snprintf(line, sizeof line, "%s %o %llu ", path, a.mode,
             attr_is_file(&a) ? (unsigned long long)a.size : 0ULL);
    buf_put(out, line, strlen(line));
    if (attr_is_file(&a)) {
        uint8_t *p = malloc(a.size + 1);
        assert_non_null(p);
        assert_int_equal(tree_read_unseen(d->s->tree, ino, 0, p, a.size), (int64_t)a.size);
        uint8_t hash[32];
        hash_parts(NULL, "test", &(struct bytes){p, a.size}, 1, hash);
        for (int i = 0; i < 4; i++) {
            snprintf(line, sizeof line, "%02x", hash[i]);
            buf_put(out, line, 2);
        }
        if (a.size < 40)
            buf_put(out, p, a.size);
        free(p);
    }
    buf_put(out, "\n", 1);
    if (attr_is_dir(&a))
        list(d, ino, path, out);
}

static void list(struct device *d, uint64_t dir, const char *path, struct buf *out)
{
    struct names names = {0};
    const char *order[64];
    assert_int_equal(tree_list(d->s->tree, dir, 0, false, collect, &names), 0);
    for (int i = 0; i < names.n; i++)
        order[i] = names.name[i];
    qsort(order, (size_t)names.n, sizeof order[0], by_name);
    for (int i = 0; i < names.n; i++) {
        char below[512];
        snprintf(below, sizeof below, "%s/%s", path, order[i]);
        for (int k = 0; k < names.n; k++)
            if (names.name[k] == order[i])
                list_one(d, names.ino[k], below, out);
    }
}

static void assert_equal_trees(struct pair *p)
{
    struct buf a = {0}, b = {0};
    list(&p->a, TREE_ROOT, "", &a);
    list(&p->b, TREE_ROOT, "", &b);
    buf_put_u8(&a, 0);
    buf_put_u8(&b, 0);
    assert_string_equal((char *)a.p, (char *)b.p);
    buf_fini(&a);
    buf_fini(&b);
}

static void assert_content(struct device *d, const char *path, const char *text)
{
    char got[256] = "";
    uint64_t ino = device_ino(d, path);
    if (ino == 0)
        fail_msg("%s is missing", path);
    int64_t n = tree_read_unseen(d->s->tree, ino, 0, got, sizeof got - 1);
    assert_true(n >= 0);
    assert_string_equal(got, text);
}

/* ---- cases ---- */

static void exchange_of_new_files_gives_equal_trees(void **state)
{
    struct pair *p = *state;
    device_make(&p->a, "work", S_IFDIR | 0755);
    device_make(&p->a, "work/deep", S_IFDIR | 0700);
    device_save_text(&p->a, "work/deep/note", "one");
    device_save_text(&p->a, "top", "two");
    device_make(&p->a, "link", S_IFLNK | 0777);
    device_save_text(&p->b, "other", "three");
    meet(p);
    assert_equal_trees(p);
    assert_content(&p->b, "work/deep/note", "one");
    assert_content(&p->a, "other", "three");
}

static void exchange_of_a_big_file_and_an_edit_of_it_gives_equal_bytes(void **state)
{
    struct pair *p = *state;
    enum { N = 6 << 20 };
    uint8_t *bytes = malloc(N);
    assert_non_null(bytes);
    for (size_t i = 0; i < N; i++)
        bytes[i] = (uint8_t)(i * 2654435761U >> 11);
    device_save(&p->a, "big", bytes, N);
    meet(p);
    assert_equal_trees(p);
    struct attr a;
    uint64_t ino = device_ino(&p->b, "big");
    assert_int_equal(tree_open_file(p->b.s->tree, ino, true, false, &a), 0);
    struct tree_write how = {.offset = N / 2};
    assert_int_equal(tree_write(p->b.s->tree, ino, bytes_str("changed here"), &how), 0);
    tree_close_file(p->b.s->tree, ino, true);
    meet(p);
    assert_equal_trees(p);
    free(bytes);
}

static void exchange_of_edit_rename_delete_follows_on_the_other_device(void **state)
{
    struct pair *p = *state;
    device_make(&p->a, "d", S_IFDIR | 0755);
    device_save_text(&p->a, "d/x", "x1");
    device_save_text(&p->a, "gone", "bye");
    meet(p);
    device_save_text(&p->b, "d/x", "x2");
    device_rename(&p->a, "d", "e");
    device_unlink(&p->b, "gone");
    meet(p);
    assert_equal_trees(p);
    assert_content(&p->a, "e/x", "x2");
    assert_int_equal(device_ino(&p->a, "gone"), 0);
    assert_int_equal(device_ino(&p->b, "d"), 0);
}

struct told {
    struct tree *tree;
    uint64_t ino;
    unsigned n;
};

/* Who opens it in this moment is shown by the kernel what it had before. */
static void open_before_told(void *arg, const struct space_inval *what)
{
    struct told *t = arg;
    struct attr a;
    if (what->name.n > 0 || what->ino != t->ino)
        return;
    assert_int_equal(tree_open_file(t->tree, t->ino, false, false, &a), 1);
    tree_close_file(t->tree, t->ino, false);
    t->n++;
}

/* A file of two names gets its new content in place. */
static void exchange_makes_who_opens_before_the_kernel_is_told_read_anew(void **state)
{
    struct pair *p = *state;
    struct attr a;
    device_save_text(&p->a, "note", "one");
    assert_int_equal(
        tree_link(p->a.s->tree, device_ino(&p->a, "note"), TREE_ROOT, bytes_str("second"), &a), 0);
    meet(p);
    struct told t = {.tree = p->b.s->tree, .ino = device_ino(&p->b, "note")};
    space_on_inval(p->b.s, open_before_told, &t);
    device_save_text(&p->a, "note", "the second one");
    meet(p);
    space_on_inval(p->b.s, NULL, NULL);
    assert_true(t.n > 0);
    assert_int_equal(device_ino(&p->b, "note"), t.ino);
    assert_int_equal(tree_open_file(t.tree, t.ino, false, false, &a), 0);
    tree_close_file(t.tree, t.ino, false);
}

/*
 * The first change of a file that was saved again has its name, and no content any more: the
 * session is cut after that, and goes on with come_on().
 */
struct cut {
    struct vv have;
    struct replica_stream *stream;
};

static void come_on(struct pair *p, struct cut *cut)
{
    CLEANUP(buf_fini) struct buf change = {0};
    struct dot dot;
    assert_int_equal(replica_stream_next(cut->stream, &dot, &change), 1);
    assert_int_equal(space_apply(p->b.s, buf_bytes(&change)), 1);
}

static void cut_before_content(struct pair *p, const char *path, struct cut *cut)
{
    *cut = (struct cut){.stream = NULL};
    device_save_text(&p->a, path, "one");
    assert_int_equal(publisher_flush(p->a.s), 0);
    device_save_text(&p->a, path, "two");
    assert_int_equal(space_knowledge(p->b.s, &cut->have), 0);
    assert_int_equal(space_stream(p->a.s, &cut->have, &cut->stream), 0);
    come_on(p, cut);
    assert_int_equal(device_ino(&p->b, path), 0);
}

static void cut_fini(struct cut *cut)
{
    replica_stream_free(cut->stream);
    vv_fini(&cut->have);
}

/* Who has a name alone shows nothing rather than an empty file. */
static void exchange_that_was_cut_shows_no_file_without_its_content(void **state)
{
    struct pair *p = *state;
    struct cut cut;
    device_make(&p->a, "folder", S_IFDIR | 0755);
    device_save_text(&p->a, "folder/note", "one");
    meet(p);
    cut_before_content(p, "folder/new", &cut);
    device_reopen(&p->b);
    assert_int_equal(device_ino(&p->b, "folder/new"), 0);
    device_rename(&p->b, "folder", "renamed"); /* it is in it nonetheless */
    come_on(p, &cut);
    assert_content(&p->b, "renamed/new", "two");
    cut_fini(&cut);
    meet(p);
    assert_equal_trees(p);
    assert_content(&p->a, "renamed/new", "two");
}

/* Who removes the folders that the file will be in has not seen it: it comes, and they with it. */
static void exchange_of_a_name_alone_keeps_it_from_who_removes_its_folder(void **state)
{
    struct pair *p = *state;
    struct cut cut;
    device_make(&p->a, "a", S_IFDIR | 0755);
    device_make(&p->a, "a/b", S_IFDIR | 0755);
    device_make(&p->a, "a/empty", S_IFDIR | 0755);
    device_save_text(&p->a, "a/note", "one");
    device_save_text(&p->a, "a/b/note", "one");
    meet(p);
    cut_before_content(p, "a/b/new", &cut);
    device_unlink(&p->b, "a/b/note");
    device_unlink(&p->b, "a/note");
    device_rmdir(&p->b, "a/b");
    device_rmdir(&p->b, "a/empty");
    device_rmdir(&p->b, "a");
    assert_int_equal(publisher_flush(p->b.s), 0);
    assert_int_equal(publisher_pending(p->b.s), 0);
    device_reopen(&p->b);
    come_on(p, &cut);
    assert_content(&p->b, "a/b/new", "two");
    assert_int_equal(device_ino(&p->b, "a/b/note"), 0);
    cut_fini(&cut);
    meet(p);
    assert_equal_trees(p);
    assert_content(&p->a, "a/b/new", "two");
    assert_int_equal(device_ino(&p->a, "a/b/note"), 0);
    assert_int_equal(device_ino(&p->a, "a/note"), 0);
    assert_int_equal(device_ino(&p->a, "a/empty"), 0);
}

/* The kernel looks again for the name when it is told so; what is written goes to the new file. */
static void write_before_told(void *arg, const struct space_inval *what)
{
    struct told *t = arg;
    struct tree_set cut = {.what = TREE_SET_SIZE};
    struct attr a;
    if (what->name.n == 0)
        return;
    assert_int_equal(tree_open_file(t->tree, t->ino, true, false, &a), -ESTALE);
    assert_int_equal(tree_open_file(t->tree, t->ino, true, true, &a), -ESTALE);
    assert_int_equal(tree_setattr(t->tree, t->ino, &cut, &a), -ESTALE);
    assert_true(tree_open_file(t->tree, t->ino, false, false, &a) >= 0);
    tree_close_file(t->tree, t->ino, false);
    t->n++;
}

static void exchange_lets_nobody_write_to_a_file_that_was_replaced(void **state)
{
    struct pair *p = *state;
    device_save_text(&p->a, "note", "one");
    device_save_text(&p->a, "deleted", "one");
    meet(p);
    struct told t = {.tree = p->b.s->tree, .ino = device_ino(&p->b, "note")};
    space_on_inval(p->b.s, write_before_told, &t);
    device_save_text(&p->a, "note", "the second one");
    meet(p);
    assert_true(t.n > 0);
    t = (struct told){.tree = t.tree, .ino = device_ino(&p->b, "deleted")};
    device_unlink(&p->a, "deleted");
    meet(p);
    space_on_inval(p->b.s, NULL, NULL);
    assert_true(t.n > 0);
}

static void note_name(void *arg, const struct space_inval *what)
{
    atomic_uint *told = arg;
    if (bytes_equal(what->name, bytes_str("folder")) || bytes_equal(what->name, bytes_str("note")))
        atomic_fetch_add(told, 1);
}

/* What the kernel knows is that there is neither. */
static void exchange_tells_the_kernel_of_what_a_write_brings_back(void **state)
{
    struct pair *p = *state;
    struct tree *t = p->b.s->tree;
    struct attr a;
    atomic_uint told = 0;
    device_make(&p->a, "folder", S_IFDIR | 0750);
    device_save_text(&p->a, "folder/note", "one");
    meet(p);
    uint64_t ino = device_ino(&p->b, "folder/note");
    assert_int_equal(tree_open_file(t, ino, true, false, &a), 0);
    device_unlink(&p->a, "folder/note");
    device_rmdir(&p->a, "folder");
    meet(p);
    assert_int_equal(device_ino(&p->b, "folder"), 0);
    space_on_inval(p->b.s, note_name, &told);
    struct tree_write how = {.offset = 3};
    assert_int_equal(tree_write(t, ino, bytes_str(" two"), &how), 0);
    for (int i = 0; i < 10000 && atomic_load(&told) < 2; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&told), 2);
    space_on_inval(p->b.s, NULL, NULL);
    tree_close_file(t, ino, true);
    meet(p);
    assert_equal_trees(p);
    assert_content(&p->a, "folder/note", "one two");
    assert_int_equal(tree_getattr(p->a.s->tree, device_ino(&p->a, "folder"), &a), 0);
    assert_int_equal(a.mode, S_IFDIR | 0750);
    device_unlink(&p->b, "folder/note"); /* nobody has it open: it goes for good */
    tree_forget(t, ino);
    assert_int_equal(tree_getattr(t, ino, &a), -ESTALE);
}

static void exchange_of_hard_links_keeps_them_one_file(void **state)
{
    struct pair *p = *state;
    device_save_text(&p->a, "first", "shared");
    struct attr attr;
    meet(p);
    assert_int_equal(
        tree_link(p->a.s->tree, device_ino(&p->a, "first"), TREE_ROOT, bytes_str("second"), &attr),
        0);
    meet(p);
    assert_equal_trees(p);
    assert_int_equal(device_ino(&p->b, "first"), device_ino(&p->b, "second"));
    assert_int_equal(tree_getattr(p->b.s->tree, device_ino(&p->b, "first"), &attr), 0);
    assert_int_equal(attr.nlink, 2);
}

static void exchange_of_modes_and_user_attributes_carries_both(void **state)
{
    struct pair *p = *state;
    device_save_text(&p->a, "f", "f");
    uint64_t ino = device_ino(&p->a, "f");
    struct tree_set set = {.what = TREE_SET_MODE, .mode = 04751};
    struct attr a;
    assert_int_equal(tree_setattr(p->a.s->tree, ino, &set, &a), 0);
    assert_int_equal(tree_xattr_set(p->a.s->tree, ino, bytes_str("user.k"), bytes_str("v"), 0), 0);
    meet(p);
    CLEANUP(buf_fini) struct buf value = {0};
    assert_int_equal(tree_getattr(p->b.s->tree, device_ino(&p->b, "f"), &a), 0);
    /* setuid is not taken from others. */
    assert_int_equal(a.mode, S_IFREG | 0751);
    assert_int_equal(
        tree_xattr_get(p->b.s->tree, device_ino(&p->b, "f"), bytes_str("user.k"), &value), 0);
    assert_true(bytes_equal(buf_bytes(&value), bytes_str("v")));
}

/* Lists stay where they were made: their mask goes with the mode. */
static void exchange_of_a_mode_changes_the_list_of_a_file(void **state)
{
    /* Owner rw, user 7 rw, group r, mask rw, others r. */
    static const uint8_t list[] = {2, 0, 0, 0, 1, 0, 6,  0, 0, 0, 0, 0, 2, 0,  6,
                                   0, 7, 0, 0, 0, 4, 0,  4, 0, 0, 0, 0, 0, 16, 0,
                                   6, 0, 0, 0, 0, 0, 32, 0, 4, 0, 0, 0, 0, 0};
    const struct bytes name = bytes_str("system.posix_acl_access");
    struct pair *p = *state;
    device_save_text(&p->a, "f", "f");
    meet(p);
    uint64_t ino = device_ino(&p->b, "f");
    assert_int_equal(tree_xattr_set(p->b.s->tree, ino, name, bytes_of(list, sizeof list), 0), 0);
    meet(p);
    struct attr a;
    CLEANUP(buf_fini) struct buf value = {0};
    uint64_t other = device_ino(&p->a, "f");
    assert_int_equal(tree_getattr(p->a.s->tree, other, &a), 0);
    assert_int_equal(a.mode, S_IFREG | 0664);
    assert_int_equal(tree_xattr_get(p->a.s->tree, other, name, &value), -ENODATA);
    struct tree_set set = {.what = TREE_SET_MODE, .mode = 0640};
    assert_int_equal(tree_setattr(p->a.s->tree, other, &set, &a), 0);
    meet(p);
    assert_int_equal(tree_getattr(p->b.s->tree, ino, &a), 0);
    assert_int_equal(a.mode, S_IFREG | 0640);
    assert_int_equal(tree_xattr_get(p->b.s->tree, ino, name, &value), 0);
    assert_int_equal(value.n, sizeof list);
    assert_int_equal(value.p[30], 4); /* mask */
    assert_int_equal(value.p[38], 0); /* others */
    assert_int_equal(value.p[14], 6); /* the user of the list */
}

static void exchange_of_edits_made_apart_keeps_both_contents(void **state)
{
    struct pair *p = *state;
    device_save_text(&p->a, "n", "base");
    meet(p);
    device_save_text(&p->a, "n", "from anna");
    device_save_text(&p->b, "n", "from bert");
    meet(p);
    assert_equal_trees(p);
}

static void exchange_of_one_path_made_apart_is_one_record(void **state)
{
    struct pair *p = *state;
    device_make(&p->a, "both", S_IFDIR | 0755);
    device_make(&p->b, "both", S_IFDIR | 0755);
    device_save_text(&p->a, "both/a", "a");
    device_save_text(&p->b, "both/b", "b");
    meet(p);
    assert_equal_trees(p);
    assert_content(&p->a, "both/b", "b");
    assert_content(&p->b, "both/a", "a");
}

static void exchange_while_a_file_is_written_leaves_it_to_the_writer(void **state)
{
    struct pair *p = *state;
    device_save_text(&p->a, "w", "first");
    meet(p);
    uint64_t ino = device_ino(&p->b, "w");
    struct attr a;
    assert_int_equal(tree_open_file(p->b.s->tree, ino, true, false, &a), 0);
    device_save_text(&p->a, "w", "second");
    device_pull(&p->b, &p->a);
    assert_content(&p->b, "w", "first");
    tree_close_file(p->b.s->tree, ino, true);
    struct tree_change closed = {.kind = TREE_CLOSED, .ino = ino};
    publisher_changed(p->b.s, &closed);
    assert_int_equal(publisher_flush(p->b.s), 0);
    assert_content(&p->b, "w", "second");
}

static void exchange_repeated_changes_nothing(void **state)
{
    struct pair *p = *state;
    device_save_text(&p->a, "r", "r");
    meet(p);
    struct vv before = {0}, after = {0};
    assert_int_equal(space_knowledge(p->a.s, &before), 0);
    meet(p);
    assert_int_equal(space_knowledge(p->a.s, &after), 0);
    assert_true(vv_equal(&before, &after));
    vv_fini(&before);
    vv_fini(&after);
    assert_equal_trees(p);
}

/* ---- a slow save, and what comes from elsewhere before it is published ---- */

static const char before[] = "1\n\n2\n\n3\n", saved[] = "one\n\n2\n\n3\n";

/* Anna's program has its new file open when it takes the place of the note: Bert knows that file,
 * and that it is empty. */
static uint64_t save_slowly(struct pair *p)
{
    struct attr a;
    struct tree_write how = {0};
    device_save_text(&p->a, "note.md", before);
    device_save_text(&p->a, "new", "");
    meet(p);
    uint64_t ino = device_ino(&p->a, "new");
    assert_int_equal(tree_open_file(p->a.s->tree, ino, true, false, &a), 0);
    assert_int_equal(tree_write(p->a.s->tree, ino, bytes_str(saved), &how), 0);
    device_rename(&p->a, "new", "note.md");
    return ino;
}

/* Anna hears of what Bert did, and then the program closes its file. */
static void come_and_close(struct pair *p, uint64_t ino)
{
    device_pull(&p->a, &p->b);
    tree_close_file(p->a.s->tree, ino, true);
    publisher_changed(p->a.s, &(struct tree_change){.kind = TREE_CLOSED, .ino = ino});
    meet(p);
    assert_int_equal(merger_flush(p->a.s, false), 0);
    meet(p);
    assert_equal_trees(p);
}

static void assert_none(struct device *d, const char *path)
{
    assert_int_equal(device_ino(d, path), 0);
}

static int names(struct device *d)
{
    struct names names = {0};
    assert_int_equal(tree_list(d->s->tree, TREE_ROOT, 0, false, collect, &names), 0);
    return names.n;
}

static void slow_save_of_a_note_that_was_edited_is_merged(void **state)
{
    struct pair *p = *state;
    uint64_t ino = save_slowly(p);
    device_save_text(&p->b, "note.md", "1\n\n2\n\nthree\n");
    come_and_close(p, ino);
    assert_content(&p->b, "note.md", "one\n\n2\n\nthree\n");
    assert_int_equal(names(&p->a), 1);
}

/* Anna's program has written, and keeps its file open for long; Bert has edited it, too. */
static uint64_t save_and_stay(struct pair *p)
{
    struct tree_write how = {.offset = 0};
    struct attr a;
    device_save_text(&p->a, "note.md", "1\n\n2\n\n3\n");
    meet(p);
    uint64_t ino = device_ino(&p->a, "note.md");
    struct publish_item item = {.ino = ino, .settled = true, .quiet = true};
    publisher_hold(p->a.s);
    assert_int_equal(tree_open_file(p->a.s->tree, ino, true, false, &a), 0);
    assert_int_equal(tree_write(p->a.s->tree, ino, bytes_str("A"), &how), 0);
    device_save_text(&p->b, "note.md", "1\n\n2\n\nB\n");
    device_pull(&p->a, &p->b);
    assert_int_equal(publish_inode(p->a.s, &item), PUBLISH_DONE);
    assert_content(&p->a, "note.md", "A\n\n2\n\n3\n"); /* not under its program */
    device_pull(&p->b, &p->a);
    assert_content(&p->b, "note.md", "A\n\n2\n\nB\n");
    publisher_release(p->a.s);
    return ino;
}

static void save_that_stays_open_is_merged_and_shown_when_closed(void **state)
{
    struct pair *p = *state;
    come_and_close(p, save_and_stay(p));
    assert_content(&p->a, "note.md", "A\n\n2\n\nB\n");
    assert_int_equal(names(&p->a), 1);
}

static void save_that_stays_open_is_merged_with_what_is_written_on(void **state)
{
    struct pair *p = *state;
    struct tree_write how = {.offset = 3};
    uint64_t ino = save_and_stay(p);
    assert_int_equal(tree_write(p->a.s->tree, ino, bytes_str("C"), &how), 0);
    come_and_close(p, ino);
    assert_content(&p->a, "note.md", "A\n\nC\n\nB\n");
    assert_int_equal(names(&p->a), 1);
}

static void slow_save_of_a_note_that_was_deleted_is_there(void **state)
{
    struct pair *p = *state;
    uint64_t ino = save_slowly(p);
    device_unlink(&p->b, "note.md");
    come_and_close(p, ino);
    assert_content(&p->b, "note.md", saved);
    assert_int_equal(names(&p->a), 1);
}

static void slow_save_of_a_note_that_was_renamed_leaves_both(void **state)
{
    struct pair *p = *state;
    uint64_t ino = save_slowly(p);
    device_rename(&p->b, "note.md", "other.md");
    come_and_close(p, ino);
    assert_content(&p->b, "note.md", saved);
    assert_content(&p->b, "other.md", before);
    assert_int_equal(names(&p->a), 2);
}

/* The name is looked at first, before the content of the file. */
static void publish_note(struct device *d)
{
    struct publish_item item = {.ino = TREE_ROOT,
                                .name = bytes_str("note.md"),
                                .settled = true,
                                .quiet = true,
                                .forced = true};
    assert_int_equal(publish_name(d->s, &item), PUBLISH_DONE);
}

/* Then it is no temporary file: it has the name, and what Bert made of it is beside it. */
static void slow_save_by_a_file_that_was_edited_loses_nothing(void **state)
{
    struct pair *p = *state;
    uint64_t ino = save_slowly(p);
    device_save_text(&p->b, "new", "by bert");
    device_pull(&p->a, &p->b);
    publisher_hold(p->a.s);
    tree_close_file(p->a.s->tree, ino, true);
    publish_note(&p->a);
    publisher_release(p->a.s);
    meet(p);
    assert_equal_trees(p);
    assert_content(&p->b, "note.md", saved);
    struct buf all CLEANUP(buf_fini) = {0};
    list(&p->b, TREE_ROOT, "", &all);
    buf_put_u8(&all, 0);
    assert_non_null(strstr((const char *)all.p, "by bert"));
    assert_int_equal(names(&p->a), 2);
}

static void slow_save_by_a_file_that_was_deleted_is_there(void **state)
{
    struct pair *p = *state;
    uint64_t ino = save_slowly(p);
    device_unlink(&p->b, "new");
    come_and_close(p, ino);
    assert_content(&p->b, "note.md", saved);
    assert_none(&p->b, "new");
}

static void slow_save_by_a_file_that_was_renamed_is_there(void **state)
{
    struct pair *p = *state;
    uint64_t ino = save_slowly(p);
    device_rename(&p->b, "new", "newer");
    come_and_close(p, ino);
    assert_content(&p->b, "note.md", saved);
}

/* ---- what was removed here, and is not published when something comes for it ---- */

/* Bert hears of it then. @forgotten: the kernel, and so the tree, knows the files no more. */
static void come_before_published(struct pair *p, const uint64_t *removed, size_t n, bool forgotten)
{
    for (size_t i = 0; i < n && forgotten; i++)
        tree_forget(p->b.s->tree, removed[i]);
    device_hear(&p->b, &p->a);
    meet(p);
    assert_equal_trees(p);
}

static void edit_of_a_file_that_was_just_removed(struct pair *p, bool forgotten)
{
    device_save_text(&p->a, "note", "one");
    meet(p);
    device_save_text(&p->a, "note", "two");
    uint64_t removed = device_ino(&p->b, "note");
    device_unlink(&p->b, "note");
    come_before_published(p, &removed, 1, forgotten);
    assert_content(&p->b, "note", "two");
}

static void edit_of_a_file_that_was_just_removed_survives(void **state)
{
    edit_of_a_file_that_was_just_removed(*state, false);
}

static void edit_of_a_file_that_was_just_removed_and_forgotten_survives(void **state)
{
    edit_of_a_file_that_was_just_removed(*state, true);
}

static void file_for_a_folder_that_was_just_removed(struct pair *p, bool forgotten)
{
    device_make(&p->a, "folder", S_IFDIR | 0755);
    device_make(&p->a, "folder/below", S_IFDIR | 0755);
    device_save_text(&p->a, "folder/below/note", "one");
    meet(p);
    device_save_text(&p->a, "folder/below/new", "by anna");
    uint64_t removed[] = {device_ino(&p->b, "folder/below/note"), device_ino(&p->b, "folder/below"),
                          device_ino(&p->b, "folder")};
    device_unlink(&p->b, "folder/below/note");
    device_rmdir(&p->b, "folder/below");
    device_rmdir(&p->b, "folder");
    come_before_published(p, removed, ARRAY_N(removed), forgotten);
    assert_content(&p->b, "folder/below/new", "by anna");
    assert_none(&p->b, "folder/below/note");
}

static void file_for_a_folder_that_was_just_removed_brings_it_back(void **state)
{
    file_for_a_folder_that_was_just_removed(*state, false);
}

static void file_for_a_folder_that_was_just_removed_and_forgotten_brings_it_back(void **state)
{
    file_for_a_folder_that_was_just_removed(*state, true);
}

/* What a person moves: Bert's file, which came to Anna. */
static void file_of_another_device_renamed_over_a_note_takes_its_edits_along(void **state)
{
    struct pair *p = *state;
    device_save_text(&p->a, "note.md", before);
    device_save_text(&p->b, "new", "by bert");
    meet(p);
    device_rename(&p->a, "new", "note.md");
    device_save_text(&p->b, "new", "by bert again");
    meet(p);
    assert_equal_trees(p);
    assert_content(&p->a, "note.md", "by bert again");
    assert_int_equal(names(&p->a), 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(exchange_of_new_files_gives_equal_trees),
        CASE(exchange_of_a_big_file_and_an_edit_of_it_gives_equal_bytes),
        CASE(exchange_of_edit_rename_delete_follows_on_the_other_device),
        CASE(exchange_makes_who_opens_before_the_kernel_is_told_read_anew),
        CASE(exchange_that_was_cut_shows_no_file_without_its_content),
        CASE(exchange_of_a_name_alone_keeps_it_from_who_removes_its_folder),
        CASE(exchange_lets_nobody_write_to_a_file_that_was_replaced),
        CASE(exchange_tells_the_kernel_of_what_a_write_brings_back),
        CASE(exchange_of_hard_links_keeps_them_one_file),
        CASE(exchange_of_modes_and_user_attributes_carries_both),
        CASE(exchange_of_a_mode_changes_the_list_of_a_file),
        CASE(exchange_of_edits_made_apart_keeps_both_contents),
        CASE(exchange_of_one_path_made_apart_is_one_record),
        CASE(exchange_while_a_file_is_written_leaves_it_to_the_writer),
        CASE(exchange_repeated_changes_nothing),
        CASE(edit_of_a_file_that_was_just_removed_survives),
        CASE(edit_of_a_file_that_was_just_removed_and_forgotten_survives),
        CASE(file_for_a_folder_that_was_just_removed_brings_it_back),
        CASE(file_for_a_folder_that_was_just_removed_and_forgotten_brings_it_back),
        CASE(slow_save_of_a_note_that_was_edited_is_merged),
        CASE(save_that_stays_open_is_merged_and_shown_when_closed),
        CASE(save_that_stays_open_is_merged_with_what_is_written_on),
        CASE(slow_save_of_a_note_that_was_deleted_is_there),
        CASE(slow_save_of_a_note_that_was_renamed_leaves_both),
        CASE(slow_save_by_a_file_that_was_edited_loses_nothing),
        CASE(slow_save_by_a_file_that_was_deleted_is_there),
        CASE(slow_save_by_a_file_that_was_renamed_is_there),
        CASE(file_of_another_device_renamed_over_a_note_takes_its_edits_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
