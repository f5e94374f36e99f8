/* draft_json: a draft from JSON. SPEC 7.7. */
#include <math.h>

#include "base64.h"
#include "cbor.h"
#include "draft_inside.h"
#include "json.h"

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
        int64_t bytes = memchr(raw.data, '\\', raw.length) ? -1 : mf_base64_length(raw);
        if (bytes < 0) {
            mf_json_problem(j, "\"data\" is not base64 (RFC 4648, with padding, without line breaks)");
            return;
        }
        length = (uint64_t)bytes;
    }
    d->borrowed = raw;
    if (length > MF_INLINE_CONTENT_MAX) { /* read from the caller's text when it is put */
        mf_draft_set_content(d, is_data ? MF_CONTENT_DATA : MF_CONTENT_TEXT, is_data ? FROM_BASE64 : FROM_JSON, length);
        return;
    }
    uint8_t *p = mf_buffer_reserve(&d->content, (size_t)length + 4);
    if (p)
        d->content.length = is_data ? mf_base64_decode(&raw, p, (size_t)length + 4)
                                    : mf_json_unescape(&raw, p, (size_t)length + 4);
    mf_draft_set_content(d, is_data ? MF_CONTENT_DATA : MF_CONTENT_TEXT, FROM_BYTES, length);
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
    mf_slice s = json_short(j, text, sizeof text, MF_TIME_FORM);
    if (!j->problem && !mf_time_parse(&time, (const char *)s.data, s.length))
        mf_json_problem(j, MF_TIME_FORM);
    if (!j->problem)
        mf_cbor_put_time(out, &time);
}

static void json_link(mf_json *j, mf_buffer *out, unsigned depth_left)
{
    (void)depth_left;
    mf_buffer relation, target;
    mf_buffer_init(&relation, out->mem);
    mf_buffer_init(&target, out->mem);
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

static void json_id_item(mf_json *j, mf_buffer *out, unsigned depth_left)
{
    (void)depth_left;
    json_id(j, out);
}

static void json_leaf_item(mf_json *j, mf_buffer *out, unsigned depth_left)
{
    (void)depth_left;
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
        if (i == 0 && mf_json_peek(j) == '}')
            break;
        if (i == 0)
            mf_json_expect(j, ',');
    }
    mf_json_expect(j, '}');
    if (!space.data)
        mf_json_problem(j, what);
    if (!j->problem && seen_values) { /* without values it was dropped: SPEC 7.7 */
        mf_buffer_clear(&d->vector);
        for (size_t i = 0; i < count; i++) {
            uint64_t bits;
            memcpy(&bits, &values[i], 8);
            if (narrow)
                mf_draft_put_float32(&d->vector, (float)values[i]);
            else
                mf_put_u64(&d->vector, bits);
        }
        mf_draft_set_embedding(d, space, narrow ? MF_VECTOR_F32 : MF_VECTOR_F64, count);
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
    mf_draft_slot_begin(d, field);
    bool is_null = mf_json_peek(j) == 'n';
    switch (is_null ? MF_FIELD_META : field) {
    case MF_FIELD_OP: json_op(j, out); break;
    case MF_FIELD_ID: json_id(j, out); break;
    case MF_FIELD_TIME:
    case MF_FIELD_RECORDED:
    case MF_FIELD_VALID_FROM:
    case MF_FIELD_VALID_TO:
    case MF_FIELD_EXPIRES: json_time(j, out); break;
    case MF_FIELD_LINKS: mf_json_array(j, out, json_link, 0); break;
    case MF_FIELD_DERIVED_FROM: mf_json_array(j, out, json_id_item, 0); break;
    case MF_FIELD_SUPERSEDES: mf_json_array(j, out, json_leaf_item, 0); break;
    default: mf_json_value(j, out, MF_DEPTH_MAX);
    }
    mf_draft_slot_end(d, field);
}

static int add_extension(memfile_draft *d, mf_slice name, mf_json *j)
{
    void *grown = d->extensions;
    if (mf_grow(d->values.mem, &grown, &d->extension_capacity, d->extension_count + 1, sizeof *d->extensions) != 0)
        return mf_draft_fail(d, MEMFILE_E_MEMORY, "out of memory");
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
            if (digit > 9 || v > ((uint64_t)INT64_MAX - digit) / 10 || (digit == 0 && i == 1))
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
    return mf_draft_check(d);
}

static void json_member(memfile_draft *d, mf_slice name, mf_json *j, uint64_t *seen)
{
    unsigned field = mf_field_named(name);
    if (field < MF_FIELD_COUNT) {
        if (*seen >> field & 1)
            mf_json_problem(j, "an object has the same key twice");
        *seen |= (uint64_t)1 << field;
        json_field(d, j, field);
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
    int rc = mf_draft_check(d); /* without memory the text was not read to its end */
    return rc == MEMFILE_OK && j.problem ? mf_draft_fail(d, MEMFILE_E_INVALID, j.problem) : rc;
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
    int rc = mf_draft_check(d); /* without memory the text was not read to its end */
    if (!j.problem && rc == MEMFILE_OK && !d->error.code)
        return MEMFILE_OK;
    if (!d->error.code)
        mf_fail(&d->error, MEMFILE_E_INVALID, (uint64_t)(j.at - j.start), "%s", j.problem);
    if (error)
        *error = d->error;
    return d->error.code;
}
