/* digest: BLAKE2b and what is built on it: tree hashes and salts. SPEC 1.7, 8.
 * keyfile is the other file that knows libsodium. */
#ifndef MF_DIGEST_H
#define MF_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_DIGEST_LENGTH 32
#define MF_SALT_LENGTH 16

/* Personalisations of SPEC 8, 20.11 and 20.13. */
typedef enum mf_label {
    MF_LABEL_LEAF,
    MF_LABEL_NODE,
    MF_LABEL_COMMIT,
    MF_LABEL_STORE,
    MF_LABEL_BYTES,
    MF_LABEL_CHUNK,
    MF_LABEL_PART,
    MF_LABEL_KEY,
    MF_LABEL_RECEIPT
} mf_label;

/* Must have returned true once in the process before anything else here. */
bool mf_digest_start(void);

void mf_digest(uint8_t out[MF_DIGEST_LENGTH], mf_label label, const void *data, size_t length);

/* The same over pieces. */
typedef struct mf_digest_stream {
    uint64_t opaque[48];
} mf_digest_stream;
void mf_digest_begin(mf_digest_stream *stream, mf_label label);
void mf_digest_add(mf_digest_stream *stream, const void *data, size_t length);
void mf_digest_end(mf_digest_stream *stream, uint8_t out[MF_DIGEST_LENGTH]);

/* Random bytes of the system. */
void mf_system_random(void *out, size_t length);

/* Tree hash of SPEC 8.4, fed one hash at a time; also the log's frontier. */
#define MF_TREE_SLOTS 256
typedef struct mf_tree {
    uint64_t count; /* hashes fed so far */
    unsigned fanout;
    uint8_t pending[64]; /* per level, hashes that wait for their run to fill */
    uint8_t hash[MF_TREE_SLOTS][MF_DIGEST_LENGTH];
} mf_tree;

void mf_tree_init(mf_tree *tree, unsigned fanout);
void mf_tree_add(mf_tree *tree, const uint8_t hash[MF_DIGEST_LENGTH]);
/* Root of what was fed, which must be at least one hash. Leaves the tree as it is. */
void mf_tree_root(const mf_tree *tree, uint8_t out[MF_DIGEST_LENGTH]);
/* Fan-out 2 only: the complete subtrees, largest first. Returns how many. */
unsigned mf_tree_frontier(const mf_tree *tree, uint8_t out[64][MF_DIGEST_LENGTH]);
/* Number of complete subtrees of a log of `count` hashes. */
unsigned mf_tree_frontier_length(uint64_t count);
void mf_tree_from_frontier(mf_tree *tree, uint64_t count, const uint8_t *hashes);

/* Salts of one salt tree, SPEC 8.2. Cheap when indexes rise by one. */
typedef struct mf_salts {
    uint8_t root[MF_SALT_LENGTH];
    uint8_t level[16][64]; /* children of the node on the path at each depth */
    uint32_t index;        /* whose path that is */
    bool ready;
} mf_salts;

void mf_salts_init(mf_salts *salts, const uint8_t root[MF_SALT_LENGTH]);
void mf_salts_at(mf_salts *salts, uint32_t index, uint8_t out[MF_SALT_LENGTH]);
/* One of the four children of a node. */
void mf_salt_child(const uint8_t node[MF_SALT_LENGTH], unsigned child, uint8_t out[MF_SALT_LENGTH]);
/* From any node above the index: seed is the node at `depth` on its path. SPEC 13.3. */
void mf_salt_below(const uint8_t seed[MF_SALT_LENGTH], unsigned depth, uint32_t index, uint8_t out[MF_SALT_LENGTH]);

#endif
