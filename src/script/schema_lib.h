/* ml.schema and ml.json_schema: schemas as values of a script (json/schema.h does the work). A
 * schema is a userdata that holds all of its memory, so the state's limit covers it. */
#ifndef ML_SCRIPT_SCHEMA_LIB_H
#define ML_SCRIPT_SCHEMA_LIB_H
#include "json/schema.h"
#include <lua.h>

/* Sets the fields schema and json_schema of the table at idx. */
void schema_install(lua_State *L, int idx);
/* The schema at idx, or NULL; borrowed from the Lua value. Never raises. */
const struct schema *schema_at(lua_State *L, int idx);
/* Pushes a schema made of a JSON Schema's text; raises "NAME: schema at #/...: ..." */
void schema_push(lua_State *L, struct str text, enum schema_mode mode, const char *name);

#endif
