/* io_support: what the tests of io share. */
#ifndef IO_SUPPORT_H
#define IO_SUPPORT_H

#include <time.h>

#include "support.h"

#include "io.h"

static uint64_t looked; /* size that a look gave */

static inline mf_io *open_io(const char *path, mf_io_access access)
{
    mf_io *io;
    memfile_error e;
    if (mf_io_file_open(&mf_mem_default, path, access, &io, &e) != MEMFILE_OK)
        fail_msg("open: %s", e.message);
    return io;
}

static inline mf_io *make_io(const char *path, const char *bytes)
{
    unlink(path);
    write_file(path, (const uint8_t *)bytes, strlen(bytes));
    return open_io(path, MF_IO_WRITE);
}

static inline int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#endif
