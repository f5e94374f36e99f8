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

/* A core in words: two digits: that byte; tN, bN: text, bytes of N letters; uN, nN: N, -1-N; AN, MN: head of an
 * array, a map; xN: the next word N times. */
static void write_core(mf_buffer *b, const char *words)
{
    unsigned long long times = 1;
    while (*words) {
        char *end;
        unsigned long long n = strtoull(words + 1, &end, 10);
        char what = words[0];
        if (what == ' ') {
            words++;
            continue;
        }
        if (what == 'x') {
            times = n;
            words = end;
            continue;
        }
        for (; times > 0; times--)
            switch (what) {
            case 't':
            case 'b':
                mf_cbor_put_head(b, what == 't' ? MF_CBOR_TEXT : MF_CBOR_BYTES, n);
                for (unsigned long long i = 0; i < n; i++)
                    mf_put_u8(b, 'a');
                break;
            case 'u': mf_cbor_put_head(b, MF_CBOR_UINT, n); break;
            case 'n': mf_cbor_put_head(b, MF_CBOR_NINT, n); break;
            case 'A': mf_cbor_put_head(b, MF_CBOR_ARRAY, n); break;
            case 'M': mf_cbor_put_head(b, MF_CBOR_MAP, n); break;
            default: mf_put_u8(b, (uint8_t)strtoul(words, &end, 16));
            }
        times = 1;
        words = end;
    }
}

static int parse_words(const char *words)
{
    mf_buffer b;
    memfile_error e;
    mf_buffer_init(&b, &mf_mem_default);
    write_core(&b, words);
    uint8_t *exact = edge_copy(b.data, b.length);
    int rc = mf_record_parse(&record, mf_slice_of(exact, b.length), MEMFILE_E_DAMAGED, 0, &e);
    edge_free(exact, b.length);
    mf_buffer_free(&b);
    return rc;
}

static void takes(const char *words)
{
    int rc = parse_words(words);
    if (rc != MEMFILE_OK)
        fail_msg("%s is refused: %d", words, rc);
}

static void refuses(const char *words)
{
    int rc = parse_words(words);
    if (rc != MEMFILE_E_DAMAGED)
        fail_msg("%s: %d", words, rc);
}

/* SPEC 7.1: each field at its bounds. */
static void each_field_keeps_to_its_form(void **state)
{
    (void)state;
    takes("M2 u1 t1 u6 t0");
    refuses("M1 u1 t1");
    refuses("M1 u6 t1");
    refuses("M2 u1 t1 u6 t1 00"); /* bytes behind it */
    refuses("M3 u1 t1 u6 t1");
    refuses("A2 u1 t1 u6 t1");
    refuses("M2 u6 t1 u1 t1");
    refuses("M3 u1 t1 u6 t1 u6 t1");
    refuses("M3 u1 t1 u6 t1 u9223372036854775808 u1");
    takes("M3 u1 t1 u6 t1 u9223372036854775807 u1");
    refuses("M3 u1 t1 u6 t1 u31 b1"); /* no value of 7.4 */
    /* ids */
    takes("M2 u1 t255 u6 t1");
    refuses("M2 u1 t256 u6 t1");
    refuses("M2 u1 t0 u6 t1");
    takes("M2 u1 b16 u6 t1");
    refuses("M2 u1 b15 u6 t1");
    refuses("M2 u1 b17 u6 t1");
    refuses("M2 u1 b0 u6 t1");
    refuses("M2 u1 u1 u6 t1");
    refuses("M2 u1 78 24 31 31 31 31 31 31 31 31 2d 31 31 31 31 2d 31 31 31 31 2d 31 31 31 31 2d 31 31 31 31 31 31 31 31 31 31 31 31 u6 t1");
    /* kind, scope, key */
    takes("M3 u1 t1 u2 t255 u6 t1");
    refuses("M3 u1 t1 u2 t256 u6 t1");
    refuses("M3 u1 t1 u2 t0 u6 t1");
    refuses("M3 u1 t1 u2 b1 u6 t1");
    takes("M3 u1 t1 u3 A32 x32 t1 u6 t1");
    refuses("M3 u1 t1 u3 A33 x33 t1 u6 t1");
    takes("M3 u1 t1 u3 A1 t255 u6 t1");
    refuses("M3 u1 t1 u3 A1 t256 u6 t1");
    refuses("M3 u1 t1 u3 A1 t0 u6 t1");
    refuses("M3 u1 t1 u3 t1 u6 t1");
    takes("M3 u1 t1 u4 t1024 u6 t1");
    refuses("M3 u1 t1 u4 t1025 u6 t1");
    refuses("M3 u1 t1 u4 t0 u6 t1");
    /* contents: one of text, data, content */
    takes("M2 u1 t1 u6 t32768");
    refuses("M2 u1 t1 u6 t32769");
    refuses("M2 u1 t1 u6 b1");
    takes("M2 u1 t1 u7 b32768");
    refuses("M2 u1 t1 u7 b32769");
    refuses("M2 u1 t1 u7 t1");
    refuses("M3 u1 t1 u6 t1 u7 b1");
    refuses("M3 u1 t1 u6 t1 u9 A3 u0 u32769 b32");
    refuses("M3 u1 t1 u7 b1 u9 A3 u0 u32769 b32");
    takes("M2 u1 t1 u9 A3 u0 u32769 b32");
    takes("M2 u1 t1 u9 A3 u1 u32769 b32");
    refuses("M2 u1 t1 u9 A3 u2 u32769 b32");
    refuses("M2 u1 t1 u9 A3 u0 u32768 b32");
    refuses("M2 u1 t1 u9 A3 u0 u0 b32");
    takes("M2 u1 t1 u9 A3 u0 u4398046511104 b32"); /* 2^24 chunks */
    refuses("M2 u1 t1 u9 A3 u0 u4398046511105 b32");
    refuses("M2 u1 t1 u9 A3 u0 u32769 b31");
    refuses("M2 u1 t1 u9 A3 u0 u32769 b33");
    refuses("M2 u1 t1 u9 A2 u0 u32769");
    refuses("M2 u1 t1 u9 A4 u0 u32769 b32 u0");
    /* null */
    takes("M3 u1 t1 u2 f6 u6 t1");
    refuses("M3 u0 f6 u1 t1 u6 t1");
    refuses("M2 u1 f6 u6 t1");
    refuses("M2 u1 t1 u6 f6");
    refuses("M2 u1 t1 u7 f6");
    refuses("M3 u1 t1 u6 t1 u7 f6");
    refuses("M2 u1 t1 u9 f6");
    refuses("M3 u1 t1 u6 t1 u9 f6");
    refuses("M3 u1 t1 u6 t1 u28 f6");
    takes("M3 u1 t1 u6 t1 u29 f6");
    /* op */
    refuses("M3 u0 u0 u1 t1 u6 t1");
    takes("M3 u0 u1 u1 t1 u6 t1");
    refuses("M3 u0 t1 u1 t1 u6 t1");
    /* tags, links, derived_from, supersedes */
    takes("M3 u1 t1 u6 t1 u11 A256 x256 t1");
    refuses("M3 u1 t1 u6 t1 u11 A257 x257 t1");
    takes("M3 u1 t1 u6 t1 u12 A1 A2 t255 t1");
    refuses("M3 u1 t1 u6 t1 u12 A1 A2 t256 t1");
    refuses("M3 u1 t1 u6 t1 u12 A1 A2 t0 t1");
    refuses("M3 u1 t1 u6 t1 u12 A1 A3 t1 t1 t1");
    refuses("M3 u1 t1 u6 t1 u12 A1 A2 t1 t256");
    takes("M3 u1 t1 u6 t1 u22 A1024 x1024 t1");
    refuses("M3 u1 t1 u6 t1 u22 A1025 x1025 t1");
    refuses("M3 u1 t1 u6 t1 u22 A1 t0");
    takes("M3 u1 t1 u6 t1 u29 A4096 x4096 b32");
    refuses("M3 u1 t1 u6 t1 u29 A4097 x4097 b32");
    refuses("M3 u1 t1 u6 t1 u29 A1 b31");
    refuses("M3 u1 t1 u6 t1 u29 A1 t32");
    /* meta, numbers, pinned */
    takes("M3 u1 t1 u6 t1 u13 M0");
    refuses("M3 u1 t1 u6 t1 u13 A0");
    takes("M3 u1 t1 u6 t1 u24 f9 38 00");
    takes("M3 u1 t1 u6 t1 u25 n3");
    refuses("M3 u1 t1 u6 t1 u24 t1");
    refuses("M3 u1 t1 u6 t1 u24 f5");
    takes("M3 u1 t1 u6 t1 u26 f4");
    takes("M3 u1 t1 u6 t1 u26 f5");
    refuses("M3 u1 t1 u6 t1 u26 u1");
    /* idempotency key */
    takes("M3 u1 t1 u6 t1 u23 t1024");
    refuses("M3 u1 t1 u6 t1 u23 t1025");
    refuses("M3 u1 t1 u6 t1 u23 t0");
    /* vectors */
    takes("M3 u1 t1 u6 t1 u28 A4 t255 u1 u16384 b32");
    refuses("M3 u1 t1 u6 t1 u28 A4 t256 u1 u1 b32");
    refuses("M3 u1 t1 u6 t1 u28 A4 t0 u1 u1 b32");
    refuses("M3 u1 t1 u6 t1 u28 A4 t1 u0 u1 b32");
    takes("M3 u1 t1 u6 t1 u28 A4 t1 u2 u1 b32");
    refuses("M3 u1 t1 u6 t1 u28 A4 t1 u3 u1 b32");
    refuses("M3 u1 t1 u6 t1 u28 A4 t1 u1 u0 b32");
    refuses("M3 u1 t1 u6 t1 u28 A4 t1 u1 u16385 b32");
    refuses("M3 u1 t1 u6 t1 u28 A4 t1 u1 u1 b31");
    refuses("M3 u1 t1 u6 t1 u28 A3 t1 u1 u1");
    /* members of others: in order, and not without number */
    takes("M3 u1 t1 u6 t1 t1 u1");
    takes("M4 u1 t1 u6 t1 t1 u1 t2 u1");
    refuses("M4 u1 t1 u6 t1 t2 u1 t1 u1");
    refuses("M4 u1 t1 u6 t1 t2 u1 t2 u1");
    refuses("M4 u1 t1 u6 t1 t1 u1 u31 u1");
    refuses("M3 u1 t1 u6 t1 t1 b1");
    takes("M3 u1 t1 u6 t1 t0 u1");
}

static void times_keep_to_their_form(void **state)
{
    (void)state;
    static const char *const good[] = {"2023-05-08T13:56:02Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2024-02-29T00:00:00Z",
                                       "2023-05-08T13:56:02.1Z", "2023-05-08T13:56:02.123456789Z", "2000-02-29T00:00:00Z"};
    static const char *const bad[] = {
        "2023-05-08T13:56:0Z", "2023-05-08T13:56:02", "2023-05-08T13:56:020", "2023-05-08 13:56:02Z", "2023-05-08t13:56:02Z",
        "2023-05-08T13:56:02z", "2023/05-08T13:56:02Z", "2023-05/08T13:56:02Z", "2023-05-08T13.56:02Z", "2023-05-08T13:56.02Z",
        "2o23-05-08T13:56:02Z", "2023-o5-08T13:56:02Z", "2023-05-o8T13:56:02Z", "2023-05-08To3:56:02Z", "2023-05-08T13:o6:02Z",
        "2023-05-08T13:5o:02Z", "2023-05-08T13:56:o2Z", "2023-05-0oT13:56:02Z", "2023-05-08T13:56:02,1Z", "2023-05-08T13:56:02.Z",
        "2023-05-08T13:56:02.1234567890Z", "2023-05-08T13:56:02.12o4Z", "2023-00-08T13:56:02Z", "2023-13-08T13:56:02Z", "2023-05-00T13:56:02Z",
        "2023-05-32T13:56:02Z", "2023-04-31T13:56:02Z", "2023-02-29T13:56:02Z", "1900-02-29T00:00:00Z", "2023-05-08T24:56:02Z",
        "2023-05-08T13:60:02Z", "2023-05-08T13:56:60Z", "2023-05-08T13:56:02Z0", "", "Z"};
    mf_time time;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!mf_time_parse(&time, good[i], strlen(good[i])))
            fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t *exact = edge_copy(bad[i], strlen(bad[i]));
        if (mf_time_parse(&time, (const char *)exact, strlen(bad[i])))
            fail_msg("%s is taken", bad[i]);
        edge_free(exact, strlen(bad[i]));
    }
    takes("M3 u1 t1 u5 u253402300799 u6 t1");
    refuses("M3 u1 t1 u5 u253402300800 u6 t1");
    takes("M3 u1 t1 u5 n62167219199 u6 t1");
    refuses("M3 u1 t1 u5 n62167219200 u6 t1");
    takes("M3 u1 t1 u5 A3 u1 u9 u999999999 u6 t1");
    refuses("M3 u1 t1 u5 A3 u1 u9 u1000000000 u6 t1");
    refuses("M3 u1 t1 u5 A3 u1 u0 u0 u6 t1");
    refuses("M3 u1 t1 u5 A3 u1 u10 u0 u6 t1");
    refuses("M3 u1 t1 u5 A3 u1 u1 u10 u6 t1");
    refuses("M3 u1 t1 u5 A2 u1 u1 u6 t1");
    refuses("M3 u1 t1 u5 A3 u253402300800 u1 u1 u6 t1");
    refuses("M3 u1 t1 u5 t1 u6 t1");
}

/* What the index and forgetting read of leaves, of a core that nobody verified. */
static void lists_of_leaves_are_taken_whole_or_not(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        uint32_t says;
    } cases[] = {{"A1 b32", 1}, {"A2 b32 b32", 2}, {"A4096 x4096 b32", 4096}, {"A4097 x4097 b32", 0}, {"A0", 0}, {"f6", 0},
                 {"A1 b31", 0}, {"A2 b32", 0}, {"A1 b32 b32", 0}, {"A1", 0}, {"9b", 0}, {"u1 b32", 0}, {"", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_buffer b;
        const uint8_t *first;
        mf_buffer_init(&b, &mf_mem_default);
        write_core(&b, cases[i].words);
        uint32_t n = mf_record_leaves(mf_slice_of(b.data, b.length), &first);
        if (n != cases[i].says || (n > 0) != (first != NULL))
            fail_msg("%s: %u leaves", cases[i].words, n);
        mf_buffer_free(&b);
    }
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
        cmocka_unit_test(each_field_keeps_to_its_form),
        cmocka_unit_test(times_keep_to_their_form),
        cmocka_unit_test(lists_of_leaves_are_taken_whole_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
