// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the daemon says of a buffer, and the memory that it needs.
#pragma once

#include <stdbool.h>

#include "json.h"
#include "muxclient.h"
#include "words.h"

typedef struct MuxClientBufferBox {
    MuxClientBufferInfo info; // points into the box
    MuxClientProperty properties[MUX_CLIENT_PROPERTIES_MAX];
    char *words; // its strings
    size_t room;
    char *changed; // those of properties that were read later
    size_t changed_room;
} MuxClientBufferBox;

// Fine on a box that is all zero.
void mux_client_buffer_box_deinit(MuxClientBufferBox *box);

// Reads what is said of a buffer, on a host or in a guest. 0; -EPROTO if it is none; -ENOMEM. What
// the box had before is no more, even then.
int mux_client_buffer_box_fill(MuxClientBufferBox *box, MuxClientJson object, bool host);

// Its properties are these now. 0 or -ENOMEM.
int mux_client_buffer_box_change(MuxClientBufferBox *box, MuxClientJson properties);

// Whether the answer comes from hostmux.
bool mux_client_is_host(MuxClientJson answer);
