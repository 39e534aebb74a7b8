# Faults that a reading of the replayer found, and random programs with every way to replay them.
ml_unit_test(wf_review ${CMAKE_SOURCE_DIR}/tests/unit/test_wf_review.c room_workflow room_script room_history room_base)
target_sources(test_wf_review PRIVATE
  ${CMAKE_SOURCE_DIR}/tests/unit/wf_history.c ${CMAKE_SOURCE_DIR}/tests/unit/wf_prove.c)
