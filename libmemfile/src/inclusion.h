/* inclusion: that a hash is one of those a tree hash is of. SPEC 8.4, 20.14. */
#ifndef MF_INCLUSION_H
#define MF_INCLUSION_H

#include "bytes.h"
#include "digest.h"
#include "format.h"

#define MF_INCLUSION_LEVELS 64u

/* Collects the path of one hash while all are fed in order. Large. */
typedef struct mf_inclusion {
    unsigned fanout;
    uint64_t index, count; /* of the hash; fed so far */
    mf_buffer path;        /* the other hashes of each run on the way up */
    struct {
        uint64_t closed; /* runs */
        unsigned pending;
        uint8_t hash[MF_ENTRIES_FANOUT][MF_DIGEST_LENGTH];
    } level[MF_INCLUSION_LEVELS];
} mf_inclusion;

void mf_inclusion_init(mf_inclusion *inclusion, unsigned fanout, uint64_t index, const mf_mem *mem);
void mf_inclusion_free(mf_inclusion *inclusion);
void mf_inclusion_add(mf_inclusion *inclusion, const uint8_t hash[MF_DIGEST_LENGTH]);
/* After the last: the path is whole, if it did not fail. */
void mf_inclusion_end(mf_inclusion *inclusion);

/* The root that follows from a hash, its index among `count`, and its path; false: the path is not of that form. */
bool mf_inclusion_root(uint8_t out[MF_DIGEST_LENGTH], unsigned fanout, uint64_t index, uint64_t count,
                       const uint8_t hash[MF_DIGEST_LENGTH], mf_slice path);

#endif
