/* Sealed files: who opens them, what stays hidden, what is noticed. SPEC 20. */
#include "support.h"

#include "keyfile.h"
#include "keys.h"
#include "seal.h"

#define SECRET_TEXT "the garden gate opens with the brass key"

static memfile_key *key(int n)
{
    static memfile_key *keys[40];
    if (!keys[n])
        assert_int_equal(memfile_key_generate(MEMFILE_RECIPIENT, &keys[n], NULL), MEMFILE_OK);
    return keys[n];
}

static const char *public_of(int n)
{
    static char text[40][MEMFILE_PUBLIC_SIZE];
    memfile_key_public(key(n), text[n]);
    return text[n];
}

/* For the keys 0 to count − 1, or (count 0) for a passphrase that costs nothing to try. */
static memfile_seal_for seal_for(uint32_t count, const char *passphrase)
{
    static const char *list[40];
    memfile_seal_for s;
    memset(&s, 0, sizeof s);
    for (uint32_t i = 0; i < count; i++)
        list[i] = public_of((int)i);
    s.recipients = list;
    s.recipient_count = count;
    s.passphrase = passphrase;
    s.passphrase_length = passphrase ? strlen(passphrase) : 0;
    s.passes = passphrase ? 1 : 0;
    s.memory_kib = passphrase ? 8 : 0;
    return s;
}

static memfile_unlock by_key(int n)
{
    memfile_unlock u = {NULL, 0, key(n)};
    return u;
}

static memfile_unlock by_passphrase(const char *text)
{
    memfile_unlock u = {text, strlen(text), NULL};
    return u;
}

static const memfile_unlock nothing = {NULL, 0, NULL};

static int try_open(const char *path, memfile_mode mode, memfile_unlock unlock, memfile **mf, memfile_error *e)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    o.unlock = unlock;
    return memfile_open(path, mode, &o, mf, e);
}

static memfile *open_sealed(const char *path, memfile_mode mode, memfile_unlock unlock)
{
    memfile *mf;
    memfile_error e;
    if (try_open(path, mode, unlock, &mf, &e) != MEMFILE_OK)
        fail_msg("open: %s", e.message);
    return mf;
}

static int open_fails(const char *path, memfile_unlock unlock)
{
    memfile *mf;
    memfile_error e;
    int rc = try_open(path, MEMFILE_READ, unlock, &mf, &e);
    assert_null(mf);
    assert_int_equal(e.code, rc);
    return rc;
}

static memfile *create_sealed(const char *path, memfile_seal_for s)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile *mf;
    memfile_error e;
    unlink(path);
    o.seal_for = s;
    if (memfile_open(path, MEMFILE_CREATE, &o, &mf, &e) != MEMFILE_OK)
        fail_msg("create: %s", e.message);
    return mf;
}

/* Every structure: inline commits, a long batch with blocks, a dictionary, an index and a content. */
static void fill(memfile *mf)
{
    char json[400], *large = (char *)malloc(300001);
    for (int i = 0; i < 70; i++) {
        snprintf(json, sizeof json,
                 "{\"id\":\"entry-%d\",\"kind\":\"preference\",\"scope\":[\"user\",\"quince\"],\"key\":\"drink-%d\",\"tags\":[\"medlar\"],"
                 "\"text\":\"%s %d\",\"idempotency_key\":\"once-%d\"}",
                 i, i, SECRET_TEXT, i, i);
        assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
        commit_ok(mf);
    }
    for (int i = 0; i < 3000; i++) {
        snprintf(json, sizeof json, "{\"id\":\"bulk-%d\",\"kind\":\"event\",\"text\":\"%s, and %d more\"}", i, SECRET_TEXT, i * 7919);
        assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
    }
    commit_ok(mf);
    for (int i = 0; i < 300000; i++)
        large[i] = (char)('a' + i * 31 % 26);
    large[300000] = '\0';
    put_text(mf, "large", large);
    commit_ok(mf);
    free(large);
}

static void check_filled(memfile *mf)
{
    memfile_cursor *c;
    const memfile_entry *e;
    memfile_info info;
    size_t n = 0, length;
    assert_text(mf, "entry-7", SECRET_TEXT " 7");
    assert_text(mf, "bulk-2999", SECRET_TEXT ", and 23749081 more");
    assert_int_equal(memfile_list(mf, NULL, &c), MEMFILE_OK);
    int rc;
    while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK)
        n++;
    assert_int_equal(rc, MEMFILE_DONE);
    memfile_cursor_close(c);
    assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
    assert_int_equal(n, info.entries);
    const char *json;
    assert_int_equal(memfile_get(mf, "large", 5, MEMFILE_NEWEST, &e), MEMFILE_OK);
    assert_int_equal(memfile_entry_json(mf, e, 1 << 20, &json, &length), MEMFILE_OK);
    assert_true(length > 300000);
}

static int verify_with(const char *path, memfile_unlock unlock, int without_key, memfile_verify_result *r)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result unused;
    o.unlock = unlock;
    o.without_key = without_key;
    return memfile_verify(path, &o, r ? r : &unused, NULL);
}

static bool holds(const uint8_t *bytes, size_t length, const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i + n <= length; i++)
        if (memcmp(bytes + i, text, n) == 0)
            return true;
    return false;
}

/* ---- who opens */

static void whoever_it_is_sealed_for_reads_all_of_it(void **state)
{
    (void)state;
    static const struct {
        uint32_t recipients;
        const char *passphrase;
    } cases[] = {{1, NULL}, {3, NULL}, {32, NULL}, {0, "correct horse"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = temp_path("reads");
        memfile *mf = create_sealed(path, seal_for(cases[i].recipients, cases[i].passphrase));
        fill(mf);
        check_filled(mf);
        memfile_close(mf);
        uint32_t last = cases[i].recipients ? cases[i].recipients - 1 : 0;
        memfile_unlock unlock = cases[i].passphrase ? by_passphrase(cases[i].passphrase) : by_key((int)last);
        mf = open_sealed(path, MEMFILE_WRITE, unlock);
        check_filled(mf);
        put_text(mf, "later", "and again");
        commit_ok(mf);
        assert_text(mf, "later", "and again");
        memfile_close(mf);
        memfile_verify_result r;
        assert_int_equal(verify_with(path, unlock, 0, &r), MEMFILE_OK);
        assert_int_equal(r.entries, 70 + 3000 + 2);
        unlink(path);
    }
}

static void nobody_else_opens_it_and_all_say_the_same(void **state)
{
    (void)state;
    const char *path = temp_path("others");
    memfile_error none, wrong, kind;
    memfile *mf = create_sealed(path, seal_for(2, NULL));
    put_text(mf, "a", SECRET_TEXT);
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(open_fails(path, nothing), MEMFILE_E_KEY);
    assert_int_equal(open_fails(path, by_key(2)), MEMFILE_E_KEY);
    assert_int_equal(open_fails(path, by_passphrase("guess")), MEMFILE_E_KEY);
    assert_int_equal(try_open(path, MEMFILE_READ, by_key(2), &mf, &wrong), MEMFILE_E_KEY);
    assert_int_equal(try_open(path, MEMFILE_READ, nothing, &mf, &none), MEMFILE_E_KEY);
    assert_int_equal(try_open(path, MEMFILE_READ, by_passphrase("guess"), &mf, &kind), MEMFILE_E_KEY);
    /* a changed header, its checksum made right again, is the same error as a wrong key */
    size_t length;
    uint8_t *bytes = read_file(path, &length);
    bytes[50] ^= 1; /* Memory_Id */
    mf_store64(bytes + 72, mf_checksum(bytes, 72));
    write_file(path, bytes, length);
    memfile_error changed;
    assert_int_equal(try_open(path, MEMFILE_READ, by_key(0), &mf, &changed), MEMFILE_E_KEY);
    assert_string_equal(changed.message, wrong.message);
    free(bytes);
    assert_int_equal(verify_with(path, nothing, 0, NULL), MEMFILE_E_KEY);
    assert_int_equal(verify_with(path, by_key(2), 0, NULL), MEMFILE_E_KEY);
}

static void a_plain_file_is_refused_by_who_has_a_key(void **state)
{
    (void)state;
    const char *path = temp_path("plain");
    memfile *mf = create_file(path);
    put_text(mf, "a", "plain");
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(open_fails(path, by_key(0)), MEMFILE_E_KEY);
    assert_int_equal(open_fails(path, by_passphrase("x")), MEMFILE_E_KEY);
    assert_int_equal(verify_with(path, by_key(0), 0, NULL), MEMFILE_E_KEY);
    memfile_rekey_options r = MEMFILE_REKEY_OPTIONS_INIT;
    r.seal_for = seal_for(1, NULL);
    assert_int_equal(memfile_rekey(path, &r, NULL), MEMFILE_E_MISUSE);
    /* compaction seals it */
    memfile_compact_options c = MEMFILE_COMPACT_OPTIONS_INIT;
    c.seal_for = seal_for(1, NULL);
    assert_int_equal(memfile_compact(path, &c, NULL, NULL), MEMFILE_OK);
    assert_int_equal(open_fails(path, nothing), MEMFILE_E_KEY);
    mf = open_sealed(path, MEMFILE_READ, by_key(0));
    assert_text(mf, "a", "plain");
    memfile_close(mf);
}

static void what_is_given_is_checked_before_anything_is_written(void **state)
{
    (void)state;
    const char *path = temp_path("checked");
    memfile *mf;
    memfile_error e;
    const struct {
        memfile_seal_for s;
        int code;
    } bad[] = {
        {{.passphrase = "", .passphrase_length = 0}, MEMFILE_E_INVALID},
        {{.passphrase = "x", .passphrase_length = 1, .passes = 11, .memory_kib = 8}, MEMFILE_E_LIMIT},
        {{.passphrase = "x", .passphrase_length = 1, .passes = 1, .memory_kib = 1048577}, MEMFILE_E_LIMIT},
        {{.passphrase = "x", .passphrase_length = 1, .passes = 1, .memory_kib = 7}, MEMFILE_E_INVALID},
        {{.padded = 1}, MEMFILE_E_MISUSE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memfile_options o = MEMFILE_OPTIONS_INIT;
        o.seal_for = bad[i].s;
        assert_int_equal(memfile_open(path, MEMFILE_CREATE, &o, &mf, &e), bad[i].code);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    memfile_options o = MEMFILE_OPTIONS_INIT;
    o.seal_for = seal_for(33, NULL);
    assert_int_equal(memfile_open(path, MEMFILE_CREATE, &o, &mf, &e), MEMFILE_E_LIMIT);
    o.seal_for = seal_for(2, NULL);
    const char *twice[] = {public_of(0), public_of(0)};
    o.seal_for.recipients = twice;
    assert_int_equal(memfile_open(path, MEMFILE_CREATE, &o, &mf, &e), MEMFILE_E_INVALID);
    const char *nonsense[] = {"mfr1-nonsense", public_of(0)};
    o.seal_for.recipients = nonsense;
    assert_int_equal(memfile_open(path, MEMFILE_CREATE, &o, &mf, &e), MEMFILE_E_INVALID);
    o.seal_for = seal_for(1, "both");
    assert_int_equal(memfile_open(path, MEMFILE_CREATE, &o, &mf, &e), MEMFILE_E_MISUSE);
    memfile_key *signer;
    assert_int_equal(memfile_key_generate(MEMFILE_SIGNER, &signer, NULL), MEMFILE_OK);
    char text[MEMFILE_PUBLIC_SIZE];
    memfile_key_public(signer, text);
    const char *signers[] = {text};
    o.seal_for = seal_for(1, NULL);
    o.seal_for.recipients = signers;
    assert_int_equal(memfile_open(path, MEMFILE_CREATE, &o, &mf, &e), MEMFILE_E_INVALID);
    assert_int_not_equal(access(path, F_OK), 0);
    mf = create_sealed(path, seal_for(1, NULL));
    memfile_close(mf);
    memfile_unlock wrong_kind = {NULL, 0, signer}, both = {"x", 1, key(0)};
    assert_int_equal(open_fails(path, wrong_kind), MEMFILE_E_MISUSE);
    assert_int_equal(open_fails(path, both), MEMFILE_E_MISUSE);
    memfile_key_free(signer);
}

static void a_maker_without_an_identity_goes_on_writing(void **state)
{
    (void)state;
    const char *path = temp_path("maker");
    memfile *mf = create_sealed(path, seal_for(1, NULL)); /* no unlock was given */
    for (int i = 0; i < 3; i++) {
        put_text(mf, NULL, SECRET_TEXT);
        commit_ok(mf);
        assert_true(memfile_refresh(mf) >= 0);
    }
    memfile_close(mf);
    assert_int_equal(open_fails(path, nothing), MEMFILE_E_KEY);
    assert_int_equal(verify_with(path, by_key(0), 0, NULL), MEMFILE_OK);
}

/* ---- what stays hidden */

static void nothing_that_is_remembered_stands_in_the_file(void **state)
{
    (void)state;
    static const char *const words[] = {"brass key", "garden gate", "quince", "medlar",     "entry-", "drink-",
                                        "bulk-",     "once-",       "large",  "preference", "event",  "abcdef"};
    const char *path = temp_path("hidden"), *plain = temp_path("shown");
    size_t length, shown = 0;
    memfile *mf = create_sealed(path, seal_for(2, NULL));
    fill(mf);
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_false(holds(bytes, length, words[i]));
    mf_segment segments[600];
    size_t count = segments_of(bytes, length, segments, 600);
    assert_int_equal(segments[0].type, MF_TYPE_KEYS);
    for (size_t i = 1; i < count; i++) {
        assert_true(segments[i].type == MF_TYPE_SEALED || segments[i].type == MF_TYPE_KEYS);
        assert_int_equal(segments[i].raw_length, 0);
    }
    free(bytes);
    /* the words would be seen: they are in a plain file */
    mf = create_file(plain);
    fill(mf);
    memfile_close(mf);
    bytes = read_file(plain, &length);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        shown += holds(bytes, length, words[i]);
    assert_true(shown >= 8);
    free(bytes);
}

static void from_outside_it_is_checked_and_tells_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("outside");
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile_verify_result inside, outside;
    memfile_info info;
    const memfile_entry *e;
    memfile_cursor *c;
    uint64_t number;
    memfile *mf = create_sealed(path, seal_for(0, "passphrase"));
    fill(mf);
    memfile_close(mf);
    o.without_key = 1;
    assert_int_equal(memfile_open(path, MEMFILE_WRITE, &o, &mf, NULL), MEMFILE_OK);
    assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
    assert_true(info.sealed && info.outside);
    assert_int_equal(info.epoch, 1);
    assert_int_equal(info.recipients, 0);
    assert_int_equal(info.passes, 1);
    assert_int_equal(info.memory_kib, 8);
    assert_int_equal(info.entries, 0);
    assert_int_equal(info.commits, 0);
    assert_int_equal(memfile_get(mf, "entry-1", 7, MEMFILE_NEWEST, &e), MEMFILE_E_KEY);
    assert_int_equal(memfile_get_entry(mf, 0, &e), MEMFILE_E_KEY);
    assert_int_equal(memfile_list(mf, NULL, &c), MEMFILE_E_KEY);
    assert_int_equal(memfile_log(mf, NULL, NULL), MEMFILE_E_KEY);
    assert_int_equal(memfile_find_commit(mf, "0", &number), MEMFILE_E_KEY);
    assert_int_equal(memfile_commit(mf, NULL), MEMFILE_E_KEY);
    memfile_draft *d;
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    memfile_draft_set(d, MEMFILE_TEXT, "x", 1);
    assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_E_KEY);
    memfile_draft_free(d);
    assert_int_equal(memfile_refresh(mf), MEMFILE_DONE);
    memfile_close(mf);
    assert_int_equal(verify_with(path, nothing, 1, &outside), MEMFILE_OK);
    assert_int_equal(verify_with(path, by_passphrase("passphrase"), 0, &inside), MEMFILE_OK);
    assert_memory_equal(outside.stored_digest, inside.stored_digest, 32);
    assert_int_equal(outside.segments, inside.segments);
    assert_true(outside.outside);
    assert_int_equal(outside.entries, 0);
    memfile_verify_options quick = MEMFILE_VERIFY_OPTIONS_INIT;
    quick.quick = 1;
    assert_int_equal(memfile_verify(path, &quick, &outside, NULL), MEMFILE_OK);
    /* a flipped bit is seen from outside too */
    size_t length;
    uint8_t *bytes = read_file(path, &length);
    bytes[length / 2] ^= 4;
    write_file(path, bytes, length);
    assert_int_equal(verify_with(path, nothing, 1, &outside), MEMFILE_E_DAMAGED);
    free(bytes);
}

static size_t padme(size_t n)
{
    size_t e = 0, s = 0;
    while ((size_t)2 << e <= n)
        e++;
    while ((size_t)1 << s <= e)
        s++;
    size_t mask = ((size_t)1 << (e - s)) - 1;
    return (n + mask) & ~mask;
}

static void padded_files_have_rounded_sizes(void **state)
{
    (void)state;
    const char *path = temp_path("padded");
    memfile_seal_for s = seal_for(1, NULL);
    s.padded = 1;
    memfile *mf = create_sealed(path, s);
    fill(mf);
    memfile_info info;
    assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
    assert_true(info.padded);
    memfile_close(mf);
    size_t length, other = 0;
    uint8_t *bytes = read_file(path, &length);
    mf_segment segments[600];
    size_t count = segments_of(bytes, length, segments, 600);
    for (size_t i = 0; i < count; i++)
        if (segments[i].type == MF_TYPE_SEALED) {
            size_t text = segments[i].stored_length - 8 - (segments[i].flags & MF_FLAG_COMMIT ? 8 : 0) - 24 - 16;
            assert_int_equal(padme(text), text);
            other += i > 1 && segments[i].stored_length != segments[i - 1].stored_length;
        }
    assert_true(other > 0);
    free(bytes);
    mf = open_sealed(path, MEMFILE_READ, by_key(0));
    check_filled(mf);
    memfile_close(mf);
    assert_int_equal(verify_with(path, by_key(0), 0, NULL), MEMFILE_OK);
    memfile_compact_options c = MEMFILE_COMPACT_OPTIONS_INIT;
    c.unlock = by_key(0);
    assert_int_equal(memfile_compact(path, &c, NULL, NULL), MEMFILE_OK);
    mf = open_sealed(path, MEMFILE_READ, by_key(0));
    assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
    assert_true(info.padded); /* it stays so */
    memfile_close(mf);
}

/* Whoever is named anew: what was padded stays so, and what was not is from then on, if that is asked for. */
static void padding_is_asked_for_and_stays(void **state)
{
    (void)state;
    const char *path = temp_path("stays-padded");
    for (int way = 0; way < 8; way++) {
        const bool was = way & 1, asked = way & 2, anew = way & 4;
        memfile_seal_for s = seal_for(1, NULL);
        memfile_info info;
        memfile_error e;
        s.padded = was;
        unlink(path);
        memfile *mf = create_sealed(path, s);
        put_text(mf, "a", "text");
        commit_ok(mf);
        memfile_close(mf);
        s.padded = asked;
        memfile_compact_options c = MEMFILE_COMPACT_OPTIONS_INIT;
        memfile_rekey_options r = MEMFILE_REKEY_OPTIONS_INIT;
        c.unlock = r.unlock = by_key(0);
        c.seal_for = r.seal_for = s;
        int rc = anew ? memfile_compact(path, &c, NULL, &e) : memfile_rekey(path, &r, &e);
        if (rc != MEMFILE_OK)
            fail_msg("%s", e.message);
        mf = open_sealed(path, MEMFILE_READ, by_key(0));
        assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
        if (info.padded != (was || asked))
            fail_msg("was %d, asked %d, %s: %d", was, asked, anew ? "compacted" : "a new key", info.padded);
        memfile_close(mf);
    }
}

/* Near the longest segment padding ends where the segment does, and is no reason to refuse it. */
static void padding_ends_with_the_segment(void **state)
{
    (void)state;
    mf_seal seal = {.sealed = true, .padded = true};
    const size_t overhead = 8 + 24 + 16 + 16, most = MF_STORED_LENGTH_MAX - overhead - 3; /* and the head's length */
    uint8_t *head = (uint8_t *)calloc(1, most + 1);
    for (size_t cut = 0; cut < 3; cut++) {
        mf_built built;
        mf_built_init(&built, &mf_mem_default, &seal);
        size_t n = most - cut * 5000;
        assert_int_equal(mf_segment_build(&built, MF_TYPE_HISTORY, 0, mf_slice_of(head, n), mf_slice_of(NULL, 0), NULL, 0, NULL, NULL),
                         MEMFILE_OK);
        assert_int_equal(built.segment.stored_length, MF_STORED_LENGTH_MAX);
        mf_built_free(&built);
    }
    mf_built built;
    mf_built_init(&built, &mf_mem_default, &seal);
    assert_int_equal(mf_segment_build(&built, MF_TYPE_HISTORY, 0, mf_slice_of(head, most + 1), mf_slice_of(NULL, 0), NULL, 0, NULL, NULL),
                     MEMFILE_E_LIMIT);
    mf_built_free(&built);
    free(head);
}

static void same_random(void *context, void *out, size_t length)
{
    (void)context;
    memset(out, 0x5a, length);
}

/* A restored snapshot: the same key, place and randomness. */
static void nonces_differ_when_randomness_repeats(void **state)
{
    (void)state;
    mf_seal seal = {.sealed = true, .environment = {NULL, same_random, NULL}};
    uint8_t data_key[32] = {1}, incarnation[16] = {2}, place[24] = {3}, text[2][64], nonce[4][24], tag[16], again[64];
    memset(text[0], 'a', 64);
    memcpy(text[1], text[0], 64);
    text[1][63] = 'b';
    memcpy(again, text[0], 64);
    assert_int_equal(mf_seal_set(&seal, incarnation, 1, data_key, NULL), MEMFILE_OK);
    mf_slice ad = mf_slice_of("x", 1);
    uint8_t first[64];
    memcpy(first, text[0], 64);
    mf_seal_close(&seal, text[0], 64, place, ad, nonce[0], tag);
    mf_seal_close(&seal, text[1], 64, place, ad, nonce[1], tag);
    assert_memory_not_equal(nonce[0], nonce[1], 24);
    mf_seal_close(&seal, again, 64, place, ad, nonce[2], tag);
    assert_memory_equal(nonce[0], nonce[2], 24); /* the same content: nothing new is told */
    memcpy(again, first, 64);
    place[0] ^= 1;
    mf_seal_close(&seal, again, 64, place, ad, nonce[3], tag);
    assert_memory_not_equal(nonce[0], nonce[3], 24);
    mf_seal_clear(&seal);
}

/* ---- what is noticed */

static void every_bit_of_a_seal_counts(void **state)
{
    (void)state;
    mf_seal seal = {.sealed = true};
    uint8_t data_keys[64], incarnation[16] = {2}, place[24] = {3}, closed[48 + 16], nonce[24], out[48], zero[48] = {0};
    seal.environment = (memfile_environment){NULL, same_random, NULL};
    for (size_t i = 0; i < sizeof data_keys; i++)
        data_keys[i] = (uint8_t)i;
    assert_int_equal(mf_seal_set(&seal, incarnation, 2, data_keys, NULL), MEMFILE_OK);
    char ad[] = "associated";
    memset(closed, 'p', 48);
    mf_seal_close(&seal, closed, 48, place, mf_slice_of(ad, 10), nonce, closed + 48);
    assert_true(mf_seal_open(&seal, 2, closed, 48, mf_slice_of(ad, 10), nonce, out));
    for (size_t i = 0; i < 48; i++)
        assert_int_equal(out[i], 'p');
    for (size_t i = 0; i < sizeof closed * 8; i++) {
        closed[i / 8] ^= (uint8_t)(1 << i % 8);
        memset(out, 1, sizeof out);
        assert_false(mf_seal_open(&seal, 2, closed, 48, mf_slice_of(ad, 10), nonce, out));
        assert_memory_equal(out, zero, sizeof out); /* nothing of it is given out */
        closed[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t i = 0; i < 24 * 8; i++) {
        nonce[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(mf_seal_open(&seal, 2, closed, 48, mf_slice_of(ad, 10), nonce, out));
        nonce[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t i = 0; i < 10; i++) {
        ad[i] ^= 1;
        assert_false(mf_seal_open(&seal, 2, closed, 48, mf_slice_of(ad, 10), nonce, out));
        ad[i] ^= 1;
    }
    assert_false(mf_seal_open(&seal, 2, closed, 48, mf_slice_of(ad, 9), nonce, out));
    assert_false(mf_seal_open(&seal, 1, closed, 48, mf_slice_of(ad, 10), nonce, out));
    assert_false(mf_seal_open(&seal, 0, closed, 48, mf_slice_of(ad, 10), nonce, out));
    assert_false(mf_seal_open(&seal, 3, closed, 48, mf_slice_of(ad, 10), nonce, out));
    mf_seal_clear(&seal);
}

/* Puts checksums right again behind a change that somebody made who can, and has no key. */
static void repair(uint8_t *segment)
{
    uint32_t stored = mf_load32(segment + 8);
    mf_store64(segment + 48, mf_checksum(segment + 64, stored));
    mf_store64(segment + 56, mf_checksum(segment, 56));
}

/* Every byte of every segment, with checksums made right: no change goes unnoticed by who has the key. */
static void no_change_goes_unnoticed(void **state)
{
    (void)state;
    const char *path = temp_path("changes");
    memfile *mf = create_sealed(path, seal_for(1, NULL));
    for (int i = 0; i < 4; i++) {
        put_text(mf, NULL, SECRET_TEXT);
        commit_ok(mf);
    }
    memfile_close(mf);
    size_t length, noticed = 0;
    uint8_t *bytes = read_file(path, &length);
    mf_segment segments[20];
    size_t count = segments_of(bytes, length, segments, 20);
    const char *changed = temp_path("changed");
    for (size_t i = 0; i < count; i++)
        for (uint32_t b = 0; b < segments[i].stored_length; b++) {
            uint8_t *at = bytes + segments[i].offset, *byte = at + 64 + b, was[64];
            memcpy(was, at, 64);
            *byte ^= 0x10;
            repair(at);
            write_file(changed, bytes, length);
            int rc = verify_with(changed, by_key(0), 0, NULL);
            assert_true(rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_KEY || rc == MEMFILE_E_LIMIT || rc == MEMFILE_E_NEWER ||
                        rc == MEMFILE_E_TRUNCATED);
            noticed++;
            *byte ^= 0x10;
            memcpy(at, was, 64);
        }
    assert_true(noticed > 1000);
    free(bytes);
}

static void plain_segments_are_refused_by_who_has_the_key(void **state)
{
    (void)state;
    const char *path = temp_path("downgrade");
    memfile *mf = create_sealed(path, seal_for(1, NULL));
    put_text(mf, "a", SECRET_TEXT);
    commit_ok(mf);
    memfile_close(mf);
    size_t length;
    uint8_t *bytes = read_file(path, &length);
    mf_segment segments[8];
    memfile_error e;
    size_t count = segments_of(bytes, length, segments, 8);
    /* a plain commit in the place of the newest, with a body of its own */
    uint8_t *last = bytes + segments[count - 1].offset;
    last[4] = MF_TYPE_COMMIT;
    last[6] = MF_CODEC_RAW;
    mf_store32(last + 44, 0);
    repair(last);
    write_file(path, bytes, length);
    int rc = try_open(path, MEMFILE_READ, by_key(0), &mf, &e);
    if (rc == MEMFILE_OK) { /* it is no commit of a sealed file: damage behind the one before it */
        memfile_info info;
        const memfile_entry *entry;
        assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
        assert_true(info.unfinished_is_damage);
        assert_int_not_equal(memfile_get(mf, "a", 1, MEMFILE_NEWEST, &entry), MEMFILE_OK);
        memfile_close(mf);
    }
    assert_int_equal(verify_with(path, by_key(0), 0, NULL), MEMFILE_E_DAMAGED);
    free(bytes);
}

/* ---- new keys */

static void rekey_to(const char *path, memfile_unlock unlock, int n, uint32_t count)
{
    static const char *list[2];
    memfile_rekey_options o = MEMFILE_REKEY_OPTIONS_INIT;
    memfile_error e;
    for (uint32_t i = 0; i < count; i++)
        list[i] = public_of(n + (int)i);
    o.unlock = unlock;
    o.seal_for.recipients = list;
    o.seal_for.recipient_count = count;
    if (memfile_rekey(path, &o, &e) != MEMFILE_OK)
        fail_msg("rekey: %s", e.message);
}

static void a_new_key_opens_what_came_before_and_the_old_one_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("rekeyed"), *older = temp_path("older");
    memfile_verify_result before, after;
    memfile_info info;
    size_t length;
    memfile *mf = create_sealed(path, seal_for(1, NULL));
    fill(mf);
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    write_file(older, bytes, length);
    assert_int_equal(verify_with(path, by_key(0), 0, &before), MEMFILE_OK);
    for (int i = 1; i <= 3; i++) {
        rekey_to(path, by_key(i - 1), i, 1);
        assert_int_equal(open_fails(path, by_key(i - 1)), MEMFILE_E_KEY);
        mf = open_sealed(path, MEMFILE_WRITE, by_key(i));
        check_filled(mf);
        char id[16];
        snprintf(id, sizeof id, "epoch-%d", i);
        put_text(mf, id, SECRET_TEXT);
        commit_ok(mf);
        assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
        assert_int_equal(info.epoch, i + 1);
        memfile_close(mf);
        assert_int_equal(verify_with(path, by_key(i), 0, &after), MEMFILE_OK);
        assert_int_equal(after.entries, before.entries + (uint64_t)i);
        assert_int_equal(verify_with(path, nothing, 1, NULL), MEMFILE_OK);
    }
    /* the old file only grew, and the old key opens the old copy: that is what rekey says */
    size_t grown;
    uint8_t *now = read_file(path, &grown);
    assert_true(grown > length);
    assert_memory_equal(now, bytes, length);
    mf = open_sealed(older, MEMFILE_READ, by_key(0));
    check_filled(mf);
    memfile_close(mf);
    /* compaction begins anew, for the same recipients */
    memfile_compact_options c = MEMFILE_COMPACT_OPTIONS_INIT;
    c.unlock = by_key(3);
    assert_int_equal(memfile_compact(path, &c, NULL, NULL), MEMFILE_OK);
    mf = open_sealed(path, MEMFILE_READ, by_key(3));
    check_filled(mf);
    assert_text(mf, "epoch-2", SECRET_TEXT);
    assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
    assert_int_equal(info.epoch, 1);
    memfile_close(mf);
    assert_int_equal(open_fails(path, by_key(0)), MEMFILE_E_KEY);
    assert_int_equal(verify_with(path, by_key(3), 0, &after), MEMFILE_OK);
    free(bytes);
    free(now);
}

static void compaction_keeps_every_recipient_or_takes_others(void **state)
{
    (void)state;
    const char *path = temp_path("roster");
    memfile *mf = create_sealed(path, seal_for(3, NULL));
    put_text(mf, "a", SECRET_TEXT);
    commit_ok(mf);
    memfile_close(mf);
    memfile_compact_options c = MEMFILE_COMPACT_OPTIONS_INIT;
    c.unlock = by_key(1); /* who knows one secret, and the others' public keys from inside */
    assert_int_equal(memfile_compact(path, &c, NULL, NULL), MEMFILE_OK);
    for (int i = 0; i < 3; i++)
        memfile_close(open_sealed(path, MEMFILE_READ, by_key(i)));
    assert_int_equal(open_fails(path, by_key(3)), MEMFILE_E_KEY);
    c.unlock = by_key(2);
    c.seal_for = seal_for(0, "a passphrase now");
    assert_int_equal(memfile_compact(path, &c, NULL, NULL), MEMFILE_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(open_fails(path, by_key(i)), MEMFILE_E_KEY);
    mf = open_sealed(path, MEMFILE_READ, by_passphrase("a passphrase now"));
    assert_text(mf, "a", SECRET_TEXT);
    memfile_close(mf);
    memset(&c.seal_for, 0, sizeof c.seal_for);
    c.unlock = by_passphrase("a passphrase now");
    assert_int_equal(memfile_compact(path, &c, NULL, NULL), MEMFILE_OK);
    memfile_close(open_sealed(path, MEMFILE_READ, by_passphrase("a passphrase now")));
}

static void a_rekey_that_is_refused_changes_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("refused");
    memfile *mf = create_sealed(path, seal_for(1, NULL));
    put_text(mf, "a", SECRET_TEXT);
    commit_ok(mf);
    memfile_close(mf);
    size_t length, after;
    uint8_t *bytes = read_file(path, &length);
    memfile_rekey_options o = MEMFILE_REKEY_OPTIONS_INIT;
    o.unlock = by_key(5);
    o.seal_for = seal_for(2, NULL);
    assert_int_equal(memfile_rekey(path, &o, NULL), MEMFILE_E_KEY);
    o.unlock = by_key(0);
    memset(&o.seal_for, 0, sizeof o.seal_for);
    assert_int_equal(memfile_rekey(path, &o, NULL), MEMFILE_E_MISUSE);
    o.seal_for = seal_for(1, NULL);
    const char *nonsense[] = {"mfr1-x"};
    o.seal_for.recipients = nonsense;
    assert_int_equal(memfile_rekey(path, &o, NULL), MEMFILE_E_INVALID);
    uint8_t *now = read_file(path, &after);
    assert_int_equal(after, length);
    assert_memory_equal(now, bytes, length);
    free(bytes);
    free(now);
}

static void old_key_slots_cannot_be_brought_back(void **state)
{
    (void)state;
    const char *path = temp_path("slots");
    memfile *mf = create_sealed(path, seal_for(1, NULL));
    put_text(mf, "a", SECRET_TEXT);
    commit_ok(mf);
    memfile_close(mf);
    rekey_to(path, by_key(0), 1, 1);
    size_t length, count;
    uint8_t *bytes = read_file(path, &length);
    mf_segment s[16], *first = &s[0], *second = NULL;
    count = segments_of(bytes, length, s, 16);
    for (size_t i = 1; i < count; i++)
        if (s[i].type == MF_TYPE_KEYS)
            second = &s[i];
    assert_non_null(second);
    assert_true(first->stored_length <= second->stored_length);
    /* the first slots over the second, as far as they fit in the old place */
    memcpy(bytes + second->offset + 64, bytes + first->offset + 64, first->stored_length);
    mf_store32(bytes + second->offset + 8, first->stored_length);
    repair(bytes + second->offset);
    write_file(path, bytes, length);
    /* what is left is the file before the new key, and damage behind it */
    assert_int_equal(open_fails(path, by_key(1)), MEMFILE_E_KEY);
    memfile_info info;
    mf = open_sealed(path, MEMFILE_WRITE, by_key(0));
    assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
    assert_true(info.unfinished_is_damage);
    memfile_draft *d;
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    memfile_draft_set(d, MEMFILE_TEXT, "x", 1);
    assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_E_DAMAGED);
    memfile_draft_free(d);
    memfile_close(mf);
    assert_int_equal(verify_with(path, by_key(0), 0, NULL), MEMFILE_E_DAMAGED);
    assert_int_equal(verify_with(path, nothing, 1, NULL), MEMFILE_E_DAMAGED);
    free(bytes);
}

static void key_slots_are_repeated_and_serve_for_each_other(void **state)
{
    (void)state;
    const char *path = temp_path("repeated");
    memfile *mf = create_sealed(path, seal_for(1, NULL));
    for (unsigned i = 0; i < MF_KEYS_REPEAT_COMMITS / 2 + 70; i++) {
        put_text(mf, NULL, "x");
        commit_ok(mf);
    }
    memfile_close(mf);
    size_t length, found = 0;
    uint64_t places[8];
    uint8_t *bytes = read_file(path, &length);
    mf_segment *s = (mf_segment *)malloc(20000 * sizeof *s);
    size_t count = segments_of(bytes, length, s, 20000);
    for (size_t i = 0; i < count; i++)
        if (s[i].type == MF_TYPE_KEYS)
            places[found++] = s[i].offset;
    assert_int_equal(found, 4); /* two at first, one with the first footer behind them */
    for (size_t i = 1; i < 4; i++)
        assert_memory_equal(bytes + places[0] + 64, bytes + places[i] + 64, mf_load32(bytes + places[0] + 8));
    assert_int_equal(verify_with(path, by_key(0), 0, NULL), MEMFILE_OK);
    for (size_t i = 0; i < 4; i++) {
        bytes[places[i] + 100] ^= 1;
        write_file(path, bytes, length);
        memfile_close(open_sealed(path, MEMFILE_READ, by_key(0)));
        assert_int_equal(verify_with(path, by_key(0), 0, NULL), MEMFILE_E_DAMAGED);
        bytes[places[i] + 100] ^= 1;
    }
    for (size_t i = 0; i < 4; i++)
        bytes[places[i] + 100] ^= 1;
    write_file(path, bytes, length);
    assert_int_not_equal(open_fails(path, by_key(0)), MEMFILE_OK);
    free(s);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_it_is_sealed_for_reads_all_of_it),
        cmocka_unit_test(nobody_else_opens_it_and_all_say_the_same),
        cmocka_unit_test(a_plain_file_is_refused_by_who_has_a_key),
        cmocka_unit_test(what_is_given_is_checked_before_anything_is_written),
        cmocka_unit_test(a_maker_without_an_identity_goes_on_writing),
        cmocka_unit_test(nothing_that_is_remembered_stands_in_the_file),
        cmocka_unit_test(from_outside_it_is_checked_and_tells_nothing),
        cmocka_unit_test(padded_files_have_rounded_sizes),
        cmocka_unit_test(padding_is_asked_for_and_stays),
        cmocka_unit_test(padding_ends_with_the_segment),
        cmocka_unit_test(nonces_differ_when_randomness_repeats),
        cmocka_unit_test(every_bit_of_a_seal_counts),
        cmocka_unit_test(no_change_goes_unnoticed),
        cmocka_unit_test(plain_segments_are_refused_by_who_has_the_key),
        cmocka_unit_test(a_new_key_opens_what_came_before_and_the_old_one_nothing),
        cmocka_unit_test(compaction_keeps_every_recipient_or_takes_others),
        cmocka_unit_test(a_rekey_that_is_refused_changes_nothing),
        cmocka_unit_test(old_key_slots_cannot_be_brought_back),
        cmocka_unit_test(key_slots_are_repeated_and_serve_for_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
