ml_unit_test(activity ${CMAKE_SOURCE_DIR}/tests/unit/test_activity.c room_activity)
