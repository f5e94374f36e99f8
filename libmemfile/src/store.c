/* store: opening, the cache, and segments. SPEC 14, 15.1, 15.2. Look-ups are in lookup.c. */
#include "store.h"

#define ENDING_LENGTH 65536u
#define BLOCK_GUESS 8192u /* one read gets header and body of most blocks */

/* ---- cache */

static uint32_t bucket_of(const mf_store *st, uint64_t offset)
{
    return (uint32_t)((offset / 8 * 0x9e3779b97f4a7c15u) >> 40) & (st->bucket_count - 1);
}

static void object_free(mf_store *st, mf_object *o)
{
    mf_arena_free(&o->arena);
    mf_free(st->mem, o->raw);
    mf_free(st->mem, o->content);
    mf_free(st->mem, o);
}

static void unlink_recent(mf_store *st, mf_object *o)
{
    if (o->newer)
        o->newer->older = o->older;
    else
        st->newest = o->older;
    if (o->older)
        o->older->newer = o->newer;
    else
        st->oldest = o->newer;
    o->newer = o->older = NULL;
}

static void link_recent(mf_store *st, mf_object *o)
{
    o->older = st->newest;
    o->newer = NULL;
    if (st->newest)
        st->newest->newer = o;
    st->newest = o;
    if (!st->oldest)
        st->oldest = o;
}

static void drop(mf_store *st, mf_object *o)
{
    mf_object **at = &st->buckets[bucket_of(st, o->offset)];
    while (*at != o)
        at = &(*at)->same_bucket;
    *at = o->same_bucket;
    unlink_recent(st, o);
    st->cached_bytes -= o->bytes;
    st->object_count--;
    object_free(st, o);
}

/* Objects in use are passed over, so the limit may be exceeded by them. */
static void shrink_cache(mf_store *st, size_t limit)
{
    for (mf_object *o = st->oldest, *next; o && st->cached_bytes > limit; o = next) {
        next = o->newer;
        if (o->references == 0)
            drop(st, o);
    }
}

static int grow_buckets(mf_store *st)
{
    uint32_t count = st->bucket_count ? st->bucket_count * 2 : 256;
    mf_object **buckets = (mf_object **)mf_alloc_zero(st->mem, count * sizeof *buckets);
    if (!buckets)
        return st->bucket_count ? 0 : -1; /* long chains are still right */
    mf_free(st->mem, st->buckets);
    st->buckets = buckets;
    st->bucket_count = count;
    for (mf_object *o = st->newest; o; o = o->older) {
        uint32_t b = bucket_of(st, o->offset);
        o->same_bucket = buckets[b];
        buckets[b] = o;
    }
    return 0;
}

static mf_object *cached(mf_store *st, uint64_t offset)
{
    mf_object *o = st->bucket_count ? st->buckets[bucket_of(st, offset)] : NULL;
    while (o && o->offset != offset)
        o = o->same_bucket;
    if (!o)
        return NULL;
    st->hits++;
    if (o != st->newest) {
        unlink_recent(st, o);
        link_recent(st, o);
    }
    return o;
}

static int remember(mf_store *st, mf_object *o)
{
    if (st->object_count >= st->bucket_count && grow_buckets(st) != 0)
        return -1;
    o->bytes = sizeof *o + (size_t)mf_segment_total(&o->segment) + o->arena.total;
    uint32_t b = bucket_of(st, o->offset);
    o->same_bucket = st->buckets[b];
    st->buckets[b] = o;
    link_recent(st, o);
    st->object_count++;
    st->cached_bytes += o->bytes;
    o->references++;
    shrink_cache(st, st->cache_limit);
    o->references--;
    return 0;
}

void mf_store_release(mf_store *st, mf_object *o)
{
    if (o && --o->references == 0 && o->orphan)
        object_free(st, o);
}

/* ---- segments */

static int read_some(mf_store *st, uint64_t offset, uint8_t *out, size_t length, size_t *got, memfile_error *err)
{
    if (offset >= st->ending_offset && offset - st->ending_offset < st->ending_length) {
        size_t have = st->ending_length - (size_t)(offset - st->ending_offset);
        if (have >= length || st->ending_offset + st->ending_length >= st->readable_end) {
            *got = have < length ? have : length;
            memcpy(out, st->ending + (offset - st->ending_offset), *got);
            return MEMFILE_OK;
        }
    }
    return mf_io_read(st->io, offset, out, length, got, err);
}

int mf_store_segment(mf_store *st, uint64_t offset, uint64_t length, mf_segment *segment, uint8_t **raw,
                     memfile_error *err)
{
    *raw = NULL;
    if (offset < MF_HEADER_LENGTH || offset >= st->readable_end || length > st->readable_end - offset)
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "a reference leads to offset %llu, where no segment can be",
                       (unsigned long long)offset);
    uint64_t left = st->readable_end - offset;
    size_t first = length ? (size_t)length : left < BLOCK_GUESS ? (size_t)left : BLOCK_GUESS, got = 0;
    if (first < MF_SEGMENT_HEADER_LENGTH || first > (2u << 20))
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "a reference gives the segment at offset %llu a wrong length",
                       (unsigned long long)offset);
    uint8_t *bytes = (uint8_t *)mf_alloc(st->mem, first);
    const uint8_t *opened;
    if (!bytes)
        return mf_fail_memory(err);
    int rc = read_some(st, offset, bytes, first, &got, err);
    if (rc == MEMFILE_OK && got < MF_SEGMENT_HEADER_LENGTH)
        rc = mf_fail(err, MEMFILE_E_TRUNCATED, offset + got, "the file ends within committed bytes");
    if (rc == MEMFILE_OK)
        rc = mf_segment_decode(segment, bytes, offset, st->tag, err);
    uint64_t total = rc == MEMFILE_OK ? mf_segment_total(segment) : 0;
    if (rc == MEMFILE_OK && (total > left || (length && total != length)))
        rc = mf_fail(err, MEMFILE_E_DAMAGED, offset, "the segment at offset %llu has an unexpected length",
                     (unsigned long long)offset);
    if (rc == MEMFILE_OK && total > got) {
        uint8_t *more = (uint8_t *)mf_realloc(st->mem, bytes, (size_t)total);
        if (!more)
            rc = mf_fail_memory(err);
        else
            rc = mf_io_read_all(st->io, offset + got, (bytes = more) + got, (size_t)total - got, err);
    }
    if (rc == MEMFILE_OK)
        rc = mf_segment_check(segment, bytes, err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_open(&st->seal, segment, bytes, bytes, &opened, err);
    if (rc != MEMFILE_OK) {
        mf_free(st->mem, bytes);
        return rc;
    }
    *raw = bytes;
    return MEMFILE_OK;
}

static int parse_page(mf_object *o, mf_slice head, memfile_error *err)
{
    o->is_page = true;
    int rc = o->segment.type == MF_TYPE_INDEX ? mf_page_parse(&o->page, head, &o->arena) : -1;
    if (rc == 0)
        return MEMFILE_OK;
    return rc == -2   ? mf_fail_memory(err)
           : rc == -3 ? mf_fail(err, MEMFILE_E_NEWER, o->offset, "made by a newer version: index page at offset %llu",
                                (unsigned long long)o->offset)
                      : mf_fail(err, MEMFILE_E_DAMAGED, o->offset, "the index page at offset %llu does not decode",
                                (unsigned long long)o->offset);
}

static int parse_block(mf_store *st, mf_object *o, mf_slice head, memfile_error *err)
{
    mf_slice columns = {0};
    uint64_t expected = 0;
    if (o->segment.type == MF_TYPE_COMMIT) {
        mf_commit commit;
        int rc = mf_commit_decode(&commit, head, NULL, st->mem, o->offset, err);
        if (rc != MEMFILE_OK)
            return rc;
        columns = commit.columns;
        o->first_entry = commit.first_entry;
        expected = commit.entry_count;
    } else if (o->segment.type == MF_TYPE_RECORDS) {
        mf_cursor c = mf_cursor_of(head.data, head.length);
        o->first_entry = mf_get_varint_max(&c, MF_ENTRIES_MAX);
        columns = mf_slice_of(c.at, mf_cursor_left(&c));
    }
    int rc = columns.length ? mf_block_parse(&o->block, columns, &o->arena) : -1;
    if (rc == 0 && (o->block.content_length != o->segment.raw_length || (expected && o->block.rows != expected)))
        rc = -1;
    if (rc == 0)
        return MEMFILE_OK;
    return rc == -2   ? mf_fail_memory(err)
           : rc == -3 ? mf_fail(err, MEMFILE_E_NEWER, o->offset, "made by a newer version: block at offset %llu",
                                (unsigned long long)o->offset)
                      : mf_fail(err, MEMFILE_E_DAMAGED, o->offset, "the block of entries at offset %llu does not decode",
                                (unsigned long long)o->offset);
}

static int load(mf_store *st, uint64_t offset, uint64_t length, bool page, mf_object **out, memfile_error *err)
{
    *out = NULL;
    mf_object *o = cached(st, offset);
    if (o && o->is_page == page) {
        o->references++;
        *out = o;
        return MEMFILE_OK;
    }
    if (o)
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "the segment at offset %llu is referred to as what it is not",
                       (unsigned long long)offset);
    st->misses++;
    o = (mf_object *)mf_alloc_zero(st->mem, sizeof *o);
    if (!o)
        return mf_fail_memory(err);
    o->offset = offset;
    mf_arena_init(&o->arena, st->mem);
    mf_slice head;
    int rc = mf_store_segment(st, offset, length, &o->segment, &o->raw, err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_split(&o->segment, o->raw, &head, &o->stored, err);
    if (rc == MEMFILE_OK)
        rc = page ? parse_page(o, head, err) : parse_block(st, o, head, err);
    if (rc == MEMFILE_OK && remember(st, o) != 0)
        rc = mf_fail_memory(err);
    if (rc != MEMFILE_OK) {
        object_free(st, o);
        return rc;
    }
    o->references++;
    *out = o;
    return MEMFILE_OK;
}

int mf_store_page(mf_store *st, uint64_t offset, uint64_t length, mf_object **out, memfile_error *err)
{
    return load(st, offset, length, true, out, err);
}

int mf_store_block(mf_store *st, uint64_t offset, mf_object **out, memfile_error *err)
{
    return load(st, offset, 0, false, out, err);
}

int mf_store_content(mf_store *st, mf_object *o, memfile_error *err)
{
    if (o->content || o->segment.raw_length == 0)
        return MEMFILE_OK;
    const mf_dictionary *dictionary = NULL;
    int rc = MEMFILE_OK;
    if (o->segment.codec == MF_CODEC_ZSTD_DICTIONARY)
        rc = mf_store_dictionary(st, o->segment.codec_parameter, &dictionary, err);
    if (rc != MEMFILE_OK)
        return rc;
    uint8_t *content = (uint8_t *)mf_alloc(st->mem, o->segment.raw_length);
    if (!content)
        return mf_fail_memory(err);
    rc = mf_segment_content(&o->segment, o->stored, &st->compressor, dictionary, content, err);
    if (rc != MEMFILE_OK) {
        mf_free(st->mem, content);
        return rc;
    }
    o->content = content;
    if (!o->orphan) {
        o->bytes += o->segment.raw_length;
        st->cached_bytes += o->segment.raw_length;
        shrink_cache(st, st->cache_limit);
    }
    mf_block_set_content(&o->block, content);
    return MEMFILE_OK;
}

/* ---- dictionaries */

int mf_store_add_dictionary(mf_store *st, mf_dictionary *dictionary)
{
    void *grown = st->dictionaries;
    if (mf_grow(st->mem, &grown, &st->dictionary_capacity, st->dictionary_count + 1, sizeof *st->dictionaries) != 0)
        return MEMFILE_E_MEMORY;
    st->dictionaries = (mf_dictionary **)grown;
    st->dictionaries[st->dictionary_count++] = dictionary;
    return MEMFILE_OK;
}

static int read_dictionary(mf_store *st, uint64_t offset, uint32_t id, memfile_error *err)
{
    mf_segment s;
    uint8_t *raw = NULL, *content = NULL;
    mf_slice head, stored;
    mf_dictionary *d = NULL;
    int rc = mf_store_segment(st, offset, 0, &s, &raw, err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_split(&s, raw, &head, &stored, err);
    if (rc == MEMFILE_OK && (s.type != MF_TYPE_DICTIONARY || s.codec == MF_CODEC_ZSTD_DICTIONARY || s.raw_length == 0))
        rc = mf_fail(err, MEMFILE_E_DAMAGED, offset, "there is no dictionary at offset %llu", (unsigned long long)offset);
    if (rc == MEMFILE_OK && !(content = (uint8_t *)mf_alloc(st->mem, s.raw_length)))
        rc = mf_fail_memory(err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_content(&s, stored, &st->compressor, NULL, content, err);
    if (rc == MEMFILE_OK && mf_dictionary_id(content, s.raw_length) != id)
        rc = mf_fail(err, MEMFILE_E_DAMAGED, offset, "the dictionary at offset %llu is not %08x",
                     (unsigned long long)offset, id);
    if (rc == MEMFILE_OK && mf_dictionary_new(st->mem, content, s.raw_length, 0, &d) != MEMFILE_OK)
        rc = mf_fail_memory(err);
    if (rc == MEMFILE_OK && mf_store_add_dictionary(st, d) != MEMFILE_OK) {
        mf_dictionary_free(d);
        rc = mf_fail_memory(err);
    }
    mf_free(st->mem, content);
    mf_free(st->mem, raw);
    return rc;
}

int mf_store_dictionary(mf_store *st, uint32_t id, const mf_dictionary **out, memfile_error *err)
{
    *out = NULL;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < st->dictionary_count; i++)
            if (st->dictionaries[i]->id == id) {
                *out = st->dictionaries[i];
                return MEMFILE_OK;
            }
        const mf_footer *f = &st->state->footer;
        for (uint32_t i = 0; i < f->dictionary_count && pass == 0; i++) {
            if (f->dictionaries[i].id != id)
                continue;
            /* the second copy serves where the first is damaged */
            int rc = read_dictionary(st, f->dictionaries[i].offset[0], id, err);
            if (rc != MEMFILE_OK && rc != MEMFILE_E_MEMORY && rc != MEMFILE_E_SYSTEM)
                rc = read_dictionary(st, f->dictionaries[i].offset[1], id, err);
            if (rc != MEMFILE_OK)
                return rc;
            break;
        }
    }
    return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "no footer names the dictionary %08x", id);
}

/* ---- opening */

static int read_ending(mf_store *st, uint64_t size, memfile_error *err)
{
    uint64_t from = size > ENDING_LENGTH ? (size - ENDING_LENGTH) & ~(uint64_t)7 : 0;
    size_t got = 0;
    st->ending_length = 0;
    int rc = mf_io_read(st->io, from, st->ending, (size_t)(size - from), &got, err);
    st->ending_offset = from;
    st->ending_length = got;
    return rc;
}

/* Opens a checked segment of the tail, whose bytes are not ours to change: into *plain if it is sealed. */
static int open_tail(mf_store *st, mf_segment *s, const uint8_t *raw, mf_buffer *plain, const uint8_t **opened,
                     memfile_error *err)
{
    uint8_t *out = NULL;
    if (s->type == MF_TYPE_SEALED) {
        mf_buffer_clear(plain);
        out = mf_buffer_reserve(plain, (size_t)mf_segment_total(s));
        if (!out)
            return mf_fail_memory(err);
    }
    return mf_segment_open(&st->seal, s, raw, out, opened, err);
}

/* ---- the seal */

/* The KEYS segment at `offset`, if it is sound and of that epoch (0: of any). */
static int read_keys(mf_store *st, uint64_t offset, uint64_t limit, uint32_t epoch, mf_buffer *scratch, mf_keys *keys,
                     memfile_error *err)
{
    mf_segment s;
    mf_slice head, stored;
    const uint8_t *raw;
    if (offset > limit || limit - offset < MF_SEGMENT_HEADER_LENGTH)
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "no key slots can be at offset %llu", (unsigned long long)offset);
    int rc = mf_tail_bytes(st, offset, MF_SEGMENT_HEADER_LENGTH, scratch, &raw, err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_decode(&s, raw, offset, st->tag, err);
    if (rc == MEMFILE_OK && (s.type != MF_TYPE_KEYS || s.raw_length > 0 || mf_segment_total(&s) > limit - offset))
        rc = mf_fail(err, MEMFILE_E_DAMAGED, offset, "there are no key slots at offset %llu", (unsigned long long)offset);
    if (rc == MEMFILE_OK)
        rc = mf_tail_bytes(st, offset, (size_t)mf_segment_total(&s), scratch, &raw, err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_check(&s, raw, err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_split(&s, raw, &head, &stored, err);
    if (rc == MEMFILE_OK)
        rc = mf_keys_decode(keys, head, offset, err);
    if (rc == MEMFILE_OK && epoch && keys->epoch != epoch)
        rc = mf_fail(err, MEMFILE_E_DAMAGED, offset, "the key slots at offset %llu are of another epoch",
                     (unsigned long long)offset);
    return rc;
}

/* The first sound segment header at or behind *at; *at = limit if there is none. */
static int next_segment(mf_store *st, uint64_t *at, uint64_t limit, mf_buffer *scratch, mf_segment *s, memfile_error *err)
{
    const uint64_t most = 65536;
    memfile_error why;
    const uint8_t *raw;
    while ((*at = mf_align8(mf_io_next(st->io, *at))) < limit && limit - *at >= MF_SEGMENT_HEADER_LENGTH) {
        uint64_t n = limit - *at < most ? limit - *at : most;
        int rc = mf_tail_bytes(st, *at, (size_t)n, scratch, &raw, err);
        if (rc != MEMFILE_OK)
            return rc;
        for (uint64_t i = 0; i + MF_SEGMENT_HEADER_LENGTH <= n; i += 8, *at += 8)
            if (mf_segment_decode(s, raw + i, *at, st->tag, &why) == MEMFILE_OK && mf_segment_total(s) <= limit - *at)
                return MEMFILE_OK;
    }
    *at = limit;
    return MEMFILE_OK;
}

/* A sound KEYS segment of that epoch before `limit`, where the one that is named is damaged; epoch 0: one of
 * the highest. DONE if there is none. */
static int search_keys(mf_store *st, uint64_t limit, uint32_t epoch, mf_buffer *scratch, mf_keys *keys, uint64_t *offset,
                       uint32_t *newest, memfile_error *err)
{
    mf_segment s;
    bool found = false;
    *newest = 0; /* epoch of any segment */
    for (uint64_t at = MF_HEADER_LENGTH;; at += mf_segment_total(&s)) {
        memfile_error why;
        mf_keys here;
        int rc = next_segment(st, &at, limit, scratch, &s, err);
        if (rc != MEMFILE_OK)
            return rc;
        if (at >= limit)
            break;
        if (s.type == MF_TYPE_SEALED && s.codec_parameter > *newest)
            *newest = s.codec_parameter;
        if (s.type != MF_TYPE_KEYS)
            continue;
        rc = read_keys(st, at, limit, epoch, scratch, &here, &why);
        if (rc == MEMFILE_E_SYSTEM || rc == MEMFILE_E_MEMORY) {
            *err = why;
            return rc;
        }
        if (rc == MEMFILE_OK && (!found || here.epoch >= keys->epoch)) {
            *keys = here;
            *offset = at;
            found = true;
        }
        if (found && epoch)
            return MEMFILE_OK;
    }
    if (found) /* its bytes are looked at again */
        return read_keys(st, *offset, limit, epoch, scratch, keys, err);
    return MEMFILE_DONE;
}

/* known: the data key is; only what stands in the slots is noted. */
static int take_keys(mf_store *st, const mf_keys *keys, uint64_t offset, bool known, memfile_error *err)
{
    st->seal.keys_offset = known ? offset : st->seal.keys_offset;
    int rc = st->without_key || known ? MEMFILE_OK
                             : mf_keys_open(keys, st->secret, st->header_raw, offset, &st->seal, &st->slots, err);
    if (rc == MEMFILE_OK) {
        st->keys = *keys;
        st->keys.slots = st->keys.roster = st->keys.older = st->keys.committed = mf_slice_of(NULL, 0);
    }
    return rc;
}

static int need_key(const mf_store *st, memfile_error *err)
{
    return st->secret || st->without_key
               ? MEMFILE_OK
               : mf_fail(err, MEMFILE_E_KEY, MF_NOWHERE, "the memfile is sealed: a passphrase or an identity is needed");
}

int mf_store_unlock(mf_store *st, bool salvage, memfile_error *err)
{
    mf_buffer scratch;
    mf_keys keys;
    uint64_t offset;
    uint32_t newest;
    if (!st->seal.sealed || st->seal.epoch > 0)
        return MEMFILE_OK;
    int rc = need_key(st, err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_buffer_init(&scratch, st->mem);
    rc = search_keys(st, st->committed.file_size, 0, &scratch, &keys, &offset, &newest, err);
    if (rc == MEMFILE_OK && newest > keys.epoch && !salvage)
        rc = mf_fail(err, MEMFILE_E_DAMAGED, offset, "the newest key slots are damaged: those of an older key are left");
    bool found = rc == MEMFILE_OK;
    if (found)
        rc = take_keys(st, &keys, offset, false, err);
    if (found && rc == MEMFILE_E_KEY && newest > keys.epoch) /* nobody says that the key is wrong */
        rc = mf_fail(err, MEMFILE_E_DAMAGED, offset, "the newest key slots are damaged: those of an older key are left");
    else if (rc == MEMFILE_DONE)
        rc = mf_fail(err, MEMFILE_E_DAMAGED, MF_HEADER_LENGTH, "no key slots are left: nobody can open the file any more");
    mf_buffer_free(&scratch);
    return rc;
}

/* What opens the segments of the newest commit, and those before it: SPEC 20.5. */
static int unlock(mf_store *st, const mf_segment *commit, const uint8_t *raw, memfile_error *err)
{
    mf_buffer scratch;
    mf_keys keys;
    uint64_t offset, group_length;
    uint32_t epoch = commit->codec_parameter;
    int rc = mf_segment_clear_part(commit, raw, &offset, &group_length, err);
    bool known = st->seal.epoch == epoch && memcmp(st->seal.incarnation_id, st->header.incarnation_id, 16) == 0;
    if (rc == MEMFILE_OK && known && st->keys.epoch == epoch) {
        st->seal.keys_offset = offset;
        return MEMFILE_OK;
    }
    if (rc == MEMFILE_OK && !known)
        rc = need_key(st, err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_buffer_init(&scratch, st->mem);
    rc = read_keys(st, offset, commit->offset, epoch, &scratch, &keys, err);
    if (rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_TRUNCATED) {
        memfile_error first = *err;
        uint32_t newest;
        rc = search_keys(st, commit->offset, epoch, &scratch, &keys, &offset, &newest, err);
        if (rc == MEMFILE_DONE) {
            *err = first;
            rc = first.code;
        }
    }
    if (rc == MEMFILE_OK)
        rc = take_keys(st, &keys, offset, known, err);
    mf_buffer_free(&scratch);
    return rc;
}

/* One commit of the tail, walking forward from the last FULL one. */
static int take_commit(mf_store *st, mf_state *state, const mf_segment *s, const uint8_t *raw, bool first,
                       memfile_error *err)
{
    mf_commit k;
    mf_slice head, stored;
    int rc = mf_segment_split(s, raw, &head, &stored, err);
    if (rc == MEMFILE_OK)
        rc = mf_commit_decode(&k, head, first ? &state->footer : NULL, st->mem, s->offset, err);
    if (rc != MEMFILE_OK)
        return rc;
    bool logical = k.flags & MF_COMMIT_LOGICAL;
    if (first) {
        if (!(k.flags & MF_COMMIT_FULL))
            return mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "the commit at offset %llu should have a footer",
                           (unsigned long long)s->offset);
        state->footer_offset = s->offset;
        state->footer_number = k.number;
        state->footer_logical = logical;
        if (!(k.flags & MF_COMMIT_INLINE) &&
            state->footer.indexed_entries != k.first_entry + k.entry_count)
            rc = MEMFILE_E_DAMAGED;
        if ((k.flags & MF_COMMIT_INLINE) && state->footer.indexed_entries != k.first_entry)
            rc = MEMFILE_E_DAMAGED;
    } else if (k.first_entry < state->entries || k.number < state->number ||
               (state->lost_commits == 0 &&
                (k.first_entry != state->entries || k.number != state->number + logical))) {
        rc = MEMFILE_E_DAMAGED;
    }
    if (rc != MEMFILE_OK)
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "the commit at offset %llu does not follow from those before it",
                       (unsigned long long)s->offset);
    if (k.flags & MF_COMMIT_INLINE) {
        if (state->tail_count == MF_TAIL_MAX)
            return mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "too many commits without a footer");
        state->tail[state->tail_count++] = (mf_tail_commit){s->offset, k.number, k.first_entry, k.entry_count};
    }
    state->commit_offset = s->offset;
    state->commit_length = mf_segment_total(s);
    state->previous_commit = s->previous_commit;
    state->commit_is_logical = logical;
    state->number = k.number;
    state->entries = k.first_entry + k.entry_count;
    state->time_us = k.time_us;
    state->order = k.order;
    memcpy(state->history_digest, k.history_digest, 32);
    return MEMFILE_OK;
}

/* From the last FULL commit to the newest. Damaged ones in between are passed over. */
static int read_tail(mf_store *st, mf_state *state, uint64_t full, uint64_t newest, memfile_error *err)
{
    mf_buffer scratch, plain;
    const uint8_t *raw, *opened;
    mf_segment s;
    int rc = MEMFILE_OK;
    mf_buffer_init(&scratch, st->mem);
    mf_buffer_init(&plain, st->mem);
    for (uint64_t at = full; at <= newest && rc == MEMFILE_OK;) {
        memfile_error why;
        rc = mf_tail_bytes(st, at, MF_SEGMENT_HEADER_LENGTH, &scratch, &raw, err);
        if (rc != MEMFILE_OK)
            break;
        int sound = mf_segment_decode(&s, raw, at, st->tag, &why);
        if (sound == MEMFILE_E_NEWER) {
            *err = why;
            rc = sound;
            break;
        }
        if (sound == MEMFILE_OK && mf_segment_total(&s) <= state->end - at) {
            rc = mf_tail_bytes(st, at, (size_t)mf_segment_total(&s), &scratch, &raw, err);
            if (rc != MEMFILE_OK)
                break;
            if (s.flags & MF_FLAG_COMMIT) {
                sound = mf_segment_check(&s, raw, &why);
                if (sound == MEMFILE_OK) { /* what does not open is no accident */
                    rc = open_tail(st, &s, raw, &plain, &opened, err);
                    if (rc == MEMFILE_OK)
                        rc = take_commit(st, state, &s, opened, at == full, err);
                } else if (at == full || at == newest)
                    *err = why, rc = sound;
                else
                    state->lost_commits++;
            }
            at += mf_segment_total(&s);
            continue;
        }
        if (at == full && sound == MEMFILE_OK) {
            rc = mf_fail(err, MEMFILE_E_DAMAGED, at, "the commit at offset %llu is longer than what is committed",
                         (unsigned long long)at);
            break;
        }
        if (at == full) {
            *err = why;
            rc = MEMFILE_E_DAMAGED;
            break;
        }
        /* a void, or a damaged header: search */
        at += 8;
    }
    mf_buffer_free(&plain);
    mf_buffer_free(&scratch);
    if (rc == MEMFILE_OK && state->commit_offset != newest)
        rc = mf_fail(err, MEMFILE_E_DAMAGED, newest, "the commits before offset %llu are damaged",
                     (unsigned long long)newest);
    return rc;
}

static int load_state(mf_store *st, uint64_t size, mf_state *state, memfile_error *err)
{
    uint64_t newest;
    mf_segment s;
    mf_commit k;
    mf_slice head, stored;
    mf_buffer scratch, plain;
    const uint8_t *raw, *opened;
    memset(state, 0, sizeof *state);
    state->file_size = size;
    int rc = st->seal.sealed && st->seal.epoch == 0 ? need_key(st, err) : MEMFILE_OK;
    if (rc == MEMFILE_OK)
        rc = mf_tail_find(st, size, &newest, &state->unfinished_is_damage, err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_buffer_init(&scratch, st->mem);
    mf_buffer_init(&plain, st->mem);
    rc = mf_tail_bytes(st, newest, MF_SEGMENT_HEADER_LENGTH, &scratch, &raw, err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_decode(&s, raw, newest, st->tag, err);
    if (rc == MEMFILE_OK)
        rc = mf_tail_bytes(st, newest, (size_t)mf_segment_total(&s), &scratch, &raw, err);
    if (rc == MEMFILE_OK) {
        state->end = newest + mf_segment_total(&s);
        state->commit_offset = newest;
        state->commit_length = mf_segment_total(&s);
        state->previous_commit = s.previous_commit;
        rc = st->seal.sealed ? unlock(st, &s, raw, err) : MEMFILE_OK;
        state->keys_offset = st->seal.keys_offset;
    }
    if (rc == MEMFILE_OK && st->without_key) {
        mf_buffer_free(&plain);
        mf_buffer_free(&scratch);
        return MEMFILE_OK;
    }
    if (rc == MEMFILE_OK)
        rc = open_tail(st, &s, raw, &plain, &opened, err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_split(&s, opened, &head, &stored, err);
    if (rc == MEMFILE_OK)
        rc = mf_commit_decode(&k, head, NULL, st->mem, newest, err);
    if (rc == MEMFILE_OK) {
        uint64_t full = k.flags & MF_COMMIT_FULL ? newest : newest - k.footer_distance;
        if (full < MF_HEADER_LENGTH || newest - full > 2 * MF_STORED_LENGTH_MAX)
            rc = mf_fail(err, MEMFILE_E_DAMAGED, newest, "the newest commit leads to no footer");
        else
            rc = read_tail(st, state, full, newest, err);
    }
    mf_buffer_free(&plain);
    mf_buffer_free(&scratch);
    if (rc != MEMFILE_OK)
        mf_footer_free(&state->footer, st->mem);
    return rc;
}

static int read_header(mf_store *st, memfile_error *err)
{
    size_t got = 0;
    int rc;
    if (st->ending_offset == 0 && st->ending_length) {
        got = st->ending_length < MF_HEADER_LENGTH ? st->ending_length : MF_HEADER_LENGTH;
        memcpy(st->header_raw, st->ending, got);
    } else {
        rc = mf_io_read(st->io, 0, st->header_raw, MF_HEADER_LENGTH, &got, err);
        if (rc != MEMFILE_OK)
            return rc;
    }
    rc = mf_header_decode(&st->header, st->header_raw, got, err);
    if (rc == MEMFILE_OK && st->header.suite == MF_SUITE_PLAIN && (st->secret || st->seal.sealed))
        rc = mf_fail(err, MEMFILE_E_KEY, 14,
                     st->secret ? "a key was given, but the memfile is not sealed: nothing that it says is protected"
                                : "a memfile that is not sealed has been put in the place of one that is");
    st->seal.sealed = rc == MEMFILE_OK && st->header.suite == MF_SUITE_SEALED;
    st->tag = mf_header_tag(&st->header);
    return rc;
}

int mf_store_visit_tail(mf_store *st, mf_commit_visit *visit, void *context, memfile_error *err)
{
    mf_buffer scratch, plain;
    const uint8_t *raw, *opened;
    mf_segment s;
    mf_commit k;
    mf_slice head, stored;
    int rc = MEMFILE_OK;
    mf_buffer_init(&scratch, st->mem);
    mf_buffer_init(&plain, st->mem);
    for (uint64_t at = st->state->footer_offset; at < st->state->end && rc == MEMFILE_OK; at += mf_segment_total(&s)) {
        rc = mf_tail_bytes(st, at, MF_SEGMENT_HEADER_LENGTH, &scratch, &raw, err);
        if (rc == MEMFILE_OK)
            rc = mf_segment_decode(&s, raw, at, st->tag, err);
        if (rc == MEMFILE_OK && mf_segment_total(&s) > st->state->end - at)
            rc = mf_fail(err, MEMFILE_E_DAMAGED, at, "the commit at offset %llu is cut off", (unsigned long long)at);
        if (rc == MEMFILE_OK)
            rc = mf_tail_bytes(st, at, (size_t)mf_segment_total(&s), &scratch, &raw, err);
        if (rc == MEMFILE_OK)
            rc = mf_segment_check(&s, raw, err);
        if (rc == MEMFILE_OK)
            rc = open_tail(st, &s, raw, &plain, &opened, err);
        if (rc == MEMFILE_OK)
            rc = mf_segment_split(&s, opened, &head, &stored, err);
        if (rc == MEMFILE_OK)
            rc = mf_commit_decode(&k, head, NULL, st->mem, at, err);
        if (rc == MEMFILE_OK)
            rc = visit(context, &s, raw, &k);
    }
    mf_buffer_free(&plain);
    mf_buffer_free(&scratch);
    return rc;
}

typedef struct log_state {
    mf_tree *log;
    uint8_t *salt_root;
    uint8_t pending[32];
    bool first;
} log_state;

static int add_to_log(void *context, const mf_segment *s, const uint8_t *raw, const mf_commit *k)
{
    log_state *l = (log_state *)context;
    (void)s, (void)raw;
    if (!l->first && (k->flags & MF_COMMIT_LOGICAL))
        mf_tree_add(l->log, l->pending);
    memcpy(l->pending, k->history_digest, 32);
    if (k->flags & MF_COMMIT_SALT)
        memcpy(l->salt_root, k->salt_root, MF_SALT_LENGTH);
    l->first = false;
    return MEMFILE_OK;
}

int mf_store_log_before(mf_store *st, mf_tree *log, uint8_t salt_root[MF_SALT_LENGTH], memfile_error *err)
{
    log_state l = {log, salt_root, {0}, true};
    mf_tree_from_frontier(log, st->state->footer_number, &st->state->footer.frontier[0][0]);
    memcpy(salt_root, st->state->footer.salt_root, MF_SALT_LENGTH);
    return mf_store_visit_tail(st, add_to_log, &l, err);
}

static void forget_all(mf_store *st)
{
    shrink_cache(st, 0);
    while (st->newest) { /* still referenced: what they are must not be found again */
        mf_object *o = st->newest;
        unlink_recent(st, o);
        o->orphan = true;
    }
    if (st->bucket_count)
        memset(st->buckets, 0, st->bucket_count * sizeof *st->buckets);
    st->object_count = 0;
    st->cached_bytes = 0;
    for (size_t i = 0; i < st->dictionary_count; i++)
        mf_dictionary_free(st->dictionaries[i]);
    st->dictionary_count = 0;
    mf_items_clear(&st->tail_items);
    st->tail_items_ready = st->tail_fates_ready = false;
}

void mf_state_free(mf_state *state, const mf_mem *mem)
{
    mf_footer_free(&state->footer, mem);
    mf_ranges_free(&state->forgotten, mem);
    mf_ranges_free(&state->doubtful, mem);
    state->forgotten_ready = false;
    mf_free(mem, state->blocks);
    state->blocks = NULL;
    state->block_count = 0;
    if (state->contents)
        mf_items_free(state->contents);
    mf_free(mem, state->contents);
    state->contents = NULL;
}

void mf_store_forget_tail(mf_store *st)
{
    mf_items_clear(&st->tail_items);
    st->tail_items_ready = st->tail_fates_ready = false;
}

static int look(mf_store *st, bool with_header, uint64_t *size, memfile_error *err)
{
    int rc = st->io->functions->size(st->io, size, err);
    if (rc == MEMFILE_OK)
        rc = read_ending(st, *size, err);
    if (rc == MEMFILE_OK && with_header)
        rc = read_header(st, err);
    if (rc == MEMFILE_OK && st->ending_offset + st->ending_length < *size)
        *size = st->ending_offset + st->ending_length; /* it shrank while being read */
    return rc;
}

static int take_state(mf_store *st, uint64_t size, memfile_error *err)
{
    mf_state state;
    if (size < MF_HEADER_LENGTH + MF_SEGMENT_HEADER_LENGTH)
        return mf_fail(err, MEMFILE_E_TRUNCATED, size, "the file ends before its first commit");
    int rc = load_state(st, size, &state, err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_state_free(st->state, st->mem);
    *st->state = state;
    st->generation++;
    st->readable_end = state.end;
    return MEMFILE_OK;
}

int mf_store_begin(mf_store *st, mf_io *io, const mf_mem *mem, size_t cache_limit, const mf_access *access,
                   memfile_error *err)
{
    memset(st, 0, sizeof *st);
    st->secret = access ? access->secret : NULL;
    st->without_key = access && access->without_key;
    st->mem = mem;
    st->io = io;
    st->cache_limit = cache_limit;
    st->collision_limit = MF_COLLISIONS_MAX;
    st->state = &st->committed;
    mf_items_init(&st->tail_items, mem);
    mf_compressor_init(&st->compressor);
    const mf_seal *given = access && access->seal && access->seal->sealed ? access->seal : NULL;
    st->seal.sealed = given != NULL; /* and must be when it is looked at */
    st->ending = (uint8_t *)mf_alloc(mem, ENDING_LENGTH + 8);
    int rc = st->ending ? look(st, true, &st->committed.file_size, err) : mf_fail_memory(err);
    if (rc == MEMFILE_OK && given)
        rc = mf_seal_copy(&st->seal, given, err);
    st->without_key = st->without_key && st->seal.sealed;
    if (rc != MEMFILE_OK)
        mf_store_close(st);
    return rc;
}

int mf_store_load(mf_store *st, memfile_error *err)
{
    return take_state(st, st->committed.file_size, err);
}

int mf_store_open(mf_store *st, mf_io *io, const mf_mem *mem, size_t cache_limit, const mf_access *access,
                  memfile_error *err)
{
    int rc = mf_store_begin(st, io, mem, cache_limit, access, err);
    if (rc != MEMFILE_OK)
        return rc;
    rc = mf_store_load(st, err);
    if (rc != MEMFILE_OK)
        mf_store_close(st);
    return rc;
}

void mf_store_close(mf_store *st)
{
    forget_all(st);
    mf_items_free(&st->tail_items);
    mf_state_free(&st->committed, st->mem);
    mf_free(st->mem, st->dictionaries);
    mf_free(st->mem, st->buckets);
    mf_free(st->mem, st->ending);
    mf_compressor_free(&st->compressor);
    mf_seal_clear(&st->seal);
    if (st->io)
        st->io->functions->close(st->io);
    memset(st, 0, sizeof *st);
}

int mf_store_refresh(mf_store *st, uint64_t size, memfile_error *err)
{
    uint64_t before = st->state->commit_offset;
    if (size == st->state->file_size)
        return MEMFILE_DONE;
    int rc = look(st, false, &size, err);
    if (rc == MEMFILE_OK)
        rc = take_state(st, size, err);
    if (rc != MEMFILE_OK)
        return rc;
    if (st->state->commit_offset == before)
        return MEMFILE_DONE;
    mf_items_clear(&st->tail_items);
    st->tail_items_ready = st->tail_fates_ready = false;
    return MEMFILE_OK;
}

int mf_store_reload(mf_store *st, memfile_error *err)
{
    const mf_header header = st->header;
    const uint32_t tag = st->tag;
    uint8_t raw[MF_HEADER_LENGTH];
    uint64_t size;
    mf_seal seal = st->seal;
    const mf_keys keys = st->keys;
    const mf_slots slots = st->slots;
    memcpy(raw, st->header_raw, sizeof raw);
    forget_all(st);
    st->seal.keys = NULL; /* that file's keys are its own */
    st->seal.epoch = 0;
    int rc = look(st, true, &size, err);
    if (rc == MEMFILE_OK && memcmp(header.memory_id, st->header.memory_id, sizeof header.memory_id) != 0)
        rc = mf_fail(err, MEMFILE_E_CONFLICT, MF_NOWHERE,
                     "another memory has been put in the place of the file that was opened");
    if (rc == MEMFILE_OK)
        rc = take_state(st, size, err);
    st->io->functions->settle(st->io, rc == MEMFILE_OK);
    if (rc == MEMFILE_OK)
        mf_seal_retire(&st->seal, &seal);
    if (rc != MEMFILE_OK) {
        mf_seal_clear(&st->seal);
        st->seal = seal;
        st->keys = keys;
        st->slots = slots;
        st->header = header;
        st->tag = tag;
        memcpy(st->header_raw, raw, sizeof raw);
        st->ending_length = 0;
        forget_all(st); /* what was looked at in the other file */
    }
    return rc;
}
