/* fuzz_header: the 80 bytes (SPEC 3), as they are and with the checksum repaired. */
#include "fuzz.h"

#include "checksum.h"
#include "header.h"

static void try_header(const uint8_t *raw, size_t size)
{
    mf_header h;
    memfile_error e;
    uint8_t again[MF_HEADER_LENGTH];
    int rc = mf_header_decode(&h, raw, size, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_NOT_MEMFILE || rc == MEMFILE_E_TRUNCATED || rc == MEMFILE_E_DAMAGED ||
                   rc == MEMFILE_E_NEWER, "%d", rc);
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    if (rc != MEMFILE_OK)
        return;
    mf_header_encode(&h, again);
    FUZZ_CHECK(memcmp(again, raw, sizeof again) == 0, "another header");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(data, size);
    try_header(copy, size);
    if (size >= MF_HEADER_LENGTH) {
        mf_store64(copy + 72, mf_checksum(copy, 72));
        try_header(copy, size);
    }
    free(copy);
    return 0;
}
