// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The end that measures. Each function prints a line of JSON, or ends the program.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "server.h"

typedef struct ClientOptions {
    size_t rounds; // of messages
    size_t size;   // bytes of a message
    uint64_t bytes;
    size_t block; // bytes of a write, or of a piece
    bool touch;
    size_t at_once;   // connections that are opened
    const char *name; // that is written first on each of these, or NULL
    MemoryPlace place;
} ClientOptions;

// A message and its echo, one after the other.
void client_rtt(int fd, const ClientOptions *options);
// Blocks from the server, up to the last byte's arrival; to the server, up to its answer.
void client_source(int fd, const ClientOptions *options);
void client_sink(int fd, const ClientOptions *options);
// As client_rtt(), while blocks go over another connection as fast as they can. bulk: it is a bulk
// stream's channel from now on.
void client_loaded(int fd, int other, bool to_server, bool bulk, const ClientOptions *options);

void client_bulk_source(int fd, const ClientOptions *options);
void client_bulk_sink(int fd, const ClientOptions *options);
void client_notices(int fd, const ClientOptions *options);

// ---- What these are made of ----

void client_request(int fd, ServerTask task, const ClientOptions *options, size_t size,
                    uint64_t count);
// How many messages went and came back: fewer than options->rounds, if the time was over.
size_t client_play(int fd, const ClientOptions *options, double limit_s);
// Of what client_play() found; loaded_MBps: 0 if there was no load.
void client_print_times(size_t n, double loaded_MBps);
