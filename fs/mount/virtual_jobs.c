/* Requests that may take long: done by a thread of its own, so that no other one waits. */
#include "fs/mount/virtual_priv.h"

#include <errno.h>
#include <stdlib.h>

enum { AGAIN_MS = 50 };

void virtual_take_later(struct virtual *v)
{
    *v->last = TAKE_PTR(v->later);
    while (*v->last != NULL)
        v->last = &(*v->last)->next;
}

static void wait_for_work(struct virtual *v)
{
    struct timespec until = {.tv_sec = (time_t)(v->later_ms / 1000),
                             .tv_nsec = (long)(v->later_ms % 1000) * 1000000};
    if (v->later == NULL)
        pthread_cond_wait(&v->wake, &v->lock);
    else
        pthread_cond_timedwait(&v->wake, &v->lock, &until);
}

static void put_later(struct virtual *v, struct virtual_job *j)
{
    j->again = false;
    if (v->later == NULL)
        v->later_ms = virtual_now_ms() + AGAIN_MS;
    j->next = v->later;
    v->later = j;
}

void *virtual_work(void *arg)
{
    struct virtual *v = arg;
    pthread_mutex_lock(&v->lock);
    while (!v->stop) {
        if (v->later != NULL && virtual_now_ms() >= v->later_ms)
            virtual_take_later(v);
        struct virtual_job *j = v->first;
        if (j == NULL) {
            wait_for_work(v);
            continue;
        }
        v->first = j->next;
        if (v->first == NULL)
            v->last = &v->first;
        pthread_mutex_unlock(&v->lock);
        j->run(v, j);
        pthread_mutex_lock(&v->lock);
        if (j->again)
            put_later(v, j);
        else
            free(j);
    }
    pthread_mutex_unlock(&v->lock);
    ll_thread_done();
    return NULL;
}

/* NULL after a reply: out of memory. */
struct virtual_job *virtual_job_new(fuse_req_t req, uint64_t node, const char *name,
                                    void (*run)(struct virtual *v, struct virtual_job *j))
{
    size_t n = strlen(name);
    struct virtual_job *j = calloc(1, sizeof *j + n + 1);
    if (j == NULL) {
        ll_reply(req, -ENOMEM);
        return NULL;
    }
    j->run = run;
    j->req = req;
    j->began_ms = virtual_now_ms();
    j->node = node;
    memcpy(j->name, name, n);
    return j;
}

void virtual_job_add(struct virtual_job *j)
{
    struct virtual *v = virtual_of(j->req);
    pthread_mutex_lock(&v->lock);
    *v->last = j;
    v->last = &j->next;
    pthread_cond_signal(&v->wake);
    pthread_mutex_unlock(&v->lock);
}
