/* memfile.h: calls that are refused for what the caller gave, and change nothing. */
#include "support.h"

#include "handle.h"

/* The last error of a handle, or one of a call without, is of that code, and says that. */
static void assert_said(int rc, const memfile_error *e, int code, const char *words)
{
    if (rc != code || e->code != code || !strstr(e->message, words))
        fail_msg("%d, %d: %s; expected %d: %s", rc, e->code, e->message, code, words);
}

static void options_out_of_range_are_refused(void **state)
{
    (void)state;
    static char long_author[257];
    memset(long_author, 'a', 256);
    static const struct {
        uint32_t threads, level;
        int strictness, expected;
    } cases[] = {{0, 1, 0, MEMFILE_E_MISUSE},  {65, 1, 0, MEMFILE_E_MISUSE}, {1, 0, 0, MEMFILE_E_MISUSE},
                 {1, 20, 0, MEMFILE_E_MISUSE}, {1, 1, 3, MEMFILE_E_MISUSE},  {1, 1, 2, MEMFILE_OK},
                 {64, 19, 0, MEMFILE_OK}};
    const char *path = temp_path("options");
    memfile *mf;
    memfile_error e;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memfile_options o = MEMFILE_OPTIONS_INIT;
        o.threads = cases[i].threads;
        o.compression_level = cases[i].level;
        o.strictness = (memfile_strictness)cases[i].strictness;
        unlink(path);
        int rc = memfile_open(path, MEMFILE_CREATE, &o, &mf, &e);
        if (rc != cases[i].expected)
            fail_msg("case %zu: %d", i, rc);
        assert_int_equal(access(path, F_OK) == 0, rc == MEMFILE_OK);
        if (rc == MEMFILE_OK)
            memfile_close(mf);
        else
            assert_null(mf);
    }
    for (int i = 0; i < 4; i++) {
        memfile_options o = MEMFILE_OPTIONS_INIT;
        const char *const authors[] = {long_author, "not \xff UTF-8", long_author + 1, ""};
        o.author = authors[i];
        unlink(path);
        int rc = memfile_open(path, MEMFILE_CREATE, &o, &mf, &e);
        if (i < 2)
            assert_said(rc, &e, MEMFILE_E_INVALID, "the author is text of at most 255 bytes");
        else
            assert_int_equal(rc, MEMFILE_OK);
        assert_int_equal(access(path, F_OK) == 0, rc == MEMFILE_OK);
        memfile_close(mf);
    }
    for (uint32_t level = 0; level <= 20; level += 20) {
        memfile_compact_options c = MEMFILE_COMPACT_OPTIONS_INIT;
        memfile_recover_options r = MEMFILE_RECOVER_OPTIONS_INIT;
        const char *out = temp_path("options-out");
        c.compression_level = r.compression_level = level;
        assert_said(memfile_compact(path, &c, NULL, &e), &e, MEMFILE_E_MISUSE, "compression level");
        assert_said(memfile_recover(path, out, &r, NULL, &e), &e, MEMFILE_E_MISUSE, "compression level");
        assert_int_not_equal(access(out, F_OK), 0);
    }
}

static void a_batch_takes_only_what_it_may(void **state)
{
    (void)state;
    const char *path = temp_path("batch");
    memfile *mf = create_file(path);
    memfile_draft *d, *full;
    memfile_commit_result r;
    const memfile_error *e = memfile_last_error(mf);
    memfile_selection nothing = MEMFILE_SELECTION_INIT;
    const char *id = "a";
    nothing.ids = &id;
    nothing.id_count = 1;
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    assert_int_equal(memfile_draft_new(&full), MEMFILE_OK);
    memfile_draft_set(full, MEMFILE_TEXT, "text", 4);

    /* without a stream */
    assert_int_equal(memfile_commit(mf, &r), MEMFILE_DONE);
    assert_said(memfile_put_write(mf, "x", 1), e, MEMFILE_E_MISUSE, "no content is being put");
    assert_said(memfile_put_end(mf, NULL), e, MEMFILE_E_MISUSE, "no content is being put");
    assert_said(memfile_put_begin(mf, full, 1), e, MEMFILE_E_MISUSE, "has a text or data already");
    memfile_draft_set_time(full, MEMFILE_TIME, "yesterday");
    memfile_draft_set(full, MEMFILE_TEXT, "text", 4);
    assert_int_equal(memfile_put_begin(mf, full, 1), MEMFILE_E_INVALID);
    memfile_draft_clear(full);
    memfile_draft_set(full, MEMFILE_TEXT, "text", 4);

    /* within one */
    assert_int_equal(memfile_put_begin(mf, d, 1), MEMFILE_OK);
    assert_said(memfile_put_begin(mf, d, 1), e, MEMFILE_E_MISUSE, "being put already");
    assert_said(memfile_put(mf, full, NULL), e, MEMFILE_E_MISUSE, "end it first");
    assert_said(memfile_commit(mf, &r), e, MEMFILE_E_MISUSE, "end it first");
    assert_said(memfile_forget(mf, &nothing, NULL, NULL), e, MEMFILE_E_MISUSE, "forget before the puts");
    assert_int_equal(memfile_put_write(mf, "x", 1), MEMFILE_OK);
    assert_int_equal(memfile_put_end(mf, NULL), MEMFILE_OK);
    assert_said(memfile_put_write(mf, "x", 1), e, MEMFILE_E_MISUSE, "no content is being put");
    assert_int_equal(memfile_refresh(mf), MEMFILE_DONE);
    assert_said(memfile_forget(mf, &nothing, NULL, NULL), e, MEMFILE_E_MISUSE, "forget before the puts");
    assert_int_equal(memfile_commit(mf, &r), MEMFILE_OK);
    assert_int_equal(r.entries, 1);

    /* a text that is none spoils the batch: only rolling back helps */
    memfile_draft_clear(d);
    assert_int_equal(memfile_put_begin(mf, d, 1), MEMFILE_OK);
    assert_said(memfile_put_write(mf, "\xff", 1), e, MEMFILE_E_INVALID, "UTF-8");
    assert_said(memfile_put_write(mf, "x", 1), e, MEMFILE_E_MISUSE, "no content is being put");
    assert_said(memfile_put_end(mf, NULL), e, MEMFILE_E_MISUSE, "no content is being put");
    assert_said(memfile_put_begin(mf, d, 1), e, MEMFILE_E_MISUSE, "roll it back first");
    assert_said(memfile_put(mf, full, NULL), e, MEMFILE_E_MISUSE, "roll it back first");
    assert_said(memfile_commit(mf, &r), e, MEMFILE_E_MISUSE, "roll it back first");
    memfile_rollback(mf);
    assert_int_equal(memfile_put(mf, full, NULL), MEMFILE_OK);
    assert_int_equal(memfile_commit(mf, &r), MEMFILE_OK);
    assert_int_equal(r.entries, 2);

    /* a streamed content has no idempotency key */
    uint8_t *long_text = (uint8_t *)malloc(40000);
    memset(long_text, 'l', 40000);
    memfile_draft_clear(d);
    memfile_draft_set(d, MEMFILE_IDEMPOTENCY_KEY, "once", 4);
    assert_int_equal(memfile_put(mf, full, NULL), MEMFILE_OK);
    assert_int_equal(memfile_put_begin(mf, d, 1), MEMFILE_OK);
    assert_int_equal(memfile_put_write(mf, long_text, 40000), MEMFILE_OK);
    assert_said(memfile_put_end(mf, NULL), e, MEMFILE_E_MISUSE, "cannot have an idempotency key");
    assert_said(memfile_commit(mf, &r), e, MEMFILE_E_MISUSE, "roll it back first"); /* nor is the put before it committed */
    assert_said(memfile_put(mf, full, NULL), e, MEMFILE_E_MISUSE, "roll it back first");
    memfile_rollback(mf);
    assert_int_equal(memfile_commit(mf, &r), MEMFILE_DONE);
    free(long_text);
    memfile_close(mf);

    mf = open_file(path, MEMFILE_READ);
    e = memfile_last_error(mf);
    assert_said(memfile_put(mf, full, NULL), e, MEMFILE_E_MISUSE, "opened for reading");
    assert_said(memfile_forget(mf, &nothing, NULL, NULL), e, MEMFILE_E_MISUSE, "opened for reading");
    memfile_close(mf);
    size_t length;
    uint8_t *bytes = read_file(path, &length);
    assert_int_equal(memfile_open_memory(bytes, length, NULL, &mf, NULL), MEMFILE_OK);
    assert_said(memfile_put(mf, full, NULL), memfile_last_error(mf), MEMFILE_E_MISUSE, "opened for reading");
    memfile_close(mf);
    free(bytes);
    memfile_draft_free(full);
    memfile_draft_free(d);
    memfile_verify_result v;
    assert_int_equal(verify_path(path, &v), MEMFILE_OK);
    assert_int_equal(v.entries, 2);
}

static void fields_take_only_what_they_hold(void **state)
{
    (void)state;
    static const int64_t seconds[] = {-62167219201, -62167219200, 253402300799, 253402300800};
    memfile *mf = create_file(temp_path("fields"));
    memfile_draft *d;
    const memfile_error *e = memfile_last_error(mf);
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    for (int i = 0; i < 4; i++) {
        bool within = i == 1 || i == 2;
        memfile_draft_clear(d);
        memfile_draft_set(d, MEMFILE_TEXT, "", 0);
        assert_int_equal(memfile_draft_set_time_ns(d, MEMFILE_TIME, seconds[i], 999999999),
                         within ? MEMFILE_OK : MEMFILE_E_INVALID);
        int rc = memfile_put(mf, d, NULL);
        if (within)
            assert_int_equal(rc, MEMFILE_OK);
        else
            assert_said(rc, e, MEMFILE_E_INVALID, "outside the years");
    }
    memfile_draft_clear(d);
    assert_int_equal(memfile_draft_set_time_ns(d, MEMFILE_TIME, 0, 1000000000), MEMFILE_E_INVALID);
    static const int no_times[] = {MEMFILE_ID, MEMFILE_KEY, 13, 18, 0, 99};
    for (size_t i = 0; i < sizeof no_times / sizeof *no_times; i++) {
        memfile_draft_clear(d);
        memfile_draft_set(d, MEMFILE_TEXT, "", 0);
        assert_int_equal(memfile_draft_set_time_ns(d, (memfile_time_field)no_times[i], 0, 0), MEMFILE_E_MISUSE);
        assert_int_equal(memfile_draft_set_time(d, (memfile_time_field)no_times[i], "2020-01-01T00:00:00Z"),
                         MEMFILE_E_MISUSE);
        assert_said(memfile_put(mf, d, NULL), e, MEMFILE_E_MISUSE, "not a time field");
    }
    static const int no_texts[] = {MEMFILE_TIME, MEMFILE_EXPIRES, 0, 3, 99, MEMFILE_REASON};
    for (size_t i = 0; i < sizeof no_texts / sizeof *no_texts; i++) {
        memfile_draft_clear(d);
        assert_int_equal(memfile_draft_set(d, (memfile_field)no_texts[i], "x", 1), MEMFILE_E_MISUSE);
        assert_said(memfile_put(mf, d, NULL), e, MEMFILE_E_MISUSE, "not a text field");
    }
    /* a member that is given twice replaces what was there */
    memfile_draft_clear(d);
    assert_int_equal(memfile_draft_set_json(d, "data", "\"AAAA\"", 6), MEMFILE_OK);
    assert_int_equal(memfile_draft_set_json(d, "data", "\"AQID\"", 6), MEMFILE_OK);
    memfile_put_result r;
    const memfile_entry *entry;
    assert_int_equal(memfile_put(mf, d, &r), MEMFILE_OK);
    assert_int_equal(memfile_commit(mf, NULL), MEMFILE_OK);
    assert_int_equal(memfile_get(mf, r.id, r.id_length, MEMFILE_NEWEST, &entry), MEMFILE_OK);
    size_t length;
    const char *data = memfile_entry_field(entry, MEMFILE_DATA, &length);
    assert_int_equal(length, 3);
    assert_memory_equal(data, "\1\2\3", 3);
    memfile_draft_free(d);
    memfile_close(mf);
}

static void what_is_asked_for_must_be_named_rightly(void **state)
{
    (void)state;
    const char *path = temp_path("asked");
    memfile *mf = create_file(path);
    const memfile_error *e = memfile_last_error(mf);
    const memfile_entry *entry;
    memfile_cursor *cursor;
    static char long_id[300], long_reason[33000];
    memset(long_id, 'i', sizeof long_id);
    memset(long_reason, 'r', sizeof long_reason - 1);
    put_text(mf, "a", "text");
    commit_ok(mf);

    /* ids */
    assert_said(memfile_get(mf, "", 0, MEMFILE_NEWEST, &entry), e, MEMFILE_E_NOT_FOUND, "no entry has the id ''");
    assert_said(memfile_get(mf, long_id, sizeof long_id, MEMFILE_NEWEST, &entry), e, MEMFILE_E_NOT_FOUND, "no entry has the id 'iii");
    assert_said(memfile_get(mf, "a", 1, 0, &entry), e, MEMFILE_E_NOT_FOUND, "no entry has the id 'a'"); /* the genesis has none */
    assert_int_equal(memfile_get(mf, "a", 1, 1, &entry), MEMFILE_OK);
    assert_said(memfile_get(mf, "a", 1, 2, &entry), e, MEMFILE_E_NOT_FOUND, "there is no commit 2");
    assert_said(memfile_get_entry(mf, 1, &entry), e, MEMFILE_E_NOT_FOUND, "there is no entry 1");

    /* filters */
    memfile_filter f = MEMFILE_FILTER_INIT;
    const char *names[33];
    for (int i = 0; i < 33; i++)
        names[i] = "s";
    f.scope = names;
    f.scope_count = 33;
    assert_said(memfile_list(mf, &f, &cursor), e, MEMFILE_E_INVALID, "a scope has at most");
    f.scope_count = 0;
    f.since = "2020";
    assert_said(memfile_list(mf, &f, &cursor), e, MEMFILE_E_INVALID, "RFC 3339");
    f.since = NULL;
    f.until = "2020-13-01T00:00:00Z";
    assert_said(memfile_list(mf, &f, &cursor), e, MEMFILE_E_INVALID, "RFC 3339");
    assert_null(cursor);

    /* forgetting */
    memfile_selection s = MEMFILE_SELECTION_INIT;
    memfile_forget_options fo = MEMFILE_FORGET_OPTIONS_INIT;
    memfile_forget_result result;
    assert_said(memfile_forget(mf, NULL, NULL, NULL), e, MEMFILE_E_INVALID, "nothing is selected");
    s.filter = &f;
    assert_said(memfile_forget(mf, &s, NULL, NULL), e, MEMFILE_E_INVALID, "since and until");
    f.until = NULL;
    f.since = "soon";
    assert_said(memfile_forget(mf, &s, NULL, NULL), e, MEMFILE_E_INVALID, "since and until");
    f.since = NULL;
    fo.dry_run = 1;
    fo.reason = "\xff";
    assert_said(memfile_forget(mf, &s, &fo, &result), e, MEMFILE_E_INVALID, "the reason is text");
    fo.reason = long_reason;
    assert_said(memfile_forget(mf, &s, &fo, &result), e, MEMFILE_E_INVALID, "the reason is text");
    fo.reason = long_reason + 33000 - 1 - 32768; /* as long as it may be */
    assert_int_equal(memfile_forget(mf, &s, &fo, &result), MEMFILE_OK);
    assert_int_equal(result.memories, 1);

    /* as of, since and until look at the newest version */
    static const struct {
        const char *since, *until;
        uint64_t memories;
    } times[] = {{"2020-01-02T00:00:00Z", NULL, 1}, {"2020-01-02T00:00:00.5Z", NULL, 0}, {NULL, "2020-01-02T00:00:00Z", 0},
                 {NULL, "2020-01-02T00:00:00.5Z", 1}, {"2020-01-01T00:00:00Z", "2020-01-03T00:00:00Z", 1},
                 {"2020-01-03T00:00:00Z", "2020-01-04T00:00:00Z", 0}, {"2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z", 0}};
    assert_int_equal(put_json(mf, "{\"id\":\"timed\",\"text\":\"\",\"time\":\"2020-01-02T00:00:00Z\"}", NULL), MEMFILE_OK);
    commit_ok(mf);
    fo.reason = NULL;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        f.since = times[i].since;
        f.until = times[i].until;
        int rc = memfile_forget(mf, &s, &fo, &result);
        if (rc != (times[i].memories ? MEMFILE_OK : MEMFILE_DONE) || result.memories != times[i].memories)
            fail_msg("times %zu: %d, %llu memories", i, rc, (unsigned long long)result.memories);
    }
    /* everything: not what records forgetting */
    f.since = f.until = NULL;
    const char *a = "a";
    s.filter = NULL;
    s.ids = &a;
    s.id_count = 1;
    assert_int_equal(memfile_forget(mf, &s, NULL, NULL), MEMFILE_OK);
    commit_ok(mf);
    s.id_count = 0;
    s.filter = &f;
    assert_int_equal(memfile_forget(mf, &s, &fo, &result), MEMFILE_OK);
    assert_int_equal(result.memories, 1);
    assert_int_equal(result.kept_forgets, 0);
    memfile_close(mf);
}

/* A streamed content that is short is put as any other: one whose idempotency key is there adds nothing. */
static void a_batch_of_nothing_commits_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("nothing");
    memfile *mf = create_file(path);
    memfile_draft *d;
    memfile_put_result r;
    memfile_commit_result c;
    memfile_verify_result v;
    assert_int_equal(put_json(mf, "{\"id\":\"a\",\"text\":\"\",\"idempotency_key\":\"once\"}", NULL), MEMFILE_OK);
    commit_ok(mf);
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    memfile_draft_set(d, MEMFILE_IDEMPOTENCY_KEY, "once", 4);
    assert_int_equal(memfile_put_begin(mf, d, 1), MEMFILE_OK);
    assert_int_equal(memfile_put_write(mf, "again", 5), MEMFILE_OK);
    assert_int_equal(memfile_put_end(mf, &r), MEMFILE_OK);
    assert_int_equal(r.existed, 1);
    assert_int_equal(r.entry, 0);
    assert_int_equal(memfile_commit(mf, &c), MEMFILE_DONE);
    /* the lock was given back */
    memfile *other = open_file(path, MEMFILE_WRITE);
    put_text(other, "b", "");
    commit_ok(other);
    memfile_close(other);
    /* and what this version does not know is not put */
    assert_said(put_json(mf, "{\"id\":\"c\",\"text\":\"\",\"op\":2}", NULL), memfile_last_error(mf), MEMFILE_E_INVALID,
                "cannot put entries of the op 2");
    memfile_draft_free(d);
    memfile_close(mf);
    assert_int_equal(verify_path(path, &v), MEMFILE_OK);
    assert_int_equal(v.commits, 3);
}

static int count_commit(void *context, const memfile_commit_info *commit)
{
    (void)commit;
    assert_true(++*(int *)context < 10);
    return MEMFILE_OK;
}

/* The log is read without looking at the rest of a commit's links: one that names itself or a later one ends it. */
static void a_log_that_does_not_lead_back_ends(void **state)
{
    (void)state;
    const char *path = temp_path("circle");
    memfile *mf = create_file(path);
    mf_segment s[8];
    size_t length;
    for (int i = 0; i < 4; i++) {
        put_text(mf, NULL, "");
        commit_ok(mf);
    }
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    assert_int_equal(segments_of(bytes, length, s, 8), 5);
    for (int to = 2; to < 5; to++) {
        int seen = 0;
        mf_store64(bytes + s[2].offset + 24, s[to].offset);
        reseal(bytes + s[2].offset);
        assert_int_equal(memfile_open_memory(bytes, length, NULL, &mf, NULL), MEMFILE_OK);
        assert_said(memfile_log(mf, count_commit, &seen), memfile_last_error(mf), MEMFILE_E_DAMAGED, "names a later one before it");
        assert_int_equal(memfile_last_error(mf)->offset, s[2].offset);
        assert_int_equal(seen, 3);
        uint64_t number;
        assert_int_equal(memfile_find_commit(mf, "no digest", &number), MEMFILE_E_DAMAGED); /* it may be one that was not seen */
        memfile_close(mf);
    }
    free(bytes);
}

/* Content over 32 KiB that is given as JSON, with escapes, and as base64, comes back byte for byte. */
static void long_contents_may_be_json(void **state)
{
    (void)state;
    enum { TIMES = 9000 };
    memfile *mf = create_file(temp_path("long-json"));
    char *json = (char *)malloc(TIMES * 16 + 100), *at;
    uint8_t *expected[2], *got = (uint8_t *)malloc(TIMES * 8);
    size_t length[2] = {0, 0};
    for (int i = 0; i < 2; i++)
        expected[i] = (uint8_t *)malloc(TIMES * 8);
    at = json + sprintf(json, "{\"id\":\"text\",\"text\":\"");
    for (int i = 0; i < TIMES; i++) {
        at += sprintf(at, "%d\\n\\u00e9", i % 7);
        length[0] += (size_t)sprintf((char *)expected[0] + length[0], "%d\n\xc3\xa9", i % 7);
    }
    strcpy(at, "\"}");
    assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
    at = json + sprintf(json, "{\"id\":\"data\",\"data\":\"");
    for (int i = 0; i < TIMES; i++) {
        at += sprintf(at, "AP8%c", i % 2 ? 'B' : 'C');
        expected[1][length[1]++] = 0;
        expected[1][length[1]++] = 0xff;
        expected[1][length[1]++] = i % 2 ? 1 : 2;
    }
    for (int i = 0; i < 2; i++) { /* 40,000 bytes and more */
        memcpy(at, "AP8B", 4);
        at += 4;
    }
    strcpy(at, "\"}");
    assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
    for (int i = 0; i < 2; i++) {
        memcpy(expected[1] + length[1], "\0\xff\1", 3);
        length[1] += 3;
    }
    commit_ok(mf);
    for (int i = 0; i < 2; i++) {
        const memfile_entry *e;
        memfile_content *c;
        size_t n, done = 0;
        assert_int_equal(memfile_get(mf, i ? "data" : "text", 4, MEMFILE_NEWEST, &e), MEMFILE_OK);
        assert_int_equal(memfile_entry_content_is_detached(e), length[i] > 32768);
        assert_int_equal(memfile_entry_content_length(e), length[i]);
        assert_int_equal(memfile_content_open(mf, e, &c), MEMFILE_OK);
        while (memfile_content_read(c, got + done, TIMES * 8 - done, &n) == MEMFILE_OK && n > 0)
            done += n;
        assert_int_equal(done, length[i]);
        assert_memory_equal(got, expected[i], done);
        memfile_content_close(c);
        free(expected[i]);
    }
    free(json);
    free(got);
    memfile_close(mf);
}

/* Extensions: at most 1024, with keys that are text or integers from 31 that a file can hold. */
static void extensions_keep_to_their_limits(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int expected;
    } keys[] = {{"x-mine", MEMFILE_OK},
                {"@31", MEMFILE_OK},
                {"@9223372036854775807", MEMFILE_OK},
                {"@9223372036854775808", MEMFILE_E_INVALID},
                {"@18446744073709551647", MEMFILE_E_INVALID},
                {"@30", MEMFILE_E_INVALID},
                {"@031", MEMFILE_E_INVALID}};
    memfile *mf = create_file(temp_path("extensions"));
    char *json = (char *)malloc(30000), *at;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        sprintf(json, "{\"id\":\"a\",\"text\":\"\",\"%s\":1}", keys[i].name);
        int rc = put_json(mf, json, NULL);
        if (rc != keys[i].expected)
            fail_msg("%s: %d", keys[i].name, rc);
    }
    for (int n = 1024; n <= 1025; n++) {
        at = json + sprintf(json, "{\"id\":\"a\",\"text\":\"\"");
        for (int i = 0; i < n; i++)
            at += sprintf(at, ",\"x-%d\":%d", i, i);
        strcpy(at, "}");
        assert_int_equal(put_json(mf, json, NULL) == MEMFILE_OK, n == 1024);
    }
    free(json);
    memfile_close(mf);
}

/* What forgets nothing holds no lock; and a time may be before 1970. */
static void forgetting_nothing_holds_no_lock(void **state)
{
    (void)state;
    const char *path = temp_path("unlocked"), *id = "none";
    memfile *mf = create_file(path), *other;
    memfile_selection s = MEMFILE_SELECTION_INIT;
    memfile_filter f = MEMFILE_FILTER_INIT;
    memfile_forget_options fo = MEMFILE_FORGET_OPTIONS_INIT;
    memfile_forget_result r;
    memfile_options o = MEMFILE_OPTIONS_INIT;
    assert_int_equal(put_json(mf, "{\"id\":\"old\",\"text\":\"\",\"time\":\"1960-01-02T00:00:00Z\"}", NULL), MEMFILE_OK);
    commit_ok(mf);
    o.lock_timeout_ms = 0;
    assert_int_equal(memfile_open(path, MEMFILE_WRITE, &o, &other, NULL), MEMFILE_OK);
    for (int dry = 0; dry < 2; dry++) {
        s.ids = &id;
        s.id_count = !dry;
        s.filter = dry ? &f : NULL;
        f.until = "1970-01-01T00:00:00Z";
        fo.dry_run = dry;
        assert_int_equal(memfile_forget(mf, &s, &fo, &r), dry ? MEMFILE_OK : MEMFILE_DONE);
        assert_int_equal(r.memories, dry);
        assert_int_equal(put_json(other, "{\"id\":\"b\",\"text\":\"\"}", NULL), MEMFILE_OK);
        commit_ok(other);
    }
    f.until = "1960-01-02T00:00:00Z";
    assert_int_equal(memfile_forget(mf, &s, &fo, &r), MEMFILE_DONE);
    memfile_close(other);
    memfile_close(mf);
}

typedef struct digests {
    char hex[2000][65];
    size_t count;
} digests;

static int note_digest(void *context, const memfile_commit_info *commit)
{
    digests *d = (digests *)context;
    for (int i = 0; i < 32; i++)
        snprintf(d->hex[commit->number] + 2 * i, 3, "%02x", commit->digest[i]);
    d->count++;
    return MEMFILE_OK;
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

static int no_sync(mf_io *io, memfile_error *err)
{
    (void)io, (void)err;
    return MEMFILE_OK;
}

static void a_commit_is_found_by_number_or_by_enough_of_its_digest(void **state)
{
    (void)state;
    enum { COMMITS = 1200 };
    static digests d;
    const char *path = temp_path("commits");
    int64_t clock = 1700000000000000;
    memfile_environment env = {fixed_now, fixed_random, &clock};
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile *mf;
    uint64_t number;
    char name[70];
    o.environment = &env;
    assert_int_equal(memfile_open(path, MEMFILE_CREATE, &o, &mf, NULL), MEMFILE_OK);
    const mf_io_functions *syncing = mf->store.io->functions;
    mf_io_functions quick = *syncing;
    quick.sync = no_sync;
    mf->store.io->functions = &quick;
    for (int i = 1; i < COMMITS; i++) {
        snprintf(name, sizeof name, "c%d", i);
        put_text(mf, name, "");
        commit_ok(mf);
    }
    mf->store.io->functions = syncing;
    const memfile_error *e = memfile_last_error(mf);
    assert_int_equal(memfile_log(mf, note_digest, &d), MEMFILE_OK);
    assert_int_equal(d.count, COMMITS);
    size_t alike = 0, unlike = 0;
    for (size_t i = 1; i < COMMITS && (!alike || !unlike); i++) {
        size_t same = 0;
        for (size_t k = 0; k < COMMITS; k++)
            same += memcmp(d.hex[i], d.hex[k], 4) == 0;
        bool letter = strspn(d.hex[i], "0123456789") < 4; /* else it is a number too */
        alike = same > 1 && letter && !alike ? i : alike;
        unlike = same == 1 && letter && !unlike ? i : unlike;
    }
    assert_true(alike && unlike); /* the same in every run */
    snprintf(name, sizeof name, "%.4s", d.hex[alike]);
    assert_said(memfile_find_commit(mf, name, &number), e, MEMFILE_E_CONFLICT, "several commits begin with");
    assert_int_equal(memfile_find_commit(mf, d.hex[alike], &number), MEMFILE_OK);
    assert_int_equal(number, alike);
    snprintf(name, sizeof name, "%.4s", d.hex[unlike]);
    assert_int_equal(memfile_find_commit(mf, name, &number), MEMFILE_OK);
    assert_int_equal(number, unlike);
    snprintf(name, sizeof name, "%.3s", d.hex[unlike]);
    assert_int_equal(memfile_find_commit(mf, name, &number), MEMFILE_E_NOT_FOUND);
    snprintf(name, sizeof name, "%s0", d.hex[unlike]);
    assert_int_equal(memfile_find_commit(mf, name, &number), MEMFILE_E_NOT_FOUND);
    assert_int_equal(memfile_find_commit(mf, "1199", &number), MEMFILE_OK);
    assert_int_equal(number, 1199);
    assert_said(memfile_find_commit(mf, "", &number), e, MEMFILE_E_INVALID, "by its number or its digest");
    /* no numbers, though what they would be worth is one: 10 is ':' behind '9', -1 is '/' before '0' */
    static const char *const none[] = {"1:", "2/", "/", ":", "1200", "-1", "18446744073709551617", "36893488147419103233", "1 "};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_said(memfile_find_commit(mf, none[i], &number), e, MEMFILE_E_NOT_FOUND, none[i]);
    memfile_close(mf);
}

/* memfile_draft_set_json takes what it is given at once, whatever its length: the caller's text may be gone after it. */
static void a_long_member_is_taken_at_once(void **state)
{
    (void)state;
    enum { LENGTH = 40000 };
    const char *path = temp_path("at-once");
    memfile *mf = create_file(path);
    memfile_draft *d;
    char *json = (char *)malloc(LENGTH * 8 + 100);
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    for (int data = 0; data < 2; data++) {
        memfile_put_result r;
        const memfile_entry *e;
        const char *text;
        size_t n = 0, got;
        memfile_draft_clear(d);
        json[n++] = '"';
        for (int i = 0; i < LENGTH; i += 3)
            n += (size_t)snprintf(json + n, 20, data ? "QUJD" : "A\\u0042C");
        json[n++] = '"';
        assert_int_equal(memfile_draft_set_json(d, data ? "data" : "text", json, n), MEMFILE_OK);
        memset(json, 'x', n);
        assert_int_equal(memfile_put(mf, d, &r), MEMFILE_OK);
        assert_int_equal(memfile_commit(mf, NULL), MEMFILE_OK);
        assert_int_equal(memfile_get(mf, r.id, r.id_length, MEMFILE_NEWEST, &e), MEMFILE_OK);
        assert_int_equal(memfile_entry_json(mf, e, LENGTH + 10, &text, &got), MEMFILE_OK);
        const char *at = strstr(text, data ? "\"data\":\"" : "\"text\":\"");
        assert_non_null(at);
        at += 8;
        for (int i = 0; i < LENGTH; i += 3, at += data ? 4 : 3)
            assert_memory_equal(at, data ? "QUJD" : "ABC", data ? 4 : 3);
        assert_int_equal(*at, '"');
        assert_said(memfile_entry_json(mf, e, LENGTH - 1, &text, &got), memfile_last_error(mf), MEMFILE_E_LIMIT, "");
    }
    assert_int_equal(memfile_draft_set_json(d, "text", "\"x\" y", 5), MEMFILE_E_INVALID);
    memfile_draft_clear(d);
    size_t n = (size_t)snprintf(json, 100, "{\"text\":\"\",\"embedding\":{\"space\":\"s\",\"values\":[0.5");
    for (int values = 16383; values <= 16385; values++) {
        size_t end = n;
        memfile_error why;
        for (int i = 1; i < values; i++)
            end += (size_t)snprintf(json + end, 20, ",0.25");
        end += (size_t)snprintf(json + end, 20, "]}}");
        int rc = memfile_draft_parse_json(d, json, end, &why);
        if (values <= 16384)
            assert_int_equal(rc, MEMFILE_OK);
        else
            assert_said(rc, &why, MEMFILE_E_INVALID, "at most 16,384 values");
    }
    memfile_draft_free(d);
    free(json);
    memfile_close(mf);
}

/* SPEC 11.4; in an entry's own text damage is seen with its block. */
static void a_long_text_that_is_none_is_not_given_as_json(void **state)
{
    (void)state;
    memfile *mf = open_file(VECTORS "bad-content-text-utf8.memfile", MEMFILE_READ);
    const memfile_entry *e;
    const char *json;
    size_t n;
    assert_int_equal(memfile_get(mf, "b", 1, MEMFILE_NEWEST, &e), MEMFILE_OK);
    assert_said(memfile_entry_json(mf, e, 100000, &json, &n), memfile_last_error(mf), MEMFILE_E_DAMAGED, "is not valid UTF-8");
    memfile_close(mf);
}

typedef struct stop {
    int left, calls; /* calls that are answered with 0 */
    uint64_t total;
} stop;

static int count_down(void *context, uint64_t done, uint64_t total)
{
    stop *s = (stop *)context;
    assert_true(done <= total);
    s->calls++;
    s->total = total;
    return s->left-- == 0 ? 7 : 0;
}

/* A file of many small commits, and behind them one of many segments, folded or as it was written. */
static void make_long(const char *path, bool folded)
{
    memfile *mf = create_file(path);
    for (int i = 0; i < 300; i++) {
        put_text(mf, "n", "x");
        commit_ok(mf);
    }
    memfile_close(mf);
    if (folded)
        assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
}

static void whoever_is_told_how_far_it_is_may_stop_it(void **state)
{
    (void)state;
    enum { VERIFY, QUICK, COMPACT, OUTPUT, RECOVER, JOBS };
    const char *path = temp_path("stopped"), *out = temp_path("stopped-out");
    for (int folded = 0; folded < 2; folded++) {
        memfile_error e;
        size_t length, n;
        unlink(path);
        make_long(path, folded);
        uint8_t *before = read_file(path, &length);
        for (int job = 0; job < JOBS; job++) {
            int rc = MEMFILE_E_STOPPED;
            stop s = {0, 0, 0};
            for (int times = 0; rc == MEMFILE_E_STOPPED; times++) {
                memfile_verify_options v = MEMFILE_VERIFY_OPTIONS_INIT;
                memfile_compact_options c = MEMFILE_COMPACT_OPTIONS_INIT;
                memfile_recover_options r = MEMFILE_RECOVER_OPTIONS_INIT;
                memfile_verify_result verified;
                memfile_compact_result compacted;
                memfile_recover_result recovered;
                s = (stop){times, 0, 0};
                v.progress = c.progress = r.progress = count_down;
                v.context = c.context = r.context = &s;
                v.quick = job == QUICK;
                c.output = job == OUTPUT ? out : NULL;
                unlink(out);
                write_file(path, before, length);
                rc = job == COMPACT || job == OUTPUT ? memfile_compact(path, &c, &compacted, &e)
                     : job == RECOVER                ? memfile_recover(path, out, &r, &recovered, &e)
                                                     : memfile_verify(path, &v, &verified, &e);
                if (rc == MEMFILE_OK)
                    break;
                assert_said(rc, &e, MEMFILE_E_STOPPED, "stopped, as the caller asked, after ");
                assert_int_equal(s.calls, times + 1); /* and is not asked again */
                assert_int_equal(names_like(out), 0);
                assert_int_equal(names_like(path), 1);
                uint8_t *after = read_file(path, &n);
                assert_int_equal(n, length);
                assert_memory_equal(after, before, length);
                free(after);
            }
            assert_int_equal(rc, MEMFILE_OK);
            if (!folded && s.calls < 4) /* far less than a MiB, but 300 segments */
                fail_msg("job %d: told %d times", job, s.calls);
            if (s.calls < 1)
                fail_msg("job %d: told %d times", job, s.calls);
        }
        free(before);
    }
    assert_string_equal(memfile_strerror(MEMFILE_E_STOPPED), "stopped");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(a_batch_takes_only_what_it_may),
        cmocka_unit_test(fields_take_only_what_they_hold),
        cmocka_unit_test(what_is_asked_for_must_be_named_rightly),
        cmocka_unit_test(a_batch_of_nothing_commits_nothing),
        cmocka_unit_test(long_contents_may_be_json),
        cmocka_unit_test(extensions_keep_to_their_limits),
        cmocka_unit_test(forgetting_nothing_holds_no_lock),
        cmocka_unit_test(a_log_that_does_not_lead_back_ends),
        cmocka_unit_test(a_commit_is_found_by_number_or_by_enough_of_its_digest),
        cmocka_unit_test(a_long_member_is_taken_at_once),
        cmocka_unit_test(a_long_text_that_is_none_is_not_given_as_json),
        cmocka_unit_test(whoever_is_told_how_far_it_is_may_stop_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
