#include "tests/support/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BASE_MAX = 40 };

bool scratch_dir(char *ret, size_t size, const char *name)
{
    const char *base = getenv("TMPDIR");
    if (base == NULL || base[0] != '/' || strlen(base) > BASE_MAX)
        base = "/tmp";
    snprintf(ret, size, "%s/persist-%s-XXXXXX", base, name);
    return mkdtemp(ret) != NULL;
}
