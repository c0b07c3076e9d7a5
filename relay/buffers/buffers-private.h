// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Shared by buffers.c (the table), buffer.c (one of them) and the files that are called buffer-….
#pragma once

#include "buffers.h"

// Notices of buffers that are not READY yet, or not known: news may be faster than the line that
// says what they are about.
#define MUX_EARLY_NOTICES 8

struct MuxBuffers {
    MuxLink *link;
    MuxList list;
    guint count;
    MuxNotice early[MUX_EARLY_NOTICES]; // by id; 0: none. The oldest makes room
    guint next_early;
};

// What the other side said in this turn is told.
void mux_buffer_tell_heard(MuxBuffer *buffer);
// It is READY: what came too early is told.
void mux_buffer_take_early(MuxBuffer *buffer);

// An entry that is in no table yet.
MuxBuffer *mux_buffer_new(MuxLink *link, const char *name, uint64_t size);
// buffer-limits.c: whether one of that name can come into the table. False with the reason, here
// and below.
bool mux_buffers_check_name(const MuxLink *link, const char *name, MuxBufferError *ret_error);
// Rounds up; `ours`: a program here asks for it.
bool mux_buffers_fit_size(const MuxLink *link, bool ours, uint64_t size, uint64_t *ret_size,
                          MuxBufferError *ret_error);
// Whether one of that size, beside those that there are `but` one (or NULL), is not too much.
// `peer`: whose program here asks for it, or NULL.
bool mux_buffers_check_limits(const MuxLink *link, uint64_t size, const MuxPeer *peer,
                              const MuxBuffer *but, MuxBufferError *ret_error);

// Takes it out of its table.
void mux_buffers_remove(MuxBuffer *buffer);

// Whether it is MAKING or READY.
bool mux_buffer_lives(const MuxBuffer *buffer);
// What a program calls itself, as far as it can be shown.
void mux_buffer_set_program(MuxBuffer *buffer, const char *untrusted_program);
// The policy's rule for buffers, and what is said of whom it does not allow.
#define MUX_BUFFER_NOT_LET "the policy's \"@buffers\" does not let this user"
bool mux_buffer_policy_allows(const MuxRelay *relay, const MuxPeer *peer);

// Makes these its properties; nobody is told. False with an error: they cannot be.
bool mux_buffer_put_properties(MuxBuffer *buffer, json_object *untrusted, GError **error);
// What subscribers know as its application; NULL: nothing.
const char *mux_buffer_application(const MuxBuffer *buffer);
