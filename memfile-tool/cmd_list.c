/* list: entries that a filter lets through, as a table or as JSON Lines. */
#include <string.h>

#include "tool.h"

/* Columns of the table. What is no terminal gets all ids and texts whole. */
typedef struct layout {
    size_t width; /* 0: no limit */
    size_t number, time, kind, id, text;
} layout;

static size_t digits(uint64_t value)
{
    size_t n = 1;
    for (; value > 9; value /= 10)
        n++;
    return n;
}

static layout layout_for(uint64_t entries)
{
    layout l = {0, 8, 20, 12, 36, 0};
    if (!is_terminal(stdout))
        return l;
    size_t columns = terminal_columns();
    l.width = columns ? columns : 100;
    l.number = digits(entries);
    if (l.width < 120) {
        l.time = l.width < 50 ? 0 : l.width < 70 ? 10 : 16;
        l.kind = l.width < 70 ? 8 : 10;
        l.id = l.width / 4 < 8 ? 8 : l.width / 4;
    }
    /* two blanks between columns, and the pin's sign with one behind it */
    size_t used = l.number + 2 + (l.time ? l.time + 2 : 0) + l.kind + 2 + 2 + l.id + 2;
    l.text = l.width > used + 10 ? l.width - used : 10;
    return l;
}

static void pad(size_t used, size_t width)
{
    for (size_t i = used; i < width + 2; i++)
        putchar(' ');
}

/* 2026-11-02T08:00:00Z, or its beginning */
static void print_when(const memfile_entry *e, size_t width)
{
    int64_t seconds;
    uint32_t nanoseconds;
    char when[TIME_TEXT_SIZE] = "-";
    if (width == 0)
        return;
    if (memfile_entry_time(e, MEMFILE_TIME, &seconds, &nanoseconds)) {
        time_text(when, seconds * 1000000);
        when[19] = 'Z';
        when[20] = '\0';
    }
    when[width] = '\0';
    fputs(when, stdout);
    pad(strlen(when), width);
}

/* "[key] #tag #tag " in at most `room` columns (0: any); returns the columns. */
static size_t print_labels(const memfile_entry *e, size_t room)
{
    size_t used = 0, length;
    const char *key = memfile_entry_field(e, MEMFILE_KEY, &length);
    if (key && (!room || text_columns(key, length) + 3 <= room)) {
        putchar('[');
        used += print_line(stdout, key, length, 0) + 3;
        fputs("] ", stdout);
    }
    for (size_t i = 0; i < memfile_entry_tag_count(e); i++) {
        const char *tag = memfile_entry_tag(e, i, &length);
        if (!tag || (room && used + text_columns(tag, length) + 2 > room))
            break;
        putchar('#');
        used += print_line(stdout, tag, length, 0) + 2;
        putchar(' ');
    }
    return used;
}

static void print_row(const memfile_entry *e, const layout *l)
{
    char id[256];
    size_t id_length = memfile_entry_id(e, id), length;
    printf("%*llu  ", (int)l->number, (unsigned long long)memfile_entry_number(e));
    print_when(e, l->time);
    const char *kind = memfile_entry_field(e, MEMFILE_KIND, &length);
    pad(print_line(stdout, kind ? kind : "-", kind ? length : 1, l->width ? l->kind : 0), l->kind);
    fputs(memfile_entry_is_pinned(e) ? "* " : "  ", stdout);
    pad(print_middle(stdout, id, id_length, l->width ? l->id : 0), l->id);
    size_t room = l->text;
    if (!l->width || room >= 36)
        room -= print_labels(e, room / 2);
    const char *text = memfile_entry_field(e, MEMFILE_TEXT, &length);
    if (text)
        print_line(stdout, text, length, l->width ? room : 0);
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
    if (!arg_number(a, "limit", 1, UINT64_MAX, &filter.limit) || !arg_time(a, "since") || !arg_time(a, "until"))
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
            return usage_error("list: --scope takes 1 to 32 names like a/b, not '%.60s'", scope);
    }
    int code = open_memfile(path, MEMFILE_READ, NULL, &mf);
    if (code != EXIT_DONE)
        return code;
    int rc = as_of ? memfile_find_commit(mf, as_of, &filter.as_of) : MEMFILE_OK;
    if (rc == MEMFILE_OK)
        rc = memfile_list(mf, &filter, &cursor);
    memfile_info info;
    memfile_get_info(mf, &info, sizeof info);
    layout columns = layout_for(info.entries);
    uint64_t shown = 0, damaged = 0;
    while (rc == MEMFILE_OK && (rc = memfile_cursor_next(cursor, &entry)) == MEMFILE_OK) {
        shown++;
        if (arg_flag(a, "json")) {
            rc = print_entry(mf, entry, &damaged);
        } else {
            print_row(entry, &columns);
        }
        if (output_failed())
            break;
    }
    code = rc < 0 ? report(path, memfile_last_error(mf)) : damaged ? report_damaged(path, damaged) : shown ? EXIT_DONE : EXIT_NOTHING;
    code = reading_ended(mf, path, code);
    memfile_cursor_close(cursor);
    memfile_close(mf);
    return finish_output(code);
}
