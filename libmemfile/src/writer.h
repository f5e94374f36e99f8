/* writer: batches and commits. SPEC 16. One at a time per file, by its lock. */
#ifndef MF_WRITER_H
#define MF_WRITER_H

#include "draft.h"
#include "group.h"
#include "job.h"

typedef struct mf_settings {
    memfile_strictness strictness;
    uint32_t lock_timeout_ms, threads;
    size_t cache_bytes;
    uint64_t rebuild_limit, collision_limit;
    size_t spill_items; /* index items a batch holds before it writes them; tests make it small */
    int level;
    char *author; /* NULL: not said */
    const memfile_key *signer; /* NULL: nothing is signed; the caller's */
    memfile_environment environment; /* all filled in */
} mf_settings;

typedef struct mf_writer mf_writer;

int mf_writer_new(mf_store *store, const mf_settings *settings, mf_writer **out, memfile_error *err);
void mf_writer_free(mf_writer *writer);
bool mf_writer_active(const mf_writer *writer);
int mf_writer_put(mf_writer *writer, memfile_draft *draft, bool conditional, uint64_t expected,
                  memfile_put_result *result, memfile_error *err);
int mf_writer_put_begin(mf_writer *writer, memfile_draft *draft, int form, memfile_error *err);
int mf_writer_put_write(mf_writer *writer, const void *data, size_t length, memfile_error *err);
int mf_writer_put_end(mf_writer *writer, memfile_put_result *result, memfile_error *err);

/* Takes the lock for a batch that forgets, if none is active; MISUSE if it has entries that do not. */
int mf_writer_forget_begin(mf_writer *writer, memfile_error *err);
/* Does the file, or the batch, forget the entry already? */
int mf_writer_forgets(mf_writer *writer, uint64_t entry, bool *yes, memfile_error *err);
/* Entries of op forget that name the given committed entries, which rise. reason: length 0, none.
 * *made: how many. */
int mf_writer_forget(mf_writer *writer, const uint64_t *entries, size_t count, mf_slice reason, uint64_t *made,
                     memfile_error *err);

int mf_writer_commit(mf_writer *writer, memfile_commit_result *result, memfile_error *err);
void mf_writer_rollback(mf_writer *writer);
/* A new data key for `slots`, SPEC 20.5, as a commit of its own. The store is not to be used any more. */
int mf_writer_rekey(mf_writer *writer, const mf_slots *slots, mf_secret *secret, memfile_error *err);

/* Header and genesis of a new memory, into an empty file; synced. slots: whom it is sealed for, NULL: nobody;
 * secret: the passphrase, if that is what the slots are for. *seal: the keys, for the store of the new file. */
int mf_writer_create(mf_io *io, const mf_mem *mem, const mf_settings *settings, const mf_slots *slots, mf_secret *secret,
                     mf_seal *seal, memfile_error *err);

/* Trains a dictionary from texts and adds its two copies to the group. *out NULL: not worth it. */
int mf_dictionary_write(mf_group *group, const uint8_t *texts, const size_t *sizes, unsigned count, size_t capacity,
                        int level, mf_dictionary **out, mf_dictionary_place *place, bool both, memfile_error *err);
int mf_dictionary_put_copy(mf_group *group, const mf_dictionary *dictionary, int copy, uint64_t *offset,
                           memfile_error *err);

#endif
