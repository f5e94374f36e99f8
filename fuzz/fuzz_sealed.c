/* fuzz_sealed: a sealed file that somebody changed who has no key, with every checksum right. With the key nothing is
 * given that nobody with the key wrote: seeds have entries of sealed_text.h alone. From outside nothing is given, and
 * verify finds whatever it finds with the key. */
#include "life.h"
#include "sealed_text.h"

static void check_content(memfile *mf, const memfile_entry *e, unsigned number)
{
    static char piece[70000];
    memfile_content *c;
    size_t n, at = 0;
    if (memfile_content_open(mf, e, &c) != MEMFILE_OK)
        return;
    while (memfile_content_read(c, piece, sizeof piece, &n) == MEMFILE_OK && n > 0)
        for (size_t i = 0; i < n; i++, at++)
            FUZZ_CHECK(piece[i] == sealed_letter(number, at), "content of s%u at %zu", number, at);
    memfile_content_close(c);
}

static void check_entry(memfile *mf, const memfile_entry *e)
{
    char id[256];
    unsigned number;
    memfile_entry_id(e, id);
    FUZZ_CHECK(sscanf(id, "s%u", &number) == 1 && number < SEALED_NUMBERS, "an entry with the id %s", id);
    FUZZ_CHECK(memfile_entry_content_length(e) == sealed_length(number), "s%u of %llu bytes", number,
               (unsigned long long)memfile_entry_content_length(e));
    check_content(mf, e, number);
}

static void read_inside(const uint8_t *data, size_t size)
{
    memfile_options o = fuzz_options();
    memfile_filter f = MEMFILE_FILTER_INIT;
    memfile_error e;
    memfile_cursor *cursor;
    const memfile_entry *entry;
    memfile *mf;
    f.all = 1;
    int rc = memfile_open_memory(data, size, &o, &mf, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || fuzz_is_files_fault(rc), "%d, %s", rc, e.message);
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    if (rc != MEMFILE_OK)
        return;
    if (memfile_list(mf, &f, &cursor) == MEMFILE_OK) {
        while (memfile_cursor_next(cursor, &entry) == MEMFILE_OK)
            check_entry(mf, entry);
        memfile_cursor_close(cursor);
    }
    for (unsigned i = 0; i < SEALED_NUMBERS; i += 1 + i / 4) {
        char id[16];
        size_t n = (size_t)snprintf(id, sizeof id, "s%u", i);
        if (memfile_get(mf, id, n, MEMFILE_NEWEST, &entry) == MEMFILE_OK)
            check_entry(mf, entry);
    }
    memfile_close(mf);
}

static int count(void *context, const memfile_commit_info *commit)
{
    (void)context, (void)commit;
    return MEMFILE_OK;
}

static void read_outside(const uint8_t *data, size_t size)
{
    memfile_options o = fuzz_options();
    memfile_error e;
    memfile_info info;
    memfile_cursor *cursor;
    const memfile_entry *entry;
    memfile_receipt receipt;
    uint64_t number;
    memfile *mf;
    o.unlock.identity = NULL;
    o.without_key = 1;
    int rc = memfile_open_memory(data, size, &o, &mf, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || fuzz_is_files_fault(rc), "%d, %s", rc, e.message);
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    if (rc != MEMFILE_OK)
        return;
    FUZZ_CHECK(memfile_get_info(mf, &info, sizeof info) == MEMFILE_OK, "info");
    FUZZ_CHECK(info.outside && info.entries == 0 && info.commits == 0, "info tells what only the key tells");
    FUZZ_CHECK(memfile_list(mf, NULL, &cursor) == MEMFILE_E_KEY && memfile_log(mf, count, NULL) == MEMFILE_E_KEY &&
                   memfile_get(mf, "s0", 2, MEMFILE_NEWEST, &entry) == MEMFILE_E_KEY &&
                   memfile_get_entry(mf, 0, &entry) == MEMFILE_E_KEY &&
                   memfile_find_commit(mf, "0", &number) == MEMFILE_E_KEY &&
                   memfile_receipt_take(mf, &receipt) == MEMFILE_E_KEY,
               "something is given without the key");
    memfile_close(mf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_path("sealed");
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result r;
    memfile_error e;
    fuzz_take(data, size);
    if (!fuzz_unlock_taken().identity)
        return 0;
    uint8_t *copy = fuzz_copy(data, size);
    read_inside(copy, size);
    read_outside(copy, size);
    free(copy);
    fuzz_write(path, data, size);
    o.without_key = 1;
    int outside = memfile_verify(path, &o, &r, &e);
    FUZZ_CHECK(outside == MEMFILE_OK || fuzz_is_files_fault(outside), "from outside: %d, %s", outside, e.message);
    int inside = fuzz_verify(path, &r, NULL);
    fuzz_verdict("inside %d, outside %d: %s", inside, outside, outside == MEMFILE_OK ? "" : e.message);
    FUZZ_CHECK(inside != MEMFILE_OK || outside == MEMFILE_OK, "sound, but from outside: %d, %s", outside, e.message);
    return 0;
}
