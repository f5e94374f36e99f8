/* record: an entry in its canonical form, the core, taken apart and checked. SPEC 7. */
#ifndef MF_RECORD_H
#define MF_RECORD_H

#include "bytes.h"
#include "format.h"

typedef struct mf_id {
    const uint8_t *data;
    uint32_t length;
    bool binary; /* 16 bytes rather than text */
} mf_id;

static inline bool mf_id_equal(mf_id a, mf_id b)
{
    return a.binary == b.binary && a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

typedef struct mf_time {
    int64_t seconds;
    uint32_t fraction; /* `digits` digits behind the point, as a number */
    uint8_t digits;
} mf_time;

typedef struct mf_link {
    mf_slice relation;
    mf_id target;
} mf_link;

#define MF_REST_PIECES 16

/* Fields with a column of their own; all else is `rest`. Slices point into
 * what was parsed. Large: keep one for many records. */
typedef struct mf_record {
    uint32_t mask; /* MF_COLUMN_..., of what is here */
    mf_id id;
    mf_slice kind, key, text, idempotency_key;
    mf_time time, expires;
    uint32_t scope_count, tag_count, link_count, rest_count;
    mf_slice scope[MF_SCOPE_MAX];
    mf_slice tags[MF_TAGS_MAX];
    mf_link links[MF_LINKS_MAX];
    mf_slice rest[MF_REST_PIECES]; /* key/value pairs in order */
    mf_slice vector;               /* the part, if it is at hand; not in the core */
    /* looked up in the rest: */
    uint64_t op;
    bool has_content;
    uint64_t content_form, content_length;
    const uint8_t *content_root;
    bool has_embedding;
    mf_slice embedding_space;
    uint64_t embedding_type, embedding_count;
    const uint8_t *embedding_hash;
    mf_slice supersedes, derived_from; /* as CBOR; length 0: absent */
    size_t rest_length;
} mf_record;

/* Leaves in a field supersedes, given as its CBOR value: how many, and the first; they stand
 * MF_LEAF_STRIDE bytes apart. 0 for null and for what is not there. */
#define MF_LEAF_STRIDE 34u
uint32_t mf_record_leaves(mf_slice value, const uint8_t **first);

/* What a field is called in JSON (SPEC 7.7); field < MF_FIELD_COUNT. */
const char *mf_field_name(unsigned field);
/* The field of that name, or MF_FIELD_COUNT. CONTENT has none: in JSON it is text or data. */
unsigned mf_field_named(mf_slice name);

/* Takes a core apart and checks all of SPEC 7. `code` is the class to report
 * for a core that is not valid (INVALID for input, DAMAGED for a file's). */
int mf_record_parse(mf_record *record, mf_slice core, int code, uint64_t offset, memfile_error *err);
/* Is a vector part of the type, count and kind of values that the record names? An empty one is, always. */
bool mf_record_fits_vector(const mf_record *record, mf_slice part);

/* Times as in SPEC 7.1. mf_time_parse: RFC 3339, UTC. */
bool mf_time_parse(mf_time *out, const char *text, size_t length);
/* Writes at most 31 characters and a NUL; returns the length. */
size_t mf_time_print(const mf_time *time, char out[32]);
uint32_t mf_time_nanoseconds(const mf_time *time);
int mf_time_compare(const mf_time *a, const mf_time *b);
void mf_cbor_put_time(mf_buffer *b, const mf_time *time);
/* a time from its CBOR; fails the cursor on anything else */
mf_time mf_cbor_get_time(mf_cursor *c);

/* The canonical id of a text: a lower-case UUID becomes 16 bytes, in `binary`. */
mf_id mf_id_from_text(const char *text, size_t length, uint8_t binary[16]);
/* As text, NUL-terminated; returns the length. */
size_t mf_id_print(mf_id id, char out[256]);
void mf_cbor_put_id(mf_buffer *b, mf_id id);
mf_id mf_cbor_get_id(mf_cursor *c);

#endif
