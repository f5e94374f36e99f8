/* io: files behind one small interface, with a POSIX and a memory
 * implementation. Nothing above includes an operating-system header. */
#ifndef MF_IO_H
#define MF_IO_H

#include "alloc.h"
#include "error.h"

typedef struct mf_io mf_io;

typedef struct mf_io_counters {
    uint64_t reads, bytes_read, writes, bytes_written, syncs;
} mf_io_counters;

/* Every function returns MEMFILE_OK or fills err and returns its code. */
typedef struct mf_io_functions {
    /* reads until `length` bytes or the end of the file; *got says how many */
    int (*read)(mf_io *io, uint64_t offset, void *out, size_t length, size_t *got, memfile_error *err);
    /* writes all or fails */
    int (*write)(mf_io *io, uint64_t offset, const void *data, size_t length, memfile_error *err);
    /* makes data and length durable, and the first time the file's name too; failure is
     * MEMFILE_E_UNCERTAIN, of a file that was created and not yet published MEMFILE_E_SYSTEM */
    int (*sync)(mf_io *io, memfile_error *err);
    int (*size)(mf_io *io, uint64_t *out, memfile_error *err);
    /* asks for space behind the end, without changing the length; only disk
     * full is an error, anything else is silently not done */
    int (*allocate)(mf_io *io, uint64_t offset, uint64_t length, memfile_error *err);
    /* starts writing out what was written there, without waiting; a hint */
    void (*write_behind)(mf_io *io, uint64_t offset, uint64_t length);
    /* exclusive writer's lock; MEMFILE_E_BUSY after timeout_ms */
    int (*lock)(mf_io *io, uint32_t timeout_ms, memfile_error *err);
    void (*unlock)(mf_io *io);
    /* *moved: the name now leads to another file than this one; if not, *size is
     * its size. reopen takes that other file instead (unlocked); settle then lets the one
     * before go, or goes back to it. */
    int (*look)(mf_io *io, int *moved, uint64_t *size, memfile_error *err);
    int (*reopen)(mf_io *io, memfile_error *err);
    void (*settle)(mf_io *io, int stay);
    void (*close)(mf_io *io);
    /* the first place from `offset` on that may hold anything but zeros; NULL: any may */
    uint64_t (*next)(const mf_io *io, uint64_t offset);
    /* lets go of what is cached from `offset` on, so that reads show what the medium has; a hint; NULL: nothing is */
    void (*uncache)(mf_io *io, uint64_t offset);
} mf_io_functions;

struct mf_io {
    const mf_io_functions *functions;
    mf_io_counters counters; /* kept by the wrappers below */
    int writable;
};

int mf_io_read(mf_io *io, uint64_t offset, void *out, size_t length, size_t *got, memfile_error *err);
/* fails with TRUNCATED when fewer than `length` bytes are there */
int mf_io_read_all(mf_io *io, uint64_t offset, void *out, size_t length, memfile_error *err);
int mf_io_write(mf_io *io, uint64_t offset, const void *data, size_t length, memfile_error *err);
int mf_io_sync(mf_io *io, memfile_error *err);
uint64_t mf_io_next(const mf_io *io, uint64_t offset);

/* ---- POSIX */

typedef enum mf_io_access { MF_IO_READ, MF_IO_WRITE, MF_IO_CREATE, MF_IO_REPLACE } mf_io_access;

/* MF_IO_CREATE makes an unnamed-for-now file beside `path`, which
 * mf_io_file_publish then gives its name; MF_IO_REPLACE does so where a file of
 * that name exists, to take its place. */
int mf_io_file_open(const mf_mem *mem, const char *path, mf_io_access access, mf_io **out, memfile_error *err);
/* Gives a created file its name. replace: NULL, or the open and locked file that
 * has the name now, whose mode and owner it takes. Fails with CONFLICT if the name
 * is taken and replace is NULL. The directory is synced; failure of that is
 * UNCERTAIN. */
int mf_io_file_publish(mf_io *io, mf_io *replace, memfile_error *err);
/* A second handle on the same open file. */
int mf_io_file_again(mf_io *io, mf_io **out, memfile_error *err);
/* Removes what compactions of this file left beside it when they were killed, as far as the folder can be read and written. The
 * lock is held: none is going on. */
int mf_io_file_tidy(mf_io *io, memfile_error *err);
/* How many names the file has. */
int mf_io_file_links(mf_io *io, uint64_t *links, memfile_error *err);

int64_t mf_system_now_us(void);

/* ---- memory, read-only: the bytes are the caller's */
/* Its functions; for others that read only, which put their own read, size and close. */
extern const mf_io_functions mf_io_read_only;
/* The same bytes once more, of a file or of memory. */
int mf_io_again(mf_io *io, mf_io **out, memfile_error *err);
int mf_io_memory_open(const mf_mem *mem, const void *data, size_t length, mf_io **out, memfile_error *err);

#endif
