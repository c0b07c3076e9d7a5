// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Connections that are made, used for one message and its echo, and closed: how many a second.
#pragma once

#include <stddef.h>

#define OPENS_NAME_MAX 1280 // of a VM, a service and its argument

// Makes `count` connections to a unix socket, `at_once` at a time. name: what is written first,
// with a zero byte behind it, as programs of AndroidPipe do; NULL: nothing. size: bytes of the
// message. Prints a line of JSON, or ends the program.
void opens_run(const char *path, const char *name, size_t count, size_t at_once, size_t size);
