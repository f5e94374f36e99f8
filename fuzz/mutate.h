/* mutate: mutants of whole memfiles. A file is taken apart into segments, some of them are
 * changed (their header, head, content, meaning, number or order), what names places is
 * led to where things stand now, and the result is repaired (repair.h). */
#ifndef FUZZ_MUTATE_H
#define FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

size_t fuzz_mutate_file(uint8_t *data, size_t size, size_t max_size, uint64_t seed);
/* The first with segments of the second put in. */
size_t fuzz_cross_files(const uint8_t *first, size_t first_size, const uint8_t *second, size_t second_size,
                        uint8_t *out, size_t max_size, uint64_t seed);

#endif
