/* segment: the one mechanism that everything in the file is stored by. SPEC 4. */
#ifndef MF_SEGMENT_H
#define MF_SEGMENT_H

#include "bytes.h"
#include "compress.h"
#include "digest.h"
#include "format.h"
#include "seal.h"

typedef struct mf_segment {
    uint8_t type, flags, codec;
    uint32_t stored_length, raw_length;
    uint64_t offset, previous_commit, parent_tag;
    uint32_t incarnation_tag, codec_parameter;
    uint64_t body_checksum;
    /* Where the body of SPEC 4.3 stands in the segment's bytes; 0 while it is sealed. */
    uint32_t body_at, body_length;
} mf_segment;

#define MF_SEGMENT_MAGIC_FIRST 0xd3 /* first byte of every header */

/* Bytes from the first of the header to the end of padding and trailer. */
static inline uint64_t mf_segment_total(const mf_segment *s)
{
    return MF_SEGMENT_HEADER_LENGTH + mf_align8(s->stored_length) + (s->flags & MF_FLAG_COMMIT ? MF_TRAILER_LENGTH : 0);
}

/* Is there a sound header (SPEC 4.2) for `offset` in these 64 bytes? */
bool mf_segment_is_sound_header(const uint8_t *raw, uint64_t offset, uint32_t tag);

/* What stands in a header, sound or not. */
void mf_segment_fields(mf_segment *segment, const uint8_t *raw);
/* Decodes a header: DAMAGED if it is not sound, NEWER if it has what we do not know. */
int mf_segment_decode(mf_segment *segment, const uint8_t *raw, uint64_t offset, uint32_t tag, memfile_error *err);
void mf_segment_encode(const mf_segment *segment, uint8_t out[MF_SEGMENT_HEADER_LENGTH]);

/* Checks body checksum, padding and trailer of the mf_segment_total() bytes at `raw`. */
int mf_segment_check(const mf_segment *segment, const uint8_t *raw, memfile_error *err);

bool mf_segment_has_magic(const uint8_t *raw);
/* The body checksum alone. */
bool mf_segment_body_agrees(const mf_segment *segment, const uint8_t *raw);

/* Of a checked one of type SEALED: what it says to readers without a key, SPEC 20.6. */
int mf_segment_clear_part(const mf_segment *segment, const uint8_t *raw, uint64_t *keys_offset, uint64_t *group_length,
                          memfile_error *err);

/* Opens a checked segment: where the file is sealed its bytes are made plain in `out`, of the same length (it may
 * be `raw`), and type, flags, codec and lengths become what they are inside. Where it is not, or is of a type that
 * is never sealed, nothing is done and out is not used: *opened says where to read. KEY without a key; DAMAGED what does not
 * open (body_at is 0 then), what opens and contradicts itself, and what is plain and should not be. */
int mf_segment_open(const mf_seal *seal, mf_segment *segment, const uint8_t *raw, uint8_t *out, const uint8_t **opened,
                    memfile_error *err);

/* Head and stored content of an opened segment (SPEC 4.3). */
int mf_segment_split(const mf_segment *segment, const uint8_t *raw, mf_slice *head, mf_slice *stored,
                     memfile_error *err);

/* Content to its raw_length bytes in `out`. dictionary: the one that the codec asks for. */
int mf_segment_content(const mf_segment *segment, mf_slice stored, mf_compressor *compressor,
                       const mf_dictionary *dictionary, uint8_t *out, memfile_error *err);

/* Trailer of SPEC 4.4 at `raw`: the length it names, or 0. */
uint64_t mf_trailer_length(const uint8_t *raw);

/* ---- writing */

void mf_trailer_encode(uint8_t out[MF_TRAILER_LENGTH], uint64_t total);

/* A segment whose place is not yet known. */
typedef struct mf_built {
    mf_segment segment;
    mf_buffer bytes; /* room for the header, body, padding, trailer */
    uint8_t body_digest[MF_DIGEST_LENGTH]; /* if it is sealed: known when it has its place */
    const mf_seal *seal;
    uint64_t group_length; /* told in the clear part of a sealed commit: to be set before it is placed */
} mf_built;

/* seal: the file's, which may be of a plain one; it must outlive `built`. */
void mf_built_init(mf_built *built, const mf_mem *mem, const mf_seal *seal);
void mf_built_free(mf_built *built);
/* Assembles the body of head and content; level 0 or no gain: stored raw. */
int mf_segment_build(mf_built *built, uint8_t type, uint8_t flags, mf_slice head, mf_slice content,
                     mf_compressor *compressor, int level, const mf_dictionary *dictionary, memfile_error *err);
/* Gives it its place: seals it, fills header and trailer. Once. */
void mf_segment_place(mf_built *built, uint64_t offset, uint64_t previous_commit, uint64_t parent_tag, uint32_t tag);

/* ---- stored digest, SPEC 8.7 */

typedef struct mf_stored_chain {
    mf_digest_stream stream;
} mf_stored_chain;

void mf_stored_begin(uint8_t digest[32], const uint8_t header[MF_HEADER_LENGTH]);
void mf_chain_begin(mf_stored_chain *chain, const uint8_t previous[32]);
void mf_chain_void(mf_stored_chain *chain, uint64_t length, const uint8_t digest[32]);
void mf_chain_segment(mf_stored_chain *chain, const uint8_t header[MF_SEGMENT_HEADER_LENGTH],
                      const uint8_t body_digest[32]);
void mf_chain_end(mf_stored_chain *chain, uint8_t out[32]);
/* SPEC 9.4: binds a commit to the segments of its group, in their order; 0 before the first one. */
uint64_t mf_group_tag(uint64_t tag, const uint8_t *header);

static inline uint64_t mf_parent_tag(const uint8_t stored_digest[32])
{
    return mf_load64(stored_digest);
}

#endif
