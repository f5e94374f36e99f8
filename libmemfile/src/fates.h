/* fates: which entries supersede which. SPEC 10.2. For whoever writes a run: the batch
 * of a writer, a file that is recovered. */
#ifndef MF_FATES_H
#define MF_FATES_H

#include "store.h"

typedef struct mf_fates {
    mf_store *store;
    mf_items *items; /* of the entries that the run will cover; sorted, every block of theirs in the file */
    uint64_t from;   /* entries from here on are found by the BLOCK items, earlier ones through the store */
    const mf_run *runs; /* older ones */
    uint32_t run_count;
} mf_fates;

/* Adds the FATE items of all entries that have items; they are not sorted then. */
int mf_fates_find(const mf_fates *fates, memfile_error *err);
/* How many entries the (sorted) FATE items supersede for the first time; `indexed`: entries below it
 * may have been superseded by older runs. */
int mf_fates_count(const mf_fates *fates, uint64_t indexed, uint64_t *count, memfile_error *err);
/* The block that holds an entry, and its row. */
int mf_fates_row_of(const mf_fates *fates, uint64_t entry, mf_object **object, uint32_t *row, memfile_error *err);

#endif
