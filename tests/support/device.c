#include "tests/support/device.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/merger.h"
#include "fs/space/sync.h"
#include "sync/engine/sources.h"
#include "tests/support/scratch.h"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void open_space(struct device *d, const char *label, bool create)
{
    struct err err = {0};
    struct space_config cfg = {.dir = d->dir,
                               .create = create,
                               .label = label,
                               .member = d->member,
                               .onlooker = d->onlooker};
    if (space_open(&cfg, &d->s, &err) < 0)
        fail_msg("%s", err.msg);
    if (d->sources == NULL)
        assert_int_equal(sources_new(&d->sources), 0);
    /* What is published, and when, is for the test to say. */
    publisher_hold(d->s);
    merger_hold(d->s);
}

static void make_member(struct device *d, unsigned n)
{
    uint8_t seed[SEED_SIZE] = {(uint8_t)n, 1}, identity[SIGN_KEY_SIZE], secret[64];
    assert_true(sodium_init() >= 0);
    assert_int_equal(crypto_sign_seed_keypair(identity, secret, seed), 0);
    d->member = calloc(1, sizeof *d->member);
    assert_non_null(d->member);
    assert_int_equal(space_member_init(d->member, seed, identity), 0);
}

static void open_with(struct device *d, const char *label, struct keyring *k)
{
    struct err err = {0};
    assert_true(scratch_dir(d->dir, sizeof d->dir, "exchange"));
    int fd = open(d->dir, O_RDONLY | O_DIRECTORY);
    if (keyring_write(k, fd, &err) < 0)
        fail_msg("%s", err.msg);
    close(fd);
    keyring_fini(k);
    open_space(d, label, true);
}

void device_found(struct device *d, const char *label, unsigned n)
{
    struct keyring k;
    make_member(d, n);
    assert_int_equal(keyring_found(&k, d->member), 0);
    open_with(d, label, &k);
}

void device_join(struct device *d, const char *label, unsigned n, struct device *of)
{
    struct keyring k;
    struct door_key key = {.wrap = {1}, .commitment = {2}};
    const uint8_t salt[DOOR_SALT_SIZE] = {3};
    struct buf blob CLEANUP(buf_fini) = {0};
    struct space_id id;
    struct door *door = calloc(1, sizeof *door);
    assert_non_null(door);
    make_member(d, n);
    assert_int_equal(space_sync_id(of->s, &id), 0);
    assert_int_equal(space_sync_door(of->s, &key, salt, &blob), 0);
    assert_int_equal(door_open(buf_bytes(&blob), &key, &id, door), 0);
    assert_int_equal(keyring_join(&k, &id, door), 0);
    door_fini(door);
    free(door);
    open_with(d, label, &k);
}

void device_granted(struct device *d, const char *label, unsigned n, struct device *of)
{
    struct keyring k;
    struct buf blob CLEANUP(buf_fini) = {0};
    struct act_add who = {.role = ACT_ROLE_DEVICE};
    struct grant *grant = calloc(1, sizeof *grant);
    assert_non_null(grant);
    make_member(d, n);
    who.member = d->member->pub;
    assert_int_equal(space_sync_grant(of->s, &who, label, "notes", &blob), 0);
    assert_int_equal(grant_open(buf_bytes(&blob), &d->member->keys, grant), 0);
    assert_int_equal(keyring_grant(&k, grant), 0);
    grant_fini(grant);
    free(grant);
    open_with(d, label, &k);
}

void device_open(struct device *d, const char *label, const struct device *keys_of)
{
    memset(d, 0, sizeof *d);
    assert_true(scratch_dir(d->dir, sizeof d->dir, "exchange"));
    if (keys_of != NULL) {
        char command[256];
        snprintf(command, sizeof command, "cp %s/keys %s/keys", keys_of->dir, d->dir);
        assert_int_equal(system(command), 0);
    }
    open_space(d, label, true);
}

void device_copy(struct device *d, struct device *of)
{
    char command[256], label[LIMIT_LABEL + 1];
    memcpy(label, of->s->label, sizeof label);
    assert_true(scratch_dir(d->dir, sizeof d->dir, "exchange"));
    d->member = calloc(1, sizeof *d->member);
    assert_non_null(d->member);
    *d->member = *of->member;
    space_close(of->s);
    snprintf(command, sizeof command, "cp -a %s/. %s", of->dir, d->dir);
    assert_int_equal(system(command), 0);
    open_space(of, label, false);
    open_space(d, label, false);
}

void device_reopen(struct device *d)
{
    char label[LIMIT_LABEL + 1];
    memcpy(label, d->s->label, sizeof label);
    space_close(d->s);
    open_space(d, label, false);
}

void device_close(struct device *d)
{
    space_close(d->s);
    space_member_fini(d->member);
    free(d->member);
    sources_free(d->sources);
    nftw(d->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

uint64_t device_ino(struct device *d, const char *path)
{
    uint64_t ino = TREE_ROOT;
    char copy[256], *save = NULL;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *name = strtok_r(copy, "/", &save); name != NULL; name = strtok_r(NULL, "/", &save)) {
        struct attr a;
        if (tree_lookup(d->s->tree, ino, bytes_str(name), &a) < 0)
            return 0;
        ino = a.ino;
    }
    return ino;
}

static uint64_t dir_of(struct device *d, const char *path, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    *ret_name = slash == NULL ? path : slash + 1;
    char dir[256] = "";
    if (slash != NULL)
        snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    uint64_t ino = device_ino(d, dir);
    assert_int_not_equal(ino, 0);
    return ino;
}

uint64_t device_make(struct device *d, const char *path, uint32_t mode)
{
    const char *name;
    uint64_t dir = dir_of(d, path, &name);
    struct tree_new what = {.mode = mode, .target = bytes_str(S_ISLNK(mode) ? "goal" : "")};
    struct attr a;
    assert_int_equal(tree_make(d->s->tree, dir, bytes_str(name), &what, &a), 0);
    return a.ino;
}

void device_save(struct device *d, const char *path, const void *p, size_t n)
{
    uint64_t ino = device_ino(d, path);
    if (ino == 0)
        ino = device_make(d, path, S_IFREG | 0644);
    struct attr a;
    assert_int_equal(tree_open_file(d->s->tree, ino, true, true, &a), 0);
    struct tree_write how = {0};
    assert_int_equal(tree_write(d->s->tree, ino, bytes_of(p, n), &how), 0);
    tree_close_file(d->s->tree, ino, true);
}

void device_save_text(struct device *d, const char *path, const char *text)
{
    device_save(d, path, text, strlen(text));
}

void device_unlink(struct device *d, const char *path)
{
    const char *name;
    uint64_t dir = dir_of(d, path, &name);
    assert_int_equal(tree_unlink(d->s->tree, dir, bytes_str(name)), 0);
}

void device_rename(struct device *d, const char *from, const char *to)
{
    const char *name, *new_name;
    uint64_t dir = dir_of(d, from, &name), new_dir = dir_of(d, to, &new_name);
    assert_int_equal(tree_rename(d->s->tree, dir, bytes_str(name), new_dir, bytes_str(new_name), 0),
                     0);
}

void device_rmdir(struct device *d, const char *path)
{
    const char *name;
    uint64_t dir = dir_of(d, path, &name);
    assert_int_equal(tree_rmdir(d->s->tree, dir, bytes_str(name)), 0);
}
