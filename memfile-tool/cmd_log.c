/* log: commits, newest first. */
#include "tool.h"

typedef struct state {
    uint64_t limit, shown;
    bool json;
} state;

static int show(void *context, const memfile_commit_info *c)
{
    state *s = (state *)context;
    if (s->shown++ >= s->limit)
        return MEMFILE_DONE;
    if (s->json) {
        printf("{\"commit\":%llu,\"digest\":", (unsigned long long)c->number);
        if (c->has_digest)
            putchar('"'), print_hex(stdout, c->digest, 32), putchar('"');
        else
            fputs("null", stdout);
        fputs(",\"time\":\"", stdout);
        print_time_us(stdout, c->time_us);
        printf("\",\"first_entry\":%llu,\"entries\":%llu,\"author\":", (unsigned long long)c->first_entry,
               (unsigned long long)c->entry_count);
        if (c->author_length)
            print_json_string(stdout, c->author, c->author_length);
        else
            fputs("null", stdout);
        fputs(",\"signers\":[", stdout);
        for (size_t i = 0; i < c->signature_count; i++) {
            char name[MEMFILE_PUBLIC_SIZE];
            memfile_public_print(MEMFILE_SIGNER, c->signatures + i * 96, name);
            printf("%s\"%s\"", i ? "," : "", name);
        }
        puts("]}");
    } else {
        printf("%8llu  ", (unsigned long long)c->number);
        if (c->has_digest)
            print_hex(stdout, c->digest, 8);
        else
            fputs("folded          ", stdout);
        fputs("  ", stdout);
        print_time_us(stdout, c->time_us);
        printf("  %8llu %s", (unsigned long long)c->entry_count, plural(c->entry_count, "entry", "entries"));
        if (c->author_length || c->signature_count)
            fputs(c->entry_count == 1 ? "    " : "  ", stdout);
        if (c->author_length)
            print_line(stdout, c->author, c->author_length, 0);
        if (c->signature_count)
            fputs(c->author_length ? "  signed" : "signed", stdout);
        putchar('\n');
    }
    return output_failed() ? MEMFILE_DONE : MEMFILE_OK;
}

int run_log(args *a)
{
    memfile *mf;
    state s = {UINT64_MAX, 0, arg_flag(a, "json")};
    if (!arg_number(a, "limit", 1, UINT64_MAX, &s.limit))
        return EXIT_USAGE;
    int code = open_memfile(a->positional[0], MEMFILE_READ, NULL, &mf);
    if (code != EXIT_DONE)
        return code;
    int rc = memfile_log(mf, show, &s);
    code = rc < 0 ? report(a->positional[0], memfile_last_error(mf)) : EXIT_DONE;
    memfile_close(mf);
    return finish_output(code);
}
