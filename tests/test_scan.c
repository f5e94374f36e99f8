/* scan: all blocks in order of entries, decoded ahead. */
#include "support.h"

#include "handle.h"

enum { FIRST = 3000, LATER = 20, ENTRIES = FIRST + LATER };

static void text_of(uint64_t i, char out[80])
{
    snprintf(out, 80, "the text of entry %llu, long enough for some blocks of them", (unsigned long long)i);
}

/* Entry i has the id n<i>: 3000 in blocks under a run, 20 in the tail. */
static void make(const char *path)
{
    memfile *mf = create_file(path);
    char id[16], text[80];
    for (uint64_t i = 0; i < ENTRIES; i++) {
        snprintf(id, sizeof id, "n%d", (int)i);
        text_of(i, text);
        put_text(mf, id, text);
        if (i >= FIRST - 1)
            commit_ok(mf);
    }
    memfile_close(mf);
}

static void check_row(mf_block *block, uint32_t row, uint64_t entry, bool content)
{
    char id[16], text[80];
    snprintf(id, sizeof id, "n%d", (int)entry);
    mf_id got = mf_block_id(block, row);
    assert_int_equal(got.length, strlen(id));
    assert_memory_equal(got.data, id, got.length);
    if (content) {
        text_of(entry, text);
        assert_true(mf_slice_equal(mf_block_text(block, row), mf_slice_of(text, strlen(text))));
    }
}

/* Takes blocks until the entry `until`; returns the first entry that was not given. */
static uint64_t go_on(mf_scan *sc, uint64_t from, uint64_t until, bool content, int *rc, memfile_error *e)
{
    mf_scan_slot *slot;
    *rc = MEMFILE_OK;
    while (from < until && (*rc = mf_scan_next(sc, &slot, e)) == MEMFILE_OK) {
        assert_true(slot->first_entry <= from);
        for (uint64_t i = slot->first_entry; i < slot->first_entry + slot->block.rows; i++)
            check_row(&slot->block, (uint32_t)(i - slot->first_entry), i, content);
        from = slot->first_entry + slot->block.rows;
    }
    return from;
}

static void all_entries_come_once_in_order_with_any_number_of_threads(void **state)
{
    (void)state;
    const char *path = temp_path("scan");
    static const unsigned threads[] = {0, 1, 2, 7};
    memfile_error e;
    mf_scan_slot *slot;
    int rc;
    make(path);
    memfile *mf = open_file(path, MEMFILE_READ);
    assert_int_equal(mf->store.state->tail_count, LATER);
    for (size_t t = 0; t < 4; t++)
        for (int content = 0; content < 2; content++) {
            mf_scan sc;
            assert_int_equal(mf_scan_open(&sc, &mf->store, 0, ENTRIES, content, threads[t], &e), MEMFILE_OK);
            assert_int_equal(go_on(&sc, 0, ENTRIES, content, &rc, &e), ENTRIES);
            assert_int_equal(mf_scan_next(&sc, &slot, &e), MEMFILE_DONE);
            assert_null(slot);
            assert_int_equal(mf_scan_next(&sc, &slot, &e), MEMFILE_DONE);
            mf_scan_close(&sc);
            mf_scan_close(&sc);
        }
    memfile_close(mf);
}

static void a_scan_begins_and_ends_where_it_is_told(void **state)
{
    (void)state;
    const char *path = temp_path("bounds");
    static const uint64_t places[] = {0, 1, 77, 1500, FIRST - 1, FIRST, FIRST + 1, ENTRIES - 1, ENTRIES};
    memfile_error e;
    make(path);
    memfile *mf = open_file(path, MEMFILE_READ);
    for (size_t a = 0; a < sizeof places / sizeof *places; a++)
        for (size_t b = a + 1; b < sizeof places / sizeof *places; b++)
            for (unsigned threads = 1; threads < 4; threads += 2) {
                mf_scan sc;
                mf_scan_slot *slot;
                uint64_t next = places[a], blocks = 0;
                int rc;
                assert_int_equal(mf_scan_open(&sc, &mf->store, places[a], places[b], true, threads, &e), MEMFILE_OK);
                while ((rc = mf_scan_next(&sc, &slot, &e)) == MEMFILE_OK) {
                    assert_true(slot->first_entry <= next); /* the first block may begin before */
                    if (blocks++ > 0)
                        assert_int_equal(slot->first_entry, next);
                    assert_true(slot->first_entry < places[b]); /* and none begins behind the end */
                    next = slot->first_entry + slot->block.rows;
                }
                assert_int_equal(rc, MEMFILE_DONE);
                assert_true(next >= places[b]);
                mf_scan_close(&sc);
            }
    memfile_close(mf);
}

static void an_empty_range_gives_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("empty");
    mf_scan sc;
    mf_scan_slot *slot;
    memfile_error e;
    memfile *mf = create_file(path);
    assert_int_equal(mf_scan_open(&sc, &mf->store, 0, 0, true, 1, &e), MEMFILE_OK);
    assert_int_equal(mf_scan_next(&sc, &slot, &e), MEMFILE_DONE);
    mf_scan_close(&sc);
    /* more entries than there are: that is damage, not the end */
    assert_int_equal(mf_scan_open(&sc, &mf->store, 0, 5, true, 1, &e), MEMFILE_OK);
    assert_int_equal(mf_scan_next(&sc, &slot, &e), MEMFILE_E_DAMAGED);
    mf_scan_close(&sc);
    memfile_close(mf);
}

static void a_scan_may_be_left_at_any_place(void **state)
{
    (void)state;
    const char *path = temp_path("left");
    memfile_error e;
    int rc;
    make(path);
    memfile *mf = open_file(path, MEMFILE_READ);
    for (uint64_t stop = 0; stop < ENTRIES; stop += 400)
        for (unsigned threads = 1; threads <= 4; threads++) {
            mf_scan sc;
            assert_int_equal(mf_scan_open(&sc, &mf->store, 0, ENTRIES, true, threads, &e), MEMFILE_OK);
            go_on(&sc, 0, stop, true, &rc, &e);
            mf_scan_close(&sc);
        }
    memfile_close(mf);
}

/* The file is compacted by somebody else and the handle follows: the same entries stand at other
 * places. What was not yet asked for must be looked up anew. */
static void a_scan_goes_on_in_a_file_that_took_the_others_place(void **state)
{
    (void)state;
    const char *path = temp_path("moved");
    memfile_error e;
    int rc;
    for (uint64_t stop = 1; stop < ENTRIES; stop += 500) {
        mf_scan sc;
        mf_scan_slot *slot;
        make(path);
        memfile *mf = open_file(path, MEMFILE_READ);
        assert_int_equal(mf_scan_open(&sc, &mf->store, 0, ENTRIES, true, 1, &e), MEMFILE_OK);
        uint64_t next = go_on(&sc, 0, stop, true, &rc, &e);
        uint64_t before = mf->store.generation;
        assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
        assert_int_equal(memfile_refresh(mf), MEMFILE_OK);
        assert_true(mf->store.generation != before);
        next = go_on(&sc, next, ENTRIES, true, &rc, &e);
        if (next != ENTRIES)
            fail_msg("stopped at %llu: entry %llu: %s", (unsigned long long)stop, (unsigned long long)next, e.message);
        assert_int_equal(mf_scan_next(&sc, &slot, &e), MEMFILE_DONE);
        mf_scan_close(&sc);
        memfile_close(mf);
        unlink(path);
    }
}

/* The same where blocks need a dictionary: those that were read ahead still need the old one. */
static void a_scan_goes_on_with_the_dictionary_of_the_file_that_was_replaced(void **state)
{
    (void)state;
    const char *path = temp_path("dictionaries");
    memfile_error e;
    memfile_info info;
    int rc;
    char id[16], text[80];
    for (uint32_t threads = 1; threads <= 16; threads += 5) {
        mf_scan sc;
        mf_scan_slot *slot;
        unlink(path);
        memfile *mf = create_file(path);
        for (uint64_t i = 0; i < ENTRIES; i++) {
            snprintf(id, sizeof id, "n%d", (int)i);
            text_of(i, text);
            put_text(mf, id, text);
        }
        commit_ok(mf);
        memfile_close(mf);
        assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
        mf = open_file(path, MEMFILE_READ);
        memfile_get_info(mf, &info, sizeof info);
        assert_true(info.dictionaries > 0);
        assert_int_equal(mf_scan_open(&sc, &mf->store, 0, ENTRIES, true, threads, &e), MEMFILE_OK);
        assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
        uint64_t next = go_on(&sc, 0, 1, true, &rc, &e);
        assert_int_equal(memfile_refresh(mf), MEMFILE_OK); /* at once, while others are being decoded */
        assert_int_equal(sc.current->segment.codec, MF_CODEC_ZSTD_DICTIONARY);
        assert_true(next < ENTRIES / 2);
        next = go_on(&sc, next, ENTRIES, true, &rc, &e);
        if (next != ENTRIES)
            fail_msg("entry %llu: %s", (unsigned long long)next, e.message);
        assert_int_equal(mf_scan_next(&sc, &slot, &e), MEMFILE_DONE);
        mf_scan_close(&sc);
        memfile_close(mf);
    }
}

/* The handle commits meanwhile, so often that the tail becomes a run. */
static void a_scan_goes_on_while_the_tail_becomes_a_run(void **state)
{
    (void)state;
    const char *path = temp_path("tail");
    memfile_error e;
    int rc;
    mf_scan sc;
    mf_scan_slot *slot;
    make(path);
    memfile *mf = open_file(path, MEMFILE_WRITE);
    assert_int_equal(mf_scan_open(&sc, &mf->store, FIRST + 2, ENTRIES, true, 1, &e), MEMFILE_OK);
    uint64_t next = go_on(&sc, FIRST + 2, FIRST + 5, true, &rc, &e);
    for (int i = 0; i < 70; i++) {
        put_text(mf, NULL, "more");
        commit_ok(mf);
    }
    assert_true(mf->store.state->footer.indexed_entries > ENTRIES);
    assert_int_equal(go_on(&sc, next, ENTRIES, true, &rc, &e), ENTRIES);
    assert_int_equal(mf_scan_next(&sc, &slot, &e), MEMFILE_DONE);
    mf_scan_close(&sc);
    memfile_close(mf);
}

/* Without the index, by the blocks that a walk over the file finds. */
static void a_scan_goes_on_when_the_state_was_rebuilt(void **state)
{
    (void)state;
    const char *path = temp_path("rebuilt");
    memfile_error e;
    int rc;
    make(path);
    for (uint64_t stop = 0; stop < ENTRIES; stop += 300) {
        mf_scan sc;
        mf_scan_slot *slot;
        memfile *mf = open_file(path, MEMFILE_READ);
        assert_int_equal(mf_scan_open(&sc, &mf->store, 0, ENTRIES, true, 2, &e), MEMFILE_OK);
        uint64_t next = go_on(&sc, 0, stop, true, &rc, &e);
        assert_int_equal(mf_store_rebuild(&mf->store, &e), MEMFILE_OK);
        assert_int_equal(go_on(&sc, next, ENTRIES, true, &rc, &e), ENTRIES);
        assert_int_equal(mf_scan_next(&sc, &slot, &e), MEMFILE_DONE);
        assert_int_equal(sc.skipped, 0);
        mf_scan_close(&sc);
        memfile_close(mf);
    }
}

static void a_damaged_block_is_an_error_in_its_place(void **state)
{
    (void)state;
    const char *path = temp_path("damaged");
    memfile_error e;
    mf_store st;
    size_t length, blocks = 0, hit = 0;
    static mf_segment segments[400];
    make(path);
    uint8_t *bytes = read_file(path, &length);
    size_t count = segments_of(bytes, length, segments, 400);
    for (size_t i = 0; i < count; i++)
        if (segments[i].type == MF_TYPE_RECORDS && ++blocks == 4)
            hit = i;
    assert_true(blocks > 6);
    bytes[segments[hit].offset + 90] ^= 4;
    for (unsigned threads = 1; threads < 4; threads++) {
        mf_scan sc;
        mf_scan_slot *slot;
        uint64_t next = 0;
        int rc, given = 0;
        assert_int_equal(store_of_memory(&st, bytes, length, 1 << 20, &e), MEMFILE_OK);
        assert_int_equal(mf_scan_open(&sc, &st, 0, ENTRIES, true, threads, &e), MEMFILE_OK);
        while ((rc = mf_scan_next(&sc, &slot, &e)) == MEMFILE_OK) {
            given++;
            next = slot->first_entry + slot->block.rows;
        }
        assert_int_equal(rc, MEMFILE_E_DAMAGED);
        assert_null(slot);
        assert_int_equal(given, 3); /* those before it, all of them */
        assert_int_equal(e.offset, segments[hit].offset);
        mf_scan_close(&sc);
        /* rebuilt: all others, and the number of the lost at the end instead of DONE */
        assert_int_equal(mf_store_rebuild(&st, &e), MEMFILE_OK);
        uint64_t entries = 0, lost = 0;
        assert_int_equal(mf_scan_open(&sc, &st, 0, ENTRIES, true, threads, &e), MEMFILE_OK);
        while ((rc = mf_scan_next(&sc, &slot, &e)) == MEMFILE_OK) {
            if (slot->first_entry > entries + lost) {
                assert_int_equal(entries, next); /* the gap is where the damaged block was */
                lost = slot->first_entry - entries;
            }
            entries += slot->block.rows;
        }
        assert_int_equal(rc, MEMFILE_E_DAMAGED);
        assert_true(lost > 0);
        assert_int_equal(entries + lost, ENTRIES);
        assert_int_equal(sc.skipped, lost);
        mf_scan_close(&sc);
        mf_store_close(&st);
    }
    free(bytes);
}

/* "Passes the cache by, so that a long scan does not push out what is in use." */
static void a_scan_puts_no_block_into_the_cache(void **state)
{
    (void)state;
    const char *path = temp_path("cache");
    memfile_error e;
    int rc;
    mf_scan sc;
    make(path);
    memfile *mf = open_file(path, MEMFILE_READ);
    assert_int_equal(mf_scan_open(&sc, &mf->store, 0, ENTRIES, true, 1, &e), MEMFILE_OK);
    assert_int_equal(go_on(&sc, 0, ENTRIES, true, &rc, &e), ENTRIES);
    mf_scan_close(&sc);
    for (mf_object *o = mf->store.newest; o; o = o->older)
        assert_true(o->is_page);
    memfile_close(mf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_entries_come_once_in_order_with_any_number_of_threads),
        cmocka_unit_test(a_scan_begins_and_ends_where_it_is_told),
        cmocka_unit_test(an_empty_range_gives_nothing),
        cmocka_unit_test(a_scan_may_be_left_at_any_place),
        cmocka_unit_test(a_scan_goes_on_in_a_file_that_took_the_others_place),
        cmocka_unit_test(a_scan_goes_on_with_the_dictionary_of_the_file_that_was_replaced),
        cmocka_unit_test(a_scan_goes_on_while_the_tail_becomes_a_run),
        cmocka_unit_test(a_scan_goes_on_when_the_state_was_rebuilt),
        cmocka_unit_test(a_damaged_block_is_an_error_in_its_place),
        cmocka_unit_test(a_scan_puts_no_block_into_the_cache),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
