/* keyfile: secret keys of a person or an agent, their text form, and signing. SPEC 20.9, 20.11.
 * Knows nothing of memfiles. One of the files that know libsodium. */
#ifndef MF_KEYFILE_H
#define MF_KEYFILE_H

#include "bytes.h"

#define MF_KEY_LENGTH 32
#define MF_SIGNATURE_LENGTH 64
#define MF_LOCK_PASSES_MAX 10u
#define MF_LOCK_MEMORY_KIB_MAX 1048576u
#define MF_LOCK_MEMORY_KIB_MIN 8u

/* A key of this kind? NULL is none. */
bool mf_key_is(const memfile_key *key, memfile_key_kind kind);
/* 32 bytes in guarded memory, valid as long as the key: the X25519 scalar, or the Ed25519 seed. */
const uint8_t *mf_key_secret(const memfile_key *key);
/* 32 bytes, valid as long as the key. */
const uint8_t *mf_key_public(const memfile_key *key);

/* Ed25519; `key` is a signer. */
void mf_sign(uint8_t out[MF_SIGNATURE_LENGTH], const memfile_key *key, const void *message, size_t length);
bool mf_signature_valid(const uint8_t signature[MF_SIGNATURE_LENGTH], const uint8_t signer[MF_KEY_LENGTH],
                        const void *message, size_t length);

#endif
