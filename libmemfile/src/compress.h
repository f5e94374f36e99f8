/* compress: zstd frames and dictionaries. The only file that knows zstd. SPEC 4.3, 12. */
#ifndef MF_COMPRESS_H
#define MF_COMPRESS_H

#include "bytes.h"

/* A dictionary ready for use. Read-only once made, so threads may share it. */
typedef struct mf_dictionary {
    uint32_t id;
    uint8_t *data;
    size_t length;
    void *for_compression;   /* NULL if it is for reading only */
    void *for_decompression; /* never NULL */
    uint32_t holds; /* beyond the owner's */
    const mf_mem *mem;
} mf_dictionary;

/* Copies `data`. level 0: for reading only. */
int mf_dictionary_new(const mf_mem *mem, const void *data, size_t length, int level, mf_dictionary **out);
/* Gives up the owner's hold or another; the last one frees it. Holds are taken and given
 * up by the thread that the handle belongs to. */
void mf_dictionary_free(mf_dictionary *dictionary);
mf_dictionary *mf_dictionary_hold(const mf_dictionary *dictionary);
/* SPEC 12 */
uint32_t mf_dictionary_id(const void *data, size_t length);
/* Trains a dictionary of at most `capacity` bytes from `count` samples that
 * stand one after the other; thorough takes some ten times as long for a little
 * more. Returns its length, 0 if none can be made of them. */
size_t mf_dictionary_train(void *out, size_t capacity, const void *samples, const size_t *sizes, unsigned count,
                           bool thorough);

/* Working memory of one thread; made on first use. */
typedef struct mf_compressor {
    void *compress;
    void *decompress;
    int level; /* that `compress` is set to */
} mf_compressor;

void mf_compressor_init(mf_compressor *compressor);
void mf_compressor_free(mf_compressor *compressor);

/* Upper bound of a frame. */
size_t mf_compress_bound(size_t length);
/* Returns the length of the frame in `out` (of mf_compress_bound bytes), or 0
 * on failure. dictionary may be NULL. */
size_t mf_compress(mf_compressor *compressor, int level, const mf_dictionary *dictionary, const void *data,
                   size_t length, void *out, size_t capacity);
/* Checks the frame against SPEC 4.3 and decompresses exactly raw_length bytes. */
int mf_decompress(mf_compressor *compressor, const mf_dictionary *dictionary, const void *frame, size_t frame_length,
                  void *out, size_t raw_length, uint64_t offset, memfile_error *err);

#endif
