/* unlock: what callers give to open and to seal files, taken over from memfile.h. */
#ifndef MF_UNLOCK_H
#define MF_UNLOCK_H

#include "keys.h"

/* *out NULL: nothing was given. */
int mf_unlock_take(const memfile_unlock *unlock, const mf_mem *mem, mf_secret **out, memfile_error *err);
/* Checks what was given. slots->kind 0: nobody. *passphrase: NULL if it is for recipients. The salt is drawn from
 * the environment. */
int mf_seal_for_take(const memfile_seal_for *given, const memfile_environment *env, const mf_mem *mem, mf_slots *slots,
                     mf_secret **passphrase, memfile_error *err);

#endif
