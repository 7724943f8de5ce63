#include "tests/support/links_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/log.h"
#include "sync/state/statefile.h"
#include "tests/support/apart.h"
#include "tests/support/scratch.h"

struct links_fixture lf;

static uint8_t frame_bytes_buf[LINK_SERVER_FRAME];

/* ---- the loop ---- */

static bool (*until_done)(void);
static uint64_t until_ms;

static void on_tick(void *arg)
{
    (void)arg;
    struct mallinfo2 m = mallinfo2();
    size_t heap = m.uordblks + m.hblkhd;
    lf.heap_max = heap > lf.heap_max ? heap : lf.heap_max;
    if (until_done() || net_now_ms() > until_ms)
        net_loop_stop(lf.loop);
    else
        net_timer_set(lf.tick, 1);
}

bool links_run_for(bool (*done)(void), unsigned ms)
{
    until_done = done;
    until_ms = net_now_ms() + ms;
    net_timer_set(lf.tick, 0);
    assert_int_equal(net_loop_run(lf.loop), 0);
    return done();
}

static bool never(void)
{
    return false;
}

void links_run_ms(unsigned ms)
{
    (void)links_run_for(never, ms);
}

/* ---- mounts ---- */

void links_send(struct links_mount *m, Persist__Local *local)
{
    struct buf b = {0};
    assert_int_equal(frame_local_encode(local, &b), 0);
    assert_int_equal(unix_send(m->conn, buf_bytes(&b)), 0);
    buf_fini(&b);
}

int links_send_data(struct links_mount *m, uint32_t link, uint64_t generation, struct bytes v)
{
    struct buf b = {0};
    Persist__Data data = PERSIST__DATA__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    data.link = link;
    data.generation = generation;
    data.frame = frame_data(v);
    local.kind_case = PERSIST__LOCAL__KIND_DATA;
    local.data = &data;
    assert_int_equal(frame_local_encode(&local, &b), 0);
    int rc = unix_send(m->conn, buf_bytes(&b));
    buf_fini(&b);
    return rc;
}

void links_push(struct links_mount *m)
{
    const struct links_seen *s = &m->links[m->link];
    while (m->sent < m->want && m->conn != NULL) {
        link_server_fill(frame_bytes_buf, m->sent);
        if (links_send_data(m, s->id, s->generation, bytes_of(frame_bytes_buf, LINK_SERVER_FRAME)) <
            0)
            return;
        m->sent++;
    }
}

static struct links_seen *seen_of(struct links_mount *m, uint32_t id)
{
    for (size_t i = 0; i < m->links_n; i++)
        if (m->links[i].id == id)
            return &m->links[i];
    assert_true(m->links_n < LINKS_PER_MOUNT);
    m->links[m->links_n].id = id;
    return &m->links[m->links_n++];
}

static void on_link(struct links_mount *m, const Persist__Link *l)
{
    struct links_seen *s = seen_of(m, l->id);
    assert_true(l->generation >= s->generation);
    s->generation = l->generation;
    s->retry_ms = l->retry_ms;
    s->state = l->state;
    s->member_n = l->member.len;
    s->interval_s = l->interval_s;
    s->told++;
    snprintf(s->url, sizeof s->url, "%s", l->url);
    snprintf(s->error, sizeof s->error, "%s", l->error);
}

static void on_data(struct links_mount *m, const Persist__Data *d)
{
    const struct links_seen *s = seen_of(m, d->link);
    int64_t number = link_server_number(d->frame.data, d->frame.len);
    if (number >= 0 && number != m->frames)
        m->wrong++;
    if (d->generation != s->generation || s->state != PERSIST__LINK_STATE__LINK_UP)
        m->late++;
    m->frames++;
    m->state_at_last = s->state;
    buf_reset(&m->last);
    if (number < 0)
        buf_put_bytes(&m->last, frame_bytes(d->frame));
    if (m->slow)
        unix_pause(m->conn);
}

static void on_frame(struct unix_conn *c, struct bytes v, void *user)
{
    (void)c;
    struct links_mount *m = user;
    Persist__Local *local;
    assert_int_equal(frame_local_decode(v, &local), 0);
    if (local->kind_case == PERSIST__LOCAL__KIND_LINK) {
        on_link(m, local->link);
    } else if (local->kind_case == PERSIST__LOCAL__KIND_DATA) {
        on_data(m, local->data);
    } else {
        assert_int_equal(local->kind_case, PERSIST__LOCAL__KIND_REPLY);
        assert_null(m->reply);
        m->reply = local;
        return;
    }
    frame_local_free(local);
}

static void on_writable(struct unix_conn *c, void *user)
{
    (void)c;
    links_push(user);
}

static void on_closed(struct unix_conn *c, int error, void *user)
{
    (void)c;
    struct links_mount *m = user;
    m->conn = NULL;
    m->error = error;
    buf_fini(&m->last);
}

static const struct unix_events mount_events = {on_frame, on_writable, on_closed};

int links_connect_socket(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s/sock", lf.top);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

struct links_mount *links_mount_open(size_t i)
{
    struct links_mount *m = &lf.mounts[i];
    assert_null(m->conn);
    frame_local_free(m->reply);
    *m = (struct links_mount){0};
    assert_int_equal(unix_adopt(lf.loop, links_connect_socket(), &mount_events, m, &m->conn), 0);
    return m;
}

void links_space(char c, uint8_t ret[SPACE_ID_SIZE])
{
    memset(ret, c, SPACE_ID_SIZE);
}

struct links_mount *links_attach(size_t i, char space)
{
    struct links_mount *m = links_mount_open(i);
    uint8_t id[SPACE_ID_SIZE];
    links_space(space, id);
    Persist__Attach attach = PERSIST__ATTACH__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    attach.space = frame_data(bytes_of(id, sizeof id));
    local.kind_case = PERSIST__LOCAL__KIND_ATTACH;
    local.attach = &attach;
    links_send(m, &local);
    return m;
}

void links_retry(struct links_mount *m, uint64_t after_ms)
{
    char why[] = "the session failed";
    Persist__Retry r;
    persist__retry__init(&r);
    Persist__Local local = PERSIST__LOCAL__INIT;
    r.link = m->links[0].id;
    r.generation = m->links[0].generation;
    r.after_ms = after_ms;
    r.why = why;
    local.kind_case = PERSIST__LOCAL__KIND_RETRY;
    local.retry = &r;
    links_send(m, &local);
}

/* ---- requests ---- */

static bool has_reply(void)
{
    return lf.mounts[LINKS_MOUNTS - 1].reply != NULL || lf.mounts[LINKS_MOUNTS - 1].conn == NULL;
}

static bool is_hung_up(void)
{
    return lf.mounts[LINKS_MOUNTS - 1].conn == NULL;
}

/* Asks as a command does; the reply is good until the next one. */
const Persist__Reply *links_ask(Persist__Local *local)
{
    struct links_mount *m = links_mount_open(LINKS_MOUNTS - 1);
    links_send(m, local);
    links_until(has_reply);
    assert_non_null(m->reply);
    links_until(is_hung_up);
    return m->reply->reply;
}

const Persist__Reply *links_ask_add(char space, const char *url, const char *token,
                                    uint32_t interval_s)
{
    uint8_t id[SPACE_ID_SIZE];
    char url_copy[200], token_copy[64];
    links_space(space, id);
    snprintf(url_copy, sizeof url_copy, "%s", url);
    snprintf(token_copy, sizeof token_copy, "%s", token);
    Persist__Remote remote;
    persist__remote__init(&remote);
    Persist__RemoteAdd add = PERSIST__REMOTE_ADD__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    remote.url = url_copy;
    remote.token = token_copy;
    remote.space = frame_data(bytes_of(id, sizeof id));
    remote.interval_s = interval_s;
    add.remote = &remote;
    local.kind_case = PERSIST__LOCAL__KIND_REMOTE_ADD;
    local.remote_add = &add;
    return links_ask(&local);
}

const Persist__Reply *links_ask_spaces(const char *url, const char *token)
{
    char url_copy[200], token_copy[64];
    snprintf(url_copy, sizeof url_copy, "%s", url);
    snprintf(token_copy, sizeof token_copy, "%s", token);
    Persist__Remote remote;
    persist__remote__init(&remote);
    Persist__RemoteSpaces spaces = PERSIST__REMOTE_SPACES__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    remote.url = url_copy;
    remote.token = token_copy;
    spaces.remote = &remote;
    local.kind_case = PERSIST__LOCAL__KIND_REMOTE_SPACES;
    local.remote_spaces = &spaces;
    return links_ask(&local);
}

const Persist__Reply *links_ask_remove(char space, const char *url)
{
    uint8_t id[SPACE_ID_SIZE];
    char url_copy[200];
    links_space(space, id);
    snprintf(url_copy, sizeof url_copy, "%s", url);
    Persist__RemoteRemove r;
    persist__remote_remove__init(&r);
    Persist__Local local = PERSIST__LOCAL__INIT;
    r.space = frame_data(bytes_of(id, sizeof id));
    r.url = url_copy;
    local.kind_case = PERSIST__LOCAL__KIND_REMOTE_REMOVE;
    local.remote_remove = &r;
    return links_ask(&local);
}

const Persist__Reply *links_ask_list(void)
{
    Persist__RemoteList r = PERSIST__REMOTE_LIST__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    local.kind_case = PERSIST__LOCAL__KIND_REMOTE_LIST;
    local.remote_list = &r;
    return links_ask(&local);
}

void links_add(char space, const struct link_server *s)
{
    const Persist__Reply *r = links_ask_add(space, s->url, "good-token", 0);
    if (r->status != 0)
        fail_msg("%s", r->error);
}

/* ---- fixture ---- */

static void on_stopped(void *arg)
{
    (void)arg;
    lf.stopped = true;
}

static void start(void)
{
    struct err err = {0};
    struct links_config cfg = {.listen_fd = lf.listen_fd,
                               .dir_fd = lf.dir_fd,
                               .identity = &lf.identity,
                               .stopped = on_stopped};
    lf.stopped = false;
    if (links_new(lf.loop, &cfg, &lf.links, &err) < 0)
        fail_msg("%s", err.msg);
}

int links_set_up(void **state)
{
    (void)state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memset(&lf, 0, sizeof lf);
    log_set_level(LOG_LEVEL_NONE);
    assert_true(sodium_init() >= 0);
    link_server_start(&lf.a);
    assert_true(scratch_dir(lf.top, sizeof lf.top, "links"));
    lf.dir_fd = open(lf.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(lf.dir_fd >= 0);
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s/sock", lf.top);
    lf.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(lf.listen_fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(lf.listen_fd, 16), 0);
    crypto_sign_keypair(lf.identity.sign_public, lf.identity.sign_secret);
    assert_int_equal(net_loop_new(1024, &lf.loop, NULL), 0);
    assert_int_equal(net_timer_new(lf.loop, on_tick, NULL, &lf.tick), 0);
    apart_no_direct_links(lf.dir_fd);
    start();
    return 0;
}

static bool is_all_closed(void)
{
    for (size_t i = 0; i < LINKS_MOUNTS; i++)
        if (lf.mounts[i].conn != NULL)
            return false;
    return true;
}

int links_tear_down(void **state)
{
    (void)state;
    links_free(lf.links);
    for (size_t i = 0; i < LINKS_MOUNTS; i++) {
        if (lf.mounts[i].conn != NULL) {
            unix_resume(lf.mounts[i].conn);
            unix_close(lf.mounts[i].conn);
        }
        frame_local_free(lf.mounts[i].reply);
    }
    (void)links_run_for(is_all_closed, 1000);
    net_timer_free(lf.tick);
    net_loop_free(lf.loop);
    close(lf.listen_fd);
    close(lf.dir_fd);
    (void)!statefile_remove_tree(AT_FDCWD, lf.top, NULL);
    link_server_free(&lf.a);
    link_server_free(&lf.b);
    return 0;
}

/* ---- conditions, of the first mount ---- */

struct links_seen *links_first(void)
{
    return &lf.mounts[0].links[0];
}

bool links_is_up(void)
{
    return lf.mounts[0].links_n > 0 && links_first()->state == PERSIST__LINK_STATE__LINK_UP;
}

bool links_is_down(void)
{
    return lf.mounts[0].links_n > 0 && links_first()->state == PERSIST__LINK_STATE__LINK_DOWN;
}

bool links_is_refused(void)
{
    return lf.mounts[0].links_n > 0 && links_first()->state == PERSIST__LINK_STATE__LINK_REFUSED;
}

bool links_is_removed(void)
{
    return lf.mounts[0].links_n > 0 && links_first()->state == PERSIST__LINK_STATE__LINK_REMOVED;
}

bool links_is_closed(void)
{
    return lf.mounts[0].conn == NULL;
}

struct links_mount *links_attach_up(void)
{
    links_add('a', &lf.a);
    struct links_mount *m = links_attach(0, 'a');
    links_until(links_is_up);
    return m;
}

void links_restart(void)
{
    links_free(lf.links);
    lf.links = NULL;
    start();
}
