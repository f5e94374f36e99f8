/* support_windows: what tests take from POSIX, and Windows calls otherwise or has not. */
#ifndef SUPPORT_WINDOWS_H
#define SUPPORT_WINDOWS_H

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <direct.h>

/* The folder that is asked for does not matter: it is made where the system keeps such. */
static inline char *mkdtemp(char *path)
{
    char parent[MAX_PATH + 1];
    GetTempPathA(sizeof parent, parent);
    for (unsigned number = GetCurrentProcessId(), tries = 0; tries < 1000; tries++) {
        snprintf(path, 128, "%smemfile-test-%u", parent, number++);
        if (_mkdir(path) == 0)
            return path;
    }
    return NULL;
}

static inline int link(const char *path, const char *second)
{
    return CreateHardLinkA(second, path, NULL) ? 0 : -1;
}

/* Over a file that is there, too, and open: see wine_rename.c. */
static inline int rename_over(const char *path, const char *to)
{
    char aside[300];
    snprintf(aside, sizeof aside, "%s.aside", to);
    if (GetFileAttributesA(to) != INVALID_FILE_ATTRIBUTES && !MoveFileExA(to, aside, 0))
        return -1;
    return MoveFileExA(path, to, 0) ? 0 : -1;
}
#define rename rename_over

#endif
