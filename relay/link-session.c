// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What becomes of a link's session, and what is said of it in the log.

#include "link-session.h"

#include <sys/random.h>
#include <time.h>

#include "discovery.h"
#include "events.h"
#include "memory.h"
#include "proto/frame.h"
#include "proto/limits.h"

// A peer that starts sessions or opens channels as fast as it can must not fill the log with it.
#define LOGS_BURST      50
#define LOGS_PER_SECOND 5

// Longer than it takes an earlier life's bytes to come out of the port.
#define GREETING_TIME_US MUX_PING_US

void mux_link_log_init(MuxLink *link)
{
    mux_bucket_init(&link->log, LOGS_BURST, LOGS_PER_SECOND, (uint64_t)g_get_monotonic_time());
}

void mux_link_log(MuxLink *link, GLogLevelFlags level, const char *format, ...)
{
    va_list arguments;

    if (!mux_bucket_take(&link->log, (uint64_t)g_get_monotonic_time())) {
        link->unlogged++;
        return;
    }
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (link->unlogged > 0)
        g_warning("link %s: %u messages were not logged: too many", link->name, link->unlogged);
    link->unlogged = 0;
    g_log_structured(G_LOG_DOMAIN, level, "MESSAGE", "link %s: %s", link->name, text);
}

uint64_t mux_link_random(void)
{
    uint64_t number = 0;

    while (number == 0)
        if (getrandom(&number, sizeof(number), 0) != sizeof(number))
            number = 0;
    return number;
}

// After a restored snapshot the kernel gives the same random numbers once more, until it has
// gathered new ones. Its clock goes back as well, but the same thing hardly happens at the same
// nanosecond.
uint32_t mux_link_nonce(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return (uint32_t)(mux_link_random() ^ mux_frame_mix(ns));
}

void mux_link_start_session(MuxLink *link)
{
    // Not predictable, so that an app cannot put a HELLO into its data that fits a session to come.
    uint64_t id = mux_link_random();

    link->started_us = mux_loop_now(link->relay->loop);
    link->strange = link->complained = false;
    mux_session_start(link->session, id, mux_loop_now(link->relay->loop));
    mux_link_kick(link);
}

static const char *reason_text(const MuxEvent *event)
{
    switch (event->reason) {
    case MUX_REASON_PEER:
        return "the other end started anew";
    case MUX_REASON_STEP:
        return "bytes were lost or repeated on the port";
    case MUX_REASON_PROTOCOL:
        return "the other end broke the protocol";
    case MUX_REASON_MEMORY:
        return "out of memory";
    case MUX_REASON_IDS:
        return "all channel ids of this session are used up";
    case MUX_REASON_NONE:
    case MUX_REASON_PORT:
        break;
    }
    return "the port went down";
}

void mux_link_session_ended(MuxLink *link, const char *why, const char *detail)
{
    g_free(link->end.why);
    link->end.why = detail ? g_strdup_printf("%s: %s", why, detail) : g_strdup(why);
    link->end.when_us = mux_loop_now(link->relay->loop);
    link->end.channels = link->closed;
    link->closed = 0;
    mux_discovery_end(link->discovery);
    if (link->relay->memory && link->relay->memory->down)
        link->relay->memory->down(link);
    mux_event_link_down(link);
    mux_link_log(link, G_LOG_LEVEL_MESSAGE, "session ended: %s (%u channels closed)", link->end.why,
                 link->end.channels);
}

void mux_link_session_up(MuxLink *link)
{
    MuxSessionInfo info;

    mux_session_info(link->session, &info);
    mux_link_log(link, G_LOG_LEVEL_MESSAGE,
                 "session up (id %016" G_GINT64_MODIFIER "x, peer %016" G_GINT64_MODIFIER
                 "x, protocol %u)",
                 info.id, info.peer_id, info.version);
}

void mux_link_session_down(MuxLink *link, const MuxEvent *event)
{
    // When it was the port, link.c knows more.
    if (event->reason == MUX_REASON_PORT)
        return;
    mux_link_session_ended(link, reason_text(event), event->detail);
    mux_link_start_session(link);
}

// Said once a connection, when the next greeting after that time is due.
void mux_link_suspect_stranger(MuxLink *link)
{
    uint64_t now = (uint64_t)g_get_monotonic_time();

    if (!link->strange || link->complained || !mux_session_is_started(link->session) ||
        mux_session_is_up(link->session) || now - link->started_us < GREETING_TIME_US)
        return;
    link->complained = true;
    mux_link_log(link, G_LOG_LEVEL_WARNING,
                 "bytes come over the port, but no greeting: is another program at its other end?");
}
