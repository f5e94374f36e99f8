/* sealed_text: what entries of sealed seeds say, by the number in their id: s0, s1, ... */
#ifndef FUZZ_SEALED_TEXT_H
#define FUZZ_SEALED_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define SEALED_NUMBERS 400u
#define SEALED_LARGE 399u /* has a content */

static inline size_t sealed_length(unsigned number)
{
    return number == SEALED_LARGE ? 70000 : 20 + number * 13 % 70;
}

static inline char sealed_letter(unsigned number, size_t at)
{
    return (char)('a' + (number * 7 + (uint64_t)at * at / 5 + at) % 26);
}

#endif
