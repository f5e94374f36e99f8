/* writer_keys: conditions of a put: idempotency keys, versions. SPEC 10.2. */
#include "batch.h"
#include "checksum.h"

static uint64_t *known_key_find(mf_writer *w, mf_slice key, uint64_t hash)
{
    if (!w->key_slots)
        return NULL;
    for (size_t i = hash & (w->key_slots - 1); w->keys[i].length; i = (i + 1) & (w->key_slots - 1))
        if (w->keys[i].hash == hash && w->keys[i].length == key.length &&
            memcmp(w->key_bytes.data + w->keys[i].offset, key.data, key.length) == 0)
            return &w->keys[i].entry;
    return NULL;
}

void mf_batch_keys_clear(mf_writer *w)
{
    w->key_count = 0;
    if (w->key_slots)
        memset(w->keys, 0, w->key_slots * sizeof *w->keys);
    mf_buffer_clear(&w->key_bytes);
}

int mf_batch_keys_add(mf_writer *w, mf_slice key, uint64_t entry)
{
    uint64_t hash = mf_checksum_seeded(key.data, key.length, w->store->tag);
    if ((w->key_count + 1) * 2 > w->key_slots) {
        size_t slots = w->key_slots ? w->key_slots * 2 : 64;
        known_key *keys = (known_key *)mf_alloc_zero(w->store->mem, slots * sizeof *keys);
        if (!keys)
            return -1;
        for (size_t k = 0; k < w->key_slots; k++) {
            if (!w->keys[k].length)
                continue;
            size_t i = w->keys[k].hash & (slots - 1);
            while (keys[i].length)
                i = (i + 1) & (slots - 1);
            keys[i] = w->keys[k];
        }
        mf_free(w->store->mem, w->keys);
        w->keys = keys;
        w->key_slots = slots;
    }
    size_t i = hash & (w->key_slots - 1);
    while (w->keys[i].length)
        i = (i + 1) & (w->key_slots - 1);
    w->keys[i] = (known_key){hash, entry, w->key_bytes.length, key.length};
    mf_put_bytes(&w->key_bytes, key.data, key.length);
    w->key_count++;
    return w->key_bytes.failed ? -1 : 0;
}

void mf_batch_fill_result(memfile_put_result *result, mf_id id, uint64_t entry, int existed)
{
    if (!result)
        return;
    result->entry = entry;
    result->existed = existed;
    result->id_length = mf_id_print(id, result->id);
}

/* MEMFILE_DONE: the key is there, and *result tells where. */
int mf_batch_check_idempotency(mf_writer *w, mf_slice key, memfile_put_result *result, memfile_error *err)
{
    mf_object *o = NULL;
    uint32_t row = 0;
    uint64_t hash = mf_checksum_seeded(key.data, key.length, w->store->tag);
    uint64_t *entry = known_key_find(w, key, hash);
    int rc;
    if (entry) {
        uint64_t at = *entry;
        rc = mf_batch_drain(w, err);
        if (rc == MEMFILE_OK)
            rc = mf_batch_row_of(w, at, &o, &row, err);
    } else {
        w->store->state = &w->working; /* spilled runs are searched too */
        rc = mf_store_idempotency(w->store, key, &o, &row, err);
        w->store->state = &w->store->committed;
        if (rc == MEMFILE_E_NOT_FOUND)
            return MEMFILE_OK;
    }
    if (rc != MEMFILE_OK)
        return rc;
    mf_batch_fill_result(result, mf_block_id(&o->block, row), o->first_entry + row, 1);
    mf_store_release(w->store, o);
    /* It may be a commit that nobody was told of: durable before we speak of it. */
    if (!w->ours && !entry) {
        rc = mf_io_sync(w->store->io, err);
        w->poisoned |= rc != MEMFILE_OK;
    }
    return rc == MEMFILE_OK ? MEMFILE_DONE : rc;
}

/* Newest version of an id, the batch included; UINT64_MAX if none. */
int mf_batch_newest_version(mf_writer *w, mf_id id, uint64_t *entry, memfile_error *err)
{
    uint64_t hash = mf_item_hash_id(id, w->store->tag);
    mf_object *o;
    uint32_t row;
    int rc = MEMFILE_OK;
    *entry = UINT64_MAX;
    for (size_t i = w->items.kind[MF_ITEM_ID].count; i-- > 0;) {
        mf_pair pair = w->items.kind[MF_ITEM_ID].pairs[i];
        if (pair.key != hash)
            continue;
        rc = mf_batch_drain(w, err);
        if (rc == MEMFILE_OK)
            rc = mf_batch_row_of(w, pair.value, &o, &row, err);
        if (rc != MEMFILE_OK)
            return rc;
        bool same = mf_id_equal(mf_block_id(&o->block, row), id);
        mf_store_release(w->store, o);
        if (same) {
            *entry = pair.value;
            return MEMFILE_OK;
        }
    }
    w->store->state = &w->working;
    rc = mf_store_id(w->store, id, UINT64_MAX, &o, &row, err);
    w->store->state = &w->store->committed;
    if (rc == MEMFILE_E_NOT_FOUND)
        return MEMFILE_OK;
    if (rc == MEMFILE_OK) {
        *entry = o->first_entry + row;
        mf_store_release(w->store, o);
    }
    return rc;
}
