/* image: the search for segments, and reading them at their places. SPEC 17.1, 17.2. */
#include "image.h"

#include <stdlib.h>

#define SEARCH_BYTES ((size_t)1 << 20)
#define TAGS_MAX 64u

/* ---- ranges */

typedef struct range_list {
    const mf_mem *mem;
    mf_extent *v;
    size_t count, capacity;
} range_list;

static int add_range(range_list *list, mf_extent e)
{
    mf_extent *last = list->count ? &list->v[list->count - 1] : NULL;
    if (last && last->at + last->length == e.at && last->from + last->length == e.from) {
        last->length += e.length;
        return 0;
    }
    void *grown = list->v;
    if (mf_grow(list->mem, &grown, &list->capacity, list->count + 1, sizeof *list->v) != 0)
        return -1;
    list->v = (mf_extent *)grown;
    list->v[list->count++] = e;
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const mf_extent *x = (const mf_extent *)a, *y = (const mf_extent *)b;
    return x->at != y->at ? (x->at < y->at ? -1 : 1) : (x->from > y->from) - (x->from < y->from);
}

/* Adds what of `e` no range of `whole` (sorted, apart from each other) covers. */
static int add_uncovered(range_list *out, const range_list *whole, mf_extent e)
{
    size_t low = 0;
    for (size_t high = whole->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (whole->v[middle].at + whole->v[middle].length <= e.at)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < whole->count && e.length > 0 && whole->v[low].at < e.at + e.length; low++) {
        const mf_extent *w = &whole->v[low];
        uint64_t end = w->at + w->length;
        if (w->at > e.at && add_range(out, (mf_extent){e.at, e.from, w->at - e.at}) != 0)
            return -1;
        uint64_t passed = end - e.at < e.length ? end - e.at : e.length;
        e = (mf_extent){e.at + passed, e.from + passed, e.length - passed};
    }
    return e.length > 0 ? add_range(out, e) : 0;
}

/* ---- search */

typedef struct search {
    mf_io *io;
    memfile_error *err;
    uint8_t *window; /* bytes from window_start on */
    uint64_t window_start;
    size_t window_length, window_size;
    uint64_t size;
} search;

/* `length` bytes at offset, or fewer at the end of the file. */
static int look(search *s, uint64_t offset, size_t length, const uint8_t **out, size_t *got)
{
    if (offset < s->window_start || offset + length > s->window_start + s->window_length) {
        size_t n = 0;
        int rc = mf_io_read(s->io, offset, s->window, s->window_size, &n, s->err);
        s->window_start = offset;
        s->window_length = rc == MEMFILE_OK ? n : 0;
        if (rc != MEMFILE_OK)
            return rc;
    }
    size_t there = s->window_length - (size_t)(offset - s->window_start);
    *out = s->window + (offset - s->window_start);
    *got = there < length ? there : length;
    return MEMFILE_OK;
}

/* The first segment header at or behind *at whose checksum agrees, wherever it says it
 * belongs; tag NULL: of any file. *found false: there is none up to the end. */
static int find_header(search *s, uint64_t *at, const uint32_t *tag, bool *found, const uint8_t **header)
{
    *found = false;
    while (*at + MF_SEGMENT_HEADER_LENGTH <= s->size) {
        const uint8_t *p;
        size_t got;
        int rc = look(s, *at, SEARCH_BYTES, &p, &got);
        if (rc != MEMFILE_OK || got < MF_SEGMENT_HEADER_LENGTH)
            return rc;
        size_t last = got - MF_SEGMENT_HEADER_LENGTH;
        for (size_t i = 0; i <= last; i++) {
            const uint8_t *m = (const uint8_t *)memchr(p + i, MF_SEGMENT_MAGIC_FIRST, last - i + 1);
            if (!m) {
                i = last;
                continue;
            }
            i = (size_t)(m - p);
            if (mf_segment_is_sound_header(m, mf_load64(m + 16), tag ? *tag : mf_load32(m + 40))) {
                *at += i;
                *header = m;
                *found = true;
                return MEMFILE_OK;
            }
        }
        *at += last + 1;
    }
    return MEMFILE_OK;
}

/* The tag of most segments, for a file without a header. */
static int find_tag(search *s, uint32_t *tag, bool *any)
{
    struct {
        uint32_t tag;
        uint64_t count;
    } seen[TAGS_MAX];
    size_t count = 0, best = 0;
    bool found = true;
    int rc = MEMFILE_OK;
    for (uint64_t at = 0; rc == MEMFILE_OK && found; at += MF_SEGMENT_HEADER_LENGTH) {
        const uint8_t *p;
        rc = find_header(s, &at, NULL, &found, &p);
        if (rc != MEMFILE_OK || !found)
            break;
        uint32_t t = mf_load32(p + 40);
        size_t i = 0;
        while (i < count && seen[i].tag != t)
            i++;
        if (i == count && count < TAGS_MAX) {
            seen[count].tag = t;
            seen[count++].count = 0;
        }
        if (i < TAGS_MAX && ++seen[i].count > seen[best].count)
            best = i;
    }
    *any = count > 0;
    *tag = count ? seen[best].tag : 0;
    return rc;
}

/* The header may stand elsewhere too, if bytes were inserted before it: one of the file that the segments are of. */
static int find_file_header(search *s, mf_image *image)
{
    for (uint64_t at = 0; at + MF_HEADER_LENGTH <= s->size && !image->header_kept;) {
        const uint8_t *p, *m;
        size_t got;
        int rc = look(s, at, SEARCH_BYTES, &p, &got);
        if (rc != MEMFILE_OK || got < MF_HEADER_LENGTH)
            return rc;
        size_t last = got - MF_HEADER_LENGTH;
        for (size_t i = 0; i <= last && (m = (const uint8_t *)memchr(p + i, MF_MAGIC_FIRST, last - i + 1)) != NULL;
             i = (size_t)(m - p) + 1) {
            mf_header header;
            memfile_error why;
            if (mf_header_decode(&header, m, MF_HEADER_LENGTH, &why) != MEMFILE_OK || mf_header_tag(&header) != image->tag)
                continue;
            image->header = header;
            memcpy(image->header_raw, m, MF_HEADER_LENGTH);
            image->header_kept = true;
            break;
        }
        at += last + 1;
    }
    return MEMFILE_OK;
}

/* The header of a sealed file is also in its key slots. */
static void keep_header(mf_image *image, const mf_segment *s, const uint8_t *raw)
{
    mf_keys keys;
    mf_header header;
    mf_slice head, stored;
    memfile_error why;
    if (image->header_sound || image->header_kept || s->type != MF_TYPE_KEYS ||
        mf_segment_split(s, raw, &head, &stored, &why) != MEMFILE_OK ||
        mf_keys_decode(&keys, head, s->offset, &why) != MEMFILE_OK ||
        mf_header_decode(&header, keys.header, MF_HEADER_LENGTH, &why) != MEMFILE_OK || mf_header_tag(&header) != image->tag)
        return;
    image->header = header;
    memcpy(image->header_raw, keys.header, MF_HEADER_LENGTH);
    image->header_kept = true;
}

/* All sound segments: those in their places, and those that are not. */
static int find_segments(search *s, mf_image *image, range_list *placed, range_list *displaced)
{
    uint32_t tag = image->tag;
    uint64_t budget = 4 * s->size + ((uint64_t)64 << 20);
    bool found = true;
    for (uint64_t at = 0;;) {
        const uint8_t *p;
        mf_segment segment;
        memfile_error why;
        size_t got;
        int rc = find_header(s, &at, &tag, &found, &p);
        if (rc != MEMFILE_OK || !found)
            return rc;
        uint64_t offset = mf_load64(p + 16);
        int decoded = offset % 8 == 0 && offset >= MF_HEADER_LENGTH && offset <= UINT64_MAX / 2
                          ? mf_segment_decode(&segment, p, offset, tag, &why)
                          : MEMFILE_E_DAMAGED;
        if (decoded == MEMFILE_OK) {
            size_t total = (size_t)mf_segment_total(&segment);
            bool affordable = total <= budget; /* sound headers one behind the other may each claim a long body */
            rc = affordable ? look(s, at, total, &p, &got) : MEMFILE_OK;
            if (rc != MEMFILE_OK)
                return rc;
            if (affordable && got == total && mf_segment_check(&segment, p, &why) == MEMFILE_OK) {
                keep_header(image, &segment, p);
                image->sealed_seen |= segment.type == MF_TYPE_SEALED;
                if (add_range(offset == at ? placed : displaced, (mf_extent){offset, at, total}) != 0)
                    return mf_fail_memory(s->err);
                at += total;
                continue;
            }
            budget -= affordable ? total : 0;
        }
        at++;
    }
}

/* ---- building */

/* A header that the file's segments agree with. What can be read of the damaged one is kept. */
static void make_header(mf_image *image, const uint8_t raw[MF_HEADER_LENGTH])
{
    memset(&image->header, 0, sizeof image->header);
    image->header.format_version = MF_FORMAT_VERSION;
    image->header.suite = image->sealed_seen ? MF_SUITE_SEALED : MF_SUITE_PLAIN;
    memcpy(image->header.incarnation_id, raw + 32, 16);
    memcpy(image->header.memory_id, raw + 48, 16);
    mf_store32(image->header.incarnation_id, image->tag);
    mf_header_encode(&image->header, image->header_raw);
}

static int settle_extents(mf_image *image, range_list *placed, range_list *displaced)
{
    range_list apart = {image->mem, NULL, 0, 0};
    int rc = 0;
    uint64_t claimed = 0; /* first come, first served among those that claim the same place */
    uint64_t end = placed->count ? placed->v[placed->count - 1].at + placed->v[placed->count - 1].length : 0;
    if (displaced->count)
        qsort(displaced->v, displaced->count, sizeof *displaced->v, by_place);
    for (size_t i = 0; i < displaced->count && rc == 0; i++) {
        mf_extent e = displaced->v[i];
        uint64_t passed = claimed <= e.at ? 0 : claimed - e.at < e.length ? claimed - e.at : e.length;
        e = (mf_extent){e.at + passed, e.from + passed, e.length - passed};
        if (e.length > 0) {
            rc = add_uncovered(&apart, placed, e);
            claimed = e.at + e.length;
        }
    }
    for (size_t i = 0; i < apart.count; i++)
        if (apart.v[i].at + apart.v[i].length > end)
            end = apart.v[i].at + apart.v[i].length;
    image->extents = apart.v;
    image->extent_count = apart.count;
    image->size = apart.count ? end : image->file_size;
    return rc;
}

int mf_image_build(mf_image *image, mf_io *io, const mf_mem *mem, memfile_error *err)
{
    search s = {io, err, NULL, 0, 0, SEARCH_BYTES + MF_STORED_LENGTH_MAX + 4096, 0};
    range_list placed = {mem, NULL, 0, 0}, displaced = {mem, NULL, 0, 0};
    uint8_t raw[MF_HEADER_LENGTH] = {0};
    memfile_error why;
    size_t got = 0;
    bool any = true;
    memset(image, 0, sizeof *image);
    image->mem = mem;
    int rc = io->functions->size(io, &s.size, err);
    image->file_size = s.size;
    if (rc == MEMFILE_OK)
        rc = mf_io_read(io, 0, raw, sizeof raw, &got, err);
    if (rc != MEMFILE_OK)
        return rc;
    int header = mf_header_decode(&image->header, raw, got, &why);
    if (header == MEMFILE_E_NEWER) {
        *err = why;
        return header;
    }
    image->header_sound = header == MEMFILE_OK;
    image->tag = mf_header_tag(&image->header);
    memcpy(image->header_raw, raw, sizeof raw);
    if (!(s.window = (uint8_t *)mf_alloc(mem, s.window_size)))
        return mf_fail_memory(err);
    if (!image->header_sound)
        rc = find_tag(&s, &image->tag, &any);
    if (rc == MEMFILE_OK && !any)
        rc = mf_fail(err, MEMFILE_E_NOT_MEMFILE, 0, "no sound segment of a memfile was found");
    if (rc == MEMFILE_OK)
        rc = find_segments(&s, image, &placed, &displaced);
    if (rc == MEMFILE_OK && !image->header_sound && !image->header_kept)
        rc = find_file_header(&s, image);
    if (rc == MEMFILE_OK && !image->header_sound && !image->header_kept)
        make_header(image, raw);
    if (rc == MEMFILE_OK && settle_extents(image, &placed, &displaced) != 0)
        rc = mf_fail_memory(err);
    mf_free(mem, s.window);
    mf_free(mem, placed.v);
    mf_free(mem, displaced.v);
    if (rc != MEMFILE_OK)
        mf_image_free(image);
    return rc;
}

void mf_image_free(mf_image *image)
{
    mf_free(image->mem, image->extents);
    image->extents = NULL;
    image->extent_count = 0;
}

/* ---- reading */

typedef struct image_io {
    mf_io io;
    mf_io_functions functions;
    const mf_image *image;
    mf_io *base;
} image_io;

/* The first extent that ends behind `offset`, or NULL. */
static const mf_extent *extent_behind(const mf_image *image, uint64_t offset)
{
    size_t low = 0, high = image->extent_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (image->extents[middle].at + image->extents[middle].length <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < image->extent_count ? &image->extents[low] : NULL;
}

/* One piece, as long as the place it comes from is one. */
static int read_piece(image_io *m, uint64_t offset, uint8_t *out, size_t length, size_t *taken, memfile_error *err)
{
    const mf_image *image = m->image;
    const mf_extent *e = extent_behind(image, offset);
    size_t got = 0;
    if (offset < MF_HEADER_LENGTH) {
        *taken = MF_HEADER_LENGTH - offset < length ? (size_t)(MF_HEADER_LENGTH - offset) : length;
        memcpy(out, image->header_raw + offset, *taken);
        return MEMFILE_OK;
    }
    uint64_t from = offset, most = length;
    if (e && e->at <= offset) {
        from = e->from + (offset - e->at);
        most = e->length - (offset - e->at);
    } else if (e) {
        most = e->at - offset;
    }
    *taken = most < length ? (size_t)most : length;
    int rc = mf_io_read(m->base, from, out, *taken, &got, err);
    if (rc == MEMFILE_OK && got < *taken)
        memset(out + got, 0, *taken - got);
    return rc;
}

static int image_read(mf_io *io, uint64_t offset, void *out, size_t length, size_t *got, memfile_error *err)
{
    image_io *m = (image_io *)io;
    uint64_t left = offset < m->image->size ? m->image->size - offset : 0;
    if (length > left)
        length = (size_t)left;
    *got = 0;
    while (*got < length) {
        size_t taken = 0;
        int rc = read_piece(m, offset + *got, (uint8_t *)out + *got, length - *got, &taken, err);
        if (rc != MEMFILE_OK)
            return rc;
        *got += taken;
    }
    return MEMFILE_OK;
}

static int image_size(mf_io *io, uint64_t *out, memfile_error *err)
{
    (void)err;
    *out = ((const image_io *)io)->image->size;
    return MEMFILE_OK;
}

/* Behind the file's end the image has nothing but extents, and these may be far away. */
static uint64_t image_next(const mf_io *io, uint64_t offset)
{
    const mf_image *image = ((const image_io *)io)->image;
    const mf_extent *e = extent_behind(image, offset);
    if (offset < image->file_size || (e && e->at <= offset))
        return offset;
    return e ? e->at : image->size > offset ? image->size : offset;
}

static void image_close(mf_io *io)
{
    image_io *m = (image_io *)io;
    m->base->functions->close(m->base);
    mf_free(m->image->mem, m);
}

int mf_image_open(const mf_image *image, mf_io *base, mf_io **out, memfile_error *err)
{
    image_io *m = (image_io *)mf_alloc_zero(image->mem, sizeof *m);
    *out = NULL;
    if (!m) {
        base->functions->close(base);
        return mf_fail_memory(err);
    }
    m->functions = mf_io_read_only;
    m->functions.read = image_read;
    m->functions.size = image_size;
    m->functions.close = image_close;
    m->functions.next = image_next;
    m->io.functions = &m->functions;
    m->image = image;
    m->base = base;
    *out = &m->io;
    return MEMFILE_OK;
}
