/* main: which verb, and help. */
#include <string.h>

#include "tool.h"

#define AS_JSON {"json", NULL, "Print JSON", false}
#define END {NULL, NULL, NULL, false}
#define AUTHOR {"author", "NAME", "Who commits, noted in the log", false}
#define SIGN                                                                                                           \
    {"sign-with", "KEYFILE", "Sign what is committed with this key (memfile-tool keygen --sign)", false},              \
        {"sign-passphrase-file", "FILE", "Passphrase of that key; without it the terminal asks", false}
#define THREADS(what) {"threads", "N", what " (1 to 64, default 2)", false}
#define WAIT {"wait", "SECONDS", "How long to wait for another writer (default 10)", false}
#define AS_OF {"as-of", "COMMIT", "As of a commit: its number or the beginning of its digest", false}

#define PASSPHRASE(what)                                                                                               \
    {"passphrase", NULL, what ", asked for at the terminal", false},                                                   \
        {"passphrase-file", "FILE", "The same, read from a file; one line end is taken off", false},                   \
        {"passphrase-fd", "N", "The same, read from a file descriptor", false}

#define UNLOCK                                                                                                         \
    PASSPHRASE("The passphrase of a sealed file"),                                                                     \
        {"identity", "KEYFILE", "Your key, for a file sealed for you (default: MEMFILE_IDENTITY)", false}
#define SEAL_FOR                                                                                                       \
    {"recipient", "PUBLIC", "Seal it for the owner of this key (keygen); may be repeated", true},                       \
        {"pad", NULL, "Round sizes up, by 12 % at most, so that they tell less", false},                               \
        {"passes", "N", "What trying a passphrase costs: passes of Argon2id (1 to 10, default 3)", false},             \
        {"memory", "KIB", "And KiB of memory (8 to 1048576, default 262144)", false}

static const option no_options[] = {END};
static const option json_only[] = {AS_JSON, END};
static const option read_only[] = {UNLOCK, AS_JSON, END};
static const option init_options[] = {PASSPHRASE("Seal it under a passphrase"), SEAL_FOR, AUTHOR, SIGN, AS_JSON, END};
static const option rekey_options[] = {
    UNLOCK,
    {"new-passphrase", NULL, "Seal it under a new passphrase, asked for at the terminal", false},
    {"new-passphrase-file", "FILE", "The same, read from a file", false},
    {"new-passphrase-fd", "N", "The same, read from a file descriptor", false},
    SEAL_FOR,
    {"compact", NULL, "Write the whole file anew, so that the old key opens nothing of it", false},
    WAIT,
    AS_JSON,
    END};
static const option keygen_options[] = {
    {"sign", NULL, "A key that signs commits; without it one that opens sealed files", false},
    PASSPHRASE("Lock the key under a passphrase"),
    AS_JSON,
    END};
static const option import_options[] = {
    {"batch", "N", "Commit after so many lines (default: one commit for all)", false},
    THREADS("Threads that compress"),
    WAIT,
    AUTHOR,
    UNLOCK,
    SIGN,
    AS_JSON,
    END};
static const option export_options[] = {{"json", NULL, "Changes nothing: the output is JSON Lines anyway", false}, UNLOCK, END};
static const option put_options[] = {
    {"id", "ID", "The memory's id (default: a new UUID); known ids get a new version", false},
    {"kind", "KIND", "Like note, message, event, fact, preference, decision", false},
    {"scope", "SCOPE", "Names from broad to narrow, like project/garden", false},
    {"key", "KEY", "Unique in its scope: a newer entry supersedes an older one", false},
    {"title", "TEXT", "Title", false},
    {"tag", "TAG", "Tag; may be repeated", true},
    {"time", "TIME", "When it happened, like 2023-05-08T13:56:02Z", false},
    {"meta", "NAME=VALUE", "A value that parses as JSON is JSON, else text; may be repeated", true},
    {"link", "REL=ID", "Link to another memory; may be repeated", true},
    {"pin", NULL, "Pinned: to be kept in sight", false},
    {"expires", "TIME", "From then on lists leave it out", false},
    {"source", "TEXT", "Where it comes from", false},
    {"actor", "NAME", "Who said or did it", false},
    {"session", "NAME", "The session it belongs to", false},
    {"idempotency-key", "KEY", "Put only once under this key", false},
    {"data", NULL, "The input is bytes, not text", false},
    {"media-type", "TYPE", "Media type of the input, like image/png", false},
    WAIT,
    AUTHOR,
    UNLOCK,
    SIGN,
    AS_JSON,
    END};
static const option get_options[] = {{"json", NULL, "Print the whole entry as JSON", false}, AS_OF, UNLOCK, END};
static const option list_options[] = {{"kind", "KIND", "Only this kind", false},
                                      {"scope", "SCOPE", "Only in this scope, like project/garden", false},
                                      {"tag", "TAG", "Only with this tag", false},
                                      {"key", "KEY", "Only with this key", false},
                                      {"since", "TIME", "From this time on, like 2023-05-08T13:56:02Z", false},
                                      {"until", "TIME", "Before this time", false},
                                      {"limit", "N", "At most so many", false},
                                      {"reverse", NULL, "Newest entry first", false},
                                      AS_OF,
                                      {"all", NULL, "Superseded and expired entries too", false},
                                      UNLOCK,
                                      {"json", NULL, "Print JSON Lines, whole entries", false},
                                      END};
static const option log_options[] = {{"limit", "N", "At most so many", false},
                                     UNLOCK,
                                     {"json", NULL, "Print JSON Lines", false},
                                     END};
static const option verify_options[] = {
    {"quick", NULL, "Checksums of stored bytes only", false},
    {"receipt", "LINE", "Demand that this copy contains the history of this receipt, or of @FILE", false},
    {"signer", "PUBLIC", "Demand that this signer covers the newest commit; may be repeated: one of them", true},
    {"signers", "FILE", "The same with public keys from a file, one a line", false},
    {"without-key", NULL, "Check a sealed file from outside: its bytes, and no entry", false},
    UNLOCK,
    THREADS("Threads"),
    AS_JSON,
    END};
static const option prove_options[] = {
    AS_OF,
    {"out", "OUT", "Write the proof there; OUT must not exist", false},
    THREADS("Threads"),
    UNLOCK,
    END};
static const option verify_proof_options[] = {
    {"receipt", "LINE", "Demand that the proof leads to the history of this receipt, or of @FILE", false},
    {"signer", "PUBLIC", "Demand that this signer signed it; may be repeated: one of them", true},
    {"signers", "FILE", "The same with public keys from a file, one a line", false},
    AS_JSON,
    END};
static const option recover_options[] = {THREADS("Threads"), UNLOCK, AS_JSON, END};
static const option forget_options[] = {
    {"scope", "SCOPE", "Memories in this scope, like project/garden", false},
    {"kind", "KIND", "Memories of this kind", false},
    {"tag", "TAG", "Memories with this tag", false},
    {"key", "KEY", "Memories with this key", false},
    {"since", "TIME", "Whose newest version is from this time on", false},
    {"before", "TIME", "Whose newest version is from before this time", false},
    {"reason", "TEXT", "Why; it is kept, so it should not repeat what is forgotten", false},
    {"even-actions", NULL, "Memories with an idempotency key too: their action could be repeated", false},
    {"even-pinned", NULL, "Pinned memories too", false},
    {"now", NULL, "Compact the file too, so that nothing is left in it", false},
    {"dry-run", NULL, "Only say what would be forgotten", false},
    THREADS("Threads that compact"),
    WAIT,
    UNLOCK,
    AUTHOR,
    SIGN,
    AS_JSON,
    END};
static const option compact_options[] = {
    {"output", "OUT", "Write there, leave FILE as it is; OUT must not exist", false},
    {"level", "N", "zstd level (1 to 19, default 12)", false},
    UNLOCK,
    THREADS("Threads"),
    WAIT,
    AS_JSON,
    END};

const verb verbs[] = {
    {"init", "FILE", "Make a new, empty memory", "Fails if FILE exists. With a passphrase or recipients it is sealed: without the key nothing that\n"
     "it holds can be read.\n\nExamples:\n  memfile-tool init agent.memfile\n"
     "  memfile-tool init sealed.memfile --recipient \"$(memfile-tool keygen my.key)\"\n",
     init_options, 1, 1, run_init, false},
    {"import", "FILE INPUT.jsonl|-", "Add entries from JSON Lines",
     "One JSON object a line, of up to 1 GiB, like {\"kind\":\"note\",\"text\":\"Tea.\"}: the manual,\n"
     "memfile-tool(1), has all members under FORMAT OF LINES. Makes FILE if there is none.\n"
     "A line that is not valid stops the import: its number and the reason are said, and of\n"
     "the current batch nothing is written.\n\n"
     "Example:\n  memfile-tool import agent.memfile samples/agent.jsonl --batch 1000\n",
     import_options, 2, 2, run_import, false},
    {"export", "FILE", "Print all entries as JSON Lines, oldest first",
     "Loss-free: superseded versions are among them.\n\nExample:\n  memfile-tool export agent.memfile > backup.jsonl\n",
     export_options, 1, 1, run_export, true},
    {"put", "FILE [TEXT|-]", "Add one entry and print its id",
     "Without TEXT, or with -, the text is read from standard input.\n\n"
     "Example:\n  memfile-tool put agent.memfile 'Tea, not coffee.' --kind preference --scope user/ann --key drink\n",
     put_options, 1, 2, run_put, false},
    {"get", "FILE ID", "Print an entry's content, or all of it as JSON",
     "Prints exactly the bytes that were put.\n\n"
     "Example, after import of samples/agent.jsonl:\n  memfile-tool get agent.memfile d-2 --json\n",
     get_options, 2, 2, run_get, true},
    {"list", "FILE", "List entries",
     "Live entries in order; superseded and expired ones with --all.\n\n"
     "Example, after import of samples/agent.jsonl:\n"
     "  memfile-tool list agent.memfile --kind decision --scope project/garden --limit 20 --reverse\n",
     list_options, 1, 1, run_list, true},
    {"log", "FILE", "List commits, newest first", "Example:\n  memfile-tool log agent.memfile --limit 5\n", log_options, 1,
     1, run_log, true},
    {"info", "FILE", "Say what the file is and holds", "Example:\n  memfile-tool info agent.memfile --json\n", read_only, 1,
     1, run_info, true},
    {"receipt", "FILE", "Print a line that names the history",
     "Keep it elsewhere: verify --receipt tells later whether a copy still contains that history,\n"
     "also when newest commits were cut off, or all was written anew.\n\n"
     "Example:\n  memfile-tool receipt agent.memfile > agent.receipt\n",
     read_only, 1, 1, run_receipt, true},
    {"verify", "FILE", "Check every byte",
     "Exit code 0 only when every byte is accounted for; 3 when anything is damaged or\n"
     "unfinished. Signatures are checked, too: a signature of a commit covers all up to it, and\n"
     "nothing behind it. With --signer also 3 when the newest commit is not covered by one of them,\n"
     "with --receipt when this copy does not contain the history of the receipt.\n\n"
     "Examples:\n  memfile-tool verify agent.memfile\n"
     "  memfile-tool verify agent.memfile --receipt @agent.receipt\n",
     verify_options, 1, 1, run_verify, true},
    {"prove", "FILE ID", "Prove that an entry is part of the history",
     "Prints one line of JSON, of some KB, that verify-proof checks without FILE. It shows the\n"
     "entry, and of all others nothing. With --as-of it leads to that commit, else to the newest.\n\n"
     "Example, after import of samples/agent.jsonl:\n"
     "  memfile-tool prove agent.memfile d-2 > d-2.proof\n",
     prove_options, 2, 2, run_prove, false},
    {"verify-proof", "PROOF", "Check a proof, and print the entry",
     "Exit code 0 only if it holds and hangs by the receipt and a signer that were given; else 3.\n\n"
     "Example, after the one of prove:\n"
     "  memfile-tool verify-proof d-2.proof --receipt \"$(memfile-tool receipt agent.memfile)\"\n",
     verify_proof_options, 1, 1, run_verify_proof, true},
    {"recover", "DAMAGED OUT", "Write all that is sound to a new file",
     "Says what is missing. DAMAGED is never written to; OUT must not exist. Exit code 0\n"
     "only when nothing was lost; 3 when something was, or when unfinished bytes stand at\n"
     "the end, which may have been a commit; OUT has the rest.\n\n"
     "Example:\n  memfile-tool recover agent.memfile rescued.memfile\n",
     recover_options, 2, 2, run_recover, false},
    {"forget", "FILE [ID ...]", "Forget memories: no read gives them any more",
     "All versions of each, by ids, or by options that must all fit some version. Prints the\n"
     "ids. The bytes stay in the file until it is compacted: --now does that too. The log says\n"
     "what was forgotten, when, by whom and why. Exit code 1: there was nothing to forget.\n\n"
     "Example:\n  memfile-tool forget agent.memfile --scope user/ann --reason 'Ann asked for it' --now\n",
     forget_options, 1, MAX_POSITIONALS, run_forget, false},
    {"compact", "FILE", "Write the file anew, as small as it gets",
     "The history, its digest and entry numbers stay; the stored digest is another, for the\n"
     "bytes are others. What was forgotten is not in the new file. The new file is verified before it takes the old one's place.\n\n"
     "Example:\n  memfile-tool compact agent.memfile --output small.memfile\n",
     compact_options, 1, 1, run_compact, false},
    {"rekey", "FILE", "Seal it for somebody else from now on",
     "What is written from now on is under a new key. Who had the old one can still read what stood\n"
     "there before, in this file and in every copy; with --compact all of it is written anew under\n"
     "the new key, and copies are what is left.\n\n"
     "Example, after that of init:\n"
     "  memfile-tool rekey sealed.memfile --identity my.key --recipient \"$(memfile-tool keygen new.key)\"\n",
     rekey_options, 1, 1, run_rekey, false},
    {"keygen", "FILE", "Make a secret key and print its public key",
     "FILE is new, a line of text, for its owner alone (0600); whoever reads it has the key,\n"
     "unless it is locked under a passphrase. There is no other copy: keep one.\n\n"
     "Example:\n  memfile-tool keygen --sign signing.key\n",
     keygen_options, 1, 1, run_keygen, false},
    {"help", "[VERB]", "Say what a verb does", "", no_options, 0, 1, run_help, false},
    {"version", "", "Print the version", "", json_only, 0, 0, run_version, false},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, false}};

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
        char name[48];
        snprintf(name, sizeof name, "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("  %-21s  %s\n", name, o->help);
    }
    if (*v->details)
        printf("\n%s", v->details);
}

static void print_overview(void)
{
    printf("memfile-tool: an agent's whole memory in one file\n\nusage: memfile-tool VERB ...\n\n");
    for (const verb *v = verbs; v->name; v++)
        printf("  %-12s %-18s %s\n", v->name, v->arguments, v->summary);
    printf("\nmemfile-tool help VERB says more, the manual, memfile-tool(1), all.\n"
           "Exit codes: 0 done, 1 not found or nothing to do, 2 usage, 3 damage found,\n"
           "4 not a memfile or a newer one, 5 key needed or wrong, 6 busy or conflict,\n"
           "7 system error.\n");
}

int run_help(args *a)
{
    const verb *v = a->positional_count ? find_verb(a->positional[0]) : NULL;
    if (a->positional_count && !v)
        return usage_error("there is no verb '%s'; see memfile-tool help, or memfile-tool(1)", a->positional[0]);
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

int main(int argc, char **argv)
{
    system_start(&argc, &argv);
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
        return usage_error("there is no verb '%s'; see memfile-tool help, or memfile-tool(1)", name);
    args a;
    int rc = args_parse(&a, v, argc - 2, argv + 2);
    if (rc != EXIT_DONE)
        return rc;
    if (a.help) {
        print_verb(v);
        return finish_output(EXIT_DONE);
    }
    rc = secrets_load(&a, v->run == run_keygen || v->run == run_init);
    if (rc == EXIT_DONE)
        rc = trust_load(&a);
    if (rc != EXIT_DONE)
        return rc;
#ifndef MEMFILE_SANITIZE /* a leak check at exit reads /proc and stops threads */
    if (v->only_reads) {
        columns_prepare();
        sandbox_for_reading(a.positional[0]);
    }
#endif
    rc = v->run(&a);
    progress_clear();
    return rc;
}
