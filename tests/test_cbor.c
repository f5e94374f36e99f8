/* cbor: heads, floats, values of SPEC 7.4, against RFC 8949 appendix A and section 4.2.1. */
#include "support.h"

#include <math.h>

#include "cbor.h"

typedef struct bytes {
    uint8_t data[32];
    size_t length;
} bytes;

static bytes from_hex(const char *hex)
{
    bytes b = {{0}, 0};
    for (; hex[0] && hex[1]; hex += 2) {
        char two[3] = {hex[0], hex[1], 0};
        assert_true(b.length < sizeof b.data);
        b.data[b.length++] = (uint8_t)strtoul(two, NULL, 16);
    }
    return b;
}

/* Is all of it one value as SPEC 7.4 wants it? */
static bool accepted(const uint8_t *data, size_t length, unsigned depth)
{
    mf_cursor c = mf_cursor_of(data, length);
    mf_cbor_skip_value(&c, depth);
    return mf_cursor_finished(&c);
}

static void the_values_of_appendix_a_that_the_format_has_are_accepted(void **state)
{
    (void)state;
    static const char *const good[] = {
        "00", "01", "0a", "17", "1818", "1819", "1864", "1903e8", "1a000f4240", "1b000000e8d4a51000",
        "1bffffffffffffffff", "3bffffffffffffffff", "20", "29", "3863", "3903e7", "f90000", "f98000", "f93c00",
        "fb3ff199999999999a", "f93e00", "f97bff", "fa47c35000", "fa7f7fffff", "fb7e37e43c8800759c", "f90001", "f90400",
        "f9c400", "fbc010666666666666", "f4", "f5", "f6", "60", "6161", "6449455446", "62225c", "62c3bc", "63e6b0b4",
        "64f0908591", "80", "83010203", "8301820203820405", "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
        "a0", "a26161016162820203", "826161a161626163", "a56161614161626142616361436164614461656145"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        bytes b = from_hex(good[i]);
        if (!accepted(b.data, b.length, 4))
            fail_msg("%s", good[i]);
        for (size_t cut = 0; cut < b.length; cut++)
            if (accepted(b.data, cut, 4))
                fail_msg("%s, cut to %zu bytes", good[i], cut);
        b.data[b.length] = 0;
        assert_false(accepted(b.data, b.length + 1, 4)); /* something behind it */
    }
}

static void the_values_of_appendix_a_that_the_format_has_not_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "c249010000000000000000", "c349010000000000000000", /* tags: bignums */
        "f97c00", "f97e00", "f9fc00", "fa7f800000", "fa7fc00000", "faff800000", "fb7ff0000000000000",
        "fb7ff8000000000000", "fbfff0000000000000", /* not finite */
        "f7", "f0", "f8ff", "f818",                 /* undefined, simple values */
        "c074323031332d30332d32315432303a30343a30305a", "c11a514b67b0", "c1fb41d452d9e8000000", "d74401020304",
        "d818456449455446", "d82076687474703a2f2f7777772e6578616d706c652e636f6d", /* tags */
        "40", "4401020304",                                                       /* byte strings */
        "a201020304",                                                             /* keys that are no text */
        "5f42010243030405ff", "7f657374726561646d696e67ff", "9fff", "9f018202039f0405ffff", "83018202039f0405ff",
        "bf61610161629f0203ffff", "bf6346756ef563416d7421ff", "ff"}; /* indefinite lengths */
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bytes b = from_hex(bad[i]);
        if (accepted(b.data, b.length, 8))
            fail_msg("%s", bad[i]);
    }
}

/* 4.2.1: preferred serialisation, sorted keys, no duplicates. */
static void what_is_not_deterministic_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "1817", "1800", "1900ff", "1a0000ffff", "1b00000000ffffffff", "3817", "390000", /* longer heads than needed */
        "780161", "7900016161", "9800", "980101", "b800", "b901616101",
        "fa3fc00000", "fb3ff8000000000000", "fb40f86a0000000000", /* 1.5, 1.5, 100000.0 in too many bits */
        "fa00000000", "fa80000000", "fb0000000000000000", "fb8000000000000000", "fa33800000", "fb3e70000000000000",
        "a2616201616101",     /* b before a */
        "a2616101616102",     /* a twice */
        "a262616101616201",   /* aa before b: bytewise, the shorter head first */
        "f815", "f816", "f814" /* true, null, false in two bytes */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bytes b = from_hex(bad[i]);
        if (accepted(b.data, b.length, 8))
            fail_msg("%s", bad[i]);
    }
    bytes sorted = from_hex("a261620162616101"); /* "b" (61 62) before "aa" (62 61 61) */
    assert_true(accepted(sorted.data, sorted.length, 8));
}

static void heads_are_written_in_the_shortest_form(void **state)
{
    (void)state;
    static const struct {
        unsigned major;
        uint64_t argument;
        const char *hex;
    } cases[] = {{0, 0, "00"},
                 {0, 23, "17"},
                 {0, 24, "1818"},
                 {0, 255, "18ff"},
                 {0, 256, "190100"},
                 {0, 65535, "19ffff"},
                 {0, 65536, "1a00010000"},
                 {0, 4294967295u, "1affffffff"},
                 {0, 4294967296u, "1b0000000100000000"},
                 {0, UINT64_MAX, "1bffffffffffffffff"},
                 {1, 999, "3903e7"},
                 {5, 2, "a2"},
                 {4, 25, "9819"},
                 {3, 4, "64"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_buffer b;
        bytes expected = from_hex(cases[i].hex);
        uint64_t argument;
        unsigned size;
        mf_buffer_init(&b, &mf_mem_default);
        mf_cbor_put_head(&b, cases[i].major, cases[i].argument);
        assert_int_equal(b.length, expected.length);
        assert_memory_equal(b.data, expected.data, b.length);
        mf_cursor c = mf_cursor_of(b.data, b.length);
        assert_int_equal(mf_cbor_get_head(&c, &argument, &size), cases[i].major);
        assert_true(argument == cases[i].argument);
        assert_int_equal(size, b.length - 1);
        assert_true(mf_cursor_finished(&c));
        mf_buffer_free(&b);
    }
}

static void signed_integers_come_back_at_their_bounds(void **state)
{
    (void)state;
    static const struct {
        int64_t v;
        const char *hex;
    } cases[] = {{0, "00"}, {-1, "20"}, {-24, "37"}, {-25, "3818"}, {-1000, "3903e7"},
                 {INT64_MAX, "1b7fffffffffffffff"}, {INT64_MIN, "3b7fffffffffffffff"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_buffer b;
        bytes expected = from_hex(cases[i].hex);
        mf_buffer_init(&b, &mf_mem_default);
        mf_cbor_put_int(&b, cases[i].v);
        assert_int_equal(b.length, expected.length);
        assert_memory_equal(b.data, expected.data, b.length);
        mf_cursor c = mf_cursor_of(b.data, b.length);
        assert_true(mf_cbor_get_int(&c) == cases[i].v);
        assert_true(mf_cursor_finished(&c));
        mf_buffer_free(&b);
    }
    static const char *const over[] = {"1b8000000000000000", "3b8000000000000000", "1bffffffffffffffff", "60", "f90000"};
    for (size_t i = 0; i < sizeof over / sizeof *over; i++) {
        bytes b = from_hex(over[i]);
        mf_cursor c = mf_cursor_of(b.data, b.length);
        assert_true(mf_cbor_get_int(&c) == 0);
        assert_true(c.failed);
    }
}

/* Appendix A's floats, and the borders of half and single precision (IEEE 754). */
static void floats_take_the_shortest_form_that_keeps_them(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *hex;
    } cases[] = {
        {0.0, "f90000"},
        {-0.0, "f98000"},
        {1.0, "f93c00"},
        {1.1, "fb3ff199999999999a"},
        {1.5, "f93e00"},
        {65504.0, "f97bff"},                  /* largest half */
        {65505.0, "fa477fe100"},              /* one more */
        {65536.0, "fa47800000"},              /* one exponent above */
        {100000.0, "fa47c35000"},
        {3.4028234663852886e+38, "fa7f7fffff"},   /* largest single */
        {1.0e+300, "fb7e37e43c8800759c"},
        {5.960464477539063e-8, "f90001"},     /* smallest half subnormal, 2^-24 */
        {2.9802322387695312e-8, "fa33000000"}, /* 2^-25 */
        {8.940696716308594e-8, "fa33c00000"},  /* 1.5 * 2^-24 */
        {0.00006103515625, "f90400"},         /* smallest half normal, 2^-14 */
        {0.000060975551605224609375, "f903ff"}, /* largest half subnormal */
        {-4.0, "f9c400"},
        {-4.1, "fbc010666666666666"},
        {1.401298464324817e-45, "fa00000001"},      /* smallest single subnormal */
        {5e-324, "fb0000000000000001"},             /* smallest double */
        {1.7976931348623157e308, "fb7fefffffffffffff"},
        {3.402823466385289e+38, "fb47efffffe0000001"}, /* the next double above the largest single */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_buffer b;
        bytes expected = from_hex(cases[i].hex);
        uint64_t bits;
        unsigned size;
        mf_buffer_init(&b, &mf_mem_default);
        mf_cbor_put_float(&b, cases[i].v);
        if (b.length != expected.length || memcmp(b.data, expected.data, b.length) != 0)
            fail_msg("%.17g should be %s", cases[i].v, cases[i].hex);
        mf_cursor c = mf_cursor_of(b.data, b.length);
        assert_int_equal(mf_cbor_get_head(&c, &bits, &size), MF_CBOR_SIMPLE);
        double back = mf_cbor_float(bits, size);
        assert_true(memcmp(&back, &cases[i].v, sizeof back) == 0);
        assert_true(accepted(b.data, b.length, 0));
        mf_buffer_free(&b);
    }
}

/* All halves: each is its own shortest form, and no single or double that equals one passes. */
static void every_finite_half_is_written_as_itself(void **state)
{
    (void)state;
    mf_buffer b;
    mf_buffer_init(&b, &mf_mem_default);
    for (unsigned bits = 0; bits < 65536; bits++) {
        uint8_t raw[3] = {0xf9, (uint8_t)(bits >> 8), (uint8_t)bits};
        bool finite = (bits & 0x7c00) != 0x7c00;
        assert_int_equal(accepted(raw, 3, 0), finite);
        if (!finite)
            continue;
        mf_buffer_clear(&b);
        double v = mf_cbor_float(bits, 2);
        mf_cbor_put_float(&b, v);
        assert_int_equal(b.length, 3);
        assert_memory_equal(b.data, raw, 3);
        float single = (float)v;
        uint32_t narrow;
        memcpy(&narrow, &single, 4);
        uint8_t longer[5] = {0xfa, (uint8_t)(narrow >> 24), (uint8_t)(narrow >> 16), (uint8_t)(narrow >> 8), (uint8_t)narrow};
        assert_false(accepted(longer, 5, 0));
    }
    mf_buffer_free(&b);
}

static void nesting_ends_at_the_depth_that_is_given(void **state)
{
    (void)state;
    uint8_t deep[80];
    for (unsigned levels = 0; levels <= 40; levels++) {
        memset(deep, 0x81, levels);
        deep[levels] = 0;
        assert_int_equal(accepted(deep, levels + 1, 32), levels <= 32);
        for (unsigned i = 0; i < levels; i++) /* maps: {"": {"": … 0}} */
            deep[2 * i] = 0xa1, deep[2 * i + 1] = 0x60;
        if (2 * levels < sizeof deep) {
            deep[2 * levels] = 0;
            assert_int_equal(accepted(deep, 2 * levels + 1, 32), levels <= 32);
        }
    }
    uint8_t many[3000]; /* far deeper: refused, without the stack's help */
    memset(many, 0x81, sizeof many);
    assert_false(accepted(many, sizeof many, 32));
}

static void a_count_beyond_what_is_there_is_refused_at_once(void **state)
{
    (void)state;
    static const char *const bombs[] = {"9bffffffffffffffff00", "bbffffffffffffffff6000", "9a7fffffff00", "7bffffffffffffffff61",
                                        "5bffffffffffffffff61", "8300", "a26000"};
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        bytes b = from_hex(bombs[i]);
        assert_false(accepted(b.data, b.length, 32));
        mf_cursor c = mf_cursor_of(b.data, b.length);
        mf_slice s = mf_cbor_get_text(&c);
        assert_true(c.failed && s.length == 0);
        c = mf_cursor_of(b.data, b.length);
        s = mf_cbor_get_bytes(&c);
        assert_true(c.failed && s.length == 0);
    }
}

/* RFC 3629: no surrogates, nothing overlong, nothing above U+10FFFF. */
static void text_is_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {"61ff", "61c3", "62c080", "63e08080", "63eda080", "63edbfbf", "64f0808080",
                                      "64f4908080", "6180", "62c328", "64f8888080"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bytes b = from_hex(bad[i]);
        if (accepted(b.data, b.length, 4))
            fail_msg("%s", bad[i]);
    }
    static const char *const good[] = {"6100", "63ed9fbf", "63ee8080", "64f48fbfbf", "62c280", "63efbfbf"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        bytes b = from_hex(good[i]);
        if (!accepted(b.data, b.length, 4))
            fail_msg("%s", good[i]);
    }
}

static void texts_and_bytes_come_back_and_are_told_apart(void **state)
{
    (void)state;
    mf_buffer b;
    mf_buffer_init(&b, &mf_mem_default);
    mf_cbor_put_text(&b, mf_slice_of("a\0b", 3));
    mf_cbor_put_bytes(&b, mf_slice_of("\xff\x00", 2));
    mf_cbor_put_text(&b, mf_slice_of("", 0));
    static const uint8_t expected[] = {0x63, 'a', 0, 'b', 0x42, 0xff, 0, 0x60};
    assert_int_equal(b.length, sizeof expected);
    assert_memory_equal(b.data, expected, sizeof expected);
    mf_cursor c = mf_cursor_of(b.data, b.length);
    assert_int_equal(mf_cbor_peek(&c), 0x63);
    assert_true(mf_slice_equal(mf_cbor_get_text(&c), mf_slice_of("a\0b", 3)));
    assert_true(mf_slice_equal(mf_cbor_get_bytes(&c), mf_slice_of("\xff\x00", 2)));
    assert_true(mf_slice_equal(mf_cbor_get_text(&c), mf_slice_of("", 0)));
    assert_true(mf_cursor_finished(&c));
    assert_int_equal(mf_cbor_peek(&c), 0xff);
    c = mf_cursor_of(b.data, b.length);
    assert_int_equal(mf_cbor_get_bytes(&c).length, 0);
    assert_true(c.failed);
    assert_int_equal(mf_cbor_peek(&c), 0xff);
    c = mf_cursor_of(b.data, b.length);
    assert_int_equal(mf_cbor_get(&c, MF_CBOR_MAP), 0);
    assert_true(c.failed);
    mf_buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_values_of_appendix_a_that_the_format_has_are_accepted),
        cmocka_unit_test(the_values_of_appendix_a_that_the_format_has_not_are_refused),
        cmocka_unit_test(what_is_not_deterministic_is_refused),
        cmocka_unit_test(heads_are_written_in_the_shortest_form),
        cmocka_unit_test(signed_integers_come_back_at_their_bounds),
        cmocka_unit_test(floats_take_the_shortest_form_that_keeps_them),
        cmocka_unit_test(every_finite_half_is_written_as_itself),
        cmocka_unit_test(nesting_ends_at_the_depth_that_is_given),
        cmocka_unit_test(a_count_beyond_what_is_there_is_refused_at_once),
        cmocka_unit_test(text_is_utf8),
        cmocka_unit_test(texts_and_bytes_come_back_and_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
