/* walk, rebuild: the file by tiling, without any index. SPEC 2.5, 13.2, 17.1. */
#include "support.h"

#include "walk.h"

typedef struct sample {
    uint8_t *bytes;
    size_t length, count;
    mf_segment segments[700];
} sample;

static sample take(const char *path)
{
    sample s;
    s.bytes = read_file(path, &s.length);
    s.count = segments_of(s.bytes, s.length, s.segments, 700);
    return s;
}

/* Inline commits, one with blocks, a run and contents. */
static sample make(void)
{
    const char *path = temp_path("walk");
    memfile *mf = create_file(path);
    char *text = (char *)malloc(300001), id[16];
    uint64_t seed = 4;
    for (int i = 0; i < 300000; i++)
        text[i] = (char)('!' + next_random(&seed) % 90);
    text[300000] = '\0';
    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof id, "a%d", i);
        put_text(mf, id, id);
        commit_ok(mf);
    }
    put_text(mf, "long", text);
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "b%d", i);
        text[100] = '\0';
        put_text(mf, id, text + i % 50);
    }
    commit_ok(mf);
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof id, "c%d", i);
        put_text(mf, id, id);
        commit_ok(mf);
    }
    memfile_close(mf);
    free(text);
    return take(path);
}

static int open_walk(mf_walk *w, mf_store *st, const uint8_t *bytes, size_t length, uint64_t end)
{
    memfile_error e;
    mf_io *io;
    assert_int_equal(mf_io_memory_open(&mf_mem_default, bytes, length, &io, &e), MEMFILE_OK);
    assert_int_equal(mf_store_begin(st, io, &mf_mem_default, 0, NULL, &e), MEMFILE_OK);
    return mf_walk_open(w, st, end, &e);
}

static void close_walk(mf_walk *w, mf_store *st)
{
    mf_walk_close(w);
    mf_walk_close(w);
    mf_store_close(st);
}

/* SPEC 2.2: header and groups tile the file. */
static void groups_tile_the_file_and_end_with_their_commits(void **state)
{
    (void)state;
    sample s = make();
    mf_store st;
    mf_walk w;
    mf_walk_group g;
    memfile_error e;
    uint64_t at = 80, previous = 0;
    size_t groups = 0, i = 0;
    assert_int_equal(open_walk(&w, &st, s.bytes, s.length, s.length), MEMFILE_OK);
    int rc;
    while ((rc = mf_walk_group_next(&w, &g, &e)) == MEMFILE_OK) {
        assert_int_equal(g.start, at);
        assert_int_equal(g.first_segment, at);
        assert_int_equal(g.gap_count, 0);
        assert_int_equal(g.previous_commit, previous);
        while (!(s.segments[i].flags & MF_FLAG_COMMIT))
            i++;
        assert_int_equal(g.commit_offset, s.segments[i].offset);
        assert_int_equal(g.commit.type, MF_TYPE_COMMIT);
        assert_int_equal(g.end, g.commit_offset + mf_segment_total(&g.commit));
        previous = g.commit_offset;
        at = g.end;
        groups++;
        i++;
    }
    assert_int_equal(rc, MEMFILE_DONE);
    assert_int_equal(at, s.length);
    assert_int_equal(groups, 17);
    assert_int_equal(mf_walk_group_next(&w, &g, &e), MEMFILE_DONE);
    close_walk(&w, &st);
    free(s.bytes);
}

static void bytes_are_given_wherever_they_are_asked_for(void **state)
{
    (void)state;
    size_t length = 3u << 20;
    uint8_t *bytes = (uint8_t *)malloc(length);
    const uint8_t *p;
    uint64_t seed = 6;
    mf_store st;
    mf_walk w;
    memfile_error e;
    sample s = make();
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)next_random(&seed);
    memcpy(bytes, s.bytes, 80);
    assert_int_equal(open_walk(&w, &st, bytes, length, length), MEMFILE_OK);
    for (int i = 0; i < 200; i++) { /* forward, backward, over the edges of what was read ahead */
        size_t at = next_random(&seed) % length, n = next_random(&seed) % (i % 3 ? 5000 : 1048576);
        if (n > length - at)
            n = length - at;
        assert_int_equal(mf_walk_bytes(&w, at, n, &p, &e), MEMFILE_OK);
        assert_memory_equal(p, bytes + at, n);
    }
    assert_int_equal(mf_walk_bytes(&w, 0, 2u << 20, &p, &e), MEMFILE_OK); /* "at most 2 MiB" */
    assert_memory_equal(p, bytes, 2u << 20);
    assert_int_equal(mf_walk_bytes(&w, length - 10, 11, &p, &e), MEMFILE_E_TRUNCATED);
    assert_null(p);
    assert_int_equal(mf_walk_bytes(&w, 0, 3u << 20, &p, &e), MEMFILE_E_DAMAGED);
    close_walk(&w, &st);
    free(bytes);
    free(s.bytes);
}

/* SPEC 17.1: "The loss is exactly the segments that the damage touches." */
static void a_damaged_header_is_a_gap_up_to_the_next_sound_one(void **state)
{
    (void)state;
    sample s = make();
    for (size_t hit = 0; hit < s.count; hit++) {
        mf_store st;
        mf_walk w;
        mf_walk_group g;
        memfile_error e;
        uint64_t at = 80, gaps = 0;
        int rc;
        bool last = hit + 1 == s.count;
        s.bytes[s.segments[hit].offset + 20] ^= 2;
        assert_int_equal(open_walk(&w, &st, s.bytes, s.length, s.length), MEMFILE_OK);
        while ((rc = mf_walk_group_next(&w, &g, &e)) == MEMFILE_OK) {
            assert_int_equal(g.start, at);
            at = g.end;
            for (uint32_t k = 0; k < g.gap_count; k++) {
                assert_int_equal(g.gaps[k].start, s.segments[hit].offset);
                assert_int_equal(g.gaps[k].end, s.segments[hit].offset + mf_segment_total(&s.segments[hit]));
                gaps++;
            }
            /* a group whose commit's header is gone ends there: later segments name its place */
            bool gone = g.gap_count > 0 && (s.segments[hit].flags & MF_FLAG_COMMIT);
            assert_int_equal(g.commit_offset == 0, gone);
            assert_int_equal(g.lost_commit, gone && !last ? s.segments[hit].offset : 0);
        }
        assert_int_equal(rc, MEMFILE_DONE);
        assert_int_equal(at, s.length);
        assert_int_equal(gaps, 1);
        close_walk(&w, &st);
        s.bytes[s.segments[hit].offset + 20] ^= 2;
    }
    free(s.bytes);
}

/* Places in order, each its own gap, and beyond the room for them one that holds the rest. */
static void gaps_without_number_are_kept_in_bounds(void **state)
{
    (void)state;
    sample s = make();
    mf_store st;
    mf_walk w;
    mf_walk_group g;
    memfile_error e;
    size_t first = 0, damaged = 0;
    while (!(s.segments[first].flags & MF_FLAG_COMMIT) || s.segments[first + 1].flags & MF_FLAG_COMMIT)
        first++; /* the commit before the large group */
    for (size_t i = first + 1; !(s.segments[i].flags & MF_FLAG_COMMIT); i += 2) {
        if (s.segments[i + 1].flags & MF_FLAG_COMMIT)
            break;
        s.bytes[s.segments[i].offset + 20] ^= 2;
        damaged++;
    }
    assert_int_equal(open_walk(&w, &st, s.bytes, s.length, s.length), MEMFILE_OK);
    uint64_t gaps = 0;
    while (mf_walk_group_next(&w, &g, &e) == MEMFILE_OK) {
        assert_true(g.gap_count <= MF_WALK_GAPS_MAX);
        for (uint32_t k = 0; k < g.gap_count; k++) {
            assert_true(g.gaps[k].start < g.gaps[k].end && g.gaps[k].end <= g.end);
            if (k > 0)
                assert_true(g.gaps[k - 1].end <= g.gaps[k].start);
        }
        gaps += g.gap_count;
    }
    assert_int_equal(gaps, damaged < MF_WALK_GAPS_MAX ? damaged : MF_WALK_GAPS_MAX);
    assert_true(damaged > 3);
    close_walk(&w, &st);
    free(s.bytes);
}

/* Torn at each byte of the last commit, then written on: the walk finds the void, and nothing of it
 * is taken for a segment of the file. SPEC 2.5. */
static void a_void_is_passed_over_whatever_stands_in_it(void **state)
{
    (void)state;
    const char *path = temp_path("void");
    sample s = make();
    uint64_t start = s.segments[s.count - 1].offset;
    for (uint64_t cut = start + 1; cut < s.length; cut += 3) {
        size_t length;
        mf_store st;
        mf_walk w;
        mf_walk_group g;
        memfile_error e;
        uint64_t groups = 0;
        write_file(path, s.bytes, cut);
        memfile *mf = open_file(path, MEMFILE_WRITE);
        put_text(mf, "x", "behind the tear");
        commit_ok(mf);
        memfile_close(mf);
        uint8_t *bytes = read_file(path, &length);
        assert_int_equal(open_walk(&w, &st, bytes, length, length), MEMFILE_OK);
        while (mf_walk_group_next(&w, &g, &e) == MEMFILE_OK) {
            assert_int_equal(g.gap_count, 0);
            if (++groups < 17)
                assert_int_equal(g.first_segment, g.start);
        }
        assert_int_equal(groups, 17);
        assert_int_equal(g.start, start);
        assert_int_equal(g.first_segment, (cut + 7) / 8 * 8); /* SPEC 16.5: up to the next multiple of 8 */
        assert_int_equal(bytes[g.first_segment + 4], MF_TYPE_VOID);
        assert_int_equal(g.end, length);
        close_walk(&w, &st);
        free(bytes);
    }
    free(s.bytes);
}

static void a_segment_of_a_newer_version_ends_the_walk(void **state)
{
    (void)state;
    sample s = make();
    mf_store st;
    mf_walk w;
    mf_walk_group g;
    memfile_error e;
    uint8_t *segment = s.bytes + s.segments[3].offset;
    int rc;
    segment[6] = 9; /* a codec that nobody knows, under a right checksum */
    reseal(segment);
    assert_int_equal(open_walk(&w, &st, s.bytes, s.length, s.length), MEMFILE_OK);
    while ((rc = mf_walk_group_next(&w, &g, &e)) == MEMFILE_OK)
        ;
    assert_int_equal(rc, MEMFILE_E_NEWER);
    assert_int_equal(e.code, MEMFILE_E_NEWER);
    close_walk(&w, &st);
    free(s.bytes);
}

/* ---- rebuild */

static void a_rebuilt_state_leads_to_every_sound_entry(void **state)
{
    (void)state;
    sample s = make();
    for (size_t hit = s.count; hit-- > 1;) {
        mf_store st;
        memfile_error e;
        uint64_t found = 0;
        const mf_segment *h = &s.segments[hit];
        if (hit % 5 && hit + 8 < s.count)
            continue;
        s.bytes[h->offset + 90] ^= 8;
        mf_io *io;
        assert_int_equal(mf_io_memory_open(&mf_mem_default, s.bytes, s.length, &io, &e), MEMFILE_OK);
        assert_int_equal(mf_store_begin(&st, io, &mf_mem_default, 1 << 20, NULL, &e), MEMFILE_OK);
        assert_int_equal(mf_store_rebuild(&st, &e), MEMFILE_OK);
        assert_true(st.state->lost_commits > 0); /* which refuses writing */
        for (uint64_t i = 0; i < 1016; i++) {
            mf_object *o;
            uint32_t row;
            char id[16];
            int rc = mf_store_entry(&st, i, &o, &row, &e);
            if (rc != MEMFILE_OK)
                continue;
            snprintf(id, sizeof id, i < 10 ? "a%d" : i == 10 ? "long" : i < 1011 ? "b%d" : "c%d",
                     (int)(i < 10 ? i : i < 1011 ? i - 11 : i - 1011));
            mf_id got = mf_block_id(&o->block, row);
            assert_int_equal(got.length, strlen(id));
            assert_memory_equal(got.data, id, got.length);
            mf_store_release(&st, o);
            found++;
        }
        bool block = h->type == MF_TYPE_RECORDS, commit = h->type == MF_TYPE_COMMIT;
        if (!block && !commit)
            assert_int_equal(found, 1016);
        else if (commit)
            assert_true(found >= 1015); /* what was inline in it */
        else
            assert_true(found > 600 && found < 1016);
        mf_store_close(&st);
        s.bytes[h->offset + 90] ^= 8;
    }
    free(s.bytes);
}

static void nothing_can_be_rebuilt_of_nothing(void **state)
{
    (void)state;
    sample s = make();
    mf_store st;
    mf_io *io;
    memfile_error e;
    memset(s.bytes + 80, 0, s.length - 80);
    assert_int_equal(mf_io_memory_open(&mf_mem_default, s.bytes, s.length, &io, &e), MEMFILE_OK);
    assert_int_equal(mf_store_begin(&st, io, &mf_mem_default, 1 << 20, NULL, &e), MEMFILE_OK);
    assert_int_equal(mf_store_rebuild(&st, &e), MEMFILE_E_DAMAGED);
    assert_null(st.state->blocks);
    mf_store_close(&st);
    free(s.bytes);
}

/* ---- folded commits */

static void folded_commits_are_given_in_order_with_their_salts(void **state)
{
    (void)state;
    const char *path = temp_path("folded");
    memfile_error e;
    mf_store st;
    mf_history_cursor c;
    mf_history_row *row;
    uint64_t number, entries = 0;
    uint8_t roots[31][16];
    size_t length;
    memfile_close(create_file(path));
    for (int i = 0; i < 30; i++) { /* SPEC 8.3: each handle has a tree of its own */
        memfile *mf = open_file(path, MEMFILE_WRITE);
        for (int k = 0; k < i % 3; k++)
            put_text(mf, NULL, "x");
        put_text(mf, NULL, "y");
        commit_ok(mf);
        memfile_close(mf);
    }
    uint8_t *bytes = read_file(path, &length);
    static mf_segment segments[200];
    size_t count = segments_of(bytes, length, segments, 200), commits = 0;
    for (size_t i = 0; i < count; i++)
        if (segments[i].flags & MF_FLAG_COMMIT) {
            mf_slice head, stored;
            mf_commit k;
            assert_int_equal(mf_segment_split(&segments[i], bytes + segments[i].offset, &head, &stored, &e), MEMFILE_OK);
            assert_int_equal(mf_commit_decode(&k, head, NULL, &mf_mem_default, segments[i].offset, &e), MEMFILE_OK);
            assert_int_equal((k.flags & MF_COMMIT_SALT) != 0, commits > 0);
            memcpy(roots[commits++], k.salt_root, 16);
        }
    free(bytes);
    assert_int_equal(commits, 31);
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    bytes = read_file(path, &length);
    count = segments_of(bytes, length, segments, 200);
    assert_int_equal(store_of_memory(&st, bytes, length, 0, &e), MEMFILE_OK);
    mf_history_cursor_init(&c, &st);
    assert_int_equal(mf_history_cursor_next(&c, &row, &number, &e), MEMFILE_DONE); /* none was added */
    for (size_t i = 0; i < count; i++)
        if (segments[i].type == MF_TYPE_HISTORY)
            assert_int_equal(mf_history_cursor_add(&c, segments[i].offset), MEMFILE_OK);
    assert_true(c.count > 0);
    for (uint64_t i = 0; i < 31; i++) {
        uint8_t salt[16], expected[16];
        assert_int_equal(mf_history_cursor_next(&c, &row, &number, &e), MEMFILE_OK);
        assert_int_equal(number, i);
        assert_int_equal(row->count, i ? (i - 1) % 3 + 1 : 0);
        entries += row->count;
        if (i == 0)
            continue;
        assert_true(mf_history_cursor_salt(&c, row->salt_index, salt));
        mf_salt_below(roots[i], 0, (uint32_t)row->salt_index, expected);
        assert_memory_equal(salt, expected, 16);
        assert_false(mf_history_cursor_salt(&c, (uint64_t)1 << 32, salt)); /* SPEC 8.2: indexes below 2^32 */
    }
    assert_int_equal(entries, 60); /* ten times 1 + 2 + 3 */
    assert_int_equal(mf_history_cursor_next(&c, &row, &number, &e), MEMFILE_DONE);
    assert_null(row);
    uint8_t root[16] = {5}, salt[16], expected[16];
    assert_int_equal(mf_history_cursor_set_root(&c, root), MEMFILE_OK);
    assert_true(mf_history_cursor_salt(&c, 123456, salt));
    mf_salt_below(root, 0, 123456, expected);
    assert_memory_equal(salt, expected, 16);
    mf_history_cursor_free(&c);
    /* what is no HISTORY segment is refused */
    mf_history_cursor_init(&c, &st);
    assert_int_equal(mf_history_cursor_add(&c, segments[count - 1].offset), MEMFILE_OK);
    assert_int_equal(mf_history_cursor_next(&c, &row, &number, &e), MEMFILE_E_DAMAGED);
    mf_history_cursor_free(&c);
    mf_store_close(&st);
    free(bytes);
}

/* SPEC 13.3: a segment without rows goes on with the salts of the row before it */
static void salts_of_no_commit_are_damage(void **state)
{
    (void)state;
    const char *path = temp_path("orphan");
    mf_salt_node node = {16, 7, {1}};
    mf_history h = {1, 1, 0, 1, NULL, &node};
    mf_history_row *row;
    mf_history_cursor c;
    mf_buffer head;
    mf_built built;
    mf_store st;
    mf_io *io;
    memfile_error e;
    uint64_t number;
    size_t length;
    memfile_close(create_file(path));
    uint8_t *bytes = read_file(path, &length);
    mf_built_init(&built, &mf_mem_default, NULL);
    mf_buffer_init(&head, &mf_mem_default);
    mf_history_encode(&head, &h);
    assert_int_equal(mf_segment_build(&built, MF_TYPE_HISTORY, 0, mf_slice_of(head.data, head.length), mf_slice_of(NULL, 0),
                                      NULL, 0, NULL, &e), MEMFILE_OK);
    mf_segment_place(&built, length, MF_HEADER_LENGTH, 0, mf_load32(bytes + 32));
    bytes = (uint8_t *)realloc(bytes, length + built.bytes.length);
    memcpy(bytes + length, built.bytes.data, built.bytes.length);
    assert_int_equal(mf_io_memory_open(&mf_mem_default, bytes, length + built.bytes.length, &io, &e), MEMFILE_OK);
    assert_int_equal(mf_store_begin(&st, io, &mf_mem_default, 0, NULL, &e), MEMFILE_OK);
    st.readable_end = length + built.bytes.length;
    for (int passes = 0; passes < 2; passes++) {
        mf_history_cursor_init(&c, &st);
        c.passes_orphans = passes;
        assert_int_equal(mf_history_cursor_add(&c, length), MEMFILE_OK);
        assert_int_equal(mf_history_cursor_next(&c, &row, &number, &e), passes ? MEMFILE_DONE : MEMFILE_E_DAMAGED);
        assert_null(row);
        if (!passes) {
            assert_int_equal(e.offset, length);
            if (!strstr(e.message, "of no commit"))
                fail_msg("%s", e.message);
        }
        mf_history_cursor_free(&c);
    }
    mf_store_close(&st);
    mf_buffer_free(&head);
    mf_built_free(&built);
    free(bytes);
}

/* SPEC 13.3: of a tree whose nodes were cut out, what stands below those that are left */
static void salts_of_a_tree_with_holes_are_those_below_its_nodes(void **state)
{
    (void)state;
    mf_store st;
    mf_history_cursor c;
    uint8_t root[16] = {9, 8, 7}, salt[16], expected[16];
    memset(&st, 0, sizeof st);
    st.mem = &mf_mem_default;
    mf_history_cursor_init(&c, &st);
    assert_int_equal(mf_history_cursor_set_root(&c, root), MEMFILE_OK);
    /* the nodes at depth 15 and 16 that lead to 4..7 and to 9; index 8 was erased */
    mf_salt_node nodes[2] = {{15, 1, {0}}, {16, 9, {0}}};
    mf_salt_below(root, 0, 9, nodes[1].seed);
    for (int i = 0; i < 16; i++)
        nodes[0].seed[i] = (uint8_t)(i * 11);
    mf_free(&mf_mem_default, c.nodes);
    c.nodes = (mf_salt_node *)mf_alloc(&mf_mem_default, sizeof nodes);
    memcpy(c.nodes, nodes, sizeof nodes);
    c.node_count = 2;
    for (uint64_t index = 0; index < 20; index++) {
        bool known = (index >= 4 && index < 8) || index == 9;
        assert_int_equal(mf_history_cursor_salt(&c, index, salt), known);
        if (index == 9) {
            assert_memory_equal(salt, nodes[1].seed, 16); /* depth 16 is the salt itself */
        } else if (known) {
            mf_salt_below(nodes[0].seed, 15, (uint32_t)index, expected);
            assert_memory_equal(salt, expected, 16);
        }
    }
    mf_history_cursor_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_tile_the_file_and_end_with_their_commits),
        cmocka_unit_test(bytes_are_given_wherever_they_are_asked_for),
        cmocka_unit_test(a_damaged_header_is_a_gap_up_to_the_next_sound_one),
        cmocka_unit_test(gaps_without_number_are_kept_in_bounds),
        cmocka_unit_test(a_void_is_passed_over_whatever_stands_in_it),
        cmocka_unit_test(a_segment_of_a_newer_version_ends_the_walk),
        cmocka_unit_test(a_rebuilt_state_leads_to_every_sound_entry),
        cmocka_unit_test(nothing_can_be_rebuilt_of_nothing),
        cmocka_unit_test(folded_commits_are_given_in_order_with_their_salts),
        cmocka_unit_test(salts_of_no_commit_are_damage),
        cmocka_unit_test(salts_of_a_tree_with_holes_are_those_below_its_nodes),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
