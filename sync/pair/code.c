#include "sync/pair/code.h"

#include <errno.h>
#include <sodium.h>

static const char letters[] = "ABCDEFGHJKLMNPQRSTUVWXYZ";

void pair_code_make(struct pair_code *ret)
{
    for (size_t i = 0; i < PAIR_CODE_LETTERS; i++)
        ret->c[i] = letters[randombytes_uniform(sizeof letters - 1)];
    for (size_t i = PAIR_CODE_LETTERS; i < PAIR_CODE_SIZE; i++)
        ret->c[i] = (char)('0' + randombytes_uniform(10));
}

const char *pair_code_text(const struct pair_code *c, char ret[static PAIR_CODE_TEXT_SIZE])
{
    memcpy(ret, c->c, PAIR_CODE_LETTERS);
    ret[PAIR_CODE_LETTERS] = '-';
    memcpy(ret + PAIR_CODE_LETTERS + 1, c->c + PAIR_CODE_LETTERS, PAIR_CODE_DIGITS);
    ret[PAIR_CODE_TEXT_SIZE - 1] = '\0';
    return ret;
}

const char *pair_code_nameplate(const struct pair_code *c, char ret[static PAIR_NAMEPLATE_SIZE])
{
    memcpy(ret, c->c + PAIR_CODE_LETTERS, PAIR_CODE_DIGITS);
    ret[PAIR_CODE_DIGITS] = '\0';
    return ret;
}

static bool is_between(char c)
{
    return c == '-' || c == ' ' || (c >= '\t' && c <= '\r');
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* The character at @at of a code. 0: it is none there, and @e says why. */
static char take(char typed, size_t at, struct err *e)
{
    char c = upper(typed);
    if (at < PAIR_CODE_LETTERS) {
        if (c != '\0' && strchr(letters, c) != NULL)
            return c;
        if (c == 'I' || c == 'O')
            err_set(e, -EINVAL, "code: there is no letter %c in a code; read it again", c);
        else
            err_set(e, -EINVAL, "code: it begins with four letters, as KXNR-7842; read it again");
        return '\0';
    }
    if (c == 'O')
        c = '0';
    if (c == 'I')
        c = '1';
    if (c >= '0' && c <= '9')
        return c;
    err_set(e, -EINVAL, "code: four digits follow the four letters, as KXNR-7842; read it again");
    return '\0';
}

int pair_code_parse(struct bytes typed, struct pair_code *ret, struct err *e)
{
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; i < typed.n && rc == 0; i++) {
        char c = (char)typed.p[i];
        if (is_between(c))
            continue;
        if (n == PAIR_CODE_SIZE)
            rc = err_set(e, -EINVAL,
                         "code: too long; it has four letters and four digits, as "
                         "KXNR-7842");
        else if ((ret->c[n] = take(c, n, e)) == '\0')
            rc = -EINVAL;
        else
            n++;
    }
    if (rc == 0 && n < PAIR_CODE_SIZE)
        rc = err_set(e, -EINVAL,
                     "code: too short; it has four letters and four digits, as "
                     "KXNR-7842");
    if (rc < 0)
        sodium_memzero(ret, sizeof *ret);
    return rc;
}
