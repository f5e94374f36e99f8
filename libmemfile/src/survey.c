/* survey: memfile_verify. First the file as it is; if places without a sound segment are
 * found, or the header is not one, again with every sound segment at its own Offset.
 * SPEC 17. */
#include <stdio.h>

#include "unlock.h"
#include "verify.h"

#define KEPT_MAX 4096u

/* Findings are kept until it is known whether the first pass is the one to tell. */
typedef struct kept_findings {
    const memfile_verify_options *options;
    memfile_finding *v;
    size_t count, capacity;
    memfile_signer *signers;
    size_t signer_count, signer_capacity;
    bool passing; /* too many to keep: they go out as they come */
    bool no_memory;
} kept_findings;

static void pass_on(kept_findings *k)
{
    for (size_t i = 0; i < k->count; i++) {
        if (k->options->finding)
            k->options->finding(k->options->context, &k->v[i]);
        mf_free(&mf_mem_default, (void *)(uintptr_t)k->v[i].message);
    }
    k->count = 0;
    for (size_t i = 0; i < k->signer_count && k->options->signer; i++)
        k->options->signer(k->options->context, &k->signers[i]);
}

static void forget(kept_findings *k)
{
    for (size_t i = 0; i < k->count; i++)
        mf_free(&mf_mem_default, (void *)(uintptr_t)k->v[i].message);
    mf_free(&mf_mem_default, k->v);
    mf_free(&mf_mem_default, k->signers);
    k->v = NULL;
    k->count = 0;
}

static void keep(void *context, const memfile_finding *f)
{
    kept_findings *k = (kept_findings *)context;
    void *grown = k->v;
    size_t length = strlen(f->message) + 1;
    if (k->count == KEPT_MAX) {
        k->passing = true;
        pass_on(k);
    }
    if (k->passing) {
        if (k->options->finding)
            k->options->finding(k->options->context, f);
        return;
    }
    char *message = (char *)mf_alloc(&mf_mem_default, length);
    if (!message || mf_grow(&mf_mem_default, &grown, &k->capacity, k->count + 1, sizeof *k->v) != 0) {
        mf_free(&mf_mem_default, message);
        k->no_memory = true;
        return;
    }
    k->v = (memfile_finding *)grown;
    memcpy(message, f->message, length);
    k->v[k->count] = *f;
    k->v[k->count++].message = message;
}

static void keep_signer(void *context, const memfile_signer *signer)
{
    kept_findings *k = (kept_findings *)context;
    void *grown = k->signers;
    if (mf_grow(&mf_mem_default, &grown, &k->signer_capacity, k->signer_count + 1, sizeof *k->signers) != 0) {
        k->no_memory = true;
        return;
    }
    k->signers = (memfile_signer *)grown;
    k->signers[k->signer_count++] = *signer;
}

static int progress(void *context, uint64_t done, uint64_t total)
{
    kept_findings *k = (kept_findings *)context;
    return k->options->progress ? k->options->progress(k->options->context, done, total) : 0;
}

/* A finding of the survey's own. */
static void tell(const memfile_verify_options *options, memfile_verify_result *result, uint64_t offset, uint64_t length,
                 const char *message)
{
    memfile_finding f = {MEMFILE_E_DAMAGED, offset, length, 0, 0, 0, 0, message};
    result->findings++;
    if (options->finding)
        options->finding(options->context, &f);
}

static void tell_places(const mf_image *image, const memfile_verify_options *options, memfile_verify_result *result)
{
    char text[128];
    for (size_t i = 0; i < image->extent_count; i++) {
        const mf_extent *e = &image->extents[i];
        snprintf(text, sizeof text, "sound segments are displaced: they belong at offset %llu", (unsigned long long)e->at);
        tell(options, result, e->from, e->length, text);
    }
    if (!image->header_sound)
        tell(options, result, 0, MF_HEADER_LENGTH, "the header is damaged or missing");
}

/* Does the first pass leave room for segments that stand in another place? */
static bool places_are_unsure(const kept_findings *k, const memfile_verify_result *result)
{
    return !k->passing && (result->lost_entries > 0 || result->lost_commits > 0 || result->unfinished_bytes > 0);
}

static int check_image(const char *path, const mf_image *image, const memfile_verify_options *options,
                       const mf_verify_listener *listener, const mf_access *access, memfile_verify_result *result,
                       memfile_error *err)
{
    mf_verify_listener l = {0};
    mf_io *base, *io;
    if (listener)
        l = *listener;
    l.header_made = !image->header_sound && !image->header_kept;
    int rc = mf_io_file_open(&mf_mem_default, path, MF_IO_READ, &base, err);
    if (rc == MEMFILE_OK)
        rc = mf_image_open(image, base, &io, err);
    if (rc == MEMFILE_OK)
        rc = mf_verify_run(io, options, &l, access, result, err);
    if (rc != MEMFILE_OK && rc != MEMFILE_E_DAMAGED && rc != MEMFILE_E_TRUNCATED)
        return rc;
    if (image->extent_count == 0 && image->header_sound)
        return rc;
    tell_places(image, options, result);
    result->file_bytes = image->file_size;
    result->header_damaged = !image->header_sound;
    return mf_verify_damaged(result, err);
}

/* *unsure: the image is asked for. */
static int first_pass(const char *path, kept_findings *kept, const mf_access *access, memfile_verify_result *result,
                      bool *unsure, memfile_error *err)
{
    memfile_verify_options o = *kept->options;
    mf_io *io;
    o.finding = keep;
    o.progress = progress;
    o.signer = keep_signer;
    o.context = kept;
    *unsure = false;
    int rc = mf_io_file_open(&mf_mem_default, path, MF_IO_READ, &io, err);
    if (rc != MEMFILE_OK)
        return rc;
    rc = mf_verify_run(io, &o, NULL, access, result, err);
    bool checked = result->file_bytes > 0;
    if (kept->no_memory)
        return mf_fail_memory(err);
    *unsure = rc == MEMFILE_E_DAMAGED && (!checked || places_are_unsure(kept, result));
    return rc;
}

static int build_image(const char *path, mf_image *image, memfile_error *err)
{
    mf_io *io;
    int rc = mf_io_file_open(&mf_mem_default, path, MF_IO_READ, &io, err);
    if (rc != MEMFILE_OK)
        return rc;
    rc = mf_image_build(image, io, &mf_mem_default, err);
    io->functions->close(io);
    return rc;
}

int mf_survey(const char *path, const memfile_verify_options *options, const mf_verify_listener *listener,
              const mf_access *access, mf_image *image, memfile_verify_result *result, memfile_error *err)
{
    int rc = build_image(path, image, err);
    return rc == MEMFILE_OK ? check_image(path, image, options, listener, access, result, err) : rc;
}

static int verify(const char *path, const memfile_verify_options *options, const mf_access *access,
                  memfile_verify_result *result, memfile_error *err)
{
    kept_findings kept = {options, NULL, 0, 0, NULL, 0, 0, false, false};
    mf_image image = {.mem = &mf_mem_default};
    memfile_error why;
    bool unsure;
    int rc = first_pass(path, &kept, access, result, &unsure, err);
    int built = unsure ? build_image(path, &image, &why) : MEMFILE_E_DAMAGED;
    if (built == MEMFILE_E_SYSTEM || built == MEMFILE_E_MEMORY || built == MEMFILE_E_NOT_FOUND) {
        *err = why; /* it could not be checked */
        rc = built;
    } else if (built == MEMFILE_OK && (image.extent_count > 0 || !image.header_sound)) {
        rc = check_image(path, &image, options, NULL, access, result, err);
    } else {
        pass_on(&kept);
    }
    forget(&kept);
    mf_image_free(&image);
    return rc;
}

int memfile_verify(const char *path, const memfile_verify_options *options, memfile_verify_result *result,
                   memfile_error *error)
{
    memfile_verify_options o = MEMFILE_VERIFY_OPTIONS_INIT;
    memfile_verify_result unused_result;
    memfile_error unused_error;
    if (!error)
        error = &unused_error;
    if (!result)
        result = &unused_result;
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    memset(result, 0, sizeof *result);
    mf_error_clear(error);
    if (!mf_digest_start())
        return mf_fail(error, MEMFILE_E_SYSTEM, MF_NOWHERE, "libsodium could not be started");
    mf_secret *secret;
    int rc = mf_unlock_take(&o.unlock, &mf_mem_default, &secret, error);
    if (rc != MEMFILE_OK)
        return rc;
    const mf_access access = {secret, NULL, o.without_key || o.quick};
    rc = verify(path, &o, &access, result, error);
    mf_secret_free(secret);
    if (rc != MEMFILE_OK && rc != MEMFILE_E_TRUNCATED && rc != MEMFILE_E_DAMAGED)
        memset(result, 0, sizeof *result);
    return rc;
}
