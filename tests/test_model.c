/* model: what is asked through the index, against a plain list of all entries. Each file is asked as it
 * is, and with each of its index pages damaged, which may cost time and nothing else (SPEC 17.1). */
#include "support.h"

#include <time.h>

#include "handle.h"

#define ENTRIES_MAX 6000
#define COMMITS_MAX 700
#define QUESTIONS 24 /* of one kind, of one file */

typedef struct plain {
    uint64_t number;
    char *id, *key; /* key: NULL if there is none, else with its scope before it */
    char *own_key, *kind, *tags, *scope; /* lists: each name between LFs */
    bool has_time, hidden; /* hidden: an op, or it expired */
    int64_t seconds;
    uint32_t nanoseconds;
} plain;

typedef struct model {
    plain *entries;
    size_t count;
    uint64_t ends[COMMITS_MAX]; /* how many entries there were with that commit */
    size_t commits;
    uint64_t superseded, forgotten;
    uint64_t seed;
} model;

static char *copy_of(const char *s, size_t n)
{
    char *c = (char *)malloc(n + 1);
    memcpy(c, s, n);
    c[n] = '\0';
    return c;
}

static void add_name(char **list, const char *name, size_t n)
{
    size_t before = *list ? strlen(*list) : 0;
    *list = (char *)realloc(*list, before + n + 3);
    if (before == 0)
        (*list)[before++] = '\n';
    memcpy(*list + before, name, n);
    (*list)[before + n] = '\n';
    (*list)[before + n + 1] = '\0';
}

static plain plain_of(const memfile_entry *e)
{
    plain p = {.number = memfile_entry_number(e)};
    char id[256];
    size_t n;
    int64_t seconds;
    uint32_t nanoseconds;
    p.id = copy_of(id, memfile_entry_id(e, id));
    const char *s = memfile_entry_field(e, MEMFILE_KIND, &n);
    p.kind = s ? copy_of(s, n) : NULL;
    for (size_t i = 0; i < memfile_entry_tag_count(e); i++) {
        s = memfile_entry_tag(e, i, &n);
        add_name(&p.tags, s, n);
    }
    for (size_t i = 0; i < memfile_entry_scope_count(e); i++) {
        s = memfile_entry_scope(e, i, &n);
        add_name(&p.scope, s, n);
    }
    s = memfile_entry_field(e, MEMFILE_KEY, &n);
    if (s) {
        p.own_key = copy_of(s, n);
        p.key = p.scope ? copy_of(p.scope, strlen(p.scope)) : NULL;
        add_name(&p.key, s, n);
    }
    p.has_time = memfile_entry_time(e, MEMFILE_TIME, &p.seconds, &p.nanoseconds);
    mf_slice rest = mf_block_rest(e->block, e->row);
    p.hidden = (rest.length > 0 && rest.data[0] == MF_FIELD_OP) ||
               (memfile_entry_time(e, MEMFILE_EXPIRES, &seconds, &nanoseconds) && seconds < time(NULL));
    return p;
}

static int note_commit(void *context, const memfile_commit_info *c)
{
    model *m = (model *)context;
    if (c->number >= COMMITS_MAX)
        return 1;
    if (m->commits <= c->number)
        m->commits = (size_t)c->number + 1;
    m->ends[c->number] = c->first_entry + c->entry_count;
    return 0;
}

static bool same_name(const plain *a, const plain *b)
{
    return strcmp(a->id, b->id) == 0 || (a->key && b->key && strcmp(a->key, b->key) == 0);
}

/* SPEC 10.2 */
static bool is_superseded(const model *m, size_t i, uint64_t end)
{
    for (size_t k = i + 1; k < m->count && m->entries[k].number < end; k++)
        if (same_name(&m->entries[i], &m->entries[k]))
            return true;
    return false;
}

/* false: too large to be asked about in this way, or it does not end well */
static bool learn(model *m, memfile *mf)
{
    memfile_filter f = MEMFILE_FILTER_INIT;
    memfile_cursor *c;
    const memfile_entry *e;
    memfile_info info;
    int rc;
    memset(m, 0, sizeof *m);
    m->seed = 77;
    memfile_get_info(mf, &info, sizeof info);
    if (info.entries > ENTRIES_MAX || memfile_log(mf, note_commit, m) != MEMFILE_OK)
        return false;
    m->forgotten = info.forgotten;
    m->entries = (plain *)calloc(ENTRIES_MAX, sizeof *m->entries);
    f.all = 1;
    assert_int_equal(memfile_list(mf, &f, &c), MEMFILE_OK);
    while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK)
        m->entries[m->count++] = plain_of(e);
    memfile_cursor_close(c);
    if (m->count < info.entries)
        m->forgotten += info.entries - m->count; /* or erased */
    for (size_t i = 0; i < m->count; i++)
        m->superseded += is_superseded(m, i, UINT64_MAX);
    return rc == MEMFILE_DONE;
}

static void forget_model(model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        plain *p = &m->entries[i];
        free(p->id), free(p->key), free(p->own_key), free(p->kind), free(p->tags), free(p->scope);
    }
    free(m->entries);
}

/* ---- questions */

static void ask_ids(const model *m, memfile *mf, const char *name, uint64_t as_of, uint64_t end)
{
    for (size_t q = 0; q < m->count; q += m->count / QUESTIONS + 1) {
        const memfile_entry *e;
        uint64_t best = UINT64_MAX;
        for (size_t i = 0; i < m->count && m->entries[i].number < end; i++)
            if (strcmp(m->entries[i].id, m->entries[q].id) == 0)
                best = m->entries[i].number;
        int rc = memfile_get(mf, m->entries[q].id, strlen(m->entries[q].id), as_of, &e);
        uint64_t found = rc == MEMFILE_OK ? memfile_entry_number(e) : UINT64_MAX;
        if (found != best || (rc != MEMFILE_OK && rc != MEMFILE_E_NOT_FOUND))
            fail_msg("%s: %s as of %lld is entry %lld: %d, %lld, %s", name, m->entries[q].id, (long long)as_of, (long long)best, rc,
                     (long long)found, rc < 0 ? memfile_last_error(mf)->message : "");
    }
}

static bool has_name(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; at && (at = strstr(at, name)); at++)
        if (at > list && at[-1] == '\n' && at[n] == '\n')
            return true;
    return false;
}

typedef struct question {
    memfile_filter filter;
    const char *scope[40];
    char scope_list[10000], since[40], until[40];
    int64_t since_seconds, until_seconds;
} question;

static bool fits(const model *m, size_t i, const question *q, uint64_t end)
{
    const plain *p = &m->entries[i];
    const memfile_filter *f = &q->filter;
    return p->number >= f->first_entry && p->number < end && (!f->kind || (p->kind && strcmp(p->kind, f->kind) == 0)) &&
           (!f->tag || has_name(p->tags, f->tag)) && (!f->key || (p->own_key && strcmp(p->own_key, f->key) == 0)) &&
           (!f->scope_count || (p->scope && strncmp(p->scope, q->scope_list, strlen(q->scope_list)) == 0)) &&
           (!f->since || (p->has_time && p->seconds >= q->since_seconds)) &&
           (!f->until || (p->has_time && p->seconds < q->until_seconds)) &&
           (f->all || (!p->hidden && !is_superseded(m, i, end)));
}

static void ask(const model *m, memfile *mf, const char *name, const question *q, uint64_t end)
{
    memfile_cursor *c;
    const memfile_entry *e;
    uint64_t given = 0, limit = q->filter.limit ? q->filter.limit : UINT64_MAX;
    int rc = memfile_list(mf, &q->filter, &c);
    if (rc != MEMFILE_OK)
        fail_msg("%s: %s", name, memfile_last_error(mf)->message);
    for (size_t k = 0; k < m->count && given < limit; k++) {
        size_t i = q->filter.reverse ? m->count - 1 - k : k;
        if (!fits(m, i, q, end))
            continue;
        given++;
        rc = memfile_cursor_next(c, &e);
        if (rc != MEMFILE_OK || memfile_entry_number(e) != m->entries[i].number)
            fail_msg("%s: kind %s tag %s key %s scope %zu since %s until %s first %llu limit %llu as of %lld reverse %d all %d: entry "
                     "%llu is missing: %d, %s",
                     name, q->filter.kind, q->filter.tag, q->filter.key, q->filter.scope_count, q->filter.since, q->filter.until,
                     (unsigned long long)q->filter.first_entry, (unsigned long long)q->filter.limit, (long long)q->filter.as_of,
                     q->filter.reverse, q->filter.all, (unsigned long long)m->entries[i].number, rc,
                     rc < 0 ? memfile_last_error(mf)->message : "");
    }
    rc = memfile_cursor_next(c, &e);
    if (rc != MEMFILE_DONE)
        fail_msg("%s: kind %s tag %s key %s scope %zu reverse %d: more than that: %d", name, q->filter.kind, q->filter.tag,
                 q->filter.key, q->filter.scope_count, q->filter.reverse, rc);
    memfile_cursor_close(c);
}

/* The conditions that this entry fits, by chance. */
static void condition(question *q, const plain *p, uint64_t chance)
{
    memset(q, 0, sizeof *q);
    q->filter = (memfile_filter)MEMFILE_FILTER_INIT;
    if (chance & 1)
        q->filter.kind = p->kind;
    if (chance & 2 && p->own_key)
        q->filter.key = p->own_key;
    char *first = NULL;
    if (chance & 4 && p->tags) {
        first = copy_of(p->tags + 1, strcspn(p->tags + 1, "\n"));
        q->filter.tag = first;
    }
    if (chance & 8 && p->scope && strlen(p->scope) < sizeof q->scope_list) {
        /* the first names of it, or all */
        size_t names = 0, at = 1;
        strcpy(q->scope_list, p->scope);
        for (char *s = q->scope_list + 1; *s && names < 1 + (chance >> 8) % 4; s += strcspn(s, "\n") + 1, at = (size_t)(s - q->scope_list))
            names++;
        q->scope_list[at] = '\0';
        q->filter.scope_count = names;
    }
    if (p->has_time && p->seconds > 0 && p->seconds < 4000000000) {
        time_t since = (time_t)p->seconds, until = since + (time_t)(chance >> 16) % 100000;
        q->since_seconds = since;
        q->until_seconds = until;
        strftime(q->since, sizeof q->since, "%Y-%m-%dT%H:%M:%SZ", gmtime(&since));
        strftime(q->until, sizeof q->until, "%Y-%m-%dT%H:%M:%SZ", gmtime(&until));
        q->filter.since = chance & 16 ? q->since : NULL;
        q->filter.until = chance & 32 ? q->until : NULL;
    }
    q->filter.reverse = (chance & 64) != 0;
    q->filter.all = (chance & 128) != 0;
    q->filter.first_entry = chance >> 40 & 7 ? 0 : p->number / 2;
    q->filter.limit = chance >> 43 & 7 ? 0 : 1 + (chance >> 46) % 5;
}

static void ask_all(model *m, memfile *mf, const char *name)
{
    memfile_info info;
    char *names = NULL;
    const char *wanted_tag;
    question *q = (question *)malloc(sizeof *q);
    for (size_t n = 0; n < QUESTIONS; n++) {
        uint64_t commit = n == 0 || !m->commits ? MEMFILE_NEWEST : next_random(&m->seed) % m->commits;
        uint64_t end = commit == MEMFILE_NEWEST ? UINT64_MAX : m->ends[commit], chance = next_random(&m->seed);
        if (n < 6)
            ask_ids(m, mf, name, commit, end);
        plain none = {0};
        const plain *p = m->count ? &m->entries[next_random(&m->seed) % m->count] : &none;
        condition(q, p, n < 2 ? n * 64 : chance);
        wanted_tag = q->filter.tag;
        q->filter.as_of = commit;
        if (q->filter.scope_count) {
            names = copy_of(q->scope_list, strlen(q->scope_list));
            char *at = names + 1;
            for (size_t i = 0; i < q->filter.scope_count; i++) {
                q->scope[i] = at;
                at += strcspn(at, "\n");
                *at++ = '\0';
            }
            q->filter.scope = q->scope;
        }
        ask(m, mf, name, q, end);
        free(names);
        names = NULL;
        free((char *)(uintptr_t)wanted_tag);
    }
    for (size_t i = 0; i < m->count; i += m->count / QUESTIONS + 1) {
        const memfile_entry *e;
        assert_int_equal(memfile_get_entry(mf, m->entries[i].number, &e), MEMFILE_OK);
        plain p = plain_of(e);
        assert_string_equal(p.id, m->entries[i].id);
        free(p.id), free(p.key), free(p.own_key), free(p.kind), free(p.tags), free(p.scope);
    }
    assert_int_equal(memfile_get_info(mf, &info, sizeof info), MEMFILE_OK);
    if (!m->forgotten && info.superseded != m->superseded)
        fail_msg("%s: %llu superseded, not %llu", name, (unsigned long long)info.superseded, (unsigned long long)m->superseded);
    free(q);
}

/* As it is; then each of `pages` index segments damaged in turn. Returns how many questions could be asked. */
static int ask_file(const char *path, const char *name)
{
    model m;
    memfile *mf;
    size_t length;
    int asked = 0;
    memfile_options strict = MEMFILE_OPTIONS_INIT; /* nothing is read without the index */
    strict.strictness = MEMFILE_STRICT;
    if (memfile_open(path, MEMFILE_READ, &strict, &mf, NULL) != MEMFILE_OK &&
        memfile_open(path, MEMFILE_READ, NULL, &mf, NULL) != MEMFILE_OK) /* the end is torn */
        return 0;
    bool plain_one = !mf->store.seal.sealed && learn(&m, mf);
    uint64_t newest = mf->store.committed.number;
    if (plain_one) {
        ask_all(&m, mf, name);
        asked++;
    }
    memfile_close(mf);
    if (!plain_one)
        return 0;
    uint8_t *bytes = read_file(path, &length);
    const char *copy = temp_path("damaged");
    size_t pages = 0, page = 0;
    mf_segment s;
    for (int counted = 0; counted < 2; counted++)
        for (uint64_t at = MF_HEADER_LENGTH; at + 64 < length; at += 8) {
            memfile_error e;
            if (mf_segment_decode(&s, bytes + at, at, mf_load32(bytes + 32), &e) != MEMFILE_OK || s.type != MF_TYPE_INDEX)
                continue;
            pages += !counted;
            if (!counted || page++ % (pages / 8 + 1))
                continue;
            char text[300];
            snprintf(text, sizeof text, "%s, page at %llu damaged", name, (unsigned long long)at);
            bytes[at + 70] ^= 1;
            write_file(copy, bytes, length);
            bytes[at + 70] ^= 1;
            mf = open_file(copy, MEMFILE_READ);
            if (mf->store.committed.number == newest) { /* or the page was of the newest commit's group: SPEC 14.3 */
                ask_all(&m, mf, text);
                asked++;
            }
            memfile_close(mf);
        }
    forget_model(&m);
    free(bytes);
    return asked;
}

static void vectors_answer_as_the_model_does(void **state)
{
    (void)state;
    int asked = 0;
    DIR *d = opendir(VECTORS);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d));) {
        size_t n = strlen(entry->d_name);
        char path[1024];
        if (n < 8 || strcmp(entry->d_name + n - 8, ".memfile") != 0 ||
            (strncmp(entry->d_name, "good-", 5) != 0 && strncmp(entry->d_name, "golden-", 7) != 0))
            continue;
        snprintf(path, sizeof path, "%s%s", VECTORS, entry->d_name);
        asked += ask_file(path, entry->d_name);
    }
    closedir(d);
    if (asked < 150)
        fail_msg("only %d files could be asked about", asked);
}

static void put_some(memfile *mf, uint64_t *seed, int i)
{
    char json[600];
    uint64_t r = next_random(seed);
    size_t n = (size_t)snprintf(json, sizeof json, "{\"id\":\"m%d\",\"text\":\"%d\"", (int)(r % 60), i);
    if (r >> 8 & 1)
        n += (size_t)snprintf(json + n, sizeof json - n, ",\"kind\":\"k%d\"", (int)(r >> 9 & 3));
    if (r >> 11 & 1)
        n += (size_t)snprintf(json + n, sizeof json - n, ",\"tags\":[\"t%d\",\"t%d\"]", (int)(r >> 12 & 3), 4 + (int)(r >> 14 & 3));
    if (r >> 16 & 1)
        n += (size_t)snprintf(json + n, sizeof json - n, ",\"scope\":[\"a\",\"b%d\",\"c\"]", (int)(r >> 17 & 1));
    if (r >> 18 & 1)
        n += (size_t)snprintf(json + n, sizeof json - n, ",\"key\":\"key%d\"", (int)(r >> 19 & 7));
    if (r >> 22 & 1)
        n += (size_t)snprintf(json + n, sizeof json - n, ",\"time\":\"2023-05-%02dT0%d:00:00Z\"", 1 + (int)(r >> 23 & 15), (int)(r >> 30 & 7));
    if ((r >> 33 & 15) == 0)
        n += (size_t)snprintf(json + n, sizeof json - n, ",\"expires\":\"2024-01-01T00:00:00Z\"");
    snprintf(json + n, sizeof json - n, "}");
    if (put_json(mf, json, NULL) != MEMFILE_OK)
        fail_msg("%s: %s", json, memfile_last_error(mf)->message);
}

/* Batches and single commits, forgetting and compaction, by chance. */
static void files_that_lived_answer_as_the_model_does(void **state)
{
    (void)state;
    int asked = 0;
    for (uint64_t life = 1; life <= 12; life++) {
        const char *path = temp_path("lived");
        uint64_t seed = life * 0x9e3779b97f4a7c15u;
        int puts = 0;
        char name[32];
        memfile *mf = create_file(path);
        for (int step = 0; step < 40 + (int)life * 8; step++) {
            uint64_t r = next_random(&seed);
            if (r % 16 == 0)
                for (int i = 0; i < 300; i++)
                    put_some(mf, &seed, puts++);
            put_some(mf, &seed, puts++);
            commit_ok(mf);
            if (life % 3 == 0 && r % 32 == 1) {
                char id[8];
                const char *ids[1] = {id};
                memfile_selection sel = MEMFILE_SELECTION_INIT;
                snprintf(id, sizeof id, "m%d", (int)(r >> 20) % 60);
                sel.ids = ids;
                sel.id_count = 1;
                if (memfile_forget(mf, &sel, NULL, NULL) == MEMFILE_OK)
                    commit_ok(mf);
            }
            if (life % 4 == 1 && r % 64 == 2) {
                memfile_close(mf);
                assert_int_equal(memfile_compact(path, NULL, NULL, NULL), MEMFILE_OK);
                mf = open_file(path, MEMFILE_WRITE);
            }
        }
        memfile_close(mf);
        snprintf(name, sizeof name, "life %d", (int)life);
        int times = ask_file(path, name);
        asked += times;
        assert_true(times > 0);
    }
    assert_true(asked > 30);
}

/* Batches of some hundred puts, some with conditions; `spill_items`: how soon a batch writes its index. Notes what was answered. */
static void live(const char *path, uint64_t seed, size_t spill_items, mf_buffer *answers)
{
    memfile *mf = create_file(path);
    mf->settings.spill_items = spill_items;
    for (int batch = 0, puts = 0; batch < 6; batch++) {
        int count = 100 + (int)(next_random(&seed) % 400);
        for (int i = 0; i < count; i++, puts++) {
            uint64_t r = next_random(&seed);
            memfile_draft *d;
            memfile_put_result result = {0};
            char id[16], key[16];
            snprintf(id, sizeof id, "m%d", (int)(r % 80));
            snprintf(key, sizeof key, "i%d", (int)(r >> 8) % 400);
            if (r >> 40 & 1) {
                put_some(mf, &seed, puts);
                continue;
            }
            assert_int_equal(memfile_draft_new(&d), MEMFILE_OK);
            memfile_draft_set(d, MEMFILE_ID, id, strlen(id));
            memfile_draft_set(d, MEMFILE_TEXT, "conditional", 11);
            if (r >> 41 & 1)
                memfile_draft_set(d, MEMFILE_IDEMPOTENCY_KEY, key, strlen(key));
            int rc = r >> 42 & 1 ? memfile_put(mf, d, &result)
                                 : memfile_put_if(mf, d, r >> 43 & 1 ? UINT64_MAX : (r >> 44) % (uint64_t)(puts + 1), &result);
            memfile_draft_free(d);
            if (rc != MEMFILE_OK && rc != MEMFILE_E_CONFLICT)
                fail_msg("put %d: %s", puts, memfile_last_error(mf)->message);
            mf_put_varint(answers, (uint64_t)-rc);
            mf_put_varint(answers, result.entry);
            mf_put_u8(answers, result.existed != 0);
        }
        commit_ok(mf);
        if (batch % 3 == 2) { /* forgetting begins the next batch */
            char id[8];
            const char *ids[1] = {id};
            memfile_selection sel = MEMFILE_SELECTION_INIT;
            snprintf(id, sizeof id, "m%d", (int)(next_random(&seed) % 80));
            sel.ids = ids;
            sel.id_count = 1;
            mf_put_varint(answers, (uint64_t)(memfile_forget(mf, &sel, NULL, NULL) + 100));
        }
    }
    assert_true(memfile_commit(mf, NULL) >= 0); /* DONE: there was nothing to forget */
    memfile_close(mf);
}

static void batches_that_are_written_in_between_are_as_others(void **state)
{
    (void)state;
    static const size_t spills[] = {600000, 1, 30, 500};
    for (uint64_t life = 1; life <= 5; life++) {
        mf_buffer first, other;
        mf_buffer_init(&first, &mf_mem_default);
        mf_buffer_init(&other, &mf_mem_default);
        for (size_t i = 0; i < sizeof spills / sizeof *spills; i++) {
            const char *path = temp_path("spilled");
            char name[40];
            mf_buffer_clear(&other);
            live(path, life * 0x9e3779b97f4a7c15u, spills[i], i ? &other : &first);
            if (i) {
                assert_int_equal(other.length, first.length);
                assert_memory_equal(other.data, first.data, first.length);
            }
            assert_int_equal(verify_path(path, NULL), MEMFILE_OK);
            snprintf(name, sizeof name, "life %d, %zu items", (int)life, spills[i]);
            assert_true(ask_file(path, name) > 0);
        }
        mf_buffer_free(&first);
        mf_buffer_free(&other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_answer_as_the_model_does),
        cmocka_unit_test(files_that_lived_answer_as_the_model_does),
        cmocka_unit_test(batches_that_are_written_in_between_are_as_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
