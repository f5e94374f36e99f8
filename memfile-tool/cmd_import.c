/* import: JSON Lines into commits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define LINE_MAX_BYTES ((size_t)1 << 30)

typedef struct input {
    int fd;
    char *buffer; /* [start, end) is read and not yet taken */
    size_t start, end, capacity, searched;
    uint64_t taken, size;
    bool at_end;
} input;

/* Next line without its line feed. 1 a line, 0 the end, -1 system error, -2 too long. */
static int next_line(input *in, char **line, size_t *length)
{
    for (;;) {
        char *feed = (char *)memchr(in->buffer + in->searched, '\n', in->end - in->searched);
        if (feed || (in->at_end && in->end > in->start)) {
            char *stop = feed ? feed : in->buffer + in->end;
            *line = in->buffer + in->start;
            *length = (size_t)(stop - *line);
            in->taken += *length + 1;
            in->start = in->searched = (size_t)(stop - in->buffer) + (feed != NULL);
            return 1;
        }
        if (in->at_end)
            return 0;
        in->searched = in->end;
        if (in->end - in->start > LINE_MAX_BYTES)
            return -2;
        if (in->start > 0 && in->end == in->capacity) {
            memmove(in->buffer, in->buffer + in->start, in->end - in->start);
            in->end -= in->start;
            in->searched -= in->start;
            in->start = 0;
        }
        if (in->end == in->capacity) {
            size_t capacity = in->capacity * 2 > LINE_MAX_BYTES + 65536 ? LINE_MAX_BYTES + 65536 : in->capacity * 2;
            char *grown = (char *)realloc(in->buffer, capacity);
            if (!grown || capacity == in->capacity)
                return grown ? -2 : -1;
            in->buffer = grown;
            in->capacity = capacity;
        }
        ptrdiff_t n = input_read(in->fd, in->buffer + in->end, in->capacity - in->end);
        if (n < 0)
            return -1;
        in->at_end = n == 0;
        in->end += (size_t)n;
    }
}

static bool blank(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

typedef struct totals {
    uint64_t lines, entries, existed, commits, pending;
    uint64_t committed_lines; /* of lines, those whose entries are committed */
} totals;

/* What was done before a failure, so that the rest can follow. */
static void hint_rest(const totals *t)
{
    if (t->commits > 0)
        hint("%llu %s (lines 1 to %llu) %s made before; import the rest from line %llu",
             (unsigned long long)t->commits, plural(t->commits, "commit", "commits"),
             (unsigned long long)t->committed_lines, plural(t->commits, "was", "were"),
             (unsigned long long)t->committed_lines + 1);
}

static int commit(memfile *mf, const char *path, totals *t)
{
    int rc = memfile_commit(mf, NULL);
    if (rc < 0) {
        rc = report(path, memfile_last_error(mf));
        hint_rest(t);
        memfile_rollback(mf);
        return rc;
    }
    t->commits += rc == MEMFILE_OK;
    t->committed_lines = t->lines;
    t->pending = 0;
    return EXIT_DONE;
}

/* ---- lines that are refused */

static int bad_line(const char *name, const totals *t, const char *message)
{
    return usage_error("%s: line %llu: %s", name, (unsigned long long)t->lines, message);
}

/* Lines that are no object at all: says so and returns true. */
static bool explain_start(const char *name, const totals *t, const char *line, size_t length)
{
    size_t at = 0;
    if (length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
        bad_line(name, t, "it begins with a byte order mark (EF BB BF), which JSON Lines do not have");
        hint("tail -c +4 leaves out the first three bytes of a file");
        return true;
    }
    while (at < length && (line[at] == ' ' || line[at] == '\t'))
        at++;
    if (at == length || line[at] == '{')
        return false;
    if (line[at] == '[') {
        bad_line(name, t, "a line is one JSON object, {...}; this one begins an array");
        hint("jq -c '.[]' writes each element of an array on a line of its own");
    } else {
        bad_line(name, t, "a line is one JSON object, {...}; this one begins with something else");
    }
    return true;
}

static void hint_member(const char *line, size_t length, size_t offset)
{
    member m = {0}, last = {0};
    while (next_member(&m, line, length) && m.value <= line + offset)
        last = m;
    const char *form = last.value ? member_form(last.name, last.name_length) : NULL;
    if (form)
        hint("\"%.*s\" takes %s", (int)last.name_length, last.name, form);
}

/* The names of the format's own members that a line lacks are often misspelt. */
static void hint_missing_content(const char *line, size_t length)
{
    member m = {0};
    while (next_member(&m, line, length))
        if (m.name_length < 40 && !member_form(m.name, m.name_length)) {
            hint("\"%.*s\" is none of the format's members and is kept as one of your own; is it meant to be \"text\"?",
                 (int)m.name_length, m.name);
            return;
        }
}

/* The library names a field whose value is wrong in quotes. */
static void hint_field(const char *message)
{
    const char *begin = strstr(message, "field '");
    const char *end = begin ? strchr(begin + 7, '\'') : NULL;
    const char *form = end ? member_form(begin + 7, (size_t)(end - begin - 7)) : NULL;
    if (form)
        hint("\"%.*s\" takes %s", (int)(end - begin - 7), begin + 7, form);
}

static int refuse_line(const char *name, const totals *t, const memfile_error *e, const char *line, size_t length)
{
    size_t end = length;
    while (end > 0 && (line[end - 1] == ' ' || line[end - 1] == '\t' || line[end - 1] == '\r'))
        end--;
    if (!explain_start(name, t, line, length)) {
        bad_line(name, t, e->message);
        if (e->offset != UINT64_MAX && e->offset >= end) {
            hint("the line ends within the object; a line holds a whole one: jq -c . writes them so");
        } else if (e->offset != UINT64_MAX) {
            size_t from = e->offset > 30 ? (size_t)e->offset - 30 : 0;
            while (from > 0 && from < e->offset && ((unsigned char)line[from] & 0xc0) == 0x80)
                from++;
            hint("the fault is at byte %llu of the line, behind %s%.*s", (unsigned long long)e->offset + 1,
                 from ? "..." : "", (int)(e->offset - from), line + from);
            hint_member(line, length, (size_t)e->offset);
        } else if (strstr(e->message, "neither text nor data")) {
            hint_missing_content(line, length);
        } else {
            hint_field(e->message);
        }
    }
    hint("memfile-tool(1) has all members of a line under FORMAT OF LINES");
    hint_rest(t);
    return EXIT_USAGE;
}

static int import_lines(memfile *mf, memfile_draft *draft, const char *path, const char *name, input *in,
                        uint64_t batch, totals *t)
{
    for (;;) {
        char *line;
        size_t length;
        memfile_error e;
        memfile_put_result put;
        int got = next_line(in, &line, &length);
        if (got == 0)
            return commit(mf, path, t);
        t->lines++;
        if (got == -1) {
            usage_error("cannot read %s: %s", name, strerror(errno));
            hint_rest(t);
            return EXIT_SYSTEM;
        }
        if (got == -2) {
            bad_line(name, t, "it is longer than 1 GiB");
            hint("memfile-tool put FILE - < CONTENT takes a content of any length by itself");
            hint_rest(t);
            return EXIT_USAGE;
        }
        if (blank(line, length))
            continue;
        if (memfile_draft_parse_json(draft, line, length, &e) != MEMFILE_OK)
            return refuse_line(name, t, &e, line, length);
        int rc = memfile_put(mf, draft, &put);
        if (rc != MEMFILE_OK) {
            e = *memfile_last_error(mf);
            memfile_rollback(mf);
            if (rc == MEMFILE_E_INVALID || rc == MEMFILE_E_LIMIT)
                return refuse_line(name, t, &e, line, length);
            rc = report(path, &e);
            hint_rest(t);
            return rc;
        }
        t->entries += !put.existed;
        t->existed += put.existed != 0;
        t->pending++;
        if (batch && t->pending >= batch && (rc = commit(mf, path, t)) != EXIT_DONE)
            return rc;
        if (t->lines % 256 == 0)
            progress_show((void *)"importing", in->taken, in->size);
    }
}

/* ---- the verb */

static int open_input(const char *name, input *in)
{
    bool standard_input = strcmp(name, "-") == 0;
    in->fd = input_open(standard_input ? NULL : name, &in->size);
    if (in->fd < 0) {
        int reason = errno;
        usage_error("cannot open '%s': %s", name, strerror(reason));
        return reason == ENOENT ? EXIT_NOTHING : EXIT_SYSTEM;
    }
    if (standard_input && is_terminal(stdin))
        hint("lines are read from the terminal; %s on a line of its own ends them", end_of_input);
    in->capacity = 1u << 18;
    in->buffer = (char *)malloc(in->capacity);
    if (!in->buffer) {
        usage_error("out of memory");
        return EXIT_SYSTEM;
    }
    return EXIT_DONE;
}

/* Opens the memfile, made if there is none: then *made says so. */
static int open_target(const char *path, memfile_options *options, memfile **mf, bool *made)
{
    const memfile_unlock unlock = secret_unlock();
    *made = false;
    if (!path_exists(path) && (unlock.passphrase || unlock.identity)) {
        usage_error("import: there is no '%s' that a key could open", path);
        hint("memfile-tool init '%s' with --passphrase or --recipient makes a sealed one first", path);
        return EXIT_NOTHING;
    }
    *made = !path_exists(path) && memfile_open(path, MEMFILE_CREATE, options, mf, NULL) == MEMFILE_OK;
    if (*made)
        return EXIT_DONE;
    /* there is one, or somebody else has just made it, or it cannot be made */
    return open_memfile(path, path_exists(path) ? MEMFILE_WRITE : MEMFILE_CREATE, options, mf);
}

/* Removes the file that this import made, if it holds nothing. Another process may
 * have found it and be writing: a put holds the lock, and shows what is committed. */
static void remove_made(memfile *mf, memfile_draft *draft, const char *path)
{
    memfile_info info;
    memfile_draft_clear(draft);
    memfile_draft_set(draft, MEMFILE_TEXT, "", 0);
    if (memfile_put(mf, draft, NULL) == MEMFILE_OK && memfile_get_info(mf, &info, sizeof info) == MEMFILE_OK &&
        info.commits == 1)
        path_remove(path);
    memfile_rollback(mf);
}

static void print_totals(const totals *t, bool json)
{
    if (json) {
        printf("{\"lines\":%llu,\"entries\":%llu,\"existed\":%llu,\"commits\":%llu}\n", (unsigned long long)t->lines,
               (unsigned long long)t->entries, (unsigned long long)t->existed, (unsigned long long)t->commits);
        return;
    }
    fprintf(stderr, "%llu %s in %llu %s", (unsigned long long)t->entries, plural(t->entries, "entry", "entries"),
            (unsigned long long)t->commits, plural(t->commits, "commit", "commits"));
    if (t->existed)
        fprintf(stderr, "; %llu %s there already, by idempotency key", (unsigned long long)t->existed,
                plural(t->existed, "was", "were"));
    fputc('\n', stderr);
}

int run_import(args *a)
{
    const char *path = a->positional[0], *name = a->positional[1];
    const char *shown = strcmp(name, "-") == 0 ? "standard input" : name;
    uint64_t batch = 0;
    memfile_options options = MEMFILE_OPTIONS_INIT;
    input in = {0};
    totals t = {0};
    memfile *mf = NULL;
    memfile_draft *draft = NULL;
    bool made = false;
    options.threads = 2;
    if (!arg_number(a, "batch", 1, UINT64_MAX, &batch) || !write_options(a, &options))
        return EXIT_USAGE;
    int rc = open_input(name, &in);
    if (rc == EXIT_DONE)
        rc = open_target(path, &options, &mf, &made);
    if (rc == EXIT_DONE && memfile_draft_new(&draft) != MEMFILE_OK) {
        usage_error("out of memory");
        rc = EXIT_SYSTEM;
    }
    if (rc == EXIT_DONE)
        rc = import_lines(mf, draft, path, shown, &in, batch, &t);
    progress_clear();
    if (rc == EXIT_DONE && t.entries + t.existed == 0) {
        usage_error("nothing to do: %s has no line with an entry", shown);
        rc = EXIT_NOTHING;
    }
    if (rc == EXIT_DONE || (rc == EXIT_NOTHING && mf && arg_flag(a, "json")))
        print_totals(&t, arg_flag(a, "json"));
    if (made && draft && t.commits == 0)
        remove_made(mf, draft, path);
    memfile_draft_free(draft);
    memfile_close(mf);
    free(in.buffer);
    input_close(in.fd);
    return finish_output(rc);
}
