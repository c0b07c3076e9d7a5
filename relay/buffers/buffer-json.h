// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What is shown of a buffer: docs/control.md, "buffers".
#pragma once

#include "buffers.h"

// The caller's.
json_object *mux_buffer_json(const MuxBuffer *buffer);
