/* info: what the file is and holds. */
#include "tool.h"

static void show_json(const memfile_info *i)
{
    printf("{\"format\":%u,\"memory_id\":\"", i->format_version);
    print_hex(stdout, i->memory_id, 16);
    printf("\",\"incarnation_id\":\"");
    print_hex(stdout, i->incarnation_id, 16);
    printf("\",\"file_bytes\":%llu,\"committed_bytes\":%llu,\"unfinished_bytes\":%llu,\"damaged\":%s,\"sealed\":%s",
           (unsigned long long)i->file_bytes, (unsigned long long)i->committed_bytes,
           (unsigned long long)i->unfinished_bytes, i->unfinished_is_damage ? "true" : "false", i->sealed ? "true" : "false");
    if (!i->outside) {
        printf(",\"history_digest\":\"");
        print_hex(stdout, i->history_digest, 32);
        printf("\",\"entries\":%llu,\"superseded\":%llu,\"forgotten\":%llu,\"commits\":%llu,\"contents\":%llu,"
               "\"index_bytes\":%llu,\"index_runs\":%llu,\"dictionaries\":%llu,\"last_commit\":\"",
               (unsigned long long)i->entries, (unsigned long long)i->superseded, (unsigned long long)i->forgotten,
               (unsigned long long)i->commits, (unsigned long long)i->objects, (unsigned long long)i->index_bytes,
               (unsigned long long)i->runs, (unsigned long long)i->dictionaries);
        print_time_us(stdout, i->last_commit_us);
        putchar('"');
    }
    if (i->sealed)
        printf(",\"opened\":%s,\"keys\":%u,\"recipients\":%u,\"passes\":%u,\"memory_kib\":%u,\"padded\":%s",
               i->outside ? "false" : "true", i->epoch, i->recipients, i->passes, i->memory_kib, i->padded ? "true" : "false");
    puts("}");
}

static void show_table(const memfile_info *i)
{
    printf("format            %u%s\n", i->format_version, i->sealed ? ", sealed" : "");
    printf("memory            ");
    print_hex(stdout, i->memory_id, 16);
    if (i->sealed && i->recipients)
        printf("\nsealed for        %u %s%s", i->recipients, plural(i->recipients, "recipient", "recipients"), i->padded ? ", padded" : "");
    else if (i->sealed)
        printf("\nsealed under      a passphrase, %u %s over %u KiB%s", i->passes, plural(i->passes, "pass", "passes"), i->memory_kib,
               i->padded ? ", padded" : "");
    if (i->sealed)
        printf("\n  keys so far     %u", i->epoch);
    if (i->outside) {
        printf("\nfile              %llu bytes\n  unfinished      %llu %s%s\n", (unsigned long long)i->file_bytes,
               (unsigned long long)i->unfinished_bytes, plural(i->unfinished_bytes, "byte", "bytes"),
               i->unfinished_is_damage ? ", damaged" : "");
        puts("what it holds     cannot be told without its key");
        return;
    }
    printf("\nhistory digest    ");
    print_hex(stdout, i->history_digest, 32);
    printf("\nentries           %llu\n", (unsigned long long)i->entries);
    printf("  superseded      %llu\n", (unsigned long long)i->superseded);
    if (i->forgotten)
        printf("  forgotten       %llu, in the file until it is compacted\n", (unsigned long long)i->forgotten);
    printf("commits           %llu, the last at ", (unsigned long long)i->commits);
    print_time_us(stdout, i->last_commit_us);
    printf("\ndetached contents %llu\n", (unsigned long long)i->objects);
    printf("file              %llu bytes\n", (unsigned long long)i->file_bytes);
    printf("  index           %llu bytes in %llu %s\n", (unsigned long long)i->index_bytes,
           (unsigned long long)i->runs, plural(i->runs, "run", "runs"));
    printf("  unfinished      %llu %s%s\n", (unsigned long long)i->unfinished_bytes,
           plural(i->unfinished_bytes, "byte", "bytes"), i->unfinished_is_damage ? ", damaged" : "");
}

int run_info(args *a)
{
    memfile *mf;
    memfile_info info;
    memfile_options options = MEMFILE_OPTIONS_INIT;
    const memfile_unlock unlock = secret_unlock();
    options.without_key = !unlock.passphrase && !unlock.identity;
    options.rebuild_limit_bytes = 0;
    int rc = open_memfile(a->positional[0], MEMFILE_READ, &options, &mf);
    if (rc != EXIT_DONE)
        return rc;
    memfile_get_info(mf, &info, sizeof info);
    if (arg_flag(a, "json"))
        show_json(&info);
    else
        show_table(&info);
    memfile_close(mf);
    return finish_output(EXIT_DONE);
}
