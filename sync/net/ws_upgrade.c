#include "sync/net/ws_upgrade.h"

#include <errno.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <strings.h>

enum {
    SHA1_SIZE = 20,
    ACCEPT_SIZE = 29, /* of its base64, with the NUL */
    STATUS_AT = 9,    /* in "HTTP/1.1 101" */
    STATUS_LINE_MIN = 12,
    SWITCHED = 101
};

void ws_key_of(const uint8_t nonce[WS_NONCE_SIZE], char ret[WS_KEY_SIZE])
{
    sodium_bin2base64(ret, WS_KEY_SIZE, nonce, WS_NONCE_SIZE, sodium_base64_VARIANT_ORIGINAL);
}

void ws_request_put(struct buf *b, const struct ws_ask *ask)
{
    bool offers = ask->subprotocol != NULL, authorized = ask->authorization != NULL;
    const char *const parts[] = {
        "GET ",
        ask->path,
        " HTTP/1.1\r\nHost: ",
        ask->host,
        "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
        offers ? "Sec-WebSocket-Protocol: " : "",
        offers ? ask->subprotocol : "",
        offers ? "\r\n" : "",
        "Sec-WebSocket-Key: ",
        ask->key,
        authorized ? "\r\nAuthorization: " : "",
        authorized ? ask->authorization : "",
        "\r\n\r\n"};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_N(parts); i++)
        n += strlen(parts[i]);
    if (buf_reserve(b, n) < 0) /* at once, as growing would leave copies of a token behind */
        return;
    for (size_t i = 0; i < ARRAY_N(parts); i++)
        buf_put_bytes(b, bytes_str(parts[i]));
}

/* What proves that the server understood the request. */
static void accept_of(const char *key, char ret[ACCEPT_SIZE])
{
    char text[WS_KEY_SIZE + 40];
    unsigned char sum[SHA1_SIZE];
    int n = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    if (EVP_Digest(text, (size_t)n, sum, NULL, EVP_sha1(), NULL) != 1)
        memset(sum, 0, sizeof sum);
    sodium_bin2base64(ret, ACCEPT_SIZE, sum, sizeof sum, sodium_base64_VARIANT_ORIGINAL);
}

static bool is(struct bytes v, const char *text)
{
    return v.n == strlen(text) && strncasecmp((const char *)v.p, text, v.n) == 0;
}

static struct bytes trim(struct bytes v)
{
    while (v.n > 0 && (v.p[0] == ' ' || v.p[0] == '\t'))
        v = bytes_of(v.p + 1, v.n - 1);
    while (v.n > 0 && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t'))
        v.n--;
    return v;
}

/* Takes what is before @c off the front, and @c. */
static struct bytes up_to(struct bytes *v, char c)
{
    const uint8_t *end = v->n > 0 ? memchr(v->p, c, v->n) : NULL;
    struct bytes part = end != NULL ? bytes_of(v->p, (size_t)(end - v->p)) : *v;
    size_t n = part.n + (end != NULL);
    *v = bytes_of(v->p + n, v->n - n);
    return part;
}

static bool lists(struct bytes list, const char *item)
{
    bool found = false;
    while (list.n > 0)
        found = is(trim(up_to(&list, ',')), item) || found;
    return found;
}

/* What an answer of 101 has to say, each once. */
enum { UPGRADE = 1, CONNECTION = 2, ACCEPT = 4, PROTOCOL = 8 };

/* Which of them a header is; -EPROTO: it is one and says something else. */
static int judge(struct bytes name, struct bytes value, const char *accept, const char *subprotocol)
{
    if (is(name, "Upgrade"))
        return is(value, "websocket") ? UPGRADE : -EPROTO;
    if (is(name, "Connection"))
        return lists(value, "upgrade") ? CONNECTION : -EPROTO;
    if (is(name, "Sec-WebSocket-Accept"))
        return bytes_equal(value, bytes_str(accept)) ? ACCEPT : -EPROTO;
    if (is(name, "Sec-WebSocket-Protocol"))
        return subprotocol != NULL && bytes_equal(value, bytes_str(subprotocol)) ? PROTOCOL
                                                                                 : -EPROTO;
    return is(name, "Sec-WebSocket-Extensions") ? -EPROTO : 0;
}

static int judge_all(struct bytes headers, const char *key, const char *subprotocol)
{
    char accept[ACCEPT_SIZE];
    int seen = 0;
    accept_of(key, accept);
    while (headers.n > 0) {
        struct bytes line = up_to(&headers, '\n');
        line.n -= line.n > 0 && line.p[line.n - 1] == '\r';
        struct bytes name = up_to(&line, ':');
        int one = judge(name, trim(line), accept, subprotocol);
        if (one < 0 || (seen & one) != 0)
            return -EPROTO;
        seen |= one;
    }
    int wanted = UPGRADE | CONNECTION | ACCEPT | (subprotocol != NULL ? PROTOCOL : 0);
    return seen == wanted ? 0 : -EPROTO;
}

/* The number in a line like "HTTP/1.1 101 Switching Protocols", or -EPROTO. */
static int status_in(struct bytes line)
{
    static const char version[] = "HTTP/1.";
    int status = 0;
    if (line.n < STATUS_LINE_MIN || memcmp(line.p, version, sizeof version - 1) != 0 ||
        line.p[STATUS_AT - 1] != ' ')
        return -EPROTO;
    for (size_t i = STATUS_AT; i < STATUS_LINE_MIN; i++) {
        if (line.p[i] < '0' || line.p[i] > '9')
            return -EPROTO;
        status = status * 10 + (line.p[i] - '0');
    }
    return status >= 100 ? status : -EPROTO;
}

int ws_answer_get(struct bytes in, const char *key, const char *subprotocol, struct ws_answer *ret)
{
    static const char begin[] = "HTTP/1.";
    if (in.n == 0)
        return 0;
    struct bytes head = bytes_of(in.p, (size_t)min_u64(in.n, WS_ANSWER_MAX));
    if (memcmp(head.p, begin, (size_t)min_u64(head.n, sizeof begin - 1)) != 0)
        return -EPROTO;
    const uint8_t *end = memmem(head.p, head.n, "\r\n\r\n", 4);
    if (end == NULL)
        return in.n < WS_ANSWER_MAX ? 0 : -EPROTO;
    head.n = (size_t)(end - head.p) + 2;
    int status = status_in(up_to(&head, '\n'));
    if (status < 0 || (status == SWITCHED && judge_all(head, key, subprotocol) < 0))
        return -EPROTO;
    *ret = (struct ws_answer){(unsigned)status, (size_t)(end - in.p) + 4};
    return 1;
}
