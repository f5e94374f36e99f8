/* life: reading all that a file gives, and what must hold of it. */
#ifndef FUZZ_LIFE_H
#define FUZZ_LIFE_H

#include "fuzz.h"

/* What was read, to be compared with another reading. */
typedef struct fuzz_reading {
    uint64_t entries;   /* that the list of all gave */
    uint64_t live;
    uint64_t text;      /* checksum of them as JSON, in order */
    uint64_t live_text; /* and of the live ones */
    bool cut;           /* not all was read: more than a fuzzer has time for */
    uint8_t history_digest[32];
} fuzz_reading;

/* Lists (forwards, backwards, live, as of commits, by facets), gets, prints, streams.
 * sound: verify said so, and every call must succeed and agree with the others. */
void fuzz_read_everything(memfile *mf, bool sound, fuzz_reading *out);

/* The same for a file. Fails unless it opens, if it is to be sound. false: it does not open. */
bool fuzz_read_path(const char *path, bool sound, fuzz_reading *out);

void fuzz_check_same(const fuzz_reading *a, const fuzz_reading *b, const char *what);

/* Verifies, full and quick, demands that both fit, and that what was found was told.
 * Returns the full one's class; *result and *error may be NULL. */
int fuzz_verify(const char *path, memfile_verify_result *result, memfile_error *error);

/* A file's fault, and none of the machine's or of ours. */
bool fuzz_is_files_fault(int rc);

/* Default options with the environment of the fuzzer, and what opens the file. */
memfile_options fuzz_options(void);
/* The input that is at hand: from now on options and verifications have what opens it. */
void fuzz_take(const uint8_t *data, size_t size);
memfile_unlock fuzz_unlock_taken(void);

#endif
