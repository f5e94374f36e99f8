/* fuzz_bytes: varints, packed integers, strings, UTF-8 (SPEC 1.2 to 1.6), each against a
 * second, slow reading of the specification. */
#include "fuzz.h"

/* Value i of ints(n) as SPEC 1.5 says it, bit by bit. */
static uint64_t slow_int(const mf_ints *ints, uint32_t i)
{
    uint64_t v = 0;
    for (unsigned b = 0; b < ints->width; b++) {
        uint64_t bit = (uint64_t)i * ints->width + b;
        v |= (uint64_t)(ints->packed[bit / 8] >> bit % 8 & 1) << b;
    }
    return ints->base + v;
}

static void try_ints(mf_slice input, uint32_t count)
{
    mf_cursor c = mf_cursor_of(input.data, input.length);
    mf_ints ints = mf_get_ints(&c, count);
    bool overflow = false, slow_overflow = false;
    uint64_t slow_sum = 0;
    fuzz_verdict("%u ints: %s", count, c.failed ? "refused" : "");
    if (c.failed || count == 0)
        return;
    uint64_t *values = (uint64_t *)fuzz_alloc(count * sizeof *values);
    for (uint32_t i = 0; i < count; i++) {
        values[i] = mf_ints_at(&ints, i);
        FUZZ_CHECK(values[i] == slow_int(&ints, i), "value %u of width %u", i, ints.width);
        FUZZ_CHECK(values[i] >= ints.base, "value %u passes 2^64", i);
        slow_overflow = slow_overflow || values[i] > ((uint64_t)1 << 40) - slow_sum;
        slow_sum += slow_overflow ? 0 : values[i];
    }
    uint64_t sum = mf_ints_sum(&ints, (uint64_t)1 << 40, &overflow);
    FUZZ_CHECK(overflow == slow_overflow, "sum of %u", count);
    FUZZ_CHECK(overflow || sum == slow_sum, "sum of %u", count);
    fuzz_verdict("sum %llu", (unsigned long long)(overflow ? 0 : sum));
    mf_buffer b;
    mf_buffer_init(&b, &mf_mem_default);
    mf_put_ints(&b, values, count);
    FUZZ_CHECK(b.length == mf_ints_size(values, count), "size of %u", count);
    mf_cursor again = mf_cursor_of(b.data, b.length);
    mf_ints back = mf_get_ints(&again, count);
    FUZZ_CHECK(mf_cursor_finished(&again), "%u ints of %zu bytes", count, b.length);
    for (uint32_t i = 0; i < count; i++)
        FUZZ_CHECK(mf_ints_at(&back, i) == values[i], "value %u", i);
    mf_buffer_free(&b);
    free(values);
}

/* RFC 3629 by decoding each character. */
static bool slow_utf8(const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t c = s[i++];
        unsigned more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : 9;
        if (more == 9)
            return false;
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        c &= more == 0 ? 0x7f : more == 1 ? 0x1f : more == 2 ? 0x0f : 0x07;
        for (unsigned k = 0; k < more; k++) {
            if (i == n || s[i] >> 6 != 2)
                return false;
            c = c << 6 | (s[i++] & 0x3f);
        }
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            return false;
    }
    return true;
}

static void try_varints(mf_slice input)
{
    mf_cursor c = mf_cursor_of(input.data, input.length);
    while (!c.failed && c.at < c.end) {
        const uint8_t *from = c.at;
        uint64_t v = mf_get_varint(&c);
        uint8_t raw[10];
        fuzz_verdict("%s %llu", c.failed ? "refused" : "", (unsigned long long)v);
        mf_buffer b = {raw, 0, sizeof raw, &mf_mem_default, false};
        if (c.failed)
            return;
        mf_put_varint(&b, v);
        FUZZ_CHECK(b.length == (size_t)(c.at - from) && memcmp(raw, from, b.length) == 0, "varint %llu",
                   (unsigned long long)v);
        FUZZ_CHECK(mf_varint_size(v) == b.length, "varint %llu", (unsigned long long)v);
        FUZZ_CHECK(mf_zigzag(mf_unzigzag(v)) == v, "zigzag %llu", (unsigned long long)v);
    }
}

static void try_strings(mf_slice input)
{
    mf_cursor c = mf_cursor_of(input.data, input.length);
    while (c.at < c.end && !c.failed) {
        mf_slice s = mf_get_string(&c);
        FUZZ_CHECK(s.length == 0 || (s.data >= input.data && s.data + s.length <= input.data + input.length), "%zu",
                   s.length);
        uint64_t fixed = mf_get_u64(&c), small = mf_get_varint_max(&c, 300);
        int64_t either = mf_get_zigzag(&c);
        fuzz_verdict("%s %zu %llu %llu %lld", c.failed ? "refused" : "", s.length, (unsigned long long)fixed,
                     (unsigned long long)small, (long long)either);
    }
    FUZZ_CHECK(!c.failed || mf_cursor_left(&c) == 0, "a failed cursor has %zu left", mf_cursor_left(&c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    uint8_t what = fuzz_u8(&in);
    uint32_t count = fuzz_u16(&in);
    mf_slice rest = fuzz_bytes(&in, SIZE_MAX);
    uint8_t *exact = fuzz_copy(rest.data, rest.length);
    mf_slice input = mf_slice_of(exact, rest.length);
    switch (what % 4) {
    case 0: try_ints(input, count); break;
    case 1: FUZZ_CHECK(mf_utf8_valid(exact, rest.length) == slow_utf8(exact, rest.length), "UTF-8"); break;
    case 2: try_varints(input); break;
    default: try_strings(input);
    }
    free(exact);
    return 0;
}
