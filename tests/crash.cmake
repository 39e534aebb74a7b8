# Kills of the whole program: a sample at random moments, and one hit of every fault point. Whole runs: scripts/crash.
if(NOT ML_ASAN AND NOT ML_TSAN)
  add_test(NAME crash.random COMMAND ${CMAKE_SOURCE_DIR}/scripts/crash --rounds 60 --program $<TARGET_FILE:moonloop_cli>)
  add_test(NAME crash.points COMMAND ${CMAKE_SOURCE_DIR}/scripts/crash --points --sample --program $<TARGET_FILE:moonloop_cli>)
  add_test(NAME crash.serve COMMAND ${CMAKE_SOURCE_DIR}/scripts/crash --serve --rounds 60 --program $<TARGET_FILE:moonloop_cli>)
  set_tests_properties(crash.random crash.points crash.serve PROPERTIES LABELS crash TIMEOUT 900)
endif()
