/* fuzz_cbor: deterministic CBOR (SPEC 7.4): what is accepted is passed over whole, and as
 * JSON comes back to the same bytes. */
#include "fuzz.h"

#include "cbor.h"
#include "json.h"
#include "record.h"

static void try_value(const uint8_t *data, size_t size)
{
    mf_cursor c = mf_cursor_of(data, size);
    mf_buffer json, again;
    mf_cbor_skip_value(&c, 32);
    fuzz_verdict("%s %zu left", c.failed ? "refused" : "", mf_cursor_left(&c));
    if (c.failed)
        return;
    size_t length = (size_t)(c.at - data);
    mf_buffer_init(&json, &mf_mem_default);
    mf_buffer_init(&again, &mf_mem_default);
    mf_cursor from = mf_cursor_of(data, length);
    mf_json_put_value(&json, &from, 32);
    FUZZ_CHECK(mf_cursor_finished(&from), "the value was not printed whole");
    mf_json j = mf_json_of(json.data, json.length);
    j.limit = SIZE_MAX;
    mf_json_value(&j, &again, 32);
    FUZZ_CHECK(!j.problem && j.at == j.end, "%s: %.*s", j.problem ? j.problem : "it goes on", (int)json.length,
               (const char *)json.data);
    FUZZ_CHECK(again.length == length && memcmp(again.data, data, length) == 0, "%.*s", (int)json.length,
               (const char *)json.data);
    mf_buffer_free(&json);
    mf_buffer_free(&again);
}

static void try_items(const uint8_t *data, size_t size)
{
    mf_cursor c = mf_cursor_of(data, size);
    while (!c.failed && c.at < c.end) {
        const uint8_t *from = c.at;
        mf_buffer b;
        uint64_t argument;
        unsigned bytes;
        mf_buffer_init(&b, &mf_mem_default);
        mf_cursor ahead = c;
        unsigned major = mf_cbor_get_head(&ahead, &argument, &bytes);
        switch (ahead.failed ? 8 : major) {
        case MF_CBOR_UINT:
        case MF_CBOR_NINT: {
            int64_t v = mf_cbor_get_int(&c);
            if (!c.failed)
                mf_cbor_put_int(&b, v);
            break;
        }
        case MF_CBOR_BYTES: {
            mf_slice s = mf_cbor_get_bytes(&c);
            if (!c.failed)
                mf_cbor_put_bytes(&b, s);
            break;
        }
        case MF_CBOR_TEXT: {
            mf_slice s = mf_cbor_get_text(&c);
            if (!c.failed)
                mf_cbor_put_text(&b, s);
            break;
        }
        case MF_CBOR_ARRAY: {
            mf_time t = mf_cbor_get_time(&c);
            if (!c.failed)
                mf_cbor_put_time(&b, &t);
            break;
        }
        default: c.failed = true;
        }
        fuzz_verdict("%u %s", major, c.failed ? "refused" : "");
        FUZZ_CHECK(c.failed || (b.length == (size_t)(c.at - from) && memcmp(b.data, from, b.length) == 0),
                   "item of type %u", major);
        mf_buffer_free(&b);
    }
}

static void try_float(const uint8_t *data, size_t size)
{
    uint64_t bits;
    double v, back;
    mf_buffer b;
    if (size < 8)
        return;
    bits = mf_load64(data);
    memcpy(&v, &bits, 8);
    if (!(v - v == 0)) /* not finite */
        return;
    mf_buffer_init(&b, &mf_mem_default);
    mf_cbor_put_float(&b, v);
    mf_cursor c = mf_cursor_of(b.data, b.length);
    mf_cbor_skip_value(&c, 0);
    FUZZ_CHECK(mf_cursor_finished(&c), "the float %a is not in its form", v);
    c = mf_cursor_of(b.data, b.length);
    unsigned length;
    mf_cbor_get_head(&c, &bits, &length);
    back = mf_cbor_float(bits, length);
    FUZZ_CHECK(memcmp(&back, &v, 8) == 0, "%a came back as %a", v, back);
    mf_buffer_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_value(data, size);
    try_items(data, size);
    try_float(data, size);
    return 0;
}
