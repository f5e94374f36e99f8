/* rekey: a sealed file for somebody else. */
#include <string.h>

#include "tool.h"

static int in_place(const args *a, const memfile_seal_for *seal_for, uint32_t wait_ms)
{
    memfile_rekey_options options = MEMFILE_REKEY_OPTIONS_INIT;
    memfile_error error;
    options.unlock = secret_unlock();
    options.seal_for = *seal_for;
    options.lock_timeout_ms = wait_ms;
    if (memfile_rekey(a->positional[0], &options, &error) != MEMFILE_OK)
        return report_path(a->positional[0], NULL, &error);
    hint("whoever had the old key can still read what stood there before; --compact writes all of it anew");
    return EXIT_DONE;
}

static int anew(const args *a, const memfile_seal_for *seal_for, uint32_t wait_ms)
{
    memfile_compact_options options = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_error error;
    options.unlock = secret_unlock();
    options.seal_for = *seal_for;
    options.lock_timeout_ms = wait_ms;
    options.threads = 2;
    options.progress = progress_show;
    options.context = (void *)"sealing";
    int rc = memfile_compact(a->positional[0], &options, NULL, &error);
    progress_clear();
    if (rc != MEMFILE_OK)
        return report_path(a->positional[0], NULL, &error);
    hint("the old key opens nothing of this file any more; copies that were made before are as they were");
    return EXIT_DONE;
}

int run_rekey(args *a)
{
    memfile_options write = MEMFILE_OPTIONS_INIT;
    memfile_seal_for seal_for;
    size_t length;
    const char *passphrase = secret_new_passphrase(&length);
    if (!write_options(a, &write) || !seal_options(a, passphrase, length, &seal_for))
        return EXIT_USAGE;
    if (!seal_for.passphrase && seal_for.recipient_count == 0) {
        usage_error("rekey: whom is it to be sealed for?");
        hint("--new-passphrase (the terminal asks), --new-passphrase-file FILE, or --recipient PUBLIC");
        return EXIT_USAGE;
    }
    bool all = arg_flag(a, "compact");
    int code = all ? anew(a, &seal_for, write.lock_timeout_ms) : in_place(a, &seal_for, write.lock_timeout_ms);
    if (code == EXIT_DONE && arg_flag(a, "json"))
        printf("{\"compacted\":%s}\n", all ? "true" : "false");
    return finish_output(code);
}
