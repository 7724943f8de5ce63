/* What confined processes can do and what not, each in a child that is confined and tries. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/cli/confine.h"
#include "sync/net/ws_tls.h"
#include "sync/state/statefile.h"
#include "tests/support/check.h"
#include "tests/support/scratch.h"

enum { USER = 65533 };

static char top[64];
static int sync_fd, run_fd, listen_fd;
static size_t kernel; /* of those that are tried */

/* ---- the fixture: a state directory, and a socket that listens in it ---- */

static int path_at(char to[static 128], const char *name)
{
    return snprintf(to, 128, "%s/%s", top, name);
}

static void put(const char *name, const char *text)
{
    char path[128];
    path_at(path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ok(fd);
    same(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void make_directory(const char *name)
{
    char path[128];
    path_at(path, name);
    ok(mkdir(path, 0700));
}

static struct sockaddr_un address(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s/run/sync.sock", top);
    return a;
}

static void fill(void)
{
    char path[128];
    struct sockaddr_un a = address();
    make_directory("sync");
    make_directory("run");
    make_directory("spaces");
    put("sync/remotes", "own");
    put("run/mount-notes.pid", "1");
    put("spaces/member", "seed");
    path_at(path, "sync");
    sync_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    path_at(path, "run");
    run_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ok(bind(listen_fd, (struct sockaddr *)&a, sizeof a));
}

/* Runs @fn in a child, as root and as another user, in a directory of that user. */
static void in_children(void (*fn)(void))
{
    check_reset();
    const uid_t users[] = {getuid(), USER};
    for (size_t i = 0; i < (getuid() == 0 ? 2 : 1); i++) {
        assert_true(scratch_dir(top, sizeof top, "confine"));
        assert_int_equal(chown(top, users[i], users[i]), 0);
        check_about("user %u, kernel %zu", (unsigned)users[i], kernel);
        pid_t pid = check_fork();
        if (pid == 0) {
            if (users[i] != getuid() && (setresgid(users[i], users[i], users[i]) < 0 ||
                                         setresuid(users[i], users[i], users[i]) < 0))
                check_fail("changing the user");
            fill();
            fn();
            check_child_end();
        }
        check_join(pid);
        struct err err = {0};
        assert_int_equal(statefile_remove_tree(AT_FDCWD, top, &err), 0);
    }
    if (check_failures() > 0)
        fail();
}

static void confine_now(void)
{
    struct err err = {0};
    if (confine_sync(sync_fd, run_fd, &err) < 0)
        check_fail("%s", err.msg);
}

/* Programs that must not run are /bin/false: one that did would end the child with a failure. */

/* ---- the sync process ---- */

static void *note_thread(void *arg)
{
    *(int *)arg = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return NULL;
}

static void look_up(const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    same(getaddrinfo(host, NULL, &hints, &list), 0);
    if (list != NULL)
        freeaddrinfo(list);
}

static void use_network(void)
{
    struct sockaddr_nl own = {.nl_family = AF_NETLINK, .nl_groups = 1};
    pthread_t thread;
    int fd = -1;
    ok(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ok(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ok(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP));
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    ok(bind(netlink, (struct sockaddr *)&own, sizeof own));
    same(pthread_create(&thread, NULL, note_thread, &fd), 0);
    same(pthread_join(thread, NULL), 0);
    holds(fd >= 0);
    look_up("localhost");
    look_up("127.0.0.1");
}

static void use_own_files(void)
{
    struct err err = {0};
    struct buf got = {0};
    ok(statefile_read(sync_fd, "remotes", 64, &got, &err));
    ok(statefile_write(sync_fd, "remotes", bytes_str("new"), false, &err));
    ok(statefile_write(sync_fd, "p2p", bytes_str("fresh"), true, &err));
    ok(unlinkat(run_fd, "sync.sock", 0));
    buf_fini(&got);
}

static void use_system_files(void)
{
    struct err err = {0};
    SSL_CTX *roots = NULL;
    ok(close(open("/etc/hosts", O_RDONLY | O_CLOEXEC)));
    ok(close(open("/dev/urandom", O_RDONLY | O_CLOEXEC)));
    ok(close(open("/etc/ssl/certs", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    same(ws_tls_client(NULL, &roots, &err), 0);
    SSL_CTX_free(roots);
}

static void accept_one(void)
{
    struct sockaddr_un a = address();
    int ready = eventfd(0, EFD_CLOEXEC);
    pid_t pid = check_fork(); /* not confined: it was started before */
    if (pid == 0) {
        eventfd_t n;
        eventfd_read(ready, &n);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ok(connect(fd, (struct sockaddr *)&a, sizeof a));
        check_child_end();
    }
    confine_now();
    ok(listen(listen_fd, 4));
    eventfd_write(ready, 1);
    ok(accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    check_join(pid);
}

static void keep_what_it_needs(void)
{
    struct rlimit r;
    accept_one();
    use_network();
    use_own_files();
    use_system_files();
    ok(kill(getpid(), 0));
    ok(syscall(SYS_tgkill, getpid(), gettid(), 0));
    ok(getrlimit(RLIMIT_NOFILE, &r));
    ok(setrlimit(RLIMIT_NOFILE, &r));
    same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}

static void the_sync_process_keeps_what_it_needs(void **state)
{
    (void)state;
    in_children(keep_what_it_needs);
}

static void try_files(void)
{
    char path[128], other[128];
    path_at(path, "spaces/member");
    fails(open(path, O_RDONLY | O_CLOEXEC), EACCES);
    fails(openat(sync_fd, "../spaces/member", O_RDONLY | O_CLOEXEC), EACCES);
    fails(openat(run_fd, "mount-notes.pid", O_RDONLY | O_CLOEXEC), EACCES);
    fails(openat(run_fd, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), EACCES);
    /* Its socket does not take the place of another one. */
    fails(renameat(run_fd, "sync.sock", run_fd, "mount-notes.sock"), EACCES);
    path_at(other, "sync/member");
    gives(rename(path, other), EACCES);
    fails(open("/proc/self/mem", O_RDWR | O_CLOEXEC), EACCES);
    fails(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES);
    fails(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES);
    fails(open("/dev/null", O_WRONLY | O_CLOEXEC), EACCES);
    fails(chmod(path, 0666), EPERM);
    fails(syscall(SYS_fchmodat, AT_FDCWD, path, 0666), EPERM);
    fails(syscall(452, AT_FDCWD, path, 0666, 0), EPERM);
    fails(syscall(463, AT_FDCWD, path, 0, "user.x", NULL, 0), EPERM);
    fails(truncate(path, 0), EPERM);
    fails(readlink("/proc/self/exe", other, sizeof other), EPERM);
    fails(linkat(AT_FDCWD, path, sync_fd, "stolen", 0), EPERM);
    fails(symlinkat(path, sync_fd, "link"), EPERM);
    fails(open("/etc/hosts", O_WRONLY | O_CLOEXEC), EACCES);
}

static void try_sockets(void)
{
    static const int families[] = {0,  1,  3,  4,  5,  6,  7,  8,  9,  11, 12,
                                   13, 14, 15, 17, 29, 31, 38, 40, 44, 45};
    for (size_t i = 0; i < ARRAY_N(families); i++)
        for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++)
            fails(socket(families[i], type, 0), EPERM);
    int pair[2];
    fails(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), EPERM);
    fails(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
    fails(socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6), EPERM);
    fails(socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT), EPERM);
    fails(syscall(SYS_socket, UINT64_C(0x100000001), SOCK_STREAM, 0), EPERM);
    fails(syscall(SYS_socket, UINT64_C(0x100000011), SOCK_STREAM, 0), EPERM);
}

static void try_processes(void)
{
    char byte;
    struct iovec v = {&byte, 1};
    struct rlimit r;
    pid_t parent = getppid();
    char *const argv[] = {(char[]){"false"}, NULL};
    fails(execve("/bin/false", argv, argv + 1), EPERM);
    fails(syscall(SYS_execveat, AT_FDCWD, "/bin/false", argv, argv + 1, 0), EPERM);
    if (!CONFINE_CHECKS_LEAKS) {
        fails(fork(), EPERM);
        fails(ptrace(PTRACE_SEIZE, parent, NULL, NULL), EPERM);
    }
    fails(syscall(SYS_clone3, NULL, 0), ENOSYS);
    fails(process_vm_readv(parent, &v, 1, &v, 1, 0), EPERM);
    fails(process_vm_writev(parent, &v, 1, &v, 1, 0), EPERM);
    fails(syscall(SYS_pidfd_open, parent, 0), EPERM);
    fails(syscall(SYS_pidfd_getfd, 0, 0, 0), EPERM);
    fails(kill(parent, 0), EPERM);
    fails(kill(0, 0), EPERM);
    fails(kill(-1, 0), EPERM);
    fails(syscall(SYS_tgkill, parent, parent, 0), EPERM);
    fails(syscall(SYS_tkill, parent, 0), EPERM);
    fails(prlimit(parent, RLIMIT_NOFILE, NULL, &r), EPERM);
    fails(syscall(SYS_io_uring_setup, 1, NULL), EPERM);
    fails(syscall(SYS_bpf, 0, NULL, 0), EPERM);
    fails(syscall(SYS_userfaultfd, 0), EPERM);
    fails(syscall(SYS_keyctl, 0, -3, 0), EPERM);
    fails(syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0), EPERM);
    fails(unshare(CLONE_NEWUSER), EPERM);
    fails(mount("none", "/tmp", "tmpfs", 0, NULL), EPERM);
    fails(umount2("/tmp", 0), EPERM);
}

/* Of root's capabilities one is left. */
static void try_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2] = {{0}};
    char name[65];
    ok(syscall(SYS_capget, &head, sets));
    same(sets[0].permitted & ~(1U << CAP_NET_BIND_SERVICE), 0);
    same(sets[0].effective, sets[0].permitted);
    same(sets[1].permitted, 0);
    ok(gethostname(name, sizeof name));
    fails(sethostname(name, strlen(name)), EPERM);
}

static void lose_the_rest(void)
{
    ok(listen(listen_fd, 4));
    confine_now();
    try_files();
    try_sockets();
    try_processes();
    try_capabilities();
}

static void the_sync_process_can_nothing_else(void **state)
{
    (void)state;
    in_children(lose_the_rest);
}

#if defined(__x86_64__)
/* Numbers of another table would pass by the filter. */
static void call_otherwise(void)
{
    long rc = 0;
    confine_now();
    __asm__ volatile("int $0x80" : "=a"(rc) : "a"(20L /* getpid */) : "memory");
    check_fail("a call of 32 bits was answered: %ld", rc);
}

static void call_x32(void)
{
    confine_now();
    check_fail("a call of x32 was answered: %ld", syscall(0x40000000 | SYS_getpid));
}

static void calls_of_other_tables_end_it(void **state)
{
    (void)state;
    void (*const calls[])(void) = {call_otherwise, call_x32};
    for (size_t i = 0; i < ARRAY_N(calls); i++) {
        int status = 0;
        assert_true(scratch_dir(top, sizeof top, "confine"));
        pid_t pid = fork();
        if (pid == 0) {
            fill();
            calls[i]();
            _exit(1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
        struct err err = {0};
        assert_int_equal(statefile_remove_tree(AT_FDCWD, top, &err), 0);
    }
}
#endif

/* What OpenSSL is told by the environment is for reading; and no more than that. */
static void read_named_roots(void)
{
    char path[128];
    path_at(path, "spaces");
    setenv("SSL_CERT_DIR", path, 1);
    confine_now();
    ok(close(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    path_at(path, "spaces/member");
    ok(close(open(path, O_RDONLY | O_CLOEXEC)));
    fails(open(path, O_RDWR | O_CLOEXEC), EACCES);
    path_at(path, "run/mount-notes.pid");
    fails(open(path, O_RDONLY | O_CLOEXEC), EACCES);
}

static void directories_of_certificates_can_be_read(void **state)
{
    (void)state;
    in_children(read_named_roots);
}

/* ---- kernels that cannot, or do not let ---- */

/* A kernel on which @call fails with @error; the process begins with that. */
static void deny_call(int call, int error)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    holds(f != NULL);
    same(seccomp_rule_add(f, SCMP_ACT_ERRNO((uint32_t)error), call, 0), 0);
    same(seccomp_load(f), 0);
    seccomp_release(f);
}

static const struct {
    int call, error, gives;
} kernels[] = {
    {SCMP_SYS(seccomp), EACCES, -EIO},
    {SCMP_SYS(seccomp), ENOSYS, 0},
    {SCMP_SYS(landlock_create_ruleset), ENOSYS, 0},
    {SCMP_SYS(landlock_create_ruleset), EOPNOTSUPP, 0},
    {SCMP_SYS(landlock_add_rule), EPERM, -EIO},
    {SCMP_SYS(landlock_restrict_self), EPERM, -EIO},
    {SCMP_SYS(capset), EPERM, -EIO},
};

static void be_on_kernel(void)
{
    struct err err = {0};
    char path[128];
    path_at(path, "spaces/member");
    deny_call(kernels[kernel].call, kernels[kernel].error);
    same(confine_sync(sync_fd, run_fd, &err), kernels[kernel].gives);
    if (kernels[kernel].gives < 0) {
        contains(err.msg, "sync process: cannot be confined: ");
        return;
    }
    /* The one holds without the other. */
    bool has_landlock = kernels[kernel].call == SCMP_SYS(seccomp);
    gives(open(path, O_RDONLY | O_CLOEXEC), has_landlock ? EACCES : 0);
    gives(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), has_landlock ? 0 : EPERM);
}

static void what_cannot_be_confined_is_an_error_but_on_old_kernels(void **state)
{
    (void)state;
    for (kernel = 0; kernel < ARRAY_N(kernels); kernel++)
        in_children(be_on_kernel);
}

/* ---- mount process, watch, server ---- */

static int wake;

static void *open_socket_later(void *arg)
{
    eventfd_t n;
    eventfd_read(wake, &n);
    *(int *)arg = socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0;
    return NULL;
}

/* A program, and what it starts, have no network either; /dev/udp is bash's. */
static void run_driver(const char *line, int status)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/bash", "bash", "-c", line, (char *)NULL);
        _exit(126);
    }
    int is = -1;
    same(waitpid(pid, &is, 0), pid);
    same(WEXITSTATUS(is), status);
}

static void be_mount(void)
{
    struct err err = {0};
    pthread_t thread;
    int pair[2], error = 0;
    wake = eventfd(0, EFD_CLOEXEC);
    run_driver("exec 3<>/dev/udp/127.0.0.1/9", 0);
    same(pthread_create(&thread, NULL, open_socket_later, &error), 0);
    if (confine_mount(&err) < 0)
        check_fail("%s", err.msg);
    same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    eventfd_write(wake, 1);
    pthread_join(thread, NULL);
    same(error, EPERM); /* of a thread that was there before */
    ok(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ok(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    for (int family = 2; family < 46; family++)
        fails(socket(family, SOCK_STREAM, 0), EPERM);
    fails(syscall(SYS_socket, UINT64_C(0x100000002), SOCK_STREAM, 0), EPERM);
    fails(syscall(SYS_io_uring_setup, 1, NULL), EPERM);
    fails(syscall(SYS_pidfd_getfd, 0, 0, 0), EPERM);
    fails(process_vm_readv(getppid(), NULL, 0, NULL, 0, 0), EPERM);
    if (!CONFINE_CHECKS_LEAKS)
        fails(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL), EPERM);
    run_driver("true", 0);
    run_driver("exec 3<>/dev/udp/127.0.0.1/9", 1);
    run_driver("echo x | (exec 3<>/dev/udp/127.0.0.1/9)", 1);
    /* As merge drivers are shut in. */
    ok(unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID));
}

static void a_mount_process_and_its_drivers_have_no_network(void **state)
{
    (void)state;
    in_children(be_mount);
}

static void be_watch(void)
{
    int pair[2];
    char *const argv[] = {(char[]){"false"}, NULL};
    ok(confine_watch());
    fails(socket(AF_UNIX, SOCK_STREAM, 0), EPERM);
    fails(socket(AF_INET, SOCK_STREAM, 0), EPERM);
    fails(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), EPERM);
    fails(execve("/bin/false", argv, argv + 1), EPERM);
    same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    if (getuid() == 0)
        ok(unshare(CLONE_NEWNS)); /* to mount fusectl for itself */
}

static void a_watch_has_no_sockets_and_runs_nothing(void **state)
{
    (void)state;
    in_children(be_watch);
}

static void be_server(void)
{
    struct err err = {0};
    char *const argv[] = {(char[]){"false"}, NULL};
    ok(confine_server(&err));
    ok(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ok(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    fails(execve("/bin/false", argv, argv + 1), EPERM);
    fails(process_vm_readv(getppid(), NULL, 0, NULL, 0, 0), EPERM);
    same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}

static void a_server_runs_nothing(void **state)
{
    (void)state;
    in_children(be_server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sync_process_keeps_what_it_needs),
        cmocka_unit_test(the_sync_process_can_nothing_else),
#if defined(__x86_64__)
        cmocka_unit_test(calls_of_other_tables_end_it),
#endif
        cmocka_unit_test(directories_of_certificates_can_be_read),
        cmocka_unit_test(what_cannot_be_confined_is_an_error_but_on_old_kernels),
        cmocka_unit_test(a_mount_process_and_its_drivers_have_no_network),
        cmocka_unit_test(a_watch_has_no_sockets_and_runs_nothing),
        cmocka_unit_test(a_server_runs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
