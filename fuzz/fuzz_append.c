/* fuzz_append: a mutated file is opened for writing, gets entries, a rollback and a commit,
 * and is read again. What was sound stays sound, what was committed is there. */
#include "life.h"

#define ENTRIES 3

static int put(memfile *mf, const char *id, const char *text, size_t length, memfile_put_result *r)
{
    memfile_draft *d;
    FUZZ_CHECK(memfile_draft_new(&d) == MEMFILE_OK, "memory");
    memfile_draft_set(d, MEMFILE_ID, id, strlen(id));
    memfile_draft_set(d, MEMFILE_TEXT, text, length);
    memfile_draft_set(d, MEMFILE_KIND, "note", 4);
    memfile_draft_add_tag(d, "fuzz", 4);
    int rc = memfile_put(mf, d, r);
    memfile_draft_free(d);
    return rc;
}

/* Puts, rolls back, puts again, commits. Returns what the commit did, or the failure. */
static int append(memfile *mf, size_t size, memfile_commit_result *done)
{
    static char text[60000];
    memfile_put_result r;
    memset(text, 'x', sizeof text);
    int rc = put(mf, "rolled-back", "gone", 4, &r);
    if (rc != MEMFILE_OK)
        return rc;
    memfile_rollback(mf);
    for (int i = 0; i < ENTRIES && rc == MEMFILE_OK; i++) {
        char id[16];
        snprintf(id, sizeof id, "fuzz-%d", i);
        /* the last is detached content now and then */
        rc = put(mf, id, text, i == 2 && size % 3 == 0 ? sizeof text : 10, &r);
    }
    return rc == MEMFILE_OK ? memfile_commit(mf, done) : rc;
}

static void find_appended(const char *path, const memfile_commit_result *done, bool sound)
{
    memfile_options o = fuzz_options();
    memfile_error e;
    const memfile_entry *entry;
    memfile *mf;
    int rc = memfile_open(path, MEMFILE_READ, &o, &mf, &e);
    FUZZ_CHECK(rc == MEMFILE_OK, "what was committed does not open: %d, %s", rc, e.message);
    for (int i = 0; i < ENTRIES; i++) {
        char id[16];
        snprintf(id, sizeof id, "fuzz-%d", i);
        rc = memfile_get(mf, id, strlen(id), MEMFILE_NEWEST, &entry);
        FUZZ_CHECK(rc == MEMFILE_OK || !sound, "%s: %d, %s", id, rc, memfile_last_error(mf)->message);
        FUZZ_CHECK(rc == MEMFILE_OK || fuzz_is_files_fault(rc), "%s: %d", id, rc);
        rc = memfile_get_entry(mf, done->entries - ENTRIES + (uint64_t)i, &entry);
        FUZZ_CHECK(rc == MEMFILE_OK || !sound, "committed entry %d: %d, %s", i, rc, memfile_last_error(mf)->message);
    }
    rc = memfile_get(mf, "rolled-back", 11, MEMFILE_NEWEST, &entry);
    FUZZ_CHECK(rc != MEMFILE_OK, "what was rolled back is there");
    memfile_close(mf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_take(data, size);
    memfile_options o = fuzz_options();
    memfile_error e;
    memfile_commit_result done;
    memfile_verify_result before;
    fuzz_reading reading;
    memfile *mf;
    const char *path = fuzz_path("appended");
    fuzz_write(path, data, size);
    int verdict = fuzz_verify(path, &before, NULL);
    bool sound = verdict == MEMFILE_OK || verdict == MEMFILE_E_TRUNCATED;
    o.strictness = (memfile_strictness)(size % 3);
    o.author = size % 2 ? "fuzzer" : NULL;
    int rc = memfile_open(path, MEMFILE_WRITE, &o, &mf, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || fuzz_is_files_fault(rc), "opening: %d, %s", rc, e.message);
    fuzz_verdict("open: %d, %s", rc, rc == MEMFILE_OK ? "" : e.message);
    FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_NEWER || verdict != MEMFILE_OK, "a sound file does not open: %d, %s",
               rc, e.message);
    if (rc != MEMFILE_OK)
        return 0;
    rc = append(mf, size, &done);
    FUZZ_CHECK(rc == MEMFILE_OK || fuzz_is_files_fault(rc) || rc == MEMFILE_E_MISUSE || rc == MEMFILE_E_CONFLICT,
               "appending: %d, %s", rc, memfile_last_error(mf)->message);
    FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_NEWER || verdict != MEMFILE_OK, "a sound file takes no entries: %d, %s", rc,
               memfile_last_error(mf)->message);
    fuzz_verdict("append: %d, %s", rc, rc == MEMFILE_OK ? "" : memfile_last_error(mf)->message);
    memfile_close(mf);
    if (rc != MEMFILE_OK)
        return 0;
    int after = fuzz_verify(path, NULL, &e);
    FUZZ_CHECK(!sound || after == MEMFILE_OK, "was sound (%d) before the append: %d, %s", verdict, after, e.message);
    find_appended(path, &done, sound);
    fuzz_read_path(path, sound, &reading);
    FUZZ_CHECK(!sound || reading.cut || reading.entries == before.entries + ENTRIES, "%llu entries, %llu before",
               (unsigned long long)reading.entries, (unsigned long long)before.entries);
    return 0;
}
