/* fuzz_trust: texts that come from others: key files, public keys, receipts, proofs (SPEC 20.11, 20.13, 20.14).
 * What reads is written the same. */
#include "fuzz.h"

static bool took(int rc, const memfile_error *e)
{
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e->message);
    return rc == MEMFILE_OK;
}

static void try_public(const char *text, size_t length)
{
    memfile_error e;
    memfile_key_kind kind;
    uint8_t bytes[32];
    char printed[MEMFILE_PUBLIC_SIZE];
    if (!took(memfile_public_parse(text, length, &kind, bytes, &e), &e))
        return;
    memfile_public_print(kind, bytes, printed);
    FUZZ_CHECK(length == strlen(printed) && memcmp(printed, text, length) == 0, "printed as %s", printed);
}

static void try_key(const char *text, size_t length)
{
    memfile_error e;
    memfile_key *key;
    char printed[MEMFILE_KEY_TEXT_SIZE];
    if (!took(memfile_key_read(text, length, NULL, 0, &key, &e), &e))
        return;
    memfile_key_write(key, NULL, printed, NULL);
    memfile_key_free(key);
    FUZZ_CHECK(memfile_key_read(printed, strlen(printed), NULL, 0, &key, NULL) == MEMFILE_OK, "%s", printed);
    memfile_key_free(key);
}

static void try_receipt(const char *text, size_t length)
{
    memfile_error e;
    memfile_receipt receipt;
    char printed[MEMFILE_RECEIPT_SIZE];
    if (!took(memfile_receipt_parse(text, length, &receipt, &e), &e))
        return;
    memfile_receipt_print(&receipt, printed);
    FUZZ_CHECK(length == strlen(printed) && memcmp(printed, text, length) == 0, "printed as %s", printed);
}

static void try_proof(const char *text, size_t length)
{
    memfile_error e;
    memfile_proof *proof;
    memfile_proof_info info;
    if (!took(memfile_proof_check(text, length, &proof, &e), &e))
        return;
    memfile_proof_get_info(proof, &info, sizeof info);
    FUZZ_CHECK(info.index < info.count && info.commit <= info.newest_commit && info.entry_length > 2, "index %llu",
               (unsigned long long)info.index);
    memfile_proof_free(proof);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = (char *)fuzz_copy(data, size);
    try_public(text, size);
    try_key(text, size);
    try_receipt(text, size);
    try_proof(text, size);
    free(text);
    return 0;
}
