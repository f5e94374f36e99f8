/* json: texts to and from the values of SPEC 7.4, and RFC 8259. */
#include "support.h"

#include <float.h>
#include <math.h>

#include "cbor.h"
#include "json.h"

/* Reads one value that fills the text; NULL if it was accepted, else the problem. */
static const char *read_value(const void *text, size_t length, mf_buffer *out, unsigned depth)
{
    mf_buffer_clear(out);
    mf_json j = mf_json_of(text, length);
    mf_json_value(&j, out, depth);
    mf_json_space(&j);
    if (!j.problem && j.at != j.end)
        return "something behind it";
    if (!j.problem) { /* what it gives is deterministic CBOR */
        mf_cursor c = mf_cursor_of(out->data, out->length);
        mf_cbor_skip_value(&c, depth);
        assert_true(mf_cursor_finished(&c));
    }
    assert_true(j.at >= j.start && j.at <= j.end);
    return j.problem;
}

static void gives(const char *text, const char *hex)
{
    mf_buffer b;
    mf_buffer_init(&b, &mf_mem_default);
    const char *problem = read_value(text, strlen(text), &b, 32);
    if (problem)
        fail_msg("%s: %s", text, problem);
    char got[1024];
    for (size_t i = 0; i < b.length && i < 500; i++)
        snprintf(got + 2 * i, 3, "%02x", b.data[i]);
    assert_string_equal(got, hex);
    mf_buffer_free(&b);
}

static void refuses(const char *text, size_t length)
{
    mf_buffer b;
    uint8_t *p = edge_copy(text, length); /* no NUL behind it */
    mf_buffer_init(&b, &mf_mem_default);
    if (!read_value(p, length, &b, 32))
        fail_msg("accepted: %.*s", (int)length, text);
    mf_buffer_free(&b);
    edge_free(p, length);
}

static void values_become_the_cbor_of_the_rfc(void **state)
{
    (void)state;
    gives("null", "f6");
    gives(" \t\r\n true ", "f5");
    gives("false", "f4");
    gives("\"IETF\"", "6449455446");
    gives("\"\"", "60");
    gives("[]", "80");
    gives("[ 1 , 2 ,3]", "83010203");
    gives("[1,[2,3],[4,5]]", "8301820203820405");
    gives("{}", "a0");
    gives("{\"a\":1,\"b\":[2,3]}", "a26161016162820203");
    gives("[\"a\",{\"b\":\"c\"}]", "826161a161626163");
}

static void members_are_sorted_by_the_bytes_of_their_encoding(void **state)
{
    (void)state;
    gives("{\"aa\":1,\"b\":2}", "a261620262616101"); /* shorter first: its head is less */
    gives("{\"b\":2,\"a\":1,\"\":0}", "a3600061610161620" "2");
    /* U+FFFF sorts before U+10000 in UTF-8, though not in UTF-16; the shorter text is first anyway */
    gives("{\"\\ud800\\udc00\":1,\"\\uffff\":2}", "a263efbfbf0264f090808001");
}

static void escapes_are_taken_out(void **state)
{
    (void)state;
    gives("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "68225c2f080c0a0d09");
    gives("\"\\u0041\\u00e9\\u20AC\"", "6641c3a9e282ac");
    gives("\"\\u0000\"", "6100");
    gives("\"\\ud83d\\ude00\"", "64f09f9880"); /* U+1F600 */
    gives("\"\\uDBFF\\uDFFF\"", "64f48fbfbf"); /* U+10FFFF */
    gives("\"\x7f\"", "617f");
}

static void strings_that_are_wrong_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
    } bad[] = {
#define S(x) {x, sizeof(x) - 1}
        S("\"a"),           S("\""),          S("\"\\\""),        S("\"\\"),          S("\"\\x\""),
        S("\"\\u12\""),     S("\"\\u12g4\""), S("\"\\u\""),       S("\"\\u123"),      S("\"\\ud800\""),
        S("\"\\udc00\""),   S("\"\\ud800a\""), S("\"\\ud800\\n\""), S("\"\\ud800\\u0041\""), S("\"\\ud800\\ud800\""),
        S("\"\\udc00\\ud800\""), S("\"\\udc00\\udc00\""), S("\"\\ud800\\u12\""), S("\"\\ud83d\\ude0"), S("\"\\U0041\""), S("\"a\nb\""),
        S("\"a\tb\""),      S("\"a\0b\""),    S("\"\x1f\""),      S("\"\xff\""),      S("\"\xc3\""),
        S("\"\xc0\x80\""),  S("\"\xed\xa0\x80\""), S("\"\xf4\x90\x80\x80\""), S("\"\xe2\x82\""), S("'a'"),
        S("\"\\'\""),       S("\"\\0\""),     S("\"\\a\"")
#undef S
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuses(bad[i].text, bad[i].length);
}

static void a_problem_says_where_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t at;
    } cases[] = {{"\"ab\\x\"", 3}, {"\"a\nb\"", 2}, {"[1,x]", 3}, {"{\"a\" 1}", 5}, {"[1 2]", 3}, {"\"\\ud800\"", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_buffer b;
        mf_buffer_init(&b, &mf_mem_default);
        mf_json j = mf_json_of(cases[i].text, strlen(cases[i].text));
        mf_json_value(&j, &b, 32);
        assert_non_null(j.problem);
        assert_int_equal(j.at - j.start, cases[i].at);
        const char *first = j.problem; /* and stays what it was */
        mf_json_problem(&j, "another");
        mf_json_value(&j, &b, 32);
        mf_json_expect(&j, ']');
        assert_ptr_equal(j.problem, first);
        assert_int_equal(mf_json_peek(&j), 0);
        assert_int_equal(j.at - j.start, cases[i].at);
        mf_buffer_free(&b);
    }
    memfile_draft *d; /* and so the caller is told */
    memfile_error e;
    static const char text[] = "{\"text\":\"a\n\n\n b\"}";
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    assert_int_equal(memfile_draft_parse_json(d, text, sizeof text - 1, &e), MEMFILE_E_INVALID);
    assert_int_equal(e.offset, strchr(text, '\n') - text);
    memfile_draft_free(d);
}

/* SPEC 7.7: without fraction and exponent an integer, within 7.4; all others floats; -0 is the float. */
static void numbers_keep_their_kind_and_value(void **state)
{
    (void)state;
    gives("0", "00");
    gives("-1", "20");
    gives("-0", "f98000");
    gives("-0.0", "f98000");
    gives("0.0", "f90000");
    gives("0e5", "f90000");
    gives("1.0", "f93c00");
    gives("1e0", "f93c00");
    gives("1E+2", "f95640"); /* 100 = 1.5625 * 2^6 */
    gives("15e-1", "f93e00");
    gives("9007199254740993", "1b0020000000000001"); /* 2^53 + 1: no double, but an integer */
    gives("9223372036854775807", "1b7fffffffffffffff");
    gives("9223372036854775808", "1b8000000000000000"); /* 2^63 */
    gives("18446744073709551615", "1bffffffffffffffff");
    gives("-9223372036854775808", "3b7fffffffffffffff");
    gives("-9223372036854775809", "3b8000000000000000");
    gives("-18446744073709551615", "3bfffffffffffffffe");
    gives("-18446744073709551616", "3bffffffffffffffff"); /* -2^64 */
    gives("9223372036854775808.0", "fa5f000000");
    gives("1.1", "fb3ff199999999999a");
    gives("1e300", "fb7e37e43c8800759c");
    gives("1e-400", "f90000"); /* too small for a double: nearest is 0 */
    gives("1.7976931348623157e308", "fb7fefffffffffffff");
}

static void numbers_that_are_wrong_or_too_large_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "18446744073709551616", "-18446744073709551617", "99999999999999999999", "1e400", "-1e400", "1e309",
        "1.8e308", "01", "-01", "00", "+1", "-", "1.", ".5", "1.e5", "1e", "1e+", "1.5.5", "0x10", "NaN", "Infinity",
        "-Infinity", "1 2", "--1", "1e5.5", "1_000", "-a", "1,"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuses(bad[i], strlen(bad[i]));
    char longest[700]; /* a number of any length ends, and never runs over its room */
    memset(longest, '1', sizeof longest);
    refuses(longest, sizeof longest);
    longest[1] = '.';
    for (size_t n = 390; n < 420; n++) {
        mf_json j = mf_json_of(longest, n);
        double v = mf_json_double(&j);
        assert_true(j.problem || (v > 1.1 && v < 1.12));
    }
}

static void doubles_are_read_whatever_their_form(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double v;
    } cases[] = {{"1", 1}, {"-0", 0}, {"2.5", 2.5}, {" 1e3", 1000}, {"9007199254740993", 9007199254740992.0},
                 {"123456789012345678901234567890", 123456789012345678901234567890.0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_json j = mf_json_of(cases[i].text, strlen(cases[i].text));
        assert_true(mf_json_double(&j) == cases[i].v);
        assert_null(j.problem);
    }
    mf_json j = mf_json_of("1e999", 5);
    mf_json_double(&j);
    assert_non_null(j.problem);
}

static void what_is_no_value_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", " ", "nul", "nulL", "tru", "falsE", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]",
                                      "{\"a\"}", "{\"a\":}", "{\"a\":1", "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\" 1}", "[1 2]",
                                      "{\"a\":1 \"b\":2}", "//", "[1]x", "nullnull", "\xef\xbb\xbfnull", "\f1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuses(bad[i], strlen(bad[i]));
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++)
        for (size_t n = 1; n < strlen(words[i]); n++)
            refuses(words[i], n);
    refuses("1\0", 2); /* NUL is no white space */
    refuses("\0", 1);
}

static void a_key_that_stands_twice_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"a\":1,\"a\":1}", "{\"a\":1,\"b\":2,\"\\u0061\":3}", "{\"\":1,\"\":2}",
                                      "[{\"x\":{\"k\":1,\"k\":2}}]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuses(bad[i], strlen(bad[i]));
    gives("{\"a\":{\"a\":1}}", "a16161a1616101");
    /* the same among many, first and last */
    char text[12000];
    size_t n = 0;
    text[n++] = '{';
    for (int i = 0; i < 1000; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "\"k%03d\":0,", (i * 7) % 1000);
    size_t end = n;
    n += (size_t)snprintf(text + n, sizeof text - n, "\"k000\":0}");
    refuses(text, n);
    n = end + (size_t)snprintf(text + end, sizeof text - end, "\"k\":0}");
    mf_buffer b;
    mf_buffer_init(&b, &mf_mem_default);
    assert_null(read_value(text, n, &b, 32)); /* checks the order of all, too */
    mf_buffer_free(&b);
}

static void nesting_ends_at_32(void **state)
{
    (void)state;
    char text[400];
    mf_buffer b;
    mf_buffer_init(&b, &mf_mem_default);
    for (size_t levels = 1; levels < 60; levels++) {
        memset(text, '[', levels);
        memset(text + levels, ']', levels);
        assert_int_equal(read_value(text, 2 * levels, &b, 32) == NULL, levels <= 32);
        size_t n = 0;
        for (size_t i = 0; i < levels; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "{\"\":");
        text[n++] = '0';
        memset(text + n, '}', levels);
        n += levels;
        assert_int_equal(read_value(text, n, &b, 32) == NULL, levels <= 32);
    }
    static char deep[200000]; /* and the stack does not end first */
    memset(deep, '[', sizeof deep);
    assert_non_null(read_value(deep, sizeof deep, &b, 32));
    mf_buffer_free(&b);
}

static void a_value_over_the_callers_limit_is_refused_early(void **state)
{
    (void)state;
    static char text[100002];
    mf_buffer b;
    mf_buffer_init(&b, &mf_mem_default);
    memset(text, 'a', sizeof text);
    text[0] = text[sizeof text - 1] = '"';
    mf_json j = mf_json_of(text, sizeof text);
    j.limit = 99999;
    mf_json_value(&j, &b, 32);
    assert_string_equal(j.problem, MF_JSON_TOO_LARGE);
    assert_true(b.length < 100); /* nothing of it was made */
    mf_buffer_clear(&b);
    j = mf_json_of(text, sizeof text);
    j.limit = 100000;
    mf_json_value(&j, &b, 32);
    assert_null(j.problem);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? '1' : ',';
    text[0] = '[';
    mf_buffer_clear(&b);
    j = mf_json_of(text, sizeof text);
    j.limit = 1000;
    mf_json_value(&j, &b, 32);
    assert_string_equal(j.problem, MF_JSON_TOO_LARGE);
    assert_true(j.at - j.start < 3000);
    mf_buffer_free(&b);
}

static void escapes_are_taken_out_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const char text[] = "\"ab\\n\\u20ac\xe2\x82\xac\\ud83d\\ude00 the end\\\\\"";
    static const char expected[] = "ab\n\xe2\x82\xac\xe2\x82\xac\xf0\x9f\x98\x80 the end\\";
    for (size_t size = 4; size < 40; size++) {
        mf_slice raw;
        uint8_t out[64], piece[64];
        size_t n = 0, got;
        mf_json j = mf_json_of(text, sizeof text - 1);
        assert_int_equal(mf_json_string(&j, &raw), sizeof expected - 1);
        assert_null(j.problem);
        while ((got = mf_json_unescape(&raw, piece, size)) > 0) {
            assert_true(got <= size && n + got < sizeof out);
            memcpy(out + n, piece, got);
            n += got;
        }
        assert_int_equal(raw.length, 0);
        assert_int_equal(n, sizeof expected - 1);
        assert_memory_equal(out, expected, n);
    }
}

static void strings_are_written_so_that_they_read_back(void **state)
{
    (void)state;
    mf_buffer b, again;
    mf_buffer_init(&b, &mf_mem_default);
    mf_buffer_init(&again, &mf_mem_default);
    mf_json_put_string(&b, mf_slice_of("a\"\\\b\f\n\r\t\x01\x1f\x7f/\0\xc3\xa9", 15));
    static const char expected[] = "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f/\\u0000\xc3\xa9\"";
    assert_int_equal(b.length, sizeof expected - 1);
    assert_memory_equal(b.data, expected, b.length);
    for (unsigned ch = 0; ch < 0x80; ch++) {
        uint8_t one = (uint8_t)ch;
        mf_buffer_clear(&b);
        mf_json_put_string(&b, mf_slice_of(&one, 1));
        for (size_t i = 0; i < b.length; i++)
            assert_true(b.data[i] >= 0x20 && b.data[i] < 0x7f);
        assert_null(read_value(b.data, b.length, &again, 0));
        assert_int_equal(again.length, 2);
        assert_int_equal(again.data[1], ch);
    }
    mf_buffer_free(&b);
    mf_buffer_free(&again);
}

/* SPEC 7.7: reads back as the same float, and has a point or an exponent. */
static void floats_are_written_so_that_they_read_back(void **state)
{
    (void)state;
    static const double special[] = {0.0,     -0.0,    1.0,      -1.0,    0.1,     1.0 / 3, 1e21,   1e22,  123456789.0,
                                     DBL_MAX, DBL_MIN, 5e-324,   1e15,    1e16,    1e17,    1e-5,   1e300, 9007199254740992.0};
    uint64_t seed = 77;
    mf_buffer b;
    mf_buffer_init(&b, &mf_mem_default);
    for (size_t i = 0; i < 20000; i++) {
        double v, back;
        uint64_t bits = next_random(&seed);
        memcpy(&v, &bits, sizeof v);
        if (i < sizeof special / sizeof *special)
            v = special[i];
        if (!isfinite(v))
            continue;
        mf_buffer_clear(&b);
        mf_json_put_double(&b, v);
        mf_put_u8(&b, 0);
        assert_non_null(strpbrk((const char *)b.data, ".e"));
        mf_json j = mf_json_of(b.data, b.length - 1);
        back = mf_json_double(&j);
        assert_null(j.problem);
        assert_true(j.at == j.end);
        assert_memory_equal(&back, &v, sizeof v);
    }
    mf_buffer_clear(&b);
    mf_json_put_double(&b, 0.1);
    assert_int_equal(b.length, 3);
    assert_memory_equal(b.data, "0.1", 3); /* and not seventeen digits */
    mf_buffer_free(&b);
}

static void single_floats_take_the_fewest_digits(void **state)
{
    (void)state;
    char text[40];
    static const struct {
        float v;
        const char *text;
    } cases[] = {{0.1f, "0.1"}, {1.0f, "1.0"}, {1e-45f, "1e-45"}, {0.5f, "0.5"}, {16777216.0f, "16777216"}, {0.3333333433f, "0.33333334"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text[mf_json_print_float(text, cases[i].v)] = '\0';
        assert_true((float)strtod(text, NULL) == cases[i].v);
        if (i != 4) /* which may as well be 1.6777216e+07 */
            assert_string_equal(text, cases[i].text);
    }
    uint64_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        uint32_t bits = (uint32_t)next_random(&seed);
        float v;
        memcpy(&v, &bits, 4);
        if (!isfinite(v))
            continue;
        text[mf_json_print_float(text, v)] = '\0';
        float back = (float)strtod(text, NULL);
        assert_true(back == v);
    }
}

static void a_value_goes_to_cbor_and_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "null", "[true,false,null]", "{\"a\":[],\"b\":{},\"c\":\"\\u0000\"}", "-18446744073709551616",
        "18446744073709551615", "[0,-1,23,24,1.5,-0.0,1e+300]", "\"\xf0\x9f\x98\x80\"",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"};
    mf_buffer b, out;
    mf_buffer_init(&b, &mf_mem_default);
    mf_buffer_init(&out, &mf_mem_default);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_null(read_value(texts[i], strlen(texts[i]), &b, 32));
        mf_cursor c = mf_cursor_of(b.data, b.length);
        mf_buffer_clear(&out);
        mf_json_put_value(&out, &c, 32);
        assert_true(mf_cursor_finished(&c));
        mf_put_u8(&out, 0);
        assert_string_equal((const char *)out.data, texts[i]);
    }
    /* what is damaged ends, with the cursor failed */
    static const uint8_t bad[][4] = {{0x9b, 0xff, 0xff, 0xff}, {0x82, 0x01}, {0xc1, 0x00}, {0x41, 0x61}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mf_cursor c = mf_cursor_of(bad[i], i == 0 ? 4 : 2);
        mf_json_put_value(&out, &c, 32);
        assert_true(c.failed);
    }
    mf_buffer_free(&b);
    mf_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_become_the_cbor_of_the_rfc),
        cmocka_unit_test(members_are_sorted_by_the_bytes_of_their_encoding),
        cmocka_unit_test(escapes_are_taken_out),
        cmocka_unit_test(strings_that_are_wrong_are_refused),
        cmocka_unit_test(a_problem_says_where_it_is),
        cmocka_unit_test(numbers_keep_their_kind_and_value),
        cmocka_unit_test(numbers_that_are_wrong_or_too_large_are_refused),
        cmocka_unit_test(doubles_are_read_whatever_their_form),
        cmocka_unit_test(what_is_no_value_is_refused),
        cmocka_unit_test(a_key_that_stands_twice_is_refused),
        cmocka_unit_test(nesting_ends_at_32),
        cmocka_unit_test(a_value_over_the_callers_limit_is_refused_early),
        cmocka_unit_test(escapes_are_taken_out_in_pieces_of_any_size),
        cmocka_unit_test(strings_are_written_so_that_they_read_back),
        cmocka_unit_test(floats_are_written_so_that_they_read_back),
        cmocka_unit_test(single_floats_take_the_fewest_digits),
        cmocka_unit_test(a_value_goes_to_cbor_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
