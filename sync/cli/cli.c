#include "sync/cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/escape.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/mount_helper.h"
#include "sync/cli/near.h"
#include "sync/cli/process.h"

static const struct command *find_command(const char *name)
{
    for (const struct command *const *c = commands; *c != NULL; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

static int print_help(void)
{
    printf("persist - a folder that is the same on all of your devices\n"
           "\n"
           "usage: persist COMMAND [ARGUMENTS]\n"
           "       persist COMMAND --help\n"
           "\n");
    for (const struct command *const *c = commands; *c != NULL; c++)
        printf("  %-11s %s\n", (*c)->name, (*c)->summary);
    printf(
        "\n"
        "A FOLDER is a mount point or any path below it; left out, the folder of the current\n"
        "directory, or the only one. Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found,\n"
        "4 not allowed, 5 unreachable or timed out. State: $PERSIST_HOME, else\n"
        "~/.local/state/persist.\n"
        "\n"
        "Example:\n"
        "  mkdir ~/Notes && persist mount ~/Notes\n");
    return fflush(stdout) != 0 ? fail(VERB_FAILED, "output: cannot be written") : VERB_OK;
}

static int print_command_help(const struct command *c)
{
    printf("persist %s: %s\n\nusage: persist %s %s\n\n%s", c->name, c->summary, c->name,
           c->arguments, c->help);
    return fflush(stdout) != 0 ? fail(VERB_FAILED, "output: cannot be written") : VERB_OK;
}

static int unknown_command(const char *name)
{
    char list[256] = "";
    char shown[64];
    size_t n = 0;
    for (const struct command *const *c = commands; *c != NULL; c++)
        if (near_match(name, (*c)->name) && n < sizeof list)
            n +=
                (size_t)snprintf(list + n, sizeof list - n, "%s%s", n == 0 ? "" : ", ", (*c)->name);
    escape_to(shown, sizeof shown, bytes_str(name));
    if (n == 0)
        return fail(VERB_USAGE, "%s: no such command; 'persist --help' lists them", shown);
    return fail(VERB_USAGE, "%s: no such command; did you mean: %s?", shown, list);
}

/* Whether help is asked for among the words of a command, before a "--". */
static bool wants_help(int argc, char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static int run_command(const struct command *c, int argc, char *const *argv)
{
    struct args a;
    struct err err = {0};
    if (wants_help(argc, argv))
        return print_command_help(c);
    if (args_parse(c->options, argc, argv, &a, &err) < 0)
        return fail(VERB_USAGE, "%s: %s; see 'persist %s --help'", c->name, err.msg, c->name);
    size_t n = args_plain_n(&a);
    if (n < c->plain_min || n > c->plain_max)
        return fail(VERB_USAGE, "%s: %s; usage: persist %s %s", c->name,
                    n < c->plain_min ? "an argument is missing" : "too many arguments", c->name,
                    c->arguments);
    return c->run(&a);
}

int cli_main(int argc, char **argv)
{
    process_harden();
    if (mount_helper_is_called(argc, argv))
        return mount_helper_main(argc, argv);
    if (argc < 2)
        return fail(VERB_USAGE, "command: none is given; 'persist --help' lists them");
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        (strcmp(name, "help") == 0 && argc == 2))
        return print_help();
    if (strcmp(name, "--version") == 0) {
        printf("persist %s\n", PERSIST_VERSION);
        return fflush(stdout) != 0 ? fail(VERB_FAILED, "output: cannot be written") : VERB_OK;
    }
    const struct command *c = find_command(name);
    if (strcmp(name, "help") == 0) {
        c = find_command(argv[2]);
        return c != NULL ? print_command_help(c) : unknown_command(argv[2]);
    }
    if (c == NULL && name[0] == '-')
        return fail(VERB_USAGE, "%s: no such option; 'persist --help' tells more",
                    escape_to((char[64]){0}, 64, bytes_str(name)));
    return c != NULL ? run_command(c, argc - 2, argv + 2) : unknown_command(name);
}
