/* crash_work: the scenarios. Every public call that writes is in one of them. */
#include "crash_work.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "checksum.h"
#include "format.h"
#include "handle.h"

/* ---- keys */

/* libsodium's own randomness, for sealed boxes: a state must come again by its id. */
static uint64_t sodium_state;

static uint32_t sodium_random(void)
{
    sodium_state = sodium_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(sodium_state >> 32);
}

static void sodium_fill(void *const out, const size_t length)
{
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)out)[i] = (uint8_t)sodium_random();
}

static const char *sodium_name(void)
{
    return "the same again";
}

static randombytes_implementation sodium_again = {sodium_name, sodium_random, NULL, NULL, sodium_fill, NULL};

/* The first opens every sealed file; the other is given it now and then. */
static memfile_key *identities[2];
static char recipients[2][MEMFILE_PUBLIC_SIZE];

static void need_keys(void)
{
    if (identities[0])
        return;
    randombytes_set_implementation(&sodium_again);
    for (int i = 0; i < 2; i++) {
        if (memfile_key_generate(MEMFILE_RECIPIENT, &identities[i], NULL) != MEMFILE_OK)
            abort();
        memfile_key_public(identities[i], recipients[i]);
    }
}

memfile_unlock work_unlock(const uint8_t *bytes, size_t length)
{
    memfile_unlock u = {NULL, 0, NULL};
    need_keys();
    if (length >= MF_HEADER_LENGTH && bytes[14] == MF_SUITE_SEALED)
        u.identity = identities[0];
    return u;
}

memfile_unlock work_unlock_path(const char *path)
{
    int file = disk_find(&disk_current->names, path + 1);
    return file < 0 ? work_unlock(NULL, 0) : work_unlock(disk_current->file[file].data, disk_current->file[file].length);
}

static memfile_seal_for seal_for_some(work *w)
{
    static const char *lists[][2] = {{recipients[0], NULL}, {recipients[0], recipients[1]}, {recipients[1], recipients[0]}};
    memfile_seal_for s = {NULL, 0, 0, 0, NULL, 0, 0};
    uint64_t which = work_below(w, 3);
    s.recipients = lists[which];
    s.recipient_count = which ? 2 : 1;
    s.padded = work_below(w, 2) != 0;
    return s;
}

/* ---- the model */

static void *room_for(void *block, size_t *capacity, size_t need, size_t element)
{
    if (need <= *capacity)
        return block;
    *capacity = need * 2 + 16;
    void *grown = realloc(block, *capacity * element);
    if (!grown)
        abort();
    return grown;
}

static model_commit *add_commit(model *m)
{
    m->commits = (model_commit *)room_for(m->commits, &m->commit_capacity, m->commit_count + 1, sizeof *m->commits);
    model_commit *c = &m->commits[m->commit_count++];
    memset(c, 0, sizeof *c);
    c->entries = m->entry_count;
    return c;
}

static void add_entry(model *m, const char *id, const void *content, size_t length)
{
    m->entries = (model_entry *)room_for(m->entries, &m->entry_capacity, m->entry_count + 1, sizeof *m->entries);
    model_entry *e = &m->entries[m->entry_count++];
    memset(e, 0, sizeof *e);
    snprintf(e->id, sizeof e->id, "%s", id);
    e->length = length;
    e->check = mf_checksum(content, length);
}

void model_free(model *m)
{
    free(m->commits);
    free(m->entries);
    memset(m, 0, sizeof *m);
}

void model_copy(model *to, const model *from, size_t commits)
{
    size_t entries = commits ? (size_t)from->commits[commits - 1].entries : 0;
    to->commits = (model_commit *)room_for(to->commits, &to->commit_capacity, commits, sizeof *to->commits);
    to->entries = (model_entry *)room_for(to->entries, &to->entry_capacity, entries, sizeof *to->entries);
    if (commits)
        memcpy(to->commits, from->commits, commits * sizeof *to->commits);
    if (entries)
        memcpy(to->entries, from->entries, entries * sizeof *to->entries);
    for (size_t i = 0; i < entries; i++) /* what was forgotten later is not */
        if (to->entries[i].forgotten > commits)
            to->entries[i].forgotten = 0;
    to->commit_count = commits;
    to->entry_count = entries;
}

bool model_agrees(const model *m, uint64_t number, uint64_t entries, const uint8_t digest[32])
{
    const model_commit *c = number < m->commit_count ? &m->commits[number] : NULL;
    return c && c->entries == entries && (!c->acknowledged || memcmp(c->digest, digest, 32) == 0);
}

/* ---- running */

uint64_t work_random(work *w)
{
    uint64_t z = w->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t work_below(work *w, uint64_t n)
{
    return work_random(w) % n;
}

static int64_t now_us(void *context)
{
    return ((work *)context)->clock_us += 1000;
}

static void fill_random(void *context, void *out, size_t length)
{
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)out)[i] = (uint8_t)work_random((work *)context);
}

static void begin(work *w, disk *d, model *m, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    need_keys();
    sodium_state = seed;
    w->disk = disk_current = d;
    w->model = m;
    w->random = seed;
    w->clock_us = 1700000000000000 + (int64_t)(seed % 1000000) * 1000000;
    w->environment = (memfile_environment){now_us, fill_random, w};
    w->next_id = (unsigned)m->entry_count;
    if (memfile_draft_new(&w->draft) != MEMFILE_OK)
        abort();
}

static void end(work *w)
{
    memfile_close(w->mf);
    memfile_draft_free(w->draft);
    w->mf = NULL;
    w->draft = NULL;
}

__attribute__((format(printf, 2, 3)))
static void fail_work(work *w, const char *format, ...)
{
    va_list list;
    if (w->failed)
        return;
    w->failed = true;
    va_start(list, format);
    vsnprintf(w->why, sizeof w->why, format, list);
    va_end(list);
}

static void must(work *w, int rc, const char *what)
{
    if (rc != MEMFILE_OK)
        fail_work(w, "%s: %d %s", what, rc, w->mf ? memfile_last_error(w->mf)->message : "");
}

static memfile *open_it(work *w, memfile_mode mode, bool salvage)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile_error e;
    memfile *mf = NULL;
    o.environment = &w->environment;
    o.strictness = salvage ? MEMFILE_SALVAGE : MEMFILE_TOLERATE_TORN;
    o.unlock = work_unlock_path(CRASH_PATH);
    if (mode == MEMFILE_CREATE && w->model->sealed) {
        o.seal_for = seal_for_some(w);
        o.unlock.identity = identities[0];
    }
    if (!w->failed && memfile_open(CRASH_PATH, mode, &o, &mf, &e) != MEMFILE_OK)
        fail_work(w, "open: %s", e.message);
    return mf;
}

static void open_again(work *w, bool salvage)
{
    memfile_close(w->mf);
    w->mf = open_it(w, MEMFILE_WRITE, salvage);
}

static void create(work *w)
{
    memfile_info i;
    disk_mark(w->disk, MARK_BEGUN, 0);
    model_commit *c = add_commit(w->model);
    w->mf = open_it(w, MEMFILE_CREATE, false);
    if (w->failed)
        return;
    memfile_get_info(w->mf, &i, sizeof i);
    memcpy(c->digest, i.history_digest, 32);
    c->acknowledged = true;
    disk_mark(w->disk, MARK_CREATED, 0);
    disk_mark(w->disk, MARK_ACKED, 0);
}

/* ---- contents */

/* Words, which shrink when compressed, or bytes that do not. */
static char *make_content(work *w, size_t length, bool dense)
{
    static const char *const words[] = {"the ", "agent ", "remembers ", "a ",    "cup ",
                                        "of ",  "tea ",   "and ",       "goes ", "on "};
    char *text = (char *)malloc(length + 16);
    if (!text)
        abort();
    for (size_t n = 0; n < length;) {
        uint64_t r = work_random(w);
        if (dense) {
            memcpy(text + n, &r, 8);
            n += 8;
        } else {
            const char *word = r % 40 == 0 ? "\xce\xbb " : words[r % 10];
            memcpy(text + n, word, strlen(word));
            n += strlen(word);
        }
    }
    while (!dense && length > 0 && ((unsigned char)text[length - 1] & 0x80))
        text[length - 1] = '.', length--; /* no cut letter at the end; the length stays the caller's */
    return text;
}

static void next_id(work *w, char id[24])
{
    bool again = w->model->entry_count > 4 && work_below(w, 5) == 0;
    const model_entry *old = again ? &w->model->entries[work_below(w, w->model->entry_count)] : NULL;
    if (old && !old->forgets)
        snprintf(id, 24, "%s", old->id);
    else
        snprintf(id, 24, "e%u", w->next_id++);
}

static void some_fields(work *w)
{
    char key[16];
    if (work_below(w, 2))
        memfile_draft_set(w->draft, MEMFILE_KIND, "fact", 4);
    if (work_below(w, 3) == 0) {
        snprintf(key, sizeof key, "key%u", (unsigned)work_below(w, 3));
        memfile_draft_add_scope(w->draft, "home", 4);
        memfile_draft_set(w->draft, MEMFILE_KEY, key, strlen(key));
    }
    if (work_below(w, 3) == 0)
        memfile_draft_add_tag(w->draft, "tag", 3);
    if (work_below(w, 4) == 0)
        memfile_draft_set_time(w->draft, MEMFILE_TIME, "2024-05-06T07:08:09.5Z");
}

static void put(work *w, size_t length, bool dense)
{
    char id[24];
    if (w->failed)
        return;
    next_id(w, id);
    char *content = make_content(w, length, dense);
    memfile_draft_clear(w->draft);
    some_fields(w);
    memfile_draft_set(w->draft, MEMFILE_ID, id, strlen(id));
    memfile_draft_set(w->draft, dense ? MEMFILE_DATA : MEMFILE_TEXT, content, length);
    must(w, memfile_put(w->mf, w->draft, NULL), "put");
    add_entry(w->model, id, content, length);
    free(content);
}

static void put_if_new(work *w)
{
    char id[24];
    if (w->failed)
        return;
    snprintf(id, sizeof id, "e%u", w->next_id++);
    memfile_draft_clear(w->draft);
    memfile_draft_set(w->draft, MEMFILE_ID, id, strlen(id));
    memfile_draft_set(w->draft, MEMFILE_TEXT, "if new", 6);
    must(w, memfile_put_if(w->mf, w->draft, UINT64_MAX, NULL), "put_if");
    add_entry(w->model, id, "if new", 6);
}

static void stream(work *w, size_t length, bool dense)
{
    char id[24];
    if (w->failed)
        return;
    next_id(w, id);
    char *content = make_content(w, length, dense);
    memfile_draft_clear(w->draft);
    memfile_draft_set(w->draft, MEMFILE_ID, id, strlen(id));
    must(w, memfile_put_begin(w->mf, w->draft, !dense), "put_begin");
    for (size_t done = 0; done < length && !w->failed;) {
        size_t n = length - done < 20000 ? length - done : 20000;
        must(w, memfile_put_write(w->mf, content + done, n), "put_write");
        done += n;
    }
    if (!w->failed)
        must(w, memfile_put_end(w->mf, NULL), "put_end");
    add_entry(w->model, id, content, length);
    free(content);
}

static void commit(work *w)
{
    memfile_commit_result r;
    if (w->failed)
        return;
    uint64_t number = w->model->commit_count;
    model_commit *c = add_commit(w->model);
    disk_mark(w->disk, MARK_BEGUN, number);
    int rc = memfile_commit(w->mf, &r);
    must(w, rc, "commit");
    if (rc != MEMFILE_OK)
        return;
    if (r.number != number || r.entries != c->entries)
        fail_work(w, "the commit has number %llu and makes %llu entries, not %llu and %llu",
                  (unsigned long long)r.number, (unsigned long long)r.entries, (unsigned long long)number,
                  (unsigned long long)c->entries);
    memcpy(c->digest, r.digest, 32);
    c->acknowledged = true;
    disk_mark(w->disk, MARK_ACKED, number);
}

/* All versions of some entry's id; before the puts of the batch. */
static void forget(work *w)
{
    model *m = w->model;
    memfile_selection s = MEMFILE_SELECTION_INIT;
    memfile_forget_options o = MEMFILE_FORGET_OPTIONS_INIT;
    memfile_forget_result r;
    if (w->failed)
        return;
    uint64_t which = work_below(w, m->entry_count), next = m->commit_count;
    while (m->entries[which].forgets || m->entries[which].forgotten)
        which = (which + 1) % m->entry_count;
    const char *ids[] = {m->entries[which].id};
    s.ids = ids;
    s.id_count = 1;
    o.reason = "it was wrong";
    must(w, memfile_forget(w->mf, &s, &o, &r), "forget");
    if (w->failed)
        return;
    char id[24];
    snprintf(id, sizeof id, "%s", m->entries[which].id);
    uint64_t count = 0;
    for (size_t i = 0; i < m->entry_count; i++)
        if (!m->entries[i].forgets && !m->entries[i].forgotten && strcmp(m->entries[i].id, id) == 0) {
            m->entries[i].forgotten = next + 1;
            count++;
        }
    if (r.memories != 1 || r.entries != count || r.made != 1)
        fail_work(w, "forget took %llu entries, not %llu", (unsigned long long)r.entries, (unsigned long long)count);
    add_entry(m, "", "", 0);
    m->entries[m->entry_count - 1].forgets = true;
}

/* A commit that fails: its entries were not there. */
static void commit_fails(work *w, int expected)
{
    if (w->failed)
        return;
    uint64_t committed = w->model->commits[w->model->commit_count - 1].entries;
    int rc = memfile_commit(w->mf, NULL);
    if (rc != expected)
        fail_work(w, "the commit should fail with %d, not %d", expected, rc);
    w->model->entry_count = (size_t)committed;
}

static void put_some(work *w, unsigned count, size_t length)
{
    for (unsigned i = 0; i < count; i++)
        put(w, 1 + (size_t)work_below(w, length), false);
}

static void compact(work *w, const char *output, const memfile_seal_for *seal_for)
{
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_error e;
    if (w->failed)
        return;
    uint64_t newest = w->model->commit_count - 1;
    o.environment = &w->environment;
    o.output = output;
    o.compression_level = 1;
    o.unlock = work_unlock_path(CRASH_PATH);
    if (seal_for)
        o.seal_for = *seal_for;
    if (output)
        disk_mark(w->disk, MARK_OUTPUT_BEGUN, newest);
    if (memfile_compact(CRASH_PATH, &o, NULL, &e) != MEMFILE_OK)
        fail_work(w, "compact: %s", e.message);
    else if (output)
        disk_mark(w->disk, MARK_OUTPUT, newest);
    else
        disk_mark(w->disk, MARK_REPLACED, (uint64_t)disk_find(&w->disk->names, &CRASH_PATH[1]));
}

static void recover(work *w)
{
    memfile_recover_options o = MEMFILE_RECOVER_OPTIONS_INIT;
    memfile_recover_result r;
    memfile_error e;
    if (w->failed)
        return;
    uint64_t newest = w->model->commit_count - 1;
    o.environment = &w->environment;
    o.unlock = work_unlock_path(CRASH_PATH);
    disk_mark(w->disk, MARK_OUTPUT_BEGUN, newest);
    int rc = memfile_recover(CRASH_PATH, CRASH_OUTPUT, &o, &r, &e);
    if ((rc != MEMFILE_OK && rc != MEMFILE_E_TRUNCATED) || !r.same_history)
        fail_work(w, "recover: %s", e.message);
    else
        disk_mark(w->disk, MARK_OUTPUT, newest);
}

/* The handle that is open follows. */
static void rekey(work *w)
{
    memfile_rekey_options o = MEMFILE_REKEY_OPTIONS_INIT;
    memfile_error e;
    memfile_info i;
    if (w->failed)
        return;
    o.environment = &w->environment;
    o.unlock = work_unlock_path(CRASH_PATH);
    o.seal_for = seal_for_some(w);
    if (memfile_rekey(CRASH_PATH, &o, &e) != MEMFILE_OK) {
        fail_work(w, "rekey: %s", e.message);
        return;
    }
    must(w, memfile_refresh(w->mf), "refresh after a rekey");
    if (w->failed)
        return;
    must(w, memfile_get_info(w->mf, &i, sizeof i), "info");
    disk_mark(w->disk, MARK_REKEYED, (uint64_t)disk_find(&w->disk->names, &CRASH_PATH[1]) << 32 | i.epoch);
}

/* ---- scenarios */

static void one_by_one(work *w)
{
    create(w);
    for (int i = 0; i < 4; i++) {
        if (i == 2)
            put_if_new(w);
        else
            put(w, 1 + (size_t)work_below(w, 900), false);
        commit(w);
    }
    open_again(w, false);
    put(w, 2000 + (size_t)work_below(w, 6000), true);
    commit(w);
}

static void batches(work *w)
{
    create(w);
    for (int i = 0; i < 3; i++) {
        put_some(w, 2 + (unsigned)work_below(w, 40), 1200);
        if (work_below(w, 2))
            put(w, (size_t)work_below(w, 3000), true);
        commit(w);
    }
}

/* More than 64 KiB of entries: blocks and an index before the commit. */
static void large_batches(work *w)
{
    create(w);
    put_some(w, 3, 300);
    commit(w);
    for (int i = 0; i < 2; i++) {
        put_some(w, 5 + (unsigned)work_below(w, 10), 30000);
        put(w, 14000 + (size_t)work_below(w, 4000), true);
        while (w->model->entry_count > 0 && work_below(w, 6))
            put(w, 12000, false);
        commit(w);
        put_some(w, 1, 100);
        commit(w);
    }
}

/* Blocks and pages in the file long before the commit. */
static void spilled_batches(work *w)
{
    create(w);
    for (int i = 0; i < 3 && w->mf; i++) {
        w->mf->settings.spill_items = 1 + (size_t)work_below(w, 60);
        put_some(w, 4 + (unsigned)work_below(w, 20), 900);
        if (work_below(w, 2))
            put(w, (size_t)work_below(w, 3000), true);
        commit(w);
    }
}

static void contents(work *w)
{
    create(w);
    put(w, 100, false);
    commit(w);
    put(w, 33000 + (size_t)work_below(w, 30000), work_below(w, 2));
    commit(w);
    stream(w, 200000 + (size_t)work_below(w, 300000), false);
    put(w, 50, false);
    commit(w);
    stream(w, 33000 + (size_t)work_below(w, 9000), true);
    commit(w);
}

static void footers(work *w)
{
    create(w);
    for (int i = 0; i < 70; i++) {
        if (i == 61)
            disk_mark(w->disk, MARK_START, 0);
        put(w, 1 + (size_t)work_below(w, 60), false);
        commit(w);
    }
}

/* Eight runs of one level become one, in the commit that brings the eighth. */
static void merges(work *w)
{
    create(w);
    for (int i = 0; i < 9; i++) {
        if (i == 6)
            disk_mark(w->disk, MARK_START, 0);
        for (size_t begun = w->model->entry_count; w->model->entry_count < begun + 3;)
            put(w, 30000 + (size_t)work_below(w, 2700), false);
        commit(w);
    }
}

/* A batch that trains a dictionary. */
static void dictionaries(work *w)
{
    create(w);
    put(w, 10, false);
    commit(w);
    disk_mark(w->disk, MARK_START, 0);
    for (int i = 0; i < 700; i++)
        put(w, 700 + (size_t)work_below(w, 200), false);
    commit(w);
    put_some(w, 2, 300);
    commit(w);
}

static void compactions(work *w)
{
    create(w);
    for (int i = 0; i < 3; i++) {
        put_some(w, 1 + (unsigned)work_below(w, 8), 800);
        commit(w);
    }
    if (work_below(w, 2))
        put(w, 33000, work_below(w, 2));
    else
        put(w, 3000, true);
    commit(w);
    disk_mark(w->disk, MARK_START, 0);
    memfile_close(w->mf);
    w->mf = NULL;
    compact(w, NULL, NULL);
    w->mf = open_it(w, MEMFILE_WRITE, false);
    put_some(w, 2, 300);
    commit(w);
    if (work_below(w, 2)) {
        compact(w, NULL, NULL); /* under a handle that is open: it follows */
        put_some(w, 2, 300);
        commit(w);
    }
}

static void forgettings(work *w)
{
    create(w);
    for (int i = 0; i < 4; i++) {
        put_some(w, 1 + (unsigned)work_below(w, 6), 500);
        commit(w);
    }
    if (work_below(w, 2)) {
        put(w, 33000, work_below(w, 2));
        commit(w);
    }
    disk_mark(w->disk, MARK_START, 0);
    for (int i = 0; i < 2; i++) {
        forget(w);
        put_some(w, (unsigned)work_below(w, 3), 300); /* the same id may come again */
        commit(w);
        if (i == 0 || work_below(w, 2))
            compact(w, NULL, NULL);
    }
    put_some(w, 2, 300);
    commit(w);
}

static void outputs(work *w)
{
    create(w);
    put_some(w, 6, 700);
    commit(w);
    put(w, 33000, true);
    commit(w);
    disk_mark(w->disk, MARK_START, 0);
    if (work_below(w, 2))
        compact(w, CRASH_OUTPUT, NULL);
    else
        recover(w);
    put(w, 20, false);
    commit(w);
}

/* Two writers in turn, each building on commits of the other. */
static void two_writers(work *w)
{
    create(w);
    put(w, 100, false);
    commit(w);
    memfile *first = w->mf, *second = open_it(w, MEMFILE_WRITE, false);
    for (int i = 0; i < 6; i++) {
        w->mf = i % 2 ? first : second;
        put_some(w, 1 + (unsigned)work_below(w, 3), 400);
        commit(w);
    }
    memfile_close(w->mf == first ? second : first);
}

/* The disk is full within a commit; the same handle goes on behind what was written. */
static void full_disks(work *w)
{
    create(w);
    put_some(w, 2, 300);
    commit(w);
    for (int i = 0; i < 2; i++) {
        if (work_below(w, 2))
            put_some(w, 8, 20000);
        put(w, 600 + (size_t)work_below(w, 9000), true);
        w->disk->fail_write = 1;
        disk_mark(w->disk, MARK_BEGUN, w->model->commit_count - 1);
        commit_fails(w, MEMFILE_E_SYSTEM);
        w->disk->fail_write = 0;
        put_some(w, 1 + (unsigned)work_below(w, 3), 500);
        commit(w);
    }
    put(w, 100, false);
    commit(w);
}

/* A batch that was dropped when part of it was in the file. */
static void rollbacks(work *w)
{
    create(w);
    put_some(w, 2, 300);
    commit(w);
    stream(w, 1200000, true);
    memfile_rollback(w->mf);
    w->model->entry_count = (size_t)w->model->commits[1].entries;
    put_some(w, 2, 300);
    commit(w);
    put(w, 100, false);
    commit(w);
}

/* New keys between commits of all kinds. */
static void rekeys(work *w)
{
    create(w);
    for (int i = 0; i < 4; i++) {
        put_some(w, 1 + (unsigned)work_below(w, 3), 600);
        commit(w);
        if (work_below(w, 3))
            rekey(w);
        if (work_below(w, 4) == 0)
            put(w, 33000 + (size_t)work_below(w, 9000), true);
    }
    put(w, 100, false);
    commit(w);
    rekey(w);
    rekey(w);
}

/* Compaction for others: of a plain file, and of a sealed one that had several keys. */
static void new_seals(work *w)
{
    w->model->sealed = work_below(w, 2);
    create(w);
    put_some(w, 3, 800);
    commit(w);
    if (w->model->sealed)
        rekey(w);
    put_some(w, 2, 3000);
    commit(w);
    disk_mark(w->disk, MARK_START, 0);
    memfile_close(w->mf);
    w->mf = NULL;
    memfile_seal_for s = seal_for_some(w);
    compact(w, NULL, &s);
    w->mf = open_it(w, MEMFILE_WRITE, false);
    put_some(w, 2, 300);
    commit(w);
    rekey(w);
    s = seal_for_some(w);
    compact(w, NULL, &s); /* under a handle that is open: it follows */
    put_some(w, 2, 300);
    commit(w);
}

const crash_scenario crash_scenarios[] = {
    {"single", "puts, put_if, a commit each; a new handle", one_by_one, 1, 300, false},
    {"batch", "batches that fit into their commit segment", batches, 1, 500, false},
    {"spilled", "batches that write their index in between", spilled_batches, 1, 500, false},
    {"blocks", "batches over 64 KiB: blocks, index, two syncs", large_batches, 2, 600, false},
    {"content", "contents over 32 KiB, whole and streamed: chunks", contents, 4, 600, false},
    {"footer", "the 64th commit, which brings an index of the tail", footers, 8, 200, false},
    {"merge", "the eighth run of a level, which merges eight", merges, 4, 600, false},
    {"dictionary", "a batch that trains a dictionary", dictionaries, 64, 600, false},
    {"compact", "compaction with its rename, appends behind it", compactions, 2, 300, false},
    {"forget", "forgetting, and compaction that erases", forgettings, 2, 300, false},
    {"output", "compaction and recovery into another file", outputs, 4, 300, false},
    {"writers", "two handles in turn", two_writers, 2, 200, false},
    {"full", "a full disk within a commit; the handle goes on", full_disks, 2, 300, false},
    {"rollback", "a dropped batch of which part was written", rollbacks, 64, 300, false},
    {"sealed-single", "the same, sealed", one_by_one, 2, 300, true},
    {"sealed-batch", "the same, sealed", batches, 2, 500, true},
    {"sealed-blocks", "the same, sealed", large_batches, 4, 600, true},
    {"sealed-content", "the same, sealed", contents, 8, 600, true},
    {"sealed-footer", "the same, sealed", footers, 16, 200, true},
    {"sealed-merge", "the same, sealed", merges, 8, 600, true},
    {"sealed-compact", "the same, sealed", compactions, 4, 300, true},
    {"sealed-forget", "the same, sealed", forgettings, 4, 300, true},
    {"sealed-output", "the same, sealed", outputs, 8, 300, true},
    {"sealed-writers", "the same, sealed", two_writers, 4, 200, true},
    {"sealed-full", "the same, sealed", full_disks, 4, 300, true},
    {"sealed-rekey", "new keys; a handle that is open follows", rekeys, 2, 300, true},
    {"sealed-anew", "compaction for others, of plain files too", new_seals, 2, 300, true},
};
const size_t crash_scenario_count = sizeof crash_scenarios / sizeof crash_scenarios[0];

void work_run(work *w, disk *d, model *m, const crash_scenario *scenario, uint64_t seed)
{
    m->sealed = scenario->sealed;
    begin(w, d, m, seed);
    scenario->run(w);
    end(w);
}

/* ---- after a crash */

static void look(work *w, uint64_t number)
{
    memfile_info i;
    if (w->failed)
        return;
    must(w, memfile_get_info(w->mf, &i, sizeof i), "info");
    if (!w->failed && i.commits != number + 1)
        fail_work(w, "%llu commits after the crash, not %llu", (unsigned long long)i.commits,
                  (unsigned long long)number + 1);
}

void work_go_on(work *w, disk *d, model *m, uint64_t seed, bool exists, uint64_t number, bool salvage)
{
    begin(w, d, m, seed);
    if (exists)
        open_again(w, salvage);
    else
        create(w);
    look(w, number);
    if (!salvage && work_unlock_path(CRASH_PATH).identity && work_below(w, 4) == 0)
        rekey(w);
    switch (work_below(w, 6)) {
    case 0:
        put_some(w, 8, 20000);
        put(w, 9000, true);
        break;
    case 1:
        put(w, 33000, work_below(w, 2));
        break;
    case 2:
        put_some(w, 20, 400);
        break;
    case 3:
        if (!salvage) /* damage is not compacted */
            compact(w, NULL, NULL);
        put(w, 50, false);
        break;
    case 4: /* as long as others in its place, which a crash took away */
        put(w, 33000, true);
        break;
    default:
        put_some(w, 1, 1500);
    }
    commit(w);
    if (work_below(w, 3))
        put(w, 1 + (size_t)work_below(w, 300), false);
    else
        put(w, 2000 + (size_t)work_below(w, 8000), true);
    commit(w);
    end(w);
}

void work_append(work *w, disk *d, model *m, uint64_t seed, bool salvage)
{
    begin(w, d, m, seed);
    open_again(w, salvage);
    put(w, 1 + (size_t)work_below(w, 700), work_below(w, 2));
    commit(w);
    end(w);
}

/* ---- comparing */

static bool same_content(memfile *mf, const memfile_entry *e, const model_entry *m)
{
    static char piece[65536];
    memfile_content *c = NULL;
    size_t n;
    uint64_t total = 0;
    if (memfile_entry_content_length(e) != m->length)
        return false;
    if (m->length == 0)
        return true;
    if (memfile_content_open(mf, e, &c) != MEMFILE_OK)
        return false;
    mf_checksum_stream *sum = mf_checksum_begin();
    int rc;
    while ((rc = memfile_content_read(c, piece, sizeof piece, &n)) == MEMFILE_OK && n > 0) {
        mf_checksum_add(sum, piece, n);
        total += n;
    }
    uint64_t check = mf_checksum_end(sum);
    memfile_content_close(c);
    return rc == MEMFILE_OK && total == m->length && check == m->check;
}

static bool is_hidden(const model *m, uint64_t entry, uint64_t number)
{
    return m->entries[entry].forgotten && m->entries[entry].forgotten <= number + 1;
}

static bool compare_list(memfile *mf, const model *m, uint64_t number, uint64_t entries, char *why, size_t room)
{
    memfile_filter f = MEMFILE_FILTER_INIT;
    memfile_cursor *c;
    const memfile_entry *e;
    uint64_t at = 0;
    int rc;
    f.all = 1;
    if (memfile_list(mf, &f, &c) != MEMFILE_OK) {
        snprintf(why, room, "list: %s", memfile_last_error(mf)->message);
        return false;
    }
    while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK && at < entries) {
        char id[256];
        memfile_entry_id(e, id);
        while (at < entries && is_hidden(m, at, number))
            at++;
        if (at == entries || memfile_entry_number(e) != at ||
            (!m->entries[at].forgets && (strcmp(id, m->entries[at].id) != 0 || !same_content(mf, e, &m->entries[at])))) {
            snprintf(why, room, "entry %llu is not '%s' with its content", (unsigned long long)at, m->entries[at].id);
            memfile_cursor_close(c);
            return false;
        }
        at++;
    }
    while (at < entries && is_hidden(m, at, number))
        at++;
    if (rc != MEMFILE_DONE || at != entries)
        snprintf(why, room, "the list ends with %d after %llu of %llu entries: %s", rc, (unsigned long long)at,
                 (unsigned long long)entries, memfile_last_error(mf)->message);
    memfile_cursor_close(c);
    return rc == MEMFILE_DONE && at == entries;
}

/* The newest version of some entry's id, by the index. */
static bool compare_get(memfile *mf, const model *m, uint64_t number, uint64_t entries, uint64_t seed, char *why, size_t room)
{
    const memfile_entry *e;
    if (entries == 0)
        return true;
    const char *id = m->entries[seed % entries].id;
    uint64_t newest = entries;
    if (m->entries[seed % entries].forgets)
        return true;
    while (newest-- > 0)
        if (strcmp(m->entries[newest].id, id) == 0 && !is_hidden(m, newest, number))
            break;
    int rc = memfile_get(mf, id, strlen(id), MEMFILE_NEWEST, &e);
    memfile_info info;
    if (rc == MEMFILE_E_DAMAGED && memfile_get_info(mf, &info, sizeof info) == MEMFILE_OK && info.unfinished_is_damage)
        rc = MEMFILE_E_NOT_FOUND; /* in what looks damaged it might stand */
    if (newest == UINT64_MAX ? rc == MEMFILE_E_NOT_FOUND : rc == MEMFILE_OK && memfile_entry_number(e) == newest)
        return true;
    snprintf(why, room, "get does not give entry %llu for '%s'", (unsigned long long)newest, id);
    return false;
}

bool work_compare(const char *path, const model *m, uint64_t number, uint64_t seed, char *why, size_t room)
{
    memfile *mf;
    memfile_error e;
    memfile_options o = MEMFILE_OPTIONS_INIT;
    o.unlock = work_unlock_path(path);
    if (memfile_open(path, MEMFILE_READ, &o, &mf, &e) != MEMFILE_OK) {
        snprintf(why, room, "open: %s", e.message);
        return false;
    }
    uint64_t entries = m->commits[number].entries;
    bool same = compare_list(mf, m, number, entries, why, room) && compare_get(mf, m, number, entries, seed, why, room);
    memfile_close(mf);
    return same;
}
