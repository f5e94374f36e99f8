/* error: the one error type. */
#include "support.h"

#include <errno.h>

#include "error.h"

static void a_failure_fills_code_place_and_sentence(void **state)
{
    (void)state;
    memfile_error e;
    memset(&e, 0x55, sizeof e);
    assert_int_equal(mf_fail(&e, MEMFILE_E_DAMAGED, 4096, "segment %u of %s", 7u, "nine"), MEMFILE_E_DAMAGED);
    assert_int_equal(e.code, MEMFILE_E_DAMAGED);
    assert_int_equal(e.system_errno, 0);
    assert_int_equal(e.offset, 4096);
    assert_string_equal(e.message, "segment 7 of nine");
}

static void a_failed_system_call_names_its_cause(void **state)
{
    (void)state;
    memfile_error e;
    char expected[256];
    snprintf(expected, sizeof expected, "cannot open 'x': %s", strerror(ENOENT));
    assert_int_equal(mf_fail_system(&e, MEMFILE_E_SYSTEM, MF_NOWHERE, ENOENT, "cannot open '%s'", "x"),
                     MEMFILE_E_SYSTEM);
    assert_int_equal(e.system_errno, ENOENT);
    assert_true(e.offset == UINT64_MAX);
    assert_string_equal(e.message, expected);
}

static void nobody_has_to_take_the_error(void **state)
{
    (void)state;
    assert_int_equal(mf_fail(NULL, MEMFILE_E_LIMIT, 0, "%d", 1), MEMFILE_E_LIMIT);
    assert_int_equal(mf_fail_system(NULL, MEMFILE_E_SYSTEM, 0, EIO, "%d", 1), MEMFILE_E_SYSTEM);
    assert_int_equal(mf_fail_memory(NULL), MEMFILE_E_MEMORY);
    mf_error_clear(NULL);
}

static void memory_errors_have_no_place(void **state)
{
    (void)state;
    memfile_error e;
    memset(&e, 0, sizeof e);
    assert_int_equal(mf_fail_memory(&e), MEMFILE_E_MEMORY);
    assert_int_equal(e.code, MEMFILE_E_MEMORY);
    assert_true(e.offset == UINT64_MAX);
    assert_true(strlen(e.message) > 0);
}

static void a_cleared_error_says_nothing(void **state)
{
    (void)state;
    memfile_error e;
    mf_fail_system(&e, MEMFILE_E_SYSTEM, 3, EIO, "x");
    mf_error_clear(&e);
    assert_int_equal(e.code, MEMFILE_OK);
    assert_int_equal(e.system_errno, 0);
    assert_true(e.offset == UINT64_MAX);
    assert_string_equal(e.message, "");
}

static void a_long_message_is_cut_and_still_ends(void **state)
{
    (void)state;
    static char text[2000];
    memfile_error e;
    memset(text, 'a', sizeof text - 1);
    for (size_t length = sizeof e.message - 40; length < sizeof e.message + 40; length++) {
        memset(&e, 0x55, sizeof e);
        mf_fail_system(&e, MEMFILE_E_SYSTEM, 0, ENOENT, "%.*s", (int)length, text);
        const char *end = (const char *)memchr(e.message, 0, sizeof e.message);
        assert_non_null(end);
        size_t kept = length < sizeof e.message - 1 ? length : sizeof e.message - 1;
        assert_true((size_t)(end - e.message) >= kept);
        assert_memory_equal(e.message, text, kept);
    }
}

/* memfile.h: one sentence, no line feed. Names of files and ids are put into it as they are. */
static void a_message_is_one_line_whatever_is_named_in_it(void **state)
{
    (void)state;
    memfile_error e;
    mf_fail(&e, MEMFILE_E_NOT_FOUND, 0, "no such file: '%s'", "a\nb\r\x1b[31m\x7f\tc");
    for (const char *p = e.message; *p; p++)
        assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
    assert_int_equal(strncmp(e.message, "no such file: 'a", 16), 0);
    assert_string_equal(e.message + strlen(e.message) - 2, "c'");
    mf_fail_system(&e, MEMFILE_E_SYSTEM, 0, ENOENT, "cannot open '%s'", "a\nb");
    assert_null(strchr(e.message, '\n'));
    memfile *mf = create_file(temp_path("line"));
    const memfile_entry *entry;
    assert_int_equal(memfile_get(mf, "two\nlines", 9, MEMFILE_NEWEST, &entry), MEMFILE_E_NOT_FOUND);
    assert_null(strchr(memfile_last_error(mf)->message, '\n'));
    memfile_close(mf);
    memfile *none;
    assert_int_equal(memfile_open(temp_path("no\nsuch"), MEMFILE_READ, NULL, &none, &e), MEMFILE_E_NOT_FOUND);
    assert_null(strchr(e.message, '\n'));
}

/* A character of several bytes at the end of the room is left out whole. */
static void a_cut_message_is_still_utf8(void **state)
{
    (void)state;
    static char text[1200];
    memfile_error e;
    for (size_t before = 0; before < 4; before++) {
        char *p = text;
        memset(p, 'a', before);
        p += before;
        while (p + 3 < text + sizeof text) {
            memcpy(p, "\xe2\x82\xac", 3); /* the euro sign */
            p += 3;
        }
        *p = '\0';
        mf_fail(&e, MEMFILE_E_NOT_FOUND, 0, "%s", text);
        size_t n = strlen(e.message);
        assert_true(n >= sizeof e.message - 4 && n < sizeof e.message);
        assert_int_equal((n - before) % 3, 0);
        assert_memory_equal(e.message, text, n);
    }
}

static void every_class_has_words_of_its_own(void **state)
{
    (void)state;
    const char *unknown = memfile_strerror(-999);
    for (int a = MEMFILE_E_STOPPED; a <= MEMFILE_DONE; a++) {
        assert_true(strlen(memfile_strerror(a)) > 0);
        assert_string_not_equal(memfile_strerror(a), unknown);
        for (int b = MEMFILE_E_STOPPED; b < a; b++)
            assert_string_not_equal(memfile_strerror(a), memfile_strerror(b));
    }
    assert_string_equal(memfile_strerror(2), unknown);
    assert_string_equal(memfile_strerror(MEMFILE_E_STOPPED - 1), unknown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_fills_code_place_and_sentence),
        cmocka_unit_test(a_failed_system_call_names_its_cause),
        cmocka_unit_test(nobody_has_to_take_the_error),
        cmocka_unit_test(memory_errors_have_no_place),
        cmocka_unit_test(a_cleared_error_says_nothing),
        cmocka_unit_test(a_long_message_is_cut_and_still_ends),
        cmocka_unit_test(a_message_is_one_line_whatever_is_named_in_it),
        cmocka_unit_test(a_cut_message_is_still_utf8),
        cmocka_unit_test(every_class_has_words_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
