#include "crash_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

void *crash_shared(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

bool crash_log_begin(struct crash_log *l, const struct crash_op *op)
{
    unsigned i = atomic_load(&l->begun);
    if (i == CRASH_LOG_MAX || l->stop)
        return false;
    l->at[i].op = *op;
    atomic_store(&l->begun, i + 1);
    return true;
}

void crash_log_answer(struct crash_log *l, int rc)
{
    unsigned i = atomic_load(&l->begun) - 1;
    if (crash_log_is_cut_off(rc)) {
        l->stop = true;
        return;
    }
    l->at[i].rc = rc;
    atomic_store(&l->answered, i + 1);
}

bool crash_log_is_cut_off(int rc)
{
    return rc == -ENOTCONN || rc == -ECONNABORTED || rc == -EINTR || rc == -ECONNREFUSED;
}

bool crash_log_replay(struct crash_log *l, struct crash_model *m, const struct crash_op **ret_open,
                      char why[256])
{
    unsigned answered = atomic_load(&l->answered), begun = atomic_load(&l->begun);
    for (unsigned i = 0; i < answered; i++) {
        int rc = crash_model_apply(m, &l->at[i].op);
        if ((rc < 0) == (l->at[i].rc < 0))
            continue;
        snprintf(why, 256, "%.180s: %s, has to be %s", crash_op_text(&l->at[i].op),
                 strerror(-l->at[i].rc), strerror(-rc));
        return false;
    }
    *ret_open = begun > answered ? &l->at[answered].op : NULL;
    return true;
}
