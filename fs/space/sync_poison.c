/*
 * What made this program crash. The change that is being taken in is noted in a page of the file
 * `taking`, shared with the kernel, so that the note outlives the process. A change on which two
 * processes crashed is left out from then on, and the folder stays usable. To be killed is no
 * crash. Of a crash while several are taken at once none is to blame yet: as many as may have come
 * together are then taken one by one.
 *
 *   page    key 16 (zeros: none is being taken) · crashed 8 · DEAD_MAX times: key 16 · deaths 8
 *           · how many more are to be taken one by one 8
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"

enum { PAGE = 4096, DEAD_MAX = 64, DEATHS_MAX = 2, ALONE_N = 1024 };

/* The key of several: that of no entry is so. */
static const struct dot many = {0, UINT64_MAX};

struct sync_poison {
    struct dot now;
    uint64_t crashed;
    struct {
        struct dot dot;
        uint64_t deaths;
    } dead[DEAD_MAX];
    uint64_t alone;
};

_Static_assert(sizeof(struct sync_poison) <= PAGE, "fits a page");

/* The place of a change among those that processes died of; the first free one, or the first. */
static size_t place_of(const struct sync_poison *p, const struct dot *dot)
{
    size_t i = 0;
    while (i < DEAD_MAX && p->dead[i].deaths > 0 && !dot_equal(&p->dead[i].dot, dot))
        i++;
    return i < DEAD_MAX ? i : 0;
}

static void note_death(struct sync_poison *p)
{
    p->alone = ALONE_N;
    if (dot_equal(&p->now, &many)) {
        log_warn("sync: the program ended while it took in several changes; the next ones are "
                 "taken one by one");
        return;
    }
    size_t i = place_of(p, &p->now);
    if (p->dead[i].deaths == 0 || !dot_equal(&p->dead[i].dot, &p->now))
        p->dead[i].deaths = 0;
    p->dead[i].dot = p->now;
    p->dead[i].deaths++;
    log_warn("sync: the program ended while it took in change %016llx%016llx%s",
             (unsigned long long)p->now.replica, (unsigned long long)p->now.counter,
             p->dead[i].deaths >= DEATHS_MAX ? " again; it is left out from now on" : "");
}

/* ---- crashes -----------------------------------------------------------------------------------
 */

/* The pages of this process's spaces; a handler can be given nothing. */
static struct sync_poison *_Atomic pages[64];

static void on_crash(int sig)
{
    for (size_t i = 0; i < ARRAY_N(pages); i++) {
        struct sync_poison *p = pages[i];
        if (p != NULL && p->now.counter != 0)
            p->crashed = 1;
    }
    raise(sig); /* SA_RESETHAND: now it ends the process */
}

static void watch_crashes(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    static const int signals[] = {SIGABRT}; /* the sanitizer reports the others */
#else
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
#endif
    struct sigaction a = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    for (size_t i = 0; i < ARRAY_N(signals); i++)
        sigaction(signals[i], &a, NULL);
}

static void set_page(const struct sync_poison *from, struct sync_poison *to)
{
    for (size_t i = 0; i < ARRAY_N(pages); i++)
        if (pages[i] == from) {
            pages[i] = to;
            return;
        }
}

/* ---- the file ----------------------------------------------------------------------------------
 */

int sync_poison_open(struct space *s)
{
    int fd = openat(s->dir_fd, "taking", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    /* With blocks: a write to a hole on a full disk would be a SIGBUS. */
    struct stat st;
    int rc = fstat(fd, &st) < 0 ? errno : st.st_size == PAGE ? 0 : posix_fallocate(fd, 0, PAGE);
    void *page = MAP_FAILED;
    if (rc == 0)
        page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (rc == 0 && page == MAP_FAILED)
        rc = errno;
    close(fd);
    if (rc != 0)
        return -rc;
    struct sync_poison *p = s->sync->poison = page;
    if (p->now.counter != 0 && p->crashed)
        note_death(p);
    if (p->now.counter != 0 || p->crashed != 0) { /* else it is not written to */
        p->now = (struct dot){0, 0};
        p->crashed = 0;
    }
    watch_crashes();
    set_page(NULL, p);
    return 0;
}

void sync_poison_close(struct sync *y)
{
    if (y->poison == NULL)
        return;
    set_page(y->poison, NULL);
    munmap(y->poison, PAGE);
}

struct dot sync_poison_key_of(const uint8_t head_hash[static HASH_SIZE])
{
    /* A counter of 0 is none. */
    return (struct dot){get_u64(head_hash), get_u64(head_hash + 8) | 1};
}

struct dot sync_poison_key(const struct entry *e)
{
    uint8_t hash[HASH_SIZE];
    entry_head_hash(e->head_raw, hash);
    return sync_poison_key_of(hash);
}

bool sync_poison_begin(struct sync *y, const struct dot *dot)
{
    size_t i = place_of(y->poison, dot);
    if (dot_equal(&y->poison->dead[i].dot, dot) && y->poison->dead[i].deaths >= DEATHS_MAX)
        return false;
    y->poison->now = *dot;
    return true;
}

void sync_poison_begin_many(struct sync *y)
{
    y->poison->now = many;
}

void sync_poison_end(struct sync *y)
{
    y->poison->now = (struct dot){0, 0};
}

bool sync_poison_alone(struct sync *y)
{
    if (y->poison->alone == 0)
        return false;
    y->poison->alone--;
    return true;
}
