# Specs: busted under Lua 5.4 (Debian's `busted` would start 5.1), run against the program of this build; the proof that each spec
# of a name notices when the name does nothing; and the files made from the data of lua/api.
find_program(LUA54 lua5.4 REQUIRED)
set(spec_env "MOONLOOP=${CMAKE_BINARY_DIR}/moonloop;MOONLOOP_ROOT=${CMAKE_SOURCE_DIR};BUILD=${CMAKE_BINARY_DIR}")
file(GLOB specs ${CMAKE_SOURCE_DIR}/tests/spec/*_spec.lua)
foreach(spec ${specs})
  get_filename_component(name ${spec} NAME_WE)
  string(REPLACE "_spec" "" name ${name})
  add_test(NAME spec.${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
           COMMAND ${LUA54} /usr/bin/busted --lpath=tests/spec/?.lua -o plainTerminal ${spec})
  set_tests_properties(spec.${name} PROPERTIES LABELS spec TIMEOUT 900 ENVIRONMENT "${spec_env}")
endforeach()

# The same specs where the program forgets as much as it can: every run rebuilt from its history before each task, one run in
# memory, one timer in memory; and the last one where every run that sleeps is put away. Left out: coverage, which compares lists and files, and
# bad_input, which is about what comes from outside.
if(ML_TESTING AND NOT ML_ASAN AND NOT ML_TSAN)
  foreach(config EVICT_ALWAYS CACHE_RUNS TIMERS_IN_MEMORY)
    string(TOLOWER ${config} config_name)
    set(far "")
    if(config STREQUAL "TIMERS_IN_MEMORY")
      set(far ";ML_SLEEP_FAR_MS=1")
    endif()
    foreach(spec ${specs})
      get_filename_component(name ${spec} NAME_WE)
      string(REPLACE "_spec" "" name ${name})
      if(name STREQUAL "coverage" OR name STREQUAL "bad_input")
        continue()
      endif()
      add_test(NAME spec_config.${config_name}.${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
               COMMAND ${LUA54} /usr/bin/busted --lpath=tests/spec/?.lua -o plainTerminal ${spec})
      set_tests_properties(spec_config.${config_name}.${name} PROPERTIES LABELS config TIMEOUT 900
                           ENVIRONMENT "${spec_env};ML_${config}=1${far}")
    endforeach()
  endforeach()
endif()
if(ML_TESTING AND NOT ML_ASAN AND NOT ML_TSAN)
  foreach(shard 1 2)
    add_test(NAME mutants.${shard} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} COMMAND ${LUA54} tests/mutants.lua ${shard}/2)
    set_tests_properties(mutants.${shard} PROPERTIES LABELS mutants TIMEOUT 900 ENVIRONMENT "${spec_env}")
  endforeach()
endif()
add_test(NAME docs WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} COMMAND ${LUA54} scripts/gen_docs.lua --check)
add_test(NAME house COMMAND ${CMAKE_SOURCE_DIR}/scripts/check-house)
