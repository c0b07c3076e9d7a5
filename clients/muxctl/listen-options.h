// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The options of muxctl listen.
#pragma once

#include "listen.h"

typedef struct MuxctlListenOptions {
    MuxctlService service; // what points from here points into the rest
    char **argv;           // of each channel's process; NULL when there is none
    guint max;             // channels at once
    char **arguments;
    char *description;
    char **property_texts;
    MuxClientProperty *properties;
    char **vms;
} MuxctlListenOptions;

// 0, or the exit status after having said what is wrong.
int muxctl_listen_options(const MuxctlCommand *command, MuxctlOptions *options, char **argv,
                          MuxctlListenOptions *listen);
void muxctl_listen_options_clear(MuxctlListenOptions *listen);
