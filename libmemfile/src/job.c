/* job: SPEC 6, 8.1, 8.2 for one block. */
#include "job.h"

mf_job *mf_job_new(const mf_mem *mem, const mf_seal *seal)
{
    mf_job *job = (mf_job *)mf_alloc_zero(mem, sizeof *job);
    if (!job)
        return NULL;
    job->mem = mem;
    mf_buffer_init(&job->cores, mem);
    mf_buffer_init(&job->head, mem);
    mf_buffer_init(&job->content, mem);
    mf_built_init(&job->built, mem, seal);
    if (mf_block_builder_new(mem, &job->builder) != 0) {
        mf_job_free(job);
        return NULL;
    }
    return job;
}

void mf_job_free(mf_job *job)
{
    if (!job)
        return;
    mf_block_builder_free(job->builder);
    mf_buffer_free(&job->cores);
    mf_buffer_free(&job->head);
    mf_buffer_free(&job->content);
    mf_built_free(&job->built);
    mf_free(job->mem, job->core_length);
    mf_free(job->mem, job->leaves);
    mf_free(job->mem, job);
}

void mf_job_clear(mf_job *job)
{
    mf_block_builder_clear(job->builder);
    mf_buffer_clear(&job->cores);
    mf_buffer_clear(&job->head);
    mf_buffer_clear(&job->content);
    job->rows = 0;
    job->rc = MEMFILE_OK;
    job->next = NULL;
}

size_t mf_job_begin_core(mf_job *job)
{
    size_t begun = job->cores.length;
    mf_put_zero(&job->cores, MF_SALT_LENGTH);
    return begun;
}

void mf_job_drop_core(mf_job *job, size_t begun)
{
    job->cores.length = begun;
    job->cores.failed = false;
}

int mf_job_add(mf_job *job, size_t begun, const mf_record *record)
{
    void *grown = job->core_length;
    if (job->cores.failed || mf_grow(job->mem, &grown, &job->core_length_capacity, job->rows + 1, sizeof(uint32_t)))
        return MEMFILE_E_MEMORY;
    job->core_length = (uint32_t *)grown;
    job->core_length[job->rows++] = (uint32_t)(job->cores.length - begun - MF_SALT_LENGTH);
    mf_block_builder_add(job->builder, record);
    return MEMFILE_OK;
}

static int make_leaves(mf_job *job, mf_job_worker *worker)
{
    void *grown = job->leaves;
    if (mf_grow(job->mem, &grown, &job->leaf_capacity, job->rows, 32) != 0)
        return mf_fail_memory(&job->error);
    job->leaves = (uint8_t(*)[32])grown;
    if (!worker->salts_ready || memcmp(worker->salts.root, job->salt_root, MF_SALT_LENGTH) != 0)
        mf_salts_init(&worker->salts, job->salt_root);
    worker->salts_ready = true;
    uint8_t *at = job->cores.data;
    for (uint32_t row = 0; row < job->rows; row++) {
        mf_salts_at(&worker->salts, job->salt_index + row, at);
        mf_digest(job->leaves[row], MF_LABEL_LEAF, at, MF_SALT_LENGTH + job->core_length[row]);
        at += MF_SALT_LENGTH + job->core_length[row];
    }
    return MEMFILE_OK;
}

void mf_job_run(mf_job *job, mf_job_worker *worker)
{
    job->rc = MEMFILE_OK;
    mf_error_clear(&job->error);
    if (job->wants_leaves)
        job->rc = make_leaves(job, worker);
    mf_buffer_clear(&job->head);
    mf_buffer_clear(&job->content);
    if (job->wants_segment)
        mf_put_varint(&job->head, job->first_entry);
    if (job->rc == MEMFILE_OK && mf_block_builder_finish(job->builder, &job->head, &job->content) != 0)
        job->rc = mf_fail_memory(&job->error);
    if (job->rc == MEMFILE_OK && job->wants_segment)
        job->rc = mf_segment_build(&job->built, MF_TYPE_RECORDS, 0, mf_slice_of(job->head.data, job->head.length),
                                   mf_slice_of(job->content.data, job->content.length), &worker->compressor,
                                   job->level, job->dictionary, &job->error);
}

void mf_job_worker_free(mf_job_worker *worker)
{
    mf_compressor_free(&worker->compressor);
}
