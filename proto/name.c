// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A service's characters are chosen so that a name can be a file's name, a word on a command line
// and a JSON string without quoting; a leading '-' or '.' would be an option or a hidden file, and
// is refused.

#include "name.h"

#include <string.h>

#include "limits.h"

static const char *const code_names[MUX_CODES] = {
    [MUX_CODE_CLOSED] = "closed",       [MUX_CODE_NO_SERVICE] = "no-service",
    [MUX_CODE_DENIED] = "denied",       [MUX_CODE_REFUSED] = "refused",
    [MUX_CODE_LIMIT] = "limit",         [MUX_CODE_TIMEOUT] = "timeout",
    [MUX_CODE_LINK_DOWN] = "link-down", [MUX_CODE_BAD_NAME] = "bad-name",
};

const char *mux_code_name(unsigned code)
{
    return code < MUX_CODES ? code_names[code] : "unknown";
}

static bool service_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool mux_name_valid(const char *name, size_t length, size_t *ret_service)
{
    size_t service = 0;
    while (service < length && service_character(name[service]))
        service++;

    if (service == 0 || service > MUX_SERVICE_MAX || name[0] == '-' || name[0] == '.')
        return false;
    if (service < length) {
        const char *argument = name + service + 1;
        size_t left = length - service - 1;
        if (name[service] != ':' || left > MUX_ARGUMENT_MAX || memchr(argument, '\0', left) ||
            memchr(argument, '\n', left))
            return false;
    }
    *ret_service = service;
    return true;
}

bool mux_name_own(const char *name, size_t length)
{
    size_t service;

    return length > 1 && name[0] == '@' && mux_name_valid(name + 1, length - 1, &service) &&
           service == length - 1;
}
