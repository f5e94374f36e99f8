/* writer_forget: entries of op forget. SPEC 10.8. */
#include "batch.h"

#include "cbor.h"

int mf_writer_forget_begin(mf_writer *w, memfile_error *err)
{
    int rc = mf_batch_begin(w, err);
    if (rc == MEMFILE_OK && (w->streaming || w->puts > 0))
        rc = mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE,
                     "what is forgotten is committed already: forget before the puts of a batch, or commit them first");
    return rc;
}

int mf_writer_forgets(mf_writer *w, uint64_t entry, bool *yes, memfile_error *err)
{
    w->store->state = &w->working;
    int rc = mf_store_forgotten(w->store, entry, yes, err);
    w->store->state = &w->store->committed;
    return rc;
}

/* What is forgotten from now on, and its items. Entries rise. */
static int note_forgotten(void *context, uint64_t entry, uint64_t by, bool erased)
{
    mf_writer *w = (mf_writer *)context;
    const mf_numbers *fresh = &w->fresh;
    mf_items_add(&w->items, MF_ITEM_FORGOTTEN, entry, by);
    if (erased || mf_ranges_have(&w->working.forgotten, entry) ||
        (fresh->count > 0 && fresh->v[fresh->count - 1] == entry))
        return 0;
    return mf_numbers_add(&w->fresh, entry, w->store->mem);
}

static int begin_noting(mf_writer *w, memfile_error *err)
{
    bool yes;
    w->fresh.count = 0;
    return mf_writer_forgets(w, 0, &yes, err); /* reads those of the file, if it has any */
}

static int end_noting(mf_writer *w, memfile_error *err)
{
    mf_state *s = &w->working;
    for (size_t i = 0; i < w->fresh.count; i++)
        if (mf_ranges_add(&s->forgotten, w->fresh.v[i], w->store->mem) != 0)
            return mf_fail_memory(err);
    mf_ranges_settle(&s->forgotten);
    s->forgotten_ready = true;
    s->footer.forgotten += w->fresh.count;
    return w->items.failed ? mf_fail_memory(err) : MEMFILE_OK;
}

int mf_batch_resolve_claims(mf_writer *w, memfile_error *err)
{
    if (w->claims.count == 0)
        return MEMFILE_OK;
    mf_leaf_search search = {w->store, note_forgotten, NULL, w, 0, 0};
    w->store->state = &w->store->committed; /* nobody knows the leaves of the batch */
    int rc = begin_noting(w, err);
    if (rc == MEMFILE_OK)
        rc = mf_claims_resolve(&w->claims, &search, w->first_entry, err);
    return rc == MEMFILE_OK ? end_noting(w, err) : rc;
}

/* Leaves of entries, which rise. */
static int leaves_of(mf_writer *w, mf_salt_walk *walk, const uint64_t *entries, size_t count, mf_buffer *scratch,
                     mf_buffer *out, memfile_error *err)
{
    int rc = MEMFILE_OK;
    for (size_t i = 0; i < count && rc == MEMFILE_OK; i++) {
        mf_object *o = NULL;
        uint32_t row;
        uint8_t leaf[32];
        rc = mf_store_entry(w->store, entries[i], &o, &row, err);
        if (rc == MEMFILE_OK)
            rc = mf_store_content(w->store, o, err);
        if (rc == MEMFILE_OK)
            rc = mf_salt_walk_leaf(walk, &o->block, row, entries[i], scratch, leaf, err);
        if (rc == MEMFILE_DONE)
            rc = mf_fail(err, MEMFILE_E_DAMAGED, o->offset, "the salt of entry %llu cannot be derived",
                         (unsigned long long)entries[i]);
        mf_store_release(w->store, o);
        if (rc == MEMFILE_OK)
            mf_cbor_put_bytes(out, mf_slice_of(leaf, sizeof leaf));
    }
    return rc == MEMFILE_OK && out->failed ? mf_fail_memory(err) : rc;
}

static void put_core(const mf_writer *w, mf_buffer *core, const mf_buffer *leaves, size_t count, mf_slice reason)
{
    uint8_t uuid[16];
    int64_t now = mf_batch_now_us(w), part = now % 1000000;
    mf_time time = {now / 1000000, (uint32_t)(part > 0 ? part : 0), part > 0 ? 6 : 0};
    const char *actor = w->settings->author;
    mf_batch_make_uuid(w, uuid);
    mf_buffer_clear(core);
    mf_cbor_put_head(core, MF_CBOR_MAP, 4u + (actor != NULL) + (reason.length > 0));
    mf_cbor_put_int(core, MF_FIELD_OP);
    mf_cbor_put_int(core, MF_OP_FORGET);
    mf_cbor_put_int(core, MF_FIELD_ID);
    mf_cbor_put_id(core, (mf_id){uuid, sizeof uuid, true});
    mf_cbor_put_int(core, MF_FIELD_TIME);
    mf_cbor_put_time(core, &time);
    if (actor) {
        mf_cbor_put_int(core, MF_FIELD_ACTOR);
        mf_cbor_put_text(core, mf_slice_of(actor, strlen(actor)));
    }
    mf_cbor_put_int(core, MF_FIELD_SUPERSEDES);
    mf_cbor_put_head(core, MF_CBOR_ARRAY, count);
    mf_put_bytes(core, leaves->data, leaves->length);
    if (reason.length > 0) {
        mf_cbor_put_int(core, MF_FIELD_REASON);
        mf_cbor_put_text(core, reason);
    }
}

int mf_writer_forget(mf_writer *w, const uint64_t *entries, size_t count, mf_slice reason, uint64_t *made,
                     memfile_error *err)
{
    mf_salt_walk walk;
    mf_buffer scratch, leaves, core;
    *made = 0;
    mf_buffer_init(&scratch, w->store->mem);
    mf_buffer_init(&leaves, w->store->mem);
    mf_buffer_init(&core, w->store->mem);
    int rc = mf_salt_walk_open(&walk, w->store, err);
    if (rc == MEMFILE_OK)
        rc = begin_noting(w, err);
    for (size_t at = 0; at < count && rc == MEMFILE_OK; ++*made) {
        size_t n = count - at < MF_LEAVES_MAX ? count - at : MF_LEAVES_MAX;
        uint64_t by;
        mf_buffer_clear(&leaves);
        rc = leaves_of(w, &walk, entries + at, n, &scratch, &leaves, err);
        if (rc == MEMFILE_OK) {
            put_core(w, &core, &leaves, n, reason);
            rc = core.failed ? mf_fail_memory(err)
                             : mf_batch_put_core(w, mf_slice_of(core.data, core.length), &by, err);
        }
        for (size_t i = 0; rc == MEMFILE_OK && i < n; i++)
            if (note_forgotten(w, entries[at + i], by, false) != 0)
                rc = mf_fail_memory(err);
        if (rc == MEMFILE_OK)
            rc = mf_batch_spill_long(w, err);
        at += n;
    }
    if (rc == MEMFILE_OK)
        rc = end_noting(w, err);
    mf_salt_walk_close(&walk);
    mf_buffer_free(&scratch);
    mf_buffer_free(&leaves);
    mf_buffer_free(&core);
    if (rc != MEMFILE_OK) {
        *made = 0;
        w->broken = true;
        w->poisoned |= rc == MEMFILE_E_UNCERTAIN;
    }
    return rc;
}
