/*
 * memfile.h: an agent's whole memory in one portable file.
 *
 * The format is described in format-spec/SPEC.md; words used here (entry,
 * commit, scope, key, superseded ...) are defined there.
 *
 * Conventions, for every function unless it says otherwise:
 *
 *  - Returns MEMFILE_OK (0), MEMFILE_DONE (1, "no more" or "nothing to do"), or
 *    a negative MEMFILE_E_ class. Cause, offset and a sentence are in
 *    memfile_last_error() of the handle, or in the memfile_error passed in.
 *  - On failure every output pointer is NULL and every output number 0.
 *  - Texts are UTF-8 with an explicit length in bytes and may hold NUL bytes.
 *    Where a parameter is a plain `const char *` without a length, it ends at
 *    its NUL.
 *  - A handle and everything made from it belong to one thread at a time.
 *    Different handles, also on the same file, are independent.
 *  - Handles must not be used in a forked child.
 *  - free/close functions accept NULL.
 *  - Option structs start with their own size: use the MEMFILE_..._INIT
 *    macros, so that a program built today runs with a later library.
 */
#ifndef MEMFILE_H
#define MEMFILE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MEMFILE_VERSION_MAJOR 0
#define MEMFILE_VERSION_MINOR 1
#define MEMFILE_VERSION_PATCH 0

#if defined(MEMFILE_STATIC) || !defined(__GNUC__) || (defined(_WIN32) && !defined(MEMFILE_BUILD))
#define MEMFILE_API
#elif defined(_WIN32)
#define MEMFILE_API __declspec(dllexport)
#else
#define MEMFILE_API __attribute__((visibility("default")))
#endif

/* "0.1.0": of the library that runs, which may differ from the header's.
 * Static string. */
MEMFILE_API const char *memfile_version(void);

/* ------------------------------------------------------------------ errors */

enum {
    MEMFILE_OK = 0,
    MEMFILE_DONE = 1,             /* no more, or nothing to do */
    MEMFILE_E_NOT_MEMFILE = -1,   /* the file does not start like a memfile */
    MEMFILE_E_NEWER = -2,         /* sound, but made by a newer version */
    MEMFILE_E_TRUNCATED = -3,     /* bytes are missing at the end */
    MEMFILE_E_DAMAGED = -4,       /* bytes were changed; offset says where */
    MEMFILE_E_KEY = -5,           /* key needed or wrong */
    MEMFILE_E_LIMIT = -6,         /* over a limit of the format or of the caller */
    MEMFILE_E_CONFLICT = -7,      /* a condition of the caller does not hold */
    MEMFILE_E_BUSY = -8,          /* another writer has the lock */
    MEMFILE_E_NOT_FOUND = -9,     /* no such entry, commit or file */
    MEMFILE_E_MISUSE = -10,       /* the call is not allowed now */
    MEMFILE_E_INVALID = -11,      /* the input is not valid; nothing was changed */
    MEMFILE_E_SYSTEM = -12,       /* the operating system refused; system_errno */
    MEMFILE_E_MEMORY = -13,       /* an allocation failed */
    MEMFILE_E_UNCERTAIN = -14,    /* a sync failed, or a write that yet stored all: what was being committed
                                     may or may not be there; close the handle, open again, look */
    MEMFILE_E_STOPPED = -15       /* `progress` of the caller asked for it */
};

typedef struct memfile_error {
    int code;          /* one of the above */
    int system_errno;  /* errno of the failed system call, or 0 */
    uint64_t offset;   /* place in the file, bytes; UINT64_MAX: no place */
    char message[320]; /* one sentence, no line feed, NUL-terminated */
} memfile_error;

/* A few words for a class. Static string. */
MEMFILE_API const char *memfile_strerror(int code);

/* --------------------------------------------------------- the environment */

/* Memory. block NULL: allocate; size 0: free and return NULL; else resize as
 * realloc does. Blocks are aligned to 8 bytes at least, as those of malloc are.
 * Must be callable from any thread. */
typedef struct memfile_allocator {
    void *(*reallocate)(void *context, void *block, size_t size);
    void *context;
} memfile_allocator;

/* Clock and randomness, for reproducible files. Each may be NULL: the system's. */
typedef struct memfile_environment {
    int64_t (*now_us)(void *context); /* microseconds since 1970 UTC */
    /* Fills `length` bytes. Must be unpredictable where files matter. */
    void (*random)(void *context, void *out, size_t length);
    void *context;
} memfile_environment;

/* -------------------------------------------------------------------- keys */

/* A secret key, in guarded memory that is wiped when it is freed. It is never
 * changed after it was made: several threads may use it at once. Nobody but its
 * owner should hold its text; its public key may be shown to anybody. */
typedef struct memfile_key memfile_key;

typedef enum memfile_key_kind {
    MEMFILE_RECIPIENT = 1, /* X25519: opens what was sealed for its public key */
    MEMFILE_SIGNER = 2     /* Ed25519: signs commits */
} memfile_key_kind;

#define MEMFILE_PUBLIC_SIZE 54    /* bytes of a public key as text, with its NUL */
#define MEMFILE_KEY_TEXT_SIZE 144 /* at least those of a secret one */

/* What a secret key is locked with. More passes or memory make guessing dearer, and
 * each use slower: the default takes most of a second and 256 MiB. */
typedef struct memfile_lock {
    const char *passphrase;    /* 1 byte or more, any bytes; not kept */
    size_t passphrase_length;
    uint32_t passes;           /* of Argon2id; 1 to 10 */
    uint32_t memory_kib;       /* 8 to 1,048,576 */
} memfile_lock;

#define MEMFILE_LOCK_INIT \
    { NULL, 0, 3, 262144 }

/* A new key from the system's randomness. To be freed with memfile_key_free. MEMORY. */
MEMFILE_API int memfile_key_generate(memfile_key_kind kind, memfile_key **out, memfile_error *error);

/* The key in `text`, the content of a key file: one line MFR1-... or MFS1-...; lines
 * that are empty or begin with # are passed over. passphrase (may be NULL) is used if
 * the key is locked. KEY: it is locked and no passphrase was given, or the passphrase is
 * wrong or the line was changed, which cannot be told apart. LIMIT: its costs are over
 * those of memfile_lock; they were not run. INVALID: no key. MEMORY: also when there is
 * none for the passphrase. */
MEMFILE_API int memfile_key_read(const char *text, size_t length, const char *passphrase, size_t passphrase_length,
                                 memfile_key **out, memfile_error *error);
/* 1: `text` holds a key that is locked under a passphrase, else 0. */
MEMFILE_API int memfile_key_is_locked(const char *text, size_t length);

/* The key as one line without line feed, NUL-terminated, locked if `lock` is not NULL.
 * It is a secret: memfile_wipe it. INVALID: an empty passphrase, or costs that are too
 * low; LIMIT: too high. MEMORY. */
MEMFILE_API int memfile_key_write(const memfile_key *key, const memfile_lock *lock, char out[MEMFILE_KEY_TEXT_SIZE],
                                  memfile_error *error);

MEMFILE_API memfile_key_kind memfile_key_kind_of(const memfile_key *key);
/* Its public key as text, NUL-terminated: mfr1-... or mfs1-... */
MEMFILE_API void memfile_key_public(const memfile_key *key, char out[MEMFILE_PUBLIC_SIZE]);
/* Wipes and frees. */
MEMFILE_API void memfile_key_free(memfile_key *key);

/* The 32 bytes of a public key and which kind it is. INVALID: not one, whole and
 * unchanged, or a point that protects nothing (of low order). */
MEMFILE_API int memfile_public_parse(const char *text, size_t length, memfile_key_kind *kind, uint8_t out[32],
                                     memfile_error *error);
/* And back. */
MEMFILE_API void memfile_public_print(memfile_key_kind kind, const uint8_t bytes[32], char out[MEMFILE_PUBLIC_SIZE]);

/* Overwrites a secret; no compiler leaves it out. */
MEMFILE_API void memfile_wipe(void *data, size_t length);

/* -------------------------------------------------------------- open, close */

typedef struct memfile memfile;

typedef enum memfile_mode {
    MEMFILE_READ = 0,  /* never writes, takes no lock; works on read-only media */
    MEMFILE_WRITE = 1, /* reads, and writes when asked to */
    MEMFILE_CREATE = 2 /* makes a new file; fails with CONFLICT if one exists */
} memfile_mode;

/* What to do when the end of the file is not a commit, or what is needed is damaged. */
typedef enum memfile_strictness {
    MEMFILE_TOLERATE_TORN = 0, /* default: torn bytes are passed over, a damaged index is done without; damage at
                                  the end is refused for writing and reported in memfile_info for reading */
    MEMFILE_STRICT = 1,        /* anything behind the newest commit is an error, and so is damage to an index */
    MEMFILE_SALVAGE = 2        /* writers too go on behind damage, declaring it void, and memfile_get gives the
                                  newest version that can be read, though a newer one may be lost */
} memfile_strictness;

/* What opens a sealed file: a passphrase, or the identity of one it is sealed for. All zero: nothing. A handle
 * that was given one refuses plain files. */
typedef struct memfile_unlock {
    const char *passphrase; /* any bytes; copied; NULL: none */
    size_t passphrase_length;
    const memfile_key *identity; /* a RECIPIENT; copied; NULL: none */
} memfile_unlock;

/* Whom a new file, or a new key of one, is sealed for: a passphrase, or up to 32 recipients. All zero: nobody,
 * the file is plain. */
typedef struct memfile_seal_for {
    const char *passphrase;      /* 1 byte or more */
    size_t passphrase_length;
    uint32_t passes, memory_kib; /* of Argon2id, for the passphrase; 0: 3 passes, 262,144 KiB. At most 10 and 1,048,576 */
    const char *const *recipients; /* public keys as text, mfr1-... */
    uint32_t recipient_count;
    int padded; /* lengths in the file are rounded up, by 12 % at most, so that they tell less */
} memfile_seal_for;

typedef struct memfile_options {
    size_t struct_size;
    memfile_strictness strictness;
    uint32_t lock_timeout_ms;  /* how long a write waits for another writer */
    uint32_t threads;          /* threads that compress, hash and decompress; 1 to 64 */
    uint32_t compression_level; /* zstd level for writing, 1 to 19 */
    size_t cache_bytes;        /* decoded blocks and index pages kept, about */
    uint64_t memory_limit_bytes; /* the handle allocates no more than that at a time (zstd's own memory, some
                                  * MiB a thread, comes on top); what needs more fails with MEMORY, a content
                                  * that is too large as JSON with LIMIT. 0: no limit */
    const char *author;        /* who commits; copied; NULL: not said */
    const memfile_allocator *allocator;     /* copied; NULL: malloc */
    const memfile_environment *environment; /* copied; NULL: the system's */
    /* What a hostile file may cost beyond memory; LIMIT where it would be more. All else is bounded by the
     * format itself (SPEC 19). */
    uint64_t rebuild_limit_bytes; /* a file whose footer or index is damaged is read through, from its first
                                   * byte on, if it has no more than that. 0: no limit */
    uint64_t collision_limit;     /* entries that one look-up, or the index of one commit, may pass over because
                                   * another id or key has the same hash. 0: no limit */
    memfile_unlock unlock;     /* what opens a sealed file; without it opening fails with KEY */
    memfile_seal_for seal_for; /* MEMFILE_CREATE: the new file is sealed for them */
    int without_key;           /* a sealed file is opened to be looked at from outside: memfile_get_info, refresh and
                                * close work, all else fails with KEY */
    const memfile_key *signer; /* a MEMFILE_SIGNER: every commit that the handle makes is signed, that of
                                * MEMFILE_CREATE too; must stay until memfile_close; NULL: none is */
} memfile_options;

#define MEMFILE_OPTIONS_INIT \
    { sizeof(memfile_options), MEMFILE_TOLERATE_TORN, 10000, 1, 1, 4u << 20, (uint64_t)1 << 30, NULL, NULL, NULL, \
      (uint64_t)4 << 30, (uint64_t)1 << 20, {NULL, 0, NULL}, {NULL, 0, 0, 0, NULL, 0, 0}, 0, NULL }

/* Opens or creates `path`. The path is resolved once; changing the current
 * directory later does no harm. options NULL: defaults. error may be NULL.
 * The handle is to be closed with memfile_close, also after later errors. A
 * MEMFILE_CREATE that fails leaves no file, or one that is an empty memory: so does
 * UNCERTAIN, when the directory could not be synced. */
MEMFILE_API int memfile_open(const char *path, memfile_mode mode, const memfile_options *options, memfile **out,
                             memfile_error *error);

/* Opens a copy of `length` bytes in memory, for reading. The bytes stay the
 * caller's and must stay as they are until memfile_close. */
MEMFILE_API int memfile_open_memory(const void *data, size_t length, const memfile_options *options, memfile **out,
                                    memfile_error *error);

/* Closes. What was put and not committed is dropped. Cursors and contents of
 * the handle must be closed before. */
MEMFILE_API void memfile_close(memfile *mf);

/* The error of the last call that failed on this handle; valid until the next call. */
MEMFILE_API const memfile_error *memfile_last_error(const memfile *mf);

/* Looks for commits of other processes and moves the snapshot that reads see
 * to the newest. MEMFILE_DONE: there was nothing new. Cursors keep theirs. */
MEMFILE_API int memfile_refresh(memfile *mf);

/* ------------------------------------------------------------------- writing */

/* A draft is an entry being made. It can be used again after memfile_draft_clear
 * and for any handle. Setting a field twice replaces it; adding appends. All
 * texts are copied. Errors of the setters are kept and returned by memfile_put. */
typedef struct memfile_draft memfile_draft;

MEMFILE_API int memfile_draft_new(memfile_draft **out);
MEMFILE_API void memfile_draft_clear(memfile_draft *draft);
MEMFILE_API void memfile_draft_free(memfile_draft *draft);

/* Text fields of SPEC 7.1, by enum. */
typedef enum memfile_field {
    MEMFILE_ID = 1,
    MEMFILE_KIND = 2,
    MEMFILE_KEY = 4,
    MEMFILE_TEXT = 6,       /* any length; over 32 KiB it is detached */
    MEMFILE_DATA = 7,       /* bytes, any length */
    MEMFILE_MEDIA_TYPE = 8,
    MEMFILE_TITLE = 10,
    MEMFILE_SOURCE = 18,
    MEMFILE_ACTOR = 19,
    MEMFILE_SESSION = 20,
    MEMFILE_MODEL = 21,
    MEMFILE_IDEMPOTENCY_KEY = 23,
    MEMFILE_STATUS = 27,
    MEMFILE_REASON = 30 /* of an entry that forgets; read only */
} memfile_field;

typedef enum memfile_time_field {
    MEMFILE_TIME = 5,
    MEMFILE_RECORDED = 14,
    MEMFILE_VALID_FROM = 15,
    MEMFILE_VALID_TO = 16,
    MEMFILE_EXPIRES = 17
} memfile_time_field;

/* value of `length` bytes; for MEMFILE_DATA any bytes, else valid UTF-8. */
MEMFILE_API int memfile_draft_set(memfile_draft *draft, memfile_field field, const void *value, size_t length);
/* RFC 3339, UTC with `Z`, 0 to 9 digits behind the point, all kept. */
MEMFILE_API int memfile_draft_set_time(memfile_draft *draft, memfile_time_field field, const char *rfc3339);
/* The same as seconds since 1970 and nanoseconds (9 digits are kept if nanoseconds
 * is not 0). */
MEMFILE_API int memfile_draft_set_time_ns(memfile_draft *draft, memfile_time_field field, int64_t seconds,
                                          uint32_t nanoseconds);
MEMFILE_API int memfile_draft_add_scope(memfile_draft *draft, const char *name, size_t length);
MEMFILE_API int memfile_draft_add_tag(memfile_draft *draft, const char *tag, size_t length);
MEMFILE_API int memfile_draft_add_link(memfile_draft *draft, const char *relation, size_t relation_length,
                                       const char *target_id, size_t target_length);
MEMFILE_API int memfile_draft_set_pinned(memfile_draft *draft, int pinned);
MEMFILE_API int memfile_draft_set_confidence(memfile_draft *draft, double confidence);
MEMFILE_API int memfile_draft_set_importance(memfile_draft *draft, double importance);
/* One vector of 32-bit floats in a named space. Values are finite; copied. */
MEMFILE_API int memfile_draft_set_embedding(memfile_draft *draft, const char *space, const float *values,
                                            size_t count);
/* Any other member by its JSON name, value as JSON text, e.g. "meta", "{\"a\":1}". */
MEMFILE_API int memfile_draft_set_json(memfile_draft *draft, const char *name, const char *json, size_t length);
/* A whole entry in the interchange form (one JSON object); clears the draft
 * before. On failure *error (may be NULL) says what and offset where in the text. */
MEMFILE_API int memfile_draft_parse_json(memfile_draft *draft, const char *json, size_t length,
                                         memfile_error *error);

/* What became of a put. */
typedef struct memfile_put_result {
    uint64_t entry;   /* its number */
    int existed;      /* 1: the idempotency key was there; `entry` is that one, nothing is written */
    size_t id_length; /* bytes of id */
    char id[256];     /* the id as text, NUL-terminated */
} memfile_put_result;

/* Adds the draft to the batch, which begins with the first put: the writer's
 * lock is taken (waiting lock_timeout_ms) and held until memfile_commit or
 * memfile_rollback. A draft without id gets a UUIDv7. result may be NULL.
 * After INVALID, LIMIT or CONFLICT the batch is as it was; other errors ask for
 * memfile_rollback. UNCERTAIN: what others wrote could not be synced, the handle is poisoned. A draft with an idempotency key that the file or the batch
 * already holds adds nothing. */
MEMFILE_API int memfile_put(memfile *mf, memfile_draft *draft, memfile_put_result *result);

/* The same, with a condition: CONFLICT unless the newest version of the draft's
 * id is entry number `expected` (UINT64_MAX: there is none). */
MEMFILE_API int memfile_put_if(memfile *mf, memfile_draft *draft, uint64_t expected, memfile_put_result *result);

/* Content of any length as a stream: begin, any number of writes, end. Nothing
 * else may be put between. `draft` has neither text nor data; is_text: 1 for
 * UTF-8 text, which is checked, 0 for bytes. Needs at most 4 MiB of memory. */
MEMFILE_API int memfile_put_begin(memfile *mf, memfile_draft *draft, int is_text);
MEMFILE_API int memfile_put_write(memfile *mf, const void *data, size_t length);
MEMFILE_API int memfile_put_end(memfile *mf, memfile_put_result *result);

/* What a commit did. */
typedef struct memfile_commit_result {
    uint64_t number;  /* of the commit */
    uint64_t entries; /* in the file after it */
    uint8_t digest[32]; /* history digest */
} memfile_commit_result;

/* Commits the batch: all of it is durable when this returns MEMFILE_OK. An
 * empty batch commits nothing: MEMFILE_DONE. UNCERTAIN: a sync failed, or a write whose bytes
 * are there all the same; the handle is poisoned. Any other error: nothing was committed. */
MEMFILE_API int memfile_commit(memfile *mf, memfile_commit_result *result);

/* Drops the batch and gives the lock back. */
MEMFILE_API void memfile_rollback(memfile *mf);

/* ------------------------------------------------------------------- reading */

/* A view of one entry, owned by what it came from. */
typedef struct memfile_entry memfile_entry;

#define MEMFILE_NEWEST UINT64_MAX

/* Newest version of the memory `id` (text; a UUID may be given as such) as of
 * commit number `as_of` (MEMFILE_NEWEST: of the handle's snapshot). The view is
 * valid until the next call on the handle. NOT_FOUND. DAMAGED: none that can be read, or a newer one
 * may be in what cannot be read; with MEMFILE_SALVAGE the newest that can be read is given then. */
MEMFILE_API int memfile_get(memfile *mf, const char *id, size_t id_length, uint64_t as_of, const memfile_entry **out);

/* Entry by its number. */
MEMFILE_API int memfile_get_entry(memfile *mf, uint64_t entry, const memfile_entry **out);

/* Accessors cost no allocation. Absent text: NULL with length 0; empty text:
 * not NULL. The texts are not NUL-terminated. */
MEMFILE_API int memfile_entry_is_pinned(const memfile_entry *entry);
MEMFILE_API uint64_t memfile_entry_number(const memfile_entry *entry);
/* The id as text into `out` (256 bytes, NUL-terminated); returns its length. */
MEMFILE_API size_t memfile_entry_id(const memfile_entry *entry, char out[256]);
/* For the text fields of memfile_field but MEMFILE_ID. MEMFILE_TEXT and
 * MEMFILE_DATA give inline content only: see memfile_content_open. */
MEMFILE_API const char *memfile_entry_field(const memfile_entry *entry, memfile_field field, size_t *length);
/* 1 and *seconds, *nanoseconds if the entry has it, else 0. */
MEMFILE_API int memfile_entry_time(const memfile_entry *entry, memfile_time_field field, int64_t *seconds,
                                   uint32_t *nanoseconds);
MEMFILE_API size_t memfile_entry_scope_count(const memfile_entry *entry);
MEMFILE_API const char *memfile_entry_scope(const memfile_entry *entry, size_t index, size_t *length);
MEMFILE_API size_t memfile_entry_tag_count(const memfile_entry *entry);
MEMFILE_API const char *memfile_entry_tag(const memfile_entry *entry, size_t index, size_t *length);
MEMFILE_API size_t memfile_entry_link_count(const memfile_entry *entry);
/* target as text into `out`; returns the relation. */
MEMFILE_API const char *memfile_entry_link(const memfile_entry *entry, size_t index, size_t *relation_length,
                                           char out[256], size_t *target_length);
/* Bytes of the content, inline or detached. */
MEMFILE_API uint64_t memfile_entry_content_length(const memfile_entry *entry);
MEMFILE_API int memfile_entry_content_is_detached(const memfile_entry *entry);
/* The whole entry in the interchange form, one line without line feed, in memory
 * of the handle that is valid until the next call on it. Detached content of
 * up to `content_limit` bytes is put in; above: LIMIT. */
MEMFILE_API int memfile_entry_json(memfile *mf, const memfile_entry *entry, uint64_t content_limit, const char **out,
                                   size_t *length);

/* Content of an entry as a stream from byte 0. Each chunk is checked before any
 * byte of it is given out. */
typedef struct memfile_content memfile_content;
MEMFILE_API int memfile_content_open(memfile *mf, const memfile_entry *entry, memfile_content **out);
/* Up to `size` bytes; *length 0 at the end. */
MEMFILE_API int memfile_content_read(memfile_content *content, void *out, size_t size, size_t *length);
MEMFILE_API void memfile_content_close(memfile_content *content);

/* Which entries a list gives. All given conditions hold at once. */
typedef struct memfile_filter {
    size_t struct_size;
    const char *const *scope; /* names from the left: entries whose scope starts so */
    size_t scope_count;
    const char *kind, *tag, *key; /* NULL: any */
    const char *since, *until;    /* RFC 3339; since <= time < until */
    uint64_t as_of;               /* commit number or MEMFILE_NEWEST */
    uint64_t first_entry;         /* not before this number */
    uint64_t limit;               /* at most so many; 0: no limit */
    int reverse;                  /* newest entry first */
    int all;                      /* superseded and expired ones too */
} memfile_filter;

#define MEMFILE_FILTER_INIT \
    { sizeof(memfile_filter), NULL, 0, NULL, NULL, NULL, NULL, NULL, MEMFILE_NEWEST, 0, 0, 0, 0 }

typedef struct memfile_cursor memfile_cursor;

/* Damage to footers and index pages costs nothing but time: gets and lists then go
 * on over the sound blocks of the whole file, memfile_info says so, and the handle
 * no longer writes (open it again to do so). A list in which entries were lost gives all others and then
 * DAMAGED instead of DONE.
 *
 * Iterates in order of entry number over the snapshot of the handle at this
 * moment; later commits and refreshes do not change it. filter NULL: all live
 * entries. The texts of the filter are copied. */
MEMFILE_API int memfile_list(memfile *mf, const memfile_filter *filter, memfile_cursor **out);
/* The view is valid until the next call on this cursor. MEMFILE_DONE at the end. */
MEMFILE_API int memfile_cursor_next(memfile_cursor *cursor, const memfile_entry **out);
MEMFILE_API void memfile_cursor_close(memfile_cursor *cursor);

/* One commit of the log. */
typedef struct memfile_commit_info {
    uint64_t number, first_entry, entry_count;
    int64_t time_us;
    uint64_t order;
    int has_digest;      /* 0: folded by compaction, see memfile_verify */
    uint8_t digest[32];
    size_t author_length; /* 0: not said */
    char author[256];    /* cut to fit */
    size_t signature_count;
    const uint8_t *signatures; /* 32 bytes public key, 64 bytes signature each, as the file has them:
                                * memfile_verify checks them. Valid during the callback */
} memfile_commit_info;

/* Commits from the newest down to number 0. A non-zero return of `callback`
 * stops and is returned. */
MEMFILE_API int memfile_log(memfile *mf, int (*callback)(void *context, const memfile_commit_info *commit),
                            void *context);

/* Number of the commit whose history digest starts with the given hexadecimal
 * digits (at least 4), or which has that decimal number (fewer than 4 digits or
 * all decimal and no digest fits). NOT_FOUND, or CONFLICT if several fit. */
MEMFILE_API int memfile_find_commit(memfile *mf, const char *name, uint64_t *number);

typedef struct memfile_info {
    uint64_t file_bytes;       /* when the snapshot was taken */
    uint64_t committed_bytes;  /* up to the end of the newest commit */
    uint64_t unfinished_bytes; /* behind it */
    int unfinished_is_damage;  /* SPEC 14.3 */
    uint64_t commits, entries, objects;
    uint64_t superseded;       /* by a later entry */
    uint64_t runs, index_bytes, dictionaries;
    int64_t last_commit_us;
    uint32_t format_version;
    int sealed;
    uint8_t memory_id[16], incarnation_id[16];
    uint8_t history_digest[32];
    /* of a sealed file */
    uint32_t epoch;      /* how many keys it has had, 1 at first */
    uint32_t recipients; /* that it is sealed for; 0: for a passphrase */
    uint32_t passes, memory_kib; /* what the passphrase costs */
    int padded;
    int outside; /* opened without a key: commits, entries and what follows from them are not known, and 0 */
    uint64_t forgotten;        /* entries that were forgotten, and stand in the file until it is compacted */
    int incomplete; /* something cannot be read that may hold entries, newer versions of those that are read, or what
                     * forgets them: known from opening, and once reading met it */
} memfile_info;

/* struct_size bytes of *info are filled: pass sizeof(memfile_info). Costs no reading beyond
 * what open did, but for `superseded` and what stands behind it, which look at the newest
 * commits: with offsetof(memfile_info, superseded) or less these are left out. */
MEMFILE_API int memfile_get_info(memfile *mf, memfile_info *info, size_t struct_size);

/* Counters of this handle since it was opened. */
typedef struct memfile_statistics {
    uint64_t reads, bytes_read, writes, bytes_written, syncs;
    uint64_t cache_hits, cache_misses;
    uint64_t memory_bytes; /* allocated by the handle now */
} memfile_statistics;
MEMFILE_API void memfile_get_statistics(const memfile *mf, memfile_statistics *statistics, size_t struct_size);

/* ------------------------------------------------------------------- forgetting */

/* What is to be forgotten: memories by their ids, and those that a filter fits. */
typedef struct memfile_selection {
    size_t struct_size;
    const char *const *ids;
    const size_t *id_lengths; /* NULL: each id ends at its NUL */
    size_t id_count;
    /* NULL: none. A memory is taken if any of its versions fits the filter, and its newest one
     * fits `since` and `until`. `all` and `reverse` mean nothing here; `as_of` and `limit`
     * speak of the versions that are looked at. Without any condition: everything. */
    const memfile_filter *filter;
} memfile_selection;

#define MEMFILE_SELECTION_INIT \
    { sizeof(memfile_selection), NULL, NULL, 0, NULL }

typedef enum memfile_forget_outcome {
    MEMFILE_FORGOTTEN = 0,
    MEMFILE_KEPT_ACTION = 1,  /* a version has an idempotency key: its action could be repeated */
    MEMFILE_KEPT_PINNED = 2,  /* its newest version is pinned */
    MEMFILE_KEPT_FORGETS = 3, /* it records what was forgotten; that stays */
    MEMFILE_NO_SUCH_ID = 4
} memfile_forget_outcome;

/* What becomes of one memory. */
typedef struct memfile_forget_item {
    memfile_forget_outcome outcome;
    uint64_t entry;    /* its newest version; UINT64_MAX: NO_SUCH_ID */
    uint64_t versions; /* how many it has */
    const char *id;    /* as text */
    size_t id_length;
} memfile_forget_item;

typedef struct memfile_forget_options {
    size_t struct_size;
    const char *reason; /* why; kept in the file, so it should not repeat what is forgotten; NULL: not said */
    int even_actions;   /* memories with an idempotency key too: a later put with that key adds an entry again */
    int even_pinned;    /* pinned ones too */
    int dry_run;        /* only say what would become of them */
    void (*item)(void *context, const memfile_forget_item *item); /* for each memory that was selected; NULL: none */
    void *context;
} memfile_forget_options;

#define MEMFILE_FORGET_OPTIONS_INIT \
    { sizeof(memfile_forget_options), NULL, 0, 0, 0, NULL, NULL }

typedef struct memfile_forget_result {
    uint64_t memories, entries; /* forgotten; entries: all their versions */
    uint64_t kept_actions, kept_pinned, kept_forgets, not_found; /* memories that were selected and are not */
    uint64_t made; /* entries of op forget in the batch, each naming at most 4096 */
} memfile_forget_result;

/* Forgets memories, all versions of each. It is part of a batch as puts are, comes before them, and
 * counts with memfile_commit: from then on no read gives out the entries, not even as of an earlier
 * commit, and a put with the same id begins a new memory. The bytes stay in the file until
 * memfile_compact. What was superseded only by what is forgotten is in force again. The entries
 * to be forgotten are those that are committed: MISUSE if the batch has puts. options and result may
 * be NULL. DONE: nothing was selected, or all of it is kept (result says why). */
MEMFILE_API int memfile_forget(memfile *mf, const memfile_selection *selection, const memfile_forget_options *options,
                               memfile_forget_result *result);

/* One entry of op forget, with what it made to be forgotten. */
typedef struct memfile_forgetting {
    const memfile_entry *by; /* the entry: its number, MEMFILE_REASON, MEMFILE_ACTOR, MEMFILE_TIME; valid within the call */
    size_t count;
    const uint64_t *entries; /* numbers of the forgotten ones, rising; erased or not */
} memfile_forgetting;

/* All forgetting that the file records, oldest first; before and after compaction. A non-zero return
 * of `callback` stops and is returned. */
MEMFILE_API int memfile_forgettings(memfile *mf, int (*callback)(void *context, const memfile_forgetting *forgetting),
                                    void *context);

/* ------------------------------------------------------- verify and compact */

/* One finding of verify. */
typedef struct memfile_finding {
    int code;            /* MEMFILE_E_DAMAGED ... ; MEMFILE_OK for a mere remark */
    uint64_t offset, length; /* place in the file; length 0: not known */
    uint64_t first_entry, entry_count; /* entries that are lost; count 0: none, or not known yet */
    uint64_t first_commit, commit_count; /* commits that are lost; count 0: none */
    const char *message;
} memfile_finding;

/* Who signed commits, as verify found. A signature of a commit speaks of all that was
 * committed up to it, and of nothing behind it. */
typedef struct memfile_signer {
    uint8_t public_key[32];
    char public_text[MEMFILE_PUBLIC_SIZE];
    uint64_t commits;        /* that have its signature; each was checked and is right */
    uint64_t signed_through; /* number of the newest of them */
    uint64_t entries;        /* in the file after that one: they are covered */
    int covers_newest;       /* that one is the newest commit: all of the memory is covered */
} memfile_signer;

/* Is called again and again while a whole file is gone through: after a MiB of it, or after 64 segments, which may say
 * as much as 64 MiB. `done_bytes` rises to `total_bytes` in each pass (recovery makes several). Another answer than 0 ends
 * the call with STOPPED, and nothing was changed: so a caller bounds what a stranger's file may cost in time. */
typedef int memfile_progress(void *context, uint64_t done_bytes, uint64_t total_bytes);

typedef struct memfile_verify_options {
    size_t struct_size;
    int quick; /* checksums and tiling of the stored bytes only; no digest is computed */
    uint32_t threads;
    void (*finding)(void *context, const memfile_finding *finding);
    memfile_progress *progress;
    void *context;
    memfile_unlock unlock; /* for a sealed file; quick needs none */
    int without_key;       /* a sealed file is checked from outside: checksums, tiling, parent tags and stored
                            * digest; no entry is looked at, and none counted */
    /* At the end, for each signer, in the order of their first commits; at most 1024 are told,
     * and not if quick. */
    void (*signer)(void *context, const memfile_signer *signer);
    uint64_t wanted_commit; /* its digest is to be told; UINT64_MAX: none */
} memfile_verify_options;

#define MEMFILE_VERIFY_OPTIONS_INIT \
    { sizeof(memfile_verify_options), 0, 1, NULL, NULL, NULL, {NULL, 0, NULL}, 0, NULL, UINT64_MAX }

typedef struct memfile_verify_result {
    uint64_t file_bytes, checked_bytes, unfinished_bytes, void_bytes;
    uint64_t segments, commits, entries, findings; /* commits and entries: sound ones */
    uint64_t lost_commits, lost_entries;
    int header_damaged;  /* all else was checked by what the segments say */
    int memory_unknown;  /* and the id of the memory went with it */
    int outside;         /* sealed, and checked without a key: entries is 0, lost_entries not known */
    uint8_t stored_digest[32];  /* answers: is this copy intact? */
    uint8_t history_digest[32]; /* answers: is this the same memory? (zero if quick) */
    uint64_t signatures;        /* that are right (0 if quick); wrong ones are findings */
    uint8_t memory_id[16];      /* as the header says; zero if it is not known */
    uint64_t newest_commit;     /* number of the newest sound one */
    int genesis_known, wanted_known; /* digests of commit 0 and of the wanted one follow from the entries */
    uint8_t genesis_digest[32], wanted_digest[32]; /* zero if not known */
} memfile_verify_result;

/* Checks every byte of the file, without trusting any index or footer. OK: all is
 * accounted for and sound. TRUNCATED: only unfinished bytes at the end are amiss.
 * DAMAGED: findings tell where. Other errors: it could not be checked. */
MEMFILE_API int memfile_verify(const char *path, const memfile_verify_options *options, memfile_verify_result *result,
                               memfile_error *error);

/* What names a history, to be kept elsewhere: later it shows whether a copy still has it. */
typedef struct memfile_receipt {
    uint8_t memory_id[16];
    uint64_t commit, entries;   /* the newest commit, and entries in the file then */
    uint8_t history_digest[32]; /* its */
    uint8_t genesis_digest[32]; /* of commit 0 */
} memfile_receipt;

#define MEMFILE_RECEIPT_SIZE 240 /* bytes of a receipt as text, with its NUL, at most */

/* The receipt of the handle's snapshot, as its newest commit says it: verify first if in
 * doubt. DAMAGED: the first commit cannot be read. */
MEMFILE_API int memfile_receipt_take(memfile *mf, memfile_receipt *out);

/* As one line without line feed, NUL-terminated. */
MEMFILE_API void memfile_receipt_print(const memfile_receipt *receipt, char out[MEMFILE_RECEIPT_SIZE]);
/* And back. INVALID: no receipt, or a letter of it was changed. */
MEMFILE_API int memfile_receipt_parse(const char *text, size_t length, memfile_receipt *out, memfile_error *error);

/* What a receipt says of a copy. The first two contain its history. */
typedef enum memfile_receipt_verdict {
    MEMFILE_RECEIPT_EXACT = 0,    /* that very history */
    MEMFILE_RECEIPT_LATER = 1,    /* it, and later commits */
    MEMFILE_RECEIPT_OLDER = 2,    /* the newest commit is before the receipt's: rolled back, or cut off */
    MEMFILE_RECEIPT_FORKED = 3,   /* the same beginning, but another commit of that number */
    MEMFILE_RECEIPT_REWRITTEN = 4, /* the same memory's id, another beginning */
    MEMFILE_RECEIPT_OTHER = 5,    /* another memory */
    MEMFILE_RECEIPT_UNKNOWN = 6   /* damage hides what is to be compared, or verify was quick */
} memfile_receipt_verdict;

/* result: of a memfile_verify whose wanted_commit was receipt->commit. */
MEMFILE_API memfile_receipt_verdict memfile_receipt_compare(const memfile_receipt *receipt,
                                                            const memfile_verify_result *result);
/* The word of SPEC 20.13. Static string. */
MEMFILE_API const char *memfile_receipt_word(memfile_receipt_verdict verdict);

/* A proof that an entry was part of a commit, and that commit part of a history: one
 * line of JSON, of some KB, that is checked without the file. SPEC 20.14.
 *
 * memfile_prove makes it of the newest version of `id` as of commit `as_of`
 * (MEMFILE_NEWEST: of the newest), whose history digest it leads to. All of the file
 * is verified for it, once. It discloses the entry and its salt, and of all others
 * salted leaves only. The text is valid until the next call on the handle. NOT_FOUND; DAMAGED. */
MEMFILE_API int memfile_prove(memfile *mf, const char *id, size_t id_length, uint64_t as_of, const char **out,
                              size_t *length);

/* A proof that holds. It belongs to one thread at a time. */
typedef struct memfile_proof memfile_proof;

/* Checks a proof; a line feed may stand behind it. DAMAGED: it does not hold, or is none.
 * What holds hangs by the history digest: compare that with one that you trust, or
 * look who signed it. */
MEMFILE_API int memfile_proof_check(const char *text, size_t length, memfile_proof **out, memfile_error *error);
MEMFILE_API void memfile_proof_free(memfile_proof *proof);

/* What it proves. All pointers are valid until memfile_proof_free. */
typedef struct memfile_proof_info {
    uint8_t memory_id[16];
    const char *entry;          /* as JSON, in the interchange form; text or data is null if detached */
    size_t entry_length;
    int content_is_detached;    /* then the content is what has this root (SPEC 11.1) and length */
    uint64_t content_length;
    uint8_t content_root[32];
    uint64_t commit;            /* number of the commit that brought it */
    int64_t commit_time_us;
    const char *author;         /* of that commit; NULL: not said */
    size_t author_length;
    uint64_t index, count;      /* the entry's place among those of its commit, and how many they are */
    uint64_t newest_commit;     /* number of the commit that the proof leads to */
    int64_t newest_time_us;
    uint8_t history_digest[32]; /* of that one */
    size_t signature_count;     /* of that one; each is right */
    const uint8_t *signatures;  /* 32 bytes public key, 64 bytes signature each */
} memfile_proof_info;

/* struct_size bytes of *info are filled: pass sizeof(memfile_proof_info). */
MEMFILE_API void memfile_proof_get_info(const memfile_proof *proof, memfile_proof_info *info, size_t struct_size);

typedef struct memfile_recover_options {
    size_t struct_size;
    uint32_t threads;
    uint32_t compression_level; /* 1 to 19 */
    void (*finding)(void *context, const memfile_finding *finding);
    memfile_progress *progress;
    void *context;
    const memfile_environment *environment;
    memfile_unlock unlock; /* for a sealed file; the new one is sealed for the same, under a new data key */
} memfile_recover_options;

#define MEMFILE_RECOVER_OPTIONS_INIT \
    { sizeof(memfile_recover_options), 1, 12, NULL, NULL, NULL, NULL, {NULL, 0, NULL} }

typedef struct memfile_recover_result {
    memfile_verify_result damage; /* of the damaged file, as memfile_verify tells it */
    uint64_t bytes_after, entries, commits; /* in the new file */
    int same_history;             /* nothing of it was lost: digests and numbers are the old ones */
    uint8_t history_digest[32];   /* of the new file */
    uint64_t left_out;            /* sound segments that only a newer version knows: they are not in the new file */
} memfile_recover_result;

/* Reads all that is sound in a damaged file, which is opened for reading only, and
 * writes it to `output`, which must not exist: a new file with an index of its own,
 * verified before it gets its name. What fails its checksum is never copied. Commits
 * of which nothing is left are left out; entries and commits are numbered anew behind
 * the first loss, and the history goes on from there under digests of its own.
 * OK: nothing was lost. TRUNCATED: nothing that is known to have been committed, but unfinished bytes stand at
 * the end, as verify says: an append that was interrupted, or a commit whose end was cut off. DAMAGED:
 * something was lost, or left out, and `output` has the rest. UNCERTAIN: `output` is whole, but its
 * directory could not be synced. On any other error, and when nothing sound was found
 * (NOT_MEMFILE), there is no output. */
MEMFILE_API int memfile_recover(const char *path, const char *output, const memfile_recover_options *options,
                                memfile_recover_result *result, memfile_error *error);

/* An entry that stays and refers to a memory that is erased. */
typedef struct memfile_dangling {
    uint64_t entry;
    const char *id; /* its own, as text */
    size_t id_length;
    const char *relation; /* of the link; NULL: derived_from */
    size_t relation_length;
    const char *target;
    size_t target_length;
} memfile_dangling;

typedef struct memfile_compact_options {
    size_t struct_size;
    const char *output;  /* write there instead of replacing; must not exist */
    uint32_t threads;
    uint32_t compression_level; /* 1 to 19 */
    uint32_t lock_timeout_ms;
    memfile_progress *progress;
    void *context;
    const memfile_environment *environment;
    memfile_unlock unlock;     /* for a sealed file */
    memfile_seal_for seal_for; /* whom the new file is sealed for; all zero: as the old one, under a new data key */
    void (*dangling)(void *context, const memfile_dangling *dangling); /* NULL: none */
    /* A segment that this library does not know is not kept: it speaks of entries that are erased, or
     * cannot be read. NULL: none */
    void (*dropped)(void *context, unsigned type, uint64_t offset, uint64_t first_entry, uint64_t entry_count);
} memfile_compact_options;

#define MEMFILE_COMPACT_OPTIONS_INIT \
    { sizeof(memfile_compact_options), NULL, 1, 12, 10000, NULL, NULL, NULL, {NULL, 0, NULL}, {NULL, 0, 0, 0, NULL, 0, 0}, \
      NULL, NULL }

typedef struct memfile_compact_result {
    uint64_t bytes_before, bytes_after, entries, commits;
    uint8_t history_digest[32];
    uint64_t erased;           /* entries that were forgotten, and are not in the file any more */
    uint64_t dangling;         /* references of others to them */
    uint64_t dropped_segments; /* unknown ones that were not kept */
} memfile_compact_result;

typedef struct memfile_rekey_options {
    size_t struct_size;
    memfile_unlock unlock;     /* what opens it now */
    memfile_seal_for seal_for; /* whom it is sealed for from now on */
    uint32_t lock_timeout_ms;
    const memfile_environment *environment;
} memfile_rekey_options;

#define MEMFILE_REKEY_OPTIONS_INIT \
    { sizeof(memfile_rekey_options), {NULL, 0, NULL}, {NULL, 0, 0, 0, NULL, 0, 0}, 10000, NULL }

/* Seals what is written from now on for somebody else, by appending a new data key with the older ones wrapped
 * under it. Whoever could open the file before can still read what stood in it then, here and in every copy;
 * memfile_compact with seal_for writes all of it anew under a key that they do not have. A file that is plain cannot be
 * sealed so: that is MISUSE, and compaction's work too. KEY, INVALID, BUSY, and what writing fails with. */
MEMFILE_API int memfile_rekey(const char *path, const memfile_rekey_options *options, memfile_error *error);

/* Writes the memory anew, as tight as it can, verifies the new file, and swaps
 * it in by rename. What was forgotten is not in the new file, but for the salted hash of each
 * entry, whose salt is gone; readers of the old file go on undisturbed. History, digests
 * and entry numbers stay. On failure the old file is as it was and the new one is
 * removed; UNCERTAIN: the rename was done and its sync failed. */
MEMFILE_API int memfile_compact(const char *path, const memfile_compact_options *options,
                                memfile_compact_result *result, memfile_error *error);

#ifdef __cplusplus
}
#endif

#endif
