/* Keys as text: what is written reads back, everything else is refused. SPEC 20.11. */
#include "support.h"

#include <sodium.h>

#include "keyfile.h"

/* ---- sodium's own failures, when told to */

static int fail_malloc, fail_pwhash, fail_init;
void *__real_sodium_malloc(size_t size);
int __real_sodium_init(void);
int __real_crypto_pwhash(unsigned char *const out, unsigned long long outlen, const char *const passwd,
                         unsigned long long passwdlen, const unsigned char *const salt, unsigned long long opslimit,
                         size_t memlimit, int alg);
void *__wrap_sodium_malloc(size_t size);
int __wrap_sodium_init(void);
int __wrap_crypto_pwhash(unsigned char *const out, unsigned long long outlen, const char *const passwd,
                         unsigned long long passwdlen, const unsigned char *const salt, unsigned long long opslimit,
                         size_t memlimit, int alg);

void *__wrap_sodium_malloc(size_t size)
{
    return fail_malloc ? NULL : __real_sodium_malloc(size);
}

int __wrap_sodium_init(void)
{
    return fail_init ? -1 : __real_sodium_init();
}

int __wrap_crypto_pwhash(unsigned char *const out, unsigned long long outlen, const char *const passwd,
                         unsigned long long passwdlen, const unsigned char *const salt, unsigned long long opslimit,
                         size_t memlimit, int alg)
{
    return fail_pwhash ? -1 : __real_crypto_pwhash(out, outlen, passwd, passwdlen, salt, opslimit, memlimit, alg);
}

/* ---- vectors: scripts/make-key-vectors.py */

static const struct {
    memfile_key_kind kind;
    const char *public_text, *secret, *locked;
} vectors[] = {
    {MEMFILE_RECIPIENT, "mfr1-B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9_AsrhtHHzHvFcr",
     "MFR1-SECRET-AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAWy3PM",
     "MFR1-LOCKED-AgAAAEAAAAAAAQIDBAUGBwgJCgsMDQ4PZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7umiI4oh2ZTjBIsMfgeu9pO6jufcw"
     "MiHV2fccj_hSniFlA3mKmX14sJCecIaBwS1v"},
    {MEMFILE_SIGNER, "mfs1-11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURqHACLN",
     "MFS1-SECRET-nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2AQbvaQ",
     "MFS1-LOCKED-AgAAAEAAAAAAAQIDBAUGBwgJCgsMDQ4PZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7Jgs6e2KNOFByrILnHgmecLv4b4pe"
     "Fl_UsNarkPni_mEY8nK3sHHr_x-m2m7vUeAh"},
};
#define PASSPHRASE "correct horse"

/* Fast: tests need no protection. */
static memfile_lock cheap(const char *passphrase)
{
    memfile_lock how = {passphrase, passphrase ? strlen(passphrase) : 0, 1, 8};
    return how;
}

static memfile_key *read_key(const char *text, const char *passphrase)
{
    memfile_key *key;
    memfile_error e;
    if (memfile_key_read(text, strlen(text), passphrase, passphrase ? strlen(passphrase) : 0, &key, &e) != MEMFILE_OK)
        fail_msg("%s: %s", text, e.message);
    return key;
}

static int try_read(const char *text, const char *passphrase)
{
    memfile_key *key = (memfile_key *)&key;
    memfile_error e;
    int rc = memfile_key_read(text, strlen(text), passphrase, passphrase ? strlen(passphrase) : 0, &key, &e);
    assert_int_equal(rc, e.code);
    if (rc != MEMFILE_OK) {
        assert_null(key);
        assert_true(strlen(e.message) > 0);
    }
    memfile_key_free(key);
    return rc;
}

static int try_public(const char *text)
{
    memfile_key_kind kind;
    memfile_error e;
    uint8_t bytes[32], zero[32] = {0};
    int rc = memfile_public_parse(text, strlen(text), &kind, bytes, &e);
    assert_int_equal(rc, e.code);
    if (rc != MEMFILE_OK) {
        assert_int_equal(kind, 0);
        assert_memory_equal(bytes, zero, 32);
    }
    return rc;
}

static void test_vectors_of_the_specification_read_and_write(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char text[MEMFILE_KEY_TEXT_SIZE], public_text[MEMFILE_PUBLIC_SIZE];
        memfile_key *open = read_key(vectors[i].secret, NULL), *locked = read_key(vectors[i].locked, PASSPHRASE);
        assert_int_equal(memfile_key_kind_of(open), vectors[i].kind);
        assert_memory_equal(mf_key_secret(open), mf_key_secret(locked), 32);
        memfile_key_public(locked, public_text);
        assert_string_equal(public_text, vectors[i].public_text);
        assert_int_equal(memfile_key_write(open, NULL, text, NULL), MEMFILE_OK);
        assert_string_equal(text, vectors[i].secret);
        memfile_key_free(open);
        memfile_key_free(locked);
    }
}

static void test_public_keys_read_back_as_their_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        memfile_key *key = read_key(vectors[i].secret, NULL);
        memfile_key_kind kind;
        uint8_t bytes[32];
        char text[MEMFILE_PUBLIC_SIZE];
        assert_int_equal(memfile_public_parse(vectors[i].public_text, 53, &kind, bytes, NULL), MEMFILE_OK);
        assert_int_equal(kind, vectors[i].kind);
        assert_memory_equal(bytes, mf_key_public(key), 32);
        memfile_public_print(kind, bytes, text);
        assert_string_equal(text, vectors[i].public_text);
        memfile_key_free(key);
    }
}

static void test_generated_keys_differ_and_come_back_from_both_forms(void **state)
{
    (void)state;
    for (int kind = MEMFILE_RECIPIENT; kind <= MEMFILE_SIGNER; kind++) {
        memfile_key *a, *b;
        char text[2][MEMFILE_KEY_TEXT_SIZE], public_text[2][MEMFILE_PUBLIC_SIZE];
        memfile_lock how = cheap("a \xc3\xa4 b");
        assert_int_equal(memfile_key_generate((memfile_key_kind)kind, &a, NULL), MEMFILE_OK);
        assert_int_equal(memfile_key_generate((memfile_key_kind)kind, &b, NULL), MEMFILE_OK);
        assert_memory_not_equal(mf_key_secret(a), mf_key_secret(b), 32);
        assert_true(mf_key_is(a, (memfile_key_kind)kind));
        assert_false(mf_key_is(a, (memfile_key_kind)(3 - kind)));
        assert_false(mf_key_is(NULL, (memfile_key_kind)kind));
        memfile_key_free(b);
        memfile_key_public(a, public_text[0]);
        assert_int_equal(try_public(public_text[0]), MEMFILE_OK);
        assert_int_equal(memfile_key_write(a, NULL, text[0], NULL), MEMFILE_OK);
        assert_int_equal(memfile_key_write(a, &how, text[1], NULL), MEMFILE_OK);
        assert_false(memfile_key_is_locked(text[0], strlen(text[0])));
        assert_true(memfile_key_is_locked(text[1], strlen(text[1])));
        for (int form = 0; form < 2; form++) {
            b = read_key(text[form], "a \xc3\xa4 b");
            assert_memory_equal(mf_key_secret(a), mf_key_secret(b), 32);
            memfile_key_public(b, public_text[1]);
            assert_string_equal(public_text[0], public_text[1]);
            memfile_key_free(b);
        }
        memfile_key_free(a);
    }
    memfile_key_free(NULL);
}

static void test_locking_twice_gives_two_texts(void **state)
{
    (void)state;
    memfile_key *key = read_key(vectors[0].secret, NULL);
    char text[2][MEMFILE_KEY_TEXT_SIZE];
    memfile_lock how = cheap("x");
    for (int i = 0; i < 2; i++)
        assert_int_equal(memfile_key_write(key, &how, text[i], NULL), MEMFILE_OK);
    assert_string_not_equal(text[0], text[1]);
    memfile_key_free(key);
}

static void test_comments_empty_lines_and_line_ends_of_windows_are_passed_over(void **state)
{
    (void)state;
    char text[400];
    snprintf(text, sizeof text, "# public key: mfs1-x\r\n\r\n#\n\n%s\r\n\n# end", vectors[1].secret);
    memfile_key *key = read_key(text, NULL);
    memfile_key_free(key);
}

static void test_what_is_not_one_key_is_refused(void **state)
{
    (void)state;
    char two[400];
    snprintf(two, sizeof two, "%s\n%s\n", vectors[0].secret, vectors[1].secret);
    assert_int_equal(try_read(two, NULL), MEMFILE_E_INVALID);
    assert_int_equal(try_read("", NULL), MEMFILE_E_INVALID);
    assert_int_equal(try_read("# nothing\n", NULL), MEMFILE_E_INVALID);
    assert_int_equal(try_read("MFX1-SECRET-AAAA", NULL), MEMFILE_E_INVALID);
    assert_int_equal(try_read(vectors[0].public_text, NULL), MEMFILE_E_INVALID);
    assert_int_equal(try_public(vectors[0].secret), MEMFILE_E_INVALID);
    assert_int_equal(try_public(vectors[0].locked), MEMFILE_E_INVALID);
    assert_int_equal(try_public(""), MEMFILE_E_INVALID);
    assert_int_equal(try_public("mfr1-"), MEMFILE_E_INVALID);
    assert_false(memfile_key_is_locked("", 0));
    assert_false(memfile_key_is_locked(vectors[0].public_text, 53));
}

/* All that one changed, missing or added letter makes of a text, but a letter that no text may begin a line with. */
static void each_change(const char *text, int (*try)(const char *text), int expected)
{
    static const char letters[] = "A0_-+/= z";
    char changed[200];
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        for (const char *l = letters; *l; l++) {
            if (text[i] == *l)
                continue;
            memcpy(changed, text, n + 1);
            changed[i] = *l;
            int rc = try(changed);
            if (rc != MEMFILE_E_INVALID && rc != expected && rc != MEMFILE_E_LIMIT)
                fail_msg("'%c' at %zu of %s: %d", *l, i, text, rc);
        }
        memcpy(changed, text, i);
        memcpy(changed + i, text + i + 1, n - i);
        assert_int_equal(try(changed), MEMFILE_E_INVALID);
        changed[i] = '\0';
        assert_int_equal(try(changed), MEMFILE_E_INVALID);
        memcpy(changed, text, i + 1);
        memcpy(changed + i + 1, text + i, n - i + 1);
        assert_int_equal(try(changed), MEMFILE_E_INVALID);
    }
    snprintf(changed, sizeof changed, "%sA", text);
    assert_int_equal(try(changed), MEMFILE_E_INVALID);
}

static int try_secret(const char *text)
{
    return try_read(text, NULL);
}

static int try_locked(const char *text)
{
    fail_pwhash = 1; /* what has valid costs would be run at them */
    int rc = try_read(text, PASSPHRASE);
    fail_pwhash = 0;
    return rc == MEMFILE_E_MEMORY ? MEMFILE_E_KEY : rc;
}

static void test_each_changed_letter_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        each_change(vectors[i].public_text, try_public, MEMFILE_E_INVALID);
        each_change(vectors[i].secret, try_secret, MEMFILE_E_INVALID);
        each_change(vectors[i].locked, try_locked, MEMFILE_E_KEY);
    }
}

static void test_a_wrong_passphrase_and_a_changed_line_are_one_error(void **state)
{
    (void)state;
    const char *line = vectors[1].locked;
    char changed[200];
    assert_int_equal(try_read(line, "correct horsE"), MEMFILE_E_KEY);
    assert_int_equal(try_read(line, ""), MEMFILE_E_KEY);
    assert_int_equal(try_read(line, NULL), MEMFILE_E_KEY);
    /* any part: memory, salt, nonce, box, tag; and the kind */
    for (size_t at = 12 + 6; at < strlen(line); at += 7) {
        strcpy(changed, line);
        changed[at] = changed[at] == 'B' ? 'C' : 'B';
        int rc = try_read(changed, PASSPHRASE);
        assert_true(rc == MEMFILE_E_KEY || (at < 24 && (rc == MEMFILE_E_LIMIT || rc == MEMFILE_E_INVALID)));
    }
    strcpy(changed, line);
    changed[2] = 'R';
    assert_int_equal(try_read(changed, PASSPHRASE), MEMFILE_E_KEY);
}

/* The locked vector with other costs. */
static int with_costs(uint32_t passes, uint32_t memory_kib)
{
    uint8_t raw[96];
    char text[200] = "MFR1-LOCKED-";
    assert_int_equal(sodium_base642bin(raw, 96, vectors[0].locked + 12, 128, NULL, NULL, NULL,
                                       sodium_base64_VARIANT_URLSAFE_NO_PADDING), 0);
    mf_store32(raw, passes);
    mf_store32(raw + 4, memory_kib);
    sodium_bin2base64(text + 12, sizeof text - 12, raw, 96, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return try_read(text, PASSPHRASE);
}

static void test_costs_are_limited_before_they_are_run(void **state)
{
    (void)state;
    memfile_key *key = read_key(vectors[0].secret, NULL);
    char text[MEMFILE_KEY_TEXT_SIZE], none[MEMFILE_KEY_TEXT_SIZE] = {0};
    static const struct {
        uint32_t passes, memory_kib;
        int expected;
    } costs[] = {{11, 64, MEMFILE_E_LIMIT},         {UINT32_MAX, 64, MEMFILE_E_LIMIT}, {1, 1048577, MEMFILE_E_LIMIT},
                 {1, UINT32_MAX, MEMFILE_E_LIMIT},  {0, 64, MEMFILE_E_INVALID},        {1, 7, MEMFILE_E_INVALID},
                 {10, 1048576, MEMFILE_E_MEMORY}};
    fail_pwhash = 1; /* so that running is told */
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
        memfile_lock how = {"x", 1, costs[i].passes, costs[i].memory_kib};
        assert_int_equal(with_costs(costs[i].passes, costs[i].memory_kib), costs[i].expected);
        memset(text, 1, sizeof text);
        assert_int_equal(memfile_key_write(key, &how, text, NULL), costs[i].expected);
        assert_memory_equal(text, none, sizeof text);
    }
    fail_pwhash = 0;
    assert_int_equal(with_costs(3, 64), MEMFILE_E_KEY); /* runs, and opens nothing */
    memfile_key_free(key);
}

static void test_an_empty_passphrase_locks_nothing(void **state)
{
    (void)state;
    memfile_key *key = read_key(vectors[0].secret, NULL);
    char text[MEMFILE_KEY_TEXT_SIZE];
    memfile_lock empty = cheap(""), null = cheap(NULL), gone = {NULL, 5, 1, 8};
    assert_int_equal(memfile_key_write(key, &empty, text, NULL), MEMFILE_E_INVALID);
    assert_int_equal(memfile_key_write(key, &null, text, NULL), MEMFILE_E_INVALID);
    assert_int_equal(memfile_key_write(key, &gone, text, NULL), MEMFILE_E_INVALID);
    memfile_key_free(key);
}

/* with right checksums: only the point is wrong */
static void test_points_that_protect_nothing_are_refused(void **state)
{
    (void)state;
    static const char *const points[] = {
        "mfr1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADlikQI",
        "mfr1-AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACIcsNr", "mfr1-4Ot6fDtBuK4WVuP68Z_EatoJjeucMrH9hmIFFl9JuABq_wE2",
        "mfr1-9v_______________________________________38EY0R7", "mfr1-CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIAZrpsg",
        "mfs1-AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAArSanw", "mfs1-7P_______________________________________39pAdH4",
        "mfs1-AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAv1-dD", "mfs1-7v_______________________________________39BNIm5"};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        assert_int_equal(try_public(points[i]), MEMFILE_E_INVALID);
    for (int kind = MEMFILE_RECIPIENT; kind <= MEMFILE_SIGNER; kind++) { /* and a secret that is all zero */
        char text[MEMFILE_KEY_TEXT_SIZE] = {0};
        const char *prefix = kind == MEMFILE_RECIPIENT ? "MFR1-SECRET-" : "MFS1-SECRET-";
        uint8_t raw[36] = {0}, sum[44] = {0};
        crypto_generichash_blake2b_state s;
        memcpy(sum, prefix, 12);
        crypto_generichash_blake2b_init_salt_personal(&s, NULL, 0, 32, NULL, (const unsigned char *)"memfile1.key\0\0\0");
        crypto_generichash_blake2b_update(&s, sum, sizeof sum);
        uint8_t digest[32];
        crypto_generichash_blake2b_final(&s, digest, 32);
        memcpy(raw + 32, digest, 4);
        memcpy(text, prefix, 12);
        sodium_bin2base64(text + 12, sizeof text - 12, raw, 36, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        assert_int_equal(try_read(text, NULL), MEMFILE_E_INVALID);
    }
}

static void test_signatures_are_those_of_rfc_8032(void **state)
{
    (void)state;
    /* section 7.1, TEST 1: the empty message */
    static const uint8_t expected[64] = {
        0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60, 0xac, 0x72, 0x90, 0x86, 0xe2, 0xcc, 0x80, 0x6e, 0x82, 0x8a,
        0x84, 0x87, 0x7f, 0x1e, 0xb8, 0xe5, 0xd9, 0x74, 0xd8, 0x73, 0xe0, 0x65, 0x22, 0x49, 0x01, 0x55,
        0x5f, 0xb8, 0x82, 0x15, 0x90, 0xa3, 0x3b, 0xac, 0xc6, 0x1e, 0x39, 0x70, 0x1c, 0xf9, 0xb4, 0x6b,
        0xd2, 0x5b, 0xf5, 0xf0, 0x59, 0x5b, 0xbe, 0x24, 0x65, 0x51, 0x41, 0x43, 0x8e, 0x7a, 0x10, 0x0b};
    memfile_key *key = read_key(vectors[1].secret, NULL);
    uint8_t signature[64];
    mf_sign(signature, key, "", 0);
    assert_memory_equal(signature, expected, 64);
    assert_true(mf_signature_valid(signature, mf_key_public(key), "", 0));
    assert_false(mf_signature_valid(signature, mf_key_public(key), "x", 1));
    for (int i = 0; i < 64; i++) {
        signature[i] ^= 1;
        assert_false(mf_signature_valid(signature, mf_key_public(key), "", 0));
        signature[i] ^= 1;
    }
    memfile_key_free(key);
}

static void test_failures_of_the_system_are_errors(void **state)
{
    (void)state;
    memfile_key *key = (memfile_key *)&key;
    memfile_error e;
    fail_malloc = 1;
    assert_int_equal(memfile_key_generate(MEMFILE_SIGNER, &key, &e), MEMFILE_E_MEMORY);
    assert_null(key);
    assert_int_equal(try_read(vectors[0].secret, NULL), MEMFILE_E_MEMORY);
    fail_malloc = 0;
    fail_init = 1;
    assert_int_equal(memfile_key_generate(MEMFILE_SIGNER, &key, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(try_read(vectors[0].secret, NULL), MEMFILE_E_SYSTEM);
    assert_int_equal(try_public(vectors[0].public_text), MEMFILE_E_SYSTEM);
    fail_init = 0;
    assert_int_equal(memfile_key_generate((memfile_key_kind)3, &key, &e), MEMFILE_E_INVALID);
    fail_pwhash = 1;
    assert_int_equal(try_read(vectors[0].locked, PASSPHRASE), MEMFILE_E_MEMORY);
    fail_pwhash = 0;
}

static void test_a_wipe_leaves_zeros(void **state)
{
    (void)state;
    char secret[] = "secret", zero[sizeof secret] = {0};
    memfile_wipe(secret, sizeof secret);
    assert_memory_equal(secret, zero, sizeof secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_of_the_specification_read_and_write),
        cmocka_unit_test(test_public_keys_read_back_as_their_bytes),
        cmocka_unit_test(test_generated_keys_differ_and_come_back_from_both_forms),
        cmocka_unit_test(test_locking_twice_gives_two_texts),
        cmocka_unit_test(test_comments_empty_lines_and_line_ends_of_windows_are_passed_over),
        cmocka_unit_test(test_what_is_not_one_key_is_refused),
        cmocka_unit_test(test_each_changed_letter_is_told),
        cmocka_unit_test(test_a_wrong_passphrase_and_a_changed_line_are_one_error),
        cmocka_unit_test(test_costs_are_limited_before_they_are_run),
        cmocka_unit_test(test_an_empty_passphrase_locks_nothing),
        cmocka_unit_test(test_points_that_protect_nothing_are_refused),
        cmocka_unit_test(test_signatures_are_those_of_rfc_8032),
        cmocka_unit_test(test_failures_of_the_system_are_errors),
        cmocka_unit_test(test_a_wipe_leaves_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
