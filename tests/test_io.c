/* io: files and memory behind one interface, on every system; the rest is in test_io_posix.c and
 * test_io_windows.c. */
#include "io_support.h"

#include <time.h>

#include "digest.h"

/* ---- reading */

static void check_reading(mf_io *io)
{
    char out[16];
    size_t got;
    uint64_t size;
    memfile_error e;
    assert_int_equal(io->functions->size(io, &size, &e), MEMFILE_OK);
    assert_int_equal(size, 10);
    memset(out, 'x', sizeof out);
    assert_int_equal(mf_io_read(io, 0, out, 10, &got, &e), MEMFILE_OK);
    assert_int_equal(got, 10);
    assert_memory_equal(out, "0123456789xxxxxx", 16);
    assert_int_equal(mf_io_read(io, 7, out, 16, &got, &e), MEMFILE_OK); /* to the end and no further */
    assert_int_equal(got, 3);
    assert_memory_equal(out, "789", 3);
    assert_int_equal(mf_io_read(io, 10, out, 1, &got, &e), MEMFILE_OK);
    assert_int_equal(got, 0);
    assert_int_equal(mf_io_read(io, 1u << 30, out, 1, &got, &e), MEMFILE_OK);
    assert_int_equal(got, 0);
    assert_int_equal(mf_io_read(io, 3, out, 0, &got, &e), MEMFILE_OK);
    assert_int_equal(got, 0);
    assert_int_equal(mf_io_read_all(io, 2, out, 8, &e), MEMFILE_OK);
    assert_int_equal(mf_io_read_all(io, 4, out, 9, &e), MEMFILE_E_TRUNCATED);
    assert_int_equal(e.offset, 10); /* where bytes are missing */
    assert_int_equal(mf_io_read_all(io, 100, out, 1, &e), MEMFILE_E_TRUNCATED);
    assert_int_equal(e.offset, 100);
    int moved = 7;
    assert_int_equal(io->functions->look(io, &moved, &looked, &e), MEMFILE_OK);
    assert_int_equal(moved, 0);
}

static void a_file_is_read_to_its_end_and_no_further(void **state)
{
    (void)state;
    const char *path = temp_path("read");
    mf_io *io = make_io(path, "0123456789");
    io->functions->close(io);
    io = open_io(path, MF_IO_READ);
    check_reading(io);
    io->functions->close(io);
}

static void memory_is_read_to_its_end_and_no_further(void **state)
{
    (void)state;
    mf_io *io;
    memfile_error e;
    uint8_t *bytes = (uint8_t *)malloc(10);
    memcpy(bytes, "0123456789", 10);
    assert_int_equal(mf_io_memory_open(&mf_mem_default, bytes, 10, &io, &e), MEMFILE_OK);
    check_reading(io);
    io->functions->close(io);
    free(bytes);
}

static void memory_is_for_reading_only(void **state)
{
    (void)state;
    mf_io *io;
    memfile_error e;
    char bytes[] = "0123456789";
    assert_int_equal(mf_io_memory_open(&mf_mem_default, bytes, 10, &io, &e), MEMFILE_OK);
    assert_false(io->writable);
    assert_int_equal(mf_io_write(io, 0, "x", 1, &e), MEMFILE_E_MISUSE);
    assert_int_equal(mf_io_sync(io, &e), MEMFILE_E_MISUSE);
    assert_int_equal(io->functions->lock(io, 0, &e), MEMFILE_E_MISUSE);
    assert_int_equal(io->functions->allocate(io, 0, 1, &e), MEMFILE_E_MISUSE);
    assert_int_equal(io->functions->reopen(io, &e), MEMFILE_E_MISUSE);
    io->functions->write_behind(io, 0, 1);
    io->functions->unlock(io);
    assert_string_equal(bytes, "0123456789");
    io->functions->close(io);
}

static void calls_and_bytes_are_counted(void **state)
{
    (void)state;
    const char *path = temp_path("count");
    mf_io *io = make_io(path, "0123456789");
    char out[16];
    size_t got;
    memfile_error e;
    assert_int_equal(mf_io_read(io, 4, out, 16, &got, &e), 0);
    assert_int_equal(mf_io_read_all(io, 0, out, 10, &e), 0);
    assert_int_equal(mf_io_write(io, 10, "abc", 3, &e), 0);
    assert_int_equal(mf_io_sync(io, &e), 0);
    assert_int_equal(io->counters.reads, 2);
    assert_int_equal(io->counters.bytes_read, 16);
    assert_int_equal(io->counters.writes, 1);
    assert_int_equal(io->counters.bytes_written, 3);
    assert_int_equal(io->counters.syncs, 1);
    io->functions->close(io);
}

/* ---- writing */

static void what_was_written_is_read_by_others(void **state)
{
    (void)state;
    const char *path = temp_path("write");
    mf_io *io = make_io(path, "0123456789"), *other = open_io(path, MF_IO_READ);
    memfile_error e;
    char out[20];
    assert_int_equal(mf_io_write(io, 8, "ABCD", 4, &e), MEMFILE_OK);
    assert_int_equal(mf_io_write(io, 3, "", 0, &e), MEMFILE_OK);
    assert_int_equal(mf_io_read_all(other, 0, out, 12, &e), MEMFILE_OK);
    assert_memory_equal(out, "01234567ABCD", 12);
    assert_int_equal(mf_io_write(io, 15, "z", 1, &e), MEMFILE_OK); /* a gap is zero */
    assert_int_equal(mf_io_read_all(other, 12, out, 4, &e), MEMFILE_OK);
    assert_memory_equal(out, "\0\0\0z", 4);
    other->functions->close(other);
    io->functions->close(io);
}

static void space_that_is_asked_for_changes_no_length(void **state)
{
    (void)state;
    const char *path = temp_path("space");
    mf_io *io = make_io(path, "0123456789");
    memfile_error e;
    uint64_t size;
    assert_int_equal(io->functions->allocate(io, 10, 100000, &e), MEMFILE_OK);
    io->functions->write_behind(io, 0, 10);
    assert_int_equal(io->functions->size(io, &size, &e), MEMFILE_OK);
    assert_int_equal(size, 10);
    io->functions->close(io);
}

/* ---- opening */

static void a_relative_name_is_resolved_once(void **state)
{
    (void)state;
    const char *path = temp_path("relative");
    char before[4096];
    int moved;
    memfile_error e;
    write_file(path, (const uint8_t *)"x", 1);
    assert_non_null(getcwd(before, sizeof before));
    char folder[300];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    assert_int_equal(chdir(folder), 0);
    mf_io *io = open_io("relative", MF_IO_READ);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(io->functions->look(io, &moved, &looked, &e), MEMFILE_OK);
    assert_int_equal(moved, 0);
    assert_int_equal(io->functions->reopen(io, &e), MEMFILE_OK);
    io->functions->close(io);
    assert_int_equal(chdir(before), 0);
}

/* ---- creating and replacing */

static void names_of_a_file_are_counted(void **state)
{
    (void)state;
    const char *path = temp_path("names"), *second = temp_path("other-name");
    memfile_error e;
    uint64_t links;
    mf_io *io = make_io(path, "x");
    assert_int_equal(mf_io_file_links(io, &links, &e), MEMFILE_OK);
    assert_int_equal(links, 1);
    assert_int_equal(link(path, second), 0);
    assert_int_equal(mf_io_file_links(io, &links, &e), MEMFILE_OK);
    assert_int_equal(links, 2);
    io->functions->close(io);
    unlink(second);
}

static void a_second_handle_reads_the_same_file_also_without_a_name(void **state)
{
    (void)state;
    const char *path = temp_path("again");
    memfile_error e;
    mf_io *again;
    char out[3];
    mf_io *io = open_io(path, MF_IO_CREATE);
    assert_int_equal(mf_io_write(io, 0, "abc", 3, &e), MEMFILE_OK);
    assert_int_equal(mf_io_file_again(io, &again, &e), MEMFILE_OK);
    assert_int_equal(again->counters.writes, 0);
    io->functions->close(io);
    assert_int_equal(mf_io_read_all(again, 0, out, 3, &e), MEMFILE_OK);
    assert_memory_equal(out, "abc", 3);
    again->functions->close(again);
}

/* ---- the lock */

static void one_handle_holds_the_lock_at_a_time(void **state)
{
    (void)state;
    const char *path = temp_path("lock");
    memfile_error e;
    mf_io *a = make_io(path, "x"), *b = open_io(path, MF_IO_WRITE), *reader = open_io(path, MF_IO_READ);
    assert_int_equal(a->functions->lock(a, 0, &e), MEMFILE_OK);
    int64_t start = now_ms();
    assert_int_equal(b->functions->lock(b, 0, &e), MEMFILE_E_BUSY);
    assert_true(now_ms() - start < 500);
    start = now_ms();
    assert_int_equal(b->functions->lock(b, 60, &e), MEMFILE_E_BUSY);
    assert_true(now_ms() - start >= 55);
    /* closing another descriptor of the file must not lose the lock, as it does with older kinds */
    reader->functions->close(reader);
    assert_int_equal(b->functions->lock(b, 0, &e), MEMFILE_E_BUSY);
    a->functions->unlock(a);
    assert_int_equal(b->functions->lock(b, 0, &e), MEMFILE_OK);
    a->functions->unlock(a); /* what it does not hold it does not give away */
    assert_int_equal(a->functions->lock(a, 0, &e), MEMFILE_E_BUSY);
    b->functions->close(b); /* closing gives it back */
    assert_int_equal(a->functions->lock(a, 0, &e), MEMFILE_OK);
    assert_int_equal(a->functions->lock(a, 0, &e), MEMFILE_OK); /* it is its own */
    a->functions->close(a);
}

static void the_clock_is_the_systems(void **state)
{
    (void)state;
    int64_t before = (int64_t)time(NULL), now = mf_system_now_us();
    assert_true(now / 1000000 >= before && now / 1000000 <= (int64_t)time(NULL) + 1); /* time() may lag by a tick */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_to_its_end_and_no_further),
        cmocka_unit_test(memory_is_read_to_its_end_and_no_further),
        cmocka_unit_test(memory_is_for_reading_only),
        cmocka_unit_test(calls_and_bytes_are_counted),
        cmocka_unit_test(what_was_written_is_read_by_others),
        cmocka_unit_test(space_that_is_asked_for_changes_no_length),
        cmocka_unit_test(a_relative_name_is_resolved_once),
        cmocka_unit_test(names_of_a_file_are_counted),
        cmocka_unit_test(a_second_handle_reads_the_same_file_also_without_a_name),
        cmocka_unit_test(one_handle_holds_the_lock_at_a_time),
        cmocka_unit_test(the_clock_is_the_systems),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
