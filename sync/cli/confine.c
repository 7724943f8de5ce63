#include "sync/cli/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/base.h"
#include "proto/base/log.h"
#include "sync/cli/confine_files.h"

/* Newer than the library may be; the number is the same on every architecture. */
enum {
    CALL_FCHMODAT2 = 452,
    CALL_SETXATTRAT = 463,
    CALL_GETXATTRAT,
    CALL_LISTXATTRAT,
    CALL_REMOVEXATTRAT,
    CALL_OPEN_TREE_ATTR,
    CALL_FILE_GETATTR,
    CALL_FILE_SETATTR,
};

/* A call that is denied when all of its conditions hold. */
struct rule {
    int call;
    unsigned n;
    struct scmp_arg_cmp args[2];
};

/* ---- what is denied ----------------------------------------------------------------------------
 */

/* Looking into other processes; what most ways out of a kernel begin with. */
static const int denied_to_all[] = {
#if !CONFINE_CHECKS_LEAKS
    SCMP_SYS(ptrace),
#endif
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise),
    SCMP_SYS(process_mrelease),
    SCMP_SYS(kcmp),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(bpf),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(add_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(request_key),
    /* It opens sockets and files by itself, which no filter sees. */
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(acct),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(modify_ldt),
};

static const int programs[] = {SCMP_SYS(execve), SCMP_SYS(execveat)};

static const int denied_to_sync[] = {
    /* Processes: others are not asked for, signalled or watched. */
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(pidfd_open),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(tkill),
    SCMP_SYS(migrate_pages),
    SCMP_SYS(move_pages),
    /* Channels to other processes of the user. */
    SCMP_SYS(socketpair), /* one of datagrams can be connected to any other socket */
    SCMP_SYS(shmget),
    SCMP_SYS(shmat),
    SCMP_SYS(shmctl),
    SCMP_SYS(semget),
    SCMP_SYS(semop),
    SCMP_SYS(semctl),
    SCMP_SYS(msgget),
    SCMP_SYS(msgsnd),
    SCMP_SYS(msgrcv),
    SCMP_SYS(msgctl),
    SCMP_SYS(mq_open),
    SCMP_SYS(mq_unlink),
    /* Mounts. */
    SCMP_SYS(mount),
    SCMP_SYS(umount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(open_tree),
    CALL_OPEN_TREE_ATTR,
    SCMP_SYS(move_mount),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(quotactl),
    SCMP_SYS(quotactl_fd),
    /* Of files, what Landlock does not know: modes, owners, times, attributes, links' targets, and
     * being told of changes, which has names in it. */
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    CALL_FCHMODAT2,
    SCMP_SYS(chown),
    SCMP_SYS(fchown),
    SCMP_SYS(lchown),
    SCMP_SYS(fchownat),
    SCMP_SYS(utime),
    SCMP_SYS(utimes),
    SCMP_SYS(futimesat),
    SCMP_SYS(utimensat),
    SCMP_SYS(setxattr),
    SCMP_SYS(lsetxattr),
    SCMP_SYS(fsetxattr),
    CALL_SETXATTRAT,
    SCMP_SYS(getxattr),
    SCMP_SYS(lgetxattr),
    SCMP_SYS(fgetxattr),
    CALL_GETXATTRAT,
    SCMP_SYS(listxattr),
    SCMP_SYS(llistxattr),
    SCMP_SYS(flistxattr),
    CALL_LISTXATTRAT,
    SCMP_SYS(removexattr),
    SCMP_SYS(lremovexattr),
    SCMP_SYS(fremovexattr),
    CALL_REMOVEXATTRAT,
    CALL_FILE_GETATTR,
    CALL_FILE_SETATTR,
    SCMP_SYS(truncate),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(inotify_init),
    SCMP_SYS(inotify_init1),
    SCMP_SYS(inotify_add_watch),
    SCMP_SYS(fanotify_init),
    SCMP_SYS(fanotify_mark),
    /* It writes files in one directory, and makes nothing else. */
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(link),
    SCMP_SYS(linkat),
    SCMP_SYS(symlink),
    SCMP_SYS(symlinkat),
};

/* A comparison of the whole argument fails safe: the kernel takes 32 bits of it, and a number with
 * more is above all that are allowed here. What is equal to something is compared in 32 bits. */
#define LOW_BITS UINT64_C(0xffffffff)
#define IS(arg, value)                                                                             \
    {                                                                                              \
        (arg), SCMP_CMP_MASKED_EQ, LOW_BITS, (value)                                               \
    }

static const struct rule rules_of_sync[] = {
    /* Families: AF_INET, AF_INET6, and AF_NETLINK for addresses and routes. */
    {SCMP_SYS(socket), 1, {{0, SCMP_CMP_LT, AF_INET, 0}}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET + 1)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET + 2)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET + 3)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET + 4)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET + 5)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET + 6)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET + 7)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET6 + 1)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET6 + 2)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET6 + 3)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET6 + 4)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET6 + 5)}},
    {SCMP_SYS(socket), 1, {{0, SCMP_CMP_GT, AF_NETLINK, 0}}},
    {SCMP_SYS(socket), 2, {IS(0, AF_NETLINK), {2, SCMP_CMP_NE, 0 /* NETLINK_ROUTE */, 0}}},
    {SCMP_SYS(socket), 2, {{0, SCMP_CMP_LE, AF_INET6, 0}, {1, SCMP_CMP_MASKED_EQ, 15, SOCK_RAW}}},
#if !CONFINE_CHECKS_LEAKS
    /* Threads, yes. */
    {SCMP_SYS(clone), 1, {{0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0}}},
#endif
    /* Limits of others. */
    {SCMP_SYS(prlimit64), 1, {{0, SCMP_CMP_NE, 0, 0}}},
    /* What puts letters into a terminal; what has signals sent. */
    {SCMP_SYS(ioctl), 1, {IS(1, TIOCSTI)}},
    {SCMP_SYS(ioctl), 1, {IS(1, TIOCLINUX)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_SETOWN)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_SETOWN_EX)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_SETSIG)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_NOTIFY)}},
};

static const struct rule rules_of_mount[] = {
    {SCMP_SYS(socket), 1, {{0, SCMP_CMP_NE, AF_UNIX, 0}}},
};

static const int sockets[] = {SCMP_SYS(socket), SCMP_SYS(socketpair)};

/* ---- filters -----------------------------------------------------------------------------------
 */

static int deny(scmp_filter_ctx f, const int *calls, size_t n)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
    return rc;
}

static int deny_some(scmp_filter_ctx f, const struct rule *rules, size_t n)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = seccomp_rule_add_array(f, SCMP_ACT_ERRNO(EPERM), rules[i].call, rules[i].n,
                                    rules[i].args);
    return rc;
}

/* Signals go to this process alone. */
static int deny_signals(scmp_filter_ctx f)
{
    const uint64_t self = (uint64_t)getpid();
    const struct rule rules[] = {
        {SCMP_SYS(kill), 1, {{0, SCMP_CMP_NE, self, 0}}},
        {SCMP_SYS(tgkill), 1, {{0, SCMP_CMP_NE, self, 0}}},
        {SCMP_SYS(rt_sigqueueinfo), 1, {{0, SCMP_CMP_NE, self, 0}}},
        {SCMP_SYS(rt_tgsigqueueinfo), 1, {{0, SCMP_CMP_NE, self, 0}}},
    };
    return deny_some(f, rules, ARRAY_N(rules));
}

static int rules_sync(scmp_filter_ctx f)
{
    int rc = deny(f, denied_to_sync, ARRAY_N(denied_to_sync));
    if (rc == 0)
        rc = deny(f, programs, ARRAY_N(programs));
    if (rc == 0)
        rc = deny_some(f, rules_of_sync, ARRAY_N(rules_of_sync));
    if (rc == 0)
        rc = deny_signals(f);
    /* Its flags are in memory, where no filter looks; without it the C library takes clone(). */
    return rc == 0 ? seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) : rc;
}

static int rules_mount(scmp_filter_ctx f)
{
    return deny_some(f, rules_of_mount, ARRAY_N(rules_of_mount));
}

static int rules_watch(scmp_filter_ctx f)
{
    int rc = deny(f, sockets, ARRAY_N(sockets));
    return rc == 0 ? deny(f, programs, ARRAY_N(programs)) : rc;
}

static int rules_server(scmp_filter_ctx f)
{
    return deny(f, programs, ARRAY_N(programs));
}

/* A filter that is nowhere: a kernel that has filters looks there, and says so. */
static bool has_filters(void)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, NULL) == 0 ||
           (errno != ENOSYS && errno != EINVAL);
}

static int install(int (*rules)(scmp_filter_ctx f))
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    if (f == NULL)
        return -ENOMEM;
    int rc = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (rc == 0)
        rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    if (rc == 0)
        rc = deny(f, denied_to_all, ARRAY_N(denied_to_all));
    if (rc == 0)
        rc = rules(f);
    if (rc == 0)
        rc = seccomp_load(f);
    seccomp_release(f);
    return rc;
}

/* no_new_privs first: without it only root can install a filter, and it is wanted where there are
 * no filters, too. */
static int filter(const char *who, int (*rules)(scmp_filter_ctx f), struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(err, -EIO, "%s: cannot be confined: no_new_privs: %s", who, strerror(errno));
    if (!has_filters()) {
        log_warn("%s: not confined: this kernel has no seccomp", who);
        return 0;
    }
    int rc = install(rules);
    return rc < 0 ? err_set(err, -EIO,
                            "%s: cannot be confined: seccomp: %s; where a container forbids it, "
                            "have it allowed",
                            who, strerror(-rc))
                  : 0;
}

/* ---- processes ---------------------------------------------------------------------------------
 */

/* What root has beside its number: all of it goes but the right to listen on low ports. */
static int drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2] = {{0}};
    if (syscall(SYS_capget, &head, sets) < 0)
        return -errno;
    uint32_t kept = sets[0].permitted & (UINT32_C(1) << CAP_NET_BIND_SERVICE);
    sets[0] = (struct __user_cap_data_struct){.effective = kept, .permitted = kept};
    sets[1] = (struct __user_cap_data_struct){0};
    return syscall(SYS_capset, &head, sets) < 0 ? -errno : 0;
}

int confine_sync(int sync_dir_fd, int run_dir_fd, struct err *err)
{
    static const char who[] = "sync process";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(err, -EIO, "%s: cannot be confined: no_new_privs: %s", who, strerror(errno));
    int rc = drop_capabilities();
    if (rc < 0)
        return err_set(err, -EIO, "%s: cannot be confined: capabilities: %s", who, strerror(-rc));
    rc = confine_files(sync_dir_fd, run_dir_fd);
    if (rc == -ENOSYS)
        log_warn("%s: not confined to its files: this kernel has no Landlock", who);
    else if (rc < 0)
        return err_set(err, -EIO, "%s: cannot be confined: Landlock: %s", who, strerror(-rc));
    return filter(who, rules_sync, err);
}

int confine_mount(struct err *err)
{
    return filter("mount process", rules_mount, err);
}

int confine_watch(void)
{
    struct err err = {0};
    int rc = filter("watch of the mount", rules_watch, &err);
    if (rc < 0)
        log_error("%s", err.msg);
    return rc;
}

int confine_server(struct err *err)
{
    return filter("server", rules_server, err);
}
