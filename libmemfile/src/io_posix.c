/* io_posix: files of a POSIX system. The only file that includes its headers.
 * Locks are Linux open-file-description locks where there are any: a lock of
 * the older kind is lost when any descriptor of the file in the process is
 * closed (sqlite.org/howtocorrupt.html §2.2). */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "digest.h"
#include "format.h"
#include "io.h"

#ifndef F_OFD_SETLK
#error "this system needs a lock of its own here: open-file-description locks are missing"
#endif

#ifndef RENAME_NOREPLACE /* a libc that does not know the call, as musl 1.2.3: linux/fs.h */
#include <sys/syscall.h>
#define RENAME_NOREPLACE 1
static int renameat2(int old_directory, const char *old_name, int directory, const char *name, unsigned flags)
{
    return (int)syscall(SYS_renameat2, old_directory, old_name, directory, name, flags);
}
#endif

#define TEMPORARY_NAME 200 /* bytes of the name that a temporary one takes over */

typedef struct file_io {
    mf_io io;
    int fd;
    int before;    /* what fd was before it was opened anew, until settled; else -1 */
    int directory; /* handle of the directory the file is in */
    int locked;
    int name_synced; /* the directory holds `name` for fd durably */
    int identified; /* the next two are those of fd */
    dev_t device;
    ino_t inode;
    char *name;      /* in that directory */
    char *temporary; /* created, not yet published: its name for now; else NULL */
    const mf_mem *mem;
} file_io;

/* Descriptors 0 to 2 are refused: a stray write to stderr must not reach a memory. */
static int safe_fd(int fd)
{
    if (fd < 0 || fd > 2)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int saved = errno;
    close(fd);
    errno = saved;
    return moved;
}

/* Opens again when a signal came first, as it can on network and FUSE file systems. */
static int open_at(int directory, const char *name, int flags, mode_t mode)
{
    int fd;
    do
        fd = openat(directory, name, flags, mode);
    while (fd < 0 && errno == EINTR);
    return safe_fd(fd);
}

static int file_read(mf_io *io, uint64_t offset, void *out, size_t length, size_t *got, memfile_error *err)
{
    const file_io *f = (const file_io *)io;
    size_t done = 0;
    while (done < length) {
        ssize_t n = pread(f->fd, (char *)out + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mf_fail_system(err, MEMFILE_E_SYSTEM, offset + done, errno, "cannot read");
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return MEMFILE_OK;
}

static int file_write(mf_io *io, uint64_t offset, const void *data, size_t length, memfile_error *err)
{
    const file_io *f = (const file_io *)io;
    size_t done = 0;
    while (done < length) {
        ssize_t n = pwrite(f->fd, (const char *)data + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return mf_fail_system(err, MEMFILE_E_SYSTEM, offset + done, n < 0 ? errno : EIO,
                                  "cannot write; nothing was committed, the memory is as it was before");
        done += (size_t)n;
    }
    return MEMFILE_OK;
}

/* Some file systems cannot sync a directory: EINVAL; nor can a handle without the right to read it: EBADF. */
static int sync_directory(file_io *f, memfile_error *err)
{
    if (fsync(f->directory) != 0 && errno != EINVAL && errno != EBADF)
        return mf_fail_system(err, MEMFILE_E_UNCERTAIN, MF_NOWHERE, errno,
                              "the directory could not be synced; after a crash the old name may be back");
    f->name_synced = 1;
    return MEMFILE_OK;
}

static int file_sync(mf_io *io, memfile_error *err)
{
    file_io *f = (file_io *)io;
    /* Never repeated: a second fsync may succeed although the data is gone
     * (postgresql.org, data_sync_retry). */
    if (fdatasync(f->fd) != 0)
        return f->temporary /* it has no name that anyone knows, and will have none */
                   ? mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot sync the new file; nothing was changed")
                   : mf_fail_system(err, MEMFILE_E_UNCERTAIN, MF_NOWHERE, errno,
                                    "sync failed: the commit may or may not have happened; open again and look");
    /* Who gave the file its name may have ended before that was durable. A file without a
     * name yet gets it with a sync of its own. */
    if (f->name_synced || f->temporary || f->directory < 0)
        return MEMFILE_OK;
    return sync_directory(f, err);
}

static int file_size(mf_io *io, uint64_t *out, memfile_error *err)
{
    struct stat st;
    if (fstat(((const file_io *)io)->fd, &st) != 0)
        return mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot look at the file");
    *out = (uint64_t)st.st_size;
    return MEMFILE_OK;
}

static int file_allocate(mf_io *io, uint64_t offset, uint64_t length, memfile_error *err)
{
    if (fallocate(((const file_io *)io)->fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) != 0 &&
        (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
        return mf_fail_system(err, MEMFILE_E_SYSTEM, offset, errno,
                              "no room for %llu more bytes; nothing was committed, the memory is as it was before",
                              (unsigned long long)length);
    return MEMFILE_OK;
}

static void file_write_behind(mf_io *io, uint64_t offset, uint64_t length)
{
    sync_file_range(((const file_io *)io)->fd, (off_t)offset, (off_t)length, SYNC_FILE_RANGE_WRITE);
}

/* After a sync that failed, the pages that could not be written may stay in the cache and count as clean. */
static void file_uncache(mf_io *io, uint64_t offset)
{
    posix_fadvise(((const file_io *)io)->fd, (off_t)offset, 0, POSIX_FADV_DONTNEED);
}

static int try_lock(int fd, short type)
{
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = (off_t)MF_LOCK_OFFSET;
    lock.l_len = 1;
    int rc;
    do
        rc = fcntl(fd, F_OFD_SETLK, &lock);
    while (rc != 0 && errno == EINTR);
    return rc;
}

/* A clock that nobody sets, from some moment on. */
static int64_t waited_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int file_lock(mf_io *io, uint32_t timeout_ms, memfile_error *err)
{
    file_io *f = (file_io *)io;
    if (!io->writable)
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "the memfile was opened for reading");
    int64_t deadline = waited_us() + (int64_t)timeout_ms * 1000;
    for (long pause_us = 200;; pause_us = pause_us < 8000 ? pause_us * 2 : 8000) {
        if (try_lock(f->fd, F_WRLCK) == 0) {
            f->locked = 1;
            return MEMFILE_OK;
        }
        if (errno != EAGAIN && errno != EACCES)
            return mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot lock the file");
        int64_t left = deadline - waited_us();
        if (left <= 0)
            return mf_fail(err, MEMFILE_E_BUSY, MF_NOWHERE, "another writer held the file for %u ms; try again later",
                           timeout_ms);
        struct timespec wait = {0, (left < pause_us ? (long)left : pause_us) * 1000};
        nanosleep(&wait, NULL);
    }
}

static void file_unlock(mf_io *io)
{
    file_io *f = (file_io *)io;
    if (f->locked)
        try_lock(f->fd, F_UNLCK);
    f->locked = 0;
}

static int file_look(mf_io *io, int *moved, uint64_t *size, memfile_error *err)
{
    file_io *f = (file_io *)io;
    struct stat st;
    if (!f->identified) {
        if (fstat(f->fd, &st) != 0)
            return mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot look at the file");
        f->device = st.st_dev;
        f->inode = st.st_ino;
        f->identified = 1;
    }
    if (fstatat(f->directory, f->name, &st, 0) != 0)
        return mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "'%s' is gone since it was opened", f->name);
    *moved = f->device != st.st_dev || f->inode != st.st_ino;
    *size = (uint64_t)st.st_size;
    return MEMFILE_OK;
}

static int open_named(file_io *f, memfile_error *err)
{
    int flags = (f->io.writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    f->fd = open_at(f->directory, f->name, flags, 0);
    if (f->fd < 0 && errno == ENOENT)
        return mf_fail(err, MEMFILE_E_NOT_FOUND, MF_NOWHERE, "no such file: '%s'", f->name);
    if (f->fd < 0)
        return mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot open '%s'", f->name);
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot look at '%s'", f->name);
    if (!S_ISREG(st.st_mode))
        return mf_fail(err, MEMFILE_E_NOT_MEMFILE, MF_NOWHERE, "'%s' is not a regular file", f->name);
    return MEMFILE_OK;
}

static void file_settle(mf_io *io, int stay)
{
    file_io *f = (file_io *)io;
    if (f->before < 0)
        return;
    if (!stay) {
        int fd = f->fd;
        file_unlock(io);
        f->fd = f->before;
        f->before = fd;
        f->identified = f->name_synced = 0;
    }
    close(f->before);
    f->before = -1;
}

static int file_reopen(mf_io *io, memfile_error *err)
{
    file_io *f = (file_io *)io;
    file_unlock(io);
    file_settle(io, 1);
    int old = f->fd;
    f->fd = -1;
    f->identified = f->name_synced = 0;
    int rc = open_named(f, err);
    if (rc != MEMFILE_OK) { /* the handle stays usable for reading what it had */
        if (f->fd >= 0)
            close(f->fd);
        f->fd = old;
        return rc;
    }
    f->before = old;
    return MEMFILE_OK;
}

static void file_close(mf_io *io)
{
    file_io *f = (file_io *)io;
    if (f->temporary)
        unlinkat(f->directory, f->temporary, 0);
    file_unlock(io); /* a process that was forked meanwhile holds the open file, and so the lock, too */
    file_settle(io, 1);
    if (f->fd >= 0)
        close(f->fd);
    if (f->directory >= 0)
        close(f->directory);
    mf_free(f->mem, f->name);
    mf_free(f->mem, f->temporary);
    mf_free(f->mem, f);
}

static const mf_io_functions file_functions = {
    file_read, file_write,  file_sync,  file_size,   file_allocate, file_write_behind,
    file_lock, file_unlock, file_look,  file_reopen, file_settle,   file_close,      NULL,
    file_uncache,
};

static char *copy_text(const mf_mem *mem, const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = (char *)mf_alloc(mem, n);
    if (copy)
        memcpy(copy, text, n);
    return copy;
}

/* Resolves symbolic links, so that a rename later replaces the file and not a
 * link to it. For a file that is yet to be made, resolves its directory. */
static int resolve(file_io *f, const char *path, int must_exist, memfile_error *err)
{
    char *whole = realpath(path, NULL);
    char *directory = NULL;
    int rc = MEMFILE_E_SYSTEM;
    const char *name;
    if (!whole && (must_exist || errno != ENOENT)) {
        rc = errno == ENOENT
                 ? mf_fail(err, MEMFILE_E_NOT_FOUND, MF_NOWHERE, "no such file: '%s'", path)
                 : mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot open '%s'", path);
        goto done;
    }
    const char *from = whole ? whole : path;
    const char *slash = strrchr(from, '/');
    name = slash ? slash + 1 : from;
    if (*name == '\0') {
        rc = mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "'%s' is not the name of a file", path);
        goto done;
    }
    directory = slash ? strndup(from, slash == from ? 1 : (size_t)(slash - from)) : strdup(".");
    f->name = copy_text(f->mem, name);
    if (!directory || !f->name) {
        rc = mf_fail_memory(err);
        goto done;
    }
    f->directory = open_at(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (f->directory < 0 && errno == EACCES)
        f->directory = open_at(AT_FDCWD, directory, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (f->directory < 0) {
        rc = mf_fail_system(err, errno == ENOENT ? MEMFILE_E_NOT_FOUND : MEMFILE_E_SYSTEM, MF_NOWHERE, errno,
                            "cannot open the directory of '%s'", path);
        goto done;
    }
    rc = MEMFILE_OK;
done:
    free(whole);
    free(directory);
    return rc;
}

/* A name that create_temporary makes: .NAME.0123456789ab.new */
static int is_temporary_of(const file_io *f, const char *name)
{
    size_t n = strlen(f->name);
    n = n < TEMPORARY_NAME ? n : TEMPORARY_NAME;
    return name[0] == '.' && strncmp(name + 1, f->name, n) == 0 && name[1 + n] == '.' &&
           strspn(name + 2 + n, "0123456789abcdef") == 12 && strcmp(name + 14 + n, ".new") == 0;
}

int mf_io_file_tidy(mf_io *io, memfile_error *err)
{
    const file_io *f = (const file_io *)io;
    int fd = open_at(f->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (!folder) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return error == EACCES || error == ENOENT
                   ? MEMFILE_OK
                   : mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, error, "cannot look into the folder of '%s'", f->name);
    }
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (is_temporary_of(f, entry->d_name))
            unlinkat(f->directory, entry->d_name, 0);
    closedir(folder);
    return MEMFILE_OK;
}

static int create_temporary(file_io *f, memfile_error *err)
{
    size_t room = strlen(f->name) + 32;
    f->temporary = (char *)mf_alloc(f->mem, room);
    if (!f->temporary)
        return mf_fail_memory(err);
    struct stat st;
    for (int attempt = 0; attempt < 16; attempt++) {
        uint8_t r[6];
        mf_system_random(r, sizeof r);
        snprintf(f->temporary, room, ".%.*s.%02x%02x%02x%02x%02x%02x.new", TEMPORARY_NAME, f->name, r[0], r[1], r[2], r[3], r[4], r[5]);
        f->fd = open_at(f->directory, f->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
        if (f->fd >= 0) /* 0600 whatever the umask is */
            return fstat(f->fd, &st) == 0 && ((st.st_mode & 07777) == 0600 || fchmod(f->fd, 0600) == 0)
                       ? MEMFILE_OK
                       : mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot look at the new file");
        if (errno != EEXIST)
            break;
    }
    int saved = errno;
    mf_free(f->mem, f->temporary);
    f->temporary = NULL;
    return mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, saved, "cannot make a file beside '%s'", f->name);
}

int mf_io_file_open(const mf_mem *mem, const char *path, mf_io_access access, mf_io **out, memfile_error *err)
{
    *out = NULL;
    file_io *f = (file_io *)mf_alloc_zero(mem, sizeof *f);
    if (!f)
        return mf_fail_memory(err);
    f->mem = mem;
    f->fd = f->before = f->directory = -1;
    f->io.functions = &file_functions;
    f->io.writable = access != MF_IO_READ;
    int rc = resolve(f, path, access != MF_IO_CREATE, err);
    if (rc == MEMFILE_OK && access == MF_IO_REPLACE) {
        rc = create_temporary(f, err);
    } else if (rc == MEMFILE_OK && access == MF_IO_CREATE) {
        struct stat st;
        if (fstatat(f->directory, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            rc = mf_fail(err, MEMFILE_E_CONFLICT, MF_NOWHERE, "'%s' exists already; nothing was changed", path);
        else
            rc = create_temporary(f, err);
    } else if (rc == MEMFILE_OK) {
        rc = open_named(f, err);
    }
    if (rc != MEMFILE_OK) {
        file_close(&f->io);
        return rc;
    }
    *out = &f->io;
    return MEMFILE_OK;
}

static int take_name(file_io *f, memfile_error *err)
{
    if (renameat2(f->directory, f->temporary, f->directory, f->name, RENAME_NOREPLACE) == 0)
        return MEMFILE_OK;
    if (errno == EINVAL || errno == ENOSYS) { /* a file system without it */
        if (linkat(f->directory, f->temporary, f->directory, f->name, 0) == 0) {
            unlinkat(f->directory, f->temporary, 0);
            return MEMFILE_OK;
        }
    }
    if (errno == EEXIST)
        return mf_fail(err, MEMFILE_E_CONFLICT, MF_NOWHERE, "'%s' exists already; nothing was changed", f->name);
    return mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot name the new file '%s'", f->name);
}

int mf_io_file_publish(mf_io *io, mf_io *replace, memfile_error *err)
{
    file_io *f = (file_io *)io;
    int rc = MEMFILE_OK;
    if (replace) {
        const file_io *old = (const file_io *)replace;
        struct stat st;
        int moved;
        uint64_t size;
        rc = file_look(replace, &moved, &size, err);
        if (rc == MEMFILE_OK && moved)
            rc = mf_fail(err, MEMFILE_E_CONFLICT, MF_NOWHERE, "another file was put in the place of '%s' meanwhile; it stays",
                         old->name);
        if (rc != MEMFILE_OK)
            return rc;
        if (fstat(old->fd, &st) != 0)
            return mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot look at the old file");
        /* Owner first: a change of owner may clear mode bits. Only root can give
         * files away; if we cannot, the mode must not open it to others. */
        int owned = fchown(f->fd, st.st_uid, st.st_gid) == 0;
        if (!owned && st.st_uid != geteuid())
            return mf_fail(err, MEMFILE_E_CONFLICT, MF_NOWHERE,
                           "'%s' belongs to somebody else, who could not read the new file; use an output file instead",
                           old->name);
        if (fchmod(f->fd, owned ? st.st_mode & 07777 : st.st_mode & 0700) != 0)
            return mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot set the mode of the new file");
        if (renameat(f->directory, f->temporary, old->directory, old->name) != 0)
            return mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno,
                                  "cannot put the new file in place of '%s'; use an output file instead", old->name);
    } else {
        rc = take_name(f, err);
        if (rc != MEMFILE_OK)
            return rc;
    }
    mf_free(f->mem, f->temporary);
    f->temporary = NULL;
    return sync_directory(f, err);
}

int mf_io_file_again(mf_io *io, mf_io **out, memfile_error *err)
{
    const file_io *old = (const file_io *)io;
    *out = NULL;
    file_io *f = (file_io *)mf_alloc_zero(old->mem, sizeof *f);
    if (!f)
        return mf_fail_memory(err);
    f->mem = old->mem;
    f->io.functions = &file_functions;
    f->before = f->directory = -1;
    f->fd = fcntl(old->fd, F_DUPFD_CLOEXEC, 3);
    if (f->fd < 0) {
        int rc = mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot open the file again");
        file_close(&f->io);
        return rc;
    }
    *out = &f->io;
    return MEMFILE_OK;
}

int mf_io_file_links(mf_io *io, uint64_t *links, memfile_error *err)
{
    struct stat st;
    if (fstat(((const file_io *)io)->fd, &st) != 0)
        return mf_fail_system(err, MEMFILE_E_SYSTEM, MF_NOWHERE, errno, "cannot look at the file");
    *links = st.st_nlink;
    return MEMFILE_OK;
}

int64_t mf_system_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
