/* receipt: what names a history, and what it says of a copy. SPEC 20.13. */
#include <stdio.h>

#include "handle.h"
#include "hex.h"

#define LABEL "memfile-receipt-1"
#define CHECK_DIGITS 8u

/* ---- taking one */

/* The genesis has no entries and nothing before it: its row says all. */
static int digest_of_genesis(memfile *mf, const mf_history_row *row, uint8_t out[32])
{
    mf_tree *log = (mf_tree *)mf_alloc(&mf->mem, sizeof *log);
    bool no_memory = false;
    if (!log)
        return mf_fail_memory(&mf->error);
    mf_tree_init(log, MF_LOG_FANOUT);
    mf_history_digest(out, mf->store.header.memory_id, row->parents, 0, NULL, log, row->order, row->time_us, row->author,
                      row->extra, &mf->mem, &no_memory);
    mf_free(&mf->mem, log);
    return no_memory ? mf_fail_memory(&mf->error) : MEMFILE_OK;
}

static int folded_genesis(memfile *mf, uint64_t offset, uint8_t out[32])
{
    mf_segment s;
    uint8_t *raw;
    mf_slice head, stored;
    mf_history h;
    mf_arena arena;
    int rc = mf_store_segment(&mf->store, offset, 0, &s, &raw, &mf->error);
    if (rc != MEMFILE_OK)
        return rc;
    mf_arena_init(&arena, &mf->mem);
    rc = mf_segment_split(&s, raw, &head, &stored, &mf->error);
    if (rc == MEMFILE_OK)
        rc = s.type == MF_TYPE_HISTORY ? mf_history_decode(&h, head, &arena, offset, &mf->error) : MEMFILE_E_DAMAGED;
    if (rc == MEMFILE_OK && h.first_number == 0 && h.row_count > 0 && h.rows[0].count == 0)
        rc = digest_of_genesis(mf, &h.rows[0], out);
    else if (rc == MEMFILE_OK || rc == MEMFILE_E_DAMAGED)
        rc = mf_fail(&mf->error, MEMFILE_E_DAMAGED, offset, "the first commit is not at offset %llu",
                     (unsigned long long)offset);
    mf_arena_free(&arena);
    mf_free(&mf->mem, raw);
    return rc;
}

/* Where a file begins with its genesis, as all do that writers make; *found if this one does. */
static int first_genesis(memfile *mf, uint8_t out[32], bool *found)
{
    mf_segment s;
    uint8_t *raw;
    mf_slice head, stored;
    mf_commit k;
    *found = false;
    int rc = mf_store_segment(&mf->store, MF_HEADER_LENGTH, 0, &s, &raw, &mf->error);
    if (rc == MEMFILE_E_MEMORY || rc == MEMFILE_E_SYSTEM)
        return rc;
    if (rc != MEMFILE_OK || s.type != MF_TYPE_COMMIT) {
        mf_free(&mf->mem, rc == MEMFILE_OK ? raw : NULL);
        return MEMFILE_OK; /* the log finds it, or says why not */
    }
    rc = mf_segment_split(&s, raw, &head, &stored, &mf->error);
    if (rc == MEMFILE_OK)
        rc = mf_commit_decode(&k, head, NULL, &mf->mem, s.offset, &mf->error);
    *found = rc == MEMFILE_OK && (k.flags & MF_COMMIT_LOGICAL) && k.number == 0;
    if (*found)
        memcpy(out, k.history_digest, 32);
    mf_free(&mf->mem, raw);
    return rc == MEMFILE_E_MEMORY ? rc : MEMFILE_OK;
}

static int logged_genesis(void *context, const memfile_commit_info *commit)
{
    if (commit->number == 0)
        memcpy(context, commit->digest, 32);
    return MEMFILE_OK;
}

int memfile_receipt_take(memfile *mf, memfile_receipt *out)
{
    const mf_state *s = mf->store.state;
    bool found = true;
    memset(out, 0, sizeof *out);
    mf_handle_let_go(mf);
    int rc = mf_handle_inside(mf);
    if (rc != MEMFILE_OK)
        return rc;
    rc = s->footer.history_count > 0 ? folded_genesis(mf, s->footer.history_offset, out->genesis_digest)
                                     : first_genesis(mf, out->genesis_digest, &found);
    if (rc == MEMFILE_OK && !found)
        rc = memfile_log(mf, logged_genesis, out->genesis_digest);
    if (rc != MEMFILE_OK) {
        memset(out, 0, sizeof *out);
        return rc;
    }
    memcpy(out->memory_id, mf->store.header.memory_id, 16);
    memcpy(out->history_digest, s->history_digest, 32);
    out->commit = s->number;
    out->entries = s->entries;
    return MEMFILE_OK;
}

/* ---- text */

void memfile_receipt_print(const memfile_receipt *r, char out[MEMFILE_RECEIPT_SIZE])
{
    uint8_t check[32];
    size_t n = (size_t)snprintf(out, MEMFILE_RECEIPT_SIZE, LABEL " ");
    n += mf_hex_print(out + n, r->memory_id, 16);
    n += (size_t)snprintf(out + n, MEMFILE_RECEIPT_SIZE - n, " %llu %llu ", (unsigned long long)r->commit,
                          (unsigned long long)r->entries);
    n += mf_hex_print(out + n, r->history_digest, 32);
    out[n++] = ' ';
    n += mf_hex_print(out + n, r->genesis_digest, 32);
    mf_digest(check, MF_LABEL_RECEIPT, out, n);
    out[n++] = ' ';
    mf_hex_print(out + n, check, CHECK_DIGITS / 2);
}

int memfile_receipt_parse(const char *text, size_t length, memfile_receipt *out, memfile_error *error)
{
    mf_cursor c = mf_cursor_of(text, length);
    const uint8_t *label = mf_get_bytes(&c, sizeof LABEL - 1);
    uint8_t check[32], written[CHECK_DIGITS / 2];
    mf_error_clear(error);
    memset(out, 0, sizeof *out);
    if (!mf_digest_start())
        return mf_fail(error, MEMFILE_E_SYSTEM, MF_NOWHERE, "libsodium cannot be used");
    if (!label || memcmp(label, LABEL, sizeof LABEL - 1) != 0)
        return mf_fail(error, MEMFILE_E_INVALID, MF_NOWHERE, "not a receipt: they begin with " LABEL);
    mf_get_literal(&c, " ");
    mf_get_hex(&c, out->memory_id, sizeof out->memory_id);
    mf_get_literal(&c, " ");
    out->commit = mf_get_decimal(&c);
    mf_get_literal(&c, " ");
    out->entries = mf_get_decimal(&c);
    mf_get_literal(&c, " ");
    mf_get_hex(&c, out->history_digest, sizeof out->history_digest);
    mf_get_literal(&c, " ");
    mf_get_hex(&c, out->genesis_digest, sizeof out->genesis_digest);
    size_t before = c.failed ? 0 : (size_t)(c.at - (const uint8_t *)text);
    mf_get_literal(&c, " ");
    mf_get_hex(&c, written, sizeof written);
    mf_digest(check, MF_LABEL_RECEIPT, text, before);
    if (mf_cursor_finished(&c) && memcmp(check, written, sizeof written) == 0)
        return MEMFILE_OK;
    memset(out, 0, sizeof *out);
    return mf_fail(error, MEMFILE_E_INVALID, MF_NOWHERE, "not a receipt: a letter of it is wrong or missing");
}

/* ---- what it says */

memfile_receipt_verdict memfile_receipt_compare(const memfile_receipt *receipt, const memfile_verify_result *r)
{
    static const uint8_t none[16] = {0};
    if (memcmp(r->memory_id, none, 16) == 0)
        return MEMFILE_RECEIPT_UNKNOWN;
    if (memcmp(receipt->memory_id, r->memory_id, 16) != 0)
        return MEMFILE_RECEIPT_OTHER;
    if (!r->genesis_known)
        return MEMFILE_RECEIPT_UNKNOWN;
    if (memcmp(receipt->genesis_digest, r->genesis_digest, 32) != 0)
        return MEMFILE_RECEIPT_REWRITTEN;
    if (r->newest_commit < receipt->commit)
        return r->lost_commits ? MEMFILE_RECEIPT_UNKNOWN : MEMFILE_RECEIPT_OLDER;
    if (!r->wanted_known)
        return MEMFILE_RECEIPT_UNKNOWN;
    if (memcmp(receipt->history_digest, r->wanted_digest, 32) != 0)
        return MEMFILE_RECEIPT_FORKED;
    return r->newest_commit == receipt->commit ? MEMFILE_RECEIPT_EXACT : MEMFILE_RECEIPT_LATER;
}

const char *memfile_receipt_word(memfile_receipt_verdict verdict)
{
    static const char *const words[] = {"exact", "later", "older", "forked", "rewritten", "other-memory", "unknown"};
    return (unsigned)verdict < sizeof words / sizeof *words ? words[verdict] : "unknown";
}
