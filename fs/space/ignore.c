/*
 * Names that stay on this device: what programs make beside a file while they work on it. Programs
 * look for these names on their own machine, so another device has no use for them.
 */
#include <fnmatch.h>
#include <stdio.h>

#include "fs/space/space_priv.h"

/* Measured on the editors' save sequences; see fs/space/README.md. */
static const char *const patterns[] = {
    ".*.sw[a-px]", ".sw[a-p]",         "4913",       ".~lock.*#", ".#*",           "#*#",
    "*~",          ".goutputstream-*", "*.kate-swp", ".nfs*",     ".fuse_hidden*",
};

bool ignore_name(struct space *s, struct bytes name)
{
    (void)s;
    char text[TREE_NAME_MAX + 1];
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    for (size_t i = 0; i < ARRAY_N(patterns); i++)
        if (fnmatch(patterns[i], text, 0) == 0)
            return true;
    return false;
}
