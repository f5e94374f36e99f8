/* history: folded commits in HISTORY segments. SPEC 13.2, 13.3. */
#include "commit.h"

typedef struct columns {
    uint64_t *v;
    size_t n;
} columns;

static void put_column(mf_buffer *out, columns *c)
{
    mf_put_ints(out, c->v, c->n);
    c->n = 0;
}

void mf_history_row_of(mf_history_row *row, const mf_commit *k)
{
    memset(row, 0, sizeof *row);
    row->flags = k->flags & (MF_COMMIT_PARENTS | MF_COMMIT_AUTHOR | MF_COMMIT_EXTRA | MF_COMMIT_SALT | MF_COMMIT_ORDER |
                             MF_COMMIT_SIGNATURES);
    row->count = k->entry_count;
    row->order = k->order;
    row->time_us = k->time_us;
    row->salt_index = k->salt_index;
    row->parents = k->parents;
    row->author = k->author;
    row->extra = k->extra;
    row->signatures = k->signatures;
}

static void put_nodes(mf_buffer *out, const mf_salt_node *nodes, uint32_t count)
{
    mf_put_varint(out, count);
    for (uint32_t i = 0; i < count; i++) {
        mf_put_u8(out, nodes[i].depth);
        mf_put_varint(out, nodes[i].position);
        mf_put_bytes(out, nodes[i].seed, sizeof nodes[i].seed);
    }
}

void mf_history_encode(mf_buffer *out, const mf_history *h)
{
    columns c = {(uint64_t *)mf_alloc(out->mem, ((size_t)h->row_count + 1) * sizeof(uint64_t)), 0};
    if (!c.v) {
        out->failed = true;
        return;
    }
    mf_put_varint(out, h->first_number);
    mf_put_varint(out, h->row_count);
    mf_put_varint(out, h->first_entry);
    if (h->row_count == 0) {
        put_nodes(out, h->nodes, h->node_count);
        mf_free(out->mem, c.v);
        return;
    }
    for (uint32_t i = 0; i < h->row_count; i++)
        c.v[c.n++] = h->rows[i].flags;
    put_column(out, &c);
    for (uint32_t i = 0; i < h->row_count; i++)
        c.v[c.n++] = h->rows[i].count;
    put_column(out, &c);
    for (uint32_t i = 1; i < h->row_count; i++)
        c.v[c.n++] = mf_zigzag((int64_t)((uint64_t)h->rows[i].time_us - (uint64_t)h->rows[i - 1].time_us));
    mf_put_zigzag(out, h->rows[0].time_us);
    put_column(out, &c);
    for (uint32_t i = 0; i < h->row_count; i++)
        if (h->rows[i].flags & MF_COMMIT_ORDER)
            c.v[c.n++] = h->rows[i].order;
    put_column(out, &c);
    for (uint32_t i = 0; i < h->row_count; i++)
        if (h->rows[i].count)
            c.v[c.n++] = h->rows[i].salt_index;
    put_column(out, &c);
    mf_free(out->mem, c.v);
    for (uint32_t i = 0; i < h->row_count; i++) {
        const mf_history_row *r = &h->rows[i];
        if (!(r->flags & MF_COMMIT_SALT))
            continue;
        put_nodes(out, h->nodes + r->salt_first, r->salt_count);
    }
    for (uint32_t i = 0; i < h->row_count; i++)
        if (h->rows[i].flags & MF_COMMIT_PARENTS) {
            mf_put_varint(out, h->rows[i].parents.length / 32);
            mf_put_bytes(out, h->rows[i].parents.data, h->rows[i].parents.length);
        }
    for (uint32_t i = 0; i < h->row_count; i++)
        if (h->rows[i].flags & MF_COMMIT_AUTHOR)
            mf_put_string(out, h->rows[i].author);
    for (uint32_t i = 0; i < h->row_count; i++)
        if (h->rows[i].flags & MF_COMMIT_EXTRA)
            mf_put_string(out, h->rows[i].extra);
    for (uint32_t i = 0; i < h->row_count; i++)
        if (h->rows[i].flags & MF_COMMIT_SIGNATURES) {
            mf_put_varint(out, h->rows[i].signatures.length / 96);
            mf_put_bytes(out, h->rows[i].signatures.data, h->rows[i].signatures.length);
        }
}

static mf_slice get_list(mf_cursor *c, size_t element)
{
    uint64_t count = mf_get_varint_max(c, 4096);
    const uint8_t *p = mf_get_bytes(c, count * element);
    return mf_slice_of(p, p ? (size_t)count * element : 0);
}

static void get_numbers(mf_history *h, mf_cursor *c)
{
    uint32_t with_order = 0, with_entries = 0;
    mf_ints flags = mf_get_ints(c, h->row_count);
    mf_ints counts = mf_get_ints(c, h->row_count);
    int64_t time = mf_get_zigzag(c);
    mf_ints times = mf_get_ints(c, h->row_count - 1);
    const uint64_t known = MF_COMMIT_PARENTS | MF_COMMIT_AUTHOR | MF_COMMIT_EXTRA | MF_COMMIT_SALT | MF_COMMIT_ORDER |
                           MF_COMMIT_SIGNATURES;
    uint64_t entries = h->first_entry;
    for (uint32_t i = 0; i < h->row_count && !c->failed; i++) {
        mf_history_row *r = &h->rows[i];
        r->flags = mf_ints_at(&flags, i);
        r->count = mf_ints_at(&counts, i);
        if (i > 0)
            time = (int64_t)((uint64_t)time + (uint64_t)mf_unzigzag(mf_ints_at(&times, i - 1)));
        r->time_us = time;
        r->order = time < 0 ? 0 : (uint64_t)time;
        if ((r->flags & ~known) || (h->first_number + i == 0 && r->count > 0) || r->count > MF_ENTRIES_MAX - entries)
            c->failed = true;
        else
            entries += r->count;
        with_order += (r->flags & MF_COMMIT_ORDER) != 0;
        with_entries += r->count != 0;
    }
    mf_ints orders = mf_get_ints(c, with_order);
    mf_ints salts = mf_get_ints(c, with_entries);
    for (uint32_t i = 0, o = 0, s = 0; i < h->row_count && !c->failed; i++) {
        mf_history_row *r = &h->rows[i];
        if (r->flags & MF_COMMIT_ORDER)
            r->order = mf_ints_at(&orders, o++);
        if (r->count)
            r->salt_index = mf_ints_at(&salts, s++);
        if (r->salt_index > UINT32_MAX)
            c->failed = true;
    }
}

static void get_nodes(mf_history *h, mf_cursor *c, uint32_t *first, uint32_t *count)
{
    uint64_t n = mf_get_varint_max(c, mf_cursor_left(c) / 18);
    *first = h->node_count;
    *count = (uint32_t)n;
    uint64_t next = 0; /* first index that no node so far stands above */
    for (uint64_t k = 0; k < n && !c->failed; k++) {
        mf_salt_node *node = &h->nodes[h->node_count];
        node->depth = mf_get_u8(c);
        node->position = mf_get_varint(c);
        const uint8_t *seed = mf_get_bytes(c, sizeof node->seed);
        unsigned below = 2 * (MF_SALT_DEPTH - node->depth);
        if (!seed || node->depth > MF_SALT_DEPTH || node->position >> (2 * node->depth) ||
            node->position << below < next) {
            c->failed = true;
            break;
        }
        next = (node->position + 1) << below;
        memcpy(node->seed, seed, sizeof node->seed);
        h->node_count++;
    }
}

static bool get_salts(mf_history *h, mf_cursor *c, mf_arena *arena)
{
    uint32_t first, count;
    /* Each node takes at least 18 bytes, which bounds their number. */
    h->nodes = (mf_salt_node *)mf_arena_alloc(arena, (mf_cursor_left(c) / 18 + 1) * sizeof *h->nodes);
    if (!h->nodes)
        return false;
    for (uint32_t i = 0; i < h->row_count && !c->failed; i++)
        if (h->rows[i].flags & MF_COMMIT_SALT)
            get_nodes(h, c, &h->rows[i].salt_first, &h->rows[i].salt_count);
    if (h->row_count == 0)
        get_nodes(h, c, &first, &count);
    return true;
}

int mf_history_decode(mf_history *h, mf_slice head, mf_arena *arena, uint64_t offset, memfile_error *err)
{
    mf_cursor c = mf_cursor_of(head.data, head.length);
    memset(h, 0, sizeof *h);
    h->first_number = mf_get_varint_max(&c, (uint64_t)1 << 62);
    h->row_count = (uint32_t)mf_get_varint_max(&c, MF_HISTORY_ROWS_MAX);
    h->first_entry = mf_get_varint_max(&c, MF_ENTRIES_MAX);
    if (h->row_count == 0 && h->first_number == 0)
        c.failed = true; /* there is no tree that goes on */
    if (!c.failed) {
        h->rows = (mf_history_row *)mf_arena_alloc(arena, (h->row_count + 1) * sizeof *h->rows);
        if (!h->rows)
            return mf_fail_memory(err);
        memset(h->rows, 0, h->row_count * sizeof *h->rows);
        if (h->row_count > 0)
            get_numbers(h, &c);
        if (!c.failed && !get_salts(h, &c, arena))
            return mf_fail_memory(err);
    }
    for (uint32_t i = 0; i < h->row_count && !c.failed; i++)
        if (h->rows[i].flags & MF_COMMIT_PARENTS) {
            h->rows[i].parents = get_list(&c, 32);
            if (!mf_parents_rise(h->rows[i].parents))
                c.failed = true;
        }
    for (uint32_t i = 0; i < h->row_count && !c.failed; i++)
        if (h->rows[i].flags & MF_COMMIT_AUTHOR)
            h->rows[i].author = mf_get_string(&c);
    for (uint32_t i = 0; i < h->row_count && !c.failed; i++)
        if (h->rows[i].flags & MF_COMMIT_EXTRA)
            h->rows[i].extra = mf_get_string(&c);
    for (uint32_t i = 0; i < h->row_count && !c.failed; i++)
        if (h->rows[i].flags & MF_COMMIT_SIGNATURES)
            h->rows[i].signatures = get_list(&c, 96);
    if (!mf_cursor_finished(&c))
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "the history segment at offset %llu does not decode",
                       (unsigned long long)offset);
    return MEMFILE_OK;
}
