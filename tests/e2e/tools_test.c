/* Programs that lean on a file system, at work in a mount. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/manifest.h"
#include "tests/support/posix.h"

enum { LONG_MS = 150 * 1000, STRESS_SECONDS = 3 };

/* Runs lines of sh in the test's directory; set -e holds. */
static const struct e2e_result *in_mount(struct e2e *f, const char *lines)
{
    char here[PATH_MAX];
    holds(getcwd(here, sizeof here) != NULL);
    const struct e2e_result *r =
        e2e_sh_within(f, LONG_MS, "set -e; cd %s; exec 2>&1; %s", here, lines);
    if (r->status != 0)
        check_fail("status %d: %.3000s", r->status,
                   r->out_n > 3000 ? r->out + r->out_n - 3000 : r->out);
    return r;
}

#define GIT                                                                                        \
    "export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org "         \
    "GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.org; "

static void git_keeps_its_objects(struct e2e *f)
{
    in_mount(f, GIT
             "git init -q a; cd a; "
             "for i in $(seq 60); do mkdir -p d$((i % 7)); seq $i 400 > d$((i % 7))/f$i; done; "
             "git add .; git commit -qm first; "
             "for i in 1 2 3 4 5; do echo $i >> d1/f1; git mv d2/f2 d2/tmp; git mv d2/tmp d2/f2; "
             "  rm -f d3/f1$i; git commit -qam change$i; done; "
             "[ -z \"$(git status --porcelain)\" ]; "
             "git checkout -qb other HEAD~3; echo x > new; git add new; git commit -qm branch; "
             "git checkout -q -; git merge -q other -m merge; "
             "git fsck --full --strict; git gc -q --aggressive --prune=now; "
             "git fsck --full --strict; git stash -q 2>/dev/null || true; "
             "[ -z \"$(git status --porcelain)\" ]");
    in_mount(f, GIT
             "git clone -q a b; git clone -q --no-hardlinks a c; git clone -q --shared a d; "
             "for r in b c d; do git -C $r fsck --full; "
             "  diff -r --exclude=.git a $r; [ -z \"$(git -C $r status --porcelain)\" ]; done; "
             "cd b; echo y > y; git add y; git commit -qm y; git push -q origin HEAD:refs/heads/y; "
             "cd ../a; git show y:y | grep -qx y; git worktree add -q ../w y; cat ../w/y; "
             "git repack -qad; git fsck --full --strict; git reflog expire --expire=now --all; "
             "git prune; git fsck --full --strict");
}

static void sqlite_keeps_its_promises(struct e2e *f)
{
    static const char *const modes[] = {"delete", "truncate", "persist", "wal"};
    for (size_t i = 0; i < ARRAY_N(modes); i++) {
        check_about("journal_mode=%s", modes[i]);
        char lines[2048];
        snprintf(
            lines, sizeof lines,
            "db=%s.db; sqlite3 $db 'PRAGMA journal_mode=%s; CREATE TABLE t(k INTEGER PRIMARY "
            "KEY, v BLOB, w TEXT); CREATE INDEX i ON t(w);' >/dev/null; "
            "one() { for n in $(seq 25); do echo \"BEGIN IMMEDIATE; INSERT INTO t(v, w) SELECT "
            "randomblob(900), hex(randomblob(9)) FROM generate_series(1, 10); COMMIT;\"; done | "
            "sqlite3 -cmd '.timeout 60000' $db; }; "
            "one & a=$!; one & b=$!; wait $a; wait $b; "
            "echo 'BEGIN; DELETE FROM t WHERE k %% 3 = 0; UPDATE t SET w = w || w; ROLLBACK; "
            "DELETE FROM t WHERE k %% 5 = 0; VACUUM; PRAGMA integrity_check; "
            "SELECT count(*) FROM t;' | sqlite3 -cmd '.timeout 60000' $db",
            modes[i], modes[i]);
        const struct e2e_result *r = in_mount(f, lines);
        same_text(r->out, "ok\n400\n");
    }
    check_about("a writer that is killed");
    const struct e2e_result *r =
        in_mount(f, "for mode in wal delete; do db=k$mode.db; mkfifo in; "
                    "sqlite3 $db \"PRAGMA journal_mode=$mode; CREATE TABLE t(v); "
                    "INSERT INTO t VALUES(1);\" >/dev/null; "
                    "sqlite3 $db < in & pid=$!; exec 3> in; "
                    "echo 'BEGIN; INSERT INTO t SELECT randomblob(5000) FROM "
                    "generate_series(1, 1000);' >&3; echo '.shell touch started' >&3; "
                    "while [ ! -e started ]; do sleep 0.05; done; kill -9 $pid; "
                    "{ wait $pid || true; } 2>/dev/null; exec 3>&-; rm started in; "
                    "sqlite3 $db 'PRAGMA integrity_check; SELECT count(*) FROM t;'; done");
    same_text(r->out, "ok\n1\nok\n1\n");
}

static void make_builds_what_changed(struct e2e *f)
{
    const struct e2e_result *r = in_mount(
        f,
        "seq 24 | while read n; do echo \"int f$n(void); int f$n(void) { return $n; }\" > f$n.c; "
        "done; (seq -f 'int f%g(void);' 24; echo 'int main(void) { return 0'; "
        "seq -f '+ f%g()' 24; echo '- 300; }') > main.c; "
        "printf 'prog: $(patsubst %%.c,%%.o,$(wildcard *.c))\\n\\t$(CC) -o $@ $^\\n' > Makefile; "
        "make -s -j2; ./prog; make -q; ls *.o | wc -l");
    same_text(r->out, "25\n");
    next_tick();
    r = in_mount(f, "touch f7.c; make -j2 | grep -c -- '-c'; ./prog; make -q; "
                    "printf 'int f7(void); int f7(void) { return 8; }\\n' > f7.c; make -s; "
                    "./prog && exit 1 || [ $? = 1 ]; make clean 2>/dev/null || rm -f *.o prog; "
                    "make -s -j2; ls -l prog >/dev/null");
    same_text(r->out, "1\n");
}

/* Some directories of headers, with links of both kinds, attributes and odd modes. */
static const char make_source[] =
    "mkdir -p $HOME/src; cp -a /usr/include/linux/[a-h]* $HOME/src/; cd $HOME/src; "
    "ln a.out.h hard1; ln a.out.h hard2; ln -s a.out.h soft; ln -s nowhere dangling; "
    "setfattr -n user.note -v 'some text' a.out.h; setfattr -n user.dir -v x .; "
    "chmod 4711 hard1; mkdir -m 2750 closed; mkfifo fifo; "
    "touch -h -d '2001-02-03 04:05:06.789' soft dangling fifo; "
    "touch -d '1999-12-31 23:59:59.123456789' closed acct.h; "
    "chown 65533:65534 adfs_fs.h 2>/dev/null || true; "
    "head -c 3000000 /dev/urandom > large; truncate -s 5M sparse; "
    "printf x | dd of=sparse bs=1 seek=4000000 conv=notrunc status=none; cd - >/dev/null; ";

static void rsync_has_nothing_left_to_do(struct e2e *f)
{
    char here[PATH_MAX], source[E2E_PATH_MAX], copy[PATH_MAX + 8], back[E2E_PATH_MAX];
    enum { ALL = MANIFEST_OWNER | MANIFEST_LINKS | MANIFEST_DIR_TIMES | MANIFEST_XATTR };
    snprintf(source, sizeof source, "%.100s/src", f->top);
    snprintf(back, sizeof back, "%.100s/back", f->top);
    holds(getcwd(here, sizeof here) != NULL);
    snprintf(copy, sizeof copy, "%s/copy", here);
    in_mount(f, make_source);
    in_mount(f, "rsync -aHAX --checksum $HOME/src/ copy/");
    const struct e2e_result *r =
        in_mount(f, "rsync -aHAX --checksum --itemize-changes --omit-dir-times $HOME/src/ copy/");
    same_text(r->out, "");
    in_mount(f, "rsync -aHAX --checksum copy/ $HOME/back/");
    char *a = manifest_of(source, ALL), *b = manifest_of(copy, ALL), *c = manifest_of(back, ALL);
    same_tree(b, a);
    same_tree(c, a);
    free(a);
    free(b);
    free(c);
    /* What changed, and only that, in place and by temporary files. */
    r = in_mount(f, "echo more >> $HOME/src/acl.h 2>/dev/null || echo more >> $HOME/src/acct.h; "
                    "rm $HOME/src/hard2; "
                    "rsync -aHAX --checksum --delete --inplace --out-format=%n $HOME/src/ copy/ | "
                    "grep -v '/$' | wc -l; rsync -aHAX --checksum --delete -i $HOME/src/ copy/; "
                    "rm -rf $HOME/src $HOME/back");
    same_text(r->out, "2\n");
}

static void tar_goes_there_and_back(struct e2e *f)
{
    char here[PATH_MAX], path[2][PATH_MAX + 16];
    enum { ALL = MANIFEST_OWNER | MANIFEST_LINKS | MANIFEST_DIR_TIMES | MANIFEST_XATTR };
    holds(getcwd(here, sizeof here) != NULL);
    in_mount(f, make_source);
    in_mount(f, "mkdir in out; tar -C $HOME/src --xattrs --sparse -cf one.tar .; "
                "tar -C in --xattrs --same-owner -xpf one.tar; "
                "tar -C in --xattrs --compare -f one.tar; "
                "tar -C in --xattrs --sparse -cf - . | tar -C out --xattrs --same-owner -xpf -; "
                "rm -rf $HOME/src");
    snprintf(path[0], sizeof path[0], "%s/in", here);
    snprintf(path[1], sizeof path[1], "%s/out", here);
    char *a = manifest_of(path[0], ALL), *b = manifest_of(path[1], ALL);
    same_tree(b, a);
    free(a);
    free(b);
    in_mount(f, "cp -a in copied; diff -r --no-dereference -x fifo in copied; mv copied moved; "
                "diff -r --no-dereference -x fifo in moved; rm -rf moved in out; [ ! -e in ]; "
                "cp -a --reflink=auto one.tar two.tar; cmp one.tar two.tar; "
                "tar -tf two.tar | wc -l | grep -q ..");
}

static void stress_finds_nothing(struct e2e *f)
{
    static const char *const stressors[] = {"dir", "link", "symlink",   "rename",
                                            "hdd", "seek", "fallocate", "xattr"};
    for (size_t i = 0; i < ARRAY_N(stressors); i++) {
        check_about("%s", stressors[i]);
        char line[512];
        snprintf(line, sizeof line,
                 "mkdir %s; stress-ng --temp-path $PWD/%s --%s 2 --hdd-bytes 8m --seek-size 4m "
                 "--fallocate-bytes 16m --verify --timeout %ds --no-rand-seed",
                 stressors[i], stressors[i], stressors[i], STRESS_SECONDS);
        const struct e2e_result *r = in_mount(f, line);
        holds(strstr(r->out, "fail:") == NULL);
        contains(r->out, "successful run");
        in_mount(f, "[ -z \"$(ls -A */)\" ]; rmdir *");
    }
}

static void fio_reads_what_it_wrote(struct e2e *f)
{
    static const char *const jobs[] = {
        "--rw=randrw --bs=4k --size=8m",
        "--rw=randwrite --bsrange=512-70000 --bs_unaligned=1 --size=6m",
        "--rw=write --bs=128k --size=24m --end_fsync=1",
        "--rw=randwrite --bs=4k --size=4m --ioengine=mmap",
        "--rw=randwrite --bs=4k --size=2m --fsync=8",
        "--rw=write --bs=64k --size=8m --direct=1",
        "--rw=randwrite --bs=1k --filesize=24k --nrfiles=40 --size=960k",
    };
    for (size_t i = 0; i < ARRAY_N(jobs); i++) {
        check_about("fio %s", jobs[i]);
        char line[512];
        snprintf(
            line, sizeof line,
            "mkdir d; fio --name=job --directory=$PWD/d --ioengine=psync %s --numjobs=2 "
            "--verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=7 --minimal >/dev/null; "
            "rm -rf d",
            jobs[i]);
        in_mount(f, line);
    }
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(git_keeps_its_objects),    E2E_TEST(sqlite_keeps_its_promises),
        E2E_TEST(make_builds_what_changed), E2E_TEST(rsync_has_nothing_left_to_do),
        E2E_TEST(tar_goes_there_and_back),  E2E_TEST(stress_finds_nothing),
        E2E_TEST(fio_reads_what_it_wrote),
    };
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
