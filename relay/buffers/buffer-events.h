// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What those are told who asked for the topic "buffers": each of the buffers that he may open, and
// if he asked for one application, only of that one's.
#pragma once

#include "buffers.h"
#include "relay/control.h"

// It is READY.
void mux_event_buffer_added(MuxBuffer *buffer);
// Its properties are others.
void mux_event_buffer_changed(MuxBuffer *buffer);
// No effect if nobody was told that it is there.
void mux_event_buffer_removed(MuxBuffer *buffer, const char *reason);

// Tells who has just subscribed which there are.
void mux_event_buffers_present(MuxControl *control);
