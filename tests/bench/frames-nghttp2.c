// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// nghttp2: a client that sends DATA of one stream to a server. Windows are as large as they can be,
// so that next to nothing is said of them.

#include <err.h>
#include <nghttp2/nghttp2.h>

#include "frames.h"

#define WINDOW_MAX INT32_MAX

static nghttp2_session *client, *server;
static size_t size;

static const uint8_t *source_bytes; // of a frame
static size_t made;                 // frames, so far in this round
static uint8_t *sink_bytes;
static size_t came; // bytes, so far in this round

static void check(ssize_t result, const char *what)
{
    if (result < 0)
        errx(1, "%s: %s", what, nghttp2_strerror((int)result));
}

// --- callbacks

static ssize_t most_of_a_frame(nghttp2_session *session, uint8_t type, int32_t stream,
                               int32_t session_window, int32_t stream_window, uint32_t frame_max,
                               void *user)
{
    (void)session, (void)type, (void)stream, (void)user;
    if ((uint32_t)session_window < size || (uint32_t)stream_window < size || frame_max < size)
        errx(1, "a window or frame is smaller than was agreed on");
    return size > 0 ? (ssize_t)size : 1;
}

static ssize_t read_source(nghttp2_session *session, int32_t stream, uint8_t *base, size_t most,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session, (void)stream, (void)most, (void)flags, (void)source, (void)user;
    frames_copy(base, source_bytes, size);
    made++;
    return (ssize_t)size;
}

static int take_chunk(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                      size_t length, void *user)
{
    (void)session, (void)flags, (void)stream, (void)user;
    // A frame may come in two pieces.
    frames_copy(sink_bytes + (size ? came % size : 0), data, length);
    came += length;
    return 0;
}

// --- what both ends say

static void write_all(nghttp2_session *session, Wire *wire)
{
    const uint8_t *bytes;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(session, &bytes)) > 0)
        frames_write(wire, bytes, (size_t)n);
    check(n, "nghttp2_session_mem_send");
}

static void read_all(nghttp2_session *session, Wire *wire)
{
    static uint8_t piece[FRAMES_PIECE];
    size_t n;

    for (size_t at = 0; at < wire->size; at += n) {
        n = wire->size - at;
        n = n < sizeof(piece) ? n : sizeof(piece);
        frames_copy(piece, wire->bytes + at, n);
        check(nghttp2_session_mem_recv(session, piece, n), "nghttp2_session_mem_recv");
    }
    wire->size = 0;
}

// Not once the request is there, whose data has no end.
static void settle(Wires *wires)
{
    do {
        write_all(client, &wires->out);
        read_all(server, &wires->out);
        write_all(server, &wires->back);
        read_all(client, &wires->back);
        write_all(client, &wires->out);
    } while (wires->out.size > 0);
}

// --- the contender

static void agree(nghttp2_session *session)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_MAX},
                                               {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAMES_PIECE}};

    check(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2), "settings");
    check(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, WINDOW_MAX),
          "window");
}

static void request(void)
{
#define FIELD(name, value)                                                                         \
    {                                                                                              \
        (uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1, 0              \
    }
    const nghttp2_nv fields[] = {FIELD(":method", "POST"), FIELD(":scheme", "http"),
                                 FIELD(":authority", "bench"), FIELD(":path", "/")};
    const nghttp2_data_provider provider = {.read_callback = read_source};

    check(nghttp2_submit_request(client, NULL, fields, 4, &provider, NULL), "request");
}

void contender_start(Wires *wires, size_t a_frame)
{
    nghttp2_session_callbacks *callbacks;

    size = a_frame;
    check(nghttp2_session_callbacks_new(&callbacks), "callbacks");
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, take_chunk);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, most_of_a_frame);
    check(nghttp2_session_client_new(&client, callbacks, NULL), "client");
    check(nghttp2_session_server_new(&server, callbacks, NULL), "server");
    nghttp2_session_callbacks_del(callbacks);
    agree(client);
    agree(server);
    settle(wires);
    request();
}

// Each call gives a frame; the first gives the request's HEADERS.
size_t contender_encode(Wires *wires, const uint8_t *source, size_t frames)
{
    const uint8_t *bytes;

    read_all(client, &wires->back);
    source_bytes = source;
    for (made = 0; made < frames;) {
        ssize_t n = nghttp2_session_mem_send(client, &bytes);
        if (n <= 0)
            errx(1, "nothing to send: %s", nghttp2_strerror((int)n));
        frames_write(&wires->out, bytes, (size_t)n);
    }
    return frames * size;
}

size_t contender_decode(Wires *wires, uint8_t *sink)
{
    sink_bytes = sink;
    came = 0;
    read_all(server, &wires->out);
    write_all(server, &wires->back);
    return came;
}
