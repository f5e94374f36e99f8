/* json: what the tool itself must know of JSON: printing strings, and the members
 * of a line, of which the library says only whether they are right. */
#include <string.h>

#include "tool.h"

static const struct {
    const char *name, *form;
} members[] = {
    {"op", "\"forget\"; absent for all that can be put today"},
    {"id", "a string of 1 to 255 bytes"},
    {"kind", "a string of 1 to 255 bytes, like \"note\""},
    {"scope", "a list of up to 32 names, like [\"project\",\"garden\"]"},
    {"key", "a string of 1 to 1024 bytes"},
    {"time", "a time in UTC, like \"2023-05-08T13:56:02Z\""},
    {"text", "a string"},
    {"data", "bytes as base64, with padding"},
    {"media_type", "a string"},
    {"title", "a string"},
    {"tags", "a list of up to 256 strings of 1 to 255 bytes"},
    {"links", "a list like [{\"rel\":\"because\",\"to\":\"ID\"}]; rel and to are both needed"},
    {"meta", "an object"},
    {"recorded", "a time in UTC, like \"2023-05-08T13:56:02Z\""},
    {"valid_from", "a time in UTC, like \"2023-05-08T13:56:02Z\""},
    {"valid_to", "a time in UTC, like \"2023-05-08T13:56:02Z\""},
    {"expires", "a time in UTC, like \"2023-05-08T13:56:02Z\""},
    {"source", "a string"},
    {"actor", "a string"},
    {"session", "a string"},
    {"model", "a string"},
    {"derived_from", "a list of ids"},
    {"idempotency_key", "a string of 1 to 1024 bytes"},
    {"confidence", "a number"},
    {"importance", "a number"},
    {"pinned", "true or false"},
    {"status", "a string"},
    {"embedding", "an object like {\"space\":\"NAME\",\"values\":[0.25,-1.5]}"},
    {"supersedes", "a list of strings of 64 lower-case hexadecimal digits"},
    {"reason", "a string"},
};

const char *member_form(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (strlen(members[i].name) == length && memcmp(members[i].name, name, length) == 0)
            return members[i].form;
    return NULL;
}

/* Behind the string that begins at `at`, or NULL. */
static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at + 1 : NULL;
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
        at++;
    return at;
}

bool next_member(member *m, const char *json, size_t length)
{
    const char *at = m->value ? m->value : json, *end = json + length;
    int depth = m->value ? 1 : 0;
    while (at && at < end) {
        const char *begin = at;
        if (*at == '"') {
            at = string_end(at, end);
            const char *colon = at ? skip_space(at, end) : end;
            if (depth == 1 && colon < end && *colon == ':') {
                m->name = begin + 1;
                m->name_length = (size_t)(at - 1 - m->name);
                m->value = skip_space(colon + 1, end);
                return true;
            }
            continue;
        }
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        at++;
    }
    return false;
}

/* The character at text[*at] as it stands in a string: 1 to 6 bytes to `out`. */
static size_t escape(char out[7], const char *text, size_t length, size_t *at)
{
    unsigned char ch = (unsigned char)text[(*at)++], next = *at < length ? (unsigned char)text[*at] : 0;
    if (ch == '"' || ch == '\\')
        return (size_t)snprintf(out, 7, "\\%c", ch);
    if (ch < 0x20 || ch == 0x7f)
        return (size_t)snprintf(out, 7, "\\u%04x", ch);
    if (ch == 0xc2 && next >= 0x80 && next < 0xa0) { /* a terminal obeys these */
        ++*at;
        return (size_t)snprintf(out, 7, "\\u%04x", next);
    }
    *out = (char)ch;
    return 1;
}

void print_json_string(FILE *out, const char *text, size_t length)
{
    char escaped[7];
    fputc('"', out);
    for (size_t i = 0; i < length;)
        fwrite(escaped, 1, escape(escaped, text, length, &i), out);
    fputc('"', out);
}

size_t write_json_string(char *out, const char *text, size_t length)
{
    char escaped[7];
    size_t size = 0;
    out[size++] = '"';
    for (size_t i = 0; i < length;) {
        size_t n = escape(escaped, text, length, &i);
        memcpy(out + size, escaped, n);
        size += n;
    }
    out[size++] = '"';
    return size;
}

void print_json_line(const char *json, size_t length)
{
    if (!is_terminal(stdout)) {
        fwrite(json, 1, length, stdout);
    } else { /* a terminal obeys DEL and C1 controls, which JSON may hold as they are */
        for (size_t i = 0; i < length; i++) {
            unsigned char ch = (unsigned char)json[i], next = i + 1 < length ? (unsigned char)json[i + 1] : 0;
            if (ch == 0x7f)
                fputs("\\u007f", stdout);
            else if (ch == 0xc2 && next >= 0x80 && next < 0xa0)
                printf("\\u%04x", next), i++;
            else
                putchar(ch);
        }
    }
    putchar('\n');
}

int print_entry(memfile *mf, const memfile_entry *entry, uint64_t *damaged)
{
    const char *json;
    size_t length, id_length;
    char id[256];
    int rc = memfile_entry_json(mf, entry, UINT64_MAX, &json, &length);
    if (rc == MEMFILE_OK)
        print_json_line(json, length);
    if (rc != MEMFILE_E_DAMAGED)
        return rc;
    ++*damaged; /* the others are still to be had */
    id_length = memfile_entry_id(entry, id);
    usage_error("entry %llu, id '%.*s', cannot be read: %s", (unsigned long long)memfile_entry_number(entry),
                (int)id_length, id, memfile_last_error(mf)->message);
    return MEMFILE_OK;
}
