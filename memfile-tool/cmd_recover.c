/* recover: what is sound in a damaged file, as a new file. */
#include <string.h>

#include "tool.h"

static int show_progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    return progress_show((void *)"recovering", done, total);
}

int run_recover(args *a)
{
    findings s = {arg_flag(a, "json"), 0};
    memfile_recover_options options = MEMFILE_RECOVER_OPTIONS_INIT;
    memfile_recover_result r;
    memfile_error error;
    uint64_t threads = 2;
    if (!arg_number(a, "threads", 1, 64, &threads))
        return EXIT_USAGE;
    options.threads = (uint32_t)threads;
    options.unlock = secret_unlock();
    options.finding = findings_show;
    options.progress = show_progress;
    options.context = &s;
    if (s.json)
        printf("{\"findings\":[");
    int rc = memfile_recover(a->positional[0], a->positional[1], &options, &r, &error);
    progress_clear();
    bool written = rc == MEMFILE_OK || r.commits > 0;
    if (s.json) {
        printf("],\"result\":");
        print_json_string(stdout, rc == MEMFILE_OK ? "nothing lost" : memfile_strerror(rc),
                          strlen(rc == MEMFILE_OK ? "nothing lost" : memfile_strerror(rc)));
        printf(",\"written\":%s,\"entries\":%llu,\"commits\":%llu,\"lost_entries\":%llu,\"lost_commits\":%llu,"
               "\"left_out\":%llu,\"unfinished_bytes\":%llu,\"bytes\":%llu,\"same_history\":%s",
               written ? "true" : "false", (unsigned long long)r.entries, (unsigned long long)r.commits,
               (unsigned long long)r.damage.lost_entries, (unsigned long long)r.damage.lost_commits,
               (unsigned long long)r.left_out, (unsigned long long)r.damage.unfinished_bytes, (unsigned long long)r.bytes_after, r.same_history ? "true" : "false");
        if (written) {
            printf(",\"history_digest\":\"");
            print_hex(stdout, r.history_digest, 32);
            putchar('"');
        }
        puts("}");
    } else if (written) {
        printf("recovered: %llu %s in %llu %s\n", (unsigned long long)r.entries, plural(r.entries, "entry", "entries"),
               (unsigned long long)r.commits, plural(r.commits, "commit", "commits"));
        printf("lost:      %llu %s, %llu %s%s\n", (unsigned long long)r.damage.lost_entries,
               plural(r.damage.lost_entries, "entry", "entries"), (unsigned long long)r.damage.lost_commits,
               plural(r.damage.lost_commits, "commit", "commits"), r.damage.memory_unknown ? ", and the memory's id" : "");
        if (r.left_out)
            printf("left out:  %llu %s that only a newer version knows\n", (unsigned long long)r.left_out,
                   plural(r.left_out, "segment", "segments"));
        if (r.damage.unfinished_bytes)
            printf("unfinished: %llu %s at the end, an interrupted append or a commit whose end is missing\n",
                   (unsigned long long)r.damage.unfinished_bytes, plural(r.damage.unfinished_bytes, "byte", "bytes"));
        printf("history:   %s\n", r.same_history ? "the same as before" : "its own from the first loss on");
    }
    int code = exit_code_of(rc);
    if (rc != MEMFILE_OK && !written && !s.json)
        code = report_path(a->positional[0], a->positional[1], &error);
    return finish_output(code);
}
