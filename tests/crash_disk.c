/* crash_disk: files, events, and what of them is durable. */
#include "crash_disk.h"

#include <stdlib.h>
#include <string.h>

disk *disk_current;

static void *grow(void *block, size_t size)
{
    void *grown = realloc(block, size ? size : 1);
    if (!grown)
        abort();
    return grown;
}

/* ---- bytes and names */

static void reserve(disk_bytes *b, size_t length)
{
    if (length <= b->capacity)
        return;
    b->capacity = length + length / 2 + 4096;
    b->data = (uint8_t *)grow(b->data, b->capacity);
}

void disk_bytes_put(disk_bytes *b, uint64_t offset, const void *data, size_t length)
{
    size_t end = (size_t)offset + length;
    if (length == 0)
        return;
    reserve(b, end);
    if (offset > b->length)
        memset(b->data + b->length, 0, (size_t)offset - b->length);
    memcpy(b->data + offset, data, length);
    if (end > b->length)
        b->length = end;
}

void disk_bytes_set(disk_bytes *b, const void *data, size_t length)
{
    b->length = 0;
    disk_bytes_put(b, 0, data, length);
}

int disk_find(const disk_names *names, const char *name)
{
    for (int i = 0; i < names->count; i++)
        if (strcmp(names->at[i].name, name) == 0)
            return names->at[i].file;
    return -1;
}

static void remove_name(disk_names *names, const char *name)
{
    for (int i = 0; i < names->count; i++)
        if (strcmp(names->at[i].name, name) == 0)
            names->at[i--] = names->at[--names->count];
}

static void set_name(disk_names *names, const char *name, int file)
{
    remove_name(names, name);
    if (names->count == DISK_NAMES_MAX)
        abort();
    strcpy(names->at[names->count].name, name);
    names->at[names->count++].file = file;
}

static void apply_name(disk_names *names, const disk_event *e)
{
    int file = e->kind == DISK_RENAME ? disk_find(names, e->from) : e->file;
    if (e->kind == DISK_UNNAME || e->kind == DISK_RENAME)
        remove_name(names, e->kind == DISK_RENAME ? e->from : e->name);
    if (e->kind == DISK_NAME || (e->kind == DISK_RENAME && file >= 0))
        set_name(names, e->name, file);
}

/* ---- the disk */

void disk_init(disk *d)
{
    memset(d, 0, sizeof *d);
    disk_clear(d);
}

static void close_all(disk *d)
{
    for (int i = 0; i < DISK_OPEN_MAX; i++) {
        d->descriptor[i] = -1;
        d->description[i].references = 0;
    }
    for (int i = 0; i < DISK_FILES_MAX; i++)
        d->owner[i] = -1;
}

static void drop_events(disk *d, size_t from)
{
    for (size_t i = from; i < d->event_count; i++)
        free(d->events[i].data);
    d->event_count = from;
}

void disk_clear(disk *d)
{
    drop_events(d, 0);
    for (int i = 0; i < d->file_count; i++)
        d->file[i].length = d->boot[i].length = 0;
    d->file_count = 0;
    d->names.count = d->boot_names.count = 0;
    d->fail_write = d->fail_sync = 0;
    close_all(d);
}

void disk_free(disk *d)
{
    drop_events(d, 0);
    free(d->events);
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        free(d->file[i].data);
        free(d->boot[i].data);
    }
}

void disk_boot_file(disk *d, const char *name, const uint8_t *bytes, size_t length)
{
    int file = d->file_count++;
    disk_bytes_set(&d->file[file], bytes, length);
    if (d->recording)
        disk_bytes_set(&d->boot[file], bytes, length);
    set_name(&d->names, name, file);
    set_name(&d->boot_names, name, file);
}

disk_event *disk_note(disk *d, disk_kind kind)
{
    static disk_event unused;
    disk_event *e = &unused;
    if (d->recording) {
        if (d->event_count == d->event_capacity) {
            d->event_capacity = d->event_capacity * 2 + 64;
            d->events = (disk_event *)grow(d->events, d->event_capacity * sizeof *d->events);
        }
        e = &d->events[d->event_count++];
    }
    memset(e, 0, sizeof *e);
    e->kind = kind;
    return e;
}

void disk_mark(disk *d, int mark, uint64_t value)
{
    disk_event *e = disk_note(d, DISK_MARK);
    e->mark = mark;
    e->offset = value;
}

void disk_kill(disk *d, size_t at, size_t part)
{
    if (at < d->event_count && d->events[at].kind == DISK_WRITE && part > 0) {
        if (part < d->events[at].length)
            d->events[at].length = part;
        at++;
    }
    drop_events(d, at);
    close_all(d);
    d->fail_write = d->fail_sync = 0;
    d->names = d->boot_names;
    for (int i = 0; i < d->file_count; i++)
        disk_bytes_set(&d->file[i], d->boot[i].data, d->boot[i].length);
    for (size_t i = 0; i < at; i++) {
        const disk_event *e = &d->events[i];
        if (e->kind == DISK_WRITE)
            disk_bytes_put(&d->file[e->file], e->offset, e->data, e->length);
        apply_name(&d->names, e);
    }
}

/* ---- the view */

void disk_view_init(disk_view *v, const disk *d)
{
    memset(v, 0, sizeof *v);
    v->disk = d;
    v->names = d->boot_names;
    for (int i = 0; i < d->file_count; i++)
        disk_bytes_set(&v->durable[i], d->boot[i].data, d->boot[i].length);
}

void disk_view_free(disk_view *v)
{
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        free(v->durable[i].data);
        free(v->pending[i].pieces);
    }
}

static void add_pieces(disk_view *v, const disk_event *e)
{
    for (size_t done = 0, n; done < e->length; done += n) {
        uint64_t at = e->offset + done;
        n = DISK_SECTOR - (size_t)(at % DISK_SECTOR);
        if (n > e->length - done)
            n = e->length - done;
        size_t *count = &v->pending[e->file].count, *capacity = &v->pending[e->file].capacity;
        if (*count == *capacity) {
            *capacity = *capacity * 2 + 64;
            v->pending[e->file].pieces =
                (disk_piece *)grow(v->pending[e->file].pieces, *capacity * sizeof(disk_piece));
        }
        v->pending[e->file].pieces[(*count)++] = (disk_piece){at, n, v->at, e->data + done};
    }
}

void disk_view_step(disk_view *v)
{
    const disk_event *e = &v->disk->events[v->at];
    switch (e->kind) {
    case DISK_WRITE:
        add_pieces(v, e);
        break;
    case DISK_SYNC:
        for (size_t i = 0; i < v->pending[e->file].count; i++) {
            const disk_piece *p = &v->pending[e->file].pieces[i];
            disk_bytes_put(&v->durable[e->file], p->offset, p->data, p->length);
        }
        v->pending[e->file].count = 0;
        break;
    case DISK_SYNC_NAMES:
        disk_view_names(v, v->change_count, &v->names);
        v->change_count = 0;
        break;
    case DISK_MARK:
        break;
    default:
        if ((size_t)v->change_count == sizeof v->changes / sizeof v->changes[0])
            abort();
        v->changes[v->change_count++] = v->at;
    }
    v->at++;
}

void disk_view_names(const disk_view *v, int count, disk_names *out)
{
    disk_names names = v->names;
    for (int i = 0; i < count; i++)
        apply_name(&names, &v->disk->events[v->changes[i]]);
    *out = names;
}
