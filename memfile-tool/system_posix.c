/* system_posix: what the tool asks of a POSIX system. */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
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

bool input_is_open_to_others(int input)
{
    struct stat st;
    return fstat(input, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077);
}

static bool write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, text, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        length -= (size_t)n;
    }
    return true;
}

/* What has no name after a loss of power is lost too. */
static bool sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool synced = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL); /* some file systems cannot */
    if (fd >= 0)
        close(fd);
    free(folder);
    return synced;
}

int file_write_new(const char *path, const char *text, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    /* 0600 whatever the umask is */
    bool written = fd >= 0 && fchmod(fd, 0600) == 0 && write_all(fd, text, length) && fsync(fd) == 0 && sync_folder_of(path);
    int error = errno;
    if (fd >= 0 && close(fd) != 0 && written) {
        error = errno;
        written = false;
    }
    if (fd >= 0 && !written)
        unlink(path);
    return written ? 0 : error;
}

void system_no_dumps(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
}

static struct termios before; /* as the terminal is to be left */
static int terminal = -1;

static void restore(int number)
{
    tcsetattr(terminal, TCSAFLUSH, &before);
    signal(number, SIG_DFL);
    raise(number);
}

static const int ends[] = {SIGINT, SIGTERM, SIGQUIT, SIGHUP};
#define ENDS (sizeof ends / sizeof *ends)

/* A signal that ends the process leaves the terminal as it was. */
static ssize_t ask(const char *prompt, const char *about, char *out, size_t size)
{
    struct termios quiet = before;
    struct sigaction action = {.sa_handler = restore}, old[ENDS];
    sigset_t stop, mask;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP); /* no shell gets it without echo */
    sigprocmask(SIG_BLOCK, &stop, &mask);
    for (size_t i = 0; i < ENDS; i++)
        sigaction(ends[i], &action, &old[i]);
    tcsetattr(terminal, TCSAFLUSH, &quiet);
    dprintf(terminal, "%s", prompt);
    if (about) {
        char name[256], last = '\0';
        snprintf(name, sizeof name, "%s", about);
        tame(name, strlen(name), false, &last);
        dprintf(terminal, " '%s'", name);
    }
    dprintf(terminal, ": ");
    ssize_t n = read(terminal, out, size);
    int error = errno;
    dprintf(terminal, "\n");
    tcsetattr(terminal, TCSAFLUSH, &before);
    for (size_t i = 0; i < ENDS; i++)
        sigaction(ends[i], &old[i], NULL);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    errno = error;
    return n;
}

ptrdiff_t terminal_ask(const char *prompt, const char *about, char *out, size_t size)
{
    terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    ptrdiff_t n = terminal >= 0 && tcgetattr(terminal, &before) == 0 ? ask(prompt, about, out, size) : -2;
    int error = errno;
    if (terminal >= 0)
        close(terminal);
    terminal = -1;
    errno = error;
    return n;
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
