# Included by every project() of llama.cpp's build (CMAKE_PROJECT_INCLUDE in .cargo/config.toml).
#
# 1. Builds the CPU variants of this machine, see wanted.cmake. All fourteen take 38 minutes of CPU time, these three a fifth of it.
#    CMAKE_SLM_ALL_CPUS=ON builds them all, for packages; `install.sh --all-cpus` sets it.
# 2. Compiles AMX code with a _tile_loadconfig that GCC does not miscompile, see amx.h.
#    It also asks the kernel for AMX once and not for every product, see ask-once.h.
# 3. Compiles what does not compute with less optimization: that takes a minute of CPU time off the build.

if (PROJECT_NAME STREQUAL "llama.cpp" AND NOT COMMAND slm_cold)
    # Called when the whole build is described, and all targets are there.
    function(slm_cold)
        foreach (SLM_TARGET llama-common mtmd)
            if (TARGET ${SLM_TARGET})
                target_compile_options(${SLM_TARGET} PRIVATE -O1)
            endif()
        endforeach()
        # A server and client that no runner ever starts.
        if (TARGET cpp-httplib)
            target_compile_options(cpp-httplib PRIVATE -O0)
        endif()
        if (TARGET llama)
            target_compile_options(llama PRIVATE -O2)
        endif()
    endfunction()
    cmake_language(DEFER CALL slm_cold)
endif()

# Only ggml has variants, and its directory is added once.
if (NOT PROJECT_NAME STREQUAL "ggml" OR COMMAND slm_wanted_variants)
    return()
endif()

include(${CMAKE_CURRENT_LIST_DIR}/wanted.cmake)
slm_wanted_variants(SLM_WANTED)
message(STATUS "slm: CPU variants: ${SLM_WANTED}")

# How this folder is built, for `cargo xtask` to compare with how it would build one now.
file(WRITE ${CMAKE_BINARY_DIR}/slm/wanted "${SLM_WANTED}")
foreach (SLM_FILE variants.cmake wanted.cmake amx.h ask-once.h)
    configure_file(${CMAKE_CURRENT_LIST_DIR}/${SLM_FILE} ${CMAKE_BINARY_DIR}/slm/${SLM_FILE} COPYONLY)
endforeach()
set(SLM_NATIVE ${CMAKE_BINARY_DIR}/slm)

# ggml/src adds the folder ggml-cpu, which defines the function that makes one variant, and then calls it for all.
# Between the two, the function is replaced by one that asks first; cmake keeps the old one under its name with an underscore.
macro(add_subdirectory)
    _add_subdirectory(${ARGV})
    if ("${ARGV0}" STREQUAL "ggml-cpu")
        function(ggml_add_cpu_backend_variant_impl tag)
            if (tag AND SLM_WANTED AND NOT tag IN_LIST SLM_WANTED)
                return()
            endif()
            _ggml_add_cpu_backend_variant_impl(${tag})
            if (GGML_AMX_TILE)
                foreach (SLM_HEADER amx.h ask-once.h)
                    target_compile_options(ggml-cpu-${tag} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-include \"${SLM_NATIVE}/${SLM_HEADER}\">")
                endforeach()
            endif()
        endfunction()
    endif()
endmacro()
