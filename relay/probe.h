// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Measures, on a channel of the daemons' own, from how many bytes on shared memory beats the port.
#pragma once

#include "link.h"

#define MUX_PROBE_NAME "@probe"

typedef struct MuxProbe MuxProbe;

// Begins at once; mux_regions_measured() is told what came of it.
MuxProbe *mux_probe_new(MuxLink *link);
// NULL is fine; returns NULL.
MuxProbe *mux_probe_free(MuxProbe *probe);

// The other side measures: swallows what it sends. One at a time for each link.
// False: not now, and the channel stays the caller's.
bool mux_probe_take(MuxLink *link, MuxChannel *channel);
typedef struct MuxSink MuxSink;
// Ends that. NULL is fine; returns NULL.
MuxSink *mux_sink_free(MuxSink *sink);
