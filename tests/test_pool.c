/* pool: jobs done by several threads, taken back in order. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "pool.h"

typedef struct work {
    unsigned number;
    atomic_int runs;
    unsigned worker;
    pthread_t thread;
    uint64_t effort;
} work;

typedef struct shared {
    unsigned threads;
    atomic_int busy[64]; /* per worker: nobody else may be it at the same time */
    atomic_int wrong, all;
    atomic_int hold; /* jobs wait while it is set */
} shared;

static void run(void *context, unsigned worker, void *job)
{
    shared *s = (shared *)context;
    work *w = (work *)job;
    if (worker >= 64 || (s->threads > 0 && worker >= s->threads) || atomic_fetch_add(&s->busy[worker], 1) != 0)
        atomic_fetch_add(&s->wrong, 1);
    while (atomic_load(&s->hold)) {
        struct timespec pause = {0, 100000};
        nanosleep(&pause, NULL);
    }
    uint64_t x = w->number + 1;
    for (unsigned i = 0; i < w->number % 7 * 300; i++)
        next_random(&x);
    w->effort = x;
    w->worker = worker;
    w->thread = pthread_self();
    atomic_fetch_add(&w->runs, 1);
    atomic_fetch_add(&s->all, 1);
    atomic_fetch_sub(&s->busy[worker], 1);
}

static mf_pool *make_pool(shared *s, unsigned threads)
{
    mf_pool *p;
    memset(s, 0, sizeof *s);
    s->threads = threads < 1 ? 1 : threads > 64 ? 64 : threads;
    assert_int_equal(mf_pool_new(&mf_mem_default, threads, run, s, &p), 0);
    assert_non_null(p);
    return p;
}

static void many_jobs_come_back_once_each_and_in_order(void **state)
{
    (void)state;
    enum { JOBS = 3000 };
    static const unsigned threads[] = {0, 1, 2, 3, 8, 64, 1000};
    static work jobs[JOBS];
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        shared s;
        mf_pool *p = make_pool(&s, threads[t]);
        unsigned given = 0, taken = 0;
        memset(jobs, 0, sizeof jobs);
        while (taken < JOBS) {
            while (given < JOBS && !mf_pool_full(p)) {
                jobs[given].number = given;
                mf_pool_give(p, &jobs[given++]);
            }
            work *w = (work *)mf_pool_take(p);
            assert_ptr_equal(w, &jobs[taken]);
            assert_int_equal(atomic_load(&w->runs), 1); /* done when it is given back */
            taken++;
        }
        assert_null(mf_pool_take(p));
        assert_int_equal(atomic_load(&s.wrong), 0);
        assert_int_equal(atomic_load(&s.all), JOBS);
        mf_pool_free(p);
    }
}

static void with_one_thread_a_job_runs_when_it_is_taken_and_in_the_callers(void **state)
{
    (void)state;
    for (unsigned threads = 0; threads < 2; threads++) {
        shared s;
        mf_pool *p = make_pool(&s, threads);
        work w = {0};
        assert_false(mf_pool_full(p));
        mf_pool_give(p, &w);
        assert_true(mf_pool_full(p));
        assert_int_equal(atomic_load(&w.runs), 0);
        assert_ptr_equal(mf_pool_take(p), &w);
        assert_int_equal(atomic_load(&w.runs), 1);
        assert_int_equal(w.worker, 0);
        assert_true(pthread_equal(w.thread, pthread_self()));
        assert_false(mf_pool_full(p));
        mf_pool_free(p);
    }
}

static void a_pool_takes_so_many_jobs_and_then_is_full(void **state)
{
    (void)state;
    static work jobs[1000];
    for (unsigned threads = 1; threads <= 4; threads++) {
        shared s;
        mf_pool *p = make_pool(&s, threads);
        unsigned given = 0;
        memset(jobs, 0, sizeof jobs);
        while (!mf_pool_full(p) && given < 1000)
            mf_pool_give(p, &jobs[given++]);
        assert_true(given >= threads && given < 1000); /* enough for all, but bounded */
        for (unsigned round = 0; round < 50; round++) { /* one out, one in: and full again */
            assert_ptr_equal(mf_pool_take(p), &jobs[round % given]);
            assert_false(mf_pool_full(p));
            mf_pool_give(p, &jobs[round % given]);
            assert_true(mf_pool_full(p));
        }
        for (unsigned i = 0; i < given; i++)
            assert_non_null(mf_pool_take(p));
        assert_null(mf_pool_take(p));
        mf_pool_free(p);
    }
}

/* The caller waits for the oldest, and works meanwhile: with the others held up, none is lost. */
static void the_caller_works_while_it_waits(void **state)
{
    (void)state;
    shared s;
    work jobs[8];
    memset(jobs, 0, sizeof jobs);
    mf_pool *p = make_pool(&s, 2);
    atomic_store(&s.hold, 1);
    mf_pool_give(p, &jobs[0]);
    struct timespec pause = {0, 20000000};
    nanosleep(&pause, NULL); /* the other thread has it and is held up */
    atomic_store(&s.hold, 0);
    for (int i = 1; i < 8; i++)
        mf_pool_give(p, &jobs[i]);
    for (int i = 0; i < 8; i++)
        assert_ptr_equal(mf_pool_take(p), &jobs[i]);
    assert_int_equal(atomic_load(&s.all), 8);
    mf_pool_free(p);
}

static void what_is_not_begun_is_dropped_and_what_runs_is_waited_for(void **state)
{
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++) {
        shared s;
        static work jobs[64];
        memset(jobs, 0, sizeof jobs);
        mf_pool *p = make_pool(&s, threads);
        unsigned given = 0;
        while (!mf_pool_full(p) && given < 64)
            mf_pool_give(p, &jobs[given++]);
        mf_pool_free(p);
        int done = atomic_load(&s.all);
        for (int w = 0; w < 64; w++)
            assert_int_equal(atomic_load(&s.busy[w]), 0); /* nobody is at work behind our back */
        for (unsigned i = 0, left = (unsigned)done; i < given; i++) /* from the oldest on, each once */
            assert_int_equal(atomic_load(&jobs[i].runs), i < left ? 1 : 0);
        if (threads == 1)
            assert_int_equal(done, 0);
    }
    mf_pool_free(NULL);
}

typedef struct memory {
    atomic_long blocks, left;
} memory;

static void *limited(void *context, void *block, size_t size)
{
    memory *m = (memory *)context;
    if (size == 0) {
        atomic_fetch_sub(&m->blocks, 1);
        free(block);
        return NULL;
    }
    if (atomic_fetch_sub(&m->left, 1) <= 0)
        return NULL;
    if (!block)
        atomic_fetch_add(&m->blocks, 1);
    return realloc(block, size);
}

/* Without the pool itself there is none; with fewer threads than asked for it is only slower. */
static void a_pool_that_gets_less_memory_still_does_its_jobs_or_is_none(void **state)
{
    (void)state;
    for (long allowed = 0; allowed < 12; allowed++) {
        memory m = {0};
        mf_mem mem = {limited, &m};
        shared s;
        mf_pool *p = (mf_pool *)&s;
        memset(&s, 0, sizeof s);
        s.threads = 8;
        atomic_store(&m.left, allowed);
        int rc = mf_pool_new(&mem, 8, run, &s, &p);
        assert_int_equal(rc, allowed < 2 ? -1 : 0);
        if (rc != 0) {
            assert_null(p);
        } else {
            work jobs[20];
            memset(jobs, 0, sizeof jobs);
            for (int i = 0; i < 20; i++)
                mf_pool_give(p, &jobs[i]);
            for (int i = 0; i < 20; i++)
                assert_ptr_equal(mf_pool_take(p), &jobs[i]);
            mf_pool_free(p);
        }
        assert_int_equal(atomic_load(&m.blocks), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_jobs_come_back_once_each_and_in_order),
        cmocka_unit_test(with_one_thread_a_job_runs_when_it_is_taken_and_in_the_callers),
        cmocka_unit_test(a_pool_takes_so_many_jobs_and_then_is_full),
        cmocka_unit_test(the_caller_works_while_it_waits),
        cmocka_unit_test(what_is_not_begun_is_dropped_and_what_runs_is_waited_for),
        cmocka_unit_test(a_pool_that_gets_less_memory_still_does_its_jobs_or_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
