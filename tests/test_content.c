/* content: texts and bytes over 32 KiB, in chunks. SPEC 11. */
#include "support.h"

#include "handle.h"

#define CHUNK 262144u

/* A writer of contents into a group of its own over an open handle's file, committed by hand: the
 * objects are found through an index run that is written behind them. */
typedef struct bench {
    memfile *mf;
    mf_group group;
    mf_items items;
    uint64_t objects;
    mf_content_writer writer;
    mf_run runs[1], *own; /* own: of the footer that was read */
} bench;

static void set_up(bench *b, const char *name)
{
    uint8_t digest[32] = {1};
    memset(b, 0, sizeof *b);
    b->mf = create_file(temp_path(name));
    b->own = b->mf->store.committed.footer.runs;
    assert_int_equal(b->mf->store.committed.footer.run_count, 0);
    mf_items_init(&b->items, &mf_mem_default);
    mf_group_init(&b->group, &b->mf->store);
    mf_group_begin(&b->group, b->mf->store.state->end, b->mf->store.state->commit_offset, digest);
    mf_content_writer_init(&b->writer, &b->group, &b->items, &b->objects, 1);
}

/* What was written can be read from here on. */
static void make_readable(bench *b)
{
    memfile_error e;
    mf_items_sort(&b->items);
    assert_int_equal(mf_run_write_items(&b->group, &b->items, 0, 0, &b->runs[0], &e), MEMFILE_OK);
    assert_int_equal(mf_group_flush(&b->group, &e), MEMFILE_OK);
    b->mf->store.readable_end = b->group.out_offset;
    b->mf->store.committed.footer.run_count = 1;
    b->mf->store.committed.footer.runs = b->runs;
}

static void tear_down(bench *b)
{
    b->mf->store.committed.footer.run_count = 0;
    b->mf->store.committed.footer.runs = b->own;
    mf_content_writer_free(&b->writer);
    mf_items_free(&b->items);
    mf_group_free(&b->group);
    memfile_close(b->mf);
}

static uint8_t *make_bytes(size_t length, uint64_t seed)
{
    uint8_t *p = (uint8_t *)malloc(length + 1);
    for (size_t i = 0; i < length; i++)
        p[i] = (uint8_t)(i % 100 < 50 ? next_random(&seed) : i / 100);
    return p;
}

static mf_detached put(bench *b, const uint8_t *bytes, size_t length, size_t step, bool dry)
{
    mf_detached d;
    memfile_error e;
    memset(&d, 0, sizeof d);
    assert_int_equal(mf_content_writer_begin(&b->writer, MF_CONTENT_DATA, dry, &e), MEMFILE_OK);
    for (size_t at = 0; at < length; at += step)
        assert_int_equal(mf_content_writer_add(&b->writer, bytes + at, length - at < step ? length - at : step, &e), MEMFILE_OK);
    assert_int_equal(mf_content_writer_end(&b->writer, &d, &e), MEMFILE_OK);
    return d;
}

/* SPEC 11.1, 8.4 */
static void root_of(const uint8_t *bytes, size_t length, uint8_t out[32])
{
    uint8_t hash[64][32];
    size_t n = 0;
    for (size_t at = 0; at < length; at += CHUNK)
        mf_digest(hash[n++], MF_LABEL_CHUNK, bytes + at, length - at < CHUNK ? length - at : CHUNK);
    while (n > 1) { /* runs of 16 become one; a run of one stays */
        size_t m = 0;
        for (size_t at = 0; at < n; at += 16) {
            size_t k = n - at < 16 ? n - at : 16;
            if (k == 1)
                memmove(hash[m], hash[at], 32);
            else
                mf_digest(hash[m], MF_LABEL_NODE, hash[at], k * 32);
            m++;
        }
        n = m;
    }
    memcpy(out, hash[0], 32);
}

static const size_t lengths[] = {1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 16 * CHUNK, 17 * CHUNK + 5};

static void roots_are_those_of_the_specification_however_it_was_cut(void **state)
{
    (void)state;
    static const size_t steps[] = {1000, CHUNK - 1, CHUNK, CHUNK + 1, SIZE_MAX / 2};
    bench b;
    set_up(&b, "roots");
    uint8_t *bytes = make_bytes(17 * CHUNK + 5, 3);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint8_t root[32];
        root_of(bytes, lengths[i], root);
        for (size_t s = lengths[i] > 3 * CHUNK ? 3 : 0; s < sizeof steps / sizeof *steps; s++) {
            mf_detached d = put(&b, bytes, lengths[i], steps[s], true);
            assert_int_equal(d.form, MF_CONTENT_DATA);
            assert_int_equal(d.length, lengths[i]);
            assert_memory_equal(d.root, root, 32);
        }
    }
    assert_int_equal(b.objects, 0); /* dry: nothing was written */
    assert_int_equal(b.group.segments, 0);
    assert_int_equal(mf_items_count(&b.items), 0);
    free(bytes);
    tear_down(&b);
}

static void contents_come_back_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 777, CHUNK - 1, CHUNK, CHUNK + 1, 40 * CHUNK};
    enum { COUNT = sizeof lengths / sizeof *lengths };
    bench b;
    mf_detached d[COUNT];
    memfile_error e;
    set_up(&b, "back");
    uint8_t *bytes = make_bytes(17 * CHUNK + 50, 4), *out = (uint8_t *)malloc(40 * CHUNK);
    for (size_t i = 0; i < COUNT; i++)
        d[i] = put(&b, bytes + i, lengths[i], 100000, false);
    assert_int_equal(b.objects, COUNT); /* SPEC 11.2: counted from 0 */
    make_readable(&b);
    for (size_t i = 0; i < COUNT; i++)
        for (size_t s = lengths[i] > CHUNK / 2 ? 1 : 0; s < sizeof sizes / sizeof *sizes; s++) {
            mf_content_reader r;
            size_t n, got = 0;
            assert_int_equal(mf_content_reader_open(&r, &b.mf->store, &d[i], &e), MEMFILE_OK);
            do {
                assert_int_equal(mf_content_reader_read(&r, out + got, sizes[s], &n, &e), MEMFILE_OK);
                got += n;
                assert_true(n == sizes[s] || got == lengths[i]); /* all that was asked for, but at the end */
            } while (n > 0);
            assert_int_equal(got, lengths[i]);
            assert_memory_equal(out, bytes + i, got);
            assert_int_equal(mf_content_reader_read(&r, out, 0, &n, &e), MEMFILE_OK);
            mf_content_reader_close(&r);
        }
    free(bytes);
    free(out);
    tear_down(&b);
}

static void short_content_is_told_from_long(void **state)
{
    (void)state;
    bench b;
    memfile_error e;
    mf_slice in;
    uint8_t bytes[32769] = {0};
    set_up(&b, "short");
    for (size_t n = 32767; n <= 32769; n++) { /* SPEC 7.2 */
        assert_int_equal(mf_content_writer_begin(&b.writer, MF_CONTENT_DATA, true, &e), MEMFILE_OK);
        assert_int_equal(mf_content_writer_add(&b.writer, bytes, n, &e), MEMFILE_OK);
        assert_int_equal(mf_content_writer_is_short(&b.writer, &in), n <= 32768);
        assert_int_equal(in.length, n);
    }
    assert_int_equal(mf_content_writer_begin(&b.writer, MF_CONTENT_DATA, true, &e), MEMFILE_OK);
    assert_true(mf_content_writer_is_short(&b.writer, &in));
    assert_int_equal(in.length, 0);
    tear_down(&b);
}

/* RFC 3629 over pieces that cut characters anywhere */
static void text_is_checked_across_its_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } cases[] = {{"plain", true}, {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!", true}, {"\xed\x9f\xbf\xee\x80\x80", true},
                 {"\xf4\x8f\xbf\xbf", true}, {"\xc2\x80\xdf\xbf\xe0\xa0\x80\xf0\x90\x80\x80", true},
                 {"\xc0\x80", false}, {"\xc1\xbf", false}, {"\xe0\x9f\xbf", false}, {"\xed\xa0\x80", false},
                 {"\xf0\x8f\xbf\xbf", false}, {"\xf4\x90\x80\x80", false}, {"\xf5\x80\x80\x80", false}, {"\x80", false},
                 {"a\xbf", false}, {"\xc3(", false}, {"\xe2\x82(", false}, {"\xe2(\xac", false}, {"\xff", false},
                 {"\xc3\xa9\xa9", false}, {"\xf0\x9f\x98\x80\x80", false}, {"\xc3", false}, {"x\xe2\x82", false},
                 {"\xf0\x9f\x98", false}, {"\x80\x80\x80\x80\x80", false}};
    bench b;
    memfile_error e;
    set_up(&b, "utf8");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].text);
        for (size_t mask = 0; mask < (size_t)1 << (n - 1); mask++) { /* every way to cut it */
            mf_detached d;
            assert_int_equal(mf_content_writer_begin(&b.writer, MF_CONTENT_TEXT, true, &e), MEMFILE_OK);
            int rc = MEMFILE_OK;
            for (size_t at = 0; at < n && rc == MEMFILE_OK;) {
                size_t end = at + 1;
                while (end < n && !(mask >> (end - 1) & 1))
                    end++;
                rc = mf_content_writer_add(&b.writer, cases[i].text + at, end - at, &e);
                at = end;
            }
            if (rc == MEMFILE_OK)
                rc = mf_content_writer_end(&b.writer, &d, &e);
            if (rc != (cases[i].good ? MEMFILE_OK : MEMFILE_E_INVALID))
                fail_msg("case %zu, cut by %zx: %d", i, mask, rc);
        }
    }
    tear_down(&b);
}

static void what_is_there_is_known_by_root_and_length(void **state)
{
    (void)state;
    bench b;
    memfile_error e;
    bool there;
    set_up(&b, "exists");
    uint8_t *bytes = make_bytes(3 * CHUNK, 8);
    mf_detached in_batch = put(&b, bytes, 2 * CHUNK + 7, 50000, false);
    mf_detached not_there = put(&b, bytes + 1, 2 * CHUNK + 7, 50000, true);
    mf_detached other = in_batch;
    assert_int_equal(mf_group_flush(&b.group, &e), MEMFILE_OK);
    b.mf->store.readable_end = b.group.out_offset;
    assert_int_equal(mf_content_exists(&b.mf->store, &b.items, &in_batch, &there, &e), MEMFILE_OK);
    assert_true(there);
    assert_int_equal(mf_content_exists(&b.mf->store, NULL, &in_batch, &there, &e), MEMFILE_OK);
    assert_false(there); /* in no run yet */
    make_readable(&b);
    assert_int_equal(mf_content_exists(&b.mf->store, NULL, &in_batch, &there, &e), MEMFILE_OK);
    assert_true(there);
    assert_int_equal(mf_content_exists(&b.mf->store, NULL, &not_there, &there, &e), MEMFILE_OK);
    assert_false(there);
    other.root[31] ^= 1; /* the same first 8 bytes: only a look at all of it can tell */
    assert_int_equal(mf_content_exists(&b.mf->store, NULL, &other, &there, &e), MEMFILE_OK);
    assert_false(there);
    other = in_batch;
    other.length--;
    assert_int_equal(mf_content_exists(&b.mf->store, NULL, &other, &there, &e), MEMFILE_OK);
    assert_false(there);
    free(bytes);
    tear_down(&b);
}

static void an_object_that_is_not_there_or_another_is_refused(void **state)
{
    (void)state;
    bench b;
    mf_content_reader r;
    memfile_error e;
    static uint8_t out[4 * CHUNK];
    size_t n;
    set_up(&b, "wrong");
    uint8_t *bytes = make_bytes(3 * CHUNK, 9);
    mf_detached d = put(&b, bytes, 2 * CHUNK + 7, 50000, false), wrong = d;
    make_readable(&b);
    wrong.root[0] ^= 1;
    assert_int_equal(mf_content_reader_open(&r, &b.mf->store, &wrong, &e), MEMFILE_E_DAMAGED);
    wrong = d;
    wrong.root[20] ^= 1; /* what the entry names is not what is there: no byte of the last chunk is given */
    assert_int_equal(mf_content_reader_open(&r, &b.mf->store, &wrong, &e), MEMFILE_OK);
    assert_int_equal(mf_content_reader_read(&r, out, sizeof out, &n, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(n, 0);
    mf_content_reader_close(&r);
    static const int64_t others[] = {-1, 1, -8, CHUNK, -(int64_t)CHUNK, (int64_t)CHUNK * 1000};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        wrong = d;
        wrong.length = (uint64_t)((int64_t)wrong.length + others[i]);
        assert_int_equal(mf_content_reader_open(&r, &b.mf->store, &wrong, &e), MEMFILE_OK);
        int rc;
        while ((rc = mf_content_reader_read(&r, out, CHUNK, &n, &e)) == MEMFILE_OK && n > 0)
            ;
        assert_int_equal(rc, MEMFILE_E_DAMAGED);
        mf_content_reader_close(&r);
    }
    free(bytes);
    tear_down(&b);
}

/* Two contents whose roots begin with the same 8 bytes cannot be made; an item that says so can. */
static void of_several_objects_that_begin_alike_the_right_one_is_read(void **state)
{
    (void)state;
    bench b;
    mf_content_reader r;
    memfile_error e;
    static uint8_t out[CHUNK];
    size_t n;
    set_up(&b, "alike");
    uint8_t *bytes = make_bytes(CHUNK, 10);
    mf_detached d[3];
    for (size_t i = 0; i < 3; i++)
        d[i] = put(&b, bytes + i, 50000, 50000, false);
    for (size_t i = 0; i < 3; i++) /* each of the three as a candidate for each root */
        for (uint64_t object = 0; object < 3; object++)
            if (object != i)
                mf_items_add(&b.items, MF_ITEM_OBJECT, mf_load64(d[i].root), object);
    mf_items_sort(&b.items);
    for (size_t i = 0; i + 1 < b.items.kind[MF_ITEM_OBJECT].count; i++) /* sorted by value within a key */
        for (size_t k = i + 1; k < b.items.kind[MF_ITEM_OBJECT].count; k++) {
            mf_pair *p = b.items.kind[MF_ITEM_OBJECT].pairs, t;
            if (p[k].key < p[i].key || (p[k].key == p[i].key && p[k].value < p[i].value))
                t = p[i], p[i] = p[k], p[k] = t;
        }
    memfile_error unused;
    assert_int_equal(mf_run_write_items(&b.group, &b.items, 0, 0, &b.runs[0], &unused), MEMFILE_OK);
    assert_int_equal(mf_group_flush(&b.group, &e), MEMFILE_OK);
    b.mf->store.readable_end = b.group.out_offset;
    b.mf->store.committed.footer.run_count = 1;
    b.mf->store.committed.footer.runs = b.runs;
    for (size_t i = 0; i < 3; i++) {
        bool there;
        assert_int_equal(mf_content_exists(&b.mf->store, NULL, &d[i], &there, &e), MEMFILE_OK);
        assert_true(there);
        assert_int_equal(mf_content_reader_open(&r, &b.mf->store, &d[i], &e), MEMFILE_OK);
        assert_int_equal(mf_content_reader_read(&r, out, sizeof out, &n, &e), MEMFILE_OK);
        assert_int_equal(n, 50000);
        assert_memory_equal(out, bytes + i, n);
        mf_content_reader_close(&r);
    }
    free(bytes);
    tear_down(&b);
}

/* SPEC 10.5: a chunk is what its segment says, whatever an index says of it; the sum of a lie is never given. */
static void an_index_that_lies_about_chunks_is_found_out(void **state)
{
    (void)state;
    enum { OTHER_INDEX, OTHER_OBJECT, OTHER_TYPE, SHORTER, NOWHERE, BETWEEN, NO_CHUNK, AS_IT_IS };
    for (int lie = OTHER_INDEX; lie <= AS_IT_IS; lie++) {
        bench b;
        memfile_error e;
        mf_content_reader r;
        size_t n = 0;
        char name[16];
        snprintf(name, sizeof name, "lie%d", lie);
        set_up(&b, name);
        uint8_t *bytes = make_bytes(3 * CHUNK, 6), *out = (uint8_t *)malloc(3 * CHUNK);
        memcpy(bytes + CHUNK, bytes, CHUNK); /* the same bytes: only the head tells them apart */
        mf_detached d = put(&b, bytes, 2 * CHUNK + 100, CHUNK, false);
        put(&b, bytes, 2 * CHUNK + 50, CHUNK, false);
        mf_items_sort(&b.items);
        mf_pair *pairs = b.items.kind[MF_ITEM_CHUNK].pairs;
        assert_int_equal(b.items.kind[MF_ITEM_CHUNK].count, 6);
        uint64_t first = pairs[0].value;
        switch (lie) {
        case OTHER_INDEX: pairs[0].value = pairs[1].value; break;
        case OTHER_OBJECT: pairs[0].value = pairs[3].value; break;
        case OTHER_TYPE: pairs[0].value = MF_HEADER_LENGTH / 8; break; /* the genesis */
        case SHORTER: pairs[2].value = pairs[5].value; break;
        case NOWHERE: pairs[0].value = UINT64_MAX / 8; break;
        case BETWEEN: pairs[0].value = first + 1; break;
        case NO_CHUNK: pairs[0].key = (uint64_t)1 << 40; break;
        default: break;
        }
        make_readable(&b);
        int rc = mf_content_reader_open(&r, &b.mf->store, &d, &e);
        if (rc == MEMFILE_OK) {
            rc = mf_content_reader_read(&r, out, 3 * CHUNK, &n, &e);
            mf_content_reader_close(&r);
        }
        if (rc != (lie == AS_IT_IS ? MEMFILE_OK : MEMFILE_E_DAMAGED))
            fail_msg("lie %d: %d, %s", lie, rc, e.message);
        if (lie == OTHER_INDEX || lie == OTHER_OBJECT || lie == OTHER_TYPE)
            assert_non_null(strstr(e.message, "is not chunk 0 of content 0"));
        assert_int_equal(n, lie == AS_IT_IS ? d.length : 0);
        free(bytes);
        free(out);
        tear_down(&b);
    }
}

static uint8_t *put_long(memfile *mf, const char *id, uint64_t seed, size_t length)
{
    memfile_draft *d;
    uint8_t *bytes = make_bytes(length, seed);
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    memfile_draft_set(d, MEMFILE_ID, id, strlen(id));
    memfile_draft_set(d, MEMFILE_DATA, bytes, length);
    assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_OK);
    memfile_draft_free(d);
    return bytes;
}

/* Compaction gives contents other numbers: a stream goes on in its own content, or says that it is gone. */
static void a_stream_goes_on_over_a_compaction(void **state)
{
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        const char *path = temp_path("stream");
        memfile *mf = create_file(path);
        uint8_t *bytes[3], *out = (uint8_t *)malloc(3 * CHUNK);
        for (int i = 0; i < 3; i++)
            bytes[i] = put_long(mf, i == 0 ? "x" : i == 1 ? "y" : "z", (uint64_t)i + 1, 3 * CHUNK);
        commit_ok(mf);
        memfile *reader = open_file(path, MEMFILE_READ);
        const memfile_entry *e;
        memfile_content *c;
        size_t n;
        assert_int_equal(memfile_get(reader, "y", 1, MEMFILE_NEWEST, &e), MEMFILE_OK);
        assert_int_equal(memfile_content_open(reader, e, &c), MEMFILE_OK);
        assert_int_equal(memfile_content_read(c, out, CHUNK, &n), MEMFILE_OK);
        assert_int_equal(n, CHUNK);
        memfile_selection s = MEMFILE_SELECTION_INIT;
        const char *ids[] = {gone ? "y" : "x"};
        s.ids = ids;
        s.id_count = 1;
        assert_int_equal(memfile_forget(mf, &s, NULL, NULL), MEMFILE_OK);
        commit_ok(mf);
        memfile_close(mf);
        assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
        assert_int_equal(memfile_refresh(reader), MEMFILE_OK);
        int rc = memfile_content_read(c, out + CHUNK, 2 * CHUNK, &n);
        assert_int_equal(rc, gone ? MEMFILE_E_DAMAGED : MEMFILE_OK);
        assert_int_equal(n, gone ? 0 : 2 * CHUNK);
        if (!gone)
            assert_memory_equal(out, bytes[1], 3 * CHUNK);
        memfile_content_close(c);
        memfile_close(reader);
        for (int i = 0; i < 3; i++)
            free(bytes[i]);
        free(out);
    }
}

/* Each chunk of two contents damaged in turn: only the content that has it is lost. */
static void a_damaged_chunk_costs_its_own_content_only(void **state)
{
    (void)state;
    const char *path = temp_path("chunks"), *out = temp_path("chunks-recovered");
    static mf_segment segments[64];
    size_t length, chunks = 0;
    memfile *mf = create_file(path);
    free(put_long(mf, "x", 1, CHUNK + CHUNK / 2));
    free(put_long(mf, "y", 2, CHUNK + CHUNK / 3));
    commit_ok(mf);
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    size_t count = segments_of(bytes, length, segments, 64);
    for (size_t i = 0; i < count; i++) {
        memfile_recover_result r;
        memfile_error e;
        if (segments[i].type != MF_TYPE_CHUNK)
            continue;
        for (int header = 0; header < 2; header++) {
            uint8_t *byte = bytes + segments[i].offset + (header ? 9 : 90);
            *byte ^= 1;
            write_file(path, bytes, length);
            *byte ^= 1;
            unlink(out);
            assert_int_equal(memfile_recover(path, out, NULL, &r, &e), MEMFILE_E_DAMAGED);
            assert_int_equal(r.entries, 1);
            mf = open_file(out, MEMFILE_READ);
            const memfile_entry *entry;
            const char *kept = chunks < 2 ? "y" : "x";
            assert_int_equal(memfile_get(mf, kept, 1, MEMFILE_NEWEST, &entry), MEMFILE_OK);
            assert_int_equal(memfile_entry_content_length(entry), chunks < 2 ? CHUNK + CHUNK / 3 : CHUNK + CHUNK / 2);
            memfile_close(mf);
        }
        chunks++;
    }
    assert_int_equal(chunks, 4);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_are_those_of_the_specification_however_it_was_cut),
        cmocka_unit_test(contents_come_back_in_pieces_of_any_size),
        cmocka_unit_test(short_content_is_told_from_long),
        cmocka_unit_test(text_is_checked_across_its_pieces),
        cmocka_unit_test(what_is_there_is_known_by_root_and_length),
        cmocka_unit_test(an_object_that_is_not_there_or_another_is_refused),
        cmocka_unit_test(of_several_objects_that_begin_alike_the_right_one_is_read),
        cmocka_unit_test(an_index_that_lies_about_chunks_is_found_out),
        cmocka_unit_test(a_stream_goes_on_over_a_compaction),
        cmocka_unit_test(a_damaged_chunk_costs_its_own_content_only),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
