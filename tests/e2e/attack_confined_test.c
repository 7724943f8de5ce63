/*
 * Attack 25: hostile code in the sync process, of a real device with a mounted folder, tries to get
 * at files, keys and the mount process. It runs inside the confined process itself (see
 * tests/preload/hostile.h), as root and as another user. The same code in a process of the same
 * user that is not confined is what shows that each attempt would do something.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "sync/cli/confine.h"
#include "tests/support/hostile_orders.h"

enum { TELL_MS = 100 };

/* Who attacks: a line's beginning that makes a command that user's, "" for the own one. */
struct attacker {
    uid_t uid;
    const char *as;
};

static struct hostile *orders; /* shared with the process that is attacked from */

/* What no process of the user can do, confined or not; or not in any kernel. */
static const char *const not_done_by_users[] = {
    "reads by a descriptor that it has",
    "changes a mode by a descriptor",
    "changes a mode by the newest call",
    "opens a socket of a virtual machine",
    "opens a socket of ciphers",
    "opens a netlink of another kind",
    "asks for a ring",
    "counts events",
    "loads into the kernel",
    "asks for faults",
    "asks for keys",
    "leaves its root",
    "makes name spaces",
    "mounts",
};
static const char *const done_by_root[] = {
    "takes a descriptor of it", "opens its memory", "reads its memory map", "reads its environment",
    "lists its descriptors",    "reads its memory", "writes its memory",    "compares it",
    "traces the watch",         "traces it",
};

static bool is_in(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

static const char *below(const struct e2e *f, const char *name)
{
    static char path[HOSTILE_PATH];
    snprintf(path, sizeof path, "%s/%s", f->top, name);
    return path;
}

/* ---- the device ---- */

/* Program and library where any user can run them; files that are the user's own. */
static void make_files(struct e2e *f, const struct attacker *a)
{
    e2e_ok(f,
           "mkdir -m 755 bin && cp $(command -v persist) %s bin && mkdir -m 700 home private && "
           "echo text >private/victim && ln -s to private/link && "
           "truncate -s %zu orders && chown -R %u:%u home private notes orders",
           TEST_HOSTILE, sizeof(struct hostile), (unsigned)a->uid, (unsigned)a->uid);
    ok(setxattr(below(f, "private/victim"), "user.x", "x", 1, 0));
    int fd = open(below(f, "orders"), O_RDWR | O_CLOEXEC);
    orders = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    holds(orders != MAP_FAILED);
    close(fd);
}

static const char *library(void)
{
    return strrchr(TEST_HOSTILE, '/') + 1;
}

/* The sync process has the library, the mount process has not. */
static bool begin(struct e2e *f, const struct attacker *a)
{
    make_files(f, a);
    return e2e_ok(f,
                  "%s env LD_PRELOAD=%s/bin/%s PERSIST_TEST_HOSTILE=%s/orders bin/persist daemon",
                  a->as, f->top, library(), f->top) &&
           e2e_ok(f, "%s bin/persist mount notes && %s sh -c 'touch home/run/decoy'", a->as, a->as);
}

static void put_victim(struct e2e *f, const struct attacker *a)
{
    e2e_ok(f, "%s sh -c 'echo text >notes/victim'", a->as);
}

/* ---- the attacks ---- */

static bool is_refused(int error)
{
    return error == EPERM || error == EACCES;
}

/* In a child of this process, of the same user: the attempts are worth something. */
static void attack_unconfined(struct e2e *f, const struct attacker *a)
{
    char path[2 * HOSTILE_PATH];
    snprintf(path, sizeof path, "%s/bin/%s", f->top, library());
    hostile_orders(f, orders);
    AS(a->uid, a->uid)
    {
        void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        void *attack = lib != NULL ? dlsym(lib, "hostile_attack") : NULL;
        if (attack != NULL)
            (*(void (**)(struct hostile *)) & attack)(orders);
        else
            check_fail("%s", dlerror());
    }
    holds(atomic_load(&orders->done));
    for (int i = 0; i < orders->n; i++) {
        const char *name = orders->attempts[i].name;
        bool done = !is_in(name, not_done_by_users, ARRAY_N(not_done_by_users)) &&
                    (a->uid == 0 || !is_in(name, done_by_root, ARRAY_N(done_by_root)));
        if (done && is_refused(orders->attempts[i].error))
            check_fail("unconfined, it is refused as well: %s", name);
    }
}

static bool is_done(void *arg)
{
    const struct e2e *f = arg;
    if (atomic_load(&orders->done))
        return true;
    kill(e2e_sync_pid(f), SIGUSR1);
    nanosleep(&(struct timespec){.tv_nsec = TELL_MS * 1000000L}, NULL);
    return false;
}

static void attack_confined(struct e2e *f)
{
    int unconfined = orders->n;
    pid_t pid = e2e_sync_pid(f);
    hostile_orders(f, orders);
    e2e_wait(is_done, f, E2E_LONG_MS, "the hostile code");
    same(orders->n, unconfined + 1); /* sockets of its own */
    for (int i = 0; i < orders->n; i++) {
        const char *name = orders->attempts[i].name;
        int error = orders->attempts[i].error;
        if (CONFINE_CHECKS_LEAKS && strcmp(name, "starts a process") == 0)
            continue;
        check_about("%s", name);
        if (!is_refused(error))
            check_fail("it is done, or fails for another reason: %s",
                       error == 0 ? "done" : strerror(error));
    }
    check_about_nothing();
    same(e2e_sync_pid(f), pid);
    ok(kill(pid, 0));
}

static void nothing_has_changed(struct e2e *f, const struct attacker *a)
{
    e2e_ok(f, "cat private/victim; ls -A private; ls -A home/run");
    same_text(f->last.out,
              "text\nlink\nvictim\ndecoy\nmount-notes.pid\nmount-notes.sock\nsync.pid\n"
              "sync.sock\n");
    e2e_ok(f, "%s sh -c 'cat notes/victim; ls -A notes'", a->as);
    same_text(f->last.out, "text\nvictim\n");
}

/* By a signal, when the mount process itself has to see to it that the folder is unmounted. */
static void end(struct e2e *f)
{
    pid_t pid = e2e_mount_pid(f);
    holds(pid > 0);
    if (pid > 0 && ok(kill(pid, SIGTERM)) == 0)
        e2e_wait_gone(pid, E2E_LONG_MS);
    holds(!e2e_is_mounted(f->folder));
    e2e_end_sync(f);
}

static void attack(struct e2e *f, const struct attacker *a)
{
    e2e_allow_preload();
    if (begin(f, a)) {
        put_victim(f, a);
        attack_unconfined(f, a);
        e2e_ok(f, "echo text >private/victim");
        put_victim(f, a);
        attack_confined(f);
        nothing_has_changed(f, a);
    }
    end(f);
    munmap(orders, sizeof *orders);
}

static void hostile_code_in_the_sync_process_gets_nothing(struct e2e *f)
{
    attack(f, &(struct attacker){.uid = getuid(), .as = ""});
}

/* For this process and what it starts any user can mount, as on most machines. */
static void open_fuse(struct e2e *f)
{
    ok(unshare(CLONE_NEWNS));
    ok(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    e2e_ok(f, "mkdir dev && mount -t tmpfs none dev && mknod -m 666 dev/fuse c 10 229 && "
              "mount --bind dev/fuse /dev/fuse && umount -l dev && rmdir dev");
}

/* The last one: this process stays in a name space of its own. */
static void nor_does_it_as_another_user(struct e2e *f)
{
    open_fuse(f);
    char as[128];
    /* The one of the two that has a name, which fusermount3 wants to know. */
    snprintf(as, sizeof as, "setpriv --reuid=%d --regid=%d --clear-groups", E2E_OTHER, E2E_OTHER);
    attack(f, &(struct attacker){.uid = E2E_OTHER, .as = as});
}

struct process {
    struct e2e *f;
    pid_t pid;
};

/* All threads of it, those of libraries, too. */
static bool is_confined(void *arg)
{
    const struct process *p = arg;
    return p->pid > 0 && e2e_sh(p->f,
                                "for s in /proc/%ld/task/*/status; do "
                                "grep -q '^Seccomp:.2$' $s && grep -q '^NoNewPrivs:.1$' $s || "
                                "exit 1; done",
                                (long)p->pid)
                                 ->status == 0;
}

static void each_process_that_reads_what_others_send_is_confined(struct e2e *f)
{
    e2e_mount(f, NULL);
    const pid_t pids[] = {e2e_mount_pid(f), e2e_watch_pid(f), e2e_sync_pid(f)};
    for (size_t i = 0; i < ARRAY_N(pids); i++) {
        check_about("process %zu", i);
        holds(is_confined(&(struct process){f, pids[i]}));
    }
    check_about_nothing();
    e2e_unmount(f);
    struct process server = {f, e2e_start(f, "exec persist serve -f --listen 127.0.0.1:0 2>log")};
    e2e_wait(is_confined, &server, E2E_LONG_MS, "a confined server");
    e2e_stop(server.pid);
}

/* Runs the program where no filter can be installed, and returns its exit status. */
static int run_unfiltered(const struct e2e *f, const char *const *words)
{
    pid_t pid = fork();
    if (pid == 0) {
        scmp_filter_ctx no = seccomp_init(SCMP_ACT_ALLOW);
        if (seccomp_rule_add(no, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(seccomp), 0) < 0 ||
            seccomp_load(no) < 0)
            _exit(125);
        e2e_enter(f);
        execlp("persist", "persist", words[0], words[1], (char *)NULL);
        _exit(126);
    }
    int status = -1;
    same(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void what_cannot_be_confined_does_not_start(struct e2e *f)
{
    static const char *const commands[][2] = {
        {"daemon", NULL}, {"mount", "notes"}, {"serve", NULL}};
    f->errors_expected = true;
    for (size_t i = 0; i < ARRAY_N(commands); i++) {
        check_about("persist %s", commands[i][0]);
        same(run_unfiltered(f, commands[i]), 1);
        same(e2e_sync_pid(f), 0);
        holds(!e2e_is_mounted(f->folder));
    }
    /* With filters, all of it goes. */
    e2e_ok(f, "persist mount notes && persist unmount notes");
}

int main(int argc, char **argv)
{
    const struct e2e_test tests[] = {
        E2E_TEST(hostile_code_in_the_sync_process_gets_nothing),
        E2E_TEST(each_process_that_reads_what_others_send_is_confined),
        E2E_TEST(what_cannot_be_confined_does_not_start),
        E2E_TEST(nor_does_it_as_another_user),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
