/* leaves: salts and leaves of entries by the commits that brought them, and which entries
 * are forgotten by their leaves. SPEC 8.1 to 8.3, 10.8, 13.3. For whoever forgets, erases,
 * or cannot trust the index. */
#ifndef MF_LEAVES_H
#define MF_LEAVES_H

#include "walk.h"

/* From commit to commit, in the order of the file. */
typedef struct mf_salt_walk {
    mf_store *store;
    mf_walk walk;
    mf_history_cursor cursor; /* folded commits, and the tree in use */
    uint64_t first, end;      /* entries of the commit at hand */
    uint64_t salt_index;      /* of the first of them */
    uint64_t tree;            /* how many trees were begun up to it */
    uint64_t next_number;
    bool known; /* no commit that may have begun another tree is lost */
    bool opened, folded, finished;
} mf_salt_walk;

int mf_salt_walk_open(mf_salt_walk *walk, mf_store *store, memfile_error *err);
void mf_salt_walk_close(mf_salt_walk *walk);
/* Moves to the commit that brought `entry`, which must not fall from call to call.
 * MEMFILE_DONE: there is none, or its tree cannot be told, because of damage. */
int mf_salt_walk_seek(mf_salt_walk *walk, uint64_t entry, memfile_error *err);
/* One commit further; `finished` behind the last. */
int mf_salt_walk_next(mf_salt_walk *walk, memfile_error *err);
/* After a seek that succeeded. */
static inline uint64_t mf_salt_walk_index(const mf_salt_walk *walk, uint64_t entry)
{
    return walk->salt_index + (entry - walk->first);
}
/* Seeks. DONE also if the node above it is missing. */
int mf_salt_walk_salt(mf_salt_walk *walk, uint64_t entry, uint8_t out[MF_SALT_LENGTH], memfile_error *err);
/* Leaf of a row whose block has its content. `scratch` is overwritten. */
int mf_salt_walk_leaf(mf_salt_walk *walk, mf_block *block, uint32_t row, uint64_t entry, mf_buffer *scratch,
                      uint8_t leaf[32], memfile_error *err);

/* A tree without what stands above the given indexes, which rise. Out: its nodes that are left,
 * in order, made with mem. -1: no memory. */
typedef struct mf_salt_nodes {
    mf_salt_node *v;
    size_t count, capacity;
} mf_salt_nodes;
int mf_salt_nodes_puncture(mf_salt_nodes *out, const mf_salt_node *nodes, size_t node_count, const uint32_t *indexes,
                           size_t index_count, uint64_t end, const mf_mem *mem);

/* ---- forgotten entries, by their leaves */

typedef struct mf_numbers {
    uint64_t *v;
    size_t count, capacity;
} mf_numbers;
int mf_numbers_add(mf_numbers *numbers, uint64_t number, const mf_mem *mem); /* -1: no memory */

/* Is the row an entry of op forget? Its block must have its content. */
bool mf_block_forgets(const mf_block *block, uint32_t row);
/* All entries of op forget, by a scan. */
int mf_forgets_find(mf_store *store, mf_numbers *forgets, memfile_error *err);

/* Leaves that entries of op forget name, to be looked for among earlier entries. */
typedef struct mf_claim {
    uint64_t leaf[2]; /* its first half: two leaves that share it are found neither by chance nor by search */
    uint64_t by;
    bool met;
} mf_claim;

typedef struct mf_claims {
    mf_claim *v;
    size_t count, capacity;
} mf_claims;

#define MF_CLAIMS_MAX ((size_t)1 << 19) /* to be looked for in one go: 16 MiB */

/* The leaves in the field supersedes (as CBOR) of the entry `by`. -1: no memory */
int mf_claims_add(mf_claims *claims, mf_slice supersedes, uint64_t by, const mf_mem *mem);

typedef struct mf_leaf_search {
    mf_store *store;
    /* `entry` is named by the entry `by`. -1: no memory */
    int (*found)(void *context, uint64_t entry, uint64_t by, bool erased);
    /* The leaf of `entry` cannot be told. -1: no memory. NULL: that is damage. */
    int (*unknown)(void *context, uint64_t entry);
    void *context;
    uint64_t unmatched; /* out: claims that no entry whose leaf could be told fits */
    uint64_t left;      /* entries that may still be found: a leaf is of one entry, so that each claim finds one */
} mf_leaf_search;

/* Looks for the claims among the entries below `end`; there are none afterwards. LIMIT: more entries fit than are
 * named, which no writer makes: a file that has the leaves of many entries alike, and many entries that name them. */
int mf_claims_resolve(mf_claims *claims, mf_leaf_search *search, uint64_t end, memfile_error *err);
/* Claims against leaves that are at hand: claims whose `by` is the entry of the leaf. The claims are
 * gone afterwards. MEMORY, LIMIT. */
int mf_claims_join(mf_claims *claims, mf_claims *leaves, int (*found)(void *context, uint64_t entry, uint64_t by),
                   void *context, memfile_error *err);
int mf_claims_add_leaf(mf_claims *leaves, const uint8_t leaf[32], uint64_t entry, const mf_mem *mem);
/* The same for all claims of the given entries of op forget, which rise. */
int mf_forgets_resolve(const mf_numbers *forgets, mf_leaf_search *search, memfile_error *err);

/* In a state that knows blocks instead of an index: what is forgotten goes by the leaves, and what may be
 * is taken for it. SPEC 17.1. In rebuild.c. */
int mf_store_find_forgotten(mf_store *store, memfile_error *err);

#endif
