/* verify_commit: what a sound commit says, compared with what stands before it. SPEC 15.5. */
#include "verify.h"

/* The stored digest up to the commit, compared with the footer's, and behind it. */
static void chain_commit(mf_verify *v, mf_verify_group *h, bool alone, const char **wrong)
{
    uint8_t prefix[32];
    mf_stored_chain last;
    bool known = v->stored_known && h->whole;
    if (alone)
        memcpy(prefix, v->stored_digest, 32);
    else
        mf_chain_end(&h->chain, prefix);
    if (h->full) {
        if (known && memcmp(prefix, h->footer.stored_prefix, 32) != 0)
            *wrong = "the footer's stored digest is not that of the bytes before it";
        else if (!known && alone && h->segment.parent_tag != mf_parent_tag(h->footer.stored_prefix))
            *wrong = "the commit does not belong behind the stored digest that its footer names";
        if (!known) /* else what is computed goes on, so that one fault is one finding */
            memcpy(prefix, h->footer.stored_prefix, 32);
        known = true;
    }
    v->stored_disputed = h->full && known && memcmp(prefix, h->footer.stored_prefix, 32) != 0;
    if (v->stored_disputed) {
        mf_chain_begin(&last, h->footer.stored_prefix);
        mf_chain_segment(&last, h->header, h->body_digest);
        mf_chain_end(&last, v->stored_other);
    }
    mf_chain_begin(&last, prefix);
    mf_chain_segment(&last, h->header, h->body_digest);
    mf_chain_end(&last, v->stored_digest);
    v->stored_known = known;
}

/* The rest of the footer, where nothing was found amiss so far. */
static const char *check_footer_counts(const mf_verify *v, const mf_verify_group *h)
{
    const mf_footer *f = &h->footer;
    const mf_commit *k = &h->commit;
    uint64_t inside = h->logical && (k->number == 0 || (k->flags & MF_COMMIT_INLINE)) ? k->number : k->number + 1;
    if (v->result->findings > (v->result->unfinished_bytes > 0))
        return NULL;
    if (f->indexed_commits != inside)
        return "the footer's index does not cover the commits before it";
    if (f->objects != v->whole_count)
        return "the footer counts other contents than there are";
    if (f->keys_offset != (v->store.seal.sealed ? v->keys_offset : 0))
        return "the footer names other key slots than there are";
    if (f->history_count != v->history_count || f->history_offset != v->first_history)
        return "the footer names other folded commits than there are";
    if (v->salts_known && v->salt_root_known && memcmp(f->salt_root, v->salt_root, MF_SALT_LENGTH) != 0)
        return "the footer's salt is not that of the tree in use";
    return NULL;
}

static const char *check_footer(const mf_verify *v, const mf_verify_group *h)
{
    uint8_t frontier[64][32];
    const mf_footer *f = &h->footer;
    const mf_commit *k = &h->commit;
    unsigned count = h->logical ? mf_tree_frontier(&v->fold.log, frontier) : v->fold.frontier_before_count;
    const uint8_t *log = h->logical ? frontier[0] : v->fold.frontier_before[0];
    uint64_t inside = k->flags & MF_COMMIT_INLINE ? k->first_entry : k->first_entry + k->entry_count;
    if (f->indexed_entries != inside)
        return "the footer's index does not cover the entries before it";
    if (v->history_known && (count != f->frontier_count || memcmp(log, f->frontier, (size_t)count * 32) != 0))
        return "the footer's log is not that of the commits before it";
    return check_footer_counts(v, h);
}

/* SPEC 8.3, 9.1: each entry takes the next index of its tree. */
static const char *check_salts(mf_verify *v, const mf_commit *k)
{
    const char *amiss = NULL;
    if (k->flags & MF_COMMIT_SALT) {
        memcpy(v->salt_root, k->salt_root, MF_SALT_LENGTH);
        v->next_salt = 0;
        v->salts_known = v->salt_root_known = true;
    }
    if (k->entry_count > 0 && v->salts_known && k->salt_index < v->next_salt)
        amiss = "the commit's salts were taken before";
    v->next_salt = k->salt_index + k->entry_count;
    return amiss;
}

/* SPEC 9.1, 9.5: where the last FULL commit is. */
static const char *check_full(mf_verify *v, const mf_commit *k, uint64_t offset, bool alone)
{
    const char *amiss = NULL;
    if (k->flags & MF_COMMIT_FULL) {
        v->last_full = offset;
        v->since_full = 0;
        return NULL;
    }
    v->since_full++;
    if (!alone)
        amiss = "a commit that is not FULL has other segments in its group";
    else if (v->last_full && offset - k->footer_distance != v->last_full)
        amiss = "the commit does not lead to the last footer";
    else if (v->last_full && v->since_full >= MF_FULL_EVERY_COMMITS)
        amiss = "no footer in so many commits";
    v->last_full = offset - k->footer_distance;
    return amiss;
}

/* History digest, number and order of the group's commit. *faithful: none of it is amiss. */
static int check_commit(mf_verify *v, mf_verify_group *h, bool *faithful, const char **wrong)
{
    const mf_commit *k = &h->commit;
    const char *footer = h->full ? check_footer(v, h) : NULL, *amiss = NULL;
    uint64_t due = v->any_commit ? v->number + 1 : 0;
    int rc = MEMFILE_OK;
    if (h->logical) {
        mf_history_row row;
        mf_history_row_of(&row, k);
        if (k->number < due)
            amiss = "the commit's number does not follow";
        else if (v->any_commit && k->order <= v->order)
            amiss = "the commit's order does not rise";
        else if (k->number == 0 && k->entry_count > 0)
            amiss = "the genesis brings entries";
        if (k->number > due) {
            mf_verify_miss_commits(v, k->number);
            v->history_known = false;
        }
        if (!amiss && !mf_commit_text_is_sound(k->author, k->extra))
            amiss = "the commit's author or its further pairs are not as they must be";
        const char *salts = check_salts(v, k);
        amiss = amiss ? amiss : salts;
        rc = mf_verify_end_commit(v, k->number, &row);
        v->number = k->number;
        v->order = k->order;
        v->any_commit = true;
        v->result->commits++;
        mf_verify_expect(v, MF_ITEM_COMMIT, k->number, k->first_entry + k->entry_count);
    } else if (k->number + 1 > due) { /* it names a newest logical one that is not there */
        mf_verify_miss_commits(v, k->number + 1);
        v->history_known = false;
        v->number = k->number;
        v->order = k->order;
        v->any_commit = true;
    } else if (k->number + 1 < due || (v->history_known && k->order != v->order)) {
        amiss = "the commit has not number and order of the newest logical one";
    }
    if (v->listener && v->listener->header_made && h->logical && k->number == 0 && v->history_known &&
        memcmp(v->fold.digest, k->history_digest, 32) != 0)
        v->memory_unknown = true;
    else if (v->history_known && memcmp(v->fold.digest, k->history_digest, 32) != 0)
        amiss = "the history digest is not that of the entries";
    *faithful = !amiss;
    amiss = amiss ? amiss : footer;
    if (amiss && !*wrong)
        *wrong = amiss;
    if (rc == MEMFILE_OK && h->logical)
        rc = mf_verify_signed(v, h->segment.offset, k->number, v->entries,
                              amiss || v->memory_unknown ? NULL : k->history_digest, k->signatures,
                              v->history_known && !amiss && !v->memory_unknown);
    if (!v->history_known || amiss || v->memory_unknown) { /* go on from what it says, so that one fault is one finding */
        mf_fold_adopt(&v->fold, k->number, k->history_digest, h->full ? &h->footer : NULL);
        v->history_known = h->full && !v->memory_unknown;
    }
    return rc;
}

/* The group has a sound commit, and its segments were checked. */
int mf_verify_commit(mf_verify *v, mf_verify_group *h, const char *wrong)
{
    const mf_walk_group *g = h->walked;
    const mf_commit *k = &h->commit;
    if (!wrong && v->keys_new && h->logical)
        wrong = "a commit that brings a new key is logical";
    v->keys_new = false;
    uint64_t end = k->first_entry + k->entry_count;
    chain_commit(v, h, g->commit_offset == g->start, &wrong);
    int rc = mf_verify_end_object(v);
    if (rc == MEMFILE_OK && (k->flags & MF_COMMIT_INLINE)) {
        rc = mf_verify_give_block(v, &h->segment, h->raw);
        if (rc != MEMFILE_OK && mf_verify_about_file(rc)) {
            mf_verify_find_error(v, v->err, mf_segment_total(&h->segment));
            rc = MEMFILE_OK;
        }
    }
    if (rc == MEMFILE_OK)
        rc = mf_verify_drain(v);
    if (rc == MEMFILE_OK && v->folding && !v->any_commit)
        rc = mf_verify_fold(v);
    v->entries_known = v->entries == end;
    if (rc == MEMFILE_OK && v->entries < end) {
        uint64_t count = end - v->entries;
        rc = mf_verify_miss(v, end);
        if (rc == MEMFILE_OK)
            rc = mf_verify_miss_leaves(v, count);
    }
    if (rc != MEMFILE_OK)
        return rc;
    if (v->folding)
        wrong = "folded commits name more entries than there are";
    else if (g->previous_commit == 0 && v->commits.count > 0 && v->folded_entries != end)
        wrong = "folded commits name fewer entries than there are";
    v->folding = v->commit_due = false;
    if (v->entries != end)
        wrong = "the commit names another number of entries than its blocks have";
    v->entries = end;
    bool faithful;
    rc = check_commit(v, h, &faithful, &wrong);
    if (h->full && !v->salt_root_known) {
        memcpy(v->salt_root, h->footer.salt_root, MF_SALT_LENGTH);
        v->salt_root_known = true;
    }
    const char *full = check_full(v, k, g->commit_offset, g->commit_offset == g->start);
    wrong = wrong ? wrong : full;
    if (!wrong && h->whole && k->group_length != g->commit_offset - g->first_segment)
        wrong = "the commit's group has another length";
    if (wrong)
        mf_verify_find(v, MEMFILE_E_DAMAGED, g->commit_offset, mf_segment_total(&h->segment), 0, 0, wrong);
    if (rc == MEMFILE_OK && v->listener && v->listener->segment)
        rc = v->listener->segment(v->listener->context, g->commit_offset, faithful);
    return rc;
}

int mf_verify_commit_outside(mf_verify *v, mf_verify_group *h, const char *wrong)
{
    const mf_walk_group *g = h->walked;
    if (!v->options->quick)
        chain_commit(v, h, g->commit_offset == g->start, &wrong);
    if (!wrong && h->whole && h->group_length != g->commit_offset - g->first_segment)
        wrong = "the commit's group has another length";
    if (wrong)
        mf_verify_find(v, MEMFILE_E_DAMAGED, g->commit_offset, mf_segment_total(&h->segment), 0, 0, wrong);
    v->result->commits++;
    v->commit_due = false;
    return MEMFILE_OK;
}

void mf_verify_count_commit(mf_verify *v, const mf_verify_group *h)
{
    const mf_commit *k = &h->commit;
    if (h->logical && k->number > (v->any_commit ? v->number + 1 : 0) && !v->folding)
        mf_verify_miss_commits(v, k->number);
    v->any_commit = true;
    v->commit_due = false;
    v->number = k->number;
    v->entries = k->first_entry + k->entry_count;
    v->result->entries = v->entries;
    v->result->commits = k->number + 1;
}
