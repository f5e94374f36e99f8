/* verify_sign: what verify learns with each commit whose digest is known: its signatures, and who signed how
 * far. SPEC 20.9. */
#include "signature.h"
#include "verify.h"

#include <stdio.h>

#define SIGNERS_MAX 1024u

/* The signer's place in the list; NULL: there is no room for more. */
static int signer_of(mf_verify *v, const uint8_t public_key[32], memfile_signer **out)
{
    *out = NULL;
    for (size_t i = 0; i < v->signer_count; i++)
        if (memcmp(v->signers[i].public_key, public_key, 32) == 0) {
            *out = &v->signers[i];
            return MEMFILE_OK;
        }
    if (v->signer_count == SIGNERS_MAX)
        return MEMFILE_OK;
    void *grown = v->signers;
    if (mf_grow(&v->mem, &grown, &v->signer_capacity, v->signer_count + 1, sizeof *v->signers) != 0)
        return mf_fail_memory(v->err);
    v->signers = (memfile_signer *)grown;
    *out = &v->signers[v->signer_count++];
    memset(*out, 0, sizeof **out);
    memcpy((*out)->public_key, public_key, 32);
    memfile_public_print(MEMFILE_SIGNER, public_key, (*out)->public_text);
    return MEMFILE_OK;
}

static void wrong(mf_verify *v, uint64_t offset, uint64_t number, const uint8_t public_key[32])
{
    char message[160], name[MEMFILE_PUBLIC_SIZE];
    memfile_public_print(MEMFILE_SIGNER, public_key, name);
    snprintf(message, sizeof message, "the signature of commit %llu by %s is not right", (unsigned long long)number, name);
    mf_verify_find(v, MEMFILE_E_DAMAGED, offset, 0, 0, 0, message);
}

/* One signature of a commit; *right if it is. */
static int check_signature(mf_verify *v, const uint8_t *entry, uint64_t offset, uint64_t number, uint64_t entries,
                           const uint8_t digest[32], bool known, bool *right)
{
    memfile_signer *signer;
    *right = mf_signature_right(entry, v->fold.memory_id, digest, number);
    if (!*right) {
        wrong(v, offset, number, entry);
        return MEMFILE_OK;
    }
    v->result->signatures++;
    int rc = known ? signer_of(v, entry, &signer) : MEMFILE_OK;
    if (rc != MEMFILE_OK || !known || !signer)
        return rc;
    signer->commits += signer->commits == 0 || signer->signed_through != number;
    signer->signed_through = number;
    signer->entries = entries;
    return MEMFILE_OK;
}

int mf_verify_signed(mf_verify *v, uint64_t offset, uint64_t number, uint64_t entries, const uint8_t *digest,
                     mf_slice signatures, bool known)
{
    bool all_right = known;
    int rc = known && v->listener && v->listener->commit
                 ? v->listener->commit(v->listener->context, number, digest, signatures)
                 : MEMFILE_OK;
    if (known && number == 0) {
        v->result->genesis_known = 1;
        memcpy(v->result->genesis_digest, digest, 32);
    }
    if (known && number == v->options->wanted_commit) {
        v->result->wanted_known = 1;
        memcpy(v->result->wanted_digest, digest, 32);
    }
    for (size_t i = 0; digest && i + MF_SIGNATURE_ENTRY <= signatures.length && rc == MEMFILE_OK;
         i += MF_SIGNATURE_ENTRY) {
        bool right;
        rc = check_signature(v, signatures.data + i, offset, number, entries, digest, known, &right);
        all_right = all_right && right;
    }
    if (rc == MEMFILE_OK && !all_right && signatures.length && v->listener && v->listener->unsign)
        rc = v->listener->unsign(v->listener->context, number);
    return rc;
}

void mf_verify_tell_signers(mf_verify *v)
{
    for (size_t i = 0; i < v->signer_count && v->options->signer; i++) {
        memfile_signer *s = &v->signers[i];
        s->covers_newest = v->any_commit && s->signed_through == v->number;
        v->options->signer(v->options->context, s);
    }
}
