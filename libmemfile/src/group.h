/* group: the segments that one commit brings, on their way to the file, and
 * the order of writes and syncs. SPEC 8.7, 16.2. Also index runs as they are
 * written, SPEC 10. */
#ifndef MF_GROUP_H
#define MF_GROUP_H

#include "store.h"

typedef struct mf_group {
    mf_store *store;
    uint64_t first_segment;  /* where the first segment of the group starts */
    uint64_t next;           /* where the next one will */
    uint64_t previous_commit, parent_tag;
    uint64_t tag;            /* of the segments so far, SPEC 9.4 */
    uint8_t previous_digest[32]; /* S of the previous commit */
    mf_stored_chain chain;
    bool begun;              /* something stands before the commit */
    bool has_void;
    uint64_t segments;       /* before the commit, VOID included */
    bool flushed;            /* some of it is in the file already */
    mf_buffer out;           /* not yet written */
    uint64_t out_offset;
    uint64_t unsynced;
} mf_group;

void mf_group_init(mf_group *group, mf_store *store);
void mf_group_free(mf_group *group);
/* previous_digest: S of the commit at previous_commit, whose end is `start`. */
void mf_group_begin(mf_group *group, uint64_t start, uint64_t previous_commit, const uint8_t previous_digest[32]);
/* Names `length` bytes at the group's start (a multiple of 8) as a void. */
int mf_group_void(mf_group *group, uint64_t length, uint64_t checksum, const uint8_t digest[32], memfile_error *err);
int mf_group_append(mf_group *group, mf_built *built, uint64_t *offset, memfile_error *err);
/* Writes what is buffered, so that the segments can be read back. */
int mf_group_flush(mf_group *group, memfile_error *err);
/* P of SPEC 8.7 */
void mf_group_prefix(const mf_group *group, uint8_t out[32]);
/* Must the commit be SYNCED? Asked before it is built, with its length. */
bool mf_group_wants_two_syncs(const mf_group *group, size_t commit_length);
/* Writes all and makes it durable. stored_digest: S of this commit. */
int mf_group_commit(mf_group *group, mf_built *commit, uint8_t stored_digest[32], memfile_error *err);

/* ---- key slots, SPEC 20.5 (group_keys.c): what is appended behind is sealed under that epoch */

/* A KEYS segment with a new data key for `slots`, twice; the store's seal takes it. secret: the passphrase, if that is what
 * the slots are for. */
int mf_group_keys(mf_group *group, const mf_slots *slots, mf_secret *secret, memfile_error *err);
/* The newest KEYS segment once more. */
int mf_group_repeat_keys(mf_group *group, memfile_error *err);

/* ---- runs */

typedef struct mf_run_writer {
    mf_group *group;
    uint64_t first_entry, entry_count;
    mf_item *items;
    uint32_t count;
    struct {
        mf_child *children;
        size_t count, capacity;
    } level[MF_PAGE_LEVEL_MAX];
    mf_buffer page;
    mf_built built;
    uint64_t total_length;
    mf_child last; /* page written last */
} mf_run_writer;

int mf_run_writer_init(mf_run_writer *writer, mf_group *group, uint64_t first_entry, uint64_t entry_count,
                       memfile_error *err);
void mf_run_writer_free(mf_run_writer *writer);
/* Items must rise strictly. */
int mf_run_writer_add(mf_run_writer *writer, const mf_item *item, memfile_error *err);
int mf_run_writer_finish(mf_run_writer *writer, mf_run *run, memfile_error *err);

/* One run of sorted items in memory. */
int mf_run_write_items(mf_group *group, const mf_items *items, uint64_t first_entry, uint64_t entry_count, mf_run *run,
                       memfile_error *err);
/* One run of `count` neighbouring runs, all readable through group->store. */
int mf_run_merge(mf_group *group, const mf_run *runs, uint32_t count, mf_run *run, memfile_error *err);
unsigned mf_run_level(uint64_t entry_count);

#endif
