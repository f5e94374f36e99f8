/* sandbox: what a reading verb can no longer do once it begins. Each attempt runs in a
 * process of its own. Where the kernel has no Landlock, or no seccomp, that part is skipped,
 * with a message. */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tool.h"

typedef int attempt(const char *file, const char *other); /* 0: it could be done; else errno */

static int read_file_itself(const char *file, const char *other)
{
    (void)other;
    char byte;
    int fd = open(file, O_RDONLY);
    return fd >= 0 && read(fd, &byte, 1) == 1 ? 0 : errno;
}

static void *nothing(void *argument)
{
    return argument;
}

static int start_thread(const char *file, const char *other)
{
    (void)file, (void)other;
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL);
}

static int read_another_file(const char *file, const char *other)
{
    (void)file;
    return open(other, O_RDONLY) >= 0 ? 0 : errno;
}

static int list_the_folder(const char *file, const char *other)
{
    (void)file, (void)other;
    return open("/tmp", O_RDONLY | O_DIRECTORY) >= 0 ? 0 : errno;
}

static int open_for_writing(const char *file, const char *other)
{
    (void)other;
    return open(file, O_RDWR) >= 0 ? 0 : errno;
}

static int create_a_file(const char *file, const char *other)
{
    char path[300];
    (void)file;
    snprintf(path, sizeof path, "%s.new", other);
    return open(path, O_WRONLY | O_CREAT, 0600) >= 0 ? 0 : errno;
}

static int cut_a_file(const char *file, const char *other)
{
    (void)other;
    return truncate(file, 0) == 0 ? 0 : errno;
}

static int remove_a_file(const char *file, const char *other)
{
    (void)other;
    return unlink(file) == 0 ? 0 : errno;
}

static int rename_a_file(const char *file, const char *other)
{
    return rename(other, file) == 0 ? 0 : errno;
}

static int change_a_mode(const char *file, const char *other)
{
    (void)other;
    return chmod(file, 0777) == 0 ? 0 : errno;
}

static int open_a_socket(const char *file, const char *other)
{
    (void)file, (void)other;
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 0 : errno;
}

static int run_a_program(const char *file, const char *other)
{
    (void)file, (void)other;
    execl("/bin/true", "true", (char *)NULL);
    return errno;
}

static int signal_a_process(const char *file, const char *other)
{
    (void)file, (void)other;
    return kill(getppid(), 0) == 0 ? 0 : errno;
}

static int child_of(attempt *what, const char *file, const char *other, bool sandboxed, unsigned *had)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        unsigned got = sandboxed ? sandbox_for_reading(file) : 0;
        int rc = what(file, other);
        _exit((rc ? 1 : 0) | (int)got << 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    *had = (unsigned)WEXITSTATUS(status) >> 1;
    return WEXITSTATUS(status) & 1;
}

static void prepare(const char **file, const char **other)
{
    *file = temp_path("file");
    *other = temp_path("other");
    write_file(*file, (const uint8_t *)"content", 7);
    write_file(*other, (const uint8_t *)"another", 7);
}

static void what_reading_needs_goes_on(void **state)
{
    (void)state;
    attempt *const needed[] = {read_file_itself, start_thread};
    const char *file, *other;
    unsigned had;
    for (size_t i = 0; i < 2; i++) {
        prepare(&file, &other);
        assert_int_equal(child_of(needed[i], file, other, true, &had), 0);
    }
}

static void what_reading_does_not_need_is_refused(void **state)
{
    (void)state;
    static const struct {
        attempt *what;
        unsigned needs; /* any of these walls stops it */
        const char *name;
    } cases[] = {
        {read_another_file, SANDBOX_FILES, "read another file"},
        {list_the_folder, SANDBOX_FILES, "list a folder"},
        {open_for_writing, SANDBOX_FILES | SANDBOX_CALLS, "open for writing"},
        {create_a_file, SANDBOX_FILES | SANDBOX_CALLS, "create a file"},
        {remove_a_file, SANDBOX_FILES | SANDBOX_CALLS, "remove a file"},
        {rename_a_file, SANDBOX_FILES | SANDBOX_CALLS, "rename a file"},
        {cut_a_file, SANDBOX_CALLS, "cut a file"},
        {change_a_mode, SANDBOX_CALLS, "change a mode"},
        {open_a_socket, SANDBOX_CALLS, "open a socket"},
        {run_a_program, SANDBOX_FILES | SANDBOX_CALLS, "run a program"},
        {signal_a_process, SANDBOX_CALLS, "signal a process"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *file, *other;
        unsigned had;
        prepare(&file, &other);
        /* without the walls it can be done: the attempt is a real one */
        if (cases[i].what != run_a_program)
            assert_int_equal(child_of(cases[i].what, file, other, false, &had), 0);
        prepare(&file, &other);
        int refused = child_of(cases[i].what, file, other, true, &had);
        if (cases[i].what == run_a_program && !(had & cases[i].needs))
            continue; /* /bin/true left nothing to see */
        if (had & cases[i].needs)
            assert_int_equal(refused, 1);
        else
            print_message("skipped: %s (this kernel has no %s)\n", cases[i].name,
                          cases[i].needs == SANDBOX_FILES ? "Landlock" : "seccomp filters");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_reading_needs_goes_on),
        cmocka_unit_test(what_reading_does_not_need_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
