/* What a command asks of the process, and the Reply. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/escape.h"
#include "proto/base/log.h"
#include "proto/frame.h"
#include "sync/links/links_priv.h"

/* ---- replies ---- */

static int send_reply(struct caller *c, Persist__Reply *r)
{
    CLEANUP(buf_fini) struct buf b = {0};
    Persist__Local f = PERSIST__LOCAL__INIT;
    f.kind_case = PERSIST__LOCAL__KIND_REPLY;
    f.reply = r;
    int rc = frame_local_encode(&f, &b);
    if (rc == 0)
        rc = unix_send(c->conn, buf_bytes(&b));
    if (rc < 0)
        log_warn("links: a reply is lost");
    return rc;
}

/* The last that the command hears. */
static void reply(struct caller *c, Persist__Reply *r)
{
    (void)!send_reply(c, r);
    unix_close(c->conn);
}

static void reply_error(struct caller *c, enum reply_status status, const char *text)
{
    char error[FRAME_TEXT_MAX];
    Persist__Reply r;
    persist__reply__init(&r);
    snprintf(error, sizeof error, "%s", text);
    r.status = (uint32_t)status;
    r.error = error;
    reply(c, &r);
}

static void reply_ok(struct caller *c)
{
    Persist__Reply r;
    persist__reply__init(&r);
    reply(c, &r);
}

/* ---- RemoteAdd, RemoteSpaces, RemoteJoin ---- */

static bool copy_text(const char *from, char *to, size_t size)
{
    size_t n = strlen(from);
    if (n >= size)
        return false;
    memcpy(to, from, n + 1);
    return true;
}

/* Takes over what a command says of a remote. The error's code: -EINVAL, -EACCES. */
static int take_remote(const Persist__Remote *in, bool stored, struct remote *ret, struct err *err)
{
    struct ws_url u;
    int rc = ws_url_parse(in->url, in->insecure, &u, err);
    if (rc < 0)
        return rc;
    ws_url_text(&u, ret->url);
    if (in->space.len == SPACE_ID_SIZE)
        memcpy(ret->space, in->space.data, SPACE_ID_SIZE);
    else if (stored)
        return err_set(err, -EINVAL, "no space is named");
    if (in->token[0] == '\0' || !copy_text(in->token, ret->token, sizeof ret->token))
        return err_set(err, -EINVAL, "the token is not one: up to %d letters", WS_TOKEN_MAX);
    if ((in->ca_file[0] != '\0' && in->ca_file[0] != '/') ||
        !copy_text(in->ca_file, ret->ca_file, sizeof ret->ca_file))
        return err_set(err, -EINVAL, "the file of certificates needs an absolute path");
    if (in->interval_s > REMOTE_INTERVAL_MAX_S)
        return err_set(err, -EINVAL, "the interval is longer than a week");
    ret->interval_s = in->interval_s;
    ret->insecure = in->insecure;
    ret->managed = in->managed;
    return 0;
}

/* Stores a remote, and uses it. */
static int put(struct links *l, const struct remote *remote, struct err *err)
{
    int rc = remotes_put(l->remotes, remote, err);
    if (rc < 0)
        return rc;
    struct attached *a = links_attached(l, remote->space);
    if (a != NULL && attached_put(a, remote) < 0)
        log_warn("links: out of memory; the new remote is used after a restart");
    return 0;
}

static void store(struct caller *c, struct bytes member)
{
    struct links *l = c->links;
    struct err err = {0};
    const struct remote *old = remotes_find(l->remotes, c->remote.space, c->remote.url);
    struct remote replaced = old != NULL ? *old : c->remote;
    bool has_replaced = old != NULL;
    int rc = put(l, &c->remote, &err);
    if (rc == 0) {
        l->replaced = replaced;
        l->has_replaced = has_replaced;
    }
    remote_wipe(&replaced);
    if (rc < 0) {
        reply_error(c, REPLY_FAILED, err.msg);
        return;
    }
    log_info("links: remote added url=%s", c->remote.url);
    Persist__Reply r;
    persist__reply__init(&r);
    r.member = frame_data(member);
    reply(c, &r);
}

static void reply_failure(struct caller *c, const struct probe_result *result)
{
    char text[WS_URL_SIZE + LINE_TEXT_SIZE + 8];
    snprintf(text, sizeof text, "%s: %s", c->remote.url, result->text);
    reply_error(c, result->refused ? REPLY_NOT_ALLOWED : REPLY_UNREACHABLE, text);
}

static void on_probed_for_add(const struct probe_result *result, void *user)
{
    struct caller *c = user;
    c->probe = NULL;
    if (result->welcomed)
        store(c, result->member);
    else
        reply_failure(c, result);
}

static void on_answered(const struct probe_result *result, void *user)
{
    struct caller *c = user;
    c->probe = NULL;
    if (!result->welcomed) {
        reply_failure(c, result);
        return;
    }
    Persist__Reply r;
    persist__reply__init(&r);
    r.spaces = frame_data(result->spaces);
    r.grant = frame_data(result->grant);
    r.member = frame_data(result->member);
    reply(c, &r);
}

static enum reply_status status_of(int error)
{
    switch (error) {
    case -EINVAL:
        return REPLY_USAGE;
    case -EACCES:
    case -EPERM:
        return REPLY_NOT_ALLOWED;
    case -ENOENT:
        return REPLY_NOT_FOUND;
    case -ENOTCONN:
        return REPLY_UNREACHABLE;
    default:
        return REPLY_FAILED;
    }
}

/* @question NULL: the remote is to be stored. */
static void probe(struct caller *c, const Persist__Remote *in, const Persist__Frame *question)
{
    struct err err = {0};
    int rc = take_remote(in, question == NULL, &c->remote, &err);
    if (rc == 0)
        rc = probe_start(&c->links->env, &c->remote, question,
                         question != NULL ? on_answered : on_probed_for_add, c, &c->probe, &err);
    if (rc < 0)
        reply_error(c, status_of(rc), err.msg);
}

static void ask_spaces(struct caller *c, const Persist__RemoteSpaces *in)
{
    Persist__ListSpaces list = PERSIST__LIST_SPACES__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    f.kind_case = PERSIST__FRAME__KIND_LIST_SPACES;
    f.list_spaces = &list;
    probe(c, in->remote, &f);
}

static void ask_to_join(struct caller *c, const Persist__RemoteJoin *in)
{
    Persist__Join join;
    Persist__Frame f = PERSIST__FRAME__INIT;
    persist__join__init(&join);
    join.space = in->remote->space;
    join.member = in->member;
    join.label = in->label;
    f.kind_case = PERSIST__FRAME__KIND_JOIN;
    f.join = &join;
    probe(c, in->remote, &f);
}

/* ---- RemoteRemove, RemoteList ---- */

static int drop(struct links *l, const uint8_t space[SPACE_ID_SIZE], const char *url,
                struct err *err)
{
    int rc = remotes_remove(l->remotes, space, url, err);
    struct attached *a = rc == 0 ? links_attached(l, space) : NULL;
    if (a != NULL)
        attached_remove(a, url);
    return rc;
}

/* What was not done by this process is not undone: it may have been there before. */
static int undo(struct links *l, const uint8_t space[SPACE_ID_SIZE], const char *url,
                struct err *err)
{
    if (strcmp(l->replaced.url, url) != 0 || memcmp(l->replaced.space, space, SPACE_ID_SIZE) != 0)
        return 0;
    int rc = l->has_replaced ? put(l, &l->replaced, err) : drop(l, space, url, err);
    if (rc == 0)
        remote_wipe(&l->replaced);
    return rc;
}

static void remove_remote(struct caller *c, const Persist__RemoteRemove *in)
{
    struct links *l = c->links;
    struct err err = {0};
    struct ws_url u;
    char url[WS_URL_SIZE];
    int rc = ws_url_parse(in->url, true, &u, &err);
    if (rc == 0) {
        ws_url_text(&u, url);
        rc = in->undo ? undo(l, in->space.data, url, &err) : drop(l, in->space.data, url, &err);
    }
    if (rc < 0) {
        reply_error(c, status_of(rc), err.msg);
        return;
    }
    log_info("links: remote %s url=%s", in->undo ? "as it was before" : "removed", url);
    reply_ok(c);
}

static void describe(const struct links *l, struct remote *r, Persist__Link *ret)
{
    static char not_mounted[] = "the folder is not mounted";
    const struct attached *a = links_attached(l, r->space);
    struct link *link = a != NULL ? attached_link(a, r->url) : NULL;
    if (link != NULL) {
        link_describe(link, ret);
        return;
    }
    persist__link__init(ret);
    ret->state = PERSIST__LINK_STATE__LINK_DOWN;
    ret->url = r->url;
    ret->error = not_mounted;
    ret->interval_s = r->interval_s;
    ret->managed = r->managed;
}

/* All that a list points to; one allocation. */
struct listing {
    Persist__Link links[REMOTES_MAX];
    Persist__Link *pointers[REMOTES_MAX];
    ProtobufCBinaryData spaces[REMOTES_MAX];
};

static void list(struct caller *c)
{
    const struct links *l = c->links;
    struct listing *v = calloc(1, sizeof *v);
    if (v == NULL) {
        reply_error(c, REPLY_FAILED, "out of memory");
        return;
    }
    Persist__Reply r;
    persist__reply__init(&r);
    size_t n = remotes_n(l->remotes);
    for (size_t i = 0; i < n; i++) {
        struct remote *remote = remotes_at(l->remotes, i);
        describe(l, remote, &v->links[i]);
        v->pointers[i] = &v->links[i];
        v->spaces[i] = frame_data(bytes_of(remote->space, SPACE_ID_SIZE));
    }
    r.n_links = n;
    r.links = v->pointers;
    r.n_link_spaces = n;
    r.link_spaces = v->spaces;
    reply(c, &r);
    free(v);
}

/* ---- P2p ---- */

/* Sets what is given; the first thing that cannot be ends it. */
static int set_p2p(struct links *l, const Persist__P2p *in, struct err *err)
{
    struct peers_settings s = {.set_listen = in->set_listen,
                               .listen = in->listen,
                               .listen_n = in->n_listen,
                               .mdns = in->mdns == 0 ? -1 : in->mdns == 1,
                               .dht = in->dht == 0 ? -1 : in->dht == 1,
                               .set_bootstrap = in->set_bootstrap,
                               .bootstrap = in->bootstrap,
                               .bootstrap_n = in->n_bootstrap,
                               .ipfs = in->dht_protocol == 0 ? -1 : in->dht_protocol == 2};
    int rc = peers_set(l->peers, &s, err);
    if (in->set_listen)
        links_look_at_peers(l);
    for (size_t i = 0; rc == 0 && i < in->n_know; i++)
        rc = peers_know(l->peers, in->know[i], err);
    return rc;
}

/* The texts in @list, each as buf_put_string() does, as C strings; freed with *@ret. */
static size_t texts_of(const struct buf *list, char ***ret)
{
    struct reader r = reader_of(buf_bytes(list));
    size_t n = 0;
    *ret = calloc(list->n + 1, sizeof **ret);
    while (*ret != NULL && r.n > 0) {
        struct bytes text = reader_string(&r, list->n);
        (*ret)[n] = strndup((const char *)text.p, text.n);
        n += (*ret)[n] != NULL;
    }
    return n;
}

static void texts_free(char **texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
    free(texts);
}

/* How direct links are now. */
static int tell_p2p(struct caller *c)
{
    const struct peers *p = c->links->peers;
    CLEANUP(buf_fini) struct buf addresses = {0};
    CLEANUP(buf_fini) struct buf bootstrap = {0};
    char trouble[FRAME_TEXT_MAX];
    Persist__Reply r;
    persist__reply__init(&r);
    if (peers_addresses(p, &addresses) < 0 || peers_bootstrap(p, &bootstrap) < 0)
        log_warn("links: out of memory; not all addresses are told");
    snprintf(trouble, sizeof trouble, "%s", peers_trouble(p));
    r.error = trouble;
    r.n_addresses = texts_of(&addresses, &r.addresses);
    r.mdns = peers_mdns(p);
    r.dht = peers_dht(p);
    r.dht_ipfs = peers_is_ipfs(p);
    r.n_bootstrap = texts_of(&bootstrap, &r.bootstrap);
    r.neighbours = (uint32_t)peers_neighbours(p);
    int rc = send_reply(c, &r);
    texts_free(r.addresses, r.n_addresses);
    texts_free(r.bootstrap, r.n_bootstrap);
    return rc;
}

static void p2p(struct caller *c, const Persist__P2p *in)
{
    struct err err = {0};
    int rc = set_p2p(c->links, in, &err);
    if (rc < 0) {
        reply_error(c, status_of(rc), err.msg);
        return;
    }
    (void)!tell_p2p(c);
    unix_close(c->conn);
}

/* ---- Pair ---- */

/* The command is told where this device is, and then who comes. */
static void begin_pairing(struct caller *c, const Persist__Pair *in)
{
    struct err err = {0};
    int rc = pairing_new(c->links->peers, c->links->remotes, c->conn, in, &c->pairing, &err);
    if (rc < 0)
        reply_error(c, status_of(rc), err.msg);
    else if (tell_p2p(c) < 0)
        unix_close(c->conn);
}

int request_run(struct caller *c, const Persist__Local *f)
{
    switch (f->kind_case) {
    case PERSIST__LOCAL__KIND_REMOTE_ADD:
        probe(c, f->remote_add->remote, NULL);
        return 0;
    case PERSIST__LOCAL__KIND_REMOTE_SPACES:
        ask_spaces(c, f->remote_spaces);
        return 0;
    case PERSIST__LOCAL__KIND_REMOTE_JOIN:
        ask_to_join(c, f->remote_join);
        return 0;
    case PERSIST__LOCAL__KIND_REMOTE_REMOVE:
        remove_remote(c, f->remote_remove);
        return 0;
    case PERSIST__LOCAL__KIND_REMOTE_LIST:
        list(c);
        return 0;
    case PERSIST__LOCAL__KIND_P2P:
        p2p(c, f->p2p);
        return 0;
    case PERSIST__LOCAL__KIND_PAIR:
        begin_pairing(c, f->pair);
        return 0;
    case PERSIST__LOCAL__KIND_STOP:
        c->stops = true;
        reply_ok(c);
        return 0;
    case PERSIST__LOCAL__KIND_ATTACH:
    case PERSIST__LOCAL__KIND_MEMBERS:
    case PERSIST__LOCAL__KIND_LINK:
    case PERSIST__LOCAL__KIND_DATA:
    case PERSIST__LOCAL__KIND_RETRY:
    case PERSIST__LOCAL__KIND_REPLY:
    case PERSIST__LOCAL__KIND_PAIR_RUN:
    case PERSIST__LOCAL__KIND_PAIR_DATA:
    case PERSIST__LOCAL__KIND_PAIR_END:
    case PERSIST__LOCAL__KIND__NOT_SET:
    case _PERSIST__LOCAL__KIND__CASE_IS_INT_SIZE:
        break;
    }
    return -EPROTO;
}
