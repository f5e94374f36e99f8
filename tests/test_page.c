/* page: items in pages. SPEC 10. */
#include "support.h"

#include "page.h"

static int compare(const void *a, const void *b)
{
    return mf_item_compare((const mf_item *)a, (const mf_item *)b);
}

static uint32_t make_items(mf_item *items, uint32_t count, uint64_t seed)
{
    for (uint32_t i = 0; i < count; i++) {
        items[i].kind = (uint8_t)(1 + next_random(&seed) % 11);
        items[i].key = next_random(&seed) % 3 ? next_random(&seed) % 20 : next_random(&seed) >> (next_random(&seed) % 64);
        items[i].value = next_random(&seed) >> (next_random(&seed) % 64);
    }
    qsort(items, count, sizeof *items, compare);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || mf_item_compare(&items[i], &items[kept - 1]) != 0)
            items[kept++] = items[i];
    return kept;
}

static void leaves_hold_their_items_and_find_them(void **state)
{
    (void)state;
    static mf_item items[3000];
    for (uint64_t seed = 1; seed < 30; seed++) {
        uint32_t count = make_items(items, 3000, seed), done = 0;
        while (done < count) {
            mf_buffer b;
            mf_arena arena;
            mf_page page;
            mf_item item;
            mf_buffer_init(&b, &mf_mem_default);
            mf_arena_init(&arena, &mf_mem_default);
            uint32_t n = mf_page_put_leaf(&b, 0, 3000, items + done, count - done);
            assert_true(n > 0);
            assert_true(b.length <= MF_PAGE_BODY_TARGET);
            assert_int_equal(mf_page_parse(&page, mf_slice_of(b.data, b.length), &arena), 0);
            assert_int_equal(page.count, n);
            for (uint32_t i = 0; i < n; i++) {
                mf_page_item(&page, i, &item);
                assert_int_equal(mf_item_compare(&item, &items[done + i]), 0);
                assert_int_equal(mf_page_rank(&page, &item), i + 1);
            }
            done += n;
            mf_arena_free(&arena);
            mf_buffer_free(&b);
        }
    }
}

/* What is left on a page behind a first strip, byte by byte, for a second whose head alone takes 25 bytes. */
static void no_leaf_is_longer_than_it_may_be(void **state)
{
    (void)state;
    static mf_item items[5000];
    for (uint32_t first = 1900; first < 2800; first++) {
        mf_buffer b;
        mf_arena arena;
        mf_page page;
        uint32_t count = 0;
        for (; count < first; count++) /* 12 or 13 bits each */
            items[count] = (mf_item){MF_ITEM_TIME, count / 16, count % 16};
        for (uint32_t i = 0; i < 800; i++)
            items[count++] = (mf_item){MF_ITEM_FACET, ((uint64_t)1 << 62) + i, ((uint64_t)1 << 62) + i % 3};
        mf_buffer_init(&b, &mf_mem_default);
        mf_arena_init(&arena, &mf_mem_default);
        uint32_t n = mf_page_put_leaf(&b, 0, 5000, items, count);
        assert_true(n > 0);
        if (b.length > MF_PAGE_BODY_TARGET)
            fail_msg("%u items and %u: %zu bytes", first, n - first, b.length);
        assert_int_equal(mf_page_parse(&page, mf_slice_of(b.data, b.length), &arena), 0);
        assert_int_equal(page.count, n);
        mf_arena_free(&arena);
        mf_buffer_free(&b);
    }
}

static void a_page_of_endless_gaps_is_refused(void **state)
{
    (void)state;
    /* level 0, run 0..1, one strip: kind 5, gaps, 2^32 - 1 items in 12 bytes */
    static const uint8_t bomb[] = {0, 0, 1, 5, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 1, 0, 0, 1};
    mf_arena arena;
    mf_page page;
    mf_arena_init(&arena, &mf_mem_default);
    assert_int_equal(mf_page_parse(&page, mf_slice_of(bomb, sizeof bomb), &arena), -1);
    assert_true(arena.total < 65536);
    mf_arena_free(&arena);
}

static void items_that_do_not_rise_are_refused(void **state)
{
    (void)state;
    mf_buffer b;
    mf_arena arena;
    mf_page page;
    uint64_t keys[] = {5, 4}, values[] = {1, 1};
    mf_buffer_init(&b, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    mf_put_u8(&b, 0);
    mf_put_varint(&b, 0);
    mf_put_varint(&b, 9);
    mf_put_u8(&b, 2);
    mf_put_u8(&b, 0);
    mf_put_varint(&b, 2);
    mf_put_ints(&b, keys, 2);
    mf_put_ints(&b, values, 2);
    assert_int_equal(mf_page_parse(&page, mf_slice_of(b.data, b.length), &arena), -1);
    mf_arena_free(&arena);
    mf_buffer_free(&b);
}

static int parse(const mf_buffer *b)
{
    mf_arena arena;
    mf_page page;
    mf_arena_init(&arena, &mf_mem_default);
    int rc = mf_page_parse(&page, mf_slice_of(b->data, b->length), &arena);
    mf_arena_free(&arena);
    return rc;
}

/* SPEC 10.4: strips as gaps; a sum goes no further than 64 bits. */
static void gaps_end_at_64_bits(void **state)
{
    (void)state;
    for (unsigned past = 0; past < 2; past++) {
        mf_buffer b;
        uint64_t gap = UINT64_MAX - 5 + past, one = 1;
        mf_buffer_init(&b, &mf_mem_default);
        mf_put_u8(&b, 0);
        mf_put_varint(&b, 0);
        mf_put_varint(&b, 9);
        mf_put_u8(&b, 2);
        mf_put_u8(&b, 1);
        mf_put_varint(&b, 2);
        mf_put_varint(&b, 7); /* keys 7 and 8 */
        mf_put_ints(&b, &one, 1);
        mf_put_varint(&b, 5); /* values 5 and the last there is, or one more */
        mf_put_ints(&b, &gap, 1);
        assert_int_equal(parse(&b), past ? -1 : 0);
        mf_buffer_free(&b);
    }
}

static int parse_inner(unsigned level, uint32_t count, const uint64_t *kinds, const uint64_t *keys, size_t more)
{
    static const uint64_t values[2] = {1, 1}, places[2] = {10, 20};
    mf_buffer b;
    mf_buffer_init(&b, &mf_mem_default);
    mf_put_u8(&b, (uint8_t)level);
    mf_put_varint(&b, 0);
    mf_put_varint(&b, 9);
    mf_put_varint(&b, count);
    mf_put_ints(&b, kinds, count);
    mf_put_ints(&b, keys, count);
    mf_put_ints(&b, values, count);
    mf_put_ints(&b, places, count);
    mf_put_ints(&b, places, count);
    mf_put_zero(&b, more);
    int rc = parse(&b);
    mf_buffer_free(&b);
    return rc;
}

/* SPEC 10.3 */
static void inner_pages_are_checked(void **state)
{
    (void)state;
    static const uint64_t kinds[2] = {2, 2}, large[2] = {256, 257}, falling[2] = {3, 2}, keys[2] = {4, 5}, same[2] = {4, 4},
                          down[2] = {5, 4};
    assert_int_equal(parse_inner(1, 2, kinds, keys, 0), 0);
    assert_int_equal(parse_inner(1, 1, kinds, keys, 0), 0);
    assert_int_equal(parse_inner(1, 0, kinds, keys, 0), -1);
    assert_int_equal(parse_inner(1, 1, large, keys, 0), -1);
    assert_int_equal(parse_inner(1, 2, large, keys, 0), -1);
    assert_int_equal(parse_inner(1, 2, falling, keys, 0), -1);
    assert_int_equal(parse_inner(1, 2, kinds, same, 0), -1);
    assert_int_equal(parse_inner(1, 2, kinds, down, 0), -1);
    assert_int_equal(parse_inner(1, 2, kinds, keys, 1), -1);
    assert_int_equal(parse_inner(MF_PAGE_LEVEL_MAX - 1, 2, kinds, keys, 0), 0);
    assert_int_equal(parse_inner(MF_PAGE_LEVEL_MAX, 2, kinds, keys, 0), -1);
}

static void a_page_is_no_longer_than_64_kib(void **state)
{
    (void)state;
    for (unsigned past = 0; past < 2; past++) {
        mf_buffer b;
        mf_buffer_init(&b, &mf_mem_default);
        mf_put_u8(&b, 0);
        mf_put_varint(&b, 0);
        mf_put_varint(&b, 9);
        for (uint64_t i = 0; b.length + 8 <= MF_PAGE_BODY_MAX; i++) { /* strips of one item, of 8 bytes */
            mf_put_u8(&b, 2);
            mf_put_u8(&b, 1);
            mf_put_varint(&b, 1);
            mf_put_varint(&b, 1u << 21 | i);
            mf_put_varint(&b, 1);
        }
        if (past) { /* ends behind 64 KiB */
            mf_put_u8(&b, 2);
            mf_put_u8(&b, 1);
            mf_put_varint(&b, 1);
            mf_put_varint(&b, 1u << 22);
            mf_put_varint(&b, 1);
        }
        assert_true((b.length > MF_PAGE_BODY_MAX) == (past > 0));
        assert_int_equal(parse(&b), past ? -1 : 0);
        mf_buffer_free(&b);
    }
}

static void of_contents_with_the_same_number_the_later_one_counts(void **state)
{
    mf_items items;
    (void)state;
    mf_items_init(&items, &mf_mem_default);
    for (uint64_t number = 3; number <= 5; number++) {
        mf_items_add(&items, MF_ITEM_CHUNK, number << 24, 100 + number);
        mf_items_add(&items, MF_ITEM_CHUNK, number << 24 | 1, 200 + number);
        mf_items_add(&items, MF_ITEM_OBJECT, 77 * number, number);
    }
    mf_items_forget_contents(&items, 4);
    assert_int_equal(items.kind[MF_ITEM_OBJECT].count, 1);
    assert_int_equal(items.kind[MF_ITEM_OBJECT].pairs[0].value, 3);
    assert_int_equal(items.kind[MF_ITEM_CHUNK].count, 2);
    assert_int_equal(items.kind[MF_ITEM_CHUNK].pairs[1].value, 203);
    mf_items_forget_contents(&items, 0);
    assert_int_equal(mf_items_count(&items), 0);
    mf_items_free(&items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_hold_their_items_and_find_them),
        cmocka_unit_test(no_leaf_is_longer_than_it_may_be),
        cmocka_unit_test(a_page_of_endless_gaps_is_refused),
        cmocka_unit_test(items_that_do_not_rise_are_refused),
        cmocka_unit_test(gaps_end_at_64_bits),
        cmocka_unit_test(inner_pages_are_checked),
        cmocka_unit_test(a_page_is_no_longer_than_64_kib),
        cmocka_unit_test(of_contents_with_the_same_number_the_later_one_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
