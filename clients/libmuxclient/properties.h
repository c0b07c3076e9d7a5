// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Properties in a request.
#pragma once

#include <stddef.h>

#include "muxclient.h"
#include "text.h"

// {"name":"value",…}; null for a value that is NULL.
void mux_client_properties_object(MuxClientText *text, const MuxClientProperty *properties,
                                  size_t n);
// ,"properties":{…}; nothing if there are none.
void mux_client_properties_put(MuxClientText *text, const MuxClientProperty *properties, size_t n);
