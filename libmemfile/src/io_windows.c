/* io_windows: files of Windows 10 and later, the twin of io_posix.c. The only file that includes
 * its headers.
 *
 * Names are UTF-8 outside and UTF-16 inside; each is made whole and free of links when the file is
 * opened, so that a later change of folder is none of ours. Every handle shares reading, writing
 * and deletion: a file can be replaced, renamed and removed while it is open, as elsewhere.
 *
 * The lock belongs to the handle; no other handle's closing loses it, and it goes with the process.
 * Locks of Windows keep others from reading and writing what is locked, which at 2^62 is nothing.
 *
 * A directory cannot be synced here, and need not be on NTFS and ReFS: a name is metadata in
 * their journal, which FlushFileBuffers of the file writes out as well, up to the newest change
 * of the file ("flushes all metadata", MSDN on FlushFileBuffers). Names are changed through a
 * handle that writes through, too. FAT and network drives promise less. */
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0A00
#include <windows.h>

#include <aclapi.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "digest.h"
#include "format.h"
#include "io.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define DISK_QUOTA_EXCEEDED 1295 /* mingw-w64 10 lacks the name */
#define AT_ONCE (1u << 30) /* bytes of a call: it counts them in 32 bits */

typedef struct file_io {
    mf_io io;
    HANDLE file;
    HANDLE before; /* what file was before it was opened anew, until settled; else INVALID_HANDLE_VALUE */
    int locked;
    int identified; /* the next two are those of file */
    DWORD volume;
    uint64_t index;
    wchar_t *path;      /* whole; NULL in a second handle */
    wchar_t *temporary; /* created, not yet published: its path for now; else NULL */
    char *name;         /* the last part of path, for messages */
    const mf_mem *mem;
} file_io;

/* ---- errors: errno's numbers are the library's, whatever the system calls them */

static int errno_of(DWORD error)
{
    static const struct {
        DWORD error;
        int number;
    } table[] = {
        {ERROR_FILE_NOT_FOUND, ENOENT},     {ERROR_PATH_NOT_FOUND, ENOENT},
        {ERROR_BAD_NETPATH, ENOENT},        {ERROR_BAD_NET_NAME, ENOENT},
        {ERROR_INVALID_NAME, ENOENT},       {ERROR_BAD_PATHNAME, ENOENT},
        {ERROR_INVALID_DRIVE, ENOENT},      {ERROR_DIRECTORY, ENOTDIR},
        {ERROR_ACCESS_DENIED, EACCES},      {ERROR_SHARING_VIOLATION, EACCES},
        {ERROR_LOCK_VIOLATION, EACCES},     {ERROR_WRITE_PROTECT, EROFS},
        {ERROR_DELETE_PENDING, ENOENT},     {ERROR_INVALID_HANDLE, EBADF},
        {ERROR_FILE_EXISTS, EEXIST},        {ERROR_ALREADY_EXISTS, EEXIST},
        {ERROR_DISK_FULL, ENOSPC},          {ERROR_HANDLE_DISK_FULL, ENOSPC},
        {DISK_QUOTA_EXCEEDED, ENOSPC}, {ERROR_FILE_TOO_LARGE, EFBIG},
        {ERROR_TOO_MANY_OPEN_FILES, EMFILE}, {ERROR_NOT_ENOUGH_MEMORY, ENOMEM},
        {ERROR_OUTOFMEMORY, ENOMEM},        {ERROR_NO_SYSTEM_RESOURCES, ENOMEM},
        {ERROR_CANT_RESOLVE_FILENAME, ELOOP}, {ERROR_FILENAME_EXCED_RANGE, ENAMETOOLONG},
        {ERROR_BUFFER_OVERFLOW, ENAMETOOLONG}, {ERROR_NOT_SAME_DEVICE, EXDEV},
        {ERROR_NOT_SUPPORTED, ENOSYS},      {ERROR_INVALID_FUNCTION, ENOSYS},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].error == error)
            return table[i].number;
    return EIO;
}

/* Fails with what the system said, its own number too: errno's are few. */
MF_PRINTF(5, 6)
static int fail_windows(memfile_error *err, int code, uint64_t offset, DWORD error, const char *format, ...)
{
    char text[sizeof err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return mf_fail_system(err, code, offset, errno_of(error), "%s (Windows error %lu)", text, error);
}

/* ---- names */

static wchar_t *wide_of(const char *text, memfile_error *err)
{
    int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    wchar_t *wide = n > 0 ? (wchar_t *)malloc((size_t)n * sizeof *wide) : NULL;
    if (n <= 0)
        mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "the name of the file is not UTF-8");
    else if (!wide)
        mf_fail_memory(err);
    else
        MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, n);
    return wide;
}

static char *utf8_of(const mf_mem *mem, const wchar_t *wide)
{
    int n = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
    char *text = (char *)mf_alloc(mem, n > 0 ? (size_t)n : 1);
    if (text && (n <= 0 || WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, n, NULL, NULL) <= 0))
        *text = '\0';
    return text;
}

static wchar_t *join(const mf_mem *mem, const wchar_t *folder, const wchar_t *name)
{
    size_t a = wcslen(folder), b = wcslen(name);
    int between = a > 0 && folder[a - 1] != L'\\';
    wchar_t *path = (wchar_t *)mf_alloc(mem, (a + b + 2) * sizeof *path);
    if (!path)
        return NULL;
    memcpy(path, folder, a * sizeof *path);
    if (between)
        path[a] = L'\\';
    memcpy(path + a + (size_t)between, name, (b + 1) * sizeof *path);
    return path;
}

/* The last part of a path, or an empty text when it ends in what parts them. */
static const wchar_t *last_part(const wchar_t *path)
{
    const wchar_t *part = path;
    for (const wchar_t *at = path; *at; at++)
        if (*at == L'\\' || *at == L'/')
            part = at + 1;
    return part;
}

static wchar_t *absolute(const wchar_t *path)
{
    DWORD room = GetFullPathNameW(path, 0, NULL, NULL);
    wchar_t *whole = room ? (wchar_t *)malloc(room * sizeof *whole) : NULL;
    if (whole && GetFullPathNameW(path, room, whole, NULL) >= room)
        *whole = L'\0';
    return whole;
}

/* The path of an open file or folder without links in it: \\?\C:\..., which has no limit of 260
 * characters. NULL where the volume has no such path. */
static wchar_t *final_path(HANDLE handle)
{
    DWORD room = GetFinalPathNameByHandleW(handle, NULL, 0, FILE_NAME_NORMALIZED);
    wchar_t *path = room ? (wchar_t *)malloc(((size_t)room + 1) * sizeof *path) : NULL;
    if (path) {
        DWORD n = GetFinalPathNameByHandleW(handle, path, room + 1, FILE_NAME_NORMALIZED);
        if (n == 0 || n > room) {
            free(path);
            path = NULL;
        }
    }
    return path;
}

/* ---- reading and writing: at offsets, which an OVERLAPPED carries */

static OVERLAPPED at_offset(uint64_t offset)
{
    OVERLAPPED at;
    memset(&at, 0, sizeof at);
    at.Offset = (DWORD)offset;
    at.OffsetHigh = (DWORD)(offset >> 32);
    return at;
}

static int file_read(mf_io *io, uint64_t offset, void *out, size_t length, size_t *got, memfile_error *err)
{
    const file_io *f = (const file_io *)io;
    size_t done = 0;
    while (done < length) {
        OVERLAPPED at = at_offset(offset + done);
        DWORD n = 0, want = length - done < AT_ONCE ? (DWORD)(length - done) : AT_ONCE;
        if (!ReadFile(f->file, (char *)out + done, want, &n, &at) && GetLastError() != ERROR_HANDLE_EOF)
            return fail_windows(err, MEMFILE_E_SYSTEM, offset + done, GetLastError(), "cannot read");
        if (n == 0)
            break;
        done += n;
    }
    *got = done;
    return MEMFILE_OK;
}

static int file_write(mf_io *io, uint64_t offset, const void *data, size_t length, memfile_error *err)
{
    const file_io *f = (const file_io *)io;
    size_t done = 0;
    while (done < length) {
        OVERLAPPED at = at_offset(offset + done);
        DWORD n = 0, want = length - done < AT_ONCE ? (DWORD)(length - done) : AT_ONCE;
        BOOL good = WriteFile(f->file, (const char *)data + done, want, &n, &at);
        if (!good || n == 0)
            return fail_windows(err, MEMFILE_E_SYSTEM, offset + done, good ? ERROR_WRITE_FAULT : GetLastError(),
                                "cannot write; nothing was committed, the memory is as it was before");
        done += n;
    }
    return MEMFILE_OK;
}

/* Never repeated, as in io_posix.c. The file's name goes with it: see above. */
static int file_sync(mf_io *io, memfile_error *err)
{
    const file_io *f = (const file_io *)io;
    if (FlushFileBuffers(f->file))
        return MEMFILE_OK;
    return f->temporary /* it has no name that anyone knows, and will have none */
               ? fail_windows(err, MEMFILE_E_SYSTEM, MF_NOWHERE, GetLastError(),
                              "cannot sync the new file; nothing was changed")
               : fail_windows(err, MEMFILE_E_UNCERTAIN, MF_NOWHERE, GetLastError(),
                              "sync failed: the commit may or may not have happened; open again and look");
}

static int file_size(mf_io *io, uint64_t *out, memfile_error *err)
{
    LARGE_INTEGER size;
    if (!GetFileSizeEx(((const file_io *)io)->file, &size))
        return fail_windows(err, MEMFILE_E_SYSTEM, MF_NOWHERE, GetLastError(), "cannot look at the file");
    *out = (uint64_t)size.QuadPart;
    return MEMFILE_OK;
}

/* Looks whether there is room, and takes none: FileAllocationInfo, which would, also cuts a file
 * that is longer. A disk that others fill meanwhile is an error of the write. */
static int file_allocate(mf_io *io, uint64_t offset, uint64_t length, memfile_error *err)
{
    const file_io *f = (const file_io *)io;
    const wchar_t *path = f->temporary ? f->temporary : f->path;
    ULARGE_INTEGER room;
    wchar_t *folder = path ? wcsdup(path) : NULL;
    int full = 0;
    if (folder) {
        folder[last_part(folder) - folder] = L'\0';
        full = GetDiskFreeSpaceExW(folder, &room, NULL, NULL) && room.QuadPart < length;
        free(folder);
    }
    return full ? fail_windows(err, MEMFILE_E_SYSTEM, offset, ERROR_DISK_FULL,
                               "no room for %llu more bytes; nothing was committed, the memory is as it was before",
                               (unsigned long long)length)
                : MEMFILE_OK;
}

/* Nothing here writes out a part of a file without waiting. */
static void file_write_behind(mf_io *io, uint64_t offset, uint64_t length)
{
    (void)io, (void)offset, (void)length;
}

/* ---- the lock */

static int file_lock(mf_io *io, uint32_t timeout_ms, memfile_error *err)
{
    file_io *f = (file_io *)io;
    if (!io->writable)
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "the memfile was opened for reading");
    if (f->locked) /* a second time it would wait for itself */
        return MEMFILE_OK;
    ULONGLONG start = GetTickCount64();
    for (DWORD pause_ms = 1;; pause_ms = pause_ms < 8 ? pause_ms * 2 : 8) {
        OVERLAPPED at = at_offset(MF_LOCK_OFFSET);
        if (LockFileEx(f->file, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)) {
            f->locked = 1;
            return MEMFILE_OK;
        }
        DWORD error = GetLastError();
        if (error != ERROR_LOCK_VIOLATION && error != ERROR_IO_PENDING)
            return fail_windows(err, MEMFILE_E_SYSTEM, MF_NOWHERE, error, "cannot lock the file");
        ULONGLONG waited = GetTickCount64() - start;
        if (waited >= timeout_ms)
            return mf_fail(err, MEMFILE_E_BUSY, MF_NOWHERE, "another writer held the file for %u ms; try again later",
                           timeout_ms);
        Sleep(timeout_ms - waited < pause_ms ? (DWORD)(timeout_ms - waited) : pause_ms);
    }
}

static void file_unlock(mf_io *io)
{
    file_io *f = (file_io *)io;
    OVERLAPPED at = at_offset(MF_LOCK_OFFSET);
    if (f->locked)
        UnlockFileEx(f->file, 0, 1, 0, &at);
    f->locked = 0;
}

/* ---- opening, and looking whether the name leads elsewhere */

static uint64_t index_of(const BY_HANDLE_FILE_INFORMATION *info)
{
    return (uint64_t)info->nFileIndexHigh << 32 | info->nFileIndexLow;
}

static int identify(file_io *f, memfile_error *err)
{
    BY_HANDLE_FILE_INFORMATION info;
    if (f->identified)
        return MEMFILE_OK;
    if (!GetFileInformationByHandle(f->file, &info))
        return fail_windows(err, MEMFILE_E_SYSTEM, MF_NOWHERE, GetLastError(), "cannot look at the file");
    f->volume = info.dwVolumeSerialNumber;
    f->index = index_of(&info);
    f->identified = 1;
    return MEMFILE_OK;
}

static int file_look(mf_io *io, int *moved, uint64_t *size, memfile_error *err)
{
    file_io *f = (file_io *)io;
    BY_HANDLE_FILE_INFORMATION info;
    int rc = identify(f, err);
    if (rc != MEMFILE_OK)
        return rc;
    HANDLE named = CreateFileW(f->path, FILE_READ_ATTRIBUTES, SHARE_ALL, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    BOOL good = named != INVALID_HANDLE_VALUE && GetFileInformationByHandle(named, &info);
    DWORD error = GetLastError();
    if (named != INVALID_HANDLE_VALUE)
        CloseHandle(named);
    if (!good)
        return fail_windows(err, MEMFILE_E_SYSTEM, MF_NOWHERE, error, "'%s' is gone since it was opened", f->name);
    *moved = f->volume != info.dwVolumeSerialNumber || f->index != index_of(&info);
    *size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
    return MEMFILE_OK;
}

static int is_folder(const wchar_t *path)
{
    DWORD attributes = GetFileAttributesW(path);
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY);
}

/* `shown` is how the caller calls it. A folder on the way that is a file gives PATH_NOT_FOUND. */
static int open_path(file_io *f, const wchar_t *path, const char *shown, memfile_error *err)
{
    f->file = CreateFileW(path, f->io.writable ? GENERIC_READ | GENERIC_WRITE : GENERIC_READ, SHARE_ALL, NULL,
                          OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    DWORD error = GetLastError();
    if (f->file == INVALID_HANDLE_VALUE && is_folder(path))
        return mf_fail(err, MEMFILE_E_NOT_MEMFILE, MF_NOWHERE, "'%s' is not a regular file", shown);
    if (f->file == INVALID_HANDLE_VALUE && errno_of(error) == ENOENT)
        return mf_fail(err, MEMFILE_E_NOT_FOUND, MF_NOWHERE, "no such file: '%s'", shown);
    if (f->file == INVALID_HANDLE_VALUE)
        return fail_windows(err, MEMFILE_E_SYSTEM, MF_NOWHERE, error, "cannot open '%s'", shown);
    if (GetFileType(f->file) != FILE_TYPE_DISK)
        return mf_fail(err, MEMFILE_E_NOT_MEMFILE, MF_NOWHERE, "'%s' is not a regular file", shown);
    return MEMFILE_OK;
}

static void file_settle(mf_io *io, int stay)
{
    file_io *f = (file_io *)io;
    if (f->before == INVALID_HANDLE_VALUE)
        return;
    if (!stay) {
        HANDLE file = f->file;
        file_unlock(io);
        f->file = f->before;
        f->before = file;
        f->identified = 0;
    }
    CloseHandle(f->before);
    f->before = INVALID_HANDLE_VALUE;
}

static int file_reopen(mf_io *io, memfile_error *err)
{
    file_io *f = (file_io *)io;
    file_unlock(io);
    file_settle(io, 1);
    HANDLE old = f->file;
    f->identified = 0;
    int rc = open_path(f, f->path, f->name, err);
    if (rc != MEMFILE_OK) { /* the handle stays usable for reading what it had */
        if (f->file != INVALID_HANDLE_VALUE)
            CloseHandle(f->file);
        f->file = old;
        return rc;
    }
    f->before = old;
    return MEMFILE_OK;
}

static void file_close(mf_io *io)
{
    file_io *f = (file_io *)io;
    file_unlock(io); /* closing gives it back too, but may do so late */
    file_settle(io, 1);
    if (f->file != INVALID_HANDLE_VALUE)
        CloseHandle(f->file);
    if (f->temporary)
        DeleteFileW(f->temporary);
    mf_free(f->mem, f->path);
    mf_free(f->mem, f->temporary);
    mf_free(f->mem, f->name);
    mf_free(f->mem, f);
}

static const mf_io_functions file_functions = {
    file_read, file_write,  file_sync,  file_size,   file_allocate, file_write_behind,
    file_lock, file_unlock, file_look,  file_reopen, file_settle,   file_close, NULL,
    NULL,
};

static int keep_path(file_io *f, const wchar_t *folder, const wchar_t *name, memfile_error *err)
{
    f->path = join(f->mem, folder, name);
    f->name = utf8_of(f->mem, name);
    return f->path && f->name ? MEMFILE_OK : mf_fail_memory(err);
}

/* The path of a file that is there. Resolves links, so that a rename later replaces the file and
 * not a link to it. */
static int resolve_file(file_io *f, HANDLE file, const wchar_t *given, memfile_error *err)
{
    wchar_t *whole = final_path(file);
    if (!whole)
        whole = absolute(given);
    int rc = whole ? keep_path(f, L"", whole, err) : mf_fail_memory(err);
    if (rc == MEMFILE_OK) { /* the name is the last part of it only */
        mf_free(f->mem, f->name);
        f->name = utf8_of(f->mem, last_part(whole));
        rc = f->name ? MEMFILE_OK : mf_fail_memory(err);
    }
    free(whole);
    return rc;
}

/* The path of a file that is yet to be made: its directory without links, and its name. Colons
 * name streams within files, and some names devices. */
static int resolve_new(file_io *f, const wchar_t *given, const char *shown, memfile_error *err)
{
    wchar_t *whole = absolute(given), *folder = NULL;
    HANDLE directory = INVALID_HANDLE_VALUE;
    int rc;
    if (!whole) {
        rc = *given ? mf_fail_memory(err) : mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "'' is not the name of a file");
        goto done;
    }
    wchar_t *name = whole + (last_part(whole) - whole);
    if (!*last_part(given) || !*name || wcspbrk(name, L":*?\"<>|") || wcsncmp(whole, L"\\\\.\\", 4) == 0) {
        rc = mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "'%s' is not the name of a file", shown);
        goto done;
    }
    folder = wcsdup(whole);
    if (!folder) {
        rc = mf_fail_memory(err);
        goto done;
    }
    folder[name - whole] = L'\0';
    directory = CreateFileW(folder, FILE_READ_ATTRIBUTES, SHARE_ALL, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (directory == INVALID_HANDLE_VALUE) {
        DWORD error = GetLastError();
        rc = fail_windows(err, errno_of(error) == ENOENT ? MEMFILE_E_NOT_FOUND : MEMFILE_E_SYSTEM, MF_NOWHERE, error,
                          "cannot open the directory of '%s'", shown);
        goto done;
    }
    wchar_t *final = final_path(directory);
    rc = keep_path(f, final ? final : folder, name, err);
    free(final);
done:
    if (directory != INVALID_HANDLE_VALUE)
        CloseHandle(directory);
    free(folder);
    free(whole);
    return rc;
}

/* `more`: rights beside reading and writing, which a network drive may refuse. */
static int create_temporary(file_io *f, DWORD more, memfile_error *err)
{
    size_t room = wcslen(f->path) + 32, folder = (size_t)(last_part(f->path) - f->path);
    DWORD error = 0;
    f->temporary = (wchar_t *)mf_alloc(f->mem, room * sizeof *f->temporary);
    if (!f->temporary)
        return mf_fail_memory(err);
    for (int attempt = 0; attempt < 16; attempt++) {
        uint8_t r[6];
        mf_system_random(r, sizeof r);
        swprintf(f->temporary, room, L"%.*ls.%.200ls.%02x%02x%02x%02x%02x%02x.new", (int)folder, f->path,
                 f->path + folder, r[0], r[1], r[2], r[3], r[4], r[5]);
        f->file = CreateFileW(f->temporary, GENERIC_READ | GENERIC_WRITE | more, SHARE_ALL, NULL, CREATE_NEW,
                              FILE_ATTRIBUTE_NORMAL, NULL);
        if (f->file != INVALID_HANDLE_VALUE)
            return identify(f, err); /* now: wine forgets the volume when the name changes */
        error = GetLastError();
        if (error != ERROR_FILE_EXISTS)
            break;
    }
    mf_free(f->mem, f->temporary);
    f->temporary = NULL;
    return fail_windows(err, MEMFILE_E_SYSTEM, MF_NOWHERE, error, "cannot make a file beside '%s'", f->name);
}

static int open_given(file_io *f, const wchar_t *given, const char *path, mf_io_access access, memfile_error *err)
{
    int rc;
    if (access == MF_IO_CREATE) {
        rc = resolve_new(f, given, path, err);
        if (rc == MEMFILE_OK && GetFileAttributesW(f->path) != INVALID_FILE_ATTRIBUTES)
            rc = mf_fail(err, MEMFILE_E_CONFLICT, MF_NOWHERE, "'%s' exists already; nothing was changed", path);
        return rc == MEMFILE_OK ? create_temporary(f, 0, err) : rc;
    }
    rc = open_path(f, given, path, err);
    if (rc == MEMFILE_OK)
        rc = resolve_file(f, f->file, given, err);
    if (rc == MEMFILE_OK && access == MF_IO_REPLACE) {
        CloseHandle(f->file);
        f->file = INVALID_HANDLE_VALUE;
        rc = create_temporary(f, WRITE_DAC, err);
    }
    return rc;
}

int mf_io_file_open(const mf_mem *mem, const char *path, mf_io_access access, mf_io **out, memfile_error *err)
{
    *out = NULL;
    file_io *f = (file_io *)mf_alloc_zero(mem, sizeof *f);
    if (!f)
        return mf_fail_memory(err);
    f->mem = mem;
    f->file = f->before = INVALID_HANDLE_VALUE;
    f->io.functions = &file_functions;
    f->io.writable = access != MF_IO_READ;
    memfile_error unasked;
    err = err ? err : &unasked;
    wchar_t *given = wide_of(path, err);
    int rc = given ? open_given(f, given, path, access, err) : err->code;
    free(given);
    if (rc != MEMFILE_OK) {
        file_close(&f->io);
        return rc;
    }
    *out = &f->io;
    return MEMFILE_OK;
}

/* ---- publishing */

/* Who may do what with the old file may do so with the new one. Its owner is whoever compacts:
 * few may give files away here. A volume without rights has none to take. */
static DWORD take_rights(HANDLE from, HANDLE to)
{
    PSECURITY_DESCRIPTOR rights = NULL;
    SECURITY_DESCRIPTOR_CONTROL control = 0;
    PACL list = NULL;
    DWORD revision, error = GetSecurityInfo(from, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL, &list, NULL, &rights);
    if (error == ERROR_SUCCESS && rights && GetSecurityDescriptorControl(rights, &control, &revision)) {
        SECURITY_INFORMATION own = control & SE_DACL_PROTECTED ? PROTECTED_DACL_SECURITY_INFORMATION
                                                               : UNPROTECTED_DACL_SECURITY_INFORMATION;
        error = SetSecurityInfo(to, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION | own, NULL, NULL, list, NULL);
    }
    LocalFree(rights);
    return error == ERROR_NOT_SUPPORTED || error == ERROR_INVALID_FUNCTION ? ERROR_SUCCESS : error;
}

/* FILE_RENAME_INFO as it is since Windows 10, version 1607; older headers lack the flags. */
typedef struct rename_info {
    DWORD flags;
    HANDLE root;
    DWORD length; /* bytes of name */
    wchar_t name[];
} rename_info;
#define RENAME_INFO_EX ((FILE_INFO_BY_HANDLE_CLASS)22)
#define RENAME_REPLACE 1u
#define RENAME_POSIX 2u /* a file that others have open gives up its name at once */

/* Takes the name of a file that may be open, in one step, written through. ERROR_SUCCESS or why not. */
static DWORD replace_open(const wchar_t *from, const wchar_t *to)
{
    size_t length = wcslen(to) * sizeof *to, room = sizeof(rename_info) + length + sizeof *to;
    rename_info *info = (rename_info *)calloc(1, room);
    DWORD error = ERROR_SUCCESS;
    if (!info)
        return ERROR_NOT_ENOUGH_MEMORY;
    HANDLE file = CreateFileW(from, DELETE | SYNCHRONIZE, SHARE_ALL, NULL, OPEN_EXISTING, FILE_FLAG_WRITE_THROUGH, NULL);
    info->flags = RENAME_REPLACE | RENAME_POSIX;
    info->length = (DWORD)length;
    memcpy(info->name, to, length);
    if (file == INVALID_HANDLE_VALUE || !SetFileInformationByHandle(file, RENAME_INFO_EX, info, (DWORD)room))
        error = GetLastError();
    if (file != INVALID_HANDLE_VALUE)
        CloseHandle(file);
    free(info);
    return error;
}

/* Volumes and systems that cannot replace an open file say so in several ways. MoveFileExW replaces
 * there what nobody has open; it too is one step. */
static int replace_name(file_io *f, const file_io *old, memfile_error *err)
{
    DWORD error = take_rights(old->file, f->file);
    if (error != ERROR_SUCCESS)
        return fail_windows(err, MEMFILE_E_SYSTEM, MF_NOWHERE, error, "cannot set the rights of the new file");
    if (replace_open(f->temporary, old->path) == ERROR_SUCCESS ||
        MoveFileExW(f->temporary, old->path, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
        return MEMFILE_OK;
    return fail_windows(err, MEMFILE_E_SYSTEM, MF_NOWHERE, GetLastError(),
                        "cannot put the new file in place of '%s'; use an output file instead", old->name);
}

static int take_name(file_io *f, memfile_error *err)
{
    if (MoveFileExW(f->temporary, f->path, MOVEFILE_WRITE_THROUGH))
        return MEMFILE_OK;
    DWORD error = GetLastError();
    if (errno_of(error) == EEXIST)
        return mf_fail(err, MEMFILE_E_CONFLICT, MF_NOWHERE, "'%s' exists already; nothing was changed", f->name);
    return fail_windows(err, MEMFILE_E_SYSTEM, MF_NOWHERE, error, "cannot name the new file '%s'", f->name);
}

int mf_io_file_publish(mf_io *io, mf_io *replace, memfile_error *err)
{
    file_io *f = (file_io *)io;
    int rc = replace ? replace_name(f, (const file_io *)replace, err) : take_name(f, err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_free(f->mem, f->temporary);
    f->temporary = NULL;
    if (!FlushFileBuffers(f->file))
        return fail_windows(err, MEMFILE_E_UNCERTAIN, MF_NOWHERE, GetLastError(),
                            "the new name could not be synced; after a crash the old one may be back");
    return MEMFILE_OK;
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
    f->file = f->before = INVALID_HANDLE_VALUE;
    HANDLE self = GetCurrentProcess();
    if (!DuplicateHandle(self, old->file, self, &f->file, 0, FALSE, DUPLICATE_SAME_ACCESS)) {
        int rc = fail_windows(err, MEMFILE_E_SYSTEM, MF_NOWHERE, GetLastError(), "cannot open the file again");
        f->file = INVALID_HANDLE_VALUE;
        file_close(&f->io);
        return rc;
    }
    *out = &f->io;
    return MEMFILE_OK;
}

/* Not done here: it is left to whoever finds them. */
int mf_io_file_tidy(mf_io *io, memfile_error *err)
{
    (void)io, (void)err;
    return MEMFILE_OK;
}

int mf_io_file_links(mf_io *io, uint64_t *links, memfile_error *err)
{
    BY_HANDLE_FILE_INFORMATION info;
    if (!GetFileInformationByHandle(((const file_io *)io)->file, &info))
        return fail_windows(err, MEMFILE_E_SYSTEM, MF_NOWHERE, GetLastError(), "cannot look at the file");
    *links = info.nNumberOfLinks;
    return MEMFILE_OK;
}

int64_t mf_system_now_us(void)
{
    FILETIME now; /* 100 ns since 1601 */
    GetSystemTimePreciseAsFileTime(&now);
    uint64_t ticks = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (int64_t)(ticks / 10) - INT64_C(11644473600000000);
}
