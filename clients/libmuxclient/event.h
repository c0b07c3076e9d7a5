// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One event, and the memory that it needs.
#pragma once

#include "buffer-info.h"
#include "json.h"
#include "muxclient.h"
#include "words.h"

typedef struct MuxClientEventBox {
    MuxClientEvent event;
    MuxClientProperty properties[MUX_CLIENT_PROPERTIES_MAX];
    char *words; // its strings
    size_t room;
    MuxClientBufferBox buffer;
} MuxClientEventBox;

// Fine on a box that is all zero.
void mux_client_event_box_deinit(MuxClientEventBox *box);

// Reads an event of a host's or a guest's daemon, but for its line; it points into the box. 0;
// -EPROTO if it is none; -ENOMEM.
int mux_client_event_box_fill(MuxClientEventBox *box, MuxClientJson object, bool host);
