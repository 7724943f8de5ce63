#include "tests/support/hostile_world.h"

#include "proto/base/log.h"

int hostile_world_setup(void **state)
{
    const struct hostile_world *h = *state;
    static const char *const labels[DEVICES] = {"anna", "bert"};
    log_set_level(LOG_LEVEL_NONE);
    memset(h->on, 0, DEVICES * sizeof *h->on);
    sync_meet_open(h->w, labels, DEVICES);
    hostile_server_start(h->bad);
    hostile_server_start(h->good);
    return 0;
}

int hostile_world_teardown(void **state)
{
    const struct hostile_world *h = *state;
    for (size_t i = 0; i < DEVICES; i++)
        online_stop(&h->on[i]);
    hostile_server_stop(h->bad);
    hostile_server_stop(h->good);
    sync_meet_close(h->w);
    return 0;
}
