/* export: all entries as JSON Lines. */
#include "tool.h"

int run_export(args *a)
{
    memfile *mf;
    memfile_cursor *cursor;
    const memfile_entry *entry;
    memfile_filter filter = MEMFILE_FILTER_INIT;
    memfile_info info;
    uint64_t damaged = 0;
    int rc = open_memfile(a->positional[0], MEMFILE_READ, NULL, &mf);
    if (rc != EXIT_DONE)
        return rc;
    memfile_get_info(mf, &info, sizeof info);
    filter.all = 1;
    rc = memfile_list(mf, &filter, &cursor);
    while (rc == MEMFILE_OK && (rc = memfile_cursor_next(cursor, &entry)) == MEMFILE_OK) {
        rc = print_entry(mf, entry, &damaged);
        if (output_failed())
            break;
        if (memfile_entry_number(entry) % 1024 == 0)
            progress_show((void *)"exporting", memfile_entry_number(entry), info.entries);
    }
    progress_clear();
    rc = rc < 0 ? report(a->positional[0], memfile_last_error(mf)) : damaged ? report_damaged(a->positional[0], damaged) : EXIT_DONE;
    rc = reading_ended(mf, a->positional[0], rc);
    memfile_cursor_close(cursor);
    memfile_close(mf);
    return finish_output(rc);
}
