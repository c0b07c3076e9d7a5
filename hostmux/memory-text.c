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

void mux_hex(const guint8 *bytes, size_t n, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 0xf];
    }
    ret_text[2 * n] = '\0';
}

bool mux_unhex(const char *untrusted_text, guint8 *ret_bytes, size_t n)
{
    if (strlen(untrusted_text) != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = g_ascii_xdigit_value(untrusted_text[2 * i]);
        int low = g_ascii_xdigit_value(untrusted_text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret_bytes[i] = (guint8)(high << 4 | low);
    }
    return true;
}

json_object *mux_id_json(uint64_t id)
{
    g_autofree char *text = g_strdup_printf("%016" G_GINT64_MODIFIER "x", id);
    return json_object_new_string(text);
}

bool mux_id_read(json_object *untrusted_value, uint64_t *ret_id)
{
    guint8 bytes[8];
    uint64_t id = 0;

    if (!mux_json_is_text(untrusted_value) ||
        !mux_unhex(json_object_get_string(untrusted_value), bytes, sizeof(bytes)))
        return false;
    for (size_t i = 0; i < sizeof(bytes); i++)
        id = id << 8 | bytes[i];
    *ret_id = id;
    return id != 0;
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
    char *shown =
        g_strndup(mux_json_is_text(value) ? json_object_get_string(value) : "?", SHOWN_MAX);
    for (char *c = shown; *c; c++)
        if (!g_ascii_isprint(*c))
            *c = '?';
    return shown;
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
