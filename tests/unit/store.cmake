ml_unit_test(store ${CMAKE_SOURCE_DIR}/tests/unit/test_store.c room_store)
ml_unit_test(store_faults ${CMAKE_SOURCE_DIR}/tests/unit/test_store_faults.c room_store)
ml_unit_test(kv ${CMAKE_SOURCE_DIR}/tests/unit/test_kv.c room_store)
ml_unit_test(sqlfile ${CMAKE_SOURCE_DIR}/tests/unit/test_sqlfile.c room_store PkgConfig::UV)
