/* group: order of writes and syncs, voids, index runs. SPEC 8.7, 10.6, 10.7, 16.2, 16.5. */
#include "support.h"

#include "group.h"

/* ---- a file that only counts, and keeps what it is given if there is room */

typedef struct fake {
    mf_io io;
    uint8_t *bytes;
    size_t room;
    uint64_t end;            /* highest byte written */
    uint64_t unsynced, most; /* bytes written since the last sync, and the most there ever were */
    int fail_write, fail_sync, fail_allocate;
    char order[64]; /* w, s, a: first calls in order */
    size_t calls;
} fake;

static void note(fake *f, char what)
{
    if (f->calls + 1 < sizeof f->order)
        f->order[f->calls++] = what;
}
static int fake_read(mf_io *io, uint64_t offset, void *out, size_t length, size_t *got, memfile_error *err)
{
    fake *f = (fake *)io;
    (void)err;
    *got = offset >= f->end ? 0 : f->end - offset < length ? (size_t)(f->end - offset) : length;
    assert_true(offset + *got <= f->room);
    memcpy(out, f->bytes + offset, *got);
    return MEMFILE_OK;
}
static int fake_write(mf_io *io, uint64_t offset, const void *data, size_t length, memfile_error *err)
{
    fake *f = (fake *)io;
    note(f, 'w');
    if (f->fail_write && --f->fail_write == 0)
        return mf_fail(err, MEMFILE_E_SYSTEM, offset, "disk full");
    if (offset + length <= f->room)
        memcpy(f->bytes + offset, data, length);
    if (offset + length > f->end)
        f->end = offset + length;
    f->unsynced += length;
    if (f->unsynced > f->most)
        f->most = f->unsynced;
    return MEMFILE_OK;
}
static int fake_sync(mf_io *io, memfile_error *err)
{
    fake *f = (fake *)io;
    note(f, 's');
    if (f->fail_sync && --f->fail_sync == 0)
        return mf_fail(err, MEMFILE_E_UNCERTAIN, MF_NOWHERE, "sync failed");
    f->unsynced = 0;
    return MEMFILE_OK;
}
static int fake_allocate(mf_io *io, uint64_t offset, uint64_t length, memfile_error *err)
{
    fake *f = (fake *)io;
    (void)length;
    note(f, 'a');
    return f->fail_allocate ? mf_fail(err, MEMFILE_E_SYSTEM, offset, "no room") : MEMFILE_OK;
}
static void fake_write_behind(mf_io *io, uint64_t offset, uint64_t length)
{
    (void)io, (void)offset, (void)length;
}
static void fake_close(mf_io *io)
{
    (void)io;
}

static const mf_io_functions fake_functions = {fake_read, fake_write, fake_sync, NULL, fake_allocate, fake_write_behind,
                                               NULL,      NULL,       NULL,      NULL, NULL,          fake_close,      NULL,
                                               NULL};

typedef struct bench {
    fake file;
    mf_store store;
    mf_group group;
    uint8_t previous[32];
} bench;

static void set_up(bench *b, size_t room)
{
    memset(b, 0, sizeof *b);
    b->file.io.functions = &fake_functions;
    b->file.room = room;
    b->file.bytes = (uint8_t *)calloc(1, room + 1);
    b->store.mem = &mf_mem_default;
    b->store.io = &b->file.io;
    b->store.state = &b->store.committed;
    b->store.tag = 0xcafe;
    b->store.cache_limit = 1 << 20;
    mf_items_init(&b->store.tail_items, &mf_mem_default);
    mf_compressor_init(&b->store.compressor);
    for (int i = 0; i < 32; i++)
        b->previous[i] = (uint8_t)(i * 3);
    mf_group_init(&b->group, &b->store);
    mf_group_begin(&b->group, 4096, 800, b->previous);
}

static void tear_down(bench *b)
{
    mf_group_free(&b->group);
    mf_store_close(&b->store);
    free(b->file.bytes);
}

static size_t zeros; /* where zeros begin in the contents; 0: there are none */

static int append(bench *b, size_t content_length, uint64_t *offset, memfile_error *e)
{
    static uint8_t content[MF_RAW_LENGTH_MAX];
    memset(content, 'c', sizeof content);
    if (zeros)
        memset(content + zeros, 0, 1023); /* some whole sector, wherever it begins */
    mf_built built;
    mf_built_init(&built, &mf_mem_default, NULL);
    int rc = mf_segment_build(&built, MF_TYPE_CHUNK, 0, mf_slice_of("h", 1), mf_slice_of(content, content_length), NULL, 0,
                              NULL, e);
    if (rc == MEMFILE_OK)
        rc = mf_group_append(&b->group, &built, offset, e);
    mf_built_free(&built);
    return rc;
}

static int commit(bench *b, bool synced, uint8_t digest[32], memfile_error *e)
{
    mf_built built;
    mf_built_init(&built, &mf_mem_default, NULL);
    int rc = mf_segment_build(&built, MF_TYPE_COMMIT, MF_FLAG_COMMIT | (synced ? MF_FLAG_SYNCED : 0),
                              mf_slice_of("commit", 6), mf_slice_of(NULL, 0), NULL, 0, NULL, e);
    if (rc == MEMFILE_OK)
        rc = mf_group_commit(&b->group, &built, digest, e);
    mf_built_free(&built);
    return rc;
}

/* ---- placing, writing, syncing */

static void segments_are_placed_one_behind_the_other_and_name_what_was_before(void **state)
{
    (void)state;
    bench b;
    memfile_error e;
    uint64_t at[5];
    uint8_t digest[32];
    set_up(&b, 65536);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(append(&b, 10 + 100 * i, &at[i], &e), MEMFILE_OK);
        assert_int_equal(b.file.calls, 0); /* nothing is written yet */
    }
    uint64_t commit_at = b.group.next;
    assert_int_equal(b.group.segments, 5);
    assert_int_equal(commit(&b, false, digest, &e), MEMFILE_OK);
    assert_string_equal(b.file.order, "ws"); /* SPEC 16.2: one write, one sync */
    assert_int_equal(at[0], 4096);
    uint64_t tag = 0;
    for (size_t i = 0; i <= 5; i++) {
        mf_segment s;
        uint64_t offset = i < 5 ? at[i] : commit_at;
        assert_int_equal(mf_segment_decode(&s, b.file.bytes + offset, offset, 0xcafe, &e), MEMFILE_OK);
        assert_int_equal(mf_segment_check(&s, b.file.bytes + offset, &e), MEMFILE_OK);
        assert_int_equal(s.previous_commit, 800);
        assert_true((s.parent_tag ^ (i < 5 ? 0 : tag)) == mf_load64(b.previous)); /* SPEC 4.1, 9.4 */
        tag = mf_checksum_seeded(b.file.bytes + offset + 56, 8, tag);
        assert_int_equal(offset + mf_segment_total(&s), i < 4 ? at[i + 1] : i == 4 ? commit_at : b.file.end);
    }
    tear_down(&b);
}

/* SPEC 16.2 */
static void a_synced_commit_is_written_behind_a_sync_of_its_group(void **state)
{
    (void)state;
    bench b;
    memfile_error e;
    uint8_t digest[32];
    set_up(&b, 200000);
    assert_int_equal(append(&b, 70000, NULL, &e), MEMFILE_OK);
    assert_true(mf_group_wants_two_syncs(&b.group, 100));
    assert_int_equal(commit(&b, true, digest, &e), MEMFILE_OK);
    assert_string_equal(b.file.order, "awsws"); /* room, group, sync, commit, sync */
    tear_down(&b);
}

static void two_syncs_are_wanted_for_more_than_65536_bytes(void **state)
{
    (void)state;
    bench b;
    memfile_error e;
    set_up(&b, 200000);
    assert_false(mf_group_wants_two_syncs(&b.group, 100)); /* alone, a commit needs one */
    assert_false(mf_group_wants_two_syncs(&b.group, 1000000));
    assert_int_equal(append(&b, 65000 - 66, NULL, &e), MEMFILE_OK);
    uint64_t group = b.group.next - b.group.first_segment;
    assert_int_equal(group, 65000);
    assert_false(mf_group_wants_two_syncs(&b.group, 65536 - group));
    assert_true(mf_group_wants_two_syncs(&b.group, 65536 - group + 1));
    assert_int_equal(mf_group_flush(&b.group, &e), MEMFILE_OK);
    assert_true(mf_group_wants_two_syncs(&b.group, 8)); /* some of it is in the file already */
    tear_down(&b);
}

/* SPEC 16.2: "In a long group a writer syncs at least every 16 MiB, so that 14.2 stays bounded." */
/* SPEC 14.3 takes a sector of zeros for one that was never written. */
static void two_syncs_are_wanted_for_a_sector_of_zeros(void **state)
{
    (void)state;
    for (size_t before = 0; before < 600; before += 7) {
        bench b;
        memfile_error e;
        uint64_t at;
        set_up(&b, 65536);
        assert_int_equal(append(&b, 1 + before, &at, &e), MEMFILE_OK);
        assert_false(mf_group_wants_two_syncs(&b.group, 200));
        zeros = 300;
        assert_int_equal(append(&b, 3000, &at, &e), MEMFILE_OK);
        zeros = 0;
        assert_true(mf_group_wants_two_syncs(&b.group, 200));
        tear_down(&b);
    }
}

static void a_long_group_is_synced_at_least_every_16_mib(void **state)
{
    (void)state;
    static const size_t sizes[] = {262144, 12000, 1000000, 700000};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        bench b;
        memfile_error e;
        uint8_t digest[32];
        uint64_t total = 0;
        set_up(&b, 4096);
        while (total < (uint64_t)50 << 20) {
            assert_int_equal(append(&b, sizes[k], NULL, &e), MEMFILE_OK);
            total += sizes[k];
        }
        assert_true(b.file.io.counters.syncs >= 3);
        assert_true(b.file.io.counters.syncs <= 5); /* and not much more often: syncs are dear */
        if (b.file.most > 16u << 20)
            fail_msg("segments of %zu: %llu bytes without a sync", sizes[k], (unsigned long long)b.file.most);
        assert_int_equal(commit(&b, true, digest, &e), MEMFILE_OK);
        assert_int_equal(b.file.unsynced, 0);
        assert_true(b.file.most <= 16u << 20);
        tear_down(&b);
    }
}

static void bytes_that_wait_are_bounded(void **state)
{
    (void)state;
    bench b;
    memfile_error e;
    set_up(&b, 4096);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(append(&b, 100000, NULL, &e), MEMFILE_OK);
        assert_true(b.group.out.length < 2u << 20);
    }
    tear_down(&b);
}

static void a_failed_write_or_sync_fails_the_commit(void **state)
{
    (void)state;
    for (int which = 0; which < 5; which++) {
        bench b;
        memfile_error e;
        uint8_t digest[32];
        set_up(&b, 400000);
        assert_int_equal(append(&b, 100000, NULL, &e), MEMFILE_OK);
        b.file.fail_allocate = which == 0;
        b.file.fail_write = which == 1 ? 1 : which == 2 ? 2 : 0;
        b.file.fail_sync = which == 3 ? 1 : which == 4 ? 2 : 0;
        int rc = commit(&b, true, digest, &e);
        assert_int_equal(rc, which < 3 ? MEMFILE_E_SYSTEM : MEMFILE_E_UNCERTAIN);
        assert_int_equal(e.code, rc);
        static const char *const done[] = {"a", "aw", "awsw", "aws", "awsws"};
        assert_string_equal(b.file.order, done[which]); /* and nothing is tried behind it */
        tear_down(&b);
    }
}

/* ---- digests, SPEC 8.7, spelt out */

static void b_of(const uint8_t *segment, uint8_t out[96])
{
    memcpy(out, segment, 64);
    mf_digest(out + 64, MF_LABEL_BYTES, segment + 64, mf_load32(segment + 8));
}

static void the_stored_digest_is_that_of_the_specification(void **state)
{
    (void)state;
    for (int with_void = 0; with_void < 2; with_void++)
        for (int segments = 0; segments < 3; segments++) {
            bench b;
            memfile_error e;
            uint8_t digest[32], prefix[32], expected[32], input[32 + 40 + 96 * 4];
            uint64_t at = 4096;
            static const uint8_t voided[24] = "bytes of a torn append!";
            size_t n = 32;
            set_up(&b, 65536);
            memcpy(input, b.previous, 32);
            if (with_void) {
                mf_digest(expected, MF_LABEL_BYTES, voided, 24);
                assert_int_equal(mf_group_void(&b.group, 24, mf_checksum(voided, 24), expected, &e), MEMFILE_OK);
                mf_store64(input + n, 24);
                memcpy(input + n + 8, expected, 32);
                n += 40;
                at += 24;
            }
            for (int i = 0; i < segments; i++)
                assert_int_equal(append(&b, 33, NULL, &e), MEMFILE_OK);
            mf_group_prefix(&b.group, prefix);
            assert_int_equal(commit(&b, false, digest, &e), MEMFILE_OK);
            for (int i = 0; i < segments + with_void; i++) {
                b_of(b.file.bytes + at, input + n);
                n += 96;
                at += 64 + (mf_load32(b.file.bytes + at + 8) + 7) / 8 * 8;
            }
            if (n > 32)
                mf_digest(expected, MF_LABEL_STORE, input, n);
            else
                memcpy(expected, b.previous, 32);
            assert_memory_equal(prefix, expected, 32);
            memcpy(input, prefix, 32);
            b_of(b.file.bytes + at, input + 32);
            mf_digest(expected, MF_LABEL_STORE, input, 32 + 96);
            assert_memory_equal(digest, expected, 32);
            tear_down(&b);
        }
}

/* SPEC 5.8, 2.5 */
static void a_void_names_the_bytes_between_and_comes_first(void **state)
{
    (void)state;
    bench b;
    memfile_error e;
    uint8_t digest[32] = {1};
    mf_segment s;
    mf_slice head, stored;
    set_up(&b, 65536);
    assert_int_equal(mf_group_void(&b.group, 1024, 0x1122334455667788u, digest, &e), MEMFILE_OK);
    assert_true(b.group.has_void);
    assert_int_equal(b.group.first_segment, 4096 + 1024);
    assert_int_equal(append(&b, 5, NULL, &e), MEMFILE_OK);
    assert_int_equal(commit(&b, false, digest, &e), MEMFILE_OK);
    const uint8_t *raw = b.file.bytes + 5120;
    assert_int_equal(mf_segment_decode(&s, raw, 5120, 0xcafe, &e), MEMFILE_OK);
    assert_int_equal(s.type, 8);
    assert_int_equal(s.flags, 0);
    assert_int_equal(s.stored_length, 17);
    assert_int_equal(mf_segment_split(&s, raw, &head, &stored, &e), MEMFILE_OK);
    assert_int_equal(head.length, 16);
    assert_int_equal(mf_load64(head.data), 1024);
    assert_true(mf_load64(head.data + 8) == 0x1122334455667788u);
    assert_int_equal(b.file.bytes[4096], 0); /* the void's own bytes are not touched */
    tear_down(&b);
}

/* ---- runs */

/* SPEC 10.7: the smallest L with fewer than 64 * 8^(L+1) entries */
static void the_level_of_a_run_is_that_of_the_specification(void **state)
{
    (void)state;
    static const struct {
        uint64_t entries;
        unsigned level;
    } cases[] = {{0, 0}, {1, 0}, {511, 0}, {512, 1}, {4095, 1}, {4096, 2}, {32767, 2}, {32768, 3}, {262144, 4},
                 {(uint64_t)1 << 40, 11}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(mf_run_level(cases[i].entries), cases[i].level);
}

static void make_readable(bench *b)
{
    memfile_error e;
    assert_int_equal(mf_group_flush(&b->group, &e), MEMFILE_OK);
    assert_true(b->file.end <= b->file.room);
    b->store.readable_end = b->file.end;
}

static uint32_t make_items(mf_items *items, uint64_t seed, uint32_t count)
{
    mf_items_init(items, &mf_mem_default);
    for (uint32_t i = 0; i < count; i++)
        mf_items_add(items, 1 + i % 10, next_random(&seed) >> (next_random(&seed) % 50), i);
    mf_items_sort(items);
    assert_false(items->failed);
    return count;
}

static int order(const void *a, const void *b)
{
    return mf_item_compare((const mf_item *)a, (const mf_item *)b);
}

static void check_run(bench *b, const mf_run *run, const mf_item *items, size_t count)
{
    mf_run_iterator it;
    mf_item item, found;
    memfile_error e;
    const mf_item lowest = {0, 0, 0};
    assert_int_equal(mf_run_seek(&it, &b->store, run, &lowest, &e), MEMFILE_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(mf_run_next(&it, &item, &e), MEMFILE_OK);
        assert_int_equal(mf_item_compare(&item, &items[i]), 0);
    }
    assert_int_equal(mf_run_next(&it, &item, &e), MEMFILE_DONE);
    mf_run_iterator_close(&it);
    for (size_t i = 0; i < count; i += 1 + count / 500) { /* from any item on, and the largest not above */
        assert_int_equal(mf_run_seek(&it, &b->store, run, &items[i], &e), MEMFILE_OK);
        assert_int_equal(mf_run_next(&it, &item, &e), MEMFILE_OK);
        assert_int_equal(mf_item_compare(&item, &items[i]), 0);
        mf_run_iterator_close(&it);
        assert_int_equal(mf_store_floor(&b->store, run, &items[i], &found, &e), MEMFILE_OK);
        assert_int_equal(mf_item_compare(&found, &items[i]), 0);
        mf_item below = items[i];
        if (below.value > 0) {
            below.value--;
            int rc = mf_store_floor(&b->store, run, &below, &found, &e);
            assert_int_equal(rc, i > 0 || mf_item_compare(&items[0], &below) <= 0 ? MEMFILE_OK : MEMFILE_DONE);
            if (rc == MEMFILE_OK)
                assert_true(mf_item_compare(&found, &below) <= 0 && mf_item_compare(&found, &items[i - 1]) == 0);
        }
    }
}

static void runs_of_any_size_hold_their_items_in_order(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 2, 500, 5000, 120000};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        bench b;
        memfile_error e;
        mf_items items;
        mf_run run;
        mf_item *sorted = (mf_item *)malloc((counts[k] + 1) * sizeof *sorted);
        size_t n = 0;
        set_up(&b, 8u << 20);
        make_items(&items, k + 5, counts[k]);
        for (unsigned kind = 1; kind <= 10; kind++)
            for (size_t i = 0; i < items.kind[kind].count; i++)
                sorted[n++] = (mf_item){(uint8_t)kind, items.kind[kind].pairs[i].key, items.kind[kind].pairs[i].value};
        qsort(sorted, n, sizeof *sorted, order);
        assert_int_equal(mf_run_write_items(&b.group, &items, 7, counts[k], &run, &e), MEMFILE_OK);
        make_readable(&b);
        assert_int_equal(run.type, 1);
        assert_int_equal(run.first_entry, 7);
        assert_int_equal(run.entry_count, counts[k]);
        if (counts[k] == 0) { /* SPEC 10.5: no pages; offset and lengths are 0 */
            assert_int_equal(run.root_offset + run.root_length + run.total_length, 0);
            assert_int_equal(b.file.end, 0);
        } else { /* the root is written last; its tree is all there is */
            assert_int_equal(run.root_offset + run.root_length, b.file.end);
            assert_int_equal(run.total_length, b.file.end - 4096);
        }
        check_run(&b, &run, sorted, n);
        /* SPEC 10.5: page bodies; DERIVED; one level down at a time */
        for (uint64_t at = 4096; at < b.file.end;) {
            mf_segment s;
            assert_int_equal(mf_segment_decode(&s, b.file.bytes + at, at, 0xcafe, &e), MEMFILE_OK);
            assert_int_equal(s.type, 3);
            assert_int_equal(s.flags, MF_FLAG_DERIVED);
            assert_true(s.stored_length <= 65536);
            at += mf_segment_total(&s);
        }
        mf_items_free(&items);
        free(sorted);
        tear_down(&b);
    }
}

static void merged_runs_hold_the_items_of_all(void **state)
{
    (void)state;
    enum { RUNS = 8, EACH = 3000 };
    bench b;
    memfile_error e;
    mf_run runs[RUNS], merged;
    static mf_item all[RUNS * EACH];
    size_t n = 0;
    set_up(&b, 8u << 20);
    for (uint32_t r = 0; r < RUNS; r++) {
        mf_items items;
        make_items(&items, r + 50, r == 3 ? 0 : EACH); /* one of them is empty */
        for (unsigned kind = 1; kind <= 10; kind++)
            for (size_t i = 0; i < items.kind[kind].count; i++) {
                items.kind[kind].pairs[i].value += (uint64_t)r * EACH; /* items of different entries */
                all[n++] = (mf_item){(uint8_t)kind, items.kind[kind].pairs[i].key, items.kind[kind].pairs[i].value};
            }
        assert_int_equal(mf_run_write_items(&b.group, &items, (uint64_t)r * EACH, EACH, &runs[r], &e), MEMFILE_OK);
        mf_items_free(&items);
    }
    make_readable(&b);
    assert_int_equal(mf_run_merge(&b.group, runs, RUNS, &merged, &e), MEMFILE_OK);
    make_readable(&b);
    assert_int_equal(merged.first_entry, 0);
    assert_int_equal(merged.entry_count, RUNS * EACH);
    qsort(all, n, sizeof *all, order);
    check_run(&b, &merged, all, n);
    tear_down(&b);
}

static void a_damaged_run_is_not_merged(void **state)
{
    (void)state;
    bench b;
    memfile_error e;
    mf_run runs[2], merged;
    set_up(&b, 8u << 20);
    for (uint32_t r = 0; r < 2; r++) {
        mf_items items;
        make_items(&items, r + 50, 3000);
        assert_int_equal(mf_run_write_items(&b.group, &items, r * 3000, 3000, &runs[r], &e), MEMFILE_OK);
        mf_items_free(&items);
    }
    make_readable(&b);
    b.file.bytes[runs[0].root_offset - 100] ^= 1; /* a leaf of the first run */
    assert_int_equal(mf_run_merge(&b.group, runs, 2, &merged, &e), MEMFILE_E_DAMAGED);
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_placed_one_behind_the_other_and_name_what_was_before),
        cmocka_unit_test(a_synced_commit_is_written_behind_a_sync_of_its_group),
        cmocka_unit_test(two_syncs_are_wanted_for_more_than_65536_bytes),
        cmocka_unit_test(two_syncs_are_wanted_for_a_sector_of_zeros),
        cmocka_unit_test(a_long_group_is_synced_at_least_every_16_mib),
        cmocka_unit_test(bytes_that_wait_are_bounded),
        cmocka_unit_test(a_failed_write_or_sync_fails_the_commit),
        cmocka_unit_test(the_stored_digest_is_that_of_the_specification),
        cmocka_unit_test(a_void_names_the_bytes_between_and_comes_first),
        cmocka_unit_test(the_level_of_a_run_is_that_of_the_specification),
        cmocka_unit_test(runs_of_any_size_hold_their_items_in_order),
        cmocka_unit_test(merged_runs_hold_the_items_of_all),
        cmocka_unit_test(a_damaged_run_is_not_merged),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
