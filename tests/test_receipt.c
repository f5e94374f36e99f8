/* Receipts: each kind of copy is told from the others, and typing errors from receipts. SPEC 20.13. */
#include "support.h"

#include "digest.h"

static void grow(const char *path, int count, const char *text)
{
    memfile *mf = open_file(path, MEMFILE_WRITE);
    for (int i = 0; i < count; i++) {
        put_text(mf, NULL, text);
        commit_ok(mf);
    }
    memfile_close(mf);
}

static void copy(const char *from, const char *to)
{
    size_t length;
    uint8_t *bytes = read_file(from, &length);
    write_file(to, bytes, length);
    free(bytes);
}

static memfile_receipt take(const char *path)
{
    memfile_receipt r;
    memfile *mf = open_file(path, MEMFILE_READ);
    if (memfile_receipt_take(mf, &r) != MEMFILE_OK)
        fail_msg("take: %s", memfile_last_error(mf)->message);
    memfile_close(mf);
    return r;
}

static memfile_receipt_verdict compare(const memfile_receipt *receipt, const char *path)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result r;
    o.wanted_commit = receipt->commit;
    memfile_verify(path, &o, &r, NULL);
    return memfile_receipt_compare(receipt, &r);
}

static void test_a_receipt_is_what_verify_finds(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    memfile_verify_result v;
    memfile_close(create_file(path));
    grow(path, 5, "Tea.");
    for (int round = 0; round < 3; round++) {
        memfile_receipt r = take(path);
        assert_int_equal(verify_path(path, &v), MEMFILE_OK);
        assert_int_equal(r.commit, 5);
        assert_int_equal(v.newest_commit, 5);
        assert_int_equal(r.entries, 5);
        assert_memory_equal(r.history_digest, v.history_digest, 32);
        assert_true(v.genesis_known);
        assert_memory_equal(r.genesis_digest, v.genesis_digest, 32);
        assert_memory_equal(r.memory_id, v.memory_id, 16);
        assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK); /* changes none of it */
    }
}

static void test_text_reads_back(void **state)
{
    (void)state;
    memfile_receipt r, back;
    char text[MEMFILE_RECEIPT_SIZE];
    memset(&r, 0xff, sizeof r); /* the longest */
    memfile_receipt_print(&r, text);
    assert_true(strlen(text) < MEMFILE_RECEIPT_SIZE);
    assert_int_equal(memfile_receipt_parse(text, strlen(text), &back, NULL), MEMFILE_OK);
    assert_memory_equal(&r, &back, sizeof r);
    memset(&r, 0, sizeof r);
    memfile_receipt_print(&r, text);
    assert_int_equal(memfile_receipt_parse(text, strlen(text), &back, NULL), MEMFILE_OK);
    assert_memory_equal(&r, &back, sizeof r);
}

/* made with Python's hashlib from SPEC 20.13 */
static void test_the_text_is_that_of_the_specification(void **state)
{
    (void)state;
    static const char expected[] =
        "memfile-receipt-1 000102030405060708090a0b0c0d0e0f 7 42 "
        "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f "
        "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f 1a8a7848";
    memfile_receipt r;
    char text[MEMFILE_RECEIPT_SIZE];
    for (int i = 0; i < 32; i++) {
        r.memory_id[i % 16] = (uint8_t)(i % 16);
        r.history_digest[i] = (uint8_t)(0x20 + i);
        r.genesis_digest[i] = (uint8_t)(0x40 + i);
    }
    r.commit = 7;
    r.entries = 42;
    memfile_receipt_print(&r, text);
    assert_string_equal(text, expected);
}

static void test_each_changed_letter_is_told(void **state)
{
    (void)state;
    memfile_receipt r, back, zero;
    memfile_error e;
    char text[MEMFILE_RECEIPT_SIZE + 1], changed[MEMFILE_RECEIPT_SIZE + 2];
    memset(&r, 0x5a, sizeof r);
    memset(&zero, 0, sizeof zero);
    r.commit = 10;
    r.entries = 1000;
    memfile_receipt_print(&r, text);
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        for (const char *l = "0159aAfF -\n\t"; *l; l++) {
            if (*l != text[i]) {
                memcpy(changed, text, n + 1);
                changed[i] = *l;
                assert_int_equal(memfile_receipt_parse(changed, n, &back, &e), MEMFILE_E_INVALID);
                assert_memory_equal(&back, &zero, sizeof zero);
            }
            memcpy(changed, text, i);
            changed[i] = *l;
            memcpy(changed + i + 1, text + i, n - i + 1);
            assert_int_equal(memfile_receipt_parse(changed, n + 1, &back, &e), MEMFILE_E_INVALID);
        }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(memfile_receipt_parse(text, i, &back, &e), MEMFILE_E_INVALID);
        memcpy(changed, text, i);
        memcpy(changed + i, text + i + 1, n - i);
        assert_int_equal(memfile_receipt_parse(changed, n - 1, &back, &e), MEMFILE_E_INVALID);
    }
}

/* with right checksums */
static void test_numbers_have_one_form(void **state)
{
    (void)state;
    static const char *const numbers[] = {"07 42", "7 042", "7 ", " 42", "+7 42", "7 -42", "18446744073709551616 1", "7 99999999999999999999"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[400];
        uint8_t digest[32];
        memfile_receipt back;
        int n = snprintf(text, sizeof text, "memfile-receipt-1 %032d %s %064d %064d", 0, numbers[i], 0, 0);
        mf_digest(digest, MF_LABEL_RECEIPT, text, (size_t)n);
        n += snprintf(text + n, sizeof text - (size_t)n, " %02x%02x%02x%02x", digest[0], digest[1], digest[2], digest[3]);
        assert_int_equal(memfile_receipt_parse(text, (size_t)n, &back, NULL), MEMFILE_E_INVALID);
    }
}

static void test_each_kind_of_copy_is_told(void **state)
{
    (void)state;
    const char *path = temp_path("a"), *other = temp_path("b");
    memfile_close(create_file(path));
    for (int compacted = 0; compacted < 2; compacted++) {
        grow(path, 4, "Tea.");
        memfile_receipt older = take(path);
        copy(path, other);
        assert_int_equal(compare(&older, path), MEMFILE_RECEIPT_EXACT);
        grow(path, 3, "Tea.");
        memfile_receipt newer = take(path);
        assert_int_equal(compare(&older, path), MEMFILE_RECEIPT_LATER);
        assert_int_equal(compare(&newer, other), MEMFILE_RECEIPT_OLDER);
        grow(other, 3, "Coffee.");
        assert_int_equal(compare(&newer, other), MEMFILE_RECEIPT_FORKED);
        assert_int_equal(compare(&older, other), MEMFILE_RECEIPT_LATER);
        grow(other, 3, "Coffee.");
        assert_int_equal(compare(&newer, other), MEMFILE_RECEIPT_FORKED);
        memfile_receipt fork = take(other);
        assert_int_equal(compare(&fork, path), MEMFILE_RECEIPT_OLDER);
        /* the same in folded commits */
        for (int round = 0; round < 2; round++) {
            assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
            assert_int_equal(memfile_compact(other, NULL, NULL, NULL), MEMFILE_OK);
            assert_int_equal(compare(&newer, path), MEMFILE_RECEIPT_EXACT);
            assert_int_equal(compare(&older, path), MEMFILE_RECEIPT_LATER);
            assert_int_equal(compare(&older, other), MEMFILE_RECEIPT_LATER);
            assert_int_equal(compare(&newer, other), MEMFILE_RECEIPT_FORKED);
            assert_int_equal(compare(&fork, path), MEMFILE_RECEIPT_OLDER);
        }
    }
}

static void test_another_memory_and_one_written_anew(void **state)
{
    (void)state;
    const char *path = temp_path("a"), *other = temp_path("b");
    memfile_close(create_file(path));
    memfile_close(create_file(other));
    memfile_receipt r = take(path);
    assert_int_equal(compare(&r, other), MEMFILE_RECEIPT_OTHER);
    memfile_receipt anew = r;
    anew.genesis_digest[0] ^= 1;
    assert_int_equal(compare(&anew, path), MEMFILE_RECEIPT_REWRITTEN);
    anew = r;
    anew.history_digest[31] ^= 1;
    assert_int_equal(compare(&anew, path), MEMFILE_RECEIPT_FORKED);
}

static void test_what_damage_hides_is_unknown(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    static mf_segment s[40];
    size_t length;
    memfile_close(create_file(path));
    grow(path, 3, "Tea.");
    memfile_receipt early = take(path);
    grow(path, 4, "Tea.");
    memfile_receipt late = take(path);
    uint8_t *bytes = read_file(path, &length);
    assert_int_equal(segments_of(bytes, length, s, 40), 8);
    bytes[s[5].offset + 80] ^= 1;
    write_file(path, bytes, length);
    assert_int_equal(compare(&early, path), MEMFILE_RECEIPT_LATER); /* that part is whole */
    assert_int_equal(compare(&late, path), MEMFILE_RECEIPT_UNKNOWN);
    bytes[s[0].offset + 80] ^= 1;
    write_file(path, bytes, length);
    assert_int_equal(compare(&early, path), MEMFILE_RECEIPT_UNKNOWN);
    bytes[s[5].offset + 80] ^= 1;
    bytes[50] ^= 1; /* the header: the genesis no longer proves the Memory_Id */
    write_file(path, bytes, length);
    assert_int_equal(compare(&early, path), MEMFILE_RECEIPT_UNKNOWN);
    free(bytes);
    memfile_verify_result quick;
    memset(&quick, 0, sizeof quick);
    assert_int_equal(memfile_receipt_compare(&early, &quick), MEMFILE_RECEIPT_UNKNOWN);
}

static void test_a_receipt_needs_the_first_commit(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    size_t length;
    for (int compacted = 0; compacted < 2; compacted++) {
        memfile_receipt r;
        memfile_close(create_file(path));
        grow(path, 66, "Tea.");
        if (compacted)
            assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
        uint8_t *bytes = read_file(path, &length);
        mf_segment first;
        assert_int_equal(mf_segment_decode(&first, bytes + 80, 80, mf_load32(bytes + 32), NULL), MEMFILE_OK);
        bytes[80 + 80] ^= 1;
        write_file(path, bytes, length);
        free(bytes);
        memfile *mf = open_file(path, MEMFILE_READ);
        assert_int_equal(memfile_receipt_take(mf, &r), MEMFILE_E_DAMAGED);
        assert_int_equal(r.commit, 0);
        assert_int_equal(memfile_last_error(mf)->code, MEMFILE_E_DAMAGED);
        memfile_close(mf);
    }
}

static void test_words(void **state)
{
    (void)state;
    static const char *const words[] = {"exact", "later", "older", "forked", "rewritten", "other-memory", "unknown", "unknown"};
    for (int i = 0; i < 8; i++)
        assert_string_equal(memfile_receipt_word((memfile_receipt_verdict)i), words[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_receipt_is_what_verify_finds),
        cmocka_unit_test(test_text_reads_back),
        cmocka_unit_test(test_the_text_is_that_of_the_specification),
        cmocka_unit_test(test_each_changed_letter_is_told),
        cmocka_unit_test(test_numbers_have_one_form),
        cmocka_unit_test(test_each_kind_of_copy_is_told),
        cmocka_unit_test(test_another_memory_and_one_written_anew),
        cmocka_unit_test(test_what_damage_hides_is_unknown),
        cmocka_unit_test(test_a_receipt_needs_the_first_commit),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
