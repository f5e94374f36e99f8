/* pool: an ordered pipeline over POSIX threads. */
#include "pool.h"

#include <pthread.h>
#include <string.h>

enum { WAITING, RUNNING, DONE };

typedef struct place {
    void *job;
    int state;
} place;

struct mf_pool {
    const mf_mem *mem;
    mf_pool_run *run;
    void *context;
    unsigned threads, capacity;
    place *places;       /* a ring */
    unsigned long first; /* oldest not taken */
    unsigned long next;  /* next to be given */
    unsigned long begun; /* next to be begun */
    int closing;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    unsigned started;
    pthread_t thread[64];
};

typedef struct start {
    mf_pool *pool;
    unsigned worker;
} start;

/* Runs the next waiting job, if any, with the lock held around it. */
static int run_one(mf_pool *p, unsigned worker)
{
    if (p->begun == p->next)
        return 0;
    place *at = &p->places[p->begun++ % p->capacity];
    at->state = RUNNING;
    pthread_mutex_unlock(&p->lock);
    p->run(p->context, worker, at->job);
    pthread_mutex_lock(&p->lock);
    at->state = DONE;
    pthread_cond_broadcast(&p->done);
    return 1;
}

static void *thread_main(void *argument)
{
    start s = *(start *)argument;
    mf_free(s.pool->mem, argument);
    pthread_mutex_lock(&s.pool->lock);
    while (!s.pool->closing)
        if (!run_one(s.pool, s.worker))
            pthread_cond_wait(&s.pool->work, &s.pool->lock);
    pthread_mutex_unlock(&s.pool->lock);
    return NULL;
}

int mf_pool_new(const mf_mem *mem, unsigned threads, mf_pool_run *run, void *context, mf_pool **out)
{
    *out = NULL;
    mf_pool *p = (mf_pool *)mf_alloc_zero(mem, sizeof *p);
    if (!p)
        return -1;
    p->mem = mem;
    p->run = run;
    p->context = context;
    p->threads = threads < 1 ? 1 : threads > 64 ? 64 : threads;
    p->capacity = p->threads == 1 ? 1 : p->threads * 4;
    p->places = (place *)mf_alloc_zero(mem, p->capacity * sizeof *p->places);
    if (!p->places) {
        mf_free(mem, p);
        return -1;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    for (unsigned w = 1; w < p->threads; w++) {
        start *s = (start *)mf_alloc(mem, sizeof *s);
        if (!s)
            break;
        *s = (start){p, w};
        if (pthread_create(&p->thread[p->started], NULL, thread_main, s) != 0) {
            mf_free(mem, s);
            break; /* fewer threads are only slower */
        }
        p->started++;
    }
    *out = p;
    return 0;
}

void mf_pool_free(mf_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = 1;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->started; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    mf_free(p->mem, p->places);
    mf_free(p->mem, p);
}

int mf_pool_full(const mf_pool *p)
{
    return p->next - p->first == p->capacity;
}

void mf_pool_give(mf_pool *p, void *job)
{
    pthread_mutex_lock(&p->lock);
    p->places[p->next++ % p->capacity] = (place){job, WAITING};
    if (p->started)
        pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

void *mf_pool_take(mf_pool *p)
{
    if (p->first == p->next)
        return NULL;
    pthread_mutex_lock(&p->lock);
    place *at = &p->places[p->first % p->capacity];
    while (at->state != DONE)
        if (!run_one(p, 0))
            pthread_cond_wait(&p->done, &p->lock);
    void *job = at->job;
    p->first++;
    pthread_mutex_unlock(&p->lock);
    return job;
}
