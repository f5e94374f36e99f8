/* list: entries that a filter lets through, as a table or as JSON Lines. */
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tool.h"

static size_t terminal_width(void)
{
    struct winsize size;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 60)
        return size.ws_col;
    return isatty(STDOUT_FILENO) ? 100 : 0;
}

static void print_row(const memfile_entry *e, size_t width)
{
    char id[256];
    size_t id_length = memfile_entry_id(e, id), kind_length, text_length;
    const char *kind = memfile_entry_field(e, MEMFILE_KIND, &kind_length);
    const char *text = memfile_entry_field(e, MEMFILE_TEXT, &text_length);
    int64_t seconds;
    uint32_t nanoseconds;
    char when[24] = "-                   ";
    if (memfile_entry_time(e, MEMFILE_TIME, &seconds, &nanoseconds)) {
        FILE *out = fmemopen(when, sizeof when, "w");
        if (out) {
            print_time_us(out, seconds * 1000000);
            fclose(out);
        }
        when[19] = 'Z';
        when[20] = '\0';
    }
    printf("%8llu  %-20.20s  %-12.*s  ", (unsigned long long)memfile_entry_number(e), when,
           (int)(kind_length < 12 ? kind_length : 12), kind ? kind : "-");
    size_t used = 8 + 2 + 20 + 2 + 12 + 2;
    print_line(stdout, id, id_length, width ? 40 : 0);
    for (size_t i = id_length; i < 36; i++)
        putchar(' ');
    fputs("  ", stdout);
    used += (id_length < 36 ? 36 : id_length < 40 ? id_length : 40) + 2;
    if (text)
        print_line(stdout, text, text_length, width ? (width > used + 10 ? width - used : 10) : 0);
    else
        printf("(%llu bytes%s)", (unsigned long long)memfile_entry_content_length(e),
               memfile_entry_content_is_detached(e) ? ", detached" : "");
    putchar('\n');
}

int run_list(args *a)
{
    const char *path = a->positional[0], *as_of = arg_value(a, "as-of"), *scope = arg_value(a, "scope"), *names[32];
    char storage[8192];
    memfile *mf;
    memfile_cursor *cursor = NULL;
    const memfile_entry *entry;
    memfile_filter filter = MEMFILE_FILTER_INIT;
    if (!arg_number(a, "limit", 1, UINT64_MAX, &filter.limit))
        return EXIT_USAGE;
    filter.kind = arg_value(a, "kind");
    filter.tag = arg_value(a, "tag");
    filter.key = arg_value(a, "key");
    filter.since = arg_value(a, "since");
    filter.until = arg_value(a, "until");
    filter.reverse = arg_flag(a, "reverse");
    filter.all = arg_flag(a, "all");
    if (scope) {
        filter.scope_count = split_scope(scope, names, storage, sizeof storage);
        filter.scope = names;
        if (filter.scope_count == 0)
            return usage_error("list: --scope takes names like a/b, not '%s'", scope);
    }
    int code = open_memfile(path, MEMFILE_READ, NULL, &mf);
    if (code != EXIT_DONE)
        return code;
    int rc = as_of ? memfile_find_commit(mf, as_of, &filter.as_of) : MEMFILE_OK;
    if (rc == MEMFILE_OK)
        rc = memfile_list(mf, &filter, &cursor);
    size_t width = terminal_width();
    uint64_t shown = 0;
    int lost = EXIT_DONE;
    while (rc == MEMFILE_OK && (rc = memfile_cursor_next(cursor, &entry)) == MEMFILE_OK) {
        shown++;
        if (arg_flag(a, "json")) {
            const char *json;
            size_t length;
            rc = memfile_entry_json(mf, entry, UINT64_MAX, &json, &length);
            if (rc == MEMFILE_E_DAMAGED) { /* this one is lost; the others are not */
                lost = lost ? lost : report(path, memfile_last_error(mf));
                rc = MEMFILE_OK;
                continue;
            }
            if (rc == MEMFILE_OK)
                fwrite(json, 1, length, stdout), putchar('\n');
        } else {
            print_row(entry, width);
        }
        if (ferror(stdout))
            break;
    }
    code = rc < 0 ? report(path, memfile_last_error(mf)) : lost ? lost : shown ? EXIT_DONE : EXIT_NOTHING;
    memfile_cursor_close(cursor);
    memfile_close(mf);
    return finish_output(code);
}
