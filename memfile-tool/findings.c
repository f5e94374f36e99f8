/* findings: what verify and recover found, as lines or as JSON. */
#include <string.h>

#include "tool.h"

#define SHOWN_MAX 1000

static void show_range(const char *one, const char *many, uint64_t first, uint64_t count)
{
    if (count == 1)
        printf("%s %llu: ", one, (unsigned long long)first);
    else if (count > 1)
        printf("%s %llu to %llu: ", many, (unsigned long long)first, (unsigned long long)(first + count - 1));
}

void findings_show(void *context, const memfile_finding *f)
{
    findings *s = (findings *)context;
    if (s->shown++ >= SHOWN_MAX)
        return;
    if (s->json) {
        printf("%s{\"class\":", s->shown == 1 ? "" : ",");
        print_json_string(stdout, memfile_strerror(f->code), strlen(memfile_strerror(f->code)));
        if (f->offset != UINT64_MAX)
            printf(",\"offset\":%llu", (unsigned long long)f->offset);
        if (f->length)
            printf(",\"length\":%llu", (unsigned long long)f->length);
        if (f->entry_count)
            printf(",\"first_entry\":%llu,\"entries\":%llu", (unsigned long long)f->first_entry,
                   (unsigned long long)f->entry_count);
        if (f->commit_count)
            printf(",\"first_commit\":%llu,\"commits\":%llu", (unsigned long long)f->first_commit,
                   (unsigned long long)f->commit_count);
        printf(",\"message\":");
        print_json_string(stdout, f->message, strlen(f->message));
        putchar('}');
        return;
    }
    progress_clear();
    printf("%s: ", memfile_strerror(f->code));
    if (f->offset != UINT64_MAX && f->length)
        printf("offset %llu, %llu %s: ", (unsigned long long)f->offset, (unsigned long long)f->length,
               plural(f->length, "byte", "bytes"));
    else if (f->offset != UINT64_MAX)
        printf("offset %llu: ", (unsigned long long)f->offset);
    show_range("entry", "entries", f->first_entry, f->entry_count);
    show_range("commit", "commits", f->first_commit, f->commit_count);
    printf("%s\n", f->message);
}
