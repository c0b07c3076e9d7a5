// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl buffer: its commands, and what they share.
#pragma once

#include <json-c/json.h>

#include "clients/libmuxclient/muxclient.h"
#include "muxctl.h"

extern const MuxctlCommand muxctl_buffer_cat;
extern const MuxctlCommand muxctl_buffer_create;
extern const MuxctlCommand muxctl_buffer_fill;
extern const MuxctlCommand muxctl_buffer_list;
extern const MuxctlCommand muxctl_buffer_notify;
extern const MuxctlCommand muxctl_buffer_release;
extern const MuxctlCommand muxctl_buffer_set;
extern const MuxctlCommand muxctl_buffer_show;
extern const MuxctlCommand muxctl_buffer_wait;
extern const MuxctlCommand muxctl_buffer_watch;

// --- sizes and ranges

// "4M", "4m", "4MB", "4MiB": bytes, with a unit behind them that is a power of 1024. False after
// having said that it is none.
bool muxctl_parse_size(const char *option, const char *text, guint64 *ret_size);

// --offset and --length as they were given.
typedef struct MuxctlRangeOptions {
    char *offset, *length; // NULL: not given
} MuxctlRangeOptions;

typedef struct MuxctlRange {
    guint64 offset, length;
} MuxctlRange;

// The rows of a command's options for them.
#define MUXCTL_OFFSET_ENTRY(range)                                                                 \
    {                                                                                              \
        "offset", 0, 0, G_OPTION_ARG_STRING, &(range)->offset, "From there on (0)", "BYTES"        \
    }
#define MUXCTL_LENGTH_ENTRY(range)                                                                 \
    {                                                                                              \
        "length", 0, 0, G_OPTION_ARG_STRING, &(range)->length, "So much (all that follows)",       \
            "BYTES"                                                                                \
    }

// All up to the end where they were not given, G_MAXUINT64 long. False after having said what is
// wrong with them.
bool muxctl_range_parse(const MuxctlRangeOptions *options, MuxctlRange *ret_range);
// Cuts what has no end to the buffer. False after having said that it does not begin or is not
// within.
bool muxctl_range_fit(const char *name, MuxctlRange *range, guint64 size);
void muxctl_range_clear(MuxctlRangeOptions *options);

// --- having one open

// 0 with the buffer, or the exit status after having said why not.
int muxctl_buffer_open(const MuxctlOptions *options, const char *name, MuxClientBufferMode mode,
                       MuxClientBuffer **ret_buffer);
// Takes what the daemon says of it, without waiting, and forgets it. 0 while it is there, or the
// exit status after having said that it is not.
int muxctl_buffer_check(const char *name, MuxClientBuffer *buffer);
// Says what came of a call about it, unless it is 0; the exit status.
int muxctl_buffer_explain(const char *name, int result, const MuxClientBuffer *buffer);

// --- what the daemon says of a buffer

// Asks for the list: 0 with the answer and the one of that name in it, or NULL; or the exit status
// after having said what is wrong.
int muxctl_buffer_find(const MuxctlOptions *options, const char *name, json_object **ret_answer,
                       json_object **ret_buffer);

// As the daemon lists it; the caller's.
json_object *muxctl_buffer_json(const MuxClientBufferInfo *info);
// Its properties alone; the caller's.
json_object *muxctl_buffer_properties(const MuxClientBufferInfo *info);

// "web1/clip" on a host, "clip" in a guest, as one writes it. `answer` is the one that it came
// with. To be freed.
char *muxctl_buffer_name(json_object *answer, json_object *buffer);
// "1MiB", from what it has as "size". To be freed.
char *muxctl_buffer_size(json_object *buffer);
// Why it ended, with what that word means. To be freed.
char *muxctl_buffer_reason(const char *reason);
// Who owns it: "guest paint(1000)". To be freed.
char *muxctl_buffer_owner(json_object *buffer);
// Whose programs may write: "both", "host", "guest", or "owner": those of another VM.
const char *muxctl_buffer_writers(json_object *buffer);
// The value of a property; "" when there is none. Lent by the buffer.
const char *muxctl_buffer_property(json_object *buffer, const char *name);
