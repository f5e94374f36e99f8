/* verify_block: blocks of entries: decoded, every core checked and hashed, on threads;
 * then, in the file's order, counted and folded into digests. SPEC 6, 7, 8. */
#include "verify.h"

#include <stdlib.h>

#include "checksum.h"

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool repeats(uint64_t *hashes, size_t count)
{
    if (count > 1)
        qsort(hashes, count, sizeof *hashes, compare_hashes);
    for (size_t i = 1; i < count; i++)
        if (hashes[i] == hashes[i - 1])
            return true;
    return false;
}

/* SPEC 6.2: no text stands twice in Names, no scope twice in Scopes. By their checksums: readers
 * do not depend on it. 0, -1 or, out of memory, -2. */
static int check_tables(const mf_block *b, mf_arena *arena)
{
    size_t most = b->name_count > b->scope_count ? b->name_count : b->scope_count;
    uint64_t *hashes = (uint64_t *)mf_arena_alloc(arena, (most + 1) * sizeof *hashes);
    if (!hashes)
        return -2;
    for (uint32_t i = 0; i < b->name_count; i++)
        hashes[i] = mf_checksum(b->names[i].data, b->names[i].length);
    if (repeats(hashes, b->name_count))
        return -1;
    for (uint32_t i = 0; i < b->scope_count; i++) {
        uint64_t names[MF_SCOPE_MAX + 1];
        uint32_t n = 0;
        for (uint32_t at = i ? b->scope_start[i - 1] : 0; at < b->scope_start[i] && n < MF_SCOPE_MAX; at++)
            names[n++] = mf_ints_at(&b->scope_names, at);
        hashes[i] = mf_checksum(names, n * sizeof *names);
    }
    return repeats(hashes, b->scope_count) ? -1 : 0;
}

static int check_vector(const mf_record *r, mf_slice part)
{
    uint8_t hash[32];
    if (!mf_record_fits_vector(r, part))
        return -1;
    if (part.length == 0)
        return 0;
    mf_digest(hash, MF_LABEL_PART, part.data, part.length);
    return memcmp(hash, r->embedding_hash, 32) == 0 ? 0 : -1;
}

static int note_named(mf_verify_job *job, const mf_record *r, uint64_t entry, const mf_mem *mem)
{
    void *grown = job->named;
    if (mf_grow(mem, &grown, &job->named_capacity, job->named_count + 1, sizeof *job->named) != 0)
        return mf_fail_memory(&job->error);
    job->named = (mf_named *)grown;
    mf_named *n = &job->named[job->named_count++];
    n->length = r->content_length;
    n->text = r->content_form == MF_CONTENT_TEXT;
    n->entry = entry;
    memcpy(n->root, r->content_root, 32);
    return MEMFILE_OK;
}

static int check_row(mf_verify_job *job, mf_verify_worker *w, mf_block *block, uint32_t row)
{
    const uint8_t *erased = mf_block_erased(block, row);
    if (erased) {
        memcpy(job->leaves[row], erased, 32);
        return MEMFILE_OK;
    }
    if (job->missing_salts[row / 8] >> row % 8 & 1)
        job->have_salts = false;
    mf_buffer_clear(&w->core);
    mf_put_bytes(&w->core, job->salts[row], MF_SALT_LENGTH);
    int rc = mf_block_core(block, row, &w->core);
    if (rc != 0)
        return rc == -2 ? mf_fail_memory(&job->error)
                        : mf_fail(&job->error, MEMFILE_E_DAMAGED, job->segment.offset,
                                  "row %u of the block at offset %llu does not give an entry", row,
                                  (unsigned long long)job->segment.offset);
    job->core_bytes += w->core.length - MF_SALT_LENGTH;
    if (job->core_bytes > MF_BLOCK_CORES_MAX)
        return mf_fail(&job->error, MEMFILE_E_DAMAGED, job->segment.offset,
                       "the block at offset %llu stands for more than %u bytes of entries",
                       (unsigned long long)job->segment.offset, MF_BLOCK_CORES_MAX);
    rc = mf_record_parse(w->record,
                         mf_slice_of(w->core.data + MF_SALT_LENGTH, w->core.length - MF_SALT_LENGTH),
                         MEMFILE_E_DAMAGED, job->segment.offset, &job->error);
    if (rc != MEMFILE_OK)
        return rc;
    if ((w->record->mask ^ mf_block_mask(block, row)) & (MF_COLUMN_REST - 1))
        return mf_fail(&job->error, MEMFILE_E_DAMAGED, job->segment.offset,
                       "row %u of the block at offset %llu has a field in its rest that belongs in a column", row,
                       (unsigned long long)job->segment.offset);
    if (check_vector(w->record, mf_block_vector(block, row)) != 0)
        return mf_fail(&job->error, MEMFILE_E_DAMAGED, job->segment.offset,
                       "the vector in row %u of the block at offset %llu is not the one the entry names", row,
                       (unsigned long long)job->segment.offset);
    mf_digest(job->leaves[row], MF_LABEL_LEAF, w->core.data, w->core.length);
    mf_items_add_entry(&w->items, w->record, job->first_entry + row, job->tag);
    if (w->record->op == MF_OP_FORGET && mf_numbers_add(&job->forgets, job->first_entry + row, w->core.mem) != 0)
        return mf_fail_memory(&job->error);
    return w->record->has_content ? note_named(job, w->record, job->first_entry + row, w->core.mem) : MEMFILE_OK;
}

/* Head of a block: its columns, and the entry it begins with. */
static int block_columns(const mf_segment *s, const uint8_t *raw, const mf_mem *mem, uint64_t *first, mf_slice *columns,
                         mf_slice *stored, memfile_error *err)
{
    mf_slice head;
    int rc = mf_segment_split(s, raw, &head, stored, err);
    if (rc == MEMFILE_OK && s->type == MF_TYPE_COMMIT) {
        mf_commit k;
        rc = mf_commit_decode(&k, head, NULL, mem, s->offset, err);
        *first = k.first_entry;
        *columns = k.columns;
        mf_cursor c = mf_cursor_of(columns->data, columns->length);
        if (rc == MEMFILE_OK && mf_get_varint(&c) != k.entry_count)
            rc = mf_fail(err, MEMFILE_E_DAMAGED, s->offset,
                         "the block of the commit at offset %llu has another number of rows than it names",
                         (unsigned long long)s->offset);
    } else if (rc == MEMFILE_OK) {
        mf_cursor c = mf_cursor_of(head.data, head.length);
        *first = mf_get_varint_max(&c, MF_ENTRIES_MAX);
        *columns = mf_slice_of(c.at, mf_cursor_left(&c));
        if (c.failed)
            rc = mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "the block of entries at offset %llu does not decode",
                         (unsigned long long)s->offset);
    }
    return rc;
}

/* Columns of the block in the checked segment of a job. */
static int open_block(mf_verify_job *job, mf_verify_worker *w, mf_block *block)
{
    mf_slice stored, columns = {0};
    mf_segment *s = &job->segment;
    uint64_t first = 0;
    int rc = block_columns(s, job->raw, w->core.mem, &first, &columns, &stored, &job->error);
    if (rc != MEMFILE_OK)
        return rc;
    mf_arena_reset(&w->arena);
    int parsed = mf_block_parse(block, columns, &w->arena);
    if (parsed == -2)
        return mf_fail_memory(&job->error);
    if (parsed == -3)
        return mf_fail(&job->error, MEMFILE_E_NEWER, s->offset, "made by a newer version: block at offset %llu",
                       (unsigned long long)s->offset);
    if (parsed != 0 || block->content_length != s->raw_length)
        return mf_fail(&job->error, MEMFILE_E_DAMAGED, s->offset, "the block of entries at offset %llu does not decode",
                       (unsigned long long)s->offset);
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
    mf_verify *v = (mf_verify *)context;
    mf_verify_worker *w = &v->workers[worker];
    mf_verify_job *job = (mf_verify_job *)argument;
    mf_block block;
    job->repeats = false;
    memset(job->sums, 0, sizeof job->sums);
    job->named_count = 0;
    job->forgets.count = 0;
    job->core_bytes = 0;
    mf_items_clear(&w->items);
    job->rc = open_block(job, w, &block);
    for (uint32_t row = 0; job->rc == MEMFILE_OK && row < block.rows; row++)
        job->rc = check_row(job, w, &block, row);
    int tables = job->rc == MEMFILE_OK ? check_tables(&block, &w->arena) : 0;
    job->repeats = tables == -1;
    if (job->rc == MEMFILE_OK && (w->items.failed || tables == -2))
        job->rc = mf_fail_memory(&job->error);
    for (unsigned kind = 1; kind <= MF_ITEM_LAST; kind++)
        for (size_t i = 0; i < w->items.kind[kind].count; i++)
            mf_verify_add_sum(&job->sums[kind], job->seed, kind, w->items.kind[kind].pairs[i].key,
                              w->items.kind[kind].pairs[i].value);
}

/* ---- digests */

int mf_verify_end_commit(mf_verify *v, uint64_t number, const mf_history_row *row)
{
    return mf_fold_end(&v->fold, number, row) == 0 ? MEMFILE_OK : mf_fail_memory(v->err);
}

int mf_verify_fold(mf_verify *v)
{
    while (v->folding && v->leaf_left == 0) {
        mf_history_row *row;
        int rc = v->any_commit ? mf_verify_end_commit(v, v->leaf_number, &v->leaf_row) : MEMFILE_OK;
        if (rc == MEMFILE_OK && v->any_commit) {
            bool known = v->history_known && !(v->listener && v->listener->header_made);
            rc = mf_verify_signed(v, v->commits.offsets[v->commits.next - 1], v->leaf_number, v->folded_entries,
                                  known ? v->fold.digest : NULL, v->leaf_row.signatures, known);
        }
        if (rc == MEMFILE_OK)
            rc = mf_history_cursor_next(&v->commits, &row, &v->leaf_number, v->err);
        if (rc == MEMFILE_DONE) {
            v->folding = false;
            v->number = v->leaf_number;
            mf_history_cursor_root(&v->commits, v->salt_root);
            v->salt_root_known = true;
            break;
        }
        if (rc != MEMFILE_OK)
            return rc;
        const mf_history *h = &v->commits.history;
        if (v->leaf_number == h->first_number && v->leaf_number == (v->any_commit ? v->number + 1 : 0) &&
            h->first_entry != v->folded_entries)
            mf_verify_find(v, MEMFILE_E_DAMAGED, v->commits.offsets[v->commits.next - 1], 0, 0, 0,
                           "the folded commits do not begin with the entry that is due");
        if (v->any_commit && row->order <= v->order)
            mf_verify_find(v, MEMFILE_E_DAMAGED, v->commits.offsets[v->commits.next - 1], 0, 0, 0,
                           "the order of commits in the history does not rise");
        if (!mf_commit_text_is_sound(row->author, row->extra))
            mf_verify_find(v, MEMFILE_E_DAMAGED, v->commits.offsets[v->commits.next - 1], 0, 0, 0,
                           "a folded commit's author or its further pairs are not as they must be");
        v->any_commit = true;
        v->leaf_row = *row;
        v->leaf_left = row->count;
        v->order = row->order;
        v->folded_entries += row->count;
        v->result->commits++;
        mf_verify_expect(v, MF_ITEM_COMMIT, v->leaf_number, v->folded_entries);
    }
    return MEMFILE_OK;
}

int mf_verify_miss_leaves(mf_verify *v, uint64_t count)
{
    int rc = MEMFILE_OK;
    if (count > 0)
        v->history_known = false;
    while (v->folding && count > 0 && rc == MEMFILE_OK) {
        uint64_t n = count < v->leaf_left ? count : v->leaf_left;
        v->leaf_left -= n;
        count -= n;
        rc = mf_verify_fold(v);
    }
    return rc;
}

/* ---- the way through the pool */

static int take_named(mf_verify *v, const mf_verify_job *job)
{
    void *grown = v->named;
    if (mf_grow(&v->mem, &grown, &v->named_capacity, v->named_count + job->named_count, sizeof *v->named) != 0)
        return mf_fail_memory(v->err);
    v->named = (mf_named *)grown;
    if (job->named_count)
        memcpy(v->named + v->named_count, job->named, job->named_count * sizeof *job->named);
    v->named_count += job->named_count;
    return MEMFILE_OK;
}

static int take_sound(mf_verify *v, const mf_verify_job *job)
{
    int rc = MEMFILE_OK;
    for (uint32_t row = 0; row < job->rows && rc == MEMFILE_OK; row++) {
        if (v->listener && v->listener->leaf)
            v->listener->leaf(v->listener->context, job->first_entry + row, job->leaves[row],
                              job->have_salts && !(job->missing_salts[row / 8] >> row % 8 & 1) ? job->salts[row] : NULL);
        mf_fold_leaf(&v->fold, job->leaves[row]);
        if (v->folding && v->leaf_left > 0 && --v->leaf_left == 0)
            rc = mf_verify_fold(v);
    }
    for (unsigned kind = 1; kind <= MF_ITEM_LAST; kind++) {
        v->expected[kind].count += job->sums[kind].count;
        v->expected[kind].total += job->sums[kind].total;
    }
    v->result->entries += job->rows;
    if (job->repeats)
        mf_verify_find(v, MEMFILE_E_DAMAGED, job->segment.offset, mf_segment_total(&job->segment), 0, 0,
                       "a name or a scope stands twice in the tables of the block");
    if (job->forgets.count > 0 && job->segment.type == MF_TYPE_COMMIT)
        mf_verify_find(v, MEMFILE_E_DAMAGED, job->segment.offset, mf_segment_total(&job->segment), 0, 0,
                       "a commit has an entry of op forget inline");
    for (size_t i = 0; i < job->forgets.count && rc == MEMFILE_OK; i++)
        if (mf_numbers_add(&v->forgets, job->forgets.v[i], &v->mem) != 0)
            rc = mf_fail_memory(v->err);
    if (rc == MEMFILE_OK && job->named_count)
        rc = take_named(v, job);
    if (rc == MEMFILE_OK && v->listener && v->listener->block)
        rc = v->listener->block(v->listener->context, &job->segment, job->first_entry, job->rows,
                                job->have_salts && !v->entries_again);
    return rc;
}

static int take_block(mf_verify *v)
{
    mf_verify_job *job = (mf_verify_job *)mf_pool_take(v->pool);
    int rc = mf_verify_miss_leaves(v, job->missing);
    v->free_jobs[v->free_count++] = job;
    if (rc != MEMFILE_OK)
        return rc;
    if (!job->have_salts) {
        if (v->salts_known)
            mf_verify_find(v, MEMFILE_E_DAMAGED, job->segment.offset, mf_segment_total(&job->segment), 0, 0,
                           "the salts of entries in this block cannot be derived");
        v->history_known = v->salts_known = false;
    }
    if (job->rc == MEMFILE_OK)
        return take_sound(v, job);
    if (!mf_verify_about_file(job->rc)) {
        *v->err = job->error;
        return job->rc;
    }
    mf_verify_find(v, job->rc, job->error.offset, mf_segment_total(&job->segment), job->first_entry, job->rows,
                   job->error.message);
    v->result->lost_entries += job->rows;
    v->damaged_at = job->segment.offset;
    return mf_verify_miss_leaves(v, job->rows);
}

int mf_verify_drain(mf_verify *v)
{
    int rc = MEMFILE_OK;
    while (v->free_count < v->job_count && rc == MEMFILE_OK)
        rc = take_block(v);
    return rc;
}

/* The commit whose salts are due has some left; false: there is none. */
static int salts_due(mf_verify *v, bool *due)
{
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
    *due = v->salt_left > 0;
    return MEMFILE_OK;
}

static int pass_salts(mf_verify *v, uint64_t count)
{
    bool due = true;
    int rc = MEMFILE_OK;
    while (count > 0 && rc == MEMFILE_OK && (rc = salts_due(v, &due)) == MEMFILE_OK && due) {
        uint64_t n = count < v->salt_left ? count : v->salt_left;
        v->salt_left -= n;
        v->salt_index += n;
        count -= n;
    }
    return rc;
}

/* Salts of the next rows, from the commit at hand or the folded ones. */
static int next_salts(mf_verify *v, mf_verify_job *job)
{
    job->have_salts = true; /* rows that are not erased may find otherwise */
    memset(job->missing_salts, 0, sizeof job->missing_salts);
    for (uint32_t row = 0; row < job->rows; row++) {
        bool due = v->salt_left > 0;
        int rc = due ? MEMFILE_OK : salts_due(v, &due);
        if (rc != MEMFILE_OK)
            return rc;
        if (!due || !mf_history_cursor_salt(&v->salts, v->salt_index, job->salts[row])) {
            memset(job->salts[row], 0, MF_SALT_LENGTH);
            job->missing_salts[row / 8] |= (uint8_t)(1u << row % 8);
        }
        v->salt_left -= due;
        v->salt_index += due;
    }
    return MEMFILE_OK;
}

int mf_verify_miss(mf_verify *v, uint64_t next)
{
    uint64_t count = next - v->entries;
    mf_verify_find(v, MEMFILE_E_DAMAGED, v->damaged_at, 0, v->entries, count, "entries are missing");
    v->result->lost_entries += count;
    v->entries = next;
    return pass_salts(v, count);
}

/* The dictionary of a block where the copy before it is damaged: the other may stand behind it. */
static const mf_dictionary *second_copy(mf_verify *v, const mf_segment *s)
{
    memfile_error why;
    const mf_dictionary *found = NULL;
    const mf_footer *f = &v->store.state->footer;
    for (uint32_t i = 0; i < f->dictionary_count && !found; i++)
        if (f->dictionaries[i].id == s->codec_parameter && f->dictionaries[i].offset[0] < s->offset &&
            mf_store_dictionary(&v->store, s->codec_parameter, &found, &why) != MEMFILE_OK)
            return NULL;
    return found;
}

static int fill_job(mf_verify *v, mf_verify_job *job, const mf_segment *s, const uint8_t *raw)
{
    size_t total = (size_t)mf_segment_total(s);
    if (job->raw_capacity < total) {
        uint8_t *grown = (uint8_t *)mf_realloc(&v->mem, job->raw, total);
        if (!grown)
            return mf_fail_memory(v->err);
        job->raw = grown;
        job->raw_capacity = total;
    }
    memcpy(job->raw, raw, total);
    job->segment = *s;
    job->dictionary = NULL;
    job->tag = v->store.tag;
    job->seed = v->seed;
    for (size_t i = 0; s->codec == MF_CODEC_ZSTD_DICTIONARY && i < v->store.dictionary_count; i++)
        if (v->store.dictionaries[i]->id == s->codec_parameter)
            job->dictionary = v->store.dictionaries[i];
    if (s->codec == MF_CODEC_ZSTD_DICTIONARY && !job->dictionary && v->loaded)
        job->dictionary = second_copy(v, s);
    return MEMFILE_OK;
}

int mf_verify_give_block(mf_verify *v, const mf_segment *s, const uint8_t *raw)
{
    uint64_t first = 0, missing = 0;
    mf_slice columns = {0}, stored;
    int rc = block_columns(s, raw, &v->mem, &first, &columns, &stored, v->err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_cursor c = mf_cursor_of(columns.data, columns.length);
    uint64_t rows = mf_get_varint_max(&c, MF_BLOCK_ROWS_MAX);
    if (rows == 0)
        return mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "a block of entries does not decode");
    if (first < v->entries)
        return mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset,
                       "the block at offset %llu begins with entry %llu where %llu is due",
                       (unsigned long long)s->offset, (unsigned long long)first, (unsigned long long)v->entries);
    if (first > v->block_end || rows > v->block_end - first)
        return mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset,
                       "the block at offset %llu has entries from %llu on that its commit does not name",
                       (unsigned long long)s->offset, (unsigned long long)first);
    if (first > v->entries) {
        missing = first - v->entries;
        rc = mf_verify_miss(v, first);
    }
    if (rc == MEMFILE_OK && (mf_pool_full(v->pool) || v->free_count == 0))
        rc = take_block(v);
    if (rc != MEMFILE_OK)
        return rc;
    mf_verify_job *job = v->free_jobs[v->free_count - 1];
    rc = fill_job(v, job, s, raw);
    job->rows = (uint32_t)rows;
    job->first_entry = first;
    job->missing = missing;
    if (rc == MEMFILE_OK)
        rc = next_salts(v, job);
    if (rc != MEMFILE_OK)
        return rc;
    mf_verify_expect(v, MF_ITEM_BLOCK, first, s->offset / 8);
    v->entries += rows;
    v->free_count--;
    mf_pool_give(v->pool, job);
    return MEMFILE_OK;
}

/* ---- workers */

int mf_verify_make_workers(mf_verify *v)
{
    v->threads = v->options->threads < 1 ? 1 : v->options->threads > 64 ? 64 : v->options->threads;
    v->job_count = v->threads == 1 ? 2 : v->threads * 4 + 1;
    v->workers = (mf_verify_worker *)mf_alloc_zero(&v->mem, v->threads * sizeof *v->workers);
    v->free_jobs = (mf_verify_job **)mf_alloc_zero(&v->mem, v->job_count * sizeof *v->free_jobs);
    if (!v->workers || !v->free_jobs)
        return mf_fail_memory(v->err);
    for (unsigned i = 0; i < v->threads; i++) {
        mf_verify_worker *w = &v->workers[i];
        mf_arena_init(&w->arena, &v->mem);
        mf_buffer_init(&w->core, &v->mem);
        mf_buffer_init(&w->content, &v->mem);
        mf_items_init(&w->items, &v->mem);
        w->record = (mf_record *)mf_alloc(&v->mem, sizeof *w->record);
        if (!w->record)
            return mf_fail_memory(v->err);
    }
    for (unsigned i = 0; i < v->job_count; i++) {
        mf_verify_job *job = (mf_verify_job *)mf_alloc_zero(&v->mem, sizeof *job);
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

void mf_verify_free_workers(mf_verify *v)
{
    while (v->pool && v->free_count < v->job_count)
        v->free_jobs[v->free_count++] = (mf_verify_job *)mf_pool_take(v->pool);
    mf_pool_free(v->pool);
    for (unsigned i = 0; v->free_jobs && i < v->free_count; i++) {
        mf_verify_job *job = v->free_jobs[i];
        mf_free(&v->mem, job->raw);
        mf_free(&v->mem, job->leaves);
        mf_free(&v->mem, job->salts);
        mf_free(&v->mem, job->named);
        mf_free(&v->mem, job->forgets.v);
        mf_free(&v->mem, job);
    }
    for (unsigned i = 0; v->workers && i < v->threads; i++) {
        mf_verify_worker *w = &v->workers[i];
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
}
