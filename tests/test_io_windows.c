/* io, on Windows: names, sharing, rights, processes; run under wine by scripts/test-mingw.sh. */
#include "io_support.h"

#include <errno.h>
#include <wchar.h>

#include "digest.h"
#include "format.h"

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
    assert_int_equal(e.system_errno, EACCES);
    assert_non_null(strstr(e.message, "(Windows error 5)"));
    assert_int_equal(io->functions->lock(io, 0, &e), MEMFILE_E_MISUSE);
    io->functions->close(io);
    size_t n;
    uint8_t *bytes = read_file(path, &n);
    assert_int_equal(n, 10);
    assert_memory_equal(bytes, "0123456789", 10);
    free(bytes);
}

static void bytes_behind_four_gib_have_their_place(void **state)
{
    (void)state;
    const char *path = temp_path("far");
    const uint64_t beyond = ((uint64_t)5 << 30) + 3;
    uint64_t size;
    memfile_error e;
    char out[6];
    mf_io *io = make_io(path, "near");
    if (mf_io_write(io, beyond, "far", 3, &e) != MEMFILE_OK) { /* a file system without holes */
        assert_int_equal(e.system_errno, ENOSPC);
        io->functions->close(io);
        skip();
    }
    assert_int_equal(io->functions->size(io, &size, &e), MEMFILE_OK);
    assert_int_equal(size, beyond + 3);
    assert_int_equal(mf_io_read_all(io, beyond, out, 3, &e), MEMFILE_OK);
    assert_memory_equal(out, "far", 3);
    assert_int_equal(mf_io_read_all(io, 0, out, 6, &e), MEMFILE_OK);
    assert_memory_equal(out, "near\0\0", 6);
    io->functions->close(io);
    unlink(path);
}

static void more_space_than_the_disk_has_is_refused_before_anything_is_written(void **state)
{
    (void)state;
    mf_io *io = make_io(temp_path("full"), "x");
    memfile_error e;
    assert_int_equal(io->functions->allocate(io, 1, (uint64_t)1 << 60, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(e.system_errno, ENOSPC);
    assert_int_equal(e.offset, 1);
    io->functions->close(io);
}

/* ---- opening */

static void what_is_no_regular_file_is_refused(void **state)
{
    (void)state;
    const char *folder = temp_path("folder");
    mf_io *io;
    memfile_error e;
    assert_int_equal(_mkdir(folder), 0);
    for (int write = 0; write < 2; write++) {
        mf_io_access access = write ? MF_IO_WRITE : MF_IO_READ;
        assert_int_equal(mf_io_file_open(&mf_mem_default, folder, access, &io, &e), MEMFILE_E_NOT_MEMFILE);
        assert_null(io);
        assert_int_equal(mf_io_file_open(&mf_mem_default, "NUL", access, &io, &e), MEMFILE_E_NOT_MEMFILE);
        assert_null(io);
    }
    _rmdir(folder);
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
        assert_int_equal(mf_io_file_open(&mf_mem_default, path, access, &io, &e), MEMFILE_E_NOT_FOUND);
        assert_null(io);
    }
    assert_int_equal(mf_io_file_open(&mf_mem_default, temp_path("missing"), MF_IO_REPLACE, &io, &e), MEMFILE_E_NOT_FOUND);
    snprintf(path, sizeof path, "%s/no/such/folder", temp_path("x"));
    assert_int_equal(mf_io_file_open(&mf_mem_default, path, MF_IO_CREATE, &io, &e), MEMFILE_E_NOT_FOUND);
    assert_null(io);
}

/* Devices, streams within files, signs that no name has. */
static void names_that_no_file_may_have_are_invalid(void **state)
{
    (void)state;
    static const char *const names[] = {"stream:within", "star*", "why?", "pipe|", "quote\""};
    mf_io *io;
    memfile_error e;
    char path[300];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(mf_io_file_open(&mf_mem_default, temp_path(names[i]), MF_IO_CREATE, &io, &e), MEMFILE_E_INVALID);
    snprintf(path, sizeof path, "%s/", temp_path("nofolder"));
    assert_int_equal(mf_io_file_open(&mf_mem_default, path, MF_IO_CREATE, &io, &e), MEMFILE_E_INVALID);
    assert_int_equal(mf_io_file_open(&mf_mem_default, "", MF_IO_CREATE, &io, &e), MEMFILE_E_INVALID);
    assert_int_equal(mf_io_file_open(&mf_mem_default, "NUL", MF_IO_CREATE, &io, &e), MEMFILE_E_INVALID);
    assert_int_equal(mf_io_file_open(&mf_mem_default, "not UTF-8: \xff", MF_IO_CREATE, &io, &e), MEMFILE_E_INVALID);
    assert_int_equal(mf_io_file_open(&mf_mem_default, "not UTF-8: \xff", MF_IO_READ, &io, NULL), MEMFILE_E_INVALID);
    assert_null(io);
}

static void names_are_utf_8(void **state)
{
    (void)state;
    char path[2000];
    wchar_t wide[2000];
    memfile_error e;
    int moved;
    snprintf(path, sizeof path, "%s", temp_path("Ged\xc3\xa4" "chtnis \xe8\x8c\xb6 \xf0\x9f\x98\x80"));
    mf_io *io = open_io(path, MF_IO_CREATE);
    assert_int_equal(mf_io_file_publish(io, NULL, &e), MEMFILE_OK);
    assert_int_equal(io->functions->look(io, &moved, &looked, &e), MEMFILE_OK);
    assert_int_equal(moved, 0);
    io->functions->close(io);
    MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 2000);
    assert_true(GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES);
    io = open_io(path, MF_IO_WRITE);
    io->functions->close(io);
    assert_true(DeleteFileW(wide));
    assert_int_equal(mf_io_file_open(&mf_mem_default, path, MF_IO_READ, &io, &e), MEMFILE_E_NOT_FOUND);
    assert_non_null(strstr(e.message, "\xe8\x8c\xb6"));
}

/* ---- creating and replacing */

static void a_created_file_has_no_name_until_it_is_published(void **state)
{
    (void)state;
    const char *path = temp_path("created");
    memfile_error e;
    size_t n;
    mf_io *io = open_io(path, MF_IO_CREATE);
    assert_int_equal(mf_io_write(io, 0, "abc", 3, &e), MEMFILE_OK);
    assert_int_equal(GetFileAttributesA(path), INVALID_FILE_ATTRIBUTES);
    assert_int_equal(mf_io_file_publish(io, NULL, &e), MEMFILE_OK);
    free(read_file(path, &n));
    assert_int_equal(n, 3);
    io->functions->close(io);
    assert_int_equal(names_like(path), 1); /* and nothing beside it */
    io = open_io(temp_path("given-up"), MF_IO_CREATE);
    assert_int_equal(names_like(temp_path("given-up")), 1);
    io->functions->close(io);
    assert_int_equal(names_like(temp_path("given-up")), 0);
}

static void a_name_that_is_taken_is_not_taken_away(void **state)
{
    (void)state;
    const char *path = temp_path("taken");
    mf_io *io, *late;
    memfile_error e;
    size_t n;
    late = open_io(path, MF_IO_CREATE);
    write_file(path, (const uint8_t *)"first", 5);
    assert_int_equal(mf_io_file_open(&mf_mem_default, path, MF_IO_CREATE, &io, &e), MEMFILE_E_CONFLICT);
    assert_null(io);
    assert_int_equal(mf_io_file_publish(late, NULL, &e), MEMFILE_E_CONFLICT); /* taken in between */
    late->functions->close(late);
    free(read_file(path, &n));
    assert_int_equal(n, 5);
    assert_int_equal(names_like(path), 1);
}

/* Under wine with the help of wine_rename.c. */
static void a_replacement_takes_the_name_and_the_old_file_stays_readable(void **state)
{
    (void)state;
    const char *path = temp_path("replaced");
    memfile_error e;
    int moved;
    char out[3];
    mf_io *old = make_io(path, "old"), *reader = open_io(path, MF_IO_READ);
    assert_int_equal(old->functions->lock(old, 0, &e), MEMFILE_OK);
    mf_io *new = open_io(path, MF_IO_REPLACE);
    assert_int_equal(mf_io_write(new, 0, "new", 3, &e), MEMFILE_OK);
    assert_int_equal(old->functions->look(old, &moved, &looked, &e), MEMFILE_OK);
    assert_int_equal(moved, 0);
    if (mf_io_file_publish(new, old, &e) != MEMFILE_OK)
        fail_msg("%s", e.message);
    assert_int_equal(old->functions->look(old, &moved, &looked, &e), MEMFILE_OK);
    assert_int_equal(moved, 1);
    assert_int_equal(mf_io_read_all(old, 0, out, 3, &e), MEMFILE_OK);
    assert_memory_equal(out, "old", 3);
    assert_int_equal(reader->functions->look(reader, &moved, &looked, &e), MEMFILE_OK);
    assert_int_equal(moved, 1);
    assert_int_equal(reader->functions->reopen(reader, &e), MEMFILE_OK);
    assert_int_equal(mf_io_read_all(reader, 0, out, 3, &e), MEMFILE_OK);
    assert_memory_equal(out, "new", 3);
    reader->functions->settle(reader, 0); /* back again */
    assert_int_equal(mf_io_read_all(reader, 0, out, 3, &e), MEMFILE_OK);
    assert_memory_equal(out, "old", 3);
    reader->functions->close(reader);
    new->functions->close(new);
    old->functions->close(old);
    assert_int_equal(names_like(path), 1);
}

static void a_file_that_is_gone_leaves_the_handle_what_it_had(void **state)
{
    (void)state;
    const char *path = temp_path("gone");
    memfile_error e;
    int moved;
    char out[3];
    mf_io *io = make_io(path, "old");
    assert_true(MoveFileExA(path, temp_path("elsewhere"), 0)); /* while it is open */
    assert_int_equal(io->functions->look(io, &moved, &looked, &e), MEMFILE_E_SYSTEM);
    assert_int_equal(e.system_errno, ENOENT);
    assert_int_equal(io->functions->reopen(io, &e), MEMFILE_E_NOT_FOUND);
    assert_int_equal(mf_io_read_all(io, 0, out, 3, &e), MEMFILE_OK);
    assert_memory_equal(out, "old", 3);
    assert_int_equal(_mkdir(path), 0);
    assert_int_equal(io->functions->look(io, &moved, &looked, &e), MEMFILE_OK);
    assert_int_equal(moved, 1);
    assert_int_equal(io->functions->reopen(io, &e), MEMFILE_E_NOT_MEMFILE);
    assert_int_equal(mf_io_read_all(io, 0, out, 3, &e), MEMFILE_OK);
    assert_memory_equal(out, "old", 3);
    _rmdir(path);
    io->functions->close(io);
}

/* ---- the lock */

/* SPEC 16.1: the byte at 2^62, so that it is where every implementation looks. */
static void the_lock_is_on_the_byte_that_the_specification_names(void **state)
{
    (void)state;
    static const uint64_t bytes[] = {0, ((uint64_t)1 << 62) - 1, (uint64_t)1 << 62, ((uint64_t)1 << 62) + 1};
    const char *path = temp_path("lockbyte");
    memfile_error e;
    mf_io *io = make_io(path, "x");
    HANDLE other = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 7, NULL, OPEN_EXISTING, 0, NULL);
    assert_true(other != INVALID_HANDLE_VALUE);
    for (int locked = 0; locked < 2; locked++) {
        for (size_t i = 0; i < 4; i++) {
            DWORD low = (DWORD)bytes[i], high = (DWORD)(bytes[i] >> 32);
            BOOL had = LockFile(other, low, high, 1, 0);
            assert_int_equal(!had, locked && i == 2);
            if (had)
                UnlockFile(other, low, high, 1, 0);
        }
        assert_int_equal(io->functions->lock(io, 0, &e), MEMFILE_OK);
    }
    CloseHandle(other);
    io->functions->close(io);
}

static const char *program;

/* The child: holds the lock until it is ended. */
static int hold(const char *path)
{
    mf_io *io;
    memfile_error e;
    char sign[300];
    if (mf_io_file_open(&mf_mem_default, path, MF_IO_WRITE, &io, &e) != MEMFILE_OK ||
        io->functions->lock(io, 0, &e) != MEMFILE_OK)
        return 1;
    snprintf(sign, sizeof sign, "%s.held", path);
    write_file(sign, (const uint8_t *)"", 0);
    Sleep(60000);
    return 1;
}

static void a_process_waits_for_the_lock_of_another_and_gets_it_when_that_is_killed(void **state)
{
    (void)state;
    const char *path = temp_path("two"), *sign = temp_path("two.held");
    char command[700];
    memfile_error e;
    STARTUPINFOA start = {.cb = sizeof start};
    PROCESS_INFORMATION child;
    mf_io *mine = make_io(path, "x");
    snprintf(command, sizeof command, "\"%s\" hold \"%s\"", program, path);
    assert_true(CreateProcessA(NULL, command, NULL, NULL, FALSE, 0, NULL, NULL, &start, &child));
    for (int i = 0; i < 1000 && GetFileAttributesA(sign) == INVALID_FILE_ATTRIBUTES; i++)
        Sleep(10);
    assert_int_equal(mine->functions->lock(mine, 30, &e), MEMFILE_E_BUSY);
    assert_true(TerminateProcess(child.hProcess, 9));
    assert_int_equal(mine->functions->lock(mine, 10000, &e), MEMFILE_OK);
    CloseHandle(child.hProcess);
    CloseHandle(child.hThread);
    mine->functions->close(mine);
}

static DWORD handles(void)
{
    DWORD count = 0;
    GetProcessHandleCount(GetCurrentProcess(), &count);
    return count;
}

static void handles_are_given_back(void **state)
{
    (void)state;
    const char *path = temp_path("leak");
    mf_io *io, *again;
    memfile_error e;
    write_file(path, (const uint8_t *)"x", 1);
    DWORD before = 0;
    for (int i = 0; i < 20; i++) {
        io = open_io(path, MF_IO_WRITE);
        assert_int_equal(mf_io_file_again(io, &again, &e), MEMFILE_OK);
        assert_int_equal(io->functions->reopen(io, &e), MEMFILE_OK);
        again->functions->close(again);
        io->functions->close(io);
        assert_int_not_equal(mf_io_file_open(&mf_mem_default, path, MF_IO_CREATE, &io, &e), MEMFILE_OK);
        assert_int_not_equal(mf_io_file_open(&mf_mem_default, "NUL", MF_IO_READ, &io, &e), MEMFILE_OK);
        io = open_io(path, MF_IO_REPLACE);
        io->functions->close(io);
        if (i == 0) /* the first use of a call may keep one */
            before = handles();
        assert_int_equal(handles(), before);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_opened_for_reading_is_neither_written_nor_locked),
        cmocka_unit_test(bytes_behind_four_gib_have_their_place),
        cmocka_unit_test(more_space_than_the_disk_has_is_refused_before_anything_is_written),
        cmocka_unit_test(what_is_no_regular_file_is_refused),
        cmocka_unit_test(names_that_lead_nowhere_are_not_found),
        cmocka_unit_test(names_that_no_file_may_have_are_invalid),
        cmocka_unit_test(names_are_utf_8),
        cmocka_unit_test(a_created_file_has_no_name_until_it_is_published),
        cmocka_unit_test(a_name_that_is_taken_is_not_taken_away),
        cmocka_unit_test(a_replacement_takes_the_name_and_the_old_file_stays_readable),
        cmocka_unit_test(a_file_that_is_gone_leaves_the_handle_what_it_had),
        cmocka_unit_test(the_lock_is_on_the_byte_that_the_specification_names),
        cmocka_unit_test(a_process_waits_for_the_lock_of_another_and_gets_it_when_that_is_killed),
        cmocka_unit_test(handles_are_given_back),
    };
    program = argv[0];
    if (!mf_digest_start())
        return 1;
    if (argc == 3 && strcmp(argv[1], "hold") == 0)
        return hold(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
