/*
 * sync/cli/commands - the commands of the program, one per file.
 */
#ifndef SYNC_CLI_COMMANDS_H
#define SYNC_CLI_COMMANDS_H

#include "sync/cli/args.h"

struct command {
    const char *name;
    const char *arguments; /* "FOLDER [--json]" */
    const char *summary;   /* one line for the list of commands */
    const char *help;      /* options and an example, whole lines */
    const struct args_option *options;
    size_t plain_min, plain_max; /* how many plain arguments */
    /* Runs it; returns the exit status, an error line was written when it is not 0. */
    int (*run)(const struct args *a);
};

/* In the order of the list of commands; ends with NULL. */
extern const struct command *const commands[];

extern const struct command command_check;
extern const struct command command_clone;
extern const struct command command_conflicts;
extern const struct command command_daemon;
extern const struct command command_driver;
extern const struct command command_export;
extern const struct command command_forget;
extern const struct command command_gc;
extern const struct command command_id;
extern const struct command command_log;
extern const struct command command_mount;
extern const struct command command_pair;
extern const struct command command_peer;
extern const struct command command_p2p;
extern const struct command command_peers;
extern const struct command command_remote;
extern const struct command command_resolve;
extern const struct command command_restore;
extern const struct command command_revoke;
extern const struct command command_serve;
extern const struct command command_show;
extern const struct command command_status;
extern const struct command command_sync;
extern const struct command command_token;
extern const struct command command_unmount;
extern const struct command command_user;

/* Options of commands that have --json and no other. */
extern const struct args_option commands_json_only[];
enum { COMMANDS_JSON = 0 };

/**
 * Runs a verb whose one plain argument is a FOLDER, which may be left out; @with_path: the place
 * below it is the verb's first argument. For commands that are no more than this.
 */
struct verb_call;
int commands_on_folder(const char *folder, bool with_path, struct verb_call *call);

/** The same of @call with nothing to add, after @before of the folder, which may fail. */
struct session;
struct space_entry;
int commands_on_folder_after(int (*before)(const struct session *s, const struct space_entry *e,
                                           struct err *err),
                             const char *folder, struct verb_call *call);

#endif
