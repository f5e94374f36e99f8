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

/* ---- columns by hand: what each rule of SPEC 6.2 and 6.3 refuses, beside what it lets pass */

typedef struct columns {
    uint32_t rows, mask; /* of all rows */
    uint32_t names;      /* each of 1 letter, or as the next two say */
    uint32_t name_prefix, name_length;
    uint64_t id_class, id_prefix, id_suffix; /* of the second row's id and further */
    uint64_t first_suffix;
    uint64_t kind, scope_length, scope_name;
    uint64_t text, rest, vector; /* lengths of the last row's */
    int64_t second, step;
    uint64_t digits;
    uint64_t links, target_row;
    size_t cut; /* bytes left out at the end */
} columns;

static void put_same(mf_buffer *b, uint32_t count, uint64_t first, uint64_t others)
{
    uint64_t *v = (uint64_t *)calloc(count + 1, sizeof *v);
    for (uint32_t i = 0; i < count; i++)
        v[i] = i ? others : first;
    mf_put_ints(b, v, count);
    free(v);
}

static void put_letters(mf_buffer *b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        mf_put_u8(b, 'a');
}

static void put_times(mf_buffer *b, const columns *c)
{
    mf_put_zigzag(b, c->second);
    put_same(b, c->rows - 1, mf_zigzag(c->step), 0);
    put_same(b, c->rows, c->digits, c->digits);
    if (c->digits)
        put_same(b, c->rows, 0, 0);
}

static void put_columns(mf_buffer *b, const columns *c)
{
    uint32_t n = c->rows;
    mf_put_varint(b, n);
    put_same(b, n, c->mask, c->mask);
    mf_put_varint(b, c->names);
    put_same(b, c->names, 0, c->name_prefix);
    put_same(b, c->names, c->name_length, c->name_length - c->name_prefix);
    put_letters(b, (uint64_t)c->names * (c->name_length - c->name_prefix) + (c->names ? c->name_prefix : 0));
    if (c->mask & MF_COLUMN_SCOPE) {
        mf_put_varint(b, 1);
        put_same(b, 1, c->scope_length, 0);
        put_same(b, (uint32_t)c->scope_length, c->scope_name, c->scope_name);
    }
    put_same(b, n, MF_ID_TEXT, c->id_class);
    uint32_t strings = c->id_class == MF_ID_ROW ? 1 : n;
    put_same(b, strings, 0, c->id_prefix);
    put_same(b, strings, c->first_suffix, c->id_suffix);
    put_letters(b, c->first_suffix + c->id_suffix * (strings - 1));
    put_same(b, n - strings, 0, 0);
    if (c->mask & MF_COLUMN_KIND)
        put_same(b, n, 0, c->kind);
    if (c->mask & MF_COLUMN_SCOPE)
        put_same(b, n, 0, 0);
    if (c->mask & MF_COLUMN_TIME)
        put_times(b, c);
    if (c->mask & MF_COLUMN_TEXT)
        put_same(b, n, c->text, 0);
    if (c->mask & MF_COLUMN_LINKS) { /* all of the first row; the last leads to
                                        target_row */
        put_same(b, n, c->links, 0);
        put_same(b, (uint32_t)c->links, 0, 0);
        put_same(b, (uint32_t)c->links, MF_ID_ROW, MF_ID_ROW);
        put_same(b, (uint32_t)c->links, c->target_row, 0);
    }
    if (c->mask & MF_COLUMN_REST)
        put_same(b, n, c->rest, 0);
    if (c->mask & MF_COLUMN_VECTOR) {
        put_same(b, n, c->vector, 0);
        put_letters(b, c->vector);
    }
    b->length -= c->cut;
}

static int parse(const columns *c)
{
    mf_buffer b;
    mf_arena arena;
    mf_block block;
    mf_buffer_init(&b, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    put_columns(&b, c);
    uint8_t *exact = edge_copy(b.data, b.length);
    int rc = mf_block_parse(&block, mf_slice_of(exact, b.length), &arena);
    edge_free(exact, b.length);
    mf_arena_free(&arena);
    mf_buffer_free(&b);
    return rc;
}

/* Two rows, two names; but for what is set. */
#define WANTS(result, ...) \
    do { \
        columns c = { \
            .rows = 2, .names = 2, .name_length = 1, .first_suffix = 1, .id_suffix = 2, .id_class = MF_ID_TEXT}; \
        __VA_ARGS__; \
        assert_int_equal(parse(&c), result); \
    } while (0)
#define TAKES(...) WANTS(0, __VA_ARGS__)
#define REFUSES(...) WANTS(-1, __VA_ARGS__)

static void each_rule_of_the_columns_is_kept(void **state)
{
    (void)state;
    TAKES(c.mask = 0);
    for (size_t cut = 1; cut < 16; cut++)
        REFUSES(c.cut = cut);
    /* ids */
    TAKES(c.id_suffix = 255);
    REFUSES(c.id_suffix = 256);
    TAKES(c.id_prefix = 1, c.id_suffix = 254);
    REFUSES(c.id_prefix = 1, c.id_suffix = 255);
    REFUSES(c.id_prefix = 2);
    REFUSES(c.id_suffix = 0);
    REFUSES(c.first_suffix = 0);
    TAKES(c.id_class = MF_ID_BINARY, c.id_suffix = 16);
    REFUSES(c.id_class = MF_ID_BINARY, c.id_suffix = 15);
    TAKES(c.id_class = MF_ID_HEX, c.id_suffix = 127);
    REFUSES(c.id_class = MF_ID_HEX, c.id_suffix = 128);
    REFUSES(c.id_class = MF_ID_ROW);
    REFUSES(c.id_class = MF_ID_ROW + 1);
    /* names */
    TAKES(c.name_length = 255);
    REFUSES(c.name_length = 256);
    REFUSES(c.name_length = 0);
    TAKES(c.name_length = 64, c.name_prefix = 64, c.names = 65535); /* 64 bytes each: 4 MiB but for 128 */
    REFUSES(c.name_length = 65, c.name_prefix = 65, c.names = 65535);
    TAKES(c.mask = MF_COLUMN_KIND, c.kind = 1);
    REFUSES(c.mask = MF_COLUMN_KIND, c.kind = 2);
    TAKES(c.mask = MF_COLUMN_SCOPE, c.scope_length = 32, c.scope_name = 1);
    REFUSES(c.mask = MF_COLUMN_SCOPE, c.scope_length = 33, c.scope_name = 1);
    REFUSES(c.mask = MF_COLUMN_SCOPE, c.scope_length = 1, c.scope_name = 2);
    /* times */
    TAKES(c.mask = MF_COLUMN_TIME, c.second = MF_SECONDS_MAX);
    REFUSES(c.mask = MF_COLUMN_TIME, c.second = MF_SECONDS_MAX + 1, c.step = -1);
    TAKES(c.mask = MF_COLUMN_TIME, c.second = MF_SECONDS_MIN);
    REFUSES(c.mask = MF_COLUMN_TIME, c.second = MF_SECONDS_MIN - 1, c.step = 1);
    TAKES(c.mask = MF_COLUMN_TIME, c.second = MF_SECONDS_MIN, c.step = MF_SECONDS_MAX - MF_SECONDS_MIN);
    REFUSES(c.mask = MF_COLUMN_TIME, c.second = 0, c.step = INT64_MAX);
    REFUSES(c.mask = MF_COLUMN_TIME, c.second = 0, c.step = INT64_MIN);
    REFUSES(c.mask = MF_COLUMN_TIME, c.second = 1, c.step = INT64_MAX);
    REFUSES(c.mask = MF_COLUMN_TIME, c.second = -1, c.step = INT64_MIN);
    TAKES(c.mask = MF_COLUMN_TIME, c.digits = 9);
    REFUSES(c.mask = MF_COLUMN_TIME, c.digits = 10);
    /* lengths */
    TAKES(c.mask = MF_COLUMN_TEXT, c.text = MF_RAW_LENGTH_MAX);
    REFUSES(c.mask = MF_COLUMN_TEXT, c.text = MF_RAW_LENGTH_MAX + 1);
    REFUSES(c.mask = MF_COLUMN_TEXT, c.text = ((uint64_t)1 << 32) + 1);
    TAKES(c.mask = MF_COLUMN_REST, c.rest = MF_RAW_LENGTH_MAX);
    REFUSES(c.mask = MF_COLUMN_REST, c.rest = MF_RAW_LENGTH_MAX + 1);
    TAKES(c.mask = MF_COLUMN_TEXT | MF_COLUMN_REST, c.text = MF_RAW_LENGTH_MAX - 5, c.rest = 5);
    REFUSES(c.mask = MF_COLUMN_TEXT | MF_COLUMN_REST, c.text = MF_RAW_LENGTH_MAX - 5, c.rest = 6);
    TAKES(c.mask = MF_COLUMN_VECTOR, c.vector = 100);
    REFUSES(c.mask = MF_COLUMN_VECTOR, c.vector = 100, c.cut = 1);
    /* links: a target is a row */
    TAKES(c.mask = MF_COLUMN_LINKS, c.links = 3, c.target_row = 1);
    REFUSES(c.mask = MF_COLUMN_LINKS, c.links = 3, c.target_row = 2);
    /* rows */
    TAKES(c.rows = 4096);
    REFUSES(c.rows = 4097);
}

static void a_row_that_was_erased_has_no_id(void **state)
{
    (void)state;
    static const uint64_t masks[] = {0, MF_COLUMN_ERASED, 0}, zeros[3], lengths[] = {1, 1},
                          texts[] = {MF_ID_TEXT, MF_ID_TEXT};
    mf_buffer b, core;
    mf_arena arena;
    mf_block block;
    mf_buffer_init(&b, &mf_mem_default);
    mf_buffer_init(&core, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    mf_put_varint(&b, 3);
    mf_put_ints(&b, masks, 3);
    mf_put_varint(&b, 0);
    mf_put_ints(&b, texts, 2);
    mf_put_ints(&b, zeros, 2);
    mf_put_ints(&b, lengths, 2);
    mf_put_bytes(&b, "xy", 2);
    put_letters(&b, 32);
    assert_int_equal(mf_block_parse(&block, mf_slice_of(b.data, b.length), &arena), 0);
    mf_block_set_content(&block, b.data);
    assert_int_equal(mf_block_id(&block, 0).data[0], 'x');
    assert_null(mf_block_id(&block, 1).data);
    assert_int_equal(mf_block_id(&block, 2).data[0], 'y');
    assert_int_equal(mf_block_core(&block, 1, &core), -1);
    assert_false(mf_block_same_id(&block, 1, &block, 1));
    assert_int_equal(mf_block_core(&block, 0, &core), 0);
    assert_int_equal(mf_block_core(&block, 3 - 1, &core), 0);
    mf_arena_free(&arena);
    mf_buffer_free(&b);
    mf_buffer_free(&core);
}

/* Keys are the same in the same scope only. */
static void keys_are_compared_with_their_scopes(void **state)
{
    (void)state;
    static const char *const entries[] = {"{\"id\":\"a\",\"key\":\"k\",\"scope\":[\"s\",\"t\"],\"text\":\"x\"}",
                                          "{\"id\":\"b\",\"key\":\"k\",\"scope\":[\"s\",\"t\"],\"text\":\"x\"}",
                                          "{\"id\":\"c\",\"key\":\"k\",\"scope\":[\"s\",\"u\"],\"text\":\"x\"}",
                                          "{\"id\":\"d\",\"key\":\"k\",\"scope\":[\"s\"],\"text\":\"x\"}",
                                          "{\"id\":\"e\",\"key\":\"l\",\"scope\":[\"s\",\"t\"],\"text\":\"x\"}",
                                          "{\"id\":\"f\",\"scope\":[\"s\",\"t\"],\"text\":\"x\"}",
                                          "{\"id\":\"g\",\"key\":\"k\",\"text\":\"x\"}"};
    const uint32_t n = sizeof entries / sizeof *entries;
    mf_buffer cores[sizeof entries / sizeof *entries], head, content;
    memfile_error e;
    memfile_draft *draft;
    mf_block_builder *builder;
    mf_arena arena;
    mf_block block;
    mf_buffer_init(&head, &mf_mem_default);
    mf_buffer_init(&content, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    assert_int_equal(mf_block_builder_new(&mf_mem_default, &builder), 0);
    assert_int_equal(memfile_draft_new(&draft), 0);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(memfile_draft_parse_json(draft, entries[i], strlen(entries[i]), &e), 0);
        mf_buffer_init(&cores[i], &mf_mem_default);
        mf_draft_core(draft, NULL, &cores[i]);
        assert_int_equal(
            mf_record_parse(&record, mf_slice_of(cores[i].data, cores[i].length), MEMFILE_E_INVALID, 0, &e), 0);
        mf_block_builder_add(builder, &record);
    }
    assert_int_equal(mf_block_builder_finish(builder, &head, &content), 0);
    mf_block_builder_free(builder);
    memfile_draft_free(draft);
    assert_int_equal(mf_block_parse(&block, mf_slice_of(head.data, head.length), &arena), 0);
    mf_block_set_content(&block, content.data);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < n; k++)
            assert_int_equal(mf_block_same_key(&block, i, &block, k), i != 5 && (i == k || (i < 2 && k < 2)));
    for (uint32_t i = 0; i < n; i++)
        mf_buffer_free(&cores[i]);
    mf_arena_free(&arena);
    mf_buffer_free(&head);
    mf_buffer_free(&content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_core_comes_back_to_the_byte),
        cmocka_unit_test(damaged_columns_do_no_harm),
        cmocka_unit_test(each_rule_of_the_columns_is_kept),
        cmocka_unit_test(a_row_that_was_erased_has_no_id),
        cmocka_unit_test(keys_are_compared_with_their_scopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
