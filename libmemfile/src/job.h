/* job: one block of entries on its way to a segment, as work for a pool:
 * leaves (SPEC 8.1), columns (6), compression, checksums. */
#ifndef MF_JOB_H
#define MF_JOB_H

#include "block.h"
#include "pool.h"
#include "segment.h"

#define MF_BLOCK_BYTES 12288u        /* cores in a block, when writing */
#define MF_BLOCK_BYTES_COMPACT 16384u /* when compacting */

typedef struct mf_job {
    const mf_mem *mem;
    /* in */
    mf_block_builder *builder;
    mf_buffer cores; /* per row 16 bytes of room for the salt, then the core */
    uint32_t *core_length;
    size_t core_length_capacity;
    uint32_t rows;
    uint64_t first_entry;
    bool wants_leaves;
    uint8_t salt_root[16];
    uint32_t salt_index;
    bool wants_segment; /* else only head and content are made */
    int level;
    const mf_dictionary *dictionary;
    /* out */
    mf_buffer head, content;
    mf_built built;
    uint8_t (*leaves)[32];
    size_t leaf_capacity;
    int rc;
    memfile_error error;
    struct mf_job *next;
} mf_job;

/* Working memory of one thread. */
typedef struct mf_job_worker {
    mf_compressor compressor;
    mf_salts salts;
    bool salts_ready;
} mf_job_worker;

mf_job *mf_job_new(const mf_mem *mem, const mf_seal *seal);
void mf_job_free(mf_job *job);
void mf_job_clear(mf_job *job);
/* Adds a row: makes room for a core, which the caller appends to job->cores,
 * then calls mf_job_add with what was appended taken apart. */
size_t mf_job_begin_core(mf_job *job);
int mf_job_add(mf_job *job, size_t begun, const mf_record *record);
/* Takes the last begun, not yet added core back. */
void mf_job_drop_core(mf_job *job, size_t begun);
void mf_job_run(mf_job *job, mf_job_worker *worker);
void mf_job_worker_free(mf_job_worker *worker);

#endif
