# persist_wire: the code that protobuf-c generates from proto/*.proto. Its headers are
# "proto/NAME.pb-c.h"; it is built without our warnings.
find_program(PROTOC_C protoc-c REQUIRED)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c>=1.4)

set(generated ${PROJECT_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${generated})
set(sources)
foreach(name session local admin libp2p)
  add_custom_command(
    OUTPUT ${generated}/proto/${name}.pb-c.c ${generated}/proto/${name}.pb-c.h
    COMMAND ${PROTOC_C} --proto_path=${PROJECT_SOURCE_DIR} --c_out=${generated} proto/${name}.proto
    DEPENDS ${PROJECT_SOURCE_DIR}/proto/${name}.proto
    VERBATIM)
  list(APPEND sources ${generated}/proto/${name}.pb-c.c)
endforeach()
add_library(persist_wire STATIC ${sources})
set_target_properties(persist_wire PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(persist_wire SYSTEM PUBLIC ${generated})
target_link_libraries(persist_wire PUBLIC PkgConfig::PROTOBUF_C PRIVATE persist_sanitizers)
