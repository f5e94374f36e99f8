/* rewrite: the writing half of compact and recover. */
#include "rewrite.h"

#include "fates.h"
#include "verify.h"

#define SPILL_ITEMS ((size_t)600000)
#define NODES_MAX 32768u /* of a salt tree in one HISTORY segment */
#define DICTIONARY_BYTES ((size_t)110 << 10)
#define SAMPLE_BYTES_MAX ((size_t)8 << 20)
#define DICTIONARY_WORTH 65536u /* texts below which none is trained */

static int no_memory(mf_rewrite *c)
{
    return mf_fail_memory(c->err);
}

static int readable(mf_rewrite *c)
{
    int rc = mf_group_flush(&c->group, c->err);
    c->new.readable_end = c->group.out_offset;
    return rc;
}

/* ---- history */

/* The rows so far, or nodes without rows, as a segment. */
static int write_segment(mf_rewrite *c)
{
    uint64_t offset;
    mf_buffer_clear(&c->head);
    mf_history_encode(&c->head, &c->history);
    if (c->head.failed)
        return no_memory(c);
    int rc = mf_segment_build(&c->built, MF_TYPE_HISTORY, 0, mf_slice_of(c->head.data, c->head.length),
                              mf_slice_of(NULL, 0), NULL, 0, NULL, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_group_append(&c->group, &c->built, &offset, c->err);
    if (rc == MEMFILE_OK && c->history_count++ == 0)
        c->history_offset = offset;
    c->history.first_number += c->history.row_count;
    c->history.first_entry = c->history_entries;
    c->history.row_count = c->history.node_count = 0;
    c->history_bytes = 0;
    mf_arena_reset(&c->arena);
    return rc;
}

static int write_history(mf_rewrite *c)
{
    return c->history.row_count > 0 ? write_segment(c) : MEMFILE_OK;
}

static int add_nodes(mf_rewrite *c, const mf_salt_node *nodes, uint32_t count)
{
    mf_history *h = &c->history;
    void *grown = h->nodes;
    if (mf_grow(&c->mem, &grown, &c->node_capacity, (size_t)h->node_count + count, sizeof *h->nodes) != 0)
        return no_memory(c);
    h->nodes = (mf_salt_node *)grown;
    if (count)
        memcpy(h->nodes + h->node_count, nodes, count * sizeof *nodes);
    h->node_count += count;
    return MEMFILE_OK;
}

static int keep(mf_rewrite *c, mf_slice *s)
{
    if (s->length == 0)
        return MEMFILE_OK;
    uint8_t *copy = (uint8_t *)mf_arena_alloc(&c->arena, s->length);
    if (!copy)
        return no_memory(c);
    memcpy(copy, s->data, s->length);
    s->data = copy;
    return MEMFILE_OK;
}

int mf_rewrite_commit(mf_rewrite *c, const mf_history_row *row, const mf_salt_node *nodes, uint32_t node_count)
{
    mf_history *h = &c->history;
    uint32_t first_nodes = node_count < NODES_MAX ? node_count : NODES_MAX;
    /* five packed numbers and five counts; a node has depth, position and seed */
    size_t bytes = 5 * 8 + 5 * 5 + row->parents.length + row->author.length + row->extra.length +
                   row->signatures.length + (size_t)first_nodes * (1 + 5 + 16);
    if (h->row_count == MF_HISTORY_ROWS_MAX || (h->row_count > 0 && c->history_bytes + bytes > MF_STORED_LENGTH_MAX - 256)) {
        int rc = write_history(c);
        if (rc != MEMFILE_OK)
            return rc;
    }
    c->history_bytes += bytes;
    mf_history_row *r = &h->rows[h->row_count++];
    *r = *row;
    if (keep(c, &r->parents) || keep(c, &r->author) || keep(c, &r->extra) || keep(c, &r->signatures))
        return MEMFILE_E_MEMORY;
    r->salt_first = h->node_count;
    r->salt_count = first_nodes;
    int rc = add_nodes(c, nodes, first_nodes);
    c->history_entries += row->count;
    mf_items_add(&c->items, MF_ITEM_COMMIT, c->commits++, c->history_entries);
    if (rc == MEMFILE_OK && node_count > first_nodes)
        rc = write_history(c);
    for (uint32_t at = first_nodes; rc == MEMFILE_OK && at < node_count; at += NODES_MAX) {
        rc = add_nodes(c, nodes + at, node_count - at < NODES_MAX ? node_count - at : NODES_MAX);
        if (rc == MEMFILE_OK)
            rc = write_segment(c);
    }
    if (rc != MEMFILE_OK)
        return rc;
    return c->items.failed ? no_memory(c) : MEMFILE_OK; /* no run stands between segments of folded commits */
}

int mf_rewrite_commits_end(mf_rewrite *c)
{
    int rc = write_history(c);
    return rc == MEMFILE_OK ? readable(c) : rc;
}

/* ---- runs */

static int push_run(mf_rewrite *c, const mf_run *run)
{
    void *grown = c->runs;
    if (mf_grow(&c->mem, &grown, &c->run_capacity, c->run_count + 1, sizeof *c->runs) != 0)
        return no_memory(c);
    c->runs = (mf_run *)grown;
    c->runs[c->run_count++] = *run;
    return MEMFILE_OK;
}

/* Look-ups go by the runs so far; they stay the rewriting's. */
static int find_fates(mf_rewrite *c, uint64_t first, uint64_t end)
{
    mf_state *s = &c->new.committed;
    const mf_fates f = {&c->new, &c->items, first, c->runs, c->run_count};
    s->footer.runs = c->runs;
    s->footer.run_count = c->run_count;
    s->footer.indexed_entries = first;
    s->entries = end;
    int rc = mf_fates_find(&f, c->err);
    s->footer.runs = NULL;
    s->footer.run_count = 0;
    return rc;
}

static int add_forgotten(void *context, uint64_t entry, uint64_t by)
{
    mf_rewrite *c = (mf_rewrite *)context;
    mf_items_add(&c->items, MF_ITEM_FORGOTTEN, entry, by);
    return c->items.failed ? -1 : 0;
}

/* What items there are become a run over the entries since the last. */
static int flush_items(mf_rewrite *c)
{
    mf_run run;
    int rc = MEMFILE_OK;
    mf_items_sort(&c->items);
    if (c->next_entry > c->spilled_end)
        rc = find_fates(c, c->spilled_end, c->next_entry);
    if (rc == MEMFILE_OK)
        rc = mf_claims_join(&c->claims, &c->erased, add_forgotten, c, c->err);
    mf_items_sort(&c->items);
    if (rc == MEMFILE_OK && c->items.failed)
        rc = no_memory(c);
    if (rc == MEMFILE_OK)
        rc = mf_run_write_items(&c->group, &c->items, c->spilled_end, c->next_entry - c->spilled_end, &run, c->err);
    if (rc == MEMFILE_OK)
        rc = push_run(c, &run);
    c->spilled_end = c->next_entry;
    mf_items_clear(&c->items);
    return rc;
}

static int drain(mf_rewrite *c);

int mf_rewrite_spill(mf_rewrite *c)
{
    if (mf_items_count(&c->items) < SPILL_ITEMS)
        return MEMFILE_OK;
    int rc = drain(c);
    if (rc == MEMFILE_OK)
        rc = readable(c);
    return rc == MEMFILE_OK ? flush_items(c) : rc;
}

/* ---- entries */

bool mf_rewrite_sample(mf_rewrite *c, mf_slice text)
{
    if (text.length < 8)
        return true;
    mf_put_bytes(&c->samples, text.data, text.length);
    c->sample_sizes[c->sample_count++] = text.length;
    return c->sample_count < MF_REWRITE_SAMPLES && c->samples.length < SAMPLE_BYTES_MAX && !c->samples.failed;
}

int mf_rewrite_train(mf_rewrite *c)
{
    int rc = c->samples.failed ? no_memory(c) : MEMFILE_OK;
    size_t length = c->samples.length, capacity = length / 16 < DICTIONARY_BYTES ? length / 16 : DICTIONARY_BYTES;
    if (rc == MEMFILE_OK && length >= DICTIONARY_WORTH)
        rc = mf_dictionary_write(&c->group, c->samples.data, c->sample_sizes, c->sample_count, capacity, c->level,
                                 &c->dictionary, &c->place, false, c->err);
    mf_buffer_free(&c->samples);
    return rc;
}

static void run_job(void *context, unsigned worker, void *job)
{
    mf_job_run((mf_job *)job, &((mf_rewrite *)context)->workers[worker]);
}

static int take_job(mf_rewrite *c)
{
    uint64_t offset;
    mf_job *job = (mf_job *)mf_pool_take(c->pool);
    int rc = job->rc;
    c->in_flight--;
    if (rc != MEMFILE_OK)
        *c->err = job->error;
    else
        rc = mf_group_append(&c->group, &job->built, &offset, c->err);
    if (rc == MEMFILE_OK)
        mf_items_add(&c->items, MF_ITEM_BLOCK, job->first_entry, offset / 8);
    job->next = c->spare;
    c->spare = job;
    return rc;
}

static int close_block(mf_rewrite *c)
{
    mf_job *job = c->current;
    int rc = MEMFILE_OK;
    if (!job)
        return rc;
    c->current = NULL;
    job->wants_leaves = false; /* verify computes them */
    job->wants_segment = true;
    job->level = c->level;
    job->dictionary = c->dictionary;
    if (mf_pool_full(c->pool))
        rc = take_job(c);
    mf_pool_give(c->pool, job);
    c->in_flight++;
    return rc;
}

static int drain(mf_rewrite *c)
{
    int rc = close_block(c);
    while (rc == MEMFILE_OK && c->in_flight > 0)
        rc = take_job(c);
    return rc;
}

/* true: was there; false: now it is. */
static int note_root(mf_rewrite *c, const uint8_t root[32], bool *there)
{
    if ((c->root_count + 1) * 2 > c->root_slots) {
        size_t slots = c->root_slots ? c->root_slots * 2 : 64;
        uint8_t(*roots)[32] = (uint8_t(*)[32])mf_alloc_zero(&c->mem, slots * 32);
        if (!roots)
            return no_memory(c);
        for (size_t i = 0; i < c->root_slots; i++)
            if (mf_load64(c->roots[i]) || mf_load64(c->roots[i] + 8)) {
                size_t at = mf_load64(c->roots[i]) & (slots - 1);
                while (mf_load64(roots[at]) || mf_load64(roots[at] + 8))
                    at = (at + 1) & (slots - 1);
                memcpy(roots[at], c->roots[i], 32);
            }
        mf_free(&c->mem, c->roots);
        c->roots = roots;
        c->root_slots = slots;
    }
    size_t at = mf_load64(root) & (c->root_slots - 1);
    for (; mf_load64(c->roots[at]) || mf_load64(c->roots[at] + 8); at = (at + 1) & (c->root_slots - 1))
        if (memcmp(c->roots[at], root, 32) == 0) {
            *there = true;
            return MEMFILE_OK;
        }
    memcpy(c->roots[at], root, 32);
    c->root_count++;
    *there = false;
    return MEMFILE_OK;
}

static int copy_content(mf_rewrite *c, const mf_record *r)
{
    mf_detached d = {r->content_form, r->content_length, {0}}, copied;
    mf_content_reader reader;
    bool there;
    memcpy(d.root, r->content_root, 32);
    int rc = note_root(c, d.root, &there);
    if (rc != MEMFILE_OK || there)
        return rc;
    rc = mf_content_reader_open(&reader, c->old, &d, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    uint8_t *piece = (uint8_t *)mf_alloc(&c->mem, MF_CHUNK_LENGTH);
    rc = piece ? mf_content_writer_begin(&c->content, MF_CONTENT_DATA, false, c->err) : no_memory(c);
    while (rc == MEMFILE_OK) {
        size_t n;
        rc = mf_content_reader_read(&reader, piece, MF_CHUNK_LENGTH, &n, c->err);
        if (rc == MEMFILE_OK && n == 0)
            break;
        if (rc == MEMFILE_OK)
            rc = mf_content_writer_add(&c->content, piece, n, c->err);
    }
    if (rc == MEMFILE_OK)
        rc = mf_content_writer_end(&c->content, &copied, c->err);
    if (rc == MEMFILE_OK && memcmp(copied.root, d.root, 32) != 0)
        rc = mf_fail(c->err, MEMFILE_E_DAMAGED, MF_NOWHERE, "a content is not the one its entry names");
    mf_free(&c->mem, piece);
    mf_content_reader_close(&reader);
    return rc;
}

static int room_for_row(mf_rewrite *c)
{
    int rc = MEMFILE_OK;
    if (c->current && (c->current->cores.length >= MF_BLOCK_BYTES_COMPACT + (size_t)c->current->rows * MF_SALT_LENGTH ||
                       c->current->rows >= MF_BLOCK_ROWS_MAX))
        rc = close_block(c);
    if (rc == MEMFILE_OK && !c->current) {
        mf_job *job = c->spare;
        if (job)
            c->spare = job->next;
        else if (!(job = mf_job_new(&c->mem, &c->new.seal)))
            return no_memory(c);
        mf_job_clear(job);
        job->first_entry = c->next_entry;
        c->current = job;
    }
    return rc;
}

int mf_rewrite_erase(mf_rewrite *c, const uint8_t leaf[32])
{
    int rc = room_for_row(c);
    if (rc != MEMFILE_OK)
        return rc;
    mf_block_builder_add_erased(c->current->builder, leaf);
    c->current->rows++;
    return mf_claims_add_leaf(&c->erased, leaf, c->next_entry++, &c->mem) == 0 ? MEMFILE_OK : no_memory(c);
}

int mf_rewrite_entry(mf_rewrite *c, mf_block *block, uint32_t row, uint64_t offset, const uint8_t *salt,
                     uint8_t leaf[32])
{
    const uint8_t *erased = mf_block_erased(block, row);
    if (erased) {
        if (salt)
            memcpy(leaf, erased, 32);
        return mf_rewrite_erase(c, erased);
    }
    int rc = room_for_row(c);
    if (rc != MEMFILE_OK)
        return rc;
    mf_job *job = c->current;
    size_t begun = mf_job_begin_core(job);
    rc = mf_block_core(block, row, &job->cores);
    if (rc != 0)
        return rc == -2 ? no_memory(c)
                        : mf_fail(c->err, MEMFILE_E_DAMAGED, offset, "entry %llu is damaged; nothing was written",
                                  (unsigned long long)c->next_entry);
    mf_slice core = mf_slice_of(job->cores.data + begun + MF_SALT_LENGTH, job->cores.length - begun - MF_SALT_LENGTH);
    rc = mf_record_parse(c->record, core, MEMFILE_E_DAMAGED, offset, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    c->record->vector = mf_block_vector(block, row);
    if (salt) {
        memcpy(job->cores.data + begun, salt, MF_SALT_LENGTH);
        mf_digest(leaf, MF_LABEL_LEAF, job->cores.data + begun, MF_SALT_LENGTH + core.length);
    }
    if (mf_job_add(job, begun, c->record) != MEMFILE_OK)
        return no_memory(c);
    mf_items_add_entry(&c->items, c->record, c->next_entry, c->new.tag);
    if (c->record->op == MF_OP_FORGET && mf_claims_add(&c->claims, c->record->supersedes, c->next_entry, &c->mem) != 0)
        return no_memory(c);
    c->next_entry++;
    return c->record->has_content ? copy_content(c, c->record) : c->items.failed ? no_memory(c) : MEMFILE_OK;
}

/* Entries that some later entry supersedes; each is counted once. */
static int count_superseded(mf_rewrite *c)
{
    mf_run_iterator it;
    mf_item item = {MF_ITEM_FATE, 0, 0};
    uint64_t last = UINT64_MAX;
    int rc = c->run_count ? mf_run_seek(&it, &c->new, &c->runs[0], &item, c->err) : MEMFILE_DONE;
    if (rc != MEMFILE_OK)
        return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
    while ((rc = mf_run_next(&it, &item, c->err)) == MEMFILE_OK && item.kind == MF_ITEM_FATE) {
        c->superseded += item.key != last;
        last = item.key;
    }
    mf_run_iterator_close(&it);
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

int mf_rewrite_entries_end(mf_rewrite *c)
{
    int rc = drain(c);
    if (rc == MEMFILE_OK && c->dictionary)
        rc = mf_dictionary_put_copy(&c->group, c->dictionary, 1, &c->place.offset[1], c->err);
    if (rc == MEMFILE_OK)
        rc = readable(c);
    if (rc == MEMFILE_OK && mf_items_count(&c->items) > 0)
        rc = flush_items(c);
    if (rc == MEMFILE_OK)
        rc = readable(c);
    if (rc == MEMFILE_OK && c->run_count > 1) {
        mf_run run;
        rc = mf_run_merge(&c->group, c->runs, c->run_count, &run, c->err);
        c->runs[0] = run;
        c->run_count = 1;
        if (rc == MEMFILE_OK)
            rc = readable(c);
    }
    return rc == MEMFILE_OK ? count_superseded(c) : rc;
}

/* ---- the commit */

int mf_rewrite_finish(mf_rewrite *c, const mf_rewrite_end *end)
{
    mf_footer footer;
    mf_commit k;
    uint8_t digest[32];
    memset(&footer, 0, sizeof footer);
    memset(&k, 0, sizeof k);
    footer.indexed_entries = c->next_entry;
    footer.indexed_commits = c->commits;
    footer.superseded = c->superseded;
    footer.objects = c->objects;
    footer.frontier_count = mf_tree_frontier(end->log, footer.frontier);
    memcpy(footer.salt_root, end->salt_root, 16);
    footer.dictionary_count = c->dictionary ? 1 : 0;
    footer.dictionaries = &c->place;
    footer.keys_offset = c->new.seal.keys_offset;
    footer.history_count = c->history_count;
    footer.history_offset = c->history_offset;
    footer.runs = c->runs;
    footer.run_count = c->run_count;
    mf_group_prefix(&c->group, footer.stored_prefix);
    k.flags = MF_COMMIT_FULL | MF_COMMIT_ORDER;
    k.number = end->number;
    k.first_entry = c->next_entry;
    k.group_length = c->group.next - c->group.first_segment;
    k.time_us = c->environment.now_us(c->environment.context);
    k.order = end->order;
    memcpy(k.history_digest, end->history_digest, 32);
    k.footer = &footer;
    mf_buffer_clear(&c->head);
    mf_commit_encode(&c->head, &k);
    if (c->head.failed)
        return no_memory(c);
    uint8_t flags = MF_FLAG_COMMIT | (mf_group_wants_two_syncs(&c->group, c->head.length + 128) ? MF_FLAG_SYNCED : 0);
    int rc = mf_segment_build(&c->built, MF_TYPE_COMMIT, flags, mf_slice_of(c->head.data, c->head.length),
                              mf_slice_of(NULL, 0), NULL, 0, NULL, c->err);
    return rc == MEMFILE_OK ? mf_group_commit(&c->group, &c->built, digest, c->err) : rc;
}

int mf_rewrite_check(mf_rewrite *c, const uint8_t history_digest[32], memfile_progress *progress,
                     void *context)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result result;
    mf_io *again;
    const mf_access access = {NULL, &c->new.seal, false};
    o.threads = c->threads;
    o.progress = progress;
    o.context = context;
    int rc = mf_io_file_again(c->new.io, &again, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_verify_run(again, &o, NULL, &access, &result, c->err);
    if (rc == MEMFILE_OK && memcmp(result.history_digest, history_digest, 32) != 0)
        rc = mf_fail(c->err, MEMFILE_E_DAMAGED, MF_NOWHERE,
                     "the new file has another history digest than the old one: the old one's entries are not what "
                     "was committed; nothing was changed: run verify");
    return rc;
}

/* ---- making and freeing */

int mf_rewrite_begin(mf_rewrite *c, const mf_header *header, mf_io *io)
{
    uint8_t raw[MF_HEADER_LENGTH], digest[32];
    c->new.mem = &c->mem;
    c->new.io = io;
    c->new.state = &c->new.committed;
    c->new.cache_limit = 2u << 20;
    mf_compressor_init(&c->new.compressor);
    mf_items_init(&c->new.tail_items, &c->mem);
    mf_items_init(&c->items, &c->mem);
    mf_arena_init(&c->arena, &c->mem);
    mf_built_init(&c->built, &c->mem, &c->new.seal);
    mf_buffer_init(&c->head, &c->mem);
    mf_buffer_init(&c->samples, &c->mem);
    mf_group_init(&c->group, &c->new);
    mf_content_writer_init(&c->content, &c->group, &c->items, &c->objects, c->level < 6 ? c->level : 6);
    c->record = (mf_record *)mf_alloc(&c->mem, sizeof *c->record);
    c->sample_sizes = (size_t *)mf_alloc(&c->mem, MF_REWRITE_SAMPLES * sizeof *c->sample_sizes);
    c->workers = (mf_job_worker *)mf_alloc_zero(&c->mem, c->threads * sizeof *c->workers);
    c->history.rows = (mf_history_row *)mf_alloc(&c->mem, MF_HISTORY_ROWS_MAX * sizeof *c->history.rows);
    if (!c->record || !c->workers || !c->sample_sizes || !c->history.rows || mf_pool_new(&c->mem, c->threads, run_job, c, &c->pool) != 0)
        return no_memory(c);
    c->new.header = *header;
    c->new.header.suite = c->slots.kind ? MF_SUITE_SEALED : MF_SUITE_PLAIN;
    c->environment.random(c->environment.context, c->new.header.incarnation_id, 16);
    c->new.tag = mf_header_tag(&c->new.header);
    c->new.seal.sealed = c->new.header.suite == MF_SUITE_SEALED;
    c->new.seal.environment = c->environment;
    mf_header_encode(&c->new.header, raw);
    mf_stored_begin(digest, raw);
    mf_group_begin(&c->group, MF_HEADER_LENGTH, 0, digest);
    int rc = mf_io_write(io, 0, raw, sizeof raw, c->err);
    return rc == MEMFILE_OK && c->new.seal.sealed ? mf_group_keys(&c->group, &c->slots, c->secret, c->err) : rc;
}

void mf_rewrite_free(mf_rewrite *c)
{
    while (c->in_flight > 0) {
        mf_job *job = (mf_job *)mf_pool_take(c->pool);
        c->in_flight--;
        mf_job_free(job);
    }
    mf_pool_free(c->pool);
    mf_job_free(c->current);
    while (c->spare) {
        mf_job *next = c->spare->next;
        mf_job_free(c->spare);
        c->spare = next;
    }
    for (unsigned i = 0; c->workers && i < c->threads; i++)
        mf_job_worker_free(&c->workers[i]);
    mf_free(&c->mem, c->workers);
    mf_free(&c->mem, c->record);
    mf_free(&c->mem, c->sample_sizes);
    mf_free(&c->mem, c->runs);
    mf_free(&c->mem, c->roots);
    mf_free(&c->mem, c->erased.v);
    mf_free(&c->mem, c->claims.v);
    mf_free(&c->mem, c->history.rows);
    mf_free(&c->mem, c->history.nodes);
    mf_dictionary_free(c->dictionary);
    if (c->new.mem) {
        mf_content_writer_free(&c->content);
        mf_items_free(&c->items);
        mf_arena_free(&c->arena);
        mf_built_free(&c->built);
        mf_buffer_free(&c->head);
        mf_buffer_free(&c->samples);
        mf_group_free(&c->group);
        mf_store_close(&c->new);
    }
}
