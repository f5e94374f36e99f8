/* prove: an entry is part of the history, as a line that is checked without the file; verify-proof: does it hold? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define PROOF_MAX ((size_t)9 << 20)

/* A file that was there is never touched; one that could not be written whole is removed again. */
static int write_line(const char *path, const char *text, size_t length)
{
    char *line = (char *)malloc(length + 1);
    if (!line) {
        usage_error("out of memory");
        return EXIT_SYSTEM;
    }
    memcpy(line, text, length);
    line[length] = '\n';
    int error = file_write_new(path, line, length + 1);
    free(line);
    if (error == 0)
        return EXIT_DONE;
    if (error == EEXIST) {
        usage_error("'%s' exists; nothing is written over it", path);
        return EXIT_CONFLICT;
    }
    usage_error("cannot write '%s': %s", path, strerror(error));
    return EXIT_SYSTEM;
}

int run_prove(args *a)
{
    const char *path = a->positional[0], *id = a->positional[1], *as_of = arg_value(a, "as-of");
    const char *out = arg_value(a, "out"), *text;
    size_t length;
    uint64_t commit = MEMFILE_NEWEST, threads = 2;
    memfile_options options = MEMFILE_OPTIONS_INIT;
    memfile *mf;
    if (!arg_number(a, "threads", 1, 64, &threads))
        return EXIT_USAGE;
    options.threads = (uint32_t)threads;
    int code = open_memfile(path, MEMFILE_READ, &options, &mf);
    if (code != EXIT_DONE)
        return code;
    int rc = as_of ? memfile_find_commit(mf, as_of, &commit) : MEMFILE_OK;
    if (rc == MEMFILE_OK)
        rc = memfile_prove(mf, id, strlen(id), commit, &text, &length);
    if (rc != MEMFILE_OK)
        code = report(path, memfile_last_error(mf));
    else if (out)
        code = write_line(out, text, length);
    else
        printf("%.*s\n", (int)length, text);
    memfile_close(mf);
    return finish_output(code);
}

/* ---- verify-proof */

static int read_proof(const char *path, char **out, size_t *length)
{
    FILE *f = fopen(path, "rb");
    *out = f ? (char *)malloc(PROOF_MAX) : NULL;
    int error = errno;
    if (!f) {
        usage_error("cannot read '%s': %s", path, strerror(error));
        return error == ENOENT ? EXIT_NOTHING : EXIT_SYSTEM;
    }
    *length = *out ? fread(*out, 1, PROOF_MAX, f) : 0;
    bool failed = ferror(f) != 0;
    error = errno;
    fclose(f);
    if (*out && !failed)
        return EXIT_DONE;
    usage_error("cannot read '%s': %s", path, *out ? strerror(error) : "out of memory");
    return EXIT_SYSTEM;
}

static bool is_trusted(const memfile_proof_info *i)
{
    for (size_t s = 0; s < i->signature_count; s++)
        if (trust_has(i->signatures + s * 96))
            return true;
    return false;
}

/* Does it hang by what the user trusts? In words on stderr if not. */
static bool hangs_by_trust(const char *path, const memfile_proof_info *i)
{
    const memfile_receipt *r = trust_receipt();
    bool good = true;
    if (trust_asked() && !is_trusted(i)) {
        usage_error("%s: commit %llu, which the proof leads to, is not signed by a signer that you trust", path,
                    (unsigned long long)i->newest_commit);
        good = false;
    }
    if (!r)
        return good;
    if (memcmp(r->memory_id, i->memory_id, 16) != 0)
        usage_error("%s: the receipt is of another memory", path);
    else if (r->commit != i->newest_commit)
        usage_error("%s: the proof leads to commit %llu, the receipt is of commit %llu", path,
                    (unsigned long long)i->newest_commit, (unsigned long long)r->commit);
    else if (memcmp(r->history_digest, i->history_digest, 32) != 0)
        usage_error("%s: the proof leads to another history than the receipt's", path);
    else
        return good;
    if (memcmp(r->memory_id, i->memory_id, 16) == 0 && r->commit != i->newest_commit)
        hint("memfile-tool prove FILE ID --as-of %llu makes one that leads there", (unsigned long long)r->commit);
    return false;
}

static void print_hex_member(const char *name, const uint8_t *bytes, size_t length)
{
    printf(",\"%s\":\"", name);
    print_hex(stdout, bytes, length);
    putchar('"');
}

static void print_signer(const memfile_proof_info *i, size_t n)
{
    char name[MEMFILE_PUBLIC_SIZE];
    memfile_public_print(MEMFILE_SIGNER, i->signatures + n * 96, name);
    fputs(name, stdout);
}

static void show_json(const memfile_proof_info *i, bool trusted)
{
    printf("{\"holds\":true,\"trusted\":%s,\"entry\":%.*s", trusted ? "true" : "false", (int)i->entry_length, i->entry);
    if (i->content_is_detached) {
        printf(",\"content_length\":%llu", (unsigned long long)i->content_length);
        print_hex_member("content_root", i->content_root, 32);
    }
    print_hex_member("memory_id", i->memory_id, 16);
    printf(",\"commit\":%llu,\"commit_time\":\"", (unsigned long long)i->commit);
    print_time_us(stdout, i->commit_time_us);
    fputs("\",\"author\":", stdout);
    if (i->author)
        print_json_string(stdout, i->author, i->author_length);
    else
        fputs("null", stdout);
    printf(",\"index\":%llu,\"count\":%llu,\"newest_commit\":%llu,\"newest_time\":\"", (unsigned long long)i->index,
           (unsigned long long)i->count, (unsigned long long)i->newest_commit);
    print_time_us(stdout, i->newest_time_us);
    putchar('"');
    print_hex_member("history_digest", i->history_digest, 32);
    fputs(",\"signers\":[", stdout);
    for (size_t n = 0; n < i->signature_count; n++) {
        fputs(n ? ",\"" : "\"", stdout);
        print_signer(i, n);
        putchar('"');
    }
    puts("]}");
}

static void show(const memfile_proof_info *i)
{
    print_json_line(i->entry, i->entry_length);
    printf("is entry %llu of %llu of commit %llu, ", (unsigned long long)i->index + 1, (unsigned long long)i->count,
           (unsigned long long)i->commit);
    print_time_us(stdout, i->commit_time_us);
    if (i->author_length) {
        fputs(", by ", stdout);
        print_line(stdout, i->author, i->author_length, 0);
    }
    printf("\nin the history of commit %llu, ", (unsigned long long)i->newest_commit);
    print_time_us(stdout, i->newest_time_us);
    fputs("\nmemory         ", stdout);
    print_hex(stdout, i->memory_id, 16);
    fputs("\nhistory digest ", stdout);
    print_hex(stdout, i->history_digest, 32);
    putchar('\n');
    if (i->content_is_detached) {
        printf("content        %llu bytes, root ", (unsigned long long)i->content_length);
        print_hex(stdout, i->content_root, 32);
        putchar('\n');
    }
    for (size_t n = 0; n < i->signature_count; n++) {
        fputs("signed by      ", stdout);
        print_signer(i, n);
        puts(trust_has(i->signatures + n * 96) ? ", trusted" : "");
    }
}

int run_verify_proof(args *a)
{
    const char *path = a->positional[0];
    char *text;
    size_t length;
    memfile_proof *proof = NULL;
    memfile_proof_info info;
    memfile_error error;
    int code = read_proof(path, &text, &length);
    if (code == EXIT_DONE && memfile_proof_check(text, length, &proof, &error) != MEMFILE_OK) {
        usage_error("%s: %s", path, error.message);
        code = exit_code_of(error.code);
    }
    free(text);
    if (code == EXIT_DONE) {
        memfile_proof_get_info(proof, &info, sizeof info);
        bool trusted = hangs_by_trust(path, &info), asked = trust_asked() || trust_receipt();
        if (arg_flag(a, "json"))
            show_json(&info, trusted && asked);
        else
            show(&info);
        if (!asked)
            hint("whoever made this could make another one: compare the history digest with one that you trust, or give "
                 "--receipt or --signer");
        code = trusted ? EXIT_DONE : EXIT_DAMAGE;
    }
    memfile_proof_free(proof);
    return finish_output(code);
}
