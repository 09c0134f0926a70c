# SPDX-License-Identifier: Apache-2.0
# Where lwIP's sources are. scripts/fetch-lwip unpacks the pinned version below build/; any other tree can be
# named with -DLWIP_SOURCE_DIR=. netstack/ compiles it, with its own lwipopts.h.
set(LWIP_SOURCE_DIR "" CACHE PATH "lwIP source tree (holds src/core/tcp.c)")

set(lwip_dir ${LWIP_SOURCE_DIR})
if(NOT lwip_dir)
  set(lwip_dir ${CMAKE_SOURCE_DIR}/build/lwip)
  if(NOT EXISTS ${lwip_dir}/src/core/tcp.c)
    message(STATUS "Fetching lwIP's source package (scripts/fetch-lwip)")
    execute_process(COMMAND ${CMAKE_SOURCE_DIR}/scripts/fetch-lwip ${lwip_dir}
                    RESULT_VARIABLE lwip_result)
    if(lwip_result)
      message(FATAL_ERROR "lwIP's sources could not be fetched (see above). Name a source tree of "
                          "lwIP 2.2.1 with -DLWIP_SOURCE_DIR=DIR.")
    endif()
  endif()
endif()
if(NOT EXISTS ${lwip_dir}/src/core/tcp.c)
  message(FATAL_ERROR "${lwip_dir} is not an lwIP source tree: src/core/tcp.c is missing.")
endif()
