/* Proofs: what is in the file is proved, and no changed byte of a proof holds. SPEC 20.14. */
#include "support.h"

#include "base64.h"
#include "cbor.h"
#include "hex.h"
#include "inclusion.h"
#include "keyfile.h"

static memfile_key *key;

static memfile *open_signed(const char *path, memfile_mode mode)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile *mf;
    o.signer = key;
    o.author = "Ann";
    if (mode == MEMFILE_CREATE)
        unlink(path);
    assert_int_equal(memfile_open(path, mode, &o, &mf, NULL), MEMFILE_OK);
    return mf;
}

/* Entries "0", "1" ...: commits of these sizes. */
static uint64_t fill(const char *path, const unsigned *sizes, size_t count)
{
    memfile *mf = open_signed(path, MEMFILE_CREATE);
    uint64_t next = 0;
    for (size_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < sizes[i]; k++) {
            char id[24], text[40];
            snprintf(id, sizeof id, "%llu", (unsigned long long)next);
            snprintf(text, sizeof text, "entry %llu", (unsigned long long)next++);
            put_text(mf, id, text);
        }
        commit_ok(mf);
    }
    memfile_close(mf);
    return next;
}

static char *prove(memfile *mf, const char *id, uint64_t as_of, size_t *length)
{
    const char *text;
    if (memfile_prove(mf, id, strlen(id), as_of, &text, length) != MEMFILE_OK)
        fail_msg("prove %s: %s", id, memfile_last_error(mf)->message);
    char *copy = (char *)malloc(*length + 2);
    memcpy(copy, text, *length);
    copy[*length] = '\0';
    return copy;
}

static memfile_proof *check(const char *text, size_t length, memfile_proof_info *info)
{
    memfile_proof *p;
    memfile_error e;
    if (memfile_proof_check(text, length, &p, &e) != MEMFILE_OK)
        fail_msg("check: %s\n%s", e.message, text);
    memfile_proof_get_info(p, info, sizeof *info);
    return p;
}

/* The entry is proved to be of that commit and place, up to `newest`. */
static size_t assert_proves(const char *path, uint64_t entry, uint64_t commit, uint64_t index, uint64_t count, uint64_t as_of)
{
    char id[24];
    size_t length;
    memfile_proof_info i;
    memfile_info about;
    memfile *mf = open_file(path, MEMFILE_READ);
    snprintf(id, sizeof id, "%llu", (unsigned long long)entry);
    char *text = prove(mf, id, as_of, &length);
    memfile_proof *p = check(text, length, &i);
    char expected[100];
    snprintf(expected, sizeof expected, "{\"id\":\"%s\",\"text\":\"entry %s\"}", id, id);
    assert_int_equal(i.entry_length, strlen(expected));
    assert_memory_equal(i.entry, expected, i.entry_length);
    assert_int_equal(i.commit, commit);
    assert_int_equal(i.index, index);
    assert_int_equal(i.count, count);
    assert_int_equal(i.content_is_detached, 0);
    assert_int_equal(i.author_length, 3);
    assert_memory_equal(i.author, "Ann", 3);
    assert_int_equal(memfile_get_info(mf, &about, sizeof about), MEMFILE_OK);
    assert_memory_equal(i.memory_id, about.memory_id, 16);
    assert_int_equal(i.newest_commit, as_of == MEMFILE_NEWEST ? about.commits - 1 : as_of);
    if (as_of == MEMFILE_NEWEST)
        assert_memory_equal(i.history_digest, about.history_digest, 32);
    assert_int_equal(i.signature_count, 1);
    assert_memory_equal(i.signatures, mf_key_public(key), 32);
    memfile_proof_free(p);
    memfile_close(mf);
    free(text);
    return length;
}

static void test_entries_at_all_places_of_commits_of_many_sizes(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 2, 3, 15, 16, 17, 31, 32, 33, 1, 255, 256, 257, 272, 1, 4095, 4097};
    const size_t n = sizeof sizes / sizeof *sizes;
    const char *path = temp_path("a");
    fill(path, sizes, n);
    for (int round = 0; round < 2; round++) {
        uint64_t first = 0;
        for (size_t c = 0; c < n; c++) {
            uint64_t places[] = {0, sizes[c] / 2, sizes[c] - 1};
            for (int k = 0; k < 3; k++) {
                size_t length = assert_proves(path, first + places[k], c + 1, places[k], sizes[c], MEMFILE_NEWEST);
                assert_true(length < 8000);
            }
            first += sizes[c];
        }
        assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    }
}

static void test_commits_at_all_places_of_histories_of_many_lengths(void **state)
{
    (void)state;
    static const unsigned ones[70] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                      1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const char *path = temp_path("a");
    fill(path, ones, 70);
    for (uint64_t as_of = 1; as_of <= 70; as_of += as_of < 20 ? 1 : 7)
        for (uint64_t commit = 1; commit <= as_of; commit += as_of < 10 ? 1 : 3)
            assert_proves(path, commit - 1, commit, 0, 1, as_of);
    assert_proves(path, 69, 70, 0, 1, MEMFILE_NEWEST);
}

static void test_every_changed_byte_is_refused(void **state)
{
    (void)state;
    static const unsigned sizes[] = {3, 20, 5, 1};
    const char *path = temp_path("a");
    fill(path, sizes, 4);
    memfile *mf = open_file(path, MEMFILE_READ);
    static const char *const ids[] = {"9", "28"}; /* in the middle, and of the newest commit */
    for (int k = 0; k < 2; k++) {
        size_t length;
        memfile_proof_info info;
        char *text = prove(mf, ids[k], MEMFILE_NEWEST, &length);
        memfile_proof *p = check(text, length, &info);
        memfile_proof_free(p);
        for (size_t i = 0; i < length; i++) {
            char before = text[i];
            static const char others[] = "A0 \n\"\\fF+=";
            for (size_t o = 0; o < sizeof others; o++) { /* NUL too */
                if (others[o] == before)
                    continue;
                text[i] = others[o];
                memfile_error e;
                if (memfile_proof_check(text, length, &p, &e) != MEMFILE_E_DAMAGED)
                    fail_msg("byte %zu from %02x to %02x holds", i, before, others[o]);
                assert_null(p);
            }
            for (int bit = 0; bit < 8; bit++) {
                text[i] = (char)(before ^ (1 << bit));
                assert_int_equal(memfile_proof_check(text, length, &p, NULL), MEMFILE_E_DAMAGED);
            }
            text[i] = before;
            assert_int_equal(memfile_proof_check(text, i, &p, NULL), MEMFILE_E_DAMAGED);
        }
        text[length] = '\n';
        memfile_proof_free(check(text, length + 1, &info));
        text[length + 1] = '\n';
        assert_int_equal(memfile_proof_check(text, length + 2, &p, NULL), MEMFILE_E_DAMAGED);
        text[length] = ' ';
        assert_int_equal(memfile_proof_check(text, length + 1, &p, NULL), MEMFILE_E_DAMAGED);
        free(text);
    }
    memfile_close(mf);
}

static void test_what_a_proof_has_of_content_that_is_detached(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    size_t length;
    memfile_proof_info i;
    char *large = (char *)malloc(40001);
    memset(large, 'x', 40000);
    large[40000] = '\0';
    memfile *mf = open_signed(path, MEMFILE_CREATE);
    put_text(mf, "large", large);
    commit_ok(mf);
    char *text = prove(mf, "large", MEMFILE_NEWEST, &length); /* also by a handle that writes */
    memfile_proof *p = check(text, length, &i);
    assert_int_equal(i.content_is_detached, 1);
    assert_true(i.content_length == 40000);
    assert_memory_equal(i.entry, "{\"id\":\"large\",\"text\":null}", i.entry_length);
    memfile_proof_free(p);
    memfile_close(mf);
    free(text);
    free(large);
}

static void test_proofs_from_memory_and_beside_a_torn_append(void **state)
{
    (void)state;
    static const unsigned sizes[] = {2, 2};
    const char *path = temp_path("a");
    size_t length, size;
    memfile_proof_info i;
    memfile *mf;
    fill(path, sizes, 2);
    uint8_t *bytes = read_file(path, &size);
    assert_int_equal(memfile_open_memory(bytes, size - 3, NULL, &mf, NULL), MEMFILE_OK);
    char *text = prove(mf, "1", MEMFILE_NEWEST, &length);
    memfile_proof *p = check(text, length, &i);
    assert_int_equal(i.newest_commit, 1);
    memfile_proof_free(p);
    memfile_close(mf);
    free(text);
    free(bytes);
}

static void test_a_proof_stays_what_it_is_while_others_commit(void **state)
{
    (void)state;
    static const unsigned sizes[] = {2, 2};
    const char *path = temp_path("a");
    size_t length;
    memfile_proof_info i;
    fill(path, sizes, 2);
    memfile *mf = open_file(path, MEMFILE_READ), *other = open_signed(path, MEMFILE_WRITE);
    put_text(other, "1", "A newer version.");
    commit_ok(other);
    memfile_close(other);
    char *text = prove(mf, "1", MEMFILE_NEWEST, &length);
    memfile_proof *p = check(text, length, &i);
    assert_int_equal(i.newest_commit, 2);
    assert_int_equal(i.commit, 1);
    memfile_proof_free(p);
    free(text);
    assert_int_equal(memfile_refresh(mf), MEMFILE_OK);
    text = prove(mf, "1", MEMFILE_NEWEST, &length);
    p = check(text, length, &i);
    assert_int_equal(i.newest_commit, 3);
    assert_int_equal(i.commit, 3);
    memfile_proof_free(p);
    free(text);
    memfile_close(mf);
}

static void test_what_is_not_there_or_is_damaged_is_not_proved(void **state)
{
    (void)state;
    static const unsigned sizes[] = {2, 2, 2};
    static mf_segment s[40];
    const char *path = temp_path("a"), *text = path;
    size_t length;
    fill(path, sizes, 3);
    memfile *mf = open_file(path, MEMFILE_READ);
    assert_int_equal(memfile_prove(mf, "none", 4, MEMFILE_NEWEST, &text, &length), MEMFILE_E_NOT_FOUND);
    assert_null(text);
    assert_int_equal(memfile_prove(mf, "5", 1, 2, &text, &length), MEMFILE_E_NOT_FOUND); /* not yet */
    assert_int_equal(memfile_prove(mf, "1", 1, 99, &text, &length), MEMFILE_E_NOT_FOUND);
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    assert_int_equal(segments_of(bytes, length, s, 40), 4);
    bytes[s[1].offset + 90] ^= 1;
    write_file(path, bytes, length);
    free(bytes);
    mf = open_file(path, MEMFILE_READ);
    assert_int_equal(memfile_prove(mf, "5", 1, MEMFILE_NEWEST, &text, &length), MEMFILE_E_DAMAGED);
    assert_null(text);
    memfile_close(mf);
}

/* The bytes of a member in base64, and where its text stands. */
static mf_buffer member(const char *proof, const char *name, size_t *at, size_t *length)
{
    mf_buffer out;
    const char *text = strstr(proof, name);
    assert_non_null(text);
    text += strlen(name);
    *at = (size_t)(text - proof);
    *length = strcspn(text, "\"");
    mf_slice s = mf_slice_of((const uint8_t *)text, *length);
    mf_buffer_init(&out, &mf_mem_default);
    out.length = mf_base64_decode(&s, mf_buffer_reserve(&out, *length), *length);
    return out;
}

/* Without the pair of that key; true if there was one. */
static bool drop_pair(mf_buffer *body, uint8_t wanted)
{
    mf_cursor c = mf_cursor_of(body->data, body->length);
    uint64_t pairs = mf_cbor_get(&c, MF_CBOR_MAP);
    assert_true(pairs < 24 && body->data[0] == 0xa0 + pairs);
    for (uint64_t i = 0; i < pairs; i++) {
        size_t from = (size_t)(c.at - body->data);
        bool it = mf_cbor_get(&c, MF_CBOR_UINT) == wanted;
        uint64_t n = 1;
        if (mf_cbor_peek(&c) >> 5 == MF_CBOR_ARRAY) /* the parents */
            n = mf_cbor_get(&c, MF_CBOR_ARRAY);
        for (; n > 0; n--)
            if (mf_cbor_peek(&c) >> 5 == MF_CBOR_BYTES)
                mf_cbor_get_bytes(&c);
            else
                mf_cbor_skip_value(&c, 0);
        assert_false(c.failed);
        size_t to = (size_t)(c.at - body->data);
        if (it) {
            memmove(body->data + from, body->data + to, body->length - to);
            body->length -= to - from;
            body->data[0]--;
            return true;
        }
    }
    return false;
}

/* Who makes a proof up makes its digest agree. A commit lacks a pair that says what the proof hangs by: it is refused,
 * whichever it is. Nothing hangs by parents, by the log of a commit that is itself the newest, and by the entries of a newest
 * one that is another. */
static void test_a_commit_that_lacks_something_proves_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("lacks");
    memfile *mf = create_file(path);
    int dropped = 0;
    for (int i = 0; i < 3; i++) {
        char id[4];
        snprintf(id, sizeof id, "%d", i);
        put_text(mf, id, "text");
        put_text(mf, NULL, "another");
        commit_ok(mf);
    }
    for (int newest = 0; newest < 2; newest++) /* the proof's one commit, or what an older one is proved by */
        for (uint8_t pair = 1; pair <= 9; pair++) {
            size_t length, at, old;
            char *proof = prove(mf, newest ? "1" : "2", MEMFILE_NEWEST, &length), *made = (char *)malloc(2 * length);
            mf_buffer body = member(proof, newest ? "\"newest\":\"" : "\"commit\":\"", &at, &old), text;
            mf_buffer_init(&text, &mf_mem_default);
            if (drop_pair(&body, pair)) {
                uint8_t digest[32];
                memfile_proof *p;
                memfile_error e;
                mf_base64_put(&text, mf_slice_of(body.data, body.length));
                size_t n = (size_t)sprintf(made, "%.*s%.*s%s", (int)at - 1, proof, (int)text.length, (const char *)text.data,
                                           proof + at + old + 1);
                mf_digest(digest, MF_LABEL_COMMIT, body.data, body.length);
                mf_hex_print(strstr(made, "\"history_digest\":\"") + 18, digest, 32);
                strstr(made, "\"history_digest\":\"")[18 + 64] = '"';
                bool hangs = pair != 2 && !(pair == 4 && newest) && !(pair == 6 && !newest);
                int rc = memfile_proof_check(made, n, &p, &e);
                if (rc != (hangs ? MEMFILE_E_DAMAGED : MEMFILE_OK))
                    fail_msg("pair %d of %s: %d, %s", pair, newest ? "newest" : "commit", rc, e.message);
                memfile_proof_free(p);
                if (hangs)
                    assert_non_null(strstr(e.message, pair == 4 && !newest   ? "the entry is none of its commit"
                                                  : pair == 6 && newest ? "not part of the history"
                                                                               : "does not hold"));
                dropped++;
            }
            mf_buffer_free(&text);
            mf_buffer_free(&body);
            free(made);
            free(proof);
        }
    assert_true(dropped >= 12);
    memfile_close(mf);
}

/* the tree of fan-out 16 and 2 for all small counts, against the tree hash itself */
static void test_paths_lead_to_the_tree_hash(void **state)
{
    (void)state;
    static mf_inclusion path;
    static mf_tree tree;
    for (unsigned fanout = 2; fanout <= 16; fanout += 14)
        for (uint64_t count = 1; count < 300; count += count < 40 ? 1 : 13)
            for (uint64_t index = 0; index < count; index += 1 + count / 12) {
                uint8_t hash[32] = {0}, ours[32], root[32], got[32];
                mf_tree_init(&tree, fanout);
                mf_inclusion_init(&path, fanout, index, &mf_mem_default);
                for (uint64_t i = 0; i < count; i++) {
                    hash[0] = (uint8_t)i;
                    hash[1] = (uint8_t)(i >> 8);
                    mf_tree_add(&tree, hash);
                    mf_inclusion_add(&path, hash);
                    if (i == index)
                        memcpy(ours, hash, 32);
                }
                mf_tree_root(&tree, root);
                mf_inclusion_end(&path);
                mf_slice s = mf_slice_of(path.path.data, path.path.length);
                assert_true(mf_inclusion_root(got, fanout, index, count, ours, s));
                assert_memory_equal(got, root, 32);
                assert_false(mf_inclusion_root(got, fanout, count, count, ours, s));
                if (s.length) {
                    s.length -= 32;
                    assert_false(mf_inclusion_root(got, fanout, index, count, ours, s));
                }
                mf_inclusion_free(&path);
            }
    uint8_t any[32] = {0}, got[32];
    assert_false(mf_inclusion_root(got, 2, 0, 0, any, mf_slice_of(NULL, 0)));
    assert_false(mf_inclusion_root(got, 2, 0, 1, any, mf_slice_of(any, 32)));
    assert_false(mf_inclusion_root(got, 16, UINT64_MAX - 1, UINT64_MAX, any, mf_slice_of(any, 32)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_at_all_places_of_commits_of_many_sizes),
        cmocka_unit_test(test_commits_at_all_places_of_histories_of_many_lengths),
        cmocka_unit_test(test_every_changed_byte_is_refused),
        cmocka_unit_test(test_what_a_proof_has_of_content_that_is_detached),
        cmocka_unit_test(test_proofs_from_memory_and_beside_a_torn_append),
        cmocka_unit_test(test_a_proof_stays_what_it_is_while_others_commit),
        cmocka_unit_test(test_what_is_not_there_or_is_damaged_is_not_proved),
        cmocka_unit_test(test_a_commit_that_lacks_something_proves_nothing),
        cmocka_unit_test(test_paths_lead_to_the_tree_hash),
    };
    if (memfile_key_generate(MEMFILE_SIGNER, &key, NULL) != MEMFILE_OK)
        return 1;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    memfile_key_free(key);
    return rc;
}
