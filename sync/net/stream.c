#include "sync/net/stream.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sync/net/tcp_alive.h"

enum { NAME_SIZE = 256 /* of DNS */ };

struct stream {
    int fd;
    SSL *ssl; /* NULL: without TLS */
    struct net_watch *watch;
    struct tcp_alive *alive;
    net_watch_fn fn;
    void *arg;
    bool gone;      /* the other computer is */
    bool connected; /* TCP; TLS may still be under way */
    bool failed;    /* TLS: nothing can be said through it any more */
    uint32_t wanted;
    bool read_wants_out, write_wants_in;
};

static int new_socket(const struct stream_config *cfg, int *ret_fd)
{
    struct addrinfo *a;
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    char port[16];
    int on = 1;
    snprintf(port, sizeof port, "%u", cfg->port);
    if (getaddrinfo(cfg->address, port, &hints, &a) != 0)
        return -EINVAL;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc =
        fd < 0 || (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS) ? -errno : 0;
    freeaddrinfo(a);
    if (rc < 0 && fd >= 0)
        close(fd);
    if (rc == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *ret_fd = fd;
    return rc;
}

static int new_ssl(struct stream *s, const struct stream_config *cfg)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    char name[NAME_SIZE]; /* OpenSSL's macro takes no constant */
    snprintf(name, sizeof name, "%s", cfg->name);
    s->ssl = SSL_new(cfg->tls);
    if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1)
        return -ENOMEM;
    SSL_set_verify(s->ssl, SSL_VERIFY_PEER, NULL);
    SSL_set_mode(s->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    int ok = SSL_set_alpn_protos(s->ssl, alpn, sizeof alpn - 1) == 0;
    if (cfg->numeric)
        ok = ok && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), cfg->name) == 1;
    else
        ok = ok && SSL_set1_host(s->ssl, cfg->name) == 1 &&
             SSL_set_tlsext_host_name(s->ssl, name) == 1;
    return ok ? 0 : -ENOMEM;
}

static void on_gone(void *arg)
{
    struct stream *s = arg;
    s->gone = true;
    s->fn(EPOLLERR, s->arg);
}

static int watch(struct stream *s, struct net_loop *l, uint32_t events)
{
    s->wanted = events;
    int rc = net_watch_new(l, s->fd, events, s->fn, s->arg, &s->watch);
    return rc < 0 ? rc : tcp_alive_new(l, s->fd, on_gone, s, &s->alive);
}

int stream_new(struct net_loop *l, const struct stream_config *cfg, struct stream **ret)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->fn = cfg->fn;
    s->arg = cfg->arg;
    int rc = new_socket(cfg, &s->fd);
    if (rc < 0) {
        free(s);
        return rc;
    }
    if (cfg->tls != NULL)
        rc = new_ssl(s, cfg);
    if (rc == 0)
        rc = watch(s, l, EPOLLOUT);
    if (rc < 0) {
        stream_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

int stream_adopt(struct net_loop *l, int fd, net_watch_fn fn, void *arg, struct stream **ret)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    *s = (struct stream){.fd = fd, .connected = true, .fn = fn, .arg = arg};
    int rc = watch(s, l, 0);
    if (rc < 0) {
        net_watch_free(s->watch);
        free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void stream_free(struct stream *s)
{
    if (s == NULL)
        return;
    ERR_clear_error();
    if (s->ssl != NULL && SSL_is_init_finished(s->ssl) && !s->failed)
        (void)SSL_shutdown(s->ssl);
    ERR_clear_error();
    SSL_free(s->ssl);
    tcp_alive_free(s->alive);
    net_watch_free(s->watch);
    close(s->fd);
    free(s);
}

const char *stream_verdict(const struct stream *s)
{
    long verdict = s->ssl != NULL ? SSL_get_verify_result(s->ssl) : X509_V_OK;
    return verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : NULL;
}

void stream_finish(struct stream *s)
{
    (void)shutdown(s->fd, SHUT_WR);
}

static void watch_for(struct stream *s, uint32_t events)
{
    if (s->wanted != events)
        net_watch_want(s->watch, events);
    s->wanted = events;
}

/* What a call of OpenSSL that returned @rc means. 0: again when writing (*ret_out) or else reading
 * is possible; or a negative errno. */
static int judge(struct stream *s, int rc, bool *ret_out)
{
    int error = errno, what = SSL_get_error(s->ssl, rc);
    s->failed = what == SSL_ERROR_SYSCALL || what == SSL_ERROR_SSL;
    switch (what) {
    case SSL_ERROR_WANT_READ:
        *ret_out = false;
        return 0;
    case SSL_ERROR_WANT_WRITE:
        *ret_out = true;
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return -EPIPE;
    case SSL_ERROR_SYSCALL:
        return error != 0 ? -error : -EPIPE;
    default:
        return -EPROTO;
    }
}

static int connect_tls(struct stream *s)
{
    bool out = false;
    ERR_clear_error();
    errno = 0;
    int done = SSL_connect(s->ssl);
    int rc = done == 1 ? 1 : judge(s, done, &out);
    ERR_clear_error();
    if (rc == 0)
        watch_for(s, out ? EPOLLOUT : EPOLLIN);
    return rc;
}

int stream_connect(struct stream *s)
{
    if (!s->connected) {
        struct sockaddr_storage to;
        socklen_t n = sizeof to, error_n = sizeof(int);
        int error = 0;
        if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &error_n) < 0)
            return -errno;
        if (error != 0)
            return -error;
        if (getpeername(s->fd, (struct sockaddr *)&to, &n) < 0)
            return errno == ENOTCONN ? 0 : -errno;
        s->connected = true;
    }
    return s->ssl == NULL ? 1 : connect_tls(s);
}

void stream_want(struct stream *s, bool read, bool write)
{
    bool in = (read && !s->read_wants_out) || (write && s->write_wants_in);
    bool out = (write && !s->write_wants_in) || (read && s->read_wants_out);
    watch_for(s, (in ? (uint32_t)EPOLLIN : 0) | (out ? (uint32_t)EPOLLOUT : 0));
}

/* What a call on the socket itself that returned @n means. */
static ssize_t plain(ssize_t n)
{
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

ssize_t stream_read(struct stream *s, void *to, size_t n)
{
    if (s->gone)
        return -ETIMEDOUT;
    if (s->ssl == NULL) {
        ssize_t k = recv(s->fd, to, n, 0);
        return k == 0 ? -EPIPE : plain(k);
    }
    ERR_clear_error();
    errno = 0;
    int k = SSL_read(s->ssl, to, (int)min_u64(n, INT32_MAX));
    s->read_wants_out = false;
    int rc = k > 0 ? k : judge(s, k, &s->read_wants_out);
    ERR_clear_error();
    return rc;
}

int stream_error(const struct stream *s)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (s->gone)
        return -ETIMEDOUT;
    return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error != 0 ? -error : -EPIPE;
}

bool stream_has_read(const struct stream *s)
{
    return s->ssl != NULL && SSL_has_pending(s->ssl) == 1;
}

ssize_t stream_write(struct stream *s, const void *from, size_t n)
{
    if (s->gone)
        return -ETIMEDOUT;
    tcp_alive_sent(s->alive);
    if (s->ssl == NULL)
        return plain(send(s->fd, from, n, MSG_NOSIGNAL));
    bool out = true;
    ERR_clear_error();
    errno = 0;
    int k = SSL_write(s->ssl, from, (int)min_u64(n, INT32_MAX));
    int rc = k > 0 ? k : judge(s, k, &out);
    s->write_wants_in = !out;
    ERR_clear_error();
    return rc;
}
