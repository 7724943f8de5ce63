/* Three documents: what is merged is JSON again, has no key that none has, and one edit is itself.
 */
#include "fs/merge/json.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_key(const struct json_tree *t, struct bytes name)
{
    const struct json_node *root = json_node(t, 0);
    return root->type == JSON_OBJECT && json_find(t, 0, name) != JSON_NONE;
}

static void check_keys(struct bytes old, struct bytes new, struct bytes merged)
{
    struct json_tree t, x, y;
    must(json_tree_init(&t, merged) == 0 && json_tree_init(&x, old) == 0 &&
         json_tree_init(&y, new) == 0);
    const struct json_node *root = json_node(&t, 0);
    for (uint32_t i = root->first; root->type == JSON_OBJECT && i != JSON_NONE;) {
        const struct json_node *n = json_node(&t, i);
        must(has_key(&x, n->name) || has_key(&y, n->name));
        i = n->next;
    }
    json_tree_fini(&t);
    json_tree_fini(&x);
    json_tree_fini(&y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in[3];
    struct buf got = {0};
    parts_of(data, size, 3, in);
    if (json_merge(in[0], in[1], in[2], &got) == 1)
        check_keys(in[1], in[2], buf_bytes(&got));
    buf_reset(&got);
    if (json_merge(in[0], in[2], in[2], &got) == 1)
        must(bytes_equal(buf_bytes(&got), in[2]));
    buf_fini(&got);
    return 0;
}
