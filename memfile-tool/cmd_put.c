/* put: one entry. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const struct {
    const char *option;
    memfile_field field;
    size_t most; /* bytes; 0: any, and it may be empty */
} texts[] = {
    {"id", MEMFILE_ID, 255},
    {"kind", MEMFILE_KIND, 255},
    {"key", MEMFILE_KEY, 1024},
    {"title", MEMFILE_TITLE, 0},
    {"source", MEMFILE_SOURCE, 0},
    {"actor", MEMFILE_ACTOR, 0},
    {"session", MEMFILE_SESSION, 0},
    {"media-type", MEMFILE_MEDIA_TYPE, 0},
    {"idempotency-key", MEMFILE_IDEMPOTENCY_KEY, 1024},
};

/* A value of 1 to `most` bytes of UTF-8 (0: any number), or a message. */
static bool good_text(const char *name, const char *value, size_t length, size_t most)
{
    const char *dots = length > 60 ? "..." : "";
    if (most && (length < 1 || length > most))
        usage_error("put: --%s takes 1 to %zu bytes, not '%.60s%s' (%zu)", name, most, value, dots, length);
    else if (!utf8_valid(value, length))
        usage_error("put: --%s takes UTF-8, which '%.60s%s' is not", name, value, dots);
    else
        return true;
    return false;
}

/* k=v pairs to one JSON object; v stays as it is when it is JSON, else becomes a string. */
static int set_meta(memfile_draft *draft, const args *a)
{
    const char *pair;
    memfile_draft *probe = NULL;
    size_t size = 0, room = 2;
    int rc = MEMFILE_OK;
    for (int i = 0; (pair = arg_nth(a, "meta", i)); i++)
        room += 6 * strlen(pair) + 6;
    if (room == 2)
        return rc;
    char *json = (char *)malloc(room);
    if (!json || memfile_draft_new(&probe) != MEMFILE_OK) {
        free(json);
        return MEMFILE_E_MEMORY;
    }
    json[size++] = '{';
    for (int i = 0; rc == MEMFILE_OK && (pair = arg_nth(a, "meta", i)); i++) {
        const char *equals = strchr(pair, '=');
        if (!equals || equals == pair) {
            usage_error("put: --meta takes NAME=VALUE, not '%s'", pair);
            rc = MEMFILE_E_INVALID;
            break;
        }
        if (i)
            json[size++] = ',';
        size += write_json_string(json + size, pair, (size_t)(equals - pair));
        json[size++] = ':';
        memfile_draft_clear(probe);
        const char *value = equals + 1;
        size_t length = strlen(value);
        if (length && memfile_draft_set_json(probe, "probe", value, length) == MEMFILE_OK) {
            memcpy(json + size, value, length);
            size += length;
        } else {
            size += write_json_string(json + size, value, length);
        }
    }
    json[size++] = '}';
    memfile_draft_free(probe);
    if (rc == MEMFILE_OK && memfile_draft_set_json(draft, "meta", json, size) != MEMFILE_OK) {
        usage_error("put: --meta names a key twice");
        rc = MEMFILE_E_INVALID;
    }
    free(json);
    return rc;
}

static bool fill_scope(memfile_draft *draft, const char *scope)
{
    const char *names[32];
    char storage[8192];
    size_t count = split_scope(scope, names, storage, sizeof storage);
    if (count == 0) {
        usage_error("put: --scope takes 1 to 32 names like a/b, not '%.60s'", scope);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!good_text("scope", names[i], strlen(names[i]), 255))
            return false;
        memfile_draft_add_scope(draft, names[i], strlen(names[i]));
    }
    return true;
}

static bool fill_tags_and_links(memfile_draft *draft, const args *a)
{
    const char *value;
    for (int i = 0; (value = arg_nth(a, "tag", i)); i++) {
        if (!good_text("tag", value, strlen(value), 255))
            return false;
        memfile_draft_add_tag(draft, value, strlen(value));
    }
    for (int i = 0; (value = arg_nth(a, "link", i)); i++) {
        const char *equals = strchr(value, '=');
        if (!equals || equals == value || !equals[1]) {
            usage_error("put: --link takes REL=ID, not '%s'", value);
            return false;
        }
        size_t length = (size_t)(equals - value);
        if (!good_text("link", value, length, 255) || !good_text("link", equals + 1, strlen(equals + 1), 255))
            return false;
        memfile_draft_add_link(draft, value, length, equals + 1, strlen(equals + 1));
    }
    return true;
}

static bool fill_time(memfile_draft *draft, const args *a, const char *name, memfile_time_field field)
{
    const char *value = arg_value(a, name);
    if (!value || memfile_draft_set_time(draft, field, value) == MEMFILE_OK)
        return true;
    usage_error("put: --%s takes a time in UTC like 2023-05-08T13:56:02Z, not '%s'", name, value);
    return false;
}

static int fill_draft(memfile_draft *draft, const args *a)
{
    const char *value;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if ((value = arg_value(a, texts[i].option))) {
            if (!good_text(texts[i].option, value, strlen(value), texts[i].most))
                return EXIT_USAGE;
            memfile_draft_set(draft, texts[i].field, value, strlen(value));
        }
    if ((value = arg_value(a, "scope")) && !fill_scope(draft, value))
        return EXIT_USAGE;
    if (!fill_tags_and_links(draft, a) || !fill_time(draft, a, "time", MEMFILE_TIME) ||
        !fill_time(draft, a, "expires", MEMFILE_EXPIRES))
        return EXIT_USAGE;
    if (arg_flag(a, "pin"))
        memfile_draft_set_pinned(draft, 1);
    return set_meta(draft, a) == MEMFILE_OK ? EXIT_DONE : EXIT_USAGE;
}

/* Standard input as a stream; short contents end up inside the entry. */
static int put_stream(memfile *mf, memfile_draft *draft, bool is_text, memfile_put_result *result, const char *path)
{
    static char buffer[65536];
    uint64_t size;
    int input = input_open(NULL, &size);
    if (is_terminal(stdin))
        hint("the %s is read from the terminal; %s on a line of its own ends it", is_text ? "text" : "data", end_of_input);
    int rc = memfile_put_begin(mf, draft, is_text);
    while (rc == MEMFILE_OK) {
        ptrdiff_t n = input_read(input, buffer, sizeof buffer);
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
    if (!write_options(a, &options))
        return EXIT_USAGE;
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
        if (is_terminal(stdout))
            print_line(stdout, result.id, result.id_length, 0);
        else
            fwrite(result.id, 1, result.id_length, stdout);
        putchar('\n');
    }
    memfile_draft_free(draft);
    memfile_close(mf);
    return finish_output(rc);
}
