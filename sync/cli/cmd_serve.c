/* persist serve: runs a server. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "proto/base/log.h"
#include "sync/cli/commands.h"
#include "sync/cli/confine.h"
#include "sync/cli/daemon.h"
#include "sync/cli/fail.h"
#include "sync/cli/home.h"
#include "sync/cli/logfile.h"
#include "sync/cli/mounts.h"
#include "sync/cli/resolve.h"
#include "sync/cli/server_data.h"
#include "sync/cli/term.h"
#include "sync/server/service.h"

enum { OPT_LISTEN, OPT_DATA, OPT_CERT, OPT_KEY, OPT_MIRROR, OPT_RATE, OPT_FOREGROUND };
static const struct args_option options[] = {
    {.long_name = "listen", .has_value = true},     {.long_name = "data", .has_value = true},
    {.long_name = "tls-cert", .has_value = true},   {.long_name = "tls-key", .has_value = true},
    {.long_name = "mirror", .has_value = true},     {.long_name = "rate", .has_value = true},
    {.short_name = 'f', .long_name = "foreground"}, {0},
};

static const char log_name[] = "serve.log";

/* What is asked for; paths are absolute, as a process in the background has another directory. */
struct request {
    const char *listen;
    struct buf dir, cert, key, mirror;
    uint32_t rate_s;
    bool foreground;
};

static const char *text_or_null(const struct buf *b)
{
    return b->n > 0 ? (const char *)b->p : NULL;
}

static int read_paths(const struct args *a, struct request *r, struct err *err)
{
    const char *cert = args_value(a, OPT_CERT, 0);
    const char *key = args_value(a, OPT_KEY, 0);
    const char *mirror = args_value(a, OPT_MIRROR, 0);
    int rc = server_data_path(args_value(a, OPT_DATA, 0), true, &r->dir, err);
    if (rc == 0 && cert != NULL)
        rc = resolve_path(cert, true, &r->cert, err);
    if (rc == 0 && key != NULL)
        rc = resolve_path(key, true, &r->key, err);
    if (rc == 0 && mirror != NULL)
        rc = resolve_path(mirror, true, &r->mirror, err);
    return rc;
}

/* A mirror is what anybody may read and make backups of, and has no room for anything else: neither
 * for the server's data, nor for what is itself kept the same on devices. */
static int check_mirror(const struct request *r, struct err *err)
{
    const char *mirror = text_or_null(&r->mirror), *data = (const char *)r->dir.p;
    CLEANUP(buf_fini) struct buf around = {0};
    char shown[200], other[200];
    if (mirror == NULL)
        return 0;
    escape_to(shown, sizeof shown, bytes_str(mirror));
    escape_to(other, sizeof other, bytes_str(data));
    if (mounts_is_below(mirror, data) || mounts_is_below(data, mirror))
        return err_set(err, -EINVAL,
                       "serve: the mirror %s and the data %s lie in each other; choose another "
                       "--mirror",
                       shown, other);
    int rc = mounts_at(mirror, err) == 2 ? 1 : mounts_around(mirror, &around, err);
    return rc == 1 ? err_set(err, -EINVAL,
                             "serve: the mirror %s lies in a persist folder; choose another "
                             "--mirror",
                             shown)
                   : rc;
}

/* 0: not given, or not a number from 1 to 999999. */
static uint32_t read_rate(const char *text)
{
    size_t n = text == NULL ? 0 : strspn(text, "0123456789");
    return n > 0 && n <= 6 && text[n] == '\0' ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static void tell_address(const struct request *r, unsigned port, struct out *out)
{
    const char *scheme = r->cert.n > 0 ? "wss" : "ws";
    int host = (int)(strrchr(r->listen, ':') - r->listen); /* it was listened on: there is one */
    log_info("server: listens on %s://%.*s:%u pid=%ld", scheme, host, r->listen, port,
             (long)getpid());
    /* Who started it may have gone: it serves all the same. */
    (void)!out_printf(out, "persist: listening on %s://%.*s:%u\n", scheme, host, r->listen, port);
}

/* The server, in this process. @report: NULL in the foreground. Returns the exit status. */
static int serve(const struct request *r, struct out *out, struct control_out *report)
{
    struct srv_service_config cfg = {
        .dir = (const char *)r->dir.p,
        .listen = r->listen,
        .cert_file = text_or_null(&r->cert),
        .key_file = text_or_null(&r->key),
        .mirror = text_or_null(&r->mirror),
        .rate_s = r->rate_s,
    };
    struct srv_service *s = NULL;
    struct err err = {0};
    int rc = confine_server(&err);
    if (rc == 0)
        rc = srv_service_open(&cfg, &s, &err);
    int status = rc == -EINVAL ? VERB_USAGE : verb_status_of(rc);
    if (rc < 0)
        out_error(out, "%s", err.msg);
    else
        tell_address(r, srv_service_port(s), out);
    if (report != NULL)
        (void)!control_out_exit(report, status);
    if (rc < 0)
        return status;
    rc = srv_service_run(s);
    if (rc < 0)
        log_error("server: ended with an error: %s", strerror(-rc));
    srv_service_close(s);
    log_info("server: has stopped");
    return verb_status_of(rc);
}

static int background_role(struct control_out *report, void *arg)
{
    return serve(arg, &report->out, report);
}

static int run_background(struct request *r, struct out *out)
{
    struct home home = HOME_INIT;
    struct err err = {0};
    int status = VERB_FAILED;
    int log_fd = -1;
    int rc = home_open(&home, true, &err);
    if (rc == 0)
        rc = logfile_open(&home, log_name, &log_fd, &err);
    if (rc == 0)
        rc = daemon_start(background_role, r, log_fd, out, &status, &err);
    if (log_fd >= 0)
        close(log_fd);
    if (rc == -ECONNRESET)
        status = fail(VERB_FAILED, "serve: the server died; see %s/log/%s", home.path, log_name);
    else if (rc < 0)
        status = fail_err(&err);
    home_fini(&home);
    return status;
}

static int start(struct request *r)
{
    struct term term;
    term_init(&term);
    int status = r->foreground ? serve(r, &term.out, NULL) : run_background(r, &term.out);
    return term_finish(&term, status);
}

static int run(const struct args *a)
{
    const char *listen = args_value(a, OPT_LISTEN, 0);
    struct request r = {.listen = listen != NULL ? listen : "127.0.0.1:8440"};
    struct err err = {0};
    int status;
    r.foreground = args_count(a, OPT_FOREGROUND) > 0;
    if (args_count(a, OPT_CERT) != args_count(a, OPT_KEY))
        return fail(VERB_USAGE, "serve: --tls-cert and --tls-key belong together; give both");
    r.rate_s = read_rate(args_value(a, OPT_RATE, 0));
    if (args_count(a, OPT_RATE) > 0 && r.rate_s == 0)
        return fail(VERB_USAGE, "serve: --rate takes entries a second, from 1 to 999999");
    if (!r.foreground)
        daemon_close_inherited();
    int rc = read_paths(a, &r, &err);
    if (rc == 0)
        rc = check_mirror(&r, &err);
    if (rc < 0)
        status = rc == -EINVAL ? fail(VERB_USAGE, "%s", err.msg) : fail_err(&err);
    else
        status = start(&r);
    buf_fini(&r.dir);
    buf_fini(&r.cert);
    buf_fini(&r.key);
    buf_fini(&r.mirror);
    return status;
}

const struct command command_serve = {
    .name = "serve",
    .arguments = "[--listen ADDR:PORT] [--data DIR] [--tls-cert F --tls-key F] [--mirror DIR]\n"
                 "              [--rate N] [-f]",
    .summary = "run a server for the devices of its users",
    .help =
        "Returns when the server listens, and says where.\n"
        "  --listen ADDR:PORT  in numbers; 127.0.0.1:8440 unless given, port 0: a free one\n"
        "  --data DIR          what it keeps; else $PERSIST_HOME/server\n"
        "  --tls-cert F        certificate and chain, PEM\n"
        "  --tls-key F         its key, PEM\n"
        "  --mirror DIR        keep plain files of managed spaces, in DIR/USER/SPACE; what is\n"
        "                      not in a space goes from there ('persist remote add --managed')\n"
        "                      It is outside of the data, and of every persist folder\n"
        "  --rate N            changes a second that a user's devices may send, after 20,000 at\n"
        "                      once: 200 unless given\n"
        "  -f                  stay in the foreground, log to stderr\n"
        "\n"
        "Example:\n"
        "  persist serve && persist user add alice\n",
    .options = options,
    .run = run,
};
