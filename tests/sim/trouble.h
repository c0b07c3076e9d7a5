// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What goes wrong around a link: each of these was seen on a real port, or is in HOSTILE.md.
#pragma once

#include "world.h"

// Something, at random.
void trouble_make(World *world);
// The guest opens and closes without end.
void trouble_storm(World *world);
// The host closes the port and opens it again.
void trouble_reconnect(World *world);
