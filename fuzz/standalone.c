/* standalone: runs a target without libFuzzer, as an ordinary test.
 *
 *     fuzz_x_replay [-mutants N] [-seed S] FILE-OR-FOLDER...
 *
 * Every input is run as it is, then N mutants of it, always the same ones. An input that
 * takes more than a second of processor time (ten with sanitizers) fails. The last input
 * is kept in `fuzz-last-input` beside the test if the environment has FUZZ_KEEP. */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

#define INPUT_MAX ((size_t)4 << 20)
#define MUTANT_MAX ((size_t)128 << 10)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SECONDS_MAX 10.0
#else
#define SECONDS_MAX 1.0
#endif

static uint64_t runs, inputs;
static double slowest;

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
    uint8_t *exact = fuzz_copy(data, size);
    clock_t begin = clock();
    LLVMFuzzerTestOneInput(exact, size);
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    free(exact);
    runs++;
    if (seconds > slowest)
        slowest = seconds;
    FUZZ_CHECK(seconds <= SECONDS_MAX, "%s, mutant %llu, takes %.1f seconds", name, (unsigned long long)mutant,
               seconds);
}

static void replay_file(const char *path, uint64_t mutants)
{
    uint8_t *mutant = (uint8_t *)fuzz_alloc(MUTANT_MAX);
    size_t size;
    uint8_t *bytes = fuzz_read(path, &size);
    FUZZ_CHECK(size <= INPUT_MAX, "%s is too large", path);
    inputs++;
    run(bytes, size, path, 0);
    for (uint64_t m = 1; m <= mutants && size <= MUTANT_MAX; m++) {
        memcpy(mutant, bytes, size);
        size_t n = mutate(mutant, size, MUTANT_MAX, (unsigned)fuzz_random());
        run(mutant, n, path, m);
    }
    free(bytes);
    free(mutant);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void replay(const char *path, uint64_t mutants)
{
    struct stat s;
    struct dirent **names = NULL;
    FUZZ_CHECK(stat(path, &s) == 0, "%s is not there", path);
    if (!S_ISDIR(s.st_mode)) {
        replay_file(path, mutants);
        return;
    }
    int count = scandir(path, &names, NULL, by_name);
    FUZZ_CHECK(count >= 0, "%s cannot be read", path);
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            replay(name, mutants);
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    uint64_t mutants = 0;
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-mutants") == 0 && i + 1 < argc)
            mutants = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "-seed") == 0 && i + 1 < argc)
            fuzz_random_seed = strtoull(argv[++i], NULL, 10) | 1;
        else
            replay(argv[i], mutants);
    }
    printf("%llu runs of %llu inputs, slowest %.3f s\n", (unsigned long long)runs, (unsigned long long)inputs, slowest);
    return inputs ? 0 : 1;
}
