/* writer: SPEC 16.
 *
 * States of a writer, with the functions that lead on:
 *   IDLE     no lock.                          begin() -> ACTIVE
 *   ACTIVE   the lock is held, `working` is what the file will be.
 *            mf_writer_commit() -> IDLE, mf_writer_rollback() -> IDLE
 *   STREAM   ACTIVE, within mf_writer_put_begin … end.
 *   POISONED a sync failed (16.3). Nothing leads out of it but freeing.
 *
 * Invariants. (1) Bytes below working.end are never written, but for the
 * identical ones of 16.5. (2) store->state is &store->committed whenever a
 * caller can read. (3) Entries below spilled_end are found through
 * working.footer.runs, later ones through `items`. */
#include "batch.h"

/* ---- making and freeing */

static void run_job(void *context, unsigned worker, void *job)
{
    mf_job_run((mf_job *)job, &((mf_writer *)context)->workers[worker]);
}

int mf_writer_new(mf_store *store, const mf_settings *settings, mf_writer **out, memfile_error *err)
{
    const mf_mem *mem = store->mem;
    mf_writer *w = (mf_writer *)mf_alloc_zero(mem, sizeof *w);
    *out = NULL;
    if (!w)
        return mf_fail_memory(err);
    w->store = store;
    w->settings = settings;
    w->held_end = &w->held;
    mf_group_init(&w->group, store);
    mf_items_init(&w->items, mem);
    mf_built_init(&w->built, mem, &store->seal);
    mf_buffer_init(&w->head, mem);
    mf_buffer_init(&w->key_bytes, mem);
    mf_content_writer_init(&w->content, &w->group, &w->items, &w->working.footer.objects, settings->level);
    w->record = (mf_record *)mf_alloc(mem, sizeof *w->record);
    w->workers = (mf_job_worker *)mf_alloc_zero(mem, settings->threads * sizeof *w->workers);
    if (!w->record || !w->workers || mf_pool_new(mem, settings->threads, run_job, w, &w->pool) != 0) {
        mf_writer_free(w);
        return mf_fail_memory(err);
    }
    *out = w;
    return MEMFILE_OK;
}

static void free_jobs(mf_job *job)
{
    while (job) {
        mf_job *next = job->next;
        mf_job_free(job);
        job = next;
    }
}

void mf_writer_free(mf_writer *w)
{
    if (!w)
        return;
    const mf_mem *mem = w->store->mem;
    mf_writer_rollback(w);
    mf_pool_free(w->pool);
    free_jobs(w->spare);
    for (unsigned i = 0; w->workers && i < w->settings->threads; i++)
        mf_job_worker_free(&w->workers[i]);
    mf_free(mem, w->workers);
    mf_free(mem, w->record);
    mf_free(mem, w->keys);
    mf_free(mem, w->claims.v);
    mf_free(mem, w->fresh.v);
    mf_items_free(&w->items);
    mf_buffer_free(&w->key_bytes);
    mf_built_free(&w->built);
    mf_buffer_free(&w->head);
    mf_content_writer_free(&w->content);
    mf_group_free(&w->group);
    mf_free(mem, w);
}

bool mf_writer_active(const mf_writer *w)
{
    return w->active;
}

/* ---- jobs */

mf_job *mf_batch_spare_job(mf_writer *w, memfile_error *err)
{
    mf_job *job = w->spare;
    if (job)
        w->spare = job->next;
    else if (!(job = mf_job_new(w->store->mem, &w->store->seal)))
        mf_fail_memory(err);
    if (job)
        mf_job_clear(job);
    return job;
}

void mf_batch_give_back(mf_writer *w, mf_job *job)
{
    job->next = w->spare;
    w->spare = job;
}

/* A finished block goes to its place in the group. */
static int place_job(mf_writer *w, mf_job *job, memfile_error *err)
{
    uint64_t offset;
    int rc = job->rc;
    if (rc != MEMFILE_OK) {
        *err = job->error;
        return rc;
    }
    rc = mf_group_append(&w->group, &job->built, &offset, err);
    if (rc != MEMFILE_OK)
        return rc;
    for (uint32_t row = 0; row < job->rows; row++)
        mf_tree_add(&w->entries, job->leaves[row]);
    mf_items_add(&w->items, MF_ITEM_BLOCK, job->first_entry, offset / 8);
    return MEMFILE_OK;
}

static int take_job(mf_writer *w, memfile_error *err)
{
    mf_job *job = (mf_job *)mf_pool_take(w->pool);
    int rc = place_job(w, job, err);
    w->in_flight--;
    mf_batch_give_back(w, job);
    return rc;
}

static int give_job(mf_writer *w, mf_job *job, memfile_error *err)
{
    int rc = MEMFILE_OK;
    job->wants_leaves = job->wants_segment = true;
    job->level = w->settings->level;
    job->dictionary = w->dictionary;
    if (mf_pool_full(w->pool))
        rc = take_job(w, err);
    mf_pool_give(w->pool, job);
    w->in_flight++;
    return rc;
}

/* Passes held jobs on. */
static int release_held(mf_writer *w, memfile_error *err)
{
    int rc = MEMFILE_OK;
    if (!w->dictionary_decided) {
        rc = mf_batch_train_from_held(w, err);
        w->dictionary_decided = true;
    }
    while (w->held && rc == MEMFILE_OK) {
        mf_job *job = w->held;
        w->held = job->next;
        rc = give_job(w, job, err);
    }
    if (!w->held)
        w->held_end = &w->held;
    w->held_bytes = 0;
    return rc;
}

void mf_batch_note_readable(mf_writer *w)
{
    if (w->group.out_offset > w->store->readable_end)
        w->store->readable_end = w->group.out_offset;
}

/* The current block is complete. */
static int close_block(mf_writer *w, memfile_error *err)
{
    mf_job *job = w->current;
    if (!job)
        return MEMFILE_OK;
    w->current = NULL;
    if (job->rows == 0) {
        mf_batch_give_back(w, job);
        return MEMFILE_OK;
    }
    if (w->dictionary_decided)
        return give_job(w, job, err);
    job->next = NULL;
    *w->held_end = job;
    w->held_end = &job->next;
    w->held_bytes += job->cores.length;
    return w->held_bytes >= MF_TRAIN_HOLD_BYTES ? release_held(w, err) : MEMFILE_OK;
}

/* All blocks in the file, so that they can be read back. */
int mf_batch_drain(mf_writer *w, memfile_error *err)
{
    int rc = close_block(w, err);
    if (rc == MEMFILE_OK && w->held)
        rc = release_held(w, err);
    while (rc == MEMFILE_OK && w->in_flight > 0)
        rc = take_job(w, err);
    if (rc == MEMFILE_OK)
        rc = mf_group_flush(&w->group, err);
    if (rc == MEMFILE_OK)
        mf_batch_note_readable(w);
    return rc;
}

/* ---- put */

/* RFC 9562 §5.7, with the fraction of the millisecond in rand_a (§6.2, method 3). */
void mf_batch_make_uuid(const mf_writer *w, uint8_t out[16])
{
    int64_t now = mf_batch_now_us(w);
    uint64_t ms = now > 0 ? (uint64_t)now / 1000 : 0;
    unsigned fraction = now > 0 ? (unsigned)((uint64_t)now % 1000 * 4096 / 1000) : 0;
    mf_batch_random(w, out, 16);
    for (int i = 0; i < 6; i++)
        out[i] = (uint8_t)(ms >> (40 - 8 * i));
    out[6] = (uint8_t)(0x70 | fraction >> 8);
    out[7] = (uint8_t)fraction;
    out[8] = (uint8_t)(0x80 | (out[8] & 0x3f));
}

/* Room for one more row of about `bytes`; closes the block when it is full. */
static int room_for_row(mf_writer *w, memfile_error *err)
{
    int rc = MEMFILE_OK;
    if (w->current && (w->current->cores.length >= MF_BLOCK_BYTES + (size_t)w->current->rows * MF_SALT_LENGTH ||
                       w->current->rows >= MF_BLOCK_ROWS_MAX))
        rc = close_block(w, err);
    if (rc == MEMFILE_OK && !w->current) {
        w->current = mf_batch_spare_job(w, err);
        if (!w->current)
            return MEMFILE_E_MEMORY;
        w->current->first_entry = w->next_entry;
        w->current->salt_index = (uint32_t)w->salt_next;
        memcpy(w->current->salt_root, w->salts.root, 16);
    }
    return rc;
}

/* The core is in the current block; take it apart, check it, count it. */
static int admit(mf_writer *w, size_t begun, mf_slice vector, memfile_put_result *result, memfile_error *err)
{
    mf_job *job = w->current;
    mf_record *r = w->record;
    mf_slice core = mf_slice_of(job->cores.data + begun + MF_SALT_LENGTH, job->cores.length - begun - MF_SALT_LENGTH);
    if (job->cores.failed)
        return mf_fail_memory(err);
    int rc = mf_record_parse(r, core, MEMFILE_E_INVALID, MF_NOWHERE, err);
    if (rc != MEMFILE_OK)
        return rc;
    if (r->op > MF_OP_FORGET)
        return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "this version cannot put entries of the op %llu",
                       (unsigned long long)r->op);
    r->vector = vector;
    if (w->next_entry >= MF_ENTRIES_MAX)
        return mf_fail(err, MEMFILE_E_LIMIT, MF_NOWHERE, "the memory is full: %llu entries",
                       (unsigned long long)w->next_entry);
    if (mf_job_add(job, begun, r) != MEMFILE_OK)
        return mf_fail_memory(err);
    if ((r->mask & MF_COLUMN_IDEMPOTENCY_KEY) && mf_batch_keys_add(w, r->idempotency_key, w->next_entry) != 0)
        return mf_fail_memory(err);
    mf_items_add_entry(&w->items, r, w->next_entry, w->store->tag);
    mf_batch_fill_result(result, r->id, w->next_entry, 0);
    w->forgets |= r->op == MF_OP_FORGET;
    w->puts += r->op != MF_OP_FORGET;
    w->next_entry++;
    w->salt_next++;
    return w->items.failed ? mf_fail_memory(err) : MEMFILE_OK;
}

/* Conditions that need look-ups are checked on a core of its own, before the
 * block sees it: a look-up may close the block. */
static int check_conditions(mf_writer *w, memfile_draft *draft, bool conditional, uint64_t expected,
                            memfile_put_result *result, memfile_error *err)
{
    mf_buffer core;
    mf_detached nothing = {MF_CONTENT_TEXT, MF_INLINE_CONTENT_MAX + 1, {0}};
    uint64_t length = mf_draft_content_length(draft);
    mf_buffer_init(&core, w->store->mem);
    mf_draft_core(draft, length != UINT64_MAX && length > MF_INLINE_CONTENT_MAX ? &nothing : NULL, &core);
    int rc = core.failed ? mf_fail_memory(err)
                         : mf_record_parse(w->record, mf_slice_of(core.data, core.length), MEMFILE_E_INVALID,
                                           MF_NOWHERE, err);
    if (rc == MEMFILE_OK && (w->record->mask & MF_COLUMN_IDEMPOTENCY_KEY))
        rc = mf_batch_check_idempotency(w, w->record->idempotency_key, result, err);
    if (rc == MEMFILE_OK && conditional) {
        uint64_t newest;
        mf_id id = w->record->id;
        rc = mf_batch_newest_version(w, id, &newest, err);
        if (rc == MEMFILE_OK && newest != expected)
            rc = newest == UINT64_MAX
                     ? mf_fail(err, MEMFILE_E_CONFLICT, MF_NOWHERE, "the id has no entry yet")
                     : mf_fail(err, MEMFILE_E_CONFLICT, MF_NOWHERE, "the newest version of the id is entry %llu",
                               (unsigned long long)newest);
    }
    mf_buffer_free(&core);
    return rc;
}

/* Content over the limit: hash it, see whether the file has it, else write it. */
static int detach(mf_writer *w, memfile_draft *draft, mf_detached *out, memfile_error *err)
{
    size_t size = MF_CHUNK_LENGTH;
    uint8_t *chunk = (uint8_t *)mf_alloc(w->store->mem, size);
    int rc = MEMFILE_OK;
    if (!chunk)
        return mf_fail_memory(err);
    for (int pass = 0; pass < 2 && rc == MEMFILE_OK; pass++) {
        rc = mf_content_writer_begin(&w->content, mf_draft_content_form(draft), pass == 0, err);
        mf_draft_content_rewind(draft);
        for (size_t n; rc == MEMFILE_OK && (n = mf_draft_content_next(draft, chunk, size)) > 0;)
            rc = mf_content_writer_add(&w->content, chunk, n, err);
        if (rc == MEMFILE_OK)
            rc = mf_content_writer_end(&w->content, out, err);
        if (rc == MEMFILE_OK && pass == 0) {
            bool there = false;
            rc = mf_group_flush(&w->group, err);
            mf_batch_note_readable(w);
            w->store->state = &w->working;
            if (rc == MEMFILE_OK)
                rc = mf_content_exists(w->store, &w->items, out, &there, err);
            w->store->state = &w->store->committed;
            if (there)
                break;
        }
    }
    mf_free(w->store->mem, chunk);
    return rc;
}

static bool spoils_batch(int rc)
{
    return rc < 0 && rc != MEMFILE_E_INVALID && rc != MEMFILE_E_LIMIT && rc != MEMFILE_E_CONFLICT &&
           rc != MEMFILE_E_NEWER;
}

static int finish_put(mf_writer *w, int rc)
{
    if (spoils_batch(rc))
        w->broken = true;
    if (rc == MEMFILE_E_UNCERTAIN)
        w->poisoned = true;
    return rc;
}

static int put(mf_writer *w, memfile_draft *draft, const mf_detached *given, bool conditional, uint64_t expected,
               memfile_put_result *result, memfile_error *err)
{
    mf_detached detached;
    uint8_t uuid[16];
    if (!mf_draft_has(draft, MF_FIELD_ID)) {
        mf_batch_make_uuid(w, uuid);
        mf_draft_set_id(draft, (mf_id){uuid, 16, true});
    }
    int rc = MEMFILE_OK;
    uint64_t length = mf_draft_content_length(draft);
    bool detaches = !given && length != UINT64_MAX && length > MF_INLINE_CONTENT_MAX;
    /* An entry that is refused must not leave its content behind. */
    if (!given && (conditional || detaches || mf_draft_has(draft, MF_FIELD_IDEMPOTENCY_KEY)))
        rc = check_conditions(w, draft, conditional, expected, result, err);
    if (rc == MEMFILE_OK && detaches) {
        rc = detach(w, draft, &detached, err);
        given = &detached;
    }
    if (rc == MEMFILE_OK)
        rc = room_for_row(w, err);
    if (rc != MEMFILE_OK)
        return rc;
    size_t begun = mf_job_begin_core(w->current);
    mf_draft_core(draft, given, &w->current->cores);
    rc = admit(w, begun, mf_draft_vector(draft), result, err);
    if (rc != MEMFILE_OK) {
        mf_job_drop_core(w->current, begun);
        return rc;
    }
    if (w->record->op == MF_OP_FORGET && mf_claims_add(&w->claims, w->record->supersedes, w->next_entry - 1,
                                                       w->store->mem) != 0)
        return mf_fail_memory(err);
    if (w->claims.count >= MF_CLAIMS_MAX)
        rc = mf_batch_resolve_claims(w, err);
    return rc == MEMFILE_OK ? mf_batch_spill_long(w, err) : rc;
}

int mf_batch_put_core(mf_writer *w, mf_slice core, uint64_t *entry, memfile_error *err)
{
    int rc = room_for_row(w, err);
    if (rc != MEMFILE_OK)
        return rc;
    size_t begun = mf_job_begin_core(w->current);
    *entry = w->next_entry;
    mf_put_bytes(&w->current->cores, core.data, core.length);
    rc = admit(w, begun, mf_slice_of(NULL, 0), NULL, err);
    if (rc != MEMFILE_OK)
        mf_job_drop_core(w->current, begun);
    return rc;
}

int mf_batch_spill_long(mf_writer *w, memfile_error *err)
{
    return mf_items_count(&w->items) >= w->settings->spill_items ? mf_batch_spill(w, err) : MEMFILE_OK;
}

int mf_writer_put(mf_writer *w, memfile_draft *draft, bool conditional, uint64_t expected, memfile_put_result *result,
                  memfile_error *err)
{
    const memfile_error *broken = mf_draft_error(draft);
    if (result)
        memset(result, 0, sizeof *result);
    if (broken) {
        *err = *broken;
        return broken->code;
    }
    bool was_active = w->active;
    int rc = mf_batch_begin(w, err);
    if (rc != MEMFILE_OK)
        return rc;
    if (w->streaming)
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "a content is being put; end it first");
    rc = put(w, draft, NULL, conditional, expected, result, err);
    rc = finish_put(w, rc);
    /* Nothing was added: do not hold the lock for it. */
    if (!was_active && rc != MEMFILE_OK && !w->broken && w->next_entry == w->first_entry)
        mf_writer_rollback(w);
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

int mf_writer_put_begin(mf_writer *w, memfile_draft *draft, int form, memfile_error *err)
{
    const memfile_error *broken = mf_draft_error(draft);
    if (broken) {
        *err = *broken;
        return broken->code;
    }
    if (mf_draft_content_length(draft) != UINT64_MAX)
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "the draft has a text or data already");
    int rc = mf_batch_begin(w, err);
    if (rc == MEMFILE_OK && w->streaming)
        rc = mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "a content is being put already");
    if (rc == MEMFILE_OK)
        rc = mf_content_writer_begin(&w->content, form, false, err);
    if (rc == MEMFILE_OK) {
        w->streaming = true;
        w->stream_draft = draft;
    }
    return rc;
}

int mf_writer_put_write(mf_writer *w, const void *data, size_t length, memfile_error *err)
{
    if (!w->streaming || w->broken)
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "no content is being put");
    int rc = mf_content_writer_add(&w->content, data, length, err);
    if (rc != MEMFILE_OK)
        w->broken = true; /* some of it may be in the group */
    return finish_put(w, rc);
}

int mf_writer_put_end(mf_writer *w, memfile_put_result *result, memfile_error *err)
{
    mf_detached detached;
    mf_slice inline_content;
    if (result)
        memset(result, 0, sizeof *result);
    if (!w->streaming || w->broken)
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "no content is being put");
    w->streaming = false;
    if (mf_content_writer_is_short(&w->content, &inline_content)) {
        bool text = w->content.form == MF_CONTENT_TEXT;
        int set = memfile_draft_set(w->stream_draft, text ? MEMFILE_TEXT : MEMFILE_DATA, inline_content.data,
                                    inline_content.length);
        if (set != MEMFILE_OK) {
            *err = *mf_draft_error(w->stream_draft);
            return finish_put(w, set);
        }
        return mf_writer_put(w, w->stream_draft, false, 0, result, err);
    }
    int rc = mf_content_writer_end(&w->content, &detached, err);
    if (rc == MEMFILE_OK && mf_draft_has(w->stream_draft, MF_FIELD_IDEMPOTENCY_KEY))
        rc = mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "a streamed content cannot have an idempotency key");
    if (rc == MEMFILE_OK)
        rc = put(w, w->stream_draft, &detached, false, 0, result, err);
    if (rc != MEMFILE_OK)
        w->broken = true;
    return finish_put(w, rc);
}
