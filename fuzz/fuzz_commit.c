/* fuzz_commit: heads of commits and footers (SPEC 9), and the history digest of what they
 * say. What is decoded, written and decoded is the same. */
#include "fuzz.h"

#include "commit.h"
#include "fold.h"

#define OFFSET ((uint64_t)1 << 41)

static void encode(mf_buffer *out, const mf_commit *k)
{
    mf_buffer_clear(out);
    mf_commit_encode(out, k);
    FUZZ_CHECK(!out->failed, "memory");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t memory_id[16] = {1};
    mf_commit k, again, without;
    mf_footer f, f2, copy;
    memfile_error e;
    mf_buffer one, two;
    mf_history_row row;
    static mf_fold fold;
    int rc = mf_commit_decode(&k, mf_slice_of(data, size), &f, &mf_mem_default, OFFSET, &e);
    int rc2 = mf_commit_decode(&without, mf_slice_of(data, size), NULL, &mf_mem_default, OFFSET, &e);
    FUZZ_CHECK(rc == rc2, "%d with and %d without a place for the footer", rc, rc2);
    FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_NEWER, "%d", rc);
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    if (rc != MEMFILE_OK)
        return 0;
    mf_buffer_init(&one, &mf_mem_default);
    mf_buffer_init(&two, &mf_mem_default);
    encode(&one, &k);
    rc = mf_commit_decode(&again, mf_slice_of(one.data, one.length), &f2, &mf_mem_default, OFFSET, &e);
    FUZZ_CHECK(rc == MEMFILE_OK, "%d: %s", rc, e.message);
    encode(&two, &again);
    FUZZ_CHECK(one.length == two.length && memcmp(one.data, two.data, one.length) == 0, "another head");
    FUZZ_CHECK(again.number == k.number && again.order == k.order && again.time_us == k.time_us &&
                   again.entry_count == k.entry_count, "another commit");
    if (k.flags & MF_COMMIT_FULL) {
        FUZZ_CHECK(mf_footer_copy(&copy, &f, &mf_mem_default) == MEMFILE_OK, "memory");
        mf_footer_free(&copy, &mf_mem_default);
    }
    mf_history_row_of(&row, &k);
    mf_fold_init(&fold, memory_id, &mf_mem_default);
    mf_fold_adopt(&fold, k.number, k.history_digest, k.flags & MF_COMMIT_FULL ? &f : NULL);
    FUZZ_CHECK(mf_fold_end(&fold, k.number + 1, &row) == 0, "memory");
    fuzz_verdict_bytes(one.data, one.length);
    mf_footer_free(&f, &mf_mem_default);
    mf_footer_free(&f2, &mf_mem_default);
    mf_buffer_free(&one);
    mf_buffer_free(&two);
    return 0;
}
