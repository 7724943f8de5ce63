/* persist driver: the merge drivers that this device allows, folder by folder. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/space/drivers.h"
#include "proto/base/escape.h"
#include "proto/base/human.h"
#include "proto/base/json.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/session.h"
#include "sync/cli/term.h"
#include "sync/state/statefile.h"

enum { OPT_FOLDER, OPT_JSON };
static const struct args_option options[] = {
    {.long_name = "folder", .has_value = true},
    {.long_name = "json"},
    {0},
};

/* ---- the file of one space ---- */

static int open_dir(const struct session *s, const struct space_entry *e, int *ret_fd,
                    struct err *err)
{
    int spaces_fd;
    int rc = home_dir(&s->home, "spaces", false, &spaces_fd, err);
    if (rc < 0)
        return rc;
    rc = statefile_open_dir(spaces_fd, e->id, false, ret_fd, err);
    close(spaces_fd);
    return rc;
}

static int load(int dir_fd, const struct space_entry *e, struct drivers *ret, struct err *err)
{
    int rc = drivers_read(dir_fd, ret, err);
    return rc < 0 ? err_wrap(err, rc, "%s: the file of its drivers", e->folder) : 0;
}

/* Adds @set (or NULL) to those of a space and takes @without (or NULL) out. 1: it was there. */
static int change(const struct session *s, const struct space_entry *e, const struct driver *set,
                  const char *without, struct err *err)
{
    CLEANUP(drivers_fini) struct drivers drivers = {.v = NULL};
    CLEANUP(buf_fini) struct buf file = {0};
    int dir_fd = -1, found = 0;
    int rc = open_dir(s, e, &dir_fd, err);
    if (rc < 0)
        return err->code == 0 ? err_set(err, rc, "%s: %s", e->folder, strerror(-rc)) : rc;
    rc = load(dir_fd, e, &drivers, err);
    if (rc == 0)
        found = without != NULL && drivers_find(&drivers, bytes_str(without)) != NULL;
    if (rc == 0 && drivers_put(&drivers, set, without, &file) < 0)
        rc = err_set(err, -E2BIG, "%s: no more than %d drivers, and %d KiB of them, are allowed",
                     e->folder, DRIVERS_MAX, DRIVERS_BYTES_MAX >> 10);
    if (rc == 0 && (set != NULL || found))
        rc = statefile_write(dir_fd, DRIVERS_FILE, buf_bytes(&file), false, err);
    close(dir_fd);
    return rc < 0 ? rc : found;
}

/* ---- set ---- */

/* What others could change must not be run here: so nothing that is in a persist folder. */
static int check_outside(const struct space_list *l, const char *word, struct err *err)
{
    char shown[200];
    struct target t = {.space = NULL};
    CLEANUP(buf_fini) struct buf path = {0};
    if (word[0] != '/')
        return 0;
    int rc = resolve_path(word, true, &path, err);
    if (rc == 0)
        rc = target_place(l, (const char *)path.p, &t);
    target_fini(&t);
    if (rc == 0)
        return err_set(err, -EINVAL,
                       "%s: is in a persist folder, so other devices could change what this one "
                       "runs; put it elsewhere",
                       escape_to(shown, sizeof shown, bytes_str(word)));
    return rc == -ENOENT ? 0 : rc;
}

/* The absolute path of the program that a shell would run. */
static int find_program(const char *name, struct buf *ret, struct err *err)
{
    char shown[200];
    const char *path = getenv("PATH");
    if (strchr(name, '/') != NULL || path == NULL)
        path = "";
    for (;;) {
        size_t n = strcspn(path, ":");
        CLEANUP(buf_fini) struct buf at = {0};
        struct stat st;
        buf_put(&at, path, n);
        if (n > 0)
            buf_put_u8(&at, '/');
        buf_put(&at, name, strlen(name) + 1);
        buf_reset(ret);
        int rc = buf_status(&at) < 0 ? err_set(err, -ENOMEM, "driver: out of memory")
                                     : resolve_path((const char *)at.p, false, ret, err);
        if (rc < 0)
            return rc;
        const char *found = (const char *)ret->p;
        if ((n > 0 || strchr(name, '/') != NULL) && stat(found, &st) == 0 && S_ISREG(st.st_mode) &&
            access(found, X_OK) == 0)
            return 0;
        if (path[n] == '\0')
            return err_set(err, -ENOENT, "%s: no such program; give its path",
                           escape_to(shown, sizeof shown, bytes_str(name)));
        path += n + 1;
    }
}

static int set_on(const struct session *s, const struct space_entry *e, struct driver *d,
                  struct err *err)
{
    CLEANUP(buf_fini) struct buf program = {0};
    int lock_fd = -1;
    int rc = find_program(d->argv[0], &program, err);
    if (rc < 0)
        return rc;
    d->argv[0] = (const char *)program.p;
    for (size_t i = 0; rc == 0 && d->argv[i] != NULL; i++)
        rc = check_outside(&s->spaces, d->argv[i], err);
    if (rc == 0)
        rc = home_lock(&s->home, &lock_fd, err);
    if (rc == 0)
        rc = change(s, e, d, NULL, err);
    if (lock_fd >= 0)
        close(lock_fd);
    return rc;
}

static int find_folder(const struct session *s, const char *folder, struct target *ret,
                       struct err *err)
{
    return folder != NULL ? target_find(&s->spaces, folder, true, ret, err)
                          : target_default(&s->spaces, ret, err);
}

/* Whether a word has %@what in it; "%%" stands for a '%'. */
static bool has_place(const char *word, char what)
{
    for (; word[0] != '\0'; word++) {
        if (word[0] != '%' || word[1] == '\0')
            continue;
        if (word[1] == what)
            return true;
        word++;
    }
    return false;
}

/* A driver that does not get both versions would leave one of them out, and say that it merged. */
static bool gets_both(const struct driver *d)
{
    bool ours = false, other = false;
    for (size_t i = 1; d->argv[0] != NULL && d->argv[i] != NULL; i++) {
        ours = ours || has_place(d->argv[i], 'A');
        other = other || has_place(d->argv[i], 'B');
    }
    return ours && other;
}

static int set(const struct session *s, const struct args *a)
{
    struct err err = {0};
    struct target t = {.space = NULL};
    struct driver d = {.name = args_plain(a, 1)};
    size_t n = args_plain_n(a);
    if (n < 3)
        return fail(VERB_USAGE, "driver set: give a name and, behind '--', the command");
    if (n - 2 > DRIVER_WORDS_MAX)
        return fail(VERB_USAGE, "driver set: the command has more than %d words", DRIVER_WORDS_MAX);
    if (!drivers_name_valid(bytes_str(d.name)))
        return fail(VERB_USAGE, "driver set: a name is of letters, digits, '.', '_' and '-'");
    for (size_t i = 2; i < n; i++)
        d.argv[i - 2] = args_plain(a, i);
    if (!gets_both(&d))
        return fail(VERB_USAGE,
                    "driver set: the command has no %%A and %%B; give it both, for this "
                    "version and the other one");
    const char *folder = args_value(a, OPT_FOLDER, 0);
    int rc = find_folder(s, folder, &t, &err);
    int status = rc == -EINVAL && folder == NULL ? fail(VERB_USAGE, "%s", err.msg) : VERB_OK;
    if (rc == 0)
        rc = set_on(s, t.space, &d, &err);
    if (rc < 0 && status == VERB_OK)
        status = fail_err(&err);
    target_fini(&t);
    return status;
}

/* ---- remove ---- */

static int remove_from(const struct session *s, const char *name, const struct space_entry *only,
                       struct err *err)
{
    int found = 0, rc = 0;
    for (size_t i = 0; rc >= 0 && i < s->spaces.n; i++)
        if (only == NULL || only == &s->spaces.v[i]) {
            rc = change(s, &s->spaces.v[i], NULL, name, err);
            found += rc > 0;
        }
    return rc < 0 ? rc : found > 0 ? 0 : -ENOENT;
}

static int take_out(const struct session *s, const struct args *a)
{
    struct err err = {0};
    struct target t = {.space = NULL};
    const char *name = args_plain(a, 1), *folder = args_value(a, OPT_FOLDER, 0);
    char shown[100];
    int lock_fd = -1;
    if (args_plain_n(a) != 2)
        return fail(VERB_USAGE, "driver remove: give the name of one driver");
    int rc = folder != NULL ? target_find(&s->spaces, folder, true, &t, &err) : 0;
    if (rc == 0 && s->spaces.n > 0)
        rc = home_lock(&s->home, &lock_fd, &err);
    if (rc == 0)
        rc = remove_from(s, name, t.space, &err);
    if (lock_fd >= 0)
        close(lock_fd);
    target_fini(&t);
    if (rc == -ENOENT && err.code == 0)
        return fail(VERB_NOT_FOUND, "%s: no such driver; 'persist driver list' shows them",
                    escape_to(shown, sizeof shown, bytes_str(name)));
    return rc < 0 ? fail_err(&err) : VERB_OK;
}

/* ---- list ---- */

struct listing {
    struct json *json; /* NULL: text */
    struct table *table;
};

static void put(const struct listing *l, const struct space_entry *e, const struct driver *d)
{
    CLEANUP(buf_fini) struct buf words = {0};
    if (l->json == NULL) {
        for (size_t i = 0; d->argv[i] != NULL; i++) {
            buf_put_bytes(&words, bytes_str(i > 0 ? " " : ""));
            buf_put_bytes(&words, bytes_str(d->argv[i]));
        }
        table_cell_str(l->table, d->name);
        table_cell_str(l->table, e->folder);
        table_cell(l->table, buf_bytes(&words));
        return;
    }
    json_object(l->json);
    json_key_str(l->json, "name", d->name);
    json_key_str(l->json, "folder", e->folder);
    json_key(l->json, "command");
    json_list(l->json);
    for (size_t i = 0; d->argv[i] != NULL; i++)
        json_bytes(l->json, bytes_str(d->argv[i]));
    json_end(l->json);
    json_end(l->json);
}

static int put_all(const struct session *s, const struct space_entry *only, const struct listing *l,
                   struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->spaces.n; i++) {
        const struct space_entry *e = &s->spaces.v[i];
        CLEANUP(drivers_fini) struct drivers drivers = {.v = NULL};
        int dir_fd = -1;
        if (only != NULL && only != e)
            continue;
        rc = open_dir(s, e, &dir_fd, err);
        if (rc == 0)
            rc = load(dir_fd, e, &drivers, err);
        for (size_t k = 0; rc == 0 && k < drivers.n; k++)
            put(l, e, &drivers.v[k]);
        if (dir_fd >= 0)
            close(dir_fd);
    }
    return rc;
}

static int put_text(const struct session *s, const struct space_entry *only, struct buf *text,
                    struct err *err)
{
    static const char *const heads[] = {"NAME", "FOLDER", "COMMAND"};
    struct table t = {.columns_n = ARRAY_N(heads)};
    for (size_t i = 0; i < ARRAY_N(heads); i++)
        table_cell_str(&t, heads[i]);
    int rc = put_all(s, only, &(struct listing){.table = &t}, err);
    if (rc == 0 && t.cells_n == t.columns_n)
        buf_put_bytes(text, bytes_str("no drivers\n"));
    else if (rc == 0)
        rc = table_put(&t, term_wants_colour(), text);
    table_fini(&t);
    return rc;
}

static int put_json(const struct session *s, const struct space_entry *only, struct buf *text,
                    struct err *err)
{
    struct json j;
    json_init(&j, text);
    json_object(&j);
    json_key(&j, "drivers");
    json_list(&j);
    int rc = put_all(s, only, &(struct listing){.json = &j}, err);
    json_end(&j);
    json_end(&j);
    return rc < 0 ? rc : json_finish(&j);
}

static int list(const struct session *s, const struct args *a)
{
    struct err err = {0};
    struct target t = {.space = NULL};
    CLEANUP(buf_fini) struct buf text = {0};
    const char *folder = args_value(a, OPT_FOLDER, 0);
    if (args_plain_n(a) != 1)
        return fail(VERB_USAGE, "driver list: takes no name");
    int rc = folder != NULL ? target_find(&s->spaces, folder, true, &t, &err) : 0;
    if (rc == 0)
        rc = args_count(a, OPT_JSON) > 0 ? put_json(s, t.space, &text, &err)
                                         : put_text(s, t.space, &text, &err);
    target_fini(&t);
    if (rc < 0)
        return err.code < 0 ? fail_err(&err) : fail(VERB_FAILED, "driver: %s", strerror(-rc));
    struct term term;
    term_init(&term);
    rc = out_buf(&term.out, &text);
    return term_finish(&term, rc < 0 ? VERB_FAILED : VERB_OK);
}

/* ---- which ---- */

static int run(const struct args *a)
{
    static const struct {
        const char *name;
        int (*run)(const struct session *s, const struct args *a);
    } deeds[] = {{"set", set}, {"list", list}, {"remove", take_out}};
    struct session s = SESSION_INIT;
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_N(deeds); i++)
        if (strcmp(args_plain(a, 0), deeds[i].name) == 0) {
            int status = session_open(&s, false, &err) < 0 ? fail_err(&err) : deeds[i].run(&s, a);
            session_fini(&s);
            return status;
        }
    return fail(VERB_USAGE, "driver: say set, list or remove; 'persist driver --help' shows how");
}

const struct command command_driver = {
    .name = "driver",
    .arguments = "set NAME [--folder FOLDER] -- COMMAND... | list [--json] | remove NAME",
    .summary = "set, list or remove the merge drivers of this device",
    .help = "A .persistpolicy in the folder says which files are merged by a driver: '*.odt\n"
            "exec:NAME'. It is run only on devices that have set it, for the folders they named.\n"
            "In COMMAND %O is the file that both versions come from, %A this version, where the\n"
            "result has to be put, and %B the other one; %A and %B have to be there, status 0 says "
            "that it is there. It has\n"
            "10 seconds, 512 MiB of memory, no environment, no network and no shell.\n"
            "  --folder FOLDER  the folder that it is for; for list and remove: all, if left out\n"
            "  --json           one JSON document\n"
            "\n"
            "Examples:\n"
            "  persist driver set odt --folder ~/Notes -- /usr/local/bin/merge-odt %O %A %B\n"
            "  persist driver list\n",
    .options = options,
    .plain_min = 1,
    .plain_max = ARGS_WORDS_MAX,
    .run = run,
};
