// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See buffer-world.h.

#include "buffer-world.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "relay/services.h"

// --- the fake daemon

static Side *side_of(const MuxBuffer *buffer)
{
    return buffer->link->relay->memory_user;
}

void world_make(MuxBuffer *buffer)
{
    buffer->id = ++side_of(buffer)->next_id;
    int fd = memfd_create("buffer", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(fd, (off_t)buffer->size), ==, 0);
    buffer->memory = GINT_TO_POINTER(fd + 1);
    mux_buffer_ready(buffer);
}

void world_free(MuxBuffer *buffer)
{
    if (buffer->memory)
        close(GPOINTER_TO_INT(buffer->memory) - 1);
    mux_buffer_free(buffer);
}

static void kind_create(MuxBuffer *buffer)
{
    side_of(buffer)->created++;
    if (side_of(buffer)->making == NOW)
        world_make(buffer);
    else if (side_of(buffer)->making == NEVER)
        mux_buffer_fail(buffer, "unmappable", "the kernel does not let it be mapped");
}

static void kind_set(MuxBuffer *buffer, json_object *changes)
{
    Side *side = side_of(buffer);

    side->set++;
    g_free(side->changes);
    side->changes = g_strdup(json_object_to_json_string_ext(changes, JSON_C_TO_STRING_PLAIN));
}

static void kind_release(MuxBuffer *buffer, const char *reason)
{
    Side *side = side_of(buffer);

    g_assert_cmpint(buffer->state, ==, MUX_BUFFER_GOING);
    side->released++;
    g_free(side->reason);
    side->reason = g_strdup(reason);
}

static void kind_idle(MuxBuffer *buffer)
{
    side_of(buffer)->idled++;
    if (side_of(buffer)->frees)
        world_free(buffer);
}

static int kind_memory(MuxBuffer *buffer, bool write)
{
    g_autofree char *path =
        g_strdup_printf("/proc/self/fd/%d", GPOINTER_TO_INT(buffer->memory) - 1);

    return g_open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC, 0);
}

static void kind_down(MuxLink *link)
{
    ((Side *)link->relay->memory_user)->downs++;
}

static void kind_free(MuxLink *link)
{
    for (MuxBuffer *buffer; (buffer = mux_buffers_next(link, NULL));)
        world_free(buffer);
}

const MuxMemoryKind world_kind = {.create = kind_create,
                                  .set = kind_set,
                                  .release = kind_release,
                                  .idle = kind_idle,
                                  .memory = kind_memory,
                                  .down = kind_down,
                                  .free = kind_free};

// --- time

gboolean world_late(gpointer text)
{
    g_error("it did not happen: %s", (const char *)text);
    return G_SOURCE_REMOVE;
}

void world_settle(void)
{
    for (int quiet = 0; quiet < 3; quiet++)
        while (g_main_context_iteration(NULL, FALSE))
            quiet = 0;
}

// --- beginning and end

static void side_begin(Side *side, MuxRole role, const char *spec)
{
    side->relay.role = role;
    g_assert_cmpint(mux_loop_new(&side->relay.loop), ==, 0);
    side->relay.most_fd = 512;
    side->relay.controls = mux_controls_new(&side->relay);
    side->relay.links = g_ptr_array_new_with_free_func(mux_link_destroy);
    const struct rlimit descriptors = {512, 512};
    side->relay.services = mux_services_new(&descriptors, NULL, NULL);
    side->relay.handles = mux_handles_new(&side->relay);
    side->relay.memory = &world_kind;
    side->relay.memory_user = side;
    side->relay.buffers = (MuxBufferLimits){MUX_BUFFERS_DEFAULT, MUX_BUFFER_BYTES_DEFAULT};
    side->relay.users = (MuxUserLimits){.channels = 16, .bytes = 1 << 20};
    side->frees = true;
    side->next_id = role == MUX_HOST ? 1000 : 2000;
    g_autoptr(GError) error = NULL;
    side->link = mux_link_new(&side->relay, role == MUX_HOST ? "web1" : "host", spec, &error);
    g_assert_no_error(error);
    g_ptr_array_add(side->relay.links, side->link);
}

static void side_end(Side *side)
{
    mux_handles_free(side->relay.handles);
    mux_controls_free(side->relay.controls);
    side->relay.controls = NULL;
    g_ptr_array_unref(side->relay.links);
    mux_services_free(side->relay.services);
    g_assert_cmpuint(side->relay.sockets, ==, 0);
    mux_loop_free(side->relay.loop);
    g_free(side->changes);
    g_free(side->reason);
}

bool world_up(const World *world)
{
    return mux_session_is_up(world->host.link->session) &&
           mux_session_is_up(world->guest.link->session);
}

void world_begin(World *world, gconstpointer data)
{
    (void)data;
    *world = (World){.folder = g_dir_make_tmp("guestmux-buffers-XXXXXX", NULL)};
    g_autofree char *listen = g_strdup_printf("listen:%s/port", world->folder);
    g_autofree char *connect = g_strdup_printf("unix:%s/port", world->folder);

    side_begin(&world->host, MUX_HOST, listen);
    side_begin(&world->guest, MUX_GUEST, connect);
    world_until(world_up(world));
}

void world_end(World *world, gconstpointer data)
{
    (void)data;
    side_end(&world->guest);
    side_end(&world->host);
    g_autofree char *port = g_build_filename(world->folder, "port", NULL);
    (void)g_unlink(port);
    g_assert_cmpint(g_rmdir(world->folder), ==, 0);
    g_free(world->folder);
}

// --- the other side

MuxBuffer *world_share(Side *here, const Side *there, const char *name)
{
    const MuxBuffer *other = mux_buffers_find(there->link, name);
    const MuxBufferFacts facts = {.name = name,
                                  .id = other->id,
                                  .size = other->size,
                                  .owner = other->owner,
                                  .uid = other->uid,
                                  .gid = other->gid,
                                  .program = other->program,
                                  .read_only_for = !other->guest_writes  ? "guest"
                                                   : !other->host_writes ? "host"
                                                                         : NULL,
                                  .properties = other->properties};
    MuxBufferError error;
    MuxBuffer *buffer = mux_buffers_add(here->link, &facts, &error);

    g_assert_nonnull(buffer);
    buffer->memory = GINT_TO_POINTER(dup(GPOINTER_TO_INT(other->memory) - 1) + 1);
    mux_buffer_ready(buffer);
    return buffer;
}
