/* verify_segment: segments other than records and commits, and the contents that their chunks make. SPEC 15.5. */
#include "verify.h"

#include <stdlib.h>

int mf_verify_end_object(mf_verify *v)
{
    bool chunks = v->in_object && v->object_tree.count > 0; /* its first chunk may be damaged */
    v->in_object = false;
    if (!chunks)
        return MEMFILE_OK;
    void *grown = v->wholes;
    if (mf_grow(&v->mem, &grown, &v->whole_capacity, v->whole_count + 1, sizeof *v->wholes) != 0)
        return mf_fail_memory(v->err);
    v->wholes = (mf_whole *)grown;
    mf_whole *o = &v->wholes[v->whole_count++];
    mf_tree_root(&v->object_tree, o->root);
    o->length = v->object_length;
    o->text = v->object_text && v->object_utf8.left == 0;
    o->number = v->object_number;
    mf_items_add(&v->contents, MF_ITEM_OBJECT, mf_load64(o->root), v->object_number);
    mf_verify_expect(v, MF_ITEM_OBJECT, mf_load64(o->root), v->object_number);
    return v->contents.failed ? mf_fail_memory(v->err) : MEMFILE_OK;
}

/* SPEC 11.2: numbers rise. Of two contents with the same number the later one counts, as with entries that
 * were given up. */
static void forget_objects(mf_verify *v, const mf_segment *s, uint64_t number)
{
    size_t before = v->whole_count;
    while (v->whole_count > 0 && v->wholes[v->whole_count - 1].number >= number)
        v->whole_count--;
    mf_items_forget_contents(&v->contents, number);
    if (v->whole_count < before)
        mf_verify_find(v, MEMFILE_E_DAMAGED, s->offset, mf_segment_total(s), 0, 0,
                       "the number of the content that begins here was given before");
}

static int check_chunk(mf_verify *v, const mf_segment *s, mf_slice head, mf_slice stored)
{
    uint8_t hash[32];
    mf_verify_worker *w = &v->workers[0];
    mf_cursor c = mf_cursor_of(head.data, head.length);
    uint64_t number = mf_get_varint_max(&c, MF_ENTRIES_MAX - 1), index = mf_get_varint_max(&c, MF_CHUNKS_MAX - 1);
    if (!mf_cursor_finished(&c) || s->raw_length == 0 || s->raw_length > MF_CHUNK_LENGTH ||
        s->codec == MF_CODEC_ZSTD_DICTIONARY)
        return mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "the chunk at offset %llu does not decode",
                       (unsigned long long)s->offset);
    if (index == 0 || number != v->object_number) { /* the one before it ends here, even if the first chunk of this is lost */
        int rc = mf_verify_end_object(v);
        if (rc != MEMFILE_OK)
            return rc;
    }
    if (index == 0) {
        forget_objects(v, s, number);
        v->in_object = true;
        v->object_number = number;
        v->chunk_index = v->object_length = 0;
        v->object_text = true;
        v->object_utf8 = (mf_utf8){0, 0, 0};
        mf_tree_init(&v->object_tree, MF_ENTRIES_FANOUT);
    }
    if (!v->in_object || index != v->chunk_index || v->object_length % MF_CHUNK_LENGTH != 0) {
        v->in_object = false; /* what is left of it is not whole */
        return mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "the chunk at offset %llu does not follow the one before it",
                       (unsigned long long)s->offset);
    }
    mf_buffer_clear(&w->content);
    uint8_t *content = mf_buffer_reserve(&w->content, s->raw_length);
    if (!content)
        return mf_fail_memory(v->err);
    int rc = mf_segment_content(s, stored, &w->compressor, NULL, content, v->err);
    if (rc != MEMFILE_OK)
        return rc;
    v->object_text = v->object_text && mf_utf8_feed(&v->object_utf8, content, s->raw_length);
    mf_digest(hash, MF_LABEL_CHUNK, content, s->raw_length);
    mf_tree_add(&v->object_tree, hash);
    v->chunk_index++;
    v->object_length += s->raw_length;
    mf_items_add(&v->contents, MF_ITEM_CHUNK, number << 24 | index, s->offset / 8);
    mf_verify_expect(v, MF_ITEM_CHUNK, number << 24 | index, s->offset / 8);
    return v->contents.failed ? mf_fail_memory(v->err) : MEMFILE_OK;
}

static int add_dictionary(mf_verify *v, const uint8_t *content, size_t length, uint64_t id)
{
    mf_dictionary *d = NULL;
    for (size_t i = 0; i < v->store.dictionary_count; i++)
        if (v->store.dictionaries[i]->id == id)
            return MEMFILE_OK;
    if (v->store.dictionary_count >= MF_DICTIONARIES_MAX) /* no footer can name so many */
        return MEMFILE_OK;
    if (mf_dictionary_new(v->store.mem, content, length, 0, &d) == MEMFILE_OK &&
        mf_store_add_dictionary(&v->store, d) == MEMFILE_OK)
        return MEMFILE_OK;
    mf_dictionary_free(d);
    return mf_fail_memory(v->err);
}

static int check_dictionary(mf_verify *v, const mf_segment *s, mf_slice head, mf_slice stored)
{
    mf_cursor c = mf_cursor_of(head.data, head.length);
    uint64_t id = mf_get_varint(&c);
    uint8_t copy = mf_get_u8(&c);
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
    if (rc == MEMFILE_OK)
        rc = add_dictionary(v, content, s->raw_length, id);
    mf_free(&v->mem, content);
    return rc;
}

static int check_page(mf_verify *v, const mf_segment *s, mf_slice head)
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

static int check_history(mf_verify *v, const mf_segment *s, mf_slice head)
{
    mf_history history;
    mf_arena_reset(&v->workers[0].arena);
    int rc = mf_history_decode(&history, head, &v->workers[0].arena, s->offset, v->err);
    if (rc != MEMFILE_OK)
        return rc;
    if (v->entries > 0 || v->any_commit)
        return mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "folded commits at offset %llu stand behind entries",
                       (unsigned long long)s->offset);
    if (v->history_count > 0 && s->offset != v->history_end)
        mf_verify_find(v, MEMFILE_E_DAMAGED, s->offset, mf_segment_total(s), 0, 0,
                       "the segments of folded commits do not stand one after the other");
    if (v->history_count == 0 && history.row_count == 0 && v->damaged_at == 0)
        mf_verify_find(v, MEMFILE_E_DAMAGED, s->offset, mf_segment_total(s), 0, 0, "salts of no commit before them");
    v->history_end = s->offset + mf_segment_total(s);
    if (mf_history_cursor_add(&v->salts, s->offset) != MEMFILE_OK ||
        mf_history_cursor_add(&v->commits, s->offset) != MEMFILE_OK)
        return mf_fail_memory(v->err);
    v->folding = true;
    if (v->history_count++ == 0)
        v->first_history = s->offset;
    v->salt_root_known = false;
    return v->listener && v->listener->segment ? v->listener->segment(v->listener->context, s->offset, true) : MEMFILE_OK;
}

/* A checked segment of a group, not the commit. */
int mf_verify_segment(mf_verify *v, const mf_segment *s, const uint8_t *raw)
{
    mf_slice head, stored;
    int rc = mf_segment_split(s, raw, &head, &stored, v->err);
    if (rc != MEMFILE_OK)
        return rc;
    switch (s->type) {
    case MF_TYPE_RECORDS:
        if (v->folding && !v->any_commit)
            rc = mf_verify_fold(v);
        return rc == MEMFILE_OK ? mf_verify_give_block(v, s, raw) : rc;
    case MF_TYPE_CHUNK: return check_chunk(v, s, head, stored);
    case MF_TYPE_INDEX: return check_page(v, s, head);
    case MF_TYPE_DICTIONARY: return check_dictionary(v, s, head, stored);
    case MF_TYPE_HISTORY: return check_history(v, s, head);
    case MF_TYPE_VOID: return MEMFILE_OK; /* its place was checked with the group */
    case MF_TYPE_KEYS: return MEMFILE_OK; /* checked before anything was opened */
    default: /* OPTIONAL, or it would not have been decoded */
        return v->listener && v->listener->unknown && !(s->flags & MF_FLAG_DERIVED)
                   ? v->listener->unknown(v->listener->context, s)
                   : MEMFILE_OK;
    }
}

/* ---- contents */

static int compare_wholes(const void *a, const void *b)
{
    return memcmp(((const mf_whole *)a)->root, ((const mf_whole *)b)->root, 32);
}

int mf_verify_contents(mf_verify *v)
{
    int rc = MEMFILE_OK;
    if (v->whole_count)
        qsort(v->wholes, v->whole_count, sizeof *v->wholes, compare_wholes);
    for (size_t i = 0; i < v->named_count && rc == MEMFILE_OK; i++) {
        mf_whole wanted = {{0}, 0, 0, false};
        memcpy(wanted.root, v->named[i].root, 32);
        const mf_whole *o = v->whole_count ? (const mf_whole *)bsearch(&wanted, v->wholes, v->whole_count,
                                                                      sizeof *v->wholes, compare_wholes)
                                           : NULL;
        bool whole = o && o->length == v->named[i].length;
        if (whole && (o->text || !v->named[i].text))
            continue;
        mf_verify_find(v, MEMFILE_E_DAMAGED, MF_NOWHERE, 0, v->named[i].entry, 1,
                       whole ? "the entry names a content as text that is not valid UTF-8"
                             : "the entry names a content that is not whole in the file");
        v->result->lost_entries++;
        v->result->entries--;
        if (v->listener && v->listener->broken)
            rc = v->listener->broken(v->listener->context, v->named[i].entry);
    }
    return rc;
}
