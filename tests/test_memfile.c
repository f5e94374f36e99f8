/* memfile.h as its users see it. */
#include <errno.h>

#include "support.h"

#include "handle.h"

static void what_was_committed_is_there_after_opening_again(void **state)
{
    (void)state;
    const char *path = temp_path("basic");
    memfile *mf = create_file(path);
    put_text(mf, "a", "first");
    put_text(mf, "b", "");
    commit_ok(mf);
    put_text(mf, "c", "dropped");
    memfile_close(mf);
    mf = open_file(path, MEMFILE_READ);
    memfile_info info;
    memfile_get_info(mf, &info, sizeof info);
    assert_int_equal(info.entries, 2);
    assert_int_equal(info.commits, 2);
    assert_text(mf, "a", "first");
    assert_text(mf, "b", "");
    const memfile_entry *e;
    assert_int_equal(memfile_get(mf, "c", 1, MEMFILE_NEWEST, &e), MEMFILE_E_NOT_FOUND);
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static void an_existing_file_is_not_created_again(void **state)
{
    (void)state;
    const char *path = temp_path("twice");
    memfile *mf = create_file(path), *second;
    memfile_error e;
    memfile_close(mf);
    assert_int_equal(memfile_open(path, MEMFILE_CREATE, NULL, &second, &e), MEMFILE_E_CONFLICT);
    assert_null(second);
    assert_int_equal(memfile_open(temp_path("none"), MEMFILE_READ, NULL, &second, &e), MEMFILE_E_NOT_FOUND);
}

static void the_same_id_twice_in_a_batch_gives_two_versions(void **state)
{
    (void)state;
    const char *path = temp_path("versions");
    memfile *mf = create_file(path);
    put_text(mf, "x", "one");
    put_text(mf, "x", "two");
    commit_ok(mf);
    put_text(mf, "x", "three");
    commit_ok(mf);
    const memfile_entry *e;
    assert_text(mf, "x", "three");
    assert_int_equal(memfile_get(mf, "x", 1, 1, &e), MEMFILE_OK);
    assert_int_equal(memfile_entry_number(e), 1);
    assert_int_equal(memfile_get(mf, "x", 1, 0, &e), MEMFILE_E_NOT_FOUND);
    memfile_filter f = MEMFILE_FILTER_INIT;
    for (int all = 0; all < 2; all++) {
        memfile_cursor *c;
        int n = 0;
        f.all = all;
        assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
        while (memfile_cursor_next(c, &e) == MEMFILE_OK)
            n++;
        assert_int_equal(n, all ? 3 : 1);
        memfile_cursor_close(c);
    }
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static int count_list(memfile *mf, const memfile_filter *f, uint64_t *first)
{
    memfile_cursor *c;
    const memfile_entry *e;
    int n = 0, rc;
    if (memfile_list(mf, f, &c) != MEMFILE_OK)
        fail_msg("list: %s", memfile_last_error(mf)->message);
    while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK)
        if (n++ == 0 && first)
            *first = memfile_entry_number(e);
    assert_int_equal(rc, MEMFILE_DONE);
    memfile_cursor_close(c);
    return n;
}

static void filters_find_what_a_plain_look_finds(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) { /* one commit; many; compacted */
        const char *path = temp_path("filters");
        memfile *mf = create_file(path);
        char json[512];
        for (int i = 0; i < 700; i++) {
            snprintf(json, sizeof json,
                     "{\"id\":\"e%d\",\"kind\":\"k%d\",\"scope\":[\"s%d\",\"t%d\"],\"tags\":[\"g%d\"],\"key\":\"key%d\","
                     "\"time\":\"2024-01-%02dT00:00:%02dZ\",\"text\":\"text %d\"%s}",
                     i, i % 3, i % 5, i % 2, i % 50, i < 690 ? i : 5, 1 + i % 28, i % 60, i,
                     i % 100 == 7 ? ",\"expires\":\"2000-01-01T00:00:00Z\"" : "");
            assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
            if (mode == 1)
                commit_ok(mf);
        }
        if (mode != 1)
            commit_ok(mf);
        if (mode == 2) {
            memfile_close(mf);
            assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
            mf = open_file(path, MEMFILE_READ);
        }
        memfile_filter f = MEMFILE_FILTER_INIT;
        uint64_t first = 0;
        f.all = 1;
        assert_int_equal(count_list(mf, &f, NULL), 700);
        f.kind = "k1";
        assert_int_equal(count_list(mf, &f, NULL), 233);
        const char *scope[] = {"s2", "t1"};
        f.scope = scope;
        f.scope_count = 2;
        assert_int_equal(count_list(mf, &f, &first), 24); /* i = 7 mod 30 */
        assert_int_equal(first, 7);
        f.reverse = 1;
        assert_int_equal(count_list(mf, &f, &first), 24);
        assert_int_equal(first, 697);
        f = (memfile_filter)MEMFILE_FILTER_INIT;
        f.all = 1;
        f.tag = "g49";
        assert_int_equal(count_list(mf, &f, NULL), 14);
        f.tag = NULL;
        f.since = "2024-01-05T00:00:00Z";
        f.until = "2024-01-06T00:00:00Z";
        assert_int_equal(count_list(mf, &f, NULL), 25);
        f.since = f.until = NULL;
        f.reverse = 1;
        f.limit = 10;
        assert_int_equal(count_list(mf, &f, &first), 10);
        assert_int_equal(first, 699);
        f = (memfile_filter)MEMFILE_FILTER_INIT;
        /* 690 … 699 all have key5, in scopes s0/t0 … s4/t1: each supersedes none of another scope */
        assert_int_equal(count_list(mf, &f, NULL), 700 - 7 - 1);
        memfile_close(mf);
        assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
    }
}

static void a_key_is_superseded_in_its_own_scope_only(void **state)
{
    (void)state;
    const char *path = temp_path("keys");
    memfile *mf = create_file(path);
    memfile_filter f = MEMFILE_FILTER_INIT;
    assert_int_equal(put_json(mf, "{\"id\":\"1\",\"scope\":[\"a\"],\"key\":\"k\",\"text\":\"old\"}", NULL), 0);
    assert_int_equal(put_json(mf, "{\"id\":\"2\",\"scope\":[\"b\"],\"key\":\"k\",\"text\":\"other\"}", NULL), 0);
    commit_ok(mf);
    assert_int_equal(count_list(mf, &f, NULL), 2);
    assert_int_equal(put_json(mf, "{\"id\":\"3\",\"scope\":[\"a\"],\"key\":\"k\",\"text\":\"new\"}", NULL), 0);
    commit_ok(mf);
    assert_int_equal(count_list(mf, &f, NULL), 2);
    f.as_of = 1;
    assert_int_equal(count_list(mf, &f, NULL), 2);
    f.as_of = MEMFILE_NEWEST;
    f.all = 1;
    assert_int_equal(count_list(mf, &f, NULL), 3);
    memfile_close(mf);
}

static void an_idempotency_key_is_put_once(void **state)
{
    (void)state;
    const char *path = temp_path("once");
    memfile *mf = create_file(path);
    memfile_put_result r;
    const char *json = "{\"id\":\"a\",\"idempotency_key\":\"pay-1\",\"text\":\"paid\"}";
    assert_int_equal(put_json(mf, json, &r), MEMFILE_OK);
    assert_false(r.existed);
    assert_int_equal(put_json(mf, json, &r), MEMFILE_OK);
    assert_true(r.existed);
    assert_int_equal(r.entry, 0);
    commit_ok(mf);
    memfile_close(mf);
    mf = open_file(path, MEMFILE_WRITE);
    assert_int_equal(put_json(mf, "{\"id\":\"b\",\"idempotency_key\":\"pay-1\",\"text\":\"again\"}", &r), MEMFILE_OK);
    assert_true(r.existed);
    assert_string_equal(r.id, "a");
    assert_int_equal(memfile_commit(mf, NULL), MEMFILE_DONE);
    memfile_info info;
    memfile_get_info(mf, &info, sizeof info);
    assert_int_equal(info.entries, 1);
    memfile_close(mf);
}

static void a_condition_that_fails_changes_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("condition");
    memfile *mf = create_file(path);
    memfile_draft *d;
    assert_int_equal(memfile_draft_new(&d), 0);
    memfile_draft_set(d, MEMFILE_ID, "a", 1);
    memfile_draft_set(d, MEMFILE_TEXT, "x", 1);
    assert_int_equal(memfile_put_if(mf, d, 5, NULL), MEMFILE_E_CONFLICT);
    assert_int_equal(memfile_put_if(mf, d, UINT64_MAX, NULL), MEMFILE_OK);
    assert_int_equal(memfile_put_if(mf, d, UINT64_MAX, NULL), MEMFILE_E_CONFLICT);
    assert_int_equal(memfile_put_if(mf, d, 0, NULL), MEMFILE_OK);
    commit_ok(mf);
    assert_int_equal(memfile_put_if(mf, d, 0, NULL), MEMFILE_E_CONFLICT);
    assert_int_equal(memfile_put_if(mf, d, 1, NULL), MEMFILE_OK);
    commit_ok(mf);
    memfile_info info;
    memfile_get_info(mf, &info, sizeof info);
    assert_int_equal(info.entries, 3);
    memfile_draft_free(d);
    memfile_close(mf);
}

static void contents_of_any_length_come_back(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 32768, 32769, 262144, 262145, 3000000};
    const char *path = temp_path("content");
    memfile *mf = create_file(path);
    memfile_draft *d;
    uint64_t seed = 5;
    uint8_t *bytes = (uint8_t *)malloc(3000000), *got = (uint8_t *)malloc(3000001);
    for (size_t i = 0; i < 3000000; i++)
        bytes[i] = (uint8_t)(next_random(&seed) >> (i / 1000 % 2 ? 60 : 56));
    assert_int_equal(memfile_draft_new(&d), 0);
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
        for (int stream = 0; stream < 2; stream++) {
            char id[32];
            snprintf(id, sizeof id, "c%zu-%d", k, stream);
            memfile_draft_clear(d);
            memfile_draft_set(d, MEMFILE_ID, id, strlen(id));
            if (stream) {
                assert_int_equal(memfile_put_begin(mf, d, 0), MEMFILE_OK);
                for (size_t at = 0; at < lengths[k]; at += 70001)
                    assert_int_equal(memfile_put_write(mf, bytes + at, lengths[k] - at < 70001 ? lengths[k] - at : 70001),
                                     MEMFILE_OK);
                assert_int_equal(memfile_put_end(mf, NULL), MEMFILE_OK);
            } else {
                memfile_draft_set(d, MEMFILE_DATA, bytes, lengths[k]);
                assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_OK);
            }
            if (k % 2)
                commit_ok(mf);
        }
    commit_ok(mf);
    memfile_draft_free(d);
    for (int compacted = 0; compacted < 2; compacted++) {
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
            for (int stream = 0; stream < 2; stream++) {
                char id[32];
                const memfile_entry *e;
                memfile_content *content;
                size_t total = 0, n = 1;
                snprintf(id, sizeof id, "c%zu-%d", k, stream);
                assert_int_equal(memfile_get(mf, id, strlen(id), MEMFILE_NEWEST, &e), MEMFILE_OK);
                assert_int_equal(memfile_entry_content_length(e), lengths[k]);
                assert_int_equal(memfile_entry_content_is_detached(e), lengths[k] > 32768);
                assert_int_equal(memfile_content_open(mf, e, &content), MEMFILE_OK);
                while (n > 0) {
                    assert_int_equal(memfile_content_read(content, got + total, 100003, &n), MEMFILE_OK);
                    total += n;
                }
                memfile_content_close(content);
                assert_int_equal(total, lengths[k]);
                assert_memory_equal(got, bytes, total);
            }
        memfile_close(mf);
        assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
        if (!compacted)
            assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
        mf = open_file(path, MEMFILE_READ);
    }
    memfile_close(mf);
    free(bytes);
    free(got);
}

static void equal_contents_are_stored_once(void **state)
{
    (void)state;
    const char *path = temp_path("dedup");
    memfile *mf = create_file(path);
    char *text = (char *)malloc(400001);
    uint64_t seed = 9;
    for (size_t i = 0; i < 400000; i++)
        text[i] = (char)('a' + next_random(&seed) % 26);
    text[400000] = '\0';
    put_text(mf, "a", text);
    put_text(mf, "b", text);
    commit_ok(mf);
    memfile_info first, second;
    memfile_get_info(mf, &first, sizeof first);
    put_text(mf, "c", text);
    commit_ok(mf);
    memfile_get_info(mf, &second, sizeof second);
    assert_int_equal(first.objects, 1);
    assert_int_equal(second.objects, 1);
    assert_true(second.file_bytes - first.file_bytes < 4096);
    const memfile_entry *e;
    const char *json;
    size_t length;
    assert_int_equal(memfile_get(mf, "c", 1, MEMFILE_NEWEST, &e), MEMFILE_OK);
    assert_int_equal(memfile_entry_json(mf, e, 1000, &json, &length), MEMFILE_E_LIMIT);
    assert_int_equal(memfile_get(mf, "c", 1, MEMFILE_NEWEST, &e), MEMFILE_OK);
    assert_int_equal(memfile_entry_json(mf, e, 400000, &json, &length), MEMFILE_OK);
    assert_true(length > 400000);
    memfile_close(mf);
    free(text);
}

static void a_text_stream_must_be_utf8_across_its_pieces(void **state)
{
    (void)state;
    const char *path = temp_path("utf8");
    memfile *mf = create_file(path);
    memfile_draft *d;
    assert_int_equal(memfile_draft_new(&d), 0);
    assert_int_equal(memfile_put_begin(mf, d, 1), MEMFILE_OK);
    for (int i = 0; i < 20000; i++) { /* a euro sign, cut everywhere */
        assert_int_equal(memfile_put_write(mf, "\xe2\x82", 2), MEMFILE_OK);
        assert_int_equal(memfile_put_write(mf, "\xac", 1), MEMFILE_OK);
    }
    assert_int_equal(memfile_put_end(mf, NULL), MEMFILE_OK);
    commit_ok(mf);
    memfile_draft_clear(d);
    assert_int_equal(memfile_put_begin(mf, d, 1), MEMFILE_OK);
    assert_int_equal(memfile_put_write(mf, "ab\xe2", 3), MEMFILE_OK);
    assert_int_equal(memfile_put_write(mf, "x", 1), MEMFILE_E_INVALID);
    memfile_rollback(mf);
    memfile_info info;
    memfile_get_info(mf, &info, sizeof info);
    assert_int_equal(info.entries, 1);
    memfile_draft_free(d);
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static void a_reader_keeps_its_snapshot_until_it_refreshes(void **state)
{
    (void)state;
    const char *path = temp_path("snapshot");
    memfile *writer = create_file(path), *reader;
    const memfile_entry *e;
    put_text(writer, "a", "1");
    commit_ok(writer);
    reader = open_file(path, MEMFILE_READ);
    put_text(writer, "b", "2");
    commit_ok(writer);
    assert_int_equal(memfile_get(reader, "b", 1, MEMFILE_NEWEST, &e), MEMFILE_E_NOT_FOUND);
    assert_int_equal(memfile_refresh(reader), MEMFILE_OK);
    assert_text(reader, "b", "2");
    assert_int_equal(memfile_refresh(reader), MEMFILE_DONE);
    /* compaction by somebody else: the old file stays readable, refresh follows */
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    assert_text(reader, "a", "1");
    assert_int_equal(memfile_refresh(reader), MEMFILE_OK);
    assert_text(reader, "b", "2");
    put_text(writer, "c", "3");
    commit_ok(writer);
    assert_int_equal(memfile_refresh(reader), MEMFILE_OK);
    assert_text(reader, "c", "3");
    memfile_close(writer);
    memfile_close(reader);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static void compaction_keeps_history_and_numbers(void **state)
{
    (void)state;
    const char *path = temp_path("compact");
    memfile *mf = create_file(path);
    memfile_verify_result before, after;
    memfile_compact_result done;
    char id[16];
    for (int i = 0; i < 300; i++) {
        snprintf(id, sizeof id, "id%d", i % 200);
        put_text(mf, id, "a text that is not very long, but long enough to be worth compressing");
        if (i % 7 == 0)
            commit_ok(mf);
    }
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(verify_path(path, &before), MEMFILE_OK);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(memfile_compact(path, NULL, &done, NULL), MEMFILE_OK);
        assert_int_equal(verify_path(path, &after), MEMFILE_OK);
        assert_memory_equal(before.history_digest, after.history_digest, 32);
        assert_int_equal(after.entries, 300 + round);
        mf = open_file(path, MEMFILE_WRITE);
        memfile_info info;
        memfile_get_info(mf, &info, sizeof info);
        assert_int_equal(info.superseded, 100);
        const memfile_entry *e;
        assert_int_equal(memfile_get(mf, "id5", 3, 1 + 14, &e), MEMFILE_OK);
        assert_int_equal(memfile_entry_number(e), 5);
        assert_int_equal(memfile_get(mf, "id5", 3, MEMFILE_NEWEST, &e), MEMFILE_OK);
        assert_int_equal(memfile_entry_number(e), 205);
        snprintf(id, sizeof id, "new%d", round);
        put_text(mf, id, "after");
        commit_ok(mf);
        memfile_close(mf);
        assert_int_equal(verify_path(path, &before), MEMFILE_OK);
    }
}

typedef struct seen_log {
    uint64_t numbers[16];
    uint8_t digests[16][32];
    int has[16], count;
} seen_log;

static int see_commit(void *context, const memfile_commit_info *commit)
{
    seen_log *seen = (seen_log *)context;
    assert_true(seen->count < 16);
    seen->numbers[seen->count] = commit->number;
    seen->has[seen->count] = commit->has_digest;
    memcpy(seen->digests[seen->count++], commit->digest, 32);
    return MEMFILE_OK;
}

/* The newest folded commit is the one whose digest the compaction wrote down; it stays
 * that one, whatever is put later. */
static void the_log_of_a_compacted_file_stays_true(void **state)
{
    (void)state;
    const char *path = temp_path("log");
    memfile *mf = create_file(path);
    memfile_info before, info;
    for (int i = 0; i < 3; i++) {
        put_text(mf, "x", "again and again");
        commit_ok(mf);
    }
    memfile_get_info(mf, &before, sizeof before);
    assert_int_equal(before.superseded, 2);
    memfile_close(mf);
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    mf = open_file(path, MEMFILE_WRITE);
    memfile_get_info(mf, &info, sizeof info);
    assert_true(info.last_commit_us == before.last_commit_us);
    for (int i = 0; i < 2; i++) {
        put_text(mf, "x", "after");
        commit_ok(mf);
    }
    seen_log seen = {0};
    assert_int_equal(memfile_log(mf, see_commit, &seen), MEMFILE_OK);
    assert_int_equal(seen.count, 6); /* the genesis is one */
    assert_int_equal(seen.numbers[2], 3);
    assert_true(seen.has[2] && !seen.has[3]);
    assert_memory_equal(seen.digests[2], before.history_digest, 32);
    char hex[65];
    uint64_t number;
    memfile_get_info(mf, &info, sizeof info);
    assert_int_equal(info.superseded, 4);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", info.history_digest[i]);
    assert_int_equal(memfile_find_commit(mf, hex, &number), MEMFILE_OK);
    assert_int_equal(number, 5);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", before.history_digest[i]);
    assert_int_equal(memfile_find_commit(mf, hex, &number), MEMFILE_OK);
    assert_int_equal(number, 3);
    memfile_close(mf);
}

static void one_commit_costs_what_it_adds(void **state)
{
    (void)state;
    const char *path = temp_path("cost");
    memfile *mf = create_file(path);
    memfile_statistics before, after;
    char id[32];
    for (int i = 0; i < 20000; i++) {
        snprintf(id, sizeof id, "n%d", i);
        put_text(mf, id, "some text of a memory");
    }
    commit_ok(mf);
    for (int i = 0; i < 200; i++) {
        memfile_get_statistics(mf, &before, sizeof before);
        snprintf(id, sizeof id, "m%d", i);
        put_text(mf, id, "some text of a memory");
        commit_ok(mf);
        memfile_get_statistics(mf, &after, sizeof after);
        assert_int_equal(after.syncs - before.syncs, 1);
        assert_int_equal(after.writes - before.writes, 1);
        if (i % 64 != 63)
            assert_true(after.bytes_written - before.bytes_written < 300);
        else
            assert_true(after.bytes_written - before.bytes_written < 65536);
    }
    memfile_close(mf);
}

static void opening_and_getting_read_little(void **state)
{
    (void)state;
    const char *path = temp_path("reads");
    uint64_t first_open = 0;
    for (int size = 1000; size <= 64000; size *= 8) {
        memfile *mf = create_file(path);
        memfile_statistics s;
        const memfile_entry *e;
        char id[32];
        for (int i = 0; i < size; i++) {
            snprintf(id, sizeof id, "n%d", i);
            put_text(mf, id, "some text of a memory that is a little longer than the others were before it");
        }
        commit_ok(mf);
        memfile_close(mf);
        mf = open_file(path, MEMFILE_READ);
        memfile_get_statistics(mf, &s, sizeof s);
        assert_true(s.reads <= 3);
        assert_true(s.bytes_read <= 65536 + 80 + 4096);
        if (!first_open)
            first_open = s.bytes_read;
        assert_int_equal(memfile_get(mf, "n500", 4, MEMFILE_NEWEST, &e), MEMFILE_OK);
        memfile_statistics t;
        memfile_get_statistics(mf, &t, sizeof t);
        assert_true(t.reads - s.reads <= 6);
        assert_true(t.bytes_read - s.bytes_read <= 40000);
        memfile_close(mf);
    }
}

static void a_writer_waits_for_the_lock_and_then_says_busy(void **state)
{
    (void)state;
    const char *path = temp_path("lock");
    memfile *a = create_file(path), *b;
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile_error e;
    o.lock_timeout_ms = 50;
    assert_int_equal(memfile_open(path, MEMFILE_WRITE, &o, &b, &e), MEMFILE_OK);
    put_text(a, "a", "1");
    assert_int_equal(put_json(b, "{\"id\":\"b\",\"text\":\"2\"}", NULL), MEMFILE_E_BUSY);
    commit_ok(a);
    assert_int_equal(put_json(b, "{\"id\":\"b\",\"text\":\"2\"}", NULL), MEMFILE_OK);
    commit_ok(b);
    put_text(a, "c", "3");
    memfile_rollback(a);
    put_text(b, "d", "4");
    commit_ok(b);
    assert_int_equal(memfile_refresh(a), MEMFILE_OK);
    assert_text(a, "d", "4");
    memfile_close(a);
    memfile_close(b);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static void an_entry_superseded_by_id_and_by_key_is_counted_once(void **state)
{
    (void)state;
    const char *path = temp_path("fates");
    memfile *mf = create_file(path);
    char json[128];
    memfile_info info;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 6000; i++) {
            snprintf(json, sizeof json, "{\"id\":\"i%d\",\"key\":\"k%d\",\"text\":\"%d\"}", i, i, round);
            assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
        }
    /* a: superseded by its key first, by its id later; values fall within one entry */
    assert_int_equal(put_json(mf, "{\"id\":\"a\",\"key\":\"k\",\"text\":\"0\"}", NULL), MEMFILE_OK);
    assert_int_equal(put_json(mf, "{\"id\":\"b\",\"key\":\"k\",\"text\":\"1\"}", NULL), MEMFILE_OK);
    assert_int_equal(put_json(mf, "{\"id\":\"a\",\"text\":\"2\"}", NULL), MEMFILE_OK);
    commit_ok(mf);
    memfile_get_info(mf, &info, sizeof info);
    assert_int_equal(info.superseded, 6001);
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    mf = open_file(path, MEMFILE_READ);
    memfile_get_info(mf, &info, sizeof info);
    assert_int_equal(info.superseded, 6001);
    memfile_close(mf);
}

static void a_cursor_goes_on_over_commits_of_its_handle(void **state)
{
    (void)state;
    const char *path = temp_path("cursor");
    memfile *mf = create_file(path);
    memfile_cursor *c;
    const memfile_entry *e;
    char id[32];
    uint64_t expected = 0;
    for (int i = 0; i < 3000; i++) {
        snprintf(id, sizeof id, "n%d", i);
        put_text(mf, id, "some text that fills blocks, so that there are a few of them to go through");
        if (i >= 2000 && i % 10 == 0)
            commit_ok(mf);
    }
    commit_ok(mf);
    assert_int_equal(memfile_list(mf, NULL, &c), MEMFILE_OK);
    int rc;
    while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK) {
        assert_int_equal(memfile_entry_number(e), expected++);
        if (expected % 7 == 0 && expected < 2900) {
            snprintf(id, sizeof id, "m%d", (int)expected);
            put_text(mf, id, "committed while the list goes on");
            commit_ok(mf);
        }
    }
    assert_int_equal(rc, MEMFILE_DONE);
    assert_int_equal(expected, 3000);
    memfile_cursor_close(c);
    memfile_close(mf);
}

static void setting_a_field_twice_replaces_it(void **state)
{
    (void)state;
    const char *path = temp_path("replace");
    memfile *mf = create_file(path);
    memfile_draft *d;
    const memfile_entry *e;
    const char *json;
    size_t n;
    assert_int_equal(memfile_draft_new(&d), 0);
    memfile_draft_set(d, MEMFILE_ID, "a", 1);
    memfile_draft_set(d, MEMFILE_TEXT, "one", 3);
    assert_int_equal(memfile_draft_set_json(d, "text", "\"two\"", 5), MEMFILE_OK);
    assert_int_equal(memfile_draft_set_json(d, "own", "1", 1), MEMFILE_OK);
    assert_int_equal(memfile_draft_set_json(d, "own", "[2]", 3), MEMFILE_OK);
    assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_OK);
    commit_ok(mf);
    assert_int_equal(memfile_get(mf, "a", 1, MEMFILE_NEWEST, &e), MEMFILE_OK);
    assert_int_equal(memfile_entry_json(mf, e, 0, &json, &n), MEMFILE_OK);
    assert_int_equal(n, strlen("{\"id\":\"a\",\"text\":\"two\",\"own\":[2]}"));
    assert_memory_equal(json, "{\"id\":\"a\",\"text\":\"two\",\"own\":[2]}", n);
    memfile_draft_free(d);
    memfile_close(mf);
}

static int sync_fails(mf_io *io, memfile_error *err)
{
    (void)io;
    return mf_fail_system(err, MEMFILE_E_UNCERTAIN, MF_NOWHERE, 5, "sync failed");
}
static int write_fails(mf_io *io, uint64_t offset, const void *data, size_t length, memfile_error *err)
{
    (void)io, (void)data, (void)length;
    return mf_fail_system(err, MEMFILE_E_SYSTEM, offset, 28, "cannot write");
}

static void a_failed_sync_poisons_the_handle(void **state)
{
    (void)state;
    const char *path = temp_path("poison");
    memfile *mf = create_file(path);
    const mf_io_functions *good = mf->store.io->functions;
    mf_io_functions bad = *good;
    memfile_statistics before, after;
    bad.sync = sync_fails;
    put_text(mf, "a", "1");
    commit_ok(mf);
    put_text(mf, "b", "2");
    mf->store.io->functions = &bad;
    assert_int_equal(memfile_commit(mf, NULL), MEMFILE_E_UNCERTAIN);
    mf->store.io->functions = good;
    memfile_get_statistics(mf, &before, sizeof before);
    assert_int_equal(put_json(mf, "{\"text\":\"c\"}", NULL), MEMFILE_E_UNCERTAIN);
    assert_int_equal(memfile_commit(mf, NULL), MEMFILE_E_UNCERTAIN);
    memfile_get_statistics(mf, &after, sizeof after);
    assert_int_equal(before.syncs, after.syncs); /* never tried again */
    assert_int_equal(before.writes, after.writes);
    assert_text(mf, "a", "1");
    memfile_close(mf);
    mf = open_file(path, MEMFILE_WRITE); /* somebody looks, and goes on */
    put_text(mf, "d", "4");
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static char calls[32]; /* w: a write, s: a sync */
static const mf_io_functions *noted;

static int note_sync(mf_io *io, memfile_error *err)
{
    strcat(calls, "s");
    return noted->sync(io, err);
}
static int note_write(mf_io *io, uint64_t offset, const void *data, size_t length, memfile_error *err)
{
    strcat(calls, "w");
    return noted->write(io, offset, data, length, err);
}

static void put_and_note(memfile *mf, const char *expected)
{
    mf_io_functions noting = *mf->store.io->functions;
    noted = mf->store.io->functions;
    noting.sync = note_sync;
    noting.write = note_write;
    mf->store.io->functions = &noting;
    calls[0] = '\0';
    put_text(mf, NULL, "text");
    commit_ok(mf);
    mf->store.io->functions = noted;
    assert_string_equal(calls, expected);
}

/* Whoever wrote it may have ended before its sync: a loss of power must not keep what stands
 * behind and lose what stands before. */
static void what_others_wrote_is_synced_before_anything_stands_behind_it(void **state)
{
    (void)state;
    const char *path = temp_path("others");
    memfile *mf = create_file(path), *other = open_file(path, MEMFILE_WRITE);
    put_and_note(mf, "sws");
    put_and_note(mf, "ws");
    put_and_note(other, "sws");
    put_and_note(other, "ws");
    put_and_note(mf, "sws");
    memfile_close(other);
    memfile_close(mf);
    FILE *f = fopen(path, "ab");
    assert_true(f && fputs("unfinished", f) >= 0 && fclose(f) == 0);
    mf = open_file(path, MEMFILE_WRITE);
    put_and_note(mf, "swwsws"); /* the commit and the debris again */
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static const char *lying_path;
static size_t lying_length;
static int uncached;

/* The disk has zeros where the cache showed what could not be written. */
static void show_the_disk(mf_io *io, uint64_t offset)
{
    size_t length;
    (void)io;
    uint8_t *bytes = read_file(lying_path, &length);
    assert_true(offset <= lying_length);
    if (uncached++ == 0)
        memset(bytes + lying_length, 0, length - lying_length);
    write_file(lying_path, bytes, length);
    free(bytes);
}

/* A sync failed; whoever opens the file next still sees the commit, syncs it with success, and it is not there. */
static void nothing_is_built_on_what_only_the_cache_has(void **state)
{
    (void)state;
    for (int large = 0; large < 2; large++) {
        const char *path = lying_path = temp_path("cache");
        memfile_verify_result r;
        size_t length;
        memfile *mf = create_file(path), *other;
        put_text(mf, "kept", "durable");
        commit_ok(mf);
        free(read_file(path, &lying_length));
        for (int i = 0; i < (large ? 2000 : 1); i++)
            put_text(mf, NULL, "not written, though the cache shows it");
        commit_ok(mf);
        memfile_close(mf);
        free(read_file(path, &length));
        other = open_file(path, MEMFILE_WRITE);
        mf_io_functions lying = *other->store.io->functions;
        lying.uncache = show_the_disk;
        other->store.io->functions = &lying;
        uncached = 0;
        put_text(other, "b", "acknowledged");
        commit_ok(other);
        assert_int_equal(uncached, 1);
        put_text(other, "c", "acknowledged too");
        commit_ok(other);
        assert_int_equal(uncached, 1); /* its own: that sync succeeded */
        assert_text(other, "b", "acknowledged");
        memfile_close(other);
        assert_int_equal(verify_path(path, &r), MEMFILE_OK);
        assert_int_equal(r.entries, 3);
        assert_int_equal(r.void_bytes, (length - lying_length + 7) & ~(size_t)7);
        mf = open_file(path, MEMFILE_READ);
        assert_text(mf, "kept", "durable");
        assert_text(mf, "b", "acknowledged");
        assert_text(mf, "c", "acknowledged too");
        memfile_close(mf);
    }
}

/* Two compactions of the same entries end in commits at the same place: what a handle knows of the one is not so of
 * the other. */
static void a_commit_after_a_compaction_is_of_the_new_file(void **state)
{
    (void)state;
    const char *path = temp_path("same-place");
    size_t length, again;
    memfile *mf = create_file(path);
    put_text(mf, "a", "1");
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    mf = open_file(path, MEMFILE_WRITE);
    put_text(mf, "b", "taken back");
    memfile_rollback(mf);
    uint64_t newest = mf->store.committed.commit_offset;
    free(read_file(path, &length));
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    free(read_file(path, &again));
    assert_int_equal(length, again);
    assert_int_equal(memfile_refresh(mf), MEMFILE_OK);
    assert_int_equal(mf->store.committed.commit_offset, newest);
    put_text(mf, "c", "acknowledged");
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static void a_failed_write_commits_nothing_and_the_handle_goes_on(void **state)
{
    (void)state;
    const char *path = temp_path("unwritten");
    memfile *mf = create_file(path);
    const mf_io_functions *good = mf->store.io->functions;
    mf_io_functions bad = *good;
    const memfile_entry *e;
    bad.write = write_fails;
    put_text(mf, "a", "1");
    commit_ok(mf);
    for (int i = 0; i < 3; i++) {
        put_text(mf, "b", "2");
        mf->store.io->functions = &bad;
        assert_int_equal(memfile_commit(mf, NULL), MEMFILE_E_SYSTEM);
        mf->store.io->functions = good;
        assert_int_equal(memfile_get(mf, "b", 1, MEMFILE_NEWEST, &e), MEMFILE_E_NOT_FOUND);
    }
    put_text(mf, "c", "3");
    commit_ok(mf);
    assert_text(mf, "c", "3");
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static const mf_io_functions *storing;
static size_t stored_less;

/* What ends with a commit. */
static int store_and_fail(mf_io *io, uint64_t offset, const void *data, size_t length, memfile_error *err)
{
    if (mf_trailer_length((const uint8_t *)data + length - MF_TRAILER_LENGTH) == 0)
        return storing->write(io, offset, data, length, err);
    assert_int_equal(storing->write(io, offset, data, length - stored_less, err), MEMFILE_OK);
    return mf_fail_system(err, MEMFILE_E_SYSTEM, offset, EIO, "cannot write");
}

/* All of it, or all but a byte. */
static void a_write_that_fails_and_yet_stores_is_uncertain(void **state)
{
    (void)state;
    const char *path = temp_path("stored");
    for (stored_less = 0; stored_less < 2; stored_less++)
        for (int entries = 1; entries <= 200; entries += 199) { /* in one write with its group, and alone */
            const memfile_entry *e;
            memfile *mf = create_file(path);
            storing = mf->store.io->functions;
            mf_io_functions bad = *storing;
            bad.write = store_and_fail;
            for (int i = 0; i < entries; i++)
                put_text(mf, i == 0 ? "a" : NULL, "it may or may not be there, and that is what the caller is told");
            mf->store.io->functions = &bad;
            assert_int_equal(memfile_commit(mf, NULL), stored_less ? MEMFILE_E_SYSTEM : MEMFILE_E_UNCERTAIN);
            assert_int_equal(memfile_last_error(mf)->system_errno, EIO);
            mf->store.io->functions = storing;
            int rc = put_json(mf, "{\"id\":\"b\",\"text\":\"\"}", NULL);
            assert_int_equal(rc == MEMFILE_OK ? memfile_commit(mf, NULL) : rc,
                             stored_less ? MEMFILE_OK : MEMFILE_E_UNCERTAIN);
            memfile_close(mf);
            mf = open_file(path, MEMFILE_READ);
            assert_int_equal(memfile_get(mf, "a", 1, MEMFILE_NEWEST, &e), stored_less ? MEMFILE_E_NOT_FOUND : MEMFILE_OK);
            memfile_close(mf);
            assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
        }
}

/* Allocation n fails, once or from then on; n = 1, 2, … until nothing fails. */
typedef struct failing {
    long left;
    bool forever, hit;
} failing;

static void *failing_reallocate(void *context, void *block, size_t size)
{
    failing *f = (failing *)context;
    if (size == 0) {
        free(block);
        return NULL;
    }
    if (f->left > 0 && --f->left == 0)
        f->hit = true;
    if (f->hit && (f->forever || f->left == 0)) {
        if (!f->forever)
            f->left = -1;
        return NULL;
    }
    return realloc(block, size);
}

static int work_with(const char *path, const memfile_allocator *allocator)
{
    memfile *mf;
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile_error error;
    memfile_draft *d;
    memfile_cursor *c;
    const memfile_entry *e;
    o.allocator = allocator;
    int rc = memfile_open(path, MEMFILE_WRITE, &o, &mf, &error);
    if (rc != MEMFILE_OK)
        return rc;
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    for (int i = 0; i < 3 && rc == MEMFILE_OK; i++) {
        char json[256];
        snprintf(json, sizeof json, "{\"id\":\"x%d\",\"key\":\"k\",\"tags\":[\"t\"],\"text\":\"%d\"%s}", i % 2, i,
                 i == 1 ? ",\"idempotency_key\":\"once\"" : "");
        assert_int_equal(memfile_draft_parse_json(d, json, strlen(json), NULL), MEMFILE_OK);
        rc = memfile_put(mf, d, NULL);
    }
    if (rc == MEMFILE_OK)
        rc = memfile_commit(mf, NULL);
    rc = rc == MEMFILE_DONE ? MEMFILE_OK : rc;
    if (rc == MEMFILE_OK)
        rc = memfile_get(mf, "x1", 2, MEMFILE_NEWEST, &e);
    if (rc == MEMFILE_OK && (rc = memfile_list(mf, NULL, &c)) == MEMFILE_OK) {
        while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK)
            ;
        memfile_cursor_close(c);
        rc = rc == MEMFILE_DONE ? MEMFILE_OK : rc;
    }
    memfile_draft_free(d);
    memfile_close(mf);
    return rc;
}

static void no_failing_allocation_harms_the_file(void **state)
{
    (void)state;
    const char *path = temp_path("memory-fails");
    for (int forever = 0; forever < 2; forever++) {
        memfile_close(create_file(path));
        for (long n = 1;; n++) {
            failing f = {n, forever != 0, false};
            memfile_allocator allocator = {failing_reallocate, &f};
            int rc = work_with(path, &allocator);
            if (rc != MEMFILE_OK && rc != MEMFILE_E_MEMORY)
                fail_msg("allocation %ld: %s", n, memfile_strerror(rc));
            int sound = verify_path(path, NULL);
            if (sound != MEMFILE_OK && sound != MEMFILE_E_TRUNCATED)
                fail_msg("allocation %ld: the file is %s", n, memfile_strerror(sound));
            if (!f.hit) {
                assert_int_equal(rc, MEMFILE_OK);
                assert_true(n > 50);
                break;
            }
        }
    }
}

static int64_t fixed_now(void *context)
{
    return (*(int64_t *)context)++;
}
static void fixed_random(void *context, void *out, size_t length)
{
    (void)context;
    memset(out, 7, length);
}

static void the_same_input_gives_the_same_bytes(void **state)
{
    (void)state;
    uint8_t *first = NULL;
    size_t first_length = 0;
    for (int round = 0; round < 3; round++) {
        const char *path = temp_path("same");
        int64_t clock = 1700000000000000;
        memfile_environment env = {fixed_now, fixed_random, &clock};
        memfile_options o = MEMFILE_OPTIONS_INIT;
        memfile *mf;
        memfile_error e;
        char id[16];
        size_t length;
        unlink(path);
        o.environment = &env;
        o.threads = round == 2 ? 3 : 1;
        assert_int_equal(memfile_open(path, MEMFILE_CREATE, &o, &mf, &e), MEMFILE_OK);
        for (int i = 0; i < 3000; i++) {
            snprintf(id, sizeof id, "i%d", i);
            put_text(mf, id, "the same text again and again, which is not so rare");
            if (i % 1500 == 10)
                commit_ok(mf);
        }
        commit_ok(mf);
        memfile_close(mf);
        uint8_t *bytes = read_file(path, &length);
        if (!first) {
            first = bytes;
            first_length = length;
            continue;
        }
        assert_int_equal(length, first_length);
        assert_memory_equal(bytes, first, length);
        free(bytes);
    }
    free(first);
}

static void a_memfile_in_memory_opens_too(void **state)
{
    (void)state;
    const char *path = temp_path("memory");
    memfile *mf = create_file(path);
    memfile_error e;
    size_t length;
    put_text(mf, "a", "in memory");
    commit_ok(mf);
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    assert_int_equal(memfile_open_memory(bytes, length, NULL, &mf, &e), MEMFILE_OK);
    assert_text(mf, "a", "in memory");
    assert_int_equal(put_json(mf, "{\"text\":\"x\"}", NULL), MEMFILE_E_MISUSE);
    memfile_close(mf);
    assert_int_equal(memfile_open_memory("hello", 5, NULL, &mf, &e), MEMFILE_E_NOT_MEMFILE);
    assert_int_equal(memfile_open_memory(bytes, 60, NULL, &mf, &e), MEMFILE_E_TRUNCATED);
    assert_int_equal(memfile_open_memory(bytes, 80, NULL, &mf, &e), MEMFILE_E_TRUNCATED);
    free(bytes);
}

/* ---- limits of the caller */

static void a_damaged_file_over_the_limit_is_not_read_through(void **state)
{
    (void)state;
    const char *path = temp_path("rebuild");
    memfile *mf = create_file(path);
    put_text(mf, "a", "one");
    commit_ok(mf);
    memfile_close(mf);
    size_t length;
    uint8_t *bytes = read_file(path, &length);
    for (int damaged = 0; damaged < 2; damaged++) {
        const uint64_t limits[] = {length - 1, length, 0};
        bytes[MF_HEADER_LENGTH + MF_SEGMENT_HEADER_LENGTH + 20] ^= (uint8_t)damaged; /* the genesis, with the footer */
        for (int i = 0; i < 3; i++) {
            memfile_options o = MEMFILE_OPTIONS_INIT;
            memfile_error e;
            o.rebuild_limit_bytes = limits[i];
            int rc = memfile_open_memory(bytes, length, &o, &mf, &e);
            assert_int_equal(rc, damaged && i == 0 ? MEMFILE_E_LIMIT : MEMFILE_OK);
            if (rc == MEMFILE_OK)
                assert_text(mf, "a", "one");
            else
                assert_non_null(strstr(e.message, "rebuild_limit_bytes"));
            memfile_close(mf);
        }
    }
    free(bytes);
}

typedef struct hashed {
    uint64_t hash;
    unsigned id;
} hashed;

static int compare_hashed(const void *a, const void *b)
{
    const hashed *x = (const hashed *)a, *y = (const hashed *)b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Two ids or tags whose items (SPEC 10.1) have the same key in a file of that tag, the lowest such key. */
static void find_alike(bool ids, uint32_t tag, char first[16], char second[16])
{
    enum { TRIED = 1000000 };
    hashed *all = (hashed *)malloc(TRIED * sizeof *all);
    for (unsigned i = 0; i < TRIED; i++) {
        char text[16];
        uint8_t binary[16];
        size_t n = (size_t)snprintf(text, sizeof text, "id-%u", i);
        all[i].hash = ids ? mf_item_hash_id(mf_id_from_text(text, n, binary), tag)
                          : mf_item_hash(MF_HASH_TAG, mf_slice_of(text, n), tag);
        all[i].id = i;
    }
    qsort(all, TRIED, sizeof *all, compare_hashed);
    size_t at = 1; /* 116 pairs are to be expected of 32 bits */
    while (at < TRIED && all[at].hash != all[at - 1].hash)
        at++;
    assert_true(at < TRIED);
    snprintf(first, 16, "id-%u", all[at - 1].id);
    snprintf(second, 16, "id-%u", all[at].id);
    free(all);
}

/* After 600,000 items what a batch has goes to the file, index and all: conditions of later puts are looked up there. */
static void a_batch_so_long_that_it_is_written_in_between_keeps_its_conditions(void **state)
{
    (void)state;
    enum { COUNT = 80000 };
    const char *path = temp_path("spilled");
    char json[300], id[16];
    memfile_put_result r;
    memfile_info info;
    memfile *mf = create_file(path);
    memfile_draft *d;
    for (int i = 0; i < COUNT; i++) {
        snprintf(json, sizeof json,
                 "{\"id\":\"n%d\",\"kind\":\"k\",\"scope\":[\"s\"],\"key\":\"%d\",\"tags\":[\"a\",\"b\"],\"text\":\"\","
                 "\"time\":\"2024-01-01T00:00:00Z\",\"idempotency_key\":\"i%d\"}", i, i, i);
        if (put_json(mf, json, &r) != MEMFILE_OK)
            fail_msg("entry %d: %s", i, memfile_last_error(mf)->message);
        assert_int_equal(r.entry, i);
        assert_false(r.existed);
    }
    for (int i = 3; i < COUNT; i += 7919) { /* each action was done once, whether it was written or not */
        snprintf(json, sizeof json, "{\"text\":\"again\",\"idempotency_key\":\"i%d\"}", i);
        assert_int_equal(put_json(mf, json, &r), MEMFILE_OK);
        assert_true(r.existed);
        assert_int_equal(r.entry, i);
    }
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    uint64_t entry = COUNT, replaced = 0;
    for (int i = 5; i < COUNT; i += 9001) { /* and each version is the one that was seen */
        snprintf(id, sizeof id, "n%d", i);
        memfile_draft_clear(d);
        memfile_draft_set(d, MEMFILE_ID, id, strlen(id));
        memfile_draft_set(d, MEMFILE_TEXT, "newer", 5);
        assert_int_equal(memfile_put_if(mf, d, (uint64_t)i + 1, &r), MEMFILE_E_CONFLICT);
        assert_int_equal(memfile_put_if(mf, d, (uint64_t)i, &r), MEMFILE_OK);
        assert_int_equal(r.entry, entry++);
        assert_int_equal(memfile_put_if(mf, d, (uint64_t)i, &r), MEMFILE_E_CONFLICT);
        replaced++;
    }
    memfile_draft_free(d);
    commit_ok(mf);
    memfile_get_info(mf, &info, sizeof info);
    assert_int_equal(info.entries, entry);
    assert_int_equal(info.superseded, replaced);
    for (int i = 5; i < COUNT; i += 9001) {
        snprintf(id, sizeof id, "n%d", i);
        assert_text(mf, id, "newer");
    }
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
    static mf_segment s[8000]; /* it was so long: blocks stand behind pages */
    size_t length, page = 0;
    uint8_t *bytes = read_file(path, &length);
    size_t count = segments_of(bytes, length, s, 8000), block = count;
    free(bytes);
    while (s[page].type != MF_TYPE_INDEX)
        page++;
    while (s[block - 1].type != MF_TYPE_RECORDS)
        block--;
    assert_true(page < block);
}

/* A new memory whose id has the hash of entry 0's: no version of it, and nothing stands before entry 0 to be looked at. */
static void what_collides_with_the_first_entry_supersedes_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("first");
    char first[16], later[16], filler[16];
    size_t length;
    int64_t clock = 1700000000000000;
    memfile_environment env = {fixed_now, fixed_random, &clock};
    memfile_options made = MEMFILE_OPTIONS_INIT;
    memfile_info info;
    memfile *mf;
    made.environment = &env;
    unlink(path);
    assert_int_equal(memfile_open(path, MEMFILE_CREATE, &made, &mf, NULL), MEMFILE_OK);
    uint8_t *bytes = read_file(path, &length);
    find_alike(true, mf_load32(bytes + 32), first, later);
    free(bytes);
    put_text(mf, first, "stays");
    for (int i = 0; i < 3000; i++) { /* a run that is more than 16 times what comes behind it */
        snprintf(filler, sizeof filler, "filler %d", i);
        put_text(mf, filler, "filler");
    }
    commit_ok(mf);
    put_text(mf, later, "new");
    commit_ok(mf);
    for (int i = 0; i < 64; i++) {
        snprintf(filler, sizeof filler, "more %d", i);
        put_text(mf, filler, "more");
        commit_ok(mf);
    }
    assert_text(mf, first, "stays");
    assert_text(mf, later, "new");
    memfile_get_info(mf, &info, sizeof info);
    assert_int_equal(info.superseded, 0);
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

/* In the tail and in a run: four versions of one id are passed over on the way to another. Of random ids a
 * thousandth of the runs has two more that are alike: the file's tag and the ids are the same in every run. */
static void a_look_up_passes_over_as_many_collisions_as_the_caller_allows(void **state)
{
    (void)state;
    const char *path = temp_path("collide");
    char wanted[16], other[16];
    char filler[16];
    size_t length;
    int64_t clock = 1700000000000000;
    memfile_environment env = {fixed_now, fixed_random, &clock};
    memfile_options made = MEMFILE_OPTIONS_INIT;
    memfile *mf;
    made.environment = &env;
    unlink(path);
    assert_int_equal(memfile_open(path, MEMFILE_CREATE, &made, &mf, NULL), MEMFILE_OK);
    uint8_t *bytes = read_file(path, &length);
    find_alike(true, mf_load32(bytes + 32), wanted, other);
    free(bytes);
    put_text(mf, wanted, "found");
    commit_ok(mf);
    for (int i = 0; i < 4; i++) {
        put_text(mf, other, "in the way");
        commit_ok(mf);
    }
    for (int indexed = 0; indexed < 2; indexed++) {
        const uint64_t limits[] = {3, 4, 0, (uint64_t)1 << 20};
        for (int i = 0; indexed && i < 64; i++) {
            snprintf(filler, sizeof filler, "more %d", i);
            put_text(mf, filler, "more");
            commit_ok(mf);
        }
        assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
        for (int i = 0; i < 4; i++) {
            memfile_options o = MEMFILE_OPTIONS_INIT;
            memfile *reader;
            const memfile_entry *entry;
            o.collision_limit = limits[i];
            assert_int_equal(memfile_open(path, MEMFILE_READ, &o, &reader, NULL), MEMFILE_OK);
            assert_int_equal(memfile_get(reader, wanted, strlen(wanted), MEMFILE_NEWEST, &entry),
                             i == 0 ? MEMFILE_E_LIMIT : MEMFILE_OK);
            if (i == 0)
                assert_non_null(strstr(memfile_last_error(reader)->message, "collision_limit"));
            assert_text(reader, other, "in the way");
            memfile_close(reader);
        }
    }
    memfile_close(mf);
    for (int allowed = 3; allowed <= 4; allowed++) { /* the index of a commit tells what each entry supersedes */
        memfile_options o = MEMFILE_OPTIONS_INIT;
        char text[64];
        o.collision_limit = (uint64_t)allowed;
        assert_int_equal(memfile_open(path, MEMFILE_WRITE, &o, &mf, NULL), MEMFILE_OK);
        put_text(mf, wanted, "newer");
        for (int i = 0; i < 3000; i++) {
            snprintf(text, sizeof text, "too many entries to stand in the commit: %d", i);
            snprintf(filler, sizeof filler, "filler %d", i);
            put_text(mf, filler, text);
        }
        assert_int_equal(memfile_commit(mf, NULL), allowed == 3 ? MEMFILE_E_LIMIT : MEMFILE_OK);
        memfile_close(mf); /* what was written of the batch that failed is unfinished */
        assert_int_equal(verify_path(path, NULL), allowed == 3 ? MEMFILE_E_TRUNCATED : MEMFILE_OK);
    }
}

/* Two tags of one entry with the same hash are one item; both are found, and neither in place of the other. */
static void two_tags_whose_hashes_are_alike_are_both_found(void **state)
{
    (void)state;
    const char *path = temp_path("tags");
    char tags[2][16], json[128];
    size_t length;
    memfile *mf = create_file(path);
    uint8_t *bytes = read_file(path, &length);
    find_alike(false, mf_load32(bytes + 32), tags[0], tags[1]);
    free(bytes);
    snprintf(json, sizeof json, "{\"id\":\"both\",\"text\":\"\",\"tags\":[\"%s\",\"other\",\"%s\"]}", tags[0], tags[1]);
    assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
    for (int i = 0; i < 2; i++) {
        snprintf(json, sizeof json, "{\"id\":\"only %d\",\"text\":\"\",\"tags\":[\"%s\"]}", i, tags[i]);
        assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
    }
    commit_ok(mf);
    for (int indexed = 0; indexed < 2; indexed++) {
        for (int i = 0; indexed && i < 64; i++) {
            put_text(mf, NULL, "more");
            commit_ok(mf);
        }
        for (int i = 0; i < 2; i++) {
            memfile_filter f = MEMFILE_FILTER_INIT;
            memfile_cursor *c;
            const memfile_entry *e;
            f.tag = tags[i];
            assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
            assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_OK);
            assert_int_equal(memfile_entry_number(e), 0);
            assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_OK);
            assert_int_equal(memfile_entry_number(e), 1 + i);
            assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_DONE);
            memfile_cursor_close(c);
        }
        assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
    }
    memfile_close(mf);
}

/* Entries of the batch, and their former versions in the file, in the first half of the batch and in the second. */
static void a_batch_of_more_items_than_memory_takes_is_one_commit(void **state)
{
    (void)state;
    enum { TAGS = 250, ENTRIES = 5200 }; /* twice 600,000 items and some */
    const char *path = temp_path("spill");
    memfile_draft *d;
    memfile_info info;
    memfile_verify_result r;
    char text[32];
    memfile *mf = create_file(path);
    put_text(mf, "m1", "before");
    commit_ok(mf);
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    for (int i = 0; i < ENTRIES; i++) {
        size_t n = (size_t)snprintf(text, sizeof text, "m%d", i % 4000);
        memfile_draft_clear(d);
        memfile_draft_set(d, MEMFILE_ID, text, n);
        n = (size_t)snprintf(text, sizeof text, "version %d", i);
        memfile_draft_set(d, MEMFILE_TEXT, text, n);
        for (int k = 0; k < TAGS; k++) {
            n = (size_t)snprintf(text, sizeof text, "%d.%d", k, i % 3);
            assert_int_equal(memfile_draft_add_tag(d, text, n), MEMFILE_OK);
        }
        assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_OK);
    }
    memfile_draft_free(d);
    commit_ok(mf);
    for (int reopened = 0; reopened < 2; reopened++) {
        assert_text(mf, "m1", "version 4001");
        assert_text(mf, "m1199", "version 5199");
        assert_text(mf, "m1200", "version 1200");
        assert_text(mf, "m3999", "version 3999");
        memfile_get_info(mf, &info, sizeof info);
        assert_int_equal(info.entries, ENTRIES + 1);
        assert_int_equal(info.superseded, 1201);
        memfile_filter f = MEMFILE_FILTER_INIT;
        memfile_cursor *c;
        const memfile_entry *e;
        int found = 0, rc;
        f.tag = "249.2";
        f.all = 1;
        assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
        while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK)
            found += (memfile_entry_number(e) - 1) % 3 == 2;
        assert_int_equal(rc, MEMFILE_DONE);
        memfile_cursor_close(c);
        assert_int_equal(found, ENTRIES / 3);
        memfile_close(mf);
        mf = open_file(path, MEMFILE_READ);
    }
    memfile_close(mf);
    assert_int_equal(verify_path(path, &r), MEMFILE_OK);
    assert_int_equal(r.commits, 3);
}

static void nothing_is_committed_while_a_content_is_being_put_or_after_a_batch_failed(void **state)
{
    (void)state;
    const char *path = temp_path("begun");
    memfile_commit_result r = {.number = 9};
    memfile_draft *d;
    memfile *mf = create_file(path);
    put_text(mf, "a", "first");
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    assert_int_equal(memfile_put_begin(mf, d, 1), MEMFILE_OK);
    assert_int_equal(memfile_put_write(mf, "some", 4), MEMFILE_OK);
    assert_int_equal(memfile_commit(mf, &r), MEMFILE_E_MISUSE);
    assert_int_equal(r.number, 0);
    assert_int_equal(memfile_put_write(mf, "\xff", 1), MEMFILE_E_INVALID); /* no text: the whole batch failed */
    assert_int_equal(memfile_commit(mf, &r), MEMFILE_E_MISUSE);
    memfile_rollback(mf);
    assert_int_equal(memfile_commit(mf, &r), MEMFILE_DONE); /* nothing is there to commit */
    memfile_draft_clear(d);
    assert_int_equal(memfile_put_begin(mf, d, 1), MEMFILE_OK); /* the lock is held, no entry is put */
    memfile_rollback(mf);
    memfile_draft_free(d);
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_committed_is_there_after_opening_again),
        cmocka_unit_test(an_existing_file_is_not_created_again),
        cmocka_unit_test(the_same_id_twice_in_a_batch_gives_two_versions),
        cmocka_unit_test(filters_find_what_a_plain_look_finds),
        cmocka_unit_test(a_key_is_superseded_in_its_own_scope_only),
        cmocka_unit_test(an_idempotency_key_is_put_once),
        cmocka_unit_test(a_condition_that_fails_changes_nothing),
        cmocka_unit_test(contents_of_any_length_come_back),
        cmocka_unit_test(equal_contents_are_stored_once),
        cmocka_unit_test(a_text_stream_must_be_utf8_across_its_pieces),
        cmocka_unit_test(a_reader_keeps_its_snapshot_until_it_refreshes),
        cmocka_unit_test(compaction_keeps_history_and_numbers),
        cmocka_unit_test(the_log_of_a_compacted_file_stays_true),
        cmocka_unit_test(one_commit_costs_what_it_adds),
        cmocka_unit_test(opening_and_getting_read_little),
        cmocka_unit_test(a_writer_waits_for_the_lock_and_then_says_busy),
        cmocka_unit_test(an_entry_superseded_by_id_and_by_key_is_counted_once),
        cmocka_unit_test(a_cursor_goes_on_over_commits_of_its_handle),
        cmocka_unit_test(setting_a_field_twice_replaces_it),
        cmocka_unit_test(a_failed_sync_poisons_the_handle),
        cmocka_unit_test(what_others_wrote_is_synced_before_anything_stands_behind_it),
        cmocka_unit_test(nothing_is_built_on_what_only_the_cache_has),
        cmocka_unit_test(a_commit_after_a_compaction_is_of_the_new_file),
        cmocka_unit_test(a_failed_write_commits_nothing_and_the_handle_goes_on),
        cmocka_unit_test(a_write_that_fails_and_yet_stores_is_uncertain),
        cmocka_unit_test(no_failing_allocation_harms_the_file),
        cmocka_unit_test(the_same_input_gives_the_same_bytes),
        cmocka_unit_test(a_memfile_in_memory_opens_too),
        cmocka_unit_test(a_damaged_file_over_the_limit_is_not_read_through),
        cmocka_unit_test(a_look_up_passes_over_as_many_collisions_as_the_caller_allows),
        cmocka_unit_test(what_collides_with_the_first_entry_supersedes_nothing),
        cmocka_unit_test(a_batch_so_long_that_it_is_written_in_between_keeps_its_conditions),
        cmocka_unit_test(two_tags_whose_hashes_are_alike_are_both_found),
        cmocka_unit_test(a_batch_of_more_items_than_memory_takes_is_one_commit),
        cmocka_unit_test(nothing_is_committed_while_a_content_is_being_put_or_after_a_batch_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
