/* bytes: SPEC 1. */
#include "support.h"

#include "bytes.h"

static void varints_come_back_in_their_shortest_form(void **state)
{
    (void)state;
    uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        mf_buffer b;
        mf_buffer_init(&b, &mf_mem_default);
        mf_put_varint(&b, values[i]);
        assert_int_equal(b.length, mf_varint_size(values[i]));
        mf_cursor c = mf_cursor_of(b.data, b.length);
        assert_true(mf_get_varint(&c) == values[i]);
        assert_true(mf_cursor_finished(&c));
        mf_buffer_free(&b);
    }
}

static void longer_varints_are_refused(void **state)
{
    (void)state;
    static const uint8_t bad[][11] = {{0x80, 0x00},
                                      {0xff, 0x80, 0x00},
                                      {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02},
                                      {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}};
    for (size_t i = 0; i < 4; i++) {
        mf_cursor c = mf_cursor_of(bad[i], 11);
        mf_get_varint(&c);
        assert_true(c.failed);
    }
}

static void ints_of_every_width_come_back(void **state)
{
    (void)state;
    uint64_t seed = 7, values[77];
    for (unsigned width = 0; width <= 64; width++) {
        mf_buffer b;
        mf_buffer_init(&b, &mf_mem_default);
        for (size_t i = 0; i < 77; i++)
            values[i] = width == 0 ? 5 : width == 64 ? next_random(&seed) : next_random(&seed) >> (64 - width);
        values[3] = 0 + (width == 0 ? 5 : 0);
        mf_put_ints(&b, values, 77);
        assert_int_equal(b.length, mf_ints_size(values, 77));
        mf_cursor c = mf_cursor_of(b.data, b.length);
        mf_ints ints = mf_get_ints(&c, 77);
        assert_true(mf_cursor_finished(&c));
        for (uint32_t i = 0; i < 77; i++)
            assert_true(mf_ints_at(&ints, i) == values[i]);
        mf_buffer_free(&b);
    }
}

static void ints_that_pass_64_bits_are_refused(void **state)
{
    (void)state;
    /* width 1, base 2^64 - 1, values 0 and 1 */
    static const uint8_t bad[] = {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x02};
    mf_cursor c = mf_cursor_of(bad, sizeof bad);
    mf_get_ints(&c, 2);
    assert_true(c.failed);
    static const uint8_t unused_bits[] = {1, 0, 0xfc}; /* two values, six bits that must be 0 */
    c = mf_cursor_of(unused_bits, sizeof unused_bits);
    mf_get_ints(&c, 2);
    assert_true(c.failed);
    static const uint8_t wide[] = {65, 0};
    c = mf_cursor_of(wide, sizeof wide);
    mf_get_ints(&c, 1);
    assert_true(c.failed);
}

static void a_cursor_never_reads_past_its_end(void **state)
{
    (void)state;
    static const uint8_t three[] = {1, 2, 3};
    mf_cursor c = mf_cursor_of(three, 3);
    assert_null(mf_get_bytes(&c, 4));
    assert_true(c.failed);
    c = mf_cursor_of(three, 3);
    assert_null(mf_get_bytes(&c, UINT64_MAX));
    c = mf_cursor_of(three, 3);
    assert_non_null(mf_get_bytes(&c, 3));
    assert_int_equal(mf_get_u8(&c), 0);
    assert_true(c.failed);
}

static void utf8_is_judged_as_rfc_3629_does(void **state)
{
    (void)state;
    static const char *good[] = {"", "a", "\xc2\x80", "\xe2\x82\xac", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf",
                                 "0123456789\xc3\xa9"};
    static const char *bad[] = {"\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                "\xf8\x88\x80\x80\x80", "\xc2", "\xe2\x82", "01234567\xff"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(mf_utf8_valid((const uint8_t *)good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(mf_utf8_valid((const uint8_t *)bad[i], strlen(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints_come_back_in_their_shortest_form),
        cmocka_unit_test(longer_varints_are_refused),
        cmocka_unit_test(ints_of_every_width_come_back),
        cmocka_unit_test(ints_that_pass_64_bits_are_refused),
        cmocka_unit_test(a_cursor_never_reads_past_its_end),
        cmocka_unit_test(utf8_is_judged_as_rfc_3629_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
