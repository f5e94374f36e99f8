/* fuzz_segment: one segment (SPEC 4) from its header to its content, checksums repaired.
 * The place that it names is taken for its own. */
#include "fuzz.h"

#include "checksum.h"
#include "segment.h"

#define DICTIONARY "a dictionary of plain words, for segments that were made with one; "

static void try_content(const mf_segment *s, const uint8_t *raw)
{
    memfile_error e;
    mf_slice head, stored;
    mf_compressor compressor;
    mf_dictionary *d;
    int split = mf_segment_split(s, raw, &head, &stored, &e);
    fuzz_verdict("split %d: %s", split, split == MEMFILE_OK ? "" : e.message);
    if (split != MEMFILE_OK)
        return;
    fuzz_verdict("%zu and %zu bytes", head.length, stored.length);
    mf_compressor_init(&compressor);
    FUZZ_CHECK(mf_dictionary_new(&mf_mem_default, DICTIONARY, strlen(DICTIONARY), 0, &d) == MEMFILE_OK, "memory");
    uint8_t *content = (uint8_t *)malloc(s->raw_length ? s->raw_length : 1);
    int rc = mf_segment_content(s, stored, &compressor, d, content, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_DAMAGED, "%d: %s", rc, e.message);
    if (rc == MEMFILE_OK && s->raw_length > 0) /* every byte was written */
        FUZZ_CHECK(mf_checksum(content, s->raw_length) != 1, "content");
    if (s->codec == MF_CODEC_RAW) /* zstd 1.5.4 takes some bad frames on i386 that it refuses on x86-64 */
        fuzz_verdict("content %d", rc);
    free(content);
    mf_dictionary_free(d);
    mf_compressor_free(&compressor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mf_segment s;
    memfile_error e;
    uint8_t again[MF_SEGMENT_HEADER_LENGTH];
    if (size < MF_SEGMENT_HEADER_LENGTH)
        return 0;
    uint32_t stored = mf_load32(data + 8);
    size_t padded = size < MF_SEGMENT_HEADER_LENGTH + 8 ? MF_SEGMENT_HEADER_LENGTH + 8 : size;
    uint8_t *copy = (uint8_t *)fuzz_alloc(padded);
    memset(copy, 0, padded);
    memcpy(copy, data, size);
    if (stored <= size - MF_SEGMENT_HEADER_LENGTH)
        mf_store64(copy + 48, mf_checksum(copy + MF_SEGMENT_HEADER_LENGTH, stored));
    mf_store64(copy + 56, mf_checksum(copy, 56));
    int rc = mf_segment_decode(&s, copy, mf_load64(copy + 16), mf_load32(copy + 40), &e);
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    if (rc == MEMFILE_OK) {
        mf_segment_encode(&s, again);
        FUZZ_CHECK(memcmp(again, copy, sizeof again) == 0, "another header");
    }
    uint64_t total = mf_segment_total(&s);
    if (rc == MEMFILE_OK && total <= size && (s.flags & MF_FLAG_COMMIT))
        mf_trailer_encode(copy + total - MF_TRAILER_LENGTH, total);
    if (rc == MEMFILE_OK && total <= size) {
        uint8_t *exact = fuzz_copy(copy, (size_t)total);
        rc = mf_segment_check(&s, exact, &e);
        fuzz_verdict("check %d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
        if (rc == MEMFILE_OK)
            try_content(&s, exact);
        free(exact);
    }
    free(copy);
    return 0;
}
