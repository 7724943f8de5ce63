#include "tests/sim/derived.h"

#include "tests/sim/model.h"
#include "tests/sim/text.h"

static void compare(struct sim *s, int i, const struct buf *ought, const char *of)
{
    struct buf is = {0};
    text_shown(s->w, i, &is);
    SIM_NEED(bytes_equal(buf_bytes(&is), buf_bytes(ought)),
             "device %d shows another tree than the model derives of %s\nit is:\n%.*sthe "
             "model:\n%.*s",
             i, of, (int)is.n, (char *)is.p, (int)ought->n, (char *)ought->p);
    buf_fini(&is);
}

void derived_held(struct sim *s, int i)
{
    struct buf values = {0}, ought = {0};
    if (s->model == NULL)
        return;
    size_t n = text_held(s->w, i, &values);
    model_tree(s->model, buf_bytes(&values), n, &ought);
    compare(s, i, &ought, "what it holds");
    buf_fini(&values);
    buf_fini(&ought);
}

void derived_all(struct sim *s)
{
    struct buf values = {0}, ought = {0};
    if (s->model == NULL)
        return;
    for (size_t k = 0; k < s->parts; k++)
        text_value(s->w, 0, &s->part[k], &values);
    model_tree(s->model, buf_bytes(&values), s->parts, &ought);
    for (int i = 0; i < s->setup.devices; i++)
        compare(s, i, &ought, "all changes");
    buf_fini(&values);
    buf_fini(&ought);
}
