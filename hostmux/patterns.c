// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A pattern is taken apart around its *: the folder in which names are compared, what is before and
// behind the * in a name, and the rest of the path. Sockets are only looked at; whether somebody
// listens is the port's business, which tries again and again.

#include "patterns.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/name.h"
#include "relay/address.h"
#include "relay/json.h"

#define PATTERNS_MAX 64
#define VMS_MAX      1024
#define ENTRIES_MAX  16384 // names of one folder that are looked at

typedef struct Pattern {
    char *folder, *prefix, *suffix;
    char *rest; // of the path, behind the name; NULL: the name is the socket's
} Pattern;

struct MuxPatterns {
    GPtrArray *all;        // of Pattern
    GHashTable *told;      // what was logged, and is so still
    GHashTable *told_anew; // while looking
};

static void pattern_free(gpointer pointer)
{
    Pattern *pattern = pointer;

    g_free(pattern->folder);
    g_free(pattern->prefix);
    g_free(pattern->suffix);
    g_free(pattern->rest);
    g_free(pattern);
}

static Pattern *parse(const char *text)
{
    const char *star = strchr(text, '*');
    if (text[0] != '/' || !star || strchr(star + 1, '*') || g_str_has_suffix(text, "/"))
        return NULL;

    Pattern *pattern = g_new0(Pattern, 1);
    g_autofree char *before = g_strndup(text, (gsize)(star - text));
    const char *name = strrchr(before, '/') + 1;
    const char *end = strchrnul(star, '/');
    pattern->folder =
        name - before > 1 ? g_strndup(before, (gsize)(name - before) - 1) : g_strdup("/");
    pattern->prefix = g_strdup(name);
    pattern->suffix = g_strndup(star + 1, (gsize)(end - star) - 1);
    pattern->rest = *end ? g_strdup(end + 1) : NULL;
    return pattern;
}

static GHashTable *new_set(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

MuxPatterns *mux_patterns_new(char **patterns, GError **error)
{
    MuxPatterns *new = g_new0(MuxPatterns, 1);

    new->all = g_ptr_array_new_with_free_func(pattern_free);
    new->told = new_set();
    for (guint i = 0; patterns && patterns[i]; i++) {
        Pattern *pattern = i < PATTERNS_MAX ? parse(patterns[i]) : NULL;
        if (!pattern) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "\"vm_patterns\": " MUX_JSON_NUMBER "%u: '%s' is not one of at most %d "
                        "absolute paths with one * each",
                        i + 1, patterns[i], PATTERNS_MAX);
            return mux_patterns_free(new);
        }
        g_ptr_array_add(new->all, pattern);
    }
    return new;
}

MuxPatterns *mux_patterns_free(MuxPatterns *patterns)
{
    if (!patterns)
        return NULL;
    g_ptr_array_unref(patterns->all);
    g_hash_table_unref(patterns->told);
    g_free(patterns);
    return NULL;
}

// --- names

static const char *skip_number(const char *text)
{
    const char *digits = text;

    while (g_ascii_isdigit(*digits))
        digits++;
    return digits > text && digits[0] == '-' && digits[1] != '\0' ? digits + 1 : text;
}

// libvirt calls a VM's folder domain-3-web1; newer ones 3-web1, in another place.
static const char *skip_libvirt(const Pattern *pattern, const char *text)
{
    if (g_str_has_suffix(pattern->folder, "/libvirt/qemu/channel"))
        return skip_number(text);
    if (!g_str_has_prefix(text, "domain-"))
        return text;
    const char *number = text + strlen("domain-");
    const char *name = skip_number(number);
    return name != number ? name : text;
}

// A VM's name from what the * stands for; to be freed.
static char *make_name(const Pattern *pattern, const char *entry)
{
    size_t part = strlen(entry) - strlen(pattern->prefix) - strlen(pattern->suffix);
    g_autofree char *matched = g_strndup(entry + strlen(pattern->prefix), part);
    char *name = g_strdup(skip_libvirt(pattern, matched));

    for (char *c = name; *c; c++)
        if (!g_ascii_isalnum(*c) && !strchr("._-", *c))
            *c = '_';
    if (name[0] == '.' || name[0] == '-')
        name[0] = '_';
    return name;
}

static bool matches(const Pattern *pattern, const char *entry)
{
    // As in a shell, a * at the beginning leaves hidden files out.
    return strlen(entry) > strlen(pattern->prefix) + strlen(pattern->suffix) &&
           g_str_has_prefix(entry, pattern->prefix) && g_str_has_suffix(entry, pattern->suffix) &&
           (entry[0] != '.' || *pattern->prefix);
}

static int compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The names of a pattern's folder that it matches, sorted.
static GStrv list_entries(const Pattern *pattern)
{
    g_autoptr(GDir) dir = g_dir_open(pattern->folder, 0, NULL);
    GPtrArray *entries = g_ptr_array_new();
    const char *entry;

    for (guint i = 0; dir && i < ENTRIES_MAX && (entry = g_dir_read_name(dir)); i++)
        if (matches(pattern, entry))
            g_ptr_array_add(entries, g_strdup(entry));
    g_ptr_array_sort(entries, compare);
    g_ptr_array_add(entries, NULL);
    return (GStrv)g_ptr_array_free(entries, FALSE);
}

// --- looking

static void tell(MuxPatterns *patterns, char *text)
{
    if (!g_hash_table_contains(patterns->told, text) &&
        !g_hash_table_contains(patterns->told_anew, text))
        g_warning("%s", text);
    g_hash_table_add(patterns->told_anew, text);
}

static bool is_socket(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

// Two sockets for one VM: the one that is in use stays, or else the first.
static void choose(MuxPatterns *patterns, GHashTable *before, GHashTable *found, const char *name,
                   char *port)
{
    const char *first = g_hash_table_lookup(found, name);

    if (strcmp(first, port) == 0) // by two patterns
        return;
    bool second = g_strcmp0(g_hash_table_lookup(before, name), port) == 0;
    tell(patterns,
         g_strdup_printf("VM '%s' is found twice; %s is not used", name, second ? first : port));
    if (second)
        g_hash_table_replace(found, g_strdup(name), g_strdup(port));
}

static void add(MuxPatterns *patterns, GHashTable *before, GHashTable *found, const char *name,
                const char *path)
{
    g_autofree char *port = g_strconcat("unix:", path, NULL);
    MuxAddress address;
    size_t service;

    if (!mux_name_valid(name, strlen(name), &service))
        tell(patterns, g_strdup_printf("%s: its name is too long for a VM's", path));
    else if (!mux_address_unix(path, &address, NULL))
        tell(patterns, g_strdup_printf("%s: the path is too long for a socket's", path));
    else if (g_hash_table_contains(found, name))
        choose(patterns, before, found, name, port);
    else if (g_hash_table_size(found) < VMS_MAX)
        g_hash_table_insert(found, g_strdup(name), g_steal_pointer(&port));
    else
        tell(patterns,
             g_strdup_printf("more than %d VMs were found; the others are left out", VMS_MAX));
}

static void find(MuxPatterns *patterns, const Pattern *pattern, GHashTable *before,
                 GHashTable *found)
{
    g_auto(GStrv) entries = list_entries(pattern);

    for (char **entry = entries; *entry; entry++) {
        g_autofree char *path = g_build_filename(pattern->folder, *entry, pattern->rest, NULL);
        g_autofree char *name = make_name(pattern, *entry);
        if (is_socket(path))
            add(patterns, before, found, name, path);
    }
}

void mux_patterns_find(MuxPatterns *patterns, GHashTable *before, GHashTable *vms)
{
    g_autoptr(GHashTable) found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    GHashTableIter iter;
    gpointer name, port;

    patterns->told_anew = new_set();
    for (guint i = 0; i < patterns->all->len; i++)
        find(patterns, g_ptr_array_index(patterns->all, i), before, found);
    g_hash_table_unref(patterns->told);
    patterns->told = g_steal_pointer(&patterns->told_anew);

    g_hash_table_iter_init(&iter, found);
    while (g_hash_table_iter_next(&iter, &name, &port))
        if (!g_hash_table_contains(vms, name))
            g_hash_table_insert(vms, g_strdup(name), g_strdup(port));
}

GStrv mux_patterns_folders(const MuxPatterns *patterns)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    for (guint i = 0; i < patterns->all->len; i++) {
        const Pattern *pattern = g_ptr_array_index(patterns->all, i);
        g_auto(GStrv) entries = list_entries(pattern);
        g_autofree char *inner = pattern->rest ? g_path_get_dirname(pattern->rest) : NULL;
        g_strv_builder_add(builder, pattern->folder);
        for (guint n = 0; inner && entries[n] && n < 2 * VMS_MAX; n++) {
            g_autofree char *folder = g_build_filename(pattern->folder, entries[n], inner, NULL);
            g_strv_builder_add(builder, folder);
        }
    }
    return g_strv_builder_end(builder);
}
