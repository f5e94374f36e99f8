/* pool: jobs done by several threads and taken back in the order they were
 * given. The only file that knows threads. With one thread nothing is started:
 * a job runs when it is taken. */
#ifndef MF_POOL_H
#define MF_POOL_H

#include "alloc.h"

typedef struct mf_pool mf_pool;

/* worker: 0 for the caller's thread, 1 … threads − 1 for the others; a place
 * for working memory that no other thread uses. */
typedef void mf_pool_run(void *context, unsigned worker, void *job);

int mf_pool_new(const mf_mem *mem, unsigned threads, mf_pool_run *run, void *context, mf_pool **out);
/* Waits for running jobs; those not begun are dropped. */
void mf_pool_free(mf_pool *pool);
/* May only be called when mf_pool_full says false. */
void mf_pool_give(mf_pool *pool, void *job);
int mf_pool_full(const mf_pool *pool);
/* Oldest job, done; NULL if there is none. Works on jobs while it waits. */
void *mf_pool_take(mf_pool *pool);

#endif
