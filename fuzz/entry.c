/* entry: there and back again. */
#include "entry.h"

#include "cbor.h"

/* SPEC 7.7: an extension of such a name is refused in JSON; names of more than 1020 bytes
 * are, too. */
static bool json_can_say(const mf_record *r, mf_slice core)
{
    mf_cursor c = mf_cursor_of(core.data, core.length);
    uint64_t pairs = mf_cbor_get(&c, MF_CBOR_MAP);
    if (r->has_embedding && r->vector.length == 0)
        return false;
    for (uint64_t i = 0; i < pairs && !c.failed; i++) {
        if (mf_cbor_peek(&c) >> 5 == MF_CBOR_TEXT) {
            mf_slice name = mf_cbor_get_text(&c);
            if (mf_field_named(name) < MF_FIELD_COUNT || name.length > 1020 || (name.length && name.data[0] == '@'))
                return false;
            mf_cbor_skip_value(&c, MF_DEPTH_MAX);
        } else {
            uint64_t field = mf_cbor_get(&c, MF_CBOR_UINT);
            if (field >= MF_FIELD_COUNT) {
                mf_cbor_skip_value(&c, MF_DEPTH_MAX);
            } else if (mf_cbor_peek(&c) >> 5 == MF_CBOR_BYTES) {
                mf_cbor_get_bytes(&c);
            } else { /* pass without judging: arrays of bytes are no values of 7.4 */
                uint64_t argument, left = 1;
                unsigned size;
                while (left > 0 && !c.failed) {
                    unsigned major = mf_cbor_get_head(&c, &argument, &size);
                    left--;
                    if (major == MF_CBOR_BYTES || major == MF_CBOR_TEXT)
                        mf_get_bytes(&c, argument);
                    else if (major == MF_CBOR_ARRAY || major == MF_CBOR_MAP)
                        left += argument * (major == MF_CBOR_MAP ? 2 : 1);
                }
            }
        }
    }
    return true;
}

static void compare_content(memfile_draft *d, mf_slice content)
{
    uint8_t piece[4096];
    size_t at = 0, n;
    FUZZ_CHECK(mf_draft_content_length(d) == content.length, "%llu instead of %zu bytes",
               (unsigned long long)mf_draft_content_length(d), content.length);
    mf_draft_content_rewind(d);
    while ((n = mf_draft_content_next(d, piece, sizeof piece)) > 0) {
        FUZZ_CHECK(at + n <= content.length && memcmp(piece, content.data + at, n) == 0, "content at %zu", at);
        at += n;
    }
    FUZZ_CHECK(at == content.length, "%zu instead of %zu bytes", at, content.length);
}

void fuzz_check_json(const mf_record *r, mf_slice core, const mf_slice *content)
{
    memfile_draft *d;
    memfile_error e;
    mf_buffer json, again;
    mf_detached detached = {0};
    mf_buffer_init(&json, &mf_mem_default);
    mf_buffer_init(&again, &mf_mem_default);
    mf_record_put_json(&json, r, core, content);
    if (json_can_say(r, core) && (!r->has_content || content)) {
        FUZZ_CHECK(memfile_draft_new(&d) == MEMFILE_OK, "memory");
        int rc = memfile_draft_parse_json(d, (const char *)json.data, json.length, &e);
        FUZZ_CHECK(rc == MEMFILE_OK, "%s at %llu: %.*s", e.message, (unsigned long long)e.offset, (int)json.length,
                   (const char *)json.data);
        if (r->has_content) {
            detached.form = r->content_form;
            detached.length = r->content_length;
            memcpy(detached.root, r->content_root, 32);
            compare_content(d, *content);
        }
        mf_draft_core(d, r->has_content ? &detached : NULL, &again);
        FUZZ_CHECK(mf_slice_equal(core, mf_slice_of(again.data, again.length)), "another core: %.*s",
                   (int)json.length, (const char *)json.data);
        FUZZ_CHECK(mf_slice_equal(r->vector, mf_draft_vector(d)), "another vector: %.*s", (int)json.length,
                   (const char *)json.data);
        memfile_draft_free(d);
    }
    mf_buffer_free(&json);
    mf_buffer_free(&again);
}

void fuzz_check_block(const mf_slice *cores, uint32_t count)
{
    static mf_record record;
    memfile_error e;
    mf_buffer head, content, core;
    mf_arena arena;
    mf_block block;
    mf_block_builder *builder;
    if (count == 0)
        return;
    mf_buffer_init(&head, &mf_mem_default);
    mf_buffer_init(&content, &mf_mem_default);
    mf_buffer_init(&core, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    FUZZ_CHECK(mf_block_builder_new(&mf_mem_default, &builder) == 0, "memory");
    for (uint32_t i = 0; i < count; i++) {
        FUZZ_CHECK(mf_record_parse(&record, cores[i], MEMFILE_E_DAMAGED, 0, &e) == MEMFILE_OK, "%s", e.message);
        mf_block_builder_add(builder, &record);
    }
    FUZZ_CHECK(mf_block_builder_finish(builder, &head, &content) == 0, "memory");
    int rc = mf_block_parse(&block, mf_slice_of(head.data, head.length), &arena);
    FUZZ_CHECK(rc == 0 && block.rows == count && block.content_length == content.length, "%d: %u rows for %u, %zu bytes for %zu",
               rc, block.rows, count, block.content_length, content.length);
    mf_block_set_content(&block, content.data);
    for (uint32_t i = 0; i < count; i++) {
        mf_buffer_clear(&core);
        FUZZ_CHECK(mf_block_core(&block, i, &core) == 0, "row %u of %u", i, count);
        FUZZ_CHECK(mf_slice_equal(cores[i], mf_slice_of(core.data, core.length)), "row %u of %u is another core", i,
                   count);
    }
    mf_block_builder_free(builder);
    mf_arena_free(&arena);
    mf_buffer_free(&head);
    mf_buffer_free(&content);
    mf_buffer_free(&core);
}
