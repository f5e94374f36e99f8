/* bytes: the one bounds-checked reader and the one growing writer of stored
 * bytes. SPEC 1. Nothing else does arithmetic on bytes that came from a file.
 *
 * Both are "sticky": after the first failure every call does nothing (reads
 * give 0 or NULL) and `failed` stays set, so a decoder checks once per step
 * that loops or allocates, and once at its end. */
#ifndef MF_BYTES_H
#define MF_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "alloc.h"
#include "error.h"

typedef struct mf_slice {
    const uint8_t *data;
    size_t length;
} mf_slice;

static inline mf_slice mf_slice_of(const void *data, size_t length)
{
    mf_slice s = {(const uint8_t *)data, length};
    return s;
}

static inline bool mf_slice_equal(mf_slice a, mf_slice b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* ---- fixed little-endian integers in memory that is known to be there */

static inline void mf_store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void mf_store32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}
static inline void mf_store64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}
static inline uint16_t mf_load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t mf_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t mf_load64(const uint8_t *p)
{
    return (uint64_t)mf_load32(p) | (uint64_t)mf_load32(p + 4) << 32;
}

static inline uint64_t mf_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}
static inline int64_t mf_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static inline uint64_t mf_align8(uint64_t v)
{
    return (v + 7) & ~(uint64_t)7;
}

/* ---- cursor: reading */

typedef struct mf_cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
} mf_cursor;

static inline mf_cursor mf_cursor_of(const void *data, size_t length)
{
    mf_cursor c = {(const uint8_t *)data, (const uint8_t *)data, false};
    if (length > 0) /* nothing may be added to a null pointer, not even 0 */
        c.end += length;
    return c;
}
static inline size_t mf_cursor_left(const mf_cursor *c)
{
    return c->failed ? 0 : (size_t)(c->end - c->at);
}
/* true when nothing failed and every byte was read */
static inline bool mf_cursor_finished(const mf_cursor *c)
{
    return !c->failed && c->at == c->end;
}

static inline const uint8_t *mf_get_bytes(mf_cursor *c, uint64_t length)
{
    if (c->failed || length > (uint64_t)(c->end - c->at)) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *p = c->at;
    c->at += length;
    return p;
}

static inline uint8_t mf_get_u8(mf_cursor *c)
{
    const uint8_t *p = mf_get_bytes(c, 1);
    return p ? *p : 0;
}

uint64_t mf_get_u64(mf_cursor *c);
uint64_t mf_get_varint(mf_cursor *c);
/* a varint that must be at most `limit` */
uint64_t mf_get_varint_max(mf_cursor *c, uint64_t limit);
int64_t mf_get_zigzag(mf_cursor *c);
mf_slice mf_get_string(mf_cursor *c);

/* ints(n), SPEC 1.5, read in place */
typedef struct mf_ints {
    const uint8_t *packed;
    const uint8_t *end;
    uint64_t base;
    uint32_t count;
    uint8_t width;
} mf_ints;

mf_ints mf_get_ints(mf_cursor *c, uint64_t count);
/* value i < count of a list that mf_get_ints accepted */
static inline uint64_t mf_ints_at(const mf_ints *ints, uint32_t i)
{
    unsigned width = ints->width;
    if (width == 0)
        return ints->base;
    uint64_t bit = (uint64_t)i * width;
    const uint8_t *p = ints->packed + bit / 8;
    unsigned shift = (unsigned)(bit % 8);
    uint64_t v;
    if (ints->end - p >= 8) {
        v = mf_load64(p) >> shift;
        if (shift + width > 64)
            v |= (uint64_t)p[8] << (64 - shift);
    } else {
        v = 0;
        unsigned have = 0;
        for (const uint8_t *q = p; q < ints->end; q++, have += 8)
            v |= (uint64_t)*q << have;
        v >>= shift;
    }
    if (width < 64)
        v &= ((uint64_t)1 << width) - 1;
    return ints->base + v;
}
/* Sum of all values; sets *overflow (never clears it) when it passes `limit`. */
uint64_t mf_ints_sum(const mf_ints *ints, uint64_t limit, bool *overflow);

/* ---- buffer: writing */

typedef struct mf_buffer {
    uint8_t *data;
    size_t length;
    size_t capacity;
    const mf_mem *mem;
    bool failed;
} mf_buffer;

void mf_buffer_init(mf_buffer *b, const mf_mem *mem);
void mf_buffer_free(mf_buffer *b);
static inline void mf_buffer_clear(mf_buffer *b)
{
    b->length = 0;
    b->failed = false;
}
bool mf_buffer_grow(mf_buffer *b, size_t length);
/* Makes room for `length` more bytes and returns where they go, or NULL. The
 * caller fills them and adds to b->length. */
static inline uint8_t *mf_buffer_reserve(mf_buffer *b, size_t length)
{
    if (b->failed || (MF_UNLIKELY(length > b->capacity - b->length) && !mf_buffer_grow(b, length)))
        return NULL;
    return b->data ? b->data + b->length : NULL;
}
static inline void mf_put_bytes(mf_buffer *b, const void *data, size_t length)
{
    uint8_t *p = mf_buffer_reserve(b, length);
    if (p && length) {
        memcpy(p, data, length);
        b->length += length;
    }
}
void mf_put_zero(mf_buffer *b, size_t length);
void mf_put_u8(mf_buffer *b, uint8_t v);
void mf_put_u32(mf_buffer *b, uint32_t v);
void mf_put_u64(mf_buffer *b, uint64_t v);
void mf_put_varint(mf_buffer *b, uint64_t v);
void mf_put_zigzag(mf_buffer *b, int64_t v);
void mf_put_string(mf_buffer *b, mf_slice s);
void mf_put_ints(mf_buffer *b, const uint64_t *values, size_t count);
/* bytes that mf_put_ints would take */
size_t mf_ints_size(const uint64_t *values, size_t count);
size_t mf_varint_size(uint64_t v);

/* strings(n), SPEC 1.6 */
void mf_put_strings(mf_buffer *b, const mf_slice *strings, size_t count);

/* RFC 3629, as SPEC 1.4 wants it */
bool mf_utf8_valid(const uint8_t *data, size_t length);
/* The same of a stream, begun with zeros: a character may be cut by the end of a piece; valid
 * as a whole if at its end nothing is left. */
typedef struct mf_utf8 {
    unsigned left;     /* bytes that the current character still needs */
    uint8_t low, high; /* bounds of the next of them */
} mf_utf8;
bool mf_utf8_feed(mf_utf8 *u, const uint8_t *data, size_t length);

#endif
