/* commit, history: SPEC 8.6, 9, 13.2. */
#include "support.h"

#include "commit.h"
#include "fold.h"

static void commits_come_back(void **state)
{
    (void)state;
    for (uint64_t flags = 0; flags <= MF_COMMIT_FLAGS_KNOWN; flags++) {
        mf_commit k, back;
        mf_footer footer, read;
        mf_run runs[2] = {{MF_RUN_ITEMS, 0, 40, 4096, 128, 512}, {MF_RUN_ITEMS, 40, 2, 8192, 64, 64}};
        mf_dictionary_place places[1] = {{7, {800, 1600}}};
        uint8_t bytes[192];
        memfile_error e;
        mf_buffer b;
        bool logical = flags & MF_COMMIT_LOGICAL, full = flags & MF_COMMIT_FULL;
        memset(&k, 0, sizeof k);
        memset(&footer, 0, sizeof footer);
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)(i * 7 + 1);
        k.flags = flags;
        k.number = 5;
        k.first_entry = 42;
        k.entry_count = logical ? 3 : 0;
        k.group_length = 64;
        k.time_us = -12345;
        k.order = flags & MF_COMMIT_ORDER ? 99 : 0;
        memcpy(k.history_digest, bytes, 32);
        k.salt_index = logical ? 4096 : 0;
        memcpy(k.salt_root, bytes + 3, 16);
        k.parents = mf_slice_of(bytes, 64);
        k.author = mf_slice_of("Ann", 3);
        k.extra = mf_slice_of("\x0a\x01", 2);
        k.signatures = mf_slice_of(bytes, 96);
        k.columns = mf_slice_of(bytes, 17);
        k.footer_distance = 800;
        k.footer = &footer;
        footer.indexed_entries = 42;
        footer.frontier_count = 2; /* 5 = 4 + 1 */
        footer.run_count = 2;
        footer.runs = runs;
        footer.dictionary_count = 1;
        footer.dictionaries = places;
        footer.history_offset = 88;
        mf_buffer_init(&b, &mf_mem_default);
        mf_commit_encode(&b, &k);
        int rc = mf_commit_decode(&back, mf_slice_of(b.data, b.length), &read, &mf_mem_default, 100000, &e);
        /* SPEC 9.2: nothing to be inline, or salted; no parents, author, extra, signatures of its own */
        if (!logical && (flags & (MF_COMMIT_INLINE | MF_COMMIT_SALT | MF_COMMIT_PARENTS | MF_COMMIT_AUTHOR | MF_COMMIT_EXTRA |
                                 MF_COMMIT_SIGNATURES))) {
            assert_int_equal(rc, MEMFILE_E_DAMAGED);
            mf_buffer_free(&b);
            continue;
        }
        if (rc != MEMFILE_OK)
            fail_msg("flags %llx: %s", (unsigned long long)flags, e.message);
        assert_int_equal(back.number, 5);
        assert_int_equal(back.group_length, 64);
        assert_true(back.time_us == -12345);
        assert_int_equal(back.order, flags & MF_COMMIT_ORDER ? 99 : 0);
        assert_int_equal(back.author.length, flags & MF_COMMIT_AUTHOR ? 3 : 0);
        assert_int_equal(back.columns.length, flags & MF_COMMIT_INLINE ? 17 : 0);
        if (full) {
            assert_int_equal(read.run_count, 2);
            assert_int_equal(read.runs[1].first_entry, 40);
            assert_int_equal(read.runs[1].root_offset, 8192);
            assert_int_equal(read.dictionaries[0].offset[1], 1600);
        } else {
            assert_int_equal(back.footer_distance, 800);
        }
        mf_footer_free(&read, &mf_mem_default);
        /* cut anywhere before the columns, it does not decode, and nothing leaks */
        size_t whole = b.length - back.columns.length;
        for (size_t n = 0; n < whole; n++)
            assert_int_not_equal(mf_commit_decode(&back, mf_slice_of(b.data, n), &read, &mf_mem_default, 100000, &e), MEMFILE_OK);
        mf_buffer_free(&b);
    }
}

static void runs_that_do_not_cover_the_entries_are_refused(void **state)
{
    (void)state;
    mf_commit k, back;
    mf_footer footer, read;
    mf_run runs[1] = {{MF_RUN_ITEMS, 0, 41, 4096, 128, 512}};
    memfile_error e;
    mf_buffer b;
    memset(&k, 0, sizeof k);
    memset(&footer, 0, sizeof footer);
    k.flags = MF_COMMIT_LOGICAL | MF_COMMIT_FULL;
    footer.indexed_entries = 42;
    footer.run_count = 1;
    footer.runs = runs;
    k.footer = &footer;
    mf_buffer_init(&b, &mf_mem_default);
    mf_commit_encode(&b, &k);
    assert_int_equal(mf_commit_decode(&back, mf_slice_of(b.data, b.length), &read, &mf_mem_default, 100000, &e),
                     MEMFILE_E_DAMAGED);
    mf_buffer_free(&b);
}

static void digest_of(uint8_t out[32], uint64_t flags, const char *parents)
{
    static const uint8_t memory[16] = {1}, before[32] = {2};
    mf_fold fold;
    mf_history_row row;
    memset(&row, 0, sizeof row);
    row.flags = flags;
    row.parents = mf_slice_of(parents, strlen(parents));
    mf_fold_init(&fold, memory, &mf_mem_default);
    mf_fold_adopt(&fold, 0, before, NULL);
    assert_int_equal(mf_fold_end(&fold, 1, &row), 0);
    memcpy(out, fold.digest, 32);
}

/* SPEC 8.6, 9.1: the pairs of the body, written here by hand. */
static void a_digest_has_the_parents_that_the_commit_names(void **state)
{
    (void)state;
    static const uint8_t before[32] = {2};
    uint8_t body[256], expected[32], got[32];
    const struct {
        uint64_t flags;
        const char *named;
        const uint8_t *parent; /* in the body */
    } cases[] = {
        {0, "", before},
        {MF_COMMIT_PARENTS, "", NULL},
        {MF_COMMIT_PARENTS, "another history's newest commit.", (const uint8_t *)"another history's newest commit."},
    };
    for (size_t i = 0; i < 3; i++) {
        mf_buffer b;
        mf_buffer_init(&b, &mf_mem_default);
        mf_put_u8(&b, cases[i].parent ? 0xa7 : 0xa6);
        mf_put_bytes(&b, "\x01\x50\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18); /* 1: Memory_Id */
        if (cases[i].parent) {
            mf_put_bytes(&b, "\x02\x81\x58\x20", 4); /* 2: an array of one */
            mf_put_bytes(&b, cases[i].parent, 32);
        }
        mf_put_bytes(&b, "\x03\x00\x05\x01\x06\x58\x20", 7); /* 3: no entries; 5: one commit before; 6: its log */
        mf_put_bytes(&b, before, 32);
        mf_put_bytes(&b, "\x07\x00\x08\x00", 4);
        assert_true(b.length <= sizeof body);
        memcpy(body, b.data, b.length);
        mf_digest(expected, MF_LABEL_COMMIT, body, b.length);
        mf_buffer_free(&b);
        digest_of(got, cases[i].flags, cases[i].named);
        assert_memory_equal(got, expected, 32);
    }
}

static void parents_that_do_not_rise_are_damage(void **state)
{
    (void)state;
    static const char *const lists[] = {"11111111111111111111111111111111" "22222222222222222222222222222222",
                                        "22222222222222222222222222222222" "11111111111111111111111111111111",
                                        "11111111111111111111111111111111" "11111111111111111111111111111111"};
    for (size_t i = 0; i < 3; i++) {
        mf_commit k, back;
        mf_buffer b;
        memfile_error e;
        memset(&k, 0, sizeof k);
        k.flags = MF_COMMIT_LOGICAL | MF_COMMIT_PARENTS;
        k.parents = mf_slice_of(lists[i], 64);
        k.footer_distance = 80;
        mf_buffer_init(&b, &mf_mem_default);
        mf_commit_encode(&b, &k);
        assert_int_equal(mf_commit_decode(&back, mf_slice_of(b.data, b.length), NULL, &mf_mem_default, 800, &e),
                         i == 0 ? MEMFILE_OK : MEMFILE_E_DAMAGED);
        mf_buffer_free(&b);
    }
}

/* SPEC 9.2: a logical commit may be without entries; salts and blocks go with entries only. */
static void salts_and_blocks_go_with_entries_only(void **state)
{
    (void)state;
    static const struct {
        uint64_t flags;
        uint64_t entries;
        int rc;
    } cases[] = {{MF_COMMIT_LOGICAL, 0, MEMFILE_OK},
                 {MF_COMMIT_LOGICAL | MF_COMMIT_SALT, 1, MEMFILE_OK},
                 {MF_COMMIT_LOGICAL | MF_COMMIT_SALT, 0, MEMFILE_E_DAMAGED},
                 {MF_COMMIT_LOGICAL | MF_COMMIT_INLINE, 0, MEMFILE_E_DAMAGED},
                 {MF_COMMIT_ORDER, 0, MEMFILE_OK},
                 {MF_COMMIT_ORDER | MF_COMMIT_SALT, 0, MEMFILE_E_DAMAGED},
                 {MF_COMMIT_ORDER | MF_COMMIT_PARENTS, 0, MEMFILE_E_DAMAGED},
                 {MF_COMMIT_ORDER, 1, MEMFILE_E_DAMAGED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_commit k, back;
        mf_buffer b;
        memfile_error e;
        memset(&k, 0, sizeof k);
        k.flags = cases[i].flags;
        k.entry_count = cases[i].entries;
        k.footer_distance = 80;
        k.columns = mf_slice_of("x", k.flags & MF_COMMIT_INLINE ? 1 : 0);
        mf_buffer_init(&b, &mf_mem_default);
        mf_commit_encode(&b, &k);
        int rc = mf_commit_decode(&back, mf_slice_of(b.data, b.length), NULL, &mf_mem_default, 800, &e);
        if (rc != cases[i].rc)
            fail_msg("case %zu: %d", i, rc);
        mf_buffer_free(&b);
    }
}

static void folded_commits_come_back(void **state)
{
    (void)state;
    enum { ROWS = 500 };
    static mf_history_row rows[ROWS];
    static mf_salt_node nodes[ROWS];
    mf_history h = {10, 77, ROWS, 0, rows, nodes}, back;
    mf_arena arena;
    mf_buffer b;
    memfile_error e;
    uint64_t seed = 2;
    for (uint32_t i = 0; i < ROWS; i++) {
        mf_history_row *r = &rows[i];
        memset(r, 0, sizeof *r);
        r->flags = (i % 3 ? 0 : MF_COMMIT_SALT) | (i % 5 ? 0 : MF_COMMIT_ORDER) | (i % 7 ? 0 : MF_COMMIT_AUTHOR) |
                   (i % 11 ? 0 : MF_COMMIT_PARENTS) | (i % 13 ? 0 : MF_COMMIT_EXTRA);
        r->count = next_random(&seed) % 4;
        r->time_us = 1700000000000000 + (int64_t)(next_random(&seed) % 1000000) - 500000;
        r->order = i % 5 ? (uint64_t)r->time_us : next_random(&seed);
        r->salt_index = r->count ? next_random(&seed) % 100000 : 0;
        r->author = mf_slice_of("Ben", i % 7 ? 0 : 3);
        r->parents = mf_slice_of("0123456789abcdef0123456789abcdef", i % 11 ? 0 : 32);
        r->extra = mf_slice_of("\x0b\x01", i % 13 ? 0 : 2);
        if (i % 3 == 0) {
            r->salt_first = h.node_count;
            r->salt_count = 1;
            nodes[h.node_count++] = (mf_salt_node){(uint8_t)(i % 17), 0, {1, 2, 3}};
        }
    }
    mf_buffer_init(&b, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    mf_history_encode(&b, &h);
    assert_false(b.failed);
    assert_int_equal(mf_history_decode(&back, mf_slice_of(b.data, b.length), &arena, 0, &e), MEMFILE_OK);
    assert_int_equal(back.row_count, ROWS);
    assert_int_equal(back.first_number, 10);
    for (uint32_t i = 0; i < ROWS; i++) {
        assert_int_equal(back.rows[i].flags, rows[i].flags);
        assert_int_equal(back.rows[i].count, rows[i].count);
        assert_true(back.rows[i].time_us == rows[i].time_us);
        assert_true(back.rows[i].order == rows[i].order);
        assert_int_equal(back.rows[i].salt_index, rows[i].salt_index);
        assert_true(mf_slice_equal(back.rows[i].author, rows[i].author));
        assert_true(mf_slice_equal(back.rows[i].parents, rows[i].parents));
        assert_true(mf_slice_equal(back.rows[i].extra, rows[i].extra));
    }
    for (size_t n = 0; n < b.length; n += 17) {
        mf_arena_reset(&arena);
        assert_int_equal(mf_history_decode(&back, mf_slice_of(b.data, n), &arena, 0, &e), MEMFILE_E_DAMAGED);
    }
    mf_arena_free(&arena);
    mf_buffer_free(&b);
}

/* SPEC 8.6: keys are integers from 10, or text; they rise bytewise. */
static void further_members_of_a_commit_are_in_order(void **state)
{
    (void)state;
    static const struct {
        const char *extra;
        size_t length;
        bool sound;
    } cases[] = {
#define S(x, sound) {x, sizeof(x) - 1, sound}
        S("", true),
        S("\x0a\x01", true),
        S("\x09\x01", false),             /* 9 is ours */
        S("\x0a\x01\x0b\x01", true),
        S("\x0b\x01\x0a\x01", false),
        S("\x0a\x01\x0a\x01", false),     /* twice */
        S("\x61" "a\x01", true),
        S("\x0a\x01\x61" "a\x01", true),
        S("\x61" "a\x01\x0a\x01", false),
        S("\x61" "a\x01\x61" "a\x02", false),
        S("\x61" "b\x01\x62" "aa\x02", true),
        S("\x2a\x01", false),             /* -11 */
        S("\x41" "a\x01", false),         /* bytes */
        S("\x80\x01", false),
        S("\x0a", false),                 /* no value */
        S("\x0a\x61", false),
        S("\x18\x18\x01", true),
        S("\x18\x0b\x01", false),         /* 11 in two bytes */
        S("\x61\xff\x01", false)
#undef S
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (mf_commit_text_is_sound(mf_slice_of("Ann", 3), mf_slice_of(cases[i].extra, cases[i].length)) != cases[i].sound)
            fail_msg("case %zu", i);
    assert_false(mf_commit_text_is_sound(mf_slice_of("\xff", 1), mf_slice_of("", 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commits_come_back),
        cmocka_unit_test(runs_that_do_not_cover_the_entries_are_refused),
        cmocka_unit_test(a_digest_has_the_parents_that_the_commit_names),
        cmocka_unit_test(parents_that_do_not_rise_are_damage),
        cmocka_unit_test(salts_and_blocks_go_with_entries_only),
        cmocka_unit_test(further_members_of_a_commit_are_in_order),
        cmocka_unit_test(folded_commits_come_back),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
