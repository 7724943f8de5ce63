/*
 * sync/cli/remote - what the commands about remotes share. Thread: one.
 */
#ifndef SYNC_CLI_REMOTE_H
#define SYNC_CLI_REMOTE_H

#include "proto/local.pb-c.h"
#include "proto/sealed/ids.h"
#include "sync/cli/args.h"
#include "sync/cli/secretfile.h"
#include "sync/cli/session.h"

/* Options of `persist remote`. */
enum {
    REMOTE_TOKEN_FILE,
    REMOTE_PASSPHRASE_FILE,
    REMOTE_MANAGED,
    REMOTE_INTERVAL,
    REMOTE_CA,
    REMOTE_INSECURE,
    REMOTE_JSON
};

/** The id of a space as it is sent. */
void remote_space_id(const struct space_entry *e, uint8_t ret[SPACE_ID_SIZE]);

/**
 * The device's token: from @file when it is not NULL, else from $PERSIST_DEVICE_TOKEN, which is
 * wiped. -EINVAL there is none; as secretfile_read().
 */
int remote_token(const char *file, struct secret *ret, struct err *err) MUST_CHECK;

/** Writes the error line; returns the exit status: -EINVAL is wrong usage. */
int remote_fail(const struct err *err);

/** Asks the sync process, which is started when it does not run. As local_ask(), sync_ensure(). */
int remote_ask(const struct session *s, const Persist__Local *request, Persist__Local **ret_reply,
               struct err *err) MUST_CHECK;

/** Has a remote of the space removed. -ENOENT it is none; as remote_ask(). */
int remote_remove(const struct session *s, const struct space_entry *e, const char *url,
                  struct err *err) MUST_CHECK;
/** Takes the newest add of it back: what was stored before is again, if anything was. Likewise. */
int remote_undo(const struct session *s, const struct space_entry *e, const char *url,
                struct err *err) MUST_CHECK;

/** Has all remotes of the space removed; asks nobody when none are stored. As remote_ask(). */
int remote_remove_all(const struct session *s, const struct space_entry *e,
                      struct err *err) MUST_CHECK;

/** persist remote add URL [FOLDER]; returns the exit status. */
int remote_add(const struct args *a, const struct session *s, const struct space_entry *e);

/** persist remote list, of all folders when @e is NULL. */
int remote_list(const struct args *a, const struct session *s, const struct space_entry *e);

#endif
