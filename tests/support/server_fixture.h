/*
 * tests/support/server_fixture - the storage of a server in a temporary folder, with two users, and
 * entries, acts and chunks that look as real ones do to a server. Fails the test when it cannot.
 */
#ifndef TESTS_SUPPORT_SERVER_FIXTURE_H
#define TESTS_SUPPORT_SERVER_FIXTURE_H

#include <sys/types.h>

#include "proto/sealed/act.h"
#include "proto/sealed/chunk.h"
#include "sync/server/accounts.h"
#include "sync/server/spaces.h"

#define SERVER_START_MS UINT64_C(1790000000000)

struct server_fixture {
    char top[64], dir[80]; /* the folder of the test, and of the server in it */
    struct srv_store *store;
    struct srv_accounts *accounts;
    struct srv_spaces *spaces;
    uint64_t now_ms;
    uint32_t rate_s; /* as srv_spaces_open() takes it */
    struct srv_user anna, ben;
    struct err err; /* of the last push */
};

/** For cmocka. */
int server_fixture_setup(void **state);
int server_fixture_teardown(void **state);
void server_fixture_open(struct server_fixture *f);
void server_fixture_close(struct server_fixture *f);
void server_fixture_reopen(struct server_fixture *f);

/* This test program again, in a process that does something with the fixture's store until it is
 * killed: "WHAT FOLDER ACCOUNT FROM". What it writes to its output comes to @ret_fd. */
pid_t server_start_again(struct server_fixture *f, const char *what, uint64_t from, int *ret_fd);
/** Kills it; fails the test when it had ended before. */
void server_kill_again(pid_t pid);
/** In main(): whether this is such a process; @ret is then its fixture, not opened. */
bool server_is_again(int argc, char **argv, struct server_fixture *ret, uint64_t *ret_from);

/** The genesis act number @n, and where its space is for @account, with a token of number @token.
 */
void server_genesis(unsigned n, struct buf *ret);
struct srv_at server_at(uint64_t account, unsigned n, uint8_t token);
/** Pushes it, and syncs. */
struct srv_at server_make_space(struct server_fixture *f, uint64_t account, unsigned n);

/* An entry to be made. */
struct server_entry {
    enum entry_kind kind; /* 0: a value */
    struct dot dot;
    uint8_t epoch, fill;        /* the sealed part differs by these, the head not */
    size_t sealed_n;            /* 0: the least */
    const struct dot *replaced; /* ascending */
    size_t replaced_n;
    const uint8_t *chunks;
    size_t chunks_n;
};

/** Its bytes; replaces what is in @ret. */
void server_entry(const struct srv_at *at, const struct server_entry *e, struct buf *ret);
/** Pushes it at the fixture's time: what srv_push_entry() returns. */
int server_push(struct server_fixture *f, const struct srv_at *at, const struct server_entry *e);
/** A value without references. */
int server_push_value(struct server_fixture *f, const struct srv_at *at, uint64_t replica,
                      uint64_t counter, uint8_t fill);
/** The id of chunk number @n; and a push of it that names others, of @size bytes, last @fill. */
void server_chunk_id(unsigned n, uint8_t ret[CHUNK_ID_SIZE]);
int server_push_chunk(struct server_fixture *f, const struct srv_at *at, unsigned n,
                      const uint8_t *names, size_t names_n, uint8_t fill, size_t size);

/* What a walk saw. */
struct server_seen {
    unsigned n, acts, values, states;
    uint64_t last_seq, bytes;
    struct dot last_dot;
    uint64_t fills; /* the last byte of each, added */
};

int server_see_item(void *arg, const struct srv_item *item);
int server_see_chunk(void *arg, const struct srv_chunk *c);
/** Syncs, and reads the whole log; fails the test when that fails. */
struct server_seen server_read_log(struct server_fixture *f, const struct srv_at *at);
/** What is accounted is what is stored, for an account. */
void server_check_usage(struct server_fixture *f, uint64_t account);

#endif
