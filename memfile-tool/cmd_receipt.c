/* receipt: a line that names the history, to be kept elsewhere. */
#include <string.h>

#include "tool.h"

int run_receipt(args *a)
{
    memfile *mf;
    memfile_receipt r;
    char text[MEMFILE_RECEIPT_SIZE];
    int code = open_memfile(a->positional[0], MEMFILE_READ, NULL, &mf);
    if (code != EXIT_DONE)
        return code;
    if (memfile_receipt_take(mf, &r) != MEMFILE_OK)
        code = report(a->positional[0], memfile_last_error(mf));
    memfile_info info;
    memset(&info, 0, sizeof info);
    memfile_get_info(mf, &info, sizeof info);
    memfile_close(mf);
    if (code == EXIT_DONE && info.unfinished_is_damage) {
        usage_error("%s: the file is damaged; its receipt might be of an older commit than the newest", a->positional[0]);
        code = EXIT_DAMAGE;
    }
    if (code == EXIT_DONE) {
        memfile_receipt_print(&r, text);
        if (arg_flag(a, "json"))
            printf("{\"receipt\":\"%s\",\"commit\":%llu,\"entries\":%llu}\n", text, (unsigned long long)r.commit,
                   (unsigned long long)r.entries);
        else
            puts(text);
    }
    return finish_output(code);
}
