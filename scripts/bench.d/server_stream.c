/*
 * One device that puts what it can, and another one that gets it.
 *
 *     bench_server_stream PORT PID OF_ACCOUNT MIB ENTRIES < TOKENS
 *         so many MiB of chunks of 256 KiB, pushed and then pulled; so many small entries, pushed
 *         while another device is there, and pulled by a third one
 */
#include <stdio.h>
#include <stdlib.h>

#include "load_base.h"
#include "proto/sealed/keys.h"

enum {
    CHUNK_BYTES = 256 * 1024,
    SMALL_BYTES = 200,
    ASK_CHUNKS = 64, /* at once */
    UNSENT_MAX = 1 << 20,
    WAIT_S = 300
};

struct stream {
    struct load *load;
    struct load_device *pusher, *puller, *late;
    uint64_t done; /* of the pusher's Puts */
    unsigned chunks, items;
    long pid;
};

static void on_frame(void *arg, struct load_device *d, const Persist__Frame *f)
{
    struct stream *s = arg;
    load_must_be(f->kind_case != PERSIST__FRAME__KIND_REFUSED, "the server refused a Put");
    if (f->kind_case == PERSIST__FRAME__KIND_DONE)
        s->done = f->done->id;
    else if (f->kind_case == PERSIST__FRAME__KIND_CHUNK && f->chunk->sealed.len == CHUNK_BYTES)
        s->chunks++;
    else if (f->kind_case == PERSIST__FRAME__KIND_ITEMS && d == s->puller)
        s->items += (unsigned)f->items->n_items;
}

struct timed {
    const char *what;
    uint64_t start_us;
    struct load_used used;
    double mib, n;
};

static struct timed begin(struct stream *s, const char *what, double n, double bytes)
{
    return (struct timed){what, load_now_us(), load_used_by(s->pid), n * bytes / (1 << 20), n};
}

static void end(struct stream *s, const struct timed *t)
{
    double took = (double)(load_now_us() - t->start_us) / 1e6;
    struct load_used u = load_used_by(s->pid);
    printf("%-32s %6.2f s  %6.0f MiB/s  %7.0f a second; server %.0f %% of a core, %.0f MiB\n",
           t->what, took, t->mib / took, t->n / took, 100 * (u.cpu_s - t->used.cpu_s) / took,
           u.rss_mib);
}

static void turn(struct stream *s, const struct timed *t)
{
    load_turn(s->load, 1000);
    load_must_be(load_now_us() < t->start_us + WAIT_S * UINT64_C(1000000), "it takes too long");
}

/* As many Puts of @bytes may be sent as the window and the socket take. */
static void wait_for_room(struct stream *s, const struct timed *t, size_t bytes)
{
    while ((s->pusher->puts + 1 - s->done) * bytes > FRAME_PUT_WINDOW ||
           load_unsent(s->pusher) > UNSENT_MAX)
        turn(s, t);
    load_turn(s->load, 0);
}

static void push_chunks(struct stream *s, unsigned n)
{
    static uint8_t sealed[CHUNK_BYTES];
    uint8_t id[CHUNK_ID_SIZE] = {0};
    randombytes_buf(sealed, sizeof sealed);
    sealed[0] = 0; /* it names no chunks */
    struct timed t = begin(s, "chunks, pushed", n, sizeof sealed);
    for (unsigned i = 0; i < n; i++) {
        wait_for_room(s, &t, sizeof sealed);
        put_u32(id, i);
        put_u32(sealed + 1, i);
        load_put_chunk(s->pusher, id, bytes_of(sealed, sizeof sealed));
    }
    while (s->done < s->pusher->puts)
        turn(s, &t);
    end(s, &t);
}

static void ask_chunks(struct stream *s, unsigned first, unsigned n)
{
    uint8_t id[ASK_CHUNKS][CHUNK_ID_SIZE] = {0};
    ProtobufCBinaryData ids[ASK_CHUNKS];
    Persist__GetChunks get = PERSIST__GET_CHUNKS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    for (unsigned i = 0; i < n; i++) {
        put_u32(id[i], first + i);
        ids[i] = frame_data(bytes_of(id[i], CHUNK_ID_SIZE));
    }
    get.ids = ids;
    get.n_ids = n;
    f.kind_case = PERSIST__FRAME__KIND_GET_CHUNKS;
    f.get_chunks = &get;
    load_send(s->puller, &f);
}

static void pull_chunks(struct stream *s, unsigned n)
{
    struct timed t = begin(s, "chunks, pulled", n, CHUNK_BYTES);
    for (unsigned asked = 0; s->chunks < n;) {
        unsigned more = (unsigned)min_u64(ASK_CHUNKS, n - asked);
        if (more > 0 && asked - s->chunks <= ASK_CHUNKS) {
            ask_chunks(s, asked, more);
            asked += more;
        }
        turn(s, &t);
    }
    end(s, &t);
}

static void push_entries(struct stream *s, unsigned n)
{
    struct buf entry = {0};
    load_entry(0, SMALL_BYTES, &entry);
    struct timed done = begin(s, "entries, pushed", n, (double)entry.n);
    struct timed came = begin(s, "entries, on another device", n, (double)entry.n);
    for (unsigned i = 0; i < n; i++) {
        wait_for_room(s, &done, entry.n);
        load_entry_dot(&entry, &(struct dot){7, i + UINT64_C(1)});
        load_put_entry(s->pusher, buf_bytes(&entry));
    }
    for (bool all_done = false; !all_done || s->items < n; turn(s, &came))
        if (!all_done && s->done == s->pusher->puts) {
            all_done = true;
            end(s, &done);
            if (s->items == n)
                break;
        }
    end(s, &came);
    struct timed late = begin(s, "entries, to a device that comes", n, (double)entry.n);
    load_connect(s->load, s->late);
    while (s->late->state != LOAD_OPEN)
        turn(s, &late);
    end(s, &late);
    buf_fini(&entry);
}

static unsigned number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    load_must_be(sodium_init() >= 0, "the crypto library does not start");
    load_must_be(argc == 6, "see server_stream.c for the arguments");
    unsigned n;
    struct load_device *devices = load_read_devices(number(argv[3]), &n);
    load_must_be(n >= 3 && number(argv[3]) >= 3, "three devices are needed");
    struct stream s = {.pusher = &devices[0], .puller = &devices[1], .late = &devices[2]};
    s.pid = (long)number(argv[2]);
    s.load = load_new(number(argv[1]), on_frame, &s);
    load_connect_all(s.load, devices, 2);
    push_chunks(&s, number(argv[4]) * 4);
    pull_chunks(&s, number(argv[4]) * 4);
    push_entries(&s, number(argv[5]));
    for (unsigned i = 0; i < n; i++)
        load_close(&devices[i]);
    load_free(s.load);
    free(devices);
    return 0;
}
