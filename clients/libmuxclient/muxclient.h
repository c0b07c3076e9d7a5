// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// libmuxclient: opens channels of guestmux and hostmux, offers services, and tells what there is.
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
//   from any thread; one object (a listener, an event stream) by one thread at a time.
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
    MUX_CLIENT_OTHER = 31,       // a code of a later version; the refusal has its word

    // What is no refusal.
    MUX_CLIENT_AGAIN = 64,        // nothing there; poll the descriptor for POLLIN
    MUX_CLIENT_CLOSED = 65,       // the daemon closed the connection
    MUX_CLIENT_UNREGISTERED = 66, // the daemon took the registration away
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
} MuxClientEventKind;

// Which events one wants.
#define MUX_CLIENT_EVENTS_SERVICES 1u // service-… and offer-…
#define MUX_CLIENT_EVENTS_LINKS    2u
#define MUX_CLIENT_EVENTS_CHANNELS 4u
#define MUX_CLIENT_EVENTS_ALL      0u

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

#ifdef __cplusplus
}
#endif

#endif
