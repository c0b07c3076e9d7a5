// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The conversation is a table; after each step both ends carry what they have to say.

#include "script.h"

#include <string.h>

const MuxLimits script_limits = {.channels = 4, .pending = 2, .budget = 4096};

typedef enum Act {
    SAY_OPEN,    // text is the name; id is what it gets
    SAY_ACCEPT,  //
    SAY_TEXT,    // text is sent
    SAY_MUCH,    // n bytes 'm' are sent, as the credit allows
    SAY_READ,    // n bytes are consumed
    SAY_FIN,     //
    SAY_STOP,    //
    SAY_CLOSE,   // n is the code
    SAY_SHARE,   // from now on what is sent goes through shared memory
    SAY_NOTICE,  // n is its sequence
    SAY_NOTHING, // n microseconds pass
} Act;

typedef struct Line {
    char who; // 'g' or 'h'
    Act act;
    uint32_t id;
    size_t n;
    const char *text;
} Line;

static const Line lines[] = {
    // A question, an answer, each closed after the other.
    {'g', SAY_OPEN, 1, 0, "echo:arg"},
    {'h', SAY_ACCEPT, 1, 0, NULL},
    {'g', SAY_TEXT, 1, 0, "question"},
    {'h', SAY_READ, 1, 8, NULL},
    {'g', SAY_FIN, 1, 0, NULL},
    {'h', SAY_TEXT, 1, 0, "answer"},
    {'g', SAY_READ, 1, 6, NULL},
    {'h', SAY_FIN, 1, 0, NULL},
    {'g', SAY_CLOSE, 1, MUX_CODE_CLOSED, NULL},
    {'h', SAY_CLOSE, 1, MUX_CODE_CLOSED, NULL},
    // Refused; and given up before it was answered.
    {'g', SAY_OPEN, 3, 0, "nobody"},
    {'h', SAY_CLOSE, 3, MUX_CODE_NO_SERVICE, NULL},
    {'g', SAY_CLOSE, 3, MUX_CODE_CLOSED, NULL},
    {'h', SAY_OPEN, 2, 0, "slow"},
    {'h', SAY_CLOSE, 2, MUX_CODE_TIMEOUT, NULL},
    {'g', SAY_CLOSE, 2, MUX_CODE_CLOSED, NULL},
    // The host opens; its window grows while the guest writes without end; then it falls idle.
    {'h', SAY_OPEN, 4, 0, "bulk"},
    {'g', SAY_ACCEPT, 4, 0, NULL},
    {'g', SAY_MUCH, 4, 256, NULL},
    {'h', SAY_READ, 4, 256, NULL},
    {'g', SAY_MUCH, 4, 20, NULL},
    {'h', SAY_READ, 4, 20, NULL},
    {'g', SAY_NOTHING, 0, 1500000, NULL},
    // Another one wants to grow: what 4 does not use is asked back. Both go on.
    {'g', SAY_OPEN, 5, 0, "more"},
    {'h', SAY_ACCEPT, 5, 0, NULL},
    {'g', SAY_MUCH, 5, 256, NULL},
    {'h', SAY_READ, 5, 256, NULL},
    {'g', SAY_MUCH, 4, 256, NULL},
    {'h', SAY_READ, 4, 256, NULL},
    // Nobody reads any more: STOP is answered by FIN. A reset in the middle.
    {'h', SAY_STOP, 4, 0, NULL},
    {'g', SAY_STOP, 5, 0, NULL},
    {'g', SAY_TEXT, 5, 0, "last"},
    {'h', SAY_READ, 5, 4, NULL},
    {'h', SAY_FIN, 4, 0, NULL},
    {'h', SAY_CLOSE, 4, MUX_CODE_CLOSED, NULL},
    {'g', SAY_CLOSE, 4, MUX_CODE_CLOSED, NULL},
    {'g', SAY_CLOSE, 5, MUX_CODE_CLOSED, NULL},
    {'h', SAY_CLOSE, 5, MUX_CODE_CLOSED, NULL},
    // Bytes in a slot, and a notice.
    {'g', SAY_OPEN, 7, 0, "shared"},
    {'h', SAY_ACCEPT, 7, 0, NULL},
    {'g', SAY_SHARE, 7, 0, NULL},
    {'g', SAY_TEXT, 7, 0, "in a slot"},
    {'h', SAY_READ, 7, 9, NULL},
    {'h', SAY_NOTICE, 0, 3, NULL},
    {'g', SAY_FIN, 7, 0, NULL},
    {'h', SAY_CLOSE, 7, MUX_CODE_CLOSED, NULL},
    {'g', SAY_CLOSE, 7, MUX_CODE_CLOSED, NULL},
    // Someone is still there in the end.
    {'g', SAY_OPEN, 9, 0, "last"},
    {'h', SAY_ACCEPT, 9, 0, NULL},
    {'h', SAY_TEXT, 9, 0, "unread"},
};

#define M16  "mmmmmmmmmmmmmmmm"
#define M64  M16 M16 M16 M16
#define M256 M64 M64 M64 M64
#define M20  M16 "mmmm"

const char script_guest_log[] = "ACCEPT 1\n"
                                "DATA 1 answer\n"
                                "FIN 1\n"
                                "RESET 3 no-service\n"
                                "OPEN 2 slow\n"
                                "RESET 2 timeout\n"
                                "OPEN 4 bulk\n"
                                "ACCEPT 5\n"
                                "STOP 4\n"
                                "FIN 5\n"
                                "FIN 4\n"
                                "ACCEPT 7\n"
                                "NOTICE 1 3 0 64\n"
                                "RESET 7 closed\n"
                                "ACCEPT 9\n"
                                "DATA 9 unread\n";

const char script_host_log[] = "OPEN 1 echo:arg\n"
                               "DATA 1 question\n"
                               "FIN 1\n"
                               "OPEN 3 nobody\n"
                               "ACCEPT 4\n"
                               "DATA 4 " M256 M20 "\n"
                               "OPEN 5 more\n"
                               "DATA 5 " M256 "\n"
                               "DATA 4 " M256 "\n"
                               "FIN 4\n"
                               "STOP 5\n"
                               "DATA 5 last\n"
                               "RESET 5 closed\n"
                               "OPEN 7 shared\n"
                               "SHARED 7 in a slot\n"
                               "FIN 7\n"
                               "OPEN 9 last\n";

static void write_much(End *end, MuxChannel *channel, size_t n)
{
    char much[4096];
    memset(much, 'm', sizeof(much));
    (void)end_write(end, channel, much, n);
}

// Whoever reads it has it first.
static void share(Pair *pair, MuxChannel *channel)
{
    static uint8_t memory[4][64];
    const MuxRegion region = {memory[0], 1, 1, {{sizeof(memory[0]), G_N_ELEMENTS(memory)}}};

    if (mux_session_set_region(pair->host.session, false, &region) == 0)
        (void)mux_session_set_region(pair->guest.session, true, &region);
    mux_channel_set_path(channel, MUX_PATH_SHARED, 0);
}

static void give_notice(Pair *pair, End *end, uint64_t sequence)
{
    MuxNotice notice;

    mux_notice_init(&notice, 1);
    notice.sequence = sequence;
    notice.length = 64;
    mux_session_notify(end->session, &notice);
    pair_settle(pair);
    mux_notice_deinit(&notice);
}

static void do_line(Pair *pair, const Line *line)
{
    End *end = line->who == 'g' ? &pair->guest : &pair->host;
    MuxChannel *channel = end_channel(end, line->id);

    if (line->act == SAY_OPEN)
        (void)end_open(end, line->text);
    else if (line->act == SAY_NOTHING)
        pair_sleep(pair, line->n);
    else if (line->act == SAY_NOTICE)
        give_notice(pair, end, line->n);
    else if (!channel)
        return;
    else if (line->act == SAY_ACCEPT)
        mux_channel_accept(channel, end);
    else if (line->act == SAY_SHARE)
        share(pair, channel);
    else if (line->act == SAY_TEXT)
        (void)end_write(end, channel, line->text, strlen(line->text));
    else if (line->act == SAY_MUCH)
        write_much(end, channel, line->n);
    else if (line->act == SAY_READ)
        end_read(channel, line->n);
    else if (line->act == SAY_FIN)
        mux_channel_fin(channel);
    else if (line->act == SAY_STOP)
        mux_channel_stop(channel);
    else
        end_close(end, channel, (MuxCode)line->n);
}

void script_run(Pair *pair)
{
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        do_line(pair, &lines[i]);
        end_drain(&pair->guest);
        end_drain(&pair->host);
        pair_settle(pair);
    }
}
