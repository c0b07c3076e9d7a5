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

// The next piece's place, or NULL: the other end has gone, and that was to be waited for.
static void *reserve(MuxClientBulk *bulk, const Blocks *blocks)
{
    void *memory = NULL;
    int r = mux_client_bulk_reserve(bulk, blocks->size, TIMEOUT_MS, &memory);

    if (r != 0 && blocks->count == 0 && blocks->stop < 0)
        return NULL;
    check(r, "reserve", mux_client_bulk_reason(bulk));
    return memory;
}

static uint64_t send_pieces(MuxClientBulk *bulk, void *memory, const Blocks *blocks)
{
    uint64_t n = 0;

    for (bool last = false; !last && memory;) {
        make_bytes(memory, blocks->size, n);
        last = blocks->count > 0 ? n + 1 == blocks->count : blocks_told_to_stop(blocks);
        bool more = (n + 1) * blocks->size % TOGETHER_BYTES != 0;
        int r = mux_client_bulk_commit(bulk, memory, blocks->size, more ? MUX_CLIENT_BULK_MORE : 0);
        if (r != 0 && blocks->count == 0 && blocks->stop < 0)
            return n * blocks->size;
        check(r, "commit", mux_client_bulk_reason(bulk));
        blocks_tell(blocks, ++n);
        if (!last)
            memory = reserve(bulk, blocks);
    }
    if (memory)
        check(mux_client_bulk_end(bulk, TIMEOUT_MS), "end", mux_client_bulk_reason(bulk));
    return n * blocks->size;
}

double memory_send(int channel, const MemoryPlace *place, const Blocks *blocks, uint64_t *ret_bytes)
{
    MuxClientBuffer *buffer = make_buffer(place, "bulk", (uint32_t)getpid());
    MuxClientBulk *bulk = NULL;

    check(mux_client_bulk_sender(channel, buffer, 0, BUFFER_BYTES, &bulk), "bulk", "");
    void *memory = warm_sender(bulk, blocks->size);
    double begin = seconds();
    *ret_bytes = send_pieces(bulk, memory, blocks);
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

double memory_take(int channel, const MemoryPlace *place, const Blocks *blocks, uint64_t *ret_bytes)
{
    MuxClientBulk *bulk = NULL;
    uint64_t length = 0;

    check(mux_client_bulk_receiver(channel, place->socket, place->link, &bulk), "bulk", "");
    (void)take(bulk, &length);
    double begin = seconds(), took = 0;
    *ret_bytes = 0;
    for (uint64_t n = 0; !blocks_told_to_stop(blocks) && take(bulk, &length);) {
        *ret_bytes += length;
        took = seconds() - begin;
        blocks_tell(blocks, ++n);
    }
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
