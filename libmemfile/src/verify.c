/* verify: SPEC 15.5. Goes over every byte by tiling, commit by commit. Damage to one
 * segment is one finding: where the chain breaks, verify goes on from what the next
 * commits say, and names the entries and commits that are missing in between. */
#include "verify.h"

#include <stdio.h>
#include <stdlib.h>

#include "checksum.h"

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

static void progress(mf_verify *v, uint64_t at)
{
    v->result->checked_bytes = at;
    if (v->options->progress && at >= v->next_progress) {
        v->next_progress = at + (1u << 20);
        v->options->progress(v->options->context, at, v->result->file_bytes);
    }
}

/* Commits from the one that is due to `number` are missing. */
static void miss_commits(mf_verify *v, uint64_t number)
{
    uint64_t due = v->any_commit ? v->number + 1 : 0;
    memfile_finding f = {MEMFILE_E_DAMAGED, v->damaged_at, 0, 0, 0, due, number - due, "commits are missing"};
    v->result->lost_commits += number - due;
    v->salts_known = false;
    report(v, &f);
}

/* ---- segments other than blocks and commits */

static int end_object(mf_verify *v)
{
    bool chunks = v->in_object && v->object_tree.count > 0; /* its first chunk may be damaged */
    v->in_object = false;
    if (!chunks)
        return MEMFILE_OK;
    void *grown = v->wholes;
    if (mf_grow(&v->mem, &grown, &v->whole_capacity, v->whole_count + 1, sizeof *v->wholes) != 0)
        return mf_fail_memory(v->err);
    v->wholes = (mf_whole *)grown;
    mf_whole *o = &v->wholes[v->whole_count++];
    mf_tree_root(&v->object_tree, o->root);
    o->length = v->object_length;
    o->text = v->object_text && v->object_utf8.left == 0;
    o->number = v->object_number;
    mf_items_add(&v->contents, MF_ITEM_OBJECT, mf_load64(o->root), v->object_number);
    mf_verify_expect(v, MF_ITEM_OBJECT, mf_load64(o->root), v->object_number);
    return v->contents.failed ? mf_fail_memory(v->err) : MEMFILE_OK;
}

/* SPEC 11.2: numbers rise. Of two contents with the same number the later one counts, as with entries that
 * were given up. */
static void forget_objects(mf_verify *v, const mf_segment *s, uint64_t number)
{
    size_t before = v->whole_count;
    while (v->whole_count > 0 && v->wholes[v->whole_count - 1].number >= number)
        v->whole_count--;
    mf_items_forget_contents(&v->contents, number);
    if (v->whole_count < before)
        mf_verify_find(v, MEMFILE_E_DAMAGED, s->offset, mf_segment_total(s), 0, 0,
                       "the number of the content that begins here was given before");
}

static int check_chunk(mf_verify *v, const mf_segment *s, mf_slice head, mf_slice stored)
{
    uint8_t hash[32];
    mf_verify_worker *w = &v->workers[0];
    mf_cursor c = mf_cursor_of(head.data, head.length);
    uint64_t number = mf_get_varint_max(&c, MF_ENTRIES_MAX - 1), index = mf_get_varint_max(&c, MF_CHUNKS_MAX - 1);
    if (!mf_cursor_finished(&c) || s->raw_length == 0 || s->raw_length > MF_CHUNK_LENGTH ||
        s->codec == MF_CODEC_ZSTD_DICTIONARY)
        return mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "the chunk at offset %llu does not decode",
                       (unsigned long long)s->offset);
    if (index == 0 || number != v->object_number) { /* the one before it ends here, even if the first chunk of this is lost */
        int rc = end_object(v);
        if (rc != MEMFILE_OK)
            return rc;
    }
    if (index == 0) {
        forget_objects(v, s, number);
        v->in_object = true;
        v->object_number = number;
        v->chunk_index = v->object_length = 0;
        v->object_text = true;
        v->object_utf8 = (mf_utf8){0, 0, 0};
        mf_tree_init(&v->object_tree, MF_ENTRIES_FANOUT);
    }
    if (!v->in_object || number != v->object_number || index != v->chunk_index ||
        v->object_length % MF_CHUNK_LENGTH != 0) {
        v->in_object = false; /* what is left of it is not whole */
        return mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "the chunk at offset %llu does not follow the one before it",
                       (unsigned long long)s->offset);
    }
    mf_buffer_clear(&w->content);
    uint8_t *content = mf_buffer_reserve(&w->content, s->raw_length);
    if (!content)
        return mf_fail_memory(v->err);
    int rc = mf_segment_content(s, stored, &w->compressor, NULL, content, v->err);
    if (rc != MEMFILE_OK)
        return rc;
    v->object_text = v->object_text && mf_utf8_feed(&v->object_utf8, content, s->raw_length);
    mf_digest(hash, MF_LABEL_CHUNK, content, s->raw_length);
    mf_tree_add(&v->object_tree, hash);
    v->chunk_index++;
    v->object_length += s->raw_length;
    mf_items_add(&v->contents, MF_ITEM_CHUNK, number << 24 | index, s->offset / 8);
    mf_verify_expect(v, MF_ITEM_CHUNK, number << 24 | index, s->offset / 8);
    return v->contents.failed ? mf_fail_memory(v->err) : MEMFILE_OK;
}

static int add_dictionary(mf_verify *v, const uint8_t *content, size_t length, uint64_t id)
{
    mf_dictionary *d = NULL;
    for (size_t i = 0; i < v->store.dictionary_count; i++)
        if (v->store.dictionaries[i]->id == id)
            return MEMFILE_OK;
    if (mf_dictionary_new(v->store.mem, content, length, 0, &d) == MEMFILE_OK &&
        mf_store_add_dictionary(&v->store, d) == MEMFILE_OK)
        return MEMFILE_OK;
    mf_dictionary_free(d);
    return mf_fail_memory(v->err);
}

static int check_dictionary(mf_verify *v, const mf_segment *s, mf_slice head, mf_slice stored)
{
    mf_cursor c = mf_cursor_of(head.data, head.length);
    uint64_t id = mf_get_varint(&c);
    uint8_t copy = mf_get_u8(&c);
    int rc = MEMFILE_OK;
    uint8_t *content = (uint8_t *)mf_alloc(&v->mem, s->raw_length);
    if (!content)
        return mf_fail_memory(v->err);
    if (!mf_cursor_finished(&c) || copy > 1 || s->codec == MF_CODEC_ZSTD_DICTIONARY || s->raw_length == 0)
        rc = mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "the dictionary at offset %llu does not decode",
                     (unsigned long long)s->offset);
    if (rc == MEMFILE_OK)
        rc = mf_segment_content(s, stored, &v->store.compressor, NULL, content, v->err);
    if (rc == MEMFILE_OK && mf_dictionary_id(content, s->raw_length) != id)
        rc = mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "the dictionary at offset %llu is not %08llx",
                     (unsigned long long)s->offset, (unsigned long long)id);
    if (rc == MEMFILE_OK)
        rc = add_dictionary(v, content, s->raw_length, id);
    mf_free(&v->mem, content);
    return rc;
}

static int check_page(mf_verify *v, const mf_segment *s, mf_slice head)
{
    mf_page page;
    mf_arena_reset(&v->workers[0].arena);
    int rc = mf_page_parse(&page, head, &v->workers[0].arena);
    if (rc == 0 && s->raw_length == 0)
        return MEMFILE_OK;
    return rc == -2 ? mf_fail_memory(v->err)
                    : mf_fail(v->err, rc == -3 ? MEMFILE_E_NEWER : MEMFILE_E_DAMAGED, s->offset,
                              "the index page at offset %llu does not decode", (unsigned long long)s->offset);
}

static int check_history(mf_verify *v, const mf_segment *s, mf_slice head)
{
    mf_history history;
    mf_arena_reset(&v->workers[0].arena);
    int rc = mf_history_decode(&history, head, &v->workers[0].arena, s->offset, v->err);
    if (rc != MEMFILE_OK)
        return rc;
    if (v->entries > 0 || v->any_commit)
        return mf_fail(v->err, MEMFILE_E_DAMAGED, s->offset, "folded commits at offset %llu stand behind entries",
                       (unsigned long long)s->offset);
    if (v->history_count > 0 && s->offset != v->history_end)
        mf_verify_find(v, MEMFILE_E_DAMAGED, s->offset, mf_segment_total(s), 0, 0,
                       "the segments of folded commits do not stand one after the other");
    if (v->history_count == 0 && history.row_count == 0 && v->damaged_at == 0)
        mf_verify_find(v, MEMFILE_E_DAMAGED, s->offset, mf_segment_total(s), 0, 0, "salts of no commit before them");
    v->history_end = s->offset + mf_segment_total(s);
    if (mf_history_cursor_add(&v->salts, s->offset) != MEMFILE_OK ||
        mf_history_cursor_add(&v->commits, s->offset) != MEMFILE_OK)
        return mf_fail_memory(v->err);
    v->folding = true;
    if (v->history_count++ == 0)
        v->first_history = s->offset;
    v->salt_root_known = false;
    return v->listener && v->listener->segment ? v->listener->segment(v->listener->context, s->offset, true) : MEMFILE_OK;
}

/* A checked segment of a group, not the commit. */
static int check_segment(mf_verify *v, const mf_segment *s, const uint8_t *raw)
{
    mf_slice head, stored;
    int rc = mf_segment_split(s, raw, &head, &stored, v->err);
    if (rc != MEMFILE_OK)
        return rc;
    switch (s->type) {
    case MF_TYPE_RECORDS:
        if (v->folding && !v->any_commit)
            rc = mf_verify_fold(v);
        return rc == MEMFILE_OK ? mf_verify_give_block(v, s, raw) : rc;
    case MF_TYPE_CHUNK: return check_chunk(v, s, head, stored);
    case MF_TYPE_INDEX: return check_page(v, s, head);
    case MF_TYPE_DICTIONARY: return check_dictionary(v, s, head, stored);
    case MF_TYPE_HISTORY: return check_history(v, s, head);
    case MF_TYPE_VOID: return MEMFILE_OK; /* its place was checked with the group */
    case MF_TYPE_KEYS: return MEMFILE_OK; /* checked before anything was opened */
    default:
        if (!(s->flags & MF_FLAG_OPTIONAL))
            return mf_fail(v->err, MEMFILE_E_NEWER, s->offset, "made by a newer version: segment of type %u at offset %llu",
                           s->type, (unsigned long long)s->offset);
        return v->listener && v->listener->unknown && !(s->flags & MF_FLAG_DERIVED)
                   ? v->listener->unknown(v->listener->context, s)
                   : MEMFILE_OK;
    }
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
    if (s->codec != MF_CODEC_RAW || mf_segment_split(s, raw, &head, &stored, &why) != MEMFILE_OK || stored.length > 0 ||
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

/* A group while it is checked: its commit, which is read first, and the chain. */
typedef struct group_at_hand {
    const mf_walk_group *walked;
    uint8_t *raw; /* of the commit */
    mf_segment segment;
    mf_commit commit;
    mf_footer footer;
    bool sound, full; /* the commit is */
    bool logical;
    uint8_t header[MF_SEGMENT_HEADER_LENGTH], body_digest[32]; /* as they are stored */
    uint64_t group_length; /* as a sealed one says it outside */
    uint32_t epoch;
    uint64_t keys_offset;
    bool whole;    /* every segment so far is sound and ours */
    bool tag_known;
    uint64_t tag;  /* what all its Parent_Tags must be */
    mf_stored_chain chain;
} group_at_hand;

static void unsound(mf_verify *v, group_at_hand *h, uint64_t offset)
{
    h->whole = false;
    v->damaged_at = offset;
    v->keys_offset = 0; /* those that stood here, perhaps */
}

/* Is the segment of this group, by its links? The first one says the tag if nothing else does. */
static bool belongs(group_at_hand *h, const mf_segment *s)
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

static int read_commit(mf_verify *v, const mf_walk_group *g, group_at_hand *h)
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

static int check_void(mf_verify *v, group_at_hand *h)
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

/* One segment of a group, at *at; moves *at behind it. */
static int check_member(mf_verify *v, group_at_hand *h, uint64_t *at)
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
    rc = check_segment(v, &s, raw);
    if (rc != MEMFILE_OK && mf_verify_about_file(rc)) {
        mf_verify_find_error(v, v->err, mf_segment_total(&s));
        v->damaged_at = offset;
        rc = MEMFILE_OK;
    }
    return rc;
}

/* All segments of a group that stand before its commit. */
static int check_members(mf_verify *v, group_at_hand *h)
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
        progress(v, at);
    }
    return rc;
}

/* ---- commits */

/* The stored digest up to the commit, compared with the footer's, and behind it. */
static void chain_commit(mf_verify *v, group_at_hand *h, bool alone, const char **wrong)
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
static const char *check_footer_counts(const mf_verify *v, const group_at_hand *h)
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

static const char *check_footer(const mf_verify *v, const group_at_hand *h)
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
static int check_commit(mf_verify *v, group_at_hand *h, bool *faithful, const char **wrong)
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
            miss_commits(v, k->number);
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
        miss_commits(v, k->number + 1);
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
static int finish_commit(mf_verify *v, group_at_hand *h)
{
    const mf_walk_group *g = h->walked;
    const mf_commit *k = &h->commit;
    const char *wrong = check_named_keys(v, h->epoch, h->keys_offset);
    if (!wrong)
        wrong = misplaced(v, &h->segment);
    if (!wrong && v->keys_new && h->logical)
        wrong = "a commit that brings a new key is logical";
    v->keys_new = false;
    uint64_t end = k->first_entry + k->entry_count;
    chain_commit(v, h, g->commit_offset == g->start, &wrong);
    int rc = end_object(v);
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

/* quick: counts only, from what commits say. */
static void count_commit(mf_verify *v, const group_at_hand *h)
{
    const mf_commit *k = &h->commit;
    if (h->logical && k->number > (v->any_commit ? v->number + 1 : 0) && !v->folding)
        miss_commits(v, k->number);
    v->any_commit = true;
    v->commit_due = false;
    v->number = k->number;
    v->entries = k->first_entry + k->entry_count;
    v->result->entries = v->entries;
    v->result->commits = k->number + 1;
}

/* What the commit says about where its group begins. */
static int begin_group(mf_verify *v, group_at_hand *h)
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

/* A sound commit of a sealed file, without its key. */
static int finish_outside(mf_verify *v, group_at_hand *h)
{
    const mf_walk_group *g = h->walked;
    const char *wrong = check_named_keys(v, h->epoch, h->keys_offset);
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

static int check_group(mf_verify *v, const mf_walk_group *g)
{
    group_at_hand h;
    int rc = read_commit(v, g, &h);
    if (rc == MEMFILE_OK)
        rc = begin_group(v, &h);
    if (rc == MEMFILE_OK && g->first_segment > g->start)
        rc = check_void(v, &h);
    if (rc == MEMFILE_OK && g->commit_offset != g->start)
        rc = check_members(v, &h);
    v->result->segments += h.sound;
    if (rc == MEMFILE_OK && v->outside && h.sound) {
        rc = finish_outside(v, &h);
    } else if (rc == MEMFILE_OK && v->options->quick) {
        if (h.sound)
            count_commit(v, &h);
    } else if (rc == MEMFILE_OK && h.sound) {
        rc = finish_commit(v, &h);
    } else if (rc == MEMFILE_OK) {
        /* Without the commit neither chain can go on; later commits say where they were. */
        if (!g->commit_offset && g->gap_count == 0)
            mf_verify_find(v, MEMFILE_E_DAMAGED, g->start, g->end - g->start, 0, 0, "a commit is missing behind these segments");
        rc = end_object(v);
        if (rc == MEMFILE_OK)
            rc = mf_verify_drain(v);
        v->stored_known = v->history_known = v->salts_known = v->entries_known = false;
        v->commit_due = true;
        v->last_full = 0;
        mf_tree_init(&v->fold.leaves, MF_ENTRIES_FANOUT);
    }
    progress(v, g->end);
    mf_footer_free(&h.footer, &v->mem);
    mf_free(&v->mem, h.raw);
    return rc;
}

/* ---- contents */

static int compare_wholes(const void *a, const void *b)
{
    return memcmp(((const mf_whole *)a)->root, ((const mf_whole *)b)->root, 32);
}

static int check_contents(mf_verify *v)
{
    int rc = MEMFILE_OK;
    if (v->whole_count)
        qsort(v->wholes, v->whole_count, sizeof *v->wholes, compare_wholes);
    for (size_t i = 0; i < v->named_count && rc == MEMFILE_OK; i++) {
        mf_whole wanted = {{0}, 0, 0, false};
        memcpy(wanted.root, v->named[i].root, 32);
        const mf_whole *o = v->whole_count ? (const mf_whole *)bsearch(&wanted, v->wholes, v->whole_count,
                                                                      sizeof *v->wholes, compare_wholes)
                                           : NULL;
        bool whole = o && o->length == v->named[i].length;
        if (whole && (o->text || !v->named[i].text))
            continue;
        mf_verify_find(v, MEMFILE_E_DAMAGED, MF_NOWHERE, 0, v->named[i].entry, 1,
                       whole ? "the entry names a content as text that is not valid UTF-8"
                             : "the entry names a content that is not whole in the file");
        v->result->lost_entries++;
        v->result->entries--;
        if (v->listener && v->listener->broken)
            rc = v->listener->broken(v->listener->context, v->named[i].entry);
    }
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
        miss_commits(v, v->any_commit ? v->number + 2 : 1); /* the one that is damaged, at least */
    if (rc == MEMFILE_OK && !v->options->quick && !v->outside) {
        rc = check_contents(v);
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
    if (rc == MEMFILE_OK) {
        progress(v, end);
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
