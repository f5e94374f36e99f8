/* block: consecutive entries as columns. SPEC 6. Knows no files and no codecs:
 * columns go to a segment's head, texts and rests to its content. */
#ifndef MF_BLOCK_H
#define MF_BLOCK_H

#include "record.h"

/* ---- writing */

typedef struct mf_block_builder mf_block_builder;

int mf_block_builder_new(const mf_mem *mem, mf_block_builder **out);
void mf_block_builder_free(mf_block_builder *builder);
void mf_block_builder_clear(mf_block_builder *builder);
/* Copies what it needs of the record. */
void mf_block_builder_add(mf_block_builder *builder, const mf_record *record);
/* A row of an entry that is no longer there. */
void mf_block_builder_add_erased(mf_block_builder *builder, const uint8_t leaf[32]);
uint32_t mf_block_builder_rows(const mf_block_builder *builder);
/* Appends the columns to `head` and texts and rests to `content`. 0, or -1 when
 * memory ran out since the last clear. */
int mf_block_builder_finish(mf_block_builder *builder, mf_buffer *head, mf_buffer *content);

/* ---- reading */

/* ids(n), SPEC 6.3, not yet expanded */
typedef struct mf_ids {
    uint32_t count;
    mf_ints classes, prefixes, suffixes, rows;
    const uint8_t *bytes;
    size_t bytes_length;
    mf_id *expanded;
} mf_ids;

typedef struct mf_times {
    int64_t *seconds;
    mf_ints digits, fractions;
} mf_times;

/* Columns taken apart. Everything points into head, content and arena. */
typedef struct mf_block {
    uint32_t rows;
    uint32_t live_rows; /* without ERASED */
    uint32_t all;       /* masks of all rows, or-ed */
    mf_ints masks;
    uint16_t *position[12]; /* per column: row -> place in the column; NULL: the row itself */
    uint32_t in_column[12];
    mf_slice *names;
    uint32_t name_count;
    uint32_t scope_count;
    uint32_t *scope_start; /* scope_count + 1 */
    mf_ints scope_names;
    mf_ids ids;
    mf_ints kind, scope;
    mf_slice *key, *idempotency_key;
    mf_times time, expires;
    uint32_t *text_end, *rest_end, *vector_end; /* within the column */
    uint32_t *tag_end, *link_end;
    mf_ints tag_names, relations;
    mf_ids targets;
    const uint8_t *vectors, *erased, *texts, *rests;
    mf_slice content; /* set by mf_block_set_content */
    size_t content_length;
    mf_arena *arena;
} mf_block;

/* Takes columns apart and checks them, using memory of `arena`. 0; -1: damaged;
 * -2: out of memory; -3: made by a newer version. */
int mf_block_parse(mf_block *block, mf_slice columns, mf_arena *arena);
/* Gives the block its texts and rests; length must be block->content_length. */
void mf_block_set_content(mf_block *block, const uint8_t *content);

static inline uint32_t mf_block_mask(const mf_block *block, uint32_t row)
{
    return (uint32_t)mf_ints_at(&block->masks, row);
}
/* Columns that need no content. */
mf_id mf_block_id(mf_block *block, uint32_t row); /* data NULL: out of memory */
const uint8_t *mf_block_erased(const mf_block *block, uint32_t row); /* leaf, or NULL */
mf_slice mf_block_kind(const mf_block *block, uint32_t row);
uint32_t mf_block_scope(const mf_block *block, uint32_t row, mf_slice *out); /* out: MF_SCOPE_MAX; returns count */
mf_slice mf_block_key(const mf_block *block, uint32_t row);
/* Have two rows the same id; the same scope and key? false where there is none. */
bool mf_block_same_id(mf_block *a, uint32_t ra, mf_block *b, uint32_t rb);
bool mf_block_same_key(const mf_block *a, uint32_t ra, const mf_block *b, uint32_t rb);
mf_slice mf_block_idempotency_key(const mf_block *block, uint32_t row);
bool mf_block_time(const mf_block *block, uint32_t row, mf_time *out);
bool mf_block_expires(const mf_block *block, uint32_t row, mf_time *out);
uint32_t mf_block_tags(const mf_block *block, uint32_t row, uint32_t *first); /* count */
mf_slice mf_block_tag(const mf_block *block, uint32_t index);
uint32_t mf_block_links(const mf_block *block, uint32_t row, uint32_t *first);
mf_slice mf_block_relation(const mf_block *block, uint32_t index);
mf_id mf_block_target(mf_block *block, uint32_t index);
mf_slice mf_block_vector(const mf_block *block, uint32_t row);
/* Content needed. */
mf_slice mf_block_text(const mf_block *block, uint32_t row);
mf_slice mf_block_rest(const mf_block *block, uint32_t row);

/* Appends the row's core to `out`. 0; -1: the row is damaged; -2: out of memory. */
int mf_block_core(mf_block *block, uint32_t row, mf_buffer *out);
/* The value of a field that stands in the rest, as CBOR; length 0 if absent. */
mf_slice mf_block_rest_field(const mf_block *block, uint32_t row, unsigned field);

#endif
