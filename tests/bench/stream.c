// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Alignas(4096) char block[STREAM_BLOCK_MAX];
static volatile uint64_t seen; // so that looking at bytes is not left out

double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

bool write_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        }
    }
    return true;
}

bool read_all(int fd, void *bytes, size_t size)
{
    char *at = bytes;

    while (size > 0) {
        ssize_t n = read(fd, at, size);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        }
    }
    return true;
}

void make_bytes(void *bytes, size_t size, uint64_t which)
{
    memset(bytes, (int)(which & 0x7f), size);
}

uint64_t look_at_bytes(const void *bytes, size_t size)
{
    const char *at = bytes;
    uint64_t sum = 0, word;

    for (; size >= sizeof(word); at += sizeof(word), size -= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        sum += word;
    }
    for (; size > 0; size--)
        sum += (unsigned char)*at++;
    seen += sum;
    return sum;
}

bool blocks_told_to_stop(const Blocks *blocks)
{
    struct pollfd item = {.fd = blocks->stop, .events = POLLIN};
    char byte;

    if (poll(&item, 1, 0) <= 0)
        return false;
    return read(blocks->stop, &byte, 1) >= 0;
}

void blocks_tell(const Blocks *blocks, uint64_t n)
{
    if (blocks->tell >= 0 && n == blocks->tell_after)
        (void)write_all(blocks->tell, "", 1);
}

uint64_t send_blocks(int fd, const Blocks *blocks)
{
    uint64_t n = 0;

    for (bool last = false; !last;) {
        last = blocks->count > 0 ? n + 1 == blocks->count : blocks_told_to_stop(blocks);
        if (blocks->touch)
            make_bytes(block, blocks->size, n);
        block[0] = last;
        if (!write_all(fd, block, blocks->size))
            return 0;
        blocks_tell(blocks, ++n);
    }
    return n * blocks->size;
}

uint64_t take_blocks(int fd, const Blocks *blocks)
{
    uint64_t bytes = 0;

    for (bool last = false;;) {
        size_t into = bytes % blocks->size;
        ssize_t n = read(fd, block, blocks->size - into);
        if (n == 0 || (n < 0 && errno != EINTR))
            return 0;
        if (n < 0)
            continue;
        if (into == 0)
            last = block[0] == 1;
        if (blocks->touch)
            (void)look_at_bytes(block, (size_t)n);
        bytes += (uint64_t)n;
        if (bytes % blocks->size != 0)
            continue;
        blocks_tell(blocks, bytes / blocks->size);
        if (last)
            return bytes;
    }
}
