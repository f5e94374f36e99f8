/* verify: what only it compares: the index with the entries. SPEC 15.5. */
#include "support.h"

#include "commit.h"
#include "digest.h"

static uint8_t *find_bytes(uint8_t *in, size_t length, const uint8_t *what, size_t n)
{
    for (size_t i = 0; i + n <= length; i++)
        if (memcmp(in + i, what, n) == 0)
            return in + i;
    return NULL;
}

/* SPEC 8.7: S of a commit with nothing before it in its group, from the S before. */
static void add_segment(mf_stored_chain *chain, const uint8_t *segment)
{
    uint8_t body[32];
    mf_digest(body, MF_LABEL_BYTES, segment + 64, mf_load32(segment + 8));
    mf_chain_segment(chain, segment, body);
}

typedef struct sample {
    uint8_t *bytes;
    size_t length;
    mf_segment segments[400];
    size_t count;
    uint8_t before[32]; /* S of the commit before the newest */
    size_t first;       /* of the newest group, in segments */
    uint8_t *prefix;    /* Stored_Prefix in the newest commit's footer */
} sample;

static void prefix_of(const sample *s, uint8_t out[32])
{
    mf_stored_chain chain;
    mf_chain_begin(&chain, s->before);
    for (size_t i = s->first; i + 1 < s->count; i++)
        add_segment(&chain, s->bytes + s->segments[i].offset);
    mf_chain_end(&chain, out);
}

/* Entries with all that has items, the last of them in a FULL commit behind an index run. */
static sample make(void)
{
    const char *path = temp_path("index");
    memfile *mf = create_file(path);
    sample s;
    char json[400];
    uint8_t prefix[32];
    for (int i = 0; i < 64; i++) {
        snprintf(json, sizeof json,
                 i % 8 ? "{\"id\":\"n%d\",\"text\":\"t\"}"
                       : "{\"id\":\"n%d\",\"text\":\"t\",\"kind\":\"k\",\"scope\":[\"a\",\"b\"],\"key\":\"key\",\"tags\":[\"x\"],"
                         "\"time\":\"2023-05-08T13:56:02Z\",\"idempotency_key\":\"i%d\"}",
                 i < 60 ? i : 7, i);
        assert_int_equal(put_json(mf, json, NULL), MEMFILE_OK);
        commit_ok(mf);
    }
    memfile_close(mf);
    s.bytes = read_file(path, &s.length);
    s.count = segments_of(s.bytes, s.length, s.segments, 400);
    uint8_t digest[32];
    s.first = 0;
    mf_stored_begin(digest, s.bytes);
    for (size_t i = 0; i + 1 < s.count; i++)
        if (s.segments[i].flags & MF_FLAG_COMMIT) {
            mf_stored_chain chain;
            assert_int_equal(s.first, i); /* inline commits, alone in their groups */
            mf_chain_begin(&chain, digest);
            add_segment(&chain, s.bytes + s.segments[i].offset);
            mf_chain_end(&chain, digest);
            s.first = i + 1;
        }
    memcpy(s.before, digest, 32);
    assert_true(s.first + 1 < s.count);
    for (size_t i = s.first; i + 1 < s.count; i++)
        assert_int_equal(s.segments[i].type, MF_TYPE_INDEX);
    prefix_of(&s, prefix);
    uint8_t *commit = s.bytes + s.segments[s.count - 1].offset;
    s.prefix = find_bytes(commit, s.length - s.segments[s.count - 1].offset, prefix, 32);
    assert_non_null(s.prefix);
    return s;
}

/* Makes all checksums and digests of the newest group right again. */
static void make_right(sample *s, size_t changed)
{
    reseal(s->bytes + s->segments[changed].offset);
    prefix_of(s, s->prefix);
    reseal(s->bytes + s->segments[s->count - 1].offset);
}

static int verify_bytes(const sample *s, memfile_verify_result *r, memfile_error *e)
{
    const char *path = temp_path("lies");
    write_file(path, s->bytes, s->length);
    return memfile_verify(path, NULL, r, e);
}

static void the_sample_is_sound_and_stays_so_when_its_sums_are_made_again(void **state)
{
    (void)state;
    sample s = make();
    memfile_verify_result r;
    memfile_error e;
    uint8_t *copy = (uint8_t *)malloc(s.length);
    memcpy(copy, s.bytes, s.length);
    assert_int_equal(verify_bytes(&s, &r, &e), MEMFILE_OK);
    assert_int_equal(r.entries, 64);
    make_right(&s, s.first);
    assert_memory_equal(copy, s.bytes, s.length);
    free(copy);
    free(s.bytes);
}

/* Any bit of a page: it does not decode, or its items are not those of the entries. */
static void an_index_that_lies_is_found_though_every_sum_is_right(void **state)
{
    (void)state;
    sample s = make();
    size_t passed = 0, tried = 0, decoded = 0;
    for (size_t p = s.first; p + 1 < s.count; p++) {
        uint8_t *page = s.bytes + s.segments[p].offset;
        mf_arena arena;
        mf_arena_init(&arena, &mf_mem_default);
        size_t head = 64 + (mf_load32(page + 8) - 1 >= 128 ? 2 : 1); /* behind Head_Length */
        for (size_t bit = head * 8; bit < (64 + mf_load32(page + 8)) * 8; bit += bit < (head + 3) * 8 ? 1 : 1 + bit % 5) {
            memfile_verify_result r;
            memfile_error e;
            mf_page parsed;
            page[bit / 8] ^= (uint8_t)(1 << bit % 8);
            make_right(&s, p);
            mf_arena_reset(&arena);
            decoded += mf_page_parse(&parsed, mf_slice_of(page + head, 64 + mf_load32(page + 8) - head), &arena) == 0;
            int rc = verify_bytes(&s, &r, &e);
            tried++;
            if (rc == MEMFILE_OK) {
                passed++;
                print_message("page %zu, byte %zu, bit %zu: not found\n", p - s.first, bit / 8 - head, bit % 8);
            }
            page[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        make_right(&s, p);
        mf_arena_free(&arena);
    }
    assert_true(tried > 200);
    assert_true(decoded > tried / 8); /* not only pages that are no pages */
    assert_int_equal(passed, 0);
    free(s.bytes);
}

typedef struct heard {
    size_t count;
    char message[160];
} heard;

static void hear(void *context, const memfile_finding *f)
{
    heard *h = (heard *)context;
    if (h->count++ == 0)
        snprintf(h->message, sizeof h->message, "%s", f->message);
}

/* What the vector's text says is what is found: one thing, and that. */
static void each_defect_of_a_vector_is_one_finding_that_names_it(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"bad-history-first-entry", "the folded commits do not begin with the entry that is due"},
        {"bad-index-child-key", "names another first item than its child has"},
        {"bad-index-run-total", "the footer names another length of an index run than its pages have"},
        {"bad-commit-order-falls", "the commit's order does not rise"},
        {"good-commit-no-entries", NULL},
        {"good-commit-no-parent", NULL},
        {"good-commit-merge", NULL},
        {"good-vector-count-differs", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        heard h = {0, ""};
        char path[512];
        memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
        snprintf(path, sizeof path, "%s%s.memfile", VECTORS, cases[i][0]);
        o.finding = hear;
        o.context = &h;
        assert_int_equal(memfile_verify(path, &o, NULL, NULL), cases[i][1] ? MEMFILE_E_DAMAGED : MEMFILE_OK);
        if (h.count != (cases[i][1] != NULL) || (cases[i][1] && !strstr(h.message, cases[i][1])))
            fail_msg("%s: %zu findings, the first: %s", cases[i][0], h.count, h.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_is_sound_and_stays_so_when_its_sums_are_made_again),
        cmocka_unit_test(an_index_that_lies_is_found_though_every_sum_is_right),
        cmocka_unit_test(each_defect_of_a_vector_is_one_finding_that_names_it),
    };
    return mf_digest_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
