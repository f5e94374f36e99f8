/* Key slots as bytes: what decodes, what opens, what does not. SPEC 20.2 to 20.4. */
#include "support.h"

#include "keys.h"

static const uint8_t identities[3][32] = {{8, 1}, {16, 2}, {24, 3}};

static void random_bytes(void *context, void *out, size_t length)
{
    uint64_t *state = (uint64_t *)context;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)out)[i] = (uint8_t)next_random(state);
}

typedef struct made {
    uint8_t header[MF_HEADER_LENGTH];
    mf_buffer head;
    mf_seal seal;
    mf_secret *passphrase;
    uint64_t random;
} made;

static void public_of(uint8_t out[32], int n)
{
    mf_secret *s;
    assert_int_equal(mf_secret_of_identity(&mf_mem_default, identities[n], &s, NULL), MEMFILE_OK);
    memcpy(out, mf_secret_public(s), 32);
    mf_secret_free(s);
}

static mf_slots slots_for(uint32_t count)
{
    mf_slots s;
    memset(&s, 0, sizeof s);
    s.kind = count ? MF_SLOT_RECIPIENTS : MF_SLOT_PASSPHRASE;
    s.recipients = count;
    s.passes = count ? 0 : 1;
    s.memory_kib = count ? 0 : 8;
    for (uint32_t i = 0; i < count; i++)
        public_of(s.recipient[i], (int)i);
    return s;
}

/* Key slots of epoch `epochs`, the older ones made before it. */
static void make(made *m, uint32_t count, uint32_t epochs)
{
    mf_header header;
    mf_slots slots = slots_for(count);
    uint8_t digest[32] = {7};
    memset(m, 0, sizeof *m);
    memset(&header, 0, sizeof header);
    header.format_version = 1;
    header.suite = MF_SUITE_SEALED;
    header.incarnation_id[0] = 9;
    mf_header_encode(&header, m->header);
    m->random = 4711;
    m->seal.sealed = true;
    m->seal.environment = (memfile_environment){NULL, random_bytes, &m->random};
    assert_int_equal(mf_secret_of_passphrase(&mf_mem_default, "open", 4, &m->passphrase, NULL), MEMFILE_OK);
    mf_buffer_init(&m->head, &mf_mem_default);
    for (uint32_t e = 0; e < epochs; e++) {
        mf_buffer_clear(&m->head);
        assert_int_equal(mf_keys_make(&m->head, &slots, m->passphrase, m->header, e ? digest : NULL, &m->seal, NULL), MEMFILE_OK);
    }
}

static void unmake(made *m)
{
    mf_buffer_free(&m->head);
    mf_seal_clear(&m->seal);
    mf_secret_free(m->passphrase);
}

static int try_open(const made *m, const uint8_t *head, size_t length, mf_secret *secret)
{
    mf_keys k;
    mf_seal seal = {.sealed = true};
    mf_slots slots;
    memfile_error e;
    int rc = mf_keys_decode(&k, mf_slice_of(head, length), 80, &e);
    if (rc == MEMFILE_OK)
        rc = mf_keys_open(&k, secret, m->header, 80, &seal, &slots, &e);
    if (rc == MEMFILE_OK) {
        assert_int_equal(seal.epoch, m->seal.epoch);
        for (uint32_t i = 1; i <= seal.epoch; i++)
            assert_memory_equal(mf_seal_data_key(&seal, i), mf_seal_data_key(&m->seal, i), 32);
        assert_true(mf_keys_verify(&k, m->header, &m->seal));
    } else {
        assert_int_equal(seal.epoch, 0);
        assert_null(seal.keys);
    }
    mf_seal_clear(&seal);
    return rc;
}

static void slots_open_for_whom_they_are(void **state)
{
    (void)state;
    for (uint32_t epochs = 1; epochs <= 4; epochs++)
        for (uint32_t count = 0; count <= 2; count++) {
            made m;
            mf_secret *s;
            make(&m, count, epochs);
            for (int n = 0; n < 3; n++) {
                assert_int_equal(mf_secret_of_identity(&mf_mem_default, identities[n], &s, NULL), MEMFILE_OK);
                assert_int_equal(try_open(&m, m.head.data, m.head.length, s),
                                 (uint32_t)n < count ? MEMFILE_OK : MEMFILE_E_KEY);
                mf_secret_free(s);
            }
            assert_int_equal(try_open(&m, m.head.data, m.head.length, m.passphrase), count ? MEMFILE_E_KEY : MEMFILE_OK);
            assert_int_equal(mf_secret_of_passphrase(&mf_mem_default, "opem", 4, &s, NULL), MEMFILE_OK);
            assert_int_equal(try_open(&m, m.head.data, m.head.length, s), MEMFILE_E_KEY);
            mf_secret_free(s);
            unmake(&m);
        }
}

static void every_bit_of_them_counts(void **state)
{
    (void)state;
    for (uint32_t count = 0; count <= 2; count += 2) {
        made m;
        mf_secret *s;
        make(&m, count, 2);
        assert_int_equal(mf_secret_of_identity(&mf_mem_default, identities[1], &s, NULL), MEMFILE_OK);
        mf_secret *who = count ? s : m.passphrase;
        for (size_t i = 0; i < m.head.length * 8; i++) {
            m.head.data[i / 8] ^= (uint8_t)(1 << i % 8);
            mf_keys k;
            memfile_error e;
            bool costly = mf_keys_decode(&k, mf_slice_of(m.head.data, m.head.length), 80, &e) == MEMFILE_OK && k.memory_kib > 4096;
            if (!costly) { /* what a changed cost is worth need not be paid here */
                int rc = try_open(&m, m.head.data, m.head.length, who);
                assert_true(rc == MEMFILE_E_KEY || rc == MEMFILE_E_DAMAGED || rc == MEMFILE_E_NEWER || rc == MEMFILE_E_LIMIT);
            }
            m.head.data[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        for (size_t n = 0; n < m.head.length; n++)
            assert_int_equal(try_open(&m, m.head.data, n, who), MEMFILE_E_DAMAGED);
        assert_int_equal(try_open(&m, m.head.data, m.head.length, who), MEMFILE_OK);
        m.header[60] ^= 1;
        assert_int_equal(try_open(&m, m.head.data, m.head.length, who), MEMFILE_E_KEY);
        mf_secret_free(s);
        unmake(&m);
    }
}

static void costs_over_the_limit_are_not_run(void **state)
{
    (void)state;
    static const struct {
        uint32_t passes, memory_kib;
        int code;
    } cases[] = {{11, 8, MEMFILE_E_LIMIT},      {1, 1048577, MEMFILE_E_LIMIT},      {UINT32_MAX, UINT32_MAX, MEMFILE_E_LIMIT},
                 {0, 8, MEMFILE_E_DAMAGED},     {1, 7, MEMFILE_E_DAMAGED},          {0, 0, MEMFILE_E_DAMAGED},
                 {2, 8, MEMFILE_E_KEY}};
    made m;
    make(&m, 0, 1);
    size_t slot = MF_HEADER_LENGTH + 1 + 32 + 2 + 1;
    assert_int_equal(mf_load32(m.head.data + slot), 1);
    assert_int_equal(mf_load32(m.head.data + slot + 4), 8);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mf_store32(m.head.data + slot, cases[i].passes);
        mf_store32(m.head.data + slot + 4, cases[i].memory_kib);
        assert_int_equal(try_open(&m, m.head.data, m.head.length, m.passphrase), cases[i].code);
    }
    unmake(&m);
}

static void a_slot_of_another_file_or_epoch_does_not_serve(void **state)
{
    (void)state;
    made m, other;
    mf_secret *s;
    make(&m, 2, 1);
    make(&other, 2, 2);
    assert_int_equal(mf_secret_of_identity(&mf_mem_default, identities[0], &s, NULL), MEMFILE_OK);
    size_t slot = MF_HEADER_LENGTH + 1 + 32 + 2 + 1;
    uint8_t was[2 * MF_SLOT_RECIPIENT_LENGTH];
    memcpy(was, m.head.data + slot, sizeof was);
    memcpy(m.head.data + slot, other.head.data + slot, sizeof was);
    assert_int_equal(try_open(&m, m.head.data, m.head.length, s), MEMFILE_E_KEY);
    /* swapped slots of the same file open, and then the Commitment disagrees */
    memcpy(m.head.data + slot, was + MF_SLOT_RECIPIENT_LENGTH, MF_SLOT_RECIPIENT_LENGTH);
    memcpy(m.head.data + slot + MF_SLOT_RECIPIENT_LENGTH, was, MF_SLOT_RECIPIENT_LENGTH);
    assert_int_equal(try_open(&m, m.head.data, m.head.length, s), MEMFILE_E_KEY);
    memcpy(m.head.data + slot, was, sizeof was);
    assert_int_equal(try_open(&m, m.head.data, m.head.length, s), MEMFILE_OK);
    mf_secret_free(s);
    unmake(&m);
    unmake(&other);
}

static void an_open_seal_takes_no_keys_that_do_not_go_on(void **state)
{
    (void)state;
    made m, forged;
    mf_secret *s;
    mf_keys k;
    mf_slots slots;
    memfile_error e;
    make(&m, 1, 1);
    make(&forged, 1, 2); /* same header; keys of its own */
    forged.random = 99;
    mf_seal_clear(&forged.seal);
    mf_slots to = slots_for(1);
    uint8_t digest[32] = {7};
    for (int i = 0; i < 2; i++) {
        mf_buffer_clear(&forged.head);
        assert_int_equal(mf_keys_make(&forged.head, &to, NULL, forged.header, i ? digest : NULL, &forged.seal, &e), MEMFILE_OK);
    }
    assert_int_equal(mf_secret_of_identity(&mf_mem_default, identities[0], &s, NULL), MEMFILE_OK);
    assert_int_equal(mf_keys_decode(&k, mf_slice_of(forged.head.data, forged.head.length), 80, &e), MEMFILE_OK);
    uint8_t before[32];
    memcpy(before, mf_seal_data_key(&m.seal, 1), 32);
    assert_int_equal(mf_keys_open(&k, s, m.header, 80, &m.seal, &slots, &e), MEMFILE_E_KEY);
    assert_int_equal(m.seal.epoch, 1);
    assert_memory_equal(mf_seal_data_key(&m.seal, 1), before, 32);
    /* what goes on is taken */
    mf_buffer_clear(&m.head);
    mf_seal reader = {.sealed = true};
    assert_int_equal(mf_seal_copy(&reader, &m.seal, &e), MEMFILE_OK);
    assert_int_equal(mf_keys_make(&m.head, &to, NULL, m.header, digest, &m.seal, &e), MEMFILE_OK);
    assert_int_equal(mf_keys_decode(&k, mf_slice_of(m.head.data, m.head.length), 80, &e), MEMFILE_OK);
    assert_int_equal(mf_keys_open(&k, s, m.header, 80, &reader, &slots, &e), MEMFILE_OK);
    assert_int_equal(reader.epoch, 2);
    mf_seal_clear(&reader);
    mf_secret_free(s);
    unmake(&m);
    unmake(&forged);
}

static void epochs_have_an_end(void **state)
{
    (void)state;
    made m;
    mf_slots slots = slots_for(1);
    uint8_t digest[32] = {7};
    make(&m, 1, MF_EPOCHS_MAX);
    mf_buffer_clear(&m.head);
    memfile_error e;
    assert_int_equal(mf_keys_make(&m.head, &slots, NULL, m.header, digest, &m.seal, &e), MEMFILE_E_LIMIT);
    assert_int_equal(m.seal.epoch, MF_EPOCHS_MAX);
    unmake(&m);
}

static void what_is_said_of_the_epoch_is_checked(void **state)
{
    (void)state;
    for (uint32_t epoch = 0; epoch <= MF_EPOCHS_MAX + 1; epoch++) {
        made m;
        mf_keys k;
        mf_buffer head;
        memfile_error e;
        make(&m, 1, 1);
        mf_buffer_init(&head, &mf_mem_default);
        mf_put_bytes(&head, m.head.data, MF_HEADER_LENGTH);
        mf_put_varint(&head, epoch);
        mf_put_bytes(&head, m.head.data + MF_HEADER_LENGTH + 1, 32 + 3 + MF_SLOT_RECIPIENT_LENGTH + 72); /* to the end of the roster */
        mf_put_varint(&head, epoch ? epoch - 1 : 0);
        mf_put_zero(&head, (size_t)(epoch ? epoch - 1 : 0) * 72 + 64);
        int rc = mf_keys_decode(&k, mf_slice_of(head.data, head.length), 80, &e);
        bool sound = epoch > 0 && epoch <= MF_EPOCHS_MAX;
        if (rc != (sound ? MEMFILE_OK : MEMFILE_E_DAMAGED))
            fail_msg("epoch %u: %d", epoch, rc);
        mf_buffer_free(&head);
        unmake(&m);
        epoch += epoch > 2 && epoch < MF_EPOCHS_MAX - 2 ? 500 : 0;
    }
}

static void slots_of_another_header_do_not_agree(void **state)
{
    (void)state;
    made m;
    mf_keys k;
    memfile_error e;
    make(&m, 2, 2);
    assert_int_equal(mf_keys_decode(&k, mf_slice_of(m.head.data, m.head.length), 80, &e), MEMFILE_OK);
    assert_true(mf_keys_verify(&k, m.header, &m.seal));
    m.header[79] ^= 1;
    assert_false(mf_keys_verify(&k, m.header, &m.seal));
    unmake(&m);
}

int main(void)
{
    if (!mf_digest_start())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_open_for_whom_they_are),
        cmocka_unit_test(every_bit_of_them_counts),
        cmocka_unit_test(costs_over_the_limit_are_not_run),
        cmocka_unit_test(a_slot_of_another_file_or_epoch_does_not_serve),
        cmocka_unit_test(an_open_seal_takes_no_keys_that_do_not_go_on),
        cmocka_unit_test(epochs_have_an_end),
        cmocka_unit_test(what_is_said_of_the_epoch_is_checked),
        cmocka_unit_test(slots_of_another_header_do_not_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
