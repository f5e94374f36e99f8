/* message: how the tool speaks: errors and hints on stderr, escapes, progress. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"

static bool bar_shown;
static int output_errno; /* why stdout failed, when that was seen at once */

static bool colour(FILE *out)
{
    return is_terminal(out) && !getenv("NO_COLOR");
}

/* One line on stderr. File names and ids in it may hold what a terminal would obey. */
TOOL_PRINTF(3, 0)
static void say(const char *label, const char *code, const char *format, va_list list)
{
    char text[8192], last = '\0';
    progress_clear();
    fflush(stdout);
    vsnprintf(text, sizeof text, format, list);
    if (is_terminal(stderr))
        tame(text, strlen(text), false, &last);
    if (colour(stderr))
        fprintf(stderr, "\033[%sm%s\033[0m%s\n", code, label, text);
    else
        fprintf(stderr, "%s%s\n", label, text);
}

int usage_error(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say("memfile-tool: ", "1;31", format, list);
    va_end(list);
    return EXIT_USAGE;
}

void hint(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say("hint: ", "1;36", format, list);
    va_end(list);
}

const char *plural(uint64_t count, const char *one, const char *many)
{
    return count == 1 ? one : many;
}

int exit_code_of(int code)
{
    switch (code) {
    case MEMFILE_OK: return EXIT_DONE;
    case MEMFILE_DONE:
    case MEMFILE_E_NOT_FOUND: return EXIT_NOTHING;
    case MEMFILE_E_NOT_MEMFILE:
    case MEMFILE_E_NEWER: return EXIT_NOT_MEMFILE;
    case MEMFILE_E_TRUNCATED:
    case MEMFILE_E_DAMAGED: return EXIT_DAMAGE;
    case MEMFILE_E_KEY: return EXIT_KEY;
    case MEMFILE_E_CONFLICT:
    case MEMFILE_E_BUSY: return EXIT_CONFLICT;
    case MEMFILE_E_INVALID:
    case MEMFILE_E_MISUSE:
    case MEMFILE_E_LIMIT: return EXIT_USAGE;
    default: return EXIT_SYSTEM;
    }
}

static int advise(const char *file, const memfile_error *e)
{
    switch (e->code) {
    case MEMFILE_E_DAMAGED:
        hint("memfile-tool verify '%s' lists all that is damaged", file);
        hint("memfile-tool recover '%s' OUT writes all that is sound to a new file", file);
        break;
    case MEMFILE_E_TRUNCATED: hint("memfile-tool verify '%s' says what is missing", file); break;
    case MEMFILE_E_NEWER: hint("a newer memfile-tool reads this; this one is %s", memfile_version()); break;
    case MEMFILE_E_KEY:
        if (getenv("MEMFILE_IDENTITY"))
            hint("MEMFILE_IDENTITY is set: where no key is given, that one is used");
        hint("--passphrase (the terminal asks), --passphrase-file FILE, or --identity KEYFILE (or MEMFILE_IDENTITY) opens a "
             "sealed file; a plain one takes none of them");
        break;
    case MEMFILE_E_BUSY: hint("another process is writing; try again, or give --wait more seconds"); break;
    case MEMFILE_E_UNCERTAIN: hint("look with memfile-tool log '%s' before doing it again", file); break;
    default: break;
    }
    return exit_code_of(e->code);
}

int report(const char *file, const memfile_error *e)
{
    usage_error("%s: %s", file, e->message);
    return advise(file, e);
}

int report_damaged(const char *path, uint64_t count)
{
    memfile_error e = {.code = MEMFILE_E_DAMAGED};
    usage_error("%s: %llu %s could not be read; all others were", path, (unsigned long long)count,
                plural(count, "entry", "entries"));
    return advise(path, &e);
}

/* The message with `name`, as it stands there in quotes, replaced by `path`. */
static bool say_in_place(const char *message, const char *name, const char *path)
{
    size_t length = strlen(name);
    for (const char *at = strchr(message, '\''); at; at = strchr(at + 1, '\''))
        if (strncmp(at + 1, name, length) == 0 && at[length + 1] == '\'') {
            usage_error("%.*s'%s'%s", (int)(at - message), message, path, at + length + 2);
            return true;
        }
    return false;
}

/* The library names a file as it was given, or by its last name behind all links. */
static bool say_about(const char *path, const char *message)
{
    const char *last = last_part(path);
    if (say_in_place(message, path, path) || (last > path && *last && say_in_place(message, last, path)))
        return true;
    char *real = path_without_links(path);
    bool said = real && last_part(real) > real && say_in_place(message, last_part(real), path);
    free(real);
    return said;
}

int report_path(const char *path, const char *output, const memfile_error *e)
{
    bool writing = strncmp(e->message, "cannot write", 12) == 0 || strncmp(e->message, "no room", 7) == 0;
    if ((e->code == MEMFILE_E_NOT_MEMFILE || e->system_errno == EISDIR) && path_is_directory(path)) {
        usage_error("'%s' is a directory, not a memfile", path);
        return EXIT_NOT_MEMFILE;
    }
    if (output && say_about(output, e->message))
        return exit_code_of(e->code);
    if (!say_about(path, e->message))
        usage_error("%s: %s", output && writing ? output : path, e->message);
    if (e->code == MEMFILE_E_NOT_FOUND && e->system_errno == 0)
        hint("memfile-tool init FILE makes a new memfile");
    return advise(path, e);
}

void print_hex(FILE *out, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        fprintf(out, "%02x", bytes[i]);
}

/* Years are counted from March here, so that the day of a leap year is the last one:
 * howardhinnant.github.io/date_algorithms.html, civil_from_days. */
void time_text(char out[TIME_TEXT_SIZE], int64_t us)
{
    int64_t seconds = us / 1000000 - (us % 1000000 < 0), days = seconds / 86400 - (seconds % 86400 < 0);
    int fraction = (int)(us - seconds * 1000000), second = (int)(seconds - days * 86400);
    days += 719468; /* from 1 March of year 0 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int day = (int)(days - era * 146097); /* of 400 years */
    int year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= 365 * year + year / 4 - year / 100;
    int month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5;
    snprintf(out, TIME_TEXT_SIZE, "%04lld-%02d-%02dT%02d:%02d:%02d.%06dZ", (long long)(year + era * 400 + (month >= 10)),
             month < 10 ? month + 3 : month - 9, day + 1, second / 3600, second / 60 % 60, second % 60, fraction);
}

void print_time_us(FILE *out, int64_t us)
{
    char text[TIME_TEXT_SIZE];
    time_text(text, us);
    fputs(text, out);
}

bool output_failed(void)
{
    if (!ferror(stdout))
        return false;
    if (!output_errno)
        output_errno = errno;
    return true;
}

int finish_output(int exit_code)
{
    bool failed = output_failed();
    if (fflush(stdout) != 0 || failed) {
        int reason = failed ? output_errno : errno;
        if (!reader_is_gone(reason)) /* else there is nobody to tell */
            usage_error("cannot write to standard output: %s", strerror(reason ? reason : EIO));
        return EXIT_SYSTEM;
    }
    return exit_code;
}

int progress_show(void *label, uint64_t done, uint64_t total)
{
    static time_t last;
    time_t now = time(NULL);
    if (!is_terminal(stderr) || total == 0 || (bar_shown && now == last && done < total))
        return 0;
    last = now;
    int percent = (int)((double)done * 100 / (double)total), filled = percent * 30 / 100;
    if (percent > 100)
        percent = 100, filled = 30;
    fprintf(stderr, "\r%s [", (const char *)label);
    for (int i = 0; i < 30; i++)
        fputc(i < filled ? '#' : '.', stderr);
    fprintf(stderr, "] %3d%%", percent);
    fflush(stderr);
    bar_shown = true;
    return 0;
}

void progress_clear(void)
{
    if (bar_shown)
        fputs("\r\033[K", stderr);
    bar_shown = false;
}
