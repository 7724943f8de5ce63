#include "sync/cli/joining.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "proto/base/escape.h"
#include "sync/cli/fail.h"
#include "sync/cli/mount_checks.h"

extern char **environ;

int joining_check(const char *path, struct session *s, struct buf *ret_folder, struct err *err)
{
    int rc = mount_checks_folder(path, ret_folder, err);
    const char *folder = (const char *)ret_folder->p;
    char shown[200];
    if (rc == 0)
        rc = mount_checks_fuse(err);
    if (rc == 0)
        rc = mount_checks_has_files(folder, err);
    if (rc == 1)
        return err_set(err, -ENOTEMPTY, "%s: is not empty; choose an empty directory",
                       escape_to(shown, sizeof shown, bytes_str(folder)));
    if (rc == 0)
        rc = session_open(s, true, err);
    return rc == 0 ? mount_checks_home(&s->home, folder, err) : rc;
}

int joining_create(struct session *s, const char *what, const char *folder, const char *name,
                   const struct keyring *k, const struct space_entry **ret, struct err *err)
{
    char chosen[SPACE_NAME_SIZE];
    if (spaces_at(&s->spaces, folder) != NULL) /* it may have come since it was looked at */
        return err_set(err, -EEXIST, "%s: %s belongs to another space; choose another directory",
                       what, folder);
    if (name != NULL)
        snprintf(chosen, sizeof chosen, "%s", name);
    else
        spaces_choose_name(&s->spaces, folder, chosen);
    if (spaces_named(&s->spaces, chosen) != NULL)
        return err_set(err, -EEXIST, "%s: the name '%s' is taken; choose another --name", what,
                       chosen);
    return spaces_create(&s->home, &s->spaces, folder, chosen, k, ret, err);
}

/* Runs "persist VERB FOLDER", as a person would. Its exit status. */
static int run_persist(const char *what, const char *verb, const char *folder)
{
    char program[] = "/proc/self/exe", word[16];
    pid_t pid;
    int status;
    char *copy = strdup(folder);
    if (copy == NULL)
        return VERB_FAILED;
    snprintf(word, sizeof word, "%s", verb);
    char *const argv[] = {program, word, copy, NULL};
    int rc = posix_spawn(&pid, program, NULL, NULL, argv, environ);
    free(copy);
    if (rc != 0)
        return fail(VERB_FAILED, "%s: %s: %s", what, verb, strerror(rc));
    if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
        return VERB_FAILED;
    return WEXITSTATUS(status);
}

int joining_mount(const struct session *s, const char *what, const struct space_entry *e)
{
    struct err err = {0};
    pid_t pid;
    int owned = session_owner(s, e, &pid, &err);
    if (owned != 0)
        return owned < 0 ? fail_err(&err) : VERB_OK;
    return run_persist(what, "mount", e->folder);
}

int joining_unmount(const char *what, const struct space_entry *e)
{
    return run_persist(what, "unmount", e->folder);
}

int joining_first_sync(const struct session *s, const struct space_entry *e)
{
    struct verb_call call = {.verb = "sync", .args = {"first"}, .args_n = 1};
    return session_command(s, e, &call);
}
