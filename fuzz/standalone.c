/* standalone: runs a target without libFuzzer, as an ordinary test.
 *
 *     fuzz_x_replay [-mutants N] [-verdicts FILE | -record FILE | -print] FILE-OR-FOLDER...
 *
 * Every input is run as it is, then N mutants of it, always the same ones for that input. An
 * input that takes more than a second of processor time (ten with sanitizers) fails. The last
 * is kept in `fuzz-last-input` beside the test if the environment has FUZZ_KEEP.
 *
 * -verdicts compares what the library says of each input and of its mutants with FILE, a line
 * for each input: its name, the hash of its verdict, that of all its mutants' verdicts, and
 * the first words of its own. -record writes such a file; -print says all of each verdict. */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

#include "../tests/edge.h"
#include "checksum.h"

#define INPUT_MAX ((size_t)4 << 20)
#define MUTANT_MAX ((size_t)128 << 10)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SECONDS_MAX 10.0
#else
#define SECONDS_MAX 1.0
#endif

static uint64_t runs, inputs, changed;
static double slowest;
static uint64_t mutants;
static char *expected; /* the verdicts; NULL: not compared */
static FILE *record;
static bool print;

#ifdef FUZZ_FILE_TARGET
#define mutate LLVMFuzzerCustomMutator
#else
static size_t mutate(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    (void)seed;
    return LLVMFuzzerMutate(data, size, max_size);
}
#endif

static void run(const uint8_t *data, size_t size, const char *name, uint64_t mutant)
{
    if (getenv("FUZZ_KEEP"))
        fuzz_write("fuzz-last-input", data, size);
    uint8_t *exact = edge_copy(data, size);
    fuzz_verdict_begin(print);
    clock_t begin = clock();
    LLVMFuzzerTestOneInput(exact, size);
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    edge_free(exact, size);
    runs++;
    if (seconds > slowest)
        slowest = seconds;
    FUZZ_CHECK(seconds <= SECONDS_MAX, "%s, mutant %llu, takes %.1f seconds", name, (unsigned long long)mutant,
               seconds);
    if (print)
        printf("%s %llu: %016llx\n", name, (unsigned long long)mutant, (unsigned long long)fuzz_verdict_now.hash);
}

/* Folder and name, which is how a verdict's line begins. */
static const char *short_name(const char *path)
{
    const char *at = path + strlen(path);
    for (int slashes = 0; at > path; at--)
        if (at[-1] == '/' && ++slashes == 2)
            break;
    return at;
}

static void compare(const char *line, size_t name_length)
{
    const char *at = expected;
    while (at && *at) {
        const char *end = strchr(at, '\n');
        size_t n = end ? (size_t)(end - at) : strlen(at);
        if (strncmp(at, line, name_length) == 0) {
            if (strlen(line) == n && memcmp(at, line, n) == 0)
                return;
            printf("the verdict was      %.*s\n", (int)n, at);
            break;
        }
        at = end ? end + 1 : NULL;
    }
    printf("the verdict is%s %s\n", at && *at ? " now " : " new:", line);
    changed++;
}

static void judge(const char *path, const fuzz_verdict_given *own, uint64_t others)
{
    char line[1024];
    const char *name = short_name(path);
    snprintf(line, sizeof line, "%s %016llx %016llx %s", name, (unsigned long long)own->hash,
             (unsigned long long)others, own->words);
    if (record)
        fprintf(record, "%s\n", line);
    if (expected)
        compare(line, strlen(name) + 1);
}

static void replay_file(const char *path)
{
    uint8_t *mutant = (uint8_t *)fuzz_alloc(MUTANT_MAX);
    size_t size;
    uint8_t *bytes = fuzz_read(path, &size);
    FUZZ_CHECK(size <= INPUT_MAX, "%s is too large", path);
    inputs++;
    run(bytes, size, path, 0);
    fuzz_verdict_given own = fuzz_verdict_now;
    uint64_t others = 0;
    fuzz_random_seed = mf_checksum(bytes, size) | 1;
    for (uint64_t m = 1; m <= mutants && size <= MUTANT_MAX; m++) {
        memcpy(mutant, bytes, size);
        size_t n = mutate(mutant, size, MUTANT_MAX, (unsigned)fuzz_random());
        run(mutant, n, path, m);
        uint8_t hash[8];
        mf_store64(hash, fuzz_verdict_now.hash);
        others = mf_checksum_seeded(hash, sizeof hash, others);
    }
    judge(path, &own, others);
    free(bytes);
    free(mutant);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void replay(const char *path)
{
    struct stat s;
    struct dirent **names = NULL;
    FUZZ_CHECK(stat(path, &s) == 0, "%s is not there", path);
    if (!S_ISDIR(s.st_mode)) {
        replay_file(path);
        return;
    }
    int count = scandir(path, &names, NULL, by_name);
    FUZZ_CHECK(count >= 0, "%s cannot be read", path);
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            replay(name);
        free(names[i]);
    }
    free(names);
}

static void read_verdicts(const char *path)
{
    size_t size;
    expected = (char *)fuzz_read(path, &size); /* of size + 1 bytes */
    expected[size] = 0;
}

int main(int argc, char **argv)
{
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-mutants") == 0 && i + 1 < argc)
            mutants = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "-verdicts") == 0 && i + 1 < argc)
            read_verdicts(argv[++i]);
        else if (strcmp(argv[i], "-record") == 0 && i + 1 < argc)
            record = fopen(argv[++i], "w");
        else if (strcmp(argv[i], "-print") == 0)
            print = true;
        else
            replay(argv[i]);
    }
    if (record)
        fclose(record);
    printf("%llu runs of %llu inputs, slowest %.3f s\n", (unsigned long long)runs, (unsigned long long)inputs, slowest);
    if (changed)
        printf("%llu verdicts are not those of before; if they are to be so: README.md, Verdicts\n",
               (unsigned long long)changed);
    return inputs && !changed ? 0 : 1;
}
