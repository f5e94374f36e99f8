/* standalone_mutate: mutations of plain bytes where libFuzzer is not there to make them. */
#include "fuzz.h"

uint64_t fuzz_random_seed = 1;

uint64_t fuzz_random(void)
{
    fuzz_random_seed ^= fuzz_random_seed << 13;
    fuzz_random_seed ^= fuzz_random_seed >> 7;
    fuzz_random_seed ^= fuzz_random_seed << 17;
    return fuzz_random_seed;
}

static size_t mutate_once(uint8_t *data, size_t size, size_t max_size)
{
    static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0x20, 0x40, 0xfe};
    size_t at = size ? (size_t)(fuzz_random() % size) : 0, n = (size_t)(fuzz_random() % 8) + 1;
    switch (fuzz_random() % 8) {
    case 0: /* insert */
        if (size + n > max_size)
            return size;
        memmove(data + at + n, data + at, size - at);
        for (size_t i = 0; i < n; i++)
            data[at + i] = (uint8_t)fuzz_random();
        return size + n;
    case 1: /* cut out */
        if (size <= n || at + n > size)
            return size;
        memmove(data + at, data + at + n, size - at - n);
        return size - n;
    case 2: /* copy a piece elsewhere */
        if (size > n && at + n <= size)
            memmove(data + fuzz_random() % (size - n), data + at, n);
        return size;
    case 3: return size && fuzz_random() % 4 == 0 ? at : size; /* cut off */
    case 4:
        if (size)
            data[at] = (uint8_t)(data[at] + (fuzz_random() % 2 ? 1 : -1));
        return size;
    case 5:
        if (size)
            data[at] = odd[fuzz_random() % sizeof odd];
        return size;
    case 6:
        if (size)
            data[at] ^= (uint8_t)(1u << fuzz_random() % 8);
        return size;
    default:
        if (size)
            data[at] = (uint8_t)fuzz_random();
        return size;
    }
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    for (uint64_t k = fuzz_random() % 4 + 1; k > 0; k--)
        size = mutate_once(data, size, max_size);
    return size;
}
