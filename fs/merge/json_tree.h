/*
 * fs/merge/json_tree - a JSON document that others wrote, as values that know their source text.
 *
 * Strict RFC 8259, a byte order mark before it is accepted. An object that has a key twice is no
 * document: readers differ in what it says. Pure; thread: any.
 */
#ifndef FS_MERGE_JSON_TREE_H
#define FS_MERGE_JSON_TREE_H

#include "proto/base/buf.h"

enum {
    JSON_NEST_MAX = 64,        /* arrays and objects inside each other */
    JSON_MEMBERS_MAX = 100000, /* of all objects and arrays together */
};

#define JSON_NONE UINT32_MAX

enum json_type {
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_OTHER /* a number, true, false, null */
};

/* Views of the document; blanks are those of its author. */
struct json_node {
    enum json_type type;
    struct bytes lead;    /* blanks before it, behind the '[', '{' or ',' */
    struct bytes head;    /* of a member: the key and all up to the value */
    struct bytes text;    /* the value */
    struct bytes trail;   /* blanks between it and the ',' behind it */
    struct bytes close;   /* of an array or object: blanks before its end */
    struct bytes name;    /* the key, without quotes and escapes */
    struct bytes string;  /* of a string: likewise */
    uint32_t first, next; /* member, member of the same array or object; or JSON_NONE */
    uint32_t n;           /* members */
    uint32_t names;       /* of an object: where its members begin in the tree's names */
};

/* A member by its name. */
struct json_name {
    struct bytes name;
    uint32_t node;
};

struct json_tree {
    struct buf nodes;     /* of struct json_node, the document's value first */
    struct buf names;     /* of struct json_name; of each object in the order of their bytes */
    struct buf unescaped; /* what views are of where the source has escapes */
    struct bytes before, behind; /* what is around the value */
};

/**
 * Reads a document, which must stay where it is. -EBADMSG: it is none; -E2BIG: more than
 * JSON_*_MAX; -ENOMEM. Whatever the result, @ret is to be given to json_tree_fini().
 */
int json_tree_init(struct json_tree *ret, struct bytes text) MUST_CHECK;
void json_tree_fini(struct json_tree *t);

static inline const struct json_node *json_node(const struct json_tree *t, uint32_t at)
{
    return (const struct json_node *)(const void *)t->nodes.p + at;
}

/** The member of an object with that name, or JSON_NONE. */
uint32_t json_find(const struct json_tree *t, uint32_t object, struct bytes name);

/** Whether two values are the same, but for blanks, escapes and the order of members. */
bool json_equal(const struct json_tree *t, uint32_t at, const struct json_tree *u, uint32_t with);

#endif
