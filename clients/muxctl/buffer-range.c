// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Sizes, offsets and lengths of the command line.

#include <string.h>

#include "buffer.h"

#define KIBI 1024

static bool has_unit(const char *text, guint64 *ret_factor)
{
    static const char units[] = "kmgt";
    const char *unit = strchr(units, g_ascii_tolower(text[0]));
    guint64 factor = 1;

    if (text[0] == '\0' || g_ascii_strcasecmp(text, "B") == 0) {
        *ret_factor = factor;
        return true;
    }
    if (!unit || (text[1] != '\0' && g_ascii_strcasecmp(text + 1, "B") != 0 &&
                  g_ascii_strcasecmp(text + 1, "iB") != 0))
        return false;
    for (const char *u = units; u <= unit; u++)
        factor *= KIBI;
    *ret_factor = factor;
    return true;
}

bool muxctl_parse_size(const char *option, const char *text, guint64 *ret_size)
{
    char *end = NULL;
    guint64 factor = 0, size = 0, number = g_ascii_strtoull(text, &end, 10);

    // strtoull() takes blanks and signs, and gives the largest number for what is too large.
    if (g_ascii_isdigit(text[0]) && number != G_MAXUINT64 && has_unit(end, &factor) &&
        g_uint64_checked_mul(&size, number, factor)) {
        *ret_size = size;
        return true;
    }
    muxctl_complain("%s takes a number of bytes, as 4096, 64k or 4MiB, not '%s'", option, text);
    return false;
}

bool muxctl_range_parse(const MuxctlRangeOptions *options, MuxctlRange *ret_range)
{
    MuxctlRange range = {.offset = 0, .length = G_MAXUINT64};

    if (options->offset && !muxctl_parse_size("--offset", options->offset, &range.offset))
        return false;
    if (options->length && !muxctl_parse_size("--length", options->length, &range.length))
        return false;
    *ret_range = range;
    return true;
}

bool muxctl_range_fit(const char *name, MuxctlRange *range, guint64 size)
{
    guint64 room = range->offset <= size ? size - range->offset : 0;

    if (room == 0) {
        muxctl_complain("%s: --offset %" G_GUINT64_FORMAT " is not before its end; it has "
                        "%" G_GUINT64_FORMAT " bytes",
                        name, range->offset, size);
        return false;
    }
    if (range->length != G_MAXUINT64 && range->length > room) {
        muxctl_complain("%s: --length goes beyond its end; it has %" G_GUINT64_FORMAT
                        " bytes, %" G_GUINT64_FORMAT " from --offset on",
                        name, size, room);
        return false;
    }
    range->length = MIN(range->length, room);
    return true;
}

void muxctl_range_clear(MuxctlRangeOptions *options)
{
    g_clear_pointer(&options->offset, g_free);
    g_clear_pointer(&options->length, g_free);
}
