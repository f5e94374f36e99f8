/* keygen: a new secret key in a file of its own. */
#include <errno.h>
#include <string.h>

#include "tool.h"

/* A file that was there is never touched; one that could not be written whole is removed again. */
static int write_new(const char *path, const char *text, size_t length)
{
    int error = file_write_new(path, text, length);
    if (error == 0)
        return EXIT_DONE;
    if (error == EEXIST) {
        usage_error("'%s' exists; a key is never written over another file", path);
        return EXIT_CONFLICT;
    }
    usage_error("cannot write '%s': %s", path, strerror(error));
    return EXIT_SYSTEM;
}

int run_keygen(args *a)
{
    char secret[MEMFILE_KEY_TEXT_SIZE], public_text[MEMFILE_PUBLIC_SIZE], text[sizeof secret + sizeof public_text + 128];
    memfile_lock lock = MEMFILE_LOCK_INIT;
    memfile_key *key = NULL;
    memfile_error error;
    bool sign = arg_flag(a, "sign");
    lock.passphrase = secret_passphrase(&lock.passphrase_length);
    int rc = memfile_key_generate(sign ? MEMFILE_SIGNER : MEMFILE_RECIPIENT, &key, &error);
    if (rc == MEMFILE_OK)
        rc = memfile_key_write(key, lock.passphrase ? &lock : NULL, secret, &error);
    int code = rc == MEMFILE_OK ? EXIT_DONE : (usage_error("%s", error.message), exit_code_of(rc));
    if (code == EXIT_DONE) {
        memfile_key_public(key, public_text);
        int n = snprintf(text, sizeof text, "# memfile %s key, secret; its public key:\n# %s\n%s\n",
                         sign ? "signing" : "recipient", public_text, secret);
        code = write_new(a->positional[0], text, (size_t)n);
    }
    if (code == EXIT_DONE && arg_flag(a, "json"))
        printf("{\"public_key\":\"%s\",\"locked\":%s}\n", public_text, lock.passphrase ? "true" : "false");
    else if (code == EXIT_DONE)
        puts(public_text);
    memfile_wipe(secret, sizeof secret);
    memfile_wipe(text, sizeof text);
    memfile_key_free(key);
    return finish_output(code);
}
