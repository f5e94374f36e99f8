/* text: what of a text a terminal may be shown, and how many columns it takes. */
#include <string.h>

#include "tool.h"

size_t utf8_next(const char *text, size_t length, uint32_t *out)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)text[0];
    size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    uint32_t ch = n < 2 ? first : first & (0x7fu >> n);
    *out = UTF8_INVALID;
    if (n == 0 || n > length)
        return 1;
    for (size_t i = 1; i < n; i++) {
        unsigned char next = (unsigned char)text[i];
        if (next >> 6 != 2)
            return 1;
        ch = ch << 6 | (next & 0x3f);
    }
    if (ch < least[n] || ch > 0x10ffff || (ch >= 0xd800 && ch <= 0xdfff))
        return 1;
    *out = ch;
    return n;
}

bool utf8_valid(const char *text, size_t length)
{
    uint32_t ch;
    for (size_t i = 0; i < length;) {
        i += utf8_next(text + i, length - i, &ch);
        if (ch == UTF8_INVALID)
            return false;
    }
    return true;
}

/* C1 controls too: a terminal obeys them. */
static bool is_control(uint32_t ch)
{
    return ch < 0x20 || (ch >= 0x7f && ch < 0xa0) || ch == UTF8_INVALID;
}

static size_t columns_of(uint32_t ch)
{
    return is_control(ch) ? 1 /* it is shown as one sign */ : character_columns(ch);
}

size_t text_columns(const char *text, size_t length)
{
    size_t columns = 0;
    uint32_t ch;
    for (size_t i = 0; i < length;) {
        i += utf8_next(text + i, length - i, &ch);
        columns += columns_of(ch);
    }
    return columns;
}

/* Prints characters while they fit `width` columns (0: all); returns the columns. */
static size_t print_some(FILE *out, const char *text, size_t length, size_t width)
{
    size_t columns = 0;
    uint32_t ch;
    for (size_t i = 0, n; i < length; i += n) {
        n = utf8_next(text + i, length - i, &ch);
        if (width && columns + columns_of(ch) > width)
            break;
        columns += columns_of(ch);
        if (ch == '\n' || ch == '\t' || ch == '\r')
            fputc(' ', out);
        else if (is_control(ch))
            fputc('?', out);
        else
            fwrite(text + i, 1, n, out);
    }
    return columns;
}

static bool fits(const char *text, size_t length, size_t width)
{
    /* a long text need not be counted to its end */
    return width == 0 || (length <= 4 * width + 64 && text_columns(text, length) <= width);
}

size_t print_line(FILE *out, const char *text, size_t length, size_t width)
{
    if (fits(text, length, width))
        return print_some(out, text, length, 0);
    size_t columns = width > 1 ? print_some(out, text, length, width - 1) : 0;
    fputs("…", out);
    return columns + 1;
}

size_t print_middle(FILE *out, const char *text, size_t length, size_t width)
{
    uint32_t ch;
    size_t at = 0;
    if (width < 3 || fits(text, length, width))
        return print_line(out, text, length, width);
    size_t tail = (width - 1) / 2, columns = print_some(out, text, length, width - 1 - tail);
    fputs("…", out);
    while (text_columns(text + at, length - at) > tail)
        at += utf8_next(text + at, length - at, &ch);
    return columns + 1 + print_some(out, text + at, length - at, 0);
}

void tame(char *text, size_t length, bool lines, char *last)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char ch = (unsigned char)text[i], before = (unsigned char)*last;
        *last = text[i];
        bool kept = lines && (ch == '\n' || ch == '\t' || (ch == '\r' && i + 1 < length && text[i + 1] == '\n'));
        bool c1 = ch >= 0x80 && ch < 0xa0 && before == 0xc2;
        if (((ch < 0x20 || ch == 0x7f) && !kept) || c1)
            text[i] = '?';
        if (c1 && i > 0)
            text[i - 1] = '?';
    }
}
