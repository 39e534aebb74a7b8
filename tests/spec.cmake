# Specs: busted under Lua 5.4 (Debian's `busted` would start 5.1), run against the program of this build.
find_program(LUA54 lua5.4 REQUIRED)
file(GLOB specs ${CMAKE_SOURCE_DIR}/tests/spec/*_spec.lua)
foreach(spec ${specs})
  get_filename_component(name ${spec} NAME_WE)
  string(REPLACE "_spec" "" name ${name})
  add_test(NAME spec.${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
           COMMAND ${LUA54} /usr/bin/busted --lpath=tests/spec/?.lua -o plainTerminal ${spec})
  set_tests_properties(spec.${name} PROPERTIES LABELS spec TIMEOUT 900
                       ENVIRONMENT "MOONLOOP=${CMAKE_BINARY_DIR}/moonloop;MOONLOOP_ROOT=${CMAKE_SOURCE_DIR};BUILD=${CMAKE_BINARY_DIR}")
endforeach()
add_test(NAME house COMMAND ${CMAKE_SOURCE_DIR}/scripts/check-house)
