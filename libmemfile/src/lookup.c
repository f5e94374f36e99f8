/* lookup: from items, ids and entry numbers to rows. SPEC 10, 15.3, 15.4. */
#include <stdlib.h>

#include "store.h"

/* ---- runs */

/* SPEC 10.3: a page names the entries of its run. */
static int page_of_run(mf_store *st, uint64_t first_entry, uint64_t entry_count, uint64_t offset, uint64_t length,
                       mf_object **out, memfile_error *err)
{
    int rc = mf_store_page(st, offset, length, out, err);
    if (rc != MEMFILE_OK || ((*out)->page.first_entry == first_entry && (*out)->page.entry_count == entry_count))
        return rc;
    mf_store_release(st, *out);
    *out = NULL;
    return mf_fail(err, MEMFILE_E_DAMAGED, offset, "the index page at offset %llu is of another run",
                   (unsigned long long)offset);
}

/* Walks down to the leaf that holds the largest item <= *target, if any does.
 * Each step goes one level down, so a page that leads to itself is found out. */
static int descend(mf_store *st, const mf_run *run, const mf_item *target, mf_object **leaf, memfile_error *err)
{
    mf_object *page = NULL;
    *leaf = NULL;
    int rc = page_of_run(st, run->first_entry, run->entry_count, run->root_offset, run->root_length, &page, err);
    while (rc == MEMFILE_OK && page->page.level > 0) {
        uint32_t rank = mf_page_rank(&page->page, target);
        uint32_t child = rank ? rank - 1 : 0;
        mf_object *next = NULL;
        rc = page_of_run(st, run->first_entry, run->entry_count, mf_ints_at(&page->page.offsets, child) * 8,
                         mf_ints_at(&page->page.lengths, child) * 8, &next, err);
        if (rc == MEMFILE_OK && next->page.level + 1 != page->page.level) {
            rc = mf_fail(err, MEMFILE_E_DAMAGED, next->offset, "an index page at offset %llu is on the wrong level",
                         (unsigned long long)next->offset);
            mf_store_release(st, next);
        }
        mf_store_release(st, page);
        page = rc == MEMFILE_OK ? next : NULL;
    }
    *leaf = page;
    return rc;
}

int mf_store_floor(mf_store *st, const mf_run *run, const mf_item *target, mf_item *found, memfile_error *err)
{
    mf_object *leaf;
    if (run->type != MF_RUN_ITEMS || run->root_length == 0)
        return MEMFILE_DONE;
    int rc = descend(st, run, target, &leaf, err);
    if (rc != MEMFILE_OK)
        return rc;
    uint32_t rank = mf_page_rank(&leaf->page, target);
    if (rank > 0)
        mf_page_item(&leaf->page, rank - 1, found);
    mf_store_release(st, leaf);
    return rank > 0 ? MEMFILE_OK : MEMFILE_DONE;
}

void mf_run_iterator_close(mf_run_iterator *it)
{
    for (unsigned i = 0; i < it->depth; i++)
        mf_store_release(it->store, it->level[i].page);
    it->depth = 0;
}

/* Adds the page under the current place of the lowest level. */
static int push_page(mf_run_iterator *it, uint64_t offset, uint64_t length, memfile_error *err)
{
    mf_object *page;
    int rc = page_of_run(it->store, it->first_entry, it->entry_count, offset, length, &page, err);
    if (rc != MEMFILE_OK)
        return rc;
    if (it->depth > 0 && page->page.level + 1 != it->level[it->depth - 1].page->page.level) {
        mf_store_release(it->store, page);
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "an index page at offset %llu is on the wrong level",
                       (unsigned long long)offset);
    }
    if (page->page.level == 0) {
        mf_item first = {0, 0, 0};
        mf_page_item(&page->page, 0, &first);
        if (it->any_leaf && mf_item_compare(&first, &it->last) <= 0) {
            mf_store_release(it->store, page);
            return mf_fail(err, MEMFILE_E_DAMAGED, offset, "the index page at offset %llu does not follow the one before it",
                           (unsigned long long)offset);
        }
        mf_page_item(&page->page, page->page.count - 1, &it->last);
        it->any_leaf = true;
    }
    it->level[it->depth].page = page;
    it->level[it->depth].next = 0;
    it->depth++;
    return MEMFILE_OK;
}

static int push_child(mf_run_iterator *it, memfile_error *err)
{
    mf_page *parent = &it->level[it->depth - 1].page->page;
    uint32_t child = it->level[it->depth - 1].next++;
    return push_page(it, mf_ints_at(&parent->offsets, child) * 8, mf_ints_at(&parent->lengths, child) * 8, err);
}

int mf_run_seek(mf_run_iterator *it, mf_store *st, const mf_run *run, const mf_item *from, memfile_error *err)
{
    memset(it, 0, sizeof *it);
    it->store = st;
    it->first_entry = run->first_entry;
    it->entry_count = run->entry_count;
    if (run->type != MF_RUN_ITEMS || run->root_length == 0)
        return MEMFILE_OK;
    int rc = push_page(it, run->root_offset, run->root_length, err);
    while (rc == MEMFILE_OK) {
        mf_page *page = &it->level[it->depth - 1].page->page;
        uint32_t rank = mf_page_rank(page, from);
        mf_item last;
        if (rank > 0)
            mf_page_item(page, rank - 1, &last);
        if (page->level == 0) {
            it->level[it->depth - 1].next = rank > 0 && mf_item_compare(&last, from) == 0 ? rank - 1 : rank;
            return MEMFILE_OK;
        }
        it->level[it->depth - 1].next = rank ? rank - 1 : 0;
        rc = push_child(it, err);
    }
    mf_run_iterator_close(it);
    return rc;
}

int mf_run_next(mf_run_iterator *it, mf_item *out, memfile_error *err)
{
    while (it->depth > 0) {
        mf_page *page = &it->level[it->depth - 1].page->page;
        if (it->level[it->depth - 1].next >= page->count) {
            mf_store_release(it->store, it->level[--it->depth].page);
            continue;
        }
        if (page->level == 0) {
            mf_page_item(page, it->level[it->depth - 1].next++, out);
            return MEMFILE_OK;
        }
        int rc = push_child(it, err);
        if (rc != MEMFILE_OK)
            return rc;
    }
    return MEMFILE_DONE;
}

/* ---- entries */

static int wrong_reference(uint64_t entry, memfile_error *err)
{
    return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the index leads to no block with entry %llu",
                   (unsigned long long)entry);
}

int mf_store_entry(mf_store *st, uint64_t entry, mf_object **out, uint32_t *row, memfile_error *err)
{
    const mf_state *s = st->state;
    uint64_t offset = 0;
    *out = NULL;
    if (entry >= s->entries)
        return mf_fail(err, MEMFILE_E_NOT_FOUND, MF_NOWHERE, "there is no entry %llu", (unsigned long long)entry);
    if (entry >= s->footer.indexed_entries) {
        const mf_tail_commit *tail = mf_state_tail(s);
        for (uint32_t i = 0; i < mf_state_tail_count(s) && !offset; i++)
            if (entry >= tail[i].first_entry && entry - tail[i].first_entry < tail[i].entry_count)
                offset = tail[i].offset;
    } else {
        for (uint32_t i = 0; i < s->footer.run_count && !offset; i++) {
            const mf_run *run = &s->footer.runs[i];
            mf_item target = {MF_ITEM_BLOCK, entry, UINT64_MAX}, found;
            if (run->type != MF_RUN_ITEMS || entry - run->first_entry >= run->entry_count) /* below it, that wraps */
                continue;
            int rc = mf_store_floor(st, run, &target, &found, err);
            if (rc < 0)
                return rc;
            if (rc == MEMFILE_OK && found.value <= UINT64_MAX / 8)
                offset = found.value * 8;
            break;
        }
    }
    if (!offset)
        return wrong_reference(entry, err);
    int rc = mf_store_block(st, offset, out, err);
    if (rc != MEMFILE_OK)
        return rc;
    if (entry - (*out)->first_entry >= (*out)->block.rows) { /* below it, that wraps */
        mf_store_release(st, *out);
        *out = NULL;
        return wrong_reference(entry, err);
    }
    *row = (uint32_t)(entry - (*out)->first_entry);
    return MEMFILE_OK;
}

/* ---- forgotten entries */

int mf_ranges_add(mf_ranges *r, uint64_t entry, const mf_mem *mem)
{
    mf_range *last = r->count > 0 ? &r->v[r->count - 1] : NULL;
    if (last && entry >= last->first && entry <= last->end) { /* in it, or the next */
        last->end += entry == last->end;
        return 0;
    }
    void *grown = r->v;
    if (mf_grow(mem, &grown, &r->capacity, r->count + 1, sizeof *r->v) != 0)
        return -1;
    r->v = (mf_range *)grown;
    r->v[r->count++] = (mf_range){entry, entry + 1};
    return 0;
}

static int compare_ranges(const void *a, const void *b)
{
    uint64_t x = ((const mf_range *)a)->first, y = ((const mf_range *)b)->first;
    return x < y ? -1 : x > y;
}

void mf_ranges_settle(mf_ranges *r)
{
    size_t kept = 0;
    if (r->count > 1)
        qsort(r->v, r->count, sizeof *r->v, compare_ranges);
    for (size_t i = 0; i < r->count; i++) {
        if (kept > 0 && r->v[i].first <= r->v[kept - 1].end) {
            if (r->v[i].end > r->v[kept - 1].end)
                r->v[kept - 1].end = r->v[i].end;
        } else {
            r->v[kept++] = r->v[i];
        }
    }
    r->count = kept;
}

bool mf_ranges_have(const mf_ranges *r, uint64_t entry)
{
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->v[middle].end <= entry)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->count && r->v[low].first <= entry;
}

uint64_t mf_ranges_count(const mf_ranges *r)
{
    uint64_t count = 0;
    for (size_t i = 0; i < r->count; i++)
        count += r->v[i].end - r->v[i].first;
    return count;
}

void mf_ranges_free(mf_ranges *r, const mf_mem *mem)
{
    mf_free(mem, r->v);
    memset(r, 0, sizeof *r);
}

/* Calls `take` for the FORGOTTEN items of all runs. */
static int each_forgotten(mf_store *st, int (*take)(void *context, const mf_item *item), void *context,
                          memfile_error *err)
{
    const mf_footer *f = &st->state->footer;
    int rc = MEMFILE_OK;
    for (uint32_t r = 0; r < f->run_count && rc == MEMFILE_OK; r++) {
        mf_run_iterator it;
        mf_item item = {MF_ITEM_FORGOTTEN, 0, 0};
        rc = mf_run_seek(&it, st, &f->runs[r], &item, err);
        while (rc == MEMFILE_OK && (rc = mf_run_next(&it, &item, err)) == MEMFILE_OK &&
               item.kind == MF_ITEM_FORGOTTEN)
            if (item.key >= item.value || item.value >= f->indexed_entries) /* and so they are no more than it can hold */
                rc = mf_fail(err, MEMFILE_E_DAMAGED, f->runs[r].root_offset, "the index has forgotten entries that are none");
            else if (take(context, &item) != 0)
                rc = mf_fail_memory(err);
        mf_run_iterator_close(&it);
        rc = rc == MEMFILE_DONE ? MEMFILE_OK : rc;
    }
    return rc;
}

typedef struct noting {
    mf_ranges *ranges;
    const mf_mem *mem;
} noting;

static int note_range(void *context, const mf_item *item)
{
    noting *n = (noting *)context;
    return mf_ranges_add(n->ranges, item->key, n->mem);
}

static int read_forgotten(mf_store *st, memfile_error *err)
{
    mf_ranges ranges = {NULL, 0, 0};
    noting n = {&ranges, st->mem};
    int rc = each_forgotten(st, note_range, &n, err);
    if (rc != MEMFILE_OK) {
        mf_ranges_free(&ranges, st->mem);
        return rc;
    }
    mf_ranges_settle(&ranges);
    uint64_t count = mf_ranges_count(&ranges);
    if (count < st->state->footer.forgotten) {
        mf_ranges_free(&ranges, st->mem);
        return mf_fail(err, MEMFILE_E_DAMAGED, st->state->footer_offset, "the index has %llu of %llu forgotten entries",
                       (unsigned long long)count, (unsigned long long)st->state->footer.forgotten);
    }
    st->state->forgotten = ranges;
    st->state->forgotten_ready = true;
    return MEMFILE_OK;
}

int mf_store_forgotten(mf_store *st, uint64_t entry, bool *yes, memfile_error *err)
{
    mf_state *s = st->state;
    *yes = false;
    if (!s->forgotten_ready) {
        if (s->footer.forgotten == 0)
            return MEMFILE_OK;
        int rc = read_forgotten(st, err);
        if (rc != MEMFILE_OK)
            return rc;
    }
    *yes = mf_ranges_have(&s->forgotten, entry);
    return MEMFILE_OK;
}

static int note_item(void *context, const mf_item *item)
{
    mf_items *items = (mf_items *)context;
    mf_items_add(items, MF_ITEM_FORGOTTEN, item->key, item->value);
    return items->failed ? -1 : 0;
}

int mf_store_forgotten_items(mf_store *st, mf_items *items, memfile_error *err)
{
    const mf_items *known = st->state->contents;
    for (size_t i = 0; known && i < known->kind[MF_ITEM_FORGOTTEN].count; i++)
        mf_items_add(items, MF_ITEM_FORGOTTEN, known->kind[MF_ITEM_FORGOTTEN].pairs[i].key,
                     known->kind[MF_ITEM_FORGOTTEN].pairs[i].value);
    int rc = known ? MEMFILE_OK : each_forgotten(st, note_item, items, err);
    return rc == MEMFILE_OK && items->failed ? mf_fail_memory(err) : rc;
}

/* ---- by hash: candidates from the newest down, each confirmed */

typedef struct wanted {
    bool any; /* forgotten ones too */
    unsigned kind; /* of item */
    uint64_t hash;
    mf_id id;
    const mf_slice *scope;
    uint32_t scope_count;
    mf_slice key;
} wanted;

static bool confirms(const wanted *w, mf_object *o, uint32_t row)
{
    mf_slice scope[MF_SCOPE_MAX];
    mf_id id;
    switch (w->kind) {
    case MF_ITEM_ID: id = mf_block_id(&o->block, row); return id.data && mf_id_equal(id, w->id);
    case MF_ITEM_IDEMPOTENCY: {
        mf_slice key = mf_block_idempotency_key(&o->block, row);
        return key.data && mf_slice_equal(key, w->key);
    }
    default: {
        mf_slice key = mf_block_key(&o->block, row);
        if (!key.data || !mf_slice_equal(key, w->key) || mf_block_scope(&o->block, row, scope) != w->scope_count)
            return false;
        for (uint32_t i = 0; i < w->scope_count; i++)
            if (!mf_slice_equal(scope[i], w->scope[i]))
                return false;
        return true;
    }
    }
}

int mf_store_collide(mf_store *st, memfile_error *err)
{
    if (++st->collisions <= st->collision_limit || !st->collision_limit)
        return MEMFILE_OK;
    return mf_fail(err, MEMFILE_E_LIMIT, MF_NOWHERE,
                   "more than %llu entries of other ids or keys have the same hash (collision_limit)",
                   (unsigned long long)st->collision_limit);
}

static int confirm_entry(mf_store *st, const wanted *w, uint64_t entry, mf_object **out, uint32_t *row,
                         memfile_error *err)
{
    int rc = mf_store_entry(st, entry, out, row, err);
    if (rc != MEMFILE_OK)
        return rc;
    bool wanted_one = confirms(w, *out, *row), forgotten = false;
    if (wanted_one && !w->any)
        rc = mf_store_forgotten(st, entry, &forgotten, err);
    if (rc == MEMFILE_OK && wanted_one && !forgotten)
        return MEMFILE_OK;
    mf_store_release(st, *out);
    *out = NULL;
    if (rc == MEMFILE_OK && !wanted_one)
        rc = mf_store_collide(st, err);
    return rc == MEMFILE_OK ? MEMFILE_DONE : rc;
}

/* The first of the pairs in [low, high), whose values rise, with a value that is not below `limit`; or high. */
static size_t first_value(const mf_pair *pairs, size_t low, size_t high, uint64_t limit)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pairs[middle].value < limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int find_wanted(mf_store *st, const wanted *w, uint64_t limit, mf_object **out, uint32_t *row,
                       memfile_error *err)
{
    const mf_state *s = st->state;
    *out = NULL;
    st->collisions = 0;
    if (limit > s->footer.indexed_entries) {
        int rc = mf_store_tail_items(st, err);
        if (rc != MEMFILE_OK)
            return rc;
        const mf_pair *pairs = st->tail_items.kind[w->kind].pairs;
        size_t from, i;
        mf_store_tail_range(st, w->kind, w->hash, w->hash, &from, &i);
        if (st->tail_items_sorted)
            i = first_value(pairs, from, i, limit);
        while (i-- > from) {
            if (pairs[i].key != w->hash || pairs[i].value >= limit)
                continue;
            rc = confirm_entry(st, w, pairs[i].value, out, row, err);
            if (rc != MEMFILE_DONE)
                return rc;
        }
    }
    for (uint32_t i = s->footer.run_count; i-- > 0;) {
        const mf_run *run = &s->footer.runs[i];
        if (run->first_entry >= limit) /* which may be 0 */
            continue;
        mf_item target = {(uint8_t)w->kind, w->hash, limit - 1}, found;
        for (;;) {
            int rc = mf_store_floor(st, run, &target, &found, err);
            if (rc < 0)
                return rc;
            if (rc == MEMFILE_DONE || found.kind != w->kind || found.key != w->hash)
                break;
            rc = confirm_entry(st, w, found.value, out, row, err);
            if (rc != MEMFILE_DONE)
                return rc;
            if (found.value == 0)
                break;
            target.value = found.value - 1;
        }
    }
    return MEMFILE_E_NOT_FOUND;
}

static int find_id(mf_store *st, mf_id id, bool any, uint64_t limit, mf_object **out, uint32_t *row,
                   memfile_error *err)
{
    wanted w = {any, MF_ITEM_ID, mf_item_hash_id(id, st->tag), id, NULL, 0, {NULL, 0}};
    return find_wanted(st, &w, limit, out, row, err);
}

int mf_store_id(mf_store *st, mf_id id, uint64_t limit, mf_object **out, uint32_t *row, memfile_error *err)
{
    return find_id(st, id, false, limit, out, row, err);
}

int mf_store_any_id(mf_store *st, mf_id id, uint64_t limit, mf_object **out, uint32_t *row, memfile_error *err)
{
    return find_id(st, id, true, limit, out, row, err);
}

static int find_key(mf_store *st, const mf_slice *scope, uint32_t scope_count, mf_slice key, bool any, uint64_t limit,
                    mf_object **out, uint32_t *row, memfile_error *err)
{
    wanted w = {any, MF_ITEM_KEY, mf_item_hash_key(scope, scope_count, key, st->tag), {0}, scope, scope_count, key};
    return find_wanted(st, &w, limit, out, row, err);
}

int mf_store_key(mf_store *st, const mf_slice *scope, uint32_t scope_count, mf_slice key, uint64_t limit,
                 mf_object **out, uint32_t *row, memfile_error *err)
{
    return find_key(st, scope, scope_count, key, false, limit, out, row, err);
}

int mf_store_idempotency(mf_store *st, mf_slice key, mf_object **out, uint32_t *row, memfile_error *err)
{
    wanted w = {false, MF_ITEM_IDEMPOTENCY, mf_item_hash(MF_HASH_IDEMPOTENCY, key, st->tag), {0}, NULL, 0, key};
    return find_wanted(st, &w, UINT64_MAX, out, row, err);
}

/* Without an index, from the commits that could be read. */
static int known_entries_at(const mf_state *s, uint64_t number, uint64_t *entries, memfile_error *err)
{
    const mf_pair *pairs = s->contents->kind[MF_ITEM_COMMIT].pairs;
    size_t low = 0, high = s->contents->kind[MF_ITEM_COMMIT].count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pairs[middle].key <= number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || pairs[low - 1].key != number)
        return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "commit %llu is lost: which entries it had cannot be told",
                       (unsigned long long)number);
    *entries = pairs[low - 1].value < s->entries ? pairs[low - 1].value : s->entries;
    return MEMFILE_OK;
}

int mf_store_entries_at(mf_store *st, uint64_t number, uint64_t *entries, memfile_error *err)
{
    const mf_state *s = st->state;
    *entries = s->entries;
    if (number == UINT64_MAX || number == s->number)
        return MEMFILE_OK;
    *entries = 0;
    if (number > s->number)
        return mf_fail(err, MEMFILE_E_NOT_FOUND, MF_NOWHERE, "there is no commit %llu; the newest is %llu",
                       (unsigned long long)number, (unsigned long long)s->number);
    if (s->blocks)
        return known_entries_at(s, number, entries, err);
    if (number >= s->footer.indexed_commits) {
        /* commits behind the runs: the tail's, or ones that brought nothing */
        uint64_t best = s->footer.indexed_entries;
        for (uint32_t i = 0; i < s->tail_count; i++)
            if (s->tail[i].number <= number)
                best = s->tail[i].first_entry + s->tail[i].entry_count;
        *entries = best;
        return MEMFILE_OK;
    }
    for (uint32_t i = s->footer.run_count; i-- > 0;) {
        mf_item target = {MF_ITEM_COMMIT, number, UINT64_MAX}, found;
        int rc = mf_store_floor(st, &s->footer.runs[i], &target, &found, err);
        if (rc < 0)
            return rc;
        if (rc == MEMFILE_OK && found.kind == MF_ITEM_COMMIT && found.key == number) {
            *entries = found.value;
            return MEMFILE_OK;
        }
    }
    return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the index does not know commit %llu",
                   (unsigned long long)number);
}

/* ---- the tail */

void mf_block_record_columns(mf_block *b, uint32_t row, mf_record *r)
{
    uint32_t first;
    r->mask = mf_block_mask(b, row);
    r->id = mf_block_id(b, row);
    r->kind = mf_block_kind(b, row);
    r->key = mf_block_key(b, row);
    r->idempotency_key = mf_block_idempotency_key(b, row);
    r->scope_count = mf_block_scope(b, row, r->scope);
    mf_block_time(b, row, &r->time);
    mf_block_expires(b, row, &r->expires);
    r->tag_count = mf_block_tags(b, row, &first);
    if (r->tag_count > MF_TAGS_MAX)
        r->tag_count = MF_TAGS_MAX; /* such a row is damaged and fails elsewhere */
    for (uint32_t i = 0; i < r->tag_count; i++)
        r->tags[i] = mf_block_tag(b, first + i);
}

/* A block that does not decode takes nothing from the others, where the state was made of what can be read. */
static bool passed_over(mf_store *st, int rc)
{
    bool passed = rc == MEMFILE_E_DAMAGED && st->state->blocks;
    st->state->unreadable |= passed;
    return passed;
}

#define TAIL_FEW 256u /* items that are gone through as they stand */

static void sort_tail(mf_store *st)
{
    size_t count = 0;
    for (unsigned kind = 0; kind <= MF_ITEM_LAST; kind++)
        count += st->tail_items.kind[kind].count;
    st->tail_items_sorted = count > TAIL_FEW;
    if (st->tail_items_sorted)
        mf_items_sort(&st->tail_items);
}

/* The first pair whose key is not below `key`. */
static size_t first_pair(const mf_pair *pairs, size_t count, uint64_t key)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pairs[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void mf_store_tail_range(const mf_store *st, unsigned kind, uint64_t low, uint64_t high, size_t *from, size_t *end)
{
    const mf_pair *pairs = st->tail_items.kind[kind].pairs;
    *from = 0;
    *end = st->tail_items.kind[kind].count;
    if (!st->tail_items_sorted)
        return;
    *from = first_pair(pairs, *end, low);
    if (high < UINT64_MAX)
        *end = first_pair(pairs, *end, high + 1);
}

int mf_store_tail_items(mf_store *st, memfile_error *err)
{
    if (st->tail_items_ready)
        return MEMFILE_OK;
    mf_record *record = (mf_record *)mf_alloc(st->mem, sizeof *record);
    int rc = record ? MEMFILE_OK : mf_fail_memory(err);
    mf_items_clear(&st->tail_items);
    for (uint32_t i = 0; i < mf_state_tail_count(st->state) && rc == MEMFILE_OK; i++) {
        mf_object *o;
        rc = mf_store_block(st, mf_state_tail(st->state)[i].offset, &o, err);
        if (passed_over(st, rc)) {
            rc = MEMFILE_OK;
            continue;
        }
        if (rc != MEMFILE_OK)
            break;
        for (uint32_t row = 0; row < o->block.rows; row++) {
            if (mf_block_mask(&o->block, row) & MF_COLUMN_ERASED)
                continue;
            mf_block_record_columns(&o->block, row, record);
            if (!record->id.data) {
                rc = mf_fail(err, MEMFILE_E_DAMAGED, o->offset, "the ids in the block at offset %llu are damaged",
                             (unsigned long long)o->offset);
                break;
            }
            mf_items_add_entry(&st->tail_items, record, o->first_entry + row, st->tag);
        }
        mf_store_release(st, o);
    }
    mf_free(st->mem, record);
    sort_tail(st);
    if (rc == MEMFILE_OK && st->tail_items.failed)
        rc = mf_fail_memory(err);
    st->tail_items_ready = rc == MEMFILE_OK;
    return rc;
}

/* SPEC 10.2: the row supersedes the newest earlier entry with its id, and the
 * newest earlier one with its scope and key. */
int mf_store_add_fates(mf_store *st, mf_items *items, mf_object *o, uint32_t row, memfile_error *err)
{
    uint64_t entry = o->first_entry + row, by_id = UINT64_MAX;
    mf_object *before = NULL;
    uint32_t before_row;
    mf_slice key = mf_block_key(&o->block, row);
    int rc = mf_store_any_id(st, mf_block_id(&o->block, row), entry, &before, &before_row, err);
    if (rc == MEMFILE_OK) {
        by_id = before->first_entry + before_row;
        mf_items_add(items, MF_ITEM_FATE, by_id, entry);
        mf_store_release(st, before);
    } else if (rc != MEMFILE_E_NOT_FOUND) {
        return rc;
    }
    if (key.data) {
        mf_slice scope[MF_SCOPE_MAX];
        uint32_t count = mf_block_scope(&o->block, row, scope);
        rc = find_key(st, scope, count, key, true, entry, &before, &before_row, err);
        if (rc == MEMFILE_OK) {
            uint64_t by_key = before->first_entry + before_row;
            if (by_key != by_id)
                mf_items_add(items, MF_ITEM_FATE, by_key, entry);
            mf_store_release(st, before);
        } else if (rc != MEMFILE_E_NOT_FOUND) {
            return rc;
        }
    }
    return items->failed ? mf_fail_memory(err) : MEMFILE_OK;
}

int mf_store_tail_fates(mf_store *st, memfile_error *err)
{
    if (st->tail_fates_ready)
        return MEMFILE_OK;
    int rc = mf_store_tail_items(st, err);
    st->tail_items.kind[MF_ITEM_FATE].count = 0;
    for (uint32_t i = 0; i < mf_state_tail_count(st->state) && rc == MEMFILE_OK; i++) {
        mf_object *o;
        rc = mf_store_block(st, mf_state_tail(st->state)[i].offset, &o, err);
        if (passed_over(st, rc)) {
            rc = MEMFILE_OK;
            continue;
        }
        if (rc != MEMFILE_OK)
            break;
        for (uint32_t row = 0; row < o->block.rows && rc == MEMFILE_OK; row++)
            if (!(mf_block_mask(&o->block, row) & MF_COLUMN_ERASED))
                rc = mf_store_add_fates(st, &st->tail_items, o, row, err);
        mf_store_release(st, o);
    }
    if (rc == MEMFILE_OK && st->tail_items_sorted)
        mf_items_sort(&st->tail_items);
    if (rc == MEMFILE_OK && st->tail_items.failed)
        rc = mf_fail_memory(err);
    st->tail_fates_ready = rc == MEMFILE_OK;
    return rc;
}

#define FATES_MAX 8u /* of one entry that are looked at; a sound file has two at most */

/* Superseders of one entry below `limit`, at most `most`; in no order. */
static int fates_of(mf_store *st, uint64_t entry, uint64_t limit, uint64_t *by, uint32_t most, uint32_t *count,
                    memfile_error *err)
{
    const mf_state *s = st->state;
    *count = 0;
    for (uint32_t i = 0; s->footer.superseded > 0 && i < s->footer.run_count && *count < most; i++) {
        const mf_run *run = &s->footer.runs[i];
        mf_run_iterator it;
        mf_item item = {MF_ITEM_FATE, entry, 0};
        if (run->entry_count == 0 || run->first_entry + run->entry_count <= entry)
            continue;
        int rc = mf_run_seek(&it, st, run, &item, err);
        while (rc == MEMFILE_OK && *count < most && (rc = mf_run_next(&it, &item, err)) == MEMFILE_OK &&
               item.kind == MF_ITEM_FATE && item.key == entry)
            if (item.value < limit && item.value > entry)
                by[(*count)++] = item.value;
        mf_run_iterator_close(&it);
        if (rc < 0)
            return rc;
    }
    if (limit <= s->footer.indexed_entries || *count == most)
        return MEMFILE_OK;
    int rc = mf_store_tail_fates(st, err);
    if (rc != MEMFILE_OK)
        return rc;
    const mf_pair *pairs = st->tail_items.kind[MF_ITEM_FATE].pairs;
    size_t i, end;
    for (mf_store_tail_range(st, MF_ITEM_FATE, entry, entry, &i, &end); i < end && *count < most; i++)
        if (pairs[i].key == entry && pairs[i].value < limit)
            by[(*count)++] = pairs[i].value;
    return MEMFILE_OK;
}

int mf_store_fate(mf_store *st, uint64_t entry, uint64_t limit, uint64_t *by, memfile_error *err)
{
    uint32_t count;
    int rc = fates_of(st, entry, limit, by, 1, &count, err);
    return rc == MEMFILE_OK && count == 0 ? MEMFILE_DONE : rc;
}

/* Have two entries the same id, or else the same scope and key? */
static int same_name(mf_store *st, unsigned kind, uint64_t before, uint64_t after, bool *same, memfile_error *err)
{
    mf_object *a = NULL, *b = NULL;
    uint32_t ra, rb;
    *same = false;
    int rc = mf_store_entry(st, before, &a, &ra, err);
    if (rc == MEMFILE_OK)
        rc = mf_store_entry(st, after, &b, &rb, err);
    if (rc == MEMFILE_OK)
        *same = kind == MF_ITEM_ID ? mf_block_same_id(&a->block, ra, &b->block, rb)
                                   : mf_block_same_key(&a->block, ra, &b->block, rb);
    mf_store_release(st, a);
    mf_store_release(st, b);
    return rc;
}

/* The next entry behind `at` with the same id (or scope and key) as `entry`, which `at` has too. */
static int next_of_name(mf_store *st, unsigned kind, uint64_t entry, uint64_t at, uint64_t limit, uint64_t *out,
                        memfile_error *err)
{
    uint64_t by[FATES_MAX];
    uint32_t count;
    *out = UINT64_MAX;
    int rc = fates_of(st, at, limit, by, FATES_MAX, &count, err);
    for (uint32_t i = 0; rc == MEMFILE_OK && i < count; i++) {
        bool same = false;
        if (by[i] < *out)
            rc = same_name(st, kind, entry, by[i], &same, err);
        if (same)
            *out = by[i];
    }
    return rc == MEMFILE_OK && *out == UINT64_MAX ? MEMFILE_DONE : rc;
}

int mf_store_superseder(mf_store *st, uint64_t entry, uint64_t limit, uint64_t *by, memfile_error *err)
{
    bool forgotten = false;
    int rc = mf_store_fate(st, entry, limit, by, err);
    if (rc == MEMFILE_OK)
        rc = mf_store_forgotten(st, *by, &forgotten, err);
    if (rc != MEMFILE_OK || !forgotten)
        return rc;
    for (unsigned kind = MF_ITEM_ID; kind <= MF_ITEM_KEY; kind++) {
        for (*by = entry, forgotten = true; forgotten;) {
            if (++st->chain_steps > 8 * st->state->entries + 65536) /* each chain is walked by two entries at most */
                return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the index says of too many entries that one supersedes them");
            rc = next_of_name(st, kind, entry, *by, limit, by, err);
            if (rc == MEMFILE_OK)
                rc = mf_store_forgotten(st, *by, &forgotten, err);
            if (rc != MEMFILE_OK)
                break;
        }
        if (rc != MEMFILE_DONE)
            return rc;
    }
    return MEMFILE_DONE;
}

int mf_store_superseded(mf_store *st, uint64_t *count, memfile_error *err)
{
    mf_items fates;
    *count = st->state->footer.superseded;
    int rc = mf_store_tail_fates(st, err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_items_init(&fates, st->mem);
    for (size_t i = 0; i < st->tail_items.kind[MF_ITEM_FATE].count; i++)
        mf_items_add(&fates, MF_ITEM_FATE, st->tail_items.kind[MF_ITEM_FATE].pairs[i].key,
                     st->tail_items.kind[MF_ITEM_FATE].pairs[i].value);
    mf_items_sort(&fates);
    const mf_pair *pairs = fates.kind[MF_ITEM_FATE].pairs;
    for (size_t i = 0; rc >= 0 && i < fates.kind[MF_ITEM_FATE].count; i++) {
        uint64_t by;
        if (i > 0 && pairs[i - 1].key == pairs[i].key)
            continue;
        /* one that was superseded before the tail is counted by the footer */
        rc = st->state->blocks ? MEMFILE_DONE : mf_store_fate(st, pairs[i].key, st->state->footer.indexed_entries, &by, err);
        *count += rc == MEMFILE_DONE;
    }
    if (rc >= 0)
        rc = fates.failed ? mf_fail_memory(err) : MEMFILE_OK;
    mf_items_free(&fates);
    return rc;
}
