/* fuzz_content: content of any length put as a stream and read as a stream, in pieces of
 * any size; a batch with invalid text is refused until it is rolled back (SPEC 11). Input: u8
 * what, u24 length, u16 size of a piece to write, u16 to read, bytes that repeat. */
#include "life.h"

#define LENGTH_MAX ((size_t)700 << 10)

static void fill(uint8_t *content, size_t length, mf_slice pattern, uint8_t what)
{
    for (size_t i = 0; i < length; i++)
        content[i] = pattern.length ? pattern.data[i % pattern.length] : 'a';
    /* so that chunks differ */
    for (size_t i = 0; (what & 2) && i + 8 <= length; i += 4096)
        for (size_t k = 0; k < 8; k++)
            content[i + k] = (uint8_t)('a' + (i >> (12 + 4 * (k & 3)) & 15));
}

static int put_stream(memfile *mf, const char *id, bool is_text, const uint8_t *content, size_t length, size_t piece)
{
    memfile_draft *d;
    memfile_put_result r;
    FUZZ_CHECK(memfile_draft_new(&d) == MEMFILE_OK, "memory");
    memfile_draft_set(d, MEMFILE_ID, id, strlen(id));
    int rc = memfile_put_begin(mf, d, is_text);
    FUZZ_CHECK(rc == MEMFILE_OK, "begin: %d, %s", rc, memfile_last_error(mf)->message);
    for (size_t at = 0; at < length && rc == MEMFILE_OK; at += piece)
        rc = memfile_put_write(mf, content + at, length - at < piece ? length - at : piece);
    if (rc == MEMFILE_OK)
        rc = memfile_put_end(mf, &r);
    memfile_draft_free(d);
    return rc;
}

static void read_back(memfile *mf, const char *id, const uint8_t *content, size_t length, size_t piece)
{
    const memfile_entry *e;
    memfile_content *c;
    uint8_t *got = (uint8_t *)fuzz_alloc(piece);
    size_t at = 0, n;
    int rc = memfile_get(mf, id, strlen(id), MEMFILE_NEWEST, &e);
    FUZZ_CHECK(rc == MEMFILE_OK, "%s: %d, %s", id, rc, memfile_last_error(mf)->message);
    FUZZ_CHECK(memfile_entry_content_length(e) == length, "%llu bytes, not %zu",
               (unsigned long long)memfile_entry_content_length(e), length);
    FUZZ_CHECK((length > 32768) == memfile_entry_content_is_detached(e), "%zu bytes", length);
    rc = memfile_content_open(mf, e, &c);
    FUZZ_CHECK(rc == MEMFILE_OK, "%s: %d, %s", id, rc, memfile_last_error(mf)->message);
    do {
        rc = memfile_content_read(c, got, piece, &n);
        FUZZ_CHECK(rc == MEMFILE_OK && n <= piece, "at %zu: %d", at, rc);
        FUZZ_CHECK(at + n <= length && memcmp(got, content + at, n) == 0, "other bytes at %zu of %zu", at, length);
        at += n;
    } while (n > 0);
    FUZZ_CHECK(at == length, "%zu of %zu bytes", at, length);
    memfile_content_close(c);
    free(got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    memfile_options o = fuzz_options();
    memfile_error e;
    memfile *mf;
    const char *path = fuzz_path("content");
    uint8_t what = fuzz_u8(&in);
    size_t length = fuzz_u16(&in), write_piece, read_piece;
    length = (length | (size_t)fuzz_u8(&in) << 16) % LENGTH_MAX;
    write_piece = fuzz_u16(&in) + 1 + length / 100;
    read_piece = fuzz_u16(&in) + 1 + length / 100;
    mf_slice pattern = fuzz_bytes(&in, 4096);
    bool is_text = what & 1;
    uint8_t *content = (uint8_t *)fuzz_alloc(length);
    fill(content, length, pattern, what);
    bool fits = !is_text || mf_utf8_valid(content, length);
    fuzz_environment_reset(size);
    fuzz_remove(path);
    int rc = memfile_open(path, MEMFILE_CREATE, &o, &mf, &e);
    FUZZ_CHECK(rc == MEMFILE_OK, "%d, %s", rc, e.message);
    FUZZ_CHECK(put_stream(mf, "before", true, (const uint8_t *)"small", 5, 2) == MEMFILE_OK, "small content");
    rc = put_stream(mf, "large", is_text, content, length, write_piece);
    FUZZ_CHECK(rc == (fits ? MEMFILE_OK : MEMFILE_E_INVALID), "%d: %s", rc, memfile_last_error(mf)->message);
    if (!fits) { /* some of it may be in the batch */
        memfile_rollback(mf);
        FUZZ_CHECK(put_stream(mf, "before", true, (const uint8_t *)"small", 5, 2) == MEMFILE_OK, "again");
    }
    if ((what & 4) && fits)
        FUZZ_CHECK(put_stream(mf, "same", is_text, content, length, length + 1) == MEMFILE_OK, "the same content");
    FUZZ_CHECK(memfile_commit(mf, NULL) == MEMFILE_OK, "%s", memfile_last_error(mf)->message);
    if (fits)
        read_back(mf, "large", content, length, read_piece);
    memfile_close(mf);
    if (what & 8) {
        fuzz_reading reading;
        FUZZ_CHECK(fuzz_verify(path, NULL, &e) == MEMFILE_OK, "%s", e.message);
        fuzz_read_path(path, true, &reading);
        FUZZ_CHECK(reading.entries == 1u + fits + ((what & 4) && fits), "%llu entries",
                   (unsigned long long)reading.entries);
    }
    free(content);
    return 0;
}
