/* compact: a memory written anew. SPEC 13. */
#include "support.h"

#include <errno.h>
#include <sys/stat.h>

#include "handle.h"

static int64_t clock_us;
static int64_t tick(void *context)
{
    (void)context;
    return clock_us += 1000;
}

static memfile *open_as(const char *path, const char *author)
{
    static const memfile_environment environment = {tick, NULL, NULL};
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile *mf;
    memfile_error e;
    o.author = author;
    o.environment = &environment;
    if (memfile_open(path, MEMFILE_WRITE, &o, &mf, &e) != MEMFILE_OK)
        fail_msg("%s", e.message);
    return mf;
}

typedef struct log_line {
    memfile_commit_info commits[64];
    size_t count;
} log_line;

static int take_commit(void *context, const memfile_commit_info *commit)
{
    log_line *l = (log_line *)context;
    assert_true(l->count < 64);
    l->commits[l->count++] = *commit;
    return 0;
}

static void make(const char *path)
{
    char json[600];
    clock_us = 1700000000000000;
    memfile_close(create_file(path));
    for (int i = 0; i < 20; i++) {
        memfile *mf = open_as(path, i % 3 ? NULL : i % 2 ? "Ann" : "Zoë");
        for (int k = 0; k < i * 7 % 5 + 1; k++) {
            snprintf(json, sizeof json,
                     "{\"id\":\"n%d\",\"kind\":\"k%d\",\"scope\":[\"a\",\"b%d\"],\"key\":\"key%d\",\"tags\":[\"t%d\"],"
                     "\"text\":\"the text number %d\",\"time\":\"2023-05-08T13:56:%02dZ\",\"meta\":{\"x\":%d.5}}",
                     (i * 5 + k) % 30, k, i % 2, k, i, i * 10 + k, i, k);
            assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
        }
        commit_ok(mf);
        memfile_close(mf);
    }
}

static void entries_commits_and_digests_stay_the_same(void **state)
{
    (void)state;
    const char *path = temp_path("same");
    for (int round = 0; round < 3; round++) { /* the second folds folded commits, the third with new ones */
        log_line before = {.count = 0}, after = {.count = 0};
        memfile_info a, b;
        memfile_compact_result r;
        memfile_error e;
        static char lines[200][700];
        size_t count = 0;
        if (round == 0)
            make(path);
        memfile *mf = open_as(path, "later");
        if (round == 2) {
            put_text(mf, "n3", "after compaction");
            commit_ok(mf);
        }
        memfile_get_info(mf, &a, sizeof a);
        assert_int_equal(memfile_log(mf, take_commit, &before), MEMFILE_OK);
        for (; count < a.entries; count++) {
            const memfile_entry *entry;
            const char *json;
            size_t n;
            assert_int_equal(memfile_get_entry(mf, count, &entry), MEMFILE_OK);
            assert_int_equal(memfile_entry_json(mf, entry, 0, &json, &n), MEMFILE_OK);
            snprintf(lines[count], sizeof lines[count], "%.*s", (int)n, json);
        }
        memfile_close(mf);
        if (memfile_compact(path, NULL, &r, &e) != MEMFILE_OK)
            fail_msg("%s", e.message);
        assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
        assert_int_equal(r.bytes_before, a.file_bytes);
        assert_int_equal(r.entries, a.entries);
        assert_int_equal(r.commits, a.commits);
        assert_memory_equal(r.history_digest, a.history_digest, 32);
        mf = open_file(path, MEMFILE_READ);
        memfile_get_info(mf, &b, sizeof b);
        assert_int_equal(b.file_bytes, r.bytes_after);
        assert_int_equal(b.entries, a.entries);
        assert_int_equal(b.commits, a.commits);
        assert_memory_equal(b.history_digest, a.history_digest, 32);
        assert_memory_equal(b.memory_id, a.memory_id, 16); /* SPEC 13.1 */
        assert_memory_not_equal(b.incarnation_id, a.incarnation_id, 16);
        assert_int_equal(memfile_log(mf, take_commit, &after), MEMFILE_OK);
        assert_int_equal(after.count, before.count);
        assert_int_equal(after.count, a.commits);
        for (size_t i = 0; i < after.count; i++) {
            const memfile_commit_info *x = &before.commits[i], *y = &after.commits[i];
            assert_int_equal(x->number, y->number);
            assert_int_equal(x->first_entry, y->first_entry);
            assert_int_equal(x->entry_count, y->entry_count);
            assert_true(x->time_us == y->time_us && x->order == y->order);
            assert_string_equal(x->author, y->author);
            assert_int_equal(y->has_digest, i == 0); /* history digests are not stored */
        }
        assert_memory_equal(after.commits[0].digest, before.commits[0].digest, 32);
        for (size_t i = 0; i < count; i++) {
            const memfile_entry *entry;
            const char *json;
            size_t n;
            assert_int_equal(memfile_get_entry(mf, i, &entry), MEMFILE_OK);
            assert_int_equal(memfile_entry_json(mf, entry, 0, &json, &n), MEMFILE_OK);
            assert_int_equal(n, strlen(lines[i]));
            assert_memory_equal(json, lines[i], n);
        }
        for (uint64_t c = 0; c < a.commits; c++) { /* each past state */
            const memfile_commit_info *x = &before.commits[before.count - 1 - c];
            const memfile_entry *entry;
            uint64_t end = x->first_entry + x->entry_count;
            if (end == 0)
                continue;
            char id[256];
            assert_int_equal(memfile_get_entry(mf, end - 1, &entry), MEMFILE_OK);
            size_t n = memfile_entry_id(entry, id);
            assert_int_equal(memfile_get(mf, id, n, c, &entry), MEMFILE_OK);
            assert_int_equal(memfile_entry_number(entry), end - 1);
        }
        memfile_close(mf);
    }
}

static int no_sync(mf_io *io, memfile_error *err)
{
    (void)io, (void)err;
    return MEMFILE_OK;
}

/* A segment of folded commits has at most 4096 of them (SPEC 13.2), and at most 1 MiB (4.1), which long authors reach first. */
static void fold_many_commits(const char *author, int count)
{
    const char *path = temp_path("authors");
    memfile_error e;
    memfile_compact_result r;
    memfile_info info;
    memfile_close(create_file(path));
    memfile *mf = open_as(path, author);
    const mf_io_functions *syncing = mf->store.io->functions;
    mf_io_functions quick = *syncing; /* thousands of times are not to wait for a disk */
    quick.sync = no_sync;
    mf->store.io->functions = &quick;
    for (int i = 0; i < count; i++) {
        put_text(mf, "n", "x");
        commit_ok(mf);
    }
    memfile_get_info(mf, &info, sizeof info);
    mf->store.io->functions = syncing;
    memfile_close(mf);
    if (memfile_compact(path, NULL, &r, &e) != MEMFILE_OK)
        fail_msg("%s", e.message);
    assert_int_equal(r.commits, count + 1);
    assert_memory_equal(r.history_digest, info.history_digest, 32);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static void many_commits_can_be_folded(void **state)
{
    char author[256];
    (void)state;
    memset(author, 'A', 255);
    author[255] = '\0';
    fold_many_commits(author, 4500);
    fold_many_commits(NULL, 4100);
    if (getenv("MEMFILE_SWEEP")) /* so many that their items would be a run of their own: half a minute */
        fold_many_commits(NULL, 650000);
}

static void an_output_file_leaves_the_old_one_alone(void **state)
{
    (void)state;
    const char *path = temp_path("old"), *out = temp_path("out");
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_compact_result r, zero;
    memfile_error e;
    size_t n, m;
    memset(&zero, 0, sizeof zero);
    make(path);
    unlink(out);
    uint8_t *before = read_file(path, &n);
    o.output = out;
    assert_int_equal(memfile_compact(path, &o, &r, &e), MEMFILE_OK);
    assert_int_equal(verify_path(out, NULL), MEMFILE_OK);
    uint8_t *after = read_file(path, &m);
    assert_int_equal(n, m);
    assert_memory_equal(before, after, n);
    free(after);
    /* now it exists */
    after = read_file(out, &m);
    assert_int_equal(memfile_compact(path, &o, &r, &e), MEMFILE_E_CONFLICT);
    assert_memory_equal(&r, &zero, sizeof r);
    size_t k;
    uint8_t *again = read_file(out, &k);
    assert_int_equal(k, m);
    assert_memory_equal(again, after, m);
    free(again);
    free(after);
    free(before);
}

typedef struct taker {
    const char *path;
    uint64_t last, total;
    int calls;
} taker;

static int take_name(void *context, uint64_t done, uint64_t total)
{
    taker *t = (taker *)context;
    assert_true(done >= t->last && done <= total);
    t->last = done;
    t->total = total;
    if (t->calls++ == 0 && t->path)
        write_file(t->path, (const uint8_t *)"mine", 4);
    return 0;
}

/* memfile.h: on failure every output number is 0, here too, where it fails at the very last step. */
static void a_name_taken_meanwhile_is_a_conflict_and_nothing_is_left(void **state)
{
    (void)state;
    const char *path = temp_path("late"), *out = temp_path("late-out");
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_compact_result r, zero;
    memfile_error e;
    taker t = {out, 0, 0, 0};
    size_t n;
    memset(&zero, 0, sizeof zero);
    make(path);
    unlink(out);
    o.output = out;
    o.progress = take_name;
    o.context = &t;
    memset(&r, 1, sizeof r);
    assert_int_equal(memfile_compact(path, &o, &r, &e), MEMFILE_E_CONFLICT);
    assert_true(t.calls > 0);
    uint8_t *bytes = read_file(out, &n);
    assert_int_equal(n, 4); /* what the other put there */
    free(bytes);
    assert_memory_equal(&r, &zero, sizeof r);
    unlink(out);
    assert_int_equal(names_like(out), 0);
}

static void progress_only_rises(void **state)
{
    (void)state;
    const char *path = temp_path("progress");
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_error e;
    taker t = {NULL, 0, 0, 0};
    make(path);
    o.progress = take_name;
    o.context = &t;
    assert_int_equal(memfile_compact(path, &o, NULL, &e), MEMFILE_OK);
    assert_true(t.calls > 0);
    assert_true(t.last > 0 && t.last <= t.total);
}

static void what_cannot_be_compacted_stays_as_it_is(void **state)
{
    (void)state;
    const char *path = temp_path("refused"), *other = temp_path("refused2");
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_error e;
    size_t n, m;
    unlink(other);
    assert_int_equal(memfile_compact(other, NULL, NULL, &e), MEMFILE_E_NOT_FOUND);
    make(path);
    uint8_t *before = read_file(path, &n);
    static const uint32_t levels[] = {0, 20, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        o.compression_level = levels[i];
        assert_int_equal(memfile_compact(path, &o, NULL, &e), MEMFILE_E_MISUSE);
    }
    o.compression_level = 3;
    o.lock_timeout_ms = 0;
    memfile *mf = open_file(path, MEMFILE_WRITE); /* a batch is open */
    put_text(mf, "x", "not committed");
    assert_int_equal(memfile_compact(path, &o, NULL, &e), MEMFILE_E_BUSY);
    memfile_rollback(mf);
    memfile_close(mf);
    assert_int_equal(link(path, other), 0); /* two names */
    assert_int_equal(memfile_compact(path, &o, NULL, &e), MEMFILE_E_CONFLICT);
    unlink(other);
    mf_store64(before + 24, 1); /* a Compact_Feature that this version does not know */
    mf_store64(before + 72, mf_checksum(before, 72));
    write_file(path, before, n);
    assert_int_equal(memfile_compact(path, &o, NULL, &e), MEMFILE_E_NEWER);
    mf_store64(before + 24, 0);
    mf_store64(before + 72, mf_checksum(before, 72));
    before[n - 20] ^= 1; /* damage at the end */
    write_file(path, before, n);
    assert_int_equal(memfile_compact(path, &o, NULL, &e), MEMFILE_E_DAMAGED);
    before[n - 20] ^= 1;
    before[1000] ^= 1; /* damage in the middle */
    write_file(path, before, n);
    assert_int_equal(memfile_compact(path, &o, NULL, &e), MEMFILE_E_DAMAGED);
    uint8_t *after = read_file(path, &m);
    assert_int_equal(m, n);
    assert_memory_equal(after, before, n);
    before[1000] ^= 1;
    free(after);
    write_file(path, before, n);
    assert_int_equal(memfile_compact(path, &o, NULL, &e), MEMFILE_OK);
    free(before);
}

static void a_reader_of_the_old_file_goes_on_and_a_writer_follows(void **state)
{
    (void)state;
    const char *path = temp_path("both");
    const memfile_entry *entry;
    make(path);
    memfile *reader = open_file(path, MEMFILE_READ), *writer = open_file(path, MEMFILE_WRITE);
    memfile_info before, after;
    memfile_get_info(reader, &before, sizeof before);
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    assert_int_equal(memfile_get_entry(reader, 5, &entry), MEMFILE_OK);
    put_text(writer, "new", "into the new file"); /* SPEC 13.4 */
    commit_ok(writer);
    memfile_get_info(writer, &after, sizeof after);
    assert_memory_not_equal(before.incarnation_id, after.incarnation_id, 16);
    assert_int_equal(memfile_refresh(reader), MEMFILE_OK);
    assert_text(reader, "new", "into the new file");
    memfile_close(reader);
    memfile_close(writer);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static void torn_bytes_and_voids_are_gone_and_long_contents_are_not(void **state)
{
    (void)state;
    const char *path = temp_path("clean");
    static char text[600001];
    memfile_verify_result r;
    memfile_content *c;
    const memfile_entry *e;
    size_t n, got = 0;
    static char back[600001];
    for (size_t i = 0; i < 600000; i++)
        text[i] = (char)('a' + i * i % 23);
    make(path);
    assert_int_equal(truncate(path, 3000), 0);
    memfile *mf = open_as(path, NULL);
    put_text(mf, "long", text);
    put_text(mf, "again", text);
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(verify_path(path, &r), MEMFILE_OK);
    assert_true(r.void_bytes > 0);
    FILE *f = fopen(path, "ab");
    fputs("torn", f);
    fclose(f);
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    assert_int_equal(verify_path(path, &r), MEMFILE_OK);
    assert_int_equal(r.void_bytes, 0);
    assert_int_equal(r.unfinished_bytes, 0);
    mf = open_file(path, MEMFILE_READ);
    memfile_info info;
    memfile_get_info(mf, &info, sizeof info);
    assert_int_equal(info.objects, 1); /* equal content is stored once */
    assert_int_equal(memfile_get(mf, "again", 5, MEMFILE_NEWEST, &e), MEMFILE_OK);
    assert_int_equal(memfile_content_open(mf, e, &c), MEMFILE_OK);
    while (memfile_content_read(c, back + got, sizeof back - got, &n) == MEMFILE_OK && n > 0)
        got += n;
    assert_int_equal(got, 600000);
    assert_memory_equal(back, text, got);
    memfile_content_close(c);
    memfile_close(mf);
}

/* Text i, of 33,000 letters: over what stands in its entry. */
static void long_text(int i, char out[33001])
{
    uint64_t random = (uint64_t)i + 1;
    char word[12];
    for (int k = 0; k < 10; k++)
        word[k] = (char)('a' + next_random(&random) % 26);
    for (int k = 0; k < 33000; k++)
        out[k] = word[k % 10];
    out[33000] = '\0';
}

/* Which contents the new file has is looked up in a table that grows. */
static void many_contents_stay_one_each(void **state)
{
    (void)state;
    enum { CONTENTS = 300 };
    const char *path = temp_path("contents");
    static char text[33001], back[33001];
    char id[20];
    memfile_info info;
    memfile *mf = create_file(path);
    for (int i = 0; i < 2 * CONTENTS; i++) {
        snprintf(id, sizeof id, "n%d", i);
        long_text(i % CONTENTS, text);
        put_text(mf, id, text);
    }
    commit_ok(mf);
    memfile_close(mf);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
        mf = open_file(path, MEMFILE_READ);
        memfile_get_info(mf, &info, sizeof info);
        assert_int_equal(info.objects, CONTENTS);
        for (int i = 0; i < 2 * CONTENTS; i++) {
            const memfile_entry *e;
            memfile_content *c;
            size_t n, got = 0;
            snprintf(id, sizeof id, "n%d", i);
            long_text(i % CONTENTS, text);
            assert_int_equal(memfile_get(mf, id, strlen(id), MEMFILE_NEWEST, &e), MEMFILE_OK);
            assert_int_equal(memfile_content_open(mf, e, &c), MEMFILE_OK);
            while (memfile_content_read(c, back + got, sizeof back - got, &n) == MEMFILE_OK && n > 0)
                got += n;
            assert_int_equal(got, 33000);
            assert_memory_equal(back, text, got);
            memfile_content_close(c);
        }
        memfile_close(mf);
        assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    }
}

/* Index items are written as a run when there are 600,000, and the runs merged at the end: this has 720,000. */
static void a_file_of_very_many_items_is_compacted(void **state)
{
    (void)state;
    enum { COUNT = 90000 };
    const char *path = temp_path("items");
    char json[300], id[16];
    memfile_info before, after;
    memfile *mf = create_file(path);
    for (int i = 0; i < COUNT; i++) {
        snprintf(json, sizeof json,
                 "{\"id\":\"n%d\",\"kind\":\"k%d\",\"scope\":[\"s%d\"],\"key\":\"%d\",\"tags\":[\"a%d\",\"b%d\"],\"text\":\"\","
                 "\"time\":\"2024-01-%02dT00:00:00Z\",\"idempotency_key\":\"i%d\"}",
                 i, i % 9, i % 7, i, i % 1000, i % 3, i % 28 + 1, i);
        assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
    }
    commit_ok(mf);
    memfile_get_info(mf, &before, sizeof before);
    memfile_close(mf);
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
    mf = open_file(path, MEMFILE_READ);
    memfile_get_info(mf, &after, sizeof after);
    assert_int_equal(after.entries, COUNT);
    assert_int_equal(after.superseded, 0);
    assert_memory_equal(after.history_digest, before.history_digest, 32);
    assert_int_equal(mf->store.state->footer.run_count, 1);
    for (int i = 0; i < COUNT; i += 97) {
        const memfile_entry *e;
        snprintf(id, sizeof id, "n%d", i);
        assert_int_equal(memfile_get(mf, id, strlen(id), MEMFILE_NEWEST, &e), MEMFILE_OK);
        assert_int_equal(memfile_entry_number(e), i);
    }
    for (int tag = 0; tag < 1000; tag += 333) {
        memfile_filter f = MEMFILE_FILTER_INIT;
        memfile_cursor *c;
        const memfile_entry *e;
        snprintf(id, sizeof id, "a%d", tag);
        f.tag = id;
        assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
        for (int i = tag; i < COUNT; i += 1000) {
            assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_OK);
            assert_int_equal(memfile_entry_number(e), i);
        }
        assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_DONE);
        memfile_cursor_close(c);
    }
    assert_true(mf->store.state->blocks == NULL); /* and nothing was read without the index */
    memfile_close(mf);
}

static void an_empty_memory_is_compacted_too(void **state)
{
    (void)state;
    const char *path = temp_path("nothing");
    memfile_compact_result r;
    memfile_close(create_file(path));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(memfile_compact(path, NULL, &r, NULL), MEMFILE_OK);
        assert_int_equal(r.entries, 0);
        assert_int_equal(r.commits, 1); /* the genesis */
        assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
    }
    memfile *mf = open_file(path, MEMFILE_WRITE);
    put_text(mf, "a", "first");
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

#ifndef _WIN32
/* A compaction that was killed leaves its new file, with what is forgotten; the next one takes it away, and a further name
 * that a kill gave the memory itself. */
static void what_a_killed_compaction_left_is_taken_away(void **state)
{
    (void)state;
    const char *path = temp_path("killed"), *slash = strrchr(path, '/');
    static const struct {
        const char *name;
        bool stays;
    } left[] = {{".killed.0123456789ab.new", false}, {".killed.ffffffffffff.new", false}, {".killed.0123456789ag.new", true},
                {".killed.0123456789abc.new", true}, {".killed.0123456789ab.new2", true}, {".killed2.0123456789ab.new", true},
                {"killed.0123456789ab.new", true}};
    char other[300];
    memfile *mf = create_file(path);
    put_text(mf, "a", "1");
    commit_ok(mf);
    memfile_close(mf);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        snprintf(other, sizeof other, "%.*s/%s", (int)(slash - path), path, left[i].name);
        if (i == 1)
            assert_int_equal(link(path, other), 0);
        else
            write_file(other, (const uint8_t *)"forgotten", 9);
    }
    assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        snprintf(other, sizeof other, "%.*s/%s", (int)(slash - path), path, left[i].name);
        if ((access(other, F_OK) == 0) != left[i].stays)
            fail_msg("%s %s", other, left[i].stays ? "is gone" : "is still there");
    }
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_commits_and_digests_stay_the_same),
        cmocka_unit_test(many_commits_can_be_folded),
        cmocka_unit_test(an_output_file_leaves_the_old_one_alone),
        cmocka_unit_test(a_name_taken_meanwhile_is_a_conflict_and_nothing_is_left),
        cmocka_unit_test(progress_only_rises),
        cmocka_unit_test(what_cannot_be_compacted_stays_as_it_is),
        cmocka_unit_test(a_reader_of_the_old_file_goes_on_and_a_writer_follows),
        cmocka_unit_test(torn_bytes_and_voids_are_gone_and_long_contents_are_not),
        cmocka_unit_test(many_contents_stay_one_each),
        cmocka_unit_test(a_file_of_very_many_items_is_compacted),
        cmocka_unit_test(an_empty_memory_is_compacted_too),
#ifndef _WIN32
        cmocka_unit_test(what_a_killed_compaction_left_is_taken_away),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
