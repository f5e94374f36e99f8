/* content: SPEC 11. */
#include "content.h"

void mf_content_writer_init(mf_content_writer *w, mf_group *group, mf_items *items, uint64_t *objects, int level)
{
    memset(w, 0, sizeof *w);
    w->group = group;
    w->items = items;
    w->objects = objects;
    w->level = level;
    mf_buffer_init(&w->head, group->store->mem);
    mf_built_init(&w->built, group->store->mem, &group->store->seal);
    mf_compressor_init(&w->compressor);
}

void mf_content_writer_free(mf_content_writer *w)
{
    mf_buffer_free(&w->head);
    mf_built_free(&w->built);
    mf_compressor_free(&w->compressor);
    if (w->group)
        mf_free(w->group->store->mem, w->chunk);
    w->chunk = NULL;
}

int mf_content_writer_begin(mf_content_writer *w, int form, bool dry, memfile_error *err)
{
    if (!w->chunk && !(w->chunk = (uint8_t *)mf_alloc(w->group->store->mem, MF_CHUNK_LENGTH)))
        return mf_fail_memory(err);
    w->form = form;
    w->dry = dry;
    w->in_chunk = 0;
    w->total = w->chunks = 0;
    w->utf8 = (mf_utf8){0, 0, 0};
    w->object = *w->objects;
    mf_tree_init(&w->tree, MF_ENTRIES_FANOUT);
    return MEMFILE_OK;
}

static int write_chunk(mf_content_writer *w, memfile_error *err)
{
    uint8_t hash[32];
    uint64_t offset;
    if (w->in_chunk == 0)
        return MEMFILE_OK;
    if (w->chunks >= MF_CHUNKS_MAX)
        return mf_fail(err, MEMFILE_E_LIMIT, MF_NOWHERE, "a content has more than 4 TiB");
    mf_digest(hash, MF_LABEL_CHUNK, w->chunk, w->in_chunk);
    mf_tree_add(&w->tree, hash);
    int rc = MEMFILE_OK;
    if (!w->dry) {
        mf_buffer_clear(&w->head);
        mf_put_varint(&w->head, w->object);
        mf_put_varint(&w->head, w->chunks);
        if (w->head.failed)
            return mf_fail_memory(err);
        rc = mf_segment_build(&w->built, MF_TYPE_CHUNK, 0, mf_slice_of(w->head.data, w->head.length),
                              mf_slice_of(w->chunk, w->in_chunk), &w->compressor, w->level, NULL, err);
        if (rc == MEMFILE_OK)
            rc = mf_group_append(w->group, &w->built, &offset, err);
        if (rc == MEMFILE_OK)
            mf_items_add(w->items, MF_ITEM_CHUNK, w->object << 24 | w->chunks, offset / 8);
        if (rc == MEMFILE_OK && w->items->failed)
            rc = mf_fail_memory(err);
    }
    w->chunks++;
    w->in_chunk = 0;
    return rc;
}

int mf_content_writer_add(mf_content_writer *w, const void *data, size_t length, memfile_error *err)
{
    const uint8_t *p = (const uint8_t *)data;
    if (w->form == MF_CONTENT_TEXT && !mf_utf8_feed(&w->utf8, p, length))
        return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE,
                       "the text is not valid UTF-8 near byte %llu; put it as data instead",
                       (unsigned long long)w->total);
    while (length > 0) {
        int rc = w->in_chunk == MF_CHUNK_LENGTH ? write_chunk(w, err) : MEMFILE_OK;
        if (rc != MEMFILE_OK)
            return rc;
        size_t n = MF_CHUNK_LENGTH - w->in_chunk < length ? MF_CHUNK_LENGTH - w->in_chunk : length;
        memcpy(w->chunk + w->in_chunk, p, n);
        w->in_chunk += n;
        w->total += n;
        p += n;
        length -= n;
    }
    return MEMFILE_OK;
}

bool mf_content_writer_is_short(const mf_content_writer *w, mf_slice *out)
{
    *out = mf_slice_of(w->chunk, w->in_chunk);
    return w->total <= MF_INLINE_CONTENT_MAX;
}

int mf_content_writer_end(mf_content_writer *w, mf_detached *out, memfile_error *err)
{
    if (w->form == MF_CONTENT_TEXT && w->utf8.left > 0)
        return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "the text ends within a character");
    int rc = write_chunk(w, err);
    if (rc != MEMFILE_OK)
        return rc;
    out->form = (uint64_t)w->form;
    out->length = w->total;
    mf_tree_root(&w->tree, out->root);
    if (!w->dry) {
        mf_items_add(w->items, MF_ITEM_OBJECT, mf_load64(out->root), w->object);
        ++*w->objects;
    }
    return MEMFILE_OK;
}

/* ---- finding */

static uint64_t chunk_count(const mf_detached *content)
{
    return (content->length + MF_CHUNK_LENGTH - 1) / MF_CHUNK_LENGTH;
}

static int find_chunk(mf_store *st, const mf_items *items, uint64_t object, uint64_t index, uint64_t *offset,
                      memfile_error *err)
{
    uint64_t key = object << 24 | index;
    if (!items)
        items = st->state->contents;
    size_t low = 0, count = items ? items->kind[MF_ITEM_CHUNK].count : 0;
    *offset = 0;
    for (size_t high = count; low < high;) { /* they were added in order */
        size_t middle = low + (high - low) / 2;
        if (items->kind[MF_ITEM_CHUNK].pairs[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < count && items->kind[MF_ITEM_CHUNK].pairs[low].key == key) {
        *offset = items->kind[MF_ITEM_CHUNK].pairs[low].value * 8;
        return MEMFILE_OK;
    }
    for (uint32_t r = st->state->footer.run_count; r-- > 0;) {
        mf_item target = {MF_ITEM_CHUNK, key, UINT64_MAX}, found;
        int rc = mf_store_floor(st, &st->state->footer.runs[r], &target, &found, err);
        if (rc < 0)
            return rc;
        if (rc == MEMFILE_OK && found.kind == MF_ITEM_CHUNK && found.key == key && found.value <= UINT64_MAX / 8) {
            *offset = found.value * 8;
            return MEMFILE_OK;
        }
    }
    return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "chunk %llu of content %llu is not in the index",
                   (unsigned long long)index, (unsigned long long)object);
}

/* Reads one chunk, which must have `expected` bytes, into `out`. */
static int read_chunk(mf_store *st, const mf_items *items, uint64_t object, uint64_t index, uint8_t *out,
                      size_t expected, memfile_error *err)
{
    mf_segment s;
    uint8_t *raw = NULL;
    mf_slice head, stored;
    uint64_t offset;
    int rc = find_chunk(st, items, object, index, &offset, err);
    if (rc == MEMFILE_OK)
        rc = mf_store_segment(st, offset, 0, &s, &raw, err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_split(&s, raw, &head, &stored, err);
    if (rc == MEMFILE_OK) {
        mf_cursor c = mf_cursor_of(head.data, head.length);
        uint64_t o = mf_get_varint(&c), i = mf_get_varint(&c);
        if (!mf_cursor_finished(&c) || s.type != MF_TYPE_CHUNK || o != object || i != index ||
            s.raw_length != expected || s.codec == MF_CODEC_ZSTD_DICTIONARY)
            rc = mf_fail(err, MEMFILE_E_DAMAGED, offset, "the segment at offset %llu is not chunk %llu of content %llu",
                         (unsigned long long)offset, (unsigned long long)index, (unsigned long long)object);
    }
    if (rc == MEMFILE_OK)
        rc = mf_segment_content(&s, stored, &st->compressor, NULL, out, err);
    mf_free(st->mem, raw);
    return rc;
}

static size_t length_of_chunk(const mf_detached *content, uint64_t index)
{
    uint64_t left = content->length - index * MF_CHUNK_LENGTH;
    return left < MF_CHUNK_LENGTH ? (size_t)left : MF_CHUNK_LENGTH;
}

/* Does the object have this very root? Reads all of it. */
static int object_has_root(mf_store *st, const mf_items *items, uint64_t object, const mf_detached *content,
                           uint8_t *chunk, bool *same, memfile_error *err)
{
    mf_tree tree;
    uint8_t hash[32];
    *same = false;
    mf_tree_init(&tree, MF_ENTRIES_FANOUT);
    for (uint64_t i = 0; i < chunk_count(content); i++) {
        size_t n = length_of_chunk(content, i);
        int rc = read_chunk(st, items, object, i, chunk, n, err);
        if (rc == MEMFILE_E_DAMAGED)
            return MEMFILE_OK; /* then it is not this one, or not to be relied on */
        if (rc != MEMFILE_OK)
            return rc;
        mf_digest(hash, MF_LABEL_CHUNK, chunk, n);
        mf_tree_add(&tree, hash);
    }
    mf_tree_root(&tree, hash);
    *same = memcmp(hash, content->root, 32) == 0;
    return MEMFILE_OK;
}

/* Next candidate for the root below *object in the runs. */
static int next_candidate(mf_store *st, uint32_t *run, uint64_t key, uint64_t *object, memfile_error *err)
{
    const mf_items *known = st->state->contents;
    if (known) { /* without an index: the largest number below *object */
        uint64_t best = UINT64_MAX;
        for (size_t i = 0; i < known->kind[MF_ITEM_OBJECT].count; i++) {
            mf_pair p = known->kind[MF_ITEM_OBJECT].pairs[i];
            if (p.key == key && p.value < *object && (best == UINT64_MAX || p.value > best))
                best = p.value;
        }
        *object = best;
        return best == UINT64_MAX ? MEMFILE_DONE : MEMFILE_OK;
    }
    while (*run > 0) {
        mf_item target = {MF_ITEM_OBJECT, key, *object ? *object - 1 : 0}, found;
        if (*object > 0) {
            int rc = mf_store_floor(st, &st->state->footer.runs[*run - 1], &target, &found, err);
            if (rc < 0)
                return rc;
            if (rc == MEMFILE_OK && found.kind == MF_ITEM_OBJECT && found.key == key) {
                *object = found.value;
                return MEMFILE_OK;
            }
        }
        --*run;
        *object = UINT64_MAX;
    }
    return MEMFILE_DONE;
}

int mf_content_exists(mf_store *st, const mf_items *items, const mf_detached *content, bool *there, memfile_error *err)
{
    uint64_t key = mf_load64(content->root), object = UINT64_MAX;
    uint8_t *chunk = (uint8_t *)mf_alloc(st->mem, MF_CHUNK_LENGTH);
    uint32_t run = st->state->footer.run_count;
    int rc = chunk ? MEMFILE_OK : mf_fail_memory(err);
    *there = false;
    for (size_t i = 0; items && rc == MEMFILE_OK && !*there && i < items->kind[MF_ITEM_OBJECT].count; i++)
        if (items->kind[MF_ITEM_OBJECT].pairs[i].key == key)
            rc = object_has_root(st, items, items->kind[MF_ITEM_OBJECT].pairs[i].value, content, chunk, there, err);
    while (rc == MEMFILE_OK && !*there && (rc = next_candidate(st, &run, key, &object, err)) == MEMFILE_OK)
        rc = object_has_root(st, NULL, object, content, chunk, there, err);
    mf_free(st->mem, chunk);
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

static int find_object(mf_content_reader *r, memfile_error *err)
{
    mf_store *st = r->store;
    uint64_t key = mf_load64(r->content.root), object = UINT64_MAX, other;
    uint32_t run = st->state->footer.run_count;
    int rc = next_candidate(st, &run, key, &object, err);
    r->object = object;
    r->tag = st->tag;
    if (rc == MEMFILE_OK) {
        /* Nearly always there is one. If several begin alike, each is looked at. */
        uint32_t more = run;
        other = object;
        rc = next_candidate(st, &more, key, &other, err);
        bool several = rc == MEMFILE_OK;
        rc = rc == MEMFILE_DONE ? MEMFILE_OK : rc;
        while (several && rc == MEMFILE_OK) {
            bool same = false;
            rc = object_has_root(st, NULL, object, &r->content, r->chunk, &same, err);
            r->object = object;
            if (rc != MEMFILE_OK || same)
                break;
            rc = next_candidate(st, &run, key, &object, err);
        }
    }
    return rc == MEMFILE_DONE ? mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE,
                                        "the content of the entry is damaged, or not in the file")
                              : rc;
}

int mf_content_reader_open(mf_content_reader *r, mf_store *st, const mf_detached *content, memfile_error *err)
{
    memset(r, 0, sizeof *r);
    r->store = st;
    r->content = *content;
    mf_tree_init(&r->tree, MF_ENTRIES_FANOUT);
    if (!(r->chunk = (uint8_t *)mf_alloc(st->mem, MF_CHUNK_LENGTH)))
        return mf_fail_memory(err);
    int rc = find_object(r, err);
    if (rc != MEMFILE_OK)
        mf_content_reader_close(r);
    return rc;
}

int mf_content_reader_read(mf_content_reader *r, void *out, size_t size, size_t *length, memfile_error *err)
{
    *length = 0;
    while (size > *length) {
        if (r->given == r->chunk_length) {
            uint8_t hash[32];
            if (r->next_chunk == chunk_count(&r->content))
                break;
            size_t n = length_of_chunk(&r->content, r->next_chunk);
            int rc = r->tag == r->store->tag ? MEMFILE_OK : find_object(r, err); /* a compaction gives other numbers */
            if (rc == MEMFILE_OK)
                rc = read_chunk(r->store, NULL, r->object, r->next_chunk, r->chunk, n, err);
            if (rc != MEMFILE_OK) {
                *length = 0;
                return rc;
            }
            mf_digest(hash, MF_LABEL_CHUNK, r->chunk, n);
            mf_tree_add(&r->tree, hash);
            r->next_chunk++;
            if (r->next_chunk == chunk_count(&r->content)) {
                mf_tree_root(&r->tree, hash);
                if (memcmp(hash, r->content.root, 32) != 0) {
                    *length = 0;
                    return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the content is not the one the entry names");
                }
            }
            r->chunk_length = n;
            r->given = 0;
        }
        size_t n = r->chunk_length - r->given < size - *length ? r->chunk_length - r->given : size - *length;
        memcpy((uint8_t *)out + *length, r->chunk + r->given, n);
        r->given += n;
        *length += n;
    }
    return MEMFILE_OK;
}

void mf_content_reader_close(mf_content_reader *r)
{
    if (r->store)
        mf_free(r->store->mem, r->chunk);
    memset(r, 0, sizeof *r);
}
