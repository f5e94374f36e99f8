/* wine_rename: what wine 8 (and 10) lacks of Windows 10: renaming over a file that is open. In
 * programs that this is linked to, the file in the way is first renamed aside and then removed,
 * which is two steps and proves nothing of the one that Windows takes; all else is as it will be.
 * Other calls of SetFileInformationByHandle go through. */
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0A00
#include <windows.h>

#include <stdio.h>
#include <string.h>
#include <wchar.h>

#define RENAME_INFO_EX 22
#define FLAGS (1u | 2u) /* replace; POSIX semantics */

static BOOL WINAPI set_information(HANDLE file, FILE_INFO_BY_HANDLE_CLASS class, void *data, DWORD length);
/* How the compiler calls what it takes to be in a DLL. */
BOOL (WINAPI *__imp_SetFileInformationByHandle)(HANDLE, FILE_INFO_BY_HANDLE_CLASS, void *, DWORD) = set_information;

static BOOL WINAPI set_information(HANDLE file, FILE_INFO_BY_HANDLE_CLASS class, void *data, DWORD length)
{
    const FILE_RENAME_INFO *info = (const FILE_RENAME_INFO *)data;
    wchar_t from[1024], to[1024], aside[1100];
    DWORD flags;
    memcpy(&flags, data, sizeof flags);
    size_t n = info->FileNameLength / sizeof *to;
    if (class != RENAME_INFO_EX || flags != FLAGS || n >= 1024 || length < n * sizeof *to ||
        GetFinalPathNameByHandleW(file, from, 1024, 0) == 0) {
        SetLastError(ERROR_INVALID_PARAMETER);
        return FALSE;
    }
    memcpy(to, info->FileName, n * sizeof *to);
    to[n] = L'\0';
    swprintf(aside, 1100, L"%ls.%lu.%lu", to, GetCurrentProcessId(), GetTickCount());
    if (!MoveFileExW(to, aside, 0))
        return FALSE;
    BOOL done = MoveFileExW(from, to, 0);
    if (done)
        DeleteFileW(aside);
    else
        MoveFileExW(aside, to, 0);
    return done;
}
