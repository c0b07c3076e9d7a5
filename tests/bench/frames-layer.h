// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Frames without payload. guestmux has no empty DATA, and of what is empty a channel sends each
// once: so these are RECLAIM, made and taken by proto's frame layer alone, without sessions.
#pragma once

#include "frames.h"

void layer_start(void);
void layer_encode(Wire *out, size_t frames);
// Returns 0, for there is no payload; every frame is checked.
size_t layer_decode(Wire *out);
