/* main: which verb, and help. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define WRITE_OPTIONS                                                                                                  \
    {"wait", true, "seconds to wait for another writer (default 10)"},                                                 \
        {"author", true, "who commits, noted in the log"}

static const option no_options[] = {{NULL, false, NULL}};
static const option json_only[] = {{"json", false, "print JSON"}, {NULL, false, NULL}};
static const option init_options[] = {
    {"author", true, "who commits, noted in the log"}, {"json", false, "print JSON"}, {NULL, false, NULL}};
static const option import_options[] = {
    {"batch", true, "commit after so many lines (default: one commit for all)"},
    {"threads", true, "threads that compress (default: 2)"},
    WRITE_OPTIONS,
    {"json", false, "print JSON"},
    {NULL, false, NULL}};
static const option put_options[] = {{"id", true, "the memory's id (default: a new UUID)"},
                                     {"kind", true, "note, message, event, fact, preference, ..."},
                                     {"scope", true, "a/b/c: names, broad to narrow"},
                                     {"key", true, "unique in its scope: a newer entry supersedes"},
                                     {"title", true, "title"},
                                     {"tag", true, "tag; may be repeated"},
                                     {"time", true, "when it happened, like 2023-05-08T13:56:02Z"},
                                     {"meta", true, "k=v; v is JSON if it parses, else text; may be repeated"},
                                     {"link", true, "rel=id; may be repeated"},
                                     {"pin", false, "pinned"},
                                     {"expires", true, "time from which lists leave it out"},
                                     {"source", true, "where it comes from"},
                                     {"actor", true, "who said or did it"},
                                     {"session", true, "session"},
                                     {"idempotency-key", true, "put only once under this key"},
                                     {"data", false, "the input is bytes, not text"},
                                     {"media-type", true, "media type of the input"},
                                     WRITE_OPTIONS,
                                     {"json", false, "print JSON"},
                                     {NULL, false, NULL}};
static const option get_options[] = {{"json", false, "print the whole entry as JSON"},
                                     {"as-of", true, "as of a commit: its number or digest"},
                                     {NULL, false, NULL}};
static const option list_options[] = {{"kind", true, "only this kind"},
                                      {"scope", true, "a/b: only in this scope"},
                                      {"tag", true, "only with this tag"},
                                      {"key", true, "only with this key"},
                                      {"since", true, "time from, like 2023-05-08T13:56:02Z"},
                                      {"until", true, "time before"},
                                      {"limit", true, "at most so many"},
                                      {"reverse", false, "newest entry first"},
                                      {"as-of", true, "as of a commit: its number or digest"},
                                      {"all", false, "superseded and expired entries too"},
                                      {"json", false, "print JSON Lines, whole entries"},
                                      {NULL, false, NULL}};
static const option log_options[] = {
    {"limit", true, "at most so many"}, {"json", false, "print JSON Lines"}, {NULL, false, NULL}};
static const option recover_options[] = {{"threads", true, "threads (default: 2)"},
                                         {"json", false, "print JSON"},
                                         {NULL, false, NULL}};
static const option verify_options[] = {{"quick", false, "checksums of stored bytes only"},
                                        {"threads", true, "threads (default: 2)"},
                                        {"json", false, "print JSON"},
                                        {NULL, false, NULL}};
static const option compact_options[] = {{"output", true, "write there; leave the file as it is"},
                                         {"level", true, "zstd level 1 to 19 (default 12)"},
                                         {"threads", true, "threads (default: 2)"},
                                         {"wait", true, "seconds to wait for another writer (default 10)"},
                                         {"json", false, "print JSON"},
                                         {NULL, false, NULL}};

const verb verbs[] = {
    {"init", "FILE", "make a new, empty memory", "Fails if FILE exists.\n\nExample:\n  memfile-tool init agent.memfile\n",
     init_options, 1, 1, run_init},
    {"import", "FILE INPUT.jsonl|-", "add entries from JSON Lines",
     "One JSON object a line; makes FILE if there is none. A line that is not valid stops\n"
     "the import: its number and the reason are said, and of the current batch nothing is\n"
     "written.\n\nExample:\n  memfile-tool import agent.memfile notes.jsonl --batch 1000\n",
     import_options, 2, 2, run_import},
    {"export", "FILE", "print all entries as JSON Lines, oldest first",
     "Loss-free: superseded versions are among them.\n\nExample:\n  memfile-tool export agent.memfile > backup.jsonl\n",
     no_options, 1, 1, run_export},
    {"put", "FILE [TEXT|-]", "add one entry and print its id",
     "Without TEXT, or with -, the text is read from standard input.\n\n"
     "Example:\n  memfile-tool put agent.memfile 'Tea, not coffee.' --kind preference --scope user/ann --key drink\n",
     put_options, 1, 2, run_put},
    {"get", "FILE ID", "print an entry's text, or all of it as JSON",
     "Example:\n  memfile-tool get agent.memfile conv-1/D1:3 --json\n", get_options, 2, 2, run_get},
    {"list", "FILE", "list entries",
     "Live entries in order; superseded and expired ones with --all.\n\n"
     "Example:\n  memfile-tool list agent.memfile --kind decision --scope project/x --limit 20 --reverse\n",
     list_options, 1, 1, run_list},
    {"log", "FILE", "list commits, newest first", "Example:\n  memfile-tool log agent.memfile --limit 5\n", log_options, 1,
     1, run_log},
    {"info", "FILE", "what the file is and holds", "Example:\n  memfile-tool info agent.memfile --json\n", json_only, 1, 1,
     run_info},
    {"verify", "FILE", "check every byte",
     "Exit code 0 only when every byte is accounted for; 3 when anything is damaged or\n"
     "unfinished.\n\nExample:\n  memfile-tool verify agent.memfile\n",
     verify_options, 1, 1, run_verify},
    {"recover", "DAMAGED OUT", "write all that is sound to a new file",
     "Says what is missing. DAMAGED is never written to; OUT must not exist. Exit code 0\n"
     "only when nothing was lost; 3 when something was, and OUT has the rest.\n\n"
     "Example:\n  memfile-tool recover agent.memfile rescued.memfile\n",
     recover_options, 2, 2, run_recover},
    {"compact", "FILE", "write the file anew, as small as it gets",
     "History, digests and entry numbers stay. The new file is verified before it takes\n"
     "the old one's place.\n\nExample:\n  memfile-tool compact agent.memfile --output small.memfile\n",
     compact_options, 1, 1, run_compact},
    {"help", "[VERB]", "say what a verb does", "", no_options, 0, 1, run_help},
    {"version", "", "print the version", "", json_only, 0, 0, run_version},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL}};

static const verb *find_verb(const char *name)
{
    for (const verb *v = verbs; v->name; v++)
        if (strcmp(v->name, name) == 0)
            return v;
    return NULL;
}

static void print_verb(const verb *v)
{
    printf("usage: memfile-tool %s %s%s\n\n%s.\n", v->name, v->arguments,
           v->options->name ? (*v->arguments ? " [options]" : "[options]") : "", v->summary);
    if (v->options->name)
        printf("\nOptions:\n");
    for (const option *o = v->options; o->name; o++) {
        char name[40];
        snprintf(name, sizeof name, "--%s%s", o->name, o->takes_value ? " V" : "");
        printf("  %-22s %s\n", name, o->help);
    }
    if (*v->details)
        printf("\n%s", v->details);
}

static void print_overview(void)
{
    printf("memfile-tool: an agent's whole memory in one file\n\nusage: memfile-tool VERB ...\n\n");
    for (const verb *v = verbs; v->name; v++)
        printf("  %-8s %-20s %s\n", v->name, v->arguments, v->summary);
    printf("\nmemfile-tool help VERB says more. Exit codes: 0 done, 1 not found or nothing to do,\n"
           "2 usage, 3 damage found, 4 not a memfile or a newer one, 5 key needed or wrong,\n"
           "6 busy or conflict, 7 system error.\n");
}

int run_help(args *a)
{
    const verb *v = a->positional_count ? find_verb(a->positional[0]) : NULL;
    if (a->positional_count && !v)
        return usage_error("there is no verb '%s'; see memfile-tool help", a->positional[0]);
    if (v)
        print_verb(v);
    else
        print_overview();
    return finish_output(EXIT_DONE);
}

int run_version(args *a)
{
    if (arg_flag(a, "json"))
        printf("{\"version\":\"%s\",\"format\":1}\n", memfile_version());
    else
        printf("memfile-tool %s (format 1)\n", memfile_version());
    return finish_output(EXIT_DONE);
}

/* Descriptors 0 to 2 that are closed would be given to files we open. */
static void fill_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            _exit(EXIT_SYSTEM);
}

int main(int argc, char **argv)
{
    fill_descriptors();
    signal(SIGXFSZ, SIG_IGN); /* a limit on file size is an error like a full disk */
    if (argc < 2) {
        print_overview();
        finish_output(EXIT_USAGE);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    const verb *v = find_verb(name);
    if (!v)
        return usage_error("there is no verb '%s'; see memfile-tool help", name);
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0)
            break;
        if (strcmp(argv[i], "--help") == 0) {
            print_verb(v);
            return finish_output(EXIT_DONE);
        }
    }
    args a;
    int rc = args_parse(&a, v, argc - 2, argv + 2);
    if (rc != EXIT_DONE)
        return rc;
    rc = v->run(&a);
    progress_clear();
    return rc;
}
