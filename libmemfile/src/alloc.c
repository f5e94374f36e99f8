/* alloc: allocation through the caller's functions. */
#include "alloc.h"

#include <stdlib.h>
#include <string.h>

static void *default_reallocate(void *context, void *block, size_t size)
{
    (void)context;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

const mf_mem mf_mem_default = {default_reallocate, NULL};

void *mf_alloc(const mf_mem *mem, size_t size)
{
    return mem->reallocate(mem->context, NULL, size ? size : 1);
}

void *mf_alloc_zero(const mf_mem *mem, size_t size)
{
    void *block = mf_alloc(mem, size);
    if (block)
        memset(block, 0, size);
    return block;
}

void *mf_realloc(const mf_mem *mem, void *block, size_t size)
{
    return mem->reallocate(mem->context, block, size ? size : 1);
}

void mf_free(const mf_mem *mem, void *block)
{
    if (block)
        mem->reallocate(mem->context, block, 0);
}

int mf_grow(const mf_mem *mem, void **array, size_t *capacity, size_t need, size_t element)
{
    if (need <= *capacity)
        return 0;
    size_t wanted = *capacity + *capacity / 2 + 16;
    if (wanted < need)
        wanted = need;
    if (wanted > SIZE_MAX / element)
        return -1;
    void *grown = mf_realloc(mem, *array, wanted * element);
    if (!grown)
        return -1;
    *array = grown;
    *capacity = wanted;
    return 0;
}

/* ---- limiter: each block has its size before it */

#define SIZE_ROOM ((size_t)16) /* keeps the alignment of any type */

static void *limited_reallocate(void *context, void *block, size_t size)
{
    mf_limiter *l = (mf_limiter *)context;
    char *whole = block ? (char *)block - SIZE_ROOM : NULL;
    uint64_t old = 0;
    if (whole)
        memcpy(&old, whole, sizeof old);
    if (size == 0) {
        l->used -= old;
        return l->base.reallocate(l->base.context, whole, 0);
    }
    if (size > SIZE_MAX - SIZE_ROOM || (l->limit && size > old && size - old > l->limit - (l->used < l->limit ? l->used : l->limit)))
        return NULL;
    whole = (char *)l->base.reallocate(l->base.context, whole, size + SIZE_ROOM);
    if (!whole)
        return NULL;
    l->used += (uint64_t)size - old;
    old = size;
    memcpy(whole, &old, sizeof old);
    return whole + SIZE_ROOM;
}

mf_mem mf_limiter_init(mf_limiter *limiter, const mf_mem *base, uint64_t limit)
{
    limiter->base = *base;
    limiter->limit = limit;
    limiter->used = 0;
    return (mf_mem){limited_reallocate, limiter};
}

/* ---- arena */

struct mf_arena_chunk {
    struct mf_arena_chunk *next;
    size_t used, size;
    _Alignas(8) uint8_t data[]; /* a 32-bit machine may ask less of a uint64_t */
};

void mf_arena_init(mf_arena *arena, const mf_mem *mem)
{
    arena->mem = mem;
    arena->chunks = NULL;
    arena->total = 0;
}

void *mf_arena_alloc(mf_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + 7) & ~(size_t)7;
    struct mf_arena_chunk *c = arena->chunks;
    if (!c || c->size - c->used < size) {
        size_t wanted = c ? c->size * 2 : 8192;
        if (wanted > (1u << 20))
            wanted = 1u << 20;
        if (wanted < size)
            wanted = size;
        c = (struct mf_arena_chunk *)mf_alloc(arena->mem, sizeof *c + wanted);
        if (!c)
            return NULL;
        c->size = wanted;
        c->used = 0;
        c->next = arena->chunks;
        arena->chunks = c;
        arena->total += wanted;
    }
    void *p = c->data + c->used;
    c->used += size;
    return p;
}

void mf_arena_reset(mf_arena *arena)
{
    struct mf_arena_chunk *keep = NULL;
    for (struct mf_arena_chunk *c = arena->chunks, *next; c; c = next) {
        next = c->next;
        if (!keep || c->size > keep->size) {
            if (keep)
                mf_free(arena->mem, keep);
            keep = c;
        } else {
            mf_free(arena->mem, c);
        }
    }
    arena->chunks = keep;
    arena->total = keep ? keep->size : 0;
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
    }
}

void mf_arena_free(mf_arena *arena)
{
    for (struct mf_arena_chunk *c = arena->chunks, *next; c; c = next) {
        next = c->next;
        mf_free(arena->mem, c);
    }
    arena->chunks = NULL;
    arena->total = 0;
}
