ml_unit_test(engine ${CMAKE_SOURCE_DIR}/tests/unit/test_engine.c room_engine)
