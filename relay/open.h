// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// From a program's socket and a name to a channel.
#pragma once

#include "greeting.h"
#include "peer.h"
#include "relay.h"

// Opens a channel for a connected socket, which is the channel's from now on; or refuses, which
// closes it. In the guest a name is service[:argument], on the host VM/service[:argument].
void mux_open(MuxRelay *relay, int fd, const char *name, MuxAnswers answers, const MuxPeer *peer);
