#include "fs/space/drivers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/merge/policy.h"

bool drivers_name_valid(struct bytes name)
{
    static const char of[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    for (size_t i = 0; i < name.n; i++)
        if (memchr(of, name.p[i], sizeof of - 1) == NULL)
            return false;
    return name.n > 0 && name.n <= POLICY_DRIVER_MAX;
}

void drivers_fini(struct drivers *d)
{
    buf_fini(&d->text);
    free(d->v);
    *d = (struct drivers){.v = NULL};
}

/* ---- reading ---- */

/* One word of a line, unescaped and terminated, in place: it only becomes shorter. */
static char *next_word(char **line)
{
    if (*line == NULL)
        return NULL;
    char *word = *line, *to = word, *from = word;
    for (; *from != '\0' && *from != '\t'; from++) {
        if (*from == '\\' && from[1] != '\0') {
            from++;
            *to++ = *from == 't' ? '\t' : *from == 'n' ? '\n' : *from;
        } else {
            *to++ = *from;
        }
    }
    *line = *from == '\t' ? from + 1 : NULL;
    *to = '\0';
    return word;
}

static int parse_line(struct drivers *d, char *line, unsigned number, struct err *e)
{
    struct driver *v = &d->v[d->n];
    size_t words = 0;
    v->name = next_word(&line);
    for (char *word; (word = next_word(&line)) != NULL;) {
        if (words == DRIVER_WORDS_MAX)
            return err_set(e, -EBADMSG, "line %u: more than %d words", number, DRIVER_WORDS_MAX);
        v->argv[words++] = word;
    }
    v->argv[words] = NULL;
    if (!drivers_name_valid(bytes_str(v->name)))
        return err_set(e, -EBADMSG, "line %u: no name of a driver", number);
    if (words == 0 || v->argv[0][0] != '/')
        return err_set(e, -EBADMSG, "line %u: the command is not an absolute path", number);
    d->n++;
    return 0;
}

int drivers_parse(struct bytes file, struct drivers *ret, struct err *e)
{
    struct drivers d = {.v = calloc(DRIVERS_MAX, sizeof *d.v)};
    buf_put_bytes(&d.text, file);
    buf_put_u8(&d.text, 0);
    int rc = d.v == NULL || buf_status(&d.text) < 0 ? err_set(e, -ENOMEM, "out of memory") : 0;
    if (rc == 0 && file.n > 0 && memchr(file.p, 0, file.n) != NULL)
        rc = err_set(e, -EBADMSG, "it holds a zero byte");
    char *at = (char *)d.text.p;
    for (unsigned number = 1; rc == 0 && *at != '\0'; number++) {
        char *line = at, *end = strchr(at, '\n');
        at = end != NULL ? end + 1 : at + strlen(at);
        if (end != NULL)
            *end = '\0';
        rc = d.n == DRIVERS_MAX ? err_set(e, -EBADMSG, "more than %d drivers", DRIVERS_MAX)
                                : parse_line(&d, line, number, e);
    }
    if (rc < 0)
        drivers_fini(&d);
    *ret = d;
    return rc;
}

static int read_all(int fd, struct buf *ret)
{
    uint8_t part[4096];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) != 0) {
        if (n < 0)
            return -errno;
        buf_put(ret, part, (size_t)n);
        if (ret->n > DRIVERS_BYTES_MAX)
            return -EFBIG;
    }
    return buf_status(ret);
}

int drivers_read(int dir_fd, struct drivers *ret, struct err *e)
{
    CLEANUP(buf_fini) struct buf file = {0};
    struct stat st;
    *ret = (struct drivers){.v = NULL};
    int fd = openat(dir_fd, DRIVERS_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_set(e, -errno, "%s", strerror(errno));
    int rc = fstat(fd, &st) < 0 ? -errno : 0;
    if (rc == 0 && (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0))
        rc = err_set(e, -EPERM, "others can read or write it; 'chmod 600' it");
    else if (rc == 0)
        rc = read_all(fd, &file);
    close(fd);
    if (rc < 0 && rc != -EPERM)
        return err_set(e, rc, "%s", strerror(-rc));
    return rc < 0 ? rc : drivers_parse(buf_bytes(&file), ret, e);
}

const struct driver *drivers_find(const struct drivers *d, struct bytes name)
{
    for (size_t i = 0; i < d->n; i++)
        if (bytes_equal(bytes_str(d->v[i].name), name))
            return &d->v[i];
    return NULL;
}

/* ---- writing ---- */

static void put_word(struct buf *b, const char *word)
{
    for (; *word != '\0'; word++) {
        const char *plain = "\t\n\\", *named = "tn\\", *at = strchr(plain, *word);
        if (at != NULL)
            buf_put_u8(b, '\\');
        buf_put_u8(b, at != NULL ? (uint8_t)named[at - plain] : (uint8_t)*word);
    }
}

static void put_line(struct buf *b, const struct driver *v)
{
    put_word(b, v->name);
    for (size_t i = 0; v->argv[i] != NULL; i++) {
        buf_put_u8(b, '\t');
        put_word(b, v->argv[i]);
    }
    buf_put_u8(b, '\n');
}

int drivers_put(const struct drivers *d, const struct driver *set, const char *without,
                struct buf *ret)
{
    size_t n = set != NULL, begin = ret->n;
    bool done = set == NULL;
    for (size_t i = 0; i < d->n; i++) {
        const struct driver *v = &d->v[i];
        if (!done && strcmp(set->name, v->name) <= 0) {
            put_line(ret, set);
            done = true;
        }
        if ((set != NULL && strcmp(set->name, v->name) == 0) ||
            (without != NULL && strcmp(without, v->name) == 0))
            continue;
        put_line(ret, v);
        n++;
    }
    if (!done)
        put_line(ret, set);
    if (buf_status(ret) < 0)
        return -ENOMEM;
    return n > DRIVERS_MAX || ret->n - begin > DRIVERS_BYTES_MAX ? -E2BIG : 0;
}
