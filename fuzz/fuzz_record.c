/* fuzz_record: cores (SPEC 7), each behind its length as a varint. What is accepted comes
 * back from JSON and, all together, from a block. */
#include "entry.h"

#define CORES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mf_record record;
    mf_slice cores[CORES_MAX];
    uint32_t count = 0;
    mf_cursor c = mf_cursor_of(data, size);
    while (c.at < c.end && !c.failed && count < CORES_MAX) {
        memfile_error e;
        mf_slice core = mf_get_string(&c);
        if (c.failed)
            core = mf_slice_of(data, size); /* the whole input as one core */
        uint8_t *exact = fuzz_copy(core.data, core.length);
        int rc = mf_record_parse(&record, mf_slice_of(exact, core.length), MEMFILE_E_DAMAGED, 7, &e);
        FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_NEWER, "%d", rc);
        fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
        if (rc == MEMFILE_OK) {
            fuzz_check_json(&record, mf_slice_of(exact, core.length), NULL);
            cores[count++] = core;
        }
        free(exact);
    }
    fuzz_check_block(cores, count);
    return 0;
}
