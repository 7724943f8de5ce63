/*
 * tests/sim/gen - steps as people and editors would take them, drawn from a seed.
 */
#ifndef TESTS_SIM_GEN_H
#define TESTS_SIM_GEN_H

#include "tests/sim/sim.h"
#include "tests/support/crash_rand.h"

enum { GEN_QUEUE_MAX = 16 };

/* What a run is about: a bit of everything, or many conflicts of one kind. */
enum gen_theme {
    GEN_ALL,
    GEN_FOLDERS, /* moved into each other */
    GEN_FILES,   /* few names, saved and deleted again and again */
    GEN_THEMES
};

struct gen_options {
    int devices_max;
    int steps_max;
    unsigned checked; /* runs in a hundred that compare every state with a full derivation */
    bool plain;       /* only what model.py can do: no crashes, joined changes, old versions */
};

struct gen {
    struct gen_options options;
    struct crash_rand r;
    struct sim_setup setup;
    enum gen_theme theme;
    int steps;
    long long at;
    int saves;
    bool clocks, crashes, restores, aways;
    unsigned busy;                    /* of a hundred steps those that work, not meet */
    bool apart[WORLD_MAX][WORLD_MAX]; /* partitions */
    /* What a program that is at work will do next, one list for each device. */
    char queue[WORLD_MAX][GEN_QUEUE_MAX][SIM_LINE_MAX];
    int queued[WORLD_MAX];
};

/** The setup of a run. */
void gen_init(struct gen *g, const struct gen_options *options, uint64_t seed);
/** The next step: false when there are enough. It depends on what @s shows. */
bool gen_next(struct gen *g, struct sim *s, char ret[SIM_LINE_MAX]);

#endif
