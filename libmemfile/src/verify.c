/* verify: SPEC 15.5. Goes over every byte by tiling, then compares what the
 * index of the newest commit says with what the entries gave.
 *
 * The comparison is by sums: each item that the entries call for, and each item
 * that the runs hold, is hashed under a random seed and added up per kind. The
 * sums of equal multisets agree; those of different ones agree by a chance of about
 * 2^-64. The hash is a fast mixer, no proof against a file made to fool it. */
#include <stdio.h>
#include <stdlib.h>

#include "checksum.h"
#include "handle.h"
#include "walk.h"

typedef struct sum {
    uint64_t count, total;
} sum;

/* One block on its way through the pool. */
typedef struct block_job {
    mf_segment segment;
    uint8_t *raw;
    size_t raw_capacity;
    const mf_dictionary *dictionary;
    uint64_t expected_entry;
    uint8_t (*salts)[MF_SALT_LENGTH];
    bool have_salts;
    uint32_t tag;
    uint64_t seed;
    /* out */
    uint32_t rows;
    uint8_t (*leaves)[32];
    sum sums[MF_ITEM_COMMIT + 1];
    mf_detached *contents; /* named by its entries */
    uint32_t content_count;
    size_t content_capacity;
    int rc;
    memfile_error error;
} block_job;

typedef struct verify_worker {
    mf_compressor compressor;
    mf_arena arena;
    mf_record *record;
    mf_buffer core, content;
    mf_items items;
} verify_worker;

typedef struct object {
    uint8_t root[32];
    uint64_t length;
} object;

typedef struct verify {
    const memfile_verify_options *options;
    memfile_verify_result *result;
    memfile_error *err;
    mf_store store;
    bool loaded; /* the newest commit's state could be read */
    mf_mem mem;
    mf_walk walk;
    unsigned threads;
    mf_pool *pool;
    verify_worker *workers;
    block_job **free_jobs;
    unsigned free_count, job_count;
    /* the chain */
    uint8_t stored_digest[32];
    uint64_t number, entries, order;
    bool any_commit;
    uint8_t history_digest[32];
    mf_tree log, leaves;
    uint8_t frontier_before[64][32]; /* of the log before the newest logical commit */
    unsigned frontier_before_count;
    mf_history_cursor salts, commits; /* folded commits: ahead for salts, behind for digests */
    uint64_t salt_left, salt_index, leaf_left; /* of the folded commit at hand */
    mf_history_row leaf_row;
    uint64_t leaf_number;
    bool folding, leaves_unsure;
    /* sums */
    uint64_t seed;
    sum expected[MF_ITEM_COMMIT + 1], found[MF_ITEM_COMMIT + 1];
    /* content objects */
    uint64_t object_number, chunk_index, object_length;
    bool in_object;
    mf_tree object_tree;
    object *objects, *named;
    size_t object_count, object_capacity, named_count, named_capacity;
    uint64_t next_progress;
} verify;

/* ---- findings */

static void find(verify *v, int code, uint64_t offset, uint64_t length, uint64_t first_entry, uint64_t entry_count,
                 const char *message)
{
    memfile_finding f = {code, offset, length, first_entry, entry_count, message};
    if (code != MEMFILE_OK)
        v->result->findings++;
    if (v->options->finding)
        v->options->finding(v->options->context, &f);
}

static void find_error(verify *v, const memfile_error *e, uint64_t length)
{
    find(v, e->code, e->offset, length, 0, 0, e->message);
}

/* Is this about the file, so that verify goes on, rather than about us? */
static bool about_file(int rc)
{
    return rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_TRUNCATED || rc == MEMFILE_E_NOT_FOUND || rc == MEMFILE_E_INVALID;
}

static void progress(verify *v, uint64_t at)
{
    v->result->checked_bytes = at;
    if (v->options->progress && at >= v->next_progress) {
        v->next_progress = at + (1u << 20);
        v->options->progress(v->options->context, at, v->result->file_bytes);
    }
}

/* ---- sums of items */

static void add_sum(sum *s, uint64_t seed, unsigned kind, uint64_t key, uint64_t value)
{
    /* multiply and fold, with constants of SplitMix64 */
    uint64_t h = (key ^ seed) * 0x9e3779b97f4a7c15u;
    h = ((h ^ h >> 32) + kind) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 29 ^ seed ^ value) * 0x94d049bb133111ebu;
    h = (h ^ h >> 32) * 0x9e3779b97f4a7c15u;
    s->count++;
    s->total += h ^ h >> 31;
}

static void expect(verify *v, unsigned kind, uint64_t key, uint64_t value)
{
    add_sum(&v->expected[kind], v->seed, kind, key, value);
}

/* ---- blocks */

static int check_vector(const mf_record *r, mf_slice part)
{
    uint8_t hash[32];
    if (part.length == 0)
        return 0; /* dropped, or none */
    if (!r->has_embedding || part.length != r->embedding_count * (r->embedding_type == MF_VECTOR_F32 ? 4 : 8))
        return -1;
    mf_digest(hash, MF_LABEL_PART, part.data, part.length);
    return memcmp(hash, r->embedding_hash, 32) == 0 ? 0 : -1;
}

static int check_row(block_job *job, verify_worker *w, mf_block *block, uint32_t row)
{
    const uint8_t *erased = mf_block_erased(block, row);
    if (erased) {
        memcpy(job->leaves[row], erased, 32);
        return MEMFILE_OK;
    }
    mf_buffer_clear(&w->core);
    mf_put_bytes(&w->core, job->salts[row], MF_SALT_LENGTH);
    int rc = mf_block_core(block, row, &w->core);
    if (rc != 0)
        return rc == -2 ? mf_fail_memory(&job->error)
                        : mf_fail(&job->error, MEMFILE_E_DAMAGED, job->segment.offset,
                                  "row %u of the block at offset %llu does not give an entry", row,
                                  (unsigned long long)job->segment.offset);
    rc = mf_record_parse(w->record,
                         mf_slice_of(w->core.data + MF_SALT_LENGTH, w->core.length - MF_SALT_LENGTH),
                         MEMFILE_E_DAMAGED, job->segment.offset, &job->error);
    if (rc != MEMFILE_OK)
        return rc;
    if (check_vector(w->record, mf_block_vector(block, row)) != 0)
        return mf_fail(&job->error, MEMFILE_E_DAMAGED, job->segment.offset,
                       "the vector in row %u of the block at offset %llu is not the one the entry names", row,
                       (unsigned long long)job->segment.offset);
    mf_digest(job->leaves[row], MF_LABEL_LEAF, w->core.data, w->core.length);
    mf_items_add_entry(&w->items, w->record, job->expected_entry + row, job->tag);
    if (w->record->has_content) {
        void *grown = job->contents;
        if (mf_grow(w->core.mem, &grown, &job->content_capacity, job->content_count + 1, sizeof *job->contents) != 0)
            return mf_fail_memory(&job->error);
        job->contents = (mf_detached *)grown;
        mf_detached *d = &job->contents[job->content_count++];
        d->length = w->record->content_length;
        memcpy(d->root, w->record->content_root, 32);
    }
    return MEMFILE_OK;
}

/* Columns of the block in the checked segment of a job. */
static int open_block(block_job *job, verify_worker *w, mf_block *block)
{
    mf_slice head, stored, columns = {0};
    mf_segment *s = &job->segment;
    uint64_t first = 0;
    int rc = mf_segment_split(s, job->raw, &head, &stored, &job->error);
    if (rc == MEMFILE_OK && s->type == MF_TYPE_COMMIT) {
        mf_commit k;
        rc = mf_commit_decode(&k, head, NULL, w->core.mem, s->offset, &job->error);
        first = k.first_entry;
        columns = k.columns;
    } else if (rc == MEMFILE_OK) {
        mf_cursor c = mf_cursor_of(head.data, head.length);
        first = mf_get_varint_max(&c, MF_ENTRIES_MAX);
        columns = mf_slice_of(c.at, mf_cursor_left(&c));
    }
    if (rc != MEMFILE_OK)
        return rc;
    mf_arena_reset(&w->arena);
    int parsed = mf_block_parse(block, columns, &w->arena);
    if (parsed == -2)
        return mf_fail_memory(&job->error);
    if (parsed == -3)
        return mf_fail(&job->error, MEMFILE_E_NEWER, s->offset, "made by a newer version: block at offset %llu",
                       (unsigned long long)s->offset);
    if (parsed != 0 || block->content_length != s->raw_length || block->rows != job->rows)
        return mf_fail(&job->error, MEMFILE_E_DAMAGED, s->offset, "the block of entries at offset %llu does not decode",
                       (unsigned long long)s->offset);
    if (first != job->expected_entry)
        return mf_fail(&job->error, MEMFILE_E_DAMAGED, s->offset,
                       "the block at offset %llu begins with entry %llu where %llu is due",
                       (unsigned long long)s->offset, (unsigned long long)first,
                       (unsigned long long)job->expected_entry);
    mf_buffer_clear(&w->content);
    uint8_t *content = mf_buffer_reserve(&w->content, s->raw_length + 1);
    if (!content)
        return mf_fail_memory(&job->error);
    rc = mf_segment_content(s, stored, &w->compressor, job->dictionary, content, &job->error);
    mf_block_set_content(block, content);
    return rc;
}

static void run_block(void *context, unsigned worker, void *argument)
{
    verify *v = (verify *)context;
    verify_worker *w = &v->workers[worker];
    block_job *job = (block_job *)argument;
    mf_block block;
    memset(job->sums, 0, sizeof job->sums);
    job->content_count = 0;
    mf_items_clear(&w->items);
    job->rc = open_block(job, w, &block);
    for (uint32_t row = 0; job->rc == MEMFILE_OK && row < block.rows; row++)
        job->rc = check_row(job, w, &block, row);
    if (job->rc == MEMFILE_OK && w->items.failed)
        job->rc = mf_fail_memory(&job->error);
    for (unsigned kind = 1; kind <= MF_ITEM_COMMIT; kind++)
        for (size_t i = 0; i < w->items.kind[kind].count; i++)
            add_sum(&job->sums[kind], job->seed, kind, w->items.kind[kind].pairs[i].key,
                    w->items.kind[kind].pairs[i].value);
}

/* ---- commits, logical */

static void end_logical(verify *v, uint64_t number, uint64_t count, mf_slice parents, uint64_t order, int64_t time_us,
                        mf_slice author, mf_slice extra, uint8_t digest[32])
{
    uint8_t root[32] = {0};
    bool no_memory = false;
    if (count > 0 && v->leaves.count > 0)
        mf_tree_root(&v->leaves, root);
    mf_tree_init(&v->leaves, MF_ENTRIES_FANOUT);
    if (parents.length == 0 && number > 0)
        parents = mf_slice_of(v->history_digest, 32);
    mf_history_digest(digest, v->store.header.memory_id, parents, count, root, &v->log, order, time_us, author, extra,
                      &v->mem, &no_memory);
    v->frontier_before_count = mf_tree_frontier(&v->log, v->frontier_before);
    mf_tree_add(&v->log, digest);
    memcpy(v->history_digest, digest, 32);
}

/* Folded commits that are complete now. */
static int fold(verify *v)
{
    while (v->folding && v->leaf_left == 0) {
        uint8_t digest[32];
        mf_history_row *row;
        if (v->any_commit)
            end_logical(v, v->leaf_number, v->leaf_row.count, v->leaf_row.parents, v->leaf_row.order,
                        v->leaf_row.time_us, v->leaf_row.author, v->leaf_row.extra, digest);
        int rc = mf_history_cursor_next(&v->commits, &row, &v->leaf_number, v->err);
        if (rc == MEMFILE_DONE) {
            v->folding = false;
            v->number = v->leaf_number;
            break;
        }
        if (rc != MEMFILE_OK)
            return rc;
        if (v->any_commit && row->order <= v->order)
            find(v, MEMFILE_E_DAMAGED, v->commits.offsets[v->commits.next - 1], 0, 0, 0,
                 "the order of commits in the history does not rise");
        v->any_commit = true;
        v->leaf_row = *row;
        v->leaf_left = row->count;
        v->order = row->order;
        v->entries += row->count;
        v->result->commits++;
        expect(v, MF_ITEM_COMMIT, v->leaf_number, v->entries);
    }
    return MEMFILE_OK;
}

static int take_block(verify *v)
{
    block_job *job = (block_job *)mf_pool_take(v->pool);
    int rc = MEMFILE_OK;
    if (job->rc != MEMFILE_OK) {
        if (!about_file(job->rc)) {
            *v->err = job->error;
            rc = job->rc;
        } else {
            find(v, job->rc, job->error.offset, mf_segment_total(&job->segment), job->expected_entry, job->rows,
                 job->error.message);
            v->leaves_unsure = true;
        }
    }
    v->leaves_unsure |= !job->have_salts;
    for (uint32_t row = 0; row < job->rows && rc == MEMFILE_OK; row++) {
        mf_tree_add(&v->leaves, job->leaves[row]);
        if (v->folding && v->leaf_left > 0 && --v->leaf_left == 0)
            rc = fold(v);
    }
    for (unsigned kind = 1; kind <= MF_ITEM_COMMIT; kind++) {
        v->expected[kind].count += job->sums[kind].count;
        v->expected[kind].total += job->sums[kind].total;
    }
    for (uint32_t i = 0; i < job->content_count && rc == MEMFILE_OK; i++) {
        void *grown = v->named;
        if (mf_grow(&v->mem, &grown, &v->named_capacity, v->named_count + 1, sizeof *v->named) != 0)
            rc = mf_fail_memory(v->err);
        v->named = (object *)grown;
        if (rc == MEMFILE_OK) {
            memcpy(v->named[v->named_count].root, job->contents[i].root, 32);
            v->named[v->named_count++].length = job->contents[i].length;
        }
    }
    v->result->entries += job->rows;
    v->free_jobs[v->free_count++] = job;
    return rc;
}

static int drain(verify *v)
{
    int rc = MEMFILE_OK;
    while (v->free_count < v->job_count && rc == MEMFILE_OK)
        rc = take_block(v);
    return rc;
}

/* Salts of the next rows, from the commit at hand or the folded ones. */
static int next_salts(verify *v, block_job *job)
{
    job->have_salts = true;
    for (uint32_t row = 0; row < job->rows; row++) {
        while (v->salt_left == 0 && v->salts.count > 0) {
            mf_history_row *folded;
            uint64_t number;
            int rc = mf_history_cursor_next(&v->salts, &folded, &number, v->err);
            if (rc < 0)
                return rc;
            if (rc == MEMFILE_DONE)
                break;
            v->salt_left = folded->count;
            v->salt_index = folded->salt_index;
        }
        if (v->salt_left == 0 || !mf_history_cursor_salt(&v->salts, v->salt_index, job->salts[row])) {
            memset(job->salts[row], 0, MF_SALT_LENGTH);
            job->have_salts = false;
        }
        if (v->salt_left > 0) {
            v->salt_left--;
            v->salt_index++;
        }
    }
    return MEMFILE_OK;
}

/* How many rows a block has, without taking it apart. */
static uint32_t count_rows(const mf_segment *s, const uint8_t *raw, const mf_mem *mem)
{
    mf_slice head, stored;
    memfile_error why;
    mf_cursor c;
    if (mf_segment_split(s, raw, &head, &stored, &why) != MEMFILE_OK)
        return 0;
    c = mf_cursor_of(head.data, head.length);
    if (s->type == MF_TYPE_COMMIT) {
        mf_commit k;
        if (mf_commit_decode(&k, head, NULL, mem, s->offset, &why) != MEMFILE_OK)
            return 0;
        c = mf_cursor_of(k.columns.data, k.columns.length);
    } else {
        mf_get_varint(&c);
    }
    return (uint32_t)mf_get_varint_max(&c, MF_BLOCK_ROWS_MAX);
}

static int give_block(verify *v, const mf_segment *s, const uint8_t *raw, uint64_t *next_entry)
{
    int rc = MEMFILE_OK;
    size_t total = (size_t)mf_segment_total(s);
    if (mf_pool_full(v->pool) || v->free_count == 0)
        rc = take_block(v);
    if (rc != MEMFILE_OK)
        return rc;
    block_job *job = v->free_jobs[v->free_count - 1];
    job->segment = *s;
    job->rows = count_rows(s, raw, &v->mem);
    job->expected_entry = *next_entry;
    job->dictionary = NULL;
    job->tag = v->store.tag;
    job->seed = v->seed;
    if (job->rows == 0) {
        find(v, MEMFILE_E_DAMAGED, s->offset, total, 0, 0, "a block of entries does not decode");
        return MEMFILE_OK;
    }
    if (job->raw_capacity < total) {
        uint8_t *grown = (uint8_t *)mf_realloc(&v->mem, job->raw, total);
        if (!grown)
            return mf_fail_memory(v->err);
        job->raw = grown;
        job->raw_capacity = total;
    }
    memcpy(job->raw, raw, total);
    if (s->codec == MF_CODEC_ZSTD_DICTIONARY) {
        for (size_t i = 0; i < v->store.dictionary_count; i++)
            if (v->store.dictionaries[i]->id == s->codec_parameter)
                job->dictionary = v->store.dictionaries[i];
    }
    rc = next_salts(v, job);
    if (rc != MEMFILE_OK)
        return rc;
    expect(v, MF_ITEM_BLOCK, *next_entry, s->offset / 8);
    *next_entry += job->rows;
    v->free_count--;
    mf_pool_give(v->pool, job);
    return MEMFILE_OK;
}

/* ---- other segments */

static int end_object(verify *v)
{
    bool chunks = v->in_object && v->object_tree.count > 0; /* its first chunk may be damaged */
    v->in_object = false;
    if (!chunks)
        return MEMFILE_OK;
    void *grown = v->objects;
    if (mf_grow(&v->mem, &grown, &v->object_capacity, v->object_count + 1, sizeof *v->objects) != 0)
        return mf_fail_memory(v->err);
    v->objects = (object *)grown;
    object *o = &v->objects[v->object_count++];
    mf_tree_root(&v->object_tree, o->root);
    o->length = v->object_length;
    expect(v, MF_ITEM_OBJECT, mf_load64(o->root), v->object_number);
    return MEMFILE_OK;
}

static int check_chunk(verify *v, const mf_segment *s, mf_slice head, mf_slice stored)
{
    uint8_t hash[32];
    verify_worker *w = &v->workers[0];
    mf_cursor c = mf_cursor_of(head.data, head.length);
    uint64_t number = mf_get_varint_max(&c, MF_ENTRIES_MAX - 1), index = mf_get_varint_max(&c, MF_CHUNKS_MAX - 1);
    if (!mf_cursor_finished(&c) || s->raw_length == 0 || s->raw_length > MF_CHUNK_LENGTH ||
        s->codec == MF_CODEC_ZSTD_DICTIONARY)
        return mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "the chunk at offset %llu does not decode",
                       (unsigned long long)s->offset);
    if (index == 0) {
        int rc = end_object(v);
        if (rc != MEMFILE_OK)
            return rc;
        v->in_object = true;
        v->object_number = number;
        v->chunk_index = v->object_length = 0;
        mf_tree_init(&v->object_tree, MF_ENTRIES_FANOUT);
    }
    if (!v->in_object || number != v->object_number || index != v->chunk_index ||
        v->object_length % MF_CHUNK_LENGTH != 0)
        return mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "the chunk at offset %llu does not follow the one before it",
                       (unsigned long long)s->offset);
    mf_buffer_clear(&w->content);
    uint8_t *content = mf_buffer_reserve(&w->content, s->raw_length);
    if (!content)
        return mf_fail_memory(v->err);
    int rc = mf_segment_content(s, stored, &w->compressor, NULL, content, v->err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_digest(hash, MF_LABEL_CHUNK, content, s->raw_length);
    mf_tree_add(&v->object_tree, hash);
    v->chunk_index++;
    v->object_length += s->raw_length;
    expect(v, MF_ITEM_CHUNK, number << 24 | index, s->offset / 8);
    return MEMFILE_OK;
}

static int check_dictionary(verify *v, const mf_segment *s, mf_slice head, mf_slice stored)
{
    mf_cursor c = mf_cursor_of(head.data, head.length);
    uint64_t id = mf_get_varint(&c);
    uint8_t copy = mf_get_u8(&c);
    mf_dictionary *d = NULL;
    int rc = MEMFILE_OK;
    uint8_t *content = (uint8_t *)mf_alloc(&v->mem, s->raw_length);
    if (!content)
        return mf_fail_memory(v->err);
    if (!mf_cursor_finished(&c) || copy > 1 || s->codec == MF_CODEC_ZSTD_DICTIONARY || s->raw_length == 0)
        rc = mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "the dictionary at offset %llu does not decode",
                     (unsigned long long)s->offset);
    if (rc == MEMFILE_OK)
        rc = mf_segment_content(s, stored, &v->store.compressor, NULL, content, v->err);
    if (rc == MEMFILE_OK && mf_dictionary_id(content, s->raw_length) != id)
        rc = mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "the dictionary at offset %llu is not %08llx",
                     (unsigned long long)s->offset, (unsigned long long)id);
    bool known = false;
    for (size_t i = 0; i < v->store.dictionary_count; i++)
        known |= v->store.dictionaries[i]->id == id;
    if (rc == MEMFILE_OK && !known) {
        if (mf_dictionary_new(&v->mem, content, s->raw_length, 0, &d) != MEMFILE_OK ||
            mf_store_add_dictionary(&v->store, d) != MEMFILE_OK)
            rc = mf_fail_memory(v->err);
    }
    mf_free(&v->mem, content);
    return rc;
}

static int check_page(verify *v, const mf_segment *s, mf_slice head)
{
    mf_page page;
    mf_arena_reset(&v->workers[0].arena);
    int rc = mf_page_parse(&page, head, &v->workers[0].arena);
    if (rc == 0 && s->raw_length == 0)
        return MEMFILE_OK;
    return rc == -2 ? mf_fail_memory(v->err)
                    : mf_fail(v->err, rc == -3 ? MEMFILE_E_NEWER : MEMFILE_E_DAMAGED, s->offset,
                              "the index page at offset %llu does not decode", (unsigned long long)s->offset);
}

static int check_history(verify *v, const mf_segment *s)
{
    if (v->entries > 0 || v->any_commit)
        return mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "folded commits at offset %llu stand behind entries",
                       (unsigned long long)s->offset);
    if (mf_history_cursor_add(&v->salts, s->offset) != MEMFILE_OK ||
        mf_history_cursor_add(&v->commits, s->offset) != MEMFILE_OK)
        return mf_fail_memory(v->err);
    v->folding = true;
    return MEMFILE_OK;
}

/* A checked segment of a group, not the commit. */
static int check_segment(verify *v, const mf_segment *s, const uint8_t *raw, uint64_t *next_entry)
{
    mf_slice head, stored;
    int rc = mf_segment_split(s, raw, &head, &stored, v->err);
    if (rc != MEMFILE_OK)
        return rc;
    switch (s->type) {
    case MF_TYPE_RECORDS:
        if (v->folding && !v->any_commit)
            rc = fold(v);
        return rc == MEMFILE_OK ? give_block(v, s, raw, next_entry) : rc;
    case MF_TYPE_CHUNK: return check_chunk(v, s, head, stored);
    case MF_TYPE_INDEX: return check_page(v, s, head);
    case MF_TYPE_DICTIONARY: return check_dictionary(v, s, head, stored);
    case MF_TYPE_HISTORY: return check_history(v, s);
    case MF_TYPE_VOID: return MEMFILE_OK; /* its place was checked with the group */
    default:
        return s->flags & MF_FLAG_OPTIONAL
                   ? MEMFILE_OK
                   : mf_fail(v->err, MEMFILE_E_NEWER, s->offset, "made by a newer version: segment of type %u at offset %llu",
                             s->type, (unsigned long long)s->offset);
    }
}

/* ---- groups */

/* Reads and checks one segment; *raw stays valid until the walk is used again. */
static int read_segment(verify *v, uint64_t offset, mf_segment *s, const uint8_t **raw)
{
    int rc = mf_walk_bytes(&v->walk, offset, MF_SEGMENT_HEADER_LENGTH, raw, v->err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_decode(s, *raw, offset, v->store.tag, v->err);
    if (rc == MEMFILE_OK && mf_segment_total(s) > v->walk.end - offset)
        rc = mf_fail(v->err, MEMFILE_E_TRUNCATED, v->walk.end, "the segment at offset %llu is cut off",
                     (unsigned long long)offset);
    if (rc == MEMFILE_OK)
        rc = mf_walk_bytes(&v->walk, offset, (size_t)mf_segment_total(s), raw, v->err);
    return rc == MEMFILE_OK ? mf_segment_check(s, *raw, v->err) : rc;
}

static int check_void(verify *v, const mf_walk_group *g, mf_stored_chain *chain)
{
    mf_segment s;
    const uint8_t *raw;
    mf_slice head, stored;
    mf_digest_stream digest;
    uint8_t out[32];
    uint64_t length = g->first_segment - g->start;
    int rc = read_segment(v, g->first_segment, &s, &raw);
    if (rc == MEMFILE_OK)
        rc = mf_segment_split(&s, raw, &head, &stored, v->err);
    if (rc != MEMFILE_OK)
        return rc;
    uint64_t expected = head.length == 16 ? mf_load64(head.data + 8) : 0;
    mf_checksum_stream *checksum = mf_checksum_begin();
    if (!checksum)
        return mf_fail_memory(v->err);
    mf_digest_begin(&digest, MF_LABEL_BYTES);
    for (uint64_t at = g->start; rc == MEMFILE_OK && at < g->first_segment;) {
        size_t n = g->first_segment - at < 65536 ? (size_t)(g->first_segment - at) : 65536;
        rc = mf_walk_bytes(&v->walk, at, n, &raw, v->err);
        if (rc == MEMFILE_OK) {
            mf_checksum_add(checksum, raw, n);
            mf_digest_add(&digest, raw, n);
        }
        at += n;
    }
    uint64_t actual = mf_checksum_end(checksum);
    mf_digest_end(&digest, out);
    if (rc == MEMFILE_OK && actual != expected)
        find(v, MEMFILE_E_DAMAGED, g->start, length, 0, 0, "a declared void has other bytes than were declared");
    mf_chain_void(chain, length, out);
    v->result->void_bytes += length;
    return rc;
}

static bool same_tag(verify *v, const mf_segment *s, const mf_walk_group *g)
{
    return s->previous_commit == g->previous_commit &&
           (v->options->quick || s->parent_tag == mf_parent_tag(v->stored_digest));
}

static int check_footer(verify *v, const mf_commit *k, const mf_footer *f, const uint8_t prefix[32])
{
    uint8_t frontier[64][32];
    const char *wrong = NULL;
    bool logical = k->flags & MF_COMMIT_LOGICAL;
    unsigned count = logical ? mf_tree_frontier(&v->log, frontier) : v->frontier_before_count;
    const uint8_t *log = logical ? frontier[0] : v->frontier_before[0];
    uint64_t inside = k->flags & MF_COMMIT_INLINE ? k->first_entry : k->first_entry + k->entry_count;
    if (memcmp(f->stored_prefix, prefix, 32) != 0)
        wrong = "the footer's stored digest is not that of the bytes before it";
    else if (f->indexed_entries != inside)
        wrong = "the footer's index does not cover the entries before it";
    else if (!v->leaves_unsure && (count != f->frontier_count || memcmp(log, f->frontier, (size_t)count * 32) != 0))
        wrong = "the footer's log is not that of the commits before it";
    if (wrong)
        return mf_fail(v->err, MEMFILE_E_DAMAGED, 0, "%s", wrong);
    return MEMFILE_OK;
}

static int check_commit(verify *v, const mf_walk_group *g, const mf_segment *s, const mf_commit *k,
                        const mf_footer *f, const uint8_t prefix[32])
{
    uint8_t digest[32];
    const char *wrong = NULL;
    bool logical = k->flags & MF_COMMIT_LOGICAL;
    int rc = f && !v->options->quick ? check_footer(v, k, f, prefix) : MEMFILE_OK;
    if (rc != MEMFILE_OK) {
        v->err->offset = s->offset;
        if (!about_file(rc))
            return rc;
        find_error(v, v->err, 0);
    }
    if (logical) {
        if (k->number != (v->any_commit ? v->number + 1 : 0))
            wrong = "the commit's number does not follow";
        else if (k->first_entry != v->entries)
            wrong = "the commit's first entry does not follow";
        else if (v->any_commit && k->order <= v->order)
            wrong = "the commit's order does not rise";
        end_logical(v, k->number, k->entry_count, k->parents, k->order, k->time_us, k->author, k->extra, digest);
        if (!wrong && !v->leaves_unsure && memcmp(digest, k->history_digest, 32) != 0)
            wrong = "the history digest is not that of the entries";
        if (v->leaves_unsure || wrong) { /* go on from what it says, so that one fault is one finding */
            memcpy(v->history_digest, k->history_digest, 32);
            mf_tree_init(&v->log, MF_LOG_FANOUT);
            if (f)
                mf_tree_from_frontier(&v->log, k->number, &f->frontier[0][0]);
            else
                v->leaves_unsure = true;
            mf_tree_add(&v->log, k->history_digest);
            v->leaves_unsure = f == NULL;
        }
        v->entries = k->first_entry + k->entry_count;
        v->number = k->number;
        v->order = k->order;
        v->any_commit = true;
        v->result->commits++;
        expect(v, MF_ITEM_COMMIT, k->number, v->entries);
    } else if (v->any_commit && !v->leaves_unsure && memcmp(v->history_digest, k->history_digest, 32) != 0) {
        wrong = "the history digest is not that of the entries";
    }
    if (!wrong && k->group_length != s->offset - g->first_segment)
        wrong = "the commit's group has another length";
    if (wrong)
        find(v, MEMFILE_E_DAMAGED, s->offset, mf_segment_total(s), k->first_entry, 0, wrong);
    return MEMFILE_OK;
}

/* All segments of a group that stand before its commit. */
static int check_members(verify *v, const mf_walk_group *g, mf_stored_chain *chain, uint64_t *next_entry)
{
    uint64_t end = g->commit_offset ? g->commit_offset : g->end;
    uint32_t gap = 0;
    int rc = MEMFILE_OK;
    for (uint64_t at = g->first_segment; at < end && rc == MEMFILE_OK;) {
        mf_segment s;
        const uint8_t *raw;
        uint8_t body[32];
        if (gap < g->gap_count && at == g->gaps[gap].start) {
            find(v, MEMFILE_E_DAMAGED, at, g->gaps[gap].end - at, 0, 0, "no sound segment stands here");
            v->leaves_unsure = true;
            at = g->gaps[gap++].end;
            continue;
        }
        rc = read_segment(v, at, &s, &raw);
        if (rc != MEMFILE_OK && about_file(rc)) {
            find_error(v, v->err, mf_segment_total(&s));
            v->leaves_unsure |= s.type == MF_TYPE_RECORDS || s.type == MF_TYPE_HISTORY;
            at += mf_segment_total(&s);
            rc = MEMFILE_OK;
            continue;
        }
        if (rc != MEMFILE_OK)
            return rc;
        v->result->segments++;
        if (!same_tag(v, &s, g))
            find(v, MEMFILE_E_DAMAGED, at, mf_segment_total(&s), 0, 0, "the segment does not belong behind the commit before it");
        if (s.type == MF_TYPE_VOID && at != g->first_segment)
            find(v, MEMFILE_E_DAMAGED, at, mf_segment_total(&s), 0, 0, "a void is declared where none can be");
        if (!v->options->quick) {
            mf_digest(body, MF_LABEL_BYTES, raw + MF_SEGMENT_HEADER_LENGTH, s.stored_length);
            mf_chain_segment(chain, raw, body);
            rc = check_segment(v, &s, raw, next_entry);
            if (rc != MEMFILE_OK && about_file(rc)) {
                find_error(v, v->err, mf_segment_total(&s));
                rc = MEMFILE_OK;
            }
        }
        at += mf_segment_total(&s);
        progress(v, at);
    }
    return rc;
}

/* Head of a group's commit, kept while the group is checked. */
typedef struct commit_at_hand {
    uint8_t *raw;
    mf_segment segment;
    mf_commit commit;
    mf_footer footer;
    bool sound, full;
} commit_at_hand;

static int read_commit(verify *v, const mf_walk_group *g, commit_at_hand *c)
{
    const uint8_t *raw;
    mf_slice head, stored;
    memset(c, 0, sizeof *c);
    if (!g->commit_offset)
        return MEMFILE_OK;
    int rc = read_segment(v, g->commit_offset, &c->segment, &raw);
    if (rc == MEMFILE_OK) {
        size_t total = (size_t)mf_segment_total(&c->segment);
        c->raw = (uint8_t *)mf_alloc(&v->mem, total);
        if (!c->raw)
            return mf_fail_memory(v->err);
        memcpy(c->raw, raw, total);
        rc = mf_segment_split(&c->segment, c->raw, &head, &stored, v->err);
    }
    if (rc == MEMFILE_OK && c->segment.type != MF_TYPE_COMMIT)
        rc = mf_fail(v->err, MEMFILE_E_DAMAGED, g->commit_offset, "the segment at offset %llu is no commit, but flagged so",
                     (unsigned long long)g->commit_offset);
    if (rc == MEMFILE_OK)
        rc = mf_commit_decode(&c->commit, head, &c->footer, &v->mem, g->commit_offset, v->err);
    c->sound = rc == MEMFILE_OK;
    c->full = c->sound && (c->commit.flags & MF_COMMIT_FULL);
    if (rc != MEMFILE_OK && about_file(rc)) {
        find_error(v, v->err, mf_segment_total(&c->segment));
        v->leaves_unsure = true;
        rc = MEMFILE_OK;
    }
    return rc;
}

static int check_group(verify *v, const mf_walk_group *g)
{
    commit_at_hand c;
    mf_stored_chain chain;
    uint8_t prefix[32], body[32];
    int rc = read_commit(v, g, &c);
    uint64_t next_entry = c.sound && (c.commit.flags & MF_COMMIT_LOGICAL) ? c.commit.first_entry : v->entries;
    if (!c.sound || !(c.commit.flags & MF_COMMIT_LOGICAL))
        next_entry = v->folding || v->salts.count ? 0 : v->entries;
    if (rc == MEMFILE_OK && c.sound && (c.commit.flags & MF_COMMIT_LOGICAL)) {
        v->salts.count = 0; /* folded commits come before all others */
        v->salt_left = c.commit.entry_count;
        v->salt_index = c.commit.salt_index;
        if (c.commit.flags & MF_COMMIT_SALT)
            rc = mf_history_cursor_set_root(&v->salts, c.commit.salt_root) == MEMFILE_OK ? MEMFILE_OK
                                                                                       : mf_fail_memory(v->err);
    }
    mf_chain_begin(&chain, v->stored_digest);
    bool alone = g->commit_offset == g->start;
    if (rc == MEMFILE_OK && g->first_segment > g->start)
        rc = check_void(v, g, &chain);
    if (rc == MEMFILE_OK && !alone)
        rc = check_members(v, g, &chain, &next_entry);
    if (alone)
        memcpy(prefix, v->stored_digest, 32);
    else
        mf_chain_end(&chain, prefix);
    if (rc == MEMFILE_OK && c.sound) {
        v->result->segments++;
        if (!same_tag(v, &c.segment, g))
            find(v, MEMFILE_E_DAMAGED, g->commit_offset, mf_segment_total(&c.segment), 0, 0,
                 "the commit does not belong behind the one before it");
        if (!v->options->quick) {
            mf_stored_chain last;
            mf_digest(body, MF_LABEL_BYTES, c.raw + MF_SEGMENT_HEADER_LENGTH, c.segment.stored_length);
            mf_chain_begin(&last, prefix);
            mf_chain_segment(&last, c.raw, body);
            mf_chain_end(&last, v->stored_digest);
            rc = end_object(v);
            if (rc == MEMFILE_OK && (c.commit.flags & MF_COMMIT_INLINE))
                rc = give_block(v, &c.segment, c.raw, &next_entry);
            if (rc == MEMFILE_OK)
                rc = drain(v);
            if (rc == MEMFILE_OK && v->folding && !v->any_commit)
                rc = fold(v);
            if (rc == MEMFILE_OK && v->folding)
                find(v, MEMFILE_E_DAMAGED, g->commit_offset, 0, 0, 0, "folded commits name more entries than there are");
            v->folding = false;
            if (rc == MEMFILE_OK && (c.commit.flags & MF_COMMIT_LOGICAL) &&
                next_entry != c.commit.first_entry + c.commit.entry_count)
                find(v, MEMFILE_E_DAMAGED, g->commit_offset, 0, c.commit.first_entry, c.commit.entry_count,
                     "the commit names another number of entries than its blocks have");
            if (rc == MEMFILE_OK)
                rc = check_commit(v, g, &c.segment, &c.commit, c.full ? &c.footer : NULL, prefix);
        } else {
            v->entries = c.commit.first_entry + c.commit.entry_count;
            v->result->entries = v->entries;
            v->result->commits = c.commit.number + 1;
        }
    } else if (rc == MEMFILE_OK && !v->options->quick) {
        /* Without the commit the chain cannot go on; the next commit says where it was. */
        rc = drain(v);
        v->leaves_unsure = true;
    }
    progress(v, g->end);
    mf_footer_free(&c.footer, &v->mem);
    mf_free(&v->mem, c.raw);
    return rc;
}

/* ---- the index of the newest commit against the sums */

static int expect_fates(verify *v, unsigned kind)
{
    /* All items of the kind from all runs in order of hash and entry: those with
     * the same hash stand together. */
    const mf_footer *f = &v->store.state->footer;
    mf_run_iterator *its = (mf_run_iterator *)mf_alloc_zero(&v->mem, (f->run_count + 1) * sizeof *its);
    mf_item *heads = (mf_item *)mf_alloc_zero(&v->mem, (f->run_count + 1) * sizeof *heads);
    bool *alive = (bool *)mf_alloc_zero(&v->mem, f->run_count + 1);
    mf_pair *same = NULL;
    size_t same_count = 0, same_capacity = 0;
    int rc = its && heads && alive ? MEMFILE_OK : mf_fail_memory(v->err);
    for (uint32_t r = 0; r < f->run_count && rc == MEMFILE_OK; r++) {
        mf_item from = {(uint8_t)kind, 0, 0};
        rc = mf_run_seek(&its[r], &v->store, &f->runs[r], &from, v->err);
        if (rc == MEMFILE_OK)
            rc = mf_run_next(&its[r], &heads[r], v->err);
        alive[r] = rc == MEMFILE_OK && heads[r].kind == kind;
        if (rc == MEMFILE_DONE)
            rc = MEMFILE_OK;
    }
    while (rc == MEMFILE_OK) {
        uint32_t best = UINT32_MAX;
        for (uint32_t r = 0; r < f->run_count; r++)
            if (alive[r] && (best == UINT32_MAX || mf_item_compare(&heads[r], &heads[best]) < 0))
                best = r;
        if (best == UINT32_MAX)
            break;
        mf_item item = heads[best];
        rc = mf_run_next(&its[best], &heads[best], v->err);
        alive[best] = rc == MEMFILE_OK && heads[best].kind == kind;
        if (rc == MEMFILE_DONE)
            rc = MEMFILE_OK;
        if (same_count > 0 && same[0].key != item.key)
            same_count = 0;
        void *grown = same;
        if (rc == MEMFILE_OK && mf_grow(&v->mem, &grown, &same_capacity, same_count + 1, sizeof *same) != 0)
            rc = mf_fail_memory(v->err);
        same = (mf_pair *)grown;
        for (size_t i = same_count; rc == MEMFILE_OK && i-- > 0;) {
            mf_object *a = NULL, *b = NULL;
            uint32_t ra, rb;
            bool equal = false;
            rc = mf_store_entry(&v->store, same[i].value, &a, &ra, v->err);
            if (rc == MEMFILE_OK)
                rc = mf_store_entry(&v->store, item.value, &b, &rb, v->err);
            if (rc == MEMFILE_OK && kind == MF_ITEM_ID) {
                mf_id x = mf_block_id(&a->block, ra), y = mf_block_id(&b->block, rb);
                equal = x.data && y.data && mf_id_equal(x, y);
            } else if (rc == MEMFILE_OK) {
                mf_slice sa[MF_SCOPE_MAX], sb[MF_SCOPE_MAX];
                uint32_t na = mf_block_scope(&a->block, ra, sa), nb = mf_block_scope(&b->block, rb, sb);
                equal = na == nb && mf_slice_equal(mf_block_key(&a->block, ra), mf_block_key(&b->block, rb));
                for (uint32_t k = 0; equal && k < na; k++)
                    equal = mf_slice_equal(sa[k], sb[k]);
                /* an id that supersedes by its key too is one item */
                mf_id x = mf_block_id(&a->block, ra), y = mf_block_id(&b->block, rb);
                if (equal && x.data && y.data && mf_id_equal(x, y)) {
                    mf_object *o;
                    uint32_t row;
                    int found = mf_store_id(&v->store, y, item.value, &o, &row, v->err);
                    if (found == MEMFILE_OK) {
                        bool by_id = o->first_entry + row == same[i].value;
                        mf_store_release(&v->store, o);
                        if (by_id) {
                            mf_store_release(&v->store, a);
                            mf_store_release(&v->store, b);
                            break;
                        }
                    }
                }
            }
            mf_store_release(&v->store, a);
            mf_store_release(&v->store, b);
            if (rc == MEMFILE_OK && equal) {
                expect(v, MF_ITEM_FATE, same[i].value, item.value);
                break;
            }
        }
        if (rc == MEMFILE_OK)
            same[same_count++] = (mf_pair){item.key, item.value};
    }
    for (uint32_t r = 0; its && r < f->run_count; r++)
        mf_run_iterator_close(&its[r]);
    mf_free(&v->mem, its);
    mf_free(&v->mem, heads);
    mf_free(&v->mem, alive);
    mf_free(&v->mem, same);
    return rc;
}

/* Items of the tail are not in runs: take them from what was expected. */
static int subtract_tail(verify *v)
{
    int rc = mf_store_tail_items(&v->store, v->err);
    const mf_state *s = v->store.state;
    for (unsigned kind = 1; rc == MEMFILE_OK && kind <= MF_ITEM_COMMIT; kind++)
        for (size_t i = 0; i < v->store.tail_items.kind[kind].count; i++)
            add_sum(&v->found[kind], v->seed, kind, v->store.tail_items.kind[kind].pairs[i].key,
                    v->store.tail_items.kind[kind].pairs[i].value);
    for (uint32_t i = 0; rc == MEMFILE_OK && i < s->tail_count; i++) {
        add_sum(&v->found[MF_ITEM_BLOCK], v->seed, MF_ITEM_BLOCK, s->tail[i].first_entry, s->tail[i].offset / 8);
        add_sum(&v->found[MF_ITEM_COMMIT], v->seed, MF_ITEM_COMMIT, s->tail[i].number,
                s->tail[i].first_entry + s->tail[i].entry_count);
    }
    if (rc == MEMFILE_OK && s->footer.indexed_commits == 0)
        add_sum(&v->found[MF_ITEM_COMMIT], v->seed, MF_ITEM_COMMIT, 0, 0); /* the genesis */
    return rc;
}

static bool entry_kind(unsigned kind)
{
    return kind >= MF_ITEM_ID && kind <= MF_ITEM_FATE;
}

static int sum_runs(verify *v)
{
    const mf_footer *f = &v->store.state->footer;
    const mf_item lowest = {0, 0, 0};
    int rc = MEMFILE_OK;
    for (uint32_t r = 0; r < f->run_count && rc == MEMFILE_OK; r++) {
        const mf_run *run = &f->runs[r];
        mf_run_iterator it;
        mf_item item;
        uint64_t strays = 0;
        rc = mf_run_seek(&it, &v->store, run, &lowest, v->err);
        while (rc == MEMFILE_OK && (rc = mf_run_next(&it, &item, v->err)) == MEMFILE_OK) {
            if (item.kind > MF_ITEM_COMMIT || item.kind == 0)
                continue; /* a kind that a newer version knows */
            uint64_t entry = item.kind == MF_ITEM_BLOCK ? item.key : item.value;
            if ((entry_kind(item.kind) || item.kind == MF_ITEM_BLOCK) &&
                (entry < run->first_entry || entry - run->first_entry >= run->entry_count))
                strays++;
            add_sum(&v->found[item.kind], v->seed, item.kind, item.key, item.value);
        }
        mf_run_iterator_close(&it);
        rc = rc == MEMFILE_DONE ? MEMFILE_OK : rc;
        if (strays)
            find(v, MEMFILE_E_DAMAGED, run->root_offset, 0, run->first_entry, run->entry_count,
                 "an index run has items of entries that it does not cover");
    }
    return rc;
}

static int compare_objects(const void *a, const void *b)
{
    return memcmp(((const object *)a)->root, ((const object *)b)->root, 32);
}

static void check_objects(verify *v)
{
    if (v->object_count)
        qsort(v->objects, v->object_count, sizeof *v->objects, compare_objects);
    for (size_t i = 0; i < v->named_count; i++) {
        const object *o = v->object_count ? (const object *)bsearch(&v->named[i], v->objects, v->object_count,
                                                                   sizeof *v->objects, compare_objects)
                                          : NULL;
        if (!o || o->length != v->named[i].length)
            find(v, MEMFILE_E_DAMAGED, MF_NOWHERE, 0, 0, 0, "an entry names a content that is not in the file");
    }
}

static int check_index(verify *v)
{
    static const char *const names[] = {"",     "BLOCK",       "ID",   "KEY",    "TIME", "FACET",
                                        "IDEMPOTENCY", "FATE", "OBJECT", "CHUNK", "COMMIT"};
    int rc = subtract_tail(v);
    if (rc == MEMFILE_OK)
        rc = sum_runs(v);
    if (rc == MEMFILE_OK)
        rc = expect_fates(v, MF_ITEM_ID);
    if (rc == MEMFILE_OK)
        rc = expect_fates(v, MF_ITEM_KEY);
    if (rc != MEMFILE_OK) {
        if (about_file(rc)) {
            find_error(v, v->err, 0);
            rc = MEMFILE_OK;
        }
        return rc;
    }
    for (unsigned kind = 1; kind <= MF_ITEM_COMMIT; kind++) {
        char text[160];
        if (v->expected[kind].count == v->found[kind].count && v->expected[kind].total == v->found[kind].total)
            continue;
        snprintf(text, sizeof text, "the index does not agree with the entries: kind %s has %llu items, %llu are due",
                 names[kind], (unsigned long long)v->found[kind].count, (unsigned long long)v->expected[kind].count);
        find(v, MEMFILE_E_DAMAGED, v->store.state->footer_offset, 0, 0, 0, text);
    }
    const mf_footer *f = &v->store.state->footer;
    for (uint32_t i = 0; i < f->dictionary_count; i++)
        for (int copy = 0; copy < 2; copy++) {
            mf_segment s;
            uint8_t *raw;
            rc = mf_store_segment(&v->store, f->dictionaries[i].offset[copy], 0, &s, &raw, v->err);
            if (rc == MEMFILE_OK && s.type != MF_TYPE_DICTIONARY)
                rc = mf_fail(v->err, MEMFILE_E_DAMAGED, f->dictionaries[i].offset[copy], "a footer names no dictionary here");
            if (rc == MEMFILE_OK || about_file(rc)) {
                if (rc != MEMFILE_OK)
                    find_error(v, v->err, 0);
                rc = MEMFILE_OK;
            } else {
                return rc;
            }
            mf_free(&v->mem, raw);
        }
    return MEMFILE_OK;
}

/* ---- all of it */

static int make_workers(verify *v)
{
    v->threads = v->options->threads < 1 ? 1 : v->options->threads > 64 ? 64 : v->options->threads;
    v->job_count = v->threads == 1 ? 2 : v->threads * 4 + 1;
    v->workers = (verify_worker *)mf_alloc_zero(&v->mem, v->threads * sizeof *v->workers);
    v->free_jobs = (block_job **)mf_alloc_zero(&v->mem, v->job_count * sizeof *v->free_jobs);
    if (!v->workers || !v->free_jobs)
        return mf_fail_memory(v->err);
    for (unsigned i = 0; i < v->threads; i++) {
        verify_worker *w = &v->workers[i];
        mf_arena_init(&w->arena, &v->mem);
        mf_buffer_init(&w->core, &v->mem);
        mf_buffer_init(&w->content, &v->mem);
        mf_items_init(&w->items, &v->mem);
        w->record = (mf_record *)mf_alloc(&v->mem, sizeof *w->record);
        if (!w->record)
            return mf_fail_memory(v->err);
    }
    for (unsigned i = 0; i < v->job_count; i++) {
        block_job *job = (block_job *)mf_alloc_zero(&v->mem, sizeof *job);
        if (!job)
            return mf_fail_memory(v->err);
        v->free_jobs[v->free_count++] = job;
        job->leaves = (uint8_t(*)[32])mf_alloc_zero(&v->mem, MF_BLOCK_ROWS_MAX * 32);
        job->salts = (uint8_t(*)[MF_SALT_LENGTH])mf_alloc_zero(&v->mem, MF_BLOCK_ROWS_MAX * MF_SALT_LENGTH);
        if (!job->leaves || !job->salts)
            return mf_fail_memory(v->err);
    }
    return mf_pool_new(&v->mem, v->threads, run_block, v, &v->pool) == 0 ? MEMFILE_OK : mf_fail_memory(v->err);
}

static void free_all(verify *v)
{
    while (v->pool && v->free_count < v->job_count)
        v->free_jobs[v->free_count++] = (block_job *)mf_pool_take(v->pool);
    mf_pool_free(v->pool);
    for (unsigned i = 0; v->free_jobs && i < v->free_count; i++) {
        block_job *job = v->free_jobs[i];
        if (!job)
            continue;
        mf_free(&v->mem, job->raw);
        mf_free(&v->mem, job->leaves);
        mf_free(&v->mem, job->salts);
        mf_free(&v->mem, job->contents);
        mf_free(&v->mem, job);
    }
    for (unsigned i = 0; v->workers && i < v->threads; i++) {
        verify_worker *w = &v->workers[i];
        if (!w->arena.mem)
            continue;
        mf_compressor_free(&w->compressor);
        mf_arena_free(&w->arena);
        mf_buffer_free(&w->core);
        mf_buffer_free(&w->content);
        mf_items_free(&w->items);
        mf_free(&v->mem, w->record);
    }
    mf_free(&v->mem, v->workers);
    mf_free(&v->mem, v->free_jobs);
    mf_free(&v->mem, v->objects);
    mf_free(&v->mem, v->named);
    mf_history_cursor_free(&v->salts);
    mf_history_cursor_free(&v->commits);
    mf_walk_close(&v->walk);
    if (v->store.io)
        mf_store_close(&v->store);
}

static int check_file(verify *v, uint64_t *end)
{
    memfile_error why;
    uint64_t newest = 0;
    bool damage = false;
    int rc = mf_store_load(&v->store, &why);
    v->loaded = rc == MEMFILE_OK;
    uint64_t size = v->store.committed.file_size;
    v->result->file_bytes = size;
    *end = v->store.committed.end;
    if (!v->loaded) {
        if (!about_file(rc)) {
            *v->err = why;
            return rc;
        }
        find_error(v, &why, 0);
        uint64_t commit_end = size;
        if (size >= MF_HEADER_LENGTH + MF_SEGMENT_HEADER_LENGTH &&
            mf_tail_find(&v->store, size, &newest, &damage, &why) == MEMFILE_OK)
            mf_tail_counts(&v->store, newest, size, &commit_end, &why);
        *end = commit_end;
        v->store.readable_end = *end;
    } else {
        damage = v->store.committed.unfinished_is_damage;
    }
    v->result->unfinished_bytes = size - *end;
    if (damage)
        find(v, MEMFILE_E_DAMAGED, *end, size - *end, 0, 0,
             "the bytes behind the newest sound commit look like a commit that was damaged");
    else if (size > *end)
        find(v, MEMFILE_E_TRUNCATED, *end, size - *end, 0, 0,
             "unfinished bytes behind the newest commit: an append that was interrupted, or is going on");
    rc = mf_walk_open(&v->walk, &v->store, *end, v->err);
    if (rc == MEMFILE_OK)
        rc = make_workers(v);
    mf_stored_begin(v->stored_digest, v->store.header_raw);
    mf_tree_init(&v->log, MF_LOG_FANOUT);
    mf_tree_init(&v->leaves, MF_ENTRIES_FANOUT);
    mf_history_cursor_init(&v->salts, &v->store);
    mf_history_cursor_init(&v->commits, &v->store);
    mf_system_random(&v->seed, sizeof v->seed);
    while (rc == MEMFILE_OK) {
        mf_walk_group g;
        rc = mf_walk_group_next(&v->walk, &g, v->err);
        if (rc == MEMFILE_OK)
            rc = check_group(v, &g);
    }
    rc = rc == MEMFILE_DONE ? MEMFILE_OK : rc;
    if (rc == MEMFILE_OK && !v->options->quick) {
        check_objects(v);
        if (v->loaded && v->result->findings == (size > *end))
            rc = check_index(v);
    }
    return rc;
}

int mf_verify_io(mf_io *io, const memfile_verify_options *options, memfile_verify_result *result, memfile_error *err)
{
    verify v;
    uint64_t end = 0;
    memset(&v, 0, sizeof v);
    v.options = options;
    v.result = result;
    v.err = err;
    v.mem = mf_mem_default;
    memset(v.result, 0, sizeof *v.result);
    int rc = mf_store_begin(&v.store, io, &v.mem, 4u << 20, v.err);
    if (rc != MEMFILE_OK)
        return rc;
    rc = check_file(&v, &end);
    if (rc == MEMFILE_OK) {
        progress(&v, end);
        if (!options->quick) {
            memcpy(result->stored_digest, v.stored_digest, 32);
            memcpy(result->history_digest, v.history_digest, 32);
        }
        bool only_unfinished =
            result->findings == 1 && result->unfinished_bytes > 0 && !v.store.committed.unfinished_is_damage && v.loaded;
        if (only_unfinished)
            rc = mf_fail(err, MEMFILE_E_TRUNCATED, end,
                         "an unfinished append of %llu bytes stands at the end; all before it is sound",
                         (unsigned long long)result->unfinished_bytes);
        else if (result->findings > 0)
            rc = mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the file is damaged: %llu findings",
                         (unsigned long long)result->findings);
    }
    free_all(&v);
    return rc;
}

int memfile_verify(const char *path, const memfile_verify_options *options, memfile_verify_result *result,
                   memfile_error *error)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result unused_result;
    memfile_error unused_error;
    mf_io *io;
    if (!error)
        error = &unused_error;
    if (!result)
        result = &unused_result;
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    memset(result, 0, sizeof *result);
    mf_error_clear(error);
    if (!mf_digest_start())
        return mf_fail(error, MEMFILE_E_SYSTEM, MF_NOWHERE, "libsodium could not be started");
    int rc = mf_io_file_open(&mf_mem_default, path, MF_IO_READ, &io, error);
    return rc == MEMFILE_OK ? mf_verify_io(io, &o, result, error) : rc;
}
