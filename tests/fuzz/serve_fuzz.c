/*
 * What another device says on a link: both halves of a session, over a real space. The input is
 * frames, each with its length (varint); every other answer is left unread. Whatever comes, what is
 * sent fits its frame, and nothing is sent where there is no room.
 */
#include <stdlib.h>

#include "proto/base/log.h"
#include "sync/engine/serve.h"
#include "sync/engine/session.h"
#include "tests/support/device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES = 8, ROOM = 16, BIG = 300000 };

#define URL "/p2p/fuzz"

static struct device device;
static size_t room;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool can_send(void *arg)
{
    (void)arg;
    return room > 0;
}

static void on_send(void *arg, const Persist__Frame *f)
{
    struct buf b = {0};
    Persist__Frame *again;
    (void)arg;
    must(frame_encode(f, &b) == 0);
    must(frame_decode(buf_bytes(&b), &again) == 0);
    frame_free(again);
    buf_fini(&b);
    room -= room > 0;
}

static void on_serve_send(void *arg, const Persist__Frame *f)
{
    must(can_send(arg));
    on_send(arg, f);
}

static void on_room(void *arg, const char *why)
{
    (void)arg;
    (void)why;
}

static void on_failed(void *arg, uint64_t after_ms, const char *why)
{
    (void)arg;
    (void)after_ms;
    (void)why;
}

static void stop(void)
{
    device_close(&device);
}

static void start(void)
{
    static uint8_t big[BIG];
    log_set_level(LOG_LEVEL_NONE);
    device_found(&device, "fuzz", 1);
    for (size_t i = 0; i < BIG; i++)
        big[i] = (uint8_t)(i * i >> 7);
    device_save(&device, "big", big, sizeof big);
    for (char name[] = "a"; name[0] < 'a' + FILES; name[0]++)
        device_save_text(&device, name, name);
    must(publisher_flush(device.s) == 0 && space_sync_collect(device.s) >= 0);
    atexit(stop);
}

/* The other device is this one: it is a member. */
static void begin(struct sync_serve **serve, struct sync_session **session)
{
    struct sync_serve_config a = {.space = device.s,
                                  .remote = space_sync_remote_id(URL),
                                  .send = on_serve_send,
                                  .can_send = can_send,
                                  .failed = on_failed};
    struct sync_session_config b = {.space = device.s,
                                    .sources = device.sources,
                                    .url = URL,
                                    .peer = true,
                                    .send = on_send,
                                    .can_send = can_send,
                                    .room = on_room,
                                    .failed = on_failed};
    memcpy(a.peer, device.member->pub.identity, SIGN_KEY_SIZE);
    must(space_sync_forget_remote(device.s, a.remote) == 0);
    must(sync_serve_new(&a, serve) == 0 && sync_session_new(&b, session) == 0);
    room = ROOM;
    sync_session_start(*session);
}

/* The id of the space is another one each time: an input cannot have it. */
static void name_space(Persist__Frame *f)
{
    struct space_id id;
    if (f->kind_case == PERSIST__FRAME__KIND_OPEN && f->open->space.data[0] == 0 &&
        space_sync_id(device.s, &id) == 0)
        memcpy(f->open->space.data, id.b, SPACE_ID_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(bytes_of(data, size));
    struct sync_serve *serve;
    struct sync_session *session;
    Persist__Frame *f;
    if (device.s == NULL)
        start();
    begin(&serve, &session);
    for (uint64_t n = 1; r.n > 0; n++) {
        if (frame_decode(reader_string(&r, FRAME_MAX), &f) < 0)
            break;
        name_space(f);
        if (sync_serve_is_for(f))
            sync_serve_frame(serve, f);
        else
            (void)sync_session_frame(session, f, n);
        frame_free(f);
        (void)sync_session_pump(session, n, false);
        sync_serve_pump(serve);
        room += room < ROOM && n % 2 == 0;
    }
    (void)sync_serve_is_settled(serve);
    sync_session_free(session);
    sync_serve_free(serve);
    return 0;
}
