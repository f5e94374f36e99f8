/* tool.h: what the verbs of memfile-tool share: arguments, messages, output.
 * The tool uses nothing of the library but memfile.h. */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "memfile.h"

/* Exit codes, as the manual page says. */
enum {
    EXIT_DONE = 0,
    EXIT_NOTHING = 1, /* not found, or nothing to do */
    EXIT_USAGE = 2,
    EXIT_DAMAGE = 3,
    EXIT_NOT_MEMFILE = 4, /* or a newer one */
    EXIT_KEY = 5,
    EXIT_CONFLICT = 6, /* or busy */
    EXIT_SYSTEM = 7
};

/* ---- arguments: --name value, --name=value, flags; "--" ends options */

struct args;

typedef struct option {
    const char *name;
    bool takes_value;
    const char *help; /* shown by --help */
} option;

typedef struct verb {
    const char *name, *arguments, *summary, *details;
    const option *options; /* ends with a NULL name */
    int least, most;       /* positional arguments */
    int (*run)(struct args *args);
} verb;

typedef struct args {
    const verb *verb;
    const char *positional[4];
    int positional_count;
    struct {
        const option *option;
        const char *value;
    } given[128];
    int given_count;
} args;

/* last value of an option, or NULL; "" for a flag that was given */
const char *arg_value(const args *a, const char *name);
bool arg_flag(const args *a, const char *name);
/* n-th value of an option that may be repeated, or NULL */
const char *arg_nth(const args *a, const char *name, int n);
/* A number; prints and returns false when it is none. */
bool arg_number(const args *a, const char *name, uint64_t least, uint64_t most, uint64_t *out);
/* Parses argv behind the verb. EXIT_DONE or EXIT_USAGE, with a message. */
int args_parse(args *a, const verb *v, int argc, char **argv);

/* ---- messages, on stderr: "memfile-tool: what" then "hint: what next" */

int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints an error of the library with place and advice; returns the exit code. */
int report(const char *file, const memfile_error *error);
void hint(const char *format, ...) __attribute__((format(printf, 1, 2)));
int exit_code_of(int code);

/* ---- output, on stdout */

void print_hex(FILE *out, const uint8_t *bytes, size_t length);
void print_json_string(FILE *out, const char *text, size_t length);
/* microseconds since 1970 as RFC 3339 with six digits */
void print_time_us(FILE *out, int64_t us);
/* text on one line of a terminal: control characters as escapes, cut to `width` columns */
void print_line(FILE *out, const char *text, size_t length, size_t width);
/* Flushes stdout: EXIT_DONE, or EXIT_SYSTEM with a message when it cannot be written. */
int finish_output(int exit_code);

/* ---- progress bar, on a terminal only */
void progress_show(void *label, uint64_t done, uint64_t total);
void progress_clear(void);

/* ---- opening */
int open_memfile(const char *path, memfile_mode mode, memfile_options *options, memfile **out);
/* a/b/c to names; the array is static */
size_t split_scope(const char *scope, const char *names[32], char *storage, size_t size);

/* findings.c: the context of a finding callback */
typedef struct findings {
    bool json;
    uint64_t shown;
} findings;
void findings_show(void *context, const memfile_finding *finding);

int run_init(struct args *a);
int run_import(struct args *a);
int run_export(struct args *a);
int run_put(struct args *a);
int run_get(struct args *a);
int run_list(struct args *a);
int run_log(struct args *a);
int run_info(struct args *a);
int run_recover(struct args *a);
int run_verify(struct args *a);
int run_compact(struct args *a);
int run_help(struct args *a);
int run_version(struct args *a);
extern const verb verbs[];

#endif
