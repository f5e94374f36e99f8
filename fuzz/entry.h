/* entry: what the targets of drafts, records and blocks share. */
#ifndef FUZZ_ENTRY_H
#define FUZZ_ENTRY_H

#include "fuzz.h"

#include "block.h"
#include "draft.h"

/* Prints the core as JSON, reads that, and demands the same core, vector and content.
 * Nothing is demanded of what JSON cannot say: parts that were dropped, and members whose
 * names mean something else there. content: NULL or what the core names. */
void fuzz_check_json(const mf_record *record, mf_slice core, const mf_slice *content);

/* Puts the cores into one block and demands them back. */
void fuzz_check_block(const mf_slice *cores, uint32_t count);

#endif
