// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// frames-CONTENDER SIZE ROUNDS
//
// What it costs to make frames of SIZE bytes of payload and to take them apart, without a kernel:
// two ends in memory, in rounds of as many frames as go on the way at once. Prints a line of JSON.
//
// Instructions are counted from outside, by callgrind, which knows the functions by name:
// of frames_encode() all counts but copy_in_encode(), of frames_decode() all but copy_in_decode()
// (how many instructions copy a byte is a matter of the processor), from frames_measured() on.

#include "frames.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZE_MAX_HERE 32000
#define ROUND_BYTES   (128 << 10)
#define ROUND_FRAMES  1000
#define WARM_ROUNDS   32 // in which windows grow to their full size

// As the functions are known by name, they have to be there.
#define KEPT __attribute__((noinline, noclone))

void copy_in_decode(void *to, const void *from, size_t n);
void copy_in_encode(void *to, const void *from, size_t n);
void frames_decode(void);
void frames_encode(void);
void frames_measured(unsigned long rounds);

static Wires wires;
static uint8_t source[SIZE_MAX_HERE], sink[SIZE_MAX_HERE];
static size_t size, frames_a_round;
static size_t sent, came; // bytes of payload, in all

// No jump to memcpy(), from where it would not be seen to return.
KEPT void copy_in_encode(void *to, const void *from, size_t n)
{
    memcpy(to, from, n);
    __asm__ volatile("" ::: "memory");
}

KEPT void copy_in_decode(void *to, const void *from, size_t n)
{
    memcpy(to, from, n);
    __asm__ volatile("" : "+r"(to)::"memory"); // not one function with the other
}

void (*frames_copy)(void *to, const void *from, size_t n) = copy_in_encode;

void frames_write(Wire *wire, const void *bytes, size_t n)
{
    if (n > sizeof(wire->bytes) - wire->size)
        errx(1, "more on the wire than it has room for");
    frames_copy(wire->bytes + wire->size, bytes, n);
    wire->size += n;
}

KEPT void frames_encode(void)
{
    frames_copy = copy_in_encode;
    sent += contender_encode(&wires, source, frames_a_round);
}

KEPT void frames_decode(void)
{
    frames_copy = copy_in_decode;
    came += contender_decode(&wires, sink);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void run(unsigned long rounds, uint64_t *ret_encode_ns, uint64_t *ret_decode_ns)
{
    uint64_t encode = 0, decode = 0, begin, between;

    for (; rounds > 0; rounds--) {
        begin = now_ns();
        frames_encode();
        between = now_ns();
        frames_decode();
        encode += between - begin;
        decode += now_ns() - between;
    }
    *ret_encode_ns = encode;
    *ret_decode_ns = decode;
}

static void warm_up(void)
{
    uint64_t encode, decode;

    run(WARM_ROUNDS, &encode, &decode);
    if (sent != came || memcmp(source, sink, size) != 0)
        errx(1, "what came is not what was sent");
}

KEPT void frames_measured(unsigned long rounds)
{
    uint64_t encode, decode;
    double frames = (double)rounds * (double)frames_a_round;

    run(rounds, &encode, &decode);
    if (sent != came)
        errx(1, "%zu bytes came of %zu", came, sent);
    printf("{\"frames\": %.0f, \"encode_ns\": %.3f, \"decode_ns\": %.3f}\n", frames,
           (double)encode / frames, (double)decode / frames);
}

int main(int argc, char **argv)
{
    unsigned long rounds;

    if (argc != 3 || (size = strtoul(argv[1], NULL, 10)) > SIZE_MAX_HERE ||
        (rounds = strtoul(argv[2], NULL, 10)) == 0) {
        (void)fprintf(stderr, "usage: frames-CONTENDER SIZE ROUNDS\n");
        return 2;
    }
    frames_a_round = ROUND_BYTES / (size + 1);
    if (frames_a_round > ROUND_FRAMES)
        frames_a_round = ROUND_FRAMES;
    for (size_t i = 0; i < sizeof(source); i++)
        source[i] = (uint8_t)(i * 7 + 1);
    contender_start(&wires, size);
    warm_up();
    frames_measured(rounds);
    return 0;
}
