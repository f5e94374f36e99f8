/* system_posix: what the tool asks of a POSIX system. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "tool.h"

const char end_of_input[] = "Ctrl-D";

/* Descriptors 0 to 2 that are closed would be given to files we open. */
static void fill_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            _exit(EXIT_SYSTEM);
}

void system_start(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fill_descriptors();
    signal(SIGXFSZ, SIG_IGN); /* a limit on file size is an error like a full disk */
}

bool is_terminal(FILE *stream)
{
    return isatty(fileno(stream));
}

bool reader_is_gone(int error)
{
    return error == EPIPE;
}

size_t terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* wcwidth knows nothing beyond ASCII in the C locale. */
void columns_prepare(void)
{
    static bool done;
    if (!done && (!setlocale(LC_CTYPE, "") || wcwidth(0x4e00) != 2))
        setlocale(LC_CTYPE, "C.UTF-8");
    done = true;
}

size_t character_columns(uint32_t character)
{
    columns_prepare();
    int width = wcwidth((wchar_t)character);
    return width < 0 ? 1 : (size_t)width;
}

int input_open(const char *path, uint64_t *size)
{
    struct stat st;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    *size = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    return fd;
}

ptrdiff_t input_read(int input, void *out, size_t length)
{
    ssize_t n;
    do
        n = read(input, out, length);
    while (n < 0 && errno == EINTR);
    return n;
}

void input_close(int input)
{
    if (input > STDIN_FILENO)
        close(input);
}

bool path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool path_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *path_without_links(const char *path)
{
    return realpath(path, NULL);
}

void path_remove(const char *path)
{
    unlink(path);
}

const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
