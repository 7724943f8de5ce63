/*
 * tests/preload/hostile - what hostile code tries, inside a process that it runs in: all that gives
 * it a file, a key or a process that is not its own.
 *
 * With LD_PRELOAD it is in the program itself: the first wait for the network after a SIGUSR1 makes
 * all attempts, in the thread that serves the network, and notes what became of each in the file
 * that PERSIST_TEST_HOSTILE names, which is mapped before the process is confined.
 */
#ifndef TESTS_PRELOAD_HOSTILE_H
#define TESTS_PRELOAD_HOSTILE_H

#include <stdatomic.h>

enum { HOSTILE_PATH = 160, HOSTILE_SOCKET = 100, HOSTILE_NAME = 64, HOSTILE_ATTEMPTS = 96 };

struct hostile {
    char home[HOSTILE_PATH];      /* the state directory of the device */
    char space[HOSTILE_PATH];     /* of the folder, in there: spaces/ID */
    char folder[HOSTILE_PATH];    /* mounted; with a file `victim` in it */
    char private[HOSTILE_PATH];   /* any directory of the user, with `victim` and a link `link` */
    char control[HOSTILE_SOCKET]; /* the mount's control socket */
    int mount, watch;             /* processes */
    atomic_int n;                 /* attempts that were made */
    atomic_int done;
    struct {
        char name[HOSTILE_NAME];
        int error; /* 0: it did it */
    } attempts[HOSTILE_ATTEMPTS];
};

/** Makes all attempts. */
void hostile_attack(struct hostile *h);

#endif
