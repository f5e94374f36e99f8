/* fold: history digests as they follow from the leaves, commit by commit. SPEC 8.4 to
 * 8.6. For verify and compact, which both compute them from nothing but entries. */
#ifndef MF_FOLD_H
#define MF_FOLD_H

#include "commit.h"

typedef struct mf_fold {
    const mf_mem *mem;
    uint8_t memory_id[16];
    mf_tree log;    /* of all commits that ended */
    mf_tree leaves; /* of the commit at hand */
    uint8_t digest[32]; /* of the newest commit that ended */
    uint8_t frontier_before[64][32]; /* of the log before it */
    unsigned frontier_before_count;
    mf_buffer *body; /* NULL, or where what was hashed for `digest` is wanted */
} mf_fold;

void mf_fold_init(mf_fold *fold, const uint8_t memory_id[16], const mf_mem *mem);
void mf_fold_leaf(mf_fold *fold, const uint8_t leaf[32]);
/* Ends a commit: its digest is fold->digest then. -1: no memory. */
int mf_fold_end(mf_fold *fold, uint64_t number, const mf_history_row *row);
/* Goes on from what a commit says, when what stands before it could not be computed:
 * its digest, and the log of a footer (NULL: none, and the log stays unknown). */
void mf_fold_adopt(mf_fold *fold, uint64_t number, const uint8_t digest[32], const mf_footer *footer);

#endif
