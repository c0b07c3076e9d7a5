// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The PROXY protocol is HAProxy's (doc/proxy-protocol.txt there, section 2.2). A VM has no address
// that would fit into it, and servers refuse headers without one. So it gets one that exists in no
// network and stands for the same VM and user each time: in the private range fd6d:7578::/32 (RFC
// 4193; "mux"), the first 8 bytes of the SHA-256 of the VM's name, and the user's number. What has
// no place there is in TLVs, of which 0xE0 to 0xEF are for applications.

#include "preamble.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define PROXY_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define PROXY_COMMAND   0x21 // version 2, PROXY
#define PROXY_TCP6      0x21 // AF_INET6, SOCK_STREAM
#define TLV_AUTHORITY   0x02
#define TLV_JSON        0xE0

// Some servers (lighttpd 1.4.69) refuse longer headers.
#define PROXY_MAX  256
#define PROXY_HEAD 16
#define TLV_HEAD   3

json_object *mux_caller_json(const MuxCaller *caller)
{
    if (!caller->known)
        return NULL;
    json_object *object = json_object_new_object();
    json_object_object_add(object, "uid", json_object_new_int64(caller->uid));
    json_object_object_add(object, "gid", json_object_new_int64(caller->gid));
    json_object_object_add(object, "program", json_object_new_string(caller->program));
    return object;
}

static const char *argument_of(const char *name)
{
    const char *colon = strchr(name, ':');
    return colon ? colon + 1 : "";
}

void mux_argument_add(json_object *object, const char *name)
{
    const char *argument = argument_of(name);
    size_t length = strlen(argument);
    bool text = g_utf8_validate(argument, (gssize)length, NULL);
    g_autofree char *base64 = text ? NULL : g_base64_encode((const guchar *)argument, length);

    json_object_object_add(object, text ? "argument" : "argument_base64",
                           json_object_new_string(text ? argument : base64));
}

static char *service_of(const char *name)
{
    return g_strndup(name, strcspn(name, ":"));
}

void mux_preamble_add(json_object *object, const MuxJoint *joint)
{
    g_autofree char *service = service_of(joint->name);
    MuxChannelInfo info;

    mux_channel_info(joint->channel, &info);
    json_object_object_add(object, "service", json_object_new_string(service));
    mux_argument_add(object, joint->name);
    json_object_object_add(object, "link", json_object_new_string(joint->link->name));
    json_object_object_add(object, "id", json_object_new_int64(info.id));
    json_object_object_add(object, "caller", mux_caller_json(&joint->caller));
}

static void put_json(GByteArray *bytes, json_object *object)
{
    size_t length;
    const char *text = json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &length);

    g_byte_array_append(bytes, (const guint8 *)text, (guint)length);
}

static void put_number(GByteArray *bytes, gsize number)
{
    const guint8 big_endian[] = {(guint8)(number >> 8), (guint8)number};
    g_byte_array_append(bytes, big_endian, sizeof(big_endian));
}

static void put_number32(GByteArray *bytes, guint32 number)
{
    put_number(bytes, number >> 16);
    put_number(bytes, number);
}

// The network's part of an address, and what stands for the VM.
static void put_vm(GByteArray *bytes, const char *vm)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    guint8 digest[32];
    gsize length = sizeof(digest);

    g_byte_array_append(bytes, (const guint8 *)"\xfdmux", 4);
    g_checksum_update(sum, (const guchar *)vm, -1);
    g_checksum_get_digest(sum, digest, &length);
    g_byte_array_append(bytes, digest, 8);
}

// From the VM's user to the VM's host, or the other way round; the port tells channels apart.
static void put_addresses(GByteArray *bytes, const MuxJoint *joint)
{
    MuxChannelInfo info;

    mux_channel_info(joint->channel, &info);
    put_vm(bytes, joint->link->name);
    put_number32(bytes, joint->caller.known ? joint->caller.uid : G_MAXUINT32);
    put_vm(bytes, "");
    put_number32(bytes, 0);
    put_number(bytes, info.id);
    put_number(bytes, 0);
}

static void put_tlv(GByteArray *bytes, guint8 type, const void *value, gsize length)
{
    g_byte_array_append(bytes, &type, 1);
    put_number(bytes, length);
    g_byte_array_append(bytes, value, (guint)length);
}

static void put_proxy(GByteArray *bytes, const MuxJoint *joint, json_object *object)
{
    static const guint8 what[] = {PROXY_COMMAND, PROXY_TCP6};
    g_autoptr(GByteArray) rest = g_byte_array_new();
    g_autoptr(GByteArray) json = g_byte_array_new();

    put_addresses(rest, joint);
    put_tlv(rest, TLV_AUTHORITY, joint->name, strlen(joint->name));
    put_json(json, object);
    if (PROXY_HEAD + rest->len + TLV_HEAD + json->len <= PROXY_MAX)
        put_tlv(rest, TLV_JSON, json->data, json->len);
    g_byte_array_append(bytes, (const guint8 *)PROXY_SIGNATURE, sizeof(PROXY_SIGNATURE) - 1);
    g_byte_array_append(bytes, what, sizeof(what));
    put_number(bytes, rest->len);
    g_byte_array_append(bytes, rest->data, rest->len);
}

int mux_preamble_send(const MuxJoint *joint)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    if (joint->service->preamble == MUX_PREAMBLE_NONE)
        return 0;
    json_object *object = json_object_new_object();
    mux_preamble_add(object, joint);
    if (joint->service->preamble == MUX_PREAMBLE_PROXY) {
        put_proxy(bytes, joint, object);
    } else {
        put_json(bytes, object);
        g_byte_array_append(bytes, (const guint8 *)"\n", 1);
    }
    json_object_put(object);
    // A few kilobytes fit into any socket that nothing was written to yet.
    ssize_t n = send(joint->watch.fd, bytes->data, bytes->len, MSG_NOSIGNAL);
    return n < 0 ? -errno : n == (ssize_t)bytes->len ? 0 : -ENOBUFS;
}

// Takes over the value.
static void set(char ***environment, const char *name, char *value)
{
    *environment = g_environ_setenv(*environment, name, value, TRUE);
    g_free(value);
}

char **mux_preamble_environment(const MuxJoint *joint)
{
    static const char *const of_caller[] = {"GUESTMUX_UID", "GUESTMUX_GID", "GUESTMUX_PROGRAM"};
    // Who tells systemd how the daemon is, is the daemon.
    char **environment = g_environ_unsetenv(g_get_environ(), "NOTIFY_SOCKET");
    const MuxCaller *caller = &joint->caller;
    MuxChannelInfo info;

    mux_channel_info(joint->channel, &info);
    set(&environment, "GUESTMUX_SERVICE", service_of(joint->name));
    set(&environment, "GUESTMUX_ARGUMENT", g_strdup(argument_of(joint->name)));
    set(&environment, "GUESTMUX_LINK", g_strdup(joint->link->name));
    set(&environment, "GUESTMUX_CHANNEL", g_strdup_printf("%u", info.id));
    // The daemon may itself have been started as somebody's handler.
    for (size_t i = 0; i < G_N_ELEMENTS(of_caller); i++)
        environment = g_environ_unsetenv(environment, of_caller[i]);
    if (!caller->known)
        return environment;
    set(&environment, "GUESTMUX_UID", g_strdup_printf("%u", caller->uid));
    set(&environment, "GUESTMUX_GID", g_strdup_printf("%u", caller->gid));
    set(&environment, "GUESTMUX_PROGRAM", g_strdup(caller->program));
    return environment;
}
