ml_unit_test(rec ${CMAKE_SOURCE_DIR}/tests/unit/test_rec.c room_history)
ml_unit_test(rec_json ${CMAKE_SOURCE_DIR}/tests/unit/test_rec_json.c room_history)
ml_unit_test(event ${CMAKE_SOURCE_DIR}/tests/unit/test_event.c room_history)
