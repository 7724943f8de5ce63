#include "tests/support/sealed_fixture.h"

#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void fixed_seed(const char *label, unsigned n, uint8_t ret[static SEED_SIZE])
{
    uint8_t number[4];
    must(sodium_init() >= 0);
    put_u32(number, n);
    hash_parts(NULL, label, &(struct bytes){number, sizeof number}, 1, ret);
}

struct member_keys sealed_member(unsigned n)
{
    uint8_t seed[SEED_SIZE];
    struct member_keys k;
    fixed_seed("test.member", n, seed);
    must(member_keys_init(&k, seed) == 0);
    return k;
}

struct member_public sealed_public(unsigned n)
{
    struct member_public p;
    struct member_keys k = sealed_member(n), device = sealed_member(n + 1000);
    memcpy(p.identity, device.sign_public, SIGN_KEY_SIZE);
    memcpy(p.sign, k.sign_public, SIGN_KEY_SIZE);
    memcpy(p.box, k.box_public, BOX_KEY_SIZE);
    return p;
}

struct epoch_keys sealed_epoch(unsigned n)
{
    uint8_t seed[EPOCH_KEY_SIZE];
    struct epoch_keys k;
    fixed_seed("test.epoch", n, seed);
    must(epoch_keys_init(&k, seed) == 0);
    return k;
}

struct space_id sealed_space(unsigned n)
{
    struct space_id id = {{0x5a}};
    put_u32(id.b + 1, n);
    return id;
}

struct entry_head sealed_head(uint64_t replica, uint64_t counter)
{
    return (struct entry_head){.kind = ENTRY_VALUE,
                               .space = sealed_space(1),
                               .dot = {replica, counter},
                               .stamp = 0x123456789a};
}

void sealed_entry(unsigned n, const struct entry_head *h, const struct entry_refs *refs,
                  struct bytes plain, struct buf *ret)
{
    static const struct entry_refs none;
    struct member_keys k = sealed_member(n);
    struct entry_draft d;
    must(entry_draft_init(&d, h, refs == NULL ? &none : refs, plain) == 0);
    must(entry_sign(&k, &d, 1, ret) == 0);
    entry_draft_fini(&d);
    member_keys_fini(&k);
}

size_t sealed_flips(struct bytes in, bool (*accepts)(void *ctx, struct bytes in), void *ctx)
{
    size_t accepted = 0;
    /* An exact copy, so that a sanitizer sees a read past the end. */
    uint8_t *copy = malloc(in.n);
    must(copy != NULL);
    memcpy(copy, in.p, in.n);
    for (size_t bit = 0; bit < in.n * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        accepted += accepts(ctx, bytes_of(copy, in.n));
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(copy);
    return accepted;
}
