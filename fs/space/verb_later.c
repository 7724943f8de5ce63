#include <errno.h>
#include "fs/space/import.h"
#include "fs/space/verb.h"
#define LATER(v) int v(struct space *s, const struct verb_call *call, struct out *out) { (void)s; (void)call; out_error(out, #v ": not in this build"); return VERB_FAILED; }
LATER(verb_check) 
