// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Small things that the others share.

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory-private.h"
#include "relay/json.h"

#define SHOWN_MAX 200

json_object *mux_id_json(uint64_t id)
{
    char text[MUX_ID_SIZE];

    mux_id_text(id, text);
    return json_object_new_string(text);
}

bool mux_get_id(json_object *object, const char *key, uint64_t *ret_id)
{
    json_object *value = mux_get(object, key);
    return mux_json_is_text(value) && mux_id_read(json_object_get_string(value), ret_id);
}

json_object *mux_get(json_object *object, const char *key)
{
    json_object *value = NULL;
    return json_object_is_type(object, json_type_object) &&
                   json_object_object_get_ex(object, key, &value)
               ? value
               : NULL;
}

char *mux_shown(json_object *untrusted_object, const char *key)
{
    json_object *value = mux_get(untrusted_object, key);

    if (!value)
        return NULL;
    return mux_printable(mux_json_is_text(value) ? json_object_get_string(value) : "?", SHOWN_MAX);
}

int mux_memfd_new(uint64_t size)
{
    int fd = memfd_create("guestmux", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -errno;
    // QEMU, which may be another user's, opens it anew; when it has, the mode is 0600. A file that
    // gets shorter would kill QEMU.
    if (ftruncate(fd, (off_t)size) == 0 && fchmod(fd, 0666) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    int r = -errno;
    close(fd);
    return r;
}

uint32_t mux_number(json_object *untrusted_line, const char *key)
{
    json_object *value = mux_get(untrusted_line, key);
    int64_t n = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : -1;

    return n >= 0 && n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

const char *mux_text(json_object *untrusted_line, const char *key)
{
    json_object *value = mux_get(untrusted_line, key);
    return mux_json_is_text(value) ? json_object_get_string(value) : NULL;
}
