/* Requests that may take long: done by a thread of its own, so that no other one waits. */
#include "fs/mount/virtual_priv.h"

#include <errno.h>
#include <stdlib.h>

void *virtual_work(void *arg)
{
    struct virtual *v = arg;
    pthread_mutex_lock(&v->lock);
    while (!v->stop) {
        struct virtual_job *j = v->first;
        if (j == NULL) {
            pthread_cond_wait(&v->wake, &v->lock);
            continue;
        }
        v->first = j->next;
        if (v->first == NULL)
            v->last = &v->first;
        pthread_mutex_unlock(&v->lock);
        j->run(v, j);
        free(j);
        pthread_mutex_lock(&v->lock);
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
