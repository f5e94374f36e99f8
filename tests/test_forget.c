/* forget: SPEC 10.8, 13.3. What is forgotten is in no read, and after compaction nowhere. */
#include "support.h"

#include "handle.h"
#include "leaves.h"

/* Not NULL: the files of a test are sealed under it. */
static const char *sealed_by;

static memfile_unlock unlock_here(void)
{
    memfile_unlock u = {sealed_by, sealed_by ? strlen(sealed_by) : 0, NULL};
    return u;
}

static memfile *open_here(const char *path, memfile_mode mode)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile *mf;
    memfile_error e;
    o.unlock = unlock_here();
    if (mode == MEMFILE_CREATE) {
        unlink(path);
        o.seal_for = (memfile_seal_for){o.unlock.passphrase, o.unlock.passphrase_length, 1, 8, NULL, 0, 0};
    }
    if (memfile_open(path, mode, &o, &mf, &e) != MEMFILE_OK)
        fail_msg("open: %s", e.message);
    return mf;
}

static int forget_ids(memfile *mf, const char *const *ids, size_t count, const memfile_forget_options *o,
                      memfile_forget_result *r)
{
    memfile_selection s = MEMFILE_SELECTION_INIT;
    s.ids = ids;
    s.id_count = count;
    return memfile_forget(mf, &s, o, r);
}

static int forget_id(memfile *mf, const char *id, memfile_forget_result *r)
{
    return forget_ids(mf, &id, 1, NULL, r);
}

static int forget_where(memfile *mf, const memfile_filter *f, memfile_forget_result *r)
{
    memfile_selection s = MEMFILE_SELECTION_INIT;
    s.filter = f;
    return memfile_forget(mf, &s, NULL, r);
}

static void forget_ok(memfile *mf, const char *id)
{
    if (forget_id(mf, id, NULL) != MEMFILE_OK)
        fail_msg("forget %s: %s", id, memfile_last_error(mf)->message);
}

static void put_ok(memfile *mf, const char *json)
{
    if (put_json(mf, json, NULL) != MEMFILE_OK)
        fail_msg("put %s: %s", json, memfile_last_error(mf)->message);
}

static void compact_ok(const char *path, memfile_compact_result *r)
{
    memfile_error e;
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    o.unlock = unlock_here();
    if (memfile_compact(path, &o, r, &e) != MEMFILE_OK)
        fail_msg("compact: %s", e.message);
}

static void verify_ok(const char *path)
{
    memfile_verify_result r;
    memfile_error e;
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    o.unlock = unlock_here();
    if (memfile_verify(path, &o, &r, &e) != MEMFILE_OK)
        fail_msg("verify: %s", e.message);
}

static int get(memfile *mf, const char *id, uint64_t as_of)
{
    const memfile_entry *e;
    return memfile_get(mf, id, strlen(id), as_of, &e);
}

static uint64_t count_list(memfile *mf, const memfile_filter *f)
{
    memfile_cursor *c;
    const memfile_entry *e;
    uint64_t n = 0;
    assert_int_equal(memfile_list(mf, f, &c), MEMFILE_OK);
    int rc;
    while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK)
        n++;
    if (rc != MEMFILE_DONE)
        fail_msg("list: %s", memfile_last_error(mf)->message);
    memfile_cursor_close(c);
    return n;
}

/* ---- reads */

static void a_forgotten_memory_is_in_no_read(void **state)
{
    (void)state;
    const char *path = temp_path("reads");
    memfile *mf = create_file(path);
    memfile_filter all = MEMFILE_FILTER_INIT, f = MEMFILE_FILTER_INIT;
    const memfile_entry *e;
    memfile_info info;
    all.all = 1;
    put_ok(mf, "{\"id\":\"a\",\"text\":\"one\",\"kind\":\"fact\",\"tags\":[\"t\"],\"scope\":[\"s\"],\"time\":\"2024-01-01T00:00:00Z\"}");
    commit_ok(mf);
    put_ok(mf, "{\"id\":\"a\",\"text\":\"two\",\"kind\":\"fact\",\"tags\":[\"t\"],\"scope\":[\"s\"],\"time\":\"2024-01-02T00:00:00Z\"}");
    put_ok(mf, "{\"id\":\"b\",\"text\":\"stays\",\"kind\":\"fact\",\"tags\":[\"t\"],\"scope\":[\"s\"],\"time\":\"2024-01-02T00:00:00Z\"}");
    commit_ok(mf);
    memfile *reader = open_file(path, MEMFILE_READ);
    forget_ok(mf, "a");
    assert_int_equal(get(mf, "a", MEMFILE_NEWEST), MEMFILE_OK); /* not committed yet */
    commit_ok(mf);
    assert_int_equal(memfile_refresh(reader), MEMFILE_OK);
    for (int i = 0; i < 4; i++) {
        memfile *h = i == 0 ? mf : i == 1 ? reader : NULL;
        if (i == 2) {
            memfile_close(mf);
            memfile_close(reader);
            verify_ok(path);
        }
        if (i == 3)
            compact_ok(path, NULL);
        if (i >= 2)
            h = open_file(path, MEMFILE_WRITE);
        for (uint64_t commit = 0; commit <= 3; commit++) {
            assert_int_equal(get(h, "a", commit), MEMFILE_E_NOT_FOUND);
            assert_int_equal(get(h, "b", commit), commit < 2 ? MEMFILE_E_NOT_FOUND : MEMFILE_OK);
        }
        assert_int_equal(get(h, "a", MEMFILE_NEWEST), MEMFILE_E_NOT_FOUND);
        assert_int_equal(memfile_get_entry(h, 0, &e), MEMFILE_E_NOT_FOUND);
        assert_int_equal(memfile_get_entry(h, 1, &e), MEMFILE_E_NOT_FOUND);
        assert_int_equal(memfile_get_entry(h, 2, &e), MEMFILE_OK);
        assert_int_equal(memfile_get_entry(h, 3, &e), MEMFILE_OK); /* the forgetting stays */
        assert_int_equal(count_list(h, NULL), 1);
        assert_int_equal(count_list(h, &all), 2);
        for (int k = 0; k < 10; k++) {
            const char *scope = "s";
            f = all;
            f.kind = k % 5 == 0 ? "fact" : NULL;
            f.tag = k % 5 == 1 ? "t" : NULL;
            f.scope = &scope;
            f.scope_count = k % 5 == 2;
            f.since = k % 5 == 3 ? "2023-01-01T00:00:00Z" : NULL;
            f.until = k % 5 == 3 ? "2024-06-01T00:00:00Z" : NULL;
            f.reverse = k >= 5;
            assert_int_equal(count_list(h, &f), k % 5 == 4 ? 2 : 1);
            f.as_of = 1;
            assert_int_equal(count_list(h, &f), 0);
        }
        memfile_get_info(h, &info, sizeof info);
        assert_int_equal(info.forgotten, i == 3 ? 0 : 2);
        if (i >= 2)
            memfile_close(h);
    }
    mf = open_file(path, MEMFILE_WRITE); /* the same id begins anew */
    put_text(mf, "a", "three");
    commit_ok(mf);
    assert_text(mf, "a", "three");
    memfile_close(mf);
    verify_ok(path);
}

static void the_same_id_begins_a_new_memory_before_compaction(void **state)
{
    (void)state;
    const char *path = temp_path("again");
    memfile *mf = create_file(path);
    memfile_draft *d;
    memfile_put_result r;
    put_text(mf, "a", "one");
    commit_ok(mf);
    forget_ok(mf, "a");
    assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
    memfile_draft_set(d, MEMFILE_ID, "a", 1);
    memfile_draft_set(d, MEMFILE_TEXT, "two", 3);
    assert_int_equal(memfile_put_if(mf, d, 0, &r), MEMFILE_E_CONFLICT);
    assert_int_equal(memfile_put_if(mf, d, UINT64_MAX, &r), MEMFILE_OK); /* in the same batch, behind it */
    memfile_draft_free(d);
    assert_int_equal(forget_id(mf, "a", NULL), MEMFILE_E_MISUSE);
    commit_ok(mf);
    assert_text(mf, "a", "two");
    assert_int_equal(get(mf, "a", 1), MEMFILE_E_NOT_FOUND);
    assert_int_equal(forget_id(mf, "nothing", NULL), MEMFILE_DONE);
    put_text(mf, "a", "three");
    commit_ok(mf);
    forget_ok(mf, "a");
    assert_int_equal(forget_id(mf, "a", NULL), MEMFILE_DONE); /* the batch does it already */
    commit_ok(mf);
    assert_int_equal(get(mf, "a", MEMFILE_NEWEST), MEMFILE_E_NOT_FOUND);
    memfile_close(mf);
    verify_ok(path);
    compact_ok(path, NULL);
    verify_ok(path);
}

static void actions_and_pinned_ones_are_kept_unless_it_is_said(void **state)
{
    (void)state;
    const char *path = temp_path("kept"), *ids[] = {"act", "pin", "plain", "gone"};
    memfile *mf = create_file(path);
    memfile_forget_options o = MEMFILE_FORGET_OPTIONS_INIT;
    memfile_forget_result r;
    memfile_put_result put;
    put_ok(mf, "{\"id\":\"act\",\"text\":\"sent\",\"idempotency_key\":\"mail-1\"}");
    put_ok(mf, "{\"id\":\"act\",\"text\":\"sent, again\"}");
    put_ok(mf, "{\"id\":\"pin\",\"text\":\"who I am\",\"pinned\":true}");
    put_ok(mf, "{\"id\":\"plain\",\"text\":\"x\"}");
    commit_ok(mf);
    o.dry_run = 1;
    assert_int_equal(forget_ids(mf, ids, 4, &o, &r), MEMFILE_OK);
    assert_int_equal(r.memories, 1);
    assert_int_equal(r.made, 0);
    assert_int_equal(memfile_commit(mf, NULL), MEMFILE_DONE);
    assert_int_equal(get(mf, "plain", MEMFILE_NEWEST), MEMFILE_OK);
    o.dry_run = 0;
    assert_int_equal(forget_ids(mf, ids, 4, &o, &r), MEMFILE_OK);
    assert_int_equal(r.memories, 1);
    assert_int_equal(r.entries, 1);
    assert_int_equal(r.kept_actions, 1);
    assert_int_equal(r.kept_pinned, 1);
    assert_int_equal(r.not_found, 1);
    commit_ok(mf);
    assert_int_equal(forget_ids(mf, ids, 2, &o, &r), MEMFILE_DONE);
    assert_int_equal(put_json(mf, "{\"text\":\"once\",\"idempotency_key\":\"mail-1\"}", &put), MEMFILE_OK);
    assert_int_equal(put.existed, 1);
    o.even_actions = o.even_pinned = 1;
    assert_int_equal(forget_ids(mf, ids, 2, &o, &r), MEMFILE_OK);
    assert_int_equal(r.entries, 3);
    assert_int_equal(put_json(mf, "{\"text\":\"once\",\"idempotency_key\":\"mail-1\"}", &put), MEMFILE_OK);
    assert_int_equal(put.existed, 0);
    commit_ok(mf);
    assert_int_equal(count_list(mf, NULL), 1);
    memfile_close(mf);
    verify_ok(path);
}

typedef struct seen {
    char text[2000];
} seen;

static int take_forgetting(void *context, const memfile_forgetting *f)
{
    seen *s = (seen *)context;
    size_t n, at = strlen(s->text);
    const char *reason = memfile_entry_field(f->by, MEMFILE_REASON, &n);
    at += (size_t)snprintf(s->text + at, sizeof s->text - at, "%d '%.*s'", (int)memfile_entry_number(f->by), (int)n,
                           reason ? reason : "");
    const char *actor = memfile_entry_field(f->by, MEMFILE_ACTOR, &n);
    at += (size_t)snprintf(s->text + at, sizeof s->text - at, " %.*s:", (int)n, actor ? actor : "");
    for (size_t i = 0; i < f->count; i++)
        at += (size_t)snprintf(s->text + at, sizeof s->text - at, " %d", (int)f->entries[i]);
    snprintf(s->text + at, sizeof s->text - at, "\n");
    return 0;
}

static void forgetting_is_recorded_before_and_after_compaction(void **state)
{
    (void)state;
    const char *path = temp_path("recorded");
    memfile_close(create_file(path));
    memfile_options options = MEMFILE_OPTIONS_INIT;
    memfile_forget_options o = MEMFILE_FORGET_OPTIONS_INIT;
    memfile *mf;
    options.author = "Ann";
    assert_int_equal(memfile_open(path, MEMFILE_WRITE, &options, &mf, NULL), MEMFILE_OK);
    for (int i = 0; i < 6; i++) {
        char id[16];
        snprintf(id, sizeof id, "m%d", i % 4);
        put_text(mf, id, "x");
    }
    commit_ok(mf);
    const char *one[] = {"m1", "m3"}, *two[] = {"m0"};
    o.reason = "asked for";
    assert_int_equal(forget_ids(mf, one, 2, &o, NULL), MEMFILE_OK);
    commit_ok(mf);
    o.reason = NULL;
    assert_int_equal(forget_ids(mf, two, 1, &o, NULL), MEMFILE_OK);
    commit_ok(mf);
    memfile_close(mf);
    const char *expected = "6 'asked for' Ann: 1 3 5\n7 '' Ann: 0 4\n";
    for (int i = 0; i < 3; i++) {
        seen s = {""};
        mf = open_file(path, MEMFILE_READ);
        assert_int_equal(memfile_forgettings(mf, take_forgetting, &s), MEMFILE_OK);
        assert_string_equal(s.text, expected);
        memfile_close(mf);
        compact_ok(path, NULL);
        verify_ok(path);
    }
}

static void a_filter_takes_memories_by_any_version_and_by_the_newest_time(void **state)
{
    (void)state;
    const char *path = temp_path("filter"), *scope = "s";
    memfile *mf = create_file(path);
    memfile_filter f = MEMFILE_FILTER_INIT;
    memfile_forget_result r;
    put_ok(mf, "{\"id\":\"moved\",\"text\":\"1\",\"scope\":[\"s\"],\"time\":\"2020-01-01T00:00:00Z\"}");
    put_ok(mf, "{\"id\":\"moved\",\"text\":\"2\",\"scope\":[\"t\"],\"time\":\"2024-01-01T00:00:00Z\"}");
    put_ok(mf, "{\"id\":\"old\",\"text\":\"3\",\"scope\":[\"s\",\"x\"],\"time\":\"2020-01-01T00:00:00Z\"}");
    put_ok(mf, "{\"id\":\"other\",\"text\":\"4\",\"scope\":[\"t\"],\"time\":\"2020-01-01T00:00:00Z\"}");
    commit_ok(mf);
    f.scope = &scope;
    f.scope_count = 1;
    f.until = "2021-01-01T00:00:00Z";
    assert_int_equal(forget_where(mf, &f, &r), MEMFILE_OK);
    assert_int_equal(r.memories, 1); /* old */
    f.until = NULL;
    assert_int_equal(forget_where(mf, &f, &r), MEMFILE_OK);
    assert_int_equal(r.memories, 1); /* moved */
    assert_int_equal(r.entries, 2);
    commit_ok(mf);
    assert_int_equal(count_list(mf, NULL), 1);
    f.since = "yesterday";
    assert_int_equal(forget_where(mf, &f, &r), MEMFILE_E_INVALID);
    memfile_close(mf);
    verify_ok(path);
}

static void many_are_forgotten_by_several_entries(void **state)
{
    (void)state;
    const char *path = temp_path("many");
    memfile *mf = create_file(path);
    memfile_filter f = MEMFILE_FILTER_INIT;
    memfile_forget_result r;
    char json[100];
    for (int i = 0; i < 9000; i++) {
        snprintf(json, sizeof json, "{\"id\":\"i%d\",\"text\":\"text %d\",\"kind\":\"%s\"}", i, i, i % 9 ? "log" : "note");
        put_ok(mf, json);
    }
    commit_ok(mf);
    f.kind = "log";
    assert_int_equal(forget_where(mf, &f, &r), MEMFILE_OK);
    assert_int_equal(r.entries, 8000);
    assert_int_equal(r.made, 2);
    commit_ok(mf);
    assert_int_equal(count_list(mf, NULL), 1000);
    memfile_close(mf);
    verify_ok(path);
    compact_ok(path, NULL);
    verify_ok(path);
    mf = open_file(path, MEMFILE_READ);
    assert_int_equal(count_list(mf, NULL), 1000);
    memfile_close(mf);
}

/* SPEC 13.3: nodes that do not fit a segment go on in the next ones. */
static void a_tree_with_many_holes_takes_several_segments(void **state)
{
    (void)state;
    const char *path = temp_path("holes");
    memfile *mf = create_file(path);
    memfile_filter f = MEMFILE_FILTER_INIT;
    memfile_info info;
    char json[100];
    const int n = 60000;
    for (int i = 0; i < n; i++) {
        snprintf(json, sizeof json, "{\"id\":\"i%d\",\"text\":\"t\",\"kind\":\"%s\"}", i, i % 2 ? "log" : "note");
        put_ok(mf, json);
    }
    commit_ok(mf);
    put_text(mf, "one", "more"); /* in the same tree */
    commit_ok(mf);
    f.kind = "log";
    assert_int_equal(forget_where(mf, &f, NULL), MEMFILE_OK);
    commit_ok(mf);
    memfile_close(mf);
    for (int i = 0; i < 2; i++) { /* the second reads them back */
        compact_ok(path, NULL);
        verify_ok(path);
    }
    mf = open_file(path, MEMFILE_READ);
    assert_true(mf->store.state->footer.history_count > 1 || n / 2 < 32768);
    assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
    assert_int_equal(count_list(mf, NULL), n / 2 + 1);
    memfile_close(mf);
}

/* ---- nothing is left: a property of random memories */

typedef struct made {
    char id[24], target[24], text[200], key[24], tag[24], kind[24], scope[24], idempotency[24], meta[64];
    int length;
    bool has_key, has_idempotency, long_text, vector, forgotten;
} made;

#define MADE_MAX 400
#define LONG_TEXT 40000

typedef struct world {
    made m[MADE_MAX];
    int count;
    uint64_t random;
} world;

static void random_word(world *w, char *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = (char)('a' + next_random(&w->random) % 26);
    out[n] = '\0';
}

static void make_long(const made *m, char *out)
{
    for (int i = 0; i < LONG_TEXT; i++)
        out[i] = m->text[i % (int)strlen(m->text)];
    out[LONG_TEXT] = '\0';
}

static void put_random(world *w, memfile *mf)
{
    made *m = &w->m[w->count];
    static char json[LONG_TEXT + 4000], text[LONG_TEXT + 1];
    memset(m, 0, sizeof *m);
    int older = w->count ? (int)(next_random(&w->random) % (uint64_t)w->count) : -1;
    bool same_id = older >= 0 && next_random(&w->random) % 3 == 0, same_key = older >= 0 && next_random(&w->random) % 2;
    if (same_id)
        memcpy(m->id, w->m[older].id, sizeof m->id);
    else
        random_word(w, m->id, 14);
    m->has_key = next_random(&w->random) % 2;
    if (same_key && w->m[older].has_key) {
        memcpy(m->key, w->m[older].key, sizeof m->key);
        memcpy(m->scope, w->m[older].scope, sizeof m->scope);
        m->has_key = true;
    } else {
        random_word(w, m->key, 14);
        random_word(w, m->scope, 14);
    }
    random_word(w, m->tag, 14);
    random_word(w, m->kind, 14);
    random_word(w, m->idempotency, 14);
    random_word(w, m->meta, 30);
    m->has_idempotency = next_random(&w->random) % 5 == 0;
    random_word(w, m->text, 40 + (int)(next_random(&w->random) % 100));
    m->long_text = next_random(&w->random) % 20 == 0;
    m->vector = next_random(&w->random) % 4 == 0;
    make_long(m, text);
    memcpy(m->target, older >= 0 ? w->m[older].id : "nobody", older >= 0 ? sizeof m->target : 7);
    int n = snprintf(json, sizeof json,
                     "{\"id\":\"%s\",\"kind\":\"%s\",\"scope\":[\"%s\"],\"text\":\"%s\",\"tags\":[\"%s\"],"
                     "\"meta\":{\"x\":\"%s\"},\"links\":[{\"rel\":\"follows\",\"to\":\"%s\"}]",
                     m->id, m->kind, m->scope, m->long_text ? text : m->text, m->tag, m->meta,
                     m->target);
    if (m->has_key)
        n += snprintf(json + n, sizeof json - (size_t)n, ",\"key\":\"%s\"", m->key);
    if (m->has_idempotency)
        n += snprintf(json + n, sizeof json - (size_t)n, ",\"idempotency_key\":\"%s\"", m->idempotency);
    if (m->vector) /* a value of 8 bytes that nothing else has */
        n += snprintf(json + n, sizeof json - (size_t)n, ",\"embedding\":{\"space\":\"v\",\"values\":[%d.123456789012345,%d.987654321098765]}",
                      w->count + 1000, w->count + 5000);
    snprintf(json + n, sizeof json - (size_t)n, "}");
    put_ok(mf, json);
    w->count++;
}

/* Every read there is, as text. */
static char *dump(memfile *mf, const world *w)
{
    size_t room = 8u << 20, at = 0;
    char *out = (char *)malloc(room);
    memfile_info info;
    memfile_get_info(mf, &info, sizeof info);
    for (uint64_t as_of = 0; as_of <= info.commits; as_of += 1 + as_of / 3)
        for (int way = 0; way < 4; way++) {
            memfile_filter f = MEMFILE_FILTER_INIT;
            memfile_cursor *c;
            const memfile_entry *e;
            f.as_of = as_of < info.commits ? as_of : MEMFILE_NEWEST;
            f.reverse = way & 1;
            f.all = way >> 1;
            assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
            int rc;
            while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK)
                at += (size_t)snprintf(out + at, room - at, " %d", (int)memfile_entry_number(e));
            if (rc != MEMFILE_DONE)
                fail_msg("list: %s", memfile_last_error(mf)->message);
            memfile_cursor_close(c);
            at += (size_t)snprintf(out + at, room - at, "\n");
        }
    for (int i = 0; i < w->count; i++) {
        const memfile_entry *e;
        memfile_filter f = MEMFILE_FILTER_INIT;
        const char *json, *scope = w->m[i].scope;
        size_t n;
        if (memfile_get(mf, w->m[i].id, strlen(w->m[i].id), MEMFILE_NEWEST, &e) == MEMFILE_OK) {
            assert_int_equal(memfile_entry_json(mf, e, UINT64_MAX, &json, &n), MEMFILE_OK);
            at += (size_t)snprintf(out + at, room - at, "%.*s\n", (int)n, json);
        }
        f.scope = &scope;
        f.scope_count = 1;
        at += (size_t)snprintf(out + at, room - at, "%d in scope\n", (int)count_list(mf, &f));
    }
    return out;
}

/* Which entries are in force, from nothing but what was put. */
static void check_live(memfile *mf, const world *w, const uint64_t *number)
{
    memfile_cursor *c;
    const memfile_entry *e;
    assert_int_equal(memfile_list(mf, NULL, &c), MEMFILE_OK);
    for (int i = 0; i < w->count; i++) {
        bool live = !w->m[i].forgotten;
        for (int k = i + 1; k < w->count && live; k++)
            if (!w->m[k].forgotten &&
                (strcmp(w->m[i].id, w->m[k].id) == 0 ||
                 (w->m[i].has_key && w->m[k].has_key && strcmp(w->m[i].key, w->m[k].key) == 0 &&
                  strcmp(w->m[i].scope, w->m[k].scope) == 0)))
                live = false;
        if (!live)
            continue;
        assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_OK);
        assert_int_equal(memfile_entry_number(e), number[i]);
    }
    assert_int_equal(memfile_cursor_next(c, &e), MEMFILE_DONE);
    memfile_cursor_close(c);
}

/* All bytes of all segments, heads as they are and contents by their codec. */
static uint8_t *decoded(const char *path, size_t *length)
{
    size_t file_length, room = 64u << 20, at = 0, count;
    static mf_segment s[20000];
    uint8_t *file = read_file(path, &file_length), *out = (uint8_t *)malloc(room);
    memfile *mf = open_here(path, MEMFILE_READ);
    memfile_error e;
    count = segments_of(file, file_length, s, 20000);
    for (size_t i = 0; i < count; i++) {
        mf_slice head, stored;
        const mf_dictionary *d = NULL;
        uint8_t *raw = file + s[i].offset;
        const uint8_t *opened;
        assert_true(!sealed_by || s[i].type == MF_TYPE_SEALED || s[i].type == MF_TYPE_KEYS);
        assert_int_equal(mf_segment_open(&mf->store.seal, &s[i], raw, raw, &opened, &e), MEMFILE_OK);
        assert_int_equal(mf_segment_split(&s[i], opened, &head, &stored, &e), MEMFILE_OK);
        memcpy(out + at, head.data, head.length);
        at += head.length;
        if (s[i].codec == MF_CODEC_ZSTD_DICTIONARY)
            assert_int_equal(mf_store_dictionary(&mf->store, s[i].codec_parameter, &d, &e), MEMFILE_OK);
        if (s[i].raw_length)
            assert_int_equal(mf_segment_content(&s[i], stored, &mf->store.compressor, d, out + at, &e), MEMFILE_OK);
        at += s[i].raw_length;
        memset(out + at, 0, 16);
        at += 16;
        assert_true(at + (2u << 20) < room);
    }
    memfile_close(mf);
    free(file);
    *length = at;
    return out;
}

#define GRAM 9

static int compare_grams(const void *a, const void *b)
{
    return memcmp(a, b, GRAM);
}

static size_t add_grams(char (*out)[GRAM], size_t count, const char *text)
{
    for (size_t i = 0; i + GRAM <= strlen(text); i++)
        memcpy(out[count++], text + i, GRAM);
    return count;
}

static size_t add_all_grams(char (*out)[GRAM], size_t count, const made *m)
{
    const char *texts[] = {m->id, m->target, m->text, m->tag, m->kind, m->scope, m->meta, m->has_key ? m->key : "",
                           m->has_idempotency ? m->idempotency : ""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        count = add_grams(out, count, texts[i]);
    return count;
}

/* No nine bytes in a row of what was forgotten, if no survivor has them: in no segment. */
static void check_nothing_is_left(const char *path, const world *w)
{
    static char survives[MADE_MAX * 400][GRAM], gone[MADE_MAX * 400][GRAM];
    size_t length, survivors = 0, count = 0;
    uint8_t *bytes = decoded(path, &length);
    for (int i = 0; i < w->count; i++) {
        if (w->m[i].forgotten)
            count = add_all_grams(gone, count, &w->m[i]);
        else
            survivors = add_all_grams(survives, survivors, &w->m[i]);
    }
    qsort(survives, survivors, GRAM, compare_grams);
    qsort(gone, count, GRAM, compare_grams);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!bsearch(gone[i], survives, survivors, GRAM, compare_grams))
            memmove(gone[kept++], gone[i], GRAM);
    for (size_t i = 0; i + GRAM <= length; i++)
        if (bsearch(bytes + i, gone, kept, GRAM, compare_grams))
            fail_msg("'%.9s' is left at byte %zu of the decoded file", (const char *)bytes + i, i);
    for (int i = 0; i < w->count; i++)
        if (w->m[i].vector && w->m[i].forgotten) {
            double value = i + 1000 + 0.123456789012345;
            for (size_t k = 0; k + 8 <= length; k++)
                if (memcmp(bytes + k, &value, 8) == 0)
                    fail_msg("the vector of entry %d is left", i);
        }
    assert_true(kept > 0 || count == 0);
    free(bytes);
}

/* The hashes in the index are those of survivors. */
static void check_index(const char *path, const world *w)
{
    memfile *mf = open_here(path, MEMFILE_READ);
    mf_store *st = &mf->store;
    memfile_error e;
    for (int i = 0; i < w->count; i++) {
        const made *m = &w->m[i];
        if (!m->forgotten)
            continue;
        mf_slice tag = mf_slice_of(m->tag, strlen(m->tag)), scope = mf_slice_of(m->scope, strlen(m->scope)),
                 key = mf_slice_of(m->key, strlen(m->key)), once = mf_slice_of(m->idempotency, strlen(m->idempotency));
        bool id_lives = false, key_lives = false;
        for (int k = 0; k < w->count; k++) {
            id_lives |= !w->m[k].forgotten && strcmp(w->m[k].id, m->id) == 0;
            key_lives |= !w->m[k].forgotten && strcmp(w->m[k].key, m->key) == 0;
        }
        mf_id id = {(const uint8_t *)m->id, (uint32_t)strlen(m->id), false};
        struct {
            unsigned kind;
            uint64_t hash;
        } items[] = {{MF_ITEM_ID, id_lives ? 0 : mf_item_hash_id(id, st->tag)},
                     {MF_ITEM_FACET, mf_item_hash(MF_HASH_TAG, tag, st->tag)},
                     {MF_ITEM_KEY, key_lives ? 0 : mf_item_hash_key(&scope, 1, key, st->tag)},
                     {MF_ITEM_IDEMPOTENCY, mf_item_hash(MF_HASH_IDEMPOTENCY, once, st->tag)}};
        for (int k = 0; k < 4; k++)
            for (uint32_t r = 0; items[k].hash && r < st->state->footer.run_count; r++) {
                mf_item target = {(uint8_t)items[k].kind, items[k].hash, UINT64_MAX}, found;
                int rc = mf_store_floor(st, &st->state->footer.runs[r], &target, &found, &e);
                if (rc == MEMFILE_OK && found.kind == target.kind && found.key == target.key)
                    fail_msg("an item of kind %u of entry %d is left", items[k].kind, i);
            }
    }
    memfile_close(mf);
}

static void nothing_of_what_was_forgotten_is_left(void **state)
{
    (void)state;
    static world w;
    static uint64_t number[MADE_MAX];
    for (uint64_t seed = 1; seed <= 12; seed++) {
        sealed_by = seed % 3 == 0 ? "open" : NULL; /* every seal is opened to look for what should be gone */
        const char *path = temp_path("property");
        memset(&w, 0, sizeof w);
        w.random = seed * 0x9e3779b97f4a7c15u;
        memfile *mf = open_here(path, MEMFILE_CREATE);
        memfile_info info;
        memfile_compact_result r;
        uint64_t commits = 0;
        for (int round = 0; round < 3; round++) {
            for (int batch = 0; batch < 12; batch++) {
                if (next_random(&w.random) % 4 == 0) { /* another tree of salts */
                    memfile_close(mf);
                    mf = open_here(path, MEMFILE_WRITE);
                }
                int n = 1 + (int)(next_random(&w.random) % (batch % 3 ? 3 : 20));
                memfile_get_info(mf, &info, sizeof info);
                for (int i = 0; i < n && w.count < MADE_MAX - 1; i++) {
                    number[w.count] = info.entries + (uint64_t)i;
                    put_random(&w, mf);
                }
                commit_ok(mf);
                commits++;
                if (next_random(&w.random) % 2) {
                    memfile_forget_options o = MEMFILE_FORGET_OPTIONS_INIT;
                    const char *ids[8];
                    o.even_actions = 1;
                    o.reason = "because";
                    for (int i = 0; i < 8; i++) {
                        int k = (int)(next_random(&w.random) % (uint64_t)w.count);
                        ids[i] = w.m[k].id;
                        for (int j = 0; j < w.count; j++)
                            w.m[j].forgotten |= strcmp(w.m[j].id, ids[i]) == 0;
                    }
                    int rc = forget_ids(mf, ids, 8, &o, NULL);
                    if (rc == MEMFILE_OK)
                        commit_ok(mf);
                    else
                        assert_int_equal(rc, MEMFILE_DONE);
                }
            }
            check_live(mf, &w, number);
            char *before = dump(mf, &w);
            uint8_t digest[32];
            memfile_get_info(mf, &info, sizeof info);
            memcpy(digest, info.history_digest, 32);
            memfile_close(mf);
            verify_ok(path);
            compact_ok(path, &r);
            assert_memory_equal(r.history_digest, digest, 32);
            assert_int_equal(r.erased, info.forgotten);
            verify_ok(path);
            mf = open_here(path, MEMFILE_WRITE);
            char *after = dump(mf, &w);
            assert_string_equal(before, after);
            free(before);
            free(after);
            check_live(mf, &w, number);
            check_nothing_is_left(path, &w);
            check_index(path, &w);
        }
        memfile_close(mf);
    }
    sealed_by = NULL;
}

/* ---- an attacker who guesses */

/* Knows the file after compaction and what the erased core was; is looking for its salt. */
static void the_right_guess_cannot_be_confirmed(void **state)
{
    (void)state;
    const char *path = temp_path("guess");
    memfile *mf = create_file(path);
    mf_object *o;
    mf_buffer core;
    uint32_t row;
    memfile_error e;
    const char *secret = "the secret";
    for (int i = 0; i < 70; i++)
        put_text(mf, i == 33 ? "x" : NULL, i == 33 ? secret : "something else");
    commit_ok(mf);
    mf_buffer_init(&core, &mf_mem_default);
    mf_put_zero(&core, 16);
    assert_int_equal(mf_store_entry(&mf->store, 33, &o, &row, &e), MEMFILE_OK);
    assert_int_equal(mf_store_content(&mf->store, o, &e), MEMFILE_OK);
    assert_int_equal(mf_block_core(&o->block, row, &core), 0);
    mf_store_release(&mf->store, o);
    forget_ok(mf, "x");
    commit_ok(mf);
    memfile_close(mf);
    uint8_t leaf[32], salt[16];
    const uint8_t *erased = NULL;
    for (int after = 0; after < 2; after++) {
        size_t length;
        if (after)
            compact_ok(path, NULL);
        uint8_t *bytes = decoded(path, &length);
        mf = open_file(path, MEMFILE_READ);
        assert_int_equal(mf_store_entry(&mf->store, 33, &o, &row, &e), MEMFILE_OK);
        erased = mf_block_erased(&o->block, row);
        assert_true((erased != NULL) == after);
        bool confirmed = false;
        uint8_t wanted[32];
        if (erased) {
            memcpy(wanted, erased, 32);
        } else { /* the leaf that will stay: named by the forgetting */
            mf_object *f;
            uint32_t at;
            const uint8_t *leaves;
            assert_int_equal(mf_store_entry(&mf->store, 70, &f, &at, &e), MEMFILE_OK);
            assert_int_equal(mf_store_content(&mf->store, f, &e), MEMFILE_OK);
            assert_int_equal(mf_record_leaves(mf_block_rest_field(&f->block, at, MF_FIELD_SUPERSEDES), &leaves), 1);
            memcpy(wanted, leaves, 32);
            mf_store_release(&mf->store, f);
        }
        /* each 16 bytes of the file as a node at each depth above index 33 */
        for (size_t i = 0; i + 16 <= length && !confirmed; i++)
            for (unsigned depth = 0; depth <= 16 && !confirmed; depth++) {
                mf_salt_below(bytes + i, depth, 33, salt);
                memcpy(core.data, salt, 16);
                mf_digest(leaf, MF_LABEL_LEAF, core.data, core.length);
                confirmed = memcmp(leaf, wanted, 32) == 0;
            }
        assert_int_equal(confirmed, !after); /* the search is able to find it while it is there */
        mf_salt_walk walk;
        assert_int_equal(mf_salt_walk_open(&walk, &mf->store, &e), MEMFILE_OK);
        for (uint64_t i = 0; i < 70; i++)
            assert_int_equal(mf_salt_walk_salt(&walk, i, salt, &e), after && i == 33 ? MEMFILE_DONE : MEMFILE_OK);
        mf_salt_walk_close(&walk);
        mf_store_release(&mf->store, o);
        memfile_close(mf);
        free(bytes);
    }
    mf_buffer_free(&core);
}

/* ---- references, imports, damage */

static void note_dangling(void *context, const memfile_dangling *d)
{
    char *out = (char *)context;
    size_t at = strlen(out);
    snprintf(out + at, 1000 - at, "%d %.*s %.*s %.*s\n", (int)d->entry, (int)d->id_length, d->id,
             d->relation ? (int)d->relation_length : 12, d->relation ? d->relation : "derived_from",
             (int)d->target_length, d->target);
}

static void references_to_what_is_erased_are_told(void **state)
{
    (void)state;
    const char *path = temp_path("dangling");
    memfile *mf = create_file(path);
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_compact_result r;
    char told[1000] = "";
    put_ok(mf, "{\"id\":\"early\",\"text\":\"1\",\"links\":[{\"rel\":\"about\",\"to\":\"x\"}]}");
    put_ok(mf, "{\"id\":\"x\",\"text\":\"2\"}");
    put_ok(mf, "{\"id\":\"y\",\"text\":\"3\",\"derived_from\":[\"x\",\"nobody\"]}");
    put_ok(mf, "{\"id\":\"z\",\"text\":\"4\",\"derived_from\":[\"again\"]}");
    put_ok(mf, "{\"id\":\"again\",\"text\":\"5\"}");
    commit_ok(mf);
    forget_ok(mf, "x");
    forget_ok(mf, "again");
    put_ok(mf, "{\"id\":\"again\",\"text\":\"6\"}");
    commit_ok(mf);
    memfile_close(mf);
    o.dangling = note_dangling;
    o.context = told;
    assert_int_equal(memfile_compact(path, &o, &r, NULL), MEMFILE_OK);
    assert_string_equal(told, "0 early about x\n2 y derived_from x\n");
    assert_int_equal(r.dangling, 2);
    assert_int_equal(r.erased, 2);
}

/* A copy's forgetting, imported: the leaves are those of this history. */
static void forgetting_can_be_imported(void **state)
{
    (void)state;
    const char *path = temp_path("import"), *copy = temp_path("import-copy"), *new = temp_path("import-new");
    memfile *mf = create_file(path);
    char line[500];
    const memfile_entry *e;
    const char *json;
    size_t n;
    for (int i = 0; i < 5; i++)
        put_text(mf, i == 2 ? "x" : NULL, "text");
    commit_ok(mf);
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &n);
    write_file(copy, bytes, n);
    free(bytes);
    mf = open_file(path, MEMFILE_WRITE);
    forget_ok(mf, "x");
    commit_ok(mf);
    assert_int_equal(memfile_get_entry(mf, 5, &e), MEMFILE_OK);
    assert_int_equal(memfile_entry_json(mf, e, 0, &json, &n), MEMFILE_OK);
    snprintf(line, sizeof line, "%.*s", (int)n, json);
    memfile_close(mf);
    mf = open_file(copy, MEMFILE_WRITE);
    put_text(mf, "before", "it");
    put_ok(mf, line);
    put_text(mf, "behind", "it");
    commit_ok(mf);
    assert_int_equal(get(mf, "x", MEMFILE_NEWEST), MEMFILE_E_NOT_FOUND);
    put_ok(mf, line); /* names what is forgotten already */
    commit_ok(mf);
    memfile_close(mf);
    verify_ok(copy);
    compact_ok(copy, NULL);
    verify_ok(copy);
    mf = create_file(new); /* history without effect */
    put_text(mf, "x", "another");
    commit_ok(mf);
    put_ok(mf, line);
    commit_ok(mf);
    assert_text(mf, "x", "another");
    memfile_close(mf);
    verify_ok(new);
    compact_ok(new, NULL);
    verify_ok(new);
}

/* Whatever single segment is damaged but the one that holds the forgetting itself: what is forgotten is
 * not given out again. */
static void damage_brings_nothing_back(void **state)
{
    (void)state;
    const char *path = temp_path("damage"), *ids[] = {"x", "y"};
    memfile *mf = create_file(path);
    char id[20];
    mf_object *o;
    uint32_t row;
    memfile_error e;
    static mf_segment s[2000];
    for (int i = 0; i < 300; i++) {
        snprintf(id, sizeof id, i == 100 ? "x" : i == 200 ? "y" : "n%d", i);
        put_text(mf, id, "a text of some length, to be remembered");
        if (i % 50 == 49)
            commit_ok(mf);
    }
    memfile_close(mf);
    mf = open_file(path, MEMFILE_WRITE); /* another tree of salts */
    put_text(mf, "later", "text");
    commit_ok(mf);
    assert_int_equal(forget_ids(mf, ids, 2, NULL, NULL), MEMFILE_OK);
    commit_ok(mf);
    put_text(mf, "last", "text");
    commit_ok(mf);
    assert_int_equal(mf_store_entry(&mf->store, 301, &o, &row, &e), MEMFILE_OK);
    uint64_t holder = o->offset;
    mf_store_release(&mf->store, o);
    memfile_close(mf);
    for (int compacted = 0; compacted < 2; compacted++) {
        size_t length;
        if (compacted)
            compact_ok(path, NULL);
        uint8_t *bytes = read_file(path, &length);
        size_t count = segments_of(bytes, length, s, 2000), rebuilt = 0, given = 0;
        for (size_t i = 0; i < count; i++)
            for (int where = 0; where < 2; where++) {
                uint64_t at = s[i].offset + (where ? MF_SEGMENT_HEADER_LENGTH + s[i].stored_length / 2 : 20);
                bytes[at] ^= 1;
                int rc = memfile_open_memory(bytes, length, NULL, &mf, NULL);
                if (rc == MEMFILE_OK) {
                    memfile_filter f = MEMFILE_FILTER_INIT;
                    memfile_cursor *c;
                    const memfile_entry *entry;
                    bool back = get(mf, "x", MEMFILE_NEWEST) == MEMFILE_OK || get(mf, "y", MEMFILE_NEWEST) == MEMFILE_OK;
                    back |= memfile_get_entry(mf, 100, &entry) == MEMFILE_OK;
                    f.all = 1;
                    rc = memfile_list(mf, &f, &c);
                    while (rc == MEMFILE_OK && (rc = memfile_cursor_next(c, &entry)) == MEMFILE_OK) {
                        back |= memfile_entry_number(entry) == 100 || memfile_entry_number(entry) == 200;
                        given++;
                    }
                    memfile_cursor_close(c);
                    rebuilt += mf->store.state->blocks != NULL;
                    if (back && (compacted || s[i].offset != holder))
                        fail_msg("damage at %llu, type %u, brings back what was forgotten", (unsigned long long)at, s[i].type);
                    memfile_close(mf);
                }
                bytes[at] ^= 1;
            }
        assert_true(rebuilt > 0);
        assert_true(given > 300 * count); /* most of it can be read in most cases */
        free(bytes);
    }
}

typedef struct told {
    uint64_t entries;
    bool each[400];
} told;

static void note_doubtful(void *context, const memfile_finding *finding)
{
    told *t = (told *)context;
    if (!strstr(finding->message, "may be forgotten"))
        return;
    assert_int_equal(finding->code, MEMFILE_E_DAMAGED);
    for (uint64_t i = 0; i < finding->entry_count; i++) {
        assert_true(finding->first_entry + i < 400 && !t->each[finding->first_entry + i]);
        t->each[finding->first_entry + i] = true;
    }
    t->entries += finding->entry_count;
}

/* Where the commit is lost that the salts come from, a forgotten leaf fits no entry: those that it may be are left out,
 * counted as lost and named. Those of other trees are not. */
static void entries_that_may_be_forgotten_are_named(void **state)
{
    (void)state;
    const char *path = temp_path("doubt"), *out = temp_path("doubt-out"), *ids[] = {"x", "y"};
    char id[20];
    mf_segment s[200];
    memfile *mf = create_file(path);
    for (int i = 0; i < 300; i++) {
        snprintf(id, sizeof id, i == 100 ? "x" : i == 200 ? "y" : "n%d", i);
        put_text(mf, id, "a text of some length, to be remembered, and longer than what a small commit takes in");
        if (i % 50 == 49)
            commit_ok(mf);
        if (i == 149) { /* another tree of salts */
            memfile_close(mf);
            mf = open_file(path, MEMFILE_WRITE);
        }
    }
    assert_int_equal(forget_ids(mf, ids, 2, NULL, NULL), MEMFILE_OK);
    commit_ok(mf);
    memfile_close(mf);
    size_t length, commit = 0;
    uint8_t *bytes = read_file(path, &length);
    size_t count = segments_of(bytes, length, s, 200);
    for (size_t i = 0; i < count; i++) {
        memfile_recover_options o = MEMFILE_RECOVER_OPTIONS_INIT;
        memfile_recover_result r;
        memfile_error e;
        told t = {0};
        if (!(s[i].flags & MF_FLAG_COMMIT))
            continue;
        bytes[s[i].offset + MF_SEGMENT_HEADER_LENGTH + 3] ^= 1;
        write_file(path, bytes, length);
        bytes[s[i].offset + MF_SEGMENT_HEADER_LENGTH + 3] ^= 1;
        unlink(out);
        o.finding = note_doubtful;
        o.context = &t;
        assert_int_equal(memfile_recover(path, out, &o, &r, &e), MEMFILE_E_DAMAGED);
        /* the genesis and the record of forgetting hold no salts; the others lose their batch, and doubt the later
         * ones of their tree */
        const size_t batch = commit - 1, end = batch < 3 ? 150 : 300;
        const bool loses = commit >= 1 && commit <= 6;
        const uint64_t doubted = loses ? end - 50 * (batch + 1) : 0, lost = loses ? 50 + doubted : 0;
        assert_int_equal(t.entries, doubted);
        for (size_t k = 0; k < 400; k++)
            assert_int_equal(t.each[k], doubted && k >= 50 * (batch + 1) && k < end);
        assert_int_equal(r.damage.lost_entries, lost);
        verify_ok(out);
        mf = open_file(out, MEMFILE_READ);
        assert_int_equal(count_list(mf, NULL), 300 - lost - (loses && batch != 5 ? 1 : 2));
        memfile_close(mf);
        commit++;
    }
    assert_int_equal(commit, 8);
    free(bytes);
}

static void what_is_recovered_has_erased_what_was_forgotten(void **state)
{
    (void)state;
    const char *path = temp_path("to-recover"), *out = temp_path("recovered");
    memfile *mf = create_file(path);
    memfile_recover_result r;
    memfile_error e;
    mf_segment s[200];
    char id[20];
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof id, i % 10 ? "n%d" : "x%d", i);
        put_text(mf, id, i % 10 ? "stays" : "zyxwvutsrqponm");
        commit_ok(mf);
    }
    for (int i = 0; i < 60; i += 10) {
        snprintf(id, sizeof id, "x%d", i);
        forget_ok(mf, id);
    }
    commit_ok(mf);
    memfile_close(mf);
    size_t length, n;
    uint8_t *bytes = read_file(path, &length);
    size_t count = segments_of(bytes, length, s, 200);
    for (size_t i = 0; i <= count; i++) { /* the last time nothing is damaged */
        uint64_t at = i < count ? s[i].offset + MF_SEGMENT_HEADER_LENGTH + 3 : 0;
        if (i < count)
            bytes[at] ^= 1;
        write_file(path, bytes, length);
        if (i < count)
            bytes[at] ^= 1;
        unlink(out);
        int rc = memfile_recover(path, out, NULL, &r, &e);
        if (rc != MEMFILE_OK && rc != MEMFILE_E_DAMAGED)
            fail_msg("recover: %s", e.message);
        assert_true(i < count || (rc == MEMFILE_OK && r.same_history));
        verify_ok(out);
        if (i < count && s[i].type == MF_TYPE_RECORDS)
            continue; /* the forgetting itself is lost, and nobody can know */
        uint8_t *all = decoded(out, &n);
        for (size_t k = 0; k + 14 <= n; k++)
            if (memcmp(all + k, "zyxwvutsrqponm", 14) == 0)
                fail_msg("a text that was forgotten is in what was recovered, with segment %zu of type %u damaged", i,
                         i < count ? s[i].type : 0);
        free(all);
    }
    free(bytes);
}

/* Words for texts that a dictionary is worth training for. */
static void words(char *out, size_t size, uint64_t *random, const char *phrase)
{
    static const char *const known[] = {"river", "stone", "green", "seven", "house", "window", "paper", "silver", "music", "garden"};
    size_t at = 0;
    while (at + 40 < size)
        at += (size_t)snprintf(out + at, size - at, "%s %s %u ", known[next_random(random) % 10],
                               next_random(random) % 3 ? known[next_random(random) % 10] : phrase,
                               (unsigned)(next_random(random) % 1000));
}

/* How often `phrase` stands in the dictionaries of a file. */
static size_t in_dictionaries(const char *path, const char *phrase, size_t *dictionaries)
{
    static mf_segment s[1000];
    size_t length, found = 0;
    uint8_t *bytes = read_file(path, &length);
    memfile *mf = open_here(path, MEMFILE_READ);
    *dictionaries = 0;
    for (size_t i = segments_of(bytes, length, s, 1000); i-- > 0;) {
        static uint8_t content[MF_RAW_LENGTH_MAX];
        mf_slice head, stored;
        memfile_error e;
        if (s[i].type != MF_TYPE_DICTIONARY)
            continue;
        ++*dictionaries;
        assert_int_equal(mf_segment_split(&s[i], bytes + s[i].offset, &head, &stored, &e), MEMFILE_OK);
        assert_int_equal(mf_segment_content(&s[i], stored, &mf->store.compressor, NULL, content, &e), MEMFILE_OK);
        for (size_t k = 0; k + strlen(phrase) <= s[i].raw_length; k++)
            found += memcmp(content + k, phrase, strlen(phrase)) == 0;
    }
    memfile_close(mf);
    free(bytes);
    return found;
}

/* A dictionary is trained with texts as they are: with none that is forgotten. */
static void a_dictionary_learns_nothing_of_what_is_forgotten(void **state)
{
    (void)state;
    enum { COUNT = 900 };
    const char *path = temp_path("learns"), *out = temp_path("learnt");
    char text[600], id[20];
    size_t dictionaries;
    memfile_recover_result r;
    memfile_error e;
    uint64_t random = 7;
    memfile *mf = create_file(path);
    for (int i = 0; i < COUNT; i++) {
        snprintf(id, sizeof id, "n%d", i);
        words(text, sizeof text, &random, i % 3 ? "survives" : "zyxwvutsrqponm");
        put_text(mf, id, text);
        if (i % 300 == 299)
            commit_ok(mf);
    }
    for (int i = 0; i < COUNT; i += 3) {
        snprintf(id, sizeof id, "n%d", i);
        forget_ok(mf, id);
    }
    commit_ok(mf);
    memfile_close(mf);
    unlink(out);
    assert_int_equal(memfile_recover(path, out, NULL, &r, &e), MEMFILE_OK);
    compact_ok(path, NULL);
    for (int i = 0; i < 2; i++) {
        const char *written = i ? out : path;
        verify_ok(written);
        assert_true(in_dictionaries(written, "survives", &dictionaries) > 0);
        assert_true(dictionaries > 0);
        assert_int_equal(in_dictionaries(written, "zyxwvu", &dictionaries), 0);
    }
}

static void count_item(void *context, const memfile_forget_item *item)
{
    (void)item;
    ++*(int *)context;
}

/* Of what cannot be told nothing is told, and nothing is forgotten. */
static void a_forgetting_that_fails_tells_and_changes_nothing(void **state)
{
    (void)state;
    static const char *const ids[] = {"good", "lost", "also good"};
    static mf_segment s[400];
    const char *path = temp_path("fails");
    memfile_options now = MEMFILE_OPTIONS_INIT;
    memfile_forget_options o = MEMFILE_FORGET_OPTIONS_INIT;
    memfile_forget_result r;
    memfile_error e;
    memfile *mf = create_file(path), *other;
    char text[600];
    uint64_t random = 9;
    int items = 0;
    for (int batch = 0; batch < 2; batch++) { /* so that they are in blocks of their own, behind an index */
        for (size_t i = 0; i < 3; i++)
            put_text(mf, ids[i], batch ? "newer" : "older");
        for (int i = 0; i < 300; i++) {
            words(text, sizeof text, &random, "more");
            put_text(mf, NULL, text);
        }
        commit_ok(mf);
    }
    memfile_close(mf);
    o.item = count_item;
    o.context = &items;

    mf = open_file(path, MEMFILE_WRITE);
    now.lock_timeout_ms = 0;
    assert_int_equal(memfile_open(path, MEMFILE_WRITE, &now, &other, &e), MEMFILE_OK);
    put_text(other, "x", "holds the lock");
    memfile_close(mf);
    assert_int_equal(memfile_open(path, MEMFILE_WRITE, &now, &mf, &e), MEMFILE_OK);
    assert_int_equal(forget_ids(mf, ids, 3, &o, &r), MEMFILE_E_BUSY);
    assert_int_equal(items, 0);
    assert_int_equal(r.memories + r.entries + r.made, 0);
    memfile_close(other);
    memfile_close(mf);

    size_t length;
    uint8_t *bytes = read_file(path, &length);
    size_t first = 0, count = segments_of(bytes, length, s, 400);
    while (first < count && s[first].type != MF_TYPE_RECORDS)
        first++;
    assert_true(first < count);
    bytes[s[first].offset + MF_SEGMENT_HEADER_LENGTH + 20] ^= 1; /* the older versions of all three */
    write_file(path, bytes, length);
    mf = open_file(path, MEMFILE_WRITE);
    assert_int_equal(forget_ids(mf, ids, 3, &o, &r), MEMFILE_E_DAMAGED);
    assert_int_equal(items, 0);
    assert_int_equal(r.made, 0);
    assert_int_equal(memfile_commit(mf, NULL), MEMFILE_DONE);
    memfile_close(mf);
    free(bytes);
}

/* SPEC 18 */
static void note_dropped(void *context, unsigned type, uint64_t offset, uint64_t first_entry, uint64_t entry_count)
{
    assert_true(offset > 0 && entry_count > 0);
    (void)first_entry;
    *(unsigned *)context = type;
}

static size_t unknown_segments(const char *path)
{
    static mf_segment s[100];
    size_t length, count = 0;
    uint8_t *bytes = read_file(path, &length);
    for (size_t i = segments_of(bytes, length, s, 100); i-- > 0;)
        count += s[i].type == 200;
    free(bytes);
    return count;
}

static void unknown_segments_stay_unless_they_speak_of_what_is_forgotten(void **state)
{
    (void)state;
    const char *path = temp_path("unknown");
    size_t length;
    uint8_t *bytes = read_file(VECTORS "good-optional.memfile", &length);
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_compact_result r;
    unsigned dropped = 0;
    write_file(path, bytes, length);
    free(bytes);
    o.dropped = note_dropped;
    o.context = &dropped;
    size_t count = unknown_segments(path);
    assert_true(count > 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(memfile_compact(path, &o, &r, NULL), MEMFILE_OK);
        assert_int_equal(r.dropped_segments, 0);
        assert_int_equal(unknown_segments(path), count);
        verify_ok(path);
    }
    memfile *mf = open_file(path, MEMFILE_WRITE);
    memfile_filter f = MEMFILE_FILTER_INIT;
    assert_int_equal(forget_where(mf, &f, NULL), MEMFILE_OK); /* everything */
    commit_ok(mf);
    memfile_close(mf);
    assert_int_equal(memfile_compact(path, &o, &r, NULL), MEMFILE_OK);
    assert_int_equal(r.dropped_segments, count);
    assert_int_equal(dropped, 200);
    assert_int_equal(unknown_segments(path), 0);
    verify_ok(path);

    bytes = read_file(VECTORS "good-optional-derived.memfile", &length); /* can be made again: by who knows how */
    write_file(path, bytes, length);
    free(bytes);
    assert_int_equal(unknown_segments(path), 1);
    dropped = 0;
    assert_int_equal(memfile_compact(path, &o, &r, NULL), MEMFILE_OK);
    assert_int_equal(r.dropped_segments, 0);
    assert_int_equal(dropped, 0);
    assert_int_equal(unknown_segments(path), 0);
}

static void a_sealed_file_forgets_too(void **state)
{
    (void)state;
    const char *path = temp_path("sealed");
    memfile_options options = MEMFILE_OPTIONS_INIT;
    memfile_compact_options c = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_verify_options v = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_compact_result r;
    memfile_verify_result result;
    memfile_error e;
    memfile *mf;
    memfile_unlock unlock = {"open", 4, NULL};
    options.seal_for.passphrase = "open";
    options.seal_for.passphrase_length = 4;
    options.seal_for.passes = 1;
    options.seal_for.memory_kib = 8192;
    options.unlock = c.unlock = v.unlock = unlock;
    unlink(path);
    if (memfile_open(path, MEMFILE_CREATE, &options, &mf, &e) != MEMFILE_OK)
        fail_msg("%s", e.message);
    for (int round = 0; round < 3; round++) { /* the second and third with folded commits */
        char id[20];
        for (int i = 0; i < 40; i++) {
            snprintf(id, sizeof id, "r%d-%d", round, i);
            put_text(mf, id, "text");
        }
        commit_ok(mf);
        for (int i = 0; i < 40; i += 7) {
            snprintf(id, sizeof id, "r%d-%d", round, i);
            forget_ok(mf, id);
        }
        commit_ok(mf);
        assert_int_equal(count_list(mf, NULL), (round + 1) * 34);
        memfile_close(mf);
        for (int i = 0; i < 2; i++) {
            if (memfile_verify(path, &v, &result, &e) != MEMFILE_OK)
                fail_msg("verify: %s", e.message);
            if (i == 0 && memfile_compact(path, &c, &r, &e) != MEMFILE_OK)
                fail_msg("compact: %s", e.message);
        }
        assert_int_equal(r.erased, 6);
        assert_int_equal(memfile_open(path, MEMFILE_WRITE, &options, &mf, &e), MEMFILE_OK);
        assert_int_equal(count_list(mf, NULL), (round + 1) * 34);
        assert_int_equal(get(mf, "r0-7", MEMFILE_NEWEST), MEMFILE_E_NOT_FOUND);
    }
    memfile_close(mf);
}

/* Each segment of folded commits damaged in turn, those that hold only salts too: no entry is lost for it. */
static void damaged_salts_cost_no_entry(void **state)
{
    (void)state;
    const char *path = temp_path("salts"), *damaged = temp_path("salts.damaged"), *out = temp_path("salts.out");
    memfile *mf = create_file(path);
    memfile_filter f = MEMFILE_FILTER_INIT;
    char json[100];
    const int n = 120000;
    for (int i = 0; i < n; i++) {
        snprintf(json, sizeof json, "{\"id\":\"i%d\",\"text\":\"t\",\"kind\":\"%s\"}", i, i % 2 ? "log" : "note");
        put_ok(mf, json);
    }
    commit_ok(mf);
    f.kind = "log";
    assert_int_equal(forget_where(mf, &f, NULL), MEMFILE_OK);
    commit_ok(mf);
    memfile_close(mf);
    compact_ok(path, NULL);
    static mf_segment s[20000];
    size_t length, histories = 0;
    uint8_t *bytes = read_file(path, &length);
    size_t count = segments_of(bytes, length, s, 20000);
    for (size_t i = 0; i < count; i++) {
        memfile_recover_result r;
        memfile_error e;
        if (s[i].type != MF_TYPE_HISTORY)
            continue;
        histories++;
        bytes[s[i].offset + 64 + s[i].stored_length / 2] ^= 1;
        write_file(damaged, bytes, length);
        bytes[s[i].offset + 64 + s[i].stored_length / 2] ^= 1;
        unlink(out);
        assert_int_equal(memfile_recover(damaged, out, NULL, &r, &e), MEMFILE_E_DAMAGED);
        assert_int_equal(r.damage.lost_entries, 0);
        assert_true(r.entries >= (uint64_t)n / 2);
        verify_ok(out);
    }
    assert_true(histories > 1);
    free(bytes);
}

static int count_found(void *context, uint64_t entry, uint64_t by, bool erased)
{
    (void)entry, (void)by, (void)erased;
    ++*(int *)context;
    return 0;
}


static int joined;

static int note_joined(void *context, uint64_t entry, uint64_t by)
{
    assert_true(entry < by);
    return count_found(context, entry, by, false);
}

/* A leaf is of one entry, and named by one or a few: a file in which many have one, and many name it, costs no more
 * than what is named. */
static void more_entries_than_are_named_are_over_the_limit(void **state)
{
    (void)state;
    static const uint8_t leaf[2][32] = {{1}, {2}};
    memfile_error e;
    for (int alike = 1; alike <= 3; alike++) { /* entries 0, 1, 2, of one leaf; 10 and 11 name it, 12 another, 2 too early */
        mf_claims claims = {NULL, 0, 0}, leaves = {NULL, 0, 0};
        joined = 0;
        for (int i = 0; i < alike; i++)
            mf_claims_add_leaf(&leaves, leaf[0], (uint64_t)i, &mf_mem_default);
        mf_claims_add_leaf(&leaves, leaf[0], 20, &mf_mem_default);
        mf_claims_add_leaf(&claims, leaf[0], 10, &mf_mem_default);
        mf_claims_add_leaf(&claims, leaf[0], 11, &mf_mem_default);
        mf_claims_add_leaf(&claims, leaf[0], 0, &mf_mem_default);
        mf_claims_add_leaf(&claims, leaf[1], 12, &mf_mem_default);
        assert_int_equal(mf_claims_join(&claims, &leaves, note_joined, &joined, &e), alike < 3 ? MEMFILE_OK : MEMFILE_E_LIMIT);
        assert_int_equal(joined, alike < 3 ? 2 * alike : 4);
        mf_free(&mf_mem_default, claims.v);
        mf_free(&mf_mem_default, leaves.v);
    }
    /* and in a file, where nothing is left to be found */
    const char *path = temp_path("alike");
    memfile *mf = create_file(path);
    put_text(mf, "a", "text");
    put_text(mf, "b", "text");
    commit_ok(mf);
    forget_ok(mf, "a");
    commit_ok(mf);
    for (int less = 0; less < 2; less++) {
        int found = 0;
        mf_numbers forgets = {NULL, 0, 0};
        mf_leaf_search search = {&mf->store, count_found, NULL, &found, 0, 0};
        mf_claims claims = {NULL, 0, 0};
        assert_int_equal(mf_forgets_find(&mf->store, &forgets, &e), MEMFILE_OK);
        assert_int_equal(forgets.count, 1);
        assert_int_equal(mf_forgets_resolve(&forgets, &search, &e), MEMFILE_OK);
        assert_int_equal(found, 1);
        assert_int_equal(search.left, 0);
        /* the same claim, with one entry less to be found */
        mf_object *o;
        uint32_t row;
        assert_int_equal(mf_store_entry(&mf->store, forgets.v[0], &o, &row, &e), MEMFILE_OK);
        assert_int_equal(mf_store_content(&mf->store, o, &e), MEMFILE_OK);
        assert_int_equal(mf_claims_add(&claims, mf_block_rest_field(&o->block, row, MF_FIELD_SUPERSEDES), forgets.v[0],
                                       &mf_mem_default), 0);
        mf_store_release(&mf->store, o);
        search.left = less ? UINT64_MAX : 0;
        assert_int_equal(mf_claims_resolve(&claims, &search, forgets.v[0], &e), less ? MEMFILE_E_LIMIT : MEMFILE_OK);
        assert_int_equal(found, less ? 1 : 2);
        mf_free(&mf_mem_default, claims.v);
        mf_free(mf->store.mem, forgets.v);
    }
    memfile_close(mf);
}

/* ---- memory that ends */

typedef struct short_memory {
    long left; /* allocations until one fails; below 0: none does */
} short_memory;

static void *reallocate(void *context, void *block, size_t size)
{
    short_memory *m = (short_memory *)context;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return m->left >= 0 && m->left-- == 0 ? NULL : realloc(block, size);
}

static int stop_at_none(void *context, const memfile_forgetting *f)
{
    *(size_t *)context += f->count;
    return 0;
}

static int use_all(memfile *mf, size_t *forgotten)
{
    const char *ids[] = {"n1", "n30"}, *scope = "s";
    memfile_filter f = MEMFILE_FILTER_INIT;
    memfile_selection s = MEMFILE_SELECTION_INIT;
    memfile_cursor *c;
    const memfile_entry *e;
    s.ids = ids;
    s.id_count = 2;
    s.filter = &f;
    f.scope = &scope;
    f.scope_count = 1;
    int rc = memfile_forget(mf, &s, NULL, NULL);
    if (rc == MEMFILE_OK)
        rc = memfile_commit(mf, NULL);
    if (rc == MEMFILE_OK)
        rc = memfile_list(mf, NULL, &c);
    if (rc != MEMFILE_OK)
        return rc;
    while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK)
        continue;
    memfile_cursor_close(c);
    *forgotten = 0;
    rc = rc == MEMFILE_DONE ? memfile_forgettings(mf, stop_at_none, forgotten) : rc;
    if (rc == MEMFILE_OK && (rc = memfile_get(mf, "n1", 2, MEMFILE_NEWEST, &e)) == MEMFILE_E_NOT_FOUND)
        rc = MEMFILE_OK;
    return rc;
}

static void memory_that_ends_leaves_all_or_nothing(void **state)
{
    (void)state;
    const char *path = temp_path("memory");
    memfile *mf = create_file(path);
    short_memory memory = {-1};
    memfile_allocator allocator = {reallocate, &memory};
    memfile_options options = MEMFILE_OPTIONS_INIT;
    memfile_error e;
    char json[200];
    size_t length;
    for (int i = 0; i < 40; i++) {
        snprintf(json, sizeof json, "{\"id\":\"n%d\",\"text\":\"text\",\"scope\":[\"%s\"],\"key\":\"k%d\"}", i, i % 5 ? "t" : "s", i % 7);
        put_ok(mf, json);
        if (i % 10 == 9)
            commit_ok(mf);
    }
    memfile_close(mf);
    uint8_t *bytes = read_file(path, &length);
    options.allocator = &allocator;
    bool done = false;
    for (long n = 0; !done; n++) {
        size_t forgotten = 0;
        assert_true(n < 20000);
        write_file(path, bytes, length);
        memory.left = -1;
        assert_int_equal(memfile_open(path, MEMFILE_WRITE, &options, &mf, &e), MEMFILE_OK);
        memory.left = n;
        int rc = use_all(mf, &forgotten);
        done = rc == MEMFILE_OK;
        if (!done)
            assert_int_equal(rc, MEMFILE_E_MEMORY);
        memory.left = -1;
        memfile_close(mf);
        mf = open_file(path, MEMFILE_READ);
        uint64_t left = count_list(mf, NULL);
        int gone = get(mf, "n1", MEMFILE_NEWEST);
        assert_true(gone == MEMFILE_OK || gone == MEMFILE_E_NOT_FOUND);
        assert_int_equal(get(mf, "n30", MEMFILE_NEWEST), gone);
        assert_int_equal(get(mf, "n35", MEMFILE_NEWEST), gone);
        assert_true(left > 0 && (!done || (gone == MEMFILE_E_NOT_FOUND && forgotten == 9)));
        memfile_close(mf);
    }
    free(bytes);
    verify_ok(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forgotten_memory_is_in_no_read),
        cmocka_unit_test(the_same_id_begins_a_new_memory_before_compaction),
        cmocka_unit_test(actions_and_pinned_ones_are_kept_unless_it_is_said),
        cmocka_unit_test(forgetting_is_recorded_before_and_after_compaction),
        cmocka_unit_test(a_filter_takes_memories_by_any_version_and_by_the_newest_time),
        cmocka_unit_test(many_are_forgotten_by_several_entries),
        cmocka_unit_test(a_tree_with_many_holes_takes_several_segments),
        cmocka_unit_test(nothing_of_what_was_forgotten_is_left),
        cmocka_unit_test(the_right_guess_cannot_be_confirmed),
        cmocka_unit_test(references_to_what_is_erased_are_told),
        cmocka_unit_test(forgetting_can_be_imported),
        cmocka_unit_test(damage_brings_nothing_back),
        cmocka_unit_test(entries_that_may_be_forgotten_are_named),
        cmocka_unit_test(what_is_recovered_has_erased_what_was_forgotten),
        cmocka_unit_test(a_dictionary_learns_nothing_of_what_is_forgotten),
        cmocka_unit_test(a_forgetting_that_fails_tells_and_changes_nothing),
        cmocka_unit_test(a_sealed_file_forgets_too),
        cmocka_unit_test(more_entries_than_are_named_are_over_the_limit),
        cmocka_unit_test(damaged_salts_cost_no_entry),
        cmocka_unit_test(memory_that_ends_leaves_all_or_nothing),
        cmocka_unit_test(unknown_segments_stay_unless_they_speak_of_what_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
