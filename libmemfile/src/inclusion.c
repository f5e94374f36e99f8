/* inclusion: paths up a tree hash. */
#include "inclusion.h"

#include <assert.h>

void mf_inclusion_init(mf_inclusion *p, unsigned fanout, uint64_t index, const mf_mem *mem)
{
    assert(fanout >= 2 && fanout <= MF_ENTRIES_FANOUT);
    memset(p, 0, sizeof *p);
    p->fanout = fanout;
    p->index = index;
    mf_buffer_init(&p->path, mem);
}

void mf_inclusion_free(mf_inclusion *p)
{
    mf_buffer_free(&p->path);
}

static uint64_t index_at(const mf_inclusion *p, unsigned level)
{
    uint64_t index = p->index;
    while (level-- > 0)
        index /= p->fanout;
    return index;
}

static void push(mf_inclusion *p, unsigned level, const uint8_t hash[MF_DIGEST_LENGTH]);

/* The pending hashes of a level become one of the next. */
static void close_run(mf_inclusion *p, unsigned level)
{
    uint8_t up[MF_DIGEST_LENGTH];
    uint64_t run = p->level[level].closed++, index = index_at(p, level);
    unsigned n = p->level[level].pending;
    uint8_t(*hash)[MF_DIGEST_LENGTH] = p->level[level].hash;
    for (unsigned i = 0; index / p->fanout == run && i < n; i++)
        if (i != index % p->fanout)
            mf_put_bytes(&p->path, hash[i], MF_DIGEST_LENGTH);
    if (n == 1)
        memcpy(up, hash[0], sizeof up);
    else
        mf_digest(up, MF_LABEL_NODE, hash, (size_t)n * MF_DIGEST_LENGTH);
    p->level[level].pending = 0;
    push(p, level + 1, up);
}

static void push(mf_inclusion *p, unsigned level, const uint8_t hash[MF_DIGEST_LENGTH])
{
    assert(level < MF_INCLUSION_LEVELS);
    memcpy(p->level[level].hash[p->level[level].pending++], hash, MF_DIGEST_LENGTH);
    if (p->level[level].pending == p->fanout)
        close_run(p, level);
}

void mf_inclusion_add(mf_inclusion *p, const uint8_t hash[MF_DIGEST_LENGTH])
{
    p->count++;
    push(p, 0, hash);
}

static uint64_t runs_of(uint64_t count, unsigned fanout)
{
    return count / fanout + (count % fanout > 0);
}

void mf_inclusion_end(mf_inclusion *p)
{
    unsigned level = 0;
    for (uint64_t n = p->count; n > 1; n = runs_of(n, p->fanout), level++)
        if (p->level[level].pending > 0)
            close_run(p, level);
}

bool mf_inclusion_root(uint8_t out[MF_DIGEST_LENGTH], unsigned fanout, uint64_t index, uint64_t count,
                       const uint8_t hash[MF_DIGEST_LENGTH], mf_slice path)
{
    uint8_t run[MF_ENTRIES_FANOUT][MF_DIGEST_LENGTH];
    mf_cursor c = mf_cursor_of(path.data, path.length);
    memcpy(out, hash, MF_DIGEST_LENGTH);
    if (index >= count)
        return false;
    for (; count > 1; count = runs_of(count, fanout), index /= fanout) {
        uint64_t left = count - index / fanout * fanout;
        unsigned n = left < fanout ? (unsigned)left : fanout;
        for (unsigned i = 0; i < n && !c.failed; i++) {
            const uint8_t *from = i == index % fanout ? out : mf_get_bytes(&c, MF_DIGEST_LENGTH);
            if (from)
                memcpy(run[i], from, MF_DIGEST_LENGTH);
        }
        if (c.failed)
            return false;
        if (n > 1)
            mf_digest(out, MF_LABEL_NODE, run, (size_t)n * MF_DIGEST_LENGTH);
    }
    return mf_cursor_finished(&c);
}
