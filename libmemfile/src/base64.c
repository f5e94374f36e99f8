/* base64: RFC 4648 section 4, canonical: padded, no line breaks, no stray bits. */
#include "base64.h"

static int base64_value(uint8_t ch)
{
    return ch >= 'A' && ch <= 'Z'   ? ch - 'A'
           : ch >= 'a' && ch <= 'z' ? ch - 'a' + 26
           : ch >= '0' && ch <= '9' ? ch - '0' + 52
           : ch == '+'              ? 62
           : ch == '/'              ? 63
                                    : -1;
}

int64_t mf_base64_length(mf_slice s)
{
    if (s.length % 4)
        return -1;
    size_t pad = 0;
    while (pad < 2 && pad < s.length && s.data[s.length - 1 - pad] == '=')
        pad++;
    for (size_t i = 0; i < s.length - pad; i++)
        if (base64_value(s.data[i]) < 0)
            return -1;
    if (pad && (base64_value(s.data[s.length - 1 - pad]) & (pad == 1 ? 3 : 15)))
        return -1; /* bits that would be lost */
    return (int64_t)(s.length / 4 * 3 - pad);
}

size_t mf_base64_decode(mf_slice *s, uint8_t *out, size_t size)
{
    size_t n = 0;
    while (s->length >= 4 && size - n >= 3) {
        const uint8_t *p = s->data;
        uint32_t v = 0;
        unsigned pad = 0;
        for (int i = 0; i < 4; i++) {
            int d = base64_value(p[i]);
            pad += d < 0;
            v = v << 6 | (uint32_t)(d < 0 ? 0 : d);
        }
        out[n++] = (uint8_t)(v >> 16);
        if (pad < 2)
            out[n++] = (uint8_t)(v >> 8);
        if (pad < 1)
            out[n++] = (uint8_t)v;
        s->data += 4;
        s->length -= 4;
    }
    return n;
}

void mf_base64_put(mf_buffer *out, mf_slice s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *p = mf_buffer_reserve(out, (s.length + 2) / 3 * 4 + 2);
    if (!p)
        return;
    uint8_t *start = p;
    *p++ = '"';
    for (size_t i = 0; i < s.length; i += 3) {
        size_t n = s.length - i < 3 ? s.length - i : 3;
        uint32_t v = (uint32_t)s.data[i] << 16 | (n > 1 ? (uint32_t)s.data[i + 1] << 8 : 0) | (n > 2 ? s.data[i + 2] : 0);
        for (size_t k = 0; k < 4; k++)
            *p++ = k <= n ? (uint8_t)digits[v >> (18 - 6 * k) & 63] : '=';
    }
    *p++ = '"';
    out->length += (size_t)(p - start);
}
