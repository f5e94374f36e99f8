/* commit: SPEC 8.6, 9.1 and 9.3. */
#include "commit.h"

#include "cbor.h"

void mf_footer_free(mf_footer *f, const mf_mem *mem)
{
    mf_free(mem, f->dictionaries);
    mf_free(mem, f->runs);
    f->dictionaries = NULL;
    f->runs = NULL;
    f->run_count = f->dictionary_count = 0;
}

int mf_footer_copy(mf_footer *out, const mf_footer *f, const mf_mem *mem)
{
    *out = *f;
    out->runs = (mf_run *)mf_alloc(mem, (f->run_count + 1) * sizeof *f->runs);
    out->dictionaries = (mf_dictionary_place *)mf_alloc(mem, (f->dictionary_count + 1) * sizeof *f->dictionaries);
    if (!out->runs || !out->dictionaries) {
        mf_footer_free(out, mem);
        return MEMFILE_E_MEMORY;
    }
    if (f->run_count)
        memcpy(out->runs, f->runs, f->run_count * sizeof *f->runs);
    if (f->dictionary_count)
        memcpy(out->dictionaries, f->dictionaries, f->dictionary_count * sizeof *f->dictionaries);
    return MEMFILE_OK;
}

static void put_footer(mf_buffer *out, const mf_footer *f)
{
    mf_put_bytes(out, f->stored_prefix, 32);
    mf_put_varint(out, f->indexed_entries);
    mf_put_varint(out, f->indexed_commits);
    mf_put_varint(out, f->superseded);
    mf_put_varint(out, f->objects);
    mf_put_varint(out, f->frontier_count);
    mf_put_bytes(out, f->frontier, (size_t)f->frontier_count * 32);
    mf_put_varint(out, f->dictionary_count);
    for (uint32_t i = 0; i < f->dictionary_count; i++) {
        mf_put_varint(out, f->dictionaries[i].id);
        mf_put_varint(out, f->dictionaries[i].offset[0] / 8);
        mf_put_varint(out, f->dictionaries[i].offset[1] / 8);
    }
    mf_put_varint(out, f->keys_offset / 8);
    mf_put_varint(out, f->history_count);
    mf_put_varint(out, f->history_offset / 8);
    mf_put_varint(out, f->run_count);
    for (uint32_t i = 0; i < f->run_count; i++) {
        const mf_run *r = &f->runs[i];
        mf_put_varint(out, r->type);
        mf_put_varint(out, r->entry_count);
        mf_put_varint(out, r->root_offset / 8);
        mf_put_varint(out, r->root_length / 8);
        mf_put_varint(out, r->total_length / 8);
        mf_put_varint(out, 0); /* Parameters */
    }
    mf_put_bytes(out, f->salt_root, sizeof f->salt_root);
    mf_put_varint(out, f->forgotten);
    mf_put_varint(out, 0); /* Reserved */
}

static void get_raw(mf_cursor *c, void *out, size_t length)
{
    const uint8_t *p = mf_get_bytes(c, length);
    if (p)
        memcpy(out, p, length);
    else
        memset(out, 0, length);
}

/* an offset that is stored divided by 8 */
static uint64_t get_offset(mf_cursor *c)
{
    return mf_get_varint_max(c, UINT64_MAX / 16) * 8;
}

static void get_runs(mf_cursor *c, mf_footer *f, const mf_mem *mem, bool *no_memory)
{
    uint64_t first[2] = {0, 0}; /* of known and of other types: only the known must tile */
    f->run_count = (uint32_t)mf_get_varint_max(c, MF_RUNS_MAX);
    f->runs = (mf_run *)mf_alloc_zero(mem, (f->run_count + 1) * sizeof *f->runs);
    if (!f->runs) {
        *no_memory = true;
        c->failed = true;
        return;
    }
    for (uint32_t i = 0; i < f->run_count && !c->failed; i++) {
        mf_run *r = &f->runs[i];
        r->type = mf_get_varint(c);
        r->entry_count = mf_get_varint_max(c, MF_ENTRIES_MAX);
        r->root_offset = get_offset(c);
        r->root_length = get_offset(c);
        r->total_length = get_offset(c);
        mf_get_string(c);
        r->first_entry = first[r->type != MF_RUN_ITEMS];
        first[r->type != MF_RUN_ITEMS] += r->entry_count;
    }
    if (first[0] != f->indexed_entries)
        c->failed = true;
}

static void get_footer(mf_cursor *c, mf_footer *f, const mf_mem *mem, uint64_t number, bool *no_memory)
{
    memset(f, 0, sizeof *f);
    get_raw(c, f->stored_prefix, 32);
    f->indexed_entries = mf_get_varint_max(c, MF_ENTRIES_MAX);
    f->indexed_commits = mf_get_varint(c);
    f->superseded = mf_get_varint_max(c, MF_ENTRIES_MAX);
    f->objects = mf_get_varint_max(c, MF_ENTRIES_MAX);
    f->frontier_count = (unsigned)mf_get_varint_max(c, 64);
    if (f->frontier_count != mf_tree_frontier_length(number))
        c->failed = true;
    get_raw(c, f->frontier, (size_t)f->frontier_count * 32);
    f->dictionary_count = (uint32_t)mf_get_varint_max(c, MF_DICTIONARIES_MAX);
    f->dictionaries = (mf_dictionary_place *)mf_alloc_zero(mem, (f->dictionary_count + 1) * sizeof *f->dictionaries);
    if (!f->dictionaries) {
        *no_memory = true;
        c->failed = true;
        return;
    }
    for (uint32_t i = 0; i < f->dictionary_count && !c->failed; i++) {
        f->dictionaries[i].id = (uint32_t)mf_get_varint_max(c, UINT32_MAX);
        f->dictionaries[i].offset[0] = get_offset(c);
        f->dictionaries[i].offset[1] = get_offset(c);
    }
    f->keys_offset = get_offset(c);
    f->history_count = mf_get_varint(c);
    f->history_offset = get_offset(c);
    get_runs(c, f, mem, no_memory);
    get_raw(c, f->salt_root, sizeof f->salt_root);
    f->forgotten = mf_get_varint_max(c, MF_ENTRIES_MAX);
    mf_get_string(c);
}

void mf_commit_encode(mf_buffer *out, const mf_commit *k)
{
    mf_put_varint(out, k->flags);
    mf_put_varint(out, k->number);
    mf_put_varint(out, k->first_entry);
    mf_put_varint(out, k->entry_count);
    mf_put_varint(out, k->group_length / 8);
    mf_put_zigzag(out, k->time_us);
    if (k->flags & MF_COMMIT_ORDER)
        mf_put_varint(out, k->order);
    mf_put_bytes(out, k->history_digest, 32);
    if (k->entry_count)
        mf_put_varint(out, k->salt_index);
    if (k->flags & MF_COMMIT_SALT)
        mf_put_bytes(out, k->salt_root, sizeof k->salt_root);
    if (k->flags & MF_COMMIT_PARENTS) {
        mf_put_varint(out, k->parents.length / 32);
        mf_put_bytes(out, k->parents.data, k->parents.length);
    }
    if (k->flags & MF_COMMIT_AUTHOR)
        mf_put_string(out, k->author);
    if (k->flags & MF_COMMIT_EXTRA)
        mf_put_string(out, k->extra);
    if (k->flags & MF_COMMIT_SIGNATURES) {
        mf_put_varint(out, k->signatures.length / 96);
        mf_put_bytes(out, k->signatures.data, k->signatures.length);
    }
    if (k->flags & MF_COMMIT_FULL)
        put_footer(out, k->footer);
    else
        mf_put_varint(out, k->footer_distance / 8);
    if (k->flags & MF_COMMIT_INLINE)
        mf_put_bytes(out, k->columns.data, k->columns.length);
}

static mf_slice get_list(mf_cursor *c, size_t element)
{
    uint64_t count = mf_get_varint_max(c, 4096);
    const uint8_t *p = mf_get_bytes(c, count * element);
    return mf_slice_of(p, p ? (size_t)count * element : 0);
}

bool mf_parents_rise(mf_slice parents)
{
    for (size_t i = 32; i < parents.length; i += 32)
        if (memcmp(parents.data + i - 32, parents.data + i, 32) >= 0)
            return false;
    return true;
}

int mf_commit_decode(mf_commit *k, mf_slice head, mf_footer *footer, const mf_mem *mem, uint64_t offset,
                     memfile_error *err)
{
    mf_cursor c = mf_cursor_of(head.data, head.length);
    mf_footer scratch = {0};
    bool no_memory = false;
    memset(k, 0, sizeof *k);
    if (footer)
        memset(footer, 0, sizeof *footer);
    k->flags = mf_get_varint(&c);
    if (!c.failed && (k->flags & ~(uint64_t)MF_COMMIT_FLAGS_KNOWN))
        return mf_fail(err, MEMFILE_E_NEWER, offset, "made by a newer version: commit at offset %llu has flags %llx",
                       (unsigned long long)offset, (unsigned long long)k->flags);
    k->number = mf_get_varint_max(&c, (uint64_t)1 << 62);
    k->first_entry = mf_get_varint_max(&c, MF_ENTRIES_MAX);
    k->entry_count = mf_get_varint_max(&c, MF_ENTRIES_MAX);
    k->group_length = get_offset(&c);
    k->time_us = mf_get_zigzag(&c);
    k->order = k->flags & MF_COMMIT_ORDER ? mf_get_varint(&c) : k->time_us < 0 ? 0 : (uint64_t)k->time_us;
    get_raw(&c, k->history_digest, 32);
    if (k->entry_count)
        k->salt_index = mf_get_varint_max(&c, UINT32_MAX);
    if (k->flags & MF_COMMIT_SALT)
        get_raw(&c, k->salt_root, sizeof k->salt_root);
    if (k->flags & MF_COMMIT_PARENTS)
        k->parents = get_list(&c, 32);
    if (!mf_parents_rise(k->parents))
        c.failed = true;
    if (k->flags & MF_COMMIT_AUTHOR)
        k->author = mf_get_string(&c);
    if (k->flags & MF_COMMIT_EXTRA)
        k->extra = mf_get_string(&c);
    if (k->flags & MF_COMMIT_SIGNATURES)
        k->signatures = get_list(&c, 96);
    bool logical = k->flags & MF_COMMIT_LOGICAL;
    if (k->flags & MF_COMMIT_FULL) {
        get_footer(&c, footer ? footer : &scratch, mem, k->number, &no_memory);
        mf_footer_free(&scratch, mem);
        k->footer = footer;
    } else {
        k->footer_distance = get_offset(&c);
        if (k->footer_distance == 0 || k->footer_distance > offset)
            c.failed = true;
    }
    if (k->group_length > offset)
        c.failed = true;
    k->columns = mf_slice_of(c.at, mf_cursor_left(&c));
    if (!(k->flags & MF_COMMIT_INLINE) && k->columns.length != 0)
        c.failed = true;
    if ((!logical && (k->entry_count ||
                     (k->flags & (MF_COMMIT_PARENTS | MF_COMMIT_AUTHOR | MF_COMMIT_EXTRA | MF_COMMIT_SIGNATURES)))) ||
        (k->entry_count == 0 && (k->flags & (MF_COMMIT_INLINE | MF_COMMIT_SALT))))
        c.failed = true;
    if (!c.failed)
        return MEMFILE_OK;
    if (footer)
        mf_footer_free(footer, mem);
    if (no_memory)
        return mf_fail_memory(err);
    return mf_fail(err, MEMFILE_E_DAMAGED, offset, "the commit at offset %llu does not decode",
                   (unsigned long long)offset);
}

/* SPEC 8.6: pairs in order, whose keys are integers from 10 or text. */
static bool extra_is_sound(mf_slice extra)
{
    mf_cursor c = mf_cursor_of(extra.data, extra.length);
    mf_slice last = {0};
    while (!c.failed && c.at < c.end) {
        const uint8_t *start = c.at;
        unsigned major = mf_cbor_peek(&c) >> 5;
        if (major == MF_CBOR_TEXT)
            mf_cbor_get_text(&c);
        else if (mf_cbor_get(&c, MF_CBOR_UINT) < 10) /* 0 if it is none */
            return false;
        mf_slice key = mf_slice_of(start, (size_t)(c.at - start));
        size_t shorter = key.length < last.length ? key.length : last.length;
        int order = shorter ? memcmp(last.data, key.data, shorter) : 0;
        if (order > 0 || (order == 0 && key.length <= last.length))
            return false;
        last = key;
        mf_cbor_skip_value(&c, MF_DEPTH_MAX);
    }
    return !c.failed;
}

bool mf_commit_text_is_sound(mf_slice author, mf_slice extra)
{
    return mf_utf8_valid(author.data, author.length) && extra_is_sound(extra);
}

void mf_history_body(mf_buffer *body, const uint8_t memory_id[16], mf_slice parents, uint64_t entries,
                     const uint8_t *entries_root, const mf_tree *log, uint64_t order, int64_t time_us, mf_slice author,
                     mf_slice extra)
{
    uint64_t pairs = 5 + (parents.length > 0) + (entries > 0) + (log->count > 0) + (author.data != NULL);
    mf_cursor c = mf_cursor_of(extra.data, extra.length);
    while (!c.failed && c.at < c.end) {
        mf_cbor_skip_value(&c, 1);
        mf_cbor_skip_value(&c, MF_DEPTH_MAX);
        pairs++;
    }
    mf_cbor_put_head(body, MF_CBOR_MAP, pairs);
    mf_cbor_put_int(body, 1);
    mf_cbor_put_bytes(body, mf_slice_of(memory_id, 16));
    if (parents.length) {
        mf_cbor_put_int(body, 2);
        mf_cbor_put_head(body, MF_CBOR_ARRAY, parents.length / 32);
        for (size_t i = 0; i < parents.length; i += 32)
            mf_cbor_put_bytes(body, mf_slice_of(parents.data + i, 32));
    }
    mf_cbor_put_int(body, 3);
    mf_cbor_put_head(body, MF_CBOR_UINT, entries);
    if (entries) {
        mf_cbor_put_int(body, 4);
        mf_cbor_put_bytes(body, mf_slice_of(entries_root, 32));
    }
    mf_cbor_put_int(body, 5);
    mf_cbor_put_head(body, MF_CBOR_UINT, log->count);
    if (log->count) {
        uint8_t root[32];
        mf_tree_root(log, root);
        mf_cbor_put_int(body, 6);
        mf_cbor_put_bytes(body, mf_slice_of(root, 32));
    }
    mf_cbor_put_int(body, 7);
    mf_cbor_put_head(body, MF_CBOR_UINT, order);
    mf_cbor_put_int(body, 8);
    mf_cbor_put_int(body, time_us);
    if (author.data) { /* an empty one is known, too */
        mf_cbor_put_int(body, 9);
        mf_cbor_put_text(body, author);
    }
    mf_put_bytes(body, extra.data, extra.length);
}

void mf_history_digest(uint8_t out[32], const uint8_t memory_id[16], mf_slice parents, uint64_t entries,
                       const uint8_t *entries_root, const mf_tree *log, uint64_t order, int64_t time_us,
                       mf_slice author, mf_slice extra, const mf_mem *mem, bool *no_memory)
{
    mf_buffer body;
    mf_buffer_init(&body, mem);
    mf_history_body(&body, memory_id, parents, entries, entries_root, log, order, time_us, author, extra);
    if (body.failed)
        *no_memory = true;
    else
        mf_digest(out, MF_LABEL_COMMIT, body.data, body.length);
    mf_buffer_free(&body);
}
