/* commit: the head of a COMMIT segment, the footer in it, and the history
 * digest. SPEC 8.6, 9. Also HISTORY rows, SPEC 13.2. */
#ifndef MF_COMMIT_H
#define MF_COMMIT_H

#include "bytes.h"
#include "digest.h"
#include "format.h"

#define MF_RUNS_MAX 1024u
#define MF_DICTIONARIES_MAX 64u

typedef struct mf_run {
    uint64_t type, first_entry, entry_count;
    uint64_t root_offset, root_length; /* bytes; 0: a run without items */
    uint64_t total_length;
} mf_run;

typedef struct mf_dictionary_place {
    uint32_t id;
    uint64_t offset[2];
} mf_dictionary_place;

/* SPEC 9.3 */
typedef struct mf_footer {
    uint8_t stored_prefix[32];
    uint64_t indexed_entries, indexed_commits, superseded, objects;
    unsigned frontier_count;
    uint8_t frontier[64][32];
    uint32_t dictionary_count;
    mf_dictionary_place *dictionaries;
    uint64_t keys_offset;
    uint64_t history_count, history_offset;
    uint32_t run_count;
    mf_run *runs;
    uint8_t salt_root[16];
} mf_footer;

void mf_footer_free(mf_footer *footer, const mf_mem *mem);
int mf_footer_copy(mf_footer *out, const mf_footer *footer, const mf_mem *mem);

/* SPEC 9.1. Slices point into the head. */
typedef struct mf_commit {
    uint64_t flags, number, first_entry, entry_count, group_length;
    int64_t time_us;
    uint64_t order;
    uint8_t history_digest[32];
    uint64_t salt_index;
    uint8_t salt_root[16];
    mf_slice parents, author, extra, signatures; /* parents, signatures: their bytes one after the other */
    uint64_t footer_distance; /* bytes; not FULL */
    mf_slice columns;         /* INLINE */
    mf_footer *footer;        /* FULL: filled if not NULL, its arrays made with mem */
} mf_commit;

/* Appends all of the head; commit->columns last. */
void mf_commit_encode(mf_buffer *out, const mf_commit *commit);
/* commit->footer may be NULL: then the footer is passed over. On failure nothing is left allocated. */
int mf_commit_decode(mf_commit *commit, mf_slice head, mf_footer *footer, const mf_mem *mem, uint64_t offset,
                     memfile_error *err);

/* Is the author text, and are the further pairs as SPEC 8.6 has them? */
bool mf_commit_text_is_sound(mf_slice author, mf_slice extra);

/* SPEC 8.6. log: the tree of all earlier commits; root: NULL if no entries. */
void mf_history_digest(uint8_t out[32], const uint8_t memory_id[16], mf_slice parents, uint64_t entries,
                       const uint8_t *entries_root, const mf_tree *log, uint64_t order, int64_t time_us,
                       mf_slice author, mf_slice extra, const mf_mem *mem, bool *no_memory);

/* SPEC 9.1, field 11: rising, none twice. */
bool mf_parents_rise(mf_slice parents);

/* What is hashed for that, appended to `body`. */
void mf_history_body(mf_buffer *body, const uint8_t memory_id[16], mf_slice parents, uint64_t entries,
                     const uint8_t *entries_root, const mf_tree *log, uint64_t order, int64_t time_us, mf_slice author,
                     mf_slice extra);

/* A salt tree as it is stored: some of its nodes. SPEC 13.3. */
typedef struct mf_salt_node {
    uint8_t depth;
    uint64_t position;
    uint8_t seed[16];
} mf_salt_node;

/* One folded commit, SPEC 13.2. */
typedef struct mf_history_row {
    uint64_t flags, count, order, salt_index;
    int64_t time_us;
    mf_slice parents, author, extra, signatures; /* into the head */
    uint32_t salt_first, salt_count;             /* nodes in the table's list */
} mf_history_row;

typedef struct mf_history {
    uint64_t first_number, first_entry;
    uint32_t row_count, node_count;
    mf_history_row *rows;
    mf_salt_node *nodes;
} mf_history;

/* A commit as the row it would be folded to; slices are the commit's. */
void mf_history_row_of(mf_history_row *row, const mf_commit *commit);
void mf_history_encode(mf_buffer *out, const mf_history *history);
int mf_history_decode(mf_history *history, mf_slice head, mf_arena *arena, uint64_t offset, memfile_error *err);

#endif
