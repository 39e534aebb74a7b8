ml_unit_test(bridge ${CMAKE_SOURCE_DIR}/tests/unit/test_bridge.c room_temporal)
