/* segment: SPEC 4 and 8.7. */
#include "segment.h"

#include "checksum.h"

static const uint8_t segment_magic[4] = {MF_SEGMENT_MAGIC_FIRST, 'M', 'F', 'S'};
static const uint8_t trailer_magic[4] = {'E', 'S', 'F', 'M'};

bool mf_segment_is_sound_header(const uint8_t *raw, uint64_t offset, uint32_t tag)
{
    return memcmp(raw, segment_magic, sizeof segment_magic) == 0 && mf_load64(raw + 16) == offset &&
           mf_load32(raw + 40) == tag && mf_load64(raw + 56) == mf_checksum(raw, 56) &&
           mf_load32(raw + 8) <= MF_STORED_LENGTH_MAX && mf_load32(raw + 12) <= MF_RAW_LENGTH_MAX;
}

int mf_segment_decode(mf_segment *s, const uint8_t *raw, uint64_t offset, uint32_t tag, memfile_error *err)
{
    memset(s, 0, sizeof *s);
    if (!mf_segment_is_sound_header(raw, offset, tag))
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "no sound segment header at offset %llu",
                       (unsigned long long)offset);
    s->type = raw[4];
    s->flags = raw[5];
    s->codec = raw[6];
    s->stored_length = mf_load32(raw + 8);
    s->raw_length = mf_load32(raw + 12);
    s->offset = offset;
    s->previous_commit = mf_load64(raw + 24);
    s->parent_tag = mf_load64(raw + 32);
    s->incarnation_tag = mf_load32(raw + 40);
    s->codec_parameter = mf_load32(raw + 44);
    s->body_checksum = mf_load64(raw + 48);
    if (s->type == 0)
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "segment header at offset %llu has type 0, which is never valid",
                       (unsigned long long)offset);
    bool known = (s->type >= MF_TYPE_RECORDS && s->type <= MF_TYPE_VOID) || s->type == MF_TYPE_SEALED;
    if ((s->flags & ~MF_FLAGS_KNOWN) || raw[7] != 0 ||
        (known ? s->codec > MF_CODEC_ZSTD_DICTIONARY && s->codec != MF_CODEC_SEALED
               : !(s->flags & MF_FLAG_OPTIONAL))) /* whose codec does not matter */
        return mf_fail(err, MEMFILE_E_NEWER, offset,
                       "made by a newer version: segment at offset %llu has type %u, flags %u, codec %u",
                       (unsigned long long)offset, s->type, s->flags, s->codec);
    if (s->codec == MF_CODEC_RAW ? s->codec_parameter != 0
                                 : s->codec == MF_CODEC_ZSTD && (s->codec_parameter != 0 || s->raw_length == 0))
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "segment header at offset %llu contradicts itself",
                       (unsigned long long)offset);
    return MEMFILE_OK;
}

void mf_segment_encode(const mf_segment *s, uint8_t out[MF_SEGMENT_HEADER_LENGTH])
{
    memcpy(out, segment_magic, sizeof segment_magic);
    out[4] = s->type;
    out[5] = s->flags;
    out[6] = s->codec;
    out[7] = 0;
    mf_store32(out + 8, s->stored_length);
    mf_store32(out + 12, s->raw_length);
    mf_store64(out + 16, s->offset);
    mf_store64(out + 24, s->previous_commit);
    mf_store64(out + 32, s->parent_tag);
    mf_store32(out + 40, s->incarnation_tag);
    mf_store32(out + 44, s->codec_parameter);
    mf_store64(out + 48, s->body_checksum);
    mf_store64(out + 56, mf_checksum(out, 56));
}

uint64_t mf_trailer_length(const uint8_t *raw)
{
    return memcmp(raw + 4, trailer_magic, sizeof trailer_magic) == 0 ? mf_load32(raw) : 0;
}

bool mf_segment_has_magic(const uint8_t *raw)
{
    return memcmp(raw, segment_magic, sizeof segment_magic) == 0;
}

bool mf_segment_body_agrees(const mf_segment *s, const uint8_t *raw)
{
    return mf_checksum(raw + MF_SEGMENT_HEADER_LENGTH, s->stored_length) == s->body_checksum;
}

int mf_segment_check(const mf_segment *s, const uint8_t *raw, memfile_error *err)
{
    const uint8_t *body = raw + MF_SEGMENT_HEADER_LENGTH;
    uint64_t padded = mf_align8(s->stored_length);
    if (!mf_segment_body_agrees(s, raw))
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "segment at offset %llu is damaged: its body checksum does not agree",
                       (unsigned long long)s->offset);
    for (uint64_t i = s->stored_length; i < padded; i++)
        if (body[i] != 0)
            return mf_fail(err, MEMFILE_E_DAMAGED, s->offset + MF_SEGMENT_HEADER_LENGTH + i,
                           "padding at offset %llu is not zero",
                           (unsigned long long)(s->offset + MF_SEGMENT_HEADER_LENGTH + i));
    if ((s->flags & MF_FLAG_COMMIT) && mf_trailer_length(body + padded) != mf_segment_total(s))
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset + MF_SEGMENT_HEADER_LENGTH + padded,
                       "the trailer of the commit at offset %llu is damaged", (unsigned long long)s->offset);
    return MEMFILE_OK;
}

int mf_segment_split(const mf_segment *s, const uint8_t *raw, mf_slice *head, mf_slice *stored, memfile_error *err)
{
    mf_cursor c = mf_cursor_of(raw + MF_SEGMENT_HEADER_LENGTH, s->stored_length);
    *head = mf_get_string(&c);
    *stored = mf_slice_of(c.at, mf_cursor_left(&c));
    if (c.failed || (s->codec == MF_CODEC_RAW && stored->length != s->raw_length))
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "the lengths in the segment at offset %llu contradict each other",
                       (unsigned long long)s->offset);
    return MEMFILE_OK;
}

int mf_segment_content(const mf_segment *s, mf_slice stored, mf_compressor *compressor, const mf_dictionary *dictionary,
                       uint8_t *out, memfile_error *err)
{
    if (s->codec == MF_CODEC_RAW) {
        if (s->raw_length)
            memcpy(out, stored.data, s->raw_length);
        return MEMFILE_OK;
    }
    if (s->codec == MF_CODEC_ZSTD_DICTIONARY && !dictionary)
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "the dictionary %08x of the segment at offset %llu is missing",
                       s->codec_parameter, (unsigned long long)s->offset);
    return mf_decompress(compressor, s->codec == MF_CODEC_ZSTD_DICTIONARY ? dictionary : NULL, stored.data,
                         stored.length, out, s->raw_length, s->offset, err);
}

/* ---- writing */

void mf_trailer_encode(uint8_t out[MF_TRAILER_LENGTH], uint64_t total)
{
    mf_store32(out, (uint32_t)total);
    memcpy(out + 4, trailer_magic, sizeof trailer_magic);
}

void mf_built_init(mf_built *built, const mf_mem *mem)
{
    memset(&built->segment, 0, sizeof built->segment);
    mf_buffer_init(&built->bytes, mem);
}

void mf_built_free(mf_built *built)
{
    mf_buffer_free(&built->bytes);
}

/* Appends the content as the best codec stores it. */
static void put_content(mf_built *built, mf_slice content, mf_compressor *compressor, int level,
                        const mf_dictionary *dictionary)
{
    mf_buffer *out = &built->bytes;
    if (level > 0 && content.length > 32) {
        size_t bound = mf_compress_bound(content.length);
        uint8_t *p = mf_buffer_reserve(out, bound);
        size_t n = p ? mf_compress(compressor, level, dictionary, content.data, content.length, p, bound) : 0;
        if (n > 0 && n < content.length) {
            built->segment.codec = dictionary ? MF_CODEC_ZSTD_DICTIONARY : MF_CODEC_ZSTD;
            built->segment.codec_parameter = dictionary ? dictionary->id : 0;
            out->length += n;
            return;
        }
    }
    mf_put_bytes(out, content.data, content.length);
}

int mf_segment_build(mf_built *built, uint8_t type, uint8_t flags, mf_slice head, mf_slice content,
                     mf_compressor *compressor, int level, const mf_dictionary *dictionary, memfile_error *err)
{
    mf_segment *s = &built->segment;
    mf_buffer *out = &built->bytes;
    memset(s, 0, sizeof *s);
    s->type = type;
    s->flags = flags;
    s->raw_length = (uint32_t)content.length;
    mf_buffer_clear(out);
    mf_put_zero(out, MF_SEGMENT_HEADER_LENGTH);
    mf_put_string(out, head);
    put_content(built, content, compressor, level, dictionary);
    if (out->failed)
        return mf_fail_memory(err);
    size_t stored = out->length - MF_SEGMENT_HEADER_LENGTH;
    if (stored > MF_STORED_LENGTH_MAX || content.length > MF_RAW_LENGTH_MAX)
        return mf_fail(err, MEMFILE_E_LIMIT, MF_NOWHERE, "a segment of %zu bytes is over the limit of %u", stored,
                       MF_STORED_LENGTH_MAX);
    s->stored_length = (uint32_t)stored;
    s->body_checksum = mf_checksum(out->data + MF_SEGMENT_HEADER_LENGTH, stored);
    mf_digest(built->body_digest, MF_LABEL_BYTES, out->data + MF_SEGMENT_HEADER_LENGTH, stored);
    mf_put_zero(out, (size_t)(mf_segment_total(s) - out->length));
    return out->failed ? mf_fail_memory(err) : MEMFILE_OK;
}

void mf_segment_place(mf_built *built, uint64_t offset, uint64_t previous_commit, uint64_t parent_tag, uint32_t tag)
{
    mf_segment *s = &built->segment;
    s->offset = offset;
    s->previous_commit = previous_commit;
    s->parent_tag = parent_tag;
    s->incarnation_tag = tag;
    mf_segment_encode(s, built->bytes.data);
    if (s->flags & MF_FLAG_COMMIT) {
        uint8_t *trailer = built->bytes.data + built->bytes.length - MF_TRAILER_LENGTH;
        mf_trailer_encode(trailer, mf_segment_total(s));
    }
}

/* ---- stored digest */

void mf_stored_begin(uint8_t digest[32], const uint8_t header[MF_HEADER_LENGTH])
{
    mf_digest(digest, MF_LABEL_STORE, header, MF_HEADER_LENGTH);
}

void mf_chain_begin(mf_stored_chain *chain, const uint8_t previous[32])
{
    mf_digest_begin(&chain->stream, MF_LABEL_STORE);
    mf_digest_add(&chain->stream, previous, 32);
}

void mf_chain_void(mf_stored_chain *chain, uint64_t length, const uint8_t digest[32])
{
    uint8_t raw[8];
    mf_store64(raw, length);
    mf_digest_add(&chain->stream, raw, sizeof raw);
    mf_digest_add(&chain->stream, digest, 32);
}

void mf_chain_segment(mf_stored_chain *chain, const uint8_t header[MF_SEGMENT_HEADER_LENGTH],
                      const uint8_t body_digest[32])
{
    mf_digest_add(&chain->stream, header, MF_SEGMENT_HEADER_LENGTH);
    mf_digest_add(&chain->stream, body_digest, 32);
}

void mf_chain_end(mf_stored_chain *chain, uint8_t out[32])
{
    mf_digest_end(&chain->stream, out);
}
