/* forget: memories that are in no read any more, and after compaction nowhere. */
#include <string.h>

#include "tool.h"

typedef struct state {
    bool json, dry_run;
    uint64_t told;
} state;

static const char *const outcomes[] = {"forgotten", "kept_action", "kept_pinned", "kept_forgets", "not_found"};
static const char *const reasons[] = {NULL, "kept, since it has an idempotency key: its action could be repeated",
                                      "kept, since it is pinned", "kept, since it records what was forgotten",
                                      "is the id of no memory"};

static void tell(void *context, const memfile_forget_item *item)
{
    state *s = (state *)context;
    if (s->json) {
        fputs(s->told++ ? ",{\"id\":" : "{\"items\":[{\"id\":", stdout);
        print_json_string(stdout, item->id, item->id_length);
        fprintf(stdout, ",\"outcome\":\"%s\",\"versions\":%llu}", outcomes[item->outcome],
                (unsigned long long)item->versions);
        return;
    }
    FILE *out = item->outcome == MEMFILE_FORGOTTEN ? stdout : stderr;
    if (item->outcome == MEMFILE_FORGOTTEN) {
        print_line(out, item->id, item->id_length, 0);
        fputc('\n', out);
    } else {
        print_line(out, item->id, item->id_length, 0);
        fprintf(out, ": %s\n", reasons[item->outcome]);
    }
}

static bool take_filter(const args *a, memfile_filter *filter, const char *names[32], char *storage, size_t size, bool *any)
{
    const char *scope = arg_value(a, "scope");
    filter->kind = arg_value(a, "kind");
    filter->tag = arg_value(a, "tag");
    filter->key = arg_value(a, "key");
    filter->since = arg_value(a, "since");
    filter->until = arg_value(a, "before");
    static const char *const takes[] = {"kind", "tag", "key", "since", "before"};
    for (size_t i = 0; i < sizeof takes / sizeof *takes; i++)
        if (arg_value(a, takes[i]) && !*arg_value(a, takes[i])) {
            usage_error("forget: --%s is empty", takes[i]);
            return false;
        }
    *any = scope || filter->kind || filter->tag || filter->key || filter->since || filter->until;
    if (scope) {
        filter->scope_count = split_scope(scope, names, storage, size);
        filter->scope = names;
        if (filter->scope_count == 0) {
            usage_error("forget: --scope takes 1 to 32 names like a/b, not '%.60s'", scope);
            return false;
        }
    }
    return arg_time(a, "since") && arg_time(a, "before");
}

static void say(const args *a, const memfile_forget_result *r, bool dry_run, bool now)
{
    const char *path = a->positional[0];
    if (r->kept_actions)
        hint("--even-actions forgets memories with an idempotency key too");
    if (r->kept_pinned)
        hint("--even-pinned forgets pinned memories too");
    if (r->memories == 0)
        return;
    fprintf(stderr, "%llu %s, %llu %s: %s\n", (unsigned long long)r->memories, plural(r->memories, "memory", "memories"),
            (unsigned long long)r->entries, plural(r->entries, "entry", "entries"),
            dry_run ? "would be forgotten; nothing was changed" : "forgotten");
    if (!dry_run && !now)
        hint("the bytes are in the file until it is compacted: memfile-tool compact %s", path);
}

static int forget(args *a, memfile *mf, const memfile_selection *selection, state *s, memfile_forget_result *r,
                  memfile_commit_result *commit)
{
    memfile_forget_options options = MEMFILE_FORGET_OPTIONS_INIT;
    options.reason = arg_value(a, "reason");
    options.even_actions = arg_flag(a, "even-actions");
    options.even_pinned = arg_flag(a, "even-pinned");
    options.dry_run = s->dry_run;
    options.item = tell;
    options.context = s;
    int rc = memfile_forget(mf, selection, &options, r);
    if (rc == MEMFILE_OK && !s->dry_run)
        rc = memfile_commit(mf, commit);
    return rc < 0 ? report(a->positional[0], memfile_last_error(mf)) : r->memories ? EXIT_DONE : EXIT_NOTHING;
}

static void print_report(const state *s, const memfile_forget_result *r, const memfile_commit_result *commit)
{
    printf("%s],\"dry_run\":%s,\"memories\":%llu,\"entries\":%llu,\"commit\":", s->told ? "" : "{\"items\":[",
           s->dry_run ? "true" : "false", (unsigned long long)r->memories, (unsigned long long)r->entries);
    if (r->made)
        printf("%llu", (unsigned long long)commit->number);
    else
        fputs("null", stdout);
}

/* Compacts, and says what came of it. */
static int erase(const char *path, const memfile_options *write, bool json)
{
    memfile_compact_result r;
    int code = compact_at(path, NULL, write, 0, json ? ",\"dangling\":[" : NULL, &r);
    if (code != EXIT_DONE)
        hint("what was forgotten is in no read any more, and in the file until it is compacted: memfile-tool compact '%s'", path);
    if (code == EXIT_DONE && json)
        printf(",\"erased\":%llu,\"bytes_before\":%llu,\"bytes_after\":%llu", (unsigned long long)r.erased,
               (unsigned long long)r.bytes_before, (unsigned long long)r.bytes_after);
    else if (code == EXIT_DONE)
        fprintf(stderr, "%llu %s erased; %llu bytes are now %llu\n", (unsigned long long)r.erased,
                plural(r.erased, "entry is", "entries are"), (unsigned long long)r.bytes_before,
                (unsigned long long)r.bytes_after);
    return code;
}

int run_forget(args *a)
{
    const char *path = a->positional[0], *names[32];
    char storage[8192];
    memfile_selection selection = MEMFILE_SELECTION_INIT;
    memfile_filter filter = MEMFILE_FILTER_INIT;
    memfile_options write = MEMFILE_OPTIONS_INIT;
    memfile_forget_result r;
    memfile_commit_result commit = {0, 0, {0}};
    memfile *mf;
    bool filtered, now = arg_flag(a, "now") && !arg_flag(a, "dry-run");
    state s = {arg_flag(a, "json"), arg_flag(a, "dry-run"), 0};
    write.threads = 2;
    if (!write_options(a, &write) || !take_filter(a, &filter, names, storage, sizeof storage, &filtered))
        return EXIT_USAGE;
    if (a->positional_count < 2 && !filtered)
        return usage_error("forget: which memories? Give ids, or --scope, --kind, --tag, --key, --since or --before");
    if (a->positional_count > 1 && filtered)
        return usage_error("forget: either ids, or --scope, --kind, --tag, --key, --since and --before, not both");
    selection.ids = a->positional + 1;
    selection.id_count = (size_t)a->positional_count - 1;
    selection.filter = filtered ? &filter : NULL;
    int code = open_memfile(path, MEMFILE_WRITE, &write, &mf);
    if (code != EXIT_DONE)
        return code;
    memfile_info info;
    memset(&info, 0, sizeof info);
    code = forget(a, mf, &selection, &s, &r, &commit);
    memfile_get_info(mf, &info, sizeof info);
    memfile_close(mf);
    bool pending = code == EXIT_NOTHING && info.forgotten > 0; /* forgotten before, and still in the file */
    if (code != EXIT_DONE && code != EXIT_NOTHING)
        return code;
    if (s.json)
        print_report(&s, &r, &commit);
    else
        say(a, &r, s.dry_run || code == EXIT_NOTHING, now);
    if ((code == EXIT_DONE || pending) && now)
        code = erase(path, &write, s.json);
    else if (pending && !s.json)
        hint("what was forgotten before is in the file until it is compacted: memfile-tool compact '%s'", path);
    if (s.json)
        puts("}");
    return finish_output(code);
}
