/* page: index pages and items. SPEC 10. */
#include "page.h"

#include "checksum.h"

/* ---- reading */

/* Form 1: a first number and gaps, summed up into a list. */
static uint64_t *get_gaps(mf_cursor *c, uint32_t count, mf_arena *arena, bool *no_memory)
{
    uint64_t first = mf_get_varint(c);
    mf_ints gaps = mf_get_ints(c, count - 1);
    uint64_t *list = c->failed ? NULL : (uint64_t *)mf_arena_alloc(arena, count * sizeof *list);
    if (!list) {
        *no_memory |= !c->failed;
        c->failed = true;
        return NULL;
    }
    list[0] = first;
    for (uint32_t i = 1; i < count; i++) {
        uint64_t gap = mf_ints_at(&gaps, i - 1);
        if (gap > UINT64_MAX - list[i - 1]) {
            c->failed = true;
            return NULL;
        }
        list[i] = list[i - 1] + gap;
    }
    return list;
}

static void strip_item(const mf_strip *s, uint32_t i, mf_item *out)
{
    out->kind = s->kind;
    out->key = s->key_list ? s->key_list[i] : mf_ints_at(&s->keys, i);
    out->value = s->value_list ? s->value_list[i] : mf_ints_at(&s->values, i);
}

static int parse_leaf(mf_page *page, mf_cursor *c, mf_arena *arena)
{
    bool no_memory = false, have_last = false;
    mf_item last = {0};
    /* A strip takes at least 5 bytes; one that is cut off, at the end, needs room too. */
    page->strips = (mf_strip *)mf_arena_alloc(arena, (mf_cursor_left(c) / 5 + 1) * sizeof *page->strips);
    if (!page->strips)
        return -2;
    while (!c->failed && c->at < c->end) {
        mf_strip *s = &page->strips[page->strip_count++];
        memset(s, 0, sizeof *s);
        s->kind = mf_get_u8(c);
        uint8_t form = mf_get_u8(c);
        s->count = (uint32_t)mf_get_varint_max(c, MF_PAGE_ITEMS_MAX - page->count);
        s->first = page->count;
        if (s->count == 0)
            return -1;
        if (form > 1)
            return -3;
        if (form == 0) {
            s->keys = mf_get_ints(c, s->count);
            s->values = mf_get_ints(c, s->count);
        } else {
            s->key_list = get_gaps(c, s->count, arena, &no_memory);
            s->value_list = get_gaps(c, s->count, arena, &no_memory);
        }
        for (uint32_t i = 0; i < s->count && !c->failed; i++) {
            mf_item now;
            strip_item(s, i, &now);
            if (have_last && mf_item_compare(&last, &now) >= 0)
                c->failed = true;
            last = now;
            have_last = true;
        }
        page->count += s->count;
    }
    return no_memory ? -2 : c->failed || page->count == 0 ? -1 : 0;
}

static int parse_inner(mf_page *page, mf_cursor *c)
{
    page->count = (uint32_t)mf_get_varint_max(c, MF_PAGE_ITEMS_MAX);
    page->kinds = mf_get_ints(c, page->count);
    page->keys = mf_get_ints(c, page->count);
    page->values = mf_get_ints(c, page->count);
    page->offsets = mf_get_ints(c, page->count);
    page->lengths = mf_get_ints(c, page->count);
    if (!mf_cursor_finished(c) || page->count == 0)
        return -1;
    mf_item last = {0}, now;
    for (uint32_t i = 0; i < page->count; i++) {
        if (mf_ints_at(&page->kinds, i) > 255)
            return -1;
        mf_page_item(page, i, &now);
        if (i > 0 && mf_item_compare(&last, &now) >= 0)
            return -1;
        last = now;
    }
    return 0;
}

int mf_page_parse(mf_page *page, mf_slice head, mf_arena *arena)
{
    mf_cursor c = mf_cursor_of(head.data, head.length);
    memset(page, 0, sizeof *page);
    if (head.length > MF_PAGE_BODY_MAX)
        return -1;
    page->level = mf_get_u8(&c);
    page->first_entry = mf_get_varint_max(&c, MF_ENTRIES_MAX);
    page->entry_count = mf_get_varint_max(&c, MF_ENTRIES_MAX);
    if (page->level >= MF_PAGE_LEVEL_MAX)
        return -1;
    return page->level == 0 ? parse_leaf(page, &c, arena) : parse_inner(page, &c);
}

void mf_page_item(const mf_page *page, uint32_t i, mf_item *out)
{
    if (page->level > 0) {
        out->kind = (uint8_t)mf_ints_at(&page->kinds, i);
        out->key = mf_ints_at(&page->keys, i);
        out->value = mf_ints_at(&page->values, i);
        return;
    }
    uint32_t low = 0, high = page->strip_count - 1; /* last strip that starts at or before i */
    while (low < high) {
        uint32_t middle = (low + high + 1) / 2;
        if (page->strips[middle].first <= i)
            low = middle;
        else
            high = middle - 1;
    }
    strip_item(&page->strips[low], i - page->strips[low].first, out);
}

static uint32_t strip_rank(const mf_strip *s, const mf_item *target)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        mf_item item;
        strip_item(s, middle, &item);
        if (mf_item_compare(&item, target) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t mf_page_rank(const mf_page *page, const mf_item *target)
{
    uint32_t low = 0, high;
    mf_item item;
    if (page->level == 0) {
        high = page->strip_count; /* strips whose first item is <= target */
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            strip_item(&page->strips[middle], 0, &item);
            if (mf_item_compare(&item, target) <= 0)
                low = middle + 1;
            else
                high = middle;
        }
        return low == 0 ? 0 : page->strips[low - 1].first + strip_rank(&page->strips[low - 1], target);
    }
    high = page->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        mf_page_item(page, middle, &item);
        if (mf_item_compare(&item, target) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- writing */

#define STRIP_MAX 4096u

/* Kinds whose pages are searched one item at a time; the others are read in
 * sequence and are smaller as gaps. */
static bool plain_kind(unsigned kind)
{
    return kind == MF_ITEM_BLOCK || kind == MF_ITEM_ID || kind == MF_ITEM_KEY || kind == MF_ITEM_CHUNK ||
           kind == MF_ITEM_TIME;
}

static uint32_t equal_keys(const mf_item *items, uint32_t count)
{
    uint32_t n = 1;
    while (n < count && n < STRIP_MAX && items[n].kind == items[0].kind && items[n].key == items[0].key)
        n++;
    return n;
}

/* Kinds whose keys are their own rather than hashes: many with one key are rare. */
static bool numbered_kind(unsigned kind)
{
    return kind == MF_ITEM_COMMIT || kind == MF_ITEM_FATE || kind == MF_ITEM_FORGOTTEN;
}

/* How many items belong in one strip with the first. */
static uint32_t strip_length(const mf_item *items, uint32_t count)
{
    uint32_t same = equal_keys(items, count), n;
    if (!plain_kind(items[0].kind) && !numbered_kind(items[0].kind) && same >= 4)
        return same;
    for (n = 1; n < count && n < STRIP_MAX && items[n].kind == items[0].kind; n++)
        if (items[n].key != items[n - 1].key && !plain_kind(items[n].kind) && !numbered_kind(items[n].kind) &&
            equal_keys(items + n, count - n) >= 4)
            break;
    return n;
}

static bool values_rise(const mf_item *items, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (items[i].value < items[i - 1].value)
            return false;
    return true;
}

/* Appends one strip of all `count` items, in the smaller form. */
static void put_strip(mf_buffer *out, const mf_item *items, uint32_t count)
{
    uint64_t keys[STRIP_MAX], values[STRIP_MAX];
    bool gaps = !plain_kind(items[0].kind) && values_rise(items, count);
    mf_put_u8(out, items[0].kind);
    mf_put_u8(out, gaps);
    mf_put_varint(out, count);
    if (!gaps) {
        for (uint32_t i = 0; i < count; i++) {
            keys[i] = items[i].key;
            values[i] = items[i].value;
        }
        mf_put_ints(out, keys, count);
        mf_put_ints(out, values, count);
        return;
    }
    for (uint32_t i = 1; i < count; i++) {
        keys[i - 1] = items[i].key - items[i - 1].key;
        values[i - 1] = items[i].value - items[i - 1].value;
    }
    mf_put_varint(out, items[0].key);
    mf_put_ints(out, keys, count - 1);
    mf_put_varint(out, items[0].value);
    mf_put_ints(out, values, count - 1);
}

uint32_t mf_page_put_leaf(mf_buffer *out, uint64_t first_entry, uint64_t entry_count, const mf_item *items,
                          uint32_t count)
{
    const size_t room = MF_PAGE_BODY_TARGET - 16, start = out->length;
    uint32_t done = 0, guess = 640;
    mf_put_u8(out, 0);
    mf_put_varint(out, first_entry);
    mf_put_varint(out, entry_count);
    while (done < count && !out->failed) {
        uint32_t whole = strip_length(items + done, count - done), n = whole;
        if (plain_kind(items[done].kind) && n > guess)
            n = guess;
        size_t before = out->length;
        put_strip(out, items + done, n);
        size_t used = out->length - before, left = room - (before - start);
        if (before - start > room)
            left = 0;
        if (used > left) {
            uint32_t fits = (uint32_t)((uint64_t)n * left / used);
            fits = fits > 8 ? fits - fits / 16 - 1 : fits / 2;
            out->length = before;
            if (fits == 0 && done > 0)
                break;
            put_strip(out, items + done, fits ? fits : 1);
            if (out->length - start > room && done > 0) {
                out->length = before;
                break;
            }
            done += fits ? fits : 1;
            break;
        }
        done += n;
        if (n == whole)
            continue;
        /* The guess fitted with room to spare: try again with more of it. */
        if (left - used < 64)
            break;
        done -= n;
        out->length = before;
        guess = (uint32_t)((uint64_t)n * left / used);
        if (guess <= n + 4) {
            put_strip(out, items + done, n);
            done += n;
            break;
        }
    }
    return done;
}

void mf_page_put_inner(mf_buffer *out, unsigned level, uint64_t first_entry, uint64_t entry_count,
                       const mf_child *children, uint32_t count)
{
    uint64_t list[MF_PAGE_BODY_TARGET / 8];
    mf_put_u8(out, (uint8_t)level);
    mf_put_varint(out, first_entry);
    mf_put_varint(out, entry_count);
    mf_put_varint(out, count);
    for (unsigned column = 0; column < 5; column++) {
        for (uint32_t i = 0; i < count; i++)
            list[i] = column == 0   ? children[i].first.kind
                      : column == 1 ? children[i].first.key
                      : column == 2 ? children[i].first.value
                      : column == 3 ? children[i].offset / 8
                                    : children[i].length / 8;
        mf_put_ints(out, list, count);
    }
}

/* ---- items */

void mf_items_init(mf_items *items, const mf_mem *mem)
{
    memset(items, 0, sizeof *items);
    items->mem = mem;
}

void mf_items_clear(mf_items *items)
{
    for (unsigned k = 0; k <= MF_ITEM_LAST; k++)
        items->kind[k].count = 0;
    items->failed = false;
}

void mf_items_free(mf_items *items)
{
    for (unsigned k = 0; k <= MF_ITEM_LAST; k++) {
        mf_free(items->mem, items->kind[k].pairs);
        items->kind[k].pairs = NULL;
        items->kind[k].count = items->kind[k].capacity = 0;
    }
}

void mf_items_add(mf_items *items, unsigned kind, uint64_t key, uint64_t value)
{
    if (MF_UNLIKELY(items->kind[kind].count == items->kind[kind].capacity)) {
        void *grown = items->kind[kind].pairs;
        if (mf_grow(items->mem, &grown, &items->kind[kind].capacity, items->kind[kind].count + 1, sizeof(mf_pair)) !=
            0) {
            items->failed = true;
            return;
        }
        items->kind[kind].pairs = (mf_pair *)grown;
    }
    items->kind[kind].pairs[items->kind[kind].count++] = (mf_pair){key, value};
}

void mf_items_forget_contents(mf_items *items, uint64_t number)
{
    size_t *objects = &items->kind[MF_ITEM_OBJECT].count, *chunks = &items->kind[MF_ITEM_CHUNK].count;
    while (*objects > 0 && items->kind[MF_ITEM_OBJECT].pairs[*objects - 1].value >= number)
        --*objects;
    while (*chunks > 0 && items->kind[MF_ITEM_CHUNK].pairs[*chunks - 1].key >> 24 >= number)
        --*chunks;
}

size_t mf_items_count(const mf_items *items)
{
    size_t n = 0;
    for (unsigned k = 0; k <= MF_ITEM_LAST; k++)
        n += items->kind[k].count;
    return n;
}

/* Least significant digit first, stable; bytes that are the same in all keys are passed over. */
static bool radix_sort(mf_pair *pairs, size_t n, const mf_mem *mem)
{
    uint64_t every = UINT64_MAX, any = 0;
    bool sorted = true;
    for (size_t i = 0; i < n; i++) {
        every &= pairs[i].key;
        any |= pairs[i].key;
        sorted &= i == 0 || pairs[i - 1].key <= pairs[i].key;
    }
    if (sorted)
        return true;
    mf_pair *other = (mf_pair *)mf_alloc(mem, n * sizeof *other);
    if (!other)
        return false;
    mf_pair *from = pairs, *to = other;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        size_t start[257] = {0};
        if (((every ^ any) >> shift & 0xff) == 0)
            continue;
        for (size_t i = 0; i < n; i++)
            start[(from[i].key >> shift & 0xff) + 1]++;
        for (unsigned d = 0; d < 256; d++)
            start[d + 1] += start[d];
        for (size_t i = 0; i < n; i++)
            to[start[from[i].key >> shift & 0xff]++] = from[i];
        mf_pair *swap = from;
        from = to;
        to = swap;
    }
    if (from != pairs)
        memcpy(pairs, from, n * sizeof *pairs);
    mf_free(mem, other);
    return true;
}

/* Of items that are sorted by key: puts those of one entry in order, each once. */
static void settle_values(mf_items *items, unsigned kind)
{
    mf_pair *p = items->kind[kind].pairs;
    size_t n = items->kind[kind].count, kept = 0;
    for (size_t i = 0; i < n; i++) {
        mf_pair now = p[i];
        size_t at = kept;
        while (at > 0 && p[at - 1].key == now.key && p[at - 1].value > now.value)
            at--;
        if (at > 0 && p[at - 1].key == now.key && p[at - 1].value == now.value)
            continue;
        if (at < kept)
            memmove(p + at + 1, p + at, (kept - at) * sizeof *p);
        p[at] = now;
        kept++;
    }
    items->kind[kind].count = kept;
}

void mf_items_sort(mf_items *items)
{
    for (unsigned k = 0; k <= MF_ITEM_LAST; k++)
        if (items->kind[k].count > 1 && !radix_sort(items->kind[k].pairs, items->kind[k].count, items->mem))
            items->failed = true;
    settle_values(items, MF_ITEM_FATE); /* they come by id, then by key */
    settle_values(items, MF_ITEM_FORGOTTEN);
}

uint64_t mf_item_hash(unsigned what, mf_slice x, uint32_t tag)
{
    return mf_checksum_seeded(x.data, x.length, ((uint64_t)what << 32) + tag) >> 32;
}

uint64_t mf_item_hash_id(mf_id id, uint32_t tag)
{
    return mf_item_hash(MF_HASH_ID, mf_slice_of(id.data, id.length), tag);
}

static size_t put_string(uint8_t *out, mf_slice s)
{
    size_t n = 0;
    size_t v = s.length; /* at most 1024: two bytes of varint */
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    if (s.length)
        memcpy(out + n, s.data, s.length);
    return n + s.length;
}

uint64_t mf_item_hash_scope(const mf_slice *scope, uint32_t count, uint32_t tag)
{
    uint8_t raw[MF_SCOPE_MAX * (MF_NAME_MAX + 2)];
    size_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        n += put_string(raw + n, scope[i]);
    return mf_item_hash(MF_HASH_SCOPE, mf_slice_of(raw, n), tag);
}

uint64_t mf_item_hash_key(const mf_slice *scope, uint32_t scope_count, mf_slice key, uint32_t tag)
{
    uint8_t raw[MF_SCOPE_MAX * (MF_NAME_MAX + 2) + MF_KEY_MAX + 2];
    size_t n = 0;
    for (uint32_t i = 0; i < scope_count; i++)
        n += put_string(raw + n, scope[i]);
    n += put_string(raw + n, key);
    return mf_item_hash(MF_HASH_KEY, mf_slice_of(raw, n), tag);
}

/* A tag that stands twice in an entry is one item. */
static void add_tags(mf_items *items, const mf_record *r, uint64_t entry, uint32_t tag)
{
    uint64_t hashes[MF_TAGS_MAX];
    for (uint32_t i = 0; i < r->tag_count; i++) {
        bool seen = false;
        hashes[i] = mf_item_hash(MF_HASH_TAG, r->tags[i], tag);
        for (uint32_t k = 0; k < i && !seen; k++)
            seen = hashes[k] == hashes[i];
        if (!seen)
            mf_items_add(items, MF_ITEM_FACET, hashes[i], entry);
    }
}

void mf_items_add_entry(mf_items *items, const mf_record *r, uint64_t entry, uint32_t tag)
{
    mf_items_add(items, MF_ITEM_ID, mf_item_hash_id(r->id, tag), entry);
    if (r->mask & MF_COLUMN_KEY)
        mf_items_add(items, MF_ITEM_KEY, mf_item_hash_key(r->scope, r->scope_count, r->key, tag), entry);
    if (r->mask & MF_COLUMN_TIME)
        mf_items_add(items, MF_ITEM_TIME, mf_item_time(r->time.seconds), entry);
    size_t facets = items->kind[MF_ITEM_FACET].count;
    if (r->mask & MF_COLUMN_KIND)
        mf_items_add(items, MF_ITEM_FACET, mf_item_hash(MF_HASH_KIND, r->kind, tag), entry);
    if (r->mask & MF_COLUMN_TAGS)
        add_tags(items, r, entry, tag);
    if (r->mask & MF_COLUMN_SCOPE)
        for (uint32_t n = 1; n <= r->scope_count; n++)
            mf_items_add(items, MF_ITEM_FACET, mf_item_hash_scope(r->scope, n, tag), entry);
    /* two facets of one entry with the same hash would be one item twice */
    for (size_t i = facets; i < items->kind[MF_ITEM_FACET].count; i++)
        for (size_t k = i + 1; k < items->kind[MF_ITEM_FACET].count; k++)
            if (items->kind[MF_ITEM_FACET].pairs[i].key == items->kind[MF_ITEM_FACET].pairs[k].key) {
                items->kind[MF_ITEM_FACET].pairs[k] =
                    items->kind[MF_ITEM_FACET].pairs[--items->kind[MF_ITEM_FACET].count];
                k--;
            }
    if (r->mask & MF_COLUMN_IDEMPOTENCY_KEY)
        mf_items_add(items, MF_ITEM_IDEMPOTENCY, mf_item_hash(MF_HASH_IDEMPOTENCY, r->idempotency_key, tag), entry);
}
