/* persist remote list. */
#include <stdio.h>

#include "proto/base/escape.h"
#include "proto/base/json.h"
#include "proto/frame.h"
#include "sync/cli/fail.h"
#include "sync/cli/local_call.h"
#include "sync/cli/remote.h"
#include "sync/cli/term.h"

static const char *state_name(Persist__LinkState state)
{
    switch (state) {
    case PERSIST__LINK_STATE__LINK_CONNECTING:
        return "connecting";
    case PERSIST__LINK_STATE__LINK_UP:
        return "connected";
    case PERSIST__LINK_STATE__LINK_REFUSED:
        return "refused";
    case PERSIST__LINK_STATE__LINK_DOWN:
    case PERSIST__LINK_STATE__LINK_REMOVED:
    case _PERSIST__LINK_STATE_IS_INT_SIZE:
        break;
    }
    return "down";
}

static const struct space_entry *space_of(const struct session *s, ProtobufCBinaryData id)
{
    uint8_t own[SPACE_ID_SIZE];
    for (size_t i = 0; i < s->spaces.n; i++) {
        remote_space_id(&s->spaces.v[i], own);
        if (bytes_equal(frame_bytes(id), bytes_of(own, sizeof own)))
            return &s->spaces.v[i];
    }
    return NULL;
}

/* The links of @r that are to be shown: all, or those of @e. Returns how many. */
static size_t choose(const struct session *s, const struct space_entry *e, const Persist__Reply *r,
                     size_t *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_links; i++)
        if (e == NULL || space_of(s, r->link_spaces[i]) == e)
            ret[n++] = i;
    return n;
}

static void put_json(const struct session *s, const Persist__Reply *r, const size_t *v, size_t n,
                     struct buf *b)
{
    struct json j;
    json_init(&j, b);
    json_object(&j);
    json_key(&j, "remotes");
    json_list(&j);
    for (size_t i = 0; i < n; i++) {
        const Persist__Link *l = r->links[v[i]];
        const struct space_entry *e = space_of(s, r->link_spaces[v[i]]);
        json_object(&j);
        json_key_str(&j, "url", l->url);
        json_key_str(&j, "folder", e != NULL ? e->folder : NULL);
        json_key(&j, "space");
        json_hex(&j, frame_bytes(r->link_spaces[v[i]]));
        json_key_str(&j, "state", state_name(l->state));
        json_key_str(&j, "error", l->error[0] != '\0' ? l->error : NULL);
        json_key_u64(&j, "retry_ms", l->retry_ms);
        json_key_u64(&j, "interval_s", l->interval_s);
        json_key_bool(&j, "managed", l->managed);
        json_end(&j);
    }
    json_end(&j);
    json_end(&j);
    (void)!json_finish(&j); /* a failure stays in the buffer */
}

static void put_text(const struct session *s, const Persist__Reply *r, const size_t *v, size_t n,
                     struct buf *b)
{
    int width = 0;
    for (size_t i = 0; i < n; i++) {
        int k = (int)strlen(r->links[v[i]]->url);
        width = k > width ? k : width;
    }
    for (size_t i = 0; i < n; i++) {
        const Persist__Link *l = r->links[v[i]];
        const struct space_entry *e = space_of(s, r->link_spaces[v[i]]);
        char head[FRAME_TEXT_MAX + 64];
        snprintf(head, sizeof head, "%-*s  %-10s  ", width, l->url, state_name(l->state));
        escape_put(b, bytes_str(head));
        escape_put(b, bytes_str(e != NULL ? e->folder : "(no folder of this device)"));
        if (l->error[0] != '\0') {
            buf_put_bytes(b, bytes_str("  "));
            buf_put_bytes(b, bytes_str(l->error)); /* escaped where it was made */
        }
        buf_put_u8(b, '\n');
    }
}

static int show(const struct args *a, const struct session *s, const struct space_entry *e,
                const Persist__Reply *r)
{
    CLEANUP(buf_fini) struct buf b = {0};
    CLEANUP(buf_fini) struct buf chosen = {0};
    struct term term;
    term_init(&term);
    int rc = buf_resize(&chosen, (r->n_links + 1) * sizeof(size_t));
    if (rc == 0) {
        size_t *v = (void *)chosen.p;
        size_t n = choose(s, e, r, v);
        if (args_count(a, REMOTE_JSON) > 0)
            put_json(s, r, v, n, &b);
        else if (n == 0)
            fail(VERB_OK, "remotes: there are none; 'persist remote add URL' links a folder");
        else
            put_text(s, r, v, n, &b);
        rc = out_buf(&term.out, &b);
    }
    return term_finish(&term, rc < 0 ? VERB_FAILED : VERB_OK);
}

int remote_list(const struct args *a, const struct session *s, const struct space_entry *e)
{
    struct err err = {0};
    Persist__Local *answer;
    Persist__RemoteList request = PERSIST__REMOTE_LIST__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT;
    f.kind_case = PERSIST__LOCAL__KIND_REMOTE_LIST;
    f.remote_list = &request;
    if (remote_ask(s, &f, &answer, &err) < 0)
        return remote_fail(&err);
    int status = show(a, s, e, answer->reply);
    frame_local_free(answer);
    return status;
}
