/* get: one entry's content, or all of it. */
#include <string.h>

#include "tool.h"

/* Exactly the bytes that were put. Only a terminal is spared what it would obey,
 * and gets a line feed behind a last line that has none. */
static int print_content(memfile *mf, const memfile_entry *entry)
{
    static char buffer[65536];
    memfile_content *content;
    bool terminal = is_terminal(stdout);
    char last = '\0';
    size_t n = 0;
    int rc = memfile_content_open(mf, entry, &content);
    while (rc == MEMFILE_OK && (rc = memfile_content_read(content, buffer, sizeof buffer, &n)) == MEMFILE_OK && n > 0) {
        if (terminal)
            tame(buffer, n, true, &last);
        fwrite(buffer, 1, n, stdout);
        if (output_failed())
            break;
    }
    if (rc == MEMFILE_OK && terminal && last != '\n')
        putchar('\n');
    memfile_content_close(content);
    return rc;
}

int run_get(args *a)
{
    const char *path = a->positional[0], *id = a->positional[1], *as_of = arg_value(a, "as-of");
    memfile *mf;
    const memfile_entry *entry;
    uint64_t commit = MEMFILE_NEWEST;
    int code = open_memfile(path, MEMFILE_READ, NULL, &mf);
    if (code != EXIT_DONE)
        return code;
    int rc = as_of ? memfile_find_commit(mf, as_of, &commit) : MEMFILE_OK;
    if (rc == MEMFILE_OK)
        rc = memfile_get(mf, id, strlen(id), commit, &entry);
    if (rc == MEMFILE_OK && arg_flag(a, "json")) {
        const char *json;
        size_t length;
        rc = memfile_entry_json(mf, entry, UINT64_MAX, &json, &length);
        if (rc == MEMFILE_OK)
            print_json_line(json, length);
    } else if (rc == MEMFILE_OK) {
        rc = print_content(mf, entry);
    }
    code = rc == MEMFILE_OK ? reading_ended(mf, path, EXIT_DONE) : report(path, memfile_last_error(mf));
    memfile_close(mf);
    return finish_output(code);
}
