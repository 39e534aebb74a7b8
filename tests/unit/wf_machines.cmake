# Unit tests of the replayer. The machines' test plays the script side itself, so it compiles the machines directly.
set(wf_dir ${CMAKE_SOURCE_DIR}/src/workflow)
ml_unit_test(wf_machines ${CMAKE_SOURCE_DIR}/tests/unit/test_wf_machines.c room_history room_base)
target_sources(test_wf_machines PRIVATE
  ${CMAKE_SOURCE_DIR}/tests/unit/wf_history.c ${CMAKE_SOURCE_DIR}/tests/unit/wf_fake.c
  ${wf_dir}/wf_run.c ${wf_dir}/wf_activate.c ${wf_dir}/wf_batch.c ${wf_dir}/wf_apply.c ${wf_dir}/wf_compare.c
  ${wf_dir}/wf_machine.c ${wf_dir}/wf_machine_op.c ${wf_dir}/wf_machine_child.c ${wf_dir}/wf_machine_close.c
  ${wf_dir}/wf_marker.c ${wf_dir}/wf_local.c ${wf_dir}/wf_update.c ${wf_dir}/wf_json.c)
target_link_libraries(test_wf_machines PRIVATE PkgConfig::LUA)
