/* siege: sealed files with several processes and threads at them, keys that change beneath open handles, and what
 * is left of secrets in memory. SPEC 20. Seals themselves are in test_seal.c. */
#include "support.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "handle.h"
#include "keyfile.h"
#include "keys.h"

static memfile_key *ours, *theirs;
static char our_public[MEMFILE_PUBLIC_SIZE], their_public[MEMFILE_PUBLIC_SIZE];
static const char *const our_list[] = {our_public}, *const their_list[] = {their_public};

static memfile_seal_for for_us(void)
{
    return (memfile_seal_for){NULL, 0, 0, 0, our_list, 1, 0};
}

static memfile_seal_for for_them(void)
{
    return (memfile_seal_for){NULL, 0, 0, 0, their_list, 1, 0};
}

static int open_as(const char *path, memfile_mode mode, const memfile_key *identity, unsigned threads, memfile **mf,
                   memfile_error *e)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    o.lock_timeout_ms = 60000;
    o.threads = threads;
    o.unlock.identity = identity;
    if (mode == MEMFILE_CREATE)
        o.seal_for = for_us();
    return memfile_open(path, mode, &o, mf, e);
}

static memfile *opened(const char *path, memfile_mode mode)
{
    memfile *mf;
    memfile_error e;
    if (open_as(path, mode, ours, 1, &mf, &e) != MEMFILE_OK)
        fail_msg("open: %s", e.message);
    return mf;
}

static memfile *created(const char *path)
{
    unlink(path);
    return opened(path, MEMFILE_CREATE);
}

static int rekey(const char *path, memfile_seal_for who)
{
    memfile_rekey_options o = MEMFILE_REKEY_OPTIONS_INIT;
    o.unlock.identity = ours;
    o.seal_for = who;
    o.lock_timeout_ms = 60000;
    return memfile_rekey(path, &o, NULL);
}

static int compact(const char *path, memfile_seal_for who)
{
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    o.unlock.identity = ours;
    o.seal_for = who;
    o.lock_timeout_ms = 60000;
    return memfile_compact(path, &o, NULL, NULL);
}

static void verify_ok(const char *path, const memfile_key *identity, uint64_t entries)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result r;
    memfile_error e;
    o.unlock.identity = identity;
    if (memfile_verify(path, &o, &r, &e) != MEMFILE_OK)
        fail_msg("verify: %s", e.message);
    assert_int_equal(r.entries, entries);
}

/* ---- processes */

/* Puts and commits `count` entries, one by one; exits with what failed. */
static void put_entries(const char *path, int number, int count)
{
    memfile *mf;
    memfile_error e;
    memfile_draft *d;
    if (open_as(path, MEMFILE_WRITE, ours, 1, &mf, &e) != MEMFILE_OK || memfile_draft_new(&d) != MEMFILE_OK)
        _exit(1);
    for (int i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "%d-%d", number, i);
        memfile_draft_clear(d);
        memfile_draft_set(d, MEMFILE_ID, id, strlen(id));
        memfile_draft_set(d, MEMFILE_TEXT, id, strlen(id));
        if (memfile_put(mf, d, NULL) != MEMFILE_OK || memfile_commit(mf, NULL) != MEMFILE_OK)
            _exit(2);
    }
    memfile_draft_free(d);
    memfile_close(mf);
    _exit(0);
}

static void wait_for(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static pid_t putting(const char *path, int number, int count)
{
    pid_t pid = fork();
    if (pid == 0)
        put_entries(path, number, count);
    return pid;
}

static void writers_beside_new_keys_and_compactions_lose_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("beside");
    memfile_close(created(path));
    pid_t first = putting(path, 0, 60), second = putting(path, 1, 60);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(i % 2 ? compact(path, for_us()) : rekey(path, for_us()), MEMFILE_OK);
        usleep(3000);
    }
    wait_for(first);
    wait_for(second);
    verify_ok(path, ours, 120);
    memfile *mf = opened(path, MEMFILE_READ);
    for (int i = 0; i < 120; i++) {
        char id[32];
        snprintf(id, sizeof id, "%d-%d", i % 2, i / 2);
        assert_text(mf, id, id);
    }
    memfile_close(mf);
}

/* ---- handles that are open while keys change */

static void assert_still_reads(memfile *mf, int through)
{
    for (int i = 0; i < through; i++) {
        char id[16];
        snprintf(id, sizeof id, "n%d", i);
        assert_text(mf, id, id);
    }
}

static void put_number(memfile *mf, int i)
{
    char id[16];
    snprintf(id, sizeof id, "n%d", i);
    put_text(mf, id, id);
    commit_ok(mf);
}

static void an_open_handle_follows_new_keys_that_it_opens(void **state)
{
    (void)state;
    const char *path = temp_path("follows");
    memfile *writer = created(path), *reader = opened(path, MEMFILE_READ);
    for (int i = 0; i < 12; i++) {
        put_number(writer, i);
        assert_int_equal(memfile_refresh(reader), MEMFILE_OK);
        if (i % 3 == 1)
            assert_int_equal(rekey(path, for_us()), MEMFILE_OK);
        if (i % 3 == 2)
            assert_int_equal(compact(path, for_us()), MEMFILE_OK);
        assert_true(memfile_refresh(reader) >= 0);
        assert_still_reads(reader, i + 1);
    }
    memfile_close(writer);
    memfile_close(reader);
    verify_ok(path, ours, 12);
}

/* how 0: a new key for others; 1: compaction for others */
static void locked_out(int how, memfile_mode mode)
{
    const char *path = temp_path("locked");
    memfile *mf = created(path);
    memfile_draft *d;
    memfile_info before, after;
    put_number(mf, 0);
    memfile_close(mf);
    mf = opened(path, mode);
    memfile_get_info(mf, &before, sizeof before);
    assert_int_equal(how ? compact(path, for_them()) : rekey(path, for_them()), MEMFILE_OK);
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    memfile_draft_set(d, MEMFILE_TEXT, "never", 5);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(memfile_refresh(mf), MEMFILE_E_KEY);
        assert_still_reads(mf, 1);
        assert_int_equal(memfile_get_info(mf, &after, sizeof after), MEMFILE_OK);
        assert_int_equal(after.epoch, before.epoch);
        assert_memory_equal(after.incarnation_id, before.incarnation_id, 16);
        if (mode == MEMFILE_WRITE)
            assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_E_KEY);
    }
    memfile_draft_free(d);
    memfile_close(mf);
    verify_ok(path, theirs, 1);
}

static void who_is_locked_out_reads_what_he_had_and_nothing_more(void **state)
{
    (void)state;
    for (int how = 0; how < 2; how++) {
        locked_out(how, MEMFILE_READ);
        locked_out(how, MEMFILE_WRITE);
    }
}

static void a_maker_without_an_identity_writes_until_the_key_changes(void **state)
{
    (void)state;
    const char *path = temp_path("maker");
    memfile *mf;
    memfile_error e;
    memfile_draft *d;
    for (int how = 0; how < 2; how++) {
        unlink(path);
        assert_int_equal(open_as(path, MEMFILE_CREATE, NULL, 1, &mf, &e), MEMFILE_OK);
        put_number(mf, 0);
        put_number(mf, 1);
        assert_int_equal(how ? compact(path, for_us()) : rekey(path, for_us()), MEMFILE_OK);
        assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
        memfile_draft_set(d, MEMFILE_TEXT, "never", 5);
        assert_int_equal(memfile_put(mf, d, NULL), MEMFILE_E_KEY);
        assert_int_equal(memfile_refresh(mf), MEMFILE_E_KEY);
        assert_still_reads(mf, 2);
        memfile_draft_free(d);
        memfile_close(mf);
        verify_ok(path, ours, 2);
    }
}

/* A plain file with the same Memory_Id, which is no secret, under the same name. */
static void a_handle_of_a_sealed_file_does_not_go_on_in_a_plain_one(void **state)
{
    (void)state;
    const char *path = temp_path("downgraded"), *plain = temp_path("plain");
    size_t length;
    memfile *mf, *handles[3];
    memfile_error e;
    memfile_draft *d;
    memfile_options outside = MEMFILE_OPTIONS_INIT;
    memfile_info info;
    outside.without_key = 1;
    unlink(path);
    assert_int_equal(open_as(path, MEMFILE_CREATE, NULL, 1, &handles[0], &e), MEMFILE_OK);
    put_number(handles[0], 0);
    handles[1] = opened(path, MEMFILE_WRITE);
    assert_int_equal(memfile_open(path, MEMFILE_READ, &outside, &handles[2], &e), MEMFILE_OK);
    memfile_get_info(handles[0], &info, sizeof info);
    /* a plain file of two commits, with the id put in */
    mf = create_file(plain);
    memfile_close(mf);
    uint8_t *bytes = read_file(plain, &length);
    memcpy(bytes + 48, info.memory_id, 16);
    mf_store64(bytes + 72, mf_checksum(bytes, 72));
    write_file(plain, bytes, length);
    free(bytes);
    assert_int_equal(rename(plain, path), 0);
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    memfile_draft_set(d, MEMFILE_TEXT, "a secret", 8);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(memfile_refresh(handles[i]), MEMFILE_E_KEY);
        assert_int_equal(memfile_put(handles[i], d, NULL), MEMFILE_E_KEY);
        assert_int_equal(memfile_refresh(handles[i]), MEMFILE_E_KEY);
        if (i < 2)
            assert_still_reads(handles[i], 1);
        memfile_close(handles[i]);
    }
    memfile_draft_free(d);
}

/* Who has nothing but our public key can seal for us: a key of the next epoch, with others before it that never
 * were the file's. */
static void keys_that_were_put_in_from_outside_are_not_taken(void **state)
{
    (void)state;
    const char *path = temp_path("forged");
    size_t length;
    memfile_error e;
    mf_io *io;
    mf_store store;
    mf_secret *secret;
    mf_keys keys;
    mf_buffer head;
    mf_slots slots;
    uint8_t wrong[32], right[32];
    memfile_close(created(path));
    uint8_t *bytes = read_file(path, &length);
    assert_int_equal(mf_secret_of_identity(&mf_mem_default, mf_key_secret(ours), &secret, &e), MEMFILE_OK);
    const mf_access access = {secret, NULL, false};
    assert_int_equal(mf_io_memory_open(&mf_mem_default, bytes, length, &io, &e), MEMFILE_OK);
    assert_int_equal(mf_store_open(&store, io, &mf_mem_default, 0, &access, &e), MEMFILE_OK);
    memcpy(right, mf_seal_data_key(&store.seal, 1), 32);
    memset(wrong, 7, sizeof wrong);
    mf_seal forged = {.sealed = true};
    forged.environment = mf_environment_or_system(NULL);
    assert_int_equal(mf_seal_set(&forged, bytes + 32, 1, wrong, &e), MEMFILE_OK);
    mf_buffer_init(&head, &mf_mem_default);
    assert_int_equal(mf_keys_make(&head, &store.slots, NULL, bytes, wrong, &forged, &e), MEMFILE_OK);
    assert_int_equal(mf_keys_decode(&keys, mf_slice_of(head.data, head.length), 80, &e), MEMFILE_OK);
    assert_int_equal(mf_keys_open(&keys, secret, bytes, 80, &store.seal, &slots, &e), MEMFILE_E_KEY);
    assert_int_equal(store.seal.epoch, 1);
    assert_memory_equal(mf_seal_data_key(&store.seal, 1), right, 32);
    /* behind the right one it is taken */
    mf_seal grown = {.sealed = true, .environment = forged.environment};
    assert_int_equal(mf_seal_set(&grown, bytes + 32, 1, right, &e), MEMFILE_OK);
    mf_buffer_clear(&head);
    assert_int_equal(mf_keys_make(&head, &store.slots, NULL, bytes, wrong, &grown, &e), MEMFILE_OK);
    assert_int_equal(mf_keys_decode(&keys, mf_slice_of(head.data, head.length), 80, &e), MEMFILE_OK);
    assert_int_equal(mf_keys_open(&keys, secret, bytes, 80, &store.seal, &slots, &e), MEMFILE_OK);
    assert_int_equal(store.seal.epoch, 2);
    mf_buffer_free(&head);
    mf_seal_clear(&forged);
    mf_seal_clear(&grown);
    mf_store_close(&store);
    mf_secret_free(secret);
    free(bytes);
}

/* ---- threads */

static void put_many(memfile *mf, int count)
{
    char text[600], id[16];
    for (int i = 0; i < count; i++) {
        snprintf(id, sizeof id, "n%d", i);
        int n = snprintf(text, sizeof text, "%d:", i);
        memset(text + n, 'a' + i % 26, 500);
        text[n + 500] = '\0';
        put_text(mf, id, text);
    }
    commit_ok(mf);
}

static void take(memfile_cursor *c, int from, int to)
{
    const memfile_entry *e;
    for (int i = from; i < to; i++) {
        size_t n;
        int number = -1;
        assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_OK);
        assert_int_equal(memfile_entry_number(e), i);
        assert_int_equal(sscanf(memfile_entry_field(e, MEMFILE_TEXT, &n), "%d:", &number), 1);
        assert_int_equal(number, i);
    }
}

static void lists_with_threads_go_on_over_compactions(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    const char *path = temp_path("threads");
    memfile *mf = created(path), *reader;
    memfile_cursor *a, *b;
    const memfile_entry *e;
    memfile_error why;
    put_many(mf, COUNT);
    memfile_close(mf);
    assert_int_equal(open_as(path, MEMFILE_READ, ours, 4, &reader, &why), MEMFILE_OK);
    assert_int_equal(memfile_list(reader, NULL, &a), MEMFILE_OK);
    take(a, 0, 10);
    for (int round = 0; round < 3; round++) {
        if (round == 1)
            assert_int_equal(rekey(path, for_us()), MEMFILE_OK);
        assert_int_equal(compact(path, for_us()), MEMFILE_OK);
        assert_int_equal(memfile_refresh(reader), MEMFILE_OK);
        assert_int_equal(memfile_list(reader, NULL, &b), MEMFILE_OK);
        take(b, 0, 700);
        take(a, 10 + round * 500, 510 + round * 500);
        take(b, 700, COUNT);
        assert_int_equal(memfile_cursor_next(b, &e), MEMFILE_DONE);
        memfile_cursor_close(b);
    }
    take(a, 1510, COUNT);
    assert_int_equal(memfile_cursor_next(a, &e), MEMFILE_DONE);
    memfile_cursor_close(a);
    memfile_close(reader);
}

/* ---- what is left in memory */

/* A secret, held so that it cannot be found where it is held. */
typedef struct masked {
    const char *name;
    uint8_t bytes[64];
    size_t length;
} masked;

static void mask(masked *m, const char *name, const void *secret, size_t length)
{
    m->name = name;
    m->length = length;
    for (size_t i = 0; i < length; i++)
        m->bytes[i] = (uint8_t)(((const uint8_t *)secret)[i] ^ 0x5a);
}

static bool holds(const uint8_t *bytes, size_t length, const masked *m)
{
    for (size_t i = 0; i + m->length <= length; i++) {
        size_t k = 0;
        while (k < m->length && (bytes[i + k] ^ 0x5a) == m->bytes[k])
            k++;
        if (k == m->length)
            return true;
    }
    return false;
}

/* Where in this process it stands; 0: nowhere. */
static unsigned long find_in_memory(const masked *m)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int mem = open("/proc/self/mem", O_RDONLY);
    char line[512];
    unsigned long found = 0;
    const size_t piece = 1u << 20;
    uint8_t *bytes = (uint8_t *)malloc(piece + 64);
    assert_true(maps && mem >= 0 && bytes);
    while (!found && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char rights[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[0] != 'r' || rights[1] != 'w')
            continue;
        for (unsigned long at = from; at < to && !found; at += piece) {
            size_t want = to - at < piece + 64 ? to - at : piece + 64;
            ssize_t n = pread(mem, bytes, want, (off_t)at);
            bool here = at <= (unsigned long)bytes && (unsigned long)bytes < at + want; /* itself */
            if (n > 0 && !here && holds(bytes, (size_t)n, m))
                found = at;
        }
    }
    memset(bytes, 0, piece + 64);
    free(bytes);
    close(mem);
    fclose(maps);
    return found;
}

static void mask_data_keys(const char *path, memfile_unlock u, masked out[2])
{
    static char names[8][32];
    static int next;
    memfile_error e;
    mf_secret *secret;
    mf_io *io;
    mf_store store;
    if (u.identity)
        assert_int_equal(mf_secret_of_identity(&mf_mem_default, mf_key_secret(u.identity), &secret, &e), MEMFILE_OK);
    else
        assert_int_equal(mf_secret_of_passphrase(&mf_mem_default, u.passphrase, u.passphrase_length, &secret, &e), MEMFILE_OK);
    const mf_access access = {secret, NULL, false};
    assert_int_equal(mf_io_file_open(&mf_mem_default, path, MF_IO_READ, &io, &e), MEMFILE_OK);
    assert_int_equal(mf_store_open(&store, io, &mf_mem_default, 0, &access, &e), MEMFILE_OK);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t epoch = i < store.seal.epoch ? i + 1 : store.seal.epoch;
        snprintf(names[next % 8], sizeof names[0], "data key %d of %s", (int)epoch, strrchr(path, '/') + 1);
        mask(&out[i], names[next++ % 8], mf_seal_data_key(&store.seal, epoch), 32);
    }
    mf_store_close(&store);
    mf_secret_free(secret);
}

static void make_passphrase(char out[24])
{
    uint64_t random = 0x1234567;
    for (int i = 0; i < 24; i++)
        out[i] = (char)('a' + next_random(&random) % 26);
}

/* Everything that is done with keys. */
static void use_everything(const char *path, const char *out, masked keys[8])
{
    char passphrase[24];
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile_key *key;
    char public[MEMFILE_PUBLIC_SIZE];
    const char *list[] = {public};
    memfile *mf;
    memfile_error e;
    memfile_rekey_options r = MEMFILE_REKEY_OPTIONS_INIT;
    memfile_verify_options v = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_compact_options c = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_recover_options s = MEMFILE_RECOVER_OPTIONS_INIT;
    make_passphrase(passphrase);
    mask(&keys[0], "passphrase", passphrase, sizeof passphrase);
    assert_int_equal(memfile_key_generate(MEMFILE_RECIPIENT, &key, &e), MEMFILE_OK);
    memfile_key_public(key, public);
    mask(&keys[1], "identity", mf_key_secret(key), 32);
    o.seal_for = (memfile_seal_for){passphrase, sizeof passphrase, 1, 8, NULL, 0, 0};
    o.threads = 2;
    unlink(path);
    unlink(out);
    assert_int_equal(memfile_open(path, MEMFILE_CREATE, &o, &mf, &e), MEMFILE_OK);
    put_many(mf, 200);
    memfile_close(mf);
    r.unlock = (memfile_unlock){passphrase, sizeof passphrase, NULL};
    r.seal_for = (memfile_seal_for){NULL, 0, 0, 0, list, 1, 0};
    assert_int_equal(memfile_rekey(path, &r, &e), MEMFILE_OK);
    memfile_wipe(passphrase, sizeof passphrase);
    memset(&o.seal_for, 0, sizeof o.seal_for);
    o.unlock.identity = v.unlock.identity = c.unlock.identity = s.unlock.identity = key;
    mask_data_keys(path, o.unlock, &keys[2]);
    assert_int_equal(memfile_open(path, MEMFILE_WRITE, &o, &mf, &e), MEMFILE_OK);
    put_many(mf, 20);
    memfile_close(mf);
    assert_int_equal(memfile_verify(path, &v, NULL, &e), MEMFILE_OK);
    assert_int_equal(memfile_recover(path, out, &s, NULL, &e), MEMFILE_OK);
    assert_int_equal(memfile_compact(path, &c, NULL, &e), MEMFILE_OK);
    mask_data_keys(path, o.unlock, &keys[4]);
    mask_data_keys(out, o.unlock, &keys[6]);
    char text[MEMFILE_KEY_TEXT_SIZE];
    assert_int_equal(memfile_key_write(key, NULL, text, &e), MEMFILE_OK);
    memfile_wipe(text, sizeof text);
    memfile_key_free(key);
}

static void no_secret_is_left_in_memory(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* there is too much memory to look through */
#endif
    masked keys[8];
    char probe[24];
    memset(keys, 0, sizeof keys);
    use_everything(temp_path("secrets"), temp_path("secrets-out"), keys);
    for (size_t i = 0; i < 8; i++) {
        unsigned long at = find_in_memory(&keys[i]);
        if (at)
            fail_msg("the %s stands near %lx", keys[i].name, at);
    }
    make_passphrase(probe); /* the search does find what is there */
    assert_true(find_in_memory(&keys[0]) != 0);
    memfile_wipe(probe, sizeof probe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_secret_is_left_in_memory),
        cmocka_unit_test(writers_beside_new_keys_and_compactions_lose_nothing),
        cmocka_unit_test(an_open_handle_follows_new_keys_that_it_opens),
        cmocka_unit_test(who_is_locked_out_reads_what_he_had_and_nothing_more),
        cmocka_unit_test(a_maker_without_an_identity_writes_until_the_key_changes),
        cmocka_unit_test(a_handle_of_a_sealed_file_does_not_go_on_in_a_plain_one),
        cmocka_unit_test(keys_that_were_put_in_from_outside_are_not_taken),
        cmocka_unit_test(lists_with_threads_go_on_over_compactions),
    };
    if (memfile_key_generate(MEMFILE_RECIPIENT, &ours, NULL) != MEMFILE_OK ||
        memfile_key_generate(MEMFILE_RECIPIENT, &theirs, NULL) != MEMFILE_OK)
        return 1;
    memfile_key_public(ours, our_public);
    memfile_key_public(theirs, their_public);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    memfile_key_free(ours);
    memfile_key_free(theirs);
    return failed;
}
