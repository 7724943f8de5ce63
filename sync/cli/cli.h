/*
 * sync/cli/cli - the command line: finds the command and runs it.
 */
#ifndef SYNC_CLI_CLI_H
#define SYNC_CLI_CLI_H

/** Runs the program's command line. Returns the exit status: see sync/README.md. */
int cli_main(int argc, char **argv);

#endif
