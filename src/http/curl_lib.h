/* libcurl, loaded when the first request is made and not with the program: it stands on some thirty
 * other libraries, whose loading was half of the program's start and a fifth of its memory. The
 * files of this room include this instead of <curl/curl.h> and write curl's own names. */
#ifndef ML_HTTP_CURL_LIB_H
#define ML_HTTP_CURL_LIB_H
#include "base/err.h"

#define CURL_DISABLE_TYPECHECK /* its macros would stand in the way of ours */
#include <curl/curl.h>

#define CURL_LIB_FUNCTIONS(X)                                                                      \
    X(easy_cleanup)                                                                                \
    X(easy_getinfo)                                                                                \
    X(easy_init)                                                                                   \
    X(easy_pause)                                                                                  \
    X(easy_reset)                                                                                  \
    X(easy_setopt)                                                                                 \
    X(easy_strerror)                                                                               \
    X(free)                                                                                        \
    X(global_init_mem)                                                                             \
    X(multi_add_handle)                                                                            \
    X(multi_assign)                                                                                \
    X(multi_cleanup)                                                                               \
    X(multi_info_read)                                                                             \
    X(multi_init)                                                                                  \
    X(multi_remove_handle)                                                                         \
    X(multi_setopt)                                                                                \
    X(multi_socket_action)                                                                         \
    X(slist_append)                                                                                \
    X(slist_free_all)                                                                              \
    X(url)                                                                                         \
    X(url_cleanup)                                                                                 \
    X(url_get)                                                                                     \
    X(url_set)                                                                                     \
    X(version)

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt
struct curl_lib {
#define X(name) __typeof__(&curl_##name) name;
    CURL_LIB_FUNCTIONS(X)
#undef X
};
extern struct curl_lib curl_lib; /* complete after curl_lib_load */

/* Loads the library, once a process; again when it failed. From any thread. 0, or ERR_IO with what
 * is missing. */
int curl_lib_load(struct err *e);

#define curl_easy_cleanup curl_lib.easy_cleanup
#define curl_easy_getinfo curl_lib.easy_getinfo
#define curl_easy_init curl_lib.easy_init
#define curl_easy_pause curl_lib.easy_pause
#define curl_easy_reset curl_lib.easy_reset
#define curl_easy_setopt curl_lib.easy_setopt
#define curl_easy_strerror curl_lib.easy_strerror
#define curl_free curl_lib.free
#define curl_global_init_mem curl_lib.global_init_mem
#define curl_multi_add_handle curl_lib.multi_add_handle
#define curl_multi_assign curl_lib.multi_assign
#define curl_multi_cleanup curl_lib.multi_cleanup
#define curl_multi_info_read curl_lib.multi_info_read
#define curl_multi_init curl_lib.multi_init
#define curl_multi_remove_handle curl_lib.multi_remove_handle
#define curl_multi_setopt curl_lib.multi_setopt
#define curl_multi_socket_action curl_lib.multi_socket_action
#define curl_slist_append curl_lib.slist_append
#define curl_slist_free_all curl_lib.slist_free_all
#define curl_url curl_lib.url
#define curl_url_cleanup curl_lib.url_cleanup
#define curl_url_get curl_lib.url_get
#define curl_url_set curl_lib.url_set
#define curl_version curl_lib.version

#endif
