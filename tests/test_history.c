/* history: folded commits as HISTORY segments hold them. SPEC 13.2, 13.3. */
#include "support.h"

#include "commit.h"

static int decode(const mf_buffer *b, mf_history *h, mf_arena *arena, memfile_error *e)
{
    uint8_t *exact = (uint8_t *)mf_arena_alloc(arena, b->length + 1);
    if (b->length)
        memcpy(exact, b->data, b->length);
    return mf_history_decode(h, mf_slice_of(exact, b->length), arena, 4096, e);
}

/* SPEC 13.2 field by field, without the library's encoder: two commits, the second with everything. */
static void put_sample(mf_buffer *b, uint64_t first_flags, uint64_t second_flags)
{
    static const uint8_t zeros[96];
    uint64_t flags[2] = {first_flags, second_flags}, counts[2] = {0, 3}, one;
    mf_put_varint(b, 7);   /* 1 First_Number */
    mf_put_varint(b, 2);   /* 2 Row_Count */
    mf_put_varint(b, 100); /* 3 First_Entry */
    mf_put_ints(b, flags, 2);
    mf_put_ints(b, counts, 2);
    mf_put_zigzag(b, -5); /* 6 Times */
    one = mf_zigzag(1005);
    mf_put_ints(b, &one, 1);
    one = 4242;
    if (second_flags & MF_COMMIT_ORDER)
        mf_put_ints(b, &one, 1); /* 7 Orders */
    one = 77;
    mf_put_ints(b, &one, 1); /* 8 Salt_Indexes: of the row with Counts > 0 */
    if (second_flags & MF_COMMIT_SALT) { /* 9: two nodes */
        mf_put_varint(b, 2);
        mf_put_u8(b, 1);
        mf_put_varint(b, 0);
        mf_put_bytes(b, "0123456789abcdef", 16);
        mf_put_u8(b, 16);
        mf_put_varint(b, 0xffffffff);
        mf_put_bytes(b, "fedcba9876543210", 16);
    }
    if (second_flags & MF_COMMIT_PARENTS) {
        mf_put_varint(b, 2);
        mf_put_bytes(b, zeros, 32);
        mf_put_bytes(b, "digests of parents rise bytewise", 32);
    }
    if (second_flags & MF_COMMIT_AUTHOR)
        mf_put_string(b, mf_slice_of("Ann", 3));
    if (second_flags & MF_COMMIT_EXTRA)
        mf_put_string(b, mf_slice_of("\x0a\x01", 2));
    if (second_flags & MF_COMMIT_SIGNATURES) {
        mf_put_varint(b, 1);
        mf_put_bytes(b, zeros, 96);
    }
}

static const uint64_t every = MF_COMMIT_PARENTS | MF_COMMIT_AUTHOR | MF_COMMIT_EXTRA | MF_COMMIT_SALT | MF_COMMIT_ORDER |
                              MF_COMMIT_SIGNATURES;

static void rows_are_read_as_the_specification_says(void **state)
{
    (void)state;
    mf_buffer b;
    mf_arena arena;
    mf_history h;
    memfile_error e;
    mf_buffer_init(&b, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    put_sample(&b, 0, every);
    assert_int_equal(decode(&b, &h, &arena, &e), MEMFILE_OK);
    assert_int_equal(h.first_number, 7);
    assert_int_equal(h.first_entry, 100);
    assert_int_equal(h.row_count, 2);
    assert_int_equal(h.rows[0].flags, 0);
    assert_int_equal(h.rows[0].count, 0);
    assert_true(h.rows[0].time_us == -5);
    assert_int_equal(h.rows[0].order, 0); /* SPEC 9.1: Time, and never below 0 */
    assert_int_equal(h.rows[1].count, 3);
    assert_true(h.rows[1].time_us == 1000);
    assert_int_equal(h.rows[1].order, 4242);
    assert_int_equal(h.rows[1].salt_index, 77);
    assert_int_equal(h.rows[1].salt_count, 2);
    assert_int_equal(h.node_count, 2);
    assert_int_equal(h.nodes[h.rows[1].salt_first].depth, 1);
    assert_int_equal(h.nodes[h.rows[1].salt_first + 1].depth, 16);
    assert_int_equal(h.nodes[h.rows[1].salt_first + 1].position, 0xffffffff);
    assert_memory_equal(h.nodes[h.rows[1].salt_first + 1].seed, "fedcba9876543210", 16);
    assert_int_equal(h.rows[1].parents.length, 64);
    assert_int_equal(h.rows[1].author.length, 3);
    assert_int_equal(h.rows[1].extra.length, 2);
    assert_int_equal(h.rows[1].signatures.length, 96);
    /* and the encoder writes just that */
    mf_buffer again;
    mf_buffer_init(&again, &mf_mem_default);
    mf_history_encode(&again, &h);
    assert_int_equal(again.length, b.length);
    assert_memory_equal(again.data, b.data, b.length);
    mf_buffer_free(&again);
    mf_arena_free(&arena);
    mf_buffer_free(&b);
}

static void every_cut_and_every_byte_more_is_damage(void **state)
{
    (void)state;
    mf_buffer b;
    mf_arena arena;
    mf_history h;
    memfile_error e;
    mf_buffer_init(&b, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    put_sample(&b, 0, every);
    size_t whole = b.length;
    for (b.length = 0; b.length < whole; b.length++) {
        assert_int_equal(decode(&b, &h, &arena, &e), MEMFILE_E_DAMAGED);
        assert_int_equal(e.offset, 4096);
        mf_arena_reset(&arena);
    }
    mf_put_u8(&b, 0);
    assert_int_equal(decode(&b, &h, &arena, &e), MEMFILE_E_DAMAGED);
    mf_arena_free(&arena);
    mf_buffer_free(&b);
}

static void flags_that_a_row_cannot_have_are_refused(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        mf_buffer b;
        mf_arena arena;
        mf_history h;
        memfile_error e;
        uint64_t flag = (uint64_t)1 << bit;
        mf_buffer_init(&b, &mf_mem_default);
        mf_arena_init(&arena, &mf_mem_default);
        put_sample(&b, 0, flag);
        /* LOGICAL, FULL and INLINE are no flags of a row, nor is anything unknown */
        assert_int_equal(decode(&b, &h, &arena, &e), every & flag ? MEMFILE_OK : MEMFILE_E_DAMAGED);
        mf_arena_free(&arena);
        mf_buffer_free(&b);
    }
}

static void numbers_out_of_their_bounds_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t number, rows, first_entry, count, salt_index;
        bool good;
    } cases[] = {{0, 1, 0, 0, 0, true},
                 {(uint64_t)1 << 62, 1, 0, 1, 0, true},
                 {((uint64_t)1 << 62) + 1, 1, 0, 1, 0, false},
                 {0, 0, 0, 0, 0, false},                                   /* SPEC 13.2: 1 to 4,096 rows */
                 {0, 4097, 0, 0, 0, false},
                 {0, 1, (uint64_t)1 << 40, 0, 0, true},
                 {0, 1, ((uint64_t)1 << 40) + 1, 0, 0, false},             /* SPEC 19: 2^40 entries */
                 {0, 1, (uint64_t)1 << 40, 1, 0, false},
                 {1, 1, 0, (uint64_t)1 << 40, 0, true},
                 {0, 1, 0, 1, 0, false},                                   /* SPEC 2.3: the genesis brings none */
                 {1, 1, 1, (uint64_t)1 << 40, 0, false},
                 {1, 1, 5, UINT64_MAX, 0, false},
                 {1, 1, 0, 1, 0xffffffff, true},
                 {1, 1, 0, 1, (uint64_t)1 << 32, false}};                  /* SPEC 8.2: indexes below 2^32 */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_buffer b;
        mf_arena arena;
        mf_history h;
        memfile_error e;
        uint64_t zero = 0;
        mf_buffer_init(&b, &mf_mem_default);
        mf_arena_init(&arena, &mf_mem_default);
        mf_put_varint(&b, cases[i].number);
        mf_put_varint(&b, cases[i].rows);
        mf_put_varint(&b, cases[i].first_entry);
        mf_put_ints(&b, &zero, 1);
        mf_put_ints(&b, &cases[i].count, 1);
        mf_put_zigzag(&b, 0);
        if (cases[i].count)
            mf_put_ints(&b, &cases[i].salt_index, 1);
        int rc = decode(&b, &h, &arena, &e);
        if (rc != (cases[i].good ? MEMFILE_OK : MEMFILE_E_DAMAGED))
            fail_msg("case %zu: %d", i, rc);
        mf_arena_free(&arena);
        mf_buffer_free(&b);
    }
}

/* SPEC 13.3: depth 0 to 16, a position of as many base-4 digits. */
static void nodes_that_no_tree_has_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t depth;
        uint64_t position;
        bool good;
    } cases[] = {{0, 0, true},  {0, 1, false},  {1, 3, true},           {1, 4, false},          {15, 0x3fffffff, true},
                 {15, 0x40000000, false}, {16, 0xffffffff, true}, {16, 0x100000000, false}, {17, 0, false}, {255, 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_buffer b;
        mf_arena arena;
        mf_history h;
        memfile_error e;
        uint64_t flags = MF_COMMIT_SALT, zero = 0;
        mf_buffer_init(&b, &mf_mem_default);
        mf_arena_init(&arena, &mf_mem_default);
        mf_put_varint(&b, 0);
        mf_put_varint(&b, 1);
        mf_put_varint(&b, 0);
        mf_put_ints(&b, &flags, 1);
        mf_put_ints(&b, &zero, 1);
        mf_put_zigzag(&b, 0);
        mf_put_varint(&b, 1);
        mf_put_u8(&b, cases[i].depth);
        mf_put_varint(&b, cases[i].position);
        mf_put_bytes(&b, "0123456789abcdef", 16);
        int rc = decode(&b, &h, &arena, &e);
        if (rc != (cases[i].good ? MEMFILE_OK : MEMFILE_E_DAMAGED))
            fail_msg("case %zu: %d", i, rc);
        mf_arena_free(&arena);
        mf_buffer_free(&b);
    }
}

/* SPEC 13.2: differences are modulo 2^64. */
static void any_two_times_have_a_difference(void **state)
{
    (void)state;
    static const int64_t times[] = {INT64_MIN, INT64_MAX, INT64_MIN, 0, INT64_MAX, -1};
    mf_history_row rows[6];
    mf_history h = {0, 0, 6, 0, rows, NULL}, back;
    mf_buffer b;
    mf_arena arena;
    memfile_error e;
    memset(rows, 0, sizeof rows);
    for (size_t i = 0; i < 6; i++)
        rows[i].time_us = times[i];
    mf_buffer_init(&b, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    mf_history_encode(&b, &h);
    assert_int_equal(decode(&b, &back, &arena, &e), MEMFILE_OK);
    for (size_t i = 0; i < 6; i++)
        assert_true(back.rows[i].time_us == times[i]);
    /* INT64_MAX - INT64_MIN is -1 modulo 2^64, zigzag 1; back is +1, zigzag 2 */
    mf_cursor c = mf_cursor_of(b.data, b.length);
    for (int i = 0; i < 3; i++)
        mf_get_varint(&c);
    mf_get_ints(&c, 6);
    mf_get_ints(&c, 6);
    assert_true(mf_get_zigzag(&c) == INT64_MIN);
    mf_ints differences = mf_get_ints(&c, 5);
    assert_int_equal(mf_ints_at(&differences, 0), 1);
    assert_int_equal(mf_ints_at(&differences, 1), 2);
    mf_arena_free(&arena);
    mf_buffer_free(&b);
}

/* SPEC 13.3: in the order of the indexes below them, none below another. */
static void nodes_out_of_order_or_below_another_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct {
            uint8_t depth;
            uint64_t position;
        } node[2];
        bool good;
    } cases[] = {{{{1, 0}, {1, 1}}, true},  {{{1, 1}, {1, 0}}, false}, {{{1, 1}, {1, 1}}, false}, {{{0, 0}, {16, 5}}, false},
                 {{{1, 0}, {2, 4}}, true}, {{{1, 0}, {2, 3}}, false}, {{{2, 3}, {1, 0}}, false}, {{{2, 3}, {1, 1}}, true},
                 {{{16, 0xfffffffe}, {16, 0xffffffff}}, true}, {{{16, 0xffffffff}, {16, 0xffffffff}}, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_buffer b;
        mf_arena arena;
        mf_history h;
        memfile_error e;
        uint64_t flags = MF_COMMIT_SALT, zero = 0;
        mf_buffer_init(&b, &mf_mem_default);
        mf_arena_init(&arena, &mf_mem_default);
        mf_put_varint(&b, 0);
        mf_put_varint(&b, 1);
        mf_put_varint(&b, 0);
        mf_put_ints(&b, &flags, 1);
        mf_put_ints(&b, &zero, 1);
        mf_put_zigzag(&b, 0);
        mf_put_varint(&b, 2);
        for (int n = 0; n < 2; n++) {
            mf_put_u8(&b, cases[i].node[n].depth);
            mf_put_varint(&b, cases[i].node[n].position);
            mf_put_bytes(&b, "0123456789abcdef", 16);
        }
        int rc = decode(&b, &h, &arena, &e);
        if (rc != (cases[i].good ? MEMFILE_OK : MEMFILE_E_DAMAGED))
            fail_msg("case %zu: %d", i, rc);
        mf_arena_free(&arena);
        mf_buffer_free(&b);
    }
}

/* A count of rows or nodes that the bytes cannot hold takes no memory by it. */
static void a_count_that_lies_takes_no_memory(void **state)
{
    (void)state;
    mf_buffer b;
    mf_arena arena;
    mf_history h;
    memfile_error e;
    mf_buffer_init(&b, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    put_sample(&b, 0, MF_COMMIT_SALT);
    for (size_t i = 0; i + 2 < b.length; i++)
        if (b.data[i] == 2 && b.data[i + 1] == 1 && b.data[i + 2] == 0) {
            b.data[i] = 0x7f; /* 127 nodes in the room of two */
            break;
        }
    assert_int_equal(decode(&b, &h, &arena, &e), MEMFILE_E_DAMAGED);
    assert_true(arena.total < 65536);
    mf_arena_free(&arena);
    mf_buffer_free(&b);
}

static void any_flipped_bit_decodes_or_is_damage_and_no_more(void **state)
{
    (void)state;
    mf_buffer b;
    mf_arena arena;
    mf_history h;
    memfile_error e;
    mf_buffer_init(&b, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    put_sample(&b, 0, every);
    for (size_t bit = 0; bit < b.length * 8; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int rc = decode(&b, &h, &arena, &e);
        assert_true(rc == MEMFILE_OK || rc == MEMFILE_E_DAMAGED);
        if (rc == MEMFILE_OK)
            for (uint32_t i = 0; i < h.row_count; i++)
                assert_true(h.rows[i].salt_first + h.rows[i].salt_count <= h.node_count);
        mf_arena_reset(&arena);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    mf_arena_free(&arena);
    mf_buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read_as_the_specification_says),
        cmocka_unit_test(every_cut_and_every_byte_more_is_damage),
        cmocka_unit_test(flags_that_a_row_cannot_have_are_refused),
        cmocka_unit_test(numbers_out_of_their_bounds_are_refused),
        cmocka_unit_test(nodes_that_no_tree_has_are_refused),
        cmocka_unit_test(any_two_times_have_a_difference),
        cmocka_unit_test(nodes_out_of_order_or_below_another_are_refused),
        cmocka_unit_test(a_count_that_lies_takes_no_memory),
        cmocka_unit_test(any_flipped_bit_decodes_or_is_damage_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
