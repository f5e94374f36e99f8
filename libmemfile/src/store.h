/* store: an open memfile as readers see it: the newest commit and its state,
 * segments through a cache, and look-ups by entry, id and item. SPEC 9 to 15.
 * Knows nothing of writing. */
#ifndef MF_STORE_H
#define MF_STORE_H

#include "block.h"
#include "commit.h"
#include "header.h"
#include "io.h"
#include "keys.h"
#include "page.h"
#include "segment.h"

/* A decoded segment in the cache. */
typedef struct mf_object {
    uint64_t offset;
    mf_segment segment;
    uint8_t *raw;         /* all of the segment */
    mf_slice stored;      /* its content as stored */
    uint8_t *content;     /* decompressed on demand */
    mf_arena arena;
    bool is_page;
    bool orphan; /* no longer in the cache; freed with its last reference */
    mf_page page;
    mf_block block;
    uint64_t first_entry; /* of the block */
    uint32_t references;
    size_t bytes;
    struct mf_object *same_bucket, *newer, *older;
} mf_object;

/* A commit behind the last FULL one, or that one if it has an inline block. */
typedef struct mf_tail_commit {
    uint64_t offset, number, first_entry, entry_count;
} mf_tail_commit;

#define MF_TAIL_MAX 256u
#define MF_COLLISIONS_MAX 1048576u /* unless the caller says otherwise */

/* Numbers of entries, as ranges that rise and do not touch. */
typedef struct mf_range {
    uint64_t first, end;
} mf_range;

typedef struct mf_ranges {
    mf_range *v;
    size_t count, capacity;
} mf_ranges;

/* Adds one at the end, in any order; mf_ranges_settle brings them in order. -1: no memory. */
int mf_ranges_add(mf_ranges *ranges, uint64_t entry, const mf_mem *mem);
void mf_ranges_settle(mf_ranges *ranges);
bool mf_ranges_have(const mf_ranges *ranges, uint64_t entry);
uint64_t mf_ranges_count(const mf_ranges *ranges);
void mf_ranges_free(mf_ranges *ranges, const mf_mem *mem);

/* What the newest commit says. */
typedef struct mf_state {
    uint64_t end;           /* of the newest commit */
    uint64_t keys_offset;   /* of the KEYS segment it names, if sealed */
    uint64_t commit_offset, commit_length, previous_commit;
    bool commit_is_logical;
    uint64_t number;        /* of the newest logical commit */
    uint64_t entries, order;
    int64_t time_us;
    uint8_t history_digest[32];
    mf_footer footer;       /* of the last FULL commit */
    uint64_t footer_offset, footer_number;
    bool footer_logical;
    /* Forgotten entries, SPEC 10.8: read from the runs when first asked for. */
    mf_ranges forgotten;
    bool forgotten_ready;
    uint32_t tail_count;
    mf_tail_commit tail[MF_TAIL_MAX];
    /* Instead of runs and tail, when footers or pages are damaged: every block that
     * is sound, by a walk over the file (rebuild.c). Reading only. */
    mf_tail_commit *blocks;
    uint32_t block_count;
    /* with blocks: OBJECT and CHUNK items of the contents that are whole; FORGOTTEN ones; COMMIT ones of the
     * commits that could be read, and of those before them */
    mf_items *contents;
    bool unreadable;        /* with blocks: one of them does not decode */
    bool end_known;         /* with blocks: the newest commit was read, so `entries` is how many there are */
    mf_ranges doubtful;     /* with blocks: entries that are taken for forgotten, because it cannot be told */
    uint64_t lost_commits;  /* damaged ones in the tail */
    uint64_t file_size;     /* when it was looked at */
    bool unfinished_is_damage;
} mf_state;

typedef struct mf_store {
    const mf_mem *mem;
    mf_io *io;
    mf_header header;
    uint8_t header_raw[MF_HEADER_LENGTH];
    uint32_t tag;
    mf_seal seal;
    mf_secret *secret;      /* not owned; NULL: none was given */
    bool without_key;       /* sealed, and to be looked at from outside: no state but where the newest commit is */
    mf_keys keys;           /* of a sealed file: its newest KEYS segment, without the slices */
    mf_slots slots;         /* whom its key is given to, if it was opened */
    mf_state committed;
    mf_state *state;        /* what look-ups see: &committed, or a writer's while it works */
    uint64_t generation;    /* changes whenever what look-ups go by does */
    uint64_t readable_end;  /* segments must end at or before it */
    /* the last bytes of the file as they were when it was opened */
    uint8_t *ending;
    uint64_t ending_offset;
    size_t ending_length;
    /* cache */
    mf_object **buckets;
    uint32_t bucket_count;
    uint32_t object_count;
    mf_object *newest, *oldest;
    size_t cached_bytes, cache_limit;
    uint64_t chain_steps; /* from what is superseded to what supersedes it, of the list at hand */
    uint64_t collision_limit, collisions; /* entries with the hash of another; of the look-up at hand */
    uint64_t hits, misses;
    mf_compressor compressor;
    mf_dictionary **dictionaries;
    size_t dictionary_count, dictionary_capacity;
    /* items of the tail, made on first use */
    mf_items tail_items;
    bool tail_items_sorted; /* by key and value: where they are many, as in a state without an index */
    bool tail_items_ready, tail_fates_ready;
} mf_store;

static inline const mf_tail_commit *mf_state_tail(const mf_state *s)
{
    return s->blocks ? s->blocks : s->tail;
}
static inline uint32_t mf_state_tail_count(const mf_state *s)
{
    return s->blocks ? s->block_count : s->tail_count;
}

/* How a sealed file is opened. All zero: it is not. */
typedef struct mf_access {
    mf_secret *secret;   /* must outlive the store; a plain file is refused then */
    const mf_seal *seal; /* the file's keys, where they are known; copied */
    bool without_key;    /* only to be looked at from outside */
} mf_access;

/* Takes over io, also on failure. mf_store_begin only reads header and ending;
 * mf_store_load then finds the newest commit, and opens the seal. access: NULL is all zero. */
int mf_store_begin(mf_store *store, mf_io *io, const mf_mem *mem, size_t cache_limit, const mf_access *access,
                   memfile_error *err);
int mf_store_load(mf_store *store, memfile_error *err);
int mf_store_open(mf_store *store, mf_io *io, const mf_mem *mem, size_t cache_limit, const mf_access *access,
                  memfile_error *err);
void mf_store_close(mf_store *store);
/* The file has `size` bytes now: finds its newest commit again. MEMFILE_DONE if nothing changed. */
int mf_store_refresh(mf_store *store, uint64_t size, memfile_error *err);
/* After reopen: opens the file that was put in the place of this one. On failure the store
 * is as it was, of the old file. */
int mf_store_reload(mf_store *store, memfile_error *err);

/* Opens the seal of a sealed file whose newest commit cannot be read, by the newest KEYS segment that is sound;
 * nothing to do if it is open. DAMAGED if there is none, or, without `salvage`, if it is older than any segment. */
int mf_store_unlock(mf_store *store, bool salvage, memfile_error *err);

/* rebuild.c: makes the state anew from what is sound, so that reading goes on.
 * all: what stands behind the newest commit too. */
int mf_store_rebuild(mf_store *store, memfile_error *err);
void mf_state_free(mf_state *state, const mf_mem *mem);
/* Drops what was made of the state before: items of the tail. */
void mf_store_forget_tail(mf_store *store);

/* ---- segments */
/* length 0: not known. The object is referenced until mf_store_release. */
int mf_store_page(mf_store *store, uint64_t offset, uint64_t length, mf_object **out, memfile_error *err);
int mf_store_block(mf_store *store, uint64_t offset, mf_object **out, memfile_error *err);
int mf_store_content(mf_store *store, mf_object *object, memfile_error *err); /* texts and rests */
void mf_store_release(mf_store *store, mf_object *object);
/* Reads, checks and opens one segment into *raw (allocated; freed by the caller). */
int mf_store_segment(mf_store *store, uint64_t offset, uint64_t length, mf_segment *segment, uint8_t **raw,
                     memfile_error *err);
int mf_store_dictionary(mf_store *store, uint32_t id, const mf_dictionary **out, memfile_error *err);
/* Makes a dictionary known that is not yet in a footer; takes it over. */
int mf_store_add_dictionary(mf_store *store, mf_dictionary *dictionary);

/* ---- look-ups */
/* Largest item <= *target in the run; MEMFILE_DONE if there is none. */
int mf_store_floor(mf_store *store, const mf_run *run, const mf_item *target, mf_item *found, memfile_error *err);
/* Block that holds the entry. */
int mf_store_entry(mf_store *store, uint64_t entry, mf_object **out, uint32_t *row, memfile_error *err);
/* Is the entry forgotten? Costs nothing in a file in which none is. */
int mf_store_forgotten(mf_store *store, uint64_t entry, bool *yes, memfile_error *err);
/* FORGOTTEN items, of erased entries too: (entry, forgetting entry), in no order. */
int mf_store_forgotten_items(mf_store *store, mf_items *items, memfile_error *err);
/* Newest entry below `limit` with that id that is not forgotten; NOT_FOUND (without filling err). */
int mf_store_id(mf_store *store, mf_id id, uint64_t limit, mf_object **out, uint32_t *row, memfile_error *err);
/* One more entry had the hash, and was not what is looked for: LIMIT when they are too many. */
int mf_store_collide(mf_store *store, memfile_error *err);
/* The same, forgotten or not. */
int mf_store_any_id(mf_store *store, mf_id id, uint64_t limit, mf_object **out, uint32_t *row, memfile_error *err);
/* As mf_store_id for (scope, key) and for an idempotency key. */
int mf_store_key(mf_store *store, const mf_slice *scope, uint32_t scope_count, mf_slice key, uint64_t limit,
                 mf_object **out, uint32_t *row, memfile_error *err);
int mf_store_idempotency(mf_store *store, mf_slice key, mf_object **out, uint32_t *row, memfile_error *err);
/* Entries as of commit `number`. */
int mf_store_entries_at(mf_store *store, uint64_t number, uint64_t *entries, memfile_error *err);
/* Items of the entries in the tail, into store->tail_items. */
int mf_store_tail_items(mf_store *store, memfile_error *err);
/* Those of a kind with keys in [low, high] stand in [*from, *end) of its pairs, among others if they are few. */
void mf_store_tail_range(const mf_store *store, unsigned kind, uint64_t low, uint64_t high, size_t *from, size_t *end);
/* FATE items of the tail too. */
int mf_store_tail_fates(mf_store *store, memfile_error *err);
/* FATE items of one entry, superseder below `limit`: *by, or MEMFILE_DONE. */
int mf_store_fate(mf_store *store, uint64_t entry, uint64_t limit, uint64_t *by, memfile_error *err);
/* Does an entry below `limit` that is not forgotten supersede it (SPEC 10.8)? *by, or MEMFILE_DONE. */
int mf_store_superseder(mf_store *store, uint64_t entry, uint64_t limit, uint64_t *by, memfile_error *err);
/* How many entries some later one supersedes. */
int mf_store_superseded(mf_store *store, uint64_t *count, memfile_error *err);
/* Finds entries that `row` of the block supersedes and adds their FATE items. */
int mf_store_add_fates(mf_store *store, mf_items *items, mf_object *object, uint32_t row, memfile_error *err);

/* Forward iteration over a run's items from the first >= *from. */
typedef struct mf_run_iterator {
    mf_store *store;
    uint64_t first_entry, entry_count; /* of the run, which its pages repeat */
    mf_item last; /* of the leaf before: the next one's items are greater, so no leaf comes twice */
    bool any_leaf;
    unsigned depth;
    struct {
        mf_object *page;
        uint32_t next;
    } level[MF_PAGE_LEVEL_MAX];
} mf_run_iterator;

int mf_run_seek(mf_run_iterator *iterator, mf_store *store, const mf_run *run, const mf_item *from, memfile_error *err);
int mf_run_next(mf_run_iterator *iterator, mf_item *out, memfile_error *err); /* MEMFILE_DONE at the end */
void mf_run_iterator_close(mf_run_iterator *iterator);

/* Columns of a row that need no content, as a record for mf_items_add_entry. */
void mf_block_record_columns(mf_block *block, uint32_t row, mf_record *record);

/* Every commit from the last FULL one to the newest, oldest first. raw: the whole segment as it is stored; what
 * the commit points into is opened. */
typedef int mf_commit_visit(void *context, const mf_segment *segment, const uint8_t *raw, const mf_commit *commit);
int mf_store_visit_tail(mf_store *store, mf_commit_visit *visit, void *context, memfile_error *err);

/* The log of all commits before the newest logical one, SPEC 9.3, and the root of the salt tree in use. */
int mf_store_log_before(mf_store *store, mf_tree *log, uint8_t salt_root[MF_SALT_LENGTH], memfile_error *err);

/* tail.c: SPEC 14. Finds the newest commit of a file of `size` bytes. */
int mf_tail_find(mf_store *store, uint64_t size, uint64_t *commit_offset, bool *damage, memfile_error *err);
/* Group_Length of a checked commit, as it is stored: from its head, or from the clear part of a sealed one. */
int mf_tail_group_length(mf_store *store, const mf_segment *segment, const uint8_t *raw, uint64_t *length,
                         memfile_error *err);
/* Does the commit at offset count (SPEC 9.4)? MEMFILE_OK, or why not. */
int mf_tail_counts(mf_store *store, uint64_t offset, uint64_t size, uint64_t *end, memfile_error *err);
/* `length` bytes at `offset`, from the ending if they are there, else read to *scratch. */
int mf_tail_bytes(mf_store *store, uint64_t offset, size_t length, mf_buffer *scratch, const uint8_t **out,
                  memfile_error *err);

#endif
