/* fold: one commit after the other. */
#include "fold.h"

void mf_fold_init(mf_fold *f, const uint8_t memory_id[16], const mf_mem *mem)
{
    memset(f, 0, sizeof *f);
    f->mem = mem;
    memcpy(f->memory_id, memory_id, sizeof f->memory_id);
    mf_tree_init(&f->log, MF_LOG_FANOUT);
    mf_tree_init(&f->leaves, MF_ENTRIES_FANOUT);
}

void mf_fold_leaf(mf_fold *f, const uint8_t leaf[32])
{
    mf_tree_add(&f->leaves, leaf);
}

int mf_fold_end(mf_fold *f, uint64_t number, const mf_history_row *row)
{
    uint8_t root[32] = {0}, digest[32];
    bool no_memory = false;
    mf_slice parents = row->parents;
    if (row->count > 0 && f->leaves.count > 0)
        mf_tree_root(&f->leaves, root);
    mf_tree_init(&f->leaves, MF_ENTRIES_FANOUT);
    if (!(row->flags & MF_COMMIT_PARENTS) && number > 0)
        parents = mf_slice_of(f->digest, sizeof f->digest);
    mf_history_digest(digest, f->memory_id, parents, row->count, root, &f->log, row->order, row->time_us, row->author,
                      row->extra, f->mem, &no_memory);
    if (f->body) {
        mf_buffer_clear(f->body);
        mf_history_body(f->body, f->memory_id, parents, row->count, root, &f->log, row->order, row->time_us,
                        row->author, row->extra);
        no_memory = no_memory || f->body->failed;
    }
    f->frontier_before_count = mf_tree_frontier(&f->log, f->frontier_before);
    mf_tree_add(&f->log, digest);
    memcpy(f->digest, digest, sizeof digest);
    return no_memory ? -1 : 0;
}

void mf_fold_adopt(mf_fold *f, uint64_t number, const uint8_t digest[32], const mf_footer *footer)
{
    mf_tree_init(&f->log, MF_LOG_FANOUT);
    mf_tree_init(&f->leaves, MF_ENTRIES_FANOUT);
    if (footer)
        mf_tree_from_frontier(&f->log, number, &footer->frontier[0][0]);
    f->frontier_before_count = mf_tree_frontier(&f->log, f->frontier_before);
    mf_tree_add(&f->log, digest);
    memcpy(f->digest, digest, sizeof f->digest);
}
