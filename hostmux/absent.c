// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Is guestmux still there? The port's socket shows nothing when it is killed, or its guest reset:
// without QMP, the host learns it from the next guestmux. QEMU's events say that something happened
// to the guest, and its list of chardevs whether the guest has our port open. A new guestmux may
// have opened it meanwhile; so only the session that there was at the event is ended.

#include <string.h>
#include <sys/stat.h>

#include "memory-private.h"
#include "relay/json.h"

#define UNIX "unix:"

// Of a chardev: "unix:PATH,server=on", maybe with more behind it.
static bool is_port(const char *untrusted_filename, const char *spec)
{
    const char *port = strchr(spec, ':') + 1;
    struct stat ours, theirs;

    if (!g_str_has_prefix(untrusted_filename, UNIX))
        return false;
    const char *path = untrusted_filename + strlen(UNIX);
    g_autofree char *shown = g_strndup(path, strcspn(path, ", "));
    return strcmp(shown, port) == 0 ||
           (stat(shown, &theirs) == 0 && stat(port, &ours) == 0 && ours.st_dev == theirs.st_dev &&
            ours.st_ino == theirs.st_ino);
}

static bool is_closed(const MuxVm *vm, json_object *untrusted_chardev)
{
    json_object *filename = mux_get(untrusted_chardev, "filename");
    json_object *open = mux_get(untrusted_chardev, "frontend-open");

    return mux_json_is_text(filename) && json_object_is_type(open, json_type_boolean) &&
           !json_object_get_boolean(open) &&
           is_port(json_object_get_string(filename), mux_port_spec(vm->link->port));
}

static uint64_t session(const MuxVm *vm)
{
    MuxSessionInfo info;

    mux_session_info(vm->link->session, &info);
    return info.id;
}

static void end(MuxVm *vm, const char *why)
{
    mux_link_restart(vm->link, why);
    mux_share_bereave(vm);
}

static void on_chardevs(void *user, json_object *untrusted_answer, const MuxQmpError *error)
{
    MuxVm *vm = user;
    vm->asked_chardevs = false;
    size_t n = !error && json_object_is_type(untrusted_answer, json_type_array)
                   ? json_object_array_length(untrusted_answer)
                   : 0;

    for (size_t i = 0; i < n; i++)
        if (vm->doubted == session(vm) &&
            is_closed(vm, json_object_array_get_idx(untrusted_answer, i)))
            end(vm, "the guest has closed the port");
}

void mux_absent_event(MuxVm *vm, const char *untrusted_name)
{
    static const char *const ends[] = {"VSERPORT_CHANGE", "RESET", NULL};

    if (!mux_session_is_up(vm->link->session))
        return;
    if (strcmp(untrusted_name, "GUEST_PANICKED") == 0) {
        end(vm, "the guest's kernel has crashed");
    } else if (g_strv_contains(ends, untrusted_name) && !vm->asked_chardevs) {
        vm->asked_chardevs = true;
        vm->doubted = session(vm);
        mux_qmp_execute(vm->qmp, "query-chardev", NULL, -1, on_chardevs, vm);
    }
}
