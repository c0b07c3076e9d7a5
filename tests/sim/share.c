// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "share.h"

#include <stdlib.h>
#include <string.h>

#include "chan.h"
#include "memory.h"
#include "proto/limits.h"

#define OFFER  1
#define ANSWER 2
#define FIRST  16 // of the news

static bool may_share(const End *end)
{
    MuxSessionInfo info;

    mux_session_info(end->session, &info);
    return end->told_up && mux_session_is_up(end->session) && info.features & MUX_FEATURE_MEMORY;
}

// --- regions
// --------------------------------------------------------------------------------------

static MuxSlotClass choose_class(Run *run)
{
    switch (run_below(run, 8)) {
    case 0:
        return (MuxSlotClass){1 + (uint32_t)run_below(run, 3), 1 + (uint32_t)run_below(run, 4)};
    case 1:
        return (MuxSlotClass){MUX_SLOT_MAX, 1};
    case 2:
    case 3:
        return (MuxSlotClass){1 + (uint32_t)run_below(run, 300), 1 + (uint32_t)run_below(run, 40)};
    default:
        return (MuxSlotClass){1024u << run_below(run, 7), 1 + (uint32_t)run_below(run, 8)};
    }
}

// Its memory stays to the end of the run, so that whoever looks at an old one is seen.
static const MuxRegion *new_region(Run *run)
{
    MuxRegion region = {.epoch = ++run->region_count, .n = 1 + (unsigned)run_below(run, 4)};
    size_t size = 0;
    Arena *was = memory_use(NULL);

    for (unsigned i = 0; i < region.n; i++) {
        region.classes[i] = choose_class(run);
        size += (size_t)region.classes[i].size * region.classes[i].count;
    }
    region.base = size ? malloc(size) : NULL;
    run->regions = realloc(run->regions, run->region_count * sizeof(MuxRegion));
    if (!region.base || !run->regions)
        abort();
    run->regions[run->region_count - 1] = region;
    memory_use(was);
    run_count(run, region.classes[0].size < 4 ? COVER_REGION_TINY : COVER_REGION);
    return &run->regions[run->region_count - 1];
}

void share_free_regions(Run *run)
{
    for (uint32_t i = 0; i < run->region_count; i++)
        free(run->regions[i].base);
    free(run->regions);
    run->regions = NULL;
    run->region_count = 0;
}

// `epoch` 0 takes it away. False when there is no memory.
static bool attach(End *end, bool ours, uint32_t epoch)
{
    Run *run = end->run;

    memory_starve(run->starved ? 3 : 0);
    int r = mux_session_set_region(end->session, ours, epoch ? &run->regions[epoch - 1] : NULL);
    memory_starve(0);
    run_check(run, r == 0 || (epoch && run->starved), "a region is not taken");
    if (r == 0)
        *(ours ? &end->share.out : &end->share.in) = epoch;
    return r == 0;
}

static void choose_threshold(End *end)
{
    static const uint32_t thresholds[] = {0, 1, 1000, 4096, 65536, MUX_NEVER};
    mux_session_set_threshold(end->session, thresholds[run_below(end->run, 6)]);
}

// Another region, or none.
static void offer(End *end)
{
    Share *share = &end->share;

    if (share->out)
        run_count(end->run, COVER_REGION_REPLACED);
    (void)attach(end, true, 0);
    share->offer.sequence = run_chance(end->run, 80) ? new_region(end->run)->epoch : 0;
    mux_session_notify(end->session, &share->offer);
}

// --- slots that are held
// --------------------------------------------------------------------------

static void check_held(const End *end, const Held *held)
{
    run_check(end->run,
              ledger_matches(held->number, !end->side, held->position, held->bytes, held->size),
              "bytes of channel %u at %ju were changed while they were held", held->number,
              (uintmax_t)held->position);
}

static void give(End *end, size_t i)
{
    Share *share = &end->share;
    Held held = share->held[i];

    share->held[i] = share->held[--share->count];
    check_held(end, &held);
    mux_session_give(end->session, held.slot);
}

void share_give_all(End *end)
{
    while (end->share.count > 0)
        give(end, run_below(end->run, end->share.count));
}

// Their region is no more: giving them back or not is the same.
static void drop_all(End *end)
{
    Share *share = &end->share;

    if (share->count > 0)
        run_count(end->run, COVER_SLOTS_DROPPED);
    for (size_t i = 0; i < share->count; i++) {
        check_held(end, &share->held[i]);
        if (run_chance(end->run, 50))
            mux_session_give(end->session, share->held[i].slot);
    }
    share->count = 0;
}

static void hold(End *end, const Held *held)
{
    Share *share = &end->share;

    if (share->count == share->room) {
        share->room = share->room * 2 + 8;
        Held *larger = malloc(share->room * sizeof(Held)); // not realloc(): see memory.h
        if (!larger)
            abort();
        if (share->count > 0)
            memcpy(larger, share->held, share->count * sizeof(Held));
        free(share->held);
        share->held = larger;
    }
    share->held[share->count++] = *held;
    run_count(end->run, COVER_SLOT_HELD);
}

void share_data(Chan *chan, const MuxEvent *event, uint64_t position)
{
    End *end = chan->end;
    Run *run = end->run;

    if (event->slot == 0)
        return;
    run_count(run, COVER_REF);
    run_check(run, end->share.in != 0, "bytes in a region that is not there");
    end->share.told += event->size;
    if (run->quiet || run_chance(run, chan->appetite))
        mux_session_give(end->session, event->slot);
    else
        hold(end, &(Held){event->slot, event->data, event->size, chan->number, position});
}

// --- life
// -----------------------------------------------------------------------------------------

void share_init(End *end)
{
    Share *share = &end->share;

    mux_notice_init(&share->offer, OFFER);
    mux_notice_init(&share->answer, ANSWER);
    for (uint64_t i = 0; i < NEWS; i++)
        mux_notice_init(&share->news[i], FIRST + i);
}

void share_deinit(End *end)
{
    free(end->share.held);
}

void share_up(End *end)
{
    Share *share = &end->share;

    run_count(end->run, may_share(end) ? COVER_SHARING : COVER_NOT_SHARING);
    share->told = share->late = 0;
    memset(share->said, 0, sizeof(share->said));
    memset(share->heard, 0, sizeof(share->heard));
    if (may_share(end) && run_chance(end->run, 60))
        offer(end);
}

void share_down(End *end)
{
    Share *share = &end->share;

    if (share->count > 0)
        run_count(end->run, COVER_SLOTS_DOWN);
    drop_all(end);
    share->in = share->out = 0;
    share->offer.sequence = share->answer.sequence = 0;
}

// QEMU saves and migrates no guest that has an ivshmem-plain in its default mode, so a guest that
// is restored has none, and has to do without the memory that it had. (Else it would write to slots
// that in the host's life were lent and used again since.) The host knows nothing of it: what it
// sends into its region ends the session, and slots that it gives back are of a region that is no
// more.
void share_restored(End *end)
{
    Share *share = &end->share;

    if (share->in || share->out)
        run_count(end->run, COVER_RESTORE_SHARED);
    share->count = 0;
    (void)attach(end, true, 0);
    (void)attach(end, false, 0);
    mux_notice_deinit(&share->offer);
    mux_notice_deinit(&share->answer);
    share->offer.sequence = share->answer.sequence = 0;
}

// --- notices
// --------------------------------------------------------------------------------------

static void on_offer(End *end, uint32_t epoch)
{
    Share *share = &end->share;

    run_check(end->run, epoch <= end->run->region_count, "an offer that nobody made");
    drop_all(end);
    (void)attach(end, false, 0);
    if (!epoch || !attach(end, false, epoch))
        return;
    share->answer.sequence = epoch;
    mux_session_notify(end->session, &share->answer);
}

static void on_answer(End *end, uint32_t epoch)
{
    if (epoch != end->share.offer.sequence || !epoch || end->share.out == epoch)
        return;
    if (attach(end, true, epoch))
        choose_threshold(end);
}

static void on_news(End *end, const MuxNotice *notice)
{
    uint64_t *heard = &end->share.heard[notice->id - FIRST];

    run_check(end->run,
              notice->offset == notice->sequence * 3 && notice->length == notice->sequence * 7,
              "a notice of two");
    run_check(end->run, notice->sequence > *heard || end->torn, "an older notice");
    run_check(end->run, notice->sequence <= end->run->news, "a notice that nobody made");
    *heard = notice->sequence;
}

void share_notice(End *end, const MuxNotice *notice)
{
    run_count(end->run, COVER_NOTICE);
    run_check(end->run, may_share(end), "a notice that was not agreed on");
    if (notice->id == OFFER)
        on_offer(end, (uint32_t)notice->sequence);
    else if (notice->id == ANSWER)
        on_answer(end, (uint32_t)notice->sequence);
    else if (notice->id >= FIRST && notice->id < FIRST + NEWS)
        on_news(end, notice);
    else
        run_fail(end->run, "a notice of nothing");
}

static void tell_news(End *end)
{
    Share *share = &end->share;
    uint64_t i = run_below(end->run, NEWS);
    MuxNotice *notice = &share->news[i];

    if (!mux_list_empty(&notice->node))
        run_count(end->run, COVER_NOTICE_COALESCED);
    notice->sequence = ++end->run->news;
    notice->offset = notice->sequence * 3;
    notice->length = notice->sequence * 7;
    mux_session_notify(end->session, notice);
    if (may_share(end))
        share->said[i] = notice->sequence;
}

// --- what it does
// ---------------------------------------------------------------------------------

void share_choose_path(MuxChannel *mux, Run *run)
{
    MuxPath path = run->path == MIXED ? (MuxPath)run_below(run, 3) : (MuxPath)run->path;
    uint32_t most = run_chance(run, 20) ? 500 + (uint32_t)run_size(run, 100000) : 0;

    mux_channel_set_path(mux, path, most);
}

void share_act(End *end)
{
    Run *run = end->run;
    uint64_t what = run_below(run, 100);

    if (what < 10) {
        if (may_share(end))
            offer(end);
    } else if (what < 20) {
        choose_threshold(end);
    } else if (what < 40) {
        tell_news(end);
    } else if (what < 50) {
        share_give_all(end);
    } else if (end->share.count > 0) {
        give(end, run_below(run, end->share.count));
    }
}

// --- checks
// ---------------------------------------------------------------------------------------

void share_check(End *end)
{
    Share *share = &end->share;
    MuxRegionInfo in, out;

    mux_session_region_info(end->session, false, &in);
    mux_session_region_info(end->session, true, &out);
    if (!end->told_up)
        return;
    run_check(end->run, in.there == (share->in != 0) && (!in.there || in.epoch == share->in),
              "whose region is this?");
    run_check(end->run, in.used >= share->count, "%u slots are held, and %zu were taken", in.used,
              share->count);
    run_check(end->run, in.used <= in.slots && out.used <= out.slots, "more slots than there are");
    run_check(end->run, in.shared >= share->told, "bytes in slots that did not arrive");
    if (in.shared - share->told > share->late)
        run_count(end->run, COVER_REF_LATE);
    share->late = in.shared - share->told;
}

bool share_is_quiet(const End *end, const End *peer)
{
    MuxRegionInfo out, in;

    if (end->torn)
        return true;
    mux_session_region_info(end->session, true, &out);
    mux_session_region_info(peer->session, false, &in);
    return out.used == 0 && in.used == 0 &&
           memcmp(end->share.said, peer->share.heard, sizeof(end->share.said)) == 0;
}
