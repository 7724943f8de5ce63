/*
 * tests/support/server_process - a real server in a process of its own, on a free port of loopback,
 * with its data in a temporary folder. Fails the test when it cannot.
 *
 * The test's process never opens the store: RocksDB's threads do not survive a fork.
 */
#ifndef TESTS_SUPPORT_SERVER_PROCESS_H
#define TESTS_SUPPORT_SERVER_PROCESS_H

#include <sys/types.h>

#include "sync/server/admin_call.h"

enum { SERVER_TOKENS_MAX = 80 };

struct server_process {
    char top[64], dir[80];
    pid_t pid; /* 0: does not run */
    char url[64];
    unsigned port;
};

void server_process_init(struct server_process *p);
/** Ends it and removes the folder. */
void server_process_fini(struct server_process *p);

void server_process_start(struct server_process *p);
/** Ends it with @signal: the status of waitpid(). */
int server_process_stop(struct server_process *p, int signal);

/** While it is stopped: adds a user with @tokens_n tokens. Quotas of 0 are the defaults. */
void server_process_user(struct server_process *p, const char *user, uint64_t quota_bytes,
                         uint64_t quota_entries, size_t tokens_n,
                         char (*ret_tokens)[TOKEN_TEXT_SIZE]);

/** Asks the running server; what srv_control_ask() returns. */
int server_process_ask(struct server_process *p, Persist__AdminVerb verb, const char *name);

/** The value of one of its metrics. */
uint64_t server_process_metric(struct server_process *p, const char *name);
/** The memory it holds, in bytes. */
size_t server_process_memory(const struct server_process *p);

#endif
