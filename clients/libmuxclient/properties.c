// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "properties.h"

void mux_client_properties_object(MuxClientText *text, const MuxClientProperty *properties,
                                  size_t n)
{
    mux_client_text_put(text, "{");
    for (size_t i = 0; i < n; i++) {
        mux_client_text_put(text, i ? "," : "");
        mux_client_text_put_string(text, properties[i].name);
        mux_client_text_put(text, ":");
        if (properties[i].value)
            mux_client_text_put_string(text, properties[i].value);
        else
            mux_client_text_put(text, "null");
    }
    mux_client_text_put(text, "}");
}

void mux_client_properties_put(MuxClientText *text, const MuxClientProperty *properties, size_t n)
{
    if (n == 0)
        return;
    mux_client_text_put(text, ",\"properties\":");
    mux_client_properties_object(text, properties, n);
}
