/* What status tells of servers and other devices: fs/space/status_links.c, rate.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/space/status_links.h"
#include "fs/space/sync.h"
#include "tests/support/json_read.h"
#include "tests/support/sync_meet.h"

enum { BIG = 3 << 20 };

#define URL "wss://server.example.org"

static int setup(void **state)
{
    static struct sync_meet w;
    static const char *const labels[] = {"anna", "bert"};
    sync_meet_open(&w, labels, 2);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    sync_meet_close(*state);
    return 0;
}

/* A link of @d that is up, and has all but what status knows better. */
static void link_up(struct device *d, struct sync_link *ret)
{
    *ret = (struct sync_link){.state = SYNC_LINK_UP, .caught_up = true, .settled = true};
    snprintf(ret->url, sizeof ret->url, URL);
    ret->remote = space_sync_remote_id(ret->url);
    struct sync_remote row = {.pushed = space_sync_last(d->s)};
    assert_int_equal(space_sync_put_remote(d->s, ret->remote, &row), 0);
    assert_int_equal(space_sync_set_link(d->s, ret), 0);
}

static void expect_text(struct device *d, const char *part, bool is)
{
    struct buf text CLEANUP(buf_fini) = {0};
    assert_int_equal(status_links_text(d->s, &text), 0);
    buf_put_u8(&text, 0);
    assert_int_equal(buf_status(&text), 0);
    if ((strstr((const char *)text.p, part) != NULL) != is)
        fail_msg("\"%s\" is %sin: %s", part, is ? "not " : "", (const char *)text.p);
}

static void expect_json(struct device *d, const char *place, const char *value)
{
    struct buf text CLEANUP(buf_fini) = {0};
    struct json j;
    char got[256];
    json_init(&j, &text);
    json_object(&j);
    assert_int_equal(status_links_json(d->s, &j), 0);
    json_end(&j);
    assert_int_equal(json_finish(&j), 0);
    buf_put_u8(&text, 0);
    assert_string_equal(json_read_at((const char *)text.p, place, got, sizeof got), value);
}

static void what_is_to_be_sent_is_told(void **state)
{
    struct sync_meet *w = *state;
    struct device *d = &w->d[0];
    struct sync_link l;
    sync_meet_sign(d);
    link_up(d, &l);
    expect_text(d, URL "  up to date\n", true);
    expect_json(d, "remotes.0.to_push", "0");
    device_save_text(d, "note", "said");
    assert_int_equal(publisher_flush(d->s), 0);
    expect_text(d, URL "  syncing, 1 to send\n", true);
    expect_json(d, "remotes.0.to_push", "1");
    sync_meet_sign(d);
    expect_text(d, URL "  syncing, 1 to send\n", true);
    expect_json(d, "remotes.0.state", "syncing");
    link_up(d, &l);
    expect_text(d, URL "  up to date\n", true);
}

/* A STATE is made by itself, and nothing that anybody saved. */
static void a_state_is_nothing_to_be_sent(void **state)
{
    struct sync_meet *w = *state;
    struct device *d = &w->d[0];
    struct sync_link l;
    device_save_text(d, "note", "said");
    sync_meet_sign(d);
    link_up(d, &l);
    uint64_t before = space_sync_last(d->s);
    assert_int_equal(space_sync_state(d->s), 1);
    assert_int_equal(space_sync_last(d->s), before + 1);
    expect_json(d, "remotes.0.to_push", "0");
    expect_text(d, "to send", false);
    device_save_text(d, "note", "said more");
    sync_meet_sign(d);
    expect_json(d, "remotes.0.to_push", "1");
}

/* A save that waits to be published is neither on a server nor on another device. */
static void a_save_that_is_pending_is_not_up_to_date(void **state)
{
    struct sync_meet *w = *state;
    struct device *d = &w->d[0];
    struct sync_link l;
    for (size_t i = 0; i < 2; i++)
        assert_in_range(space_sync_state(w->d[i].s), 0, 1);
    sync_meet_all(w, 2);
    link_up(d, &l);
    expect_json(d, "devices.0.equal", "true");
    expect_text(d, "equal to this one", true);
    publisher_hold(d->s); /* as while a big file is cut */
    device_save_text(d, "note", "said");
    assert_true(publisher_pending(d->s) > 0);
    expect_json(d, "devices.0.equal", "false");
    expect_text(d, "equal to this one", false);
    expect_json(d, "remotes.0.state", "syncing");
    expect_text(d, "up to date", false);
    expect_text(d, " to send", true);
    publisher_release(d->s);
}

static void what_is_coming_is_told(void **state)
{
    struct sync_meet *w = *state;
    static uint8_t big[BIG];
    randombytes_buf(big, sizeof big);
    device_save(&w->d[0], "big", big, sizeof big);
    expect_text(&w->d[1], "receiving", false);
    sync_meet_give_entries(w, 0, 1);
    expect_text(&w->d[1], "  receiving   1, 3.0 MiB\n", true);
    expect_json(&w->d[1], "receiving", "1");
    expect_json(&w->d[1], "receiving_bytes", "3145728");
}

static void how_a_link_is_used_is_told(void **state)
{
    struct sync_meet *w = *state;
    struct device *d = &w->d[0];
    struct sync_link l;
    sync_meet_sign(d);
    link_up(d, &l);
    expect_json(d, "remotes.0.managed", "false");
    expect_json(d, "remotes.0.up_bytes_s", "0");
    uint64_t rates = status_links_rates(d->s);
    rate_add(&l.up, space_now_ms(), 5 * 2048);
    rate_add(&l.down, space_now_ms(), 5 * 300);
    l.interval_s = 60;
    l.managed = true;
    assert_int_equal(space_sync_set_link(d->s, &l), 0);
    expect_text(d, URL "  up to date, 2.0 KiB/s sent, 300 B/s received, every 60 s, managed\n",
                true);
    expect_json(d, "remotes.0.up_bytes_s", "2048");
    expect_json(d, "remotes.0.down_bytes_s", "300");
    expect_json(d, "remotes.0.managed", "true");
    assert_int_not_equal(status_links_rates(d->s), rates);
}

static void a_rate_is_that_of_the_last_seconds(void **state)
{
    struct rate r = {0};
    (void)state;
    assert_int_equal(rate_of(&r, 7000), 0);
    rate_add(&r, 100000, 1000);
    rate_add(&r, 100999, 1000);
    rate_add(&r, 102000, 500);
    assert_int_equal(rate_of(&r, 102500), 500);
    assert_int_equal(rate_of(&r, 104999), 500);
    assert_int_equal(rate_of(&r, 105000), 100); /* the first second is gone */
    assert_int_equal(rate_of(&r, 107000), 0);
    assert_int_equal(rate_of(&r, 999000), 0);
    rate_add(&r, 1000000, 50);
    assert_int_equal(rate_of(&r, 1000000), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_to_be_sent_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_state_is_nothing_to_be_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_save_that_is_pending_is_not_up_to_date, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_coming_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(how_a_link_is_used_is_told, setup, teardown),
        cmocka_unit_test(a_rate_is_that_of_the_last_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
