/* fuzz_compact: a mutated file is compacted into another, which is sound and the same
 * memory; compacted again in its place it still is. A failure leaves the file as it was. */
#include "life.h"

static int compact(const char *path, const char *output, memfile_compact_result *r, memfile_error *e)
{
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    o.output = output;
    o.compression_level = 3;
    o.lock_timeout_ms = 0;
    o.environment = &fuzz_environment;
    o.unlock = fuzz_unlock_taken();
    return memfile_compact(path, &o, r, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memfile_compact_result r, again;
    memfile_error e;
    fuzz_reading before, after;
    const char *path = fuzz_path("loose"), *output = fuzz_path("tight");
    fuzz_take(data, size);
    fuzz_write(path, data, size);
    fuzz_remove(output);
    int verdict = fuzz_verify(path, NULL, NULL);
    fuzz_read_path(path, verdict == MEMFILE_OK, &before);
    int rc = compact(path, output, &r, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || fuzz_is_files_fault(rc) || rc == MEMFILE_E_MISUSE, "compact: %d, %s", rc, e.message);
    fuzz_verdict("compact: %d, %s", rc, rc == MEMFILE_OK ? "" : e.message);
    /* it may ask for what only a newer version knows */
    FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_NEWER || verdict != MEMFILE_OK, "a sound file is not compacted: %d, %s", rc, e.message);
    FUZZ_CHECK((rc == MEMFILE_OK) == fuzz_exists(output), "%d, and the output", rc);
    if (rc == MEMFILE_OK) {
        int sound = fuzz_verify(output, NULL, &e);
        FUZZ_CHECK(sound == MEMFILE_OK, "the compacted file is not sound: %d, %s", sound, e.message);
        fuzz_read_path(output, true, &after);
        FUZZ_CHECK(after.cut || after.entries == r.entries, "%llu entries, not %llu", (unsigned long long)after.entries,
                   (unsigned long long)r.entries);
        if (verdict == MEMFILE_OK)
            fuzz_check_same(&before, &after, "compacted");
        rc = compact(output, NULL, &again, &e);
        FUZZ_CHECK(rc == MEMFILE_OK, "not again: %d, %s", rc, e.message);
        FUZZ_CHECK(memcmp(again.history_digest, r.history_digest, 32) == 0, "another history digest");
        sound = fuzz_verify(output, NULL, &e);
        FUZZ_CHECK(sound == MEMFILE_OK, "compacted twice: %d, %s", sound, e.message);
        fuzz_reading twice;
        fuzz_read_path(output, true, &twice);
        fuzz_check_same(&after, &twice, "compacted twice");
    }
    size_t length;
    uint8_t *bytes = fuzz_read(path, &length);
    FUZZ_CHECK(length == size && memcmp(bytes, data, size) == 0, "the file that was compacted has changed");
    free(bytes);
    return 0;
}
