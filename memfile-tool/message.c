/* message: how the tool speaks: errors and hints on stderr, escapes, progress. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

static bool bar_shown;

static bool colour(FILE *out)
{
    return isatty(fileno(out)) && !getenv("NO_COLOR");
}

static void begin_line(const char *label, const char *code)
{
    progress_clear();
    fflush(stdout);
    if (colour(stderr))
        fprintf(stderr, "\033[%sm%s\033[0m", code, label);
    else
        fputs(label, stderr);
}

int usage_error(const char *format, ...)
{
    va_list list;
    begin_line("memfile-tool: ", "1;31");
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

void hint(const char *format, ...)
{
    va_list list;
    begin_line("hint: ", "1;36");
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
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

int report(const char *file, const memfile_error *e)
{
    begin_line("memfile-tool: ", "1;31");
    fprintf(stderr, "%s: %s\n", file, e->message);
    switch (e->code) {
    case MEMFILE_E_DAMAGED: hint("memfile-tool verify '%s' lists all that is damaged; copies made before are unaffected", file); break;
    case MEMFILE_E_TRUNCATED: hint("memfile-tool verify '%s' says what is missing", file); break;
    case MEMFILE_E_NEWER: hint("a newer memfile-tool reads this; this one is %s", memfile_version()); break;
    case MEMFILE_E_BUSY: hint("another process is writing; try again, or give --wait more seconds"); break;
    case MEMFILE_E_UNCERTAIN: hint("look with memfile-tool log '%s' before doing it again", file); break;
    case MEMFILE_E_NOT_MEMFILE: hint("memfile-tool init FILE makes a new memfile"); break;
    default: break;
    }
    return exit_code_of(e->code);
}

void print_hex(FILE *out, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        fprintf(out, "%02x", bytes[i]);
}

void print_json_string(FILE *out, const char *text, size_t length)
{
    fputc('"', out);
    for (size_t i = 0; i < length; i++) {
        unsigned char ch = (unsigned char)text[i];
        if (ch == '"' || ch == '\\')
            fprintf(out, "\\%c", ch);
        else if (ch < 0x20 || ch == 0x7f)
            fprintf(out, "\\u%04x", ch);
        else
            fputc(ch, out);
    }
    fputc('"', out);
}

void print_time_us(FILE *out, int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    int fraction = (int)(us % 1000000);
    struct tm tm;
    if (fraction < 0)
        fraction += 1000000, seconds--;
    if (!gmtime_r(&seconds, &tm)) {
        fputs("-", out);
        return;
    }
    fprintf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
            tm.tm_min, tm.tm_sec, fraction);
}

void print_line(FILE *out, const char *text, size_t length, size_t width)
{
    size_t columns = 0, i = 0;
    while (i < length) {
        unsigned char ch = (unsigned char)text[i];
        size_t n = ch < 0x80 ? 1 : ch < 0xe0 ? 2 : ch < 0xf0 ? 3 : 4;
        if (width && columns + 1 >= width && i + n < length) {
            fputs("…", out);
            return;
        }
        if (n > length - i)
            n = length - i;
        /* C1 controls too: a terminal obeys them */
        if (ch == '\n' || ch == '\t' || ch == '\r')
            fputc(' ', out);
        else if (ch < 0x20 || ch == 0x7f || (ch == 0xc2 && n == 2 && (unsigned char)text[i + 1] < 0xa0))
            fputs("?", out);
        else
            fwrite(text + i, 1, n, out);
        i += n;
        columns++;
    }
}

int finish_output(int exit_code)
{
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) != 0 || failed) {
        int saved = errno;
        if (saved == EPIPE)
            return EXIT_SYSTEM; /* the reader has gone: nobody to tell */
        begin_line("memfile-tool: ", "1;31");
        fprintf(stderr, "cannot write to standard output: %s\n", saved ? strerror(saved) : "write failed");
        return EXIT_SYSTEM;
    }
    return exit_code;
}

void progress_show(void *label, uint64_t done, uint64_t total)
{
    static time_t last;
    time_t now = time(NULL);
    if (!isatty(STDERR_FILENO) || total == 0 || (bar_shown && now == last && done < total))
        return;
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
}

void progress_clear(void)
{
    if (bar_shown)
        fputs("\r\033[K", stderr);
    bar_shown = false;
}
