/* tool.h: what the verbs of memfile-tool share: arguments, messages, output.
 * The tool uses nothing of the library but memfile.h. */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "memfile.h"

/* the C library's formats, and not those that Windows had before C99 */
#ifdef __MINGW32__
#define TOOL_PRINTF(a, b) __attribute__((format(gnu_printf, a, b)))
#else
#define TOOL_PRINTF(a, b) __attribute__((format(printf, a, b)))
#endif

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
    const char *value; /* what it takes, as --help calls it; NULL: a flag */
    const char *help;  /* shown by --help */
    bool repeats;      /* may be given more than once */
} option;

typedef struct verb {
    const char *name, *arguments, *summary, *details;
    const option *options; /* ends with a NULL name */
    int least, most;       /* positional arguments; `arguments` names them in order */
    int (*run)(struct args *args);
    bool only_reads; /* its first argument, and in a sandbox */
} verb;

#define MAX_POSITIONALS 1000

typedef struct args {
    const verb *verb;
    const char *positional[MAX_POSITIONALS];
    int positional_count;
    struct {
        const option *option;
        const char *value;
    } given[128];
    int given_count;
    bool help; /* --help or -h was met: nothing behind it was looked at */
} args;

/* value of an option, or NULL; "" for a flag that was given */
const char *arg_value(const args *a, const char *name);
bool arg_flag(const args *a, const char *name);
/* n-th value of an option that may be repeated, or NULL */
const char *arg_nth(const args *a, const char *name, int n);
/* A number; prints and returns false when it is none. */
bool arg_number(const args *a, const char *name, uint64_t least, uint64_t most, uint64_t *out);
/* A time, if it is given; prints and returns false when it is none. */
bool arg_time(const args *a, const char *name);
/* Parses argv behind the verb. EXIT_DONE or EXIT_USAGE, with a message. */
int args_parse(args *a, const verb *v, int argc, char **argv);

/* ---- messages, on stderr: "memfile-tool: what" then "hint: what next" */

int usage_error(const char *format, ...) TOOL_PRINTF(1, 2);
/* Prints an error of the library about a file that is open, with advice; returns
 * the exit code. */
int report(const char *file, const memfile_error *error);
/* The same for a call that was given a path: what such a call says often names the
 * file already. `output` (may be NULL) is a second path that the call was given. */
int report_path(const char *path, const char *output, const memfile_error *error);
/* After entries that could not be read. */
int report_damaged(const char *path, uint64_t count);
void hint(const char *format, ...) TOOL_PRINTF(1, 2);
int exit_code_of(int code);
/* "entry" or "entries" */
const char *plural(uint64_t count, const char *one, const char *many);

/* ---- output, on stdout */

void print_hex(FILE *out, const uint8_t *bytes, size_t length);
/* microseconds since 1970 as RFC 3339 with six digits */
#define TIME_TEXT_SIZE 96
void time_text(char out[TIME_TEXT_SIZE], int64_t us);
void print_time_us(FILE *out, int64_t us);
/* True once stdout has failed; the reason is kept for finish_output. */
bool output_failed(void);
/* Flushes stdout: EXIT_DONE, or EXIT_SYSTEM with a message when it cannot be written. */
int finish_output(int exit_code);

/* ---- text for a terminal */

#define UTF8_INVALID UINT32_MAX
/* Next character: returns its bytes; UTF8_INVALID and 1 for a byte that begins none. */
size_t utf8_next(const char *text, size_t length, uint32_t *character);
bool utf8_valid(const char *text, size_t length);
/* columns that print_line takes without a limit; wide characters count as two */
size_t text_columns(const char *text, size_t length);
/* Text on one line: controls are shown as '?', more than `width` columns (0: no
 * limit) are cut and end with an ellipsis. Returns the columns. */
size_t print_line(FILE *out, const char *text, size_t length, size_t width);
/* The same; the ellipsis is in the middle. */
size_t print_middle(FILE *out, const char *text, size_t length, size_t width);
/* Replaces controls in a text by '?', in place; `lines`: line feeds and tabs stay.
 * *last is the byte before, 0 at first, so that a text may come in pieces. */
void tame(char *text, size_t length, bool lines, char *last);

/* ---- JSON */

void print_json_string(FILE *out, const char *text, size_t length);
/* The same into memory, without a NUL; `out` holds 6 * length + 2 bytes. Returns how many it took. */
size_t write_json_string(char *out, const char *text, size_t length);
/* A line of JSON on stdout; on a terminal with control characters escaped. */
void print_json_line(const char *json, size_t length);
/* The members of the object in `json`, which may be damaged: begin with {0}. */
typedef struct member {
    const char *name, *value;
    size_t name_length;
} member;
bool next_member(member *m, const char *json, size_t length);
/* What the member of a line takes, in words; NULL when the format has no such member. */
const char *member_form(const char *name, size_t length);
/* The entry as a line of JSON. One that is damaged is said so, on stderr, counted, and passed. */
int print_entry(memfile *mf, const memfile_entry *entry, uint64_t *damaged);

/* ---- progress bar, on a terminal only */
int progress_show(void *label, uint64_t done, uint64_t total);
void progress_clear(void);

/* ---- opening */
int open_memfile(const char *path, memfile_mode mode, memfile_options *options, memfile **out);
/* What a verb that reads ends with: `code`, or EXIT_DAMAGE if something may be missing from what it printed. */
int reading_ended(memfile *mf, const char *path, int code);
/* The options --wait, --threads, --author and --sign-with of verbs that write, where given. */
bool write_options(const args *a, memfile_options *out);
/* a/b/c to names in `storage`; 0 when there is none, or more than 32 */
size_t split_scope(const char *scope, const char *names[32], char *storage, size_t size);

/* ---- secrets (secret.c) */

/* Reads what --passphrase, --passphrase-file, --passphrase-fd, --identity (or MEMFILE_IDENTITY) and --sign-with
 * name, as far as the verb has them; setting: a passphrase is a new one, a terminal asks for it twice. main calls
 * it before the sandbox. EXIT_KEY, EXIT_SYSTEM or EXIT_USAGE with a message. All is wiped when the process ends. */
int secrets_load(const args *a, bool setting);
void secrets_wipe(void);
/* Each NULL when it was not given; owned by secret.c. */
const char *secret_passphrase(size_t *length);
const char *secret_new_passphrase(size_t *length);
const memfile_key *secret_identity(void); /* a recipient's */
/* What was given to open a sealed file; a passphrase beside an identity is that of its key file. */
memfile_unlock secret_unlock(void);
/* Whom the options --recipient, --pad, --passes and --memory want a file sealed for. */
bool seal_options(const args *a, const char *passphrase, size_t length, memfile_seal_for *out);
const memfile_key *secret_signer(void);

/* ---- trust (trust.c): --signer, --signers and --receipt, read by main before the sandbox; EXIT_USAGE or EXIT_SYSTEM
 * with a message */
int trust_load(const args *a);
bool trust_asked(void); /* was any signer named? */
const memfile_receipt *trust_receipt(void); /* NULL: none was given */
bool trust_has(const uint8_t public_key[32]);

/* ---- the operating system: system_posix.c, system_windows.c */

/* First of all: standard streams and signals as the tool wants them, arguments in UTF-8. */
void system_start(int *argc, char ***argv);
bool is_terminal(FILE *stream);
/* of the terminal that stdout is; 0: not known */
size_t terminal_columns(void);
/* whether an error of writing to stdout means that nobody reads there any more */
bool reader_is_gone(int error);
/* what ends input at a terminal, as one calls it */
extern const char end_of_input[];
/* Reads what columns are counted by; later calls read no file. */
void columns_prepare(void);
/* 0, 1 or 2 */
size_t character_columns(uint32_t character);
/* Opens a file for reading, standard input for NULL; -1 and errno when it cannot. *size is 0 when
 * there is none. */
int input_open(const char *path, uint64_t *size);
/* As read(2); no signal interrupts it. */
ptrdiff_t input_read(int input, void *out, size_t length);
/* Leaves standard input open. */
void input_close(int input);
/* Whether its mode lets others than the owner read. */
bool input_is_open_to_others(int input);
/* Makes a file for the owner alone and syncs it; 0, or errno and no file. EEXIST: there was one. */
int file_write_new(const char *path, const char *text, size_t length);
/* Asks at the terminal, without echo, for a line; `about` (may be NULL) is shown in quotes. Its length
 * with the line's end, -1 and errno, or -2: there is no terminal. */
ptrdiff_t terminal_ask(const char *prompt, const char *about, char *out, size_t size);
/* A crash shall leave no copy of memory. */
void system_no_dumps(void);
bool path_exists(const char *path);
bool path_is_directory(const char *path);
/* To be freed; NULL when there is no such file. */
char *path_without_links(const char *path);
void path_remove(const char *path);
/* Behind what parts folders from what is in them. */
const char *last_part(const char *path);

/* sandbox.c: gives up all but reading the file at `path`; says which walls the kernel had. */
#define SANDBOX_FILES 1u /* Landlock */
#define SANDBOX_CALLS 2u /* seccomp */
unsigned sandbox_for_reading(const char *path);

/* cmd_compact.c: compacts; level 0: the default. References to what is erased are printed as JSON objects between
 * `open` and a bracket; NULL: they are said on stderr. EXIT_DONE, or what went wrong, said. */
int compact_at(const char *path, const char *output, const memfile_options *write, uint32_t level, const char *open,
               memfile_compact_result *result);

/* findings.c: the context of a finding callback */
typedef struct findings {
    bool json;
    uint64_t shown;
} findings;
void findings_show(void *context, const memfile_finding *finding);

int run_init(struct args *a);
int run_keygen(struct args *a);
int run_rekey(struct args *a);
int run_import(struct args *a);
int run_export(struct args *a);
int run_put(struct args *a);
int run_get(struct args *a);
int run_list(struct args *a);
int run_log(struct args *a);
int run_info(struct args *a);
int run_receipt(struct args *a);
int run_prove(struct args *a);
int run_verify_proof(struct args *a);
int run_recover(struct args *a);
int run_verify(struct args *a);
int run_compact(struct args *a);
int run_forget(struct args *a);
int run_help(struct args *a);
int run_version(struct args *a);
extern const verb verbs[];

#endif
