// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

uint32_t ledger_add(Ledger *ledger, unsigned opener, uint64_t guest_id, uint64_t host_id)
{
    Arena *was = memory_use(NULL);
    if (ledger->count == ledger->room) {
        ledger->room = ledger->room ? ledger->room * 2 : 64;
        ledger->entries = realloc(ledger->entries, ledger->room * sizeof(Entry));
        if (!ledger->entries)
            abort();
    }
    memory_use(was);
    ledger->entries[ledger->count] =
        (Entry){.opener = opener, .guest_id = guest_id, .host_id = host_id};
    return ledger->count++;
}

Entry *ledger_entry(const Ledger *ledger, uint32_t number)
{
    return &ledger->entries[number];
}

void ledger_deinit(Ledger *ledger)
{
    free(ledger->entries);
    *ledger = (Ledger){0};
}

static uint64_t word(uint32_t number, unsigned side, uint64_t index)
{
    uint64_t x = index * 0x9e3779b97f4a7c15u ^ ((uint64_t)number << 1 | side) * 0xd6e8feb86659fd93u;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 29;
}

size_t ledger_name(uint32_t number, char *ret_name)
{
    uint64_t x = word(number, 0, UINT32_MAX);
    size_t n = (size_t)sprintf(ret_name, "service-%" PRIu32, number);
    if (x % 4 == 0)
        return n;

    ret_name[n++] = ':';
    size_t argument = x % 16 == 1 ? x / 16 % 1025 : x / 16 % 20;
    for (size_t i = 0; i < argument; i++) {
        char c = (char)word(number, 1, i);
        ret_name[n++] = c == '\n' || c == '\0' ? '-' : c;
    }
    return n;
}

uint32_t ledger_number(const Ledger *ledger, const uint8_t *name, size_t length)
{
    char start[32] = {0}, whole[LEDGER_NAME_MAX];
    uint32_t number;

    memcpy(start, name, length < sizeof(start) - 1 ? length : sizeof(start) - 1);
    if (sscanf(start, "service-%" SCNu32, &number) != 1 || number >= ledger->count)
        return UINT32_MAX;
    return ledger_name(number, whole) == length && memcmp(whole, name, length) == 0 ? number
                                                                                    : UINT32_MAX;
}

void ledger_fill(uint32_t number, unsigned side, uint64_t position, uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint64_t w = word(number, side, (position + i) / 8);
        size_t skip = (position + i) % 8, take = 8 - skip < n - i ? 8 - skip : n - i;
        memcpy(bytes + i, (uint8_t *)&w + skip, take);
        i += take;
    }
}

bool ledger_matches(uint32_t number, unsigned side, uint64_t position, const uint8_t *bytes,
                    size_t n)
{
    uint8_t expected[256];

    for (size_t i = 0; i < n; i += sizeof(expected)) {
        size_t piece = n - i < sizeof(expected) ? n - i : sizeof(expected);
        ledger_fill(number, side, position + i, expected, piece);
        if (memcmp(bytes + i, expected, piece) != 0)
            return false;
    }
    return true;
}
