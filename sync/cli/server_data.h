/*
 * sync/cli/server_data - the data directory of a server, and commands that change what is in it:
 * asked of the server that runs there, or done here when none does. Thread: one.
 */
#ifndef SYNC_CLI_SERVER_DATA_H
#define SYNC_CLI_SERVER_DATA_H

#include "proto/base/buf.h"
#include "sync/server/admin_call.h"

/**
 * The absolute path of @data, or of `server` in the state directory when it is NULL; terminated, in
 * @ret. The state directory is made when @create. As home_open() and resolve_path().
 */
int server_data_path(const char *data, bool create, struct buf *ret, struct err *err) MUST_CHECK;

/**
 * Carries a request out on the data in @data (NULL: as above) and prints what it gives. Returns the
 * exit status; an error line was written when it is not 0.
 */
int server_data_call(const char *data, const Persist__AdminRequest *request);

/** A view of a word of the command line for protobuf-c, which does not write to it. */
char *server_data_text(const char *s);

#endif
