/* tail: which commit is the newest. SPEC 14.
 *
 * Invariants. (1) A commit is taken only if it counts, SPEC 9.4: its segment is
 * sound and it is SYNCED or every segment of its group is sound. (2) No header
 * is believed that another sound header encloses, since a memory may hold
 * bytes that look like segments. (3) Work is bounded by MF_LOOKBACK. */
#include "checksum.h"
#include "store.h"

int mf_tail_bytes(mf_store *st, uint64_t offset, size_t length, mf_buffer *scratch, const uint8_t **out,
                  memfile_error *err)
{
    *out = NULL;
    if (offset >= st->ending_offset && offset - st->ending_offset <= st->ending_length &&
        length <= st->ending_length - (size_t)(offset - st->ending_offset)) {
        *out = st->ending + (offset - st->ending_offset);
        return MEMFILE_OK;
    }
    mf_buffer_clear(scratch);
    uint8_t *p = mf_buffer_reserve(scratch, length);
    if (!p)
        return mf_fail_memory(err);
    int rc = mf_io_read_all(st->io, offset, p, length, err);
    if (rc == MEMFILE_OK)
        *out = p;
    return rc;
}

/* A whole, checked segment that ends at or before `size`. */
static int sound_segment(mf_store *st, uint64_t offset, uint64_t size, mf_segment *segment, mf_buffer *scratch,
                         const uint8_t **raw, memfile_error *err)
{
    if (offset > size || size - offset < MF_SEGMENT_HEADER_LENGTH)
        return mf_fail(err, MEMFILE_E_DAMAGED, offset, "no segment can be at offset %llu", (unsigned long long)offset);
    int rc = mf_tail_bytes(st, offset, MF_SEGMENT_HEADER_LENGTH, scratch, raw, err);
    if (rc == MEMFILE_OK)
        rc = mf_segment_decode(segment, *raw, offset, st->tag, err);
    if (rc != MEMFILE_OK)
        return rc;
    uint64_t total = mf_segment_total(segment);
    if (total > size - offset)
        return mf_fail(err, MEMFILE_E_TRUNCATED, size, "the segment at offset %llu is cut off",
                       (unsigned long long)offset);
    rc = mf_tail_bytes(st, offset, (size_t)total, scratch, raw, err);
    return rc == MEMFILE_OK ? mf_segment_check(segment, *raw, err) : rc;
}

/* The segments of a group before its commit, and that they are those that it was written with. */
static int group_is_sound(mf_store *st, const mf_segment *commit, uint64_t group_length, memfile_error *err)
{
    mf_buffer scratch;
    mf_segment s;
    const uint8_t *raw;
    uint64_t tag = 0, parent = 0, start = commit->offset - group_length;
    int rc = MEMFILE_OK;
    mf_buffer_init(&scratch, st->mem);
    for (uint64_t at = start; at < commit->offset && rc == MEMFILE_OK; at += mf_segment_total(&s)) {
        rc = sound_segment(st, at, commit->offset, &s, &scratch, &raw, err);
        if (rc != MEMFILE_OK)
            break;
        parent = at == start ? s.parent_tag : parent;
        tag = mf_group_tag(tag, raw);
        if (s.previous_commit != commit->previous_commit || s.parent_tag != parent || (s.flags & MF_FLAG_COMMIT))
            rc = mf_fail(err, MEMFILE_E_DAMAGED, at, "the segment at offset %llu is of another group",
                         (unsigned long long)at);
    }
    mf_buffer_free(&scratch);
    if (rc == MEMFILE_OK && commit->parent_tag != (parent ^ tag))
        rc = mf_fail(err, MEMFILE_E_DAMAGED, commit->offset,
                     "the commit at offset %llu was written behind other segments than stand before it",
                     (unsigned long long)commit->offset);
    return rc;
}

int mf_tail_group_length(mf_store *st, const mf_segment *s, const uint8_t *raw, uint64_t *length, memfile_error *err)
{
    mf_commit commit;
    mf_slice head, stored;
    uint64_t keys;
    *length = 0;
    if (st->seal.sealed && s->type == MF_TYPE_SEALED && (s->flags & MF_FLAG_COMMIT))
        return mf_segment_clear_part(s, raw, &keys, length, err);
    if (st->seal.sealed || !(s->flags & MF_FLAG_COMMIT) || s->type != MF_TYPE_COMMIT)
        return mf_fail(err, MEMFILE_E_DAMAGED, s->offset, "the segment at offset %llu is not a commit",
                       (unsigned long long)s->offset);
    int rc = mf_segment_split(s, raw, &head, &stored, err);
    if (rc == MEMFILE_OK)
        rc = mf_commit_decode(&commit, head, NULL, st->mem, s->offset, err);
    if (rc == MEMFILE_OK)
        *length = commit.group_length;
    return rc;
}

int mf_tail_counts(mf_store *st, uint64_t offset, uint64_t size, uint64_t *end, memfile_error *err)
{
    mf_buffer scratch;
    mf_segment s;
    const uint8_t *raw = NULL;
    uint64_t group_length = 0;
    mf_buffer_init(&scratch, st->mem);
    int rc = sound_segment(st, offset, size, &s, &scratch, &raw, err);
    if (rc == MEMFILE_OK)
        rc = mf_tail_group_length(st, &s, raw, &group_length, err);
    if (rc == MEMFILE_OK && !(s.flags & MF_FLAG_SYNCED) && group_length > MF_SMALL_GROUP_MAX)
        rc = mf_fail(err, MEMFILE_E_DAMAGED, offset, "the commit at offset %llu is too long not to be SYNCED",
                     (unsigned long long)offset); /* nor is all of it read again and again */
    if (rc == MEMFILE_OK && !(s.flags & MF_FLAG_SYNCED) && group_length > 0)
        rc = group_is_sound(st, &s, group_length, err);
    if (rc == MEMFILE_OK)
        *end = offset + mf_segment_total(&s);
    mf_buffer_free(&scratch);
    return rc;
}

/* Does the error speak of the file, so that looking goes on, rather than of us? */
static bool is_class_of_file(int rc)
{
    return rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_TRUNCATED;
}

/* ---- looking back */

#define ENCLOSING_MAX (MF_SEGMENT_HEADER_LENGTH + (uint64_t)MF_STORED_LENGTH_MAX + MF_TRAILER_LENGTH)

typedef struct scan {
    bool found;
    uint64_t last;            /* last believable header */
    uint64_t latest_previous; /* largest Previous_Commit of all believable headers */
    uint64_t void_offset;     /* last VOID among them, and its Previous_Commit */
    uint64_t void_previous;
    uint64_t counted;         /* last commit that counts, unless a VOID names it; 0: none yet */
    uint64_t commit, commit_end; /* the last whole commit segment; 0: none yet */
} scan;

/* Groups hold no commits, so looking at all of them reads the window once. */
static int counts_in_scan(mf_store *st, const scan *sc, const mf_segment *s, const uint8_t *raw, uint64_t size,
                          bool *counts, memfile_error *err)
{
    memfile_error why;
    uint64_t end, length;
    *counts = false;
    int rc = mf_tail_group_length(st, s, raw, &length, &why);
    if (rc == MEMFILE_OK && length > s->offset - sc->commit_end)
        return MEMFILE_OK;
    if (rc == MEMFILE_OK)
        rc = mf_tail_counts(st, s->offset, size, &end, &why);
    *counts = rc == MEMFILE_OK;
    if (rc == MEMFILE_E_SYSTEM || rc == MEMFILE_E_MEMORY) {
        *err = why;
        return rc;
    }
    return MEMFILE_OK;
}

/* Is this a VOID of bytes that are there, with the last commit that counts among them? */
static int voids_counted(mf_store *st, const scan *sc, const mf_segment *s, const uint8_t *raw, uint64_t *budget,
                         bool *yes, memfile_error *err)
{
    mf_slice head, stored;
    mf_buffer scratch;
    const uint8_t *bytes;
    memfile_error why;
    *yes = false;
    if (s->type != MF_TYPE_VOID || mf_segment_split(s, raw, &head, &stored, &why) != MEMFILE_OK || head.length != 16)
        return MEMFILE_OK;
    uint64_t length = mf_load64(head.data);
    if (length > s->offset - MF_HEADER_LENGTH || s->offset - length > sc->counted)
        return MEMFILE_OK;
    *yes = length > *budget; /* too much to look at: believed */
    if (*yes)
        return MEMFILE_OK;
    *budget -= length;
    mf_buffer_init(&scratch, st->mem);
    int rc = mf_tail_bytes(st, s->offset - length, (size_t)length, &scratch, &bytes, err);
    *yes = rc == MEMFILE_OK && mf_checksum(bytes, (size_t)length) == mf_load64(head.data + 8);
    mf_buffer_free(&scratch);
    return rc;
}

static void note_header(scan *sc, uint64_t at, uint8_t type, uint64_t previous)
{
    sc->found = true;
    sc->last = at;
    if (previous > sc->latest_previous)
        sc->latest_previous = previous;
    if (type == MF_TYPE_VOID) {
        sc->void_offset = at;
        sc->void_previous = previous;
    }
    if (previous < sc->counted)
        sc->counted = previous; /* it names that commit as debris */
}

/* Sound headers in [from, size) that no whole sound segment in there encloses.
 * What is torn encloses nothing: a void that names it, and commits, may stand
 * within its lengths. What names a commit before one that counts is stale: the disk
 * shows what an append wrote there that was lost in an earlier crash.
 * Checking bodies costs at most four times the window. */
static int scan_window(mf_store *st, uint64_t from, uint64_t size, scan *out, memfile_error *err)
{
    mf_buffer scratch;
    const uint8_t *bytes;
    uint64_t budget = 4 * (size - from);
    mf_buffer_init(&scratch, st->mem);
    memset(out, 0, sizeof *out);
    int rc = mf_tail_bytes(st, from, (size_t)(size - from), &scratch, &bytes, err);
    for (uint64_t at = from; rc == MEMFILE_OK && at < size && size - at >= MF_SEGMENT_HEADER_LENGTH;) {
        const uint8_t *raw = bytes + (at - from);
        mf_segment s;
        memfile_error why;
        if (!mf_segment_is_sound_header(raw, at, st->tag)) {
            at += 8;
            continue;
        }
        uint64_t previous = mf_load64(raw + 24), total = 0;
        if (mf_segment_decode(&s, raw, at, st->tag, &why) == MEMFILE_OK)
            total = mf_segment_total(&s);
        bool whole = total > 0 && total <= size - at && total <= budget && mf_segment_check(&s, raw, &why) == MEMFILE_OK;
        budget -= total < budget ? total : budget;
        bool stale = previous < out->counted, voids = false, counts = false;
        if (stale && whole)
            rc = voids_counted(st, out, &s, raw, &budget, &voids, err);
        stale = stale && !voids;
        if (!stale)
            note_header(out, at, raw[4], previous);
        if (rc == MEMFILE_OK && !stale && whole && (s.flags & MF_FLAG_COMMIT)) {
            rc = counts_in_scan(st, out, &s, raw, size, &counts, err);
            if (counts)
                out->counted = at;
            out->commit = at;
            out->commit_end = at + total;
        }
        at += whole ? total : 8;
    }
    mf_buffer_free(&scratch);
    return rc;
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
    size_t i = 0;
    while (i < length && bytes[i] == 0)
        i++;
    return i == length;
}

/* Is any 512-byte sector, cut to [from, to), all zero? Piece by piece: a group may say that it is as long as it likes. */
static int has_zero_sector(mf_store *st, uint64_t from, uint64_t to, bool *out, memfile_error *err)
{
    enum { SECTOR = 512, PIECE = 128 * SECTOR };
    mf_buffer scratch;
    const uint8_t *bytes;
    int rc = MEMFILE_OK;
    *out = false;
    mf_buffer_init(&scratch, st->mem);
    while (from < to && rc == MEMFILE_OK && !*out) {
        uint64_t end = (from / SECTOR + PIECE / SECTOR) * SECTOR;
        if (end > to)
            end = to;
        rc = mf_tail_bytes(st, from, (size_t)(end - from), &scratch, &bytes, err);
        for (uint64_t at = from, next; rc == MEMFILE_OK && at < end && !*out; at = next) {
            next = (at / SECTOR + 1) * SECTOR < end ? (at / SECTOR + 1) * SECTOR : end;
            *out = is_zero(bytes + (at - from), (size_t)(next - at));
        }
        from = end;
    }
    mf_buffer_free(&scratch);
    return rc;
}

/* Where the group of a sound commit begins, but not before `start`. */
static uint64_t group_start(mf_store *st, const mf_segment *s, const uint8_t *raw, uint64_t start)
{
    memfile_error why;
    uint64_t length;
    if (mf_tail_group_length(st, s, raw, &length, &why) == MEMFILE_OK && length <= s->offset - start)
        return s->offset - length;
    return start;
}

/* 14.3, second: a commit that is sound: then it is its group that is not. */
static int judge_commit(mf_store *st, uint64_t start, uint64_t size, const scan *sc, bool *damage, memfile_error *err)
{
    mf_buffer scratch;
    mf_segment s;
    const uint8_t *raw;
    bool zero = true;
    if (sc->commit < start)
        return MEMFILE_OK;
    mf_buffer_init(&scratch, st->mem);
    int rc = sound_segment(st, sc->commit, size, &s, &scratch, &raw, err); /* which the scan has seen */
    if (rc == MEMFILE_OK)
        rc = has_zero_sector(st, group_start(st, &s, raw, start), sc->commit_end, &zero, err);
    mf_buffer_free(&scratch);
    *damage = rc == MEMFILE_OK && !zero;
    return rc;
}

/* 14.3, third: a trailer at the end says that all before it was written. */
static int judge_trailer(mf_store *st, uint64_t start, uint64_t size, bool *damage, memfile_error *err)
{
    mf_buffer scratch;
    mf_segment s;
    memfile_error why;
    const uint8_t *raw;
    bool zero = true;
    if (size % 8 != 0 || size - start < MF_SEGMENT_HEADER_LENGTH + MF_TRAILER_LENGTH)
        return MEMFILE_OK;
    mf_buffer_init(&scratch, st->mem);
    int rc = mf_tail_bytes(st, size - MF_TRAILER_LENGTH, MF_TRAILER_LENGTH, &scratch, &raw, err);
    uint64_t length = rc == MEMFILE_OK ? mf_trailer_length(raw) : 0;
    if (length % 8 == 0 && length >= MF_SEGMENT_HEADER_LENGTH + MF_TRAILER_LENGTH && length <= size - start) {
        int sound = sound_segment(st, size - length, size, &s, &scratch, &raw, &why);
        if (sound == MEMFILE_E_SYSTEM || sound == MEMFILE_E_MEMORY)
            *err = why, rc = sound;
        else if (sound != MEMFILE_OK)
            rc = has_zero_sector(st, size - length, size, &zero, err);
    }
    mf_buffer_free(&scratch);
    *damage = rc == MEMFILE_OK && !zero;
    return rc;
}

/* Was the trailer cut off by a tear? Then the rest of it is zero, or the next writer's
 * VOID begins in its place. */
static bool trailer_is_cut(const uint8_t *trailer, uint64_t total)
{
    uint8_t right[MF_TRAILER_LENGTH];
    size_t i = 0;
    mf_trailer_encode(right, total);
    while (i < sizeof right && trailer[i] == right[i])
        i++;
    while (i < sizeof right && trailer[i] == 0)
        i++;
    return i == sizeof right || mf_segment_has_magic(trailer);
}

/* The trailer of a commit whose header, at `at`, is not sound: how many bytes it says that is; 0: none is there. */
static int length_by_trailer(mf_store *st, uint64_t at, uint64_t size, mf_buffer *scratch, uint64_t *length,
                             memfile_error *err)
{
    const uint8_t *raw;
    uint64_t most = size - at < ENCLOSING_MAX ? (size - at) & ~(uint64_t)7 : ENCLOSING_MAX;
    *length = 0;
    int rc = mf_tail_bytes(st, at, (size_t)most, scratch, &raw, err);
    for (uint64_t n = MF_SEGMENT_HEADER_LENGTH + MF_TRAILER_LENGTH; rc == MEMFILE_OK && n <= most && !*length; n += 8)
        if (mf_trailer_length(raw + n - MF_TRAILER_LENGTH) == n)
            *length = n;
    return rc;
}

/* 14.3, fourth: a commit of which header, body or trailer is not what it was, and another is. */
static int judge_segments(mf_store *st, uint64_t start, uint64_t size, bool *damage, memfile_error *err)
{
    mf_buffer scratch;
    const uint8_t *raw;
    int rc = MEMFILE_OK;
    mf_buffer_init(&scratch, st->mem);
    for (uint64_t at = start; rc == MEMFILE_OK && size - at >= MF_SEGMENT_HEADER_LENGTH;) {
        mf_segment s;
        memfile_error why;
        uint64_t total = 0;
        bool zero = true;
        rc = mf_tail_bytes(st, at, MF_SEGMENT_HEADER_LENGTH, &scratch, &raw, err);
        if (rc == MEMFILE_OK && !mf_segment_is_sound_header(raw, at, st->tag)) {
            rc = length_by_trailer(st, at, size, &scratch, &total, err);
        } else if (rc == MEMFILE_OK && mf_segment_decode(&s, raw, at, st->tag, &why) == MEMFILE_OK &&
                   mf_segment_total(&s) <= size - at) {
            uint64_t whole = mf_segment_total(&s);
            rc = mf_tail_bytes(st, at, (size_t)whole, &scratch, &raw, err);
            if (rc == MEMFILE_OK && mf_segment_check(&s, raw, &why) == MEMFILE_OK) {
                at += whole;
                continue;
            }
            const uint8_t *trailer = raw + whole - MF_TRAILER_LENGTH;
            if (rc == MEMFILE_OK && (s.flags & MF_FLAG_COMMIT) &&
                (mf_trailer_length(trailer) == whole || (mf_segment_body_agrees(&s, raw) && !trailer_is_cut(trailer, whole))))
                total = whole;
        }
        if (rc == MEMFILE_OK && total > 0)
            rc = has_zero_sector(st, at, at + total, &zero, err);
        *damage = rc == MEMFILE_OK && !zero;
        break;
    }
    mf_buffer_free(&scratch);
    return rc;
}

/* 14.3, fifth: a header that would be sound elsewhere, of what was written behind the newest commit: bytes were
 * inserted or cut out before it. At any byte, but not within a segment that is sound. */
static int judge_displaced(mf_store *st, uint64_t start, uint64_t newest, uint64_t size, bool *damage, memfile_error *err)
{
    mf_buffer scratch;
    const uint8_t *bytes;
    uint64_t from = size - start > MF_LOOKBACK ? size - MF_LOOKBACK : start, budget = 4 * (size - from);
    mf_buffer_init(&scratch, st->mem);
    int rc = mf_tail_bytes(st, from, (size_t)(size - from), &scratch, &bytes, err);
    for (uint64_t at = from; rc == MEMFILE_OK && !*damage && size - at >= MF_SEGMENT_HEADER_LENGTH;) {
        const uint8_t *raw = bytes + (at - from);
        const uint8_t *found = (const uint8_t *)memchr(raw, MF_SEGMENT_MAGIC_FIRST,
                                                       (size_t)(size - at) - MF_SEGMENT_HEADER_LENGTH + 1);
        mf_segment s;
        memfile_error why;
        if (!found)
            break;
        at += (uint64_t)(found - raw);
        uint64_t offset = mf_load64(found + 16), total = 0;
        if (mf_segment_is_sound_header(found, offset, st->tag)) {
            *damage = offset != at && mf_load64(found + 24) >= newest;
            if (offset == at && mf_segment_decode(&s, found, at, st->tag, &why) == MEMFILE_OK)
                total = mf_segment_total(&s);
        }
        bool whole = total > 0 && total <= size - at && total <= budget && mf_segment_check(&s, found, &why) == MEMFILE_OK;
        budget -= total < budget ? total : budget;
        at += whole ? total : 1;
    }
    mf_buffer_free(&scratch);
    return rc;
}

/* SPEC 14.3 for the bytes from `end` to `size`, `newest` being the newest commit. */
static int judge(mf_store *st, uint64_t end, uint64_t newest, const scan *sc, uint64_t size, bool *damage,
                 memfile_error *err)
{
    *damage = sc->last >= end && sc->latest_previous > newest;
    if (*damage || size == end)
        return MEMFILE_OK;
    /* What a VOID names was judged when that was written. */
    uint64_t start = sc->void_offset >= end && sc->void_previous == newest ? sc->void_offset : end;
    int rc = judge_commit(st, start, size, sc, damage, err);
    if (rc == MEMFILE_OK && !*damage)
        rc = judge_trailer(st, start, size, damage, err);
    if (rc == MEMFILE_OK && !*damage)
        rc = judge_segments(st, start, size, damage, err);
    if (rc == MEMFILE_OK && !*damage)
        rc = judge_displaced(st, start, newest, size, damage, err);
    return rc;
}

int mf_tail_find(mf_store *st, uint64_t size, uint64_t *commit_offset, bool *damage, memfile_error *err)
{
    uint64_t end = 0;
    *damage = false;
    if (size % 8 == 0 && size >= MF_HEADER_LENGTH + MF_SEGMENT_HEADER_LENGTH + MF_TRAILER_LENGTH) {
        mf_buffer scratch;
        const uint8_t *raw;
        mf_buffer_init(&scratch, st->mem);
        int rc = mf_tail_bytes(st, size - 8, 8, &scratch, &raw, err);
        uint64_t length = rc == MEMFILE_OK ? mf_trailer_length(raw) : 0;
        mf_buffer_free(&scratch);
        if (rc != MEMFILE_OK)
            return rc;
        if (length >= MF_SEGMENT_HEADER_LENGTH + MF_TRAILER_LENGTH && length <= size - MF_HEADER_LENGTH) {
            rc = mf_tail_counts(st, size - length, size, &end, err);
            if (rc == MEMFILE_OK && end == size) {
                *commit_offset = size - length;
                return MEMFILE_OK;
            }
            if (rc != MEMFILE_OK && !is_class_of_file(rc))
                return rc;
        }
    }
    /* 14.2: widen the window until the last header in it cannot be enclosed by
     * one before it. */
    scan sc = {0};
    uint64_t from = size;
    for (uint64_t width = 3u << 20;; width = MF_LOOKBACK) {
        from = size - MF_HEADER_LENGTH > width ? (size - width) & ~(uint64_t)7 : MF_HEADER_LENGTH;
        int rc = scan_window(st, from, size, &sc, err);
        if (rc != MEMFILE_OK)
            return rc;
        if (from == MF_HEADER_LENGTH || width == MF_LOOKBACK || (sc.found && sc.last - from >= ENCLOSING_MAX))
            break;
    }
    if (!sc.found)
        return mf_fail(err, MEMFILE_E_DAMAGED, from,
                       "no commit was found in the last %llu bytes; the file can only be recovered",
                       (unsigned long long)(size - from));
    uint64_t candidate = sc.last;
    memfile_error why;
    for (int tries = 0; tries <= 64; tries++) { /* the last segment itself, and 64 before it */
        int rc = mf_tail_counts(st, candidate, size, &end, &why);
        if (rc == MEMFILE_OK) {
            *commit_offset = candidate;
            return judge(st, end, candidate, &sc, size, damage, err);
        }
        if (!is_class_of_file(rc)) {
            *err = why;
            return rc;
        }
        mf_buffer scratch;
        const uint8_t *raw = NULL;
        mf_buffer_init(&scratch, st->mem);
        uint64_t previous = 0;
        if (candidate <= size - MF_SEGMENT_HEADER_LENGTH &&
            mf_tail_bytes(st, candidate, MF_SEGMENT_HEADER_LENGTH, &scratch, &raw, &why) == MEMFILE_OK &&
            mf_segment_is_sound_header(raw, candidate, st->tag))
            previous = mf_load64(raw + 24);
        mf_buffer_free(&scratch);
        if (previous == 0 || previous >= candidate)
            break;
        candidate = previous;
    }
    return mf_fail(err, MEMFILE_E_DAMAGED, sc.last, "no commit near the end is sound; the file can only be recovered");
}
