// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// policy.c: who may, and what is no policy.

#include <gio/gio.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "relay/json.h"
#include "relay/policy.h"

// Somebody whom the daemon does not run as, with two supplementary groups.
#define UID 65001
#define GID 65002

static gid_t groups[] = {65003, 65004};
static const MuxPeer somebody = {
    .known = true, .uid = UID, .gid = GID, .groups = groups, .n_groups = G_N_ELEMENTS(groups)};

static MuxPolicy *parse(const char *text, GError **error)
{
    g_autoptr(GError) bad = NULL;
    json_object *object = mux_json_parse(text, strlen(text), &bad);

    g_assert_no_error(bad);
    MuxPolicy *policy = mux_policy_new(object, error);
    json_object_put(object);
    return policy;
}

static bool asks(const char *text, MuxPolicyAction action, const char *name, const MuxPeer *peer)
{
    g_autoptr(GError) error = NULL;
    MuxPolicy *policy = parse(text, &error);
    // A copy of just that length, so that reading beyond it is seen.
    g_autofree char *copy = g_memdup2(name, MAX(strlen(name), 1));

    g_assert_no_error(error);
    bool allowed = mux_policy_allows(policy, action, copy, strlen(name), peer);
    mux_policy_free(policy);
    return allowed;
}

static bool opens(const char *text, const char *name)
{
    return asks(text, MUX_POLICY_OPEN, name, &somebody);
}

static bool registers(const char *text, const char *name)
{
    return asks(text, MUX_POLICY_REGISTER, name, &somebody);
}

static void test_nothing(void)
{
    g_assert_true(mux_policy_allows(NULL, MUX_POLICY_OPEN, "a", 1, &somebody));
    g_assert_true(mux_policy_allows(NULL, MUX_POLICY_REGISTER, "a", 1, &somebody));
    g_assert_true(opens("{}", "a"));
    g_assert_true(registers("{}", "a"));
    g_assert_true(opens("{\"b\": {\"users\": []}}", "a"));
    g_assert_true(opens("{\"a\": {}}", "a"));
    g_assert_null(mux_policy_free(NULL));
}

static void test_users(void)
{
    g_assert_false(opens("{\"a\": {\"users\": []}}", "a"));
    g_assert_false(opens("{\"a\": {\"users\": [65000, 65002, 65003]}}", "a"));
    g_assert_true(opens("{\"a\": {\"users\": [1, 65001]}}", "a"));
    g_assert_true(opens("{\"a\": {\"users\": [\"root\", \"65001\"]}}", "a"));
    // Whoever may open may register.
    g_assert_true(registers("{\"a\": {\"users\": [65001]}}", "a"));
    g_assert_false(registers("{\"a\": {\"users\": []}}", "a"));
}

static void test_groups(void)
{
    g_assert_false(opens("{\"a\": {\"groups\": []}}", "a"));
    g_assert_false(opens("{\"a\": {\"groups\": [65001, 65005]}}", "a"));
    g_assert_true(opens("{\"a\": {\"groups\": [65002]}}", "a"));
    g_assert_true(opens("{\"a\": {\"groups\": [65004]}}", "a"));
    g_assert_true(opens("{\"a\": {\"users\": [1], \"groups\": [65003]}}", "a"));
    g_assert_true(opens("{\"a\": {\"users\": [65001], \"groups\": []}}", "a"));
}

static void test_others(void)
{
    const char *text = "{\"*\": {\"users\": []}, \"a\": {\"users\": [65001]}, \"b\": {}}";

    g_assert_true(opens(text, "a"));
    g_assert_true(opens(text, "b"));
    g_assert_false(opens(text, "c"));
    g_assert_false(opens(text, ""));
    g_assert_false(opens(text, "ab"));
}

// Buffers are no service, but as one.
static void test_buffers(void)
{
    const char *text = "{\"*\": {\"users\": []}, \"@buffers\": {\"users\": [65001]}}";

    g_assert_true(opens("{}", "@buffers"));
    g_assert_true(opens("{\"a\": {\"users\": []}}", "@buffers"));
    g_assert_true(opens(text, "@buffers"));
    g_assert_false(opens("{\"*\": {\"users\": []}}", "@buffers"));
    g_assert_false(opens("{\"@buffers\": {\"groups\": []}}", "@buffers"));
}

static void test_argument(void)
{
    const char *text = "{\"*\": {\"users\": []}, \"a\": {\"users\": [65001]}}";
    g_autofree char *longest = g_strnfill(200, 'a');

    g_assert_true(opens(text, "a:"));
    g_assert_true(opens(text, "a:b:c"));
    g_assert_false(opens(text, "b:a"));
    g_assert_false(opens(text, longest));
}

static void test_register(void)
{
    const char *text = "{\"a\": {\"register\": {\"users\": [1]}},"
                       " \"b\": {\"users\": [65001], \"register\": {\"groups\": [65004]}},"
                       " \"c\": {\"users\": [1], \"register\": {\"users\": [65001]}},"
                       " \"d\": {\"register\": {}}}";

    g_assert_true(opens(text, "a"));
    g_assert_false(registers(text, "a"));
    g_assert_true(opens(text, "b"));
    g_assert_true(registers(text, "b"));
    // It takes away, and never gives.
    g_assert_false(opens(text, "c"));
    g_assert_false(registers(text, "c"));
    g_assert_true(registers(text, "d"));
}

// Root, the daemon's own user, and nobody at all.
static void test_special(void)
{
    const char *text = "{\"*\": {\"users\": [], \"register\": {\"users\": []}}}";
    const MuxPeer root = {.known = true}, own = {.known = true, .uid = geteuid()}, nobody = {0};

    for (int action = MUX_POLICY_OPEN; action <= MUX_POLICY_REGISTER; action++) {
        g_assert_true(asks(text, action, "a", &root));
        g_assert_true(asks(text, action, "a", &own));
        g_assert_false(asks(text, action, "a", &nobody));
        g_assert_false(asks("{\"a\": {\"users\": [0], \"groups\": [0]}}", action, "a", &nobody));
    }
}

static void test_names(void)
{
    // cppcheck-suppress getpwuidCalled ; there is one thread
    const struct passwd *user = getpwuid(65534);
    // cppcheck-suppress getgrgidCalled ; there is one thread
    const struct group *group = getgrgid(65534);
    MuxPeer peer = {.known = true, .uid = 65534, .gid = 1};

    if (!user || !group) {
        g_test_skip("nobody and nogroup are not there");
        return;
    }
    g_autofree char *users = g_strdup_printf("{\"a\": {\"users\": [\"%s\"]}}", user->pw_name);
    g_autofree char *both = g_strdup_printf("{\"a\": {\"groups\": [\"%s\"]}}", group->gr_name);
    g_assert_true(asks(users, MUX_POLICY_OPEN, "a", &peer));
    g_assert_false(asks(both, MUX_POLICY_OPEN, "a", &peer));
    peer.gid = 65534;
    g_assert_true(asks(both, MUX_POLICY_OPEN, "a", &peer));
}

static void test_errors(void)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"a\": 1}", "\"a\" must be an object"},
        {"{\"a\": null}", "\"a\" must be an object"},
        {"{\"a\": {\"user\": []}}", "\"a\": \"user\" is not a key"},
        {"{\"a\": {\"users\": \"x\"}}", "\"a\": \"users\" must be a list"},
        {"{\"a\": {\"users\": [null]}}", "\"a\": \"users\" must be a user's name or number"},
        {"{\"a\": {\"groups\": [1.5]}}", "\"a\": \"groups\" must be a group's name or number"},
        {"{\"a\": {\"users\": [\"no-such-user\"]}}", "\"a\": \"users\" names 'no-such-user'"},
        {"{\"a\": {\"users\": [\"\"]}}", "\"a\": \"users\" names ''"},
        {"{\"a\": {\"users\": [\"root\\u0000\"]}}", "\"a\": \"users\" must be"},
        {"{\"a\": {\"users\": [-1]}}", "\"a\": \"users\" names '-1'"},
        {"{\"a\": {\"users\": [4294967295]}}", "\"a\": \"users\" names '4294967295'"},
        {"{\"a\": {\"groups\": [\"no-such-group\"]}}", "\"a\": \"groups\" names 'no-such-group'"},
        {"{\"a\": {\"register\": []}}", "\"a\": \"register\" must be an object"},
        {"{\"a\": {\"register\": {\"x\": 1}}}", "\"a\": \"register\": \"x\" is not"},
        {"{\"a\": {\"register\": {\"users\": [\"no-such-user\"]}}}",
         "\"a\": \"register\": \"users\" names 'no-such-user'"},
        {"{\"@buffers\": {\"register\": {}}}", "\"@buffers\": \"register\" is not a key"},
        {"{\"@buffer\": {}}", "\"@buffer\" is no service"},
        {"{\"a b\": {}}", "\"a b\" is no service"},
        {"{\"web/a\": {}}", "\"web/a\" is no service"},
        {"{\"a:b\": {}}", "\"a:b\" is no service"},
        {"{\"\": {}}", "\"\" is no service"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(parse(cases[i].text, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
        if (!g_str_has_prefix(error->message, cases[i].message))
            g_test_fail_printf("%s: %s", cases[i].text, error->message);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/nothing", test_nothing);
    g_test_add_func("/policy/users", test_users);
    g_test_add_func("/policy/groups", test_groups);
    g_test_add_func("/policy/others", test_others);
    g_test_add_func("/policy/buffers", test_buffers);
    g_test_add_func("/policy/argument", test_argument);
    g_test_add_func("/policy/register", test_register);
    g_test_add_func("/policy/special", test_special);
    g_test_add_func("/policy/names", test_names);
    g_test_add_func("/policy/errors", test_errors);
    return g_test_run();
}
