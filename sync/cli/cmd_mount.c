/* persist mount: makes or opens the space of a folder and mounts it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/mount/mount.h"
#include "proto/base/escape.h"
#include "sync/cli/commands.h"
#include "sync/cli/daemon.h"
#include "sync/cli/fail.h"
#include "sync/cli/identity.h"
#include "sync/cli/logfile.h"
#include "sync/cli/mount_checks.h"
#include "sync/cli/mount_import.h"
#include "sync/cli/mount_process.h"
#include "sync/cli/new_space.h"
#include "sync/cli/runfile.h"
#include "sync/cli/sync_ensure.h"
#include "sync/cli/term.h"

enum { OPT_NAME, OPT_IMPORT, OPT_NEW_SPACE, OPT_OPTIONS, OPT_FOREGROUND };
static const struct args_option options[] = {
    {.long_name = "name", .has_value = true},
    {.long_name = "import"},
    {.long_name = "new-space"},
    {.short_name = 'o', .has_value = true, .repeats = true},
    {.short_name = 'f', .long_name = "foreground"},
    {0},
};

/* All that is known about a mount that is asked for. */
struct request {
    const char *path; /* as typed */
    const char *name; /* NULL: any */
    bool import, new_space, foreground;
    struct buf options, folder;
    struct session session;
    struct identity identity;
    const struct space_entry *space;
    bool created;          /* the space is made by this command */
    struct err sync_error; /* why there is no sync process */
};

static int join_options(const struct args *a, struct buf *ret)
{
    for (size_t i = 0; i < args_count(a, OPT_OPTIONS); i++) {
        if (i > 0)
            buf_put_u8(ret, ',');
        buf_put_bytes(ret, bytes_str(args_value(a, OPT_OPTIONS, i)));
    }
    buf_put_u8(ret, 0);
    return buf_status(ret);
}

/* What is wrong with the words themselves. */
static int check_usage(const struct args *a, struct request *r)
{
    struct err err = {0};
    r->path = args_plain(a, 0);
    r->name = args_value(a, OPT_NAME, 0);
    r->import = args_count(a, OPT_IMPORT) > 0;
    r->new_space = args_count(a, OPT_NEW_SPACE) > 0;
    r->foreground = args_count(a, OPT_FOREGROUND) > 0;
    if (join_options(a, &r->options) < 0)
        return fail(VERB_FAILED, "mount: out of memory");
    if (r->new_space && (r->import || r->name != NULL))
        return fail(VERB_USAGE, "mount: --new-space keeps the name, and the files that the folder "
                                "has; leave --name and --import out");
    if (r->name != NULL && !spaces_name_valid(r->name))
        return fail(
            VERB_USAGE,
            "mount: the name must be 1 to 64 bytes of plain text without '/', not beginning "
            "with '.' or '-'; choose another --name");
    if (mount_check_options((const char *)r->options.p, &err) < 0)
        return fail(VERB_USAGE, "%s", err.msg);
    return VERB_OK;
}

static int check_files(struct request *r, struct err *err)
{
    const char *folder = (const char *)r->folder.p;
    char shown[200];
    int rc = mount_checks_has_files(folder, err);
    if (rc == 1 && !r->import)
        return err_set(
            err, -ENOTEMPTY,
            "%s: is not empty; 'persist mount --import' takes its files in, or choose an "
            "empty directory",
            escape_to(shown, sizeof shown, bytes_str(folder)));
    if (rc == 0)
        r->import = false;
    return rc == 1 ? mount_import_check(folder, err) : rc;
}

/* Everything that can be known to fail before anything is changed. */
static int check(struct request *r, struct err *err)
{
    int rc = mount_checks_folder(r->path, &r->folder, err);
    if (rc == 0)
        rc = mount_checks_fuse(err);
    if (rc == 0)
        rc = check_files(r, err);
    if (rc == 0)
        rc = session_open(&r->session, true, err);
    if (rc == 0)
        rc = mount_checks_home(&r->session.home, (const char *)r->folder.p, err);
    return rc == 0 ? identity_load(&r->session.home, &r->identity, err) : rc;
}

/* A new space, of which this device is the first member. */
static int found(struct request *r, const char *folder, const char *name, struct err *err)
{
    struct space_member member;
    struct keyring k;
    int rc = identity_member(&r->session.home, &r->identity, &member, err);
    if (rc < 0)
        return rc;
    rc = keyring_found(&k, &member);
    space_member_fini(&member);
    if (rc < 0)
        return err_set(err, rc, "mount: making the keys of the space: %s", strerror(-rc));
    rc = spaces_create(&r->session.home, &r->session.spaces, folder, name, &k, &r->space, err);
    keyring_fini(&k);
    return rc;
}

static int choose_space(struct request *r, struct err *err)
{
    struct space_list *l = &r->session.spaces;
    const char *folder = (const char *)r->folder.p;
    char name[SPACE_NAME_SIZE];
    r->space = spaces_at(l, folder);
    if (r->space != NULL && r->name != NULL && strcmp(r->space->name, r->name) != 0)
        return err_set(err, -EEXIST, "mount: this folder is '%s' already; leave --name out",
                       r->space->name);
    if (r->space != NULL)
        return 0;
    const struct space_entry *other = r->name != NULL ? spaces_named(l, r->name) : NULL;
    if (other != NULL)
        return err_set(err, -EEXIST, "mount: the name '%s' belongs to %s; choose another --name",
                       r->name, other->folder);
    if (r->name != NULL)
        snprintf(name, sizeof name, "%s", r->name);
    else
        spaces_choose_name(l, folder, name);
    int rc = found(r, folder, name, err);
    r->created = rc == 0;
    return rc;
}

/* Finds or makes the space, alone: two commands at once do not make two spaces of one folder. */
static int find_space(struct request *r, struct err *err)
{
    int lock_fd;
    int rc = session_lock(&r->session, &lock_fd, err);
    if (rc < 0)
        return rc;
    rc = choose_space(r, err);
    close(lock_fd);
    return rc;
}

/* A mount that failed leaves no new space behind, unless files were taken into it. */
static void undo_space(const struct request *r)
{
    struct err err = {0};
    char marker[64];
    pid_t pid;
    snprintf(marker, sizeof marker, "spaces/%s/new", r->space->id);
    bool fresh = faccessat(r->session.home.fd, marker, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    if (!r->created || (r->import && !fresh) ||
        session_owner(&r->session, r->space, &pid, NULL) != 0)
        return;
    if (spaces_remove(&r->session.home, r->space, &err) < 0)
        (void)fail_err(&err);
}

static struct mount_process process_of(const struct request *r)
{
    return (struct mount_process){
        .session = &r->session,
        .space = r->space,
        .options = r->options.n > 1 ? (const char *)r->options.p : NULL,
        .identity = &r->identity,
        .sync_error = r->sync_error.msg,
        .import = r->import,
    };
}

static int background_role(struct control_out *report, void *arg)
{
    struct mount_process m = process_of(arg);
    m.out = &report->out;
    m.report = report;
    return mount_process_run(&m);
}

static int run_background(struct request *r, struct out *out)
{
    struct err err = {0};
    int status = VERB_FAILED;
    char name[RUNFILE_NAME_SIZE];
    int log_fd;
    int rc = logfile_open(&r->session.home, runfile_name(r->space, ".log", name), &log_fd, &err);
    if (rc < 0)
        return fail_err(&err);
    rc = daemon_start(background_role, r, log_fd, out, &status, &err);
    close(log_fd);
    if (rc == -ECONNRESET)
        return fail(VERB_FAILED, "%s: the mount process died; see %s/log/%s", r->space->folder,
                    r->session.home.path, runfile_name(r->space, ".log", name));
    return rc < 0 ? fail_err(&err) : status;
}

static int start(struct request *r)
{
    struct term term;
    int status;
    term_init(&term);
    /* Without it the folder works, but for the network. */
    if (sync_ensure(&r->session.home, r->session.run_fd, &r->sync_error) < 0)
        (void)fail_err(&r->sync_error);
    if (r->foreground) {
        struct mount_process m = process_of(r);
        m.out = &term.out;
        status = mount_process_run(&m);
    } else {
        status = run_background(r, &term.out);
    }
    if (status != VERB_OK)
        undo_space(r);
    return term_finish(&term, status);
}

/* The new space is there: mounted by the program anew, as a database leaves threads behind. */
static int mount_new(const struct request *r)
{
    char program[] = "persist", verb[] = "mount", option[] = "-o", foreground[] = "-f",
         end[] = "--";
    char *argv[8] = {program, verb}, **at = argv + 2;
    if (r->foreground)
        *at++ = foreground;
    if (r->options.n > 1) {
        *at++ = option;
        *at++ = (char *)r->options.p;
    }
    *at++ = end;
    *at = (char *)(uintptr_t)r->path;
    execv("/proc/self/exe", argv);
    return fail(VERB_FAILED, "mount: starting the program: %s; 'persist mount' it",
                strerror(errno));
}

static int run(const struct args *a)
{
    struct request r = {.session = SESSION_INIT};
    struct err err = {0};
    int status = check_usage(a, &r);
    if (status == VERB_OK && r.new_space) {
        status = new_space(r.path);
        if (status == VERB_OK)
            status = mount_new(&r);
        buf_fini(&r.options);
        return status;
    }
    if (status == VERB_OK && !r.foreground)
        daemon_close_inherited();
    if (status == VERB_OK && (check(&r, &err) < 0 || find_space(&r, &err) < 0))
        status = fail_err(&err);
    else if (status == VERB_OK)
        status = start(&r);
    session_fini(&r.session);
    buf_fini(&r.options);
    buf_fini(&r.folder);
    return status;
}

const struct command command_mount = {
    .name = "mount",
    .arguments = "FOLDER [--name NAME] [--import | --new-space] [-o OPTS] [-f]",
    .summary = "make or open the space of a folder, mount it, return when it is usable",
    .help =
        "FOLDER is an empty directory.\n"
        "  --name NAME  its name on this device, for logs; else the last part of the path\n"
        "  --import     the directory is not empty: store its files in the space first, then\n"
        "               move the originals to FOLDER.before-persist beside it\n"
        "  --new-space  make a new space of a folder as it stands, with no other device in it:\n"
        "               after this device was put out; the old one stays beside it, with its\n"
        "               history, as FOLDER.before-new-space\n"
        "  -o OPTS      mount options, separated by commas\n"
        "  -f           stay in the foreground, log to stderr\n"
        "\n"
        "Example:\n"
        "  mkdir ~/Notes && persist mount ~/Notes\n",
    .options = options,
    .plain_min = 1,
    .plain_max = 1,
    .run = run,
};
