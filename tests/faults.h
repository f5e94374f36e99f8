/* faults: every way out of the library to the system, with a switch. The linker sends the
 * calls of the library, of zstd and of xxhash through here (--wrap; tests/CMakeLists.txt).
 * Nothing fails unless faults_arm was called. */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>

typedef enum fault_call {
    FAULT_MEMORY, /* malloc, calloc, realloc, strdup, strndup */
    FAULT_THREAD, /* pthread_create */
    FAULT_REALPATH,
    FAULT_OPEN,   /* of a directory */
    FAULT_OPENAT, /* of a file */
    FAULT_DUPLICATE, /* fcntl F_DUPFD_CLOEXEC */
    FAULT_LOCK,      /* fcntl F_OFD_SETLK, taking */
    FAULT_UNLOCK,    /* and giving back */
    FAULT_FSTAT,
    FAULT_FSTATAT,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_ALLOCATE,     /* fallocate */
    FAULT_WRITE_BEHIND, /* sync_file_range */
    FAULT_SYNC,         /* fdatasync */
    FAULT_SYNC_DIRECTORY, /* fsync */
    FAULT_CHOWN,
    FAULT_CHMOD,
    FAULT_RENAME,  /* renameat: over the old file */
    FAULT_RENAME2, /* renameat2: where no file is */
    FAULT_LINK,
    FAULT_UNLINK,
    FAULT_CLOSE,
    FAULT_GUARDED, /* sodium_malloc */
    FAULT_ARGON,   /* crypto_pwhash, which needs memory of its own */
    FAULT_CALLS
} fault_call;

typedef enum fault_way {
    FAULT_FAILS,      /* -1 and errno, nothing is done */
    FAULT_SHORT_ONE,  /* reads or writes 1 byte */
    FAULT_SHORT_HALF, /* half of what was asked for */
    FAULT_NOTHING,    /* returns 0 */
    FAULT_HALF_FAILS, /* writes half; the next write fails */
    FAULT_LOSES       /* a sync that fails, and what was written since the last is gone */
} fault_way;

/* The n-th call (n from 1) fails, and with `ever` all after it. n 0: they are only counted. */
void faults_arm(fault_call call, fault_way way, int error, bool ever, long n);
/* Between these two nothing fails and nothing is counted: somebody else is at work. */
void faults_pause(void);
void faults_go_on(void);
/* A file system that does not know renameat2: EINVAL, always. */
void faults_without_rename2(bool without);
/* Did the fault strike? */
bool faults_disarm(void);
/* Calls since faults_arm. */
long faults_count(fault_call call);
/* Blocks of memory, guarded ones too, that were asked for and not yet freed. */
long faults_blocks(void);
const char *faults_name(fault_call call);

#endif
