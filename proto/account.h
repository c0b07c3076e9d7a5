// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// An account: what several channels may hold together of their session's budget, beyond the little
// that each of them can always have. The owner makes one for each of those who open channels, so
// that none of them can have what is there for all.
#pragma once

#include <stdint.h>

typedef struct MuxAccount {
    uint64_t used;  // kept by the session
    uint64_t limit; // bytes; may be changed at any time
} MuxAccount;
