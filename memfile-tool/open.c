/* open: opening memfiles as the verbs want it. */
#include <string.h>

#include "tool.h"

int open_memfile(const char *path, memfile_mode mode, memfile_options *options, memfile **out)
{
    memfile_error error;
    memfile_options defaults = MEMFILE_OPTIONS_INIT;
    int rc = memfile_open(path, mode, options ? options : &defaults, out, &error);
    if (rc != MEMFILE_OK)
        return report(path, &error);
    memfile_info info;
    memfile_get_info(*out, &info, sizeof info);
    if (info.unfinished_is_damage)
        hint("'%s' is damaged behind offset %llu; what was committed before is read. Run memfile-tool verify '%s'", path,
             (unsigned long long)info.committed_bytes, path);
    return EXIT_DONE;
}

size_t split_scope(const char *scope, const char *names[32], char *storage, size_t size)
{
    size_t count = 0, length = strlen(scope);
    if (length + 1 > size)
        return 0;
    memcpy(storage, scope, length + 1);
    for (char *at = storage; at && count < 32;) {
        char *slash = strchr(at, '/');
        if (slash)
            *slash++ = '\0';
        if (*at)
            names[count++] = at;
        at = slash;
    }
    return count;
}
