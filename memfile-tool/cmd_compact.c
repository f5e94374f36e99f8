/* compact: the file anew, as small as it gets. */
#include "tool.h"

static void say_sizes(uint64_t before, uint64_t after)
{
    if (after < before)
        fprintf(stderr, "%llu bytes are now %llu; the history is the same\n", (unsigned long long)before,
                (unsigned long long)after);
    else
        fprintf(stderr, "the file did not get smaller: %llu bytes are now %llu; the history is the same\n",
                (unsigned long long)before, (unsigned long long)after);
}

int run_compact(args *a)
{
    memfile_compact_options options = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_compact_result r;
    memfile_error error;
    memfile_options write = MEMFILE_OPTIONS_INIT;
    uint64_t level = options.compression_level;
    write.threads = 2;
    if (!write_options(a, &write) || !arg_number(a, "level", 1, 19, &level))
        return EXIT_USAGE;
    options.output = arg_value(a, "output");
    options.unlock = secret_unlock();
    options.threads = write.threads;
    options.compression_level = (uint32_t)level;
    options.lock_timeout_ms = write.lock_timeout_ms;
    options.progress = progress_show;
    options.context = (void *)"compacting";
    int rc = memfile_compact(a->positional[0], &options, &r, &error);
    progress_clear();
    if (rc != MEMFILE_OK)
        return report_path(a->positional[0], options.output, &error);
    if (arg_flag(a, "json")) {
        printf("{\"bytes_before\":%llu,\"bytes_after\":%llu,\"entries\":%llu,\"commits\":%llu,\"history_digest\":\"",
               (unsigned long long)r.bytes_before, (unsigned long long)r.bytes_after, (unsigned long long)r.entries,
               (unsigned long long)r.commits);
        print_hex(stdout, r.history_digest, 32);
        puts("\"}");
    } else {
        say_sizes(r.bytes_before, r.bytes_after);
    }
    return finish_output(EXIT_DONE);
}
