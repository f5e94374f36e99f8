/* faults: see faults.h. Names of functions are those that a glibc with 64-bit file offsets
 * gives to the linker; check_wrapped.sh finds one that is missing here. */
#define _GNU_SOURCE
#define ZDICT_STATIC_LINKING_ONLY
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>
#include <zdict.h>
#include <zstd.h>
#include <zstd_errors.h>

#define WRAP(type, name, parameters)   \
    type __real_##name parameters;     \
    type __wrap_##name parameters;     \
    type __wrap_##name parameters

static struct {
    fault_call call;
    fault_way way;
    int error;
    bool ever;
    long n;
    bool fails_next; /* FAULT_HALF_FAILS */
    off_t synced;    /* length of the file at its last sync; -1: not known */
} fault;
static atomic_bool armed, struck, no_rename2;
static atomic_long counts[FAULT_CALLS], blocks;

const char *faults_name(fault_call call)
{
    static const char *const names[FAULT_CALLS] = {
        "memory", "thread",   "realpath",     "open", "openat",         "duplicate", "lock",  "unlock", "fstat",   "fstatat", "read",  "write",
        "allocate", "write-behind", "sync", "sync-directory", "chown",     "chmod", "rename", "rename2", "link",    "unlink", "close",
        "guarded", "argon"};
    return names[call];
}

void faults_arm(fault_call call, fault_way way, int error, bool ever, long n)
{
    for (int i = 0; i < FAULT_CALLS; i++)
        counts[i] = 0;
    fault.call = call;
    fault.way = way;
    fault.error = error;
    fault.ever = ever;
    fault.n = n;
    fault.fails_next = false;
    fault.synced = -1;
    struck = false;
    armed = true;
}

void faults_pause(void)
{
    armed = false;
}

void faults_go_on(void)
{
    fault.synced = -1;
    armed = true;
}

bool faults_disarm(void)
{
    armed = false;
    return struck;
}

void faults_without_rename2(bool without)
{
    no_rename2 = without;
}

long faults_count(fault_call call)
{
    return counts[call];
}

long faults_blocks(void)
{
    return blocks;
}

static _Thread_local bool within_zstd;

static bool strikes(fault_call call)
{
    if (!armed || within_zstd)
        return false;
    long n = ++counts[call];
    if (call != fault.call || fault.n == 0 || (fault.ever ? n < fault.n : n != fault.n))
        return false;
    struck = true;
    errno = fault.error;
    return true;
}

/* ---- memory */

static void *counted(void *block)
{
    if (block)
        blocks++;
    return block;
}

WRAP(void *, malloc, (size_t size))
{
    return strikes(FAULT_MEMORY) ? NULL : counted(__real_malloc(size));
}

WRAP(void *, calloc, (size_t count, size_t size))
{
    return strikes(FAULT_MEMORY) ? NULL : counted(__real_calloc(count, size));
}

WRAP(void *, realloc, (void *block, size_t size))
{
    if (strikes(FAULT_MEMORY))
        return NULL;
    void *grown = __real_realloc(block, size);
    return block ? grown : counted(grown);
}

WRAP(void, free, (void *block))
{
    if (block)
        blocks--;
    __real_free(block);
}

WRAP(char *, strdup, (const char *text))
{
    return strikes(FAULT_MEMORY) ? NULL : (char *)counted(__real_strdup(text));
}

WRAP(char *, strndup, (const char *text, size_t length))
{
    return strikes(FAULT_MEMORY) ? NULL : (char *)counted(__real_strndup(text, length));
}

WRAP(void *, sodium_malloc, (size_t size))
{
    return strikes(FAULT_GUARDED) ? NULL : counted(__real_sodium_malloc(size));
}

WRAP(void, sodium_free, (void *block))
{
    if (block)
        blocks--;
    __real_sodium_free(block);
}

WRAP(int, crypto_pwhash,
     (unsigned char *out, unsigned long long out_length, const char *text, unsigned long long length,
      const unsigned char *salt, unsigned long long passes, size_t memory, int algorithm))
{
    return strikes(FAULT_ARGON) ? -1
                                : __real_crypto_pwhash(out, out_length, text, length, salt, passes, memory, algorithm);
}

/* zstd 1.5.4 itself crashes when memory ends within these two (facebook/zstd pull request
 * 3847 tells of the first), so they fail as a whole. */
WRAP(ZSTD_CDict *, ZSTD_createCDict, (const void *data, size_t length, int level))
{
    if (strikes(FAULT_MEMORY))
        return NULL;
    within_zstd = true;
    ZSTD_CDict *dictionary = __real_ZSTD_createCDict(data, length, level);
    within_zstd = false;
    return dictionary;
}

WRAP(size_t, ZDICT_trainFromBuffer_fastCover,
     (void *out, size_t capacity, const void *samples, const size_t *sizes, unsigned count,
      ZDICT_fastCover_params_t parameters))
{
    if (strikes(FAULT_MEMORY))
        return (size_t)-ZSTD_error_memory_allocation;
    within_zstd = true;
    size_t length = __real_ZDICT_trainFromBuffer_fastCover(out, capacity, samples, sizes, count, parameters);
    within_zstd = false;
    return length;
}

WRAP(int, pthread_create, (pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument))
{
    return strikes(FAULT_THREAD) ? fault.error : __real_pthread_create(thread, attributes, run, argument);
}

/* ---- names and descriptors */

WRAP(char *, realpath, (const char *path, char *out))
{
    if (strikes(FAULT_REALPATH))
        return NULL;
    char *whole = __real_realpath(path, out);
    return out ? whole : (char *)counted(whole);
}

static mode_t mode_of(int flags, va_list arguments)
{
    return flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
}

static fault_call opens(int flags)
{
    return flags & O_DIRECTORY ? FAULT_OPEN : FAULT_OPENAT;
}

WRAP(int, openat64, (int directory, const char *path, int flags, ...))
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return strikes(opens(flags)) ? -1 : __real_openat64(directory, path, flags, mode);
}

WRAP(int, fcntl64, (int fd, int command, ...))
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    fault_call call = command == F_DUPFD_CLOEXEC                           ? FAULT_DUPLICATE
                      : ((struct flock *)argument)->l_type == F_UNLCK ? FAULT_UNLOCK
                                                                      : FAULT_LOCK;
    return strikes(call) ? -1 : __real_fcntl64(fd, command, argument);
}

/* Linux gives the descriptor free whatever close returns. */
WRAP(int, close, (int fd))
{
    int rc = __real_close(fd);
    return strikes(FAULT_CLOSE) ? -1 : rc;
}

WRAP(int, fstat64, (int fd, struct stat *out))
{
    return strikes(FAULT_FSTAT) ? -1 : __real_fstat64(fd, out);
}

WRAP(int, fstatat64, (int directory, const char *path, struct stat *out, int flags))
{
    return strikes(FAULT_FSTATAT) ? -1 : __real_fstatat64(directory, path, out, flags);
}

/* ---- bytes */

WRAP(ssize_t, pread64, (int fd, void *out, size_t length, off_t offset))
{
    if (strikes(FAULT_READ)) {
        if (fault.way == FAULT_FAILS)
            return -1;
        if (fault.way == FAULT_NOTHING)
            return 0;
        length = fault.way == FAULT_SHORT_ONE || length == 1 ? 1 : length / 2;
    }
    return __real_pread64(fd, out, length, offset);
}

static void note_length(int fd)
{
    struct stat st;
    fault.synced = __real_fstat64(fd, &st) == 0 ? st.st_size : -1;
}

WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t length, off_t offset))
{
    if (armed && fault.synced < 0)
        note_length(fd);
    if (armed && fault.fails_next) {
        fault.fails_next = fault.ever;
        errno = fault.error;
        return -1;
    }
    if (strikes(FAULT_WRITE)) {
        if (fault.way == FAULT_FAILS)
            return -1;
        if (fault.way == FAULT_NOTHING)
            return 0;
        fault.fails_next = fault.way == FAULT_HALF_FAILS;
        length = fault.way == FAULT_SHORT_ONE || length == 1 ? 1 : length / 2;
    }
    return __real_pwrite64(fd, data, length, offset);
}

WRAP(int, fallocate64, (int fd, int mode, off_t offset, off_t length))
{
    return strikes(FAULT_ALLOCATE) ? -1 : __real_fallocate64(fd, mode, offset, length);
}

WRAP(int, posix_fadvise64, (int fd, off_t offset, off_t length, int advice))
{
    return strikes(FAULT_WRITE_BEHIND) ? EIO : __real_posix_fadvise64(fd, offset, length, advice);
}

WRAP(int, sync_file_range, (int fd, off_t offset, off_t length, unsigned flags))
{
    return strikes(FAULT_WRITE_BEHIND) ? -1 : __real_sync_file_range(fd, offset, length, flags);
}

/* A sync that succeeds does nothing: no power is cut here. */
WRAP(int, fdatasync, (int fd))
{
    if (!strikes(FAULT_SYNC)) {
        if (armed)
            note_length(fd);
        return 0;
    }
    if (fault.way == FAULT_LOSES && fault.synced >= 0 && ftruncate(fd, fault.synced) != 0)
        abort();
    errno = fault.error;
    return -1;
}

WRAP(int, fsync, (int fd))
{
    (void)fd;
    return strikes(FAULT_SYNC_DIRECTORY) ? -1 : 0;
}

/* ---- giving names */

WRAP(int, fchown, (int fd, uid_t owner, gid_t group))
{
    return strikes(FAULT_CHOWN) ? -1 : __real_fchown(fd, owner, group);
}

WRAP(int, fchmod, (int fd, mode_t mode))
{
    return strikes(FAULT_CHMOD) ? -1 : __real_fchmod(fd, mode);
}

WRAP(int, renameat, (int from_directory, const char *from, int to_directory, const char *to))
{
    return strikes(FAULT_RENAME) ? -1 : __real_renameat(from_directory, from, to_directory, to);
}

WRAP(int, renameat2, (int from_directory, const char *from, int to_directory, const char *to, unsigned flags))
{
    if (strikes(FAULT_RENAME2))
        return -1;
    if (no_rename2) {
        errno = EINVAL;
        return -1;
    }
    return __real_renameat2(from_directory, from, to_directory, to, flags);
}

WRAP(int, linkat, (int from_directory, const char *from, int to_directory, const char *to, int flags))
{
    return strikes(FAULT_LINK) ? -1 : __real_linkat(from_directory, from, to_directory, to, flags);
}

WRAP(int, unlinkat, (int directory, const char *path, int flags))
{
    return strikes(FAULT_UNLINK) ? -1 : __real_unlinkat(directory, path, flags);
}
