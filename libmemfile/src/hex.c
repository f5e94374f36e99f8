/* hex: digits to bytes and back. */
#include "hex.h"

#include <stdio.h>

size_t mf_hex_print(char *out, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return 2 * length;
}

void mf_get_literal(mf_cursor *c, const char *text)
{
    size_t length = strlen(text);
    const uint8_t *p = mf_get_bytes(c, length);
    if (p && memcmp(p, text, length) != 0)
        c->failed = true;
}

static uint8_t digit_of(uint8_t ch)
{
    return ch >= '0' && ch <= '9' ? (uint8_t)(ch - '0') : ch >= 'a' && ch <= 'f' ? (uint8_t)(ch - 'a' + 10) : 16;
}

void mf_get_hex(mf_cursor *c, uint8_t *out, size_t length)
{
    const uint8_t *p = mf_get_bytes(c, 2 * length);
    for (size_t i = 0; p && i < length; i++) {
        uint8_t high = digit_of(p[2 * i]), low = digit_of(p[2 * i + 1]);
        c->failed = c->failed || high > 15 || low > 15;
        out[i] = (uint8_t)(high << 4 | low);
    }
}

uint64_t mf_get_decimal(mf_cursor *c)
{
    uint64_t v = 0;
    size_t digits = 0;
    while (!c->failed && c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        uint64_t digit = (uint64_t)(*c->at++ - '0');
        if (v > (UINT64_MAX - digit) / 10 || (digits++ > 0 && v == 0))
            c->failed = true;
        else
            v = v * 10 + digit;
    }
    c->failed = c->failed || digits == 0;
    return v;
}
