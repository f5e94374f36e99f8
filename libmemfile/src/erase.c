/* erase: SPEC 13.3, 13.5. */
#include "erase.h"

static void next_forgotten(mf_eraser *e)
{
    const mf_ranges *f = e->forgotten;
    if (e->next + 1 < f->v[e->range].end)
        e->next++;
    else
        e->next = ++e->range < f->count ? f->v[e->range].first : UINT64_MAX;
}

int mf_eraser_begin(mf_eraser *e, mf_store *old, memfile_error *err)
{
    bool yes;
    memset(e, 0, sizeof *e);
    e->old = old;
    e->mem = old->mem;
    e->next = UINT64_MAX;
    e->forgotten = &old->state->forgotten;
    mf_buffer_init(&e->scratch, e->mem);
    int rc = mf_store_forgotten(old, 0, &yes, err); /* reads them all */
    e->erases = rc == MEMFILE_OK && e->forgotten->count > 0;
    if (!e->erases)
        return rc;
    e->next = e->forgotten->v[0].first;
    rc = mf_salt_walk_open(&e->ahead, old, err);
    return rc == MEMFILE_OK ? mf_salt_walk_open(&e->leaves, old, err) : rc;
}

void mf_eraser_free(mf_eraser *e)
{
    if (!e->old)
        return;
    mf_salt_walk_close(&e->ahead);
    mf_salt_walk_close(&e->leaves);
    mf_free(e->mem, e->indexes);
    mf_free(e->mem, e->nodes.v);
    mf_buffer_free(&e->scratch);
    e->old = NULL;
}

/* Forgotten entries of the commit at hand of the walk. Where its tree cannot be told, the new file
 * has no salts of it either. */
static int collect_commit(mf_eraser *e, memfile_error *err)
{
    for (; e->next < e->ahead.end; next_forgotten(e)) {
        void *grown = e->indexes;
        if (mf_salt_walk_seek(&e->ahead, e->next, err) != MEMFILE_OK)
            continue;
        if (mf_grow(e->mem, &grown, &e->index_capacity, e->index_count + 1, sizeof *e->indexes) != 0)
            return mf_fail_memory(err);
        e->indexes = (uint32_t *)grown;
        e->indexes[e->index_count++] = (uint32_t)mf_salt_walk_index(&e->ahead, e->next);
    }
    return MEMFILE_OK;
}

/* Indexes of what is forgotten in the tree that is due, and where its indexes end. */
static int collect_tree(mf_eraser *e, uint64_t *end, memfile_error *err)
{
    mf_salt_walk *w = &e->ahead;
    int rc = MEMFILE_OK;
    e->index_count = 0;
    *end = 0;
    while (rc == MEMFILE_OK && w->tree < e->trees && !w->finished)
        rc = mf_salt_walk_next(w, err);
    while (rc == MEMFILE_OK && w->tree == e->trees && !w->finished) {
        if (w->end > w->first)
            *end = mf_salt_walk_index(w, w->end);
        rc = collect_commit(e, err);
        if (rc == MEMFILE_OK)
            rc = mf_salt_walk_next(w, err);
    }
    return rc;
}

int mf_eraser_nodes(mf_eraser *e, const mf_salt_node **nodes, uint32_t *count, memfile_error *err)
{
    uint64_t end;
    if (!e->erases)
        return MEMFILE_OK;
    e->trees++;
    e->newest_punctured = false;
    if (e->next == UINT64_MAX)
        return MEMFILE_OK;
    int rc = collect_tree(e, &end, err);
    if (rc != MEMFILE_OK || e->index_count == 0)
        return rc;
    e->newest_punctured = true;
    if (mf_salt_nodes_puncture(&e->nodes, *nodes, *count, e->indexes, e->index_count, end, e->mem) != 0)
        return mf_fail_memory(err);
    *nodes = e->nodes.v;
    *count = (uint32_t)e->nodes.count;
    return MEMFILE_OK;
}

int mf_eraser_leaf(mf_eraser *e, mf_block *block, uint32_t row, uint64_t entry, uint8_t leaf[32], memfile_error *err)
{
    return mf_salt_walk_leaf(&e->leaves, block, row, entry, &e->scratch, leaf, err);
}
