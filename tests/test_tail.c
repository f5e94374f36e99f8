/* tail: which commit is the newest, and what stands behind it. SPEC 14, 9.4. */
#include "support.h"

typedef struct found {
    int rc;
    uint64_t commit;
    bool damage;
} found;

/* A file in memory and where its groups and commits are. */
typedef struct sample {
    uint8_t *bytes;
    size_t length;
    mf_segment segments[400];
    size_t count;
} sample;

static found look(const uint8_t *bytes, size_t length)
{
    found f = {0, 0, false};
    mf_store st;
    mf_io *io;
    memfile_error e;
    assert_int_equal(mf_io_memory_open(&mf_mem_default, bytes, length, &io, &e), MEMFILE_OK);
    f.rc = mf_store_begin(&st, io, &mf_mem_default, 1 << 20, NULL, &e);
    assert_int_equal(f.rc, MEMFILE_OK);
    f.rc = mf_tail_find(&st, length, &f.commit, &f.damage, &e);
    if (f.rc != MEMFILE_OK)
        assert_int_equal(e.code, f.rc);
    mf_store_close(&st);
    return f;
}

static sample take(const char *path)
{
    sample s;
    s.bytes = read_file(path, &s.length);
    s.bytes = (uint8_t *)realloc(s.bytes, s.length + 4096);
    s.count = segments_of(s.bytes, s.length, s.segments, 400);
    assert_true(s.segments[s.count - 1].flags & MF_FLAG_COMMIT);
    return s;
}

static uint64_t commit_before(const sample *s)
{
    return s->segments[s->count - 1].previous_commit;
}
static uint64_t end_of_commit(const sample *s, uint64_t offset)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->segments[i].offset == offset)
            return offset + mf_segment_total(&s->segments[i]);
    fail_msg("no commit at %llu", (unsigned long long)offset);
    return 0;
}

enum { INLINE, FULL, SYNCED, KINDS };

/* The newest commit is one inline commit; a FULL one with blocks and index; the same,
 * with more than 64 KiB, so that it is SYNCED. */
static sample make(int kind)
{
    const char *path = temp_path("tail");
    memfile *mf = create_file(path);
    char id[16], text[600];
    uint64_t seed = 3;
    put_text(mf, "a", "the first");
    commit_ok(mf);
    if (kind == INLINE) {
        put_text(mf, "b", "the second, inline");
    } else if (kind == FULL) { /* the 64th commit behind the last FULL one brings a run */
        for (int i = 0; i < 62; i++) {
            char json[200];
            snprintf(json, sizeof json, "{\"id\":\"n%d\",\"text\":\"t\",\"tags\":[\"a%d\",\"b%d\",\"c%d\"]}", i, i, i, i);
            assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
            commit_ok(mf);
        }
        put_text(mf, "last", "which is the 64th");
    } else {
        for (int i = 0; i < 200; i++) {
            for (size_t k = 0; k < 590; k++)
                text[k] = (char)('!' + next_random(&seed) % 90);
            text[590] = '\0';
            snprintf(id, sizeof id, "n%d", i);
            put_text(mf, id, text);
        }
    }
    commit_ok(mf);
    memfile_close(mf);
    sample s = take(path);
    const mf_segment *newest = &s.segments[s.count - 1];
    assert_int_equal((newest->flags & MF_FLAG_SYNCED) != 0, kind == SYNCED);
    assert_int_equal(end_of_commit(&s, commit_before(&s)) == newest->offset, kind == INLINE);
    return s;
}

static void a_whole_file_ends_with_its_newest_commit(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        sample s = make(kind);
        found f = look(s.bytes, s.length);
        assert_int_equal(f.rc, MEMFILE_OK);
        assert_int_equal(f.commit, s.segments[s.count - 1].offset);
        assert_false(f.damage);
        free(s.bytes);
    }
}

/* 14.3: it ends early, so nobody was told that it is durable. */
static void a_newest_group_cut_at_any_byte_is_torn(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        sample s = make(kind);
        uint64_t before = commit_before(&s), end = end_of_commit(&s, before);
        for (uint64_t cut = end; cut < s.length; cut += kind == SYNCED && s.length - cut > 600 ? 97 : 1) {
            uint8_t *exact = edge_copy(s.bytes, cut);
            found f = look(exact, cut);
            if (f.rc != MEMFILE_OK || f.commit != before || f.damage)
                fail_msg("kind %d, cut at %llu of %zu: rc %d, commit %llu, damage %d", kind, (unsigned long long)cut,
                         s.length, f.rc, (unsigned long long)f.commit, f.damage);
            edge_free(exact, cut);
        }
        free(s.bytes);
    }
}

static void any_bytes_behind_a_whole_commit_are_torn(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        sample s = make(kind);
        uint64_t seed = 11;
        for (int junk = 0; junk < 2; junk++)
            for (size_t more = 1; more <= 2048; more += more < 150 ? 1 : 61) {
                for (size_t i = 0; i < more; i++)
                    s.bytes[s.length + i] = junk ? (uint8_t)next_random(&seed) : 0;
                found f = look(s.bytes, s.length + more);
                assert_int_equal(f.rc, MEMFILE_OK);
                assert_int_equal(f.commit, s.segments[s.count - 1].offset);
                assert_false(f.damage);
            }
        free(s.bytes);
    }
}

/* 14.3: what was written whole and is not sound now was acknowledged: damage. */
static void any_flipped_bit_of_the_newest_commit_is_damage(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        sample s = make(kind);
        uint64_t before = commit_before(&s), start = s.segments[s.count - 1].offset;
        for (uint64_t bit = start * 8; bit < s.length * 8; bit += kind == INLINE ? 1 : 5) {
            s.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            found f = look(s.bytes, s.length);
            if (f.rc != MEMFILE_OK || f.commit != before || !f.damage)
                fail_msg("kind %d, bit %llu of byte %llu: rc %d, commit %llu, damage %d", kind,
                         (unsigned long long)(bit % 8), (unsigned long long)(bit / 8 - start), f.rc,
                         (unsigned long long)f.commit, f.damage);
            s.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        free(s.bytes);
    }
}

/* 9.4: a commit that is not SYNCED counts only with all of its group. A flip there is damage,
 * a sector that was never written is torn. A SYNCED commit counts whatever became of its group. */
static void a_group_that_lost_a_part_counts_only_if_it_was_synced(void **state)
{
    (void)state;
    for (int kind = FULL; kind < KINDS; kind++) {
        sample s = make(kind);
        uint64_t before = commit_before(&s), start = end_of_commit(&s, before), commit = s.segments[s.count - 1].offset;
        for (uint64_t at = start; at < commit; at += 61) {
            s.bytes[at] ^= 0x20;
            found f = look(s.bytes, s.length);
            assert_int_equal(f.rc, MEMFILE_OK);
            assert_int_equal(f.commit, kind == SYNCED ? commit : before);
            assert_int_equal(f.damage, kind == FULL);
            s.bytes[at] ^= 0x20;
        }
        uint8_t sector[512];
        for (uint64_t at = (start + 511) / 512 * 512; at + 512 <= commit; at += 512) {
            memcpy(sector, s.bytes + at, 512);
            memset(s.bytes + at, 0, 512);
            found f = look(s.bytes, s.length);
            assert_int_equal(f.rc, MEMFILE_OK);
            assert_int_equal(f.commit, kind == SYNCED ? commit : before);
            assert_false(f.damage);
            memcpy(s.bytes + at, sector, 512);
        }
        free(s.bytes);
    }
}

/* Opens for writing and commits one entry; MEMFILE_OK, or why it was refused. */
static int write_on(const char *path, memfile_strictness strictness, const char *id)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile *mf;
    memfile_draft *d;
    o.strictness = strictness;
    int rc = memfile_open(path, MEMFILE_WRITE, &o, &mf, NULL);
    if (rc != MEMFILE_OK)
        return rc;
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    memfile_draft_set(d, MEMFILE_ID, id, strlen(id));
    memfile_draft_set(d, MEMFILE_TEXT, "behind a void", 13);
    rc = memfile_put(mf, d, NULL);
    if (rc == MEMFILE_OK)
        rc = memfile_commit(mf, NULL);
    memfile_draft_free(d);
    memfile_close(mf);
    return rc;
}

/* 14.3: "only what begins with the last such VOID is looked at: the rest was judged when that
 * was written." A writer was told to go on behind damage, declared it void, and was torn itself:
 * the next one needs not be told again, wherever the tear is behind the VOID's header. */
static void damage_that_a_void_names_is_not_judged_again(void **state)
{
    (void)state;
    const char *path = temp_path("judged"), *copy = temp_path("judged2");
    sample s = make(INLINE);
    uint64_t before = commit_before(&s), start = s.segments[s.count - 1].offset;
    size_t length;
    s.bytes[start + 70] ^= 1;
    write_file(path, s.bytes, s.length);
    assert_true(look(s.bytes, s.length).damage);
    assert_int_equal(write_on(path, MEMFILE_TOLERATE_TORN, "x"), MEMFILE_E_DAMAGED);
    assert_int_equal(write_on(path, MEMFILE_SALVAGE, "salvaged"), MEMFILE_OK);
    uint8_t *bytes = read_file(path, &length);
    for (size_t cut = s.length; cut < length; cut++) {
        found f = look(bytes, cut);
        assert_int_equal(f.rc, MEMFILE_OK);
        assert_int_equal(f.commit, before);
        /* until its header is there, the VOID says nothing */
        if (f.damage != (cut < s.length + MF_SEGMENT_HEADER_LENGTH))
            fail_msg("cut %zu bytes behind the damage: damage is %d", cut - s.length, f.damage);
    }
    write_file(copy, bytes, length - 1);
    assert_int_equal(write_on(copy, MEMFILE_TOLERATE_TORN, "next"), MEMFILE_OK);
    assert_int_equal(verify_path(copy, NULL), MEMFILE_OK);
    free(bytes);
    free(s.bytes);
}

/* A VOID that names an older commit as the one before it judges nothing of what is here now. */
static void a_void_of_another_commit_does_not_hide_damage(void **state)
{
    (void)state;
    sample s = make(INLINE);
    mf_built built;
    memfile_error e;
    uint8_t head[16] = {0};
    uint64_t first = s.segments[0].offset, start = s.segments[s.count - 1].offset;
    assert_true(first < commit_before(&s));
    s.bytes[start + 70] ^= 1;
    mf_store64(head, s.length - start);
    mf_built_init(&built, &mf_mem_default, NULL);
    assert_int_equal(mf_segment_build(&built, MF_TYPE_VOID, 0, mf_slice_of(head, 16), mf_slice_of(NULL, 0), NULL, 0, NULL, &e),
                     MEMFILE_OK);
    mf_built begun; /* behind it the beginning of a segment, so that the newest commit is found by that */
    mf_built_init(&begun, &mf_mem_default, NULL);
    assert_int_equal(mf_segment_build(&begun, MF_TYPE_CHUNK, 0, mf_slice_of("12", 2), mf_slice_of("content", 7), NULL, 0, NULL, &e),
                     MEMFILE_OK);
    for (int other = 0; other < 2; other++) {
        uint32_t tag = mf_load32(s.bytes + 32);
        size_t length = s.length + built.bytes.length;
        mf_segment_place(&built, s.length, other ? first : commit_before(&s), 1, tag);
        mf_segment_place(&begun, length, commit_before(&s), 1, tag);
        memcpy(s.bytes + s.length, built.bytes.data, built.bytes.length);
        memcpy(s.bytes + length, begun.bytes.data, 70);
        found f = look(s.bytes, length + 70);
        assert_int_equal(f.rc, MEMFILE_OK);
        assert_int_equal(f.commit, commit_before(&s));
        assert_int_equal(f.damage, other);
    }
    mf_built_free(&begun);
    mf_built_free(&built);
    free(s.bytes);
}

/* 14.2: a VOID that names an older commit makes debris of the newest if that is in the void, and the void is what it was. */
static void an_older_void_hides_only_the_commit_that_it_holds(void **state)
{
    (void)state;
    enum { GAP = 64 };
    sample s = make(INLINE);
    mf_built built;
    memfile_error e;
    uint64_t newest = s.segments[s.count - 1].offset, before = commit_before(&s), at = s.length + GAP;
    const struct {
        uint64_t length;
        bool wrong, hidden;
    } cases[] = {{at - newest, false, true},       /* from where it begins */
                 {at - newest - 8, false, false},  /* from behind its first bytes */
                 {GAP, false, false},              /* from behind it */
                 {at - newest, true, false},       /* other bytes stand there */
                 {at - MF_HEADER_LENGTH, false, true},
                 {at - MF_HEADER_LENGTH + 8, false, false}, /* more than there are */
                 {UINT64_MAX, false, false}};
    memset(s.bytes + s.length, 'x', GAP);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t head[16];
        const uint64_t length = cases[i].length;
        mf_store64(head, length);
        mf_store64(head + 8, (length <= at ? mf_checksum(s.bytes + (at - length), (size_t)length) : 0) + cases[i].wrong);
        mf_built_init(&built, &mf_mem_default, NULL);
        assert_int_equal(mf_segment_build(&built, MF_TYPE_VOID, 0, mf_slice_of(head, 16), mf_slice_of(NULL, 0), NULL, 0, NULL, &e),
                         MEMFILE_OK);
        mf_segment_place(&built, at, before, 1, mf_load32(s.bytes + 32));
        memcpy(s.bytes + at, built.bytes.data, built.bytes.length);
        found f = look(s.bytes, (size_t)at + built.bytes.length);
        assert_int_equal(f.rc, MEMFILE_OK);
        if ((f.commit == before) != cases[i].hidden)
            fail_msg("case %zu: the newest is at %llu", i, (unsigned long long)f.commit);
        assert_true(f.commit == before || f.commit == newest);
        mf_built_free(&built);
    }
    free(s.bytes);
}

/* Tear, VOID, tear, VOID, …: each writer's commit is the newest, and all before it stays. */
static void a_void_behind_a_void_behind_a_void_is_no_damage(void **state)
{
    (void)state;
    const char *path = temp_path("voids");
    sample s = make(INLINE);
    size_t length = s.length, keep = s.length - 3;
    write_file(path, s.bytes, keep);
    for (int round = 0; round < 12; round++) {
        char id[16];
        snprintf(id, sizeof id, "round%d", round);
        assert_int_equal(write_on(path, MEMFILE_TOLERATE_TORN, id), MEMFILE_OK);
        uint8_t *bytes = read_file(path, &length);
        found f = look(bytes, length);
        assert_int_equal(f.rc, MEMFILE_OK);
        assert_false(f.damage);
        size_t total = length - (size_t)f.commit;
        assert_int_equal(mf_trailer_length(bytes + length - 8), total);
        uint64_t previous = mf_load64(bytes + f.commit + 24);
        f = look(bytes, length - 1 - (size_t)round % total);
        assert_int_equal(f.rc, MEMFILE_OK);
        assert_int_equal(f.commit, previous);
        assert_false(f.damage);
        if (round % 3 != 2) /* torn again, at another place of it */
            assert_int_equal(truncate(path, (off_t)(length - 1 - (size_t)round * 7 % total)), 0);
        free(bytes);
    }
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
    free(s.bytes);
}

/* 14.3.1: a header that names a later commit as the one before it. */
static void a_header_that_names_a_later_commit_is_damage(void **state)
{
    (void)state;
    const char *path = temp_path("later");
    memfile *mf = create_file(path);
    for (int i = 0; i < 4; i++) {
        char id[8];
        snprintf(id, sizeof id, "n%d", i);
        put_text(mf, id, id);
        commit_ok(mf);
    }
    memfile_close(mf);
    sample s = take(path);
    assert_int_equal(s.count, 5);
    /* the commit of n2 as if it had been torn: its header is there, its end is not */
    mf_segment n2 = s.segments[3];
    size_t total = (size_t)mf_segment_total(&n2), end = (size_t)n2.offset + total;
    memset(s.bytes + end - 16, 0, 16);
    found f = look(s.bytes, end);
    assert_int_equal(f.rc, MEMFILE_OK);
    assert_int_equal(f.commit, s.segments[2].offset);
    assert_false(f.damage);
    /* the beginning of n3 behind it says that it was not */
    f = look(s.bytes, s.length - 1);
    assert_int_equal(f.rc, MEMFILE_OK);
    assert_int_equal(f.commit, s.segments[2].offset);
    assert_true(f.damage);
    free(s.bytes);
}

/* 14.2: the last segment, then its Previous_Commit, "at most 64 times". */
static void sixty_four_commits_back_are_tried(void **state)
{
    (void)state;
    const char *path = temp_path("back");
    memfile *mf = create_file(path);
    for (int i = 0; i < 90; i++) {
        char id[8];
        snprintf(id, sizeof id, "n%d", i);
        put_text(mf, id, id);
        commit_ok(mf);
    }
    memfile_close(mf);
    sample s = take(path);
    uint64_t commits[100];
    size_t count = 0;
    for (size_t i = 0; i < s.count; i++)
        if (s.segments[i].flags & MF_FLAG_COMMIT)
            commits[count++] = s.segments[i].offset;
    assert_int_equal(count, 91);
    for (size_t damaged = 1; damaged <= 80; damaged++) {
        s.bytes[commits[count - damaged] + 70] ^= 1;
        found f = look(s.bytes, s.length);
        if (damaged <= 64) {
            if (f.rc != MEMFILE_OK || f.commit != commits[count - damaged - 1])
                fail_msg("%zu damaged commits: rc %d", damaged, f.rc);
        } else {
            assert_int_equal(f.rc, MEMFILE_E_DAMAGED);
        }
    }
    free(s.bytes);
}

/* 14.2, 19: 18,874,368 bytes are looked at, no more. */
static void a_commit_is_found_within_the_look_back_only(void **state)
{
    (void)state;
    sample s = make(INLINE);
    uint64_t newest = s.segments[s.count - 1].offset;
    static const uint64_t lookback = 18874368;
    size_t room = (size_t)lookback + 4096;
    uint8_t *bytes = (uint8_t *)calloc(1, room + s.length);
    memcpy(bytes, s.bytes, s.length);
    found f = look(bytes, (size_t)(newest + lookback)); /* the header of the commit is the first that is looked at */
    assert_int_equal(f.rc, MEMFILE_OK);
    assert_int_equal(f.commit, newest);
    assert_false(f.damage);
    f = look(bytes, (size_t)(newest + lookback + 8));
    assert_int_equal(f.rc, MEMFILE_E_DAMAGED);
    free(bytes);
    free(s.bytes);
}

/* 14.2: what stands in a sound segment is content, even if it looks like a commit of this file. */
static void a_commit_within_a_sound_segment_is_not_the_newest(void **state)
{
    (void)state;
    sample s = make(INLINE);
    mf_built inner, outer;
    memfile_error e;
    const mf_segment *newest = &s.segments[s.count - 1];
    uint32_t tag = mf_load32(s.bytes + 32);
    size_t length = (size_t)mf_segment_total(newest);
    /* a copy of the newest commit, with its place made right for where it will stand */
    mf_built_init(&inner, &mf_mem_default, NULL);
    mf_built_init(&outer, &mf_mem_default, NULL);
    mf_put_bytes(&inner.bytes, s.bytes + newest->offset, length);
    inner.segment = *newest;
    uint64_t place = s.length + 64 + 1 + 7; /* behind header and length byte of a head of 7 bytes */
    mf_segment_place(&inner, place, newest->offset, 1, tag);
    mf_put_zero(&inner.bytes, 8);
    assert_int_equal(mf_segment_build(&outer, MF_TYPE_CHUNK, 0, mf_slice_of("1234567", 7),
                                      mf_slice_of(inner.bytes.data, length + 8), NULL, 0, NULL, &e),
                     MEMFILE_OK);
    mf_segment_place(&outer, s.length, newest->offset, 1, tag);
    memcpy(s.bytes + s.length, outer.bytes.data, outer.bytes.length);
    assert_true(mf_segment_is_sound_header(s.bytes + place, place, tag));
    found f = look(s.bytes, s.length + outer.bytes.length);
    assert_int_equal(f.rc, MEMFILE_OK);
    assert_int_equal(f.commit, newest->offset);
    s.bytes[s.length + 64] ^= 1; /* no longer sound as a whole, it encloses nothing */
    f = look(s.bytes, s.length + outer.bytes.length);
    assert_int_equal(f.rc, MEMFILE_OK);
    assert_int_equal(f.commit, place);
    mf_built_free(&inner);
    mf_built_free(&outer);
    free(s.bytes);
}

static void what_is_no_commit_does_not_count(void **state)
{
    (void)state;
    sample s = make(FULL);
    mf_store st;
    mf_io *io;
    memfile_error e;
    uint64_t end;
    assert_int_equal(mf_io_memory_open(&mf_mem_default, s.bytes, s.length, &io, &e), MEMFILE_OK);
    assert_int_equal(mf_store_begin(&st, io, &mf_mem_default, 0, NULL, &e), MEMFILE_OK);
    for (size_t i = 0; i < s.count; i++) {
        int rc = mf_tail_counts(&st, s.segments[i].offset, s.length, &end, &e);
        bool commit = s.segments[i].flags & MF_FLAG_COMMIT;
        assert_int_equal(rc, commit ? MEMFILE_OK : MEMFILE_E_DAMAGED);
        if (commit)
            assert_int_equal(end, s.segments[i].offset + mf_segment_total(&s.segments[i]));
    }
    uint64_t newest = s.segments[s.count - 1].offset;
    assert_int_equal(mf_tail_counts(&st, newest + 8, s.length, &end, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_tail_counts(&st, newest + 1, s.length, &end, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_tail_counts(&st, 0, s.length, &end, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_tail_counts(&st, s.length, s.length, &end, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_tail_counts(&st, UINT64_MAX - 7, s.length, &end, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_tail_counts(&st, newest, s.length - 8, &end, &e), MEMFILE_E_TRUNCATED);
    mf_store_close(&st);
    free(s.bytes);
}

/* The first sector of a group is shared with the debris that its VOID names; here the VOID
 * ends in the next one, so that the commit behind it may be whole without it. */
static void a_torn_group_behind_debris_is_torn_whichever_sector_is_missing(void **state)
{
    (void)state;
    const char *path = temp_path("behind");
    sample s = make(INLINE);
    char text[2001] = "";
    uint64_t newest = s.segments[s.count - 1].offset, seed = 5, group = s.length / 512 * 512 + 512 + 472;
    memset(s.bytes + s.length, 0xab, group - s.length);
    write_file(path, s.bytes, group);
    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] = (char)('!' + next_random(&seed) % 90);
    memfile *mf = open_file(path, MEMFILE_WRITE);
    put_text(mf, "c", text);
    commit_ok(mf);
    memfile_close(mf);
    size_t length;
    uint8_t *bytes = read_file(path, &length), *torn = (uint8_t *)malloc(length);
    assert_int_equal(look(bytes, length).rc, MEMFILE_OK);
    assert_true(group % 8 == 0 && length > group + 1024);
    for (uint64_t at = group, end; at < length; at = end) {
        end = (at / 512 + 1) * 512;
        memcpy(torn, bytes, length);
        memset(torn + at, 0, (end < length ? end : length) - at);
        found f = look(torn, length);
        assert_int_equal(f.rc, MEMFILE_OK);
        assert_int_equal(f.commit, newest);
        assert_false(f.damage);
    }
    free(torn);
    free(bytes);
    free(s.bytes);
}

/* The power went before the length was durable; the file went on with another commit, and the
 * next crash left the length grown over what the disk still holds. */
static void what_an_earlier_crash_lost_hides_no_commit_when_it_shows_again(void **state)
{
    (void)state;
    const char *path = temp_path("again");
    memfile *mf = create_file(path);
    size_t before, lost, length;
    put_text(mf, "a", "the first");
    commit_ok(mf);
    memfile_close(mf);
    uint8_t *first = read_file(path, &before);
    mf = open_file(path, MEMFILE_WRITE);
    char text[600], id[16];
    uint64_t seed = 9;
    for (int i = 0; i < 200; i++) {
        for (size_t k = 0; k < sizeof text - 1; k++)
            text[k] = (char)('!' + next_random(&seed) % 90);
        text[sizeof text - 1] = '\0';
        snprintf(id, sizeof id, "n%d", i);
        put_text(mf, id, text);
    }
    commit_ok(mf);
    memfile_close(mf);
    uint8_t *old = read_file(path, &lost);
    size_t commit = lost - mf_load32(old + lost - 8);
    write_file(path, first, before);
    mf = open_file(path, MEMFILE_WRITE);
    put_text(mf, "b", "acknowledged");
    commit_ok(mf);
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    uint64_t newest = length - mf_load32(bytes + length - 8);
    memcpy(old, bytes, length);
    for (size_t end = length; end <= commit; end += 8) {
        found f = look(old, end);
        assert_int_equal(f.rc, MEMFILE_OK);
        assert_int_equal(f.commit, newest);
    }
    free(first);
    free(old);
    free(bytes);
}

/* SPEC 9.4, 16.2: so that no reader checks a long group to find the newest commit. */
static void a_long_group_counts_only_if_it_is_synced(void **state)
{
    (void)state;
    const char *path = temp_path("long");
    memfile *mf = create_file(path);
    mf_segment segments[200];
    mf_store st;
    memfile_error e;
    size_t length;
    char id[16], text[700];
    uint64_t random = 11;
    put_text(mf, "first", "of a small commit");
    commit_ok(mf);
    for (int i = 0; i < 400; i++) {
        snprintf(id, sizeof id, "n%d", i);
        for (size_t k = 0; k < sizeof text - 1; k++)
            text[k] = (char)('!' + next_random(&random) % 90);
        text[sizeof text - 1] = '\0';
        put_text(mf, id, text);
    }
    commit_ok(mf);
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    size_t count = segments_of(bytes, length, segments, 200);
    mf_segment *commit = &segments[count - 1];
    assert_true(commit->flags & MF_FLAG_SYNCED);
    assert_int_equal(store_of_memory(&st, bytes, length, 0, &e), MEMFILE_OK);
    assert_int_equal(st.state->entries, 401);
    mf_store_close(&st);
    bytes[commit->offset + 5] &= (uint8_t)~MF_FLAG_SYNCED;
    reseal(bytes + commit->offset);
    assert_int_equal(store_of_memory(&st, bytes, length, 0, &e), MEMFILE_OK);
    assert_int_equal(st.state->entries, 1);
    mf_store_close(&st);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_group_counts_only_if_it_is_synced),
        cmocka_unit_test(a_whole_file_ends_with_its_newest_commit),
        cmocka_unit_test(a_newest_group_cut_at_any_byte_is_torn),
        cmocka_unit_test(any_bytes_behind_a_whole_commit_are_torn),
        cmocka_unit_test(any_flipped_bit_of_the_newest_commit_is_damage),
        cmocka_unit_test(a_group_that_lost_a_part_counts_only_if_it_was_synced),
        cmocka_unit_test(damage_that_a_void_names_is_not_judged_again),
        cmocka_unit_test(a_void_of_another_commit_does_not_hide_damage),
        cmocka_unit_test(an_older_void_hides_only_the_commit_that_it_holds),
        cmocka_unit_test(a_void_behind_a_void_behind_a_void_is_no_damage),
        cmocka_unit_test(a_header_that_names_a_later_commit_is_damage),
        cmocka_unit_test(sixty_four_commits_back_are_tried),
        cmocka_unit_test(a_commit_is_found_within_the_look_back_only),
        cmocka_unit_test(a_commit_within_a_sound_segment_is_not_the_newest),
        cmocka_unit_test(what_is_no_commit_does_not_count),
        cmocka_unit_test(a_torn_group_behind_debris_is_torn_whichever_sector_is_missing),
        cmocka_unit_test(what_an_earlier_crash_lost_hides_no_commit_when_it_shows_again),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
