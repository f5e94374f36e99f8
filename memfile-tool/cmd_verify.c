/* verify: every byte accounted for, or where it is not. */
#include <string.h>

#include "tool.h"

static void show_progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    progress_show((void *)"verifying", done, total);
}

/* What is to be done about it; to verify again is no advice here. */
static int conclude(const char *path, const memfile_verify_result *r, const memfile_error *e)
{
    if (e->code == MEMFILE_E_DAMAGED && r->findings > 0)
        usage_error("%s: the file is damaged: %llu %s, %llu %s lost", path, (unsigned long long)r->findings,
                    plural(r->findings, "finding", "findings"), (unsigned long long)r->lost_entries,
                    plural(r->lost_entries, "entry", "entries"));
    else if (e->code == MEMFILE_E_DAMAGED || e->code == MEMFILE_E_TRUNCATED)
        usage_error("%s: %s", path, e->message);
    else
        return report_path(path, NULL, e);
    if (e->code == MEMFILE_E_TRUNCATED && r->unfinished_bytes > 0)
        hint("nothing that was committed is lost: the next put declares these bytes void and goes on behind them");
    else
        hint("memfile-tool recover '%s' OUT writes all that is sound to a new file", path);
    return exit_code_of(e->code);
}

int run_verify(args *a)
{
    findings s = {arg_flag(a, "json"), 0};
    memfile_verify_options options = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result r;
    memfile_error error;
    uint64_t threads = 2;
    if (!arg_number(a, "threads", 1, 64, &threads))
        return EXIT_USAGE;
    options.quick = arg_flag(a, "quick");
    options.threads = (uint32_t)threads;
    options.finding = findings_show;
    options.progress = show_progress;
    options.context = &s;
    if (s.json)
        printf("{\"findings\":[");
    int rc = memfile_verify(a->positional[0], &options, &r, &error);
    progress_clear();
    bool checked = rc == MEMFILE_OK || r.findings > 0;
    if (s.json) {
        printf("],\"result\":");
        print_json_string(stdout, rc == MEMFILE_OK ? "sound" : memfile_strerror(rc),
                          strlen(rc == MEMFILE_OK ? "sound" : memfile_strerror(rc)));
        printf(",\"file_bytes\":%llu,\"unfinished_bytes\":%llu,\"void_bytes\":%llu,\"segments\":%llu,\"commits\":%llu,"
               "\"entries\":%llu,\"quick\":%s",
               (unsigned long long)r.file_bytes, (unsigned long long)r.unfinished_bytes,
               (unsigned long long)r.void_bytes, (unsigned long long)r.segments, (unsigned long long)r.commits,
               (unsigned long long)r.entries, options.quick ? "true" : "false");
        if (checked && !options.quick) {
            printf(",\"stored_digest\":\"");
            print_hex(stdout, r.stored_digest, 32);
            printf("\",\"history_digest\":\"");
            print_hex(stdout, r.history_digest, 32);
            putchar('"');
        }
        puts("}");
    } else if (rc == MEMFILE_OK) {
        printf("sound: %llu bytes, %llu %s, %llu %s, %llu %s%s\n", (unsigned long long)r.file_bytes,
               (unsigned long long)r.segments, plural(r.segments, "segment", "segments"),
               (unsigned long long)r.commits, plural(r.commits, "commit", "commits"), (unsigned long long)r.entries,
               plural(r.entries, "entry", "entries"), options.quick ? " (stored bytes only)" : "");
        if (!options.quick) {
            printf("stored digest  ");
            print_hex(stdout, r.stored_digest, 32);
            printf("\nhistory digest ");
            print_hex(stdout, r.history_digest, 32);
            putchar('\n');
        }
    }
    int code = exit_code_of(rc);
    if (rc != MEMFILE_OK && !s.json)
        code = conclude(a->positional[0], &r, &error);
    return finish_output(code);
}
