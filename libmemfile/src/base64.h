/* base64: bytes in JSON. RFC 4648 section 4. */
#ifndef MF_BASE64_H
#define MF_BASE64_H

#include "bytes.h"

/* Length of what canonical, padded base64 decodes to; -1 if it is not that. */
int64_t mf_base64_length(mf_slice text);
/* Decodes groups of four from the front of *text, whose form was checked. size >= 3. */
size_t mf_base64_decode(mf_slice *text, uint8_t *out, size_t size);
/* Appends the bytes in base64, in quotes. */
void mf_base64_put(mf_buffer *out, mf_slice bytes);

#endif
