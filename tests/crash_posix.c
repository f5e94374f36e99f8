/* crash_posix: io_posix.c as it is, its system calls going to the disk of crash_disk.h. So
 * the order of its syncs, its rename and the sync of its directory are under test too. This
 * defines what io_posix.c defines, so that of libmemfile.a that one is not linked. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "digest.h"
#include "format.h"
#include "io.h"

#include "crash_disk.h"

#define FIRST 1000 /* descriptor 0 of the disk */

/* Secrets in guarded pages, with some ten system calls each, would take much of the simulation's time: the linker
 * leads the library's calls here. */
void *__wrap_sodium_malloc(size_t size);
void __wrap_sodium_free(void *memory);
int __wrap_sodium_mprotect_readonly(void *memory);
int __wrap_sodium_mprotect_readwrite(void *memory);

void *__wrap_sodium_malloc(size_t size)
{
    return malloc(size);
}

void __wrap_sodium_free(void *memory)
{
    free(memory);
}

int __wrap_sodium_mprotect_readonly(void *memory)
{
    (void)memory;
    return 0;
}

int __wrap_sodium_mprotect_readwrite(void *memory)
{
    (void)memory;
    return 0;
}

static int fails(int error)
{
    errno = error;
    return -1;
}

static int *description_of(int fd)
{
    if (fd < FIRST || fd >= FIRST + DISK_OPEN_MAX || disk_current->descriptor[fd - FIRST] < 0)
        abort();
    return &disk_current->descriptor[fd - FIRST];
}

static int file_of(int fd)
{
    return disk_current->description[*description_of(fd)].file;
}

static int descriptor_for(int description)
{
    for (int i = 0; i < DISK_OPEN_MAX; i++)
        if (disk_current->descriptor[i] < 0) {
            disk_current->descriptor[i] = description;
            disk_current->description[description].references++;
            return FIRST + i;
        }
    return fails(EMFILE);
}

static int open_description(int file)
{
    for (int i = 0; i < DISK_OPEN_MAX; i++)
        if (disk_current->description[i].references == 0) {
            disk_current->description[i].file = file;
            return descriptor_for(i);
        }
    return fails(EMFILE);
}

static void change_name(disk_kind kind, int file, const char *from, const char *name)
{
    disk *d = disk_current;
    disk_event *e = disk_note(d, kind);
    e->file = file;
    snprintf(e->name, sizeof e->name, "%s", name);
    snprintf(e->from, sizeof e->from, "%s", from ? from : "");
    disk_names *n = &d->names;
    for (int i = 0; i < n->count; i++)
        if (strcmp(n->at[i].name, name) == 0 || (from && strcmp(n->at[i].name, from) == 0))
            n->at[i--] = n->at[--n->count];
    if (kind == DISK_UNNAME)
        return;
    if (n->count == DISK_NAMES_MAX)
        abort();
    snprintf(n->at[n->count].name, DISK_NAME_MAX, "%s", name);
    n->at[n->count++].file = file;
}

/* ---- the system calls of io_posix.c */

static char *sim_realpath(const char *path, char *out)
{
    if (out || path[0] != '/')
        abort();
    if (disk_find(&disk_current->names, path + 1) < 0) {
        errno = ENOENT;
        return NULL;
    }
    return strdup(path);
}

static int sim_openat(int directory, const char *name, int flags, ...)
{
    disk *d = disk_current;
    if (directory == AT_FDCWD) /* the one directory there is */
        return strcmp(name, "/") == 0 ? open_description(-1) : fails(ENOENT);
    int file = disk_find(&d->names, name);
    if (file_of(directory) != -1)
        abort();
    if (!(flags & O_CREAT))
        return file < 0 ? fails(ENOENT) : open_description(file);
    if (file >= 0)
        return fails(EEXIST);
    if (d->file_count == DISK_FILES_MAX)
        abort();
    file = d->file_count++;
    d->file[file].length = d->boot[file].length = 0;
    change_name(DISK_NAME, file, NULL, name);
    return open_description(file);
}

static int sim_close(int fd)
{
    disk *d = disk_current;
    int *description = description_of(fd);
    int file = d->description[*description].file;
    if (--d->description[*description].references == 0 && file >= 0 && d->owner[file] == *description)
        d->owner[file] = -1;
    *description = -1;
    return 0;
}

static int sim_fcntl(int fd, int command, ...)
{
    va_list list;
    int description = *description_of(fd), file = file_of(fd);
    if (command == F_DUPFD_CLOEXEC)
        return descriptor_for(description);
    if (command != F_OFD_SETLK || file < 0)
        abort();
    va_start(list, command);
    int type = va_arg(list, struct flock *)->l_type;
    va_end(list);
    int *owner = &disk_current->owner[file];
    if (type == F_UNLCK)
        *owner = *owner == description ? -1 : *owner;
    else if (*owner >= 0 && *owner != description)
        return fails(EAGAIN);
    else
        *owner = description;
    return 0;
}

static ssize_t sim_pread(int fd, void *out, size_t length, off_t offset)
{
    const disk_bytes *b = &disk_current->file[file_of(fd)];
    if ((size_t)offset >= b->length)
        return 0;
    if (length > b->length - (size_t)offset)
        length = b->length - (size_t)offset;
    memcpy(out, b->data + offset, length);
    return (ssize_t)length;
}

static ssize_t sim_pwrite(int fd, const void *data, size_t length, off_t offset)
{
    disk *d = disk_current;
    int file = file_of(fd);
    if (d->fail_write == DISK_FULL) {
        d->fail_write = 0;
        return fails(ENOSPC);
    }
    if (d->fail_write > 0 && --d->fail_write == 0) { /* room for half of it; the next call hears of that */
        length = (length + 1) / 2;
        d->fail_write = DISK_FULL;
    }
    if (d->recording) {
        disk_event *e = disk_note(d, DISK_WRITE);
        e->file = file;
        e->offset = (uint64_t)offset;
        e->length = length;
        e->data = (uint8_t *)malloc(length ? length : 1);
        if (!e->data)
            abort();
        memcpy(e->data, data, length);
    }
    disk_bytes_put(&d->file[file], (uint64_t)offset, data, length);
    return (ssize_t)length;
}

static int sim_fdatasync(int fd)
{
    disk *d = disk_current;
    if (d->fail_sync > 0 && --d->fail_sync == 0)
        return fails(EIO);
    disk_note(d, DISK_SYNC)->file = file_of(fd);
    return 0;
}

static int sim_fsync(int fd)
{
    if (file_of(fd) >= 0)
        return sim_fdatasync(fd);
    disk_note(disk_current, DISK_SYNC_NAMES);
    return 0;
}

static void fill_stat(int file, struct stat *st)
{
    memset(st, 0, sizeof *st);
    st->st_dev = 1;
    st->st_ino = (ino_t)(file + 1);
    st->st_mode = S_IFREG | 0600;
    st->st_size = (off_t)disk_current->file[file].length;
    for (int i = 0; i < disk_current->names.count; i++)
        st->st_nlink += disk_current->names.at[i].file == file;
}

static int sim_fstat(int fd, struct stat *st)
{
    fill_stat(file_of(fd), st);
    return 0;
}

static int sim_fstatat(int directory, const char *name, struct stat *st, int flags)
{
    int file = disk_find(&disk_current->names, name);
    (void)directory, (void)flags;
    if (file < 0)
        return fails(ENOENT);
    fill_stat(file, st);
    return 0;
}

static int sim_unlinkat(int directory, const char *name, int flags)
{
    (void)directory, (void)flags;
    if (disk_find(&disk_current->names, name) < 0)
        return fails(ENOENT);
    change_name(DISK_UNNAME, -1, NULL, name);
    return 0;
}

static int sim_renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    int file = disk_find(&disk_current->names, from);
    (void)from_directory, (void)to_directory;
    if (file < 0)
        return fails(ENOENT);
    change_name(DISK_RENAME, file, from, to);
    return 0;
}

static int sim_renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    if ((flags & RENAME_NOREPLACE) && disk_find(&disk_current->names, to) >= 0)
        return fails(EEXIST);
    return sim_renameat(from_directory, from, to_directory, to);
}

static int sim_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    (void)from_directory, (void)from, (void)to_directory, (void)to, (void)flags;
    return fails(ENOSYS); /* only where there is no renameat2 */
}

static int sim_fallocate(int fd, int mode, off_t offset, off_t length)
{
    (void)fd, (void)offset, (void)length;
    if (mode != FALLOC_FL_KEEP_SIZE)
        abort(); /* any other would change the length */
    return 0;
}

static int sim_sync_file_range(int fd, off_t offset, off_t length, unsigned flags)
{
    (void)fd, (void)offset, (void)length, (void)flags;
    return 0; /* promises nothing */
}

static int sim_fchown(int fd, uid_t owner, gid_t group)
{
    (void)fd, (void)owner, (void)group;
    return 0;
}

static int sim_fchmod(int fd, mode_t mode)
{
    (void)fd, (void)mode;
    return 0;
}

#define realpath sim_realpath
#define openat sim_openat
#define close sim_close
#define fcntl sim_fcntl
#define pread sim_pread
#define pwrite sim_pwrite
#define fdatasync sim_fdatasync
#define fsync sim_fsync
#define fstat sim_fstat
#define fstatat sim_fstatat
#define unlinkat sim_unlinkat
#define renameat sim_renameat
#define renameat2 sim_renameat2
#define linkat sim_linkat
#define fallocate sim_fallocate
#define sync_file_range sim_sync_file_range
#define posix_fadvise(fd, offset, length, advice) ((void)(fd), (void)(offset)) /* the disk shows what it has */
#define fchown sim_fchown
#define fchmod sim_fchmod

#include "io_posix.c"
