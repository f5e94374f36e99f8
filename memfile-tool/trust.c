/* trust: what the user holds a file against: signers and a receipt, from the command line or files, read before
 * the sandbox is closed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define LINES_MAX 65536u

static memfile_receipt receipt;
static bool receipt_given;
static uint8_t (*signers)[32];
static size_t signer_count;

static int add_signer(const char *text, size_t length, const char *where)
{
    memfile_key_kind kind;
    memfile_error error;
    uint8_t key[32];
    if (memfile_public_parse(text, length, &kind, key, &error) != MEMFILE_OK)
        return length > 5 && text[0] == 'M' /* a secret is never repeated */
                   ? usage_error("%s: %s", where, error.message)
                   : usage_error("%s: '%.*s': %s", where, (int)(length < 60 ? length : 60), text, error.message);
    if (kind != MEMFILE_SIGNER)
        return usage_error("%s: '%.*s' is a key that opens sealed files; one that signs begins with mfs1-", where,
                           (int)length, text);
    void *grown = realloc(signers, (signer_count + 1) * sizeof *signers);
    if (!grown) {
        usage_error("out of memory");
        return EXIT_SYSTEM;
    }
    signers = (uint8_t(*)[32])grown;
    memcpy(signers[signer_count++], key, 32);
    return EXIT_DONE;
}

/* All of a short file, NUL-terminated, in memory that the next call uses again. */
static int read_text(const char *path, char **out)
{
    static char text[LINES_MAX + 2];
    FILE *f = fopen(path, "r");
    size_t length = f ? fread(text, 1, LINES_MAX + 1, f) : 0;
    bool read = f && !ferror(f);
    int error = errno;
    if (f)
        fclose(f);
    if (!read) {
        usage_error("cannot read '%s': %s", path, strerror(error));
        return EXIT_SYSTEM;
    }
    if (length > LINES_MAX)
        return usage_error("'%s' has more than %u bytes", path, LINES_MAX);
    text[length] = '\0';
    *out = text;
    return EXIT_DONE;
}

/* A public key a line, and what the user likes behind it; empty lines and comments are passed over. */
static int add_signers(const char *path)
{
    char *text = NULL;
    int code = read_text(path, &text);
    size_t before = signer_count;
    for (char *line = text; code == EXIT_DONE && *line;) {
        size_t line_length = strcspn(line, "\n"), n = strcspn(line, " \t\r\n");
        if (n > 0 && line[0] != '#')
            code = add_signer(line, n, path);
        line += line_length + (line[line_length] == '\n');
    }
    if (code == EXIT_DONE && signer_count == before)
        return usage_error("'%s' holds no public key", path);
    return code;
}

/* The line itself, or @ and the file that holds it. */
static int set_receipt(const char *value)
{
    memfile_error error;
    char *text = NULL;
    int code = value[0] == '@' ? read_text(value + 1, &text) : EXIT_DONE;
    const char *line = text ? text : value;
    size_t length = strlen(line);
    while (length > 0 && strchr(" \t\r\n", line[length - 1]))
        length--;
    if (code == EXIT_DONE && memfile_receipt_parse(line, length, &receipt, &error) != MEMFILE_OK)
        return usage_error("--receipt: %s", error.message);
    receipt_given = code == EXIT_DONE;
    return code;
}

int trust_load(const args *a)
{
    const char *value;
    int code = EXIT_DONE;
    for (int i = 0; code == EXIT_DONE && (value = arg_nth(a, "signer", i)); i++)
        code = add_signer(value, strlen(value), "--signer");
    if (code == EXIT_DONE && (value = arg_value(a, "signers")))
        code = add_signers(value);
    if (code == EXIT_DONE && (value = arg_value(a, "receipt")))
        code = set_receipt(value);
    return code;
}

const memfile_receipt *trust_receipt(void)
{
    return receipt_given ? &receipt : NULL;
}

bool trust_asked(void)
{
    return signer_count > 0;
}

bool trust_has(const uint8_t public_key[32])
{
    for (size_t i = 0; i < signer_count; i++)
        if (memcmp(signers[i], public_key, 32) == 0)
            return true;
    return false;
}
