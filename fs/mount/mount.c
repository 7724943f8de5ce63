#include "fs/mount/mount.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fs/mount/device.h"
#include "fs/mount/ll.h"
#include "fs/mount/loop.h"
#include "fs/mount/notify.h"
#include "fs/mount/virtual.h"
#include "fs/mount/watch.h"
#include "fs/space/space.h"
#include "fs/tree/tree.h"
#include "proto/base/log.h"

/* Passed on to the kernel, or meant for others and dropped. */
static const char *const options_known[] = {"allow_other", "allow_root", "ro",      "rw",
                                            "noexec",      "exec",       "noatime", "relatime"};
static const char *const options_ignored[] = {"default_permissions",
                                              "nosuid",
                                              "nodev",
                                              "auto",
                                              "noauto",
                                              "user",
                                              "users",
                                              "nouser",
                                              "nofail",
                                              "_netdev",
                                              "defaults",
                                              "async",
                                              "relatime",
                                              "rw"};

static bool in_list(const char *option, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(option, list[i]) == 0)
            return true;
    return strncmp(option, "x-", 2) == 0;
}

/* Appends to @out what of @options is for FUSE. */
static int filter_options(const char *options, struct buf *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf copy = {0};
    buf_put(&copy, options, strlen(options) + 1);
    if (buf_status(&copy) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    char *save = NULL;
    for (char *o = strtok_r((char *)copy.p, ",", &save); o != NULL;
         o = strtok_r(NULL, ",", &save)) {
        if (in_list(o, options_ignored, ARRAY_N(options_ignored)))
            continue;
        if (!in_list(o, options_known, ARRAY_N(options_known)))
            return err_set(err, -EINVAL,
                           "unknown mount option '%s'; known are allow_other, "
                           "allow_root, ro, noexec, noatime",
                           o);
        if (out->n > 0)
            buf_put_u8(out, ',');
        buf_put(out, o, strlen(o));
    }
    return buf_status(out) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

int mount_check_options(const char *options, struct err *err)
{
    CLEANUP(buf_fini) struct buf out = {0};
    return options == NULL ? 0 : filter_options(options, &out, err);
}

/* What the session has to know of the options is nothing: the kernel has them. */
static struct fuse_session *make_session(struct ll *ll)
{
    char name[] = "persist";
    char *argv[] = {name, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    struct fuse_session *se = fuse_session_new(&args, &virtual_ops, sizeof virtual_ops, ll);
    fuse_opt_free_args(&args);
    return se;
}

/*
 * A handler, not a blocked mask: threads of the database and the publisher are there already, and a
 * signal may come to any of them.
 */
static int end_fd = -1;

static void on_signal(int number)
{
    (void)number;
    int saved = errno;
    eventfd_write(end_fd, 1);
    errno = saved;
}

static int catch_signals(struct err *err)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    end_fd = eventfd(0, EFD_CLOEXEC);
    if (end_fd < 0)
        return err_set(err, -errno, "preparing signals: %s", strerror(errno));
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < ARRAY_N(numbers); i++)
        sigaction(numbers[i], &act, NULL);
    return 0;
}

/* Until the threads end, or a signal asks for the end. */
static int wait_for_end(const struct mount_config *cfg, struct loop *loop)
{
    struct pollfd p[2] = {{.fd = loop_fd(loop), .events = POLLIN},
                          {.fd = end_fd, .events = POLLIN}};
    while (poll(p, ARRAY_N(p), -1) < 0 && errno == EINTR)
        ;
    if (p[1].revents != 0) {
        log_info("a signal asks for the end: unmounting");
        cfg->unmount(cfg->arg);
        notify_stop(cfg->space); /* it may wait for an answer */
        loop_stop(loop);
    }
    return loop_join(loop);
}

/* The thread of a program that a request comes from; 0: the kernel's own. */
static pid_t caller_of(const void *request, size_t n)
{
    struct fuse_in_header h;
    if (n < sizeof h)
        return 0;
    memcpy(&h, request, sizeof h);
    return (pid_t)h.pid;
}

static void at_request(void *space, const void *request, size_t n)
{
    space_use(space);
    device_look(request, n);
    tree_serve(caller_of(request, n));
}

static void after_request(void *space)
{
    tree_serve(0);
    space_used(space);
}

static int serve(const struct mount_config *cfg, struct fuse_session *se, struct err *err)
{
    const struct loop_hooks hooks = {.before = at_request,
                                     .after = after_request,
                                     .thread_done = ll_thread_done,
                                     .arg = cfg->space};
    int rc = catch_signals(err);
    if (rc < 0)
        return rc;
    struct loop *loop;
    rc = loop_start(se, &hooks, &loop, err);
    if (rc < 0)
        return rc;
    device_read_ahead(cfg->folder);
    cfg->ready(cfg->arg);
    rc = wait_for_end(cfg, loop);
    return rc < 0 ? err_set(err, rc, "serving %s: %s", cfg->folder, strerror(-rc)) : 0;
}

static int serve_watched(const struct mount_config *cfg, struct fuse_session *se, struct err *err)
{
    int rc = watch_connect(cfg->watch, fuse_session_fd(se), cfg->folder, err);
    if (rc == 0)
        rc = cfg->mounted(cfg->arg, err);
    if (rc < 0) {
        cfg->unmount(cfg->arg);
        return rc;
    }
    notify_start(cfg->space, se);
    rc = serve(cfg, se, err);
    notify_stop(cfg->space);
    return rc;
}

int mount_serve(const struct mount_config *cfg, struct err *err)
{
    CLEANUP(buf_fini) struct buf options = {0};
    int rc = cfg->options != NULL ? filter_options(cfg->options, &options, err) : 0;
    buf_put_u8(&options, 0);
    if (rc == 0 && buf_status(&options) < 0)
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc < 0)
        return rc;
    struct ll ll = {.tree = space_tree(cfg->space)};
    if (virtual_new(cfg->space, cfg->folder, cfg->name, &ll.virtual) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    struct fuse_session *se = make_session(&ll);
    if (se == NULL) {
        virtual_free(ll.virtual);
        return err_set(err, -ENOMEM, "out of memory");
    }
    ll.se = se;
    rc = device_mount(se, cfg->folder, (const char *)options.p, err);
    if (rc == 0)
        rc = serve_watched(cfg, se, err);
    virtual_free(ll.virtual); /* its thread may still be replying */
    fuse_session_destroy(se);
    return rc;
}
