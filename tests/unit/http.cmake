ml_unit_test(sse ${CMAKE_SOURCE_DIR}/tests/unit/test_sse.c room_http)
ml_unit_test(http ${CMAKE_SOURCE_DIR}/tests/unit/test_http.c room_http)
target_compile_definitions(test_http PRIVATE ML_TEST_HTTP_SERVER="${CMAKE_SOURCE_DIR}/tests/support/http_server.py")
ml_unit_test(http_peer ${CMAKE_SOURCE_DIR}/tests/unit/test_http_peer.c room_http)
# HTTP/2 over TLS: nghttpx (Debian: nghttp2-proxy) in front of the test server.
find_program(NGHTTPX nghttpx PATHS /usr/sbin)
if(NGHTTPX)
  ml_unit_test(http_h2 ${CMAKE_SOURCE_DIR}/tests/unit/test_http_h2.c room_http)
  target_compile_definitions(test_http_h2 PRIVATE ML_TEST_HTTP_SERVER="${CMAKE_SOURCE_DIR}/tests/support/http_server.py"
    ML_TEST_NGHTTPX="${NGHTTPX}" ML_TEST_CONNECT_PROXY="${CMAKE_SOURCE_DIR}/tests/support/connect_proxy.py")
endif()
ml_unit_test(http_server ${CMAKE_SOURCE_DIR}/tests/unit/test_http_server.c room_http)
