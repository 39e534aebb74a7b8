ml_unit_test(value ${CMAKE_SOURCE_DIR}/tests/unit/test_value.c room_script)
ml_unit_test(sandbox ${CMAKE_SOURCE_DIR}/tests/unit/test_sandbox.c room_script)
ml_unit_test(sandbox_limits ${CMAKE_SOURCE_DIR}/tests/unit/test_sandbox_limits.c room_script)
ml_unit_test(bundle ${CMAKE_SOURCE_DIR}/tests/unit/test_bundle.c room_script)
