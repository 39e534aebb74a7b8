ml_unit_test(sse ${CMAKE_SOURCE_DIR}/tests/unit/test_sse.c room_http)
ml_unit_test(http ${CMAKE_SOURCE_DIR}/tests/unit/test_http.c room_http)
target_compile_definitions(test_http PRIVATE ML_TEST_HTTP_SERVER="${CMAKE_SOURCE_DIR}/tests/support/http_server.py")
ml_unit_test(http_peer ${CMAKE_SOURCE_DIR}/tests/unit/test_http_peer.c room_http)
