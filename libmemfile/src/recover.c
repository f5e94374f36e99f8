/* recover: all that is sound in a damaged file, as a new one. SPEC 17.
 *
 * A survey names the blocks and commits that are sound, and the entries whose content is
 * not whole. The commits become folded ones, each with the entries that are left of it;
 * as long as nothing was lost they are what they were, salts included, and so are their
 * digests. From the first loss on salts are new, links to other histories and
 * signatures are dropped, since both name digests that are gone. */
#include "rewrite.h"
#include "erase.h"
#include "unlock.h"

#include <stdio.h>
#include <stdlib.h>

#include "verify.h"

typedef struct recovery {
    const memfile_recover_options *options;
    memfile_error *err;
    mf_mem mem;
    mf_secret *secret;
    mf_image image;
    mf_seal seal;   /* and slots: those with which the survey read, and no others that the file may have */
    mf_slots slots;
    mf_store old;
    mf_rewrite new;
    mf_eraser eraser;
    /* what is sound */
    mf_tail_commit *blocks;
    uint64_t *commits, *broken; /* offsets of COMMIT and HISTORY segments; entries */
    uint64_t *unsign; /* numbers of commits whose signatures are not right */
    size_t block_count, block_capacity, commit_count, commit_capacity, broken_count, broken_capacity;
    mf_items *contents;
    mf_dictionary **dictionaries;
    size_t dictionary_count;
    size_t first_unfaithful;  /* of the commits */
    uint64_t first_unsalted;  /* entry whose salt is not known; UINT64_MAX: none */
    size_t unsign_count, unsign_capacity;
    /* commits */
    uint64_t left_out; /* segments of unknown types */
    bool lossy, any_row;
    uint64_t next_number; /* of the old file, if nothing was lost */
    uint64_t assigned;    /* entries below it belong to commits that were written */
    size_t at_block, at_broken; /* how far survivors were counted */
    uint64_t counted;           /* entries below it */
    uint64_t order;
    int64_t time_us;
    uint8_t salt_root[16];
    uint64_t salt_index;
    /* entries */
    mf_history_cursor rows;
    mf_history_row row;
    uint64_t row_number, row_left;
    bool row_begun;
    mf_fold fold;
} recovery;

static int no_memory(recovery *c)
{
    return mf_fail_memory(c->err);
}

/* ---- the survey */

static int note_block(void *context, const mf_segment *s, uint64_t first_entry, uint32_t rows, bool salted)
{
    recovery *c = (recovery *)context;
    void *grown = c->blocks;
    const mf_tail_commit *last = c->block_count ? &c->blocks[c->block_count - 1] : NULL;
    if (!salted && first_entry < c->first_unsalted)
        c->first_unsalted = first_entry;
    if (last && first_entry < last->first_entry + last->entry_count)
        return MEMFILE_OK; /* numbers that were given already */
    if (mf_grow(&c->mem, &grown, &c->block_capacity, c->block_count + 1, sizeof *c->blocks) != 0)
        return no_memory(c);
    c->blocks = (mf_tail_commit *)grown;
    c->blocks[c->block_count++] = (mf_tail_commit){s->offset, 0, first_entry, rows};
    return MEMFILE_OK;
}

static int note_number(recovery *c, uint64_t **list, size_t *count, size_t *capacity, uint64_t number)
{
    void *grown = *list;
    if (mf_grow(&c->mem, &grown, capacity, *count + 1, sizeof **list) != 0)
        return no_memory(c);
    *list = (uint64_t *)grown;
    (*list)[(*count)++] = number;
    return MEMFILE_OK;
}

static bool has_number(const uint64_t *list, size_t count, uint64_t number)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && list[low] == number;
}

static int note_segment(void *context, uint64_t offset, bool faithful)
{
    recovery *c = (recovery *)context;
    if (!faithful && c->first_unfaithful > c->commit_count)
        c->first_unfaithful = c->commit_count;
    return note_number(c, &c->commits, &c->commit_count, &c->commit_capacity, offset);
}

static int note_broken(void *context, uint64_t entry)
{
    recovery *c = (recovery *)context;
    return note_number(c, &c->broken, &c->broken_count, &c->broken_capacity, entry);
}

static int note_unsign(void *context, uint64_t number)
{
    recovery *c = (recovery *)context;
    return note_number(c, &c->unsign, &c->unsign_count, &c->unsign_capacity, number);
}

/* Its entries may get other numbers: what it says of them would be of others. */
static int note_unknown(void *context, const mf_segment *s)
{
    recovery *c = (recovery *)context;
    char message[160];
    snprintf(message, sizeof message,
             "the segment at offset %llu, of type %u, is left out: only a newer version knows what it says",
             (unsigned long long)s->offset, s->type);
    const memfile_finding finding = {MEMFILE_E_NEWER, s->offset, mf_segment_total(s), 0, 0, 0, 0, message};
    c->left_out++;
    if (c->options->finding)
        c->options->finding(c->options->context, &finding);
    return MEMFILE_OK;
}

static int note_store(void *context, const mf_items *contents, const mf_store *store)
{
    recovery *c = (recovery *)context;
    c->contents = (mf_items *)mf_alloc(&c->mem, sizeof *c->contents);
    c->dictionaries = (mf_dictionary **)mf_alloc(&c->mem, (store->dictionary_count + 1) * sizeof *c->dictionaries);
    if (!c->contents || !c->dictionaries)
        return no_memory(c);
    mf_items_init(c->contents, &c->mem);
    for (unsigned kind = MF_ITEM_OBJECT; kind <= MF_ITEM_CHUNK; kind++)
        for (size_t i = 0; i < contents->kind[kind].count; i++)
            mf_items_add(c->contents, kind, contents->kind[kind].pairs[i].key, contents->kind[kind].pairs[i].value);
    for (size_t i = 0; i < store->dictionary_count; i++)
        c->dictionaries[c->dictionary_count++] = mf_dictionary_hold(store->dictionaries[i]);
    if (c->contents->failed)
        return no_memory(c);
    c->slots = store->slots;
    return store->seal.sealed ? mf_seal_copy(&c->seal, &store->seal, c->err) : MEMFILE_OK;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Rising, each once, and only those of blocks that are kept: numbers that were given twice come in any order. */
static void sort_broken(recovery *c)
{
    size_t kept = 0, block = 0;
    if (c->broken_count > 1)
        qsort(c->broken, c->broken_count, sizeof *c->broken, compare_numbers);
    for (size_t i = 0; i < c->broken_count; i++) {
        uint64_t entry = c->broken[i];
        while (block < c->block_count && c->blocks[block].first_entry + c->blocks[block].entry_count <= entry)
            block++;
        bool inside = block < c->block_count && entry >= c->blocks[block].first_entry;
        if (inside && (kept == 0 || c->broken[kept - 1] != entry))
            c->broken[kept++] = entry;
    }
    c->broken_count = kept;
}

static int survey(recovery *c, const char *path, memfile_verify_result *result)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    const mf_verify_listener listener = {.context = c, .segment = note_segment, .block = note_block, .store = note_store,
                                         .unsign = note_unsign, .broken = note_broken, .unknown = note_unknown};
    o.threads = c->options->threads;
    o.finding = c->options->finding;
    o.progress = c->options->progress;
    o.context = c->options->context;
    c->first_unfaithful = SIZE_MAX;
    c->first_unsalted = UINT64_MAX;
    const mf_access access = {c->secret, NULL, false};
    int rc = mf_survey(path, &o, &listener, &access, &c->image, result, c->err);
    sort_broken(c);
    return rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_TRUNCATED ? MEMFILE_OK : rc;
}

/* The old file as a store that knows the sound blocks and nothing else. */
static int open_old(recovery *c, const char *path)
{
    const mf_access access = {c->secret, &c->seal, false};
    mf_io *base, *io;
    int rc = mf_io_file_open(&c->mem, path, MF_IO_READ, &base, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_image_open(&c->image, base, &io, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_store_begin(&c->old, io, &c->mem, 4u << 20, &access, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    c->new.slots = c->slots;
    c->new.secret = c->secret;
    c->old.readable_end = c->image.size;
    if (c->block_count == 0)
        return MEMFILE_OK;
    c->old.committed.blocks = c->blocks;
    c->old.committed.block_count = (uint32_t)c->block_count;
    c->old.committed.contents = c->contents;
    c->blocks = NULL;
    c->contents = NULL;
    while (rc == MEMFILE_OK && c->dictionary_count > 0) {
        if (mf_store_add_dictionary(&c->old, c->dictionaries[c->dictionary_count - 1]) != MEMFILE_OK)
            rc = no_memory(c);
        else
            c->dictionary_count--;
    }
    const mf_tail_commit *last = &c->old.committed.blocks[c->block_count - 1];
    c->old.committed.entries = last->first_entry + last->entry_count;
    c->old.committed.end = c->image.size & ~(uint64_t)7;
    return rc == MEMFILE_OK ? mf_store_find_forgotten(&c->old, c->err) : rc;
}

/* Entries that may be forgotten ones, since what tells is lost: they are not given out (SPEC 17.1), and so are lost. */
static void tell_doubtful(recovery *c, memfile_recover_result *r)
{
    const mf_ranges *doubtful = &c->old.committed.doubtful;
    for (size_t i = 0; i < doubtful->count; i++) {
        uint64_t first = doubtful->v[i].first, count = doubtful->v[i].end - first;
        const memfile_finding finding = {MEMFILE_E_DAMAGED, 0, 0, first, count, 0, 0,
                                         "entries that may be forgotten ones are left out: what tells is lost"};
        r->damage.lost_entries += count;
        if (c->options->finding)
            c->options->finding(c->options->context, &finding);
    }
}

static const mf_tail_commit *blocks_of(const recovery *c)
{
    return c->old.committed.blocks ? c->old.committed.blocks : c->blocks;
}

/* ---- commits */

/* Entries that are left between c->counted and `end`; end does not fall from call to call. */
static uint64_t survivors(recovery *c, uint64_t end)
{
    const mf_tail_commit *blocks = blocks_of(c);
    uint64_t count = 0;
    while (c->at_block < c->block_count && c->counted < end) {
        const mf_tail_commit *b = &blocks[c->at_block];
        uint64_t from = b->first_entry > c->counted ? b->first_entry : c->counted;
        uint64_t to = b->first_entry + b->entry_count < end ? b->first_entry + b->entry_count : end;
        if (to > from)
            count += to - from;
        if (b->first_entry + b->entry_count > end)
            break;
        c->at_block++;
    }
    while (c->at_broken < c->broken_count && c->broken[c->at_broken] < end) {
        c->at_broken++;
        count--; /* its block was counted */
    }
    c->counted = end > c->counted ? end : c->counted;
    return count;
}

static void drop_signatures(mf_history_row *row)
{
    row->flags &= ~(uint64_t)MF_COMMIT_SIGNATURES;
    row->signatures = mf_slice_of(NULL, 0);
}

/* Makes a row fit behind those before it, under new salts. */
static void fit_row(recovery *c, mf_history_row *row)
{
    const mf_slice none = {0};
    row->flags &= ~(uint64_t)(MF_COMMIT_PARENTS | MF_COMMIT_SALT | MF_COMMIT_ORDER);
    row->parents = none;
    drop_signatures(row);
    if (!mf_commit_text_is_sound(row->author, none)) {
        row->flags &= ~(uint64_t)MF_COMMIT_AUTHOR;
        row->author = none;
    }
    if (!mf_commit_text_is_sound(none, row->extra)) {
        row->flags &= ~(uint64_t)MF_COMMIT_EXTRA;
        row->extra = none;
    }
    if (c->any_row && row->order <= c->order)
        row->order = c->order + 1;
    if (row->order != (uint64_t)(row->time_us > 0 ? row->time_us : 0))
        row->flags |= MF_COMMIT_ORDER;
    if (c->salt_index == 0 && row->count > 0) {
        c->new.environment.random(c->new.environment.context, c->salt_root, sizeof c->salt_root);
        row->flags |= MF_COMMIT_SALT;
    }
    row->salt_index = c->salt_index;
    c->salt_index += row->count;
    if (c->salt_index > UINT32_MAX - (1u << 20))
        c->salt_index = 0; /* the next one begins another tree */
}

static int write_row(recovery *c, mf_history_row *row, const mf_salt_node *nodes, uint32_t node_count)
{
    mf_salt_node root = {0, 0, {0}};
    if ((c->any_row && row->order <= c->order) || !mf_commit_text_is_sound(row->author, row->extra))
        c->lossy = true; /* no history can go on like that */
    if (c->lossy) {
        fit_row(c, row);
        memcpy(root.seed, c->salt_root, sizeof root.seed);
        nodes = &root;
        node_count = row->flags & MF_COMMIT_SALT ? 1 : 0;
    } else if (row->flags & MF_COMMIT_SALT) {
        int rc = mf_eraser_nodes(&c->eraser, &nodes, &node_count, c->err);
        if (rc != MEMFILE_OK)
            return rc;
        memset(c->salt_root, 0, sizeof c->salt_root); /* SPEC 9.3: of a tree that is not whole */
        if (node_count == 1 && nodes[0].depth == 0)
            memcpy(c->salt_root, nodes[0].seed, sizeof c->salt_root);
    }
    c->any_row = true;
    c->order = row->order;
    c->time_us = row->time_us;
    return mf_rewrite_commit(&c->new, row, nodes, node_count);
}

/* The first commit of a memory has no entries; if it is lost another takes its place. */
static int write_genesis(recovery *c, const mf_history_row *before)
{
    mf_history_row row;
    memset(&row, 0, sizeof row);
    if (c->any_row || (before && before->count == 0))
        return MEMFILE_OK;
    c->lossy = true;
    row.time_us = before ? before->time_us : 0;
    row.order = before && before->order > 0 ? before->order - 1 : 0;
    return write_row(c, &row, NULL, 0);
}

/* Entries that are left of commits that are lost: a commit of their own. */
static int write_orphans(recovery *c, uint64_t end)
{
    mf_history_row row;
    memset(&row, 0, sizeof row);
    row.count = survivors(c, end);
    if (row.count == 0)
        return MEMFILE_OK;
    int rc = write_genesis(c, NULL);
    if (rc != MEMFILE_OK)
        return rc;
    c->lossy = true;
    row.time_us = c->time_us;
    row.order = c->order + 1;
    return write_row(c, &row, NULL, 0);
}

static int take_commit(recovery *c, uint64_t number, uint64_t first, mf_history_row *row, const mf_salt_node *nodes,
                       uint32_t node_count)
{
    uint64_t count = row->count;
    if (has_number(c->unsign, c->unsign_count, number))
        drop_signatures(row);
    int rc = write_genesis(c, row);
    if (rc == MEMFILE_OK && first > c->assigned)
        rc = write_orphans(c, first);
    if (rc != MEMFILE_OK || first < c->assigned)
        return rc; /* entries of it were given to another commit: what is left goes to orphans */
    row->count = survivors(c, first + count);
    c->assigned = first + count;
    if (row->count != count || number != c->next_number || first + count > c->first_unsalted)
        c->lossy = true;
    c->next_number = number + 1;
    if (row->count == 0 && count > 0)
        return MEMFILE_OK;
    return write_row(c, row, nodes, node_count);
}

static int go_on(recovery *c, uint64_t offset)
{
    return mf_progress(c->options->progress, c->options->context, offset, c->image.size, c->err);
}

/* HISTORY segments one after the other: the nodes of a tree may go on in the next. */
static int take_histories(recovery *c, const uint64_t *offsets, size_t count)
{
    mf_history_cursor cursor;
    mf_history_row *row;
    uint64_t number, first = 0;
    int rc = MEMFILE_OK;
    mf_history_cursor_init(&cursor, &c->old);
    cursor.passes_orphans = true;
    for (size_t i = 0; i < count && rc == MEMFILE_OK; i++)
        rc = mf_history_cursor_add(&cursor, offsets[i]) == MEMFILE_OK ? MEMFILE_OK : no_memory(c);
    while (rc == MEMFILE_OK && (rc = mf_history_cursor_next(&cursor, &row, &number, c->err)) == MEMFILE_OK) {
        mf_history_row copy = *row;
        if (number == cursor.history.first_number) {
            first = cursor.history.first_entry;
            rc = go_on(c, cursor.offsets[cursor.next - 1]);
            if (rc != MEMFILE_OK)
                break;
        }
        rc = take_commit(c, number, first, &copy, cursor.nodes, row->flags & MF_COMMIT_SALT ? cursor.node_count : 0);
        first += row->count;
    }
    mf_history_cursor_free(&cursor);
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

static int take_segment(recovery *c, uint64_t offset)
{
    mf_segment s;
    uint8_t *raw;
    mf_slice head, stored;
    mf_commit k;
    int rc = mf_store_segment(&c->old, offset, 0, &s, &raw, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    rc = mf_segment_split(&s, raw, &head, &stored, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_commit_decode(&k, head, NULL, &c->mem, offset, c->err);
    if (rc == MEMFILE_OK && (k.flags & MF_COMMIT_LOGICAL)) {
        mf_history_row row;
        mf_salt_node node = {0, 0, {0}};
        mf_history_row_of(&row, &k);
        memcpy(node.seed, k.salt_root, sizeof node.seed);
        rc = take_commit(c, k.number, k.first_entry, &row, &node, k.flags & MF_COMMIT_SALT ? 1 : 0);
    }
    mf_free(&c->mem, raw);
    return rc;
}

static int is_history_at(recovery *c, uint64_t offset, bool *is_history)
{
    mf_segment s;
    uint8_t *raw;
    int rc = mf_store_segment(&c->old, offset, 0, &s, &raw, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_free(&c->mem, raw);
    *is_history = s.type == MF_TYPE_HISTORY;
    return MEMFILE_OK;
}

static int write_commits(recovery *c)
{
    int rc = MEMFILE_OK;
    for (size_t i = 0, n; i < c->commit_count && rc == MEMFILE_OK; i += n) {
        bool is_history = true;
        c->lossy = c->lossy || i == c->first_unfaithful;
        size_t end = i < c->first_unfaithful && c->first_unfaithful < c->commit_count ? c->first_unfaithful : c->commit_count;
        for (n = 0; rc == MEMFILE_OK && is_history && i + n < end; n += is_history)
            rc = is_history_at(c, c->commits[i + n], &is_history);
        if (rc == MEMFILE_OK && n > 0)
            rc = take_histories(c, c->commits + i, n);
        else if (rc == MEMFILE_OK)
            rc = take_segment(c, c->commits[i + n++]);
    }
    if (rc == MEMFILE_OK && !c->any_row)
        rc = write_genesis(c, NULL);
    if (rc == MEMFILE_OK)
        rc = write_orphans(c, UINT64_MAX);
    return rc == MEMFILE_OK ? mf_rewrite_commits_end(&c->new) : rc;
}

/* ---- entries */

static int train(recovery *c)
{
    const mf_tail_commit *blocks = blocks_of(c);
    size_t step = c->block_count / 256 + 1;
    int rc = MEMFILE_OK;
    bool more = true;
    for (size_t i = 0; i < c->block_count && rc == MEMFILE_OK && more; i += step) {
        mf_object *o = NULL;
        rc = mf_store_block(&c->old, blocks[i].offset, &o, c->err);
        if (rc == MEMFILE_OK)
            rc = mf_store_content(&c->old, o, c->err);
        for (uint32_t row = 0; rc == MEMFILE_OK && row < o->block.rows && more; row++)
            if (!mf_eraser_takes(&c->eraser, o->first_entry + row))
                more = mf_rewrite_sample(&c->new, mf_block_text(&o->block, row));
        mf_store_release(&c->old, o);
    }
    return rc == MEMFILE_OK ? mf_rewrite_train(&c->new) : rc;
}

/* The commit that the next entry belongs to is c->row; commits that are complete end. MEMFILE_DONE: there is none. */
static int next_row(recovery *c)
{
    while (c->row_left == 0) {
        mf_history_row *row;
        if (c->row_begun && mf_fold_end(&c->fold, c->row_number, &c->row) != 0)
            return no_memory(c);
        c->row_begun = false;
        int rc = mf_history_cursor_next(&c->rows, &row, &c->row_number, c->err);
        if (rc != MEMFILE_OK)
            return rc;
        c->row = *row;
        c->row_left = row->count;
        c->row_begun = true;
    }
    return MEMFILE_OK;
}

/* Its leaf stays; one that cannot be told is taken for forgotten, and gets another under a salt that nobody has. */
static int erase(recovery *c, mf_object *o, uint32_t row, uint8_t leaf[32])
{
    int rc = mf_eraser_leaf(&c->eraser, &o->block, row, o->first_entry + row, leaf, c->err);
    if (rc == MEMFILE_DONE) {
        c->lossy = true;
        c->new.environment.random(c->new.environment.context, leaf, 32);
        rc = MEMFILE_OK;
    }
    return rc == MEMFILE_OK ? mf_rewrite_erase(&c->new, leaf) : rc;
}

static int write_entry(recovery *c, mf_object *o, uint32_t row)
{
    uint8_t salt[MF_SALT_LENGTH] = {0}, leaf[32];
    bool erased = mf_block_erased(&o->block, row) || mf_eraser_takes(&c->eraser, o->first_entry + row);
    int rc = next_row(c);
    if (rc == MEMFILE_OK && !erased && !mf_history_cursor_salt(&c->rows, c->row.salt_index, salt))
        rc = mf_fail(c->err, MEMFILE_E_DAMAGED, o->offset, "an entry has no salt");
    if (rc == MEMFILE_OK)
        rc = erased ? erase(c, o, row, leaf) : mf_rewrite_entry(&c->new, &o->block, row, o->offset, salt, leaf);
    if (rc != MEMFILE_OK)
        return rc;
    mf_fold_leaf(&c->fold, leaf);
    c->row.salt_index++;
    c->row_left--;
    return mf_rewrite_spill(&c->new);
}

static int write_entries(recovery *c)
{
    const mf_tail_commit *blocks = blocks_of(c);
    uint64_t at = c->new.history_offset;
    int rc = MEMFILE_OK;
    mf_history_cursor_init(&c->rows, &c->new.new);
    mf_fold_init(&c->fold, c->new.new.header.memory_id, &c->mem);
    for (uint64_t i = 0; i < c->new.history_count && rc == MEMFILE_OK; i++) {
        mf_segment s;
        uint8_t *raw;
        rc = mf_store_segment(&c->new.new, at, 0, &s, &raw, c->err);
        if (rc != MEMFILE_OK)
            break;
        mf_free(&c->mem, raw);
        if (mf_history_cursor_add(&c->rows, at) != MEMFILE_OK)
            rc = no_memory(c);
        at += mf_segment_total(&s);
    }
    if (rc == MEMFILE_OK)
        rc = train(c);
    for (size_t i = 0; i < c->block_count && rc == MEMFILE_OK; i++) {
        mf_object *o = NULL;
        rc = go_on(c, blocks[i].offset);
        if (rc == MEMFILE_OK)
            rc = mf_store_block(&c->old, blocks[i].offset, &o, c->err);
        if (rc == MEMFILE_OK)
            rc = mf_store_content(&c->old, o, c->err);
        for (uint32_t row = 0; rc == MEMFILE_OK && row < o->block.rows; row++)
            if (!has_number(c->broken, c->broken_count, o->first_entry + row))
                rc = write_entry(c, o, row);
        mf_store_release(&c->old, o);
    }
    if (rc == MEMFILE_OK)
        rc = mf_rewrite_entries_end(&c->new);
    if (rc == MEMFILE_OK) {
        rc = next_row(c); /* commits without entries at the end */
        if (rc == MEMFILE_OK)
            rc = mf_fail(c->err, MEMFILE_E_DAMAGED, MF_NOWHERE, "commits name more entries than there are");
        rc = rc == MEMFILE_DONE ? MEMFILE_OK : rc;
    }
    return rc;
}

/* ---- all of it */

static int write_all(recovery *c, const char *output, uint64_t *bytes)
{
    mf_header header = c->image.header;
    mf_rewrite_end end = {0, 0, {0}, NULL, {0}};
    mf_tree *log = (mf_tree *)mf_alloc(&c->mem, sizeof *log);
    mf_io *io;
    int rc = log ? mf_io_file_open(&c->mem, output, MF_IO_CREATE, &io, c->err) : no_memory(c);
    if (rc == MEMFILE_OK)
        rc = mf_rewrite_begin(&c->new, &header, io);
    if (rc == MEMFILE_OK)
        rc = mf_eraser_begin(&c->eraser, &c->old, c->err);
    if (rc == MEMFILE_OK)
        rc = write_commits(c);
    if (rc == MEMFILE_OK)
        rc = write_entries(c);
    if (rc == MEMFILE_OK) {
        end.number = c->new.commits - 1;
        end.order = c->order;
        memcpy(end.history_digest, c->fold.digest, 32);
        memcpy(end.salt_root, c->salt_root, sizeof end.salt_root);
        mf_tree_from_frontier(log, end.number, &c->fold.frontier_before[0][0]);
        end.log = log;
        rc = mf_rewrite_finish(&c->new, &end);
    }
    if (rc == MEMFILE_OK)
        rc = mf_rewrite_check(&c->new, c->fold.digest, c->options->progress, c->options->context);
    if (rc == MEMFILE_OK)
        rc = c->new.new.io->functions->size(c->new.new.io, bytes, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_io_file_publish(c->new.new.io, NULL, c->err);
    mf_free(&c->mem, log);
    return rc;
}

static int begin(recovery *c, const memfile_recover_options *o)
{
    if (o->compression_level < 1 || o->compression_level > 19)
        return mf_fail(c->err, MEMFILE_E_MISUSE, MF_NOWHERE, "the compression level is 1 to 19");
    c->image.mem = &c->mem;
    c->new.err = c->err;
    c->new.environment = mf_environment_or_system(o->environment);
    c->new.threads = o->threads < 1 ? 1 : o->threads > 64 ? 64 : o->threads;
    c->new.level = (int)o->compression_level;
    c->new.old = &c->old;
    return MEMFILE_OK;
}

static int conclude(recovery *c, memfile_recover_result *r)
{
    r->entries = c->new.next_entry;
    r->commits = c->new.commits;
    memcpy(r->history_digest, c->fold.digest, 32);
    r->same_history = !c->lossy && r->damage.lost_commits == 0 && !r->damage.memory_unknown &&
                      memcmp(c->fold.digest, r->damage.history_digest, 32) == 0;
    r->left_out = c->left_out;
    if (r->same_history && r->damage.lost_entries == 0 && r->damage.lost_commits == 0 && c->left_out > 0)
        return mf_fail(c->err, MEMFILE_E_DAMAGED, MF_NOWHERE,
                       "all entries and commits were recovered; %llu segments that only a newer version knows are left out",
                       (unsigned long long)c->left_out);
    if (r->same_history && r->damage.lost_entries == 0 && r->damage.lost_commits == 0 && r->damage.unfinished_bytes > 0)
        return mf_fail(c->err, MEMFILE_E_TRUNCATED, MF_NOWHERE,
                       "all that is known to have been committed was recovered; %llu unfinished bytes at the end were not: "
                       "an append that was interrupted, or a commit of which the end is missing",
                       (unsigned long long)r->damage.unfinished_bytes);
    if (r->same_history && r->damage.lost_entries == 0 && r->damage.lost_commits == 0)
        return MEMFILE_OK;
    return mf_fail(c->err, MEMFILE_E_DAMAGED, MF_NOWHERE, "%llu entries and %llu commits are lost%s; the rest was recovered",
                   (unsigned long long)r->damage.lost_entries, (unsigned long long)r->damage.lost_commits,
                   r->damage.memory_unknown ? ", and the memory's id" : "");
}

static void free_all(recovery *c)
{
    mf_history_cursor_free(&c->rows);
    mf_rewrite_free(&c->new);
    mf_eraser_free(&c->eraser);
    if (c->old.io)
        mf_store_close(&c->old);
    mf_seal_clear(&c->seal);
    mf_secret_free(c->secret);
    mf_image_free(&c->image);
    if (c->contents)
        mf_items_free(c->contents);
    mf_free(&c->mem, c->contents);
    while (c->dictionary_count > 0)
        mf_dictionary_free(c->dictionaries[--c->dictionary_count]);
    mf_free(&c->mem, c->dictionaries);
    mf_free(&c->mem, c->blocks);
    mf_free(&c->mem, c->commits);
    mf_free(&c->mem, c->broken);
    mf_free(&c->mem, c->unsign);
}

/* DAMAGED would promise an output. What was sound a moment ago is not, or the new file is
 * not what was written: that is the system's doing. */
static int without_output(recovery *c, memfile_recover_result *r, int rc)
{
    memset(r, 0, sizeof *r);
    if (rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_TRUNCATED)
        rc = c->err->code = MEMFILE_E_SYSTEM;
    return rc;
}

int memfile_recover(const char *path, const char *output, const memfile_recover_options *options,
                    memfile_recover_result *result, memfile_error *error)
{
    memfile_recover_options o = MEMFILE_RECOVER_OPTIONS_INIT;
    memfile_recover_result unused_result;
    memfile_error unused;
    memfile_error *err = error ? error : &unused;
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    if (!result)
        result = &unused_result;
    memset(result, 0, sizeof *result);
    mf_error_clear(err);
    recovery *c = (recovery *)mf_alloc_zero(&mf_mem_default, sizeof *c);
    if (!c || !mf_digest_start()) {
        mf_free(&mf_mem_default, c);
        return mf_fail_memory(err);
    }
    c->options = &o;
    c->err = err;
    c->mem = c->new.mem = mf_mem_default;
    int rc = begin(c, &o);
    if (rc == MEMFILE_OK)
        rc = mf_unlock_take(&o.unlock, &c->mem, &c->secret, err);
    if (rc == MEMFILE_OK)
        rc = survey(c, path, &result->damage);
    if (rc == MEMFILE_OK && result->damage.memory_unknown)
        c->new.environment.random(c->new.environment.context, c->image.header.memory_id, 16);
    if (rc == MEMFILE_OK && result->damage.outside)
        rc = mf_fail(err, MEMFILE_E_KEY, MF_NOWHERE, "no key slots are left that open: nothing in the file can be read");
    else if (rc == MEMFILE_OK && c->block_count == 0 && c->commit_count == 0 && c->image.header.suite == MF_SUITE_SEALED)
        rc = mf_fail(err, MEMFILE_E_KEY, MF_NOWHERE,
                     "nothing in the file opens with this key: its slots are damaged; an older key opens what stood before");
    else if (rc == MEMFILE_OK && c->block_count == 0 && c->commit_count == 0)
        rc = mf_fail(err, MEMFILE_E_NOT_MEMFILE, MF_NOWHERE, "no sound commit and no sound entry was found");
    if (rc == MEMFILE_OK)
        rc = open_old(c, path);
    if (rc == MEMFILE_OK)
        tell_doubtful(c, result);
    if (rc == MEMFILE_OK)
        rc = write_all(c, output, &result->bytes_after);
    if (rc == MEMFILE_OK)
        rc = conclude(c, result);
    else
        rc = without_output(c, result, rc);
    free_all(c);
    mf_free(&mf_mem_default, c);
    return rc;
}
