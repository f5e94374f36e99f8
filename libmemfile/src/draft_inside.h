/* draft_inside: what a draft is made of; for draft.c and draft_json.c. */
#ifndef MF_DRAFT_INSIDE_H
#define MF_DRAFT_INSIDE_H

#include "draft.h"

#define MF_TIME_FORM "a time is RFC 3339 in UTC, like 2023-05-08T13:56:02Z or 2023-05-08T13:56:02.125Z"

typedef struct slot {
    size_t offset, length; /* in `values`; length 0: absent */
} slot;

typedef struct extension {
    size_t offset, key_length, length; /* in `values`: key, then value, as CBOR */
} extension;

typedef enum content_source { FROM_NOTHING, FROM_BYTES, FROM_JSON, FROM_BASE64 } content_source;

struct memfile_draft {
    uint32_t present; /* bit per field that has a slot */
    slot slots[MF_FIELD_COUNT];
    mf_buffer values;
    mf_buffer scope, tags, links; /* items as CBOR */
    uint32_t scope_count, tag_count, link_count;
    extension *extensions;
    size_t extension_count, extension_capacity;
    content_source source;
    int form;
    mf_buffer content;  /* FROM_BYTES */
    mf_slice borrowed;  /* FROM_JSON, FROM_BASE64: of the caller's JSON */
    mf_slice reading;   /* what is left to give out */
    uint64_t content_length;
    mf_buffer vector;
    memfile_error error;
};

/* Notes the first error; returns code. */
int mf_draft_fail(memfile_draft *draft, int code, const char *what);
/* MEMFILE_OK, or that memory was short. */
int mf_draft_check(memfile_draft *draft);
/* A field's value as CBOR is appended to draft->values between these two. */
void mf_draft_slot_begin(memfile_draft *draft, unsigned field);
int mf_draft_slot_end(memfile_draft *draft, unsigned field);
void mf_draft_set_content(memfile_draft *draft, int form, content_source source, uint64_t length);
int mf_draft_set_float(memfile_draft *draft, unsigned field, double value);
/* draft->vector holds the values. */
int mf_draft_set_embedding(memfile_draft *draft, mf_slice space, unsigned type, size_t count);
void mf_draft_put_float32(mf_buffer *buffer, float value);

#endif
