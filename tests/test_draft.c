/* draft, draft_json, record_json: entries being made, and printed again. SPEC 7.1 to 7.7, 11.5.
 * Expected bytes are written by hand from RFC 8949 and IEEE 754. */
#include "support.h"

#include "draft.h"

static memfile_draft *fresh(void)
{
    memfile_draft *d;
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    return d;
}

/* Puts a line into a file that is closed, verified, compacted and opened again; the line that
 * comes back must be `expected` both before and after. */
static void assert_goes_through(const char *line, const char *expected)
{
    const char *path = temp_path("line"), *json;
    size_t length;
    const memfile_entry *entry;
    memfile *mf = create_file(path);
    memfile_put_result r;
    if (put_json(mf, line, &r) != MEMFILE_OK)
        fail_msg("%s: %s", line, memfile_last_error(mf)->message);
    commit_ok(mf);
    memfile_close(mf);
    for (int compacted = 0; compacted < 2; compacted++) {
        assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
        mf = open_file(path, MEMFILE_READ);
        assert_int_equal(memfile_get_entry(mf, 0, &entry), MEMFILE_OK);
        assert_int_equal(memfile_entry_json(mf, entry, UINT64_MAX, &json, &length), MEMFILE_OK);
        if (length != strlen(expected) || memcmp(json, expected, length) != 0)
            fail_msg("%.*s\nwas to be\n%s", (int)length, json, expected);
        memfile_close(mf);
        if (!compacted)
            assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    }
}

static void every_member_of_7_1_comes_back(void **state)
{
    (void)state;
    static const char line[] =
        "{\"id\":\"0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b\",\"kind\":\"fact\",\"scope\":[\"a\",\"b c\"],\"key\":\"k\","
        "\"time\":\"2023-05-08T13:56:02.125Z\",\"text\":\"t\\u0000x\",\"media_type\":\"text/markdown\",\"title\":\"T\","
        "\"tags\":[\"z\",\"a\",\"z\"],\"links\":[{\"rel\":\"about\",\"to\":\"m-1\"},"
        "{\"rel\":\"of\",\"to\":\"0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c\"}],"
        "\"meta\":{\"a\":[1,-1,1.0,null,true,{\"b\":\"c\"}],\"n\":18446744073709551615},"
        "\"recorded\":\"2023-05-08T13:56:02Z\",\"valid_from\":\"0000-01-01T00:00:00Z\","
        "\"valid_to\":\"9999-12-31T23:59:59.999999999Z\",\"expires\":\"2030-01-01T00:00:00.10Z\",\"source\":\"s\","
        "\"actor\":\"ann\",\"session\":\"s1\",\"model\":\"m\",\"derived_from\":[\"x\",\"0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5d\"],"
        "\"idempotency_key\":\"once\",\"confidence\":0.5,\"importance\":3,\"pinned\":true,\"status\":\"open\","
        "\"embedding\":{\"space\":\"e5\",\"values\":[0.25,-1.5,3.0]},"
        "\"supersedes\":[\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff\"],\"reason\":\"why\","
        "\"x-own\":[1],\"@40\":\"kept\"}";
    static const char expected[] =
        "{\"id\":\"0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b\",\"kind\":\"fact\",\"scope\":[\"a\",\"b c\"],\"key\":\"k\","
        "\"time\":\"2023-05-08T13:56:02.125Z\",\"text\":\"t\\u0000x\",\"media_type\":\"text/markdown\",\"title\":\"T\","
        "\"tags\":[\"z\",\"a\",\"z\"],\"links\":[{\"rel\":\"about\",\"to\":\"m-1\"},"
        "{\"rel\":\"of\",\"to\":\"0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c\"}],"
        "\"meta\":{\"a\":[1,-1,1.0,null,true,{\"b\":\"c\"}],\"n\":18446744073709551615},"
        "\"recorded\":\"2023-05-08T13:56:02Z\",\"valid_from\":\"0000-01-01T00:00:00Z\","
        "\"valid_to\":\"9999-12-31T23:59:59.999999999Z\",\"expires\":\"2030-01-01T00:00:00.10Z\",\"source\":\"s\","
        "\"actor\":\"ann\",\"session\":\"s1\",\"model\":\"m\",\"derived_from\":[\"x\",\"0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5d\"],"
        "\"idempotency_key\":\"once\",\"confidence\":0.5,\"importance\":3,\"pinned\":true,\"status\":\"open\","
        "\"embedding\":{\"space\":\"e5\",\"values\":[0.25,-1.5,3.0]},"
        "\"supersedes\":[\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff\"],\"reason\":\"why\","
        "\"@40\":\"kept\",\"x-own\":[1]}";
    assert_goes_through(line, expected);
}

/* SPEC 7.3: null differs from absent, where it may stand. */
static void null_members_are_kept_or_refused(void **state)
{
    (void)state;
    static const char *const may[] = {"kind",     "scope",    "key",        "time",   "media_type", "title",  "tags",
                                      "links",    "meta",     "recorded",   "valid_from", "valid_to", "expires", "source",
                                      "actor",    "session",  "model",      "derived_from", "idempotency_key", "confidence",
                                      "importance", "pinned", "status",     "supersedes", "reason"};
    static const char *const must_not[] = {"op", "id", "text", "data", "embedding"};
    char line[128], expected[128];
    for (size_t i = 0; i < sizeof may / sizeof *may; i++) {
        snprintf(line, sizeof line, "{\"id\":\"x\",\"data\":\"AA==\",\"%s\":null}", may[i]);
        /* members stand by field number: data is 7 */
        bool before = i < 4;
        snprintf(expected, sizeof expected,
                 before ? "{\"id\":\"x\",\"%s\":null,\"data\":\"AA==\"}" : "{\"id\":\"x\",\"data\":\"AA==\",\"%s\":null}", may[i]);
        assert_goes_through(line, expected);
    }
    for (size_t i = 0; i < sizeof must_not / sizeof *must_not; i++) {
        memfile *mf = create_file(temp_path("null"));
        snprintf(line, sizeof line, "{\"text\":\"x\",\"%s\":null}", must_not[i]);
        assert_int_equal(put_json(mf, line, NULL), MEMFILE_E_INVALID);
        memfile_close(mf);
    }
}

/* SPEC 11.5, 7.7: values that 32-bit floats give back are type 1, others type 2. */
static void vectors_keep_their_values(void **state)
{
    (void)state;
    /* 0.1 is no 32-bit float, but is what 0x3dcccccd prints as with the fewest digits */
    static const char *const lines[] = {
        "{\"id\":\"x\",\"text\":\"t\",\"embedding\":{\"space\":\"s\",\"values\":[0.1,-0.0,1e-45,3.4028235e+38]}}",
        "{\"id\":\"x\",\"text\":\"t\",\"embedding\":{\"space\":\"s\",\"values\":[0.1,0.12345678901234568]}}",
        "{\"id\":\"x\",\"text\":\"t\",\"embedding\":{\"space\":\"s\",\"values\":[16777217.0]}}",
    };
    static const unsigned types[] = {MF_VECTOR_F32, MF_VECTOR_F64, MF_VECTOR_F64};
    static const size_t counts[] = {4, 2, 1};
    for (size_t i = 0; i < 3; i++) {
        memfile_draft *d = fresh();
        mf_buffer core;
        mf_record *r = (mf_record *)malloc(sizeof *r);
        memfile_error e;
        assert_int_equal(memfile_draft_parse_json(d, lines[i], strlen(lines[i]), &e), MEMFILE_OK);
        mf_buffer_init(&core, &mf_mem_default);
        mf_draft_core(d, NULL, &core);
        assert_int_equal(mf_record_parse(r, mf_slice_of(core.data, core.length), MEMFILE_E_INVALID, MF_NOWHERE, &e),
                         MEMFILE_OK);
        assert_int_equal(r->embedding_type, types[i]);
        assert_int_equal(r->embedding_count, counts[i]);
        assert_int_equal(mf_draft_vector(d).length, counts[i] * (types[i] == MF_VECTOR_F32 ? 4 : 8));
        if (i == 0) /* IEEE 754 binary32, little-endian */
            assert_memory_equal(mf_draft_vector(d).data, "\xcd\xcc\xcc\x3d\x00\x00\x00\x80\x01\x00\x00\x00\xff\xff\x7f\x7f", 16);
        if (i == 2)
            assert_memory_equal(mf_draft_vector(d).data, "\x00\x00\x00\x10\x00\x00\x70\x41", 8);
        mf_buffer_free(&core);
        free(r);
        memfile_draft_free(d);
        assert_goes_through(lines[i], lines[i]);
    }
}

/* SPEC 7.7: an embedding that was dropped is exported without values. */
static void an_embedding_without_values_is_taken_for_absent(void **state)
{
    (void)state;
    assert_goes_through("{\"id\":\"x\",\"text\":\"t\",\"embedding\":{\"space\":\"s\"}}", "{\"id\":\"x\",\"text\":\"t\"}");
}

static void vectors_by_call_and_by_line_are_the_same(void **state)
{
    (void)state;
    static const float values[] = {1.0f, -2.5f, 0.1f};
    const char *path = temp_path("vector"), *json;
    size_t length;
    const memfile_entry *entry;
    memfile *mf = create_file(path);
    memfile_draft *d = fresh();
    memfile_draft_set(d, MEMFILE_ID, "v", 1);
    memfile_draft_set(d, MEMFILE_TEXT, "t", 1);
    assert_int_equal(memfile_draft_set_embedding(d, "space", values, 3), MEMFILE_OK);
    assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_OK);
    commit_ok(mf);
    assert_int_equal(memfile_get_entry(mf, 0, &entry), MEMFILE_OK);
    assert_int_equal(memfile_entry_json(mf, entry, UINT64_MAX, &json, &length), MEMFILE_OK);
    static const char expected[] = "{\"id\":\"v\",\"text\":\"t\",\"embedding\":{\"space\":\"space\",\"values\":[1.0,-2.5,0.1]}}";
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(json, expected, length);
    memfile_close(mf);
    const float infinite[] = {1.0f / (float)(values[0] - 1.0f)};
    memfile_draft_clear(d);
    assert_int_equal(memfile_draft_set_embedding(d, "space", infinite, 1), MEMFILE_E_INVALID);
    memfile_draft_free(d);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static void forms_that_are_not_those_of_7_7_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "{\"text\":\"x\",\"embedding\":{\"space\":\"s\",\"values\":[]}}",
        "{\"text\":\"x\",\"embedding\":{\"space\":\"s\",\"values\":[\"1\"]}}",
        "{\"text\":\"x\",\"embedding\":{\"space\":\"\",\"values\":[1.0]}}",
        "{\"text\":\"x\",\"embedding\":{\"space\":\"s\",\"values\":[1e999]}}",
        "{\"text\":\"x\",\"embedding\":{\"space\":\"s\",\"values\":[1.0],\"more\":1}}",
        "{\"text\":\"x\",\"embedding\":[1.0]}",
        "{\"text\":\"x\",\"links\":[{\"rel\":\"a\"}]}",
        "{\"text\":\"x\",\"links\":[{\"to\":\"a\"}]}",
        "{\"text\":\"x\",\"links\":[{\"rel\":\"a\",\"to\":\"b\",\"x\":1}]}",
        "{\"text\":\"x\",\"links\":[\"a\"]}",
        "{\"text\":\"x\",\"supersedes\":[\"00\"]}",
        "{\"text\":\"x\",\"supersedes\":[\"000102030405060708090A0b0c0d0e0f101112131415161718191a1b1c1d1eff\"]}",
        "{\"text\":\"x\",\"scope\":\"a/b\"}",
        "{\"text\":\"x\",\"scope\":[\"\"]}",
        "{\"text\":\"x\",\"tags\":[1]}",
        "{\"text\":\"x\",\"pinned\":1}",
        "{\"text\":\"x\",\"confidence\":\"high\"}",
        "{\"text\":\"x\",\"meta\":[]}",
        "{\"text\":\"x\",\"time\":\"2023-02-29T00:00:00Z\"}",
        "{\"text\":\"x\",\"time\":\"2023-01-01T00:00:60Z\"}",
        "{\"text\":\"x\",\"time\":\"2023-01-01T00:00:00.Z\"}",
        "{\"text\":\"x\",\"time\":\"2023-01-01T00:00:00.1234567890Z\"}",
        "{\"text\":\"x\",\"time\":\"2023-01-01T00:00:00+01:00\"}",
        "{\"text\":\"x\",\"time\":1672531200}",
        "{\"text\":\"x\",\"data\":\"AA==\"}",
        "{\"data\":\"AA\"}",
        "{\"data\":\"AB==\"}",
        "{\"data\":\"A A=\"}",
        "{\"kind\":\"note\"}",
        "{\"text\":\"x\",\"op\":\"put\"}",
        "{\"text\":\"x\",\"op\":0}",
        "{\"text\":\"x\",\"@30\":1}",
        "{\"text\":\"x\",\"@-1\":1}",
        "{\"text\":\"x\",\"@abc\":1}",
        "{\"text\":\"x\",\"@040\":1}",
        "{\"text\":\"x\",\"id\":\"\"}",
        "{\"text\":\"x\",\"text\":\"y\"}",
        "{\"text\":\"x\"}x",
        "{\"text\":\"x\",\"embedding\":{}}",
        "{\"text\":\"x\",\"embedding\":{\"values\":[1.0]}}",
        "{\"text\":\"x\",\"embedding\":{\"space\":\"s\",}}",
        "{\"text\":\"x\",\"embedding\":{\"space\":\"s\",\"values\":[]}}",
        "[\"text\"]",
        "",
    };
    memfile *mf = create_file(temp_path("forms"));
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        memfile_draft *d = fresh();
        memfile_error e = {0};
        int rc = memfile_draft_parse_json(d, lines[i], strlen(lines[i]), &e);
        if (rc == MEMFILE_OK)
            rc = memfile_put(mf, d, NULL);
        if (rc != MEMFILE_E_INVALID && rc != MEMFILE_E_LIMIT)
            fail_msg("%s: %d", lines[i], rc);
        memfile_draft_free(d);
    }
    assert_int_equal(memfile_commit(mf, NULL), MEMFILE_DONE);
    memfile_close(mf);
}

static void setters_refuse_what_they_are_not_for(void **state)
{
    (void)state;
    memfile_draft *d = fresh();
    assert_int_equal(memfile_draft_set(d, (memfile_field)99, "x", 1), MEMFILE_E_MISUSE);
    memfile_draft_clear(d);
    assert_int_equal(memfile_draft_set_time(d, (memfile_time_field)MEMFILE_KIND, "2023-01-01T00:00:00Z"), MEMFILE_E_MISUSE);
    memfile_draft_clear(d);
    assert_int_equal(memfile_draft_set_time(d, MEMFILE_TIME, "yesterday"), MEMFILE_E_INVALID);
    memfile_draft_clear(d);
    assert_int_equal(memfile_draft_set_time_ns(d, MEMFILE_TIME, 0, 1000000000), MEMFILE_E_INVALID);
    memfile_draft_clear(d);
    assert_int_equal(memfile_draft_set_time_ns(d, MEMFILE_TIME, INT64_MAX, 0), MEMFILE_E_INVALID);
    memfile_draft_clear(d);
    double infinite = 1e308 * 10;
    assert_int_equal(memfile_draft_set_confidence(d, infinite), MEMFILE_E_INVALID);
    /* the first error stays, and put tells it */
    memfile *mf = create_file(temp_path("setters"));
    memfile_draft_set(d, MEMFILE_TEXT, "x", 1);
    assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_E_INVALID);
    assert_non_null(strstr(memfile_last_error(mf)->message, "finite"));
    memfile_draft_clear(d);
    memfile_draft_set(d, MEMFILE_TEXT, "x", 1);
    assert_int_equal(memfile_draft_set_importance(d, -2.0), MEMFILE_OK);
    assert_int_equal(memfile_draft_set_pinned(d, 1), MEMFILE_OK);
    assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_OK);
    commit_ok(mf);
    const memfile_entry *entry;
    assert_int_equal(memfile_get_entry(mf, 0, &entry), MEMFILE_OK);
    assert_true(memfile_entry_is_pinned(entry));
    memfile_close(mf);
    memfile_draft_free(d);
    memfile_draft_free(NULL);
}

/* By hand: {1: "a", 2: "k", 6: "x", 26: true}, RFC 8949. */
static void the_core_is_the_deterministic_encoding(void **state)
{
    (void)state;
    memfile_draft *d = fresh();
    mf_buffer core;
    memfile_draft_set_pinned(d, 1); /* in another order than the core's */
    memfile_draft_set(d, MEMFILE_TEXT, "x", 1);
    memfile_draft_set(d, MEMFILE_KIND, "k", 1);
    memfile_draft_set(d, MEMFILE_ID, "a", 1);
    mf_buffer_init(&core, &mf_mem_default);
    mf_draft_core(d, NULL, &core);
    static const uint8_t expected[] = {0xa4, 0x01, 0x61, 'a', 0x02, 0x61, 'k', 0x06, 0x61, 'x', 0x18, 0x1a, 0xf5};
    assert_int_equal(core.length, sizeof expected);
    assert_memory_equal(core.data, expected, sizeof expected);
    mf_buffer_free(&core);
    memfile_draft_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_core_is_the_deterministic_encoding),
        cmocka_unit_test(every_member_of_7_1_comes_back),
        cmocka_unit_test(null_members_are_kept_or_refused),
        cmocka_unit_test(vectors_keep_their_values),
        cmocka_unit_test(an_embedding_without_values_is_taken_for_absent),
        cmocka_unit_test(vectors_by_call_and_by_line_are_the_same),
        cmocka_unit_test(forms_that_are_not_those_of_7_7_are_refused),
        cmocka_unit_test(setters_refuse_what_they_are_not_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
