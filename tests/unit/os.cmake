ml_unit_test(process ${CMAKE_SOURCE_DIR}/tests/unit/test_process.c room_os)
ml_unit_test(files ${CMAKE_SOURCE_DIR}/tests/unit/test_files.c room_os)
ml_unit_test(keep ${CMAKE_SOURCE_DIR}/tests/unit/test_keep.c room_os)
