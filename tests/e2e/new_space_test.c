/*
 * A new space of a folder as it stands (persist mount --new-space): after the device was put out,
 * and otherwise; killed at every step, and on a full disk.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/manifest.h"
#include "tests/support/pair_world.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum {
    DISK_MIB = 220,
    ROOM_MIB = 640,
    BIG_MIB = 64,
    STEPS_MAX = 3000,
    STRIDE = 16,
    BACK = 24,
    PUBLISHED_MS = 60000,
    SIDE_MS = 180000
};

/* ---- a folder with something of everything -----------------------------------------------------
 */

/* u::rw- u:E2E_USER:r-- g::r-- m::r-- o::r-- */
static const uint8_t acl[] = {2,    0,    0,    0,    1,    0,    6,    0,    0xff, 0xff, 0xff,
                              0xff, 2,    0,    4,    0,    0xfd, 0xff, 0,    0,    4,    0,
                              4,    0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,    4,    0,    0xff,
                              0xff, 0xff, 0xff, 0x20, 0,    4,    0,    0xff, 0xff, 0xff, 0xff};

static bool is_published(void *arg)
{
    struct e2e *f = arg;
    e2e_sh(f, "persist status notes --json");
    return strcmp(e2e_value(f, "pending"), "0") == 0;
}

static bool fill(struct e2e *f)
{
    bool fine =
        e2e_ok(f, "cd notes && mkdir -p a/b/c empty && echo one >a/one && ln a/one a/b/other && "
                  "echo two >two.log && ln -s nowhere link && mkfifo pipe && : >none && "
                  "head -c 3000000 /dev/urandom >big && truncate -s 40M holes && "
                  "echo x | dd of=holes bs=1 seek=20000000 conv=notrunc 2>/dev/null && "
                  "mkdir side && echo s >side/s && ln side/s side/t && "
                  "echo side >'a/one (conflict from desk 2026-01-01).md' && echo swap >.x.swp && "
                  "sync big") &&
        e2e_wait(is_published, f, PUBLISHED_MS, "all is published");
    /* Rules that come after: two.log is tracked and stays so, late.log stays here. */
    fine =
        fine && e2e_ok(f, "cd notes && echo '*.log' >.persistignore && sync .persistignore") &&
        e2e_wait(is_published, f, PUBLISHED_MS, "the rules are published") &&
        e2e_ok(f, "cd notes && echo late >late.log && mkdir private.log && "
                  "echo p >private.log/p && ln private.log/p shown && ln a/one private.log/of-one "
                  "&& ln none none.log && mkdir private.log/in && mv side private.log/in/ && "
                  "chown -h 65533:65534 a/one link && "
                  "chmod 4751 a/one && chmod 1777 a/b && "
                  "touch -h -d '2019-03-04 05:06:07.123456789' link && "
                  "touch -d '2020-03-04 05:06:07.123456789' big none pipe late.log");
    char path[E2E_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/none", f->folder);
    ok(setxattr(path, "user.note", "n", 1, 0));
    ok(setxattr(path, "trusted.note", "t", 1, 0));
    ok(setxattr(path, "system.posix_acl_access", acl, sizeof acl, 0));
    snprintf(path, sizeof path, "%s/a", f->folder);
    ok(setxattr(path, "user.folder", "f", 1, 0));
    return fine && e2e_ok(f, "cd notes && touch -d 2001-02-03 a a/b empty .");
}

static char *tree_of(const struct e2e *f)
{
    return manifest_of(f->folder, MANIFEST_OWNER | MANIFEST_LINKS | MANIFEST_SPARSE |
                                      MANIFEST_DIR_TIMES | MANIFEST_XATTR);
}

static bool expect_tree(const struct e2e *f, const char *ought)
{
    char *is = tree_of(f);
    bool same = same_tree(is, ought);
    free(is);
    return same;
}

/* The id of the space at a folder of the fixture, as any command sees it; "" none. */
static const char *space_at(struct e2e *f, const char *folder)
{
    static char id[2][40];
    static unsigned turn;
    char *ret = id[turn++ % ARRAY_N(id)];
    e2e_ok(f,
           "persist driver list >/dev/null && for d in home/spaces/*/; do test \"$(head -n 1 "
           "$d/folder)\" = %s/%s && basename $d; "
           "done; true",
           f->top, folder);
    snprintf(ret, sizeof id[0], "%.*s", (int)strcspn(f->last.out, "\n"), f->last.out);
    return ret;
}

/* So many spaces, and nothing that was begun. */
static bool expect_spaces(struct e2e *f, unsigned n)
{
    e2e_ok(f, "ls -A home/spaces | grep -vx member | tee /dev/stderr | wc -l");
    return same(atoi(f->last.out), n) && same(strstr(f->last.err, ".") != NULL, 0);
}

/* ---- as it stands ------------------------------------------------------------------------------
 */

static void what_is_in_the_folder_is_in_the_new_space(struct e2e *f)
{
    if (!e2e_mount(f, "") || !fill(f) || !e2e_unmount(f) || !e2e_mount(f, ""))
        return;
    char *tree = tree_of(f);
    char *old = strdup(space_at(f, "notes"));
    e2e_ok(f, "persist driver set mine --folder notes -- /bin/cat %%A %%B && "
              "persist unmount notes");
    e2e_ok(f, "persist mount notes --new-space -o noatime >said && "
              "grep -qx \"$PWD/notes is a new space now; the old one, with its history, is kept as "
              "$PWD/notes.before-new-space until 'persist forget'\" said");
    expect_tree(f, tree);
    same_text(space_at(f, "notes.before-new-space"), old);
    holds(strcmp(space_at(f, "notes"), old) != 0 && space_at(f, "notes")[0] != '\0');
    /* What was tracked is; what was not, is not. */
    holds(e2e_versions(f, "notes/two.log") == 1 && e2e_versions(f, "notes/a/one") == 1);
    holds(e2e_versions(f, "notes/late.log") < 0 && e2e_versions(f, "notes/private.log/p") < 0);
    holds(e2e_versions(f, "notes/shown") == 1 && e2e_versions(f, "notes/none") == 1);
    holds(e2e_versions(f, "notes/private.log/of-one") < 0 && e2e_versions(f, "notes/none.log") < 0);
    e2e_ok(f, "persist conflicts notes | grep -q 'conflict from desk'");
    e2e_ok(f, "persist driver list | grep -q mine");
    e2e_ok(f, "echo more >>notes/a/one && persist unmount notes && persist mount notes && "
              "grep -q more notes/a/one && persist check notes");
    /* The old one is as it was, with its history, until it is forgotten. */
    e2e_ok(f, "persist check notes.before-new-space && persist log notes.before-new-space/big "
              ">/dev/null");
    e2e_ok(f, "persist export notes.before-new-space out && diff out/big notes/big");
    e2e_ok(f, "mkdir notes.before-new-space && persist mount notes.before-new-space && "
              "test \"$(cat notes.before-new-space/a/one)\" = one && "
              "persist unmount notes.before-new-space && persist forget --yes "
              "notes.before-new-space");
    expect_spaces(f, 1);
    e2e_unmount(f);
    free(tree);
    free(old);
}

static void wrong_use_is_refused_and_changes_nothing(struct e2e *f)
{
    e2e_refused(f, 3, "no persist folder", "persist mount notes --new-space");
    same(access(f->home, F_OK), -1);
    e2e_refused(f, 3, "does not exist", "persist mount nowhere --new-space");
    if (!e2e_mount(f, ""))
        return;
    e2e_ok(f, "echo one >notes/one; mkdir other");
    const char *id = space_at(f, "notes");
    e2e_refused(f, 1, "unmount", "persist mount notes --new-space");
    e2e_refused(f, 3, "no persist folder", "persist mount other --new-space");
    e2e_refused(f, 2, "--import", "persist mount notes --new-space --import");
    e2e_refused(f, 2, "--name", "persist mount notes --new-space --name x");
    e2e_unmount(f);
    e2e_refused(f, 2, "", "persist mount notes --new-space -o nonsense");
    e2e_ok(f, "echo x >notes/x");
    e2e_refused(f, 1, "not empty", "persist mount notes --new-space");
    e2e_ok(f, "rm notes/x");
    same_text(space_at(f, "notes"), id);
    expect_spaces(f, 1);
}

/* The old space's folder can be made, however long the name of the folder is. */
static void the_name_for_the_old_space_is_one_that_can_be(struct e2e *f)
{
    e2e_ok(f,
           "n=$(printf 'ü%%.0s' $(seq 125)); mkdir $n && persist mount $n && echo one >$n/one && "
           "persist unmount $n && persist mount $n --new-space && persist unmount $n && "
           "a=$(persist status --json | grep -o '[^/\"]*before-new-space' | head -n 1) && "
           "test ${#a} -gt 100 && mkdir \"$a\" && persist mount \"$a\" && "
           "test \"$(cat \"$a/one\")\" = one && persist unmount \"$a\"");
}

/* What is damaged is named, and does not get lost unnoticed. */
static void a_file_that_cannot_be_read_is_named_and_nothing_changed(struct e2e *f)
{
    f->errors_expected = true;
    if (!e2e_mount(f, "") || !fill(f) || !e2e_unmount(f))
        return;
    const char *id = space_at(f, "notes");
    e2e_ok(f, "p=$(ls -S home/spaces/*/db/*.pack | head -n 1) && "
              "dd if=/dev/zero of=$p bs=64 count=1 seek=20000 conv=notrunc 2>/dev/null");
    e2e_refused(f, 1, "'big' cannot be read", "persist mount notes --new-space");
    same_text(space_at(f, "notes"), id);
    expect_spaces(f, 1);
    e2e_ok(f, "persist mount notes && rm notes/big && persist unmount notes && "
              "persist mount notes --new-space && test \"$(cat notes/a/one)\" = one");
    e2e_unmount(f);
}

/* ---- killed ------------------------------------------------------------------------------------
 */

/* Dies at its @n-th step: true; false: it has fewer, or something else is wrong. */
static bool is_killed(struct e2e *f, unsigned n)
{
    e2e_sh(f, "LD_PRELOAD=%s PERSIST_TEST_DIE=%u exec persist mount notes --new-space >/dev/null",
           TEST_DIE, n);
    if (f->last.status == 0)
        return false;
    return same(f->last.status, 128 + 9);
}

/* What is kept of the old one is whole, and goes. */
static bool forget_old(struct e2e *f, const char *id)
{
    return same_text(space_at(f, "notes.before-new-space"), id) &&
           e2e_ok(f, "persist export notes.before-new-space out >/dev/null && "
                     "cmp out/big big && cmp out/a/one one && rm -rf out && "
                     "persist forget --yes notes.before-new-space");
}

/*
 * One that dies at step @n. Afterwards the folder is mounted as it is, or by the same command
 * again. 1: it has died; 0: it has come to its end; -1: something is wrong. *@replaced: it died
 * when the new space was in its place.
 */
static int die_once(struct e2e *f, unsigned n, const char *tree, bool *replaced)
{
    char *old = strdup(space_at(f, "notes"));
    bool killed = is_killed(f, n);
    check_about("step %u", n);
    const char *now = space_at(f, "notes");
    bool is_new = strcmp(now, old) != 0, again = killed && n % 2 == 0;
    bool fine = now[0] != '\0' && (killed || is_new);
    if (fine && killed)
        fine = e2e_mount(f, again ? "--new-space" : "");
    fine =
        fine && expect_tree(f, tree) && expect_spaces(f, is_new || again ? 2 : 1) && e2e_unmount(f);
    if (fine && (is_new || again))
        fine = forget_old(f, old);
    check_about_nothing();
    free(old);
    *replaced = killed && is_new;
    return fine ? killed : -1;
}

/* In strides to the end, and once more step by step over the last part, where one replaces the
 * other. */
static void killed_at_any_step_the_old_space_stands_or_the_new_one_is_whole(struct e2e *f)
{
    unsigned n = 1, replaced = 0;
    int died = 1;
    bool after;
    f->errors_expected = true;
    if (!e2e_mount(f, "") || !fill(f) || !e2e_ok(f, "cp notes/big big && cp notes/a/one one") ||
        !e2e_unmount(f) || !e2e_mount(f, ""))
        return;
    char *tree = tree_of(f);
    e2e_unmount(f);
    for (; died > 0 && n < STEPS_MAX; n += STRIDE) {
        died = die_once(f, n, tree, &after);
        replaced += after;
    }
    holds(died == 0 && n > 4 * STRIDE);
    n = n > STRIDE + BACK ? n - STRIDE - BACK : 1;
    for (died = died == 0 ? 1 : died; died > 0 && n < STEPS_MAX; n++) {
        died = die_once(f, n, tree, &after);
        replaced += after;
    }
    same(died, 0);
    holds(replaced > 2);
    free(tree);
}

/* ---- a full disk -------------------------------------------------------------------------------
 */

static void a_full_disk_leaves_all_as_it_was(struct e2e *f)
{
    char options[48];
    snprintf(options, sizeof options, "size=%dm,mode=700", DISK_MIB);
    if (ok(mkdir(f->home, 0700)) < 0 || ok(mount("persist-test", f->home, "tmpfs", 0, options)) < 0)
        return;
    if (e2e_mount(f, "") && fill(f) &&
        e2e_ok(f, "head -c %d /dev/urandom >notes/huge && sync notes/huge", BIG_MIB << 20) &&
        e2e_wait(is_published, f, PUBLISHED_MS, "all is published") && e2e_unmount(f) &&
        e2e_mount(f, "")) {
        char *tree = tree_of(f);
        const char *id = space_at(f, "notes");
        e2e_unmount(f);
        e2e_refused(f, 1, "no room", "persist mount notes --new-space");
        same_text(space_at(f, "notes"), id);
        expect_spaces(f, 1);
        if (e2e_mount(f, ""))
            expect_tree(f, tree);
        e2e_unmount(f);
        e2e_ok(f, "mount -o remount,size=%dm %s", ROOM_MIB, f->home);
        e2e_ok(f, "persist mount notes --new-space");
        expect_tree(f, tree);
        e2e_unmount(f);
        free(tree);
    }
    e2e_end_sync(f);
    e2e_ok(f, "umount %s", f->home);
}

/* ---- put out -----------------------------------------------------------------------------------
 */

enum { ANNA, BERT, CARL, DEVICES };

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

static bool is_out(void *arg)
{
    (void)arg;
    e2e_sh(at(CARL), "persist status notes");
    return strstr(at(CARL)->last.out, "--new-space") != NULL;
}

static bool has_sibling(void *arg)
{
    e2e_sh(arg, "ls notes | grep -q 'conflict from'");
    return ((struct e2e *)arg)->last.status == 0;
}

/* Both change a file that cannot be merged. */
static void make_conflict(void)
{
    world_save(at(ANNA), ".persistpolicy", "*.bin keep-both\n");
    world_save(at(ANNA), "shared.bin", "common\n");
    world_wait_text(at(CARL), "shared.bin", "common\n");
    world_wait_text(at(CARL), ".persistpolicy", "*.bin keep-both\n");
    world_offline(at(CARL));
    world_save(at(CARL), "shared.bin", "of carl\n");
    world_save(at(ANNA), "shared.bin", "of anna\n");
    world_online(at(CARL));
    e2e_wait(has_sibling, at(CARL), SIDE_MS, "both are kept");
    world_even_within(&world, SIDE_MS);
}

/* What one of the two spaces gets, the other one does not. */
static void the_others_have_nothing_to_do_with_it(void)
{
    e2e_ok(at(CARL), "persist remote list notes --json");
    same(strstr(at(CARL)->last.out, world.url) != NULL, 0);
    e2e_ok(at(CARL), "persist peers notes --json");
    same_text(e2e_value(at(CARL), "peers.0.this"), "true");
    same_text(e2e_value(at(CARL), "peers.1.peer_id"), "");
    e2e_refused(at(CARL), 4, "token", "persist remote add %s notes --token-file token", world.url);
    world_save(at(CARL), "carl.md", "of the new space\n");
    world_save(at(ANNA), "anna.md", "of the old space\n");
    world_wait_text(at(BERT), "anna.md", "of the old space\n");
    e2e_ok(at(ANNA), "persist sync --wait notes");
    holds(!exists(world_path(at(ANNA), "carl.md")) && !exists(world_path(at(BERT), "carl.md")));
    holds(!exists(world_path(at(CARL), "anna.md")));
}

/* Others can be let in, and those are its only members. */
static void it_is_shared_anew(struct e2e *other)
{
    desk = at(CARL);
    phone = other;
    e2e_ok(desk, "persist p2p --listen /ip4/127.0.0.1/tcp/0 --mdns off >/dev/null");
    e2e_ok(phone, "persist p2p --listen /ip4/127.0.0.1/tcp/0 --mdns off >/dev/null");
    if (!invite("notes"))
        return;
    e2e_ok(phone, "persist pair %s notes --peer %s >joined", code, address);
    invite_ends(0, "paired with");
    world_wait_text(phone, "late.md", "after it was put out\n");
    world_save(phone, "phone.md", "of the phone\n");
    world_wait_text(desk, "phone.md", "of the phone\n");
    e2e_ok(phone, "diff -r notes %s", desk->folder);
    e2e_ok(desk, "persist peers notes --json");
    holds(e2e_value(desk, "peers.1.peer_id")[0] != '\0');
    same_text(e2e_value(desk, "peers.2.peer_id"), "");
}

/* Who is a member may leave so, too: the old space goes on where it is kept. */
static void a_member_is_told_that_it_still_is_one(void)
{
    char *tree = tree_of(at(BERT));
    e2e_ok(at(BERT), "persist unmount notes && persist mount notes --new-space >said && "
                     "grep -q 'still a member.*persist revoke' said");
    expect_tree(at(BERT), tree);
    free(tree);
    e2e_ok(at(BERT), "mkdir notes.before-new-space && persist mount notes.before-new-space");
    world_save(at(ANNA), "anna.md", "goes on\n");
    e2e_ok(at(ANNA), "persist sync --wait notes");
    e2e_ok(at(BERT), "persist sync notes.before-new-space && "
                     "test \"$(cat notes.before-new-space/anna.md)\" = 'goes on' && "
                     "test \"$(cat notes/anna.md)\" = 'of the old space' && "
                     "persist unmount notes.before-new-space");
}

static void who_was_put_out_goes_on_in_a_new_space(struct e2e *f)
{
    if (world_begin(&world, f, DEVICES)) {
        at(CARL)->errors_expected = true;
        make_conflict();
        e2e_ok(at(CARL), "persist id --json");
        e2e_ok(at(ANNA), "persist revoke --yes %s", e2e_value(at(CARL), "peer_id"));
        e2e_wait(is_out, NULL, SIDE_MS, "it knows that it is out");
        world_save(at(CARL), "late.md", "after it was put out\n");
        char *tree = tree_of(at(CARL));
        e2e_ok(at(CARL), "persist unmount notes && persist mount notes --new-space >said && "
                         "! grep -q 'still a member' said");
        expect_tree(at(CARL), tree);
        free(tree);
        e2e_ok(at(CARL), "persist conflicts notes | grep -q shared && "
                         "! persist status notes | grep -q 'put out'");
        the_others_have_nothing_to_do_with_it();
        struct e2e *other = world_add(&world);
        if (holds(other != NULL))
            it_is_shared_anew(other);
        a_member_is_told_that_it_still_is_one();
        for (size_t i = 0; i < world.n; i++)
            e2e_ok(at(i), "persist check notes");
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(what_is_in_the_folder_is_in_the_new_space),
        E2E_TEST(wrong_use_is_refused_and_changes_nothing),
        E2E_TEST(the_name_for_the_old_space_is_one_that_can_be),
        E2E_TEST(a_file_that_cannot_be_read_is_named_and_nothing_changed),
        E2E_TEST(killed_at_any_step_the_old_space_stands_or_the_new_one_is_whole),
        E2E_TEST(a_full_disk_leaves_all_as_it_was),
        E2E_TEST(who_was_put_out_goes_on_in_a_new_space),
    };
    e2e_allow_preload();
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
