# Unit tests and one whole run under valgrind; the list is a sample of every room that ends within seconds there. Nothing of the
# libraries needs a suppression so far. Left out are tests that measure time, and those that take minutes.
if(ML_ASAN OR ML_TSAN OR ML_FUZZ)
  return()
endif()
function(valgrind_test name)
  add_test(NAME valgrind.${name} COMMAND ${CMAKE_SOURCE_DIR}/scripts/valgrind ${ARGN})
  set_tests_properties(valgrind.${name} PROPERTIES LABELS valgrind TIMEOUT 300)
endfunction()

foreach(test base map loop rec rec_json event value slab sandbox bundle wf_script wf_machines wf_replay workflow wf_review store kv sqlfile
        files process activity worker conn host http sse grpc bridge client channel worker_half)
  valgrind_test(${test} $<TARGET_FILE:test_${test}>)
endforeach()
valgrind_test(run $<TARGET_FILE:moonloop_cli> run ${CMAKE_SOURCE_DIR}/examples/01_hello.lua)

# That faults are seen at all.
add_executable(memory_fault ${CMAKE_SOURCE_DIR}/tests/support/memory_fault.c)
foreach(fault leak unset beyond)
  valgrind_test(sees_${fault} $<TARGET_FILE:memory_fault> ${fault})
endforeach()
set_tests_properties(valgrind.sees_leak PROPERTIES PASS_REGULAR_EXPRESSION "definitely lost")
set_tests_properties(valgrind.sees_unset PROPERTIES PASS_REGULAR_EXPRESSION "depends on uninitialised")
set_tests_properties(valgrind.sees_beyond PROPERTIES PASS_REGULAR_EXPRESSION "Invalid write of size 1")
