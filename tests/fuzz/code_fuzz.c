/* What a person types for a code. */
#include "sync/pair/code.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pair_code c, again;
    struct err e = {0};
    char text[PAIR_CODE_TEXT_SIZE], plate[PAIR_NAMEPLATE_SIZE];
    if (pair_code_parse(bytes_of(data, size), &c, &e) < 0) {
        must(e.msg[0] != '\0');
        return 0;
    }
    must(pair_code_parse(bytes_str(pair_code_text(&c, text)), &again, &e) == 0);
    must(memcmp(&c, &again, sizeof c) == 0);
    must(strcmp(pair_code_nameplate(&c, plate), text + PAIR_CODE_LETTERS + 1) == 0);
    return 0;
}
