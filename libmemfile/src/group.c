/* group: placing segments, writing, syncing.
 *
 * States. BUFFERED: all of the group is in `out`. FLUSHED: some of it is in the
 * file, none of it acknowledged; a reader sees unfinished bytes. COMMITTED:
 * mf_group_commit returned MEMFILE_OK. From the first two, dropping the group
 * leaves at most unfinished bytes, which the next writer declares void. */
#include "group.h"

#include "checksum.h"

#define FLUSH_AT ((size_t)1 << 20)

void mf_group_init(mf_group *g, mf_store *store)
{
    memset(g, 0, sizeof *g);
    g->store = store;
    mf_buffer_init(&g->out, store->mem);
}

void mf_group_free(mf_group *g)
{
    mf_buffer_free(&g->out);
}

void mf_group_begin(mf_group *g, uint64_t start, uint64_t previous_commit, const uint8_t previous_digest[32])
{
    g->first_segment = g->next = g->out_offset = start;
    g->previous_commit = previous_commit;
    g->parent_tag = mf_parent_tag(previous_digest);
    memcpy(g->previous_digest, previous_digest, 32);
    g->begun = g->flushed = g->has_void = false;
    g->segments = 0;
    g->tag = 0;
    g->unsynced = 0;
    mf_buffer_clear(&g->out);
}

static void begin_chain(mf_group *g)
{
    if (!g->begun)
        mf_chain_begin(&g->chain, g->previous_digest);
    g->begun = true;
}

int mf_group_flush(mf_group *g, memfile_error *err)
{
    mf_io *io = g->store->io;
    int rc = MEMFILE_OK;
    if (g->out.length == 0)
        return MEMFILE_OK;
    if (g->unsynced + g->out.length > MF_GROUP_SYNC_INTERVAL) {
        rc = mf_io_sync(io, err);
        g->unsynced = 0;
    }
    if (rc == MEMFILE_OK && g->out.length >= 65536)
        rc = io->functions->allocate(io, g->out_offset, g->out.length, err);
    if (rc == MEMFILE_OK)
        rc = mf_io_write(io, g->out_offset, g->out.data, g->out.length, err);
    if (rc != MEMFILE_OK)
        return rc;
    io->functions->write_behind(io, g->out_offset, g->out.length);
    g->out_offset += g->out.length;
    g->unsynced += g->out.length;
    g->flushed = true;
    mf_buffer_clear(&g->out);
    return MEMFILE_OK;
}

int mf_group_append(mf_group *g, mf_built *built, uint64_t *offset, memfile_error *err)
{
    uint64_t at = g->next;
    begin_chain(g);
    mf_segment_place(built, at, g->previous_commit, g->parent_tag, g->store->tag);
    mf_chain_segment(&g->chain, built->bytes.data, built->body_digest);
    g->tag = mf_group_tag(g->tag, built->bytes.data);
    mf_put_bytes(&g->out, built->bytes.data, built->bytes.length);
    if (g->out.failed)
        return mf_fail_memory(err);
    g->next += built->bytes.length;
    g->segments++;
    if (offset)
        *offset = at;
    return g->out.length >= FLUSH_AT ? mf_group_flush(g, err) : MEMFILE_OK;
}

int mf_group_void(mf_group *g, uint64_t length, uint64_t checksum, const uint8_t digest[32], memfile_error *err)
{
    mf_built built;
    uint8_t head[16];
    begin_chain(g);
    g->has_void = true;
    mf_chain_void(&g->chain, length, digest);
    g->next += length;
    g->first_segment = g->out_offset = g->next;
    mf_store64(head, length);
    mf_store64(head + 8, checksum);
    mf_built_init(&built, g->store->mem, NULL);
    int rc = mf_segment_build(&built, MF_TYPE_VOID, 0, mf_slice_of(head, sizeof head), mf_slice_of(NULL, 0), NULL, 0,
                              NULL, err);
    if (rc == MEMFILE_OK)
        rc = mf_group_append(g, &built, NULL, err);
    mf_built_free(&built);
    return rc;
}

void mf_group_prefix(const mf_group *g, uint8_t out[32])
{
    if (!g->begun) {
        memcpy(out, g->previous_digest, 32);
        return;
    }
    mf_stored_chain copy = g->chain;
    mf_chain_end(&copy, out);
}

/* Such a sector is taken for one that was never written, if the group is damaged later: SPEC 14.3, 16.2. */
static bool holds_zero_sector(const mf_group *g)
{
    enum { SECTOR = 512 };
    for (size_t at = (size_t)(-g->out_offset % SECTOR); at + SECTOR <= g->out.length; at += SECTOR) {
        const uint8_t *p = g->out.data + at;
        if (*p == 0 && memcmp(p, p + 1, SECTOR - 1) == 0)
            return true;
    }
    return false;
}

bool mf_group_wants_two_syncs(const mf_group *g, size_t commit_length)
{
    return g->flushed || g->next - g->first_segment + (g->begun ? commit_length : 0) > MF_SMALL_GROUP_MAX ||
           holds_zero_sector(g);
}

int mf_group_commit(mf_group *g, mf_built *commit, uint8_t stored_digest[32], memfile_error *err)
{
    uint8_t prefix[32];
    mf_stored_chain chain;
    int rc = MEMFILE_OK;
    mf_io *io = g->store->io;
    mf_group_prefix(g, prefix);
    if (commit->segment.flags & MF_FLAG_SYNCED) {
        rc = mf_group_flush(g, err);
        if (rc == MEMFILE_OK)
            rc = mf_io_sync(io, err);
    }
    if (rc != MEMFILE_OK)
        return rc;
    commit->group_length = g->begun ? g->next - g->first_segment : 0;
    mf_segment_place(commit, g->next, g->previous_commit,
                     commit->segment.flags & MF_FLAG_SYNCED ? g->parent_tag : g->parent_tag ^ g->tag, g->store->tag);
    mf_chain_begin(&chain, prefix);
    mf_chain_segment(&chain, commit->bytes.data, commit->body_digest);
    mf_chain_end(&chain, stored_digest);
    if (g->out.length == 0) { /* the usual small commit: no copy */
        rc = mf_io_write(io, g->next, commit->bytes.data, commit->bytes.length, err);
    } else {
        mf_put_bytes(&g->out, commit->bytes.data, commit->bytes.length);
        rc = g->out.failed ? mf_fail_memory(err) : mf_io_write(io, g->out_offset, g->out.data, g->out.length, err);
    }
    if (rc == MEMFILE_OK)
        rc = mf_io_sync(io, err);
    mf_buffer_clear(&g->out);
    return rc;
}

/* ---- runs */

#define ITEMS_BUFFERED 4096u
#define CHILDREN_MAX 160u

int mf_run_writer_init(mf_run_writer *w, mf_group *group, uint64_t first_entry, uint64_t entry_count,
                       memfile_error *err)
{
    memset(w, 0, sizeof *w);
    w->group = group;
    w->first_entry = first_entry;
    w->entry_count = entry_count;
    mf_buffer_init(&w->page, group->store->mem);
    mf_built_init(&w->built, group->store->mem, &group->store->seal);
    w->items = (mf_item *)mf_alloc(group->store->mem, ITEMS_BUFFERED * sizeof *w->items);
    return w->items ? MEMFILE_OK : mf_fail_memory(err);
}

void mf_run_writer_free(mf_run_writer *w)
{
    const mf_mem *mem = w->group->store->mem;
    for (unsigned l = 0; l < MF_PAGE_LEVEL_MAX; l++)
        mf_free(mem, w->level[l].children);
    mf_free(mem, w->items);
    mf_buffer_free(&w->page);
    mf_built_free(&w->built);
}

static int write_page(mf_run_writer *w, const mf_item *first, memfile_error *err)
{
    if (w->page.failed)
        return mf_fail_memory(err);
    int rc = mf_segment_build(&w->built, MF_TYPE_INDEX, MF_FLAG_DERIVED, mf_slice_of(w->page.data, w->page.length),
                              mf_slice_of(NULL, 0), NULL, 0, NULL, err);
    if (rc == MEMFILE_OK)
        rc = mf_group_append(w->group, &w->built, &w->last.offset, err);
    w->last.length = w->built.bytes.length;
    w->last.first = *first;
    w->total_length += w->last.length;
    return rc;
}

static int write_inner(mf_run_writer *w, unsigned level, memfile_error *err);

static int add_child(mf_run_writer *w, unsigned level, memfile_error *err)
{
    if (level >= MF_PAGE_LEVEL_MAX)
        return mf_fail(err, MEMFILE_E_LIMIT, MF_NOWHERE, "an index run has too many pages");
    void *grown = w->level[level].children;
    if (mf_grow(w->group->store->mem, &grown, &w->level[level].capacity, w->level[level].count + 1, sizeof(mf_child)))
        return mf_fail_memory(err);
    w->level[level].children = (mf_child *)grown;
    w->level[level].children[w->level[level].count++] = w->last;
    return w->level[level].count == CHILDREN_MAX ? write_inner(w, level, err) : MEMFILE_OK;
}

/* One page over the collected pages of `level`. */
static int write_inner(mf_run_writer *w, unsigned level, memfile_error *err)
{
    mf_item first = w->level[level].children[0].first;
    mf_buffer_clear(&w->page);
    mf_page_put_inner(&w->page, level + 1, w->first_entry, w->entry_count, w->level[level].children,
                      (uint32_t)w->level[level].count);
    w->level[level].count = 0;
    int rc = write_page(w, &first, err);
    return rc == MEMFILE_OK ? add_child(w, level + 1, err) : rc;
}

static int write_leaf(mf_run_writer *w, memfile_error *err)
{
    mf_item first = w->items[0];
    mf_buffer_clear(&w->page);
    uint32_t n = mf_page_put_leaf(&w->page, w->first_entry, w->entry_count, w->items, w->count);
    int rc = write_page(w, &first, err);
    if (rc != MEMFILE_OK)
        return rc;
    w->count -= n;
    memmove(w->items, w->items + n, w->count * sizeof *w->items);
    return add_child(w, 0, err);
}

int mf_run_writer_add(mf_run_writer *w, const mf_item *item, memfile_error *err)
{
    w->items[w->count++] = *item;
    return w->count == ITEMS_BUFFERED ? write_leaf(w, err) : MEMFILE_OK;
}

int mf_run_writer_finish(mf_run_writer *w, mf_run *run, memfile_error *err)
{
    int rc = MEMFILE_OK;
    memset(run, 0, sizeof *run);
    run->type = MF_RUN_ITEMS;
    run->first_entry = w->first_entry;
    run->entry_count = w->entry_count;
    while (rc == MEMFILE_OK && w->count > 0)
        rc = write_leaf(w, err);
    for (unsigned l = 0; l < MF_PAGE_LEVEL_MAX && rc == MEMFILE_OK; l++) {
        size_t above = 0;
        for (unsigned k = l + 1; k < MF_PAGE_LEVEL_MAX; k++)
            above += w->level[k].count;
        if (above == 0 && w->level[l].count <= 1)
            break; /* that one page is the root, and was written last */
        if (w->level[l].count > 0)
            rc = write_inner(w, l, err);
    }
    if (rc == MEMFILE_OK && w->total_length > 0) {
        run->root_offset = w->last.offset;
        run->root_length = w->last.length;
        run->total_length = w->total_length;
    }
    return rc;
}

int mf_run_write_items(mf_group *group, const mf_items *items, uint64_t first_entry, uint64_t entry_count, mf_run *run,
                       memfile_error *err)
{
    mf_run_writer w;
    int rc = mf_run_writer_init(&w, group, first_entry, entry_count, err);
    for (unsigned kind = 1; kind <= MF_ITEM_LAST && rc == MEMFILE_OK; kind++)
        for (size_t i = 0; i < items->kind[kind].count && rc == MEMFILE_OK; i++) {
            mf_item item = {(uint8_t)kind, items->kind[kind].pairs[i].key, items->kind[kind].pairs[i].value};
            rc = mf_run_writer_add(&w, &item, err);
        }
    if (rc == MEMFILE_OK)
        rc = mf_run_writer_finish(&w, run, err);
    mf_run_writer_free(&w);
    return rc;
}

unsigned mf_run_level(uint64_t entry_count)
{
    unsigned level = 0;
    for (uint64_t n = entry_count / (MF_RUN_BASE * MF_RUN_FANOUT); n; n /= MF_RUN_FANOUT)
        level++;
    return level;
}

/* ---- merging: a heap of iterators, smallest item on top */

typedef struct source {
    mf_run_iterator iterator;
    mf_item item;
} source;

static void sift(source **heap, uint32_t count, uint32_t root)
{
    for (uint32_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && mf_item_compare(&heap[child + 1]->item, &heap[child]->item) < 0)
            child++;
        if (mf_item_compare(&heap[root]->item, &heap[child]->item) <= 0)
            return;
        source *t = heap[root];
        heap[root] = heap[child];
        heap[child] = t;
    }
}

static int merge_sources(mf_run_writer *w, source **heap, uint32_t alive, memfile_error *err)
{
    int rc = MEMFILE_OK;
    for (uint32_t i = alive / 2; i-- > 0;)
        sift(heap, alive, i);
    while (alive > 0 && rc == MEMFILE_OK) {
        rc = mf_run_writer_add(w, &heap[0]->item, err);
        if (rc != MEMFILE_OK)
            break;
        rc = mf_run_next(&heap[0]->iterator, &heap[0]->item, err);
        if (rc == MEMFILE_DONE) {
            heap[0] = heap[--alive];
            rc = MEMFILE_OK;
        }
        if (rc == MEMFILE_OK)
            sift(heap, alive, 0);
    }
    return rc;
}

int mf_run_merge(mf_group *group, const mf_run *runs, uint32_t count, mf_run *run, memfile_error *err)
{
    const mf_mem *mem = group->store->mem;
    uint64_t entries = 0;
    uint32_t opened = 0, alive = 0;
    mf_run_writer w;
    for (uint32_t i = 0; i < count; i++)
        entries += runs[i].entry_count;
    int rc = mf_run_writer_init(&w, group, runs[0].first_entry, entries, err);
    source *sources = (source *)mf_alloc_zero(mem, count * sizeof *sources);
    source **heap = (source **)mf_alloc_zero(mem, count * sizeof *heap);
    if (rc == MEMFILE_OK && (!sources || !heap))
        rc = mf_fail_memory(err);
    const mf_item lowest = {0, 0, 0};
    for (uint32_t i = 0; i < count && rc == MEMFILE_OK; i++) {
        rc = mf_run_seek(&sources[i].iterator, group->store, &runs[i], &lowest, err);
        if (rc != MEMFILE_OK)
            break;
        opened++;
        rc = mf_run_next(&sources[i].iterator, &sources[i].item, err);
        if (rc == MEMFILE_OK)
            heap[alive++] = &sources[i];
        else if (rc == MEMFILE_DONE)
            rc = MEMFILE_OK;
    }
    if (rc == MEMFILE_OK)
        rc = merge_sources(&w, heap, alive, err);
    if (rc == MEMFILE_OK)
        rc = mf_run_writer_finish(&w, run, err);
    for (uint32_t i = 0; i < opened; i++)
        mf_run_iterator_close(&sources[i].iterator);
    mf_run_writer_free(&w);
    mf_free(mem, sources);
    mf_free(mem, heap);
    return rc;
}
