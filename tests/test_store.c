/* store: an open file as readers see it: state, cache, segments, look-ups. SPEC 9, 10, 15. */
#include "support.h"

#include "handle.h"

enum { FIRST = 2000, LATER = 30, ENTRIES = FIRST + LATER };

#define LONGER ", which goes on for a while, so that a dictionary is worth its bytes"

static unsigned id_of(uint64_t i)
{
    return (unsigned)(i * 7919 % 1500); /* so that some come again */
}
static int key_of(uint64_t i)
{
    return i % 5 == 0 ? (int)(i * 31 % 97) : -1;
}

static void make(const char *path)
{
    memfile *mf = create_file(path);
    char json[300];
    for (uint64_t i = 0; i < ENTRIES; i++) {
        int n = snprintf(json, sizeof json, "{\"id\":\"m%u\",\"text\":\"the text of entry %d" LONGER "\"", id_of(i), (int)i);
        if (key_of(i) >= 0)
            n += snprintf(json + n, sizeof json - (size_t)n, ",\"key\":\"k%d\",\"scope\":[\"s\"],\"idempotency_key\":\"once%d\"",
                          key_of(i), (int)i);
        snprintf(json + n, sizeof json - (size_t)n, "}");
        assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
        if (i >= FIRST - 1)
            commit_ok(mf);
    }
    memfile_close(mf);
}

typedef struct sample {
    uint8_t *bytes;
    size_t length, count;
    mf_segment segments[600];
} sample;

static sample take(const char *path)
{
    sample s;
    s.bytes = read_file(path, &s.length);
    s.count = segments_of(s.bytes, s.length, s.segments, 600);
    return s;
}

static int refresh(mf_store *st, memfile_error *err)
{
    uint64_t size;
    int moved;
    assert_int_equal(st->io->functions->look(st->io, &moved, &size, err), MEMFILE_OK);
    return mf_store_refresh(st, size, err);
}

static void what_is_no_whole_file_is_not_opened(void **state)
{
    (void)state;
    const char *path = temp_path("open");
    mf_store st;
    memfile_error e;
    make(path);
    sample s = take(path);
    size_t first_end = (size_t)(80 + mf_segment_total(&s.segments[0]));
    for (size_t n = 0; n < first_end; n++) {
        int rc = store_of_memory(&st, s.bytes, n, 0, &e);
        if (n < 12)
            assert_int_equal(rc, MEMFILE_E_NOT_MEMFILE);
        else if (n < 80 + 64)
            assert_int_equal(rc, MEMFILE_E_TRUNCATED);
        else
            assert_int_equal(rc, MEMFILE_E_DAMAGED); /* no commit is there */
    }
    assert_int_equal(store_of_memory(&st, s.bytes, first_end, 0, &e), MEMFILE_OK);
    assert_int_equal(st.state->entries, 0);
    assert_int_equal(st.state->number, 0);
    mf_store_close(&st);
    s.bytes[14] = 1; /* SPEC 3: sealed */
    mf_store64(s.bytes + 72, mf_checksum(s.bytes, 72));
    assert_int_equal(store_of_memory(&st, s.bytes, s.length, 0, &e), MEMFILE_E_KEY);
    free(s.bytes);
}

static void the_state_is_what_the_newest_commit_says(void **state)
{
    (void)state;
    const char *path = temp_path("state");
    mf_store st;
    memfile_error e;
    make(path);
    sample s = take(path);
    uint64_t commits = 0;
    for (size_t i = 0; i < s.count; i++) {
        if (!(s.segments[i].flags & MF_FLAG_COMMIT))
            continue;
        /* SPEC 2.3: every prefix that ends at the end of a commit is a complete memfile */
        uint64_t end = s.segments[i].offset + mf_segment_total(&s.segments[i]);
        assert_int_equal(store_of_memory(&st, s.bytes, (size_t)end, 1 << 20, &e), MEMFILE_OK);
        assert_int_equal(st.state->number, commits);
        assert_int_equal(st.state->entries, commits ? FIRST - 1 + commits : 0);
        assert_int_equal(st.state->end, end);
        assert_int_equal(st.state->commit_offset, s.segments[i].offset);
        assert_int_equal(st.state->previous_commit, s.segments[i].previous_commit);
        assert_false(st.state->unfinished_is_damage);
        mf_store_close(&st);
        commits++;
    }
    assert_int_equal(commits, LATER + 2);
    free(s.bytes);
}

static bool row_is(mf_object *o, uint32_t row, uint64_t entry)
{
    char id[16];
    snprintf(id, sizeof id, "m%u", id_of(entry));
    mf_id got = mf_block_id(&o->block, row);
    return o->first_entry + row == entry && got.length == strlen(id) && memcmp(got.data, id, got.length) == 0;
}

/* By number, id, key and idempotency key; for every bound that matters, against a plain look. */
static void look_ups_find_the_newest_below_the_bound(void **state)
{
    (void)state;
    const char *path = temp_path("lookup");
    mf_store st;
    memfile_error e;
    mf_object *o;
    uint32_t row;
    make(path);
    sample s = take(path);
    assert_int_equal(store_of_memory(&st, s.bytes, s.length, 1 << 20, &e), MEMFILE_OK);
    for (uint64_t i = 0; i < ENTRIES; i += 7) {
        assert_int_equal(mf_store_entry(&st, i, &o, &row, &e), MEMFILE_OK);
        assert_true(row_is(o, row, i));
        mf_store_release(&st, o);
    }
    assert_int_equal(mf_store_entry(&st, ENTRIES, &o, &row, &e), MEMFILE_E_NOT_FOUND);
    assert_int_equal(mf_store_entry(&st, UINT64_MAX, &o, &row, &e), MEMFILE_E_NOT_FOUND);
    assert_null(o);
    static const uint64_t limits[] = {1, 2, 700, FIRST - 1, FIRST, FIRST + 1, ENTRIES - 1, ENTRIES, UINT64_MAX};
    const mf_slice scope[1] = {{(const uint8_t *)"s", 1}};
    for (size_t l = 0; l < sizeof limits / sizeof *limits; l++) {
        uint64_t end = limits[l] < ENTRIES ? limits[l] : ENTRIES;
        for (unsigned id = 0; id < 1600; id += 13) {
            char text[16];
            uint64_t expected = UINT64_MAX;
            for (uint64_t i = 0; i < end; i++)
                if (id_of(i) == id)
                    expected = i;
            snprintf(text, sizeof text, "m%u", id);
            mf_id wanted = {(const uint8_t *)text, (uint32_t)strlen(text), false};
            int rc = mf_store_id(&st, wanted, limits[l], &o, &row, &e);
            assert_int_equal(rc, expected == UINT64_MAX ? MEMFILE_E_NOT_FOUND : MEMFILE_OK);
            if (rc == MEMFILE_OK) {
                assert_int_equal(o->first_entry + row, expected);
                mf_store_release(&st, o);
            } else {
                assert_null(o);
            }
        }
        for (int key = 0; key < 100; key += 3) {
            char text[16];
            uint64_t expected = UINT64_MAX;
            for (uint64_t i = 0; i < end; i++)
                if (key_of(i) == key)
                    expected = i;
            snprintf(text, sizeof text, "k%d", key);
            int rc = mf_store_key(&st, scope, 1, mf_slice_of(text, strlen(text)), limits[l], &o, &row, &e);
            assert_int_equal(rc, expected == UINT64_MAX ? MEMFILE_E_NOT_FOUND : MEMFILE_OK);
            if (rc == MEMFILE_OK) {
                assert_int_equal(o->first_entry + row, expected);
                mf_store_release(&st, o);
            }
            /* the same key in another scope is another */
            assert_int_equal(mf_store_key(&st, NULL, 0, mf_slice_of(text, strlen(text)), limits[l], &o, &row, &e), MEMFILE_E_NOT_FOUND);
        }
    }
    for (uint64_t i = 0; i < ENTRIES; i += 11) {
        char text[16];
        snprintf(text, sizeof text, "once%d", (int)i);
        int rc = mf_store_idempotency(&st, mf_slice_of(text, strlen(text)), &o, &row, &e);
        assert_int_equal(rc, i % 5 == 0 ? MEMFILE_OK : MEMFILE_E_NOT_FOUND);
        if (rc == MEMFILE_OK) {
            assert_int_equal(o->first_entry + row, i);
            mf_store_release(&st, o);
        }
    }
    mf_store_close(&st);
    free(s.bytes);
}

/* SPEC 10.2: superseded by the next later entry with the same id, or the same scope and key */
static void fates_are_those_of_the_next_later_entry(void **state)
{
    (void)state;
    const char *path = temp_path("fates");
    mf_store st;
    memfile_error e;
    make(path);
    sample s = take(path);
    assert_int_equal(store_of_memory(&st, s.bytes, s.length, 1 << 20, &e), MEMFILE_OK);
    static const uint64_t limits[] = {0, 1000, FIRST, FIRST + 5, ENTRIES};
    for (uint64_t i = 0; i < ENTRIES; i += 3)
        for (size_t l = 0; l < sizeof limits / sizeof *limits; l++) {
            uint64_t by_id = UINT64_MAX, by_key = UINT64_MAX, by = 0;
            for (uint64_t k = ENTRIES; k-- > i + 1;) {
                by_id = id_of(k) == id_of(i) ? k : by_id;
                by_key = key_of(i) >= 0 && key_of(k) == key_of(i) ? k : by_key;
            }
            int rc = mf_store_fate(&st, i, limits[l], &by, &e);
            bool fallen = by_id < limits[l] || by_key < limits[l];
            assert_int_equal(rc, fallen ? MEMFILE_OK : MEMFILE_DONE);
            if (fallen)
                assert_true(by == by_id || by == by_key);
        }
    mf_store_close(&st);
    free(s.bytes);
}

static void entries_as_of_a_commit_are_known(void **state)
{
    (void)state;
    const char *path = temp_path("asof");
    memfile_error e;
    uint64_t n;
    memfile *mf = create_file(path);
    uint64_t at[200] = {0};
    for (uint64_t c = 1; c < 200; c++) {
        for (uint64_t i = 0; i < c % 4 + 1; i++)
            put_text(mf, NULL, "x");
        commit_ok(mf);
        at[c] = at[c - 1] + c % 4 + 1;
        for (uint64_t k = c > 70 && c % 50 ? c - 2 : 0; k <= c; k++) {
            assert_int_equal(mf_store_entries_at(&mf->store, k, &n, &e), MEMFILE_OK);
            assert_int_equal(n, at[k]);
        }
        assert_int_equal(mf_store_entries_at(&mf->store, UINT64_MAX, &n, &e), MEMFILE_OK);
        assert_int_equal(n, at[c]);
        assert_int_equal(mf_store_entries_at(&mf->store, c + 1, &n, &e), MEMFILE_E_NOT_FOUND);
        assert_int_equal(n, 0);
    }
    memfile_close(mf);
}

/* SPEC 15.2: alignment, bounds, soundness, before anything is allocated or used */
static void references_that_lead_nowhere_are_damage(void **state)
{
    (void)state;
    const char *path = temp_path("references");
    mf_store st;
    memfile_error e;
    mf_segment segment;
    mf_object *o;
    uint8_t *raw;
    make(path);
    sample s = take(path);
    assert_int_equal(store_of_memory(&st, s.bytes, s.length, 1 << 20, &e), MEMFILE_OK);
    uint64_t place = s.segments[2].offset, total = mf_segment_total(&s.segments[2]);
    static const uint64_t nowhere[] = {0, 8, 72, 81, 84, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        assert_int_equal(mf_store_segment(&st, nowhere[i], 0, &segment, &raw, &e), MEMFILE_E_DAMAGED);
        assert_null(raw);
        assert_int_equal(mf_store_block(&st, nowhere[i], &o, &e), MEMFILE_E_DAMAGED);
        assert_null(o);
    }
    assert_int_equal(mf_store_segment(&st, s.length, 0, &segment, &raw, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_store_segment(&st, s.length - 56, 0, &segment, &raw, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_store_segment(&st, place + 8, 0, &segment, &raw, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_store_segment(&st, place, 0, &segment, &raw, &e), MEMFILE_OK);
    free(raw);
    assert_int_equal(mf_store_segment(&st, place, total, &segment, &raw, &e), MEMFILE_OK);
    free(raw);
    static const uint64_t wrong[] = {1, 63, (uint64_t)3 << 20, UINT64_MAX};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(mf_store_segment(&st, place, wrong[i], &segment, &raw, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_store_segment(&st, place, total + 8, &segment, &raw, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_store_segment(&st, place, total - 8, &segment, &raw, &e), MEMFILE_E_DAMAGED);
    st.readable_end = place + total - 8; /* its header says more than may be read */
    assert_int_equal(mf_store_segment(&st, place, 0, &segment, &raw, &e), MEMFILE_E_DAMAGED);
    st.readable_end = (uint64_t)64 << 20;
    assert_int_equal(mf_store_segment(&st, place, (2u << 20) + 8, &segment, &raw, &e), MEMFILE_E_DAMAGED);
    mf_store_close(&st);
    free(s.bytes);
}

static void a_segment_is_taken_for_what_it_is_only(void **state)
{
    (void)state;
    const char *path = temp_path("kinds");
    mf_store st;
    memfile_error e;
    mf_object *o, *again;
    make(path);
    sample s = take(path);
    for (int warm = 0; warm < 2; warm++) /* with and without it in the cache as what it is */
        for (size_t i = 0; i < s.count; i++) {
            mf_segment *g = &s.segments[i];
            assert_int_equal(store_of_memory(&st, s.bytes, s.length, 1 << 20, &e), MEMFILE_OK);
            bool page = g->type == MF_TYPE_INDEX, block = g->type == MF_TYPE_RECORDS || (g->type == MF_TYPE_COMMIT && i + LATER >= s.count);
            if (warm && (page || block)) {
                assert_int_equal(page ? mf_store_page(&st, g->offset, 0, &again, &e) : mf_store_block(&st, g->offset, &again, &e), 0);
                mf_store_release(&st, again);
            }
            int rc = mf_store_page(&st, g->offset, 0, &o, &e);
            assert_int_equal(rc, page ? MEMFILE_OK : MEMFILE_E_DAMAGED);
            mf_store_release(&st, o);
            rc = mf_store_block(&st, g->offset, &o, &e);
            assert_int_equal(rc == MEMFILE_OK, block);
            mf_store_release(&st, o);
            mf_store_close(&st);
        }
    free(s.bytes);
}

static void the_cache_keeps_to_its_limit_but_for_what_is_in_use(void **state)
{
    (void)state;
    const char *path = temp_path("cache");
    memfile_error e;
    make(path);
    sample s = take(path);
    static const size_t limits[] = {0, 20000, 1 << 20};
    for (size_t l = 0; l < 3; l++) {
        mf_store st;
        mf_object *held[4], *o;
        uint32_t row;
        size_t largest = 0;
        assert_int_equal(store_of_memory(&st, s.bytes, s.length, limits[l], &e), MEMFILE_OK);
        for (int i = 0; i < 4; i++)
            assert_int_equal(mf_store_entry(&st, (uint64_t)i * 450, &held[i], &row, &e), MEMFILE_OK);
        for (uint64_t i = 0; i < ENTRIES; i += 20) {
            assert_int_equal(mf_store_entry(&st, i, &o, &row, &e), MEMFILE_OK);
            assert_true(row_is(o, row, i));
            if (o->bytes > largest)
                largest = o->bytes;
            mf_store_release(&st, o);
        }
        for (int i = 0; i < 4; i++) { /* still what they were */
            assert_true(row_is(held[i], (uint32_t)((uint64_t)i * 450 - held[i]->first_entry), (uint64_t)i * 450));
            assert_int_equal(held[i]->references, 1);
            mf_store_release(&st, held[i]);
        }
        for (uint64_t i = 0; i < ENTRIES; i += 100) {
            assert_int_equal(mf_store_entry(&st, i, &o, &row, &e), MEMFILE_OK);
            mf_store_release(&st, o);
        }
        assert_true(st.cached_bytes <= limits[l] + largest + 70000); /* the last one and the pages to it */
        size_t sum = 0;
        uint32_t count = 0;
        for (o = st.newest; o; o = o->older) {
            sum += o->bytes;
            count++;
        }
        assert_int_equal(sum, st.cached_bytes);
        assert_int_equal(count, st.object_count);
        uint64_t misses = st.misses;
        assert_int_equal(mf_store_entry(&st, 5, &o, &row, &e), MEMFILE_OK);
        mf_object *same;
        assert_int_equal(mf_store_entry(&st, 5, &same, &row, &e), MEMFILE_OK);
        assert_ptr_equal(o, same); /* in use, it is not read again */
        assert_int_equal(o->references, 2);
        if (limits[l] == 1 << 20)
            assert_int_equal(st.misses, misses);
        mf_store_release(&st, o);
        mf_store_release(&st, same);
        mf_store_release(&st, NULL);
        mf_store_close(&st);
    }
    free(s.bytes);
}

static void a_dictionary_is_read_from_its_second_copy_if_need_be(void **state)
{
    (void)state;
    const char *path = temp_path("dictionary");
    mf_store st;
    memfile_error e;
    mf_object *o;
    uint32_t row;
    make(path);
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    sample s = take(path);
    uint64_t copies[2] = {0, 0};
    size_t n = 0;
    for (size_t i = 0; i < s.count; i++)
        if (s.segments[i].type == MF_TYPE_DICTIONARY && n < 2)
            copies[n++] = s.segments[i].offset;
    assert_int_equal(n, 2); /* SPEC 12: each is written twice */
    for (unsigned damaged = 0; damaged < 4; damaged++) {
        for (unsigned c = 0; c < 2; c++)
            s.bytes[copies[c] + 100] ^= (uint8_t)(damaged >> c & 1);
        assert_int_equal(store_of_memory(&st, s.bytes, s.length, 1 << 20, &e), MEMFILE_OK);
        assert_int_equal(mf_store_entry(&st, 100, &o, &row, &e), MEMFILE_OK);
        assert_int_equal(o->segment.codec, MF_CODEC_ZSTD_DICTIONARY);
        int rc = mf_store_content(&st, o, &e);
        assert_int_equal(rc, damaged == 3 ? MEMFILE_E_DAMAGED : MEMFILE_OK);
        if (rc == MEMFILE_OK)
            assert_true(mf_slice_equal(mf_block_text(&o->block, row), mf_slice_of("the text of entry 100" LONGER, 21 + strlen(LONGER))));
        const mf_dictionary *d = NULL;
        assert_int_equal(mf_store_dictionary(&st, o->segment.codec_parameter ^ 1, &d, &e), MEMFILE_E_DAMAGED);
        assert_null(d);
        mf_store_release(&st, o);
        if (damaged == 0) /* what is no dictionary is none */
            for (size_t i = 0; i < s.count; i++)
                if (s.segments[i].type != MF_TYPE_DICTIONARY) {
                    mf_store other;
                    assert_int_equal(store_of_memory(&other, s.bytes, s.length, 1 << 20, &e), MEMFILE_OK);
                    mf_dictionary_place *place = &other.committed.footer.dictionaries[0];
                    place->offset[0] = place->offset[1] = s.segments[i].offset;
                    assert_int_equal(mf_store_dictionary(&other, place->id, &d, &e), MEMFILE_E_DAMAGED);
                    mf_store_close(&other);
                }
        mf_store_close(&st);
        for (unsigned c = 0; c < 2; c++)
            s.bytes[copies[c] + 100] ^= (uint8_t)(damaged >> c & 1);
    }
    free(s.bytes);
}

static void a_refresh_sees_commits_and_nothing_else(void **state)
{
    (void)state;
    const char *path = temp_path("refresh");
    memfile_error e;
    mf_io *io;
    mf_store st;
    mf_object *o;
    uint32_t row;
    make(path);
    assert_int_equal(mf_io_file_open(&mf_mem_default, path, MF_IO_READ, &io, &e), MEMFILE_OK);
    assert_int_equal(mf_store_open(&st, io, &mf_mem_default, 1 << 20, NULL, &e), MEMFILE_OK);
    assert_int_equal(refresh(&st, &e), MEMFILE_DONE);
    FILE *f = fopen(path, "ab");
    fputs("a torn append", f);
    fclose(f);
    assert_int_equal(refresh(&st, &e), MEMFILE_DONE);
    assert_int_equal(st.state->entries, ENTRIES);
    uint64_t generation = st.generation;
    memfile *mf = open_file(path, MEMFILE_WRITE);
    put_text(mf, "m7", "new");
    assert_int_equal(refresh(&st, &e), MEMFILE_DONE);
    commit_ok(mf);
    assert_int_equal(mf_store_entry(&st, ENTRIES, &o, &row, &e), MEMFILE_E_NOT_FOUND); /* the snapshot stays */
    assert_int_equal(refresh(&st, &e), MEMFILE_OK);
    assert_true(st.generation != generation);
    assert_int_equal(st.state->entries, ENTRIES + 1);
    mf_id id = {(const uint8_t *)"m7", 2, false};
    assert_int_equal(mf_store_id(&st, id, UINT64_MAX, &o, &row, &e), MEMFILE_OK);
    assert_int_equal(o->first_entry + row, ENTRIES);
    mf_store_release(&st, o);
    for (int i = 0; i < 70; i++) { /* over a new footer */
        put_text(mf, NULL, "more");
        commit_ok(mf);
    }
    assert_int_equal(refresh(&st, &e), MEMFILE_OK);
    assert_int_equal(st.state->entries, ENTRIES + 71);
    assert_int_equal(refresh(&st, &e), MEMFILE_DONE);
    memfile_close(mf);
    mf_store_close(&st);
}

/* SPEC 13.4: another file under the name; what was taken from the old one stays valid while it is held */
static void a_reload_takes_the_file_that_has_the_name_now(void **state)
{
    (void)state;
    const char *path = temp_path("reload"), *other = temp_path("another");
    memfile_error e;
    mf_object *o;
    uint32_t row;
    make(path);
    memfile *mf = open_file(path, MEMFILE_READ);
    mf_store *st = &mf->store;
    assert_int_equal(mf_store_entry(st, 100, &o, &row, &e), MEMFILE_OK);
    assert_int_equal(mf_store_content(st, o, &e), MEMFILE_OK);
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    assert_int_equal(memfile_refresh(mf), MEMFILE_OK);
    assert_true(o->orphan);
    assert_true(row_is(o, row, 100));
    assert_true(mf_slice_equal(mf_block_text(&o->block, row), mf_slice_of("the text of entry 100" LONGER, 21 + strlen(LONGER))));
    mf_object *now;
    assert_int_equal(mf_store_entry(st, 100, &now, &row, &e), MEMFILE_OK);
    assert_ptr_not_equal(o, now);
    assert_true(row_is(now, row, 100));
    mf_store_release(st, now);
    mf_store_release(st, o);
    /* another memory altogether is not followed */
    memfile_close(create_file(other));
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(memfile_refresh(mf), MEMFILE_E_CONFLICT);
    memfile_close(mf);
}

static int visit(void *context, const mf_segment *segment, const uint8_t *raw, const mf_commit *commit)
{
    uint64_t *seen = (uint64_t *)context; /* count, number of the first and the last, where to stop */
    assert_int_equal(mf_load64(raw + 16), segment->offset);
    assert_int_equal(commit->number, seen[0]++ ? seen[2] + 1 : commit->number);
    if (seen[0] == 1)
        seen[1] = commit->number;
    seen[2] = commit->number;
    return seen[0] == seen[3] ? -77 : 0;
}

static void the_tail_is_visited_from_the_last_footer_on(void **state)
{
    (void)state;
    const char *path = temp_path("visit");
    mf_store st;
    memfile_error e;
    uint64_t seen[4] = {0, 0, 0, 0};
    make(path);
    sample s = take(path);
    assert_int_equal(store_of_memory(&st, s.bytes, s.length, 0, &e), MEMFILE_OK);
    assert_int_equal(mf_store_visit_tail(&st, visit, seen, &e), MEMFILE_OK);
    assert_int_equal(seen[1], 1);
    assert_int_equal(seen[2], LATER + 1);
    uint64_t stop[4] = {0, 0, 0, 3};
    assert_int_equal(mf_store_visit_tail(&st, visit, stop, &e), -77); /* passed on */
    assert_int_equal(stop[0], 3);
    mf_store_close(&st);
    free(s.bytes);
}

/* The commit at `s`, taken apart. */
static mf_commit commit_at(const uint8_t *bytes, const mf_segment *s)
{
    mf_commit k;
    mf_slice head, stored;
    memfile_error e;
    assert_int_equal(mf_segment_split(s, bytes + s->offset, &head, &stored, &e), MEMFILE_OK);
    assert_int_equal(mf_commit_decode(&k, head, NULL, &mf_mem_default, s->offset, &e), MEMFILE_OK);
    return k;
}

/* Puts `k` in the place of the commit at `s`, which has no content. false: it is too long or too short for it. */
static bool replace_commit(uint8_t *bytes, const mf_segment *s, const mf_commit *k)
{
    mf_buffer head, body;
    mf_buffer_init(&head, &mf_mem_default);
    mf_buffer_init(&body, &mf_mem_default);
    mf_commit_encode(&head, k);
    mf_put_string(&body, mf_slice_of(head.data, head.length));
    mf_slice old_head, content;
    memfile_error e;
    assert_int_equal(mf_segment_split(s, bytes + s->offset, &old_head, &content, &e), MEMFILE_OK);
    mf_put_bytes(&body, content.data, content.length);
    bool fits = mf_align8(body.length) == mf_align8(s->stored_length);
    if (fits) {
        uint8_t *raw = bytes + s->offset;
        memset(raw + MF_SEGMENT_HEADER_LENGTH, 0, mf_align8(s->stored_length));
        memcpy(raw + MF_SEGMENT_HEADER_LENGTH, body.data, body.length);
        mf_store32(raw + 8, (uint32_t)body.length);
        reseal(raw);
    }
    mf_buffer_free(&head);
    mf_buffer_free(&body);
    return fits;
}

/* SPEC 9.2, 15.1: from the last footer to the newest commit they follow one another, 256 at most. */
static void a_tail_that_contradicts_itself_is_damage(void **state)
{
    (void)state;
    const char *path = temp_path("tail-lies");
    memfile_error e;
    mf_store st;
    memfile *mf = create_file(path);
    for (int i = 0; i < 350; i++) {
        char id[16];
        snprintf(id, sizeof id, "t%d", i);
        put_text(mf, id, "a text of some length, the same in all");
        commit_ok(mf);
    }
    memfile_close(mf);
    sample s = take(path);
    size_t commits[400], count = 0, full[8], fulls = 0;
    for (size_t i = 0; i < s.count; i++) {
        s.segments[i].body_at = MF_SEGMENT_HEADER_LENGTH;
        s.segments[i].body_length = s.segments[i].stored_length;
        if (s.segments[i].type != MF_TYPE_COMMIT)
            continue;
        mf_commit k = commit_at(s.bytes, &s.segments[i]);
        if ((k.flags & MF_COMMIT_FULL) && k.number > 0 && fulls < 8)
            full[fulls++] = count;
        commits[count++] = i;
    }
    assert_true(fulls == 5 && count == 351 && full[4] - full[0] == MF_TAIL_MAX);
    enum { AS_IT_WAS, NUMBER, FEWER, NO_FOOTER, EARLIER_FOOTER, LIES };
    unsigned seen[LIES] = {0};
    for (size_t newest = full[4] + 10; newest < count; newest++)
        for (int lie = AS_IT_WAS; lie < LIES; lie++) {
            const mf_segment *last = &s.segments[commits[newest]], *wrong = last;
            size_t length = last->offset + mf_segment_total(last);
            uint8_t *bytes = (uint8_t *)malloc(length);
            memcpy(bytes, s.bytes, length);
            if (lie == NUMBER || lie == FEWER)
                wrong = &s.segments[commits[newest - 3]];
            mf_commit k = commit_at(bytes, wrong);
            k.number -= lie == NUMBER;
            k.first_entry -= lie == FEWER;
            if (lie == NO_FOOTER)
                k.footer_distance = last->offset - s.segments[commits[newest - 8]].offset;
            else if (lie == EARLIER_FOOTER)
                k.footer_distance = last->offset - s.segments[commits[full[0]]].offset;
            if (replace_commit(bytes, wrong, &k)) {
                seen[lie]++;
                int rc = store_of_memory(&st, bytes, length, 1 << 20, &e);
                if (rc != (lie == AS_IT_WAS ? MEMFILE_OK : MEMFILE_E_DAMAGED))
                    fail_msg("lie %d: %d, %s", lie, rc, e.message);
                static const char *const words[] = {"", "does not follow", "does not follow", "should have a footer", "too many commits"};
                if (rc == MEMFILE_OK)
                    mf_store_close(&st);
                else if (!strstr(e.message, words[lie]))
                    fail_msg("lie %d: %s", lie, e.message);
            }
            free(bytes);
        }
    for (int lie = AS_IT_WAS; lie < LIES; lie++)
        if (!seen[lie])
            fail_msg("lie %d was never told", lie);
    free(s.bytes);
}

/* SPEC 10.3: pages that lead to themselves, to another level, or in another order than they say. */
static void pages_that_lead_astray_are_damage(void **state)
{
    (void)state;
    enum { AS_IT_WAS, TO_ITSELF, AT_ONCE_TO_ITSELF, SWAPPED, TWICE, TO_A_BLOCK, LIES };
    const char *path = temp_path("astray");
    make(path);
    for (int lie = AS_IT_WAS; lie < LIES; lie++) {
        sample s = take(path);
        mf_store st;
        memfile_error e;
        mf_object *o;
        mf_segment segment;
        mf_slice head, stored;
        mf_child children[64];
        mf_buffer page;
        mf_run_iterator it;
        mf_item item, from = {0, 0, 0};
        assert_int_equal(store_of_memory(&st, s.bytes, s.length, 1 << 20, &e), MEMFILE_OK);
        const mf_run run = st.state->footer.runs[0];
        assert_int_equal(mf_store_page(&st, run.root_offset, run.root_length, &o, &e), MEMFILE_OK);
        uint32_t count = o->page.count;
        assert_true(o->page.level == 1 && count > 2 && count < 64);
        for (uint32_t i = 0; i < count; i++) {
            mf_page_item(&o->page, i, &children[i].first);
            children[i].offset = mf_ints_at(&o->page.offsets, i) * 8;
            children[i].length = mf_ints_at(&o->page.lengths, i) * 8;
        }
        mf_store_release(&st, o);
        mf_store_close(&st);
        mf_child first = children[0];
        children[0].offset = lie == SWAPPED ? children[1].offset : first.offset;
        children[0].length = lie == SWAPPED ? children[1].length : first.length;
        if (lie == TO_ITSELF || lie == AT_ONCE_TO_ITSELF) {
            children[lie == TO_ITSELF].offset = run.root_offset;
            children[lie == TO_ITSELF].length = run.root_length;
        } else if (lie == SWAPPED || lie == TWICE) {
            children[1].offset = first.offset;
            children[1].length = first.length;
        } else if (lie == TO_A_BLOCK) {
            children[1].offset = s.segments[1].offset;
            children[1].length = mf_segment_total(&s.segments[1]);
        }
        uint8_t *raw = s.bytes + run.root_offset;
        assert_int_equal(mf_segment_decode(&segment, raw, run.root_offset, mf_load32(s.bytes + 32), &e), MEMFILE_OK);
        segment.body_at = MF_SEGMENT_HEADER_LENGTH;
        segment.body_length = segment.stored_length;
        assert_int_equal(mf_segment_split(&segment, raw, &head, &stored, &e), MEMFILE_OK);
        mf_buffer_init(&page, &mf_mem_default);
        mf_page_put_inner(&page, 1, run.first_entry, run.entry_count, children, count);
        mf_slice rewritten = mf_slice_of(page.data, page.length);
        mf_buffer body;
        mf_buffer_init(&body, &mf_mem_default);
        mf_put_string(&body, rewritten);
        mf_put_bytes(&body, stored.data, stored.length);
        assert_int_equal(mf_align8(body.length), mf_align8(segment.stored_length)); /* it stays in its place */
        memset(raw + MF_SEGMENT_HEADER_LENGTH, 0, mf_align8(segment.stored_length));
        memcpy(raw + MF_SEGMENT_HEADER_LENGTH, body.data, body.length);
        mf_store32(raw + 8, (uint32_t)body.length);
        reseal(raw);
        assert_int_equal(store_of_memory(&st, s.bytes, s.length, 1 << 20, &e), MEMFILE_OK);
        int rc = mf_run_seek(&it, &st, &st.state->footer.runs[0], &from, &e);
        uint64_t items = 0;
        while (rc == MEMFILE_OK && (rc = mf_run_next(&it, &item, &e)) == MEMFILE_OK)
            items++;
        mf_run_iterator_close(&it);
        if (rc != (lie == AS_IT_WAS ? MEMFILE_DONE : MEMFILE_E_DAMAGED))
            fail_msg("lie %d: %d, %s", lie, rc, e.message);
        assert_true(lie == AT_ONCE_TO_ITSELF ? items == 0 : items > (lie == AS_IT_WAS ? FIRST : 0));
        if (lie != AS_IT_WAS && lie != SWAPPED && lie != AT_ONCE_TO_ITSELF) { /* one item goes by the second page */
            mf_item target = children[1].first, found;
            rc = mf_store_floor(&st, &st.state->footer.runs[0], &target, &found, &e);
            if (lie == TO_ITSELF || lie == TO_A_BLOCK)
                assert_int_equal(rc, MEMFILE_E_DAMAGED);
            else
                assert_true(rc == MEMFILE_OK && mf_item_compare(&found, &target) < 0);
        }
        mf_store_close(&st);
        mf_buffer_free(&page);
        mf_buffer_free(&body);
        free(s.bytes);
    }
}

/* Whoever makes a file can make hashes that are alike: each candidate is looked at itself. */
static void hashes_that_are_alike_mislead_no_look_up(void **state)
{
    (void)state;
    static const char *const entries[] = {
        "{\"id\":\"a\",\"text\":\"0\",\"key\":\"k\",\"scope\":[\"s\",\"t\"],\"idempotency_key\":\"x\"}",
        "{\"id\":\"b\",\"text\":\"1\",\"key\":\"k\",\"scope\":[\"s\",\"u\"],\"idempotency_key\":\"y\"}",
        "{\"id\":\"c\",\"text\":\"2\",\"key\":\"k\",\"scope\":[\"s\"]}",
        "{\"id\":\"d\",\"text\":\"3\",\"key\":\"l\",\"scope\":[\"s\",\"t\"]}",
        "{\"id\":\"e\",\"text\":\"4\",\"key\":\"k\"}",
        "{\"id\":\"f\",\"text\":\"5\"}"};
    const char *path = temp_path("alike");
    memfile_error e;
    mf_object *o;
    uint32_t row;
    mf_store st;
    memfile *mf = create_file(path);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        assert_int_equal(put_json(mf, entries[i], NULL), MEMFILE_OK);
    commit_ok(mf);
    memfile_close(mf);
    sample s = take(path);
    assert_int_equal(store_of_memory(&st, s.bytes, s.length, 1 << 20, &e), MEMFILE_OK);
    const mf_slice scope[2] = {{(const uint8_t *)"s", 1}, {(const uint8_t *)"t", 1}};
    static const struct {
        unsigned count;
        const char *key;
        uint64_t entry;
    } keys[] = {{2, "k", 0}, {1, "k", 2}, {2, "l", 3}, {0, "k", 4}, {0, "l", UINT64_MAX}, {1, "l", UINT64_MAX}};
    assert_int_equal(mf_store_tail_items(&st, &e), MEMFILE_OK);
    for (unsigned kind = MF_ITEM_ID; kind <= MF_ITEM_LAST; kind++) {
        mf_pair *pairs = st.tail_items.kind[kind].pairs;
        if (kind != MF_ITEM_ID && kind != MF_ITEM_KEY && kind != MF_ITEM_IDEMPOTENCY)
            continue;
        for (size_t k = 0; k < 6; k++) {
            /* what is looked for, under the hash that all of them now have */
            uint64_t hash = 0, entry = UINT64_MAX;
            char id[2] = {(char)('a' + k), 0};
            mf_id wanted = {(const uint8_t *)id, 1, false};
            mf_slice key = mf_slice_of(keys[k].key, 1), once = mf_slice_of(k == 0 ? "x" : k == 1 ? "y" : "z", 1);
            if (kind == MF_ITEM_ID)
                hash = mf_item_hash_id(wanted, st.tag);
            else if (kind == MF_ITEM_KEY)
                hash = mf_item_hash_key(scope, keys[k].count, key, st.tag);
            else
                hash = mf_item_hash(MF_HASH_IDEMPOTENCY, once, st.tag);
            for (size_t i = 0; i < st.tail_items.kind[kind].count; i++)
                pairs[i].key = hash;
            int rc = kind == MF_ITEM_ID    ? mf_store_id(&st, wanted, UINT64_MAX, &o, &row, &e)
                     : kind == MF_ITEM_KEY ? mf_store_key(&st, scope, keys[k].count, key, UINT64_MAX, &o, &row, &e)
                                           : mf_store_idempotency(&st, once, &o, &row, &e);
            if (rc == MEMFILE_OK) {
                entry = o->first_entry + row;
                mf_store_release(&st, o);
            } else {
                assert_int_equal(rc, MEMFILE_E_NOT_FOUND);
            }
            uint64_t right = kind == MF_ITEM_ID ? k : kind == MF_ITEM_KEY ? keys[k].entry : k < 2 ? k : UINT64_MAX;
            if (entry != right)
                fail_msg("kind %u, %zu: entry %lld", kind, k, (long long)entry);
        }
    }
    /* an entry without a key is not the one of the empty key, though an item says so */
    mf_pair *pairs = st.tail_items.kind[MF_ITEM_KEY].pairs;
    for (size_t i = 0; i < st.tail_items.kind[MF_ITEM_KEY].count; i++)
        pairs[i] = (mf_pair){mf_item_hash_key(scope, 0, mf_slice_of("", 0), st.tag), 5};
    assert_int_equal(mf_store_key(&st, scope, 0, mf_slice_of("", 0), UINT64_MAX, &o, &row, &e), MEMFILE_E_NOT_FOUND);
    mf_store_close(&st);
    free(s.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_whole_file_is_not_opened),
        cmocka_unit_test(the_state_is_what_the_newest_commit_says),
        cmocka_unit_test(look_ups_find_the_newest_below_the_bound),
        cmocka_unit_test(a_tail_that_contradicts_itself_is_damage),
        cmocka_unit_test(pages_that_lead_astray_are_damage),
        cmocka_unit_test(hashes_that_are_alike_mislead_no_look_up),
        cmocka_unit_test(fates_are_those_of_the_next_later_entry),
        cmocka_unit_test(entries_as_of_a_commit_are_known),
        cmocka_unit_test(references_that_lead_nowhere_are_damage),
        cmocka_unit_test(a_segment_is_taken_for_what_it_is_only),
        cmocka_unit_test(the_cache_keeps_to_its_limit_but_for_what_is_in_use),
        cmocka_unit_test(a_dictionary_is_read_from_its_second_copy_if_need_be),
        cmocka_unit_test(a_refresh_sees_commits_and_nothing_else),
        cmocka_unit_test(a_reload_takes_the_file_that_has_the_name_now),
        cmocka_unit_test(the_tail_is_visited_from_the_last_footer_on),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
