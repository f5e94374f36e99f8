/* fuzz_seal: a sealed segment (SPEC 20.6) around any plaintext, as a recipient can make it. What opens agrees with what
 * was sealed; with any byte of it changed it does not open. */
#include "fuzz.h"

#include "checksum.h"
#include "segment.h"

#define TAG 0x01020304u
#define OFFSET 4096u

typedef struct sealed {
    uint8_t *raw;
    size_t total, text_at, text_length;
    mf_segment segment;
} sealed;

/* By the words of SPEC 20.6, and by nothing of segment.c. */
static void close_it(const mf_seal *seal, sealed *s)
{
    uint8_t associated[13 + 16 + 48 + 16];
    size_t clear = s->raw[5] & MF_FLAG_COMMIT ? 16 : 8;
    memcpy(associated, "memfile1.seal", 13);
    memcpy(associated + 13, seal->incarnation_id, 16);
    memcpy(associated + 29, s->raw, 48);
    memcpy(associated + 77, s->raw + 64, clear);
    mf_seal_close(seal, s->raw + s->text_at, s->text_length, s->raw + 16, mf_slice_of(associated, 77 + clear),
                  s->raw + 64 + clear, s->raw + s->text_at + s->text_length);
}

static void make(sealed *s, const mf_seal *seal, unsigned flags, uint64_t group_length, mf_slice text)
{
    size_t clear = flags & MF_FLAG_COMMIT ? 16 : 8, stored = clear + 24 + text.length + 16;
    s->text_at = 64 + clear + 24;
    s->text_length = text.length;
    mf_segment outer = {.type = MF_TYPE_SEALED, .flags = (uint8_t)flags, .codec = MF_CODEC_SEALED,
                        .stored_length = (uint32_t)stored, .offset = OFFSET, .previous_commit = 80, .parent_tag = 7,
                        .incarnation_tag = TAG, .codec_parameter = 1};
    s->total = (size_t)mf_segment_total(&outer);
    s->raw = (uint8_t *)fuzz_alloc(s->total);
    memset(s->raw, 0, s->total);
    mf_segment_encode(&outer, s->raw);
    mf_store64(s->raw + 64, 80);
    if (flags & MF_FLAG_COMMIT)
        mf_store64(s->raw + 72, group_length);
    if (text.length)
        memcpy(s->raw + s->text_at, text.data, text.length);
    close_it(seal, s);
}

/* false: it does not get as far as being opened. */
static bool open_again(const mf_seal *seal, sealed *s, uint8_t *out, int *rc)
{
    memfile_error e;
    const uint8_t *opened;
    if (mf_load32(s->raw + 8) > s->total - MF_SEGMENT_HEADER_LENGTH)
        return false;
    mf_store64(s->raw + 48, mf_checksum(s->raw + 64, mf_load32(s->raw + 8)));
    mf_store64(s->raw + 56, mf_checksum(s->raw, 56));
    if (mf_segment_decode(&s->segment, s->raw, OFFSET, TAG, &e) != MEMFILE_OK || mf_segment_total(&s->segment) != s->total ||
        s->segment.type != MF_TYPE_SEALED)
        return false;
    if (s->segment.flags & MF_FLAG_COMMIT)
        mf_trailer_encode(s->raw + s->total - MF_TRAILER_LENGTH, s->total);
    *rc = mf_segment_open(seal, &s->segment, s->raw, out, &opened, &e);
    fuzz_verdict("%d: %s", *rc, *rc == MEMFILE_OK ? "" : e.message);
    FUZZ_CHECK(*rc == MEMFILE_OK || *rc == MEMFILE_E_DAMAGED || *rc == MEMFILE_E_NEWER, "%d, %s", *rc, e.message);
    return true;
}

static void check_opened(const sealed *s, const uint8_t *out, mf_slice text)
{
    memfile_error e;
    mf_slice head, stored;
    const mf_segment *o = &s->segment;
    FUZZ_CHECK(memcmp(out + s->text_at, text.data, text.length) == 0, "another plaintext");
    FUZZ_CHECK(o->type == text.data[0] && o->flags == text.data[1] && o->type != MF_TYPE_KEYS && o->type != MF_TYPE_VOID &&
                   o->type != MF_TYPE_SEALED && o->type != 0, "type %u", o->type);
    FUZZ_CHECK(o->body_at == s->text_at + 16 && o->body_length <= text.length - 16, "a body behind its end");
    int split = mf_segment_split(o, out, &head, &stored, &e);
    fuzz_verdict("split %d: %s", split, split == MEMFILE_OK ? "" : e.message);
    if (split == MEMFILE_OK)
        FUZZ_CHECK(head.length + stored.length <= o->body_length, "lengths");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t data_key[32] = {9}, incarnation[16] = {4, 3, 2, 1};
    mf_seal seal = {.sealed = true, .environment = fuzz_environment};
    memfile_error e;
    sealed s;
    int rc;
    fuzz_environment_reset(1);
    if (size < 4 + 16 || size > 70000)
        return 0;
    FUZZ_CHECK(mf_seal_set(&seal, incarnation, 1, data_key, &e) == MEMFILE_OK, "memory");
    unsigned flags = data[0] & (MF_FLAG_COMMIT | MF_FLAG_SYNCED);
    size_t at = (size_t)data[1] | (size_t)data[2] << 8;
    mf_slice text = mf_slice_of(data + 4, size - 4);
    make(&s, &seal, flags, (uint64_t)data[3] * 8, text);
    uint8_t *out = (uint8_t *)fuzz_alloc(s.total);
    FUZZ_CHECK(open_again(&seal, &s, out, &rc), "what was sealed is not sound");
    if (rc == MEMFILE_OK)
        check_opened(&s, out, text);
    memset(out, 0, s.total);
    size_t length = 64 + mf_load32(s.raw + 8);
    at %= length;
    if (at < 48 || at >= 64) { /* not the checksums */
        s.raw[at] ^= (uint8_t)(1u << data[3] % 8);
        if (open_again(&seal, &s, out, &rc)) {
            FUZZ_CHECK(rc == MEMFILE_E_DAMAGED, "changed at %zu, and opened: %d", at, rc);
            for (size_t i = 0; i < s.total; i++)
                FUZZ_CHECK(out[i] == 0, "a byte of what does not open");
        }
    }
    free(out);
    free(s.raw);
    mf_seal_clear(&seal);
    return 0;
}
