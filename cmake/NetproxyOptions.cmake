# SPDX-License-Identifier: Apache-2.0
# The language, the warnings and the sanitizers that every target is built with.
option(NETPROXY_SANITIZE "Build with the address and undefined-behaviour sanitizers" OFF)
option(NETPROXY_FUZZ "Build the fuzz targets with libFuzzer (needs clang)" OFF)
option(NETPROXY_INSTALL_SLIRP4NETNS "Install a link by which netproxy is slirp4netns" OFF)
option(NETPROXY_WERROR "Treat warnings as errors" ON)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
# Asserts are for our own mistakes and stay on in every build.
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELWITHDEBINFO "${CMAKE_C_FLAGS_RELWITHDEBINFO}")
string(REPLACE "-O3" "-O2 -g" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")

add_compile_definitions(_GNU_SOURCE NETPROXY_VERSION="${PROJECT_VERSION}")
add_compile_options(-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
                    -fno-strict-aliasing -fno-common)
if(NETPROXY_WERROR)
  add_compile_options(-Werror)
endif()
if(NETPROXY_SANITIZE)
  add_compile_definitions(NETPROXY_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  # gcc sees ghosts in instrumented code; the release build has the warning on.
  add_compile_options($<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_link_options(-fsanitize=address,undefined)
endif()

if(NETPROXY_FUZZ)
  # Coverage of the libraries, not only of the targets, guides the fuzzer.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBEVENT REQUIRED IMPORTED_TARGET libevent_core)
pkg_check_modules(LIBEVENT_EXTRA REQUIRED IMPORTED_TARGET libevent_extra)
pkg_check_modules(JSON_C REQUIRED IMPORTED_TARGET json-c)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(LIBARCHIVE REQUIRED IMPORTED_TARGET libarchive)
pkg_check_modules(CHECK IMPORTED_TARGET check)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
