/* Facts about the file, the machine and the linked libraries, with warnings. */
#include "base/mem.h"
#include "host/host_internal.h"
#include "http/client.h"
#include <lua.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <uv.h>

static cJSON *check(cJSON *list, const char *name, bool ok, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static cJSON *check(cJSON *list, const char *name, bool ok, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    cJSON *o = cJSON_CreateObject();
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cJSON_AddStringToObject(o, "name", name);
    cJSON_AddBoolToObject(o, "ok", ok);
    cJSON_AddStringToObject(o, "text", text);
    if (cJSON_AddItemToArray(list, o)) return o;
    cJSON_Delete(o);
    return NULL;
}

/* 3.7.0 to 3.51.2 can damage a WAL file when two connections write and checkpoint at once. */
bool host_sqlite_suspect(const char *version)
{
    int a = 0, b = 0, c = 0;
    if (sscanf(version, "%d.%d.%d", &a, &b, &c) < 2 || a != 3) return false;
    if (b < 7 || b > 51) return false;
    return b < 51 || c <= 2;
}

static void libraries(cJSON *list)
{
    const char *sqlite = store_sqlite_version();
    if (host_sqlite_suspect(sqlite))
        cJSON_AddTrueToObject(check(list, "sqlite", true,
                                    "SQLite %s has the WAL bug of 3.7.0 to 3.51.2 (two connections "
                                    "that write and checkpoint at once); "
                                    "moonloop writes and checkpoints by one connection only, do "
                                    "not write to the file with another program while it runs",
                                    sqlite),
                              "warning");
    else
        check(list, "sqlite", true, "SQLite %s", sqlite);
    check(list, "lua", true, "%s", LUA_RELEASE);
    struct err e;
    const char *curl = http_library_version(&e);
    check(list, "curl", curl != NULL, "%s", curl ? curl : e.text);
    check(list, "uv", true, "libuv %s", uv_version_string());
    check(list, "openssl", true, "%s", OpenSSL_version(OPENSSL_VERSION));
}

static const char *fs_name(long type)
{
    switch (type) {
    case 0xEF53:
        return "ext4";
    case 0x9123683E:
        return "btrfs";
    case 0x58465342:
        return "xfs";
    case 0x01021994:
        return "tmpfs";
    case 0x794c7630:
        return "overlayfs";
    case 0x6969:
        return "nfs";
    case (long)0xFF534D42:
        return "cifs";
    case 0x65735546:
        return "fuse";
    case 0x2FC12FC1:
        return "zfs";
    default:
        return "unknown";
    }
}

static void file(ml_host *h, cJSON *list)
{
    struct stat st;
    struct statfs fs;
    struct err e = {0};
    if (h->snapshot) {
        check(list, "file", true, "in memory: nothing is kept until it is saved");
        return;
    }
    if (stat(h->path, &st) == 0) {
        bool closed = (st.st_mode & 077) == 0;
        check(list, "permissions", closed, "%s has mode %04o%s", h->path,
              (unsigned)(st.st_mode & 07777), closed ? "" : ": others can read it; chmod 600");
    }
    if (statfs(h->path, &fs) == 0) {
        const char *name = fs_name((long)fs.f_type);
        bool net =
            strcmp(name, "nfs") == 0 || strcmp(name, "cifs") == 0 || strcmp(name, "fuse") == 0;
        double mib = (double)fs.f_bavail * (double)fs.f_bsize / 1048576.0;
        check(list, "file system", !net, "%s%s", name,
              net ? ": locks and fsync may not hold on a network file system"
              : strcmp(name, "tmpfs") == 0 ? ": gone after a restart of the machine"
                                           : "");
        check(list, "free space", mib >= 100, "%.0f MiB free", mib);
    }
    bool sound = store_check(h->store, &e) == 0;
    check(list, "integrity", sound, "%s", sound ? "the file is sound" : e.text);
}

static void doctor_posted(void *ud)
{
    struct hcall *c = ud;
    ml_reply r = {.json = c->state};
    hcall_reply(c, &r);
}

int verb_doctor_run(struct hcall *c, struct err *e)
{
    ml_host *h = c->h;
    struct buf engine;
    if (!h->engine)
        return err_set(e, ERR_UNSUPPORTED,
                       "doctor looks at a file: a host on a Temporal server has none");
    unsigned long refused = mem_refused();
    cJSON *j = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(j, "checks");
    buf_init(&engine, 16u << 20);
    libraries(list);
    file(h, list);
    int rc = engine_doctor(h->engine, &engine, e);
    if (rc) goto out;
    cJSON *facts = cJSON_ParseWithLength(engine.p, engine.n);
    const char *clock = arg_str(facts, "clock");
    if (clock) check(list, "clock", true, "%s", clock);
    if (facts && !cJSON_AddItemToObject(j, "engine", facts)) cJSON_Delete(facts);
    cJSON_AddStringToObject(j, "version", ml_version());
    if (h->path) cJSON_AddStringToObject(j, "path", h->path);
    char *text = cJSON_PrintUnformatted(j);
    c->state = (void *)(uintptr_t)arena_str(&c->arena, str_of(text)).p;
    cJSON_free(text);
    if (c->state && refused == mem_refused())
        hcall_post(c, doctor_posted);
    else
        rc = err_set(e, ERR_NOMEM, "out of memory");
out:
    buf_free(&engine);
    cJSON_Delete(j);
    return rc;
}
