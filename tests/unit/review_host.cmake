# Faults that a reading of the host found, hostile peers on its socket, owners that are killed.
ml_unit_test(review_host ${CMAKE_SOURCE_DIR}/tests/unit/test_review_host.c moonloop)
ml_unit_test(host_edges ${CMAKE_SOURCE_DIR}/tests/unit/test_host_edges.c moonloop)
