/* log: commits, newest first, and what they forgot. */
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* What one entry forgot. */
typedef struct forgetting {
    uint64_t entry, *entries;
    size_t count, reason_length, actor_length;
    char *reason, *actor; /* NULL: not said */
} forgetting;

typedef struct state {
    uint64_t limit, shown;
    bool json;
    forgetting *forgettings;
    size_t count;
} state;

static char *copy(const void *bytes, size_t length)
{
    char *out = bytes ? (char *)malloc(length + 1) : NULL;
    if (out)
        memcpy(out, bytes, length);
    return out;
}

static int keep(void *context, const memfile_forgetting *f)
{
    state *s = (state *)context;
    forgetting *grown = (forgetting *)realloc(s->forgettings, (s->count + 1) * sizeof *grown);
    if (!grown)
        return MEMFILE_E_MEMORY;
    s->forgettings = grown;
    forgetting *out = &grown[s->count++];
    memset(out, 0, sizeof *out);
    out->entry = memfile_entry_number(f->by);
    out->count = f->count;
    out->entries = (uint64_t *)copy(f->entries, f->count * sizeof *f->entries);
    const char *reason = memfile_entry_field(f->by, MEMFILE_REASON, &out->reason_length);
    out->reason = copy(reason, out->reason_length);
    const char *actor = memfile_entry_field(f->by, MEMFILE_ACTOR, &out->actor_length);
    out->actor = copy(actor, out->actor_length);
    return out->entries ? MEMFILE_OK : MEMFILE_E_MEMORY;
}

/* 3-7, 9 */
static void print_numbers(const forgetting *f)
{
    for (size_t i = 0, last; i < f->count; i = last + 1) {
        for (last = i; last + 1 < f->count && f->entries[last + 1] == f->entries[last] + 1;)
            last++;
        printf("%s%llu", i ? ", " : "", (unsigned long long)f->entries[i]);
        if (last > i)
            printf("-%llu", (unsigned long long)f->entries[last]);
    }
}

static void print_forgetting(const forgetting *f)
{
    printf("          forgot %s ", plural(f->count, "entry", "entries"));
    print_numbers(f);
    if (f->reason) {
        fputs(": ", stdout);
        print_line(stdout, f->reason, f->reason_length, 0);
    }
    putchar('\n');
}

static void print_text_or_null(const char *text, size_t length)
{
    if (text)
        print_json_string(stdout, text, length);
    else
        fputs("null", stdout);
}

static void print_forgettings_json(const state *s, const memfile_commit_info *c)
{
    bool first = true;
    for (size_t i = 0; i < s->count; i++) {
        const forgetting *f = &s->forgettings[i];
        if (f->entry < c->first_entry || f->entry - c->first_entry >= c->entry_count)
            continue;
        printf("%s{\"entry\":%llu,\"entries\":[", first ? ",\"forgot\":[" : ",", (unsigned long long)f->entry);
        for (size_t k = 0; k < f->count; k++)
            printf("%s%llu", k ? "," : "", (unsigned long long)f->entries[k]);
        fputs("],\"reason\":", stdout);
        print_text_or_null(f->reason, f->reason_length);
        fputs(",\"actor\":", stdout);
        print_text_or_null(f->actor, f->actor_length);
        putchar('}');
        first = false;
    }
    if (!first)
        putchar(']');
}

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
        putchar(']');
        print_forgettings_json(s, c);
        puts("}");
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
        for (size_t i = 0; i < s->count; i++)
            if (s->forgettings[i].entry >= c->first_entry && s->forgettings[i].entry - c->first_entry < c->entry_count)
                print_forgetting(&s->forgettings[i]);
    }
    return output_failed() ? MEMFILE_DONE : MEMFILE_OK;
}

int run_log(args *a)
{
    memfile *mf;
    state s = {UINT64_MAX, 0, arg_flag(a, "json"), NULL, 0};
    if (!arg_number(a, "limit", 1, UINT64_MAX, &s.limit))
        return EXIT_USAGE;
    int code = open_memfile(a->positional[0], MEMFILE_READ, NULL, &mf);
    if (code != EXIT_DONE)
        return code;
    int rc = memfile_forgettings(mf, keep, &s);
    if (rc == MEMFILE_OK)
        rc = memfile_log(mf, show, &s);
    code = rc < 0 ? report(a->positional[0], memfile_last_error(mf)) : EXIT_DONE;
    memfile_close(mf);
    for (size_t i = 0; i < s.count; i++) {
        free(s.forgettings[i].entries);
        free(s.forgettings[i].reason);
        free(s.forgettings[i].actor);
    }
    free(s.forgettings);
    return finish_output(code);
}
