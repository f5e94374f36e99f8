/* fuzz_open: any bytes opened from memory and read in every way. No input may crash, hang
 * or ask for much memory. */
#include "life.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_take(data, size);
    memfile_options o = fuzz_options();
    memfile_error e;
    fuzz_reading reading;
    memfile *mf;
    o.strictness = size % 7 == 0 ? MEMFILE_STRICT : MEMFILE_TOLERATE_TORN;
    o.cache_bytes = size % 5 == 0 ? 1 : 4u << 20;
    uint8_t *copy = fuzz_copy(data, size);
    int rc = memfile_open_memory(copy, size, &o, &mf, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || fuzz_is_files_fault(rc), "%d, %s", rc, e.message);
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    FUZZ_CHECK(rc == MEMFILE_OK || e.message[0], "%d without words", rc);
    if (rc == MEMFILE_OK) {
        fuzz_read_everything(mf, false, &reading);
        memfile_close(mf);
    }
    free(copy);
    return 0;
}
