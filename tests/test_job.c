/* job: one block of entries on its way to a segment. SPEC 6, 8.1, 8.2. */
#include "support.h"

#include "cbor.h"
#include "job.h"

enum { TEXT_MAX = 60 };

/* {1: id, 6: text}, the smallest core */
static void put_core(mf_buffer *out, unsigned i)
{
    char id[16], text[TEXT_MAX];
    snprintf(id, sizeof id, "n%u", i);
    snprintf(text, sizeof text, "the text of number %u, which is like the others", i);
    mf_cbor_put_head(out, MF_CBOR_MAP, 2);
    mf_cbor_put_head(out, MF_CBOR_UINT, 1);
    mf_cbor_put_text(out, mf_slice_of(id, strlen(id)));
    mf_cbor_put_head(out, MF_CBOR_UINT, 6);
    mf_cbor_put_text(out, mf_slice_of(text, strlen(text)));
}

static void add_row(mf_job *job, unsigned i)
{
    static mf_record record;
    memfile_error e;
    size_t begun = mf_job_begin_core(job);
    put_core(&job->cores, i);
    mf_slice core = mf_slice_of(job->cores.data + begun + MF_SALT_LENGTH, job->cores.length - begun - MF_SALT_LENGTH);
    assert_int_equal(mf_record_parse(&record, core, MEMFILE_E_INVALID, 0, &e), MEMFILE_OK);
    assert_int_equal(mf_job_add(job, begun, &record), MEMFILE_OK);
}

static void ask(mf_job *job, uint64_t first_entry, uint8_t root, uint32_t salt_index)
{
    job->first_entry = first_entry;
    job->wants_leaves = job->wants_segment = true;
    job->level = 1;
    memset(job->salt_root, root, sizeof job->salt_root);
    job->salt_index = salt_index;
}

/* The rows of a built segment are the entries from `first` on. */
static void check_rows(mf_job *job, unsigned first, unsigned rows)
{
    static uint8_t content[MF_RAW_LENGTH_MAX];
    mf_segment s;
    mf_slice head, stored;
    mf_compressor c;
    mf_block block;
    mf_arena arena;
    mf_buffer core, expected;
    memfile_error e;
    mf_compressor_init(&c);
    mf_arena_init(&arena, &mf_mem_default);
    mf_buffer_init(&core, &mf_mem_default);
    mf_buffer_init(&expected, &mf_mem_default);
    mf_segment_place(&job->built, 4096, 80, 1, 2);
    assert_int_equal(mf_segment_decode(&s, job->built.bytes.data, 4096, 2, &e), MEMFILE_OK);
    assert_int_equal(s.type, MF_TYPE_RECORDS);
    assert_int_equal(mf_segment_check(&s, job->built.bytes.data, &e), MEMFILE_OK);
    assert_int_equal(mf_segment_split(&s, job->built.bytes.data, &head, &stored, &e), MEMFILE_OK);
    assert_int_equal(mf_segment_content(&s, stored, &c, job->dictionary, content, &e), MEMFILE_OK);
    mf_cursor cursor = mf_cursor_of(head.data, head.length);
    assert_int_equal(mf_get_varint(&cursor), job->first_entry); /* SPEC 5: varint First_Entry, then the columns */
    assert_int_equal(mf_block_parse(&block, mf_slice_of(cursor.at, mf_cursor_left(&cursor)), &arena), 0);
    mf_block_set_content(&block, content);
    assert_int_equal(block.rows, rows);
    for (unsigned i = 0; i < rows; i++) {
        mf_buffer_clear(&core);
        mf_buffer_clear(&expected);
        put_core(&expected, first + i);
        assert_int_equal(mf_block_core(&block, i, &core), 0);
        assert_int_equal(core.length, expected.length);
        assert_memory_equal(core.data, expected.data, core.length);
    }
    mf_buffer_free(&core);
    mf_buffer_free(&expected);
    mf_arena_free(&arena);
    mf_compressor_free(&c);
}

/* SPEC 8.1: H("memfile1.leaf", salt, core), the salt by SPEC 8.2 from the root down. */
static void check_leaves(const mf_job *job, unsigned first, unsigned rows)
{
    mf_buffer b;
    mf_buffer_init(&b, &mf_mem_default);
    for (unsigned i = 0; i < rows; i++) {
        uint8_t salt[16], leaf[32];
        mf_salt_below(job->salt_root, 0, job->salt_index + i, salt);
        mf_buffer_clear(&b);
        mf_put_bytes(&b, salt, 16);
        put_core(&b, first + i);
        mf_digest(leaf, MF_LABEL_LEAF, b.data, b.length);
        assert_memory_equal(job->leaves[i], leaf, 32);
    }
    mf_buffer_free(&b);
}

static void a_job_makes_the_segment_and_the_leaves_of_its_rows(void **state)
{
    (void)state;
    static const unsigned rows[] = {1, 2, 100, MF_BLOCK_ROWS_MAX};
    mf_job_worker worker;
    memset(&worker, 0, sizeof worker);
    mf_job *job = mf_job_new(&mf_mem_default, NULL);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) { /* one job, used again */
        mf_job_clear(job);
        ask(job, 1000 * k, (uint8_t)(7 + k), (uint32_t)(k * 12345));
        for (unsigned i = 0; i < rows[k]; i++)
            add_row(job, i);
        mf_job_run(job, &worker);
        assert_int_equal(job->rc, MEMFILE_OK);
        check_rows(job, 0, rows[k]);
        check_leaves(job, 0, rows[k]);
    }
    mf_job_free(job);
    mf_job_worker_free(&worker);
}

static void a_core_that_was_dropped_leaves_no_trace(void **state)
{
    (void)state;
    mf_job_worker worker;
    memset(&worker, 0, sizeof worker);
    mf_job *job = mf_job_new(&mf_mem_default, NULL);
    mf_job_clear(job);
    ask(job, 0, 1, 0);
    for (unsigned i = 0; i < 20; i++) {
        size_t begun = mf_job_begin_core(job);
        put_core(&job->cores, 999);
        mf_job_drop_core(job, begun);
        assert_int_equal(job->cores.length, begun);
        add_row(job, i);
    }
    size_t begun = mf_job_begin_core(job);
    mf_job_drop_core(job, begun);
    assert_int_equal(job->rows, 20);
    mf_job_run(job, &worker);
    assert_int_equal(job->rc, MEMFILE_OK);
    check_rows(job, 0, 20);
    check_leaves(job, 0, 20);
    mf_job_free(job);
    mf_job_free(NULL);
    mf_job_worker_free(&worker);
}

/* For an inline block: columns and content alone, no First_Entry before them. */
static void without_a_segment_only_columns_and_content_are_made(void **state)
{
    (void)state;
    mf_job_worker worker;
    mf_arena arena;
    mf_block block;
    memset(&worker, 0, sizeof worker);
    mf_arena_init(&arena, &mf_mem_default);
    mf_job *job = mf_job_new(&mf_mem_default, NULL);
    mf_job_clear(job);
    ask(job, 77, 1, 0);
    job->wants_segment = job->wants_leaves = false;
    add_row(job, 0);
    add_row(job, 1);
    mf_job_run(job, &worker);
    assert_int_equal(job->rc, MEMFILE_OK);
    assert_int_equal(mf_block_parse(&block, mf_slice_of(job->head.data, job->head.length), &arena), 0);
    assert_int_equal(block.rows, 2);
    assert_int_equal(block.content_length, job->content.length);
    assert_int_equal(job->built.bytes.length, 0);
    assert_null(job->leaves);
    mf_arena_free(&arena);
    mf_job_free(job);
    mf_job_worker_free(&worker);
}

typedef struct pipeline {
    mf_job_worker workers[4];
} pipeline;

static void run_job(void *context, unsigned worker, void *job)
{
    mf_job_run((mf_job *)job, &((pipeline *)context)->workers[worker]);
}

/* Salts of a worker belong to one tree at a time: trees change from job to job here. */
static void many_jobs_through_a_pool_are_what_one_thread_makes_of_them(void **state)
{
    (void)state;
    enum { JOBS = 60, ROWS = 50 };
    static mf_job *jobs[JOBS];
    static pipeline line;
    mf_pool *pool;
    unsigned taken = 0;
    memset(&line, 0, sizeof line);
    assert_int_equal(mf_pool_new(&mf_mem_default, 4, run_job, &line, &pool), 0);
    for (unsigned j = 0; j < JOBS; j++) {
        if (mf_pool_full(pool))
            assert_ptr_equal(mf_pool_take(pool), jobs[taken++]);
        jobs[j] = mf_job_new(&mf_mem_default, NULL);
        mf_job_clear(jobs[j]);
        ask(jobs[j], j * ROWS, (uint8_t)(j % 3), j * ROWS);
        for (unsigned i = 0; i < ROWS; i++)
            add_row(jobs[j], j * ROWS + i);
        mf_pool_give(pool, jobs[j]);
    }
    while (taken < JOBS)
        assert_ptr_equal(mf_pool_take(pool), jobs[taken++]);
    for (unsigned j = 0; j < JOBS; j++) {
        assert_int_equal(jobs[j]->rc, MEMFILE_OK);
        check_rows(jobs[j], j * ROWS, ROWS);
        check_leaves(jobs[j], j * ROWS, ROWS);
        mf_job_free(jobs[j]);
    }
    mf_pool_free(pool);
    for (int w = 0; w < 4; w++)
        mf_job_worker_free(&line.workers[w]);
}

/* What does not fit a segment is an error of this job, with its sentence, and of no other. */
static void an_error_stays_with_its_job(void **state)
{
    (void)state;
    mf_job_worker worker;
    memset(&worker, 0, sizeof worker);
    mf_job *job = mf_job_new(&mf_mem_default, NULL);
    mf_record *record = (mf_record *)malloc(sizeof *record);
    char *text = (char *)malloc(32768);
    memset(text, 't', 32768);
    mf_job_clear(job);
    ask(job, 0, 1, 0);
    for (int i = 0; i < 40; i++) { /* 40 x 32 KiB of text are more than 1 MiB of content */
        memfile_error e;
        char id[16];
        snprintf(id, sizeof id, "n%d", i);
        size_t begun = mf_job_begin_core(job);
        mf_cbor_put_head(&job->cores, MF_CBOR_MAP, 2);
        mf_cbor_put_head(&job->cores, MF_CBOR_UINT, 1);
        mf_cbor_put_text(&job->cores, mf_slice_of(id, strlen(id)));
        mf_cbor_put_head(&job->cores, MF_CBOR_UINT, 6);
        mf_cbor_put_text(&job->cores, mf_slice_of(text, 32768));
        mf_slice core = mf_slice_of(job->cores.data + begun + 16, job->cores.length - begun - 16);
        assert_int_equal(mf_record_parse(record, core, MEMFILE_E_INVALID, 0, &e), MEMFILE_OK);
        assert_int_equal(mf_job_add(job, begun, record), MEMFILE_OK);
    }
    mf_job_run(job, &worker);
    assert_int_equal(job->rc, MEMFILE_E_LIMIT);
    assert_int_equal(job->error.code, MEMFILE_E_LIMIT);
    assert_true(strlen(job->error.message) > 0);
    mf_job_clear(job);
    assert_int_equal(job->rc, MEMFILE_OK);
    ask(job, 5, 2, 9);
    add_row(job, 3);
    mf_job_run(job, &worker);
    assert_int_equal(job->rc, MEMFILE_OK);
    check_rows(job, 3, 1);
    check_leaves(job, 3, 1);
    mf_job_free(job);
    mf_job_worker_free(&worker);
    free(record);
    free(text);
}

static void *limited(void *context, void *block, size_t size)
{
    long *left = (long *)context;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return (*left)-- > 0 ? realloc(block, size) : NULL;
}

static void memory_that_runs_out_is_an_error_at_every_place(void **state)
{
    (void)state;
    int made = 0, refused = 0;
    for (long allowed = 0; made == 0; allowed++) {
        long left = allowed;
        mf_mem mem = {limited, &left};
        mf_job_worker worker;
        static mf_record record;
        memfile_error e;
        memset(&worker, 0, sizeof worker);
        assert_true(allowed < 1000);
        mf_job *job = mf_job_new(&mem, NULL);
        if (!job) {
            refused++;
            continue;
        }
        mf_job_clear(job);
        ask(job, 0, 1, 0);
        int rc = MEMFILE_OK;
        for (unsigned i = 0; i < 30 && rc == MEMFILE_OK; i++) {
            size_t begun = mf_job_begin_core(job);
            put_core(&job->cores, i);
            if (!job->cores.failed)
                assert_int_equal(mf_record_parse(&record,
                                                 mf_slice_of(job->cores.data + begun + 16, job->cores.length - begun - 16),
                                                 MEMFILE_E_INVALID, 0, &e),
                                 MEMFILE_OK);
            rc = mf_job_add(job, begun, &record);
        }
        if (rc == MEMFILE_OK) {
            mf_job_run(job, &worker);
            rc = job->rc;
        }
        if (rc == MEMFILE_OK) {
            check_rows(job, 0, 30);
            made++;
        } else {
            assert_int_equal(rc, MEMFILE_E_MEMORY);
            refused++;
        }
        mf_job_free(job);
        mf_job_worker_free(&worker);
    }
    assert_true(refused > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_makes_the_segment_and_the_leaves_of_its_rows),
        cmocka_unit_test(a_core_that_was_dropped_leaves_no_trace),
        cmocka_unit_test(without_a_segment_only_columns_and_content_are_made),
        cmocka_unit_test(many_jobs_through_a_pool_are_what_one_thread_makes_of_them),
        cmocka_unit_test(an_error_stays_with_its_job),
        cmocka_unit_test(memory_that_runs_out_is_an_error_at_every_place),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
