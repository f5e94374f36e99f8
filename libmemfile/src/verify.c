/* verify: SPEC 15.5. Goes over every byte by tiling, commit by commit. Damage to one
 * segment is one finding: where the chain breaks, verify goes on from what the next
 * commits say, and names the entries and commits that are missing in between. */
#include "verify.h"

#include <stdlib.h>

#include "checksum.h"

#define UNTOLD_SEGMENTS_MAX 64u

/* ---- findings */

static void report(mf_verify *v, const memfile_finding *f)
{
    if (f->code != MEMFILE_OK)
        v->result->findings++;
    if (v->options->finding)
        v->options->finding(v->options->context, f);
}

void mf_verify_find(mf_verify *v, int code, uint64_t offset, uint64_t length, uint64_t first_entry,
                    uint64_t entry_count, const char *message)
{
    memfile_finding f = {code, offset, length, first_entry, entry_count, 0, 0, message};
    report(v, &f);
}

void mf_verify_find_error(mf_verify *v, const memfile_error *e, uint64_t length)
{
    mf_verify_find(v, e->code, e->offset, length, 0, 0, e->message);
}

bool mf_verify_about_file(int rc)
{
    return rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_TRUNCATED || rc == MEMFILE_E_NOT_FOUND || rc == MEMFILE_E_INVALID;
}

static int progress(mf_verify *v, uint64_t at)
{
    v->result->checked_bytes = at;
    if (at < v->next_progress && ++v->untold_segments < UNTOLD_SEGMENTS_MAX)
        return MEMFILE_OK;
    v->next_progress = at + (1u << 20);
    v->untold_segments = 0;
    return mf_progress(v->options->progress, v->options->context, at, v->result->file_bytes, v->err);
}

/* Commits from the one that is due to `number` are missing. */
void mf_verify_miss_commits(mf_verify *v, uint64_t number)
{
    uint64_t due = v->any_commit ? v->number + 1 : 0;
    memfile_finding f = {MEMFILE_E_DAMAGED, v->damaged_at, 0, 0, 0, due, number - due, "commits are missing"};
    v->result->lost_commits += number - due;
    v->salts_known = false;
    report(v, &f);
}

/* ---- groups */

/* Reads and checks one segment; *raw stays valid until the walk is used again. */
static int read_segment(mf_verify *v, uint64_t offset, mf_segment *s, const uint8_t **raw)
{
    int rc = mf_walk_bytes(&v->walk, offset, MF_SEGMENT_HEADER_LENGTH, raw, v->err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_decode(s, *raw, offset, v->store.tag, v->err);
    if (rc == MEMFILE_OK && mf_segment_total(s) > v->walk.end - offset)
        rc = mf_fail(v->err, MEMFILE_E_TRUNCATED, v->walk.end, "the segment at offset %llu is cut off",
                     (unsigned long long)offset);
    if (rc == MEMFILE_OK)
        rc = mf_walk_bytes(&v->walk, offset, (size_t)mf_segment_total(s), raw, v->err);
    return rc == MEMFILE_OK ? mf_segment_check(s, *raw, v->err) : rc;
}

/* KEYS segments, SPEC 20.5: epochs rise by one, copies are the same. */
static const char *check_keys(mf_verify *v, const mf_segment *s, const uint8_t *raw, const uint8_t digest[32])
{
    mf_keys keys;
    mf_slice head, stored;
    memfile_error why;
    if (s->raw_length > 0 || mf_segment_split(s, raw, &head, &stored, &why) != MEMFILE_OK ||
        mf_keys_decode(&keys, head, s->offset, &why) != MEMFILE_OK)
        return "the key slots do not decode";
    bool same = keys.epoch == v->keys_epoch && memcmp(digest, v->keys_digest, 32) == 0;
    static const uint8_t none[32];
    bool next = keys.epoch == v->keys_epoch + 1 && memcmp(keys.previous, v->keys_epoch ? v->keys_digest : none, 32) == 0;
    bool after_damage = v->keys_offset == 0 && v->damaged_at != 0;
    v->keys_new = v->keys_new || (v->keys_epoch > 0 && keys.epoch != v->keys_epoch);
    v->keys_epoch = keys.epoch;
    v->keys_offset = s->offset;
    memcpy(v->keys_digest, digest, 32);
    if (keys.epoch == 1 && memcmp(keys.succession, none, 32) != 0)
        return "the first key slots name a succession";
    if (!same && !next && !after_damage)
        return "the key slots do not follow from those before them";
    if (memcmp(keys.header, v->store.header_raw, MF_HEADER_LENGTH) != 0)
        return "the key slots are of a file with another header";
    if (!v->outside && v->store.seal.epoch > 0 && !mf_keys_verify(&keys, v->store.header_raw, &v->store.seal))
        return "the key slots were changed by somebody who has no key";
    return NULL;
}

/* Does a sealed segment name the key slots that are before it? */
static const char *check_named_keys(const mf_verify *v, uint32_t epoch, uint64_t offset)
{
    if (v->store.seal.sealed && v->keys_offset && (epoch != v->keys_epoch || offset != v->keys_offset))
        return "the sealed segment names other key slots than those before it";
    return NULL;
}

/* Opens a checked segment, for this group at most. */
static int open_segment(mf_verify *v, mf_segment *s, const uint8_t **raw)
{
    uint8_t *out = NULL;
    if (s->type == MF_TYPE_SEALED) {
        mf_buffer_clear(&v->plain);
        out = mf_buffer_reserve(&v->plain, (size_t)mf_segment_total(s));
        if (!out)
            return mf_fail_memory(v->err);
    }
    return mf_segment_open(&v->store.seal, s, *raw, out, raw, v->err);
}

static void unsound(mf_verify *v, mf_verify_group *h, uint64_t offset)
{
    h->whole = false;
    v->damaged_at = offset;
    v->keys_offset = 0; /* those that stood here, perhaps */
}

/* Is the segment of this group, by its links? The first one says the tag if nothing else does. */
static bool belongs(mf_verify_group *h, const mf_segment *s)
{
    if (!h->tag_known) {
        h->tag = s->parent_tag;
        h->tag_known = true;
    }
    return s->previous_commit == h->walked->previous_commit && s->parent_tag == h->tag;
}

/* What the Parent_Tag of the commit would be without its group, of `length` bytes (SPEC 9.4). *known: false if a
 * header of the group is damaged, and nobody can tell. */
static int ungrouped_tag(mf_verify *v, const mf_walk_group *g, const mf_segment *commit, uint64_t length, uint64_t *parent,
                         bool *known)
{
    uint64_t tag = 0;
    *known = true;
    if (commit->flags & MF_FLAG_SYNCED)
        return MEMFILE_OK;
    *known = length <= MF_SMALL_GROUP_MAX && length <= g->commit_offset - g->start;
    /* where it says it begins: the VOID before that may be damaged, and then the walk has taken in what it names */
    for (uint64_t at = *known ? g->commit_offset - length : 0; at < g->commit_offset && *known;) {
        const uint8_t *raw;
        mf_segment s;
        memfile_error why;
        int rc = mf_walk_bytes(&v->walk, at, MF_SEGMENT_HEADER_LENGTH, &raw, &why);
        if (rc == MEMFILE_OK)
            rc = mf_segment_decode(&s, raw, at, v->store.tag, &why);
        if (rc != MEMFILE_OK && !mf_verify_about_file(rc)) {
            *v->err = why;
            return rc;
        }
        *known = rc == MEMFILE_OK && mf_segment_total(&s) <= g->commit_offset - at;
        tag = *known ? mf_group_tag(tag, raw) : tag;
        at += *known ? mf_segment_total(&s) : 0;
    }
    *parent = commit->parent_tag ^ tag;
    return MEMFILE_OK;
}

/* The last commit's footer says another stored digest than its bytes give: one of its segments is of another copy of the
 * file, or the footer lies. What was written behind it tells, by its Parent_Tag. */
static int settle_dispute(mf_verify *v, const mf_walk_group *g)
{
    const uint8_t *raw;
    if (!v->stored_disputed || v->walk.end - g->first_segment < MF_SEGMENT_HEADER_LENGTH)
        return MEMFILE_OK;
    v->stored_disputed = false;
    int rc = mf_walk_bytes(&v->walk, g->first_segment, MF_SEGMENT_HEADER_LENGTH, &raw, v->err);
    if (rc != MEMFILE_OK)
        return rc;
    uint64_t parent = mf_load64(raw + 32);
    if (!mf_segment_is_sound_header(raw, g->first_segment, v->store.tag) || parent == mf_parent_tag(v->stored_digest))
        return MEMFILE_OK;
    if (parent == mf_parent_tag(v->stored_other))
        memcpy(v->stored_digest, v->stored_other, 32);
    else
        v->stored_known = false;
    return MEMFILE_OK;
}

static int read_commit(mf_verify *v, const mf_walk_group *g, mf_verify_group *h)
{
    const uint8_t *raw;
    mf_slice head, stored;
    memset(h, 0, sizeof *h);
    int settled = settle_dispute(v, g);
    if (settled != MEMFILE_OK)
        return settled;
    h->walked = g;
    h->whole = true;
    h->tag_known = v->stored_known && !v->options->quick;
    h->tag = mf_parent_tag(v->stored_digest);
    if (!g->commit_offset)
        return MEMFILE_OK;
    int rc = read_segment(v, g->commit_offset, &h->segment, &raw);
    h->epoch = h->segment.codec_parameter;
    if (rc == MEMFILE_OK && v->store.seal.sealed && h->segment.type == MF_TYPE_SEALED)
        rc = mf_segment_clear_part(&h->segment, raw, &h->keys_offset, &h->group_length, v->err);
    if (rc == MEMFILE_OK) {
        size_t total = (size_t)mf_segment_total(&h->segment);
        memcpy(h->header, raw, sizeof h->header);
        if (!v->options->quick)
            mf_digest(h->body_digest, MF_LABEL_BYTES, raw + MF_SEGMENT_HEADER_LENGTH, h->segment.stored_length);
        h->raw = (uint8_t *)mf_alloc(&v->mem, total);
        if (!h->raw)
            return mf_fail_memory(v->err);
        memcpy(h->raw, raw, total);
    }
    if (rc == MEMFILE_OK && !v->outside) {
        const uint8_t *opened;
        rc = mf_segment_open(&v->store.seal, &h->segment, h->raw, h->raw, &opened, v->err);
        if (rc == MEMFILE_OK)
            rc = mf_segment_split(&h->segment, h->raw, &head, &stored, v->err);
        if (rc == MEMFILE_OK && h->segment.type != MF_TYPE_COMMIT)
            rc = mf_fail(v->err, MEMFILE_E_DAMAGED, g->commit_offset,
                         "the segment at offset %llu is no commit, but flagged so", (unsigned long long)g->commit_offset);
        if (rc == MEMFILE_OK)
            rc = mf_commit_decode(&h->commit, head, &h->footer, &v->mem, g->commit_offset, v->err);
        if (rc == MEMFILE_OK && v->store.seal.sealed && h->commit.group_length != h->group_length)
            rc = mf_fail(v->err, MEMFILE_E_DAMAGED, g->commit_offset,
                         "the commit at offset %llu says another length of its group outside the seal than inside",
                         (unsigned long long)g->commit_offset);
    }
    bool bound = true;
    if (rc == MEMFILE_OK)
        rc = ungrouped_tag(v, g, &h->segment, v->outside ? h->group_length : h->commit.group_length, &h->segment.parent_tag, &bound);
    if (rc == MEMFILE_OK && (bound ? !belongs(h, &h->segment) : h->segment.previous_commit != g->previous_commit))
        rc = mf_fail(v->err, MEMFILE_E_DAMAGED, g->commit_offset,
                     "the commit at offset %llu does not belong behind what stands before it",
                     (unsigned long long)g->commit_offset);
    /* a commit that follows the one before it, of which all is there, says where that one ended */
    bool due = v->entries_known && h->commit.number == (v->any_commit ? v->number + 1 : 0);
    bool logical = h->commit.flags & MF_COMMIT_LOGICAL;
    if (rc == MEMFILE_OK && logical && due && h->commit.first_entry != v->entries)
        rc = mf_fail(v->err, MEMFILE_E_DAMAGED, g->commit_offset,
                     "the commit at offset %llu says that entry %llu is due, and it is %llu",
                     (unsigned long long)g->commit_offset, (unsigned long long)h->commit.first_entry,
                     (unsigned long long)v->entries);
    if (mf_verify_about_file(rc) && v->store.seal.sealed && h->epoch > v->store.seal.epoch && !v->outside)
        v->result->lost_commits++; /* at least: under a key whose slots are lost */
    h->sound = rc == MEMFILE_OK;
    h->full = h->sound && !v->outside && (h->commit.flags & MF_COMMIT_FULL);
    h->logical = h->sound && (h->commit.flags & MF_COMMIT_LOGICAL);
    if (rc != MEMFILE_OK && mf_verify_about_file(rc)) {
        mf_verify_find_error(v, v->err, mf_segment_total(&g->commit));
        unsound(v, h, g->commit_offset);
        rc = MEMFILE_OK;
    }
    return rc;
}

static int check_void(mf_verify *v, mf_verify_group *h)
{
    const mf_walk_group *g = h->walked;
    mf_segment s;
    const uint8_t *raw;
    mf_slice head, stored;
    mf_digest_stream digest;
    uint8_t out[32];
    uint64_t length = g->first_segment - g->start;
    int rc = read_segment(v, g->first_segment, &s, &raw);
    if (rc == MEMFILE_OK)
        rc = mf_segment_split(&s, raw, &head, &stored, v->err);
    if (rc != MEMFILE_OK)
        return rc;
    uint64_t expected = head.length == 16 ? mf_load64(head.data + 8) : 0;
    mf_checksum_stream *checksum = mf_checksum_begin();
    if (!checksum)
        return mf_fail_memory(v->err);
    mf_digest_begin(&digest, MF_LABEL_BYTES);
    bool hole = false; /* what an image does not have may be as long as it likes */
    for (uint64_t at = g->start; rc == MEMFILE_OK && at < g->first_segment && !hole;) {
        hole = mf_io_next(v->store.io, at) > at;
        size_t n = g->first_segment - at < 65536 ? (size_t)(g->first_segment - at) : 65536;
        rc = mf_walk_bytes(&v->walk, at, n, &raw, v->err);
        if (rc == MEMFILE_OK) {
            mf_checksum_add(checksum, raw, n);
            mf_digest_add(&digest, raw, n);
        }
        at += n;
    }
    uint64_t actual = mf_checksum_end(checksum);
    mf_digest_end(&digest, out);
    if (rc == MEMFILE_OK && (hole || actual != expected)) {
        mf_verify_find(v, MEMFILE_E_DAMAGED, g->start, length, 0, 0, "a declared void has other bytes than were declared");
        unsound(v, h, g->start);
    }
    mf_chain_void(&h->chain, length, out);
    v->result->void_bytes += length;
    return rc;
}

/* What is wrong with the flags, or with the type at this place, of a segment that is sound: SPEC 5. */
static const char *misplaced(const mf_verify *v, const mf_segment *s)
{
    bool commit = s->flags & MF_FLAG_COMMIT, known = s->type <= MF_TYPE_VOID;
    if (!commit && s->type == MF_TYPE_COMMIT)
        return "a segment of type COMMIT without its flag";
    if (!commit && (s->flags & MF_FLAG_SYNCED))
        return "a segment that is no commit says that it is SYNCED";
    if (known && (s->flags & MF_FLAG_OPTIONAL))
        return "a segment that must be understood says that it is OPTIONAL";
    if (known && !(s->flags & MF_FLAG_DERIVED) != (s->type != MF_TYPE_INDEX))
        return "the flag DERIVED does not go with the segment's type";
    if (!v->store.seal.sealed && (s->type == MF_TYPE_KEYS || s->type == MF_TYPE_SEALED))
        return "a segment of a sealed file stands in a plain one";
    if (v->outside && s->type != MF_TYPE_SEALED && s->type != MF_TYPE_KEYS && s->type != MF_TYPE_VOID)
        return "a segment of a sealed file is not sealed";
    return NULL;
}

/* The same of the group's commit, and of the keys that it names. */
static const char *wrong_place(const mf_verify *v, const mf_verify_group *h)
{
    const char *wrong = check_named_keys(v, h->epoch, h->keys_offset);
    return wrong ? wrong : misplaced(v, &h->segment);
}

/* One segment of a group, at *at; moves *at behind it. */
static int check_member(mf_verify *v, mf_verify_group *h, uint64_t *at)
{
    mf_segment s;
    const uint8_t *raw;
    uint8_t body[32];
    uint64_t offset = *at, keys, unused;
    memfile_error why;
    int rc = read_segment(v, offset, &s, &raw);
    if (rc != MEMFILE_OK && !mf_verify_about_file(rc))
        return rc;
    *at += mf_segment_total(&s); /* the walk has seen that its header is sound */
    if (rc != MEMFILE_OK) {
        mf_verify_find_error(v, v->err, mf_segment_total(&s));
        unsound(v, h, offset);
        return MEMFILE_OK;
    }
    v->result->segments++;
    if (!belongs(h, &s)) {
        mf_verify_find(v, MEMFILE_E_DAMAGED, offset, mf_segment_total(&s), 0, 0,
                       "the segment does not belong behind the commit before it");
        unsound(v, h, offset);
        return MEMFILE_OK;
    }
    if (s.type == MF_TYPE_VOID && (offset != h->walked->first_segment || offset == h->walked->start))
        mf_verify_find(v, MEMFILE_E_DAMAGED, offset, mf_segment_total(&s), 0, 0, "a void is declared where none can be");
    const char *wrong = NULL;
    if (!v->options->quick || s.type == MF_TYPE_KEYS)
        mf_digest(body, MF_LABEL_BYTES, raw + MF_SEGMENT_HEADER_LENGTH, s.stored_length);
    if (!v->options->quick)
        mf_chain_segment(&h->chain, raw, body);
    if (v->store.seal.sealed && s.type == MF_TYPE_KEYS)
        wrong = check_keys(v, &s, raw, body);
    if (v->store.seal.sealed && s.type == MF_TYPE_SEALED)
        wrong = mf_segment_clear_part(&s, raw, &keys, &unused, &why) == MEMFILE_OK
                    ? check_named_keys(v, s.codec_parameter, keys)
                    : "the sealed segment names places that cannot be";
    if (!v->options->quick && !v->outside && !wrong) {
        rc = open_segment(v, &s, &raw);
        if (rc != MEMFILE_OK && mf_verify_about_file(rc)) {
            mf_verify_find_error(v, v->err, mf_segment_total(&s));
            unsound(v, h, offset);
            return MEMFILE_OK;
        }
        if (rc != MEMFILE_OK)
            return rc;
    }
    if (!wrong)
        wrong = misplaced(v, &s);
    if (wrong)
        mf_verify_find(v, MEMFILE_E_DAMAGED, offset, mf_segment_total(&s), 0, 0, wrong);
    if (v->options->quick || v->outside || (wrong && v->store.seal.sealed))
        return MEMFILE_OK;
    if (wrong && s.type != MF_TYPE_RECORDS && s.type != MF_TYPE_CHUNK)
        return MEMFILE_OK;
    rc = mf_verify_segment(v, &s, raw);
    if (rc != MEMFILE_OK && mf_verify_about_file(rc)) {
        mf_verify_find_error(v, v->err, mf_segment_total(&s));
        v->damaged_at = offset;
        rc = MEMFILE_OK;
    }
    return rc;
}

/* All segments of a group that stand before its commit. */
static int check_members(mf_verify *v, mf_verify_group *h)
{
    const mf_walk_group *g = h->walked;
    uint64_t end = g->commit_offset ? g->commit_offset : g->end;
    uint32_t gap = 0;
    int rc = MEMFILE_OK;
    for (uint64_t at = g->first_segment; at < end && rc == MEMFILE_OK;) {
        if (gap < g->gap_count && at == g->gaps[gap].start) {
            mf_verify_find(v, MEMFILE_E_DAMAGED, at, g->gaps[gap].end - at, 0, 0, "no sound segment stands here");
            unsound(v, h, at);
            at = g->gaps[gap++].end;
            continue;
        }
        rc = check_member(v, h, &at);
        if (rc == MEMFILE_OK)
            rc = progress(v, at);
    }
    return rc;
}

/* What the commit says about where its group begins. */
static int begin_group(mf_verify *v, mf_verify_group *h)
{
    const mf_commit *k = &h->commit;
    int rc = MEMFILE_OK;
    mf_chain_begin(&h->chain, v->stored_digest);
    v->salt_left = 0;
    v->block_end = h->sound ? k->first_entry + k->entry_count : UINT64_MAX;
    if (!h->logical)
        return rc;
    if (k->first_entry > v->entries && !v->options->quick) {
        uint64_t count = k->first_entry - v->entries;
        rc = mf_verify_miss(v, k->first_entry);
        if (rc == MEMFILE_OK)
            rc = mf_verify_miss_leaves(v, count);
    } else if (k->first_entry < v->entries) {
        mf_verify_find(v, MEMFILE_E_DAMAGED, h->segment.offset, mf_segment_total(&h->segment), k->first_entry, 0,
                       "the commit's first entry does not follow");
        v->entries = k->first_entry;
        v->entries_again = true;
        v->history_known = false;
    }
    v->salts.count = 0; /* folded commits come before all others */
    v->salt_left = k->entry_count;
    v->salt_index = k->salt_index;
    if (rc == MEMFILE_OK && (k->flags & MF_COMMIT_SALT) &&
        mf_history_cursor_set_root(&v->salts, k->salt_root) != MEMFILE_OK)
        rc = mf_fail_memory(v->err);
    return rc;
}

static int check_group(mf_verify *v, const mf_walk_group *g)
{
    mf_verify_group h;
    int rc = read_commit(v, g, &h);
    if (rc == MEMFILE_OK)
        rc = begin_group(v, &h);
    if (rc == MEMFILE_OK && g->first_segment > g->start)
        rc = check_void(v, &h);
    if (rc == MEMFILE_OK && g->commit_offset != g->start)
        rc = check_members(v, &h);
    v->result->segments += h.sound;
    if (rc == MEMFILE_OK && v->outside && h.sound) {
        rc = mf_verify_commit_outside(v, &h, wrong_place(v, &h));
    } else if (rc == MEMFILE_OK && v->options->quick) {
        if (h.sound)
            mf_verify_count_commit(v, &h);
    } else if (rc == MEMFILE_OK && h.sound) {
        rc = mf_verify_commit(v, &h, wrong_place(v, &h));
    } else if (rc == MEMFILE_OK) {
        /* Without the commit neither chain can go on; later commits say where they were. */
        if (!g->commit_offset && g->gap_count == 0)
            mf_verify_find(v, MEMFILE_E_DAMAGED, g->start, g->end - g->start, 0, 0, "a commit is missing behind these segments");
        rc = mf_verify_end_object(v);
        if (rc == MEMFILE_OK)
            rc = mf_verify_drain(v);
        v->stored_known = v->history_known = v->salts_known = v->entries_known = false;
        v->commit_due = true;
        v->last_full = 0;
        mf_tree_init(&v->fold.leaves, MF_ENTRIES_FANOUT);
    }
    if (rc == MEMFILE_OK)
        rc = progress(v, g->end);
    mf_footer_free(&h.footer, &v->mem);
    mf_free(&v->mem, h.raw);
    return rc;
}

/* ---- all of it */

static void free_all(mf_verify *v)
{
    mf_verify_free_workers(v);
    mf_items_free(&v->contents);
    mf_free(&v->mem, v->wholes);
    mf_free(&v->mem, v->named);
    mf_free(&v->mem, v->signers);
    mf_free(&v->mem, v->forgets.v);
    mf_ranges_free(&v->forgotten, &v->mem);
    mf_history_cursor_free(&v->salts);
    mf_history_cursor_free(&v->commits);
    mf_buffer_free(&v->plain);
    mf_walk_close(&v->walk);
    if (v->store.io)
        mf_store_close(&v->store);
}

/* Where the newest commit ends, by its own word if the state cannot be read. */
static int find_end(mf_verify *v, uint64_t *end, bool *damage)
{
    memfile_error why;
    uint64_t newest = 0;
    int rc = mf_store_load(&v->store, &why);
    v->loaded = rc == MEMFILE_OK;
    uint64_t size = v->store.committed.file_size;
    v->result->file_bytes = size;
    *end = v->store.committed.end;
    *damage = v->store.committed.unfinished_is_damage;
    if (v->loaded)
        return MEMFILE_OK;
    if (!mf_verify_about_file(rc)) {
        *v->err = why;
        return rc;
    }
    mf_verify_find_error(v, &why, 0);
    rc = mf_store_unlock(&v->store, true, v->err);
    if (rc != MEMFILE_OK && !mf_verify_about_file(rc))
        return rc;
    if (rc != MEMFILE_OK) {
        mf_verify_find_error(v, v->err, 0);
        v->outside = true;
    }
    *end = size;
    *damage = false;
    if (size >= MF_HEADER_LENGTH + MF_SEGMENT_HEADER_LENGTH) {
        rc = mf_tail_find(&v->store, size, &newest, damage, &why);
        if (rc == MEMFILE_OK)
            rc = mf_tail_counts(&v->store, newest, size, end, &why);
        if (rc == MEMFILE_E_SYSTEM || rc == MEMFILE_E_MEMORY) {
            *v->err = why;
            return rc;
        }
    }
    v->store.readable_end = *end;
    return MEMFILE_OK;
}

static int check_file(mf_verify *v, uint64_t *end)
{
    bool damage = false;
    int rc = find_end(v, end, &damage);
    if (rc != MEMFILE_OK)
        return rc;
    uint64_t size = v->result->file_bytes;
    v->result->unfinished_bytes = size - *end;
    if (damage)
        mf_verify_find(v, MEMFILE_E_DAMAGED, *end, size - *end, 0, 0,
                       "the bytes behind the newest sound commit look like a commit that was damaged");
    else if (size > *end)
        mf_verify_find(v, MEMFILE_E_TRUNCATED, *end, size - *end, 0, 0,
                       "unfinished bytes behind the newest commit: an append that was interrupted, or is going on");
    uint64_t walked = damage ? size & ~(uint64_t)7 : *end; /* what looks like a commit is looked at */
    v->store.readable_end = walked > v->store.readable_end ? walked : v->store.readable_end;
    rc = mf_walk_open(&v->walk, &v->store, walked, v->err);
    if (rc == MEMFILE_OK)
        rc = mf_verify_make_workers(v);
    mf_stored_begin(v->stored_digest, v->store.header_raw);
    v->stored_known = !v->listener || !v->listener->header_made;
    v->history_known = v->salts_known = v->salt_root_known = true;
    v->entries_known = !v->options->quick;
    mf_items_init(&v->contents, &v->mem);
    mf_fold_init(&v->fold, v->store.header.memory_id, &v->mem);
    v->fold.body = v->listener ? v->listener->body : NULL;
    mf_history_cursor_init(&v->salts, &v->store);
    mf_history_cursor_init(&v->commits, &v->store);
    v->salts.passes_orphans = v->commits.passes_orphans = true; /* told where their commits are missing */
    mf_system_random(&v->seed, sizeof v->seed);
    while (rc == MEMFILE_OK) {
        mf_walk_group g;
        rc = mf_walk_group_next(&v->walk, &g, v->err);
        if (rc == MEMFILE_OK)
            rc = check_group(v, &g);
    }
    rc = rc == MEMFILE_DONE ? MEMFILE_OK : rc;
    if (rc == MEMFILE_OK && (damage || v->commit_due))
        mf_verify_miss_commits(v, v->any_commit ? v->number + 2 : 1); /* the one that is damaged, at least */
    if (rc == MEMFILE_OK && !v->options->quick && !v->outside) {
        rc = mf_verify_contents(v);
        if (rc == MEMFILE_OK && v->listener && v->listener->store)
            rc = v->listener->store(v->listener->context, &v->contents, &v->store);
        if (rc == MEMFILE_OK && v->loaded && v->result->findings == (size > *end))
            rc = mf_verify_index(v);
    }
    return rc;
}

int mf_verify_damaged(const memfile_verify_result *r, memfile_error *err)
{
    if (r->lost_entries || r->lost_commits)
        return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the file is damaged: %llu finding%s; lost: %llu entries, %llu commits",
                       (unsigned long long)r->findings, r->findings == 1 ? "" : "s", (unsigned long long)r->lost_entries,
                       (unsigned long long)r->lost_commits);
    return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the file is damaged: %llu finding%s; no entry is lost",
                   (unsigned long long)r->findings, r->findings == 1 ? "" : "s");
}

int mf_verify_run(mf_io *io, const memfile_verify_options *options, const mf_verify_listener *listener,
                  const mf_access *access, memfile_verify_result *result, memfile_error *err)
{
    uint64_t end = 0;
    memset(result, 0, sizeof *result);
    mf_verify *v = (mf_verify *)mf_alloc_zero(&mf_mem_default, sizeof *v);
    if (!v) {
        io->functions->close(io);
        return mf_fail_memory(err);
    }
    v->options = options;
    v->listener = listener;
    v->result = result;
    v->err = err;
    v->mem = mf_mem_default;
    /* dictionaries may outlive it */
    int rc = mf_store_begin(&v->store, io, &mf_mem_default, 4u << 20, access, v->err);
    if (rc != MEMFILE_OK) {
        mf_free(&mf_mem_default, v);
        return rc;
    }
    mf_buffer_init(&v->plain, &v->mem);
    v->outside = v->store.without_key;
    rc = check_file(v, &end);
    result->outside = v->outside;
    if (rc == MEMFILE_OK)
        rc = progress(v, end);
    if (rc == MEMFILE_OK) {
        result->memory_unknown = v->memory_unknown;
        bool made = listener && listener->header_made; /* then only the genesis proves it */
        if (!v->memory_unknown && (!made || result->genesis_known))
            memcpy(result->memory_id, v->fold.memory_id, 16);
        result->newest_commit = v->number;
        mf_verify_tell_signers(v);
        if (!options->quick) {
            memcpy(result->stored_digest, v->stored_digest, 32);
            memcpy(result->history_digest, v->fold.digest, 32);
        }
        bool only_unfinished = result->findings == 1 && result->unfinished_bytes > 0 &&
                               !v->store.committed.unfinished_is_damage && v->loaded;
        if (only_unfinished)
            rc = mf_fail(err, MEMFILE_E_TRUNCATED, end,
                         "an unfinished append of %llu bytes stands at the end; all before it is sound",
                         (unsigned long long)result->unfinished_bytes);
        else if (result->findings > 0)
            rc = mf_verify_damaged(result, err);
    }
    free_all(v);
    mf_free(&mf_mem_default, v);
    return rc;
}
