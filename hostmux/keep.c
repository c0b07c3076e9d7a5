// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// systemd's descriptor store is a set of named descriptors. Each buffer's memory is one, with its
// device's id for a name; "buffers" is a memfd that is stored once and written anew whenever
// something changes: systemd has the same file. What comes back from there was written by us, but
// is read as anything else is.

#include "keep.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory-private.h"
#include "relay/json.h"
#include "relay/notify.h"
#include "relay/sources.h"

#define FIRST_FD  3 // of those that systemd gives
#define FDS_MAX   4096
#define TEXT_NAME "buffers"
#define AGAIN_MS  200

struct MuxKeep {
    MuxRelay *relay;
    bool enabled; // somebody keeps things
    int text;     // the memfd, or -1
    GPtrArray *kept;
    GHashTable *stored; // ids, as text, that systemd has; the value: it is to drop it
    guint again;        // GLib source: systemd was busy
    MuxJob writing;
};

void mux_kept_free(MuxKept *kept)
{
    if (!kept)
        return;
    if (kept->fd >= 0)
        close(kept->fd);
    json_object_put(kept->facts);
    g_free(kept->vm);
    g_free(kept);
}

// --- what is kept

static json_object *facts_of(const MuxBuffer *buffer)
{
    json_object *facts = json_object_new_object();

    json_object_object_add(facts, "vm", json_object_new_string(buffer->link->name));
    json_object_object_add(facts, "id", mux_id_json(buffer->id));
    json_object_object_add(facts, "name", json_object_new_string(buffer->name));
    json_object_object_add(facts, "size", json_object_new_int64((int64_t)buffer->size));
    json_object_object_add(facts, "uid", json_object_new_int64(buffer->uid));
    json_object_object_add(facts, "gid", json_object_new_int64(buffer->gid));
    json_object_object_add(facts, "program", json_object_new_string(buffer->program));
    json_object_object_add(facts, "host_writes", json_object_new_boolean(buffer->host_writes));
    json_object_object_add(facts, "guest_writes", json_object_new_boolean(buffer->guest_writes));
    json_object_object_add(facts, "properties", json_object_get(buffer->properties));
    return facts;
}

static bool is_kept(const MuxBuffer *buffer)
{
    return buffer->state == MUX_BUFFER_READY && strcmp(buffer->owner, "guest") == 0;
}

static json_object *make_text(const MuxKeep *keep)
{
    json_object *all = json_object_new_array(), *object = json_object_new_object();

    for (guint i = 0; i < keep->relay->links->len; i++) {
        const MuxLink *link = g_ptr_array_index(keep->relay->links, i);
        for (MuxBuffer *b = NULL; (b = mux_buffers_next(link, b));)
            if (is_kept(b))
                json_object_array_add(all, facts_of(b));
    }
    // Those whose VM has not come back yet.
    for (guint i = 0; i < keep->kept->len; i++) {
        const MuxKept *kept = g_ptr_array_index(keep->kept, i);
        json_object_array_add(all, json_object_get(kept->facts));
    }
    json_object_object_add(object, TEXT_NAME, all);
    return object;
}

static void write_text(MuxJob *job)
{
    MuxKeep *keep = mux_container(job, MuxKeep, writing);
    json_object *object = make_text(keep);
    const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
    size_t length = strlen(text);

    if (keep->text < 0) {
        keep->text = memfd_create("hostmux-buffers", MFD_CLOEXEC);
        if (keep->text >= 0 && !mux_notify_store("FDSTORE=1\nFDNAME=" TEXT_NAME, keep->text)) {
            close(keep->text);
            keep->text = -1;
            errno = EBUSY;
        }
    }
    // Shortened last: an end in between leaves text behind the object, which is not read.
    if (keep->text < 0 || pwrite(keep->text, text, length, 0) != (ssize_t)length ||
        ftruncate(keep->text, (off_t)length) < 0)
        g_warning("buffers cannot be kept over a restart: %s", g_strerror(errno));
    json_object_put(object);
}

void mux_keep_change(MuxKeep *keep)
{
    if (keep && keep->enabled)
        mux_loop_defer(keep->relay->loop, &keep->writing);
}

void mux_keep_put(MuxKeep *keep, const MuxBuffer *buffer, int fd)
{
    if (!keep || !keep->enabled || strcmp(buffer->owner, "guest") != 0)
        return;
    char id[MUX_ID_SIZE];
    mux_id_text(buffer->id, id);
    g_autofree char *state = g_strdup_printf("FDSTORE=1\nFDNAME=%s", id);
    if (g_hash_table_size(keep->stored) < FDS_MAX && mux_notify_store(state, fd))
        g_hash_table_insert(keep->stored, g_strdup(id), GINT_TO_POINTER(false));
    else
        g_warning("buffer '%s' is not kept over a restart: systemd is busy", buffer->name);
    mux_keep_change(keep);
}

static gboolean on_again(gpointer user);

// Has systemd drop what is to be dropped, as far as it takes that now: nobody waits for it.
static void drop_stored(MuxKeep *keep)
{
    GHashTableIter iter;
    gpointer id, drop;

    g_hash_table_iter_init(&iter, keep->stored);
    while (g_hash_table_iter_next(&iter, &id, &drop)) {
        if (!GPOINTER_TO_INT(drop))
            continue;
        g_autofree char *state = g_strdup_printf("FDSTOREREMOVE=1\nFDNAME=%s", (char *)id);
        if (mux_notify_store(state, -1)) {
            g_hash_table_iter_remove(&iter);
            continue;
        }
        if (!keep->again)
            keep->again = mux_source_timeout(AGAIN_MS, on_again, keep);
        return;
    }
}

static gboolean on_again(gpointer user)
{
    MuxKeep *keep = user;

    keep->again = 0;
    drop_stored(keep);
    return G_SOURCE_REMOVE;
}

void mux_keep_drop(MuxKeep *keep, uint64_t id)
{
    if (!keep || !keep->enabled)
        return;
    char text[MUX_ID_SIZE];
    mux_id_text(id, text);
    if (!g_hash_table_contains(keep->stored, text))
        return;
    g_hash_table_insert(keep->stored, g_strdup(text), GINT_TO_POINTER(true));
    drop_stored(keep);
    mux_keep_change(keep);
}

// --- what was kept

static void add_kept(MuxKeep *keep, json_object *untrusted_facts, GHashTable *fds)
{
    json_object *vm = mux_get(untrusted_facts, "vm");
    json_object *id = mux_get(untrusted_facts, "id");
    uint64_t number;

    if (!mux_json_is_text(vm) || !mux_get_id(untrusted_facts, "id", &number))
        return;
    gpointer fd = g_hash_table_lookup(fds, json_object_get_string(id));
    if (!fd)
        return;
    g_hash_table_remove(fds, json_object_get_string(id));
    MuxKept *kept = g_new0(MuxKept, 1);
    kept->vm = g_strdup(json_object_get_string(vm));
    kept->id = number;
    kept->fd = GPOINTER_TO_INT(fd);
    kept->facts = json_object_get(untrusted_facts);
    g_hash_table_insert(keep->stored, g_strdup(json_object_get_string(id)), GINT_TO_POINTER(false));
    g_ptr_array_add(keep->kept, kept);
}

static void read_text(MuxKeep *keep, GHashTable *fds)
{
    g_autofree char *text = NULL;
    struct stat st;
    json_object *object = NULL, *all;

    if (keep->text < 0 || fstat(keep->text, &st) < 0 || st.st_size > MUX_JSON_FILE_MAX)
        return;
    text = g_malloc((size_t)st.st_size + 1);
    if (pread(keep->text, text, (size_t)st.st_size, 0) == st.st_size)
        object = mux_json_parse(text, (size_t)st.st_size, NULL);
    all = mux_get(object, TEXT_NAME);
    for (size_t i = 0;
         json_object_is_type(all, json_type_array) && i < json_object_array_length(all); i++)
        add_kept(keep, json_object_array_get_idx(all, i), fds);
    json_object_put(object);
}

// The descriptors of systemd by their names. One that nobody knows is closed, and given up.
static GHashTable *listen_fds(int *ret_text)
{
    GHashTable *fds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    const char *pid = g_getenv("LISTEN_PID"), *count = g_getenv("LISTEN_FDS");
    const char *names = g_getenv("LISTEN_FDNAMES");
    gint64 n = count ? g_ascii_strtoll(count, NULL, 10) : 0;

    *ret_text = -1;
    if (!pid || g_ascii_strtoll(pid, NULL, 10) != getpid() || n <= 0 || n > FDS_MAX)
        return fds;
    g_auto(GStrv) list = g_strsplit(names ? names : "", ":", -1);
    guint named = g_strv_length(list);
    for (int i = 0; i < n; i++) {
        const char *name = (guint)i < named ? list[i] : "";
        int fd = FIRST_FD + i;
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            continue;
        if (strcmp(name, TEXT_NAME) == 0 && *ret_text < 0)
            *ret_text = fd;
        else if (*name && !g_hash_table_contains(fds, name))
            g_hash_table_insert(fds, g_strdup(name), GINT_TO_POINTER(fd));
        else
            close(fd);
    }
    return fds;
}

static void give_up_rest(MuxKeep *keep, GHashTable *fds)
{
    GHashTableIter iter;
    gpointer name, fd;

    g_hash_table_iter_init(&iter, fds);
    while (g_hash_table_iter_next(&iter, &name, &fd)) {
        g_hash_table_insert(keep->stored, g_strdup(name), GINT_TO_POINTER(true));
        close(GPOINTER_TO_INT(fd));
    }
    if (keep->enabled)
        drop_stored(keep);
}

MuxKept *mux_keep_take(MuxKeep *keep, const char *vm, uint64_t id)
{
    for (guint i = 0; keep && i < keep->kept->len; i++) {
        const MuxKept *kept = g_ptr_array_index(keep->kept, i);
        if (kept->id == id && strcmp(kept->vm, vm) == 0)
            return g_ptr_array_steal_index(keep->kept, i);
    }
    return NULL;
}

void mux_keep_forget(MuxKeep *keep, const char *vm)
{
    for (guint i = keep ? keep->kept->len : 0; i-- > 0;) {
        const MuxKept *kept = g_ptr_array_index(keep->kept, i);
        if (strcmp(kept->vm, vm) != 0)
            continue;
        mux_keep_drop(keep, kept->id);
        g_ptr_array_remove_index(keep->kept, i);
    }
}

// --- its life

MuxKeep *mux_keep_new(MuxRelay *relay)
{
    MuxKeep *keep = g_new0(MuxKeep, 1);
    g_autoptr(GHashTable) fds = listen_fds(&keep->text);

    keep->relay = relay;
    keep->enabled = g_getenv("NOTIFY_SOCKET") != NULL;
    keep->stored = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    keep->kept = g_ptr_array_new_with_free_func((GDestroyNotify)mux_kept_free);
    mux_job_init(&keep->writing, write_text);
    read_text(keep, fds);
    give_up_rest(keep, fds);
    // Not for the handlers that are started.
    g_unsetenv("LISTEN_PID");
    g_unsetenv("LISTEN_FDS");
    g_unsetenv("LISTEN_FDNAMES");
    return keep;
}

MuxKeep *mux_keep_free(MuxKeep *keep)
{
    if (!keep)
        return NULL;
    mux_job_cancel(&keep->writing);
    if (keep->again)
        g_source_remove(keep->again);
    g_hash_table_unref(keep->stored);
    g_ptr_array_unref(keep->kept);
    if (keep->text >= 0)
        close(keep->text);
    g_free(keep);
    return NULL;
}
