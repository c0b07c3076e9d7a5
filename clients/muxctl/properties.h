// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// name=value, as on the command line.
#pragma once

#include "clients/libmuxclient/muxclient.h"
#include "muxctl.h"

// Whether it can be sent, being UTF-8, or NULL; says so if not.
bool muxctl_is_text(const char *option, const char *value);
// Cuts each text in two where its '=' is, and lends them; the array is the caller's. `option` is
// for messages. False after having said which is wrong.
bool muxctl_properties_split(const char *option, char **texts, MuxClientProperty **ret_properties,
                             size_t *ret_n);
