/* walk: the whole file from its first byte on, group by group, trusting no
 * index and no footer. SPEC 2.5, 17.1. For verify and compact. */
#ifndef MF_WALK_H
#define MF_WALK_H

#include "store.h"

#define MF_WALK_GAPS_MAX 64u

typedef struct mf_gap {
    uint64_t start, end;
} mf_gap;

/* Bytes between two commits. */
typedef struct mf_walk_group {
    uint64_t start;           /* end of the commit before, or of the header */
    uint64_t first_segment;   /* behind the void, if there is one */
    uint64_t commit_offset;   /* 0: no sound commit header was found up to the end */
    mf_segment commit;
    uint64_t lost_commit;     /* what later segments name as the commit that stood here; 0: none */
    uint64_t end;             /* of the commit, or where the walk ended */
    uint64_t previous_commit;
    uint32_t gap_count;       /* places without a sound header */
    mf_gap gaps[MF_WALK_GAPS_MAX];
} mf_walk_group;

typedef struct mf_walk {
    mf_store *store;
    uint64_t end, at, previous_commit;
    uint64_t budget; /* bytes that may still be searched for voids, and checked in vain: a hostile file must not ask for
                      * more and more */
    uint8_t *window; /* part of the file that was read ahead */
    uint64_t window_start;
    size_t window_length, window_size;
} mf_walk;

int mf_walk_open(mf_walk *walk, mf_store *store, uint64_t end, memfile_error *err);
void mf_walk_close(mf_walk *walk);
/* `length` bytes at `offset`, valid until the next call; at most 2 MiB. */
int mf_walk_bytes(mf_walk *walk, uint64_t offset, size_t length, const uint8_t **out, memfile_error *err);
/* MEMFILE_DONE at the end. */
int mf_walk_group_next(mf_walk *walk, mf_walk_group *group, memfile_error *err);

/* ---- folded commits in order, SPEC 13.2 */

typedef struct mf_history_cursor {
    mf_store *store;
    bool passes_orphans; /* salts whose commits are lost are no error */
    uint64_t *offsets; /* of the HISTORY segments */
    size_t count, capacity, next;
    uint8_t *raw;
    mf_arena arena;
    mf_history history;
    uint32_t row;
    bool loaded;
    mf_salt_node *nodes; /* of the salt tree in use */
    uint32_t node_count;
    size_t node_capacity;
    mf_salts salts;
} mf_history_cursor;

void mf_history_cursor_init(mf_history_cursor *cursor, mf_store *store);
void mf_history_cursor_free(mf_history_cursor *cursor);
int mf_history_cursor_add(mf_history_cursor *cursor, uint64_t offset);
/* Next row and its number, valid until the next call; MEMFILE_DONE at the end. */
int mf_history_cursor_next(mf_history_cursor *cursor, mf_history_row **row, uint64_t *number, memfile_error *err);
/* Salt of an index in the tree in use; false: it cannot be derived. */
bool mf_history_cursor_salt(mf_history_cursor *cursor, uint64_t index, uint8_t out[MF_SALT_LENGTH]);
/* Root of the tree in use as a footer says it (SPEC 9.3): zero if there is none, or if nodes are missing from it. */
void mf_history_cursor_root(const mf_history_cursor *cursor, uint8_t out[MF_SALT_LENGTH]);
/* Makes one whole tree the one in use. */
int mf_history_cursor_set_root(mf_history_cursor *cursor, const uint8_t root[MF_SALT_LENGTH]);

#endif
