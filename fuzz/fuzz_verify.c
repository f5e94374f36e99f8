/* fuzz_verify: a mutated file is verified and recovered. What verify calls sound can be read
 * in every way; what recover writes is sound, and of a sound file it is the same memory. */
#include "life.h"

static void recover(const char *path, int verdict, const fuzz_reading *before)
{
    memfile_recover_options o = MEMFILE_RECOVER_OPTIONS_INIT;
    memfile_recover_result r;
    memfile_error e;
    fuzz_reading after;
    const char *output = fuzz_path("recovered");
    fuzz_remove(output);
    o.environment = &fuzz_environment;
    o.unlock = fuzz_unlock_taken();
    o.compression_level = 1;
    int rc = memfile_recover(path, output, &o, &r, &e);
    FUZZ_CHECK(verdict != MEMFILE_OK || rc == MEMFILE_OK || (rc == MEMFILE_E_DAMAGED && r.left_out > 0), "a sound file is not recovered: %d, %s", rc, e.message);
    FUZZ_CHECK(rc == MEMFILE_OK || fuzz_is_files_fault(rc), "recover: %d, %s", rc, e.message);
    fuzz_verdict("recover: %d, %llu entries", rc, (unsigned long long)(rc == MEMFILE_OK || rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_TRUNCATED ? r.entries : 0));
    bool wrote = rc == MEMFILE_OK || rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_TRUNCATED;
    FUZZ_CHECK(wrote == fuzz_exists(output), "%d, %s; and the output is %s", rc, e.message, wrote ? "missing" : "there");
    if (!wrote)
        return;
    int again = fuzz_verify(output, NULL, &e);
    FUZZ_CHECK(again == MEMFILE_OK, "recover (%d) wrote an unsound file: %d, %s", rc, again, e.message);
    fuzz_read_path(output, true, &after);
    FUZZ_CHECK(after.cut || after.entries == r.entries, "%llu entries, not %llu", (unsigned long long)after.entries,
               (unsigned long long)r.entries);
    FUZZ_CHECK(memcmp(after.history_digest, r.history_digest, 32) == 0, "another history digest than was told");
    if (verdict == MEMFILE_OK) {
        FUZZ_CHECK(r.same_history, "the history of a sound file was not kept");
        fuzz_check_same(before, &after, "recovered");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_reading before;
    const char *path = fuzz_path("verified");
    fuzz_take(data, size);
    fuzz_write(path, data, size);
    int verdict = fuzz_verify(path, NULL, NULL);
    fuzz_read_path(path, verdict == MEMFILE_OK, &before);
    recover(path, verdict, &before);
    return 0;
}
