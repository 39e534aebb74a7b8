# The worker on stand-ins of the replayer, the activity runtime and the engine: its own files, nothing of those rooms.
set(worker_dir ${CMAKE_SOURCE_DIR}/src/worker)
add_executable(test_worker ${CMAKE_SOURCE_DIR}/tests/unit/test_worker.c ${worker_dir}/worker.c ${worker_dir}/registry.c ${worker_dir}/cache.c
  ${worker_dir}/tasks.c ${worker_dir}/text.c ${worker_dir}/locals.c ${worker_dir}/attempts.c ${worker_dir}/watchdog.c ${worker_dir}/replay.c ${CMAKE_SOURCE_DIR}/src/http/route.c)
target_include_directories(test_worker PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/tests/support)
target_link_libraries(test_worker PRIVATE room_history room_base PkgConfig::LUA PkgConfig::UV Threads::Threads)
add_test(NAME unit.worker COMMAND test_worker)
set_tests_properties(unit.worker PROPERTIES TIMEOUT 120 LABELS unit)
