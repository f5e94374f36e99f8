/* writer_begin: the way into a batch, and out of it without a commit. SPEC 16.1, 16.5. */
#include "batch.h"
#include "checksum.h"

int64_t mf_batch_now_us(const mf_writer *w)
{
    return w->settings->environment.now_us(w->settings->environment.context);
}

void mf_batch_random(const mf_writer *w, void *out, size_t length)
{
    w->settings->environment.random(w->settings->environment.context, out, length);
}

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
    if (w->chain_ready && w->chain_offset == s->commit_offset && w->chain_tag == w->store->tag)
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
    w->chain_tag = w->store->tag;
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
    memset(&w->working.forgotten, 0, sizeof w->working.forgotten); /* its own, read when asked for */
    w->working.forgotten_ready = false;
    if (mf_footer_copy(&w->working.footer, &s->footer, w->store->mem) != MEMFILE_OK)
        return mf_fail_memory(err);
    w->first_entry = w->next_entry = s->entries;
    w->spilled_end = s->footer.indexed_entries;
    w->tail_taken = w->broken = w->forgets = false;
    w->new_superseded = w->puts = 0;
    w->claims.count = 0;
    w->runs_at_begin = s->footer.run_count;
    mf_items_clear(&w->items);
    mf_tree_init(&w->entries, MF_ENTRIES_FANOUT);
    mf_batch_keys_clear(w);
    mf_group_begin(&w->group, s->end, s->commit_offset, w->stored_digest);
    w->new_salt_root = !w->ours || w->salt_next + 4096 > UINT32_MAX;
    if (w->new_salt_root) {
        uint8_t root[16];
        mf_batch_random(w, root, sizeof root);
        mf_salts_init(&w->salts, root);
        w->salt_next = 0;
    }
    w->salt_first = (uint32_t)w->salt_next;
    w->active = true;
    return mf_batch_find_dictionary(w, err);
}

/* SPEC 16.4: what this batch builds on is durable before any byte stands behind it, or a loss
 * of power could leave the batch with a hole before it. */
static int settle(mf_writer *w, memfile_error *err)
{
    int rc = mf_io_sync(w->store->io, err);
    w->poisoned = rc != MEMFILE_OK;
    return rc;
}

/* What another handle wrote: it may have ended before its sync, or its sync failed. Then a sync of ours succeeds
 * all the same, while the cache still shows what the medium never got; so the end is read anew. */
static int settle_others(mf_writer *w, memfile_error *err)
{
    mf_io *io = w->store->io;
    mf_state *s = &w->store->committed;
    uint64_t size;
    int rc = settle(w, err);
    if (rc != MEMFILE_OK || !io->functions->uncache)
        return rc;
    io->functions->uncache(io, s->commit_offset > MF_SMALL_GROUP_MAX ? s->commit_offset - MF_SMALL_GROUP_MAX : 0);
    rc = io->functions->size(io, &size, err);
    s->file_size = 0; /* look, whatever its length */
    if (rc == MEMFILE_OK)
        rc = mf_store_refresh(w->store, size, err);
    if (rc == MEMFILE_DONE)
        rc = MEMFILE_OK;
    return rc == MEMFILE_OK ? ready_chain(w, err) : rc;
}

int mf_batch_begin(mf_writer *w, memfile_error *err)
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
    if (rc == MEMFILE_OK && !w->ours)
        rc = settle_others(w, err);
    const mf_state *s = &w->store->committed;
    if (rc == MEMFILE_OK && s->file_size < size) /* nobody else writes: what could not be read must not be written over */
        rc = mf_fail(err, MEMFILE_E_SYSTEM, s->file_size, "the file could not be read to its end; nothing was written");
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
    bool debris = s->file_size > s->end;
    if (rc == MEMFILE_OK && debris)
        rc = declare_void(w, s->file_size, err);
    if (rc == MEMFILE_OK && debris)
        rc = settle(w, err); /* it was just written again */
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
        mf_batch_give_back(w, job);
    }
    while (w->held) {
        mf_job *job = w->held;
        w->held = job->next;
        mf_batch_give_back(w, job);
    }
    w->held_end = &w->held;
    w->held_bytes = 0;
    if (w->current)
        mf_batch_give_back(w, w->current);
    w->current = NULL;
    w->streaming = false;
    w->store->state = &w->store->committed;
    w->store->readable_end = w->store->committed.end;
    w->store->seal.keys_offset = w->store->committed.keys_offset; /* a repeated one is dropped with its group */
    if (w->active) {
        if (w->group.flushed) /* what we flushed is unfinished bytes now: look again */
            w->store->committed.file_size = 0;
        mf_footer_free(&w->working.footer, w->store->mem);
        mf_ranges_free(&w->working.forgotten, w->store->mem);
        w->store->io->functions->unlock(w->store->io);
        /* Salts of the dropped entries are never used again. */
        w->ours = w->ours && !w->new_salt_root && w->next_entry == w->first_entry;
    }
    mf_buffer_clear(&w->group.out);
    w->active = w->broken = false;
}
