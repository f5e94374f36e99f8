/* list: filters and cursors. A filter is answered from postings when an index
 * names few candidates, and by going through the blocks otherwise; either way
 * each entry is looked at. */
#include <stdlib.h>

#include "handle.h"

#define CANDIDATES_MAX 65536u

struct memfile_cursor {
    memfile *mf;
    /* the filter */
    mf_slice *scope;
    uint32_t scope_count;
    mf_slice kind, tag, key;
    mf_time since, until;
    bool has_since, has_until, reverse, all;
    uint64_t first, end, limit, given, resume_at;
    mf_time now;
    char *texts; /* copies of the filter's */
    /* the way through */
    uint64_t *candidates;
    size_t candidate_count, next_candidate;
    bool by_candidates;
    mf_scan scan;
    bool scanning;
    mf_object *object;     /* block in hand, when not scanning */
    mf_block *block;
    uint64_t block_first;
    uint32_t row, rows;    /* next row; rows that are left, when going backward */
    uint64_t next_entry;   /* going backward: the next block ends here */
    uint64_t lost;         /* entries that could not be read, not counting those of the scan */
    uint8_t *hidden;   /* per row of the block: SHOWN, HIDDEN */
    bool fates;            /* superseded entries are not shown */
    bool hides;            /* hidden[] is filled in for the block */
    memfile_entry view;
};

static char *copy(char **at, const char *text, mf_slice *out)
{
    size_t n = text ? strlen(text) : 0;
    if (text) {
        memcpy(*at, text, n + 1);
        *out = mf_slice_of(*at, n);
        *at += n + 1;
    }
    return *at;
}

static int take_filter(memfile_cursor *c, const memfile_filter *f)
{
    memfile *mf = c->mf;
    size_t room = 1;
    const char *texts[] = {f->kind, f->tag, f->key};
    for (int i = 0; i < 3; i++)
        room += texts[i] ? strlen(texts[i]) + 1 : 0;
    if (f->scope_count > MF_SCOPE_MAX)
        return mf_fail(&mf->error, MEMFILE_E_INVALID, MF_NOWHERE, "a scope has at most %u names", MF_SCOPE_MAX);
    for (size_t i = 0; i < f->scope_count; i++)
        room += strlen(f->scope[i]) + 1;
    c->texts = (char *)mf_alloc(&mf->mem, room);
    c->scope = (mf_slice *)mf_alloc_zero(&mf->mem, (f->scope_count + 1) * sizeof *c->scope);
    if (!c->texts || !c->scope)
        return mf_fail_memory(&mf->error);
    char *at = c->texts;
    copy(&at, f->kind, &c->kind);
    copy(&at, f->tag, &c->tag);
    copy(&at, f->key, &c->key);
    for (size_t i = 0; i < f->scope_count; i++)
        copy(&at, f->scope[i], &c->scope[i]);
    c->scope_count = (uint32_t)f->scope_count;
    c->has_since = f->since != NULL;
    c->has_until = f->until != NULL;
    if ((f->since && !mf_time_parse(&c->since, f->since, strlen(f->since))) ||
        (f->until && !mf_time_parse(&c->until, f->until, strlen(f->until))))
        return mf_fail(&mf->error, MEMFILE_E_INVALID, MF_NOWHERE,
                       "since and until are RFC 3339 in UTC, like 2023-05-08T13:56:02Z");
    c->reverse = f->reverse != 0;
    c->all = f->all != 0;
    c->first = c->resume_at = f->first_entry;
    c->limit = f->limit ? f->limit : UINT64_MAX;
    int64_t now = mf->settings.environment.now_us(mf->settings.environment.context);
    c->now = (mf_time){now / 1000000, (uint32_t)(now % 1000000 < 0 ? 0 : now % 1000000), 6};
    return mf_store_entries_at(&mf->store, f->as_of, &c->end, &mf->error);
}

/* ---- candidates */

static int add_candidate(memfile_cursor *c, size_t *capacity, uint64_t entry)
{
    if (entry < c->first || entry >= c->end)
        return 0;
    if (c->candidate_count == CANDIDATES_MAX)
        return 1;
    void *grown = c->candidates;
    if (mf_grow(&c->mf->mem, &grown, capacity, c->candidate_count + 1, sizeof *c->candidates) != 0)
        return -1;
    c->candidates = (uint64_t *)grown;
    c->candidates[c->candidate_count++] = entry;
    return 0;
}

/* Values of items of one kind with keys in [low, high]. 1: too many. */
static int collect(memfile_cursor *c, unsigned kind, uint64_t low, uint64_t high, size_t *capacity)
{
    mf_store *st = &c->mf->store;
    const mf_state *s = st->state;
    int full = 0;
    for (uint32_t r = 0; r < s->footer.run_count && !full; r++) {
        const mf_run *run = &s->footer.runs[r];
        mf_run_iterator it;
        mf_item item = {(uint8_t)kind, low, 0};
        int rc = mf_run_seek(&it, st, run, &item, &c->mf->error);
        while (rc == MEMFILE_OK && !full && (rc = mf_run_next(&it, &item, &c->mf->error)) == MEMFILE_OK) {
            if (item.kind != kind || item.key > high)
                break;
            if (item.value - run->first_entry >= run->entry_count) /* below it, that wraps */
                rc = mf_fail(&c->mf->error, MEMFILE_E_DAMAGED, run->root_offset, "an index run has items of entries that it does not cover");
            else
                full = add_candidate(c, capacity, item.value);
        }
        mf_run_iterator_close(&it);
        if (rc < 0)
            return rc;
    }
    if (mf_state_tail_count(s) > 0 && !full) {
        int rc = mf_store_tail_items(st, &c->mf->error);
        if (rc != MEMFILE_OK)
            return rc;
        for (size_t i = 0; i < st->tail_items.kind[kind].count && !full; i++) {
            mf_pair p = st->tail_items.kind[kind].pairs[i];
            if (p.key >= low && p.key <= high)
                full = add_candidate(c, capacity, p.value);
        }
    }
    return full < 0 ? mf_fail_memory(&c->mf->error) : full;
}

static int compare_entries(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Sorts; an index that lies may name an entry in two runs. */
static void drop_twins(memfile_cursor *c)
{
    size_t kept = 0;
    qsort(c->candidates, c->candidate_count, sizeof *c->candidates, compare_entries);
    for (size_t i = 0; i < c->candidate_count; i++)
        if (i == 0 || c->candidates[i] != c->candidates[kept - 1])
            c->candidates[kept++] = c->candidates[i];
    c->candidate_count = kept;
}

/* Tries the conditions that an index knows, from the one that is likely the
 * narrowest on, until one names few enough. */
static int plan(memfile_cursor *c)
{
    uint32_t tag = c->mf->store.tag;
    size_t capacity = 0;
    if (c->mf->store.state->blocks)
        return MEMFILE_OK; /* only who goes through the blocks sees what was lost */
    for (int attempt = 0; attempt < 4; attempt++) {
        int rc;
        uint64_t h;
        c->candidate_count = 0;
        if (attempt == 0 && c->tag.data) {
            h = mf_item_hash(MF_HASH_TAG, c->tag, tag);
            rc = collect(c, MF_ITEM_FACET, h, h, &capacity);
        } else if (attempt == 1 && c->scope_count > 0) {
            h = mf_item_hash_scope(c->scope, c->scope_count, tag);
            rc = collect(c, MF_ITEM_FACET, h, h, &capacity);
        } else if (attempt == 2 && c->kind.data) {
            h = mf_item_hash(MF_HASH_KIND, c->kind, tag);
            rc = collect(c, MF_ITEM_FACET, h, h, &capacity);
        } else if (attempt == 3 && (c->has_since || c->has_until)) {
            rc = collect(c, MF_ITEM_TIME, c->has_since ? mf_item_time(c->since.seconds) : 0,
                         c->has_until ? mf_item_time(c->until.seconds) : UINT64_MAX, &capacity);
        } else {
            continue;
        }
        if (rc < 0)
            return rc;
        if (rc == MEMFILE_OK) {
            c->by_candidates = true;
            if (c->candidate_count > 1)
                drop_twins(c);
            return MEMFILE_OK;
        }
    }
    c->candidate_count = 0;
    return MEMFILE_OK;
}

static int list(memfile *mf, const memfile_filter *filter, memfile_cursor **out)
{
    memfile_filter f = MEMFILE_FILTER_INIT;
    *out = NULL;
    if (filter)
        memcpy(&f, filter, filter->struct_size < sizeof f ? filter->struct_size : sizeof f);
    mf_handle_let_go(mf);
    memfile_cursor *c = (memfile_cursor *)mf_alloc_zero(&mf->mem, sizeof *c);
    if (!c)
        return mf_fail_memory(&mf->error);
    c->mf = mf;
    mf->store.chain_steps = 0;
    int rc = take_filter(c, &f);
    if (rc == MEMFILE_OK)
        rc = plan(c);
    c->fates = !c->all && (mf->store.state->footer.superseded > 0 || mf_state_tail_count(mf->store.state) > 0);
    c->next_entry = c->end;
    if (rc == MEMFILE_OK && !c->by_candidates && !c->reverse && c->first < c->end) {
        rc = mf_scan_open(&c->scan, &mf->store, c->first, c->end, true, mf->settings.threads, &mf->error);
        c->scanning = rc == MEMFILE_OK;
    }
    if (rc != MEMFILE_OK) {
        memfile_cursor_close(c);
        return rc;
    }
    *out = c;
    return MEMFILE_OK;
}

int memfile_list(memfile *mf, const memfile_filter *filter, memfile_cursor **out)
{
    *out = NULL;
    int rc = mf_handle_inside(mf);
    if (rc != MEMFILE_OK)
        return rc;
    rc = list(mf, filter, out);
    return mf_handle_fall_back(mf, &rc) ? list(mf, filter, out) : rc;
}

void memfile_cursor_close(memfile_cursor *c)
{
    if (!c)
        return;
    const mf_mem *mem = &c->mf->mem;
    if (c->scanning)
        mf_scan_close(&c->scan);
    if (c->object)
        mf_store_release(&c->mf->store, c->object);
    mf_free(mem, c->candidates);
    mf_free(mem, c->scope);
    mf_free(mem, c->texts);
    mf_free(mem, c->hidden);
    mf_free(mem, c);
}

/* ---- rows */

static bool has_tag(const memfile_cursor *c, uint32_t row)
{
    uint32_t first, n = mf_block_tags(c->block, row, &first);
    for (uint32_t i = 0; i < n; i++)
        if (mf_slice_equal(mf_block_tag(c->block, first + i), c->tag))
            return true;
    return false;
}

static bool in_scope(const memfile_cursor *c, uint32_t row)
{
    mf_slice scope[MF_SCOPE_MAX];
    if (mf_block_scope(c->block, row, scope) < c->scope_count)
        return false;
    for (uint32_t i = 0; i < c->scope_count; i++)
        if (!mf_slice_equal(scope[i], c->scope[i]))
            return false;
    return true;
}

static bool matches(const memfile_cursor *c, uint32_t row)
{
    const mf_block *b = c->block;
    mf_time t;
    if (b->all & MF_COLUMN_ERASED && mf_block_erased(b, row))
        return false;
    if (c->kind.data && !mf_slice_equal(mf_block_kind(b, row), c->kind))
        return false;
    if (c->key.data && !mf_slice_equal(mf_block_key(b, row), c->key))
        return false;
    if (c->scope_count && !in_scope(c, row))
        return false;
    if (c->tag.data && !has_tag(c, row))
        return false;
    if (c->has_since || c->has_until) {
        if (!mf_block_time(b, row, &t) || (c->has_since && mf_time_compare(&t, &c->since) < 0) ||
            (c->has_until && mf_time_compare(&t, &c->until) >= 0))
            return false;
    }
    if (!c->all && (b->all & MF_COLUMN_REST)) { /* op is the first field, if there is one */
        mf_slice rest = mf_block_rest(b, row);
        if (rest.length > 0 && rest.data[0] == MF_FIELD_OP)
            return false;
    }
    if (!c->all && (b->all & MF_COLUMN_EXPIRES) && mf_block_expires(b, row, &t) && mf_time_compare(&t, &c->now) <= 0)
        return false;
    return true;
}

enum { SHOWN, HIDDEN, SUPERSEDED_BY_FORGOTTEN };

/* A FATE item of the block: superseded, if what supersedes it is not forgotten. */
static int note_fate(memfile_cursor *c, uint64_t entry, uint64_t by)
{
    bool forgotten;
    if (entry - c->block_first >= c->block->rows || by >= c->end)
        return MEMFILE_OK;
    uint8_t *flag = &c->hidden[entry - c->block_first];
    int rc = mf_store_forgotten(&c->mf->store, by, &forgotten, &c->mf->error);
    if (rc == MEMFILE_OK && *flag != HIDDEN)
        *flag = forgotten ? SUPERSEDED_BY_FORGOTTEN : HIDDEN;
    return rc;
}

/* FATE items of the block's entries from all runs and the tail, as flags. */
static int find_superseded(memfile_cursor *c)
{
    mf_store *st = &c->mf->store;
    const mf_state *s = st->state;
    memfile_error *err = &c->mf->error;
    int rc = MEMFILE_OK;
    for (uint32_t r = 0; s->footer.superseded > 0 && r < s->footer.run_count; r++) {
        const mf_run *run = &s->footer.runs[r];
        mf_run_iterator it;
        mf_item item = {MF_ITEM_FATE, c->block_first, 0};
        if (run->first_entry + run->entry_count <= c->block_first)
            continue;
        rc = mf_run_seek(&it, st, run, &item, err);
        while (rc == MEMFILE_OK && (rc = mf_run_next(&it, &item, err)) == MEMFILE_OK && item.kind == MF_ITEM_FATE &&
               item.key < c->block_first + c->block->rows)
            rc = note_fate(c, item.key, item.value);
        mf_run_iterator_close(&it);
        if (rc < 0)
            return rc;
    }
    rc = MEMFILE_OK;
    if (mf_state_tail_count(s) > 0 && c->end > s->footer.indexed_entries)
        rc = mf_store_tail_fates(st, err);
    else
        return rc;
    size_t i = 0, end = 0;
    if (rc == MEMFILE_OK)
        mf_store_tail_range(st, MF_ITEM_FATE, c->block_first, c->block_first + c->block->rows, &i, &end);
    for (; rc == MEMFILE_OK && i < end; i++)
        rc = note_fate(c, st->tail_items.kind[MF_ITEM_FATE].pairs[i].key, st->tail_items.kind[MF_ITEM_FATE].pairs[i].value);
    return rc;
}

/* Which rows of the block are not shown, because they are forgotten or superseded. */
static int find_hidden(memfile_cursor *c)
{
    mf_store *st = &c->mf->store;
    memfile_error *err = &c->mf->error;
    if (!c->hidden && !(c->hidden = (uint8_t *)mf_alloc(&c->mf->mem, MF_BLOCK_ROWS_MAX)))
        return mf_fail_memory(err);
    memset(c->hidden, SHOWN, c->block->rows);
    int rc = c->fates ? find_superseded(c) : MEMFILE_OK;
    for (uint32_t row = 0; rc == MEMFILE_OK && row < c->block->rows; row++) {
        uint64_t entry = c->block_first + row, by;
        uint8_t *flag = &c->hidden[row];
        bool forgotten;
        if (*flag == SUPERSEDED_BY_FORGOTTEN) {
            rc = mf_store_superseder(st, entry, c->end, &by, err);
            *flag = rc == MEMFILE_OK ? HIDDEN : SHOWN;
            rc = rc == MEMFILE_DONE ? MEMFILE_OK : rc;
        }
        if (rc == MEMFILE_OK)
            rc = mf_store_forgotten(st, entry, &forgotten, err);
        if (rc == MEMFILE_OK && forgotten)
            *flag = HIDDEN;
    }
    return rc;
}

/* Must find_hidden be asked about blocks? */
static bool may_hide(const memfile_cursor *c)
{
    const mf_state *s = c->mf->store.state;
    return c->fates || s->footer.forgotten > 0 || s->forgotten_ready;
}

static int take_block(memfile_cursor *c, mf_object *o)
{
    if (c->object)
        mf_store_release(&c->mf->store, c->object);
    c->object = o;
    c->block = &o->block;
    c->block_first = o->first_entry;
    return mf_store_content(&c->mf->store, o, &c->mf->error);
}

static int no_more(memfile_cursor *c)
{
    uint64_t lost = c->lost + mf_ranges_count(&c->mf->store.state->doubtful);
    return lost ? mf_fail(&c->mf->error, MEMFILE_E_DAMAGED, MF_NOWHERE,
                          "%llu entries could not be read; all others were", (unsigned long long)lost)
                : MEMFILE_DONE;
}

static int next_scanned(memfile_cursor *c)
{
    for (;;) {
        while (c->block && c->row < c->rows) {
            uint32_t row = c->row++;
            if (matches(c, row) && !(c->hides && c->hidden[row])) {
                c->view = (memfile_entry){c->block, row, c->block_first + row};
                return MEMFILE_OK;
            }
        }
        mf_scan_slot *slot;
        int rc = mf_scan_next(&c->scan, &slot, &c->mf->error);
        if (rc != MEMFILE_OK)
            return rc == MEMFILE_DONE ? no_more(c) : rc;
        c->block = &slot->block;
        c->block_first = slot->first_entry;
        uint64_t from = c->resume_at > c->first ? c->resume_at : c->first; /* blocks that lie may overlap */
        c->row = c->block_first < from ? (uint32_t)(from - c->block_first) : 0;
        c->rows = c->end - c->block_first < slot->block.rows ? (uint32_t)(c->end - c->block_first) : slot->block.rows;
        c->hides = may_hide(c);
        rc = c->hides ? find_hidden(c) : MEMFILE_OK;
        if (rc != MEMFILE_OK)
            return rc;
    }
}

/* Block of an entry, with its content; *row of it. */
static int take_entry(memfile_cursor *c, uint64_t entry, uint32_t *row)
{
    mf_object *o;
    int rc = mf_store_entry(&c->mf->store, entry, &o, row, &c->mf->error);
    return rc == MEMFILE_OK ? take_block(c, o) : rc;
}

/* Is it an entry that is lost for good, not one that the index fails to lead to? */
static bool is_lost(const memfile_cursor *c, int rc)
{
    return rc == MEMFILE_E_DAMAGED && c->mf->store.state->blocks;
}

/* Going backward, the last entry before the next that was lost: the end of the block before it. */
static uint64_t before_lost(const memfile_cursor *c)
{
    const mf_state *s = c->mf->store.state;
    uint64_t entry = c->next_entry - 1, best = c->first;
    for (uint32_t i = 0; i < s->block_count; i++) {
        uint64_t first = s->blocks[i].first_entry, end = first + s->blocks[i].entry_count;
        uint64_t here = end <= entry ? end : first; /* not the block that holds it, which cannot be read */
        if (first <= entry && here > best)
            best = here;
    }
    return best;
}

static int next_backward(memfile_cursor *c)
{
    for (;;) {
        while (c->block && c->rows > 0 && c->block_first + c->rows - 1 >= c->first) {
            uint32_t row = --c->rows;
            if (matches(c, row) && !(c->hides && c->hidden[row])) {
                c->view = (memfile_entry){c->block, row, c->block_first + row};
                return MEMFILE_OK;
            }
        }
        c->rows = 0;
        if (c->next_entry <= c->first)
            return no_more(c);
        uint32_t row;
        int rc = take_entry(c, c->next_entry - 1, &row);
        c->hides = may_hide(c);
        if (rc == MEMFILE_OK && c->hides)
            rc = find_hidden(c);
        if (is_lost(c, rc)) {
            uint64_t end = before_lost(c);
            c->lost += c->next_entry - end;
            c->next_entry = end;
            continue;
        }
        if (rc != MEMFILE_OK)
            return rc;
        c->rows = row + 1;
        c->next_entry = c->block_first;
    }
}

static int next_candidate(memfile_cursor *c)
{
    while (c->next_candidate < c->candidate_count) {
        size_t i = c->next_candidate;
        uint64_t entry = c->candidates[c->reverse ? c->candidate_count - 1 - i : i], by;
        uint32_t row;
        bool gone = false;
        int rc = take_entry(c, entry, &row);
        bool fits = rc == MEMFILE_OK && matches(c, row);
        if (fits)
            rc = mf_store_forgotten(&c->mf->store, entry, &gone, &c->mf->error);
        if (fits && rc == MEMFILE_OK && !gone && c->fates) {
            rc = mf_store_superseder(&c->mf->store, entry, c->end, &by, &c->mf->error);
            gone = rc == MEMFILE_OK;
        }
        if (rc < 0 && !is_lost(c, rc))
            return rc; /* this one is asked for again when the index was done without */
        c->next_candidate++;
        c->lost += rc < 0;
        if (rc >= 0 && fits && !gone) {
            c->view = (memfile_entry){c->block, row, entry};
            return MEMFILE_OK;
        }
    }
    return no_more(c);
}

static int next(memfile_cursor *c)
{
    return c->by_candidates ? next_candidate(c)
           : c->reverse     ? next_backward(c)
           : c->scanning    ? next_scanned(c)
                            : MEMFILE_DONE;
}

/* Goes on behind the last entry that was given, without the index. */
static int resume(memfile_cursor *c)
{
    c->fates = !c->all;
    if (!c->scanning)
        return MEMFILE_OK;
    mf_scan_close(&c->scan);
    c->block = NULL;
    c->row = c->rows = 0;
    c->scanning = false;
    int rc = mf_scan_open(&c->scan, &c->mf->store, c->resume_at, c->end, true, c->mf->settings.threads, &c->mf->error);
    c->scanning = rc == MEMFILE_OK;
    c->first = c->resume_at;
    return rc;
}

int memfile_cursor_next(memfile_cursor *c, const memfile_entry **out)
{
    *out = NULL;
    if (c->given >= c->limit)
        return MEMFILE_DONE;
    int rc = next(c);
    if (rc == MEMFILE_E_DAMAGED && mf_handle_fall_back(c->mf, &rc)) {
        rc = resume(c);
        if (rc == MEMFILE_OK)
            rc = next(c);
    }
    if (rc == MEMFILE_OK) {
        c->resume_at = c->view.number + 1;
        c->given++;
        *out = &c->view;
    }
    return rc;
}
