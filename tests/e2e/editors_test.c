/*
 * Real editors save a note that is known, and a new one: each save is one version, whatever files
 * the editor makes on the way, and none of those becomes a record.
 *
 * The fixtures are not under /tmp: some editors save in another way there.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/json_read.h"
#include "tests/support/posix.h"
#include "tests/support/pty.h"

enum { SAVES = 3, SAVES_FIRST = 2, TEXT_MAX = 256 };

#define FIRST_LINE "line one\n"
#define ESC "\033"

/* How to work an editor. At a terminal, or by lines of sh where it has none. */
struct editor {
    const char *open;               /* a line of sh; the file's name is added */
    const char *edit, *save, *quit; /* keys; @edit adds a line at the end, %d: its number */
    const char *write;              /* keys that fill an empty buffer with "new note" */
    const char *sh_edit, *sh_new;   /* lines of sh, in the folder; %d as above */
};

/* ---- what is there ---- */

struct wanted_content {
    char path[E2E_PATH_MAX + 32];
    const char *text;
};

static bool is_content(void *arg)
{
    const struct wanted_content *w = arg;
    char found[TEXT_MAX + 1];
    int fd = open(w->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = read_all(fd, found, TEXT_MAX, 0);
    close(fd);
    return n == strlen(w->text) && memcmp(found, w->text, n) == 0;
}

/* The text of the note after @n edits. */
static void text_after(int n, char to[TEXT_MAX])
{
    size_t at = (size_t)snprintf(to, TEXT_MAX, FIRST_LINE);
    for (int i = 1; i <= n; i++)
        at += (size_t)snprintf(to + at, TEXT_MAX - at, "edit %d\n", i);
}

static void check_versions(struct e2e *f, const char *path)
{
    char versions[SAVES + 1][64];
    char want[TEXT_MAX];
    if (!same(e2e_versions(f, path), SAVES + 1))
        return;
    for (int i = 0; i <= SAVES; i++) {
        char place[64];
        snprintf(place, sizeof place, "versions.%d.version", SAVES - i);
        snprintf(versions[i], sizeof versions[i], "%s", e2e_value(f, place));
    }
    for (int i = 0; i <= SAVES; i++) {
        text_after(i, want);
        e2e_ok(f, "persist show %s@%s", path, versions[i]);
        same_text(f->last.out, want);
    }
}

/* Only the two notes are known, to the log that lists deleted names too. */
static void check_records(struct e2e *f)
{
    e2e_ok(f, "persist log %s --json", f->folder);
    long n = json_read_count(f->last.out, "entries");
    same(n, 2);
    for (long i = 0; i < n; i++) {
        char place[64];
        snprintf(place, sizeof place, "entries.%ld.name", i);
        const char *name = e2e_value(f, place);
        if (strcmp(name, "note.md") != 0 && strcmp(name, "new.md") != 0)
            check_fail("'%s' became a record", name);
    }
    e2e_ok(f, "persist status %s --json", f->folder);
    same_text(e2e_value(f, "records"), "2");
    same_text(e2e_value(f, "conflicts"), "0");
}

/* ---- at the terminal ---- */

static bool save_by_keys(struct e2e *f, struct pty *p, const struct editor *e, int number)
{
    struct wanted_content w;
    char keys[128], want[TEXT_MAX];
    snprintf(w.path, sizeof w.path, "%s/note.md", f->folder);
    w.text = want;
    text_after(number, want);
    const char *at = strstr(e->edit, "%d");
    snprintf(keys, sizeof keys, "%.*s%d%s%s", (int)(at - e->edit), e->edit, number, at + 2,
             e->save);
    pty_type(p, keys);
    return pty_wait(p, is_content, &w, E2E_LONG_MS, "the note was not saved") &&
           e2e_wait_versions(f, w.path, number + 1);
}

static void quit_by_keys(struct pty *p, const struct editor *e)
{
    pty_wait_quiet(p, 50);
    pty_type(p, e->quit);
    if (pty_wait_end(p, E2E_LONG_MS))
        same(p->status, 0);
}

static bool edit_by_keys(struct e2e *f, const struct editor *e, int from, int to)
{
    bool good = false;
    struct pty *p = pty_start(f, "unset TMPDIR; cd notes && exec %s note.md", e->open);
    if (pty_wait_text(p, "ine one", E2E_LONG_MS)) {
        pty_wait_quiet(p, 50);
        good = true;
        for (int i = from; good && i <= to; i++)
            good = save_by_keys(f, p, e, i);
        if (good)
            quit_by_keys(p, e);
    }
    pty_end(p);
    return good;
}

static void write_by_keys(struct e2e *f, const struct editor *e)
{
    char keys[128];
    struct wanted_content w = {.text = "new note\n"};
    snprintf(w.path, sizeof w.path, "%s/new.md", f->folder);
    struct pty *p = pty_start(f, "unset TMPDIR; cd notes && exec %s new.md", e->open);
    if (pty_wait_text(p, "new.md", E2E_LONG_MS)) {
        pty_wait_quiet(p, 50);
        snprintf(keys, sizeof keys, "%s%s", e->write, e->save);
        pty_type(p, keys);
        if (pty_wait(p, is_content, &w, E2E_LONG_MS, "the new note was not saved"))
            quit_by_keys(p, e);
    }
    pty_end(p);
}

/* ---- by a line ---- */

static bool save_by_line(struct e2e *f, const struct editor *e, int number)
{
    char want[TEXT_MAX], line[512], path[E2E_PATH_MAX + 32];
    const char *at = strstr(e->sh_edit, "%d");
    snprintf(line, sizeof line, "%.*s%d%s", (int)(at - e->sh_edit), e->sh_edit, number, at + 2);
    e2e_ok(f, "unset TMPDIR; cd notes && %s", line);
    snprintf(path, sizeof path, "%s/note.md", f->folder);
    text_after(number, want);
    check_file(path, want);
    return e2e_wait_versions(f, path, number + 1);
}

static void work(struct e2e *f, const struct editor *e)
{
    char note[E2E_PATH_MAX + 32], fresh[E2E_PATH_MAX + 32], want[TEXT_MAX];
    snprintf(note, sizeof note, "%s/note.md", f->folder);
    snprintf(fresh, sizeof fresh, "%s/new.md", f->folder);
    if (!e2e_mount(f, NULL))
        return;
    put_file(note, FIRST_LINE);
    if (!e2e_wait_versions(f, note, 1))
        return;
    if (e->open != NULL) {
        /* Twice without leaving: some save in another way the second time; then once more. */
        if (!edit_by_keys(f, e, 1, SAVES_FIRST) || !edit_by_keys(f, e, SAVES_FIRST + 1, SAVES))
            return;
        write_by_keys(f, e);
    } else {
        for (int i = 1; i <= SAVES; i++)
            if (!save_by_line(f, e, i))
                return;
        e2e_ok(f, "unset TMPDIR; cd notes && %s", e->sh_new);
    }
    e2e_wait_versions(f, fresh, 1);
    e2e_wait_published(f);
    text_after(SAVES, want);
    check_file(note, want);
    check_file(fresh, "new note\n");
    check_versions(f, note);
    same(e2e_versions(f, fresh), 1);
    same_text(e2e_value(f, "versions.0.size"), "9");
    check_records(f);
    /* And the same is there after all came and went. */
    e2e_unmount(f);
    e2e_mount(f, NULL);
    e2e_wait_published(f);
    check_versions(f, note);
    check_records(f);
}

#define VI_KEYS .edit = "Goedit %d" ESC, .save = ":w\r", .quit = ":q\r", .write = "inew note" ESC

static void vim(struct e2e *f)
{
    work(f, &(struct editor){.open = "vim -i NONE", VI_KEYS});
}

static void vim_with_backups_by_copy(struct e2e *f)
{
    work(f, &(struct editor){.open = "vim -i NONE --cmd 'set backupcopy=yes'", VI_KEYS});
}

static void vim_that_keeps_backups(struct e2e *f)
{
    work(f, &(struct editor){.open = "vim -i NONE --cmd 'set backup writebackup'", VI_KEYS});
}

static void neovim(struct e2e *f)
{
    work(f, &(struct editor){.open = "nvim -i NONE", VI_KEYS});
}

static void emacs(struct e2e *f)
{
    work(f, &(struct editor){
                .open = "emacs -Q -nw",
                .edit = ESC ">edit %d\r",
                .save = "\x18\x13",
                .quit = "\x18\x03",
                .write = "new note\r",
            });
}

static void nano(struct e2e *f)
{
    work(f, &(struct editor){
                .open = "nano -I",
                .edit = ESC "/edit %d",
                .save = "\x13",
                .quit = "\x18",
                .write = "new note",
            });
}

static void nano_that_locks_and_backs_up(struct e2e *f)
{
    work(f, &(struct editor){
                .open = "nano -I -B -G",
                .edit = ESC "/edit %d",
                .save = "\x13",
                .quit = "\x18",
                .write = "new note",
            });
}

static void kakoune(struct e2e *f)
{
    work(f, &(struct editor){
                .open = "kak -n",
                .edit = "geoedit %d" ESC PTY_PAUSE,
                .save = ":w\r",
                .quit = ":q\r",
                .write = "inew note" ESC PTY_PAUSE,
            });
}

static void ed(struct e2e *f)
{
    work(f, &(struct editor){
                .sh_edit = "printf '$a\\nedit %d\\n.\\nw\\nq\\n' | ed -s note.md",
                .sh_new = "printf 'a\\nnew note\\n.\\nw new.md\\nq\\n' | ed -s",
            });
}

static void sed(struct e2e *f)
{
    work(f, &(struct editor){
                .sh_edit = "sed -i '$a edit %d' note.md",
                .sh_new = "echo old note > new.md && sed -i s/old/new/ new.md",
            });
}

static void glib(struct e2e *f)
{
    work(f, &(struct editor){
                .sh_edit = "{ cat note.md; echo edit %d; } > ../text && gio save note.md < ../text",
                .sh_new = "echo new note | gio save new.md",
            });
}

static void glib_with_backups(struct e2e *f)
{
    work(f,
         &(struct editor){
             .sh_edit = "{ cat note.md; echo edit %d; } > ../text && gio save -b note.md < ../text",
             .sh_new = "echo new note | gio save -b new.md",
         });
}

/* What scripts and other programs do. */
static void a_temporary_file_that_is_renamed(struct e2e *f)
{
    work(f, &(struct editor){
                .sh_edit = "{ cat note.md; echo edit %d; } > note.md.tmp && mv note.md.tmp note.md",
                .sh_new = "echo new note > new.md.tmp && sync new.md.tmp && mv new.md.tmp new.md",
            });
}

static void delete_and_write_anew(struct e2e *f)
{
    work(f, &(struct editor){
                .sh_edit =
                    "t=$(cat note.md) && rm note.md && { echo \"$t\"; echo edit %d; } > note.md",
                .sh_new = "echo new note > new.md",
            });
}

static void append_in_place(struct e2e *f)
{
    work(f, &(struct editor){
                .sh_edit = "echo edit %d >> note.md",
                .sh_new = "printf 'new ' > new.md && printf 'note\\n' >> new.md",
            });
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(vim),
        E2E_TEST(vim_with_backups_by_copy),
        E2E_TEST(vim_that_keeps_backups),
        E2E_TEST(neovim),
        E2E_TEST(emacs),
        E2E_TEST(nano),
        E2E_TEST(nano_that_locks_and_backs_up),
        E2E_TEST(kakoune),
        E2E_TEST(ed),
        E2E_TEST(sed),
        E2E_TEST(glib),
        E2E_TEST(glib_with_backups),
        E2E_TEST(a_temporary_file_that_is_renamed),
        E2E_TEST(delete_and_write_anew),
        E2E_TEST(append_in_place),
    };
    setenv("TMPDIR", "/var/tmp", 1);
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
