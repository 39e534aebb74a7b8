# The boundary of the real program over HTTP: the examples end to end, kills between what was accepted and what is done, many callers at
# once, and what must be found nowhere. The kills under load are those of tests/crash.cmake.
if(NOT ML_ASAN AND NOT ML_TSAN)
  foreach(name flow load canary)
    add_test(NAME boundary.${name} COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/boundary/${name}_test.py -v)
    set_tests_properties(boundary.${name} PROPERTIES LABELS boundary TIMEOUT 600 ENVIRONMENT "MOONLOOP=$<TARGET_FILE:moonloop_cli>")
  endforeach()
endif()
