/* persist daemon: starts the sync process of this device. */
#include <errno.h>
#include <unistd.h>

#include "sync/cli/commands.h"
#include "sync/cli/daemon.h"
#include "sync/cli/fail.h"
#include "sync/cli/logfile.h"
#include "sync/cli/runfile.h"
#include "sync/cli/sync_process.h"
#include "sync/cli/term.h"

enum { OPT_FOREGROUND };
static const struct args_option options[] = {{.short_name = 'f', .long_name = "foreground"}, {0}};

static int role(struct control_out *report, void *arg)
{
    return sync_process_run(arg, &report->out, report);
}

static int run_background(struct home *h, struct out *out)
{
    struct err err = {0};
    int status = VERB_FAILED, log_fd;
    int rc = logfile_open(h, SYNC_LOG, &log_fd, &err);
    if (rc < 0)
        return fail_err(&err);
    rc = daemon_start(role, h, log_fd, out, &status, &err);
    close(log_fd);
    if (rc == -ECONNRESET)
        return fail(VERB_FAILED, "sync process: died; see %s/log/" SYNC_LOG, h->path);
    return rc < 0 ? fail_err(&err) : status;
}

/* The process that is the sync process: 1 and its id, 0 none, or a negative errno. */
static int find_running(const struct home *h, pid_t *ret_pid, struct err *err)
{
    int run_fd;
    int rc = home_dir(h, "run", true, &run_fd, err);
    if (rc < 0)
        return rc;
    rc = runfile_owner_named(run_fd, SYNC_RUNFILE, ret_pid, err);
    close(run_fd);
    return rc;
}

static int run(const struct args *a)
{
    struct home home = HOME_INIT;
    struct err err = {0};
    struct term term;
    pid_t pid = 0;
    int status;
    bool foreground = args_count(a, OPT_FOREGROUND) > 0;
    if (!foreground)
        daemon_close_inherited();
    int rc = home_open(&home, true, &err);
    if (rc == 0)
        rc = find_running(&home, &pid, &err);
    term_init(&term);
    if (rc < 0)
        status = fail_err(&err);
    else if (rc == 1)
        status =
            out_printf(&term.out, "the sync process runs already, as process %ld\n", (long)pid) < 0
                ? VERB_FAILED
                : VERB_OK;
    else if (foreground)
        status = sync_process_run(&home, &term.out, NULL);
    else
        status = run_background(&home, &term.out);
    home_fini(&home);
    return term_finish(&term, status);
}

const struct command command_daemon = {
    .name = "daemon",
    .arguments = "[-f]",
    .summary = "start the process that links folders with servers; mounting does it, too",
    .help = "Returns when it listens. A second one says that the first runs. SIGTERM ends it.\n"
            "  -f           stay in the foreground, log to stderr\n"
            "\n"
            "Example:\n"
            "  persist daemon\n",
    .options = options,
    .run = run,
};
