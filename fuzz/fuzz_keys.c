/* fuzz_keys: the head of a KEYS segment (SPEC 20.2), as it is, and as somebody makes it who has a data key and the
 * public key of the one who opens it: then the Commitment agrees, and what stands behind it is what he likes. */
#include "fuzz.h"

#include <sodium.h>

#include "keyfile.h"
#include "keys.h"

static void commit_to(mf_keys *k, const uint8_t data_key[32], mf_subkey label, uint32_t epoch, uint8_t out[32])
{
    uint8_t key[32];
    mf_subkey_derive(key, data_key, label, k->header + 32, epoch);
    crypto_generichash_blake2b(out, 32, k->committed.data, k->committed.length, key, sizeof key);
}

static void try_open(const mf_keys *k, mf_secret *secret, const uint8_t header[MF_HEADER_LENGTH])
{
    mf_seal seal = {.sealed = true};
    mf_slots slots;
    memfile_error e;
    int rc = mf_keys_open(k, secret, header, 80, &seal, &slots, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_KEY || rc == MEMFILE_E_DAMAGED, "%d, %s", rc, e.message);
    fuzz_verdict("opening %d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    if (rc == MEMFILE_OK) {
        FUZZ_CHECK(seal.epoch == k->epoch && slots.kind == k->slot_kind && slots.recipients <= MF_RECIPIENTS_MAX, "slots");
        FUZZ_CHECK(mf_keys_verify(k, header, &seal), "it opens and does not agree");
    } else {
        FUZZ_CHECK(seal.epoch == 0 && !seal.keys, "keys of what does not open");
    }
    mf_seal_clear(&seal);
}

/* Puts a slot for the identity and the Commitment in. */
static void make_agree(mf_keys *k, uint8_t *head, const uint8_t data_key[32])
{
    uint8_t boxed[52], public[32];
    memfile_key_kind kind;
    memfile_error e;
    if (k->slot_kind != MF_SLOT_RECIPIENTS)
        return;
    memcpy(boxed, data_key, 32);
    memcpy(boxed + 32, k->header + 32, 16);
    mf_store32(boxed + 48, k->epoch);
    FUZZ_CHECK(memfile_public_parse(fuzz_recipient(), strlen(fuzz_recipient()), &kind, public, &e) == MEMFILE_OK, "a key");
    crypto_box_seal(head + (k->slots.data - head), boxed, sizeof boxed, public);
    commit_to(k, data_key, MF_SUBKEY_COMMIT, k->epoch, k->commitment);
    if (k->epoch > 1)
        commit_to(k, data_key, MF_SUBKEY_REKEY, k->epoch - 1, k->succession);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t data_key[32] = {1, 2, 3};
    mf_keys k;
    mf_secret *identity, *passphrase;
    memfile_error e;
    fuzz_environment_reset(1);
    if (size == 0)
        return 0;
    unsigned mode = data[0];
    uint8_t *head = fuzz_copy(data + 1, size - 1);
    int rc = mf_keys_decode(&k, mf_slice_of(head, size - 1), 80, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_NEWER || rc == MEMFILE_E_LIMIT, "%d", rc);
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    if (rc == MEMFILE_OK) {
        FUZZ_CHECK(mf_secret_of_identity(&mf_mem_default, mf_key_secret(fuzz_identity()), &identity, &e) == MEMFILE_OK &&
                       mf_secret_of_passphrase(&mf_mem_default, FUZZ_PASSPHRASE, strlen(FUZZ_PASSPHRASE), &passphrase, &e) == MEMFILE_OK,
                   "memory");
        if (mode & 1)
            make_agree(&k, head, data_key);
        try_open(&k, identity, k.header);
        if (k.slot_kind == MF_SLOT_RECIPIENTS || (k.passes <= 2 && k.memory_kib <= 64)) /* no time for more */
            try_open(&k, passphrase, k.header);
        mf_secret_free(identity);
        mf_secret_free(passphrase);
    }
    free(head);
    return 0;
}
