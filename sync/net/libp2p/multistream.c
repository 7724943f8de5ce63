#include "sync/net/libp2p/multistream.h"

#include <assert.h>
#include <errno.h>

static const char header[] = "/multistream/1.0.0";
static const char refusal[] = "na";

static void put(struct buf *out, struct bytes text)
{
    buf_put_varint(out, text.n + 1);
    buf_put_bytes(out, text);
    buf_put_u8(out, '\n');
}

void mss_init(struct mss *m, bool initiator, const char *const *protocols, size_t n,
              struct buf *out)
{
    assert(n > 0);
    m->protocols = protocols;
    m->n = n;
    m->at = 0;
    m->initiator = initiator;
    m->greeted = m->have_length = false;
    m->refused = 0;
    m->have = m->length = 0;
    put(out, bytes_str(header));
    if (initiator)
        put(out, bytes_str(protocols[0]));
}

/* Takes a byte of the length, of which there are one or two. */
static int take_length(struct mss *m, uint8_t byte)
{
    m->length |= (size_t)(byte & 0x7f) << (m->have > 0 ? 7 : 0);
    if ((byte & 0x80) != 0)
        return m->have++ == 0 ? 0 : -EPROTO;
    bool minimal = m->have == 0 || byte > 0;
    m->have = 0;
    m->have_length = true;
    return minimal && m->length > 0 && m->length <= P2P_NEGOTIATION_BYTES ? 0 : -EPROTO;
}

/* Takes up to one message off the front of *in: 1, and it is *ret without the newline; 0: all was
 * taken. */
static int take_message(struct mss *m, struct bytes *in, struct bytes *ret)
{
    int rc = 0;
    while (rc == 0 && !m->have_length && in->n > 0) {
        rc = take_length(m, in->p[0]);
        *in = bytes_of(in->p + 1, in->n - 1);
    }
    if (rc < 0 || !m->have_length || in->n == 0)
        return rc;
    size_t n = (size_t)min_u64(m->length - m->have, in->n);
    memcpy(m->message + m->have, in->p, n);
    *in = bytes_of(in->p + n, in->n - n);
    m->have += n;
    if (m->have < m->length)
        return 0;
    *ret = bytes_of(m->message, m->length - 1);
    bool ends = m->message[m->length - 1] == '\n';
    m->have = m->length = 0;
    m->have_length = false;
    return ends ? 1 : -EPROTO;
}

/* 1: agreed; 0: it goes on. */
static int on_answer(struct mss *m, struct bytes answer, struct buf *out)
{
    if (bytes_equal(answer, bytes_str(m->protocols[m->at])))
        return 1;
    if (!bytes_equal(answer, bytes_str(refusal)))
        return -EPROTO;
    if (m->at + 1 == m->n)
        return -ENOPROTOOPT;
    put(out, bytes_str(m->protocols[++m->at]));
    return 0;
}

static int on_proposal(struct mss *m, struct bytes proposal, struct buf *out)
{
    for (m->at = 0; m->at < m->n; m->at++)
        if (bytes_equal(proposal, bytes_str(m->protocols[m->at]))) {
            put(out, proposal);
            return 1;
        }
    put(out, bytes_str(refusal));
    return ++m->refused < P2P_NEGOTIATION_PROPOSALS ? 0 : -ENOPROTOOPT;
}

int mss_feed(struct mss *m, struct bytes *in, struct buf *out)
{
    int rc = 0;
    struct bytes message;
    while (rc == 0 && (rc = take_message(m, in, &message)) == 1) {
        if (m->greeted)
            rc = m->initiator ? on_answer(m, message, out) : on_proposal(m, message, out);
        else
            rc = bytes_equal(message, bytes_str(header)) ? 0 : -EPROTO;
        m->greeted = true;
    }
    return rc >= 0 && out->failed ? -ENOMEM : rc;
}
