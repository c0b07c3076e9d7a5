// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Bytes and ids as text, and text of others made fit to be shown.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUX_HEX_SIZE(bytes) (2 * (bytes) + 1)
#define MUX_ID_SIZE         MUX_HEX_SIZE(8)

// Writes MUX_HEX_SIZE(n) characters, lower case.
void mux_hex(const uint8_t *bytes, size_t n, char *ret_text);
// Whether it is so many bytes in hexadecimal.
bool mux_unhex(const char *untrusted_text, uint8_t *ret_bytes, size_t n);
// An id is 16 digits.
void mux_id_text(uint64_t id, char ret_text[MUX_ID_SIZE]);
// False: it is none; 0 is none either.
bool mux_id_read(const char *untrusted_text, uint64_t *ret_id);

// At most so many bytes of it, each printable ASCII; to be freed.
char *mux_printable(const char *untrusted_text, size_t most);
