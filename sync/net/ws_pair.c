#include "sync/net/ws_pair.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define INVITING "/inviting"

/* The digits that @p begins with, as a number; -EINVAL: there are less. */
static int digits(const char *p)
{
    int n = 0;
    for (int i = 0; i < WS_PAIR_DIGITS; i++) {
        if (p[i] < '0' || p[i] > '9')
            return -EINVAL;
        n = 10 * n + (p[i] - '0');
    }
    return n;
}

int ws_pair_path(const char *nameplate, bool inviting, char ret[static WS_PAIR_PATH_SIZE],
                 struct err *err)
{
    if (digits(nameplate) < 0 || nameplate[WS_PAIR_DIGITS] != '\0')
        return err_set(err, -EINVAL, "a nameplate is four digits");
    snprintf(ret, WS_PAIR_PATH_SIZE, "%s%.4s%s", WS_PAIR_PATH, nameplate, inviting ? INVITING : "");
    return 0;
}

int ws_pair_path_parse(const char *path, unsigned *ret_nameplate, bool *ret_inviting)
{
    static const char begin[] = WS_PAIR_PATH;
    if (strncmp(path, begin, sizeof begin - 1) != 0)
        return -EINVAL;
    const char *p = path + sizeof begin - 1;
    int n = digits(p);
    if (n < 0)
        return n;
    p += WS_PAIR_DIGITS;
    if (*p != '\0' && strcmp(p, INVITING) != 0)
        return -EINVAL;
    *ret_nameplate = (unsigned)n;
    *ret_inviting = *p != '\0';
    return 0;
}
