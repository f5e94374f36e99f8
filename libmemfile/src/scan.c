/* scan: reading blocks in order. */
#include "scan.h"

/* Texts and rests, once the dictionary is there. */
static void expand(mf_scan_slot *s, mf_compressor *compressor)
{
    if (s->content_capacity < s->segment.raw_length) {
        uint8_t *grown = (uint8_t *)mf_realloc(s->mem, s->content, s->segment.raw_length);
        if (!grown) {
            s->rc = mf_fail_memory(&s->error);
            return;
        }
        s->content = grown;
        s->content_capacity = s->segment.raw_length;
    }
    s->rc = mf_segment_content(&s->segment, s->stored, compressor, s->dictionary, s->content, &s->error);
    if (s->rc == MEMFILE_OK)
        mf_block_set_content(&s->block, s->content);
}

static void decode(mf_scan_slot *s, mf_compressor *compressor)
{
    s->wants_dictionary = false;
    mf_slice head, columns = {0};
    mf_error_clear(&s->error);
    mf_arena_reset(&s->arena);
    const uint8_t *opened;
    s->rc = mf_segment_check(&s->segment, s->raw, &s->error);
    if (s->rc == MEMFILE_OK)
        s->rc = mf_segment_open(&s->seal, &s->segment, s->raw, s->raw, &opened, &s->error);
    if (s->rc == MEMFILE_OK && s->segment.type != MF_TYPE_RECORDS && s->segment.type != MF_TYPE_COMMIT)
        s->rc = mf_fail(&s->error, MEMFILE_E_DAMAGED, s->offset, "the segment at offset %llu is not a block of entries",
                        (unsigned long long)s->offset);
    if (s->rc == MEMFILE_OK)
        s->rc = mf_segment_split(&s->segment, s->raw, &head, &s->stored, &s->error);
    if (s->rc != MEMFILE_OK)
        return;
    if (s->segment.type == MF_TYPE_COMMIT) {
        mf_commit k;
        s->rc = mf_commit_decode(&k, head, NULL, s->mem, s->offset, &s->error);
        columns = k.columns;
        s->first_entry = k.first_entry;
    } else {
        mf_cursor c = mf_cursor_of(head.data, head.length);
        s->first_entry = mf_get_varint_max(&c, MF_ENTRIES_MAX);
        columns = mf_slice_of(c.at, mf_cursor_left(&c));
    }
    if (s->rc != MEMFILE_OK)
        return;
    int rc = columns.length ? mf_block_parse(&s->block, columns, &s->arena) : -1;
    if (rc == 0 && s->block.content_length != s->segment.raw_length)
        rc = -1;
    if (rc != 0) {
        s->rc = rc == -2   ? mf_fail_memory(&s->error)
                : rc == -3 ? mf_fail(&s->error, MEMFILE_E_NEWER, s->offset, "made by a newer version")
                           : mf_fail(&s->error, MEMFILE_E_DAMAGED, s->offset,
                                     "the block of entries at offset %llu does not decode",
                                     (unsigned long long)s->offset);
        return;
    }
    if (!s->wants_content || s->segment.raw_length == 0)
        return;
    s->wants_dictionary = s->segment.codec == MF_CODEC_ZSTD_DICTIONARY &&
                          (!s->dictionary || s->dictionary->id != s->segment.codec_parameter);
    if (!s->wants_dictionary)
        expand(s, compressor);
}

static void run_slot(void *context, unsigned worker, void *job)
{
    decode((mf_scan_slot *)job, &((mf_scan *)context)->compressors[worker]);
}

int mf_scan_open(mf_scan *sc, mf_store *store, uint64_t first, uint64_t end, bool wants_content, unsigned threads,
                 memfile_error *err)
{
    memset(sc, 0, sizeof *sc);
    sc->store = store;
    sc->next_entry = sc->position = first;
    sc->generation = store->generation;
    sc->end = end;
    sc->wants_content = wants_content;
    sc->threads = threads < 1 ? 1 : threads;
    sc->slot_count = sc->threads == 1 ? 2 : sc->threads * 4 + 1;
    sc->seeking = true;
    sc->compressors = (mf_compressor *)mf_alloc_zero(store->mem, sc->threads * sizeof *sc->compressors);
    sc->slots = (mf_scan_slot **)mf_alloc_zero(store->mem, sc->slot_count * sizeof *sc->slots);
    sc->free_list = (mf_scan_slot **)mf_alloc_zero(store->mem, sc->slot_count * sizeof *sc->free_list);
    bool failed = !sc->compressors || !sc->slots || !sc->free_list;
    for (unsigned i = 0; i < sc->slot_count && !failed; i++) {
        mf_scan_slot *s = (mf_scan_slot *)mf_alloc_zero(store->mem, sizeof *s);
        sc->slots[i] = s;
        failed = !s;
        if (s) {
            s->mem = store->mem;
            mf_arena_init(&s->arena, store->mem);
            sc->free_list[sc->free_slots++] = s;
        }
    }
    if (!failed)
        failed = mf_pool_new(store->mem, sc->threads, run_slot, sc, &sc->pool) != 0;
    if (!failed)
        return MEMFILE_OK;
    mf_scan_close(sc);
    return mf_fail_memory(err);
}

void mf_scan_close(mf_scan *sc)
{
    if (!sc->store)
        return;
    const mf_mem *mem = sc->store->mem;
    mf_pool_free(sc->pool);
    mf_run_iterator_close(&sc->iterator);
    for (unsigned i = 0; sc->slots && i < sc->slot_count; i++)
        if (sc->slots[i]) {
            mf_arena_free(&sc->slots[i]->arena);
            mf_dictionary_free(sc->slots[i]->dictionary);
            mf_free(mem, sc->slots[i]->raw);
            mf_free(mem, sc->slots[i]->content);
            mf_free(mem, sc->slots[i]);
        }
    for (unsigned i = 0; sc->compressors && i < sc->threads; i++)
        mf_compressor_free(&sc->compressors[i]);
    mf_free(mem, sc->compressors);
    mf_free(mem, sc->slots);
    mf_free(mem, sc->free_list);
    memset(sc, 0, sizeof *sc);
}

/* Starts on the run that holds next_entry. */
static int enter_run(mf_scan *sc, memfile_error *err)
{
    const mf_footer *f = &sc->store->state->footer;
    for (; sc->run < f->run_count; sc->run++) {
        const mf_run *r = &f->runs[sc->run];
        if (r->type != MF_RUN_ITEMS || r->entry_count == 0 || r->first_entry + r->entry_count <= sc->position)
            continue;
        uint64_t at = sc->position > r->first_entry ? sc->position : r->first_entry;
        mf_item from = {MF_ITEM_BLOCK, at, UINT64_MAX};
        int rc = mf_store_floor(sc->store, r, &from, &from, err);
        if (rc < 0)
            return rc;
        if (rc == MEMFILE_DONE || from.kind != MF_ITEM_BLOCK)
            return mf_fail(err, MEMFILE_E_DAMAGED, r->root_offset, "the index leads to no block with entry %llu",
                           (unsigned long long)at);
        rc = mf_run_seek(&sc->iterator, sc->store, r, &from, err);
        if (rc != MEMFILE_OK)
            return rc;
        sc->iterating = true;
        sc->run++;
        return MEMFILE_OK;
    }
    return MEMFILE_DONE;
}

static int next_item(mf_scan *sc, mf_item *out, memfile_error *err)
{
    const mf_state *s = sc->store->state;
    for (;;) {
        if (!sc->iterating) {
            int rc = enter_run(sc, err);
            if (rc == MEMFILE_DONE)
                break;
            if (rc != MEMFILE_OK)
                return rc;
        }
        int rc = mf_run_next(&sc->iterator, out, err);
        if (rc == MEMFILE_OK && out->kind == MF_ITEM_BLOCK)
            return MEMFILE_OK;
        mf_run_iterator_close(&sc->iterator);
        sc->iterating = false;
        if (rc < 0)
            return rc;
    }
    const mf_tail_commit *tail = mf_state_tail(s);
    uint32_t count = mf_state_tail_count(s);
    while (sc->tail < count && tail[sc->tail].first_entry + tail[sc->tail].entry_count <= sc->position)
        sc->tail++;
    if (sc->tail == count)
        return MEMFILE_DONE;
    *out = (mf_item){MF_ITEM_BLOCK, tail[sc->tail].first_entry, tail[sc->tail].offset / 8};
    sc->tail++;
    return MEMFILE_OK;
}

static int hold_dictionary(mf_scan *sc, mf_scan_slot *s, uint32_t id, memfile_error *err)
{
    const mf_dictionary *dictionary;
    int rc = mf_store_dictionary(sc->store, id, &dictionary, err);
    if (rc == MEMFILE_OK) {
        mf_dictionary_free(s->dictionary);
        s->dictionary = mf_dictionary_hold(dictionary);
    }
    return rc;
}

/* Reads the segment's bytes; checking them is the pool's work. */
static int fill(mf_scan *sc, mf_scan_slot *s, uint64_t offset, uint64_t guess, memfile_error *err)
{
    mf_store *st = sc->store;
    uint64_t left = offset < st->readable_end ? st->readable_end - offset : 0;
    size_t want = guess && guess <= (2u << 20) ? (size_t)guess : 8192, got = 0;
    if (left < MF_SEGMENT_HEADER_LENGTH)
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "the index leads to offset %llu, where no block can be",
                       (unsigned long long)offset);
    if (want > left)
        want = (size_t)left;
    if (want < MF_SEGMENT_HEADER_LENGTH)
        want = MF_SEGMENT_HEADER_LENGTH;
    for (int pass = 0;; pass++) {
        if (s->raw_capacity < want) {
            uint8_t *grown = (uint8_t *)mf_realloc(st->mem, s->raw, want);
            if (!grown)
                return mf_fail_memory(err);
            s->raw = grown;
            s->raw_capacity = want;
        }
        int rc = mf_io_read_all(st->io, offset + got, s->raw + got, want - got, err);
        if (rc == MEMFILE_OK && pass == 0)
            rc = mf_segment_decode(&s->segment, s->raw, offset, st->tag, err);
        if (rc != MEMFILE_OK)
            return rc;
        got = want;
        uint64_t total = mf_segment_total(&s->segment);
        if (total > left)
            return mf_fail(err, MEMFILE_E_DAMAGED, offset, "the segment at offset %llu is longer than the file",
                           (unsigned long long)offset);
        if (total <= got)
            break;
        want = (size_t)total;
    }
    s->offset = offset;
    s->tag = st->tag;
    s->seal = st->seal;
    s->wants_content = sc->wants_content;
    mf_dictionary_free(s->dictionary);
    s->dictionary = NULL;
    if (sc->wants_content && s->segment.codec == MF_CODEC_ZSTD_DICTIONARY)
        return hold_dictionary(sc, s, s->segment.codec_parameter, err);
    /* which one is inside the seal: most probably the newest */
    const mf_footer *f = &st->state->footer;
    if (sc->wants_content && s->segment.type == MF_TYPE_SEALED && f->dictionary_count > 0) {
        memfile_error why;
        int rc = hold_dictionary(sc, s, f->dictionaries[f->dictionary_count - 1].id, &why);
        if (rc != MEMFILE_OK && rc != MEMFILE_E_DAMAGED) {
            *err = why;
            return rc;
        }
    }
    return MEMFILE_OK;
}

/* The handle has committed, or followed a rename, meanwhile: entries are where they
 * were in number, but perhaps not in place. */
static void start_again(mf_scan *sc)
{
    mf_run_iterator_close(&sc->iterator);
    sc->iterating = sc->have_ahead = false;
    sc->run = sc->tail = 0;
    sc->generation = sc->store->generation;
}

/* Is it a block that is lost for good, not one that the index fails to lead to? The
 * entries of the next one tell how many were in it. */
static bool is_lost(const mf_scan *sc, int rc)
{
    return rc == MEMFILE_E_DAMAGED && sc->store->state->blocks;
}

/* Gives the pool as much as it takes. */
static int feed(mf_scan *sc, memfile_error *err)
{
    while (!mf_pool_full(sc->pool) && sc->free_slots > 0) {
        mf_item item;
        int rc = MEMFILE_OK;
        if (sc->generation != sc->store->generation)
            start_again(sc);
        if (sc->have_ahead)
            item = sc->ahead;
        else
            rc = next_item(sc, &item, err);
        if (rc == MEMFILE_OK && item.key >= sc->end)
            rc = MEMFILE_DONE;
        if (rc != MEMFILE_OK)
            return rc;
        rc = next_item(sc, &sc->ahead, err);
        if (rc < 0)
            return rc;
        sc->have_ahead = rc == MEMFILE_OK;
        sc->position = sc->have_ahead ? sc->ahead.key : sc->end;
        uint64_t guess = sc->have_ahead && sc->ahead.value > item.value ? (sc->ahead.value - item.value) * 8 : 0;
        if (guess > 65536)
            guess = 0;
        mf_scan_slot *s = sc->free_list[sc->free_slots - 1];
        rc = item.value > UINT64_MAX / 8 ? mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "an index item has a wrong offset")
                                         : fill(sc, s, item.value * 8, guess, err);
        if (rc == MEMFILE_OK) {
            sc->free_slots--;
            mf_pool_give(sc->pool, s);
        } else if (!is_lost(sc, rc)) {
            return rc;
        }
        if (!sc->have_ahead)
            return MEMFILE_DONE;
    }
    return MEMFILE_OK;
}

/* The next block that is not lost; NULL at the end. */
static int take(mf_scan *sc, mf_scan_slot **out, memfile_error *err)
{
    for (;;) {
        if (sc->seeking) {
            int rc = feed(sc, err);
            if (rc < 0)
                return rc;
            sc->seeking = rc == MEMFILE_OK;
        }
        mf_scan_slot *s = *out = (mf_scan_slot *)mf_pool_take(sc->pool);
        if (s && s->rc == MEMFILE_OK && s->wants_dictionary) {
            s->rc = hold_dictionary(sc, s, s->segment.codec_parameter, &s->error);
            if (s->rc == MEMFILE_OK)
                expand(s, &sc->store->compressor);
        }
        if (!*out || !is_lost(sc, (*out)->rc))
            return MEMFILE_OK;
        sc->free_list[sc->free_slots++] = *out;
    }
}

int mf_scan_next(mf_scan *sc, mf_scan_slot **out, memfile_error *err)
{
    mf_scan_slot *s = NULL;
    *out = NULL;
    if (sc->current) {
        sc->free_list[sc->free_slots++] = sc->current;
        sc->current = NULL;
    }
    int rc = take(sc, &s, err);
    if (rc != MEMFILE_OK)
        return rc;
    if (sc->store->state->blocks) { /* gaps are what was lost */
        uint64_t here = s ? s->first_entry : sc->end;
        if (here > sc->next_entry && (!s || s->rc == MEMFILE_OK)) {
            sc->skipped += here - sc->next_entry;
            sc->next_entry = here;
        }
    }
    if (!s && sc->skipped)
        return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "%llu entries could not be read; all others were",
                       (unsigned long long)sc->skipped);
    if (!s && sc->next_entry < sc->end)
        return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the index leads to no block with entry %llu",
                       (unsigned long long)sc->next_entry);
    if (!s)
        return MEMFILE_DONE;
    sc->current = s;
    if (s->rc != MEMFILE_OK) {
        *err = s->error;
        return s->rc;
    }
    if (s->first_entry > sc->next_entry || s->first_entry + s->block.rows <= sc->next_entry)
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "the block at offset %llu does not hold entry %llu",
                       (unsigned long long)s->offset, (unsigned long long)sc->next_entry);
    sc->next_entry = s->first_entry + s->block.rows;
    *out = s;
    return MEMFILE_OK;
}
