/* damage: flips, cuts and debris. SPEC 14, 15.5, 16.5, 17. */
#include "support.h"

#include "header.h"
#include "segment.h"

#include "checksum.h"

static void make_small(const char *path)
{
    memfile *mf = create_file(path);
    put_text(mf, "a", "the first memory");
    commit_ok(mf);
    put_text(mf, "b", "the second memory, which is somewhat longer than the first one was before");
    put_text(mf, "a", "the first memory, corrected");
    commit_ok(mf);
    memfile_close(mf);
}

/* A file with every kind of segment but KEYS. */
static void make_large(const char *path)
{
    memfile *mf = create_file(path);
    char *text = (char *)malloc(40001), id[16];
    for (int i = 0; i < 40000; i++)
        text[i] = (char)('a' + (i * i + i / 7) % 26);
    text[40000] = '\0';
    put_text(mf, "long", text);
    commit_ok(mf);
    for (int i = 0; i < 1500; i++) {
        snprintf(id, sizeof id, "x%d", i);
        text[(i * 13) % 39000 + 100 + i % 40] = '\0';
        put_text(mf, id, text + (i * 13) % 39000);
        text[(i * 13) % 39000 + 100 + i % 40] = ' ';
    }
    commit_ok(mf);
    put_text(mf, "x3", "again");
    commit_ok(mf);
    memfile_close(mf);
    free(text);
}

static int count_commit(void *context, const memfile_commit_info *commit)
{
    assert_true(commit->number < 1u << 20);
    ++*(int *)context;
    return MEMFILE_OK;
}

/* Whatever the file is like: each reading call ends, and none crashes. */
static void read_all(const char *path)
{
    memfile *mf;
    memfile_cursor *c;
    const memfile_entry *entry;
    memfile_info info;
    const char *json;
    size_t length;
    int commits = 0;
    if (memfile_open(path, MEMFILE_READ, NULL, &mf, NULL) != MEMFILE_OK)
        return;
    memfile_get_info(mf, &info, sizeof info);
    memfile_log(mf, count_commit, &commits);
    memfile_get(mf, "a", 1, MEMFILE_NEWEST, &entry);
    if (memfile_list(mf, NULL, &c) == MEMFILE_OK) {
        while (memfile_cursor_next(c, &entry) == MEMFILE_OK)
            memfile_entry_json(mf, entry, UINT64_MAX, &json, &length);
        memfile_cursor_close(c);
    }
    memfile_close(mf);
}

/* With MEMFILE_SWEEP set: all 255 other values of each byte of the small file, 3 of each of the others'. */
static void every_flipped_byte_is_found(void **state)
{
    (void)state;
    bool whole = getenv("MEMFILE_SWEEP") != NULL;
    unsigned long copies = 0;
    for (int which = 0; which < 3; which++) {
        const char *path = temp_path("flip"), *copy = temp_path("flipped");
        size_t length;
        if (which)
            make_large(path);
        else
            make_small(path);
        if (which == 2)
            assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
        assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
        uint8_t *bytes = read_file(path, &length);
        size_t step = which && !whole ? length / 700 + 1 : 1;
        for (size_t i = 0; i < length; i += step)
            for (unsigned k = 0; k < (which == 0 ? whole ? 255 : 8 : whole ? 3 : 1); k++, copies++) {
                uint8_t mask = (uint8_t)(which == 0 ? whole ? k + 1 : 1u << k : k == 1 ? 0xff : 1u << (i + k) % 8);
                bytes[i] ^= mask;
                write_file(copy, bytes, length);
                int rc = verify_path(copy, NULL);
                if (rc != MEMFILE_E_DAMAGED && !(i < 80 && rc == MEMFILE_E_NOT_MEMFILE))
                    fail_msg("file %d: byte %zu, xor %02x: %s", which, i, mask, memfile_strerror(rc));
                if (k % 3 == 0)
                    read_all(copy);
                bytes[i] ^= mask;
            }
        free(bytes);
    }
    print_message("%lu damaged copies\n", copies);
}

static void quick_verify_finds_flips_too(void **state)
{
    (void)state;
    const char *path = temp_path("quick"), *copy = temp_path("quicker");
    size_t length;
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result r;
    make_small(path);
    o.quick = 1;
    assert_int_equal(memfile_verify(path, &o, &r, NULL), MEMFILE_OK);
    uint8_t *bytes = read_file(path, &length);
    for (size_t i = 80; i < length; i++) {
        bytes[i] ^= 0x40;
        write_file(copy, bytes, length);
        assert_int_not_equal(memfile_verify(copy, &o, &r, NULL), MEMFILE_OK);
        bytes[i] ^= 0x40;
    }
    free(bytes);
}

static uint64_t entries_of(const char *path, int *rc)
{
    memfile *mf;
    memfile_error e;
    memfile_info info;
    *rc = memfile_open(path, MEMFILE_READ, NULL, &mf, &e);
    if (*rc != MEMFILE_OK)
        return 0;
    memfile_get_info(mf, &info, sizeof info);
    memfile_close(mf);
    return info.entries;
}

/* Where commits end, and how many entries there are then. */
static size_t commit_ends(const uint8_t *bytes, size_t length, size_t *ends)
{
    size_t count = 0, at = MF_HEADER_LENGTH;
    mf_header header;
    memfile_error e;
    assert_int_equal(mf_header_decode(&header, bytes, length, &e), MEMFILE_OK);
    while (at < length) {
        mf_segment s;
        assert_int_equal(mf_segment_decode(&s, bytes + at, at, mf_header_tag(&header), &e), MEMFILE_OK);
        at += (size_t)mf_segment_total(&s);
        if (s.flags & MF_FLAG_COMMIT)
            ends[count++] = at;
    }
    return count;
}

static void every_cut_opens_at_the_commit_before_it_and_takes_new_ones(void **state)
{
    (void)state;
    const char *path = temp_path("cut"), *copy = temp_path("cutoff");
    static const uint64_t entries[] = {0, 1, 3};
    size_t length, ends[8];
    make_small(path);
    uint8_t *bytes = read_file(path, &length);
    assert_int_equal(commit_ends(bytes, length, ends), 3);
    for (size_t cut = 0; cut <= length; cut++) {
        int rc;
        write_file(copy, bytes, cut);
        uint64_t n = entries_of(copy, &rc);
        if (cut < ends[0]) {
            assert_int_not_equal(rc, MEMFILE_OK);
            continue;
        }
        size_t commit = cut >= ends[2] ? 2 : cut >= ends[1] ? 1 : 0;
        assert_int_equal(rc, MEMFILE_OK);
        assert_int_equal(n, entries[commit]);
        bool whole = cut == ends[commit];
        assert_int_equal(verify_path(copy, NULL), whole ? MEMFILE_OK : MEMFILE_E_TRUNCATED);
        memfile *mf = open_file(copy, MEMFILE_WRITE);
        put_text(mf, "new", "after the tear");
        commit_ok(mf);
        memfile_close(mf);
        memfile_verify_result r;
        assert_int_equal(verify_path(copy, &r), MEMFILE_OK);
        assert_int_equal(r.entries, entries[commit] + 1);
        assert_int_equal(r.void_bytes > 0, !whole);
        size_t after;
        uint8_t *grown = read_file(copy, &after);
        assert_memory_equal(grown, bytes, cut); /* nothing was changed or cut */
        free(grown);
    }
    free(bytes);
}

static void zeros_and_junk_at_the_end_are_torn(void **state)
{
    (void)state;
    const char *path = temp_path("junk");
    static const size_t lengths[] = {1, 7, 8, 63, 64, 512, 4096, 70000, 300000};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
        for (int junk = 0; junk < 2; junk++) {
            size_t length;
            uint64_t seed = k + 1;
            make_small(path);
            uint8_t *bytes = read_file(path, &length);
            bytes = (uint8_t *)realloc(bytes, length + lengths[k]);
            for (size_t i = 0; i < lengths[k]; i++)
                bytes[length + i] = junk ? (uint8_t)next_random(&seed) : 0;
            write_file(path, bytes, length + lengths[k]);
            free(bytes);
            memfile_verify_result r;
            assert_int_equal(verify_path(path, &r), MEMFILE_E_TRUNCATED);
            assert_int_equal(r.unfinished_bytes, lengths[k]);
            memfile *mf = open_file(path, MEMFILE_WRITE);
            assert_text(mf, "a", "the first memory, corrected");
            put_text(mf, "c", "behind a void");
            commit_ok(mf);
            put_text(mf, "d", "and on");
            commit_ok(mf);
            memfile_close(mf);
            assert_int_equal(verify_path(path, &r), MEMFILE_OK);
            assert_true(r.void_bytes >= lengths[k]);
            assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
            assert_int_equal(verify_path(path, &r), MEMFILE_OK);
            assert_int_equal(r.void_bytes, 0);
            assert_int_equal(r.entries, 5);
        }
}

/* Two tears, the second anywhere behind the first: everything acknowledged stays, and
 * writing goes on. */
static void a_second_tear_loses_nothing_either(void **state)
{
    (void)state;
    const char *path = temp_path("tears"), *copy = temp_path("tears2");
    size_t length, ends[8], torn;
    make_small(path);
    uint8_t *bytes = read_file(path, &length);
    commit_ends(bytes, length, ends);
    for (size_t first = ends[1] + 1; first < length; first += 13) {
        write_file(path, bytes, first);
        memfile *mf = open_file(path, MEMFILE_WRITE);
        put_text(mf, "c", "behind the first tear");
        commit_ok(mf);
        memfile_close(mf);
        uint8_t *grown = read_file(path, &torn);
        for (size_t second = first; second <= torn; second += second + 100 < torn ? 7 : 1) {
            write_file(copy, grown, second);
            mf = open_file(copy, MEMFILE_WRITE);
            assert_text(mf, "a", "the first memory");
            if (second == torn)
                assert_text(mf, "c", "behind the first tear");
            memfile_draft *d;
            assert_int_equal(memfile_draft_new(&d), 0);
            memfile_draft_set(d, MEMFILE_ID, "d", 1);
            memfile_draft_set(d, MEMFILE_TEXT, "x", 1);
            if (memfile_put(mf, d, NULL) != MEMFILE_OK)
                fail_msg("cut at %zu, then at %zu of %zu: %s", first, second, torn, memfile_last_error(mf)->message);
            memfile_draft_free(d);
            commit_ok(mf);
            memfile_close(mf);
            memfile_verify_result r;
            assert_int_equal(verify_path(copy, &r), MEMFILE_OK);
            assert_int_equal(r.entries, second == torn ? 3 : 2);
        }
        free(grown);
    }
    free(bytes);
}

static void commits_within_the_lengths_of_a_torn_segment_are_not_lost(void **state)
{
    (void)state;
    const char *path = temp_path("within");
    memfile *mf = create_file(path);
    memfile_draft *d;
    uint64_t seed = 1;
    size_t length;
    uint8_t *noise = (uint8_t *)malloc(900000);
    for (size_t i = 0; i < 900000; i++)
        noise[i] = (uint8_t)next_random(&seed);
    put_text(mf, "first", "first");
    commit_ok(mf);
    assert_int_equal(memfile_draft_new(&d), 0);
    memfile_draft_set(d, MEMFILE_DATA, noise, 900000);
    assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_OK);
    commit_ok(mf);
    memfile_draft_free(d);
    memfile_close(mf);
    assert_int_equal(truncate(path, 2000), 0);
    mf = open_file(path, MEMFILE_WRITE);
    put_text(mf, "a1", "1");
    commit_ok(mf);
    put_text(mf, "a2", "2");
    commit_ok(mf);
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    bytes = (uint8_t *)realloc(bytes, length + 39);
    memcpy(bytes + length, noise, 39);
    write_file(path, bytes, length + 39);
    mf = open_file(path, MEMFILE_WRITE);
    assert_text(mf, "first", "first");
    assert_text(mf, "a1", "1");
    assert_text(mf, "a2", "2");
    put_text(mf, "a3", "3");
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
    free(bytes);
    free(noise);
}

static void a_lost_sector_of_an_unsynced_group_is_torn(void **state)
{
    (void)state;
    const char *path = temp_path("sector"), *copy = temp_path("sector2");
    size_t length, ends[256];
    memfile *mf = create_file(path);
    for (int i = 0; i < 64; i++) { /* the 64th commit brings a run */
        char json[200];
        snprintf(json, sizeof json, "{\"id\":\"n%d\",\"text\":\"t\",\"tags\":[\"a%d\",\"b%d\",\"c%d\",\"d%d\"]}", i, i, i, i, i);
        assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
        commit_ok(mf);
    }
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    size_t count = commit_ends(bytes, length, ends);
    assert_int_equal(count, 65);
    size_t start = ends[count - 2];
    assert_true(length - start > 1024);
    for (size_t sector = (start + 511) / 512 * 512; sector + 512 <= length; sector += 512) {
        uint8_t *lost = (uint8_t *)malloc(length);
        memcpy(lost, bytes, length);
        memset(lost + sector, 0, 512);
        write_file(copy, lost, length);
        mf = open_file(copy, MEMFILE_WRITE);
        put_text(mf, "after", "after");
        commit_ok(mf);
        memfile_close(mf);
        memfile_verify_result r;
        assert_int_equal(verify_path(copy, &r), MEMFILE_OK);
        assert_int_equal(r.entries, 64);
        free(lost);
    }
    free(bytes);
}

/* Another append's bytes behind it, as an earlier crash may have left them: nothing there says that the commit did
 * not count, but that its group is not whole. */
static void a_whole_commit_whose_group_is_torn_becomes_void(void **state)
{
    (void)state;
    const char *path = temp_path("torn-group");
    size_t length, ends[256];
    uint64_t seed = 5;
    memfile_verify_result r;
    memfile *mf = create_file(path);
    for (int i = 0; i < 64; i++) { /* the 64th commit brings a run */
        put_text(mf, NULL, "t");
        commit_ok(mf);
    }
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    size_t start = ends[commit_ends(bytes, length, ends) - 2];
    bytes = (uint8_t *)realloc(bytes, length + 900);
    for (size_t i = 0; i < 900; i++)
        bytes[length + i] = (uint8_t)next_random(&seed);
    /* a byte that changed in what was written is damage, whatever stands behind it */
    bytes[start + 70] ^= 1;
    write_file(path, bytes, length + 900);
    assert_int_equal(memfile_open(path, MEMFILE_WRITE, NULL, &mf, NULL), MEMFILE_OK);
    assert_int_equal(put_json(mf, "{\"text\":\"x\"}", NULL), MEMFILE_E_DAMAGED);
    memfile_close(mf);
    bytes[start + 70] ^= 1;
    /* a sector that was never written is a tear */
    memset(bytes + start, 0, 512 - start % 512);
    write_file(path, bytes, length + 900);
    mf = open_file(path, MEMFILE_WRITE);
    put_text(mf, "after", "after");
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(verify_path(path, &r), MEMFILE_OK);
    assert_int_equal(r.entries, 64);
    assert_true(r.void_bytes > length + 900 - start - 8);
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    assert_int_equal(verify_path(path, &r), MEMFILE_OK);
    assert_int_equal(r.entries, 64);
    free(bytes);
}

static void a_damaged_newest_commit_is_not_overwritten(void **state)
{
    (void)state;
    const char *path = temp_path("newest"), *copy = temp_path("newest2");
    size_t length, ends[8];
    make_small(path);
    uint8_t *bytes = read_file(path, &length);
    commit_ends(bytes, length, ends);
    for (size_t i = ends[1]; i < length; i++) {
        memfile *mf;
        memfile_error e;
        memfile_info info;
        bytes[i] ^= 0x10;
        write_file(copy, bytes, length);
        assert_int_equal(memfile_open(copy, MEMFILE_WRITE, NULL, &mf, &e), MEMFILE_OK);
        memfile_get_info(mf, &info, sizeof info);
        assert_int_equal(info.entries, 1);
        if (!info.unfinished_is_damage)
            fail_msg("byte %zu of the newest commit passes as torn", i - ends[1]);
        assert_int_equal(put_json(mf, "{\"text\":\"x\"}", NULL), MEMFILE_E_DAMAGED);
        memfile_close(mf);
        bytes[i] ^= 0x10;
    }
    free(bytes);
}

static void damage_in_one_commit_costs_that_commit(void **state)
{
    (void)state;
    const char *path = temp_path("middle");
    memfile *mf = create_file(path);
    char id[16];
    size_t length, ends[32];
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "n%d", i);
        put_text(mf, id, id);
        commit_ok(mf);
    }
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    commit_ends(bytes, length, ends);
    bytes[ends[9] + 100] ^= 1; /* in the commit of n9 */
    write_file(path, bytes, length);
    mf = open_file(path, MEMFILE_READ);
    for (int i = 0; i < 20; i++) {
        const memfile_entry *e;
        snprintf(id, sizeof id, "n%d", i);
        if (i == 9)
            assert_int_not_equal(memfile_get(mf, id, strlen(id), MEMFILE_NEWEST, &e), MEMFILE_OK);
        else
            assert_text(mf, id, id);
    }
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_E_DAMAGED);
    free(bytes);
}

/* A flip anywhere in an index page, a footer or a commit of a large file: whatever
 * entry is not in the flipped segment itself is still found, listed and right. */
/* The block of the newest version of a memory is damaged: the older one is not given out as the newest. */
static void an_older_version_is_not_given_for_a_lost_one(void **state)
{
    (void)state;
    const char *path = temp_path("older");
    static mf_segment segments[64];
    size_t length;
    memfile_info info;
    memfile *mf = create_file(path);
    for (int version = 0; version < 3; version++) {
        char text[64];
        for (int i = 0; i < 900; i++) {
            snprintf(text, sizeof text, "of many, number %d of version %d", i, version);
            put_text(mf, i == 0 && version < 2 ? "a" : NULL, text);
        }
        commit_ok(mf);
    }
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    size_t count = segments_of(bytes, length, segments, 64);
    int hidden = 0, others = 0;
    for (size_t i = 0; i < count; i++) {
        memfile_options o = MEMFILE_OPTIONS_INIT;
        const memfile_entry *e;
        mf_slice head, stored;
        memfile_error why;
        if (segments[i].type != MF_TYPE_RECORDS)
            continue;
        assert_int_equal(mf_segment_split(&segments[i], bytes + segments[i].offset, &head, &stored, &why), MEMFILE_OK);
        mf_cursor c = mf_cursor_of(head.data, head.length);
        uint64_t first = mf_get_varint(&c), rows = mf_get_varint(&c);
        bool hides = first <= 900 && 900 < first + rows; /* its newest version */
        bytes[segments[i].offset + 80] ^= 1;
        write_file(path, bytes, length);
        bytes[segments[i].offset + 80] ^= 1;
        mf = open_file(path, MEMFILE_READ);
        assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
        assert_false(info.incomplete); /* nobody has looked there */
        int rc = memfile_get(mf, "a", 1, MEMFILE_NEWEST, &e);
        assert_int_equal(rc, hides ? MEMFILE_E_DAMAGED : MEMFILE_OK);
        assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
        assert_int_equal(info.incomplete, hides);
        if (hides) {
            assert_non_null(strstr(memfile_last_error(mf)->message, "entry 0, but a newer one"));
            assert_int_equal(memfile_get(mf, "a", 1, 1, &e), MEMFILE_OK); /* as of the first commit it was the newest */
            assert_int_equal(memfile_get(mf, "b", 1, MEMFILE_NEWEST, &e), MEMFILE_E_DAMAGED);
        }
        memfile_close(mf);
        o.strictness = MEMFILE_SALVAGE;
        assert_int_equal(memfile_open(path, MEMFILE_READ, &o, &mf, NULL), MEMFILE_OK);
        assert_int_equal(memfile_get(mf, "a", 1, MEMFILE_NEWEST, &e), MEMFILE_OK);
        assert_int_equal(memfile_entry_number(e), hides ? 0 : 900);
        memfile_close(mf);
        hidden += hides;
        others += !hides;
    }
    assert_int_equal(hidden, 1);
    assert_true(others > 1);
    free(bytes);
}

/* What each strictness says: of opening, of a memfile_get, of a commit; the file is at `path`. */
static void check_strictness(const char *path, memfile_strictness strictness, int opened, int got, int committed)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    const memfile_entry *e;
    memfile *mf;
    o.strictness = strictness;
    int rc = memfile_open(path, MEMFILE_READ, &o, &mf, NULL);
    if (rc != opened)
        fail_msg("strictness %d: open gives %d", strictness, rc);
    if (rc != MEMFILE_OK)
        return;
    rc = memfile_get(mf, "x7", 2, MEMFILE_NEWEST, &e);
    if (rc != got)
        fail_msg("strictness %d: get gives %d", strictness, rc);
    memfile_close(mf);
    assert_int_equal(memfile_open(path, MEMFILE_WRITE, &o, &mf, NULL), MEMFILE_OK);
    rc = put_json(mf, "{\"text\":\"more\"}", NULL);
    if (rc == MEMFILE_OK)
        rc = memfile_commit(mf, NULL);
    if (rc != committed)
        fail_msg("strictness %d: commit gives %d", strictness, rc);
    memfile_close(mf);
}

static void each_strictness_keeps_its_word(void **state)
{
    (void)state;
    static mf_segment segments[64];
    const char *path = temp_path("strict"), *copy = temp_path("strict2");
    char id[16];
    size_t length, n;
    memfile *mf = create_file(path);
    for (int i = 0; i < 3000; i++) {
        snprintf(id, sizeof id, "x%d", i);
        put_text(mf, id, id);
    }
    commit_ok(mf);
    put_text(mf, "last", "one");
    commit_ok(mf);
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length), *torn = (uint8_t *)calloc(1, length + 100);
    size_t count = segments_of(bytes, length, segments, 64), page = 0;
    while (page < count && segments[page].type != MF_TYPE_INDEX)
        page++;
    assert_true(page < count);
    memcpy(torn, bytes, length);
    memset(torn + length, 'x', 100);
    for (int strictness = 0; strictness <= MEMFILE_SALVAGE; strictness++) {
        const bool strict = strictness == MEMFILE_STRICT, salvage = strictness == MEMFILE_SALVAGE;
        check_strictness(path, (memfile_strictness)strictness, MEMFILE_OK, MEMFILE_OK, MEMFILE_OK); /* nothing is amiss */
        write_file(copy, torn, length + 100);
        check_strictness(copy, (memfile_strictness)strictness, strict ? MEMFILE_E_TRUNCATED : MEMFILE_OK, MEMFILE_OK, MEMFILE_OK);
        for (size_t i = page; i < count && segments[i].type == MF_TYPE_INDEX; i++)
            bytes[segments[i].offset + 70] ^= 1;
        write_file(copy, bytes, length);
        for (size_t i = page; i < count && segments[i].type == MF_TYPE_INDEX; i++)
            bytes[segments[i].offset + 70] ^= 1;
        check_strictness(copy, (memfile_strictness)strictness, MEMFILE_OK, strict ? MEMFILE_E_DAMAGED : MEMFILE_OK, MEMFILE_OK);
        bytes[segments[count - 1].offset + 70] ^= 1; /* the newest commit: what it said is not known */
        write_file(copy, bytes, length);
        bytes[segments[count - 1].offset + 70] ^= 1;
        check_strictness(copy, (memfile_strictness)strictness, strict ? MEMFILE_E_DAMAGED : MEMFILE_OK, MEMFILE_OK,
                         salvage ? MEMFILE_OK : MEMFILE_E_DAMAGED);
    }
    memfile_options o = MEMFILE_OPTIONS_INIT; /* a strict writer whose file was torn by another meanwhile */
    o.strictness = MEMFILE_STRICT;
    write_file(copy, bytes, length);
    assert_int_equal(memfile_open(copy, MEMFILE_WRITE, &o, &mf, NULL), MEMFILE_OK);
    write_file(copy, torn, length + 100);
    assert_int_equal(put_json(mf, "{\"text\":\"more\"}", NULL), MEMFILE_E_TRUNCATED);
    memfile_close(mf);
    uint8_t *after = read_file(copy, &n);
    assert_int_equal(n, length + 100);
    assert_memory_equal(after, torn, n);
    free(after);
    free(torn);
    free(bytes);
}

static void damage_to_index_and_footer_costs_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("index"), *copy = temp_path("index2");
    memfile *mf = create_file(path);
    char id[16];
    size_t length, at = MF_HEADER_LENGTH, tried = 0;
    mf_header header;
    memfile_error e;
    for (int i = 0; i < 6000; i++) {
        snprintf(id, sizeof id, "x%d", i);
        put_text(mf, id, id);
        if (i >= 5998) /* one large commit, and a small one behind it */
            commit_ok(mf);
    }
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    assert_int_equal(mf_header_decode(&header, bytes, length, &e), MEMFILE_OK);
    while (at < length) {
        mf_segment s;
        assert_int_equal(mf_segment_decode(&s, bytes + at, at, mf_header_tag(&header), &e), MEMFILE_OK);
        uint64_t total = mf_segment_total(&s);
        if (s.type == MF_TYPE_INDEX || (s.type == MF_TYPE_COMMIT && at > MF_HEADER_LENGTH) || s.type == MF_TYPE_DICTIONARY) {
            bytes[at + 80] ^= 4;
            write_file(copy, bytes, length);
            bytes[at + 80] ^= 4;
            tried++;
            memfile_options o = MEMFILE_OPTIONS_INIT;
            o.cache_bytes = 0;
            if (memfile_open(copy, MEMFILE_READ, &o, &mf, &e) != MEMFILE_OK)
                fail_msg("segment of type %u at %zu: %s", s.type, at, e.message);
            memfile_info info;
            memfile_get_info(mf, &info, sizeof info);
            if (s.type == MF_TYPE_COMMIT && at + total == length) { /* the newest: what it brought is not committed without it */
                assert_true(info.unfinished_is_damage);
                memfile_close(mf);
                at += (size_t)total;
                continue;
            }
            memfile_cursor *c;
            const memfile_entry *entry;
            int n = 0, rc;
            assert_int_equal(memfile_list(mf, NULL, &c), MEMFILE_OK);
            while ((rc = memfile_cursor_next(c, &entry)) == MEMFILE_OK)
                assert_int_equal(memfile_entry_number(entry), n++);
            assert_int_equal(rc, MEMFILE_DONE);
            assert_int_equal(n, 6000);
            memfile_cursor_close(c);
            for (int i = 0; i < 6000; i += 37) {
                snprintf(id, sizeof id, "x%d", i);
                assert_text(mf, id, id);
            }
            memfile_close(mf);
        }
        at += (size_t)total;
    }
    assert_true(tried > 5);
    free(bytes);
}

/* A text over 32 KiB, whose places only the index tells, and the index is damaged. */
static void a_content_is_read_without_an_index(void **state)
{
    (void)state;
    const char *path = temp_path("content"), *copy = temp_path("content2");
    size_t length, at = MF_HEADER_LENGTH, text_length = 300000, tried = 0, json_length;
    mf_header header;
    memfile_error e;
    const char *json;
    char *text = (char *)malloc(text_length + 1);
    uint64_t random = 7;
    for (size_t i = 0; i < text_length; i++)
        text[i] = (char)('a' + next_random(&random) % 26);
    text[text_length] = '\0';
    memfile *mf = create_file(path);
    put_text(mf, "long", text);
    put_text(mf, "short", "a short one");
    commit_ok(mf);
    put_text(mf, "last", "the last one");
    commit_ok(mf);
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    assert_int_equal(mf_header_decode(&header, bytes, length, &e), MEMFILE_OK);
    for (mf_segment s; at < length; at += (size_t)mf_segment_total(&s)) {
        assert_int_equal(mf_segment_decode(&s, bytes + at, at, mf_header_tag(&header), &e), MEMFILE_OK);
        if (s.type != MF_TYPE_INDEX)
            continue;
        tried++;
        bytes[at + 70] ^= 1;
        write_file(copy, bytes, length);
        bytes[at + 70] ^= 1;
        const memfile_entry *entry;
        mf = open_file(copy, MEMFILE_READ);
        assert_int_equal(memfile_get(mf, "long", 4, MEMFILE_NEWEST, &entry), MEMFILE_OK);
        assert_int_equal(memfile_entry_json(mf, entry, UINT64_MAX, &json, &json_length), MEMFILE_OK);
        assert_true(json_length > text_length);
        assert_memory_equal(strstr(json, "\"text\":\"") + 8, text, text_length);
        memfile_close(mf);
    }
    assert_true(tried > 0);
    free(bytes);
    free(text);
}

/* What is not found may have stood in what cannot be read: that is not the same as "there is none". */
static void what_may_be_lost_is_not_called_missing(void **state)
{
    (void)state;
    const char *path = temp_path("maybe");
    size_t length, ends[8];
    const memfile_entry *entry;
    memfile *mf = create_file(path);
    for (int i = 0; i < 4; i++) {
        char id[8];
        snprintf(id, sizeof id, "m%d", i);
        put_text(mf, id, "something to be known");
        commit_ok(mf);
        memfile_info info;
        memfile_get_info(mf, &info, sizeof info);
        ends[i] = (size_t)info.committed_bytes;
    }
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    for (int i = 0; i < 4; i++) {
        char id[8];
        snprintf(id, sizeof id, "m%d", i);
        bytes[ends[i] - 40] ^= 8;
        write_file(path, bytes, length);
        mf = open_file(path, MEMFILE_READ);
        assert_int_equal(memfile_get(mf, id, 2, MEMFILE_NEWEST, &entry), MEMFILE_E_DAMAGED);
        memfile_close(mf);
        bytes[ends[i] - 40] ^= 8;
    }
    write_file(path, bytes, length);
    mf = open_file(path, MEMFILE_READ);
    assert_int_equal(memfile_get(mf, "none", 4, MEMFILE_NEWEST, &entry), MEMFILE_E_NOT_FOUND);
    memfile_close(mf);
    free(bytes);
}

static void a_memory_that_holds_a_memfile_confuses_nobody(void **state)
{
    (void)state;
    const char *inner = temp_path("inner"), *outer = temp_path("outer");
    size_t length;
    make_small(inner);
    uint8_t *bytes = read_file(inner, &length);
    memfile *mf = create_file(outer);
    memfile_draft *d;
    assert_int_equal(memfile_draft_new(&d), 0);
    memfile_draft_set(d, MEMFILE_ID, "file", 4);
    memfile_draft_set(d, MEMFILE_DATA, bytes, length);
    assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_OK);
    commit_ok(mf);
    memfile_close(mf);
    memfile_draft_free(d);
    free(bytes);
    bytes = read_file(outer, &length);
    bytes = (uint8_t *)realloc(bytes, length + 24);
    memset(bytes + length, 0xee, 24); /* torn: the end is found by search */
    write_file(outer, bytes, length + 24);
    free(bytes);
    mf = open_file(outer, MEMFILE_READ);
    memfile_info info;
    memfile_get_info(mf, &info, sizeof info);
    assert_int_equal(info.entries, 1);
    assert_int_equal(info.unfinished_bytes, 24);
    memfile_close(mf);
}

/* All checksums right, the digest another: only verify, which computes it, can tell. */
static void a_history_digest_that_lies_is_found(void **state)
{
    (void)state;
    const char *path = temp_path("lies");
    size_t length, ends[8], at;
    memfile_info info;
    make_small(path);
    memfile *mf = open_file(path, MEMFILE_READ);
    memfile_get_info(mf, &info, sizeof info);
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    commit_ends(bytes, length, ends);
    for (at = ends[1] + 64; memcmp(bytes + at, info.history_digest, 32) != 0; at++)
        assert_true(at + 32 < length);
    uint8_t *segment = bytes + ends[1];
    bytes[at + 5] ^= 1;
    mf_store64(segment + 48, mf_checksum(segment + 64, mf_load32(segment + 8)));
    mf_store64(segment + 56, mf_checksum(segment, 56));
    write_file(path, bytes, length);
    assert_int_equal(verify_path(path, NULL), MEMFILE_E_DAMAGED);
    free(bytes);
}

static void newer_versions_are_told_from_damage(void **state)
{
    (void)state;
    const char *path = temp_path("newer");
    static const struct {
        size_t offset;
        uint8_t value;
    } fields[] = {{12, 2}, {14, 9}, {15, 1}, {16, 1}, {28, 1}, {64, 1}};
    size_t length;
    make_small(path);
    uint8_t *bytes = read_file(path, &length);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        memfile *mf;
        memfile_error e;
        uint8_t *copy = (uint8_t *)malloc(length);
        memcpy(copy, bytes, length);
        copy[fields[i].offset] = fields[i].value;
        mf_store64(copy + 72, mf_checksum(copy, 72));
        assert_int_equal(memfile_open_memory(copy, length, NULL, &mf, &e), MEMFILE_E_NEWER);
        assert_non_null(strstr(e.message, "newer version"));
        free(copy);
    }
    bytes[20] = 1; /* a write feature: readable, not writable */
    mf_store64(bytes + 72, mf_checksum(bytes, 72));
    write_file(path, bytes, length);
    memfile *mf = open_file(path, MEMFILE_WRITE);
    assert_text(mf, "a", "the first memory, corrected");
    assert_int_equal(put_json(mf, "{\"text\":\"x\"}", NULL), MEMFILE_E_NEWER);
    memfile_close(mf);
    free(bytes);
}

/* Blocks whose checksums are right and that do not decode take nothing from the others, with the index and without. */
static void a_block_that_does_not_decode_costs_itself(void **state)
{
    (void)state;
    const char *path = temp_path("undecoded");
    static mf_segment s[64];
    size_t length, block = 0, page = 0;
    uint64_t seed = 5;
    memfile *mf = create_file(path);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 900; k++) {
            char json[200];
            snprintf(json, sizeof json, "{\"id\":\"%d.%d\",\"text\":\"%llu, so that a batch does not fit into its commit\",\"key\":\"k%d\"}", i, k,
                     (unsigned long long)next_random(&seed), k % 100);
            assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
        }
        commit_ok(mf);
    }
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    size_t count = segments_of(bytes, length, s, 64);
    for (size_t i = 0, n = 0; i < count; i++) {
        if (s[i].type == MF_TYPE_RECORDS && n++ == 0)
            block = i;
        if (s[i].type == MF_TYPE_INDEX)
            page = i;
    }
    assert_true(block && page);
    mf_slice head, stored;
    memfile_error why;
    assert_int_equal(mf_segment_split(&s[block], bytes + s[block].offset, &head, &stored, &why), MEMFILE_OK);
    mf_cursor columns = mf_cursor_of(head.data, head.length);
    assert_int_equal(mf_get_varint(&columns), 0);
    const uint64_t rows = mf_get_varint(&columns);
    for (uint32_t i = 6; i < 60; i++) /* behind First_Entry and Row_Count */
        bytes[s[block].offset + MF_SEGMENT_HEADER_LENGTH + i] = 0xff;
    reseal(bytes + s[block].offset);
    for (int indexed = 1; indexed >= 0; indexed--) {
        if (!indexed)
            bytes[s[page].offset + 80] ^= 1;
        uint64_t shown[2] = {0, 0};
        for (int all = 1; all >= 0; all--)
            for (int reverse = 0; reverse < 2; reverse++) {
                memfile_filter f = MEMFILE_FILTER_INIT;
                memfile_cursor *c;
                const memfile_entry *e;
                uint64_t n = 0;
                int rc;
                f.all = all;
                f.reverse = reverse;
                assert_int_equal(memfile_open_memory(bytes, length, NULL, &mf, NULL), MEMFILE_OK);
                assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
                while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK)
                    n++;
                if (rc != MEMFILE_E_DAMAGED)
                    fail_msg("indexed %d, all %d, reverse %d: %d after %llu", indexed, all, reverse, rc, (unsigned long long)n);
                memfile_cursor_close(c);
                if (reverse)
                    assert_int_equal(n, shown[all]);
                shown[all] = n;
                assert_int_equal(memfile_get(mf, "2.7", 3, MEMFILE_NEWEST, &e), MEMFILE_OK);
                assert_int_equal(memfile_get(mf, "0.7", 3, MEMFILE_NEWEST, &e), MEMFILE_E_DAMAGED);
                assert_int_equal(memfile_get(mf, "none", 4, MEMFILE_NEWEST, &e), MEMFILE_E_DAMAGED);
                memfile_close(mf);
            }
        assert_int_equal(shown[1], 2700 - rows);
        assert_int_equal(shown[0], 100);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_byte_is_found),
        cmocka_unit_test(quick_verify_finds_flips_too),
        cmocka_unit_test(every_cut_opens_at_the_commit_before_it_and_takes_new_ones),
        cmocka_unit_test(zeros_and_junk_at_the_end_are_torn),
        cmocka_unit_test(a_second_tear_loses_nothing_either),
        cmocka_unit_test(commits_within_the_lengths_of_a_torn_segment_are_not_lost),
        cmocka_unit_test(a_lost_sector_of_an_unsynced_group_is_torn),
        cmocka_unit_test(a_whole_commit_whose_group_is_torn_becomes_void),
        cmocka_unit_test(a_damaged_newest_commit_is_not_overwritten),
        cmocka_unit_test(damage_in_one_commit_costs_that_commit),
        cmocka_unit_test(an_older_version_is_not_given_for_a_lost_one),
        cmocka_unit_test(each_strictness_keeps_its_word),
        cmocka_unit_test(damage_to_index_and_footer_costs_nothing),
        cmocka_unit_test(a_content_is_read_without_an_index),
        cmocka_unit_test(what_may_be_lost_is_not_called_missing),
        cmocka_unit_test(a_memory_that_holds_a_memfile_confuses_nobody),
        cmocka_unit_test(a_history_digest_that_lies_is_found),
        cmocka_unit_test(newer_versions_are_told_from_damage),
        cmocka_unit_test(a_block_that_does_not_decode_costs_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
