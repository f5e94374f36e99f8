/* compress: zstd frames and dictionaries. SPEC 4.3, 12. */
#include "support.h"

#include <xxhash.h>
#include <zstd.h>

#include "compress.h"
#include "format.h"

static size_t fill_words(uint8_t *out, size_t length, uint64_t seed)
{
    static const char *const words[] = {"remember ", "garden ", "closed ", "Friday ", "until ", "the ", "tea "};
    size_t n = 0;
    while (n + 10 < length) {
        const char *w = words[next_random(&seed) % 7];
        memcpy(out + n, w, strlen(w));
        n += strlen(w);
    }
    memset(out + n, '.', length - n);
    return length;
}

static void frames_of_all_levels_and_lengths_come_back(void **state)
{
    (void)state;
    static uint8_t text[MF_RAW_LENGTH_MAX], frame[MF_RAW_LENGTH_MAX + 8192], out[MF_RAW_LENGTH_MAX + 1];
    static const size_t lengths[] = {1, 2, 33, 255, 256, 65791, 65792, 262144, MF_RAW_LENGTH_MAX};
    mf_compressor c;
    memfile_error e;
    mf_compressor_init(&c);
    fill_words(text, sizeof text, 3);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int level = 1; level <= (lengths[i] > 100000 ? 3 : 19); level += 2) {
            size_t n = lengths[i], bound = mf_compress_bound(n);
            assert_true(bound <= sizeof frame);
            size_t made = mf_compress(&c, level, NULL, text, n, frame, bound);
            assert_true(made > 0 && made <= bound);
            /* SPEC 4.3: states its content size, no dictionary id, no checksum */
            assert_true(ZSTD_getFrameContentSize(frame, made) == n);
            assert_int_equal(ZSTD_getDictID_fromFrame(frame, made), 0);
            assert_int_equal(frame[4] & 4, 0);
            out[n] = 0x5a;
            assert_int_equal(mf_decompress(&c, NULL, frame, made, out, n, 0, &e), MEMFILE_OK);
            assert_memory_equal(out, text, n);
            assert_int_equal(out[n], 0x5a);
        }
    mf_compressor_free(&c);
    mf_compressor_free(&c);
}

/* SPEC 4.3. A frame by hand: its descriptor with a content size of one byte is for single segments only,
 * so the content has 256 bytes and the size is stored in two, less 256. */
static void a_window_of_8_mib_is_accepted_and_a_larger_one_is_not(void **state)
{
    (void)state;
    static const struct {
        uint8_t window;
        int rc;
    } cases[] = {{0x00, MEMFILE_OK}, {0x67, MEMFILE_OK}, {0x68, MEMFILE_OK}, {0x69, MEMFILE_E_DAMAGED},
                 {0x70, MEMFILE_E_DAMAGED}, {0xff, MEMFILE_E_DAMAGED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t frame[8 + 3 + 256] = {0x28, 0xb5, 0x2f, 0xfd, 0x40, cases[i].window, 0, 0, 1, 8}, out[256];
        mf_compressor c;
        memfile_error e;
        memset(frame + 11, 'x', 256);
        mf_compressor_init(&c);
        assert_int_equal(mf_decompress(&c, NULL, frame, sizeof frame, out, sizeof out, 0, &e), cases[i].rc);
        mf_compressor_free(&c);
    }
}

/* What lies behind a window, decoders take from different places: SPEC 4.3. */
static void a_window_is_at_least_as_long_as_the_content(void **state)
{
    (void)state;
    memfile_error e;
    mf_compressor c;
    mf_compressor_init(&c);
    for (size_t n = 1023; n <= 1026; n++) { /* in a frame of one raw block whose window is 1 KiB */
        uint8_t frame[8 + 3 + 1026] = {0x28, 0xb5, 0x2f, 0xfd, 0x40, 0, (uint8_t)(n - 256), (uint8_t)((n - 256) >> 8),
                                       (uint8_t)(n << 3 | 1), (uint8_t)(n >> 5)}, out[1026];
        assert_int_equal(mf_decompress(&c, NULL, frame, 11 + n, out, n, 0, &e), n <= 1024 ? MEMFILE_OK : MEMFILE_E_DAMAGED);
    }
    uint8_t *text = (uint8_t *)malloc(MF_RAW_LENGTH_MAX), *out = (uint8_t *)malloc(MF_RAW_LENGTH_MAX);
    uint8_t *frame = (uint8_t *)malloc(mf_compress_bound(MF_RAW_LENGTH_MAX));
    fill_words(text, MF_RAW_LENGTH_MAX, 9);
    mf_dictionary *d;
    assert_int_equal(mf_dictionary_new(&mf_mem_default, text, 30000, 1, &d), MEMFILE_OK);
    for (size_t n = MF_RAW_LENGTH_MAX; n > 1000; n = n * 2 / 3)
        for (int with = 0; with < 2; with++) { /* level 1 has the shortest window: 512 KiB */
            size_t length = mf_compress(&c, 1, with ? d : NULL, text, n, frame, mf_compress_bound(n));
            assert_true(length > 0);
            assert_int_equal(mf_decompress(&c, with ? d : NULL, frame, length, out, n, 0, &e), MEMFILE_OK);
            assert_memory_equal(text, out, n);
        }
    mf_dictionary_free(d);
    mf_compressor_free(&c);
    free(text);
    free(out);
    free(frame);
}

static void one_more_or_less_byte_than_the_frame_has_is_damage(void **state)
{
    (void)state;
    uint8_t text[1000], frame[2000], out[1100];
    mf_compressor c;
    memfile_error e;
    mf_compressor_init(&c);
    fill_words(text, sizeof text, 8);
    size_t n = mf_compress(&c, 3, NULL, text, sizeof text, frame, sizeof frame);
    assert_true(n > 10);
    for (size_t raw = 0; raw < 1100; raw++) {
        int rc = mf_decompress(&c, NULL, frame, n, out, raw, 777, &e);
        assert_int_equal(rc, raw == 1000 ? MEMFILE_OK : MEMFILE_E_DAMAGED);
        if (rc)
            assert_int_equal(e.offset, 777);
    }
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *exact = edge_copy(frame, cut);
        assert_int_equal(mf_decompress(&c, NULL, exact, cut, out, 1000, 0, &e), MEMFILE_E_DAMAGED);
        edge_free(exact, cut);
    }
    for (size_t more = 1; more < 40; more++) { /* trailing bytes, also a second frame */
        memset(frame + n, 0, more);
        assert_int_equal(mf_decompress(&c, NULL, frame, n + more, out, 1000, 0, &e), MEMFILE_E_DAMAGED);
    }
    memcpy(frame + n, frame, n);
    assert_int_equal(mf_decompress(&c, NULL, frame, 2 * n, out, 1000, 0, &e), MEMFILE_E_DAMAGED);
    /* a skippable frame, whose content zstd takes for 0 bytes */
    static const uint8_t skipped[] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 'a', 'b', 'c', 'd'};
    assert_int_equal(mf_decompress(&c, NULL, skipped, sizeof skipped, out, 0, 0, &e), MEMFILE_E_DAMAGED);
    mf_compressor_free(&c);
}

/* RFC 8878 3.1.1: one RLE block of 128 KiB in four bytes. The frame says 3 and would give more,
 * or says much and the caller has room for 3. */
static void a_bomb_goes_no_further_than_its_room(void **state)
{
    (void)state;
    static const uint8_t lies[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x03, 0x00, 0x10, 'a'}; /* RLE, 2^17 long, last */
    static const uint8_t large[] = {0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0x00, 0x00, 0x02, 0x00, 0x03, 0x00, 0x10, 'a'};
    uint8_t *out = (uint8_t *)malloc(3);
    uint8_t *all = (uint8_t *)malloc(131072);
    mf_compressor c;
    memfile_error e;
    mf_compressor_init(&c);
    assert_int_equal(mf_decompress(&c, NULL, lies, sizeof lies, out, 3, 0, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_decompress(&c, NULL, large, sizeof large, out, 3, 0, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_decompress(&c, NULL, large, sizeof large, all, 131072, 0, &e), MEMFILE_OK);
    for (size_t i = 0; i < 131072; i++)
        assert_int_equal(all[i], 'a');
    free(out);
    free(all);
    mf_compressor_free(&c);
}

static void a_frame_that_does_not_fit_is_not_made(void **state)
{
    (void)state;
    uint8_t noise[1000], frame[2000];
    uint64_t seed = 1;
    mf_compressor c;
    mf_compressor_init(&c);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)next_random(&seed);
    assert_int_equal(mf_compress(&c, 1, NULL, noise, sizeof noise, frame, 500), 0);
    size_t n = mf_compress(&c, 1, NULL, noise, sizeof noise, frame, mf_compress_bound(sizeof noise));
    assert_true(n > sizeof noise); /* noise grows, which the caller sees */
    mf_compressor_free(&c);
}

static void a_failed_frame_leaves_the_compressor_usable(void **state)
{
    (void)state;
    uint8_t text[500], frame[1000], out[500];
    mf_compressor c;
    memfile_error e;
    mf_compressor_init(&c);
    fill_words(text, sizeof text, 2);
    for (int i = 0; i < 20; i++) {
        size_t n = mf_compress(&c, 1, NULL, text, sizeof text, frame, sizeof frame);
        assert_true(n > 20);
        frame[n / 2] ^= 0xff;
        frame[n - 1] ^= 0xff;
        mf_decompress(&c, NULL, frame, n, out, sizeof out, 0, &e); /* whatever comes of it */
        frame[n / 2] ^= 0xff;
        frame[n - 1] ^= 0xff;
        assert_int_equal(mf_compress(&c, 1, NULL, text, sizeof text, frame + 900, 20), 0);
        assert_int_equal(mf_decompress(&c, NULL, frame, n, out, sizeof out, 0, &e), MEMFILE_OK);
        assert_memory_equal(out, text, sizeof text);
    }
    mf_compressor_free(&c);
}

static void dictionary_ids_are_those_of_the_specification(void **state)
{
    (void)state;
    assert_int_equal(mf_dictionary_id("abc", 3), (uint32_t)XXH3_64bits("abc", 3));
    assert_int_equal(mf_dictionary_id("", 0), (uint32_t)XXH3_64bits("", 0));
}

static void a_dictionary_is_copied_and_needed(void **state)
{
    (void)state;
    uint8_t raw[3000], text[600], frame[2000], out[600];
    mf_dictionary *d, *other, *reading;
    mf_compressor c;
    memfile_error e;
    fill_words(raw, sizeof raw, 4);
    memcpy(text, raw + 700, sizeof text); /* a raw dictionary: all of the text stands in it */
    mf_compressor_init(&c);
    assert_int_equal(mf_dictionary_new(&mf_mem_default, raw, sizeof raw, 3, &d), MEMFILE_OK);
    assert_int_equal(mf_dictionary_new(&mf_mem_default, raw, sizeof raw, 0, &reading), MEMFILE_OK);
    assert_int_equal(d->id, mf_dictionary_id(raw, sizeof raw));
    assert_int_equal(d->length, sizeof raw);
    assert_null(reading->for_compression);
    memset(raw, 'x', sizeof raw); /* it has its own copy */
    assert_int_equal(mf_dictionary_new(&mf_mem_default, raw, sizeof raw, 3, &other), MEMFILE_OK);
    size_t n = mf_compress(&c, 3, d, text, sizeof text, frame, sizeof frame);
    assert_true(n > 0 && n < 60);
    assert_int_equal(ZSTD_getDictID_fromFrame(frame, n), 0); /* SPEC 4.3 */
    assert_int_equal(mf_decompress(&c, reading, frame, n, out, sizeof out, 0, &e), MEMFILE_OK);
    assert_memory_equal(out, text, sizeof out);
    /* none or a wrong one: an error, or other bytes, which checksums above find */
    assert_int_equal(mf_decompress(&c, NULL, frame, n, out, sizeof out, 0, &e), MEMFILE_E_DAMAGED);
    memset(out, 0, sizeof out);
    if (mf_decompress(&c, other, frame, n, out, sizeof out, 0, &e) == MEMFILE_OK)
        assert_memory_not_equal(out, text, sizeof out);
    mf_dictionary_free(d);
    mf_dictionary_free(reading);
    mf_dictionary_free(other);
    mf_dictionary_free(NULL);
    mf_compressor_free(&c);
}

static void a_dictionary_that_is_held_outlives_its_owner(void **state)
{
    (void)state;
    uint8_t raw[3000], frame[2000], out[600];
    mf_dictionary *d;
    mf_compressor c;
    memfile_error e;
    fill_words(raw, sizeof raw, 4);
    mf_compressor_init(&c);
    assert_int_equal(mf_dictionary_new(&mf_mem_default, raw, sizeof raw, 3, &d), MEMFILE_OK);
    size_t n = mf_compress(&c, 3, d, raw + 700, sizeof out, frame, sizeof frame);
    assert_ptr_equal(mf_dictionary_hold(d), d);
    assert_ptr_equal(mf_dictionary_hold(d), d);
    mf_dictionary_free(d); /* the owner's */
    mf_dictionary_free(d);
    assert_int_equal(mf_decompress(&c, d, frame, n, out, sizeof out, 0, &e), MEMFILE_OK);
    assert_memory_equal(out, raw + 700, sizeof out);
    mf_dictionary_free(d);
    mf_compressor_free(&c);
}

/* What the last frame was made with must not stick to the next. */
static void level_and_dictionary_may_change_between_frames(void **state)
{
    (void)state;
    uint8_t raw[3000], text[600], frame[2000], first[2000], out[600];
    mf_dictionary *d, *e2;
    mf_compressor c, fresh;
    memfile_error e;
    fill_words(raw, sizeof raw, 4);
    fill_words(text, sizeof text, 14);
    mf_compressor_init(&c);
    assert_int_equal(mf_dictionary_new(&mf_mem_default, raw, 1500, 1, &d), MEMFILE_OK);
    assert_int_equal(mf_dictionary_new(&mf_mem_default, raw + 1500, 1500, 1, &e2), MEMFILE_OK);
    const mf_dictionary *const use[] = {NULL, d, NULL, e2, d, e2, NULL};
    static const int levels[] = {1, 1, 5, 1, 1, 1, 1};
    for (size_t i = 0; i < sizeof use / sizeof *use; i++) {
        mf_compressor_init(&fresh);
        size_t n = mf_compress(&c, levels[i], use[i], text, sizeof text, frame, sizeof frame);
        size_t m = mf_compress(&fresh, levels[i], use[i], text, sizeof text, first, sizeof first);
        assert_int_equal(n, m); /* SPEC 16.6: a function of the input */
        assert_memory_equal(frame, first, n);
        assert_int_equal(mf_decompress(&c, use[i], frame, n, out, sizeof out, 0, &e), MEMFILE_OK);
        assert_memory_equal(out, text, sizeof text);
        mf_compressor_free(&fresh);
    }
    mf_dictionary_free(d);
    mf_dictionary_free(e2);
    mf_compressor_free(&c);
}

/* Memory in which the next block of a size stands where the last of that size stood. */
typedef struct same_place {
    void *last;
    size_t size;
} same_place;

static void *same_place_again(void *context, void *block, size_t size)
{
    same_place *p = (same_place *)context;
    if (size == 0) {
        if (block != p->last)
            free(block);
        return NULL;
    }
    if (block || size != p->size)
        return realloc(block, size);
    return p->last ? p->last : (p->last = malloc(size));
}

static void another_dictionary_in_the_same_place_is_another(void **state)
{
    (void)state;
    uint8_t raw[3000], text[600], frame[2000], out[600];
    same_place place = {NULL, sizeof(mf_dictionary)};
    mf_mem mem = {same_place_again, &place};
    mf_dictionary *d, *other;
    mf_compressor c;
    memfile_error e;
    fill_words(raw, sizeof raw, 4);
    memcpy(text, raw + 1600, sizeof text);
    mf_compressor_init(&c);
    assert_int_equal(mf_dictionary_new(&mem, raw, 1500, 1, &d), MEMFILE_OK);
    assert_true(mf_compress(&c, 1, d, text, sizeof text, frame, sizeof frame) > 0);
    const void *stood_at = d;
    mf_dictionary_free(d);
    assert_int_equal(mf_dictionary_new(&mem, raw + 1500, 1500, 1, &other), MEMFILE_OK);
    assert_ptr_equal(other, stood_at);
    size_t n = mf_compress(&c, 1, other, text, sizeof text, frame, sizeof frame);
    assert_in_range(n, 1, sizeof text / 4); /* all of the text stands in it */
    assert_int_equal(mf_decompress(&c, other, frame, n, out, sizeof out, 0, &e), MEMFILE_OK);
    assert_memory_equal(out, text, sizeof text);
    mf_dictionary_free(other);
    mf_compressor_free(&c);
    free(place.last);
}

static void no_dictionary_is_trained_from_next_to_nothing(void **state)
{
    (void)state;
    uint8_t out[4096];
    size_t sizes[4] = {1, 1, 1, 1};
    assert_int_equal(mf_dictionary_train(out, sizeof out, "abcd", sizes, 4, false), 0);
    assert_int_equal(mf_dictionary_train(out, sizeof out, "", sizes, 0, false), 0);
    assert_int_equal(mf_dictionary_train(out, 8, "abcd", sizes, 4, true), 0);
}

static void a_trained_dictionary_keeps_to_its_room(void **state)
{
    (void)state;
    enum { COUNT = 600, EACH = 200 };
    static uint8_t samples[COUNT * EACH], out[8192 + 1];
    static size_t sizes[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        sizes[i] = fill_words(samples + i * EACH, EACH, i + 1);
    for (int thorough = 0; thorough < 2; thorough++)
        for (size_t room = 1024; room <= 8192; room *= 2) {
            out[room] = 0xa5;
            size_t n = mf_dictionary_train(out, room, samples, sizes, COUNT, thorough);
            assert_true(n > 0 && n <= room);
            assert_int_equal(out[room], 0xa5);
            mf_dictionary *d;
            assert_int_equal(mf_dictionary_new(&mf_mem_default, out, n, 1, &d), MEMFILE_OK);
            mf_dictionary_free(d);
        }
}

static void *refuse(void *context, void *block, size_t size)
{
    long *left = (long *)context;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return (*left)-- > 0 ? realloc(block, size) : NULL;
}

static void a_dictionary_without_memory_is_none(void **state)
{
    (void)state;
    for (long allowed = 0; allowed < 2; allowed++) {
        long left = allowed;
        mf_mem mem = {refuse, &left};
        mf_dictionary *d = (mf_dictionary *)&mem;
        assert_int_equal(mf_dictionary_new(&mem, "some bytes", 10, 1, &d), MEMFILE_E_MEMORY);
        assert_null(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_all_levels_and_lengths_come_back),
        cmocka_unit_test(a_window_of_8_mib_is_accepted_and_a_larger_one_is_not),
        cmocka_unit_test(a_window_is_at_least_as_long_as_the_content),
        cmocka_unit_test(one_more_or_less_byte_than_the_frame_has_is_damage),
        cmocka_unit_test(a_bomb_goes_no_further_than_its_room),
        cmocka_unit_test(a_frame_that_does_not_fit_is_not_made),
        cmocka_unit_test(a_failed_frame_leaves_the_compressor_usable),
        cmocka_unit_test(dictionary_ids_are_those_of_the_specification),
        cmocka_unit_test(a_dictionary_is_copied_and_needed),
        cmocka_unit_test(a_dictionary_that_is_held_outlives_its_owner),
        cmocka_unit_test(level_and_dictionary_may_change_between_frames),
        cmocka_unit_test(another_dictionary_in_the_same_place_is_another),
        cmocka_unit_test(no_dictionary_is_trained_from_next_to_nothing),
        cmocka_unit_test(a_trained_dictionary_keeps_to_its_room),
        cmocka_unit_test(a_dictionary_without_memory_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
