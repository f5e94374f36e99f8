/* faults: every allocation and every system call fails, once and for ever, at its n-th
 * call for n = 1, 2, … until the workload passes; SPEC 16. README.md tells what is promised.
 *
 *   test_faults                     all workloads; at later calls the errnos take turns
 *   test_faults --full              the whole product of workload, call, errno, once or ever, n
 *   test_faults --workload=NAME     only this one
 *   test_faults --case=W/C/E/MODE/N one fault again, e.g. put/sync/EIO/once/1
 *
 * After each fault: the class of error is one that this fault may have; there is a message;
 * the handle goes on, or is poisoned if a sync failed; nothing is leaked; the file, opened
 * anew, has what was acknowledged and not half a commit; verify accepts it; a commit works. */
#define _GNU_SOURCE
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "faults.h"
#include "handle.h"

/* ---- what each fault may look like from above */

enum {
    GOES_WELL = 1,
    SYSTEM = 2,
    UNCERTAIN = 4,
    BUSY = 8,
    NOT_FOUND = 16,
    CONFLICT = 32,
    MEMORY = 64,
    ANYTHING = 128, /* the call lied: only what is acknowledged counts */
    NOT_DONE = 0    /* this errno is not tried for ever */
};

typedef struct effect {
    fault_call call;
    fault_way way;
    int error;
    const char *name;
    unsigned once, ever;
} effect;

#define E(call, error, once, ever) {FAULT_##call, FAULT_FAILS, error, #error, once, ever}
#define W(call, way, error, once, ever) {FAULT_##call, FAULT_##way, error, #way, once, ever}

/* errnos: those of the Linux manual pages, with ESTALE and EIO of network and FUSE file
 * systems. EINTR for ever would be a system without progress; where a call is tried again
 * it comes once. */
static const effect effects[] = {
    E(MEMORY, ENOMEM, MEMORY | GOES_WELL, MEMORY | GOES_WELL),
    E(GUARDED, ENOMEM, MEMORY, MEMORY),
    E(ARGON, ENOMEM, MEMORY, MEMORY),
    E(THREAD, EAGAIN, GOES_WELL, GOES_WELL),
    E(THREAD, EPERM, GOES_WELL, GOES_WELL),

    E(REALPATH, EACCES, SYSTEM, SYSTEM),
    E(REALPATH, EIO, SYSTEM, SYSTEM),
    E(REALPATH, ELOOP, SYSTEM, SYSTEM),
    E(REALPATH, ENAMETOOLONG, SYSTEM, SYSTEM),
    E(REALPATH, ENOTDIR, SYSTEM, SYSTEM),
    E(REALPATH, ENOMEM, SYSTEM, SYSTEM),
    E(REALPATH, ENOENT, NOT_FOUND | GOES_WELL, NOT_FOUND | GOES_WELL),

    E(OPEN, EMFILE, SYSTEM, SYSTEM),
    E(OPEN, EACCES, GOES_WELL, SYSTEM),
    E(OPEN, ENFILE, SYSTEM, SYSTEM),
    E(OPEN, ENOMEM, SYSTEM, SYSTEM),
    E(OPEN, ENOTDIR, SYSTEM, SYSTEM),
    E(OPEN, ELOOP, SYSTEM, SYSTEM),
    E(OPEN, EIO, SYSTEM, SYSTEM),
    E(OPEN, ESTALE, SYSTEM, SYSTEM),
    E(OPEN, ENOENT, NOT_FOUND, NOT_FOUND),
    E(OPEN, EINTR, GOES_WELL, NOT_DONE),

    E(OPENAT, EMFILE, SYSTEM, SYSTEM),
    E(OPENAT, EACCES, SYSTEM, SYSTEM),
    E(OPENAT, EIO, SYSTEM, SYSTEM),
    E(OPENAT, ENFILE, SYSTEM, SYSTEM),
    E(OPENAT, ENOSPC, SYSTEM, SYSTEM),
    E(OPENAT, EDQUOT, SYSTEM, SYSTEM),
    E(OPENAT, EROFS, SYSTEM, SYSTEM),
    E(OPENAT, EPERM, SYSTEM, SYSTEM),
    E(OPENAT, ELOOP, SYSTEM, SYSTEM),
    E(OPENAT, ENOMEM, SYSTEM, SYSTEM),
    E(OPENAT, EOVERFLOW, SYSTEM, SYSTEM),
    E(OPENAT, ETXTBSY, SYSTEM, SYSTEM),
    E(OPENAT, ESTALE, SYSTEM, SYSTEM),
    E(OPENAT, EEXIST, SYSTEM | GOES_WELL, SYSTEM),
    E(OPENAT, ENOENT, NOT_FOUND | SYSTEM, NOT_FOUND | SYSTEM),
    E(OPENAT, EINTR, GOES_WELL, NOT_DONE),

    E(DUPLICATE, EMFILE, SYSTEM, SYSTEM),
    E(DUPLICATE, EINVAL, SYSTEM, SYSTEM),

    E(LOCK, ENOLCK, SYSTEM, SYSTEM),
    E(LOCK, EAGAIN, GOES_WELL, BUSY),
    E(LOCK, EACCES, GOES_WELL, BUSY),
    E(LOCK, EINVAL, SYSTEM, SYSTEM),
    E(LOCK, EOVERFLOW, SYSTEM, SYSTEM),
    E(LOCK, EIO, SYSTEM, SYSTEM),
    E(LOCK, EINTR, GOES_WELL, NOT_DONE),
    E(UNLOCK, EINTR, GOES_WELL, NOT_DONE),
    E(UNLOCK, EIO, GOES_WELL, GOES_WELL),
    E(UNLOCK, ENOLCK, GOES_WELL, GOES_WELL),

    E(FSTAT, EIO, SYSTEM, SYSTEM),
    E(FSTAT, ENOMEM, SYSTEM, SYSTEM),
    E(FSTAT, EOVERFLOW, SYSTEM, SYSTEM),
    E(FSTAT, ESTALE, SYSTEM, SYSTEM),
    E(FSTATAT, EIO, SYSTEM | GOES_WELL, SYSTEM | GOES_WELL),
    E(FSTATAT, EACCES, SYSTEM | GOES_WELL, SYSTEM | GOES_WELL),
    E(FSTATAT, ELOOP, SYSTEM | GOES_WELL, SYSTEM | GOES_WELL),
    E(FSTATAT, ENOMEM, SYSTEM | GOES_WELL, SYSTEM | GOES_WELL),
    E(FSTATAT, ENOENT, SYSTEM | GOES_WELL, SYSTEM | GOES_WELL),
    E(FSTATAT, ESTALE, SYSTEM | GOES_WELL, SYSTEM | GOES_WELL),

    E(READ, EIO, SYSTEM, SYSTEM),
    W(READ, SHORT_ONE, 0, GOES_WELL, NOT_DONE),
    W(READ, SHORT_HALF, 0, GOES_WELL, GOES_WELL),
    E(READ, EINTR, GOES_WELL, NOT_DONE),
    E(READ, EAGAIN, SYSTEM, SYSTEM),
    E(READ, EBADF, SYSTEM, SYSTEM),
    E(READ, EINVAL, SYSTEM, SYSTEM),
    E(READ, EISDIR, SYSTEM, SYSTEM),
    E(READ, ENXIO, SYSTEM, SYSTEM),
    E(READ, EOVERFLOW, SYSTEM, SYSTEM),
    E(READ, ESTALE, SYSTEM, SYSTEM),
    E(READ, ENOMEM, SYSTEM, SYSTEM),
    W(READ, NOTHING, 0, ANYTHING, ANYTHING),

    E(WRITE, ENOSPC, SYSTEM, SYSTEM),
    E(WRITE, EIO, SYSTEM, SYSTEM),
    W(WRITE, HALF_FAILS, ENOSPC, SYSTEM, SYSTEM),
    W(WRITE, SHORT_ONE, 0, GOES_WELL, NOT_DONE),
    W(WRITE, SHORT_HALF, 0, GOES_WELL, GOES_WELL),
    W(WRITE, NOTHING, EIO, SYSTEM, SYSTEM),
    E(WRITE, EINTR, GOES_WELL, NOT_DONE),
    E(WRITE, EDQUOT, SYSTEM, SYSTEM),
    E(WRITE, EFBIG, SYSTEM, SYSTEM),
    E(WRITE, EPERM, SYSTEM, SYSTEM),
    E(WRITE, EAGAIN, SYSTEM, SYSTEM),
    E(WRITE, EBADF, SYSTEM, SYSTEM),
    E(WRITE, EINVAL, SYSTEM, SYSTEM),
    E(WRITE, ESTALE, SYSTEM, SYSTEM),

    E(ALLOCATE, ENOSPC, SYSTEM, SYSTEM),
    E(ALLOCATE, EDQUOT, SYSTEM, SYSTEM),
    E(ALLOCATE, EFBIG, SYSTEM, SYSTEM),
    E(ALLOCATE, EOPNOTSUPP, GOES_WELL, GOES_WELL),
    E(ALLOCATE, ENOSYS, GOES_WELL, GOES_WELL),
    E(ALLOCATE, EINTR, GOES_WELL, GOES_WELL),
    E(ALLOCATE, EIO, GOES_WELL, GOES_WELL),
    E(ALLOCATE, EPERM, GOES_WELL, GOES_WELL),
    E(ALLOCATE, EINVAL, GOES_WELL, GOES_WELL),
    E(ALLOCATE, ENODEV, GOES_WELL, GOES_WELL),
    E(WRITE_BEHIND, EIO, GOES_WELL, GOES_WELL),
    E(WRITE_BEHIND, ENOSPC, GOES_WELL, GOES_WELL),
    E(WRITE_BEHIND, ENOSYS, GOES_WELL, GOES_WELL),

    /* SYSTEM: of a file that has no name yet, so that nothing is uncertain */
    E(SYNC, EIO, UNCERTAIN | SYSTEM, UNCERTAIN | SYSTEM),
    W(SYNC, LOSES, EIO, UNCERTAIN | SYSTEM, UNCERTAIN | SYSTEM),
    E(SYNC, ENOSPC, UNCERTAIN | SYSTEM, UNCERTAIN | SYSTEM),
    E(SYNC, EDQUOT, UNCERTAIN | SYSTEM, UNCERTAIN | SYSTEM),
    E(SYNC, EINTR, UNCERTAIN | SYSTEM, UNCERTAIN | SYSTEM), /* never repeated */
    E(SYNC, EROFS, UNCERTAIN | SYSTEM, UNCERTAIN | SYSTEM),
    E(SYNC, EINVAL, UNCERTAIN | SYSTEM, UNCERTAIN | SYSTEM),
    E(SYNC, ESTALE, UNCERTAIN | SYSTEM, UNCERTAIN | SYSTEM),
    E(SYNC_DIRECTORY, EIO, UNCERTAIN, UNCERTAIN),
    E(SYNC_DIRECTORY, ENOSPC, UNCERTAIN, UNCERTAIN),
    E(SYNC_DIRECTORY, EDQUOT, UNCERTAIN, UNCERTAIN),
    E(SYNC_DIRECTORY, EINTR, UNCERTAIN, UNCERTAIN),
    E(SYNC_DIRECTORY, EINVAL, GOES_WELL, GOES_WELL), /* directories that know no sync */
    E(SYNC_DIRECTORY, EBADF, GOES_WELL, GOES_WELL),

    E(CHOWN, EPERM, GOES_WELL, GOES_WELL),
    E(CHOWN, EIO, GOES_WELL, GOES_WELL),
    E(CHOWN, EROFS, GOES_WELL, GOES_WELL),
    E(CHMOD, EPERM, SYSTEM, SYSTEM),
    E(CHMOD, EIO, SYSTEM, SYSTEM),
    E(CHMOD, EROFS, SYSTEM, SYSTEM),

    E(RENAME, EACCES, SYSTEM, SYSTEM),
    E(RENAME, EBUSY, SYSTEM, SYSTEM),
    E(RENAME, EDQUOT, SYSTEM, SYSTEM),
    E(RENAME, EIO, SYSTEM, SYSTEM),
    E(RENAME, ENOSPC, SYSTEM, SYSTEM),
    E(RENAME, EPERM, SYSTEM, SYSTEM),
    E(RENAME, EROFS, SYSTEM, SYSTEM),
    E(RENAME, ENOENT, SYSTEM, SYSTEM),
    E(RENAME, ENOMEM, SYSTEM, SYSTEM),
    E(RENAME2, EINVAL, GOES_WELL, GOES_WELL),
    E(RENAME2, ENOSYS, GOES_WELL, GOES_WELL),
    E(RENAME2, EEXIST, CONFLICT, CONFLICT),
    E(RENAME2, EACCES, SYSTEM, SYSTEM),
    E(RENAME2, EDQUOT, SYSTEM, SYSTEM),
    E(RENAME2, EIO, SYSTEM, SYSTEM),
    E(RENAME2, ENOSPC, SYSTEM, SYSTEM),
    E(RENAME2, EPERM, SYSTEM, SYSTEM),
    E(RENAME2, EROFS, SYSTEM, SYSTEM),
    E(LINK, EEXIST, CONFLICT, CONFLICT),
    E(LINK, EPERM, SYSTEM, SYSTEM),
    E(LINK, EIO, SYSTEM, SYSTEM),
    E(LINK, ENOSPC, SYSTEM, SYSTEM),
    E(LINK, EDQUOT, SYSTEM, SYSTEM),
    E(LINK, EMLINK, SYSTEM, SYSTEM),
    E(LINK, EROFS, SYSTEM, SYSTEM),
    E(LINK, EOPNOTSUPP, SYSTEM, SYSTEM),
    E(UNLINK, EIO, GOES_WELL, GOES_WELL),
    E(UNLINK, EACCES, GOES_WELL, GOES_WELL),
    E(UNLINK, EBUSY, GOES_WELL, GOES_WELL),
    E(UNLINK, EROFS, GOES_WELL, GOES_WELL),

    E(CLOSE, EIO, GOES_WELL, GOES_WELL),
    E(CLOSE, EINTR, GOES_WELL, GOES_WELL),
    E(CLOSE, ENOSPC, GOES_WELL, GOES_WELL),
    E(CLOSE, EDQUOT, GOES_WELL, GOES_WELL),
};
#define EFFECTS (sizeof effects / sizeof *effects)

static unsigned outcome_of(int rc)
{
    switch (rc) {
    case MEMFILE_OK: return GOES_WELL;
    case MEMFILE_E_SYSTEM: return SYSTEM;
    case MEMFILE_E_UNCERTAIN: return UNCERTAIN;
    case MEMFILE_E_BUSY: return BUSY;
    case MEMFILE_E_NOT_FOUND: return NOT_FOUND;
    case MEMFILE_E_CONFLICT: return CONFLICT;
    case MEMFILE_E_MEMORY: return MEMORY;
    default: return 0;
    }
}

/* ---- a workload and its world */

typedef enum base_kind {
    NO_FILE,
    SMALL,     /* three small commits */
    RICH,      /* 400 entries in blocks, a tail of small commits, a content of 2 chunks */
    COMPACTED, /* the same with folded history and a dictionary, and commits behind them */
    FOLDED,    /* folded history again, of few entries without a dictionary */
    MERGING,   /* the next commit makes the eighth run of its level */
    TORN,      /* SMALL and half an append */
    DAMAGED,   /* RICH with a block that is changed, a place where bytes are cut out, damaged footers */
    UNINDEXED, /* RICH with damaged index pages and an unfinished end */
    UNFOOTED,  /* the same with a damaged footer: nothing is known but by looking */
    LONG,      /* commits further back than what is read when opening */
    FORGOTTEN, /* FOLDED with entries that are forgotten and not yet erased */
    SEALED_SMALL, /* the same for a recipient, with a new key between the commits */
    SEALED_RICH,
    SEALED_FOLDED,
    SEALED_DAMAGED, /* SEALED_RICH without a header, with a block and the newest key slots changed */
    SEALED_FORGOTTEN,
    LOCKED_SMALL,   /* SMALL for a passphrase */
    BASES
} base_kind;

typedef struct world {
    const char *path, *other; /* the file, and another one that may come to be */
    memfile *mf;
    memfile_error error; /* of the call that failed first */
    const char *step;    /* its name */
    uint64_t next;       /* number of the next entry */
    uint64_t committed;  /* entries that were acknowledged */
    uint64_t possible;   /* entries when the commit of which nobody knows was done; 0: none */
    bool exists;         /* path has a memory; else it may, an empty one */
    bool other_exists;   /* so must `other` */
    bool poisoned;
    bool writer;
    char wrong[300]; /* a call said OK and gave something else */
} world;

typedef struct workload {
    const char *name;
    int (*run)(world *w);
    base_kind base;
    unsigned flags;
} workload;

enum {
    READS_ONLY = 1,      /* the file must stay as it is */
    NO_RENAME2 = 2,      /* on a file system without renameat2 */
    REPLACES = 4,        /* compaction in place */
    MAKES_OTHER = 8,     /* writes `other` */
    BROKEN = 16,         /* the file is damaged; who looks at it afterwards sees that */
    LOW_DESCRIPTORS = 32, /* 0 is free */
    SLOW = 64,           /* fewer turns but with --full */
    FOR_RECIPIENT = 128, /* sealed */
    FOR_PASSPHRASE = 256
};

static const char *current_case(void);
static bool lock_is_kept(void);
static long failures, injections;

__attribute__((format(printf, 1, 2)))
static void bad(const char *format, ...)
{
    va_list arguments;
    if (++failures > 60)
        return;
    printf("FAIL %s: ", current_case());
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
}

__attribute__((format(printf, 2, 3)))
static void wrong(world *w, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!w->wrong[0])
        vsnprintf(w->wrong, sizeof w->wrong, format, arguments);
    va_end(arguments);
}

/* Keeps the error of the handle when a call failed. */
static int note(world *w, const char *step, int rc)
{
    if (rc < 0) {
        w->step = step;
        if (w->mf)
            w->error = *memfile_last_error(w->mf);
        if (rc == MEMFILE_E_UNCERTAIN)
            w->poisoned = true;
    }
    return rc;
}

#define TRY(w, call)                          \
    do {                                      \
        int try_rc = note((w), #call, (call)); \
        if (try_rc < 0)                       \
            return try_rc;                    \
    } while (0)

/* ---- entries that tell what they should be: id "n<number>-<length of the content>" */

static char content_byte(uint64_t number, size_t at)
{
    uint32_t x = (uint32_t)(number * 977 + at) * 2654435761u;
    x = (x ^ x >> 15) * 2246822519u;
    return (char)('a' + (x >> 28)); /* which compresses to half */
}

static void fill_content(char *out, uint64_t number, size_t from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] = content_byte(number, from + i);
}

static int set_id(memfile_draft *d, uint64_t number, size_t length)
{
    char id[64];
    int n = snprintf(id, sizeof id, "n%llu-%zu", (unsigned long long)number, length);
    return memfile_draft_set(d, MEMFILE_ID, id, (size_t)n);
}

/* The filters of the list workloads find these. */
static int describe(memfile_draft *d, uint64_t number)
{
    char name[32];
    snprintf(name, sizeof name, "k%llu", (unsigned long long)(number % 3));
    int rc = memfile_draft_set(d, MEMFILE_KIND, name, strlen(name));
    snprintf(name, sizeof name, "s%llu", (unsigned long long)(number % 5));
    if (rc == MEMFILE_OK)
        rc = memfile_draft_add_scope(d, name, strlen(name));
    snprintf(name, sizeof name, "t%llu", (unsigned long long)(number % 50));
    if (rc == MEMFILE_OK)
        rc = memfile_draft_add_tag(d, name, strlen(name));
    return rc == MEMFILE_OK ? memfile_draft_set_time_ns(d, MEMFILE_TIME, 1700000000 + (int64_t)number * 60, 0) : rc;
}

static int put_length(world *w, size_t length)
{
    static char text[70000];
    memfile_draft *d;
    fill_content(text, w->next, 0, length);
    int rc = memfile_draft_new(&d);
    if (rc == MEMFILE_OK)
        rc = set_id(d, w->next, length);
    if (rc == MEMFILE_OK)
        rc = describe(d, w->next);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_set(d, MEMFILE_TEXT, text, length);
    if (rc == MEMFILE_OK) {
        memfile_put_result r;
        rc = note(w, "memfile_put", memfile_put(w->mf, d, &r));
        if (rc == MEMFILE_OK && r.entry != w->next)
            wrong(w, "put gave number %llu instead of %llu", (unsigned long long)r.entry, (unsigned long long)w->next);
        w->next += rc == MEMFILE_OK;
    } else if (rc == MEMFILE_E_MEMORY) {
        /* kept: the put says it too */
        if (d && memfile_put(w->mf, d, NULL) != MEMFILE_E_MEMORY)
            wrong(w, "a draft that ran out of memory was put");
        snprintf(w->error.message, sizeof w->error.message, "a setter of a draft said it");
        w->error.code = rc;
        w->step = "draft";
    }
    memfile_draft_free(d);
    return rc;
}

static int put_many(world *w, unsigned count, size_t length)
{
    int rc = MEMFILE_OK;
    for (unsigned i = 0; i < count && rc == MEMFILE_OK; i++)
        rc = put_length(w, length + i % 7);
    return rc;
}

static int commit(world *w)
{
    memfile_commit_result r;
    int rc = note(w, "memfile_commit", memfile_commit(w->mf, &r));
    if (rc == MEMFILE_DONE && w->next != w->committed)
        wrong(w, "a batch of %llu entries was not committed", (unsigned long long)(w->next - w->committed));
    if (rc == MEMFILE_OK) {
        w->committed = w->next;
        if (r.entries != w->committed)
            wrong(w, "commit tells of %llu entries, not %llu", (unsigned long long)r.entries,
                  (unsigned long long)w->committed);
    } else if (rc == MEMFILE_E_UNCERTAIN) {
        w->possible = w->next;
    } else if (rc < 0 && (r.number || r.entries)) {
        wrong(w, "a commit that failed gave numbers");
    }
    return rc;
}

static memfile_key *signer; /* of all that is written */
static memfile_key *identity;
static unsigned sealing; /* FOR_ somebody, or 0 */

static memfile_unlock unlock(void)
{
    return (memfile_unlock){sealing & FOR_PASSPHRASE ? "open" : NULL, sealing & FOR_PASSPHRASE ? 4 : 0,
                            sealing & FOR_RECIPIENT ? identity : NULL};
}

static memfile_seal_for seal_for(void)
{
    static char public[MEMFILE_PUBLIC_SIZE];
    static const char *const recipients[] = {public};
    memfile_seal_for s = {NULL, 0, 1, 8, NULL, 0, 0};
    memfile_key_public(identity, public);
    if (sealing & FOR_PASSPHRASE) {
        s.passphrase = "open";
        s.passphrase_length = 4;
    } else if (sealing & FOR_RECIPIENT) {
        s.recipients = recipients;
        s.recipient_count = 1;
    } else {
        memset(&s, 0, sizeof s);
    }
    return s;
}

static int verify_now(const char *path, int quick)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result r;
    o.unlock = unlock();
    o.quick = quick;
    return memfile_verify(path, &o, &r, NULL);
}

static int open_as(world *w, memfile_mode mode, unsigned threads, memfile_strictness strictness)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    o.threads = threads;
    o.lock_timeout_ms = 3;
    o.author = "Ann";
    o.signer = signer;
    o.strictness = strictness;
    o.unlock = unlock();
    if (mode == MEMFILE_CREATE)
        o.seal_for = seal_for();
    int rc = memfile_open(w->path, mode, &o, &w->mf, &w->error);
    if (rc != MEMFILE_OK) {
        w->step = "memfile_open";
        if (w->mf)
            wrong(w, "open failed and gave a handle");
        w->mf = NULL;
    }
    w->writer = mode != MEMFILE_READ;
    return rc;
}

static int open_world(world *w, memfile_mode mode)
{
    return open_as(w, mode, 1, MEMFILE_TOLERATE_TORN);
}

/* ---- what is in a file, without faults */

#define WHY 700

static bool check_entry(memfile *mf, const memfile_entry *e, uint64_t number, char why[WHY])
{
    char id[256], piece[20000];
    unsigned long long n = 0;
    size_t length = 0, at = 0, got = 1;
    memfile_content *c;
    memfile_entry_id(e, id);
    if (sscanf(id, "n%llu-%zu", &n, &length) != 2 || n != number || memfile_entry_number(e) != number) {
        snprintf(why, WHY, "entry %llu has the id %s", (unsigned long long)number, id);
        return false;
    }
    if (memfile_content_open(mf, e, &c) != MEMFILE_OK) {
        snprintf(why, WHY, "content of entry %llu: %s", n, memfile_last_error(mf)->message);
        return false;
    }
    bool same = true;
    while (same && got > 0) {
        same = memfile_content_read(c, piece, sizeof piece, &got) == MEMFILE_OK && at + got <= length;
        for (size_t i = 0; same && i < got; i++)
            same = piece[i] == content_byte(n, at + i);
        at += got;
    }
    memfile_content_close(c);
    if (!same || at != length)
        snprintf(why, WHY, "entry %llu has another content", n);
    return same && at == length;
}

/* What a case makes to be forgotten, from the commit on that brings entry `by`; by 0: nothing. */
#define GONE_FROM 2u
#define GONE_END 6u
static uint64_t gone_by;

/* Looks at some entries thoroughly, at the numbers of all; fewer is faster. */
static bool check_entries(memfile *mf, uint64_t count, char why[WHY])
{
    memfile_info info;
    if (memfile_get_info(mf, &info, sizeof info) != MEMFILE_OK) {
        snprintf(why, WHY, "info: %s", memfile_last_error(mf)->message);
        return false;
    }
    if (info.entries != count) {
        snprintf(why, WHY, "%llu entries instead of %llu", (unsigned long long)info.entries, (unsigned long long)count);
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        const memfile_entry *e;
        if (i > 4 && i + 40 < count && i % 97)
            continue;
        int rc = memfile_get_entry(mf, i, &e);
        if (gone_by > 0 && count > gone_by && i >= GONE_FROM && i < GONE_END) {
            if (rc == MEMFILE_E_NOT_FOUND)
                continue;
            snprintf(why, WHY, "entry %llu is forgotten and was given: %s", (unsigned long long)i, memfile_strerror(rc));
            return false;
        }
        if (rc != MEMFILE_OK) {
            snprintf(why, WHY, "entry %llu: %s", (unsigned long long)i, memfile_last_error(mf)->message);
            return false;
        }
        if ((gone_by == 0 || i != gone_by) && !check_entry(mf, e, i, why))
            return false;
    }
    return true;
}

/* ---- workloads that write */

static int do_open_read(world *w)
{
    return open_world(w, MEMFILE_READ);
}

static int do_open_write(world *w)
{
    return open_world(w, MEMFILE_WRITE);
}

static int do_create(world *w)
{
    int rc = open_world(w, MEMFILE_CREATE);
    w->exists = rc == MEMFILE_OK || rc == MEMFILE_E_UNCERTAIN;
    if (rc == MEMFILE_OK)
        rc = put_length(w, 100);
    return rc == MEMFILE_OK ? commit(w) : rc;
}

static int do_put(world *w)
{
    int rc = open_world(w, MEMFILE_WRITE);
    if (rc == MEMFILE_OK)
        rc = put_many(w, 2, 60);
    if (rc == MEMFILE_OK)
        rc = commit(w);
    if (rc == MEMFILE_OK) /* the second one knows the chain */
        rc = put_length(w, 3000);
    return rc == MEMFILE_OK ? commit(w) : rc;
}

static int batch(world *w, unsigned threads)
{
    int rc = open_as(w, MEMFILE_WRITE, threads, MEMFILE_TOLERATE_TORN);
    if (rc == MEMFILE_OK)
        rc = put_many(w, 160, 900);
    return rc == MEMFILE_OK ? commit(w) : rc;
}

static int do_batch(world *w)
{
    return batch(w, 1);
}

static int do_batch_threads(world *w)
{
    return batch(w, 3);
}

static int put_stream(world *w, size_t length)
{
    memfile_draft *d;
    char piece[50000];
    int rc = memfile_draft_new(&d);
    if (rc == MEMFILE_OK)
        rc = set_id(d, w->next, length);
    if (rc != MEMFILE_OK) {
        snprintf(w->error.message, sizeof w->error.message, "a setter of a draft said it");
        w->error.code = rc;
        w->step = "draft";
    } else {
        rc = note(w, "memfile_put_begin", memfile_put_begin(w->mf, d, 1));
    }
    for (size_t at = 0; at < length && rc == MEMFILE_OK; at += sizeof piece) {
        size_t n = length - at < sizeof piece ? length - at : sizeof piece;
        fill_content(piece, w->next, at, n);
        rc = note(w, "memfile_put_write", memfile_put_write(w->mf, piece, n));
    }
    if (rc == MEMFILE_OK)
        rc = note(w, "memfile_put_end", memfile_put_end(w->mf, NULL));
    w->next += rc == MEMFILE_OK;
    if (rc < 0 && w->mf)
        memfile_rollback(w->mf); /* before the draft goes */
    memfile_draft_free(d);
    return rc;
}

static int do_stream(world *w)
{
    int rc = open_world(w, MEMFILE_WRITE);
    if (rc == MEMFILE_OK)
        rc = put_stream(w, 300000);
    if (rc == MEMFILE_OK)
        rc = put_stream(w, 10); /* short: it becomes inline */
    if (rc == MEMFILE_OK)
        rc = put_length(w, 40000); /* detached without a stream */
    return rc == MEMFILE_OK ? commit(w) : rc;
}

/* A content that the file has already is found, not written. */
static int do_same_content(world *w)
{
    int rc = open_world(w, MEMFILE_WRITE);
    if (rc == MEMFILE_OK)
        rc = put_length(w, 40000);
    if (rc == MEMFILE_OK)
        rc = commit(w);
    if (rc == MEMFILE_OK)
        rc = put_length(w, 40000);
    return rc == MEMFILE_OK ? commit(w) : rc;
}

/* Of an open file, as a commit of its own. */
static int forget(world *w)
{
    char text[GONE_END][256];
    const char *ids[GONE_END];
    memfile_selection s = MEMFILE_SELECTION_INIT;
    memfile_forget_options o = MEMFILE_FORGET_OPTIONS_INIT;
    memfile_forget_result r;
    const memfile_entry *e;
    for (unsigned i = GONE_FROM; i < GONE_END; i++) {
        TRY(w, memfile_get_entry(w->mf, i, &e));
        memfile_entry_id(e, text[i]);
        ids[s.id_count++] = text[i];
    }
    s.ids = ids;
    o.reason = "they asked for it";
    TRY(w, memfile_forget(w->mf, &s, &o, &r));
    if (r.memories != GONE_END - GONE_FROM || r.entries != r.memories || r.made != 1)
        wrong(w, "forget tells of %llu memories, %llu entries, made %llu", (unsigned long long)r.memories,
              (unsigned long long)r.entries, (unsigned long long)r.made);
    gone_by = w->next++;
    return commit(w);
}

static int do_forget(world *w)
{
    int rc = open_world(w, MEMFILE_WRITE);
    return rc == MEMFILE_OK ? forget(w) : rc;
}

static int do_rollback(world *w)
{
    int rc = open_world(w, MEMFILE_WRITE);
    if (rc == MEMFILE_OK)
        rc = put_many(w, 40, 900);
    if (rc != MEMFILE_OK)
        return rc;
    memfile_rollback(w->mf);
    w->next = w->committed;
    TRY(w, memfile_refresh(w->mf));
    rc = put_length(w, 10);
    return rc == MEMFILE_OK ? commit(w) : rc;
}

/* `at_once`: in one batch, which writes its index after each put. */
static int conditions(world *w, bool at_once)
{
    memfile_draft *d;
    memfile_put_result r;
    int rc = open_world(w, MEMFILE_WRITE);
    if (rc != MEMFILE_OK)
        return rc;
    if (at_once)
        w->mf->settings.spill_items = 1;
    if (memfile_draft_new(&d) != MEMFILE_OK) {
        snprintf(w->error.message, sizeof w->error.message, "memfile_draft_new said it");
        w->error.code = MEMFILE_E_MEMORY;
        return MEMFILE_E_MEMORY;
    }
    for (int i = 0; i < 3 && rc == MEMFILE_OK; i++) {
        char text[64];
        memfile_draft_clear(d);
        set_id(d, w->next, 30);
        fill_content(text, w->next, 0, 30);
        memfile_draft_set(d, MEMFILE_TEXT, text, 30);
        memfile_draft_set(d, MEMFILE_IDEMPOTENCY_KEY, i == 1 ? "one" : "two", 3);
        if (i < 2) {
            rc = note(w, "memfile_put_if", memfile_put_if(w->mf, d, MEMFILE_NEWEST, &r));
            w->next += rc == MEMFILE_OK;
        } else {
            rc = note(w, "memfile_put", memfile_put(w->mf, d, &r)); /* "two" is there */
            if (rc == MEMFILE_OK && !r.existed)
                wrong(w, "an idempotency key was put twice");
        }
        if (rc == MEMFILE_OK && (!at_once || i == 2))
            rc = commit(w);
        if (rc == MEMFILE_DONE)
            rc = MEMFILE_OK;
    }
    memfile_draft_free(d);
    return rc;
}

static int do_conditions(world *w)
{
    return conditions(w, false);
}

static int do_conditions_spilled(world *w)
{
    return conditions(w, true);
}

static int do_torn(world *w)
{
    return do_put(w);
}

static int do_merge(world *w)
{
    int rc = open_world(w, MEMFILE_WRITE);
    if (rc == MEMFILE_OK)
        rc = put_many(w, 2, 50);
    return rc == MEMFILE_OK ? commit(w) : rc;
}

/* Others append to the file and then compact it under a handle. */
static bool somebody_appends(world *w)
{
    faults_pause();
    world other = {.path = w->path, .next = w->committed, .committed = w->committed};
    bool done = open_world(&other, MEMFILE_WRITE) == MEMFILE_OK && put_length(&other, 77) == MEMFILE_OK &&
                commit(&other) == MEMFILE_OK;
    memfile_close(other.mf);
    w->next = w->committed = other.committed;
    faults_go_on();
    return done;
}

static bool somebody_compacts(world *w)
{
    faults_pause();
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    o.compression_level = 1;
    o.unlock = unlock();
    bool done = memfile_compact(w->path, &o, NULL, &w->error) == MEMFILE_OK;
    faults_go_on();
    return done;
}

static int get_newest(world *w)
{
    const memfile_entry *e;
    int rc = note(w, "memfile_get_entry", memfile_get_entry(w->mf, w->committed - 1, &e));
    if (rc != MEMFILE_OK)
        return rc;
    char id[256];
    unsigned long long n;
    memfile_entry_id(e, id);
    if (sscanf(id, "n%llu-", &n) != 1 || n != w->committed - 1)
        wrong(w, "entry %llu has the id %s", (unsigned long long)w->committed - 1, id);
    return rc;
}

static int do_refresh(world *w)
{
    int rc = open_world(w, MEMFILE_READ);
    if (rc != MEMFILE_OK)
        return rc;
    TRY(w, memfile_refresh(w->mf));
    if (!somebody_appends(w))
        wrong(w, "somebody else could not append");
    TRY(w, memfile_refresh(w->mf));
    rc = get_newest(w);
    if (rc != MEMFILE_OK)
        return rc;
    if (!somebody_appends(w) || !somebody_compacts(w))
        wrong(w, "somebody else could not compact");
    TRY(w, memfile_refresh(w->mf));
    return get_newest(w);
}

static int do_follow(world *w)
{
    int rc = open_world(w, MEMFILE_WRITE);
    if (rc == MEMFILE_OK)
        rc = put_length(w, 5);
    if (rc == MEMFILE_OK)
        rc = commit(w);
    if (rc != MEMFILE_OK)
        return rc;
    if (!somebody_appends(w) || !somebody_compacts(w)) {
        if (lock_is_kept())
            return MEMFILE_OK;
        wrong(w, "somebody else could not compact");
    }
    rc = put_length(w, 6);
    return rc == MEMFILE_OK ? commit(w) : rc;
}

/* What others appended is read before anything is written behind it. */
static int do_behind(world *w)
{
    int rc = open_world(w, MEMFILE_WRITE);
    if (rc == MEMFILE_OK)
        rc = put_length(w, 5);
    if (rc == MEMFILE_OK)
        rc = commit(w);
    if (rc != MEMFILE_OK)
        return rc;
    if (!somebody_appends(w)) {
        if (lock_is_kept())
            return MEMFILE_OK;
        wrong(w, "somebody else could not append");
    }
    rc = put_length(w, 6);
    return rc == MEMFILE_OK ? commit(w) : rc;
}

static int do_salvage(world *w)
{
    int rc = open_as(w, MEMFILE_WRITE, 1, MEMFILE_SALVAGE);
    if (rc == MEMFILE_OK)
        rc = put_length(w, 60);
    return rc == MEMFILE_OK ? commit(w) : rc;
}

static int do_low_descriptors(world *w)
{
    int rc = open_world(w, MEMFILE_WRITE);
    if (rc == MEMFILE_OK)
        rc = put_length(w, 60);
    return rc == MEMFILE_OK ? commit(w) : rc;
}

/* ---- workloads that read */

static int read_content(world *w, const memfile_entry *e, uint64_t number, size_t length)
{
    memfile_content *c;
    char piece[65536];
    size_t at = 0, got = 1;
    TRY(w, memfile_content_open(w->mf, e, &c));
    int rc = MEMFILE_OK;
    while (rc == MEMFILE_OK && got > 0) {
        rc = note(w, "memfile_content_read", memfile_content_read(c, piece, sizeof piece, &got));
        for (size_t i = 0; rc == MEMFILE_OK && i < got; i++)
            if (piece[i] != content_byte(number, at + i)) {
                wrong(w, "another byte at %zu of the content", at + i);
                break;
            }
        at += rc == MEMFILE_OK ? got : 0;
    }
    memfile_content_close(c);
    if (rc == MEMFILE_OK && at != length)
        wrong(w, "a content of %zu bytes instead of %zu", at, length);
    return rc;
}

#define BIG_NUMBER 350u
#define BIG_LENGTH 300000u

static int do_get(world *w)
{
    const memfile_entry *e;
    const char *json;
    size_t length;
    char id[64];
    int rc = open_world(w, MEMFILE_READ);
    if (rc != MEMFILE_OK)
        return rc;
    for (uint64_t n = 3; n < w->committed; n += 79) {
        snprintf(id, sizeof id, "n%llu-%llu", (unsigned long long)n, (unsigned long long)(400 + n % 7));
        TRY(w, memfile_get(w->mf, id, strlen(id), MEMFILE_NEWEST, &e));
        if (memfile_entry_number(e) != n)
            wrong(w, "get %s gave entry %llu", id, (unsigned long long)memfile_entry_number(e));
        TRY(w, memfile_entry_json(w->mf, e, 0, &json, &length));
        if (length < 400)
            wrong(w, "JSON of %zu bytes", length);
    }
    rc = note(w, "memfile_get", memfile_get(w->mf, "none", 4, MEMFILE_NEWEST, &e));
    if (rc != MEMFILE_E_NOT_FOUND)
        return rc == MEMFILE_OK ? (wrong(w, "an id that is nowhere was found"), rc) : rc;
    TRY(w, memfile_get(w->mf, "n3-403", 6, 1, &e));
    rc = note(w, "memfile_get", memfile_get(w->mf, "n3-403", 6, 0, &e));
    if (rc != MEMFILE_E_NOT_FOUND)
        return rc == MEMFILE_OK ? (wrong(w, "an entry before its commit"), rc) : rc;
    TRY(w, memfile_get_entry(w->mf, BIG_NUMBER, &e));
    rc = read_content(w, e, BIG_NUMBER, BIG_LENGTH);
    if (rc != MEMFILE_OK)
        return rc;
    TRY(w, memfile_get_entry(w->mf, BIG_NUMBER, &e));
    TRY(w, memfile_entry_json(w->mf, e, BIG_LENGTH, &json, &length));
    if (length < BIG_LENGTH)
        wrong(w, "JSON of %zu bytes", length);
    return MEMFILE_OK;
}

static int do_prove(world *w)
{
    const char *text;
    size_t length;
    memfile_proof *proof;
    memfile_proof_info info;
    int rc = open_world(w, MEMFILE_READ);
    if (rc != MEMFILE_OK)
        return rc;
    rc = note(w, "memfile_prove", memfile_prove(w->mf, "n3-403", 6, MEMFILE_NEWEST, &text, &length));
    if (rc != MEMFILE_OK) {
        if (text || length)
            wrong(w, "a proof that failed gave a text");
        return rc;
    }
    w->step = "memfile_proof_check";
    rc = memfile_proof_check(text, length, &proof, &w->error);
    if (rc != MEMFILE_OK) {
        if (proof)
            wrong(w, "a check that failed gave a proof");
        return rc;
    }
    memfile_proof_get_info(proof, &info, sizeof info);
    if (info.signature_count != 1 || info.index != 3)
        wrong(w, "another entry was proved");
    memfile_proof_free(proof);
    return MEMFILE_OK;
}

static int count_list(world *w, const memfile_filter *f, uint64_t expected)
{
    memfile_cursor *c;
    const memfile_entry *e;
    uint64_t n = 0, last = f->reverse ? UINT64_MAX : 0;
    int rc;
    TRY(w, memfile_list(w->mf, f, &c));
    while ((rc = memfile_cursor_next(c, &e)) == MEMFILE_OK) {
        uint64_t number = memfile_entry_number(e);
        if (n > 0 && (f->reverse ? number >= last : number <= last))
            wrong(w, "a list is out of order");
        last = number;
        n++;
    }
    note(w, "memfile_cursor_next", rc);
    memfile_cursor_close(c);
    if (rc != MEMFILE_DONE)
        return rc;
    if (n != expected)
        wrong(w, "a list gave %llu entries instead of %llu", (unsigned long long)n, (unsigned long long)expected);
    return MEMFILE_OK;
}

static uint64_t how_many(uint64_t entries, uint64_t modulus, uint64_t rest)
{
    return entries > rest ? (entries - rest - 1) / modulus + 1 : 0;
}

static int list(world *w, unsigned threads)
{
    const char *scope = "s2";
    memfile_filter all = MEMFILE_FILTER_INIT, f = all;
    uint64_t n = w->committed;
    int rc = open_as(w, MEMFILE_READ, threads, MEMFILE_TOLERATE_TORN);
    all.all = 1;
    f = all;
    if (rc == MEMFILE_OK)
        rc = count_list(w, &f, n);
    f.reverse = 1;
    if (rc == MEMFILE_OK)
        rc = count_list(w, &f, n);
    f = all;
    f.tag = "t7";
    if (rc == MEMFILE_OK)
        rc = count_list(w, &f, how_many(n, 50, 7));
    f.tag = NULL;
    f.scope = &scope;
    f.scope_count = 1;
    f.kind = "k1"; /* 7 mod 15 */
    if (rc == MEMFILE_OK)
        rc = count_list(w, &f, how_many(n, 15, 7));
    f = all;
    f.since = "2023-11-14T23:00:00Z"; /* 1700002800: entry 47 */
    f.until = "2023-11-14T23:20:00Z";
    if (rc == MEMFILE_OK)
        rc = count_list(w, &f, 20);
    f = (memfile_filter)MEMFILE_FILTER_INIT; /* the live ones: fates are looked up */
    if (rc == MEMFILE_OK)
        rc = count_list(w, &f, n);
    return rc;
}

static int do_list(world *w)
{
    return list(w, 1);
}

static int do_list_threads(world *w)
{
    return list(w, 3);
}

static int count_commits(void *context, const memfile_commit_info *info)
{
    world *w = (world *)context;
    if (info->author_length && memcmp(info->author, "Ann", 3) != 0)
        wrong(w, "an author is not Ann");
    w->possible++; /* free here: nothing is written */
    return 0;
}

static int do_log(world *w)
{
    memfile_info info;
    uint64_t number;
    char name[80];
    int rc = open_world(w, MEMFILE_READ);
    if (rc != MEMFILE_OK)
        return rc;
    TRY(w, memfile_get_info(w->mf, &info, sizeof info));
    if (info.entries != w->committed)
        wrong(w, "info tells of %llu entries", (unsigned long long)info.entries);
    w->possible = 0;
    rc = note(w, "memfile_log", memfile_log(w->mf, count_commits, w));
    if (rc == MEMFILE_OK && w->possible != info.commits)
        wrong(w, "the log has %llu commits of %llu", (unsigned long long)w->possible, (unsigned long long)info.commits);
    w->possible = 0;
    if (rc != MEMFILE_OK)
        return rc;
    for (int i = 0; i < 6; i++)
        snprintf(name + 2 * i, 3, "%02x", info.history_digest[i]);
    TRY(w, memfile_find_commit(w->mf, name, &number));
    if (number != info.commits - 1)
        wrong(w, "find_commit gave %llu", (unsigned long long)number);
    memfile_receipt receipt;
    const memfile_receipt none = {0};
    rc = note(w, "memfile_receipt_take", memfile_receipt_take(w->mf, &receipt));
    if (rc == MEMFILE_OK ? receipt.commit != number || memcmp(receipt.genesis_digest, none.genesis_digest, 32) == 0
                         : memcmp(&receipt, &none, sizeof none) != 0)
        wrong(w, "a receipt of another commit");
    return rc;
}

static int do_memory(world *w)
{
    size_t length;
    faults_pause();
    uint8_t *bytes = read_file(w->path, &length);
    faults_go_on();
    memfile_options o = MEMFILE_OPTIONS_INIT;
    o.unlock = unlock();
    int rc = memfile_open_memory(bytes, length, &o, &w->mf, &w->error);
    const memfile_entry *e;
    if (rc == MEMFILE_OK)
        rc = note(w, "memfile_get", memfile_get(w->mf, "n3-403", 6, MEMFILE_NEWEST, &e));
    faults_pause();
    memfile_close(w->mf);
    w->mf = NULL;
    faults_go_on();
    free(bytes);
    return rc;
}

/* What a run without faults found; a later one finds the same or says why not. */
typedef struct seen {
    bool known;
    int rc;
    memfile_verify_result verify;
    memfile_recover_result recover;
    long findings;
} seen;

static seen *memory_of(const char *what);

static void count_finding(void *context, const memfile_finding *f)
{
    (void)f;
    ++*(long *)context;
}

/* Signers count as findings do, by their commits. */
static void count_signer(void *context, const memfile_signer *s)
{
    *(long *)context += 1000000 * (long)s->commits;
}

static int verify_as(world *w, const char *name, int quick, unsigned threads, int without_key)
{
    seen *s = memory_of(name), now = {.known = true};
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    o.quick = quick;
    o.threads = threads;
    o.finding = count_finding;
    o.signer = count_signer;
    o.context = &now.findings;
    o.without_key = without_key;
    if (!without_key)
        o.unlock = unlock();
    w->step = "memfile_verify";
    now.rc = memfile_verify(w->path, &o, &now.verify, &w->error);
    if (now.rc != MEMFILE_OK && now.rc != MEMFILE_E_DAMAGED && now.rc != MEMFILE_E_TRUNCATED) {
        const memfile_verify_result zero = {0};
        if (memcmp(&now.verify, &zero, sizeof zero) != 0)
            wrong(w, "a verify that failed gave numbers");
        return now.rc;
    }
    if (!s->known)
        *s = now;
    if (s->rc != now.rc || s->findings != now.findings || memcmp(&s->verify, &now.verify, sizeof now.verify) != 0)
        wrong(w, "verify says %s with %ld findings; without faults it was %s with %ld", memfile_strerror(now.rc),
              now.findings, memfile_strerror(s->rc), s->findings);
    return MEMFILE_OK;
}

static int verify(world *w, const char *name, int quick, unsigned threads)
{
    return verify_as(w, name, quick, threads, 0);
}

static int do_verify(world *w)
{
    return verify(w, "full", 0, 1);
}
static int do_verify_forgotten(world *w)
{
    return verify(w, "verify-forgotten", 0, 1);
}

static int do_verify_quick(world *w)
{
    return verify(w, "quick", 1, 1);
}
static int do_verify_threads(world *w)
{
    return verify(w, "threads", 0, 2);
}
static int do_verify_quick_threads(world *w)
{
    return verify(w, "quick threads", 1, 2);
}
static int do_verify_damaged(world *w)
{
    return verify(w, "damaged", 0, 1);
}
static int do_verify_unfooted(world *w)
{
    return verify(w, "unfooted", 0, 1);
}

/* Reading goes on without an index. */
static int do_unindexed(world *w)
{
    const memfile_entry *e;
    memfile_filter f = MEMFILE_FILTER_INIT;
    f.all = 1;
    int rc = open_world(w, MEMFILE_READ);
    if (rc != MEMFILE_OK)
        return rc;
    TRY(w, memfile_get(w->mf, "n3-403", 6, MEMFILE_NEWEST, &e));
    if (memfile_entry_number(e) != 3)
        wrong(w, "another entry");
    TRY(w, memfile_get_entry(w->mf, BIG_NUMBER, &e));
    rc = read_content(w, e, BIG_NUMBER, BIG_LENGTH);
    if (rc != MEMFILE_OK)
        return rc;
    return count_list(w, &f, w->committed);
}

static int compact(world *w, const char *output, unsigned threads)
{
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_compact_result r;
    o.output = output;
    o.threads = threads;
    o.compression_level = 1;
    o.lock_timeout_ms = 3;
    o.unlock = unlock();
    w->step = "memfile_compact";
    int rc = memfile_compact(w->path, &o, &r, &w->error);
    if (rc == MEMFILE_OK && (r.entries != w->committed || r.bytes_before == 0 || r.bytes_after == 0))
        wrong(w, "compact tells of %llu entries, %llu bytes before, %llu after", (unsigned long long)r.entries,
              (unsigned long long)r.bytes_before, (unsigned long long)r.bytes_after);
    if (rc != MEMFILE_OK && (r.entries || r.commits || r.bytes_before || r.bytes_after))
        wrong(w, "a compaction that failed gave numbers");
    w->other_exists = output && (rc == MEMFILE_OK || rc == MEMFILE_E_UNCERTAIN);
    return rc;
}

static int do_compact(world *w)
{
    return compact(w, NULL, 1);
}
static int do_compact_threads(world *w)
{
    return compact(w, NULL, 2);
}
static int do_compact_output(world *w)
{
    return compact(w, w->other, 1);
}

static int recover(world *w, const char *name, unsigned threads)
{
    seen *s = memory_of(name), now = {.known = true};
    memfile_recover_options o = MEMFILE_RECOVER_OPTIONS_INIT;
    o.threads = threads;
    o.compression_level = 1;
    o.finding = count_finding;
    o.context = &now.findings;
    o.unlock = unlock();
    w->step = "memfile_recover";
    now.rc = memfile_recover(w->path, w->other, &o, &now.recover, &w->error);
    w->other_exists = now.rc == MEMFILE_OK || now.rc == MEMFILE_E_DAMAGED || now.rc == MEMFILE_E_TRUNCATED || now.rc == MEMFILE_E_UNCERTAIN;
    if (now.rc != MEMFILE_OK && now.rc != MEMFILE_E_DAMAGED && now.rc != MEMFILE_E_TRUNCATED) {
        const memfile_recover_result zero = {0};
        if (memcmp(&now.recover, &zero, sizeof zero) != 0)
            wrong(w, "a recovery that failed gave numbers");
        return now.rc;
    }
    if (!s->known)
        *s = now;
    if (s->rc != now.rc || s->findings != now.findings || s->recover.entries != now.recover.entries ||
        s->recover.commits != now.recover.commits || now.recover.bytes_after == 0)
        wrong(w, "recover says %s, %llu entries, %ld findings; without faults %s, %llu, %ld", memfile_strerror(now.rc),
              (unsigned long long)now.recover.entries, now.findings, memfile_strerror(s->rc),
              (unsigned long long)s->recover.entries, s->findings);
    return MEMFILE_OK;
}

static int do_recover(world *w)
{
    return recover(w, "recover", 1);
}
static int do_recover_forgotten(world *w)
{
    return recover(w, "recover-forgotten", 1);
}

static int do_recover_damaged(world *w)
{
    return recover(w, "recover damaged", 2);
}

/* Drafts by all setters, and JSON in and out. */
static int do_draft(world *w)
{
    static const char json[] =
        "{\"id\":\"%s\",\"kind\":\"note\",\"scope\":[\"a\",\"b\"],\"key\":\"k\",\"time\":\"2024-01-01T00:00:00.5Z\","
        "\"text\":\"%s\",\"tags\":[\"x\",\"y\"],\"links\":[{\"rel\":\"of\",\"to\":\"n0-60\"}],\"meta\":{\"deep\":[1,2.5,"
        "{\"a\":null}]},\"own\":\"member\"}";
    static const float vector[] = {1, 2, 3};
    memfile_draft *d = NULL;
    const memfile_entry *e;
    const char *out;
    size_t length;
    char text[1000], id[32], content[61];
    int rc = open_world(w, MEMFILE_WRITE);
    if (rc != MEMFILE_OK)
        return rc;
    rc = memfile_draft_new(&d);
    snprintf(id, sizeof id, "n%llu-60", (unsigned long long)w->next);
    fill_content(content, w->next, 0, 60);
    content[60] = '\0';
    snprintf(text, sizeof text, json, id, content);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_parse_json(d, text, strlen(text), &w->error);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_set(d, MEMFILE_TITLE, "t", 1);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_set(d, MEMFILE_SOURCE, "s", 1);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_set_time(d, MEMFILE_EXPIRES, "2999-01-01T00:00:00Z");
    if (rc == MEMFILE_OK)
        rc = memfile_draft_set_time_ns(d, MEMFILE_RECORDED, 1700000000, 5);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_add_scope(d, "c", 1);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_add_tag(d, "z", 1);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_add_link(d, "of", 2, "n1-60", 5);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_set_pinned(d, 1);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_set_confidence(d, 0.5);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_set_importance(d, 0.25);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_set_embedding(d, "space", vector, 3);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_set_json(d, "more", "{\"b\":[true,false]}", 18);
    if (rc < 0) {
        if (d && rc == MEMFILE_E_MEMORY && memfile_put(w->mf, d, NULL) != MEMFILE_E_MEMORY)
            wrong(w, "a draft that ran out of memory was put");
        memfile_draft_free(d);
        if (!w->error.code) {
            w->error.code = rc;
            snprintf(w->error.message, sizeof w->error.message, "a setter of a draft said it");
        }
        w->step = "draft";
        return rc;
    }
    rc = note(w, "memfile_put", memfile_put(w->mf, d, NULL));
    memfile_draft_free(d);
    w->next += rc == MEMFILE_OK;
    if (rc == MEMFILE_OK)
        rc = commit(w);
    if (rc != MEMFILE_OK)
        return rc;
    TRY(w, memfile_get(w->mf, id, strlen(id), MEMFILE_NEWEST, &e));
    TRY(w, memfile_entry_json(w->mf, e, 0, &out, &length));
    if (length < 200 || !memmem(out, length, "\"own\":\"member\"", 14) || !memmem(out, length, "2999-01-01", 10) ||
        !memmem(out, length, "[true,false]", 12))
        wrong(w, "the JSON that came back lacks something");
    return MEMFILE_OK;
}

/* ---- sealed files */

static int do_rekey(world *w)
{
    memfile_rekey_options o = MEMFILE_REKEY_OPTIONS_INIT;
    o.unlock = unlock();
    o.seal_for = seal_for();
    o.lock_timeout_ms = 3;
    w->step = "memfile_rekey";
    return memfile_rekey(w->path, &o, &w->error);
}

static bool somebody_rekeys(world *w)
{
    faults_pause();
    bool done = do_rekey(w) == MEMFILE_OK;
    faults_go_on();
    return done;
}

/* The handle follows keys that it opens, as a reader and as a writer. */
static int do_follow_keys(world *w)
{
    int rc = open_world(w, MEMFILE_WRITE);
    if (rc != MEMFILE_OK)
        return rc;
    if (!somebody_rekeys(w))
        wrong(w, "somebody else could not change the key");
    TRY(w, memfile_refresh(w->mf));
    rc = get_newest(w);
    if (rc != MEMFILE_OK)
        return rc;
    if (!somebody_rekeys(w) || !somebody_compacts(w))
        wrong(w, "somebody else could not compact");
    rc = put_length(w, 6);
    return rc == MEMFILE_OK ? commit(w) : rc;
}

static int do_outside(world *w)
{
    memfile_options o = MEMFILE_OPTIONS_INIT;
    o.without_key = 1;
    w->step = "memfile_open";
    int rc = memfile_open(w->path, MEMFILE_READ, &o, &w->mf, &w->error);
    if (rc != MEMFILE_OK)
        return rc;
    memfile_info i;
    rc = note(w, "memfile_get_info", memfile_get_info(w->mf, &i, sizeof i));
    if (rc == MEMFILE_OK && (!i.outside || i.entries || i.epoch == 0))
        wrong(w, "it tells what only the key tells");
    memfile_close(w->mf); /* it never reads more */
    w->mf = NULL;
    return rc;
}

static int do_verify_outside(world *w)
{
    return verify_as(w, "outside", 0, 1, 1);
}

static int do_verify_sealed_damaged(world *w)
{
    return verify(w, "sealed damaged", 0, 1);
}

static int do_verify_sealed(world *w)
{
    return verify(w, "sealed", 0, 1);
}

static int do_recover_sealed(world *w)
{
    return recover(w, "recover sealed", 1);
}

static int do_recover_sealed_damaged(world *w)
{
    return recover(w, "recover sealed damaged", 1);
}

static const workload workloads[] = {
    {"open-read", do_open_read, SMALL, READS_ONLY},
    {"open-write", do_open_write, RICH, READS_ONLY},
    {"open-memory", do_memory, RICH, READS_ONLY},
    {"create", do_create, NO_FILE, 0},
    {"create-by-link", do_create, NO_FILE, NO_RENAME2},
    {"put", do_put, SMALL, 0},
    {"draft", do_draft, SMALL, 0},
    {"conditions", do_conditions, SMALL, 0},
    {"conditions-spilled", do_conditions_spilled, SMALL, 0},
    {"batch", do_batch, SMALL, 0},
    {"batch-threads", do_batch_threads, SMALL, 0},
    {"batch-behind-index", do_batch, COMPACTED, 0},
    {"stream", do_stream, SMALL, 0},
    {"same-content", do_same_content, SMALL, 0},
    {"rollback", do_rollback, SMALL, 0},
    {"forget", do_forget, SMALL, 0},
    {"forget-indexed", do_forget, FOLDED, SLOW},
    {"forgotten-put", do_put, FORGOTTEN, SLOW},
    {"forgotten-verify", do_verify_forgotten, FORGOTTEN, READS_ONLY | SLOW},
    {"forgotten-compact", do_compact, FORGOTTEN, REPLACES | SLOW},
    {"forgotten-recover", do_recover_forgotten, FORGOTTEN, READS_ONLY | MAKES_OTHER | SLOW},
    {"torn", do_torn, TORN, 0},
    {"salvage", do_salvage, TORN, 0},
    {"merge", do_merge, MERGING, 0},
    {"low-descriptors", do_low_descriptors, SMALL, LOW_DESCRIPTORS},
    {"refresh", do_refresh, SMALL, 0},
    {"follow", do_follow, SMALL, 0},
    {"get", do_get, RICH, READS_ONLY},
    {"get-compacted", do_get, COMPACTED, READS_ONLY},
    {"list", do_list, RICH, READS_ONLY},
    {"list-threads", do_list_threads, RICH, READS_ONLY},
    {"prove", do_prove, RICH, READS_ONLY | SLOW},
    {"prove-compacted", do_prove, COMPACTED, READS_ONLY | SLOW},
    {"log", do_log, RICH, READS_ONLY},
    {"log-compacted", do_log, COMPACTED, READS_ONLY},
    {"unindexed", do_unindexed, UNINDEXED, READS_ONLY | BROKEN},
    {"unfooted", do_unindexed, UNFOOTED, READS_ONLY | BROKEN},
    {"verify", do_verify, RICH, READS_ONLY | SLOW},
    {"verify-quick", do_verify_quick, RICH, READS_ONLY},
    {"verify-threads", do_verify_threads, RICH, READS_ONLY | SLOW},
    {"verify-quick-threads", do_verify_quick_threads, RICH, READS_ONLY},
    {"verify-damaged", do_verify_damaged, DAMAGED, READS_ONLY | BROKEN | SLOW},
    {"verify-unfooted", do_verify_unfooted, UNFOOTED, READS_ONLY | BROKEN | SLOW},
    {"behind-others", do_behind, LONG, 0},
    {"compact-long", do_compact, LONG, REPLACES | SLOW},
    {"compact", do_compact, FOLDED, REPLACES | SLOW},
    {"compact-threads", do_compact_threads, RICH, REPLACES | SLOW},
    {"compact-output", do_compact_output, FOLDED, READS_ONLY | MAKES_OTHER | SLOW},
    {"recover", do_recover, FOLDED, READS_ONLY | MAKES_OTHER | SLOW},
    {"recover-damaged", do_recover_damaged, DAMAGED, READS_ONLY | MAKES_OTHER | BROKEN | SLOW},
    {"sealed-open", do_open_read, SEALED_SMALL, READS_ONLY | FOR_RECIPIENT},
    {"sealed-memory", do_memory, SEALED_RICH, READS_ONLY | FOR_RECIPIENT},
    {"sealed-create", do_create, NO_FILE, FOR_RECIPIENT},
    {"sealed-put", do_put, SEALED_SMALL, FOR_RECIPIENT},
    {"sealed-batch", do_batch_threads, SEALED_SMALL, FOR_RECIPIENT | SLOW},
    {"sealed-stream", do_stream, SEALED_SMALL, FOR_RECIPIENT | SLOW},
    {"sealed-get", do_get, SEALED_RICH, READS_ONLY | FOR_RECIPIENT},
    {"sealed-list", do_list_threads, SEALED_RICH, READS_ONLY | FOR_RECIPIENT | SLOW},
    {"sealed-rekey", do_rekey, SEALED_SMALL, FOR_RECIPIENT},
    {"sealed-follow", do_follow_keys, SEALED_SMALL, FOR_RECIPIENT},
    {"sealed-refresh", do_refresh, SEALED_SMALL, FOR_RECIPIENT},
    {"sealed-outside", do_outside, SEALED_SMALL, READS_ONLY | FOR_RECIPIENT},
    {"sealed-verify", do_verify_sealed, SEALED_RICH, READS_ONLY | FOR_RECIPIENT | SLOW},
    {"sealed-verify-outside", do_verify_outside, SEALED_RICH, READS_ONLY | FOR_RECIPIENT | SLOW},
    {"sealed-verify-damaged", do_verify_sealed_damaged, SEALED_DAMAGED, READS_ONLY | BROKEN | FOR_RECIPIENT | SLOW},
    {"sealed-forget", do_forget, SEALED_SMALL, FOR_RECIPIENT},
    {"sealed-forgotten", do_compact, SEALED_FORGOTTEN, REPLACES | FOR_RECIPIENT | SLOW},
    {"sealed-compact", do_compact, SEALED_FOLDED, REPLACES | FOR_RECIPIENT | SLOW},
    {"sealed-recover", do_recover_sealed, SEALED_FOLDED, READS_ONLY | MAKES_OTHER | FOR_RECIPIENT | SLOW},
    {"sealed-recover-damaged", do_recover_sealed_damaged, SEALED_DAMAGED,
     READS_ONLY | MAKES_OTHER | BROKEN | FOR_RECIPIENT | SLOW},
    {"locked-open", do_open_write, LOCKED_SMALL, READS_ONLY | FOR_PASSPHRASE},
    {"locked-create", do_create, NO_FILE, FOR_PASSPHRASE},
    {"locked-put", do_put, LOCKED_SMALL, FOR_PASSPHRASE},
    {"locked-rekey", do_rekey, LOCKED_SMALL, FOR_PASSPHRASE},
    {"locked-follow", do_follow_keys, LOCKED_SMALL, FOR_PASSPHRASE},
    {"locked-compact", do_compact, LOCKED_SMALL, REPLACES | FOR_PASSPHRASE | SLOW},
};
#define WORKLOADS (sizeof workloads / sizeof *workloads)

static seen *memory_of(const char *what)
{
    static seen all[32];
    static const char *names[32];
    for (size_t i = 0; i < 32; i++) {
        if (!names[i])
            names[i] = what;
        if (strcmp(names[i], what) == 0)
            return &all[i];
    }
    abort();
}

/* ---- the files they begin with */

typedef struct base {
    uint8_t *bytes;
    size_t length;
    uint64_t entries, footer_offset, gone_by;
} base;

static base bases[BASES];

static void must(bool done, const char *what)
{
    if (done)
        return;
    fprintf(stderr, "cannot prepare: %s\n", what);
    exit(2);
}

static void commits(world *w, unsigned count, unsigned entries, size_t length)
{
    for (unsigned i = 0; i < count; i++)
        must(put_many(w, entries, length) == MEMFILE_OK && commit(w) == MEMFILE_OK, w->error.message);
}

static void damage(base *b)
{
    static mf_segment s[4000];
    size_t n = segments_of(b->bytes, b->length, s, 4000), records = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i].type == MF_TYPE_RECORDS && records++ == 1)
            b->bytes[s[i].offset + 100] ^= 1;
        if (s[i].type == MF_TYPE_INDEX)
            b->bytes[s[i].offset + 70] ^= 1;
    }
    must(records > 1, "two blocks to damage");
    /* 8 bytes are gone: what stands behind is displaced */
    uint64_t cut = s[n - 3].offset + 64;
    memmove(b->bytes + cut, b->bytes + cut + 8, b->length - cut - 8);
    b->length -= 8;
}

static void make_sealed_damaged(base *b)
{
    static mf_segment s[4000];
    *b = bases[SEALED_RICH];
    b->bytes = (uint8_t *)malloc(b->length);
    memcpy(b->bytes, bases[SEALED_RICH].bytes, b->length);
    size_t n = segments_of(b->bytes, b->length, s, 4000);
    b->bytes[s[n / 2].offset + 100] ^= 1;
    b->bytes[s[0].offset + 70] ^= 1; /* of the first key; the second has it too */
    must(s[0].type == MF_TYPE_KEYS && s[n / 2].type == MF_TYPE_SEALED, "key slots and a block");
    memset(b->bytes + 12, 0, 40); /* of the header all but the magic */
}

static void make_base(base_kind kind, const char *path)
{
    base *b = &bases[kind];
    world w = {.path = path};
    unlink(path);
    gone_by = 0;
    sealing = kind < SEALED_SMALL ? 0 : kind == LOCKED_SMALL ? FOR_PASSPHRASE : FOR_RECIPIENT;
    if (kind == NO_FILE)
        return;
    if (kind == SEALED_DAMAGED) {
        make_sealed_damaged(b);
        return;
    }
    if (kind == TORN || kind == DAMAGED || kind == UNINDEXED || kind == UNFOOTED) {
        const base *from = &bases[kind == TORN ? SMALL : RICH];
        *b = *from;
        b->bytes = (uint8_t *)malloc(from->length + 20005);
        memcpy(b->bytes, from->bytes, from->length);
        if (kind == TORN) {
            memset(b->bytes + b->length, 0x5a, 37);
            b->length += 37;
        } else if (kind == DAMAGED) {
            damage(b);
        } else {
            static mf_segment s[4000];
            size_t n = segments_of(b->bytes, b->length, s, 4000);
            for (size_t i = 0; i < n; i++)
                if (s[i].type == MF_TYPE_INDEX)
                    b->bytes[s[i].offset + 70] ^= 1;
            if (kind == UNFOOTED)
                b->bytes[b->footer_offset + 100] ^= 1;
            memset(b->bytes + b->length, 0x5a, 20005); /* more than what opening reads */
            b->length += 20005;
        }
        return;
    }
    must(open_world(&w, MEMFILE_CREATE) == MEMFILE_OK, w.error.message);
    if (kind == SMALL || kind == SEALED_SMALL || kind == LOCKED_SMALL) {
        commits(&w, 2, 2, 60);
        must(!sealing || do_rekey(&w) == MEMFILE_OK, "a new key");
        commits(&w, 1, 2, 60);
    } else if (kind == LONG) {
        commits(&w, 40, 1, 8000);
    } else if (kind == MERGING) {
        memfile_info info;
        do { /* FULL commits each leave a run */
            commits(&w, 1, 1, 40);
            memfile_get_info(w.mf, &info, sizeof info);
        } while (info.runs < 7);
        uint64_t runs = info.runs;
        for (unsigned i = 0; info.runs == runs; i++) { /* to the commit before the one that merges */
            size_t length;
            free(b->bytes);
            b->bytes = read_file(path, &length);
            b->length = length;
            b->entries = w.committed;
            must(put_many(&w, 2, 50) == MEMFILE_OK && commit(&w) == MEMFILE_OK, "merge");
            memfile_get_info(w.mf, &info, sizeof info);
            must(i < 200, "a merge that comes");
        }
        must(info.runs < runs, "a merge");
        memfile_close(w.mf);
        return;
    } else { /* RICH, COMPACTED, FOLDED, FORGOTTEN */
        bool forgotten = kind == FORGOTTEN || kind == SEALED_FORGOTTEN;
        bool folded = kind == FOLDED || kind == SEALED_FOLDED || forgotten;
        must(!sealing || do_rekey(&w) == MEMFILE_OK, "a new key");
        while (w.next < (folded ? 60 : BIG_NUMBER))
            must(put_length(&w, 400 + w.next % 7) == MEMFILE_OK && (w.next % 120 || commit(&w) == MEMFILE_OK), "rich");
        must(put_stream(&w, BIG_LENGTH) == MEMFILE_OK && commit(&w) == MEMFILE_OK, "a large content");
        for (int i = 0; i < 49; i++)
            must(put_length(&w, 400 + w.next % 7) == MEMFILE_OK && (i % 5 || commit(&w) == MEMFILE_OK), "a tail");
        must(commit(&w) >= MEMFILE_OK, "the end");
        if (kind != RICH && kind != SEALED_RICH) {
            memfile_close(w.mf);
            must(somebody_compacts(&w), w.error.message);
            must(open_world(&w, MEMFILE_WRITE) == MEMFILE_OK, w.error.message);
            commits(&w, 3, 2, 60);
        }
        must(!forgotten || (forget(&w) == MEMFILE_OK && w.wrong[0] == 0), w.wrong);
        commits(&w, forgotten, 1, 60);
    }
    b->gone_by = gone_by;
    b->footer_offset = w.mf->store.committed.footer_offset;
    memfile_close(w.mf);
    b->bytes = read_file(path, &b->length);
    b->entries = w.committed;
    must(kind != LONG || b->length > 100000, "a long file");
}

/* ---- one fault */

static struct {
    const workload *load;
    const effect *effect;
    bool ever;
    long n;
} now;

static const char *current_case(void)
{
    static char text[200];
    if (!now.load)
        return "preparing";
    snprintf(text, sizeof text, "%s/%s/%s/%s/%ld", now.load->name, now.effect ? faults_name(now.effect->call) : "-",
             now.effect ? now.effect->name : "-", now.ever ? "ever" : "once", now.n);
    return text;
}

/* An unlock that fails keeps others out until the handle is closed. */
static bool lock_is_kept(void)
{
    return now.effect && now.effect->call == FAULT_UNLOCK;
}

static char folder[200], path[256], other[256];
static bool base_is_there; /* path has the bytes of the base still */

static long descriptors(void)
{
    long n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* Removes what may not stay; says whether there was something that should not be. */
static int strays(void)
{
    DIR *d = opendir(folder);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        char name[600];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "file") == 0 ||
            strcmp(e->d_name, "other") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", folder, e->d_name);
        unlink(name);
        n++;
    }
    closedir(d);
    return n;
}

static bool same_bytes(const base *b)
{
    size_t length;
    uint8_t *bytes = read_file(path, &length);
    bool same = length == b->length && memcmp(bytes, b->bytes, length) == 0;
    free(bytes);
    return same;
}

/* The handle was told of an error and the fault is over: it goes on, or it is poisoned. */
static void go_on(world *w)
{
    char why[WHY];
    if (w->poisoned) {
        faults_arm(FAULT_MEMORY, FAULT_FAILS, 0, false, 0);
        world after = {.path = w->path, .mf = w->mf, .next = w->next, .committed = w->committed};
        int put = put_length(&after, 10);
        int end = memfile_commit(w->mf, NULL);
        memfile_rollback(w->mf);
        int again = memfile_commit(w->mf, NULL);
        if (put != MEMFILE_E_UNCERTAIN || end != MEMFILE_E_UNCERTAIN || again != MEMFILE_E_UNCERTAIN)
            bad("after a failed sync: put %s, commit %s, and once more %s", memfile_strerror(put), memfile_strerror(end),
                memfile_strerror(again));
        if (faults_count(FAULT_WRITE) || faults_count(FAULT_SYNC) || faults_count(FAULT_LOCK))
            bad("a poisoned handle wrote, locked or synced");
        faults_disarm();
        return;
    }
    memfile_rollback(w->mf);
    if (memfile_refresh(w->mf) < 0) {
        bad("refresh, when the fault was over: %s", memfile_last_error(w->mf)->message);
        return;
    }
    if (!check_entries(w->mf, w->committed, why))
        bad("the handle that failed (%s), afterwards: %s", w->step, why);
    if (!w->writer || (now.load->flags & (READS_ONLY | BROKEN)))
        return;
    w->next = w->committed;
    gone_by = gone_by < w->committed ? gone_by : 0; /* its number is given anew */
    if (put_length(w, 20) != MEMFILE_OK || commit(w) != MEMFILE_OK)
        bad("the handle that failed cannot commit afterwards: %s", w->error.message);
}

static void check_other(const world *w)
{
    if ((access(w->other, F_OK) == 0) != w->other_exists)
        bad("the output file %s", w->other_exists ? "is missing" : "should not be there");
    if (w->other_exists && verify_now(w->other, 0) != MEMFILE_OK)
        bad("the output file is not sound");
    unlink(w->other);
}

/* What is in the file now that nobody has it open. */
static void check_file(world *w, const workload *load)
{
    char why[WHY] = "", also[WHY];
    if (load->flags & MAKES_OTHER)
        check_other(w);
    if ((load->flags & READS_ONLY) || base_is_there) {
        if (!same_bytes(&bases[load->base]))
            bad("the file was changed");
        return;
    }
    if (load->base == NO_FILE && access(path, F_OK) != 0) {
        if (w->exists)
            bad("the file is not there");
        return;
    }
    int sound = verify_now(path, 1); /* all of it at the end */
    if (sound != MEMFILE_OK && sound != MEMFILE_E_TRUNCATED)
        bad("verify: %s", memfile_strerror(sound));
    world fresh = {.path = path, .next = w->committed, .committed = w->committed};
    if (open_world(&fresh, MEMFILE_WRITE) != MEMFILE_OK) {
        bad("the file does not open: %s", fresh.error.message);
        return;
    }
    if (!check_entries(fresh.mf, w->committed, why)) {
        if (!w->possible || !check_entries(fresh.mf, w->possible, also))
            bad("opened anew: %s", why);
        else
            fresh.next = fresh.committed = w->possible;
    }
    gone_by = gone_by < fresh.committed ? gone_by : 0;
    if (put_length(&fresh, 33) != MEMFILE_OK || commit(&fresh) != MEMFILE_OK)
        bad("opened anew, it does not commit: %s", fresh.error.message);
    memfile_close(fresh.mf);
    sound = verify_now(path, 0);
    if (sound != MEMFILE_OK)
        bad("verify after one more commit: %s", memfile_strerror(sound));
}

static void check_outcome(const world *w, const effect *e, int rc, bool ever)
{
    unsigned allowed = ever ? e->ever : e->once;
    if (w->wrong[0] && !(allowed & ANYTHING))
        bad("%s", w->wrong);
    if (rc < 0 && (w->error.code != rc || !w->error.message[0]))
        bad("%s returned %s, and the error says %s: '%s'", w->step, memfile_strerror(rc), memfile_strerror(w->error.code),
            w->error.message);
    if (allowed & ANYTHING)
        return;
    if (!(outcome_of(rc) & allowed))
        bad("%s: %s: %s", rc == MEMFILE_OK ? "all of it" : w->step, memfile_strerror(rc),
            rc == MEMFILE_OK ? "the fault was not told" : w->error.message);
    if ((rc == MEMFILE_E_SYSTEM || rc == MEMFILE_E_UNCERTAIN) && e->error && w->error.system_errno != e->error)
        bad("%s: the errno is %d instead of %d: %s", w->step, w->error.system_errno, e->error, w->error.message);
    if (rc == MEMFILE_E_SYSTEM && w->poisoned)
        bad("%s: poisoned by an error of class SYSTEM", w->step);
}

static void write_base(const base *b)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, b->bytes, b->length) == (ssize_t)b->length, "the file");
    close(fd);
}

/* false: the fault did not strike, because there are fewer calls. */
static bool inject(const workload *load, const effect *e, bool ever, long n)
{
    const base *b = &bases[load->base];
    world w = {.path = path, .other = other, .next = b->entries, .committed = b->entries, .exists = true};
    now.load = load;
    sealing = load->flags & (FOR_RECIPIENT | FOR_PASSPHRASE);
    gone_by = b->gone_by;
    now.effect = e;
    now.ever = ever;
    now.n = n;
    alarm(100);
    if (load->base == NO_FILE)
        unlink(path);
    else if (!base_is_there)
        write_base(b);
    base_is_there = load->flags & READS_ONLY;
    faults_without_rename2(load->flags & NO_RENAME2);
    long open_before = descriptors(), blocks_before = faults_blocks();
    int zero = -1;
    if (load->flags & LOW_DESCRIPTORS) {
        zero = fcntl(0, F_DUPFD_CLOEXEC, 100);
        close(0);
    }
    w.error.code = 0;
    if (e)
        faults_arm(e->call, e->way, e->error, ever, n);
    else
        faults_arm(FAULT_MEMORY, FAULT_FAILS, 0, false, 0);
    int rc = load->run(&w);
    bool struck = faults_disarm();
    if (!e) {
        if (rc != MEMFILE_OK || w.wrong[0])
            bad("without any fault: %s: %s %s", memfile_strerror(rc), w.error.message, w.wrong);
    } else if (struck) {
        injections++;
        check_outcome(&w, e, rc, ever);
    }
    if (w.mf && rc != MEMFILE_OK && !(e && ((ever ? e->ever : e->once) & ANYTHING)))
        go_on(&w);
    if ((load->flags & REPLACES) && rc != MEMFILE_OK && rc != MEMFILE_E_UNCERTAIN)
        base_is_there = true; /* for the next one too, if check_file finds that so */
    memfile_close(w.mf);
    if (zero >= 0) {
        dup2(zero, 0);
        close(zero);
    }
    if (descriptors() != open_before)
        bad("%ld descriptors more", descriptors() - open_before);
    if (faults_blocks() != blocks_before)
        bad("%ld blocks of memory leaked", faults_blocks() - blocks_before);
    int left = strays();
    if (left && !(e && e->call == FAULT_UNLINK))
        bad("%d stray files", left);
    check_file(&w, load);
    if (failures)
        base_is_there = false;
    alarm(0);
    return struck;
}

/* ---- all faults */

static bool full;

/* Call n of `count`: in the short mode the first ones get every errno, later ones one in
 * turn, and of many allocations some are passed over. */
static bool is_turn(const effect *e, size_t index, size_t of_call, long n, long count, unsigned flags)
{
    bool slow = flags & SLOW;
    if (full)
        return true;
    if (e->call == FAULT_MEMORY)
        return n <= (slow ? 10 : 60) || n % (count / (slow ? 25 : 100) + 1) == 0;
    return n <= (slow ? 1 : 2) || (count <= 6 && !slow) || (size_t)n % of_call == index;
}

static void run_workload(const workload *load)
{
    long before = injections, counts[FAULT_CALLS], struck[FAULT_CALLS] = {0};
    base_is_there = false;
    inject(load, NULL, false, 0); /* and once more: what is only done once in a process is done */
    inject(load, NULL, false, 0);
    for (int c = 0; c < FAULT_CALLS; c++)
        counts[c] = faults_count((fault_call)c);
    for (size_t i = 0; i < EFFECTS; i++) {
        const effect *e = &effects[i];
        size_t index = 0, of_call = 0;
        for (size_t k = 0; k < EFFECTS; k++) {
            index += k < i && effects[k].call == e->call;
            of_call += effects[k].call == e->call;
        }
        for (int ever = 0; ever < 2; ever++) {
            if (counts[e->call] == 0 || (ever ? e->ever : e->once) == NOT_DONE)
                continue;
            /* threads share the calls out anew each time: go on until none strikes */
            for (long n = 1; n <= counts[e->call] + 200; n++) {
                if (!is_turn(e, index, of_call, n, counts[e->call], load->flags) && n <= counts[e->call])
                    continue;
                if (!inject(load, e, ever != 0, n))
                    break;
                struck[e->call]++;
            }
        }
    }
    now.load = NULL;
    printf("%-22s %7ld ", load->name, injections - before);
    for (int c = 0; c < FAULT_CALLS; c++)
        if (struck[c])
            printf(" %s %ld/%ld", faults_name((fault_call)c), struck[c], counts[c]);
    printf("\n");
    fflush(stdout);
}

static int run_case(const char *text)
{
    char name[64], call[64], error[64], mode[16];
    long n;
    if (sscanf(text, "%63[^/]/%63[^/]/%63[^/]/%15[^/]/%ld", name, call, error, mode, &n) != 5)
        return 2;
    for (size_t i = 0; i < WORKLOADS; i++)
        for (size_t k = 0; k < EFFECTS; k++)
            if (strcmp(workloads[i].name, name) == 0 && strcmp(faults_name(effects[k].call), call) == 0 &&
                strcmp(effects[k].name, error) == 0) {
                inject(&workloads[i], NULL, false, 0);
                inject(&workloads[i], NULL, false, 0);
                printf("%s\n", inject(&workloads[i], &effects[k], strcmp(mode, "ever") == 0, n) ? "it struck" : "no such call");
                return failures != 0;
            }
    return 2;
}

static void last_words(int signal)
{
    const char *text = current_case();
    ssize_t unused = write(2, signal == SIGALRM ? "HANGS " : "CRASH ", 6);
    unused = write(2, text, strlen(text));
    unused = write(2, "\n", 1);
    (void)unused;
    _exit(3);
}

int main(int argc, char **argv)
{
    const char *only = NULL, *one = NULL;
    for (int i = 1; i < argc; i++) {
        full |= strcmp(argv[i], "--full") == 0;
        only = strncmp(argv[i], "--workload=", 11) == 0 ? argv[i] + 11 : only;
        one = strncmp(argv[i], "--case=", 7) == 0 ? argv[i] + 7 : one;
    }
    signal(SIGALRM, last_words);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    signal(SIGSEGV, last_words);
    signal(SIGBUS, last_words);
    signal(SIGABRT, last_words);
#endif
    snprintf(folder, sizeof folder, "/tmp/memfile-faults-XXXXXX");
    must(mkdtemp(folder) != NULL, "a folder");
    must(memfile_key_generate(MEMFILE_SIGNER, &signer, NULL) == MEMFILE_OK, "a key");
    must(memfile_key_generate(MEMFILE_RECIPIENT, &identity, NULL) == MEMFILE_OK, "an identity");
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    for (int k = 0; k < BASES; k++)
        make_base((base_kind)k, path);
    int rc = 0;
    if (one)
        rc = run_case(one);
    bool any = one != NULL;
    for (size_t i = 0; i < WORKLOADS && !one; i++)
        if (!only || strcmp(workloads[i].name, only) == 0) {
            run_workload(&workloads[i]);
            any = true;
        }
    unlink(path);
    unlink(other);
    memfile_key_free(signer);
    memfile_key_free(identity);
    rmdir(folder);
    for (int k = 0; k < BASES; k++)
        free(bases[k].bytes);
    if (!any) {
        fprintf(stderr, "no such workload\n");
        return 2;
    }
    printf("%ld faults, %ld failures\n", injections, failures);
    return rc ? rc : failures != 0;
}
