// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// name=value, as on the command line. What they may hold is the daemon's to say; here is only what
// would not even get to it.

#include "properties.h"

#include <string.h>

bool muxctl_is_text(const char *option, const char *value)
{
    if (!value || g_utf8_validate(value, -1, NULL))
        return true;
    muxctl_complain("%s takes UTF-8", option);
    return false;
}

bool muxctl_properties_split(const char *option, char **texts, MuxClientProperty **ret_properties,
                             size_t *ret_n)
{
    guint n = texts ? g_strv_length(texts) : 0;
    g_autofree MuxClientProperty *properties = g_new0(MuxClientProperty, n + 1);

    for (guint i = 0; i < n; i++) {
        char *name = texts[i], *equals = strchr(name, '=');
        if (!muxctl_is_text(option, name))
            return false;
        if (!equals || equals == name) {
            muxctl_complain("%s takes NAME=VALUE, not '%s'", option, name);
            return false;
        }
        *equals = '\0';
        properties[i] = (MuxClientProperty){.name = name, .value = equals + 1};
    }
    *ret_properties = g_steal_pointer(&properties);
    *ret_n = n;
    return true;
}
