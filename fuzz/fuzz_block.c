/* fuzz_block: columns and content of a block (SPEC 6): varint length, columns, content (cut
 * or filled with zero bytes). Every column of every row is asked; a block whose rows are all
 * entries gives the same entries when it is built anew. */
#include "entry.h"

#define ROWS_MAX 512

static void touch(mf_slice s, uint64_t *sum)
{
    if (s.length)
        *sum += s.data[0] + s.data[s.length - 1];
}

static void ask_row(mf_block *block, uint32_t row, uint64_t *sum)
{
    mf_slice scope[MF_SCOPE_MAX];
    mf_time time;
    uint32_t first, count;
    char text[256];
    mf_id id = mf_block_id(block, row);
    FUZZ_CHECK(id.data || mf_block_erased(block, row), "row %u has no id", row);
    if (id.data)
        *sum += mf_id_print(id, text);
    touch(mf_block_kind(block, row), sum);
    touch(mf_block_key(block, row), sum);
    touch(mf_block_idempotency_key(block, row), sum);
    touch(mf_block_text(block, row), sum);
    touch(mf_block_rest(block, row), sum);
    touch(mf_block_vector(block, row), sum);
    count = mf_block_scope(block, row, scope);
    for (uint32_t i = 0; i < count; i++)
        touch(scope[i], sum);
    count = mf_block_tags(block, row, &first);
    for (uint32_t i = 0; i < count; i++)
        touch(mf_block_tag(block, first + i), sum);
    count = mf_block_links(block, row, &first);
    for (uint32_t i = 0; i < count; i++) {
        touch(mf_block_relation(block, first + i), sum);
        id = mf_block_target(block, first + i);
        *sum += id.data ? mf_id_print(id, text) : 0;
    }
    if (mf_block_time(block, row, &time) || mf_block_expires(block, row, &time))
        *sum += mf_time_nanoseconds(&time);
    for (unsigned field = 0; field < MF_FIELD_COUNT; field += 5)
        touch(mf_block_rest_field(block, row, field), sum);
    for (uint32_t other = row > 3 ? row - 3 : 0; other < row; other++)
        *sum += (uint64_t)mf_block_same_id(block, row, block, other) +
                (uint64_t)mf_block_same_key(block, row, block, other);
}

static void build_anew(mf_block *block)
{
    static mf_record record;
    memfile_error e;
    mf_buffer *buffers = (mf_buffer *)fuzz_alloc(block->rows * sizeof *buffers);
    mf_slice *cores = (mf_slice *)fuzz_alloc(block->rows * sizeof *cores);
    uint32_t count = 0;
    for (uint32_t row = 0; row < block->rows; row++) {
        mf_buffer *core = &buffers[row];
        mf_buffer_init(core, &mf_mem_default);
        int rc = mf_block_core(block, row, core);
        fuzz_verdict("core: %d", rc);
        fuzz_verdict_bytes(core->data, core->length);
        mf_slice s = mf_slice_of(core->data, core->length);
        if (rc == 0 && !mf_block_erased(block, row) &&
            mf_record_parse(&record, s, MEMFILE_E_DAMAGED, 0, &e) == MEMFILE_OK)
            cores[count++] = s;
    }
    if (count < ROWS_MAX)
        fuzz_check_block(cores, count);
    for (uint32_t row = 0; row < block->rows; row++)
        mf_buffer_free(&buffers[row]);
    free(buffers);
    free(cores);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mf_cursor c = mf_cursor_of(data, size);
    mf_slice given = mf_get_string(&c), rest = mf_slice_of(c.at, mf_cursor_left(&c));
    mf_arena arena;
    mf_block block;
    uint64_t sum = 0;
    if (c.failed)
        return 0;
    uint8_t *columns = fuzz_copy(given.data, given.length);
    mf_arena_init(&arena, &mf_mem_default);
    int rc = mf_block_parse(&block, mf_slice_of(columns, given.length), &arena);
    FUZZ_CHECK(rc <= 0 && rc >= -3 && rc != -2, "%d", rc);
    fuzz_verdict("%d", rc);
    if (rc == 0) {
        FUZZ_CHECK(block.content_length <= MF_RAW_LENGTH_MAX, "%zu", block.content_length);
        uint8_t *content = (uint8_t *)calloc(1, block.content_length ? block.content_length : 1);
        if (!content)
            abort();
        size_t n = rest.length < block.content_length ? rest.length : block.content_length;
        if (n)
            memcpy(content, rest.data, n);
        mf_block_set_content(&block, content);
        for (uint32_t row = 0; row < block.rows; row++)
            ask_row(&block, row, &sum);
        fuzz_verdict("%u rows, content of %zu bytes, %llu", block.rows, block.content_length, (unsigned long long)sum);
        build_anew(&block);
        free(content);
    }
    mf_arena_free(&arena);
    free(columns);
    return 0;
}
