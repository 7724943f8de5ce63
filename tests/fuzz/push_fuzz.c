/* What devices push to a server, and the tokens they show: what is accepted lies within its bytes.
 */
#include <stdlib.h>

#include "proto/sealed/entry.h"
#include "sync/server/spaces_priv.h"
#include "sync/server/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct bytes in, const uint8_t *p, size_t n)
{
    if (n > 0 && (p < in.p || p + n > in.p + in.n))
        abort();
}

static void check_entry(struct bytes in)
{
    struct entry e;
    if (entry_parse_sealed(in, &e) < 0)
        return;
    if (!dot_valid(&e.head.dot) ||
        (e.head.kind == ENTRY_STATE && e.refs.chunks.n + e.refs.replaced.n > 0))
        abort();
    check_within(in, e.refs.chunks.p, e.refs.chunks.n * CHUNK_ID_SIZE);
    check_within(in, e.refs.replaced.p, e.refs.replaced.n * DOT_SIZE);
}

static void check_chunk(struct bytes in)
{
    struct chunk_ids names;
    if (row_chunk_names(in, &names) == 0)
        check_within(in, names.p, names.n * CHUNK_ID_SIZE);
}

static void check_token(struct bytes in)
{
    struct token t;
    char text[TOKEN_TEXT_SIZE];
    if (token_parse(in, &t) == 0 && !bytes_equal(bytes_str(token_text(&t, text)), in))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    check_entry(in);
    check_chunk(in);
    check_token(in);
    return 0;
}
