/* verify: what checking a whole file is made of. SPEC 15.5. Shared by verify.c (groups), verify_segment.c (what is in
 * them), verify_commit.c (the chain of commits), verify_block.c (blocks of entries, on threads), verify_sign.c and
 * verify_index.c (the newest commit's index against the entries); recover asks it what is sound. */
#ifndef MF_VERIFY_H
#define MF_VERIFY_H

#include "fold.h"
#include "handle.h"
#include "image.h"
#include "leaves.h"
#include "walk.h"

typedef struct mf_sum {
    uint64_t count, total;
} mf_sum;

/* An entry that names a content. */
typedef struct mf_named {
    uint8_t root[32];
    uint64_t length, entry;
    bool text;
} mf_named;

/* A content that is whole. */
typedef struct mf_whole {
    uint8_t root[32];
    uint64_t length, number;
    bool text; /* valid UTF-8 */
} mf_whole;

/* One block on its way through the pool. */
typedef struct mf_verify_job {
    mf_segment segment;
    uint8_t *raw;
    size_t raw_capacity;
    const mf_dictionary *dictionary;
    uint64_t first_entry;
    uint64_t missing; /* entries that are missing before it */
    uint8_t (*salts)[MF_SALT_LENGTH];
    bool have_salts;
    uint8_t missing_salts[MF_BLOCK_ROWS_MAX / 8]; /* a bit for each row: it cannot be derived */
    uint32_t tag;
    uint64_t seed;
    uint32_t rows;
    size_t core_bytes; /* of the rows so far */
    /* out */
    uint8_t (*leaves)[32];
    mf_sum sums[MF_ITEM_LAST + 1];
    mf_named *named;
    uint32_t named_count;
    size_t named_capacity;
    mf_numbers forgets; /* entries of op forget */
    bool repeats; /* a name or a scope stands twice */
    int rc;
    memfile_error error;
} mf_verify_job;

typedef struct mf_verify_worker {
    mf_compressor compressor;
    mf_arena arena;
    mf_record *record;
    mf_buffer core, content;
    mf_items items;
} mf_verify_worker;

/* What recover wants to know, in the order of the file. All return MEMFILE_OK or a
 * code that ends the verification. */
typedef struct mf_verify_listener {
    void *context;
    bool header_made; /* the header is none of the file's own: its Memory_Id may be wrong */
    /* a sound HISTORY segment, or a sound commit behind its blocks; faithful: nothing of what
     * its history digest covers is amiss */
    int (*segment)(void *context, uint64_t offset, bool faithful);
    /* a block whose every entry is sound; salted: and has the salts of the one commit that names it */
    int (*block)(void *context, const mf_segment *segment, uint64_t first_entry, uint32_t rows, bool salted);
    /* at the end: the contents that are whole and the dictionaries, the verification's own */
    int (*store)(void *context, const mf_items *contents, const mf_store *store);
    /* a sound segment that only a newer version knows, and which cannot be computed again */
    int (*unknown)(void *context, const mf_segment *segment);
    /* signatures of that commit are not right, or cannot be told to be; numbers rise */
    int (*unsign)(void *context, uint64_t number);
    /* for proofs: each leaf, with the entry's salt, NULL if it cannot be derived; each commit whose digest follows
     * from the entries, when *body has what was hashed for it */
    void (*leaf)(void *context, uint64_t entry, const uint8_t leaf[32], const uint8_t *salt);
    int (*commit)(void *context, uint64_t number, const uint8_t digest[32], mf_slice signatures);
    mf_buffer *body;
    /* at the end: an entry of such a block whose content is not whole */
    int (*broken)(void *context, uint64_t entry);
} mf_verify_listener;

typedef struct mf_verify {
    const memfile_verify_options *options;
    const mf_verify_listener *listener; /* NULL: none */
    memfile_verify_result *result;
    memfile_error *err;
    mf_store store;
    bool loaded; /* the newest commit's state could be read */
    bool outside; /* a sealed file without its key: nothing is opened */
    mf_buffer plain; /* of a sealed segment */
    uint32_t keys_epoch; /* of the last KEYS segment, and its place, and digest of its body */
    uint64_t keys_offset;
    uint8_t keys_digest[32];
    bool keys_new; /* of another epoch than before, in the group at hand */
    mf_mem mem;
    mf_walk walk;
    unsigned threads;
    mf_pool *pool;
    mf_verify_worker *workers;
    mf_verify_job **free_jobs;
    unsigned free_count, job_count;
    /* the stored digest up to the commit at hand; not known behind damage, until a FULL
     * commit says it */
    uint8_t stored_digest[32];
    bool stored_known, stored_disputed;
    uint8_t stored_other[32]; /* disputed: what the last commit's footer makes of it; the next group tells which */
    /* the commits: number and order of the newest, entries that are due next */
    uint64_t number, order, entries;
    bool any_commit;
    uint64_t last_full; /* offset of the last FULL commit; 0: not known */
    uint32_t since_full;
    uint64_t history_count, first_history, history_end; /* HISTORY segments */
    /* the salt tree in use, if no commit that may have brought another is lost */
    bool salts_known, salt_root_known; /* folded commits do not say the root */
    uint8_t salt_root[MF_SALT_LENGTH];
    uint64_t next_salt;
    uint64_t damaged_at; /* newest place that was found unsound, for what is missing later */
    mf_fold fold;
    bool memory_unknown; /* the Memory_Id is not the file's: no history digest can be computed */
    bool history_known; /* fold follows from sound entries alone, since the last commit that said it */
    /* folded commits: ahead for salts, behind for digests */
    mf_history_cursor salts, commits;
    uint64_t salt_left, salt_index; /* of the commit whose salts are due */
    bool folding;
    bool commit_due;    /* one was not sound, and none behind it has said yet what was lost with it */
    bool entries_known; /* `entries` is what the commit before said and brought */
    bool entries_again; /* a commit gave numbers that were given before: of others nobody knows who means them */
    uint64_t block_end; /* entries that the group's commit leaves; UINT64_MAX if it is not sound */
    uint64_t leaf_left, leaf_number, folded_entries; /* of the folded commit at hand; up to it */
    mf_history_row leaf_row;
    memfile_signer *signers;
    size_t signer_count, signer_capacity;
    /* sums */
    uint64_t seed;
    mf_sum expected[MF_ITEM_LAST + 1], found[MF_ITEM_LAST + 1];
    /* contents */
    uint64_t object_number, chunk_index, object_length;
    bool in_object, object_text;
    mf_utf8 object_utf8;
    mf_tree object_tree;
    mf_items contents; /* OBJECT and CHUNK items, for recover */
    mf_whole *wholes;
    mf_named *named;
    mf_numbers forgets;  /* all entries of op forget */
    mf_ranges forgotten; /* entries that they name and that are not erased */
    size_t whole_count, whole_capacity, named_count, named_capacity;
    uint64_t next_progress;
    unsigned untold_segments; /* since `progress` was called */
} mf_verify;

/* A group while it is checked: its commit, which is read first, and the chain. */
typedef struct mf_verify_group {
    const mf_walk_group *walked;
    uint8_t *raw; /* of the commit */
    mf_segment segment;
    mf_commit commit;
    mf_footer footer;
    bool sound, full; /* the commit is */
    bool logical;
    uint8_t header[MF_SEGMENT_HEADER_LENGTH], body_digest[32]; /* as they are stored */
    uint64_t group_length; /* as a sealed one says it outside */
    uint32_t epoch;
    uint64_t keys_offset;
    bool whole;    /* every segment so far is sound and ours */
    bool tag_known;
    uint64_t tag;  /* what all its Parent_Tags must be */
    mf_stored_chain chain;
} mf_verify_group;

/* ---- verify.c */
void mf_verify_find(mf_verify *v, int code, uint64_t offset, uint64_t length, uint64_t first_entry,
                    uint64_t entry_count, const char *message);
void mf_verify_find_error(mf_verify *v, const memfile_error *error, uint64_t length);
/* Commits from the one that is due to `number` are missing. */
void mf_verify_miss_commits(mf_verify *v, uint64_t number);
/* Is this about the file, so that verify goes on, rather than about us? */
bool mf_verify_about_file(int rc);
/* All of it, once. Takes over io. listener: NULL, or who wants to know what is sound. */
int mf_verify_damaged(const memfile_verify_result *result, memfile_error *err); /* says that it is */
int mf_verify_run(mf_io *io, const memfile_verify_options *options, const mf_verify_listener *listener,
                  const mf_access *access, memfile_verify_result *result, memfile_error *err);

/* ---- survey.c */
/* A verification of the file's image: displaced segments are found too, and what a damaged header
 * leaves. On success, and on any outcome of the verification, the caller mf_image_frees *image. */
int mf_survey(const char *path, const memfile_verify_options *options, const mf_verify_listener *listener,
              const mf_access *access, mf_image *image, memfile_verify_result *result, memfile_error *err);

/* ---- verify_segment.c */
/* A checked segment of a group, not the commit. */
int mf_verify_segment(mf_verify *v, const mf_segment *segment, const uint8_t *raw);
/* The content at hand has no further chunks. */
int mf_verify_end_object(mf_verify *v);
/* At the end: is every content whole that an entry names? */
int mf_verify_contents(mf_verify *v);

/* ---- verify_commit.c */
/* The group has a sound commit, and its segments were checked. wrong: what was found amiss with it already, or NULL. */
int mf_verify_commit(mf_verify *v, mf_verify_group *group, const char *wrong);
/* The same of a sealed file without its key. */
int mf_verify_commit_outside(mf_verify *v, mf_verify_group *group, const char *wrong);
/* quick: counts only, from what commits say. */
void mf_verify_count_commit(mf_verify *v, const mf_verify_group *group);

/* ---- verify_block.c */
int mf_verify_make_workers(mf_verify *v);
void mf_verify_free_workers(mf_verify *v);
/* Gives a checked RECORDS or INLINE COMMIT segment to the pool. */
int mf_verify_give_block(mf_verify *v, const mf_segment *segment, const uint8_t *raw);
/* Waits until every block that was given is taken into account. */
int mf_verify_drain(mf_verify *v);
/* Entries from v->entries to `next` are missing: a finding, and their salts pass by. */
int mf_verify_miss(mf_verify *v, uint64_t next);
/* The same for their leaves; after all blocks before them were taken into account. */
int mf_verify_miss_leaves(mf_verify *v, uint64_t count);
/* Ends folded commits that are complete now. */
int mf_verify_fold(mf_verify *v);
/* Ends a commit of the file's own. */
int mf_verify_end_commit(mf_verify *v, uint64_t number, const mf_history_row *row);

/* ---- verify_sign.c */
/* A commit has ended. known: its digest follows from the entries; else it is what the commit says, or NULL,
 * and who signed it is not noted. */
int mf_verify_signed(mf_verify *v, uint64_t offset, uint64_t number, uint64_t entries, const uint8_t *digest,
                     mf_slice signatures, bool known);
void mf_verify_tell_signers(mf_verify *v);

/* ---- verify_index.c */
void mf_verify_expect(mf_verify *v, unsigned kind, uint64_t key, uint64_t value);
void mf_verify_add_sum(mf_sum *sum, uint64_t seed, unsigned kind, uint64_t key, uint64_t value);
int mf_verify_index(mf_verify *v);

#endif
