/* secret: passphrases and keys. They come from a terminal, a file or a descriptor, never from an argument or
 * the environment, are read once before the sandbox is closed, and are wiped when the process ends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define PASSPHRASE_MAX 1024u
#define KEY_FILE_MAX 65536u

typedef struct passphrase {
    char text[PASSPHRASE_MAX + 3]; /* room for a line's end, and to see that there is more */
    size_t length;
    bool given;
} passphrase;

static passphrase of_file; /* --passphrase...: the memfile's, or of the key that is asked for */
static passphrase of_next; /* --new-passphrase...: the memfile's from now on */
static memfile_key *identity, *signer;

static void wipe(passphrase *p)
{
    memfile_wipe(p, sizeof *p);
}

void secrets_wipe(void)
{
    wipe(&of_file);
    wipe(&of_next);
    memfile_key_free(identity);
    memfile_key_free(signer);
    identity = signer = NULL;
}

/* Called before the first secret is read. */
static void protect(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    system_no_dumps();
    atexit(secrets_wipe);
}

/* ---- terminal */

/* Takes one line's end off and checks the length; `where` names the source. */
static int finish(passphrase *p, size_t length, const char *where)
{
    if (length && p->text[length - 1] == '\n')
        length -= 1 + (length > 1 && p->text[length - 2] == '\r');
    if (length == 0)
        return usage_error("the passphrase %s is empty", where), EXIT_KEY;
    if (length > PASSPHRASE_MAX)
        return usage_error("the passphrase %s has more than %u bytes", where, PASSPHRASE_MAX), EXIT_KEY;
    p->length = length;
    p->given = true;
    return EXIT_DONE;
}

/* `about` (may be NULL) names what it is for; confirm: it is being set, and asked for twice. */
static int ask_passphrase(passphrase *p, const char *about, bool confirm)
{
    int code = EXIT_DONE;
    protect();
    ptrdiff_t n = terminal_ask(confirm ? "New passphrase" : "Passphrase", about, p->text, sizeof p->text);
    if (n == -2) {
        usage_error("there is no terminal to ask for the passphrase");
        hint("--passphrase-file FILE or --passphrase-fd N gives it (--sign-passphrase-file for a signing key)");
        code = EXIT_KEY;
    } else if (n < 0) {
        usage_error("cannot read the passphrase: %s", strerror(errno));
        code = EXIT_SYSTEM;
    } else {
        code = finish(p, (size_t)n, "that was typed");
    }
    if (code == EXIT_DONE && confirm) {
        passphrase again;
        memset(&again, 0, sizeof again);
        n = terminal_ask("The same again", NULL, again.text, sizeof again.text);
        code = finish(&again, n < 0 ? 0 : (size_t)n, "that was typed");
        if (code == EXIT_DONE && (again.length != p->length || memcmp(again.text, p->text, p->length) != 0))
            code = (usage_error("the two passphrases differ"), EXIT_KEY);
        wipe(&again);
    }
    if (code != EXIT_DONE)
        wipe(p);
    return code;
}

/* ---- files */

/* All of a descriptor, at most `size` bytes; -1 with errno. */
static ptrdiff_t read_all(int fd, char *out, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ptrdiff_t n = input_read(fd, out + length, size - length);
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    return (ptrdiff_t)length;
}

static int passphrase_from(passphrase *p, int fd, const char *name)
{
    char where[320];
    protect();
    ptrdiff_t n = fd < 0 ? -1 : read_all(fd, p->text, sizeof p->text);
    if (n < 0) {
        usage_error("cannot read the passphrase from %s: %s", name, strerror(errno));
        return EXIT_SYSTEM;
    }
    snprintf(where, sizeof where, "in %s", name);
    int code = finish(p, (size_t)n, where);
    if (code != EXIT_DONE)
        wipe(p);
    return code;
}

static int passphrase_file(passphrase *p, const char *path)
{
    char name[300];
    snprintf(name, sizeof name, "'%s'", path);
    uint64_t size;
    int fd = input_open(path, &size);
    int code = passphrase_from(p, fd, name);
    input_close(fd);
    return code;
}

/* Where the options `name`, name-file and name-fd say; EXIT_DONE with nothing given when there are none. */
static int load_passphrase(passphrase *p, const args *a, const char *name, const char *about, bool confirm)
{
    char by_file[32], by_fd[32];
    snprintf(by_file, sizeof by_file, "%s-file", name);
    snprintf(by_fd, sizeof by_fd, "%s-fd", name);
    const char *file = arg_value(a, by_file);
    bool prompt = arg_flag(a, name), descriptor = arg_flag(a, by_fd);
    uint64_t fd = 0;
    if ((file != NULL) + prompt + descriptor > 1)
        return usage_error("%s: --%s, --%s and --%s exclude each other", a->verb->name, name, by_file, by_fd);
    if (!arg_number(a, by_fd, 0, INT32_MAX, &fd))
        return EXIT_USAGE;
    if (prompt)
        return ask_passphrase(p, about, confirm);
    if (file)
        return passphrase_file(p, file);
    if (descriptor) {
        char number[40];
        snprintf(number, sizeof number, "descriptor %u", (unsigned)fd);
        return passphrase_from(p, (int)fd, number);
    }
    return EXIT_DONE;
}

static int key_text(const char *path, char *text, size_t size, size_t *length)
{
    uint64_t file_size;
    int fd = input_open(path, &file_size);
    ptrdiff_t n = fd < 0 ? -1 : read_all(fd, text, size);
    if (n < 0)
        strncmp(path, "MF", 2) == 0 && strchr(path, '-') /* a key itself, which is never repeated */
            ? usage_error("a key is named by its file, not by what stands in it")
            : usage_error("cannot read the key '%s': %s", path, strerror(errno));
    if (n >= 0 && input_is_open_to_others(fd))
        hint("others can read the key '%s': chmod 600 '%s'", path, path);
    input_close(fd);
    *length = n < 0 ? 0 : (size_t)n;
    return n < 0 ? EXIT_SYSTEM : EXIT_DONE;
}

/* The key in the file; a locked one is opened by `given`, or asked for. */
static int load_key(const char *path, memfile_key_kind kind, const passphrase *given, memfile_key **out)
{
    static char text[KEY_FILE_MAX];
    passphrase typed;
    memfile_error error;
    size_t length;
    memset(&typed, 0, sizeof typed);
    protect();
    int code = key_text(path, text, sizeof text, &length);
    if (code == EXIT_DONE && memfile_key_is_locked(text, length) && !given->given) {
        code = ask_passphrase(&typed, path, false);
        given = &typed;
    }
    if (code == EXIT_DONE && memfile_key_read(text, length, given->given ? given->text : NULL, given->length, out,
                                              &error) != MEMFILE_OK) {
        usage_error("%s: %s", path, error.message);
        code = error.code == MEMFILE_E_MEMORY || error.code == MEMFILE_E_SYSTEM ? EXIT_SYSTEM : EXIT_KEY;
    }
    wipe(&typed);
    memfile_wipe(text, sizeof text);
    if (code == EXIT_DONE && memfile_key_kind_of(*out) != kind) {
        usage_error("%s: this key %s", path, kind == MEMFILE_SIGNER ? "opens sealed files; a signing one is asked for"
                                                                     : "signs; one that opens sealed files is asked for");
        hint("memfile-tool keygen%s makes one", kind == MEMFILE_SIGNER ? " --sign" : "");
        code = EXIT_KEY;
    }
    return code;
}

static bool has_option(const args *a, const char *name)
{
    for (const option *o = a->verb->options; o->name; o++)
        if (strcmp(o->name, name) == 0)
            return true;
    return false;
}

/* ---- for the verbs */

int secrets_load(const args *a, bool setting)
{
    const char *sign = arg_value(a, "sign-with"), *sign_file = arg_value(a, "sign-passphrase-file");
    const char *path = arg_value(a, "identity");
    int code = load_passphrase(&of_file, a, "passphrase", a->positional[0], setting);
    if (code == EXIT_DONE)
        code = load_passphrase(&of_next, a, "new-passphrase", a->positional[0], true);
    if (code == EXIT_DONE && arg_flag(a, "without-key") && (of_file.given || path))
        code = usage_error("%s: --without-key is to do without one", a->verb->name);
    if (code == EXIT_DONE && !path && !of_file.given && has_option(a, "identity") && !arg_flag(a, "without-key") &&
        !arg_flag(a, "quick"))
        path = getenv("MEMFILE_IDENTITY");
    if (code == EXIT_DONE && path && *path)
        code = load_key(path, MEMFILE_RECIPIENT, &of_file, &identity);
    if (code == EXIT_DONE && sign_file && !sign)
        code = usage_error("%s: --sign-passphrase-file is for the key of --sign-with", a->verb->name);
    if (code == EXIT_DONE && sign) {
        passphrase p;
        memset(&p, 0, sizeof p);
        if (sign_file)
            code = passphrase_file(&p, sign_file);
        if (code == EXIT_DONE)
            code = load_key(sign, MEMFILE_SIGNER, &p, &signer);
        wipe(&p);
    }
    return code;
}

const char *secret_passphrase(size_t *length)
{
    *length = of_file.length;
    return of_file.given ? of_file.text : NULL;
}

const char *secret_new_passphrase(size_t *length)
{
    *length = of_next.length;
    return of_next.given ? of_next.text : NULL;
}

const memfile_key *secret_identity(void)
{
    return identity;
}

memfile_unlock secret_unlock(void)
{
    memfile_unlock u = {of_file.given && !identity ? of_file.text : NULL, identity ? 0 : of_file.length, identity};
    return u;
}

bool seal_options(const args *a, const char *text, size_t length, memfile_seal_for *out)
{
    static const char *recipients[64];
    uint64_t passes = 0, memory = 0;
    if (!arg_number(a, "passes", 1, 10, &passes) || !arg_number(a, "memory", 8, 1048576, &memory))
        return false;
    memset(out, 0, sizeof *out);
    out->passphrase = text;
    out->passphrase_length = length;
    out->passes = (uint32_t)passes;
    out->memory_kib = (uint32_t)memory;
    out->recipients = recipients;
    out->padded = arg_flag(a, "pad");
    for (const char *r; out->recipient_count < 64 && (r = arg_nth(a, "recipient", (int)out->recipient_count));) {
        memfile_key_kind kind;
        memfile_error error;
        uint8_t key[32];
        if (memfile_public_parse(r, strlen(r), &kind, key, &error) != MEMFILE_OK) {
            usage_error("%s: --recipient %u: %s", a->verb->name, out->recipient_count + 1, error.message);
            hint("it takes the public key, mfr1-..., that memfile-tool keygen printed");
            return false;
        }
        recipients[out->recipient_count++] = r;
    }
    if (!text && (passes || memory)) {
        usage_error("%s: --passes and --memory are what trying a passphrase costs, and none is set", a->verb->name);
        return false;
    }
    return true;
}

const memfile_key *secret_signer(void)
{
    return signer;
}
