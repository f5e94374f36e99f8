/* Signatures of commits: what is signed verifies, what is covered is said, nothing more. SPEC 20.9. */
#include "support.h"

#include "keyfile.h"
#include "signature.h"

static memfile_key *key(int n)
{
    static memfile_key *keys[3];
    static const char *const texts[] = {"MFS1-SECRET-nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2AQbvaQ"};
    if (!keys[n] && n == 0)
        assert_int_equal(memfile_key_read(texts[0], strlen(texts[0]), NULL, 0, &keys[0], NULL), MEMFILE_OK);
    else if (!keys[n])
        assert_int_equal(memfile_key_generate(MEMFILE_SIGNER, &keys[n], NULL), MEMFILE_OK);
    return keys[n];
}

static memfile *open_signed(const char *path, memfile_mode mode, const memfile_key *signer)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile_error e;
    memfile *mf;
    o.signer = signer;
    if (mode == MEMFILE_CREATE)
        unlink(path);
    if (memfile_open(path, mode, &o, &mf, &e) != MEMFILE_OK)
        fail_msg("open: %s", e.message);
    return mf;
}

/* `count` commits of one entry by a signer, who may be nobody. */
static void commits(const char *path, memfile_mode mode, const memfile_key *signer, int count)
{
    memfile *mf = open_signed(path, mode, signer);
    for (int i = 0; i < count; i++) {
        put_text(mf, NULL, "Tea, not coffee.");
        commit_ok(mf);
    }
    memfile_close(mf);
}

typedef struct told {
    memfile_signer signers[1100];
    size_t count;
    char message[400];
    uint64_t findings;
} told;

static void take_signer(void *context, const memfile_signer *s)
{
    told *t = (told *)context;
    t->signers[t->count++] = *s;
}

static void take_finding(void *context, const memfile_finding *f)
{
    told *t = (told *)context;
    snprintf(t->message, sizeof t->message, "%s", f->message);
    t->findings++;
}

static int verify(const char *path, int quick, told *t, memfile_verify_result *r)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memset(t, 0, sizeof *t);
    o.quick = quick;
    o.signer = take_signer;
    o.finding = take_finding;
    o.context = t;
    return memfile_verify(path, &o, r, NULL);
}

static void assert_signer(const told *t, size_t i, const memfile_key *who, uint64_t count, uint64_t through,
                          uint64_t entries, int newest)
{
    char text[MEMFILE_PUBLIC_SIZE];
    assert_true(i < t->count);
    const memfile_signer *s = &t->signers[i];
    memfile_key_public(who, text);
    assert_string_equal(s->public_text, text);
    assert_memory_equal(s->public_key, mf_key_public(who), 32);
    assert_int_equal(s->commits, count);
    assert_int_equal(s->signed_through, through);
    assert_int_equal(s->entries, entries);
    assert_int_equal(s->covers_newest, newest);
}

static void test_every_commit_of_a_signing_handle_is_signed(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    static told t;
    memfile_verify_result r;
    commits(path, MEMFILE_CREATE, key(0), 3);
    assert_int_equal(verify(path, 0, &t, &r), MEMFILE_OK);
    assert_int_equal(r.signatures, 4);
    assert_int_equal(t.count, 1);
    assert_signer(&t, 0, key(0), 4, 3, 3, 1);
}

static void test_large_and_full_commits_are_signed_too(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    static told t;
    memfile *mf = open_signed(path, MEMFILE_CREATE, key(0));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3000; i++)
            put_text(mf, NULL, "A batch that takes more than one block and more than one segment of the group.");
        commit_ok(mf);
    }
    memfile_close(mf);
    commits(path, MEMFILE_WRITE, key(0), 70);
    assert_int_equal(verify(path, 0, &t, NULL), MEMFILE_OK);
    assert_signer(&t, 0, key(0), 74, 73, 9070, 1);
}

static void test_without_a_signer_nothing_is_signed(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    static told t;
    memfile_verify_result r;
    commits(path, MEMFILE_CREATE, NULL, 2);
    assert_int_equal(verify(path, 0, &t, &r), MEMFILE_OK);
    assert_int_equal(t.count, 0);
    assert_int_equal(r.signatures, 0);
}

static void test_a_later_commit_without_signature_is_not_covered(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    static told t;
    commits(path, MEMFILE_CREATE, key(0), 2);
    commits(path, MEMFILE_WRITE, NULL, 1);
    assert_int_equal(verify(path, 0, &t, NULL), MEMFILE_OK);
    assert_signer(&t, 0, key(0), 3, 2, 2, 0);
    commits(path, MEMFILE_WRITE, key(0), 1); /* which covers that, too */
    assert_int_equal(verify(path, 0, &t, NULL), MEMFILE_OK);
    assert_signer(&t, 0, key(0), 4, 4, 4, 1);
}

static void test_each_signer_is_told_with_what_it_covers(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    static told t;
    commits(path, MEMFILE_CREATE, NULL, 1);
    commits(path, MEMFILE_WRITE, key(1), 2);
    commits(path, MEMFILE_WRITE, key(0), 3);
    assert_int_equal(verify(path, 0, &t, NULL), MEMFILE_OK);
    assert_int_equal(t.count, 2);
    assert_signer(&t, 0, key(1), 2, 3, 3, 0);
    assert_signer(&t, 1, key(0), 3, 6, 6, 1);
    assert_int_equal(verify(path, 1, &t, NULL), MEMFILE_OK); /* quick looks at no signature */
    assert_int_equal(t.count, 0);
}

static void test_compaction_keeps_signatures(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    static told t;
    memfile_verify_result r;
    commits(path, MEMFILE_CREATE, key(0), 5);
    commits(path, MEMFILE_WRITE, key(1), 5);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
        assert_int_equal(verify(path, 0, &t, &r), MEMFILE_OK);
        assert_int_equal(r.signatures, 11);
        assert_int_equal(t.count, 2);
        assert_signer(&t, 0, key(0), 6, 5, 5, 0);
        assert_signer(&t, 1, key(1), 5, 10, 10, 1);
    }
    commits(path, MEMFILE_WRITE, NULL, 1);
    assert_int_equal(verify(path, 0, &t, NULL), MEMFILE_OK);
    assert_signer(&t, 1, key(1), 5, 10, 10, 0);
    commits(path, MEMFILE_WRITE, key(0), 1);
    assert_int_equal(verify(path, 0, &t, NULL), MEMFILE_OK);
    assert_signer(&t, 0, key(0), 7, 12, 12, 1);
}

static int count_signatures(void *context, const memfile_commit_info *c)
{
    uint64_t *counts = (uint64_t *)context;
    counts[c->number] = c->signature_count;
    assert_true(!c->signatures == !c->signature_count);
    if (c->signature_count)
        assert_memory_equal(c->signatures, mf_key_public(key(0)), 32);
    return MEMFILE_OK;
}

static void test_the_log_tells_signatures_also_of_folded_commits(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    commits(path, MEMFILE_CREATE, NULL, 1);
    commits(path, MEMFILE_WRITE, key(0), 2);
    for (int round = 0; round < 2; round++) {
        uint64_t counts[4] = {9, 9, 9, 9}, expected[4] = {0, 0, 1, 1};
        memfile *mf = open_file(path, MEMFILE_READ);
        assert_int_equal(memfile_log(mf, count_signatures, counts), MEMFILE_OK);
        memfile_close(mf);
        assert_memory_equal(counts, expected, sizeof counts);
        assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    }
}

/* Changes a byte of the last signature in the file, behind its public key, and makes checksums right again. */
static void spoil(const char *path, size_t at, bool of_key)
{
    size_t length;
    uint8_t *bytes = read_file(path, &length), *found = NULL, *segment = NULL;
    static mf_segment s[400];
    for (size_t i = 0; i + 96 <= length; i++)
        if (memcmp(bytes + i, mf_key_public(key(0)), 32) == 0)
            found = bytes + i;
    assert_non_null(found);
    size_t n = segments_of(bytes, length, s, 400);
    for (size_t i = 0; i < n; i++)
        if (bytes + s[i].offset < found)
            segment = bytes + s[i].offset;
    found[of_key ? at : 32 + at] ^= 0x40;
    reseal(segment);
    write_file(path, bytes, length);
    free(bytes);
}

static void test_a_signature_that_is_not_right_is_a_finding_that_names_the_commit(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    static told t;
    memfile_verify_result r;
    for (size_t at = 0; at < 96; at += 5) {
        commits(path, MEMFILE_CREATE, key(0), 2);
        spoil(path, at < 64 ? at : at - 64, at >= 64);
        assert_int_equal(verify(path, 0, &t, &r), MEMFILE_E_DAMAGED);
        assert_int_equal(t.findings, 1);
        assert_non_null(strstr(t.message, "the signature of commit 2 by mfs1-"));
        assert_int_equal(r.signatures, 2);
        assert_int_equal(r.lost_entries, 0);
        assert_signer(&t, 0, key(0), 2, 1, 1, 0);
        assert_int_equal(verify(path, 1, &t, &r), MEMFILE_OK); /* each byte is as it was written */
    }
}

static void test_a_signature_that_is_not_right_stops_compaction_and_is_dropped_by_recovery(void **state)
{
    (void)state;
    const char *path = temp_path("a"), *output = temp_path("b");
    static told t;
    memfile_verify_result r;
    memfile_recover_result recovered;
    memfile_error e;
    commits(path, MEMFILE_CREATE, key(0), 3);
    spoil(path, 1, false);
    assert_int_equal(memfile_compact(path, NULL, NULL, &e), MEMFILE_E_DAMAGED);
    unlink(output);
    assert_int_equal(memfile_recover(path, output, NULL, &recovered, &e), MEMFILE_OK);
    assert_int_equal(recovered.same_history, 1);
    assert_int_equal(verify(output, 0, &t, &r), MEMFILE_OK);
    assert_int_equal(r.signatures, 3);
    assert_signer(&t, 0, key(0), 3, 2, 2, 0);
}

static void test_recovery_keeps_signatures_up_to_the_first_loss(void **state)
{
    (void)state;
    const char *path = temp_path("a"), *output = temp_path("b");
    static told t;
    static mf_segment s[400];
    memfile_verify_result r;
    size_t length;
    commits(path, MEMFILE_CREATE, key(0), 9);
    uint8_t *bytes = read_file(path, &length);
    assert_int_equal(segments_of(bytes, length, s, 400), 10);
    bytes[s[6].offset + 80] ^= 1;
    write_file(path, bytes, length);
    free(bytes);
    assert_int_equal(verify(path, 0, &t, &r), MEMFILE_E_DAMAGED);
    assert_signer(&t, 0, key(0), 6, 5, 5, 0); /* behind the loss nothing is known to be covered */
    assert_int_equal(r.signatures, 9);
    unlink(output);
    assert_int_equal(memfile_recover(path, output, NULL, NULL, NULL), MEMFILE_E_DAMAGED);
    assert_int_equal(verify(output, 0, &t, &r), MEMFILE_OK);
    assert_int_equal(r.signatures, 6);
    assert_signer(&t, 0, key(0), 6, 5, 5, 0);
}

static void test_a_folded_signature_that_is_not_right_is_found(void **state)
{
    (void)state;
    const char *path = temp_path("a"), *output = temp_path("b");
    static told t;
    memfile_verify_result r;
    commits(path, MEMFILE_CREATE, key(0), 3);
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    spoil(path, 9, false);
    assert_int_equal(verify(path, 0, &t, &r), MEMFILE_E_DAMAGED);
    assert_int_equal(r.signatures, 3);
    unlink(output);
    memfile_recover_result recovered;
    assert_int_equal(memfile_recover(path, output, NULL, &recovered, NULL), MEMFILE_OK);
    assert_int_equal(verify(output, 0, &t, &r), MEMFILE_OK);
    assert_int_equal(r.signatures, 3);
}

static void test_a_sealed_file_is_signed_inside_the_seal(void **state)
{
    (void)state;
    const char *path = temp_path("s");
    static told t;
    memfile_key *recipient;
    char public_text[MEMFILE_PUBLIC_SIZE];
    const char *names[] = {public_text};
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile_verify_options v = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_compact_options c = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_verify_result r;
    memfile_receipt receipt;
    memfile_proof *proof;
    memfile_proof_info info;
    memfile_error e;
    memfile *mf;
    const char *text;
    size_t length;
    assert_int_equal(memfile_key_generate(MEMFILE_RECIPIENT, &recipient, NULL), MEMFILE_OK);
    memfile_key_public(recipient, public_text);
    o.signer = key(0);
    o.seal_for.recipients = names;
    o.seal_for.recipient_count = 1;
    o.unlock.identity = v.unlock.identity = c.unlock.identity = recipient;
    v.signer = take_signer;
    v.finding = take_finding;
    v.context = &t;
    unlink(path);
    if (memfile_open(path, MEMFILE_CREATE, &o, &mf, &e) != MEMFILE_OK)
        fail_msg("create: %s", e.message);
    for (int i = 0; i < 3; i++) {
        put_text(mf, i == 1 ? "b" : NULL, "Tea, not coffee.");
        commit_ok(mf);
    }
    for (int round = 0; round < 2; round++) {
        assert_int_equal(memfile_receipt_take(mf, &receipt), MEMFILE_OK);
        if (memfile_prove(mf, "b", 1, MEMFILE_NEWEST, &text, &length) != MEMFILE_OK)
            fail_msg("prove: %s", memfile_last_error(mf)->message);
        assert_int_equal(memfile_proof_check(text, length, &proof, NULL), MEMFILE_OK);
        memfile_proof_get_info(proof, &info, sizeof info);
        assert_int_equal(info.commit, 2);
        assert_int_equal(info.signature_count, 1);
        assert_memory_equal(info.history_digest, receipt.history_digest, 32);
        memfile_proof_free(proof);
        memfile_close(mf);
        v.wanted_commit = receipt.commit;
        memset(&t, 0, sizeof t);
        if (memfile_verify(path, &v, &r, &e) != MEMFILE_OK)
            fail_msg("verify: %s", e.message);
        assert_int_equal(r.signatures, 4);
        assert_signer(&t, 0, key(0), 4, 3, 3, 1);
        assert_int_equal(memfile_receipt_compare(&receipt, &r), MEMFILE_RECEIPT_EXACT);
        /* from outside nothing is known of either */
        memfile_verify_options outside = v;
        outside.unlock.identity = NULL;
        outside.without_key = 1;
        memset(&t, 0, sizeof t);
        assert_int_equal(memfile_verify(path, &outside, &r, &e), MEMFILE_OK);
        assert_int_equal(r.signatures, 0);
        assert_int_equal(t.count, 0);
        assert_int_equal(memfile_receipt_compare(&receipt, &r), MEMFILE_RECEIPT_UNKNOWN);
        memfile_options blind = MEMFILE_OPTIONS_INIT;
        blind.without_key = 1;
        assert_int_equal(memfile_open(path, MEMFILE_READ, &blind, &mf, &e), MEMFILE_OK);
        assert_int_equal(memfile_receipt_take(mf, &receipt), MEMFILE_E_KEY);
        assert_int_equal(memfile_prove(mf, "b", 1, MEMFILE_NEWEST, &text, &length), MEMFILE_E_KEY);
        memfile_close(mf);
        if (round == 0 && memfile_compact(path, &c, NULL, &e) != MEMFILE_OK)
            fail_msg("compact: %s", e.message);
        assert_int_equal(memfile_open(path, MEMFILE_READ, &o, &mf, &e), MEMFILE_OK);
    }
    memfile_close(mf);
    size_t size;
    uint8_t *bytes = read_file(path, &size);
    for (size_t i = 0; i + 32 <= size; i++) /* who signed is sealed, too */
        assert_memory_not_equal(bytes + i, mf_key_public(key(0)), 32);
    free(bytes);
    memfile_key_free(recipient);
}

static void test_a_signature_is_for_one_memory_one_digest_one_number(void **state)
{
    (void)state;
    uint8_t entry[96], id[16] = {1}, digest[32] = {2};
    mf_signature_make(entry, key(0), id, digest, 7);
    assert_true(mf_signature_right(entry, id, digest, 7));
    assert_false(mf_signature_right(entry, id, digest, 8));
    id[15] = 1;
    assert_false(mf_signature_right(entry, id, digest, 7));
    id[15] = 0;
    digest[31] = 1;
    assert_false(mf_signature_right(entry, id, digest, 7));
    digest[31] = 0;
    memcpy(entry, mf_key_public(key(1)), 32);
    assert_false(mf_signature_right(entry, id, digest, 7));
}

static void test_a_key_that_does_not_sign_is_refused(void **state)
{
    (void)state;
    const char *path = temp_path("n");
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile_key *recipient;
    memfile *mf = (memfile *)&mf;
    memfile_error e;
    assert_int_equal(memfile_key_generate(MEMFILE_RECIPIENT, &recipient, NULL), MEMFILE_OK);
    o.signer = recipient;
    assert_int_equal(memfile_open(path, MEMFILE_CREATE, &o, &mf, &e), MEMFILE_E_MISUSE);
    assert_null(mf);
    assert_int_equal(access(path, F_OK), -1);
    memfile_key_free(recipient);
}

static void test_more_signers_than_are_told_are_still_checked(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    static told t;
    memfile_verify_result r;
    commits(path, MEMFILE_CREATE, NULL, 0);
    for (int i = 0; i < 1030; i++) {
        memfile_key *k;
        assert_int_equal(memfile_key_generate(MEMFILE_SIGNER, &k, NULL), MEMFILE_OK);
        commits(path, MEMFILE_WRITE, k, 1);
        memfile_key_free(k);
    }
    assert_int_equal(verify(path, 0, &t, &r), MEMFILE_OK);
    assert_int_equal(r.signatures, 1030);
    assert_int_equal(t.count, 1024);
    assert_int_equal(t.signers[1023].signed_through, 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_commit_of_a_signing_handle_is_signed),
        cmocka_unit_test(test_large_and_full_commits_are_signed_too),
        cmocka_unit_test(test_without_a_signer_nothing_is_signed),
        cmocka_unit_test(test_a_later_commit_without_signature_is_not_covered),
        cmocka_unit_test(test_each_signer_is_told_with_what_it_covers),
        cmocka_unit_test(test_compaction_keeps_signatures),
        cmocka_unit_test(test_the_log_tells_signatures_also_of_folded_commits),
        cmocka_unit_test(test_a_signature_that_is_not_right_is_a_finding_that_names_the_commit),
        cmocka_unit_test(test_a_signature_that_is_not_right_stops_compaction_and_is_dropped_by_recovery),
        cmocka_unit_test(test_recovery_keeps_signatures_up_to_the_first_loss),
        cmocka_unit_test(test_a_folded_signature_that_is_not_right_is_found),
        cmocka_unit_test(test_a_sealed_file_is_signed_inside_the_seal),
        cmocka_unit_test(test_a_signature_is_for_one_memory_one_digest_one_number),
        cmocka_unit_test(test_a_key_that_does_not_sign_is_refused),
        cmocka_unit_test(test_more_signers_than_are_told_are_still_checked),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < 3; i++)
        memfile_key_free(key(i));
    return rc;
}
