/* page: one page of an index run, and the items in it. SPEC 10.1 to 10.5. */
#ifndef MF_PAGE_H
#define MF_PAGE_H

#include "bytes.h"
#include "format.h"
#include "record.h"

typedef struct mf_item {
    uint8_t kind;
    uint64_t key, value;
} mf_item;

static inline int mf_item_compare(const mf_item *a, const mf_item *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->value < b->value ? -1 : a->value > b->value;
}

typedef struct mf_strip {
    uint8_t kind;
    uint32_t count;
    uint32_t first; /* of its items in the page */
    mf_ints keys, values;               /* form 0 */
    uint64_t *key_list, *value_list;    /* form 1, summed up */
} mf_strip;

typedef struct mf_page {
    uint8_t level;
    uint64_t first_entry, entry_count;
    uint32_t count;         /* items, or children */
    uint32_t strip_count;   /* level 0 */
    mf_strip *strips;
    mf_ints kinds, keys, values, offsets, lengths; /* level >= 1 */
} mf_page;

#define MF_PAGE_ITEMS_MAX 65536u

/* Takes a page apart and checks its form and order. 0, -1 damaged, -2 out of memory, -3 newer. */
int mf_page_parse(mf_page *page, mf_slice head, mf_arena *arena);
/* item i, or the first item of child i */
void mf_page_item(const mf_page *page, uint32_t i, mf_item *out);
/* How many items (or children's first items) are <= *target. */
uint32_t mf_page_rank(const mf_page *page, const mf_item *target);

/* Appends a leaf of as many of the `count` sorted items as fit; returns how many. */
uint32_t mf_page_put_leaf(mf_buffer *out, uint64_t first_entry, uint64_t entry_count, const mf_item *items,
                          uint32_t count);

typedef struct mf_child {
    mf_item first;
    uint64_t offset, length;
} mf_child;
void mf_page_put_inner(mf_buffer *out, unsigned level, uint64_t first_entry, uint64_t entry_count,
                       const mf_child *children, uint32_t count);

/* ---- items of entries, SPEC 10.1 */

typedef struct mf_pair {
    uint64_t key, value;
} mf_pair;

/* Items by kind, in the order they were added until sorted. */
typedef struct mf_items {
    const mf_mem *mem;
    struct {
        mf_pair *pairs;
        size_t count, capacity;
    } kind[MF_ITEM_LAST + 1];
    bool failed;
} mf_items;

void mf_items_init(mf_items *items, const mf_mem *mem);
void mf_items_clear(mf_items *items);
void mf_items_free(mf_items *items);
void mf_items_add(mf_items *items, unsigned kind, uint64_t key, uint64_t value);
size_t mf_items_count(const mf_items *items);
/* Of contents whose numbers rise: drops those from `number` on. */
void mf_items_forget_contents(mf_items *items, uint64_t number);
/* Sorts each kind by key and value. Values must have been added rising per key. */
void mf_items_sort(mf_items *items);
/* All items of one entry but FATE. */
void mf_items_add_entry(mf_items *items, const mf_record *record, uint64_t entry, uint32_t tag);

uint64_t mf_item_hash(unsigned what, mf_slice x, uint32_t tag);
uint64_t mf_item_hash_id(mf_id id, uint32_t tag);
uint64_t mf_item_hash_key(const mf_slice *scope, uint32_t scope_count, mf_slice key, uint32_t tag);
/* of the first `count` names */
uint64_t mf_item_hash_scope(const mf_slice *scope, uint32_t count, uint32_t tag);
static inline uint64_t mf_item_time(int64_t seconds)
{
    return (uint64_t)(seconds - MF_SECONDS_MIN);
}

#endif
