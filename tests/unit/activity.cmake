ml_unit_test(activity ${CMAKE_SOURCE_DIR}/tests/unit/test_activity.c room_activity)
ml_unit_test(activity_io ${CMAKE_SOURCE_DIR}/tests/unit/test_activity_io.c room_activity)
target_compile_definitions(test_activity_io PRIVATE ML_TEST_HTTP_SERVER="${CMAKE_SOURCE_DIR}/tests/support/http_server.py")
