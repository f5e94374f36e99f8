/* error: filling the one error type. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names of files and ids stand in messages as they are: one line is made of it, and a
 * character that was cut at the end of the room is left out. */
static void tidy(memfile_error *err)
{
    size_t n = strlen(err->message), last = n;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)err->message[i] < 0x20 || err->message[i] == 0x7f)
            err->message[i] = '?';
    if (n + 1 < sizeof err->message)
        return;
    while (last > 0 && n - last < 3 && ((unsigned char)err->message[last - 1] & 0xc0) == 0x80)
        last--;
    unsigned char lead = last > 0 ? (unsigned char)err->message[last - 1] : 0;
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (length > 1 && n - last + 1 < length)
        err->message[last - 1] = '\0';
}

MF_PRINTF(5, 0)
static void fill(memfile_error *err, int code, uint64_t offset, int system_errno, const char *format, va_list args)
{
    if (!err)
        return;
    err->code = code;
    err->offset = offset;
    err->system_errno = system_errno;
    vsnprintf(err->message, sizeof err->message, format, args);
    tidy(err);
}

int mf_fail(memfile_error *err, int code, uint64_t offset, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, code, offset, 0, format, args);
    va_end(args);
    return code;
}

int mf_fail_system(memfile_error *err, int code, uint64_t offset, int system_errno, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, code, offset, system_errno, format, args);
    va_end(args);
    if (err) {
        size_t used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, ": %s", strerror(system_errno));
        tidy(err);
    }
    return code;
}

int mf_fail_memory(memfile_error *err)
{
    return mf_fail(err, MEMFILE_E_MEMORY, MF_NOWHERE, "out of memory");
}

int mf_progress(memfile_progress *progress, void *context, uint64_t done, uint64_t total, memfile_error *err)
{
    if (!progress || progress(context, done, total) == 0)
        return MEMFILE_OK;
    return mf_fail(err, MEMFILE_E_STOPPED, MF_NOWHERE, "stopped, as the caller asked, after %llu of %llu bytes",
                   (unsigned long long)done, (unsigned long long)total);
}

void mf_error_clear(memfile_error *err)
{
    if (err)
        memset(err, 0, sizeof *err), err->offset = MF_NOWHERE;
}

const char *memfile_strerror(int code)
{
    switch (code) {
    case MEMFILE_OK: return "done";
    case MEMFILE_DONE: return "no more";
    case MEMFILE_E_NOT_MEMFILE: return "not a memfile";
    case MEMFILE_E_NEWER: return "made by a newer version";
    case MEMFILE_E_TRUNCATED: return "truncated";
    case MEMFILE_E_DAMAGED: return "damaged";
    case MEMFILE_E_KEY: return "key needed or wrong";
    case MEMFILE_E_LIMIT: return "over limit";
    case MEMFILE_E_CONFLICT: return "conflict";
    case MEMFILE_E_BUSY: return "busy";
    case MEMFILE_E_NOT_FOUND: return "not found";
    case MEMFILE_E_MISUSE: return "misuse";
    case MEMFILE_E_INVALID: return "invalid input";
    case MEMFILE_E_SYSTEM: return "system error";
    case MEMFILE_E_MEMORY: return "out of memory";
    case MEMFILE_E_UNCERTAIN: return "outcome uncertain";
    case MEMFILE_E_STOPPED: return "stopped";
    default: return "unknown error";
    }
}
