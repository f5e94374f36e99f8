/* segment: SPEC 4 and 8.7. */
#include "segment.h"

#include "checksum.h"

static const uint8_t segment_magic[4] = {MF_SEGMENT_MAGIC_FIRST, 'M', 'F', 'S'};
static const uint8_t trailer_magic[4] = {'E', 'S', 'F', 'M'};

/* Of a sealed segment, SPEC 20.6: where the parts of its body stand. */
#define INNER_LENGTH 16u

static uint32_t clear_length(uint8_t flags)
{
    return flags & MF_FLAG_COMMIT ? 16 : 8;
}

static uint32_t sealed_overhead(uint8_t flags)
{
    return clear_length(flags) + MF_SEAL_NONCE_LENGTH + INNER_LENGTH + MF_SEAL_TAG_LENGTH;
}

bool mf_segment_is_sound_header(const uint8_t *raw, uint64_t offset, uint32_t tag)
{
    return memcmp(raw, segment_magic, sizeof segment_magic) == 0 && mf_load64(raw + 16) == offset &&
           mf_load32(raw + 40) == tag && mf_load64(raw + 56) == mf_checksum(raw, 56) &&
           mf_load32(raw + 8) <= MF_STORED_LENGTH_MAX && mf_load32(raw + 12) <= MF_RAW_LENGTH_MAX;
}

static int check_meaning(const mf_segment *s, memfile_error *err);

void mf_segment_fields(mf_segment *s, const uint8_t *raw)
{
    memset(s, 0, sizeof *s);
    s->type = raw[4];
    s->flags = raw[5];
    s->codec = raw[6];
    s->stored_length = mf_load32(raw + 8);
    s->raw_length = mf_load32(raw + 12);
    s->offset = mf_load64(raw + 16);
    s->previous_commit = mf_load64(raw + 24);
    s->parent_tag = mf_load64(raw + 32);
    s->incarnation_tag = mf_load32(raw + 40);
    s->codec_parameter = mf_load32(raw + 44);
    s->body_checksum = mf_load64(raw + 48);
    if (s->type != MF_TYPE_SEALED) {
        s->body_at = MF_SEGMENT_HEADER_LENGTH;
        s->body_length = s->stored_length;
    }
}

int mf_segment_decode(mf_segment *s, const uint8_t *raw, uint64_t offset, uint32_t tag, memfile_error *err)
{
    memset(s, 0, sizeof *s);
    if (!mf_segment_is_sound_header(raw, offset, tag))
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "no sound segment header at offset %llu",
                       (unsigned long long)offset);
    mf_segment_fields(s, raw);
    if (s->type == 0)
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "segment header at offset %llu has type 0, which is never valid",
                       (unsigned long long)offset);
    if (raw[7] != 0)
        return mf_fail(err, MEMFILE_E_NEWER, offset, "made by a newer version: segment at offset %llu",
                       (unsigned long long)offset);
    return check_meaning(s, err);
}

/* What the header says, or the beginning of what was sealed: SPEC 4.2. */
static int check_meaning(const mf_segment *s, memfile_error *err)
{
    bool sealed = s->type == MF_TYPE_SEALED, known = sealed || (s->type >= MF_TYPE_RECORDS && s->type <= MF_TYPE_VOID);
    if ((s->flags & ~MF_FLAGS_KNOWN) ||
        (known ? s->codec > MF_CODEC_ZSTD_DICTIONARY && s->codec != MF_CODEC_SEALED
               : !(s->flags & MF_FLAG_OPTIONAL))) /* whose codec does not matter */
        return mf_fail(err, MEMFILE_E_NEWER, s->offset,
                       "made by a newer version: segment at offset %llu has type %u, flags %u, codec %u",
                       (unsigned long long)s->offset, s->type, s->flags, s->codec);
    bool packed = s->codec == MF_CODEC_ZSTD || s->codec == MF_CODEC_ZSTD_DICTIONARY;
    if ((s->codec <= MF_CODEC_ZSTD && s->codec_parameter != 0) || (known && packed && s->raw_length == 0))
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "segment header at offset %llu contradicts itself",
                       (unsigned long long)s->offset);
    if ((known && sealed != (s->codec == MF_CODEC_SEALED)) ||
        (sealed && (s->raw_length != 0 || s->codec_parameter == 0 || (s->flags & ~(MF_FLAG_COMMIT | MF_FLAG_SYNCED)) ||
                    s->stored_length < sealed_overhead(s->flags))))
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset,
                       "the header of the segment at offset %llu does not say whether it is sealed",
                       (unsigned long long)s->offset);
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

#define LABEL "memfile1.seal"
#define ASSOCIATED_MAX (sizeof LABEL - 1 + 16 + 48 + 16)

/* Label, incarnation, the header without its checksums, the clear part. */
static mf_slice associated_data(uint8_t out[ASSOCIATED_MAX], const mf_seal *seal, const uint8_t *raw, uint32_t clear)
{
    uint8_t *p = out;
    memcpy(p, LABEL, sizeof LABEL - 1);
    p += sizeof LABEL - 1;
    memcpy(p, seal->incarnation_id, 16);
    memcpy(p + 16, raw, 48);
    memcpy(p + 64, raw + MF_SEGMENT_HEADER_LENGTH, clear);
    return mf_slice_of(out, (size_t)(p + 64 - out) + clear);
}

int mf_segment_clear_part(const mf_segment *s, const uint8_t *raw, uint64_t *keys_offset, uint64_t *group_length,
                          memfile_error *err)
{
    const uint8_t *body = raw + MF_SEGMENT_HEADER_LENGTH;
    *keys_offset = mf_load64(body);
    *group_length = s->flags & MF_FLAG_COMMIT ? mf_load64(body + 8) : 0;
    if (*group_length % 8 != 0 || *group_length > s->offset - MF_HEADER_LENGTH)
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "the sealed commit at offset %llu has a group that cannot be",
                       (unsigned long long)s->offset);
    return MEMFILE_OK;
}

/* What the plaintext begins with, taken for what the header said. */
static bool take_inner(mf_segment *s, const uint8_t *text, uint32_t length)
{
    const uint8_t outer = s->flags;
    uint32_t body = mf_load32(text + 12);
    s->type = text[0];
    s->flags = text[1];
    s->codec = text[2];
    s->raw_length = mf_load32(text + 4);
    s->codec_parameter = mf_load32(text + 8);
    if (text[3] != 0 || body > length - INNER_LENGTH || s->raw_length > MF_RAW_LENGTH_MAX || s->type == 0 ||
        s->type == MF_TYPE_KEYS || s->type == MF_TYPE_VOID || s->type == MF_TYPE_SEALED || s->codec == MF_CODEC_SEALED ||
        (s->flags & (MF_FLAG_COMMIT | MF_FLAG_SYNCED)) != outer || (s->type == MF_TYPE_COMMIT) != (outer & MF_FLAG_COMMIT))
        return false;
    for (uint32_t i = INNER_LENGTH + body; i < length; i++)
        if (text[i] != 0)
            return false;
    s->body_length = body;
    return true;
}

int mf_segment_open(const mf_seal *seal, mf_segment *s, const uint8_t *raw, uint8_t *out, const uint8_t **opened,
                    memfile_error *err)
{
    *opened = raw;
    if (s->type != MF_TYPE_SEALED && (!seal->sealed || s->type == MF_TYPE_KEYS || s->type == MF_TYPE_VOID))
        return MEMFILE_OK;
    if (s->type != MF_TYPE_SEALED)
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset,
                       "the segment at offset %llu is not sealed, though the file is: somebody put it there who has no key",
                       (unsigned long long)s->offset);
    if (!seal->sealed)
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "the segment at offset %llu is sealed in a plain file",
                       (unsigned long long)s->offset);
    if (seal->epoch == 0)
        return mf_fail(err, MEMFILE_E_KEY, s->offset, "the memfile is sealed: a passphrase or an identity is needed");
    if (s->codec_parameter > seal->epoch)
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset,
                       "the segment at offset %llu is sealed under a key of the file that is not known",
                       (unsigned long long)s->offset);
    uint8_t associated[ASSOCIATED_MAX];
    uint32_t clear = clear_length(s->flags), at = MF_SEGMENT_HEADER_LENGTH + clear + MF_SEAL_NONCE_LENGTH;
    uint32_t length = s->stored_length - sealed_overhead(s->flags) + INNER_LENGTH;
    if (!mf_seal_open(seal, s->codec_parameter, raw + at, length, associated_data(associated, seal, raw, clear),
                      raw + at - MF_SEAL_NONCE_LENGTH, out + at))
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset,
                       "the segment at offset %llu does not open: it was changed or moved by somebody who has no key",
                       (unsigned long long)s->offset);
    *opened = out;
    s->body_at = at + INNER_LENGTH;
    if (!take_inner(s, out + at, length))
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "what is sealed at offset %llu contradicts itself",
                       (unsigned long long)s->offset);
    return check_meaning(s, err);
}

int mf_segment_split(const mf_segment *s, const uint8_t *raw, mf_slice *head, mf_slice *stored, memfile_error *err)
{
    mf_cursor c = mf_cursor_of(raw + s->body_at, s->body_length);
    if (s->body_at == 0)
        return mf_fail(err, MEMFILE_E_KEY, s->offset, "the segment at offset %llu is sealed", (unsigned long long)s->offset);
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

uint64_t mf_group_tag(uint64_t tag, const uint8_t *header)
{
    return mf_checksum_seeded(header + 56, 8, tag);
}

/* ---- writing */

void mf_trailer_encode(uint8_t out[MF_TRAILER_LENGTH], uint64_t total)
{
    mf_store32(out, (uint32_t)total);
    memcpy(out + 4, trailer_magic, sizeof trailer_magic);
}

void mf_built_init(mf_built *built, const mf_mem *mem, const mf_seal *seal)
{
    memset(&built->segment, 0, sizeof built->segment);
    built->seal = seal;
    built->group_length = 0;
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

/* Checksum and digest of the body as it is stored. */
static void digest_body(mf_built *built)
{
    const uint8_t *body = built->bytes.data + MF_SEGMENT_HEADER_LENGTH;
    built->segment.body_checksum = mf_checksum(body, built->segment.stored_length);
    mf_digest(built->body_digest, MF_LABEL_BYTES, body, built->segment.stored_length);
}

int mf_segment_build(mf_built *built, uint8_t type, uint8_t flags, mf_slice head, mf_slice content,
                     mf_compressor *compressor, int level, const mf_dictionary *dictionary, memfile_error *err)
{
    mf_segment *s = &built->segment;
    mf_buffer *out = &built->bytes;
    bool sealed = built->seal && built->seal->sealed && type != MF_TYPE_KEYS && type != MF_TYPE_VOID;
    uint32_t before = sealed ? clear_length(flags) + MF_SEAL_NONCE_LENGTH + INNER_LENGTH : 0;
    memset(s, 0, sizeof *s);
    s->type = type;
    s->flags = flags;
    s->raw_length = (uint32_t)content.length;
    s->body_at = MF_SEGMENT_HEADER_LENGTH + before;
    mf_buffer_clear(out);
    mf_put_zero(out, s->body_at);
    mf_put_string(out, head);
    put_content(built, content, compressor, level, dictionary);
    if (out->failed)
        return mf_fail_memory(err);
    size_t body = out->length - s->body_at, stored = body;
    if (sealed) {
        size_t least = INNER_LENGTH + body, text = mf_seal_padded(built->seal, least);
        size_t most = MF_STORED_LENGTH_MAX - (before - INNER_LENGTH) - MF_SEAL_TAG_LENGTH;
        if (text > most) /* padding goes no further than a segment may: SPEC 20.6 */
            text = least < most ? most : least;
        mf_put_zero(out, text - INNER_LENGTH - body + MF_SEAL_TAG_LENGTH);
        stored = before - INNER_LENGTH + text + MF_SEAL_TAG_LENGTH;
    }
    if (stored > MF_STORED_LENGTH_MAX || content.length > MF_RAW_LENGTH_MAX)
        return mf_fail(err, MEMFILE_E_LIMIT, MF_NOWHERE, "a segment of %zu bytes is over the limit of %u", stored,
                       MF_STORED_LENGTH_MAX);
    s->body_length = (uint32_t)body;
    s->stored_length = (uint32_t)stored;
    mf_put_zero(out, (size_t)(mf_segment_total(s) - out->length));
    if (out->failed)
        return mf_fail_memory(err);
    if (!sealed)
        digest_body(built);
    return MEMFILE_OK;
}

/* Closes what was built, which has its place: SPEC 20.6. */
static void close_segment(mf_built *built)
{
    const mf_segment *s = &built->segment;
    uint8_t associated[ASSOCIATED_MAX], *raw = built->bytes.data, *body = raw + MF_SEGMENT_HEADER_LENGTH;
    mf_segment outer = *s;
    uint32_t clear = clear_length(s->flags), at = s->body_at - INNER_LENGTH;
    uint32_t length = s->stored_length - sealed_overhead(s->flags) + INNER_LENGTH;
    mf_store64(body, built->seal->keys_offset);
    if (s->flags & MF_FLAG_COMMIT)
        mf_store64(body + 8, built->group_length);
    raw[at] = s->type;
    raw[at + 1] = s->flags;
    raw[at + 2] = s->codec;
    mf_store32(raw + at + 4, s->raw_length);
    mf_store32(raw + at + 8, s->codec_parameter);
    mf_store32(raw + at + 12, s->body_length);
    outer.type = MF_TYPE_SEALED;
    outer.codec = MF_CODEC_SEALED;
    outer.flags &= MF_FLAG_COMMIT | MF_FLAG_SYNCED;
    outer.raw_length = 0;
    outer.codec_parameter = built->seal->epoch;
    mf_segment_encode(&outer, raw);
    mf_seal_close(built->seal, raw + at, length, raw + 16, associated_data(associated, built->seal, raw, clear),
                  raw + at - MF_SEAL_NONCE_LENGTH, raw + at + length);
    digest_body(built);
    outer.body_checksum = s->body_checksum;
    mf_segment_encode(&outer, raw);
}

void mf_segment_place(mf_built *built, uint64_t offset, uint64_t previous_commit, uint64_t parent_tag, uint32_t tag)
{
    mf_segment *s = &built->segment;
    s->offset = offset;
    s->previous_commit = previous_commit;
    s->parent_tag = parent_tag;
    s->incarnation_tag = tag;
    if (s->body_at > MF_SEGMENT_HEADER_LENGTH)
        close_segment(built);
    else
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
