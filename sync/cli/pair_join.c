/* persist pair CODE, on the device that joins: takes the folders over, and mounts them. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "proto/base/utf8.h"
#include "proto/frame.h"
#include "sync/cli/fail.h"
#include "sync/cli/identity.h"
#include "sync/cli/joining.h"
#include "sync/cli/mount_checks.h"
#include "sync/cli/pair_line.h"
#include "sync/cli/pair_sides.h"
#include "sync/pair/payload.h"

enum { FIND_MS = 30000 /* in which another device is found */ };

/* A space that was given. */
struct given {
    struct grant *grant;  /* of sodium_malloc() */
    struct buf folder;    /* absolute, terminated */
    bool is_new, is_made; /* not here before; and its folder neither */
    bool created;
};

struct join {
    struct session session;
    struct identity identity;
    struct space_member me;
    const char *path, *name; /* as typed; NULL: not given */
    char label[PAIR_LABEL_SIZE];
    struct pair_code code;
    int fd;
    uint32_t run;
    struct pair *machine;
    uint8_t peer_id[PEER_ID_BYTES];
    uint8_t inviter[SIGN_KEY_SIZE];
    char inviter_label[PAIR_LABEL_SIZE];
    struct given given[PAIR_SPACES_MAX];
    size_t given_n;
    bool is_made; /* the directory of several folders: not here before */
};

/* ---- what is known before ----------------------------------------------------------------------
 */

/* A folder that is there has to be fit to be mounted on, before the code is used up. */
static int check_folder(struct join *j, struct err *err)
{
    struct stat st;
    if (j->path == NULL || lstat(j->path, &st) < 0)
        return session_open(&j->session, true, err);
    return joining_check(j->path, &j->session, &j->given[0].folder, err);
}

static int take(struct join *j, const struct args *a, struct err *err)
{
    const char *label = args_value(a, PAIR_OPT_LABEL, 0);
    j->path = args_plain(a, 1);
    j->name = args_value(a, PAIR_OPT_NAME, 0);
    if (args_plain_n(a) > 2)
        return err_set(err, -EINVAL, "pair: '%s' is one word too many", args_plain(a, 2));
    if (args_count(a, PAIR_OPT_EXPIRES) > 0)
        return err_set(err, -EINVAL, "pair: --expires goes with a new code, without one");
    if (label != NULL && !utf8_is_label(bytes_str(label)))
        return err_set(err, -EINVAL, "pair: a label is 1 to 64 bytes of plain text without '/'");
    if (j->name != NULL && !spaces_name_valid(j->name))
        return err_set(err, -EINVAL, "pair: the name must be 1 to 64 bytes of plain text");
    int rc = mount_checks_fuse(err);
    if (rc == 0)
        rc = check_folder(j, err);
    if (rc == 0)
        rc = identity_load(&j->session.home, &j->identity, err);
    if (rc == 0)
        rc = identity_member(&j->session.home, &j->identity, &j->me, err);
    if (rc == 0)
        snprintf(j->label, sizeof j->label, "%s", label != NULL ? label : j->identity.label);
    return rc;
}

/* ---- what is given -----------------------------------------------------------------------------
 */

static int put_path(struct buf *ret, const char *path, const char *below, struct err *err)
{
    char whole[4096];
    int n = snprintf(whole, sizeof whole, "%s%s%s", path, below[0] != '\0' ? "/" : "", below);
    if (n < 0 || (size_t)n >= sizeof whole)
        return err_set(err, -ENAMETOOLONG, "pair: the folder's path is too long");
    return resolve_path(whole, true, ret, err);
}

/* Where a space goes: FOLDER, or FOLDER/NAME of several; without FOLDER, NAME where one is. */
static int place(struct join *j, struct given *g, struct err *err)
{
    const char *name = spaces_name_valid(g->grant->name) ? g->grant->name : "folder";
    size_t n = 0;
    for (size_t i = 0; i < j->given_n; i++)
        n += j->given[i].is_new;
    int rc = put_path(&g->folder, j->path != NULL ? j->path : ".",
                      j->path != NULL && n == 1 ? "" : name, err);
    const char *folder = (const char *)g->folder.p;
    if (rc < 0)
        return rc;
    if (j->path != NULL && n > 1) {
        j->is_made |= mkdir(j->path, 0700) == 0;
        if (!j->is_made && errno != EEXIST)
            return err_set(err, -errno, "pair: %s: %s", j->path, strerror(errno));
    }
    g->is_made = mkdir(folder, 0700) == 0;
    if (!g->is_made && errno != EEXIST)
        return err_set(err, -errno, "pair: %s: %s", folder, strerror(errno));
    struct buf again CLEANUP(buf_fini) = {0};
    rc = mount_checks_folder(folder, &again, err);
    if (rc == 0)
        rc = mount_checks_has_files(folder, err);
    if (rc == 1)
        return err_set(err, -ENOTEMPTY, "pair: %s is not empty; name another folder", folder);
    return rc == 0 ? mount_checks_home(&j->session.home, folder, err) : rc;
}

static int create(struct join *j, struct given *g, struct err *err)
{
    struct keyring keys;
    const struct space_entry *e;
    int rc = place(j, g, err);
    if (rc < 0)
        return rc;
    rc = keyring_grant(&keys, g->grant);
    if (rc < 0)
        return err_set(err, rc, "pair: keeping the keys: %s", strerror(-rc));
    keys.invited = true;
    memcpy(keys.inviter, j->inviter, sizeof keys.inviter);
    rc = joining_create(&j->session, "pair", (const char *)g->folder.p,
                        j->given_n == 1 ? j->name : NULL, &keys, &e, err);
    keyring_fini(&keys);
    g->created = rc == 0;
    return rc;
}

static int open_grant(struct join *j, struct bytes blob, struct err *err)
{
    struct given *g = &j->given[j->given_n];
    g->grant = sodium_malloc(sizeof *g->grant);
    if (g->grant == NULL)
        return err_set(err, -ENOMEM, "pair: out of memory");
    j->given_n++;
    int rc = grant_open(blob, &j->me.keys, g->grant);
    if (rc < 0)
        return err_set(err, rc, "pair: what the other device gave makes no sense: %s",
                       strerror(-rc));
    g->is_new = spaces_of_id(&j->session.spaces, &g->grant->space) == NULL;
    return 0;
}

static int read_spaces(struct join *j, struct err *err)
{
    spaces_fini(&j->session.spaces);
    return spaces_load(&j->session.home, &j->session.spaces, err);
}

static int take_over(struct join *j, struct bytes payload, struct err *err)
{
    struct pair_inviter got;
    if (pair_inviter_get(payload, &got) < 0)
        return err_set(err, -EBADMSG, "pair: what the other device gave makes no sense");
    memcpy(j->inviter_label, got.label, sizeof j->inviter_label);
    int rc = read_spaces(j, err);
    for (size_t i = 0; rc == 0 && i < got.grants_n; i++)
        rc = open_grant(j, got.grants[i], err);
    for (size_t i = 0; rc == 0 && i < j->given_n; i++)
        if (j->given[i].is_new)
            rc = create(j, &j->given[i], err);
    return rc;
}

/* Keeps the keys of all that is given, or of nothing. */
static int take_over_locked(struct join *j, struct bytes payload, struct err *err)
{
    int lock_fd;
    int rc = home_lock(&j->session.home, &lock_fd, err);
    if (rc < 0)
        return rc;
    rc = take_over(j, payload, err);
    close(lock_fd);
    return rc;
}

static void undo_one(struct join *j, const struct given *g)
{
    struct err ignored = {0};
    const struct space_entry *e =
        g->created ? spaces_of_id(&j->session.spaces, &g->grant->space) : NULL;
    if (e != NULL)
        (void)!spaces_remove(&j->session.home, e, &ignored);
    if (g->is_made)
        (void)rmdir((const char *)g->folder.p);
}

/* What was made for nothing goes. */
static void undo(struct join *j)
{
    struct err ignored = {0};
    int lock_fd;
    if (home_lock(&j->session.home, &lock_fd, &ignored) < 0)
        return;
    if (read_spaces(j, &ignored) == 0) {
        for (size_t i = 0; i < j->given_n; i++)
            undo_one(j, &j->given[i]);
        if (j->is_made)
            (void)rmdir(j->path);
    }
    close(lock_fd);
}

/* ---- the run -----------------------------------------------------------------------------------
 */

static int begin_run(struct join *j, const Persist__PairRun *r, struct err *err)
{
    struct pair_joiner me = {.label = ""};
    struct buf payload CLEANUP(buf_fini) = {0};
    memcpy(me.member, j->me.pub.identity, SIGN_KEY_SIZE);
    memcpy(me.member + SIGN_KEY_SIZE, j->me.pub.sign, SIGN_KEY_SIZE);
    memcpy(me.member + 2 * SIGN_KEY_SIZE, j->me.pub.box, BOX_KEY_SIZE);
    memcpy(me.label, j->label, sizeof me.label);
    pair_joiner_put(&me, &payload);
    struct pair_config cfg = {.joins = true,
                              .own_id = frame_bytes(r->own_id),
                              .peer_id = frame_bytes(r->peer_id),
                              .channel = frame_bytes(r->channel),
                              .code = j->code,
                              .payload = buf_bytes(&payload)};
    int rc = buf_status(&payload);
    if (rc == 0)
        rc = peer_id_key(frame_bytes(r->peer_id), j->inviter);
    if (rc == 0)
        rc = pair_new(&cfg, pair_line_now_ms(), &j->machine);
    sodium_memzero(&cfg.code, sizeof cfg.code);
    sodium_memzero(&j->code, sizeof j->code);
    if (rc < 0)
        return err_set(err, rc, "pair: %s", strerror(-rc));
    memcpy(j->peer_id, r->peer_id.data, sizeof j->peer_id);
    j->run = r->run;
    return 0;
}

static int on_frame(struct join *j, const Persist__Local *f, struct err *err)
{
    if (f->kind_case == PERSIST__LOCAL__KIND_PAIR_RUN && j->machine == NULL)
        return begin_run(j, f->pair_run, err);
    if (f->kind_case == PERSIST__LOCAL__KIND_PAIR_END && f->pair_end->run == 0)
        return err_set(err, -ENOTCONN, "pair: %s", f->pair_end->why);
    if (f->kind_case == PERSIST__LOCAL__KIND_PAIR_DATA && j->machine != NULL)
        (void)pair_feed(j->machine, frame_bytes(f->pair_data->data), pair_line_now_ms());
    if (f->kind_case == PERSIST__LOCAL__KIND_PAIR_END && j->machine != NULL)
        (void)pair_gone(j->machine);
    return 0;
}

static int failed(const struct join *j, struct err *err)
{
    enum pair_end end = pair_end(j->machine);
    int code = -EACCES;
    if (end == PAIR_GONE)
        code = -ENOTCONN;
    else if (end == PAIR_OTHER_VERSION || end == PAIR_NO_MEMORY)
        code = -EIO;
    return err_set(err, code, "pair: %s", pair_end_text(end, true));
}

/* 1: all is taken over, and confirmed; 0: more is to come. */
static int follow(struct join *j, struct err *err)
{
    if (j->machine == NULL)
        return 0;
    int rc = 0;
    if (pair_state(j->machine) == PAIR_ASKS) {
        rc = take_over_locked(j, pair_payload(j->machine), err);
        if (rc == 0 && pair_answer(j->machine, bytes_of(NULL, 0)) < 0)
            rc = err_set(err, -ENOMEM, "pair: out of memory");
    }
    if (rc == 0)
        rc = pair_line_flush(j->fd, j->run, j->machine, err);
    if (rc < 0)
        return rc;
    return pair_state(j->machine) == PAIR_FAILED ? failed(j, err)
                                                 : pair_state(j->machine) == PAIR_DONE;
}

/* Both sides have ended it, so the other one knows that this one has all. */
static int confirm(struct join *j, struct err *err)
{
    int rc = pair_line_end(j->fd, j->run, err);
    if (rc < 0 || pair_line_ends(j->fd, j->run))
        return rc;
    return err_set(err, -ENOTCONN,
                   "pair: the other device was gone before it knew that this one "
                   "has all; nothing was taken over, make a new code");
}

static int nothing_found(const struct args *a, struct err *err)
{
    if (args_count(a, PAIR_OPT_PEER) > 0)
        return err_set(err, -ETIMEDOUT, "pair: nothing answers at the address");
    return err_set(err, -ETIMEDOUT,
                   "pair: no device with this code is on the local network, or at a server of this "
                   "one; does 'persist pair' still wait there, and are the digits right? --peer "
                   "names its address");
}

static int meet(struct join *j, const struct args *a, struct err *err)
{
    uint64_t found_by = pair_line_now_ms() + FIND_MS;
    int rc = 0;
    while (rc == 0) {
        Persist__Local *f;
        rc = pair_line_next(j->fd, &f, err);
        if (rc == 1) {
            rc = on_frame(j, f, err);
            frame_local_free(f);
        }
        if (rc == 0 && j->machine != NULL)
            (void)pair_tick(j->machine, pair_line_now_ms());
        if (rc == 0)
            rc = follow(j, err);
        if (rc == 0 && pair_line_cancelled())
            rc = err_set(err, -ECANCELED, "pair: cancelled; nothing was taken over");
        if (rc == 0 && j->machine == NULL && pair_line_now_ms() >= found_by)
            rc = nothing_found(a, err);
    }
    return rc < 0 ? rc : confirm(j, err);
}

static int run_it(struct join *j, const struct args *a, struct err *err)
{
    char plate[PAIR_NAMEPLATE_SIZE];
    Persist__Local *reply;
    int rc = take(j, a, err);
    if (rc == 0)
        rc = pair_line_open(&j->session, true, pair_code_nameplate(&j->code, plate),
                            args_value(a, PAIR_OPT_PEER, 0), &j->fd, &reply, err);
    if (rc < 0)
        return rc;
    frame_local_free(reply);
    if (isatty(STDERR_FILENO) && args_count(a, PAIR_OPT_PEER) == 0)
        fprintf(stderr, "looking for the other device...\n");
    rc = meet(j, a, err);
    if (rc < 0 && j->machine != NULL) {
        struct err ignored = {0};
        (void)!pair_line_end(j->fd, j->run, &ignored);
        undo(j);
    }
    return rc;
}

/* ---- afterwards --------------------------------------------------------------------------------
 */

static int mount_all(struct join *j)
{
    char shown[4 * PAIR_LABEL_SIZE], last[9], path[400];
    struct err err = {0};
    printf("paired with %s (...%s)\n", escape_to(shown, sizeof shown, bytes_str(j->inviter_label)),
           pair_line_short(bytes_of(j->peer_id, sizeof j->peer_id), last));
    fflush(stdout);
    if (read_spaces(j, &err) < 0)
        return fail_err(&err);
    int status = VERB_OK;
    for (size_t i = 0; i < j->given_n; i++) {
        const struct space_entry *e = spaces_of_id(&j->session.spaces, &j->given[i].grant->space);
        int now = e == NULL ? VERB_FAILED : joining_mount(&j->session, "pair", e);
        if (now == VERB_OK)
            now = joining_first_sync(&j->session, e);
        if (now == VERB_OK)
            printf("%s%s\n", escape_to(path, sizeof path, bytes_str(e->folder)),
                   j->given[i].is_new ? "" : " (was here before)");
        status = status == VERB_OK ? now : status;
    }
    return fflush(stdout) == 0 ? status : VERB_FAILED;
}

static void join_fini(struct join *j)
{
    if (j->fd >= 0)
        close(j->fd);
    pair_free(j->machine);
    for (size_t i = 0; i < PAIR_SPACES_MAX; i++) {
        buf_fini(&j->given[i].folder);
        sodium_free(j->given[i].grant);
    }
    space_member_fini(&j->me);
    session_fini(&j->session);
}

int pair_join(const struct args *a, struct pair_code *code)
{
    struct err err = {0};
    struct join *j = sodium_init() < 0 ? NULL : sodium_malloc(sizeof *j);
    if (j != NULL) {
        memset(j, 0, sizeof *j);
        j->session = (struct session)SESSION_INIT;
        j->fd = -1;
        j->code = *code;
    }
    sodium_memzero(code, sizeof *code);
    if (j == NULL)
        return fail(VERB_FAILED, "pair: out of memory");
    pair_line_catch();
    int rc = run_it(j, a, &err);
    int status = rc == 0         ? mount_all(j)
                 : rc == -EINVAL ? fail(VERB_USAGE, "%s", err.msg)
                                 : fail_err(&err);
    join_fini(j);
    sodium_free(j);
    return status;
}
