/* seal: XChaCha20-Poly1305 under subkeys of data keys. */
#include "seal.h"

#include <sodium.h>

#define PERSONAL "memfile1.subkey"

typedef struct epoch_keys {
    uint8_t data_key[MF_SEAL_KEY_LENGTH];
    uint8_t seal[MF_SEAL_KEY_LENGTH];
    uint8_t nonce[MF_SEAL_KEY_LENGTH];
    uint8_t hedge[MF_SEAL_KEY_LENGTH];
} epoch_keys;

struct mf_seal_keys {
    struct mf_seal_keys *retired; /* jobs may still open with them */
    epoch_keys epoch[];           /* epoch 1 first */
};

static const char *const labels[] = {
    [MF_SUBKEY_SEAL] = "seal",   [MF_SUBKEY_NONCE] = "nonce", [MF_SUBKEY_HEDGE] = "hedge",   [MF_SUBKEY_COMMIT] = "commit",
    [MF_SUBKEY_REKEY] = "rekey", [MF_SUBKEY_WRAP] = "wrap",   [MF_SUBKEY_ROSTER] = "roster",
};

_Static_assert(MF_SEAL_NONCE_LENGTH == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "SPEC 20");
_Static_assert(MF_SEAL_TAG_LENGTH == crypto_aead_xchacha20poly1305_ietf_ABYTES, "SPEC 20");
_Static_assert(sizeof(PERSONAL) == crypto_generichash_blake2b_PERSONALBYTES, "SPEC 20.1");

void *mf_guarded_alloc(size_t size)
{
    return sodium_malloc(size);
}

void mf_guarded_free(void *memory)
{
    sodium_free(memory);
}

void mf_guarded_read_only(void *memory)
{
    sodium_mprotect_readonly(memory);
}

void mf_wipe(void *memory, size_t size)
{
    sodium_memzero(memory, size);
}

void mf_subkey_derive(uint8_t out[MF_SEAL_KEY_LENGTH], const uint8_t data_key[MF_SEAL_KEY_LENGTH], mf_subkey label,
                      const uint8_t incarnation_id[16], uint32_t epoch)
{
    uint8_t input[32];
    size_t n = strlen(labels[label]);
    memcpy(input, labels[label], n);
    memcpy(input + n, incarnation_id, 16);
    mf_store32(input + n + 16, epoch);
    crypto_generichash_blake2b_salt_personal(out, MF_SEAL_KEY_LENGTH, input, n + 20, data_key, MF_SEAL_KEY_LENGTH, NULL,
                                             (const unsigned char *)PERSONAL);
}

int mf_seal_set(mf_seal *seal, const uint8_t incarnation_id[16], uint32_t epoch, const uint8_t *data_keys,
                memfile_error *err)
{
    struct mf_seal_keys *keys = (struct mf_seal_keys *)sodium_malloc(sizeof *keys + (size_t)epoch * sizeof(epoch_keys));
    if (!keys)
        return mf_fail_memory(err);
    keys->retired = seal->keys;
    for (uint32_t i = 0; i < epoch; i++) {
        epoch_keys *e = &keys->epoch[i];
        memcpy(e->data_key, data_keys + (size_t)i * MF_SEAL_KEY_LENGTH, MF_SEAL_KEY_LENGTH);
        mf_subkey_derive(e->seal, e->data_key, MF_SUBKEY_SEAL, incarnation_id, i + 1);
        mf_subkey_derive(e->nonce, e->data_key, MF_SUBKEY_NONCE, incarnation_id, i + 1);
        mf_subkey_derive(e->hedge, e->data_key, MF_SUBKEY_HEDGE, incarnation_id, i + 1);
    }
    sodium_mprotect_readonly(keys);
    seal->keys = keys;
    seal->epoch = epoch;
    memcpy(seal->incarnation_id, incarnation_id, 16);
    return MEMFILE_OK;
}

const uint8_t *mf_seal_data_key(const mf_seal *seal, uint32_t epoch)
{
    return seal->keys->epoch[epoch - 1].data_key;
}

void mf_seal_clear(mf_seal *seal)
{
    while (seal->keys) {
        struct mf_seal_keys *retired = seal->keys->retired;
        sodium_free(seal->keys);
        seal->keys = retired;
    }
    seal->epoch = 0;
    seal->keys_offset = 0;
}

void mf_seal_retire(mf_seal *seal, mf_seal *old)
{
    struct mf_seal_keys *last = seal->keys;
    while (last && last->retired)
        last = last->retired;
    if (!last || !old->keys) {
        mf_seal_clear(old); /* nothing is sealed any more, or nothing was */
        return;
    }
    sodium_mprotect_readwrite(last);
    last->retired = old->keys;
    sodium_mprotect_readonly(last);
    old->keys = NULL;
}

int mf_seal_copy(mf_seal *to, const mf_seal *from, memfile_error *err)
{
    uint8_t *data_keys = (uint8_t *)sodium_malloc((size_t)from->epoch * MF_SEAL_KEY_LENGTH + 1);
    if (!data_keys)
        return mf_fail_memory(err);
    for (uint32_t i = 0; i < from->epoch; i++)
        memcpy(data_keys + (size_t)i * MF_SEAL_KEY_LENGTH, from->keys->epoch[i].data_key, MF_SEAL_KEY_LENGTH);
    int rc = mf_seal_set(to, from->incarnation_id, from->epoch, data_keys, err);
    sodium_free(data_keys);
    to->sealed = from->sealed;
    to->padded = from->padded;
    to->keys_offset = from->keys_offset;
    return rc;
}

size_t mf_seal_padded(const mf_seal *seal, size_t n)
{
    unsigned e = 0, s = 1;
    if (!seal->padded)
        return n;
    for (size_t x = n; x > 1; x >>= 1)
        e++;
    for (unsigned x = e; x > 1; x >>= 1)
        s++;
    size_t step = (size_t)1 << (e > s ? e - s : 0);
    return (n + step - 1) & ~(step - 1);
}

void mf_seal_close(const mf_seal *seal, uint8_t *text, size_t n, const uint8_t place[24], mf_slice associated,
                   uint8_t nonce[MF_SEAL_NONCE_LENGTH], uint8_t tag[MF_SEAL_TAG_LENGTH])
{
    const epoch_keys *e = &seal->keys->epoch[seal->epoch - 1];
    uint8_t mixed[32 + 24 + crypto_onetimeauth_BYTES];
    seal->environment.random(seal->environment.context, mixed, 32);
    memcpy(mixed + 32, place, 24);
    crypto_onetimeauth_poly1305(mixed + 56, text, n, e->hedge);
    crypto_generichash_blake2b(nonce, MF_SEAL_NONCE_LENGTH, mixed, sizeof mixed, e->nonce, sizeof e->nonce);
    crypto_aead_xchacha20poly1305_ietf_encrypt_detached(text, tag, NULL, text, n, associated.data, associated.length,
                                                        NULL, nonce, e->seal);
    sodium_memzero(mixed, sizeof mixed);
}

bool mf_seal_open(const mf_seal *seal, uint32_t epoch, const uint8_t *text, size_t n, mf_slice associated,
                  const uint8_t nonce[MF_SEAL_NONCE_LENGTH], uint8_t *out)
{
    if (epoch == 0 || epoch > seal->epoch)
        return false;
    return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(out, NULL, text, n, text + n, associated.data,
                                                               associated.length, nonce,
                                                               seal->keys->epoch[epoch - 1].seal) == 0;
}
