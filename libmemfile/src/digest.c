/* digest: BLAKE2b, tree hash, salts. */
#include "digest.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "format.h"

static const unsigned char personal[][crypto_generichash_blake2b_PERSONALBYTES] = {
    [MF_LABEL_LEAF] = "memfile1.leaf",   [MF_LABEL_NODE] = "memfile1.node",   [MF_LABEL_COMMIT] = "memfile1.commit",
    [MF_LABEL_STORE] = "memfile1.store", [MF_LABEL_BYTES] = "memfile1.bytes", [MF_LABEL_CHUNK] = "memfile1.chunk",
    [MF_LABEL_PART] = "memfile1.part",   [MF_LABEL_KEY] = "memfile1.key",
    [MF_LABEL_RECEIPT] = "memfile1.receipt",
};
static const unsigned char personal_salt[crypto_generichash_blake2b_PERSONALBYTES] = "memfile1.salt";

_Static_assert(sizeof(mf_digest_stream) >= sizeof(crypto_generichash_blake2b_state), "state fits");

bool mf_digest_start(void)
{
    return sodium_init() >= 0;
}

void mf_digest(uint8_t out[MF_DIGEST_LENGTH], mf_label label, const void *data, size_t length)
{
    crypto_generichash_blake2b_salt_personal(out, MF_DIGEST_LENGTH, (const unsigned char *)data, length, NULL, 0, NULL,
                                             personal[label]);
}

/* libsodium's state is aligned to 64 bytes, which no allocator promises: it is worked on in a
 * copy that is. */
void mf_digest_begin(mf_digest_stream *stream, mf_label label)
{
    crypto_generichash_blake2b_state state;
    crypto_generichash_blake2b_init_salt_personal(&state, NULL, 0, MF_DIGEST_LENGTH, NULL, personal[label]);
    memcpy(stream->opaque, &state, sizeof state);
}

void mf_digest_add(mf_digest_stream *stream, const void *data, size_t length)
{
    crypto_generichash_blake2b_state state;
    memcpy(&state, stream->opaque, sizeof state);
    crypto_generichash_blake2b_update(&state, (const unsigned char *)data, length);
    memcpy(stream->opaque, &state, sizeof state);
}

void mf_digest_end(mf_digest_stream *stream, uint8_t out[MF_DIGEST_LENGTH])
{
    crypto_generichash_blake2b_state state;
    memcpy(&state, stream->opaque, sizeof state);
    crypto_generichash_blake2b_final(&state, out, MF_DIGEST_LENGTH);
}

void mf_system_random(void *out, size_t length)
{
    randombytes_buf(out, length);
}

/* ---- tree hash */

/* slots of one level */
static unsigned stride(const mf_tree *tree)
{
    return tree->fanout;
}

static unsigned levels(const mf_tree *tree)
{
    unsigned n = MF_TREE_SLOTS / tree->fanout;
    return n < 64 ? n : 64;
}

void mf_tree_init(mf_tree *tree, unsigned fanout)
{
    assert(fanout == MF_LOG_FANOUT || fanout == MF_ENTRIES_FANOUT);
    tree->count = 0;
    tree->fanout = fanout;
    memset(tree->pending, 0, sizeof tree->pending);
}

void mf_tree_add(mf_tree *tree, const uint8_t hash[MF_DIGEST_LENGTH])
{
    uint8_t carry[MF_DIGEST_LENGTH];
    memcpy(carry, hash, sizeof carry);
    tree->count++;
    for (unsigned l = 0; l < levels(tree); l++) {
        uint8_t(*slots)[MF_DIGEST_LENGTH] = tree->hash + (size_t)l * stride(tree);
        memcpy(slots[tree->pending[l]++], carry, sizeof carry);
        if (tree->pending[l] < tree->fanout)
            return;
        mf_digest(carry, MF_LABEL_NODE, slots, (size_t)tree->fanout * MF_DIGEST_LENGTH);
        tree->pending[l] = 0;
    }
}

void mf_tree_root(const mf_tree *tree, uint8_t out[MF_DIGEST_LENGTH])
{
    uint8_t list[MF_ENTRIES_FANOUT][MF_DIGEST_LENGTH];
    unsigned have_carry = 0, above = 0;
    uint8_t carry[MF_DIGEST_LENGTH] = {0};
    assert(tree->count > 0);
    for (unsigned l = 0; l < levels(tree); l++)
        above += tree->pending[l];
    for (unsigned l = 0; above > 0; l++) { /* above: hashes from this level on */
        unsigned n = tree->pending[l];
        above -= n;
        memcpy(list, tree->hash + (size_t)l * stride(tree), (size_t)n * MF_DIGEST_LENGTH);
        if (have_carry)
            memcpy(list[n++], carry, sizeof carry);
        if (n == 1)
            memcpy(carry, list[0], sizeof carry);
        else if (n > 1)
            mf_digest(carry, MF_LABEL_NODE, list, (size_t)n * MF_DIGEST_LENGTH);
        have_carry |= n > 0;
    }
    memcpy(out, carry, sizeof carry);
}

unsigned mf_tree_frontier(const mf_tree *tree, uint8_t out[64][MF_DIGEST_LENGTH])
{
    unsigned n = 0;
    for (unsigned l = levels(tree); l-- > 0;)
        if (tree->pending[l])
            memcpy(out[n++], tree->hash[(size_t)l * stride(tree)], MF_DIGEST_LENGTH);
    return n;
}

unsigned mf_tree_frontier_length(uint64_t count)
{
    unsigned n = 0;
    for (; count; count &= count - 1)
        n++;
    return n;
}

void mf_tree_from_frontier(mf_tree *tree, uint64_t count, const uint8_t *hashes)
{
    mf_tree_init(tree, MF_LOG_FANOUT);
    tree->count = count;
    for (unsigned l = 64; l-- > 0;)
        if (count >> l & 1) {
            memcpy(tree->hash[(size_t)l * stride(tree)], hashes, MF_DIGEST_LENGTH);
            tree->pending[l] = 1;
            hashes += MF_DIGEST_LENGTH;
        }
}

/* ---- salts */

void mf_salts_init(mf_salts *salts, const uint8_t root[MF_SALT_LENGTH])
{
    memcpy(salts->root, root, MF_SALT_LENGTH);
    salts->ready = false;
    salts->index = 0;
}

void mf_salts_at(mf_salts *salts, uint32_t index, uint8_t out[MF_SALT_LENGTH])
{
    bool same = salts->ready;
    const uint8_t *node = salts->root;
    for (unsigned depth = 0; depth < MF_SALT_DEPTH; depth++) {
        unsigned shift = 2 * (MF_SALT_DEPTH - 1 - depth);
        if (!same)
            crypto_generichash_blake2b_salt_personal(salts->level[depth], 64, node, MF_SALT_LENGTH, NULL, 0, NULL,
                                                     personal_salt);
        unsigned digit = index >> shift & 3;
        if (digit != (salts->index >> shift & 3))
            same = false;
        node = salts->level[depth] + digit * MF_SALT_LENGTH;
    }
    salts->index = index;
    salts->ready = true;
    memcpy(out, node, MF_SALT_LENGTH);
}

void mf_salt_child(const uint8_t node[MF_SALT_LENGTH], unsigned child, uint8_t out[MF_SALT_LENGTH])
{
    uint8_t children[64];
    crypto_generichash_blake2b_salt_personal(children, sizeof children, node, MF_SALT_LENGTH, NULL, 0, NULL,
                                             personal_salt);
    memcpy(out, children + (size_t)child * MF_SALT_LENGTH, MF_SALT_LENGTH);
}

void mf_salt_below(const uint8_t seed[MF_SALT_LENGTH], unsigned depth, uint32_t index, uint8_t out[MF_SALT_LENGTH])
{
    uint8_t node[MF_SALT_LENGTH], children[64];
    memcpy(node, seed, sizeof node);
    for (; depth < MF_SALT_DEPTH; depth++) {
        crypto_generichash_blake2b_salt_personal(children, sizeof children, node, sizeof node, NULL, 0, NULL,
                                                 personal_salt);
        memcpy(node, children + (index >> (2 * (MF_SALT_DEPTH - 1 - depth)) & 3) * MF_SALT_LENGTH, sizeof node);
    }
    memcpy(out, node, sizeof node);
}
