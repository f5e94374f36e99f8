/* header: SPEC 3. */
#include "header.h"

#include "checksum.h"

static const uint8_t magic[12] = {MF_MAGIC_FIRST, 'm', 'e', 'm', 'f', 'i', 'l', 'e', 0x0d, 0x0a, 0x1a, 0x0a};

void mf_header_encode(const mf_header *header, uint8_t out[MF_HEADER_LENGTH])
{
    memset(out, 0, MF_HEADER_LENGTH);
    memcpy(out, magic, sizeof magic);
    mf_store16(out + 12, header->format_version);
    out[14] = header->suite;
    mf_store32(out + 16, header->read_features);
    mf_store32(out + 20, header->write_features);
    mf_store32(out + 24, header->compact_features);
    memcpy(out + 32, header->incarnation_id, 16);
    memcpy(out + 48, header->memory_id, 16);
    mf_store64(out + 72, mf_checksum(out, 72));
}

int mf_header_decode(mf_header *header, const uint8_t *raw, size_t length, memfile_error *err)
{
    memset(header, 0, sizeof *header);
    if (length < sizeof magic || memcmp(raw, magic, sizeof magic) != 0)
        return mf_fail(err, MEMFILE_E_NOT_MEMFILE, 0, "this is not a memfile: it does not start with the magic bytes");
    if (length < MF_HEADER_LENGTH)
        return mf_fail(err, MEMFILE_E_TRUNCATED, length, "the file ends within its header");
    if (mf_load64(raw + 72) != mf_checksum(raw, 72))
        return mf_fail(err, MEMFILE_E_DAMAGED, 0, "the header is damaged: its checksum does not agree");
    header->format_version = mf_load16(raw + 12);
    header->suite = raw[14];
    header->read_features = mf_load32(raw + 16);
    header->write_features = mf_load32(raw + 20);
    header->compact_features = mf_load32(raw + 24);
    memcpy(header->incarnation_id, raw + 32, 16);
    memcpy(header->memory_id, raw + 48, 16);
    if (header->format_version != MF_FORMAT_VERSION || header->suite > MF_SUITE_SEALED || header->read_features != 0)
        return mf_fail(err, MEMFILE_E_NEWER, 12,
                       "made by a newer version: format %u, suite %u, features %08x; this library reads format %u",
                       header->format_version, header->suite, header->read_features, MF_FORMAT_VERSION);
    if (raw[15] != 0 || mf_load32(raw + 28) != 0 || mf_load64(raw + 64) != 0)
        return mf_fail(err, MEMFILE_E_NEWER, 15, "made by a newer version: reserved header fields are used");
    return MEMFILE_OK;
}
