// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// How a receiver comes to the sender's buffer: by its name, which must be one that this program may
// open, on the link that the channel comes from; and it must have the id that the sender knows,
// else he could have us read somebody else's to him.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bulk.h"
#include "bytes.h"

#define OPEN_TIMEOUT_MS 5000 // for the daemon's answer

// Copies the name, if it can be a buffer's: no slash leads to another VM.
static bool clean_name(const unsigned char *untrusted_name, size_t length,
                       char name[MUX_CLIENT_BULK_NAME + 1])
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

    for (size_t i = 0; i < length; i++)
        if (untrusted_name[i] == '\0' || !strchr(allowed, untrusted_name[i]))
            return false;
    memcpy(name, untrusted_name, length);
    name[length] = '\0';
    return true;
}

static int try_name(MuxClientBulk *bulk, const char *name)
{
    MuxClientRefusal refusal = {0};
    int r = mux_client_buffer_open(bulk->socket, name, MUX_CLIENT_BUFFER_READ, OPEN_TIMEOUT_MS,
                                   &refusal, &bulk->buffer);

    (void)snprintf(bulk->reason, sizeof(bulk->reason), "%s", refusal.text);
    return r;
}

// In a guest the link is called "host", but so may a VM be.
static int open_buffer(MuxClientBulk *bulk, const char *name)
{
    char *whole = NULL;
    int r = MUX_CLIENT_BAD_NAME;

    if (!bulk->link || strcmp(bulk->link, "host") == 0)
        r = try_name(bulk, name);
    if (r != MUX_CLIENT_BAD_NAME || !bulk->link)
        return r;
    if (asprintf(&whole, "%s/%s", bulk->link, name) < 0)
        return -ENOMEM;
    r = try_name(bulk, whole);
    free(whole);
    return r;
}

// The buffer is open: is it the sender's, and is the stretch in it?
static int attach(MuxClientBulk *bulk)
{
    const MuxClientBufferInfo *info = mux_client_buffer_info(bulk->buffer);
    uint64_t untrusted_id = get_number(bulk->read + 8, 8);
    uint64_t untrusted_offset = get_number(bulk->read + 16, 8);
    uint64_t untrusted_size = get_number(bulk->read + 24, 8);
    uint64_t whole = mux_client_buffer_size(bulk->buffer);

    if (untrusted_id == 0 || !info->id || strtoull(info->id, NULL, 16) != untrusted_id)
        return mux_client_bulk_fail(bulk, -EPROTO, "the sender means another buffer");
    if (untrusted_size == 0 || untrusted_offset > whole ||
        untrusted_size > whole - untrusted_offset)
        return mux_client_bulk_fail(bulk, -EPROTO, MUX_CLIENT_BULK_NONSENSE);
    bulk->base = (unsigned char *)mux_client_buffer_memory(bulk->buffer) + untrusted_offset;
    bulk->pieces.size = untrusted_size;
    bulk->read_length = 0;
    return 0;
}

int mux_client_bulk_begin(MuxClientBulk *bulk)
{
    char name[MUX_CLIENT_BULK_NAME + 1];
    int r = mux_client_bulk_read(bulk, MUX_CLIENT_BULK_HELLO);

    if (r != 0)
        return r;
    uint64_t untrusted_length = get_number(bulk->read + 32, 4);
    if (memcmp(bulk->read, MUX_CLIENT_BULK_MAGIC, 8) != 0 || untrusted_length == 0 ||
        untrusted_length > MUX_CLIENT_BULK_NAME)
        return mux_client_bulk_fail(bulk, -EPROTO, MUX_CLIENT_BULK_NONSENSE);
    size_t length = (size_t)untrusted_length;
    r = mux_client_bulk_read(bulk, MUX_CLIENT_BULK_HELLO + length);
    if (r != 0)
        return r;
    if (!clean_name(bulk->read + MUX_CLIENT_BULK_HELLO, length, name))
        return mux_client_bulk_fail(bulk, -EPROTO, MUX_CLIENT_BULK_NONSENSE);
    r = open_buffer(bulk, name);
    if (r == MUX_CLIENT_CLOSED)
        return mux_client_bulk_fail(bulk, MUX_CLIENT_GONE, "the daemon has ended");
    if (r != 0 && r != MUX_CLIENT_TIMEOUT)
        bulk->result = r; // the reason is there
    return r == 0 ? attach(bulk) : r;
}
