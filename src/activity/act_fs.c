/* ml.fs: files, each request in the thread pool. Missing files raise NotFound, except for exists
 * and stat (nil). */
#include "activity/act_internal.h"
#include "os/files.h"

struct fs_op {
    struct act_op op;
    struct files_op *request;
    struct files_result r;
    struct buf data;
    const char *fname;
    enum files_kind kind;
    bool exists; /* asks only whether it is there */
};

static void on_done(void *ud, const struct files_result *r)
{
    struct fs_op *o = ud;
    o->request = NULL;
    o->r = *r;
    if (buf_putstr(&o->data, r->data) < 0) err_set(&o->r.err, ERR_NOMEM, "no memory");
    act_op_done(&o->op);
}

static void fs_abort(struct act_op *op)
{
    struct fs_op *o = (struct fs_op *)op;
    if (o->request) files_forget(o->request);
    o->request = NULL;
}

static void fs_release(struct act_op *op)
{
    fs_abort(op);
    buf_free(&((struct fs_op *)op)->data);
}

static void push_stat(lua_State *L, const struct files_result *r)
{
    lua_createtable(L, 0, 5);
    lua_pushstring(L, r->is_dir ? "directory" : r->is_file ? "file" : "other");
    lua_setfield(L, -2, "type");
    lua_pushinteger(L, r->size);
    lua_setfield(L, -2, "size");
    act_push_time(L, r->modified_ns);
    lua_setfield(L, -2, "modified");
    lua_pushinteger(L, r->mode);
    lua_setfield(L, -2, "mode");
    lua_pushboolean(L, r->is_link);
    lua_setfield(L, -2, "is_link");
}

static int fs_push(lua_State *L, struct act_op *op)
{
    struct fs_op *o = (struct fs_op *)op;
    lua_Integer n = 0;
    if (o->kind == FILES_STAT && o->r.err.code == ERR_NOTFOUND) {
        if (o->exists)
            lua_pushboolean(L, 0);
        else
            lua_pushnil(L);
        return 1;
    }
    if (o->r.err.code) return act_fail_err(L, o->fname, &o->r.err);
    switch (o->kind) {
    case FILES_READ:
    case FILES_TEMP_DIR:
        lua_pushlstring(L, o->data.p ? o->data.p : "", o->data.n);
        fs_release(op);
        return 1;
    case FILES_LIST:
        lua_newtable(L);
        value_set_list(L, -1);
        for (size_t at = 0; at < o->data.n; at += strlen(o->data.p + at) + 1) {
            char kind = o->data.p[at];
            lua_createtable(L, 0, 2);
            lua_pushstring(L, o->data.p + at + 1);
            lua_setfield(L, -2, "name");
            lua_pushstring(L, kind == 'd'   ? "directory"
                              : kind == 'f' ? "file"
                              : kind == 'l' ? "link"
                                            : "other");
            lua_setfield(L, -2, "type");
            lua_rawseti(L, -2, ++n);
        }
        return 1;
    case FILES_STAT:
        if (o->exists)
            lua_pushboolean(L, 1);
        else
            push_stat(L, &o->r);
        return 1;
    default:
        return 0;
    }
}

static int start(lua_State *L, struct files_request *r, const char *fname, bool exists)
{
    struct err e = {0};
    struct fs_op *o = act_op_new(L, sizeof *o, fs_abort, fs_push, fs_release);
    buf_init(&o->data, (r->max_bytes ? r->max_bytes : FILES_READ_MAX) + 1);
    o->fname = fname;
    o->kind = r->kind;
    o->exists = exists;
    if (files_start(act_host_of(L)->env.loop, r, on_done, o, &o->request, &e) < 0)
        return act_fail_err(L, fname, &e);
    o->op.done = false;
    return act_op_wait(L, o);
}

/* (path, [options table]) */
static struct files_request begin(lua_State *L, enum files_kind kind, const char *fname,
                                  int options)
{
    struct files_request r = {.kind = kind};
    act_act(L, fname);
    r.path = act_check_str(L, 1);
    lua_settop(L, options);
    if (!lua_isnil(L, options)) luaL_checktype(L, options, LUA_TTABLE);
    return r;
}

static int fs_read(lua_State *L)
{
    struct files_request r = begin(L, FILES_READ, "ml.fs.read", 2);
    if (lua_istable(L, 2) && lua_getfield(L, 2, "max_bytes") != LUA_TNIL) {
        lua_Integer n = luaL_checkinteger(L, -1);
        luaL_argcheck(L, n > 0 && n <= (lua_Integer)1 << 30, 2, "max_bytes is 1 to 1 GiB");
        r.max_bytes = (size_t)n;
    }
    return start(L, &r, "ml.fs.read", false);
}

/* Beside and renamed unless {atomic = false}. */
static int fs_write(lua_State *L)
{
    lua_settop(L, 3);
    struct files_request r = begin(L, FILES_WRITE, "ml.fs.write", 3);
    r.data = act_check_str(L, 2);
    r.atomic = !lua_istable(L, 3) || api_opt_bool(L, 3, "atomic", true);
    return start(L, &r, "ml.fs.write", false);
}

static int fs_append(lua_State *L)
{
    lua_settop(L, 3);
    struct files_request r = begin(L, FILES_APPEND, "ml.fs.append", 3);
    r.data = act_check_str(L, 2);
    return start(L, &r, "ml.fs.append", false);
}

static int fs_list(lua_State *L)
{
    struct files_request r = begin(L, FILES_LIST, "ml.fs.list", 2);
    return start(L, &r, "ml.fs.list", false);
}

static int fs_stat(lua_State *L)
{
    struct files_request r = begin(L, FILES_STAT, "ml.fs.stat", 2);
    return start(L, &r, "ml.fs.stat", false);
}

static int fs_exists(lua_State *L)
{
    struct files_request r = begin(L, FILES_STAT, "ml.fs.exists", 2);
    return start(L, &r, "ml.fs.exists", true);
}

/* With its parents unless {parents = false}. */
static int fs_mkdir(lua_State *L)
{
    struct files_request r = begin(L, FILES_MKDIR, "ml.fs.mkdir", 2);
    r.recursive = !lua_istable(L, 2) || api_opt_bool(L, 2, "parents", true);
    return start(L, &r, "ml.fs.mkdir", false);
}

static int fs_remove(lua_State *L)
{
    struct files_request r = begin(L, FILES_REMOVE, "ml.fs.remove", 2);
    r.recursive = lua_istable(L, 2) && api_opt_bool(L, 2, "recursive", false);
    return start(L, &r, "ml.fs.remove", false);
}

static int two_paths(lua_State *L, enum files_kind kind, const char *fname)
{
    struct files_request r = {.kind = kind};
    act_act(L, fname);
    lua_settop(L, 2);
    r.path = act_check_str(L, 1);
    r.to = act_check_str(L, 2);
    return start(L, &r, fname, false);
}

static int fs_rename(lua_State *L)
{
    return two_paths(L, FILES_RENAME, "ml.fs.rename");
}

static int fs_copy(lua_State *L)
{
    return two_paths(L, FILES_COPY, "ml.fs.copy");
}

static int fs_temp_dir(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_pushliteral(L, "moonloop");
        lua_replace(L, 1);
    }
    struct files_request r = begin(L, FILES_TEMP_DIR, "ml.fs.temp_dir", 2);
    return start(L, &r, "ml.fs.temp_dir", false);
}

/* Pure text: the last part of a path, and what is before it. */
static size_t last_part(struct str p)
{
    size_t n = p.n;
    while (n > 0 && p.p[n - 1] != '/')
        n--;
    return n;
}

static struct str without_end(struct str p)
{
    while (p.n > 1 && p.p[p.n - 1] == '/')
        p.n--;
    return p;
}

static int fs_dirname(lua_State *L)
{
    struct str p = without_end(act_check_str(L, 1));
    p.n = last_part(p);
    p = without_end(p);
    lua_pushlstring(L, p.n ? p.p : ".", p.n ? p.n : 1);
    return 1;
}

static int fs_basename(lua_State *L)
{
    struct str p = without_end(act_check_str(L, 1));
    size_t at = last_part(p);
    if (p.n == 1) at = 0;
    lua_pushlstring(L, p.p + at, p.n - at);
    return 1;
}

void act_open_fs(lua_State *L)
{
    static const luaL_Reg fs[] = {{"read", fs_read},         {"write", fs_write},
                                  {"append", fs_append},     {"list", fs_list},
                                  {"stat", fs_stat},         {"exists", fs_exists},
                                  {"mkdir", fs_mkdir},       {"remove", fs_remove},
                                  {"rename", fs_rename},     {"copy", fs_copy},
                                  {"temp_dir", fs_temp_dir}, {"dirname", fs_dirname},
                                  {"basename", fs_basename}, {NULL, NULL}};
    luaL_newlib(L, fs);
    lua_setfield(L, -2, "fs");
}
