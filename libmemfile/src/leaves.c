/* leaves: SPEC 8, 10.8, 13.3. */
#include "leaves.h"

#include <stdlib.h>

#include "cbor.h"
#include "scan.h"

/* ---- salts, commit by commit */

static bool of_the_file(int rc)
{
    return rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_TRUNCATED;
}

/* HISTORY segments stand in the first group, before the first block. */
static int find_folded(mf_salt_walk *w, const mf_walk_group *g, memfile_error *err)
{
    uint64_t end = g->commit_offset ? g->commit_offset : g->end;
    int rc = MEMFILE_OK;
    for (uint64_t at = g->first_segment; at < end && rc == MEMFILE_OK;) {
        mf_segment s;
        uint8_t *raw;
        memfile_error why;
        rc = mf_store_segment(w->store, at, 0, &s, &raw, &why);
        if (rc != MEMFILE_OK) {
            w->known = false; /* it may have been one of them */
            *err = why;
            break;
        }
        mf_free(w->store->mem, raw);
        if (s.type == MF_TYPE_RECORDS)
            break;
        if (s.type == MF_TYPE_HISTORY && mf_history_cursor_add(&w->cursor, at) != MEMFILE_OK)
            return mf_fail_memory(err);
        at += mf_segment_total(&s);
    }
    w->folded = w->cursor.count > 0;
    return of_the_file(rc) ? MEMFILE_OK : rc;
}

int mf_salt_walk_open(mf_salt_walk *w, mf_store *store, memfile_error *err)
{
    memset(w, 0, sizeof *w);
    w->store = store;
    w->known = true;
    mf_history_cursor_init(&w->cursor, store);
    int rc = mf_walk_open(&w->walk, store, store->state->end, err);
    w->opened = rc == MEMFILE_OK;
    return rc;
}

void mf_salt_walk_close(mf_salt_walk *w)
{
    if (w->opened)
        mf_walk_close(&w->walk);
    mf_history_cursor_free(&w->cursor);
    w->opened = false;
}

/* A commit: its entries follow those before it, or some are missing. */
static void take(mf_salt_walk *w, uint64_t number, uint64_t first, uint64_t count, uint64_t salt_index, bool new_tree)
{
    if (number != w->next_number)
        w->known = false;
    if (new_tree)
        w->known = true;
    w->tree += new_tree;
    w->next_number = number + 1;
    w->first = first;
    w->end = first + count;
    w->salt_index = salt_index;
}

static int next_folded(mf_salt_walk *w, memfile_error *err)
{
    mf_history_row *row;
    uint64_t number;
    memfile_error why;
    int rc = mf_history_cursor_next(&w->cursor, &row, &number, &why);
    if (rc == MEMFILE_OK) {
        uint64_t first = number == w->cursor.history.first_number ? w->cursor.history.first_entry : w->end;
        take(w, number, first, row->count, row->salt_index, row->flags & MF_COMMIT_SALT);
    } else if (rc == MEMFILE_DONE || of_the_file(rc)) {
        w->folded = false;
        w->known = w->known && rc == MEMFILE_DONE;
        rc = MEMFILE_OK;
    } else {
        *err = why;
    }
    return rc;
}

static int take_commit(mf_salt_walk *w, const mf_walk_group *g, memfile_error *err)
{
    mf_segment s;
    uint8_t *raw = NULL;
    mf_slice head, stored;
    mf_commit k;
    memfile_error why;
    int rc = mf_store_segment(w->store, g->commit_offset, 0, &s, &raw, &why);
    if (rc == MEMFILE_OK)
        rc = mf_segment_split(&s, raw, &head, &stored, &why);
    if (rc == MEMFILE_OK)
        rc = mf_commit_decode(&k, head, NULL, w->store->mem, s.offset, &why);
    if (rc == MEMFILE_OK && (k.flags & MF_COMMIT_LOGICAL)) {
        take(w, k.number, k.first_entry, k.entry_count, k.salt_index, k.flags & MF_COMMIT_SALT);
        if ((k.flags & MF_COMMIT_SALT) && mf_history_cursor_set_root(&w->cursor, k.salt_root) != MEMFILE_OK)
            rc = mf_fail_memory(&why);
    }
    mf_free(w->store->mem, raw);
    if (of_the_file(rc)) {
        w->known = false;
        rc = MEMFILE_OK;
    }
    if (rc != MEMFILE_OK)
        *err = why;
    return rc;
}

int mf_salt_walk_next(mf_salt_walk *w, memfile_error *err)
{
    mf_walk_group g;
    if (w->folded)
        return next_folded(w, err);
    int rc = mf_walk_group_next(&w->walk, &g, err);
    if (rc == MEMFILE_DONE) {
        w->finished = true;
        return MEMFILE_OK;
    }
    if (rc == MEMFILE_OK && g.previous_commit == 0)
        rc = find_folded(w, &g, err);
    if (rc != MEMFILE_OK)
        return rc;
    if (!g.commit_offset) {
        w->known = false;
        return MEMFILE_OK;
    }
    return take_commit(w, &g, err);
}

int mf_salt_walk_seek(mf_salt_walk *w, uint64_t entry, memfile_error *err)
{
    int rc = MEMFILE_OK;
    while (rc == MEMFILE_OK && entry >= w->end && !w->finished)
        rc = mf_salt_walk_next(w, err);
    return rc == MEMFILE_OK && (!w->known || entry < w->first || entry >= w->end) ? MEMFILE_DONE : rc;
}

int mf_salt_walk_salt(mf_salt_walk *w, uint64_t entry, uint8_t out[MF_SALT_LENGTH], memfile_error *err)
{
    int rc = mf_salt_walk_seek(w, entry, err);
    if (rc == MEMFILE_OK && !mf_history_cursor_salt(&w->cursor, mf_salt_walk_index(w, entry), out))
        rc = MEMFILE_DONE;
    return rc;
}

int mf_salt_walk_leaf(mf_salt_walk *w, mf_block *block, uint32_t row, uint64_t entry, mf_buffer *scratch,
                      uint8_t leaf[32], memfile_error *err)
{
    uint8_t salt[MF_SALT_LENGTH];
    const uint8_t *erased = mf_block_erased(block, row);
    if (erased) {
        memcpy(leaf, erased, 32);
        return MEMFILE_OK;
    }
    int rc = mf_salt_walk_salt(w, entry, salt, err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_buffer_clear(scratch);
    mf_put_bytes(scratch, salt, sizeof salt);
    rc = mf_block_core(block, row, scratch);
    if (rc != 0)
        return rc == -2 ? mf_fail_memory(err)
                        : mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "entry %llu is damaged", (unsigned long long)entry);
    if (scratch->failed)
        return mf_fail_memory(err);
    mf_digest(leaf, MF_LABEL_LEAF, scratch->data, scratch->length);
    return MEMFILE_OK;
}

/* ---- trees without some of their salts, SPEC 13.3 */

typedef struct puncturing {
    mf_salt_nodes *out;
    const uint32_t *indexes;
    size_t at, count;
    uint64_t end; /* indexes from here on are of no entry */
    const mf_mem *mem;
} puncturing;

static int puncture(puncturing *p, const mf_salt_node *node)
{
    unsigned below = 2 * (MF_SALT_DEPTH - node->depth);
    uint64_t first = node->position << below, end = (node->position + 1) << below;
    if (first >= p->end)
        return 0;
    while (p->at < p->count && p->indexes[p->at] < first)
        p->at++;
    if (p->at == p->count || p->indexes[p->at] >= end) { /* nothing below it goes */
        void *grown = p->out->v;
        if (mf_grow(p->mem, &grown, &p->out->capacity, p->out->count + 1, sizeof *p->out->v) != 0)
            return -1;
        p->out->v = (mf_salt_node *)grown;
        p->out->v[p->out->count++] = *node;
        return 0;
    }
    for (unsigned i = 0; i < 4 && node->depth < MF_SALT_DEPTH; i++) {
        mf_salt_node child = {(uint8_t)(node->depth + 1), node->position << 2 | i, {0}};
        mf_salt_child(node->seed, i, child.seed);
        if (puncture(p, &child) != 0)
            return -1;
    }
    return 0;
}

int mf_salt_nodes_puncture(mf_salt_nodes *out, const mf_salt_node *nodes, size_t node_count, const uint32_t *indexes,
                           size_t index_count, uint64_t end, const mf_mem *mem)
{
    puncturing p = {out, indexes, 0, index_count, index_count ? end : UINT64_MAX, mem};
    out->count = 0;
    for (size_t i = 0; i < node_count; i++)
        if (puncture(&p, &nodes[i]) != 0)
            return -1;
    return 0;
}

/* ---- entries of op forget */

int mf_numbers_add(mf_numbers *n, uint64_t number, const mf_mem *mem)
{
    void *grown = n->v;
    if (mf_grow(mem, &grown, &n->capacity, n->count + 1, sizeof *n->v) != 0)
        return -1;
    n->v = (uint64_t *)grown;
    n->v[n->count++] = number;
    return 0;
}

bool mf_block_forgets(const mf_block *block, uint32_t row)
{
    if (!(mf_block_mask(block, row) & MF_COLUMN_REST))
        return false;
    mf_slice rest = mf_block_rest(block, row); /* op is the first of all fields */
    return rest.length >= 2 && rest.data[0] == MF_FIELD_OP && rest.data[1] == MF_OP_FORGET;
}

/* A state that was rebuilt may lack entries; that is known and told. */
static int end_of_scan(const mf_store *st, int rc)
{
    return rc == MEMFILE_DONE || (rc == MEMFILE_E_DAMAGED && st->state->blocks) ? MEMFILE_OK : rc;
}

int mf_forgets_find(mf_store *st, mf_numbers *forgets, memfile_error *err)
{
    mf_scan scan;
    mf_scan_slot *slot;
    int rc = mf_scan_open(&scan, st, 0, st->state->entries, true, 1, err);
    if (rc != MEMFILE_OK)
        return rc;
    while (rc == MEMFILE_OK && (rc = mf_scan_next(&scan, &slot, err)) == MEMFILE_OK)
        for (uint32_t row = 0; rc == MEMFILE_OK && row < slot->block.rows; row++)
            if (mf_block_forgets(&slot->block, row) && mf_numbers_add(forgets, slot->first_entry + row, st->mem) != 0)
                rc = mf_fail_memory(err);
    rc = end_of_scan(st, rc);
    mf_scan_close(&scan);
    return rc;
}

/* ---- their leaves */

static int compare_claims(const void *a, const void *b)
{
    const mf_claim *x = (const mf_claim *)a, *y = (const mf_claim *)b;
    for (int i = 0; i < 2; i++)
        if (x->leaf[i] != y->leaf[i])
            return x->leaf[i] < y->leaf[i] ? -1 : 1;
    return x->by < y->by ? -1 : x->by > y->by;
}

/* Sorts those from `first` on, and drops twins. */
static void settle_claims(mf_claims *c, size_t first)
{
    size_t kept = first;
    if (c->count > first + 1)
        qsort(c->v + first, c->count - first, sizeof *c->v, compare_claims);
    for (size_t i = first; i < c->count; i++)
        if (kept == first || compare_claims(&c->v[kept - 1], &c->v[i]) != 0)
            c->v[kept++] = c->v[i];
    c->count = kept;
}

int mf_claims_add(mf_claims *c, mf_slice supersedes, uint64_t by, const mf_mem *mem)
{
    const uint8_t *leaf;
    uint32_t n = mf_record_leaves(supersedes, &leaf);
    void *grown = c->v;
    size_t first = c->count;
    if (mf_grow(mem, &grown, &c->capacity, c->count + n, sizeof *c->v) != 0)
        return -1;
    c->v = (mf_claim *)grown;
    for (uint32_t i = 0; i < n; i++, leaf += MF_LEAF_STRIDE)
        c->v[c->count++] = (mf_claim){{mf_load64(leaf), mf_load64(leaf + 8)}, by, false};
    settle_claims(c, first); /* a few bytes may name one leaf thousands of times */
    return 0;
}

/* The leaves that an entry of the file names. */
static int add_claims_of(mf_claims *c, mf_store *st, uint64_t entry, memfile_error *err)
{
    mf_object *o = NULL;
    uint32_t row;
    int rc = mf_store_entry(st, entry, &o, &row, err);
    if (rc == MEMFILE_OK)
        rc = mf_store_content(st, o, err);
    if (rc == MEMFILE_OK &&
        mf_claims_add(c, mf_block_rest_field(&o->block, row, MF_FIELD_SUPERSEDES), entry, st->mem) != 0)
        rc = mf_fail_memory(err);
    mf_store_release(st, o);
    return rc;
}

static int too_many_alike(memfile_error *err)
{
    return mf_fail(err, MEMFILE_E_LIMIT, MF_NOWHERE, "more entries fit the leaves that are forgotten than are named");
}

static int match(mf_claims *c, mf_leaf_search *s, const uint8_t leaf[32], uint64_t entry, bool erased, memfile_error *err)
{
    mf_claim wanted = {{mf_load64(leaf), mf_load64(leaf + 8)}, entry + 1, false}; /* what names it stands behind it */
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_claims(&c->v[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < c->count && c->v[low].leaf[0] == wanted.leaf[0] && c->v[low].leaf[1] == wanted.leaf[1]; low++) {
        c->v[low].met = true;
        if (s->left-- == 0)
            return too_many_alike(err);
        if (s->found(s->context, entry, c->v[low].by, erased) != 0)
            return mf_fail_memory(err);
    }
    return MEMFILE_OK;
}

/* All entries below `end` against the claims. */
static int match_all(mf_claims *c, mf_leaf_search *s, uint64_t end, memfile_error *err)
{
    mf_store *st = s->store;
    mf_salt_walk walk;
    mf_scan scan;
    mf_scan_slot *slot;
    mf_buffer scratch;
    uint8_t leaf[32];
    mf_buffer_init(&scratch, st->mem);
    int rc = mf_salt_walk_open(&walk, st, err);
    if (rc == MEMFILE_OK) {
        rc = mf_scan_open(&scan, st, 0, end, true, 1, err);
        while (rc == MEMFILE_OK && (rc = mf_scan_next(&scan, &slot, err)) == MEMFILE_OK)
            for (uint32_t row = 0; rc == MEMFILE_OK && row < slot->block.rows && slot->first_entry + row < end; row++) {
                uint64_t entry = slot->first_entry + row;
                rc = mf_salt_walk_leaf(&walk, &slot->block, row, entry, &scratch, leaf, err);
                if (rc == MEMFILE_OK)
                    rc = match(c, s, leaf, entry, mf_block_erased(&slot->block, row) != NULL, err);
                else if ((rc == MEMFILE_DONE || of_the_file(rc)) && s->unknown)
                    rc = s->unknown(s->context, entry) == 0 ? MEMFILE_OK : mf_fail_memory(err);
                else if (rc == MEMFILE_DONE)
                    rc = mf_fail(err, MEMFILE_E_DAMAGED, slot->offset, "the salt of entry %llu cannot be derived",
                                 (unsigned long long)entry);
            }
        rc = end_of_scan(st, rc);
        mf_scan_close(&scan);
    }
    mf_salt_walk_close(&walk);
    mf_buffer_free(&scratch);
    return rc;
}

int mf_claims_resolve(mf_claims *c, mf_leaf_search *s, uint64_t end, memfile_error *err)
{
    settle_claims(c, 0);
    s->left += c->count;
    int rc = c->count > 0 ? match_all(c, s, end, err) : MEMFILE_OK;
    for (size_t i = 0; i < c->count; i++)
        s->unmatched += !c->v[i].met;
    c->count = 0;
    return rc;
}

int mf_claims_add_leaf(mf_claims *c, const uint8_t leaf[32], uint64_t entry, const mf_mem *mem)
{
    void *grown = c->v;
    if (mf_grow(mem, &grown, &c->capacity, c->count + 1, sizeof *c->v) != 0)
        return -1;
    c->v = (mf_claim *)grown;
    c->v[c->count++] = (mf_claim){{mf_load64(leaf), mf_load64(leaf + 8)}, entry, false};
    return 0;
}

int mf_claims_join(mf_claims *c, mf_claims *leaves, int (*found)(void *context, uint64_t entry, uint64_t by),
                   void *context, memfile_error *err)
{
    settle_claims(c, 0);
    settle_claims(leaves, 0);
    size_t left = c->count;
    for (size_t i = 0, k = 0; i < c->count; i++) {
        const uint64_t *leaf = c->v[i].leaf;
        const mf_claim first = {{leaf[0], leaf[1]}, 0, false};
        while (k < leaves->count && compare_claims(&leaves->v[k], &first) < 0)
            k++;
        for (size_t j = k; j < leaves->count && compare_claims(&leaves->v[j], &c->v[i]) < 0; j++) {
            if (left-- == 0)
                return too_many_alike(err);
            if (found(context, leaves->v[j].by, c->v[i].by) != 0)
                return mf_fail_memory(err);
        }
    }
    c->count = 0;
    return MEMFILE_OK;
}

int mf_forgets_resolve(const mf_numbers *forgets, mf_leaf_search *s, memfile_error *err)
{
    mf_claims c = {NULL, 0, 0};
    int rc = MEMFILE_OK;
    s->unmatched = 0;
    for (size_t i = 0; i < forgets->count && rc == MEMFILE_OK;) {
        while (i < forgets->count && c.count < MF_CLAIMS_MAX && rc == MEMFILE_OK)
            rc = add_claims_of(&c, s->store, forgets->v[i++], err);
        if (rc == MEMFILE_OK)
            rc = mf_claims_resolve(&c, s, forgets->v[i - 1], err);
    }
    mf_free(s->store->mem, c.v);
    return rc;
}
