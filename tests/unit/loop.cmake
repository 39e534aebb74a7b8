ml_unit_test(loop ${CMAKE_SOURCE_DIR}/tests/unit/test_loop.c room_base PkgConfig::UV Threads::Threads)
