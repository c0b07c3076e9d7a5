// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The list of what can be opened. All of it is one allocation, measured in a first pass: the
// pointers, the services, their properties, and the strings.

#include "services.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

typedef struct Table {
    MuxClientServices services; // first: it is what the caller has
    const MuxClientService **pointers;
    MuxClientService *rows;
    MuxClientProperty *properties;
    MuxClientWords words;
} Table;

int mux_client_services_ask(MuxClientLines *lines, MuxClientDeadline deadline,
                            MuxClientRefusal *ret_refusal, MuxClientJson *ret_remote)
{
    static const char request[] = "{\"verb\":\"services\"}\n";
    MuxClientJson answer;

    int r = mux_client_control_ask(lines, request, strlen(request), deadline, ret_refusal, &answer);
    if (r == 0)
        *ret_remote = mux_client_json_get(answer, "remote");
    return r;
}

// Only what has all three names is a service.
static bool is_service(MuxClientJson value)
{
    return mux_client_json_get(value, "name").at && mux_client_json_get(value, "link").at &&
           mux_client_json_get(value, "service").at;
}

static void measure(MuxClientJson remote, size_t *ret_rows, size_t *ret_properties)
{
    MuxClientJson value;

    *ret_rows = *ret_properties = 0;
    for (MuxClientJson at = {0}; mux_client_json_next(remote, &at, NULL, &value);) {
        if (!is_service(value))
            continue;
        *ret_rows += 1;
        *ret_properties += mux_client_words_count(mux_client_json_get(value, "properties"));
    }
}

static Table *table_new(MuxClientJson remote)
{
    size_t rows, properties;

    measure(remote, &rows, &properties);
    size_t size =
        sizeof(Table) + (rows + 1) * sizeof(MuxClientService *) + rows * sizeof(MuxClientService) +
        (properties + MUX_CLIENT_PROPERTIES_MAX) * sizeof(MuxClientProperty) + remote.length;
    Table *table = malloc(size);
    if (!table)
        return NULL;
    table->pointers = (const MuxClientService **)(table + 1);
    table->rows = (MuxClientService *)(table->pointers + rows + 1);
    table->properties = (MuxClientProperty *)(table->rows + rows);
    table->words = (MuxClientWords){
        (char *)(table->properties + properties + MUX_CLIENT_PROPERTIES_MAX), remote.length, 0};
    table->services = (MuxClientServices){table->pointers, 0};
    return table;
}

static void add_row(Table *table, MuxClientJson value)
{
    MuxClientService *row = table->rows + table->services.count;

    if (!is_service(value))
        return;
    row->name = mux_client_words_get(&table->words, value, "name");
    row->link = mux_client_words_get(&table->words, value, "link");
    row->service = mux_client_words_get(&table->words, value, "service");
    row->description = mux_client_words_get(&table->words, value, "description");
    if (!row->name || !row->link || !row->service)
        return;
    if (!row->description)
        row->description = "";
    row->properties = table->properties;
    row->n_properties = mux_client_words_properties(
        &table->words, mux_client_json_get(value, "properties"), table->properties);
    table->properties += row->n_properties;
    table->pointers[table->services.count++] = row;
}

static int read_services(MuxClientJson remote, MuxClientServices **ret_services)
{
    MuxClientJson value;
    Table *table = table_new(remote);

    if (!table)
        return -ENOMEM;
    for (MuxClientJson at = {0}; mux_client_json_next(remote, &at, NULL, &value);)
        add_row(table, value);
    table->pointers[table->services.count] = NULL;
    *ret_services = &table->services;
    return 0;
}

int mux_client_services(const char *socket, int timeout_ms, MuxClientRefusal *ret_refusal,
                        MuxClientServices **ret_services)
{
    MuxClientDeadline deadline = mux_client_deadline(timeout_ms);
    MuxClientLines lines = {.fd = -1};
    MuxClientJson remote;

    int r = mux_client_control_open(socket, MUX_CLIENT_ANSWER_MAX, deadline, ret_refusal, &lines);
    if (r == 0)
        r = mux_client_services_ask(&lines, deadline, ret_refusal, &remote);
    if (r == 0)
        r = read_services(remote, ret_services);
    mux_client_lines_deinit(&lines);
    return r;
}

void mux_client_services_free(MuxClientServices *services)
{
    free(services);
}

const char *mux_client_service_property(const MuxClientService *service, const char *name)
{
    for (size_t i = 0; i < service->n_properties; i++)
        if (strcmp(service->properties[i].name, name) == 0)
            return service->properties[i].value;
    return NULL;
}
