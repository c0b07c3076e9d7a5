// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "memory.h"

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients/libmuxclient/muxclient.h"
#include "server.h"
#include "stream.h"

#define BUFFER_BYTES (4 << 20)
#define TIMEOUT_MS   20000
// So much is handed over at once: the receiver should neither wake up for little, nor wait until
// there is no room any more.
#define TOGETHER_BYTES (BUFFER_BYTES / 4)

static void check(int result, const char *what, const char *why)
{
    if (result != 0)
        errx(1, "%s: %s %s", what, mux_client_result_name(result), why);
}

// On a host VM/name, in a guest name.
static void name_buffer(char name[256], const MemoryPlace *place, const char *kind, uint32_t number)
{
    (void)snprintf(name, 256, "%s%s%s-%u", place->link ? place->link : "", place->link ? "/" : "",
                   kind, number);
}

static MuxClientBuffer *make_buffer(const MemoryPlace *place, const char *kind, uint32_t number)
{
    MuxClientBuffer *buffer = NULL;
    MuxClientRefusal refusal = {.text = ""};
    char name[256];

    name_buffer(name, place, kind, number);
    check(mux_client_buffer_create(place->socket, name, BUFFER_BYTES, NULL, TIMEOUT_MS, &refusal,
                                   &buffer),
          name, refusal.text);
    return buffer;
}

// ---- A bulk stream ----

// What comes before the clock begins.
static void *warm_sender(MuxClientBulk *bulk, size_t size)
{
    void *memory = NULL;

    check(mux_client_bulk_reserve(bulk, BUFFER_BYTES, TIMEOUT_MS, &memory), "reserve", "all");
    make_bytes(memory, BUFFER_BYTES, 0);
    check(mux_client_bulk_commit(bulk, memory, BUFFER_BYTES, 0), "commit", "all");
    check(mux_client_bulk_reserve(bulk, size, TIMEOUT_MS, &memory), "reserve",
          mux_client_bulk_reason(bulk));
    return memory;
}

double memory_send(int channel, const MemoryPlace *place, size_t size, uint64_t count)
{
    MuxClientBuffer *buffer = make_buffer(place, "bulk", (uint32_t)getpid());
    MuxClientBulk *bulk = NULL;

    check(mux_client_bulk_sender(channel, buffer, 0, BUFFER_BYTES, &bulk), "bulk", "");
    void *memory = warm_sender(bulk, size);
    double begin = seconds();
    for (uint64_t i = 0; i < count; i++) {
        make_bytes(memory, size, i);
        bool more = (i + 1) * size % TOGETHER_BYTES != 0;
        check(mux_client_bulk_commit(bulk, memory, size, more ? MUX_CLIENT_BULK_MORE : 0), "commit",
              mux_client_bulk_reason(bulk));
        if (i + 1 < count)
            check(mux_client_bulk_reserve(bulk, size, TIMEOUT_MS, &memory), "reserve",
                  mux_client_bulk_reason(bulk));
    }
    check(mux_client_bulk_end(bulk, TIMEOUT_MS), "end", mux_client_bulk_reason(bulk));
    double took = seconds() - begin;
    mux_client_bulk_free(bulk);
    mux_client_buffer_free(buffer);
    return took;
}

static bool take(MuxClientBulk *bulk, uint64_t *ret_length)
{
    const void *memory = NULL;
    size_t length = 0;
    int r = mux_client_bulk_take(bulk, TIMEOUT_MS, &memory, &length);

    if (r == MUX_CLIENT_CLOSED)
        return false;
    check(r, "take", mux_client_bulk_reason(bulk));
    (void)look_at_bytes(memory, length);
    // What is given back goes when the next piece has to be waited for.
    check(mux_client_bulk_release(bulk, memory, MUX_CLIENT_BULK_MORE), "release",
          mux_client_bulk_reason(bulk));
    *ret_length = length;
    return true;
}

double memory_take(int channel, const MemoryPlace *place, uint64_t *ret_bytes)
{
    MuxClientBulk *bulk = NULL;
    uint64_t length = 0;

    check(mux_client_bulk_receiver(channel, place->socket, place->link, &bulk), "bulk", "");
    (void)take(bulk, &length);
    double begin = seconds(), took = 0;
    *ret_bytes = 0;
    for (; take(bulk, &length); took = seconds() - begin)
        *ret_bytes += length;
    mux_client_bulk_free(bulk);
    return took;
}

// ---- Notices ----

static void await_notice(MuxClientBuffer *buffer)
{
    const MuxClientBufferNews *news = NULL;

    do
        check(mux_client_buffer_next(buffer, TIMEOUT_MS, &news), "notice",
              mux_client_buffer_reason(buffer));
    while (news->kind != MUX_CLIENT_BUFFER_NOTICE);
}

static void give_notice(MuxClientBuffer *buffer)
{
    check(mux_client_buffer_notify(buffer, 0, 64, TIMEOUT_MS), "notify", "");
}

void memory_time_notices(int fd, const MemoryPlace *place, double *times, size_t count)
{
    uint32_t number = (uint32_t)getpid();
    MuxClientBuffer *buffer = make_buffer(place, "notices", number);
    ServerRequest request = {.task = SERVER_NOTICES, .size = 64, .count = count, .number = number};
    char byte;

    if (!write_all(fd, &request, sizeof(request)) || !read_all(fd, &byte, 1))
        errx(1, "the other end has closed");
    for (size_t i = 0; i < count; i++) {
        double begin = seconds();
        give_notice(buffer);
        await_notice(buffer);
        times[i] = (seconds() - begin) * 1e6;
    }
    mux_client_buffer_free(buffer);
}

bool memory_answer_notices(int fd, const MemoryPlace *place, uint32_t number, uint64_t count)
{
    MuxClientBuffer *buffer = NULL;
    MuxClientRefusal refusal = {.text = ""};
    char name[256];

    name_buffer(name, place, "notices", number);
    check(mux_client_buffer_open(place->socket, name, MUX_CLIENT_BUFFER_WRITE, TIMEOUT_MS, &refusal,
                                 &buffer),
          name, refusal.text);
    bool ok = write_all(fd, "", 1);
    for (uint64_t i = 0; i < count && ok; i++) {
        await_notice(buffer);
        give_notice(buffer);
    }
    mux_client_buffer_free(buffer);
    return ok;
}
