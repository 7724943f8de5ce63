#include "tests/support/lan.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_BYTES = 1024 };

static int this_net(void)
{
    return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* A new one, which is not entered. */
static int new_net(void)
{
    int home = this_net();
    int made = home >= 0 && unshare(CLONE_NEWNET) == 0 ? this_net() : -1;
    if (home >= 0) {
        ok(setns(home, CLONE_NEWNET));
        close(home);
    }
    ok(made);
    return made;
}

bool lan_sh(int net, const char *fmt, ...)
{
    char line[LINE_BYTES];
    int status = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (setns(net, CLONE_NEWNET) == 0)
            execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    bool good = pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
    if (!good)
        check_fail("'%s' gave %d", line, WEXITSTATUS(status));
    return good;
}

/* @w has hosts with cables, and addresses nowhere yet. */
static bool make(struct lan *w, size_t n)
{
    *w = (struct lan){.host = {-1, -1, -1}, .middle = new_net()};
    bool good = w->middle >= 0 && lan_sh(w->middle, "ip link set lo up");
    for (size_t i = 0; good && i < n; i++) {
        w->host[w->n++] = new_net();
        good = w->host[i] >= 0 &&
               lan_sh(w->middle,
                      "ip link add c%zu type veth peer name eth0 && "
                      "ip link set eth0 netns /proc/%d/fd/%d && ip link set c%zu up",
                      i, (int)getpid(), w->host[i], i) &&
               lan_sh(w->host[i], "ip link set lo up && ip link set eth0 up");
    }
    return good;
}

bool lan_bridged(struct lan *w, size_t n)
{
    bool good =
        make(w, n) && lan_sh(w->middle, "ip link add name lan type bridge && ip link set lan up");
    for (size_t i = 0; good && i < n; i++)
        good = lan_sh(w->middle, "ip link set c%zu master lan", i) &&
               lan_sh(w->host[i], "ip address add 10.77.0.%zu/24 dev eth0", i + 1);
    return good;
}

bool lan_routed(struct lan *w, size_t n)
{
    bool good = make(w, n) && lan_sh(w->middle, "echo 1 >/proc/sys/net/ipv4/ip_forward");
    for (size_t i = 0; good && i < n; i++)
        good = lan_sh(w->middle, "ip address add 10.77.%zu.1/24 dev c%zu", i + 1, i) &&
               lan_sh(w->host[i],
                      "ip address add 10.77.%zu.2/24 dev eth0 && "
                      "ip route add default via 10.77.%zu.1",
                      i + 1, i + 1);
    return good;
}

void lan_end(struct lan *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->host[i] >= 0)
            close(w->host[i]);
    if (w->middle >= 0)
        close(w->middle);
    *w = (struct lan){.middle = -1};
}

bool lan_move(const struct lan *w, size_t i, const char *from, const char *to)
{
    return lan_sh(w->host[i],
                  "r=$(ip route show default); ip address del %s dev eth0 && "
                  "ip address add %s dev eth0 && { test -z \"$r\" || ip route replace $r; }",
                  from, to);
}
