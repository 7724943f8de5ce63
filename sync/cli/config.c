#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "proto/base/utf8.h"
#include "sync/cli/home.h"
#include "sync/state/statefile.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct bytes trim(struct bytes v)
{
    while (v.n > 0 && is_blank(v.p[0])) {
        v.p++;
        v.n--;
    }
    while (v.n > 0 && is_blank(v.p[v.n - 1]))
        v.n--;
    return v;
}

/* The next line, without its end; @text moves on. */
static struct bytes next_line(struct bytes *text)
{
    const uint8_t *end = memchr(text->p, '\n', text->n);
    size_t n = end == NULL ? text->n : (size_t)(end - text->p);
    struct bytes line = bytes_of(text->p, n);
    size_t used = end == NULL ? n : n + 1;
    text->p += used;
    text->n -= used;
    return trim(line);
}

static int set(struct config *c, struct bytes key, struct bytes value, unsigned line,
               struct err *err)
{
    char shown[64];
    if (!bytes_equal(key, bytes_str("label")))
        return err_set(err, -EINVAL, "config: line %u: unknown setting '%s'; known: label", line,
                       escape_to(shown, sizeof shown, key));
    if (!utf8_is_label(value))
        return err_set(
            err, -EINVAL,
            "config: line %u: '%s' cannot be a label; 1 to 64 bytes of plain text without '/'",
            line, escape_to(shown, sizeof shown, value));
    memcpy(c->label, value.p, value.n);
    c->label[value.n] = '\0';
    return 0;
}

int config_parse(struct bytes text, struct config *ret, struct err *err)
{
    struct config c = {0};
    int rc = 0;
    for (unsigned n = 1; rc == 0 && text.n > 0; n++) {
        struct bytes line = next_line(&text);
        if (line.n == 0 || line.p[0] == '#')
            continue;
        const uint8_t *equals = memchr(line.p, '=', line.n);
        if (equals == NULL)
            return err_set(err, -EINVAL, "config: line %u: is not 'key = value'", n);
        size_t at = (size_t)(equals - line.p);
        rc = set(&c, trim(bytes_of(line.p, at)), trim(bytes_of(equals + 1, line.n - at - 1)), n,
                 err);
    }
    if (rc == 0)
        *ret = c;
    return rc;
}

int config_read(const struct home *h, struct config *ret, struct err *err)
{
    *ret = (struct config){0};
    int dir_fd = open(h->config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", h->config_dir, strerror(errno));
    struct buf text = {0};
    int rc = statefile_read_shared(dir_fd, "config", CONFIG_BYTES_MAX, &text, err);
    close(dir_fd);
    if (rc == 0)
        rc = config_parse(buf_bytes(&text), ret, err);
    buf_fini(&text);
    return rc == -ENOENT ? 0 : rc;
}
