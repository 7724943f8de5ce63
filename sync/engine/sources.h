/*
 * sync/engine/sources - which chunks the sessions of one space have asked their remotes for, so
 * that each chunk comes from one of them and all of them share in what is large. Sans IO: time is
 * given.
 *
 * A chunk is open from sources_claim() until it came, or until every source that was asked for it
 * answered otherwise or is gone. At most SOURCES_MAX times what a session may ask for is open.
 * Thread: one.
 */
#ifndef SYNC_ENGINE_SOURCES_H
#define SYNC_ENGINE_SOURCES_H

#include "fs/store/content.h"

enum {
    SOURCES_MAX = 32,
    /* What did not come for so long may be asked of another source. A link with 16 Mbit/s brings in
     * that time all that one session has open, from the far side of the earth, too; and nobody
     * minds that a note is so late as the link that it was to come by has just died. */
    SOURCES_STALLED_MS = 1000,
};

#define SOURCES_NEVER UINT64_MAX

struct sources;

/** -ENOMEM. */
int sources_new(struct sources **ret) MUST_CHECK;
void sources_free(struct sources *s); /* accepts NULL */

/** A new source, which ends with sources_leave(). -EMFILE: there are SOURCES_MAX. */
int sources_join(struct sources *s) MUST_CHECK;
/** What it was asked for and has not brought may be asked of the others. */
void sources_let_go(struct sources *s, int source);
/** The same, and it is no source any more. Accepts -1. */
void sources_leave(struct sources *s, int source);

/**
 * 0: the chunk is to be asked of this source, and is open from now on. Else it is not, as it is
 * open already: when it may be, if nothing comes and nothing is let go before; SOURCES_NEVER: this
 * source was asked for it itself.
 */
uint64_t sources_claim(struct sources *s, int source, const uint8_t name[static CONTENT_ID_BYTES],
                       uint64_t now_ms) MUST_CHECK;
/** What this source was asked for is here (from whomever), or it cannot bring it. */
void sources_answered(struct sources *s, int source, const uint8_t name[static CONTENT_ID_BYTES],
                      bool here);

/** Whether something may be asked of others since the last call. */
bool sources_freed(struct sources *s);

#endif
