/* The bytes of one version of a file. */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/verb.h"
#include "fs/space/versions.h"
#include "proto/base/escape.h"

enum { PIECE_BYTES = 256 * 1024 };

static int copy_out(struct content *c, struct out *out)
{
    uint8_t *piece = malloc(PIECE_BYTES);
    if (piece == NULL)
        return -ENOMEM;
    ssize_t n = 1;
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && n > 0; at += (uint64_t)n) {
        n = content_read(c, at, piece, PIECE_BYTES);
        rc = n < 0 ? (int)n : out_write(out, piece, (size_t)n);
    }
    free(piece);
    return rc;
}

int verb_show(struct space *s, const struct verb_call *call, struct out *out)
{
    struct version v;
    int rc = version_wanted(s, call->args[0], call->args[1], out, &v);
    if (rc < 0)
        return verb_status_of(rc);
    struct content *c;
    rc = version_ask(s, &v.rid, &v.h.content.dot);
    if (rc == 0)
        rc = version_open(s, &v.rid, &v.h.content.dot, &c);
    if (rc == 0) {
        rc = copy_out(c, out);
        content_free(c);
    }
    char shown[200];
    escape_to(shown, sizeof shown, bytes_str(call->args[0]));
    if (rc == -ENODATA)
        out_error(out,
                  "%s: parts of this version are not on this device; of a deleted file they are "
                  "fetched now, if another device has them: try again in a moment",
                  shown);
    else if (rc == -EBADMSG || rc == -EUCLEAN)
        out_error(out, "%s: this version is damaged; 'persist check' tells more", shown);
    else if (rc < 0 && rc != -ECANCELED)
        out_error(out, "%s: %s", shown, strerror(-rc));
    return rc == -ENODATA ? VERB_FAILED : verb_status_of(rc);
}
