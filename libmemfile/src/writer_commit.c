/* writer_commit: the commit that ends a batch, and the first one of a new file. SPEC 16.2 to 16.4. */
#include "batch.h"

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
        rc = mf_batch_train_from_file(w, err);
    /* the genesis too has an item, SPEC 9.3 */
    if (rc == MEMFILE_OK && (s->entries > w->spilled_end || s->footer.indexed_commits == 0)) {
        mf_items batch = w->items; /* stays in the tail: it is inline */
        mf_items_init(&w->items, w->store->mem);
        rc = mf_batch_take_tail(w, err);
        if (rc == MEMFILE_OK)
            rc = mf_batch_write_run(w, s->entries, s->number + 1, err);
        mf_items_free(&w->items);
        w->items = batch;
    }
    return rc;
}

/* Is it time to repeat the key slots, SPEC 20.5? Twice as often as it must be, and once soon after they were made,
 * away from the first two: the last footer is that of the genesis, of a new key or of a compaction then. */
static bool keys_are_old(const mf_writer *w)
{
    const mf_state *s = &w->store->committed;
    const uint64_t often = MF_KEYS_REPEAT_COMMITS / 2;
    return w->store->seal.sealed && (s->footer_number == 0 || !s->footer_logical ||
                                     s->footer_number / often != (s->number + 1) / often);
}

static int prepare(mf_writer *w, plan *p, memfile_error *err)
{
    const mf_state *s = &w->store->committed;
    size_t pending = w->current ? w->current->cores.length : 0;
    bool nothing_written = w->group.segments == w->group.has_void && !w->group.flushed;
    int rc = MEMFILE_OK;
    p->inline_block = !w->forgets && !w->held && w->in_flight == 0 && w->current && w->current->rows == w->next_entry - w->first_entry &&
                      pending <= MF_SMALL_GROUP_MAX && w->spilled_end <= w->first_entry && nothing_written &&
                      w->items.kind[MF_ITEM_CHUNK].count == 0;
    p->full = !p->inline_block || w->group.begun || w->commits_since_full + 1 >= MF_FULL_EVERY_COMMITS ||
              w->bytes_since_full + pending + 512 >= MF_FULL_EVERY_BYTES;
    if (p->full && keys_are_old(w))
        rc = mf_group_repeat_keys(&w->group, err);
    if (p->inline_block) {
        if (rc == MEMFILE_OK && p->full)
            rc = index_tail(w, err);
        return rc;
    }
    if (rc == MEMFILE_OK)
        rc = mf_batch_drain(w, err);
    if (rc == MEMFILE_OK)
        rc = mf_batch_take_tail(w, err);
    if (rc == MEMFILE_OK) {
        mf_items_add(&w->items, MF_ITEM_COMMIT, s->number + 1, w->next_entry);
        rc = mf_batch_write_run(w, w->next_entry, s->number + 2, err);
    }
    /* a long batch leaves one run, so that reading it costs no more than a short one */
    uint32_t added = w->working.footer.run_count - (w->working.footer.run_count < w->runs_at_begin
                                                        ? w->working.footer.run_count
                                                        : w->runs_at_begin);
    if (rc == MEMFILE_OK && added > 1)
        rc = mf_batch_merge_last(w, added, err);
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

/* SPEC 20.9; room: for the signature, which the commit points to. */
static void sign(mf_commit *k, const memfile_key *signer, const uint8_t memory_id[16], uint8_t room[MF_SIGNATURE_ENTRY])
{
    if (!signer)
        return;
    mf_signature_make(room, signer, memory_id, k->history_digest, k->number);
    k->flags |= MF_COMMIT_SIGNATURES;
    k->signatures = mf_slice_of(room, MF_SIGNATURE_ENTRY);
}

static int build_commit(mf_writer *w, const plan *p, mf_commit *k, memfile_error *err)
{
    const mf_state *s = &w->store->committed;
    mf_footer *f = &w->working.footer;
    uint8_t root[32];
    bool no_memory = false;
    int64_t now = mf_batch_now_us(w);
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
    sign(k, w->settings->signer, w->store->header.memory_id, w->signature);
    if (p->full) {
        mf_group_prefix(&w->group, f->stored_prefix);
        f->frontier_count = mf_tree_frontier(&w->log, f->frontier);
        memcpy(f->salt_root, w->last_salt_root, 16);
        f->keys_offset = w->store->seal.keys_offset;
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
        w->store->tail_items_sorted = false;
    } else {
        mf_footer_free(&w->working.footer, w->store->mem);
        w->commits_since_full++;
        w->bytes_since_full += total;
    }
    if (w->forgets) {
        mf_ranges_free(&s->forgotten, w->store->mem);
        s->forgotten_ready = false;
    }
    mf_ranges_free(&w->working.forgotten, w->store->mem);
    w->store->tail_fates_ready = false;
    if (p->inline_block) {
        s->tail[s->tail_count++] = (mf_tail_commit){offset, k->number, k->first_entry, k->entry_count};
        w->store->tail_items_sorted = false;
        if (retag_tail && w->store->tail_items_ready)
            for (unsigned kind = 1; kind <= MF_ITEM_LAST; kind++)
                for (size_t i = 0; kind != MF_ITEM_FATE && i < w->items.kind[kind].count; i++)
                    mf_items_add(&w->store->tail_items, kind, w->items.kind[kind].pairs[i].key,
                                 w->items.kind[kind].pairs[i].value);
        if (w->store->tail_items.failed)
            w->store->tail_items_ready = false;
    }
    s->end = s->file_size = offset + total;
    s->keys_offset = w->store->seal.keys_offset;
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
    w->chain_tag = w->store->tag;
    w->ours = true;
}

/* A write that says it failed may have stored all the same, up to the last byte; then readers count the commit. */
static int commit_group(mf_writer *w, uint8_t stored_digest[32], memfile_error *err)
{
    const mf_buffer *bytes = &w->built.bytes;
    const uint64_t end = w->group.next + bytes->length;
    uint8_t trailer[MF_TRAILER_LENGTH];
    memfile_error why;
    int rc = mf_group_commit(&w->group, &w->built, stored_digest, err);
    if (rc != MEMFILE_E_SYSTEM ||
        mf_io_read_all(w->store->io, end - sizeof trailer, trailer, sizeof trailer, &why) != MEMFILE_OK ||
        memcmp(trailer, bytes->data + bytes->length - sizeof trailer, sizeof trailer) != 0)
        return rc;
    return mf_fail_system(err, MEMFILE_E_UNCERTAIN, w->group.next, err->system_errno,
                          "the write of a commit failed, and yet its bytes are there: it may or may not stay; close "
                          "this handle, open the file again and look");
}

int mf_batch_commit(mf_writer *w, memfile_commit_result *result, memfile_error *err)
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
    if (mf_group_wants_two_syncs(&w->group, w->head.length + content.length + 256))
        flags |= MF_FLAG_SYNCED;
    rc = mf_segment_build(&w->built, MF_TYPE_COMMIT, flags, mf_slice_of(w->head.data, w->head.length), content,
                          &w->workers[0].compressor, w->settings->level, w->dictionary, err);
    if (rc == MEMFILE_OK)
        rc = commit_group(w, stored_digest, err);
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
                       w->broken ? "the batch failed; roll it back first" : "a content is being put; end it first");
    if (!w->active)
        return MEMFILE_DONE;
    if (w->next_entry == w->first_entry) {
        mf_writer_rollback(w);
        return MEMFILE_DONE;
    }
    int rc = mf_batch_commit(w, result, err);
    if (rc == MEMFILE_E_UNCERTAIN)
        w->poisoned = true;
    if (rc == MEMFILE_OK) {
        if (w->current)
            mf_batch_give_back(w, w->current);
        w->current = NULL;
        w->active = false;
        w->store->io->functions->unlock(w->store->io);
        return rc;
    }
    mf_writer_rollback(w);
    w->chain_ready = false;
    return rc;
}

/* ---- a new data key */

static int commit_keys(mf_writer *w, memfile_error *err)
{
    const mf_state *s = &w->store->committed;
    mf_footer *f = &w->working.footer;
    mf_commit k;
    uint8_t digest[32];
    mf_tree *log = (mf_tree *)mf_alloc(w->store->mem, sizeof *log);
    if (!log)
        return mf_fail_memory(err);
    memset(&k, 0, sizeof k);
    int rc = mf_store_log_before(w->store, log, f->salt_root, err);
    f->frontier_count = mf_tree_frontier(log, f->frontier);
    f->keys_offset = w->store->seal.keys_offset;
    mf_group_prefix(&w->group, f->stored_prefix);
    mf_free(w->store->mem, log);
    k.flags = MF_COMMIT_FULL | MF_COMMIT_ORDER;
    k.number = s->number;
    k.first_entry = s->entries;
    k.group_length = w->group.next - w->group.first_segment;
    k.time_us = mf_batch_now_us(w);
    k.order = s->order;
    memcpy(k.history_digest, s->history_digest, 32);
    k.footer = f;
    mf_buffer_clear(&w->head);
    mf_commit_encode(&w->head, &k);
    if (rc == MEMFILE_OK && w->head.failed)
        rc = mf_fail_memory(err);
    uint8_t flags = MF_FLAG_COMMIT | (mf_group_wants_two_syncs(&w->group, w->head.length + 256) ? MF_FLAG_SYNCED : 0);
    if (rc == MEMFILE_OK)
        rc = mf_segment_build(&w->built, MF_TYPE_COMMIT, flags, mf_slice_of(w->head.data, w->head.length),
                              mf_slice_of(NULL, 0), NULL, 0, NULL, err);
    return rc == MEMFILE_OK ? commit_group(w, digest, err) : rc;
}

int mf_writer_rekey(mf_writer *w, const mf_slots *slots, mf_secret *secret, memfile_error *err)
{
    int rc = mf_batch_begin(w, err);
    if (rc != MEMFILE_OK)
        return rc;
    rc = mf_group_keys(&w->group, slots, secret, err);
    if (rc == MEMFILE_OK)
        rc = index_tail(w, err);
    if (rc == MEMFILE_OK)
        rc = commit_keys(w, err);
    mf_writer_rollback(w); /* nothing is left to undo, if it went well */
    return rc;
}

/* ---- a new file */

int mf_writer_create(mf_io *io, const mf_mem *mem, const mf_settings *settings, const mf_slots *slots, mf_secret *secret,
                     mf_seal *seal, memfile_error *err)
{
    mf_store st;
    mf_group group;
    mf_built built;
    mf_buffer head;
    mf_commit k;
    mf_footer footer;
    mf_tree log;
    uint8_t raw[MF_HEADER_LENGTH], digest[32], signature[MF_SIGNATURE_ENTRY];
    bool no_memory = false;
    const memfile_environment *env = &settings->environment;
    memset(&st, 0, sizeof st);
    memset(&footer, 0, sizeof footer);
    memset(&k, 0, sizeof k);
    st.mem = mem;
    st.io = io;
    st.header.format_version = MF_FORMAT_VERSION;
    st.header.suite = slots ? MF_SUITE_SEALED : MF_SUITE_PLAIN;
    st.seal.sealed = slots != NULL;
    st.seal.environment = *env;
    env->random(env->context, st.header.incarnation_id, 16);
    env->random(env->context, st.header.memory_id, 16);
    st.tag = mf_header_tag(&st.header);
    mf_header_encode(&st.header, raw);
    mf_stored_begin(digest, raw);
    mf_group_init(&group, &st);
    mf_built_init(&built, mem, &st.seal);
    mf_buffer_init(&head, mem);
    mf_group_begin(&group, MF_HEADER_LENGTH, 0, digest);
    int rc = mf_io_write(io, 0, raw, sizeof raw, err);
    if (rc == MEMFILE_OK && slots)
        rc = mf_group_keys(&group, slots, secret, err);
    k.group_length = group.next - group.first_segment;
    k.flags = MF_COMMIT_LOGICAL | MF_COMMIT_FULL;
    k.time_us = env->now_us(env->context);
    k.order = k.time_us > 0 ? (uint64_t)k.time_us : 0;
    if (settings->author) {
        k.flags |= MF_COMMIT_AUTHOR;
        k.author = mf_slice_of(settings->author, strlen(settings->author));
    }
    mf_group_prefix(&group, footer.stored_prefix);
    footer.keys_offset = st.seal.keys_offset;
    k.footer = &footer;
    mf_tree_init(&log, MF_LOG_FANOUT);
    mf_history_digest(k.history_digest, st.header.memory_id, mf_slice_of(NULL, 0), 0, NULL, &log, k.order, k.time_us,
                      k.author, k.extra, mem, &no_memory);
    sign(&k, settings->signer, st.header.memory_id, signature);
    mf_commit_encode(&head, &k);
    if (rc == MEMFILE_OK && (no_memory || head.failed))
        rc = mf_fail_memory(err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_build(&built, MF_TYPE_COMMIT, MF_FLAG_COMMIT, mf_slice_of(head.data, head.length),
                              mf_slice_of(NULL, 0), NULL, 0, NULL, err);
    if (rc == MEMFILE_OK)
        rc = mf_group_commit(&group, &built, digest, err);
    mf_buffer_free(&head);
    mf_built_free(&built);
    mf_group_free(&group);
    *seal = st.seal;
    if (rc != MEMFILE_OK)
        mf_seal_clear(seal);
    return rc;
}
