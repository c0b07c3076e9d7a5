// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Frames from a virtual machine to its host, or the other way round, through memory that both have
// mapped: a zero-copy bulk stream, and a service in C.
//
//     frames --serve frames | ffplay -f rawvideo -pixel_format rgb24 -video_size 640x480 -
//                        on one side: offers the service "frames", writes what comes to its output
//     ffmpeg -i film.mkv -f rawvideo -pix_fmt rgb24 -s 640x480 - | frames frames 921600
//                        on the other side: each 921,600 bytes of its input are a frame. From a
//                        host the service is VM/frames
//
// The sender reads its input straight into the shared memory, and the receiver writes from there:
// neither they nor the daemons copy a frame. Programs that make their frames themselves need not
// even read: they draw in what mux_client_bulk_reserve() gives. Built against libmuxclient:
//
//     cc frames.c -o frames $(pkg-config --cflags --libs muxclient)

#include <errno.h>
#include <muxclient.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MS 15000
#define IN_FLIGHT  4                   // frames that fit into the memory
#define FRAME_MAX  ((size_t)256 << 20) // bytes
#define CHANNELS   2                   // of a VM: one is served, the next may wait

static int complain(const char *what, int result, const char *text)
{
    (void)fprintf(stderr, "frames: %s: %s%s%s\n", what, mux_client_result_name(result),
                  *text ? ": " : "", text);
    return 1;
}

// ---- Receiving ----

static bool write_all(const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes, length);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            bytes += n;
            length -= (size_t)n;
        }
    }
    return true;
}

// Up to the sender's end. False when nobody reads our output any more.
static bool receive(const MuxClientChannel *who, int channel)
{
    MuxClientBulk *bulk = NULL;
    const void *frame = NULL;
    size_t length = 0, frames = 0;
    bool reading = true;

    int r = mux_client_bulk_receiver(channel, NULL, who->link, &bulk);
    while (r == 0 && (r = mux_client_bulk_take(bulk, -1, &frame, &length)) == 0) {
        reading = write_all(frame, length);
        r = reading ? mux_client_bulk_release(bulk, frame, 0) : MUX_CLIENT_CLOSED;
        frames += r == 0;
    }
    (void)fprintf(stderr, "frames: %zu of %s (%s) from %s\n", frames,
                  who->caller.known ? who->caller.program : "somebody", mux_client_result_name(r),
                  who->link);
    if (r != MUX_CLIENT_CLOSED)
        (void)complain(who->link, r, bulk ? mux_client_bulk_reason(bulk) : "");
    mux_client_bulk_free(bulk);
    (void)close(channel);
    return reading;
}

static int serve(const char *service)
{
    const MuxClientListenOptions options = {.description = "takes frames as a bulk stream",
                                            .max_channels = CHANNELS};
    MuxClientListener *listener = NULL;
    MuxClientRefusal refusal;
    const MuxClientChannel *who = NULL;
    int channel = -1;

    int r = mux_client_listen(NULL, service, &options, TIMEOUT_MS, &refusal, &listener);
    if (r != 0)
        return complain(service, r, r > 0 ? refusal.text : "");
    (void)fprintf(stderr, "frames: serving '%s'\n", service);
    bool reading = true;
    while (reading && ((r = mux_client_accept(listener, -1, &who, &channel)) == 0 || r == -EPROTO))
        reading = r != 0 || receive(who, channel);
    if (r != 0)
        (void)complain(service, r, mux_client_listener_reason(listener));
    mux_client_listener_free(listener);
    return r != 0;
}

// ---- Sending ----

// A frame, or what is left at the input's end.
static ssize_t read_frame(char *frame, size_t size)
{
    size_t length = 0;

    while (length < size) {
        ssize_t n = read(STDIN_FILENO, frame + length, size - length);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            break;
        if (n > 0)
            length += (size_t)n;
    }
    return (ssize_t)length;
}

static int send_frames(MuxClientBulk *bulk, size_t size)
{
    void *frame = NULL;
    ssize_t n = 1;
    int r = 0;

    while (n > 0 && (r = mux_client_bulk_reserve(bulk, size, -1, &frame)) == 0) {
        n = read_frame(frame, size);
        if (n < 0)
            return complain("standard input", (int)n, "");
        r = mux_client_bulk_commit(bulk, frame, (size_t)n, 0); // of 0 bytes: given back
        if (r != 0)
            break;
    }
    if (r == 0)
        r = mux_client_bulk_end(bulk, -1); // the buffer is ours: it has to be there until then
    return r == 0 ? 0 : complain("sending", r, mux_client_bulk_reason(bulk));
}

// The buffer is on the same link as the service, and its name is of this process alone.
static int make_buffer(const char *service, size_t size, MuxClientBuffer **ret_buffer)
{
    const char *slash = strchr(service, '/');
    MuxClientRefusal refusal;
    char name[300];

    (void)snprintf(name, sizeof(name), "%.*sframes-%ld", slash ? (int)(slash - service) + 1 : 0,
                   service, (long)getpid());
    int r = mux_client_buffer_create(NULL, name, IN_FLIGHT * (uint64_t)size, NULL, TIMEOUT_MS,
                                     &refusal, ret_buffer);
    return r == 0 ? 0 : complain(name, r, r > 0 ? refusal.text : "");
}

static int send_to(const char *service, size_t size)
{
    MuxClientBuffer *buffer = NULL;
    MuxClientBulk *bulk = NULL;
    MuxClientRefusal refusal;
    int channel = -1;

    if (make_buffer(service, size, &buffer) != 0)
        return 1;
    int r = mux_client_connect(NULL, service, TIMEOUT_MS, &refusal, &channel);
    if (r != 0)
        r = complain(service, r, r > 0 ? refusal.text : "");
    else if ((r = mux_client_bulk_sender(channel, buffer, 0, 0, &bulk)) != 0)
        r = complain(service, r, "");
    else
        r = send_frames(bulk, size);
    mux_client_bulk_free(bulk);
    mux_client_buffer_free(buffer);
    if (channel >= 0)
        (void)close(channel);
    return r;
}

int main(int argc, char **argv)
{
    char *end = NULL;

    (void)signal(SIGPIPE, SIG_IGN); // our output's reader may go
    if (argc == 3 && strcmp(argv[1], "--serve") == 0)
        return serve(argv[2]);
    unsigned long long size = argc == 3 ? strtoull(argv[2], &end, 10) : 0;
    if (size > 0 && size <= FRAME_MAX && *end == '\0')
        return send_to(argv[1], (size_t)size);
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
    (void)fprintf(help ? stdout : stderr,
                  "usage: frames --serve SERVICE >OUTPUT\n"
                  "       frames SERVICE BYTES <INPUT       a frame has so many bytes\n"
                  "The daemon's socket is $GUESTMUX_SOCKET, or the usual one.\n");
    return help ? 0 : 2;
}
