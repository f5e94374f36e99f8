/* export: all entries as JSON Lines. */
#include "tool.h"

int run_export(args *a)
{
    memfile *mf;
    memfile_cursor *cursor;
    const memfile_entry *entry;
    memfile_filter filter = MEMFILE_FILTER_INIT;
    memfile_info info;
    int lost = EXIT_DONE;
    int rc = open_memfile(a->positional[0], MEMFILE_READ, NULL, &mf);
    if (rc != EXIT_DONE)
        return rc;
    memfile_get_info(mf, &info, sizeof info);
    filter.all = 1;
    rc = memfile_list(mf, &filter, &cursor);
    while (rc == MEMFILE_OK && (rc = memfile_cursor_next(cursor, &entry)) == MEMFILE_OK) {
        const char *json;
        size_t length;
        rc = memfile_entry_json(mf, entry, UINT64_MAX, &json, &length);
        if (rc == MEMFILE_E_DAMAGED) { /* this one is lost; the others are not */
            lost = lost ? lost : report(a->positional[0], memfile_last_error(mf));
            rc = MEMFILE_OK;
            continue;
        }
        if (rc == MEMFILE_OK && (fwrite(json, 1, length, stdout) != length || putchar('\n') == EOF))
            break;
        if (memfile_entry_number(entry) % 1024 == 0)
            progress_show((void *)"exporting", memfile_entry_number(entry), info.entries);
    }
    progress_clear();
    rc = rc < 0 ? report(a->positional[0], memfile_last_error(mf)) : lost;
    memfile_cursor_close(cursor);
    memfile_close(mf);
    return finish_output(rc);
}
