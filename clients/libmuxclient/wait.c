// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Waiting for a service. First the subscription, then the list, so that nothing can slip through
// between the two: what came into being before the list was made is in it, and what comes later is
// an event.

#include <errno.h>
#include <string.h>

#include "control.h"
#include "result.h"
#include "services.h"

#define NAME_MAX_BYTES 128 // a VM's and a service's each, by PROTOCOL.md section 3

static bool is_name(const char *name, size_t length)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

    return length > 0 && length <= NAME_MAX_BYTES && name[0] != '-' && name[0] != '.' &&
           strspn(name, letters) >= length;
}

// [VM/]SERVICE: what is not of this form can never be there.
static bool is_full_name(const char *name, size_t length)
{
    const char *slash = memchr(name, '/', length);
    size_t vm = slash ? (size_t)(slash - name) : 0;

    return slash ? is_name(name, vm) && is_name(slash + 1, length - vm - 1) : is_name(name, length);
}

static bool has_name(MuxClientJson object, const char *name)
{
    return mux_client_json_equals(mux_client_json_get(object, "name"), name);
}

static int look(MuxClientLines *lines, const char *name, MuxClientDeadline deadline,
                MuxClientRefusal *ret_refusal, bool *ret_found)
{
    MuxClientJson remote, value;
    int r = mux_client_services_ask(lines, deadline, ret_refusal, &remote);

    if (r != 0)
        return r;
    *ret_found = false;
    for (MuxClientJson at = {0}; mux_client_json_next(remote, &at, NULL, &value);)
        *ret_found = *ret_found || has_name(value, name);
    return 0;
}

static bool is_event(MuxClientJson object, const char *word)
{
    return mux_client_json_equals(mux_client_json_get(object, "event"), word);
}

// A name of the other kind of daemon can never be there.
static int check_side(MuxClientJson answer, const char *name, MuxClientRefusal *ret_refusal)
{
    MuxClientJson daemon = mux_client_json_get(answer, "daemon");
    bool slash = strchr(name, '/');

    if (!slash && mux_client_json_equals(daemon, "hostmux"))
        return mux_client_refuse_here(ret_refusal, MUX_CLIENT_BAD_NAME,
                                      "on a host a name is VM/service");
    if (slash && mux_client_json_equals(daemon, "guestmux"))
        return mux_client_refuse_here(ret_refusal, MUX_CLIENT_BAD_NAME,
                                      "in a guest a name is a service's, without VM/");
    return 0;
}

static int wait_for(MuxClientLines *lines, const char *name, MuxClientDeadline deadline,
                    MuxClientRefusal *ret_refusal)
{
    bool found = false, again = true; // whether the list has to be looked at
    MuxClientJson event;
    int r = 0;

    while (r == 0 && !found) {
        if (again) {
            again = false;
            r = look(lines, name, deadline, ret_refusal, &found);
            continue;
        }
        if (mux_client_over(deadline))
            r = MUX_CLIENT_TIMEOUT;
        else
            r = mux_client_control_next(lines, deadline, &event);
        if (r == MUX_CLIENT_TIMEOUT)
            return mux_client_refuse_here(ret_refusal, r, "it was not there in time");
        if (r != 0)
            return mux_client_conclude(ret_refusal, r);
        found = is_event(event, "service-added") && has_name(event, name);
        again = is_event(event, "lost");
    }
    return r;
}

int mux_client_wait(const char *socket, const char *name, int timeout_ms,
                    MuxClientRefusal *ret_refusal)
{
    static const char request[] = "{\"verb\":\"events\",\"only\":[\"services\"]}\n";
    MuxClientDeadline deadline = mux_client_deadline(timeout_ms);
    MuxClientLines lines = {.fd = -1};
    MuxClientJson answer;
    char bare[2 * NAME_MAX_BYTES + 2]; // without the argument
    size_t length = strcspn(name, ":");

    if (!is_full_name(name, length))
        return mux_client_refuse_here(ret_refusal, MUX_CLIENT_BAD_NAME,
                                      "a name is service, and on a host VM/service: each 1 to 128 "
                                      "of A-Z a-z 0-9 . _ -, not beginning with - or .");
    memcpy(bare, name, length);
    bare[length] = '\0';
    int r = mux_client_control_open(socket, MUX_CLIENT_ANSWER_MAX, deadline, ret_refusal, &lines);
    if (r == 0)
        r = mux_client_control_ask(&lines, request, strlen(request), deadline, ret_refusal,
                                   &answer);
    if (r == 0)
        r = check_side(answer, bare, ret_refusal);
    if (r == 0)
        r = wait_for(&lines, bare, deadline, ret_refusal);
    mux_client_lines_deinit(&lines);
    return r;
}
