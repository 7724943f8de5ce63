#include "load_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/sealed/keys.h"
#include "sync/net/ws.h"

enum { EVENTS = 256, READ_BYTES = 256 * 1024, OP_BINARY = 2, OP_CLOSE = 8, OP_PING, OP_PONG };

struct load {
    struct sockaddr_in address;
    int epoll_fd;
    load_frame_fn *fn;
    void *arg;
    struct buf scratch;
    uint8_t chunk[READ_BYTES];
};

static void fail(const struct load_device *d, const char *what)
{
    fprintf(stderr, "bench: device %u: %s\n", d->number, what);
    exit(1);
}

void load_must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, strerror(-rc));
    exit(1);
}

struct load *load_new(unsigned port, load_frame_fn *fn, void *arg)
{
    struct load *l = calloc(1, sizeof *l);
    load_must(l == NULL ? -ENOMEM : 0, "devices");
    l->address = (struct sockaddr_in){.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load_must(l->epoll_fd < 0 ? -errno : 0, "epoll");
    l->fn = fn;
    l->arg = arg;
    return l;
}

void load_free(struct load *l)
{
    if (l == NULL)
        return;
    close(l->epoll_fd);
    buf_fini(&l->scratch);
    free(l);
}

/* ---- out ---- */

static void want(struct load_device *d, int op)
{
    bool out = d->state == LOAD_CONNECTING || load_unsent(d) > 0;
    struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0U), .data.ptr = d};
    if (epoll_ctl(d->load->epoll_fd, op, d->fd, &e) < 0)
        fail(d, strerror(errno));
}

size_t load_unsent(const struct load_device *d)
{
    return d->out.n - d->out_at;
}

static size_t take(struct load_device *d, const uint8_t *p, size_t n)
{
    ssize_t sent = send(d->fd, p, n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        fail(d, strerror(errno));
    return sent < 0 ? 0 : (size_t)sent;
}

static void flush(struct load_device *d)
{
    d->out_at += take(d, d->out.p + d->out_at, load_unsent(d));
    if (load_unsent(d) > 0)
        return;
    buf_fini(&d->out);
    d->out_at = 0;
    want(d, EPOLL_CTL_MOD);
}

static void send_bytes(struct load_device *d, struct bytes b)
{
    bool waits = load_unsent(d) > 0;
    size_t sent = waits ? 0 : take(d, b.p, b.n);
    if (sent == b.n)
        return;
    buf_put(&d->out, b.p + sent, b.n - sent);
    load_must(buf_status(&d->out), "queue");
    if (!waits)
        want(d, EPOLL_CTL_MOD);
}

/* A WebSocket frame, masked with zeros (RFC 6455, 5.2). */
static void put_frame_head(struct buf *b, unsigned op, size_t n)
{
    buf_put_u8(b, (uint8_t)(0x80 | op));
    if (n < 126) {
        buf_put_u8(b, (uint8_t)(0x80 | n));
    } else if (n <= UINT16_MAX) {
        buf_put_u8(b, 0x80 | 126);
        buf_put_u16(b, (uint16_t)n);
    } else {
        buf_put_u8(b, 0x80 | 127);
        buf_put_u64(b, n);
    }
    buf_put_u32(b, 0);
}

void load_send(struct load_device *d, const Persist__Frame *f)
{
    struct buf *b = &d->load->scratch;
    buf_reset(b);
    put_frame_head(b, OP_BINARY, persist__frame__get_packed_size(f));
    load_must(frame_encode(f, b), "a frame");
    send_bytes(d, buf_bytes(b));
}

static void send_put(struct load_device *d, Persist__Put *p)
{
    Persist__Frame f = PERSIST__FRAME__INIT;
    p->id = ++d->puts;
    f.kind_case = PERSIST__FRAME__KIND_PUT;
    f.put = p;
    load_send(d, &f);
}

void load_put_entry(struct load_device *d, struct bytes entry)
{
    Persist__Put p = PERSIST__PUT__INIT;
    p.what_case = PERSIST__PUT__WHAT_ENTRY;
    p.entry = frame_data(entry);
    send_put(d, &p);
}

void load_put_chunk(struct load_device *d, const uint8_t id[CHUNK_ID_SIZE], struct bytes sealed)
{
    Persist__Put p = PERSIST__PUT__INIT;
    Persist__SealedChunk c = PERSIST__SEALED_CHUNK__INIT;
    p.what_case = PERSIST__PUT__WHAT_CHUNK;
    p.chunk = &c;
    c.id = frame_data(bytes_of(id, CHUNK_ID_SIZE));
    c.sealed = frame_data(sealed);
    send_put(d, &p);
}

/* ---- the handshake ---- */

void load_connect(struct load *l, struct load_device *d)
{
    d->load = l;
    d->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (d->fd < 0 || (connect(d->fd, (struct sockaddr *)&l->address, sizeof l->address) < 0 &&
                      errno != EINPROGRESS))
        fail(d, strerror(errno));
    d->state = LOAD_CONNECTING;
    want(d, EPOLL_CTL_ADD);
}

void load_close(struct load_device *d)
{
    if (d->state != LOAD_IDLE)
        close(d->fd);
    d->state = LOAD_IDLE;
    buf_fini(&d->in);
    buf_fini(&d->message);
    buf_fini(&d->out);
}

static void upgrade(struct load_device *d)
{
    char text[512];
    int n = snprintf(text, sizeof text,
                     "GET " WS_PATH " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: " WS_SUBPROTOCOL "\r\n"
                     "Authorization: Bearer %s\r\n\r\n",
                     d->token);
    d->state = LOAD_UPGRADING;
    want(d, EPOLL_CTL_MOD);
    send_bytes(d, bytes_of(text, (size_t)n));
}

static struct member_keys identity(unsigned number)
{
    uint8_t seed[SEED_SIZE] = {0};
    struct member_keys k;
    put_u32(seed, number);
    load_must(member_keys_init(&k, seed), "identity");
    return k;
}

void load_identity(unsigned number, uint8_t ret[SIGN_KEY_SIZE])
{
    struct member_keys k = identity(number);
    memcpy(ret, k.sign_public, SIGN_KEY_SIZE);
    member_keys_fini(&k);
}

static void prove(struct load_device *d, const Persist__Challenge *c)
{
    uint8_t proved[FRAME_NONCE_SIZE + HASH_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    struct member_keys k = identity(d->number);
    memcpy(proved, c->nonce.data, FRAME_NONCE_SIZE);
    crypto_generichash(proved + FRAME_NONCE_SIZE, HASH_SIZE, bytes_str(d->token).p,
                       strlen(d->token), NULL, 0);
    label_sign(&k, "persist.link.1", bytes_of(proved, sizeof proved), signature);
    Persist__Proof proof = PERSIST__PROOF__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    proof.version = 1;
    proof.identity = frame_data(bytes_of(k.sign_public, SIGN_KEY_SIZE));
    proof.signature = frame_data(bytes_of(signature, sizeof signature));
    f.kind_case = PERSIST__FRAME__KIND_PROOF;
    f.proof = &proof;
    load_send(d, &f);
    member_keys_fini(&k);
}

static void open_space(struct load_device *d)
{
    Persist__Open open = PERSIST__OPEN__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    open.space = frame_data(bytes_of(d->space, SPACE_ID_SIZE));
    f.kind_case = PERSIST__FRAME__KIND_OPEN;
    f.open = &open;
    d->state = LOAD_OPENING;
    load_send(d, &f);
}

static void on_message(struct load_device *d, struct bytes message)
{
    Persist__Frame *f;
    load_must(frame_decode(message, &f), "a frame of the server");
    if (f->kind_case == PERSIST__FRAME__KIND_END)
        fail(d, f->end->text);
    if (d->state == LOAD_LINKING && f->kind_case == PERSIST__FRAME__KIND_CHALLENGE)
        prove(d, f->challenge);
    else if (d->state == LOAD_LINKING && f->kind_case == PERSIST__FRAME__KIND_WELCOME)
        open_space(d);
    else if (d->state == LOAD_OPENING && f->kind_case == PERSIST__FRAME__KIND_CAUGHT_UP)
        d->state = LOAD_OPEN;
    else if (d->state == LOAD_OPEN)
        d->load->fn(d->load->arg, d, f);
    frame_free(f);
}

/* ---- in ---- */

static void on_frame(struct load_device *d, unsigned first, struct bytes payload)
{
    unsigned op = first & 0x0f;
    struct buf pong = {0};
    if (op == OP_CLOSE)
        fail(d, "the server closed the connection");
    if (op == OP_PING) {
        put_frame_head(&pong, OP_PONG, payload.n);
        buf_put_bytes(&pong, payload);
        send_bytes(d, buf_bytes(&pong));
        buf_fini(&pong);
    } else if (op <= OP_BINARY) {
        bool last = (first & 0x80) != 0;
        if (last && d->message.n == 0) {
            on_message(d, payload);
            return;
        }
        buf_put_bytes(&d->message, payload);
        load_must(buf_status(&d->message), "a message");
        if (last) {
            on_message(d, buf_bytes(&d->message));
            buf_fini(&d->message);
        }
    }
}

/* Handles what is whole at the beginning of @b: how many bytes. */
static size_t take_frame(struct load_device *d, struct bytes b)
{
    if (b.n < 2)
        return 0;
    size_t head = b.p[1] == 126 ? 4 : b.p[1] == 127 ? 10 : 2;
    if (b.n < head)
        return 0;
    uint64_t n = head == 2   ? b.p[1]
                 : head == 4 ? (uint64_t)(b.p[2] << 8 | b.p[3])
                             : get_u64(b.p + 2);
    if (b.n - head < n)
        return 0;
    on_frame(d, b.p[0], bytes_of(b.p + head, (size_t)n));
    return head + (size_t)n;
}

static size_t take_reply(struct load_device *d, struct bytes b)
{
    const uint8_t *end = memmem(b.p, b.n, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    if (memmem(b.p, b.n, " 101 ", 5) == NULL)
        fail(d, "the server does not take the connection");
    d->state = LOAD_LINKING;
    return (size_t)(end - b.p) + 4;
}

static size_t take_all(struct load_device *d, struct bytes b)
{
    size_t used = 0;
    size_t n;
    do {
        struct bytes rest = bytes_of(b.p + used, b.n - used);
        n = d->state == LOAD_UPGRADING ? take_reply(d, rest) : take_frame(d, rest);
        used += n;
    } while (n > 0);
    return used;
}

static void on_readable(struct load_device *d)
{
    struct load *l = d->load;
    ssize_t n = read(d->fd, l->chunk, sizeof l->chunk);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        fail(d, n == 0 ? "the server hung up" : strerror(errno));
    if (n <= 0)
        return;
    if (d->in.n == 0) {
        size_t used = take_all(d, bytes_of(l->chunk, (size_t)n));
        buf_put(&d->in, l->chunk + used, (size_t)n - used);
    } else {
        buf_put(&d->in, l->chunk, (size_t)n);
        size_t used = take_all(d, buf_bytes(&d->in));
        memmove(d->in.p, d->in.p + used, d->in.n - used);
        d->in.n -= used;
    }
    load_must(buf_status(&d->in), "what came");
    if (d->in.n == 0)
        buf_fini(&d->in);
}

void load_turn(struct load *l, int ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(l->epoll_fd, events, EVENTS, ms);
    for (int i = 0; i < n; i++) {
        struct load_device *d = events[i].data.ptr;
        if ((events[i].events & EPOLLOUT) != 0 && d->state == LOAD_CONNECTING)
            upgrade(d);
        else if ((events[i].events & EPOLLOUT) != 0)
            flush(d);
        if ((events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
            on_readable(d);
    }
}
