ml_unit_test(api ${CMAKE_SOURCE_DIR}/tests/unit/test_api.c room_api room_engine)
