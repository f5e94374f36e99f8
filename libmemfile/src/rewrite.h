/* rewrite: a memory written anew into an empty file: folded commits, a dictionary, entries,
 * one index, one commit. SPEC 13. compact gives it what a sound file has, recover what is
 * sound in a damaged one. */
#ifndef MF_REWRITE_H
#define MF_REWRITE_H

#include "content.h"
#include "leaves.h"
#include "job.h"
#include "walk.h"

#define MF_REWRITE_SAMPLES 8000u

typedef struct mf_rewrite {
    mf_mem mem;
    memfile_error *err;
    memfile_environment environment; /* all filled in */
    unsigned threads;
    int level;
    mf_store *old; /* contents are read from it */
    mf_slots slots;    /* whom the new file is sealed for; kind 0: it is plain */
    mf_secret *secret; /* the passphrase, if they are for one */
    mf_store new;
    mf_group group;
    /* history */
    mf_arena arena;
    mf_history history;
    size_t history_bytes; /* of its rows in a segment, at most */
    size_t node_capacity;
    mf_built built;
    mf_buffer head;
    uint64_t history_count, history_offset;
    uint64_t commits, history_entries;
    /* entries */
    mf_buffer samples;
    size_t *sample_sizes;
    unsigned sample_count;
    mf_dictionary *dictionary;
    mf_dictionary_place place;
    mf_pool *pool;
    mf_job_worker *workers;
    unsigned in_flight;
    mf_job *current, *spare;
    mf_items items;
    uint64_t next_entry, spilled_end, objects;
    uint64_t superseded;
    mf_claims erased; /* leaves of erased entries, with these entries */
    mf_claims claims; /* leaves that entries of op forget name */
    mf_run *runs;
    size_t run_capacity;
    uint32_t run_count;
    mf_record *record;
    mf_content_writer content;
    uint8_t (*roots)[32]; /* contents that were copied, an open table */
    size_t root_count, root_slots;
} mf_rewrite;

/* What the one commit of the new file says. */
typedef struct mf_rewrite_end {
    uint64_t number, order;     /* of the newest logical commit */
    uint8_t history_digest[32]; /* its */
    const mf_tree *log;         /* of all commits before it */
    uint8_t salt_root[16];
} mf_rewrite_end;

/* environment, threads, level, old, err, mem, slots, secret are set. Takes over io, the new file's, also on failure. */
int mf_rewrite_begin(mf_rewrite *c, const mf_header *header, mf_io *io);
void mf_rewrite_free(mf_rewrite *c);
/* One commit, folded. Its slices are copied. */
int mf_rewrite_commit(mf_rewrite *c, const mf_history_row *row, const mf_salt_node *nodes, uint32_t node_count);
/* After the last of them; they can be read back then. */
int mf_rewrite_commits_end(mf_rewrite *c);
/* Texts for a dictionary, before the first entry; false: no more are wanted. */
bool mf_rewrite_sample(mf_rewrite *c, mf_slice text);
/* Makes it of them, if it is worth it. */
int mf_rewrite_train(mf_rewrite *c);
/* The next entry: a row of a block whose content is set; `offset` is the block's. Erased ones stay erased.
 * salt: NULL, or the entry's, and *leaf is its leaf then. */
int mf_rewrite_entry(mf_rewrite *c, mf_block *block, uint32_t row, uint64_t offset, const uint8_t *salt,
                     uint8_t leaf[32]);
/* The next entry is erased. */
int mf_rewrite_erase(mf_rewrite *c, const uint8_t leaf[32]);
/* Now and then: spills the index when it has grown. */
int mf_rewrite_spill(mf_rewrite *c);
/* After the last entry: everything but the commit. */
int mf_rewrite_entries_end(mf_rewrite *c);
int mf_rewrite_finish(mf_rewrite *c, const mf_rewrite_end *end);
/* Verifies the new file and compares its history digest. */
int mf_rewrite_check(mf_rewrite *c, const uint8_t history_digest[32], memfile_progress *progress,
                     void *context);

#endif
