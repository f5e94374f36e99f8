/* keyfile: SPEC 20.11. Secrets live in memory that libsodium guards, and pass through the stack
 * only where they are wiped again. */
#include "keyfile.h"

#include <sodium.h>

#include "digest.h"

#define CHECK_LENGTH 4
#define OPEN_LENGTH (MF_KEY_LENGTH + CHECK_LENGTH)
#define COSTS_LENGTH 8 /* passes, memory */
#define SALT_AT COSTS_LENGTH
#define NONCE_AT (SALT_AT + crypto_pwhash_argon2id_SALTBYTES)
#define BOX_AT (NONCE_AT + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)
#define BOX_LENGTH (MF_KEY_LENGTH + crypto_aead_xchacha20poly1305_ietf_ABYTES)
#define LOCKED_LENGTH (BOX_AT + BOX_LENGTH)
#define PREFIX_MAX 12u
#define BASE64_LENGTH(n) ((n) / 3 * 4) /* all lengths here are multiples of 3: no bits are left over */
#define LINE_MAX_LENGTH (PREFIX_MAX + BASE64_LENGTH(LOCKED_LENGTH))

_Static_assert(OPEN_LENGTH % 3 == 0 && LOCKED_LENGTH % 3 == 0, "base64 without padding");
_Static_assert(LOCKED_LENGTH == 96 && BOX_AT == 48, "as SPEC 20.11 has it");
_Static_assert(MEMFILE_PUBLIC_SIZE > 5 + BASE64_LENGTH(OPEN_LENGTH), "room");
_Static_assert(MEMFILE_KEY_TEXT_SIZE > LINE_MAX_LENGTH + 1, "room");

typedef enum form { FORM_PUBLIC, FORM_SECRET, FORM_LOCKED } form;

static const char prefixes[][3][PREFIX_MAX + 1] = {
    [MEMFILE_RECIPIENT] = {"mfr1-", "MFR1-SECRET-", "MFR1-LOCKED-"},
    [MEMFILE_SIGNER] = {"mfs1-", "MFS1-SECRET-", "MFS1-LOCKED-"},
};

struct memfile_key { /* in sodium_malloc's memory */
    uint8_t secret[crypto_sign_ed25519_SECRETKEYBYTES]; /* a signer's seed is its first half */
    uint8_t public_bytes[MF_KEY_LENGTH];
    memfile_key_kind kind;
};

/* ---- keys */

static bool is_kind(memfile_key_kind kind)
{
    return kind == MEMFILE_RECIPIENT || kind == MEMFILE_SIGNER;
}

/* A point that keeps no secret is refused: of low order, or not written the one way. */
static bool public_valid(memfile_key_kind kind, const uint8_t bytes[MF_KEY_LENGTH])
{
    static const uint8_t any[MF_KEY_LENGTH] = {1};
    uint8_t shared[crypto_scalarmult_BYTES], top = 0xff;
    if (kind == MEMFILE_SIGNER)
        return crypto_core_ed25519_is_valid_point(bytes) == 1;
    for (unsigned i = 1; i < 31; i++)
        top &= bytes[i];
    if (bytes[31] & 0x80 || (bytes[31] == 0x7f && top == 0xff && bytes[0] >= 0xed))
        return false; /* 2^255 - 19 or more */
    return crypto_scalarmult(shared, any, bytes) == 0;
}

/* The key of 32 secret bytes. */
static int key_of(memfile_key_kind kind, const uint8_t secret[MF_KEY_LENGTH], memfile_key **out, memfile_error *err)
{
    if (sodium_is_zero(secret, MF_KEY_LENGTH))
        return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "not a key: all of it is zero");
    memfile_key *key = (memfile_key *)sodium_malloc(sizeof *key);
    if (!key)
        return mf_fail_memory(err);
    key->kind = kind;
    if (kind == MEMFILE_SIGNER) {
        crypto_sign_ed25519_seed_keypair(key->public_bytes, key->secret, secret);
    } else {
        sodium_memzero(key->secret, sizeof key->secret);
        memcpy(key->secret, secret, MF_KEY_LENGTH);
        crypto_scalarmult_base(key->public_bytes, key->secret);
    }
    sodium_mprotect_readonly(key);
    *out = key;
    return MEMFILE_OK;
}

int memfile_key_generate(memfile_key_kind kind, memfile_key **out, memfile_error *error)
{
    uint8_t secret[MF_KEY_LENGTH];
    *out = NULL;
    mf_error_clear(error);
    if (!is_kind(kind))
        return mf_fail(error, MEMFILE_E_INVALID, MF_NOWHERE, "there is no kind %d of keys", (int)kind);
    if (!mf_digest_start())
        return mf_fail(error, MEMFILE_E_SYSTEM, MF_NOWHERE, "libsodium cannot be used");
    randombytes_buf(secret, sizeof secret);
    int rc = key_of(kind, secret, out, error);
    sodium_memzero(secret, sizeof secret);
    return rc;
}

void memfile_key_free(memfile_key *key)
{
    sodium_free(key); /* wipes */
}

void memfile_wipe(void *data, size_t length)
{
    sodium_memzero(data, length);
}

memfile_key_kind memfile_key_kind_of(const memfile_key *key)
{
    return key->kind;
}

bool mf_key_is(const memfile_key *key, memfile_key_kind kind)
{
    return key && key->kind == kind;
}

const uint8_t *mf_key_secret(const memfile_key *key)
{
    return key->secret;
}

const uint8_t *mf_key_public(const memfile_key *key)
{
    return key->public_bytes;
}

void mf_sign(uint8_t out[MF_SIGNATURE_LENGTH], const memfile_key *key, const void *message, size_t length)
{
    crypto_sign_ed25519_detached(out, NULL, (const unsigned char *)message, length, key->secret);
}

bool mf_signature_valid(const uint8_t signature[MF_SIGNATURE_LENGTH], const uint8_t signer[MF_KEY_LENGTH],
                        const void *message, size_t length)
{
    return crypto_sign_ed25519_verify_detached(signature, (const unsigned char *)message, length, signer) == 0;
}

/* ---- text: prefix, then base64url */

/* Tells a changed letter, and one kind of key or form from another. */
static void check_of(uint8_t out[CHECK_LENGTH], const char *prefix, const uint8_t bytes[MF_KEY_LENGTH])
{
    uint8_t digest[MF_DIGEST_LENGTH], text[PREFIX_MAX + MF_KEY_LENGTH];
    size_t n = strlen(prefix);
    memcpy(text, prefix, n);
    memcpy(text + n, bytes, MF_KEY_LENGTH);
    mf_digest(digest, MF_LABEL_KEY, text, n + MF_KEY_LENGTH);
    memcpy(out, digest, CHECK_LENGTH);
    sodium_memzero(text, sizeof text);
}

/* Appends base64 behind the prefix; NUL-terminated. Returns the length. */
static size_t put_line(char *out, size_t size, const char *prefix, const uint8_t *bytes, size_t length)
{
    size_t n = strlen(prefix);
    memcpy(out, prefix, n);
    sodium_bin2base64(out + n, size - n, bytes, length, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return n + BASE64_LENGTH(length);
}

static size_t put_open(char *out, size_t size, const char *prefix, const uint8_t bytes[MF_KEY_LENGTH])
{
    uint8_t raw[OPEN_LENGTH];
    memcpy(raw, bytes, MF_KEY_LENGTH);
    check_of(raw + MF_KEY_LENGTH, prefix, bytes);
    size_t n = put_line(out, size, prefix, raw, sizeof raw);
    sodium_memzero(raw, sizeof raw);
    return n;
}

/* Which prefix a line has; 0 when none. */
static memfile_key_kind prefix_of(mf_slice line, form *f)
{
    for (int kind = MEMFILE_RECIPIENT; kind <= MEMFILE_SIGNER; kind++)
        for (int i = FORM_PUBLIC; i <= FORM_LOCKED; i++) {
            size_t n = strlen(prefixes[kind][i]);
            if (line.length >= n && memcmp(line.data, prefixes[kind][i], n) == 0) {
                *f = (form)i;
                return (memfile_key_kind)kind;
            }
        }
    return (memfile_key_kind)0;
}

static bool all_base64url(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!((text[i] >= 'A' && text[i] <= 'Z') || (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9') ||
              text[i] == '-' || text[i] == '_'))
            return false;
    return true;
}

/* All of what stands behind the prefix, which must be `length` bytes in the one way to write them. */
static bool get_line(uint8_t *out, size_t length, const char *prefix, mf_slice line)
{
    size_t n = strlen(prefix), got = 0;
    const char *end = NULL, *text = (const char *)line.data + n;
    return line.length - n == BASE64_LENGTH(length) &&
           all_base64url(text, line.length - n) && /* libsodium takes some bytes above 127 for letters */
           sodium_base642bin(out, length, text, line.length - n, NULL, &got, &end,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
           got == length && end == text + (line.length - n);
}

static bool get_open(uint8_t out[MF_KEY_LENGTH], const char *prefix, mf_slice line)
{
    uint8_t raw[OPEN_LENGTH], check[CHECK_LENGTH];
    bool good = get_line(raw, sizeof raw, prefix, line);
    if (good) {
        memcpy(out, raw, MF_KEY_LENGTH);
        check_of(check, prefix, out);
        good = sodium_memcmp(check, raw + MF_KEY_LENGTH, CHECK_LENGTH) == 0;
    }
    sodium_memzero(raw, sizeof raw);
    return good;
}

void memfile_public_print(memfile_key_kind kind, const uint8_t bytes[32], char out[MEMFILE_PUBLIC_SIZE])
{
    put_open(out, MEMFILE_PUBLIC_SIZE, prefixes[kind][FORM_PUBLIC], bytes);
}

void memfile_key_public(const memfile_key *key, char out[MEMFILE_PUBLIC_SIZE])
{
    memfile_public_print(key->kind, key->public_bytes, out);
}

int memfile_public_parse(const char *text, size_t length, memfile_key_kind *kind, uint8_t out[32],
                         memfile_error *error)
{
    form f = FORM_SECRET;
    mf_slice line = mf_slice_of(text, length);
    memfile_key_kind k = prefix_of(line, &f);
    mf_error_clear(error);
    *kind = (memfile_key_kind)0;
    memset(out, 0, MF_KEY_LENGTH);
    if (!mf_digest_start())
        return mf_fail(error, MEMFILE_E_SYSTEM, MF_NOWHERE, "libsodium cannot be used");
    if (k && f != FORM_PUBLIC)
        return mf_fail(error, MEMFILE_E_INVALID, MF_NOWHERE, "that is a secret key; its public one is asked for");
    if (!k)
        return mf_fail(error, MEMFILE_E_INVALID, MF_NOWHERE, "not a public key: they begin with mfr1- or mfs1-");
    if (!get_open(out, prefixes[k][FORM_PUBLIC], line) || !public_valid(k, out)) {
        memset(out, 0, MF_KEY_LENGTH);
        return mf_fail(error, MEMFILE_E_INVALID, MF_NOWHERE, "not a public key: a letter of it is wrong or missing");
    }
    *kind = k;
    return MEMFILE_OK;
}

/* ---- locked under a passphrase */

/* The key of the box; the costs were checked. */
static int stretch(uint8_t out[32], const char *passphrase, size_t length, const uint8_t raw[BOX_AT], memfile_error *err)
{
    if (crypto_pwhash(out, 32, passphrase, length, raw + SALT_AT, mf_load32(raw), (size_t)mf_load32(raw + 4) * 1024,
                      crypto_pwhash_ALG_ARGON2ID13) != 0)
        return mf_fail(err, MEMFILE_E_MEMORY, MF_NOWHERE, "no memory for the passphrase: it takes %lu KiB",
                       (unsigned long)mf_load32(raw + 4));
    return MEMFILE_OK;
}

static int check_costs(uint32_t passes, uint32_t memory_kib, memfile_error *err)
{
    if (passes > MF_LOCK_PASSES_MAX || memory_kib > MF_LOCK_MEMORY_KIB_MAX)
        return mf_fail(err, MEMFILE_E_LIMIT, MF_NOWHERE,
                       "the passphrase would take %lu passes over %lu KiB; at most %u over %u are allowed",
                       (unsigned long)passes, (unsigned long)memory_kib, MF_LOCK_PASSES_MAX, MF_LOCK_MEMORY_KIB_MAX);
    if (passes == 0 || memory_kib < MF_LOCK_MEMORY_KIB_MIN)
        return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "%lu passes over %lu KiB protect no passphrase",
                       (unsigned long)passes, (unsigned long)memory_kib);
    return MEMFILE_OK;
}

/* Prefix and everything before the box. */
static size_t associated(uint8_t out[PREFIX_MAX + BOX_AT], const char *prefix, const uint8_t raw[BOX_AT])
{
    memcpy(out, prefix, PREFIX_MAX);
    memcpy(out + PREFIX_MAX, raw, BOX_AT);
    return PREFIX_MAX + BOX_AT;
}

static int lock(uint8_t raw[LOCKED_LENGTH], const memfile_key *key, const memfile_lock *how, memfile_error *err)
{
    uint8_t box_key[32], ad[PREFIX_MAX + BOX_AT];
    int rc = check_costs(how->passes, how->memory_kib, err);
    if (rc != MEMFILE_OK)
        return rc;
    mf_store32(raw, how->passes);
    mf_store32(raw + 4, how->memory_kib);
    randombytes_buf(raw + SALT_AT, BOX_AT - SALT_AT);
    rc = stretch(box_key, how->passphrase, how->passphrase_length, raw, err);
    if (rc == MEMFILE_OK)
        crypto_aead_xchacha20poly1305_ietf_encrypt(raw + BOX_AT, NULL, key->secret, MF_KEY_LENGTH, ad,
                                                   associated(ad, prefixes[key->kind][FORM_LOCKED], raw), NULL,
                                                   raw + NONCE_AT, box_key);
    sodium_memzero(box_key, sizeof box_key);
    return rc;
}

static int unlock(uint8_t secret[MF_KEY_LENGTH], const char *prefix, const uint8_t raw[LOCKED_LENGTH],
                  const char *passphrase, size_t length, memfile_error *err)
{
    uint8_t box_key[32], ad[PREFIX_MAX + BOX_AT];
    int rc = check_costs(mf_load32(raw), mf_load32(raw + 4), err);
    if (rc == MEMFILE_OK)
        rc = stretch(box_key, passphrase, length, raw, err);
    if (rc == MEMFILE_OK && crypto_aead_xchacha20poly1305_ietf_decrypt(
                                secret, NULL, NULL, raw + BOX_AT, BOX_LENGTH, ad, associated(ad, prefix, raw),
                                raw + NONCE_AT, box_key) != 0)
        rc = mf_fail(err, MEMFILE_E_KEY, MF_NOWHERE, "the passphrase is wrong, or the key's line was changed");
    sodium_memzero(box_key, sizeof box_key);
    return rc;
}

int memfile_key_write(const memfile_key *key, const memfile_lock *how, char out[MEMFILE_KEY_TEXT_SIZE],
                      memfile_error *error)
{
    uint8_t raw[LOCKED_LENGTH];
    int rc = MEMFILE_OK;
    memset(out, 0, MEMFILE_KEY_TEXT_SIZE);
    mf_error_clear(error);
    if (!how) {
        put_open(out, MEMFILE_KEY_TEXT_SIZE, prefixes[key->kind][FORM_SECRET], key->secret);
    } else if (!how->passphrase || how->passphrase_length == 0) {
        rc = mf_fail(error, MEMFILE_E_INVALID, MF_NOWHERE, "an empty passphrase protects nothing");
    } else {
        rc = lock(raw, key, how, error);
        if (rc == MEMFILE_OK)
            put_line(out, MEMFILE_KEY_TEXT_SIZE, prefixes[key->kind][FORM_LOCKED], raw, sizeof raw);
    }
    return rc;
}

/* The one line of the text that is neither empty nor a comment; false when there is another number of them. */
static bool key_line(mf_slice text, mf_slice *out)
{
    size_t found = 0;
    for (size_t at = 0, end; at < text.length; at = end + 1) {
        for (end = at; end < text.length && text.data[end] != '\n';)
            end++;
        mf_slice line = mf_slice_of(text.data + at, end - at);
        if (line.length && line.data[line.length - 1] == '\r')
            line.length--;
        if (line.length == 0 || line.data[0] == '#')
            continue;
        *out = line;
        found++;
    }
    return found == 1;
}

/* The line, its kind and its form; for secrets only. */
static int find_key(mf_slice text, mf_slice *line, memfile_key_kind *kind, form *f, memfile_error *err)
{
    if (!key_line(text, line) || !(*kind = prefix_of(*line, f)))
        return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "not a key: one line MFR1-... or MFS1-... is expected");
    if (*f == FORM_PUBLIC)
        return mf_fail(err, MEMFILE_E_INVALID, MF_NOWHERE, "that is a public key; the secret one is asked for");
    return MEMFILE_OK;
}

int memfile_key_is_locked(const char *text, size_t length)
{
    mf_slice line;
    memfile_key_kind kind;
    form f;
    return find_key(mf_slice_of(text, length), &line, &kind, &f, NULL) == MEMFILE_OK && f == FORM_LOCKED;
}

int memfile_key_read(const char *text, size_t length, const char *passphrase, size_t passphrase_length,
                     memfile_key **out, memfile_error *error)
{
    uint8_t secret[MF_KEY_LENGTH], raw[LOCKED_LENGTH];
    mf_slice line;
    memfile_key_kind kind;
    form f;
    *out = NULL;
    mf_error_clear(error);
    if (!mf_digest_start())
        return mf_fail(error, MEMFILE_E_SYSTEM, MF_NOWHERE, "libsodium cannot be used");
    int rc = find_key(mf_slice_of(text, length), &line, &kind, &f, error);
    if (rc != MEMFILE_OK)
        return rc;
    const char *prefix = prefixes[kind][f];
    if (f == FORM_SECRET ? !get_open(secret, prefix, line) : !get_line(raw, sizeof raw, prefix, line))
        rc = mf_fail(error, MEMFILE_E_INVALID, MF_NOWHERE, "not a key: a letter of it is wrong or missing");
    else if (f == FORM_LOCKED && !passphrase)
        rc = mf_fail(error, MEMFILE_E_KEY, MF_NOWHERE, "the key is locked; its passphrase is needed");
    else if (f == FORM_LOCKED)
        rc = unlock(secret, prefix, raw, passphrase, passphrase_length, error);
    if (rc == MEMFILE_OK)
        rc = key_of(kind, secret, out, error);
    sodium_memzero(secret, sizeof secret);
    return rc;
}
