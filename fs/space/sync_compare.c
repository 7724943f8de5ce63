/*
 * Full comparisons by STATEs. One device asks a member for a list of all that it holds; that one
 * makes it, stores it like content, and names it in its STATE while somebody asks. What the list
 * says follows from fs/replica/compare.h. sync_list.c makes lists and reads them.
 *
 * It is asked for by a device which is behind, that is, others have cleaned up what it had not
 * acknowledged
 * (and which gives nothing before it has compared), or which has for a minute been different from a
 * member, with nothing under way that explains it. All but the list that is said is in memory: who
 * dies in the middle asks again.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/space/sync_list.h"
#include "proto/base/log.h"

enum {
    QUIET_MS = 3000,    /* after what came last, for one that is behind */
    LASTING_MS = 60000, /* for a difference */
    LOOK_MS = 5000,     /* until it is looked whether what was missing has come */
    GIVE_UP_MS = 60000, /* and to when that is waited for */
    AGAIN_MS = 600000,  /* until a pair that could not be settled is compared again */
    LIST_MS = 30000,    /* between two lists, whoever asks */
    AT_ONCE_MS = 1,
};

int sync_load_compare(struct space *s)
{
    struct sync_compare *c = &s->sync->compare;
    const struct sync_state *own = sync_own_state(s);
    struct state_more more;
    const uint8_t whole = SYNC_WHOLE;
    int rc = db_has(s->db, DB_SYNC, bytes_of(&whole, 1));
    if (rc < 0)
        return rc;
    c->whole = rc == 1;
    if (own == NULL)
        return 0;
    if (state_more_decode(buf_bytes(&own->more), &more) < 0)
        return -EUCLEAN;
    c->list_number = more.list_number;
    buf_put_bytes(&c->list, more.list);
    return buf_status(&c->list);
}

void sync_compare_fini(struct sync_compare *c)
{
    if (c->spool >= 0)
        close(c->spool);
    buf_fini(&c->list);
    buf_fini(&c->missing);
    buf_fini(&c->theirs);
}

/* ---- who is behind -----------------------------------------------------------------------------
 */

/* Whether @claimed is within @known, as far as a signature backs it: nobody claims for others. */
static bool covers(const struct space *s, const struct vv *known, const struct vv *claimed)
{
    for (size_t i = 0; i < claimed->n; i++) {
        struct dot d = claimed->v[i];
        d.counter = min_u64(d.counter, vv_get(&s->sync->highest, d.replica));
        if (d.counter > 0 && !vv_has(known, &d) && !vv_has(replica_floor(s->replica), &d))
            return false;
    }
    return true;
}

/*
 * Whether it waited for this device before it cleaned up: it could for what this device had
 * acknowledged, which is what it said last. What has come since does not count: what is new here
 * was perhaps made before. A device that has not known all that anybody cleaned up yet has nothing
 * of it. Own replicas of former times say themselves what this device acknowledged.
 */
static bool has_waited(const struct space *s, const struct sync_state *st)
{
    const struct vv *known = replica_knowledge(s->replica);
    const struct sync_state *own = sync_own_state(s);
    if (st->own)
        return st == own || covers(s, known, &st->known);
    return covers(s, own == NULL || !s->sync->compare.whole ? known : &own->known, &st->floor);
}

/*
 * Two that were away from each other may both have cleaned up what the other one does not know. If
 * both waited for a list, none came; so one of them is behind only when the other one has compared.
 */
static bool goes_first(const struct space *s, const struct sync_state *st)
{
    return !st->own && replica_id(s->replica) < st->replica &&
           !vv_covers(&st->known, replica_floor(s->replica));
}

/* Whether all have waited, but for those that this one goes before, if @but is set. */
static bool all_waited(const struct space *s, bool but)
{
    const struct sync *y = s->sync;
    for (size_t i = 0; i < y->state_n; i++) {
        const struct sync_state *st = &y->state[i];
        if (sync_state_is_current(y, st) && !has_waited(s, st) && !(but && goes_first(s, st)))
            return false;
    }
    return true;
}

bool sync_has_to_compare(const struct space *s)
{
    return s->sync->members != NULL && s->sync->compare.whole && !all_waited(s, false);
}

bool sync_is_behind(const struct space *s)
{
    return s->sync->members != NULL && s->sync->compare.whole && !all_waited(s, true);
}

bool space_sync_may_give(struct space *s)
{
    if (s->sync == NULL)
        return true;
    pthread_mutex_lock(&s->lock);
    const struct sync *y = s->sync;
    bool may = !sync_is_behind(s);
    /* Who is out gives nothing more; nobody does while there is nothing to seal under. */
    if (y->members != NULL)
        may = may && members_find(y->members, &y->id) != NULL && sync_epoch(s) != NULL;
    pthread_mutex_unlock(&s->lock);
    return may;
}

/* ---- what STATEs say ---------------------------------------------------------------------------
 */

static void read_more(const struct sync_state *st, struct state_more *ret)
{
    if (state_more_decode(buf_bytes(&st->more), ret) < 0)
        *ret = (struct state_more){.asks = 0};
}

/* Whether a member asks for this device's list; one that is newer than @number. */
static bool is_asked(const struct space *s, uint64_t number)
{
    const struct sync *y = s->sync;
    for (size_t i = 0; i < y->state_n; i++) {
        struct state_more more;
        read_more(&y->state[i], &more);
        if (more.asks == replica_id(s->replica) && more.after >= number &&
            y->state[i].replica != more.asks && sync_state_is_current(y, &y->state[i]))
            return true;
    }
    return false;
}

/* Whether it knew the acts that are known now. */
static bool has_heads(const struct space *s, const struct sync_state *st)
{
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    size_t n = members_heads(s->sync->members, heads);
    return st->heads_n == n && memcmp(st->heads, heads, n * ACT_ID_SIZE) == 0;
}

/* The floor, as far as others can have heard of it. */
static int floor_to_say(const struct space *s, struct vv *ret)
{
    uint64_t own = replica_id(s->replica);
    int rc = vv_copy(ret, replica_floor(s->replica));
    return rc < 0 || vv_get(ret, own) <= s->sync->signed_last
               ? rc
               : vv_set(ret, own, s->sync->signed_last);
}

/* Whether acts came, or the floor rose, since the last own STATE. */
static bool is_to_be_said(struct space *s)
{
    const struct sync_state *own = sync_own_state(s);
    CLEANUP(vv_fini) struct vv floor = {0};
    return own != NULL && sync_may_sign(s) &&
           (!has_heads(s, own) ||
            (floor_to_say(s, &floor) == 0 && !vv_covers(&own->floor, &floor)));
}

int sync_compare_say(struct space *s, struct buf *floor, struct state_more *ret)
{
    struct sync_compare *c = &s->sync->compare;
    CLEANUP(vv_fini) struct vv f = {0};
    int rc = floor_to_say(s, &f);
    if (rc < 0)
        return rc;
    vv_put_elements(floor, &f);
    ret->floor = (struct dots){floor->p, f.n};
    ret->asks = c->asks;
    ret->after = c->after;
    ret->missing = (struct dots){c->missing.p, c->missing.n / DOT_SIZE};
    if (c->list.n > 0 && (c->list_number > s->sync->states || is_asked(s, 0))) {
        ret->list_number = c->list_number;
        ret->list = buf_bytes(&c->list);
    }
    return rc < 0 ? rc : buf_status(floor);
}

int sync_compare_said(struct space *s, struct db_batch *batch, const struct state *v)
{
    struct sync_compare *c = &s->sync->compare;
    const uint8_t whole = SYNC_WHOLE;
    if (!c->whole && all_waited(s, false)) {
        db_batch_put(batch, DB_SYNC, bytes_of(&whole, 1), bytes_of(NULL, 0));
        c->whole = true;
    }
    if (v->more.list.n > 0 || c->list.n == 0)
        return 0;
    int rc = sync_list_unref(batch, buf_bytes(&c->list));
    buf_reset(&c->list);
    return rc;
}

bool sync_compare_heard(struct space *s, uint64_t replica, const struct state *v)
{
    struct sync_compare *c = &s->sync->compare;
    if (c->asks != replica || v->more.list_number <= c->after || c->theirs.n > 0)
        return false;
    buf_put_bytes(&c->theirs, v->more.list);
    c->is_here = false;
    return buf_status(&c->theirs) == 0;
}

/* ---- asking ------------------------------------------------------------------------------------
 */

/* Nothing is under way that would explain a difference, or would be taken for missing. */
static bool is_at_rest(struct space *s)
{
    const struct sync *y = s->sync;
    return sync_may_sign(s) && y->adopt_at_ms == 0 && y->counts.content_waiting == 0 &&
           y->counts.waiting == sync_wait_count(y, SYNC_LOCKED_ONES);
}

/* Whether it knows of a change that passed this device by. */
static bool knows_of_gap(const struct space *s, const struct sync_state *st)
{
    const struct vv *known = replica_knowledge(s->replica), *here = replica_applied(s->replica);
    for (size_t i = 0; i < here->n; i++) {
        uint64_t has = vv_get(known, here->v[i].replica);
        if (has < here->v[i].counter && vv_get(&st->known, here->v[i].replica) > has)
            return true;
    }
    return false;
}

static bool differs(struct space *s, const struct sync_state *st, bool behind)
{
    if (behind) /* it can say what went */
        return !has_waited(s, st) || !vv_covers(replica_knowledge(s->replica), &st->known);
    return has_heads(s, st) && memcmp(&st->digest, &st->here, sizeof st->digest) != 0 &&
           (knows_of_gap(s, st) ||
            (!sync_has_unsigned(s) && vv_equal(&st->known, replica_knowledge(s->replica))));
}

/* When it is to be asked: now, if at most @now_ms; 0: never. */
static uint64_t due(struct space *s, struct sync_state *st, bool behind, uint64_t now_ms)
{
    struct state_digest here;
    if (st->own || !sync_state_is_current(s->sync, st))
        return 0;
    replica_digest(s->replica, &here);
    bool same = memcmp(&here, &st->here, sizeof here) == 0;
    if (st->stays_ms == 0 || !same) {
        st->stays_ms = now_ms;
        st->here = here;
    }
    if (!differs(s, st, behind))
        return 0;
    uint64_t at = st->stays_ms + (behind ? QUIET_MS : LASTING_MS);
    bool again = st->was_compared && memcmp(&st->compared, &here, sizeof here) == 0;
    return again ? max_u64(at, st->compare_ms) : at;
}

/* Of those that can be asked the one that spoke last. Returns when to look again, 0: then it is. */
static uint64_t choose(struct space *s, uint64_t now_ms, struct sync_state **ret)
{
    struct sync *y = s->sync;
    bool behind = sync_is_behind(s);
    uint64_t next = 0;
    *ret = NULL;
    for (size_t i = 0; i < y->state_n; i++) {
        struct sync_state *st = &y->state[i];
        uint64_t at = due(s, st, behind, now_ms);
        if (at == 0)
            continue;
        if (at > now_ms)
            next = next == 0 ? at : min_u64(next, at);
        else if (*ret == NULL || (*ret)->time_ms < st->time_ms)
            *ret = st;
    }
    return next;
}

static uint64_t ask(struct space *s, uint64_t now_ms, bool *tell)
{
    struct sync_compare *c = &s->sync->compare;
    struct sync_state *st;
    if (!is_at_rest(s))
        return 0;
    uint64_t next = choose(s, now_ms, &st);
    if (st == NULL)
        return next;
    log_info("sync: compares with another device all that both hold");
    c->asks = st->replica;
    c->after = st->number;
    c->give_up_ms = 0;
    *tell = true;
    return 0;
}

/* ---- comparing ---------------------------------------------------------------------------------
 */

static struct sync_state *asked_state(struct sync *y)
{
    for (size_t i = 0; i < y->state_n; i++)
        if (y->state[i].replica == y->compare.asks)
            return &y->state[i];
    return NULL;
}

/* It is over, with what is left of it. Lock held. */
static void end(struct space *s, const struct comparison_found *left, uint64_t now_ms)
{
    struct sync_compare *c = &s->sync->compare;
    struct sync_state *st = asked_state(s->sync);
    bool fine = left->missing == 0 && left->odd == 0;
    c->found = *left;
    c->found_with = fine ? 0 : c->asks;
    if (st != NULL) {
        replica_digest(s->replica, &st->compared);
        st->was_compared = true;
        st->compare_ms = now_ms + AGAIN_MS;
    }
    if (!fine)
        log_error("sync: compared with another device: %llu changes are missing here, %llu are "
                  "told apart; 'persist status' says more",
                  (unsigned long long)left->missing, (unsigned long long)left->odd);
    else
        log_info("sync: compared with another device: %llu records went, %llu were written anew",
                 (unsigned long long)left->gone, (unsigned long long)left->again);
    c->asks = c->after = 0;
    buf_reset(&c->missing);
    buf_reset(&c->theirs);
    c->is_here = false;
}

/* What is missing is asked for, or waited for. */
static uint64_t wait_for(struct space *s, const struct comparison *with,
                         const struct comparison_found *found, uint64_t now_ms, bool *tell)
{
    struct sync_compare *c = &s->sync->compare;
    struct bytes asked = comparison_ask(with);
    if (c->give_up_ms != 0 && now_ms >= c->give_up_ms &&
        bytes_equal(asked, buf_bytes(&c->missing))) {
        end(s, found, now_ms);
        *tell = true;
        return 0;
    }
    if (!bytes_equal(asked, buf_bytes(&c->missing))) {
        buf_reset(&c->missing);
        buf_put_bytes(&c->missing, asked);
        c->give_up_ms = now_ms + GIVE_UP_MS;
        *tell = true;
    }
    c->look_ms = now_ms + LOOK_MS;
    return c->look_ms;
}

/* Carries out what was found: 0; -EAGAIN: it has to be looked once more. */
static int carry_out(struct space *s, struct comparison *with)
{
    struct comparison_at at = {0};
    struct dot cursor = {0, 0};
    int more = 1, rc = 0;
    while (rc == 0 && more == 1) {
        more = exchange_compare(s, with, &at);
        rc = more < 0 ? more : 0;
    }
    /* What went is not to be sent, as soon as this device gives again. */
    for (more = 1; rc == 0 && more == 1;) {
        more = sync_tidy_slice(s, &cursor);
        rc = more < 0 ? more : 0;
    }
    return rc < 0 ? rc : exchange_compare(s, with, NULL);
}

static uint64_t compare(struct space *s, uint64_t now_ms, bool *tell)
{
    struct sync_compare *c = &s->sync->compare;
    struct comparison *with = NULL;
    struct comparison_found found;
    uint64_t next = 0;
    int rc = sync_list_compare(s, &with);
    if (rc == 0)
        comparison_found(with, &found);
    if (rc == 0 && found.missing == 0)
        rc = carry_out(s, with);
    pthread_mutex_lock(&s->lock);
    if (rc == 0 && found.missing > 0) {
        next = wait_for(s, with, &found, now_ms, tell);
    } else if (rc == 0) {
        end(s, &found, now_ms);
        *tell = true;
    } else if (rc == -ENODATA) { /* chunks were swept: they are fetched again */
        c->is_here = false;
    } else if (rc == -EBADMSG) {
        log_error("sync: the list of another device makes no sense");
        end(s, &(struct comparison_found){.odd = 1}, now_ms);
        *tell = true;
    } else {
        if (rc != -EAGAIN)
            log_warn("sync: comparing with another device: %s", strerror(-rc));
        next = c->look_ms = now_ms + LOOK_MS;
    }
    comparison_free(with);
    pthread_mutex_unlock(&s->lock);
    return next;
}

/* The own side. Lock held, but while it compares. */
static uint64_t go_on(struct space *s, uint64_t now_ms, bool *tell)
{
    struct sync_compare *c = &s->sync->compare;
    const struct sync_state *st = asked_state(s->sync);
    if (c->asks == 0)
        return ask(s, now_ms, tell);
    if (st == NULL || !sync_state_is_current(s->sync, st)) {
        end(s, &(struct comparison_found){.gone = 0}, now_ms);
        return AT_ONCE_MS + now_ms;
    }
    if (!c->is_here)
        return 0;
    if (now_ms < c->look_ms)
        return c->look_ms;
    if (!is_at_rest(s))
        return now_ms + LOOK_MS;
    pthread_mutex_unlock(&s->lock);
    uint64_t next = compare(s, now_ms, tell);
    pthread_mutex_lock(&s->lock);
    return next;
}

void sync_compare_about(struct space *s, uint64_t replica, char ret[160])
{
    const struct sync_compare *c = &s->sync->compare;
    char label[LIMIT_LABEL + 1];
    ret[0] = '\0';
    if (c->found_with != replica)
        return;
    if (!sync_label_of(s, c->found.first.replica, label))
        snprintf(label, sizeof label, "%08x", (unsigned)(c->found.first.replica >> 32));
    if (c->found.missing > 0)
        snprintf(ret, 160,
                 "%llu values that it holds are missing here, the first of change %llu of %s",
                 (unsigned long long)c->found.missing, (unsigned long long)c->found.first.counter,
                 label);
    else
        snprintf(ret, 160, "%llu values here it does not hold, the first of change %llu of %s",
                 (unsigned long long)c->found.odd, (unsigned long long)c->found.first.counter,
                 label);
}

/* ---- for others --------------------------------------------------------------------------------
 */

/* What others miss is sent again, once for each time that they say so. Lock held, but meanwhile. */
static void send_again(struct space *s)
{
    struct sync *y = s->sync;
    for (size_t i = 0; i < y->state_n; i++) {
        struct state_more more;
        struct buf dots CLEANUP(buf_fini) = {0};
        read_more(&y->state[i], &more);
        if (more.asks != replica_id(s->replica) || more.missing.n == 0 || y->state[i].sent_again ||
            !sync_state_is_current(y, &y->state[i]))
            continue;
        y->state[i].sent_again = true;
        buf_put(&dots, more.missing.p, more.missing.n * DOT_SIZE);
        pthread_mutex_unlock(&s->lock);
        int n = buf_status(&dots) < 0
                    ? -ENOMEM
                    : sync_send_again(s, (struct dots){dots.p, dots.n / DOT_SIZE});
        if (n < 0)
            log_warn("sync: sending changes again: %s", strerror(-n));
        else
            log_info("sync: another device misses changes; %d are sent again", n);
        pthread_mutex_lock(&s->lock);
    }
}

/* Makes a list, a bit at a time. Lock held, but meanwhile. */
static uint64_t serve(struct space *s, uint64_t now_ms, bool *tell)
{
    struct sync_compare *c = &s->sync->compare;
    if (c->spool < 0 && (!is_asked(s, c->list.n > 0 ? c->list_number : 0) || sync_is_behind(s))) {
        *tell = *tell || (c->list.n > 0 && !is_asked(s, 0));
        return 0;
    }
    if (c->spool < 0 && now_ms < c->list_ms)
        return c->list_ms;
    if (c->spool < 0 && (sync_has_unsigned(s) || !sync_may_sign(s)))
        return now_ms + LOOK_MS;
    pthread_mutex_unlock(&s->lock);
    int more = sync_list_make(s);
    pthread_mutex_lock(&s->lock);
    if (more == 1)
        return now_ms + AT_ONCE_MS;
    if (more < 0)
        log_warn("sync: a list for another device: %s", strerror(-more));
    c->list_ms = now_ms + LIST_MS;
    return more < 0 ? c->list_ms : 0;
}

uint64_t space_sync_compare(struct space *s, uint64_t now_ms, bool *ret_tell)
{
    struct sync *y = s->sync;
    *ret_tell = false;
    if (y == NULL)
        return 0;
    pthread_mutex_lock(&s->lock);
    uint64_t next = 0, later = 0;
    if (y->members != NULL && y->state_n > 0) {
        *ret_tell = is_to_be_said(s);
        send_again(s);
        next = serve(s, now_ms, ret_tell);
        later = go_on(s, now_ms, ret_tell);
    }
    pthread_mutex_unlock(&s->lock);
    return next == 0 ? later : later == 0 ? next : min_u64(next, later);
}
