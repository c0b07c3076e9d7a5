// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Attributes are `u16 type, u16 length, bytes`, one behind the other. The caller is type 1: u32
// uid, u32 gid, and the program's name in what is left.

#include "caller.h"

#include <string.h>

#include "bytes.h"

#define ATTRIBUTE_CALLER 1
#define HEAD             4
#define IDS              8

size_t mux_caller_encode(uint8_t *base, const MuxCaller *caller)
{
    if (!caller->known)
        return 0;
    size_t length = strlen(caller->program);

    mux_put16(base, ATTRIBUTE_CALLER);
    mux_put16(base + 2, (uint16_t)(IDS + length));
    mux_put32(base + HEAD, caller->uid);
    mux_put32(base + HEAD + 4, caller->gid);
    memcpy(base + HEAD + IDS, caller->program, length);
    return HEAD + IDS + length;
}

// It ends up in logs and on terminals.
static void copy_program(char *to, const uint8_t *untrusted_program, size_t length)
{
    if (length > MUX_PROGRAM_MAX)
        length = MUX_PROGRAM_MAX;
    for (size_t i = 0; i < length; i++) {
        uint8_t c = untrusted_program[i];
        to[i] = c > ' ' && c < 0x7f ? (char)c : '?';
    }
    to[length] = '\0';
}

int mux_caller_decode(const uint8_t *attributes, size_t size, MuxCaller *ret_caller)
{
    MuxCaller caller = {0};

    while (size > 0) {
        size_t length = size >= HEAD ? mux_get16(attributes + 2) : SIZE_MAX;
        if (length > size - (size < HEAD ? size : HEAD))
            return MUX_CALLER_BAD;
        const uint8_t *value = attributes + HEAD;
        if (mux_get16(attributes) == ATTRIBUTE_CALLER && length >= IDS) {
            caller.known = true;
            caller.uid = mux_get32(value);
            caller.gid = mux_get32(value + 4);
            copy_program(caller.program, value + IDS, length - IDS);
        }
        attributes = value + length;
        size -= HEAD + length;
    }
    *ret_caller = caller;
    return 0;
}
