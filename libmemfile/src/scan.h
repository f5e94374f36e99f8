/* scan: all blocks in order of entries, decoded ahead by a pool. Passes the
 * cache by, so that a long scan does not push out what is in use. */
#ifndef MF_SCAN_H
#define MF_SCAN_H

#include "pool.h"
#include "store.h"

typedef struct mf_scan_slot {
    const mf_mem *mem;
    uint64_t offset;
    mf_segment segment;
    uint8_t *raw;
    size_t raw_capacity, raw_length; /* raw_length: how much was read */
    uint8_t *content;
    size_t content_capacity;
    mf_arena arena;
    mf_block block;
    uint64_t first_entry;
    mf_dictionary *dictionary; /* held: the handle may follow a rename meanwhile */
    uint32_t tag;
    mf_seal seal; /* as it was then, for the same reason */
    bool wants_content;
    bool wants_dictionary; /* another one than was at hand: which one was inside the seal */
    mf_slice stored;
    int rc;
    memfile_error error;
} mf_scan_slot;

typedef struct mf_scan {
    mf_store *store;
    uint64_t next_entry; /* that is to be given out */
    uint64_t position;   /* first that no job was begun for */
    uint64_t end, generation; /* of the store, that run, tail and iterator belong to */
    bool wants_content;
    uint64_t skipped; /* entries that are lost, in a state that was rebuilt */
    mf_pool *pool;
    mf_compressor *compressors;
    unsigned threads;
    mf_scan_slot **slots;
    unsigned slot_count, free_slots;
    mf_scan_slot **free_list;
    mf_scan_slot *current;
    /* where the next block is */
    uint32_t run, tail;
    bool seeking;
    mf_run_iterator iterator;
    bool iterating, have_ahead;
    mf_item ahead;
} mf_scan;

/* Entries [first, end); the first block given may begin before `first`. */
int mf_scan_open(mf_scan *scan, mf_store *store, uint64_t first, uint64_t end, bool wants_content, unsigned threads,
                 memfile_error *err);
/* Next block, valid until the next call. MEMFILE_DONE at the end. */
int mf_scan_next(mf_scan *scan, mf_scan_slot **out, memfile_error *err);
void mf_scan_close(mf_scan *scan);

#endif
