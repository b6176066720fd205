# Included by every project() of llama.cpp's build when `cargo xtask backend` builds a module (CMAKE_PROJECT_INCLUDE).
#
# 1. A module finds the libraries that lie beside it, wherever its folder is moved.
# 2. ggml-vulkan compiles with older Vulkan headers, see vulkan/vulkan/vulkan.hpp.

if (NOT PROJECT_NAME STREQUAL "llama.cpp" OR COMMAND slm_backend)
    return()
endif()

# Called when the whole build is described, and all targets are there.
function(slm_backend)
    set_target_properties(${SLM_BACKEND_TARGET} PROPERTIES
        BUILD_WITH_INSTALL_RPATH ON
        INSTALL_RPATH "$ORIGIN")
    if (TARGET ggml-vulkan)
        target_include_directories(ggml-vulkan BEFORE PRIVATE ${SLM_BACKENDS}/vulkan)
    endif()
endfunction()
cmake_language(DEFER CALL slm_backend)
