# Interface targets that our own code links to; generated code and libraries do not.
include(CheckCCompilerFlag)
add_library(persist_warnings INTERFACE)
foreach(flag
    -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef -Wvla -Walloca
    -Wstrict-prototypes -Wold-style-definition -Wmissing-prototypes -Wcast-qual -Wpointer-arith
    -Wwrite-strings -Wformat=2 -Wdouble-promotion -Wfloat-equal -Wswitch-enum -Wnull-dereference
    -Wcast-align=strict -Wduplicated-cond -Wduplicated-branches -Wlogical-op
    -Wmissing-variable-declarations -Wcomma -Wassign-enum -Wunreachable-code-aggressive)
  string(MAKE_C_IDENTIFIER "HAVE${flag}" have)
  check_c_compiler_flag(${flag} ${have})
  if(${have})
    target_compile_options(persist_warnings INTERFACE $<$<COMPILE_LANGUAGE:C>:${flag}>)
  endif()
endforeach()
# Statement expressions (TAKE_PTR) and zero-argument variadic macros are GNU C.
target_compile_options(persist_warnings INTERFACE $<$<C_COMPILER_ID:Clang>:-Wno-gnu-zero-variadic-macro-arguments>)
if(PERSIST_WERROR)
  target_compile_options(persist_warnings INTERFACE -Werror)
endif()

add_library(persist_sanitizers INTERFACE)
if(PERSIST_SANITIZE)
  target_compile_options(persist_sanitizers INTERFACE
    -fsanitize=${PERSIST_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -O1)
  target_link_options(persist_sanitizers INTERFACE -fsanitize=${PERSIST_SANITIZE})
else()
  target_compile_options(persist_sanitizers INTERFACE
    -fstack-protector-strong $<$<CONFIG:RelWithDebInfo>:-D_FORTIFY_SOURCE=2>)
  target_link_options(persist_sanitizers INTERFACE -Wl,-z,relro,-z,now)
endif()
