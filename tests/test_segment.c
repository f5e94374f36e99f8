/* header, segment, compress: SPEC 3, 4, 12. */
#include "support.h"

#include "header.h"
#include "segment.h"
#include "checksum.h"

static void build(mf_built *b, mf_compressor *c, size_t content_length, uint8_t flags, int level)
{
    memfile_error e;
    uint8_t *content = (uint8_t *)malloc(content_length + 1);
    for (size_t i = 0; i < content_length; i++)
        content[i] = (uint8_t)(i % 7 + i / 50 % 3);
    mf_built_init(b, &mf_mem_default, NULL);
    assert_int_equal(mf_segment_build(b, flags & MF_FLAG_COMMIT ? MF_TYPE_COMMIT : MF_TYPE_RECORDS, flags,
                                      mf_slice_of("head", 4), mf_slice_of(content, content_length), c, level, NULL, &e),
                     MEMFILE_OK);
    mf_segment_place(b, 4096, 80, 0x1122334455667788u, 0xcafef00du);
    free(content);
}

static int read_back(const uint8_t *raw, size_t length, uint8_t *out)
{
    mf_segment s;
    mf_slice head, stored;
    mf_compressor c;
    memfile_error e;
    int rc = mf_segment_decode(&s, raw, 4096, 0xcafef00du, &e);
    if (rc == MEMFILE_OK && mf_segment_total(&s) > length)
        rc = MEMFILE_E_TRUNCATED;
    if (rc == MEMFILE_OK)
        rc = mf_segment_check(&s, raw, &e);
    if (rc == MEMFILE_OK)
        rc = mf_segment_split(&s, raw, &head, &stored, &e);
    mf_compressor_init(&c);
    if (rc == MEMFILE_OK)
        rc = mf_segment_content(&s, stored, &c, NULL, out, &e);
    mf_compressor_free(&c);
    return rc;
}

static void segments_come_back(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 32, 33, 1000, 262144, 1048000};
    static uint8_t out[1 << 20];
    mf_compressor c;
    mf_compressor_init(&c);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int commit = 0; commit < 2; commit++) {
            mf_built b;
            build(&b, &c, lengths[i], commit ? MF_FLAG_COMMIT : 0, 1);
            assert_int_equal(b.bytes.length % 8, 0);
            assert_int_equal(b.bytes.length, mf_segment_total(&b.segment));
            assert_int_equal(read_back(b.bytes.data, b.bytes.length, out), MEMFILE_OK);
            for (size_t k = 0; k < lengths[i]; k++)
                assert_int_equal(out[k], (uint8_t)(k % 7 + k / 50 % 3));
            assert_int_equal(mf_trailer_length(b.bytes.data + b.bytes.length - 8), commit ? b.bytes.length : 0);
            mf_built_free(&b);
        }
    mf_compressor_free(&c);
}

static void every_flipped_bit_of_a_segment_is_found(void **state)
{
    (void)state;
    static uint8_t out[4096];
    mf_compressor c;
    mf_built b;
    mf_compressor_init(&c);
    build(&b, &c, 1001, MF_FLAG_COMMIT, 1);
    for (size_t i = 0; i < b.bytes.length * 8; i++) {
        b.bytes.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(read_back(b.bytes.data, b.bytes.length, out), MEMFILE_E_DAMAGED);
        b.bytes.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    assert_int_equal(read_back(b.bytes.data, b.bytes.length, out), MEMFILE_OK);
    mf_built_free(&b);
    mf_compressor_free(&c);
}

/* Another place, another file: not this segment. */
static void a_segment_is_sound_in_its_own_place_only(void **state)
{
    (void)state;
    mf_compressor c;
    mf_built b;
    mf_compressor_init(&c);
    build(&b, &c, 10, 0, 1);
    assert_true(mf_segment_is_sound_header(b.bytes.data, 4096, 0xcafef00du));
    assert_false(mf_segment_is_sound_header(b.bytes.data, 4104, 0xcafef00du));
    assert_false(mf_segment_is_sound_header(b.bytes.data, 4096, 0xcafef00eu));
    mf_built_free(&b);
    mf_compressor_free(&c);
}

static void what_only_a_newer_version_knows_is_called_newer(void **state)
{
    (void)state;
    static const struct {
        int offset;
        uint8_t value;
        int code;
    } cases[] = {{4, 0, MEMFILE_E_DAMAGED},  {4, 99, MEMFILE_E_NEWER}, {5, 0x10, MEMFILE_E_NEWER},
                 {6, 3, MEMFILE_E_NEWER},  {7, 1, MEMFILE_E_NEWER},  {44, 1, MEMFILE_E_DAMAGED}};
    mf_compressor c;
    mf_compressor_init(&c);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_built b;
        mf_segment s;
        memfile_error e;
        build(&b, &c, 10, 0, 1);
        b.bytes.data[cases[i].offset] = cases[i].value;
        mf_store64(b.bytes.data + 56, 0);
        mf_store64(b.bytes.data + 56, mf_checksum(b.bytes.data, 56));
        assert_int_equal(mf_segment_decode(&s, b.bytes.data, 4096, 0xcafef00du, &e), cases[i].code);
        mf_built_free(&b);
    }
    mf_compressor_free(&c);
}

static void frames_that_are_not_ours_are_refused(void **state)
{
    (void)state;
    /* "abc" as zstd frames of one raw block: single segment, content size 3 */
    static const uint8_t good[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x19, 0, 0, 'a', 'b', 'c'};
    static const struct {
        uint8_t bytes[32];
        size_t length;
    } bad[] = {
        {{0x28, 0xb5, 0x2f, 0xfd, 0x24, 3, 0x19, 0, 0, 'a', 'b', 'c', 0, 0, 0, 0}, 16},     /* checksum */
        {{0x28, 0xb5, 0x2f, 0xfd, 0x21, 1, 3, 0x19, 0, 0, 'a', 'b', 'c'}, 13},              /* dictionary id */
        {{0x28, 0xb5, 0x2f, 0xfd, 0x20, 4, 0x19, 0, 0, 'a', 'b', 'c'}, 12},                 /* lies: 4 bytes */
        {{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x19, 0, 0, 'a', 'b', 'c'}, 12},              /* no content size */
        {{0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x19, 0, 0, 'a', 'b', 'c', 0}, 13},              /* a byte behind it */
        {{0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x19, 0, 0, 'a', 'b'}, 11},                      /* cut off */
        {{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4}, 12},                             /* skippable */
        {{0x27, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x19, 0, 0, 'a', 'b', 'c'}, 12},                 /* legacy */
        {{0}, 0},
    };
    mf_compressor c;
    memfile_error e;
    uint8_t out[8];
    mf_compressor_init(&c);
    assert_int_equal(mf_decompress(&c, NULL, good, sizeof good, out, 3, 0, &e), MEMFILE_OK);
    assert_memory_equal(out, "abc", 3);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(mf_decompress(&c, NULL, bad[i].bytes, bad[i].length, out, 3, 0, &e), MEMFILE_E_DAMAGED);
    mf_compressor_free(&c);
}

static void dictionaries_help_and_are_needed(void **state)
{
    (void)state;
    static uint8_t texts[200000], frame[4096], out[600], bytes[8192];
    static size_t sizes[1000];
    uint64_t seed = 4;
    static const char *const words[] = {"remember ", "the ", "garden ", "is ", "closed ", "on ", "Friday ", "until "};
    size_t n = 0;
    for (int i = 0; i < 1000; i++) {
        size_t start = n;
        for (int w = 0; w < 25; w++) {
            const char *word = words[next_random(&seed) % 8];
            memcpy(texts + n, word, strlen(word));
            n += strlen(word);
        }
        sizes[i] = n - start;
    }
    size_t length = mf_dictionary_train(bytes, sizeof bytes, texts, sizes, 1000, false);
    assert_true(length > 0);
    mf_dictionary *d;
    mf_compressor c;
    memfile_error e;
    assert_int_equal(mf_dictionary_new(&mf_mem_default, bytes, length, 1, &d), MEMFILE_OK);
    mf_compressor_init(&c);
    size_t without = mf_compress(&c, 1, NULL, texts, sizes[0], frame, sizeof frame);
    size_t with = mf_compress(&c, 1, d, texts, sizes[0], frame, sizeof frame);
    assert_true(with > 0 && with < without);
    assert_int_equal(mf_decompress(&c, d, frame, with, out, sizes[0], 0, &e), MEMFILE_OK);
    assert_memory_equal(out, texts, sizes[0]);
    assert_int_equal(mf_decompress(&c, NULL, frame, with, out, sizes[0], 0, &e), MEMFILE_E_DAMAGED);
    mf_compressor_free(&c);
    mf_dictionary_free(d);
}

/* SPEC 18: who ignores a segment need not know how its content is stored. */
static void an_optional_segment_may_have_any_codec(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, flags, codec;
        int rc;
    } cases[] = {{200, MF_FLAG_OPTIONAL, 0, MEMFILE_OK},
                 {200, MF_FLAG_OPTIONAL, 3, MEMFILE_OK},
                 {200, MF_FLAG_OPTIONAL | MF_FLAG_DERIVED, 255, MEMFILE_OK},
                 {200, 0, 0, MEMFILE_E_NEWER},
                 {200, MF_FLAG_OPTIONAL | 16, 3, MEMFILE_E_NEWER},
                 {MF_TYPE_RECORDS, 0, 3, MEMFILE_E_NEWER},
                 {MF_TYPE_RECORDS, MF_FLAG_OPTIONAL, 3, MEMFILE_E_NEWER}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t raw[MF_SEGMENT_HEADER_LENGTH];
        memfile_error e;
        mf_segment back, s = {.type = cases[i].type, .flags = cases[i].flags, .codec = cases[i].codec, .offset = 4096};
        mf_segment_encode(&s, raw);
        int rc = mf_segment_decode(&back, raw, 4096, 0, &e);
        if (rc != cases[i].rc)
            fail_msg("case %zu: %d", i, rc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_come_back),
        cmocka_unit_test(every_flipped_bit_of_a_segment_is_found),
        cmocka_unit_test(a_segment_is_sound_in_its_own_place_only),
        cmocka_unit_test(what_only_a_newer_version_knows_is_called_newer),
        cmocka_unit_test(an_optional_segment_may_have_any_codec),
        cmocka_unit_test(frames_that_are_not_ours_are_refused),
        cmocka_unit_test(dictionaries_help_and_are_needed),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
