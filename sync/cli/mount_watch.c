#include "sync/cli/mount_watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sync/cli/mounts.h"

enum { LOOK_MS = 5, GRACE_LOOKS = 40, LOOKS = 2000 }; /* the end of a process takes a moment */

/* As the owner of the mount may; or as root, where the control file system is not mounted. */
static void abort_connection(const char *folder)
{
    char path[64];
    struct err err = {0};
    unsigned device = 0;
    if (mounts_device(folder, &device, &err) != 1)
        return;
    snprintf(path, sizeof path, "/sys/fs/fuse/connections/%u/abort", device);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, "1", 1) == 1;
    if (fd >= 0)
        close(fd);
    if (!done)
        (void)!umount2(folder, MNT_FORCE | UMOUNT_NOFOLLOW);
}

/* Whether other threads than the first, which is dead, are there. */
static bool has_threads(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    DIR *d = opendir(path);
    int n = 0;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d != NULL)
        closedir(d);
    return n > 1;
}

/*
 * As long as it has threads it has its lock, so no other process mounts this folder, and the mount
 * that is found is its own.
 */
static void watch(const char *folder, pid_t mount, const sigset_t *death)
{
    int sig;
    if (getppid() == mount)
        (void)sigwait(death, &sig);
    for (int i = 1; i < LOOKS && has_threads(mount); i++) {
        if (i % GRACE_LOOKS == 0)
            abort_connection(folder);
        usleep(LOOK_MS * 1000);
    }
}

int mount_watch_start(const char *folder, struct err *err)
{
    sigset_t all, death, before;
    pid_t mount = getpid();
    sigfillset(&all);
    sigemptyset(&death);
    sigaddset(&death, SIGUSR1);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGUSR1);
        prctl(PR_SET_NAME, "persist-watch");
        close_range(0, ~0U, 0);
        watch(folder, mount, &death);
        _exit(0);
    }
    int rc = pid < 0 ? -errno : 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return rc < 0 ? err_set(err, rc, "the process that watches the mount: %s", strerror(-rc)) : 0;
}
