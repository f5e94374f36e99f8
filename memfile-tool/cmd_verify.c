/* verify: every byte accounted for, or where it is not. */
#include <stdlib.h>
#include <string.h>

#include "tool.h"

typedef struct state {
    findings findings; /* first: findings_show takes it as its context */
    memfile_signer *signers;
    size_t count;
    bool no_memory;
} state;

static void keep_signer(void *context, const memfile_signer *signer)
{
    state *s = (state *)context;
    void *grown = realloc(s->signers, (s->count + 1) * sizeof *s->signers);
    if (!grown) {
        s->no_memory = true;
        return;
    }
    s->signers = (memfile_signer *)grown;
    s->signers[s->count++] = *signer;
}

static void show_signers_json(const state *s, const memfile_verify_result *r)
{
    printf(",\"signatures\":%llu,\"signers\":[", (unsigned long long)r->signatures);
    for (size_t i = 0; i < s->count; i++) {
        const memfile_signer *g = &s->signers[i];
        printf("%s{\"public_key\":\"%s\",\"commits\":%llu,\"signed_through\":%llu,\"entries\":%llu,"
               "\"covers_newest\":%s",
               i ? "," : "", g->public_text, (unsigned long long)g->commits, (unsigned long long)g->signed_through,
               (unsigned long long)g->entries, g->covers_newest ? "true" : "false");
        if (trust_asked())
            printf(",\"trusted\":%s", trust_has(g->public_key) ? "true" : "false");
        putchar('}');
    }
    putchar(']');
}

static void show_signers(const state *s, const memfile_verify_result *r)
{
    for (size_t i = 0; i < s->count; i++) {
        const memfile_signer *g = &s->signers[i];
        uint64_t newer = r->newest_commit - g->signed_through;
        printf("signed through commit %llu, ", (unsigned long long)g->signed_through);
        if (g->covers_newest)
            printf("the newest, ");
        else
            printf("%llu %s not covered, ", (unsigned long long)newer, plural(newer, "newer one is", "newer ones are"));
        printf("by %s%s (%llu %s)\n", g->public_text, trust_asked() && trust_has(g->public_key) ? ", trusted," : "",
               (unsigned long long)g->commits, plural(g->commits, "signature", "signatures"));
    }
}

/* How far the trusted signers go, in words on stderr if that is not far enough. */
static bool is_trusted(const char *path, const state *s, const memfile_verify_result *r)
{
    const memfile_signer *furthest = NULL;
    for (size_t i = 0; i < s->count; i++)
        if (trust_has(s->signers[i].public_key) && (!furthest || s->signers[i].signed_through > furthest->signed_through))
            furthest = &s->signers[i];
    if (furthest && furthest->covers_newest)
        return true;
    usage_error("%s: the newest commit, %llu, is not covered by a signer that you trust", path,
                (unsigned long long)r->newest_commit);
    if (furthest)
        hint("what stands up to commit %llu is: the first %llu %s", (unsigned long long)furthest->signed_through,
             (unsigned long long)furthest->entries, plural(furthest->entries, "entry", "entries"));
    return false;
}

static int show_progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    return progress_show((void *)"verifying", done, total);
}

/* What is to be done about it; to verify again is no advice here. */
static int conclude(const char *path, const memfile_verify_result *r, const memfile_error *e)
{
    if (e->code == MEMFILE_E_DAMAGED && r->findings > 0)
        usage_error("%s: the file is damaged: %llu %s, %llu %s lost", path, (unsigned long long)r->findings,
                    plural(r->findings, "finding", "findings"), (unsigned long long)r->lost_entries,
                    plural(r->lost_entries, "entry", "entries"));
    else if (e->code == MEMFILE_E_DAMAGED || e->code == MEMFILE_E_TRUNCATED)
        usage_error("%s: %s", path, e->message);
    else
        return report_path(path, NULL, e);
    if (e->code == MEMFILE_E_TRUNCATED && r->unfinished_bytes > 0)
        hint("nothing that was committed is lost: the next put declares these bytes void and goes on behind them");
    else
        hint("memfile-tool recover '%s' OUT writes all that is sound to a new file", path);
    return exit_code_of(e->code);
}

static bool contains(memfile_receipt_verdict verdict)
{
    return verdict == MEMFILE_RECEIPT_EXACT || verdict == MEMFILE_RECEIPT_LATER;
}

/* What the receipt says of this copy, in words. */
static void show_receipt(const char *path, memfile_receipt_verdict verdict, const memfile_verify_result *r)
{
    const memfile_receipt *receipt = trust_receipt();
    unsigned long long newest = (unsigned long long)r->newest_commit, named = (unsigned long long)receipt->commit;
    switch (verdict) {
    case MEMFILE_RECEIPT_EXACT: printf("receipt: exactly that history, up to commit %llu\n", named); break;
    case MEMFILE_RECEIPT_LATER:
        printf("receipt: that history, up to commit %llu, and %llu later %s\n", named, newest - named,
               plural(newest - named, "commit", "commits"));
        break;
    case MEMFILE_RECEIPT_OLDER:
        usage_error("%s: this copy is older than the receipt: its newest commit is %llu, the receipt's %llu", path, newest,
                    named);
        if (r->unfinished_bytes)
            hint("%llu unfinished %s behind that commit: newer ones may have been cut off",
                 (unsigned long long)r->unfinished_bytes, plural(r->unfinished_bytes, "byte stands", "bytes stand"));
        else
            hint("the file ends cleanly behind that commit: it was rolled back, cut off there, or went another way before");
        break;
    case MEMFILE_RECEIPT_FORKED:
        usage_error("%s: this copy went another way: its commit %llu is not the receipt's", path, named);
        break;
    case MEMFILE_RECEIPT_REWRITTEN:
        usage_error("%s: the memory has the receipt's id and another beginning: it was written anew", path);
        break;
    case MEMFILE_RECEIPT_OTHER: usage_error("%s: the receipt is of another memory", path); break;
    default: usage_error("%s: damage hides what the receipt is to be compared with", path); break;
    }
}

int run_verify(args *a)
{
    state s = {{arg_flag(a, "json"), 0}, NULL, 0, false};
    memfile_verify_options options = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result r;
    memfile_error error;
    uint64_t threads = 2;
    if (!arg_number(a, "threads", 1, 64, &threads))
        return EXIT_USAGE;
    options.quick = arg_flag(a, "quick");
    options.threads = (uint32_t)threads;
    options.unlock = secret_unlock();
    options.without_key = arg_flag(a, "without-key");
    if (options.quick && (trust_asked() || trust_receipt()))
        return usage_error("verify: --quick computes no digest and looks at no signature; leave it out");
    if (arg_flag(a, "without-key") && (trust_asked() || trust_receipt()))
        return usage_error("verify: without a key no digest is computed and no signature seen; leave --without-key out");
    if (trust_receipt())
        options.wanted_commit = trust_receipt()->commit;
    options.finding = findings_show;
    options.signer = keep_signer;
    options.progress = show_progress;
    options.context = &s;
    if (s.findings.json)
        printf("{\"findings\":[");
    int rc = memfile_verify(a->positional[0], &options, &r, &error);
    progress_clear();
    bool checked = rc == MEMFILE_OK || r.findings > 0;
    bool trusted = !trust_asked() || (rc == MEMFILE_OK && !s.no_memory && is_trusted(a->positional[0], &s, &r));
    memfile_receipt_verdict verdict = MEMFILE_RECEIPT_EXACT;
    if (trust_receipt() && checked) {
        verdict = memfile_receipt_compare(trust_receipt(), &r);
        if (!s.findings.json || !contains(verdict))
            show_receipt(a->positional[0], verdict, &r);
    }
    if (s.findings.json) {
        printf("],\"result\":");
        print_json_string(stdout, rc == MEMFILE_OK ? "sound" : memfile_strerror(rc),
                          strlen(rc == MEMFILE_OK ? "sound" : memfile_strerror(rc)));
        printf(",\"file_bytes\":%llu,\"unfinished_bytes\":%llu,\"void_bytes\":%llu,\"segments\":%llu,\"commits\":%llu,"
               "\"quick\":%s",
               (unsigned long long)r.file_bytes, (unsigned long long)r.unfinished_bytes,
               (unsigned long long)r.void_bytes, (unsigned long long)r.segments, (unsigned long long)r.commits,
               options.quick ? "true" : "false");
        if (!r.outside)
            printf(",\"entries\":%llu", (unsigned long long)r.entries);
        if (checked)
            printf(",\"opened\":%s", r.outside ? "false" : "true");
        if (checked && !options.quick) {
            printf(",\"stored_digest\":\"");
            print_hex(stdout, r.stored_digest, 32);
            if (!r.outside) {
                printf("\",\"history_digest\":\"");
                print_hex(stdout, r.history_digest, 32);
            }
            putchar('"');
            show_signers_json(&s, &r);
        }
        if (trust_asked())
            printf(",\"trusted\":%s", trusted ? "true" : "false");
        if (trust_receipt() && checked)
            printf(",\"receipt\":\"%s\"", memfile_receipt_word(verdict));
        puts("}");
    } else if (rc == MEMFILE_OK) {
        printf("sound: %llu bytes, %llu %s, %llu %s", (unsigned long long)r.file_bytes, (unsigned long long)r.segments,
               plural(r.segments, "segment", "segments"), (unsigned long long)r.commits,
               plural(r.commits, "commit", "commits"));
        if (!r.outside)
            printf(", %llu %s", (unsigned long long)r.entries, plural(r.entries, "entry", "entries"));
        printf("%s\n", r.outside ? " (sealed, from outside)" : options.quick ? " (stored bytes only)" : "");
        if (!options.quick) {
            printf("stored digest  ");
            print_hex(stdout, r.stored_digest, 32);
            if (!r.outside) {
                printf("\nhistory digest ");
                print_hex(stdout, r.history_digest, 32);
            }
            putchar('\n');
            show_signers(&s, &r);
        }
    }
    free(s.signers);
    int code = exit_code_of(rc);
    if (rc == MEMFILE_OK && s.no_memory) {
        usage_error("out of memory");
        code = EXIT_SYSTEM;
    } else if (rc == MEMFILE_OK && (!trusted || !contains(verdict))) {
        code = EXIT_DAMAGE;
    }
    if (rc != MEMFILE_OK && !s.findings.json)
        code = conclude(a->positional[0], &r, &error);
    return finish_output(code);
}
