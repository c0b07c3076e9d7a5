// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A command that asks the daemon one thing and shows the answer.

#include "show.h"

#include "daemon.h"
#include "text.h"

int muxctl_show(const MuxctlOptions *options, const char *verb, void (*print)(json_object *answer))
{
    json_object *answer = NULL;
    int status = muxctl_ask(options, verb, &answer);

    if (status != EXIT_GOOD)
        return status;
    if (options->json)
        muxctl_print_json(answer);
    else
        print(answer);
    json_object_put(answer);
    return muxctl_flush();
}
