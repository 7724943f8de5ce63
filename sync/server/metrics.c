#include "sync/server/metrics.h"

#include <inttypes.h>
#include <stdio.h>

#include "sync/server/managed.h"

enum metric_type { COUNTER, GAUGE };

static void put(struct buf *b, const char *name, enum metric_type type, const char *help,
                uint64_t v)
{
    char text[400];
    int n = snprintf(text, sizeof text,
                     "# HELP persist_%s %s\n# TYPE persist_%s %s\npersist_%s %" PRIu64 "\n", name,
                     help, name, type == COUNTER ? "counter" : "gauge", name, v);
    if (n > 0)
        buf_put(b, text, min_u64((uint64_t)n, sizeof text - 1));
}

int srv_metrics_put(struct srv_hub *h, struct srv_accounts *accounts, struct srv_spaces *spaces,
                    struct srv_managed *managed, const struct srv_mailbox_stats *mailboxes,
                    struct buf *ret)
{
    struct srv_hub_stats hub = srv_hub_stats(h);
    struct srv_managed_stats m = srv_managed_stats(managed);
    struct srv_stats s;
    int rc = srv_spaces_stats(spaces, &s);
    if (rc < 0)
        return rc;
    const struct {
        const char *name;
        enum metric_type type;
        const char *help;
        uint64_t v;
    } rows[] = {
        {"connections", GAUGE, "connections with a token", hub.sessions},
        {"devices", GAUGE, "devices that have proved their identity", srv_logins(accounts)},
        {"sessions_total", COUNTER, "sessions opened", hub.opened},
        {"sessions_failed_total", COUNTER, "sessions ended by an error", hub.ended},
        {"sent_items_total", COUNTER, "entries and acts sent", hub.items},
        {"sent_chunks_total", COUNTER, "chunks sent", hub.chunks},
        {"passed_chunks_total", COUNTER, "chunks sent on as they came", hub.passed},
        {"sent_bytes_total", COUNTER, "bytes of frames sent", hub.sent_bytes},
        {"pushed_entries_total", COUNTER, "entries stored", s.entries},
        {"pushed_acts_total", COUNTER, "acts stored", s.acts},
        {"pushed_chunks_total", COUNTER, "chunks stored", s.chunks},
        {"pushed_again_total", COUNTER, "pushes of what was there already", s.there},
        {"refused_malformed_total", COUNTER, "pushes that are malformed", s.refused},
        {"refused_quota_total", COUNTER, "pushes over a quota", s.over_quota},
        {"refused_full_total", COUNTER, "pushes while the disk was full", s.no_space},
        {"delayed_total", COUNTER, "pushes that came too fast", s.over_rate},
        {"syncs_total", COUNTER, "syncs of the store", s.syncs},
        {"swept_bytes_total", COUNTER, "bytes dropped by retention", s.swept.bytes},
        {"stored_bytes", GAUGE, "bytes stored for all accounts", s.stored.bytes},
        {"stored_entries", GAUGE, "entries and acts stored", s.stored.entries},
        {"stored_chunks", GAUGE, "chunks stored", s.stored.chunks},
        {"stored_spaces", GAUGE, "spaces", s.stored.spaces},
        {"managed_spaces", GAUGE, "spaces that this server is a member of", m.spaces},
        {"mirror_runs_total", COUNTER, "mirrors written", m.mirror_runs},
        {"mirror_failed_total", COUNTER, "mirrors that could not be written", m.mirror_failed},
        {"mailboxes", GAUGE, "codes that a device may be let in with", mailboxes->open},
        {"mailboxes_total", COUNTER, "mailboxes made", mailboxes->made},
        {"mailbox_joins_total", COUNTER, "mailboxes joined", mailboxes->joined},
        {"mailbox_refused_total", COUNTER, "joins refused", mailboxes->refused},
        {"mirror_kept_total", COUNTER, "old mirrors kept aside by the brake", m.mirror_braked},
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++)
        put(ret, rows[i].name, rows[i].type, rows[i].help, rows[i].v);
    return buf_status(ret);
}
