/* make_corpus: writes the first inputs of all targets below the folder given: small files
 * with everything in them, and their heads, blocks, pages and entries one by one. Always
 * the same for one release of zstd. */
#include "fuzz.h"

#include <sys/stat.h>
#include <unistd.h>

#include "block.h"
#include "commit.h"
#include "draft.h"
#include "keys.h"
#include "repair.h"
#include "sealed_text.h"
#include "segment.h"

static const char *folder;
static const char *const entries[] = {
    "{\"id\":\"a\",\"kind\":\"note\",\"scope\":[\"s\",\"t\"],\"time\":\"2023-11-14T22:13:20Z\",\"text\":\"Tea.\"}",
    "{\"id\":\"0190a5d0-0000-7000-8000-000000000001\",\"text\":\"Not coffee.\",\"links\":[{\"rel\":\"to\",\"to\":\"a\"}],"
    "\"pinned\":true,\"tags\":[\"x\",\"y\"]}",
    "{\"id\":\"b1b2\",\"data\":\"AAEC/w==\",\"media_type\":\"application/x\",\"title\":\"t\",\"confidence\":0.5,"
    "\"importance\":3}",
    "{\"id\":\"b1b3\",\"text\":\"\",\"key\":\"k\",\"scope\":[\"s\"],\"expires\":\"2020-01-01T00:00:00.5Z\",\"meta\":"
    "{\"a\":[1,-2.5,null,true],\"b\":{\"c\":\"d\"}}}",
    "{\"id\":\"b1b4\",\"text\":\"again\",\"key\":\"k\",\"scope\":[\"s\"],\"time\":\"2024-02-29T23:59:59.123456789Z\","
    "\"own\":1e300,\"@40\":[18446744073709551615,-18446744073709551616]}",
    "{\"id\":\"v\",\"text\":\"vector\",\"embedding\":{\"space\":\"e\",\"values\":[0.5,-1.25,3]},\"idempotency_key\":\"i\"}",
    "{\"id\":\"w\",\"text\":\"vector\",\"embedding\":{\"space\":\"e\",\"values\":[0.1234567890123,-1,3]},\"model\":\"m\"}",
    "{\"id\":\"a\",\"text\":\"more \\u00e4\\ud83d\\ude00\\n\",\"supersedes\":"
    "[\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"],\"derived_from\":[\"b1b2\","
    "\"0190a5d0-0000-7000-8000-000000000001\"],\"source\":null,\"actor\":\"n\",\"session\":\"s\",\"status\":\"done\","
    "\"recorded\":\"2020-01-01T00:00:00Z\",\"valid_from\":\"2020-01-01T00:00:00Z\",\"valid_to\":null}",
};
#define ENTRIES (sizeof entries / sizeof *entries)
static const char forget[] = "{\"id\":\"a\",\"op\":\"forget\",\"reason\":\"asked\"}";

static void save(const char *target, const char *name, const void *data, size_t size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, target);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s", folder, target, name);
    fuzz_write(path, data, size);
}

static void must(int rc, const char *what)
{
    if (rc != MEMFILE_OK)
        fuzz_fail(__FILE__, __LINE__, what, "%d", rc);
}

/* ---- files */

static memfile *begin(const char *path, memfile_mode mode, const char *author)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile_error e;
    memfile *mf;
    o.environment = &fuzz_environment;
    o.author = author;
    if (mode == MEMFILE_CREATE) {
        fuzz_environment_reset(1);
        fuzz_remove(path);
    }
    must(memfile_open(path, mode, &o, &mf, &e), "open");
    return mf;
}

static void put_json(memfile *mf, const char *json)
{
    memfile_draft *d;
    memfile_error e;
    must(memfile_draft_new(&d), "draft");
    must(memfile_draft_parse_json(d, json, strlen(json), &e), json);
    if (memfile_put(mf, d, NULL) != MEMFILE_OK)
        fuzz_fail(__FILE__, __LINE__, json, "%s", memfile_last_error(mf)->message);
    memfile_draft_free(d);
}

static void put_text(memfile *mf, const char *id, memfile_field field, const char *text, size_t length)
{
    memfile_draft *d;
    must(memfile_draft_new(&d), "draft");
    memfile_draft_set(d, MEMFILE_ID, id, strlen(id));
    memfile_draft_set(d, field, text, length);
    memfile_draft_set(d, MEMFILE_KIND, "note", 4);
    must(memfile_put(mf, d, NULL), "put");
    memfile_draft_free(d);
}

static void commit(memfile *mf)
{
    must(memfile_commit(mf, NULL), "commit");
}

static void keep(const char *path, const char *name)
{
    size_t size;
    uint8_t *bytes = fuzz_read(path, &size);
    save("file", name, bytes, size);
    free(bytes);
}

/* `count` small entries, a commit after each `batch`. */
static void put_many(memfile *mf, int count, int batch)
{
    for (int i = 0; i < count; i++) {
        char id[32], text[64];
        snprintf(id, sizeof id, i % 3 ? "m%d" : "0190a5d0-0000-7000-8000-%012x", i % (count - 3));
        snprintf(text, sizeof text, "text number %d", i);
        put_text(mf, id, MEMFILE_TEXT, text, strlen(text));
        if (i % batch == batch - 1)
            commit(mf);
    }
}

static void put_long(memfile *mf, const char *id, memfile_field field, size_t length)
{
    char *text = (char *)fuzz_alloc(length);
    for (size_t i = 0; i < length; i++)
        text[i] = (char)('a' + i / 1000 % 20);
    put_text(mf, id, field, text, length);
    free(text);
}

/* Enough text for a dictionary, which is then used. */
static void put_for_dictionary(memfile *mf)
{
    static const char words[] = "the quick brown fox jumps over the lazy dog and goes on its way home, where tea is waiting for it; ";
    for (int i = 0; i < 300; i++) {
        char id[16], text[512];
        snprintf(id, sizeof id, "d%d", i);
        snprintf(text, sizeof text, "%d: %.*s%s %d, then %s", i, 20 + i % 60, words + i % 20, words, i * 7, words);
        put_text(mf, id, MEMFILE_TEXT, text, strlen(text));
    }
    commit(mf);
    put_text(mf, "small", MEMFILE_TEXT, words, strlen(words));
    commit(mf);
}

static void compact(const char *path)
{
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_error e;
    o.environment = &fuzz_environment;
    must(memfile_compact(path, &o, NULL, &e), "compact");
}

/* `bytes` at the end that are no commit. */
static void tear(const char *path, size_t bytes)
{
    size_t size;
    uint8_t *all = fuzz_read(path, &size);
    uint8_t *more = (uint8_t *)fuzz_alloc(size + bytes);
    memcpy(more, all, size);
    memset(more + size, 0, bytes);
    memcpy(more + size, all + MF_HEADER_LENGTH, bytes / 2 < size - MF_HEADER_LENGTH ? bytes / 2 : size - MF_HEADER_LENGTH);
    fuzz_write(path, more, size + bytes);
    free(all);
    free(more);
}

static void make_damaged(const char *path)
{
    size_t size;
    uint8_t *all = fuzz_read(path, &size);
    uint8_t *changed = (uint8_t *)fuzz_alloc(size + 24);
    memcpy(changed, all, size);
    memset(changed, 0, 20);
    save("file", "header-gone", changed, size);
    memcpy(changed, all, 200);
    memset(changed + 200, 7, 13);
    memcpy(changed + 213, all + 200, size - 200);
    save("file", "bytes-put-in", changed, size + 13);
    memcpy(changed + 400, all + 424, size - 424);
    memcpy(changed, all, 400);
    save("file", "bytes-cut-out", changed, size - 24);
    free(all);
    free(changed);
}

static void make_files(void)
{
    const char *path = fuzz_path("seed");
    memfile *mf = begin(path, MEMFILE_CREATE, NULL);
    memfile_close(mf);
    keep(path, "genesis");
    mf = begin(path, MEMFILE_CREATE, NULL);
    for (size_t i = 0; i < ENTRIES; i++)
        put_json(mf, entries[i]);
    commit(mf);
    memfile_close(mf);
    keep(path, "one-commit");
    mf = begin(path, MEMFILE_CREATE, "somebody");
    for (size_t i = 0; i < ENTRIES; i++) {
        put_json(mf, entries[i]);
        if (i % 2)
            commit(mf);
    }
    memfile_close(mf);
    keep(path, "few-commits");
    make_damaged(path);
    tear(path, 300);
    keep(path, "torn");
    mf = begin(path, MEMFILE_WRITE, NULL);
    put_json(mf, entries[0]);
    commit(mf);
    memfile_close(mf);
    keep(path, "void");
    compact(path);
    keep(path, "compacted");
    mf = begin(path, MEMFILE_WRITE, "another");
    put_json(mf, entries[3]);
    commit(mf);
    put_json(mf, entries[6]);
    commit(mf);
    memfile_close(mf);
    keep(path, "compacted-and-more");
    mf = begin(path, MEMFILE_CREATE, NULL);
    put_many(mf, 70, 1);
    memfile_close(mf);
    keep(path, "many-commits");
    mf = begin(path, MEMFILE_CREATE, NULL);
    put_many(mf, 330, 110);
    memfile_close(mf);
    keep(path, "records-and-runs");
    compact(path);
    keep(path, "records-compacted");
    mf = begin(path, MEMFILE_CREATE, NULL);
    put_long(mf, "long", MEMFILE_TEXT, 40000);
    put_long(mf, "data", MEMFILE_DATA, 300000);
    commit(mf);
    put_long(mf, "same", MEMFILE_TEXT, 40000);
    commit(mf);
    memfile_close(mf);
    keep(path, "content");
    compact(path);
    keep(path, "content-compacted");
    mf = begin(path, MEMFILE_CREATE, NULL);
    put_for_dictionary(mf);
    memfile_close(mf);
    keep(path, "dictionary");
    compact(path);
    keep(path, "dictionary-compacted");
    fuzz_remove(path);
}

/* ---- sealed files */

static memfile_seal_for for_identity(int padded)
{
    static const char *recipients[1];
    recipients[0] = fuzz_recipient();
    return (memfile_seal_for){NULL, 0, 0, 0, recipients, 1, padded};
}

static memfile *begin_sealed(const char *path, memfile_mode mode)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile_error e;
    memfile *mf;
    o.environment = &fuzz_environment;
    o.unlock.identity = fuzz_identity();
    if (mode == MEMFILE_CREATE) {
        fuzz_environment_reset(2);
        fuzz_remove(path);
        o.seal_for = for_identity(0);
    }
    must(memfile_open(path, mode, &o, &mf, &e), "open");
    return mf;
}

static void put_sealed(memfile *mf, unsigned from, unsigned to)
{
    static char text[70000];
    char id[16];
    for (unsigned n = from; n < to; n++) {
        for (size_t i = 0; i < sealed_length(n); i++)
            text[i] = sealed_letter(n, i);
        snprintf(id, sizeof id, "s%u", n);
        put_text(mf, id, MEMFILE_TEXT, text, sealed_length(n));
    }
    commit(mf);
}

static void rekey_sealed(const char *path, int padded)
{
    memfile_rekey_options o = MEMFILE_REKEY_OPTIONS_INIT;
    memfile_error e;
    o.environment = &fuzz_environment;
    o.unlock.identity = fuzz_identity();
    o.seal_for = for_identity(padded);
    must(memfile_rekey(path, &o, &e), "rekey");
}

static void compact_sealed(const char *path)
{
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_error e;
    o.environment = &fuzz_environment;
    o.unlock.identity = fuzz_identity();
    must(memfile_compact(path, &o, NULL, &e), "compact");
}

static void keep_sealed(const char *path, const char *name)
{
    size_t size;
    uint8_t *bytes = fuzz_read(path, &size);
    save("sealed", name, bytes, size);
    free(bytes);
}

static void make_sealed(void)
{
    const char *path = fuzz_path("sealed-seed");
    memfile *mf = begin_sealed(path, MEMFILE_CREATE);
    keep_sealed(path, "genesis");
    for (unsigned n = 0; n < 6; n++) {
        put_sealed(mf, n, n + 1);
        if (n % 2 == 1)
            rekey_sealed(path, n == 3);
    }
    memfile_close(mf);
    keep_sealed(path, "keys-and-commits");
    tear(path, 300);
    mf = begin_sealed(path, MEMFILE_WRITE);
    put_sealed(mf, 6, 7);
    put_sealed(mf, 0, 1);
    memfile_close(mf);
    keep_sealed(path, "void");
    compact_sealed(path);
    mf = begin_sealed(path, MEMFILE_WRITE);
    put_sealed(mf, 7, 8);
    memfile_close(mf);
    keep_sealed(path, "compacted-and-more");
    mf = begin_sealed(path, MEMFILE_CREATE);
    put_sealed(mf, 0, 130);
    rekey_sealed(path, 1);
    put_sealed(mf, 130, 260);
    put_sealed(mf, 0, 2);
    memfile_close(mf);
    keep_sealed(path, "records");
    compact_sealed(path);
    keep_sealed(path, "records-compacted");
    mf = begin_sealed(path, MEMFILE_CREATE);
    put_sealed(mf, SEALED_LARGE, SEALED_LARGE + 1);
    put_sealed(mf, 1, 3);
    memfile_close(mf);
    keep_sealed(path, "content");
    fuzz_remove(path);
}

/* Every data key is the one that fuzz_keys knows. */
static void random_or_key(void *context, void *out, size_t length)
{
    static const uint8_t data_key[32] = {1, 2, 3};
    if (length == sizeof data_key)
        memcpy(out, data_key, sizeof data_key);
    else
        fuzz_environment.random(context, out, length);
}

/* Heads of key slots behind a byte that says how fuzz_keys takes them. */
static void save_keys(const char *name, const mf_slots *slots, uint32_t epochs)
{
    memfile_error e;
    mf_secret *passphrase;
    mf_buffer head;
    uint8_t header[MF_HEADER_LENGTH] = {1, 2, 3};
    mf_seal seal = {.sealed = true, .environment = fuzz_environment};
    seal.environment.random = random_or_key;
    must(mf_secret_of_passphrase(&mf_mem_default, FUZZ_PASSPHRASE, strlen(FUZZ_PASSPHRASE), &passphrase, &e), "passphrase");
    mf_buffer_init(&head, &mf_mem_default);
    for (uint32_t i = 0; i < epochs; i++) {
        mf_buffer_clear(&head);
        mf_put_u8(&head, slots->kind == MF_SLOT_RECIPIENTS);
        mf_buffer only;
        mf_buffer_init(&only, &mf_mem_default);
        must(mf_keys_make(&only, slots, passphrase, header, i ? header : NULL, &seal, &e), "keys");
        mf_put_bytes(&head, only.data, only.length);
        mf_buffer_free(&only);
    }
    save("keys", name, head.data, head.length);
    mf_buffer_free(&head);
    mf_seal_clear(&seal);
    mf_secret_free(passphrase);
}

static void make_keys(void)
{
    memfile_error e;
    memfile_key_kind kind;
    mf_slots slots = {.kind = MF_SLOT_PASSPHRASE, .passes = 1, .memory_kib = 8};
    fuzz_environment_reset(3);
    save_keys("passphrase", &slots, 1);
    save_keys("passphrase-3", &slots, 3);
    memset(&slots, 0, sizeof slots);
    slots.kind = MF_SLOT_RECIPIENTS;
    slots.recipients = 1;
    must(memfile_public_parse(fuzz_recipient(), strlen(fuzz_recipient()), &kind, slots.recipient[0], &e), "recipient");
    save_keys("recipient", &slots, 1);
    slots.padded = true;
    slots.recipients = 3;
    memcpy(slots.recipient[1], slots.recipient[0], 32);
    memcpy(slots.recipient[2], slots.recipient[0], 32);
    save_keys("recipients-4", &slots, 4);
}

/* ---- what stands in files */

static mf_buffer buffer;

static void save_buffer(const char *target, const char *name)
{
    save(target, name, buffer.data, buffer.length);
    mf_buffer_clear(&buffer);
}

/* Blocks and their entries, as fuzz_block and fuzz_record want them. */
static void save_block(const char *name, mf_slice columns, const uint8_t *content)
{
    mf_arena arena;
    mf_block block;
    mf_buffer core;
    mf_arena_init(&arena, &mf_mem_default);
    mf_buffer_init(&core, &mf_mem_default);
    must(mf_block_parse(&block, columns, &arena), "block");
    mf_block_set_content(&block, content);
    mf_put_string(&buffer, columns);
    mf_put_bytes(&buffer, content, block.content_length);
    save_buffer("block", name);
    for (uint32_t row = 0; row < block.rows && row < 16; row++) {
        mf_buffer_clear(&core);
        must(mf_block_core(&block, row, &core), "core");
        mf_put_string(&buffer, mf_slice_of(core.data, core.length));
    }
    save_buffer("record", name);
    mf_buffer_free(&core);
    mf_arena_free(&arena);
}

static void save_segment(const char *file, unsigned number, const mf_segment *s, const uint8_t *raw)
{
    memfile_error e;
    mf_slice head, stored;
    mf_compressor compressor;
    char name[128];
    snprintf(name, sizeof name, "%s-%u", file, number);
    must(mf_segment_split(s, raw, &head, &stored, &e), "split");
    if (mf_segment_total(s) < 5000)
        save("segment", name, raw, (size_t)mf_segment_total(s));
    uint8_t *content = (uint8_t *)fuzz_alloc(s->raw_length);
    mf_compressor_init(&compressor);
    int rc = s->codec == MF_CODEC_ZSTD_DICTIONARY ? -1 : mf_segment_content(s, stored, &compressor, NULL, content, &e);
    if (s->type == MF_TYPE_INDEX)
        save("page", name, head.data, head.length);
    if (s->type == MF_TYPE_HISTORY)
        save("history", name, head.data, head.length);
    if (s->type == MF_TYPE_RECORDS && rc == 0 && s->raw_length < 5000) {
        mf_cursor c = mf_cursor_of(head.data, head.length);
        mf_get_varint(&c);
        save_block(name, mf_slice_of(c.at, mf_cursor_left(&c)), content);
    }
    if (s->type == MF_TYPE_COMMIT) {
        mf_commit k;
        must(mf_commit_decode(&k, head, NULL, &mf_mem_default, s->offset, &e), "commit");
        save("commit", name, head.data, head.length);
        if (k.flags & MF_COMMIT_INLINE && rc == 0)
            save_block(name, k.columns, content);
    }
    if (s->codec == MF_CODEC_ZSTD && s->raw_length < 65536 && stored.length < 4000) { /* a frame without dictionary */
        static const uint8_t none[3] = {0, 0, 0};
        mf_put_bytes(&buffer, none, 3);
        mf_put_u8(&buffer, (uint8_t)s->raw_length);
        mf_put_u8(&buffer, (uint8_t)(s->raw_length >> 8));
        mf_put_u8(&buffer, 0);
        mf_put_bytes(&buffer, stored.data, stored.length);
        save_buffer("compress", name);
    }
    mf_compressor_free(&compressor);
    free(content);
}

static void take_apart(const char *name, unsigned from, unsigned count)
{
    char path[4096];
    size_t size;
    memfile_error e;
    unsigned number = 0;
    snprintf(path, sizeof path, "%s/file/%s", folder, name);
    uint8_t *bytes = fuzz_read(path, &size);
    for (uint64_t at = MF_HEADER_LENGTH; at < size; number++) {
        mf_segment s;
        must(mf_segment_decode(&s, bytes + at, at, mf_load32(bytes + 32), &e), "segment");
        if (number >= from && number < from + count)
            save_segment(name, number, &s, bytes + at);
        at += mf_segment_total(&s);
    }
    save("header", name, bytes, MF_HEADER_LENGTH);
    free(bytes);
}

/* ---- the rest */

/* Plaintexts of sealed segments behind the four bytes that fuzz_seal takes. */
static void make_plaintexts(void)
{
    static const uint8_t types[] = {MF_TYPE_RECORDS, MF_TYPE_CHUNK, MF_TYPE_INDEX, MF_TYPE_COMMIT, MF_TYPE_KEYS, 77};
    for (size_t i = 0; i < sizeof types; i++) {
        char name[32];
        bool is_commit = types[i] == MF_TYPE_COMMIT;
        mf_put_u8(&buffer, is_commit ? MF_FLAG_COMMIT : 0);
        mf_put_u8(&buffer, (uint8_t)(64 + 30 * i));
        mf_put_u8(&buffer, 0);
        mf_put_u8(&buffer, (uint8_t)i);
        mf_put_u8(&buffer, types[i]);
        mf_put_u8(&buffer, is_commit ? MF_FLAG_COMMIT : types[i] == MF_TYPE_INDEX ? MF_FLAG_DERIVED
                           : types[i] == 77                                  ? MF_FLAG_OPTIONAL
                                                                             : 0);
        mf_put_bytes(&buffer, "\0\0\5\0\0\0\0\0\0\0\11\0\0\0", 14); /* 5 bytes of content in a body of 9 */
        mf_put_bytes(&buffer, "\3abcdefgh\0\0\0\0\0\0", 16);
        snprintf(name, sizeof name, "type-%u", types[i]);
        save_buffer("seal", name);
    }
}

static void save_text(const char *target, const char *name, const char *text)
{
    save(target, name, text, strlen(text));
}

static void make_small(void)
{
    static const uint64_t values[] = {5, 700, 3, 3, UINT64_MAX - 1, 0};
    static const char dictionary[] = "tea and coffee, coffee and tea, again and again";
    char name[16];
    mf_buffer_clear(&buffer);
    for (size_t i = 0; i < ENTRIES; i++) {
        snprintf(name, sizeof name, "entry-%zu", i);
        save_text("draft", name, entries[i]);
        save_text("json", name, entries[i]);
    }
    save_text("draft", "forget", forget);
    save_text("json", "string", "\"a\\u00e4\\ud83d\\ude00\\\\\\\"/\\b\"");
    save_text("json", "base64", "AAEC/w==");
    save_text("json", "number", "-1.5e-7");
    save_text("json", "half", "5.960464477539063e-08");
    save_text("time", "whole", "2023-11-14T22:13:20Z");
    save_text("time", "fraction", "0000-02-29T23:59:59.123456789Z");
    save_text("time", "uuid", "0190a5d0-0000-7000-8000-000000000001");
    save_text("time", "hexadecimal", "b1b2c3");
    save("time", "stored", "\x83\x1a\x65\x53\xf1\x00\x03\x18\x7d", 9);
    save("time", "stored-id", "\x50" "0123456789abcdef", 17);
    save("cbor", "map", "\xa2\x61" "a\x83\x01\x20\xf9\x3c\x00\x61" "b\xa1\x61" "c\xf6", 15);
    save("cbor", "integers", "\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x3b\xff\xff\xff\xff\xff\xff\xff\xff", 18);
    save("cbor", "floats", "\x83\xfa\x7f\x7f\xff\xff\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a\xf9\x80\x00", 18);
    save("cbor", "text", "\x82\x64\xf0\x9f\x98\x80\x62\xc3\xa4", 9);
    for (unsigned count = 1; count <= 6; count++) {
        mf_put_u8(&buffer, 0);
        mf_put_u8(&buffer, (uint8_t)count);
        mf_put_u8(&buffer, 0);
        mf_put_ints(&buffer, values, count);
        snprintf(name, sizeof name, "ints-%u", count);
        save_buffer("bytes", name);
    }
    save("bytes", "utf8", "\x01\0\0tea \xc3\xa4 \xf0\x9f\x98\x80 and thirty-two plain bytes behind it", 55);
    save("bytes", "varints", "\x02\0\0\x05\x80\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 16);
    save("bytes", "strings", "\x03\0\0\x03" "abc\x01\0\0\0\0\0\0\0\x05\x05", 17);
    mf_put_u8(&buffer, sizeof dictionary);
    mf_put_u8(&buffer, 0);
    mf_put_bytes(&buffer, dictionary, sizeof dictionary);
    mf_put_u8(&buffer, 1);
    mf_put_bytes(&buffer, entries[1], strlen(entries[1]));
    save_buffer("compress", "with-dictionary");
    save("content", "text", "\x0d\x50\xc3\x00\x10\x00\x20\x00tea and coffee ", 23);
    save("content", "bytes", "\x0e\x00\x00\x05\x00\xf0\x00\x01\xff\x00\x80", 11);
    save("content", "not-text", "\x01\x00\x00\x01\x10\x00\x20\x00\xc3\xa4\xff", 11);
    save("content", "inline", "\x0d\x10\x00\x00\x03\x00\x02\x00\xc3\xa4", 10);
    save("story", "puts", "\x00\x01\x0a\x00\x02\x44\x0e\x00\x81\x05\x0e\x09\x1d", 13);
    save("story", "crash", "\x00\x01\x0a\x0e\x00\x02\x44\x0b\x20\x01\x00\x03\x14\x0e", 14);
    save("story", "compact", "\x00\x01\x0a\x0e\x00\x0d\x04\x0e\x0c\x00\x19\x08\x0e\x2d", 14);
    save("story", "many", "\x00\x01\xff\xf8\x0e\x0c\x00\x01\x20\x0e\xf8\x0c", 12);
}

/* Frames that were made with a dictionary. */
static void make_frames(void)
{
    static const char dictionary[] = "tea and coffee, coffee and tea, again and again";
    mf_dictionary *d;
    mf_compressor compressor;
    uint8_t frame[1024];
    must(mf_dictionary_new(&mf_mem_default, dictionary, sizeof dictionary, 1, &d), "dictionary");
    mf_compressor_init(&compressor);
    size_t length = strlen(entries[4]), n = mf_compress(&compressor, 1, d, entries[4], length, frame, sizeof frame);
    mf_put_u8(&buffer, sizeof dictionary);
    mf_put_u8(&buffer, 0);
    mf_put_bytes(&buffer, dictionary, sizeof dictionary);
    mf_put_u8(&buffer, 0);
    mf_put_u8(&buffer, (uint8_t)length);
    mf_put_u8(&buffer, (uint8_t)(length >> 8));
    mf_put_u8(&buffer, 0);
    mf_put_bytes(&buffer, frame, n);
    save_buffer("compress", "frame-with-dictionary");
    mf_compressor_free(&compressor);
    mf_dictionary_free(d);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    folder = argv[1];
    LLVMFuzzerInitialize(&argc, &argv);
    mkdir(folder, 0777);
    mf_buffer_init(&buffer, &mf_mem_default);
    make_files();
    take_apart("one-commit", 0, 9);
    take_apart("few-commits", 1, 4);
    take_apart("compacted", 0, 9);
    take_apart("compacted-and-more", 4, 4);
    take_apart("many-commits", 62, 9);
    take_apart("records-and-runs", 1, 40);
    take_apart("content", 1, 3);
    make_small();
    make_frames();
    make_sealed();
    make_keys();
    make_plaintexts();
    mf_buffer_free(&buffer);
    return 0;
}
