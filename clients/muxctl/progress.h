// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// How far something is, on standard error, if that is a terminal and it takes long.
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct MuxctlProgress {
    guint64 total;  // G_MAXUINT64: not known
    gint64 next_us; // when it is shown again; G_MAXINT64: never
    bool shown;
} MuxctlProgress;

// `other`: a descriptor that is used meanwhile. If it is a terminal, nothing is shown.
void muxctl_progress_init(MuxctlProgress *progress, int other, guint64 total);
void muxctl_progress_tell(MuxctlProgress *progress, guint64 done);
// The line is empty again.
void muxctl_progress_end(MuxctlProgress *progress);
