/* walk: groups by tiling. */
#include "walk.h"

#define WINDOW ((size_t)1 << 20)

int mf_walk_open(mf_walk *w, mf_store *store, uint64_t end, memfile_error *err)
{
    memset(w, 0, sizeof *w);
    w->store = store;
    w->end = end;
    w->at = MF_HEADER_LENGTH;
    w->budget = 4 * end + ((uint64_t)64 << 20);
    w->window_size = WINDOW + MF_STORED_LENGTH_MAX + 4096;
    w->window = (uint8_t *)mf_alloc(store->mem, w->window_size);
    return w->window ? MEMFILE_OK : mf_fail_memory(err);
}

void mf_walk_close(mf_walk *w)
{
    if (w->store)
        mf_free(w->store->mem, w->window);
    w->window = NULL;
}

int mf_walk_bytes(mf_walk *w, uint64_t offset, size_t length, const uint8_t **out, memfile_error *err)
{
    *out = NULL;
    if (offset < w->window_start || offset - w->window_start > w->window_length ||
        length > w->window_length - (size_t)(offset - w->window_start)) {
        size_t want = length > WINDOW ? length : WINDOW, got = 0;
        if (want > w->window_size)
            return mf_fail(err, MEMFILE_E_DAMAGED, offset, "a segment is too long");
        if (w->end > offset && want > w->end - offset && length <= w->end - offset)
            want = (size_t)(w->end - offset);
        int rc = mf_io_read(w->store->io, offset, w->window, want, &got, err);
        w->window_start = offset;
        w->window_length = rc == MEMFILE_OK ? got : 0;
        if (rc != MEMFILE_OK)
            return rc;
        if (got < length)
            return mf_fail(err, MEMFILE_E_TRUNCATED, offset + got, "the file became shorter while it was read");
    }
    *out = w->window + (offset - w->window_start);
    return MEMFILE_OK;
}

/* First sound header at or behind `from`; *at = w->end if there is none. */
static int find_header(mf_walk *w, uint64_t from, uint64_t *at, memfile_error *err)
{
    const uint8_t *p;
    for (*at = from;;) {
        *at = (mf_io_next(w->store->io, *at) + 7) & ~(uint64_t)7;
        if (*at + MF_SEGMENT_HEADER_LENGTH > w->end)
            break;
        int rc = mf_walk_bytes(w, *at, MF_SEGMENT_HEADER_LENGTH, &p, err);
        if (rc != MEMFILE_OK)
            return rc;
        size_t n = w->window_length - (size_t)(*at - w->window_start), i = 0; /* what was read ahead */
        for (; i + MF_SEGMENT_HEADER_LENGTH <= n; i += 8)
            if (mf_segment_is_sound_header(p + i, *at + i, w->store->tag)) {
                *at += i;
                return MEMFILE_OK;
            }
        *at += i;
    }
    *at = w->end;
    return MEMFILE_OK;
}

/* Is this the VOID that names everything from the group's start on? */
static int is_void_of(mf_walk *w, const mf_walk_group *g, const mf_segment *s, bool *yes, memfile_error *err)
{
    const uint8_t *raw;
    mf_slice head, stored;
    memfile_error why;
    *yes = false;
    if (s->type != MF_TYPE_VOID || s->previous_commit != g->previous_commit || mf_segment_total(s) > w->end - s->offset)
        return MEMFILE_OK;
    int rc = mf_walk_bytes(w, s->offset, (size_t)mf_segment_total(s), &raw, err);
    if (rc == MEMFILE_OK && mf_segment_check(s, raw, &why) == MEMFILE_OK &&
        mf_segment_split(s, raw, &head, &stored, &why) == MEMFILE_OK && head.length == 16)
        *yes = mf_load64(head.data) == s->offset - g->start;
    return rc;
}

static void add_gap(mf_walk_group *g, uint64_t start, uint64_t end)
{
    if (g->gap_count < MF_WALK_GAPS_MAX)
        g->gaps[g->gap_count++] = (mf_gap){start, end};
    else
        g->gaps[MF_WALK_GAPS_MAX - 1].end = end;
}

static bool in_gap(const mf_walk_group *g, uint64_t offset)
{
    for (uint32_t i = 0; i < g->gap_count; i++)
        if (offset >= g->gaps[i].start && offset < g->gaps[i].end)
            return true;
    return false;
}

/* Looks for the VOID that names everything from the group's start on, behind
 * `from`, where something is unsound. *at = 0 if there is none. */
static int find_void(mf_walk *w, const mf_walk_group *g, uint64_t from, uint64_t *at, memfile_error *err)
{
    uint64_t limit = w->end - from > MF_LOOKBACK ? from + MF_LOOKBACK : w->end, next = from;
    *at = 0;
    for (;;) {
        const uint8_t *raw;
        mf_segment s;
        memfile_error why;
        bool yes = false;
        uint64_t searched = next;
        int rc = find_header(w, next + 8, &next, err);
        searched = next - searched;
        if (rc != MEMFILE_OK || next >= limit || searched > w->budget)
            return rc;
        w->budget -= searched;
        rc = mf_walk_bytes(w, next, MF_SEGMENT_HEADER_LENGTH, &raw, err);
        bool sound = rc == MEMFILE_OK && mf_segment_decode(&s, raw, next, w->store->tag, &why) == MEMFILE_OK;
        if (sound && s.previous_commit > g->previous_commit)
            return MEMFILE_OK; /* a later group has begun */
        if (sound)
            rc = is_void_of(w, g, &s, &yes, err);
        if (rc != MEMFILE_OK)
            return rc;
        if (yes) {
            *at = next;
            return MEMFILE_OK;
        }
    }
}

/* Is this checked segment a commit that agrees where its group begins? */
static bool is_commit_of(const mf_walk *w, const mf_walk_group *g, const mf_segment *s, const uint8_t *raw)
{
    uint64_t length;
    memfile_error why;
    return mf_tail_group_length(w->store, s, raw, &length, &why) == MEMFILE_OK &&
           s->previous_commit == g->previous_commit && s->offset - length == g->first_segment;
}

/* Does it count, as a commit that is not SYNCED (SPEC 9.4)? What does not may stand in a void. */
static int is_whole(mf_walk *w, const mf_walk_group *g, const mf_segment *commit, bool *yes, memfile_error *err)
{
    mf_segment s;
    const uint8_t *raw;
    memfile_error why;
    uint64_t tag = 0, parent = commit->parent_tag;
    *yes = commit->offset - g->first_segment <= MF_SMALL_GROUP_MAX;
    for (uint64_t at = g->first_segment; at < commit->offset && *yes; at += mf_segment_total(&s)) {
        int rc = mf_walk_bytes(w, at, MF_SEGMENT_HEADER_LENGTH, &raw, err);
        if (rc != MEMFILE_OK)
            return rc;
        *yes = mf_segment_decode(&s, raw, at, w->store->tag, &why) == MEMFILE_OK && mf_segment_total(&s) <= commit->offset - at;
        rc = *yes ? mf_walk_bytes(w, at, (size_t)mf_segment_total(&s), &raw, err) : MEMFILE_OK;
        if (rc != MEMFILE_OK)
            return rc;
        parent = at == g->first_segment && *yes ? s.parent_tag : parent;
        *yes = *yes && mf_segment_check(&s, raw, &why) == MEMFILE_OK && s.parent_tag == parent;
        tag = *yes ? mf_group_tag(tag, raw) : tag;
    }
    *yes = *yes && commit->parent_tag == (parent ^ tag);
    return MEMFILE_OK;
}

/* A commit that is not sound, in what no VOID that can be read names: what stands behind it names the same commit
 * as it does, where it would name this one. */
static int is_debris(mf_walk *w, const mf_segment *s, bool *yes, memfile_error *err)
{
    const uint8_t *raw;
    uint64_t next;
    *yes = false;
    if (w->budget == 0)
        return MEMFILE_OK;
    uint64_t from = s->offset + mf_segment_total(s);
    int rc = find_header(w, from, &next, err);
    if (rc != MEMFILE_OK || next >= w->end)
        return rc;
    w->budget -= next - from < w->budget ? next - from : w->budget;
    rc = mf_walk_bytes(w, next, MF_SEGMENT_HEADER_LENGTH, &raw, err);
    *yes = rc == MEMFILE_OK && mf_load64(raw + 24) == s->previous_commit;
    return rc;
}

/* What stands where the walk has come to. */
typedef struct met {
    mf_segment s;
    int header, sound; /* of the header; of the segment, as far as it was looked at */
    memfile_error why; /* of the header */
} met;

static int read_met(mf_walk *w, uint64_t at, met *m, memfile_error *err)
{
    const uint8_t *raw;
    m->header = m->sound = MEMFILE_E_DAMAGED;
    if (w->end - at < MF_SEGMENT_HEADER_LENGTH)
        return MEMFILE_OK;
    int rc = mf_walk_bytes(w, at, MF_SEGMENT_HEADER_LENGTH, &raw, err);
    if (rc != MEMFILE_OK)
        return rc;
    m->header = mf_segment_decode(&m->s, raw, at, w->store->tag, &m->why);
    if (m->header == MEMFILE_OK && mf_segment_total(&m->s) > w->end - at)
        m->header = MEMFILE_E_DAMAGED;
    m->sound = m->header;
    return MEMFILE_OK;
}

/* Checks all of a segment with a sound header. A commit that disagrees where its group begins may stand in a void
 * (SPEC 2.5), and so may one that does not count, where that was not looked for yet. */
static int check_met(mf_walk *w, const mf_walk_group *g, bool looked, met *m, memfile_error *err)
{
    const uint8_t *raw;
    memfile_error why;
    const uint64_t total = mf_segment_total(&m->s);
    m->sound = MEMFILE_E_DAMAGED;
    if (total > w->budget)
        return MEMFILE_OK; /* sound headers one behind the other, each with a long body that is not */
    int rc = mf_walk_bytes(w, m->s.offset, (size_t)total, &raw, err);
    if (rc != MEMFILE_OK)
        return rc;
    if (mf_segment_check(&m->s, raw, &why) != MEMFILE_OK) {
        w->budget -= total;
        return MEMFILE_OK;
    }
    bool counts = true;
    if (m->s.flags & MF_FLAG_COMMIT)
        counts = is_commit_of(w, g, &m->s, raw);
    if (counts && (m->s.flags & (MF_FLAG_COMMIT | MF_FLAG_SYNCED)) == MF_FLAG_COMMIT && !looked)
        rc = is_whole(w, g, &m->s, &counts, err);
    m->sound = counts ? MEMFILE_OK : MEMFILE_E_DAMAGED;
    return rc;
}

/* Where the walk goes on behind what is not sound: *at rises if it is no segment of the group. A length in a sound
 * header is believed only as far as nothing sound stands within it. */
static int pass_over(mf_walk *w, mf_walk_group *g, const met *m, uint64_t *at, memfile_error *err)
{
    uint64_t next;
    int rc = find_header(w, *at + 8, &next, err);
    if (rc == MEMFILE_OK && (m->header != MEMFILE_OK || next < *at + mf_segment_total(&m->s))) {
        add_gap(g, *at, next);
        *at = next;
    }
    return rc;
}

/* One pass over a group. thorough: bodies are checked, and where something is
 * unsound a void is looked for; else only headers are read. */
static int pass(mf_walk *w, mf_walk_group *g, bool thorough, memfile_error *err)
{
    bool looked = false;
    memset(g, 0, sizeof *g);
    g->start = g->first_segment = w->at;
    g->previous_commit = w->previous_commit;
    uint64_t at = w->at;
    while (at < w->end) {
        met m;
        const uint64_t here = at;
        bool is_void = false, debris = false;
        int rc = read_met(w, at, &m, err);
        if (rc != MEMFILE_OK)
            return rc;
        if (m.header == MEMFILE_E_NEWER && !thorough)
            break; /* it may stand in a void */
        if (m.header == MEMFILE_OK && thorough)
            rc = check_met(w, g, looked, &m, err);
        if (rc == MEMFILE_OK && m.sound != MEMFILE_OK && thorough && !looked) {
            uint64_t place;
            rc = find_void(w, g, at, &place, err);
            looked = !place; /* the debris of a second crash may hold a void of its own */
            at = place ? place : at;
        }
        if (rc != MEMFILE_OK)
            return rc;
        if (at != here)
            continue;
        if (m.header == MEMFILE_E_NEWER) {
            *err = m.why;
            return m.header;
        }
        if (m.sound != MEMFILE_OK)
            rc = pass_over(w, g, &m, &at, err);
        if (rc != MEMFILE_OK)
            return rc;
        if (at != here)
            continue;
        if (thorough && m.s.previous_commit >= g->start && in_gap(g, m.s.previous_commit)) {
            g->lost_commit = m.s.previous_commit; /* its own header is damaged: the group ended there */
            break;
        }
        if (thorough && m.sound != MEMFILE_OK && (m.s.flags & MF_FLAG_COMMIT))
            rc = is_debris(w, &m.s, &debris, err);
        if (rc == MEMFILE_OK && !debris)
            rc = is_void_of(w, g, &m.s, &is_void, err);
        if (rc != MEMFILE_OK)
            return rc;
        at += mf_segment_total(&m.s);
        if (debris) {
            add_gap(g, here, at);
            continue;
        }
        if (is_void) {
            g->first_segment = here;
            g->gap_count = 0;
        }
        if (m.s.flags & MF_FLAG_COMMIT) {
            g->commit_offset = here;
            g->commit = m.s;
            break;
        }
    }
    g->end = at;
    return MEMFILE_OK;
}

/* Does the commit agree that its group begins where it was found to begin? */
static int agrees(mf_walk *w, const mf_walk_group *g, bool *yes, memfile_error *err)
{
    const uint8_t *raw;
    memfile_error why;
    *yes = false;
    if (g->gap_count || !g->commit_offset)
        return MEMFILE_OK;
    int rc = mf_walk_bytes(w, g->commit_offset, (size_t)mf_segment_total(&g->commit), &raw, err);
    if (rc == MEMFILE_OK && mf_segment_check(&g->commit, raw, &why) == MEMFILE_OK)
        *yes = is_commit_of(w, g, &g->commit, raw);
    if (rc == MEMFILE_OK && *yes && !(g->commit.flags & MF_FLAG_SYNCED))
        rc = is_whole(w, g, &g->commit, yes, err);
    /* A whole commit whose group lost a sector did not count: then what follows names
     * the commit before it, as its VOID does. */
    if (rc == MEMFILE_OK && *yes && w->end - g->end >= MF_SEGMENT_HEADER_LENGTH) {
        rc = mf_walk_bytes(w, g->end, MF_SEGMENT_HEADER_LENGTH, &raw, err);
        if (rc == MEMFILE_OK && mf_segment_is_sound_header(raw, g->end, w->store->tag) &&
            mf_load64(raw + 24) != g->commit_offset)
            *yes = false;
    }
    return rc;
}

int mf_walk_group_next(mf_walk *w, mf_walk_group *g, memfile_error *err)
{
    bool fits;
    if (w->at >= w->end)
        return MEMFILE_DONE;
    int rc = pass(w, g, false, err);
    if (rc == MEMFILE_OK)
        rc = agrees(w, g, &fits, err);
    if (rc == MEMFILE_OK && !fits)
        rc = pass(w, g, true, err);
    if (rc != MEMFILE_OK)
        return rc;
    w->at = g->end;
    if (g->commit_offset || g->lost_commit)
        w->previous_commit = g->commit_offset ? g->commit_offset : g->lost_commit;
    return MEMFILE_OK;
}

/* ---- folded commits */

void mf_history_cursor_init(mf_history_cursor *c, mf_store *store)
{
    memset(c, 0, sizeof *c);
    c->store = store;
    mf_arena_init(&c->arena, store->mem);
}

void mf_history_cursor_free(mf_history_cursor *c)
{
    if (!c->store)
        return;
    mf_free(c->store->mem, c->offsets);
    mf_free(c->store->mem, c->raw);
    mf_free(c->store->mem, c->nodes);
    mf_arena_free(&c->arena);
    c->offsets = NULL;
    c->raw = NULL;
    c->nodes = NULL;
}

int mf_history_cursor_add(mf_history_cursor *c, uint64_t offset)
{
    void *grown = c->offsets;
    if (mf_grow(c->store->mem, &grown, &c->capacity, c->count + 1, sizeof *c->offsets) != 0)
        return MEMFILE_E_MEMORY;
    c->offsets = (uint64_t *)grown;
    c->offsets[c->count++] = offset;
    return MEMFILE_OK;
}

/* Nodes of the tree in use: those of a row, or more of them. */
static int add_nodes(mf_history_cursor *c, const mf_salt_node *nodes, uint32_t count)
{
    void *grown = c->nodes;
    if (mf_grow(c->store->mem, &grown, &c->node_capacity, (size_t)c->node_count + count, sizeof *c->nodes) != 0)
        return MEMFILE_E_MEMORY;
    c->nodes = (mf_salt_node *)grown;
    if (count)
        memcpy(c->nodes + c->node_count, nodes, count * sizeof *nodes);
    c->node_count += count;
    if (c->node_count == 1 && c->nodes[0].depth == 0)
        mf_salts_init(&c->salts, c->nodes[0].seed);
    return MEMFILE_OK;
}

int mf_history_cursor_set_root(mf_history_cursor *c, const uint8_t root[MF_SALT_LENGTH])
{
    mf_salt_node node = {0, 0, {0}};
    memcpy(node.seed, root, sizeof node.seed);
    c->node_count = 0;
    return add_nodes(c, &node, 1);
}

/* The HISTORY segment at `offset`; *raw is what its rows point into. */
static int load_history(mf_history_cursor *c, uint64_t offset, mf_history *history, uint8_t **raw, mf_arena *arena,
                        memfile_error *err)
{
    mf_segment s;
    mf_slice head, stored;
    int rc = mf_store_segment(c->store, offset, 0, &s, raw, err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_split(&s, *raw, &head, &stored, err);
    if (rc == MEMFILE_OK && s.type != MF_TYPE_HISTORY)
        rc = mf_fail(err, MEMFILE_E_DAMAGED, offset, "no history segment at offset %llu", (unsigned long long)offset);
    return rc == MEMFILE_OK ? mf_history_decode(history, head, arena, offset, err) : rc;
}

/* The nodes of the row at hand may go on in segments without rows. */
static int take_further_nodes(mf_history_cursor *c, memfile_error *err)
{
    int rc = MEMFILE_OK;
    for (bool more = true; rc == MEMFILE_OK && more && c->next < c->count;) {
        mf_history further;
        uint8_t *raw = NULL;
        mf_arena arena;
        mf_arena_init(&arena, c->store->mem);
        rc = load_history(c, c->offsets[c->next], &further, &raw, &arena, err);
        more = rc == MEMFILE_OK && further.row_count == 0;
        if (more && add_nodes(c, further.nodes, further.node_count) != MEMFILE_OK)
            rc = mf_fail_memory(err);
        c->next += more;
        mf_arena_free(&arena);
        mf_free(c->store->mem, raw);
    }
    return rc;
}

int mf_history_cursor_next(mf_history_cursor *c, mf_history_row **row, uint64_t *number, memfile_error *err)
{
    *row = NULL;
    while (!c->loaded || c->row == c->history.row_count) {
        if (c->next == c->count)
            return MEMFILE_DONE;
        mf_free(c->store->mem, c->raw);
        c->raw = NULL;
        c->loaded = false;
        mf_arena_reset(&c->arena);
        uint64_t offset = c->offsets[c->next++];
        int rc = load_history(c, offset, &c->history, &c->raw, &c->arena, err);
        if (rc == MEMFILE_OK && c->history.row_count == 0 && c->passes_orphans)
            continue;
        if (rc == MEMFILE_OK && c->history.row_count == 0)
            rc = mf_fail(err, MEMFILE_E_DAMAGED, offset, "the salts at offset %llu are of no commit before them",
                         (unsigned long long)offset);
        if (rc != MEMFILE_OK)
            return rc;
        c->row = 0;
        c->loaded = true;
    }
    *number = c->history.first_number + c->row;
    *row = &c->history.rows[c->row++];
    if (!((*row)->flags & MF_COMMIT_SALT))
        return MEMFILE_OK;
    c->node_count = 0;
    if (add_nodes(c, c->history.nodes + (*row)->salt_first, (*row)->salt_count) != MEMFILE_OK)
        return mf_fail_memory(err);
    return c->row == c->history.row_count ? take_further_nodes(c, err) : MEMFILE_OK;
}

/* The node above an index, or NULL. Nodes stand in order, and none below another. */
static const mf_salt_node *node_above(const mf_history_cursor *c, uint64_t index)
{
    uint32_t low = 0, high = c->node_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const mf_salt_node *n = &c->nodes[middle];
        unsigned below = 2 * (MF_SALT_DEPTH - n->depth);
        if ((n->position + 1) << below <= index)
            low = middle + 1;
        else if (n->position << below > index)
            high = middle;
        else
            return n;
    }
    return NULL;
}

void mf_history_cursor_root(const mf_history_cursor *c, uint8_t out[MF_SALT_LENGTH])
{
    bool whole = c->node_count == 1 && c->nodes[0].depth == 0;
    if (whole)
        memcpy(out, c->nodes[0].seed, MF_SALT_LENGTH);
    else
        memset(out, 0, MF_SALT_LENGTH);
}

bool mf_history_cursor_salt(mf_history_cursor *c, uint64_t index, uint8_t out[MF_SALT_LENGTH])
{
    if (index > UINT32_MAX)
        return false;
    if (c->node_count == 1 && c->nodes[0].depth == 0) {
        mf_salts_at(&c->salts, (uint32_t)index, out);
        return true;
    }
    const mf_salt_node *n = node_above(c, index);
    if (!n)
        return false;
    mf_salt_below(n->seed, n->depth, (uint32_t)index, out);
    return true;
}
