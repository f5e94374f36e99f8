/* keys: slots, made and opened.
 *
 * Order of trust when a file is opened. (1) Lengths and costs, of bytes that anybody may have
 * written. (2) A slot opens, which gives a data key that anybody may have put there. (3) The
 * Commitment agrees under that key, over header and head: from here on header, slots and
 * older keys are those that were written with the data key. (4) Roster and older keys open. */
#include "keys.h"

#include <sodium.h>

#define SLOT_LABEL "memfile1.slot"
#define BOXED_LENGTH 52u /* data key, incarnation, epoch: in a sealed box */
#define ROSTER_LENGTH(n) (MF_SEAL_NONCE_LENGTH + 32u * (n) + MF_SEAL_TAG_LENGTH)
#define OLDER_LENGTH (MF_SEAL_NONCE_LENGTH + MF_SEAL_BOX_LENGTH)

_Static_assert(BOXED_LENGTH + crypto_box_SEALBYTES == MF_SLOT_RECIPIENT_LENGTH, "SPEC 20.3");
_Static_assert(sizeof(mf_slots) >= 32 * MF_RECIPIENTS_MAX, "room for all");

struct mf_secret {
    const mf_mem *mem;
    bool is_passphrase;
    size_t length;
    uint8_t public_key[32];
    struct guarded {
        uint8_t identity[32];
        uint8_t derived[32]; /* Argon2id of the passphrase under what stands below */
        char text[];
    } *guarded;
    bool has_derived;
    uint32_t passes, memory_kib;
    uint8_t salt[16];
};

static int secret_new(const mf_mem *mem, size_t length, mf_secret **out, memfile_error *err)
{
    mf_secret *s = (mf_secret *)mf_alloc_zero(mem, sizeof *s);
    *out = s;
    if (!s)
        return mf_fail_memory(err);
    s->mem = mem;
    s->guarded = (struct guarded *)mf_guarded_alloc(sizeof *s->guarded + length);
    if (s->guarded)
        return MEMFILE_OK;
    mf_free(mem, s);
    *out = NULL;
    return mf_fail_memory(err);
}

int mf_secret_of_passphrase(const mf_mem *mem, const char *text, size_t length, mf_secret **out, memfile_error *err)
{
    int rc = secret_new(mem, length, out, err);
    if (rc != MEMFILE_OK)
        return rc;
    (*out)->is_passphrase = true;
    (*out)->length = length;
    if (length)
        memcpy((*out)->guarded->text, text, length);
    return MEMFILE_OK;
}

int mf_secret_of_identity(const mf_mem *mem, const uint8_t key[32], mf_secret **out, memfile_error *err)
{
    int rc = secret_new(mem, 0, out, err);
    if (rc != MEMFILE_OK)
        return rc;
    memcpy((*out)->guarded->identity, key, 32);
    crypto_scalarmult_base((*out)->public_key, key);
    return MEMFILE_OK;
}

const uint8_t *mf_secret_public(const mf_secret *s)
{
    return s->public_key;
}

void mf_secret_free(mf_secret *s)
{
    if (!s)
        return;
    mf_guarded_free(s->guarded);
    mf_free(s->mem, s);
}

/* The passphrase's key, kept until another salt or cost is asked for. */
static int derive(mf_secret *s, uint32_t passes, uint32_t memory_kib, const uint8_t salt[16], memfile_error *err)
{
    if (s->has_derived && s->passes == passes && s->memory_kib == memory_kib && memcmp(s->salt, salt, 16) == 0)
        return MEMFILE_OK;
    s->has_derived = false;
    if (crypto_pwhash(s->guarded->derived, 32, s->guarded->text, s->length, salt, passes, (size_t)memory_kib * 1024,
                      crypto_pwhash_ALG_ARGON2ID13) != 0)
        return mf_fail(err, MEMFILE_E_MEMORY, MF_NOWHERE, "Argon2id could not get its %u KiB of memory", memory_kib);
    s->has_derived = true;
    s->passes = passes;
    s->memory_kib = memory_kib;
    memcpy(s->salt, salt, 16);
    return MEMFILE_OK;
}

/* ---- decoding */

static int damaged(memfile_error *err, uint64_t offset)
{
    return mf_fail(err, MEMFILE_E_DAMAGED, offset, "the key slots at offset %llu do not decode", (unsigned long long)offset);
}

static mf_slice get_slice(mf_cursor *c, size_t length)
{
    return mf_slice_of(mf_get_bytes(c, length), length);
}

int mf_keys_decode(mf_keys *k, mf_slice head, uint64_t offset, memfile_error *err)
{
    mf_cursor c = mf_cursor_of(head.data, head.length);
    memset(k, 0, sizeof *k);
    const uint8_t *header = mf_get_bytes(&c, MF_HEADER_LENGTH);
    k->epoch = (uint32_t)mf_get_varint_max(&c, UINT32_MAX);
    const uint8_t *previous = mf_get_bytes(&c, 32);
    k->flags = mf_get_u8(&c);
    k->slot_kind = mf_get_u8(&c);
    k->slot_count = (uint32_t)mf_get_varint_max(&c, MF_RECIPIENTS_MAX);
    if (k->epoch == 0 || k->epoch > MF_EPOCHS_MAX || k->slot_count == 0) /* 0 too when bytes are missing */
        return damaged(err, offset);
    memcpy(k->header, header, MF_HEADER_LENGTH);
    memcpy(k->previous, previous, 32);
    if ((k->flags & ~MF_KEYS_PADDED) || (k->slot_kind != MF_SLOT_PASSPHRASE && k->slot_kind != MF_SLOT_RECIPIENTS))
        return mf_fail(err, MEMFILE_E_NEWER, offset, "made by a newer version: key slots at offset %llu",
                       (unsigned long long)offset);
    bool passphrase = k->slot_kind == MF_SLOT_PASSPHRASE;
    if (passphrase && k->slot_count != 1)
        return damaged(err, offset);
    k->slots = get_slice(&c, k->slot_count * (passphrase ? MF_SLOT_PASSPHRASE_LENGTH : MF_SLOT_RECIPIENT_LENGTH));
    k->roster = get_slice(&c, passphrase ? 0 : ROSTER_LENGTH(k->slot_count));
    uint32_t older = (uint32_t)mf_get_varint_max(&c, MF_EPOCHS_MAX);
    k->older = get_slice(&c, (size_t)older * OLDER_LENGTH);
    k->committed = mf_slice_of(head.data, (size_t)(c.at - head.data));
    const uint8_t *commitment = mf_get_bytes(&c, 32), *succession = mf_get_bytes(&c, 32);
    if (!mf_cursor_finished(&c) || older != k->epoch - 1)
        return damaged(err, offset);
    memcpy(k->commitment, commitment, 32);
    memcpy(k->succession, succession, 32);
    if (!passphrase)
        return MEMFILE_OK;
    k->passes = mf_load32(k->slots.data);
    k->memory_kib = mf_load32(k->slots.data + 4);
    if (k->passes == 0 || k->memory_kib < MF_MEMORY_KIB_MIN)
        return damaged(err, offset);
    if (k->passes > MF_PASSES_MAX || k->memory_kib > MF_MEMORY_KIB_MAX)
        return mf_fail(err, MEMFILE_E_LIMIT, offset,
                       "the file asks for %u passes over %u KiB to try a passphrase; more than %u or %u is refused",
                       k->passes, k->memory_kib, MF_PASSES_MAX, MF_MEMORY_KIB_MAX);
    return MEMFILE_OK;
}

/* ---- opening */

static bool aead_open(uint8_t *out, const uint8_t *nonce_and_box, size_t n, const uint8_t *associated,
                      size_t associated_length, const uint8_t key[32])
{
    return crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, nonce_and_box + MF_SEAL_NONCE_LENGTH,
                                                      n + MF_SEAL_TAG_LENGTH, associated, associated_length,
                                                      nonce_and_box, key) == 0;
}

static void slot_data(uint8_t out[57], const uint8_t incarnation_id[16], uint32_t epoch, const uint8_t slot[24])
{
    memcpy(out, SLOT_LABEL, 13);
    memcpy(out + 13, incarnation_id, 16);
    mf_store32(out + 29, epoch);
    memcpy(out + 33, slot, 24);
}

static void epoch_data(uint8_t out[20], const uint8_t incarnation_id[16], uint32_t epoch)
{
    mf_store32(out, epoch);
    memcpy(out + 4, incarnation_id, 16);
}

/* The data key from the slots; DONE if none opens. */
static int open_slots(const mf_keys *k, mf_secret *s, const uint8_t incarnation_id[16], uint8_t data_key[32],
                      memfile_error *err)
{
    const uint8_t *slot = k->slots.data;
    if (s->is_passphrase != (k->slot_kind == MF_SLOT_PASSPHRASE))
        return MEMFILE_DONE;
    if (s->is_passphrase) {
        uint8_t associated[57];
        int rc = derive(s, k->passes, k->memory_kib, slot + 8, err);
        slot_data(associated, incarnation_id, k->epoch, slot);
        if (rc != MEMFILE_OK)
            return rc;
        return aead_open(data_key, slot + 24, 32, associated, sizeof associated, s->guarded->derived) ? MEMFILE_OK
                                                                                                    : MEMFILE_DONE;
    }
    uint8_t boxed[BOXED_LENGTH], end[20];
    bool found = false;
    memcpy(end, incarnation_id, 16);
    mf_store32(end + 16, k->epoch);
    for (uint32_t i = 0; i < k->slot_count && !found; i++, slot += MF_SLOT_RECIPIENT_LENGTH)
        found = crypto_box_seal_open(boxed, slot, MF_SLOT_RECIPIENT_LENGTH, s->public_key, s->guarded->identity) == 0 &&
                sodium_memcmp(boxed + 32, end, sizeof end) == 0;
    if (found)
        memcpy(data_key, boxed, 32);
    sodium_memzero(boxed, sizeof boxed);
    return found ? MEMFILE_OK : MEMFILE_DONE;
}

static void bind(uint8_t out[32], const uint8_t data_key[32], mf_subkey label, const uint8_t incarnation_id[16],
                 uint32_t epoch, mf_slice committed)
{
    uint8_t key[32];
    crypto_generichash_blake2b_state state;
    mf_subkey_derive(key, data_key, label, incarnation_id, epoch);
    crypto_generichash_blake2b_init(&state, key, sizeof key, 32);
    crypto_generichash_blake2b_update(&state, committed.data, committed.length);
    crypto_generichash_blake2b_final(&state, out, 32);
    sodium_memzero(key, sizeof key);
    sodium_memzero(&state, sizeof state);
}

static bool commitment_agrees(const mf_keys *k, const uint8_t newest[32])
{
    uint8_t bound[32];
    bind(bound, newest, MF_SUBKEY_COMMIT, k->header + 32, k->epoch, k->committed);
    return sodium_memcmp(bound, k->commitment, 32) == 0;
}

static bool succession_agrees(const mf_keys *k, const uint8_t before[32])
{
    uint8_t bound[32];
    bind(bound, before, MF_SUBKEY_REKEY, k->header + 32, k->epoch - 1, k->committed);
    return sodium_memcmp(bound, k->succession, 32) == 0;
}

/* The data key of an older epoch. */
static bool open_older(const mf_keys *k, const uint8_t newest[32], uint32_t epoch, uint8_t out[32])
{
    uint8_t key[32], associated[20];
    mf_subkey_derive(key, newest, MF_SUBKEY_WRAP, k->header + 32, k->epoch);
    epoch_data(associated, k->header + 32, epoch);
    bool opens = aead_open(out, k->older.data + (size_t)(epoch - 1) * OLDER_LENGTH, 32, associated, sizeof associated, key);
    sodium_memzero(key, sizeof key);
    return opens;
}

/* Whom it is for. */
static bool open_roster(const mf_keys *k, const uint8_t newest[32], mf_slots *slots)
{
    uint8_t key[32], associated[20];
    memset(slots, 0, sizeof *slots);
    slots->kind = k->slot_kind;
    slots->padded = k->flags & MF_KEYS_PADDED;
    if (k->slot_kind == MF_SLOT_PASSPHRASE) {
        slots->passes = k->passes;
        slots->memory_kib = k->memory_kib;
        memcpy(slots->salt, k->slots.data + 8, 16);
        return true;
    }
    slots->recipients = k->slot_count;
    mf_subkey_derive(key, newest, MF_SUBKEY_ROSTER, k->header + 32, k->epoch);
    epoch_data(associated, k->header + 32, k->epoch);
    bool opens = aead_open(slots->recipient[0], k->roster.data, (size_t)32 * k->slot_count, associated, sizeof associated, key);
    sodium_memzero(key, sizeof key);
    return opens;
}

/* What stands behind the Commitment. keys: room for all of them; the last is there. */
static bool open_rest(const mf_keys *k, uint8_t *keys, mf_slots *slots)
{
    const uint8_t *newest = keys + (size_t)(k->epoch - 1) * 32;
    for (uint32_t i = 1; i < k->epoch; i++)
        if (!open_older(k, newest, i, keys + (size_t)(i - 1) * 32))
            return false;
    return (k->epoch == 1 || succession_agrees(k, newest - 32)) && open_roster(k, newest, slots);
}

/* Are the data keys that the seal has of this incarnation among them? Who has only a public key can make new slots,
 * and does not know those. */
static bool goes_on(const mf_seal *seal, const mf_keys *k, const uint8_t *keys)
{
    bool same = true;
    if (seal->epoch == 0 || memcmp(seal->incarnation_id, k->header + 32, 16) != 0)
        return true;
    for (uint32_t i = 1; i <= seal->epoch && i <= k->epoch; i++)
        same &= sodium_memcmp(keys + (size_t)(i - 1) * 32, mf_seal_data_key(seal, i), 32) == 0;
    return same;
}

int mf_keys_open(const mf_keys *k, mf_secret *s, const uint8_t header[MF_HEADER_LENGTH], uint64_t offset, mf_seal *seal,
                 mf_slots *slots, memfile_error *err)
{
    const uint8_t *incarnation_id = header + 32;
    uint8_t *keys = (uint8_t *)mf_guarded_alloc((size_t)k->epoch * 32);
    if (!keys)
        return mf_fail_memory(err);
    uint8_t *newest = keys + (size_t)(k->epoch - 1) * 32;
    int rc = memcmp(k->header, header, MF_HEADER_LENGTH) != 0 ? MEMFILE_DONE : open_slots(k, s, incarnation_id, newest, err);
    if (rc == MEMFILE_OK) {
        if (!commitment_agrees(k, newest))
            rc = MEMFILE_DONE;
        else if (!open_rest(k, keys, slots))
            rc = damaged(err, offset); /* by whoever had the data key */
        else if (!goes_on(seal, k, keys))
            rc = MEMFILE_DONE;
    }
    if (rc == MEMFILE_DONE)
        rc = mf_fail(err, MEMFILE_E_KEY, offset,
                     s->is_passphrase ? "the passphrase is wrong, or is not what this file is sealed with, or the file's beginning was changed"
                                      : "the identity is wrong, or is not what this file is sealed for, or the file's beginning was changed");
    if (rc == MEMFILE_OK)
        rc = mf_seal_set(seal, incarnation_id, k->epoch, keys, err);
    if (rc == MEMFILE_OK) {
        seal->padded = slots->padded;
        seal->keys_offset = offset;
    }
    mf_guarded_free(keys);
    return rc;
}

bool mf_keys_verify(const mf_keys *k, const uint8_t header[MF_HEADER_LENGTH], const mf_seal *seal)
{
    uint8_t older[32];
    mf_slots slots;
    if (k->epoch > seal->epoch || memcmp(k->header, header, MF_HEADER_LENGTH) != 0)
        return false;
    const uint8_t *newest = mf_seal_data_key(seal, k->epoch);
    bool right = commitment_agrees(k, newest) && open_roster(k, newest, &slots) &&
                 (k->epoch == 1 || succession_agrees(k, mf_seal_data_key(seal, k->epoch - 1)));
    for (uint32_t i = 1; i < k->epoch && right; i++)
        right = open_older(k, newest, i, older) && sodium_memcmp(older, mf_seal_data_key(seal, i), 32) == 0;
    sodium_memzero(older, sizeof older);
    return right;
}

/* ---- making */

static void aead_close(mf_buffer *out, const uint8_t *text, size_t n, const uint8_t *associated, size_t associated_length,
                       const uint8_t key[32], const memfile_environment *env)
{
    uint8_t nonce[MF_SEAL_NONCE_LENGTH];
    env->random(env->context, nonce, sizeof nonce);
    mf_put_bytes(out, nonce, sizeof nonce);
    uint8_t *p = mf_buffer_reserve(out, n + MF_SEAL_TAG_LENGTH);
    if (!p)
        return;
    crypto_aead_xchacha20poly1305_ietf_encrypt(p, NULL, text, n, associated, associated_length, NULL, nonce, key);
    out->length += n + MF_SEAL_TAG_LENGTH;
}

static int put_slots(mf_buffer *head, const mf_slots *slots, mf_secret *secret, const uint8_t incarnation_id[16],
                     uint32_t epoch, const uint8_t data_key[32], const memfile_environment *env, memfile_error *err)
{
    if (slots->kind == MF_SLOT_PASSPHRASE) {
        uint8_t slot[24], associated[57];
        mf_store32(slot, slots->passes);
        mf_store32(slot + 4, slots->memory_kib);
        memcpy(slot + 8, slots->salt, 16);
        int rc = derive(secret, slots->passes, slots->memory_kib, slots->salt, err);
        if (rc != MEMFILE_OK)
            return rc;
        slot_data(associated, incarnation_id, epoch, slot);
        mf_put_bytes(head, slot, sizeof slot);
        aead_close(head, data_key, 32, associated, sizeof associated, secret->guarded->derived, env);
        return MEMFILE_OK;
    }
    uint8_t boxed[BOXED_LENGTH];
    memcpy(boxed, data_key, 32);
    memcpy(boxed + 32, incarnation_id, 16);
    mf_store32(boxed + 48, epoch);
    int rc = MEMFILE_OK;
    for (uint32_t i = 0; i < slots->recipients && rc == MEMFILE_OK; i++) {
        uint8_t *p = mf_buffer_reserve(head, MF_SLOT_RECIPIENT_LENGTH);
        if (p && crypto_box_seal(p, boxed, sizeof boxed, slots->recipient[i]) != 0)
            rc = mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "recipient %u has a public key that nothing can be sealed for", i + 1);
        head->length += p ? MF_SLOT_RECIPIENT_LENGTH : 0;
    }
    sodium_memzero(boxed, sizeof boxed);
    return rc;
}

int mf_keys_make(mf_buffer *head, const mf_slots *slots, mf_secret *secret, const uint8_t header[MF_HEADER_LENGTH],
                 const uint8_t *previous, mf_seal *seal, memfile_error *err)
{
    static const uint8_t none[32];
    const uint8_t *incarnation_id = header + 32;
    const memfile_environment *env = &seal->environment;
    uint32_t epoch = seal->epoch + 1;
    uint8_t key[32], associated[20], bound[32];
    if (epoch > MF_EPOCHS_MAX)
        return mf_fail(err, MEMFILE_E_LIMIT, MF_NOWHERE, "the keys were changed %u times; compact the file, which makes a new one", epoch - 1);
    uint8_t *keys = (uint8_t *)mf_guarded_alloc((size_t)epoch * 32);
    if (!keys)
        return mf_fail_memory(err);
    uint8_t *data_key = keys + (size_t)(epoch - 1) * 32;
    env->random(env->context, data_key, 32);
    mf_put_bytes(head, header, MF_HEADER_LENGTH);
    mf_put_varint(head, epoch);
    mf_put_bytes(head, previous ? previous : none, 32);
    mf_put_u8(head, slots->padded ? MF_KEYS_PADDED : 0);
    mf_put_u8(head, slots->kind);
    mf_put_varint(head, slots->kind == MF_SLOT_PASSPHRASE ? 1 : slots->recipients);
    int rc = put_slots(head, slots, secret, incarnation_id, epoch, data_key, env, err);
    if (slots->kind == MF_SLOT_RECIPIENTS) {
        mf_subkey_derive(key, data_key, MF_SUBKEY_ROSTER, incarnation_id, epoch);
        epoch_data(associated, incarnation_id, epoch);
        aead_close(head, slots->recipient[0], (size_t)32 * slots->recipients, associated, sizeof associated, key, env);
    }
    mf_put_varint(head, epoch - 1);
    mf_subkey_derive(key, data_key, MF_SUBKEY_WRAP, incarnation_id, epoch);
    for (uint32_t i = 1; i < epoch; i++) {
        memcpy(keys + (size_t)(i - 1) * 32, mf_seal_data_key(seal, i), 32);
        epoch_data(associated, incarnation_id, i);
        aead_close(head, keys + (size_t)(i - 1) * 32, 32, associated, sizeof associated, key, env);
    }
    sodium_memzero(key, sizeof key);
    if (rc == MEMFILE_OK && head->failed)
        rc = mf_fail_memory(err);
    if (rc == MEMFILE_OK) {
        mf_slice committed = mf_slice_of(head->data, head->length);
        bind(bound, data_key, MF_SUBKEY_COMMIT, incarnation_id, epoch, committed);
        uint8_t succession[32] = {0};
        if (epoch > 1)
            bind(succession, data_key - 32, MF_SUBKEY_REKEY, incarnation_id, epoch - 1, committed);
        mf_put_bytes(head, bound, sizeof bound);
        mf_put_bytes(head, succession, sizeof succession);
        rc = head->failed ? mf_fail_memory(err) : mf_seal_set(seal, incarnation_id, epoch, keys, err);
    }
    if (rc == MEMFILE_OK)
        seal->padded = slots->padded;
    mf_guarded_free(keys);
    return rc;
}
