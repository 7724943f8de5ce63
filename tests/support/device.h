/*
 * tests/support/device - one space in a temporary directory, and what a person does in it, by path.
 * Functions fail the running test when they cannot do what they say.
 */
#ifndef TESTS_SUPPORT_DEVICE_H
#define TESTS_SUPPORT_DEVICE_H

#include "fs/space/space_priv.h"

struct sources;

struct device {
    char dir[64];
    struct space *s;
    struct space_member *member; /* NULL: signs nothing */
    bool onlooker;               /* see struct space_config */
    struct sources *sources;     /* for its sessions */
};

/** Opens a new space; with @keys_of, as another member of that one's. */
void device_open(struct device *d, const char *label, const struct device *keys_of);
/** Opens a new space that device number @n makes as its first member. */
void device_found(struct device *d, const char *label, unsigned n);
/** Opens the space of @of, which it joins as device number @n through a door opened there. */
void device_join(struct device *d, const char *label, unsigned n, struct device *of);
/** Opens a copy of the whole device @of, keys and database, as after copying its home. */
void device_copy(struct device *d, struct device *of);
/** Likewise, but @of made it a member and granted it the space. */
void device_granted(struct device *d, const char *label, unsigned n, struct device *of);
/** Closes and opens it again, as after a restart. */
void device_reopen(struct device *d);
/** Closes it and deletes all. */
void device_close(struct device *d);

/** The inode at a path, 0: none. */
uint64_t device_ino(struct device *d, const char *path);
uint64_t device_make(struct device *d, const char *path, uint32_t mode);
/** Opens with O_TRUNC (making the file if it is not there), writes, closes. */
void device_save(struct device *d, const char *path, const void *p, size_t n);
void device_save_text(struct device *d, const char *path, const char *text);
void device_unlink(struct device *d, const char *path);
void device_rmdir(struct device *d, const char *path);
void device_rename(struct device *d, const char *from, const char *to);

#endif
