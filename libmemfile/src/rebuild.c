/* rebuild: reading goes on where footers or index pages are damaged. SPEC 17.1. The
 * file is walked once; every block that is sound is noted, and look-ups then use these
 * as they use the tail. Nothing is written, and a handle in this state does not write. */
#include "leaves.h"

typedef struct rebuilding {
    mf_store *store;
    bool in_content; /* a content whose chunks followed each other so far */
    uint64_t content, chunks;
    mf_tree tree;
    uint8_t *chunk;
    mf_buffer plain; /* of a sealed segment */
    uint64_t newest; /* commit, if it can be found */
    mf_walk walk;
    mf_state state;
    size_t capacity;
    memfile_error *err;
} rebuilding;

static int note_block(rebuilding *r, uint64_t offset, uint64_t first, uint64_t count)
{
    mf_state *s = &r->state;
    void *grown = s->blocks;
    /* Entries of an append that was given up stand before those that took their numbers. */
    while (s->block_count > 0 && s->blocks[s->block_count - 1].first_entry >= first)
        s->block_count--;
    if (mf_grow(r->store->mem, &grown, &r->capacity, s->block_count + 1, sizeof *s->blocks) != 0)
        return mf_fail_memory(r->err);
    s->blocks = (mf_tail_commit *)grown;
    s->blocks[s->block_count++] = (mf_tail_commit){offset, 0, first, count};
    if (first + count > s->entries)
        s->entries = first + count;
    return MEMFILE_OK;
}

static int note_dictionary(rebuilding *r, const mf_segment *s, mf_slice head, mf_slice stored)
{
    mf_cursor c = mf_cursor_of(head.data, head.length);
    uint64_t id = mf_get_varint(&c);
    memfile_error why;
    mf_dictionary *d = NULL;
    for (size_t i = 0; i < r->store->dictionary_count; i++)
        if (r->store->dictionaries[i]->id == id)
            return MEMFILE_OK;
    if (r->store->dictionary_count >= MF_DICTIONARIES_MAX) /* no footer can name so many */
        return MEMFILE_OK;
    uint8_t *content = (uint8_t *)mf_alloc(r->store->mem, s->raw_length);
    if (!content)
        return mf_fail_memory(r->err);
    int rc = MEMFILE_OK, sound = MEMFILE_E_DAMAGED;
    if (s->raw_length > 0 && s->codec != MF_CODEC_ZSTD_DICTIONARY)
        sound = mf_segment_content(s, stored, &r->store->compressor, NULL, content, &why);
    if (sound == MEMFILE_E_MEMORY)
        rc = mf_fail_memory(r->err);
    if (sound == MEMFILE_OK && mf_dictionary_id(content, s->raw_length) == id &&
        (mf_dictionary_new(r->store->mem, content, s->raw_length, 0, &d) != MEMFILE_OK ||
         mf_store_add_dictionary(r->store, d) != MEMFILE_OK)) {
        mf_dictionary_free(d);
        rc = mf_fail_memory(r->err);
    }
    mf_free(r->store->mem, content);
    return rc;
}

static void end_content(rebuilding *r)
{
    uint8_t root[32];
    if (r->in_content && r->chunks > 0) {
        mf_tree_root(&r->tree, root);
        mf_items_add(r->state.contents, MF_ITEM_OBJECT, mf_load64(root), r->content);
    }
    r->in_content = false;
}

static int note_chunk(rebuilding *r, const mf_segment *s, mf_slice head, mf_slice stored)
{
    uint8_t hash[32];
    memfile_error why;
    mf_cursor c = mf_cursor_of(head.data, head.length);
    uint64_t number = mf_get_varint_max(&c, MF_ENTRIES_MAX - 1), index = mf_get_varint_max(&c, MF_CHUNKS_MAX - 1);
    bool sound = mf_cursor_finished(&c) && s->raw_length > 0 && s->raw_length <= MF_CHUNK_LENGTH &&
                 s->codec != MF_CODEC_ZSTD_DICTIONARY;
    int rc = sound ? mf_segment_content(s, stored, &r->store->compressor, NULL, r->chunk, &why) : MEMFILE_OK;
    if (rc == MEMFILE_E_MEMORY)
        return mf_fail_memory(r->err);
    if (!sound || rc != MEMFILE_OK)
        return MEMFILE_OK;
    if (index != r->chunks || number != r->content || !r->in_content) {
        end_content(r);
        if (index != 0)
            return MEMFILE_OK;
        mf_items_forget_contents(r->state.contents, number); /* as with blocks the later one counts */
        r->in_content = true;
        r->content = number;
        r->chunks = 0;
        mf_tree_init(&r->tree, MF_ENTRIES_FANOUT);
    }
    mf_digest(hash, MF_LABEL_CHUNK, r->chunk, s->raw_length);
    mf_tree_add(&r->tree, hash);
    mf_items_add(r->state.contents, MF_ITEM_CHUNK, number << 24 | r->chunks++, s->offset / 8);
    return r->state.contents->failed ? mf_fail_memory(r->err) : MEMFILE_OK;
}

/* How many entries there were with a commit, and so with the one before it, which may be damaged. */
static int note_entries(rebuilding *r, uint64_t number, uint64_t first, uint64_t count)
{
    if (number > 0)
        mf_items_add(r->state.contents, MF_ITEM_COMMIT, number - 1, first);
    mf_items_add(r->state.contents, MF_ITEM_COMMIT, number, first + count);
    return r->state.contents->failed ? mf_fail_memory(r->err) : MEMFILE_OK;
}

/* Commits that a compaction folded. */
static int note_history(rebuilding *r, const mf_segment *s, mf_slice head)
{
    mf_history h;
    mf_arena arena;
    memfile_error why;
    mf_arena_init(&arena, r->store->mem);
    int rc = mf_history_decode(&h, head, &arena, s->offset, &why);
    if (rc == MEMFILE_E_MEMORY)
        rc = mf_fail_memory(r->err);
    else if (rc != MEMFILE_OK)
        h.row_count = 0, rc = MEMFILE_OK;
    uint64_t first = h.first_entry;
    for (uint32_t i = 0; i < h.row_count && rc == MEMFILE_OK; i++) {
        rc = note_entries(r, h.first_number + i, first, h.rows[i].count);
        first += h.rows[i].count;
    }
    mf_arena_free(&arena);
    return rc;
}

static int note_commit(rebuilding *r, const mf_segment *s, mf_slice head)
{
    mf_commit k;
    memfile_error why;
    int rc = mf_commit_decode(&k, head, NULL, r->store->mem, s->offset, &why);
    if (rc != MEMFILE_OK)
        return rc == MEMFILE_E_MEMORY ? mf_fail_memory(r->err) : MEMFILE_OK;
    r->state.commit_offset = s->offset;
    r->state.commit_length = mf_segment_total(s);
    r->state.number = k.number;
    r->state.time_us = k.time_us;
    r->state.order = k.order;
    memcpy(r->state.history_digest, k.history_digest, 32);
    if (k.first_entry + k.entry_count > r->state.entries)
        r->state.entries = k.first_entry + k.entry_count;
    if (k.flags & MF_COMMIT_LOGICAL)
        rc = note_entries(r, k.number, k.first_entry, k.entry_count);
    if (rc == MEMFILE_OK && k.flags & MF_COMMIT_INLINE)
        rc = note_block(r, s->offset, k.first_entry, k.entry_count);
    return rc;
}

static int note_segment(rebuilding *r, mf_segment *s, const uint8_t *raw)
{
    memfile_error why;
    mf_slice head, stored;
    if (mf_segment_check(s, raw, &why) != MEMFILE_OK)
        return MEMFILE_OK;
    mf_buffer_clear(&r->plain);
    uint8_t *out = mf_buffer_reserve(&r->plain, s->type == MF_TYPE_SEALED ? (size_t)mf_segment_total(s) : 1);
    if (!out)
        return mf_fail_memory(r->err);
    int rc = mf_segment_open(&r->store->seal, s, raw, out, &raw, &why);
    if (rc == MEMFILE_E_DAMAGED && s->body_at == 0 && s->offset == r->newest) { /* nothing is taken in its place: SPEC 20.8 */
        *r->err = why;
        return rc;
    }
    if (rc != MEMFILE_OK || mf_segment_split(s, raw, &head, &stored, &why) != MEMFILE_OK)
        return MEMFILE_OK;
    if (s->type == MF_TYPE_CHUNK)
        return note_chunk(r, s, head, stored);
    if (s->type == MF_TYPE_COMMIT) { /* other segments may stand between chunks, SPEC 11.2 */
        end_content(r);
        return note_commit(r, s, head);
    }
    if (s->type == MF_TYPE_DICTIONARY)
        return note_dictionary(r, s, head, stored);
    if (s->type == MF_TYPE_HISTORY)
        return note_history(r, s, head);
    if (s->type == MF_TYPE_RECORDS) {
        mf_cursor c = mf_cursor_of(head.data, head.length);
        uint64_t first = mf_get_varint_max(&c, MF_ENTRIES_MAX), rows = mf_get_varint_max(&c, MF_BLOCK_ROWS_MAX);
        if (!c.failed && rows > 0)
            return note_block(r, s->offset, first, rows);
    }
    return MEMFILE_OK;
}

static int note_group(rebuilding *r, const mf_walk_group *g)
{
    uint32_t gap = 0;
    int rc = MEMFILE_OK;
    for (uint64_t at = g->first_segment; at < g->end && rc == MEMFILE_OK;) {
        const uint8_t *raw;
        mf_segment s;
        memfile_error why;
        if (gap < g->gap_count && at == g->gaps[gap].start) {
            at = g->gaps[gap++].end;
            continue;
        }
        rc = mf_walk_bytes(&r->walk, at, MF_SEGMENT_HEADER_LENGTH, &raw, r->err);
        bool known = rc == MEMFILE_OK && mf_segment_decode(&s, raw, at, r->store->tag, &why) == MEMFILE_OK;
        if (known)
            rc = mf_walk_bytes(&r->walk, at, (size_t)mf_segment_total(&s), &raw, r->err);
        if (known && rc == MEMFILE_OK)
            rc = note_segment(r, &s, raw);
        if (rc == MEMFILE_OK)
            at += mf_segment_total(&s); /* its header is sound, the walk has seen that */
    }
    return rc;
}

/* ---- what is forgotten */

typedef struct hiding {
    mf_state *state;
    const mf_mem *mem;
    mf_numbers unknown; /* entries whose leaf cannot be told */
} hiding;

static int hide(void *context, uint64_t entry, uint64_t by, bool erased)
{
    hiding *h = (hiding *)context;
    mf_items *items = h->state->contents;
    if (items)
        mf_items_add(items, MF_ITEM_FORGOTTEN, entry, by);
    return (items && items->failed) || (!erased && mf_ranges_add(&h->state->forgotten, entry, h->mem) != 0) ? -1 : 0;
}

static int note_unknown(void *context, uint64_t entry)
{
    hiding *h = (hiding *)context;
    return mf_numbers_add(&h->unknown, entry, h->mem);
}

int mf_store_find_forgotten(mf_store *st, memfile_error *err)
{
    hiding h = {st->state, st->mem, {NULL, 0, 0}};
    mf_numbers forgets = {NULL, 0, 0};
    mf_leaf_search search = {st, hide, note_unknown, &h, 0, 0};
    int rc = mf_forgets_find(st, &forgets, err);
    if (rc == MEMFILE_OK)
        rc = mf_forgets_resolve(&forgets, &search, err);
    for (size_t i = 0; rc == MEMFILE_OK && search.unmatched > 0 && i < h.unknown.count; i++)
        if (mf_ranges_add(&st->state->forgotten, h.unknown.v[i], st->mem) != 0 ||
            mf_ranges_add(&st->state->doubtful, h.unknown.v[i], st->mem) != 0)
            rc = mf_fail_memory(err);
    mf_ranges_settle(&st->state->forgotten);
    st->state->forgotten_ready = st->state->forgotten.count > 0;
    mf_ranges_settle(&st->state->doubtful);
    mf_free(st->mem, h.unknown.v);
    mf_free(st->mem, forgets.v);
    return rc;
}

/* The state that was made becomes the store's, or the old one stays. */
static int adopt(rebuilding *r, uint64_t end)
{
    mf_store *st = r->store;
    mf_state before = st->committed;
    uint64_t readable_end = st->readable_end;
    mf_store_forget_tail(st);
    st->committed = r->state;
    st->readable_end = end;
    st->generation++;
    int rc = mf_store_find_forgotten(st, r->err);
    r->state = rc == MEMFILE_OK ? before : st->committed; /* what is freed */
    if (rc != MEMFILE_OK) {
        mf_store_forget_tail(st);
        st->committed = before;
        st->readable_end = readable_end;
        st->generation++;
    }
    return rc;
}

int mf_store_rebuild(mf_store *st, memfile_error *err)
{
    rebuilding *r = (rebuilding *)mf_alloc_zero(st->mem, sizeof *r);
    uint64_t newest, size = st->committed.file_size, end = size;
    bool damage = true;
    memfile_error why;
    mf_walk_group g;
    if (!r)
        return mf_fail_memory(err);
    r->store = st;
    r->err = err;
    r->chunk = (uint8_t *)mf_alloc(st->mem, MF_CHUNK_LENGTH);
    r->state.contents = (mf_items *)mf_alloc(st->mem, sizeof *r->state.contents);
    if (!r->chunk || !r->state.contents) {
        mf_free(st->mem, r->chunk);
        mf_free(st->mem, r->state.contents);
        mf_free(st->mem, r);
        return mf_fail_memory(err);
    }
    mf_items_init(r->state.contents, st->mem);
    mf_buffer_init(&r->plain, st->mem);
    int sealed = mf_store_unlock(st, false, err), rc = sealed;
    if (rc == MEMFILE_OK)
        rc = mf_tail_find(st, size, &newest, &damage, &why);
    if (rc == MEMFILE_OK)
        rc = mf_tail_counts(st, r->newest = newest, size, &end, &why);
    bool found = rc == MEMFILE_OK && !damage;
    if (rc != MEMFILE_OK)
        end = size;
    if (sealed != MEMFILE_OK)
        rc = sealed;
    else if (rc == MEMFILE_E_SYSTEM || rc == MEMFILE_E_MEMORY)
        *err = why;
    else
        rc = mf_walk_open(&r->walk, st, end, err);
    while (rc == MEMFILE_OK && (rc = mf_walk_group_next(&r->walk, &g, err)) == MEMFILE_OK)
        rc = note_group(r, &g);
    mf_walk_close(&r->walk);
    end_content(r);
    mf_items_sort(r->state.contents);
    if (rc == MEMFILE_DONE && r->state.contents->failed)
        rc = mf_fail_memory(err);
    if (rc == MEMFILE_DONE && !r->state.blocks)
        rc = mf_fail(err, MEMFILE_E_DAMAGED, MF_HEADER_LENGTH, "no sound entry was found in the file");
    if (rc == MEMFILE_DONE) {
        r->state.file_size = size;
        r->state.end = end;
        r->state.end_known = found && r->state.commit_offset == r->newest;
        r->state.unfinished_is_damage = true;
        r->state.lost_commits = 1; /* which refuses writing */
        rc = adopt(r, end);
    }
    mf_buffer_free(&r->plain);
    mf_state_free(&r->state, st->mem);
    mf_free(st->mem, r->chunk);
    mf_free(st->mem, r);
    return rc;
}
