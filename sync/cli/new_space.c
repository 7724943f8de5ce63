#include "sync/cli/new_space.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/space/carry.h"
#include "fs/space/drivers.h"
#include "fs/space/peers.h"
#include "fs/space/space.h"
#include "proto/base/escape.h"
#include "proto/base/log.h"
#include "sync/cli/fail.h"
#include "sync/cli/identity.h"
#include "sync/cli/mount_checks.h"
#include "sync/cli/mounts.h"
#include "sync/cli/session.h"
#include "sync/cli/term.h"
#include "sync/state/statefile.h"

enum { SHOWN_SIZE = 200, ASIDE_MAX = 1000 };

/* What takes part: the space that is at the folder, and the one that is to be. */
struct work {
    struct session session;
    struct buf folder;
    char shown[SHOWN_SIZE]; /* the folder, for people */
    struct identity identity;
    struct space_member member;
    struct space_entry old; /* a copy, its folder that of the list */
    struct space *from, *to;
    struct keyring keys; /* of the new one */
    char *staged;        /* its directory until it is in place; NULL: none was begun */
    char *aside;         /* the old one's folder from now on */
    struct term term;
};

static void work_fini(struct work *w)
{
    space_close(w->to);
    space_close(w->from);
    space_member_fini(&w->member);
    keyring_fini(&w->keys);
    free(w->staged);
    free(w->aside);
    free(w->old.folder);
    buf_fini(&w->folder);
    session_fini(&w->session);
}

/* Everything that can be known to go wrong before anything is changed. */
static int check(struct work *w, const char *path, struct err *err)
{
    struct stat st;
    int rc = resolve_path(path, true, &w->folder, err);
    if (rc < 0)
        return rc;
    const char *folder = (const char *)w->folder.p;
    escape_to(w->shown, sizeof w->shown, bytes_str(folder));
    rc = mounts_at(folder, err);
    if (rc == 2 && mounts_stat(folder, &st) != -ENOTCONN)
        return err_set(err, -EBUSY, "%s: is mounted; 'persist unmount' it first", w->shown);
    buf_reset(&w->folder);
    if (rc >= 0)
        rc = mount_checks_folder(path, &w->folder, err);
    if (rc == 0)
        rc = mount_checks_fuse(err);
    if (rc == 0)
        rc = session_open(&w->session, false, err);
    if (rc < 0)
        return rc;
    const struct space_entry *e = spaces_at(&w->session.spaces, (const char *)w->folder.p);
    if (e == NULL || e->fresh)
        return err_set(err, -ENOENT,
                       "%s: is no persist folder, so there is nothing to make a new space of; "
                       "leave --new-space out",
                       w->shown);
    rc = mount_checks_has_files(e->folder, err);
    if (rc == 1)
        return err_set(err, -ENOTEMPTY, "%s: is not empty; move what is in it elsewhere", w->shown);
    if (rc < 0)
        return rc;
    w->old = *e;
    w->old.folder = strdup(e->folder);
    return w->old.folder == NULL ? err_set(err, -ENOMEM, "mount: out of memory") : 0;
}

static int open_old(struct work *w, struct err *err)
{
    const struct home *h = &w->session.home;
    int rc = identity_load(h, &w->identity, err);
    if (rc == 0)
        rc = identity_member(h, &w->identity, &w->member, err);
    char *dir = rc < 0 ? NULL : spaces_dir(h, &w->old);
    if (rc == 0 && dir == NULL)
        rc = err_set(err, -ENOMEM, "out of memory");
    /* An onlooker: nothing in it is to change under the copy. */
    struct space_config config = {
        .dir = dir, .label = w->identity.label, .member = &w->member, .onlooker = true};
    if (rc == 0)
        rc = space_open(&config, &w->from, err);
    free(dir);
    /* From here on it is. */
    return rc < 0 ? rc : spaces_still_at(h, &w->old, err);
}

static int open_new(struct work *w, struct err *err)
{
    int rc = keyring_found(&w->keys, &w->member);
    if (rc < 0)
        return err_set(err, rc, "making the keys of the space: %s", strerror(-rc));
    rc = spaces_stage(&w->session.home, &w->old, &w->keys, &w->staged, err);
    struct space_config config = {
        .dir = w->staged, .create = true, .label = w->identity.label, .member = &w->member};
    return rc < 0 ? rc : space_open(&config, &w->to, err);
}

/* The merge drivers that are allowed for the folder stay so. */
static int carry_drivers(const struct work *w, struct err *err)
{
    CLEANUP(buf_fini) struct buf file = {0};
    char path[SPACE_ID_TEXT_SIZE + 32];
    int fd;
    snprintf(path, sizeof path, "spaces/%s/" DRIVERS_FILE, w->old.id);
    int rc = statefile_read(w->session.home.fd, path, DRIVERS_BYTES_MAX, &file, err);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    rc = statefile_open_dir(AT_FDCWD, w->staged, false, &fd, err);
    if (rc < 0)
        return rc;
    rc = statefile_write(fd, DRIVERS_FILE, buf_bytes(&file), false, err);
    close(fd);
    return rc;
}

/* How much of a folder's path there is room for with a suffix behind it, in whole characters. */
static size_t length_before(const char *folder, size_t suffix_n)
{
    const char *last = strrchr(folder, '/') + 1;
    size_t n = strlen(last);
    if (n > NAME_MAX - suffix_n)
        for (n = NAME_MAX - suffix_n; n > 0 && ((uint8_t)last[n] & 0xc0) == 0x80;)
            n--;
    return (size_t)(last - folder) + n;
}

/* FOLDER.before-new-space, or the first with a number that is nothing yet. */
static int choose_aside(struct work *w, struct err *err)
{
    enum { SUFFIX_MAX = sizeof ".before-new-space-1000" - 1 };
    int keep = (int)length_before(w->old.folder, SUFFIX_MAX);
    struct stat st;
    for (unsigned i = 1; i <= ASIDE_MAX; i++) {
        char number[16] = "";
        if (i > 1)
            snprintf(number, sizeof number, "-%u", i);
        free(w->aside);
        if (asprintf(&w->aside, "%.*s.before-new-space%s", keep, w->old.folder, number) < 0) {
            w->aside = NULL;
            return err_set(err, -ENOMEM, "out of memory");
        }
        if (spaces_at(&w->session.spaces, w->aside) == NULL && lstat(w->aside, &st) < 0)
            return 0;
    }
    return err_set(err, -EEXIST, "too many %s.before-new-space; remove some by persist forget",
                   w->shown);
}

/* Under the lock of the state directory: no other space takes folder or name meanwhile. */
static int replace(struct work *w, struct err *err)
{
    struct session *s = &w->session;
    char name[SPACE_NAME_SIZE];
    int lock_fd;
    int rc = session_lock(s, &lock_fd, err);
    if (rc < 0)
        return rc;
    rc = choose_aside(w, err);
    if (rc == 0) {
        spaces_choose_name(&s->spaces, w->aside, name);
        rc = spaces_replace(&s->home, &w->old, &w->keys.space, w->aside, name, err);
    }
    close(lock_fd);
    return rc;
}

static int make(struct work *w, struct err *err)
{
    int rc = open_old(w, err);
    if (rc == 0)
        rc = open_new(w, err);
    if (rc == 0)
        rc = space_carry(w->from, w->to, &w->term.out, err);
    space_close(w->to);
    w->to = NULL;
    if (rc == 0)
        rc = carry_drivers(w, err);
    if (rc == 0)
        rc = replace(w, err);
    if (rc < 0 && w->from != NULL) {
        struct err ignored = {0};
        (void)!spaces_unstage(&w->session.home, &w->old, &ignored);
    }
    return rc < 0 ? err_wrap(err, rc, "%s", w->shown) : 0;
}

/* Others are members of the old space, and take this device for one. */
static bool is_shared(struct space *s)
{
    CLEANUP(buf_fini) struct buf list = {0};
    size_t others = 0;
    bool member = false;
    if (peers_list(s, &list) < 0)
        return false;
    for (size_t at = 0; at < list.n; at += sizeof(struct peer)) {
        struct peer p;
        memcpy(&p, list.p + at, sizeof p);
        member = member || (p.is_this && p.is_member);
        others += !p.is_this && p.is_member;
    }
    return member && others > 0;
}

static int say(struct work *w)
{
    char aside[SHOWN_SIZE + 32], label[4 * LABEL_SIZE];
    escape_to(aside, sizeof aside, bytes_str(w->aside));
    int rc = out_printf(&w->term.out,
                        "%s is a new space now; the old one, with its history, is kept as %s until "
                        "'persist forget'\n",
                        w->shown, aside);
    if (rc == 0 && is_shared(w->from))
        rc = out_printf(&w->term.out,
                        "this device is still a member of the old one; 'persist revoke %s' on "
                        "another device of it ends that\n",
                        escape_to(label, sizeof label, bytes_str(w->identity.label)));
    return rc;
}

int new_space(const char *path)
{
    struct work w = {.session = SESSION_INIT};
    struct err err = {0};
    int status = VERB_OK;
    /* What went wrong is told once, by the command's own line. */
    log_set_level(LOG_LEVEL_NONE);
    term_init(&w.term);
    int rc = check(&w, path, &err);
    if (rc == 0 && !w.old.anew) {
        rc = make(&w, &err);
        if (rc == 0)
            (void)!say(&w); /* it is made, whoever reads that */
    }
    status = term_finish(&w.term, rc < 0 ? verb_status_of(rc) : VERB_OK);
    if (rc < 0)
        status = fail_err(&err);
    work_fini(&w);
    return status;
}
