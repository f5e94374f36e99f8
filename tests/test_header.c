/* header: the 80 bytes. SPEC 3. */
#include "support.h"

#include <xxhash.h>

#include "header.h"

/* By the table of SPEC 3, field by field, without the library. */
static void write_header(uint8_t raw[80])
{
    static const uint8_t fields[72] = {
        0xab, 'm', 'e', 'm', 'f', 'i', 'l', 'e', 0x0d, 0x0a, 0x1a, 0x0a, /* 1 Magic */
        1, 0,                                                            /* 2 Format_Version */
        0,                                                               /* 3 Suite */
        0,                                                               /* 4 Reserved_1 */
        0, 0, 0, 0,                                                      /* 5 Read_Features */
        0x02, 0x01, 0, 0,                                                /* 6 Write_Features */
        0, 0, 0x04, 0x03,                                                /* 7 Compact_Features */
        0, 0, 0, 0,                                                      /* 8 Reserved_2 */
        0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,                  /* 9 Incarnation_Id */
        0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
        0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7,                  /* 10 Memory_Id */
        0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
        0, 0, 0, 0, 0, 0, 0, 0,                                          /* 11 Reserved_3 */
    };
    memcpy(raw, fields, 72);
    mf_store64(raw + 72, XXH3_64bits(raw, 72)); /* 12 Header_Checksum */
}

static void seal(uint8_t raw[80])
{
    mf_store64(raw + 72, XXH3_64bits(raw, 72));
}

static void each_field_stands_where_the_specification_says(void **state)
{
    (void)state;
    uint8_t raw[80], made[80];
    mf_header h;
    memfile_error e;
    write_header(raw);
    assert_int_equal(mf_header_decode(&h, raw, sizeof raw, &e), MEMFILE_OK);
    assert_int_equal(h.format_version, 1);
    assert_int_equal(h.suite, 0);
    assert_int_equal(h.read_features, 0);
    assert_int_equal(h.write_features, 0x0102);
    assert_int_equal(h.compact_features, 0x03040000);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(h.incarnation_id[i], 0x10 + i);
        assert_int_equal(h.memory_id[i], 0xf0 + i);
    }
    assert_int_equal(mf_header_tag(&h), 0x13121110); /* 4.1, 11: first 4 bytes, little-endian */
    memset(made, 0x55, sizeof made);
    mf_header_encode(&h, made);
    assert_memory_equal(made, raw, sizeof raw);
}

/* Without a new checksum: what is read from Magic is no memfile, all else is damage. */
static void every_flipped_bit_is_found(void **state)
{
    (void)state;
    uint8_t raw[80];
    mf_header h;
    memfile_error e;
    write_header(raw);
    for (int bit = 0; bit < 640; bit++) {
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(mf_header_decode(&h, raw, sizeof raw, &e),
                         bit < 96 ? MEMFILE_E_NOT_MEMFILE : MEMFILE_E_DAMAGED);
        assert_int_equal(e.offset, 0);
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* With a checksum that is right, each bit means what SPEC 3 says of its field. */
static void every_bit_under_a_right_checksum_has_its_meaning(void **state)
{
    (void)state;
    uint8_t raw[80];
    mf_header h;
    memfile_error e;
    for (int bit = 0; bit < 576; bit++) {
        write_header(raw);
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
        seal(raw);
        int at = bit / 8, expected;
        if (at < 12)
            expected = MEMFILE_E_NOT_MEMFILE;
        else if (at == 14)
            expected = bit % 8 == 0 ? MEMFILE_OK : MEMFILE_E_NEWER; /* suite 1 is sealed, known; others not */
        else if ((at >= 20 && at < 28) || (at >= 32 && at < 64))
            expected = MEMFILE_OK; /* Write_Features, Compact_Features, ids */
        else
            expected = MEMFILE_E_NEWER; /* version, Read_Features, reserved fields */
        int rc = mf_header_decode(&h, raw, sizeof raw, &e);
        if (rc != expected)
            fail_msg("byte %d, bit %d: %s", at, bit % 8, memfile_strerror(rc));
    }
}

static void a_header_that_is_cut_is_truncated_or_none(void **state)
{
    (void)state;
    uint8_t raw[80];
    mf_header h;
    memfile_error e;
    write_header(raw);
    for (size_t length = 0; length < 80; length++) {
        uint8_t *p = edge_copy(raw, length);
        assert_int_equal(mf_header_decode(&h, p, length, &e),
                         length < 12 ? MEMFILE_E_NOT_MEMFILE : MEMFILE_E_TRUNCATED);
        edge_free(p, length);
    }
}

/* SPEC 3, order of checks: magic, length, checksum, version, reserved fields. */
static void checks_come_in_their_order(void **state)
{
    (void)state;
    uint8_t raw[80];
    mf_header h;
    memfile_error e;
    write_header(raw);
    raw[12] = 2;
    raw[15] = 1; /* newer in two ways, and the checksum wrong */
    assert_int_equal(mf_header_decode(&h, raw, sizeof raw, &e), MEMFILE_E_DAMAGED);
    assert_int_equal(mf_header_decode(&h, raw, 79, &e), MEMFILE_E_TRUNCATED);
    raw[0] = 0;
    assert_int_equal(mf_header_decode(&h, raw, 79, &e), MEMFILE_E_NOT_MEMFILE);
    raw[0] = 0xab;
    seal(raw);
    assert_int_equal(mf_header_decode(&h, raw, sizeof raw, &e), MEMFILE_E_NEWER);
    assert_int_equal(e.offset, 12); /* the version before the reserved byte */
    raw[12] = 1;
    seal(raw);
    assert_int_equal(mf_header_decode(&h, raw, sizeof raw, &e), MEMFILE_E_NEWER);
    assert_int_equal(e.offset, 15);
}

static void a_sealed_header_is_written_and_known(void **state)
{
    (void)state;
    mf_header h, back;
    uint8_t raw[80];
    memfile_error e;
    memset(&h, 0, sizeof h);
    h.format_version = 1;
    h.suite = 1;
    mf_header_encode(&h, raw);
    assert_int_equal(raw[14], 1);
    assert_int_equal(mf_header_decode(&back, raw, sizeof raw, &e), MEMFILE_OK);
    assert_int_equal(back.suite, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_field_stands_where_the_specification_says),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(every_bit_under_a_right_checksum_has_its_meaning),
        cmocka_unit_test(a_header_that_is_cut_is_truncated_or_none),
        cmocka_unit_test(checks_come_in_their_order),
        cmocka_unit_test(a_sealed_header_is_written_and_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
