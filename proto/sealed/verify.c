#include "proto/sealed/verify.h"

#include <errno.h>

static void past_cleanup(struct members_past **p)
{
    members_past_free(*p);
}

/* Rule 1, without the signature: the acts are here, and in them the replica has an owner. */
static enum verify_result find_owner(const struct members *m, const struct entry *e,
                                     struct members_past **ret_past,
                                     const struct member_public **ret_owner)
{
    if (!space_id_equal(&e->head.space, members_space(m)))
        return VERIFY_SPACE;
    int rc = members_past_new(m, e->refs.acts, ret_past);
    if (rc < 0)
        return rc == -EAGAIN ? VERIFY_HOLD_ACTS : VERIFY_MEMORY;
    *ret_owner = members_past_owner(*ret_past, e->head.dot.replica);
    return *ret_owner == NULL ? VERIFY_OWNER : VERIFY_ACCEPT;
}

enum verify_result verify_owner(const struct members *m, const struct entry *e,
                                uint8_t ret[static SIGN_KEY_SIZE])
{
    struct members_past *past CLEANUP(past_cleanup) = NULL;
    const struct member_public *owner;
    enum verify_result r = find_owner(m, e, &past, &owner);
    if (r == VERIFY_ACCEPT)
        memcpy(ret, owner->sign, SIGN_KEY_SIZE);
    return r;
}

/* Rule 3, of one element. */
static bool may_claim(const struct members_past *past, const struct dot *own, const struct dot *d,
                      bool origin)
{
    if (d->replica == own->replica)
        return d->counter < own->counter || (origin && d->counter == own->counter);
    return members_past_owner(past, d->replica) != NULL;
}

/* Rule 4, of one element. The own replica is backed by the entry itself. */
static bool is_backed(const struct verify_value *v, const struct dot *d)
{
    return d->replica == v->entry->head.dot.replica ||
           min_u64(d->counter, members_cut(v->members, d->replica)) <=
               vv_get(v->highest, d->replica);
}

static enum verify_result check_claims(const struct verify_value *v,
                                       const struct members_past *past)
{
    bool backed = true;
    for (size_t c = 0; c < v->claims_n; c++)
        for (size_t i = 0; i < v->claims[c].dots.n; i++) {
            struct dot d = dots_at(v->claims[c].dots, i);
            if (!may_claim(past, &v->entry->head.dot, &d, v->claims[c].origin))
                return VERIFY_VECTOR;
            backed = backed && is_backed(v, &d);
        }
    return backed ? VERIFY_ACCEPT : VERIFY_HOLD_VECTOR;
}

enum verify_result verify_value(const struct verify_value *v)
{
    struct members_past *past CLEANUP(past_cleanup) = NULL;
    const struct member_public *owner;
    const struct dot *dot = &v->entry->head.dot;
    enum verify_result r = find_owner(v->members, v->entry, &past, &owner);
    if (r != VERIFY_ACCEPT)
        return r;
    if (v->entry->head.kind != ENTRY_VALUE ||
        (!v->signature_known && entry_verify(v->entry, owner->sign) < 0))
        return VERIFY_SIGNATURE;
    if (dot->counter > members_cut(v->members, dot->replica))
        return VERIFY_CUT;
    return check_claims(v, past);
}

enum verify_result verify_state(const struct members *m, const struct entry *e,
                                const struct state *s)
{
    struct members_past *past CLEANUP(past_cleanup) = NULL;
    const struct member_public *owner;
    enum verify_result r = find_owner(m, e, &past, &owner);
    if (r != VERIFY_ACCEPT)
        return r;
    if (e->head.kind != ENTRY_STATE || entry_verify(e, owner->sign) < 0)
        return VERIFY_SIGNATURE;
    struct member_id id = member_id_of(owner);
    if (members_find(m, &id) == NULL)
        return VERIFY_MEMBER;
    if (members_cut(m, e->head.dot.replica) != MEMBERS_NO_CUT)
        return VERIFY_CUT;
    for (size_t i = 0; i < s->known.n; i++)
        if (members_past_owner(past, dots_at(s->known, i).replica) == NULL)
            return VERIFY_VECTOR;
    return VERIFY_ACCEPT;
}

const char *verify_text(enum verify_result r)
{
    switch (r) {
    case VERIFY_ACCEPT:
        return "accepted";
    case VERIFY_HOLD_ACTS:
        return "waits for acts of the member list";
    case VERIFY_HOLD_VECTOR:
        return "waits for changes that it has seen";
    case VERIFY_SPACE:
        return "is of another space";
    case VERIFY_OWNER:
        return "is of a replica that nobody registered";
    case VERIFY_SIGNATURE:
        return "is not signed by the owner of its replica";
    case VERIFY_CUT:
        return "is later than what is accepted of its replica";
    case VERIFY_VECTOR:
        return "claims to have seen what cannot be";
    case VERIFY_MEMBER:
        return "is of one who is no member";
    case VERIFY_MEMORY:
        break;
    }
    return "waits for memory";
}
