/* handle: what a memfile handle and a view of an entry are made of. Shared by
 * the files that implement memfile.h. */
#ifndef MF_HANDLE_H
#define MF_HANDLE_H

#include "content.h"
#include "scan.h"
#include "store.h"
#include "writer.h"

struct memfile_entry {
    mf_block *block;
    uint32_t row;
    uint64_t number;
};

struct memfile {
    mf_limiter limiter;
    mf_mem mem; /* by the limiter */
    mf_store store;
    mf_settings settings;
    mf_secret *secret; /* opens the file, and opens it again where it was replaced */
    mf_writer *writer; /* made with the first put */
    memfile_error error;
    bool open;
    mf_object *got; /* what the view of memfile_get points into */
    memfile_entry view;
    mf_record *record;
    mf_buffer core, json, content;
};

/* Fills in what the caller left out. author: copied with mem. */
int mf_settings_from(mf_settings *settings, const memfile_options *options, const mf_mem *mem, memfile_error *err);
void mf_settings_free(mf_settings *settings, const mf_mem *mem);
memfile_environment mf_environment_or_system(const memfile_environment *environment);
void mf_handle_let_go(memfile *mf);
/* KEY if a sealed file was opened without its key: then there is nothing to read. */
int mf_handle_inside(memfile *mf);
int mf_handle_need_writer(memfile *mf);
/* After *rc: was the index damaged, and could reading be set up without it? If that was
 * tried and failed, *rc says why. */
bool mf_handle_fall_back(memfile *mf, int *rc);
#endif
