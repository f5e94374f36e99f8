/* fuzz_json: JSON texts (SPEC 7.7): a value that is accepted is deterministic CBOR, and
 * printed and read again gives the same; strings, numbers and base64 likewise. */
#include "fuzz.h"

#include "base64.h"
#include "cbor.h"
#include "json.h"

static void try_value(const uint8_t *data, size_t size)
{
    mf_json j = mf_json_of(data, size);
    mf_buffer cbor, json, again;
    mf_buffer_init(&cbor, &mf_mem_default);
    mf_buffer_init(&json, &mf_mem_default);
    mf_buffer_init(&again, &mf_mem_default);
    j.limit = 262144;
    mf_json_value(&j, &cbor, 32);
    fuzz_verdict("%s", j.problem ? j.problem : "");
    fuzz_verdict_bytes(cbor.data, cbor.length);
    if (!j.problem) {
        mf_cursor c = mf_cursor_of(cbor.data, cbor.length);
        mf_cbor_skip_value(&c, 32);
        FUZZ_CHECK(mf_cursor_finished(&c), "the value is not deterministic CBOR");
        c = mf_cursor_of(cbor.data, cbor.length);
        mf_json_put_value(&json, &c, 32);
        mf_json k = mf_json_of(json.data, json.length);
        k.limit = SIZE_MAX;
        mf_json_value(&k, &again, 32);
        FUZZ_CHECK(!k.problem && k.at == k.end, "%s", k.problem ? k.problem : "it goes on");
        FUZZ_CHECK(mf_slice_equal(mf_slice_of(cbor.data, cbor.length), mf_slice_of(again.data, again.length)), "%.*s",
                   (int)json.length, (const char *)json.data);
    }
    mf_buffer_free(&cbor);
    mf_buffer_free(&json);
    mf_buffer_free(&again);
}

/* Escapes taken out at once and in small pieces give the same, valid, of the said length. */
static void try_string(const uint8_t *data, size_t size)
{
    mf_json j = mf_json_of(data, size);
    mf_slice raw;
    size_t length = mf_json_string(&j, &raw);
    fuzz_verdict("%s", j.problem ? j.problem : "a string");
    if (j.problem)
        return;
    uint8_t *whole = (uint8_t *)fuzz_alloc(length + 4), *pieces = (uint8_t *)fuzz_alloc(length + 8);
    mf_slice left = raw;
    size_t got = mf_json_unescape(&left, whole, length + 4), at = 0;
    FUZZ_CHECK(got == length && left.length == 0, "%zu of %zu bytes", got, length);
    FUZZ_CHECK(mf_utf8_valid(whole, got), "the string is not UTF-8");
    for (left = raw; left.length > 0 && at <= length;) {
        size_t n = mf_json_unescape(&left, pieces + at, 4);
        FUZZ_CHECK(n > 0, "nothing at %zu of %zu", at, length);
        at += n;
    }
    FUZZ_CHECK(at == length && memcmp(whole, pieces, length) == 0, "%zu of %zu in pieces", at, length);
    free(whole);
    free(pieces);
}

static void try_base64(const uint8_t *data, size_t size)
{
    mf_slice text = mf_slice_of(data, size);
    int64_t length = mf_base64_length(text);
    mf_buffer b;
    fuzz_verdict("%lld bytes of base64", (long long)length);
    if (length < 0)
        return;
    uint8_t *bytes = (uint8_t *)fuzz_alloc((size_t)length + 4);
    size_t at = 0;
    while (text.length > 0) {
        size_t n = mf_base64_decode(&text, bytes + at, (size_t)length + 4 - at < 7 ? (size_t)length + 4 - at : 7);
        FUZZ_CHECK(n > 0, "nothing at %zu", at);
        at += n;
    }
    FUZZ_CHECK(at == (size_t)length, "%zu of %lld bytes", at, (long long)length);
    mf_buffer_init(&b, &mf_mem_default);
    mf_base64_put(&b, mf_slice_of(bytes, at));
    FUZZ_CHECK(b.length == size + 2 && memcmp(b.data + 1, data, size) == 0, "base64 of %zu bytes", size);
    mf_buffer_free(&b);
    free(bytes);
}

static void try_floats(const uint8_t *data, size_t size)
{
    mf_json j = mf_json_of(data, size);
    double v = mf_json_double(&j);
    float narrow;
    char text[40];
    fuzz_verdict("%s", j.problem ? j.problem : "a number");
    if (!j.problem)
        fuzz_verdict("%a", v);
    FUZZ_CHECK(j.problem || v - v == 0, "the number is not finite");
    if (size < 4)
        return;
    memcpy(&narrow, data, 4);
    if (narrow - narrow == 0) {
        size_t n = mf_json_print_float(text, narrow);
        FUZZ_CHECK(n < sizeof text && strtof(text, NULL) == narrow, "%a printed as %s", (double)narrow, text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_value(data, size);
    try_string(data, size);
    try_base64(data, size);
    try_floats(data, size);
    return 0;
}
