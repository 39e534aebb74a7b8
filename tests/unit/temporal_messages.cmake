ml_unit_test(bridge ${CMAKE_SOURCE_DIR}/tests/unit/test_bridge.c room_temporal)
ml_unit_test(status ${CMAKE_SOURCE_DIR}/tests/unit/test_status.c room_temporal)
ml_unit_test(client ${CMAKE_SOURCE_DIR}/tests/unit/test_client.c room_temporal)
