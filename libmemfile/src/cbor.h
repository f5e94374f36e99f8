/* cbor: deterministic CBOR (RFC 8949 §4.2.1), as much of it as SPEC 7 uses. */
#ifndef MF_CBOR_H
#define MF_CBOR_H

#include "bytes.h"

enum { MF_CBOR_UINT = 0, MF_CBOR_NINT = 1, MF_CBOR_BYTES = 2, MF_CBOR_TEXT = 3, MF_CBOR_ARRAY = 4, MF_CBOR_MAP = 5,
       MF_CBOR_SIMPLE = 7 };
#define MF_CBOR_FALSE 0xf4
#define MF_CBOR_TRUE 0xf5
#define MF_CBOR_NULL 0xf6

/* ---- writing */
void mf_cbor_put_head(mf_buffer *b, unsigned major, uint64_t argument);
void mf_cbor_put_int(mf_buffer *b, int64_t v);
void mf_cbor_put_text(mf_buffer *b, mf_slice s);
void mf_cbor_put_bytes(mf_buffer *b, mf_slice s);
/* shortest of 16, 32 and 64 bits that keeps the value; v is finite */
void mf_cbor_put_float(mf_buffer *b, double v);

/* ---- reading; all reject what is not the deterministic form */

/* Head of any item. For major 7 *argument is the simple value or the float's
 * bits, and *size how many bytes of argument followed (0, 1, 2, 4, 8). */
unsigned mf_cbor_get_head(mf_cursor *c, uint64_t *argument, unsigned *size);
/* Head that must be of that major type. */
uint64_t mf_cbor_get(mf_cursor *c, unsigned major);
/* Text that is valid UTF-8. */
mf_slice mf_cbor_get_text(mf_cursor *c);
mf_slice mf_cbor_get_bytes(mf_cursor *c);
int64_t mf_cbor_get_int(mf_cursor *c);
/* next item's first byte without taking it, or 0xff */
static inline uint8_t mf_cbor_peek(const mf_cursor *c)
{
    return c->failed || c->at == c->end ? 0xff : *c->at;
}
/* Passes over one value of SPEC 7.4, checking all of it. */
void mf_cbor_skip_value(mf_cursor *c, unsigned depth_left);
/* Bits of a float head (size 2, 4 or 8) as a double. */
double mf_cbor_float(uint64_t bits, unsigned size);

#endif
