/* persist clone: joins a space through a server, and mounts it. */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "proto/base/human.h"
#include "proto/frame.h"
#include "proto/sealed/door.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/identity.h"
#include "sync/cli/joining.h"
#include "sync/cli/remote.h"
#include "sync/cli/remote_ca.h"
#include "sync/cli/session.h"
#include "sync/cli/term.h"
#include "sync/net/ws_url.h"

enum { SHOWN_MAX = 5, LIST_SIZE = 400 };
enum { OPT_SPACE, OPT_TOKEN_FILE, OPT_PASSPHRASE_FILE, OPT_NAME, OPT_CA, OPT_INSECURE };
static const struct args_option options[] = {
    {.long_name = "space", .has_value = true},
    {.long_name = "token-file", .has_value = true},
    {.long_name = "passphrase-file", .has_value = true},
    {.long_name = "name", .has_value = true},
    {.long_name = "ca", .has_value = true},
    {.long_name = "insecure"},
    {0},
};

/* All that is asked for, and what was found. */
struct request {
    struct session session;
    struct identity identity;
    struct buf folder, ca_file;
    char url[WS_URL_SIZE];
    const char *space, *name, *passphrase_file;
    bool insecure;
    struct secret token;
    char passphrase[PASSPHRASE_MAX];
    size_t passphrase_n;
    struct space_id id;
    bool goes_on;          /* the folder is one of this device: of a clone that was interrupted */
    struct space_id begun; /* which is its space then */
    struct keyring keys;
    union { /* of sodium_malloc() */
        struct door door;
        struct grant grant;
    } * opened;
};

static void request_fini(struct request *r)
{
    session_fini(&r->session);
    buf_fini(&r->folder);
    buf_fini(&r->ca_file);
    secret_wipe(&r->token);
    sodium_memzero(r->passphrase, sizeof r->passphrase);
    keyring_fini(&r->keys);
    sodium_free(r->opened);
}

/* ---- what is needed ----------------------------------------------------------------------------
 */

/* What a signal ends while nothing is shown leaves the terminal as it was. */
static struct termios shown_mode;

static void show_again(int signal)
{
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown_mode);
    (void)raise(signal);
}

static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

/* One that is ignored stays so, and nobody stops it: what is typed later would be shown. */
static void catch_ending(struct sigaction old[static ARRAY_N(ending)])
{
    struct sigaction act = {.sa_flags = (int)SA_RESETHAND};
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < ARRAY_N(ending); i++) {
        (void)sigaction(ending[i], NULL, &old[i]);
        bool ends = ending[i] != SIGTSTP && old[i].sa_handler != SIG_IGN;
        act.sa_handler = ends ? show_again : SIG_IGN;
        (void)sigaction(ending[i], &act, NULL);
    }
}

/* Asks on the terminal, without showing what is typed. */
static int ask_passphrase(struct secret *ret, struct err *err)
{
    struct sigaction old[ARRAY_N(ending)];
    struct termios quiet;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &shown_mode) < 0)
        return err_set(err, -EINVAL, "clone: no passphrase is given; use --passphrase-file");
    quiet = shown_mode;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    fprintf(stderr, "passphrase: ");
    fflush(stderr);
    catch_ending(old);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    bool got = fgets(ret->text, sizeof ret->text, stdin) != NULL;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown_mode);
    for (size_t i = 0; i < ARRAY_N(ending); i++)
        (void)sigaction(ending[i], &old[i], NULL);
    fprintf(stderr, "\n");
    ret->n = got ? strcspn(ret->text, "\n") : 0;
    return got ? 0 : err_set(err, -EINVAL, "clone: no passphrase was typed");
}

static int take_passphrase(struct request *r, struct err *err)
{
    struct secret typed;
    const char *file = r->passphrase_file;
    int rc = file != NULL ? secretfile_read(file, &typed, err) : ask_passphrase(&typed, err);
    if (rc < 0)
        return rc;
    int n = passphrase_normal(bytes_of(typed.text, typed.n), r->passphrase);
    secret_wipe(&typed);
    if (n < 0)
        return err_set(err, -EINVAL, "clone: the passphrase is shorter than %d bytes or too long",
                       PASSPHRASE_MIN);
    r->passphrase_n = (size_t)n;
    return 0;
}

static int take(const struct args *a, struct request *r, struct err *err)
{
    struct ws_url u;
    const char *ca = args_value(a, OPT_CA, 0);
    r->insecure = args_count(a, OPT_INSECURE) > 0;
    r->space = args_value(a, OPT_SPACE, 0);
    r->name = args_value(a, OPT_NAME, 0);
    r->passphrase_file = args_value(a, OPT_PASSPHRASE_FILE, 0);
    if (r->name != NULL && !spaces_name_valid(r->name))
        return err_set(err, -EINVAL, "clone: the name must be 1 to 64 bytes of plain text");
    int rc = ws_url_parse(args_plain(a, 0), r->insecure, &u, err);
    if (rc < 0)
        return rc;
    ws_url_text(&u, r->url);
    rc = ca == NULL ? 0 : resolve_path(ca, true, &r->ca_file, err);
    if (rc == 0)
        rc = remote_token(args_value(a, OPT_TOKEN_FILE, 0), &r->token, err);
    return rc == 0 && r->passphrase_file != NULL ? take_passphrase(r, err) : rc;
}

/* A folder of this device is gone on with; which space it has to be of shows later. */
static int check(struct request *r, const char *path, struct err *err)
{
    int rc = resolve_path(path, true, &r->folder, err);
    if (rc == 0)
        rc = session_open(&r->session, false, err);
    if (rc < 0)
        return rc;
    const struct space_entry *here = spaces_at(&r->session.spaces, (const char *)r->folder.p);
    r->goes_on = here != NULL;
    if (r->goes_on) {
        remote_space_id(here, r->begun.b);
    } else {
        session_fini(&r->session);
        rc = joining_check(path, &r->session, &r->folder, err);
    }
    return rc == 0 ? identity_load(&r->session.home, &r->identity, err) : rc;
}

/* Whether this device has the space, elsewhere than where it is to be cloned to. */
static bool has_elsewhere(const struct request *r, const struct space_id *id)
{
    return spaces_of_id(&r->session.spaces, id) != NULL &&
           !(r->goes_on && memcmp(id->b, r->begun.b, SPACE_ID_SIZE) == 0);
}

/* ---- the server --------------------------------------------------------------------------------
 */

static void fill_remote(struct request *r, Persist__Remote *ret)
{
    static char no_file[] = "";
    persist__remote__init(ret);
    ret->url = r->url;
    ret->token = r->token.text;
    ret->ca_file = r->ca_file.n > 0 ? (char *)r->ca_file.p : no_file;
    ret->insecure = r->insecure;
}

static int ask_spaces(struct request *r, Persist__Local **ret, struct err *err)
{
    Persist__Remote remote;
    Persist__RemoteSpaces ask = PERSIST__REMOTE_SPACES__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT;
    fill_remote(r, &remote);
    ask.remote = &remote;
    f.kind_case = PERSIST__LOCAL__KIND_REMOTE_SPACES;
    f.remote_spaces = &ask;
    return remote_ask(&r->session, &f, ret, err);
}

/* Tries the passphrase on one space: 1 it opens, 0 it is another's. */
static int try_door(struct request *r, const Persist__Spaces__Space *sp, struct err *err)
{
    uint8_t salt[DOOR_SALT_SIZE];
    struct door_key key;
    struct bytes blob = frame_bytes(sp->door);
    memcpy(r->id.b, sp->id.data, SPACE_ID_SIZE);
    if (blob.n == 0 || door_salt(blob, salt) < 0)
        return 0;
    int rc = door_key_init(&key, bytes_of(r->passphrase, r->passphrase_n), salt);
    if (rc < 0)
        return err_set(err, rc, "clone: deriving the key of the passphrase: %s", strerror(-rc));
    rc = door_open(blob, &key, &r->id, &r->opened->door);
    door_key_fini(&key);
    if (rc < 0)
        return 0;
    rc = keyring_join(&r->keys, &r->id, &r->opened->door);
    return rc < 0 ? err_set(err, rc, "clone: keeping the keys: %s", strerror(-rc)) : 1;
}

static bool is_wanted(const struct request *r, const Persist__Spaces__Space *sp)
{
    char text[SPACE_ID_TEXT_SIZE];
    sodium_bin2hex(text, sizeof text, sp->id.data, SPACE_ID_SIZE);
    return r->space == NULL || strncasecmp(text, r->space, strlen(r->space)) == 0;
}

/* Appends what is known of the spaces that are wanted (of all: @all), as far as a line holds it. */
static void put_spaces(const struct request *r, const Persist__Spaces *list, bool all, char *line,
                       size_t size)
{
    size_t n = 0, at = 0;
    line[0] = '\0';
    for (size_t i = 0; i < list->n_spaces; i++) {
        const Persist__Spaces__Space *sp = list->spaces[i];
        char id[SPACE_ID_TEXT_SIZE], made[HUMAN_MAX], bytes[HUMAN_MAX];
        if ((!all && !is_wanted(r, sp)) || n++ >= SHOWN_MAX)
            continue;
        sodium_bin2hex(id, sizeof id, sp->id.data, SPACE_ID_SIZE);
        int k = snprintf(line + at, size - at, "%s%.8s (made %.10s, %s%s)", at > 0 ? ", " : "", id,
                         human_time(sp->created_ms, made), human_bytes(sp->bytes, bytes),
                         sp->managed ? "" : ", with a passphrase");
        at += k > 0 && (size_t)k < size - at ? (size_t)k : 0;
    }
    if (n > SHOWN_MAX)
        (void)snprintf(line + at, size - at, ", and %zu more", n - SHOWN_MAX);
}

static int none_wanted(const struct request *r, const Persist__Spaces *list, struct err *err)
{
    char line[LIST_SIZE];
    put_spaces(r, list, true, line, sizeof line);
    if (r->space == NULL || line[0] == '\0')
        return err_set(err, -ENOENT,
                       "clone: the server has no %s that can be joined; 'persist remote add' on "
                       "another device puts it there",
                       r->space != NULL ? "such space" : "space");
    return err_set(err, -ENOENT, "clone: the server has no such space; the account has %s", line);
}

/* Whether --space names one that there is. */
static bool any_wanted(const struct request *r, const Persist__Spaces *list)
{
    for (size_t i = 0; i < list->n_spaces; i++)
        if (is_wanted(r, list->spaces[i]))
            return true;
    return false;
}

/* ---- a space that the server itself is a member of ----------------------------------------------
 */

static int open_grant(struct request *r, const struct space_member *me, struct bytes blob,
                      struct err *err)
{
    int rc = grant_open(blob, &me->keys, &r->opened->grant);
    if (rc == 0 && memcmp(r->opened->grant.space.b, r->id.b, SPACE_ID_SIZE) != 0)
        rc = -EBADMSG;
    if (rc < 0)
        return err_set(err, rc, "clone: what the server granted makes no sense: %s", strerror(-rc));
    rc = keyring_grant(&r->keys, &r->opened->grant);
    return rc < 0 ? err_set(err, rc, "clone: keeping the keys: %s", strerror(-rc)) : 0;
}

/* Asks the server to make this device a member. */
static int ask_to_join(struct request *r, const struct space_member *me, struct err *err)
{
    uint8_t keys[ACT_MEMBER_SIZE];
    Persist__Remote remote;
    Persist__RemoteJoin join;
    Persist__Local f = PERSIST__LOCAL__INIT, *answer;
    memcpy(keys, me->pub.identity, SIGN_KEY_SIZE);
    memcpy(keys + SIGN_KEY_SIZE, me->pub.sign, SIGN_KEY_SIZE);
    memcpy(keys + 2 * SIGN_KEY_SIZE, me->pub.box, BOX_KEY_SIZE);
    persist__remote_join__init(&join);
    fill_remote(r, &remote);
    remote.space = frame_data(bytes_of(r->id.b, SPACE_ID_SIZE));
    join.remote = &remote;
    join.member = frame_data(bytes_of(keys, sizeof keys));
    join.label = r->identity.label;
    f.kind_case = PERSIST__LOCAL__KIND_REMOTE_JOIN;
    f.remote_join = &join;
    int rc = remote_ask(&r->session, &f, &answer, err);
    if (rc < 0)
        return rc;
    rc = open_grant(r, me, frame_bytes(answer->reply->grant), err);
    frame_local_free(answer);
    return rc;
}

static int join_managed(struct request *r, const Persist__Spaces__Space *sp, struct err *err)
{
    struct space_member me;
    memcpy(r->id.b, sp->id.data, SPACE_ID_SIZE);
    int rc = identity_member(&r->session.home, &r->identity, &me, err);
    if (rc < 0)
        return rc;
    rc = ask_to_join(r, &me, err);
    space_member_fini(&me);
    return rc;
}

/* The only one that there is: 1; 0 there is none. */
static int find_managed(struct request *r, const Persist__Spaces *list, struct err *err)
{
    const Persist__Spaces__Space *found = NULL;
    for (size_t i = 0; i < list->n_spaces; i++) {
        struct space_id id;
        memcpy(id.b, list->spaces[i]->id.data, SPACE_ID_SIZE);
        if (!list->spaces[i]->managed || !is_wanted(r, list->spaces[i]) || has_elsewhere(r, &id))
            continue;
        if (found != NULL) {
            char line[LIST_SIZE];
            put_spaces(r, list, false, line, sizeof line);
            return err_set(err, -EINVAL,
                           "clone: the server has several spaces: %s; choose one with --space ID",
                           line);
        }
        found = list->spaces[i];
    }
    if (found == NULL)
        return 0;
    int rc = join_managed(r, found, err);
    return rc < 0 ? rc : 1;
}

/* ---- a space behind a passphrase
 * ----------------------------------------------------------------- */

/* The space that the passphrase opens. */
static int find_space(struct request *r, const Persist__Spaces *list, struct err *err)
{
    size_t behind_doors = 0;
    for (size_t i = 0; i < list->n_spaces; i++) {
        if (!is_wanted(r, list->spaces[i]))
            continue;
        behind_doors += list->spaces[i]->door.len > 0;
        int rc = try_door(r, list->spaces[i], err);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
    if (behind_doors == 0)
        return none_wanted(r, list, err);
    return err_set(err, -EACCES,
                   "clone: the passphrase is wrong; it is the one that 'persist "
                   "remote add' showed on another device");
}

static int find(struct request *r, const Persist__Spaces *list, struct err *err)
{
    if (r->space != NULL && !any_wanted(r, list))
        return none_wanted(r, list, err);
    int rc = r->passphrase_file == NULL ? find_managed(r, list, err) : 0;
    if (rc == 0 && r->passphrase_file == NULL)
        rc = take_passphrase(r, err);
    if (rc == 0)
        rc = find_space(r, list, err);
    return rc < 0 ? rc : 0;
}

static int choose(struct request *r, struct err *err)
{
    Persist__Local *answer;
    int rc = ask_spaces(r, &answer, err);
    if (rc < 0)
        return rc;
    ProtobufCBinaryData raw = answer->reply->spaces;
    Persist__Spaces *list = persist__spaces__unpack(NULL, raw.len, raw.data);
    if (list == NULL)
        rc = err_set(err, -EBADMSG, "clone: the server's list of spaces makes no sense");
    else
        rc = find(r, list, err);
    persist__spaces__free_unpacked(list, NULL);
    frame_local_free(answer);
    return rc;
}

/* ---- joining -----------------------------------------------------------------------------------
 */

static int create(struct request *r, const struct space_entry **ret, struct err *err)
{
    struct space_list *l = &r->session.spaces;
    const struct space_entry *here = spaces_of_id(l, &r->id);
    if (here != NULL && has_elsewhere(r, &r->id))
        return err_set(err, -EEXIST, "clone: this device has it already, at %s; 'persist mount' it",
                       here->folder);
    *ret = here;
    return here != NULL ? 0
                        : joining_create(&r->session, "clone", (const char *)r->folder.p, r->name,
                                         &r->keys, ret, err);
}

static int add_remote(struct request *r, struct err *err)
{
    Persist__Remote remote;
    Persist__RemoteAdd add = PERSIST__REMOTE_ADD__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT, *answer;
    fill_remote(r, &remote);
    remote.space = frame_data(bytes_of(r->id.b, SPACE_ID_SIZE));
    add.remote = &remote;
    f.kind_case = PERSIST__LOCAL__KIND_REMOTE_ADD;
    f.remote_add = &add;
    int rc = remote_ask(&r->session, &f, &answer, err);
    if (rc == 0)
        frame_local_free(answer);
    return rc;
}

static int join(struct request *r, const struct space_entry **ret, struct err *err)
{
    int lock_fd;
    int rc = session_lock(&r->session, &lock_fd, err);
    if (rc < 0)
        return rc;
    rc = create(r, ret, err);
    close(lock_fd);
    if (rc < 0)
        return rc;
    rc = add_remote(r, err);
    struct err ignored = {0};
    if (rc < 0 && !r->goes_on)
        (void)!spaces_remove(&r->session.home, *ret, &ignored);
    return rc;
}

static int run(const struct args *a)
{
    CLEANUP(request_fini) struct request r = {.session = SESSION_INIT};
    struct err err = {0};
    const struct space_entry *e = NULL;
    if (sodium_init() < 0 || (r.opened = sodium_malloc(sizeof *r.opened)) == NULL)
        return fail(VERB_FAILED, "clone: out of memory");
    int rc = take(a, &r, &err);
    if (rc == 0)
        rc = check(&r, args_plain(a, 1), &err);
    if (rc == 0)
        rc = remote_ca(&r.session.home, &r.ca_file, &err);
    if (rc == 0)
        rc = choose(&r, &err);
    if (rc == 0)
        rc = join(&r, &e, &err);
    if (rc < 0)
        return remote_fail(&err);
    int status = joining_mount(&r.session, "clone", e);
    return status != VERB_OK ? status : joining_first_sync(&r.session, e);
}

const struct command command_clone = {
    .name = "clone",
    .arguments = "URL FOLDER [OPTIONS]",
    .summary = "join a folder through a server, and mount it",
    .help =
        "Returns when the tree is there; what is big may still be coming ('persist status').\n"
        "When it was interrupted, the same command goes on.\n"
        "  --passphrase-file F  what 'persist remote add' showed; else the one folder that the\n"
        "                       server is itself a member of is joined (remote add --managed),\n"
        "                       and if there is none the passphrase is asked for\n"
        "  --token-file F       this device's token for the server; else $PERSIST_DEVICE_TOKEN\n"
        "  --space ID           which of the account's spaces: the beginning of its id, as an\n"
        "                       error lists them, and 'persist remote list --json' on a device\n"
        "                       that has it; else the one that the passphrase opens, or the\n"
        "                       only one\n"
        "  --name NAME          its name on this device; else the last part of the path\n"
        "  --ca F               trust the authorities in F (PEM; copied), not the system's\n"
        "  --insecure           ws:// to another machine, where nobody can listen in\n"
        "\n"
        "Example:\n"
        "  mkdir ~/Notes && persist clone wss://sync.example.org ~/Notes --token-file token\n",
    .options = options,
    .plain_min = 2,
    .plain_max = 2,
    .run = run,
};
