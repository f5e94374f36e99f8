/* args: options and positional arguments of one verb. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const option *find_option(const verb *v, const char *name, size_t length)
{
    for (const option *o = v->options; o && o->name; o++)
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
            return o;
    return NULL;
}

static int take_option(args *a, const option *o, const char *value)
{
    const verb *v = a->verb;
    if (!o->repeats && arg_value(a, o->name))
        return usage_error("%s: --%s was given twice", v->name, o->name);
    if (a->given_count == (int)(sizeof a->given / sizeof a->given[0]))
        return usage_error("%s: too many options", v->name);
    a->given[a->given_count].option = o;
    a->given[a->given_count++].value = value;
    return EXIT_DONE;
}

/* The n-th word of what a verb takes, as its usage has it. */
static int missing_argument(const verb *v, int n)
{
    const char *word = v->arguments;
    while (n-- > 0)
        word += strcspn(word, " ") + 1;
    usage_error("%s: %.*s is missing", v->name, (int)strcspn(word, " "), word);
    hint("memfile-tool %s %s; memfile-tool %s --help says more, memfile-tool(1) all", v->name, v->arguments, v->name);
    return EXIT_USAGE;
}

int args_parse(args *a, const verb *v, int argc, char **argv)
{
    bool options = true;
    memset(a, 0, sizeof *a);
    a->verb = v;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!options || word[0] != '-' || word[1] == '\0') {
            if (a->positional_count == v->most)
                return usage_error("%s: too many arguments: '%s'", v->name, word);
            a->positional[a->positional_count++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            options = false;
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            a->help = true;
            return EXIT_DONE;
        }
        if (word[1] != '-')
            return usage_error("%s: unknown option '%s'; options begin with --", v->name, word);
        const char *equals = strchr(word, '=');
        const option *o = find_option(v, word + 2, equals ? (size_t)(equals - word - 2) : strlen(word + 2));
        if (!o)
            return usage_error("%s: unknown option '%s'; see memfile-tool %s --help", v->name, word, v->name);
        const char *value = "";
        if (o->value && equals)
            value = equals + 1;
        else if (o->value && i + 1 < argc)
            value = argv[++i];
        else if (o->value)
            return usage_error("%s: --%s needs a value: %s", v->name, o->name, o->value);
        else if (equals)
            return usage_error("%s: --%s takes no value", v->name, o->name);
        if (take_option(a, o, value) != EXIT_DONE)
            return EXIT_USAGE;
    }
    if (a->positional_count < v->least)
        return missing_argument(v, a->positional_count);
    return EXIT_DONE;
}

const char *arg_value(const args *a, const char *name)
{
    for (int i = a->given_count; i-- > 0;)
        if (strcmp(a->given[i].option->name, name) == 0)
            return a->given[i].value;
    return NULL;
}

bool arg_flag(const args *a, const char *name)
{
    return arg_value(a, name) != NULL;
}

const char *arg_nth(const args *a, const char *name, int n)
{
    for (int i = 0; i < a->given_count; i++)
        if (strcmp(a->given[i].option->name, name) == 0 && n-- == 0)
            return a->given[i].value;
    return NULL;
}

bool arg_time(const args *a, const char *name)
{
    const char *value = arg_value(a, name);
    memfile_draft *probe = NULL;
    if (!value || memfile_draft_new(&probe) != MEMFILE_OK)
        return true; /* the library will say so */
    bool good = memfile_draft_set_time(probe, MEMFILE_TIME, value) == MEMFILE_OK;
    memfile_draft_free(probe);
    if (!good)
        usage_error("%s: --%s takes a time in UTC like 2023-05-08T13:56:02Z, not '%s'", a->verb->name, name, value);
    return good;
}

bool arg_number(const args *a, const char *name, uint64_t least, uint64_t most, uint64_t *out)
{
    const char *text = arg_value(a, name);
    char *end;
    if (!text)
        return true;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || v < least || v > most) {
        usage_error("%s: --%s takes a whole number from %llu to %llu, not '%s'", a->verb->name, name,
                    (unsigned long long)least, (unsigned long long)most, text);
        return false;
    }
    *out = v;
    return true;
}
