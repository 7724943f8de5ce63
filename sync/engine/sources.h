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
    /* What a source that brings nothing for so long was asked for may be asked of another one: the
     * link has stalled, as one that is alive answers within that from the far side of the earth,
     * too, and brings a chunk in it from 2 Mbit/s on. Nobody minds that a note is so late then. */
    SOURCES_STALLED_MS = 1000,
    /* And what it has not brought by then, whatever it brings: in that time 2 Mbit/s bring all that
     * a session has open. Slower ones, and those that answer as late as they can, keep back no note
     * for long. */
    SOURCES_LATE_MS = 10000,
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
/** This source has answered something. */
void sources_heard(struct sources *s, int source, uint64_t now_ms);
/** What this source was asked for is here (from whomever), or it cannot bring it. */
void sources_answered(struct sources *s, int source, const uint8_t name[static CONTENT_ID_BYTES],
                      bool here);

/** Whether something may be asked of others since the last call. */
bool sources_freed(struct sources *s);

#endif
