/*
 * persist remote add: the server is asked first, then the door is made, so that it is what the
 * server is given first, then the remote is stored; when the server does not take the door, what
 * was stored is taken back. To add a server again is the way to change its token or interval: the
 * door that there is stays, unless another passphrase is given.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/space/sync.h"
#include "proto/base/escape.h"
#include "proto/frame.h"
#include "proto/sealed/door.h"
#include "proto/session.pb-c.h"
#include "sync/cli/fail.h"
#include "sync/cli/local_call.h"
#include "sync/cli/remote.h"
#include "sync/cli/remote_ca.h"
#include "sync/cli/remote_door.h"
#include "sync/cli/stored_links.h"
#include "sync/cli/term.h"
#include "sync/net/ws_url.h"

enum { INTERVAL_MAX_S = 7 * 24 * 3600 };

/* All that is asked for. */
struct request {
    char url[WS_URL_SIZE];
    struct secret token;
    char passphrase[PASSPHRASE_MAX]; /* normal */
    size_t passphrase_n;             /* 0: none is given */
    char drawn[PASSPHRASE_SIZE];     /* to be shown; "": it was given */
    struct buf ca_file;              /* absolute, terminated; empty: none */
    uint32_t interval_s;
    bool insecure, managed;
    bool keeps; /* there is a door already */
};

static void request_fini(struct request *r)
{
    buf_fini(&r->ca_file);
    sodium_memzero(r, sizeof *r);
}

/* ---- the words ---- */

static int take_interval(const char *text, uint32_t *ret, struct err *err)
{
    if (text == NULL)
        return 0;
    size_t n = strspn(text, "0123456789");
    unsigned long v = n > 0 && n < 9 ? strtoul(text, NULL, 10) : INTERVAL_MAX_S + 1;
    if (text[n] != '\0' || v > INTERVAL_MAX_S)
        return err_set(err, -EINVAL, "remote: --interval takes seconds, from 0 to %d (a week)",
                       INTERVAL_MAX_S);
    *ret = (uint32_t)v;
    return 0;
}

static int draw_passphrase(struct request *r, struct err *err)
{
    passphrase_new(r->drawn);
    int n = passphrase_normal(bytes_str(r->drawn), r->passphrase);
    r->passphrase_n = n > 0 ? (size_t)n : 0;
    return n > 0 ? 0 : err_set(err, -EIO, "remote: no passphrase can be made");
}

static int take_passphrase(const char *file, struct request *r, struct err *err)
{
    struct secret typed;
    if (file == NULL)
        return 0;
    int rc = secretfile_read(file, &typed, err);
    if (rc < 0)
        return rc;
    int n = passphrase_normal(bytes_of(typed.text, typed.n), r->passphrase);
    secret_wipe(&typed);
    if (n < 0)
        return err_set(err, -EINVAL, "remote: the passphrase is shorter than %d bytes or too long",
                       PASSPHRASE_MIN);
    r->passphrase_n = (size_t)n;
    return 0;
}

static int take(const struct args *a, struct request *r, struct err *err)
{
    struct ws_url u;
    r->insecure = args_count(a, REMOTE_INSECURE) > 0;
    r->managed = args_count(a, REMOTE_MANAGED) > 0;
    if (r->managed && args_count(a, REMOTE_PASSPHRASE_FILE) > 0)
        return err_set(err, -EINVAL, "remote: --managed and --passphrase-file exclude each other");
    int rc = ws_url_parse(args_plain(a, 1), r->insecure, &u, err);
    if (rc < 0)
        return rc;
    ws_url_text(&u, r->url);
    rc = take_interval(args_value(a, REMOTE_INTERVAL, 0), &r->interval_s, err);
    if (rc == 0 && args_count(a, REMOTE_CA) > 0)
        rc = resolve_path(args_value(a, REMOTE_CA, 0), true, &r->ca_file, err);
    if (rc == 0)
        rc = remote_token(args_value(a, REMOTE_TOKEN_FILE, 0), &r->token, err);
    return rc < 0 ? rc : take_passphrase(args_value(a, REMOTE_PASSPHRASE_FILE, 0), r, err);
}

/* ---- the steps ---- */

/* @space is pointed to. */
static void describe(struct request *r, uint8_t space[static SPACE_ID_SIZE], Persist__Remote *ret)
{
    static char no_file[] = "";
    persist__remote__init(ret);
    ret->url = r->url;
    ret->space = frame_data(bytes_of(space, SPACE_ID_SIZE));
    ret->token = r->token.text;
    ret->interval_s = r->interval_s;
    ret->ca_file = r->ca_file.n > 0 ? (char *)r->ca_file.p : no_file;
    ret->insecure = r->insecure;
    ret->managed = r->managed;
}

/* Asks the server what spaces it has, and how it can be a member. */
static int ask(const struct session *s, const struct space_entry *e, struct request *r,
               Persist__Local **ret, struct err *err)
{
    uint8_t space[SPACE_ID_SIZE];
    Persist__Remote remote;
    Persist__RemoteSpaces request = PERSIST__REMOTE_SPACES__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT;
    remote_space_id(e, space);
    describe(r, space, &remote);
    request.remote = &remote;
    f.kind_case = PERSIST__LOCAL__KIND_REMOTE_SPACES;
    f.remote_spaces = &request;
    return remote_ask(s, &f, ret, err);
}

/* Stores the remote. */
static int add(const struct session *s, const struct space_entry *e, struct request *r,
               struct err *err)
{
    uint8_t space[SPACE_ID_SIZE];
    Persist__Remote remote;
    Persist__RemoteAdd request = PERSIST__REMOTE_ADD__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT, *answer;
    remote_space_id(e, space);
    describe(r, space, &remote);
    request.remote = &remote;
    f.kind_case = PERSIST__LOCAL__KIND_REMOTE_ADD;
    f.remote_add = &request;
    int rc = remote_ask(s, &f, &answer, err);
    if (rc == 0)
        frame_local_free(answer);
    return rc;
}

/* Whether the list, an encoded Spaces, says that a passphrase opens @space. */
static bool has_door(struct bytes list, const uint8_t space[static SPACE_ID_SIZE])
{
    bool has = false;
    Persist__Spaces *v = persist__spaces__unpack(NULL, list.n, list.p);
    for (size_t i = 0; v != NULL && i < v->n_spaces; i++)
        has = has || (v->spaces[i]->door.len > 0 &&
                      bytes_equal(frame_bytes(v->spaces[i]->id), bytes_of(space, SPACE_ID_SIZE)));
    persist__spaces__free_unpacked(v, NULL);
    return has;
}

/* Whether a passphrase opens the space, or will: an add may have been cut off before. */
static int look_for_door(const struct session *s, const struct space_entry *e, struct request *r,
                         struct bytes list, struct err *err)
{
    uint8_t space[SPACE_ID_SIZE];
    remote_space_id(e, space);
    int rc = has_door(list, space) ? 1 : remote_door_waits(s, e, r->url, err);
    r->keeps = rc == 1;
    return rc < 0 ? rc : 0;
}

/* What opens the space to others, when nothing is said of it: what does already, else a passphrase
 * that is drawn. @list: of the server's spaces. */
static int choose_door(const struct session *s, const struct space_entry *e, struct request *r,
                       struct bytes list, struct err *err)
{
    CLEANUP(buf_fini) struct buf links = {0};
    if (r->managed || r->passphrase_n > 0)
        return 0;
    int rc = stored_links(&s->home, e, &links, err);
    for (size_t at = 0; rc == 0 && at < links.n; at += sizeof(struct sync_link)) {
        struct sync_link l;
        memcpy(&l, links.p + at, sizeof l);
        if (strcmp(l.url, r->url) != 0)
            continue;
        r->managed = l.managed;
        rc = l.managed ? 0 : look_for_door(s, e, r, list, err);
    }
    return rc < 0 || r->managed || r->keeps ? rc : draw_passphrase(r, err);
}

static int make_door(const struct session *s, const struct space_entry *e, struct request *r,
                     struct bytes member, struct err *err)
{
    struct remote_door door = {
        .space = e,
        .url = r->url,
        .passphrase = bytes_of(r->passphrase, r->passphrase_n),
        .managed = r->managed,
        .member = member,
    };
    return r->keeps ? 0 : remote_door(s, &door, err);
}

/* Stores the remote, and waits until it was given the door. */
static int add_with_door(const struct session *s, const struct space_entry *e, struct request *r,
                         struct err *err)
{
    struct err ignored = {0};
    int rc = add(s, e, r, err);
    if (r->keeps)
        return rc;
    if (rc < 0) {
        (void)!remote_door_shut(s, e, r->url, &ignored);
        return rc;
    }
    rc = remote_door_opened(s, e, r->url, err);
    /* What was stored goes again: without the door no other device can join by way of it. */
    if (rc < 0)
        (void)!remote_undo(s, e, r->url, &ignored);
    return rc;
}

static int show_passphrase(const struct request *r)
{
    struct term term;
    term_init(&term);
    int rc = 0;
    if (r->drawn[0] != '\0')
        rc = out_printf(&term.out,
                        "passphrase: %s\n"
                        "It is needed on every other device, and kept nowhere: write it down.\n",
                        r->drawn);
    else if (r->keeps)
        rc = out_printf(&term.out,
                        "the passphrase stays as it is; --passphrase-file gives another\n");
    return term_finish(&term, rc < 0 ? VERB_FAILED : VERB_OK);
}

/* What is done alone: of two at once the second one finds what the first has made. */
static int add_alone(const struct session *s, const struct space_entry *e, struct request *r,
                     struct err *err)
{
    Persist__Local *answer;
    int lock_fd;
    int rc = home_lock_file(&s->home, "remote.lock", &lock_fd, err);
    if (rc < 0)
        return rc;
    rc = ask(s, e, r, &answer, err);
    if (rc == 0) {
        rc = choose_door(s, e, r, frame_bytes(answer->reply->spaces), err);
        if (rc == 0)
            rc = make_door(s, e, r, frame_bytes(answer->reply->member), err);
        frame_local_free(answer);
    }
    if (rc == 0)
        rc = add_with_door(s, e, r, err);
    close(lock_fd);
    return rc;
}

int remote_add(const struct args *a, const struct session *s, const struct space_entry *e)
{
    CLEANUP(request_fini) struct request r = {.url = ""};
    struct err err = {0};
    int rc = take(a, &r, &err);
    if (rc == 0)
        rc = remote_ca(&s->home, &r.ca_file, &err);
    if (rc == 0)
        rc = add_alone(s, e, &r, &err);
    return rc < 0 ? remote_fail(&err) : show_passphrase(&r);
}
