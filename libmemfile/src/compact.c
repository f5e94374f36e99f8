/* compact: a memory written anew, as tight as it can be. SPEC 13.
 *
 * Order. The old file is locked, read, never written. The new one stands beside
 * it without a name that anyone uses until it was synced and verified from its
 * first byte, its history digest compared with the old one's. Then its inode is
 * locked and renamed over the old one. Whatever fails before the rename leaves the
 * old file as it was. */
#include "handle.h"
#include "verify.h"

#define SPILL_ITEMS ((size_t)600000)
#define HISTORY_ROWS 8192u
#define SAMPLES_MAX 8000u
#define SAMPLE_BYTES_MAX ((size_t)8 << 20)
#define DICTIONARY_BYTES ((size_t)110 << 10)

typedef struct compaction {
    const memfile_compact_options *options;
    memfile_error *err;
    mf_mem mem;
    mf_store old, new;
    mf_group group;
    int level;
    /* history */
    mf_arena arena;
    mf_history history;
    size_t node_capacity;
    mf_built built;
    mf_buffer head;
    uint64_t history_count, history_offset;
    uint64_t commits, history_entries;
    /* entries */
    mf_dictionary *dictionary;
    mf_dictionary_place place;
    mf_pool *pool;
    mf_job_worker *workers;
    unsigned threads, in_flight;
    mf_job *current, *spare;
    mf_items items;
    uint64_t next_entry, spilled_end, objects;
    uint64_t superseded;
    mf_run *runs;
    size_t run_capacity;
    uint32_t run_count;
    mf_record *record;
    mf_content_writer content;
    uint8_t (*roots)[32]; /* contents that were copied, an open table */
    size_t root_count, root_slots;
    mf_buffer core;
} compaction;

static int no_memory(compaction *c)
{
    return mf_fail_memory(c->err);
}

/* ---- history */

static int write_history(compaction *c)
{
    uint64_t offset;
    if (c->history.row_count == 0)
        return MEMFILE_OK;
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
    mf_arena_reset(&c->arena);
    return rc;
}

static int keep(compaction *c, mf_slice *s)
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

static int flush_items(compaction *c);

static int add_row(compaction *c, const mf_history_row *row, const mf_salt_node *nodes, uint32_t node_count)
{
    mf_history *h = &c->history;
    if (h->row_count == HISTORY_ROWS) {
        int rc = write_history(c);
        if (rc != MEMFILE_OK)
            return rc;
    }
    mf_history_row *r = &h->rows[h->row_count++];
    *r = *row;
    if (keep(c, &r->parents) || keep(c, &r->author) || keep(c, &r->extra) || keep(c, &r->signatures))
        return MEMFILE_E_MEMORY;
    r->salt_first = h->node_count;
    r->salt_count = node_count;
    void *grown = h->nodes;
    if (mf_grow(&c->mem, &grown, &c->node_capacity, h->node_count + node_count, sizeof *h->nodes) != 0)
        return no_memory(c);
    h->nodes = (mf_salt_node *)grown;
    if (node_count)
        memcpy(h->nodes + h->node_count, nodes, node_count * sizeof *nodes);
    h->node_count += node_count;
    c->history_entries += row->count;
    mf_items_add(&c->items, MF_ITEM_COMMIT, c->commits++, c->history_entries);
    return mf_items_count(&c->items) >= SPILL_ITEMS ? flush_items(c) : c->items.failed ? no_memory(c) : MEMFILE_OK;
}

/* Rows that an earlier compaction folded. */
static int copy_folded(compaction *c)
{
    const mf_footer *f = &c->old.state->footer;
    mf_history_cursor cursor;
    int rc = MEMFILE_OK;
    uint64_t at = f->history_offset;
    mf_history_cursor_init(&cursor, &c->old);
    for (uint64_t i = 0; i < f->history_count && rc == MEMFILE_OK; i++) {
        mf_segment s;
        uint8_t *raw;
        rc = mf_store_segment(&c->old, at, 0, &s, &raw, c->err);
        if (rc != MEMFILE_OK)
            break;
        mf_free(&c->mem, raw);
        rc = mf_history_cursor_add(&cursor, at) == MEMFILE_OK ? MEMFILE_OK : no_memory(c);
        at += mf_segment_total(&s);
    }
    while (rc == MEMFILE_OK) {
        mf_history_row *row;
        uint64_t number;
        rc = mf_history_cursor_next(&cursor, &row, &number, c->err);
        if (rc == MEMFILE_OK && number != c->commits)
            rc = mf_fail(c->err, MEMFILE_E_DAMAGED, f->history_offset, "folded commits are not numbered without gaps");
        if (rc == MEMFILE_OK)
            rc = add_row(c, row, cursor.nodes, row->flags & MF_COMMIT_SALT ? cursor.node_count : 0);
    }
    mf_history_cursor_free(&cursor);
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

static int add_commit(compaction *c, const mf_walk_group *g)
{
    mf_segment s;
    uint8_t *raw;
    mf_slice head, stored;
    mf_commit k;
    int rc = mf_store_segment(&c->old, g->commit_offset, 0, &s, &raw, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    rc = mf_segment_split(&s, raw, &head, &stored, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_commit_decode(&k, head, NULL, &c->mem, s.offset, c->err);
    if (rc == MEMFILE_OK && (k.flags & MF_COMMIT_LOGICAL)) {
        mf_history_row row;
        mf_salt_node node = {0, 0, {0}};
        memset(&row, 0, sizeof row);
        row.flags = k.flags & (MF_COMMIT_PARENTS | MF_COMMIT_AUTHOR | MF_COMMIT_EXTRA | MF_COMMIT_SALT |
                               MF_COMMIT_ORDER | MF_COMMIT_SIGNATURES);
        row.count = k.entry_count;
        row.order = k.order;
        row.time_us = k.time_us;
        row.salt_index = k.salt_index;
        row.parents = k.parents;
        row.author = k.author;
        row.extra = k.extra;
        row.signatures = k.signatures;
        memcpy(node.seed, k.salt_root, sizeof node.seed);
        if (k.number != c->commits || k.first_entry != c->history_entries)
            rc = mf_fail(c->err, MEMFILE_E_DAMAGED, s.offset, "the commit at offset %llu does not follow those before it",
                         (unsigned long long)s.offset);
        else
            rc = add_row(c, &row, &node, k.flags & MF_COMMIT_SALT ? 1 : 0);
    }
    mf_free(&c->mem, raw);
    return rc;
}

static int fold_history(compaction *c)
{
    mf_walk walk;
    c->history.rows = (mf_history_row *)mf_alloc(&c->mem, HISTORY_ROWS * sizeof *c->history.rows);
    if (!c->history.rows)
        return no_memory(c);
    int rc = copy_folded(c);
    if (rc == MEMFILE_OK)
        rc = mf_walk_open(&walk, &c->old, c->old.state->end, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    while (rc == MEMFILE_OK) {
        mf_walk_group g;
        rc = mf_walk_group_next(&walk, &g, c->err);
        if (rc == MEMFILE_OK && (g.gap_count || !g.commit_offset))
            rc = mf_fail(c->err, MEMFILE_E_DAMAGED, g.gap_count ? g.gaps[0].start : g.start,
                         "the file is damaged at offset %llu; it is not compacted: run verify, then recover",
                         (unsigned long long)(g.gap_count ? g.gaps[0].start : g.start));
        if (rc == MEMFILE_OK)
            rc = add_commit(c, &g);
    }
    mf_walk_close(&walk);
    return rc == MEMFILE_DONE ? write_history(c) : rc;
}

/* ---- runs */

static int push_run(compaction *c, const mf_run *run)
{
    void *grown = c->runs;
    if (mf_grow(&c->mem, &grown, &c->run_capacity, c->run_count + 1, sizeof *c->runs) != 0)
        return no_memory(c);
    c->runs = (mf_run *)grown;
    c->runs[c->run_count++] = *run;
    return MEMFILE_OK;
}

static int readable(compaction *c)
{
    int rc = mf_group_flush(&c->group, c->err);
    c->new.readable_end = c->group.out_offset;
    return rc;
}

/* Entries keep their numbers, so FATE items are those of the old file. */
static int copy_fates(compaction *c, uint64_t first, uint64_t end)
{
    const mf_state *s = c->old.state;
    int rc = mf_store_tail_fates(&c->old, c->err);
    for (size_t i = 0; rc == MEMFILE_OK && i < c->old.tail_items.kind[MF_ITEM_FATE].count; i++) {
        mf_pair p = c->old.tail_items.kind[MF_ITEM_FATE].pairs[i];
        if (p.value >= first && p.value < end)
            mf_items_add(&c->items, MF_ITEM_FATE, p.key, p.value);
    }
    for (uint32_t r = 0; rc == MEMFILE_OK && s->footer.superseded > 0 && r < s->footer.run_count; r++) {
        const mf_run *run = &s->footer.runs[r];
        mf_run_iterator it;
        mf_item item = {MF_ITEM_FATE, 0, 0};
        if (run->first_entry >= end || run->first_entry + run->entry_count <= first)
            continue;
        rc = mf_run_seek(&it, &c->old, run, &item, c->err);
        while (rc == MEMFILE_OK && (rc = mf_run_next(&it, &item, c->err)) == MEMFILE_OK && item.kind == MF_ITEM_FATE)
            if (item.value >= first && item.value < end)
                mf_items_add(&c->items, MF_ITEM_FATE, item.key, item.value);
        mf_run_iterator_close(&it);
        rc = rc == MEMFILE_DONE ? MEMFILE_OK : rc;
    }
    return rc == MEMFILE_OK && c->items.failed ? no_memory(c) : rc;
}

/* What items there are become a run over the entries since the last. */
static int flush_items(compaction *c)
{
    mf_run run;
    int rc = MEMFILE_OK;
    if (c->next_entry > c->spilled_end)
        rc = copy_fates(c, c->spilled_end, c->next_entry);
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

/* ---- dictionary */

static int make_dictionary(compaction *c)
{
    uint64_t entries = c->old.state->entries, step = entries / SAMPLES_MAX + 1;
    mf_buffer texts;
    size_t *sizes = (size_t *)mf_alloc(&c->mem, (SAMPLES_MAX + 1) * sizeof *sizes);
    unsigned count = 0;
    int rc = sizes ? MEMFILE_OK : no_memory(c);
    mf_buffer_init(&texts, &c->mem);
    for (uint64_t e = 0; e < entries && rc == MEMFILE_OK && count < SAMPLES_MAX && texts.length < SAMPLE_BYTES_MAX;
         e += step) {
        mf_object *o;
        uint32_t row;
        rc = mf_store_entry(&c->old, e, &o, &row, c->err);
        if (rc == MEMFILE_OK)
            rc = mf_store_content(&c->old, o, c->err);
        if (rc == MEMFILE_OK) {
            mf_slice text = mf_block_text(&o->block, row);
            if (text.length >= 8) {
                mf_put_bytes(&texts, text.data, text.length);
                sizes[count++] = text.length;
            }
        }
        mf_store_release(&c->old, o);
    }
    if (rc == MEMFILE_OK && texts.failed)
        rc = no_memory(c);
    if (rc == MEMFILE_OK && texts.length >= 65536) {
        size_t capacity = texts.length / 16 < DICTIONARY_BYTES ? texts.length / 16 : DICTIONARY_BYTES;
        rc = mf_dictionary_write(&c->group, texts.data, sizes, count, capacity, c->level, &c->dictionary, &c->place,
                                 false, c->err);
    }
    mf_buffer_free(&texts);
    mf_free(&c->mem, sizes);
    return rc;
}

/* ---- entries */

static void run_job(void *context, unsigned worker, void *job)
{
    mf_job_run((mf_job *)job, &((compaction *)context)->workers[worker]);
}

static int take_job(compaction *c)
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

static int close_block(compaction *c)
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

static int drain(compaction *c)
{
    int rc = close_block(c);
    while (rc == MEMFILE_OK && c->in_flight > 0)
        rc = take_job(c);
    return rc;
}

/* true: was there; false: now it is. */
static int note_root(compaction *c, const uint8_t root[32], bool *there)
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

static int copy_content(compaction *c, const mf_record *r)
{
    mf_detached d = {r->content_form, r->content_length, {0}}, copied;
    mf_content_reader reader;
    bool there;
    memcpy(d.root, r->content_root, 32);
    int rc = note_root(c, d.root, &there);
    if (rc != MEMFILE_OK || there)
        return rc;
    rc = mf_content_reader_open(&reader, &c->old, &d, c->err);
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

static int room_for_row(compaction *c)
{
    int rc = MEMFILE_OK;
    if (c->current && (c->current->cores.length >= MF_BLOCK_BYTES_COMPACT + (size_t)c->current->rows * MF_SALT_LENGTH ||
                       c->current->rows >= MF_BLOCK_ROWS_MAX))
        rc = close_block(c);
    if (rc == MEMFILE_OK && !c->current) {
        mf_job *job = c->spare;
        if (job)
            c->spare = job->next;
        else if (!(job = mf_job_new(&c->mem)))
            return no_memory(c);
        mf_job_clear(job);
        job->first_entry = c->next_entry;
        c->current = job;
    }
    return rc;
}

static int copy_row(compaction *c, mf_scan_slot *slot, uint32_t row)
{
    int rc = room_for_row(c);
    if (rc != MEMFILE_OK)
        return rc;
    mf_job *job = c->current;
    size_t begun = mf_job_begin_core(job);
    const uint8_t *erased = mf_block_erased(&slot->block, row);
    if (erased) {
        job->cores.length = begun;
        mf_block_builder_add_erased(job->builder, erased);
        c->next_entry++;
        return MEMFILE_OK;
    }
    rc = mf_block_core(&slot->block, row, &job->cores);
    if (rc != 0)
        return rc == -2 ? no_memory(c)
                        : mf_fail(c->err, MEMFILE_E_DAMAGED, slot->offset, "entry %llu is damaged; nothing was compacted",
                                  (unsigned long long)c->next_entry);
    mf_slice core = mf_slice_of(job->cores.data + begun + MF_SALT_LENGTH, job->cores.length - begun - MF_SALT_LENGTH);
    rc = mf_record_parse(c->record, core, MEMFILE_E_DAMAGED, slot->offset, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    c->record->vector = mf_block_vector(&slot->block, row);
    if (mf_job_add(job, begun, c->record) != MEMFILE_OK)
        return no_memory(c);
    mf_items_add_entry(&c->items, c->record, c->next_entry, c->new.tag);
    c->next_entry++;
    return c->record->has_content ? copy_content(c, c->record) : c->items.failed ? no_memory(c) : MEMFILE_OK;
}

static int copy_entries(compaction *c)
{
    mf_scan scan;
    mf_scan_slot *slot;
    int rc = mf_scan_open(&scan, &c->old, 0, c->old.state->entries, true, 1, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    while ((rc = mf_scan_next(&scan, &slot, c->err)) == MEMFILE_OK) {
        for (uint32_t row = 0; row < slot->block.rows && rc == MEMFILE_OK; row++)
            rc = copy_row(c, slot, row);
        if (rc == MEMFILE_OK && mf_items_count(&c->items) >= SPILL_ITEMS) {
            rc = drain(c);
            if (rc == MEMFILE_OK)
                rc = flush_items(c);
        }
        if (rc != MEMFILE_OK)
            break;
        if (c->options->progress)
            c->options->progress(c->options->context, slot->offset, c->old.state->end * 2);
    }
    mf_scan_close(&scan);
    if (rc != MEMFILE_DONE)
        return rc;
    if (c->next_entry != c->old.state->entries)
        return mf_fail(c->err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the index gives %llu of %llu entries",
                       (unsigned long long)c->next_entry, (unsigned long long)c->old.state->entries);
    return drain(c);
}

/* ---- the commit */

typedef struct log_state {
    mf_tree log;
    bool first;
    uint8_t pending[32];
    uint8_t salt_root[16];
} log_state;

/* The log of all commits before the newest, SPEC 9.3. */
static int visit(void *context, const mf_segment *s, const uint8_t *raw, const mf_commit *k)
{
    log_state *l = (log_state *)context;
    (void)s, (void)raw;
    if (!l->first && (k->flags & MF_COMMIT_LOGICAL))
        mf_tree_add(&l->log, l->pending);
    memcpy(l->pending, k->history_digest, 32);
    if (k->flags & MF_COMMIT_SALT)
        memcpy(l->salt_root, k->salt_root, 16);
    l->first = false;
    return MEMFILE_OK;
}

static int write_commit(compaction *c)
{
    const mf_state *s = c->old.state;
    const memfile_environment env = mf_environment_or_system(c->options->environment);
    log_state *l = (log_state *)mf_alloc_zero(&c->mem, sizeof *l);
    mf_footer footer;
    mf_commit k;
    uint8_t digest[32];
    if (!l)
        return no_memory(c);
    memset(&footer, 0, sizeof footer);
    memset(&k, 0, sizeof k);
    l->first = true;
    mf_tree_from_frontier(&l->log, s->footer_number, &s->footer.frontier[0][0]);
    memcpy(l->salt_root, s->footer.salt_root, 16);
    int rc = mf_store_visit_tail(&c->old, visit, l, c->err);
    footer.indexed_entries = c->next_entry;
    footer.indexed_commits = c->commits;
    footer.superseded = c->superseded;
    footer.objects = c->objects;
    footer.frontier_count = mf_tree_frontier(&l->log, footer.frontier);
    memcpy(footer.salt_root, l->salt_root, 16);
    mf_free(&c->mem, l);
    if (rc != MEMFILE_OK)
        return rc;
    footer.dictionary_count = c->dictionary ? 1 : 0;
    footer.dictionaries = &c->place;
    footer.history_count = c->history_count;
    footer.history_offset = c->history_offset;
    footer.runs = c->runs;
    footer.run_count = c->run_count;
    mf_group_prefix(&c->group, footer.stored_prefix);
    k.flags = MF_COMMIT_FULL | MF_COMMIT_ORDER;
    k.number = s->number;
    k.first_entry = c->next_entry;
    k.group_length = c->group.next - c->group.first_segment;
    k.time_us = env.now_us(env.context);
    k.order = s->order;
    memcpy(k.history_digest, s->history_digest, 32);
    k.footer = &footer;
    mf_buffer_clear(&c->head);
    mf_commit_encode(&c->head, &k);
    if (c->head.failed)
        return no_memory(c);
    uint8_t flags = MF_FLAG_COMMIT | (mf_group_wants_two_syncs(&c->group, c->head.length + 128) ? MF_FLAG_SYNCED : 0);
    rc = mf_segment_build(&c->built, MF_TYPE_COMMIT, flags, mf_slice_of(c->head.data, c->head.length),
                          mf_slice_of(NULL, 0), NULL, 0, NULL, c->err);
    return rc == MEMFILE_OK ? mf_group_commit(&c->group, &c->built, digest, c->err) : rc;
}

/* Entries that some later entry supersedes; each is counted once. */
static int count_superseded(compaction *c)
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

static int write_all(compaction *c)
{
    uint8_t raw[MF_HEADER_LENGTH], digest[32];
    const memfile_environment env = mf_environment_or_system(c->options->environment);
    c->new.header = c->old.header;
    env.random(env.context, c->new.header.incarnation_id, 16);
    c->new.tag = mf_header_tag(&c->new.header);
    mf_header_encode(&c->new.header, raw);
    mf_stored_begin(digest, raw);
    mf_group_begin(&c->group, MF_HEADER_LENGTH, 0, digest);
    int rc = mf_io_write(c->new.io, 0, raw, sizeof raw, c->err);
    if (rc == MEMFILE_OK)
        rc = fold_history(c);
    if (rc == MEMFILE_OK)
        rc = make_dictionary(c);
    if (rc == MEMFILE_OK)
        rc = copy_entries(c);
    if (rc == MEMFILE_OK && c->dictionary)
        rc = mf_dictionary_put_copy(&c->group, c->dictionary, 1, &c->place.offset[1], c->err);
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
    if (rc == MEMFILE_OK)
        rc = count_superseded(c);
    return rc == MEMFILE_OK ? write_commit(c) : rc;
}

/* ---- around it */

static void verify_progress(void *context, uint64_t done, uint64_t total)
{
    compaction *c = (compaction *)context;
    uint64_t end = c->old.state->end;
    if (c->options->progress)
        c->options->progress(c->options->context, end + (total ? (uint64_t)((double)end * (double)done / (double)total) : 0),
                             end * 2);
}

static int check_new(compaction *c)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result result;
    mf_io *again;
    o.threads = c->threads;
    o.progress = verify_progress;
    o.context = c;
    int rc = mf_io_file_again(c->new.io, &again, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_verify_run(again, &o, NULL, &result, c->err);
    if (rc == MEMFILE_OK && memcmp(result.history_digest, c->old.state->history_digest, 32) != 0)
        rc = mf_fail(c->err, MEMFILE_E_DAMAGED, MF_NOWHERE,
                     "the new file has another history digest than the old one: the old one's entries are not what "
                     "was committed; nothing was changed: run verify");
    return rc;
}

static int make(compaction *c)
{
    c->threads = c->options->threads < 1 ? 1 : c->options->threads > 64 ? 64 : c->options->threads;
    c->level = (int)c->options->compression_level;
    if (c->level < 1 || c->level > 19)
        return mf_fail(c->err, MEMFILE_E_MISUSE, MF_NOWHERE, "the compression level is 1 to 19");
    c->new.mem = &c->mem;
    c->new.state = &c->new.committed;
    c->new.cache_limit = 2u << 20;
    mf_compressor_init(&c->new.compressor);
    mf_items_init(&c->new.tail_items, &c->mem);
    mf_items_init(&c->items, &c->mem);
    mf_arena_init(&c->arena, &c->mem);
    mf_built_init(&c->built, &c->mem);
    mf_buffer_init(&c->head, &c->mem);
    mf_buffer_init(&c->core, &c->mem);
    mf_group_init(&c->group, &c->new);
    mf_content_writer_init(&c->content, &c->group, &c->items, &c->objects, c->level < 6 ? c->level : 6);
    c->record = (mf_record *)mf_alloc(&c->mem, sizeof *c->record);
    c->workers = (mf_job_worker *)mf_alloc_zero(&c->mem, c->threads * sizeof *c->workers);
    if (!c->record || !c->workers || mf_pool_new(&c->mem, c->threads, run_job, c, &c->pool) != 0)
        return no_memory(c);
    return MEMFILE_OK;
}

static void unmake(compaction *c)
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
    mf_free(&c->mem, c->runs);
    mf_free(&c->mem, c->roots);
    mf_free(&c->mem, c->history.rows);
    mf_free(&c->mem, c->history.nodes);
    mf_dictionary_free(c->dictionary);
    if (c->new.mem) {
        mf_content_writer_free(&c->content);
        mf_items_free(&c->items);
        mf_arena_free(&c->arena);
        mf_built_free(&c->built);
        mf_buffer_free(&c->head);
        mf_buffer_free(&c->core);
        mf_group_free(&c->group);
        mf_store_close(&c->new);
    }
    if (c->old.io)
        mf_store_close(&c->old);
}

static int open_old(compaction *c, const char *path)
{
    mf_io *io;
    bool replaces = c->options->output == NULL;
    uint64_t links = 0;
    int rc = mf_io_file_open(&c->mem, path, replaces ? MF_IO_WRITE : MF_IO_READ, &io, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    rc = replaces ? io->functions->lock(io, c->options->lock_timeout_ms, c->err) : MEMFILE_OK;
    uint64_t size;
    for (int moved = 1; rc == MEMFILE_OK && replaces && moved;) {
        rc = io->functions->look(io, &moved, &size, c->err);
        if (rc == MEMFILE_OK && moved)
            rc = io->functions->reopen(io, c->err);
        if (rc == MEMFILE_OK && moved)
            rc = io->functions->lock(io, c->options->lock_timeout_ms, c->err);
    }
    if (rc == MEMFILE_OK && replaces)
        rc = mf_io_file_links(io, &links, c->err);
    if (rc == MEMFILE_OK && links > 1)
        rc = mf_fail(c->err, MEMFILE_E_CONFLICT, MF_NOWHERE,
                     "the file has %llu names (hard links); replacing one would leave the others behind: use an "
                     "output file",
                     (unsigned long long)links);
    if (rc != MEMFILE_OK) {
        io->functions->close(io);
        return rc;
    }
    rc = mf_store_open(&c->old, io, &c->mem, 4u << 20, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    const mf_state *s = c->old.state;
    if (c->old.header.compact_features != 0)
        return mf_fail(c->err, MEMFILE_E_NEWER, 24, "made by a newer version: this library cannot compact it");
    if (s->unfinished_is_damage || s->lost_commits)
        return mf_fail(c->err, MEMFILE_E_DAMAGED, s->lost_commits ? s->footer_offset : s->end,
                       "the file is damaged; it is not compacted: run verify, then recover");
    return MEMFILE_OK;
}

int memfile_compact(const char *path, const memfile_compact_options *options, memfile_compact_result *result,
                    memfile_error *error)
{
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_error unused;
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    if (result)
        memset(result, 0, sizeof *result);
    mf_error_clear(error ? error : &unused);
    compaction *c = (compaction *)mf_alloc_zero(&mf_mem_default, sizeof *c);
    if (!c || !mf_digest_start()) {
        mf_free(&mf_mem_default, c);
        return mf_fail_memory(error);
    }
    c->options = &o;
    c->err = error ? error : &unused;
    c->mem = mf_mem_default;
    int rc = open_old(c, path);
    if (rc == MEMFILE_OK)
        rc = make(c);
    if (rc == MEMFILE_OK)
        rc = mf_io_file_open(&c->mem, o.output ? o.output : path, o.output ? MF_IO_CREATE : MF_IO_REPLACE, &c->new.io,
                             c->err);
    if (rc == MEMFILE_OK)
        rc = write_all(c);
    if (rc == MEMFILE_OK)
        rc = check_new(c);
    if (rc == MEMFILE_OK && result) {
        result->bytes_before = c->old.state->file_size;
        c->new.io->functions->size(c->new.io, &result->bytes_after, c->err);
        result->entries = c->next_entry;
        result->commits = c->commits;
        memcpy(result->history_digest, c->old.state->history_digest, 32);
    }
    /* A writer that waits for the old file's lock finds the new one locked too,
     * until all is done. */
    if (rc == MEMFILE_OK)
        rc = c->new.io->functions->lock(c->new.io, o.lock_timeout_ms, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_io_file_publish(c->new.io, o.output ? NULL : c->old.io, c->err);
    unmake(c);
    mf_free(&mf_mem_default, c);
    return rc;
}
