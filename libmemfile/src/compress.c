/* compress: zstd. */
#define ZDICT_STATIC_LINKING_ONLY /* ZDICT_trainFromBuffer_fastCover: see DESIGN.md, "Dictionaries" */
#include "compress.h"

#include <zdict.h>
#include <zstd.h>

#include "checksum.h"
#include "format.h"

uint32_t mf_dictionary_id(const void *data, size_t length)
{
    uint32_t id = (uint32_t)mf_checksum(data, length);
    return id ? id : 1;
}

int mf_dictionary_new(const mf_mem *mem, const void *data, size_t length, int level, mf_dictionary **out)
{
    *out = NULL;
    mf_dictionary *d = (mf_dictionary *)mf_alloc_zero(mem, sizeof *d);
    if (!d)
        return MEMFILE_E_MEMORY;
    d->mem = mem;
    d->id = mf_dictionary_id(data, length);
    d->length = length;
    d->data = (uint8_t *)mf_alloc(mem, length);
    if (d->data) {
        memcpy(d->data, data, length);
        d->for_decompression = ZSTD_createDDict(d->data, length);
        if (level > 0)
            d->for_compression = ZSTD_createCDict(d->data, length, level);
    }
    if (!d->for_decompression || (level > 0 && !d->for_compression)) {
        mf_dictionary_free(d);
        return MEMFILE_E_MEMORY;
    }
    *out = d;
    return MEMFILE_OK;
}

void mf_dictionary_free(mf_dictionary *d)
{
    if (!d || d->holds-- > 0)
        return;
    ZSTD_freeCDict((ZSTD_CDict *)d->for_compression);
    ZSTD_freeDDict((ZSTD_DDict *)d->for_decompression);
    mf_free(d->mem, d->data);
    mf_free(d->mem, d);
}

mf_dictionary *mf_dictionary_hold(const mf_dictionary *d)
{
    mf_dictionary *held = (mf_dictionary *)d;
    held->holds++;
    return held;
}

size_t mf_dictionary_train(void *out, size_t capacity, const void *samples, const size_t *sizes, unsigned count,
                           bool thorough)
{
    /* Fixed parameters: searching for better ones costs fifty times as much for
     * nothing that could be measured on real memories. */
    ZDICT_fastCover_params_t params;
    memset(&params, 0, sizeof params);
    params.k = 200;
    params.d = 8;
    params.f = thorough ? 20 : 15;
    params.accel = thorough ? 1 : 7;
    params.splitPoint = 1.0;
    params.steps = 1;
    params.nbThreads = 1;
    params.zParams.compressionLevel = 3;
    size_t length = ZDICT_trainFromBuffer_fastCover(out, capacity, samples, sizes, count, params);
    return ZDICT_isError(length) ? 0 : length;
}

void mf_compressor_init(mf_compressor *c)
{
    memset(c, 0, sizeof *c);
}

void mf_compressor_free(mf_compressor *c)
{
    ZSTD_freeCCtx((ZSTD_CCtx *)c->compress);
    ZSTD_freeDCtx((ZSTD_DCtx *)c->decompress);
    memset(c, 0, sizeof *c);
}

size_t mf_compress_bound(size_t length)
{
    return ZSTD_compressBound(length);
}

static bool set_level(mf_compressor *c, int level)
{
    ZSTD_CCtx *ctx = (ZSTD_CCtx *)c->compress;
    if (ctx && c->level == level)
        return true;
    if (!ctx) {
        ctx = ZSTD_createCCtx();
        c->compress = ctx;
        if (!ctx)
            return false;
    }
    c->level = 0;
    if (ZSTD_isError(ZSTD_CCtx_reset(ctx, ZSTD_reset_session_and_parameters)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, 1)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 0)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_dictIDFlag, 0)))
        return false;
    c->level = level;
    return true;
}

size_t mf_compress(mf_compressor *c, int level, const mf_dictionary *dictionary, const void *data, size_t length,
                   void *out, size_t capacity)
{
    if (!set_level(c, level))
        return 0;
    ZSTD_CCtx *ctx = (ZSTD_CCtx *)c->compress;
    /* Given each time, which costs nothing: the one before may be gone, and another stand in its place. The window
     * of level 1 is too short for more than 512 KiB (SPEC 4.3); 0 leaves it to the level. */
    if (ZSTD_isError(ZSTD_CCtx_reset(ctx, ZSTD_reset_session_only)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, length > (1u << 19) ? 20 : 0)) ||
        ZSTD_isError(ZSTD_CCtx_refCDict(ctx, dictionary ? (ZSTD_CDict *)dictionary->for_compression : NULL)))
        return 0;
    size_t n = ZSTD_compress2(ctx, out, capacity, data, length);
    return ZSTD_isError(n) ? 0 : n;
}

/* RFC 8878, 3.1.1.1.2; the window of a single segment is its content. What lies further back than a window,
 * decoders take from different places. */
static bool window_fits(const uint8_t *frame, size_t raw_length)
{
    uint64_t window = ((uint64_t)8 + (frame[5] & 7)) << ((frame[5] >> 3) + 7);
    bool single_segment = frame[4] & 0x20;
    return single_segment || (window >= raw_length && window <= MF_WINDOW_MAX);
}

/* SPEC 4.3: one frame, its content size, a window that fits, no dictionary id, no checksum. */
static bool frame_is_ours(const uint8_t *frame, size_t frame_length, size_t raw_length)
{
    if (frame_length < 6 || mf_load32(frame) != ZSTD_MAGICNUMBER)
        return false;
    if (frame[4] & 0x0f) /* dictionary id flag, checksum flag, reserved bit */
        return false;
    return window_fits(frame, raw_length) && ZSTD_getFrameContentSize(frame, frame_length) == raw_length &&
           ZSTD_findFrameCompressedSize(frame, frame_length) == frame_length;
}

int mf_decompress(mf_compressor *c, const mf_dictionary *dictionary, const void *frame, size_t frame_length, void *out,
                  size_t raw_length, uint64_t offset, memfile_error *err)
{
    if (!frame_is_ours((const uint8_t *)frame, frame_length, raw_length))
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "segment holds no zstd frame of %zu bytes", raw_length);
    if (!c->decompress && !(c->decompress = ZSTD_createDCtx()))
        return mf_fail_memory(err);
    ZSTD_DCtx *ctx = (ZSTD_DCtx *)c->decompress;
    size_t n = dictionary ? ZSTD_decompress_usingDDict(ctx, out, raw_length, frame, frame_length,
                                                       (const ZSTD_DDict *)dictionary->for_decompression)
                          : ZSTD_decompressDCtx(ctx, out, raw_length, frame, frame_length);
    if (n != raw_length) /* nor is any error */
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "segment does not decompress: %s",
                       ZSTD_isError(n) ? ZSTD_getErrorName(n) : "wrong length");
    return MEMFILE_OK;
}
