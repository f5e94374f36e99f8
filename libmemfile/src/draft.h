/* draft: an entry being made: setters, JSON, and the core that comes of them. SPEC 7. */
#ifndef MF_DRAFT_H
#define MF_DRAFT_H

#include "record.h"

/* Bytes of the draft's text or data; UINT64_MAX when it has neither. */
uint64_t mf_draft_content_length(const memfile_draft *draft);
int mf_draft_content_form(const memfile_draft *draft); /* MF_CONTENT_... */
bool mf_draft_has(const memfile_draft *draft, unsigned field);
/* the first error of a setter, or NULL */
const memfile_error *mf_draft_error(const memfile_draft *draft);
/* Content in pieces, from the start after a rewind. Returns bytes written to
 * `out` (size >= 4), 0 at the end. */
void mf_draft_content_rewind(memfile_draft *draft);
size_t mf_draft_content_next(memfile_draft *draft, uint8_t *out, size_t size);
/* the vector part, length 0 if none */
mf_slice mf_draft_vector(const memfile_draft *draft);
void mf_draft_set_id(memfile_draft *draft, mf_id id);

/* Detached content as the core names it. */
typedef struct mf_detached {
    uint64_t form, length;
    uint8_t root[32];
} mf_detached;

/* Appends the core to `out`. detached NULL: content, if any, is inline. */
void mf_draft_core(memfile_draft *draft, const mf_detached *detached, mf_buffer *out);

/* SPEC 7.7: core (taken apart in *record) as one JSON object. `content` is the
 * detached content, whole, or NULL when there is none. */
void mf_record_put_json(mf_buffer *out, const mf_record *record, mf_slice core, const mf_slice *content);

#endif
