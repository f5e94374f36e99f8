/* make_example: writes the file of format-spec/example.md, always the same bytes: a fixed
 * clock, counting randomness, and texts too short to be compressed. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "memfile.h"

static int64_t now_us(void *context)
{
    return *(int64_t *)context += 1000000;
}

static void counting(void *context, void *out, size_t length)
{
    static uint8_t next = 0x10;
    (void)context;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)out)[i] = next++;
}

static int put(memfile *mf, const char *json)
{
    memfile_draft *d;
    int rc = memfile_draft_new(&d);
    if (rc == MEMFILE_OK)
        rc = memfile_draft_parse_json(d, json, strlen(json), NULL);
    if (rc == MEMFILE_OK)
        rc = memfile_put(mf, d, NULL);
    memfile_draft_free(d);
    return rc;
}

int main(int argc, char **argv)
{
    int64_t clock = 1700000000000000;
    memfile_environment environment = {now_us, counting, &clock};
    memfile_options options = MEMFILE_OPTIONS_INIT;
    memfile_error error;
    memfile *mf;
    if (argc != 2)
        return 2;
    unlink(argv[1]);
    options.environment = &environment;
    if (memfile_open(argv[1], MEMFILE_CREATE, &options, &mf, &error) != MEMFILE_OK)
        return 1;
    int rc = put(mf, "{\"id\":\"a\",\"kind\":\"note\",\"scope\":[\"s\"],\"time\":\"2023-11-14T22:13:20Z\",\"text\":\"Tea.\"}");
    if (rc == MEMFILE_OK)
        rc = put(mf, "{\"id\":\"b1b2\",\"text\":\"Not coffee.\",\"links\":[{\"rel\":\"to\",\"to\":\"a\"}],\"pinned\":true}");
    if (rc == MEMFILE_OK)
        rc = memfile_commit(mf, NULL);
    if (rc != MEMFILE_OK)
        fprintf(stderr, "%s\n", memfile_last_error(mf)->message);
    memfile_close(mf);
    return rc == MEMFILE_OK ? 0 : 1;
}
