/* record_json: an entry as JSON. SPEC 7.7. */
#include <stdio.h>

#include "base64.h"
#include "cbor.h"
#include "draft.h"
#include "json.h"

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
    if (r->vector.length == 0) { /* it was dropped */
        mf_put_u8(out, '}');
        return;
    }
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
    case MF_FIELD_DATA: mf_base64_put(out, mf_cbor_get_bytes(c)); return;
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

void mf_record_put_json(mf_buffer *out, const mf_record *r, mf_slice core, const mf_slice *content)
{
    mf_cursor c = mf_cursor_of(core.data, core.length);
    uint64_t pairs = mf_cbor_get(&c, MF_CBOR_MAP);
    bool first = true;
    for (uint64_t i = 0; i < pairs && !c.failed; i++) {
        if (mf_cbor_peek(&c) >> 5 == MF_CBOR_UINT) {
            uint64_t field = mf_cbor_get(&c, MF_CBOR_UINT);
            const char *name = field < MF_FIELD_COUNT ? mf_field_name((unsigned)field) : NULL;
            if (field == MF_FIELD_CONTENT) {
                mf_cbor_get(&c, MF_CBOR_ARRAY);
                mf_cbor_get(&c, MF_CBOR_UINT);
                mf_cbor_get(&c, MF_CBOR_UINT);
                mf_cbor_get_bytes(&c);
                put_member(out, r->content_form == MF_CONTENT_TEXT ? "text" : "data", &first);
                if (content && r->content_form == MF_CONTENT_TEXT)
                    mf_json_put_string(out, *content);
                else if (content)
                    mf_base64_put(out, *content);
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
