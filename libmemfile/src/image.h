/* image: a damaged file as it was before bytes were inserted into it or cut out of it.
 * Every sound segment stands at the Offset that its header names, wherever it is found;
 * a header that is damaged is replaced by one that the segments call for. What is read
 * through it is checked like any file. SPEC 17. */
#ifndef MF_IMAGE_H
#define MF_IMAGE_H

#include "header.h"
#include "io.h"
#include "keys.h"
#include "segment.h"

/* `length` bytes that belong at offset `at` and are found at offset `from`. */
typedef struct mf_extent {
    uint64_t at, from, length;
} mf_extent;

typedef struct mf_image {
    const mf_mem *mem;
    uint64_t file_size, size; /* of the file; of the image */
    uint32_t tag;
    bool header_sound; /* the file's own is; else header_raw was made, */
    bool sealed_seen;  /* there is a sealed segment */
    bool header_kept;  /* or found in key slots, which repeat it (SPEC 20.2), or elsewhere, displaced */
    mf_header header;
    uint8_t header_raw[MF_HEADER_LENGTH];
    mf_extent *extents; /* displaced ones, by `at` */
    size_t extent_count;
} mf_image;

/* Searches the whole file. NOT_MEMFILE: there is no sound segment. io stays the caller's. */
int mf_image_build(mf_image *image, mf_io *io, const mf_mem *mem, memfile_error *err);
void mf_image_free(mf_image *image);
/* Reading through the image. Takes over `base`, also on failure; the image must outlive it. */
int mf_image_open(const mf_image *image, mf_io *base, mf_io **out, memfile_error *err);

#endif
