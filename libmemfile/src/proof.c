/* proof: an entry, the commit it is of, and the way up to a history digest. SPEC 20.14. Made by a verification of
 * the whole file; checked without one. */
#include "base64.h"
#include "cbor.h"
#include "hex.h"
#include "inclusion.h"
#include "signature.h"
#include "verify.h"

#include <stdio.h>

#define PROOF_MAX ((size_t)8 << 20)

/* ---- making */

typedef struct prover {
    memfile *mf;
    uint64_t entry, first, count; /* the commit's entries */
    uint64_t target, head;        /* commits: the entry's, the one that the proof leads to */
    mf_inclusion entries, log;
    mf_buffer body, commit_body, head_body, signatures;
    uint8_t salt[MF_SALT_LENGTH], digest[32];
    bool salted, headed;
} prover;

static void take_leaf(void *context, uint64_t entry, const uint8_t leaf[32], const uint8_t *salt)
{
    prover *p = (prover *)context;
    if (entry < p->first || entry >= p->first + p->count)
        return;
    mf_inclusion_add(&p->entries, leaf);
    if (entry == p->entry && salt) {
        memcpy(p->salt, salt, sizeof p->salt);
        p->salted = true;
    }
}

static int take_commit(void *context, uint64_t number, const uint8_t digest[32], mf_slice signatures)
{
    prover *p = (prover *)context;
    if (number < p->head)
        mf_inclusion_add(&p->log, digest);
    if (number == p->target)
        mf_put_bytes(&p->commit_body, p->body.data, p->body.length);
    if (number == p->head) {
        p->headed = true;
        memcpy(p->digest, digest, sizeof p->digest);
        mf_put_bytes(&p->head_body, p->body.data, p->body.length);
        mf_put_bytes(&p->signatures, signatures.data, signatures.length);
    }
    return MEMFILE_OK;
}

/* The commit that brought the entry: p->target, p->first, p->count. */
static int find_target(prover *p)
{
    memfile *mf = p->mf;
    uint64_t low = 0, high = p->head, end = 0;
    while (low < high) { /* the first commit behind which the entry is there */
        uint64_t middle = low + (high - low) / 2;
        int rc = mf_store_entries_at(&mf->store, middle, &end, &mf->error);
        if (rc != MEMFILE_OK)
            return rc;
        if (end > p->entry)
            high = middle;
        else
            low = middle + 1;
    }
    p->target = low;
    int rc = mf_store_entries_at(&mf->store, low, &end, &mf->error);
    if (rc == MEMFILE_OK && low > 0)
        rc = mf_store_entries_at(&mf->store, low - 1, &p->first, &mf->error);
    p->count = end - p->first;
    if (rc == MEMFILE_OK && (p->entry < p->first || p->entry >= end))
        rc = mf_fail(&mf->error, MEMFILE_E_DAMAGED, MF_NOWHERE, "the index knows no commit of entry %llu",
                     (unsigned long long)p->entry);
    return rc;
}

/* Goes over all of the file, the handle's own. */
static int collect(prover *p)
{
    memfile *mf = p->mf;
    const mf_verify_listener listener = {.context = p, .leaf = take_leaf, .commit = take_commit, .body = &p->body};
    const mf_access access = {NULL, mf->store.seal.sealed ? &mf->store.seal : NULL, false};
    memfile_verify_options options = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result result;
    mf_io *io;
    options.threads = mf->settings.threads;
    mf_inclusion_init(&p->entries, MF_ENTRIES_FANOUT, p->entry - p->first, &mf->mem);
    mf_inclusion_init(&p->log, MF_LOG_FANOUT, p->target, &mf->mem);
    int rc = mf_io_again(mf->store.io, &io, &mf->error);
    if (rc == MEMFILE_OK)
        rc = mf_verify_run(io, &options, &listener, &access, &result, &mf->error);
    if (rc == MEMFILE_E_TRUNCATED) /* an append that is going on, or was torn, takes nothing from what is committed */
        rc = MEMFILE_OK;
    if (rc != MEMFILE_OK)
        return rc;
    if (!p->salted || !p->headed)
        return mf_fail(&mf->error, MEMFILE_E_DAMAGED, MF_NOWHERE, "the entry or its commit is not where the index has it");
    mf_inclusion_end(&p->entries);
    mf_inclusion_end(&p->log);
    return MEMFILE_OK;
}

static void put_text(mf_buffer *out, const char *text)
{
    mf_put_bytes(out, text, strlen(text));
}

static void put_hex_member(mf_buffer *out, const char *name, const uint8_t *bytes, size_t length)
{
    char hex[65];
    put_text(out, name);
    mf_hex_print(hex, bytes, length);
    put_text(out, hex);
    put_text(out, "\"");
}

static void put_base64_member(mf_buffer *out, const char *name, const mf_buffer *bytes)
{
    put_text(out, name);
    mf_base64_put(out, mf_slice_of(bytes->data, bytes->length));
}

static int write_proof(prover *p)
{
    memfile *mf = p->mf;
    mf_buffer *out = &mf->json;
    char number[40];
    mf_buffer_clear(out);
    put_base64_member(out, "{\"memfile_proof\":1,\"core\":", &mf->core);
    put_hex_member(out, ",\"salt\":\"", p->salt, sizeof p->salt);
    snprintf(number, sizeof number, ",\"index\":%llu", (unsigned long long)(p->entry - p->first));
    put_text(out, number);
    put_base64_member(out, ",\"entries_path\":", &p->entries.path);
    put_base64_member(out, ",\"commit\":", &p->commit_body);
    if (p->target != p->head) {
        put_base64_member(out, ",\"log_path\":", &p->log.path);
        put_base64_member(out, ",\"newest\":", &p->head_body);
    }
    put_hex_member(out, ",\"history_digest\":\"", p->digest, sizeof p->digest);
    if (p->signatures.length)
        put_base64_member(out, ",\"signatures\":", &p->signatures);
    put_text(out, "}");
    if (out->failed || p->entries.path.failed || p->log.path.failed || p->commit_body.failed || p->head_body.failed ||
        p->signatures.failed)
        return mf_fail_memory(&mf->error);
    return MEMFILE_OK;
}

static int prove(prover *p, const char *id, size_t id_length)
{
    memfile *mf = p->mf;
    const memfile_entry *e;
    memfile_proof *proof;
    int rc = memfile_get(mf, id, id_length, p->head, &e);
    if (rc != MEMFILE_OK)
        return rc;
    p->entry = e->number;
    mf_buffer_clear(&mf->core);
    if ((rc = mf_block_core(e->block, e->row, &mf->core)) != 0)
        return rc == -2 ? mf_fail_memory(&mf->error)
                        : mf_fail(&mf->error, MEMFILE_E_DAMAGED, MF_NOWHERE, "entry %llu is damaged",
                                  (unsigned long long)e->number);
    rc = find_target(p);
    if (rc == MEMFILE_OK)
        rc = collect(p);
    if (rc == MEMFILE_OK)
        rc = write_proof(p);
    if (rc == MEMFILE_OK) /* what does not hold is never given out */
        rc = memfile_proof_check((const char *)mf->json.data, mf->json.length, &proof, &mf->error);
    if (rc == MEMFILE_OK)
        memfile_proof_free(proof);
    return rc;
}

int memfile_prove(memfile *mf, const char *id, size_t id_length, uint64_t as_of, const char **out, size_t *length)
{
    *out = NULL;
    *length = 0;
    int rc = mf_handle_inside(mf);
    if (rc != MEMFILE_OK)
        return rc;
    prover *p = (prover *)mf_alloc_zero(&mf->mem, sizeof *p);
    if (!p)
        return mf_fail_memory(&mf->error);
    p->mf = mf;
    p->head = as_of == MEMFILE_NEWEST ? mf->store.state->number : as_of;
    mf_buffer *buffers[] = {&p->body, &p->commit_body, &p->head_body, &p->signatures};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        mf_buffer_init(buffers[i], &mf->mem);
    mf_buffer_init(&p->entries.path, &mf->mem);
    mf_buffer_init(&p->log.path, &mf->mem);
    rc = prove(p, id, id_length);
    if (rc == MEMFILE_OK) {
        *out = (const char *)mf->json.data;
        *length = mf->json.length;
    }
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        mf_buffer_free(buffers[i]);
    mf_inclusion_free(&p->entries);
    mf_inclusion_free(&p->log);
    mf_free(&mf->mem, p);
    return rc;
}

/* ---- checking */

/* The body of a commit, SPEC 8.6. */
typedef struct body_fields {
    const uint8_t *memory_id, *entries_root, *log_root;
    uint64_t entries, number; /* of all commits before it */
    int64_t time_us;
    mf_slice author;
} body_fields;

struct memfile_proof {
    mf_buffer core, entries_path, commit, log_path, newest, signatures, json;
    mf_record *record;
    memfile_proof_info info;
};

static int refuse(memfile_error *err, const char *why)
{
    return mf_fail(err, MEMFILE_E_DAMAGED, MF_NOWHERE, "the proof does not hold: %s", why);
}

static const uint8_t *get_id(mf_cursor *c, size_t length)
{
    mf_slice s = mf_cbor_get_bytes(c);
    if (s.length != length)
        c->failed = true;
    return s.data;
}

/* Is the next key that one? Then it is taken. */
static bool next_key(mf_cursor *c, uint64_t *left, uint8_t key)
{
    if (*left == 0 || mf_cbor_peek(c) != key)
        return false;
    mf_get_u8(c);
    --*left;
    return true;
}

static bool get_body(body_fields *b, const mf_buffer *bytes)
{
    mf_cursor c = mf_cursor_of(bytes->data, bytes->length);
    uint64_t left = mf_cbor_get(&c, MF_CBOR_MAP);
    memset(b, 0, sizeof *b);
    b->memory_id = next_key(&c, &left, 1) ? get_id(&c, 16) : NULL;
    if (next_key(&c, &left, 2)) {
        uint64_t parents = mf_cbor_get(&c, MF_CBOR_ARRAY);
        for (uint64_t i = 0; i < parents && !c.failed; i++)
            get_id(&c, 32);
    }
    bool all = next_key(&c, &left, 3);
    b->entries = mf_cbor_get(&c, MF_CBOR_UINT);
    b->entries_root = next_key(&c, &left, 4) ? get_id(&c, 32) : NULL;
    all = next_key(&c, &left, 5) && all;
    b->number = mf_cbor_get(&c, MF_CBOR_UINT);
    b->log_root = next_key(&c, &left, 6) ? get_id(&c, 32) : NULL;
    all = next_key(&c, &left, 7) && all;
    mf_cbor_get(&c, MF_CBOR_UINT);
    all = next_key(&c, &left, 8) && all;
    b->time_us = mf_cbor_get_int(&c);
    if (next_key(&c, &left, 9))
        b->author = mf_cbor_get_text(&c);
    return all && !c.failed && b->memory_id; /* further pairs are anybody's */
}

/* A string of canonical base64 and its closing quote. */
static void get_base64(mf_cursor *c, mf_buffer *out)
{
    const uint8_t *start = c->at;
    while (!c->failed && c->at < c->end && *c->at != '"')
        c->at++;
    mf_slice text = mf_slice_of(start, (size_t)(c->at - start));
    int64_t length = c->failed ? -1 : mf_base64_length(text);
    mf_get_literal(c, "\"");
    if (length < 0 || c->failed) {
        c->failed = true;
        return;
    }
    uint8_t *to = mf_buffer_reserve(out, (size_t)length + 3);
    if (to)
        out->length += mf_base64_decode(&text, to, (size_t)length + 3);
}

static bool follows(const mf_cursor *c, const char *text)
{
    size_t n = strlen(text);
    return !c->failed && (size_t)(c->end - c->at) >= n && memcmp(c->at, text, n) == 0;
}

/* The one form that a proof has. */
static bool parse(memfile_proof *p, mf_cursor *c, uint8_t salt[MF_SALT_LENGTH])
{
    mf_get_literal(c, "{\"memfile_proof\":1,\"core\":\"");
    get_base64(c, &p->core);
    mf_get_literal(c, ",\"salt\":\"");
    mf_get_hex(c, salt, MF_SALT_LENGTH);
    mf_get_literal(c, "\",\"index\":");
    p->info.index = mf_get_decimal(c);
    mf_get_literal(c, ",\"entries_path\":\"");
    get_base64(c, &p->entries_path);
    mf_get_literal(c, ",\"commit\":\"");
    get_base64(c, &p->commit);
    if (follows(c, ",\"log_path\":\"")) {
        mf_get_literal(c, ",\"log_path\":\"");
        get_base64(c, &p->log_path);
        mf_get_literal(c, ",\"newest\":\"");
        get_base64(c, &p->newest);
        c->failed = c->failed || p->newest.length == 0;
    }
    mf_get_literal(c, ",\"history_digest\":\"");
    mf_get_hex(c, p->info.history_digest, 32);
    mf_get_literal(c, "\"");
    if (follows(c, ",\"signatures\":\"")) {
        mf_get_literal(c, ",\"signatures\":\"");
        get_base64(c, &p->signatures);
        c->failed = c->failed || p->signatures.length == 0 || p->signatures.length % MF_SIGNATURE_ENTRY;
    }
    mf_get_literal(c, "}");
    if (!c->failed && c->at < c->end)
        mf_get_literal(c, "\n");
    return mf_cursor_finished(c);
}

/* The entry is one of its commit. */
static const char *check_entry(memfile_proof *p, const body_fields *commit, const uint8_t salt[MF_SALT_LENGTH])
{
    uint8_t leaf[32], root[32];
    mf_digest_stream s;
    mf_digest_begin(&s, MF_LABEL_LEAF);
    mf_digest_add(&s, salt, MF_SALT_LENGTH);
    mf_digest_add(&s, p->core.data, p->core.length);
    mf_digest_end(&s, leaf);
    if (!commit->entries_root || !mf_inclusion_root(root, MF_ENTRIES_FANOUT, p->info.index, commit->entries, leaf,
                                                    mf_slice_of(p->entries_path.data, p->entries_path.length)) ||
        memcmp(root, commit->entries_root, 32) != 0)
        return "the entry is none of its commit";
    return NULL;
}

/* The commit is part of the newest one's history, or that one itself. */
static const char *check_history(const memfile_proof *p, const body_fields *commit, const body_fields *newest)
{
    uint8_t digest[32], root[32];
    if (p->newest.length) {
        mf_digest(digest, MF_LABEL_COMMIT, p->commit.data, p->commit.length);
        if (memcmp(commit->memory_id, newest->memory_id, 16) != 0)
            return "its commits are of two memories";
        if (!newest->log_root || !mf_inclusion_root(root, MF_LOG_FANOUT, commit->number, newest->number, digest,
                                                    mf_slice_of(p->log_path.data, p->log_path.length)) ||
            memcmp(root, newest->log_root, 32) != 0)
            return "the commit is not part of the history";
    }
    const mf_buffer *head = p->newest.length ? &p->newest : &p->commit;
    mf_digest(digest, MF_LABEL_COMMIT, head->data, head->length);
    if (memcmp(digest, p->info.history_digest, 32) != 0)
        return "the history digest is another";
    for (size_t i = 0; i < p->signatures.length; i += MF_SIGNATURE_ENTRY)
        if (!mf_signature_right(p->signatures.data + i, newest->memory_id, digest, newest->number))
            return "a signature is not right";
    return NULL;
}

static int fill_info(memfile_proof *p, const body_fields *commit, const body_fields *newest, memfile_error *err)
{
    memfile_proof_info *i = &p->info;
    mf_slice core = mf_slice_of(p->core.data, p->core.length);
    int rc = mf_record_parse(p->record, core, MEMFILE_E_DAMAGED, MF_NOWHERE, err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_record_put_json(&p->json, p->record, core, NULL);
    if (p->json.failed)
        return mf_fail_memory(err);
    memcpy(i->memory_id, newest->memory_id, 16);
    i->entry = (const char *)p->json.data;
    i->entry_length = p->json.length;
    if (p->record->has_content) {
        i->content_is_detached = 1;
        i->content_length = p->record->content_length;
        memcpy(i->content_root, p->record->content_root, 32);
    }
    i->commit = commit->number;
    i->commit_time_us = commit->time_us;
    i->author = (const char *)commit->author.data;
    i->author_length = commit->author.length;
    i->count = commit->entries;
    i->newest_commit = newest->number;
    i->newest_time_us = newest->time_us;
    i->signature_count = p->signatures.length / MF_SIGNATURE_ENTRY;
    i->signatures = p->signatures.data;
    return MEMFILE_OK;
}

static int check(memfile_proof *p, mf_slice text, memfile_error *err)
{
    uint8_t salt[MF_SALT_LENGTH];
    body_fields commit, newest;
    mf_cursor c = mf_cursor_of(text.data, text.length);
    bool parsed = text.length <= PROOF_MAX && parse(p, &c, salt);
    if (p->core.failed || p->entries_path.failed || p->commit.failed || p->log_path.failed || p->newest.failed ||
        p->signatures.failed)
        return mf_fail_memory(err);
    if (!parsed)
        return refuse(err, "it has not the form of one");
    if (!get_body(&commit, &p->commit) || !get_body(&newest, p->newest.length ? &p->newest : &p->commit))
        return refuse(err, "a commit of it has not the form of one");
    const char *wrong = check_entry(p, &commit, salt);
    wrong = wrong ? wrong : check_history(p, &commit, &newest);
    return wrong ? refuse(err, wrong) : fill_info(p, &commit, &newest, err);
}

int memfile_proof_check(const char *text, size_t length, memfile_proof **out, memfile_error *error)
{
    *out = NULL;
    mf_error_clear(error);
    if (!mf_digest_start())
        return mf_fail(error, MEMFILE_E_SYSTEM, MF_NOWHERE, "libsodium cannot be used");
    memfile_proof *p = (memfile_proof *)mf_alloc_zero(&mf_mem_default, sizeof *p);
    if (!p)
        return mf_fail_memory(error);
    mf_buffer *buffers[] = {&p->core, &p->entries_path, &p->commit, &p->log_path, &p->newest, &p->signatures, &p->json};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        mf_buffer_init(buffers[i], &mf_mem_default);
    p->record = (mf_record *)mf_alloc(&mf_mem_default, sizeof *p->record);
    int rc = p->record ? check(p, mf_slice_of(text, length), error) : mf_fail_memory(error);
    if (rc == MEMFILE_OK)
        *out = p;
    else
        memfile_proof_free(p);
    return rc;
}

void memfile_proof_free(memfile_proof *p)
{
    if (!p)
        return;
    mf_buffer *buffers[] = {&p->core, &p->entries_path, &p->commit, &p->log_path, &p->newest, &p->signatures, &p->json};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        mf_buffer_free(buffers[i]);
    mf_free(&mf_mem_default, p->record);
    mf_free(&mf_mem_default, p);
}

void memfile_proof_get_info(const memfile_proof *proof, memfile_proof_info *info, size_t struct_size)
{
    memcpy(info, &proof->info, struct_size < sizeof *info ? struct_size : sizeof *info);
}
