// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "fake-buffer.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static void read_line(int fd, char *line, size_t room)
{
    size_t n = 0;

    do {
        g_assert_cmpuint(n, <, room - 1);
        g_assert_cmpint(recv(fd, line + n, 1, 0), ==, 1);
    } while (line[n++] != '\n');
    line[n] = '\0';
}

static void play(int fd, gconstpointer data)
{
    FakeBuffer *fake = (FakeBuffer *)data;
    char line[512];

    fake_expect(fd, "@buffer\n");
    fake_say(fd, "OK\n");
    read_line(fd, line, sizeof(line));
    gboolean writable = !strstr(line, "\"write\":false");
    g_autofree char *answer = g_strdup_printf(
        "{\"ok\":true,\"buffer\":{\"name\":\"clip\",\"link\":\"host\",\"id\":\"" FAKE_ID
        "\",\"size\":%u,\"writable\":%s}}\n",
        FAKE_SIZE, writable ? "true" : "false");
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fake->memory);
    int memory = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    g_assert_cmpint(memory, >=, 0);
    fake->handles[fake->n++] = dup(fd);
    fake_pass(fd, answer, &memory, 1);
    (void)close(memory);
}

void fake_buffer_start(FakeBuffer *fake, int connections)
{
    *fake = (FakeBuffer){.memory = -1};
    fake_start_many(&fake->fake, play, fake, connections);
    fake->memory = memfd_create("clip", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    g_assert_cmpint(ftruncate(fake->memory, FAKE_SIZE), ==, 0);
    g_assert_cmpint(fcntl(fake->memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), ==,
                    0);
}

void fake_buffer_end(FakeBuffer *fake)
{
    for (int i = 0; i < fake->n; i++)
        if (fake->handles[i] >= 0)
            (void)close(fake->handles[i]);
    (void)close(fake->memory);
    fake_end(&fake->fake);
}

MuxClientBuffer *fake_buffer_open(FakeBuffer *fake, MuxClientBufferMode mode)
{
    MuxClientBuffer *buffer = NULL;

    g_assert_cmpint(mux_client_buffer_open(fake->fake.path, "clip", mode, -1, NULL, &buffer), ==,
                    0);
    return buffer;
}

static void put(unsigned char *to, uint64_t number, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        to[i] = (unsigned char)(number >> 8 * i);
}

void fake_buffer_say(int fd, uint32_t type, const void *payload, size_t length)
{
    g_autofree unsigned char *record = g_malloc(8 + length);

    put(record, type, 4);
    put(record + 4, length, 4);
    if (length > 0)
        memcpy(record + 8, payload, length);
    g_assert_cmpint(send(fd, record, 8 + length, MSG_NOSIGNAL), ==, 8 + (ssize_t)length);
}

void fake_buffer_notice(int fd, uint64_t sequence, uint64_t offset, uint64_t length)
{
    unsigned char payload[24];

    put(payload, sequence, 8);
    put(payload + 8, offset, 8);
    put(payload + 16, length, 8);
    fake_buffer_say(fd, 1, payload, sizeof(payload));
}
