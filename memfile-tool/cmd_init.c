/* init: a new, empty memory. */
#include "tool.h"

int run_init(args *a)
{
    memfile *mf;
    memfile_options options = MEMFILE_OPTIONS_INIT;
    memfile_info info;
    if (!write_options(a, &options))
        return EXIT_USAGE;
    size_t length;
    const char *passphrase = secret_passphrase(&length);
    if (!seal_options(a, passphrase, length, &options.seal_for))
        return EXIT_USAGE;
    int rc = open_memfile(a->positional[0], MEMFILE_CREATE, &options, &mf);
    if (rc != EXIT_DONE)
        return rc;
    memfile_get_info(mf, &info, sizeof info);
    if (arg_flag(a, "json")) {
        printf("{\"memory_id\":\"");
        print_hex(stdout, info.memory_id, 16);
        printf("\"}\n");
    }
    memfile_close(mf);
    return finish_output(EXIT_DONE);
}
