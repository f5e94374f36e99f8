/* content: texts and bytes over 32 KiB, in chunks. SPEC 11. */
#ifndef MF_CONTENT_H
#define MF_CONTENT_H

#include "draft.h"
#include "group.h"

typedef struct mf_content_writer {
    mf_group *group;
    mf_items *items;
    uint64_t *objects; /* in the file so far; one more after each content */
    int level, form;
    bool dry; /* only hashes */
    uint8_t *chunk;
    size_t in_chunk;
    uint64_t total, chunks, object;
    mf_tree tree;
    mf_utf8 utf8;
    mf_buffer head;
    mf_built built;
    mf_compressor compressor;
} mf_content_writer;

void mf_content_writer_init(mf_content_writer *writer, mf_group *group, mf_items *items, uint64_t *objects, int level);
void mf_content_writer_free(mf_content_writer *writer);
int mf_content_writer_begin(mf_content_writer *writer, int form, bool dry, memfile_error *err);
int mf_content_writer_add(mf_content_writer *writer, const void *data, size_t length, memfile_error *err);
/* All of it was at most MF_INLINE_CONTENT_MAX: it belongs into the entry. */
bool mf_content_writer_is_short(const mf_content_writer *writer, mf_slice *out);
int mf_content_writer_end(mf_content_writer *writer, mf_detached *out, memfile_error *err);

/* Is there an object with exactly this root and length, in the file or among `items` (may be NULL)? */
int mf_content_exists(mf_store *store, const mf_items *items, const mf_detached *content, bool *there,
                      memfile_error *err);

/* Reading. */
typedef struct mf_content_reader {
    mf_store *store;
    mf_detached content;
    uint64_t object, next_chunk;
    uint32_t tag; /* the incarnation that gave the object its number */
    uint8_t *chunk;
    size_t chunk_length, given;
    mf_tree tree;
} mf_content_reader;

/* NOT_FOUND (with err) if no object has that root. */
int mf_content_reader_open(mf_content_reader *reader, mf_store *store, const mf_detached *content, memfile_error *err);
int mf_content_reader_read(mf_content_reader *reader, void *out, size_t size, size_t *length, memfile_error *err);
void mf_content_reader_close(mf_content_reader *reader);

#endif
