/* open: opening memfiles as the verbs want it. */
#include <stddef.h>
#include <string.h>

#include "tool.h"

int open_memfile(const char *path, memfile_mode mode, memfile_options *options, memfile **out)
{
    memfile_error error;
    memfile_options defaults = MEMFILE_OPTIONS_INIT;
    defaults.memory_limit_bytes = (uint64_t)8 << 30; /* a line of JSON may be 1 GiB long, and takes four times that */
    defaults.rebuild_limit_bytes = 0; /* who waits too long can stop it */
    options = options ? options : &defaults;
    if (mode != MEMFILE_CREATE)
        options->unlock = secret_unlock();
    int rc = memfile_open(path, mode, options, out, &error);
    if (rc != MEMFILE_OK)
        return report_path(path, NULL, &error);
    memfile_info info;
    memset(&info, 0, sizeof info);
    memfile_get_info(*out, &info, offsetof(memfile_info, superseded));
    if (info.unfinished_is_damage && mode == MEMFILE_READ) { /* who writes is told when it is refused */
        if (info.unfinished_bytes)
            hint("'%s' is damaged behind offset %llu; what was committed before is read", path,
                 (unsigned long long)info.committed_bytes);
        else
            hint("'%s' is damaged; all that is sound is read", path);
        hint("memfile-tool verify '%s' lists all that is damaged", path);
    } else if (info.unfinished_bytes && mode == MEMFILE_READ) {
        hint("%llu unfinished %s behind the newest commit of '%s': an append that was interrupted, or is going on",
             (unsigned long long)info.unfinished_bytes, plural(info.unfinished_bytes, "byte stands", "bytes stand"), path);
    }
    return EXIT_DONE;
}

int reading_ended(memfile *mf, const char *path, int code)
{
    memfile_info info;
    memset(&info, 0, sizeof info);
    memfile_get_info(mf, &info, sizeof info);
    if (!info.incomplete || (code != EXIT_DONE && code != EXIT_NOTHING))
        return code;
    hint("'%s' is damaged: entries, or newer versions of them, may be missing here", path);
    return EXIT_DAMAGE;
}

bool write_options(const args *a, memfile_options *out)
{
    uint64_t threads = out->threads, wait = 10;
    const char *author = arg_value(a, "author");
    if (!arg_number(a, "threads", 1, 64, &threads) || !arg_number(a, "wait", 0, 86400, &wait))
        return false;
    if (author && (strlen(author) > 255 || !utf8_valid(author, strlen(author)))) {
        usage_error("%s: --author takes a text of up to 255 bytes, not '%.60s'", a->verb->name, author);
        return false;
    }
    out->threads = (uint32_t)threads;
    out->lock_timeout_ms = (uint32_t)wait * 1000;
    out->author = author;
    out->signer = secret_signer();
    return true;
}

size_t split_scope(const char *scope, const char *names[32], char *storage, size_t size)
{
    size_t count = 0, length = strlen(scope);
    if (length + 1 > size)
        return 0;
    memcpy(storage, scope, length + 1);
    for (char *at = storage; at;) {
        char *slash = strchr(at, '/');
        if (slash)
            *slash++ = '\0';
        if (*at && count == 32)
            return 0;
        if (*at)
            names[count++] = at;
        at = slash;
    }
    return count;
}
