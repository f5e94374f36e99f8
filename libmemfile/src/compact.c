/* compact: a memory written anew, as tight as it can be. SPEC 13.
 *
 * Order. The old file is locked, read, never written. The new one stands beside
 * it without a name that anyone uses until it was synced and verified from its
 * first byte, its history digest compared with the old one's. Then its inode is
 * locked and renamed over the old one. Whatever fails before the rename leaves the
 * old file as it was. */
#include <stdlib.h>

#include "cbor.h"
#include "checksum.h"
#include "erase.h"
#include "handle.h"
#include "rewrite.h"
#include "unlock.h"

typedef struct compaction {
    const memfile_compact_options *options;
    memfile_error *err;
    mf_mem mem;
    mf_secret *secret, *passphrase; /* that opens the old file; that seals the new one */
    mf_store old;
    mf_rewrite new;
    mf_eraser eraser;
    mf_numbers ids; /* hashes of the ids that are forgotten, rising */
    uint64_t erased, dangling, dropped;
} compaction;

static int no_memory(compaction *c)
{
    return mf_fail_memory(c->err);
}

/* ---- what is forgotten */

static uint64_t id_hash(mf_id id)
{
    return mf_checksum_seeded(id.data, id.length, id.binary);
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The ids that go, so that what refers to them can be told. */
static int collect_ids(compaction *c)
{
    const mf_ranges *f = c->eraser.forgotten;
    int rc = MEMFILE_OK;
    for (size_t i = 0; i < f->count; i++)
        for (uint64_t entry = f->v[i].first; entry < f->v[i].end && rc == MEMFILE_OK; entry++) {
            mf_object *o = NULL;
            uint32_t row;
            rc = mf_store_entry(&c->old, entry, &o, &row, c->err);
            mf_id id = {NULL, 0, false};
            if (rc == MEMFILE_OK && !mf_block_erased(&o->block, row))
                id = mf_block_id(&o->block, row);
            if (rc == MEMFILE_OK && id.data && mf_numbers_add(&c->ids, id_hash(id), &c->mem) != 0)
                rc = no_memory(c);
            mf_store_release(&c->old, o);
        }
    if (c->ids.count > 1)
        qsort(c->ids.v, c->ids.count, sizeof *c->ids.v, compare_hashes);
    return rc;
}

/* A commit goes into the new file, its salt tree without the salts of what is erased. */
static int fold_row(compaction *c, const mf_history_row *row, const mf_salt_node *nodes, uint32_t node_count)
{
    int rc = row->flags & MF_COMMIT_SALT ? mf_eraser_nodes(&c->eraser, &nodes, &node_count, c->err) : MEMFILE_OK;
    return rc == MEMFILE_OK ? mf_rewrite_commit(&c->new, row, nodes, node_count) : rc;
}

/* ---- history */

/* Rows that an earlier compaction folded. */
static int copy_folded(compaction *c)
{
    const mf_footer *f = &c->old.state->footer;
    mf_history_cursor cursor;
    int rc = MEMFILE_OK;
    uint64_t at = f->history_offset;
    mf_history_cursor_init(&cursor, &c->old);
    for (uint64_t i = 0; i < f->history_count && rc == MEMFILE_OK; i++) {
        mf_segment s;
        uint8_t *raw;
        rc = mf_store_segment(&c->old, at, 0, &s, &raw, c->err);
        if (rc != MEMFILE_OK)
            break;
        mf_free(&c->mem, raw);
        rc = mf_history_cursor_add(&cursor, at) == MEMFILE_OK ? MEMFILE_OK : no_memory(c);
        at += mf_segment_total(&s);
    }
    while (rc == MEMFILE_OK) {
        mf_history_row *row;
        uint64_t number;
        rc = mf_history_cursor_next(&cursor, &row, &number, c->err);
        if (rc == MEMFILE_OK && number != c->new.commits)
            rc = mf_fail(c->err, MEMFILE_E_DAMAGED, f->history_offset, "folded commits are not numbered without gaps");
        if (rc == MEMFILE_OK)
            rc = fold_row(c, row, cursor.nodes, row->flags & MF_COMMIT_SALT ? cursor.node_count : 0);
    }
    mf_history_cursor_free(&cursor);
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

static int add_commit(compaction *c, const mf_walk_group *g)
{
    mf_segment s;
    uint8_t *raw;
    mf_slice head, stored;
    mf_commit k;
    int rc = mf_store_segment(&c->old, g->commit_offset, 0, &s, &raw, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    rc = mf_segment_split(&s, raw, &head, &stored, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_commit_decode(&k, head, NULL, &c->mem, s.offset, c->err);
    if (rc == MEMFILE_OK && (k.flags & MF_COMMIT_LOGICAL)) {
        mf_history_row row;
        mf_salt_node node = {0, 0, {0}};
        mf_history_row_of(&row, &k);
        memcpy(node.seed, k.salt_root, sizeof node.seed);
        if (k.number != c->new.commits || k.first_entry != c->new.history_entries)
            rc = mf_fail(c->err, MEMFILE_E_DAMAGED, s.offset, "the commit at offset %llu does not follow those before it",
                         (unsigned long long)s.offset);
        else
            rc = fold_row(c, &row, &node, k.flags & MF_COMMIT_SALT ? 1 : 0);
    }
    mf_free(&c->mem, raw);
    return rc;
}

static int fold_history(compaction *c)
{
    mf_walk walk;
    int rc = copy_folded(c);
    if (rc == MEMFILE_OK)
        rc = mf_walk_open(&walk, &c->old, c->old.state->end, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    while (rc == MEMFILE_OK) {
        mf_walk_group g;
        rc = mf_walk_group_next(&walk, &g, c->err);
        if (rc == MEMFILE_OK && (g.gap_count || !g.commit_offset))
            rc = mf_fail(c->err, MEMFILE_E_DAMAGED, g.gap_count ? g.gaps[0].start : g.start,
                         "the file is damaged at offset %llu; it is not compacted: run verify, then recover",
                         (unsigned long long)(g.gap_count ? g.gaps[0].start : g.start));
        if (rc == MEMFILE_OK)
            rc = add_commit(c, &g);
    }
    mf_walk_close(&walk);
    return rc == MEMFILE_DONE ? mf_rewrite_commits_end(&c->new) : rc;
}

/* ---- entries */

static int make_dictionary(compaction *c)
{
    uint64_t entries = c->old.state->entries, step = entries / MF_REWRITE_SAMPLES + 1;
    int rc = MEMFILE_OK;
    bool more = true;
    for (uint64_t e = 0; e < entries && rc == MEMFILE_OK && more; e += step) {
        mf_object *o = NULL;
        uint32_t row;
        if (mf_eraser_takes(&c->eraser, e))
            continue;
        rc = mf_store_entry(&c->old, e, &o, &row, c->err);
        if (rc == MEMFILE_OK)
            rc = mf_store_content(&c->old, o, c->err);
        if (rc == MEMFILE_OK)
            more = mf_rewrite_sample(&c->new, mf_block_text(&o->block, row));
        mf_store_release(&c->old, o);
    }
    return rc == MEMFILE_OK ? mf_rewrite_train(&c->new) : rc;
}

static int erase(compaction *c, mf_block *block, uint32_t row, uint64_t entry)
{
    uint8_t leaf[32];
    int rc = mf_eraser_leaf(&c->eraser, block, row, entry, leaf, c->err);
    if (rc == MEMFILE_DONE)
        rc = mf_fail(c->err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the salt of entry %llu cannot be derived; nothing was written",
                     (unsigned long long)entry);
    c->erased += !mf_block_erased(block, row);
    return rc == MEMFILE_OK ? mf_rewrite_erase(&c->new, leaf) : rc;
}

/* Says so if an id that is forgotten, and that nothing else has, is referred to. */
static int check_reference(compaction *c, uint64_t entry, mf_slice relation, mf_id target)
{
    uint64_t hash = id_hash(target);
    mf_object *o;
    uint32_t row;
    char from[256], to[256];
    if (!bsearch(&hash, c->ids.v, c->ids.count, sizeof hash, compare_hashes))
        return MEMFILE_OK;
    int rc = mf_store_id(&c->old, target, UINT64_MAX, &o, &row, c->err);
    if (rc == MEMFILE_OK)
        mf_store_release(&c->old, o);
    if (rc != MEMFILE_E_NOT_FOUND)
        return rc;
    memfile_dangling d = {entry, from, mf_id_print(c->new.record->id, from), (const char *)relation.data,
                          relation.length, to, mf_id_print(target, to)};
    c->dangling++;
    if (c->options->dangling)
        c->options->dangling(c->options->context, &d);
    return MEMFILE_OK;
}

/* Links and derived_from of the entry that was just written. */
static int check_references(compaction *c, uint64_t entry)
{
    const mf_record *r = c->new.record;
    int rc = MEMFILE_OK;
    for (uint32_t i = 0; (r->mask & MF_COLUMN_LINKS) && i < r->link_count && rc == MEMFILE_OK; i++)
        rc = check_reference(c, entry, r->links[i].relation, r->links[i].target);
    mf_cursor d = mf_cursor_of(r->derived_from.data, r->derived_from.length);
    if (r->derived_from.length == 0 || mf_cbor_peek(&d) == MF_CBOR_NULL)
        return rc;
    for (uint64_t n = mf_cbor_get(&d, MF_CBOR_ARRAY); n > 0 && rc == MEMFILE_OK && !d.failed; n--)
        rc = check_reference(c, entry, mf_slice_of(NULL, 0), mf_cbor_get_id(&d));
    return rc;
}

static int copy_entry(compaction *c, mf_scan_slot *slot, uint32_t row)
{
    uint64_t entry = slot->first_entry + row;
    if (mf_eraser_takes(&c->eraser, entry))
        return erase(c, &slot->block, row, entry);
    int rc = mf_rewrite_entry(&c->new, &slot->block, row, slot->offset, NULL, NULL);
    return rc == MEMFILE_OK && c->eraser.erases && !mf_block_erased(&slot->block, row) ? check_references(c, entry) : rc;
}

static int copy_entries(compaction *c)
{
    mf_scan scan;
    mf_scan_slot *slot;
    int rc = mf_scan_open(&scan, &c->old, 0, c->old.state->entries, true, 1, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    while ((rc = mf_scan_next(&scan, &slot, c->err)) == MEMFILE_OK) {
        for (uint32_t row = 0; row < slot->block.rows && rc == MEMFILE_OK; row++)
            rc = copy_entry(c, slot, row);
        if (rc == MEMFILE_OK)
            rc = mf_rewrite_spill(&c->new);
        if (rc != MEMFILE_OK)
            break;
        rc = mf_progress(c->options->progress, c->options->context, slot->offset, c->old.state->end * 2, c->err);
        if (rc != MEMFILE_OK)
            break;
    }
    mf_scan_close(&scan);
    if (rc != MEMFILE_DONE)
        return rc;
    if (c->new.next_entry != c->old.state->entries)
        return mf_fail(c->err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the index gives %llu of %llu entries",
                       (unsigned long long)c->new.next_entry, (unsigned long long)c->old.state->entries);
    return mf_rewrite_entries_end(&c->new);
}

/* ---- segments of types that this library does not know, SPEC 18 */

/* Does it speak of an entry that is forgotten or erased? */
static bool speaks_of_gone(const mf_ranges *gone, uint64_t first, uint64_t count)
{
    for (size_t i = 0; i < gone->count; i++)
        if (gone->v[i].first < first + count && gone->v[i].end > first)
            return true;
    return false;
}

static int keep_segment(compaction *c, const mf_ranges *gone, uint64_t offset)
{
    mf_segment s;
    uint8_t *raw, *content = NULL;
    mf_slice head = {0}, stored;
    const mf_dictionary *dictionary = NULL;
    int rc = mf_store_segment(&c->old, offset, 0, &s, &raw, c->err);
    if (rc != MEMFILE_OK || s.type <= MF_TYPE_VOID || (s.flags & MF_FLAG_DERIVED)) {
        if (rc == MEMFILE_OK)
            mf_free(&c->mem, raw);
        return rc;
    }
    rc = mf_segment_split(&s, raw, &head, &stored, c->err);
    mf_cursor h = mf_cursor_of(head.data, head.length);
    uint64_t first = mf_get_varint_max(&h, MF_ENTRIES_MAX), count = mf_get_varint_max(&h, MF_ENTRIES_MAX);
    bool known = rc == MEMFILE_OK && !h.failed && s.codec <= MF_CODEC_ZSTD_DICTIONARY;
    if (!known || speaks_of_gone(gone, first, count)) {
        c->dropped++;
        if (c->options->dropped)
            c->options->dropped(c->options->context, s.type, offset, first, count);
        mf_free(&c->mem, raw);
        return MEMFILE_OK;
    }
    if (s.codec == MF_CODEC_ZSTD_DICTIONARY)
        rc = mf_store_dictionary(&c->old, s.codec_parameter, &dictionary, c->err);
    if (rc == MEMFILE_OK && !(content = (uint8_t *)mf_alloc(&c->mem, s.raw_length + 1)))
        rc = no_memory(c);
    if (rc == MEMFILE_OK)
        rc = mf_segment_content(&s, stored, &c->old.compressor, dictionary, content, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_build(&c->new.built, s.type, MF_FLAG_OPTIONAL, head, mf_slice_of(content, s.raw_length),
                              &c->new.new.compressor, c->new.level, NULL, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_group_append(&c->new.group, &c->new.built, &offset, c->err);
    mf_free(&c->mem, content);
    mf_free(&c->mem, raw);
    return rc;
}

static int keep_group(compaction *c, mf_walk *walk, const mf_walk_group *g, const mf_ranges *gone)
{
    int rc = MEMFILE_OK;
    for (uint64_t at = g->first_segment; at < g->commit_offset && rc == MEMFILE_OK;) {
        const uint8_t *raw;
        mf_segment s;
        rc = mf_walk_bytes(walk, at, MF_SEGMENT_HEADER_LENGTH, &raw, c->err);
        if (rc == MEMFILE_OK)
            rc = mf_segment_decode(&s, raw, at, c->old.tag, c->err);
        if (rc == MEMFILE_OK && s.type > MF_TYPE_VOID) /* sealed ones too: their type is inside */
            rc = keep_segment(c, gone, at);
        at += rc == MEMFILE_OK ? mf_segment_total(&s) : 0;
    }
    return rc;
}

static int keep_unknown(compaction *c)
{
    mf_walk walk;
    mf_walk_group g;
    mf_items items;
    mf_ranges gone = {NULL, 0, 0};
    mf_items_init(&items, &c->mem);
    int rc = mf_store_forgotten_items(&c->old, &items, c->err);
    for (size_t i = 0; rc == MEMFILE_OK && i < items.kind[MF_ITEM_FORGOTTEN].count; i++)
        if (mf_ranges_add(&gone, items.kind[MF_ITEM_FORGOTTEN].pairs[i].key, &c->mem) != 0)
            rc = no_memory(c);
    mf_items_free(&items);
    mf_ranges_settle(&gone);
    if (rc == MEMFILE_OK)
        rc = mf_walk_open(&walk, &c->old, c->old.state->end, c->err);
    if (rc == MEMFILE_OK) {
        while (rc == MEMFILE_OK && (rc = mf_walk_group_next(&walk, &g, c->err)) == MEMFILE_OK)
            rc = keep_group(c, &walk, &g, &gone);
        mf_walk_close(&walk);
    }
    mf_ranges_free(&gone, &c->mem);
    return rc == MEMFILE_DONE ? MEMFILE_OK : rc;
}

/* ---- the commit */

static int write_commit(compaction *c)
{
    const mf_state *s = c->old.state;
    mf_tree *log = (mf_tree *)mf_alloc(&c->mem, sizeof *log);
    mf_rewrite_end end = {s->number, s->order, {0}, log, {0}};
    if (!log)
        return no_memory(c);
    int rc = mf_store_log_before(&c->old, log, end.salt_root, c->err);
    memcpy(end.history_digest, s->history_digest, 32);
    if (c->eraser.newest_punctured) /* what stands above it is not told either */
        memset(end.salt_root, 0, sizeof end.salt_root);
    if (rc == MEMFILE_OK)
        rc = mf_rewrite_finish(&c->new, &end);
    mf_free(&c->mem, log);
    return rc;
}

/* ---- around it */

static int verify_progress(void *context, uint64_t done, uint64_t total)
{
    compaction *c = (compaction *)context;
    uint64_t end = c->old.state->end;
    if (!c->options->progress)
        return 0;
    return c->options->progress(c->options->context,
                                end + (total ? (uint64_t)((double)end * (double)done / (double)total) : 0), end * 2);
}

static int make(compaction *c, const char *path)
{
    const memfile_compact_options *o = c->options;
    mf_io *io;
    if (o->compression_level < 1 || o->compression_level > 19)
        return mf_fail(c->err, MEMFILE_E_MISUSE, MF_NOWHERE, "the compression level is 1 to 19");
    c->new.err = c->err;
    c->new.environment = mf_environment_or_system(o->environment);
    c->new.threads = o->threads < 1 ? 1 : o->threads > 64 ? 64 : o->threads;
    c->new.level = (int)o->compression_level;
    c->new.old = &c->old;
    int rc = mf_seal_for_take(&o->seal_for, &c->new.environment, &c->mem, &c->new.slots, &c->passphrase, c->err);
    c->new.secret = c->passphrase;
    c->new.slots.padded = c->new.slots.padded || (c->new.slots.kind && c->old.slots.padded); /* it stays so */
    if (rc == MEMFILE_OK && !c->new.slots.kind) { /* for the same as before, under a key of its own */
        c->new.slots = c->old.slots;
        c->new.secret = c->secret;
    }
    if (rc == MEMFILE_OK)
        rc = mf_io_file_open(&c->mem, o->output ? o->output : path, o->output ? MF_IO_CREATE : MF_IO_REPLACE, &io, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_rewrite_begin(&c->new, &c->old.header, io);
    if (rc == MEMFILE_OK)
        rc = mf_eraser_begin(&c->eraser, &c->old, c->err);
    if (rc == MEMFILE_OK && c->eraser.erases)
        rc = collect_ids(c);
    if (rc == MEMFILE_OK)
        rc = fold_history(c);
    if (rc == MEMFILE_OK)
        rc = make_dictionary(c);
    if (rc == MEMFILE_OK)
        rc = copy_entries(c);
    if (rc == MEMFILE_OK)
        rc = keep_unknown(c);
    if (rc == MEMFILE_OK)
        rc = write_commit(c);
    return rc == MEMFILE_OK ? mf_rewrite_check(&c->new, c->old.state->history_digest, verify_progress, c) : rc;
}

static void unmake(compaction *c)
{
    mf_rewrite_free(&c->new);
    mf_eraser_free(&c->eraser);
    mf_free(&c->mem, c->ids.v);
    if (c->old.io)
        mf_store_close(&c->old);
    mf_secret_free(c->secret);
    mf_secret_free(c->passphrase);
}

static int open_old(compaction *c, const char *path)
{
    mf_io *io;
    bool replaces = c->options->output == NULL;
    uint64_t links = 0;
    int rc = mf_io_file_open(&c->mem, path, replaces ? MF_IO_WRITE : MF_IO_READ, &io, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    rc = replaces ? io->functions->lock(io, c->options->lock_timeout_ms, c->err) : MEMFILE_OK;
    uint64_t size = 0;
    for (int moved = 1; rc == MEMFILE_OK && replaces && moved;) {
        rc = io->functions->look(io, &moved, &size, c->err);
        if (rc == MEMFILE_OK && moved)
            rc = io->functions->reopen(io, c->err);
        io->functions->settle(io, 1);
        if (rc == MEMFILE_OK && moved)
            rc = io->functions->lock(io, c->options->lock_timeout_ms, c->err);
    }
    if (rc == MEMFILE_OK && replaces)
        rc = mf_io_file_tidy(io, c->err);
    if (rc == MEMFILE_OK && replaces)
        rc = mf_io_file_links(io, &links, c->err);
    if (rc == MEMFILE_OK && links > 1)
        rc = mf_fail(c->err, MEMFILE_E_CONFLICT, MF_NOWHERE,
                     "the file has %llu names (hard links); replacing one would leave the others behind: use an "
                     "output file",
                     (unsigned long long)links);
    if (rc != MEMFILE_OK) {
        io->functions->close(io);
        return rc;
    }
    const mf_access access = {c->secret, NULL, false};
    rc = mf_store_open(&c->old, io, &c->mem, 4u << 20, &access, c->err);
    if (rc != MEMFILE_OK)
        return rc;
    const mf_state *s = c->old.state;
    if (replaces && s->file_size < size) /* nobody else writes */
        return mf_fail(c->err, MEMFILE_E_SYSTEM, s->file_size, "the file could not be read to its end; nothing was changed");
    if (c->old.header.compact_features != 0)
        return mf_fail(c->err, MEMFILE_E_NEWER, 24, "made by a newer version: this library cannot compact it");
    if (s->unfinished_is_damage || s->lost_commits)
        return mf_fail(c->err, MEMFILE_E_DAMAGED, s->lost_commits ? s->footer_offset : s->end,
                       "the file is damaged; it is not compacted: run verify, then recover");
    return MEMFILE_OK;
}

int memfile_compact(const char *path, const memfile_compact_options *options, memfile_compact_result *result,
                    memfile_error *error)
{
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_error unused;
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    if (result)
        memset(result, 0, sizeof *result);
    mf_error_clear(error ? error : &unused);
    compaction *c = (compaction *)mf_alloc_zero(&mf_mem_default, sizeof *c);
    if (!c || !mf_digest_start()) {
        mf_free(&mf_mem_default, c);
        return mf_fail_memory(error);
    }
    c->options = &o;
    c->err = error ? error : &unused;
    c->mem = c->new.mem = mf_mem_default;
    int rc = mf_unlock_take(&o.unlock, &c->mem, &c->secret, c->err);
    if (rc == MEMFILE_OK)
        rc = open_old(c, path);
    if (rc == MEMFILE_OK)
        rc = make(c, path);
    if (rc == MEMFILE_OK && result) {
        result->bytes_before = c->old.state->file_size;
        rc = c->new.new.io->functions->size(c->new.new.io, &result->bytes_after, c->err);
        result->entries = c->new.next_entry;
        result->commits = c->new.commits;
        result->erased = c->erased;
        result->dangling = c->dangling;
        result->dropped_segments = c->dropped;
        memcpy(result->history_digest, c->old.state->history_digest, 32);
    }
    /* A writer that waits for the old file's lock finds the new one locked too,
     * until all is done. */
    if (rc == MEMFILE_OK)
        rc = c->new.new.io->functions->lock(c->new.new.io, o.lock_timeout_ms, c->err);
    if (rc == MEMFILE_OK)
        rc = mf_io_file_publish(c->new.new.io, o.output ? NULL : c->old.io, c->err);
    if (rc != MEMFILE_OK && result)
        memset(result, 0, sizeof *result);
    unmake(c);
    mf_free(&mf_mem_default, c);
    return rc;
}
