/* make_workload: writes a memory that has everything in it that could differ between machines,
 * with a fixed clock and counted randomness: numbers of all sizes, vectors, non-integers, texts
 * beside their entry and far from it, dictionaries, superseded entries, index pages of many
 * commits, compaction by several threads. scripts/check-machines.sh compares the files.
 *   make_workload FOLDER      writes FOLDER/grown.memfile and FOLDER/compacted.memfile and
 *                             prints the history digest, which both have */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "memfile.h"

enum { COMMITS = 90, LONG_TEXT = 700000 };

static uint64_t state = 0x9e3779b97f4a7c15u; /* xorshift */

static uint32_t number(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 16) % below);
}

static int64_t now_us(void *context)
{
    return *(int64_t *)context += 1234567;
}

static void counted(void *context, void *out, size_t length)
{
    uint64_t *next = (uint64_t *)context + 1;
    for (size_t i = 0; i < length; i++) {
        *next = *next * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)out)[i] = (uint8_t)(*next >> 56);
    }
}

static size_t words(char *out, size_t room, uint32_t count)
{
    static const char *const word[] = {"commit",  "index",  "Übersicht", "was",   "written", "garden", "一致",  "release",
                                       "Tuesday", "agent",  "memory",    "0.125", "digest",  "again",  "because", "of"};
    size_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *w = word[number(16)];
        if (n + strlen(w) + 2 > room)
            break;
        n += (size_t)sprintf(out + n, "%s%s", i ? " " : "", w);
    }
    return n;
}

/* Errors of the setters are kept and come back from memfile_put. */
static int put_long(memfile *mf, memfile_draft *d, int c)
{
    static char text[LONG_TEXT];
    static uint8_t bytes[70001];
    memfile_draft_clear(d);
    memfile_draft_set(d, MEMFILE_KIND, "document", 8);
    if (c % 2) {
        memfile_draft_set(d, MEMFILE_TEXT, text, words(text, sizeof text, LONG_TEXT));
        return memfile_put(mf, d, NULL);
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)number(256);
    memfile_draft_set(d, MEMFILE_DATA, bytes, sizeof bytes);
    return memfile_put(mf, d, NULL);
}

static int put_short(memfile *mf, memfile_draft *d, int c, int i)
{
    static const char *const kind[] = {"message", "decision", "fact"}, *const scope[] = {"user", "garden", "agent"};
    char text[2000], name[64], json[200];
    float vector[5];
    memfile_draft_clear(d);
    if (i % 3 == 0) { /* a new version of an older memory */
        int n = snprintf(name, sizeof name, "m-%u", number(300));
        memfile_draft_set(d, MEMFILE_ID, name, (size_t)n);
    }
    memfile_draft_set(d, MEMFILE_KIND, kind[i % 3], strlen(kind[i % 3]));
    const char *in = scope[number(3)];
    memfile_draft_add_scope(d, in, strlen(in));
    memfile_draft_set(d, MEMFILE_TEXT, text, words(text, sizeof text, 1 + number(120)));
    int64_t seconds = 1600000000 + (int64_t)number(1u << 30);
    memfile_draft_set_time_ns(d, MEMFILE_TIME, seconds, i % 2 ? number(1000000000) : 0);
    if (i % 4 == 0) {
        int n = snprintf(name, sizeof name, "tag-%u", number(20));
        memfile_draft_add_tag(d, name, (size_t)n);
        n = snprintf(name, sizeof name, "m-%u", number(300));
        memfile_draft_add_link(d, "about", 5, name, (size_t)n);
    }
    if (i % 5 == 0) {
        for (int k = 0; k < 5; k++)
            vector[k] = ((float)number(1u << 20) - (float)(1u << 19)) / 1024;
        memfile_draft_set_embedding(d, "space", vector, 5);
        memfile_draft_set_confidence(d, number(1000) / 1000.0);
    }
    if (i % 6 == 0) {
        uint32_t r[5]; /* drawn one after the other: the order of arguments is the compiler's */
        for (int k = 0; k < 5; k++)
            r[k] = number(999);
        int n = snprintf(json, sizeof json, "{\"int\":-%u,\"large\":%u123456%03u,\"part\":%u.%03u5,\"list\":[true,null,\"x\",1e300]}",
                         r[0], r[1] + 1, r[2], r[3], r[4]);
        memfile_draft_set_json(d, "meta", json, (size_t)n);
    }
    if (i % 7 == 0) {
        int n = snprintf(name, sizeof name, "%d/%d", c, i);
        memfile_draft_set(d, MEMFILE_IDEMPOTENCY_KEY, name, (size_t)n);
    }
    return memfile_put(mf, d, NULL);
}

static int grow(const char *path, memfile_options *options, memfile_error *error)
{
    memfile *mf = NULL;
    memfile_draft *d = NULL;
    int rc = memfile_open(path, MEMFILE_CREATE, options, &mf, error);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_new(&d);
    for (int c = 0; c < COMMITS && rc == MEMFILE_OK; c++) {
        int entries = c % 30 == 29 ? 900 : 1 + c % 9;
        for (int i = 0; i < entries && rc == MEMFILE_OK; i++)
            rc = put_short(mf, d, c, i);
        if (c % 20 > 17 && rc == MEMFILE_OK)
            rc = put_long(mf, d, c);
        if (rc == MEMFILE_OK)
            rc = memfile_commit(mf, NULL);
    }
    if (rc != MEMFILE_OK && mf)
        *error = *memfile_last_error(mf);
    memfile_draft_free(d);
    memfile_close(mf);
    return rc;
}

int main(int argc, char **argv)
{
    struct { /* what now_us and counted take apart */
        int64_t clock;
        uint64_t random;
    } fixed = {1700000000000000, 1};
    memfile_environment environment = {now_us, counted, &fixed};
    memfile_options options = MEMFILE_OPTIONS_INIT;
    memfile_compact_options compact = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_compact_result result;
    memfile_error error;
    char grown[500], compacted[500];
    if (argc != 2)
        return 2;
    snprintf(grown, sizeof grown, "%s/grown.memfile", argv[1]);
    snprintf(compacted, sizeof compacted, "%s/compacted.memfile", argv[1]);
    unlink(grown);
    unlink(compacted);
    options.environment = compact.environment = &environment;
    options.threads = compact.threads = 3;
    options.author = "workload";
    compact.output = compacted;
    if (grow(grown, &options, &error) != MEMFILE_OK || memfile_compact(grown, &compact, &result, &error) != MEMFILE_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    for (size_t i = 0; i < sizeof result.history_digest; i++)
        printf("%02x", result.history_digest[i]);
    printf("\n");
    return 0;
}
