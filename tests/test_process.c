/* process: several processes at one file, and processes that are killed. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static pid_t in_child(void (*work)(const char *path, int number, int pipe), const char *path, int number, int pipe)
{
    pid_t pid = fork();
    if (pid == 0) {
        work(path, number, pipe);
        _exit(0);
    }
    return pid;
}

static void put_some(const char *path, int number, int count)
{
    memfile *mf;
    memfile_error e;
    memfile_options o = MEMFILE_OPTIONS_INIT;
    o.lock_timeout_ms = 60000;
    if (memfile_open(path, MEMFILE_WRITE, &o, &mf, &e) != MEMFILE_OK)
        _exit(1);
    for (int i = 0; i < count; i++) {
        memfile_draft *d;
        char id[32];
        snprintf(id, sizeof id, "%d-%d", number, i);
        if (memfile_draft_new(&d) != MEMFILE_OK || memfile_draft_set(d, MEMFILE_ID, id, strlen(id)) != MEMFILE_OK ||
            memfile_draft_set(d, MEMFILE_TEXT, id, strlen(id)) != MEMFILE_OK || memfile_put(mf, d, NULL) != MEMFILE_OK ||
            memfile_commit(mf, NULL) != MEMFILE_OK)
            _exit(2);
        memfile_draft_free(d);
    }
    memfile_close(mf);
}

static void put_hundred(const char *path, int number, int pipe)
{
    (void)pipe;
    put_some(path, number, 100);
}
static void put_one(const char *path, int number, int pipe)
{
    (void)pipe;
    put_some(path, number, 1);
}

static void wait_all(pid_t *pids, int count)
{
    for (int i = 0; i < count; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void check_all(const char *path, int writers, int each)
{
    memfile_verify_result r;
    assert_int_equal(verify_path(path, &r), MEMFILE_OK);
    assert_int_equal(r.entries, writers * each);
    memfile *mf = open_file(path, MEMFILE_READ);
    for (int w = 0; w < writers; w++)
        for (int i = 0; i < each; i++) {
            char id[32];
            snprintf(id, sizeof id, "%d-%d", w, i);
            assert_text(mf, id, id);
        }
    memfile_close(mf);
}

static void writers_of_two_processes_lose_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("two");
    pid_t pids[2];
    memfile_close(create_file(path));
    for (int i = 0; i < 2; i++)
        pids[i] = in_child(put_hundred, path, i, -1);
    wait_all(pids, 2);
    check_all(path, 2, 100);
}

static void forty_puts_at_once_are_forty_entries(void **state)
{
    (void)state;
    const char *path = temp_path("forty");
    pid_t pids[40];
    memfile_close(create_file(path));
    for (int i = 0; i < 40; i++)
        pids[i] = in_child(put_one, path, i, -1);
    wait_all(pids, 40);
    check_all(path, 40, 1);
}

static void compacting_beside_writers_loses_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("beside");
    pid_t pids[2];
    memfile_close(create_file(path));
    for (int i = 0; i < 2; i++)
        pids[i] = in_child(put_hundred, path, i, -1);
    for (int i = 0; i < 5; i++) {
        memfile_error e;
        memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
        o.lock_timeout_ms = 60000;
        int rc = memfile_compact(path, &o, NULL, &e);
        if (rc != MEMFILE_OK)
            fail_msg("compact: %s", e.message);
    }
    wait_all(pids, 2);
    check_all(path, 2, 100);
}

static void readers_beside_a_writer_see_whole_commits(void **state)
{
    (void)state;
    const char *path = temp_path("readers");
    memfile_close(create_file(path));
    pid_t pid = in_child(put_hundred, path, 0, -1);
    uint64_t last = 0;
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        memfile *mf = open_file(path, MEMFILE_READ);
        memfile_info info;
        memfile_get_info(mf, &info, sizeof info);
        assert_true(info.entries >= last);
        last = info.entries;
        for (uint64_t i = 0; i < last; i++) {
            char id[32];
            snprintf(id, sizeof id, "0-%d", (int)i);
            assert_text(mf, id, id);
        }
        memfile_close(mf);
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Commits for ever, telling the pipe each number after it was acknowledged. */
static void commit_until_killed(const char *path, int number, int pipe)
{
    memfile *mf;
    memfile_error e;
    if (memfile_open(path, MEMFILE_WRITE, NULL, &mf, &e) != MEMFILE_OK)
        _exit(1);
    for (uint32_t i = 0;; i++) {
        memfile_draft *d;
        char id[32], text[4000];
        int many = i % 50 == 49 ? 400 : 1; /* now and then a large commit */
        for (int k = 0; k < many; k++) {
            snprintf(id, sizeof id, "%d-%u-%d", number, i, k);
            memset(text, 'a' + (int)(i % 26), sizeof text);
            memcpy(text, id, strlen(id));
            if (memfile_draft_new(&d) != MEMFILE_OK)
                _exit(1);
            memfile_draft_set(d, MEMFILE_ID, id, strlen(id));
            memfile_draft_set(d, MEMFILE_TEXT, text, many > 1 ? 1000 : 200);
            if (memfile_put(mf, d, NULL) != MEMFILE_OK)
                _exit(2);
            memfile_draft_free(d);
        }
        if (memfile_commit(mf, NULL) != MEMFILE_OK)
            _exit(3);
        if (write(pipe, &i, sizeof i) != sizeof i)
            _exit(4);
    }
}

static void what_was_acknowledged_survives_kill_9(void **state)
{
    (void)state;
    const char *path = temp_path("kill");
    int rounds = getenv("MEMFILE_KILL_ROUNDS") ? atoi(getenv("MEMFILE_KILL_ROUNDS")) : 40;
    uint64_t seed = 77;
    memfile_close(create_file(path));
    for (int round = 0; round < rounds; round++) {
        int ends[2], status;
        uint32_t acknowledged = 0, i;
        bool any = false;
        assert_int_equal(pipe(ends), 0);
        pid_t pid = in_child(commit_until_killed, path, round, ends[1]);
        close(ends[1]);
        usleep((useconds_t)(next_random(&seed) % 30000));
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        while (read(ends[0], &i, sizeof i) == sizeof i) {
            acknowledged = i;
            any = true;
        }
        close(ends[0]);
        memfile *mf = open_file(path, MEMFILE_READ);
        for (uint32_t k = 0; any && k <= acknowledged; k++) {
            const memfile_entry *e;
            char id[32];
            for (int m = 0; m < (k % 50 == 49 ? 400 : 1); m += 133) {
                snprintf(id, sizeof id, "%d-%u-%d", round, k, m);
                if (memfile_get(mf, id, strlen(id), MEMFILE_NEWEST, &e) != MEMFILE_OK)
                    fail_msg("round %d: acknowledged entry %s is lost: %s", round, id, memfile_last_error(mf)->message);
            }
        }
        memfile_close(mf);
        int rc = verify_path(path, NULL);
        assert_true(rc == MEMFILE_OK || rc == MEMFILE_E_TRUNCATED);
    }
    memfile *mf = open_file(path, MEMFILE_WRITE);
    put_text(mf, "end", "end");
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

static void a_full_disk_leaves_the_file_whole(void **state)
{
    (void)state;
    const char *path = temp_path("full");
    memfile *mf = create_file(path);
    put_text(mf, "a", "before");
    commit_ok(mf);
    memfile_close(mf);
    pid_t pid = fork();
    if (pid == 0) {
        /* a file-size limit stands in for the full disk */
        char command[600];
        snprintf(command, sizeof command, "ulimit -f 100; trap '' XFSZ; exec \"$MEMFILE_TOOL\" put '%s' - --id big --data < /dev/zero 2>'%s.err'",
                 path, path);
        if (!getenv("MEMFILE_TOOL"))
            _exit(7);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(99);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    mf = open_file(path, MEMFILE_WRITE);
    assert_text(mf, "a", "before");
    put_text(mf, "b", "after");
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_of_two_processes_lose_nothing),
        cmocka_unit_test(forty_puts_at_once_are_forty_entries),
        cmocka_unit_test(compacting_beside_writers_loses_nothing),
        cmocka_unit_test(readers_beside_a_writer_see_whole_commits),
        cmocka_unit_test(what_was_acknowledged_survives_kill_9),
        cmocka_unit_test(a_full_disk_leaves_the_file_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
