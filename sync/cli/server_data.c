#include "sync/cli/server_data.h"

#include <errno.h>
#include <sodium.h>
#include <time.h>

#include "sync/cli/fail.h"
#include "sync/cli/home.h"
#include "sync/cli/resolve.h"
#include "sync/cli/term.h"
#include "sync/server/control.h"

/* A server that starts or stops has the data, and no socket: it is asked again. */
enum { TRIES = 100, TRY_MS = 50 };

int server_data_path(const char *data, bool create, struct buf *ret, struct err *err)
{
    if (data != NULL)
        return resolve_path(data, true, ret, err);
    struct home home = HOME_INIT;
    int rc = home_open(&home, create, err);
    if (rc < 0)
        return rc;
    buf_put_bytes(ret, bytes_str(home.path));
    buf_put(ret, "/server", sizeof "/server");
    home_fini(&home);
    return buf_status(ret) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* In this process. */
static int call_here(const char *dir, const Persist__AdminRequest *request, struct buf *out,
                     struct err *err)
{
    struct srv_store *store = NULL;
    struct srv_admin a = {.dir = dir};
    bool create = request->verb == PERSIST__ADMIN_VERB__ADMIN_USER_ADD;
    int rc = srv_store_open(dir, create, &store, err);
    if (rc == 0)
        rc = srv_accounts_open(store, &a.accounts, err);
    if (rc == 0)
        rc = srv_spaces_open(store, 0, &a.spaces, err);
    if (rc == 0)
        rc = srv_admin_call(&a, request, out, err);
    srv_spaces_close(a.spaces);
    srv_accounts_close(a.accounts);
    srv_store_close(store);
    return rc;
}

static int call(const char *dir, const Persist__AdminRequest *request, struct buf *out,
                struct err *err)
{
    int rc = 0;
    for (int i = 0; i < TRIES; i++) {
        bool served;
        rc = srv_control_ask(dir, request, &served, out, err);
        if (served || rc < 0)
            return rc;
        rc = call_here(dir, request, out, err);
        if (rc != -EBUSY)
            return rc;
        const struct timespec pause = {.tv_nsec = TRY_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
    return rc;
}

int server_data_call(const char *data, const Persist__AdminRequest *request)
{
    struct buf dir = {0};
    struct buf out = {0};
    struct err err = {0};
    int status = VERB_OK;
    int rc =
        server_data_path(data, request->verb == PERSIST__ADMIN_VERB__ADMIN_USER_ADD, &dir, &err);
    if (rc == 0)
        rc = call((const char *)dir.p, request, &out, &err);
    if (rc < 0) {
        status = rc == -EINVAL ? fail(VERB_USAGE, "%s", err.msg) : fail_err(&err);
    } else {
        struct term term;
        term_init(&term);
        rc = out_buf(&term.out, &out);
        status = term_finish(&term, rc < 0 ? VERB_FAILED : VERB_OK);
    }
    if (out.p != NULL)
        sodium_memzero(out.p, out.cap); /* it may hold a token */
    buf_fini(&out);
    buf_fini(&dir);
    return status;
}

char *server_data_text(const char *s)
{
    union {
        const char *in;
        char *out;
    } p = {.in = s};
    return p.out;
}
