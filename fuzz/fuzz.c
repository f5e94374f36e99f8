/* fuzz: files, environment, failure, and the limit of memory. */
#include "fuzz.h"

#include <dirent.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "checksum.h"
#include "digest.h"
#include "format.h"

#define NAMES_MAX 16

static char folder[256];
static pid_t folder_owner;

void fuzz_fail(const char *file, int line, const char *condition, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "%s:%d: does not hold: %s\n  ", file, line, condition);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    abort();
}

void *fuzz_alloc(size_t size)
{
    void *p = malloc(size + 1);
    if (!p)
        abort();
    return p;
}

uint8_t *fuzz_copy(const void *data, size_t size)
{
    uint8_t *copy = (uint8_t *)malloc(size ? size : 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    return copy;
}

/* ---- verdicts */

fuzz_verdict_given fuzz_verdict_now;
static bool verdicts_wanted, verdicts_aloud;

void fuzz_verdict_begin(bool aloud)
{
    verdicts_wanted = true;
    verdicts_aloud = aloud;
    memset(&fuzz_verdict_now, 0, sizeof fuzz_verdict_now);
}

void fuzz_verdict_bytes(const void *data, size_t size)
{
    if (verdicts_wanted)
        fuzz_verdict_now.hash = mf_checksum_seeded(data, size, fuzz_verdict_now.hash);
}

void fuzz_verdict(const char *format, ...)
{
    char text[600];
    va_list arguments;
    if (!verdicts_wanted)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (verdicts_aloud)
        printf("    %s\n", text);
    size_t used = strlen(fuzz_verdict_now.words), room = sizeof fuzz_verdict_now.words - used;
    fuzz_verdict_bytes(text, strlen(text));
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            *c = '?';
    snprintf(fuzz_verdict_now.words + used, room, "%s%s", used ? "; " : "", text);
}

/* ---- input */

uint8_t fuzz_u8(fuzz_input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

uint32_t fuzz_u16(fuzz_input *in)
{
    uint32_t low = fuzz_u8(in);
    return low | (uint32_t)fuzz_u8(in) << 8;
}

mf_slice fuzz_bytes(fuzz_input *in, size_t most)
{
    size_t n = in->left < most ? in->left : most;
    mf_slice s = mf_slice_of(in->at, n);
    in->at += n;
    in->left -= n;
    return s;
}

/* ---- environment */

/* libsodium's own randomness too is the same in each run: sealed boxes. */
static uint64_t sodium_state = 1;

static uint64_t random_state = 1;
static int64_t clock_us = 1750000000000000;

static int64_t now_us(void *context)
{
    (void)context;
    return clock_us += 1000;
}

static void fill_random(void *context, void *out, size_t length)
{
    (void)context;
    for (size_t i = 0; i < length; i++) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        ((uint8_t *)out)[i] = (uint8_t)(random_state >> 32);
    }
}

const memfile_environment fuzz_environment = {now_us, fill_random, NULL};

void fuzz_environment_reset(uint64_t seed)
{
    sodium_state = seed;
    random_state = seed * 2654435761u + 88172645463325252u;
    clock_us = 1750000000000000;
}

/* ---- keys */

static uint32_t sodium_random(void)
{
    sodium_state = sodium_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(sodium_state >> 32);
}

static void sodium_fill(void *const out, const size_t length)
{
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)out)[i] = (uint8_t)sodium_random();
}

static const char *sodium_name(void)
{
    return "the same again";
}

static randombytes_implementation sodium_again = {sodium_name, sodium_random, NULL, NULL, sodium_fill, NULL};
static memfile_key *identity;
static char recipient[MEMFILE_PUBLIC_SIZE];

static void make_keys(void)
{
    randombytes_set_implementation(&sodium_again);
    if (!mf_digest_start() || memfile_key_generate(MEMFILE_RECIPIENT, &identity, NULL) != MEMFILE_OK)
        abort();
    memfile_key_public(identity, recipient);
}

const memfile_key *fuzz_identity(void)
{
    return identity;
}

const char *fuzz_recipient(void)
{
    return recipient;
}

memfile_unlock fuzz_unlock(const uint8_t *data, size_t size)
{
    return (memfile_unlock){NULL, 0, size >= MF_HEADER_LENGTH && data[14] == MF_SUITE_SEALED ? identity : NULL};
}

/* ---- files */

static void clean_up(void)
{
    DIR *d = getpid() == folder_owner ? opendir(folder) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL) {
        char path[sizeof folder + 256 + 1];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    if (d) {
        closedir(d);
        rmdir(folder);
    }
}

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");
    if (!base)
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/memfile-fuzz-XXXXXX", base);
    if (!mkdtemp(folder))
        fuzz_fail(__FILE__, __LINE__, "mkdtemp", "no folder %s can be made", folder);
    folder_owner = getpid();
    atexit(clean_up);
}

const char *fuzz_path(const char *name)
{
    static struct {
        const char *name;
        char path[sizeof folder + 32];
    } paths[NAMES_MAX];
    int i = 0;
    if (folder_owner != getpid()) { /* a fork server's child has one of its own */
        make_folder();
        memset(paths, 0, sizeof paths);
    }
    while (i < NAMES_MAX - 1 && paths[i].name && strcmp(paths[i].name, name) != 0)
        i++;
    paths[i].name = name;
    snprintf(paths[i].path, sizeof paths[i].path, "%s/%.30s", folder, name);
    return paths[i].path;
}

void fuzz_write(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        fuzz_fail(__FILE__, __LINE__, "fwrite", "%s cannot be written", path);
}

uint8_t *fuzz_read(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        fuzz_fail(__FILE__, __LINE__, "fopen", "%s cannot be read", path);
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = (uint8_t *)fuzz_alloc(*size);
    if (fread(bytes, 1, *size, f) != *size)
        fuzz_fail(__FILE__, __LINE__, "fread", "%s cannot be read", path);
    fclose(f);
    return bytes;
}

bool fuzz_exists(const char *path)
{
    struct stat s;
    return lstat(path, &s) == 0;
}

void fuzz_remove(const char *path)
{
    unlink(path);
}

/* ---- memory: 256 MiB at once are too much for any input under 64 KiB */

#ifdef FUZZ_MEMORY_HOOKS
#include <sanitizer/allocator_interface.h>

#define LIVE_MAX ((size_t)256 << 20)

static size_t live_bytes;

static void on_malloc(const volatile void *p, size_t size)
{
    (void)p;
    live_bytes += size;
    if (live_bytes > LIVE_MAX)
        fuzz_fail(__FILE__, __LINE__, "live_bytes <= LIVE_MAX", "%zu bytes are allocated at once, now %zu more",
                  live_bytes, size);
}

static void on_free(const volatile void *p)
{
    size_t size = p ? __sanitizer_get_allocated_size(p) : 0;
    live_bytes -= size < live_bytes ? size : live_bytes;
}
#endif

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
#ifdef FUZZ_MEMORY_HOOKS
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
#endif
    make_keys();
    return 0;
}
