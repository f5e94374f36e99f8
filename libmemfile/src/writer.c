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
#include "writer.h"

#include <stdio.h>

#include "checksum.h"
#include "content.h"

#define SPILL_ITEMS ((size_t)600000)       /* 16 bytes each */
#define HOLD_BYTES ((size_t)512 << 10)     /* cores kept back until there is a dictionary */
#define DICTIONARY_BYTES ((size_t)32 << 10)
#define DICTIONARY_WORTH ((size_t)64 << 10) /* texts below which none is trained */
#define TRAIN_ENTRIES 2000u

typedef struct known_key {
    uint64_t hash, entry;
    size_t offset, length; /* in key_bytes */
} known_key;

struct mf_writer {
    mf_store *store;
    const mf_settings *settings;
    bool active, poisoned, streaming, broken;
    /* what the next commit builds on; valid while chain_offset is the newest commit */
    bool chain_ready;
    uint64_t chain_offset;
    uint8_t stored_digest[32];
    mf_tree log;
    uint8_t last_salt_root[16];
    bool ours; /* the newest commit is this writer's, so its salt tree goes on */
    mf_salts salts;
    uint64_t salt_next; /* next index in our tree */
    /* the batch */
    mf_state working;
    mf_group group;
    uint64_t first_entry, next_entry, spilled_end;
    uint32_t salt_first;
    bool new_salt_root;
    mf_tree entries;
    mf_items items;
    bool tail_taken; /* items hold the tail's too */
    mf_job *current, *held, **held_end, *spare;
    size_t held_bytes, in_flight;
    bool dictionary_decided;
    const mf_dictionary *dictionary;
    mf_pool *pool;
    mf_job_worker *workers;
    mf_record *record;
    known_key *keys;
    size_t key_count, key_slots;
    mf_buffer key_bytes;
    uint64_t new_superseded;
    uint32_t runs_at_begin;
    mf_built built;
    mf_buffer head;
    uint64_t commits_since_full, bytes_since_full;
    mf_content_writer content;
    memfile_draft *stream_draft;
};

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
    mf_built_init(&w->built, mem);
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

static int64_t now_us(const mf_writer *w)
{
    return w->settings->environment.now_us(w->settings->environment.context);
}

static void random_bytes(const mf_writer *w, void *out, size_t length)
{
    w->settings->environment.random(w->settings->environment.context, out, length);
}

/* ---- jobs */

static mf_job *spare_job(mf_writer *w, memfile_error *err)
{
    mf_job *job = w->spare;
    if (job)
        w->spare = job->next;
    else if (!(job = mf_job_new(w->store->mem)))
        mf_fail_memory(err);
    if (job)
        mf_job_clear(job);
    return job;
}

static void give_back(mf_writer *w, mf_job *job)
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
    give_back(w, job);
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

static int train_from_held(mf_writer *w, memfile_error *err);

/* Passes held jobs on. */
static int release_held(mf_writer *w, memfile_error *err)
{
    int rc = MEMFILE_OK;
    if (!w->dictionary_decided) {
        rc = train_from_held(w, err);
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

/* The current block is complete. */
static int close_block(mf_writer *w, memfile_error *err)
{
    mf_job *job = w->current;
    if (!job)
        return MEMFILE_OK;
    w->current = NULL;
    if (job->rows == 0) {
        give_back(w, job);
        return MEMFILE_OK;
    }
    if (w->dictionary_decided)
        return give_job(w, job, err);
    job->next = NULL;
    *w->held_end = job;
    w->held_end = &job->next;
    w->held_bytes += job->cores.length;
    return w->held_bytes >= HOLD_BYTES ? release_held(w, err) : MEMFILE_OK;
}

/* All blocks in the file, so that they can be read back. */
static int drain(mf_writer *w, memfile_error *err)
{
    int rc = close_block(w, err);
    if (rc == MEMFILE_OK && w->held)
        rc = release_held(w, err);
    while (rc == MEMFILE_OK && w->in_flight > 0)
        rc = take_job(w, err);
    if (rc == MEMFILE_OK)
        rc = mf_group_flush(&w->group, err);
    if (rc == MEMFILE_OK && w->group.out_offset > w->store->readable_end)
        w->store->readable_end = w->group.out_offset;
    return rc;
}

/* ---- dictionaries */

int mf_dictionary_put_copy(mf_group *group, const mf_dictionary *d, int copy, uint64_t *offset, memfile_error *err)
{
    const mf_mem *mem = group->store->mem;
    mf_buffer head;
    mf_built built;
    mf_compressor compressor;
    mf_buffer_init(&head, mem);
    mf_built_init(&built, mem);
    mf_compressor_init(&compressor);
    mf_put_varint(&head, d->id);
    mf_put_u8(&head, (uint8_t)copy);
    int rc = head.failed ? mf_fail_memory(err)
                         : mf_segment_build(&built, MF_TYPE_DICTIONARY, 0, mf_slice_of(head.data, head.length),
                                            mf_slice_of(d->data, d->length), &compressor, 9, NULL, err);
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
    if (s->texts.length < DICTIONARY_WORTH || f->dictionary_count >= MF_DICTIONARIES_MAX || w->settings->level == 0)
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
static int train_from_held(mf_writer *w, memfile_error *err)
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
static int train_from_file(mf_writer *w, memfile_error *err)
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
static int find_dictionary(mf_writer *w, memfile_error *err)
{
    const mf_footer *f = &w->working.footer;
    const mf_dictionary *d = NULL;
    w->dictionary = NULL;
    w->dictionary_decided = f->dictionary_count > 0 || w->settings->level == 0;
    if (!w->dictionary_decided || f->dictionary_count == 0)
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

/* ---- begin */

typedef struct chain_state {
    mf_writer *w;
    bool first;
    uint64_t number;
} chain_state;

/* Rebuilds what a commit builds on: stored digest, log, salts. */
static int visit_commit(void *context, const mf_segment *s, const uint8_t *raw, const mf_commit *k)
{
    chain_state *c = (chain_state *)context;
    mf_writer *w = c->w;
    uint8_t body[32];
    mf_stored_chain chain;
    mf_digest(body, MF_LABEL_BYTES, raw + MF_SEGMENT_HEADER_LENGTH, s->stored_length);
    mf_chain_begin(&chain, c->first ? w->store->committed.footer.stored_prefix : w->stored_digest);
    mf_chain_segment(&chain, raw, body);
    mf_chain_end(&chain, w->stored_digest);
    if (c->first || (k->flags & MF_COMMIT_LOGICAL))
        mf_tree_add(&w->log, k->history_digest);
    if (c->first)
        memcpy(w->last_salt_root, w->store->committed.footer.salt_root, 16);
    if (k->flags & MF_COMMIT_SALT)
        memcpy(w->last_salt_root, k->salt_root, 16);
    w->commits_since_full += !c->first;
    w->bytes_since_full += c->first ? 0 : mf_segment_total(s);
    c->first = false;
    return MEMFILE_OK;
}

static int ready_chain(mf_writer *w, memfile_error *err)
{
    const mf_state *s = &w->store->committed;
    if (w->chain_ready && w->chain_offset == s->commit_offset)
        return MEMFILE_OK;
    if (s->lost_commits > 0)
        return mf_fail(err, MEMFILE_E_DAMAGED, s->footer_offset,
                       "commits behind offset %llu are damaged; run verify, then recover, before writing",
                       (unsigned long long)s->footer_offset);
    chain_state c = {w, true, 0};
    mf_tree_from_frontier(&w->log, s->footer_number, &s->footer.frontier[0][0]);
    w->commits_since_full = w->bytes_since_full = 0;
    w->chain_ready = w->ours = false;
    int rc = mf_store_visit_tail(w->store, visit_commit, &c, err);
    w->chain_ready = rc == MEMFILE_OK;
    w->chain_offset = s->commit_offset;
    return rc;
}

/* SPEC 16.5: writes the debris again as it is, and the newest commit before it. */
static int declare_void(mf_writer *w, uint64_t size, memfile_error *err)
{
    const mf_state *s = &w->store->committed;
    mf_io *io = w->store->io;
    mf_digest_stream digest;
    uint8_t sum[32];
    size_t chunk = 1u << 20;
    uint64_t end = mf_align8(size);
    uint8_t *bytes = (uint8_t *)mf_alloc(w->store->mem, chunk);
    mf_checksum_stream *checksum = mf_checksum_begin();
    int rc = bytes && checksum ? MEMFILE_OK : mf_fail_memory(err);
    mf_digest_begin(&digest, MF_LABEL_BYTES);
    if (rc == MEMFILE_OK && s->commit_length <= chunk) {
        rc = mf_io_read_all(io, s->commit_offset, bytes, (size_t)s->commit_length, err);
        if (rc == MEMFILE_OK)
            rc = mf_io_write(io, s->commit_offset, bytes, (size_t)s->commit_length, err);
    }
    for (uint64_t at = s->end; rc == MEMFILE_OK && at < end;) {
        size_t n = end - at < chunk ? (size_t)(end - at) : chunk;
        size_t there = size - at < n ? (size_t)(size - at) : n;
        memset(bytes, 0, n);
        rc = mf_io_read_all(io, at, bytes, there, err);
        if (rc == MEMFILE_OK)
            rc = mf_io_write(io, at, bytes, n, err);
        if (rc == MEMFILE_OK) {
            mf_checksum_add(checksum, bytes, n);
            mf_digest_add(&digest, bytes, n);
        }
        at += n;
    }
    uint64_t check = checksum ? mf_checksum_end(checksum) : 0;
    mf_digest_end(&digest, sum);
    mf_free(w->store->mem, bytes);
    return rc == MEMFILE_OK ? mf_group_void(&w->group, end - s->end, check, sum, err) : rc;
}

/* The file that has the name now is the one that is locked; *size is its size. */
static int follow_rename(mf_writer *w, uint64_t *size, memfile_error *err)
{
    mf_io *io = w->store->io;
    for (int tries = 0; tries < 16; tries++) {
        int moved = 0;
        int rc = io->functions->look(io, &moved, size, err);
        if (rc != MEMFILE_OK || !moved)
            return rc;
        rc = io->functions->reopen(io, err);
        if (rc == MEMFILE_OK)
            rc = mf_store_reload(w->store, err);
        if (rc == MEMFILE_OK)
            rc = io->functions->lock(io, w->settings->lock_timeout_ms, err);
        w->chain_ready = w->ours = false;
        if (rc != MEMFILE_OK)
            return rc;
    }
    return mf_fail(err, MEMFILE_E_BUSY, MF_NOWHERE, "the file is replaced again and again");
}

static int begin_batch(mf_writer *w, memfile_error *err)
{
    const mf_state *s = &w->store->committed;
    w->working = *s;
    if (mf_footer_copy(&w->working.footer, &s->footer, w->store->mem) != MEMFILE_OK)
        return mf_fail_memory(err);
    w->first_entry = w->next_entry = s->entries;
    w->spilled_end = s->footer.indexed_entries;
    w->tail_taken = w->broken = false;
    w->new_superseded = 0;
    w->runs_at_begin = s->footer.run_count;
    mf_items_clear(&w->items);
    mf_tree_init(&w->entries, MF_ENTRIES_FANOUT);
    w->key_count = 0;
    if (w->key_slots)
        memset(w->keys, 0, w->key_slots * sizeof *w->keys);
    mf_buffer_clear(&w->key_bytes);
    mf_group_begin(&w->group, s->end, s->commit_offset, w->stored_digest);
    w->new_salt_root = !w->ours || w->salt_next + 4096 > UINT32_MAX;
    if (w->new_salt_root) {
        uint8_t root[16];
        random_bytes(w, root, sizeof root);
        mf_salts_init(&w->salts, root);
        w->salt_next = 0;
    }
    w->salt_first = (uint32_t)w->salt_next;
    w->active = true;
    return find_dictionary(w, err);
}

static int begin(mf_writer *w, memfile_error *err)
{
    mf_io *io = w->store->io;
    uint64_t size = 0;
    if (w->poisoned)
        return mf_fail(err, MEMFILE_E_UNCERTAIN, MF_NOWHERE,
                       "an earlier sync failed; close this handle, open the file again and look");
    if (w->broken)
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "the batch failed before; roll it back first");
    if (w->active)
        return MEMFILE_OK;
    if (!io->writable)
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "the memfile was opened for reading");
    if (w->store->header.write_features != 0)
        return mf_fail(err, MEMFILE_E_NEWER, 20, "made by a newer version: this library can read it, not write it");
    int rc = io->functions->lock(io, w->settings->lock_timeout_ms, err);
    if (rc == MEMFILE_OK)
        rc = follow_rename(w, &size, err);
    if (rc == MEMFILE_OK)
        rc = mf_store_refresh(w->store, size, err);
    if (rc == MEMFILE_DONE)
        rc = MEMFILE_OK;
    if (rc == MEMFILE_OK)
        rc = ready_chain(w, err);
    const mf_state *s = &w->store->committed;
    if (rc == MEMFILE_OK && s->file_size > s->end && s->unfinished_is_damage &&
        w->settings->strictness != MEMFILE_SALVAGE)
        rc = mf_fail(err, MEMFILE_E_DAMAGED, s->end,
                     "the bytes from offset %llu on may be a damaged commit; nothing is written before you looked: "
                     "run verify, then recover, or open to salvage",
                     (unsigned long long)s->end);
    if (rc == MEMFILE_OK && s->file_size > s->end && w->settings->strictness == MEMFILE_STRICT)
        rc = mf_fail(err, MEMFILE_E_TRUNCATED, s->end, "an unfinished append of %llu bytes stands at the end",
                     (unsigned long long)(s->file_size - s->end));
    if (rc == MEMFILE_OK)
        rc = begin_batch(w, err);
    if (rc == MEMFILE_OK && s->file_size > s->end)
        rc = declare_void(w, s->file_size, err);
    if (rc != MEMFILE_OK) {
        mf_writer_rollback(w);
        io->functions->unlock(io);
    }
    return rc;
}

void mf_writer_rollback(mf_writer *w)
{
    while (w->in_flight > 0) {
        mf_job *job = (mf_job *)mf_pool_take(w->pool);
        w->in_flight--;
        give_back(w, job);
    }
    while (w->held) {
        mf_job *job = w->held;
        w->held = job->next;
        give_back(w, job);
    }
    w->held_end = &w->held;
    w->held_bytes = 0;
    if (w->current)
        give_back(w, w->current);
    w->current = NULL;
    w->streaming = false;
    w->store->state = &w->store->committed;
    w->store->readable_end = w->store->committed.end;
    if (w->active) {
        if (w->group.flushed) /* what we flushed is unfinished bytes now: look again */
            w->store->committed.file_size = 0;
        mf_footer_free(&w->working.footer, w->store->mem);
        w->store->io->functions->unlock(w->store->io);
        /* Salts of the dropped entries are never used again. */
        w->ours = w->ours && !w->new_salt_root && w->next_entry == w->first_entry;
    }
    mf_buffer_clear(&w->group.out);
    w->active = w->broken = false;
}

/* ---- entries of this batch and of the file alike */

static int row_of(mf_writer *w, uint64_t entry, mf_object **o, uint32_t *row, memfile_error *err)
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

static bool same_key(mf_object *a, uint32_t ra, mf_object *b, uint32_t rb, unsigned kind)
{
    if (kind == MF_ITEM_ID) {
        mf_id x = mf_block_id(&a->block, ra), y = mf_block_id(&b->block, rb);
        return x.data && y.data && mf_id_equal(x, y);
    }
    mf_slice sa[MF_SCOPE_MAX], sb[MF_SCOPE_MAX], ka = mf_block_key(&a->block, ra), kb = mf_block_key(&b->block, rb);
    uint32_t na = mf_block_scope(&a->block, ra, sa), nb = mf_block_scope(&b->block, rb, sb);
    if (!ka.data || !kb.data || !mf_slice_equal(ka, kb) || na != nb)
        return false;
    for (uint32_t i = 0; i < na; i++)
        if (!mf_slice_equal(sa[i], sb[i]))
            return false;
    return true;
}

/* Do two entries have the same id, or the same scope and key? */
static int confirm_pair(mf_writer *w, unsigned kind, uint64_t before, uint64_t after, bool *same, memfile_error *err)
{
    mf_object *a = NULL, *b = NULL;
    uint32_t ra, rb;
    *same = false;
    int rc = row_of(w, before, &a, &ra, err);
    if (rc == MEMFILE_OK)
        rc = row_of(w, after, &b, &rb, err);
    if (rc == MEMFILE_OK)
        *same = same_key(a, ra, b, rb, kind);
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

static int merge_last(mf_writer *w, uint32_t count, memfile_error *err)
{
    mf_footer *f = &w->working.footer;
    mf_run run;
    int rc = mf_group_flush(&w->group, err);
    if (rc != MEMFILE_OK)
        return rc;
    if (w->group.out_offset > w->store->readable_end)
        w->store->readable_end = w->group.out_offset;
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
        rc = merge_last(w, MF_RUN_FANOUT, err);
    }
    return rc;
}

/* Puts the tail's items ahead of the batch's own, so that values rise; once per batch. */
static int take_tail(mf_writer *w, memfile_error *err)
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
static int write_run(mf_writer *w, uint64_t end, uint64_t commits, memfile_error *err)
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
static int spill(mf_writer *w, memfile_error *err)
{
    int rc = drain(w, err);
    if (rc == MEMFILE_OK)
        rc = take_tail(w, err);
    if (rc == MEMFILE_OK)
        rc = write_run(w, w->next_entry, w->store->committed.number + 1, err);
    w->key_count = 0;
    if (w->key_slots)
        memset(w->keys, 0, w->key_slots * sizeof *w->keys);
    mf_buffer_clear(&w->key_bytes);
    return rc;
}

/* ---- idempotency keys of the batch */

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

static int known_key_add(mf_writer *w, mf_slice key, uint64_t hash, uint64_t entry)
{
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

static void fill_result(memfile_put_result *result, mf_id id, uint64_t entry, int existed)
{
    if (!result)
        return;
    result->entry = entry;
    result->existed = existed;
    result->id_length = mf_id_print(id, result->id);
}

/* MEMFILE_DONE: the key is there, and *result tells where. */
static int check_idempotency(mf_writer *w, mf_slice key, memfile_put_result *result, memfile_error *err)
{
    mf_object *o = NULL;
    uint32_t row = 0;
    uint64_t hash = mf_checksum_seeded(key.data, key.length, w->store->tag);
    uint64_t *entry = known_key_find(w, key, hash);
    int rc;
    if (entry) {
        uint64_t at = *entry;
        rc = drain(w, err);
        if (rc == MEMFILE_OK)
            rc = row_of(w, at, &o, &row, err);
    } else {
        w->store->state = &w->working; /* spilled runs are searched too */
        rc = mf_store_idempotency(w->store, key, &o, &row, err);
        w->store->state = &w->store->committed;
        if (rc == MEMFILE_E_NOT_FOUND)
            return MEMFILE_OK;
    }
    if (rc != MEMFILE_OK)
        return rc;
    fill_result(result, mf_block_id(&o->block, row), o->first_entry + row, 1);
    mf_store_release(w->store, o);
    /* It may be a commit that nobody was told of: durable before we speak of it. */
    if (!w->ours && !entry) {
        rc = mf_io_sync(w->store->io, err);
        w->poisoned |= rc != MEMFILE_OK;
    }
    return rc == MEMFILE_OK ? MEMFILE_DONE : rc;
}

/* Newest version of an id, the batch included; UINT64_MAX if none. */
static int newest_version(mf_writer *w, mf_id id, uint64_t *entry, memfile_error *err)
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
        rc = drain(w, err);
        if (rc == MEMFILE_OK)
            rc = row_of(w, pair.value, &o, &row, err);
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

/* ---- put */

/* RFC 9562 §5.7, with the fraction of the millisecond in rand_a (§6.2, method 3). */
static void make_uuid(const mf_writer *w, uint8_t out[16])
{
    int64_t now = now_us(w);
    uint64_t ms = now > 0 ? (uint64_t)now / 1000 : 0;
    unsigned fraction = now > 0 ? (unsigned)((uint64_t)now % 1000 * 4096 / 1000) : 0;
    random_bytes(w, out, 16);
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
        w->current = spare_job(w, err);
        if (!w->current)
            return MEMFILE_E_MEMORY;
        w->current->first_entry = w->next_entry;
        w->current->salt_index = (uint32_t)w->salt_next;
        memcpy(w->current->salt_root, w->salts.root, 16);
    }
    return rc;
}

/* The core is in the current block; take it apart, check it, count it. */
static int admit(mf_writer *w, size_t begun, memfile_draft *draft, memfile_put_result *result, memfile_error *err)
{
    mf_job *job = w->current;
    mf_record *r = w->record;
    mf_slice core = mf_slice_of(job->cores.data + begun + MF_SALT_LENGTH, job->cores.length - begun - MF_SALT_LENGTH);
    if (job->cores.failed)
        return mf_fail_memory(err);
    int rc = mf_record_parse(r, core, MEMFILE_E_INVALID, MF_NOWHERE, err);
    if (rc != MEMFILE_OK)
        return rc;
    if (r->op != MF_OP_PUT)
        return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "this version cannot put entries with an op, like forget, yet");
    r->vector = mf_draft_vector(draft);
    if (w->next_entry >= MF_ENTRIES_MAX)
        return mf_fail(err, MEMFILE_E_LIMIT, MF_NOWHERE, "the memory is full: %llu entries",
                       (unsigned long long)w->next_entry);
    if (mf_job_add(job, begun, r) != MEMFILE_OK)
        return mf_fail_memory(err);
    if (r->mask & MF_COLUMN_IDEMPOTENCY_KEY) {
        mf_slice key = r->idempotency_key;
        if (known_key_add(w, key, mf_checksum_seeded(key.data, key.length, w->store->tag), w->next_entry) != 0)
            return mf_fail_memory(err);
    }
    mf_items_add_entry(&w->items, r, w->next_entry, w->store->tag);
    fill_result(result, r->id, w->next_entry, 0);
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
        rc = check_idempotency(w, w->record->idempotency_key, result, err);
    if (rc == MEMFILE_OK && conditional) {
        uint64_t newest;
        mf_id id = w->record->id;
        rc = newest_version(w, id, &newest, err);
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
            if (w->group.out_offset > w->store->readable_end)
                w->store->readable_end = w->group.out_offset;
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
        make_uuid(w, uuid);
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
    rc = admit(w, begun, draft, result, err);
    if (rc != MEMFILE_OK) {
        mf_job_drop_core(w->current, begun);
        return rc;
    }
    return mf_items_count(&w->items) >= SPILL_ITEMS ? spill(w, err) : MEMFILE_OK;
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
    int rc = begin(w, err);
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
    int rc = begin(w, err);
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

/* ---- commit */

typedef struct plan {
    bool inline_block, full;
} plan;

/* Level-0 run, merges, a first dictionary: index work of a FULL commit. */
static int index_tail(mf_writer *w, memfile_error *err)
{
    const mf_state *s = &w->store->committed;
    int rc = MEMFILE_OK;
    /* tried whenever the number of entries has passed a power of two */
    if (!w->dictionary && !w->dictionary_decided && s->entries >= 1024 &&
        (s->entries ^ s->footer.indexed_entries) > s->footer.indexed_entries)
        rc = train_from_file(w, err);
    if (rc == MEMFILE_OK && s->entries > w->spilled_end) {
        mf_items batch = w->items; /* stays in the tail: it is inline */
        mf_items_init(&w->items, w->store->mem);
        rc = take_tail(w, err);
        if (rc == MEMFILE_OK)
            rc = write_run(w, s->entries, s->number + 1, err);
        mf_items_free(&w->items);
        w->items = batch;
    }
    return rc;
}

static int prepare(mf_writer *w, plan *p, memfile_error *err)
{
    const mf_state *s = &w->store->committed;
    size_t pending = w->current ? w->current->cores.length : 0;
    bool nothing_written = w->group.segments == w->group.has_void && !w->group.flushed;
    int rc = MEMFILE_OK;
    p->inline_block = !w->held && w->in_flight == 0 && w->current && w->current->rows == w->next_entry - w->first_entry &&
                      pending <= MF_SMALL_GROUP_MAX && w->spilled_end <= w->first_entry && nothing_written &&
                      w->items.kind[MF_ITEM_CHUNK].count == 0;
    p->full = !p->inline_block || w->group.begun || w->commits_since_full + 1 >= MF_FULL_EVERY_COMMITS ||
              w->bytes_since_full + pending + 512 >= MF_FULL_EVERY_BYTES;
    if (p->inline_block) {
        if (p->full)
            rc = index_tail(w, err);
        return rc;
    }
    rc = drain(w, err);
    if (rc == MEMFILE_OK)
        rc = take_tail(w, err);
    if (rc == MEMFILE_OK) {
        mf_items_add(&w->items, MF_ITEM_COMMIT, s->number + 1, w->next_entry);
        rc = write_run(w, w->next_entry, s->number + 2, err);
    }
    /* a long batch leaves one run, so that reading it costs no more than a short one */
    uint32_t added = w->working.footer.run_count - (w->working.footer.run_count < w->runs_at_begin
                                                        ? w->working.footer.run_count
                                                        : w->runs_at_begin);
    if (rc == MEMFILE_OK && added > 1)
        rc = merge_last(w, added, err);
    return rc;
}

/* Leaves and columns of an inline block. */
static int make_inline(mf_writer *w, memfile_error *err)
{
    mf_job *job = w->current;
    job->wants_leaves = true;
    job->wants_segment = false;
    mf_job_run(job, &w->workers[0]);
    if (job->rc != MEMFILE_OK) {
        *err = job->error;
        return job->rc;
    }
    for (uint32_t row = 0; row < job->rows; row++)
        mf_tree_add(&w->entries, job->leaves[row]);
    return MEMFILE_OK;
}

static int build_commit(mf_writer *w, const plan *p, mf_commit *k, memfile_error *err)
{
    const mf_state *s = &w->store->committed;
    mf_footer *f = &w->working.footer;
    uint8_t root[32];
    bool no_memory = false;
    int64_t now = now_us(w);
    memset(k, 0, sizeof *k);
    k->flags = MF_COMMIT_LOGICAL | (p->full ? MF_COMMIT_FULL : 0) | (p->inline_block ? MF_COMMIT_INLINE : 0) |
               (w->new_salt_root ? MF_COMMIT_SALT : 0);
    k->number = s->number + 1;
    k->first_entry = w->first_entry;
    k->entry_count = w->next_entry - w->first_entry;
    k->group_length = w->group.begun ? w->group.next - w->group.first_segment : 0;
    k->time_us = now;
    k->order = now > 0 ? (uint64_t)now : 0;
    if (k->order <= s->order)
        k->order = s->order + 1;
    if (k->order != (uint64_t)(now > 0 ? now : 0))
        k->flags |= MF_COMMIT_ORDER;
    k->salt_index = w->salt_first;
    memcpy(k->salt_root, w->salts.root, 16);
    if (w->settings->author) {
        k->flags |= MF_COMMIT_AUTHOR;
        k->author = mf_slice_of(w->settings->author, strlen(w->settings->author));
    }
    mf_tree_root(&w->entries, root);
    mf_history_digest(k->history_digest, w->store->header.memory_id, mf_slice_of(s->history_digest, 32),
                      k->entry_count, root, &w->log, k->order, k->time_us, k->author, k->extra, w->store->mem,
                      &no_memory);
    if (no_memory)
        return mf_fail_memory(err);
    if (p->full) {
        mf_group_prefix(&w->group, f->stored_prefix);
        f->frontier_count = mf_tree_frontier(&w->log, f->frontier);
        memcpy(f->salt_root, w->last_salt_root, 16);
        k->footer = f;
    }
    if (p->inline_block)
        k->columns = mf_slice_of(w->current->head.data, w->current->head.length);
    return MEMFILE_OK;
}

/* After the commit is durable: what the store knows becomes what is there. */
static void advance(mf_writer *w, const plan *p, mf_commit *k, const uint8_t stored_digest[32], bool retag_tail)
{
    mf_state *s = &w->store->committed;
    uint64_t offset = w->built.segment.offset, total = w->built.bytes.length;
    if (p->full) {
        mf_footer_free(&s->footer, w->store->mem);
        s->footer = w->working.footer;
        memset(&w->working.footer, 0, sizeof w->working.footer);
        s->footer_offset = offset;
        s->footer_number = k->number;
        s->footer_logical = true;
        s->tail_count = 0;
        w->commits_since_full = w->bytes_since_full = 0;
        mf_items_clear(&w->store->tail_items);
        w->store->tail_items_ready = true;
    } else {
        mf_footer_free(&w->working.footer, w->store->mem);
        w->commits_since_full++;
        w->bytes_since_full += total;
    }
    w->store->tail_fates_ready = false;
    if (p->inline_block) {
        s->tail[s->tail_count++] = (mf_tail_commit){offset, k->number, k->first_entry, k->entry_count};
        if (retag_tail && w->store->tail_items_ready)
            for (unsigned kind = 1; kind <= MF_ITEM_COMMIT; kind++)
                for (size_t i = 0; kind != MF_ITEM_FATE && i < w->items.kind[kind].count; i++)
                    mf_items_add(&w->store->tail_items, kind, w->items.kind[kind].pairs[i].key,
                                 w->items.kind[kind].pairs[i].value);
        if (w->store->tail_items.failed)
            w->store->tail_items_ready = false;
    }
    s->end = s->file_size = offset + total;
    s->previous_commit = w->built.segment.previous_commit;
    s->commit_offset = offset;
    s->commit_length = total;
    s->commit_is_logical = true;
    s->number = k->number;
    s->entries = k->first_entry + k->entry_count;
    s->order = k->order;
    s->time_us = k->time_us;
    s->unfinished_is_damage = false;
    memcpy(s->history_digest, k->history_digest, 32);
    w->store->readable_end = s->end;
    w->store->generation++;
    memcpy(w->stored_digest, stored_digest, 32);
    mf_tree_add(&w->log, k->history_digest);
    memcpy(w->last_salt_root, w->salts.root, 16);
    w->chain_offset = offset;
    w->ours = true;
}

static int commit(mf_writer *w, memfile_commit_result *result, memfile_error *err)
{
    plan p;
    mf_commit k;
    uint8_t stored_digest[32];
    w->store->state = &w->store->committed;
    int rc = prepare(w, &p, err);
    if (rc == MEMFILE_OK && p.inline_block)
        rc = make_inline(w, err);
    if (rc == MEMFILE_OK)
        rc = build_commit(w, &p, &k, err);
    if (rc != MEMFILE_OK)
        return rc;
    if (!p.full)
        k.footer_distance = w->group.next - w->store->committed.footer_offset;
    mf_buffer_clear(&w->head);
    mf_commit_encode(&w->head, &k);
    if (w->head.failed)
        return mf_fail_memory(err);
    mf_slice content = p.inline_block ? mf_slice_of(w->current->content.data, w->current->content.length)
                                      : mf_slice_of(NULL, 0);
    uint8_t flags = MF_FLAG_COMMIT;
    if (mf_group_wants_two_syncs(&w->group, w->head.length + content.length + 128))
        flags |= MF_FLAG_SYNCED;
    rc = mf_segment_build(&w->built, MF_TYPE_COMMIT, flags, mf_slice_of(w->head.data, w->head.length), content,
                          &w->workers[0].compressor, w->settings->level, w->dictionary, err);
    if (rc == MEMFILE_OK)
        rc = mf_group_commit(&w->group, &w->built, stored_digest, err);
    if (rc != MEMFILE_OK) {
        /* A write that failed half way is unfinished bytes. */
        w->group.flushed = true;
        return rc;
    }
    advance(w, &p, &k, stored_digest, true);
    if (result) {
        result->number = k.number;
        result->entries = k.first_entry + k.entry_count;
        memcpy(result->digest, k.history_digest, 32);
    }
    return MEMFILE_OK;
}

int mf_writer_commit(mf_writer *w, memfile_commit_result *result, memfile_error *err)
{
    if (result)
        memset(result, 0, sizeof *result);
    if (w->poisoned)
        return mf_fail(err, MEMFILE_E_UNCERTAIN, MF_NOWHERE,
                       "an earlier sync failed; close this handle, open the file again and look");
    if (w->broken || w->streaming)
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE,
                       w->streaming ? "a content is being put; end it first" : "the batch failed; roll it back first");
    if (!w->active)
        return MEMFILE_DONE;
    if (w->next_entry == w->first_entry) {
        mf_writer_rollback(w);
        return MEMFILE_DONE;
    }
    int rc = commit(w, result, err);
    if (rc == MEMFILE_E_UNCERTAIN)
        w->poisoned = true;
    if (rc == MEMFILE_OK) {
        if (w->current)
            give_back(w, w->current);
        w->current = NULL;
        w->active = false;
        w->store->io->functions->unlock(w->store->io);
        return rc;
    }
    mf_writer_rollback(w);
    w->chain_ready = false;
    return rc;
}

/* ---- a new file */

int mf_writer_create(mf_io *io, const mf_mem *mem, const mf_settings *settings, memfile_error *err)
{
    mf_store st;
    mf_group group;
    mf_built built;
    mf_buffer head;
    mf_commit k;
    mf_footer footer;
    mf_tree log;
    uint8_t raw[MF_HEADER_LENGTH], digest[32];
    bool no_memory = false;
    const memfile_environment *env = &settings->environment;
    memset(&st, 0, sizeof st);
    memset(&footer, 0, sizeof footer);
    memset(&k, 0, sizeof k);
    st.mem = mem;
    st.io = io;
    st.header.format_version = MF_FORMAT_VERSION;
    env->random(env->context, st.header.incarnation_id, 16);
    env->random(env->context, st.header.memory_id, 16);
    st.tag = mf_header_tag(&st.header);
    mf_header_encode(&st.header, raw);
    mf_stored_begin(digest, raw);
    mf_group_init(&group, &st);
    mf_built_init(&built, mem);
    mf_buffer_init(&head, mem);
    mf_group_begin(&group, MF_HEADER_LENGTH, 0, digest);
    k.flags = MF_COMMIT_LOGICAL | MF_COMMIT_FULL;
    k.time_us = env->now_us(env->context);
    k.order = k.time_us > 0 ? (uint64_t)k.time_us : 0;
    if (settings->author) {
        k.flags |= MF_COMMIT_AUTHOR;
        k.author = mf_slice_of(settings->author, strlen(settings->author));
    }
    memcpy(footer.stored_prefix, digest, 32);
    k.footer = &footer;
    mf_tree_init(&log, MF_LOG_FANOUT);
    mf_history_digest(k.history_digest, st.header.memory_id, mf_slice_of(NULL, 0), 0, NULL, &log, k.order, k.time_us,
                      k.author, k.extra, mem, &no_memory);
    mf_commit_encode(&head, &k);
    int rc = no_memory || head.failed ? mf_fail_memory(err) : mf_io_write(io, 0, raw, sizeof raw, err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_build(&built, MF_TYPE_COMMIT, MF_FLAG_COMMIT, mf_slice_of(head.data, head.length),
                              mf_slice_of(NULL, 0), NULL, 0, NULL, err);
    if (rc == MEMFILE_OK)
        rc = mf_group_commit(&group, &built, digest, err);
    mf_buffer_free(&head);
    mf_built_free(&built);
    mf_group_free(&group);
    return rc;
}
