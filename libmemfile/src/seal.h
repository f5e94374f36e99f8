/* seal: the data keys of a sealed file, and how they close and open bytes. SPEC 20.1, 20.6,
 * 20.7. Knows nothing of segments, and nothing of whom the keys are given to (keys.h). */
#ifndef MF_SEAL_H
#define MF_SEAL_H

#include "bytes.h"

#define MF_SEAL_KEY_LENGTH 32
#define MF_SEAL_NONCE_LENGTH 24
#define MF_SEAL_TAG_LENGTH 16
#define MF_SEAL_BOX_LENGTH (MF_SEAL_KEY_LENGTH + MF_SEAL_TAG_LENGTH) /* a data key under another key */
#define MF_RECIPIENTS_MAX 32u

/* Whom the data key is given to, SPEC 20.2: what is needed to give a new one to the same. */
typedef struct mf_slots {
    uint8_t kind; /* MF_SLOT_ of format.h */
    bool padded;
    uint32_t passes, memory_kib; /* of a passphrase */
    uint8_t salt[16];
    uint32_t recipients;
    uint8_t recipient[MF_RECIPIENTS_MAX][32];
} mf_slots;

/* What a store knows of its seal. Secrets are in guarded memory, read-only once they are set. A copy of the
 * struct made with `=` can open until the seal it was copied from is cleared, whatever is set there meanwhile:
 * that is how jobs of other threads hold it. */
typedef struct mf_seal {
    bool sealed;          /* the file is */
    bool padded;          /* plaintexts are lengthened */
    uint32_t epoch;       /* of the newest data key, which closes; 0: none is known */
    uint64_t keys_offset; /* of the KEYS segment that gives it */
    uint8_t incarnation_id[16];
    struct mf_seal_keys *keys; /* guarded */
    memfile_environment environment; /* its randomness */
} mf_seal;

/* Subkeys of a data key. */
typedef enum mf_subkey {
    MF_SUBKEY_SEAL,
    MF_SUBKEY_NONCE,
    MF_SUBKEY_HEDGE,
    MF_SUBKEY_COMMIT,
    MF_SUBKEY_REKEY,
    MF_SUBKEY_WRAP,
    MF_SUBKEY_ROSTER
} mf_subkey;

void mf_subkey_derive(uint8_t out[MF_SEAL_KEY_LENGTH], const uint8_t data_key[MF_SEAL_KEY_LENGTH], mf_subkey label,
                      const uint8_t incarnation_id[16], uint32_t epoch);

/* Takes the data keys of epochs 1 to `epoch`, `epoch` × 32 bytes. MEMFILE_OK, or MEMORY with the seal as it was. */
int mf_seal_set(mf_seal *seal, const uint8_t incarnation_id[16], uint32_t epoch, const uint8_t *data_keys,
                memfile_error *err);
/* The data key of an epoch, 1 to seal->epoch. */
const uint8_t *mf_seal_data_key(const mf_seal *seal, uint32_t epoch);
/* Wipes the keys, those that were set before too; sealed and environment stay. */
void mf_seal_clear(mf_seal *seal);
/* Keys of another file that took the first one's place: the old ones are kept until `seal` is cleared. */
void mf_seal_retire(mf_seal *seal, mf_seal *old);
/* The same keys again, in memory of their own. */
int mf_seal_copy(mf_seal *to, const mf_seal *from, memfile_error *err);

/* Length of a plaintext of n bytes as it is closed. */
size_t mf_seal_padded(const mf_seal *seal, size_t n);

/* Closes n bytes at `text` in place under the newest key. place: the 24 bytes of the segment header that
 * the nonce is also made of. */
void mf_seal_close(const mf_seal *seal, uint8_t *text, size_t n, const uint8_t place[24], mf_slice associated,
                   uint8_t nonce[MF_SEAL_NONCE_LENGTH], uint8_t tag[MF_SEAL_TAG_LENGTH]);
/* Opens n bytes at `text` (and their tag behind them) to `out`, which may be `text`. false: they do not open, and
 * out holds nothing of them. */
bool mf_seal_open(const mf_seal *seal, uint32_t epoch, const uint8_t *text, size_t n, mf_slice associated,
                  const uint8_t nonce[MF_SEAL_NONCE_LENGTH], uint8_t *out);

/* Guarded memory, for secrets: pages of its own, wiped when freed. */
void *mf_guarded_alloc(size_t size);
void mf_guarded_free(void *memory);
void mf_guarded_read_only(void *memory);
void mf_wipe(void *memory, size_t size);

#endif
