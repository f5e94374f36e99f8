/* recover: corruption sweeps. SPEC 17.
 *
 * The oracle knows nothing of chains and commits: an entry must come back if the bytes of its
 * segment, of a dictionary that it needs and of all chunks of its content still stand somewhere
 * in the damaged file, and must not if they do not. Entries with no sound commit behind them may go
 * either way: it depends on 14.3 whether they are torn or damaged. */
#include <time.h>

#include "support.h"

#include <unistd.h>

#include "commit.h"
#include "keyfile.h"
#include "keys.h"

#define ENTRIES_MAX 400
#define SEGMENTS_MAX 200

static memfile_key *identity; /* of sealed goldens */

typedef struct golden {
    bool sealed;
    uint32_t epoch[SEGMENTS_MAX]; /* of a sealed segment, or of key slots */
    uint8_t *bytes;
    size_t length;
    mf_segment segments[SEGMENTS_MAX];
    size_t count;
    size_t first[SEGMENTS_MAX], rows[SEGMENTS_MAX]; /* entries in it */
    size_t entries;
    size_t with_content; /* the entry that has one, or SIZE_MAX */
} golden;

static size_t text_of(size_t entry, char out[400])
{
    uint64_t random = entry * 977 + 5;
    size_t length = 30 + entry * 37 % 200, n = (size_t)snprintf(out, 400, "entry %zu:", entry);
    while (n < length)
        out[n++] = (char)('a' + next_random(&random) % 23);
    out[n] = '\0';
    return n;
}

static memfile_unlock unlock_of(bool sealed)
{
    return (memfile_unlock){NULL, 0, sealed ? identity : NULL};
}

static memfile *open_golden(const char *path, memfile_mode mode, bool sealed)
{
    memfile *mf;
    memfile_error e;
    memfile_options o = MEMFILE_OPTIONS_INIT;
    char public[MEMFILE_PUBLIC_SIZE];
    const char *recipients[] = {public};
    memfile_key_public(identity, public);
    o.unlock = unlock_of(sealed);
    if (mode == MEMFILE_CREATE)
        unlink(path);
    if (mode == MEMFILE_CREATE && sealed)
        o.seal_for = (memfile_seal_for){NULL, 0, 0, 0, recipients, 1, 0};
    if (memfile_open(path, mode, &o, &mf, &e) != MEMFILE_OK)
        fail_msg("open: %s", e.message);
    return mf;
}

static void rekey(const char *path, bool padded)
{
    char public[MEMFILE_PUBLIC_SIZE];
    const char *recipients[] = {public};
    memfile_rekey_options o = MEMFILE_REKEY_OPTIONS_INIT;
    memfile_error e;
    memfile_key_public(identity, public);
    o.unlock = unlock_of(true);
    o.seal_for = (memfile_seal_for){NULL, 0, 0, 0, recipients, 1, padded};
    if (memfile_rekey(path, &o, &e) != MEMFILE_OK)
        fail_msg("rekey: %s", e.message);
}

static int verify_golden(const char *path, bool sealed, memfile_verify_result *r)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result unused;
    memfile_error e;
    o.unlock = unlock_of(sealed);
    return memfile_verify(path, &o, r ? r : &unused, &e);
}

static int verify_outside(const char *path)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result r;
    memfile_error e;
    o.without_key = 1;
    return memfile_verify(path, &o, &r, &e);
}

static int recover_golden(const char *path, const char *output, bool sealed, memfile_recover_result *r, memfile_error *e)
{
    memfile_recover_options o = MEMFILE_RECOVER_OPTIONS_INIT;
    o.unlock = unlock_of(sealed);
    return memfile_recover(path, output, &o, r, e);
}

/* The segment as it is inside, in memory of its own. */
static uint8_t *open_segment(const mf_store *store, const golden *g, mf_segment *s)
{
    memfile_error e;
    const uint8_t *opened, *raw = g->bytes + s->offset;
    uint8_t *out = (uint8_t *)malloc((size_t)mf_segment_total(s));
    memcpy(out, raw, (size_t)mf_segment_total(s));
    assert_int_equal(mf_segment_open(&store->seal, s, raw, out, &opened, &e), MEMFILE_OK);
    return out;
}

/* Which entries a segment holds, from what SPEC 5, 6 and 9.1 say of heads. */
static void note_rows(golden *g, size_t i, const uint8_t *opened)
{
    mf_segment *s = &g->segments[i];
    mf_slice head, stored;
    memfile_error e;
    assert_int_equal(mf_segment_split(s, opened, &head, &stored, &e), MEMFILE_OK);
    mf_cursor c = mf_cursor_of(head.data, head.length);
    g->first[i] = g->rows[i] = 0;
    if (s->type == MF_TYPE_RECORDS) {
        g->first[i] = (size_t)mf_get_varint(&c);
        g->rows[i] = (size_t)mf_get_varint(&c);
    } else if (s->type == MF_TYPE_COMMIT) {
        uint64_t flags = mf_get_varint(&c);
        mf_get_varint(&c);
        g->first[i] = (size_t)mf_get_varint(&c);
        g->rows[i] = flags & MF_COMMIT_INLINE ? (size_t)mf_get_varint(&c) : 0;
    } else if (s->type == MF_TYPE_KEYS) {
        mf_get_bytes(&c, MF_HEADER_LENGTH);
        g->epoch[i] = (uint32_t)mf_get_varint(&c);
    }
    assert_false(c.failed);
}

static void note_segments(golden *g)
{
    mf_store store;
    mf_io *io;
    memfile_error e;
    mf_secret *secret = NULL;
    if (g->sealed)
        assert_int_equal(mf_secret_of_identity(&mf_mem_default, mf_key_secret(identity), &secret, &e), MEMFILE_OK);
    const mf_access access = {secret, NULL, false};
    assert_int_equal(mf_io_memory_open(&mf_mem_default, g->bytes, g->length, &io, &e), MEMFILE_OK);
    assert_int_equal(mf_store_open(&store, io, &mf_mem_default, 0, &access, &e), MEMFILE_OK);
    g->count = segments_of(g->bytes, g->length, g->segments, SEGMENTS_MAX);
    for (size_t i = 0; i < g->count; i++) {
        g->epoch[i] = g->segments[i].type == MF_TYPE_SEALED ? g->segments[i].codec_parameter : 0;
        uint8_t *opened = open_segment(&store, g, &g->segments[i]);
        note_rows(g, i, opened);
        free(opened);
    }
    mf_store_close(&store);
    mf_secret_free(secret);
}

#define MODES 6 /* from 3 on sealed ones */

static bool is_rich(int mode)
{
    return mode % 3 != 0;
}

/* mode 0: small commits; 1: batches with an index, a dictionary and a content; 2: that, compacted. Sealed ones get
 * new keys now and then, and the compacted one another behind that. */
static void make(golden *g, int mode)
{
    const char *path = temp_path("golden");
    char text[400], id[16];
    memset(g, 0, sizeof *g);
    g->sealed = mode > 2;
    memfile *mf = open_golden(path, MEMFILE_CREATE, g->sealed);
    g->with_content = SIZE_MAX;
    size_t wanted = is_rich(mode) ? 300 : 23;
    for (; g->entries < wanted; g->entries++) {
        snprintf(id, sizeof id, "m%zu", g->entries % (wanted - 3));
        text_of(g->entries, text);
        put_text(mf, id, text);
        if (is_rich(mode) ? g->entries % 120 == 119 : g->entries % 3 == 2) {
            commit_ok(mf);
            if (g->sealed && (g->entries == 11 || g->entries == 119 || g->entries == 239))
                rekey(path, g->entries == 239);
        }
    }
    if (is_rich(mode)) {
        char *large = (char *)malloc(600001);
        uint64_t random = 99;
        for (size_t i = 0; i < 600000; i++)
            large[i] = (char)('a' + next_random(&random) % 2 * (next_random(&random) % 3));
        large[600000] = '\0';
        g->with_content = g->entries++;
        put_text(mf, "large", large);
        free(large);
    }
    commit_ok(mf);
    memfile_close(mf);
    if (mode % 3 == 2) {
        memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
        o.unlock = unlock_of(g->sealed);
        assert_int_equal(memfile_compact(path, &o, NULL, NULL), MEMFILE_OK);
        if (g->sealed)
            rekey(path, true);
    }
    g->bytes = read_file(path, &g->length);
    note_segments(g);
}

static bool stands_in(const uint8_t *bytes, size_t length, const uint8_t *wanted, size_t wanted_length)
{
    for (const uint8_t *at = bytes; (size_t)(bytes + length - at) >= wanted_length;) {
        at = (const uint8_t *)memchr(at, wanted[0], (size_t)(bytes + length - at) - wanted_length + 1);
        if (!at)
            return false;
        if (memcmp(at, wanted, wanted_length) == 0)
            return true;
        at++;
    }
    return false;
}

enum { GONE, EITHER, THERE };

static void expect(const golden *g, const uint8_t *bytes, size_t length, int expected[ENTRIES_MAX])
{
    bool intact[SEGMENTS_MAX], dictionary = false, chunks = true;
    size_t newest = 0; /* sound commit */
    uint32_t epoch = 0; /* newest key that is left */
    for (size_t i = 0; i < g->count; i++) {
        const mf_segment *s = &g->segments[i];
        intact[i] = stands_in(bytes, length, g->bytes + s->offset, (size_t)mf_segment_total(s));
        dictionary |= intact[i] && s->type == MF_TYPE_DICTIONARY;
        chunks &= intact[i] || s->type != MF_TYPE_CHUNK;
        newest = intact[i] && s->type == MF_TYPE_COMMIT ? i : newest;
        epoch = intact[i] && s->type == MF_TYPE_KEYS && g->epoch[i] > epoch ? g->epoch[i] : epoch;
    }
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        expected[i] = GONE;
    for (size_t i = 0; i < g->count; i++)
        for (size_t row = 0; row < g->rows[i]; row++) {
            size_t entry = g->first[i] + row;
            if (intact[i] && g->epoch[i] <= epoch && (g->segments[i].codec != MF_CODEC_ZSTD_DICTIONARY || dictionary) &&
                (entry != g->with_content || chunks))
                expected[entry] = i > newest ? EITHER : THERE;
        }
}

/* Entries of a file, by the text that each has alone. */
static size_t list_entries(const char *path, const golden *g, bool found[ENTRIES_MAX])
{
    memfile *mf = open_golden(path, MEMFILE_READ, g->sealed);
    memfile_cursor *c;
    const memfile_entry *entry;
    memfile_filter filter = MEMFILE_FILTER_INIT;
    char text[400];
    size_t count = 0, last = 0, length;
    int rc;
    memset(found, 0, ENTRIES_MAX * sizeof *found);
    filter.all = 1;
    assert_int_equal(memfile_list(mf, &filter, &c), MEMFILE_OK);
    while ((rc = memfile_cursor_next(c, &entry)) == MEMFILE_OK) {
        const char *p = memfile_entry_field(entry, MEMFILE_TEXT, &length);
        size_t number = g->with_content;
        if (p) {
            assert_int_equal(sscanf(p, "entry %zu:", &number), 1);
            assert_int_equal(text_of(number, text), length);
            assert_memory_equal(text, p, length);
        } else {
            assert_int_equal(memfile_entry_content_length(entry), 600000);
        }
        assert_true(number < g->entries && !found[number]);
        assert_true(count == 0 || number > last); /* in order */
        found[number] = true;
        last = number;
        count++;
    }
    assert_int_equal(rc, MEMFILE_DONE);
    memfile_cursor_close(c);
    memfile_close(mf);
    return count;
}

static unsigned long copies;

/* With MEMFILE_SWEEP set: every byte, with three values, and every length. */
static bool whole(void)
{
    return getenv("MEMFILE_SWEEP") != NULL;
}

/* Recovers the damaged bytes and compares with the oracle. what, a, b: for the message. */
static void sweep(const golden *g, const uint8_t *bytes, size_t length, const char *what, size_t a, size_t b)
{
    const char *damaged = temp_path("damaged"), *out = temp_path("out");
    int expected[ENTRIES_MAX];
    bool found[ENTRIES_MAX];
    memfile_recover_result r;
    memfile_error why;
    size_t kept;
    copies++;
    write_file(damaged, bytes, length);
    unlink(out);
    expect(g, bytes, length, expected);
    int verified = verify_golden(damaged, g->sealed, NULL);
    if (g->sealed) {
        int outside = verify_outside(damaged);
        if ((outside == MEMFILE_OK) != (verified == MEMFILE_OK))
            fail_msg("%s %zu %zu: verify says %d with the key, %d from outside", what, a, b, verified, outside);
    }
    int rc = recover_golden(damaged, out, g->sealed, &r, &why);
    uint8_t *after = read_file(damaged, &kept);
    assert_true(kept == length && memcmp(after, bytes, length) == 0);
    free(after);
    if (rc != MEMFILE_OK && rc != MEMFILE_E_DAMAGED && rc != MEMFILE_E_TRUNCATED) {
        for (size_t i = 0; i < g->entries; i++)
            if (expected[i] == THERE)
                fail_msg("%s %zu %zu: entry %zu could be saved, but: %s", what, a, b, i, why.message);
        assert_int_not_equal(access(out, F_OK), 0);
        return;
    }
    if (verify_golden(out, g->sealed, NULL) != MEMFILE_OK)
        fail_msg("%s %zu %zu: recovered (%s), but it does not verify", what, a, b, why.message);
    size_t count = list_entries(out, g, found);
    assert_int_equal(r.entries, count);
    for (size_t i = 0; i < g->entries; i++)
        if (expected[i] != EITHER && found[i] != (expected[i] == THERE))
            fail_msg("%s %zu %zu: entry %zu %s", what, a, b, i, found[i] ? "is there, damaged" : "was sound and is not there");
    bool same = length == g->length && memcmp(bytes, g->bytes, length) == 0;
    if (!same && verified == MEMFILE_OK && g->entries == count)
        fail_msg("%s %zu %zu: verify found nothing", what, a, b);
    if (count < g->entries && rc == MEMFILE_OK && length >= g->length)
        fail_msg("%s %zu %zu: %zu entries are lost in silence", what, a, b, g->entries - count);
    if (rc == MEMFILE_OK)
        assert_true(r.same_history && r.damage.lost_entries == 0);
}

static uint8_t *copy_of(const golden *g, size_t room)
{
    uint8_t *copy = (uint8_t *)malloc(g->length + room);
    memcpy(copy, g->bytes, g->length);
    return copy;
}

static void every_flipped_byte_costs_its_segment_only(void **state)
{
    (void)state;
    for (int mode = 0; mode < MODES; mode++) {
        golden g;
        make(&g, mode);
        uint8_t *copy = copy_of(&g, 0);
        static const uint8_t masks[] = {1, 0xff, 0x80};
        size_t step = whole() ? 1 : is_rich(mode) ? g.length / 150 + 1 : 7;
        for (size_t i = is_rich(mode) && !whole() ? step / 2 : 0; i < g.length; i += step)
            for (unsigned k = 0; k < (whole() ? 3 : 1); k++) {
                uint8_t was = copy[i];
                copy[i] = was ^ masks[(i + k) % 3];
                sweep(&g, copy, g.length, "flip", i, copy[i]);
                copy[i] = was;
            }
        free(copy);
        free(g.bytes);
    }
}

static void every_length_is_recovered(void **state)
{
    (void)state;
    for (int mode = 0; mode < MODES; mode++) {
        golden g;
        make(&g, mode);
        for (size_t n = 0; n < g.length; n += whole() ? 1 : is_rich(mode) ? g.length / 100 + 1 : 13)
            sweep(&g, g.bytes, n, "cut to", n, 0);
        free(g.bytes);
    }
}

/* Missing heads too: of 1 byte, the header, and more. */
static void what_is_inserted_or_cut_out_displaces_only(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 3, 8, 64, 512, 5000};
    for (int mode = 0; mode < MODES; mode++) {
        golden g;
        make(&g, mode);
        for (size_t k = 0; k < 6; k++) {
            size_t n = lengths[k];
            for (size_t at = 0; at + n < g.length; at += g.length / 9 + k) {
                uint8_t *copy = copy_of(&g, n);
                memmove(copy + at + n, copy + at, g.length - at);
                memset(copy + at, (int)(k * 50), n);
                sweep(&g, copy, g.length + n, "insert", at, n);
                memcpy(copy, g.bytes, g.length);
                memmove(copy + at, copy + at + n, g.length - at - n);
                sweep(&g, copy, g.length - n, "cut out", at, n);
                free(copy);
            }
        }
        free(g.bytes);
    }
}

static void segments_doubled_removed_or_swapped_are_sorted_out(void **state)
{
    (void)state;
    for (int mode = 0; mode < MODES; mode++) {
        golden g;
        make(&g, mode);
        uint8_t *copy = (uint8_t *)malloc(2 * g.length);
        for (size_t i = 0; i < g.count; i++) {
            size_t at = (size_t)g.segments[i].offset, n = (size_t)mf_segment_total(&g.segments[i]);
            memcpy(copy, g.bytes, at + n); /* doubled */
            memcpy(copy + at + n, g.bytes + at, g.length - at);
            sweep(&g, copy, g.length + n, "double", i, 0);
            memcpy(copy, g.bytes, at); /* removed */
            memcpy(copy + at, g.bytes + at + n, g.length - at - n);
            sweep(&g, copy, g.length - n, "remove", i, 0);
            for (size_t k = i + 1; k < g.count; k += is_rich(mode) ? 5 : 2) { /* swapped */
                size_t to = (size_t)g.segments[k].offset, m = (size_t)mf_segment_total(&g.segments[k]);
                uint8_t *p = copy;
                memcpy(p, g.bytes, at), p += at;
                memcpy(p, g.bytes + to, m), p += m;
                memcpy(p, g.bytes + at + n, to - at - n), p += to - at - n;
                memcpy(p, g.bytes + at, n), p += n;
                memcpy(p, g.bytes + to + m, g.length - to - m);
                sweep(&g, copy, g.length, "swap", i, k);
            }
        }
        free(copy);
        free(g.bytes);
    }
}

/* Two copies of one file go on apart: a segment of one in the place of the other's is no part of it. */
static void take_siblings_segment(bool sealed)
{
    const char *path = temp_path("ancestor"), *sibling = temp_path("sibling"), *out = temp_path("sibling-out");
    memfile *mf = open_golden(path, MEMFILE_CREATE, sealed);
    memfile_recover_result r;
    memfile_error e;
    put_text(mf, "a", "known to both");
    commit_ok(mf);
    memfile_close(mf);
    size_t length, other, at;
    uint8_t *bytes = read_file(path, &length);
    write_file(sibling, bytes, length);
    at = length;
    free(bytes);
    const char *paths[] = {path, sibling};
    for (int i = 0; i < 2; i++) {
        mf = open_golden(paths[i], MEMFILE_WRITE, sealed);
        put_text(mf, "b", i ? "known to the sibling" : "known to the one only");
        commit_ok(mf);
        put_text(mf, "c", i ? "of the sibling too" : "this one goes on");
        commit_ok(mf);
        memfile_close(mf);
    }
    bytes = read_file(path, &length);
    uint8_t *theirs = read_file(sibling, &other);
    /* the second commit behind the fork, at its own offset: its chain leads elsewhere */
    mf_segment ours[16], sis[16];
    size_t n = segments_of(bytes, length, ours, 16), m = segments_of(theirs, other, sis, 16);
    assert_true(n == m && n >= 4 && ours[n - 2].offset == at);
    uint8_t *mixed = (uint8_t *)malloc(length + other);
    size_t k = (size_t)ours[n - 1].offset;
    assert_int_equal(sis[m - 1].offset > 0, 1);
    memcpy(mixed, bytes, k);
    /* same length or not: what stands there names its own offset, so it fits only if they agree */
    memcpy(mixed + k, theirs + sis[m - 1].offset, other - (size_t)sis[m - 1].offset);
    size_t total = k + other - (size_t)sis[m - 1].offset;
    write_file(path, mixed, total);
    unlink(out);
    assert_int_equal(verify_golden(path, sealed, NULL), MEMFILE_E_DAMAGED);
    if (sealed)
        assert_int_equal(verify_outside(path), MEMFILE_E_DAMAGED);
    recover_golden(path, out, sealed, &r, &e);
    mf = open_golden(out, MEMFILE_READ, sealed);
    const memfile_entry *entry;
    assert_int_equal(memfile_get(mf, "a", 1, MEMFILE_NEWEST, &entry), MEMFILE_OK);
    assert_int_equal(memfile_get(mf, "b", 1, MEMFILE_NEWEST, &entry), MEMFILE_OK);
    assert_int_equal(memfile_get(mf, "c", 1, MEMFILE_NEWEST, &entry), MEMFILE_E_NOT_FOUND);
    memfile_close(mf);
    free(mixed);
    free(theirs);
    free(bytes);
}

static void a_siblings_segment_is_not_taken(void **state)
{
    (void)state;
    take_siblings_segment(false);
    take_siblings_segment(true);
}

/* In the first group behind a fork a sibling's segment agrees with the links of ours; the groups behind it tell. */
static void a_siblings_segment_right_behind_the_fork_costs_no_other_group(void **state)
{
    (void)state;
    const char *path = temp_path("fork"), *out = temp_path("fork-out");
    static mf_segment ours[64], theirs[64];
    uint8_t *bytes[2];
    size_t length[2], fork;
    memfile *mf = create_file(path);
    put_text(mf, "a", "known to both");
    commit_ok(mf);
    memfile_close(mf);
    uint8_t *before = read_file(path, &fork);
    for (int copy = 0; copy < 2; copy++) {
        uint64_t seed = 5 + (uint64_t)copy;
        write_file(path, before, fork);
        mf = open_file(path, MEMFILE_WRITE);
        for (int batch = 0; batch < 3; batch++) {
            for (int i = 0; i < 100; i++) {
                char id[32], data[1000];
                memfile_draft *d;
                size_t n = (size_t)snprintf(id, sizeof id, "%d.%d", batch, i);
                for (size_t k = 0; k < sizeof data; k++)
                    data[k] = (char)next_random(&seed);
                assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
                memfile_draft_set(d, MEMFILE_ID, id, n);
                memfile_draft_set(d, MEMFILE_DATA, data, sizeof data);
                assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_OK);
                memfile_draft_free(d);
            }
            commit_ok(mf);
        }
        memfile_close(mf);
        bytes[copy] = read_file(path, &length[copy]);
    }
    size_t count = segments_of(bytes[0], length[0], ours, 64), exchanged = 0;
    assert_int_equal(segments_of(bytes[1], length[1], theirs, 64), count);
    bool behind = false;
    for (size_t i = 0; i < count && !(behind && ours[i - 1].flags & MF_FLAG_COMMIT && ours[i - 1].offset >= fork); i++) {
        const mf_segment *s = &ours[i];
        size_t total = (size_t)mf_segment_total(s);
        behind |= s->offset >= fork;
        if (s->offset < fork || theirs[i].offset != s->offset || mf_segment_total(&theirs[i]) != total)
            continue;
        uint8_t *mixed = (uint8_t *)malloc(length[0]);
        memfile_recover_result r;
        memfile_verify_result v;
        memfile_error e;
        memcpy(mixed, bytes[0], length[0]);
        memcpy(mixed + s->offset, bytes[1] + s->offset, total);
        write_file(path, mixed, length[0]);
        unlink(out);
        if (memcmp(mixed, bytes[0], length[0]) != 0) {
            exchanged++;
            assert_int_equal(memfile_verify(path, NULL, &v, NULL), MEMFILE_E_DAMAGED);
            memfile_recover(path, out, NULL, &r, &e);
            if (r.entries != 301)
                fail_msg("segment %zu, type %u: %llu entries", i, s->type, (unsigned long long)r.entries);
        }
        free(mixed);
    }
    assert_true(exchanged >= 3); /* RECORDS, a page or so, the commit */
    free(bytes[0]);
    free(bytes[1]);
    free(before);
}

static void a_sound_file_is_recovered_as_it_is(void **state)
{
    (void)state;
    for (int mode = 0; mode < MODES; mode++) {
        golden g;
        make(&g, mode);
        const char *path = temp_path("sound"), *out = temp_path("sound-out");
        memfile_recover_result r;
        memfile_verify_result before, after;
        memfile_error e;
        write_file(path, g.bytes, g.length);
        assert_int_equal(verify_golden(path, g.sealed, &before), MEMFILE_OK);
        unlink(out);
        assert_int_equal(recover_golden(path, out, g.sealed, &r, &e), MEMFILE_OK);
        assert_true(r.same_history);
        assert_int_equal(verify_golden(out, g.sealed, &after), MEMFILE_OK);
        assert_memory_equal(before.history_digest, after.history_digest, 32);
        assert_memory_equal(before.history_digest, r.history_digest, 32);
        assert_int_equal(before.commits, after.commits);
        /* it can be written on, and what is there is not replaced */
        memfile *mf = open_golden(out, MEMFILE_WRITE, g.sealed);
        put_text(mf, "m1", "a new version");
        commit_ok(mf);
        memfile_close(mf);
        assert_int_equal(verify_golden(out, g.sealed, NULL), MEMFILE_OK);
        assert_int_equal(recover_golden(path, out, g.sealed, &r, &e), MEMFILE_E_CONFLICT);
        free(g.bytes);
    }
}

/* Debris whose VOID is damaged holds commits that never counted: what stands behind them tells. */
static void a_damaged_void_costs_nothing_but_itself(void **state)
{
    (void)state;
    const char *path = temp_path("voided"), *out = temp_path("voided-recovered");
    size_t length;
    for (int twice = 0; twice < 2; twice++) {
        uint64_t before = 0, voids[2] = {0, 0};
        size_t void_count = 0;
        memfile_recover_result r;
        memfile_error e;
        memfile *mf = create_file(path);
        for (int i = 0; i < 5; i++) {
            put_text(mf, NULL, "one of five");
            commit_ok(mf);
        }
        memfile_close(mf);
        for (int tear = 0; tear <= twice; tear++) {
            uint8_t *bytes = read_file(path, &length);
            write_file(path, bytes, length - (tear ? 3 : 20));
            free(bytes);
            mf = open_file(path, MEMFILE_WRITE);
            for (int i = 0; i < (tear == twice ? 60 : 1); i++)
                put_text(mf, NULL, "behind a tear, in a batch that is one commit or more than what a small commit takes");
            commit_ok(mf);
            memfile_close(mf);
        }
        mf = open_file(path, MEMFILE_WRITE);
        put_text(mf, "end", "end");
        commit_ok(mf);
        memfile_close(mf);
        memfile_verify_result sound;
        assert_int_equal(verify_path(path, &sound), MEMFILE_OK);
        uint8_t *bytes = read_file(path, &length);
        for (uint64_t at = MF_HEADER_LENGTH; at + 64 < length; at += 8) {
            mf_segment s;
            if (mf_segment_decode(&s, bytes + at, at, mf_load32(bytes + 32), &e) != MEMFILE_OK)
                continue;
            if (s.type == MF_TYPE_VOID) {
                assert_true(void_count < 2);
                voids[void_count++] = at;
                before = s.previous_commit;
            }
        }
        assert_int_equal(void_count, 1 + twice);
        for (size_t which = 0; which <= void_count; which++)
            for (int body = 0; body < 2; body++) { /* of each VOID, and of the commit before the debris */
                uint8_t *byte = bytes + (which < void_count ? voids[which] : before) + (body ? 70 : 21);
                *byte ^= 4;
                write_file(path, bytes, length);
                *byte ^= 4;
                unlink(out);
                int rc = memfile_recover(path, out, NULL, &r, &e);
                if (rc != MEMFILE_OK && rc != MEMFILE_E_DAMAGED)
                    fail_msg("%s", e.message);
                if (r.entries + (which == void_count) < sound.entries)
                    fail_msg("%d tears, void %zu, body %d: %llu of %llu entries", 1 + twice, which, body,
                             (unsigned long long)r.entries, (unsigned long long)sound.entries);
            }
        free(bytes);
    }
}

/* The whole file stands behind other bytes, or within others: the memory is the same, and so is its history. */
static void a_file_behind_other_bytes_keeps_its_name_and_history(void **state)
{
    (void)state;
    for (int mode = 0; mode < 4; mode += 3) { /* plain, sealed */
        golden g;
        make(&g, mode);
        const char *path = temp_path("behind"), *out = temp_path("behind-out");
        memfile_verify_result sound, r;
        static const size_t before[] = {1, 100, 512, 4096, 70001};
        write_file(path, g.bytes, g.length);
        assert_int_equal(verify_golden(path, g.sealed, &sound), MEMFILE_OK);
        for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
            memfile_recover_result recovered;
            memfile_error e;
            uint8_t *bytes = (uint8_t *)malloc(before[i] + g.length + 50);
            memset(bytes, 'x', before[i] + g.length + 50);
            memcpy(bytes + before[i], g.bytes, g.length);
            write_file(path, bytes, before[i] + g.length + 50);
            unlink(out);
            assert_int_not_equal(verify_golden(path, g.sealed, &r), MEMFILE_OK);
            int rc = recover_golden(path, out, g.sealed, &recovered, &e);
            if (rc != MEMFILE_OK && rc != MEMFILE_E_TRUNCATED)
                fail_msg("mode %d, %zu bytes: %s", mode, before[i], e.message);
            assert_true(recovered.same_history);
            assert_int_equal(recovered.entries, g.entries);
            assert_memory_equal(recovered.history_digest, sound.history_digest, 32);
            free(bytes);
        }
        free(g.bytes);
    }
}

/* Whatever else is sound. Without the header too: what is sealed was sealed. */
static void that_no_key_slots_are_left_is_said(void **state)
{
    (void)state;
    for (int headless = 0; headless < 2; headless++) {
        golden g;
        memfile_error e;
        memfile *mf;
        memfile_options o = MEMFILE_OPTIONS_INIT;
        const char *path = temp_path("keyless"), *out = temp_path("keyless-out");
        make(&g, 3);
        for (size_t i = 0; i < g.count; i++)
            if (g.segments[i].type == MF_TYPE_KEYS)
                g.bytes[g.segments[i].offset + 300] ^= 1;
        if (headless)
            g.bytes[40] ^= 1;
        write_file(path, g.bytes, g.length);
        o.unlock = unlock_of(true);
        assert_int_equal(memfile_open(path, MEMFILE_READ, &o, &mf, &e), MEMFILE_E_DAMAGED);
        if (!headless)
            assert_non_null(strstr(e.message, "key slots"));
        assert_int_equal(verify_golden(path, true, NULL), MEMFILE_E_DAMAGED);
        assert_int_equal(verify_outside(path), MEMFILE_E_DAMAGED);
        unlink(out);
        assert_int_equal(recover_golden(path, out, true, NULL, &e), MEMFILE_E_KEY);
        assert_non_null(strstr(e.message, "key slots"));
        assert_int_not_equal(access(out, F_OK), 0);
        free(g.bytes);
    }
}

/* Key slots are looked for in the whole image, and what it does not have may be as long as it likes. */
static void a_segment_that_says_it_is_far_away_costs_no_time(void **state)
{
    (void)state;
    golden g;
    memfile_error e;
    const char *path = temp_path("far"), *out = temp_path("far-out");
    make(&g, 3);
    uint8_t *last = g.bytes + g.segments[g.count - 1].offset;
    mf_store64(last + 16, (uint64_t)1 << 43);
    reseal(last);
    for (size_t i = 0; i < g.count; i++)
        if (g.segments[i].type == MF_TYPE_KEYS)
            g.bytes[g.segments[i].offset + 300] ^= 1;
    write_file(path, g.bytes, g.length);
    assert_int_equal(verify_golden(path, true, NULL), MEMFILE_E_DAMAGED);
    unlink(out);
    assert_int_equal(recover_golden(path, out, true, NULL, &e), MEMFILE_E_KEY);
    free(g.bytes);
}

/* Sound headers, one behind the other, before bodies that are not. Long bodies are checked, and VOIDs behind them
 * looked for, as far as a few times the length of the file (0.4 s of processor; 15 s and more if for each header). */
static void sound_headers_of_unsound_bodies_cost_no_time(void **state)
{
    (void)state;
    enum { BEHIND, WITHIN, COMMITS, WAYS };
    const char *path = temp_path("claims"), *out = temp_path("claims-out");
    for (int way = BEHIND; way < WAYS; way++) {
        const size_t size = (size_t)(way == COMMITS ? 2 : 8) << 20;
        memfile_error e;
        mf_segment s;
        size_t length;
        memfile *mf = create_file(path);
        put_text(mf, "a", "sound");
        commit_ok(mf);
        memfile_close(mf);
        uint8_t *bytes = read_file(path, &length), *hostile = (uint8_t *)calloc(1, size);
        const uint32_t tag = mf_load32(bytes + 32);
        const size_t used = way == BEHIND ? length : MF_HEADER_LENGTH;
        memcpy(hostile, bytes, used);
        assert_int_equal(mf_segment_decode(&s, bytes + MF_HEADER_LENGTH, MF_HEADER_LENGTH, tag, &e), MEMFILE_OK);
        if (way != COMMITS) {
            s.type = MF_TYPE_CHUNK;
            s.flags = s.codec = 0;
        }
        s.stored_length = s.raw_length = way == COMMITS ? 0 : MF_STORED_LENGTH_MAX - 64;
        s.body_checksum = 1;
        for (s.offset = used; s.offset + 128 <= size; s.offset += way == COMMITS ? mf_segment_total(&s) : 64) {
            s.previous_commit = s.offset / 8 % 2; /* else a commit is taken for debris */
            mf_segment_encode(&s, hostile + s.offset);
            assert_true(mf_segment_is_sound_header(hostile + s.offset, s.offset, tag));
        }
        write_file(path, hostile, size);
        clock_t began = clock();
        assert_int_equal(verify_path(path, NULL), MEMFILE_E_DAMAGED);
        unlink(out);
        memfile_recover(path, out, NULL, NULL, &e);
        double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
        if (seconds > 10)
            fail_msg("way %d: %.1f s of processor", way, seconds);
        free(hostile);
        free(bytes);
    }
}

static void what_is_no_memfile_gives_none(void **state)
{
    (void)state;
    const char *path = temp_path("junk"), *out = temp_path("junk-out");
    uint8_t junk[5000];
    uint64_t random = 3;
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = (uint8_t)next_random(&random);
    memfile_error e;
    for (size_t n = 0; n <= sizeof junk; n += 1000) {
        write_file(path, junk, n);
        assert_int_equal(memfile_recover(path, out, NULL, NULL, &e), MEMFILE_E_NOT_MEMFILE);
        assert_int_not_equal(access(out, F_OK), 0);
    }
    assert_int_equal(memfile_recover("/nowhere/at/all", out, NULL, NULL, &e), MEMFILE_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_siblings_segment_right_behind_the_fork_costs_no_other_group),
        cmocka_unit_test(a_sound_file_is_recovered_as_it_is),
        cmocka_unit_test(every_flipped_byte_costs_its_segment_only),
        cmocka_unit_test(every_length_is_recovered),
        cmocka_unit_test(what_is_inserted_or_cut_out_displaces_only),
        cmocka_unit_test(segments_doubled_removed_or_swapped_are_sorted_out),
        cmocka_unit_test(a_siblings_segment_is_not_taken),
        cmocka_unit_test(a_damaged_void_costs_nothing_but_itself),
        cmocka_unit_test(a_file_behind_other_bytes_keeps_its_name_and_history),
        cmocka_unit_test(that_no_key_slots_are_left_is_said),
        cmocka_unit_test(a_segment_that_says_it_is_far_away_costs_no_time),
        cmocka_unit_test(sound_headers_of_unsound_bodies_cost_no_time),
        cmocka_unit_test(what_is_no_memfile_gives_none),
    };
    if (memfile_key_generate(MEMFILE_RECIPIENT, &identity, NULL) != MEMFILE_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("%lu damaged copies\n", copies);
    memfile_key_free(identity);
    return failed;
}
