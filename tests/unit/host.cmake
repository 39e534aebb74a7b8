ml_unit_test(host ${CMAKE_SOURCE_DIR}/tests/unit/test_host.c moonloop)
ml_unit_test(host_owner ${CMAKE_SOURCE_DIR}/tests/unit/test_host_owner.c moonloop)
