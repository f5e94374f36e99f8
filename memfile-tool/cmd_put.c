/* put: one entry. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static const struct {
    const char *option;
    memfile_field field;
} texts[] = {
    {"id", MEMFILE_ID},         {"kind", MEMFILE_KIND},       {"key", MEMFILE_KEY},
    {"title", MEMFILE_TITLE},   {"source", MEMFILE_SOURCE},   {"actor", MEMFILE_ACTOR},
    {"session", MEMFILE_SESSION}, {"media-type", MEMFILE_MEDIA_TYPE}, {"idempotency-key", MEMFILE_IDEMPOTENCY_KEY},
};

/* k=v pairs to one JSON object; v stays as it is when it is JSON, else becomes a string. */
static int set_meta(memfile_draft *draft, const args *a)
{
    char *json = NULL;
    size_t size = 0;
    int rc = MEMFILE_OK;
    if (!arg_nth(a, "meta", 0))
        return rc;
    FILE *out = open_memstream(&json, &size);
    memfile_draft *probe = NULL;
    if (!out || memfile_draft_new(&probe) != MEMFILE_OK) {
        if (out)
            fclose(out);
        free(json);
        return MEMFILE_E_MEMORY;
    }
    fputc('{', out);
    const char *pair;
    for (int i = 0; rc == MEMFILE_OK && (pair = arg_nth(a, "meta", i)); i++) {
        const char *equals = strchr(pair, '=');
        if (!equals || equals == pair) {
            usage_error("put: --meta takes k=v, not '%s'", pair);
            rc = MEMFILE_E_INVALID;
            break;
        }
        if (i)
            fputc(',', out);
        print_json_string(out, pair, (size_t)(equals - pair));
        fputc(':', out);
        memfile_draft_clear(probe);
        if (equals[1] && memfile_draft_set_json(probe, "probe", equals + 1, strlen(equals + 1)) == MEMFILE_OK)
            fputs(equals + 1, out);
        else
            print_json_string(out, equals + 1, strlen(equals + 1));
    }
    fputc('}', out);
    fclose(out);
    memfile_draft_free(probe);
    if (rc == MEMFILE_OK && memfile_draft_set_json(draft, "meta", json, size) != MEMFILE_OK) {
        usage_error("put: --meta names a key twice");
        rc = MEMFILE_E_INVALID;
    }
    free(json);
    return rc;
}

static int fill_draft(memfile_draft *draft, const args *a)
{
    const char *value, *names[32];
    char storage[8192];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if ((value = arg_value(a, texts[i].option)))
            memfile_draft_set(draft, texts[i].field, value, strlen(value));
    if ((value = arg_value(a, "scope"))) {
        size_t count = split_scope(value, names, storage, sizeof storage);
        for (size_t i = 0; i < count; i++)
            memfile_draft_add_scope(draft, names[i], strlen(names[i]));
    }
    for (int i = 0; (value = arg_nth(a, "tag", i)); i++)
        memfile_draft_add_tag(draft, value, strlen(value));
    for (int i = 0; (value = arg_nth(a, "link", i)); i++) {
        const char *equals = strchr(value, '=');
        if (!equals || equals == value || !equals[1])
            return usage_error("put: --link takes rel=id, not '%s'", value);
        memfile_draft_add_link(draft, value, (size_t)(equals - value), equals + 1, strlen(equals + 1));
    }
    if ((value = arg_value(a, "time")) && memfile_draft_set_time(draft, MEMFILE_TIME, value) != MEMFILE_OK)
        return usage_error("put: --time is RFC 3339 in UTC, like 2023-05-08T13:56:02Z, not '%s'", value);
    if ((value = arg_value(a, "expires")) && memfile_draft_set_time(draft, MEMFILE_EXPIRES, value) != MEMFILE_OK)
        return usage_error("put: --expires is RFC 3339 in UTC, like 2023-05-08T13:56:02Z, not '%s'", value);
    if (arg_flag(a, "pin"))
        memfile_draft_set_pinned(draft, 1);
    return set_meta(draft, a) == MEMFILE_OK ? EXIT_DONE : EXIT_USAGE;
}

/* Standard input as a stream; short contents end up inside the entry. */
static int put_stream(memfile *mf, memfile_draft *draft, bool is_text, memfile_put_result *result, const char *path)
{
    static char buffer[65536];
    int rc = memfile_put_begin(mf, draft, is_text);
    while (rc == MEMFILE_OK) {
        ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            usage_error("cannot read standard input: %s", strerror(errno));
            return EXIT_SYSTEM;
        }
        if (n == 0)
            break;
        rc = memfile_put_write(mf, buffer, (size_t)n);
    }
    if (rc == MEMFILE_OK)
        rc = memfile_put_end(mf, result);
    return rc == MEMFILE_OK ? EXIT_DONE : report(path, memfile_last_error(mf));
}

int run_put(args *a)
{
    const char *path = a->positional[0], *text = a->positional_count > 1 ? a->positional[1] : "-";
    memfile_options options = MEMFILE_OPTIONS_INIT;
    memfile_put_result result;
    memfile_commit_result done;
    memfile *mf = NULL;
    memfile_draft *draft = NULL;
    uint64_t wait = 10;
    if (!arg_number(a, "wait", 0, 86400, &wait))
        return EXIT_USAGE;
    options.lock_timeout_ms = (uint32_t)wait * 1000;
    options.author = arg_value(a, "author");
    memset(&result, 0, sizeof result);
    memset(&done, 0, sizeof done);
    int rc = open_memfile(path, MEMFILE_WRITE, &options, &mf);
    if (rc == EXIT_DONE && memfile_draft_new(&draft) != MEMFILE_OK) {
        usage_error("out of memory");
        rc = EXIT_SYSTEM;
    }
    if (rc == EXIT_DONE)
        rc = fill_draft(draft, a);
    bool is_text = !arg_flag(a, "data");
    if (rc == EXIT_DONE && strcmp(text, "-") == 0) {
        rc = put_stream(mf, draft, is_text, &result, path);
    } else if (rc == EXIT_DONE) {
        memfile_draft_set(draft, is_text ? MEMFILE_TEXT : MEMFILE_DATA, text, strlen(text));
        if (memfile_put(mf, draft, &result) != MEMFILE_OK)
            rc = report(path, memfile_last_error(mf));
    }
    if (rc == EXIT_DONE && memfile_commit(mf, &done) < 0)
        rc = report(path, memfile_last_error(mf));
    if (rc == EXIT_DONE && arg_flag(a, "json")) {
        printf("{\"id\":");
        print_json_string(stdout, result.id, result.id_length);
        printf(",\"entry\":%llu,\"existed\":%s}\n", (unsigned long long)result.entry, result.existed ? "true" : "false");
    } else if (rc == EXIT_DONE) {
        fwrite(result.id, 1, result.id_length, stdout);
        putchar('\n');
    }
    memfile_draft_free(draft);
    memfile_close(mf);
    return finish_output(rc);
}
