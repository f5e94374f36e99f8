/* json: RFC 8259 texts to and from the values of SPEC 7.4. Knows no fields. */
#ifndef MF_JSON_H
#define MF_JSON_H

#include "bytes.h"

typedef struct mf_json {
    const uint8_t *start, *at, *end;
    size_t limit;        /* bytes that one value may take as CBOR */
    const char *problem; /* NULL while all is well; else what is wrong at `at` */
} mf_json;

#define MF_JSON_TOO_LARGE "the entry takes more than 262,144 bytes without its text or data"

mf_json mf_json_of(const void *text, size_t length);

/* All of these do nothing once there is a problem. */
void mf_json_problem(mf_json *j, const char *problem);
void mf_json_space(mf_json *j);
/* next character that is not white space, not taken; 0 at the end */
uint8_t mf_json_peek(mf_json *j);
void mf_json_expect(mf_json *j, char ch);
/* Passes a string, checks escapes and UTF-8. *raw: between the quotes. Returns
 * the length it has without escapes. */
size_t mf_json_string(mf_json *j, mf_slice *raw);
/* Takes escapes out of the front of *raw, which mf_json_string accepted, and
 * advances it; writes at most `size` bytes (size >= 4) and returns how many. */
size_t mf_json_unescape(mf_slice *raw, uint8_t *out, size_t size);
/* One value as deterministic CBOR. */
void mf_json_value(mf_json *j, mf_buffer *out, unsigned depth_left);
/* An array, each item as `item` reads it. */
void mf_json_array(mf_json *j, mf_buffer *out, void (*item)(mf_json *j, mf_buffer *out, unsigned depth_left),
                   unsigned depth_left);
/* A number, as integer or float. */
void mf_json_number(mf_json *j, mf_buffer *out);
/* The same as a double, whatever its form. */
double mf_json_double(mf_json *j);

/* ---- writing */
void mf_json_put_string(mf_buffer *out, mf_slice s);
void mf_json_put_double(mf_buffer *out, double v);
/* fewest digits that give back the same 32-bit float */
size_t mf_json_print_float(char out[40], float v);
/* One value that mf_cbor_skip_value accepts. */
void mf_json_put_value(mf_buffer *out, mf_cursor *c, unsigned depth_left);
double mf_strtod(const char *text);

#endif
