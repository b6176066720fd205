// The system's <vulkan/vulkan.hpp>, and VK_EXT_layer_settings where that is older than 1.3.272, as on Debian 12.
//
// ggml-vulkan passes this structure to vkCreateInstance, and uses nothing else that such headers lack. A loader that does not know
// the structure skips it. Names, order and values are those of the Vulkan specification, "VkLayerSettingsCreateInfoEXT(3)".

#pragma once
// GCC warns of #include_next, its own extension, elsewhere.
#pragma GCC system_header

#include_next <vulkan/vulkan.hpp>

#ifndef VK_EXT_layer_settings

#include <vector>

namespace vk {

enum class LayerSettingTypeEXT { eBool32 = 0 };

struct LayerSettingEXT {
    const char *        pLayerName;
    const char *        pSettingName;
    LayerSettingTypeEXT type;
    uint32_t            valueCount;
    const void *        pValues;
};

struct LayerSettingsCreateInfoEXT {
    explicit LayerSettingsCreateInfoEXT(const std::vector<LayerSettingEXT> & settings) :
        settingCount(uint32_t(settings.size())), pSettings(settings.data()) {}

    VkStructureType         sType = VkStructureType(1000496000);
    const void *            pNext = nullptr;
    uint32_t                settingCount;
    const LayerSettingEXT * pSettings;
};

}  // namespace vk

#endif
