/* fates: SPEC 10.2. */
#include "fates.h"

int mf_fates_row_of(const mf_fates *f, uint64_t entry, mf_object **o, uint32_t *row, memfile_error *err)
{
    if (entry < f->from)
        return mf_store_entry(f->store, entry, o, row, err);
    const mf_pair *blocks = f->items->kind[MF_ITEM_BLOCK].pairs;
    size_t low = 0, high = f->items->kind[MF_ITEM_BLOCK].count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (blocks[middle].key <= entry)
            low = middle + 1;
        else
            high = middle;
    }
    int rc = low > 0 ? mf_store_block(f->store, blocks[low - 1].value * 8, o, err) : MEMFILE_E_NOT_FOUND;
    if (rc == MEMFILE_OK && entry - (*o)->first_entry >= (*o)->block.rows) { /* an older run's item names it */
        mf_store_release(f->store, *o);
        *o = NULL;
        rc = MEMFILE_E_NOT_FOUND;
    }
    if (rc == MEMFILE_E_NOT_FOUND)
        return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the index names entry %llu, which is in no block",
                       (unsigned long long)entry);
    if (rc == MEMFILE_OK)
        *row = (uint32_t)(entry - (*o)->first_entry);
    return rc;
}

/* Do two entries have the same id, or the same scope and key? */
static int confirm_pair(const mf_fates *f, unsigned kind, uint64_t before, uint64_t after, bool *same, memfile_error *err)
{
    mf_object *a = NULL, *b = NULL;
    uint32_t ra, rb;
    *same = false;
    int rc = mf_fates_row_of(f, before, &a, &ra, err);
    if (rc == MEMFILE_OK)
        rc = mf_fates_row_of(f, after, &b, &rb, err);
    if (rc == MEMFILE_OK)
        *same = kind == MF_ITEM_ID ? mf_block_same_id(&a->block, ra, &b->block, rb)
                                 : mf_block_same_key(&a->block, ra, &b->block, rb);
    mf_store_release(f->store, a);
    mf_store_release(f->store, b);
    return rc == MEMFILE_OK && !*same ? mf_store_collide(f->store, err) : rc;
}

/* Notes that `after` supersedes `before`. */
static int add_fate(const mf_fates *f, uint64_t before, uint64_t after, memfile_error *err)
{
    mf_items_add(f->items, MF_ITEM_FATE, before, after);
    return f->items->failed ? mf_fail_memory(err) : MEMFILE_OK;
}

/* Within the sorted items: equal hashes stand together, values rising. */
static int fates_inside(const mf_fates *f, unsigned kind, uint8_t *resolved, memfile_error *err)
{
    const mf_pair *pairs = f->items->kind[kind].pairs;
    size_t count = f->items->kind[kind].count;
    for (size_t i = 1; i < count; i++)
        for (size_t k = i; k-- > 0 && pairs[k].key == pairs[i].key;) {
            bool same;
            int rc = confirm_pair(f, kind, pairs[k].value, pairs[i].value, &same, err);
            if (rc == MEMFILE_OK && same)
                rc = add_fate(f, pairs[k].value, pairs[i].value, err);
            if (rc != MEMFILE_OK)
                return rc;
            if (same) {
                resolved[i] = 1;
                break;
            }
        }
    return MEMFILE_OK;
}

/* The newest entry of an older run that this one supersedes: its candidates, of the same hash, from the newest down. */
static int fate_in_run(const mf_fates *f, unsigned kind, const mf_run *run, mf_pair pair, uint8_t *resolved,
                       memfile_error *err)
{
    mf_item target = {(uint8_t)kind, pair.key, UINT64_MAX}, found;
    while (!*resolved) {
        bool same;
        int rc = mf_store_floor(f->store, run, &target, &found, err);
        if (rc == MEMFILE_DONE || (rc == MEMFILE_OK && (found.kind != kind || found.key != pair.key)))
            return MEMFILE_OK;
        if (rc == MEMFILE_OK)
            rc = confirm_pair(f, kind, found.value, pair.value, &same, err);
        if (rc == MEMFILE_OK && same)
            rc = add_fate(f, found.value, pair.value, err);
        if (rc != MEMFILE_OK)
            return rc;
        *resolved = same;
        if (found.value == 0)
            break;
        target.value = found.value - 1;
    }
    return MEMFILE_OK;
}

/* Against one older run: either look each up, or go through both. */
static int fates_in_run(const mf_fates *f, unsigned kind, const mf_run *run, uint8_t *resolved, memfile_error *err)
{
    const mf_pair *pairs = f->items->kind[kind].pairs;
    size_t count = f->items->kind[kind].count, i = 0;
    mf_run_iterator it;
    mf_item from = {(uint8_t)kind, 0, 0}, item = {0};
    int rc = MEMFILE_OK;
    if (count <= run->entry_count / 16) {
        for (; i < count && rc == MEMFILE_OK; i++)
            rc = fate_in_run(f, kind, run, pairs[i], &resolved[i], err);
        return rc;
    }
    rc = mf_run_seek(&it, f->store, run, &from, err);
    if (rc == MEMFILE_OK)
        rc = mf_run_next(&it, &item, err);
    while (rc == MEMFILE_OK && item.kind == kind && i < count) {
        if (item.key < pairs[i].key) {
            rc = mf_run_next(&it, &item, err);
            continue;
        }
        if (item.key == pairs[i].key)
            rc = fate_in_run(f, kind, run, pairs[i], &resolved[i], err);
        i++;
    }
    mf_run_iterator_close(&it);
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

int mf_fates_find(const mf_fates *f, memfile_error *err)
{
    static const unsigned kinds[] = {MF_ITEM_ID, MF_ITEM_KEY};
    int rc = MEMFILE_OK;
    f->store->collisions = 0;
    for (int i = 0; i < 2 && rc == MEMFILE_OK; i++) {
        size_t count = f->items->kind[kinds[i]].count;
        uint8_t *resolved = (uint8_t *)mf_alloc_zero(f->store->mem, count);
        if (!resolved)
            return mf_fail_memory(err);
        rc = fates_inside(f, kinds[i], resolved, err);
        for (uint32_t r = f->run_count; r-- > 0 && rc == MEMFILE_OK;)
            rc = fates_in_run(f, kinds[i], &f->runs[r], resolved, err);
        mf_free(f->store->mem, resolved);
    }
    return rc;
}

int mf_fates_count(const mf_fates *f, uint64_t indexed, uint64_t *count, memfile_error *err)
{
    const mf_pair *pairs = f->items->kind[MF_ITEM_FATE].pairs;
    *count = 0;
    for (size_t i = 0; i < f->items->kind[MF_ITEM_FATE].count; i++) {
        uint64_t by;
        int rc = MEMFILE_DONE;
        if (i > 0 && pairs[i - 1].key == pairs[i].key)
            continue;
        if (pairs[i].key < indexed)
            rc = mf_store_fate(f->store, pairs[i].key, indexed, &by, err);
        if (rc < 0)
            return rc;
        *count += rc == MEMFILE_DONE;
    }
    return MEMFILE_OK;
}
