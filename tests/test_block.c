/* block: rows to columns and back. SPEC 6. */
#include "support.h"

#include "block.h"
#include "draft.h"

static mf_record record;

/* An entry of a shape that depends on i. */
static void make_core(uint64_t i, mf_buffer *core)
{
    char json[2048], part[512];
    uint64_t seed = i * 2654435761u + 1;
    snprintf(json, sizeof json, "{\"id\":");
    switch (i % 4) {
    case 0: snprintf(part, sizeof part, "\"%016llx\"", (unsigned long long)next_random(&seed)); break;
    case 1: snprintf(part, sizeof part, "\"conv-1/D%llu:%llu\"", (unsigned long long)i / 9, (unsigned long long)i); break;
    case 2: snprintf(part, sizeof part, "\"0190a5d0-0000-7000-8000-%012llx\"", (unsigned long long)i); break;
    default: snprintf(part, sizeof part, "\"ABC%llu\"", (unsigned long long)i); break;
    }
    strcat(json, part);
    snprintf(part, sizeof part, ",\"text\":\"%.*s\"", (int)(next_random(&seed) % 60),
             "the quick brown fox jumps over the lazy dog and goes on its way home");
    strcat(json, part);
    if (i % 3)
        strcat(json, ",\"kind\":\"note\",\"scope\":[\"a\",\"b\"]");
    if (i % 5 == 1)
        strcat(json, ",\"scope2\":1,\"key\":\"k\",\"tags\":[\"x\",\"y\",\"x\"]");
    if (i % 7) {
        snprintf(part, sizeof part, ",\"time\":\"20%02llu-01-02T03:04:05%sZ\"", (unsigned long long)i % 90,
                 i % 2 ? "" : ".25");
        strcat(json, part);
    }
    if (i % 11 == 3)
        strcat(json, ",\"links\":[{\"rel\":\"follows\",\"to\":\"ABC3\"},{\"rel\":\"to\",\"to\":\"conv-1/D0:1\"}]");
    if (i % 13 == 4)
        strcat(json, ",\"meta\":{\"a\":[1,2.5,null],\"b\":{}},\"title\":null,\"confidence\":0.5,\"expires\":\"2030-01-01T00:00:00Z\"");
    if (i % 17 == 5)
        strcat(json, ",\"idempotency_key\":\"once\",\"own\":true,\"@40\":7");
    strcat(json, "}");
    memfile_draft *d;
    memfile_error e;
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    if (memfile_draft_parse_json(d, json, strlen(json), &e) != MEMFILE_OK)
        fail_msg("%s: %s", json, e.message);
    mf_buffer_clear(core);
    mf_draft_core(d, NULL, core);
    memfile_draft_free(d);
}

static void build(uint64_t first, uint32_t rows, mf_buffer *head, mf_buffer *content)
{
    mf_block_builder *b;
    mf_buffer core;
    memfile_error e;
    mf_buffer_init(&core, &mf_mem_default);
    assert_int_equal(mf_block_builder_new(&mf_mem_default, &b), 0);
    for (uint32_t i = 0; i < rows; i++) {
        make_core(first + i, &core);
        assert_int_equal(mf_record_parse(&record, mf_slice_of(core.data, core.length), MEMFILE_E_INVALID, 0, &e), 0);
        mf_block_builder_add(b, &record);
    }
    assert_int_equal(mf_block_builder_finish(b, head, content), 0);
    mf_block_builder_free(b);
    mf_buffer_free(&core);
}

static void every_core_comes_back_to_the_byte(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 3, 17, 64, 300, 1000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (uint64_t first = 0; first < 40; first += s < 4 ? 1 : 13) {
            mf_buffer head, content, core, again;
            mf_arena arena;
            mf_block block;
            mf_buffer_init(&head, &mf_mem_default);
            mf_buffer_init(&content, &mf_mem_default);
            mf_buffer_init(&core, &mf_mem_default);
            mf_buffer_init(&again, &mf_mem_default);
            mf_arena_init(&arena, &mf_mem_default);
            build(first, sizes[s], &head, &content);
            assert_int_equal(mf_block_parse(&block, mf_slice_of(head.data, head.length), &arena), 0);
            assert_int_equal(block.rows, sizes[s]);
            assert_int_equal(block.content_length, content.length);
            mf_block_set_content(&block, content.data);
            for (uint32_t row = 0; row < block.rows; row++) {
                make_core(first + row, &core);
                mf_buffer_clear(&again);
                assert_int_equal(mf_block_core(&block, row, &again), 0);
                assert_int_equal(again.length, core.length);
                assert_memory_equal(again.data, core.data, core.length);
            }
            mf_arena_free(&arena);
            mf_buffer_free(&head);
            mf_buffer_free(&content);
            mf_buffer_free(&core);
            mf_buffer_free(&again);
        }
}

/* Whatever the bytes are, parsing ends, stays in bounds, and rows can be asked. */
static void damaged_columns_do_no_harm(void **state)
{
    (void)state;
    mf_buffer head, content, core;
    uint64_t seed = 11, accepted = 0, refused = 0;
    mf_buffer_init(&head, &mf_mem_default);
    mf_buffer_init(&content, &mf_mem_default);
    mf_buffer_init(&core, &mf_mem_default);
    build(0, 40, &head, &content);
    for (int round = 0; round < 30000; round++) {
        uint8_t *copy = (uint8_t *)malloc(head.length);
        mf_arena arena;
        mf_block block;
        memcpy(copy, head.data, head.length);
        for (uint64_t k = next_random(&seed) % 3 + 1; k > 0; k--)
            copy[next_random(&seed) % head.length] = (uint8_t)next_random(&seed);
        size_t length = round % 5 ? head.length : next_random(&seed) % head.length;
        mf_arena_init(&arena, &mf_mem_default);
        if (mf_block_parse(&block, mf_slice_of(copy, length), &arena) == 0) {
            accepted++;
            uint8_t *texts = (uint8_t *)calloc(1, block.content_length + 1);
            mf_block_set_content(&block, texts);
            for (uint32_t row = 0; row < block.rows; row++) {
                mf_buffer_clear(&core);
                mf_block_core(&block, row, &core);
            }
            free(texts);
        } else {
            refused++;
        }
        mf_arena_free(&arena);
        free(copy);
    }
    assert_true(accepted > 0 && refused > 0);
    mf_buffer_free(&head);
    mf_buffer_free(&content);
    mf_buffer_free(&core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_core_comes_back_to_the_byte),
        cmocka_unit_test(damaged_columns_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
