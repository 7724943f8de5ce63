#include "tests/support/apart.h"

#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sync/links/p2p_file.h"

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    abort();
}

void apart_network(void)
{
    static bool done;
    struct ifreq lo = {.ifr_name = "lo"};
    if (done || unshare(CLONE_NEWNET) < 0)
        return;
    done = true;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &lo) == 0, "the loopback interface");
    lo.ifr_flags |= IFF_UP;
    must(ioctl(fd, SIOCSIFFLAGS, &lo) == 0, "the loopback interface");
    close(fd);
}

void apart_no_direct_links(int dir_fd)
{
    struct p2p_file f;
    struct err err = {0};
    bool good = p2p_file_open(dir_fd, &f, &err) == 0 &&
                p2p_file_set(&f, bytes_of(NULL, 0), false, true, &err) == 0;
    must(good, err.msg);
    p2p_file_fini(&f);
}
