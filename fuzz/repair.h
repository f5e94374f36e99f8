/* repair: makes a mutated memfile consistent again, up to what the mutation means, so that
 * it gets past the checks that come before the meaning. Knows SPEC 3, 4, 8 and 9; changes
 * bytes in place and never a length. */
#ifndef FUZZ_REPAIR_H
#define FUZZ_REPAIR_H

#include <stddef.h>
#include <stdint.h>

enum {
    FUZZ_REPAIR_CHECKSUMS = 1, /* of header and bodies and segment headers, paddings, trailers, voids */
    FUZZ_REPAIR_PLACES = 2,    /* Offset, Previous_Commit, Parent_Tag, Incarnation_Tag, Stored_Prefix */
    FUZZ_REPAIR_HISTORY = 4,   /* History_Digest and Log_Frontier, from the entries; not with folded commits */
    FUZZ_REPAIR_ALL = 7
};

void fuzz_repair(uint8_t *data, size_t size, unsigned what);

#endif
