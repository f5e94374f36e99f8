/* life: reading all of a file in several ways that must agree. */
#include "life.h"

#include "checksum.h"

#define ENTRIES_MAX 3000u            /* more are not read of a mutant that claims them */
#define CONTENT_MAX ((uint64_t)2 << 20)
#define GETS_MAX 64u

bool fuzz_is_files_fault(int rc)
{
    return rc == MEMFILE_E_NOT_MEMFILE || rc == MEMFILE_E_NEWER || rc == MEMFILE_E_TRUNCATED ||
           rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_KEY || rc == MEMFILE_E_LIMIT || rc == MEMFILE_E_NOT_FOUND;
}

static memfile_unlock taken;

void fuzz_take(const uint8_t *data, size_t size)
{
    fuzz_environment_reset(size);
    taken = fuzz_unlock(data, size);
}

memfile_unlock fuzz_unlock_taken(void)
{
    return taken;
}

memfile_options fuzz_options(void)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    o.environment = &fuzz_environment;
    o.lock_timeout_ms = 0;
    o.unlock = taken;
    return o;
}

static const char *last_words(memfile *mf)
{
    const memfile_error *e = memfile_last_error(mf);
    return e ? e->message : "";
}

/* Every failure is the file's; a sound file has none. */
static bool went_well(memfile *mf, bool sound, int rc, const char *what)
{
    if (rc == MEMFILE_OK || rc == MEMFILE_DONE)
        return true;
    fuzz_verdict("%s: %d, %s", what, rc, last_words(mf));
    FUZZ_CHECK(!sound, "%s in a sound file: %d, %s", what, rc, last_words(mf));
    FUZZ_CHECK(fuzz_is_files_fault(rc), "%s: %d, %s", what, rc, last_words(mf));
    return false;
}

static void mix(uint64_t *sum, const void *data, size_t length)
{
    *sum = mf_checksum_seeded(data, length, *sum);
}

static void read_content(memfile *mf, const memfile_entry *e, bool sound)
{
    static uint8_t piece[40000];
    memfile_content *content;
    uint64_t length = memfile_entry_content_length(e), got = 0;
    int rc = memfile_content_open(mf, e, &content);
    if (!went_well(mf, sound, rc, "opening content"))
        return;
    for (size_t size = 1; got < CONTENT_MAX;) {
        size_t n;
        rc = memfile_content_read(content, piece, size, &n);
        if (!went_well(mf, sound, rc, "reading content"))
            break;
        got += n;
        if (n == 0) {
            FUZZ_CHECK(got == length, "content of %llu bytes, not %llu", (unsigned long long)got,
                       (unsigned long long)length);
            break;
        }
        size = size * 7 < sizeof piece ? size * 7 : sizeof piece;
    }
    memfile_content_close(content);
}

static void ask_entry(const memfile_entry *e, uint64_t *sum)
{
    static const memfile_field fields[] = {MEMFILE_KIND, MEMFILE_KEY, MEMFILE_TEXT, MEMFILE_DATA, MEMFILE_TITLE,
                                           MEMFILE_STATUS, MEMFILE_IDEMPOTENCY_KEY, MEMFILE_SOURCE};
    static const memfile_time_field times[] = {MEMFILE_TIME, MEMFILE_EXPIRES, MEMFILE_RECORDED, MEMFILE_VALID_TO};
    char id[256];
    size_t length, other;
    int64_t seconds;
    uint32_t nanoseconds;
    mix(sum, id, memfile_entry_id(e, id));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *s = memfile_entry_field(e, fields[i], &length);
        FUZZ_CHECK(s || length == 0, "%zu bytes of nothing", length);
        mix(sum, s ? s : "", length);
    }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (memfile_entry_time(e, times[i], &seconds, &nanoseconds))
            FUZZ_CHECK(nanoseconds < 1000000000u, "%u nanoseconds", nanoseconds);
    for (size_t i = 0; i < memfile_entry_scope_count(e); i++) {
        const char *scope = memfile_entry_scope(e, i, &length);
        mix(sum, scope, length);
    }
    for (size_t i = 0; i < memfile_entry_tag_count(e); i++) {
        const char *tag = memfile_entry_tag(e, i, &length);
        mix(sum, tag, length);
    }
    for (size_t i = 0; i < memfile_entry_link_count(e); i++) {
        const char *relation = memfile_entry_link(e, i, &length, id, &other);
        mix(sum, relation, length);
        mix(sum, id, other);
    }
}

/* One entry in every form. */
static void read_entry(memfile *mf, const memfile_entry *e, bool sound, uint64_t *sum)
{
    const char *json = NULL;
    size_t length = 0;
    ask_entry(e, sum);
    if (memfile_entry_content_is_detached(e))
        read_content(mf, e, sound);
    int rc = memfile_entry_json(mf, e, 1u << 20, &json, &length);
    if (rc == MEMFILE_E_LIMIT && memfile_entry_content_length(e) > 1u << 20)
        return;
    if (went_well(mf, sound, rc, "printing")) {
        FUZZ_CHECK(json && length > 2 && json[0] == '{' && json[length - 1] == '}', "%.*s", (int)length, json);
        mix(sum, json, length);
    } else {
        FUZZ_CHECK(!json && length == 0, "output of a failure");
    }
}

/* Returns how many entries the list gave; numbers rise, or fall if reverse. */
static uint64_t run_list(memfile *mf, const memfile_filter *filter, bool sound, bool deep, uint64_t *sum, bool *whole)
{
    memfile_cursor *cursor;
    const memfile_entry *e;
    uint64_t count = 0, last = 0;
    int rc = memfile_list(mf, filter, &cursor);
    *whole = false;
    if (!went_well(mf, sound, rc, "listing"))
        return 0;
    while (count < ENTRIES_MAX && (rc = memfile_cursor_next(cursor, &e)) == MEMFILE_OK) {
        uint64_t n = memfile_entry_number(e);
        FUZZ_CHECK(count == 0 || (filter->reverse ? n < last : n > last), "entry %llu after %llu",
                   (unsigned long long)n, (unsigned long long)last);
        FUZZ_CHECK(n >= filter->first_entry, "entry %llu", (unsigned long long)n);
        last = n;
        count++;
        if (deep)
            read_entry(mf, e, sound, sum);
    }
    if (rc != MEMFILE_OK)
        *whole = went_well(mf, sound, rc, "the list's next entry");
    FUZZ_CHECK(!filter->limit || count <= filter->limit, "%llu of at most %llu", (unsigned long long)count,
               (unsigned long long)filter->limit);
    memfile_cursor_close(cursor);
    return count;
}

/* Each live entry is the newest of its id. */
static void get_by_id(memfile *mf, bool sound)
{
    memfile_filter filter = MEMFILE_FILTER_INIT;
    memfile_cursor *cursor;
    const memfile_entry *e, *found;
    uint64_t count = 0;
    if (memfile_list(mf, &filter, &cursor) != MEMFILE_OK)
        return;
    while (count++ < GETS_MAX && memfile_cursor_next(cursor, &e) == MEMFILE_OK) {
        char id[256], found_id[256];
        uint64_t number = memfile_entry_number(e);
        size_t length = memfile_entry_id(e, id);
        int rc = memfile_get(mf, id, length, MEMFILE_NEWEST, &found);
        if (!went_well(mf, sound, rc, "get of a listed id"))
            continue;
        FUZZ_CHECK(memfile_entry_id(found, found_id) == length && memcmp(id, found_id, length) == 0, "%s for %s",
                   found_id, id);
        FUZZ_CHECK(!sound || memfile_entry_number(found) == number, "entry %llu for %llu",
                   (unsigned long long)memfile_entry_number(found), (unsigned long long)number);
        rc = memfile_get_entry(mf, number, &found);
        if (went_well(mf, sound, rc, "get of a listed entry"))
            FUZZ_CHECK(memfile_entry_number(found) == number, "another entry");
    }
    memfile_cursor_close(cursor);
}

/* Lists with conditions give no more than the list without. */
static void list_by_facets(memfile *mf, bool sound)
{
    memfile_filter all = MEMFILE_FILTER_INIT, f;
    memfile_cursor *cursor;
    const memfile_entry *e;
    char kind[256] = "", tag[256] = "", key[1100] = "", scope[256] = "";
    size_t n;
    uint64_t unused = 0;
    bool whole;
    all.all = 1;
    if (memfile_list(mf, &all, &cursor) != MEMFILE_OK)
        return;
    for (int i = 0; i < 32 && memfile_cursor_next(cursor, &e) == MEMFILE_OK; i++) {
        const char *s = memfile_entry_field(e, MEMFILE_KIND, &n);
        if (s)
            snprintf(kind, sizeof kind, "%.*s", (int)n, s);
        if ((s = memfile_entry_field(e, MEMFILE_KEY, &n)) != NULL)
            snprintf(key, sizeof key, "%.*s", (int)n, s);
        if (memfile_entry_tag_count(e) > 0 && (s = memfile_entry_tag(e, 0, &n)) != NULL)
            snprintf(tag, sizeof tag, "%.*s", (int)n, s);
        if (memfile_entry_scope_count(e) > 0 && (s = memfile_entry_scope(e, 0, &n)) != NULL)
            snprintf(scope, sizeof scope, "%.*s", (int)n, s);
    }
    memfile_cursor_close(cursor);
    const char *name = scope;
    for (int i = 0; i < 6; i++) {
        f = all;
        f.kind = i == 0 ? kind : NULL;
        f.tag = i == 1 ? tag : NULL;
        f.key = i == 2 ? key : NULL;
        f.scope = i == 3 ? &name : NULL;
        f.scope_count = i == 3;
        f.since = i == 4 ? "2020-01-01T00:00:00Z" : NULL;
        f.until = i == 4 ? "2024-06-01T00:00:00Z" : NULL;
        f.limit = i == 5 ? 3 : 0;
        f.first_entry = i == 5 ? 2 : 0;
        f.reverse = i % 2;
        run_list(mf, &f, sound, false, &unused, &whole);
    }
}

typedef struct commit_log {
    bool sound;
    uint64_t count, entries, last;
} commit_log;

static int on_commit(void *context, const memfile_commit_info *commit)
{
    commit_log *log = (commit_log *)context;
    FUZZ_CHECK(!log->sound || log->count == 0 || commit->number + 1 == log->last, "commit %llu after %llu",
               (unsigned long long)commit->number, (unsigned long long)log->last);
    FUZZ_CHECK(commit->author_length <= sizeof commit->author, "author of %zu bytes", commit->author_length);
    log->last = commit->number;
    log->entries += commit->entry_count;
    return ++log->count > ENTRIES_MAX;
}

static void read_log(memfile *mf, bool sound, const memfile_info *info)
{
    commit_log log = {sound, 0, 0, 0};
    uint64_t number;
    char name[9];
    int rc = memfile_log(mf, on_commit, &log);
    if (rc < 0)
        went_well(mf, sound, rc, "the log");
    if (sound && log.count <= ENTRIES_MAX)
        FUZZ_CHECK(log.count == info->commits && log.entries == info->entries, "%llu commits with %llu entries",
                   (unsigned long long)log.count, (unsigned long long)log.entries);
    snprintf(name, sizeof name, "%02x%02x%02x%02x", info->history_digest[0], info->history_digest[1],
             info->history_digest[2], info->history_digest[3]);
    rc = memfile_find_commit(mf, name, &number);
    FUZZ_CHECK(!sound || rc == MEMFILE_OK, "the newest commit is not found by %s: %s", name, last_words(mf));
}

static void list_as_of(memfile *mf, bool sound, const memfile_info *info)
{
    memfile_filter f = MEMFILE_FILTER_INIT;
    uint64_t before = 0, sum = 0;
    bool whole, all_whole = true;
    for (unsigned i = 0; i < 4 && info->commits > 0; i++) {
        f.as_of = i < 2 ? i : i == 2 ? info->commits / 2 : info->commits - 1;
        f.all = 1;
        if (f.as_of >= info->commits)
            continue;
        uint64_t count = run_list(mf, &f, sound, false, &sum, &whole);
        all_whole = all_whole && whole && count < ENTRIES_MAX;
        if (sound && all_whole && i > 1)
            FUZZ_CHECK(count >= before, "%llu entries as of a later commit than with %llu", (unsigned long long)count,
                       (unsigned long long)before);
        before = count;
        f.all = 0;
        run_list(mf, &f, sound, false, &sum, &whole);
    }
}

void fuzz_read_everything(memfile *mf, bool sound, fuzz_reading *out)
{
    memfile_filter filter = MEMFILE_FILTER_INIT;
    memfile_info info;
    bool forwards, backwards, whole;
    uint64_t unused = 0;
    memset(out, 0, sizeof *out);
    int rc = memfile_get_info(mf, &info, sizeof info);
    if (!went_well(mf, sound, rc, "info"))
        return;
    memcpy(out->history_digest, info.history_digest, 32);
    filter.all = 1;
    out->entries = run_list(mf, &filter, sound, true, &out->text, &forwards);
    filter.reverse = 1;
    uint64_t count = run_list(mf, &filter, sound, false, &unused, &backwards);
    out->cut = !forwards || out->entries >= ENTRIES_MAX;
    if (sound && !out->cut) {
        FUZZ_CHECK(out->entries == info.entries, "%llu of %llu entries", (unsigned long long)out->entries,
                   (unsigned long long)info.entries);
        FUZZ_CHECK(count == out->entries, "%llu backwards of %llu", (unsigned long long)count,
                   (unsigned long long)out->entries);
    }
    filter.reverse = filter.all = 0;
    out->live = run_list(mf, &filter, sound, true, &out->live_text, &whole);
    FUZZ_CHECK(!sound || out->cut || out->live <= out->entries, "%llu live", (unsigned long long)out->live);
    filter.reverse = 1;
    count = run_list(mf, &filter, sound, false, &unused, &whole);
    FUZZ_CHECK(!sound || out->cut || count == out->live, "%llu live backwards of %llu", (unsigned long long)count,
               (unsigned long long)out->live);
    get_by_id(mf, sound);
    list_by_facets(mf, sound);
    list_as_of(mf, sound, &info);
    read_log(mf, sound, &info);
    fuzz_verdict("%llu entries, %llu live, %016llx", (unsigned long long)out->entries, (unsigned long long)out->live,
                 (unsigned long long)out->text);
}

bool fuzz_read_path(const char *path, bool sound, fuzz_reading *out)
{
    memfile_options o = fuzz_options();
    memfile_error e;
    memfile *mf;
    memset(out, 0, sizeof *out);
    int rc = memfile_open(path, MEMFILE_READ, &o, &mf, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || !sound, "a sound file does not open: %d, %s", rc, e.message);
    FUZZ_CHECK(rc == MEMFILE_OK || fuzz_is_files_fault(rc), "opening: %d, %s", rc, e.message);
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    if (rc != MEMFILE_OK)
        return false;
    fuzz_read_everything(mf, sound, out);
    memfile_close(mf);
    return true;
}

void fuzz_check_same(const fuzz_reading *a, const fuzz_reading *b, const char *what)
{
    if (a->cut || b->cut)
        return;
    FUZZ_CHECK(a->entries == b->entries && a->live == b->live, "%s: %llu entries, %llu live, not %llu and %llu", what,
               (unsigned long long)b->entries, (unsigned long long)b->live, (unsigned long long)a->entries,
               (unsigned long long)a->live);
    FUZZ_CHECK(a->text == b->text && a->live_text == b->live_text, "%s: other entries", what);
    FUZZ_CHECK(memcmp(a->history_digest, b->history_digest, 32) == 0, "%s: another history digest", what);
}

/* ---- verify */

typedef struct told {
    uint64_t damages;
    int last;
} told;

static void on_finding(void *context, const memfile_finding *finding)
{
    told *t = (told *)context;
    FUZZ_CHECK(finding->message && finding->message[0], "a finding without words");
    FUZZ_CHECK(finding->code != MEMFILE_E_MEMORY && finding->code != MEMFILE_E_SYSTEM, "%d: %s", finding->code,
               finding->message);
    fuzz_verdict("%d at %llu: %s", finding->code, (unsigned long long)finding->offset, finding->message);
    t->damages += finding->code != MEMFILE_OK;
    t->last = finding->code;
}

int fuzz_verify(const char *path, memfile_verify_result *result, memfile_error *error)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result r, quick;
    memfile_error e, quick_error;
    told t = {0, 0}, quick_told = {0, 0};
    o.unlock = taken;
    o.finding = on_finding;
    o.context = &t;
    int rc = memfile_verify(path, &o, &r, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || fuzz_is_files_fault(rc), "verify: %d, %s", rc, e.message);
    fuzz_verdict("%d, %llu entries, %llu lost", rc, (unsigned long long)r.entries, (unsigned long long)r.lost_entries);
    FUZZ_CHECK(rc != MEMFILE_OK || (t.damages == 0 && r.lost_entries == 0 && r.lost_commits == 0),
               "sound with %llu findings", (unsigned long long)t.damages);
    FUZZ_CHECK(rc != MEMFILE_OK || r.unfinished_bytes == 0, "sound with %llu unfinished bytes",
               (unsigned long long)r.unfinished_bytes);
    FUZZ_CHECK(rc != MEMFILE_E_DAMAGED || r.findings == 0 || t.damages > 0, "%llu findings, none told",
               (unsigned long long)r.findings);
    o.quick = 1;
    o.context = &quick_told;
    int quick_rc = memfile_verify(path, &o, &quick, &quick_error);
    FUZZ_CHECK(rc != MEMFILE_OK || quick_rc == MEMFILE_OK, "sound, but not if quick: %d, %s", quick_rc,
               quick_error.message);
    FUZZ_CHECK(quick_rc == MEMFILE_OK || fuzz_is_files_fault(quick_rc), "quick: %d, %s", quick_rc, quick_error.message);
    if (result)
        *result = r;
    if (error)
        *error = e;
    return rc;
}
