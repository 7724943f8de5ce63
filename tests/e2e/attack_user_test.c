/*
 * Attack 26 of the list in proto/sealed/README.md: another user of the machine, who has no right to
 * a device's state, tries to get at it and at its processes; and what is planted in the state
 * directory leads nowhere outside.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/crash_log.h"
#include "tests/support/hostile_orders.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

/* What each user may do to himself and to what is everybody's, and what is no process's to do. */
static const char *const of_its_own[] = {
    "lists /",
    "reads by a descriptor that it has",
    "makes a file in /tmp",
    "changes a mode by a descriptor",
    "changes a mode by the newest call",
    "opens a socket of the machine",
    "opens one with more bits",
    "opens a pair",
    "opens a socket of a virtual machine",
    "opens a socket of ciphers",
    "opens a netlink of another kind",
    "makes shared memory",
    "opens the mount process", /* by its number, which is no secret: what follows is refused */
    "runs a program",
    "runs a program by a descriptor",
    "starts a process",
    "asks for a ring",
    "counts events",
    "loads into the kernel",
    "asks for faults",
    "asks for keys",
    "leaves its root",
    "makes name spaces",
    "mounts",
};

static bool is_of_its_own(const char *name)
{
    for (size_t i = 0; i < ARRAY_N(of_its_own); i++)
        if (strcmp(of_its_own[i], name) == 0)
            return true;
    return false;
}

/* A device whose user has a file of his own, which nobody else can read; the library that tries is
 * where each user can load it. */
static bool begin(struct e2e *f)
{
    char path[E2E_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/private/victim", f->top);
    if (!e2e_mount(f, NULL) ||
        !e2e_ok(f,
                "mkdir -m 700 private && echo text | tee private/victim >notes/victim && "
                "ln -s to private/link && touch home/run/decoy && mkdir -m 755 lib && cp %s lib",
                TEST_HOSTILE))
        return false;
    return ok(setxattr(path, "user.x", "x", 1, 0)) == 0;
}

static void attack(const struct e2e *f, struct hostile *h)
{
    char path[2 * HOSTILE_PATH];
    snprintf(path, sizeof path, "%s/lib%s", f->top, strrchr(TEST_HOSTILE, '/'));
    AS(E2E_USER, E2E_USER)
    {
        void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        void *run = lib != NULL ? dlsym(lib, "hostile_attack") : NULL;
        if (run != NULL)
            (*(void (**)(struct hostile *)) & run)(h);
        else
            check_fail("%s", dlerror());
    }
    holds(atomic_load(&h->done));
}

static void all_is_refused(const struct hostile *h)
{
    unsigned n = 0;
    for (int i = 0; i < h->n; i++) {
        const char *name = h->attempts[i].name;
        int error = h->attempts[i].error;
        if (is_of_its_own(name))
            continue;
        n++;
        if (error != EACCES && error != EPERM)
            check_fail("another user does it, or fails for another reason: %s: %s", name,
                       error == 0 ? "done" : strerror(error));
    }
    holds(n > 40);
}

/* Also those that it hears of only when it can look into the directory. */
static void no_process_can_be_looked_into(struct e2e *f)
{
    const pid_t pids[] = {e2e_mount_pid(f), e2e_watch_pid(f), e2e_sync_pid(f)};
    static const char *const names[] = {"mem", "maps", "environ", "auxv", "syscall", "stack"};
    static const char *const links[] = {"cwd", "root", "exe"};
    char path[64], to[64];
    AS(E2E_USER, E2E_USER)
    {
        for (size_t i = 0; i < ARRAY_N(pids); i++) {
            check_about("process %zu", i);
            for (size_t k = 0; k < ARRAY_N(names); k++) {
                snprintf(path, sizeof path, "/proc/%d/%s", (int)pids[i], names[k]);
                int fd = open(path, O_RDONLY | O_CLOEXEC);
                holds(fd < 0 || read(fd, to, sizeof to) < 0);
            }
            for (size_t k = 0; k < ARRAY_N(links); k++) {
                snprintf(path, sizeof path, "/proc/%d/%s", (int)pids[i], links[k]);
                fails(readlink(path, to, sizeof to), EACCES);
            }
            snprintf(path, sizeof path, "/proc/%d/fd", (int)pids[i]);
            fails(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES);
            fails(kill(pids[i], 0), EPERM);
        }
    }
}

/* However wide the state directory itself is open for reading. */
static void another_user_gets_at_nothing(struct e2e *f)
{
    struct hostile *h = crash_shared(sizeof *h);
    if (begin(f)) {
        for (mode_t mode = 0700; mode <= 0755; mode += 055) {
            check_about("mode %03o", (unsigned)mode);
            ok(chmod(f->home, mode));
            hostile_orders(f, h);
            attack(f, h);
            if (mode == 0755) /* which it was given */
                for (int i = 0; i < h->n; i++)
                    if (strcmp(h->attempts[i].name, "lists the state directory") == 0)
                        h->attempts[i].error = EACCES;
            all_is_refused(h);
        }
        check_about_nothing();
        no_process_can_be_looked_into(f);
        e2e_ok(f, "cat private/victim notes/victim; ls -A private; persist check notes >said");
        same_text(f->last.out, "text\ntext\nlink\nvictim\n");
    }
    e2e_unmount(f);
}

/* ---- links in the state directory ---- */

/* What commands and processes write or read, and what is beside it when they run: a device with a
 * server, a driver and settings. */
static bool make_state(struct e2e *d)
{
    return e2e_ok(d, "echo text >notes/note && persist sync --wait notes && "
                     "persist p2p --listen off --mdns off && "
                     "persist driver set join -- /bin/cat %%A %%B && "
                     "printf 'label = me\n' >home/config && chmod 600 home/config && "
                     "persist check notes && persist unmount notes");
}

/* With one name of the state replaced by a link to @to, all that begins to use it is run. */
static void run_all(struct e2e *d, const char *name, const char *to)
{
    e2e_ok(d, "rm -rf home && cp -a kept home && rm -rf home/%s && ln -s %s home/%s", name, to,
           name);
    e2e_sh(d, "persist id; persist status; persist daemon; persist remote list; persist p2p; "
              "persist driver list; persist mount notes && echo more >notes/note; "
              "persist check notes; persist unmount notes");
    e2e_sh(d, "umount -l notes; for p in home/run/*.pid out/it/*.pid; do kill $(cat $p); done");
    e2e_end_sync(d);
}

/* A link leads to what was in the place of it, outside, and then to nothing. */
static void plant(struct e2e *d, const char *name)
{
    char there[2 * E2E_PATH_MAX], none[2 * E2E_PATH_MAX];
    static const char unchanged[] =
        "diff -r before out && test \"$(cd before && find . -printf '%%p %%m "
        "%%s\\n' | sort)\" = \"$(cd out && find . -printf '%%p %%m %%s\\n' "
        "| sort)\"";
    snprintf(there, sizeof there, "%s/out/it", d->top);
    snprintf(none, sizeof none, "%s/out/none", d->top);
    check_about("%s", name);
    e2e_ok(d, "rm -rf out before && mkdir -m 700 out && cp -a kept/%s out/it && cp -a out before",
           name);
    run_all(d, name, there);
    e2e_ok(d, unchanged);
    run_all(d, name, none);
    e2e_ok(d, unchanged);
    check_about_nothing();
}

static void a_link_in_the_state_leads_nowhere(struct e2e *f)
{
    static struct sync_world world;
    char names[4096], *at = names;
    unsigned n = 0;
    if (world_begin(&world, f, 1) && make_state(world_at(&world, 0))) {
        struct e2e *d = world_at(&world, 0);
        d->errors_expected = true;
        e2e_end_sync(d);
        world_server_stop(&world, SIGTERM);
        /* What is in a database is made and opened by its library, below a directory of the user's
         * own that is closed to others. */
        e2e_ok(d, "rm -f home/run/*.sock && cp -a home kept && cd kept && "
                  "find . -mindepth 1 ! -path '*/db/*' | cut -c3- | sort");
        snprintf(names, sizeof names, "%s", d->last.out);
        contains(names, "sync/tokens\n");
        for (char *name; (name = strsep(&at, "\n")) != NULL && name[0] != '\0'; n++)
            plant(d, name);
        holds(n >= 15);
        /* With what was there, all goes on. */
        e2e_ok(d, "rm -rf home && mv kept home && persist mount notes && cat notes/note");
        same_text(d->last.out, "text\n");
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(another_user_gets_at_nothing),
        E2E_TEST(a_link_in_the_state_leads_nowhere),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
