/*
 * scripts/bench.d/load_base - what loads on a server share: time, the spaces of its accounts,
 * devices from a list of tokens, entries, and what the server's process takes. Thread: any.
 */
#ifndef LOAD_BASE_H
#define LOAD_BASE_H

#include "load_client.h"
#include "proto/sealed/act.h"

enum { LOAD_GENESIS_SIZE = 16 };

uint64_t load_now_us(void);
/** Ends the program with a message unless @holds. */
void load_must_be(bool holds, const char *what);

/** The genesis act of the space of account number @account, and its id. */
void load_genesis(unsigned account, uint8_t ret[LOAD_GENESIS_SIZE], struct act_id *ret_id);

/** An entry of @plain_n bytes, sealed for the space of an account, appended to @ret. */
void load_entry(unsigned account, size_t plain_n, struct buf *ret);
/**
 * Gives it another dot. The server has no key, and cannot see that the signature is that of
 * another.
 */
void load_entry_dot(struct buf *entry, const struct dot *dot);
/** The dot of a sealed entry. */
struct dot load_entry_dot_of(struct bytes entry);

/** Devices for the tokens on stdin, @of_account in a row of each account; free(). */
struct load_device *load_read_devices(unsigned of_account, unsigned *ret_n);
/** Connects them; returns when all are open. */
void load_connect_all(struct load *l, struct load_device *devices, unsigned n);

/* What a process has taken. */
struct load_used {
    double cpu_s;
    double rss_mib, high_mib;
};

struct load_used load_used_by(long pid);
/** Prints what the server has, and took in @seconds since @before. */
void load_print_used(long pid, const char *when, struct load_used before, double seconds);

#endif
