/* record, cbor, draft, json: SPEC 7. */
#include "support.h"

#include <math.h>

#include "cbor.h"
#include "draft.h"
#include "record.h"

static mf_record record;

static int parse(const char *json, memfile_error *e)
{
    memfile_draft *d;
    mf_buffer core;
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    int rc = memfile_draft_parse_json(d, json, strlen(json), e);
    if (rc == MEMFILE_OK) {
        mf_buffer_init(&core, &mf_mem_default);
        mf_draft_core(d, NULL, &core);
        rc = mf_record_parse(&record, mf_slice_of(core.data, core.length), MEMFILE_E_INVALID, 0, e);
        mf_buffer_free(&core);
    }
    memfile_draft_free(d);
    return rc;
}

/* json -> core -> json */
static void assert_round_trip(const char *json)
{
    memfile_draft *d;
    memfile_error e;
    mf_buffer core, out;
    mf_buffer_init(&core, &mf_mem_default);
    mf_buffer_init(&out, &mf_mem_default);
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    if (memfile_draft_parse_json(d, json, strlen(json), &e) != MEMFILE_OK)
        fail_msg("%s: %s", json, e.message);
    mf_draft_core(d, NULL, &core);
    mf_slice s = mf_slice_of(core.data, core.length);
    if (mf_record_parse(&record, s, MEMFILE_E_INVALID, 0, &e) != MEMFILE_OK)
        fail_msg("%s: %s", json, e.message);
    record.vector = mf_draft_vector(d);
    mf_record_put_json(&out, &record, s, NULL);
    mf_put_u8(&out, 0);
    assert_string_equal((char *)out.data, json);
    memfile_draft_free(d);
    mf_buffer_free(&core);
    mf_buffer_free(&out);
}

static void json_comes_back_as_it_was(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"id\":\"a\",\"text\":\"\"}",
        "{\"id\":\"a\",\"scope\":[],\"text\":\"x\",\"tags\":[],\"links\":[],\"meta\":{}}",
        "{\"id\":\"a\",\"text\":\"x\",\"title\":null,\"meta\":{\"a\":null}}",
        "{\"id\":\"a\",\"text\":\"x\",\"tags\":[\"b\",\"a\",\"b\"]}",
        "{\"id\":\"a\",\"text\":\"x\",\"meta\":{\"f\":1.0,\"i\":1,\"n\":-1,\"z\":-0.0,\"big\":18446744073709551615,\"low\":-18446744073709551616}}",
        "{\"id\":\"a\",\"text\":\"a\\u0000b\\n\\u001f\\\"\\\\\"}",
        "{\"id\":\"a\",\"time\":\"0000-01-01T00:00:00Z\",\"text\":\"x\"}",
        "{\"id\":\"a\",\"time\":\"9999-12-31T23:59:59.999999999Z\",\"text\":\"x\"}",
        "{\"id\":\"a\",\"time\":\"2023-05-08T13:56:02.120Z\",\"text\":\"x\"}",
        "{\"id\":\"01890a5d-ac96-774b-bcce-b302099a8057\",\"text\":\"x\"}",
        "{\"id\":\"01890A5D-AC96-774B-BCCE-B302099A8057\",\"text\":\"x\"}",
        "{\"id\":\"a\",\"text\":\"x\",\"links\":[{\"rel\":\"r\",\"to\":\"01890a5d-ac96-774b-bcce-b302099a8057\"},{\"rel\":\"r\",\"to\":\"b\"}]}",
        "{\"id\":\"a\",\"data\":\"AAECAw==\",\"media_type\":\"image/png\"}",
        "{\"id\":\"a\",\"text\":\"x\",\"confidence\":0.9,\"importance\":1,\"pinned\":true}",
        "{\"id\":\"a\",\"text\":\"x\",\"embedding\":{\"space\":\"s\",\"values\":[0.1,-2.0,3.5e-09,-0.0,1e-45]}}",
        "{\"id\":\"a\",\"text\":\"x\",\"embedding\":{\"space\":\"s\",\"values\":[0.12345678901234568]}}",
        "{\"id\":\"a\",\"text\":\"x\",\"derived_from\":[\"b\",\"c\"],\"@31\":[1,{\"k\":2.5}],\"zz\":null,\"my own\":{\"x\":[[]]}}",
        "{\"op\":\"forget\",\"id\":\"a\",\"reason\":\"asked\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_round_trip(texts[i]);
}

static void what_is_not_an_entry_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "{\"id\":\"a\"}",
        "{\"text\":\"x\",\"data\":\"\"}",
        "{\"id\":\"\",\"text\":\"x\"}",
        "{\"id\":5,\"text\":\"x\"}",
        "{\"id\":null,\"text\":\"x\"}",
        "{\"id\":\"a\",\"id\":\"b\",\"text\":\"x\"}",
        "{\"id\":\"a\",\"text\":\"x\",\"u\":1,\"u\":2}",
        "{\"id\":\"a\",\"text\":\"x\",\"meta\":{\"k\":1,\"k\":2}}",
        "{\"id\":\"a\",\"text\":\"x\",\"meta\":[1]}",
        "{\"id\":\"a\",\"text\":\"\\ud800\"}",
        "{\"id\":\"a\",\"text\":\"\\udc00\\ud800\"}",
        "{\"id\":\"a\",\"text\":\"\xff\"}",
        "{\"id\":\"a\",\"text\":\"a\nb\"}",
        "{\"id\":\"a\",\"text\":\"x\"",
        "{\"id\":\"a\",\"text\":\"x\"} x",
        "{\"id\":\"a\",\"text\":\"x\",}",
        "{\"id\":\"a\",\"text\":\"x\",\"meta\":{\"n\":18446744073709551616}}",
        "{\"id\":\"a\",\"text\":\"x\",\"meta\":{\"n\":1e999}}",
        "{\"id\":\"a\",\"text\":\"x\",\"meta\":{\"n\":01}}",
        "{\"id\":\"a\",\"text\":\"x\",\"meta\":{\"n\":NaN}}",
        "{\"id\":\"a\",\"text\":\"x\",\"time\":\"2023-05-08T13:56:60Z\"}",
        "{\"id\":\"a\",\"text\":\"x\",\"time\":\"2023-02-29T13:56:00Z\"}",
        "{\"id\":\"a\",\"text\":\"x\",\"time\":\"2023-05-08T13:56:00+02:00\"}",
        "{\"id\":\"a\",\"text\":\"x\",\"time\":\"2023-05-08T13:56:00.1234567890Z\"}",
        "{\"id\":\"a\",\"text\":\"x\",\"time\":1}",
        "{\"id\":\"a\",\"data\":\"AAE\"}",
        "{\"id\":\"a\",\"data\":\"AAF=\"}",
        "{\"id\":\"a\",\"text\":\"x\",\"pinned\":1}",
        "{\"id\":\"a\",\"text\":\"x\",\"confidence\":\"1\"}",
        "{\"id\":\"a\",\"text\":\"x\",\"kind\":\"\"}",
        "{\"id\":\"a\",\"text\":\"x\",\"links\":[{\"rel\":\"r\"}]}",
        "{\"id\":\"a\",\"text\":\"x\",\"@3\":1}",
        "{\"id\":\"a\",\"text\":\"x\",\"embedding\":{\"space\":\"s\",\"values\":[]}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        memfile_error e;
        if (parse(texts[i], &e) != MEMFILE_E_INVALID)
            fail_msg("accepted: %s", texts[i]);
        assert_true(e.message[0] != '\0');
    }
}

static void nesting_ends_at_the_limit(void **state)
{
    (void)state;
    for (int depth = 31; depth <= 32; depth++) {
        char json[512] = "{\"id\":\"a\",\"text\":\"x\",\"meta\":{\"k\":";
        memfile_error e;
        for (int i = 0; i < depth; i++)
            strcat(json, "[");
        for (int i = 0; i < depth; i++)
            strcat(json, "]");
        strcat(json, "}}");
        assert_int_equal(parse(json, &e), depth == 31 ? MEMFILE_OK : MEMFILE_E_INVALID);
    }
}

static void members_have_a_limit_before_they_fill_the_memory(void **state)
{
    (void)state;
    memfile_error e;
    size_t room = 4u << 20;
    char *json = (char *)malloc(room);
    for (int members = 1024; members <= 1025; members++) {
        char *at = json + sprintf(json, "{\"id\":\"a\",\"text\":\"x\"");
        for (int i = 0; i < members; i++)
            at += sprintf(at, ",\"m%d\":1", i);
        strcpy(at, "}");
        assert_int_equal(parse(json, &e), members == 1024 ? MEMFILE_OK : MEMFILE_E_INVALID);
    }
    static const char *const openings[] = {"\"tags\":[", "\"meta\":{\"k\":[", "\"own\":["};
    static const char *const endings[] = {"]}", "]}}", "]}"};
    for (int k = 0; k < 3; k++) {
        char *at = json + sprintf(json, "{\"id\":\"a\",\"text\":\"x\",%s", openings[k]);
        for (int i = 0; i < 300000; i++)
            at += sprintf(at, "%s\"y\"", i ? "," : "");
        strcpy(at, endings[k]);
        assert_int_equal(parse(json, &e), MEMFILE_E_INVALID);
        assert_non_null(strstr(e.message, "262,144"));
    }
    free(json);
}

static void floats_take_their_shortest_form(void **state)
{
    (void)state;
    /* RFC 8949 appendix A */
    static const struct {
        double v;
        uint8_t bytes[9];
        size_t length;
    } cases[] = {
        {0.0, {0xf9, 0, 0}, 3},
        {-0.0, {0xf9, 0x80, 0}, 3},
        {1.0, {0xf9, 0x3c, 0}, 3},
        {1.1, {0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a}, 9},
        {1.5, {0xf9, 0x3e, 0}, 3},
        {65504.0, {0xf9, 0x7b, 0xff}, 3},
        {100000.0, {0xfa, 0x47, 0xc3, 0x50, 0}, 5},
        {3.4028234663852886e+38, {0xfa, 0x7f, 0x7f, 0xff, 0xff}, 5},
        {1.0e+300, {0xfb, 0x7e, 0x37, 0xe4, 0x3c, 0x88, 0x00, 0x75, 0x9c}, 9},
        {5.960464477539063e-8, {0xf9, 0, 1}, 3},
        {0.00006103515625, {0xf9, 4, 0}, 3},
        {-4.0, {0xf9, 0xc4, 0}, 3},
        {-4.1, {0xfb, 0xc0, 0x10, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66}, 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_buffer b;
        mf_buffer_init(&b, &mf_mem_default);
        mf_cbor_put_float(&b, cases[i].v);
        assert_int_equal(b.length, cases[i].length);
        assert_memory_equal(b.data, cases[i].bytes, b.length);
        mf_cursor c = mf_cursor_of(b.data, b.length);
        mf_cbor_skip_value(&c, 0);
        assert_true(mf_cursor_finished(&c));
        mf_buffer_free(&b);
    }
}

static void cbor_that_is_not_deterministic_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[12];
        size_t length;
    } bad[] = {
        {{0x18, 0x17}, 2},                               /* 23 in two bytes */
        {{0x19, 0x00, 0xff}, 3},                         /* 255 in three */
        {{0x9f, 0xff}, 2},                               /* indefinite length */
        {{0xa2, 0x61, 'b', 0x01, 0x61, 'a', 0x01}, 7},   /* keys out of order */
        {{0xa2, 0x61, 'a', 0x01, 0x61, 'a', 0x01}, 7},   /* key twice */
        {{0xa1, 0x01, 0x01}, 3},                         /* key that is no text */
        {{0xfa, 0x3f, 0x80, 0, 0}, 5},                   /* 1.0 in 32 bits */
        {{0xf9, 0x7e, 0x00}, 3},                         /* NaN */
        {{0xf7}, 1},                                     /* undefined */
        {{0xc0, 0x01}, 2},                               /* tag */
        {{0x41, 0x01}, 2},                               /* byte string */
        {{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 9}, /* array longer than anything */
        {{0x61, 0xff}, 2},                               /* not UTF-8 */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mf_cursor c = mf_cursor_of(bad[i].bytes, bad[i].length);
        mf_cbor_skip_value(&c, 32);
        assert_true(c.failed);
    }
}

static void a_core_has_one_content(void **state)
{
    (void)state;
    /* {1: "a", 6: "x", 7: h''} */
    static const uint8_t core[] = {0xa3, 0x01, 0x61, 'a', 0x06, 0x61, 'x', 0x07, 0x40};
    memfile_error e;
    assert_int_equal(mf_record_parse(&record, mf_slice_of(core, sizeof core), MEMFILE_E_DAMAGED, 0, &e),
                     MEMFILE_E_DAMAGED);
}

static void a_negative_field_asks_for_a_newer_version(void **state)
{
    (void)state;
    /* {1: "a", 6: "x", -1: 0} */
    static const uint8_t core[] = {0xa3, 0x01, 0x61, 'a', 0x06, 0x61, 'x', 0x20, 0x00};
    memfile_error e;
    assert_int_equal(mf_record_parse(&record, mf_slice_of(core, sizeof core), MEMFILE_E_DAMAGED, 0, &e),
                     MEMFILE_E_NEWER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_comes_back_as_it_was),
        cmocka_unit_test(what_is_not_an_entry_is_refused),
        cmocka_unit_test(nesting_ends_at_the_limit),
        cmocka_unit_test(members_have_a_limit_before_they_fill_the_memory),
        cmocka_unit_test(floats_take_their_shortest_form),
        cmocka_unit_test(cbor_that_is_not_deterministic_is_refused),
        cmocka_unit_test(a_core_has_one_content),
        cmocka_unit_test(a_negative_field_asks_for_a_newer_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
