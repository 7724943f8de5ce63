/* A policy that came from another device, against a path: the first part is the path. */
#include "fs/merge/policy.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in[2];
    struct policy p;
    struct err e = {0};
    parts_of(data, size, 2, in);
    int rc = policy_parse(in[1], &p, &e);
    struct strategy s = policy_find(&p, in[0]);
    must((rc < 0) == (e.msg[0] != '\0') && (rc == 0 || s.kind == STRATEGY_DEFAULT));
    must((s.kind == STRATEGY_EXEC) == (s.driver.n > 0));
    policy_fini(&p);
    return 0;
}
