/* block_write: rows to columns. SPEC 6. */
#include "block.h"

#include "checksum.h"

typedef struct numbers {
    uint64_t *v;
    size_t count, capacity;
} numbers;

/* A set of byte strings with their positions; emptied in O(1). */
typedef struct table {
    uint32_t *slot;  /* position + 1 */
    uint32_t *epoch; /* slot is of this filling */
    uint32_t size, now, used;
} table;

/* byte strings that stand one after the other in one buffer */
typedef struct texts {
    mf_buffer bytes;
    numbers end;
} texts;

typedef struct id_column {
    numbers classes, rows;
    texts bytes;
} id_column;

typedef struct time_column {
    numbers seconds, digits, fractions; /* seconds as int64 */
} time_column;

struct mf_block_builder {
    const mf_mem *mem;
    bool failed;
    uint32_t rows, live_rows;
    numbers masks;
    texts names;
    table name_table;
    numbers scope_length, scope_names; /* distinct scopes */
    table scope_table;
    texts scope_keys; /* their names' positions as bytes, to compare */
    id_column ids, targets;
    table id_table;
    texts row_ids; /* canonical bytes, one tag byte first */
    numbers kind, scope;
    texts key, idempotency_key;
    time_column time, expires;
    numbers text_length, rest_length, vector_length;
    numbers tag_count, tag_names, link_count, relations;
    mf_buffer text, rest, vectors, erased;
    mf_slice *slices; /* scratch of finish */
    size_t slice_capacity;
};

static void push(mf_block_builder *b, numbers *n, uint64_t v)
{
    if (MF_UNLIKELY(n->count == n->capacity)) {
        void *grown = n->v;
        if (mf_grow(b->mem, &grown, &n->capacity, n->count + 1, sizeof *n->v) != 0) {
            b->failed = true;
            return;
        }
        n->v = (uint64_t *)grown;
    }
    n->v[n->count++] = v;
}

static void push_text(mf_block_builder *b, texts *t, mf_slice s)
{
    mf_put_bytes(&t->bytes, s.data, s.length);
    push(b, &t->end, t->bytes.length);
}

static mf_slice text_at(const texts *t, size_t i)
{
    size_t start = i ? (size_t)t->end.v[i - 1] : 0;
    return mf_slice_of(t->bytes.data + start, (size_t)t->end.v[i] - start);
}

/* Position of s among `known`, or UINT32_MAX after noting that it will be the
 * next one to be pushed there. */
static uint32_t table_find(mf_block_builder *b, table *t, const texts *known, mf_slice s)
{
    if (b->failed)
        return 0; /* `known` may lack what the table holds */
    if ((t->used + 1) * 2 > t->size) {
        uint32_t size = t->size ? t->size * 2 : 256;
        uint32_t *slot = (uint32_t *)mf_alloc_zero(b->mem, size * sizeof *slot);
        uint32_t *epoch = (uint32_t *)mf_alloc_zero(b->mem, size * sizeof *epoch);
        if (!slot || !epoch) {
            mf_free(b->mem, slot);
            mf_free(b->mem, epoch);
            b->failed = true;
            return 0;
        }
        for (uint32_t i = 0; i < t->used; i++) {
            mf_slice k = text_at(known, i);
            uint32_t h = (uint32_t)mf_checksum(k.data, k.length) & (size - 1);
            while (epoch[h] == t->now)
                h = (h + 1) & (size - 1);
            slot[h] = i;
            epoch[h] = t->now;
        }
        mf_free(b->mem, t->slot);
        mf_free(b->mem, t->epoch);
        t->slot = slot;
        t->epoch = epoch;
        t->size = size;
    }
    uint32_t h = (uint32_t)mf_checksum(s.data, s.length) & (t->size - 1);
    for (; t->epoch[h] == t->now; h = (h + 1) & (t->size - 1))
        if (mf_slice_equal(text_at(known, t->slot[h]), s))
            return t->slot[h];
    t->slot[h] = t->used++;
    t->epoch[h] = t->now;
    return UINT32_MAX;
}

static void table_clear(table *t)
{
    t->used = 0;
    if (++t->now == 0) { /* after 2^32 fillings */
        if (t->epoch)
            memset(t->epoch, 0, t->size * sizeof *t->epoch);
        t->now = 1;
    }
}

static uint32_t name_position(mf_block_builder *b, mf_slice name)
{
    uint32_t at = table_find(b, &b->name_table, &b->names, name);
    if (at != UINT32_MAX)
        return at;
    push_text(b, &b->names, name);
    return (uint32_t)b->names.end.count - 1;
}

/* ---- builder */

#define FOR_EACH_TEXTS(X) X(names) X(scope_keys) X(ids.bytes) X(targets.bytes) X(row_ids) X(key) X(idempotency_key)
#define FOR_EACH_NUMBERS(X)                                                                                            \
    X(masks) X(scope_length) X(scope_names) X(ids.classes) X(ids.rows) X(targets.classes) X(targets.rows) X(kind)      \
    X(scope) X(time.seconds) X(time.digits) X(time.fractions) X(expires.seconds) X(expires.digits)                     \
    X(expires.fractions) X(text_length) X(rest_length) X(vector_length) X(tag_count) X(tag_names) X(link_count)        \
    X(relations)
#define FOR_EACH_BUFFER(X) X(text) X(rest) X(vectors) X(erased)

int mf_block_builder_new(const mf_mem *mem, mf_block_builder **out)
{
    mf_block_builder *b = (mf_block_builder *)mf_alloc_zero(mem, sizeof *b);
    *out = b;
    if (!b)
        return -1;
    b->mem = mem;
#define INIT_TEXTS(x) mf_buffer_init(&b->x.bytes, mem);
    FOR_EACH_TEXTS(INIT_TEXTS)
#define INIT_BUFFER(x) mf_buffer_init(&b->x, mem);
    FOR_EACH_BUFFER(INIT_BUFFER)
    b->name_table.now = b->scope_table.now = b->id_table.now = 1;
    return 0;
}

void mf_block_builder_free(mf_block_builder *b)
{
    if (!b)
        return;
#define FREE_TEXTS(x) mf_buffer_free(&b->x.bytes), mf_free(b->mem, b->x.end.v);
    FOR_EACH_TEXTS(FREE_TEXTS)
#define FREE_NUMBERS(x) mf_free(b->mem, b->x.v);
    FOR_EACH_NUMBERS(FREE_NUMBERS)
#define FREE_BUFFER(x) mf_buffer_free(&b->x);
    FOR_EACH_BUFFER(FREE_BUFFER)
    table *tables[] = {&b->name_table, &b->scope_table, &b->id_table};
    for (int i = 0; i < 3; i++) {
        mf_free(b->mem, tables[i]->slot);
        mf_free(b->mem, tables[i]->epoch);
    }
    mf_free(b->mem, b->slices);
    mf_free(b->mem, b);
}

void mf_block_builder_clear(mf_block_builder *b)
{
    b->failed = false;
    b->rows = b->live_rows = 0;
#define CLEAR_TEXTS(x) mf_buffer_clear(&b->x.bytes), b->x.end.count = 0;
    FOR_EACH_TEXTS(CLEAR_TEXTS)
#define CLEAR_NUMBERS(x) b->x.count = 0;
    FOR_EACH_NUMBERS(CLEAR_NUMBERS)
#define CLEAR_BUFFER(x) mf_buffer_clear(&b->x);
    FOR_EACH_BUFFER(CLEAR_BUFFER)
    table_clear(&b->name_table);
    table_clear(&b->scope_table);
    table_clear(&b->id_table);
}

uint32_t mf_block_builder_rows(const mf_block_builder *b)
{
    return b->rows;
}

/* Value of a lower-case hexadecimal digit plus one; 0: it is none. A table,
 * because the digits of an id are as random as can be for a branch predictor. */
static const uint8_t hex_digit[256] = {
    ['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

/* The bytes that a text of hexadecimal digits writes, or false. */
static bool hex_bytes(mf_id id, uint8_t out[MF_ID_MAX])
{
    if (id.binary || id.length < 4 || id.length % 2)
        return false;
    for (uint32_t i = 0; i < id.length; i += 2) {
        unsigned high = hex_digit[id.data[i]], low = hex_digit[id.data[i + 1]];
        if (!high || !low)
            return false;
        out[i / 2] = (uint8_t)((high - 1) << 4 | (low - 1));
    }
    return true;
}

static void add_id(mf_block_builder *b, id_column *column, mf_id id)
{
    uint8_t bytes[MF_ID_MAX];
    if (!hex_bytes(id, bytes)) {
        push(b, &column->classes, id.binary ? MF_ID_BINARY : MF_ID_TEXT);
        push_text(b, &column->bytes, mf_slice_of(id.data, id.length));
        return;
    }
    push(b, &column->classes, MF_ID_HEX);
    push_text(b, &column->bytes, mf_slice_of(bytes, id.length / 2));
}

/* the id with a byte before it that tells 16 bytes from text */
static mf_slice tagged_id(mf_id id, uint8_t out[MF_ID_MAX + 1])
{
    out[0] = id.binary;
    memcpy(out + 1, id.data, id.length);
    return mf_slice_of(out, id.length + 1);
}

static void note_row_id(mf_block_builder *b, mf_id id)
{
    uint8_t tagged[MF_ID_MAX + 1];
    mf_slice s = tagged_id(id, tagged);
    if (table_find(b, &b->id_table, &b->row_ids, s) != UINT32_MAX) {
        /* The same id again: its first row serves. Positions must stay those of
         * rows, so an entry that nothing equals takes the place. */
        tagged[0] = 2;
        for (int i = 0; i < 4; i++)
            tagged[1 + i] = (uint8_t)(b->live_rows >> (8 * i));
        s = mf_slice_of(tagged, 5);
        table_find(b, &b->id_table, &b->row_ids, s);
    }
    push_text(b, &b->row_ids, s);
}

static uint32_t row_of_id(const mf_block_builder *b, mf_id id)
{
    const table *t = &b->id_table;
    uint8_t tagged[MF_ID_MAX + 1];
    mf_slice s = tagged_id(id, tagged);
    if (!t->size || b->failed) /* row_ids may lack what the table holds */
        return UINT32_MAX;
    uint32_t h = (uint32_t)mf_checksum(s.data, s.length) & (t->size - 1);
    for (; t->epoch[h] == t->now; h = (h + 1) & (t->size - 1))
        if (mf_slice_equal(text_at(&b->row_ids, t->slot[h]), s))
            return t->slot[h];
    return UINT32_MAX;
}

static void add_scope(mf_block_builder *b, const mf_record *r)
{
    uint64_t positions[MF_SCOPE_MAX];
    uint8_t key[MF_SCOPE_MAX * 4];
    for (uint32_t i = 0; i < r->scope_count; i++) {
        positions[i] = name_position(b, r->scope[i]);
        mf_store32(key + 4 * i, (uint32_t)positions[i]);
    }
    mf_slice s = mf_slice_of(key, 4 * (size_t)r->scope_count);
    uint32_t at = table_find(b, &b->scope_table, &b->scope_keys, s);
    if (at == UINT32_MAX) {
        push_text(b, &b->scope_keys, s);
        push(b, &b->scope_length, r->scope_count);
        for (uint32_t i = 0; i < r->scope_count; i++)
            push(b, &b->scope_names, positions[i]);
        at = (uint32_t)b->scope_length.count - 1;
    }
    push(b, &b->scope, at);
}

static void add_time(mf_block_builder *b, time_column *column, const mf_time *t)
{
    push(b, &column->seconds, (uint64_t)t->seconds);
    push(b, &column->digits, t->digits);
    push(b, &column->fractions, t->fraction);
}

void mf_block_builder_add(mf_block_builder *b, const mf_record *r)
{
    uint32_t mask = r->mask | (r->vector.length ? (uint32_t)MF_COLUMN_VECTOR : 0);
    push(b, &b->masks, mask);
    b->rows++;
    note_row_id(b, r->id);
    b->live_rows++;
    add_id(b, &b->ids, r->id);
    if (mask & MF_COLUMN_KIND)
        push(b, &b->kind, name_position(b, r->kind));
    if (mask & MF_COLUMN_SCOPE)
        add_scope(b, r);
    if (mask & MF_COLUMN_KEY)
        push_text(b, &b->key, r->key);
    if (mask & MF_COLUMN_TIME)
        add_time(b, &b->time, &r->time);
    if (mask & MF_COLUMN_TEXT) {
        push(b, &b->text_length, r->text.length);
        mf_put_bytes(&b->text, r->text.data, r->text.length);
    }
    if (mask & MF_COLUMN_TAGS) {
        push(b, &b->tag_count, r->tag_count);
        for (uint32_t i = 0; i < r->tag_count; i++)
            push(b, &b->tag_names, name_position(b, r->tags[i]));
    }
    if (mask & MF_COLUMN_LINKS) {
        push(b, &b->link_count, r->link_count);
        for (uint32_t i = 0; i < r->link_count; i++) {
            push(b, &b->relations, name_position(b, r->links[i].relation));
            uint32_t row = row_of_id(b, r->links[i].target);
            if (row != UINT32_MAX) {
                push(b, &b->targets.classes, MF_ID_ROW);
                push(b, &b->targets.rows, row);
            } else {
                add_id(b, &b->targets, r->links[i].target);
            }
        }
    }
    if (mask & MF_COLUMN_IDEMPOTENCY_KEY)
        push_text(b, &b->idempotency_key, r->idempotency_key);
    if (mask & MF_COLUMN_EXPIRES)
        add_time(b, &b->expires, &r->expires);
    if (mask & MF_COLUMN_REST) {
        push(b, &b->rest_length, r->rest_length);
        for (uint32_t i = 0; i < r->rest_count; i++)
            mf_put_bytes(&b->rest, r->rest[i].data, r->rest[i].length);
    }
    if (mask & MF_COLUMN_VECTOR) {
        push(b, &b->vector_length, r->vector.length);
        mf_put_bytes(&b->vectors, r->vector.data, r->vector.length);
    }
}

void mf_block_builder_add_erased(mf_block_builder *b, const uint8_t leaf[32])
{
    push(b, &b->masks, MF_COLUMN_ERASED);
    b->rows++;
    mf_put_bytes(&b->erased, leaf, 32);
}

/* ---- finish */

static void put_numbers(mf_buffer *out, const numbers *n)
{
    mf_put_ints(out, n->v, n->count);
}

static void put_texts(mf_block_builder *b, mf_buffer *out, const texts *t)
{
    void *grown = b->slices;
    if (mf_grow(b->mem, &grown, &b->slice_capacity, t->end.count, sizeof *b->slices) != 0) {
        b->failed = true;
        return;
    }
    b->slices = (mf_slice *)grown;
    for (size_t i = 0; i < t->end.count; i++)
        b->slices[i] = text_at(t, i);
    mf_put_strings(out, b->slices, t->end.count);
}

static void put_ids(mf_block_builder *b, mf_buffer *out, const id_column *column)
{
    put_numbers(out, &column->classes);
    put_texts(b, out, &column->bytes);
    put_numbers(out, &column->rows);
}

static void put_times(mf_buffer *out, time_column *column)
{
    size_t n = column->seconds.count;
    bool digits = false;
    if (n == 0)
        return;
    int64_t before = (int64_t)column->seconds.v[0];
    mf_put_zigzag(out, before);
    for (size_t i = 1; i < n; i++) {
        int64_t now = (int64_t)column->seconds.v[i];
        column->seconds.v[i] = mf_zigzag(now - before);
        before = now;
    }
    mf_put_ints(out, column->seconds.v + 1, n - 1);
    put_numbers(out, &column->digits);
    for (size_t i = 0; i < n; i++)
        digits |= column->digits.v[i] != 0;
    if (digits)
        put_numbers(out, &column->fractions);
}

int mf_block_builder_finish(mf_block_builder *b, mf_buffer *head, mf_buffer *content)
{
    if (b->failed) /* columns may lack numbers that others count on */
        return -1;
    mf_put_varint(head, b->rows);
    put_numbers(head, &b->masks);
    mf_put_varint(head, b->names.end.count);
    put_texts(b, head, &b->names);
    if (b->scope.count) {
        mf_put_varint(head, b->scope_length.count);
        put_numbers(head, &b->scope_length);
        put_numbers(head, &b->scope_names);
    }
    put_ids(b, head, &b->ids);
    put_numbers(head, &b->kind);
    put_numbers(head, &b->scope);
    put_texts(b, head, &b->key);
    put_times(head, &b->time);
    put_numbers(head, &b->text_length);
    put_numbers(head, &b->tag_count);
    put_numbers(head, &b->tag_names);
    put_numbers(head, &b->link_count);
    put_numbers(head, &b->relations);
    put_ids(b, head, &b->targets);
    put_texts(b, head, &b->idempotency_key);
    put_times(head, &b->expires);
    put_numbers(head, &b->rest_length);
    put_numbers(head, &b->vector_length);
    mf_put_bytes(head, b->vectors.data, b->vectors.length);
    mf_put_bytes(head, b->erased.data, b->erased.length);
    mf_put_bytes(content, b->text.data, b->text.length);
    mf_put_bytes(content, b->rest.data, b->rest.length);
    bool failed = b->failed || head->failed || content->failed || b->text.failed || b->rest.failed ||
                  b->vectors.failed || b->erased.failed;
#define CHECK_TEXTS(x) failed |= b->x.bytes.failed;
    FOR_EACH_TEXTS(CHECK_TEXTS)
    return failed ? -1 : 0;
}
