/* fuzz_time: times and ids (SPEC 7.1, 7.3): what is read is written the same. */
#include "fuzz.h"

#include "cbor.h"
#include "record.h"

static void try_time(const char *text, size_t length)
{
    mf_time t, back;
    char printed[32];
    mf_buffer b;
    bool fits = mf_time_parse(&t, text, length);
    fuzz_verdict("%s", fits ? "a time" : "no time");
    if (!fits)
        return;
    FUZZ_CHECK(t.seconds >= MF_SECONDS_MIN && t.seconds <= MF_SECONDS_MAX && t.digits <= 9, "%.*s", (int)length, text);
    size_t n = mf_time_print(&t, printed);
    FUZZ_CHECK(n == length && memcmp(printed, text, n) == 0, "%.*s printed as %s", (int)length, text, printed);
    mf_buffer_init(&b, &mf_mem_default);
    mf_cbor_put_time(&b, &t);
    mf_cursor c = mf_cursor_of(b.data, b.length);
    back = mf_cbor_get_time(&c);
    FUZZ_CHECK(mf_cursor_finished(&c) && mf_time_compare(&t, &back) == 0 && back.digits == t.digits, "%s", printed);
    FUZZ_CHECK(mf_time_nanoseconds(&t) < 1000000000u, "%s", printed);
    mf_buffer_free(&b);
}

/* From its CBOR: printed, it reads back as the same. */
static void try_stored(const uint8_t *data, size_t size)
{
    mf_cursor c = mf_cursor_of(data, size);
    mf_time t = mf_cbor_get_time(&c), back;
    char printed[32];
    fuzz_verdict("%s", c.failed ? "no stored time" : "a stored time");
    if (c.failed)
        return;
    size_t n = mf_time_print(&t, printed);
    FUZZ_CHECK(mf_time_parse(&back, printed, n), "%s", printed);
    FUZZ_CHECK(back.seconds == t.seconds && back.digits == t.digits && back.fraction == t.fraction, "%s", printed);
}

static void try_id(const char *text, size_t length)
{
    uint8_t binary[16];
    char printed[256];
    mf_buffer b;
    mf_id id = mf_id_from_text(text, length, binary);
    if (length == 0 || length > MF_ID_MAX)
        return;
    size_t n = mf_id_print(id, printed);
    FUZZ_CHECK(n == length && memcmp(printed, text, n) == 0, "id of %zu bytes", length);
    mf_buffer_init(&b, &mf_mem_default);
    mf_cbor_put_id(&b, id);
    mf_cursor c = mf_cursor_of(b.data, b.length);
    mf_id back = mf_cbor_get_id(&c);
    FUZZ_CHECK(c.failed ? !mf_utf8_valid((const uint8_t *)text, length) : mf_id_equal(id, back), "id of %zu bytes", length);
    mf_buffer_free(&b);
}

static void try_stored_id(const uint8_t *data, size_t size)
{
    mf_cursor c = mf_cursor_of(data, size);
    uint8_t binary[16];
    char printed[256];
    mf_id id = mf_cbor_get_id(&c);
    fuzz_verdict("%s", c.failed ? "no stored id" : "a stored id");
    if (c.failed)
        return;
    size_t n = mf_id_print(id, printed);
    FUZZ_CHECK(mf_id_equal(id, mf_id_from_text(printed, n, binary)), "id %s", printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = (char *)fuzz_copy(data, size);
    try_time(text, size);
    try_id(text, size);
    try_stored(data, size);
    try_stored_id(data, size);
    free(text);
    return 0;
}
