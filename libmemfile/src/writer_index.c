/* writer_index: fates and runs of a batch. SPEC 10.2, 10.7. */
#include "batch.h"

/* ---- entries of this batch and of the file alike */

int mf_batch_row_of(mf_writer *w, uint64_t entry, mf_object **o, uint32_t *row, memfile_error *err)
{
    if (entry < w->spilled_end || entry < w->first_entry)
        return mf_store_entry(w->store, entry, o, row, err);
    const mf_pair *blocks = w->items.kind[MF_ITEM_BLOCK].pairs;
    size_t low = 0, high = w->items.kind[MF_ITEM_BLOCK].count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (blocks[middle].key <= entry)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "entry %llu is in no block", (unsigned long long)entry);
    int rc = mf_store_block(w->store, blocks[low - 1].value * 8, o, err);
    if (rc == MEMFILE_OK)
        *row = (uint32_t)(entry - (*o)->first_entry);
    return rc;
}

/* Do two entries have the same id, or the same scope and key? */
static int confirm_pair(mf_writer *w, unsigned kind, uint64_t before, uint64_t after, bool *same, memfile_error *err)
{
    mf_object *a = NULL, *b = NULL;
    uint32_t ra, rb;
    *same = false;
    int rc = mf_batch_row_of(w, before, &a, &ra, err);
    if (rc == MEMFILE_OK)
        rc = mf_batch_row_of(w, after, &b, &rb, err);
    if (rc == MEMFILE_OK)
        *same = kind == MF_ITEM_ID ? mf_block_same_id(&a->block, ra, &b->block, rb)
                                 : mf_block_same_key(&a->block, ra, &b->block, rb);
    mf_store_release(w->store, a);
    mf_store_release(w->store, b);
    return rc;
}

/* Notes that `after` supersedes `before`. */
static int add_fate(mf_writer *w, uint64_t before, uint64_t after, memfile_error *err)
{
    mf_items_add(&w->items, MF_ITEM_FATE, before, after);
    return w->items.failed ? mf_fail_memory(err) : MEMFILE_OK;
}

/* Entries that are superseded for the first time, among the sorted FATE items. */
static int count_superseded(mf_writer *w, memfile_error *err)
{
    const mf_pair *pairs = w->items.kind[MF_ITEM_FATE].pairs;
    w->new_superseded = 0;
    for (size_t i = 0; i < w->items.kind[MF_ITEM_FATE].count; i++) {
        uint64_t by;
        int rc = MEMFILE_DONE;
        if (i > 0 && pairs[i - 1].key == pairs[i].key)
            continue;
        if (pairs[i].key < w->spilled_end)
            rc = mf_store_fate(w->store, pairs[i].key, w->spilled_end, &by, err);
        if (rc < 0)
            return rc;
        w->new_superseded += rc == MEMFILE_DONE;
    }
    return MEMFILE_OK;
}

/* Within the sorted items: equal hashes stand together, values rising. */
static int fates_inside(mf_writer *w, unsigned kind, uint8_t *resolved, memfile_error *err)
{
    const mf_pair *pairs = w->items.kind[kind].pairs;
    size_t count = w->items.kind[kind].count;
    for (size_t i = 1; i < count; i++)
        for (size_t k = i; k-- > 0 && pairs[k].key == pairs[i].key;) {
            bool same;
            int rc = confirm_pair(w, kind, pairs[k].value, pairs[i].value, &same, err);
            if (rc == MEMFILE_OK && same)
                rc = add_fate(w, pairs[k].value, pairs[i].value, err);
            if (rc != MEMFILE_OK)
                return rc;
            if (same) {
                resolved[i] = 1;
                break;
            }
        }
    return MEMFILE_OK;
}

/* Against one older run: either look each up, or go through both. */
static int fates_in_run(mf_writer *w, unsigned kind, const mf_run *run, uint8_t *resolved, memfile_error *err)
{
    const mf_pair *pairs = w->items.kind[kind].pairs;
    size_t count = w->items.kind[kind].count;
    bool together = count > run->entry_count / 16;
    mf_run_iterator it;
    mf_item from = {(uint8_t)kind, 0, 0}, item = {0};
    int rc = MEMFILE_OK;
    if (count == 0 || run->type != MF_RUN_ITEMS || run->root_length == 0)
        return MEMFILE_OK;
    if (!together) {
        for (size_t i = 0; i < count && rc == MEMFILE_OK; i++) {
            mf_item target = {(uint8_t)kind, pairs[i].key, UINT64_MAX};
            while (!resolved[i] && (rc = mf_store_floor(w->store, run, &target, &item, err)) == MEMFILE_OK &&
                   item.kind == kind && item.key == pairs[i].key) {
                bool same;
                rc = confirm_pair(w, kind, item.value, pairs[i].value, &same, err);
                if (rc == MEMFILE_OK && same)
                    rc = add_fate(w, item.value, pairs[i].value, err);
                if (rc != MEMFILE_OK)
                    return rc;
                resolved[i] = same;
                if (item.value == 0)
                    break;
                target.value = item.value - 1;
            }
            if (rc == MEMFILE_DONE)
                rc = MEMFILE_OK;
        }
        return rc;
    }
    rc = mf_run_seek(&it, w->store, run, &from, err);
    if (rc == MEMFILE_OK)
        rc = mf_run_next(&it, &item, err);
    for (size_t i = 0; rc == MEMFILE_OK && item.kind == kind && i < count;) {
        if (item.key < pairs[i].key) {
            rc = mf_run_next(&it, &item, err);
            continue;
        }
        if (item.key > pairs[i].key) {
            i++;
            continue;
        }
        /* Same hash: the run's candidates from the newest down, for each of ours. */
        uint64_t key = item.key;
        for (; i < count && pairs[i].key == key && rc == MEMFILE_OK; i++) {
            mf_item target = {(uint8_t)kind, key, UINT64_MAX}, found;
            while (!resolved[i] && (rc = mf_store_floor(w->store, run, &target, &found, err)) == MEMFILE_OK &&
                   found.kind == kind && found.key == key) {
                bool same;
                rc = confirm_pair(w, kind, found.value, pairs[i].value, &same, err);
                if (rc == MEMFILE_OK && same)
                    rc = add_fate(w, found.value, pairs[i].value, err);
                if (rc != MEMFILE_OK)
                    break;
                resolved[i] = same;
                if (found.value == 0)
                    break;
                target.value = found.value - 1;
            }
            if (rc == MEMFILE_DONE)
                rc = MEMFILE_OK;
        }
    }
    mf_run_iterator_close(&it);
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

/* SPEC 10.2: FATE items for all entries that have items now. Everything must
 * have been drained. */
static int find_fates(mf_writer *w, memfile_error *err)
{
    static const unsigned kinds[] = {MF_ITEM_ID, MF_ITEM_KEY};
    const mf_footer *f = &w->working.footer;
    int rc = MEMFILE_OK;
    for (int i = 0; i < 2 && rc == MEMFILE_OK; i++) {
        size_t count = w->items.kind[kinds[i]].count;
        uint8_t *resolved = (uint8_t *)mf_alloc_zero(w->store->mem, count);
        if (!resolved)
            return mf_fail_memory(err);
        rc = fates_inside(w, kinds[i], resolved, err);
        for (uint32_t r = f->run_count; r-- > 0 && rc == MEMFILE_OK;)
            rc = fates_in_run(w, kinds[i], &f->runs[r], resolved, err);
        mf_free(w->store->mem, resolved);
    }
    return rc;
}

/* ---- runs */

static int push_run(mf_writer *w, const mf_run *run, memfile_error *err)
{
    mf_footer *f = &w->working.footer;
    if (f->run_count >= MF_RUNS_MAX)
        return mf_fail(err, MEMFILE_E_LIMIT, MF_NOWHERE, "too many index runs; compact the file");
    void *grown = mf_realloc(w->store->mem, f->runs, (f->run_count + 1) * sizeof *f->runs);
    if (!grown)
        return mf_fail_memory(err);
    f->runs = (mf_run *)grown;
    f->runs[f->run_count++] = *run;
    return MEMFILE_OK;
}

int mf_batch_merge_last(mf_writer *w, uint32_t count, memfile_error *err)
{
    mf_footer *f = &w->working.footer;
    mf_run run;
    int rc = mf_group_flush(&w->group, err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_batch_note_readable(w);
    rc = mf_run_merge(&w->group, f->runs + f->run_count - count, count, &run, err);
    if (rc == MEMFILE_OK) {
        f->run_count -= count;
        rc = push_run(w, &run, err);
    }
    return rc;
}

/* SPEC 10.7 */
static int merge_runs(mf_writer *w, memfile_error *err)
{
    mf_footer *f = &w->working.footer;
    int rc = MEMFILE_OK;
    while (rc == MEMFILE_OK && f->run_count >= MF_RUN_FANOUT) {
        uint32_t same = 0;
        unsigned level = mf_run_level(f->runs[f->run_count - 1].entry_count);
        while (same < f->run_count && f->runs[f->run_count - 1 - same].type == MF_RUN_ITEMS &&
               mf_run_level(f->runs[f->run_count - 1 - same].entry_count) == level)
            same++;
        if (same < MF_RUN_FANOUT)
            break;
        rc = mf_batch_merge_last(w, MF_RUN_FANOUT, err);
    }
    return rc;
}

/* Puts the tail's items ahead of the batch's own, so that values rise; once per batch. */
int mf_batch_take_tail(mf_writer *w, memfile_error *err)
{
    mf_store *st = w->store;
    const mf_state *s = &st->committed;
    mf_items merged;
    if (w->tail_taken)
        return MEMFILE_OK;
    w->tail_taken = true;
    int rc = s->tail_count > 0 ? mf_store_tail_items(st, err) : MEMFILE_OK;
    if (rc != MEMFILE_OK)
        return rc;
    mf_items_init(&merged, st->mem);
    if (w->working.footer.indexed_commits == 0)
        mf_items_add(&merged, MF_ITEM_COMMIT, 0, 0); /* the genesis */
    for (uint32_t i = 0; i < s->tail_count; i++) {
        mf_items_add(&merged, MF_ITEM_BLOCK, s->tail[i].first_entry, s->tail[i].offset / 8);
        mf_items_add(&merged, MF_ITEM_COMMIT, s->tail[i].number, s->tail[i].first_entry + s->tail[i].entry_count);
    }
    for (unsigned kind = 1; kind <= MF_ITEM_COMMIT; kind++) {
        /* The tail's FATE items are found again, with the batch's. */
        for (size_t i = 0; s->tail_count > 0 && kind != MF_ITEM_FATE && i < st->tail_items.kind[kind].count; i++)
            mf_items_add(&merged, kind, st->tail_items.kind[kind].pairs[i].key,
                         st->tail_items.kind[kind].pairs[i].value);
        for (size_t i = 0; i < w->items.kind[kind].count; i++)
            mf_items_add(&merged, kind, w->items.kind[kind].pairs[i].key, w->items.kind[kind].pairs[i].value);
    }
    merged.failed |= w->items.failed;
    mf_items_free(&w->items);
    w->items = merged;
    return merged.failed ? mf_fail_memory(err) : MEMFILE_OK;
}

/* Writes a run over all entries from spilled_end to `end`, whose items are in
 * w->items, and starts them anew. */
int mf_batch_write_run(mf_writer *w, uint64_t end, uint64_t commits, memfile_error *err)
{
    mf_run run;
    mf_footer *f = &w->working.footer;
    mf_items_sort(&w->items);
    if (w->items.failed)
        return mf_fail_memory(err);
    w->store->state = &w->working;
    w->working.entries = end > w->working.entries ? end : w->working.entries;
    int rc = find_fates(w, err);
    mf_items_sort(&w->items);
    if (rc == MEMFILE_OK && w->items.failed)
        rc = mf_fail_memory(err);
    if (rc == MEMFILE_OK)
        rc = count_superseded(w, err);
    if (rc == MEMFILE_OK)
        rc = mf_run_write_items(&w->group, &w->items, w->spilled_end, end - w->spilled_end, &run, err);
    if (rc == MEMFILE_OK)
        rc = push_run(w, &run, err);
    if (rc == MEMFILE_OK) {
        w->spilled_end = end;
        f->indexed_entries = end;
        f->indexed_commits = commits;
        f->superseded += w->new_superseded;
        w->working.tail_count = 0;
        w->new_superseded = 0;
        mf_items_clear(&w->items);
        rc = merge_runs(w, err);
    }
    w->store->state = &w->store->committed;
    return rc;
}

/* A long batch: what it has so far goes to the file, so that memory stays bounded. */
int mf_batch_spill(mf_writer *w, memfile_error *err)
{
    int rc = mf_batch_drain(w, err);
    if (rc == MEMFILE_OK)
        rc = mf_batch_take_tail(w, err);
    if (rc == MEMFILE_OK)
        rc = mf_batch_write_run(w, w->next_entry, w->store->committed.number + 1, err);
    mf_batch_keys_clear(w);
    return rc;
}
