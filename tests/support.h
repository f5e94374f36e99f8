/* support: what all tests share. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <dirent.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "memfile.h"

#ifdef _WIN32
#include "support_windows.h"
#endif
#include "checksum.h"
#include "edge.h"
#include "header.h"
#include "segment.h"
#include "store.h"

/* A path in the test's own temporary folder; static, valid until the next call but three. */
static inline const char *temp_path(const char *name)
{
    static char paths[4][256], folder[128];
    static int next;
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/memfile-test-XXXXXX");
        if (!mkdtemp(folder))
            abort();
    }
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* xorshift: the same numbers every time */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline memfile *create_file(const char *path)
{
    memfile *mf;
    memfile_error e;
    unlink(path);
    if (memfile_open(path, MEMFILE_CREATE, NULL, &mf, &e) != MEMFILE_OK)
        fail_msg("create: %s", e.message);
    return mf;
}

static inline memfile *open_file(const char *path, memfile_mode mode)
{
    memfile *mf;
    memfile_error e;
    if (memfile_open(path, mode, NULL, &mf, &e) != MEMFILE_OK)
        fail_msg("open: %s", e.message);
    return mf;
}

static inline uint64_t put_text(memfile *mf, const char *id, const char *text)
{
    memfile_draft *d;
    memfile_put_result r;
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    if (id)
        memfile_draft_set(d, MEMFILE_ID, id, strlen(id));
    memfile_draft_set(d, MEMFILE_TEXT, text, strlen(text));
    if (memfile_put(mf, d, &r) != MEMFILE_OK)
        fail_msg("put: %s", memfile_last_error(mf)->message);
    memfile_draft_free(d);
    return r.entry;
}

static inline int put_json(memfile *mf, const char *json, memfile_put_result *r)
{
    memfile_draft *d;
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    int rc = memfile_draft_parse_json(d, json, strlen(json), NULL);
    if (rc == MEMFILE_OK)
        rc = memfile_put(mf, d, r);
    memfile_draft_free(d);
    return rc;
}

static inline void commit_ok(memfile *mf)
{
    if (memfile_commit(mf, NULL) != MEMFILE_OK)
        fail_msg("commit: %s", memfile_last_error(mf)->message);
}

static inline int verify_path(const char *path, memfile_verify_result *r)
{
    memfile_verify_result unused;
    return memfile_verify(path, NULL, r ? r : &unused, NULL);
}

static inline uint8_t *read_file(const char *path, size_t *length)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot read %s", path);
    fseek(f, 0, SEEK_END);
    *length = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = (uint8_t *)malloc(*length + 1);
    if (fread(bytes, 1, *length, f) != *length)
        fail_msg("short read of %s", path);
    fclose(f);
    return bytes;
}

static inline void write_file(const char *path, const uint8_t *bytes, size_t length)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, length, f) != length || fclose(f) != 0)
        fail_msg("cannot write %s", path);
}

static inline void assert_text(memfile *mf, const char *id, const char *text)
{
    const memfile_entry *e;
    size_t n;
    if (memfile_get(mf, id, strlen(id), MEMFILE_NEWEST, &e) != MEMFILE_OK)
        fail_msg("get %s: %s", id, memfile_last_error(mf)->message);
    const char *got = memfile_entry_field(e, MEMFILE_TEXT, &n);
    assert_non_null(got);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
}

/* How many names in the folder of `path` contain its name. */
static inline int names_like(const char *path)
{
    char folder[256];
    const char *name = strrchr(path, '/') + 1;
    int count = 0;
    snprintf(folder, sizeof folder, "%.*s", (int)(name - path), path);
    DIR *d = opendir(folder);
    if (!d)
        fail_msg("cannot read %s", folder);
    for (struct dirent *entry; (entry = readdir(d));)
        count += strstr(entry->d_name, name) != NULL;
    closedir(d);
    return count;
}

/* ---- looking inside */

/* Headers of all segments of a sound file without voids; returns how many. */
static inline size_t segments_of(const uint8_t *bytes, size_t length, mf_segment *out, size_t room)
{
    size_t count = 0;
    memfile_error e;
    for (uint64_t at = MF_HEADER_LENGTH; at < length; at += mf_segment_total(&out[count++])) {
        assert_true(count < room);
        if (mf_segment_decode(&out[count], bytes + at, at, mf_load32(bytes + 32), &e) != MEMFILE_OK)
            fail_msg("no segment at %llu: %s", (unsigned long long)at, e.message);
    }
    return count;
}

/* Makes the checksums of a segment right again, so that only its meaning is wrong. */
static inline void reseal(uint8_t *segment)
{
    mf_store64(segment + 48, mf_checksum(segment + MF_SEGMENT_HEADER_LENGTH, mf_load32(segment + 8)));
    mf_store64(segment + 56, mf_checksum(segment, 56));
}

/* A store over bytes that stay the caller's. */
static inline int store_of_memory(mf_store *store, const void *bytes, size_t length, size_t cache, memfile_error *e)
{
    mf_io *io;
    assert_int_equal(mf_io_memory_open(&mf_mem_default, bytes, length, &io, e), MEMFILE_OK);
    return mf_store_open(store, io, &mf_mem_default, cache, NULL, e);
}

#endif
