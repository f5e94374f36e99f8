/* fuzz_story: the life of one file, told by the input: puts, commits, rollbacks, reopening,
 * crashes in the middle of a commit, compaction. A plain list of what was put says what the
 * file must hold at each step, as of each commit, and at the end. */
#include "life.h"

#include <unistd.h>

#define STEPS_MAX 64
#define ENTRIES_MAX 400
#define COMMITS_MAX 240
#define IDS 12

typedef struct told_entry {
    unsigned id, key; /* key 0: none */
    size_t length;
    uint8_t letter;
} told_entry;

typedef struct story {
    const char *path;
    memfile *mf;
    told_entry entries[ENTRIES_MAX];
    unsigned committed, pending;     /* entries; pending ones follow */
    unsigned at_commit[COMMITS_MAX]; /* entries as of each */
    unsigned commits;
} story;

static void open_file(story *s, memfile_mode mode)
{
    memfile_options o = fuzz_options();
    memfile_error e;
    int rc = memfile_open(s->path, mode, &o, &s->mf, &e);
    FUZZ_CHECK(rc == MEMFILE_OK, "%d, %s", rc, e.message);
}

static void text_of(const told_entry *t, char *out)
{
    for (size_t i = 0; i < t->length; i++)
        out[i] = (char)('a' + (t->letter + i * (1 + t->letter % 3)) % 26);
}

static void name_of(unsigned id, char out[64])
{
    if (id % 3 == 0)
        snprintf(out, 64, "0190a5d0-0000-7000-8000-%012x", id);
    else
        snprintf(out, 64, id % 3 == 1 ? "m%u" : "abc%03x", id);
}

static int newest(const story *s, unsigned id, unsigned entries)
{
    for (unsigned i = entries; i-- > 0;)
        if (s->entries[i].id == id)
            return (int)i;
    return -1;
}

/* Entry n is superseded by a later one with its id or its key. */
static bool is_live(const story *s, unsigned n, unsigned entries)
{
    for (unsigned i = n + 1; i < entries; i++)
        if (s->entries[i].id == s->entries[n].id || (s->entries[n].key && s->entries[i].key == s->entries[n].key))
            return false;
    return true;
}

static void check_entry(const story *s, const memfile_entry *e, unsigned n)
{
    static char text[70000];
    char id[256], name[64];
    size_t length;
    const told_entry *t = &s->entries[n];
    name_of(t->id, name);
    memfile_entry_id(e, id);
    FUZZ_CHECK(strcmp(id, name) == 0, "entry %u is %s, not %s", n, id, name);
    FUZZ_CHECK(memfile_entry_content_length(e) == t->length, "entry %u", n);
    if (memfile_entry_content_is_detached(e))
        return;
    const char *got = memfile_entry_field(e, MEMFILE_TEXT, &length);
    text_of(t, text);
    FUZZ_CHECK(got && length == t->length && memcmp(got, text, length) == 0, "entry %u has another text", n);
}

static void check_ids(story *s, uint64_t as_of, unsigned entries)
{
    for (unsigned id = 0; id < IDS; id++) {
        const memfile_entry *e;
        char name[64];
        int n = newest(s, id, entries);
        name_of(id, name);
        int rc = memfile_get(s->mf, name, strlen(name), as_of, &e);
        FUZZ_CHECK(rc == (n < 0 ? MEMFILE_E_NOT_FOUND : MEMFILE_OK), "%s as of %llu: %d, %s", name,
                   (unsigned long long)as_of, rc, memfile_last_error(s->mf)->message);
        if (n >= 0) {
            FUZZ_CHECK(memfile_entry_number(e) == (uint64_t)n, "%s as of %llu is entry %llu, not %d", name,
                       (unsigned long long)as_of, (unsigned long long)memfile_entry_number(e), n);
            check_entry(s, e, (unsigned)n);
        }
    }
}

static void check_list(story *s, uint64_t as_of, unsigned entries, int reverse)
{
    memfile_filter f = MEMFILE_FILTER_INIT;
    memfile_cursor *cursor;
    const memfile_entry *e;
    unsigned n = reverse ? entries : 0;
    f.as_of = as_of;
    f.reverse = reverse;
    int rc = memfile_list(s->mf, &f, &cursor);
    FUZZ_CHECK(rc == MEMFILE_OK, "%d, %s", rc, memfile_last_error(s->mf)->message);
    while ((rc = memfile_cursor_next(cursor, &e)) == MEMFILE_OK) {
        do
            n = reverse ? n - 1 : n + 1;
        while (n <= entries && n > 0 && !is_live(s, reverse ? n : n - 1, entries));
        FUZZ_CHECK(memfile_entry_number(e) == (reverse ? n : n - 1), "entry %llu, not %u",
                   (unsigned long long)memfile_entry_number(e), reverse ? n : n - 1);
        check_entry(s, e, reverse ? n : n - 1);
    }
    FUZZ_CHECK(rc == MEMFILE_DONE, "%d, %s", rc, memfile_last_error(s->mf)->message);
    while (reverse ? n > 0 : n < entries) {
        n = reverse ? n - 1 : n + 1;
        FUZZ_CHECK(!is_live(s, reverse ? n : n - 1, entries), "entry %u is not listed", reverse ? n : n - 1);
    }
    memfile_cursor_close(cursor);
}

static void put(story *s, fuzz_input *in)
{
    static char text[70000];
    uint8_t what = fuzz_u8(in), shape = fuzz_u8(in);
    memfile_draft *d;
    memfile_put_result r;
    char name[64], key[16];
    unsigned n = s->committed + s->pending;
    if (n == ENTRIES_MAX)
        return;
    told_entry *t = &s->entries[n];
    t->id = what % IDS;
    t->letter = (uint8_t)(what + shape);
    t->key = shape % 4 == 0 ? 1 + what / IDS % 4 : 0;
    t->length = shape == 255 ? 40000 : (size_t)(shape & 15) * (shape & 64 ? 700 : 9);
    name_of(t->id, name);
    text_of(t, text);
    FUZZ_CHECK(memfile_draft_new(&d) == MEMFILE_OK, "memory");
    memfile_draft_set(d, MEMFILE_ID, name, strlen(name));
    memfile_draft_set(d, MEMFILE_TEXT, text, t->length);
    if (t->key) {
        snprintf(key, sizeof key, "key-%u", t->key);
        memfile_draft_set(d, MEMFILE_KEY, key, strlen(key));
    }
    if (shape & 32)
        memfile_draft_set(d, MEMFILE_KIND, "fact", 4);
    if (shape & 128)
        memfile_draft_add_tag(d, name, 2);
    int rc, before = newest(s, t->id, n);
    if (what & 128) { /* with a condition, which holds or does not */
        uint64_t expected = before < 0 ? UINT64_MAX : (uint64_t)before;
        bool holds = shape % 3 != 0;
        rc = memfile_put_if(s->mf, d, holds ? expected : 12345678, &r);
        FUZZ_CHECK(rc == (holds ? MEMFILE_OK : MEMFILE_E_CONFLICT), "put_if: %d, %s", rc,
                   memfile_last_error(s->mf)->message);
    } else {
        rc = memfile_put(s->mf, d, &r);
        FUZZ_CHECK(rc == MEMFILE_OK, "put: %d, %s", rc, memfile_last_error(s->mf)->message);
    }
    if (rc == MEMFILE_OK) {
        FUZZ_CHECK(r.entry == n && strcmp(r.id, name) == 0, "entry %llu %s, not %u %s", (unsigned long long)r.entry,
                   r.id, n, name);
        s->pending++;
    }
    memfile_draft_free(d);
}

static int commit(story *s)
{
    memfile_commit_result r;
    if (s->commits == COMMITS_MAX)
        return MEMFILE_DONE;
    int rc = memfile_commit(s->mf, &r);
    FUZZ_CHECK(rc == (s->pending ? MEMFILE_OK : MEMFILE_DONE), "commit: %d, %s", rc,
               memfile_last_error(s->mf)->message);
    if (rc == MEMFILE_OK) {
        s->committed += s->pending;
        s->pending = 0;
        FUZZ_CHECK(r.number == s->commits && r.entries == s->committed, "commit %llu with %llu entries",
                   (unsigned long long)r.number, (unsigned long long)r.entries);
        s->at_commit[s->commits++] = s->committed;
    }
    return rc;
}

/* Enough small commits for one that is FULL in between. */
static void commit_many(story *s)
{
    static const uint8_t same[] = {13, 3};
    for (int i = 0; i < 66; i++) {
        fuzz_input in = {same, sizeof same};
        put(s, &in);
        commit(s);
    }
}

static size_t size_of(const char *path)
{
    size_t size;
    free(fuzz_read(path, &size));
    return size;
}

/* The power fails during a commit: a beginning of what it wrote is there. */
static void crash(story *s, fuzz_input *in)
{
    uint32_t cut = fuzz_u16(in);
    size_t before = size_of(s->path);
    unsigned pending = s->pending;
    int rc = commit(s);
    memfile_close(s->mf);
    size_t after = size_of(s->path);
    if (rc == MEMFILE_OK && after > before) {
        size_t left = before + cut % (after - before);
        FUZZ_CHECK(truncate(s->path, (off_t)left) == 0, "truncate");
        s->commits--;
        s->committed -= pending;
    }
    s->pending = 0;
    open_file(s, MEMFILE_WRITE);
}

static void compact(story *s)
{
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_compact_result r;
    memfile_error e;
    o.compression_level = 3;
    o.lock_timeout_ms = 0;
    o.environment = &fuzz_environment;
    int rc = memfile_compact(s->path, &o, &r, &e);
    /* a batch holds the lock */
    FUZZ_CHECK(rc == (s->pending ? MEMFILE_E_BUSY : MEMFILE_OK), "compact: %d, %s", rc, e.message);
    if (rc == MEMFILE_OK)
        FUZZ_CHECK(r.entries == s->committed && r.commits == s->commits, "%llu entries in %llu commits",
                   (unsigned long long)r.entries, (unsigned long long)r.commits);
}

static void reopen(story *s)
{
    memfile_close(s->mf);
    s->pending = 0;
    open_file(s, MEMFILE_WRITE);
}

static void step(story *s, fuzz_input *in)
{
    uint8_t what = fuzz_u8(in);
    switch (what % 16) {
    case 8:
        if (what == 248)
            commit_many(s);
        else
            put(s, in);
        break;
    case 9: reopen(s); break;
    case 10:
        memfile_rollback(s->mf);
        s->pending = 0;
        break;
    case 11: crash(s, in); break;
    case 12:
        if (what / 16 % 4 == 0)
            compact(s);
        break;
    case 13:
        if (s->pending == 0) {
            int rc = memfile_refresh(s->mf);
            FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_DONE, "refresh: %d", rc);
            unsigned number = what / 16 % s->commits;
            check_ids(s, number, s->at_commit[number]);
            check_list(s, number, s->at_commit[number], what & 16);
        }
        break;
    case 14:
    case 15: commit(s); break;
    default: put(s, in);
    }
}

static void the_end(story *s)
{
    memfile_error e;
    fuzz_reading reading;
    reopen(s);
    check_ids(s, MEMFILE_NEWEST, s->committed);
    check_list(s, MEMFILE_NEWEST, s->committed, 0);
    check_list(s, MEMFILE_NEWEST, s->committed, 1);
    for (unsigned i = 0; i < s->commits; i += 1 + s->commits / 4)
        check_ids(s, i, s->at_commit[i]);
    memfile_close(s->mf);
    int rc = fuzz_verify(s->path, NULL, &e);
    /* the last crash leaves unfinished bytes if nothing followed it */
    FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_TRUNCATED, "verify: %d, %s", rc, e.message);
    fuzz_read_path(s->path, true, &reading);
    FUZZ_CHECK(reading.entries == s->committed, "%llu entries", (unsigned long long)reading.entries);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static story s;
    fuzz_input in = {data, size};
    memset(&s, 0, sizeof s);
    s.path = fuzz_path("story");
    fuzz_environment_reset(size);
    fuzz_remove(s.path);
    open_file(&s, MEMFILE_CREATE);
    s.commits = 1; /* the genesis */
    for (int i = 0; i < STEPS_MAX && in.left > 0; i++)
        step(&s, &in);
    the_end(&s);
    return 0;
}
