#include "sync/cli/remote_door.h"

#include <errno.h>
#include <sodium.h>

#include "proto/sealed/act.h"
#include "proto/sealed/door.h"
#include "sync/cli/fail.h"
#include "sync/cli/term.h"

/* The key of the passphrase, derived here: the mount process never sees the passphrase. */
static int derive(struct bytes passphrase, char salt_text[2 * DOOR_SALT_SIZE + 1],
                  char key_text[4 * HASH_SIZE + 1], struct err *err)
{
    uint8_t salt[DOOR_SALT_SIZE];
    struct door_key key;
    randombytes_buf(salt, sizeof salt);
    int rc = door_key_init(&key, passphrase, salt);
    if (rc < 0)
        return err_set(err, rc, "remote: deriving the key of the passphrase: %s", strerror(-rc));
    sodium_bin2hex(salt_text, 2 * DOOR_SALT_SIZE + 1, salt, sizeof salt);
    sodium_bin2hex(key_text, 2 * HASH_SIZE + 1, key.wrap, HASH_SIZE);
    sodium_bin2hex(key_text + 2 * (size_t)HASH_SIZE, 2 * HASH_SIZE + 1, key.commitment, HASH_SIZE);
    door_key_fini(&key);
    return 0;
}

static int run(const struct session *s, const struct space_entry *e, struct verb_call *call,
               struct err *err)
{
    struct term term;
    int status;
    term_init(&term);
    int rc = session_run(s, e, call, &term.out, &status, err);
    if (rc == 0 && term_finish(&term, status) != VERB_OK)
        rc = err_set(err, -ECONNABORTED, "remote: the folder was not opened to other devices");
    return rc;
}

static int make_member(const struct session *s, const struct remote_door *door, struct err *err)
{
    char member[2 * ACT_MEMBER_SIZE + 1];
    if (door->member.n != ACT_MEMBER_SIZE)
        return err_set(err, -ENOTSUP,
                       "remote: this server cannot be a member of a folder; use a passphrase");
    sodium_bin2hex(member, sizeof member, door->member.p, door->member.n);
    struct verb_call call = {.verb = "manage", .args = {door->url, member}, .args_n = 2};
    return run(s, door->space, &call, err);
}

int remote_door(const struct session *s, const struct remote_door *door, struct err *err)
{
    char salt[2 * DOOR_SALT_SIZE + 1], key[4 * HASH_SIZE + 1];
    if (door->managed)
        return make_member(s, door, err);
    int rc = derive(door->passphrase, salt, key, err);
    if (rc < 0)
        return rc;
    struct verb_call call = {.verb = "door", .args = {door->url, salt, key}, .args_n = 3};
    rc = run(s, door->space, &call, err);
    sodium_memzero(key, sizeof key);
    return rc;
}

int remote_door_opened(const struct session *s, const struct space_entry *e, const char *url,
                       struct err *err)
{
    struct verb_call call = {.verb = "opened", .args = {url}, .args_n = 1};
    return run(s, e, &call, err);
}

int remote_door_shut(const struct session *s, const struct space_entry *e, const char *url,
                     struct err *err)
{
    struct verb_call call = {.verb = "shut", .args = {url}, .args_n = 1};
    return run(s, e, &call, err);
}

int remote_door_waits(const struct session *s, const struct space_entry *e, const char *url,
                      struct err *err)
{
    struct verb_call call = {.verb = "door", .args = {url}, .args_n = 1};
    struct term term;
    int status;
    term_init(&term);
    int rc = session_run(s, e, &call, &term.out, &status, err);
    return rc < 0 ? rc : status == VERB_OK;
}
