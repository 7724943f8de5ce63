#include "sync/cli/pair_line.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "proto/frame.h"
#include "proto/peer_id.h"
#include "sync/cli/local_call.h"
#include "sync/cli/sync_ensure.h"

enum { SHORT_CHARS = 8, SEND_MS = 5000 };

static volatile sig_atomic_t cancelled;

static void on_signal(int number)
{
    (void)number;
    cancelled = 1;
}

void pair_line_catch(void)
{
    struct sigaction act = {.sa_handler = on_signal};
    sigemptyset(&act.sa_mask);
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    (void)sigaction(SIGHUP, &act, NULL);
}

bool pair_line_cancelled(void)
{
    return cancelled != 0;
}

uint64_t pair_line_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

const char *pair_line_short(struct bytes peer_id, char ret[static 9])
{
    char text[PEER_ID_TEXT_SIZE] = "";
    ret[0] = '\0';
    if (peer_id.n == PEER_ID_BYTES && strlen(peer_id_text(peer_id.p, text)) > SHORT_CHARS)
        memcpy(ret, text + strlen(text) - SHORT_CHARS, SHORT_CHARS + 1);
    return ret;
}

static int begin(int fd, const Persist__Local *f, Persist__Local **ret, struct err *err)
{
    int rc = local_send(fd, f, LOCAL_CALL_MS);
    if (rc == 0)
        rc = local_receive_reply(fd, LOCAL_CALL_MS, ret);
    if (rc < 0)
        return local_fail(rc, err);
    if ((*ret)->reply->status == VERB_OK)
        return 0;
    rc = err_set(err, local_error_of((*ret)->reply->status), "pair: %s", (*ret)->reply->error);
    frame_local_free(*ret);
    return rc;
}

int pair_line_open(const struct session *s, bool joins, const char *nameplate, const char *address,
                   int *ret_fd, Persist__Local **ret_reply, struct err *err)
{
    char plate[PAIR_NAMEPLATE_SIZE], where[FRAME_TEXT_MAX] = "";
    Persist__Pair pair;
    Persist__Local f = PERSIST__LOCAL__INIT;
    if (address != NULL && strlen(address) >= sizeof where)
        return err_set(err, -EINVAL, "pair: the address is too long");
    snprintf(plate, sizeof plate, "%s", nameplate);
    snprintf(where, sizeof where, "%s", address != NULL ? address : "");
    persist__pair__init(&pair);
    pair.joins = joins;
    pair.nameplate = plate;
    pair.address = where;
    f.kind_case = PERSIST__LOCAL__KIND_PAIR;
    f.pair = &pair;
    int rc = sync_ensure(&s->home, s->run_fd, err);
    if (rc == 0)
        rc = local_connect(s->run_fd, ret_fd, err);
    if (rc < 0)
        return rc;
    rc = begin(*ret_fd, &f, ret_reply, err);
    if (rc < 0)
        close(*ret_fd);
    return rc;
}

int pair_line_next(int fd, Persist__Local **ret, struct err *err)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, PAIR_LINE_TICK_MS) <= 0)
        return 0;
    int rc = local_receive(fd, SEND_MS, ret);
    return rc < 0 ? local_fail(rc, err) : 1;
}

int pair_line_flush(int fd, uint32_t id, struct pair *p, struct err *err)
{
    struct bytes out;
    while ((out = pair_out(p)).n > 0) {
        size_t n = min_u64(out.n, FRAME_PAIR_MAX);
        Persist__PairData data = PERSIST__PAIR_DATA__INIT;
        Persist__Local f = PERSIST__LOCAL__INIT;
        data.run = id;
        data.data = frame_data(bytes_of(out.p, n));
        f.kind_case = PERSIST__LOCAL__KIND_PAIR_DATA;
        f.pair_data = &data;
        int rc = local_send(fd, &f, SEND_MS);
        if (rc < 0)
            return local_fail(rc, err);
        pair_sent(p, n);
    }
    return 0;
}

int pair_line_end(int fd, uint32_t id, struct err *err)
{
    static char none[] = "";
    Persist__PairEnd end;
    Persist__Local f = PERSIST__LOCAL__INIT;
    persist__pair_end__init(&end);
    end.run = id;
    end.why = none;
    f.kind_case = PERSIST__LOCAL__KIND_PAIR_END;
    f.pair_end = &end;
    int rc = local_send(fd, &f, SEND_MS);
    return rc < 0 ? local_fail(rc, err) : 0;
}

bool pair_line_ends(int fd, uint32_t id)
{
    uint64_t end_ms = pair_line_now_ms() + PAIR_LINE_END_MS;
    bool ended = false, clean = false;
    while (!ended && pair_line_now_ms() < end_ms) {
        struct err ignored = {0};
        Persist__Local *f;
        int rc = pair_line_next(fd, &f, &ignored);
        if (rc < 0)
            return false;
        if (rc == 0)
            continue;
        ended = f->kind_case == PERSIST__LOCAL__KIND_PAIR_END && f->pair_end->run == id;
        clean = ended && f->pair_end->clean;
        frame_local_free(f);
    }
    return clean;
}
