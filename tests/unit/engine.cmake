ml_unit_test(engine ${CMAKE_SOURCE_DIR}/tests/unit/test_engine.c room_engine)
ml_unit_test(engine_more ${CMAKE_SOURCE_DIR}/tests/unit/test_engine_more.c room_engine)
ml_unit_test(engine_crash ${CMAKE_SOURCE_DIR}/tests/unit/test_engine_crash.c room_engine)
ml_unit_test(engine_time ${CMAKE_SOURCE_DIR}/tests/unit/test_engine_time.c room_engine)
