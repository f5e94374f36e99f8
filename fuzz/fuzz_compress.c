/* fuzz_compress: zstd frames and dictionaries (SPEC 4.3, 12): u16 length of a dictionary,
 * the dictionary, u8 what, then a frame with its u24 content size, or bytes to compress. */
#include "fuzz.h"

#include "compress.h"
#include "format.h"

static void try_frame(mf_compressor *compressor, const mf_dictionary *d, fuzz_input *in)
{
    memfile_error e;
    size_t raw_length = fuzz_u16(in);
    raw_length |= (size_t)fuzz_u8(in) << 16;
    mf_slice frame = fuzz_bytes(in, SIZE_MAX);
    if (raw_length > MF_RAW_LENGTH_MAX)
        return;
    uint8_t *exact = fuzz_copy(frame.data, frame.length), *out = (uint8_t *)malloc(raw_length ? raw_length : 1);
    int rc = mf_decompress(compressor, d, exact, frame.length, out, raw_length, 0, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_DAMAGED, "%d", rc);
    free(exact);
    free(out);
}

static void try_bytes(mf_compressor *compressor, const mf_dictionary *d, int level, fuzz_input *in)
{
    memfile_error e;
    mf_slice bytes = fuzz_bytes(in, SIZE_MAX);
    size_t bound = mf_compress_bound(bytes.length);
    uint8_t *frame = (uint8_t *)malloc(bound), *back = (uint8_t *)malloc(bytes.length ? bytes.length : 1);
    size_t n = mf_compress(compressor, level, d, bytes.data, bytes.length, frame, bound);
    FUZZ_CHECK(n > 0 && n <= bound, "%zu bytes are not compressed", bytes.length);
    if (bytes.length > 0) { /* a segment without content has no frame */
        int rc = mf_decompress(compressor, d, frame, n, back, bytes.length, 0, &e);
        FUZZ_CHECK(rc == MEMFILE_OK, "%s", e.message);
        FUZZ_CHECK(memcmp(back, bytes.data, bytes.length) == 0, "%zu other bytes", bytes.length);
    }
    free(frame);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    mf_compressor compressor;
    mf_dictionary *d = NULL;
    size_t length = fuzz_u16(&in);
    mf_slice bytes = fuzz_bytes(&in, length);
    uint8_t what = fuzz_u8(&in);
    int level = what & 1 ? 1 + what / 64 : 0;
    if (bytes.length > 0)
        mf_dictionary_new(&mf_mem_default, bytes.data, bytes.length, level, &d);
    mf_compressor_init(&compressor);
    if (what & 1)
        try_bytes(&compressor, d, level, &in);
    else
        try_frame(&compressor, d, &in);
    mf_compressor_free(&compressor);
    mf_dictionary_free(d);
    return 0;
}
