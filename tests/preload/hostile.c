#include "tests/preload/hostile.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/kcmp.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *path_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static const char *path_of(const char *fmt, ...)
{
    static char path[2 * HOSTILE_PATH];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(path, sizeof path, fmt, ap);
    va_end(ap);
    return path;
}

static void note(struct hostile *h, const char *name, intmax_t result)
{
    int error = result < 0 ? errno : 0;
    int i = atomic_load(&h->n);
    if (i == HOSTILE_ATTEMPTS)
        abort();
    snprintf(h->attempts[i].name, HOSTILE_NAME, "%s", name);
    h->attempts[i].error = error;
    atomic_store(&h->n, i + 1);
}

/* Opens, and reads or lists what it is; a descriptor that gives nothing is no success. */
static int look(int dir_fd, const char *path)
{
    char piece[64];
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    long n = read(fd, piece, sizeof piece);
    if (n < 0 && errno == EISDIR)
        n = syscall(SYS_getdents64, fd, piece, sizeof piece);
    int error = errno;
    close(fd);
    errno = error;
    return n < 0 && error != EINVAL ? -1 : 0;
}

static int make(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : unlink(path);
}

static int overwrite(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, "X", 1);
    if (fd >= 0)
        close(fd);
    return n == 1 ? 0 : -1;
}

/* What was made is taken away again, so that each attempt finds the same. */
static int removed(int made, const char *path)
{
    int error = errno;
    if (made >= 0)
        remove(path);
    errno = error;
    return made;
}

static int move(const char *from, const char *to)
{
    return rename(from, to) < 0 ? -1 : rename(to, from);
}

/* ---- files ---- */

static void read_files(struct hostile *h)
{
    note(h, "reads the member's seed", look(AT_FDCWD, path_of("%s/spaces/member", h->home)));
    note(h, "reads the folder's keys", look(AT_FDCWD, path_of("%s/keys", h->space)));
    note(h, "lists the folder's state", look(AT_FDCWD, h->space));
    note(h, "lists spaces/", look(AT_FDCWD, path_of("%s/spaces", h->home)));
    note(h, "lists the state directory", look(AT_FDCWD, h->home));
    note(h, "reads a log", look(AT_FDCWD, path_of("%s/log/mount-notes.log", h->home)));
    note(h, "reads a pid file", look(AT_FDCWD, path_of("%s/run/mount-notes.pid", h->home)));
    note(h, "reads a file of the folder", look(AT_FDCWD, path_of("%s/victim", h->folder)));
    note(h, "lists the folder", look(AT_FDCWD, h->folder));
    note(h, "lists the history", look(AT_FDCWD, path_of("%s/.persist/history", h->folder)));
    note(h, "reads a file of the user", look(AT_FDCWD, path_of("%s/victim", h->private)));
    note(h, "lists a directory of the user", look(AT_FDCWD, h->private));
    note(h, "lists /", look(AT_FDCWD, "/"));
}

/* What is open is no way to what is not. */
static void use_descriptors(struct hostile *h)
{
    static const char *const names[] = {"spaces/member", "../spaces/member", "..", "log",
                                        "mount-notes.pid"};
    int error = EPERM;
    for (int fd = 0; error != 0 && fd < 256; fd++)
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (look(fd, names[i]) == 0)
                error = 0;
    errno = error;
    note(h, "reads by a descriptor that it has", error == 0 ? 0 : -1);
}

static void write_files(struct hostile *h)
{
    note(h, "makes a file in the folder", make(path_of("%s/planted", h->folder)));
    note(h, "makes a file in spaces/", make(path_of("%s/spaces/planted", h->home)));
    note(h, "makes a file in run/", make(path_of("%s/run/planted", h->home)));
    note(h, "makes a file in log/", make(path_of("%s/log/planted", h->home)));
    note(h, "makes a file of the user", make(path_of("%s/planted", h->private)));
    note(h, "makes a file in /tmp", make("/tmp/persist-hostile-planted"));
    note(h, "writes into the folder", overwrite(path_of("%s/victim", h->folder)));
    note(h, "writes to a file of the user", overwrite(path_of("%s/victim", h->private)));
    note(h, "writes to a file in run/", overwrite(path_of("%s/run/decoy", h->home)));
    char from[2 * HOSTILE_PATH];
    snprintf(from, sizeof from, "%s/run/decoy", h->home);
    note(h, "gives a file of run/ another name", move(from, path_of("%s/run/moved", h->home)));
    snprintf(from, sizeof from, "%s/victim", h->private);
    note(h, "renames", move(from, path_of("%s/moved", h->private)));
    const char *to = path_of("%s/made", h->private);
    note(h, "makes a hard link", removed(link(from, to), to));
    note(h, "makes a link", removed(symlink("to", to), to));
    note(h, "makes a directory", removed(mkdir(to, 0700), to));
    note(h, "makes a fifo", removed(mkfifo(to, 0600), to));
}

/* What Landlock does not know. */
static void change_files(struct hostile *h)
{
    char text[64];
    const char *victim = path_of("%s/victim", h->private);
    note(h, "changes a mode", chmod(victim, 0666));
    note(h, "changes a mode by a descriptor", fchmod(STDERR_FILENO, 0600));
    note(h, "changes a mode by the newest call", syscall(452, AT_FDCWD, victim, 0600, 0));
    note(h, "changes an owner", chown(victim, getuid(), getgid()));
    note(h, "changes a time", utimensat(AT_FDCWD, victim, NULL, 0));
    note(h, "sets an attribute", setxattr(victim, "user.x", "x", 1, 0));
    note(h, "reads an attribute", getxattr(victim, "user.x", text, sizeof text));
    note(h, "lists attributes", listxattr(victim, text, sizeof text));
    note(h, "truncates", truncate(victim, 0));
    note(h, "watches the folder", inotify_add_watch(inotify_init(), h->folder, IN_CREATE));
    note(h, "reads a link", readlink(path_of("%s/link", h->private), text, sizeof text));
    note(h, "removes a file of the folder", unlink(path_of("%s/victim", h->folder)));
}

/* ---- sockets ---- */

static int connect_to(int fd, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, sizeof a);
}

/* Every socket that it has, with every state that it may be in. */
static int connect_own(const char *path)
{
    int error = EPERM;
    for (int fd = 0; error != 0 && fd < 256; fd++)
        if (connect_to(fd, path) == 0)
            error = 0;
    errno = error;
    return error == 0 ? 0 : -1;
}

static int make_shared(void)
{
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    return id < 0 ? -1 : shmctl(id, IPC_RMID, NULL);
}

static void use_sockets(struct hostile *h)
{
    int pair[2] = {-1, -1};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    note(h, "opens a socket of the machine", fd);
    errno = fd < 0 ? EPERM : 0;
    note(h, "connects to the mount's control socket", connect_to(fd, h->control));
    note(h, "opens one with more bits", syscall(SYS_socket, 0x100000001, SOCK_STREAM, 0));
    note(h, "opens a pair", socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    note(h, "opens a socket of a virtual machine", socket(40 /* AF_VSOCK */, SOCK_STREAM, 0));
    note(h, "opens a socket of ciphers", socket(38 /* AF_ALG */, SOCK_SEQPACKET, 0));
    note(h, "opens a netlink of another kind", socket(AF_NETLINK, SOCK_RAW, 9 /* audit */));
    note(h, "makes shared memory", make_shared());
    if (fd < 0) /* else this process is not confined, and has all kinds of sockets */
        note(h, "connects a socket that it has", connect_own(h->control));
}

/* ---- processes ---- */

static void look_into(struct hostile *h)
{
    char byte;
    struct iovec own = {&byte, 1}, theirs = {(void *)(uintptr_t)0x1000, 1};
    struct rlimit limit;
    long pidfd = syscall(SYS_pidfd_open, h->mount, 0);
    note(h, "opens the mount process", pidfd);
    note(h, "takes a descriptor of it", syscall(SYS_pidfd_getfd, pidfd, 0, 0));
    note(h, "opens its memory", open(path_of("/proc/%d/mem", h->mount), O_RDWR | O_CLOEXEC));
    note(h, "reads its memory map", look(AT_FDCWD, path_of("/proc/%d/maps", h->mount)));
    note(h, "reads its environment", look(AT_FDCWD, path_of("/proc/%d/environ", h->mount)));
    note(h, "lists its descriptors", look(AT_FDCWD, path_of("/proc/%d/fd", h->mount)));
    note(h, "reads its memory", process_vm_readv(h->mount, &own, 1, &theirs, 1, 0));
    note(h, "writes its memory", process_vm_writev(h->mount, &own, 1, &theirs, 1, 0));
    note(h, "compares it", syscall(SYS_kcmp, getpid(), h->mount, KCMP_VM, 0, 0));
    note(h, "signals it", kill(h->mount, 0));
    note(h, "signals its thread", syscall(SYS_tgkill, h->mount, h->mount, 0));
    note(h, "signals its group", kill(-getpgid(h->mount), 0));
    note(h, "reads its limits", prlimit(h->mount, RLIMIT_NOFILE, NULL, &limit));
    /* It ends with this process. */
    note(h, "traces the watch", ptrace(PTRACE_SEIZE, h->watch, NULL, NULL));
    note(h, "traces it", ptrace(PTRACE_SEIZE, h->mount, NULL, NULL));
}

/* Runs a program; where no child can be had, in place of this one. */
static int run(int fd)
{
    static char name[] = "true";
    char *const argv[] = {name, NULL}, *const env[] = {NULL};
    int status = -1;
    pid_t pid = fork();
    if (pid <= 0) {
        if (fd < 0)
            execve("/bin/true", argv, env);
        else
            syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
        if (pid == 0)
            _exit(1);
        return -1;
    }
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static int fork_one(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid < 0 ? -1 : waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static void get_out(struct hostile *h)
{
    struct perf_event_attr perf = {.type = PERF_TYPE_SOFTWARE, .size = sizeof perf};
    struct io_uring_params ring = {0};
    union {
        struct file_handle h;
        char room[256];
    } handle = {.h = {.handle_bytes = 128}};
    int mount_id;
    note(h, "runs a program", run(-1));
    note(h, "runs a program by a descriptor", run(open("/bin/true", O_PATH | O_CLOEXEC)));
    note(h, "starts a process", fork_one());
    note(h, "asks for a ring", syscall(SYS_io_uring_setup, 1, &ring));
    note(h, "counts events", syscall(SYS_perf_event_open, &perf, 0, -1, -1, 0));
    note(h, "loads into the kernel", syscall(SYS_bpf, 0, NULL, 0));
    note(h, "asks for faults", syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */));
    note(h, "asks for keys", syscall(SYS_keyctl, 0, -3, 1));
    note(h, "asks for a handle",
         name_to_handle_at(AT_FDCWD, path_of("%s/victim", h->private), &handle.h, &mount_id, 0));
    note(h, "leaves its root", chroot("/"));
    /* Last: whoever can has no right outside any more. */
    note(h, "makes name spaces", unshare(CLONE_NEWUSER));
    note(h, "mounts", mount("none", h->private, "tmpfs", 0, NULL));
}

void hostile_attack(struct hostile *h)
{
    read_files(h);
    use_descriptors(h);
    write_files(h);
    change_files(h);
    use_sockets(h);
    look_into(h);
    get_out(h);
    atomic_store(&h->done, 1);
}

/* ---- inside the program ---- */

static struct hostile *orders;
static volatile sig_atomic_t told;

static void on_told(int number)
{
    (void)number;
    told = 1;
}

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("PERSIST_TEST_HOSTILE");
    if (name == NULL)
        return;
    int fd = open(name, O_RDWR | O_CLOEXEC);
    void *p =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        abort();
    close(fd);
    orders = p;
    /* A wait for the network ends by it all the same. */
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_told, .sa_flags = SA_RESTART}, NULL);
}

int epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
    int got = (int)syscall(SYS_epoll_pwait, fd, events, n, timeout, NULL, 8);
    int error = errno;
    if (told && orders != NULL && atomic_load(&orders->done) == 0) {
        told = 0;
        hostile_attack(orders);
    }
    errno = error;
    return got;
}
