/* writer_index: runs of a batch. SPEC 10.7. */
#include "batch.h"
#include "fates.h"

static mf_fates fates_of(mf_writer *w)
{
    return (mf_fates){w->store, &w->items, w->spilled_end > w->first_entry ? w->spilled_end : w->first_entry,
                      w->working.footer.runs, w->working.footer.run_count};
}

int mf_batch_row_of(mf_writer *w, uint64_t entry, mf_object **o, uint32_t *row, memfile_error *err)
{
    mf_fates f = fates_of(w);
    return mf_fates_row_of(&f, entry, o, row, err);
}

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
    for (unsigned kind = 1; kind <= MF_ITEM_LAST; kind++) {
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
    int rc = mf_batch_resolve_claims(w, err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_items_sort(&w->items);
    if (w->items.failed)
        return mf_fail_memory(err);
    w->store->state = &w->working;
    w->working.entries = end > w->working.entries ? end : w->working.entries;
    mf_fates fates = fates_of(w);
    rc = mf_fates_find(&fates, err);
    mf_items_sort(&w->items);
    if (rc == MEMFILE_OK && w->items.failed)
        rc = mf_fail_memory(err);
    if (rc == MEMFILE_OK)
        rc = mf_fates_count(&fates, w->spilled_end, &w->new_superseded, err);
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
    if (rc == MEMFILE_OK)
        rc = mf_group_flush(&w->group, err); /* conditions of later puts are looked up in it */
    if (rc == MEMFILE_OK)
        mf_batch_note_readable(w);
    return rc;
}
