# SPDX-License-Identifier: Apache-2.0
# How targets are declared, so that a wrong dependency does not compile: a folder's headers are reachable
# as "folder/header.h" only by targets that name the folder as a dependency.

# np_library(NAME SOURCES ... [DEPENDS folder...] [LINK other...])
# Declares the static library of the folder of that name. Headers of DEPENDS may be included in the
# folder's own files; those of base in everybody's.
function(np_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  set(root ${CMAKE_BINARY_DIR}/include-roots/${name})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${name} ${root}/${name} SYMBOLIC)
  target_include_directories(${name} PUBLIC ${root})
  if(NOT name STREQUAL base)
    target_link_libraries(${name} PUBLIC base)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} ${ARG_LINK})
endfunction()

# np_program(NAME SOURCES ... [DEPENDS folder...] [LINK other...] [STATIC] [NO_INSTALL])
# A program, installed to bin/ unless the caller installs it elsewhere (NO_INSTALL). A STATIC one runs in guests of
# any distribution; with sanitizers it is an ordinary one, since those can't be linked statically.
function(np_program name)
  cmake_parse_arguments(ARG "STATIC;NO_INSTALL" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  if(ARG_STATIC AND NOT NETPROXY_SANITIZE)
    np_link_static(${name} ${ARG_DEPENDS} base)
  else()
    target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} ${ARG_LINK} base)
  endif()
  if(NOT ARG_NO_INSTALL)
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endfunction()

# Links a program statically with the archives of these folders and of the libraries that they use, of which the
# linker takes what is needed. (The libraries' imported targets name shared objects, so they can't serve.)
function(np_link_static name)
  find_library(JSON_C_ARCHIVE libjson-c.a)
  find_library(LIBEVENT_CORE_ARCHIVE libevent_core.a)
  if(NOT JSON_C_ARCHIVE OR NOT LIBEVENT_CORE_ARCHIVE)
    message(FATAL_ERROR "libjson-c.a and libevent_core.a are needed for static programs; Debian has "
                        "them in libjson-c-dev and libevent-dev.")
  endif()
  foreach(folder ${ARGN})
    target_include_directories(${name} PRIVATE
                               $<TARGET_PROPERTY:${folder},INTERFACE_INCLUDE_DIRECTORIES>)
    target_link_libraries(${name} PRIVATE $<TARGET_FILE:${folder}>)
    add_dependencies(${name} ${folder})
  endforeach()
  target_include_directories(${name} SYSTEM PRIVATE ${JSON_C_INCLUDE_DIRS})
  target_link_libraries(${name} PRIVATE ${JSON_C_ARCHIVE} ${LIBEVENT_CORE_ARCHIVE})
  target_link_options(${name} PRIVATE -static)
endfunction()

# np_unit_test(NAME SOURCES ... [DEPENDS folder...])
# A check test program, test_NAME, run by ctest with the label "unit". tests/unit/common/unit.h is found.
function(np_unit_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/unit/common)
  target_link_libraries(test_${name} PRIVATE ${ARG_DEPENDS} ${ARG_LINK} base PkgConfig::CHECK)
  add_test(NAME unit.${name} COMMAND test_${name})
  # check's own limit for a case, 4 s, is little where the machine is busy.
  set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 120 ENVIRONMENT CK_DEFAULT_TIMEOUT=60)
endfunction()

# np_fuzz_target(NAME SOURCES ... [DEPENDS folder...])
# SOURCES define LLVMFuzzerTestOneInput(). Always builds fuzz_NAME, which replays the files of
# tests/fuzz/corpus/NAME and is run by ctest with the label "fuzz"; with NETPROXY_FUZZ it is
# a libFuzzer program instead. tests/fuzz/common/fuzz.h is found.
function(np_fuzz_target name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  add_executable(fuzz_${name} ${ARG_SOURCES})
  target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/common)
  target_link_libraries(fuzz_${name} PRIVATE ${ARG_DEPENDS} ${ARG_LINK} base)
  if(NETPROXY_FUZZ)
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
    add_test(NAME fuzz.${name} COMMAND fuzz_${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 120)
  endif()
endfunction()
