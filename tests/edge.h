/* edge: bytes behind which nothing can be read, so that a byte too much ends the program, with or without a sanitizer. */
#ifndef EDGE_H
#define EDGE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
static inline uint8_t *edge_copy(const void *bytes, size_t length)
{
    uint8_t *copy = (uint8_t *)malloc(length ? length : 1);
    if (!copy)
        abort();
    memcpy(copy, bytes, length);
    return copy;
}

static inline void edge_free(uint8_t *copy, size_t length)
{
    (void)length;
    free(copy);
}
#else
#include <sys/mman.h>
#include <unistd.h>

static inline size_t edge_pages(size_t length)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (length + page - 1) / page * page;
}

/* To be freed with edge_free and the same length. */
static inline uint8_t *edge_copy(const void *bytes, size_t length)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = edge_pages(length);
    uint8_t *start = (uint8_t *)mmap(NULL, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + pages, page, PROT_NONE) != 0)
        abort();
    if (length)
        memcpy(start + pages - length, bytes, length);
    return start + pages - length;
}

static inline void edge_free(uint8_t *copy, size_t length)
{
    size_t pages = edge_pages(length);
    munmap(copy + length - pages, pages + (size_t)sysconf(_SC_PAGESIZE));
}
#endif

#endif
