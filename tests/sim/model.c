#include "tests/sim/model.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/sim.h"

enum { REPLY_MAX = 4096 };

struct model {
    FILE *to, *from;
    pid_t pid;
};

struct model *model_start(const char *dir)
{
    int in[2], out[2], rc;
    struct model *m = calloc(1, sizeof *m);
    char *path = NULL;
    rc = asprintf(&path, "%s/model_driver.py", dir);
    assert(m != NULL && rc > 0);
    if (pipe(in) < 0 || pipe(out) < 0 || (m->pid = fork()) < 0)
        abort();
    if (m->pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
        execlp("python3", "python3", "-B", path, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    m->to = fdopen(in[1], "w");
    m->from = fdopen(out[0], "r");
    assert(m->to != NULL && m->from != NULL);
    free(path);
    return m;
}

void model_stop(struct model *m)
{
    int status;
    if (m == NULL)
        return;
    fclose(m->to);
    fclose(m->from);
    if (waitpid(m->pid, &status, 0) < 0)
        abort();
    free(m);
}

FILE *model_to(struct model *m)
{
    return m->to;
}

static void reply(struct model *m, char ret[REPLY_MAX])
{
    fflush(m->to);
    if (fgets(ret, REPLY_MAX, m->from) == NULL)
        sim_fail("model_driver.py ended");
    ret[strcspn(ret, "\n")] = '\0';
}

void model_agree(struct model *m, const char *what)
{
    char text[REPLY_MAX];
    reply(m, text);
    SIM_NEED(strcmp(text, "ok") == 0, "%s: %s", what, text);
}

void model_text(struct model *m, struct buf *ret)
{
    char text[REPLY_MAX];
    reply(m, text);
    size_t at = ret->n, n = strtoul(text, NULL, 10);
    int rc = buf_resize(ret, at + n);
    assert(rc == 0);
    if (n > 0 && fread(ret->p + at, 1, n, m->from) != n)
        sim_fail("model_driver.py ended");
}

static void put_hex(FILE *f, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fprintf(f, "%02x", p[i]);
}

void model_keys(struct model *m, const struct space_keys *keys)
{
    fprintf(m->to, "keys\t");
    put_hex(m->to, keys->rid, sizeof keys->rid);
    fputc('\t', m->to);
    put_hex(m->to, keys->equal, sizeof keys->equal);
    fputc('\n', m->to);
    model_agree(m, "keys");
}

void model_tree(struct model *m, struct bytes values, size_t n, struct buf *ret)
{
    fprintf(m->to, "tree\t%zu\n", n);
    if (values.n > 0)
        fwrite(values.p, 1, values.n, m->to);
    model_text(m, ret);
}
