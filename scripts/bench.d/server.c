/*
 * Saves of thousands of devices that are connected to a server.
 *
 *     bench_server prepare DIR ACCOUNTS OF_ACCOUNT
 *         makes a server's data: accounts with a space and so many tokens each; prints the tokens
 *     bench_server load PORT PID OF_ACCOUNT RATE SECONDS BYTES < TOKENS
 *         connects a device for each token; then RATE times in a second one of them saves a file of
 *         so many bytes, which comes to the others of its account
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "load_base.h"
#include "proto/peer_id.h"
#include "proto/sealed/keys.h"
#include "sync/server/accounts.h"
#include "sync/server/session.h"
#include "sync/server/spaces.h"

enum {
    WARM_UP_S = 5,
    WAIT_S = 60,
    OPEN_SAVES = 16 /* of a device, that are not acknowledged */
};

/* ---- the data of a server ---- */

/* The first use of a token is written to the disk; the devices are such as come again. */
static void use_token(struct srv_accounts *accounts, const char *text, unsigned number)
{
    struct srv_login login = {.arg = NULL};
    uint8_t key[SIGN_KEY_SIZE];
    uint8_t peer[PEER_ID_BYTES];
    struct err err = {0};
    load_identity(number, key);
    peer_id_of_key(key, peer);
    load_must(
        srv_login(accounts, bytes_str(text), peer, bytes_of(NULL, 0), srv_now_ms(), &login, &err),
        "a login");
    srv_logout(accounts, &login, srv_now_ms());
}

static void make_account(struct srv_accounts *accounts, struct srv_spaces *spaces, unsigned n,
                         unsigned tokens)
{
    char name[32];
    char text[TOKEN_TEXT_SIZE];
    struct srv_user user;
    struct srv_token token;
    struct err err = {0};
    snprintf(name, sizeof name, "user%u", n);
    load_must(srv_user_add(accounts, name, 0, 0, srv_now_ms(), &user, &err), "a user");
    for (unsigned i = 0; i < tokens; i++) {
        load_must(srv_token_create(accounts, name, "device", srv_now_ms(), text, &token, &err),
                  "a token");
        use_token(accounts, text, n * tokens + i);
        puts(text);
    }
    uint8_t act[LOAD_GENESIS_SIZE];
    struct act_id id;
    struct srv_at at = {.account = user.account};
    load_genesis(n, act, &id);
    memcpy(at.space, id.b, SPACE_ID_SIZE);
    load_must(srv_push_act(spaces, &at, bytes_of(act, sizeof act), srv_now_ms(), NULL, &err),
              "a space");
}

static void prepare(const char *dir, unsigned accounts_n, unsigned of_account)
{
    struct srv_store *store;
    struct srv_accounts *accounts;
    struct srv_spaces *spaces;
    struct err err = {0};
    load_must(srv_store_open(dir, true, &store, &err), "the store");
    load_must(srv_accounts_open(store, &accounts, &err), "the accounts");
    load_must(srv_spaces_open(store, 0, &spaces, &err), "the spaces");
    for (unsigned i = 0; i < accounts_n; i++)
        make_account(accounts, spaces, i, of_account);
    load_must(srv_spaces_sync(spaces), "sync");
    srv_spaces_close(spaces);
    srv_accounts_close(accounts);
    srv_store_close(store);
}

/* ---- saves ---- */

struct wish {
    unsigned port, of_account, rate, seconds, bytes;
    long pid;
};

struct save {
    uint64_t began_us;
    unsigned left; /* devices that it has not come to */
};

/* What is known of a device besides its connection. */
struct saver {
    uint64_t done;             /* the id of its last Put that was acknowledged */
    unsigned open[OPEN_SAVES]; /* saves that are not, by the id of the Put */
};

struct bench {
    struct wish wish;
    struct load *load;
    struct load_device *devices;
    struct saver *savers;
    struct buf *entries; /* of each account */
    unsigned devices_n, accounts_n;
    uint64_t random;
    struct save *saves;
    unsigned saves_n;
    uint32_t *done_us, *came_us; /* how long each took, in the order in which they ended */
    unsigned done_n, came_n;
};

static unsigned below(struct bench *b, unsigned n)
{
    b->random = b->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((b->random >> 33) % n);
}

static void note_done(struct bench *b, const struct load_device *d, uint64_t id)
{
    struct saver *s = &b->savers[d->number];
    uint64_t now = load_now_us();
    while (s->done < id) {
        unsigned k = s->open[++s->done % OPEN_SAVES];
        b->done_us[b->done_n++] = (uint32_t)(now - b->saves[k].began_us);
    }
}

/* The counter of its dot is the number of the save, from 1 on. */
static void note_item(struct bench *b, struct bytes entry)
{
    uint64_t number = load_entry_dot_of(entry).counter;
    load_must_be(number > 0 && number <= b->saves_n, "an entry came that nobody saved");
    struct save *s = &b->saves[number - 1];
    load_must_be(s->left > 0, "an entry came twice");
    if (--s->left == 0)
        b->came_us[b->came_n++] = (uint32_t)(load_now_us() - s->began_us);
}

static void on_frame(void *arg, struct load_device *d, const Persist__Frame *f)
{
    struct bench *b = arg;
    load_must_be(f->kind_case != PERSIST__FRAME__KIND_REFUSED, "the server refused an entry");
    if (f->kind_case == PERSIST__FRAME__KIND_DONE)
        note_done(b, d, f->done->id);
    for (size_t i = 0; f->kind_case == PERSIST__FRAME__KIND_ITEMS && i < f->items->n_items; i++)
        note_item(b, frame_bytes(f->items->items[i]->entry));
}

static void save(struct bench *b)
{
    struct load_device *d;
    do
        d = &b->devices[below(b, b->devices_n)];
    while (d->puts - b->savers[d->number].done >= OPEN_SAVES);
    struct buf *entry = &b->entries[d->number / b->wish.of_account];
    struct dot dot = {d->number + UINT64_C(1), b->saves_n + UINT64_C(1)};
    load_entry_dot(entry, &dot);
    b->saves[b->saves_n] = (struct save){load_now_us(), b->wish.of_account - 1};
    load_put_entry(d, buf_bytes(entry));
    b->savers[d->number].open[d->puts % OPEN_SAVES] = b->saves_n++;
}

/* Keeps the rate: when it was late, it catches up. Then waits until all is where it is to be. */
static void save_for(struct bench *b, unsigned seconds)
{
    unsigned before = b->saves_n;
    uint64_t start = load_now_us();
    for (uint64_t us = 0; us < seconds * UINT64_C(1000000); us = load_now_us() - start) {
        while (b->saves_n - before < us * b->wish.rate / 1000000)
            save(b);
        load_turn(b->load, 1);
    }
    uint64_t until = load_now_us() + WAIT_S * UINT64_C(1000000);
    while (b->came_n < b->saves_n || b->done_n < b->saves_n) {
        load_turn(b->load, 100);
        load_must_be(load_now_us() < until, "saves did not come to all devices");
    }
}

static int by_value(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void print_times(const char *what, uint32_t *us, size_t n)
{
    static const unsigned thousandths[] = {500, 950, 990, 999, 1000};
    load_must_be(n > 0, "nothing was saved");
    qsort(us, n, sizeof *us, by_value);
    printf("%-24s", what);
    for (size_t i = 0; i < ARRAY_N(thousandths); i++)
        printf(" p%g %.1f ms ", thousandths[i] / 10.0, us[(n - 1) * thousandths[i] / 1000] / 1e3);
    puts("");
}

static void measure(struct bench *b)
{
    const struct wish *w = &b->wish;
    struct load_used used = load_used_by(w->pid);
    uint64_t start = load_now_us();
    load_connect_all(b->load, b->devices, b->devices_n);
    double took = (double)(load_now_us() - start) / 1e6;
    printf("%u devices came in %.1f s\n", b->devices_n, took);
    load_print_used(w->pid, "while they came", used, took);
    used = load_used_by(w->pid);
    sleep(WARM_UP_S);
    load_print_used(w->pid, "idle", used, WARM_UP_S);
    save_for(b, WARM_UP_S);
    unsigned first = b->saves_n;
    used = load_used_by(w->pid);
    struct load_used own = load_used_by(getpid());
    start = load_now_us();
    save_for(b, w->seconds);
    took = (double)(load_now_us() - start) / 1e6;
    load_print_used(w->pid, "under load", used, took);
    unsigned n = b->saves_n - first;
    printf("this program             %.0f %% of a core\n",
           100 * (load_used_by(getpid()).cpu_s - own.cpu_s) / took);
    printf("saves                    %u in %.1f s, %zu bytes sealed, each for %u other devices\n",
           n, took, b->entries[0].n, w->of_account - 1);
    print_times("until acknowledged", b->done_us + first, n);
    print_times("until on the last device", b->came_us + first, n);
}

static void load(const struct wish *w)
{
    struct bench b = {.wish = *w, .random = 7};
    b.load = load_new(w->port, on_frame, &b);
    b.devices = load_read_devices(w->of_account, &b.devices_n);
    b.accounts_n = b.devices_n / w->of_account;
    size_t saves = (size_t)w->rate * (w->seconds + WARM_UP_S) + 1;
    b.entries = calloc(b.accounts_n, sizeof *b.entries);
    b.savers = calloc(b.devices_n, sizeof *b.savers);
    b.saves = calloc(saves, sizeof *b.saves);
    b.done_us = calloc(saves, sizeof *b.done_us);
    b.came_us = calloc(saves, sizeof *b.came_us);
    load_must_be(b.entries != NULL && b.savers != NULL && b.saves != NULL && b.done_us != NULL &&
                     b.came_us != NULL,
                 "out of memory");
    for (unsigned i = 0; i < b.accounts_n; i++)
        load_entry(i, w->bytes, &b.entries[i]);
    measure(&b);
    for (unsigned i = 0; i < b.devices_n; i++)
        load_close(&b.devices[i]);
    for (unsigned i = 0; i < b.accounts_n; i++)
        buf_fini(&b.entries[i]);
    load_free(b.load);
    void *const all[] = {b.entries, b.savers, b.saves, b.done_us, b.came_us, b.devices};
    for (size_t i = 0; i < ARRAY_N(all); i++)
        free(all[i]);
}

static unsigned number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    load_must_be(sodium_init() >= 0, "the crypto library does not start");
    if (argc == 5 && strcmp(argv[1], "prepare") == 0) {
        prepare(argv[2], number(argv[3]), number(argv[4]));
        return 0;
    }
    load_must_be(argc == 8 && strcmp(argv[1], "load") == 0, "see server.c for the arguments");
    load(&(struct wish){.port = number(argv[2]),
                        .pid = (long)number(argv[3]),
                        .of_account = number(argv[4]),
                        .rate = number(argv[5]),
                        .seconds = number(argv[6]),
                        .bytes = number(argv[7])});
    return 0;
}
