/* digest: tree hash, frontier, salts. SPEC 8. */
#include "support.h"

#include "digest.h"
#include "format.h"

/* RFC 6962 §2.1, straight from its definition, with SPEC's node hash. */
static void rfc6962(const uint8_t (*leaves)[32], size_t n, uint8_t out[32])
{
    uint8_t pair[64];
    if (n == 1) {
        memcpy(out, leaves[0], 32);
        return;
    }
    size_t k = 1;
    while (k * 2 < n)
        k *= 2;
    rfc6962(leaves, k, pair);
    rfc6962(leaves + k, n - k, pair + 32);
    mf_digest(out, MF_LABEL_NODE, pair, 64);
}

/* SPEC 8.4, level by level. */
static void by_levels(const uint8_t (*leaves)[32], size_t n, size_t k, uint8_t out[32])
{
    uint8_t(*list)[32] = (uint8_t(*)[32])malloc(n * 32);
    memcpy(list, leaves, n * 32);
    while (n > 1) {
        size_t next = 0;
        for (size_t i = 0; i < n; i += k, next++) {
            size_t run = n - i < k ? n - i : k;
            if (run == 1)
                memmove(list[next], list[i], 32);
            else
                mf_digest(list[next], MF_LABEL_NODE, list[i], run * 32);
        }
        n = next;
    }
    memcpy(out, list[0], 32);
    free(list);
}

static void trees_agree_with_their_definition(void **state)
{
    (void)state;
    static uint8_t leaves[600][32];
    static mf_tree binary, wide;
    uint64_t seed = 3;
    mf_tree_init(&binary, MF_LOG_FANOUT);
    mf_tree_init(&wide, MF_ENTRIES_FANOUT);
    for (size_t n = 1; n <= 600; n++) {
        uint8_t expected[32], got[32];
        for (int i = 0; i < 32; i++)
            leaves[n - 1][i] = (uint8_t)next_random(&seed);
        mf_tree_add(&binary, leaves[n - 1]);
        mf_tree_add(&wide, leaves[n - 1]);
        rfc6962((const uint8_t(*)[32])leaves, n, expected);
        mf_tree_root(&binary, got);
        assert_memory_equal(got, expected, 32);
        by_levels((const uint8_t(*)[32])leaves, n, 16, expected);
        mf_tree_root(&wide, got);
        assert_memory_equal(got, expected, 32);
    }
}

static void a_frontier_carries_the_whole_log(void **state)
{
    (void)state;
    static mf_tree whole, half;
    uint8_t hash[32] = {0}, frontier[64][32], a[32], b[32];
    mf_tree_init(&whole, MF_LOG_FANOUT);
    for (unsigned n = 0; n < 200; n++) {
        unsigned count = mf_tree_frontier(&whole, frontier);
        assert_int_equal(count, mf_tree_frontier_length(n));
        mf_tree_from_frontier(&half, n, &frontier[0][0]);
        hash[0] = (uint8_t)n;
        mf_tree_add(&half, hash);
        mf_tree_add(&whole, hash);
        mf_tree_root(&whole, a);
        mf_tree_root(&half, b);
        assert_memory_equal(a, b, 32);
    }
}

static void salts_are_the_same_in_any_order(void **state)
{
    (void)state;
    static mf_salts forward, jumping;
    uint8_t root[16] = {1, 2, 3}, a[16], b[16], c[16];
    mf_salts_init(&forward, root);
    mf_salts_init(&jumping, root);
    for (uint32_t i = 0; i < 300; i++) {
        mf_salts_at(&forward, i, a);
        mf_salts_at(&jumping, i * 2654435761u, b);
        mf_salts_at(&jumping, i, b);
        mf_salt_below(root, 0, i, c);
        assert_memory_equal(a, b, 16);
        assert_memory_equal(a, c, 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_agree_with_their_definition),
        cmocka_unit_test(a_frontier_carries_the_whole_log),
        cmocka_unit_test(salts_are_the_same_in_any_order),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
