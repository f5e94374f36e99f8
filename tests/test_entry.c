/* entry: accessors of a view, its JSON, its content. memfile.h, SPEC 7.7. */
#include "support.h"

#include "handle.h"

static memfile *with_entry(const char *name, const char *json)
{
    memfile *mf = create_file(temp_path(name));
    if (put_json(mf, json, NULL) != MEMFILE_OK)
        fail_msg("%s: %s", json, memfile_last_error(mf)->message);
    commit_ok(mf);
    return mf;
}

static const memfile_entry *entry_of(memfile *mf, uint64_t number)
{
    const memfile_entry *e;
    if (memfile_get_entry(mf, number, &e) != MEMFILE_OK)
        fail_msg("%s", memfile_last_error(mf)->message);
    return e;
}

static void field_is(const memfile_entry *e, memfile_field field, const char *expected)
{
    size_t n = 77;
    const char *got = memfile_entry_field(e, field, &n);
    if (!expected) {
        assert_null(got);
        assert_int_equal(n, 0);
        return;
    }
    assert_non_null(got);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(got, expected, n);
}

static const char full[] =
    "{\"id\":\"0189f7e2-5c5a-7bd6-a1c8-9d0e1f2a3b4c\",\"kind\":\"note\",\"scope\":[\"a\",\"b\",\"\xc3\xa9\"],\"key\":\"k\","
    "\"time\":\"2023-05-08T13:56:02.000000001Z\",\"text\":\"words\",\"media_type\":\"text/markdown\",\"title\":\"t\","
    "\"tags\":[\"z\",\"y\",\"z\"],\"links\":[{\"rel\":\"about\",\"to\":\"other\"},"
    "{\"rel\":\"self\",\"to\":\"0189f7e2-5c5a-7bd6-a1c8-9d0e1f2a3b4c\"}],\"meta\":{\"a\":[1,2.5,null]},"
    "\"recorded\":\"1969-12-31T23:59:59Z\",\"valid_from\":\"0000-01-01T00:00:00Z\",\"valid_to\":\"9999-12-31T23:59:59.5Z\","
    "\"expires\":\"2099-01-01T00:00:00Z\",\"source\":\"s\",\"actor\":\"x\",\"session\":\"y\",\"model\":\"m\","
    "\"idempotency_key\":\"once\",\"confidence\":0.5,\"importance\":1,\"pinned\":true,\"status\":\"open\",\"own\":{\"b\":1}}";

static void every_field_is_given_as_it_was_put(void **state)
{
    (void)state;
    memfile *mf = with_entry("fields", full);
    const memfile_entry *e = entry_of(mf, 0);
    char id[256], target[256];
    size_t n, m;
    static const struct {
        memfile_field field;
        const char *value;
    } fields[] = {{MEMFILE_KIND, "note"}, {MEMFILE_KEY, "k"},      {MEMFILE_TEXT, "words"}, {MEMFILE_DATA, NULL},
                  {MEMFILE_MEDIA_TYPE, "text/markdown"}, {MEMFILE_TITLE, "t"}, {MEMFILE_SOURCE, "s"},
                  {MEMFILE_ACTOR, "x"},   {MEMFILE_SESSION, "y"},  {MEMFILE_MODEL, "m"},
                  {MEMFILE_IDEMPOTENCY_KEY, "once"}, {MEMFILE_STATUS, "open"}, {MEMFILE_ID, NULL}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        field_is(e, fields[i].field, fields[i].value);
    assert_int_equal(memfile_entry_number(e), 0);
    assert_int_equal(memfile_entry_id(e, id), 36);
    assert_string_equal(id, "0189f7e2-5c5a-7bd6-a1c8-9d0e1f2a3b4c");
    static const char *const scope[] = {"a", "b", "\xc3\xa9"}, *const tags[] = {"z", "y", "z"};
    assert_int_equal(memfile_entry_scope_count(e), 3);
    assert_int_equal(memfile_entry_tag_count(e), 3);
    for (size_t i = 0; i < 3; i++) {
        const char *s = memfile_entry_scope(e, i, &n), *t = memfile_entry_tag(e, i, &m);
        assert_int_equal(n, strlen(scope[i]));
        assert_memory_equal(s, scope[i], n);
        assert_int_equal(m, 1);
        assert_memory_equal(t, tags[i], m);
    }
    assert_int_equal(memfile_entry_link_count(e), 2);
    const char *rel = memfile_entry_link(e, 0, &n, target, &m);
    assert_int_equal(n, 5);
    assert_memory_equal(rel, "about", 5);
    assert_int_equal(m, 5);
    assert_string_equal(target, "other");
    rel = memfile_entry_link(e, 1, &n, target, &m);
    assert_int_equal(n, 4);
    assert_memory_equal(rel, "self", 4);
    assert_int_equal(m, 36);
    assert_string_equal(target, id);
    memfile_close(mf);
}

static void what_is_behind_the_last_is_nothing(void **state)
{
    (void)state;
    memfile *mf = with_entry("behind", full);
    const memfile_entry *e = entry_of(mf, 0);
    static const size_t past[] = {3, 4, 1000, SIZE_MAX};
    for (size_t i = 0; i < 4; i++) {
        size_t n = 7, m = 7;
        char target[256] = "x";
        assert_null(memfile_entry_scope(e, past[i], &n));
        assert_int_equal(n, 0);
        n = 7;
        assert_null(memfile_entry_tag(e, past[i], &n));
        assert_int_equal(n, 0);
        n = 7;
        assert_null(memfile_entry_link(e, past[i], &n, target, &m));
        assert_int_equal(n + m, 0);
        assert_string_equal(target, "");
    }
    memfile_close(mf);
}

static void what_was_not_put_is_absent_and_empty_is_not_absent(void **state)
{
    (void)state;
    memfile *mf = with_entry("absent", "{\"id\":\"a\",\"text\":\"\",\"title\":\"\",\"scope\":[],\"tags\":[]}");
    const memfile_entry *e = entry_of(mf, 0);
    static const memfile_field none[] = {MEMFILE_KIND,   MEMFILE_KEY,     MEMFILE_DATA,  MEMFILE_MEDIA_TYPE,      MEMFILE_SOURCE,
                                         MEMFILE_ACTOR,  MEMFILE_SESSION, MEMFILE_MODEL, MEMFILE_IDEMPOTENCY_KEY, MEMFILE_STATUS};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        field_is(e, none[i], NULL);
    field_is(e, MEMFILE_TEXT, "");
    field_is(e, MEMFILE_TITLE, "");
    assert_int_equal(memfile_entry_scope_count(e) + memfile_entry_tag_count(e) + memfile_entry_link_count(e), 0);
    assert_int_equal(memfile_entry_content_length(e), 0);
    assert_false(memfile_entry_content_is_detached(e));
    memfile_close(mf);
}

/* SPEC 7.2: any optional field may hold null, which differs from absent: in the JSON it is there. */
static void a_null_field_has_no_value_but_is_kept(void **state)
{
    (void)state;
    static const char json[] = "{\"id\":\"a\",\"kind\":null,\"time\":null,\"text\":\"t\",\"title\":null,\"tags\":null,\"expires\":null}";
    memfile *mf = with_entry("null", json);
    const memfile_entry *e = entry_of(mf, 0);
    const char *out;
    size_t n;
    int64_t s;
    uint32_t ns;
    field_is(e, MEMFILE_KIND, NULL);
    field_is(e, MEMFILE_TITLE, NULL);
    assert_int_equal(memfile_entry_tag_count(e), 0);
    assert_int_equal(memfile_entry_time(e, MEMFILE_TIME, &s, &ns), 0);
    assert_int_equal(memfile_entry_time(e, MEMFILE_EXPIRES, &s, &ns), 0);
    assert_int_equal(memfile_entry_json(mf, e, 0, &out, &n), MEMFILE_OK);
    assert_int_equal(n, sizeof json - 1);
    assert_memory_equal(out, json, n);
    memfile_close(mf);
}

static void times_are_seconds_and_nanoseconds(void **state)
{
    (void)state;
    memfile *mf = with_entry("times", full);
    const memfile_entry *e = entry_of(mf, 0);
    static const struct {
        memfile_time_field field;
        int64_t seconds;
        uint32_t nanoseconds;
    } times[] = {{MEMFILE_TIME, 1683554162, 1}, /* date -u -d 2023-05-08T13:56:02 +%s */
                 {MEMFILE_RECORDED, -1, 0},
                 {MEMFILE_VALID_FROM, -62167219200, 0}, /* SPEC 7.1 */
                 {MEMFILE_VALID_TO, 253402300799, 500000000},
                 {MEMFILE_EXPIRES, 4070908800, 0}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int64_t s = 5;
        uint32_t ns = 5;
        assert_int_equal(memfile_entry_time(e, times[i].field, &s, &ns), 1);
        assert_true(s == times[i].seconds);
        assert_int_equal(ns, times[i].nanoseconds);
    }
    memfile_close(mf);
    mf = with_entry("notimes", "{\"text\":\"x\"}");
    e = entry_of(mf, 0);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int64_t s = 5;
        uint32_t ns = 5;
        assert_int_equal(memfile_entry_time(e, times[i].field, &s, &ns), 0);
        assert_true(s == 0 && ns == 0);
    }
    memfile_close(mf);
}

static void json_comes_back_as_it_was_put(void **state)
{
    (void)state;
    static const char *const lines[] = {
        full,
        "{\"id\":\"a\",\"text\":\"\"}",
        "{\"id\":\"d\",\"data\":\"AAEC/w==\",\"media_type\":\"image/png\"}",
        "{\"id\":\"e\",\"text\":\"x\",\"embedding\":{\"space\":\"s\",\"values\":[1.5,-0.5,3.25]}}",
        "{\"id\":\"f\",\"text\":\"x\",\"derived_from\":[\"a\",\"b\"],\"confidence\":1.0,\"importance\":-2}",
        "{\"id\":\"g\",\"text\":\"\\u0000\\\"\\\\ \xf0\x9f\x98\x80\",\"@31\":[true],\"@4294967296\":{\"k\":null},\"zz\":-0.0}",
    };
    memfile *mf = create_file(temp_path("json"));
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (put_json(mf, lines[i], NULL) != MEMFILE_OK)
            fail_msg("%s: %s", lines[i], memfile_last_error(mf)->message);
    commit_ok(mf);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *out;
        size_t n;
        assert_int_equal(memfile_entry_json(mf, entry_of(mf, i), 0, &out, &n), MEMFILE_OK);
        if (n != strlen(lines[i]) || memcmp(out, lines[i], n) != 0)
            fail_msg("\n%s\ncame back as\n%.*s", lines[i], (int)n, out);
    }
    memfile_close(mf);
}

static char *long_text(size_t length)
{
    char *text = (char *)malloc(length + 1);
    for (size_t i = 0; i < length; i++)
        text[i] = (char)('a' + (i * i + i / 91) % 26);
    text[length] = '\0';
    return text;
}

static void put_content(memfile *mf, const char *id, memfile_field field, const char *bytes, size_t length)
{
    memfile_draft *d;
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    memfile_draft_set(d, MEMFILE_ID, id, strlen(id));
    memfile_draft_set(d, field, bytes, length);
    assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_OK);
    memfile_draft_free(d);
}

/* SPEC 7.2: up to 32,768 bytes inline, above detached; either way one stream from byte 0 */
static void content_is_a_stream_inline_or_detached(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 32767, 32768, 32769, 262143, 262144, 262145, 524289};
    static const size_t steps[] = {1, 1000, 32768, 262144, 600000};
    memfile *mf = create_file(temp_path("content"));
    char *text = long_text(600000), *back = (char *)malloc(600001);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int data = 0; data < 2; data++) {
            char id[8];
            snprintf(id, sizeof id, "c%zu%d", i, data);
            put_content(mf, id, data ? MEMFILE_DATA : MEMFILE_TEXT, text + i, lengths[i]);
        }
    commit_ok(mf);
    for (size_t i = 0; i < 2 * sizeof lengths / sizeof *lengths; i++)
        for (size_t s = lengths[i / 2] > 40000 ? 1 : 0; s < sizeof steps / sizeof *steps; s++) {
            const memfile_entry *e = entry_of(mf, i);
            memfile_content *c;
            size_t n, got = 0, length = lengths[i / 2], inline_length;
            bool detached = length > 32768;
            assert_int_equal(memfile_entry_content_length(e), length);
            assert_int_equal(memfile_entry_content_is_detached(e), detached);
            const char *in = memfile_entry_field(e, i % 2 ? MEMFILE_DATA : MEMFILE_TEXT, &inline_length);
            assert_int_equal(in != NULL, !detached);
            assert_int_equal(inline_length, detached ? 0 : length);
            assert_int_equal(memfile_content_open(mf, e, &c), MEMFILE_OK);
            entry_of(mf, 0); /* the view is gone, the stream is not */
            do {
                assert_int_equal(memfile_content_read(c, back + got, steps[s], &n), MEMFILE_OK);
                got += n;
                assert_true(got <= length);
            } while (n > 0);
            assert_int_equal(got, length);
            assert_memory_equal(back, text + i / 2, length);
            assert_int_equal(memfile_content_read(c, back, 10, &n), MEMFILE_OK);
            assert_int_equal(n, 0);
            memfile_content_close(c);
        }
    memfile_content_close(NULL);
    free(text);
    free(back);
    memfile_close(mf);
}

static void json_puts_detached_content_in_up_to_the_limit(void **state)
{
    (void)state;
    memfile *mf = create_file(temp_path("limit"));
    char *text = long_text(40000);
    const char *out;
    size_t n;
    put_content(mf, "a", MEMFILE_TEXT, text, 40000);
    commit_ok(mf);
    assert_int_equal(memfile_entry_json(mf, entry_of(mf, 0), 39999, &out, &n), MEMFILE_E_LIMIT);
    assert_null(out);
    assert_int_equal(n, 0);
    assert_int_equal(memfile_entry_json(mf, entry_of(mf, 0), 40000, &out, &n), MEMFILE_OK);
    static const char before[] = "{\"id\":\"a\",\"text\":\"";
    assert_int_equal(n, sizeof before - 1 + 40000 + 2);
    assert_memory_equal(out, before, sizeof before - 1);
    assert_memory_equal(out + sizeof before - 1, text, 40000);
    free(text);
    memfile_close(mf);
}

static void there_is_no_entry_behind_the_last(void **state)
{
    (void)state;
    memfile *mf = with_entry("last", "{\"text\":\"x\"}");
    const memfile_entry *e = (const memfile_entry *)mf;
    static const uint64_t numbers[] = {1, 2, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(memfile_get_entry(mf, numbers[i], &e), MEMFILE_E_NOT_FOUND);
        assert_null(e);
    }
    assert_int_equal(memfile_get(mf, "", 0, MEMFILE_NEWEST, &e), MEMFILE_E_NOT_FOUND);
    char longest[300];
    memset(longest, 'a', sizeof longest);
    assert_int_equal(memfile_get(mf, longest, 255, MEMFILE_NEWEST, &e), MEMFILE_E_NOT_FOUND);
    assert_int_equal(memfile_get(mf, longest, 300, MEMFILE_NEWEST, &e), MEMFILE_E_NOT_FOUND);
    assert_null(e);
    memfile_close(mf);
}

/* SPEC 7.3: a lower-case UUID is the 16 bytes; another spelling is another id. */
static void ids_are_found_as_they_were_written(void **state)
{
    (void)state;
    static const char *const ids[] = {"0189f7e2-5c5a-7bd6-a1c8-9d0e1f2a3b4c", "0189F7E2-5C5A-7BD6-A1C8-9D0E1F2A3B4C",
                                      "0189f7e25c5a7bd6a1c89d0e1f2a3b4c", "abcdef", "ABCDEF", "0", "a b\xc3\xa9"};
    memfile *mf = create_file(temp_path("ids"));
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        put_text(mf, ids[i], ids[i]);
    commit_ok(mf);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char id[256];
        const memfile_entry *e = entry_of(mf, i);
        assert_int_equal(memfile_entry_id(e, id), strlen(ids[i]));
        assert_string_equal(id, ids[i]);
        assert_text(mf, ids[i], ids[i]);
    }
    memfile_close(mf);
}

/* 40 MiB of one letter take a few KiB in the file: the handle's limit holds, the stream reads it all. */
static void a_content_over_the_memory_limit_is_refused_as_json(void **state)
{
    (void)state;
    const char *path = temp_path("bomb"), *json;
    memfile *mf = create_file(path);
    memfile_draft *d;
    memfile_options o = MEMFILE_OPTIONS_INIT;
    const memfile_entry *entry;
    memfile_content *content;
    size_t length, total = (size_t)40 << 20, piece_length = 1 << 20, read_bytes = 0;
    char *piece = (char *)malloc(piece_length);
    memset(piece, 'z', piece_length);
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    memfile_draft_set(d, MEMFILE_ID, "bomb", 4);
    assert_int_equal(memfile_put_begin(mf, d, 0), MEMFILE_OK);
    for (size_t i = 0; i < total / piece_length; i++)
        assert_int_equal(memfile_put_write(mf, piece, piece_length), MEMFILE_OK);
    assert_int_equal(memfile_put_end(mf, NULL), MEMFILE_OK);
    commit_ok(mf);
    memfile_close(mf);
    memfile_draft_free(d);
    o.memory_limit_bytes = (uint64_t)32 << 20;
    assert_int_equal(memfile_open(path, MEMFILE_READ, &o, &mf, NULL), MEMFILE_OK);
    assert_int_equal(memfile_get(mf, "bomb", 4, MEMFILE_NEWEST, &entry), MEMFILE_OK);
    assert_int_equal(memfile_entry_json(mf, entry, UINT64_MAX, &json, &length), MEMFILE_E_LIMIT);
    assert_int_equal(memfile_content_open(mf, entry, &content), MEMFILE_OK);
    do {
        assert_int_equal(memfile_content_read(content, piece, piece_length, &length), MEMFILE_OK);
        read_bytes += length;
    } while (length > 0);
    assert_int_equal(read_bytes, total);
    memfile_statistics s;
    memfile_get_statistics(mf, &s, sizeof s);
    assert_true(s.memory_bytes > 0 && s.memory_bytes < 8u << 20);
    memfile_content_close(content);
    memfile_close(mf);
    o.memory_limit_bytes = 1000; /* not even a handle */
    assert_int_equal(memfile_open(path, MEMFILE_READ, &o, &mf, NULL), MEMFILE_E_MEMORY);
    o.memory_limit_bytes = 0;
    assert_int_equal(memfile_open(path, MEMFILE_READ, &o, &mf, NULL), MEMFILE_OK);
    assert_int_equal(memfile_get(mf, "bomb", 4, MEMFILE_NEWEST, &entry), MEMFILE_OK);
    assert_int_equal(memfile_entry_json(mf, entry, UINT64_MAX, &json, &length), MEMFILE_OK);
    assert_true(length > total);
    memfile_close(mf);
    free(piece);
}

/* A block of one row, whose rest is these bytes, as a file can bring it that nobody verified. */
static void with_rest(const uint8_t *rest, size_t length, void (*look)(const memfile_entry *e, void *context), void *context)
{
    const uint64_t mask = MF_COLUMN_REST, class = MF_ID_TEXT, zero = 0, one = 1, n = length;
    mf_buffer b;
    mf_arena arena;
    mf_block block;
    uint8_t *exact = edge_copy(rest, length);
    mf_buffer_init(&b, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    mf_put_varint(&b, 1);
    mf_put_ints(&b, &mask, 1);
    mf_put_varint(&b, 0);
    mf_put_ints(&b, &class, 1);
    mf_put_ints(&b, &zero, 1);
    mf_put_ints(&b, &one, 1);
    mf_put_u8(&b, 'a');
    mf_put_ints(&b, &n, 1);
    assert_int_equal(mf_block_parse(&block, mf_slice_of(b.data, b.length), &arena), 0);
    mf_block_set_content(&block, exact);
    const memfile_entry e = {&block, 0, 0};
    look(&e, context);
    mf_arena_free(&arena);
    mf_buffer_free(&b);
    edge_free(exact, length);
}

typedef struct said {
    uint64_t length;
    int detached;
} said;

static void look_at_content(const memfile_entry *e, void *context)
{
    said *s = (said *)context;
    s->length = memfile_entry_content_length(e);
    s->detached = memfile_entry_content_is_detached(e);
}

/* SPEC 7.1, field 9: [form, length, root], and nothing else is content. */
static void what_is_no_content_is_not_taken_for_one(void **state)
{
    (void)state;
    static const struct {
        const char *value; /* before the root */
        size_t length;
        unsigned root;
        uint64_t says;
    } cases[] = {
#define V(x) x, sizeof(x) - 1
        {V("\x83\x00\x05\x58\x20"), 32, 5},
        {V("\x83\x01\x1a\x00\x10\x00\x00\x58\x20"), 32, 1048576},
        {V("\x83\x00\x1b\x00\x00\x04\x00\x00\x00\x00\x00\x58\x20"), 32, (uint64_t)1 << 42}, /* 2^24 chunks */
        {V("\x83\x00\x1b\x00\x00\x04\x00\x00\x00\x00\x01\x58\x20"), 32, 0},
        {V("\x83\x00\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x58\x20"), 32, 0},
        {V("\x83\x00\x00\x58\x20"), 32, 0},
        {V("\x83\x00\x05\x58\x1f"), 31, 0},
        {V("\x83\x00\x05\x58\x21"), 33, 0},
        {V("\x83\x00\x05\x78\x20"), 32, 0},
        {V("\x82\x05\x58\x20"), 32, 0},
        {V("\x84\x00\x05\x58\x20"), 32, 0},
        {V("\x84\x00\x05\x58\x20"), 33, 0}, /* the fourth is there */
        {V("\xa3\x00\x05\x58\x20"), 32, 0},
        {V("\x83\x20\x05\x58\x20"), 32, 0},
        {V("\x83\x00\x05\x58\x20"), 20, 0},
        {V("\x05"), 0, 0}
#undef V
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t rest[64] = {MF_FIELD_CONTENT};
        said s;
        memcpy(rest + 1, cases[i].value, cases[i].length);
        memset(rest + 1 + cases[i].length, 7, cases[i].root);
        with_rest(rest, 1 + cases[i].length + cases[i].root, look_at_content, &s);
        if (s.length != cases[i].says || s.detached != (cases[i].says > 0))
            fail_msg("case %zu: %llu bytes, %d", i, (unsigned long long)s.length, s.detached);
    }
}

static void look_at_title(const memfile_entry *e, void *context)
{
    size_t n;
    const char *s = memfile_entry_field(e, MEMFILE_TITLE, &n);
    *(said *)context = (said){n, s != NULL};
}

static void what_is_no_text_is_not_given_as_one(void **state)
{
    (void)state;
    static const struct {
        const char *rest;
        size_t length;
        size_t says;
        bool there;
    } cases[] = {
#define V(x) x, sizeof(x) - 1
        {V("\x0a\x62hi"), 2, true}, {V("\x0a\x60"), 0, true}, {V("\x0a\x42hi"), 2, true}, {V("\x0a\x63hi"), 0, false},
        {V("\x0a\x02"), 0, false}, {V("\x0a\x82\x01\x02"), 0, false}, {V("\x0a\xf6"), 0, false}, {V("\x0a"), 0, false},
        {V("\x0b\x62hi"), 0, false}, {V(""), 0, false},
        {V("\x08\x01\x0a\x62hi"), 2, true}, /* behind another */
        {V("\x08\xbb\x80\x00\x00\x00\x00\x00\x00\x00\x0a\x62hi"), 0, false}, /* behind a map of 2^63 pairs */
        {V("\x08\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x0a\x62hi"), 0, false},
        {V("\x08\xc1\x01\x0a\x62hi"), 0, false} /* behind a tag */
#undef V
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        said s;
        with_rest((const uint8_t *)cases[i].rest, cases[i].length, look_at_title, &s);
        if (s.length != cases[i].says || s.detached != cases[i].there)
            fail_msg("case %zu: %llu bytes, %d", i, (unsigned long long)s.length, s.detached);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_content_over_the_memory_limit_is_refused_as_json),
        cmocka_unit_test(every_field_is_given_as_it_was_put),
        cmocka_unit_test(what_is_behind_the_last_is_nothing),
        cmocka_unit_test(what_was_not_put_is_absent_and_empty_is_not_absent),
        cmocka_unit_test(a_null_field_has_no_value_but_is_kept),
        cmocka_unit_test(times_are_seconds_and_nanoseconds),
        cmocka_unit_test(json_comes_back_as_it_was_put),
        cmocka_unit_test(content_is_a_stream_inline_or_detached),
        cmocka_unit_test(json_puts_detached_content_in_up_to_the_limit),
        cmocka_unit_test(there_is_no_entry_behind_the_last),
        cmocka_unit_test(ids_are_found_as_they_were_written),
        cmocka_unit_test(what_is_no_content_is_not_taken_for_one),
        cmocka_unit_test(what_is_no_text_is_not_given_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
