# Which CPU variants this machine's build has: the best one, the next one below it, and the plain one; or all.
#
# `cmake -P wanted.cmake` prints them, best first; nothing means all. `cargo xtask` compares that with what a build folder has.

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
    if (EXISTS /proc/cpuinfo)
        # No other kind of processor has a line of this name.
        file(STRINGS /proc/cpuinfo flags REGEX "^flags" LIMIT_COUNT 1)
    endif()
    if (flags AND NOT CMAKE_SLM_ALL_CPUS)
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

if (CMAKE_SCRIPT_MODE_FILE)
    slm_wanted_variants(wanted)
    message(STATUS "${wanted}")
endif()
