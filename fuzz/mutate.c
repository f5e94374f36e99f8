/* mutate: pieces of a file, what can be done to them, and putting them together again. */
#include "mutate.h"

#include "block.h"
#include "commit.h"
#include "fuzz.h"
#include "page.h"
#include "repair.h"
#include "segment.h"

#define PIECES_MAX 512
#define ROWS_MAX 64
#define ROUNDS 4 /* until places are where what names them says */

typedef struct piece {
    uint8_t *bytes; /* a whole segment, or bytes between segments; owned */
    size_t length;
    uint64_t old_at;
    uint64_t new_at;
    bool is_segment;
} piece;

typedef struct parts {
    piece v[PIECES_MAX];
    unsigned count;
    uint64_t state;
    mf_dictionary *dictionaries[4];
    unsigned dictionary_count;
    mf_compressor compressor;
} parts;

static uint64_t next(parts *p)
{
    p->state ^= p->state << 13;
    p->state ^= p->state >> 7;
    p->state ^= p->state << 17;
    return p->state >> 8;
}

static size_t below(parts *p, size_t n)
{
    return n ? (size_t)(next(p) % n) : 0;
}

/* ---- taking apart */

static bool read_header(const uint8_t *raw, size_t left, mf_segment *s)
{
    if (left < MF_SEGMENT_HEADER_LENGTH || !mf_segment_has_magic(raw))
        return false;
    mf_segment_fields(s, raw);
    return s->stored_length <= MF_STORED_LENGTH_MAX && s->raw_length <= MF_RAW_LENGTH_MAX &&
           mf_segment_total(s) <= left;
}

static void add(parts *p, const uint8_t *bytes, size_t length, uint64_t old_at, bool is_segment)
{
    if (p->count == PIECES_MAX || length == 0)
        return;
    p->v[p->count++] = (piece){fuzz_copy(bytes, length), length, old_at, old_at, is_segment};
}

static void take_apart(parts *p, const uint8_t *data, size_t size)
{
    size_t at = MF_HEADER_LENGTH, loose = at;
    memset(p, 0, sizeof *p);
    mf_compressor_init(&p->compressor);
    add(p, data, MF_HEADER_LENGTH, 0, false);
    while (at < size && p->count < PIECES_MAX - 2) {
        mf_segment s;
        if (!read_header(data + at, size - at, &s)) {
            at += 8;
            continue;
        }
        add(p, data + loose, at - loose, loose, false);
        add(p, data + at, (size_t)mf_segment_total(&s), at, true);
        at += (size_t)mf_segment_total(&s);
        loose = at;
    }
    if (loose < size)
        add(p, data + loose, size - loose, loose, false);
}

static void parts_free(parts *p)
{
    for (unsigned i = 0; i < p->count; i++)
        free(p->v[i].bytes);
    for (unsigned i = 0; i < p->dictionary_count; i++)
        mf_dictionary_free(p->dictionaries[i]);
    mf_compressor_free(&p->compressor);
}

/* Head and content as copies in *head and *content; false: it cannot be had. */
static bool open_piece(parts *p, const piece *x, mf_segment *s, mf_buffer *head, mf_buffer *content)
{
    memfile_error e;
    mf_slice h, stored;
    const mf_dictionary *d = NULL;
    mf_buffer_init(head, &mf_mem_default);
    mf_buffer_init(content, &mf_mem_default);
    if (!read_header(x->bytes, x->length, s) || mf_segment_split(s, x->bytes, &h, &stored, &e) != MEMFILE_OK)
        return false;
    for (unsigned i = 0; i < p->dictionary_count; i++)
        if (p->dictionaries[i]->id == s->codec_parameter)
            d = p->dictionaries[i];
    uint8_t *out = mf_buffer_reserve(content, (size_t)s->raw_length + 1);
    if (!out || mf_segment_content(s, stored, &p->compressor, d, out, &e) != MEMFILE_OK) {
        mf_buffer_free(content);
        return false;
    }
    content->length = s->raw_length;
    mf_put_bytes(head, h.data, h.length);
    return true;
}

static void find_dictionaries(parts *p)
{
    for (unsigned i = 0; i < p->count && p->dictionary_count < 4; i++) {
        mf_segment s;
        mf_buffer head, content;
        if (!p->v[i].is_segment || p->v[i].bytes[4] != MF_TYPE_DICTIONARY)
            continue;
        if (open_piece(p, &p->v[i], &s, &head, &content) &&
            mf_dictionary_new(&mf_mem_default, content.data, content.length, 1,
                              &p->dictionaries[p->dictionary_count]) == MEMFILE_OK)
            p->dictionary_count++;
        mf_buffer_free(&head);
        mf_buffer_free(&content);
    }
}

/* ---- making segments anew */

/* Gives the piece another head and, if `content` is not NULL, another content. */
static void close_piece(parts *p, piece *x, mf_slice head, const mf_slice *content)
{
    mf_segment s;
    memfile_error e;
    mf_slice old_head, stored;
    mf_buffer out;
    if (!read_header(x->bytes, x->length, &s) || mf_segment_split(&s, x->bytes, &old_head, &stored, &e) != MEMFILE_OK)
        return;
    mf_buffer_init(&out, &mf_mem_default);
    mf_put_bytes(&out, x->bytes, MF_SEGMENT_HEADER_LENGTH);
    mf_put_string(&out, head);
    size_t begin = out.length;
    if (content) {
        s.raw_length = (uint32_t)content->length;
        s.codec = MF_CODEC_RAW;
        s.codec_parameter = 0;
        size_t bound = mf_compress_bound(content->length);
        uint8_t *frame = content->length > 32 && below(p, 2) ? mf_buffer_reserve(&out, bound) : NULL;
        const mf_dictionary *d = p->dictionary_count && below(p, 2) ? p->dictionaries[0] : NULL;
        size_t n = frame ? mf_compress(&p->compressor, 1, d, content->data, content->length, frame, bound) : 0;
        if (n > 0) {
            out.length += n;
            s.codec = d ? MF_CODEC_ZSTD_DICTIONARY : MF_CODEC_ZSTD;
            s.codec_parameter = d ? d->id : 0;
        } else {
            mf_put_bytes(&out, content->data, content->length);
        }
    } else {
        mf_put_bytes(&out, stored.data, stored.length);
    }
    s.stored_length = (uint32_t)(out.length - MF_SEGMENT_HEADER_LENGTH);
    if (begin <= out.length && s.stored_length <= MF_STORED_LENGTH_MAX) {
        mf_put_zero(&out, (size_t)mf_segment_total(&s) - out.length);
        out.data[6] = s.codec;
        mf_store32(out.data + 8, s.stored_length);
        mf_store32(out.data + 12, s.raw_length);
        mf_store32(out.data + 44, s.codec_parameter);
        if (s.flags & MF_FLAG_COMMIT)
            mf_trailer_encode(out.data + out.length - MF_TRAILER_LENGTH, mf_segment_total(&s));
        free(x->bytes);
        x->bytes = fuzz_copy(out.data, out.length);
        x->length = out.length;
    }
    mf_buffer_free(&out);
}

/* ---- places */

static uint64_t moved(const parts *p, uint64_t old_at)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->v[i].is_segment && p->v[i].old_at == old_at)
            return p->v[i].new_at;
    return old_at;
}

static uint64_t moved_length(const parts *p, uint64_t old_at, uint64_t length)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->v[i].is_segment && p->v[i].old_at == old_at)
            return p->v[i].length;
    return length;
}

static bool move_commit(const parts *p, const piece *x, mf_slice head, mf_buffer *out)
{
    memfile_error e;
    mf_commit k;
    mf_footer f;
    if (mf_commit_decode(&k, head, &f, &mf_mem_default, x->old_at, &e) != MEMFILE_OK)
        return false;
    uint64_t group = x->old_at - k.group_length;
    k.group_length = x->new_at >= moved(p, group) ? x->new_at - moved(p, group) : 0;
    if (k.flags & MF_COMMIT_FULL) {
        for (uint32_t i = 0; i < f.dictionary_count; i++)
            for (int copy = 0; copy < 2; copy++)
                f.dictionaries[i].offset[copy] = moved(p, f.dictionaries[i].offset[copy]);
        f.history_offset = moved(p, f.history_offset);
        for (uint32_t i = 0; i < f.run_count; i++) {
            f.runs[i].root_length = moved_length(p, f.runs[i].root_offset, f.runs[i].root_length);
            f.runs[i].root_offset = moved(p, f.runs[i].root_offset);
        }
    } else {
        uint64_t full = moved(p, x->old_at - k.footer_distance);
        k.footer_distance = x->new_at > full ? x->new_at - full : 8;
    }
    mf_commit_encode(out, &k);
    mf_footer_free(&f, &mf_mem_default);
    return true;
}

static bool move_page(const parts *p, mf_slice head, mf_buffer *out)
{
    mf_arena arena;
    mf_page page;
    bool done = false;
    mf_arena_init(&arena, &mf_mem_default);
    if (mf_page_parse(&page, head, &arena) != 0 || page.count == 0) {
        mf_arena_free(&arena);
        return false;
    }
    if (page.level == 0) {
        mf_item *items = (mf_item *)fuzz_alloc(page.count * sizeof *items);
        for (uint32_t i = 0; i < page.count; i++) {
            mf_page_item(&page, i, &items[i]);
            if (items[i].kind == MF_ITEM_BLOCK || items[i].kind == MF_ITEM_CHUNK)
                items[i].value = moved(p, items[i].value * 8) / 8;
        }
        done = mf_page_put_leaf(out, page.first_entry, page.entry_count, items, page.count) == page.count;
        free(items);
    } else {
        mf_child *children = (mf_child *)fuzz_alloc(page.count * sizeof *children);
        for (uint32_t i = 0; i < page.count; i++) {
            uint64_t offset = mf_ints_at(&page.offsets, i) * 8;
            mf_page_item(&page, i, &children[i].first);
            children[i].offset = moved(p, offset);
            children[i].length = moved_length(p, offset, mf_ints_at(&page.lengths, i) * 8);
        }
        mf_page_put_inner(out, page.level, page.first_entry, page.entry_count, children, page.count);
        done = true;
        free(children);
    }
    mf_arena_free(&arena);
    return done;
}

/* Leads the places in one head to where things stand now. */
static void move_piece(parts *p, piece *x)
{
    mf_segment s;
    memfile_error e;
    mf_slice head, stored;
    mf_buffer out;
    if (x->is_segment && read_header(x->bytes, x->length, &s) && s.type == MF_TYPE_SEALED && s.stored_length >= 16) {
        uint8_t *body = x->bytes + MF_SEGMENT_HEADER_LENGTH;
        uint64_t group = moved(p, x->old_at - mf_load64(body + 8));
        mf_store64(body, moved(p, mf_load64(body)));
        if (s.flags & MF_FLAG_COMMIT)
            mf_store64(body + 8, x->new_at >= group ? x->new_at - group : 0);
        return;
    }
    if (!x->is_segment || !read_header(x->bytes, x->length, &s) ||
        mf_segment_split(&s, x->bytes, &head, &stored, &e) != MEMFILE_OK)
        return;
    mf_buffer_init(&out, &mf_mem_default);
    if ((s.type == MF_TYPE_COMMIT && move_commit(p, x, head, &out)) ||
        (s.type == MF_TYPE_INDEX && move_page(p, head, &out)))
        close_piece(p, x, mf_slice_of(out.data, out.length), NULL);
    mf_buffer_free(&out);
}

static bool lay_out(parts *p)
{
    uint64_t at = 0;
    bool any = false;
    for (unsigned i = 0; i < p->count; i++) {
        any = any || p->v[i].new_at != at;
        p->v[i].new_at = at;
        at += p->v[i].length;
    }
    return any;
}

/* What a piece names is told by old places, so each round begins with the pieces as they
 * were before the first. */
static void settle(parts *p)
{
    piece *kept = (piece *)fuzz_alloc(p->count * sizeof *kept);
    for (unsigned i = 0; i < p->count; i++) {
        kept[i] = p->v[i];
        kept[i].bytes = fuzz_copy(p->v[i].bytes, p->v[i].length);
    }
    for (int round = 0; lay_out(p) && round < ROUNDS; round++)
        for (unsigned i = 0; i < p->count; i++) {
            free(p->v[i].bytes);
            p->v[i].bytes = fuzz_copy(kept[i].bytes, kept[i].length);
            p->v[i].length = kept[i].length;
            move_piece(p, &p->v[i]);
        }
    for (unsigned i = 0; i < p->count; i++)
        free(kept[i].bytes);
    free(kept);
}

/* ---- changes */

static piece *any_segment(parts *p)
{
    for (int tries = 0; tries < 16; tries++) {
        piece *x = &p->v[below(p, p->count)];
        if (x->is_segment)
            return x;
    }
    return NULL;
}

static piece *segment_of_type(parts *p, unsigned type)
{
    unsigned from = (unsigned)below(p, p->count);
    for (unsigned i = 0; i < p->count; i++) {
        piece *x = &p->v[(from + i) % p->count];
        if (x->is_segment && x->bytes[4] == type)
            return x;
    }
    return NULL;
}

static size_t mutate_bytes(uint8_t *data, size_t size, size_t room)
{
    return room ? LLVMFuzzerMutate(data, size, room) : 0;
}

static void change_header_fields(parts *p, piece *x)
{
    static const uint8_t fields[] = {4, 5, 6, 7, 12, 13, 14, 24, 25, 32, 44, 45};
    uint8_t *b = &x->bytes[fields[below(p, sizeof fields)]];
    *b = (uint8_t)(below(p, 2) ? *b ^ 1u << below(p, 8) : next(p));
}

/* Head as bytes; same_length keeps the file's places. */
static void change_head(parts *p, piece *x, bool same_length)
{
    mf_segment s;
    memfile_error e;
    mf_slice head, stored;
    if (!read_header(x->bytes, x->length, &s) || mf_segment_split(&s, x->bytes, &head, &stored, &e) != MEMFILE_OK ||
        head.length == 0)
        return;
    if (same_length) {
        /* a window, so that far places of long heads are reached too */
        size_t window = head.length < 64 ? head.length : 64, from = below(p, head.length - window + 1);
        mutate_bytes((uint8_t *)head.data + from, window, window);
        return;
    }
    size_t room = head.length + 64;
    uint8_t *copy = (uint8_t *)fuzz_alloc(room);
    memcpy(copy, head.data, head.length);
    size_t n = mutate_bytes(copy, head.length, room);
    close_piece(p, x, mf_slice_of(copy, n), NULL);
    free(copy);
}

static void change_content(parts *p, piece *x)
{
    mf_segment s;
    mf_buffer head, content;
    if (open_piece(p, x, &s, &head, &content) && content.length > 0) {
        bool same = below(p, 4) != 0;
        size_t room = same ? content.length : content.length + 64;
        uint8_t *copy = (uint8_t *)fuzz_alloc(room);
        memcpy(copy, content.data, content.length);
        size_t n = mutate_bytes(copy, content.length, room);
        mf_slice changed = mf_slice_of(copy, same ? content.length : n);
        close_piece(p, x, mf_slice_of(head.data, head.length), &changed);
        free(copy);
    }
    mf_buffer_free(&head);
    mf_buffer_free(&content);
}

static void change_stored(parts *p, piece *x)
{
    mf_segment s;
    if (read_header(x->bytes, x->length, &s) && s.stored_length)
        mutate_bytes(x->bytes + MF_SEGMENT_HEADER_LENGTH, s.stored_length, s.stored_length);
    (void)p;
}

static uint64_t near_or_odd(parts *p, uint64_t v);

/* Of a sealed segment: what it says outside. */
static void change_clear_part(parts *p, piece *x)
{
    mf_segment s;
    uint8_t *body = x->bytes + MF_SEGMENT_HEADER_LENGTH;
    if (!read_header(x->bytes, x->length, &s) || s.stored_length < 16)
        return;
    switch (below(p, 4)) {
    case 0: mf_store64(body, p->v[below(p, p->count)].old_at); break;
    case 1: mf_store64(body, near_or_odd(p, mf_load64(body)) & ~(uint64_t)7); break;
    case 2:
        if (s.flags & MF_FLAG_COMMIT)
            mf_store64(body + 8, near_or_odd(p, mf_load64(body + 8)) & ~(uint64_t)7);
        break;
    default: mf_store32(x->bytes + 44, (uint32_t)near_or_odd(p, s.codec_parameter));
    }
}

static uint64_t near_or_odd(parts *p, uint64_t v)
{
    static const uint64_t odd[] = {0, 1, 2, 7, 8, 63, 64, 255, 65535, 65536, UINT32_MAX, (uint64_t)1 << 40, INT64_MAX};
    switch (below(p, 4)) {
    case 0: return v + 1;
    case 1: return v ? v - 1 : 1;
    case 2: return v + 8;
    default: return odd[below(p, sizeof odd / sizeof *odd)];
    }
}

static void change_footer(parts *p, mf_footer *f)
{
    mf_run *r = f->run_count ? &f->runs[below(p, f->run_count)] : NULL;
    switch (below(p, 10)) {
    case 0: f->indexed_entries = near_or_odd(p, f->indexed_entries); break;
    case 1: f->indexed_commits = near_or_odd(p, f->indexed_commits); break;
    case 2: f->superseded = near_or_odd(p, f->superseded); break;
    case 3: f->objects = near_or_odd(p, f->objects); break;
    case 4: f->history_count = near_or_odd(p, f->history_count); break;
    case 5: f->history_offset = near_or_odd(p, f->history_offset) & ~(uint64_t)7; break;
    case 6:
        if (r)
            r->root_offset = p->v[below(p, p->count)].old_at;
        break;
    case 7:
        if (r)
            r->entry_count = near_or_odd(p, r->entry_count);
        break;
    case 8:
        if (f->run_count > 1 && below(p, 2))
            f->run_count--;
        else if (r)
            r->type = near_or_odd(p, r->type);
        break;
    default:
        if (f->dictionary_count)
            f->dictionaries[0].offset[below(p, 2)] = p->v[below(p, p->count)].old_at;
        f->keys_offset = below(p, 4) ? f->keys_offset : p->v[below(p, p->count)].old_at;
    }
}

static void change_commit(parts *p, piece *x)
{
    memfile_error e;
    mf_segment s;
    mf_buffer head, content, out;
    mf_commit k;
    mf_footer f;
    mf_buffer_init(&out, &mf_mem_default);
    if (open_piece(p, x, &s, &head, &content) &&
        mf_commit_decode(&k, mf_slice_of(head.data, head.length), &f, &mf_mem_default, x->old_at, &e) == MEMFILE_OK) {
        uint64_t flag = (uint64_t)1 << below(p, 10);
        switch (below(p, 9)) {
        case 0: k.number = near_or_odd(p, k.number); break;
        case 1: k.first_entry = near_or_odd(p, k.first_entry); break;
        case 2: k.entry_count = near_or_odd(p, k.entry_count); break;
        case 3: k.group_length = near_or_odd(p, k.group_length) & ~(uint64_t)7; break;
        case 4: k.time_us = (int64_t)near_or_odd(p, (uint64_t)k.time_us); break;
        case 5: k.salt_index = near_or_odd(p, k.salt_index) & UINT32_MAX; break;
        case 6: k.flags ^= flag == MF_COMMIT_FULL ? MF_COMMIT_SALT : flag; break;
        case 7:
            if (!(k.flags & MF_COMMIT_FULL))
                k.footer_distance = x->old_at - p->v[below(p, p->count)].old_at;
            break;
        default:
            if (k.flags & MF_COMMIT_FULL)
                change_footer(p, &f);
        }
        mf_commit_encode(&out, &k);
        mf_footer_free(&f, &mf_mem_default);
        close_piece(p, x, mf_slice_of(out.data, out.length), NULL);
    }
    mf_buffer_free(&out);
    mf_buffer_free(&head);
    mf_buffer_free(&content);
}

static int by_order(const void *a, const void *b)
{
    return mf_item_compare((const mf_item *)a, (const mf_item *)b);
}

static void change_page(parts *p, piece *x)
{
    memfile_error e;
    mf_segment s;
    mf_slice head, stored;
    mf_arena arena;
    mf_page page;
    mf_buffer out;
    if (!read_header(x->bytes, x->length, &s) || mf_segment_split(&s, x->bytes, &head, &stored, &e) != MEMFILE_OK)
        return;
    mf_arena_init(&arena, &mf_mem_default);
    mf_buffer_init(&out, &mf_mem_default);
    if (mf_page_parse(&page, head, &arena) == 0 && page.level == 0 && page.count > 0) {
        mf_item *items = (mf_item *)fuzz_alloc((page.count + 1) * sizeof *items);
        uint32_t count = page.count, i = (uint32_t)below(p, count);
        for (uint32_t n = 0; n < count; n++)
            mf_page_item(&page, n, &items[n]);
        switch (below(p, 5)) {
        case 0: items[i].value = near_or_odd(p, items[i].value); break;
        case 1: items[i].key = near_or_odd(p, items[i].key); break;
        case 2: items[i].kind = (uint8_t)(1 + below(p, 12)); break;
        case 3: items[i] = items[--count]; break;
        default:
            items[count] = items[i];
            items[count++].value++;
        }
        qsort(items, count, sizeof *items, by_order);
        if (count > 0 && mf_page_put_leaf(&out, page.first_entry, page.entry_count, items, count) == count)
            close_piece(p, x, mf_slice_of(out.data, out.length), NULL);
        free(items);
    }
    mf_buffer_free(&out);
    mf_arena_free(&arena);
}

/* Adds one row, changed perhaps, to the builder. */
static void rebuild_row(parts *p, mf_block *block, uint32_t row, bool change, mf_block_builder *builder)
{
    static mf_record record;
    memfile_error e;
    mf_buffer core;
    const uint8_t *erased = mf_block_erased(block, row);
    mf_buffer_init(&core, &mf_mem_default);
    if (erased && !change) {
        mf_block_builder_add_erased(builder, erased);
    } else if (!erased && mf_block_core(block, row, &core) == 0 && core.length > 0) {
        size_t room = core.length + 32;
        uint8_t *copy = (uint8_t *)fuzz_alloc(room);
        memcpy(copy, core.data, core.length);
        size_t n = change ? mutate_bytes(copy, core.length, room) : core.length;
        /* a mutant that is no entry leaves the row as it was */
        bool sound = mf_record_parse(&record, mf_slice_of(copy, n), MEMFILE_E_DAMAGED, 0, &e) == MEMFILE_OK;
        if (sound || mf_record_parse(&record, mf_slice_of(core.data, core.length), MEMFILE_E_DAMAGED, 0, &e) == MEMFILE_OK) {
            record.vector = mf_block_vector(block, row);
            mf_block_builder_add(builder, &record);
        }
        free(copy);
    }
    mf_buffer_free(&core);
    (void)p;
}

/* Entries of a block: one left out, one twice, one changed. */
static void rebuild_block(parts *p, mf_block *block, mf_buffer *columns, mf_buffer *content)
{
    mf_block_builder *builder;
    size_t chosen = below(p, block->rows), what = below(p, 4);
    if (block->rows > ROWS_MAX || mf_block_builder_new(&mf_mem_default, &builder) != MEMFILE_OK)
        return;
    for (uint32_t row = 0; row < block->rows; row++) {
        if (row == chosen && what == 0)
            continue;
        if (row == chosen && what == 1)
            rebuild_row(p, block, row, false, builder);
        rebuild_row(p, block, row, row == chosen && what > 1, builder);
    }
    if (mf_block_builder_rows(builder) == 0 || mf_block_builder_finish(builder, columns, content) != 0)
        mf_buffer_clear(columns);
    mf_block_builder_free(builder);
}

static void change_block(parts *p, piece *x)
{
    memfile_error e;
    mf_segment s;
    mf_buffer head, content, columns, texts, out;
    mf_arena arena;
    mf_block block;
    mf_commit k;
    mf_footer f = {0};
    mf_slice old = {0};
    mf_arena_init(&arena, &mf_mem_default);
    mf_buffer_init(&columns, &mf_mem_default);
    mf_buffer_init(&texts, &mf_mem_default);
    mf_buffer_init(&out, &mf_mem_default);
    if (open_piece(p, x, &s, &head, &content)) {
        if (s.type == MF_TYPE_RECORDS) {
            mf_cursor c = mf_cursor_of(head.data, head.length);
            mf_put_varint(&out, mf_get_varint(&c));
            old = mf_slice_of(c.at, mf_cursor_left(&c));
        } else if (mf_commit_decode(&k, mf_slice_of(head.data, head.length), &f, &mf_mem_default, x->old_at, &e) ==
                   MEMFILE_OK) {
            old = k.columns;
        }
        if (old.length && mf_block_parse(&block, old, &arena) == 0 && block.content_length == content.length) {
            mf_block_set_content(&block, content.data ? content.data : (const uint8_t *)"");
            rebuild_block(p, &block, &columns, &texts);
        }
        if (columns.length > 0) {
            if (s.type == MF_TYPE_RECORDS) {
                mf_put_bytes(&out, columns.data, columns.length);
            } else {
                k.columns = mf_slice_of(columns.data, columns.length);
                mf_commit_encode(&out, &k);
            }
            mf_slice changed = mf_slice_of(texts.data, texts.length);
            close_piece(p, x, mf_slice_of(out.data, out.length), &changed);
        }
        if (s.type != MF_TYPE_RECORDS)
            mf_footer_free(&f, &mf_mem_default);
    }
    mf_buffer_free(&head);
    mf_buffer_free(&content);
    mf_buffer_free(&columns);
    mf_buffer_free(&texts);
    mf_buffer_free(&out);
    mf_arena_free(&arena);
}

static void remove_piece(parts *p, unsigned i)
{
    free(p->v[i].bytes);
    memmove(&p->v[i], &p->v[i + 1], (p->count - i - 1) * sizeof *p->v);
    p->count--;
}

static void insert_piece(parts *p, unsigned at, const uint8_t *bytes, size_t length, uint64_t old_at, bool is_segment)
{
    if (p->count == PIECES_MAX)
        return;
    memmove(&p->v[at + 1], &p->v[at], (p->count - at) * sizeof *p->v);
    p->v[at] = (piece){fuzz_copy(bytes, length), length, old_at, UINT64_MAX, is_segment};
    p->count++;
}

static void change_order(parts *p)
{
    if (p->count < 3)
        return;
    unsigned i = 1 + (unsigned)below(p, p->count - 1), k = 1 + (unsigned)below(p, p->count - 1);
    piece a = p->v[i];
    uint8_t junk[64];
    switch (below(p, 5)) {
    case 0: remove_piece(p, i); break;
    case 1: insert_piece(p, k, a.bytes, a.length, UINT64_MAX, a.is_segment); break;
    case 2:
        p->v[i] = p->v[k];
        p->v[k] = a;
        break;
    case 3: /* all behind is gone */
        while (p->count > i + 1)
            remove_piece(p, p->count - 1);
        break;
    default:
        for (size_t n = 0; n < sizeof junk; n++)
            junk[n] = (uint8_t)(i % 3 ? next(p) : 0);
        insert_piece(p, k, junk, 8 * (1 + below(p, 8)), UINT64_MAX, false);
    }
}

/* ---- a whole mutant */

static size_t put_together(const parts *p, uint8_t *data, size_t max_size)
{
    size_t at = 0;
    for (unsigned i = 0; i < p->count && at < max_size; i++) {
        size_t n = p->v[i].length < max_size - at ? p->v[i].length : max_size - at;
        memcpy(data + at, p->v[i].bytes, n);
        at += n;
    }
    return at;
}

static void change(parts *p)
{
    static const uint8_t types[] = {MF_TYPE_RECORDS, MF_TYPE_COMMIT, MF_TYPE_COMMIT, MF_TYPE_INDEX,
                                    MF_TYPE_CHUNK,   MF_TYPE_HISTORY, MF_TYPE_DICTIONARY, MF_TYPE_VOID, MF_TYPE_KEYS,  MF_TYPE_SEALED, MF_TYPE_SEALED};
    piece *x = below(p, 2) ? any_segment(p) : segment_of_type(p, types[below(p, sizeof types)]);
    size_t what = below(p, 20);
    if (!x)
        what = 19;
    else if (x->bytes[4] == MF_TYPE_SEALED && what < 6)
        change_clear_part(p, x);
    else if (x->bytes[4] == MF_TYPE_SEALED && what < 12)
        change_stored(p, x);
    else if (x->bytes[4] == MF_TYPE_COMMIT && what < 6)
        change_commit(p, x);
    else if (x->bytes[4] == MF_TYPE_INDEX && what < 8)
        change_page(p, x);
    else if (x->bytes[4] == MF_TYPE_RECORDS && what < 6)
        change_block(p, x);
    else if (what < 8)
        change_block(p, x);
    else if (what < 12)
        change_head(p, x, true);
    else if (what == 12)
        change_head(p, x, false);
    else if (what < 15)
        change_content(p, x);
    else if (what == 15)
        change_stored(p, x);
    else if (what == 16)
        change_header_fields(p, x);
    if (what == 17 || what == 18)
        change_order(p);
    if (what == 19)
        mutate_bytes(p->v[0].bytes + 12, 68, 68);
}

/* What disks and crashes do: nothing is repaired. */
static size_t damage(parts *p, uint8_t *data, size_t size, size_t max_size)
{
    size_t at = below(p, size), n = 1 + below(p, below(p, 2) ? 64 : 1024);
    if (n > size - at)
        n = size - at;
    switch (below(p, 5)) {
    case 0: memset(data + at, 0, n); return size;
    case 1: return at; /* cut off */
    case 2:            /* cut out */
        memmove(data + at, data + at + n, size - at - n);
        return size - n;
    case 3: /* put in */
        if (size + n > max_size)
            return size;
        memmove(data + at + n, data + at, size - at);
        for (size_t i = 0; i < n; i++)
            data[at + i] = (uint8_t)next(p);
        return size + n;
    default: data[at] ^= (uint8_t)(1u << below(p, 8)); return size;
    }
}

size_t fuzz_mutate_file(uint8_t *data, size_t size, size_t max_size, uint64_t seed)
{
    static parts p;
    if (size <= MF_HEADER_LENGTH || max_size < size)
        return LLVMFuzzerMutate(data, size, max_size);
    take_apart(&p, data, size);
    p.state = seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
    next(&p);
    find_dictionaries(&p);
    size_t how = below(&p, 32);
    if (how < 4) {
        size = damage(&p, data, size, max_size);
    } else {
        for (size_t n = 1 + below(&p, 3); n > 0; n--)
            change(&p);
        if (how < 28)
            settle(&p);
        size = put_together(&p, data, max_size);
        if (how > 5)
            fuzz_repair(data, size, how < 9 ? FUZZ_REPAIR_CHECKSUMS
                                    : how < 12 ? FUZZ_REPAIR_CHECKSUMS | FUZZ_REPAIR_PLACES : FUZZ_REPAIR_ALL);
        if (how == 12 && size > 0)
            size = damage(&p, data, size, max_size);
    }
    parts_free(&p);
    return size;
}

size_t fuzz_cross_files(const uint8_t *first, size_t first_size, const uint8_t *second, size_t second_size,
                        uint8_t *out, size_t max_size, uint64_t seed)
{
    static parts a, b;
    if (first_size <= MF_HEADER_LENGTH || second_size <= MF_HEADER_LENGTH)
        return 0;
    take_apart(&a, first, first_size);
    take_apart(&b, second, second_size);
    a.state = seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
    next(&a);
    if (a.count > 1 && b.count > 1) {
        unsigned from = 1 + (unsigned)below(&a, b.count - 1), at = 1 + (unsigned)below(&a, a.count - 1);
        for (unsigned n = 1 + (unsigned)below(&a, 3); n > 0 && from < b.count; n--, from++, at++)
            if (a.count > at && below(&a, 2)) { /* instead of what stands there */
                uint64_t old_at = a.v[at].old_at;
                remove_piece(&a, at);
                insert_piece(&a, at, b.v[from].bytes, b.v[from].length, old_at, b.v[from].is_segment);
            } else {
                insert_piece(&a, at, b.v[from].bytes, b.v[from].length, UINT64_MAX, b.v[from].is_segment);
            }
        settle(&a);
    }
    size_t size = put_together(&a, out, max_size);
    fuzz_repair(out, size, FUZZ_REPAIR_ALL);
    parts_free(&a);
    parts_free(&b);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return fuzz_mutate_file(data, size, max_size, seed);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *first, size_t first_size, const uint8_t *second, size_t second_size,
                                 uint8_t *out, size_t max_size, unsigned seed)
{
    return fuzz_cross_files(first, first_size, second, second_size, out, max_size, seed);
}
