/* alloc: the one way to memory; tests make the n-th allocation fail. */
#ifndef MF_ALLOC_H
#define MF_ALLOC_H

#include <stddef.h>
#include <stdint.h>

#include "memfile.h"

typedef memfile_allocator mf_mem;

extern const mf_mem mf_mem_default;

void *mf_alloc(const mf_mem *mem, size_t size);
void *mf_alloc_zero(const mf_mem *mem, size_t size);
void *mf_realloc(const mf_mem *mem, void *block, size_t size);
void mf_free(const mf_mem *mem, void *block);

/* Grows *array, of `element` bytes each, so that it holds at least `need`
 * elements; *capacity counts elements. 0, or -1 with everything as it was. */
int mf_grow(const mf_mem *mem, void **array, size_t *capacity, size_t need, size_t element);

/* An allocator that gives out no more than `limit` bytes at a time: a hostile file must not ask
 * for more and more. */
typedef struct mf_limiter {
    mf_mem base;
    uint64_t limit; /* 0: none */
    _Atomic uint64_t used;
} mf_limiter;

/* The allocator; the limiter must outlive what it gave out. */
mf_mem mf_limiter_init(mf_limiter *limiter, const mf_mem *base, uint64_t limit);

/* Arena: many small pieces that are freed together. */
typedef struct mf_arena {
    const mf_mem *mem;
    struct mf_arena_chunk *chunks;
    size_t total; /* bytes of all chunks */
} mf_arena;

void mf_arena_init(mf_arena *arena, const mf_mem *mem);
/* 8-byte aligned, not cleared; NULL when out of memory */
void *mf_arena_alloc(mf_arena *arena, size_t size);
/* Forgets all pieces; keeps the largest chunk for the next use. */
void mf_arena_reset(mf_arena *arena);
void mf_arena_free(mf_arena *arena);

#endif
