/* erase: what is forgotten does not go into the new file. SPEC 13.3, 13.5. For whoever
 * writes a memory anew: compact, recover. */
#ifndef MF_ERASE_H
#define MF_ERASE_H

#include "leaves.h"

typedef struct mf_eraser {
    mf_store *old;
    const mf_mem *mem;
    const mf_ranges *forgotten; /* of the old file */
    bool erases;                /* there are any */
    /* salt trees: this walk is ahead of the commits that are folded */
    mf_salt_walk ahead;
    size_t range;
    uint64_t next; /* forgotten entry whose tree has not come yet; UINT64_MAX: no more */
    uint64_t trees;
    bool newest_punctured;
    uint32_t *indexes; /* of forgotten entries, in one tree */
    size_t index_count, index_capacity;
    mf_salt_nodes nodes;
    /* leaves */
    mf_salt_walk leaves;
    mf_buffer scratch;
} mf_eraser;

int mf_eraser_begin(mf_eraser *eraser, mf_store *old, memfile_error *err);
void mf_eraser_free(mf_eraser *eraser);
static inline bool mf_eraser_takes(const mf_eraser *eraser, uint64_t entry)
{
    return eraser->erases && mf_ranges_have(eraser->forgotten, entry);
}
/* Nodes of a folded commit's tree, which begins with it, to those that may stay. The commits come in the
 * order of the old file, none left out. *nodes is the eraser's afterwards, until the next call. */
int mf_eraser_nodes(mf_eraser *eraser, const mf_salt_node **nodes, uint32_t *count, memfile_error *err);
/* Leaf of an entry that goes; entries rise. MEMFILE_DONE: it cannot be told. */
int mf_eraser_leaf(mf_eraser *eraser, mf_block *block, uint32_t row, uint64_t entry, uint8_t leaf[32],
                   memfile_error *err);

#endif
