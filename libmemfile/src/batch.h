/* batch: what a writer is made of. Shared by the files that implement writer.h:
 * writer.c (entries in), writer_begin.c (lock, chain, voids), writer_index.c (runs,
 * fates), writer_dictionary.c (training), writer_commit.c (the group's end). */
#ifndef MF_BATCH_H
#define MF_BATCH_H

#include "content.h"
#include "leaves.h"
#include "signature.h"
#include "writer.h"

#define MF_TRAIN_HOLD_BYTES ((size_t)512 << 10) /* cores kept back until there is a dictionary */

typedef struct known_key {
    uint64_t hash, entry;
    size_t offset, length; /* in key_bytes */
} known_key;

struct mf_writer {
    mf_store *store;
    const mf_settings *settings;
    bool active, poisoned, streaming, broken;
    /* what the next commit builds on; valid while the commit at chain_offset of the incarnation of chain_tag is the newest */
    bool chain_ready;
    uint64_t chain_offset;
    uint32_t chain_tag;
    uint8_t stored_digest[32];
    mf_tree log;
    uint8_t last_salt_root[16];
    bool ours; /* the newest commit is this writer's, so its salt tree goes on */
    mf_salts salts;
    uint64_t salt_next; /* next index in our tree */
    /* the batch */
    mf_state working;
    mf_group group;
    uint64_t first_entry, next_entry, spilled_end;
    uint32_t salt_first;
    bool new_salt_root;
    mf_tree entries;
    mf_items items;
    bool tail_taken; /* items hold the tail's too */
    bool forgets;    /* an entry of op forget is in it: never inline, SPEC 9.2 */
    uint64_t puts;   /* entries of other ops */
    mf_claims claims; /* leaves that entries from elsewhere name */
    mf_numbers fresh; /* entries that were forgotten now, while they are collected */
    mf_job *current, *held, **held_end, *spare;
    size_t held_bytes, in_flight;
    bool dictionary_decided;
    const mf_dictionary *dictionary;
    mf_pool *pool;
    mf_job_worker *workers;
    mf_record *record;
    known_key *keys;
    size_t key_count, key_slots;
    mf_buffer key_bytes;
    uint64_t new_superseded;
    uint32_t runs_at_begin;
    mf_built built;
    mf_buffer head;
    uint8_t signature[MF_SIGNATURE_ENTRY]; /* of the commit being made */
    uint64_t commits_since_full, bytes_since_full;
    mf_content_writer content;
    memfile_draft *stream_draft;
};

/* ---- writer.c: blocks */
mf_job *mf_batch_spare_job(mf_writer *writer, memfile_error *err);
void mf_batch_give_back(mf_writer *writer, mf_job *job);
/* All blocks in the file, so that they can be read back. */
int mf_batch_drain(mf_writer *writer, memfile_error *err);
/* What the group wrote so far can be read. */
void mf_batch_note_readable(mf_writer *writer);

/* RFC 9562, version 7. */
void mf_batch_make_uuid(const mf_writer *writer, uint8_t out[16]);
/* Adds an entry that is given as its core. */
int mf_batch_put_core(mf_writer *writer, mf_slice core, uint64_t *entry, memfile_error *err);
/* Spills, if there is much to spill. */
int mf_batch_spill_long(mf_writer *writer, memfile_error *err);

/* ---- writer_forget.c */
/* Looks for what entries of op forget from elsewhere name, which is forgotten then. */
int mf_batch_resolve_claims(mf_writer *writer, memfile_error *err);

/* ---- writer_begin.c */
/* Lock, look, and make the writer ACTIVE if it is not. */
int mf_batch_begin(mf_writer *writer, memfile_error *err);
void mf_batch_random(const mf_writer *writer, void *out, size_t length);
int64_t mf_batch_now_us(const mf_writer *writer);

/* ---- writer_dictionary.c */
/* Texts of the blocks that wait for a dictionary. */
int mf_batch_train_from_held(mf_writer *writer, memfile_error *err);
/* Texts of the newest entries of a file that grew commit by commit. */
int mf_batch_train_from_file(mf_writer *writer, memfile_error *err);
/* The newest dictionary of the file, ready for compression; none is fine. */
int mf_batch_find_dictionary(mf_writer *writer, memfile_error *err);

/* ---- writer_index.c */
/* The block that holds an entry of the batch or of the file. */
int mf_batch_row_of(mf_writer *writer, uint64_t entry, mf_object **object, uint32_t *row, memfile_error *err);
/* Puts the tail's items ahead of the batch's own, so that values rise; once per batch. */
int mf_batch_take_tail(mf_writer *writer, memfile_error *err);
/* Writes a run over all entries from spilled_end to `end`, whose items are in
 * writer->items, and starts them anew. */
int mf_batch_write_run(mf_writer *writer, uint64_t end, uint64_t commits, memfile_error *err);
int mf_batch_merge_last(mf_writer *writer, uint32_t count, memfile_error *err);
/* A long batch: what it has so far goes to the file, so that memory stays bounded. */
int mf_batch_spill(mf_writer *writer, memfile_error *err);

/* ---- writer_keys.c */
void mf_batch_keys_clear(mf_writer *writer);
int mf_batch_keys_add(mf_writer *writer, mf_slice key, uint64_t entry);
/* MEMFILE_DONE: the idempotency key is there, and *result tells where. */
int mf_batch_check_idempotency(mf_writer *writer, mf_slice key, memfile_put_result *result, memfile_error *err);
/* Newest version of an id, the batch included; UINT64_MAX if none. */
int mf_batch_newest_version(mf_writer *writer, mf_id id, uint64_t *entry, memfile_error *err);
void mf_batch_fill_result(memfile_put_result *result, mf_id id, uint64_t entry, int existed);

/* ---- writer_commit.c */
int mf_batch_commit(mf_writer *writer, memfile_commit_result *result, memfile_error *err);

#endif
