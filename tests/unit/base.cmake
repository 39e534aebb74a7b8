ml_unit_test(base ${CMAKE_SOURCE_DIR}/tests/unit/test_base.c room_base)
ml_unit_test(time ${CMAKE_SOURCE_DIR}/tests/unit/test_time.c room_base)
ml_unit_test(map ${CMAKE_SOURCE_DIR}/tests/unit/test_map.c room_base)
