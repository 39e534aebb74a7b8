/* Lua values <-> payloads. JSON by our own codec: 64-bit integers kept, 1.0 stays a float, keys
 * written sorted, decoded arrays carry a metatable, a fresh {} is an object, ml.list{} an array,
 * ml.null is null, bytes only by ml.bytes. Encoders never raise for a bad value: they return
 * ERR_ARG with the path to it ("result.items[3].f: a function cannot be JSON"). Decoders push onto
 * the Lua stack and may raise only out of memory. */
#ifndef ML_SCRIPT_VALUE_H
#define ML_SCRIPT_VALUE_H
#include "base/buf.h"
#include "history/event.h"
#include <lua.h>

#define VALUE_DEPTH_MAX 100
#define VALUE_BYTES_MAX (32u << 20)

/* Installs metatables and light-userdata null behaviour into a new state; call once per state. */
void value_open(lua_State *L);
void value_push_null(lua_State *L);
bool value_is_null(lua_State *L, int idx);
void value_push_bytes(lua_State *L, struct str s); /* an ml.bytes value */
bool value_to_bytes(lua_State *L, int idx,
                    struct str *out); /* is it one? slice borrowed from the Lua value */
void value_set_list(lua_State *L,
                    int idx); /* gives the table at idx the list metatable (ml.list) */
bool value_is_list(lua_State *L, int idx);

/* Sets the fields null, list, bytes, json {encode, decode, pretty}, schema and json_schema of the
 * table at idx: the "moonloop" tables of both kinds of state. */
void value_install(lua_State *L, int idx);
/* Pushes a buffer that the state frees: for text that must outlive a call that may raise. */
struct buf *value_push_buffer(lua_State *L, size_t max);
/* What this file is handed by a sandbox. charge(bytes) is called for long work on so much text and
 * may raise; text(value) is its tostring, which shows no addresses. Without them nothing is charged
 * and texts are the stock ones. */
void value_set_charge(lua_State *L, lua_CFunction charge);
void value_set_text(lua_State *L, lua_CFunction text);
const char *value_push_text(lua_State *L, int idx, size_t *n); /* may raise; n may be NULL */

/* Appends canonical JSON of the value at idx. `root` names it in error paths. ERR_ARG, ERR_LIMIT,
 * ERR_NOMEM. Never raises. */
int value_encode(lua_State *L, int idx, struct buf *out, const char *root, struct err *e);
/* The same, indented, for people. */
int value_encode_pretty(lua_State *L, int idx, struct buf *out, const char *root, struct err *e);
/* Pushes the value of a JSON text; ERR_PROTO with byte offset, ERR_LIMIT (depth, size). Pushes
 * nothing on failure. */
int value_decode(lua_State *L, struct str json, struct err *e);
/* Checks and rewrites any JSON text into our canonical form without a Lua state (sorted keys, no
 * blanks). */
int value_canonical(struct str json, struct buf *out, struct err *e);

/* nil -> binary/null, bytes -> binary/plain, else json/plain. */
int value_to_payload(lua_State *L, int idx, struct arena *a, struct rec **out, const char *root,
                     struct err *e);
/* Pushes one value; unknown encodings give ml.bytes of the data. json decode errors: ERR_PROTO,
 * nothing pushed. */
int value_push_payload(lua_State *L, const struct rec *payload, struct err *e);
/* n values from `first` on, as a `payloads` message (NULL in *out when n is 0). */
int value_to_payloads(lua_State *L, int first, int n, struct arena *a, struct rec **out,
                      const char *root, struct err *e);
/* Pushes all values; *n tells how many. */
int value_push_payloads(lua_State *L, const struct rec *payloads, int *n, struct err *e);

/* ---- failures: {type, message, retryable, details, cause, ...} with a metatable (__tostring,
 * __name "failure") ---- */
void failure_push(lua_State *L, const struct rec *failure); /* may raise out of memory only */
bool failure_is(lua_State *L, int idx);
/* Any Lua error value as a failure record: a failure table by its fields, else an application
 * failure of type "LuaError" with its text (control bytes escaped, 8 KiB at most). *was_failure
 * tells which. stack_trace may be absent. */
int failure_from_lua(lua_State *L, int idx, struct arena *a, struct str stack_trace,
                     struct rec **out, bool *was_failure);
/* Raises a failure table made from the arguments of ml.fail(message, {type, retryable, details,
 * cause}). */
int failure_raise(lua_State *L);

#endif
