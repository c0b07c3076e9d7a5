// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Which session a channel runs over, asked without a word: whoever asks has better things to say.

#include <errno.h>
#include <string.h>

#include "daemon.h"
#include "join.h"
#include "text.h"

static json_object *find_link(json_object *answer, const char *name)
{
    json_object *links = muxctl_get(answer, "links");
    bool host = strcmp(muxctl_word(answer, "daemon"), "hostmux") == 0;

    for (size_t i = 0; links && i < json_object_array_length(links); i++) {
        json_object *link = json_object_array_get_idx(links, i);
        if (!host || strcmp(muxctl_word(link, "name"), name) == 0)
            return link;
    }
    return NULL;
}

// A daemon that is gone has no session, also if it went while it was asked; one that is too busy to
// answer may have any.
static bool ask_links(const MuxctlOptions *options, json_object **ret_answer)
{
    int fd = -1, result = mux_client_connect(options->socket, "@control", -1, NULL, &fd);

    if (result == -EMFILE || result == -ENFILE || result == -ENOMEM)
        return false;
    if (result != 0)
        return result < 0 || result == MUX_CLIENT_CLOSED;
    json_object *answer = muxctl_control_answer(fd, "links");
    if (strcmp(muxctl_word(muxctl_get(answer, "error"), "code"), "busy") == 0) {
        json_object_put(answer);
        return false;
    }
    *ret_answer = answer;
    return true;
}

void muxctl_session_ask(const MuxctlOptions *options, const char *link, MuxctlSession *ret_session)
{
    json_object *answer = NULL;
    bool known = ask_links(options, &answer);
    json_object *session = muxctl_get(find_link(answer, link), "session");

    *ret_session =
        (MuxctlSession){.link = g_strdup(link),
                        .known = known,
                        .id = g_strdup(json_object_get_string(muxctl_get(session, "id")))};
    json_object_put(answer);
}

void muxctl_session_clear(MuxctlSession *session)
{
    g_clear_pointer(&session->link, g_free);
    g_clear_pointer(&session->id, g_free);
}
