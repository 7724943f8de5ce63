#include "fs/store/db_err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/log.h"

/* What RocksDB writes, most telling first. */
static const struct {
    const char *text;
    int code;
} texts[] = {
    {"No space left", -ENOSPC},
    {"NoSpace", -ENOSPC},
    {"Disk quota exceeded", -ENOSPC},
    {"lock file", -EBUSY},
    {"lock hold by current process", -EBUSY},
    {"Permission denied", -EACCES},
    {"Read-only file system", -EACCES},
    {"does not exist", -ENOENT},
    {"Corruption", -EUCLEAN},
    {"checksum mismatch", -EUCLEAN},
    {"Not implemented", -ENOTSUP},
    /* A table or manifest file that the database refers to is not there. */
    {"No such file or directory", -EUCLEAN},
};

/* Once is enough: who goes on behind damage meets the same block many times. */
static void log_once(const char *text)
{
    static _Thread_local char last[256];
    if (strncmp(last, text, sizeof last - 1) == 0)
        return;
    snprintf(last, sizeof last, "%s", text);
    log_error("database: %s", text);
}

int db_err_take(char **errptr, struct err *err)
{
    if (*errptr == NULL)
        return 0;
    int code = -EIO;
    for (size_t i = 0; i < ARRAY_N(texts) && code == -EIO; i++)
        if (strstr(*errptr, texts[i].text) != NULL)
            code = texts[i].code;
    if (code == -EIO || code == -EUCLEAN)
        log_once(*errptr);
    err_set(err, code, "%s", *errptr);
    free(*errptr);
    *errptr = NULL;
    return code;
}
