/* Every byte of the files that the database consists of, whatever it is for. */
#include <errno.h>

#include "fs/space/check.h"

static bool step(void *arg, uint64_t bytes)
{
    return check_step(arg, bytes);
}

static void fault(void *arg, bool repaired, const char *what)
{
    check_problem(arg, bytes_of(NULL, 0), repaired ? CHECK_REPAIRED : CHECK_FOUND, "%s", what);
}

int check_files(struct check *c)
{
    int rc = db_verify(c->s->db, c->repair, step, fault, c);
    if (rc == 0 || rc == -ENOMEM || rc == -ECANCELED || rc == -ENOSPC)
        return rc;
    check_problem(c, bytes_of(NULL, 0), CHECK_FOUND, "its files could not all be read: %s",
                  strerror(-rc));
    return 0;
}
