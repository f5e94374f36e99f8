/* bytes: implementation of SPEC 1. */
#include "bytes.h"

/* ---- cursor */

uint64_t mf_get_u64(mf_cursor *c)
{
    const uint8_t *p = mf_get_bytes(c, 8);
    return p ? mf_load64(p) : 0;
}

uint64_t mf_get_varint(mf_cursor *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        const uint8_t *p = mf_get_bytes(c, 1);
        if (!p)
            return 0;
        if (shift == 63 && *p > 1)
            break; /* past 2^64 */
        v |= (uint64_t)(*p & 0x7f) << shift;
        if (!(*p & 0x80)) {
            if (*p == 0 && shift > 0)
                break; /* not the shortest form */
            return v;
        }
    }
    c->failed = true;
    return 0;
}

uint64_t mf_get_varint_max(mf_cursor *c, uint64_t limit)
{
    uint64_t v = mf_get_varint(c);
    if (v > limit) {
        c->failed = true;
        return 0;
    }
    return v;
}

int64_t mf_get_zigzag(mf_cursor *c)
{
    return mf_unzigzag(mf_get_varint(c));
}

mf_slice mf_get_string(mf_cursor *c)
{
    uint64_t length = mf_get_varint(c);
    const uint8_t *p = mf_get_bytes(c, length);
    return mf_slice_of(p, p ? (size_t)length : 0);
}

mf_ints mf_get_ints(mf_cursor *c, uint64_t count)
{
    mf_ints ints = {0};
    if (count == 0 || c->failed)
        return ints;
    if (count > UINT32_MAX) {
        c->failed = true;
        return ints;
    }
    uint8_t width = mf_get_u8(c);
    uint64_t base = mf_get_varint(c);
    if (width > 64) {
        c->failed = true;
        return ints;
    }
    uint64_t bits = count * width; /* below 2^38 */
    const uint8_t *packed = mf_get_bytes(c, (bits + 7) / 8);
    if (c->failed)
        return ints;
    if (bits % 8 && packed[bits / 8] >> (bits % 8)) {
        c->failed = true; /* unused bits must be 0 */
        return ints;
    }
    ints.packed = packed;
    ints.end = c->at;
    ints.base = base;
    ints.count = (uint32_t)count;
    ints.width = width;
    /* Base + value must stay below 2^64. Where the widest possible value
     * could pass it, look at each. */
    uint64_t widest = width == 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
    if (base > UINT64_MAX - widest) {
        mf_ints probe = ints;
        probe.base = 0;
        for (uint32_t i = 0; i < ints.count; i++)
            if (mf_ints_at(&probe, i) > UINT64_MAX - base) {
                c->failed = true;
                return (mf_ints){0};
            }
    }
    return ints;
}

uint64_t mf_ints_sum(const mf_ints *ints, uint64_t limit, bool *overflow)
{
    uint64_t sum = 0;
    if (ints->width == 0) {
        if (ints->count && ints->base > limit / ints->count) {
            *overflow = true;
            return 0;
        }
        return ints->base * ints->count;
    }
    for (uint32_t i = 0; i < ints->count; i++) {
        uint64_t v = mf_ints_at(ints, i);
        if (v > limit - sum) {
            *overflow = true;
            return 0;
        }
        sum += v;
    }
    return sum;
}

/* ---- buffer */

bool mf_buffer_grow(mf_buffer *b, size_t length)
{
    void *data = b->data;
    if (length > SIZE_MAX - b->length || mf_grow(b->mem, &data, &b->capacity, b->length + length, 1) != 0) {
        b->failed = true;
        return false;
    }
    b->data = (uint8_t *)data;
    return true;
}

void mf_buffer_init(mf_buffer *b, const mf_mem *mem)
{
    memset(b, 0, sizeof *b);
    b->mem = mem;
}

void mf_buffer_free(mf_buffer *b)
{
    if (b->mem)
        mf_free(b->mem, b->data);
    b->data = NULL;
    b->length = b->capacity = 0;
}

void mf_put_zero(mf_buffer *b, size_t length)
{
    uint8_t *p = mf_buffer_reserve(b, length);
    if (p) {
        memset(p, 0, length);
        b->length += length;
    }
}

void mf_put_u8(mf_buffer *b, uint8_t v)
{
    mf_put_bytes(b, &v, 1);
}

void mf_put_u32(mf_buffer *b, uint32_t v)
{
    uint8_t raw[4];
    mf_store32(raw, v);
    mf_put_bytes(b, raw, sizeof raw);
}

void mf_put_u64(mf_buffer *b, uint64_t v)
{
    uint8_t raw[8];
    mf_store64(raw, v);
    mf_put_bytes(b, raw, sizeof raw);
}

size_t mf_varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >>= 7)
        n++;
    return n;
}

void mf_put_varint(mf_buffer *b, uint64_t v)
{
    uint8_t *p = mf_buffer_reserve(b, 10);
    if (!p)
        return;
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    b->length += n;
}

void mf_put_zigzag(mf_buffer *b, int64_t v)
{
    mf_put_varint(b, mf_zigzag(v));
}

void mf_put_string(mf_buffer *b, mf_slice s)
{
    mf_put_varint(b, s.length);
    mf_put_bytes(b, s.data, s.length);
}

static void ints_range(const uint64_t *values, size_t count, uint64_t *base, unsigned *width)
{
    uint64_t low = values[0], high = values[0];
    for (size_t i = 1; i < count; i++) {
        if (values[i] < low)
            low = values[i];
        if (values[i] > high)
            high = values[i];
    }
    unsigned bits = 0;
    for (uint64_t span = high - low; span; span >>= 1)
        bits++;
    *base = low;
    *width = bits;
}

size_t mf_ints_size(const uint64_t *values, size_t count)
{
    if (count == 0)
        return 0;
    uint64_t base;
    unsigned width;
    ints_range(values, count, &base, &width);
    return 1 + mf_varint_size(base) + (count * width + 7) / 8;
}

void mf_put_ints(mf_buffer *b, const uint64_t *values, size_t count)
{
    if (count == 0)
        return;
    uint64_t base;
    unsigned width;
    ints_range(values, count, &base, &width);
    mf_put_u8(b, (uint8_t)width);
    mf_put_varint(b, base);
    size_t bytes = (count * width + 7) / 8;
    uint8_t *p = mf_buffer_reserve(b, bytes + 8);
    if (!p)
        return;
    uint64_t pending = 0; /* `held` bits not yet stored, lowest first */
    unsigned held = 0;
    for (size_t i = 0; i < count && width; i++) {
        uint64_t v = values[i] - base;
        pending |= v << held;
        if (held + width >= 64) {
            mf_store64(p, pending);
            p += 8;
            unsigned taken = 64 - held;
            pending = taken < 64 ? v >> taken : 0;
            held = held + width - 64;
        } else {
            held += width;
        }
    }
    for (; held > 0; held = held > 8 ? held - 8 : 0, pending >>= 8)
        *p++ = (uint8_t)pending;
    b->length += bytes;
}

void mf_put_strings(mf_buffer *b, const mf_slice *strings, size_t count)
{
    if (count == 0)
        return;
    uint64_t small[128];
    uint64_t *numbers = small;
    if (count * 2 > 128) {
        numbers = (uint64_t *)mf_alloc(b->mem, count * 2 * sizeof *numbers);
        if (!numbers) {
            b->failed = true;
            return;
        }
    }
    uint64_t *prefixes = numbers, *suffixes = numbers + count;
    mf_slice before = {0};
    for (size_t i = 0; i < count; i++) {
        size_t shared = 0, limit = strings[i].length < before.length ? strings[i].length : before.length;
        while (shared < limit && strings[i].data[shared] == before.data[shared])
            shared++;
        if (shared < 2)
            shared = 0; /* not worth the bits it costs the whole column */
        prefixes[i] = shared;
        suffixes[i] = strings[i].length - shared;
        before = strings[i];
    }
    mf_put_ints(b, prefixes, count);
    mf_put_ints(b, suffixes, count);
    for (size_t i = 0; i < count; i++)
        mf_put_bytes(b, strings[i].data + prefixes[i], (size_t)suffixes[i]);
    if (numbers != small)
        mf_free(b->mem, numbers);
}

bool mf_utf8_valid(const uint8_t *s, size_t length)
{
    size_t i = 0;
    while (i < length) {
        while (length - i >= 32) {
            uint64_t words[4];
            memcpy(words, s + i, 32);
            if ((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080u)
                break;
            i += 32;
        }
        while (length - i >= 8) {
            uint64_t word;
            memcpy(&word, s + i, 8);
            if (word & 0x8080808080808080u)
                break;
            i += 8;
        }
        if (i >= length)
            break;
        uint8_t c = s[i];
        if (c < 0x80) {
            i++;
            continue;
        }
        unsigned more = c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 0;
        if (more == 0 || length - i <= more)
            return false;
        uint8_t d = s[i + 1];
        if ((c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) || (c == 0xf0 && d < 0x90) || (c == 0xf4 && d > 0x8f))
            return false; /* overlong, surrogate, past U+10FFFF */
        for (unsigned k = 1; k <= more; k++)
            if ((s[i + k] & 0xc0) != 0x80)
                return false;
        i += more + 1;
    }
    return true;
}

bool mf_utf8_feed(mf_utf8 *u, const uint8_t *s, size_t length)
{
    size_t i = 0;
    while (i < length) {
        if (u->left == 0) {
            size_t whole = length - i;
            /* back to before the last, possibly cut, character */
            for (size_t back = 0; back < 3 && whole > 0 && (s[i + whole - 1] & 0xc0) == 0x80; back++)
                whole--;
            if (whole > 0 && s[i + whole - 1] >= 0xc0)
                whole--;
            if (whole > 0) {
                if (!mf_utf8_valid(s + i, whole))
                    return false;
                i += whole;
                if (i >= length)
                    break;
            }
        }
        uint8_t c = s[i++];
        if (u->left > 0) {
            if (c < u->low || c > u->high)
                return false;
            u->left--;
            u->low = 0x80;
            u->high = 0xbf;
        } else if (c >= 0x80) {
            u->left = c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 0;
            if (u->left == 0)
                return false;
            u->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
            u->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        }
    }
    return true;
}
