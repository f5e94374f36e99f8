/* entry: accessors of a view, its JSON, its content. */
#include "cbor.h"
#include "handle.h"

uint64_t memfile_entry_number(const memfile_entry *e)
{
    return e->number;
}

size_t memfile_entry_id(const memfile_entry *e, char out[256])
{
    mf_id id = mf_block_id(e->block, e->row);
    if (id.data)
        return mf_id_print(id, out);
    out[0] = '\0';
    return 0;
}

static const char *give(mf_slice s, size_t *length)
{
    *length = s.length;
    return (const char *)s.data;
}

/* text or bytes that stand in the rest */
static mf_slice rest_string(const memfile_entry *e, unsigned field)
{
    mf_slice value = mf_block_rest_field(e->block, e->row, field);
    mf_cursor c = mf_cursor_of(value.data, value.length);
    uint64_t n;
    unsigned size;
    unsigned major = mf_cbor_get_head(&c, &n, &size);
    if (major != MF_CBOR_TEXT && major != MF_CBOR_BYTES)
        return mf_slice_of(NULL, 0);
    const uint8_t *p = mf_get_bytes(&c, n);
    return mf_slice_of(p, p ? (size_t)n : 0);
}

const char *memfile_entry_field(const memfile_entry *e, memfile_field field, size_t *length)
{
    *length = 0;
    switch (field) {
    case MEMFILE_ID: return NULL;
    case MEMFILE_KIND: return give(mf_block_kind(e->block, e->row), length);
    case MEMFILE_KEY: return give(mf_block_key(e->block, e->row), length);
    case MEMFILE_TEXT: return give(mf_block_text(e->block, e->row), length);
    case MEMFILE_IDEMPOTENCY_KEY: return give(mf_block_idempotency_key(e->block, e->row), length);
    default: return give(rest_string(e, field), length);
    }
}

int memfile_entry_time(const memfile_entry *e, memfile_time_field field, int64_t *seconds, uint32_t *nanoseconds)
{
    mf_time t;
    bool have = false;
    *seconds = 0;
    *nanoseconds = 0;
    if (field == MEMFILE_TIME) {
        have = mf_block_time(e->block, e->row, &t);
    } else if (field == MEMFILE_EXPIRES) {
        have = mf_block_expires(e->block, e->row, &t);
    } else {
        mf_slice value = mf_block_rest_field(e->block, e->row, field);
        mf_cursor c = mf_cursor_of(value.data, value.length);
        t = mf_cbor_get_time(&c);
        have = value.length > 0 && !c.failed;
    }
    if (have) {
        *seconds = t.seconds;
        *nanoseconds = mf_time_nanoseconds(&t);
    }
    return have;
}

size_t memfile_entry_scope_count(const memfile_entry *e)
{
    mf_slice scope[MF_SCOPE_MAX];
    return mf_block_scope(e->block, e->row, scope);
}

const char *memfile_entry_scope(const memfile_entry *e, size_t index, size_t *length)
{
    mf_slice scope[MF_SCOPE_MAX];
    *length = 0;
    return index < mf_block_scope(e->block, e->row, scope) ? give(scope[index], length) : NULL;
}

size_t memfile_entry_tag_count(const memfile_entry *e)
{
    uint32_t first;
    return mf_block_tags(e->block, e->row, &first);
}

const char *memfile_entry_tag(const memfile_entry *e, size_t index, size_t *length)
{
    uint32_t first;
    *length = 0;
    return index < mf_block_tags(e->block, e->row, &first) ? give(mf_block_tag(e->block, first + (uint32_t)index), length)
                                                           : NULL;
}

size_t memfile_entry_link_count(const memfile_entry *e)
{
    uint32_t first;
    return mf_block_links(e->block, e->row, &first);
}

const char *memfile_entry_link(const memfile_entry *e, size_t index, size_t *relation_length, char out[256],
                               size_t *target_length)
{
    uint32_t first, count = mf_block_links(e->block, e->row, &first);
    *relation_length = *target_length = 0;
    out[0] = '\0';
    if (index >= count)
        return NULL;
    mf_id target = mf_block_target(e->block, first + (uint32_t)index);
    if (target.data)
        *target_length = mf_id_print(target, out);
    return give(mf_block_relation(e->block, first + (uint32_t)index), relation_length);
}

int memfile_entry_is_pinned(const memfile_entry *e)
{
    mf_slice value = mf_block_rest_field(e->block, e->row, MF_FIELD_PINNED);
    return value.length == 1 && value.data[0] == MF_CBOR_TRUE;
}

static bool detached_of(const memfile_entry *e, mf_detached *out)
{
    mf_slice value = mf_block_rest_field(e->block, e->row, MF_FIELD_CONTENT);
    mf_cursor c = mf_cursor_of(value.data, value.length);
    if (mf_cbor_get(&c, MF_CBOR_ARRAY) != 3)
        return false;
    out->form = mf_cbor_get(&c, MF_CBOR_UINT);
    out->length = mf_cbor_get(&c, MF_CBOR_UINT);
    mf_slice root = mf_cbor_get_bytes(&c);
    if (root.length != 32 || (out->length - 1) / MF_CHUNK_LENGTH >= MF_CHUNKS_MAX) /* nor is it 0; where reading failed there is no root */
        return false;
    memcpy(out->root, root.data, 32);
    return true;
}

uint64_t memfile_entry_content_length(const memfile_entry *e)
{
    mf_detached d;
    if (detached_of(e, &d))
        return d.length;
    mf_slice text = mf_block_text(e->block, e->row);
    return text.data ? text.length : rest_string(e, MF_FIELD_DATA).length;
}

int memfile_entry_content_is_detached(const memfile_entry *e)
{
    mf_detached d;
    return detached_of(e, &d);
}

/* ---- content as a stream */

struct memfile_content {
    memfile *mf;
    bool detached;
    mf_content_reader reader;
    uint8_t *bytes; /* a copy of inline content */
    size_t length, given;
};

int memfile_content_open(memfile *mf, const memfile_entry *e, memfile_content **out)
{
    mf_detached d;
    *out = NULL;
    memfile_content *c = (memfile_content *)mf_alloc_zero(&mf->mem, sizeof *c);
    if (!c)
        return mf_fail_memory(&mf->error);
    int rc = MEMFILE_OK;
    c->mf = mf;
    c->detached = detached_of(e, &d);
    if (c->detached) {
        rc = mf_content_reader_open(&c->reader, &mf->store, &d, &mf->error);
        if (mf_handle_fall_back(mf, &rc))
            rc = mf_content_reader_open(&c->reader, &mf->store, &d, &mf->error);
    } else {
        mf_slice s = mf_block_text(e->block, e->row);
        if (!s.data)
            s = rest_string(e, MF_FIELD_DATA);
        c->length = s.length;
        c->bytes = (uint8_t *)mf_alloc(&mf->mem, s.length);
        if (!c->bytes)
            rc = mf_fail_memory(&mf->error);
        else if (s.length)
            memcpy(c->bytes, s.data, s.length);
    }
    if (rc != MEMFILE_OK) {
        memfile_content_close(c);
        return rc;
    }
    *out = c;
    return MEMFILE_OK;
}

int memfile_content_read(memfile_content *c, void *out, size_t size, size_t *length)
{
    if (c->detached)
        return mf_content_reader_read(&c->reader, out, size, length, &c->mf->error);
    size_t n = c->length - c->given < size ? c->length - c->given : size;
    if (n)
        memcpy(out, c->bytes + c->given, n);
    c->given += n;
    *length = n;
    return MEMFILE_OK;
}

void memfile_content_close(memfile_content *c)
{
    if (!c)
        return;
    if (c->detached)
        mf_content_reader_close(&c->reader);
    mf_free(&c->mf->mem, c->bytes);
    mf_free(&c->mf->mem, c);
}

/* ---- JSON */

static int load_content(memfile *mf, const mf_detached *d, uint64_t limit)
{
    mf_content_reader reader;
    if (d->length > limit)
        return mf_fail(&mf->error, MEMFILE_E_LIMIT, MF_NOWHERE,
                       "the content has %llu bytes, more than the %llu that were allowed",
                       (unsigned long long)d->length, (unsigned long long)limit);
    /* the content, the line, and both again while they grow */
    if (mf->limiter.limit && d->length > mf->limiter.limit / 4)
        return mf_fail(&mf->error, MEMFILE_E_LIMIT, MF_NOWHERE,
                       "the content has %llu bytes, too many for a line of JSON within the handle's memory limit of %llu; "
                       "read it as a stream",
                       (unsigned long long)d->length, (unsigned long long)mf->limiter.limit);
    mf_buffer_clear(&mf->content);
    int rc = mf_content_reader_open(&reader, &mf->store, d, &mf->error);
    while (rc == MEMFILE_OK) {
        size_t n = 0;
        uint8_t *p = mf_buffer_reserve(&mf->content, MF_CHUNK_LENGTH);
        rc = p ? mf_content_reader_read(&reader, p, MF_CHUNK_LENGTH, &n, &mf->error) : mf_fail_memory(&mf->error);
        mf->content.length += n;
        if (n == 0)
            break;
    }
    mf_content_reader_close(&reader);
    return rc;
}

int memfile_entry_json(memfile *mf, const memfile_entry *e, uint64_t content_limit, const char **out, size_t *length)
{
    *out = NULL;
    *length = 0;
    mf_buffer_clear(&mf->core);
    mf_buffer_clear(&mf->json);
    int rc = mf_block_core(e->block, e->row, &mf->core);
    if (rc != 0)
        return rc == -2 ? mf_fail_memory(&mf->error)
                        : mf_fail(&mf->error, MEMFILE_E_DAMAGED, MF_NOWHERE, "entry %llu is damaged",
                                  (unsigned long long)e->number);
    mf_slice core = mf_slice_of(mf->core.data, mf->core.length), content = {0};
    rc = mf_record_parse(mf->record, core, MEMFILE_E_DAMAGED, MF_NOWHERE, &mf->error);
    if (rc != MEMFILE_OK)
        return rc;
    mf->record->vector = mf_block_vector(e->block, e->row);
    if (!mf_record_fits_vector(mf->record, mf->record->vector))
        return mf_fail(&mf->error, MEMFILE_E_DAMAGED, MF_NOWHERE, "the vector of entry %llu is not the one it names",
                       (unsigned long long)e->number);
    if (mf->record->has_content) {
        mf_detached d = {mf->record->content_form, mf->record->content_length, {0}};
        memcpy(d.root, mf->record->content_root, 32);
        rc = load_content(mf, &d, content_limit);
        if (mf_handle_fall_back(mf, &rc))
            rc = load_content(mf, &d, content_limit);
        if (rc != MEMFILE_OK)
            return rc;
        content = mf_slice_of(mf->content.data, mf->content.length);
        if (d.form == MF_CONTENT_TEXT && !mf_utf8_valid(content.data, content.length))
            return mf_fail(&mf->error, MEMFILE_E_DAMAGED, MF_NOWHERE, "the text of entry %llu is not valid UTF-8",
                           (unsigned long long)e->number);
    }
    mf_record_put_json(&mf->json, mf->record, core, mf->record->has_content ? &content : NULL);
    if (mf->json.failed)
        return mf_fail_memory(&mf->error);
    *out = (const char *)mf->json.data;
    *length = mf->json.length;
    return MEMFILE_OK;
}
