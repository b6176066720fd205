# Included by every project() of llama.cpp's build (CMAKE_PROJECT_INCLUDE in .cargo/config.toml).
#
# 1. Builds the CPU variants of this machine: the best one, the next one below it, and the plain one. All fourteen take 38 minutes of
#    CPU time, these three a fifth of it. CMAKE_SLM_ALL_CPUS=ON builds them all, for packages; `install.sh --all-cpus` sets it.
# 2. Compiles AMX code with a _tile_loadconfig that GCC does not miscompile, see amx.h.

# Only ggml has variants, and its directory is added once.
if (NOT PROJECT_NAME STREQUAL "ggml" OR COMMAND slm_wanted_variants)
    return()
endif()

# Best first. Each line is a variant and what /proc/cpuinfo calls the instructions that it was compiled for
# (ggml/src/CMakeLists.txt, ggml_add_cpu_backend_variant).
set(SLM_VARIANTS
    "sapphirerapids avx2 fma f16c bmi2 avx512f avx512bw avx512vl avx512dq avx512cd avx512vbmi avx512_vnni avx512_bf16 amx_tile amx_int8"
    "zen4 avx2 fma f16c bmi2 avx512f avx512bw avx512vl avx512dq avx512cd avx512vbmi avx512_vnni avx512_bf16"
    "cooperlake avx2 fma f16c bmi2 avx512f avx512bw avx512vl avx512dq avx512cd avx512_vnni avx512_bf16"
    "icelake avx2 fma f16c bmi2 avx512f avx512bw avx512vl avx512dq avx512cd avx512vbmi avx512_vnni"
    "cascadelake avx2 fma f16c bmi2 avx512f avx512bw avx512vl avx512dq avx512cd avx512_vnni"
    "cannonlake avx2 fma f16c bmi2 avx512f avx512bw avx512vl avx512dq avx512cd avx512vbmi"
    "skylakex avx2 fma f16c bmi2 avx512f avx512bw avx512vl avx512dq avx512cd"
    "alderlake avx2 fma f16c bmi2 avx_vnni"
    "haswell avx2 fma f16c bmi2"
    "piledriver avx f16c fma"
    "ivybridge avx f16c"
    "sandybridge avx"
    "sse42 sse4_2")

# Names the variants that this machine's build has; empty means all.
function(slm_wanted_variants result)
    set(wanted "")
    if (NOT CMAKE_SLM_ALL_CPUS AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND EXISTS /proc/cpuinfo)
        file(STRINGS /proc/cpuinfo flags REGEX "^flags" LIMIT_COUNT 1)
        foreach (line IN LISTS SLM_VARIANTS)
            separate_arguments(needs UNIX_COMMAND "${line}")
            list(POP_FRONT needs name)
            set(runs TRUE)
            foreach (flag IN LISTS needs)
                if (NOT "${flags} " MATCHES " ${flag} ")
                    set(runs FALSE)
                endif()
            endforeach()
            list(LENGTH wanted count)
            if (runs AND count LESS 2)
                list(APPEND wanted ${name})
            endif()
        endforeach()
        list(APPEND wanted x64)
    endif()
    set(${result} ${wanted} PARENT_SCOPE)
endfunction()

set(SLM_AMX_HEADER ${CMAKE_CURRENT_LIST_DIR}/amx.h)
slm_wanted_variants(SLM_WANTED)
message(STATUS "slm: CPU variants: ${SLM_WANTED}")

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
                target_compile_options(ggml-cpu-${tag} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-include ${SLM_AMX_HEADER}>")
            endif()
        endfunction()
    endif()
endmacro()
