/* record: parsing and checking cores, ids and times. */
#include "record.h"

#include <stdio.h>

#include "cbor.h"

/* ---- times */

static bool digits_at(const char *s, size_t count, int *out)
{
    int v = 0;
    for (size_t i = 0; i < count; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        v = v * 10 + (s[i] - '0');
    }
    *out = v;
    return true;
}

static bool leap_year(int y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

/* Days from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date
 * algorithms"), proleptic Gregorian. */
static int64_t days_from_civil(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

bool mf_time_parse(mf_time *out, const char *s, size_t length)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day, hour, minute, second, fraction = 0;
    if (length < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' ||
        s[length - 1] != 'Z')
        return false;
    if (!digits_at(s, 4, &year) || !digits_at(s + 5, 2, &month) || !digits_at(s + 8, 2, &day) ||
        !digits_at(s + 11, 2, &hour) || !digits_at(s + 14, 2, &minute) || !digits_at(s + 17, 2, &second))
        return false;
    size_t digits = 0;
    if (length > 20) {
        digits = length - 21;
        if (s[19] != '.' || digits < 1 || digits > 9 || !digits_at(s + 20, digits, &fraction))
            return false;
    }
    if (month < 1 || month > 12 || day < 1 || day > month_days[month - 1] ||
        (month == 2 && day == 29 && !leap_year(year)) || hour > 23 || minute > 59 || second > 59)
        return false;
    out->seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    out->digits = (uint8_t)digits;
    out->fraction = (uint32_t)fraction;
    return true;
}

size_t mf_time_print(const mf_time *time, char out[32])
{
    int64_t days = time->seconds / 86400, rest = time->seconds % 86400;
    if (rest < 0)
        rest += 86400, days--;
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int day = (int)(doy - (153 * mp + 2) / 5 + 1);
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);
    int year = (int)(yoe + era * 400 + (month <= 2));
    int n = snprintf(out, 32, "%04d-%02d-%02dT%02d:%02d:%02d", year % 10000, month, day, (int)(rest / 3600) % 24,
                     (int)(rest / 60 % 60), (int)(rest % 60));
    if (time->digits)
        n += snprintf(out + n, 32 - (size_t)n, ".%0*u", time->digits % 10, time->fraction % 1000000000u);
    n += snprintf(out + n, 32 - (size_t)n, "Z");
    return (size_t)n;
}

static const uint32_t power10[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};

uint32_t mf_time_nanoseconds(const mf_time *time)
{
    return time->fraction * power10[9 - time->digits];
}

int mf_time_compare(const mf_time *a, const mf_time *b)
{
    if (a->seconds != b->seconds)
        return a->seconds < b->seconds ? -1 : 1;
    uint32_t na = mf_time_nanoseconds(a), nb = mf_time_nanoseconds(b);
    return na < nb ? -1 : na > nb;
}

void mf_cbor_put_time(mf_buffer *b, const mf_time *time)
{
    if (time->digits) {
        mf_cbor_put_head(b, MF_CBOR_ARRAY, 3);
        mf_cbor_put_int(b, time->seconds);
        mf_cbor_put_head(b, MF_CBOR_UINT, time->digits);
        mf_cbor_put_head(b, MF_CBOR_UINT, time->fraction);
    } else {
        mf_cbor_put_int(b, time->seconds);
    }
}

mf_time mf_cbor_get_time(mf_cursor *c)
{
    mf_time t = {0};
    if (mf_cbor_peek(c) >> 5 == MF_CBOR_ARRAY) {
        if (mf_cbor_get(c, MF_CBOR_ARRAY) != 3)
            c->failed = true;
        t.seconds = mf_cbor_get_int(c);
        uint64_t digits = mf_cbor_get(c, MF_CBOR_UINT);
        uint64_t fraction = mf_cbor_get(c, MF_CBOR_UINT);
        if (digits < 1 || digits > 9 || fraction >= power10[digits < 10 ? digits : 0])
            c->failed = true;
        t.digits = (uint8_t)digits;
        t.fraction = (uint32_t)fraction;
    } else {
        t.seconds = mf_cbor_get_int(c);
    }
    if (t.seconds < MF_SECONDS_MIN || t.seconds > MF_SECONDS_MAX)
        c->failed = true;
    return c->failed ? (mf_time){0} : t;
}

/* ---- ids */

static int hex_value(char ch)
{
    return ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static bool uuid_dash(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

static bool is_uuid(const char *s, size_t length)
{
    if (length != 36)
        return false;
    for (size_t i = 0; i < 36; i++)
        if (uuid_dash(i) ? s[i] != '-' : hex_value(s[i]) < 0)
            return false;
    return true;
}

mf_id mf_id_from_text(const char *text, size_t length, uint8_t binary[16])
{
    mf_id id = {(const uint8_t *)text, (uint32_t)length, false};
    if (!is_uuid(text, length))
        return id;
    size_t n = 0;
    for (size_t i = 0; i < 36; i++) {
        if (uuid_dash(i))
            continue;
        binary[n++] = (uint8_t)(hex_value(text[i]) << 4 | hex_value(text[i + 1]));
        i++;
    }
    return (mf_id){binary, 16, true};
}

size_t mf_id_print(mf_id id, char out[256])
{
    if (!id.binary) {
        size_t n = id.length < 255 ? id.length : 255;
        memcpy(out, id.data, n);
        out[n] = '\0';
        return n;
    }
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (size_t i = 0; i < 16; i++) {
        if (uuid_dash(n))
            out[n++] = '-';
        out[n++] = hex[id.data[i] >> 4];
        out[n++] = hex[id.data[i] & 15];
    }
    out[n] = '\0';
    return n;
}

void mf_cbor_put_id(mf_buffer *b, mf_id id)
{
    mf_cbor_put_head(b, id.binary ? MF_CBOR_BYTES : MF_CBOR_TEXT, id.length);
    mf_put_bytes(b, id.data, id.length);
}

mf_id mf_cbor_get_id(mf_cursor *c)
{
    mf_id id = {NULL, 0, mf_cbor_peek(c) >> 5 == MF_CBOR_BYTES};
    mf_slice s = id.binary ? mf_cbor_get_bytes(c) : mf_cbor_get_text(c);
    if (s.length < 1 || s.length > MF_ID_MAX || (id.binary && s.length != 16) ||
        (!id.binary && is_uuid((const char *)s.data, s.length)))
        c->failed = true;
    id.data = s.data;
    id.length = (uint32_t)s.length;
    return id;
}

/* ---- cores */

static mf_slice limited_text(mf_cursor *c, size_t least, size_t most)
{
    mf_slice s = mf_cbor_get_text(c);
    if (s.length < least || s.length > most)
        c->failed = true;
    return s;
}

static uint32_t text_list(mf_cursor *c, mf_slice *out, uint32_t most)
{
    uint64_t n = mf_cbor_get(c, MF_CBOR_ARRAY);
    if (n > most)
        c->failed = true;
    for (uint64_t i = 0; i < n && !c->failed; i++)
        out[i] = limited_text(c, 1, MF_NAME_MAX);
    return c->failed ? 0 : (uint32_t)n;
}

static void parse_links(mf_record *r, mf_cursor *c)
{
    uint64_t n = mf_cbor_get(c, MF_CBOR_ARRAY);
    if (n > MF_LINKS_MAX)
        c->failed = true;
    for (uint64_t i = 0; i < n && !c->failed; i++) {
        if (mf_cbor_get(c, MF_CBOR_ARRAY) != 2)
            c->failed = true;
        r->links[i].relation = limited_text(c, 1, MF_NAME_MAX);
        r->links[i].target = mf_cbor_get_id(c);
    }
    r->link_count = c->failed ? 0 : (uint32_t)n;
}

static void parse_content(mf_record *r, mf_cursor *c)
{
    if (mf_cbor_get(c, MF_CBOR_ARRAY) != 3)
        c->failed = true;
    r->has_content = true;
    r->content_form = mf_cbor_get(c, MF_CBOR_UINT);
    r->content_length = mf_cbor_get(c, MF_CBOR_UINT);
    mf_slice root = mf_cbor_get_bytes(c);
    r->content_root = root.data;
    if (r->content_form > MF_CONTENT_DATA || r->content_length <= MF_INLINE_CONTENT_MAX || root.length != 32 ||
        (r->content_length - 1) / MF_CHUNK_LENGTH >= MF_CHUNKS_MAX)
        c->failed = true;
}

static void parse_embedding(mf_record *r, mf_cursor *c)
{
    if (mf_cbor_get(c, MF_CBOR_ARRAY) != 4)
        c->failed = true;
    r->has_embedding = true;
    r->embedding_space = limited_text(c, 1, MF_NAME_MAX);
    r->embedding_type = mf_cbor_get(c, MF_CBOR_UINT);
    r->embedding_count = mf_cbor_get(c, MF_CBOR_UINT);
    mf_slice hash = mf_cbor_get_bytes(c);
    r->embedding_hash = hash.data;
    if (r->embedding_type < MF_VECTOR_F32 || r->embedding_type > MF_VECTOR_F64 || hash.length != 32 ||
        r->embedding_count < 1 || r->embedding_count > 16384)
        c->failed = true;
}

static void parse_id_list(mf_cursor *c)
{
    uint64_t n = mf_cbor_get(c, MF_CBOR_ARRAY);
    if (n > MF_LINKS_MAX)
        c->failed = true;
    for (uint64_t i = 0; i < n && !c->failed; i++)
        mf_cbor_get_id(c);
}

static void parse_leaf_list(mf_cursor *c)
{
    uint64_t n = mf_cbor_get(c, MF_CBOR_ARRAY);
    if (n > MF_LEAVES_MAX)
        c->failed = true;
    for (uint64_t i = 0; i < n && !c->failed; i++)
        if (mf_cbor_get_bytes(c).length != 32)
            c->failed = true;
}

uint32_t mf_record_leaves(mf_slice value, const uint8_t **first)
{
    mf_cursor c = mf_cursor_of(value.data, value.length);
    *first = NULL;
    if (value.length == 0 || mf_cbor_peek(&c) == MF_CBOR_NULL)
        return 0;
    uint64_t n = mf_cbor_get(&c, MF_CBOR_ARRAY);
    if (c.failed || n == 0 || n > MF_LEAVES_MAX || mf_cursor_left(&c) != n * MF_LEAF_STRIDE)
        return 0;
    *first = c.at + 2; /* behind the head of a byte string of 32 bytes */
    return (uint32_t)n;
}

static void skip_number(mf_cursor *c)
{
    uint8_t first = mf_cbor_peek(c);
    if (first >> 5 > MF_CBOR_NINT && !(first >= 0xf9 && first <= 0xfb))
        c->failed = true;
    mf_cbor_skip_value(c, 0);
}

/* The value of field `field`. Returns the column it goes to, or 0 for the rest. */
static uint32_t parse_field(mf_record *r, mf_cursor *c, unsigned field, unsigned *contents)
{
    if (mf_cbor_peek(c) == MF_CBOR_NULL) { /* SPEC 7.3 */
        if (field == MF_FIELD_OP || field == MF_FIELD_ID || field == MF_FIELD_TEXT || field == MF_FIELD_DATA ||
            field == MF_FIELD_CONTENT || field == MF_FIELD_EMBEDDING)
            c->failed = true;
        mf_get_u8(c);
        return 0;
    }
    switch (field) {
    case MF_FIELD_OP:
        r->op = mf_cbor_get(c, MF_CBOR_UINT);
        if (r->op == MF_OP_PUT) /* absent is its only form */
            c->failed = true;
        return 0;
    case MF_FIELD_ID: r->id = mf_cbor_get_id(c); return UINT32_MAX; /* the one that is always there */
    case MF_FIELD_KIND: r->kind = limited_text(c, 1, MF_NAME_MAX); return MF_COLUMN_KIND;
    case MF_FIELD_SCOPE: r->scope_count = text_list(c, r->scope, MF_SCOPE_MAX); return MF_COLUMN_SCOPE;
    case MF_FIELD_KEY: r->key = limited_text(c, 1, MF_KEY_MAX); return MF_COLUMN_KEY;
    case MF_FIELD_TIME: r->time = mf_cbor_get_time(c); return MF_COLUMN_TIME;
    case MF_FIELD_TEXT:
        r->text = limited_text(c, 0, MF_INLINE_CONTENT_MAX);
        ++*contents;
        return MF_COLUMN_TEXT;
    case MF_FIELD_DATA:
        if (mf_cbor_get_bytes(c).length > MF_INLINE_CONTENT_MAX)
            c->failed = true;
        ++*contents;
        return 0;
    case MF_FIELD_CONTENT:
        parse_content(r, c);
        ++*contents;
        return 0;
    case MF_FIELD_TAGS: r->tag_count = text_list(c, r->tags, MF_TAGS_MAX); return MF_COLUMN_TAGS;
    case MF_FIELD_LINKS: parse_links(r, c); return MF_COLUMN_LINKS;
    case MF_FIELD_META:
        if (mf_cbor_peek(c) >> 5 != MF_CBOR_MAP)
            c->failed = true;
        mf_cbor_skip_value(c, MF_DEPTH_MAX);
        return 0;
    case MF_FIELD_EXPIRES: r->expires = mf_cbor_get_time(c); return MF_COLUMN_EXPIRES;
    case MF_FIELD_RECORDED:
    case MF_FIELD_VALID_FROM:
    case MF_FIELD_VALID_TO: mf_cbor_get_time(c); return 0;
    case MF_FIELD_IDEMPOTENCY_KEY: r->idempotency_key = limited_text(c, 1, MF_KEY_MAX); return MF_COLUMN_IDEMPOTENCY_KEY;
    case MF_FIELD_DERIVED_FROM:
        r->derived_from.data = c->at;
        parse_id_list(c);
        r->derived_from.length = (size_t)(c->at - r->derived_from.data);
        return 0;
    case MF_FIELD_CONFIDENCE:
    case MF_FIELD_IMPORTANCE: skip_number(c); return 0;
    case MF_FIELD_PINNED:
        if ((mf_get_u8(c) | 1) != MF_CBOR_TRUE)
            c->failed = true;
        return 0;
    case MF_FIELD_EMBEDDING: parse_embedding(r, c); return 0;
    case MF_FIELD_SUPERSEDES:
        r->supersedes.data = c->at;
        parse_leaf_list(c);
        r->supersedes.length = (size_t)(c->at - r->supersedes.data);
        return 0;
    default: /* media_type, title, source, actor, session, model, status, reason */ mf_cbor_get_text(c); return 0;
    }
}

static const char *const field_names[MF_FIELD_COUNT] = {
    "op",          "id",        "kind",       "scope",    "key",
    "time",        "text",      "data",       "media_type", "content",
    "title",       "tags",      "links",      "meta",     "recorded",
    "valid_from",  "valid_to",  "expires",    "source",   "actor",
    "session",     "model",     "derived_from", "idempotency_key", "confidence",
    "importance",  "pinned",    "status",     "embedding", "supersedes",
    "reason"};

const char *mf_field_name(unsigned field)
{
    return field_names[field];
}

unsigned mf_field_named(mf_slice name)
{
    unsigned f = 0;
    while (f < MF_FIELD_COUNT && (f == MF_FIELD_CONTENT || strlen(field_names[f]) != name.length ||
                                  memcmp(field_names[f], name.data, name.length) != 0))
        f++;
    return f;
}

static int add_rest(mf_record *r, const uint8_t *from, const uint8_t *to)
{
    size_t n = (size_t)(to - from);
    r->rest_length += n;
    if (r->rest_count > 0) {
        mf_slice *last = &r->rest[r->rest_count - 1];
        if (last->data + last->length == from) {
            last->length += n;
            return 0;
        }
    }
    if (r->rest_count == MF_REST_PIECES)
        return -1;
    r->rest[r->rest_count++] = mf_slice_of(from, n);
    return 0;
}

static void record_clear(mf_record *r)
{
    r->mask = 0;
    memset(&r->id, 0, sizeof r->id);
    r->kind = r->key = r->text = r->idempotency_key = r->vector = mf_slice_of(NULL, 0);
    r->scope_count = r->tag_count = r->link_count = r->rest_count = 0;
    r->op = MF_OP_PUT;
    r->has_content = r->has_embedding = false;
    r->content_root = r->embedding_hash = NULL;
    r->supersedes = r->derived_from = mf_slice_of(NULL, 0);
    r->rest_length = 0;
}

int mf_record_parse(mf_record *r, mf_slice core, int code, uint64_t offset, memfile_error *err)
{
    record_clear(r);
    if (core.length > MF_CORE_LENGTH_MAX)
        return mf_fail(err, code == MEMFILE_E_INVALID ? MEMFILE_E_LIMIT : code, offset,
                       "the entry takes %zu bytes without its content; at most %u are allowed", core.length,
                       MF_CORE_LENGTH_MAX);
    mf_cursor c = mf_cursor_of(core.data, core.length);
    uint64_t pairs = mf_cbor_get(&c, MF_CBOR_MAP);
    unsigned contents = 0;
    bool texts = false;
    int64_t last = -1;
    uint32_t extensions = 0;
    mf_slice last_text = {0};
    for (uint64_t i = 0; i < pairs && !c.failed; i++) {
        const uint8_t *start = c.at;
        uint8_t first = mf_cbor_peek(&c);
        uint32_t column = 0;
        if (first >> 5 == MF_CBOR_UINT && !texts) {
            uint64_t field = mf_cbor_get(&c, MF_CBOR_UINT);
            if (c.failed || field > INT64_MAX || (int64_t)field <= last)
                return mf_fail(err, code, offset, "the entry's fields are not in order");
            last = (int64_t)field;
            if (field < MF_FIELD_COUNT)
                column = parse_field(r, &c, (unsigned)field, &contents);
            else
                mf_cbor_skip_value(&c, MF_DEPTH_MAX), extensions++;
            if (c.failed)
                return field < MF_FIELD_COUNT
                           ? mf_fail(err, code, offset,
                                     field == MF_FIELD_TEXT
                                         ? "field '%s' is not valid UTF-8 text; put bytes as data"
                                         : "field '%s' has a value that is not allowed: its type, length, characters "
                                           "or form are not those of SPEC 7.1",
                                     field_names[field])
                           : mf_fail(err, code, offset, "field %llu has a value that is not allowed",
                                     (unsigned long long)field);
        } else if (first >> 5 == MF_CBOR_NINT) {
            return mf_fail(err, MEMFILE_E_NEWER, offset, "the entry has a field that only a newer version understands");
        } else {
            texts = true;
            extensions++;
            mf_cbor_get_text(&c);
            mf_slice now = mf_slice_of(start, (size_t)(c.at - start));
            size_t common = now.length < last_text.length ? now.length : last_text.length;
            int order = common ? memcmp(last_text.data, now.data, common) : -1;
            if (c.failed || order > 0 || (order == 0 && now.length <= last_text.length))
                return mf_fail(err, code, offset, "the entry's extensions are not in order");
            last_text = now;
            mf_cbor_skip_value(&c, MF_DEPTH_MAX);
            if (c.failed)
                return mf_fail(err, code, offset, "the extension '%.*s' has a value that is not allowed",
                               (int)(now.length - 1 < 60 ? now.length - 1 : 60), (const char *)now.data + 1);
        }
        if (column == 0 && add_rest(r, start, c.at) != 0)
            return mf_fail(err, code, offset, "the entry cannot be split into columns");
        if (column != UINT32_MAX)
            r->mask |= column;
    }
    if (extensions > MF_EXTENSIONS_MAX)
        return mf_fail(err, code, offset, "the entry has more than %u members of its own", MF_EXTENSIONS_MAX);
    if (!mf_cursor_finished(&c))
        return mf_fail(err, code, offset, "the entry is not a CBOR map of SPEC 7");
    if (r->rest_count)
        r->mask |= MF_COLUMN_REST;
    if (!r->id.data)
        return mf_fail(err, code, offset, "the entry has no id");
    if (contents > 1 || (contents == 0 && r->op == MF_OP_PUT))
        return mf_fail(err, code, offset, contents ? "the entry has more than one of text and data"
                                                   : "the entry has neither text nor data");
    return MEMFILE_OK;
}

bool mf_record_fits_vector(const mf_record *r, mf_slice part)
{
    size_t width = r->embedding_type == MF_VECTOR_F32 ? 4 : 8;
    if (part.length == 0)
        return true; /* dropped, or none */
    if (!r->has_embedding || part.length != r->embedding_count * width)
        return false;
    for (size_t i = 0; i < part.length; i += width) {
        uint64_t exponent = width == 4 ? mf_load32(part.data + i) >> 23 & 0xff : mf_load64(part.data + i) >> 52 & 0x7ff;
        if (exponent == (width == 4 ? 0xff : 0x7ff))
            return false; /* not finite */
    }
    return true;
}
