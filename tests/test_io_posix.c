/* io, on POSIX systems: descriptors, limits, links and modes, processes. */
#include "io_support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "digest.h"

/* ---- reading and writing */

static void a_file_opened_for_reading_is_neither_written_nor_locked(void **state)
{
    (void)state;
    const char *path = temp_path("readonly");
    mf_io *io = make_io(path, "0123456789");
    memfile_error e;
    io->functions->close(io);
    io = open_io(path, MF_IO_READ);
    assert_false(io->writable);
    assert_int_equal(mf_io_write(io, 0, "x", 1, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(e.system_errno, EBADF);
    assert_int_equal(io->functions->lock(io, 0, &e), MEMFILE_E_MISUSE);
    io->functions->close(io);
    size_t n;
    uint8_t *bytes = read_file(path, &n);
    assert_int_equal(n, 10);
    assert_memory_equal(bytes, "0123456789", 10);
    free(bytes);
}

/* A limit on the size of files, in a child of its own: the write ends in part, is gone
 * on with, and fails with its place and cause. */
static void the_limit_of_file_sizes_is_an_error_with_its_cause(void **state)
{
    (void)state;
    const char *path = temp_path("limit");
    mf_io *io = make_io(path, "");
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {5000, 5000};
        char data[8000];
        memfile_error e;
        memset(data, 'd', sizeof data);
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        int rc = mf_io_write(io, 0, data, sizeof data, &e);
        int good = rc == MEMFILE_E_SYSTEM && e.system_errno == EFBIG && e.offset == 5000;
        rc = io->functions->allocate(io, 5000, 100000, &e);
        good = good && (rc == MEMFILE_OK || (rc == MEMFILE_E_SYSTEM && e.system_errno == EFBIG));
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    uint64_t size;
    memfile_error e;
    assert_int_equal(io->functions->size(io, &size, &e), MEMFILE_OK);
    assert_int_equal(size, 5000);
    io->functions->close(io);
}

/* Which descriptor the handle has: the one that was free before. */
static int next_descriptor(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

static void a_descriptor_closed_behind_the_handle_is_an_error_everywhere(void **state)
{
    (void)state;
    const char *path = temp_path("closed");
    char out[4];
    size_t got = 0;
    uint64_t size, links;
    int moved;
    memfile_error e;
    mf_io *again;
    write_file(path, (const uint8_t *)"0123456789", 10);
    mf_io *io = open_io(path, MF_IO_WRITE);
    int closed = -1;
    struct stat file, st;
    assert_int_equal(stat(path, &file), 0);
    for (int fd = 3; fd < 100 && closed < 0; fd++)
        if (fstat(fd, &st) == 0 && st.st_ino == file.st_ino && st.st_dev == file.st_dev)
            closed = fd;
    assert_true(closed > 2);
    close(closed);
    assert_int_equal(mf_io_read(io, 0, out, 4, &got, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(e.system_errno, EBADF);
    assert_int_equal(mf_io_read_all(io, 0, out, 4, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(mf_io_write(io, 0, "x", 1, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(e.system_errno, EBADF);
    assert_int_equal(mf_io_sync(io, &e), MEMFILE_E_UNCERTAIN); /* nobody knows what is durable */
    assert_int_equal(e.system_errno, EBADF);
    assert_int_equal(io->functions->size(io, &size, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(io->functions->lock(io, 1000, &e), MEMFILE_E_SYSTEM); /* at once, not as BUSY */
    assert_int_equal(io->functions->look(io, &moved, &looked, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(mf_io_file_links(io, &links, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(mf_io_file_again(io, &again, &e), MEMFILE_E_SYSTEM);
    assert_null(again);
    assert_int_equal(io->counters.bytes_read, 0);
    assert_int_equal(dup2(0, closed), closed); /* for the handle to close */
    io->functions->close(io);
}

/* stdin, stdout and stderr may be closed: a message to stderr must not land in a memory. */
static void a_file_never_gets_the_descriptors_of_the_standard_streams(void **state)
{
    (void)state;
    const char *path = temp_path("standard");
    write_file(path, (const uint8_t *)"0123456789", 10);
    pid_t child = fork();
    if (child == 0) {
        mf_io *io, *made;
        memfile_error e;
        struct stat st;
        char other[300];
        snprintf(other, sizeof other, "%s.other", path);
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        if (mf_io_file_open(&mf_mem_default, path, MF_IO_WRITE, &io, &e) != MEMFILE_OK ||
            mf_io_file_open(&mf_mem_default, other, MF_IO_CREATE, &made, &e) != MEMFILE_OK)
            _exit(2);
        for (int fd = 0; fd < 3; fd++)
            if (fstat(fd, &st) == 0)
                _exit(1);
        made->functions->close(made);
        io->functions->close(io);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- opening */

static void what_is_no_regular_file_is_refused(void **state)
{
    (void)state;
    const char *folder = temp_path("folder"), *fifo = temp_path("fifo"), *loop = temp_path("loop");
    mf_io *io;
    memfile_error e;
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(symlink(loop, loop), 0);
    assert_int_equal(mf_io_file_open(&mf_mem_default, folder, MF_IO_READ, &io, &e), MEMFILE_E_NOT_MEMFILE);
    assert_null(io);
    assert_int_equal(mf_io_file_open(&mf_mem_default, folder, MF_IO_WRITE, &io, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(e.system_errno, EISDIR);
    /* a pipe does not make it wait for the other end */
    assert_int_equal(mf_io_file_open(&mf_mem_default, fifo, MF_IO_READ, &io, &e), MEMFILE_E_NOT_MEMFILE);
    assert_int_equal(mf_io_file_open(&mf_mem_default, fifo, MF_IO_WRITE, &io, &e), MEMFILE_E_NOT_MEMFILE);
    assert_int_equal(mf_io_file_open(&mf_mem_default, "/dev/null", MF_IO_WRITE, &io, &e), MEMFILE_E_NOT_MEMFILE);
    assert_int_equal(mf_io_file_open(&mf_mem_default, loop, MF_IO_READ, &io, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(e.system_errno, ELOOP);
    assert_null(io);
    rmdir(folder);
    unlink(fifo);
    unlink(loop);
}

static void names_that_lead_nowhere_are_not_found(void **state)
{
    (void)state;
    const char *file = temp_path("plain");
    char path[300];
    mf_io *io;
    memfile_error e;
    write_file(file, (const uint8_t *)"x", 1);
    for (int write = 0; write < 2; write++) {
        mf_io_access access = write ? MF_IO_WRITE : MF_IO_READ;
        assert_int_equal(mf_io_file_open(&mf_mem_default, temp_path("missing"), access, &io, &e), MEMFILE_E_NOT_FOUND);
        assert_int_equal(mf_io_file_open(&mf_mem_default, "", access, &io, &e), MEMFILE_E_NOT_FOUND);
        snprintf(path, sizeof path, "%s/below", file);
        assert_int_equal(mf_io_file_open(&mf_mem_default, path, access, &io, &e), MEMFILE_E_SYSTEM);
        assert_int_equal(e.system_errno, ENOTDIR);
        assert_null(io);
    }
    assert_int_equal(mf_io_file_open(&mf_mem_default, temp_path("missing"), MF_IO_REPLACE, &io, &e), MEMFILE_E_NOT_FOUND);
    snprintf(path, sizeof path, "%s/no/such/folder", temp_path("x"));
    assert_int_equal(mf_io_file_open(&mf_mem_default, path, MF_IO_CREATE, &io, &e), MEMFILE_E_NOT_FOUND);
    assert_int_equal(mf_io_file_open(&mf_mem_default, "", MF_IO_CREATE, &io, &e), MEMFILE_E_INVALID);
    snprintf(path, sizeof path, "%s/", temp_path("nofolder"));
    assert_int_equal(mf_io_file_open(&mf_mem_default, path, MF_IO_CREATE, &io, &e), MEMFILE_E_INVALID);
    assert_null(io);
}

/* ---- creating and replacing */

static void a_created_file_has_no_name_until_it_is_published(void **state)
{
    (void)state;
    const char *path = temp_path("created");
    memfile_error e;
    struct stat st;
    mf_io *io = open_io(path, MF_IO_CREATE);
    assert_int_equal(mf_io_write(io, 0, "abc", 3, &e), MEMFILE_OK);
    assert_int_not_equal(stat(path, &st), 0);
    assert_int_equal(mf_io_file_publish(io, NULL, &e), MEMFILE_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 3);
    assert_int_equal(st.st_mode & 07777, 0600); /* a memory is private */
    io->functions->close(io);
    assert_int_equal(names_like(path), 1); /* and nothing beside it */
    io = open_io(temp_path("given-up"), MF_IO_CREATE);
    io->functions->close(io);
    assert_int_equal(names_like(temp_path("given-up")), 0);
}

static void a_name_that_is_taken_is_not_taken_away(void **state)
{
    (void)state;
    const char *path = temp_path("taken"), *link_path = temp_path("dangling");
    mf_io *io, *late;
    memfile_error e;
    size_t n;
    late = open_io(path, MF_IO_CREATE);
    write_file(path, (const uint8_t *)"first", 5);
    assert_int_equal(mf_io_file_open(&mf_mem_default, path, MF_IO_CREATE, &io, &e), MEMFILE_E_CONFLICT);
    assert_null(io);
    assert_int_equal(mf_io_file_publish(late, NULL, &e), MEMFILE_E_CONFLICT); /* taken in between */
    late->functions->close(late);
    uint8_t *bytes = read_file(path, &n);
    assert_int_equal(n, 5);
    free(bytes);
    assert_int_equal(names_like(path), 1);
    assert_int_equal(symlink("/nowhere/at/all", link_path), 0);
    assert_int_equal(mf_io_file_open(&mf_mem_default, link_path, MF_IO_CREATE, &io, &e), MEMFILE_E_CONFLICT);
    unlink(link_path);
}

static void a_replacement_takes_name_and_mode_and_the_old_file_stays_readable(void **state)
{
    (void)state;
    const char *path = temp_path("replaced"), *alias = temp_path("alias");
    memfile_error e;
    struct stat st;
    int moved;
    char out[3];
    uint64_t links;
    mf_io *old = make_io(path, "old");
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink(path, alias), 0);
    mf_io *new = open_io(alias, MF_IO_REPLACE); /* through a link: the file, not the link */
    assert_int_equal(mf_io_write(new, 0, "new", 3, &e), MEMFILE_OK);
    assert_int_equal(old->functions->look(old, &moved, &looked, &e), MEMFILE_OK);
    assert_int_equal(moved, 0);
    assert_int_equal(mf_io_file_publish(new, old, &e), MEMFILE_OK);
    assert_int_equal(lstat(alias, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(old->functions->look(old, &moved, &looked, &e), MEMFILE_OK);
    assert_int_equal(moved, 1);
    assert_int_equal(mf_io_file_links(old, &links, &e), MEMFILE_OK);
    assert_int_equal(links, 0);
    assert_int_equal(mf_io_read_all(old, 0, out, 3, &e), MEMFILE_OK);
    assert_memory_equal(out, "old", 3);
    assert_int_equal(old->functions->reopen(old, &e), MEMFILE_OK);
    assert_int_equal(mf_io_read_all(old, 0, out, 3, &e), MEMFILE_OK);
    assert_memory_equal(out, "new", 3);
    assert_int_equal(old->functions->look(old, &moved, &looked, &e), MEMFILE_OK);
    assert_int_equal(moved, 0);
    new->functions->close(new);
    old->functions->close(old);
    assert_int_equal(names_like(path), 1);
    unlink(alias);
}

static void a_file_that_is_gone_or_no_file_any_more_leaves_the_handle_what_it_had(void **state)
{
    (void)state;
    const char *path = temp_path("gone");
    memfile_error e;
    int moved;
    char out[3];
    mf_io *io = make_io(path, "old");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(io->functions->look(io, &moved, &looked, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(e.system_errno, ENOENT);
    assert_int_equal(io->functions->reopen(io, &e), MEMFILE_E_NOT_FOUND);
    assert_int_equal(mf_io_read_all(io, 0, out, 3, &e), MEMFILE_OK);
    assert_memory_equal(out, "old", 3);
    assert_int_equal(mkfifo(path, 0700), 0);
    assert_int_equal(io->functions->look(io, &moved, &looked, &e), MEMFILE_OK);
    assert_int_equal(moved, 1);
    assert_int_equal(io->functions->reopen(io, &e), MEMFILE_E_NOT_MEMFILE);
    assert_int_equal(mf_io_read_all(io, 0, out, 3, &e), MEMFILE_OK);
    assert_memory_equal(out, "old", 3);
    unlink(path);
    io->functions->close(io);
}

/* ---- the lock */

/* Somebody sets the clock: by an hour at each look, forwards or back. */
static int set_clock_by_hours;
int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    static int hours;
    int rc = __real_clock_gettime(id, t);
    if (id == CLOCK_REALTIME && set_clock_by_hours)
        t->tv_sec += (hours += set_clock_by_hours) * 3600;
    return rc;
}

static void a_clock_that_is_set_makes_no_wait_shorter_or_longer(void **state)
{
    (void)state;
    const char *path = temp_path("clock");
    memfile_error e;
    mf_io *a = make_io(path, "x"), *b = open_io(path, MF_IO_WRITE);
    assert_int_equal(a->functions->lock(a, 0, &e), MEMFILE_OK);
    for (int hours = -1; hours <= 1; hours += 2) {
        set_clock_by_hours = hours;
        alarm(10); /* a wait of an hour ends the test */
        int64_t start = now_ms();
        assert_int_equal(b->functions->lock(b, 60, &e), MEMFILE_E_BUSY);
        assert_in_range(now_ms() - start, 55, 5000);
        alarm(0);
        set_clock_by_hours = 0;
    }
    a->functions->close(a);
    b->functions->close(b);
}

/* SPEC 16.1: the byte at 2^62, so that it is where every implementation looks. */
static void the_lock_is_on_the_byte_that_the_specification_names(void **state)
{
    (void)state;
    const char *path = temp_path("lockbyte");
    memfile_error e;
    mf_io *io = make_io(path, "x");
    int fd = open(path, O_RDWR);
    for (int locked = 0; locked < 2; locked++) {
        static const uint64_t bytes[] = {0, ((uint64_t)1 << 62) - 1, (uint64_t)1 << 62, ((uint64_t)1 << 62) + 1};
        for (size_t i = 0; i < 4; i++) {
            struct flock l = {0};
            l.l_type = F_WRLCK;
            l.l_whence = SEEK_SET;
            l.l_start = (off_t)bytes[i];
            l.l_len = 1;
            assert_int_equal(fcntl(fd, F_GETLK, &l), 0);
            assert_int_equal(l.l_type == F_UNLCK, !(locked && i == 2));
        }
        assert_int_equal(io->functions->lock(io, 0, &e), MEMFILE_OK);
    }
    close(fd);
    io->functions->close(io);
}

static void a_process_waits_for_the_lock_of_another_and_gets_it_when_that_dies(void **state)
{
    (void)state;
    const char *path = temp_path("two");
    memfile_error e;
    int ready[2], go[2];
    char c;
    mf_io *mine = make_io(path, "x");
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        mf_io *io;
        close(go[1]);
        if (mf_io_file_open(&mf_mem_default, path, MF_IO_WRITE, &io, &e) != MEMFILE_OK ||
            io->functions->lock(io, 0, &e) != MEMFILE_OK)
            _exit(1);
        if (write(ready[1], "r", 1) != 1)
            _exit(1);
        while (read(go[0], &c, 1) > 0)
            ;
        struct timespec pause = {0, 50000000};
        nanosleep(&pause, NULL);
        _exit(0); /* without unlocking */
    }
    close(go[0]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(mine->functions->lock(mine, 30, &e), MEMFILE_E_BUSY);
    close(go[1]);
    assert_int_equal(mine->functions->lock(mine, 10000, &e), MEMFILE_OK);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(ready[0]);
    mine->functions->close(mine);
}

static void what_took_the_name_meanwhile_is_not_replaced(void **state)
{
    (void)state;
    const char *path = temp_path("taken-over"), *other = temp_path("other");
    memfile_error e;
    mf_io *old, *made;
    mf_io *io = make_io(path, "old");
    io->functions->close(io);
    old = open_io(path, MF_IO_WRITE);
    made = open_io(path, MF_IO_REPLACE);
    assert_int_equal(mf_io_write(made, 0, "new", 3, &e), MEMFILE_OK);
    write_file(other, (const uint8_t *)"somebody else's", 15);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(mf_io_file_publish(made, old, &e), MEMFILE_E_CONFLICT);
    made->functions->close(made);
    old->functions->close(old);
    size_t n;
    uint8_t *bytes = read_file(path, &n);
    assert_int_equal(n, 15);
    free(bytes);
    assert_int_equal(names_like(path), 1);
}

/* Only its owner, and root, can replace a file so that its owner still can read it. */
static void a_file_of_somebody_else_is_not_taken_from_them(void **state)
{
    (void)state;
    const char *path = temp_path("theirs");
    int status = 0;
    if (geteuid() != 0)
        skip();
    mf_io *io = make_io(path, "old");
    io->functions->close(io);
    char folder[256];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    pid_t child = fork();
    if (child == 0) {
        memfile_error e;
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(9);
        mf_io *old = open_io(path, MF_IO_WRITE), *made = open_io(path, MF_IO_REPLACE);
        int rc = mf_io_file_publish(made, old, &e);
        made->functions->close(made);
        _exit(rc == MEMFILE_E_CONFLICT ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    size_t n;
    free(read_file(path, &n));
    assert_int_equal(n, 3);
}

static void a_new_file_is_its_owners_whatever_the_umask_is(void **state)
{
    (void)state;
    static const mode_t masks[] = {0, 077, 0777};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        const char *path = temp_path("masked");
        struct stat st;
        memfile_error e;
        mf_io *io;
        unlink(path);
        mode_t before = umask(masks[i]);
        int rc = mf_io_file_open(&mf_mem_default, path, MF_IO_CREATE, &io, &e);
        if (rc == MEMFILE_OK)
            rc = mf_io_file_publish(io, NULL, &e);
        umask(before);
        assert_int_equal(rc, MEMFILE_OK);
        io->functions->close(io);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
}

/* A process that is forked while the lock is held has the open file too, and with it the lock. */
static void closing_unlocks_even_if_a_child_has_the_file_open(void **state)
{
    (void)state;
    const char *path = temp_path("forked");
    memfile_error e;
    mf_io *io = make_io(path, "x");
    io->functions->close(io);
    io = open_io(path, MF_IO_WRITE);
    assert_int_equal(io->functions->lock(io, 0, &e), MEMFILE_OK);
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    io->functions->close(io);
    io = open_io(path, MF_IO_WRITE);
    int rc = io->functions->lock(io, 0, &e);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(rc, MEMFILE_OK);
    io->functions->close(io);
}

static void descriptors_are_given_back(void **state)
{
    (void)state;
    const char *path = temp_path("leak");
    mf_io *io, *again;
    memfile_error e;
    write_file(path, (const uint8_t *)"x", 1);
    int before = next_descriptor();
    for (int i = 0; i < 20; i++) {
        io = open_io(path, MF_IO_WRITE);
        assert_int_equal(mf_io_file_again(io, &again, &e), MEMFILE_OK);
        assert_int_equal(io->functions->reopen(io, &e), MEMFILE_OK);
        again->functions->close(again);
        io->functions->close(io);
        assert_int_not_equal(mf_io_file_open(&mf_mem_default, path, MF_IO_CREATE, &io, &e), MEMFILE_OK);
        assert_int_not_equal(mf_io_file_open(&mf_mem_default, "/tmp", MF_IO_READ, &io, &e), MEMFILE_OK);
        io = open_io(path, MF_IO_REPLACE);
        io->functions->close(io);
        assert_int_equal(next_descriptor(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_opened_for_reading_is_neither_written_nor_locked),
        cmocka_unit_test(the_limit_of_file_sizes_is_an_error_with_its_cause),
        cmocka_unit_test(a_descriptor_closed_behind_the_handle_is_an_error_everywhere),
        cmocka_unit_test(a_file_never_gets_the_descriptors_of_the_standard_streams),
        cmocka_unit_test(what_is_no_regular_file_is_refused),
        cmocka_unit_test(names_that_lead_nowhere_are_not_found),
        cmocka_unit_test(a_created_file_has_no_name_until_it_is_published),
        cmocka_unit_test(a_name_that_is_taken_is_not_taken_away),
        cmocka_unit_test(a_replacement_takes_name_and_mode_and_the_old_file_stays_readable),
        cmocka_unit_test(a_file_that_is_gone_or_no_file_any_more_leaves_the_handle_what_it_had),
        cmocka_unit_test(a_clock_that_is_set_makes_no_wait_shorter_or_longer),
        cmocka_unit_test(the_lock_is_on_the_byte_that_the_specification_names),
        cmocka_unit_test(a_process_waits_for_the_lock_of_another_and_gets_it_when_that_dies),
        cmocka_unit_test(what_took_the_name_meanwhile_is_not_replaced),
        cmocka_unit_test(a_file_of_somebody_else_is_not_taken_from_them),
        cmocka_unit_test(a_new_file_is_its_owners_whatever_the_umask_is),
        cmocka_unit_test(closing_unlocks_even_if_a_child_has_the_file_open),
        cmocka_unit_test(descriptors_are_given_back),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
