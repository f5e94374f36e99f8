/* header: the 80 bytes at offset 0. SPEC 3. */
#ifndef MF_HEADER_H
#define MF_HEADER_H

#include "bytes.h"
#include "format.h"

#define MF_MAGIC_FIRST 0xab /* first byte of File_Magic */

typedef struct mf_header {
    uint16_t format_version;
    uint8_t suite;
    uint32_t read_features, write_features, compact_features;
    uint8_t incarnation_id[16];
    uint8_t memory_id[16];
} mf_header;

void mf_header_encode(const mf_header *header, uint8_t out[MF_HEADER_LENGTH]);
/* length: how many of the bytes there are */
int mf_header_decode(mf_header *header, const uint8_t *raw, size_t length, memfile_error *err);
static inline uint32_t mf_header_tag(const mf_header *header)
{
    return mf_load32(header->incarnation_id);
}

#endif
