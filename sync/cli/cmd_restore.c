/* persist restore: brings an old version of a file, or a whole folder as it was, back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/process.h"
#include "sync/cli/term.h"
#include "sync/cli/versioned.h"
#include "sync/cli/when.h"

enum { OPT_TO, OPT_AT, OPT_JSON };
static const struct args_option options[] = {
    {.long_name = "to", .has_value = true},
    {.long_name = "at", .has_value = true},
    {.long_name = "json"},
    {0},
};

/* An out whose bytes go to a file and whose rest goes to the terminal. */
struct file_out {
    struct out out;
    struct term term;
    int fd;
    int error; /* negative errno of the first failed write */
};

static struct file_out *file_out_of(struct out *o)
{
    return CONTAINER_OF(o, struct file_out, out);
}

static int file_out_write(struct out *o, struct bytes v)
{
    struct file_out *f = file_out_of(o);
    while (v.n > 0 && f->error == 0) {
        ssize_t n = write(f->fd, v.p, v.n);
        if (n < 0 && errno != EINTR)
            f->error = -errno;
        if (n > 0) {
            v.p += n;
            v.n -= (size_t)n;
        }
    }
    return f->error;
}

static void file_out_progress(struct out *o, uint64_t done, uint64_t total, const char *label)
{
    out_progress(&file_out_of(o)->term.out, done, total, label);
}

static void file_out_error(struct out *o, const char *line)
{
    /* When the file cannot be written, that is what is said. */
    if (file_out_of(o)->error == 0)
        out_error(&file_out_of(o)->term.out, "%s", line);
}

static bool file_out_cancelled(struct out *o, unsigned wait_ms)
{
    return file_out_of(o)->error != 0 || out_cancelled(&file_out_of(o)->term.out, wait_ms);
}

/* Runs `show` into the open file; an exit status. */
static int fetch(const struct versioned *v, int fd, const char *to)
{
    struct file_out f = {
        .out = {.write = file_out_write,
                .progress = file_out_progress,
                .error = file_out_error,
                .cancelled = file_out_cancelled},
        .fd = fd,
    };
    struct verb_call call = {
        .verb = "show",
        .args = {(const char *)v->target.path.p, v->version},
        .args_n = 2,
    };
    struct err err = {0};
    int status = VERB_FAILED;
    term_init(&f.term);
    int rc = session_run(&v->session, v->target.space, &call, &f.out, &status, &err);
    status = term_finish(&f.term, status);
    if (f.error != 0)
        return fail(VERB_FAILED, "%s: %s", to, strerror(-f.error));
    return rc < 0 ? fail_err(&err) : status;
}

static int give_name(int fd, const char *aside, const char *to, const char *shown)
{
    if (fchmod(fd, 0666 & ~process_umask()) < 0 || fsync(fd) < 0)
        return fail(VERB_FAILED, "%s: %s", shown, strerror(errno));
    if (renameat2(AT_FDCWD, aside, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return VERB_OK;
    if (errno == EEXIST)
        return fail(VERB_FAILED, "%s: exists already; choose another path or remove it", shown);
    return fail(VERB_FAILED, "%s: %s", shown, strerror(errno));
}

/* To a path outside of the space: a new file, there whole or not at all. */
static int restore_outside(const struct versioned *v, const char *to)
{
    char shown[200];
    struct stat st;
    escape_to(shown, sizeof shown, bytes_str(to));
    if (lstat(to, &st) == 0)
        return fail(VERB_FAILED, "%s: exists already; choose another path or remove it", shown);
    char *aside;
    if (asprintf(&aside, "%s.persist-%ld", to, (long)getpid()) < 0)
        return fail(VERB_FAILED, "restore: out of memory");
    int status;
    int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        status = fail((enum verb_status)verb_status_of(-errno), "%s: %s", shown, strerror(errno));
    } else {
        status = fetch(v, fd, shown);
        if (status == VERB_OK)
            status = give_name(fd, aside, to, shown);
        if (status != VERB_OK)
            unlink(aside);
        close(fd);
    }
    free(aside);
    return status;
}

static int restore_version(const char *argument, const char *to, bool json)
{
    struct versioned v = VERSIONED_INIT;
    struct target place = {.space = NULL};
    struct buf path = {0};
    struct err err = {0};
    int status = versioned_open(&v, argument);
    struct verb_call call = {.verb = "restore", .json = json};
    if (status == VERB_OK) {
        call.args[call.args_n++] = (const char *)v.target.path.p;
        call.args[call.args_n++] = v.version;
    }
    if (status == VERB_OK && to != NULL) {
        int rc = resolve_path(to, false, &path, &err);
        if (rc == 0)
            rc = target_place(&v.session.spaces, (const char *)path.p, &place);
        if (rc < 0 && rc != -ENOENT)
            status = fail(VERB_FAILED, "restore: out of memory");
    }
    if (status == VERB_OK && place.space == v.target.space)
        call.args[call.args_n++] = (const char *)place.path.p;
    if (status == VERB_OK)
        status = to != NULL && place.space != v.target.space
                     ? restore_outside(&v, (const char *)path.p)
                     : session_command(&v.session, v.target.space, &call);
    buf_fini(&path);
    target_fini(&place);
    versioned_fini(&v);
    return status;
}

static int run(const struct args *a)
{
    const char *at = args_value(a, OPT_AT, 0);
    const char *to = args_value(a, OPT_TO, 0);
    bool json = args_count(a, OPT_JSON) > 0;
    if (at == NULL)
        return restore_version(args_plain(a, 0), to, json);
    if (to != NULL)
        return fail(VERB_USAGE, "restore: --at and --to do not go together; use one of them");
    struct verb_call call = {.verb = "restore", .json = json};
    struct err err = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (when_parse(at, now_ms, &call.at_ms, &err) < 0)
        return fail(VERB_USAGE, "%s", err.msg);
    return commands_on_folder(args_plain(a, 0), true, &call);
}

const struct command command_restore = {
    .name = "restore",
    .arguments = "PATH@VERSION [--to PATH] | FOLDER --at TIME",
    .summary = "bring an old version of a file, or a folder as it was, back",
    .help = "What is there now stays in the history.\n"
            "  --to PATH  to another path, in the folder or outside; it must not exist yet\n"
            "  --at TIME  '2026-11-22', '2026-11-22 14:03', '2h ago', '@SECONDS'\n"
            "  --json     one JSON document\n"
            "\n"
            "Examples:\n"
            "  persist restore ~/Notes/todo.md@3\n"
            "  persist restore ~/Notes/todo.md@3 --to /tmp/todo.md\n"
            "  persist restore ~/Notes --at '2026-11-22 14:00'\n",
    .options = options,
    .plain_min = 1,
    .plain_max = 1,
    .run = run,
};
