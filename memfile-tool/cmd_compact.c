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

typedef struct talk {
    const char *open; /* what stands before the list, as JSON; NULL: in words, on stderr */
    uint64_t told;
} talk;

static void dangling_json(const memfile_dangling *d)
{
    FILE *out = stdout;
    fprintf(out, "{\"entry\":%llu,\"id\":", (unsigned long long)d->entry);
    print_json_string(out, d->id, d->id_length);
    fputs(",\"rel\":", out);
    if (d->relation)
        print_json_string(out, d->relation, d->relation_length);
    else
        fputs("null", out);
    fputs(",\"to\":", out);
    print_json_string(out, d->target, d->target_length);
    fputc('}', out);
}

static void tell_dangling(void *context, const memfile_dangling *d)
{
    talk *t = (talk *)context;
    if (t->open) {
        fputs(t->told++ ? "," : t->open, stdout);
        dangling_json(d);
        return;
    }
    progress_clear();
    fprintf(stderr, "entry %llu, ", (unsigned long long)d->entry);
    print_line(stderr, d->id, d->id_length, 0);
    fputs(d->relation ? ", refers (" : ", was derived from (", stderr);
    print_line(stderr, d->relation ? d->relation : "derived_from", d->relation ? d->relation_length : 12, 0);
    fputs(") to what is erased: ", stderr);
    print_line(stderr, d->target, d->target_length, 0);
    fputc('\n', stderr);
}

static void tell_dropped(void *context, unsigned type, uint64_t offset, uint64_t first_entry, uint64_t entry_count)
{
    (void)context;
    progress_clear();
    fprintf(stderr, "a segment of the unknown type %u at offset %llu, of entries %llu to %llu, is not kept\n", type,
            (unsigned long long)offset, (unsigned long long)first_entry, (unsigned long long)(first_entry + entry_count));
}

static int show(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    return progress_show((void *)"compacting", done, total);
}

int compact_at(const char *path, const char *output, const memfile_options *write, uint32_t level, const char *open,
               memfile_compact_result *result)
{
    memfile_compact_options options = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_error error;
    talk t = {open, 0};
    options.output = output;
    options.unlock = secret_unlock();
    options.threads = write->threads;
    options.compression_level = level ? level : options.compression_level;
    options.lock_timeout_ms = write->lock_timeout_ms;
    options.progress = show;
    options.dangling = tell_dangling;
    options.dropped = tell_dropped;
    options.context = &t;
    int rc = memfile_compact(path, &options, result, &error);
    progress_clear();
    if (rc != MEMFILE_OK)
        return report_path(path, output, &error);
    if (open)
        printf("%s]", t.told ? "" : open);
    return EXIT_DONE;
}

int run_compact(args *a)
{
    memfile_compact_result r;
    memfile_options write = MEMFILE_OPTIONS_INIT;
    uint64_t level = 0;
    write.threads = 2;
    if (!write_options(a, &write) || !arg_number(a, "level", 1, 19, &level))
        return EXIT_USAGE;
    bool json = arg_flag(a, "json");
    int code = compact_at(a->positional[0], arg_value(a, "output"), &write, (uint32_t)level,
                          json ? "{\"dangling\":[" : NULL, &r);
    if (code == EXIT_DONE && json) {
        printf(",\"bytes_before\":%llu,\"bytes_after\":%llu,\"entries\":%llu,\"commits\":%llu,\"history_digest\":\"",
               (unsigned long long)r.bytes_before, (unsigned long long)r.bytes_after, (unsigned long long)r.entries,
               (unsigned long long)r.commits);
        print_hex(stdout, r.history_digest, 32);
        printf("\",\"erased\":%llu}\n", (unsigned long long)r.erased);
    } else if (code == EXIT_DONE) {
        if (r.erased)
            fprintf(stderr, "%llu forgotten %s erased\n", (unsigned long long)r.erased,
                    plural(r.erased, "entry is", "entries are"));
        say_sizes(r.bytes_before, r.bytes_after);
    }
    return code == EXIT_DONE ? finish_output(code) : code;
}
