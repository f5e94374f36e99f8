/* fuzz_image: a damaged file with its segments in their places (SPEC 17): the search, reads
 * of any place and length, and a store on top of it. */
#include "fuzz.h"

#include "image.h"
#include "store.h"

static void check_extents(const mf_image *image)
{
    for (size_t i = 0; i < image->extent_count; i++) {
        const mf_extent *x = &image->extents[i];
        FUZZ_CHECK(x->length > 0 && x->from + x->length <= image->file_size, "extent %zu", i);
        FUZZ_CHECK(x->at + x->length <= image->size, "extent %zu stands behind the image", i);
        fuzz_verdict("%llu %llu %llu", (unsigned long long)x->at, (unsigned long long)x->from, (unsigned long long)x->length);
        FUZZ_CHECK(i == 0 || x[-1].at + x[-1].length <= x->at, "extent %zu stands in the one before it", i);
    }
}

/* Two reads of the same bytes, in different pieces, agree. */
static void check_read(mf_io *io, uint64_t at, size_t length)
{
    memfile_error e;
    size_t got, got2;
    uint8_t *one = (uint8_t *)fuzz_alloc(length), *two = (uint8_t *)fuzz_alloc(length);
    int rc = mf_io_read(io, at, one, length, &got, &e);
    FUZZ_CHECK(rc == MEMFILE_OK && got <= length, "%d", rc);
    size_t half = length / 3 + 1 < length ? length / 3 + 1 : length;
    rc = mf_io_read(io, at, two, half, &got2, &e);
    FUZZ_CHECK(rc == MEMFILE_OK && got2 <= half && got2 == (got < half ? got : half), "%zu of %zu", got2, got);
    FUZZ_CHECK(memcmp(one, two, got2) == 0, "other bytes at %llu", (unsigned long long)at);
    free(one);
    free(two);
}

static void use_image(mf_image *image, const uint8_t *data, size_t size)
{
    memfile_error e;
    mf_io *base, *io;
    static mf_store store;
    check_extents(image);
    FUZZ_CHECK(mf_io_memory_open(&mf_mem_default, data, size, &base, &e) == MEMFILE_OK, "memory");
    FUZZ_CHECK(mf_image_open(image, base, &io, &e) == MEMFILE_OK, "memory");
    check_read(io, 0, 4096);
    check_read(io, image->size > 100 ? image->size - 100 : 0, 200);
    for (size_t i = 0; i < image->extent_count && i < 16; i++)
        check_read(io, image->extents[i].at > 8 ? image->extents[i].at - 8 : 0, 500);
    int rc = mf_store_open(&store, io, &mf_mem_default, 1 << 20, NULL, &e);
    FUZZ_CHECK(rc != MEMFILE_E_MEMORY && rc != MEMFILE_E_SYSTEM, "%d: %s", rc, e.message);
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    if (rc == MEMFILE_OK)
        mf_store_close(&store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mf_image image;
    memfile_error e;
    mf_io *io;
    uint8_t *copy = fuzz_copy(data, size);
    FUZZ_CHECK(mf_io_memory_open(&mf_mem_default, copy, size, &io, &e) == MEMFILE_OK, "memory");
    int rc = mf_image_build(&image, io, &mf_mem_default, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_NOT_MEMFILE || rc == MEMFILE_E_NEWER, "%d: %s", rc, e.message);
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    if (rc == MEMFILE_OK) {
        use_image(&image, copy, size);
        mf_image_free(&image);
    }
    io->functions->close(io);
    free(copy);
    return 0;
}
