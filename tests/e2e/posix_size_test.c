/* truncate(2), sparse files, fallocate(2), lseek(2) for holes, copy_file_range(2), and sizes at
 * edges. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/posix.h"

enum { KIB = 1024, MIB = 1024 * KIB, BUFFER = 2 * MIB };

/* Around blocks of 4 KiB, the 32 KiB that a small file may have, and chunks. */
static const size_t edges[] = {
    0,     1,     4095,  4096,  4097,  8191,  8192,  8193,   32767,  32768,
    32769, 36863, 36864, 36865, 65535, 65536, 65537, 262143, 262144, 262145,
};

static uint8_t want[BUFFER], found[BUFFER];

/* The file is exactly the first @n bytes of want, also when read anew. */
static void check_content(int fd, size_t n)
{
    for (int pass = 0; pass < 2; pass++) {
        same(fstat_of(fd).st_size, n);
        size_t k = read_all(fd, found, sizeof found, 0);
        if (same(k, n))
            same_bytes(found, want, n);
        drop_cache(fd);
    }
}

static int new_file(size_t n, uint64_t seed)
{
    int fd = (int)ok(open("x", O_CREAT | O_TRUNC | O_RDWR, 0600));
    memset(want, 0, sizeof want);
    pattern_fill(want, n, seed, 0);
    holds(write_all(fd, want, n, 0));
    return fd;
}

static void every_edge_truncated_to_every_other(struct e2e *f)
{
    (void)f;
    for (size_t i = 0; i < ARRAY_N(edges); i++)
        for (size_t k = 0; k < ARRAY_N(edges); k++) {
            check_about("%zu bytes to %zu", edges[i], edges[k]);
            int fd = new_file(edges[i], i * 100 + k);
            ok(ftruncate(fd, (off_t)edges[k]));
            if (edges[k] < edges[i])
                memset(want + edges[k], 0, edges[i] - edges[k]);
            check_content(fd, edges[k]);
            /* What was cut off does not come back. */
            ok(truncate("x", 300000));
            check_content(fd, 300000);
            close(fd);
        }
}

static void writes_across_every_edge(struct e2e *f)
{
    (void)f;
    static const size_t lengths[] = {1, 2, 3, 4096, 40000};
    for (size_t i = 0; i < ARRAY_N(edges); i++)
        for (size_t l = 0; l < ARRAY_N(lengths); l++)
            for (size_t back = 0; back < 3; back++) {
                if (back > edges[i])
                    continue;
                size_t at = edges[i] - back, n = lengths[l];
                /* Into a file that ends there, that is longer, and that is empty. */
                size_t sizes[] = {edges[i], edges[i] + n + 5000, 0};
                size_t size = sizes[(i + l + back) % 3];
                check_about("%zu bytes at %zu of %zu", n, at, size);
                int fd = new_file(size, i);
                pattern_fill(want + at, n, 1000 + i, 0);
                holds(write_all(fd, want + at, n, (off_t)at));
                check_content(fd, at + n > size ? at + n : size);
                close(fd);
            }
}

static void truncate_refuses(struct e2e *f)
{
    (void)f;
    put_file("x", "text");
    make_dir("d", 0755);
    ok(mkfifo("p", 0600));
    ok(symlink("x", "link"));
    fails(truncate("x", -1), EINVAL);
    fails(truncate("d", 0), EISDIR);
    fails(truncate("p", 0), EINVAL);
    fails(truncate("none", 0), ENOENT);
    fails(truncate("x/y", 0), ENOTDIR);
    ok(truncate("link", 2));
    check_file("x", "te");
    int fd = (int)ok(open("x", O_RDWR));
    fails(ftruncate(fd, -1), EINVAL);
    close(fd);
    ok(chmod("x", 0644));
    AS(E2E_USER, E2E_USER)
    {
        fails(truncate("x", 0), EACCES);
    }
    check_file("x", "te");
}

static void sizes_have_a_limit(struct e2e *f)
{
    (void)f;
    int fd = (int)ok(open("x", O_CREAT | O_RDWR, 0600));
    if (!f->foreign) {
        ok(ftruncate(fd, (off_t)1 << 40));
        same(fstat_of(fd).st_size, (off_t)1 << 40);
        holds(fstat_of(fd).st_blocks < 1000);
        same(pread(fd, found, 100, ((off_t)1 << 40) - 50), 50);
        same(pwrite(fd, "end", 3, ((off_t)1 << 40) - 3), 3);
        drop_cache(fd);
        same(pread(fd, found, 100, ((off_t)1 << 40) - 50), 50);
        same_bytes(found + 47, "end", 3);
        fails(ftruncate(fd, ((off_t)1 << 50) + 1), EFBIG);
        fails(pwrite(fd, "x", 1, (off_t)1 << 50), EFBIG);
        fails(fallocate(fd, 0, (off_t)1 << 50, 1), EFBIG);
        same(fstat_of(fd).st_size, (off_t)1 << 40);
    }
    fails(ftruncate(fd, INT64_MAX), EFBIG);
    fails(pwrite(fd, "x", 1, INT64_MAX), EINVAL);
    close(fd);
    AS(0, 0)
    {
        struct rlimit limit = {5000, 5000};
        signal(SIGXFSZ, SIG_IGN);
        ok(setrlimit(RLIMIT_FSIZE, &limit));
        int y = (int)ok(open("y", O_CREAT | O_RDWR, 0600));
        same(pwrite(y, found, 6000, 0), 5000);
        fails(pwrite(y, found, 1, 5000), EFBIG);
        fails(ftruncate(y, 5001), EFBIG);
        same(fstat_of(y).st_size, 5000);
        close(y);
    }
}

static void sparse_files_are_zeros_and_take_no_room(struct e2e *f)
{
    (void)f;
    int fd = new_file(0, 0);
    same(pwrite(fd, "end", 3, 1500000), 3);
    memcpy(want + 1500000, "end", 3);
    check_content(fd, 1500003);
    ok(fsync(fd));
    holds(fstat_of(fd).st_blocks * 512 < 600000);
    same(pwrite(fd, "mid", 3, 700000), 3);
    memcpy(want + 700000, "mid", 3);
    check_content(fd, 1500003);
    close(fd);
    /* A written file counts about its size. */
    fd = new_file(MIB, 5);
    ok(fsync(fd));
    same(fstat_of(fd).st_blocks * 512 >= MIB / 2 && fstat_of(fd).st_blocks * 512 <= 2 * MIB, true);
    close(fd);
}

static void a_mapping_sees_truncation(struct e2e *f)
{
    (void)f;
    int fd = new_file(10000, 9);
    uint8_t *p = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    holds(p != MAP_FAILED);
    if (p == MAP_FAILED)
        return;
    same_bytes(p, want, 10000);
    ok(ftruncate(fd, 5000));
    /* The rest of the last page is zeros, and stays so when the file grows. */
    for (size_t i = 5000; i < 8192; i++)
        if (p[i] != 0) {
            check_fail("byte %zu of the cut page is %#x", i, p[i]);
            break;
        }
    ok(ftruncate(fd, 10000));
    memset(want + 5000, 0, 5000);
    same_bytes(p, want, 10000);
    check_content(fd, 10000);
    munmap(p, 10000);
    close(fd);
}

static void fallocate_in_each_mode(struct e2e *f)
{
    (void)f;
    enum {
        PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        ZERO = FALLOC_FL_ZERO_RANGE,
        KEEP = FALLOC_FL_KEEP_SIZE
    };
    static const int modes[] = {0, KEEP, PUNCH, ZERO, ZERO | KEEP};
    static const size_t sizes[] = {0, 100, 32768, 50000, 200000};
    static const struct {
        size_t at, n;
    } ranges[] = {{0, 1},        {10, 50},   {4096, 4096},     {4000, 9000},
                  {32000, 2000}, {0, 70000}, {150000, 100000}, {131072, 8192}};
    for (size_t m = 0; m < ARRAY_N(modes); m++)
        for (size_t s = 0; s < ARRAY_N(sizes); s++)
            for (size_t r = 0; r < ARRAY_N(ranges); r++) {
                size_t at = ranges[r].at, end = at + ranges[r].n, size = sizes[s];
                check_about("mode %#x of %zu to %zu in %zu bytes", (unsigned)modes[m], at, end,
                            size);
                int fd = new_file(size, m);
                ok(fallocate(fd, modes[m], (off_t)at, (off_t)(end - at)));
                if ((modes[m] & ~KEEP) != 0 && at < size)
                    memset(want + at, 0, (end < size ? end : size) - at);
                check_content(fd, (modes[m] & KEEP) == 0 && end > size ? end : size);
                close(fd);
            }
}

static void fallocate_refuses(struct e2e *f)
{
    (void)f;
    int fd = new_file(100, 0);
    fails(fallocate(fd, 0, 0, 0), EINVAL);
    fails(fallocate(fd, 0, -1, 10), EINVAL);
    fails(fallocate(fd, 0, 0, -1), EINVAL);
    fails(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
    if (!f->foreign) {
        fails(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), EOPNOTSUPP);
        fails(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, 4096), EOPNOTSUPP);
        fails(fallocate(fd, 0x8000, 0, 4096), EOPNOTSUPP);
    }
    fails(fallocate(fd, 0, INT64_MAX - 10, 100), EFBIG);
    ok(posix_fallocate(fd, 50, 1000) == 0 ? 0 : -1);
    same(fstat_of(fd).st_size, 1050);
    close(fd);
    ok(mkfifo("p", 0600));
    fd = (int)ok(open("p", O_RDWR));
    fails(fallocate(fd, 0, 0, 10), ESPIPE);
    close(fd);
}

static void holes_and_data_are_found(struct e2e *f)
{
    (void)f;
    static const struct {
        size_t at, n;
    } pieces[] = {{0, 10}, {65536, 4096}, {300000, 100000}, {1048576, 1}};
    int fd = new_file(0, 0);
    ok(ftruncate(fd, BUFFER - 1000));
    for (size_t i = 0; i < ARRAY_N(pieces); i++) {
        pattern_fill(want + pieces[i].at, pieces[i].n, 50 + i, 0);
        for (size_t k = 0; k < pieces[i].n; k++)
            want[pieces[i].at + k] |= 1;
        holds(write_all(fd, want + pieces[i].at, pieces[i].n, (off_t)pieces[i].at));
    }
    off_t size = fstat_of(fd).st_size, at = 0, data_bytes = 0;
    /* Walks over all; what is called a hole holds nothing. */
    while (at < size) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0) {
            same(errno, ENXIO);
            data = size;
        }
        for (off_t i = at; i < data; i++)
            if (want[i] != 0) {
                check_fail("byte %jd is data and was called a hole", (intmax_t)i);
                break;
            }
        if (data == size)
            break;
        off_t hole = lseek(fd, data, SEEK_HOLE);
        if (!holds(hole > data && hole <= size))
            break;
        data_bytes += hole - data;
        at = hole;
    }
    holds(data_bytes >= 104107 && data_bytes < 700000);
    same(lseek(fd, 0, SEEK_DATA), 0);
    same(lseek(fd, 300000, SEEK_DATA), 300000);
    same(lseek(fd, 300007, SEEK_DATA), 300007);
    fails(lseek(fd, size, SEEK_DATA), ENXIO);
    fails(lseek(fd, size, SEEK_HOLE), ENXIO);
    fails(lseek(fd, size + 1, SEEK_HOLE), ENXIO);
    fails(lseek(fd, -1, SEEK_DATA), ENXIO);
    fails(lseek(fd, 1500000, SEEK_DATA), ENXIO);
    same(lseek(fd, 1500000, SEEK_HOLE), 1500000);
    same(lseek(fd, 0, SEEK_CUR), 1500000);
    close(fd);
    fd = new_file(100, 1);
    same(lseek(fd, 0, SEEK_HOLE), 100);
    same(lseek(fd, 99, SEEK_DATA), 99);
    close(fd);
    fd = new_file(0, 1);
    fails(lseek(fd, 0, SEEK_DATA), ENXIO);
    fails(lseek(fd, 0, SEEK_HOLE), ENXIO);
    close(fd);
}

static void copies_of_ranges(struct e2e *f)
{
    (void)f;
    static const struct {
        size_t source, at, n, target, to;
    } rows[] = {
        {100, 0, 100, 0, 0},           {100, 10, 50, 100, 20},
        {100, 50, 500, 0, 0},          {100, 100, 10, 5, 0},
        {32768, 0, 32768, 0, 0},       {32769, 0, 32769, 0, 0},
        {200000, 0, 200000, 0, 0},     {200000, 4096, 8192, 0, 4096},
        {200000, 1, 100000, 50000, 3}, {200000, 0, 200000, 300000, 50000},
        {500, 0, 500, 200000, 32760},  {200000, 0, 40000, 100, 100},
        {200000, 199999, 5, 0, 70000}, {MIB, 0, MIB, 10, 0},
    };
    static uint8_t source[BUFFER];
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        check_about("row %zu", i);
        pattern_fill(source, rows[i].source, 77 + i, 0);
        int in = (int)ok(open("in", O_CREAT | O_TRUNC | O_RDWR, 0600));
        holds(write_all(in, source, rows[i].source, 0));
        int out = new_file(rows[i].target, i);
        off_t from = (off_t)rows[i].at, to = (off_t)rows[i].to;
        size_t done = 0, can = rows[i].source > rows[i].at ? rows[i].source - rows[i].at : 0;
        can = can < rows[i].n ? can : rows[i].n;
        ssize_t k = 1;
        while (done < can && k > 0)
            if ((k = (ssize_t)ok(copy_file_range(in, &from, out, &to, rows[i].n - done, 0))) > 0)
                done += (size_t)k;
        same(done, can);
        same(from, rows[i].at + can);
        same(to, rows[i].to + can);
        same(lseek(in, 0, SEEK_CUR), 0);
        memcpy(want + rows[i].to, source + rows[i].at, can);
        size_t end = can > 0 ? rows[i].to + can : 0;
        check_content(out, end > rows[i].target ? end : rows[i].target);
        /* The copy is one: changing either leaves the other alone. */
        same(pwrite(in, "changed", 7, 0), 7);
        check_content(out, end > rows[i].target ? end : rows[i].target);
        same(pwrite(out, "other", 5, (off_t)rows[i].to), 5);
        uint8_t head[7];
        same(pread(in, head, 7, 0), 7);
        same_bytes(head, "changed", 7);
        close(in);
        close(out);
    }
}

static void copies_refuse(struct e2e *f)
{
    (void)f;
    put_file("a", "0123456789");
    put_file("b", "abc");
    int a = (int)ok(open("a", O_RDWR)), b = (int)ok(open("b", O_RDWR));
    int read_only = (int)ok(open("b", O_RDONLY)), append = (int)ok(open("b", O_WRONLY | O_APPEND));
    int write_only = (int)ok(open("a", O_WRONLY)), dir = (int)ok(open(".", O_RDONLY));
    off_t zero = 0, three = 3, far = 100;
    fails(copy_file_range(a, NULL, read_only, NULL, 1, 0), EBADF);
    fails(copy_file_range(write_only, NULL, b, NULL, 1, 0), EBADF);
    fails(copy_file_range(a, NULL, append, NULL, 1, 0), EBADF);
    fails(copy_file_range(dir, NULL, b, NULL, 1, 0), EISDIR);
    fails(copy_file_range(a, &zero, a, &three, 5, 0), EINVAL);
    fails(copy_file_range(a, NULL, b, NULL, 1, 99), EINVAL);
    same(copy_file_range(a, &far, b, NULL, 5, 0), 0);
    same(copy_file_range(a, &zero, a, &three, 3, 0), 3);
    check_file("a", "0120126789");
    check_file("b", "abc");
    same(copy_file_range(a, NULL, b, NULL, 2, 0), 2);
    same(lseek(a, 0, SEEK_CUR), 2);
    same(lseek(b, 0, SEEK_CUR), 2);
    check_file("b", "01c");
    close(a);
    close(b);
    close(read_only);
    close(append);
    close(write_only);
    close(dir);
}

static void every_descriptor_sees_the_size(struct e2e *f)
{
    (void)f;
    int a = new_file(0, 0), b = (int)ok(open("x", O_RDONLY));
    char c[16];
    for (int i = 0; i < 50; i++) {
        same(pwrite(a, "0123456789", 10, i * 1000), 10);
        same(fstat_of(b).st_size, i * 1000 + 10);
        same(stat_of("x").st_size, i * 1000 + 10);
        same(pread(b, c, sizeof c, i * 1000), 10);
    }
    ok(ftruncate(a, 5));
    same(fstat_of(b).st_size, 5);
    same(pread(b, c, sizeof c, 0), 5);
    same(lseek(b, 0, SEEK_END), 5);
    close(a);
    close(b);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(every_edge_truncated_to_every_other),
        E2E_TEST(writes_across_every_edge),
        E2E_TEST(truncate_refuses),
        E2E_TEST(sizes_have_a_limit),
        E2E_TEST(sparse_files_are_zeros_and_take_no_room),
        E2E_TEST(a_mapping_sees_truncation),
        E2E_TEST(fallocate_in_each_mode),
        E2E_TEST(fallocate_refuses),
        E2E_TEST(holes_and_data_are_found),
        E2E_TEST(copies_of_ranges),
        E2E_TEST(copies_refuse),
        E2E_TEST(every_descriptor_sees_the_size),
    };
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
