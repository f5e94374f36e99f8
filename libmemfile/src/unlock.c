/* unlock: passphrases and public keys, checked before anything is written. */
#include "unlock.h"

#include "keyfile.h"

#define PASSES_DEFAULT 3u
#define MEMORY_KIB_DEFAULT 262144u

int mf_unlock_take(const memfile_unlock *u, const mf_mem *mem, mf_secret **out, memfile_error *err)
{
    *out = NULL;
    if (u->passphrase && u->identity)
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "a passphrase or an identity opens a file, not both");
    if (u->passphrase)
        return mf_secret_of_passphrase(mem, u->passphrase, u->passphrase_length, out, err);
    if (!u->identity)
        return MEMFILE_OK;
    if (!mf_key_is(u->identity, MEMFILE_RECIPIENT))
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "the identity is a key that signs; it opens no file");
    return mf_secret_of_identity(mem, mf_key_secret(u->identity), out, err);
}

static int take_recipients(const memfile_seal_for *g, mf_slots *slots, memfile_error *err)
{
    for (uint32_t i = 0; i < g->recipient_count; i++) {
        memfile_key_kind kind;
        int rc = memfile_public_parse(g->recipients[i], strlen(g->recipients[i]), &kind, slots->recipient[i], err);
        if (rc != MEMFILE_OK)
            return rc;
        if (kind != MEMFILE_RECIPIENT)
            return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "recipient %u is a key that checks signatures; nothing can be sealed for it", i + 1);
        for (uint32_t k = 0; k < i; k++)
            if (memcmp(slots->recipient[k], slots->recipient[i], 32) == 0)
                return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "recipients %u and %u are the same", k + 1, i + 1);
    }
    return MEMFILE_OK;
}

int mf_seal_for_take(const memfile_seal_for *g, const memfile_environment *env, const mf_mem *mem, mf_slots *slots,
                     mf_secret **passphrase, memfile_error *err)
{
    memset(slots, 0, sizeof *slots);
    *passphrase = NULL;
    if (!g->passphrase && g->recipient_count == 0)
        return g->padded ? mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "only a sealed file can be padded") : MEMFILE_OK;
    slots->padded = g->padded != 0;
    if (g->passphrase && g->recipient_count > 0)
        return mf_fail(err, MEMFILE_E_MISUSE, MF_NOWHERE, "a file is sealed for a passphrase or for recipients, not both");
    if (g->recipient_count > MF_RECIPIENTS_MAX)
        return mf_fail(err, MEMFILE_E_LIMIT, MF_NOWHERE, "a file has at most %u recipients", MF_RECIPIENTS_MAX);
    if (!g->passphrase) {
        slots->kind = MF_SLOT_RECIPIENTS;
        slots->recipients = g->recipient_count;
        return take_recipients(g, slots, err);
    }
    slots->kind = MF_SLOT_PASSPHRASE;
    slots->passes = g->passes ? g->passes : PASSES_DEFAULT;
    slots->memory_kib = g->memory_kib ? g->memory_kib : MEMORY_KIB_DEFAULT;
    env->random(env->context, slots->salt, sizeof slots->salt);
    if (g->passphrase_length == 0)
        return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "the passphrase is empty");
    if (slots->memory_kib < MF_MEMORY_KIB_MIN || slots->passes > MF_PASSES_MAX || slots->memory_kib > MF_MEMORY_KIB_MAX)
        return mf_fail(err, slots->memory_kib < MF_MEMORY_KIB_MIN ? MEMFILE_E_INVALID : MEMFILE_E_LIMIT, MF_NOWHERE,
                       "a passphrase costs 1 to %u passes over %u to %u KiB", MF_PASSES_MAX, MF_MEMORY_KIB_MIN,
                       MF_MEMORY_KIB_MAX);
    return mf_secret_of_passphrase(mem, g->passphrase, g->passphrase_length, passphrase, err);
}
