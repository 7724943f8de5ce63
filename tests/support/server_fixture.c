#include "tests/support/server_fixture.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/state/statefile.h"
#include "tests/support/scratch.h"

enum { SEALED_MIN = 24 + 256 + 16 };

void server_fixture_open(struct server_fixture *f)
{
    struct err err = {.code = 0};
    if (srv_store_open(f->dir, true, &f->store, &err) < 0 ||
        srv_accounts_open(f->store, &f->accounts, &err) < 0 ||
        srv_spaces_open(f->store, f->rate_s, &f->spaces, &err) < 0)
        fail_msg("%s", err.msg);
}

void server_fixture_close(struct server_fixture *f)
{
    srv_spaces_close(f->spaces);
    srv_accounts_close(f->accounts);
    srv_store_close(f->store);
    f->spaces = NULL;
    f->accounts = NULL;
    f->store = NULL;
}

void server_fixture_reopen(struct server_fixture *f)
{
    server_fixture_close(f);
    server_fixture_open(f);
}

int server_fixture_setup(void **state)
{
    struct server_fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -1;
    if (!scratch_dir(f->top, sizeof f->top, "server"))
        return -1;
    snprintf(f->dir, sizeof f->dir, "%s/data", f->top);
    f->now_ms = SERVER_START_MS;
    server_fixture_open(f);
    *state = f;
    if (srv_user_add(f->accounts, "anna", 0, 0, f->now_ms, &f->anna, NULL) < 0 ||
        srv_user_add(f->accounts, "ben", 0, 0, f->now_ms, &f->ben, NULL) < 0)
        return -1;
    return 0;
}

int server_fixture_teardown(void **state)
{
    struct server_fixture *f = *state;
    server_fixture_close(f);
    int rc = statefile_remove_tree(AT_FDCWD, f->top, NULL);
    free(f);
    return rc;
}

void server_genesis(unsigned n, struct buf *ret)
{
    buf_reset(ret);
    buf_put_bytes(ret, bytes_str("genesis "));
    buf_put_u32(ret, n);
}

struct srv_at server_at(uint64_t account, unsigned n, uint8_t token)
{
    struct srv_at at = {.account = account, .token = {token}};
    struct buf act = {0};
    server_genesis(n, &act);
    struct act_id id = act_id_of(buf_bytes(&act));
    memcpy(at.space, id.b, sizeof at.space);
    buf_fini(&act);
    return at;
}

struct srv_at server_make_space(struct server_fixture *f, uint64_t account, unsigned n)
{
    struct srv_at at = server_at(account, n, 1);
    struct buf act = {0};
    server_genesis(n, &act);
    assert_int_equal(srv_push_act(f->spaces, &at, buf_bytes(&act), f->now_ms, NULL, &f->err), 1);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    buf_fini(&act);
    return at;
}

static void put_refs(struct buf *b, const struct server_entry *e)
{
    buf_put_varint(b, 0);
    buf_put_varint(b, e->replaced_n);
    for (size_t i = 0; i < e->replaced_n; i++)
        dot_put(b, &e->replaced[i]);
    buf_put_varint(b, e->chunks_n);
    buf_put(b, e->chunks, e->chunks_n * CHUNK_ID_SIZE);
}

static void put_many(struct buf *b, uint8_t v, size_t n)
{
    while (n-- > 0)
        buf_put_u8(b, v);
}

void server_entry(const struct srv_at *at, const struct server_entry *e, struct buf *ret)
{
    struct buf refs = {0};
    uint8_t hash[HASH_SIZE];
    put_refs(&refs, e);
    struct bytes part = buf_bytes(&refs);
    hash_parts(NULL, "persist.refs.1", &part, 1, hash);
    buf_reset(ret);
    put_many(ret, e->epoch, 16);
    buf_put_u8(ret, 1);
    buf_put_u8(ret, e->kind == ENTRY_STATE ? ENTRY_STATE : ENTRY_VALUE);
    buf_put_u16(ret, 0);
    buf_put(ret, at->space, SPACE_ID_SIZE);
    dot_put(ret, &e->dot);
    buf_put_u64(ret, 7);
    buf_put(ret, hash, sizeof hash);
    put_many(ret, 9, HASH_SIZE);
    buf_put_bytes(ret, buf_bytes(&refs));
    buf_put_u16(ret, 0);
    buf_put_u8(ret, 0);
    put_many(ret, 8, 64);
    put_many(ret, e->fill, e->sealed_n == 0 ? SEALED_MIN : e->sealed_n);
    buf_fini(&refs);
    assert_int_equal(buf_status(ret), 0);
}

int server_push(struct server_fixture *f, const struct srv_at *at, const struct server_entry *e)
{
    struct buf b = {0};
    server_entry(at, e, &b);
    f->err = (struct err){.code = 0};
    int rc = srv_push_entry(f->spaces, at, buf_bytes(&b), f->now_ms, NULL, &f->err);
    buf_fini(&b);
    return rc;
}

int server_push_value(struct server_fixture *f, const struct srv_at *at, uint64_t replica,
                      uint64_t counter, uint8_t fill)
{
    struct server_entry e = {.dot = {replica, counter}, .fill = fill};
    return server_push(f, at, &e);
}

void server_chunk_id(unsigned n, uint8_t ret[CHUNK_ID_SIZE])
{
    memset(ret, 0xc0, CHUNK_ID_SIZE);
    put_u32(ret, n);
}

int server_push_chunk(struct server_fixture *f, const struct srv_at *at, unsigned n,
                      const uint8_t *names, size_t names_n, uint8_t fill, size_t size)
{
    uint8_t id[CHUNK_ID_SIZE];
    struct buf b = {0};
    server_chunk_id(n, id);
    buf_put_varint(&b, names_n);
    buf_put(&b, names, names_n * CHUNK_ID_SIZE);
    while (b.n < size)
        buf_put_u8(&b, fill);
    assert_int_equal(buf_status(&b), 0);
    f->err = (struct err){.code = 0};
    struct srv_chunk c = {id, buf_bytes(&b)};
    int rc = srv_push_chunk(f->spaces, at, &c, f->now_ms, &f->err);
    buf_fini(&b);
    return rc;
}

int server_see_item(void *arg, const struct srv_item *item)
{
    struct server_seen *seen = arg;
    unsigned *const of[] = {
        [SRV_ACT] = &seen->acts, [SRV_VALUE] = &seen->values, [SRV_STATE] = &seen->states};
    assert_true(item->bytes.n > 0);
    seen->n++;
    ++*of[item->kind];
    seen->last_seq = item->seq;
    seen->last_dot = item->dot;
    seen->bytes += item->bytes.n;
    seen->fills += item->bytes.p[item->bytes.n - 1];
    return 0;
}

int server_see_chunk(void *arg, const struct srv_chunk *c)
{
    struct server_seen *seen = arg;
    seen->n++;
    seen->bytes += c->sealed.n;
    seen->fills += c->sealed.p[c->sealed.n - 1];
    return 0;
}

struct server_seen server_read_log(struct server_fixture *f, const struct srv_at *at)
{
    struct server_seen seen = {0};
    struct srv_cursor c = {0};
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    do {
        uint64_t before = seen.last_seq;
        int rc = srv_log_read(f->spaces, at, SRV_LOG_ALL, 10000, server_see_item, &seen, &c);
        assert_int_equal(rc, 0);
        assert_true(!c.more || seen.last_seq > before);
    } while (c.more);
    return seen;
}

void server_check_usage(struct server_fixture *f, uint64_t account)
{
    struct srv_usage is = {0};
    struct srv_usage counted = {0};
    assert_int_equal(srv_spaces_usage(f->spaces, account, &is), 0);
    assert_int_equal(srv_spaces_recount(f->spaces, account, &counted), 0);
    assert_memory_equal(&is, &counted, sizeof is);
}

/* ---- other processes ---------------------------------------------------------------------------
 */

pid_t server_start_again(struct server_fixture *f, const char *what, uint64_t from, int *ret_fd)
{
    int ends[2];
    char account[32];
    char number[32];
    snprintf(account, sizeof account, "%" PRIu64, f->anna.account);
    snprintf(number, sizeof number, "%" PRIu64, from);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl("/proc/self/exe", "again", what, f->dir, account, number, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *ret_fd = ends[0];
    return pid;
}

void server_kill_again(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status)) /* it gave up before */
        fail_msg("the other process ended with %d", WEXITSTATUS(status));
}

bool server_is_again(int argc, char **argv, struct server_fixture *ret, uint64_t *ret_from)
{
    if (argc != 5)
        return false;
    *ret = (struct server_fixture){.anna = {.account = strtoull(argv[3], NULL, 10)}};
    snprintf(ret->dir, sizeof ret->dir, "%s", argv[2]);
    *ret_from = strtoull(argv[4], NULL, 10);
    return true;
}
