// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Who may open a service's channels, and who may register a service: the configuration's "policy".
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "peer.h"

typedef struct MuxPolicy MuxPolicy;

typedef enum MuxPolicyAction { MUX_POLICY_OPEN, MUX_POLICY_REGISTER } MuxPolicyAction;

// {"SERVICE", "@buffers" or "*": {"users": […], "groups": […], "register": {"users": […], "groups":
// […]}}, …}. Users and groups become numbers here. NULL with an error that names the key, and whom
// there is not.
MuxPolicy *mux_policy_new(json_object *object, GError **error);
// NULL is fine; returns NULL.
MuxPolicy *mux_policy_free(MuxPolicy *policy);

// Whether that peer may. The name is service[:argument]; the argument does not matter. Without a
// policy everybody may; root and the daemon's own user always may; who is not known never may where
// there is a rule.
bool mux_policy_allows(const MuxPolicy *policy, MuxPolicyAction action, const char *name,
                       size_t length, const MuxPeer *peer);
