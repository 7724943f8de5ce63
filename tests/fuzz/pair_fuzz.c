/* What a peer sends in a pairing: bytes as they come, or, so that it gets further, the messages of
 * a true peer with some of their bytes changed. */
#include "sync/pair/pair.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pair *make(bool joins, struct pair_tries *t)
{
    struct bytes a = bytes_str("a"), b = bytes_str("b");
    struct pair_config cfg = {.joins = joins,
                              .own_id = joins ? a : b,
                              .peer_id = joins ? b : a,
                              .channel = bytes_str("hash"),
                              .code = {"KXNR7842"},
                              .payload = bytes_str("keys"),
                              .tries = t};
    struct pair *p;
    must(pair_new(&cfg, 0, &p) == 0);
    return p;
}

static void answer(struct pair *p, bool joins)
{
    if (pair_state(p) == PAIR_ASKS)
        must(pair_answer(p, bytes_str(joins ? "" : "secrets")) == 0);
}

/* Who has no code gets nothing. */
static void as_it_comes(struct bytes in, size_t step, bool joins)
{
    struct pair_tries t = {.expires_ms = 1};
    struct pair *p = make(joins, &t);
    while (in.n > 0) {
        struct bytes piece = bytes_of(in.p, min_u64(step, in.n));
        must(pair_feed(p, piece, 0) != PAIR_ASKS && pair_state(p) != PAIR_DONE);
        in = bytes_of(in.p + piece.n, in.n - piece.n);
    }
    must(pair_gone(p) == PAIR_FAILED && pair_end(p) != PAIR_OK);
    must(!t.busy && !t.used && t.tries <= 1);
    pair_free(p);
}

/* Each two bytes of @in: how far to go on in what is on its way, and what to change there. */
static void changed(struct bytes in, size_t step)
{
    struct pair_tries t = {.expires_ms = 1};
    struct pair *p[2] = {make(false, &t), make(true, NULL)};
    size_t at = 0, next = in.n >= 2 ? in.p[0] : SIZE_MAX;
    bool any = false;
    for (unsigned from = 1, idle = 0; idle < 2; from = !from) {
        struct bytes out = pair_out(p[from]);
        idle = out.n > 0 ? 0 : idle + 1;
        for (size_t left = out.n; left > 0;) {
            uint8_t piece[64];
            size_t n = min_u64(min_u64(step, left), sizeof piece);
            memcpy(piece, pair_out(p[from]).p, n);
            for (size_t i = 0; i < n; i++, at++)
                if (at == next) {
                    any = any || in.p[1] != 0;
                    piece[i] ^= in.p[1];
                    in = bytes_of(in.p + 2, in.n - 2);
                    next = in.n >= 2 ? at + 1 + in.p[0] : SIZE_MAX;
                }
            pair_sent(p[from], n);
            left -= n;
            (void)pair_feed(p[!from], bytes_of(piece, n), 0);
            answer(p[!from], !from);
        }
    }
    (void)pair_gone(p[0]);
    (void)pair_gone(p[1]);
    /* What follows the end of both is read by nobody. */
    must((pair_state(p[0]) == PAIR_DONE && pair_state(p[1]) == PAIR_DONE) == !any);
    must(t.tries <= 1 && !t.busy);
    pair_free(p[0]);
    pair_free(p[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes in = bytes_of(data + 1, size - 1);
    size_t step = 1 + (data[0] >> 2);
    if ((data[0] & 1) != 0)
        changed(in, step);
    else
        as_it_comes(in, step, (data[0] & 2) != 0);
    return 0;
}
