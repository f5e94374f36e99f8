/* fuzz_page: index pages (SPEC 10.3, 10.4): items rise strictly, ranks agree with them, and
 * leaves written anew are the same. */
#include "fuzz.h"

#include "page.h"

static void check_rank(const mf_page *page, uint32_t i, const mf_item *item)
{
    mf_item target = *item;
    FUZZ_CHECK(mf_page_rank(page, &target) == i + 1, "rank of item %u of %u", i, page->count);
    if (target.value > 0) {
        target.value--;
        uint32_t rank = mf_page_rank(page, &target);
        FUZZ_CHECK(rank <= i + 1 && rank + 1 >= i, "rank below item %u of %u is %u", i, page->count, rank);
    }
}

static void write_anew(const mf_page *page)
{
    mf_buffer out;
    mf_arena arena;
    mf_page again;
    mf_item *items = (mf_item *)fuzz_alloc(page->count * sizeof *items);
    for (uint32_t i = 0; i < page->count; i++)
        mf_page_item(page, i, &items[i]);
    mf_buffer_init(&out, &mf_mem_default);
    mf_arena_init(&arena, &mf_mem_default);
    uint32_t done = mf_page_put_leaf(&out, page->first_entry, page->entry_count, items, page->count);
    FUZZ_CHECK(done > 0 && done <= page->count, "%u of %u items", done, page->count);
    FUZZ_CHECK(mf_page_parse(&again, mf_slice_of(out.data, out.length), &arena) == 0, "leaf of %u items", done);
    FUZZ_CHECK(again.count == done && again.first_entry == page->first_entry, "%u of %u", again.count, done);
    for (uint32_t i = 0; i < done; i++) {
        mf_item item;
        mf_page_item(&again, i, &item);
        FUZZ_CHECK(mf_item_compare(&item, &items[i]) == 0, "item %u of %u", i, done);
    }
    mf_arena_free(&arena);
    mf_buffer_free(&out);
    free(items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mf_arena arena;
    mf_page page;
    mf_item before, item;
    mf_arena_init(&arena, &mf_mem_default);
    int rc = mf_page_parse(&page, mf_slice_of(data, size), &arena);
    FUZZ_CHECK(rc == 0 || rc == -1 || rc == -3, "%d", rc);
    fuzz_verdict("%d", rc);
    if (rc == 0) {
        FUZZ_CHECK(page.count <= MF_PAGE_ITEMS_MAX && page.level < MF_PAGE_LEVEL_MAX, "%u items", page.count);
        for (uint32_t i = 0; i < page.count; i++) {
            mf_page_item(&page, i, &item);
            FUZZ_CHECK(i == 0 || mf_item_compare(&before, &item) < 0, "item %u of %u", i, page.count);
            before = item;
            fuzz_verdict("%u %016llx %llu", item.kind, (unsigned long long)item.key, (unsigned long long)item.value);
            if (i < 64 || i + 64 > page.count || i % 61 == 0)
                check_rank(&page, i, &item);
        }
        if (page.level == 0 && page.count > 0)
            write_anew(&page);
    }
    mf_arena_free(&arena);
    return 0;
}
