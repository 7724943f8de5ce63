#include "sync/cli/args.h"

#include <errno.h>
#include <string.h>

#include "proto/base/escape.h"

static int find_long(const struct args_option *options, const char *name, size_t n)
{
    for (int i = 0; options[i].long_name != NULL || options[i].short_name != 0; i++)
        if (options[i].long_name != NULL && strlen(options[i].long_name) == n &&
            memcmp(options[i].long_name, name, n) == 0)
            return i;
    return -1;
}

static int find_short(const struct args_option *options, char c)
{
    for (int i = 0; options[i].long_name != NULL || options[i].short_name != 0; i++)
        if (options[i].short_name == c)
            return i;
    return -1;
}

static int add(struct args *a, int option, const char *value, struct err *err)
{
    if (a->words_n == ARRAY_N(a->words))
        return err_set(err, -EINVAL, "too many arguments");
    a->words[a->words_n].option = option;
    a->words[a->words_n].value = value;
    a->words_n++;
    return 0;
}

static int unknown(const char *word, struct err *err)
{
    char shown[64];
    return err_set(err, -EINVAL, "unknown option '%s'",
                   escape_to(shown, sizeof shown, bytes_str(word)));
}

struct cursor {
    const struct args_option *options;
    char *const *argv;
    int argc, at;
};

/* Adds option @i; @attached is the value that was written in the same word, or NULL. */
static int add_option(struct cursor *c, int i, const char *attached, struct args *a,
                      struct err *err)
{
    const struct args_option *o = &c->options[i];
    char name[32] = {'-', o->short_name};
    if (o->long_name != NULL) {
        name[1] = '-';
        strncat(name, o->long_name, sizeof name - 3);
    }
    if (!o->has_value && attached != NULL)
        return err_set(err, -EINVAL, "option %s takes no value", name);
    if (!o->repeats && args_count(a, i) > 0)
        return err_set(err, -EINVAL, "option %s is given twice", name);
    const char *value = attached;
    if (o->has_value && value == NULL) {
        if (c->at == c->argc)
            return err_set(err, -EINVAL, "option %s needs a value", name);
        value = c->argv[c->at++];
    }
    return add(a, i, value, err);
}

static int long_option(struct cursor *c, const char *word, struct args *a, struct err *err)
{
    const char *name = word + 2;
    const char *equals = strchr(name, '=');
    size_t n = equals != NULL ? (size_t)(equals - name) : strlen(name);
    int i = find_long(c->options, name, n);
    if (i < 0)
        return unknown(word, err);
    return add_option(c, i, equals != NULL ? equals + 1 : NULL, a, err);
}

static int short_options(struct cursor *c, const char *word, struct args *a, struct err *err)
{
    for (const char *p = word + 1; *p != '\0'; p++) {
        int i = find_short(c->options, *p);
        if (i < 0)
            return unknown(word, err);
        bool has_value = c->options[i].has_value;
        int rc = add_option(c, i, has_value && p[1] != '\0' ? p + 1 : NULL, a, err);
        if (rc < 0 || has_value)
            return rc;
    }
    return 0;
}

int args_parse(const struct args_option *options, int argc, char *const *argv, struct args *ret,
               struct err *err)
{
    struct args a = {.words_n = 0};
    struct cursor c = {.options = options, .argv = argv, .argc = argc};
    bool plain = false;
    int rc = 0;
    while (rc == 0 && c.at < c.argc) {
        const char *word = c.argv[c.at++];
        if (plain || word[0] != '-' || word[1] == '\0')
            rc = add(&a, -1, word, err);
        else if (strcmp(word, "--") == 0)
            plain = true;
        else if (word[1] == '-')
            rc = long_option(&c, word, &a, err);
        else
            rc = short_options(&c, word, &a, err);
    }
    if (rc == 0)
        *ret = a;
    return rc;
}

size_t args_count(const struct args *a, int option)
{
    size_t n = 0;
    for (size_t w = 0; w < a->words_n; w++)
        n += a->words[w].option == option;
    return n;
}

const char *args_value(const struct args *a, int option, size_t i)
{
    for (size_t w = 0; w < a->words_n; w++)
        if (a->words[w].option == option && i-- == 0)
            return a->words[w].value;
    return NULL;
}

size_t args_plain_n(const struct args *a)
{
    return args_count(a, -1);
}

const char *args_plain(const struct args *a, size_t i)
{
    return args_value(a, -1, i);
}
