/* block_read: columns to rows. SPEC 6. Everything here comes from a file. */
#include "block.h"

#include "cbor.h"

#define STRINGS_MAX ((size_t)4 << 20) /* SPEC 6.2: bytes of front-coded strings, expanded */
#define COUNTS_MAX ((uint64_t)1 << 20) /* SPEC 6.2: sums of counts */

typedef struct parser {
    mf_cursor c;
    mf_arena *arena;
    size_t strings; /* expanded so far */
    bool no_memory;
} parser;

static void *take(parser *p, size_t count, size_t size)
{
    void *v = mf_arena_alloc(p->arena, (count ? count : 1) * size);
    if (!v) {
        p->no_memory = true;
        p->c.failed = true;
    }
    return v;
}

/* lengths to running sums; NULL when damaged */
static uint32_t *sums(parser *p, const mf_ints *lengths, uint64_t limit)
{
    uint32_t *end = p->c.failed ? NULL : (uint32_t *)take(p, (size_t)lengths->count + 1, sizeof *end);
    uint64_t sum = 0;
    if (!end) /* lengths that were cut short are fewer than were asked for */
        return NULL;
    for (uint32_t i = 0; i < lengths->count; i++) {
        uint64_t v = mf_ints_at(lengths, i);
        if (v > limit - sum) {
            p->c.failed = true;
            return NULL;
        }
        sum += v;
        end[i] = (uint32_t)sum;
    }
    end[lengths->count] = (uint32_t)sum;
    return end;
}

static void check_below(parser *p, const mf_ints *values, uint64_t limit)
{
    if (values->count && values->width == 0) {
        if (values->base >= limit)
            p->c.failed = true;
        return;
    }
    for (uint32_t i = 0; i < values->count && !p->c.failed; i++)
        if (mf_ints_at(values, i) >= limit)
            p->c.failed = true;
}

/* strings(n), each of 1 (or 0) to `longest` bytes */
static mf_slice *get_strings(parser *p, uint32_t n, size_t longest)
{
    mf_ints prefixes = mf_get_ints(&p->c, n), suffixes = mf_get_ints(&p->c, n);
    mf_slice *out = (mf_slice *)take(p, n, sizeof *out);
    mf_slice before = {0};
    bool plain = prefixes.width == 0 && prefixes.base == 0;
    for (uint32_t i = 0; i < n && !p->c.failed; i++) {
        uint64_t prefix = mf_ints_at(&prefixes, i), suffix = mf_ints_at(&suffixes, i);
        if (prefix > before.length || suffix > longest - prefix || prefix + suffix > STRINGS_MAX - p->strings) {
            p->c.failed = true;
            break;
        }
        const uint8_t *bytes = mf_get_bytes(&p->c, suffix);
        if (!bytes)
            break;
        if (plain || prefix == 0) {
            out[i] = mf_slice_of(bytes, (size_t)suffix);
        } else {
            uint8_t *whole = (uint8_t *)take(p, (size_t)(prefix + suffix), 1);
            if (!whole)
                break;
            memcpy(whole, before.data, (size_t)prefix);
            memcpy(whole + prefix, bytes, (size_t)suffix);
            out[i] = mf_slice_of(whole, (size_t)(prefix + suffix));
            p->strings += (size_t)(prefix + suffix);
        }
        before = out[i];
    }
    return p->c.failed ? NULL : out;
}

static void get_ids(parser *p, mf_ids *ids, uint32_t n, uint32_t rows)
{
    memset(ids, 0, sizeof *ids);
    ids->count = n;
    ids->classes = mf_get_ints(&p->c, n);
    uint32_t references = 0;
    bool alike = ids->classes.width == 0 && ids->classes.base < MF_ID_ROW;
    for (uint32_t i = 0; i < n && !p->c.failed && !alike; i++) {
        uint64_t class = mf_ints_at(&ids->classes, i);
        references += class == MF_ID_ROW;
        if (class > MF_ID_ROW) /* ids have none: no row is below 0 */
            p->c.failed = true;
    }
    if (p->c.failed)
        return;
    ids->prefixes = mf_get_ints(&p->c, n - references);
    ids->suffixes = mf_get_ints(&p->c, n - references);
    bool overflow = false;
    uint64_t bytes = mf_ints_sum(&ids->suffixes, mf_cursor_left(&p->c), &overflow);
    if (overflow)
        p->c.failed = true;
    ids->bytes = mf_get_bytes(&p->c, bytes);
    ids->bytes_length = (size_t)bytes;
    ids->rows = mf_get_ints(&p->c, references);
    check_below(p, &ids->rows, rows);
}

/* Hexadecimal digits of n bytes. */
static void print_hex(uint8_t *out, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        const uint8_t pair[2] = {(uint8_t)digits[bytes[i] >> 4], (uint8_t)digits[bytes[i] & 15]};
        memcpy(out + 2 * i, pair, 2);
    }
}

/* Makes ids->expanded. 0, -1 damaged, -2 out of memory. */
static int expand_ids(mf_ids *ids, const mf_ids *rows, mf_arena *arena)
{
    mf_id *out = (mf_id *)mf_arena_alloc(arena, ((size_t)ids->count + 1) * sizeof *out);
    if (!out)
        return -2;
    const uint8_t *bytes = ids->bytes;
    mf_slice before = {0};
    uint32_t string = 0, reference = 0;
    size_t total = 0;
    for (uint32_t i = 0; i < ids->count; i++) {
        uint64_t class = mf_ints_at(&ids->classes, i);
        if (class == MF_ID_ROW) {
            out[i] = rows->expanded[mf_ints_at(&ids->rows, reference++)];
            continue;
        }
        uint64_t prefix = mf_ints_at(&ids->prefixes, string), suffix = mf_ints_at(&ids->suffixes, string);
        string++;
        if (prefix > before.length || suffix > MF_ID_MAX - prefix)
            return -1;
        size_t length = (size_t)(prefix + suffix);
        if (length == 0 || (class == MF_ID_BINARY && length != 16) || (class == MF_ID_HEX && length * 2 > MF_ID_MAX))
            return -1;
        const uint8_t *whole = bytes;
        if (prefix) {
            uint8_t *copy = (uint8_t *)mf_arena_alloc(arena, length);
            if (!copy)
                return -2;
            if ((total += length) > STRINGS_MAX)
                return -1;
            memcpy(copy, before.data, (size_t)prefix);
            memcpy(copy + prefix, bytes, (size_t)suffix);
            whole = copy;
        }
        bytes += suffix;
        before = mf_slice_of(whole, length);
        if (class == MF_ID_HEX) {
            uint8_t *text = (uint8_t *)mf_arena_alloc(arena, length * 2);
            if (!text)
                return -2;
            print_hex(text, whole, length);
            out[i] = (mf_id){text, (uint32_t)length * 2, false};
        } else {
            out[i] = (mf_id){whole, (uint32_t)length, class == MF_ID_BINARY};
        }
    }
    ids->expanded = out;
    return 0;
}

static void get_times(parser *p, mf_times *times, uint32_t n)
{
    memset(times, 0, sizeof *times);
    if (n == 0)
        return;
    times->seconds = (int64_t *)take(p, n, sizeof *times->seconds);
    int64_t now = mf_get_zigzag(&p->c);
    mf_ints steps = mf_get_ints(&p->c, n - 1);
    times->digits = mf_get_ints(&p->c, n);
    check_below(p, &times->digits, 10);
    for (uint32_t i = 0; i < n && !p->c.failed; i++) {
        if (i > 0) {
            int64_t step = mf_unzigzag(mf_ints_at(&steps, i - 1));
            if (step > 2 * MF_SECONDS_MAX || step < -2 * MF_SECONDS_MAX)
                p->c.failed = true;
            else
                now += step;
        }
        if (now < MF_SECONDS_MIN || now > MF_SECONDS_MAX)
            p->c.failed = true;
        times->seconds[i] = now;
    }
    if (times->digits.width != 0 || times->digits.base != 0) {
        static const uint32_t power10[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
        times->fractions = mf_get_ints(&p->c, n);
        for (uint32_t i = 0; i < n && !p->c.failed; i++)
            if (mf_ints_at(&times->fractions, i) >= power10[mf_ints_at(&times->digits, i)])
                p->c.failed = true;
    }
}

/* Which rows have which column. */
static void find_positions(parser *p, mf_block *b)
{
    uint32_t every = MF_COLUMNS_KNOWN;
    if (b->masks.width == 0) {
        b->all = every = (uint32_t)b->masks.base;
        for (int k = 0; k < 12; k++)
            b->in_column[k] = b->all >> k & 1 ? b->rows : 0;
    } else {
        for (uint32_t row = 0; row < b->rows; row++) {
            uint32_t mask = mf_block_mask(b, row);
            b->all |= mask;
            every &= mask;
            for (uint32_t rest = mask; rest; rest &= rest - 1) {
                unsigned k = 0;
                while (!(rest >> k & 1))
                    k++;
                b->in_column[k]++;
            }
            if ((mask & MF_COLUMN_ERASED) && mask != MF_COLUMN_ERASED)
                p->c.failed = true;
        }
    }
    if ((b->all & MF_COLUMN_ERASED) && (every & MF_COLUMN_ERASED) && b->all != MF_COLUMN_ERASED)
        p->c.failed = true;
    b->live_rows = b->rows - b->in_column[11];
    for (unsigned k = 0; k < 12 && !p->c.failed; k++) {
        /* ids are found by the rows without ERASED: keep that one reversed */
        if (!(b->all >> k & 1) || (every >> k & 1))
            continue;
        b->position[k] = (uint16_t *)take(p, b->rows, sizeof **b->position);
        uint16_t next = 0;
        for (uint32_t row = 0; row < b->rows && b->position[k]; row++)
            b->position[k][row] = mf_block_mask(b, row) >> k & 1 ? next++ : UINT16_MAX;
    }
}

static uint32_t at(const mf_block *b, unsigned column_bit, uint32_t row)
{
    return b->position[column_bit] ? b->position[column_bit][row] : row;
}

/* column numbers, as bits */
enum { KIND, SCOPE, KEY, TIME, TEXT, TAGS, LINKS, IDEMPOTENCY, EXPIRES, REST, VECTOR, ERASED };

static void get_names(parser *p, mf_block *b)
{
    b->name_count = (uint32_t)mf_get_varint_max(&p->c, 65535);
    b->names = get_strings(p, b->name_count, MF_NAME_MAX);
    for (uint32_t i = 0; i < b->name_count && !p->c.failed; i++)
        if (b->names[i].length == 0 || !mf_utf8_valid(b->names[i].data, b->names[i].length))
            p->c.failed = true;
    if (b->in_column[SCOPE] == 0)
        return;
    b->scope_count = (uint32_t)mf_get_varint_max(&p->c, 65535);
    mf_ints lengths = mf_get_ints(&p->c, b->scope_count);
    check_below(p, &lengths, MF_SCOPE_MAX + 1);
    b->scope_start = sums(p, &lengths, COUNTS_MAX);
    b->scope_names = mf_get_ints(&p->c, p->c.failed ? 0 : b->scope_start[b->scope_count]);
    check_below(p, &b->scope_names, b->name_count);
}

static uint32_t *get_lengths(parser *p, uint32_t n, uint64_t limit, uint64_t *sum)
{
    mf_ints lengths = mf_get_ints(&p->c, n);
    uint32_t *end = sums(p, &lengths, limit);
    *sum = end ? end[n] : 0;
    return end;
}

int mf_block_parse(mf_block *b, mf_slice columns, mf_arena *arena)
{
    parser p = {mf_cursor_of(columns.data, columns.length), arena, 0, false};
    uint64_t sum = 0, texts = 0, rests = 0;
    memset(b, 0, sizeof *b);
    b->arena = arena;
    b->rows = (uint32_t)mf_get_varint_max(&p.c, MF_BLOCK_ROWS_MAX);
    if (b->rows == 0)
        return -1;
    b->masks = mf_get_ints(&p.c, b->rows);
    for (uint32_t row = 0; row < b->rows && !p.c.failed; row++)
        if (mf_ints_at(&b->masks, row) & ~(uint64_t)MF_COLUMNS_KNOWN)
            return -3;
    if (p.c.failed)
        return -1;
    find_positions(&p, b);
    get_names(&p, b);
    get_ids(&p, &b->ids, p.c.failed ? 0 : b->live_rows, 0);
    b->kind = mf_get_ints(&p.c, b->in_column[KIND]);
    check_below(&p, &b->kind, b->name_count);
    b->scope = mf_get_ints(&p.c, b->in_column[SCOPE]);
    check_below(&p, &b->scope, b->scope_count);
    b->key = get_strings(&p, b->in_column[KEY], MF_KEY_MAX);
    get_times(&p, &b->time, b->in_column[TIME]);
    b->text_end = get_lengths(&p, b->in_column[TEXT], MF_RAW_LENGTH_MAX, &texts);
    b->tag_end = get_lengths(&p, b->in_column[TAGS], COUNTS_MAX, &sum);
    b->tag_names = mf_get_ints(&p.c, sum);
    check_below(&p, &b->tag_names, b->name_count);
    b->link_end = get_lengths(&p, b->in_column[LINKS], COUNTS_MAX, &sum);
    b->relations = mf_get_ints(&p.c, sum);
    check_below(&p, &b->relations, b->name_count);
    get_ids(&p, &b->targets, p.c.failed ? 0 : (uint32_t)sum, b->live_rows);
    b->idempotency_key = get_strings(&p, b->in_column[IDEMPOTENCY], MF_KEY_MAX);
    get_times(&p, &b->expires, b->in_column[EXPIRES]);
    b->rest_end = get_lengths(&p, b->in_column[REST], MF_RAW_LENGTH_MAX, &rests);
    b->vector_end = get_lengths(&p, b->in_column[VECTOR], MF_STORED_LENGTH_MAX, &sum);
    b->vectors = mf_get_bytes(&p.c, sum);
    b->erased = mf_get_bytes(&p.c, (uint64_t)b->in_column[ERASED] * 32);
    b->content_length = (size_t)(texts + rests);
    if (p.no_memory)
        return -2;
    if (!mf_cursor_finished(&p.c) || texts + rests > MF_RAW_LENGTH_MAX)
        return -1;
    /* now, so that an id that cannot be had is never taken for one that differs */
    return expand_ids(&b->ids, NULL, arena);
}

void mf_block_set_content(mf_block *b, const uint8_t *content)
{
    uint32_t texts = b->text_end ? b->text_end[b->in_column[TEXT]] : 0;
    b->content = mf_slice_of(content, b->content_length);
    b->texts = content;
    b->rests = content ? content + texts : NULL;
}

/* ---- columns of a row */

static mf_slice piece(const uint8_t *bytes, const uint32_t *end, uint32_t i)
{
    uint32_t start = i ? end[i - 1] : 0;
    static const uint8_t nothing[1] = {0};
    return mf_slice_of(bytes ? bytes + start : nothing, end[i] - start);
}

static uint32_t live_row(const mf_block *b, uint32_t row)
{
    if (!b->position[ERASED])
        return row;
    uint32_t erased = 0;
    for (uint32_t i = 0; i < row; i++)
        erased += b->position[ERASED][i] != UINT16_MAX;
    return row - erased;
}

mf_id mf_block_id(mf_block *b, uint32_t row)
{
    static const mf_id none = {NULL, 0, false};
    if ((b->all & MF_COLUMN_ERASED) && (mf_block_mask(b, row) & MF_COLUMN_ERASED))
        return none;
    return b->ids.expanded[live_row(b, row)];
}

mf_id mf_block_target(mf_block *b, uint32_t index)
{
    static const mf_id none = {NULL, 0, false};
    if (!b->targets.expanded && expand_ids(&b->targets, &b->ids, b->arena) != 0)
        return none;
    return b->targets.expanded[index];
}

const uint8_t *mf_block_erased(const mf_block *b, uint32_t row)
{
    if (!(mf_block_mask(b, row) & MF_COLUMN_ERASED))
        return NULL;
    return b->erased + (size_t)at(b, ERASED, row) * 32;
}

mf_slice mf_block_kind(const mf_block *b, uint32_t row)
{
    if (!(mf_block_mask(b, row) & MF_COLUMN_KIND))
        return mf_slice_of(NULL, 0);
    return b->names[mf_ints_at(&b->kind, at(b, KIND, row))];
}

uint32_t mf_block_scope(const mf_block *b, uint32_t row, mf_slice *out)
{
    if (!(mf_block_mask(b, row) & MF_COLUMN_SCOPE))
        return 0;
    uint32_t s = (uint32_t)mf_ints_at(&b->scope, at(b, SCOPE, row));
    uint32_t start = s ? b->scope_start[s - 1] : 0, count = b->scope_start[s] - start;
    for (uint32_t i = 0; i < count; i++)
        out[i] = b->names[mf_ints_at(&b->scope_names, start + i)];
    return count;
}

mf_slice mf_block_key(const mf_block *b, uint32_t row)
{
    return mf_block_mask(b, row) & MF_COLUMN_KEY ? b->key[at(b, KEY, row)] : mf_slice_of(NULL, 0);
}

mf_slice mf_block_idempotency_key(const mf_block *b, uint32_t row)
{
    return mf_block_mask(b, row) & MF_COLUMN_IDEMPOTENCY_KEY ? b->idempotency_key[at(b, IDEMPOTENCY, row)]
                                                             : mf_slice_of(NULL, 0);
}

static void time_at(const mf_times *times, uint32_t i, mf_time *out)
{
    out->seconds = times->seconds[i];
    out->digits = (uint8_t)mf_ints_at(&times->digits, i);
    out->fraction = times->fractions.count ? (uint32_t)mf_ints_at(&times->fractions, i) : 0;
}

bool mf_block_time(const mf_block *b, uint32_t row, mf_time *out)
{
    if (!(mf_block_mask(b, row) & MF_COLUMN_TIME))
        return false;
    time_at(&b->time, at(b, TIME, row), out);
    return true;
}

bool mf_block_expires(const mf_block *b, uint32_t row, mf_time *out)
{
    if (!(mf_block_mask(b, row) & MF_COLUMN_EXPIRES))
        return false;
    time_at(&b->expires, at(b, EXPIRES, row), out);
    return true;
}

static uint32_t span(const uint32_t *end, uint32_t i, uint32_t *first)
{
    *first = i ? end[i - 1] : 0;
    return end[i] - *first;
}

uint32_t mf_block_tags(const mf_block *b, uint32_t row, uint32_t *first)
{
    *first = 0;
    return mf_block_mask(b, row) & MF_COLUMN_TAGS ? span(b->tag_end, at(b, TAGS, row), first) : 0;
}

mf_slice mf_block_tag(const mf_block *b, uint32_t index)
{
    return b->names[mf_ints_at(&b->tag_names, index)];
}

uint32_t mf_block_links(const mf_block *b, uint32_t row, uint32_t *first)
{
    *first = 0;
    return mf_block_mask(b, row) & MF_COLUMN_LINKS ? span(b->link_end, at(b, LINKS, row), first) : 0;
}

mf_slice mf_block_relation(const mf_block *b, uint32_t index)
{
    return b->names[mf_ints_at(&b->relations, index)];
}

mf_slice mf_block_text(const mf_block *b, uint32_t row)
{
    return mf_block_mask(b, row) & MF_COLUMN_TEXT ? piece(b->texts, b->text_end, at(b, TEXT, row))
                                                  : mf_slice_of(NULL, 0);
}

mf_slice mf_block_rest(const mf_block *b, uint32_t row)
{
    return mf_block_mask(b, row) & MF_COLUMN_REST ? piece(b->rests, b->rest_end, at(b, REST, row))
                                                  : mf_slice_of(NULL, 0);
}

mf_slice mf_block_vector(const mf_block *b, uint32_t row)
{
    return mf_block_mask(b, row) & MF_COLUMN_VECTOR ? piece(b->vectors, b->vector_end, at(b, VECTOR, row))
                                                    : mf_slice_of(NULL, 0);
}

/* ---- rows back to cores */

/* Passes over one value of any field of SPEC 7.1, without judging it. */
static void pass_value(mf_cursor *c, unsigned depth_left)
{
    uint64_t v;
    unsigned size;
    unsigned major = mf_cbor_get_head(c, &v, &size);
    if (c->failed)
        return;
    if (major == MF_CBOR_BYTES || major == MF_CBOR_TEXT) {
        mf_get_bytes(c, v);
    } else if (major == MF_CBOR_ARRAY || major == MF_CBOR_MAP) {
        if (depth_left == 0 || v > mf_cursor_left(c)) {
            c->failed = true;
            return;
        }
        for (uint64_t i = 0, n = major == MF_CBOR_MAP ? 2 * v : v; i < n && !c->failed; i++)
            pass_value(c, depth_left - 1);
    } else if (major == 6) {
        c->failed = true;
    }
}

/* Copies pairs whose key is an integer below `field` (all for UINT64_MAX);
 * returns how many. */
static uint64_t copy_pairs(mf_cursor *rest, uint64_t field, mf_buffer *out)
{
    uint64_t count = 0;
    while (!rest->failed && rest->at < rest->end) {
        const uint8_t *start = rest->at;
        mf_cursor ahead = *rest;
        if (field != UINT64_MAX) {
            if (*ahead.at >> 5 != MF_CBOR_UINT || mf_cbor_get(&ahead, MF_CBOR_UINT) >= field)
                break;
            ahead = *rest;
        }
        pass_value(&ahead, 1);
        pass_value(&ahead, MF_DEPTH_MAX + 1);
        if (ahead.failed) {
            rest->failed = true;
            break;
        }
        mf_put_bytes(out, start, (size_t)(ahead.at - start));
        *rest = ahead;
        count++;
    }
    return count;
}

static void put_text_array(mf_buffer *out, const mf_slice *texts, uint32_t count)
{
    mf_cbor_put_head(out, MF_CBOR_ARRAY, count);
    for (uint32_t i = 0; i < count; i++)
        mf_cbor_put_text(out, texts[i]);
}

static int put_column(mf_block *b, uint32_t row, uint32_t column, mf_buffer *out)
{
    mf_slice scope[MF_SCOPE_MAX];
    mf_time time;
    uint32_t first, count;
    switch (column) {
    case MF_COLUMN_KIND: mf_cbor_put_text(out, mf_block_kind(b, row)); break;
    case MF_COLUMN_SCOPE:
        count = mf_block_scope(b, row, scope);
        put_text_array(out, scope, count);
        break;
    case MF_COLUMN_KEY: mf_cbor_put_text(out, mf_block_key(b, row)); break;
    case MF_COLUMN_TIME:
        mf_block_time(b, row, &time);
        mf_cbor_put_time(out, &time);
        break;
    case MF_COLUMN_TEXT: mf_cbor_put_text(out, mf_block_text(b, row)); break;
    case MF_COLUMN_TAGS:
        count = mf_block_tags(b, row, &first);
        mf_cbor_put_head(out, MF_CBOR_ARRAY, count);
        for (uint32_t i = 0; i < count; i++)
            mf_cbor_put_text(out, mf_block_tag(b, first + i));
        break;
    case MF_COLUMN_LINKS:
        count = mf_block_links(b, row, &first);
        mf_cbor_put_head(out, MF_CBOR_ARRAY, count);
        for (uint32_t i = 0; i < count; i++) {
            mf_id target = mf_block_target(b, first + i);
            if (!target.data)
                return -1;
            mf_cbor_put_head(out, MF_CBOR_ARRAY, 2);
            mf_cbor_put_text(out, mf_block_relation(b, first + i));
            mf_cbor_put_id(out, target);
        }
        break;
    case MF_COLUMN_EXPIRES:
        mf_block_expires(b, row, &time);
        mf_cbor_put_time(out, &time);
        break;
    default: mf_cbor_put_text(out, mf_block_idempotency_key(b, row)); break;
    }
    return 0;
}

int mf_block_core(mf_block *b, uint32_t row, mf_buffer *out)
{
    static const struct {
        uint32_t column;
        uint8_t field;
    } order[] = {
        {MF_COLUMN_KIND, MF_FIELD_KIND},       {MF_COLUMN_SCOPE, MF_FIELD_SCOPE},
        {MF_COLUMN_KEY, MF_FIELD_KEY},         {MF_COLUMN_TIME, MF_FIELD_TIME},
        {MF_COLUMN_TEXT, MF_FIELD_TEXT},       {MF_COLUMN_TAGS, MF_FIELD_TAGS},
        {MF_COLUMN_LINKS, MF_FIELD_LINKS},     {MF_COLUMN_EXPIRES, MF_FIELD_EXPIRES},
        {MF_COLUMN_IDEMPOTENCY_KEY, MF_FIELD_IDEMPOTENCY_KEY},
    };
    uint32_t mask = mf_block_mask(b, row);
    mf_slice pairs = mf_block_rest(b, row);
    mf_cursor rest = mf_cursor_of(pairs.data, pairs.length);
    size_t head = out->length;
    mf_id id = mf_block_id(b, row);
    if (!id.data)
        return -1;
    mf_put_u8(out, 0); /* the map's head, known at the end */
    uint64_t count = 1 + copy_pairs(&rest, MF_FIELD_ID, out);
    mf_cbor_put_head(out, MF_CBOR_UINT, MF_FIELD_ID);
    mf_cbor_put_id(out, id);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (!(mask & order[i].column))
            continue;
        if (rest.at < rest.end)
            count += copy_pairs(&rest, order[i].field, out);
        mf_cbor_put_head(out, MF_CBOR_UINT, order[i].field);
        if (put_column(b, row, order[i].column, out) != 0)
            return -1;
        count++;
    }
    if (rest.at < rest.end)
        count += copy_pairs(&rest, UINT64_MAX, out);
    if (rest.failed)
        return -1;
    if (out->failed)
        return -2;
    if (count < 24) {
        out->data[head] = (uint8_t)(MF_CBOR_MAP << 5 | count);
        return 0;
    }
    mf_buffer wide;
    mf_buffer_init(&wide, out->mem);
    mf_cbor_put_head(&wide, MF_CBOR_MAP, count);
    mf_put_zero(out, wide.length - 1);
    if (!out->failed && !wide.failed) {
        memmove(out->data + head + wide.length, out->data + head + 1, out->length - head - wide.length);
        memcpy(out->data + head, wide.data, wide.length);
    }
    bool failed = out->failed || wide.failed;
    mf_buffer_free(&wide);
    return failed ? -2 : 0;
}

mf_slice mf_block_rest_field(const mf_block *b, uint32_t row, unsigned field)
{
    mf_slice pairs = mf_block_rest(b, row);
    mf_cursor c = mf_cursor_of(pairs.data, pairs.length);
    while (!c.failed && c.at < c.end) {
        uint64_t key = UINT64_MAX;
        if (*c.at >> 5 == MF_CBOR_UINT)
            key = mf_cbor_get(&c, MF_CBOR_UINT);
        else
            pass_value(&c, 1);
        const uint8_t *value = c.at;
        pass_value(&c, MF_DEPTH_MAX + 1);
        if (!c.failed && key == field)
            return mf_slice_of(value, (size_t)(c.at - value));
        if (key != UINT64_MAX && key > field)
            break;
    }
    return mf_slice_of(NULL, 0);
}

bool mf_block_same_id(mf_block *a, uint32_t ra, mf_block *b, uint32_t rb)
{
    mf_id x = mf_block_id(a, ra), y = mf_block_id(b, rb);
    return x.data && y.data && mf_id_equal(x, y);
}

bool mf_block_same_key(const mf_block *a, uint32_t ra, const mf_block *b, uint32_t rb)
{
    mf_slice sa[MF_SCOPE_MAX], sb[MF_SCOPE_MAX], ka = mf_block_key(a, ra), kb = mf_block_key(b, rb);
    uint32_t na = mf_block_scope(a, ra, sa), nb = mf_block_scope(b, rb, sb);
    if (!ka.data || !kb.data || !mf_slice_equal(ka, kb) || na != nb)
        return false;
    for (uint32_t i = 0; i < na; i++)
        if (!mf_slice_equal(sa[i], sb[i]))
            return false;
    return true;
}
