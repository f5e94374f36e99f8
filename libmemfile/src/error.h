/* error: one error type for the whole library. Knows nothing of files. */
#ifndef MF_ERROR_H
#define MF_ERROR_H

#include <stdint.h>

#include "memfile.h"

#if defined(__GNUC__)
#ifdef __MINGW32__ /* C99's formats, and not those that Windows had before */
#define MF_PRINTF(a, b) __attribute__((format(gnu_printf, a, b)))
#else
#define MF_PRINTF(a, b) __attribute__((format(printf, a, b)))
#endif
#define MF_UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define MF_PRINTF(a, b)
#define MF_UNLIKELY(x) (x)
#endif

/* "no place": errors that speak of no byte of the file */
#define MF_NOWHERE UINT64_MAX

/* Fills *err (if not NULL) and returns `code`. */
int mf_fail(memfile_error *err, int code, uint64_t offset, const char *format, ...) MF_PRINTF(4, 5);

/* The same for a failed system call: appends strerror(system_errno). */
int mf_fail_system(memfile_error *err, int code, uint64_t offset, int system_errno, const char *format, ...)
    MF_PRINTF(5, 6);

int mf_fail_memory(memfile_error *err);

/* Tells the caller how far a pass is (NULL: nobody asks). STOPPED: it is to end. */
int mf_progress(memfile_progress *progress, void *context, uint64_t done, uint64_t total, memfile_error *err);

void mf_error_clear(memfile_error *err);

#endif
