// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Rates, from two answers to "status".
#pragma once

#include <glib.h>
#include <json-c/json.h>

typedef struct MuxctlRates {
    GHashTable *before; // counters of the last answer, by link, session and channel
    gint64 then_us;     // 0: there was none
} MuxctlRates;

void muxctl_rates_deinit(MuxctlRates *rates);
// Adds "seconds" to the answer, which came at `now_us`; "in_rate" and "out_rate", in bytes a
// second, to its links and channels; "shared_rate" and "inline_rate" to a link's regions; and
// "link" to its channels. All is 0 in the first answer.
void muxctl_rates_add(MuxctlRates *rates, gint64 now_us, json_object *answer);
