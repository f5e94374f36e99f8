/* memfile: handles: opening, writing, getting, the log. Implements memfile.h
 * with entry.c and list.c. */
#include <stdio.h>

#include "handle.h"
#include "signature.h"
#include "unlock.h"

#define STRING(x) #x
#define VERSION_TEXT(a, b, c) STRING(a) "." STRING(b) "." STRING(c)

const char *memfile_version(void)
{
    return VERSION_TEXT(MEMFILE_VERSION_MAJOR, MEMFILE_VERSION_MINOR, MEMFILE_VERSION_PATCH);
}

/* ---- settings */

static int64_t system_now(void *context)
{
    (void)context;
    return mf_system_now_us();
}

static void system_random(void *context, void *out, size_t length)
{
    (void)context;
    mf_system_random(out, length);
}

memfile_environment mf_environment_or_system(const memfile_environment *given)
{
    memfile_environment env = {system_now, system_random, NULL};
    if (given) {
        env.context = given->context;
        if (given->now_us)
            env.now_us = given->now_us;
        if (given->random)
            env.random = given->random;
    }
    return env;
}

int mf_settings_from(mf_settings *s, const memfile_options *o, const mf_mem *mem, memfile_error *err)
{
    memset(s, 0, sizeof *s);
    s->strictness = o->strictness;
    s->lock_timeout_ms = o->lock_timeout_ms;
    s->threads = o->threads;
    s->cache_bytes = o->cache_bytes;
    s->rebuild_limit = o->rebuild_limit_bytes;
    s->collision_limit = o->collision_limit;
    s->spill_items = 600000; /* 16 bytes each */
    s->level = (int)o->compression_level;
    s->environment = mf_environment_or_system(o->environment);
    s->signer = o->signer;
    if (s->signer && !mf_key_is(s->signer, MEMFILE_SIGNER))
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "the signer's key is none that signs");
    if (s->threads < 1 || s->threads > 64 || s->level < 1 || s->level > 19 || o->strictness > MEMFILE_SALVAGE)
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE,
                       "an option is out of range: threads 1 to 64, compression level 1 to 19");
    if (o->author && *o->author) {
        size_t n = strlen(o->author);
        if (n > 255 || !mf_utf8_valid((const uint8_t *)o->author, n))
            return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "the author is text of at most 255 bytes");
        s->author = (char *)mf_alloc(mem, n + 1);
        if (!s->author)
            return mf_fail_memory(err);
        memcpy(s->author, o->author, n + 1);
    }
    return MEMFILE_OK;
}

void mf_settings_free(mf_settings *s, const mf_mem *mem)
{
    mf_free(mem, s->author);
    s->author = NULL;
}

/* ---- open and close */

/* What open functions have in hand. */
typedef struct opening {
    memfile_options options;
    mf_slots slots;       /* of a new file; kind 0: plain */
    mf_secret *sealed_by; /* its passphrase */
    mf_seal seal;         /* its keys */
} opening;

static int make_handle(const memfile_options *given, opening *o, memfile **out, memfile_error *err)
{
    static const memfile_options defaults = MEMFILE_OPTIONS_INIT;
    *out = NULL;
    mf_error_clear(err);
    memset(o, 0, sizeof *o);
    o->options = defaults;
    if (given) {
        size_t n = given->struct_size < sizeof o->options ? given->struct_size : sizeof o->options;
        memcpy(&o->options, given, n);
    }
    if (!mf_digest_start())
        return mf_fail(err, MEMFILE_E_SYSTEM, MF_NOWHERE, "libsodium could not be started");
    mf_mem mem = o->options.allocator ? *o->options.allocator : mf_mem_default;
    memfile *mf = (memfile *)mf_alloc_zero(&mem, sizeof *mf);
    if (!mf)
        return mf_fail_memory(err);
    mf->mem = mf_limiter_init(&mf->limiter, &mem, o->options.memory_limit_bytes);
    mf_buffer_init(&mf->core, &mf->mem);
    mf_buffer_init(&mf->json, &mf->mem);
    mf_buffer_init(&mf->content, &mf->mem);
    mf_error_clear(&mf->error);
    int rc = mf_settings_from(&mf->settings, &o->options, &mf->mem, err);
    if (rc == MEMFILE_OK && !(mf->record = (mf_record *)mf_alloc(&mf->mem, sizeof *mf->record)))
        rc = mf_fail_memory(err);
    if (rc == MEMFILE_OK)
        rc = mf_unlock_take(&o->options.unlock, &mf->mem, &mf->secret, err);
    if (rc != MEMFILE_OK) {
        memfile_close(mf);
        return rc;
    }
    *out = mf;
    return MEMFILE_OK;
}

static int rebuild(memfile *mf, memfile_error *err)
{
    uint64_t limit = mf->settings.rebuild_limit, size = mf->store.committed.file_size;
    if (limit && size > limit)
        return mf_fail(err, MEMFILE_E_LIMIT, err->offset,
                       "the index is damaged, and the file's %llu bytes are over the limit of %llu for reading without "
                       "one (rebuild_limit_bytes)",
                       (unsigned long long)size, (unsigned long long)limit);
    return mf_store_rebuild(&mf->store, err);
}

static int open_io(memfile *mf, mf_io *io, const opening *o, memfile_error *err)
{
    const mf_access access = {mf->secret, o->seal.epoch ? &o->seal : NULL, o->options.without_key != 0};
    int rc = mf_store_begin(&mf->store, io, &mf->mem, mf->settings.cache_bytes, &access, err);
    mf->open = rc == MEMFILE_OK;
    mf->store.collision_limit = mf->settings.collision_limit;
    mf->store.seal.environment = mf->settings.environment;
    if (rc == MEMFILE_OK)
        rc = mf_store_load(&mf->store, err);
    if (rc == MEMFILE_E_DAMAGED && mf->open && !mf->store.without_key && mf->settings.strictness != MEMFILE_STRICT)
        rc = rebuild(mf, err);
    const mf_state *s = mf->store.state;
    if (rc == MEMFILE_OK && mf->settings.strictness == MEMFILE_STRICT && s->file_size > s->end)
        rc = mf_fail(err, s->unfinished_is_damage ? MEMFILE_E_DAMAGED : MEMFILE_E_TRUNCATED, s->end,
                     "%llu bytes stand behind the newest commit", (unsigned long long)(s->file_size - s->end));
    return rc;
}

static int create(memfile *mf, const char *path, opening *o, memfile_error *err)
{
    mf_io *io;
    int rc = mf_seal_for_take(&o->options.seal_for, &mf->settings.environment, &mf->mem, &o->slots, &o->sealed_by, err);
    if (rc == MEMFILE_OK && mf->secret && !o->slots.kind)
        rc = mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "a key was given, but nobody whom the new file is to be sealed for");
    if (rc == MEMFILE_OK)
        rc = mf_io_file_open(&mf->mem, path, MF_IO_CREATE, &io, err);
    if (rc != MEMFILE_OK)
        return rc;
    rc = mf_writer_create(io, &mf->mem, &mf->settings, o->slots.kind ? &o->slots : NULL, o->sealed_by, &o->seal, err);
    if (rc == MEMFILE_OK)
        rc = mf_io_file_publish(io, NULL, err);
    io->functions->close(io);
    if (rc == MEMFILE_OK && !mf->secret) { /* the passphrase that sealed it opens it again */
        mf->secret = o->sealed_by;
        o->sealed_by = NULL;
    }
    return rc;
}

/* Where the bytes of a handle are: in a file, or (path NULL) in memory. */
typedef struct place {
    const char *path;
    memfile_mode mode;
    const void *data;
    size_t length;
} place;

static int open_place(const place *at, const memfile_options *options, memfile **out, memfile_error *error)
{
    memfile_error unused;
    memfile_error *err = error ? error : &unused;
    memfile *mf;
    mf_io *io = NULL;
    opening o;
    *out = NULL;
    int rc = make_handle(options, &o, &mf, err);
    if (rc != MEMFILE_OK)
        return rc;
    if (!at->path)
        rc = mf_io_memory_open(&mf->mem, at->data, at->length, &io, err);
    else if (at->mode == MEMFILE_CREATE)
        rc = create(mf, at->path, &o, err);
    if (rc == MEMFILE_OK && at->path)
        rc = mf_io_file_open(&mf->mem, at->path, at->mode == MEMFILE_READ ? MF_IO_READ : MF_IO_WRITE, &io, err);
    if (rc == MEMFILE_OK)
        rc = open_io(mf, io, &o, err);
    mf_secret_free(o.sealed_by);
    mf_seal_clear(&o.seal);
    if (rc == MEMFILE_OK)
        *out = mf;
    else
        memfile_close(mf);
    return rc;
}

int memfile_open(const char *path, memfile_mode mode, const memfile_options *options, memfile **out,
                 memfile_error *error)
{
    const place at = {path, mode, NULL, 0};
    return open_place(&at, options, out, error);
}

int memfile_open_memory(const void *data, size_t length, const memfile_options *options, memfile **out,
                        memfile_error *error)
{
    const place at = {NULL, MEMFILE_READ, data, length};
    return open_place(&at, options, out, error);
}

int mf_handle_inside(memfile *mf)
{
    return mf->store.without_key ? mf_fail(&mf->error, MEMFILE_E_KEY, MF_NOWHERE,
                                           "the memfile is sealed and was opened without a key: nothing in it can be read")
                                 : MEMFILE_OK;
}

void mf_handle_let_go(memfile *mf)
{
    if (mf->got)
        mf_store_release(&mf->store, mf->got);
    mf->got = NULL;
}

void memfile_close(memfile *mf)
{
    if (!mf)
        return;
    mf_writer_free(mf->writer);
    if (mf->open) {
        mf_handle_let_go(mf);
        mf_store_close(&mf->store);
    }
    mf_buffer_free(&mf->core);
    mf_buffer_free(&mf->json);
    mf_buffer_free(&mf->content);
    mf_free(&mf->mem, mf->record);
    mf_settings_free(&mf->settings, &mf->mem);
    mf_secret_free(mf->secret);
    mf_mem mem = mf->limiter.base;
    mf_free(&mem, mf);
}

const memfile_error *memfile_last_error(const memfile *mf)
{
    return &mf->error;
}

int memfile_refresh(memfile *mf)
{
    int moved = 0;
    uint64_t size = 0;
    mf_handle_let_go(mf);
    if (mf->writer && mf_writer_active(mf->writer))
        return MEMFILE_DONE; /* the lock is ours: nobody else commits */
    mf_io *io = mf->store.io;
    int rc = io->functions->look(io, &moved, &size, &mf->error);
    if (rc == MEMFILE_OK && moved) {
        rc = io->functions->reopen(io, &mf->error);
        return rc == MEMFILE_OK ? mf_store_reload(&mf->store, &mf->error) : rc;
    }
    return rc == MEMFILE_OK ? mf_store_refresh(&mf->store, size, &mf->error) : rc;
}

/* ---- writing */

int mf_handle_need_writer(memfile *mf)
{
    mf_handle_let_go(mf);
    int rc = mf_handle_inside(mf);
    return rc != MEMFILE_OK || mf->writer ? rc : mf_writer_new(&mf->store, &mf->settings, &mf->writer, &mf->error);
}

int memfile_put(memfile *mf, memfile_draft *draft, memfile_put_result *result)
{
    int rc = mf_handle_need_writer(mf);
    return rc == MEMFILE_OK ? mf_writer_put(mf->writer, draft, false, 0, result, &mf->error) : rc;
}

int memfile_put_if(memfile *mf, memfile_draft *draft, uint64_t expected, memfile_put_result *result)
{
    int rc = mf_handle_need_writer(mf);
    return rc == MEMFILE_OK ? mf_writer_put(mf->writer, draft, true, expected, result, &mf->error) : rc;
}

int memfile_put_begin(memfile *mf, memfile_draft *draft, int is_text)
{
    int rc = mf_handle_need_writer(mf);
    return rc == MEMFILE_OK
               ? mf_writer_put_begin(mf->writer, draft, is_text ? MF_CONTENT_TEXT : MF_CONTENT_DATA, &mf->error)
               : rc;
}

int memfile_put_write(memfile *mf, const void *data, size_t length)
{
    int rc = mf_handle_need_writer(mf);
    return rc == MEMFILE_OK ? mf_writer_put_write(mf->writer, data, length, &mf->error) : rc;
}

int memfile_put_end(memfile *mf, memfile_put_result *result)
{
    int rc = mf_handle_need_writer(mf);
    return rc == MEMFILE_OK ? mf_writer_put_end(mf->writer, result, &mf->error) : rc;
}

int memfile_commit(memfile *mf, memfile_commit_result *result)
{
    int rc = mf_handle_need_writer(mf);
    return rc == MEMFILE_OK ? mf_writer_commit(mf->writer, result, &mf->error) : rc;
}

void memfile_rollback(memfile *mf)
{
    if (mf->writer)
        mf_writer_rollback(mf->writer);
}

int memfile_rekey(const char *path, const memfile_rekey_options *options, memfile_error *error)
{
    memfile_rekey_options o = MEMFILE_REKEY_OPTIONS_INIT;
    memfile_options h = MEMFILE_OPTIONS_INIT;
    memfile_error unused;
    memfile_error *err = error ? error : &unused;
    memfile *mf;
    mf_slots slots;
    mf_secret *passphrase = NULL;
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    h.unlock = o.unlock;
    h.lock_timeout_ms = o.lock_timeout_ms;
    h.environment = o.environment;
    int rc = memfile_open(path, MEMFILE_WRITE, &h, &mf, err);
    if (rc != MEMFILE_OK)
        return rc;
    rc = mf_seal_for_take(&o.seal_for, &mf->settings.environment, &mf->mem, &slots, &passphrase, err);
    if (rc == MEMFILE_OK && !mf->store.seal.sealed)
        rc = mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "the memfile is plain: it can be sealed by writing it anew (--compact), not by a new key alone");
    if (rc == MEMFILE_OK && !slots.kind)
        rc = mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "nobody is named whom the file is to be sealed for");
    if (rc == MEMFILE_OK) {
        slots.padded = slots.padded || mf->store.slots.padded; /* it stays so */
        rc = mf_handle_need_writer(mf);
        if (rc == MEMFILE_OK)
            rc = mf_writer_rekey(mf->writer, &slots, passphrase, &mf->error);
        if (rc != MEMFILE_OK)
            *err = mf->error;
    }
    mf_secret_free(passphrase);
    memfile_close(mf);
    return rc;
}

/* ---- getting */

static int show(memfile *mf, mf_object *o, uint32_t row, const memfile_entry **out)
{
    int rc = mf_store_content(&mf->store, o, &mf->error);
    mf->got = o;
    if (rc != MEMFILE_OK) {
        mf_handle_let_go(mf);
        return rc;
    }
    mf->view = (memfile_entry){&o->block, row, o->first_entry + row};
    *out = &mf->view;
    return MEMFILE_OK;
}

/* Without an index: is an entry with a number in [from, to) in no block that can be read? */
static bool is_gap(const mf_state *s, uint64_t from, uint64_t to)
{
    for (uint32_t i = 0; i < s->block_count && from < to; i++) {
        uint64_t first = s->blocks[i].first_entry, end = first + s->blocks[i].entry_count;
        if (first <= from && from < end)
            from = end;
    }
    return from < to;
}

/* Could an entry that is not found stand in what cannot be read? */
static bool something_is_lost(const mf_state *s)
{
    if (!s->blocks)
        return s->unfinished_is_damage || s->lost_commits > 0;
    return is_gap(s, 0, s->entries) || !s->end_known || s->unreadable || s->doubtful.count > 0;
}

static int get(memfile *mf, const char *id, size_t id_length, uint64_t as_of, const memfile_entry **out)
{
    uint8_t binary[16];
    uint64_t limit = mf->store.state->entries;
    mf_object *o;
    uint32_t row;
    *out = NULL;
    mf_handle_let_go(mf);
    int rc = as_of == MEMFILE_NEWEST ? MEMFILE_OK : mf_store_entries_at(&mf->store, as_of, &limit, &mf->error);
    if (rc != MEMFILE_OK)
        return rc;
    rc = mf_store_id(&mf->store, mf_id_from_text(id, id_length, binary), limit, &o, &row, &mf->error);
    if (rc == MEMFILE_E_NOT_FOUND && something_is_lost(mf->store.state))
        return mf_fail(&mf->error, MEMFILE_E_DAMAGED, MF_NOWHERE,
                       "no entry that can be read has the id '%.*s', but the file is damaged and it may have been lost",
                       (int)(id_length < 80 ? id_length : 80), id);
    if (rc == MEMFILE_E_NOT_FOUND)
        return mf_fail(&mf->error, rc, MF_NOWHERE, "no entry has the id '%.*s'", (int)(id_length < 80 ? id_length : 80),
                       id);
    const mf_state *s = mf->store.state;
    uint64_t entry = rc == MEMFILE_OK ? o->first_entry + row : 0;
    if (rc == MEMFILE_OK && s->blocks && mf->settings.strictness != MEMFILE_SALVAGE &&
        (is_gap(s, entry, limit) || (as_of == MEMFILE_NEWEST && !s->end_known))) {
        mf_store_release(&mf->store, o);
        return mf_fail(&mf->error, MEMFILE_E_DAMAGED, MF_NOWHERE,
                       "the newest version of '%.*s' that can be read is entry %llu, but a newer one may have been lost",
                       (int)(id_length < 80 ? id_length : 80), id, (unsigned long long)entry);
    }
    return rc == MEMFILE_OK ? show(mf, o, row, out) : rc;
}

static int get_entry(memfile *mf, uint64_t entry, const memfile_entry **out)
{
    mf_object *o = NULL;
    uint32_t row;
    *out = NULL;
    mf_handle_let_go(mf);
    int rc = mf_store_entry(&mf->store, entry, &o, &row, &mf->error);
    if (rc == MEMFILE_OK && (mf_block_mask(&o->block, row) & MF_COLUMN_ERASED)) {
        mf_store_release(&mf->store, o);
        return mf_fail(&mf->error, MEMFILE_E_NOT_FOUND, MF_NOWHERE, "entry %llu has been erased",
                       (unsigned long long)entry);
    }
    bool forgotten = false;
    if (rc == MEMFILE_OK)
        rc = mf_store_forgotten(&mf->store, entry, &forgotten, &mf->error);
    if (rc == MEMFILE_OK && forgotten)
        rc = mf_fail(&mf->error, MEMFILE_E_NOT_FOUND, MF_NOWHERE, "entry %llu has been forgotten",
                     (unsigned long long)entry);
    if (rc != MEMFILE_OK && o)
        mf_store_release(&mf->store, o);
    return rc == MEMFILE_OK ? show(mf, o, row, out) : rc;
}

/* Damage to an index costs nothing: look again without it. */
bool mf_handle_fall_back(memfile *mf, int *rc)
{
    if (*rc != MEMFILE_E_DAMAGED || mf->store.state->blocks || mf->settings.strictness == MEMFILE_STRICT ||
        (mf->writer && mf_writer_active(mf->writer)))
        return false;
    *rc = rebuild(mf, &mf->error);
    return *rc == MEMFILE_OK;
}

int memfile_get(memfile *mf, const char *id, size_t id_length, uint64_t as_of, const memfile_entry **out)
{
    *out = NULL;
    int rc = mf_handle_inside(mf);
    if (rc != MEMFILE_OK)
        return rc;
    rc = get(mf, id, id_length, as_of, out);
    return mf_handle_fall_back(mf, &rc) ? get(mf, id, id_length, as_of, out) : rc;
}

int memfile_get_entry(memfile *mf, uint64_t entry, const memfile_entry **out)
{
    *out = NULL;
    int rc = mf_handle_inside(mf);
    if (rc != MEMFILE_OK)
        return rc;
    rc = get_entry(mf, entry, out);
    return mf_handle_fall_back(mf, &rc) ? get_entry(mf, entry, out) : rc;
}

/* ---- what is known of the file */

static int first_commit(void *context, const memfile_commit_info *commit)
{
    *(int64_t *)context = commit->time_us;
    return MEMFILE_DONE;
}

int memfile_get_info(memfile *mf, memfile_info *info, size_t struct_size)
{
    const mf_state *s = mf->store.state;
    memfile_info i;
    memset(&i, 0, sizeof i);
    /* what is to be read for */
    bool wanted = struct_size > offsetof(memfile_info, superseded) && !mf->store.without_key;
    int rc = wanted ? mf_store_superseded(&mf->store, &i.superseded, &mf->error) : MEMFILE_OK;
    if (rc != MEMFILE_OK && rc != MEMFILE_E_DAMAGED)
        return rc;
    i.last_commit_us = s->time_us;
    if (wanted && !s->commit_is_logical && !s->blocks) { /* that was a compaction: the log knows better */
        rc = memfile_log(mf, first_commit, &i.last_commit_us);
        if (rc < 0 && rc != MEMFILE_E_DAMAGED)
            return rc;
    }
    i.file_bytes = s->file_size;
    i.committed_bytes = s->end;
    i.unfinished_bytes = s->file_size - s->end;
    i.unfinished_is_damage = something_is_lost(s);
    i.commits = mf->store.without_key ? 0 : s->number + 1;
    i.entries = s->entries;
    i.objects = s->footer.objects;
    i.runs = s->footer.run_count;
    for (uint32_t r = 0; r < s->footer.run_count; r++)
        i.index_bytes += s->footer.runs[r].total_length;
    i.dictionaries = s->footer.dictionary_count;
    i.format_version = mf->store.header.format_version;
    i.sealed = mf->store.header.suite != MF_SUITE_PLAIN;
    memcpy(i.memory_id, mf->store.header.memory_id, 16);
    memcpy(i.incarnation_id, mf->store.header.incarnation_id, 16);
    memcpy(i.history_digest, s->history_digest, 32);
    const mf_keys *k = &mf->store.keys;
    i.epoch = k->epoch;
    i.recipients = k->slot_kind == MF_SLOT_RECIPIENTS ? k->slot_count : 0;
    i.passes = k->passes;
    i.memory_kib = k->memory_kib;
    i.padded = (k->flags & MF_KEYS_PADDED) != 0;
    i.outside = mf->store.without_key;
    i.forgotten = s->blocks ? mf_ranges_count(&s->forgotten) - mf_ranges_count(&s->doubtful) : s->footer.forgotten;
    i.incomplete = something_is_lost(s);
    memcpy(info, &i, struct_size < sizeof i ? struct_size : sizeof i);
    return MEMFILE_OK;
}

void memfile_get_statistics(const memfile *mf, memfile_statistics *statistics, size_t struct_size)
{
    const mf_io_counters *c = &mf->store.io->counters;
    memfile_statistics s = {c->reads,         c->bytes_read,  c->writes,        c->bytes_written,
                            c->syncs,         mf->store.hits, mf->store.misses, mf->limiter.used};
    memcpy(statistics, &s, struct_size < sizeof s ? struct_size : sizeof s);
}

/* ---- the log */

static void fill_author(memfile_commit_info *info, mf_slice author)
{
    size_t n = author.length < sizeof info->author - 1 ? author.length : sizeof info->author - 1;
    if (n)
        memcpy(info->author, author.data, n);
    info->author[n] = '\0';
    info->author_length = n;
}

static void fill_signatures(memfile_commit_info *info, mf_slice signatures)
{
    info->signature_count = signatures.length / MF_SIGNATURE_ENTRY;
    info->signatures = info->signature_count ? signatures.data : NULL;
}

/* The folded commits of a compacted file, newest first. */
static int log_histories(memfile *mf, uint64_t newest, const uint8_t digest[32], int (*callback)(void *, const memfile_commit_info *),
                         void *context)
{
    const mf_footer *f = &mf->store.state->footer;
    mf_store *st = &mf->store;
    uint64_t at = f->history_offset, count = f->history_count;
    int rc = MEMFILE_OK;
    /* places of the segments, then backwards */
    mf_arena arena;
    if (count > st->state->end / MF_SEGMENT_HEADER_LENGTH)
        return mf_fail(&mf->error, MEMFILE_E_DAMAGED, st->state->footer_offset,
                       "the footer names more history segments than there can be");
    uint64_t *offsets = (uint64_t *)mf_alloc(&mf->mem, (size_t)(count + 1) * sizeof *offsets);
    if (!offsets)
        return mf_fail_memory(&mf->error);
    mf_arena_init(&arena, &mf->mem);
    for (uint64_t pass = 0; pass < 2 * count && rc == MEMFILE_OK; pass++) {
        mf_segment s;
        uint8_t *raw = NULL;
        mf_slice head, stored;
        mf_history h;
        bool forward = pass < count;
        uint64_t offset = forward ? at : offsets[2 * count - 1 - pass];
        rc = mf_store_segment(st, offset, 0, &s, &raw, &mf->error);
        if (rc == MEMFILE_OK && s.type != MF_TYPE_HISTORY)
            rc = mf_fail(&mf->error, MEMFILE_E_DAMAGED, offset, "no history segment at offset %llu",
                         (unsigned long long)offset);
        if (rc == MEMFILE_OK && forward) {
            offsets[pass] = offset;
            at += mf_segment_total(&s);
        } else if (rc == MEMFILE_OK) {
            mf_arena_reset(&arena);
            rc = mf_segment_split(&s, raw, &head, &stored, &mf->error);
            if (rc == MEMFILE_OK)
                rc = mf_history_decode(&h, head, &arena, offset, &mf->error);
            uint64_t first = rc == MEMFILE_OK ? h.first_entry : 0;
            for (uint32_t i = 0; rc == MEMFILE_OK && i < h.row_count; i++)
                first += h.rows[i].count;
            for (uint32_t i = h.row_count; rc == MEMFILE_OK && i-- > 0;) {
                memfile_commit_info info;
                memset(&info, 0, sizeof info);
                first -= h.rows[i].count;
                info.number = h.first_number + i;
                info.first_entry = first;
                info.entry_count = h.rows[i].count;
                info.time_us = h.rows[i].time_us;
                info.order = h.rows[i].order;
                fill_author(&info, h.rows[i].author);
                fill_signatures(&info, h.rows[i].signatures);
                if (info.number == newest) {
                    info.has_digest = 1;
                    memcpy(info.digest, digest, 32);
                }
                rc = callback(context, &info);
            }
        }
        mf_free(&mf->mem, raw);
    }
    mf_arena_free(&arena);
    mf_free(&mf->mem, offsets);
    return rc;
}

int memfile_log(memfile *mf, int (*callback)(void *context, const memfile_commit_info *commit), void *context)
{
    mf_store *st = &mf->store;
    int inside = mf_handle_inside(mf);
    if (inside != MEMFILE_OK)
        return inside;
    mf_handle_let_go(mf);
    uint64_t at = st->state->commit_offset;
    for (;;) {
        mf_segment s;
        uint8_t *raw = NULL;
        mf_slice head, stored;
        mf_commit k;
        memfile_commit_info info;
        int rc = mf_store_segment(st, at, 0, &s, &raw, &mf->error);
        if (rc == MEMFILE_OK && s.type != MF_TYPE_COMMIT)
            rc = mf_fail(&mf->error, MEMFILE_E_DAMAGED, at, "no commit at offset %llu", (unsigned long long)at);
        if (rc == MEMFILE_OK)
            rc = mf_segment_split(&s, raw, &head, &stored, &mf->error);
        if (rc == MEMFILE_OK)
            rc = mf_commit_decode(&k, head, NULL, &mf->mem, at, &mf->error);
        if (rc == MEMFILE_OK && (k.flags & MF_COMMIT_LOGICAL)) {
            memset(&info, 0, sizeof info);
            info.number = k.number;
            info.first_entry = k.first_entry;
            info.entry_count = k.entry_count;
            info.time_us = k.time_us;
            info.order = k.order;
            info.has_digest = 1;
            memcpy(info.digest, k.history_digest, 32);
            fill_author(&info, k.author);
            fill_signatures(&info, k.signatures);
            rc = callback(context, &info);
        }
        bool first = s.previous_commit == 0;
        uint64_t number = rc == MEMFILE_OK ? k.number : 0;
        uint8_t digest[32] = {0};
        if (rc == MEMFILE_OK)
            memcpy(digest, k.history_digest, 32);
        mf_free(&mf->mem, raw);
        if (rc != MEMFILE_OK)
            return rc;
        if (first)
            return st->state->footer.history_count ? log_histories(mf, number, digest, callback, context) : MEMFILE_OK;
        if (s.previous_commit >= at)
            return mf_fail(&mf->error, MEMFILE_E_DAMAGED, at, "the commit at offset %llu names a later one before it",
                           (unsigned long long)at);
        at = s.previous_commit;
    }
}

typedef struct finding {
    const char *digits;
    size_t length;
    uint64_t number, found;
    bool decimal;
} finding;

static int match_commit(void *context, const memfile_commit_info *commit)
{
    finding *f = (finding *)context;
    char hex[65];
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", commit->digest[i]);
    if (commit->has_digest && f->length >= 4 && f->length <= 64 && memcmp(hex, f->digits, f->length) == 0) {
        f->found++;
        f->number = commit->number;
    }
    return f->found > 1 ? MEMFILE_E_CONFLICT : MEMFILE_OK;
}

int memfile_find_commit(memfile *mf, const char *name, uint64_t *number)
{
    finding f = {name, strlen(name), 0, 0, true};
    uint64_t v = 0;
    *number = 0;
    int inside = mf_handle_inside(mf);
    if (inside != MEMFILE_OK)
        return inside;
    for (size_t i = 0; i < f.length; i++) {
        if (name[i] < '0' || name[i] > '9' || v > UINT64_MAX / 10 - 1)
            f.decimal = false;
        else
            v = v * 10 + (uint64_t)(name[i] - '0');
    }
    if (f.length == 0)
        return mf_fail(&mf->error, MEMFILE_E_INVALID, MF_NOWHERE, "a commit is named by its number or its digest");
    if (f.decimal && v <= mf->store.state->number) {
        *number = v;
        return MEMFILE_OK;
    }
    int rc = memfile_log(mf, match_commit, &f);
    if (rc == MEMFILE_E_CONFLICT)
        return mf_fail(&mf->error, rc, MF_NOWHERE, "several commits begin with '%.64s'", name);
    if (rc != MEMFILE_OK)
        return rc;
    if (f.found == 0)
        return mf_fail(&mf->error, MEMFILE_E_NOT_FOUND, MF_NOWHERE, "there is no commit '%.64s'", name);
    *number = f.number;
    return MEMFILE_OK;
}
