#include "fs/space/peer_find.h"

#include <errno.h>
#include <stdio.h>

#include "fs/space/verb.h"
#include "proto/base/escape.h"

enum { SHOWN_MAX = 200, NAMED_MAX = 4 };

typedef bool matches(const struct peer *p, const char *text);

static bool is_id(const struct peer *p, const char *text)
{
    return strcmp(p->peer_id, text) == 0;
}

static bool has_label(const struct peer *p, const char *text)
{
    return strcmp(p->label, text) == 0;
}

static bool has_part(const struct peer *p, const char *text)
{
    return text[0] != '\0' && strstr(p->peer_id, text) != NULL;
}

/* How many devices match: the last one of them into @ret, and all named in @names. */
static size_t look(const struct buf *all, matches *fn, const char *text, bool members,
                   struct peer *ret, struct buf *names)
{
    size_t n = 0;
    buf_reset(names);
    for (size_t at = 0; at < all->n; at += sizeof(struct peer)) {
        struct peer p;
        memcpy(&p, all->p + at, sizeof p);
        if (p.is_member != members || !fn(&p, text))
            continue;
        if (n > 0 && memcmp(p.keys.identity, ret->keys.identity, SIGN_KEY_SIZE) == 0)
            continue; /* another key of the same device */
        *ret = p;
        if (n++ < NAMED_MAX) {
            buf_put_bytes(names, bytes_str(n > 1 ? ", " : ""));
            escape_put(names, bytes_str(p.label));
            buf_put_bytes(names, bytes_str(" ("));
            buf_put_bytes(names, bytes_str(p.peer_id));
            buf_put_bytes(names, bytes_str(")"));
        }
    }
    return n;
}

int peer_list_failed(const char *verb, int error, struct out *out)
{
    if (error == -ENOTCONN)
        out_error(out, "%s: this folder has no other devices; 'persist remote add' links it", verb);
    else
        out_error(out, "%s: %s", verb, strerror(-error));
    return verb_status_of(error);
}

int peer_find(struct space *s, const char *verb, const char *text, struct out *out,
              struct peer *ret)
{
    static matches *const ways[] = {is_id, has_label, has_part};
    CLEANUP(buf_fini) struct buf all = {0}, names = {0};
    char shown[SHOWN_MAX];
    size_t n = 0;
    int rc = peers_list(s, &all);
    if (rc < 0)
        return peer_list_failed(verb, rc, out);
    for (size_t i = 0; n == 0 && i < 2 * ARRAY_N(ways); i++)
        n = look(&all, ways[i % ARRAY_N(ways)], text, i < ARRAY_N(ways), ret, &names);
    if (n == 1)
        return VERB_OK;
    escape_to(shown, sizeof shown, bytes_str(text));
    if (n == 0)
        out_error(out, "%s: no device is called %s; 'persist peers' lists them", verb, shown);
    else
        out_error(out, "%s: %s may be %.*s%s; give more of its PeerId", verb, shown, (int)names.n,
                  (const char *)names.p, n > NAMED_MAX ? ", and others" : "");
    return VERB_NOT_FOUND;
}
