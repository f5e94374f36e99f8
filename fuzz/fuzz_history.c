/* fuzz_history: HISTORY segments and stored salt trees (SPEC 13.2, 13.3). */
#include "fuzz.h"

#include "commit.h"
#include "fold.h"

static void encode(mf_buffer *out, const mf_history *h)
{
    mf_buffer_clear(out);
    mf_history_encode(out, h);
    FUZZ_CHECK(!out->failed, "memory");
}

static void use_rows(const mf_history *h)
{
    static mf_fold fold;
    static const uint8_t memory_id[16] = {1};
    mf_fold_init(&fold, memory_id, &mf_mem_default);
    for (uint32_t i = 0; i < h->row_count && i < 256; i++) {
        const mf_history_row *r = &h->rows[i];
        FUZZ_CHECK((uint64_t)r->salt_first + r->salt_count <= h->node_count, "nodes of row %u", i);
        for (uint32_t n = 0; n < r->salt_count && n < 4; n++) {
            const mf_salt_node *node = &h->nodes[r->salt_first + n];
            uint8_t salt[16];
            mf_salt_below(node->seed, node->depth, (uint32_t)r->salt_index, salt);
        }
        FUZZ_CHECK(mf_fold_end(&fold, h->first_number + i, r) == 0, "memory");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mf_history h, again;
    memfile_error e;
    mf_arena arena;
    mf_buffer one, two;
    mf_arena_init(&arena, &mf_mem_default);
    int rc = mf_history_decode(&h, mf_slice_of(data, size), &arena, 0, &e);
    FUZZ_CHECK(rc == MEMFILE_OK || rc == MEMFILE_E_DAMAGED, "%d", rc);
    fuzz_verdict("%d: %s", rc, rc == MEMFILE_OK ? "" : e.message);
    if (rc == MEMFILE_OK) {
        mf_buffer_init(&one, &mf_mem_default);
        mf_buffer_init(&two, &mf_mem_default);
        use_rows(&h);
        encode(&one, &h);
        rc = mf_history_decode(&again, mf_slice_of(one.data, one.length), &arena, 0, &e);
        FUZZ_CHECK(rc == MEMFILE_OK && again.row_count == h.row_count, "%d: %s", rc, e.message);
        encode(&two, &again);
        FUZZ_CHECK(one.length == two.length && memcmp(one.data, two.data, one.length) == 0, "another history");
        fuzz_verdict_bytes(one.data, one.length);
        mf_buffer_free(&one);
        mf_buffer_free(&two);
    }
    mf_arena_free(&arena);
    return 0;
}
