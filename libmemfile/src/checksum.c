/* checksum: XXH3-64. */
#include "checksum.h"

#include <xxhash.h>

uint64_t mf_checksum(const void *data, size_t length)
{
    return XXH3_64bits(data, length);
}

uint64_t mf_checksum_seeded(const void *data, size_t length, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, length, seed);
}

mf_checksum_stream *mf_checksum_begin(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state)
        XXH3_64bits_reset(state);
    return (mf_checksum_stream *)state;
}

void mf_checksum_add(mf_checksum_stream *stream, const void *data, size_t length)
{
    XXH3_64bits_update((XXH3_state_t *)stream, data, length);
}

uint64_t mf_checksum_end(mf_checksum_stream *stream)
{
    uint64_t sum = XXH3_64bits_digest((XXH3_state_t *)stream);
    XXH3_freeState((XXH3_state_t *)stream);
    return sum;
}
