/* Entries and chunks from others: parsing refuses, or what it accepts lies within the input. */
#include <stdlib.h>

#include "proto/sealed/chunk.h"
#include "proto/sealed/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_within(struct bytes part, struct bytes in)
{
    if (part.n > 0 && (part.p < in.p || part.p + part.n > in.p + in.n))
        abort();
}

/* Everything that a receiver may look at. */
static void look(const struct entry *e, struct bytes in)
{
    uint8_t hash[HASH_SIZE];
    must_be_within(e->open, in);
    must_be_within(bytes_of(e->refs.acts.p, e->refs.acts.n * ACT_ID_SIZE), in);
    must_be_within(bytes_of(e->refs.replaced.p, e->refs.replaced.n * DOT_SIZE), in);
    must_be_within(bytes_of(e->refs.chunks.p, e->refs.chunks.n * CHUNK_ID_SIZE), in);
    must_be_within(e->plain, in);
    must_be_within(e->sealed, in);
    entry_root(e, hash);
    if (!dot_valid(&e->head.dot) || e->sign.depth > LIMIT_TREE_DEPTH)
        abort();
}

/* The hash of the refs is made right, as an attacker would. */
static void parse(const uint8_t *data, size_t size, bool sealed)
{
    uint8_t *copy = malloc(size);
    if (copy == NULL)
        return;
    memcpy(copy, data, size);
    size_t head = sealed ? EPOCH_ID_SIZE : 0;
    if (size > head + ENTRY_HEAD_SIZE) {
        struct reader r =
            reader_of(bytes_of(copy + head + ENTRY_HEAD_SIZE, size - head - ENTRY_HEAD_SIZE));
        const uint8_t *refs = r.p;
        (void)act_ids_read(&r);
        (void)dots_read_set(&r, LIMIT_REPLACED);
        (void)chunk_ids_read(&r);
        struct bytes raw = bytes_of(refs, (size_t)(r.p - refs));
        hash_parts(NULL, SEAL_LABEL_REFS, &raw, 1, copy + head + 44);
    }
    struct entry e;
    struct bytes in = bytes_of(copy, size);
    if ((sealed ? entry_parse_sealed(in, &e) : entry_parse_stored(in, &e)) == 0)
        look(&e, in);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chunk_ids names;
    if (size == 0)
        return 0;
    parse(data, size, true);
    parse(data, size, false);
    if (chunk_names(bytes_of(data, size), &names) == 0)
        must_be_within(bytes_of(names.p, names.n * CHUNK_ID_SIZE), bytes_of(data, size));
    return 0;
}
