/* The rules of a folder, as its file of them was published last. */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/ignore_priv.h"
#include "fs/space/path.h"
#include "fs/space/versions.h"
#include "proto/base/log.h"

static void refuse(struct space *s, const struct rid *dir, const struct dot *version)
{
    CLEANUP(buf_fini) struct buf path = {0};
    if (dot_equal(version, &s->ignore->refused))
        return;
    s->ignore->refused = *version;
    if (path_of_record(s, dir, &path) < 0 || path.n == 0)
        buf_put_u8(&path, '.');
    buf_put_u8(&path, 0);
    if (buf_status(&path) == 0)
        log_warn("%s/.persistignore: more than %d KiB, %d lines or %d bytes in a line; none of its "
                 "rules holds until it is made shorter",
                 (const char *)path.p, IGNORE_FILE_MAX >> 10, IGNORE_LINES_MAX, IGNORE_LINE_MAX);
}

static int load(struct space *s, struct ignore_slot *slot)
{
    struct replica_entry e;
    struct replica_info info;
    int rc = replica_lookup(s->replica, &slot->dir, bytes_str(IGNORE_RULES), &e);
    if (rc < 0 || rid_kind(&e.rid) != KIND_FILE)
        return rc == -ENOENT ? 0 : rc;
    rc = replica_stat(s->replica, &e.rid, &info);
    if (rc < 0 || dot_is_none(&info.content.dot))
        return rc;
    CLEANUP(buf_fini) struct buf text = {0};
    struct ignore_rules rules = {.text = {0}};
    rc = info.content.size > IGNORE_FILE_MAX ? -E2BIG
                                             : version_bytes(s, &e.rid, &info.content, &text);
    if (rc == 0)
        rc = ignore_rules_parse(buf_bytes(&text), &rules);
    if (rc == -E2BIG)
        refuse(s, &slot->dir, &info.content.dot);
    if (rc < 0 && rc != -E2BIG)
        return rc == -ENOENT ? -EUCLEAN : rc;
    slot->file = e.rid;
    slot->rules = malloc(sizeof rules);
    if (slot->rules == NULL) {
        ignore_rules_fini(&rules);
        return -ENOMEM;
    }
    *slot->rules = rules;
    return 0;
}

int ignore_slot(struct space *s, const struct rid *dir, const struct ignore_slot **ret)
{
    struct ignore *g = s->ignore;
    size_t at = get_u64(dir->b + RID_SIZE - 8) % IGNORE_SLOTS;
    while (g->slots[at].used && !rid_equal(&g->slots[at].dir, dir))
        at = (at + 1) % IGNORE_SLOTS;
    struct ignore_slot *slot = &g->slots[at];
    if (!slot->used) {
        *slot = (struct ignore_slot){.dir = *dir};
        int rc = load(s, slot);
        if (rc < 0)
            return rc;
        slot->used = true;
        g->slots_n++;
    }
    *ret = slot;
    return 0;
}
