/* alloc: the one way to memory, and arenas. */
#include "support.h"

#include "alloc.h"

/* Counts what is out, refuses from the n-th call on, remembers the largest request. */
typedef struct tally {
    long blocks, calls, refuse_at;
    size_t largest, last;
} tally;

static void *counted(void *context, void *block, size_t size)
{
    tally *t = (tally *)context;
    if (size == 0) {
        t->blocks--;
        free(block);
        return NULL;
    }
    t->calls++;
    t->last = size;
    if (size > t->largest)
        t->largest = size;
    if (t->refuse_at && t->calls >= t->refuse_at)
        return NULL;
    if (!block)
        t->blocks++;
    return realloc(block, size);
}

static void every_request_goes_through_the_callers_function(void **state)
{
    (void)state;
    tally t = {0};
    mf_mem mem = {counted, &t};
    void *a = mf_alloc(&mem, 100), *b = mf_alloc_zero(&mem, 1000);
    assert_non_null(a);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(((uint8_t *)b)[i], 0);
    a = mf_realloc(&mem, a, 5000);
    assert_non_null(a);
    assert_int_equal(t.calls, 3);
    assert_int_equal(t.blocks, 2);
    mf_free(&mem, a);
    mf_free(&mem, b);
    mf_free(&mem, NULL);
    assert_int_equal(t.blocks, 0);
}

/* To the caller's function a size of 0 means free, so nobody asks for 0 bytes. */
static void a_request_for_nothing_is_not_taken_for_a_free(void **state)
{
    (void)state;
    tally t = {0};
    mf_mem mem = {counted, &t};
    void *a = mf_alloc(&mem, 0), *b = mf_alloc_zero(&mem, 0);
    assert_non_null(a);
    assert_non_null(b);
    a = mf_realloc(&mem, a, 0);
    assert_non_null(a);
    assert_int_equal(t.blocks, 2);
    mf_free(&mem, a);
    mf_free(&mem, b);
    assert_int_equal(t.blocks, 0);
    void *c = mf_alloc(&mf_mem_default, 0);
    assert_non_null(c);
    mf_free(&mf_mem_default, c);
}

static void a_refusal_is_passed_on(void **state)
{
    (void)state;
    tally t = {0};
    mf_mem mem = {counted, &t};
    t.refuse_at = 1;
    assert_null(mf_alloc(&mem, 1));
    assert_null(mf_alloc_zero(&mem, 1));
    assert_null(mf_realloc(&mem, NULL, 1));
}

static void an_array_grows_and_keeps_its_elements(void **state)
{
    (void)state;
    tally t = {0};
    mf_mem mem = {counted, &t};
    void *array = NULL;
    size_t capacity = 0;
    for (size_t n = 1; n <= 10000; n++) {
        assert_int_equal(mf_grow(&mem, &array, &capacity, n, sizeof(uint32_t)), 0);
        assert_true(capacity >= n);
        assert_true(t.largest >= n * sizeof(uint32_t));
        ((uint32_t *)array)[n - 1] = (uint32_t)(n * 7);
    }
    for (size_t n = 1; n <= 10000; n++)
        assert_int_equal(((uint32_t *)array)[n - 1], n * 7);
    assert_true(t.calls < 40); /* by factors, not by steps */
    mf_free(&mem, array);
}

static void room_that_is_there_is_not_asked_for(void **state)
{
    (void)state;
    tally t = {0};
    mf_mem mem = {counted, &t};
    void *array = NULL;
    size_t capacity = 0;
    assert_int_equal(mf_grow(&mem, &array, &capacity, 0, 8), 0);
    assert_int_equal(t.calls, 0);
    assert_int_equal(mf_grow(&mem, &array, &capacity, 5, 8), 0);
    long calls = t.calls;
    assert_int_equal(mf_grow(&mem, &array, &capacity, capacity, 8), 0);
    assert_int_equal(t.calls, calls);
    mf_free(&mem, array);
}

static void an_array_that_cannot_grow_stays_as_it_was(void **state)
{
    (void)state;
    tally t = {0};
    mf_mem mem = {counted, &t};
    void *array = NULL;
    size_t capacity = 0;
    assert_int_equal(mf_grow(&mem, &array, &capacity, 4, 8), 0);
    memcpy(array, "still here", 11);
    void *before = array;
    size_t held = capacity;
    t.refuse_at = t.calls + 1;
    assert_int_equal(mf_grow(&mem, &array, &capacity, capacity + 1, 8), -1);
    assert_ptr_equal(array, before);
    assert_int_equal(capacity, held);
    assert_string_equal((const char *)array, "still here");
    /* a product over SIZE_MAX is refused without asking */
    t.refuse_at = 0;
    long calls = t.calls;
    assert_int_equal(mf_grow(&mem, &array, &capacity, SIZE_MAX / 8 + 1, 8), -1);
    assert_int_equal(mf_grow(&mem, &array, &capacity, SIZE_MAX, 8), -1);
    assert_int_equal(t.calls, calls);
    assert_ptr_equal(array, before);
    mf_free(&mem, array);
    assert_int_equal(t.blocks, 0);
}

static void pieces_of_an_arena_are_aligned_and_apart(void **state)
{
    (void)state;
    tally t = {0};
    mf_mem mem = {counted, &t};
    mf_arena arena;
    uint64_t seed = 9;
    enum { PIECES = 2000 };
    static uint8_t *piece[PIECES];
    static size_t size[PIECES];
    mf_arena_init(&arena, &mem);
    for (int i = 0; i < PIECES; i++) {
        size[i] = next_random(&seed) % (i % 100 == 99 ? 50000 : 90);
        piece[i] = (uint8_t *)mf_arena_alloc(&arena, size[i]);
        assert_non_null(piece[i]);
        assert_int_equal((uintptr_t)piece[i] % 8, 0);
        memset(piece[i], i % 251, size[i]);
    }
    for (int i = 0; i < PIECES; i++)
        for (size_t k = 0; k < size[i]; k++)
            assert_int_equal(piece[i][k], i % 251);
    assert_true(t.blocks > 1 && t.blocks < 100);
    mf_arena_free(&arena);
    assert_int_equal(t.blocks, 0);
    assert_int_equal(arena.total, 0);
}

static void an_arena_that_was_reset_needs_no_new_memory_for_less(void **state)
{
    (void)state;
    tally t = {0};
    mf_mem mem = {counted, &t};
    mf_arena arena;
    mf_arena_init(&arena, &mem);
    for (int i = 0; i < 50; i++)
        assert_non_null(mf_arena_alloc(&arena, 3000));
    size_t before = arena.total;
    mf_arena_reset(&arena);
    assert_int_equal(t.blocks, 1); /* the largest is kept */
    assert_true(arena.total > 0 && arena.total < before);
    long calls = t.calls;
    assert_non_null(mf_arena_alloc(&arena, arena.total / 2));
    assert_int_equal(t.calls, calls);
    mf_arena_reset(&arena);
    mf_arena_free(&arena);
    mf_arena_free(&arena); /* and is empty, not broken */
    mf_arena_reset(&arena);
    assert_int_equal(t.blocks, 0);
}

static void an_arena_gives_one_piece_of_any_size_or_null(void **state)
{
    (void)state;
    tally t = {0};
    mf_mem mem = {counted, &t};
    mf_arena arena;
    mf_arena_init(&arena, &mem);
    uint8_t *large = (uint8_t *)mf_arena_alloc(&arena, 3u << 20);
    assert_non_null(large);
    memset(large, 1, 3u << 20);
    assert_true(arena.total >= 3u << 20);
    assert_non_null(mf_arena_alloc(&arena, 0));
    long calls = t.calls;
    assert_null(mf_arena_alloc(&arena, SIZE_MAX));
    assert_null(mf_arena_alloc(&arena, SIZE_MAX - 7));
    assert_int_equal(t.calls, calls); /* not wrapped round to something small */
    t.refuse_at = t.calls + 1;
    size_t total = arena.total;
    assert_null(mf_arena_alloc(&arena, 4u << 20));
    assert_int_equal(arena.total, total);
    mf_arena_free(&arena);
    assert_int_equal(t.blocks, 0);
}

/* What is given out is counted exactly, whatever way it grows and shrinks. */
static void a_limit_holds_and_is_given_back(void **state)
{
    (void)state;
    mf_limiter l;
    mf_mem mem = mf_limiter_init(&l, &mf_mem_default, 1000);
    char *a = (char *)mf_alloc(&mem, 600), *b;
    assert_non_null(a);
    memset(a, 'a', 600);
    assert_int_equal(l.used, 600);
    assert_null(mf_alloc(&mem, 401));
    b = (char *)mf_alloc(&mem, 400);
    assert_non_null(b);
    assert_null(mf_realloc(&mem, b, 401));
    assert_null(mf_alloc(&mem, 1));
    b = (char *)mf_realloc(&mem, b, 100);
    a = (char *)mf_realloc(&mem, a, 900);
    assert_true(a && b && a[0] == 'a' && a[599] == 'a');
    assert_int_equal(l.used, 1000);
    assert_null(mf_alloc(&mem, SIZE_MAX));
    assert_null(mf_alloc(&mem, SIZE_MAX - 8));
    mf_free(&mem, a);
    mf_free(&mem, b);
    mf_free(&mem, NULL);
    assert_int_equal(l.used, 0);
    mem = mf_limiter_init(&l, &mf_mem_default, 0); /* none */
    a = (char *)mf_alloc(&mem, 1 << 20);
    assert_non_null(a);
    mf_free(&mem, a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_holds_and_is_given_back),
        cmocka_unit_test(every_request_goes_through_the_callers_function),
        cmocka_unit_test(a_request_for_nothing_is_not_taken_for_a_free),
        cmocka_unit_test(a_refusal_is_passed_on),
        cmocka_unit_test(an_array_grows_and_keeps_its_elements),
        cmocka_unit_test(room_that_is_there_is_not_asked_for),
        cmocka_unit_test(an_array_that_cannot_grow_stays_as_it_was),
        cmocka_unit_test(pieces_of_an_arena_are_aligned_and_apart),
        cmocka_unit_test(an_arena_that_was_reset_needs_no_new_memory_for_less),
        cmocka_unit_test(an_arena_gives_one_piece_of_any_size_or_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
