/* repair: one walk over the file, group by group. */
#include "repair.h"

#include <string.h>

#include "block.h"
#include "checksum.h"
#include "commit.h"
#include "fold.h"
#include "segment.h"

#define GROUP_MAX 256 /* RECORDS segments of one group that are looked at */
#define DICTIONARIES_MAX 4

typedef struct repair {
    uint8_t *data;
    size_t size;
    unsigned what;
    uint32_t tag;
    uint64_t previous_commit;
    uint8_t stored[MF_DIGEST_LENGTH]; /* of the newest commit */
    mf_stored_chain chain;            /* of the group, if anything stands in it */
    bool chained;
    size_t group_start;
    uint64_t group_tag; /* SPEC 9.4 */
    size_t blocks[GROUP_MAX]; /* RECORDS segments of the group */
    unsigned block_count;
    mf_fold fold;
    bool folded; /* there is a HISTORY segment: digests stay as they are */
    uint8_t salt_root[MF_SALT_LENGTH];
    mf_dictionary *dictionaries[DICTIONARIES_MAX];
    unsigned dictionary_count;
    mf_compressor compressor;
    mf_record record;
} repair;

/* ---- where the fields of a commit head stand */

typedef struct commit_fields {
    uint64_t flags, number, count, salt_index;
    uint8_t *history_digest, *salt_root; /* salt_root: NULL if not there */
    uint8_t *stored_prefix;              /* NULL: not FULL */
    uint8_t *frontier;
    unsigned frontier_count;
} commit_fields;

static void skip_list(mf_cursor *c, size_t element)
{
    uint64_t n = mf_get_varint_max(c, 4096);
    mf_get_bytes(c, n * element);
}

static bool find_fields(mf_slice head, commit_fields *f)
{
    mf_cursor c = mf_cursor_of(head.data, head.length);
    memset(f, 0, sizeof *f);
    f->flags = mf_get_varint(&c);
    f->number = mf_get_varint(&c);
    mf_get_varint(&c);
    f->count = mf_get_varint(&c);
    mf_get_varint(&c);
    mf_get_varint(&c); /* Time */
    if (f->flags & MF_COMMIT_ORDER)
        mf_get_varint(&c);
    f->history_digest = (uint8_t *)mf_get_bytes(&c, 32);
    if (f->count)
        f->salt_index = mf_get_varint(&c);
    if (f->flags & MF_COMMIT_SALT)
        f->salt_root = (uint8_t *)mf_get_bytes(&c, MF_SALT_LENGTH);
    if (f->flags & MF_COMMIT_PARENTS)
        skip_list(&c, 32);
    if (f->flags & MF_COMMIT_AUTHOR)
        mf_get_string(&c);
    if (f->flags & MF_COMMIT_EXTRA)
        mf_get_string(&c);
    if (f->flags & MF_COMMIT_SIGNATURES)
        skip_list(&c, 96);
    if (c.failed)
        return false;
    if (f->flags & MF_COMMIT_FULL) {
        f->stored_prefix = (uint8_t *)mf_get_bytes(&c, 32);
        for (int i = 0; i < 4; i++)
            mf_get_varint(&c);
        f->frontier_count = (unsigned)mf_get_varint_max(&c, 64);
        f->frontier = (uint8_t *)mf_get_bytes(&c, (uint64_t)f->frontier_count * 32);
        if (c.failed)
            f->frontier_count = 0;
    }
    return true;
}

static bool segment_at(const repair *r, size_t at, mf_segment *s, size_t *total)
{
    const uint8_t *p = r->data + at;
    if (r->size - at < MF_SEGMENT_HEADER_LENGTH || !mf_segment_has_magic(p))
        return false;
    mf_segment_fields(s, p);
    s->offset = at;
    *total = (size_t)mf_segment_total(s);
    return s->stored_length <= MF_STORED_LENGTH_MAX && s->raw_length <= MF_RAW_LENGTH_MAX && *total <= r->size - at;
}

/* Head and, if out is not NULL, content, which the caller frees. */
static bool open_segment(repair *r, const mf_segment *s, mf_slice *head, uint8_t **out)
{
    memfile_error e;
    mf_slice stored;
    const mf_dictionary *d = NULL;
    if (mf_segment_split(s, r->data + s->offset, head, &stored, &e) != MEMFILE_OK)
        return false;
    if (!out)
        return true;
    for (unsigned i = 0; i < r->dictionary_count; i++)
        if (r->dictionaries[i]->id == s->codec_parameter)
            d = r->dictionaries[i];
    *out = (uint8_t *)mf_alloc(&mf_mem_default, (size_t)s->raw_length + 1);
    if (*out && mf_segment_content(s, stored, &r->compressor, d, *out, &e) == MEMFILE_OK)
        return true;
    mf_free(&mf_mem_default, *out);
    *out = NULL;
    return false;
}

static void note_dictionary(repair *r, const mf_segment *s)
{
    mf_slice head;
    uint8_t *content;
    if (r->dictionary_count == DICTIONARIES_MAX || !open_segment(r, s, &head, &content))
        return;
    if (mf_dictionary_new(&mf_mem_default, content, s->raw_length, 0, &r->dictionaries[r->dictionary_count]) == MEMFILE_OK)
        r->dictionary_count++;
    mf_free(&mf_mem_default, content);
}

/* ---- history */

static void fold_rows(repair *r, mf_block *block, mf_salts *salts, uint64_t *index)
{
    mf_buffer core;
    mf_buffer_init(&core, &mf_mem_default);
    for (uint32_t row = 0; row < block->rows; row++, ++*index) {
        uint8_t leaf[MF_DIGEST_LENGTH] = {0}, salt[MF_SALT_LENGTH];
        const uint8_t *erased = mf_block_erased(block, row);
        mf_salts_at(salts, (uint32_t)*index, salt);
        mf_buffer_clear(&core);
        mf_put_bytes(&core, salt, sizeof salt);
        if (erased)
            memcpy(leaf, erased, sizeof leaf);
        else if (mf_block_core(block, row, &core) == 0)
            mf_digest(leaf, MF_LABEL_LEAF, core.data, core.length);
        mf_fold_leaf(&r->fold, leaf);
    }
    mf_buffer_free(&core);
}

static void fold_block(repair *r, const mf_segment *s, mf_slice columns, mf_salts *salts, uint64_t *index)
{
    mf_slice head;
    uint8_t *content;
    mf_arena arena;
    mf_block block;
    if (!open_segment(r, s, &head, &content))
        return;
    mf_arena_init(&arena, &mf_mem_default);
    if (!columns.data) {
        mf_cursor c = mf_cursor_of(head.data, head.length);
        mf_get_varint(&c);
        columns = mf_slice_of(c.at, mf_cursor_left(&c));
    }
    if (mf_block_parse(&block, columns, &arena) == 0 && block.content_length == s->raw_length) {
        mf_block_set_content(&block, content);
        fold_rows(r, &block, salts, index);
    }
    mf_arena_free(&arena);
    mf_free(&mf_mem_default, content);
}

static void repair_history(repair *r, const mf_segment *s, mf_slice head, const commit_fields *f)
{
    memfile_error e;
    mf_commit k;
    mf_salts salts;
    mf_history_row row;
    uint64_t index;
    if (mf_commit_decode(&k, head, NULL, &mf_mem_default, s->offset, &e) != MEMFILE_OK)
        return;
    if (!(k.flags & MF_COMMIT_LOGICAL)) {
        memcpy(f->history_digest, r->fold.digest, 32);
        return;
    }
    if (k.flags & MF_COMMIT_SALT)
        memcpy(r->salt_root, k.salt_root, sizeof r->salt_root);
    index = k.salt_index;
    mf_salts_init(&salts, r->salt_root);
    for (unsigned i = 0; i < r->block_count; i++) {
        mf_segment block;
        size_t total;
        if (segment_at(r, r->blocks[i], &block, &total))
            fold_block(r, &block, (mf_slice){0}, &salts, &index);
    }
    if (k.flags & MF_COMMIT_INLINE)
        fold_block(r, s, k.columns, &salts, &index);
    mf_history_row_of(&row, &k);
    if (mf_fold_end(&r->fold, k.number, &row) == 0)
        memcpy(f->history_digest, r->fold.digest, 32);
    if (f->frontier && f->frontier_count == r->fold.frontier_before_count)
        memcpy(f->frontier, r->fold.frontier_before, (size_t)f->frontier_count * 32);
}

/* ---- segments */

static void repair_void(repair *r, const mf_segment *s)
{
    uint8_t *body = r->data + s->offset + MF_SEGMENT_HEADER_LENGTH, digest[MF_DIGEST_LENGTH];
    size_t length = (size_t)s->offset - r->group_start;
    if (s->stored_length == 17 && body[0] == 16 && (r->what & FUZZ_REPAIR_CHECKSUMS)) {
        mf_store64(body + 1, length);
        mf_store64(body + 9, mf_checksum(r->data + r->group_start, length));
    }
    mf_chain_begin(&r->chain, r->stored);
    r->chained = true;
    r->block_count = 0;
    mf_digest(digest, MF_LABEL_BYTES, r->data + r->group_start, length);
    mf_chain_void(&r->chain, length, digest);
}

static void repair_header(repair *r, const mf_segment *s)
{
    uint8_t *p = r->data + s->offset, *body = p + MF_SEGMENT_HEADER_LENGTH;
    size_t padded = (size_t)mf_align8(s->stored_length);
    if (r->what & FUZZ_REPAIR_PLACES) {
        mf_store64(p + 16, s->offset);
        mf_store64(p + 24, r->previous_commit);
        bool binds = (s->flags & (MF_FLAG_COMMIT | MF_FLAG_SYNCED)) == MF_FLAG_COMMIT;
        mf_store64(p + 32, mf_parent_tag(r->stored) ^ (binds ? r->group_tag : 0));
        mf_store32(p + 40, r->tag);
    }
    if (r->what & FUZZ_REPAIR_CHECKSUMS) {
        memset(body + s->stored_length, 0, padded - s->stored_length);
        if (s->flags & MF_FLAG_COMMIT)
            mf_trailer_encode(body + padded, mf_segment_total(s));
        mf_store64(p + 48, mf_checksum(body, s->stored_length));
        mf_store64(p + 56, mf_checksum(p, 56));
    }
}

static void repair_commit(repair *r, const mf_segment *s)
{
    uint8_t prefix[MF_DIGEST_LENGTH];
    mf_slice head;
    commit_fields f;
    memcpy(prefix, r->stored, sizeof prefix);
    if (r->chained)
        mf_chain_end(&r->chain, prefix);
    if (open_segment(r, s, &head, NULL) && find_fields(head, &f)) {
        if ((r->what & FUZZ_REPAIR_HISTORY) && !r->folded)
            repair_history(r, s, head, &f);
        if (f.stored_prefix && (r->what & FUZZ_REPAIR_PLACES))
            memcpy(f.stored_prefix, prefix, sizeof prefix);
    }
    memcpy(r->stored, prefix, sizeof prefix);
}

static void chain(repair *r, const mf_segment *s)
{
    uint8_t digest[MF_DIGEST_LENGTH];
    const uint8_t *p = r->data + s->offset;
    mf_digest(digest, MF_LABEL_BYTES, p + MF_SEGMENT_HEADER_LENGTH, s->stored_length);
    if (!r->chained)
        mf_chain_begin(&r->chain, r->stored);
    r->chained = true;
    mf_chain_segment(&r->chain, p, digest);
}

static void repair_segment(repair *r, const mf_segment *s, size_t total)
{
    uint8_t before[MF_DIGEST_LENGTH];
    memcpy(before, r->stored, sizeof before);
    if (s->type == MF_TYPE_VOID && s->offset > r->group_start)
        repair_void(r, s);
    if (s->type == MF_TYPE_DICTIONARY)
        note_dictionary(r, s);
    r->folded = r->folded || s->type == MF_TYPE_HISTORY;
    if (!(s->flags & MF_FLAG_COMMIT)) {
        repair_header(r, s);
        chain(r, s);
        r->group_tag = mf_group_tag(r->group_tag, r->data + s->offset);
        if (s->type == MF_TYPE_RECORDS && r->block_count < GROUP_MAX)
            r->blocks[r->block_count++] = (size_t)s->offset;
        return;
    }
    repair_commit(r, s); /* r->stored is P of the group now */
    uint8_t prefix[MF_DIGEST_LENGTH];
    memcpy(prefix, r->stored, sizeof prefix);
    memcpy(r->stored, before, sizeof before);
    repair_header(r, s);
    memcpy(r->stored, prefix, sizeof prefix);
    r->chained = false;
    chain(r, s); /* S = H(P || B(commit)) */
    mf_chain_end(&r->chain, r->stored);
    r->chained = false;
    r->previous_commit = s->offset;
    r->group_start = (size_t)s->offset + total;
    r->group_tag = 0;
    r->block_count = 0;
}

void fuzz_repair(uint8_t *data, size_t size, unsigned what)
{
    static repair state;
    repair *r = &state;
    if (size < MF_HEADER_LENGTH)
        return;
    memset(r, 0, sizeof *r);
    r->data = data;
    r->size = size;
    r->what = what;
    if (what & FUZZ_REPAIR_CHECKSUMS)
        mf_store64(data + 72, mf_checksum(data, 72));
    r->tag = mf_load32(data + 32);
    r->group_start = MF_HEADER_LENGTH;
    mf_stored_begin(r->stored, data);
    mf_fold_init(&r->fold, data + 48, &mf_mem_default);
    mf_compressor_init(&r->compressor);
    for (size_t at = MF_HEADER_LENGTH; at < size;) {
        mf_segment s;
        size_t total;
        if (segment_at(r, at, &s, &total)) {
            repair_segment(r, &s, total);
            at += total;
        } else {
            at += 8;
        }
    }
    for (unsigned i = 0; i < r->dictionary_count; i++)
        mf_dictionary_free(r->dictionaries[i]);
    mf_compressor_free(&r->compressor);
}
