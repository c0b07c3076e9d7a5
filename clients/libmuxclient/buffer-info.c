// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A buffer as C has it.

#include "buffer-info.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void mux_client_buffer_box_deinit(MuxClientBufferBox *box)
{
    free(box->words);
    free(box->changed);
    *box = (MuxClientBufferBox){0};
}

bool mux_client_is_host(MuxClientJson answer)
{
    return mux_client_json_equals(mux_client_json_get(answer, "daemon"), "hostmux");
}

static int make_room(char **bytes, size_t *room, size_t wanted)
{
    if (*room >= wanted)
        return 0;
    char *more = realloc(*bytes, wanted);
    if (!more)
        return -ENOMEM;
    *bytes = more;
    *room = wanted;
    return 0;
}

static uint64_t get_number(MuxClientJson object, const char *key)
{
    uint64_t number = 0;

    (void)mux_client_json_number(mux_client_json_get(object, key), UINT64_MAX, &number);
    return number;
}

// Link and buffer with a slash in between.
static const char *join(MuxClientWords *words, const char *link, const char *buffer)
{
    size_t before = strlen(link), behind = strlen(buffer) + 1;
    char *to = words->bytes + words->used;

    if (words->room - words->used < before + 1 + behind)
        return NULL;
    memcpy(to, link, before);
    to[before] = '/';
    memcpy(to + before + 1, buffer, behind);
    words->used += before + 1 + behind;
    return to;
}

static void fill_rest(MuxClientBufferInfo *info, MuxClientWords *words, MuxClientJson object)
{
    MuxClientJson owner = mux_client_json_get(object, "owner");

    info->id = mux_client_words_get(words, object, "id");
    info->size = get_number(object, "size");
    info->state = mux_client_words_get(words, object, "state");
    if (!info->state)
        info->state = "";
    info->owner_side = mux_client_words_get(words, owner, "side");
    info->owner = mux_client_words_caller(owner);
    info->owner.known = info->owner.uid != MUX_CLIENT_NO_ID;
    info->read_only_for = mux_client_words_get(words, object, "read_only_for");
    info->node = mux_client_words_get(words, object, "node");
    info->handles = get_number(object, "handles");
    info->notices = get_number(object, "notices");
}

int mux_client_buffer_box_fill(MuxClientBufferBox *box, MuxClientJson object, bool host)
{
    MuxClientBufferInfo info = {0};
    // The name is there twice: by itself, and behind the VM's.
    int r = make_room(&box->words, &box->room, 2 * object.length + 2);

    box->info = (MuxClientBufferInfo){0};
    if (r < 0)
        return r;
    MuxClientWords words = {box->words, box->room, 0};
    info.buffer = mux_client_words_get(&words, object, "name");
    info.link = mux_client_words_get(&words, object, "link");
    if (!info.buffer || !info.link)
        return -EPROTO;
    info.name = host ? join(&words, info.link, info.buffer) : info.buffer;
    if (!info.name)
        return -EPROTO;
    fill_rest(&info, &words, object);
    info.properties = box->properties;
    info.n_properties = mux_client_words_properties(
        &words, mux_client_json_get(object, "properties"), box->properties);
    box->info = info;
    return 0;
}

int mux_client_buffer_box_change(MuxClientBufferBox *box, MuxClientJson properties)
{
    int r = make_room(&box->changed, &box->changed_room, properties.length);

    if (r < 0)
        return r;
    MuxClientWords words = {box->changed, box->changed_room, 0};
    box->info.properties = box->properties;
    box->info.n_properties = mux_client_words_properties(&words, properties, box->properties);
    return 0;
}

const char *mux_client_buffer_property(const MuxClientBufferInfo *info, const char *name)
{
    for (size_t i = 0; i < info->n_properties; i++)
        if (strcmp(info->properties[i].name, name) == 0)
            return info->properties[i].value;
    return NULL;
}
