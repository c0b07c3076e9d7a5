// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the parts of the host's memory know of each other:
//
//     memory.c   a VM: its QMP, its channel, what comes on it
//     look.c     what its QEMU has
//     says.c     what is to be said on the channel
//     device.c   one device: from "may it be plugged" to its proof, and to its end; device-line.c
//     share.c    a named buffer and its device; share-make.c, share-line.c
//     spread.c   the same buffer in other VMs
//     offload.c  the two regions and theirs
//     absent.c   whether there still is a guestmux
#pragma once

#include "keep.h"
#include "memory.h"
#include "nodes.h"
#include "plug.h"
#include "relay/hex.h"
#include "relay/lines.h"
#include "relay/link.h"
#include "relay/regions.h"

typedef struct MuxVm MuxVm;
typedef struct MuxDevice MuxDevice;
typedef struct MuxSay MuxSay;

struct MuxMemory {
    MuxRelay *relay;
    MuxNodes *nodes;
    MuxKeep *keep;
    GPtrArray *shares; // of MuxSharing
};

// --- what is to be said: one line each, made when there is room for it, so that what waits is
// bounded by what there is. Embedded in what it is about.

struct MuxSay {
    MuxList node;
    json_object *(*make)(MuxSay *say); // NULL: nothing after all. It may free itself
};

void mux_say_init(MuxSay *say, json_object *(*make)(MuxSay *say));
// Says it, behind all that waits, unless it waits already or nobody listens.
void mux_say(MuxVm *vm, MuxSay *say);
// An answer to a request. False: too many wait, the guest does not read.
bool mux_say_error(MuxVm *vm, int64_t request, const char *code, const char *text);
json_object *mux_say_next(MuxVm *vm);
void mux_say_nothing(MuxVm *vm);

// --- devices

typedef enum MuxDeviceState {
    MUX_DEVICE_WAITING, // for its turn to be plugged
    MUX_DEVICE_ASKING,  // the guest, whether somebody maps what was unplugged
    MUX_DEVICE_PLUGGING,
    MUX_DEVICE_PROVING, // the guest looks for it
    MUX_DEVICE_READY,
    MUX_DEVICE_LEAVING, // the guest is to let it go
    MUX_DEVICE_HELD,    // a program in the guest does not
    MUX_DEVICE_UNPLUGGING,
} MuxDeviceState;

typedef struct MuxDeviceEvents {
    void (*proved)(MuxDevice *device);
    // It cannot be had, or not any more; it goes by itself, and its owner is asked nothing more.
    void (*failed)(MuxDevice *device, const char *code, const char *why);
    // A program in the guest has it, after mux_device_end().
    void (*held)(MuxDevice *device);
    // After mux_device_end(): it is gone, and freed after this.
    void (*ended)(MuxDevice *device);
} MuxDeviceEvents;

typedef struct MuxDeviceFacts {
    int fd; // becomes the device's
    uint64_t size;
    bool guest_writes;
    bool fixed; // QEMU was started with it
    bool zero;  // when it goes: nobody else's
    bool keeps; // what is in it is not ours to change
    bool buffer;
} MuxDeviceFacts;

struct MuxDevice {
    MuxVm *vm;
    MuxList node; // of the VM's
    uint64_t id;
    MuxDeviceFacts facts;
    MuxDeviceState state;
    MuxPlug *plug; // NULL when fixed
    MuxSay say;
    const MuxDeviceEvents *events; // NULL: nobody's any more
    void *user;
    const char *reason; // why it goes, as programs are told; NULL: not known
    guint8 mark[16], proof[16], was[64];
    char address[MUX_PLACE_ADDRESS_SIZE]; // "": not known
    bool asked;                           // QEMU, to unplug it
    bool stuck;                           // the guest does not let it go
    guint timer;
};

// device.c and device-line.c for each other.
json_object *mux_device_line(MuxSay *say);
void mux_device_enter(MuxDevice *device, MuxDeviceState state);
// The guest lets it be plugged.
void mux_device_plug(MuxDevice *device);
// What it was proved with is taken out.
void mux_device_unmark(const MuxDevice *device);
// Its owner has nothing more to do with it…
void mux_device_fail(MuxDevice *device, const char *code, const char *why);
// …and it is to go. It may be freed in here, as in the next one.
void mux_device_leave(MuxDevice *device);
// Nobody in the guest has it.
void mux_device_unplug(MuxDevice *device);
void mux_device_zero(const MuxDevice *device);

// Makes one, and has it plugged and proved. NULL without a QMP and not fixed.
MuxDevice *mux_device_new(MuxVm *vm, const MuxDeviceFacts *facts, const MuxDeviceEvents *events,
                          void *user);
// QEMU has it, with that id, from an earlier life; it is READY. `events` NULL: it goes.
MuxDevice *mux_device_adopt(MuxVm *vm, uint64_t id, const MuxDeviceFacts *facts,
                            const MuxDeviceEvents *events, void *user);
// Has it proved once more. Only while READY.
void mux_device_prove(MuxDevice *device);
// It is not wanted any more, for that reason (a constant of memory.h's): ended() follows, perhaps
// at once.
void mux_device_end(MuxDevice *device, const char *reason);
MuxDevice *mux_device_find(MuxVm *vm, uint64_t id);

// The next one that waits is plugged, if it can be now.
void mux_devices_pump(MuxVm *vm);
// What the guest says of one; false with an error when it makes no sense.
bool mux_devices_take(MuxVm *vm, const char *what, json_object *untrusted_line, GError **error);
// The channel is open: those that are to leave are named.
void mux_devices_begin(MuxVm *vm);
void mux_devices_down(MuxVm *vm);
// QEMU is gone, or the link; all are freed. `tell`: their owners are told.
void mux_devices_lost(MuxVm *vm, bool tell);
// What the devices of buffers have, in whichever state.
void mux_devices_count(MuxVm *vm, guint *ret_count, uint64_t *ret_bytes);

// --- buffers

// A buffer's part of ours.
typedef struct MuxShare {
    MuxVm *vm;
    MuxBuffer *buffer;
    MuxDevice *device; // NULL: it has ended
    MuxSay say;
    bool idle;       // no program here has it
    bool asked;      // by the guest, which awaits an answer…
    int64_t request; // …to this

    struct MuxShare *source; // whose memory it is; NULL: its own
    GPtrArray *readers;      // of MuxShare, in other VMs; NULL: none
    GPtrArray *candidates;   // names of VMs that are still to get it, before it is ready
    guint spreading;         // GLib source: the time that they have
} MuxShare;

// share-make.c, share.c and share-line.c for each other.
extern const MuxDeviceEvents mux_share_events;
MuxShare *mux_share_new(MuxVm *vm, MuxBuffer *buffer);
// Leaves the buffer and the device alone.
void mux_share_unmake(MuxShare *share);
// Gets its memory and device. False with the reason.
bool mux_share_make(MuxShare *share, MuxBufferError *ret_error);
json_object *mux_share_line(MuxSay *say);
// Makes its node.
void mux_share_show(const MuxShare *share);
// Its properties are others: everybody is told.
void mux_share_changed(MuxShare *share);
// The buffer is gone; so is its device to be. It may be freed in here.
void mux_share_end(MuxShare *share, const char *reason);

void mux_share_create(MuxBuffer *buffer);
void mux_share_set(MuxBuffer *buffer, json_object *changes);
void mux_share_release(MuxBuffer *buffer, const char *reason);
void mux_share_idle(MuxBuffer *buffer);
int mux_share_memory(MuxBuffer *buffer, bool write);
void mux_share_free(MuxBuffer *buffer);
bool mux_share_take(MuxVm *vm, const char *what, json_object *untrusted_line, GError **error);
// One that was kept; false when it cannot be taken, and then its memory is the caller's still.
bool mux_share_adopt(MuxVm *vm, MuxKept *kept);
// The channel is open: those that are still there are named.
void mux_share_begin(MuxVm *vm);
// guestmux has ended, and with it the owners that it had.
void mux_share_bereave(MuxVm *vm);
void mux_share_noticed(MuxBuffer *buffer, uint64_t offset, uint64_t length);

// For spread.c. Its devices are all proved: programs may have it.
void mux_share_publish(MuxShare *share);
// One in another VM with the same memory, to be read there; NULL when it cannot be made.
MuxShare *mux_share_read(MuxVm *vm, const MuxBufferFacts *facts, MuxShare *source);
// Its guest is to be told of it once more.
void mux_share_told(MuxShare *share);
void mux_share_gone(MuxShare *share, const char *reason);

// --- guest to guest

// Whether other VMs get it too; then mux_share_publish() follows when they have it.
bool mux_spread_start(MuxShare *share);
// Another VM's device is proved.
void mux_spread_proved(MuxShare *reader);
// The properties are others, somebody has written there.
void mux_spread_changed(MuxShare *share);
void mux_spread_noticed(MuxShare *share, uint64_t offset, uint64_t length);
// The writer's is going: so are the readers'.
void mux_spread_end(MuxShare *share, const char *reason);
// It is being freed.
void mux_spread_leave(MuxShare *share);

// --- regions

typedef struct MuxOffload {
    MuxVm *vm;
    MuxRegionSide side;
    MuxDevice *device;
    MuxSay say;
    uint32_t epoch;
    bool told;   // the guest, in this session
    bool used;   // "out": the guest has said that it has it
    bool asking; // QEMU, where there is a place
    MuxSlotClass classes[MUX_SLOT_CLASSES];
    unsigned n_classes;
} MuxOffload;

void mux_offload_init(MuxOffload *offload, MuxVm *vm, MuxRegionSide side);
// The channel is open, or QMP is there: gets its region, if it has none.
void mux_offload_begin(MuxOffload *offload);
void mux_offload_down(MuxOffload *offload);
bool mux_offload_take(MuxVm *vm, json_object *untrusted_line, GError **error);

// --- the VM

struct MuxVm {
    MuxMemory *memory;
    MuxLink *link;
    MuxMemorySettings settings;
    MuxQmp *qmp; // NULL: none is configured
    bool asked_chardevs;
    uint64_t doubted; // the session of which it is asked whether the guest still has it
    bool looked;      // what QEMU has is known, on this connection
    MuxLines *lines;
    bool begun;       // the guest was told what there is
    GPtrArray *early; // what it said before
    MuxList says;
    guint errors; // of them
    MuxSay ready;
    MuxList devices;
    MuxDevice *plugging; // whose turn it is
    MuxOffload out, in;
    json_object *seen_devices, *seen_objects; // while looking what QEMU has
    guint doubt;                              // GLib source: is QEMU still there?
    guint wait;                               // GLib source: for QMP, before it begins
};

// Finds out what QEMU has; mux_vm_looked() follows, or the connection's end.
void mux_vm_look(MuxVm *vm);
void mux_vm_looked(MuxVm *vm);

// QEMU tells that something happened: ends the session if guestmux is not there any more.
void mux_absent_event(MuxVm *vm, const char *untrusted_name);

// --- helpers

json_object *mux_id_json(uint64_t id);
// False: there is none.
bool mux_get_id(json_object *object, const char *key, uint64_t *ret_id);
// Text of the guest's: printable, and short. To be freed.
char *mux_shown(json_object *untrusted_object, const char *key);
json_object *mux_get(json_object *object, const char *key);
// A number; UINT32_MAX when there is none that is less.
uint32_t mux_number(json_object *untrusted_line, const char *key);
// A text, lent; NULL when there is none.
const char *mux_text(json_object *untrusted_line, const char *key);

// A descriptor of new memory, sealed against another size; or a negative errno.
int mux_memfd_new(uint64_t size);
