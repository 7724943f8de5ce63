#include "tests/support/online.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/sync.h"
#include "sync/links/remotes.h"
#include "sync/state/statefile.h"
#include "tests/support/apart.h"
#include "tests/support/scratch.h"

enum { FD_MAX = 256, WAIT_MS = 120000, STEP_MS = 5 };

static void store_remotes(const struct online *o, const char *const *urls, size_t n)
{
    struct err err = {0};
    struct remotes *r;
    struct space_id id;
    assert_int_equal(space_sync_id(o->d->s, &id), 0);
    assert_int_equal(remotes_open(o->dir_fd, &r, &err), 0);
    for (size_t i = 0; i < n; i++) {
        struct remote one;
        memset(&one, 0, sizeof one);
        memcpy(one.space, id.b, SPACE_ID_SIZE);
        snprintf(one.url, sizeof one.url, "%s", urls[i]);
        snprintf(one.token, sizeof one.token, "a-token");
        assert_int_equal(remotes_put(r, &one, &err), 0);
    }
    remotes_free(r);
}

static void listen_on(struct online *o)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s/sync.sock", o->dir);
    o->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(o->listen_fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(o->listen_fd, 16), 0);
}

static void on_stopped(void *arg)
{
    struct online *o = arg;
    net_loop_stop(o->loop);
}

/* The loop's thread alone may end its links. */
static void on_stop(uint32_t events, void *arg)
{
    struct online *o = arg;
    (void)events;
    net_watch_want(o->stop, 0);
    links_stop(o->links);
}

static void *run(void *arg)
{
    struct online *o = arg;
    if (net_loop_run(o->loop) < 0)
        abort();
    return NULL;
}

void online_start(struct online *o, struct device *d, unsigned n, const char *const *urls,
                  size_t urls_n)
{
    struct err err = {0};
    /* As device.c makes the identity that is in the member. */
    uint8_t seed[SEED_SIZE] = {(uint8_t)n, 1};
    struct links_config cfg = {.stopped = on_stopped, .arg = o};
    memset(o, 0, sizeof *o);
    o->d = d;
    assert_true(scratch_dir(o->dir, sizeof o->dir, "online"));
    o->dir_fd = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    crypto_sign_seed_keypair(o->identity.sign_public, o->identity.sign_secret, seed);
    store_remotes(o, urls, urls_n);
    listen_on(o);
    apart_no_direct_links(o->dir_fd);
    cfg.listen_fd = o->listen_fd;
    cfg.dir_fd = o->dir_fd;
    cfg.identity = &o->identity;
    assert_int_equal(net_loop_new(FD_MAX, &o->loop, &err), 0);
    o->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(net_watch_new(o->loop, o->stop_fd, EPOLLIN, on_stop, o, &o->stop), 0);
    if (links_new(o->loop, &cfg, &o->links, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(pthread_create(&o->thread, NULL, run, o), 0);
    struct engine_config engine = {.space = d->s, .run_fd = o->dir_fd};
    if (engine_start(&engine, &o->engine, &err) < 0)
        fail_msg("%s", err.msg);
}

/* The space outlives its engine here: what it was told of links is no more. */
static void forget_links(struct online *o)
{
    struct buf links CLEANUP(buf_fini) = {0};
    assert_int_equal(space_sync_links(o->d->s, &links), 0);
    for (size_t i = 0; i < links.n; i += sizeof(struct sync_link)) {
        struct sync_link l;
        memcpy(&l, links.p + i, sizeof l);
        l.url[0] = '\0';
        assert_int_equal(space_sync_set_link(o->d->s, &l), 0);
    }
}

void online_stop(struct online *o)
{
    if (o->loop == NULL)
        return;
    engine_stop(o->engine);
    forget_links(o);
    const uint64_t one = 1;
    assert_int_equal(write(o->stop_fd, &one, sizeof one), sizeof one);
    pthread_join(o->thread, NULL);
    links_free(o->links);
    net_watch_free(o->stop);
    net_loop_free(o->loop);
    close(o->stop_fd);
    close(o->listen_fd);
    close(o->dir_fd);
    (void)!statefile_remove_tree(AT_FDCWD, o->dir, NULL);
    memset(o, 0, sizeof *o);
}

const uint8_t *online_identity(const struct online *o)
{
    return o->identity.sign_public;
}

/* ---- waiting -----------------------------------------------------------------------------------
 */

void online_wait(bool (*done)(void *arg), void *arg, const char *what)
{
    uint64_t by = net_now_ms() + WAIT_MS;
    while (!done(arg)) {
        if (net_now_ms() > by)
            fail_msg("%s did not happen", what);
        nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L}, NULL);
    }
}

bool online_is_settled(struct online *o)
{
    struct buf links CLEANUP(buf_fini) = {0};
    assert_int_equal(space_sync_links(o->d->s, &links), 0);
    bool settled = links.n > 0;
    for (size_t i = 0; i < links.n; i += sizeof(struct sync_link)) {
        struct sync_link l;
        memcpy(&l, links.p + i, sizeof l);
        settled = settled && l.state == SYNC_LINK_UP && l.settled;
    }
    return settled;
}

static bool is_settled(void *arg)
{
    return online_is_settled(arg);
}

static bool never_cancelled(struct out *out, unsigned wait_ms)
{
    (void)out;
    (void)wait_ms;
    return false;
}

void online_sync(struct online *o)
{
    struct out out = {.cancelled = never_cancelled};
    online_wait(is_settled, o, "the first session of a device");
    assert_int_equal(space_sync_now(o->d->s), 0);
    assert_int_equal(space_sync_wait(o->d->s, WAIT_MS, &out), 0);
}

void online_error(struct online *o, const char *url, char *ret, size_t size)
{
    struct buf links CLEANUP(buf_fini) = {0};
    ret[0] = '\0';
    assert_int_equal(space_sync_links(o->d->s, &links), 0);
    for (size_t i = 0; i < links.n; i += sizeof(struct sync_link)) {
        struct sync_link l;
        memcpy(&l, links.p + i, sizeof l);
        if (strcmp(l.url, url) == 0)
            snprintf(ret, size, "%s", l.error);
    }
}
