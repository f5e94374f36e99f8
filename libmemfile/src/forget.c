/* forget: which memories are to be forgotten, and what was. SPEC 10.8. */
#include <stdlib.h>

#include "handle.h"
#include "leaves.h"

typedef struct forgetting {
    memfile *mf;
    memfile_forget_options options;
    memfile_forget_result *result;
    memfile_filter filter;
    bool filtered;
    mf_time since, until;
    mf_numbers memories; /* newest version of each that is selected */
    mf_numbers entries;  /* to be forgotten */
} forgetting;

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void settle(mf_numbers *n)
{
    size_t kept = 0;
    if (n->count > 1)
        qsort(n->v, n->count, sizeof *n->v, compare_numbers);
    for (size_t i = 0; i < n->count; i++)
        if (kept == 0 || n->v[kept - 1] != n->v[i])
            n->v[kept++] = n->v[i];
    n->count = kept;
}

static int add_number(forgetting *f, mf_numbers *n, uint64_t number)
{
    return mf_numbers_add(n, number, &f->mf->mem) == 0 ? MEMFILE_OK : mf_fail_memory(&f->mf->error);
}

/* Newest version below `limit` of an id; UINT64_MAX if there is none, or the batch forgets it. */
static int version_below(forgetting *f, mf_id id, uint64_t limit, mf_object **o, uint32_t *row, uint64_t *entry)
{
    memfile *mf = f->mf;
    bool gone = false;
    *entry = UINT64_MAX;
    *o = NULL;
    int rc = limit == 0 ? MEMFILE_E_NOT_FOUND : mf_store_id(&mf->store, id, limit, o, row, &mf->error);
    if (rc == MEMFILE_OK)
        rc = mf_writer_forgets(mf->writer, (*o)->first_entry + *row, &gone, &mf->error);
    if (rc == MEMFILE_OK && !gone) {
        *entry = (*o)->first_entry + *row;
        return MEMFILE_OK;
    }
    mf_store_release(&mf->store, *o);
    *o = NULL;
    return rc == MEMFILE_E_NOT_FOUND ? MEMFILE_OK : rc;
}

/* ---- what is selected */

static void report(forgetting *f, memfile_forget_outcome outcome, uint64_t entry, uint64_t versions, const char *id,
                   size_t length)
{
    memfile_forget_item item = {outcome, entry, versions, id, length};
    memfile_forget_result *r = f->result;
    uint64_t *counts[] = {&r->memories, &r->kept_actions, &r->kept_pinned, &r->kept_forgets, &r->not_found};
    ++*counts[outcome];
    if (f->options.item)
        f->options.item(f->options.context, &item);
}

static int select_id(forgetting *f, const char *id, size_t length)
{
    uint8_t binary[16];
    mf_object *o;
    uint32_t row;
    uint64_t entry = UINT64_MAX;
    int rc = MEMFILE_OK;
    if (length > 0 && length <= MF_ID_MAX) {
        rc = version_below(f, mf_id_from_text(id, length, binary), UINT64_MAX, &o, &row, &entry);
        mf_store_release(&f->mf->store, o);
    }
    if (rc != MEMFILE_OK)
        return rc;
    if (entry != UINT64_MAX)
        return add_number(f, &f->memories, entry);
    report(f, MEMFILE_NO_SUCH_ID, UINT64_MAX, 0, id, length);
    return MEMFILE_OK;
}

/* Does the newest version fit the times of the filter? */
static bool fits_times(const forgetting *f, const mf_block *block, uint32_t row)
{
    mf_time t;
    if (!f->filter.since && !f->filter.until)
        return true;
    return mf_block_time(block, row, &t) && (!f->filter.since || mf_time_compare(&t, &f->since) >= 0) &&
           (!f->filter.until || mf_time_compare(&t, &f->until) < 0);
}

static int select_fitting(forgetting *f)
{
    memfile *mf = f->mf;
    memfile_cursor *cursor;
    const memfile_entry *e;
    int rc = memfile_list(mf, &f->filter, &cursor);
    if (rc != MEMFILE_OK)
        return rc;
    while ((rc = memfile_cursor_next(cursor, &e)) == MEMFILE_OK) {
        mf_object *o;
        uint32_t row;
        uint64_t newest;
        if (mf_block_forgets(e->block, e->row))
            continue;
        mf_id id = mf_block_id(e->block, e->row);
        rc = id.data ? version_below(f, id, UINT64_MAX, &o, &row, &newest) : mf_fail_memory(&mf->error);
        if (rc != MEMFILE_OK)
            break;
        if (newest != UINT64_MAX && fits_times(f, &o->block, row))
            rc = add_number(f, &f->memories, newest);
        mf_store_release(&mf->store, o);
        if (rc != MEMFILE_OK)
            break;
    }
    memfile_cursor_close(cursor);
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

static int select_all(forgetting *f, const memfile_selection *s)
{
    int rc = MEMFILE_OK;
    for (size_t i = 0; i < s->id_count && rc == MEMFILE_OK; i++)
        rc = select_id(f, s->ids[i], s->id_lengths ? s->id_lengths[i] : strlen(s->ids[i]));
    if (rc == MEMFILE_OK && f->filtered)
        rc = select_fitting(f);
    settle(&f->memories);
    return rc;
}

/* ---- what is forgotten */

typedef struct memory {
    char id[256];
    size_t id_length;
    uint64_t newest, versions;
    bool pinned, action, forgets;
} memory;

/* Goes through all versions; they are added to f->entries. */
static int look_at(forgetting *f, uint64_t newest, memory *m)
{
    memfile *mf = f->mf;
    mf_object *o;
    uint32_t row;
    uint8_t binary[16];
    memset(m, 0, sizeof *m);
    int rc = mf_store_entry(&mf->store, newest, &o, &row, &mf->error);
    if (rc != MEMFILE_OK)
        return rc;
    mf_id id = mf_block_id(&o->block, row);
    m->newest = newest;
    m->id_length = id.data ? mf_id_print(id, m->id) : 0;
    mf_store_release(&mf->store, o);
    if (m->id_length == 0)
        return mf_fail_memory(&mf->error);
    id = mf_id_from_text(m->id, m->id_length, binary);
    for (uint64_t limit = newest + 1, entry; rc == MEMFILE_OK; limit = entry) {
        rc = version_below(f, id, limit, &o, &row, &entry);
        if (rc != MEMFILE_OK || entry == UINT64_MAX)
            break;
        rc = mf_store_content(&mf->store, o, &mf->error);
        if (rc == MEMFILE_OK) {
            memfile_entry view = {&o->block, row, entry};
            m->versions++;
            m->pinned |= entry == newest && memfile_entry_is_pinned(&view);
            m->action |= (mf_block_mask(&o->block, row) & MF_COLUMN_IDEMPOTENCY_KEY) != 0;
            m->forgets |= mf_block_forgets(&o->block, row);
            rc = add_number(f, &f->entries, entry);
        }
        mf_store_release(&mf->store, o);
    }
    return rc;
}

static int choose(forgetting *f)
{
    int rc = MEMFILE_OK;
    for (size_t i = 0; i < f->memories.count && rc == MEMFILE_OK; i++) {
        memory m;
        size_t before = f->entries.count;
        rc = look_at(f, f->memories.v[i], &m);
        if (rc != MEMFILE_OK)
            break;
        memfile_forget_outcome outcome = m.forgets                               ? MEMFILE_KEPT_FORGETS
                                         : m.action && !f->options.even_actions ? MEMFILE_KEPT_ACTION
                                         : m.pinned && !f->options.even_pinned  ? MEMFILE_KEPT_PINNED
                                                                                : MEMFILE_FORGOTTEN;
        if (outcome == MEMFILE_FORGOTTEN)
            f->result->entries += m.versions;
        else
            f->entries.count = before;
        report(f, outcome, m.newest, m.versions, m.id, m.id_length);
    }
    settle(&f->entries);
    return rc;
}

static int check(forgetting *f, const memfile_selection *s)
{
    memfile_error *err = &f->mf->error;
    const char *reason = f->options.reason;
    if (s->filter) {
        memfile_filter none = MEMFILE_FILTER_INIT;
        f->filter = none;
        memcpy(&f->filter, s->filter, s->filter->struct_size < sizeof f->filter ? s->filter->struct_size : sizeof f->filter);
        f->filter.struct_size = sizeof f->filter;
        f->filter.all = 1;
        f->filter.reverse = 0;
        f->filtered = true;
        if ((f->filter.since && !mf_time_parse(&f->since, f->filter.since, strlen(f->filter.since))) ||
            (f->filter.until && !mf_time_parse(&f->until, f->filter.until, strlen(f->filter.until))))
            return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE,
                           "since and until are RFC 3339 in UTC, like 2023-05-08T13:56:02Z");
    }
    if (reason && (strlen(reason) > MF_INLINE_CONTENT_MAX || !mf_utf8_valid((const uint8_t *)reason, strlen(reason))))
        return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "the reason is text of at most %u bytes",
                       MF_INLINE_CONTENT_MAX);
    return MEMFILE_OK;
}

static int forget(forgetting *f, const memfile_selection *s)
{
    memfile *mf = f->mf;
    int rc = check(f, s);
    if (rc == MEMFILE_OK)
        rc = mf_handle_need_writer(mf);
    if (rc != MEMFILE_OK)
        return rc;
    bool was_active = mf_writer_active(mf->writer);
    rc = mf_writer_forget_begin(mf->writer, &mf->error);
    if (rc != MEMFILE_OK)
        return rc;
    rc = select_all(f, s);
    if (rc == MEMFILE_OK)
        rc = choose(f);
    const char *reason = f->options.reason;
    if (rc == MEMFILE_OK && !f->options.dry_run && f->entries.count > 0)
        rc = mf_writer_forget(mf->writer, f->entries.v, f->entries.count,
                              mf_slice_of(reason, reason ? strlen(reason) : 0), &f->result->made, &mf->error);
    if (!was_active && (rc != MEMFILE_OK || f->result->made == 0)) {
        memfile_error why = mf->error;
        mf_writer_rollback(mf->writer);
        mf->error = why;
    }
    return rc == MEMFILE_OK && f->result->memories == 0 ? MEMFILE_DONE : rc;
}

int memfile_forget(memfile *mf, const memfile_selection *selection, const memfile_forget_options *options,
                   memfile_forget_result *result)
{
    memfile_forget_options o = MEMFILE_FORGET_OPTIONS_INIT;
    memfile_selection s = MEMFILE_SELECTION_INIT;
    memfile_forget_result unused;
    forgetting f;
    memset(&f, 0, sizeof f);
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    if (!selection)
        return mf_fail(&mf->error, MEMFILE_E_INVALID, MF_NOWHERE, "nothing is selected to be forgotten");
    memcpy(&s, selection, selection->struct_size < sizeof s ? selection->struct_size : sizeof s);
    f.mf = mf;
    f.options = o;
    f.result = result ? result : &unused;
    memset(f.result, 0, sizeof *f.result);
    int rc = forget(&f, &s);
    if (rc < 0)
        memset(f.result, 0, sizeof *f.result);
    mf_free(&mf->mem, f.memories.v);
    mf_free(&mf->mem, f.entries.v);
    return rc;
}

/* ---- what was forgotten */

static int compare_by(const void *a, const void *b)
{
    const mf_pair *x = (const mf_pair *)a, *y = (const mf_pair *)b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static int show(memfile *mf, uint64_t by, const mf_numbers *entries,
                int (*callback)(void *context, const memfile_forgetting *forgetting), void *context)
{
    mf_object *o;
    uint32_t row;
    int rc = mf_store_entry(&mf->store, by, &o, &row, &mf->error);
    if (rc == MEMFILE_OK)
        rc = mf_store_content(&mf->store, o, &mf->error);
    if (rc == MEMFILE_OK) {
        memfile_entry view = {&o->block, row, by};
        memfile_forgetting f = {&view, entries->count, entries->v};
        rc = callback(context, &f);
    }
    mf_store_release(&mf->store, o);
    return rc;
}

static int all_forgettings(memfile *mf, int (*callback)(void *context, const memfile_forgetting *forgetting),
                           void *context)
{
    mf_items items;
    mf_numbers entries = {NULL, 0, 0};
    mf_items_init(&items, &mf->mem);
    int rc = mf_store_forgotten_items(&mf->store, &items, &mf->error);
    mf_pair *p = items.kind[MF_ITEM_FORGOTTEN].pairs;
    size_t count = items.kind[MF_ITEM_FORGOTTEN].count;
    if (rc == MEMFILE_OK && count > 1)
        qsort(p, count, sizeof *p, compare_by);
    for (size_t i = 0; i < count && rc == MEMFILE_OK;) {
        uint64_t by = p[i].value;
        for (entries.count = 0; i < count && p[i].value == by && rc == MEMFILE_OK; i++)
            if (mf_numbers_add(&entries, p[i].key, &mf->mem) != 0)
                rc = mf_fail_memory(&mf->error);
        if (rc == MEMFILE_OK)
            rc = show(mf, by, &entries, callback, context);
    }
    mf_free(&mf->mem, entries.v);
    mf_items_free(&items);
    return rc;
}

int memfile_forgettings(memfile *mf, int (*callback)(void *context, const memfile_forgetting *forgetting), void *context)
{
    mf_handle_let_go(mf);
    int rc = mf_handle_inside(mf);
    if (rc != MEMFILE_OK)
        return rc;
    rc = all_forgettings(mf, callback, context);
    return mf_handle_fall_back(mf, &rc) ? all_forgettings(mf, callback, context) : rc;
}
