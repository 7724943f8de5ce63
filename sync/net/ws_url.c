#include "sync/net/ws_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sync/net/ws.h"

static int wrong(const char *text, struct err *err)
{
    return err_set(err, -EINVAL, "%.200s: not the address of a server, as wss://sync.example.org",
                   text);
}

/* What comes before the host; returns where the host begins, or NULL. */
static const char *scheme_of(const char *text, struct ws_url *u)
{
    u->tls = strncasecmp(text, "wss://", 6) == 0;
    if (u->tls)
        return text + 6;
    return strncasecmp(text, "ws://", 5) == 0 ? text + 5 : NULL;
}

static bool is_host_char(char c)
{
    return isalnum((unsigned char)c) || c == '.' || c == '-' || c == '_';
}

/* Copies the host; returns what follows it, or NULL. */
static const char *host_of(const char *p, struct ws_url *u)
{
    size_t n = 0;
    bool brackets = *p == '[';
    if (brackets) {
        n = strspn(++p, "0123456789abcdefABCDEF:.");
        if (p[n] != ']')
            return NULL;
    } else {
        while (is_host_char(p[n]))
            n++;
    }
    if (n == 0 || n > WS_HOST_MAX)
        return NULL;
    memcpy(u->host, p, n);
    u->host[n] = '\0';
    return p + n + (brackets ? 1 : 0);
}

/* The port, if there is one; returns what follows it, or NULL. */
static const char *port_of(const char *p, struct ws_url *u)
{
    u->port = u->tls ? 443 : 80;
    if (*p != ':')
        return p;
    size_t n = strspn(++p, "0123456789");
    if (n == 0 || n > 5)
        return NULL;
    u->port = 0;
    for (size_t i = 0; i < n; i++)
        u->port = u->port * 10 + (unsigned)(p[i] - '0');
    return u->port >= 1 && u->port <= 65535 ? p + n : NULL;
}

static void look_at_address(struct ws_url *u)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, u->host, &v4) == 1) {
        u->numeric = true;
        u->loopback = ntohl(v4.s_addr) >> 24 == 127;
    } else if (inet_pton(AF_INET6, u->host, &v6) == 1) {
        u->numeric = true;
        u->loopback = IN6_IS_ADDR_LOOPBACK(&v6);
    } else {
        u->loopback = strcasecmp(u->host, "localhost") == 0;
    }
}

int ws_url_parse(const char *text, bool insecure, struct ws_url *ret, struct err *err)
{
    struct ws_url u = {0};
    const char *p = scheme_of(text, &u);
    const char *host = p;
    p = p != NULL ? host_of(p, &u) : NULL;
    p = p != NULL ? port_of(p, &u) : NULL;
    if (p == NULL || (*p != '\0' && strcmp(p, "/") != 0 && strcmp(p, WS_PATH) != 0))
        return wrong(text, err);
    look_at_address(&u);
    if ((host[0] == '[') != (u.numeric && strchr(u.host, ':') != NULL))
        return wrong(text, err);
    if (!u.tls && !u.loopback && !insecure)
        return err_set(err, -EACCES,
                       "%.200s: would send the token in the clear; use wss://, or --insecure where "
                       "nobody listens in",
                       text);
    if (u.tls && u.numeric && host[0] == '[')
        return err_set(err, -EINVAL,
                       "%.200s: certificates are not checked against IPv6 addresses; use a name",
                       text);
    *ret = u;
    return 0;
}

const char *ws_url_text(const struct ws_url *u, char ret[WS_URL_SIZE])
{
    bool brackets = strchr(u->host, ':') != NULL;
    int n = snprintf(ret, WS_URL_SIZE, "%s://%s%s%s", u->tls ? "wss" : "ws", brackets ? "[" : "",
                     u->host, brackets ? "]" : "");
    if (u->port != (u->tls ? 443u : 80u))
        snprintf(ret + n, WS_URL_SIZE - (size_t)n, ":%u", u->port);
    for (char *p = ret; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    return ret;
}
