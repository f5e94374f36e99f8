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
        if (word[1] != '-')
            return usage_error("%s: unknown option '%s'; options begin with --", v->name, word);
        const char *equals = strchr(word, '=');
        const option *o = find_option(v, word + 2, equals ? (size_t)(equals - word - 2) : strlen(word + 2));
        if (!o)
            return usage_error("%s: unknown option '%s'; see memfile-tool %s --help", v->name, word, v->name);
        const char *value = "";
        if (o->takes_value && equals)
            value = equals + 1;
        else if (o->takes_value && i + 1 < argc)
            value = argv[++i];
        else if (o->takes_value)
            return usage_error("%s: --%s needs a value", v->name, o->name);
        else if (equals)
            return usage_error("%s: --%s takes no value", v->name, o->name);
        if (a->given_count == (int)(sizeof a->given / sizeof a->given[0]))
            return usage_error("%s: too many options", v->name);
        a->given[a->given_count].option = o;
        a->given[a->given_count++].value = value;
    }
    if (a->positional_count < v->least)
        return usage_error("%s: usage: memfile-tool %s %s", v->name, v->name, v->arguments);
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
