/* writer_dictionary: dictionaries are trained here. SPEC 12. */
#include "batch.h"

#define DICTIONARY_BYTES ((size_t)32 << 10)
#define DICTIONARY_WORTH ((size_t)64 << 10) /* texts below which none is trained */
#define TRAIN_ENTRIES 2000u
/* From 5 to 10 the output of zstd for lengths up to 128 KiB hangs on whether the processor has
 * SSE2 or NEON (ZSTD_resolveRowMatchFinderMode); at 12 it is the same on every machine. */
#define DICTIONARY_LEVEL 12

int mf_dictionary_put_copy(mf_group *group, const mf_dictionary *d, int copy, uint64_t *offset, memfile_error *err)
{
    const mf_mem *mem = group->store->mem;
    mf_buffer head;
    mf_built built;
    mf_compressor compressor;
    mf_buffer_init(&head, mem);
    mf_built_init(&built, mem, &group->store->seal);
    mf_compressor_init(&compressor);
    mf_put_varint(&head, d->id);
    mf_put_u8(&head, (uint8_t)copy);
    int rc = head.failed ? mf_fail_memory(err)
                         : mf_segment_build(&built, MF_TYPE_DICTIONARY, 0, mf_slice_of(head.data, head.length),
                                            mf_slice_of(d->data, d->length), &compressor, DICTIONARY_LEVEL, NULL, err);
    if (rc == MEMFILE_OK)
        rc = mf_group_append(group, &built, offset, err);
    mf_compressor_free(&compressor);
    mf_built_free(&built);
    mf_buffer_free(&head);
    return rc;
}

int mf_dictionary_write(mf_group *group, const uint8_t *texts, const size_t *sizes, unsigned count, size_t capacity,
                        int level, mf_dictionary **out, mf_dictionary_place *place, bool both, memfile_error *err)
{
    const mf_mem *mem = group->store->mem;
    *out = NULL;
    uint8_t *bytes = (uint8_t *)mf_alloc(mem, capacity);
    if (!bytes)
        return mf_fail_memory(err);
    /* for a compacted file, whose only copy is not written yet, time matters less */
    size_t length = mf_dictionary_train(bytes, capacity, texts, sizes, count, !both);
    mf_dictionary *d = NULL;
    int rc = MEMFILE_OK;
    if (length > 0) {
        rc = mf_dictionary_new(mem, bytes, length, level, &d) == MEMFILE_OK ? MEMFILE_OK : mf_fail_memory(err);
        if (rc == MEMFILE_OK) {
            place->id = d->id;
            rc = mf_dictionary_put_copy(group, d, 0, &place->offset[0], err);
        }
        if (rc == MEMFILE_OK && both)
            rc = mf_dictionary_put_copy(group, d, 1, &place->offset[1], err);
    }
    mf_free(mem, bytes);
    if (rc != MEMFILE_OK) {
        mf_dictionary_free(d);
        d = NULL;
    }
    *out = d;
    return rc;
}

typedef struct samples {
    mf_buffer texts;
    size_t *sizes;
    size_t count, capacity;
} samples;

static int add_sample(samples *s, mf_slice text)
{
    void *grown = s->sizes;
    if (text.length < 8)
        return MEMFILE_OK;
    if (mf_grow(s->texts.mem, &grown, &s->capacity, s->count + 1, sizeof *s->sizes) != 0)
        return MEMFILE_E_MEMORY;
    s->sizes = (size_t *)grown;
    mf_put_bytes(&s->texts, text.data, text.length);
    s->sizes[s->count++] = text.length;
    return s->texts.failed ? MEMFILE_E_MEMORY : MEMFILE_OK;
}

static int train(mf_writer *w, samples *s, memfile_error *err)
{
    mf_dictionary *d = NULL;
    mf_dictionary_place place = {0};
    mf_footer *f = &w->working.footer;
    if (s->texts.length < DICTIONARY_WORTH || f->dictionary_count >= MF_DICTIONARIES_MAX)
        return MEMFILE_OK;
    size_t capacity = s->texts.length / 8 < DICTIONARY_BYTES ? s->texts.length / 8 : DICTIONARY_BYTES;
    int rc = mf_dictionary_write(&w->group, s->texts.data, s->sizes, (unsigned)s->count, capacity,
                                 w->settings->level, &d, &place, true, err);
    if (rc != MEMFILE_OK || !d)
        return rc;
    if (mf_store_add_dictionary(w->store, d) != MEMFILE_OK) {
        mf_dictionary_free(d);
        return mf_fail_memory(err);
    }
    void *grown = mf_realloc(w->store->mem, f->dictionaries, (f->dictionary_count + 1) * sizeof place);
    if (!grown)
        return mf_fail_memory(err);
    f->dictionaries = (mf_dictionary_place *)grown;
    f->dictionaries[f->dictionary_count++] = place;
    w->dictionary = d;
    return MEMFILE_OK;
}

static void samples_free(samples *s)
{
    mf_free(s->texts.mem, s->sizes);
    mf_buffer_free(&s->texts);
}

/* Texts of the blocks that wait for a dictionary. */
int mf_batch_train_from_held(mf_writer *w, memfile_error *err)
{
    samples s = {0};
    int rc = MEMFILE_OK;
    mf_buffer_init(&s.texts, w->store->mem);
    for (mf_job *job = w->held; job && rc == MEMFILE_OK; job = job->next) {
        const uint8_t *core = job->cores.data;
        for (uint32_t row = 0; row < job->rows && rc == MEMFILE_OK; row++) {
            mf_slice c = mf_slice_of(core + MF_SALT_LENGTH, job->core_length[row]);
            rc = mf_record_parse(w->record, c, MEMFILE_E_DAMAGED, MF_NOWHERE, err);
            if (rc == MEMFILE_OK && add_sample(&s, w->record->text) != MEMFILE_OK)
                rc = mf_fail_memory(err);
            core += MF_SALT_LENGTH + job->core_length[row];
        }
    }
    if (rc == MEMFILE_OK)
        rc = train(w, &s, err);
    samples_free(&s);
    return rc;
}

/* Texts of the newest entries of a file that grew commit by commit. */
int mf_batch_train_from_file(mf_writer *w, memfile_error *err)
{
    samples s = {0};
    mf_store *st = w->store;
    int rc = MEMFILE_OK;
    uint64_t end = w->working.entries, entry = end > TRAIN_ENTRIES ? end - TRAIN_ENTRIES : 0;
    mf_buffer_init(&s.texts, st->mem);
    while (entry < end && rc == MEMFILE_OK) {
        mf_object *o;
        uint32_t row;
        rc = mf_store_entry(st, entry, &o, &row, err);
        if (rc == MEMFILE_OK)
            rc = mf_store_content(st, o, err);
        for (; rc == MEMFILE_OK && row < o->block.rows; row++, entry++)
            if (add_sample(&s, mf_block_text(&o->block, row)) != MEMFILE_OK)
                rc = mf_fail_memory(err);
        mf_store_release(st, o);
    }
    if (rc == MEMFILE_OK)
        rc = train(w, &s, err);
    samples_free(&s);
    return rc;
}

/* The newest dictionary of the file, ready for compression; none is fine. */
int mf_batch_find_dictionary(mf_writer *w, memfile_error *err)
{
    const mf_footer *f = &w->working.footer;
    const mf_dictionary *d = NULL;
    w->dictionary = NULL;
    w->dictionary_decided = f->dictionary_count > 0;
    if (!w->dictionary_decided)
        return MEMFILE_OK;
    uint32_t id = f->dictionaries[f->dictionary_count - 1].id;
    int rc = mf_store_dictionary(w->store, id, &d, err);
    if (rc == MEMFILE_E_DAMAGED)
        return MEMFILE_OK; /* go on without it */
    if (rc != MEMFILE_OK)
        return rc;
    if (!d->for_compression) {
        mf_dictionary *with = NULL;
        if (mf_dictionary_new(w->store->mem, d->data, d->length, w->settings->level, &with) != MEMFILE_OK)
            return mf_fail_memory(err);
        for (size_t i = 0; i < w->store->dictionary_count; i++)
            if (w->store->dictionaries[i] == d) {
                mf_dictionary_free(w->store->dictionaries[i]);
                w->store->dictionaries[i] = with;
            }
        d = with;
    }
    w->dictionary = d;
    return MEMFILE_OK;
}
