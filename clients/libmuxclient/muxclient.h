// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// libmuxclient: opens channels of guestmux and hostmux, offers services, shares memory, and tells
// what there is.
//
//     int fd;
//     if (mux_client_connect(NULL, "clipboard", -1, NULL, &fd) == 0)
//         write(fd, "hello", 5);     // the descriptor is the service; close() ends the channel
//
// What holds for all functions:
//
// - `socket` is the path of the daemon's socket. NULL: $GUESTMUX_SOCKET if that is set (and the
//   program is not setuid), else the first of /run/guestmux.sock and /run/hostmux.sock that
//   answers.
// - `timeout_ms` is for the whole call, in milliseconds, as in poll(): -1 is no limit, 0 does not
//   wait. A limit that is over gives MUX_CLIENT_TIMEOUT. Signals do not interrupt a call.
// - The result is 0; or a negative errno, and then the call did not come to an answer; or a
//   MuxClientResult, which is positive. Outputs are called ret_x. They come last and are written on
//   0 alone, but for ret_refusal: that one is written on every positive result. It may be NULL.
// - No daemon there: -ENOENT or -ECONNREFUSED; a socket that one may not use: -EACCES; a path that
//   is too long: -ENAMETOOLONG. -EPROTO: what the daemon said makes no sense. -ENOMEM, -EMFILE: as
//   ever.
// - The library has no global state, no threads and no signal handlers. Functions may be called
//   from any thread; one object (a listener, an event stream, a buffer, …) by one thread at a time.
// - All descriptors are close-on-exec. No call raises SIGPIPE.
// - What a string says of the other side (a description, a property, a caller) is what the other
//   side says. Strings end in NUL. They are UTF-8 if the other side wrote UTF-8.
//
// The library is LGPL; pkg-config calls it "muxclient".
#ifndef MUXCLIENT_H
#define MUXCLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MUX_CLIENT_API __attribute__((visibility("default")))

// Semantic version of this header. Within a major number, what is here stays: functions and fields
// at the end of structs that the library allocates are added, and nothing else changes. (While the
// major number is 0, that holds within a minor number.)
#define MUX_CLIENT_VERSION_MAJOR 0
#define MUX_CLIENT_VERSION_MINOR 1
#define MUX_CLIENT_VERSION_PATCH 0

// The version of the library that runs, "0.1.0".
MUX_CLIENT_API const char *mux_client_version(void);

// What may come of a call but 0 and errors. 1 to 7 are the numbers of the protocol.
typedef enum MuxClientResult {
    MUX_CLIENT_NO_SERVICE = 1, // nobody offers that name
    MUX_CLIENT_DENIED = 2,     // the policy does not allow it
    MUX_CLIENT_REFUSED = 3,    // the handler would not take it
    MUX_CLIENT_LIMIT = 4,      // too many channels, connections or registrations
    MUX_CLIENT_TIMEOUT = 5,    // no answer in time: in the caller's, or in the daemon's
    MUX_CLIENT_LINK_DOWN = 6,  // there is no session with the other side
    MUX_CLIENT_BAD_NAME = 7,   // not a name; also one with a newline, which is not even sent

    // What the control connection answers, in listening, discovery and events.
    MUX_CLIENT_BAD_REQUEST = 16, // a value that the daemon does not take; the text names it
    MUX_CLIENT_NO_VERB = 17,     // this daemon is too old for that
    MUX_CLIENT_NOT_HERE = 18,    // the other daemon can do that
    MUX_CLIENT_BUSY = 19,        // too much is being asked; try again in a second
    MUX_CLIENT_TAKEN = 20,       // the name is registered already; the text says by whom

    // What may become of a buffer.
    MUX_CLIENT_BAD_SIZE = 21,   // 0, or more than there may be
    MUX_CLIENT_EXISTS = 22,     // there is one of that name
    MUX_CLIENT_NO_BUFFER = 23,  // there is none, or it is not for this user to know
    MUX_CLIENT_NO_MEMORY = 24,  // memory cannot be shared with that VM; the text says why
    MUX_CLIENT_UNMAPPABLE = 25, // the guest's kernel does not let it be mapped
    MUX_CLIENT_FAILED = 26,     // something broke; the text says what

    MUX_CLIENT_OTHER = 31, // a code of a later version; the refusal has its word

    // What is no refusal.
    MUX_CLIENT_AGAIN = 64,        // nothing there; poll the descriptor for POLLIN
    MUX_CLIENT_CLOSED = 65,       // the daemon closed the connection
    MUX_CLIENT_UNREGISTERED = 66, // the daemon took the registration away
    MUX_CLIENT_GONE = 67,         // the buffer has ended
} MuxClientResult;

// What the daemon said, for programs and for people.
typedef struct MuxClientRefusal {
    char code[32];  // "no-service", …
    char text[480]; // one line, without its end; cut if it is longer
} MuxClientRefusal;

// The word for a result, "no-service"; for a negative errno, what strerror() says. Static storage
// or, for an errno, the C library's.
MUX_CLIENT_API const char *mux_client_result_name(int result);

// ---- Opening a channel ----

// Opens a channel to `name`: service[:argument] in a guest, VM/service[:argument] on a host. The
// descriptor is a connected, blocking AF_UNIX stream socket and the caller's; it works with read(),
// write(), poll() and shutdown(), whose half-close reaches the other side. The names that begin
// with @ are the daemon's own; "@control" gives a control connection. Results: 1 to 7, OTHER;
// CLOSED when the daemon closed without an answer.
MUX_CLIENT_API int mux_client_connect(const char *socket, const char *name, int timeout_ms,
                                      MuxClientRefusal *ret_refusal, int *ret_fd);

// ---- Offering a service ----

// A name = value that an application attaches to a service: its version, interface, vendor, …
typedef struct MuxClientProperty {
    const char *name;
    const char *value;
} MuxClientProperty;

// Who opened a channel: on the guest's side that is the guest's claim.
typedef struct MuxClientCaller {
    bool known;       // whether the other side said who it is
    uint32_t uid;     // MUX_CLIENT_NO_ID when that is not known
    uint32_t gid;     // likewise
    char program[64]; // the program's name, at most 15 bytes on Linux; "" when not known
} MuxClientCaller;

#define MUX_CLIENT_NO_ID UINT32_MAX

// How a service is offered. Set everything else to zero: `MuxClientListenOptions o = {.vms = …}`.
typedef struct MuxClientListenOptions {
    const char *description;             // or NULL
    const MuxClientProperty *properties; // or NULL
    size_t n_properties;                 // at most 32, 4 KiB in all
    const char *const *vms; // on a host: globs of the VMs that may open it, up to NULL; NULL: all
    uint32_t max_channels;  // open at once, of each VM; 0: the daemon's default
    uint32_t max_opens_per_second; // 0: no limit
    void *reserved[8];             // zero
} MuxClientListenOptions;

// A registration; it lives until mux_client_listener_free(), or the daemon's end.
typedef struct MuxClientListener MuxClientListener;

// A channel that was accepted.
typedef struct MuxClientChannel {
    const char *service;
    const char *argument; // what the opener wrote behind the first colon; "" when nothing
    const char *link;     // the VM's name; "host" in the guest
    uint32_t id;          // of the channel, in that link's session
    MuxClientCaller caller;
} MuxClientChannel;

// Registers `service` (a name without an argument) with the daemon, so that programs on the other
// side can open it. `options` may be NULL, and is not needed after the call. The listener is the
// caller's.
// Results: DENIED, LIMIT, TIMEOUT, BAD_REQUEST (also a bad name), NO_VERB, BUSY, TAKEN, OTHER,
// CLOSED.
MUX_CLIENT_API int mux_client_listen(const char *socket, const char *service,
                                     const MuxClientListenOptions *options, int timeout_ms,
                                     MuxClientRefusal *ret_refusal,
                                     MuxClientListener **ret_listener);

// A descriptor that is readable while mux_client_accept() has something to say, or to read. It
// belongs to the listener: poll it and do nothing else with it.
MUX_CLIENT_API int mux_client_listener_fd(const MuxClientListener *listener);

// Takes the next channel. `timeout_ms` 0 does not wait. The descriptor is a connected, blocking
// AF_UNIX stream socket and the caller's; who called is lent until the next call with this
// listener. `ret_channel` may be NULL.
//
// Each channel has been accepted already; to refuse it, close it. So accept them promptly: a few
// hundred wait in the connection, 64 more outside, which are refused after 10 s (timeout), and who
// comes then is refused at once (limit).
//
// Results: AGAIN with a `timeout_ms` of 0, else TIMEOUT; CLOSED when the daemon ended; UNREGISTERED
// (see mux_client_listener_reason()). After these two, only mux_client_listener_free() makes sense.
// -EMFILE, -ENFILE: this process or the system has no descriptor left; that channel is lost, the
// listener is well. -EPROTO: the daemon said something that makes no sense; it was dropped, with
// all descriptors that came with it, and the listener is well. Other errors end it.
MUX_CLIENT_API int mux_client_accept(MuxClientListener *listener, int timeout_ms,
                                     const MuxClientChannel **ret_channel, int *ret_fd);

// Why the daemon took the registration away; "" while it did not. Lent by the listener.
MUX_CLIENT_API const char *mux_client_listener_reason(const MuxClientListener *listener);

// Ends the registration. Channels that were accepted stay; those that were not are closed. NULL is
// fine.
MUX_CLIENT_API void mux_client_listener_free(MuxClientListener *listener);

// ---- Discovery ----

// Something that can be opened from here.
typedef struct MuxClientService {
    const char *name;        // what one writes to open it: "uptime", on a host "web1/uptime"
    const char *link;        // "host" in the guest, on a host the VM's name
    const char *service;     // "uptime"
    const char *description; // may be ""
    const MuxClientProperty *properties; // sorted as the other side sent them
    size_t n_properties;
} MuxClientService;

typedef struct MuxClientServices {
    const MuxClientService *const *list; // `count` pointers, and NULL
    size_t count;
} MuxClientServices;

// What the caller may open from here, now. The list is the caller's. It is complete, but for
// services whose names make no sense.
// Results: LIMIT, TIMEOUT, BUSY, OTHER, CLOSED.
MUX_CLIENT_API int mux_client_services(const char *socket, int timeout_ms,
                                       MuxClientRefusal *ret_refusal,
                                       MuxClientServices **ret_services);

// Frees the list and all that is in it. NULL is fine.
MUX_CLIENT_API void mux_client_services_free(MuxClientServices *services);

// The value of a property; NULL if there is none. Lent by the service.
MUX_CLIENT_API const char *mux_client_service_property(const MuxClientService *service,
                                                       const char *name);

// Waits until `name` can be opened (an argument behind it does not matter), or returns at once if
// it can. It needs the daemon to run: if that ends meanwhile, the result is CLOSED. That the
// channel will be opened is not promised. Results: TIMEOUT, LIMIT, NO_VERB, BUSY, BAD_NAME, OTHER,
// CLOSED.
MUX_CLIENT_API int mux_client_wait(const char *socket, const char *name, int timeout_ms,
                                   MuxClientRefusal *ret_refusal);

// ---- Events ----

typedef enum MuxClientEventKind {
    MUX_CLIENT_EVENT_OTHER = 0, // of a later version: the line has it
    // What can be opened from here: name, link, service, description, properties.
    MUX_CLIENT_EVENT_SERVICE_ADDED,
    MUX_CLIENT_EVENT_SERVICE_CHANGED,
    MUX_CLIENT_EVENT_SERVICE_REMOVED,
    // What this side offers: service, description, properties.
    MUX_CLIENT_EVENT_OFFER_ADDED,
    MUX_CLIENT_EVENT_OFFER_CHANGED,
    MUX_CLIENT_EVENT_OFFER_REMOVED,
    // On a host, a VM: link.
    MUX_CLIENT_EVENT_LINK_ADDED,
    MUX_CLIENT_EVENT_LINK_REMOVED,
    MUX_CLIENT_EVENT_LINK_UP,   // link, session, peer_daemon, peer_version
    MUX_CLIENT_EVENT_LINK_DOWN, // link, reason, channels
    // link, service, direction; and:
    MUX_CLIENT_EVENT_CHANNEL_OPENED,  // id, caller
    MUX_CLIENT_EVENT_CHANNEL_CLOSED,  // id, code, sent, received
    MUX_CLIENT_EVENT_CHANNEL_REFUSED, // code, caller
    MUX_CLIENT_EVENT_LOST,            // count: so many events were not kept for this client
    // A buffer that the caller may open: buffer; removed: reason.
    MUX_CLIENT_EVENT_BUFFER_ADDED,
    MUX_CLIENT_EVENT_BUFFER_CHANGED,
    MUX_CLIENT_EVENT_BUFFER_REMOVED,
} MuxClientEventKind;

// Which events one wants.
#define MUX_CLIENT_EVENTS_SERVICES 1u // service-… and offer-…
#define MUX_CLIENT_EVENTS_LINKS    2u
#define MUX_CLIENT_EVENTS_CHANNELS 4u
#define MUX_CLIENT_EVENTS_BUFFERS  8u // buffer-…
#define MUX_CLIENT_EVENTS_ALL      0u

// What is known of a buffer: a named piece of memory that programs on both sides have mapped.
typedef struct MuxClientBufferInfo {
    const char *name;          // what one writes to open it: "clip", on a host "web1/clip"
    const char *link;          // "host" in the guest, on a host the VM's name
    const char *buffer;        // "clip"
    const char *id;            // 16 hexadecimal digits, never used again; NULL: it has none yet
    uint64_t size;             // bytes
    const char *state;         // "making", "ready", "going", "held" by a program of a guest
    const char *owner_side;    // "guest", "host", or the name of the VM that shares it; or NULL
    MuxClientCaller owner;     // the program that made it
    const char *read_only_for; // "guest", "host", or NULL: programs of both sides may write;
                               // "both": another VM's alone do
    const char *node;          // on a host: a file that is this memory; or NULL
    const MuxClientProperty *properties;
    size_t n_properties;
    uint64_t handles; // programs of this side that have it open
    uint64_t notices; // that there were
} MuxClientBufferInfo;

// What is not in an event is NULL, 0, or a caller that is not known.
typedef struct MuxClientEvent {
    MuxClientEventKind kind;
    const char *word; // "service-added", …
    const char *line; // the event as the daemon wrote it: one JSON object, without the line's end
    size_t line_length;
    const char *name;
    const char *link;
    const char *service; // of a channel: service[:argument], as far as the user may see it
    const char *description;
    const MuxClientProperty *properties;
    size_t n_properties;
    const char *session; // 16 hexadecimal digits
    const char *peer_daemon;
    const char *peer_version;
    const char *reason; // for people
    const char *code;   // "done", or why not
    bool incoming;      // the other side opened the channel
    uint32_t id;
    uint64_t sent; // bytes
    uint64_t received;
    uint64_t channels;
    uint64_t count;
    MuxClientCaller caller;
    const MuxClientBufferInfo *buffer;
} MuxClientEvent;

typedef struct MuxClientEvents MuxClientEvents;

// Subscribes to what happens from now on. `which` is a sum of MUX_CLIENT_EVENTS_….
// Results: LIMIT, TIMEOUT, BAD_REQUEST, NO_VERB, BUSY, OTHER, CLOSED.
MUX_CLIENT_API int mux_client_events(const char *socket, unsigned which, int timeout_ms,
                                     MuxClientRefusal *ret_refusal, MuxClientEvents **ret_events);

// A descriptor that is readable while mux_client_next_event() has something to say, or to read. It
// belongs to the stream: poll it and do nothing else with it.
MUX_CLIENT_API int mux_client_events_fd(const MuxClientEvents *events);

// The next event; it is lent until the next call with this stream. `timeout_ms` 0 does not wait.
// Results: AGAIN with a `timeout_ms` of 0, else TIMEOUT; CLOSED when the daemon ended. -EPROTO: a
// line that makes no sense was dropped, the stream is well. Other errors end it.
MUX_CLIENT_API int mux_client_next_event(MuxClientEvents *events, int timeout_ms,
                                         const MuxClientEvent **ret_event);

// Ends the subscription. NULL is fine.
MUX_CLIENT_API void mux_client_events_free(MuxClientEvents *events);

// ---- Buffers ----

// A buffer that this program has open: its memory, mapped, and a connection by which one learns of
// what happens to it. Whoever created a buffer owns it: with his MuxClientBuffer it ends for
// everybody.
//
// What is in the memory may change at any moment, by a program of the other side that means no
// good: copy a value before you check it. Nothing says when a reader has seen what was written but
// what the programs tell each other, in a channel, in properties or by notices.
typedef struct MuxClientBuffer MuxClientBuffer;

typedef enum MuxClientSide {
    MUX_CLIENT_NOBODY = 0,
    MUX_CLIENT_GUEST = 1,
    MUX_CLIENT_HOST = 2,
} MuxClientSide;

// How a buffer is made. Set everything else to zero.
typedef struct MuxClientBufferOptions {
    const MuxClientProperty *properties; // at most 32, 4 KiB in all; or NULL
    size_t n_properties;
    MuxClientSide read_only_for; // programs of that side cannot write
    const char *from;            // on a host: the POSIX shared memory object ("/frames") that it is
                                 // to be; or NULL
    void *reserved[8];           // zero
} MuxClientBufferOptions;

// Creates a buffer: `name` in a guest, VM/name on a host, of 1 to 128 of A-Za-z0-9._-. The size is
// rounded up to a power of two, at least 1 MiB; 0 only with `from`. `options` may be NULL and is
// not needed after the call. The buffer is all zero, and the caller's.
// Results: DENIED, LIMIT, TIMEOUT, LINK_DOWN, BAD_NAME, BAD_REQUEST, BUSY, BAD_SIZE to FAILED,
// OTHER, CLOSED.
MUX_CLIENT_API int mux_client_buffer_create(const char *socket, const char *name, uint64_t size,
                                            const MuxClientBufferOptions *options, int timeout_ms,
                                            MuxClientRefusal *ret_refusal,
                                            MuxClientBuffer **ret_buffer);

typedef enum MuxClientBufferMode {
    MUX_CLIENT_BUFFER_AS_ALLOWED = 0,
    MUX_CLIENT_BUFFER_READ = 1,
    MUX_CLIENT_BUFFER_WRITE = 2, // and read; DENIED where that is not allowed
} MuxClientBufferMode;

// Opens one that there is. The result is the caller's. Results as above.
MUX_CLIENT_API int mux_client_buffer_open(const char *socket, const char *name,
                                          MuxClientBufferMode mode, int timeout_ms,
                                          MuxClientRefusal *ret_refusal,
                                          MuxClientBuffer **ret_buffer);

// Where it is mapped, up to mux_client_buffer_free(); page-aligned. Writing to one that is not
// writable is SIGSEGV.
MUX_CLIENT_API void *mux_client_buffer_memory(const MuxClientBuffer *buffer);
MUX_CLIENT_API size_t mux_client_buffer_size(const MuxClientBuffer *buffer); // bytes
MUX_CLIENT_API bool mux_client_buffer_writable(const MuxClientBuffer *buffer);

// Whether somebody can take memory away under its readers, who are killed by SIGBUS then. So it is
// with shared memory objects of other programs (`from`): copy from it with pread(), or handle
// SIGBUS, unless you trust them. Never so with buffers that hostmux made.
MUX_CLIENT_API bool mux_client_buffer_can_shrink(const MuxClientBuffer *buffer);

// What the daemon said of it when it was opened; its properties are those that
// mux_client_buffer_next() took last. Lent by the buffer.
MUX_CLIENT_API const MuxClientBufferInfo *mux_client_buffer_info(const MuxClientBuffer *buffer);

// The value of a property; NULL if there is none. Lent by the info.
MUX_CLIENT_API const char *mux_client_buffer_property(const MuxClientBufferInfo *info,
                                                      const char *name);

// A descriptor that is readable while mux_client_buffer_next() has something to say, or to read.
// It belongs to the buffer: poll it and do nothing else with it.
MUX_CLIENT_API int mux_client_buffer_fd(const MuxClientBuffer *buffer);

// Tells all others who have it open, on both sides, that these bytes were changed; a range that
// ends with the buffer, and may have no length. Only who may write can. Whoever does not look gets
// one notice for several.
// Results: AGAIN with a `timeout_ms` of 0, else TIMEOUT, if the daemon does not read; CLOSED.
// -EINVAL: the range is not in the buffer; -EACCES: it is not writable.
MUX_CLIENT_API int mux_client_buffer_notify(MuxClientBuffer *buffer, uint64_t offset,
                                            uint64_t length, int timeout_ms);

// Sets properties; a value that is NULL removes it. Everybody who has it open is told, this program
// too. Names have 1 to 64 of A-Za-z0-9._-. A daemon that does not take them ends the connection.
// Results as above; -EMSGSIZE: they are too long.
MUX_CLIENT_API int mux_client_buffer_set(MuxClientBuffer *buffer,
                                         const MuxClientProperty *properties, size_t n_properties,
                                         int timeout_ms);

typedef enum MuxClientBufferNewsKind {
    MUX_CLIENT_BUFFER_NOTICE = 1,     // another program has changed bytes: sequence, offset, length
    MUX_CLIENT_BUFFER_PROPERTIES = 2, // properties were changed: those of the info
} MuxClientBufferNewsKind;

typedef struct MuxClientBufferNews {
    MuxClientBufferNewsKind kind;
    uint64_t sequence; // counts the buffer's notices; what is left out was put into this one
    uint64_t offset;   // bytes; within the buffer
    uint64_t length;   // of all notices that it stands for
} MuxClientBufferNews;

// The next news of it, lent until the next call with this buffer. `timeout_ms` 0 does not wait.
// Results: AGAIN with a `timeout_ms` of 0, else TIMEOUT. GONE: the buffer has ended, as
// mux_client_buffer_reason() says; call mux_client_buffer_free() soon, since for some seconds the
// guest waits for that to unplug the memory, and what is read from now on may be zero. CLOSED: the
// daemon ended without a word; the same holds. -EPROTO: the daemon said something that makes no
// sense; it was dropped. Other errors end it.
MUX_CLIENT_API int mux_client_buffer_next(MuxClientBuffer *buffer, int timeout_ms,
                                          const MuxClientBufferNews **ret_news);

// Why it has ended ("owner", "released", …); "" while it has not. Lent by the buffer.
MUX_CLIENT_API const char *mux_client_buffer_reason(const MuxClientBuffer *buffer);

// Unmaps and closes it. If this program created it, it ends for everybody. A child process that was
// forked meanwhile has it still. NULL is fine.
MUX_CLIENT_API void mux_client_buffer_free(MuxClientBuffer *buffer);

// Ends somebody's buffer, for everybody: on its owner's side his user and root may.
// Results: DENIED, NO_BUFFER, TIMEOUT, LIMIT, BUSY, BAD_NAME, BAD_REQUEST, NO_VERB, OTHER, CLOSED.
MUX_CLIENT_API int mux_client_buffer_release(const char *socket, const char *name, int timeout_ms,
                                             MuxClientRefusal *ret_refusal);

typedef struct MuxClientBuffers {
    const MuxClientBufferInfo *const *list; // `count` pointers, and NULL
    size_t count;
} MuxClientBuffers;

// The buffers that the caller may open, now. The list is the caller's.
// Results: LIMIT, TIMEOUT, NO_VERB, BUSY, OTHER, CLOSED.
MUX_CLIENT_API int mux_client_buffers(const char *socket, int timeout_ms,
                                      MuxClientRefusal *ret_refusal,
                                      MuxClientBuffers **ret_buffers);

// Frees the list and all that is in it. NULL is fine.
MUX_CLIENT_API void mux_client_buffers_free(MuxClientBuffers *buffers);

// Subscribes to buffers whose property "application" is this; to all if it is NULL. Those that
// there are already are told as added. Results as of mux_client_events(), whose streams this is
// one of.
MUX_CLIENT_API int mux_client_buffer_events(const char *socket, const char *application,
                                            int timeout_ms, MuxClientRefusal *ret_refusal,
                                            MuxClientEvents **ret_events);

// ---- Bulk: a channel with a buffer attached ----

// One end of a stream of pieces, which lie in a buffer and are copied nowhere. The sender reserves
// room, fills it in place and commits it; the receiver takes the pieces in the order in which they
// were committed, reads them in place, and releases them, in any order. On the channel go small
// messages alone. It works in both directions:
//
//     mux_client_connect(NULL, "frames", -1, NULL, &channel);
//     mux_client_buffer_create(NULL, "frames", 64 << 20, NULL, -1, NULL, &buffer);
//     mux_client_bulk_sender(channel, buffer, 0, 0, &bulk);
//     while (more() && mux_client_bulk_reserve(bulk, room, -1, &memory) == 0) {
//         length = render(memory, room);
//         mux_client_bulk_commit(bulk, memory, length, 0);
//     }
//     mux_client_bulk_end(bulk, -1);
//
//     mux_client_accept(listener, -1, &who, &channel);
//     mux_client_bulk_receiver(channel, NULL, who->link, &bulk);
//     while (mux_client_bulk_take(bulk, -1, &piece, &length) == 0) {
//         show(piece, length);
//         mux_client_bulk_release(bulk, piece, 0);
//     }
//
// To wait in poll(): on the channel, for mux_client_bulk_events(). The channel stays the caller's,
// who neither reads nor writes it, and closes it after mux_client_bulk_free(). That either process
// may be killed at any point is no more to the other than CLOSED or GONE.
typedef struct MuxClientBulk MuxClientBulk;

#define MUX_CLIENT_BULK_PIECES 1024 // that are reserved, or not released yet, at most
#define MUX_CLIENT_BULK_ALIGN  64   // bytes; that pieces begin at

// With commit and release: more will follow soon, so that several messages go at once. The next
// call without this, and every call that would have to wait, sends them.
#define MUX_CLIENT_BULK_MORE 1u

// The sender's end. The buffer is writable, lent, and stays as long; of it are used `size` bytes
// from `offset` on, so that several streams can share it. 0 bytes: all that follow. The offset is a
// multiple of MUX_CLIENT_BULK_ALIGN. The bulk is the caller's. No message is sent yet. -EINVAL,
// -EACCES, -ENOMEM.
MUX_CLIENT_API int mux_client_bulk_sender(int channel, MuxClientBuffer *buffer, uint64_t offset,
                                          uint64_t size, MuxClientBulk **ret_bulk);

// The receiver's end. What the sender attached is opened, read only, with the first piece; `socket`
// is this side's daemon. `link` is where the channel comes from: on a host the VM's name, in a
// guest "host" or NULL. Strings are not needed after the call. The bulk is the caller's.
MUX_CLIENT_API int mux_client_bulk_receiver(int channel, const char *socket, const char *link,
                                            MuxClientBulk **ret_bulk);

// Sender: room for a piece. Several may be reserved at once.
// Results: AGAIN with a `timeout_ms` of 0, else TIMEOUT, while the receiver has not released
// enough; CLOSED: the receiver is gone. -EMSGSIZE: more than all of the room; -EPROTO: the receiver
// releases what it does not have. After CLOSED and -EPROTO only mux_client_bulk_free() makes sense.
MUX_CLIENT_API int mux_client_bulk_reserve(MuxClientBulk *bulk, size_t size, int timeout_ms,
                                           void **ret_memory);

// Sender: hands over the first `length` bytes of what was reserved there. 0: gives it back. It does
// not wait; what the channel does not take now goes with the next call, and
// mux_client_bulk_flush() says when it has.
// Results: AGAIN: too much has not gone yet, and this has not been handed over; CLOSED. -EINVAL:
// nothing was reserved there, or less.
MUX_CLIENT_API int mux_client_bulk_commit(MuxClientBulk *bulk, void *memory, size_t length,
                                          unsigned flags);

// Both: sends what has not gone yet. Results: AGAIN or TIMEOUT; CLOSED.
MUX_CLIENT_API int mux_client_bulk_flush(MuxClientBulk *bulk, int timeout_ms);

// Sender: no more follows, and waits until the receiver has released everything and knows of the
// end. An owner calls this before it lets the buffer go. Results: AGAIN or TIMEOUT, and it may be
// called again; CLOSED: the receiver went before. -EPROTO as above.
MUX_CLIENT_API int mux_client_bulk_end(MuxClientBulk *bulk, int timeout_ms);

// Receiver: the next piece, up to its release. All of it is in the buffer, beside every other one
// that was not released; what is in it is the sender's, who could still change it. The first call
// asks the daemon, and waits for its answer some seconds at most whatever the time limit is.
// Results: AGAIN with a `timeout_ms` of 0, else TIMEOUT; CLOSED: the sender has ended, or was
// killed, and all that it committed was taken; GONE: the buffer has ended, and what was not
// released yet may be lost; those of mux_client_buffer_open(). -EPROTO: what the sender says makes
// no sense. mux_client_bulk_reason() has more. After all but AGAIN and TIMEOUT only
// mux_client_bulk_free() makes sense.
MUX_CLIENT_API int mux_client_bulk_take(MuxClientBulk *bulk, int timeout_ms,
                                        const void **ret_memory, size_t *ret_length);

// Receiver: gives a piece back. It does not wait; after CLOSED, mux_client_bulk_flush() sees to it
// that the sender hears of it. GONE: the buffer ended meanwhile, so what was read of it may have
// been zero. -EINVAL: no such piece was taken.
MUX_CLIENT_API int mux_client_bulk_release(MuxClientBulk *bulk, const void *memory, unsigned flags);

// What to poll the channel for, after AGAIN: POLLIN, POLLOUT, or both. A receiver who wants to
// know at once of the buffer's end polls that as well.
MUX_CLIENT_API short mux_client_bulk_events(const MuxClientBulk *bulk);

// The buffer: the sender's, or the one that the receiver has opened (NULL before), which is lent.
MUX_CLIENT_API MuxClientBuffer *mux_client_bulk_buffer(const MuxClientBulk *bulk);

// What went wrong, for people; "" while nothing did. Lent by the bulk.
MUX_CLIENT_API const char *mux_client_bulk_reason(const MuxClientBulk *bulk);

// Ends it without waiting; a receiver's buffer is closed, and all pointers into it are invalid.
// NULL is fine.
MUX_CLIENT_API void mux_client_bulk_free(MuxClientBulk *bulk);

#ifdef __cplusplus
}
#endif

#endif
