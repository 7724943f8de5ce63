/*
 * fs/store/db_err - turns RocksDB's error texts into errno.
 */
#ifndef FS_STORE_DB_ERR_H
#define FS_STORE_DB_ERR_H

#include "proto/base/err.h"

/**
 * Frees *@errptr and sets it to NULL. Returns 0 when it was NULL, else a negative errno:
 * -ENOSPC, -EBUSY (locked), -EUCLEAN (damaged), -ENOENT (missing), -EACCES, -ENOTSUP, -EIO (and
 * logs the text, when it is none of the others). @err, when not NULL, gets the text.
 */
int db_err_take(char **errptr, struct err *err) MUST_CHECK;

#endif
