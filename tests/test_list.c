/* list: filters and cursors, against a plain look at every entry. memfile.h, SPEC 15.4. */
#include "support.h"

#include <time.h>

enum { COMMITS = 90, EACH = 5, LARGE = 2500, ENTRIES = COMMITS * EACH + LARGE + 4, NEWEST = COMMITS + 2 };

/* What the test knows of an entry. */
typedef struct known {
    int id, kind, tag, scope, key; /* -1: none */
    int64_t time;
    uint64_t commit;
    bool expired;
} known;

static known all[ENTRIES];
static uint64_t entries_at[COMMITS + 8]; /* by number of commit */

static void put_known(memfile *mf, uint64_t i)
{
    const known *k = &all[i];
    char json[600];
    int n = snprintf(json, sizeof json, "{\"id\":\"m%d\",\"text\":\"entry %d, with some words to fill its block\"", k->id, (int)i);
    if (k->kind >= 0)
        n += snprintf(json + n, sizeof json - (size_t)n, ",\"kind\":\"kind%d\"", k->kind);
    if (k->tag >= 0)
        n += snprintf(json + n, sizeof json - (size_t)n, ",\"tags\":[\"all\",\"tag%d\"]", k->tag);
    if (k->scope >= 0)
        n += snprintf(json + n, sizeof json - (size_t)n, ",\"scope\":[\"s\",\"s%d\"]", k->scope);
    if (k->key >= 0)
        n += snprintf(json + n, sizeof json - (size_t)n, ",\"key\":\"key%d\"", k->key);
    if (k->time >= 0)
        n += snprintf(json + n, sizeof json - (size_t)n, ",\"time\":\"2023-05-08T%02d:%02d:%02dZ\"", (int)(k->time / 3600),
                      (int)(k->time / 60 % 60), (int)(k->time % 60));
    if (k->expired)
        n += snprintf(json + n, sizeof json - (size_t)n, ",\"expires\":\"2001-01-01T00:00:00Z\"");
    snprintf(json + n, sizeof json - (size_t)n, "}");
    memfile_put_result r;
    if (put_json(mf, json, &r) != MEMFILE_OK)
        fail_msg("%s: %s", json, memfile_last_error(mf)->message);
    assert_int_equal(r.entry, i);
}

/* A large commit with blocks, many small ones, some under a run, some in the tail. */
static void make(const char *path)
{
    memfile *mf = create_file(path);
    uint64_t seed = 21, commit = 1;
    for (uint64_t i = 0; i < ENTRIES; i++) {
        known *k = &all[i];
        k->id = (int)(next_random(&seed) % (ENTRIES * 3 / 4));
        k->kind = next_random(&seed) % 3 ? (int)(next_random(&seed) % 5) : -1;
        k->tag = next_random(&seed) % 4 == 0 ? (int)(next_random(&seed) % 9) : -1;
        k->scope = next_random(&seed) % 2 ? (int)(next_random(&seed) % 3) : -1;
        k->key = next_random(&seed) % 10 == 0 ? (int)(next_random(&seed) % 6) : -1;
        k->time = next_random(&seed) % 5 ? (int64_t)(next_random(&seed) % 86400) : -1;
        k->expired = next_random(&seed) % 20 == 0;
        k->commit = commit;
        put_known(mf, i);
        bool end = i == LARGE - 1 || (i >= LARGE && (i - LARGE) % EACH == EACH - 1) || i == ENTRIES - 1;
        if (end) {
            commit_ok(mf);
            entries_at[commit++] = i + 1;
        }
    }
    memfile_close(mf);
}

/* SPEC 10.2, 15.4: superseded by a later entry, of those that are seen, with the same id, or the same scope and key */
static bool superseded(uint64_t i, uint64_t end)
{
    for (uint64_t j = i + 1; j < end; j++)
        if (all[j].id == all[i].id || (all[i].key >= 0 && all[j].key == all[i].key && all[j].scope == all[i].scope))
            return true;
    return false;
}

typedef struct wish {
    int kind, tag, scope, scope_names, key;
    int64_t since, until;
    uint64_t as_of, first, limit;
    int reverse, all;
} wish;

static bool wanted(const wish *w, uint64_t i, uint64_t end)
{
    const known *k = &all[i];
    return i >= w->first && i < end && (w->kind < 0 || k->kind == w->kind) && (w->tag < 0 || k->tag == w->tag) &&
           (w->scope_names == 0 || (k->scope >= 0 && (w->scope_names == 1 || k->scope == w->scope))) &&
           (w->key < 0 || k->key == w->key) && (w->since < 0 || (k->time >= 0 && k->time >= w->since)) &&
           (w->until < 0 || (k->time >= 0 && k->time < w->until)) &&
           (w->all || (!k->expired && !superseded(i, end)));
}

/* Lists by the wish and compares with the plain look; returns how many there were. */
static uint64_t check(memfile *mf, const wish *w)
{
    memfile_filter f = MEMFILE_FILTER_INIT;
    char kind[16], tag[16], scope[16], key[16], since[32], until[32];
    const char *names[2] = {"s", scope};
    memfile_cursor *c;
    const memfile_entry *e;
    snprintf(kind, sizeof kind, "kind%d", w->kind);
    snprintf(tag, sizeof tag, "tag%d", w->tag);
    snprintf(scope, sizeof scope, "s%d", w->scope);
    snprintf(key, sizeof key, "key%d", w->key);
    for (int i = 0; i < 2; i++) {
        int64_t t = i ? w->until : w->since;
        snprintf(i ? until : since, 32, "2023-05-08T%02d:%02d:%02dZ", (int)(t / 3600), (int)(t / 60 % 60), (int)(t % 60));
    }
    f.kind = w->kind >= 0 ? kind : NULL;
    f.tag = w->tag >= 0 ? tag : NULL;
    f.key = w->key >= 0 ? key : NULL;
    f.scope = names;
    f.scope_count = (size_t)w->scope_names;
    f.since = w->since >= 0 ? since : NULL;
    f.until = w->until >= 0 ? until : NULL;
    f.as_of = w->as_of;
    f.first_entry = w->first;
    f.limit = w->limit;
    f.reverse = w->reverse;
    f.all = w->all;
    if (memfile_list(mf, &f, &c) != MEMFILE_OK)
        fail_msg("%s", memfile_last_error(mf)->message);
    memset(kind, 'x', 5), memset(tag, 'x', 4), memset(since, 'x', 10); /* they were copied */
    uint64_t end = w->as_of == MEMFILE_NEWEST ? ENTRIES : entries_at[w->as_of], given = 0;
    for (uint64_t k = 0; k < end && (w->limit == 0 || given < w->limit); k++) {
        uint64_t i = w->reverse ? end - 1 - k : k;
        if (!wanted(w, i, end))
            continue;
        int rc = memfile_cursor_next(c, &e);
        if (rc != MEMFILE_OK)
            fail_msg("entry %llu is missing: %s", (unsigned long long)i, memfile_last_error(mf)->message);
        assert_int_equal(memfile_entry_number(e), i);
        char id[256], expected[16];
        snprintf(expected, sizeof expected, "m%d", all[i].id);
        memfile_entry_id(e, id);
        assert_string_equal(id, expected);
        given++;
    }
    assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_DONE);
    assert_null(e);
    assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_DONE);
    memfile_cursor_close(c);
    return given;
}

static const wish nothing = {-1, -1, -1, 0, -1, -1, -1, MEMFILE_NEWEST, 0, 0, 0, 0};

static void every_filter_gives_what_a_plain_look_gives(void **state)
{
    (void)state;
    const char *path = temp_path("filters");
    uint64_t seed = 5, given = 0;
    make(path);
    memfile *mf = open_file(path, MEMFILE_READ);
    assert_true(check(mf, &nothing) > 1000);
    for (int i = 0; i < 150; i++) {
        wish w = nothing;
        if (next_random(&seed) % 3 == 0)
            w.kind = (int)(next_random(&seed) % 6);
        if (next_random(&seed) % 4 == 0)
            w.tag = (int)(next_random(&seed) % 10);
        if (next_random(&seed) % 4 == 0)
            w.key = (int)(next_random(&seed) % 7);
        if (next_random(&seed) % 3 == 0)
            w.scope_names = 1 + (int)(next_random(&seed) % 2), w.scope = (int)(next_random(&seed) % 4);
        if (next_random(&seed) % 4 == 0)
            w.since = (int64_t)(next_random(&seed) % 86400);
        if (next_random(&seed) % 4 == 0)
            w.until = (int64_t)(next_random(&seed) % 86400);
        if (next_random(&seed) % 3 == 0)
            w.as_of = next_random(&seed) % (COMMITS + 1);
        if (next_random(&seed) % 4 == 0)
            w.first = next_random(&seed) % ENTRIES;
        if (next_random(&seed) % 4 == 0)
            w.limit = next_random(&seed) % 20;
        w.reverse = (int)(next_random(&seed) % 2);
        w.all = (int)(next_random(&seed) % 2);
        given += check(mf, &w);
    }
    assert_true(given > 3000);
    memfile_close(mf);
}

static void as_of_a_commit_later_ones_do_not_exist(void **state)
{
    (void)state;
    const char *path = temp_path("asof");
    make(path);
    memfile *mf = open_file(path, MEMFILE_READ);
    static const uint64_t commits[] = {0, 1, 2, 40, 63, 64, 65, 70, COMMITS, NEWEST};
    for (size_t i = 0; i < sizeof commits / sizeof *commits; i++)
        for (int reverse = 0; reverse < 2; reverse++) {
            wish w = nothing;
            w.as_of = commits[i];
            w.reverse = reverse;
            w.kind = i % 2 ? 2 : -1;
            uint64_t n = check(mf, &w);
            assert_int_equal(n == 0, commits[i] == 0);
        }
    memfile_filter f = MEMFILE_FILTER_INIT;
    memfile_cursor *c;
    f.as_of = NEWEST + 1; /* which is not there */
    assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_E_NOT_FOUND);
    assert_null(c);
    memfile_close(mf);
}

static void bounds_are_taken_exactly(void **state)
{
    (void)state;
    const char *path = temp_path("exact");
    make(path);
    memfile *mf = open_file(path, MEMFILE_READ);
    static const uint64_t firsts[] = {0, 1, LARGE - 1, LARGE, LARGE + 1, ENTRIES - 1, ENTRIES, ENTRIES + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
        for (int reverse = 0; reverse < 2; reverse++)
            for (uint64_t limit = 0; limit < 3; limit++) {
                wish w = nothing;
                w.first = firsts[i];
                w.reverse = reverse;
                w.limit = limit;
                w.all = 1;
                uint64_t left = firsts[i] < ENTRIES ? ENTRIES - firsts[i] : 0;
                assert_int_equal(check(mf, &w), limit && limit < left ? limit : left);
            }
    for (uint64_t i = 0; i < 40; i++) { /* since <= time < until, to the second */
        wish w = nothing;
        if (all[i].time < 1)
            continue;
        w.all = 1;
        w.since = all[i].time;
        w.until = all[i].time + 1;
        assert_true(check(mf, &w) >= 1);
        w.until = all[i].time;
        assert_int_equal(check(mf, &w), 0);
    }
    memfile_close(mf);
}

/* From the index 65,536 entries are held; of what has more, and another tag that has not, all are found. */
static void a_filter_that_very_many_fit_gives_them_all(void **state)
{
    (void)state;
    enum { MANY = 65540, FEW = 65536, ALL = 65600 };
    const char *path = temp_path("many");
    memfile *mf = create_file(path);
    for (int i = 0; i < ALL; i++)
        assert_int_equal(put_json(mf, i < FEW    ? "{\"tags\":[\"few\",\"many\"],\"text\":\"\"}"
                                      : i < MANY ? "{\"tags\":[\"many\"],\"text\":\"\"}"
                                                 : "{\"text\":\"\"}", NULL), MEMFILE_OK);
    commit_ok(mf);
    for (int few = 0; few < 2; few++)
        for (int reverse = 0; reverse < 2; reverse++) {
            const char *tag = few ? "few" : "many";
            const uint64_t count = few ? FEW : MANY;
            memfile_filter f = MEMFILE_FILTER_INIT;
            memfile_cursor *c;
            const memfile_entry *e;
            f.tag = tag;
            f.reverse = reverse;
            assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
            for (uint64_t i = 0; i < count; i++) {
                assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_OK);
                assert_int_equal(memfile_entry_number(e), reverse ? count - 1 - i : i);
            }
            assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_DONE);
            memfile_cursor_close(c);
        }
    memfile_close(mf);
}

static void filters_that_are_wrong_are_refused(void **state)
{
    (void)state;
    const char *names[40];
    memfile *mf = create_file(temp_path("wrong"));
    memfile_cursor *c;
    memfile_filter f = MEMFILE_FILTER_INIT;
    static const char *const bad[] = {"", "yesterday", "2023-05-08", "2023-05-08T13:56:02", "2023-05-08T13:56:02+01:00",
                                      "2023-13-08T13:56:02Z", "2023-02-29T00:00:00Z", "2023-05-08T24:00:00Z"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        f.since = bad[i];
        assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_E_INVALID);
        assert_null(c);
        f.since = NULL;
        f.until = bad[i];
        assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_E_INVALID);
        f.until = NULL;
    }
    for (size_t i = 0; i < 40; i++)
        names[i] = "n";
    f.scope = names;
    f.scope_count = 33; /* SPEC 7.1: at most 32 */
    assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_E_INVALID);
    f.scope_count = 32;
    assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
    memfile_cursor_close(c);
    memfile_cursor_close(NULL);
    memfile_close(mf);
}

/* "So that a program built today runs with a later library": the rest is as by default. */
static void a_shorter_filter_is_filled_up(void **state)
{
    (void)state;
    memfile *mf = create_file(temp_path("short"));
    memfile_filter f;
    memfile_cursor *c;
    const memfile_entry *e;
    memset(&f, 0xff, sizeof f);
    f.struct_size = offsetof(memfile_filter, kind);
    f.scope = NULL;
    f.scope_count = 0;
    put_text(mf, "a", "1");
    put_text(mf, "a", "2");
    commit_ok(mf);
    assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
    assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_OK);
    assert_int_equal(memfile_entry_number(e), 1);
    assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_DONE);
    memfile_cursor_close(c);
    memfile_close(mf);
}

/* "Iterates over the snapshot of the handle at this moment; later commits and refreshes do not
 * change it." Each way through: scan, backward, candidates. */
static void a_cursor_keeps_its_snapshot(void **state)
{
    (void)state;
    const char *path = temp_path("snapshot");
    for (int way = 0; way < 3; way++)
        for (int by_other = 0; by_other < 2; by_other++) {
            make(path);
            memfile *mf = open_file(path, MEMFILE_WRITE);
            memfile *other = by_other ? open_file(path, MEMFILE_WRITE) : mf;
            memfile_filter f = MEMFILE_FILTER_INIT;
            memfile_cursor *c;
            const memfile_entry *e;
            wish w = nothing;
            w.reverse = f.reverse = way == 1;
            if (way == 2)
                f.kind = "kind3", w.kind = 3;
            assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
            for (uint64_t k = 0, given = 0; k < ENTRIES; k++) {
                uint64_t i = w.reverse ? ENTRIES - 1 - k : k;
                if (!wanted(&w, i, ENTRIES))
                    continue;
                assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_OK);
                assert_int_equal(memfile_entry_number(e), i);
                if (given++ % 40 == 0) { /* supersedes what is still to come, or adds what would fit */
                    char json[100];
                    snprintf(json, sizeof json, "{\"id\":\"m%d\",\"kind\":\"kind3\",\"text\":\"new\"}", all[(i * 7 + 900) % ENTRIES].id);
                    assert_int_equal(put_json(other, json, NULL), MEMFILE_OK);
                    commit_ok(other);
                    if (by_other)
                        assert_int_equal(memfile_refresh(mf), MEMFILE_OK);
                }
            }
            assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_DONE);
            memfile_cursor_close(c);
            if (by_other)
                memfile_close(other);
            memfile_close(mf);
        }
}

/* memfile.h: "Damage to footers and index pages costs nothing but time: gets and lists then go on."
 * A leaf with BLOCK items is damaged; each way through meets it. */
static void damage_to_the_index_costs_no_list_anything(void **state)
{
    (void)state;
    const char *path = temp_path("index"), *copy = temp_path("index2");
    static mf_segment segments[2000];
    size_t length, pages = 0;
    make(path);
    uint8_t *bytes = read_file(path, &length);
    size_t count = segments_of(bytes, length, segments, 2000);
    for (size_t i = 0; i < count; i++) {
        if (segments[i].type != MF_TYPE_INDEX || pages++ % 4 != 0)
            continue;
        bytes[segments[i].offset + 75] ^= 4;
        write_file(copy, bytes, length);
        bytes[segments[i].offset + 75] ^= 4;
        for (int way = 0; way < 5; way++) {
            memfile_options o = MEMFILE_OPTIONS_INIT;
            memfile *mf;
            memfile_error e;
            o.cache_bytes = 0;
            if (memfile_open(copy, MEMFILE_READ, &o, &mf, &e) != MEMFILE_OK)
                fail_msg("page %zu: %s", pages, e.message);
            wish w = nothing;
            w.reverse = way == 1 || way == 3;
            w.kind = way == 2 || way == 3 ? 1 : -1;
            w.all = way == 4;
            assert_true(check(mf, &w) > 100);
            memfile_close(mf);
        }
    }
    assert_true(pages > 4);
    free(bytes);
}

/* "A list in which entries were lost gives all others and then DAMAGED instead of DONE." */
static void lost_entries_are_told_at_the_end_of_every_list(void **state)
{
    (void)state;
    const char *path = temp_path("lost");
    static mf_segment segments[2000];
    size_t length, blocks = 0, hit = 0;
    make(path);
    uint8_t *bytes = read_file(path, &length);
    size_t count = segments_of(bytes, length, segments, 2000);
    for (size_t i = 0; i < count; i++)
        if (segments[i].type == MF_TYPE_RECORDS && ++blocks == 3)
            hit = i;
    assert_true(blocks > 4);
    bytes[segments[hit].offset + 90] ^= 4;
    write_file(path, bytes, length);
    for (int way = 0; way < 4; way++) {
        memfile *mf = open_file(path, MEMFILE_READ);
        memfile_filter f = MEMFILE_FILTER_INIT;
        memfile_cursor *c;
        const memfile_entry *e;
        uint64_t given = 0, last = UINT64_MAX, gap = 0;
        int rc;
        f.all = 1;
        f.reverse = way % 2;
        f.since = way >= 2 ? "2023-05-08T00:00:00Z" : NULL; /* by candidates */
        assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
        while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK) {
            uint64_t now = memfile_entry_number(e), step = last == UINT64_MAX ? 0 : f.reverse ? last - now : now - last;
            if (step > gap)
                gap = step;
            last = now;
            given++;
        }
        assert_int_equal(rc, MEMFILE_E_DAMAGED);
        assert_true(gap > 50); /* those of the block, and */
        assert_true(f.reverse ? last < 10 : last > ENTRIES - 10); /* the list went on to its end */
        if (way < 2)
            assert_int_equal(given + gap - 1, ENTRIES);
        memfile_cursor_close(c);
        /* and again, by a list that knows from its start that the index is not to be used */
        uint64_t again = 0;
        assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
        while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK)
            again++;
        assert_int_equal(rc, MEMFILE_E_DAMAGED);
        assert_int_equal(again, given);
        memfile_cursor_close(c);
        memfile_close(mf);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_filter_gives_what_a_plain_look_gives),
        cmocka_unit_test(as_of_a_commit_later_ones_do_not_exist),
        cmocka_unit_test(bounds_are_taken_exactly),
        cmocka_unit_test(a_filter_that_very_many_fit_gives_them_all),
        cmocka_unit_test(filters_that_are_wrong_are_refused),
        cmocka_unit_test(a_shorter_filter_is_filled_up),
        cmocka_unit_test(a_cursor_keeps_its_snapshot),
        cmocka_unit_test(damage_to_the_index_costs_no_list_anything),
        cmocka_unit_test(lost_entries_are_told_at_the_end_of_every_list),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
