# Unit tests of the replayer. The machines' test plays the script side itself, so it compiles the machines directly.
set(wf_dir ${CMAKE_SOURCE_DIR}/src/workflow)
foreach(test wf_machines wf_replay)
  ml_unit_test(${test} ${CMAKE_SOURCE_DIR}/tests/unit/test_${test}.c room_history room_base)
  target_sources(test_${test} PRIVATE
    ${CMAKE_SOURCE_DIR}/tests/unit/wf_history.c ${CMAKE_SOURCE_DIR}/tests/unit/wf_fake.c
    ${CMAKE_SOURCE_DIR}/tests/unit/wf_prove.c
    ${wf_dir}/wf_run.c ${wf_dir}/wf_activate.c ${wf_dir}/wf_batch.c ${wf_dir}/wf_apply.c ${wf_dir}/wf_compare.c
    ${wf_dir}/wf_machine.c ${wf_dir}/wf_machine_op.c ${wf_dir}/wf_machine_child.c ${wf_dir}/wf_machine_close.c
    ${wf_dir}/wf_marker.c ${wf_dir}/wf_local.c ${wf_dir}/wf_update.c ${wf_dir}/wf_json.c)
  target_link_libraries(test_${test} PRIVATE PkgConfig::LUA)
endforeach()

# Both halves together, with real scripts.
ml_unit_test(workflow ${CMAKE_SOURCE_DIR}/tests/unit/test_workflow.c room_workflow room_script room_history room_base)
target_sources(test_workflow PRIVATE
  ${CMAKE_SOURCE_DIR}/tests/unit/wf_history.c ${CMAKE_SOURCE_DIR}/tests/unit/wf_prove.c)
