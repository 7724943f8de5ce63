#include "space_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crash_tree.h"

/* ---- output ---- */

static struct space_fixture *fixture_of(struct out *o)
{
    return CONTAINER_OF(o, struct space_fixture, out);
}

static int keep_bytes(struct out *o, struct bytes v)
{
    buf_put_bytes(&fixture_of(o)->text, v);
    return buf_status(&fixture_of(o)->text);
}

static void keep_error(struct out *o, const char *line)
{
    struct space_fixture *f = fixture_of(o);
    snprintf(f->error, sizeof f->error, "%s", line);
    f->errors_n++;
}

static bool is_cancelled(struct out *o, unsigned wait_ms)
{
    struct space_fixture *f = fixture_of(o);
    (void)wait_ms;
    return f->polls_max > 0 && ++f->polls_n >= f->polls_max;
}

/* ---- the space ---- */

int space_fixture_open(struct space_fixture *f)
{
    struct err err = {0};
    struct space_config cfg = {
        .dir = f->dir, .create = true, .label = "test device", .tidy_ms = f->tidy_ms};
    int rc = space_open(&cfg, &f->space, &err);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", f->dir, err.msg);
        return rc;
    }
    f->tree = space_tree(f->space);
    return 0;
}

void space_fixture_close(struct space_fixture *f)
{
    space_close(f->space);
    f->space = NULL;
    f->tree = NULL;
    tree_thread_done();
}

int space_fixture_setup(void **state)
{
    struct space_fixture *f = calloc(1, sizeof *f);
    const char *root = crash_temp_dir();
    if (f == NULL || root == NULL) {
        free(f);
        return -1;
    }
    f->out = (struct out){.write = keep_bytes, .error = keep_error, .cancelled = is_cancelled};
    snprintf(f->root, sizeof f->root, "%s", root);
    snprintf(f->dir, sizeof f->dir, "%s/space", root);
    *state = f;
    if (mkdir(f->dir, 0700) < 0)
        return -1;
    return space_fixture_open(f) < 0 ? -1 : 0;
}

int space_fixture_teardown(void **state)
{
    struct space_fixture *f = *state;
    space_fixture_close(f);
    crash_remove_dir(f->root);
    buf_fini(&f->text);
    free(f);
    return 0;
}

int space_run_call(struct space_fixture *f, struct verb_call *call, const char *a, const char *b,
                   const char *c)
{
    const char *args[] = {a, b, c};
    buf_reset(&f->text);
    f->error[0] = '\0';
    f->errors_n = 0;
    f->polls_n = 0;
    call->folder = "/folder";
    call->name = "name";
    for (call->args_n = 0; call->args_n < 3 && args[call->args_n] != NULL; call->args_n++)
        call->args[call->args_n] = args[call->args_n];
    const struct verb *v = verb_find(call->verb);
    assert_non_null(v);
    int status = v->run(f->space, call, &f->out);
    buf_put_u8(&f->text, 0);
    return status;
}

int space_run(struct space_fixture *f, const char *verb, const char *a, const char *b,
              const char *c)
{
    struct verb_call call = {.verb = verb};
    return space_run_call(f, &call, a, b, c);
}

/* ---- files ---- */

/* The directory of a path, and the last name in it. */
static uint64_t dir_of(struct space_fixture *f, const char *path, struct bytes *ret_name)
{
    struct attr a = {.ino = TREE_ROOT};
    const char *slash;
    while ((slash = strchr(path, '/')) != NULL) {
        assert_int_equal(tree_lookup(f->tree, a.ino, bytes_of(path, (size_t)(slash - path)), &a),
                         0);
        path = slash + 1;
    }
    *ret_name = bytes_str(path);
    return a.ino;
}

static int find(struct space_fixture *f, const char *path, struct attr *ret)
{
    struct attr a = {.ino = TREE_ROOT};
    int rc = tree_getattr(f->tree, TREE_ROOT, &a);
    while (rc == 0 && *path != '\0') {
        size_t n = strcspn(path, "/");
        rc = tree_lookup(f->tree, a.ino, bytes_of(path, n), &a);
        path += n + (path[n] == '/');
    }
    *ret = a;
    return rc;
}

uint64_t space_ino(struct space_fixture *f, const char *path)
{
    struct attr a;
    if (find(f, path, &a) < 0)
        fail_msg("%s is not there", path);
    return a.ino;
}

bool space_has(struct space_fixture *f, const char *path)
{
    struct attr a;
    return find(f, path, &a) == 0;
}

void space_write(struct space_fixture *f, const char *path, const void *p, size_t n)
{
    struct bytes name;
    struct attr a;
    uint64_t dir = dir_of(f, path, &name);
    int rc = tree_lookup(f->tree, dir, name, &a);
    struct tree_new what = {.mode = S_IFREG | 0644};
    if (rc == -ENOENT)
        rc = tree_make(f->tree, dir, name, &what, &a);
    assert_int_equal(rc, 0);
    assert_int_equal(tree_open_file(f->tree, a.ino, true, true, &a), 0);
    struct tree_write how = {.offset = 0};
    if (n > 0)
        assert_int_equal(tree_write(f->tree, a.ino, bytes_of(p, n), &how), 0);
    tree_close_file(f->tree, a.ino, true);
}

void space_write_text(struct space_fixture *f, const char *path, const char *text)
{
    space_write(f, path, text, strlen(text));
}

void space_mkdir(struct space_fixture *f, const char *path)
{
    struct bytes name;
    struct attr a;
    uint64_t dir = dir_of(f, path, &name);
    struct tree_new what = {.mode = S_IFDIR | 0755};
    assert_int_equal(tree_make(f->tree, dir, name, &what, &a), 0);
}

void space_remove(struct space_fixture *f, const char *path)
{
    struct bytes name;
    struct attr a;
    uint64_t dir = dir_of(f, path, &name);
    assert_int_equal(find(f, path, &a), 0);
    assert_int_equal(
        attr_is_dir(&a) ? tree_rmdir(f->tree, dir, name) : tree_unlink(f->tree, dir, name), 0);
}

void space_rename(struct space_fixture *f, const char *from, const char *to)
{
    struct bytes name, new_name;
    uint64_t dir = dir_of(f, from, &name), new_dir = dir_of(f, to, &new_name);
    assert_int_equal(tree_rename(f->tree, dir, name, new_dir, new_name, 0), 0);
}

void space_read(struct space_fixture *f, const char *path, struct buf *ret)
{
    struct attr a;
    if (find(f, path, &a) < 0)
        fail_msg("%s is not there", path);
    assert_int_equal(buf_resize(ret, a.size), 0);
    assert_int_equal(tree_read_unseen(f->tree, a.ino, 0, ret->p, ret->n), a.size);
}

void space_expect_text(struct space_fixture *f, const char *path, const char *text)
{
    struct buf b = {0};
    space_read(f, path, &b);
    buf_put_u8(&b, 0);
    assert_string_equal((const char *)b.p, text);
    buf_fini(&b);
}

bool space_json(const struct space_fixture *f, const char *key, unsigned i, char *ret, size_t size)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *p = (const char *)f->text.p;
    for (;; i--) {
        p = strstr(p, quoted);
        if (p == NULL)
            return false;
        p += strlen(quoted);
        if (i == 0)
            break;
    }
    bool text = *p == '"';
    p += text;
    snprintf(ret, size, "%.*s", (int)strcspn(p, text ? "\"" : ",}]"), p);
    return true;
}
