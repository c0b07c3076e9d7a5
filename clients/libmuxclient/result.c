// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One table of results and their words, which are also the daemon's codes.

#include "result.h"

#include <string.h>

static const struct {
    int result;
    const char *word;
} words[] = {
    {MUX_CLIENT_NO_SERVICE, "no-service"},
    {MUX_CLIENT_DENIED, "denied"},
    {MUX_CLIENT_REFUSED, "refused"},
    {MUX_CLIENT_LIMIT, "limit"},
    {MUX_CLIENT_TIMEOUT, "timeout"},
    {MUX_CLIENT_LINK_DOWN, "link-down"},
    {MUX_CLIENT_BAD_NAME, "bad-name"},
    {MUX_CLIENT_BAD_REQUEST, "bad-request"},
    {MUX_CLIENT_NO_VERB, "no-verb"},
    {MUX_CLIENT_NOT_HERE, "not-here"},
    {MUX_CLIENT_BUSY, "busy"},
    {MUX_CLIENT_TAKEN, "taken"},
    {MUX_CLIENT_BAD_SIZE, "bad-size"},
    {MUX_CLIENT_EXISTS, "exists"},
    {MUX_CLIENT_NO_BUFFER, "no-buffer"},
    {MUX_CLIENT_NO_MEMORY, "no-memory"},
    {MUX_CLIENT_UNMAPPABLE, "unmappable"},
    {MUX_CLIENT_FAILED, "failed"},
    // No code of the daemon's:
    {MUX_CLIENT_OTHER, "other"},
    {MUX_CLIENT_AGAIN, "again"},
    {MUX_CLIENT_CLOSED, "closed"},
    {MUX_CLIENT_UNREGISTERED, "unregistered"},
    {MUX_CLIENT_GONE, "gone"},
    {0, "ok"},
};

const char *mux_client_version(void)
{
    return GUESTMUX_VERSION;
}

const char *mux_client_result_name(int result)
{
    if (result < 0)
        return strerror(-result);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (words[i].result == result)
            return words[i].word;
    return "unknown";
}

int mux_client_result(const char *word, size_t length)
{
    for (size_t i = 0; words[i].result != MUX_CLIENT_OTHER; i++)
        if (strlen(words[i].word) == length && memcmp(words[i].word, word, length) == 0)
            return words[i].result;
    return MUX_CLIENT_OTHER;
}

static void copy(char *to, size_t size, const char *from, size_t length)
{
    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)from[length] & 0xC0) == 0x80)
            length--; // not in the middle of a character
    }
    memcpy(to, from, length);
    to[length] = '\0';
}

int mux_client_refuse(MuxClientRefusal *refusal, const char *word, size_t word_length,
                      const char *text, size_t text_length)
{
    if (refusal) {
        copy(refusal->code, sizeof(refusal->code), word, word_length);
        copy(refusal->text, sizeof(refusal->text), text, text_length);
    }
    return mux_client_result(word, word_length);
}

int mux_client_refuse_here(MuxClientRefusal *refusal, int result, const char *text)
{
    const char *word = mux_client_result_name(result);

    (void)mux_client_refuse(refusal, word, strlen(word), text, strlen(text));
    return result;
}

int mux_client_conclude(MuxClientRefusal *refusal, int result)
{
    if (result == MUX_CLIENT_TIMEOUT)
        return mux_client_refuse_here(refusal, result, "the daemon did not answer in time");
    if (result == MUX_CLIENT_CLOSED)
        return mux_client_refuse_here(refusal, result, "the daemon closed the connection");
    return result;
}
