// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The limit of anything that copies: memcpy().
#pragma once

#include <stddef.h>
#include <stdint.h>

// Copies `bytes` in blocks from one stretch of memory to another, both too large for a cache, as a
// stream's bytes are on their way. Prints a line of JSON.
void copy_run(uint64_t bytes, size_t block);
