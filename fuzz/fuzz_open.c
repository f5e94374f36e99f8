/* fuzz_open: any bytes opened as a memfile, listed, got, printed. No input may crash, hang
 * or read out of bounds. The checksum of the header and of each segment whose header is
 * in place is repaired first, so that mutants get past them. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "format.h"
#include "bytes.h"
#include "memfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void repair(uint8_t *p, size_t size)
{
    static const uint8_t magic[] = {0xd3, 'M', 'F', 'S'};
    if (size < MF_HEADER_LENGTH)
        return;
    mf_store64(p + 72, mf_checksum(p, 72));
    for (size_t at = MF_HEADER_LENGTH; size - at >= MF_SEGMENT_HEADER_LENGTH; at += 8) {
        if (memcmp(p + at, magic, sizeof magic) != 0)
            continue;
        uint32_t stored = mf_load32(p + at + 8);
        if (stored > size - at - MF_SEGMENT_HEADER_LENGTH)
            continue;
        mf_store64(p + at + 48, mf_checksum(p + at + MF_SEGMENT_HEADER_LENGTH, stored));
        mf_store64(p + at + 56, mf_checksum(p + at, 56));
    }
}

static void use(memfile *mf)
{
    memfile_filter filter = MEMFILE_FILTER_INIT;
    memfile_cursor *cursor;
    const memfile_entry *entry;
    const char *json;
    char id[256];
    size_t length;
    filter.all = 1;
    filter.limit = 1000;
    if (memfile_list(mf, &filter, &cursor) == MEMFILE_OK) {
        while (memfile_cursor_next(cursor, &entry) == MEMFILE_OK) {
            memfile_entry_json(mf, entry, 1 << 20, &json, &length);
            memfile_entry_field(entry, MEMFILE_TITLE, &length);
        }
        memfile_cursor_close(cursor);
    }
    filter.all = 0;
    filter.reverse = 1;
    if (memfile_list(mf, &filter, &cursor) == MEMFILE_OK) {
        while (memfile_cursor_next(cursor, &entry) == MEMFILE_OK)
            ;
        memfile_cursor_close(cursor);
    }
    for (uint64_t n = 0; n < 20; n++)
        if (memfile_get_entry(mf, n, &entry) == MEMFILE_OK) {
            length = memfile_entry_id(entry, id);
            memfile_get(mf, id, length, MEMFILE_NEWEST, &entry);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memfile *mf;
    uint8_t *copy = (uint8_t *)malloc(size + 1);
    if (!copy || size > (4u << 20)) {
        free(copy);
        return 0;
    }
    memcpy(copy, data, size);
    repair(copy, size);
    if (memfile_open_memory(copy, size, NULL, &mf, NULL) == MEMFILE_OK) {
        use(mf);
        memfile_close(mf);
    }
    free(copy);
    return 0;
}

#ifdef MEMFILE_FUZZ_STANDALONE
/* Without libFuzzer: mutates each file given, so many times, with a fixed seed. */
static uint64_t seed = 1;
static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : 0;
    for (int i = 2; i < argc; i++) {
        static uint8_t bytes[4u << 20], mutant[4u << 20];
        FILE *f = fopen(argv[i], "rb");
        if (!f)
            return 1;
        size_t size = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        LLVMFuzzerTestOneInput(bytes, size);
        for (long r = 0; r < rounds && size; r++) {
            size_t n = next_random() % 10 ? size : next_random() % size;
            memcpy(mutant, bytes, n);
            for (uint64_t k = 1 + next_random() % 8; k > 0 && n; k--)
                mutant[next_random() % n] = (uint8_t)(next_random() % 4 ? next_random() : next_random() % 2 ? 0xff : 0);
            LLVMFuzzerTestOneInput(mutant, n);
        }
    }
    printf("%ld mutants of each of %d files\n", rounds, argc > 2 ? argc - 2 : 0);
    return 0;
}
#endif
