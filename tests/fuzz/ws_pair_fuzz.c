/* The path that who asks for a mailbox names. */
#include "sync/net/ws_pair.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char again[WS_PAIR_PATH_SIZE], nameplate[WS_PAIR_DIGITS + 1];
    unsigned n;
    bool inviting;
    char *path = malloc(size + 1);
    must(path != NULL);
    memcpy(path, data, size);
    path[size] = '\0';
    if (ws_pair_path_parse(path, &n, &inviting) == 0) {
        must(n < WS_PAIR_NAMEPLATES);
        for (unsigned i = WS_PAIR_DIGITS, rest = n; i > 0; rest /= 10)
            nameplate[--i] = (char)('0' + rest % 10);
        nameplate[WS_PAIR_DIGITS] = '\0';
        must(ws_pair_path(nameplate, inviting, again, NULL) == 0);
        must(strcmp(again, path) == 0);
    }
    free(path);
    return 0;
}
