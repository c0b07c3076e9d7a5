// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Writing a JSON text that grows. A failed allocation is remembered, and asked for at the end.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct MuxClientText {
    char *bytes;
    size_t length;
    size_t room;
    bool failed; // there was no memory
} MuxClientText;

void mux_client_text_deinit(MuxClientText *text);
void mux_client_text_put(MuxClientText *text, const char *bytes);
// In quotes, with what has to be escaped.
void mux_client_text_put_string(MuxClientText *text, const char *string);
void mux_client_text_put_number(MuxClientText *text, uint64_t number);
