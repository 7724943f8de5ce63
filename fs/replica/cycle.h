/*
 * fs/replica/cycle - concurrent moves that put directories into each other, and how they are
 * parted.
 *
 * Source: README.md, Cycles.
 */
#ifndef FS_REPLICA_CYCLE_H
#define FS_REPLICA_CYCLE_H

#include "fs/replica/node.h"

/**
 * After the places of the directories @r->moved changed (their nodes are up to date): finds and
 * breaks cycles, and adds every directory whose parent may differ now to @r->dirty.
 */
int cycle_update(struct replica *r) MUST_CHECK;

/** Adds every suspended directory to @ret. */
int cycle_suspended(struct replica *r, struct rids *ret) MUST_CHECK;

#endif
