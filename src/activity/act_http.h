/* Shared by the files of ml.http. */
#ifndef ML_ACTIVITY_HTTP_H
#define ML_ACTIVITY_HTTP_H
#include "activity/act_internal.h"
#include "http/client.h"

struct http_client *act_http_client(lua_State *L);
/* Pushes the response table; its body is left out for a stream. */
void act_push_response(lua_State *L, const struct http_response *r, struct str method, bool stream);
/* What a request goes through: given is the option `guard` (-1: absent). NULL: nothing. */
const struct http_guard *act_guard(lua_State *L, int given);
void act_guard_learn(lua_State *L, const char *url); /* of the operator: its host is allowed */
int act_http_raise(lua_State *L, const struct http_failure *f);
/* Starts the request as a stream and waits for its headers (act_stream.c). `sse`: res:events() is
 * meant. */
int act_stream_start(lua_State *L, const struct http_request *r);
/* The bearer token that an oauth2 handle has now, appended to out; false when it is not one
 * (act_oauth.c). */
bool act_oauth_value(lua_State *L, int idx, struct buf *out);
bool act_is_oauth(lua_State *L, int idx);

#endif
