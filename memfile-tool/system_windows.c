/* system_windows: what the tool asks of Windows, the twin of system_posix.c. Names and arguments
 * are UTF-8 in the tool and UTF-16 there; streams carry bytes as they are, without line ends made
 * into two. */
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0A00
#include <windows.h>

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <shellapi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tool.h"

const char end_of_input[] = "Ctrl-Z and Enter";

static UINT code_page; /* of the console before */

static void give_back_code_page(void)
{
    SetConsoleOutputCP(code_page);
}

static char *utf8_of(const wchar_t *wide)
{
    int n = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
    char *text = n > 0 ? (char *)malloc((size_t)n) : NULL;
    if (text)
        WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, n, NULL, NULL);
    return text;
}

static wchar_t *wide_of(const char *text)
{
    int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    wchar_t *wide = n > 0 ? (wchar_t *)malloc((size_t)n * sizeof *wide) : NULL;
    if (wide)
        MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, n);
    else
        errno = n > 0 ? ENOMEM : ENOENT;
    return wide;
}

static void take_arguments(int *argc, char ***argv)
{
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), argc);
    char **taken = wide ? (char **)calloc((size_t)*argc + 1, sizeof *taken) : NULL;
    bool good = taken != NULL;
    for (int i = 0; good && i < *argc; i++)
        good = (taken[i] = utf8_of(wide[i])) != NULL;
    if (!good) {
        usage_error("out of memory");
        exit(EXIT_SYSTEM);
    }
    LocalFree(wide);
    *argv = taken;
}

/* A console that obeys escapes, as all do since Windows 10, version 1511. */
static void prepare_console(DWORD which)
{
    HANDLE console = GetStdHandle(which);
    DWORD mode;
    if (GetConsoleMode(console, &mode))
        SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

void system_start(int *argc, char ***argv)
{
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
    if (is_terminal(stdout) || is_terminal(stderr)) {
        prepare_console(STD_OUTPUT_HANDLE);
        prepare_console(STD_ERROR_HANDLE);
        code_page = GetConsoleOutputCP();
        SetConsoleOutputCP(CP_UTF8);
        atexit(give_back_code_page);
    }
    take_arguments(argc, argv);
}

/* Not _isatty, for which the null device is one. */
bool is_terminal(FILE *stream)
{
    DWORD mode;
    intptr_t handle = _get_osfhandle(_fileno(stream));
    return handle != -1 && handle != -2 && GetConsoleMode((HANDLE)handle, &mode);
}

/* The C library has EINVAL for ERROR_NO_DATA, which a pipe gives that is being closed. */
bool reader_is_gone(int error)
{
    return error == EPIPE ||
           (error == EINVAL && GetFileType(GetStdHandle(STD_OUTPUT_HANDLE)) == FILE_TYPE_PIPE);
}

size_t terminal_columns(void)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    bool known = GetConsoleScreenBufferInfo(GetStdHandle(STD_OUTPUT_HANDLE), &info);
    return known ? (size_t)(info.srWindow.Right - info.srWindow.Left + 1) : 0;
}

void columns_prepare(void)
{
}

/* Characters of no column and of two, in the large; Windows has no list. Unicode 15: Mn, Me;
 * East Asian Width W and F. */
size_t character_columns(uint32_t character)
{
    static const struct {
        uint32_t first, last, columns;
    } ranges[] = {
        {0x0300, 0x036f, 0},   {0x0483, 0x0489, 0},   {0x0591, 0x05bd, 0},   {0x064b, 0x065f, 0},
        {0x1100, 0x115f, 2},   {0x1ab0, 0x1aff, 0},   {0x1dc0, 0x1dff, 0},   {0x200b, 0x200f, 0},
        {0x20d0, 0x20f0, 0},   {0x2e80, 0x303e, 2},   {0x3041, 0xa4cf, 2},   {0xa960, 0xa97c, 2},
        {0xac00, 0xd7a3, 2},   {0xf900, 0xfaff, 2},   {0xfe00, 0xfe0f, 0},   {0xfe20, 0xfe2f, 0},
        {0xfe30, 0xfe6b, 2},   {0xff01, 0xff60, 2},   {0xffe0, 0xffe6, 2},   {0x1f300, 0x1f64f, 2},
        {0x1f680, 0x1f6fc, 2}, {0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2}, {0xe0100, 0xe01ef, 0},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0] && ranges[i].first <= character; i++)
        if (character <= ranges[i].last)
            return ranges[i].columns;
    return 1;
}

int input_open(const char *path, uint64_t *size)
{
    struct _stat64 st;
    int fd = _fileno(stdin);
    if (path) {
        wchar_t *wide = wide_of(path);
        fd = wide ? _wopen(wide, _O_RDONLY | _O_BINARY | _O_NOINHERIT) : -1;
        int reason = errno;
        free(wide);
        errno = reason;
    }
    *size = fd >= 0 && _fstat64(fd, &st) == 0 && (st.st_mode & _S_IFMT) == _S_IFREG ? (uint64_t)st.st_size : 0;
    return fd;
}

ptrdiff_t input_read(int input, void *out, size_t length)
{
    return _read(input, out, length < (1u << 30) ? (unsigned)length : 1u << 30);
}

void input_close(int input)
{
    if (input > _fileno(stdin))
        _close(input);
}

/* Rights are lists here, which the folder gives. */
bool input_is_open_to_others(int input)
{
    (void)input;
    return false;
}

int file_write_new(const char *path, const char *text, size_t length)
{
    wchar_t *wide = wide_of(path);
    int fd = wide ? _wopen(wide, _O_WRONLY | _O_CREAT | _O_EXCL | _O_BINARY | _O_NOINHERIT, _S_IREAD | _S_IWRITE) : -1;
    bool written = fd >= 0 && _write(fd, text, (unsigned)length) == (int)length && _commit(fd) == 0;
    int error = errno;
    if (fd >= 0)
        _close(fd);
    if (fd >= 0 && !written)
        DeleteFileW(wide);
    free(wide);
    return written ? 0 : error;
}

void system_no_dumps(void)
{
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
}

static void say_to(HANDLE console, const char *text)
{
    DWORD n;
    wchar_t *wide = wide_of(text);
    if (wide)
        WriteConsoleW(console, wide, (DWORD)wcslen(wide), &n, NULL);
    free(wide);
}

ptrdiff_t terminal_ask(const char *prompt, const char *about, char *out, size_t size)
{
    wchar_t typed[2048];
    char name[300], last = '\0';
    DWORD mode, n = 0;
    ptrdiff_t length = -2;
    HANDLE in = CreateFileW(L"CONIN$", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
    HANDLE to = CreateFileW(L"CONOUT$", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
    if (in != INVALID_HANDLE_VALUE && GetConsoleMode(in, &mode)) {
        snprintf(name, sizeof name, "%s%s%.200s%s: ", prompt, about ? " '" : "", about ? about : "", about ? "'" : "");
        tame(name, strlen(name), false, &last);
        say_to(to, name);
        SetConsoleMode(in, (mode & ~(DWORD)ENABLE_ECHO_INPUT) | ENABLE_LINE_INPUT | ENABLE_PROCESSED_INPUT);
        bool got = ReadConsoleW(in, typed, 2048, &n, NULL);
        SetConsoleMode(in, mode);
        say_to(to, "\r\n");
        /* one that does not fit is as long as the room, which is too long */
        length = got && n ? WideCharToMultiByte(CP_UTF8, 0, typed, (int)n, out, (int)size, NULL, NULL) : got ? 0 : -1;
        if (got && n && length == 0)
            length = (ptrdiff_t)size;
        errno = EIO;
        memfile_wipe(typed, sizeof typed);
    }
    if (in != INVALID_HANDLE_VALUE)
        CloseHandle(in);
    if (to != INVALID_HANDLE_VALUE)
        CloseHandle(to);
    return length;
}

static DWORD attributes_of(const char *path)
{
    wchar_t *wide = wide_of(path);
    DWORD attributes = wide ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;
    free(wide);
    return attributes;
}

bool path_exists(const char *path)
{
    return attributes_of(path) != INVALID_FILE_ATTRIBUTES;
}

bool path_is_directory(const char *path)
{
    DWORD attributes = attributes_of(path);
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY);
}

char *path_without_links(const char *path)
{
    wchar_t *wide = wide_of(path), final[1024];
    HANDLE file = wide ? CreateFileW(wide, FILE_READ_ATTRIBUTES, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                                     NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL)
                       : INVALID_HANDLE_VALUE;
    DWORD n = file == INVALID_HANDLE_VALUE ? 0 : GetFinalPathNameByHandleW(file, final, 1024, FILE_NAME_NORMALIZED);
    if (file != INVALID_HANDLE_VALUE)
        CloseHandle(file);
    free(wide);
    return n > 0 && n < 1024 ? utf8_of(final) : NULL;
}

void path_remove(const char *path)
{
    wchar_t *wide = wide_of(path);
    if (wide)
        DeleteFileW(wide);
    free(wide);
}

const char *last_part(const char *path)
{
    const char *part = path;
    for (; *path; path++)
        if (*path == '/' || *path == '\\')
            part = path + 1;
    return part;
}
