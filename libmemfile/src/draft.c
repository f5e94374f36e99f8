/* draft: building cores from setters and from JSON. */
#include "draft.h"

#include <math.h>
#include <stdio.h>

#include "cbor.h"
#include "digest.h"
#include "json.h"

typedef struct slot {
    size_t offset, length; /* in `values`; length 0: absent */
} slot;

typedef struct extension {
    size_t offset, key_length, length; /* in `values`: key, then value, as CBOR */
} extension;

typedef enum content_source { FROM_NOTHING, FROM_BYTES, FROM_JSON, FROM_BASE64 } content_source;

struct memfile_draft {
    uint32_t present; /* bit per field that has a slot */
    slot slots[MF_FIELD_COUNT];
    mf_buffer values;
    mf_buffer scope, tags, links; /* items as CBOR */
    uint32_t scope_count, tag_count, link_count;
    extension *extensions;
    size_t extension_count, extension_capacity;
    content_source source;
    int form;
    mf_buffer content;  /* FROM_BYTES */
    mf_slice borrowed;  /* FROM_JSON, FROM_BASE64: of the caller's JSON */
    mf_slice reading;   /* what is left to give out */
    uint64_t content_length;
    mf_buffer vector;
    memfile_error error;
};

int memfile_draft_new(memfile_draft **out)
{
    const mf_mem *mem = &mf_mem_default;
    *out = NULL;
    if (!mf_digest_start())
        return MEMFILE_E_SYSTEM;
    memfile_draft *d = (memfile_draft *)mf_alloc_zero(mem, sizeof *d);
    if (!d)
        return MEMFILE_E_MEMORY;
    mf_buffer_init(&d->values, mem);
    mf_buffer_init(&d->scope, mem);
    mf_buffer_init(&d->tags, mem);
    mf_buffer_init(&d->links, mem);
    mf_buffer_init(&d->content, mem);
    mf_buffer_init(&d->vector, mem);
    *out = d;
    return MEMFILE_OK;
}

void memfile_draft_clear(memfile_draft *d)
{
    d->present = 0;
    mf_buffer_clear(&d->values);
    mf_buffer_clear(&d->scope);
    mf_buffer_clear(&d->tags);
    mf_buffer_clear(&d->links);
    mf_buffer_clear(&d->content);
    mf_buffer_clear(&d->vector);
    d->scope_count = d->tag_count = d->link_count = 0;
    d->extension_count = 0;
    d->source = FROM_NOTHING;
    d->error.code = 0;
}

void memfile_draft_free(memfile_draft *d)
{
    if (!d)
        return;
    const mf_mem *mem = &mf_mem_default;
    mf_buffer_free(&d->values);
    mf_buffer_free(&d->scope);
    mf_buffer_free(&d->tags);
    mf_buffer_free(&d->links);
    mf_buffer_free(&d->content);
    mf_buffer_free(&d->vector);
    mf_free(mem, d->extensions);
    mf_free(mem, d);
}

const memfile_error *mf_draft_error(const memfile_draft *d)
{
    return d->error.code ? &d->error : NULL;
}

static int fail(memfile_draft *d, int code, const char *what)
{
    if (!d->error.code)
        mf_fail(&d->error, code, MF_NOWHERE, "%s", what);
    return code;
}

static int check_buffers(memfile_draft *d)
{
    if (d->values.failed || d->scope.failed || d->tags.failed || d->links.failed || d->content.failed ||
        d->vector.failed)
        return fail(d, MEMFILE_E_MEMORY, "out of memory");
    return MEMFILE_OK;
}

/* ---- slots */

static void slot_begin(memfile_draft *d, unsigned field)
{
    d->slots[field].offset = d->values.length;
    d->present |= (uint32_t)1 << field;
}

static int slot_end(memfile_draft *d, unsigned field)
{
    d->slots[field].length = d->values.length - d->slots[field].offset;
    return check_buffers(d);
}

static void set_content(memfile_draft *d, int form, content_source source, uint64_t length)
{
    d->form = form;
    d->source = source;
    d->content_length = length;
}

void mf_draft_set_id(memfile_draft *d, mf_id id)
{
    slot_begin(d, MF_FIELD_ID);
    mf_cbor_put_id(&d->values, id);
    slot_end(d, MF_FIELD_ID);
}

int memfile_draft_set(memfile_draft *d, memfile_field field, const void *value, size_t length)
{
    mf_slice s = mf_slice_of(value, length);
    uint8_t binary[16];
    switch (field) {
    case MEMFILE_TEXT:
    case MEMFILE_DATA:
        /* UTF-8 is checked when it is put: with the core, or chunk by chunk */
        mf_buffer_clear(&d->content);
        mf_put_bytes(&d->content, value, length);
        set_content(d, field == MEMFILE_TEXT ? MF_CONTENT_TEXT : MF_CONTENT_DATA, FROM_BYTES, length);
        return check_buffers(d);
    case MEMFILE_ID: mf_draft_set_id(d, mf_id_from_text((const char *)value, length, binary)); return check_buffers(d);
    case MEMFILE_KIND:
    case MEMFILE_KEY:
    case MEMFILE_MEDIA_TYPE:
    case MEMFILE_TITLE:
    case MEMFILE_SOURCE:
    case MEMFILE_ACTOR:
    case MEMFILE_SESSION:
    case MEMFILE_MODEL:
    case MEMFILE_IDEMPOTENCY_KEY:
    case MEMFILE_STATUS:
        slot_begin(d, field);
        mf_cbor_put_text(&d->values, s);
        return slot_end(d, field);
    default: return fail(d, MEMFILE_E_MISUSE, "not a text field");
    }
}

static int set_time(memfile_draft *d, unsigned field, const mf_time *time)
{
    if (field != MF_FIELD_TIME && (field < MF_FIELD_RECORDED || field > MF_FIELD_EXPIRES))
        return fail(d, MEMFILE_E_MISUSE, "not a time field");
    slot_begin(d, field);
    mf_cbor_put_time(&d->values, time);
    return slot_end(d, field);
}

#define TIME_FORM "a time is RFC 3339 in UTC, like 2023-05-08T13:56:02Z or 2023-05-08T13:56:02.125Z"

int memfile_draft_set_time(memfile_draft *d, memfile_time_field field, const char *rfc3339)
{
    mf_time time;
    if (!mf_time_parse(&time, rfc3339, strlen(rfc3339)))
        return fail(d, MEMFILE_E_INVALID, TIME_FORM);
    return set_time(d, field, &time);
}

int memfile_draft_set_time_ns(memfile_draft *d, memfile_time_field field, int64_t seconds, uint32_t nanoseconds)
{
    mf_time time = {seconds, nanoseconds, nanoseconds ? 9 : 0};
    if (nanoseconds > 999999999 || seconds < MF_SECONDS_MIN || seconds > MF_SECONDS_MAX)
        return fail(d, MEMFILE_E_INVALID, "the time is outside the years 0000 to 9999");
    return set_time(d, field, &time);
}

static int add_text(memfile_draft *d, mf_buffer *list, uint32_t *count, const char *text, size_t length)
{
    mf_cbor_put_text(list, mf_slice_of(text, length));
    ++*count;
    return check_buffers(d);
}

int memfile_draft_add_scope(memfile_draft *d, const char *name, size_t length)
{
    return add_text(d, &d->scope, &d->scope_count, name, length);
}

int memfile_draft_add_tag(memfile_draft *d, const char *tag, size_t length)
{
    return add_text(d, &d->tags, &d->tag_count, tag, length);
}

int memfile_draft_add_link(memfile_draft *d, const char *relation, size_t relation_length, const char *target_id,
                           size_t target_length)
{
    uint8_t binary[16];
    mf_cbor_put_head(&d->links, MF_CBOR_ARRAY, 2);
    mf_cbor_put_text(&d->links, mf_slice_of(relation, relation_length));
    mf_cbor_put_id(&d->links, mf_id_from_text(target_id, target_length, binary));
    d->link_count++;
    return check_buffers(d);
}

int memfile_draft_set_pinned(memfile_draft *d, int pinned)
{
    slot_begin(d, MF_FIELD_PINNED);
    mf_put_u8(&d->values, pinned ? MF_CBOR_TRUE : MF_CBOR_FALSE);
    return slot_end(d, MF_FIELD_PINNED);
}

static int set_float(memfile_draft *d, unsigned field, double v)
{
    if (!isfinite(v))
        return fail(d, MEMFILE_E_INVALID, "the number is not finite");
    slot_begin(d, field);
    mf_cbor_put_float(&d->values, v);
    return slot_end(d, field);
}

int memfile_draft_set_confidence(memfile_draft *d, double confidence)
{
    return set_float(d, MF_FIELD_CONFIDENCE, confidence);
}

int memfile_draft_set_importance(memfile_draft *d, double importance)
{
    return set_float(d, MF_FIELD_IMPORTANCE, importance);
}

static int set_embedding(memfile_draft *d, mf_slice space, unsigned type, size_t count)
{
    uint8_t hash[32];
    mf_digest(hash, MF_LABEL_PART, d->vector.data, d->vector.length);
    slot_begin(d, MF_FIELD_EMBEDDING);
    mf_cbor_put_head(&d->values, MF_CBOR_ARRAY, 4);
    mf_cbor_put_text(&d->values, space);
    mf_cbor_put_head(&d->values, MF_CBOR_UINT, type);
    mf_cbor_put_head(&d->values, MF_CBOR_UINT, count);
    mf_cbor_put_bytes(&d->values, mf_slice_of(hash, sizeof hash));
    return slot_end(d, MF_FIELD_EMBEDDING);
}

static void put_float32(mf_buffer *b, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, 4);
    mf_put_u32(b, bits);
}

int memfile_draft_set_embedding(memfile_draft *d, const char *space, const float *values, size_t count)
{
    mf_buffer_clear(&d->vector);
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            return fail(d, MEMFILE_E_INVALID, "a vector value is not finite");
        put_float32(&d->vector, values[i]);
    }
    return set_embedding(d, mf_slice_of(space, strlen(space)), MF_VECTOR_F32, count);
}

/* ---- JSON members */

static const struct {
    const char *name;
    unsigned field;
} names[] = {
    {"op", MF_FIELD_OP},
    {"id", MF_FIELD_ID},
    {"kind", MF_FIELD_KIND},
    {"scope", MF_FIELD_SCOPE},
    {"key", MF_FIELD_KEY},
    {"time", MF_FIELD_TIME},
    {"title", MF_FIELD_TITLE},
    {"text", MF_FIELD_TEXT},
    {"data", MF_FIELD_DATA},
    {"media_type", MF_FIELD_MEDIA_TYPE},
    {"tags", MF_FIELD_TAGS},
    {"links", MF_FIELD_LINKS},
    {"meta", MF_FIELD_META},
    {"recorded", MF_FIELD_RECORDED},
    {"valid_from", MF_FIELD_VALID_FROM},
    {"valid_to", MF_FIELD_VALID_TO},
    {"expires", MF_FIELD_EXPIRES},
    {"source", MF_FIELD_SOURCE},
    {"actor", MF_FIELD_ACTOR},
    {"session", MF_FIELD_SESSION},
    {"model", MF_FIELD_MODEL},
    {"derived_from", MF_FIELD_DERIVED_FROM},
    {"idempotency_key", MF_FIELD_IDEMPOTENCY_KEY},
    {"confidence", MF_FIELD_CONFIDENCE},
    {"importance", MF_FIELD_IMPORTANCE},
    {"pinned", MF_FIELD_PINNED},
    {"status", MF_FIELD_STATUS},
    {"embedding", MF_FIELD_EMBEDDING},
    {"supersedes", MF_FIELD_SUPERSEDES},
    {"reason", MF_FIELD_REASON},
};
#define NAME_COUNT (sizeof names / sizeof names[0])

static int base64_value(uint8_t ch)
{
    return ch >= 'A' && ch <= 'Z'   ? ch - 'A'
           : ch >= 'a' && ch <= 'z' ? ch - 'a' + 26
           : ch >= '0' && ch <= '9' ? ch - '0' + 52
           : ch == '+'              ? 62
           : ch == '/'              ? 63
                                    : -1;
}

/* Length of what canonical, padded base64 decodes to; -1 if it is not that. */
static int64_t base64_length(mf_slice s)
{
    if (s.length % 4)
        return -1;
    size_t pad = 0;
    while (pad < 2 && pad < s.length && s.data[s.length - 1 - pad] == '=')
        pad++;
    for (size_t i = 0; i < s.length - pad; i++)
        if (base64_value(s.data[i]) < 0)
            return -1;
    if (pad && (base64_value(s.data[s.length - 1 - pad]) & (pad == 1 ? 3 : 15)))
        return -1; /* bits that would be lost */
    return (int64_t)(s.length / 4 * 3 - pad);
}

/* Decodes groups of four from the front of *s. size >= 3. */
static size_t base64_decode(mf_slice *s, uint8_t *out, size_t size)
{
    size_t n = 0;
    while (s->length >= 4 && size - n >= 3) {
        const uint8_t *p = s->data;
        uint32_t v = 0;
        unsigned pad = 0;
        for (int i = 0; i < 4; i++) {
            int d = base64_value(p[i]);
            pad += d < 0;
            v = v << 6 | (uint32_t)(d < 0 ? 0 : d);
        }
        out[n++] = (uint8_t)(v >> 16);
        if (pad < 2)
            out[n++] = (uint8_t)(v >> 8);
        if (pad < 1)
            out[n++] = (uint8_t)v;
        s->data += 4;
        s->length -= 4;
    }
    return n;
}

static void json_text(memfile_draft *d, mf_json *j, bool is_data)
{
    mf_slice raw;
    uint64_t length = mf_json_string(j, &raw);
    if (j->problem)
        return;
    if (d->source != FROM_NOTHING) {
        mf_json_problem(j, "an entry has either \"text\" or \"data\"");
        return;
    }
    mf_buffer_clear(&d->content);
    if (is_data) {
        int64_t bytes = memchr(raw.data, '\\', raw.length) ? -1 : base64_length(raw);
        if (bytes < 0) {
            mf_json_problem(j, "\"data\" is not base64 (RFC 4648, with padding, without line breaks)");
            return;
        }
        length = (uint64_t)bytes;
    }
    d->borrowed = raw;
    if (length > MF_INLINE_CONTENT_MAX) { /* read from the caller's text when it is put */
        set_content(d, is_data ? MF_CONTENT_DATA : MF_CONTENT_TEXT, is_data ? FROM_BASE64 : FROM_JSON, length);
        return;
    }
    uint8_t *p = mf_buffer_reserve(&d->content, (size_t)length + 4);
    if (p)
        d->content.length = is_data ? base64_decode(&raw, p, (size_t)length + 4)
                                    : mf_json_unescape(&raw, p, (size_t)length + 4);
    set_content(d, is_data ? MF_CONTENT_DATA : MF_CONTENT_TEXT, FROM_BYTES, length);
}

/* A short string without escapes left, in `out`. */
static mf_slice json_short(mf_json *j, uint8_t *out, size_t size, const char *too_long)
{
    mf_slice raw;
    size_t length = mf_json_string(j, &raw);
    if (!j->problem && length + 4 > size)
        mf_json_problem(j, too_long);
    if (j->problem)
        return mf_slice_of(out, 0);
    return mf_slice_of(out, mf_json_unescape(&raw, out, size));
}

static void json_id(mf_json *j, mf_buffer *out)
{
    uint8_t text[MF_ID_MAX + 5], binary[16];
    mf_slice s = json_short(j, text, sizeof text, "an id has at most 255 bytes");
    if (!j->problem)
        mf_cbor_put_id(out, mf_id_from_text((const char *)s.data, s.length, binary));
}

static void json_time(mf_json *j, mf_buffer *out)
{
    uint8_t text[64];
    mf_time time;
    mf_slice s = json_short(j, text, sizeof text, TIME_FORM);
    if (!j->problem && !mf_time_parse(&time, (const char *)s.data, s.length))
        mf_json_problem(j, TIME_FORM);
    if (!j->problem)
        mf_cbor_put_time(out, &time);
}

static void json_link(mf_json *j, mf_buffer *out, const mf_mem *mem)
{
    mf_buffer relation, target;
    mf_buffer_init(&relation, mem);
    mf_buffer_init(&target, mem);
    mf_json_expect(j, '{');
    for (int i = 0; i < 2 && !j->problem; i++) {
        uint8_t name[16];
        mf_slice s = json_short(j, name, sizeof name, "a link has the members \"rel\" and \"to\" only");
        mf_json_expect(j, ':');
        if (j->problem)
            break;
        if (s.length == 3 && memcmp(s.data, "rel", 3) == 0 && relation.length == 0 && mf_json_peek(j) == '"')
            mf_json_value(j, &relation, 0);
        else if (s.length == 2 && memcmp(s.data, "to", 2) == 0 && target.length == 0)
            json_id(j, &target);
        else
            mf_json_problem(j, "a link has the members \"rel\" and \"to\" only, both strings");
        if (i == 0)
            mf_json_expect(j, ',');
    }
    mf_json_expect(j, '}');
    if (!j->problem) {
        mf_cbor_put_head(out, MF_CBOR_ARRAY, 2);
        mf_put_bytes(out, relation.data, relation.length);
        mf_put_bytes(out, target.data, target.length);
    }
    if (relation.failed || target.failed)
        out->failed = true;
    mf_buffer_free(&relation);
    mf_buffer_free(&target);
}

typedef void item_reader(mf_json *j, mf_buffer *out, const mf_mem *mem);

static void json_list(mf_json *j, mf_buffer *out, item_reader *read_item)
{
    mf_buffer items;
    uint64_t count = 0;
    mf_buffer_init(&items, out->mem);
    mf_json_expect(j, '[');
    if (mf_json_peek(j) == ']') {
        j->at++;
    } else {
        while (!j->problem && !items.failed) {
            read_item(j, &items, out->mem);
            count++;
            if (items.length > j->limit)
                mf_json_problem(j, MF_JSON_TOO_LARGE);
            if (mf_json_peek(j) == ',') {
                j->at++;
                continue;
            }
            mf_json_expect(j, ']');
            break;
        }
    }
    if (items.failed)
        out->failed = true;
    mf_cbor_put_head(out, MF_CBOR_ARRAY, count);
    mf_put_bytes(out, items.data, items.length);
    mf_buffer_free(&items);
}

static void json_id_item(mf_json *j, mf_buffer *out, const mf_mem *mem)
{
    (void)mem;
    json_id(j, out);
}

static void json_leaf_item(mf_json *j, mf_buffer *out, const mf_mem *mem)
{
    (void)mem;
    static const char what[] = "a leaf is 64 lower-case hexadecimal digits";
    uint8_t text[72], leaf[32];
    mf_slice s = json_short(j, text, sizeof text, what);
    if (!j->problem && s.length != 64)
        mf_json_problem(j, what);
    for (size_t i = 0; i < 64 && !j->problem; i++) {
        uint8_t ch = s.data[i];
        unsigned v = ch >= '0' && ch <= '9' ? ch - (unsigned)'0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10u : 16;
        if (v > 15)
            mf_json_problem(j, what);
        leaf[i / 2] = (uint8_t)(i % 2 ? leaf[i / 2] | v : v << 4);
    }
    if (!j->problem)
        mf_cbor_put_bytes(out, mf_slice_of(leaf, sizeof leaf));
}

static void json_embedding(memfile_draft *d, mf_json *j)
{
    static const char what[] = "an embedding has the members \"space\" (string) and \"values\" (numbers) only";
    uint8_t space_text[MF_NAME_MAX + 5];
    mf_slice space = {0};
    double *values = NULL;
    size_t count = 0, capacity = 0;
    bool seen_values = false, narrow = true;
    mf_json_expect(j, '{');
    for (int i = 0; i < 2 && !j->problem; i++) {
        uint8_t name[16];
        mf_slice s = json_short(j, name, sizeof name, what);
        mf_json_expect(j, ':');
        if (s.length == 5 && memcmp(s.data, "space", 5) == 0 && !space.data) {
            space = json_short(j, space_text, sizeof space_text, "the name of a space has at most 255 bytes");
        } else if (s.length == 6 && memcmp(s.data, "values", 6) == 0 && !seen_values) {
            seen_values = true;
            mf_json_expect(j, '[');
            while (!j->problem) {
                double v = mf_json_double(j);
                void *grown = values;
                if (mf_grow(d->values.mem, &grown, &capacity, count + 1, sizeof *values) != 0) {
                    d->values.failed = true;
                    mf_json_problem(j, "out of memory");
                    break;
                }
                values = (double *)grown;
                values[count++] = v;
                if (count > 16384)
                    mf_json_problem(j, "an embedding has at most 16,384 values");
                char text[40];
                if (narrow && isfinite((float)v))
                    mf_json_print_float(text, (float)v), narrow = mf_strtod(text) == v;
                else
                    narrow = false;
                if (mf_json_peek(j) == ',') {
                    j->at++;
                    continue;
                }
                mf_json_expect(j, ']');
                break;
            }
        } else {
            mf_json_problem(j, what);
        }
        if (i == 0)
            mf_json_expect(j, ',');
    }
    mf_json_expect(j, '}');
    if (!j->problem) {
        mf_buffer_clear(&d->vector);
        for (size_t i = 0; i < count; i++) {
            uint64_t bits;
            memcpy(&bits, &values[i], 8);
            if (narrow)
                put_float32(&d->vector, (float)values[i]);
            else
                mf_put_u64(&d->vector, bits);
        }
        set_embedding(d, space, narrow ? MF_VECTOR_F32 : MF_VECTOR_F64, count);
    }
    mf_free(d->values.mem, values);
}

static void json_op(mf_json *j, mf_buffer *out)
{
    uint8_t text[16];
    if (mf_json_peek(j) != '"') { /* one that only a newer version names */
        size_t before = out->length;
        mf_json_number(j, out);
        if (!j->problem && !out->failed && (out->data[before] >> 5 != MF_CBOR_UINT || out->data[before] < 2))
            mf_json_problem(j, "\"op\" is absent, \"forget\" or a number from 2 on");
        return;
    }
    mf_slice s = json_short(j, text, sizeof text, "\"op\" is absent or \"forget\"");
    if (!j->problem && (s.length != 6 || memcmp(s.data, "forget", 6) != 0))
        mf_json_problem(j, "\"op\" is absent or \"forget\"");
    mf_cbor_put_head(out, MF_CBOR_UINT, MF_OP_FORGET);
}

static void json_field(memfile_draft *d, mf_json *j, unsigned field)
{
    mf_buffer *out = &d->values;
    if (field == MF_FIELD_TEXT || field == MF_FIELD_DATA) {
        json_text(d, j, field == MF_FIELD_DATA);
        return;
    }
    if (field == MF_FIELD_EMBEDDING) {
        json_embedding(d, j);
        return;
    }
    slot_begin(d, field);
    bool is_null = mf_json_peek(j) == 'n';
    switch (is_null ? MF_FIELD_META : field) {
    case MF_FIELD_OP: json_op(j, out); break;
    case MF_FIELD_ID: json_id(j, out); break;
    case MF_FIELD_TIME:
    case MF_FIELD_RECORDED:
    case MF_FIELD_VALID_FROM:
    case MF_FIELD_VALID_TO:
    case MF_FIELD_EXPIRES: json_time(j, out); break;
    case MF_FIELD_LINKS: json_list(j, out, json_link); break;
    case MF_FIELD_DERIVED_FROM: json_list(j, out, json_id_item); break;
    case MF_FIELD_SUPERSEDES: json_list(j, out, json_leaf_item); break;
    default: mf_json_value(j, out, MF_DEPTH_MAX);
    }
    slot_end(d, field);
}

static int add_extension(memfile_draft *d, mf_slice name, mf_json *j)
{
    void *grown = d->extensions;
    if (mf_grow(d->values.mem, &grown, &d->extension_capacity, d->extension_count + 1, sizeof *d->extensions) != 0)
        return fail(d, MEMFILE_E_MEMORY, "out of memory");
    d->extensions = (extension *)grown;
    if (d->extension_count == MF_EXTENSIONS_MAX) {
        mf_json_problem(j, "an entry has at most 1024 members of its own");
        return MEMFILE_OK;
    }
    extension *e = &d->extensions[d->extension_count++];
    e->offset = d->values.length;
    if (name.length && name.data[0] == '@') { /* SPEC 7.7: an integer key */
        uint64_t v = 0;
        for (size_t i = 1; i < name.length; i++) {
            unsigned digit = (unsigned)name.data[i] - '0';
            if (digit > 9 || v > (INT64_MAX - 9) / 10 || (digit == 0 && i == 1))
                mf_json_problem(j, "a member '@…' is '@' and the number of a field");
            v = v * 10 + (digit < 10 ? digit : 0);
        }
        if (v < MF_FIELD_COUNT)
            mf_json_problem(j, "a member '@…' is '@' and the number of a field that has no name");
        mf_cbor_put_head(&d->values, MF_CBOR_UINT, v);
    } else {
        mf_cbor_put_text(&d->values, name);
    }
    e->key_length = d->values.length - e->offset;
    for (size_t i = 0; i + 1 < d->extension_count && !d->values.failed; i++) {
        const extension *x = &d->extensions[i];
        if (x->key_length == e->key_length &&
            memcmp(d->values.data + x->offset, d->values.data + e->offset, e->key_length) == 0)
            mf_json_problem(j, "an object has the same key twice");
    }
    mf_json_value(j, &d->values, MF_DEPTH_MAX);
    e->length = d->values.length - e->offset;
    return check_buffers(d);
}

static void json_member(memfile_draft *d, mf_slice name, mf_json *j, uint64_t *seen)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (strlen(names[i].name) != name.length || memcmp(names[i].name, name.data, name.length) != 0)
            continue;
        if (*seen >> names[i].field & 1)
            mf_json_problem(j, "an object has the same key twice");
        *seen |= (uint64_t)1 << names[i].field;
        json_field(d, j, names[i].field);
        return;
    }
    add_extension(d, name, j);
}

/* Takes an extension of that name away, if there is one. */
static void drop_extension(memfile_draft *d, mf_slice name)
{
    for (size_t i = 0; i < d->extension_count; i++) {
        const extension *x = &d->extensions[i];
        mf_cursor c = mf_cursor_of(d->values.data + x->offset, x->key_length);
        if (mf_cbor_peek(&c) >> 5 == MF_CBOR_TEXT && mf_slice_equal(mf_cbor_get_text(&c), name)) {
            d->extensions[i] = d->extensions[--d->extension_count];
            return;
        }
    }
}

int memfile_draft_set_json(memfile_draft *d, const char *name, const char *json, size_t length)
{
    uint64_t seen = 0;
    mf_json j = mf_json_of(json, length);
    j.limit = MF_CORE_LENGTH_MAX;
    if (strcmp(name, "text") == 0 || strcmp(name, "data") == 0)
        d->source = FROM_NOTHING; /* setting twice replaces */
    drop_extension(d, mf_slice_of(name, strlen(name)));
    /* the caller's text may be gone when the draft is put: take content now */
    json_member(d, mf_slice_of(name, strlen(name)), &j, &seen);
    mf_json_space(&j);
    if (!j.problem && j.at != j.end)
        mf_json_problem(&j, "something follows the value");
    if (!j.problem && d->source > FROM_BYTES) {
        mf_draft_content_rewind(d);
        uint8_t *p = mf_buffer_reserve(&d->content, (size_t)d->content_length + 4);
        if (p)
            d->content.length = mf_draft_content_next(d, p, (size_t)d->content_length + 4);
        d->source = FROM_BYTES;
    }
    return j.problem ? fail(d, MEMFILE_E_INVALID, j.problem) : check_buffers(d);
}

int memfile_draft_parse_json(memfile_draft *d, const char *json, size_t length, memfile_error *error)
{
    uint64_t seen = 0;
    mf_json j = mf_json_of(json, length);
    j.limit = MF_CORE_LENGTH_MAX;
    memfile_draft_clear(d);
    mf_json_expect(&j, '{');
    if (mf_json_peek(&j) == '}') {
        j.at++;
    } else {
        while (!j.problem) {
            uint8_t name_text[1024];
            mf_slice name = json_short(&j, name_text, sizeof name_text, "a member's name has at most 1020 bytes");
            mf_json_expect(&j, ':');
            if (!j.problem)
                json_member(d, name, &j, &seen);
            if (mf_json_peek(&j) == ',') {
                j.at++;
                continue;
            }
            mf_json_expect(&j, '}');
            break;
        }
    }
    mf_json_space(&j);
    if (!j.problem && j.at != j.end)
        mf_json_problem(&j, "something follows the object");
    if (!j.problem && check_buffers(d) == MEMFILE_OK && !d->error.code)
        return MEMFILE_OK;
    if (!d->error.code)
        mf_fail(&d->error, MEMFILE_E_INVALID, (uint64_t)(j.at - j.start), "%s", j.problem);
    if (error)
        *error = d->error;
    return d->error.code;
}

/* ---- content */

uint64_t mf_draft_content_length(const memfile_draft *d)
{
    return d->source == FROM_NOTHING ? UINT64_MAX : d->content_length;
}

int mf_draft_content_form(const memfile_draft *d)
{
    return d->form;
}

bool mf_draft_has(const memfile_draft *d, unsigned field)
{
    return d->present >> field & 1;
}

void mf_draft_content_rewind(memfile_draft *d)
{
    d->reading = d->source == FROM_BYTES ? mf_slice_of(d->content.data, d->content.length) : d->borrowed;
}

size_t mf_draft_content_next(memfile_draft *d, uint8_t *out, size_t size)
{
    if (d->source == FROM_JSON)
        return mf_json_unescape(&d->reading, out, size);
    if (d->source == FROM_BASE64)
        return base64_decode(&d->reading, out, size);
    size_t n = d->reading.length < size ? d->reading.length : size;
    if (n)
        memcpy(out, d->reading.data, n);
    d->reading = mf_slice_of(d->reading.data + n, d->reading.length - n);
    return n;
}

mf_slice mf_draft_vector(const memfile_draft *d)
{
    return mf_draft_has(d, MF_FIELD_EMBEDDING) ? mf_slice_of(d->vector.data, d->vector.length) : mf_slice_of(NULL, 0);
}

/* ---- core */

static void put_list(mf_buffer *out, unsigned field, const mf_buffer *items, uint32_t count)
{
    mf_cbor_put_head(out, MF_CBOR_UINT, field);
    mf_cbor_put_head(out, MF_CBOR_ARRAY, count);
    mf_put_bytes(out, items->data, items->length);
}

static void put_content(memfile_draft *d, const mf_detached *detached, mf_buffer *out)
{
    if (detached) {
        mf_cbor_put_head(out, MF_CBOR_UINT, MF_FIELD_CONTENT);
        mf_cbor_put_head(out, MF_CBOR_ARRAY, 3);
        mf_cbor_put_head(out, MF_CBOR_UINT, detached->form);
        mf_cbor_put_head(out, MF_CBOR_UINT, detached->length);
        mf_cbor_put_bytes(out, mf_slice_of(detached->root, sizeof detached->root));
        return;
    }
    mf_slice s = mf_slice_of(d->content.data, d->content.length);
    bool text = d->form == MF_CONTENT_TEXT;
    mf_cbor_put_head(out, MF_CBOR_UINT, text ? MF_FIELD_TEXT : MF_FIELD_DATA);
    if (text)
        mf_cbor_put_text(out, s);
    else
        mf_cbor_put_bytes(out, s);
}

static int compare_extensions(const memfile_draft *d, const extension *a, const extension *b)
{
    size_t n = a->key_length < b->key_length ? a->key_length : b->key_length;
    int order = memcmp(d->values.data + a->offset, d->values.data + b->offset, n);
    return order ? order : a->key_length < b->key_length ? -1 : 1;
}

static void sort_extensions(memfile_draft *d)
{
    for (size_t i = 1; i < d->extension_count; i++) {
        extension x = d->extensions[i];
        size_t k = i;
        for (; k > 0 && compare_extensions(d, &d->extensions[k - 1], &x) > 0; k--)
            d->extensions[k] = d->extensions[k - 1];
        d->extensions[k] = x;
    }
}

/* Which field a content goes under: text and data differ in the key only. */
static unsigned content_field(const memfile_draft *d, const mf_detached *detached)
{
    return detached                      ? MF_FIELD_CONTENT
           : d->source == FROM_NOTHING   ? MF_FIELD_COUNT
           : d->form == MF_CONTENT_TEXT ? MF_FIELD_TEXT
                                         : MF_FIELD_DATA;
}

void mf_draft_core(memfile_draft *d, const mf_detached *detached, mf_buffer *out)
{
    unsigned content = content_field(d, detached);
    uint32_t fields = d->present, lists = 0;
    if (d->scope_count)
        lists |= 1u << MF_FIELD_SCOPE;
    if (d->tag_count)
        lists |= 1u << MF_FIELD_TAGS;
    if (d->link_count)
        lists |= 1u << MF_FIELD_LINKS;
    fields |= lists | (content < MF_FIELD_COUNT ? 1u << content : 0);
    uint64_t pairs = d->extension_count;
    for (uint32_t left = fields; left; left &= left - 1)
        pairs++;
    mf_cbor_put_head(out, MF_CBOR_MAP, pairs);
    for (unsigned f = 0; fields >> f; f++) {
        if (!(fields >> f & 1))
            continue;
        if (f == content) {
            put_content(d, detached, out);
        } else if (lists >> f & 1) {
            if (f == MF_FIELD_SCOPE)
                put_list(out, f, &d->scope, d->scope_count);
            else if (f == MF_FIELD_TAGS)
                put_list(out, f, &d->tags, d->tag_count);
            else
                put_list(out, f, &d->links, d->link_count);
        } else {
            mf_cbor_put_head(out, MF_CBOR_UINT, f);
            mf_put_bytes(out, d->values.data + d->slots[f].offset, d->slots[f].length);
        }
    }
    if (d->extension_count > 1)
        sort_extensions(d);
    for (size_t i = 0; i < d->extension_count; i++)
        mf_put_bytes(out, d->values.data + d->extensions[i].offset, d->extensions[i].length);
}

/* ---- core to JSON */

static void put_base64(mf_buffer *out, mf_slice s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *p = mf_buffer_reserve(out, (s.length + 2) / 3 * 4 + 2);
    if (!p)
        return;
    uint8_t *start = p;
    *p++ = '"';
    for (size_t i = 0; i < s.length; i += 3) {
        size_t n = s.length - i < 3 ? s.length - i : 3;
        uint32_t v = (uint32_t)s.data[i] << 16 | (n > 1 ? (uint32_t)s.data[i + 1] << 8 : 0) | (n > 2 ? s.data[i + 2] : 0);
        for (size_t k = 0; k < 4; k++)
            *p++ = k <= n ? (uint8_t)digits[v >> (18 - 6 * k) & 63] : '=';
    }
    *p++ = '"';
    out->length += (size_t)(p - start);
}

static void put_id(mf_buffer *out, mf_id id)
{
    char text[256];
    size_t n = mf_id_print(id, text);
    mf_json_put_string(out, mf_slice_of(text, n));
}

static void put_member(mf_buffer *out, const char *name, bool *first)
{
    mf_put_bytes(out, *first ? "{" : ",", 1);
    *first = false;
    mf_json_put_string(out, mf_slice_of(name, strlen(name)));
    mf_put_u8(out, ':');
}

static void put_time(mf_buffer *out, mf_cursor *c)
{
    char text[32];
    mf_time t = mf_cbor_get_time(c);
    size_t n = mf_time_print(&t, text);
    mf_json_put_string(out, mf_slice_of(text, n));
}

static void put_links(mf_buffer *out, const mf_record *r)
{
    mf_put_u8(out, '[');
    for (uint32_t i = 0; i < r->link_count; i++) {
        mf_put_bytes(out, i ? ",{\"rel\":" : "{\"rel\":", i ? 8 : 7);
        mf_json_put_string(out, r->links[i].relation);
        mf_put_bytes(out, ",\"to\":", 6);
        put_id(out, r->links[i].target);
        mf_put_u8(out, '}');
    }
    mf_put_u8(out, ']');
}

static void put_embedding(mf_buffer *out, const mf_record *r)
{
    mf_put_bytes(out, "{\"space\":", 9);
    mf_json_put_string(out, r->embedding_space);
    mf_put_bytes(out, ",\"values\":[", 11);
    size_t width = r->embedding_type == MF_VECTOR_F32 ? 4 : 8;
    for (size_t i = 0; i * width + width <= r->vector.length; i++) {
        if (i)
            mf_put_u8(out, ',');
        if (width == 4) {
            uint32_t bits = mf_load32(r->vector.data + i * 4);
            float v;
            char text[40];
            memcpy(&v, &bits, 4);
            mf_put_bytes(out, text, mf_json_print_float(text, v));
        } else {
            uint64_t bits = mf_load64(r->vector.data + i * 8);
            double v;
            memcpy(&v, &bits, 8);
            mf_json_put_double(out, v);
        }
    }
    mf_put_bytes(out, "]}", 2);
}

static void put_id_array(mf_buffer *out, mf_cursor *c)
{
    uint64_t n = mf_cbor_get(c, MF_CBOR_ARRAY);
    mf_put_u8(out, '[');
    for (uint64_t i = 0; i < n && !c->failed; i++) {
        if (i)
            mf_put_u8(out, ',');
        put_id(out, mf_cbor_get_id(c));
    }
    mf_put_u8(out, ']');
}

static void put_leaf_array(mf_buffer *out, mf_cursor *c)
{
    uint64_t n = mf_cbor_get(c, MF_CBOR_ARRAY);
    mf_put_u8(out, '[');
    for (uint64_t i = 0; i < n && !c->failed; i++) {
        mf_slice leaf = mf_cbor_get_bytes(c);
        mf_put_bytes(out, i ? ",\"" : "\"", i ? 2 : 1);
        for (size_t k = 0; k < leaf.length; k++) {
            char hex[3];
            snprintf(hex, sizeof hex, "%02x", leaf.data[k]);
            mf_put_bytes(out, hex, 2);
        }
        mf_put_u8(out, '"');
    }
    mf_put_u8(out, ']');
}

static void put_field(mf_buffer *out, mf_cursor *c, unsigned field, const mf_record *r)
{
    if (mf_cbor_peek(c) == MF_CBOR_NULL) {
        mf_cbor_skip_value(c, 0);
        mf_put_bytes(out, "null", 4);
        return;
    }
    switch (field) {
    case MF_FIELD_OP:
        if (r->op != MF_OP_FORGET) {
            mf_json_put_value(out, c, 0);
            return;
        }
        mf_cbor_get(c, MF_CBOR_UINT);
        mf_put_bytes(out, "\"forget\"", 8);
        return;
    case MF_FIELD_ID: put_id(out, mf_cbor_get_id(c)); return;
    case MF_FIELD_DATA: put_base64(out, mf_cbor_get_bytes(c)); return;
    case MF_FIELD_TIME:
    case MF_FIELD_RECORDED:
    case MF_FIELD_VALID_FROM:
    case MF_FIELD_VALID_TO:
    case MF_FIELD_EXPIRES: put_time(out, c); return;
    case MF_FIELD_DERIVED_FROM: put_id_array(out, c); return;
    case MF_FIELD_SUPERSEDES: put_leaf_array(out, c); return;
    case MF_FIELD_LINKS: {
        mf_cursor passing = *c; /* links were taken apart already */
        uint64_t n = mf_cbor_get(&passing, MF_CBOR_ARRAY);
        for (uint64_t i = 0; i < n && !passing.failed; i++) {
            mf_cbor_get(&passing, MF_CBOR_ARRAY);
            mf_cbor_get_text(&passing);
            mf_cbor_get_id(&passing);
        }
        *c = passing;
        put_links(out, r);
        return;
    }
    case MF_FIELD_EMBEDDING:
        mf_cbor_get(c, MF_CBOR_ARRAY);
        mf_cbor_get_text(c);
        mf_cbor_get(c, MF_CBOR_UINT);
        mf_cbor_get(c, MF_CBOR_UINT);
        mf_cbor_get_bytes(c);
        put_embedding(out, r);
        return;
    default: mf_json_put_value(out, c, MF_DEPTH_MAX);
    }
}

static const char *field_name(unsigned field)
{
    for (size_t i = 0; i < NAME_COUNT; i++)
        if (names[i].field == field)
            return names[i].name;
    return NULL;
}

void mf_record_put_json(mf_buffer *out, const mf_record *r, mf_slice core, const mf_slice *content)
{
    mf_cursor c = mf_cursor_of(core.data, core.length);
    uint64_t pairs = mf_cbor_get(&c, MF_CBOR_MAP);
    bool first = true;
    for (uint64_t i = 0; i < pairs && !c.failed; i++) {
        if (mf_cbor_peek(&c) >> 5 == MF_CBOR_UINT) {
            uint64_t field = mf_cbor_get(&c, MF_CBOR_UINT);
            const char *name = field < MF_FIELD_COUNT ? field_name((unsigned)field) : NULL;
            if (field == MF_FIELD_CONTENT) {
                mf_cbor_get(&c, MF_CBOR_ARRAY);
                mf_cbor_get(&c, MF_CBOR_UINT);
                mf_cbor_get(&c, MF_CBOR_UINT);
                mf_cbor_get_bytes(&c);
                put_member(out, r->content_form == MF_CONTENT_TEXT ? "text" : "data", &first);
                if (content && r->content_form == MF_CONTENT_TEXT)
                    mf_json_put_string(out, *content);
                else if (content)
                    put_base64(out, *content);
                else
                    mf_put_bytes(out, "null", 4);
            } else if (name) {
                put_member(out, name, &first);
                put_field(out, &c, (unsigned)field, r);
            } else {
                char number[24];
                snprintf(number, sizeof number, "@%llu", (unsigned long long)field);
                put_member(out, number, &first);
                mf_json_put_value(out, &c, MF_DEPTH_MAX);
            }
        } else {
            mf_slice key = mf_cbor_get_text(&c);
            mf_put_bytes(out, first ? "{" : ",", 1);
            first = false;
            mf_json_put_string(out, key);
            mf_put_u8(out, ':');
            mf_json_put_value(out, &c, MF_DEPTH_MAX);
        }
    }
    mf_put_u8(out, '}');
}
