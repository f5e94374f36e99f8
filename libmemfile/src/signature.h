/* signature: what a signature of a commit says, and whether it is right. SPEC 20.9. */
#ifndef MF_SIGNATURE_H
#define MF_SIGNATURE_H

#include "keyfile.h"

#define MF_SIGNATURE_ENTRY 96 /* of the list in a commit: public key, signature */

/* The entry of `signer`, which is one, for a commit. */
void mf_signature_make(uint8_t out[MF_SIGNATURE_ENTRY], const memfile_key *signer, const uint8_t memory_id[16],
                       const uint8_t history_digest[32], uint64_t number);
bool mf_signature_right(const uint8_t entry[MF_SIGNATURE_ENTRY], const uint8_t memory_id[16],
                        const uint8_t history_digest[32], uint64_t number);

#endif
