// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What an owner of a session does, with a log in the place of sockets.

#include "pair.h"

#include <inttypes.h>
#include <string.h>

#include "proto/channel.h"
#include "proto/session-private.h"

static const char *const reasons[] = {
    [MUX_REASON_NONE] = "none", [MUX_REASON_PORT] = "port",         [MUX_REASON_PEER] = "peer",
    [MUX_REASON_STEP] = "step", [MUX_REASON_PROTOCOL] = "protocol", [MUX_REASON_MEMORY] = "memory",
    [MUX_REASON_IDS] = "ids",
};

void end_init(End *end, MuxRole role, const MuxLimits *limits)
{
    *end = (End){.log = g_string_new(NULL),
                 .channels = g_hash_table_new(NULL, NULL),
                 .heard = g_byte_array_new(),
                 .slots = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
                 .now_us = 1000000,
                 .cut = UINT64_MAX};
    if (mux_session_new(role, limits, &end->session) < 0)
        end->session = NULL;
}

void end_deinit(End *end)
{
    GHashTableIter iter;
    gpointer channel;

    g_hash_table_iter_init(&iter, end->channels);
    while (g_hash_table_iter_next(&iter, NULL, &channel))
        mux_channel_close(channel, MUX_CODE_CLOSED);
    if (end->session) {
        mux_session_stop(end->session);
        end_assert_idle(end);
    }
    mux_session_free(end->session);
    g_hash_table_unref(end->channels);
    g_byte_array_unref(end->heard);
    g_array_unref(end->slots);
    g_string_free(end->log, TRUE);
}

void end_start(End *end, uint64_t id)
{
    mux_session_start(end->session, id, end->now_us);
}

uint32_t channel_id(const MuxChannel *channel)
{
    MuxChannelInfo info;
    mux_channel_info(channel, &info);
    return info.id;
}

static void log_bytes(GString *log, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (g_ascii_isprint((char)bytes[i]) && bytes[i] != '\\')
            g_string_append_c(log, (char)bytes[i]);
        else
            g_string_append_printf(log, "\\x%02x", bytes[i]);
    }
}

static void log_data(End *end, uint32_t id, const MuxEvent *event)
{
    bool shared = event->slot != 0;

    if (end->last_data == id && end->last_shared == shared)
        g_string_truncate(end->log, end->log->len - 1);
    else
        g_string_append_printf(end->log, "%s %u ", shared ? "SHARED" : "DATA", id);
    end->last_data = id;
    end->last_shared = shared;
    log_bytes(end->log, event->data, event->size);
    g_string_append_c(end->log, '\n');
}

static void log_event(End *end, uint32_t id, const MuxEvent *event)
{
    static const char *const words[] = {
        [MUX_EVENT_UP] = "UP",         [MUX_EVENT_DOWN] = "DOWN",     [MUX_EVENT_REJECT] = "REJECT",
        [MUX_EVENT_SILENT] = "SILENT", [MUX_EVENT_HEARD] = "HEARD",   [MUX_EVENT_OPEN] = "OPEN",
        [MUX_EVENT_ACCEPT] = "ACCEPT", [MUX_EVENT_FIN] = "FIN",       [MUX_EVENT_STOP] = "STOP",
        [MUX_EVENT_RESET] = "RESET",   [MUX_EVENT_NOTICE] = "NOTICE",
    };
    GString *log = end->log;

    g_string_append(log, words[event->type]);
    if (event->channel)
        g_string_append_printf(log, " %u", id);
    if (event->type == MUX_EVENT_RESET)
        g_string_append_printf(log, " %s", mux_code_name(event->code));
    if (event->type == MUX_EVENT_DOWN)
        g_string_append_printf(log, " %s", reasons[event->reason]);
    if (event->detail)
        g_string_append_printf(log, "%s%s", event->type == MUX_EVENT_DOWN ? ": " : " ",
                               event->detail);
    if (event->type == MUX_EVENT_NOTICE)
        g_string_append_printf(log, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                               event->notice->id, event->notice->sequence, event->notice->offset,
                               event->notice->length);
    if (event->type == MUX_EVENT_OPEN) {
        g_string_append_c(log, ' ');
        log_bytes(log, event->data, event->size);
    }
    g_string_append_c(log, '\n');
}

static void take_slot(End *end, const MuxEvent *event)
{
    end->shared += event->size;
    if (end->holds)
        g_array_append_val(end->slots, event->slot);
    else
        mux_session_give(end->session, event->slot);
}

static void handle(End *end, const MuxEvent *event)
{
    uint32_t id = event->channel ? channel_id(event->channel) : 0;

    if (event->type == MUX_EVENT_DATA) {
        log_data(end, id, event);
        end->taken += event->size;
        if (event->slot)
            take_slot(end, event);
        if (end->consumes)
            mux_channel_consumed(event->channel, event->size);
        return;
    }
    log_event(end, id, event);
    end->last_data = 0;
    if (event->type == MUX_EVENT_OPEN) {
        g_assert_true(g_hash_table_insert(end->channels, GUINT_TO_POINTER(id), event->channel));
        if (end->accepts)
            mux_channel_accept(event->channel, end);
    }
}

void end_drain(End *end)
{
    MuxEvent event;
    while (mux_session_next_event(end->session, &event))
        handle(end, &event);
    g_assert_cmpint(event.type, ==, MUX_EVENT_NONE);
}

static size_t portion(const End *end, size_t n)
{
    if (end->chunk)
        n = MIN(n, end->chunk);
    uint64_t fed = end->heard->len;
    if (fed < end->cut && end->cut < fed + n)
        n = (size_t)(end->cut - fed);
    return n;
}

void end_feed(End *end, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        uint8_t *base;
        size_t space = mux_session_input(end->session, &base);
        size_t part = MIN(portion(end, n), space);
        if (part == 0) // it is down, and reads no more
            return;
        memcpy(base, bytes, part);
        mux_session_input_done(end->session, part, end->now_us);
        g_byte_array_append(end->heard, bytes, (guint)part);
        bytes += part;
        n -= part;
        end_drain(end);
    }
}

GByteArray *end_output(End *end)
{
    GByteArray *all = g_byte_array_new();
    const uint8_t *base;
    size_t n;
    while ((n = mux_session_output(end->session, &base)) > 0) {
        g_byte_array_append(all, base, (guint)n);
        mux_session_output_done(end->session, n);
    }
    return all;
}

void end_forget(End *end)
{
    g_string_truncate(end->log, 0);
    end->last_data = 0;
}

uint32_t nonce_of(uint32_t id)
{
    return 0xa1b2c300 + id;
}

MuxChannel *end_open(End *end, const char *name)
{
    MuxChannel *channel;
    uint32_t nonce = nonce_of(end->session->next_id);
    if (mux_session_open(
            end->session,
            &(MuxOpening){.name = name, .length = strlen(name), .nonce = nonce, .user = end},
            &channel) != 0)
        return NULL;
    g_hash_table_insert(end->channels, GUINT_TO_POINTER(channel_id(channel)), channel);
    return channel;
}

MuxChannel *end_channel(End *end, uint32_t id)
{
    return g_hash_table_lookup(end->channels, GUINT_TO_POINTER(id));
}

size_t end_write(End *end, MuxChannel *channel, const void *bytes, size_t n)
{
    MuxTurn turn;
    size_t done = 0;

    mux_channel_ready(channel);
    while (done < n && mux_session_next_turn(end->session, &turn)) {
        g_assert_true(turn.channel == channel);
        size_t part = MIN(turn.size, n - done);
        memcpy(turn.base, (const uint8_t *)bytes + done, part);
        done += part;
        mux_session_turn_done(end->session, &turn, part, done < n);
    }
    return done;
}

void end_read(MuxChannel *channel, size_t n)
{
    MuxChannelInfo info;
    mux_channel_info(channel, &info);
    mux_channel_consumed(channel, MIN(n, (size_t)(info.received - info.consumed)));
}

void end_give(End *end, unsigned n)
{
    for (; n > 0 && end->slots->len > 0; n--) {
        mux_session_give(end->session, g_array_index(end->slots, uint64_t, 0));
        g_array_remove_index(end->slots, 0);
    }
}

MuxRegionInfo end_region(const End *end, bool ours)
{
    MuxRegionInfo info;
    mux_session_region_info(end->session, ours, &info);
    return info;
}

void end_close(End *end, MuxChannel *channel, MuxCode code)
{
    g_assert_true(g_hash_table_remove(end->channels, GUINT_TO_POINTER(channel_id(channel))));
    mux_channel_close(channel, code);
}

MuxSessionInfo end_info(const End *end)
{
    MuxSessionInfo info;
    mux_session_info(end->session, &info);
    return info;
}

void end_assert_idle(const End *end)
{
    g_assert_cmpuint(end_info(end).channels, ==, 0);
    g_assert_cmpuint(end_info(end).budget_used, ==, 0);
    g_assert_cmpuint(end->session->ours, ==, 0);
    g_assert_cmpuint(end->session->theirs, ==, 0);
    g_assert_cmpuint(end->session->alive, ==, 0);
    g_assert_cmpuint(end->session->unanswered, ==, 0);
    g_assert_cmpuint(end->session->unserved, ==, 0);
}

void pair_init(Pair *pair, const MuxLimits *guest, const MuxLimits *host)
{
    end_init(&pair->guest, MUX_GUEST, guest);
    end_init(&pair->host, MUX_HOST, host);
}

void pair_up(Pair *pair)
{
    end_start(&pair->guest, GUEST_ID);
    end_start(&pair->host, HOST_ID);
    pair_settle(pair);
    end_expect(&pair->guest, "UP\n");
    end_expect(&pair->host, "UP\n");
}

void pair_deinit(Pair *pair)
{
    end_deinit(&pair->guest);
    end_deinit(&pair->host);
}

size_t pair_carry(End *from, End *to)
{
    const uint8_t *base;
    size_t n = mux_session_output(from->session, &base);
    if (n > 0) {
        end_feed(to, base, n);
        mux_session_output_done(from->session, n);
    }
    return n;
}

void pair_share(End *from, End *to, uint32_t epoch, void *memory, uint32_t size, uint32_t count)
{
    const MuxRegion region = {memory, epoch, 1, {{size, count}}};

    g_assert_cmpint(mux_session_set_region(to->session, false, &region), ==, 0);
    g_assert_cmpint(mux_session_set_region(from->session, true, &region), ==, 0);
}

void pair_settle(Pair *pair)
{
    while (pair_carry(&pair->guest, &pair->host) + pair_carry(&pair->host, &pair->guest) > 0) {
    }
}

void pair_sleep(Pair *pair, uint64_t us)
{
    pair->guest.now_us += us;
    pair->host.now_us += us;
    mux_session_tick(pair->guest.session, pair->guest.now_us);
    mux_session_tick(pair->host.session, pair->host.now_us);
}
