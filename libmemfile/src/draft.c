/* draft: setters, content, and the core that comes of them. SPEC 7. */
#include "draft_inside.h"

#include <math.h>
#include <stdio.h>

#include "cbor.h"
#include "digest.h"
#include "json.h"
#include "base64.h"
int memfile_draft_new(memfile_draft **out)
{
    const mf_mem *mem = &mf_mem_default;
    *out = NULL;
    if (!mf_digest_start())
        return MEMFILE_E_SYSTEM;
    memfile_draft *d = (memfile_draft *)mf_alloc_zero(mem, sizeof *d);
    if (!d)
        return MEMFILE_E_MEMORY;
    mf_buffer_init(&d->values, mem);
    mf_buffer_init(&d->scope, mem);
    mf_buffer_init(&d->tags, mem);
    mf_buffer_init(&d->links, mem);
    mf_buffer_init(&d->content, mem);
    mf_buffer_init(&d->vector, mem);
    *out = d;
    return MEMFILE_OK;
}

void memfile_draft_clear(memfile_draft *d)
{
    d->present = 0;
    mf_buffer_clear(&d->values);
    mf_buffer_clear(&d->scope);
    mf_buffer_clear(&d->tags);
    mf_buffer_clear(&d->links);
    mf_buffer_clear(&d->content);
    mf_buffer_clear(&d->vector);
    d->scope_count = d->tag_count = d->link_count = 0;
    d->extension_count = 0;
    d->source = FROM_NOTHING;
    d->error.code = 0;
}

void memfile_draft_free(memfile_draft *d)
{
    if (!d)
        return;
    const mf_mem *mem = &mf_mem_default;
    mf_buffer_free(&d->values);
    mf_buffer_free(&d->scope);
    mf_buffer_free(&d->tags);
    mf_buffer_free(&d->links);
    mf_buffer_free(&d->content);
    mf_buffer_free(&d->vector);
    mf_free(mem, d->extensions);
    mf_free(mem, d);
}

const memfile_error *mf_draft_error(const memfile_draft *d)
{
    return d->error.code ? &d->error : NULL;
}

int mf_draft_fail(memfile_draft *d, int code, const char *what)
{
    if (!d->error.code)
        mf_fail(&d->error, code, MF_NOWHERE, "%s", what);
    return code;
}

int mf_draft_check(memfile_draft *d)
{
    if (d->values.failed || d->scope.failed || d->tags.failed || d->links.failed || d->content.failed ||
        d->vector.failed)
        return mf_draft_fail(d, MEMFILE_E_MEMORY, "out of memory");
    return MEMFILE_OK;
}

/* ---- slots */

void mf_draft_slot_begin(memfile_draft *d, unsigned field)
{
    d->slots[field].offset = d->values.length;
    d->present |= (uint32_t)1 << field;
}

int mf_draft_slot_end(memfile_draft *d, unsigned field)
{
    d->slots[field].length = d->values.length - d->slots[field].offset;
    return mf_draft_check(d);
}

void mf_draft_set_content(memfile_draft *d, int form, content_source source, uint64_t length)
{
    d->form = form;
    d->source = source;
    d->content_length = length;
}

void mf_draft_set_id(memfile_draft *d, mf_id id)
{
    mf_draft_slot_begin(d, MF_FIELD_ID);
    mf_cbor_put_id(&d->values, id);
    mf_draft_slot_end(d, MF_FIELD_ID);
}

int memfile_draft_set(memfile_draft *d, memfile_field field, const void *value, size_t length)
{
    mf_slice s = mf_slice_of(value, length);
    uint8_t binary[16];
    switch (field) {
    case MEMFILE_TEXT:
    case MEMFILE_DATA:
        /* UTF-8 is checked when it is put: with the core, or chunk by chunk */
        mf_buffer_clear(&d->content);
        mf_put_bytes(&d->content, value, length);
        mf_draft_set_content(d, field == MEMFILE_TEXT ? MF_CONTENT_TEXT : MF_CONTENT_DATA, FROM_BYTES, length);
        return mf_draft_check(d);
    case MEMFILE_ID: mf_draft_set_id(d, mf_id_from_text((const char *)value, length, binary)); return mf_draft_check(d);
    case MEMFILE_KIND:
    case MEMFILE_KEY:
    case MEMFILE_MEDIA_TYPE:
    case MEMFILE_TITLE:
    case MEMFILE_SOURCE:
    case MEMFILE_ACTOR:
    case MEMFILE_SESSION:
    case MEMFILE_MODEL:
    case MEMFILE_IDEMPOTENCY_KEY:
    case MEMFILE_STATUS:
        mf_draft_slot_begin(d, field);
        mf_cbor_put_text(&d->values, s);
        return mf_draft_slot_end(d, field);
    default: return mf_draft_fail(d, MEMFILE_E_MISUSE, "not a text field");
    }
}

static int set_time(memfile_draft *d, unsigned field, const mf_time *time)
{
    if (field != MF_FIELD_TIME && (field < MF_FIELD_RECORDED || field > MF_FIELD_EXPIRES))
        return mf_draft_fail(d, MEMFILE_E_MISUSE, "not a time field");
    mf_draft_slot_begin(d, field);
    mf_cbor_put_time(&d->values, time);
    return mf_draft_slot_end(d, field);
}

int memfile_draft_set_time(memfile_draft *d, memfile_time_field field, const char *rfc3339)
{
    mf_time time;
    if (!mf_time_parse(&time, rfc3339, strlen(rfc3339)))
        return mf_draft_fail(d, MEMFILE_E_INVALID, MF_TIME_FORM);
    return set_time(d, field, &time);
}

int memfile_draft_set_time_ns(memfile_draft *d, memfile_time_field field, int64_t seconds, uint32_t nanoseconds)
{
    mf_time time = {seconds, nanoseconds, nanoseconds ? 9 : 0};
    if (nanoseconds > 999999999 || seconds < MF_SECONDS_MIN || seconds > MF_SECONDS_MAX)
        return mf_draft_fail(d, MEMFILE_E_INVALID, "the time is outside the years 0000 to 9999");
    return set_time(d, field, &time);
}

static int add_text(memfile_draft *d, mf_buffer *list, uint32_t *count, const char *text, size_t length)
{
    mf_cbor_put_text(list, mf_slice_of(text, length));
    ++*count;
    return mf_draft_check(d);
}

int memfile_draft_add_scope(memfile_draft *d, const char *name, size_t length)
{
    return add_text(d, &d->scope, &d->scope_count, name, length);
}

int memfile_draft_add_tag(memfile_draft *d, const char *tag, size_t length)
{
    return add_text(d, &d->tags, &d->tag_count, tag, length);
}

int memfile_draft_add_link(memfile_draft *d, const char *relation, size_t relation_length, const char *target_id,
                           size_t target_length)
{
    uint8_t binary[16];
    mf_cbor_put_head(&d->links, MF_CBOR_ARRAY, 2);
    mf_cbor_put_text(&d->links, mf_slice_of(relation, relation_length));
    mf_cbor_put_id(&d->links, mf_id_from_text(target_id, target_length, binary));
    d->link_count++;
    return mf_draft_check(d);
}

int memfile_draft_set_pinned(memfile_draft *d, int pinned)
{
    mf_draft_slot_begin(d, MF_FIELD_PINNED);
    mf_put_u8(&d->values, pinned ? MF_CBOR_TRUE : MF_CBOR_FALSE);
    return mf_draft_slot_end(d, MF_FIELD_PINNED);
}

int mf_draft_set_float(memfile_draft *d, unsigned field, double v)
{
    if (!isfinite(v))
        return mf_draft_fail(d, MEMFILE_E_INVALID, "the number is not finite");
    mf_draft_slot_begin(d, field);
    mf_cbor_put_float(&d->values, v);
    return mf_draft_slot_end(d, field);
}

int memfile_draft_set_confidence(memfile_draft *d, double confidence)
{
    return mf_draft_set_float(d, MF_FIELD_CONFIDENCE, confidence);
}

int memfile_draft_set_importance(memfile_draft *d, double importance)
{
    return mf_draft_set_float(d, MF_FIELD_IMPORTANCE, importance);
}

int mf_draft_set_embedding(memfile_draft *d, mf_slice space, unsigned type, size_t count)
{
    uint8_t hash[32];
    mf_digest(hash, MF_LABEL_PART, d->vector.data, d->vector.length);
    mf_draft_slot_begin(d, MF_FIELD_EMBEDDING);
    mf_cbor_put_head(&d->values, MF_CBOR_ARRAY, 4);
    mf_cbor_put_text(&d->values, space);
    mf_cbor_put_head(&d->values, MF_CBOR_UINT, type);
    mf_cbor_put_head(&d->values, MF_CBOR_UINT, count);
    mf_cbor_put_bytes(&d->values, mf_slice_of(hash, sizeof hash));
    return mf_draft_slot_end(d, MF_FIELD_EMBEDDING);
}

void mf_draft_put_float32(mf_buffer *b, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, 4);
    mf_put_u32(b, bits);
}

int memfile_draft_set_embedding(memfile_draft *d, const char *space, const float *values, size_t count)
{
    mf_buffer_clear(&d->vector);
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            return mf_draft_fail(d, MEMFILE_E_INVALID, "a vector value is not finite");
        mf_draft_put_float32(&d->vector, values[i]);
    }
    return mf_draft_set_embedding(d, mf_slice_of(space, strlen(space)), MF_VECTOR_F32, count);
}

/* ---- content */

uint64_t mf_draft_content_length(const memfile_draft *d)
{
    return d->source == FROM_NOTHING ? UINT64_MAX : d->content_length;
}

int mf_draft_content_form(const memfile_draft *d)
{
    return d->form;
}

bool mf_draft_has(const memfile_draft *d, unsigned field)
{
    return d->present >> field & 1;
}

void mf_draft_content_rewind(memfile_draft *d)
{
    d->reading = d->source == FROM_BYTES ? mf_slice_of(d->content.data, d->content.length) : d->borrowed;
}

size_t mf_draft_content_next(memfile_draft *d, uint8_t *out, size_t size)
{
    if (d->source == FROM_JSON)
        return mf_json_unescape(&d->reading, out, size);
    if (d->source == FROM_BASE64)
        return mf_base64_decode(&d->reading, out, size);
    size_t n = d->reading.length < size ? d->reading.length : size;
    if (n)
        memcpy(out, d->reading.data, n);
    d->reading = mf_slice_of(d->reading.data + n, d->reading.length - n);
    return n;
}

mf_slice mf_draft_vector(const memfile_draft *d)
{
    return mf_draft_has(d, MF_FIELD_EMBEDDING) ? mf_slice_of(d->vector.data, d->vector.length) : mf_slice_of(NULL, 0);
}

/* ---- core */

static void put_list(mf_buffer *out, unsigned field, const mf_buffer *items, uint32_t count)
{
    mf_cbor_put_head(out, MF_CBOR_UINT, field);
    mf_cbor_put_head(out, MF_CBOR_ARRAY, count);
    mf_put_bytes(out, items->data, items->length);
}

static void put_content(memfile_draft *d, const mf_detached *detached, mf_buffer *out)
{
    if (detached) {
        mf_cbor_put_head(out, MF_CBOR_UINT, MF_FIELD_CONTENT);
        mf_cbor_put_head(out, MF_CBOR_ARRAY, 3);
        mf_cbor_put_head(out, MF_CBOR_UINT, detached->form);
        mf_cbor_put_head(out, MF_CBOR_UINT, detached->length);
        mf_cbor_put_bytes(out, mf_slice_of(detached->root, sizeof detached->root));
        return;
    }
    mf_slice s = mf_slice_of(d->content.data, d->content.length);
    bool text = d->form == MF_CONTENT_TEXT;
    mf_cbor_put_head(out, MF_CBOR_UINT, text ? MF_FIELD_TEXT : MF_FIELD_DATA);
    if (text)
        mf_cbor_put_text(out, s);
    else
        mf_cbor_put_bytes(out, s);
}

static int compare_extensions(const memfile_draft *d, const extension *a, const extension *b)
{
    size_t n = a->key_length < b->key_length ? a->key_length : b->key_length;
    int order = memcmp(d->values.data + a->offset, d->values.data + b->offset, n);
    return order ? order : a->key_length < b->key_length ? -1 : 1;
}

static void sort_extensions(memfile_draft *d)
{
    for (size_t i = 1; i < d->extension_count; i++) {
        extension x = d->extensions[i];
        size_t k = i;
        for (; k > 0 && compare_extensions(d, &d->extensions[k - 1], &x) > 0; k--)
            d->extensions[k] = d->extensions[k - 1];
        d->extensions[k] = x;
    }
}

/* Which field a content goes under: text and data differ in the key only. */
static unsigned content_field(const memfile_draft *d, const mf_detached *detached)
{
    return detached                      ? MF_FIELD_CONTENT
           : d->source == FROM_NOTHING   ? MF_FIELD_COUNT
           : d->form == MF_CONTENT_TEXT ? MF_FIELD_TEXT
                                         : MF_FIELD_DATA;
}

void mf_draft_core(memfile_draft *d, const mf_detached *detached, mf_buffer *out)
{
    unsigned content = content_field(d, detached);
    uint32_t fields = d->present, lists = 0;
    if (d->scope_count)
        lists |= 1u << MF_FIELD_SCOPE;
    if (d->tag_count)
        lists |= 1u << MF_FIELD_TAGS;
    if (d->link_count)
        lists |= 1u << MF_FIELD_LINKS;
    fields |= lists | (content < MF_FIELD_COUNT ? 1u << content : 0);
    uint64_t pairs = d->extension_count;
    for (uint32_t left = fields; left; left &= left - 1)
        pairs++;
    mf_cbor_put_head(out, MF_CBOR_MAP, pairs);
    for (unsigned f = 0; fields >> f; f++) {
        if (!(fields >> f & 1))
            continue;
        if (f == content) {
            put_content(d, detached, out);
        } else if (lists >> f & 1) {
            if (f == MF_FIELD_SCOPE)
                put_list(out, f, &d->scope, d->scope_count);
            else if (f == MF_FIELD_TAGS)
                put_list(out, f, &d->tags, d->tag_count);
            else
                put_list(out, f, &d->links, d->link_count);
        } else {
            mf_cbor_put_head(out, MF_CBOR_UINT, f);
            mf_put_bytes(out, d->values.data + d->slots[f].offset, d->slots[f].length);
        }
    }
    if (d->extension_count > 1)
        sort_extensions(d);
    for (size_t i = 0; i < d->extension_count; i++)
        mf_put_bytes(out, d->values.data + d->extensions[i].offset, d->extensions[i].length);
}
