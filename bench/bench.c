/* bench: memfile beside SQLite (WAL, synchronous=FULL) and the bare operations,
 * on the same records in the same run. Prints a Markdown table of ratios.
 *
 *   memfile-bench [--folder DIR] [--rounds N] [--commits N] [--generate N] [INPUT.jsonl]
 *   memfile-bench --growth N        one row of growth, N generated records
 *
 * Each figure is the median of the rounds; peers take turns within a round. */
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>
#include <zdict.h>
#include <zstd.h>

#include "memfile.h"

#define ROUNDS_MAX 101

typedef struct record {
    char *id, *kind, *scope, *text, *links;
    size_t text_length;
    int64_t seconds;
    char (*targets)[256];
    size_t target_count;
} record;

static record *records;
static size_t count;
static size_t text_bytes;
static const char *folder = "/tmp";
static int rounds = 5;
static int commits = 2000;

static void die(const char *what)
{
    fprintf(stderr, "memfile-bench: %s\n", what);
    exit(1);
}

static void check(int rc, memfile *mf)
{
    if (rc < 0)
        die(memfile_last_error(mf)->message);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, compare);
    return v[n / 2];
}

static char *path_of(const char *name)
{
    static char paths[8][512];
    static int next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/memfile-bench.%d.%s", folder, (int)getpid(), name);
    return p;
}

static uint64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void remove_sqlite(const char *path)
{
    char more[600];
    unlink(path);
    snprintf(more, sizeof more, "%s-wal", path);
    unlink(more);
    snprintf(more, sizeof more, "%s-shm", path);
    unlink(more);
}

/* ---- records */

static char *copy(const char *s, size_t n)
{
    char *p = (char *)malloc(n + 1);
    if (!p)
        die("out of memory");
    if (n)
        memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

static void take_entry(const memfile_entry *e, record *r)
{
    char id[256], scope[8192] = "", links[16384] = "";
    size_t n;
    uint32_t ns;
    const char *s;
    memset(r, 0, sizeof *r);
    n = memfile_entry_id(e, id);
    r->id = copy(id, n);
    s = memfile_entry_field(e, MEMFILE_KIND, &n);
    r->kind = copy(s, n);
    s = memfile_entry_field(e, MEMFILE_TEXT, &n);
    r->text = copy(s, n);
    r->text_length = n;
    memfile_entry_time(e, MEMFILE_TIME, &r->seconds, &ns);
    for (size_t i = 0; i < memfile_entry_scope_count(e); i++) {
        s = memfile_entry_scope(e, i, &n);
        snprintf(scope + strlen(scope), sizeof scope - strlen(scope), "%s%.*s", i ? "/" : "", (int)n, s);
    }
    r->scope = copy(scope, strlen(scope));
    r->target_count = memfile_entry_link_count(e);
    r->targets = (char(*)[256])malloc(256 * (r->target_count + 1));
    for (size_t i = 0; i < r->target_count; i++) {
        size_t length;
        s = memfile_entry_link(e, i, &n, r->targets[i], &length);
        if (strlen(links) + length + n + 4 < sizeof links)
            snprintf(links + strlen(links), sizeof links - strlen(links), "%s%.*s=%s", i ? "," : "", (int)n, s,
                     r->targets[i]);
    }
    r->links = copy(links, strlen(links));
    text_bytes += r->text_length;
}

/* Reads JSON Lines through a memfile of its own. */
static void load(const char *input)
{
    char command[1400], *path = path_of("load");
    const char *tool = getenv("MEMFILE_TOOL");
    memfile *mf;
    memfile_cursor *c;
    const memfile_entry *e;
    memfile_filter all = MEMFILE_FILTER_INIT;
    memfile_info info;
    size_t n = strlen(input);
    unlink(path);
    snprintf(command, sizeof command, "%s '%s' | '%s' import '%s' - 2>/dev/null",
             n > 4 && strcmp(input + n - 4, ".zst") == 0 ? "zstd -qdc" : "cat", input,
             tool ? tool : "./memfile-tool", path);
    if (system(command) != 0)
        die("the input could not be read; MEMFILE_TOOL names the tool");
    if (memfile_open(path, MEMFILE_READ, NULL, &mf, NULL) != MEMFILE_OK)
        die("cannot open what was imported");
    memfile_get_info(mf, &info, sizeof info);
    records = (record *)calloc(info.entries, sizeof *records);
    all.all = 1;
    check(memfile_list(mf, &all, &c), mf);
    while (memfile_cursor_next(c, &e) == MEMFILE_OK)
        take_entry(e, &records[count++]);
    memfile_cursor_close(c);
    memfile_close(mf);
    unlink(path);
}

static uint64_t seed = 88172645463325252u;
static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static const char *const words[] = {"the",    "agent", "saw",   "that", "disk",  "was",  "full",   "and",  "asked", "user",
                                    "before", "it",    "wrote", "plan", "again", "step", "failed", "with", "error", "done"};

static void generate_one(record *r, size_t i)
{
    static char text[2048];
    char id[40];
    size_t n = 0, length = 6 + next_random() % 70;
    for (size_t w = 0; w < length; w++)
        n += (size_t)sprintf(text + n, "%s%s", w ? " " : "", words[next_random() % 20]);
    n += (size_t)sprintf(text + n, " %llu", (unsigned long long)(next_random() % 100000));
    memset(r, 0, sizeof *r);
    snprintf(id, sizeof id, "%016llx%08llx", (unsigned long long)next_random(), (unsigned long long)(uint32_t)next_random());
    r->id = copy(id, 24);
    r->kind = copy("event", 5);
    r->scope = copy("generated", 9);
    r->text = copy(text, n);
    r->text_length = n;
    r->links = copy("", 0);
    r->seconds = 1600000000 + (int64_t)i * 61;
    text_bytes += n;
}

static void generate(size_t n)
{
    records = (record *)calloc(n, sizeof *records);
    for (count = 0; count < n; count++)
        generate_one(&records[count], count);
}

/* ---- memfile */

static void fill_draft(memfile_draft *d, const record *r)
{
    memfile_draft_clear(d);
    memfile_draft_set(d, MEMFILE_ID, r->id, strlen(r->id));
    if (*r->kind)
        memfile_draft_set(d, MEMFILE_KIND, r->kind, strlen(r->kind));
    if (*r->scope)
        memfile_draft_add_scope(d, r->scope, strlen(r->scope));
    memfile_draft_set_time_ns(d, MEMFILE_TIME, r->seconds, 0);
    memfile_draft_set(d, MEMFILE_TEXT, r->text, r->text_length);
    for (size_t i = 0; i < r->target_count; i++)
        memfile_draft_add_link(d, "follows", 7, r->targets[i], strlen(r->targets[i]));
}

static memfile_key *identity; /* of sealed files */
static char recipient[MEMFILE_PUBLIC_SIZE];
static int sealed; /* the files that are made and opened now are */

static memfile *open_mf(const char *path, memfile_mode mode, unsigned threads, size_t cache)
{
    const char *const recipients[] = {recipient};
    memfile *mf;
    memfile_error e;
    memfile_options o = MEMFILE_OPTIONS_INIT;
    o.threads = threads;
    o.cache_bytes = cache;
    if (sealed && mode == MEMFILE_CREATE) {
        o.seal_for.recipients = recipients;
        o.seal_for.recipient_count = 1;
    }
    if (sealed)
        o.unlock.identity = identity;
    if (memfile_open(path, mode, &o, &mf, &e) != MEMFILE_OK)
        die(e.message);
    return mf;
}

static double memfile_bulk(const char *path, unsigned threads)
{
    memfile_draft *d;
    unlink(path);
    if (memfile_draft_new(&d) != MEMFILE_OK)
        die("out of memory");
    double start = now();
    memfile *mf = open_mf(path, MEMFILE_CREATE, threads, 4u << 20);
    for (size_t i = 0; i < count; i++) {
        fill_draft(d, &records[i]);
        check(memfile_put(mf, d, NULL), mf);
    }
    check(memfile_commit(mf, NULL), mf);
    memfile_close(mf);
    double took = now() - start;
    memfile_draft_free(d);
    return took;
}

static double memfile_scan(const char *path, unsigned threads)
{
    memfile_cursor *c;
    const memfile_entry *e;
    size_t n, total = 0, entries = 0;
    memfile *mf = open_mf(path, MEMFILE_READ, threads, 4u << 20);
    double start = now();
    check(memfile_list(mf, NULL, &c), mf);
    while (memfile_cursor_next(c, &e) == MEMFILE_OK) {
        int64_t s;
        uint32_t ns;
        char id[256];
        memfile_entry_field(e, MEMFILE_TEXT, &n);
        total += n;
        memfile_entry_field(e, MEMFILE_KIND, &n);
        memfile_entry_time(e, MEMFILE_TIME, &s, &ns);
        memfile_entry_id(e, id);
        entries++;
    }
    double took = now() - start;
    if (entries != count || total != text_bytes)
        die("the scan is not complete");
    memfile_cursor_close(c);
    memfile_close(mf);
    return took;
}

/* ---- SQLite */

static void sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(db));
}

static sqlite3 *open_sqlite(const char *path)
{
    sqlite3 *db;
    if (sqlite3_open(path, &db) != SQLITE_OK)
        die("cannot open the SQLite file");
    sql(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
    return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *text)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(db, text, -1, &s, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(db));
    return s;
}

static void insert(sqlite3_stmt *s, const record *r)
{
    sqlite3_bind_text(s, 1, r->id, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, r->kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, r->scope, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 4, r->seconds);
    sqlite3_bind_text(s, 5, r->text, (int)r->text_length, SQLITE_STATIC);
    sqlite3_bind_text(s, 6, r->links, -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_DONE)
        die("insert failed");
    sqlite3_reset(s);
}

static const char table[] =
    "CREATE TABLE m(id TEXT PRIMARY KEY, kind TEXT, scope TEXT, time INTEGER, text TEXT, links TEXT);"
    "CREATE INDEX m_time ON m(time)";
static const char insertion[] = "INSERT INTO m VALUES(?,?,?,?,?,?)";

static double sqlite_bulk(const char *path)
{
    remove_sqlite(path);
    double start = now();
    sqlite3 *db = open_sqlite(path);
    sql(db, table);
    sql(db, "BEGIN");
    sqlite3_stmt *s = prepare(db, insertion);
    for (size_t i = 0; i < count; i++)
        insert(s, &records[i]);
    sqlite3_finalize(s);
    sql(db, "COMMIT");
    sqlite3_close(db);
    return now() - start;
}

static double sqlite_scan(const char *path)
{
    sqlite3 *db = open_sqlite(path);
    sqlite3_stmt *s = prepare(db, "SELECT id,kind,scope,time,text,links FROM m");
    size_t total = 0;
    double start = now();
    while (sqlite3_step(s) == SQLITE_ROW) {
        total += (size_t)sqlite3_column_bytes(s, 4);
        if (!sqlite3_column_text(s, 4) || !sqlite3_column_text(s, 0) || !sqlite3_column_text(s, 1))
            die("NULL");
        (void)sqlite3_column_int64(s, 3);
    }
    double took = now() - start;
    if (total != text_bytes)
        die("the SQLite scan is not complete");
    sqlite3_finalize(s);
    sqlite3_close(db);
    return took;
}

static double sqlite_check(const char *path)
{
    sqlite3 *db = open_sqlite(path);
    double start = now();
    sql(db, "PRAGMA integrity_check");
    double took = now() - start;
    sqlite3_close(db);
    return took;
}

/* ---- rows of the table */

static void row(const char *what, const char *bar, double ratio, int smaller_is_better, double limit, const char *detail)
{
    int met = smaller_is_better ? ratio <= limit : ratio >= limit;
    printf("| %s | %s | %.3f | %s | %s |\n", what, bar, ratio, met ? "yes" : "**no**", detail);
    fflush(stdout);
}

static void bench_bulk(const char *mf, const char *db)
{
    double one[ROUNDS_MAX], two[ROUNDS_MAX], sq[ROUNDS_MAX];
    char detail[200];
    for (int r = 0; r < rounds; r++) {
        sq[r] = sqlite_bulk(db);
        one[r] = memfile_bulk(mf, 1);
        two[r] = memfile_bulk(mf, 2);
    }
    double s = median(sq, (size_t)rounds), a = median(one, (size_t)rounds), b = median(two, (size_t)rounds);
    snprintf(detail, sizeof detail, "%.0f k/s against %.0f k/s", (double)count / a / 1e3, (double)count / s / 1e3);
    row("bulk write, one thread: records/s against SQLite", "≥ 2", s / a, 0, 2, detail);
    snprintf(detail, sizeof detail, "%.0f k/s", (double)count / b / 1e3);
    row("bulk write, two threads", "≥ 3.5", s / b, 0, 3.5, detail);
    snprintf(detail, sizeof detail, "%.2f MB against %.2f MB", (double)size_of(mf) / 1e6, (double)size_of(db) / 1e6);
    row("size as written against SQLite", "≤ 0.30", (double)size_of(mf) / (double)size_of(db), 1, 0.30, detail);
}

static void bench_compact(const char *mf, const char *db, const char *compacted, const char *label)
{
    memfile_compact_options o = MEMFILE_COMPACT_OPTIONS_INIT;
    memfile_error e;
    char detail[200];
    unlink(compacted);
    o.output = compacted;
    o.threads = 2;
    double start = now();
    if (memfile_compact(mf, &o, NULL, &e) != MEMFILE_OK)
        die(e.message);
    snprintf(detail, sizeof detail, "%.2f MB, in %.2f s", (double)size_of(compacted) / 1e6, now() - start);
    row(label, "≤ 0.25", (double)size_of(compacted) / (double)size_of(db), 1, 0.25, detail);
}

/* One-record commits in turn with bare appends of as many bytes. */
static void bench_commits(const char *path)
{
    double *mine = (double *)malloc((size_t)commits * sizeof *mine), *bare = (double *)malloc((size_t)commits * sizeof *bare);
    double *sq = (double *)malloc((size_t)commits * sizeof *sq);
    char *raw = path_of("bare"), *db_path = path_of("commits.db"), detail[200];
    static char bytes[1 << 20];
    memfile_draft *d;
    unlink(path);
    unlink(raw);
    remove_sqlite(db_path);
    randombytes_buf(bytes, sizeof bytes);
    int fd = open(raw, O_CREAT | O_RDWR, 0600);
    sqlite3 *db = open_sqlite(db_path);
    sql(db, table);
    sqlite3_stmt *s = prepare(db, insertion);
    memfile *mf = open_mf(path, MEMFILE_CREATE, 1, 4u << 20);
    if (memfile_draft_new(&d) != MEMFILE_OK || fd < 0)
        die("cannot begin");
    uint64_t last = size_of(path);
    off_t at = 0;
    for (int i = 0; i < commits; i++) {
        const record *r = &records[(size_t)i % count];
        char id[64];
        record other = *r;
        snprintf(id, sizeof id, "%s-%d", r->id, i / (int)count);
        if ((size_t)i >= count)
            other.id = id;
        double start = now();
        fill_draft(d, &other);
        check(memfile_put(mf, d, NULL), mf);
        check(memfile_commit(mf, NULL), mf);
        mine[i] = now() - start;
        uint64_t size = size_of(path);
        size_t n = (size_t)(size - last);
        last = size;
        start = now();
        if (pwrite(fd, bytes, n < sizeof bytes ? n : sizeof bytes, at) < 0 || fdatasync(fd) != 0)
            die("cannot append");
        bare[i] = now() - start;
        at += (off_t)n;
        start = now();
        insert(s, &other);
        sq[i] = now() - start;
    }
    double a = median(mine, (size_t)commits), b = median(bare, (size_t)commits), c = median(sq, (size_t)commits);
    snprintf(detail, sizeof detail, "%.0f µs against %.0f µs; SQLite %.0f µs", a * 1e6, b * 1e6, c * 1e6);
    row("one-record durable commit against append + fdatasync, median", "≤ 1.10", a / b, 1, 1.10, detail);
    memfile_draft_free(d);
    memfile_close(mf);
    sqlite3_finalize(s);
    sqlite3_close(db);
    close(fd);
    unlink(raw);
    remove_sqlite(db_path);
    free(mine);
    free(bare);
    free(sq);
}

static void bench_one_by_one(const char *path, const char *db, const char *compacted)
{
    memfile_draft *d;
    char detail[200];
    unlink(path);
    if (memfile_draft_new(&d) != MEMFILE_OK)
        die("out of memory");
    memfile *mf = open_mf(path, MEMFILE_CREATE, 1, 4u << 20);
    for (size_t i = 0; i < count; i++) {
        fill_draft(d, &records[i]);
        check(memfile_put(mf, d, NULL), mf);
        check(memfile_commit(mf, NULL), mf);
    }
    memfile_close(mf);
    memfile_draft_free(d);
    snprintf(detail, sizeof detail, "%.2f MB", (double)size_of(path) / 1e6);
    row("size after all records were committed one by one against SQLite's bulk file", "≤ 1.0",
        (double)size_of(path) / (double)size_of(db), 1, 1.0, detail);
    bench_compact(path, db, compacted, "the same after compaction");
}

static double memfile_open_get(const char *path, const char *id)
{
    const memfile_entry *e;
    size_t n;
    double start = now();
    memfile *mf = open_mf(path, MEMFILE_READ, 1, 4u << 20);
    check(memfile_get(mf, id, strlen(id), MEMFILE_NEWEST, &e), mf);
    memfile_entry_field(e, MEMFILE_TEXT, &n);
    double took = now() - start;
    memfile_close(mf);
    return took;
}

static double sqlite_open_get(const char *path, const char *id)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    double start = now();
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        die("cannot open");
    s = prepare(db, "SELECT kind,scope,time,text,links FROM m WHERE id=?");
    sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_ROW || !sqlite3_column_text(s, 3))
        die("not found");
    double took = now() - start;
    sqlite3_finalize(s);
    sqlite3_close(db);
    return took;
}

static void bench_open(const char *mf, const char *db)
{
    enum { N = 401 };
    double a[N], b[N];
    char detail[200];
    for (int i = 0; i < N; i++) {
        const char *id = records[next_random() % count].id;
        a[i] = memfile_open_get(mf, id);
        b[i] = sqlite_open_get(db, id);
    }
    double x = median(a, N), y = median(b, N);
    snprintf(detail, sizeof detail, "%.0f µs against %.0f µs", x * 1e6, y * 1e6);
    row("open and first get against SQLite", "≤ 0.7", x / y, 1, 0.7, detail);
}

static void bench_get(const char *path, const char *db_path)
{
    enum { N = 20001 };
    static double cached[N], uncached[N], sq[N];
    char detail[200];
    const memfile_entry *e;
    size_t n;
    memfile *hot = open_mf(path, MEMFILE_READ, 1, 16u << 20), *cold = open_mf(path, MEMFILE_READ, 1, 1300u << 10);
    sqlite3 *db = open_sqlite(db_path);
    sqlite3_stmt *s = prepare(db, "SELECT kind,scope,time,text,links FROM m WHERE id=?");
    size_t window = count < 2000 ? count : 2000;
    for (int round = 0; round < 2; round++) /* the first warms up */
        for (int i = 0; i < N; i++) {
            const char *near = records[next_random() % window].id, *any = records[next_random() % count].id;
            double start = now();
            check(memfile_get(hot, near, strlen(near), MEMFILE_NEWEST, &e), hot);
            memfile_entry_field(e, MEMFILE_TEXT, &n);
            cached[i] = now() - start;
            start = now();
            check(memfile_get(cold, any, strlen(any), MEMFILE_NEWEST, &e), cold);
            memfile_entry_field(e, MEMFILE_TEXT, &n);
            uncached[i] = now() - start;
            start = now();
            sqlite3_bind_text(s, 1, any, -1, SQLITE_STATIC);
            if (sqlite3_step(s) != SQLITE_ROW || !sqlite3_column_text(s, 3))
                die("not found");
            sqlite3_reset(s);
            sq[i] = now() - start;
        }
    double a = median(cached, N), b = median(uncached, N), c = median(sq, N);
    snprintf(detail, sizeof detail, "%.2f µs against %.2f µs", a * 1e6, c * 1e6);
    row("get by id, block in cache, against SQLite's warm get, median", "≤ 0.2", a / c, 1, 0.2, detail);
    snprintf(detail, sizeof detail, "%.2f µs", b * 1e6);
    row("get by id, block not in cache", "≤ 3", b / c, 1, 3, detail);
    sqlite3_finalize(s);
    sqlite3_close(db);
    memfile_close(hot);
    memfile_close(cold);
}

/* Time that zstd alone takes to decompress blocks like those of the file: the same
 * texts in blocks of the same size, level and size of dictionary. */
static double bare_zstd(int level, size_t dictionary_bytes, size_t block_bytes)
{
    static char **frame;
    static size_t *length, frames, for_block;
    static ZSTD_DDict *ddict;
    size_t total = 0;
    static char out[1 << 20];
    ZSTD_DCtx *dctx = ZSTD_createDCtx();
    if (for_block != block_bytes) { /* made once for each kind of file */
        static char block[1 << 20];
        char *samples = (char *)malloc(4 << 20), *dictionary = (char *)malloc(dictionary_bytes);
        size_t *sizes = (size_t *)malloc(count * sizeof *sizes), n = 0, used = 0;
        ZSTD_CCtx *cctx = ZSTD_createCCtx();
        for (size_t i = 0; i < count && used + records[i].text_length < (4u << 20); i += count / 8000 + 1) {
            memcpy(samples + used, records[i].text, records[i].text_length);
            used += sizes[n++] = records[i].text_length;
        }
        size_t trained = ZDICT_trainFromBuffer(dictionary, dictionary_bytes, samples, sizes, (unsigned)n);
        if (ZDICT_isError(trained))
            die("no dictionary can be made of these texts");
        ZSTD_CDict *cdict = ZSTD_createCDict(dictionary, trained, level);
        ddict = ZSTD_createDDict(dictionary, trained);
        frame = (char **)calloc(count + 1, sizeof *frame);
        length = (size_t *)calloc(count + 1, sizeof *length);
        frames = used = 0;
        for (size_t i = 0; i <= count; i++) {
            size_t more = i < count ? records[i].text_length : 0;
            if (used && (i == count || used >= block_bytes || used + more > sizeof block)) {
                frame[frames] = (char *)malloc(ZSTD_compressBound(used));
                length[frames] = ZSTD_compress_usingCDict(cctx, frame[frames], ZSTD_compressBound(used), block, used, cdict);
                frames++;
                used = 0;
            }
            if (more <= sizeof block)
                memcpy(block + used, i < count ? records[i].text : "", more), used += more;
        }
        for_block = block_bytes;
        ZSTD_freeCDict(cdict);
        ZSTD_freeCCtx(cctx);
        free(samples);
        free(dictionary);
        free(sizes);
    }
    double start = now();
    for (size_t i = 0; i < frames; i++)
        total += ZSTD_decompress_usingDDict(dctx, out, sizeof out, frame[i], length[i], ddict);
    double took = now() - start;
    if (total != text_bytes)
        die("not all was decompressed");
    ZSTD_freeDCtx(dctx);
    return took;
}

static void bench_scan(const char *path, const char *db, const char *label, int level, size_t dictionary, size_t block)
{
    double one[ROUNDS_MAX], two[ROUNDS_MAX], sq[ROUNDS_MAX], z[ROUNDS_MAX];
    char detail[200];
    int n = rounds * 2 + 1 < ROUNDS_MAX ? rounds * 2 + 1 : ROUNDS_MAX;
    for (int r = 0; r < n; r++) {
        sq[r] = sqlite_scan(db);
        one[r] = memfile_scan(path, 1);
        two[r] = memfile_scan(path, 2);
        z[r] = bare_zstd(level, dictionary, block);
    }
    double s = median(sq, (size_t)n), a = median(one, (size_t)n), b = median(two, (size_t)n), c = median(z, (size_t)n);
    snprintf(detail, sizeof detail, "%.1f ms against %.1f ms", a * 1e3, s * 1e3);
    char what[120];
    snprintf(what, sizeof what, "full scan of %s, one thread: speed against SQLite", label);
    row(what, "≥ 0.7", s / a, 0, 0.7, detail);
    snprintf(detail, sizeof detail, "%.1f ms", b * 1e3);
    row("the same, two threads", "≥ 1.3", s / b, 0, 1.3, detail);
    snprintf(detail, sizeof detail, "%.1f ms for zstd alone", c * 1e3);
    row("the same, one thread: speed against bare zstd decompression", "≥ 0.85", c / a, 0, 0.85, detail);
}

static double verify_once(const char *path, unsigned threads, int quick)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_error e;
    o.threads = threads;
    o.quick = quick;
    double start = now();
    if (memfile_verify(path, &o, NULL, &e) != MEMFILE_OK)
        die(e.message);
    return now() - start;
}

static void bench_verify(const char *path, const char *db)
{
    double one[ROUNDS_MAX], two[ROUNDS_MAX], quick[ROUNDS_MAX], sq[ROUNDS_MAX];
    char detail[200];
    for (int r = 0; r < rounds; r++) {
        sq[r] = sqlite_check(db);
        one[r] = verify_once(path, 1, 0);
        two[r] = verify_once(path, 2, 0);
        quick[r] = verify_once(path, 1, 1);
    }
    double s = median(sq, (size_t)rounds), a = median(one, (size_t)rounds), b = median(two, (size_t)rounds);
    double q = (double)size_of(path) / median(quick, (size_t)rounds) / 1e9;
    snprintf(detail, sizeof detail, "%.0f ms against %.0f ms", a * 1e3, s * 1e3);
    row("full verify, one thread: time against integrity_check", "≤ 0.7", a / s, 1, 0.7, detail);
    snprintf(detail, sizeof detail, "%.0f ms", b * 1e3);
    row("full verify, two threads", "≤ 0.4", b / s, 1, 0.4, detail);
    row("quick verify, GB/s of stored bytes", "≥ 5", q, 0, 5, "");
}

/* Peak resident memory of a command, in MiB. It is started by a small process that
 * was forked before anything was loaded, since a child inherits its parent's peak. */
static int measurer[2] = {-1, -1};

static void start_measurer(void)
{
    int to[2], from[2];
    if (pipe(to) != 0 || pipe(from) != 0)
        die("no pipe");
    if (fork() == 0) {
        char command[1400];
        size_t n = 0;
        close(to[1]);
        while (read(to[0], command + n, 1) == 1) {
            struct rusage usage;
            int status = -1;
            double peak = -1;
            if (command[n++])
                continue;
            n = 0;
            pid_t pid = fork();
            if (pid == 0) {
                execl("/bin/sh", "sh", "-c", command, (char *)NULL);
                _exit(127);
            }
            if (wait4(pid, &status, 0, &usage) == pid && status == 0)
                peak = (double)usage.ru_maxrss / 1024;
            if (write(from[1], &peak, sizeof peak) != sizeof peak)
                break;
        }
        _exit(0);
    }
    close(to[0]);
    close(from[1]);
    measurer[0] = from[0];
    measurer[1] = to[1];
}

static void memory_row(const char *what, double limit, const char *command)
{
    double peak = -1;
    char bar[32];
    snprintf(bar, sizeof bar, "≤ %.0f", limit);
    if (write(measurer[1], command, strlen(command) + 1) < 0 || read(measurer[0], &peak, sizeof peak) != sizeof peak ||
        peak < 0)
        die("the tool failed");
    row(what, bar, peak, 1, limit, "whole process of the tool");
}

static void bench_memory(const char *path)
{
    char command[1400];
    const char *tool = getenv("MEMFILE_TOOL");
    char *other = path_of("memory"), *export = path_of("export.jsonl");
    if (!tool)
        tool = "./memfile-tool";
    snprintf(command, sizeof command, "exec '%s' get '%s' '%s' >/dev/null", tool, path, records[count / 2].id);
    memory_row("open + get, peak MiB", 8, command);
    snprintf(command, sizeof command, "exec '%s' verify '%s' >/dev/null", tool, path);
    memory_row("verify, peak MiB", 64, command);
    snprintf(command, sizeof command, "exec '%s' compact '%s' --output '%s' 2>/dev/null", tool, path, other);
    memory_row("compact, peak MiB", 64, command);
    unlink(other);
    snprintf(command, sizeof command, "exec '%s' export '%s' >'%s'", tool, path, export);
    memory_row("export, peak MiB", 64, command);
    snprintf(command, sizeof command, "exec '%s' import '%s' '%s' 2>/dev/null", tool, other, export);
    memory_row("import, peak MiB", 64, command);
    unlink(other);
    unlink(export);
}

static void bench_bare(void)
{
    enum { SIZE = 1 << 20 };
    static unsigned char bytes[SIZE], hash[32];
    randombytes_buf(bytes, sizeof bytes);
    double start = now();
    for (int i = 0; i < 200; i++)
        bytes[i] ^= (unsigned char)XXH3_64bits(bytes, SIZE);
    double x = 200.0 * SIZE / (now() - start) / 1e9;
    start = now();
    for (int i = 0; i < 50; i++)
        crypto_generichash_blake2b(hash, 32, bytes, SIZE, NULL, 0);
    double b = 50.0 * SIZE / (now() - start) / 1e9;
    printf("\nBare operations here: XXH3 %.1f GB/s, BLAKE2b %.2f GB/s.\n", x, b);
}

/* Growth: generated records are put as they are made, none is kept. */
static void growth(size_t n)
{
    char *path = path_of("growth");
    memfile_draft *d;
    char sample[401][32];
    double a[401];
    unlink(path);
    if (memfile_draft_new(&d) != MEMFILE_OK)
        die("out of memory");
    double start = now();
    memfile *mf = open_mf(path, MEMFILE_CREATE, 2, 4u << 20);
    for (size_t i = 0; i < n; i++) {
        record r;
        generate_one(&r, i);
        fill_draft(d, &r);
        check(memfile_put(mf, d, NULL), mf);
        if (i % (n / 401 + 1) == 0)
            snprintf(sample[i / (n / 401 + 1)], 32, "%s", r.id);
        free(r.id), free(r.kind), free(r.scope), free(r.text), free(r.links);
    }
    check(memfile_commit(mf, NULL), mf);
    memfile_close(mf);
    memfile_draft_free(d);
    double wrote = now() - start;
    size_t samples = (n - 1) / (n / 401 + 1) + 1;
    for (size_t i = 0; i < samples; i++)
        memfile_open_get(path, sample[i]);
    for (size_t i = 0; i < samples; i++)
        a[i] = memfile_open_get(path, sample[i]);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("| %zu | %.0f k/s | %.1f | %.1f µs | %.0f MiB |\n", n, (double)n / wrote / 1e3, (double)size_of(path) / 1e6,
           median(a, samples) * 1e6, (double)usage.ru_maxrss / 1024);
    unlink(path);
}

/* ---- sealed files against plain ones, in turn */

static double uncached_get(memfile *mf, const char *id)
{
    const memfile_entry *e;
    size_t n;
    double start = now();
    check(memfile_get(mf, id, strlen(id), MEMFILE_NEWEST, &e), mf);
    memfile_entry_field(e, MEMFILE_TEXT, &n);
    return now() - start;
}

static void bench_sealed_gets(const char *const path[2])
{
    enum { N = 10001, OPENS = 401 };
    static double get[2][N], opened[2][OPENS];
    memfile *mf[2];
    char detail[200];
    for (sealed = 0; sealed < 2; sealed++)
        mf[sealed] = open_mf(path[sealed], MEMFILE_READ, 1, 1300u << 10);
    for (int i = 0; i < N; i++) {
        const char *id = records[next_random() % count].id;
        for (int k = 0; k < 2; k++)
            get[k][i] = uncached_get(mf[k], id);
    }
    for (int i = 0; i < OPENS; i++) {
        for (sealed = 0; sealed < 2; sealed++) {
            double start = now();
            memfile *one = open_mf(path[sealed], MEMFILE_READ, 1, 4u << 20);
            opened[sealed][i] = now() - start;
            memfile_close(one);
        }
    }
    sealed = 0;
    memfile_close(mf[0]);
    memfile_close(mf[1]);
    double a = median(get[0], N), b = median(get[1], N);
    snprintf(detail, sizeof detail, "%.2f µs against %.2f µs", b * 1e6, a * 1e6);
    row("sealed: get by id, block not in cache, against plain", "≤ 1.35", b / a, 1, 1.35, detail);
    a = median(opened[0], OPENS), b = median(opened[1], OPENS);
    snprintf(detail, sizeof detail, "%.0f µs against %.0f µs", b * 1e6, a * 1e6);
    row("sealed: opening with a key file, ms more than plain", "≤ 0.2", (b - a) * 1e3, 1, 0.2, detail);
}

static void bench_sealed(void)
{
    double bulk[2][ROUNDS_MAX], scan[2][ROUNDS_MAX];
    char names[2][512], detail[200];
    const char *const path[2] = {names[0], names[1]};
    memfile_error e;
    if (memfile_key_generate(MEMFILE_RECIPIENT, &identity, &e) != MEMFILE_OK)
        die(e.message);
    memfile_key_public(identity, recipient);
    snprintf(names[0], sizeof names[0], "%s", path_of("plain"));
    snprintf(names[1], sizeof names[1], "%s", path_of("sealed"));
    for (unsigned threads = 1; threads <= 2; threads++) {
        for (int r = 0; r < rounds; r++)
            for (sealed = 0; sealed < 2; sealed++)
                bulk[sealed][r] = memfile_bulk(path[sealed], threads);
        for (int r = 0; r < rounds; r++)
            for (sealed = 0; sealed < 2; sealed++)
                scan[sealed][r] = memfile_scan(path[sealed], threads);
        sealed = 0;
        double a = median(bulk[0], (size_t)rounds), b = median(bulk[1], (size_t)rounds);
        snprintf(detail, sizeof detail, "%.0f k/s against %.0f k/s", (double)count / b / 1e3, (double)count / a / 1e3);
        row(threads == 1 ? "sealed: bulk write against plain, one thread" : "sealed: bulk write against plain, two threads", "≥ 0.9",
            a / b, 0, 0.9, detail);
        a = median(scan[0], (size_t)rounds), b = median(scan[1], (size_t)rounds);
        snprintf(detail, sizeof detail, "%.1f ms against %.1f ms", b * 1e3, a * 1e3);
        row(threads == 1 ? "sealed: full scan against plain, one thread" : "sealed: full scan against plain, two threads", "≥ 0.75",
            a / b, 0, 0.75, detail);
    }
    snprintf(detail, sizeof detail, "%.2f MB against %.2f MB", (double)size_of(path[1]) / 1e6, (double)size_of(path[0]) / 1e6);
    row("sealed: size against plain", "none", (double)size_of(path[1]) / (double)size_of(path[0]), 1, 1e9, detail);
    bench_sealed_gets(path);
    memfile_key_free(identity);
}

int main(int argc, char **argv)
{
    const char *input = NULL;
    size_t generated = 0;
    int only_sealed = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--folder") == 0 && i + 1 < argc)
            folder = argv[++i];
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            rounds = atoi(argv[++i]);
        else if (strcmp(argv[i], "--commits") == 0 && i + 1 < argc)
            commits = atoi(argv[++i]);
        else if (strcmp(argv[i], "--sealed") == 0)
            only_sealed = 1;
        else if (strcmp(argv[i], "--generate") == 0 && i + 1 < argc)
            generated = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--growth") == 0 && i + 1 < argc) {
            if (sodium_init() < 0)
                die("libsodium");
            printf("| records | written | MB | open and first get | peak memory |\n|---|---|---|---|---|\n");
            growth(strtoull(argv[++i], NULL, 10));
            return 0;
        } else
            input = argv[i];
    }
    if (rounds < 1 || rounds >= ROUNDS_MAX || commits < 10 || sodium_init() < 0)
        die("rounds are 1 to 100, commits at least 10");
    start_measurer();
    if (input)
        load(input);
    else
        generate(generated ? generated : 100000);
    if (count == 0)
        die("no records");
    char mf[512], db[512], compacted[512], single[512], single_compacted[512];
    snprintf(mf, sizeof mf, "%s", path_of("bulk"));
    snprintf(db, sizeof db, "%s", path_of("db"));
    snprintf(single_compacted, sizeof single_compacted, "%s", path_of("single.compacted"));
    snprintf(compacted, sizeof compacted, "%s", path_of("compacted"));
    snprintf(single, sizeof single, "%s", path_of("single"));
    printf("%zu records, %.1f bytes of text each; medians of %d rounds; SQLite %s\n\n", count,
           (double)text_bytes / (double)count, rounds, sqlite3_libversion());
    printf("| what | bar | ratio | met | figures |\n|---|---|---|---|---|\n");
    if (!only_sealed) {
        bench_bulk(mf, db);
        bench_compact(mf, db, compacted, "size after compact against SQLite");
        bench_commits(single);
        bench_one_by_one(single, db, single_compacted);
        bench_open(mf, db);
        bench_get(mf, db);
        bench_scan(mf, db, "a bulk-written file", 1, 32 << 10, 10100);
        bench_scan(compacted, db, "a compacted file", 12, 110 << 10, 13500);
        bench_verify(mf, db);
        bench_memory(mf);
        bench_bare();
    }
    bench_sealed();
    char command[700];
    snprintf(command, sizeof command, "rm -f '%s'/memfile-bench.%d.*", folder, (int)getpid());
    return system(command) == 0 ? 0 : 1;
}
