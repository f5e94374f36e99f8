/* fuzz_draft: JSON to draft to core to JSON to draft gives the same core (SPEC 7.7). */
#include "entry.h"

static mf_slice draft_content(memfile_draft *d)
{
    uint64_t length = mf_draft_content_length(d);
    uint8_t *bytes = (uint8_t *)fuzz_alloc((size_t)length + 4);
    size_t at = 0, n;
    mf_draft_content_rewind(d);
    while ((n = mf_draft_content_next(d, bytes + at, (size_t)length + 4 - at)) > 0)
        at += n;
    FUZZ_CHECK(at == length, "content of %zu bytes, not %llu", at, (unsigned long long)length);
    return mf_slice_of(bytes, at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mf_record record;
    static const uint8_t some_id[16] = {1, 2, 3};
    memfile_draft *d;
    memfile_error e;
    mf_buffer core;
    FUZZ_CHECK(memfile_draft_new(&d) == MEMFILE_OK, "memory");
    int rc = memfile_draft_parse_json(d, (const char *)data, size, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || (rc < 0 && e.code == rc && e.message[0]), "%d without words", rc);
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    if (rc == MEMFILE_OK) {
        mf_slice content = {0};
        mf_detached detached = {0};
        bool is_detached = mf_draft_content_length(d) != UINT64_MAX && mf_draft_content_length(d) > MF_INLINE_CONTENT_MAX;
        mf_buffer_init(&core, &mf_mem_default);
        if (!mf_draft_has(d, MF_FIELD_ID))
            mf_draft_set_id(d, (mf_id){some_id, sizeof some_id, true});
        if (is_detached) {
            content = draft_content(d);
            detached.form = (uint64_t)mf_draft_content_form(d);
            detached.length = content.length;
        }
        mf_draft_core(d, is_detached ? &detached : NULL, &core);
        mf_slice whole = mf_slice_of(core.data, core.length);
        rc = mf_record_parse(&record, whole, MEMFILE_E_INVALID, 0, &e);
        fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
        fuzz_verdict_bytes(core.data, core.length);
        if (rc == MEMFILE_OK) {
            record.vector = mf_draft_vector(d);
            fuzz_check_json(&record, whole, is_detached ? &content : NULL);
            fuzz_check_block(&whole, 1);
        }
        mf_buffer_free(&core);
        free((void *)content.data);
    }
    memfile_draft_free(d);
    return 0;
}
