// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Named buffers: memory that programs on both sides have mapped. Each link has a table of them,
// which is the same on both of its ends; here are also the limits, the properties and the notices.
// How the memory is made is the daemon's (memory.h), programs hold it by their handles (handle.h).
//
// The life of one:  MAKING -> READY -> GOING (-> HELD) -> mux_buffer_free()
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "relay/loop.h"
#include "relay/peer.h"
#include "relay/relay.h"

#define MUX_BUFFER_LEAST      ((guint64)1 << 20) // bytes: QEMU's for a device of its kind
#define MUX_BUFFER_PROPERTIES 32
#define MUX_BUFFER_KEY_MAX    64   // of a property's name
#define MUX_BUFFER_TEXT_MAX   4096 // names and values together

typedef enum MuxBufferState {
    MUX_BUFFER_MAKING, // nobody but its creator knows of it
    MUX_BUFFER_READY,
    MUX_BUFFER_GOING, // its handles have been told; its name is free again
    MUX_BUFFER_HELD,  // some program still has it mapped: it cannot be unplugged
} MuxBufferState;

typedef struct MuxBuffer MuxBuffer;
typedef struct MuxBuffers MuxBuffers;

struct MuxBuffer {
    MuxLink *link;
    MuxList node; // in its link's table
    char *name;
    uint64_t id;   // the device's, see mux_buffers_find_id(); 0: not known yet. The daemon sets it
    uint64_t size; // a power of two; only mux_buffer_set_size() changes it
    char *owner;   // "guest", "host", or the name of the VM from which it is shared
    char *from;    // the POSIX shared memory object that it is to be; or NULL
    uid_t uid;     // its creator's; (uid_t)-1: not known
    gid_t gid;
    char program[16];
    MuxBufferState state;
    bool ours; // its creator is a program here, to whose connection it is bound
    bool host_writes, guest_writes;
    bool added;     // subscribers have been told of it
    bool changed;   // …and programs here not yet of its properties
    bool abandoned; // the creator's handle is gone
    bool idled;     // idle() was called
    guint n_handles;
    MuxList handles;         // of MuxHandle, that have it open; the creator's while it is MAKING
    struct MuxHandle *maker; // the creator's, or NULL
    json_object *properties; // of strings
    json_object *changes;    // …that the other side is not told yet; or NULL
    char *application;       // that property, as subscribers know it; or NULL
    uint64_t sequence;       // of the last notice, from either side
    uint64_t notices;        // how many there were
    MuxNotice notice;        // what the other side is to be told next
    uint64_t heard_from, heard_to; // …and programs here, of what it said in this turn
    bool heard;
    MuxJob job;      // what is done about it at the end of the turn
    char *node_path; // a file that stands for it; or NULL. The daemon sets it, it is freed here
    void *memory;    // the daemon's
};

#define MUX_BUFFERS_DEFAULT      16
#define MUX_BUFFERS_MOST         256 // that can be configured; and that a host may make a guest know
#define MUX_BUFFER_BYTES_DEFAULT ((guint64)256 << 20)

// --- the table

MuxBuffers *mux_buffers_new(MuxLink *link);
// The link goes: so does every buffer, "link-down".
void mux_buffers_end(MuxBuffers *buffers);
// NULL is fine; returns NULL.
MuxBuffers *mux_buffers_free(MuxBuffers *buffers);

// The one of that name that is MAKING or READY, or NULL.
MuxBuffer *mux_buffers_find(const MuxLink *link, const char *name);
// The one with that id, in whichever state, or NULL.
MuxBuffer *mux_buffers_find_id(const MuxLink *link, uint64_t id);
// All of them, in whichever state: the next one, or the first after NULL. NULL at the end.
MuxBuffer *mux_buffers_next(const MuxLink *link, const MuxBuffer *buffer);
guint mux_buffers_count(const MuxLink *link);

// What is said of one that is not made by a program here.
typedef struct MuxBufferFacts {
    const char *name;
    uint64_t id;       // 0: not known yet
    uint64_t size;     // rounded up by mux_buffers_add()
    const char *owner; // "guest", "host", or a VM's name
    uid_t uid;         // (uid_t)-1: not known
    gid_t gid;
    const char *program;       // may be NULL
    const char *read_only_for; // "guest", "host", or NULL: nobody
    json_object *properties;   // lent, untrusted; NULL: none
} MuxBufferFacts;

// Why something is not possible, for programs.
typedef struct MuxBufferError {
    const char *code; // of docs: "bad-name", "bad-size", "exists", "limit", …; a constant
    char text[256];
} MuxBufferError;

// Returns false.
bool mux_buffer_error(MuxBufferError *ret_error, const char *code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

// One that the other side made, or asks for, in state MAKING; mux_buffer_ready() when it is usable.
// All that is in the facts is checked. NULL with the reason.
MuxBuffer *mux_buffers_add(MuxLink *link, const MuxBufferFacts *facts, MuxBufferError *ret_error);

// --- one buffer: what the daemon says of it

// For one of which the size was not known when it was asked for (`from`); only while MAKING. It is
// rounded up. False with the reason.
bool mux_buffer_set_size(MuxBuffer *buffer, uint64_t size, MuxBufferError *ret_error);
// MAKING becomes READY: its creator gets its descriptor, others can open it. No effect in any other
// state.
void mux_buffer_ready(MuxBuffer *buffer);
// It cannot be made: who waits for it is told so (`code` of docs), and the buffer is freed, in
// whichever state.
void mux_buffer_fail(MuxBuffer *buffer, const char *code, const char *text);
// The other side says which properties it has now, all of them. False with an error: they are not
// what properties can be, and it stays as it was.
bool mux_buffer_changed(MuxBuffer *buffer, json_object *untrusted_properties, GError **error);
// Somebody changes some of them; null removes. As above; set() is called if `here`.
bool mux_buffer_set(MuxBuffer *buffer, json_object *untrusted_changes, bool here, GError **error);
// It ends, as the other side or the daemon says ("owner", "released", "reset", "link-down"):
// programs are told. release() is not called, idle() is later. No effect when it is ending already.
void mux_buffer_gone(MuxBuffer *buffer, const char *reason);
// It is GOING, but a program has it mapped.
void mux_buffer_held(MuxBuffer *buffer);
// The daemon is done with it. Handles that are left are told, and are without a buffer then.
void mux_buffer_free(MuxBuffer *buffer);

// Ends it from this side: the same as mux_buffer_gone(), and release() is called.
void mux_buffer_release(MuxBuffer *buffer, const char *reason);

// --- programs

// Whether programs of this side can write it.
bool mux_buffer_writable_here(const MuxBuffer *buffer);
// Who may open and see it: on its owner's side his user; elsewhere whom the policy lets; root and
// the daemon's own user always.
bool mux_buffer_may_open(const MuxBuffer *buffer, const MuxPeer *peer);
// Whether it is another VM's, which nobody of this link can write.
bool mux_buffer_is_shared(const MuxBuffer *buffer);
// Who may end it.
bool mux_buffer_may_release(const MuxBuffer *buffer, const MuxPeer *peer);

// The link that a program means, with the name in it behind it: in the guest NAME, on the host
// VM/NAME. NULL with the reason.
MuxLink *mux_buffers_link(const MuxRelay *relay, const char **name, MuxBufferError *ret_error);

// What a program asks for; the strings are lent.
typedef struct MuxBufferWish {
    const char *name;                 // without the VM
    uint64_t size;                    // 0 only with `from`
    const char *read_only_for, *from; // or NULL
    json_object *properties;          // or NULL
} MuxBufferWish;

// Makes the entry, for `peer`. The caller puts its handle there and calls create(). NULL with the
// reason.
MuxBuffer *mux_buffers_wish(MuxLink *link, const MuxBufferWish *wish, const MuxPeer *peer,
                            MuxBufferError *ret_error);

// --- notices

// A program here has said, so many times, that it wrote in that range, which is inside: all others
// are told. `from` is its handle, which is not.
void mux_buffer_notify(MuxBuffer *buffer, const struct MuxHandle *from, guint count,
                       uint64_t offset, uint64_t length);
// The other side's notice came (MUX_EVENT_NOTICE).
void mux_buffers_notice(MuxLink *link, const MuxEvent *event);
