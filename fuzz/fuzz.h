/* fuzz: what all targets share. A target defines LLVMFuzzerTestOneInput; libFuzzer, AFL++
 * or standalone.c calls it. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "bytes.h"
#include "memfile.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *first, size_t first_size, const uint8_t *second, size_t second_size,
                                 uint8_t *out, size_t max_size, unsigned seed);

/* standalone_mutate.c: the same numbers in every run */
extern uint64_t fuzz_random_seed;
uint64_t fuzz_random(void);

/* A promise of the library that does not depend on the input. Kept in every build. */
#define FUZZ_CHECK(condition, ...) \
    do { \
        if (!(condition)) \
            fuzz_fail(__FILE__, __LINE__, #condition, __VA_ARGS__); \
    } while (0)
_Noreturn void fuzz_fail(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* What the library says of the input, in words; part of the input's verdict, which standalone.c compares with the one
 * in verdicts/. Nothing that may differ between machines or versions of zstd. */
void fuzz_verdict(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fuzz_verdict_bytes(const void *data, size_t size);
/* aloud: print it as it comes */
void fuzz_verdict_begin(bool aloud);
typedef struct fuzz_verdict_given {
    uint64_t hash;
    char words[121]; /* the first of them */
} fuzz_verdict_given;
extern fuzz_verdict_given fuzz_verdict_now;

/* malloc that succeeds; of `size` + 1 bytes */
void *fuzz_alloc(size_t size);
/* A copy of exactly `size` bytes, so that one byte too far is seen. */
uint8_t *fuzz_copy(const void *data, size_t size);

/* Small numbers off the front of an input; zeros when it is used up. */
typedef struct fuzz_input {
    const uint8_t *at;
    size_t left;
} fuzz_input;
uint8_t fuzz_u8(fuzz_input *in);
uint32_t fuzz_u16(fuzz_input *in);
/* up to `most` bytes */
mf_slice fuzz_bytes(fuzz_input *in, size_t most);

/* Clock and randomness that are the same in each run; reset for each input. */
extern const memfile_environment fuzz_environment;
void fuzz_environment_reset(uint64_t seed);

/* The same keys in each run. Sealed inputs are for the first; the passphrase is that of some. */
const memfile_key *fuzz_identity(void);
const char *fuzz_recipient(void);
#define FUZZ_PASSPHRASE "open"
/* What opens an input: nothing if it is plain, which is told by its header. */
memfile_unlock fuzz_unlock(const uint8_t *data, size_t size);

/* A path in a folder of this process, in memory where there is such a file system. Valid
 * for ever; name is one of a few constants. */
const char *fuzz_path(const char *name);
void fuzz_write(const char *path, const void *data, size_t size);
/* allocated */
uint8_t *fuzz_read(const char *path, size_t *size);
bool fuzz_exists(const char *path);
void fuzz_remove(const char *path);

#endif
