/* The state directory: owners and modes, configuration, identity, spaces, pid files. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/cli/identity.h"
#include "sync/cli/runfile.h"
#include "sync/cli/spaces.h"
#include "sync/state/statefile.h"
#include "tests/support/scratch.h"

struct fixture {
    char path[64]; /* a directory; the state directory is "home" in it */
    struct home home;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -1;
    f->home = (struct home)HOME_INIT;
    if (!scratch_dir(f->path, sizeof f->path, "home"))
        return -1;
    char home[96];
    snprintf(home, sizeof home, "%s/home", f->path);
    setenv("PERSIST_HOME", home, 1);
    *state = f;
    return home_open(&f->home, true, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    home_fini(&f->home);
    int rc = statefile_remove_tree(AT_FDCWD, f->path, NULL);
    free(f);
    return rc;
}

static int reopen(struct fixture *f, struct err *err)
{
    home_fini(&f->home);
    return home_open(&f->home, false, err);
}

static void home_open_modes_and_kinds(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    char path[96];
    struct stat st;
    snprintf(path, sizeof path, "%s/home", f->path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    static const struct {
        mode_t mode;
        int rc;
    } cases[] = {{0755, 0}, {0700, 0}, {0770, -EPERM}, {0702, -EPERM}};
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        assert_int_equal(chmod(path, cases[i].mode), 0);
        assert_int_equal(reopen(f, &err), cases[i].rc);
    }
    assert_non_null(strstr(err.msg, "lets others write"));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(reopen(f, &err), -ENOENT);
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    assert_int_equal(reopen(f, &err), -ENOTDIR);
}

static void home_open_of_another_user_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    if (geteuid() != 0)
        skip();
    char path[96];
    snprintf(path, sizeof path, "%s/home", f->path);
    assert_int_equal(chown(path, 12345, 12345), 0);
    assert_int_equal(reopen(f, &err), -EPERM);
    assert_non_null(strstr(err.msg, "belongs to user 12345"));
}

static void home_open_variables_in_order(void **state)
{
    struct fixture *f = *state;
    char want[96];
    unsetenv("PERSIST_HOME");
    setenv("XDG_STATE_HOME", f->path, 1);
    setenv("XDG_CONFIG_HOME", "relative/is/ignored", 1);
    setenv("HOME", f->path, 1);
    home_fini(&f->home);
    assert_int_equal(home_open(&f->home, true, NULL), 0);
    snprintf(want, sizeof want, "%s/persist", f->path);
    assert_string_equal(f->home.path, want);
    snprintf(want, sizeof want, "%s/.config/persist", f->path);
    assert_string_equal(f->home.config_dir, want);
    unsetenv("XDG_STATE_HOME");
    home_fini(&f->home);
    assert_int_equal(home_open(&f->home, true, NULL), 0);
    snprintf(want, sizeof want, "%s/.local/state/persist", f->path);
    assert_string_equal(f->home.path, want);
}

static void file_read_of_unsafe_files_is_refused(void **state)
{
    struct fixture *f = *state;
    int fd = f->home.fd;
    struct buf b = {0};
    struct err err = {0};
    assert_int_equal(statefile_read(fd, "x", 10, &b, &err), -ENOENT);
    assert_int_equal(statefile_write(fd, "x", bytes_str("secret"), false, &err), 0);
    assert_int_equal(statefile_read(fd, "x", 6, &b, &err), 0);
    assert_int_equal(b.n, 6);
    assert_int_equal(statefile_read(fd, "x", 5, &b, &err), -EFBIG);
    assert_int_equal(fchmodat(fd, "x", 0640, 0), 0);
    assert_int_equal(statefile_read(fd, "x", 10, &b, &err), -EPERM);
    assert_int_equal(statefile_read_shared(fd, "x", 10, &b, &err), 0);
    assert_int_equal(fchmodat(fd, "x", 0660, 0), 0);
    assert_int_equal(statefile_read_shared(fd, "x", 10, &b, &err), -EPERM);
    assert_int_equal(symlinkat("x", fd, "link"), 0);
    assert_int_equal(statefile_read(fd, "link", 10, &b, &err), -ELOOP);
    assert_int_equal(mkfifoat(fd, "fifo", 0600), 0);
    assert_int_equal(statefile_read(fd, "fifo", 10, &b, &err), -EPERM);
    int dir;
    assert_int_equal(symlinkat("/tmp", fd, "dirlink"), 0);
    assert_int_equal(statefile_open_dir(fd, "dirlink", false, &dir, &err), -ENOTDIR);
    buf_fini(&b);
}

static void file_write_fresh_keeps_what_is_there(void **state)
{
    struct fixture *f = *state;
    struct buf b = {0};
    int fd = f->home.fd;
    assert_int_equal(statefile_write(fd, "x", bytes_str("one"), true, NULL), 0);
    assert_int_equal(statefile_write(fd, "x", bytes_str("two"), true, NULL), -EEXIST);
    assert_int_equal(statefile_read(fd, "x", 10, &b, NULL), 0);
    assert_memory_equal(b.p, "one", 3);
    assert_int_equal(statefile_write(fd, "x", bytes_str("two"), false, NULL), 0);
    struct stat st;
    assert_int_equal(fstatat(fd, "x", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    buf_fini(&b);
}

static void config_parse_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        const char *label;
    } cases[] = {
        {"", 0, ""},
        {"# comment\n\n  label = Alice's laptop  \r\n", 0, "Alice's laptop"},
        {"label=x", 0, "x"},
        {"label", -EINVAL, ""},
        {"label=", -EINVAL, ""},
        {"label=a/b", -EINVAL, ""},
        {"lable=x\n", -EINVAL, ""},
        {"=x", -EINVAL, ""},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct config c = {0};
        assert_int_equal(config_parse(bytes_str(cases[i].text), &c, NULL), cases[i].rc);
        assert_string_equal(c.label, cases[i].label);
    }
    struct config c;
    struct err err = {0};
    assert_int_equal(config_parse(bytes_of("label=a\n\0\n", 10), &c, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "line 2"));
}

static void identity_load_makes_once_and_checks(void **state)
{
    struct fixture *f = *state;
    struct identity a;
    struct identity b;
    struct err err = {0};
    assert_int_equal(identity_load(&f->home, &a, &err), 0);
    assert_int_equal(strncmp(a.peer_id, "12D3KooW", 8), 0);
    assert_int_equal(strlen(a.peer_id), 52);
    assert_int_equal(
        statefile_write(f->home.fd, "config", bytes_str("label = Büro\n"), false, NULL), 0);
    assert_int_equal(identity_load(&f->home, &b, &err), 0);
    assert_string_equal(a.peer_id, b.peer_id);
    assert_string_equal(b.label, "Büro");
    assert_int_equal(fchmodat(f->home.fd, "sync/identity", 0644, 0), 0);
    assert_int_equal(identity_load(&f->home, &b, &err), -EPERM);
    assert_non_null(strstr(err.msg, "/sync/identity: mode 644"));
    assert_int_equal(fchmodat(f->home.fd, "sync/identity", 0600, 0), 0);
    int fd = openat(f->home.fd, "sync/identity", O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(identity_load(&f->home, &b, &err), -EBADMSG);
}

static void spaces_live_from_create_to_remove(void **state)
{
    struct fixture *f = *state;
    struct space_list l;
    struct err err = {0};
    const struct space_entry *e = NULL;
    assert_int_equal(spaces_load(&f->home, &l, &err), 0);
    assert_int_equal(l.n, 0);
    struct keyring one = {.space = {{1}}}, two = {.space = {{2}}};
    assert_int_equal(spaces_create(&f->home, &l, "/mnt/b\nc", "b", &one, &e, &err), 0);
    assert_int_equal(spaces_create(&f->home, &l, "/mnt/a", "a", &two, &e, &err), 0);
    spaces_fini(&l);
    assert_int_equal(spaces_load(&f->home, &l, &err), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.v[0].folder, "/mnt/a");
    assert_string_equal(l.v[1].folder, "/mnt/b\nc");
    assert_true(l.v[0].fresh);
    assert_int_equal(spaces_mark_used(&f->home, &l.v[0], &err), 0);
    assert_int_equal(spaces_remove(&f->home, spaces_named(&l, "b"), &err), 0);
    spaces_fini(&l);
    assert_int_equal(spaces_load(&f->home, &l, &err), 0);
    assert_int_equal(l.n, 1);
    assert_false(l.v[0].fresh);
    assert_non_null(spaces_at(&l, "/mnt/a"));
    assert_null(spaces_at(&l, "/mnt/a/"));
    /* One that makes no sense stops everything, with its place in the message. */
    char path[128];
    snprintf(path, sizeof path, "spaces/%s/name", l.v[0].id);
    int fd = openat(f->home.fd, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    close(fd);
    spaces_fini(&l);
    assert_int_equal(spaces_load(&f->home, &l, &err), -EUCLEAN);
    assert_non_null(strstr(err.msg, "/spaces/"));
}

static void spaces_that_a_dead_command_left_half_done_are_swept(void **state)
{
    struct fixture *f = *state;
    struct space_list l;
    struct err err = {0};
    const struct space_entry *e = NULL;
    struct keyring one = {.space = {{1}}};
    spaces_sweep(&f->home); /* there is no such directory yet */
    assert_int_equal(spaces_load(&f->home, &l, &err), 0);
    assert_int_equal(spaces_create(&f->home, &l, "/mnt/a", "a", &one, &e, &err), 0);
    char from[64];
    snprintf(from, sizeof from, "spaces/%s", e->id);
    assert_int_equal(renameat(f->home.fd, from, f->home.fd, "spaces/.gone-1"), 0);
    spaces_fini(&l);
    assert_int_equal(spaces_load(&f->home, &l, &err), 0);
    assert_int_equal(spaces_create(&f->home, &l, "/mnt/a", "a", &one, &e, &err), 0);
    assert_int_equal(mkdirat(f->home.fd, "spaces/.new-2", 0700), 0);
    assert_int_equal(mkdirat(f->home.fd, "spaces/.anew-3", 0700), 0);
    spaces_sweep(&f->home);
    assert_int_equal(faccessat(f->home.fd, "spaces/.gone-1", F_OK, 0), -1);
    assert_int_equal(faccessat(f->home.fd, "spaces/.new-2", F_OK, 0), -1);
    assert_int_equal(faccessat(f->home.fd, "spaces/.anew-3", F_OK, 0), 0); /* under way */
    assert_int_equal(faccessat(f->home.fd, from, F_OK, 0), 0);
    spaces_fini(&l);
}

/* Who makes a space in vain removes it without the lock. */
static void spaces_may_be_swept_while_one_is_removed(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    const struct space_entry *e = NULL;
    struct keyring one = {.space = {{1}}};
    pid_t pid = fork();
    assert_true(pid >= 0);
    int lock_fd, rc = 0;
    while (pid == 0 && home_lock(&f->home, &lock_fd, &err) == 0) {
        spaces_sweep(&f->home);
        close(lock_fd);
    }
    if (pid == 0)
        _exit(1);
    for (int i = 0; i < 300 && rc == 0; i++) {
        struct space_list l = {0};
        assert_int_equal(home_lock(&f->home, &lock_fd, &err), 0);
        rc = spaces_create(&f->home, &l, "/mnt/a", "a", &one, &e, &err);
        close(lock_fd);
        if (rc == 0)
            rc = spaces_remove(&f->home, e, &err);
        spaces_fini(&l);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

/* One more is refused: it would not be found again. */
static void spaces_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct space_list full = {.n = SPACES_MAX};
    struct err err = {0};
    const struct space_entry *e = NULL;
    struct keyring one = {.space = {{1}}};
    assert_int_equal(spaces_create(&f->home, &full, "/mnt/a", "a", &one, &e, &err), -EMFILE);
    assert_int_equal(faccessat(f->home.fd, "spaces", F_OK, 0), -1);
}

/* One is made, and another one put in its place; the list from before. */
static void replace(struct fixture *f, struct space_list *before)
{
    struct err err = {0};
    const struct space_entry *e = NULL;
    struct keyring one = {.space = {{1}}}, two = {.space = {{2}}};
    char *staged;
    assert_int_equal(spaces_load(&f->home, before, &err), 0);
    assert_int_equal(spaces_create(&f->home, before, "/mnt/a", "a", &one, &e, &err), 0);
    assert_int_equal(spaces_mark_used(&f->home, e, &err), 0);
    assert_int_equal(spaces_still_at(&f->home, e, &err), 0);
    assert_int_equal(spaces_stage(&f->home, e, &two, &staged, &err), 0);
    free(staged);
    assert_int_equal(spaces_replace(&f->home, e, &two.space, "/mnt/a.old", "a.old", &err), 0);
}

static void spaces_another_one_takes_the_place(void **state)
{
    struct fixture *f = *state;
    struct space_list before, after;
    struct err err = {0};
    replace(f, &before);
    /* Who has read the list before is not misled by it. */
    assert_int_equal(spaces_still_at(&f->home, &before.v[0], &err), -EBUSY);
    assert_int_equal(spaces_load(&f->home, &after, &err), 0);
    assert_int_equal(after.n, 2);
    assert_string_equal(spaces_at(&after, "/mnt/a.old")->id, before.v[0].id);
    assert_string_equal(spaces_named(&after, "a.old")->id, before.v[0].id);
    assert_int_equal(spaces_still_at(&f->home, spaces_at(&after, "/mnt/a"), &err), 0);
    assert_true(spaces_at(&after, "/mnt/a")->anew);
    /* Until it is mounted, and not only opened. */
    assert_int_equal(spaces_mark_used(&f->home, spaces_at(&after, "/mnt/a"), &err), 0);
    spaces_fini(&after);
    assert_int_equal(spaces_load(&f->home, &after, &err), 0);
    assert_true(spaces_at(&after, "/mnt/a")->anew);
    assert_int_equal(spaces_mark_mounted(&f->home, spaces_at(&after, "/mnt/a"), &err), 0);
    spaces_fini(&after);
    assert_int_equal(spaces_load(&f->home, &after, &err), 0);
    assert_false(spaces_at(&after, "/mnt/a")->anew);
    spaces_fini(&before);
    spaces_fini(&after);
}

static void spaces_the_old_one_goes_before_it_got_its_folder(void **state)
{
    struct fixture *f = *state;
    struct space_list before, after;
    struct err err = {0};
    replace(f, &before);
    assert_int_equal(spaces_remove(&f->home, &before.v[0], &err), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(spaces_load(&f->home, &after, &err), 0);
        assert_int_equal(after.n, 1);
        assert_string_equal(after.v[0].folder, "/mnt/a");
        assert_int_equal(spaces_mark_mounted(&f->home, &after.v[0], &err), 0);
        spaces_fini(&after);
    }
    spaces_fini(&before);
}

static void spaces_choose_name_is_valid_and_unique(void **state)
{
    (void)state;
    struct space_entry taken[] = {{.name = "Notes"}, {.name = "Notes-2"}};
    struct space_list l = {.v = taken, .n = ARRAY_N(taken)};
    struct space_list none = {0};
    char name[SPACE_NAME_SIZE];
    static const char *const cases[][2] = {
        {"/home/a/Notes", "Notes"},   {"/", "folder"},
        {"/x/.hidden", "_hidden"},    {"/x/-dash", "_dash"},
        {"/x/a\nb\\c\xff", "a_b_c_"}, {"/x/\xc3\xa4", "\xc3\xa4"},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        spaces_choose_name(&none, cases[i][0], name);
        assert_string_equal(name, cases[i][1]);
        assert_true(spaces_name_valid(name));
    }
    spaces_choose_name(&l, "/y/Notes", name);
    assert_string_equal(name, "Notes-3");
    char longest[300] = "/";
    memset(longest + 1, 'n', 255);
    spaces_choose_name(&none, longest, name);
    assert_true(spaces_name_valid(name));
}

static void runfile_says_who_lives(void **state)
{
    struct fixture *f = *state;
    struct space_entry e = {.name = "n", .folder = (char[]){"/mnt/n"}};
    struct err err = {0};
    int fd;
    int second;
    pid_t pid = 0;
    assert_int_equal(runfile_owner(f->home.fd, &e, &pid, &err), 0);
    assert_int_equal(runfile_take(f->home.fd, &e, &fd, &err), 0);
    assert_int_equal(runfile_owner(f->home.fd, &e, &pid, &err), 1);
    assert_int_equal(pid, getpid());
    assert_int_equal(runfile_take(f->home.fd, &e, &second, &err), -EBUSY);
    char want[32];
    snprintf(want, sizeof want, "process %ld", (long)getpid());
    assert_non_null(strstr(err.msg, want));
    runfile_release(f->home.fd, &e, fd);
    assert_int_equal(faccessat(f->home.fd, "mount-n.pid", F_OK, 0), -1);
    /* One that died leaves its file, with a number that may be anybody's by now. */
    pid_t child = fork();
    if (child == 0)
        _exit(runfile_take(f->home.fd, &e, &second, NULL) == 0 ? 0 : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(faccessat(f->home.fd, "mount-n.pid", F_OK, 0), 0);
    assert_int_equal(runfile_owner(f->home.fd, &e, &pid, &err), 0);
    assert_int_equal(runfile_take(f->home.fd, &e, &fd, &err), 0);
    runfile_release(f->home.fd, &e, fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(home_open_modes_and_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(home_open_of_another_user_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(home_open_variables_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(file_read_of_unsafe_files_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(file_write_fresh_keeps_what_is_there, setup, teardown),
        cmocka_unit_test(config_parse_lines),
        cmocka_unit_test_setup_teardown(identity_load_makes_once_and_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(spaces_live_from_create_to_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(spaces_that_a_dead_command_left_half_done_are_swept, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(spaces_may_be_swept_while_one_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(spaces_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(spaces_another_one_takes_the_place, setup, teardown),
        cmocka_unit_test_setup_teardown(spaces_the_old_one_goes_before_it_got_its_folder, setup,
                                        teardown),
        cmocka_unit_test(spaces_choose_name_is_valid_and_unique),
        cmocka_unit_test_setup_teardown(runfile_says_who_lives, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
