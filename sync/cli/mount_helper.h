/*
 * sync/cli/mount_helper - serves mount(8) and /etc/fstab: mount.persist SOURCE TARGET [-sfnv] [-o
 * OPTS].
 *
 *   persist  /home/alice/Notes  persist  name=notes,uid=alice,nofail  0 0
 *
 * Own options: name=NAME, uid=USER (gives up root for that user before any of its files is
 * touched), home=DIR (that user's PERSIST_HOME). What is meant for mount(8) or systemd is left out;
 * the rest goes to `persist mount -o`. Exit status as mount(8) has it: 0, 1 wrong usage, 32 failed.
 */
#ifndef SYNC_CLI_MOUNT_HELPER_H
#define SYNC_CLI_MOUNT_HELPER_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

/** Whether the program was called as mount.persist, mount.fuse.persist or "persist mount.persist".
 */
bool mount_helper_is_called(int argc, char *const *argv);

int mount_helper_main(int argc, char **argv);

/* The -o list, taken apart; all zero is valid and empty. Strings are terminated. */
struct mount_helper_options {
    struct buf name, user, home, rest; /* n is 0: not given */
};

/** -EINVAL an option without its value, or given twice; -ENOMEM. */
int mount_helper_parse(const char *list, struct mount_helper_options *ret,
                       struct err *err) MUST_CHECK;
void mount_helper_options_fini(struct mount_helper_options *o);

#endif
