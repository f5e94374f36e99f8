/* checksum: XXH3-64, for accidents. The only file that knows xxhash. SPEC 1.7. */
#ifndef MF_CHECKSUM_H
#define MF_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t mf_checksum(const void *data, size_t length);
uint64_t mf_checksum_seeded(const void *data, size_t length, uint64_t seed);

/* The same over pieces of one list of bytes, for voids and files too large to hold. */
typedef struct mf_checksum_stream mf_checksum_stream;
mf_checksum_stream *mf_checksum_begin(void);
void mf_checksum_add(mf_checksum_stream *stream, const void *data, size_t length);
/* frees the stream */
uint64_t mf_checksum_end(mf_checksum_stream *stream);

#endif
