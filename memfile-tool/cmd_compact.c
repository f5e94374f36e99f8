/* compact: the file anew, as small as it gets. */
#include "tool.h"

int run_compact(args *a)
{
    memfile_compact_options options = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_compact_result r;
    memfile_error error;
    uint64_t threads = 2, level = options.compression_level, wait = 10;
    if (!arg_number(a, "threads", 1, 64, &threads) || !arg_number(a, "level", 1, 19, &level) ||
        !arg_number(a, "wait", 0, 86400, &wait))
        return EXIT_USAGE;
    options.output = arg_value(a, "output");
    options.threads = (uint32_t)threads;
    options.compression_level = (uint32_t)level;
    options.lock_timeout_ms = (uint32_t)wait * 1000;
    options.progress = progress_show;
    options.context = (void *)"compacting";
    int rc = memfile_compact(a->positional[0], &options, &r, &error);
    progress_clear();
    if (rc != MEMFILE_OK)
        return report(a->positional[0], &error);
    if (arg_flag(a, "json")) {
        printf("{\"bytes_before\":%llu,\"bytes_after\":%llu,\"entries\":%llu,\"commits\":%llu,\"history_digest\":\"",
               (unsigned long long)r.bytes_before, (unsigned long long)r.bytes_after, (unsigned long long)r.entries,
               (unsigned long long)r.commits);
        print_hex(stdout, r.history_digest, 32);
        puts("\"}");
    } else {
        fprintf(stderr, "%llu bytes are now %llu; history and digests are the same\n",
                (unsigned long long)r.bytes_before, (unsigned long long)r.bytes_after);
    }
    return finish_output(EXIT_DONE);
}
