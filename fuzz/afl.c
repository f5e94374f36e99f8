/* afl: the mutator of whole files for AFL++:
 *     AFL_CUSTOM_MUTATOR_LIBRARY=build-afl/fuzz/libfuzz_afl.so afl-fuzz …
 * AFL++'s own mutations go on beside it. */
#include "fuzz.h"
#include "mutate.h"

#define SIZE_LIMIT ((size_t)1 << 20)

typedef struct mutator {
    uint64_t seed;
    uint8_t out[SIZE_LIMIT];
} mutator;

void *afl_custom_init(void *afl, unsigned seed);
size_t afl_custom_fuzz(mutator *m, uint8_t *data, size_t size, uint8_t **out, uint8_t *other, size_t other_size,
                       size_t max_size);
void afl_custom_deinit(mutator *m);

void *afl_custom_init(void *afl, unsigned seed)
{
    mutator *m = (mutator *)calloc(1, sizeof *m);
    (void)afl;
    LLVMFuzzerInitialize(NULL, NULL);
    if (m)
        m->seed = seed + 1u;
    return m;
}

size_t afl_custom_fuzz(mutator *m, uint8_t *data, size_t size, uint8_t **out, uint8_t *other, size_t other_size,
                       size_t max_size)
{
    size_t room = max_size < SIZE_LIMIT ? max_size : SIZE_LIMIT, n = 0;
    m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
    if (other && m->seed >> 60 == 0)
        n = fuzz_cross_files(data, size, other, other_size, m->out, room, m->seed >> 8);
    if (n == 0) {
        n = size < room ? size : room;
        memcpy(m->out, data, n);
        n = fuzz_mutate_file(m->out, n, room, m->seed >> 8);
    }
    *out = m->out;
    return n;
}

void afl_custom_deinit(mutator *m)
{
    free(m);
}
