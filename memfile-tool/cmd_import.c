/* import: JSON Lines into commits. */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

#define LINE_MAX_BYTES ((size_t)50 << 20)

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
        ssize_t n = read(in->fd, in->buffer + in->end, in->capacity - in->end);
        if (n < 0 && errno == EINTR)
            continue;
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
} totals;

static int commit(memfile *mf, const char *path, totals *t)
{
    int rc = memfile_commit(mf, NULL);
    if (rc < 0) {
        rc = report(path, memfile_last_error(mf));
        memfile_rollback(mf);
        return rc;
    }
    t->commits += rc == MEMFILE_OK;
    t->pending = 0;
    return EXIT_DONE;
}

static int bad_line(const char *name, const totals *t, const memfile_error *e, bool system)
{
    usage_error("%s: line %llu: %s", name, (unsigned long long)t->lines, e->message);
    if (e->offset != UINT64_MAX && !system)
        hint("the fault is at byte %llu of the line", (unsigned long long)e->offset + 1);
    hint("%llu commits were made before; of the lines since, nothing was written", (unsigned long long)t->commits);
    return system ? exit_code_of(e->code) : EXIT_USAGE;
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
            usage_error("cannot read '%s': %s", name, strerror(errno));
            return EXIT_SYSTEM;
        }
        if (got == -2) {
            memset(&e, 0, sizeof e);
            e.offset = UINT64_MAX;
            snprintf(e.message, sizeof e.message, "the line is longer than 50 MiB; put such a content by itself: "
                                                  "memfile-tool put FILE - < content");
            return bad_line(name, t, &e, false);
        }
        if (blank(line, length))
            continue;
        if (memfile_draft_parse_json(draft, line, length, &e) != MEMFILE_OK)
            return bad_line(name, t, &e, false);
        int rc = memfile_put(mf, draft, &put);
        if (rc != MEMFILE_OK) {
            const memfile_error *last = memfile_last_error(mf);
            bool ours = rc == MEMFILE_E_INVALID || rc == MEMFILE_E_LIMIT;
            rc = bad_line(name, t, last, !ours);
            memfile_rollback(mf);
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

int run_import(args *a)
{
    const char *path = a->positional[0], *name = a->positional[1];
    uint64_t batch = 0, threads = 2, wait = 10;
    memfile_options options = MEMFILE_OPTIONS_INIT;
    input in = {0};
    totals t = {0};
    struct stat st;
    memfile *mf = NULL;
    memfile_draft *draft = NULL;
    if (!arg_number(a, "batch", 1, UINT64_MAX, &batch) || !arg_number(a, "threads", 1, 64, &threads) ||
        !arg_number(a, "wait", 0, 86400, &wait))
        return EXIT_USAGE;
    bool standard_input = strcmp(name, "-") == 0;
    in.fd = standard_input ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (in.fd < 0) {
        usage_error("cannot open '%s': %s", name, strerror(errno));
        return errno == ENOENT ? EXIT_NOTHING : EXIT_SYSTEM;
    }
    if (fstat(in.fd, &st) == 0 && S_ISREG(st.st_mode))
        in.size = (uint64_t)st.st_size;
    options.threads = (uint32_t)threads;
    options.lock_timeout_ms = (uint32_t)wait * 1000;
    options.author = arg_value(a, "author");
    memfile_mode mode = access(path, F_OK) == 0 ? MEMFILE_WRITE : MEMFILE_CREATE;
    int rc;
    if (mode == MEMFILE_CREATE && memfile_open(path, mode, &options, &mf, NULL) == MEMFILE_OK)
        rc = EXIT_DONE;
    else /* there is one, or somebody else has just made it, or it cannot be made */
        rc = open_memfile(path, access(path, F_OK) == 0 ? MEMFILE_WRITE : MEMFILE_CREATE, &options, &mf);
    in.capacity = 1u << 18;
    if (rc == EXIT_DONE && (memfile_draft_new(&draft) != MEMFILE_OK || !(in.buffer = (char *)malloc(in.capacity)))) {
        usage_error("out of memory");
        rc = EXIT_SYSTEM;
    }
    if (rc == EXIT_DONE)
        rc = import_lines(mf, draft, path, standard_input ? "standard input" : name, &in, batch, &t);
    progress_clear();
    if (rc == EXIT_DONE) {
        if (arg_flag(a, "json"))
            printf("{\"lines\":%llu,\"entries\":%llu,\"existed\":%llu,\"commits\":%llu}\n", (unsigned long long)t.lines,
                   (unsigned long long)t.entries, (unsigned long long)t.existed, (unsigned long long)t.commits);
        else
            fprintf(stderr, "%llu entries in %llu commits%s\n", (unsigned long long)t.entries,
                    (unsigned long long)t.commits, t.existed ? "; others were there already" : "");
    }
    memfile_draft_free(draft);
    memfile_close(mf);
    free(in.buffer);
    if (!standard_input)
        close(in.fd);
    return finish_output(rc);
}
