/* keys: the KEYS segment: whom the data key of a sealed file is given to. SPEC 20.2 to 20.5. */
#ifndef MF_KEYS_H
#define MF_KEYS_H

#include "bytes.h"
#include "format.h"
#include "seal.h"

/* What opens slots: a passphrase, or an identity's X25519 secret. In guarded memory. */
typedef struct mf_secret mf_secret;

int mf_secret_of_passphrase(const mf_mem *mem, const char *text, size_t length, mf_secret **out, memfile_error *err);
int mf_secret_of_identity(const mf_mem *mem, const uint8_t key[32], mf_secret **out, memfile_error *err);
/* The public key of an identity, 32 bytes that live as long as it does. */
const uint8_t *mf_secret_public(const mf_secret *secret);
void mf_secret_free(mf_secret *secret);

/* A decoded KEYS head; slices point into it. */
typedef struct mf_keys {
    uint8_t header[MF_HEADER_LENGTH]; /* the file's, once more */
    uint32_t epoch;
    uint8_t previous[32];
    uint8_t flags, slot_kind;
    uint32_t slot_count;
    uint32_t passes, memory_kib; /* of a passphrase */
    mf_slice slots, roster, older;
    mf_slice committed; /* what the Commitment is over */
    uint8_t commitment[32], succession[32];
} mf_keys;

/* LIMIT where Argon2id would cost more than is allowed. */
int mf_keys_decode(mf_keys *keys, mf_slice head, uint64_t offset, memfile_error *err);

/* Opens a slot and takes all data keys into the seal, and whom they are for into *slots. header: the file's
 * 80 bytes. KEY if it does not open, whatever the reason; also if it does not hold the data keys that the seal has. */
int mf_keys_open(const mf_keys *keys, mf_secret *secret, const uint8_t header[MF_HEADER_LENGTH], uint64_t offset,
                 mf_seal *seal, mf_slots *slots, memfile_error *err);

/* Is this KEYS segment what the holder of its epoch's data key wrote? Of an epoch that the seal has. */
bool mf_keys_verify(const mf_keys *keys, const uint8_t header[MF_HEADER_LENGTH], const mf_seal *seal);

/* Appends the head of a KEYS segment for a new data key, of the epoch behind the seal's (1 if it has none), that is
 * given to `slots`, and takes that key into the seal. secret: the passphrase, if that is the
 * kind. previous: digest of the body of the KEYS segment before, or NULL. On failure the seal is as it was. */
int mf_keys_make(mf_buffer *head, const mf_slots *slots, mf_secret *secret, const uint8_t header[MF_HEADER_LENGTH],
                 const uint8_t *previous, mf_seal *seal, memfile_error *err);

#endif
