// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// How far something is: one line that is written again and again.

#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "text.h"

#define FIRST_US (1 * G_USEC_PER_SEC)
#define NEXT_US  (G_USEC_PER_SEC / 5)

void muxctl_progress_init(MuxctlProgress *progress, int other, guint64 total)
{
    bool wanted = isatty(STDERR_FILENO) && !isatty(other);

    *progress = (MuxctlProgress){
        .total = total, .next_us = wanted ? g_get_monotonic_time() + FIRST_US : G_MAXINT64};
}

void muxctl_progress_tell(MuxctlProgress *progress, guint64 done)
{
    if (progress->next_us == G_MAXINT64)
        return;
    gint64 now = g_get_monotonic_time();
    if (now < progress->next_us)
        return;
    progress->next_us = now + NEXT_US;
    progress->shown = true;
    g_autofree char *bytes = muxctl_human(done);
    g_autofree char *all = muxctl_human(progress->total);
    if (progress->total == G_MAXUINT64)
        (void)fprintf(stderr, "\r%s\033[K", bytes);
    else
        (void)fprintf(stderr, "\r%s of %s, %.0f%%\033[K", bytes, all,
                      100 * (double)done / (double)progress->total);
}

void muxctl_progress_end(MuxctlProgress *progress)
{
    if (progress->shown)
        (void)fprintf(stderr, "\r\033[K");
    progress->shown = false;
}
