/* json: reader and writer. */
#include "json.h"

#include <locale.h>
#include <math.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include "cbor.h"

mf_json mf_json_of(const void *text, size_t length)
{
    mf_json j = {(const uint8_t *)text, (const uint8_t *)text, (const uint8_t *)text + length, SIZE_MAX, NULL};
    return j;
}

void mf_json_problem(mf_json *j, const char *problem)
{
    if (!j->problem)
        j->problem = problem;
}

void mf_json_space(mf_json *j)
{
    while (!j->problem && j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
        j->at++;
}

uint8_t mf_json_peek(mf_json *j)
{
    mf_json_space(j);
    return j->problem || j->at == j->end ? 0 : *j->at;
}

void mf_json_expect(mf_json *j, char ch)
{
    if (mf_json_peek(j) != (uint8_t)ch) {
        switch (ch) {
        case '{': mf_json_problem(j, "expected '{'"); break;
        case '}': mf_json_problem(j, "expected ',' or '}'"); break;
        case '[': mf_json_problem(j, "expected '['"); break;
        case ']': mf_json_problem(j, "expected ',' or ']'"); break;
        case ':': mf_json_problem(j, "expected ':'"); break;
        case '"': mf_json_problem(j, "expected a string"); break;
        default: mf_json_problem(j, "unexpected character");
        }
        return;
    }
    j->at++;
}

/* four hexadecimal digits, or -1 */
static int32_t hex4(const uint8_t *p, const uint8_t *end)
{
    int32_t v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        uint8_t ch = p[i];
        int d = ch >= '0' && ch <= '9'   ? ch - '0'
                : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
                : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10
                                         : -1;
        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v;
}

/* Code point of the \u escape at p (behind the 'u'); *used: bytes from there.
 * -1: not hexadecimal; -2: lone surrogate. */
static int32_t unicode_escape(const uint8_t *p, const uint8_t *end, size_t *used)
{
    int32_t v = hex4(p, end);
    *used = 4;
    if (v < 0xd800 || v > 0xdfff)
        return v;
    if (v > 0xdbff || end - p < 10 || p[4] != '\\' || p[5] != 'u')
        return -2;
    int32_t low = hex4(p + 6, end);
    if (low < 0xdc00 || low > 0xdfff)
        return low == -1 ? -1 : -2;
    *used = 10;
    return 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
}

static size_t utf8_put(int32_t v, uint8_t out[4])
{
    if (v < 0x80) {
        out[0] = (uint8_t)v;
        return 1;
    }
    if (v < 0x800) {
        out[0] = (uint8_t)(0xc0 | v >> 6);
        out[1] = (uint8_t)(0x80 | (v & 0x3f));
        return 2;
    }
    if (v < 0x10000) {
        out[0] = (uint8_t)(0xe0 | v >> 12);
        out[1] = (uint8_t)(0x80 | (v >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (v & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | v >> 18);
    out[1] = (uint8_t)(0x80 | (v >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (v >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (v & 0x3f));
    return 4;
}

static uint8_t simple_escape(uint8_t ch)
{
    switch (ch) {
    case '"': return '"';
    case '\\': return '\\';
    case '/': return '/';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return 0;
    }
}

size_t mf_json_string(mf_json *j, mf_slice *raw)
{
    *raw = mf_slice_of(NULL, 0);
    mf_json_expect(j, '"');
    if (j->problem)
        return 0;
    const uint8_t *start = j->at, *p = start;
    size_t length = 0;
    for (; p < j->end && *p != '"'; p++) {
        if (*p < 0x20) {
            j->at = p;
            mf_json_problem(j, "control character in a string; it must be escaped");
            return 0;
        }
        length++;
        if (*p != '\\')
            continue;
        p++;
        if (p < j->end && *p == 'u') {
            size_t used;
            uint8_t utf8[4];
            int32_t v = unicode_escape(p + 1, j->end, &used);
            if (v < 0) {
                j->at = p - 1;
                mf_json_problem(j, v == -2 ? "lone surrogate in a string" : "\\u needs four hexadecimal digits");
                return 0;
            }
            length += utf8_put(v, utf8) - 1;
            p += used;
        } else if (p >= j->end || !simple_escape(*p)) {
            j->at = p - 1;
            mf_json_problem(j, "unknown escape in a string");
            return 0;
        }
    }
    if (p >= j->end) {
        j->at = j->end;
        mf_json_problem(j, "the string does not end");
        return 0;
    }
    *raw = mf_slice_of(start, (size_t)(p - start));
    if (!mf_utf8_valid(raw->data, raw->length)) {
        j->at = start;
        mf_json_problem(j, "the string is not valid UTF-8; put bytes into \"data\" as base64");
        return 0;
    }
    j->at = p + 1;
    return length;
}

size_t mf_json_unescape(mf_slice *raw, uint8_t *out, size_t size)
{
    size_t n = 0;
    const uint8_t *p = raw->data, *end = p + raw->length;
    while (p < end && size - n >= 4) {
        if (*p != '\\') {
            size_t run = (size_t)(end - p) < size - n ? (size_t)(end - p) : size - n;
            const uint8_t *stop = (const uint8_t *)memchr(p, '\\', run);
            if (stop)
                run = (size_t)(stop - p);
            memcpy(out + n, p, run);
            n += run;
            p += run;
        } else if (p[1] == 'u') {
            size_t used;
            int32_t v = unicode_escape(p + 2, end, &used);
            n += utf8_put(v < 0 ? 0xfffd : v, out + n);
            p += 2 + used;
        } else {
            out[n++] = simple_escape(p[1]);
            p += 2;
        }
    }
    *raw = mf_slice_of(p, (size_t)(end - p));
    return n;
}

/* ---- numbers. The C library reads and prints the decimal point of the locale. */

static char decimal_point(void)
{
    const struct lconv *l = localeconv();
    return l && l->decimal_point && l->decimal_point[0] ? l->decimal_point[0] : '.';
}

double mf_strtod(const char *text)
{
    char local[512];
    char point = decimal_point();
    size_t i = 0;
    for (; text[i] && i < sizeof local - 1; i++)
        local[i] = text[i] == '.' ? point : text[i];
    local[i] = '\0';
    return strtod(local, NULL);
}

static size_t print_number(char out[40], int precision, double v)
{
    int n = snprintf(out, 40, "%.*g", precision, v);
    char point = decimal_point();
    for (int i = 0; i < n; i++)
        if (out[i] == point)
            out[i] = '.';
    return (size_t)n;
}

/* Takes the characters of a number; returns true if it is an integer. */
static bool number_text(mf_json *j, char out[400])
{
    mf_json_space(j);
    const uint8_t *p = j->at;
    bool integer = true;
    if (p < j->end && *p == '-')
        p++;
    if (p < j->end && *p == '0') {
        p++;
    } else {
        const uint8_t *first = p;
        while (p < j->end && *p >= '0' && *p <= '9')
            p++;
        if (p == first)
            goto bad;
    }
    if (p < j->end && *p == '.') {
        const uint8_t *first = ++p;
        integer = false;
        while (p < j->end && *p >= '0' && *p <= '9')
            p++;
        if (p == first)
            goto bad;
    }
    if (p < j->end && (*p == 'e' || *p == 'E')) {
        integer = false;
        p++;
        if (p < j->end && (*p == '+' || *p == '-'))
            p++;
        const uint8_t *first = p;
        while (p < j->end && *p >= '0' && *p <= '9')
            p++;
        if (p == first)
            goto bad;
    }
    if ((p < j->end && ((*p >= '0' && *p <= '9') || *p == '.')) || p - j->at >= 400)
        goto bad;
    memcpy(out, j->at, (size_t)(p - j->at));
    out[p - j->at] = '\0';
    j->at = p;
    return integer;
bad:
    mf_json_problem(j, "not a number");
    return false;
}

double mf_json_double(mf_json *j)
{
    char text[400];
    number_text(j, text);
    if (j->problem)
        return 0;
    double v = mf_strtod(text);
    if (!isfinite(v))
        mf_json_problem(j, "the number is too large for a float");
    return v;
}

void mf_json_number(mf_json *j, mf_buffer *out)
{
    char text[400];
    bool integer = number_text(j, text);
    if (j->problem)
        return;
    const char *digits = text + (text[0] == '-');
    if (!integer || strcmp(text, "-0") == 0) {
        double v = mf_strtod(text);
        if (!isfinite(v))
            mf_json_problem(j, "the number is too large for a float");
        else
            mf_cbor_put_float(out, v);
        return;
    }
    uint64_t v = 0;
    for (const char *d = digits; *d; d++) {
        unsigned digit = (unsigned)(*d - '0');
        bool last_negative = text[0] == '-' && strcmp(digits, "18446744073709551616") == 0;
        if (last_negative) {
            mf_cbor_put_head(out, MF_CBOR_NINT, UINT64_MAX);
            return;
        }
        if (v > (UINT64_MAX - digit) / 10) {
            mf_json_problem(j, "the integer needs more than 64 bits; write it as a string or with a fraction");
            return;
        }
        v = v * 10 + digit;
    }
    if (text[0] == '-')
        mf_cbor_put_head(out, MF_CBOR_NINT, v - 1);
    else
        mf_cbor_put_head(out, MF_CBOR_UINT, v);
}

/* ---- values */

typedef struct member {
    size_t offset, key_length, length; /* in the scratch buffer; key first */
} member;

static int compare_members(const uint8_t *base, const member *a, const member *b)
{
    size_t n = a->key_length < b->key_length ? a->key_length : b->key_length;
    int d = memcmp(base + a->offset, base + b->offset, n);
    return d ? d : a->key_length < b->key_length ? -1 : a->key_length > b->key_length;
}

/* Heap sort: no recursion and no worst case, whatever the keys are. */
static void sort_members(const uint8_t *base, member *m, size_t n)
{
    for (size_t round = n / 2 + n; round-- > 0;) {
        size_t root, size;
        if (round >= n) {
            root = round - n;
            size = n;
        } else {
            member t = m[0];
            m[0] = m[round];
            m[round] = t;
            root = 0;
            size = round;
        }
        for (size_t child; (child = 2 * root + 1) < size; root = child) {
            if (child + 1 < size && compare_members(base, &m[child], &m[child + 1]) < 0)
                child++;
            if (compare_members(base, &m[root], &m[child]) >= 0)
                break;
            member t = m[root];
            m[root] = m[child];
            m[child] = t;
        }
    }
}

static void put_string(mf_json *j, mf_buffer *out)
{
    mf_slice raw;
    size_t length = mf_json_string(j, &raw);
    if (!j->problem && length > j->limit)
        mf_json_problem(j, MF_JSON_TOO_LARGE);
    if (j->problem)
        return;
    mf_cbor_put_head(out, MF_CBOR_TEXT, length);
    uint8_t *p = mf_buffer_reserve(out, length + 4);
    if (p)
        out->length += mf_json_unescape(&raw, p, length + 4);
}

static void put_object(mf_json *j, mf_buffer *out, unsigned depth_left)
{
    mf_buffer scratch;
    member *members = NULL;
    size_t count = 0, capacity = 0;
    mf_buffer_init(&scratch, out->mem);
    j->at++;
    if (mf_json_peek(j) == '}') {
        j->at++;
    } else {
        for (;;) {
            void *grown = members;
            if (mf_grow(out->mem, &grown, &capacity, count + 1, sizeof *members) != 0) {
                out->failed = true;
                break;
            }
            members = (member *)grown;
            member *m = &members[count++];
            m->offset = scratch.length;
            put_string(j, &scratch);
            m->key_length = scratch.length - m->offset;
            mf_json_expect(j, ':');
            mf_json_value(j, &scratch, depth_left - 1);
            m->length = scratch.length - m->offset;
            if (scratch.length > j->limit)
                mf_json_problem(j, MF_JSON_TOO_LARGE);
            if (j->problem || scratch.failed)
                break;
            if (mf_json_peek(j) == ',') {
                j->at++;
                continue;
            }
            mf_json_expect(j, '}');
            break;
        }
    }
    if (scratch.failed)
        out->failed = true;
    if (!j->problem && !out->failed) {
        sort_members(scratch.data, members, count);
        mf_cbor_put_head(out, MF_CBOR_MAP, count);
        for (size_t i = 0; i < count; i++) {
            if (i > 0 && compare_members(scratch.data, &members[i - 1], &members[i]) == 0)
                mf_json_problem(j, "an object has the same key twice");
            mf_put_bytes(out, scratch.data + members[i].offset, members[i].length);
        }
    }
    mf_free(out->mem, members);
    mf_buffer_free(&scratch);
}

void mf_json_array(mf_json *j, mf_buffer *out, void (*item)(mf_json *j, mf_buffer *out, unsigned depth_left),
                   unsigned depth_left)
{
    mf_buffer items;
    uint64_t count = 0;
    mf_buffer_init(&items, out->mem);
    mf_json_expect(j, '[');
    bool more = mf_json_peek(j) != ']';
    while (more && !j->problem && !items.failed) {
        item(j, &items, depth_left);
        count++;
        if (items.length > j->limit)
            mf_json_problem(j, MF_JSON_TOO_LARGE);
        more = mf_json_peek(j) == ',';
        j->at += more;
    }
    if (items.failed)
        out->failed = true;
    else
        mf_json_expect(j, ']');
    mf_cbor_put_head(out, MF_CBOR_ARRAY, count);
    mf_put_bytes(out, items.data, items.length);
    mf_buffer_free(&items);
}

static void put_word(mf_json *j, mf_buffer *out, const char *word, uint8_t value)
{
    size_t n = strlen(word);
    if ((size_t)(j->end - j->at) < n || memcmp(j->at, word, n) != 0) {
        mf_json_problem(j, "unexpected character");
        return;
    }
    j->at += n;
    mf_put_u8(out, value);
}

void mf_json_value(mf_json *j, mf_buffer *out, unsigned depth_left)
{
    uint8_t ch = mf_json_peek(j);
    if (j->problem || out->failed)
        return;
    if ((ch == '{' || ch == '[') && depth_left == 0) {
        mf_json_problem(j, "nested too deep: at most 32 levels");
        return;
    }
    switch (ch) {
    case '{': put_object(j, out, depth_left); break;
    case '[': mf_json_array(j, out, mf_json_value, depth_left - 1); break;
    case '"': put_string(j, out); break;
    case 't': put_word(j, out, "true", MF_CBOR_TRUE); break;
    case 'f': put_word(j, out, "false", MF_CBOR_FALSE); break;
    case 'n': put_word(j, out, "null", MF_CBOR_NULL); break;
    case 0: mf_json_problem(j, "a value is missing"); break;
    default: mf_json_number(j, out);
    }
}

/* ---- writing */

void mf_json_put_string(mf_buffer *out, mf_slice s)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t *p = mf_buffer_reserve(out, s.length * 6 + 2);
    if (!p)
        return;
    uint8_t *start = p;
    *p++ = '"';
    for (size_t i = 0; i < s.length; i++) {
        uint8_t ch = s.data[i];
        if (ch >= 0x20 && ch != '"' && ch != '\\' && ch != 0x7f) {
            *p++ = ch;
            continue;
        }
        *p++ = '\\';
        switch (ch) {
        case '"': *p++ = '"'; break;
        case '\\': *p++ = '\\'; break;
        case '\b': *p++ = 'b'; break;
        case '\f': *p++ = 'f'; break;
        case '\n': *p++ = 'n'; break;
        case '\r': *p++ = 'r'; break;
        case '\t': *p++ = 't'; break;
        default:
            *p++ = 'u';
            *p++ = '0';
            *p++ = '0';
            *p++ = (uint8_t)hex[ch >> 4];
            *p++ = (uint8_t)hex[ch & 15];
        }
    }
    *p++ = '"';
    out->length += (size_t)(p - start);
}

/* SPEC 7.7: a float has a point or an exponent. How many characters that took. */
static size_t put_point(char *text, size_t length)
{
    if (strpbrk(text, ".eE"))
        return 0;
    memcpy(text + length, ".0", 3);
    return 2;
}

void mf_json_put_double(mf_buffer *out, double v)
{
    char text[48];
    size_t n = 0;
    for (int precision = 15; precision <= 17; precision++) {
        n = print_number(text, precision, v);
        if (mf_strtod(text) == v)
            break;
    }
    mf_put_bytes(out, text, n + put_point(text, n));
}

size_t mf_json_print_float(char out[40], float v)
{
    size_t n = 0;
    /* Six digits are the fewest of all others, since trailing zeros are left out. */
    for (int precision = v < FLT_MIN && v > -FLT_MIN ? 1 : 6; precision <= 9; precision++) {
        n = print_number(out, precision, (double)v);
        if ((float)mf_strtod(out) == v)
            break;
    }
    return n + put_point(out, n);
}

static void put_integer(mf_buffer *out, unsigned major, uint64_t v)
{
    char text[32];
    int n = major == MF_CBOR_UINT     ? snprintf(text, sizeof text, "%llu", (unsigned long long)v)
            : v == UINT64_MAX ? snprintf(text, sizeof text, "-18446744073709551616")
                              : snprintf(text, sizeof text, "-%llu", (unsigned long long)v + 1);
    mf_put_bytes(out, text, (size_t)n);
}

void mf_json_put_value(mf_buffer *out, mf_cursor *c, unsigned depth_left)
{
    uint64_t v;
    unsigned size;
    const uint8_t *start = c->at;
    unsigned major = mf_cbor_get_head(c, &v, &size);
    if (c->failed)
        return;
    switch (major) {
    case MF_CBOR_UINT:
    case MF_CBOR_NINT: put_integer(out, major, v); return;
    case MF_CBOR_TEXT:
        c->at = start;
        mf_json_put_string(out, mf_cbor_get_text(c));
        return;
    case MF_CBOR_SIMPLE:
        if (size >= 2)
            mf_json_put_double(out, mf_cbor_float(v, size));
        else
            mf_put_bytes(out, v == 20 ? "false" : v == 21 ? "true" : "null", v == 20 ? 5 : 4);
        return;
    case MF_CBOR_ARRAY:
    case MF_CBOR_MAP:
        if (depth_left == 0 || v > mf_cursor_left(c)) {
            c->failed = true;
            return;
        }
        mf_put_u8(out, major == MF_CBOR_ARRAY ? '[' : '{');
        for (uint64_t i = 0; i < v && !c->failed; i++) {
            if (i > 0)
                mf_put_u8(out, ',');
            if (major == MF_CBOR_MAP) {
                mf_json_put_string(out, mf_cbor_get_text(c));
                mf_put_u8(out, ':');
            }
            mf_json_put_value(out, c, depth_left - 1);
        }
        mf_put_u8(out, major == MF_CBOR_ARRAY ? ']' : '}');
        return;
    default: c->failed = true;
    }
}
