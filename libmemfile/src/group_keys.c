/* group_keys: KEYS segments on their way to the file. SPEC 20.2, 20.5. */
#include "group.h"

static int append(mf_group *g, mf_slice head, memfile_error *err)
{
    mf_built built;
    mf_built_init(&built, g->store->mem, NULL);
    int rc = mf_segment_build(&built, MF_TYPE_KEYS, 0, head, mf_slice_of(NULL, 0), NULL, 0, NULL, err);
    if (rc == MEMFILE_OK)
        rc = mf_group_append(g, &built, &g->store->seal.keys_offset, err);
    mf_built_free(&built);
    return rc;
}

/* The newest KEYS segment as it stands: *head in *raw, which the caller frees. */
static int read_newest(mf_group *g, uint8_t **raw, mf_slice *head, uint8_t digest[32], memfile_error *err)
{
    mf_segment s;
    mf_slice stored;
    int rc = mf_store_segment(g->store, g->store->seal.keys_offset, 0, &s, raw, err);
    if (rc == MEMFILE_OK && s.type != MF_TYPE_KEYS)
        rc = mf_fail(err, MEMFILE_E_DAMAGED, s.offset, "there are no key slots at offset %llu", (unsigned long long)s.offset);
    if (rc == MEMFILE_OK)
        rc = mf_segment_split(&s, *raw, head, &stored, err);
    if (rc == MEMFILE_OK)
        mf_digest(digest, MF_LABEL_BYTES, *raw + MF_SEGMENT_HEADER_LENGTH, s.stored_length);
    return rc;
}

int mf_group_keys(mf_group *g, const mf_slots *slots, mf_secret *secret, memfile_error *err)
{
    mf_store *st = g->store;
    uint8_t *raw = NULL, header[MF_HEADER_LENGTH], previous[32];
    mf_slice old;
    mf_buffer head;
    bool first = st->seal.epoch == 0;
    int rc = first ? MEMFILE_OK : read_newest(g, &raw, &old, previous, err);
    mf_buffer_init(&head, st->mem);
    mf_header_encode(&st->header, header);
    if (rc == MEMFILE_OK)
        rc = mf_keys_make(&head, slots, secret, header, first ? NULL : previous, &st->seal, err);
    for (int copy = 0; copy < 2 && rc == MEMFILE_OK; copy++) /* all that is sealed under it hangs on them */
        rc = append(g, mf_slice_of(head.data, head.length), err);
    mf_buffer_free(&head);
    mf_free(st->mem, raw);
    return rc;
}

int mf_group_repeat_keys(mf_group *g, memfile_error *err)
{
    uint8_t *raw = NULL, digest[32];
    mf_slice head;
    int rc = read_newest(g, &raw, &head, digest, err);
    if (rc == MEMFILE_OK)
        rc = append(g, head, err);
    mf_free(g->store->mem, raw);
    return rc;
}
