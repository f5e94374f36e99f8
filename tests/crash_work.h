/* crash_work: what programs do with a memory before the power goes, and what they were told.
 * The model is the oracle: commits and the contents given to them, noted beside the library
 * as they are made. */
#ifndef CRASH_WORK_H
#define CRASH_WORK_H

#include "crash_disk.h"
#include "memfile.h"

#define CRASH_PATH "/m"
#define CRASH_OUTPUT "/o"

/* Marks: what a caller knows from that event on. */
enum {
    MARK_START = 1,    /* crash points begin here; what was before stands in another scenario */
    MARK_CREATED,      /* the file is there */
    MARK_BEGUN,        /* commit number `value` may be there from now on */
    MARK_ACKED,        /* commit number `value` is there */
    MARK_REPLACED,     /* the name leads to file `value` of the disk, or a later one */
    MARK_REKEYED,      /* file `value` >> 32 of the disk has at least the epoch in its low bits */
    MARK_OUTPUT_BEGUN, /* the output may be there, with commit number `value` */
    MARK_OUTPUT        /* it is */
};

typedef struct model_entry {
    char id[24];
    uint64_t length, check; /* of the content: bytes, XXH3 */
    uint64_t forgotten;     /* by the commit of this number, less 1; 0: not */
    bool forgets;           /* a record of forgetting */
} model_entry;

typedef struct model_commit {
    uint64_t entries; /* in the file after it */
    uint8_t digest[32];
    bool acknowledged;
} model_commit;

typedef struct model {
    model_commit *commits; /* by number */
    model_entry *entries;
    size_t commit_count, commit_capacity, entry_count, entry_capacity;
    bool sealed; /* a file that is made is; one that is there may also have become so */
} model;

void model_free(model *m);
/* The first `commits` of another model. */
void model_copy(model *to, const model *from, size_t commits);

typedef struct work {
    disk *disk;
    model *model;
    memfile *mf;
    memfile_draft *draft;
    uint64_t random;
    int64_t clock_us;
    memfile_environment environment;
    unsigned next_id;
    bool begun;     /* an entry was put that is not committed */
    bool failed;    /* something that must work did not: why */
    char why[512];
} work;

typedef struct crash_scenario {
    const char *name, *what;
    void (*run)(work *w);
    unsigned weight; /* how often of all rounds: 1 in `weight` */
    unsigned tries;  /* states per crash point with many unsynced sectors */
    bool sealed;
} crash_scenario;

extern const crash_scenario crash_scenarios[];
extern const size_t crash_scenario_count;

uint64_t work_random(work *w);
uint64_t work_below(work *w, uint64_t n);
/* What opens a file with these bytes: nothing if it is plain. */
memfile_unlock work_unlock(const uint8_t *bytes, size_t length);
/* And one of the current disk. */
memfile_unlock work_unlock_path(const char *path);
/* Runs a scenario on an empty recording disk. */
void work_run(work *w, disk *d, model *m, const crash_scenario *scenario, uint64_t seed);
/* What somebody does after a crash: opens, looks that commit `number` is the newest (or that
 * there is no file yet), goes on. */
void work_go_on(work *w, disk *d, model *m, uint64_t seed, bool exists, uint64_t number, bool salvage);
/* One commit behind what is there, opened anew. */
void work_append(work *w, disk *d, model *m, uint64_t seed, bool salvage);
/* Are the entries of the file those of the model up to and with commit `number`? */
bool work_compare(const char *path, const model *m, uint64_t number, uint64_t seed, char *why, size_t room);
/* Has commit `number` of the model this digest and number of entries? */
bool model_agrees(const model *m, uint64_t number, uint64_t entries, const uint8_t digest[32]);

#endif
