// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Which session a channel runs over. A unix socket cannot say whether a channel ended or was cut
// off with its session; the control connection can.

#include <string.h>

#include "muxctl.h"

static void say_nothing(const gchar *text)
{
    (void)text;
}

static int ask_quietly(const MuxctlOptions *options, json_object **ret_answer)
{
    GPrintFunc before = g_set_printerr_handler(say_nothing);
    int status = muxctl_ask(options, "links", ret_answer);

    g_set_printerr_handler(before);
    return status;
}

// In a guest there is one link; on a host the name begins with the VM's.
static json_object *find_link(json_object *answer, const char *name)
{
    json_object *links = muxctl_get(answer, "links");
    const char *slash = strchr(name, '/');
    bool host = g_strcmp0(json_object_get_string(muxctl_get(answer, "daemon")), "hostmux") == 0;

    for (size_t i = 0; links && i < json_object_array_length(links); i++) {
        json_object *link = json_object_array_get_idx(links, i);
        const char *vm = json_object_get_string(muxctl_get(link, "name"));
        if (!host ||
            (slash && strlen(vm) == (size_t)(slash - name) && strncmp(vm, name, strlen(vm)) == 0))
            return link;
    }
    return NULL;
}

bool muxctl_session(const MuxctlOptions *options, const char *name, char **ret_id)
{
    json_object *answer = NULL;
    int status = ask_quietly(options, &answer);

    // A daemon that is gone has no session, also if it went while it was asked; one that is too
    // busy to answer may have any.
    if (status >= EXIT_REFUSED)
        return false;
    json_object *session = muxctl_get(find_link(answer, name), "session");
    *ret_id = g_strdup(json_object_get_string(muxctl_get(session, "id")));
    json_object_put(answer);
    return true;
}
