/* verify_index: the index of the newest commit against what the entries call for.
 *
 * The comparison is by sums: each item that the entries call for, and each item
 * that the runs hold, is hashed under a random seed and added up per kind. The
 * sums of equal multisets agree; those of different ones agree by a chance of about
 * 2^-64. The hash is a fast mixer, no proof against a file made to fool it. */
#include <stdio.h>

#include "verify.h"

void mf_verify_add_sum(mf_sum *s, uint64_t seed, unsigned kind, uint64_t key, uint64_t value)
{
    /* multiply and fold, with constants of SplitMix64 */
    uint64_t h = (key ^ seed) * 0x9e3779b97f4a7c15u;
    h = ((h ^ h >> 32) + kind) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 29 ^ seed ^ value) * 0x94d049bb133111ebu;
    h = (h ^ h >> 32) * 0x9e3779b97f4a7c15u;
    s->count++;
    s->total += h ^ h >> 31;
}

void mf_verify_expect(mf_verify *v, unsigned kind, uint64_t key, uint64_t value)
{
    mf_verify_add_sum(&v->expected[kind], v->seed, kind, key, value);
}

/* All ID or KEY items of all runs, in order of hash and entry. */
typedef struct all_runs {
    mf_verify *v;
    unsigned kind;
    uint32_t count;
    mf_run_iterator *iterators;
    mf_item *heads;
    bool *alive;
} all_runs;

static int step(all_runs *a, uint32_t run)
{
    int rc = mf_run_next(&a->iterators[run], &a->heads[run], a->v->err);
    a->alive[run] = rc == MEMFILE_OK && a->heads[run].kind == a->kind;
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

static int all_runs_open(all_runs *a, mf_verify *v, unsigned kind)
{
    const mf_footer *f = &v->store.state->footer;
    mf_item from = {(uint8_t)kind, 0, 0};
    *a = (all_runs){v, kind, f->run_count, NULL, NULL, NULL};
    a->iterators = (mf_run_iterator *)mf_alloc_zero(&v->mem, (f->run_count + 1) * sizeof *a->iterators);
    a->heads = (mf_item *)mf_alloc_zero(&v->mem, (f->run_count + 1) * sizeof *a->heads);
    a->alive = (bool *)mf_alloc_zero(&v->mem, f->run_count + 1);
    if (!a->iterators || !a->heads || !a->alive)
        return mf_fail_memory(v->err);
    int rc = MEMFILE_OK;
    for (uint32_t r = 0; r < a->count && rc == MEMFILE_OK; r++) {
        rc = mf_run_seek(&a->iterators[r], &v->store, &f->runs[r], &from, v->err);
        if (rc == MEMFILE_OK)
            rc = step(a, r);
    }
    return rc;
}

static int all_runs_next(all_runs *a, mf_item *out)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t r = 0; r < a->count; r++)
        if (a->alive[r] && (best == UINT32_MAX || mf_item_compare(&a->heads[r], &a->heads[best]) < 0))
            best = r;
    if (best == UINT32_MAX)
        return MEMFILE_DONE;
    *out = a->heads[best];
    return step(a, best);
}

static void all_runs_close(all_runs *a)
{
    for (uint32_t r = 0; a->iterators && r < a->count; r++)
        mf_run_iterator_close(&a->iterators[r]);
    mf_free(&a->v->mem, a->iterators);
    mf_free(&a->v->mem, a->heads);
    mf_free(&a->v->mem, a->alive);
}

/* Does `after` supersede `before` by an id that both have? Then that is the item, and
 * one by their key is none of its own. */
static int superseded_by_id(mf_verify *v, mf_id id, uint64_t before, uint64_t after, bool *yes)
{
    mf_object *o;
    uint32_t row;
    int rc = mf_store_any_id(&v->store, id, after, &o, &row, v->err);
    *yes = false;
    if (rc == MEMFILE_OK) {
        *yes = o->first_entry + row == before;
        mf_store_release(&v->store, o);
    }
    return rc == MEMFILE_E_NOT_FOUND ? MEMFILE_OK : rc;
}

/* Have the two entries the same id (or scope and key), and is that an item of its own? */
static int same_name(mf_verify *v, unsigned kind, uint64_t before, uint64_t after, bool *same, bool *counts)
{
    mf_object *a = NULL, *b = NULL;
    uint32_t ra = 0, rb = 0;
    *same = *counts = false;
    int rc = mf_store_entry(&v->store, before, &a, &ra, v->err);
    if (rc == MEMFILE_OK)
        rc = mf_store_entry(&v->store, after, &b, &rb, v->err);
    if (rc == MEMFILE_OK) {
        bool same_id = mf_block_same_id(&a->block, ra, &b->block, rb), by_id = false;
        *same = kind == MF_ITEM_ID ? same_id : mf_block_same_key(&a->block, ra, &b->block, rb);
        if (*same && same_id && kind == MF_ITEM_KEY)
            rc = superseded_by_id(v, mf_block_id(&b->block, rb), before, after, &by_id);
        *counts = *same && !by_id;
    }
    mf_store_release(&v->store, a);
    mf_store_release(&v->store, b);
    return rc;
}

#define COLLISIONS_MAX (64u * MF_COLLISIONS_MAX)

/* The FATE items that follow from the ID or KEY items: each entry supersedes the newest
 * one before it that has the same. */
static int expect_fates(mf_verify *v, unsigned kind)
{
    all_runs all;
    mf_item item;
    mf_pair *alike = NULL; /* items of the same hash so far */
    size_t count = 0, capacity = 0;
    uint64_t collisions = 0;
    int rc = all_runs_open(&all, v, kind);
    while (rc == MEMFILE_OK && (rc = all_runs_next(&all, &item)) == MEMFILE_OK) {
        void *grown = alike;
        bool same = false, counts;
        if (count > 0 && alike[0].key != item.key)
            count = 0;
        if (mf_grow(&v->mem, &grown, &capacity, count + 1, sizeof *alike) != 0)
            rc = mf_fail_memory(v->err);
        alike = (mf_pair *)grown;
        for (size_t i = count; rc == MEMFILE_OK && !same && i-- > 0;) {
            rc = same_name(v, kind, alike[i].value, item.value, &same, &counts);
            if (rc == MEMFILE_OK && !same && ++collisions > COLLISIONS_MAX)
                rc = mf_fail(v->err, MEMFILE_E_LIMIT, MF_NOWHERE,
                             "too many entries of different ids or keys have the same hash: the index was not checked");
            if (rc == MEMFILE_OK && counts)
                mf_verify_expect(v, MF_ITEM_FATE, alike[i].value, item.value);
        }
        if (rc == MEMFILE_OK)
            alike[count++] = (mf_pair){item.key, item.value};
    }
    all_runs_close(&all);
    mf_free(&v->mem, alike);
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

/* Behind the runs' commits come the tail's, with entries or without. */
static int subtract_commit(void *context, const mf_segment *segment, const uint8_t *raw, const mf_commit *k)
{
    mf_verify *v = (mf_verify *)context;
    (void)segment, (void)raw;
    if ((k->flags & MF_COMMIT_LOGICAL) && k->number >= v->store.state->footer.indexed_commits)
        mf_verify_add_sum(&v->found[MF_ITEM_COMMIT], v->seed, MF_ITEM_COMMIT, k->number, k->first_entry + k->entry_count);
    return MEMFILE_OK;
}

/* Items of the tail are not in runs: take them from what was expected. */
static int subtract_tail(mf_verify *v)
{
    int rc = mf_store_tail_items(&v->store, v->err);
    const mf_state *s = v->store.state;
    for (unsigned kind = 1; rc == MEMFILE_OK && kind <= MF_ITEM_LAST; kind++)
        for (size_t i = 0; i < v->store.tail_items.kind[kind].count; i++)
            mf_verify_add_sum(&v->found[kind], v->seed, kind, v->store.tail_items.kind[kind].pairs[i].key,
                    v->store.tail_items.kind[kind].pairs[i].value);
    for (uint32_t i = 0; rc == MEMFILE_OK && i < s->tail_count; i++)
        mf_verify_add_sum(&v->found[MF_ITEM_BLOCK], v->seed, MF_ITEM_BLOCK, s->tail[i].first_entry, s->tail[i].offset / 8);
    return rc == MEMFILE_OK ? mf_store_visit_tail(&v->store, subtract_commit, v, v->err) : rc;
}

/* The pages of a run's tree, SPEC 10.4 to 10.6: what a page says of a child is true of it. */
static int check_pages(mf_verify *v, const mf_run *run, mf_object *page, uint64_t *length)
{
    int rc = MEMFILE_OK;
    *length += mf_segment_total(&page->segment);
    for (uint32_t i = 0; rc == MEMFILE_OK && page->page.level > 0 && i < page->page.count; i++) {
        mf_object *child;
        mf_item named, first;
        rc = mf_store_page(&v->store, mf_ints_at(&page->page.offsets, i) * 8, mf_ints_at(&page->page.lengths, i) * 8,
                           &child, v->err);
        if (rc != MEMFILE_OK)
            return rc;
        mf_page_item(&page->page, i, &named);
        mf_page_item(&child->page, 0, &first);
        if (child->page.level + 1 != page->page.level || mf_item_compare(&named, &first) != 0)
            rc = mf_fail(v->err, MEMFILE_E_DAMAGED, page->offset,
                         "the index page at offset %llu names another first item than its child has",
                         (unsigned long long)page->offset);
        else if (*length <= run->total_length) /* so that a page which is named again and again comes to an end */
            rc = check_pages(v, run, child, length);
        mf_store_release(&v->store, child);
    }
    return rc;
}

static int check_trees(mf_verify *v)
{
    const mf_footer *f = &v->store.state->footer;
    int rc = MEMFILE_OK;
    for (uint32_t r = 0; r < f->run_count && rc == MEMFILE_OK; r++) {
        const mf_run *run = &f->runs[r];
        mf_object *root;
        uint64_t length = 0;
        if (run->type != MF_RUN_ITEMS)
            continue;
        if (run->root_length > 0) {
            rc = mf_store_page(&v->store, run->root_offset, run->root_length, &root, v->err);
            if (rc == MEMFILE_OK) {
                rc = check_pages(v, run, root, &length);
                mf_store_release(&v->store, root);
            }
        }
        if (rc == MEMFILE_OK && (length != run->total_length || (run->root_length == 0 && run->root_offset != 0)))
            rc = mf_fail(v->err, MEMFILE_E_DAMAGED, v->store.state->footer_offset,
                         "the footer names another length of an index run than its pages have");
    }
    return rc;
}

static bool entry_kind(unsigned kind)
{
    return (kind >= MF_ITEM_ID && kind <= MF_ITEM_FATE) || kind == MF_ITEM_FORGOTTEN;
}

static int sum_runs(mf_verify *v)
{
    const mf_footer *f = &v->store.state->footer;
    const mf_item lowest = {0, 0, 0};
    int rc = MEMFILE_OK;
    for (uint32_t r = 0; r < f->run_count && rc == MEMFILE_OK; r++) {
        const mf_run *run = &f->runs[r];
        mf_run_iterator it;
        mf_item item;
        uint64_t strays = 0;
        rc = mf_run_seek(&it, &v->store, run, &lowest, v->err);
        while (rc == MEMFILE_OK && (rc = mf_run_next(&it, &item, v->err)) == MEMFILE_OK) {
            if (item.kind > MF_ITEM_LAST)
                continue; /* a kind that a newer version knows */
            uint64_t entry = item.kind == MF_ITEM_BLOCK ? item.key : item.value;
            if ((entry_kind(item.kind) || item.kind == MF_ITEM_BLOCK) &&
                entry - run->first_entry >= run->entry_count) /* below it, that wraps */
                strays++;
            mf_verify_add_sum(&v->found[item.kind], v->seed, item.kind, item.key, item.value);
        }
        mf_run_iterator_close(&it);
        rc = rc == MEMFILE_DONE ? MEMFILE_OK : rc;
        if (strays)
            mf_verify_find(v, MEMFILE_E_DAMAGED, run->root_offset, 0, run->first_entry, run->entry_count,
                           "an index run has items of entries that it does not cover");
    }
    return rc;
}

/* Superseded of the footer: entries that have a FATE item in some run. */
static int check_superseded(mf_verify *v)
{
    all_runs all;
    mf_item item;
    uint64_t count = 0, last = UINT64_MAX;
    const mf_state *s = v->store.state;
    int rc = all_runs_open(&all, v, MF_ITEM_FATE);
    while (rc == MEMFILE_OK && (rc = all_runs_next(&all, &item)) == MEMFILE_OK) {
        count += item.key != last;
        last = item.key;
    }
    all_runs_close(&all);
    if (rc == MEMFILE_DONE && count != s->footer.superseded)
        mf_verify_find(v, MEMFILE_E_DAMAGED, s->footer_offset, 0, 0, 0,
                       "the footer names another number of superseded entries than the index has");
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

static int expect_forgotten(void *context, uint64_t entry, uint64_t by, bool erased)
{
    mf_verify *v = (mf_verify *)context;
    mf_verify_expect(v, MF_ITEM_FORGOTTEN, entry, by);
    return erased ? 0 : mf_ranges_add(&v->forgotten, entry, &v->mem);
}

/* What the entries of op forget name, by the leaves of all entries before them. */
static int check_forgotten(mf_verify *v)
{
    mf_leaf_search search = {&v->store, expect_forgotten, NULL, v, 0, 0};
    int rc = mf_forgets_resolve(&v->forgets, &search, v->err);
    uint64_t count = 0;
    mf_ranges_settle(&v->forgotten);
    for (size_t i = 0; i < v->forgotten.count; i++)
        count += v->forgotten.v[i].end - v->forgotten.v[i].first;
    if (rc == MEMFILE_OK && count != v->store.state->footer.forgotten)
        mf_verify_find(v, MEMFILE_E_DAMAGED, v->store.state->footer_offset, 0, 0, 0,
                       "the footer names another number of forgotten entries than there are");
    return rc;
}

/* Both copies of every dictionary that the footer names. */
static int check_dictionaries(mf_verify *v)
{
    int rc;
    const mf_footer *f = &v->store.state->footer;
    for (uint32_t i = 0; i < f->dictionary_count; i++)
        for (int copy = 0; copy < 2; copy++) {
            mf_segment s;
            uint8_t *raw;
            rc = mf_store_segment(&v->store, f->dictionaries[i].offset[copy], 0, &s, &raw, v->err);
            mf_slice head = {0}, stored;
            if (rc == MEMFILE_OK)
                rc = mf_segment_split(&s, raw, &head, &stored, v->err);
            mf_cursor c = mf_cursor_of(head.data, head.length);
            if (rc == MEMFILE_OK && (s.type != MF_TYPE_DICTIONARY || mf_get_varint(&c) != f->dictionaries[i].id ||
                                     mf_get_u8(&c) != copy))
                rc = mf_fail(v->err, MEMFILE_E_DAMAGED, f->dictionaries[i].offset[copy], "a footer names no dictionary here");
            if (rc == MEMFILE_OK || mf_verify_about_file(rc)) {
                if (rc != MEMFILE_OK)
                    mf_verify_find_error(v, v->err, 0);
                rc = MEMFILE_OK;
            } else {
                return rc;
            }
            mf_free(&v->mem, raw);
        }
    return MEMFILE_OK;
}

int mf_verify_index(mf_verify *v)
{
    static const char *const names[] = {"",     "BLOCK",       "ID",   "KEY",    "TIME", "FACET",
                                        "IDEMPOTENCY", "FATE", "OBJECT", "CHUNK", "COMMIT", "FORGOTTEN"};
    int rc = subtract_tail(v);
    if (rc == MEMFILE_OK)
        rc = check_trees(v);
    if (rc == MEMFILE_OK)
        rc = sum_runs(v);
    if (rc == MEMFILE_OK)
        rc = expect_fates(v, MF_ITEM_ID);
    if (rc == MEMFILE_OK)
        rc = expect_fates(v, MF_ITEM_KEY);
    if (rc == MEMFILE_OK)
        rc = check_superseded(v);
    if (rc == MEMFILE_OK)
        rc = check_forgotten(v);
    if (rc != MEMFILE_OK) {
        if (mf_verify_about_file(rc)) {
            mf_verify_find_error(v, v->err, 0);
            rc = MEMFILE_OK;
        }
        return rc;
    }
    for (unsigned kind = 1; kind <= MF_ITEM_LAST; kind++) {
        char text[160];
        if (v->expected[kind].count == v->found[kind].count && v->expected[kind].total == v->found[kind].total)
            continue;
        snprintf(text, sizeof text, "the index does not agree with the entries: kind %s has %llu items, %llu are due",
                 names[kind], (unsigned long long)v->found[kind].count, (unsigned long long)v->expected[kind].count);
        mf_verify_find(v, MEMFILE_E_DAMAGED, v->store.state->footer_offset, 0, 0, 0, text);
    }
    return check_dictionaries(v);
}
