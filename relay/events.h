// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What control connections that asked for events are told. Where nobody has asked, nothing is made.
#pragma once

#include "joint.h"
#include "remotes.h"
#include "services.h"

// What can be subscribed to; bits.
typedef enum MuxTopic {
    MUX_TOPIC_SERVICES = 1 << 0,
    MUX_TOPIC_LINKS = 1 << 1,
    MUX_TOPIC_CHANNELS = 1 << 2,
    MUX_TOPIC_BUFFERS = 1 << 3,
    MUX_TOPICS_ALL = MUX_TOPIC_SERVICES | MUX_TOPIC_LINKS | MUX_TOPIC_CHANNELS | MUX_TOPIC_BUFFERS,
} MuxTopic;

// A service of this side.
void mux_event_offer(MuxRelay *relay, const MuxService *service, MuxChange change);
// A service of the other side.
void mux_event_remote(MuxLink *link, const MuxRemote *remote, MuxChange change);

// A link was made, or will be no more.
void mux_event_link(const MuxLink *link, MuxChange change);
// The other daemon has said who it is.
void mux_event_link_up(const MuxLink *link);
void mux_event_link_down(const MuxLink *link);

void mux_event_channel_opened(const MuxJoint *joint);
// `code` is a MuxCode's or a later version's; `done`: both directions had ended.
void mux_event_channel_closed(const MuxJoint *joint, uint32_t code, bool done);
// `direction` is that of the channel that was not opened: "in" or "out".
void mux_event_channel_refused(const MuxLink *link, const char *name, const char *direction,
                               const MuxCaller *caller, uint32_t code);
