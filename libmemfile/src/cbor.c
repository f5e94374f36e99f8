/* cbor: heads, texts, floats. */
#include "cbor.h"

#include <math.h>

void mf_cbor_put_head(mf_buffer *b, unsigned major, uint64_t v)
{
    uint8_t raw[9];
    size_t n = 1;
    uint8_t high = (uint8_t)(major << 5);
    if (v < 24) {
        raw[0] = (uint8_t)(high | v);
    } else {
        unsigned bytes = v <= 0xff ? 1 : v <= 0xffff ? 2 : v <= 0xffffffff ? 4 : 8;
        raw[0] = (uint8_t)(high | (bytes == 1 ? 24 : bytes == 2 ? 25 : bytes == 4 ? 26 : 27));
        for (unsigned i = 0; i < bytes; i++)
            raw[1 + i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
        n += bytes;
    }
    mf_put_bytes(b, raw, n);
}

void mf_cbor_put_int(mf_buffer *b, int64_t v)
{
    if (v >= 0)
        mf_cbor_put_head(b, MF_CBOR_UINT, (uint64_t)v);
    else
        mf_cbor_put_head(b, MF_CBOR_NINT, (uint64_t)(-(v + 1)));
}

void mf_cbor_put_text(mf_buffer *b, mf_slice s)
{
    mf_cbor_put_head(b, MF_CBOR_TEXT, s.length);
    mf_put_bytes(b, s.data, s.length);
}

void mf_cbor_put_bytes(mf_buffer *b, mf_slice s)
{
    mf_cbor_put_head(b, MF_CBOR_BYTES, s.length);
    mf_put_bytes(b, s.data, s.length);
}

static double half_value(unsigned bits)
{
    int exponent = (int)(bits >> 10 & 0x1f);
    double mantissa = bits & 0x3ff;
    double v = exponent == 0    ? ldexp(mantissa, -24)
               : exponent == 31 ? (mantissa == 0 ? HUGE_VAL : (double)NAN)
                                : ldexp(mantissa + 1024, exponent - 25);
    return bits & 0x8000 ? -v : v;
}

/* The half-precision number equal to v, or -1. v is finite. */
static int half_bits(double v)
{
    int exponent;
    double mantissa = frexp(fabs(v), &exponent); /* 0.5 <= mantissa < 1 */
    unsigned sign = signbit(v) ? 0x8000 : 0;
    unsigned bits;
    if (v == 0)
        bits = 0;
    else if (exponent > 16)
        return -1;
    else if (exponent < -13) /* subnormal */
        bits = exponent < -24 ? 0 : (unsigned)ldexp(fabs(v), 24);
    else
        bits = (unsigned)((exponent + 14) << 10) + ((unsigned)ldexp(mantissa, 11) & 0x3ff);
    bits |= sign;
    return half_value(bits) == v && signbit(half_value(bits)) == signbit(v) ? (int)bits : -1;
}

void mf_cbor_put_float(mf_buffer *b, double v)
{
    uint8_t raw[9];
    int half = half_bits(v);
    float single = (float)v;
    if (half >= 0) {
        raw[0] = 0xf9;
        raw[1] = (uint8_t)(half >> 8);
        raw[2] = (uint8_t)half;
        mf_put_bytes(b, raw, 3);
    } else if ((double)single == v) {
        uint32_t bits;
        memcpy(&bits, &single, 4);
        raw[0] = 0xfa;
        for (int i = 0; i < 4; i++)
            raw[1 + i] = (uint8_t)(bits >> (24 - 8 * i));
        mf_put_bytes(b, raw, 5);
    } else {
        uint64_t bits;
        memcpy(&bits, &v, 8);
        raw[0] = 0xfb;
        for (int i = 0; i < 8; i++)
            raw[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
        mf_put_bytes(b, raw, 9);
    }
}

unsigned mf_cbor_get_head(mf_cursor *c, uint64_t *argument, unsigned *size)
{
    uint8_t first = mf_get_u8(c);
    unsigned major = first >> 5, low = first & 31;
    *argument = low;
    *size = 0;
    if (low < 24)
        return major;
    if (low > 27) { /* indefinite lengths and reserved values */
        c->failed = true;
        return major;
    }
    unsigned n = 1u << (low - 24);
    const uint8_t *p = mf_get_bytes(c, n);
    if (!p)
        return major;
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v = v << 8 | p[i];
    static const uint64_t least[] = {24, 0x100, 0x10000, 0x100000000};
    if (major != MF_CBOR_SIMPLE && v < least[low - 24])
        c->failed = true;
    *argument = v;
    *size = n;
    return major;
}

uint64_t mf_cbor_get(mf_cursor *c, unsigned major)
{
    uint64_t v;
    unsigned size;
    if (mf_cbor_get_head(c, &v, &size) != major)
        c->failed = true;
    return c->failed ? 0 : v;
}

mf_slice mf_cbor_get_bytes(mf_cursor *c)
{
    uint64_t n = mf_cbor_get(c, MF_CBOR_BYTES);
    const uint8_t *p = mf_get_bytes(c, n);
    return mf_slice_of(p, p ? (size_t)n : 0);
}

mf_slice mf_cbor_get_text(mf_cursor *c)
{
    uint64_t n = mf_cbor_get(c, MF_CBOR_TEXT);
    const uint8_t *p = mf_get_bytes(c, n);
    if (p && !mf_utf8_valid(p, (size_t)n))
        c->failed = true;
    return c->failed ? mf_slice_of(NULL, 0) : mf_slice_of(p, (size_t)n);
}

int64_t mf_cbor_get_int(mf_cursor *c)
{
    uint64_t v;
    unsigned size;
    unsigned major = mf_cbor_get_head(c, &v, &size);
    if (major > MF_CBOR_NINT || v > INT64_MAX)
        c->failed = true;
    if (c->failed)
        return 0;
    return major == MF_CBOR_UINT ? (int64_t)v : -1 - (int64_t)v;
}

double mf_cbor_float(uint64_t bits, unsigned size)
{
    if (size == 2)
        return half_value((unsigned)bits);
    if (size == 4) {
        uint32_t narrow = (uint32_t)bits;
        float single;
        memcpy(&single, &narrow, 4);
        return (double)single;
    }
    double v;
    memcpy(&v, &bits, 8);
    return v;
}

static void check_simple(mf_cursor *c, uint64_t v, unsigned size)
{
    if (size < 2) {
        if (size == 1 || v < 20 || v > 22) /* only false, true, null */
            c->failed = true;
        return;
    }
    double d = mf_cbor_float(v, size);
    if (!isfinite(d) || (size > 2 && half_bits(d) >= 0) || (size == 8 && (double)(float)d == d))
        c->failed = true;
}

static int compare_keys(mf_slice a, mf_slice b)
{
    size_t n = a.length < b.length ? a.length : b.length;
    int d = n ? memcmp(a.data, b.data, n) : 0;
    return d ? d : a.length < b.length ? -1 : a.length > b.length;
}

void mf_cbor_skip_value(mf_cursor *c, unsigned depth_left)
{
    uint64_t v;
    unsigned size;
    const uint8_t *start = c->at;
    unsigned major = mf_cbor_get_head(c, &v, &size);
    if (c->failed)
        return;
    switch (major) {
    case MF_CBOR_UINT:
    case MF_CBOR_NINT: return;
    case MF_CBOR_TEXT:
        c->at = start;
        mf_cbor_get_text(c);
        return;
    case MF_CBOR_SIMPLE: check_simple(c, v, size); return;
    case MF_CBOR_ARRAY:
    case MF_CBOR_MAP:
        if (depth_left == 0 || v > mf_cursor_left(c)) {
            c->failed = true;
            return;
        }
        mf_slice before = {0};
        for (uint64_t i = 0; i < v && !c->failed; i++) {
            if (major == MF_CBOR_MAP) {
                const uint8_t *key = c->at;
                mf_cbor_get_text(c);
                mf_slice now = mf_slice_of(key, (size_t)(c->at - key));
                if (i > 0 && compare_keys(before, now) >= 0)
                    c->failed = true; /* keys rise strictly, so none stands twice */
                before = now;
            }
            mf_cbor_skip_value(c, depth_left - 1);
        }
        return;
    default: c->failed = true;
    }
}
