/* crash_disk: a disk that loses power. Below io_posix.c in the place of the system's files
 * (crash_posix.c): it holds files in memory, writes down every write, sync and change of a
 * name, and tells what the disk may hold after any prefix of them.
 *
 * What it promises is the fault model of format-spec/DESIGN.md and no more: a sync that
 * returned makes the writes to that file before it durable, a sync of the directory makes
 * the names durable, a rename is done or not done. Knows nothing of memfiles. */
#ifndef CRASH_DISK_H
#define CRASH_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_SECTOR 512u
#define DISK_FILES_MAX 64
#define DISK_NAMES_MAX 16
#define DISK_NAME_MAX 64
#define DISK_OPEN_MAX 32

typedef enum disk_kind {
    DISK_WRITE,
    DISK_SYNC,       /* of one file */
    DISK_NAME,       /* `file` gets the name `name` */
    DISK_RENAME,     /* what has the name `from` gets the name `name` */
    DISK_UNNAME,     /* `name` is gone */
    DISK_SYNC_NAMES, /* of the directory */
    DISK_MARK        /* nothing of the disk's: what the caller was told at this moment */
} disk_kind;

typedef struct disk_event {
    disk_kind kind;
    int file, mark;
    uint64_t offset; /* WRITE; for a MARK its value */
    size_t length;
    uint8_t *data;
    char name[DISK_NAME_MAX], from[DISK_NAME_MAX];
} disk_event;

typedef struct disk_names {
    struct {
        char name[DISK_NAME_MAX];
        int file;
    } at[DISK_NAMES_MAX];
    int count;
} disk_names;

typedef struct disk_bytes {
    uint8_t *data;
    size_t length, capacity;
} disk_bytes;

typedef struct disk {
    disk_bytes file[DISK_FILES_MAX]; /* as programs see them */
    disk_bytes boot[DISK_FILES_MAX]; /* durable before the first event */
    int owner[DISK_FILES_MAX];       /* description that holds the lock, or -1 */
    int file_count;
    disk_names names, boot_names;
    disk_event *events;
    size_t event_count, event_capacity;
    bool recording;
    struct {
        int file, references; /* file -1: the directory */
    } description[DISK_OPEN_MAX];
    int descriptor[DISK_OPEN_MAX]; /* description, or -1 */
    long fail_write, fail_sync;    /* the n-th from now fails; 0: none does */
#define DISK_FULL (-1)
} disk;

/* What system calls go to. */
extern disk *disk_current;

void disk_init(disk *d);
void disk_free(disk *d);
/* Empties it, for use again. */
void disk_clear(disk *d);
/* A durable file, before anything is recorded. */
void disk_boot_file(disk *d, const char *name, const uint8_t *bytes, size_t length);
int disk_find(const disk_names *names, const char *name);
/* A new event; one that nobody looks at while not recording. */
disk_event *disk_note(disk *d, disk_kind kind);
void disk_mark(disk *d, int mark, uint64_t value);
/* Every process ends before event `at`, the machine does not: what was written stays in the
 * page cache, of a write at `at` its first `part` bytes. */
void disk_kill(disk *d, size_t at, size_t part);

/* ---- what may be on the disk */

/* A written part of one sector that was not synced. */
typedef struct disk_piece {
    uint64_t offset;
    size_t length, write; /* bytes; the event it is of */
    const uint8_t *data;
} disk_piece;

/* The disk after the first `at` events. */
typedef struct disk_view {
    const disk *disk;
    size_t at;
    disk_bytes durable[DISK_FILES_MAX];
    struct {
        disk_piece *pieces;
        size_t count, capacity;
    } pending[DISK_FILES_MAX];
    disk_names names;     /* durable */
    size_t changes[DISK_NAMES_MAX * 4]; /* events of names that are not */
    int change_count;
} disk_view;

void disk_view_init(disk_view *v, const disk *d);
void disk_view_free(disk_view *v);
/* Takes one more event into account. */
void disk_view_step(disk_view *v);
/* The names if the first `count` pending changes happened. */
void disk_view_names(const disk_view *v, int count, disk_names *out);

void disk_bytes_put(disk_bytes *b, uint64_t offset, const void *data, size_t length);
void disk_bytes_set(disk_bytes *b, const void *data, size_t length);

#endif
