/* signature: the message, SPEC 20.9. */
#include "signature.h"

#define LABEL "memfile1.signature"
#define LABEL_LENGTH (sizeof LABEL - 1)
#define MESSAGE_LENGTH (LABEL_LENGTH + 16 + 32 + 8)

static void message_of(uint8_t out[MESSAGE_LENGTH], const uint8_t memory_id[16], const uint8_t history_digest[32],
                       uint64_t number)
{
    memcpy(out, LABEL, LABEL_LENGTH);
    memcpy(out + LABEL_LENGTH, memory_id, 16);
    memcpy(out + LABEL_LENGTH + 16, history_digest, 32);
    mf_store64(out + LABEL_LENGTH + 48, number);
}

void mf_signature_make(uint8_t out[MF_SIGNATURE_ENTRY], const memfile_key *signer, const uint8_t memory_id[16],
                       const uint8_t history_digest[32], uint64_t number)
{
    uint8_t message[MESSAGE_LENGTH];
    message_of(message, memory_id, history_digest, number);
    memcpy(out, mf_key_public(signer), MF_KEY_LENGTH);
    mf_sign(out + MF_KEY_LENGTH, signer, message, sizeof message);
}

bool mf_signature_right(const uint8_t entry[MF_SIGNATURE_ENTRY], const uint8_t memory_id[16],
                        const uint8_t history_digest[32], uint64_t number)
{
    uint8_t message[MESSAGE_LENGTH];
    message_of(message, memory_id, history_digest, number);
    return mf_signature_valid(entry + MF_KEY_LENGTH, entry, message, sizeof message);
}
