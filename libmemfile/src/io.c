/* io: the parts that all implementations share, and the memory one. */
#include "io.h"

#include <string.h>

int mf_io_read(mf_io *io, uint64_t offset, void *out, size_t length, size_t *got, memfile_error *err)
{
    io->counters.reads++;
    int rc = io->functions->read(io, offset, out, length, got, err);
    if (rc == MEMFILE_OK)
        io->counters.bytes_read += *got;
    return rc;
}

int mf_io_read_all(mf_io *io, uint64_t offset, void *out, size_t length, memfile_error *err)
{
    size_t got = 0;
    int rc = mf_io_read(io, offset, out, length, &got, err);
    if (rc == MEMFILE_OK && got < length)
        rc = mf_fail(err, MEMFILE_E_TRUNCATED, offset + got, "the file ends where %zu more bytes should be",
                     length - got);
    return rc;
}

int mf_io_write(mf_io *io, uint64_t offset, const void *data, size_t length, memfile_error *err)
{
    io->counters.writes++;
    io->counters.bytes_written += length;
    return io->functions->write(io, offset, data, length, err);
}

int mf_io_sync(mf_io *io, memfile_error *err)
{
    io->counters.syncs++;
    return io->functions->sync(io, err);
}

uint64_t mf_io_next(const mf_io *io, uint64_t offset)
{
    return io->functions->next ? io->functions->next(io, offset) : offset;
}

/* ---- memory */

typedef struct memory_io {
    mf_io io;
    const uint8_t *data;
    size_t length;
    const mf_mem *mem;
} memory_io;

static int memory_read(mf_io *io, uint64_t offset, void *out, size_t length, size_t *got, memfile_error *err)
{
    const memory_io *m = (const memory_io *)io;
    (void)err;
    size_t n = offset >= m->length ? 0 : m->length - (size_t)offset;
    if (n > length)
        n = length;
    if (n)
        memcpy(out, m->data + offset, n);
    *got = n;
    return MEMFILE_OK;
}

static int memory_size(mf_io *io, uint64_t *out, memfile_error *err)
{
    (void)err;
    *out = ((const memory_io *)io)->length;
    return MEMFILE_OK;
}

static int memory_look(mf_io *io, int *moved, uint64_t *size, memfile_error *err)
{
    *moved = 0;
    return memory_size(io, size, err);
}

static void memory_close(mf_io *io)
{
    mf_free(((memory_io *)io)->mem, io);
}

static int read_only(memfile_error *err)
{
    return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "a memfile in memory is for reading only");
}
static int memory_write(mf_io *io, uint64_t offset, const void *data, size_t length, memfile_error *err)
{
    (void)io, (void)offset, (void)data, (void)length;
    return read_only(err);
}
static int memory_sync(mf_io *io, memfile_error *err)
{
    (void)io;
    return read_only(err);
}
static int memory_lock(mf_io *io, uint32_t timeout_ms, memfile_error *err)
{
    (void)io, (void)timeout_ms;
    return read_only(err);
}
static void memory_unlock(mf_io *io)
{
    (void)io;
}
static void memory_settle(mf_io *io, int stay)
{
    (void)io, (void)stay;
}
static int memory_allocate(mf_io *io, uint64_t offset, uint64_t length, memfile_error *err)
{
    (void)io, (void)offset, (void)length;
    return read_only(err);
}
static void memory_write_behind(mf_io *io, uint64_t offset, uint64_t length)
{
    (void)io, (void)offset, (void)length;
}

const mf_io_functions mf_io_read_only = {
    memory_read, memory_write,  memory_sync,  memory_size, memory_allocate, memory_write_behind,
    memory_lock, memory_unlock, memory_look,  memory_sync, memory_settle,   memory_close, NULL,
    NULL,
};

int mf_io_memory_open(const mf_mem *mem, const void *data, size_t length, mf_io **out, memfile_error *err)
{
    *out = NULL;
    memory_io *m = (memory_io *)mf_alloc_zero(mem, sizeof *m);
    if (!m)
        return mf_fail_memory(err);
    m->io.functions = &mf_io_read_only;
    m->data = (const uint8_t *)data;
    m->length = length;
    m->mem = mem;
    *out = &m->io;
    return MEMFILE_OK;
}

int mf_io_again(mf_io *io, mf_io **out, memfile_error *err)
{
    const memory_io *m = (const memory_io *)io;
    return io->functions == &mf_io_read_only ? mf_io_memory_open(m->mem, m->data, m->length, out, err)
                                             : mf_io_file_again(io, out, err);
}
