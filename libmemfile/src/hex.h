/* hex: the digits of lines of text that must have one form: receipts, proofs. SPEC 20.13, 20.14. */
#ifndef MF_HEX_H
#define MF_HEX_H

#include "bytes.h"

/* 2 x `length` digits and a NUL. Returns how many digits. */
size_t mf_hex_print(char *out, const uint8_t *bytes, size_t length);
/* Exactly that text; else the cursor fails. */
void mf_get_literal(mf_cursor *c, const char *text);
/* 2 x `length` lower-case digits. */
void mf_get_hex(mf_cursor *c, uint8_t *out, size_t length);
/* A decimal number below 2^64 without leading zeros. */
uint64_t mf_get_decimal(mf_cursor *c);

#endif
