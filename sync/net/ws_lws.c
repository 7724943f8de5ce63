/* Connections of a server, as libwebsockets carries them. */
#include "sync/net/ws_priv.h"
#include "sync/net/ws_tls.h"

/* Of one write: what a socket that is writable nearly always takes whole, and a TLS record. */
enum { FRAGMENT = 16 * 1024 };

static void want(struct ws *w)
{
    lws_callback_on_writable(w->wsi);
}

static void flow(struct ws *w, bool on)
{
    (void)lws_rx_flow_control(w->wsi, on);
}

static int put(struct ws *w, const struct ws_out *f)
{
    int type = f->op == WS_OP_PING   ? LWS_WRITE_PING
               : f->op == WS_OP_PONG ? LWS_WRITE_PONG
                                     : lws_write_ws_flags(LWS_WRITE_BINARY, f->first, f->last);
    tcp_alive_sent(w->alive);
    return lws_write(w->wsi, f->data, f->n, (enum lws_write_protocol)type);
}

/* Not 0 lets libwebsockets send it, and close. */
static int put_close(struct ws *w)
{
    lws_close_reason(w->wsi, (enum lws_close_status)w->end.code, (unsigned char *)w->end.reason,
                     strlen(w->end.reason));
    return -1;
}

static void cut(struct ws *w)
{
    lws_set_timeout(w->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

static void drop(struct ws *w)
{
    lws_set_opaque_user_data(w->wsi, NULL);
    cut(w);
}

const struct ws_carrier ws_lws_carrier = {.fragment = FRAGMENT,
                                          .want = want,
                                          .flow = flow,
                                          .put = put,
                                          .close = put_close,
                                          .cut = cut,
                                          .drop = drop};

/* The socket takes something: one write, as each may fill it. */
static int on_writable(struct ws *w)
{
    int rc = ws_has_more(w) ? ws_write_one(w) : 0;
    if (rc >= 0 && ws_has_more(w))
        want(w);
    return rc < 0 ? rc : 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
        return ws_tls_load(user, lws_vhost_user(in));
    struct ws *w = lws_get_opaque_user_data(wsi);
    if (w == NULL)
        return 0; /* not about a connection */
    switch ((int)reason) {
    case LWS_CALLBACK_WSI_DESTROY:
        ws_gone(w);
        return 0;
    case LWS_CALLBACK_ESTABLISHED:
        ws_opened(w);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        ws_piece(w, bytes_of(in, len), lws_remaining_packet_payload(wsi),
                 lws_is_final_fragment(wsi) != 0, lws_frame_is_binary(wsi) != 0);
        return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        ws_heard(w);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        ws_peer_closed(w, bytes_of(in, len));
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return on_writable(w);
    default:
        return w->state == WS_HANDSHAKE ? w->side->handshake(w, reason, in, len) : 0;
    }
}

const struct lws_protocols ws_lws_protocols[] = {
    {.name = WS_SUBPROTOCOL,
     .callback = on_event,
     .rx_buffer_size = FRAGMENT,
     .tx_packet_size = FRAGMENT + LWS_PRE},
    {.name = WS_PAIR_SUBPROTOCOL,
     .callback = on_event,
     .rx_buffer_size = FRAGMENT,
     .tx_packet_size = FRAGMENT + LWS_PRE},
    {0},
};
