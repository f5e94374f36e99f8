/* crash: what a disk may hold when the power goes, state by state. tests/README.md.
 *
 *   crash [--states N] [--seed S] [--jobs J] [--scenario NAME] [--verbose]
 *   (all whose names begin so: --scenario sealed)
 *   crash --replay ID [--dump FILE]
 *   crash --list
 *
 * A state is named by how it came about: scenario:seed:event:variant. The scenario runs with
 * that seed, the power goes before that event, and the variant says what of the writes and
 * names that were not synced is on the disk: for few of them it counts through all subsets,
 * for many it seeds a choice. Further event:variant pairs are crashes after that, while
 * somebody went on with the state before; a variant kN is a process that was killed with N
 * bytes of a write done, while the machine stays up.
 *
 * Of each state: the file opens, its newest commit is one that was begun and not older than
 * what was acknowledged, the committed bytes are those that were written, no commit is
 * missing, and what stands behind is not taken for damage. Of each commit and of a share of
 * the states: all entries by list and get, verify, one more commit, and all again. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checksum.h"
#include "crash_disk.h"
#include "crash_work.h"
#include "handle.h"

#define DEPTH_MAX 3
#define EXHAUSTIVE_PIECES 4 /* up to so many all subsets are tried */
#define LENGTHS 4
#define FILLS 4
#define DEEP_ONE_IN 128
#define FAILURES_SHOWN 10

/* What stands where the file has grown over sectors that nobody wrote: what file systems show;
 * anything; what stands elsewhere in this file; what stood at the same place, before the last
 * crash or in the file made before this one. */
enum { FILL_ZERO, FILL_RANDOM, FILL_MOVED, FILL_OLD };
enum { MAIN, OUTPUT, PATHS };

static const char *const path_of[PATHS] = {CRASH_PATH, CRASH_OUTPUT};

/* What a caller knows at a crash point. */
typedef struct demand {
    bool exists, output_exists, output_may;
    uint64_t begun, acked, output_number;
    int replaced; /* the file is this one or a later one */
    int rekeyed;  /* this one has at least so many keys: */
    uint32_t epoch;
} demand;

typedef struct state_file {
    bool there;
    int file;
    const uint8_t *bytes;
    size_t length;
} state_file;

typedef struct state {
    state_file of[PATHS];
    int fill;
    bool grown; /* bytes that nobody wrote stand in the file */
} state;

/* What the file would be, had the last crash come a little later. Garbage may make it so:
 * then commits are whole that nobody was told of, up to number `begun`. */
typedef struct earlier {
    disk_bytes bytes;
    const model *model;
    uint64_t begun;
} earlier;

/* One run of a workload, and the disk it left. */
typedef struct recording {
    disk disk;
    model model;
    char id[128];         /* of what led here */
    size_t start;         /* first crash point */
    earlier lost, cut;    /* by the last loss of power; by the last kill */
    const struct recording *from; /* that this one goes on after */
    unsigned tries;
    uint64_t seed;
    int depth;
    bool garbage; /* the file began with content behind its end that nobody wrote */
} recording;

typedef struct totals {
    uint64_t states, distinct, second, deep, refused, recordings, failures, by_scenario[32];
} totals;

static struct {
    uint64_t states, seed;
    unsigned jobs;
    const char *only;
    bool verbose, replaying;
    int pipe;
} options = {50000, 1, 1, NULL, false, false, -1};

static totals sum;

/* ---- numbers */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t draw(uint64_t *random, uint64_t n)
{
    *random += 1;
    return mix(*random, 7) % n;
}

/* ---- images that were seen, of one recording */

static struct {
    uint64_t *slots;
    size_t count, capacity;
} seen;

static void seen_clear(void)
{
    if (seen.slots)
        memset(seen.slots, 0, seen.capacity * sizeof *seen.slots);
    seen.count = 0;
}

static bool seen_put(uint64_t key)
{
    size_t at = (size_t)(key = key ? key : 1) & (seen.capacity - 1);
    while (seen.slots[at] && seen.slots[at] != key)
        at = (at + 1) & (seen.capacity - 1);
    bool is_new = seen.slots[at] != key;
    seen.slots[at] = key;
    seen.count += is_new;
    return is_new;
}

/* true: it was not there. */
static bool seen_add(uint64_t key)
{
    if ((seen.count + 1) * 2 > seen.capacity) {
        uint64_t *old = seen.slots;
        size_t capacity = seen.capacity;
        seen.capacity = capacity ? capacity * 2 : 1u << 14;
        seen.slots = (uint64_t *)calloc(seen.capacity, sizeof *seen.slots);
        if (!seen.slots)
            abort();
        seen.count = 0;
        for (size_t i = 0; i < capacity; i++)
            if (old[i])
                seen_put(old[i]);
        free(old);
    }
    return seen_put(key);
}

/* ---- telling */

__attribute__((format(printf, 2, 3)))
static void report(const char *id, const char *format, ...)
{
    char why[640];
    va_list list;
    va_start(list, format);
    vsnprintf(why, sizeof why, format, list);
    va_end(list);
    if (sum.failures++ < FAILURES_SHOWN || options.verbose)
        printf("FAILED %s\n       %s\n", id, why);
    fflush(stdout);
}

/* ---- what is asked of the disk at an event */

static demand demand_at(const recording *r, size_t event)
{
    demand d;
    memset(&d, 0, sizeof d);
    for (size_t i = 0; i < event; i++) {
        const disk_event *e = &r->disk.events[i];
        if (e->kind != DISK_MARK)
            continue;
        switch (e->mark) {
        case MARK_CREATED:
            d.exists = true;
            break;
        case MARK_BEGUN:
            d.begun = e->offset;
            break;
        case MARK_ACKED:
            d.acked = e->offset;
            break;
        case MARK_REPLACED:
            d.replaced = (int)e->offset;
            break;
        case MARK_REKEYED:
            d.rekeyed = (int)(e->offset >> 32);
            d.epoch = (uint32_t)e->offset;
            break;
        case MARK_OUTPUT_BEGUN:
            d.output_may = true;
            d.output_number = e->offset;
            break;
        case MARK_OUTPUT:
            d.output_exists = true;
            break;
        default:
            break;
        }
    }
    return d;
}

/* ---- building a state */

/* The file that is being written to, in a buffer whose beginning is kept from state to state. */
static struct {
    uint8_t *bytes;
    size_t capacity;
    int file;           /* of which recording and event this is the durable content */
    size_t kept;        /* bytes that are those of the durable file */
    const disk_view *view;
    size_t at;
} canvas = {NULL, 0, -1, 0, NULL, 0};

typedef struct choice {
    const disk_piece *pieces;
    size_t count;
    bool *keep;
    uint64_t random;
    int length_mode, fill;
} choice;

static uint64_t end_of(const disk_piece *p)
{
    return p->offset + p->length;
}

static bool *keep_flags(size_t count)
{
    static bool *flags;
    static size_t capacity;
    if (count > capacity) {
        capacity = count * 2;
        flags = (bool *)realloc(flags, capacity);
        if (!flags)
            abort();
    }
    memset(flags, 0, count);
    return flags;
}

static void keep_range(choice *c, size_t from, size_t to, bool value)
{
    for (size_t i = from; i < to; i++)
        c->keep[i] = value;
}

/* Writes as wholes, at most one of them torn. */
static void choose_writes(choice *c)
{
    size_t writes = 0, torn;
    for (size_t i = 0; i < c->count; i++)
        writes += i == 0 || c->pieces[i].write != c->pieces[i - 1].write;
    torn = (size_t)draw(&c->random, writes);
    bool kept = false;
    size_t write = SIZE_MAX;
    for (size_t i = 0; i < c->count; i++) {
        if (i == 0 || c->pieces[i].write != c->pieces[i - 1].write) {
            write++;
            kept = draw(&c->random, 2);
        }
        c->keep[i] = write == torn ? draw(&c->random, 2) : kept;
    }
}

/* Sectors of a page of 4096 bytes share their fate. */
static void choose_pages(choice *c)
{
    uint64_t seed = draw(&c->random, UINT64_MAX);
    for (size_t i = 0; i < c->count; i++)
        c->keep[i] = mix(seed, c->pieces[i].offset / 4096) & 1;
}

static void choose_many(choice *c)
{
    size_t n = c->count, a = (size_t)draw(&c->random, n), b = (size_t)draw(&c->random, n);
    static const unsigned parts[] = {1, 4, 8, 12, 15};
    unsigned part;
    switch (draw(&c->random, 10)) {
    case 0: /* those before a moment */
        keep_range(c, 0, a, true);
        break;
    case 1: /* all but one */
        keep_range(c, 0, n, true);
        c->keep[a] = false;
        break;
    case 2: /* only one */
        c->keep[a] = true;
        break;
    case 3: /* a hole */
        keep_range(c, 0, n, true);
        keep_range(c, a < b ? a : b, (a < b ? b : a) + 1, false);
        break;
    case 4: /* only the last ones */
        keep_range(c, a, n, true);
        break;
    case 5:
        choose_writes(c);
        break;
    case 6:
        choose_pages(c);
        break;
    default:
        part = parts[draw(&c->random, 5)];
        for (size_t i = 0; i < n; i++)
            c->keep[i] = draw(&c->random, 16) < part;
    }
}

static void choose(choice *c, const disk_piece *pieces, size_t count, uint64_t variant, uint64_t seed)
{
    c->pieces = pieces;
    c->count = count;
    c->keep = keep_flags(count);
    c->random = mix(seed, variant);
    if (count <= EXHAUSTIVE_PIECES) {
        c->fill = (int)(variant % FILLS);
        c->length_mode = (int)(variant / FILLS % LENGTHS);
        for (size_t i = 0; i < count; i++)
            c->keep[i] = variant / (FILLS * LENGTHS) >> i & 1;
        return;
    }
    static const int fills[] = {FILL_ZERO, FILL_ZERO, FILL_ZERO, FILL_OLD, FILL_OLD, FILL_OLD, FILL_MOVED, FILL_RANDOM};
    c->fill = fills[draw(&c->random, 8)];
    c->length_mode = (int)draw(&c->random, LENGTHS);
    if (variant < 2)
        keep_range(c, 0, count, variant == 1);
    else
        choose_many(c);
}

static size_t choose_length(choice *c, size_t durable)
{
    size_t tight = durable, full = durable;
    for (size_t i = 0; i < c->count; i++) {
        if (end_of(&c->pieces[i]) > full)
            full = (size_t)end_of(&c->pieces[i]);
        if (c->keep[i] && end_of(&c->pieces[i]) > tight)
            tight = (size_t)end_of(&c->pieces[i]);
    }
    size_t some = (size_t)end_of(&c->pieces[draw(&c->random, c->count)]);
    switch (c->length_mode) {
    case 0:
        return tight;
    case 1:
        return full;
    case 2: /* that of some write or sector: what was kept behind it is out of sight */
        return some > durable ? some : durable;
    default:
        return durable + (size_t)draw(&c->random, full - durable + 1);
    }
}

static void fill(const recording *r, const choice *c, int file, size_t from, size_t to)
{
    uint64_t random = c->random;
    memset(canvas.bytes + from, 0, to - from);
    if (c->fill == FILL_RANDOM) {
        for (size_t i = from; i < to; i += 8) {
            uint64_t x = draw(&random, UINT64_MAX);
            memcpy(canvas.bytes + i, &x, to - i < 8 ? to - i : 8);
        }
    } else if (c->fill == FILL_OLD && (r->lost.bytes.length > 0 || file > 0)) {
        const disk_bytes *old = r->lost.bytes.length > 0 ? &r->lost.bytes : &r->disk.file[file - 1];
        if (old->length > from)
            memcpy(canvas.bytes + from, old->data + from, (old->length < to ? old->length : to) - from);
    } else if (c->fill != FILL_ZERO && from > 0) {
        size_t back = (size_t)(8 + draw(&random, from)) & ~(size_t)7;
        for (size_t i = from; i < to; i++)
            canvas.bytes[i] = i >= back ? canvas.bytes[i - back] : 0;
    }
}

static void prepare_canvas(const disk_view *v, int file)
{
    const disk_bytes *b = &v->durable[file];
    size_t need = b->length;
    for (size_t i = 0; i < v->pending[file].count; i++)
        if (end_of(&v->pending[file].pieces[i]) > need)
            need = (size_t)end_of(&v->pending[file].pieces[i]);
    if (need + 8 > canvas.capacity) {
        canvas.capacity = need * 2 + 65536;
        canvas.bytes = (uint8_t *)realloc(canvas.bytes, canvas.capacity);
        if (!canvas.bytes)
            abort();
        canvas.file = -1;
    }
    if (canvas.file != file || canvas.view != v || canvas.at != v->at) {
        if (b->length)
            memcpy(canvas.bytes, b->data, b->length);
        canvas.file = file;
        canvas.view = v;
        canvas.at = v->at;
        canvas.kept = b->length;
    }
}

/* The file as the choice leaves it, into the canvas; returns its length. *touched: the first
 * byte that may differ between states of this event. */
static size_t paint(const recording *r, const disk_view *v, int file, choice *c, size_t *touched, bool *grown)
{
    const disk_bytes *b = &v->durable[file];
    prepare_canvas(v, file);
    size_t length = choose_length(c, b->length), low = b->length;
    for (size_t i = 0; i < c->count; i++)
        if (c->pieces[i].offset < low)
            low = (size_t)c->pieces[i].offset;
    if (low < b->length)
        memcpy(canvas.bytes + low, b->data + low, b->length - low);
    *grown = length > b->length;
    if (*grown)
        fill(r, c, file, b->length, length);
    for (size_t i = 0; i < c->count; i++) {
        const disk_piece *p = &c->pieces[i];
        if (c->keep[i] && p->offset < length)
            memcpy(canvas.bytes + p->offset, p->data, end_of(p) <= length ? p->length : length - (size_t)p->offset);
    }
    *touched = low;
    return length;
}

static uint64_t subsets(const recording *r, size_t pieces)
{
    if (pieces == 0)
        return 1;
    if (pieces <= EXHAUSTIVE_PIECES)
        return ((uint64_t)FILLS * LENGTHS) << pieces;
    return r->tries;
}

/* The file with unsynced writes that a path leads to, or -1. */
static int open_file_of(const disk_view *v, const disk_names *names)
{
    for (int p = 0; p < PATHS; p++) {
        int file = disk_find(names, path_of[p] + 1);
        if (file >= 0 && v->pending[file].count > 0)
            return file;
    }
    return -1;
}

static uint64_t variants_at(const recording *r, const disk_view *v)
{
    uint64_t n = 0;
    for (int changes = 0; changes <= v->change_count; changes++) {
        disk_names names;
        disk_view_names(v, changes, &names);
        int file = open_file_of(v, &names);
        n += subsets(r, file >= 0 ? v->pending[file].count : 0);
    }
    return n;
}

/* Returns a key of all that is asked of it. */
static uint64_t build(const recording *r, const disk_view *v, uint64_t variant, state *s)
{
    disk_names names;
    uint64_t key = mix(r->seed, 0);
    memset(s, 0, sizeof *s);
    for (int changes = 0;; changes++) {
        disk_view_names(v, changes, &names);
        int file = open_file_of(v, &names);
        uint64_t n = subsets(r, file >= 0 ? v->pending[file].count : 0);
        if (variant < n || changes == v->change_count)
            break;
        variant -= n;
    }
    for (int p = 0; p < PATHS; p++) {
        state_file *f = &s->of[p];
        f->file = disk_find(&names, path_of[p] + 1);
        f->there = f->file >= 0;
        if (!f->there)
            continue;
        f->bytes = v->durable[f->file].data;
        f->length = v->durable[f->file].length;
        key = mix(key, (uint64_t)f->file * PATHS + (uint64_t)p);
        if (v->pending[f->file].count == 0) {
            key = mix(key, f->length);
            continue;
        }
        choice c;
        size_t touched;
        choose(&c, v->pending[f->file].pieces, v->pending[f->file].count, variant, mix(r->seed, v->at));
        f->length = paint(r, v, f->file, &c, &touched, &s->grown);
        f->bytes = canvas.bytes;
        s->fill = c.fill;
        key = mix(key, touched);
        key = mix(key, mf_checksum(f->bytes + touched, f->length > touched ? f->length - touched : 0));
        key = mix(key, f->length);
    }
    return key;
}

/* ---- checking */

typedef struct verdict {
    uint64_t number; /* of the newest commit */
    uint64_t unfinished;
    bool damage; /* what stands behind is taken for it */
    const model *model;
    char why[640];
} verdict;

__attribute__((format(printf, 2, 3)))
static bool wrong(verdict *v, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(v->why, sizeof v->why, format, list);
    va_end(list);
    return false;
}

static unsigned long long ull(uint64_t n)
{
    return n;
}

static bool begins_with(const disk_bytes *whole, const uint8_t *bytes, uint64_t length)
{
    return length <= whole->length && memcmp(whole->data, bytes, (size_t)length) == 0;
}

/* Are the committed bytes those that were written? *most: the newest commit that may be there. */
static bool committed_bytes_agree(const recording *r, const state_file *f, uint64_t end, verdict *v, bool garbage,
                                  uint64_t *most)
{
    v->model = &r->model;
    if (begins_with(&r->disk.file[f->file], f->bytes, end))
        return true;
    for (; garbage && r; r = r->from) {
        const earlier *const before[] = {&r->lost, &r->cut};
        for (int i = 0; i < 2; i++)
            if (before[i]->model && begins_with(&before[i]->bytes, f->bytes, end)) {
                v->model = before[i]->model;
                *most = before[i]->begun;
                return true;
            }
    }
    return false;
}

/* Zeros are what file systems show; of other content the specification says that it may be
 * taken for damage, which costs a question and nothing else. */
static bool may_look_damaged(const recording *r, const state *s)
{
    return r->garbage || (s->grown && s->fill != FILL_ZERO);
}

static bool check_open(const recording *r, const state *s, const state_file *f, memfile *mf, uint64_t least,
                       uint64_t most, verdict *v)
{
    const mf_state *st = &mf->store.committed;
    v->number = st->number;
    v->unfinished = st->file_size - st->end;
    v->damage = st->unfinished_is_damage;
    if (st->lost_commits > 0 || st->blocks)
        return wrong(v, "%llu commits before number %llu are damaged", ull(st->lost_commits), ull(st->number));
    if (!committed_bytes_agree(r, f, st->end, v, may_look_damaged(r, s), &most))
        return wrong(v, "the bytes of commit %llu and those before it are not what was written", ull(st->number));
    if (st->number < least || st->number > most)
        return wrong(v, "the newest commit is number %llu; %llu was acknowledged, %llu begun", ull(st->number),
                     ull(least), ull(most));
    if (!model_agrees(v->model, st->number, st->entries, st->history_digest))
        return wrong(v, "commit %llu has %llu entries or a digest that nobody committed", ull(st->number),
                     ull(st->entries));
    if (st->unfinished_is_damage && !may_look_damaged(r, s))
        return wrong(v, "%llu bytes behind the newest commit are taken for damage", ull(v->unfinished));
    return true;
}

/* From outside a sealed file ends with the same commit. */
static bool check_outside(const state_file *f, const memfile *mf, verdict *v)
{
    const mf_state *inside = &mf->store.committed;
    memfile_options o = MEMFILE_OPTIONS_INIT;
    memfile *out;
    memfile_error e;
    o.without_key = 1;
    if (memfile_open_memory(f->bytes, f->length, &o, &out, &e) != MEMFILE_OK)
        return wrong(v, "it does not open from outside: %s", e.message);
    bool same = out->store.committed.end == inside->end && out->store.keys.epoch == mf->store.keys.epoch &&
                out->store.committed.unfinished_is_damage == inside->unfinished_is_damage;
    memfile_close(out);
    return same || wrong(v, "it ends elsewhere from outside");
}

static bool check_file(const recording *r, const state *s, const state_file *f, uint64_t least, uint64_t most,
                       uint32_t epoch, verdict *v)
{
    memfile *mf;
    memfile_error e;
    memfile_options o = MEMFILE_OPTIONS_INIT;
    o.unlock = work_unlock(f->bytes, f->length);
    if (memfile_open_memory(f->bytes, f->length, &o, &mf, &e) != MEMFILE_OK)
        return wrong(v, "it does not open: %s", e.message);
    bool ok = check_open(r, s, f, mf, least, most, v);
    if (ok && mf->store.keys.epoch < epoch)
        ok = wrong(v, "the newest key is number %u, and %u was acknowledged", mf->store.keys.epoch, epoch);
    if (ok && o.unlock.identity)
        ok = check_outside(f, mf, v);
    memfile_close(mf);
    return ok;
}

static bool check(const recording *r, const state *s, const demand *d, verdict *v)
{
    verdict output;
    memset(v, 0, sizeof *v);
    v->model = &r->model;
    if (s->of[OUTPUT].there || d->output_exists) {
        if (!s->of[OUTPUT].there || !d->output_may)
            return wrong(v, s->of[OUTPUT].there ? "an output is there before it was made" : "the output is gone");
        if (!check_file(r, s, &s->of[OUTPUT], d->output_number, d->output_number, 0, &output))
            return wrong(v, "output: %.500s", output.why);
    }
    if (!s->of[MAIN].there)
        return d->exists ? wrong(v, "the file is gone") : true;
    if (s->of[MAIN].file < d->replaced)
        return wrong(v, "the file from before the compaction is back");
    return check_file(r, s, &s->of[MAIN], d->acked, d->begun, s->of[MAIN].file == d->rekeyed ? d->epoch : 0, v);
}

/* ---- going further with a state */

static void boot(disk *d, const state *s, bool record)
{
    disk_clear(d);
    d->recording = record;
    for (int p = 0; p < PATHS; p++)
        if (s->of[p].there)
            disk_boot_file(d, path_of[p] + 1, s->of[p].bytes, s->of[p].length);
}

static bool verify_says(const char *path, verdict *v, bool clean)
{
    memfile_verify_result result;
    memfile_error e;
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    o.unlock = work_unlock_path(path);
    int rc = memfile_verify(path, &o, &result, &e);
    int expected = clean || v->unfinished == 0 ? MEMFILE_OK : v->damage ? MEMFILE_E_DAMAGED : MEMFILE_E_TRUNCATED;
    if (rc == expected && (rc == MEMFILE_E_DAMAGED || (result.lost_commits == 0 && result.lost_entries == 0)))
        return true;
    return wrong(v, "verify says %d, not %d: %s", rc, expected, rc == MEMFILE_OK ? "all is sound" : e.message);
}

/* All entries, verify; one more commit behind what is there; all again. */
static bool check_deeply(const state *s, verdict *v, uint64_t seed)
{
    static disk scratch;
    static bool made;
    static model grown;
    work w;
    char why[400];
    if (!made)
        disk_init(&scratch);
    made = true;
    boot(&scratch, s, false);
    disk_current = &scratch;
    sum.deep++;
    if (!verify_says(CRASH_PATH, v, false))
        return false;
    if (!work_compare(CRASH_PATH, v->model, v->number, seed, why, sizeof why))
        return wrong(v, "%s", why);
    model_copy(&grown, v->model, (size_t)v->number + 1);
    work_append(&w, &scratch, &grown, seed, v->damage);
    if (w.failed)
        return wrong(v, "appending: %.500s", w.why);
    if (memcmp(scratch.file[0].data, s->of[MAIN].bytes, s->of[MAIN].length) != 0)
        return wrong(v, "appending changed bytes that were there");
    if (!verify_says(CRASH_PATH, v, true))
        return false;
    if (!work_compare(CRASH_PATH, &grown, v->number + 1, seed, why, sizeof why))
        return wrong(v, "after appending: %s", why);
    return true;
}

/* ---- recordings */

static recording *recording_new(const char *id, int depth, unsigned tries)
{
    recording *r = (recording *)calloc(1, sizeof *r);
    if (!r)
        abort();
    disk_init(&r->disk);
    snprintf(r->id, sizeof r->id, "%s", id);
    r->seed = mf_checksum(id, strlen(id));
    r->depth = depth;
    r->tries = tries;
    sum.recordings++;
    return r;
}

static void recording_free(recording *r)
{
    disk_free(&r->disk);
    model_free(&r->model);
    free(r->lost.bytes.data);
    free(r->cut.bytes.data);
    free(r);
}

static recording *record_scenario(const crash_scenario *scenario, uint64_t seed)
{
    char id[128];
    work w;
    snprintf(id, sizeof id, "%s:%" PRIu64, scenario->name, seed);
    recording *r = recording_new(id, 1, scenario->tries);
    r->disk.recording = true;
    work_run(&w, &r->disk, &r->model, scenario, r->seed);
    if (w.failed)
        report(id, "the scenario itself: %s", w.why);
    for (size_t i = 0; i < r->disk.event_count; i++)
        if (r->disk.events[i].kind == DISK_MARK && r->disk.events[i].mark == MARK_START)
            r->start = i;
    return r;
}

static void go_on(recording *r, bool exists, const verdict *v)
{
    work w;
    if (exists)
        model_copy(&r->model, v->model, (size_t)v->number + 1);
    work_go_on(&w, &r->disk, &r->model, r->seed, exists, v->number, v->damage);
    if (w.failed)
        report(r->id, "going on: %s", w.why);
}

static void keep_lost(recording *r, const recording *from, const disk_view *view, int file)
{
    disk_bytes *b = &r->lost.bytes;
    disk_bytes_set(b, view->durable[file].data, view->durable[file].length);
    for (size_t i = 0; i < view->pending[file].count; i++) {
        const disk_piece *p = &view->pending[file].pieces[i];
        disk_bytes_put(b, p->offset, p->data, p->length);
    }
    r->lost.model = &from->model;
    r->lost.begun = demand_at(from, view->at).begun;
}

static void keep_cut(recording *r, const recording *from, size_t event, int file)
{
    const disk_event *e = event < from->disk.event_count ? &from->disk.events[event] : NULL;
    disk_bytes_set(&r->cut.bytes, r->disk.file[file].data, r->disk.file[file].length);
    if (e && e->kind == DISK_WRITE && e->file == file)
        disk_bytes_put(&r->cut.bytes, e->offset, e->data, e->length);
    r->cut.model = &from->model;
    r->cut.begun = demand_at(from, event).begun;
    disk_bytes_set(&r->lost.bytes, from->lost.bytes.data, from->lost.bytes.length);
    r->lost.model = from->lost.model;
    r->lost.begun = from->lost.begun;
}

/* Somebody goes on after a loss of power. */
static recording *record_after_loss(const recording *from, const disk_view *view, const state *s, const verdict *v,
                                    const char *id)
{
    recording *r = recording_new(id, from->depth + 1, from->tries / 4 + 1);
    r->from = from;
    r->garbage = may_look_damaged(from, s);
    r->model.sealed = from->model.sealed;
    boot(&r->disk, s, true);
    if (s->of[MAIN].there) {
        disk_mark(&r->disk, MARK_CREATED, 0);
        disk_mark(&r->disk, MARK_BEGUN, v->number);
        disk_mark(&r->disk, MARK_ACKED, v->number);
        keep_lost(r, from, view, s->of[MAIN].file);
    }
    if (s->of[OUTPUT].there) {
        disk_mark(&r->disk, MARK_OUTPUT_BEGUN, v->number);
        for (size_t i = 0; i < from->disk.event_count; i++)
            if (from->disk.events[i].kind == DISK_MARK && from->disk.events[i].mark == MARK_OUTPUT_BEGUN)
                r->disk.events[r->disk.event_count - 1].offset = from->disk.events[i].offset;
        disk_mark(&r->disk, MARK_OUTPUT, 0);
    }
    r->start = r->disk.event_count;
    go_on(r, s->of[MAIN].there, v);
    return r;
}

static void copy_disk(disk *to, const disk *from)
{
    disk_clear(to);
    to->recording = true;
    to->file_count = from->file_count;
    to->boot_names = from->boot_names;
    for (int i = 0; i < from->file_count; i++)
        disk_bytes_set(&to->boot[i], from->boot[i].data, from->boot[i].length);
    for (size_t i = 0; i < from->event_count; i++) {
        disk_event *e = disk_note(to, from->events[i].kind);
        *e = from->events[i];
        if (e->data) {
            e->data = (uint8_t *)malloc(e->length ? e->length : 1);
            if (!e->data)
                abort();
            memcpy(e->data, from->events[i].data, e->length);
        }
    }
}

/* The page cache outlives a process that was killed: what it wrote is there, and not durable.
 * NULL: what is there fails its check. */
static recording *record_after_kill(const recording *from, size_t event, size_t part, const char *id)
{
    recording *r = recording_new(id, from->depth + 1, from->tries / 4 + 1);
    r->from = from;
    demand d = demand_at(from, event);
    state s;
    verdict v;
    copy_disk(&r->disk, &from->disk);
    disk_kill(&r->disk, event, part);
    memset(&s, 0, sizeof s);
    for (int p = 0; p < PATHS; p++) {
        int file = disk_find(&r->disk.names, path_of[p] + 1);
        s.of[p] = (state_file){file >= 0, file, file >= 0 ? r->disk.file[file].data : NULL,
                               file >= 0 ? r->disk.file[file].length : 0};
    }
    if (!check(from, &s, &d, &v)) {
        report(id, "after the kill: %s", v.why);
        recording_free(r);
        return NULL;
    }
    if (s.of[MAIN].there)
        keep_cut(r, from, event, s.of[MAIN].file);
    r->garbage = from->garbage;
    r->model.sealed = from->model.sealed;
    r->start = r->disk.event_count;
    disk_mark(&r->disk, MARK_BEGUN, s.of[MAIN].there ? v.number : 0);
    go_on(r, s.of[MAIN].there, &v);
    return r;
}

/* ---- all states of a recording */

static void explore(const recording *r);

static void check_state(const recording *r, const disk_view *view, const demand *d, uint64_t variant)
{
    state s;
    verdict v;
    char id[192];
    uint64_t key = mix(mix(build(r, view, variant, &s), d->acked * 2 + d->exists), d->begun * 2 + d->output_exists);
    key = mix(key, d->epoch);
    sum.states++;
    sum.second += r->depth > 1;
    if (!seen_add(key))
        return;
    sum.distinct++;
    snprintf(id, sizeof id, "%s:%zu:%" PRIu64, r->id, view->at, variant);
    bool ok = check(r, &s, d, &v);
    if (ok && s.of[MAIN].there) {
        sum.refused += v.damage;
        if (mix(key, 3) % DEEP_ONE_IN == 0 || seen_add(mix(mix(r->seed, 11), v.number * 2 + (v.unfinished > 0))))
            ok = check_deeply(&s, &v, key);
    }
    if (!ok)
        report(id, "%s", v.why);
}

static recording *some_kill(const recording *r, uint64_t *random, size_t event)
{
    char id[192];
    const disk_event *e = event < r->disk.event_count ? &r->disk.events[event] : NULL;
    size_t part = e && e->kind == DISK_WRITE ? (size_t)draw(random, e->length + 1) : 0;
    snprintf(id, sizeof id, "%s:%zu:k%zu", r->id, event, part);
    return record_after_kill(r, event, part, id);
}

/* NULL: the state is wrong, which is a failure of its own. */
static recording *some_loss(const recording *r, uint64_t *random, size_t event)
{
    char id[192];
    disk_view view;
    state s;
    verdict v;
    recording *next = NULL;
    demand d = demand_at(r, event);
    disk_view_init(&view, &r->disk);
    while (view.at < event)
        disk_view_step(&view);
    uint64_t variant = draw(random, variants_at(r, &view));
    snprintf(id, sizeof id, "%s:%zu:%" PRIu64, r->id, event, variant);
    build(r, &view, variant, &s);
    if (check(r, &s, &d, &v))
        next = record_after_loss(r, &view, &s, &v, id);
    disk_view_free(&view);
    return next;
}

/* Some crashes of this recording are gone on from. */
static void explore_after(const recording *r)
{
    uint64_t random = mix(r->seed, 99);
    size_t span = r->disk.event_count - r->start + 1;
    unsigned losses = r->depth == 1 ? 5 : 1, kills = r->depth == 1 ? 3 : 1;
    for (unsigned i = 0; i < losses + kills && r->depth < DEPTH_MAX && sum.states < options.states; i++) {
        size_t event = r->start + (size_t)draw(&random, span);
        canvas.view = NULL;
        recording *next = i < losses ? some_loss(r, &random, event) : some_kill(r, &random, event);
        if (next) {
            explore(next);
            recording_free(next);
        }
    }
}

static void explore(const recording *r)
{
    disk_view view;
    seen_clear();
    canvas.view = NULL;
    disk_view_init(&view, &r->disk);
    for (;;) {
        if (view.at >= r->start) {
            demand d = demand_at(r, view.at);
            uint64_t n = variants_at(r, &view);
            for (uint64_t v = 0; v < n && sum.states < options.states; v++)
                check_state(r, &view, &d, v);
        }
        if (view.at == r->disk.event_count || sum.states >= options.states)
            break;
        disk_view_step(&view);
    }
    disk_view_free(&view);
    explore_after(r);
}

static void run_rounds(unsigned job)
{
    for (uint64_t round = job; sum.states < options.states && sum.failures < 1000; round += options.jobs) {
        uint64_t before = sum.recordings;
        for (size_t i = 0; i < crash_scenario_count && sum.states < options.states; i++) {
            const crash_scenario *scenario = &crash_scenarios[i];
            if (options.only ? strncmp(options.only, scenario->name, strlen(options.only)) != 0 : (round + i) % scenario->weight != 0)
                continue;
            uint64_t at = sum.states;
            recording *r = record_scenario(scenario, options.seed + round);
            explore(r);
            recording_free(r);
            sum.by_scenario[i] += sum.states - at;
        }
        if (options.only && sum.recordings == before) {
            printf("no scenario's name begins with '%s': see --list\n", options.only);
            exit(2);
        }
    }
}

/* ---- replay */

static void dump(const state *s, const char *path)
{
    FILE *f = fopen(path, "wb");
    if (!s->of[MAIN].there)
        printf("there is no file\n");
    else if (!f || fwrite(s->of[MAIN].bytes, 1, s->of[MAIN].length, f) != s->of[MAIN].length)
        printf("cannot write %s\n", path);
    else
        printf("%zu bytes in %s\n", s->of[MAIN].length, path);
    if (f)
        fclose(f);
}

static void tell_events(const recording *r, size_t at)
{
    static const char *const kinds[] = {"write", "sync", "name", "rename", "unname", "sync names", "mark"};
    for (size_t i = r->start; i <= at && i < r->disk.event_count; i++) {
        const disk_event *e = &r->disk.events[i];
        printf("%s%5zu %s file %d offset %llu length %zu mark %d %s %s\n", i == at ? "->" : "  ", i, kinds[e->kind],
               e->file, ull(e->offset), e->length, e->mark, e->from, e->name);
    }
}

static bool replay_step(const recording *r, size_t event, uint64_t variant, const char *path, recording **next,
                        const char *id, bool last)
{
    disk_view view;
    state s;
    verdict v;
    demand d = demand_at(r, event);
    disk_view_init(&view, &r->disk);
    while (view.at < event)
        disk_view_step(&view);
    build(r, &view, variant, &s);
    bool ok = check(r, &s, &d, &v);
    if (last) {
        tell_events(r, event);
        dump(&s, path);
        if (ok && s.of[MAIN].there)
            ok = check_deeply(&s, &v, r->seed);
        printf("%s %s: %s\n", ok ? "passed" : "FAILED", id, ok ? "nothing is wrong" : v.why);
    } else if (ok) {
        *next = record_after_loss(r, &view, &s, &v, id);
    }
    disk_view_free(&view);
    return ok;
}

static bool replay(const char *whole, const char *path)
{
    char id[192], name[32];
    uint64_t seed;
    int used = 0;
    const crash_scenario *scenario = NULL;
    if (sscanf(whole, "%31[^:]:%" SCNu64 "%n", name, &seed, &used) == 2)
        for (size_t i = 0; i < crash_scenario_count; i++)
            if (strcmp(crash_scenarios[i].name, name) == 0)
                scenario = &crash_scenarios[i];
    if (!scenario) {
        printf("'%s' is not the id of a state\n", whole);
        return false;
    }
    recording *steps[8] = {record_scenario(scenario, seed)}; /* later ones look at earlier ones */
    int count = 1;
    bool ok = true;
    while (ok && whole[used]) {
        size_t event, number;
        int step = 0;
        recording *r = steps[count - 1], *next = NULL;
        bool kill = sscanf(whole + used, ":%zu:k%zu%n", &event, &number, &step) == 2 && step > 0;
        if ((!kill && sscanf(whole + used, ":%zu:%zu%n", &event, &number, &step) != 2) ||
            event > r->disk.event_count || count == 8) {
            printf("'%s' is not the id of a state\n", whole);
            ok = false;
            break;
        }
        used += step;
        snprintf(id, sizeof id, "%.*s", used, whole);
        canvas.view = NULL;
        if (kill)
            ok = (next = record_after_kill(r, event, number, id)) != NULL;
        else
            ok = replay_step(r, event, number, path, &next, id, !whole[used]);
        if (next)
            steps[count++] = next;
    }
    while (count > 0)
        recording_free(steps[--count]);
    return ok && sum.failures == 0;
}

/* ---- the program */

static void list_scenarios(void)
{
    for (size_t i = 0; i < crash_scenario_count; i++)
        printf("%-15s %s\n", crash_scenarios[i].name, crash_scenarios[i].what);
}

static void add(totals *to, const totals *from)
{
    const uint64_t *f = (const uint64_t *)from;
    uint64_t *t = (uint64_t *)to;
    for (size_t i = 0; i < sizeof *to / sizeof *t; i++)
        t[i] += f[i];
}

/* Each job is a process of its own with a share of the states; rounds are dealt out. */
static void run_jobs(void)
{
    int ends[2];
    totals whole, part;
    uint64_t share = (options.states + options.jobs - 1) / options.jobs;
    memset(&whole, 0, sizeof whole);
    options.states = share;
    fflush(stdout);
    if (pipe(ends) != 0)
        abort();
    for (unsigned job = 0; job < options.jobs; job++)
        if (fork() == 0) {
            run_rounds(job);
            fflush(stdout);
            _exit(write(ends[1], &sum, sizeof sum) == (ssize_t)sizeof sum ? 0 : 1);
        }
    close(ends[1]);
    unsigned heard = 0;
    while (read(ends[0], &part, sizeof part) == (ssize_t)sizeof part) {
        add(&whole, &part);
        heard++;
    }
    for (unsigned job = 0; job < options.jobs; job++)
        wait(NULL);
    if (heard < options.jobs) {
        printf("a job ended before its time\n");
        whole.failures++;
    }
    sum = whole;
}

static int summary(double seconds)
{
    printf("%llu states, %llu distinct, %llu of them after a second crash; %llu recordings, %llu checked in full; "
           "%llu with garbage behind the end taken for damage; %llu failures; %.1f s\n",
           ull(sum.states), ull(sum.distinct), ull(sum.second), ull(sum.recordings), ull(sum.deep), ull(sum.refused),
           ull(sum.failures), seconds);
    if (options.verbose)
        for (size_t i = 0; i < crash_scenario_count; i++)
            printf("  %-15s %llu\n", crash_scenarios[i].name, ull(sum.by_scenario[i]));
    return sum.failures == 0 ? 0 : 1;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    const char *id = NULL, *path = "crash.memfile";
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(a, "--list") == 0)
            return list_scenarios(), 0;
        if (strcmp(a, "--verbose") == 0) {
            options.verbose = true;
            continue;
        }
        if (!value) {
            fprintf(stderr, "usage: crash [--states N] [--seed S] [--jobs J] [--scenario NAME] [--verbose] | "
                            "--replay ID [--dump FILE] | --list\n");
            return 2;
        }
        i++;
        if (strcmp(a, "--states") == 0)
            options.states = strtoull(value, NULL, 10);
        else if (strcmp(a, "--seed") == 0)
            options.seed = strtoull(value, NULL, 10);
        else if (strcmp(a, "--jobs") == 0)
            options.jobs = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(a, "--scenario") == 0)
            options.only = value;
        else if (strcmp(a, "--replay") == 0)
            id = value;
        else if (strcmp(a, "--dump") == 0)
            path = value;
    }
    if (id)
        return replay(id, path) ? 0 : 1;
    double begun = now();
    if (options.jobs > 1)
        run_jobs();
    else
        run_rounds(0);
    return summary(now() - begun);
}
